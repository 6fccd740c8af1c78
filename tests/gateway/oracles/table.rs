//! `tests/oracles/suite.toml`: which kit stands behind which provider, and the deliveries that are shown to both.

use std::collections::BTreeMap;

use hooksluice::clock::now;
use hooksluice::delivery::{Headers, Method};
use hooksluice::provider::sample::Sample;
use hooksluice::provider::{Catalogue, Provider};
use hooksluice::verify::{Unsigned, sign};
use serde::Deserialize;
use serde_json::json;

use crate::support::oracle::{Delivery, KITS};
use crate::verify::catalogue::{Keys, is_public, keys};
use crate::verify::key_pairs::Rsa;
use crate::verify::{headers, secrets};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub case: Vec<Case>,
    pub absent: Vec<Absent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub provider: String,
    pub npm: Option<String>,
    pub pypi: Option<String>,
    check: Option<String>,
    sample: Option<String>,
    signature: Option<String>,
    signs: Option<String>,
    bend: Option<Bend>,
    #[serde(default)]
    pub others: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Bend {
    Header(String),
    Body(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    pub provider: String,
    pub kit: String,
    pub why: String,
}

/// A file of this package.
fn text(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Table {
    pub fn read() -> Self {
        toml::from_str(&text("tests/oracles/suite.toml")).unwrap_or_else(|error| panic!("suite.toml: {error}"))
    }
}

/// The kits that `scripts/kits install` installs, as evidence names them: `npm stripe 23.1.0`.
pub fn pinned() -> Vec<(&'static str, String, String)> {
    let list: serde_json::Value = serde_json::from_str(&text("tests/kits/package.json")).expect("JSON");
    let npm = list["dependencies"].as_object().expect("dependencies").iter();
    let npm = npm.map(|(name, version)| ("npm", name.clone(), version.as_str().expect("a version").to_owned()));
    let pypi = text("tests/kits/requirements.txt");
    let pypi = pypi.lines().filter_map(|line| line.split_once("=="));
    npm.chain(pypi.map(|(name, version)| ("PyPI", name.to_owned(), version.to_owned())))
        .collect()
}

/// A case with everything that signing, showing and receiving it needs.
pub struct Subject {
    /// What it is, for messages.
    pub place: String,
    pub provider: String,
    pub settings: serde_json::Value,
    pub keys: Keys,
    /// Keys of somebody else's, in the same form.
    pub foreign: Keys,
    definition: Provider,
    sample: Sample,
    case: Case,
}

impl Case {
    pub fn kit(&self) -> (&'static str, &str) {
        match (&self.npm, &self.pypi) {
            (Some(name), None) => ("npm", name),
            (None, Some(name)) => ("PyPI", name),
            _ => panic!("suite.toml: {}: one of `npm` and `pypi`", self.provider),
        }
    }

    pub fn subject(self, ours: &Rsa, others: &Rsa) -> Subject {
        let catalogue = Catalogue::built_in();
        let names = catalogue.sample_names(&self.provider);
        let first = || {
            names
                .first()
                .cloned()
                .unwrap_or_else(|| panic!("{} has no sample", self.provider))
        };
        let name = self.sample.clone().unwrap_or_else(first);
        let sample = catalogue.sample(&self.provider, &name);
        let sample = sample.unwrap_or_else(|error| panic!("{error}"));
        let recorded = sample.signed.clone().expect("a recorded delivery");
        let definition = catalogue.provider(&self.provider, &recorded.settings);
        let mut definition = definition.unwrap_or_else(|errors| panic!("{}: {errors:?}", self.provider));
        // Where a platform has both, its kits know the shared secret.
        let mut signatures = definition.definition.signature.iter();
        let index = signatures.position(|signature| !is_public(signature)).unwrap_or(0);
        let mut keys = |rsa: &Rsa, change: fn(&str) -> String| {
            let mut keys = keys(&mut definition.definition, index, &sample, rsa);
            // What is shared is the sample's: some kits look at a secret's form.
            if keys.signs == keys.verifies {
                keys.verifies = recorded.secret.as_deref().map(change);
                keys.signs.clone_from(&keys.verifies);
            }
            keys
        };
        let (own, foreign) = (keys(ours, str::to_owned), keys(others, another));
        let (registry, kit) = self.kit();
        Subject {
            place: format!("{} {name}, {registry} {kit}", self.provider),
            provider: self.provider.clone(),
            settings: settings(&self.provider, &name),
            keys: own,
            foreign,
            definition,
            sample,
            case: self,
        }
    }
}

impl Subject {
    /// Signs the sample anew, for a source at this URL.
    pub fn sign(&self, url: &str) -> Delivery {
        let url = match self.sample.request.query.as_str() {
            "" => url.to_owned(),
            query => format!("{url}?{query}"),
        };
        let request = self.sample.request.headers.iter();
        let request: Vec<_> = request.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Some(signer) = &self.case.signs {
            let secret = self.keys.signs.as_deref().unwrap_or_default();
            let more = json!({ "url": url, "id": "msg_of_the_oracles" });
            return KITS.sign(signer, secret, &request, &self.sample.body, more);
        }
        let unsigned = Unsigned {
            method: Method::POST,
            url,
            headers: headers(&request),
            body: self.sample.body.clone().into(),
            at: now(),
        };
        let given = secrets(self.keys.signs.as_deref().as_slice());
        let Provider { definition, settings } = &self.definition;
        let signed = sign(definition, &given, settings, self.case.signature.as_deref(), unsigned);
        let signed = signed.unwrap_or_else(|problems| panic!("{}: {problems:#?}", self.place));
        Delivery {
            headers: texts(&signed.headers),
            body: signed.body.to_vec(),
            url: Some(signed.url),
            secret: String::new(),
            certificate: None,
        }
    }

    /// The same delivery with one byte changed.
    pub fn bend(&self, genuine: &Delivery) -> Delivery {
        let mut bent = genuine.clone();
        match &self.case.bend {
            Some(Bend::Header(wanted)) => {
                let mut headers = bent.headers.iter_mut();
                let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                let (_, value) = found.unwrap_or_else(|| panic!("{}: no header {wanted}", self.place));
                let bytes = bend(value.as_bytes(), value.len() / 2);
                *value = String::from_utf8(bytes).expect("ASCII");
            }
            Some(Bend::Body(before)) => {
                let mut windows = genuine.body.windows(before.len());
                let at = windows.position(|window| window == before.as_bytes());
                let at = at.unwrap_or_else(|| panic!("{}: no `{before}` in the body", self.place));
                bent.body = bend(&genuine.body, at + before.len());
            }
            None => bent.body = bend(&genuine.body, genuine.body.len() / 2),
        }
        bent
    }

    /// What the kit says to a delivery: nothing where it accepts it, else why not.
    pub fn show(&self, delivery: &Delivery) -> Result<(), String> {
        let lower = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
        let headers: BTreeMap<_, _> = delivery.headers.iter().map(lower).collect();
        let keys: BTreeMap<_, _> = self.keys.served.iter().cloned().collect();
        let check = self.case.check.as_ref().unwrap_or(&self.provider);
        let asked = json!({
            "check": check, "secret": self.keys.verifies, "url": delivery.url, "method": "POST",
            "headers": headers, "settings": self.settings, "keys": keys,
        });
        KITS.verdict(self.case.npm.is_some(), asked, &delivery.body)
    }
}

fn another(secret: &str) -> String {
    let middle = secret.len() / 2;
    let other = if secret.as_bytes()[middle] == b'A' { 'B' } else { 'A' };
    format!("{}{other}{}", &secret[..middle], &secret[middle + 1..])
}

/// As they are written: a source is configured with the same.
fn settings(provider: &str, sample: &str) -> serde_json::Value {
    let sheet = text(&format!("schemas/{provider}/samples/{sample}.toml"));
    let sheet: serde_json::Value = toml::from_str(&sheet).expect("TOML");
    let settings = sheet.pointer("/signed/settings").cloned();
    settings.unwrap_or_else(|| json!({}))
}

fn texts(headers: &Headers) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("ASCII");
    let headers = headers.iter();
    headers
        .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
        .collect()
}

/// Another letter or digit, at this place or soon after; JSON stays JSON, so that a kit has to look at the signature.
fn bend(bytes: &[u8], from: usize) -> Vec<u8> {
    let is_json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
    for at in from..bytes.len() {
        let other = bytes[at] ^ 1;
        if !bytes[at].is_ascii_alphanumeric() || !other.is_ascii_alphanumeric() {
            continue;
        }
        let mut bent = bytes.to_vec();
        bent[at] = other;
        if is_json(&bent) == is_json(bytes) {
            return bent;
        }
    }
    panic!("nothing to change from {from} on in {}", String::from_utf8_lossy(bytes));
}
