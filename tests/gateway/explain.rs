//! `explain` names the mistake: each is made for real, on the recorded deliveries of many platforms.

mod bodies;
mod captures;
mod command;
mod heads;
mod listed;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hooksluice::clock::Timestamp;
use hooksluice::delivery::{HeaderName, HeaderValue, RawDelivery};
use hooksluice::explain::{Case, Mistake, Report, Step, explain};
use hooksluice::keys::{Hosts, Keyring};
use hooksluice::lint::recorded::{delivery, with_body};
use hooksluice::provider::definition::{HashName, Part, Scheme};
use hooksluice::provider::sample::{Sample, Signed};
use hooksluice::provider::{Catalogue, Definition, Settings};
use hooksluice::secret::{NamedSecret, Secret};
use jiff::SignedDuration;

/// A recorded delivery, with what it is held against.
struct Recorded {
    provider: String,
    sample: Sample,
    signed: Signed,
    definition: Definition,
    settings: Settings,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::built_in);

/// Read once: of all that these tests do it is the most.
static RECORDED: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
    let catalogue = &*CATALOGUE;
    let mut all = Vec::new();
    for provider in catalogue.names() {
        for name in catalogue.sample_names(&provider) {
            let sample = catalogue.sample(&provider, &name).expect("a sample");
            if let Some(signed) = sample.signed.clone() {
                let bound = catalogue.provider(&provider, &signed.settings).expect("settings");
                all.push(Recorded {
                    provider: provider.clone(),
                    sample,
                    signed,
                    definition: bound.definition,
                    settings: bound.settings,
                });
            }
        }
    }
    all
});

/// One recorded delivery for each way of signing, and for each kind of body that is signed so.
static WAYS: LazyLock<Vec<&Recorded>> = LazyLock::new(|| {
    let mut seen = BTreeSet::new();
    RECORDED.iter().filter(|recorded| seen.insert(recorded.way())).collect()
});

fn ways() -> impl Iterator<Item = &'static Recorded> {
    WAYS.iter().copied()
}

/// The first recorded delivery of a provider.
fn of(provider: &str) -> &'static Recorded {
    let found = RECORDED.iter().find(|recorded| recorded.provider == provider);
    found.unwrap_or_else(|| panic!("{provider} has no recorded delivery"))
}

/// The platform's keys, as they were published.
fn keyring(signed: &Signed) -> Arc<Keyring> {
    let keyring = Keyring::default();
    for (url, body) in &signed.keys {
        let host = url.split('/').nth(2).expect("a host").to_owned();
        let target = Hosts::new(&[host], None).check(url).expect("an https URL");
        keyring.remember(&target, body.as_bytes(), signed.at);
    }
    Arc::new(keyring)
}

fn named(name: &str, text: &str) -> NamedSecret {
    NamedSecret {
        name: name.into(),
        secret: Secret::new(text),
    }
}

impl Recorded {
    /// How it is signed, without the names of headers, members and fields; and what its body is like.
    fn way(&self) -> String {
        let content = |part: &Part| match part {
            Part::Word(word)
                if word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') =>
            {
                word.clone()
            }
            Part::Word(_) => "literal".to_owned(),
            Part::Found(find) => format!("{:?}", (find.places()[0].0, &find.part, find.transform, find.optional)),
            other => format!("{other:?}").split('(').next().unwrap_or_default().to_owned(),
        };
        let rules = self.definition.signature.iter().map(|rule| {
            let form = rule.secret.as_ref().unwrap_or(&self.definition.secret);
            format!(
                "{:?}",
                (
                    (
                        rule.scheme,
                        rule.algorithm,
                        rule.encoding,
                        &rule.algorithms,
                        &rule.components,
                        rule.unencoded
                    ),
                    (
                        rule.from.places().first().map(|place| place.0),
                        rule.from.prefix.is_some(),
                        rule.from.transform
                    ),
                    rule.list.as_ref().map(|list| (&list.separator, list.key.is_some())),
                    rule.content.iter().map(content).collect::<Vec<_>>(),
                    (
                        rule.digest.len(),
                        rule.when.len(),
                        rule.either_port,
                        rule.prehash,
                        rule.raw
                    ),
                    (form.encoding, form.prefix.is_some(), rule.keys.pinned.len()),
                )
            )
        });
        let body = &self.sample.body;
        format!(
            "{:?}",
            (
                rules.collect::<Vec<_>>(),
                self.definition
                    .timestamp
                    .as_ref()
                    .map(|time| (time.format, time.tolerance.is_some())),
                (
                    body.first(),
                    body.is_ascii(),
                    body.contains(&b'\n'),
                    body.ends_with(b"\n")
                ),
            )
        )
    }

