//! Every recorded delivery of every provider, against its definition: accepted as signed, refused when bent, read as
//! the event that it is, and true to its contract.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hooksluice::clock::Timestamp;
use hooksluice::contract::{Contracts, Policy, SchemaFile, Verdict};
use hooksluice::delivery::{HeaderName, HeaderValue, Method, RawDelivery};
use hooksluice::handshake::Handshakes;
use hooksluice::keys::{Hosts, Keyring};
use hooksluice::provider::sample::{Sample, Signed};
use hooksluice::provider::{Catalogue, Provider};
use hooksluice::read::{ReadOptions, Reader};
use hooksluice::secret::{NamedSecret, Secret};
use hooksluice::verify::{Proof, Verifier, VerifyError};

/// A provider as the source of one sample would compile it.
pub struct Source {
    name: String,
    pub provider: Provider,
    secrets: Vec<NamedSecret>,
    pub verifier: Verifier,
}

impl Source {
    pub fn of(name: &str, signed: &Signed) -> Self {
        let provider = Catalogue::built_in().provider(name, &signed.settings);
        let provider = provider.unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        let secrets: Vec<_> = signed.secret.iter().map(|text| secret(text)).collect();
        let keyring = Keyring::default();
        for (url, body) in &signed.keys {
            let host = url.split('/').nth(2).expect("a host").to_owned();
            let target = Hosts::new(&[host], None).check(url).expect("an https URL");
            keyring
                .remember(&target, body.as_bytes(), signed.at)
                .expect("usable keys");
        }
        let verifier = Verifier::compile(
            &provider.definition,
            &secrets,
            &provider.settings,
            &Arc::new(keyring),
            None,
        );
        Self {
            name: name.to_owned(),
            verifier: verifier.unwrap_or_else(|problems| panic!("{name}: {problems:#?}")),
            provider,
            secrets,
        }
    }

    fn verify(&self, raw: &RawDelivery, now: Timestamp) -> Result<Proof, VerifyError> {
        block_on(self.verifier.verify(raw, now)).map(|verified| verified.proof().clone())
    }

    pub fn contracts(&self) -> Contracts {
        let schemas = Catalogue::built_in().schemas(&self.name).expect("schemas");
        let files = schemas.into_iter().map(|schema| SchemaFile {
            event: schema.event,
            version: schema.version,
            text: schema.text,
            place: schema.place,
        });
        let contracts = Contracts::compile(
            &self.name,
            &self.provider.definition,
            files.collect(),
            &Policy::default(),
        );
        contracts.unwrap_or_else(|problems| panic!("{}: {problems:#?}", self.name))
    }
}

fn secret(text: &str) -> NamedSecret {
    NamedSecret {
        name: "recorded".into(),
        secret: Secret::new(text),
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

/// The recorded request, with this body.
pub fn delivery(sample: &Sample, signed: &Signed, body: Vec<u8>) -> RawDelivery {
    let headers = sample
        .request
        .headers
        .iter()
        .chain(&signed.headers)
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            (name, HeaderValue::from_str(value).expect("a header value"))
        });
    let url = signed.url.as_ref().or(sample.request.url.as_ref());
    // Some sign the path, as it is in the URL that they called.
    let path = url
        .and_then(|url| Some(&url[url.find("://")? + 3..]))
        .and_then(|rest| Some(&rest[rest.find('/')?..]));
    let path = path.and_then(|path| path.split('?').next()).unwrap_or("/in/test");
    RawDelivery {
        method: Method::POST,
        path: path.to_owned(),
        query: signed.query.clone().unwrap_or_else(|| sample.request.query.clone()),
        url: url
            .cloned()
            .unwrap_or_else(|| "https://hooks.example.com/in/test".into()),
        headers: headers.collect(),
        body: body.into(),
        received: signed.at,
        sender: None,
    }
}

pub fn samples() -> Vec<(String, Sample, Signed)> {
    let catalogue = Catalogue::built_in();
    let mut samples = Vec::new();
    for provider in catalogue.names() {
        for name in catalogue.sample_names(&provider) {
            let sample = catalogue
                .sample(&provider, &name)
                .unwrap_or_else(|error| panic!("{error}"));
            if let Some(signed) = sample.signed.clone() {
                samples.push((provider.clone(), sample, signed));
            }
        }
    }
    samples
}

#[test]
fn every_provider_has_a_recorded_delivery() {
    let recorded: BTreeSet<_> = samples().into_iter().map(|(provider, ..)| provider).collect();
    let all: BTreeSet<_> = Catalogue::built_in().names().into_iter().collect();
    assert!(all.len() >= 16, "{all:?}");
    assert_eq!(all, recorded);
}

#[test]
fn a_recorded_delivery_is_accepted_at_its_moment() {
    for (provider, sample, signed) in samples() {
        let source = Source::of(&provider, &signed);
        let raw = delivery(&sample, &signed, sample.body.clone());
        if let Err(error) = source.verify(&raw, signed.at) {
            panic!("{}: {error}", sample.place);
        }
    }
}

