//! What must hold whatever bytes come: each law takes bytes and panics where it is broken.
//!
//! A law judges by a second opinion that has nothing of ours in it (another parser, another validator, the text itself).
//! Where we are stricter on purpose, the exception has a name, and the second opinion must agree that it applies.
//!
//! The fuzz targets call these one at a time with bytes of their own making; the gateway's tests call all of them with what
//! is in `fuzz/corpus`, and with the seeds that each law makes from the samples under `schemas/`.
//!
//! An input that names something (a provider, a parser, a schema) does so in its first line, so that a finding can be read.

pub mod batch;
pub mod cloudevents;
pub mod config;
pub mod contract;
pub mod deliveries;
pub mod document;
pub mod forms;
pub mod headers;
pub mod signatures;

mod platforms;
mod support;

/// One law, the target that it is fuzzed by, and the inputs to begin with.
pub struct Law {
    /// Name of the target, and of the folder below `fuzz/corpus`.
    pub name: &'static str,
    pub check: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const ALL: [Law; 9] = [
    Law {
        name: "batch",
        check: batch::check,
        seeds: batch::seeds,
    },
    Law {
        name: "cloudevents",
        check: cloudevents::check,
        seeds: cloudevents::seeds,
    },
    Law {
        name: "config",
        check: config::check,
        seeds: config::seeds,
    },
    Law {
        name: "contract",
        check: contract::check,
        seeds: contract::seeds,
    },
    Law {
        name: "deliveries",
        check: deliveries::check,
        seeds: deliveries::seeds,
    },
    Law {
        name: "document",
        check: document::check,
        seeds: document::seeds,
    },
    Law {
        name: "forms",
        check: forms::check,
        seeds: forms::seeds,
    },
    Law {
        name: "headers",
        check: headers::check,
        seeds: headers::seeds,
    },
    Law {
        name: "signatures",
        check: signatures::check,
        seeds: signatures::seeds,
    },
];