    fn case(&self) -> Case<'_> {
        Case {
            catalogue: &CATALOGUE,
            provider: &self.provider,
            definition: self.definition.clone(),
            settings: self.settings.clone(),
            secrets: self.signed.secret.iter().map(|text| named("1", text)).collect(),
            signature: None,
            others: Vec::new(),
            keyring: keyring(&self.signed),
            raw: delivery(&self.sample, &self.signed).expect("a delivery"),
            at: self.signed.at,
            at_is_known: true,
            notes: Vec::new(),
        }
    }

    /// Whether a shared secret makes a signature over the body.
    fn is_hmac(&self, case: &Case<'_>) -> bool {
        let keyed = |scheme: &Scheme| matches!(scheme, Scheme::Hmac);
        self.signed.secret.is_some() && case.definition.signature.iter().all(|rule| keyed(&rule.scheme))
    }
}

fn ask(case: &Case<'_>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let report = runtime.block_on(explain(case));
    says_no_secret(case, &report);
    report
}

/// Neither secrets nor signatures: every report of every test is looked through.
fn says_no_secret(case: &Case<'_>, report: &Report) {
    let said = serde_json::to_string(report).expect("JSON");
    for named in case.secrets.iter().chain(&case.others) {
        let text = named.secret.expose_str().unwrap_or_default().trim();
        assert!(
            text.len() < 6 || !said.contains(text),
            "{}: a secret in {said}",
            case.provider
        );
    }
    for rule in &case.definition.signature {
        let header = rule
            .from
            .header
            .as_deref()
            .and_then(|name| HeaderName::try_from(name).ok());
        let value = header
            .as_ref()
            .and_then(|name| case.raw.headers.text(name))
            .unwrap_or_default();
        assert!(
            value.len() < 12 || !said.contains(value),
            "{}: a signature in {said}",
            case.provider
        );
    }
}

fn proves(report: &Report, mistake: Mistake) -> bool {
    report
        .causes
        .iter()
        .any(|cause| cause.proved && cause.mistake == mistake)
}

fn with_header(raw: &RawDelivery, name: &HeaderName, to: &str, value: &[u8]) -> RawDelivery {
    let others = raw.headers.iter().filter(|(known, _)| *known != name);
    let mut headers: hooksluice::delivery::Headers =
        others.map(|(name, value)| (name.clone(), value.clone())).collect();
    headers.push(
        HeaderName::try_from(to).expect("a name"),
        HeaderValue::from_bytes(value).expect("a value"),
    );
    RawDelivery { headers, ..raw.clone() }
}

#[test]
fn a_recorded_delivery_verifies() {
    for recorded in RECORDED.iter() {
        let report = ask(&recorded.case());
        assert!(report.verifies, "{}: {report:#?}", recorded.sample.place);
    }
}

#[test]
fn the_wrong_form_of_the_right_secret_is_named() {
    type Wrong = fn(&str) -> Option<String>;
    let wrongs: [(&str, Wrong); 6] = [
        ("in quotes", |text| Some(format!("\"{text}\""))),
        ("with a line break", |text| Some(format!("{text}\r\n"))),
        ("in base64", |text| Some(STANDARD.encode(text))),
        ("in hex", |text| Some(hex::encode(text))),
        ("without its prefix", |text| {
            text.split_once('_').map(|(_, rest)| rest.to_owned())
        }),
        ("base64 decoded, as hex", |text| {
            let bare = text.strip_prefix("whsec_").unwrap_or(text);
            let bytes = STANDARD.decode(bare).ok().filter(|bytes| bytes.len() >= 16)?;
            Some(hex::encode(bytes))
        }),
    ];
    for (what, wrong) in wrongs {
        let mut found = 0;
        for recorded in ways() {
            let mut case = recorded.case();
            if !recorded.is_hmac(&case) {
                continue;
            }
            let Some(text) = recorded.signed.secret.as_deref().and_then(wrong) else {
                continue;
            };
            case.secrets = vec![named("1", &text)];
            let report = ask(&case);
            // Some forms mean the same to the platform: a prefix that may be there or not.
            if report.verifies {
                continue;
            }
            let is_hex_of_text = what == "base64 decoded, as hex";
            assert!(
                proves(&report, Mistake::SecretForm) || is_hex_of_text,
                "{what}: {}: {report:#?}",
                recorded.sample.place
            );
            found += usize::from(proves(&report, Mistake::SecretForm));
        }
        assert!(found >= 3, "{what}: only {found}");
    }
}

