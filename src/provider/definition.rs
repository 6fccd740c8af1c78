//! `provider.toml`, as it is written. Each room compiles its own part once, at load.
//!
//! A text that is `"${name}"` stands for what a source gives for that setting: `template` fills it in before the typed parse.

use std::collections::BTreeMap;

use serde::Deserialize;

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

impl Keys {
    /// Pinned or fetched, and none of the customer's.
    pub fn are_the_platforms(&self) -> bool {
        !self.pinned.is_empty() || self.jwks.is_some() || self.certificate.is_some() || self.document.is_some()
    }
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

/// Where verification keys come from. Default: the source's secrets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Public keys (PEM, or base64 of SPKI DER) that the platform publishes once for all customers.
    pub pinned: Vec<String>,
    /// A JSON Web Key Set.
    pub jwks: Option<String>,
    /// Another document of the platform's that holds keys.
    pub document: Option<KeyDocument>,
    /// Where a delivery names the key of a `jwks` or `document`; a token names its own. Nowhere: each of them is tried.
    pub id: Option<Find>,
    /// The delivery names an X.509 certificate's URL here.
    pub certificate: Option<Find>,
    /// Hosts from which keys may be fetched; `*` stands for one label of three characters or more.
    pub hosts: Vec<String>,
    /// Required ending of the path of a URL that a delivery names (`.pem`).
    pub path_suffix: Option<String>,
}

/// A PEM file, or a JSON document with keys in it (PEM, or base64 of SPKI DER).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyDocument {
    /// `{id}` in it stands for the key's id, which makes it a document of one key. Absent (a parameter that the source
    /// leaves out): the alternative is not active.
    #[serde(default)]
    pub url: Option<String>,
    /// JSON pointer to the array of keys. Absent: the document is about one.
    #[serde(default)]
    pub items: Option<String>,
    /// JSON pointer into an item, to its id.
    #[serde(default)]
    pub item_id: Option<String>,
    /// JSON pointer into an item (or the document), to the key. Absent: the document is a PEM file.
    #[serde(default)]
    pub key: Option<String>,
    /// Credential setting that is shown to the platform as `Authorization: Bearer`.
    #[serde(default)]
    pub bearer: Option<String>,
    /// Such a bearer token has to be asked for first.
    #[serde(default)]
    pub client_credentials: Option<ClientCredentials>,
}

/// A token by the client credentials grant (RFC 6749 section 4.4), the client being the customer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    pub token_url: String,
    #[serde(default)]
    pub scope: String,
    /// Settings that hold the client's id and its secret (a credential).
    pub id: String,
    pub secret: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Claim {
    Bool(bool),
    Text(String),
    AnyOf(Vec<String>),
    Setting { setting: String },
}

/// A delivery is this customer's only when the value found is in the setting's list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    pub find: Find,
    pub setting: String,
}

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

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum KeyForm {
    /// The bytes of the text.
    #[default]
    Text,
    Base64,
    /// SHA-256 of the text.
    Sha256,
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
