//! Compiles a loaded source into what carries its deliveries.

use std::sync::Arc;

use actix_web::http::{Method, StatusCode};

use crate::config::source::{BatchMode, Payload};
use crate::config::{LoadedSource, Problem};
use crate::contract::Contracts;
use crate::delivery::{HeaderName, HeaderValue};
use crate::duplicates::Duplicates;
use crate::event::Origin;
use crate::handshake::{Capture, Handshakes};
use crate::http::{AnswerForm, AnswerHeader, Door, Endpoint, Held};
use crate::keys::Keyring;
use crate::pipeline::{Route, Source, Target};
use crate::provider::{Definition, Settings};
use crate::rate::Limiter;
use crate::read::{ReadOptions, Reader};
use crate::telemetry::Metrics;
use crate::verify::Verifier;

/// What all sources share.
pub struct Shared<'a> {
    pub keyring: &'a Arc<Keyring>,
    pub duplicates: &'a Arc<Duplicates>,
    pub metrics: &'a Metrics,
}

/// Everything that can be compiled without a broker: also what `check` does. Every problem at once.
pub struct Compiled {
    verifier: Verifier,
    handshakes: Handshakes,
    reader: Reader,
    contracts: Contracts,
    origin: Origin,
    headers: Vec<(HeaderName, AnswerHeader)>,
    retry_status: Option<StatusCode>,
}

pub fn compile(loaded: &LoadedSource, keyring: &Arc<Keyring>) -> Result<Compiled, Vec<Problem>> {
    let LoadedSource {
        definition,
        settings,
        secrets,
        ..
    } = loaded;
    let options = ReadOptions {
        whole: loaded.batch == BatchMode::Whole,
        json_payload: loaded.payload == Payload::Json,
    };
    let mut problems = Vec::new();
    let verifier = match loaded.capture {
        Some(_) => Ok(Verifier::waiting()),
        None => Verifier::compile(definition, secrets, settings, keyring, loaded.signature.as_deref()),
    };
    let verifier = noted(verifier, &mut problems);
    let handshakes = Handshakes::compile(definition, secrets, settings).map(|handshakes| match loaded.capture {
        Some(_) => handshakes.capturing(),
        None => handshakes,
    });
    let handshakes = noted(handshakes, &mut problems);
    let headers = answer_headers(definition, settings, &mut problems);
    let retry_status = definition.answer.retry_status.and_then(|status| {
        let retried = StatusCode::from_u16(status).ok();
        let retried = retried.filter(|status| status.is_client_error() || status.is_server_error());
        if retried.is_none() {
            problems.push(format!("answer.retry_status: {status} is neither a 4xx nor a 5xx"));
        }
        retried
    });
    let reader = noted(Reader::compile(definition, settings, options), &mut problems);
    let contracts = noted(
        Contracts::compile(&loaded.provider, definition, loaded.schemas.clone(), &loaded.contract),
        &mut problems,
    );
    let origin = noted(Origin::new(&loaded.name, &loaded.provider, definition), &mut problems);
    match (verifier, handshakes, reader, contracts, origin) {
        (Some(verifier), Some(handshakes), Some(reader), Some(contracts), Some(origin)) if problems.is_empty() => {
            Ok(Compiled {
                verifier,
                handshakes,
                reader,
                contracts,
                origin,
                headers,
                retry_status,
            })
        }
        _ => {
            let place = format!("sources.{}", loaded.name);
            Err(problems
                .into_iter()
                .map(|message| Problem::new(place.as_str(), message, ""))
                .collect())
        }
    }
}

/// Headers that the platform wants in every answer.
fn answer_headers(
    definition: &Definition,
    settings: &Settings,
    problems: &mut Vec<String>,
) -> Vec<(HeaderName, AnswerHeader)> {
    let mut headers = Vec::new();
    for (name, find) in &definition.answer.headers {
        let header = |name: &str| HeaderName::try_from(name).map_err(|_| format!("`{name}` is no header name"));
        let fixed = |text: Option<&str>| {
            let value = text.and_then(|text| HeaderValue::from_str(text).ok());
            value
                .map(AnswerHeader::Fixed)
                .ok_or("its setting is missing, or no value of a header".to_owned())
        };
        let value = match find.places()[..] {
            [("header", other)] => header(other).map(AnswerHeader::Echo),
            [("literal", text)] => fixed(Some(text)),
            [("setting", setting)] => fixed(settings.text(setting)),
            _ => Err("give one of header, literal or setting".to_owned()),
        };
        match header(name).and_then(|name| Ok((name, value?))) {
            Ok(header) => headers.push(header),
            Err(problem) => problems.push(format!("answer.headers.{name}: {problem}")),
        }
    }
    headers
}

fn noted<T>(result: Result<T, Vec<String>>, problems: &mut Vec<String>) -> Option<T> {
    result.map_err(|found| problems.extend(found)).ok()
}

impl Compiled {
    /// `target` finds a destination by its name; the configuration was checked to name only known ones.
    pub fn endpoint(self, loaded: &LoadedSource, shared: &Shared<'_>, target: impl Fn(&str) -> Target) -> Endpoint {
        let names: Vec<Arc<str>> = loaded.secrets.iter().map(|secret| secret.name.clone()).collect();
        let contracts = self.contracts.names();
        let contracts = contracts.iter().map(|name| (&*name.event, &*name.version));
        let metrics = Arc::new(shared.metrics.source(&loaded.name, &names, contracts));
        let mut methods = vec![Method::POST];
        methods.extend(
            self.handshakes
                .methods()
                .iter()
                .filter(|method| **method != Method::POST)
                .cloned(),
        );
        let routes = loaded.routes.iter().map(|route| Route {
            types: route.types.clone(),
            target: route.destination.as_deref().map(&target),
        });
        Endpoint {
            methods,
            body_limit: loaded.body_limit.as_usize(),
            public_url: loaded.public_url.clone(),
            answer: AnswerForm {
                status: loaded.answer_status,
                retry_status: self.retry_status,
                body: loaded.definition.answer.body.clone(),
                content_type: loaded.definition.answer.content_type.clone(),
                headers: self.headers,
            },
            door: Door {
                senders: loaded.senders.clone(),
                certificates: loaded.client_certificates.clone(),
            },
            held: Held::default(),
            source: Arc::new(Source {
                rate: loaded.rate.map(Limiter::new),
                routes: routes.collect(),
                destination: target(&loaded.destination),
                duplicates: shared.duplicates.clone(),
                retry_bytes_differ: loaded.definition.event.retry_bytes_differ,
                keyring: shared.keyring.clone(),
                ack_budget: loaded.ack_budget,
                metrics,
                origin: self.origin,
                verifier: self.verifier,
                handshakes: self.handshakes,
                capture: loaded.capture.clone().map(|file| Arc::new(Capture::new(file))),
                reader: self.reader,
                contracts: self.contracts,
            }),
        }
    }
}
