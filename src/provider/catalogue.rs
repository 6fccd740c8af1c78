//! The built-in folders of `schemas/`, embedded in the binary, and the user's own laid over them.
use super::Definition;

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("{0}")]
    Invalid(String),
}

pub struct Catalogue;

impl Catalogue {
    pub fn definition(&self, _name: &str) -> Result<Definition, CatalogueError> {
        todo!()
    }
}
