//! Ingress and admin listeners: the only place with status codes.

pub mod admin;
mod body;
mod capacity;
mod gateway;
mod head;
mod ingress;
mod operate;
pub mod proxies;
mod response;
mod senders;
mod server;
mod socket;
mod tls;

pub use admin::Health;
pub use gateway::{AnswerForm, Endpoint, Gateway, Held, Limits};
pub use operate::{Prune, Pruned};
pub use senders::Senders;
pub use server::{Server, ServerError};
