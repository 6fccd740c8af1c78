//! Every built-in provider, every one of its signatures, both ways round: signed by us, verified by us, and refused once
//! a byte is changed. That the platform agrees is shown elsewhere, by its own kit and by recorded deliveries.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hooksluice::clock::{Timestamp, now};
use hooksluice::delivery::Method;
use hooksluice::provider::Catalogue;
use hooksluice::provider::definition::{
    self, Definition, Find, HashName, Scheme, SecretEncoding, SecretForm, Signature,
};
use hooksluice::provider::sample::Sample;
use hooksluice::verify::{Unsigned, Verifier, sign};

use super::key_pairs::{Pair, RSA, Rsa, ed25519, key_set, p256, p521};
use super::{headers, keyring, raw, secrets, verify};

/// What one signature is made and checked with.
pub struct Keys {
    pub signs: Option<String>,
    /// `None`: the source has no secret of its own.
    pub verifies: Option<String>,
    /// What the platform's URLs serve.
    pub served: Vec<(String, String)>,
}

/// A key as a user would configure it.
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
    let text = match form.encoding {
        SecretEncoding::Hex => hex::encode("a secret of the tests"),
        SecretEncoding::Base64 => STANDARD.encode("a secret of the tests"),
        SecretEncoding::Base64url => URL_SAFE_NO_PAD.encode("a secret of the tests"),
        _ if scheme == Scheme::Basic => "user:password".into(),
        _ => "a secret of the tests".into(),
    };
    format!("{}{text}", form.prefix.as_deref().unwrap_or_default())
}

/// The URL of a certificate that a sample names.
fn named_url(find: &Find, sample: &Sample) -> Option<String> {
    if let Some(header) = &find.header {
        let mut headers = sample.request.headers.iter();
        return headers
            .find(|(name, _)| name.eq_ignore_ascii_case(header))
            .map(|(_, url)| url.clone());
    }
    let body: serde_json::Value = serde_json::from_slice(&sample.body).ok()?;
    Some(body.pointer(find.json.as_deref()?)?.as_str()?.to_owned())
}

pub fn is_public(rule: &Signature) -> bool {
    match rule.scheme {
        Scheme::Rsa | Scheme::RsaPss | Scheme::Ecdsa | Scheme::Ed25519 => true,
        Scheme::Jwt | Scheme::Jws | Scheme::HttpSignature | Scheme::HttpMessageSignature => !["HS", "hmac"]
            .iter()
            .any(|shared| rule.algorithms[0].starts_with(shared)),
        _ => false,
    }
}

/// Keys for a signature; keys that the platform pins for everybody are replaced by ours.
pub fn keys(definition: &mut Definition, index: usize, sample: &Sample, rsa: &Rsa) -> Keys {
    let own = definition.secret.clone();
    let rule = &mut definition.signature[index];
    let form = rule.secret.clone().unwrap_or(own);
    // Keys in documents are tried as pinned ones; that they are fetched is shown with the keys' own tests.
    let names_its_key = !matches!(rule.scheme, Scheme::Jwt | Scheme::Jws);
    if rule.keys.document.is_some() || (rule.keys.jwks.is_some() && names_its_key) {
        rule.keys = definition::Keys {
            pinned: vec![String::new()],
            ..definition::Keys::default()
        };
    }
    // The sample's settings hold the secret.
    if rule.scheme == Scheme::None || form.setting.is_some() {
        return Keys {
            signs: None,
            verifies: None,
            served: Vec::new(),
        };
    }
    if !is_public(rule) {
        let secret = shared(&form, rule.scheme);
        return Keys {
            signs: Some(secret.clone()),
            verifies: Some(secret),
            served: Vec::new(),
        };
    }
    let named = rule.algorithms.first().map(String::as_str);
    let pair = match (rule.scheme, named) {
        (Scheme::Ed25519, _) | (_, Some("EdDSA" | "ed25519")) => ed25519(),
        (_, Some("ES512")) => p521(rsa),
        (Scheme::Ecdsa, _) | (_, Some("ES256" | "ecdsa-p256-sha256")) => p256(),
        _ => {
            let pem = rsa.public.clone();
            let mut served = Vec::new();
            let mut verifies = None;
            if let Some(url) = &rule.keys.jwks {
                served.push((url.clone(), rsa.key_set.clone()));
            } else if let Some(find) = &rule.keys.certificate {
                served.push((named_url(find, sample).expect("a URL"), rsa.certificate.clone()));
            } else if rule.keys.pinned.is_empty() {
                verifies = Some(pem);
            } else {
                rule.keys.pinned = vec![pem];
            }
            return Keys {
                signs: Some(rsa.private.clone()),
                verifies,
                served,
            };
        }
    };
    if let Some(url) = &rule.keys.jwks {
        return Keys {
            verifies: None,
            served: vec![(url.clone(), key_set(&pair))],
            signs: Some(pair.private),
        };
    }
    let verifies = if rule.keys.pinned.is_empty() {
        Some(configured(&form, &pair))
    } else {
        rule.keys.pinned = vec![pair.public_pem()];
        None
    };
    Keys {
        signs: Some(pair.private),
        verifies,
        served: Vec::new(),
    }
}

