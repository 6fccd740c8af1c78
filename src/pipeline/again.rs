//! The way back in: a quarantined event is judged by the contract of today.
//!
//! It was verified when it arrived, and keeps its identity. What the contract looks at beside the bytes (which contract,
//! which version) is read again from what the event has kept of its delivery.

use actix_web::http::header::CONTENT_TYPE;

use super::Source;
use crate::contract::Verdict;
use crate::delivery::{HeaderName, HeaderValue, Headers, Method, RawDelivery};
use crate::event::{Attribute, Event};
use crate::read::Again;

impl Source {
    pub fn judge_again(&self, event: &Event) -> Verdict {
        let raw = remains(event);
        let mut part = self.reader.again(&raw, what(event));
        part.found.event = self.origin.name_of(event.kind()).to_owned();
        if let Some(version) = event.get(Attribute::DeliveredVersion) {
            part.found.version = Some(version.to_owned());
        }
        self.contracts.judge(&part)
    }
}

fn what(event: &Event) -> Again {
    if event.get(Attribute::BatchIndex).is_some() {
        Again::Element
    } else if event
        .get(Attribute::DeliverySha256)
        .is_some_and(|delivered| delivered != event.body_sha256())
    {
        Again::Mapped
    } else {
        Again::Whole
    }
}

/// The delivery, as far as the event tells.
fn remains(event: &Event) -> RawDelivery {
    let mut headers = Headers::default();
    let kept = event.get(Attribute::HttpHeaders).unwrap_or("{}");
    let kept: serde_json::Map<String, serde_json::Value> = serde_json::from_str(kept).unwrap_or_default();
    for (name, value) in &kept {
        let name = HeaderName::from_bytes(name.as_bytes()).ok();
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        if let (Some(name), Some(value)) = (name, value)
            && name != CONTENT_TYPE
        {
            headers.push(name, value);
        }
    }
    if let Ok(value) = HeaderValue::from_str(event.content_type()) {
        headers.push(CONTENT_TYPE, value);
    }
    let url = event.get(Attribute::HttpUrl).unwrap_or_default();
    let method = event.get(Attribute::HttpMethod).and_then(|method| method.parse().ok());
    RawDelivery {
        method: method.unwrap_or(Method::POST),
        path: String::new(),
        query: url
            .split_once('?')
            .map(|(_, query)| query.to_owned())
            .unwrap_or_default(),
        url: url.to_owned(),
        headers,
        body: event.data().clone(),
        received: event
            .get(Attribute::ReceivedTime)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        sender: None,
    }
}