#[test]
fn the_secret_of_another_source_is_named_and_an_unknown_one_is_only_likely() {
    let mut found = 0;
    // Every form of a wrong secret is tried with every body: one way in eight is enough.
    for recorded in ways().step_by(8) {
        let mut case = recorded.case();
        if !recorded.is_hmac(&case) {
            continue;
        }
        let right = std::mem::take(&mut case.secrets);
        let wrong = recorded.signed.secret.clone().unwrap_or_default();
        // Of the same form, so that it can be used.
        let wrong: String = wrong
            .char_indices()
            .map(|(at, c)| if at > 8 && c.is_ascii_digit() { '7' } else { c })
            .rev()
            .collect::<String>();
        let wrong: String = match recorded.signed.secret.as_deref().and_then(|text| text.split_once('_')) {
            Some((prefix, _)) if wrong.len() > 12 => format!("{prefix}_{}", &wrong[..wrong.len() - prefix.len() - 1]),
            _ => wrong,
        };
        case.secrets = vec![named("1", &wrong)];
        let report = ask(&case);
        if report.verifies || report.step != Some(Step::Signature) {
            continue;
        }
        assert!(
            !report.causes.iter().any(|cause| cause.proved),
            "{}: {report:#?}",
            case.provider
        );
        assert!(
            report.causes.iter().any(|cause| cause.mistake == Mistake::SecretWrong),
            "{}: {report:#?}",
            case.provider
        );
        case.others = right
            .into_iter()
            .map(|secret| named("shop", secret.secret.expose_str().expect("text")))
            .collect();
        let report = ask(&case);
        assert!(
            proves(&report, Mistake::SecretOfAnotherSource),
            "{}: {report:#?}",
            case.provider
        );
        assert!(report.causes[0].says.contains("`shop`"), "{report:#?}");
        found += 1;
    }
    assert!(found >= 10, "only {found}");
}

#[test]
fn a_wrong_clock_is_told_from_an_old_capture() {
    let mut found = 0;
    for recorded in ways() {
        for (days, known, mistake) in [
            (1, true, Mistake::Clock),
            (1, false, Mistake::OldCapture),
            (-1, true, Mistake::Clock),
        ] {
            let mut case = recorded.case();
            // Certificates and tokens have times of their own.
            if !recorded.signed.keys.is_empty()
                || case.definition.signature.iter().any(|rule| rule.scheme == Scheme::Jwt)
            {
                continue;
            }
            case.at = case
                .at
                .checked_add(SignedDuration::from_hours(24 * days))
                .expect("in range");
            case.at_is_known = known;
            let report = ask(&case);
            if report.verifies {
                continue;
            }
            assert_eq!(report.step, Some(Step::Timestamp), "{}: {report:#?}", case.provider);
            assert!(proves(&report, mistake), "{}: {report:#?}", case.provider);
            found += 1;
        }
    }
    assert!(found >= 90, "only {found}");
}

