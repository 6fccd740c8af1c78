//! Fetched keys: key sets and certificates, cached, refreshed in the background, from allowed hosts only.
//! The only room that calls out.

/// Cache of fetched keys, shared by all sources.
#[derive(Debug, Default)]
pub struct Keyring {}