/// One byte of the body at a time, spread over it; where the body is not signed, the credential.
#[test]
fn a_recorded_delivery_with_one_byte_changed_is_refused() {
    for (provider, sample, signed) in samples() {
        let source = Source::of(&provider, &signed);
        let raw = delivery(&sample, &signed, sample.body.clone());
        let proof = source.verify(&raw, signed.at).expect("accepted as recorded");
        let coverage = source.verifier.coverage(&proof);
        if coverage.body {
            for at in (0..sample.body.len()).step_by(sample.body.len() / 7 + 1) {
                let mut body = sample.body.clone();
                body[at] ^= 1;
                let bent = delivery(&sample, &signed, body);
                assert!(
                    source.verify(&bent, signed.at).is_err(),
                    "{} at byte {at}",
                    sample.place
                );
            }
        }
        for (name, value) in &signed.headers {
            // A timestamp that is not signed does not exist: see the coverage.
            let mut bent = signed.clone();
            let last = value.len() - 2;
            let other = if value.as_bytes()[last] == b'1' { "2" } else { "1" };
            bent.headers
                .insert(name.clone(), format!("{}{other}{}", &value[..last], &value[last + 1..]));
            let raw = delivery(&sample, &bent, sample.body.clone());
            assert!(
                source.verify(&raw, signed.at).is_err(),
                "{}: header {name}",
                sample.place
            );
        }
    }
}

/// SNS signs named members and not the body: each of them is looked after on its own.
#[test]
fn every_signed_member_of_a_notification_counts() {
    let (_, sample, signed) = named("aws-sns", "Notification");
    let source = Source::of("aws-sns", &signed);
    let message: serde_json::Value = serde_json::from_slice(&sample.body).expect("JSON");
    for member in [
        "Message",
        "MessageId",
        "Subject",
        "Timestamp",
        "TopicArn",
        "Type",
        "SignatureVersion",
        "Signature",
    ] {
        let mut bent = message.clone();
        let text = bent[member].as_str().expect("a text").to_owned();
        bent[member] = format!("{}{}", if text.starts_with('1') { '2' } else { '1' }, &text[1..]).into();
        let raw = delivery(&sample, &signed, serde_json::to_vec(&bent).expect("JSON"));
        assert!(source.verify(&raw, signed.at).is_err(), "{member}");
    }
}

fn named(provider: &str, name: &str) -> (String, Sample, Signed) {
    let found = samples()
        .into_iter()
        .find(|(p, sample, _)| p == provider && sample.name == name);
    found.unwrap_or_else(|| panic!("{provider} has a sample {name}"))
}

#[test]
fn a_wrong_secret_is_a_mismatch() {
    for (provider, sample, signed) in samples() {
        // Key pairs: another valid key cannot be made by changing a character.
        let Some(text) = signed.secret.clone() else { continue };
        let mut other = signed.clone();
        let middle = text.len() / 2;
        let replaced = if text.as_bytes()[middle] == b'A' { 'B' } else { 'A' };
        other.secret = Some(format!("{}{replaced}{}", &text[..middle], &text[middle + 1..]));
        if matches!(provider.as_str(), "sendgrid" | "discord") || text.starts_with("whpk_") {
            continue;
        }
        let source = Source::of(&provider, &other);
        let raw = delivery(&sample, &signed, sample.body.clone());
        assert_eq!(
            source.verify(&raw, signed.at).expect_err("refused"),
            VerifyError::Mismatch,
            "{}",
            sample.place
        );
    }
}

#[test]
fn a_recorded_delivery_grows_stale_where_its_time_is_signed_and_bounded() {
    let mut bounded = BTreeSet::new();
    for (provider, sample, signed) in samples() {
        let source = Source::of(&provider, &signed);
        let raw = delivery(&sample, &signed, sample.body.clone());
        let proof = source.verify(&raw, signed.at).expect("accepted as recorded");
        let definition = &source.provider.definition;
        let rule = definition.signature[proof.alternative]
            .timestamp
            .as_ref()
            .or(definition.timestamp.as_ref());
        let tolerance = rule
            .and_then(|rule| rule.tolerance.as_deref())
            .map_or(std::time::Duration::ZERO, |text| {
                text.parse::<hooksluice::units::HumanDuration>()
                    .expect("a duration")
                    .get()
            });
        let beyond = tolerance + std::time::Duration::from_secs(2 * 3600);
        let (later, earlier) = (signed.at + beyond, signed.at - beyond);
        if rule.is_some_and(|rule| rule.tolerance.is_some() && !rule.from.is_nowhere()) {
            bounded.insert(provider.clone());
            assert!(
                matches!(source.verify(&raw, later), Err(VerifyError::Stale(_))),
                "{}",
                sample.place
            );
            assert!(
                matches!(source.verify(&raw, earlier), Err(VerifyError::Future(_))),
                "{}",
                sample.place
            );
        } else if proof.claims.as_ref().is_some_and(|claims| claims.contains("\"exp\"")) {
            assert!(
                source.verify(&raw, later).is_err(),
                "{}: an expired token",
                sample.place
            );
        } else {
            assert!(source.verify(&raw, later).is_ok(), "{}: no age is stated", sample.place);
        }
    }
    for provider in ["aws-sns", "gitlab", "slack", "standard-webhooks", "stripe", "zoom"] {
        assert!(bounded.contains(provider), "{provider} states a tolerance");
    }
}