#[test]
fn a_delivery_of_another_platform_is_named() {
    let (mut proved, mut likely) = (0, 0);
    let stripe = of("stripe");
    for recorded in ways() {
        let theirs = recorded.case();
        if !recorded.is_hmac(&theirs) || recorded.provider == "stripe" || theirs.definition.category == "generic" {
            continue;
        }
        let at_stripe = Case {
            secrets: theirs.secrets.clone(),
            raw: theirs.raw.clone(),
            ..stripe.case()
        };
        let report = ask(&at_stripe);
        let Some(cause) = report
            .causes
            .iter()
            .find(|cause| cause.mistake == Mistake::AnotherProvider)
        else {
            continue;
        };
        proved += usize::from(cause.proved);
        likely += usize::from(!cause.proved);
        let names_it = cause.says.contains(&format!("`{}`", recorded.provider)) || cause.says.contains("sign alike");
        assert!(!cause.proved || names_it, "{}: {}", recorded.provider, cause.says);
    }
    assert!(proved >= 100, "{proved} proved, {likely} likely");
}

#[test]
fn another_algorithm_is_named() {
    let mut found = 0;
    for recorded in ways() {
        let mut case = recorded.case();
        if !recorded.is_hmac(&case) || case.definition.signature.len() > 1 {
            continue;
        }
        let rule = &mut case.definition.signature[0];
        rule.algorithm = Some(match rule.algorithm {
            Some(HashName::Sha512) => HashName::Sha256,
            _ => HashName::Sha512,
        });
        let report = ask(&case);
        assert!(proves(&report, Mistake::Algorithm), "{}: {report:#?}", case.provider);
        found += 1;
    }
    assert!(found >= 100, "only {found}");
}

#[test]
fn what_is_genuine_and_somebody_elses_is_named() {
    let mut case = of("aws-sns").case();
    let other = "arn:aws:sns:eu-central-1:210987654321:other";
    let mut values = of("aws-sns").signed.settings.clone();
    values.insert(
        "topic_arns".into(),
        serde_json::from_value(other.into()).expect("a setting"),
    );
    case.settings = CATALOGUE.provider("aws-sns", &values).expect("settings").settings;
    let report = ask(&case);
    assert_eq!(report.step, Some(Step::Binding), "{report:#?}");
    assert!(
        proves(&report, Mistake::Binding) && report.causes[0].says.contains("`topic_arns`"),
        "{report:#?}"
    );
}

#[test]
fn a_pinned_signature_that_the_delivery_does_not_have_is_named() {
    let gitlab = RECORDED
        .iter()
        .find(|recorded| {
            recorded.provider == "gitlab"
                && recorded
                    .signed
                    .headers
                    .keys()
                    .any(|name| name.eq_ignore_ascii_case("x-gitlab-token"))
        })
        .expect("a delivery with a token");
    let mut case = gitlab.case();
    case.signature = Some("signed".into());
    let report = ask(&case);
    assert!(!report.verifies);
    assert!(proves(&report, Mistake::AnotherAlternative), "{report:#?}");
}

#[test]
fn what_speaks_for_a_cause_is_said_as_likely() {
    let stripe = of("stripe");
    let mut case = stripe.case();
    let text = String::from_utf8(case.raw.body.to_vec()).expect("text");
    let other = text.replacen("\"livemode\": true", "\"livemode\": false", 1).replacen(
        "\"livemode\":true",
        "\"livemode\":false",
        1,
    );
    case.raw = with_body(&case.raw, other.replace('e', "\u{fffd}").into_bytes());
    case.raw
        .headers
        .push(HeaderName::from_static("content-length"), HeaderValue::from(text.len()));
    let report = ask(&case);
    let likely: Vec<_> = report
        .causes
        .iter()
        .map(|cause| (cause.mistake, cause.proved))
        .collect();
    assert!(likely.contains(&(Mistake::BodyLength, false)), "{report:#?}");
    assert!(likely.contains(&(Mistake::BodyCharset, false)), "{report:#?}");
    case.raw = with_body(&case.raw, b"{\"id\":\"evt_1\",\"livemode\":false}".to_vec());
    let report = ask(&case);
    assert!(
        report
            .causes
            .iter()
            .any(|cause| cause.mistake == Mistake::SecretOfTestMode && !cause.proved),
        "{report:#?}"
    );
}

#[test]
fn a_moment_is_a_parameter() {
    let at: Timestamp = "2026-12-01T09:00:00Z".parse().expect("a time");
    let mut case = of("slack").case();
    case.at = at;
    assert!(ask(&case).verifies);
}
