//! How a delivery proves who sent it: `[[signature]]`, `[timestamp]` and `[secret]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Claim, Find, Keys};

/// How the text of a configured secret becomes key bytes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretForm {
    /// Where a user finds it on the platform.
    pub hint: String,
    pub encoding: SecretEncoding,
    /// Stripped before decoding when present (`whsec_`). A secret that carries the prefix of one alternative belongs to
    /// the alternatives with that prefix and to no others.
    pub prefix: Option<String>,
    /// A secret without the prefix is not of this form (`whpk_`: a public key must never be taken for an HMAC key).
    pub prefix_required: bool,
    /// Applied to the decoded bytes to get the key (`sha1`: the key is the SHA-1 of the secret).
    pub derive: Option<HashName>,
    /// No secret of the user's at all: keys are fetched or pinned.
    pub none: bool,
    /// Credential setting that is the secret, in place of the source's secrets; without it the alternative is not active.
    pub setting: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum SecretEncoding {
    /// The bytes of the text.
    #[default]
    Text,
    Hex,
    Base64,
    Base64url,
    /// A PEM block, or the same without its lines (base64 of SPKI DER).
    Pem,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampRule {
    /// Nowhere (a parameter that the source leaves out): the delivery has no timestamp.
    #[serde(default)]
    pub from: Find,
    #[serde(default)]
    pub format: TimeFormat,
    /// How far from now, both ways (`5m`). Absent: the platform states none, and nothing is refused for its age.
    #[serde(default)]
    pub tolerance: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    #[default]
    Unix,
    UnixMs,
    Rfc3339,
    /// A date and a time without an offset, `T` or a space between them, where the platform means UTC.
    IsoUtc,
    HttpDate,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Keyed MAC over `content`.
    Hmac,
    /// Plain hash over `content`, in which the part `secret` stands.
    Hash,
    /// The secret itself, compared.
    Token,
    /// HTTP Basic: the secret is `user:password`.
    Basic,
    Rsa,
    RsaPss,
    Ecdsa,
    Ed25519,
    /// A compact JWS in `from` (a header, or `{ part = "body" }`), its claims checked.
    Jwt,
    /// A detached JWS in `from` (RFC 7515 appendix F), its payload being `content`.
    Jws,
    /// The draft `cavage-http-signatures`: `Signature: keyId="…",headers="…",signature="…"` and `Digest`.
    HttpSignature,
    /// RFC 9421: `Signature-Input` and `Signature`, with `Content-Digest` (RFC 9530).
    HttpMessageSignature,
    /// Nothing proves the sender; must be asked for by name.
    None,
}

impl Scheme {
    /// Its signatures name their algorithm; which ones are accepted says `algorithms`.
    pub fn names_algorithm(self) -> bool {
        matches!(
            self,
            Self::Jwt | Self::Jws | Self::HttpSignature | Self::HttpMessageSignature
        )
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum HashName {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    /// As Ethereum has it: Keccak with its own padding, not SHA3-256.
    Keccak256,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
    Base64url,
    /// The bytes as they are (tokens).
    Text,
}

/// One way in which the platform proves itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    pub scheme: Scheme,
    /// What a source calls it to pin it (`signature: token`). Only needed where there are several.
    #[serde(default)]
    pub name: Option<String>,
    /// Where the signature is; its presence selects this alternative.
    #[serde(default)]
    pub from: Find,
    /// Selects this alternative only where other values are as said (SNS `SignatureVersion`). All must hold.
    #[serde(default)]
    pub when: Vec<Condition>,
    #[serde(default)]
    pub algorithm: Option<HashName>,
    /// Default: hex, and text for tokens.
    #[serde(default)]
    pub encoding: Option<Encoding>,
    /// How one header holds several signatures.
    #[serde(default)]
    pub list: Option<ListForm>,
    /// What is signed, in order: part names, literals, or found values.
    #[serde(default)]
    pub content: Vec<Part>,
    /// Overrides the definition's timestamp.
    #[serde(default)]
    pub timestamp: Option<TimestampRule>,
    /// Overrides the definition's secret form.
    #[serde(default)]
    pub secret: Option<SecretForm>,
    #[serde(default)]
    pub keys: Keys,
    /// JWT and JWS: accepted `alg` values. HTTP signatures: accepted algorithms, by the names that their specification
    /// has for them.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// JWT: what its claims must say. JWS: what its protected header must say; HTTP signatures: what their parameters
    /// must say. Values: text, list (any of), boolean, or `{ setting = "…" }`.
    #[serde(default)]
    pub claims: BTreeMap<String, Claim>,
    /// HTTP signatures: what must be covered, among it the body's digest (`content-digest`, `digest`). What a signature
    /// covers beyond that is checked as well.
    #[serde(default)]
    pub components: Vec<String>,
    /// JWS: the payload is signed as it is, and the header says so (`b64: false`, RFC 7797).
    #[serde(default)]
    pub unencoded: bool,
    /// With public keys: signed is this hash of the content, which the algorithm hashes once more.
    #[serde(default)]
    pub prehash: Option<HashName>,
    /// ECDSA: `r‖s` instead of DER.
    #[serde(default)]
    pub raw: bool,
    /// Digests of the body that the signature covers in its place (`bodySHA256` of a signed URL, a claim of a token).
    #[serde(default)]
    pub digest: Vec<Digest>,
    /// The URL is tried as it is, without its port, and with its scheme's standard port (Twilio signs any of them).
    #[serde(default)]
    pub either_port: bool,
}

/// A signed value that must be the body's hash.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    pub find: Find,
    pub hash: HashName,
    #[serde(default)]
    pub encoding: Encoding,
}

/// `sig sig` (a separator), or `t=1,v1=sig,v1=sig` (a separator and an assignment).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListForm {
    /// Between items: `,` or ` `.
    pub separator: String,
    /// Between a key and its value: `=` or `,`. Absent: items are bare signatures.
    #[serde(default)]
    pub assign: Option<String>,
    /// Key of the signature (`v1`); other keys are ignored.
    #[serde(default)]
    pub key: Option<String>,
    /// Names for the items in front of the signatures, where these have none of their own (`1700000000,sig,sig`).
    #[serde(default)]
    pub leading: Vec<String>,
}

