//! `provider.toml`, as it is written. Each room compiles its own part once, at load.
//!
//! A text that is `"${name}"` stands for what a source gives for that setting: `template` fills it in before the typed parse.

use std::collections::BTreeMap;

use serde::Deserialize;

mod event;
mod handshake;
mod keys;
mod signature;

pub use event::{Answer, Batch, BodyFormat, BodyRule, CipherMode, CipherRule, EventRule, EventTime, Inner};
pub use handshake::{Confirm, Handshake, Hashed, Prove, Reply, ReplyValue, TokenProof};
pub use keys::{Bind, Claim, ClientCredentials, KeyDocument, KeyForm, Keys};
pub use signature::{
    Compact, Condition, Digest, Encoding, Fields, FieldsForm, HashName, Lines, ListForm, Listed, Literal, Part, Raw,
    Scheme, SecretEncoding, SecretForm, Signature, Sorted, TimeFormat, TimestampRule, WithSecret,
};

/// One platform.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The platform's name as it writes it itself.
    pub title: String,
    /// Kind of platform, for listings (`payments`, `devops`, …).
    pub category: String,
    /// The platform's page that the rules were read from.
    pub docs: String,
    /// The day the page was read, `YYYY-MM-DD`.
    pub read: String,
    pub confidence: Confidence,
    /// Which kit agreed, or which passage was read.
    pub evidence: String,
    #[serde(default)]
    pub notes: String,
    /// Reverse domain in front of event types (`com.github`). Empty: what the data finds is the whole type.
    pub domain: String,
    #[serde(default)]
    pub secret: SecretForm,
    /// What a source must or may tell besides its secrets.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// Where the signed time is, when all signatures share one.
    #[serde(default)]
    pub timestamp: Option<TimestampRule>,
    /// Alternatives, strongest first: the first that is present must hold.
    pub signature: Vec<Signature>,
    /// What ties a genuine delivery to this customer.
    #[serde(default)]
    pub bind: Vec<Bind>,
    #[serde(default)]
    pub handshake: Vec<Handshake>,
    #[serde(default)]
    pub body: BodyRule,
    #[serde(default)]
    pub event: EventRule,
    #[serde(default)]
    pub batch: Option<Batch>,
    #[serde(default)]
    pub answer: Answer,
    /// Networks (CIDR) that the platform's page says it sends from, as of the day it was read. They count for a source that
    /// lists `published` among its `senders`.
    #[serde(default)]
    pub senders: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Secondary source; a self-made sample proves nothing more.
    Reported,
    /// The passage of the official page was read.
    Documented,
    /// The vendor's own kit agreed.
    Oracle,
}

/// A named parameter that a source gives under `settings:`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub description: String,
    #[serde(default)]
    pub required: bool,
    /// A credential: takes `{ env }` or `{ file }`, never prints.
    #[serde(default)]
    pub credential: bool,
    /// Accepts a list; one value is a list of one.
    #[serde(default)]
    pub list: bool,
    #[serde(default)]
    pub default: Option<toml::Value>,
    /// Closed set of values.
    #[serde(default)]
    pub one_of: Vec<String>,
}

/// Where a value is found in a delivery. Exactly one place; a missing value is `None`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Find {
    pub header: Option<String>,
    pub query: Option<String>,
    /// A field of a form body, url-encoded or multipart; a file is none.
    pub form: Option<String>,
    /// JSON pointer (RFC 6901) into the whole body.
    pub json: Option<String>,
    /// JSON pointer into the batch element (or the body, where there is no batch).
    pub item: Option<String>,
    /// JSON pointer into the inner document that `body.inner` unwraps.
    pub inner: Option<String>,
    /// A field of the key-value signature header (`t` in `t=…,v1=…`).
    pub field: Option<String>,
    /// A claim of the verified token.
    pub claim: Option<String>,
    pub setting: Option<String>,
    pub literal: Option<String>,
    /// Only in signed content: a named part (`body`, `url`, …), to give it a transform.
    pub part: Option<String>,
    /// Must stand in front of the value, and is not part of it.
    pub prefix: Option<String>,
    pub transform: Option<Transform>,
    /// JSON pointer into the value, where that (transformed) is a JSON document itself: eBay's signature header. Not for
    /// what is found in events.
    pub inside: Option<String>,
    /// Only in what is found in events: the text that stands for each value, `*` for any other (Discord's type `2` is
    /// `APPLICATION_COMMAND`). A value without one is as if it were not there. Empty: values stand for themselves.
    pub map: BTreeMap<String, String>,
    /// In a joined list: may be missing.
    pub optional: bool,
}

impl Find {
    /// No place is named.
    pub fn is_nowhere(&self) -> bool {
        self.places().is_empty()
    }

    /// The places that are named; a usable one names exactly one.
    pub fn places(&self) -> Vec<(&'static str, &str)> {
        [
            ("header", &self.header),
            ("query", &self.query),
            ("form", &self.form),
            ("json", &self.json),
            ("item", &self.item),
            ("inner", &self.inner),
            ("field", &self.field),
            ("claim", &self.claim),
            ("setting", &self.setting),
            ("literal", &self.literal),
            ("part", &self.part),
        ]
        .into_iter()
        .filter_map(|(place, name)| Some((place, name.as_deref()?)))
        .collect()
    }
}

/// The closed set of what may be done to a value.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    Lowercase,
    Uppercase,
    Trim,
    Sha256Hex,
    Sha256Base64,
    Sha1Hex,
    Md5Hex,
    Md5Base64,
    /// CRC-32 (IEEE) as an unsigned decimal (PayPal).
    Crc32Decimal,
    Base64Decode,
    Base64Encode,
    Base64urlEncode,
    /// A JSON text of it, in quotes, as JavaScript's `JSON.stringify` writes it.
    JsonString,
    UrlDecode,
    UrlEncode,
    /// HMAC-SHA256 with the source's first secret, in hex: only in answers to challenges.
    HmacSha256Hex,
    HmacSha256Base64,
    /// The same with a prefix `sha256=` in front of the base64 (X).
    Sha256EqualsHmacBase64,
    /// What the cipher of `body.inner` hides in the value: only in challenges.
    Decrypt,
}

/// First alternative that is wholly present wins.
pub type Alternatives = Vec<Alternative>;

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Alternative {
    One(Box<Find>),
    /// All must be present, but those that say `optional`; joined by the rule's separator.
    Joined(Vec<Find>),
}
