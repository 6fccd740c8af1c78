//! Ingress and admin listeners: the only place with status codes.

pub mod admin;
mod body;
mod door;
mod gateway;
mod ingress;
mod proxies;
mod response;
mod server;
mod tls;

pub use admin::Health;
pub use door::Door;
pub use gateway::{AnswerForm, AnswerHeader, Endpoint, Gateway, Limits};
pub use server::{Server, ServerError};
