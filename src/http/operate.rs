//! What an operator may do to a running gateway: replay and prune. Behind the same door as what shows deliveries.

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::admin::{Admin, authorised};
use crate::destination::backlog::Selection;
use crate::replay::{Refused, Request};

/// Content type of a replay's lines: one JSON object each.
const LINES: &str = "application/x-ndjson";

/// Begins a replay and tells how it goes until it ends. Whoever closes the connection stops it.
pub(super) async fn replay(request: HttpRequest, admin: Data<Admin>, body: Bytes) -> HttpResponse {
    let wanted = match wanted::<Request>(&request, &admin, &body) {
        Ok(wanted) => wanted,
        Err(refused) => return refused,
    };
    let replays = admin.replays.load_full();
    match replays.start(wanted).await {
        Ok(told) => {
            let lines = stream::unfold(told, |mut told| async move {
                let line = told.recv().await?;
                let mut text = serde_json::to_vec(&line).unwrap_or_default();
                text.push(b'\n');
                Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), told))
            });
            HttpResponse::Ok().content_type(LINES).streaming(lines)
        }
        Err(error) => refused(&error),
    }
}

/// Which quarantined events to remove.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    pub selection: Selection,
    /// Else only counted.
    pub really: bool,
}

/// How many there were.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Pruned {
    pub events: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

pub(super) async fn prune(request: HttpRequest, admin: Data<Admin>, body: Bytes) -> HttpResponse {
    let Prune { selection, really } = match wanted(&request, &admin, &body) {
        Ok(wanted) => wanted,
        Err(refused) => return refused,
    };
    let replays = admin.replays.load_full();
    match replays.prune(selection, really).await {
        Ok((events, bytes)) => HttpResponse::Ok().json(Pruned { events, bytes }),
        Err(error) => refused(&error),
    }
}

/// What is asked for, once it is known that it may be.
#[expect(
    clippy::result_large_err,
    reason = "an answer, made once where the operator is refused"
)]
fn wanted<T: DeserializeOwned>(request: &HttpRequest, admin: &Admin, body: &[u8]) -> Result<T, HttpResponse> {
    authorised(request, admin)?;
    serde_json::from_slice(body).map_err(|error| HttpResponse::BadRequest().body(format!("{error}\n")))
}

fn refused(error: &Refused) -> HttpResponse {
    let mut response = match error {
        Refused::Usage(_) => HttpResponse::BadRequest(),
        Refused::Down(_) => HttpResponse::ServiceUnavailable(),
        Refused::Busy => HttpResponse::Conflict(),
    };
    response.body(format!("{error}\n"))
}
