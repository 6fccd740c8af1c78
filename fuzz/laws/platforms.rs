//! Every signature of every provider, with keys that nobody else has: made anew in each process, so that no input can hold one.

use std::sync::{LazyLock, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hooksluice::clock::Timestamp;
use hooksluice::delivery::{Headers, Method};
use hooksluice::handshake::Handshakes;
use hooksluice::keys::{Hosts, Keyring};
use hooksluice::provider::definition::{Definition, Find, HashName, Scheme, SecretEncoding, SecretForm};
use hooksluice::provider::sample::Sample;
use hooksluice::provider::{Provider, Settings};
use hooksluice::verify::{Signed, Unsigned, Verifier, sign};
use ring::rand::{SecureRandom, SystemRandom};

use super::support::{self, CATALOGUE};
use key_pairs::{Pair, RSA, ed25519, p256};

#[path = "../../tests/gateway/verify/key_pairs.rs"]
#[allow(dead_code, clippy::duplicate_mod)]
mod key_pairs;

/// One `[[signature]]` of a provider, and a sample of what it signs.
pub struct Platform {
    pub name: String,
    /// Position of the signature.
    pub index: usize,
    samples: Vec<Sample>,
    keyed: OnceLock<Option<Keyed>>,
}

/// A source of that platform's that has a key, and its owner.
pub struct Keyed {
    pub definition: Definition,
    pub verifier: Verifier,
    pub handshakes: Handshakes,
    pub sample: Sample,
    settings: Settings,
    signs: String,
    pinned: Option<String>,
}

pub static PLATFORMS: LazyLock<Vec<Platform>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for name in CATALOGUE.names() {
        let definition = CATALOGUE.definition(&name).expect("a definition");
        let samples: Vec<Sample> = CATALOGUE
            .sample_names(&name)
            .iter()
            .map(|sample| CATALOGUE.sample(&name, sample).expect("a sample"))
            .collect();
        // What asks for no proof cannot be forged.
        let asks = definition
            .signature
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.scheme != Scheme::None);
        all.extend(asks.map(|(index, _)| Platform {
            name: name.clone(),
            index,
            samples: samples.clone(),
            keyed: OnceLock::new(),
        }));
    }
    all
});

/// The moment at which platforms sign: their certificate is valid then.
pub fn today() -> Timestamp {
    static TODAY: LazyLock<Timestamp> = LazyLock::new(|| {
        LazyLock::force(&RSA);
        hooksluice::clock::now()
    });
    *TODAY
}

impl Platform {
    /// The one that a name, and a position behind a blank, stand for.
    pub fn of(line: &str) -> &'static Self {
        let (name, index) = line.split_once(' ').unwrap_or((line, "0"));
        let index = index
            .split(' ')
            .next()
            .and_then(|index| index.parse().ok())
            .unwrap_or(0);
        let exact = PLATFORMS
            .iter()
            .find(|platform| platform.name == name && platform.index == index);
        exact.unwrap_or_else(|| support::pick(&PLATFORMS, name, |platform| &platform.name))
    }

    /// `None`: none of its samples can be made into a source (one lacks the settings it needs).
    pub fn keyed(&self) -> Option<&Keyed> {
        let make = || {
            let keyed = |sample: &Sample| Keyed::new(&self.name, self.index, sample);
            let all: Vec<Keyed> = self.samples.iter().filter_map(keyed).collect();
            // Rather a sample that this signature can sign.
            let at = all.iter().position(|keyed| keyed.sign(None).is_some()).unwrap_or(0);
            all.into_iter().nth(at)
        };
        self.keyed.get_or_init(make).as_ref()
    }
}

impl Keyed {
    fn new(name: &str, index: usize, sample: &Sample) -> Option<Self> {
        let given = sample
            .signed
            .as_ref()
            .map(|signed| signed.settings.clone())
            .unwrap_or_default();
        let Provider {
            mut definition,
            settings,
        } = CATALOGUE.provider(name, &given).ok()?;
        let keys = keys(&mut definition, index, sample)?;
        let pinned = definition.signature[index].name.clone();
        let secrets = |text: Option<&String>| {
            let texts: Vec<&[u8]> = text.iter().map(|text| text.as_bytes()).collect();
            support::secrets(&texts)
        };
        let secrets = secrets(keys.verifies.as_ref());
        let keyring = keyring(&keys.served).into();
        let verifier = Verifier::compile(&definition, &secrets, &settings, &keyring, pinned.as_deref()).ok()?;
        let handshakes = Handshakes::compile(&definition, &secrets, &settings).ok()?;
        Some(Self {
            definition,
            verifier,
            handshakes,
            sample: sample.clone(),
            settings,
            signs: keys.signs,
            pinned,
        })
    }

    /// As the platform would sign its sample, or another body in its place. `None`: that cannot be signed so.
    pub fn sign(&self, body: Option<&[u8]>) -> Option<Signed> {
        let secrets = support::secrets(&[self.signs.as_bytes()]);
        let request = self.request(body.unwrap_or(&self.sample.body));
        sign(
            &self.definition,
            &secrets,
            &self.settings,
            self.pinned.as_deref(),
            request,
        )
        .ok()
    }

