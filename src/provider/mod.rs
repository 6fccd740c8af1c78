//! Platforms as data: definitions, the catalogue that holds them, and its linter.
//!
//! A definition says how one platform signs, identifies, challenges and shapes its webhooks. Adding
//! one is adding a folder under `schemas/`; nothing in Rust branches on a provider's name.

pub mod catalogue;
pub mod definition;
pub mod listing;
pub mod markdown;
pub mod nearest;
pub mod sample;
pub mod settings;
pub mod template;

pub use catalogue::{Catalogue, CatalogueError, Provider, SchemaText};
pub use definition::Definition;
pub use settings::Settings;
