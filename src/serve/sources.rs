//! Compiles a loaded source into what carries its deliveries.

use std::sync::Arc;

use actix_web::http::Method;

use crate::config::source::{BatchMode, Payload};
use crate::config::{LoadedSource, Problem};
use crate::contract::Contracts;
use crate::duplicates::Duplicates;
use crate::event::Origin;
use crate::handshake::Handshakes;
use crate::http::{AnswerForm, Endpoint, Held};
use crate::keys::Keyring;
use crate::pipeline::{Route, Source, Target};
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
    let verifier = noted(
        Verifier::compile(definition, secrets, settings, keyring, loaded.signature.as_deref()),
        &mut problems,
    );
    let handshakes = noted(Handshakes::compile(definition, secrets, settings), &mut problems);
    let reader = noted(Reader::compile(definition, settings, options), &mut problems);
    let contracts = noted(
        Contracts::compile(&loaded.provider, definition, loaded.schemas.clone(), &loaded.contract),
        &mut problems,
    );
    let origin = noted(Origin::new(&loaded.name, &loaded.provider, definition), &mut problems);
    match (verifier, handshakes, reader, contracts, origin) {
        (Some(verifier), Some(handshakes), Some(reader), Some(contracts), Some(origin)) => Ok(Compiled {
            verifier,
            handshakes,
            reader,
            contracts,
            origin,
        }),
        _ => {
            let place = format!("sources.{}", loaded.name);
            Err(problems
                .into_iter()
                .map(|message| Problem::new(place.as_str(), message, ""))
                .collect())
        }
    }
}

fn noted<T>(result: Result<T, Vec<String>>, problems: &mut Vec<String>) -> Option<T> {
    result.map_err(|found| problems.extend(found)).ok()
}

impl Compiled {
    /// `target` finds a destination by its name; the configuration was checked to name only known ones.
    pub fn endpoint(self, loaded: &LoadedSource, shared: &Shared<'_>, target: impl Fn(&str) -> Target) -> Endpoint {
        let names: Vec<Arc<str>> = loaded.secrets.iter().map(|secret| secret.name.clone()).collect();
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
                body: loaded.definition.answer.body.clone(),
                content_type: loaded.definition.answer.content_type.clone(),
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
                metrics: Arc::new(shared.metrics.source(&loaded.name, &names)),
                origin: self.origin,
                verifier: self.verifier,
                handshakes: self.handshakes,
                reader: self.reader,
                contracts: self.contracts,
            }),
        }
    }
}
