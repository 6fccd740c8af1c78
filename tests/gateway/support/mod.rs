//! What tests share: a gateway as a user runs it, and a plain HTTP client.

pub mod gateway;
pub mod http;
pub mod sign;

pub use gateway::Gateway;
pub use http::{Reply, get, post, request};