/// A piece of the signed content.
///
/// Bare words are named parts: `body`, `timestamp`, `method`, `url`, `path`, `query`, `host`,
/// `sorted_form` (Twilio: names and values of the form, sorted, joined without separators), `sorted_json` (the body's
/// JSON written anew as RFC 8785 has it: members sorted, no spaces), `secret`.
/// Punctuation is itself; a literal that looks like a word is written `{ literal = "v0" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Part {
    Word(String),
    Lines(Lines),
    Sorted(Sorted),
    Compact(Compact),
    Listed(Box<Listed>),
    Fields(Fields),
    Raw(Raw),
    WithSecret(WithSecret),
    Found(Box<Find>),
}

/// Headers that the delivery itself lists as signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Where the list of names is.
    pub listed: Find,
    /// Between names in that list.
    pub split: String,
    /// Names that must be in it: what is not listed is not signed.
    pub require: Vec<String>,
    /// Between a name, as it is listed, and its value. Absent: values alone.
    #[serde(default)]
    pub assign: Option<String>,
    /// Between headers in the signed content.
    pub join: String,
}

/// Fields of a form body, decoded, and written anew.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    pub fields: FieldsForm,
    /// Fields that are not signed, the signature's own among them.
    pub without: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum FieldsForm {
    /// `name=value&name=value`, sorted by name, empty values left out (Alipay).
    SortedPairs,
    /// PHP's `serialize` of an array of strings, sorted by name (Paddle Classic).
    Php,
    /// Python's `json.dumps` of a dictionary of texts, in the order of the form (FreshBooks).
    PythonJson,
}

/// The value at a JSON pointer, byte for byte as it stands in the body, be it an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    pub raw: String,
}

/// The body with the secret in place of the text at this JSON pointer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithSecret {
    pub body_with_secret_at: String,
}

/// `name\nvalue\n` for each of these top-level members of the body that is present (SNS).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    pub named_lines: Vec<String>,
}

/// These values in the order of their bytes, nothing between them (WeChat).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sorted {
    pub sorted: Vec<Find>,
}

/// The bytes of this member of the body (a JSON pointer), without the white space between its tokens (Bitso).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compact {
    pub compact: String,
}

/// A value that must be there, and what it must be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    pub find: Find,
    #[serde(default)]
    pub equals: Option<Literal>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Literal {
    Bool(bool),
    Int(i64),
    Text(String),
    AnyOf(Vec<String>),
}
