//! What becomes of a body: `[body]`, `[event]`, `[batch]` and `[answer]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Alternatives, Find, KeyForm, TimeFormat};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BodyRule {
    pub format: BodyFormat,
    /// A form whose one field holds the JSON (`payload`).
    pub form_json_field: Option<String>,
    /// A document inside the document (Pub/Sub `message.data`, SNS `Message`).
    pub inner: Option<Inner>,
    /// Largest body, such as `25MiB`. Default 1 MiB.
    pub limit: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum BodyFormat {
    /// A form when the content type says so, else JSON.
    #[default]
    Auto,
    /// JSON whatever the content type says.
    Json,
    Form,
    /// XML, looked into as the JSON that it is mapped to: an element is an object of its children by their local names, an
    /// array where a name repeats, a text where it has no children; `@name` is an attribute.
    Xml,
    /// A token: its claims are read, the token itself is carried.
    Claims,
    /// Anything: carried, not looked into.
    Opaque,
}

/// JSON, or XML where it begins with `<`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inner {
    pub json: String,
    #[serde(default)]
    pub base64: bool,
    /// It is encrypted (and base64), with a key of the customer's.
    #[serde(default)]
    pub cipher: Option<CipherRule>,
}

/// How a text is encrypted. Opened only behind a signature, or for a challenge whose token it holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CipherRule {
    pub mode: CipherMode,
    /// Credential setting that holds the key; where the source leaves it out, nothing is opened.
    pub key: String,
    /// From the key's text to 32 bytes.
    #[serde(default)]
    pub key_form: KeyForm,
    /// CBC: 16 random bytes, the message's length in four, the message, and whom it is for (WeCom).
    #[serde(default)]
    pub framed: bool,
    /// GCM: JSON pointer to the nonce.
    #[serde(default)]
    pub nonce: Option<String>,
    /// GCM: JSON pointer to the associated data. Absent, or not in the body: none.
    #[serde(default)]
    pub associated: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum CipherMode {
    /// AES-256-CBC, padded (PKCS #7); the initial vector is what the key begins with.
    CbcKeyIv,
    /// The same; the initial vector stands in front of the ciphertext.
    CbcLeadingIv,
    /// AES-256-GCM, the tag behind the ciphertext.
    Gcm,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventRule {
    /// Event name behind the domain; joined with `.`.
    #[serde(rename = "type")]
    pub kind: Alternatives,
    /// Contract that the event must meet, by its folder, where that is not the one of its type.
    pub contract: Alternatives,
    pub id: Alternatives,
    pub version: Alternatives,
    pub time: Option<EventTime>,
    pub subject: Alternatives,
    /// Partition key; joined with `:`.
    pub key: Alternatives,
    /// Two deliveries with the same bytes are the same event: the body's SHA-256 may be the id.
    pub unique_bodies: bool,
    /// A retry may carry the same signed id in other bytes: the id alone then suppresses.
    pub retry_bytes_differ: bool,
    /// Headers to publish besides those that the signature covers.
    pub headers: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTime {
    pub from: Alternatives,
    #[serde(default)]
    pub format: TimeFormat,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// JSON pointer to the elements, `*` for every element of an array: `/entry/*/changes/*`; `/*` for a body that is an array.
    pub items: String,
    /// A batch only where the content type is this.
    #[serde(default)]
    pub content_type: Option<String>,
}

/// What the platform expects to hear, and what it does otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// Default 200.
    pub status: Option<u16>,
    /// What makes it deliver again, where that is not both 503 (no room, no broker) and 429 (too fast): stands for both.
    pub retry_status: Option<u16>,
    pub body: Option<String>,
    pub content_type: Option<String>,
    /// Headers of the answer: `literal`, `setting`, or a `header` of the (verified) request.
    pub headers: BTreeMap<String, Find>,
    /// How long the platform waits (`10s`).
    pub deadline: Option<String>,
    /// Which statuses it counts as delivered, as its page says.
    pub success: String,
    /// Its retry schedule, as its page says.
    pub retries: String,
    /// What it does on a 4xx.
    pub on_4xx: String,
}