/// Their deliveries hold neither an id nor a time. Two equal ones may be two events, and none may be taken for a duplicate.
const WITHOUT_ID: [&str; 3] = ["acuity-scheduling", "freshbooks", "storyblok"];

#[test]
fn a_recorded_delivery_is_the_event_it_says_and_meets_its_contract() {
    let mut passed = BTreeSet::new();
    for (provider, sample, signed) in samples() {
        let source = Source::of(&provider, &signed);
        let raw = delivery(&sample, &signed, sample.body.clone());
        let verified = block_on(source.verifier.verify(&raw, signed.at)).expect("accepted as recorded");
        let (definition, settings) = (&source.provider.definition, &source.provider.settings);
        let handshakes = Handshakes::compile(definition, &source.secrets, settings).expect("handshakes");
        if handshakes.after_verification(&verified).is_some() {
            continue;
        }
        let reader = Reader::compile(definition, settings, ReadOptions::default()).expect("reading rules");
        let coverage = source.verifier.coverage(verified.proof()).clone();
        let checked = source.contracts().check(reader.read(verified, &coverage));
        let checked = checked.unwrap_or_else(|enforced| panic!("{}: {enforced:?}", sample.place));
        let first = &checked.parts()[0];
        assert_eq!(first.part().found.event, sample.event, "{}", sample.place);
        for part in checked.parts() {
            match part.verdict() {
                Verdict::Passed { schema } => _ = passed.insert(format!("{provider}/{}", schema.event)),
                Verdict::None => {}
                other => panic!("{}: {other:#?}", sample.place),
            }
            let found = &part.part().found;
            let has_id = found.id.is_some() || definition.event.unique_bodies;
            let nothing_has = WITHOUT_ID.contains(&provider.as_str());
            assert_ne!(
                has_id, nothing_has,
                "{}: neither an id nor bodies that never repeat",
                sample.place
            );
        }
    }
    assert!(passed.len() >= 40, "{} event types: {passed:?}", passed.len());
}

/// Of what a provider's samples are about, the settings that a genuine delivery is bound to.
#[test]
fn a_genuine_delivery_for_somebody_else_is_foreign() {
    let cases = [
        (
            "aws-sns",
            "Notification",
            "topic_arns",
            "arn:aws:sns:eu-central-1:210987654321:other",
        ),
        (
            "aws-sns",
            "SubscriptionConfirmation",
            "topic_arns",
            "arn:aws:sns:eu-central-1:999999999999:belts",
        ),
        (
            "google-pubsub-push",
            "message",
            "audience",
            "https://hooks.example.com/somebody-else",
        ),
        (
            "google-pubsub-push",
            "message",
            "service_account",
            "other@acme-plant.iam.gserviceaccount.com",
        ),
    ];
    for (provider, name, setting, ours) in cases {
        let (_, sample, mut signed) = named(provider, name);
        let given = serde_json::from_value(serde_json::json!(ours)).expect("a setting");
        signed.settings.insert(setting.to_owned(), given);
        let raw = delivery(&sample, &signed, sample.body.clone());
        let error = Source::of(provider, &signed)
            .verify(&raw, signed.at)
            .expect_err("refused");
        assert!(
            matches!(error, VerifyError::Foreign(_) | VerifyError::Token(_)),
            "{provider} {setting}: {error}"
        );
    }
}

#[test]
fn what_binds_a_delivery_must_be_configured() {
    for (provider, setting) in [
        ("aws-sns", "topic_arns"),
        ("google-pubsub-push", "audience"),
        ("google-pubsub-push", "service_account"),
        ("whatsapp-cloud", "verify_token"),
    ] {
        let errors = Catalogue::built_in()
            .provider(provider, &BTreeMap::new())
            .expect_err("refused");
        let said = errors.iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains(&format!("`{setting}`")), "{said}");
    }
}

/// The values that GitHub's own page gives to test with.
#[test]
fn githubs_published_test_values_hold() {
    let (_, mut sample, mut signed) = named("github", "push");
    signed.secret = Some("It's a Secret to Everybody".into());
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    signed.headers.insert("X-Hub-Signature-256".into(), signature.into());
    sample.body = b"Hello, World!".to_vec();
    let source = Source::of("github", &signed);
    assert!(
        source
            .verify(&delivery(&sample, &signed, sample.body.clone()), signed.at)
            .is_ok()
    );
}
