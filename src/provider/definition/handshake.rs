//! What a platform asks before it sends: `[[handshake]]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Condition, Find};

/// A challenge that is answered in the request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// What it is called in the log and in listings (`url-verification`).
    pub name: String,
    /// HTTP method; default `POST`.
    #[serde(default)]
    pub method: Option<String>,
    /// All must hold.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// What must be proved first.
    pub prove: Prove,
    /// With `prove = "token"`: where it is and which setting holds it.
    #[serde(default)]
    pub token: Option<TokenProof>,
    /// What a token that is not ours is answered, where the platform asks that too. Default 401.
    #[serde(default)]
    pub refusal: Option<u16>,
    #[serde(default)]
    pub reply: Reply,
    /// Confirm by fetching a URL that the (proved) delivery names.
    #[serde(default)]
    pub confirm: Option<Confirm>,
    /// The secret that the platform makes up and tells here, once. Taken part in only while the source says `capture`.
    #[serde(default)]
    pub capture: Option<Find>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Prove {
    /// The delivery's signature, as for any event.
    Signature,
    /// A value that the source's settings list: a verify token, an allowed origin, a topic.
    Token,
    /// Nothing but its bounded shape.
    Nothing,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenProof {
    pub find: Find,
    pub setting: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// Default 200.
    pub status: Option<u16>,
    /// `text/plain` body made of these parts, in order.
    pub text: Vec<Find>,
    /// `application/json` object with these members.
    pub json: BTreeMap<String, ReplyValue>,
    pub headers: BTreeMap<String, Find>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum ReplyValue {
    Int(i64),
    Bool(bool),
    Hashed(Hashed),
    Found(Box<Find>),
}

/// SHA-256, in hex, of these values one behind the other (eBay).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashed {
    pub sha256_hex: Vec<Find>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    pub url: Find,
    pub hosts: Vec<String>,
}