fn request(sample: &Sample, at: Timestamp) -> Unsigned {
    let pairs: Vec<_> = sample
        .request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let url = sample.request.url.clone().unwrap_or_else(|| super::URL.to_owned());
    let query = if sample.request.query.is_empty() {
        String::new()
    } else {
        format!("?{}", sample.request.query)
    };
    Unsigned {
        method: sample
            .request
            .method
            .as_deref()
            .unwrap_or("POST")
            .parse()
            .unwrap_or(Method::POST),
        url: format!("{url}{query}"),
        headers: headers(&pairs),
        body: sample.body.clone().into(),
        at,
    }
}

/// Signs and verifies one sample by one signature. `Err`: it is not for this sample, says `sign`.
fn round(provider: &str, sample: &Sample, index: usize) -> Result<(), String> {
    let given = sample
        .signed
        .as_ref()
        .map(|signed| signed.settings.clone())
        .unwrap_or_default();
    let Ok(provided) = Catalogue::built_in().provider(provider, &given) else {
        return Err("needs settings".into());
    };
    let (mut definition, settings) = (provided.definition, provided.settings);
    let keys = keys(&mut definition, index, sample, &RSA);
    let pinned = definition.signature[index].name.clone();
    let at = now();

    let given = secrets(keys.signs.as_deref().as_slice());
    let signed = sign(&definition, &given, &settings, pinned.as_deref(), request(sample, at));
    let signed = signed.map_err(|problems| problems.join("; "))?;

    let served: Vec<_> = keys
        .served
        .iter()
        .map(|(url, body)| (url.as_str(), body.as_str()))
        .collect();
    let given = secrets(keys.verifies.as_deref().as_slice());
    let verifier = Verifier::compile(&definition, &given, &settings, &keyring(&served, at), pinned.as_deref());
    let verifier = verifier.unwrap_or_else(|problems| panic!("{provider}: {problems:#?}"));
    let place = format!("{} by signature {index}", sample.place);
    let mut delivery = raw(signed);
    let proof = verify(&verifier, &delivery, at).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(proof.alternative, index, "{place}");

    if verifier.coverage(&proof).body && !delivery.body.is_empty() {
        let mut body = delivery.body.to_vec();
        let last = body.len() - 2;
        body[last] ^= 1;
        delivery.body = body.into();
        assert!(verify(&verifier, &delivery, at).is_err(), "{place}: a byte changed");
    }
    Ok(())
}

/// What `sign` cannot write: a token inside an XML body, a nonce of the platform's own. Their recorded samples are verified.
pub const RECORDED: [&str; 3] = ["salesforce-outbound", "wechat-official", "wecom"];

#[test]
fn every_signature_of_every_provider_can_be_made_and_checked() {
    let catalogue = Catalogue::built_in();
    let mut rounds = BTreeMap::new();
    let mut without = BTreeSet::new();
    for provider in catalogue.names() {
        let definition = catalogue.definition(&provider).expect("a definition");
        let samples: Vec<Sample> = catalogue
            .sample_names(&provider)
            .iter()
            .map(|name| {
                catalogue
                    .sample(&provider, name)
                    .unwrap_or_else(|error| panic!("{error}"))
            })
            .collect();
        for (index, rule) in definition.signature.iter().enumerate() {
            let outcomes: Vec<_> = samples.iter().map(|sample| round(&provider, sample, index)).collect();
            let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            // Nothing of ours signs with SHA-1 and a private key any more; recorded deliveries show that it is verified.
            let is_public = matches!(rule.scheme, Scheme::Rsa | Scheme::Ecdsa);
            let is_retired = is_public && rule.algorithm == Some(HashName::Sha1);
            // A signature of another form of request than any of the samples (a form body, say): nothing to sign.
            let other_form =
                |outcome: &Result<(), String>| matches!(outcome, Err(why) if why.contains("not for this request"));
            let recorded = RECORDED.contains(&provider.as_str());
            if !is_retired && !recorded {
                *rounds.entry(provider.clone()).or_insert(0) += made;
            }
            if made == 0 && !is_retired && !recorded && !outcomes.iter().all(other_form) {
                without.insert(format!("{provider} {index}: {outcomes:?}"));
            }
        }
    }
    assert!(without.is_empty(), "{without:#?}");
    let never: Vec<_> = rounds
        .iter()
        .filter(|(_, made)| **made == 0)
        .map(|(provider, _)| provider)
        .collect();
    assert!(never.is_empty(), "no signature of these was made: {never:?}");
}
