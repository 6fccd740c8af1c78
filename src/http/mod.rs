//! Ingress and admin listeners: the only place with status codes.

pub mod admin;
mod body;
mod gateway;
mod ingress;
mod operate;
mod proxies;
mod response;
mod server;
mod socket;
mod tls;

pub use admin::Health;
pub use gateway::{AnswerForm, Endpoint, Gateway, Limits};
pub use operate::{Prune, Pruned};
pub use server::{Server, ServerError};
