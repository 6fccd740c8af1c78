//! What tests share: a gateway as a user runs it, and a plain HTTP client.

pub mod gateway;
pub mod http;
pub mod oracle;
pub mod sign;

pub use gateway::Gateway;
pub use http::{Reply, get, post, request};

/// What `scripts/test` provides. Missing, it is a failure with its remedy, never a skip.
pub fn needed(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set; run `scripts/test`, or `scripts/brokers start` and `eval \"$(scripts/brokers env)\"`")
    })
}
