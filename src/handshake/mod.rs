//! Answers challenges. The provider's data says what each must prove first.

use crate::delivery::RawDelivery;
use crate::provider::{Definition, Settings};
use crate::secret::NamedSecret;
use crate::verify::VerifiedDelivery;

/// The handshakes of one source, compiled.
#[derive(Debug)]
pub struct Handshakes {}

/// What to answer. Bounded, `text/plain` or `application/json`, sent with `nosniff`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub name: String,
    pub status: u16,
    pub content_type: Option<&'static str>,
    pub body: Vec<u8>,
    pub headers: Vec<(String, String)>,
    /// A URL to fetch before answering (checked against the allowed hosts), as SNS asks for.
    pub confirm: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("verify token does not match")]
    Token,
    #[error("challenge is malformed: {0}")]
    Malformed(String),
    #[error("confirmation URL is not allowed: {0}")]
    Url(String),
}

impl Handshakes {
    pub fn compile(
        _definition: &Definition,
        _secrets: &[NamedSecret],
        _settings: &Settings,
    ) -> Result<Self, Vec<String>> {
        todo!()
    }

    /// HTTP methods (besides POST) that a handshake uses.
    pub fn methods(&self) -> &[actix_web::http::Method] {
        todo!()
    }

    /// Challenges that prove themselves by a token or not at all: asked before verification.
    /// `None`: this delivery is no such challenge.
    pub fn before_verification(&self, _raw: &RawDelivery) -> Option<Result<Reply, HandshakeError>> {
        todo!()
    }

    /// Challenges that are signed like any delivery.
    pub fn after_verification(&self, _delivery: &VerifiedDelivery<'_>) -> Option<Result<Reply, HandshakeError>> {
        todo!()
    }
}
