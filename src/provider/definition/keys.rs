//! Where public keys come from, and what ties a delivery to this customer: `[signature.keys]` and `[[bind]]`.

use serde::Deserialize;

use super::Find;

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

impl Keys {
    /// Pinned or fetched, and none of the customer's.
    pub fn are_the_platforms(&self) -> bool {
        !self.pinned.is_empty() || self.jwks.is_some() || self.certificate.is_some() || self.document.is_some()
    }
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
