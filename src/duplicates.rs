//! Twins in flight, and what was already made durable.
//!
//! Only verified identities enter; one is kept only after its receipt, so a crash between can lose nothing.

use std::sync::Arc;

/// What makes two deliveries certainly the same event: source, id, and the bytes' digest (absent
/// where the provider's data says that a retry's bytes may differ and the id is signed).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub source: Arc<str>,
    pub id: Box<str>,
    pub sha256: Option<Box<str>>,
}