    /// The sample's request around a body, unsigned.
    pub fn request(&self, body: &[u8]) -> Unsigned {
        let request = &self.sample.request;
        let headers: Headers = request
            .headers
            .iter()
            .filter_map(|(name, value)| support::header(name.as_bytes(), value.as_bytes()))
            .collect();
        let url = request.url.as_deref().unwrap_or(support::URL);
        let query = match request.query.as_str() {
            "" => String::new(),
            query => format!("?{query}"),
        };
        let method = request.method.as_deref().unwrap_or("POST");
        Unsigned {
            method: method.parse().unwrap_or(Method::POST),
            url: format!("{url}{query}"),
            headers,
            body: body.to_vec().into(),
            at: today(),
        }
    }
}

struct Keys {
    signs: String,
    /// `None`: the source has no secret of its own.
    verifies: Option<String>,
    /// What the platform's URLs serve.
    served: Vec<(String, String)>,
}

fn keyring(served: &[(String, String)]) -> Keyring {
    let keyring = Keyring::default();
    for (url, body) in served {
        let host = url.split('/').nth(2).unwrap_or_default().to_owned();
        let target = Hosts::new(&[host], None).check(url).expect("an https URL");
        keyring
            .remember(&target, body.as_bytes(), today())
            .expect("usable keys");
    }
    keyring
}

/// Keys for a signature; keys that the platform pins for everybody are replaced by ours. `None`: nothing of ours makes it.
fn keys(definition: &mut Definition, index: usize, sample: &Sample) -> Option<Keys> {
    let own = definition.secret.clone();
    let rule = &mut definition.signature[index];
    let form = rule.secret.clone().unwrap_or(own);
    let is_public = match rule.scheme {
        // Signed with SHA-1 nothing is any more.
        Scheme::Rsa if rule.algorithm == Some(HashName::Sha1) => return None,
        Scheme::Rsa | Scheme::RsaPss | Scheme::Ecdsa | Scheme::Ed25519 => true,
        Scheme::Jwt => !rule.algorithms[0].starts_with("HS"),
        _ => false,
    };
    if !is_public {
        let secret = shared(&form, rule.scheme);
        return Some(Keys {
            signs: secret.clone(),
            verifies: Some(secret),
            served: Vec::new(),
        });
    }
    let pair = match rule.scheme {
        Scheme::Ed25519 => ed25519(),
        Scheme::Ecdsa => p256(),
        Scheme::Jwt if rule.algorithms[0].starts_with("ES") => p256(),
        _ => {
            let pem = RSA.public.clone();
            let mut served = Vec::new();
            let mut verifies = None;
            if let Some(url) = &rule.keys.jwks {
                served.push((url.clone(), RSA.key_set.clone()));
            } else if let Some(find) = &rule.keys.certificate {
                served.push((named_url(find, sample)?, RSA.certificate.clone()));
            } else if rule.keys.pinned.is_empty() {
                verifies = Some(pem);
            } else {
                rule.keys.pinned = vec![pem];
            }
            return Some(Keys {
                signs: RSA.private.clone(),
                verifies,
                served,
            });
        }
    };
    let verifies = if rule.keys.pinned.is_empty() {
        Some(configured(&form, &pair))
    } else {
        rule.keys.pinned = vec![pair.public_pem()];
        None
    };
    Some(Keys {
        signs: pair.private,
        verifies,
        served: Vec::new(),
    })
}

/// A public key as a user would configure it.
fn configured(form: &SecretForm, pair: &Pair) -> String {
    let bytes = pair.bare.as_ref().unwrap_or(&pair.spki);
    let text = match form.encoding {
        SecretEncoding::Hex => hex::encode(bytes),
        SecretEncoding::Base64url => URL_SAFE_NO_PAD.encode(bytes),
        SecretEncoding::Base64 => STANDARD.encode(bytes),
        SecretEncoding::Text | SecretEncoding::Pem => pair.public_pem(),
    };
    format!("{}{text}", form.prefix.as_deref().unwrap_or_default())
}

fn shared(form: &SecretForm, scheme: Scheme) -> String {
    let mut bytes = [0; 24];
    SystemRandom::new().fill(&mut bytes).expect("randomness");
    let text = match form.encoding {
        SecretEncoding::Base64 => STANDARD.encode(bytes),
        SecretEncoding::Base64url => URL_SAFE_NO_PAD.encode(bytes),
        _ if scheme == Scheme::Basic => format!("user:{}", hex::encode(bytes)),
        _ => hex::encode(bytes),
    };
    format!("{}{text}", form.prefix.as_deref().unwrap_or_default())
}

/// The URL of a certificate that a sample names.
fn named_url(find: &Find, sample: &Sample) -> Option<String> {
    if let Some(header) = &find.header {
        let mut headers = sample.request.headers.iter();
        let named = headers.find(|(name, _)| name.eq_ignore_ascii_case(header));
        return named.map(|(_, url)| url.clone());
    }
    let body: serde_json::Value = serde_json::from_slice(&sample.body).ok()?;
    Some(body.pointer(find.json.as_deref()?)?.as_str()?.to_owned())
}
