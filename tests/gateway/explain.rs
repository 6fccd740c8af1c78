//! `explain` names the mistake: each is made for real, on the recorded deliveries of many platforms.

mod captures;
mod command;
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

/// The body changed, on every provider whose signature then fails; so many must be told apart.
fn bodies(mistake: Mistake, least: usize, change: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let (mut found, mut missed) = (0, Vec::new());
    for recorded in ways() {
        let mut case = recorded.case();
        let Some(body) = change(&case.raw.body).filter(|body| *body != *case.raw.body) else {
            continue;
        };
        case.raw = with_body(&case.raw, body);
        let report = ask(&case);
        if report.verifies || !matches!(report.step, Some(Step::Signature | Step::Digest)) {
            continue;
        }
        match proves(&report, mistake) {
            true => found += 1,
            false => missed.push(format!("{}: {:?}", recorded.sample.place, report.causes)),
        }
    }
    assert!(found >= least, "{mistake:?}: only {found}");
    assert!(
        missed.is_empty(),
        "{mistake:?}: {} of {found}:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

#[test]
fn a_line_break_that_was_added_is_named() {
    bodies(Mistake::BodyNewline, 150, |body| Some([body, b"\n"].concat()));
}

#[test]
fn a_line_break_that_was_stripped_is_named() {
    bodies(Mistake::BodyNewline, 1, |body| {
        let bare = body.trim_ascii_end();
        (bare.len() < body.len()).then(|| bare.to_vec())
    });
}

#[test]
fn changed_line_breaks_are_named() {
    bodies(Mistake::BodyLineBreaks, 2, |body| {
        let text = std::str::from_utf8(body).ok()?;
        text.trim_end()
            .contains('\n')
            .then(|| text.replace('\n', "\r\n").into_bytes())
    });
}

#[test]
fn a_byte_order_mark_is_named() {
    bodies(Mistake::BodyCharset, 150, |body| Some([b"\xef\xbb\xbf", body].concat()));
}

#[test]
fn a_body_that_was_encoded_twice_is_named() {
    bodies(Mistake::BodyCharset, 5, |body| {
        let text: String = body.iter().map(|byte| char::from(*byte)).collect();
        (!body.is_ascii()).then(|| text.into_bytes())
    });
}

#[test]
fn a_body_in_base64_or_in_a_json_string_is_named() {
    bodies(Mistake::BodyEncoded, 150, |body| {
        (!body.is_empty()).then(|| STANDARD.encode(body).into_bytes())
    });
    bodies(Mistake::BodyEncoded, 150, |body| {
        serde_json::to_vec(std::str::from_utf8(body).ok()?).ok()
    });
}

/// Bodies as Python's json module writes them again.
fn through_python(bodies: &[Vec<u8>], options: &str) -> Vec<Option<Vec<u8>>> {
    const SCRIPT: &str = "import sys,json,base64\nfor line in sys.stdin:\n  try:\n    out=json.dumps(json.loads(base64.b64decode(line)),OPTIONS).encode()\n  except Exception:\n    out=b''\n  print(base64.b64encode(out).decode())\n";
    let mut child = Command::new(crate::support::needed("HOOKSLUICE_TEST_PYTHON"))
        .args(["-c", &SCRIPT.replace("OPTIONS", options)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut stdin = child.stdin.take().expect("piped");
    let lines: String = bodies.iter().map(|body| STANDARD.encode(body) + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("joined").expect("written");
    let text = String::from_utf8(output.stdout).expect("ASCII");
    let decoded = text.lines().map(|line| STANDARD.decode(line).expect("base64"));
    decoded.map(|body| (!body.is_empty()).then_some(body)).collect()
}

#[test]
fn json_that_was_serialised_again_is_named() {
    let all: Vec<_> = ways().collect();
    let bodies: Vec<_> = all.iter().map(|recorded| recorded.sample.body.clone()).collect();
    for (options, what) in [
        ("indent=2,ensure_ascii=False", "pretty-printed"),
        ("ensure_ascii=True", "spaced, and escaped"),
        ("separators=(',',':'),sort_keys=True,ensure_ascii=False", "sorted"),
        ("indent=4,sort_keys=True", "pretty-printed, sorted, escaped"),
    ] {
        let (mut found, mut missed) = (0, Vec::new());
        for (recorded, body) in all.iter().zip(through_python(&bodies, options)) {
            let Some(body) = body.filter(|body| *body != recorded.sample.body) else {
                continue;
            };
            let mut case = recorded.case();
            case.raw = with_body(&case.raw, body);
            let report = ask(&case);
            if report.verifies || !matches!(report.step, Some(Step::Signature | Step::Digest)) {
                continue;
            }
            match proves(&report, Mistake::BodyReserialised) {
                true => found += 1,
                // Numbers, names that differ between samples: not to be undone, and then nothing is claimed as proved.
                false => {
                    let claims = report.causes.iter().any(|cause| cause.proved);
                    assert!(!claims, "{what}: {}: {:?}", recorded.sample.place, report.causes);
                    missed.push(recorded.sample.place.clone());
                }
            }
        }
        assert!(found >= 100, "{what}: only {found}");
        assert!(missed.len() * 10 <= found, "{what}: {found} found, missed: {missed:?}");
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

/// The signature's own header of each provider.
fn headers(mut then: impl FnMut(Case<'_>, HeaderName, Vec<u8>)) {
    for recorded in ways() {
        let case = recorded.case();
        let own = case
            .definition
            .signature
            .iter()
            .filter_map(|rule| match rule.scheme {
                Scheme::Hmac | Scheme::Jws => rule.from.header.as_deref(),
                Scheme::HttpSignature | Scheme::HttpMessageSignature => {
                    Some(rule.from.header.as_deref().unwrap_or("signature"))
                }
                _ => None,
            })
            .filter_map(|name| HeaderName::try_from(name).ok())
            .find(|name| case.raw.headers.text(name).is_some());
        // Where another way to sign is left, that one is looked for.
        if let (Some(name), 1) = (own, case.definition.signature.len()) {
            let value = case.raw.headers.text(&name).expect("text").as_bytes().to_vec();
            then(case, name, value);
        }
    }
}

#[test]
fn a_header_that_was_taken_away_or_renamed_is_named() {
    let mut found = 0;
    headers(|mut case, name, value| {
        let whole = case.raw.clone();
        let others = whole.headers.iter().filter(|(known, _)| **known != name);
        case.raw.headers = others.map(|(name, value)| (name.clone(), value.clone())).collect();
        let report = ask(&case);
        assert_eq!(report.step, Some(Step::Shape), "{}", case.provider);
        let says = &report
            .causes
            .iter()
            .find(|cause| cause.mistake == Mistake::HeaderMissing);
        assert!(
            says.is_some_and(|cause| cause.says.contains(name.as_str())),
            "{}: {report:#?}",
            case.provider
        );
        if !name.as_str().contains('-') {
            return;
        }
        case.raw = with_header(&whole, &name, &name.as_str().replace('-', "_"), &value);
        let report = ask(&case);
        assert!(
            proves(&report, Mistake::HeaderRenamed),
            "{}: {report:#?}",
            case.provider
        );
        found += 1;
    });
    assert!(found >= 90, "only {found}");
}

#[test]
fn a_header_that_was_folded_doubled_or_lost_its_prefix_is_named() {
    let mut found = BTreeMap::<&str, usize>::new();
    headers(|mut case, name, value| {
        let whole = case.raw.clone();
        let middle = value.len() - 6;
        let folded = [&value[..middle], b" ", &value[middle..]].concat();
        case.raw = with_header(&whole, &name, name.as_str(), &folded);
        let report = ask(&case);
        assert!(proves(&report, Mistake::HeaderFolded), "{}: {report:#?}", case.provider);
        *found.entry("folded").or_default() += 1;

        case.raw = whole.clone();
        case.raw
            .headers
            .push(name.clone(), HeaderValue::from_bytes(&value).expect("a value"));
        let report = ask(&case);
        assert!(
            proves(&report, Mistake::HeaderDoubled),
            "{}: {report:#?}",
            case.provider
        );
        *found.entry("doubled").or_default() += 1;

        let prefix = case.definition.signature[0].from.prefix.clone().unwrap_or_default();
        if !prefix.is_empty() && !prefix.ends_with(' ') {
            case.raw = with_header(&whole, &name, name.as_str(), &value[prefix.len()..]);
            let report = ask(&case);
            assert!(
                proves(&report, Mistake::HeaderChanged),
                "{}: {report:#?}",
                case.provider
            );
            *found.entry("prefix").or_default() += 1;
        }
    });
    assert!(
        found["folded"] >= 100 && found["doubled"] >= 100 && found["prefix"] >= 15,
        "{found:?}"
    );
}

#[test]
fn a_url_behind_a_proxy_is_named() {
    let mut found = BTreeMap::<&str, usize>::new();
    type Change = fn(&str) -> String;
    let changes: [(&str, Change); 5] = [
        ("scheme", |url| url.replacen("https://", "http://", 1)),
        ("slash", |url| match url.split_once('?') {
            Some((path, query)) => format!("{path}/?{query}"),
            None => format!("{url}/"),
        }),
        ("port", |url| {
            let (scheme, rest) = url.split_once("://").expect("a URL");
            let (host, path) = rest.split_once('/').expect("a path");
            format!("{scheme}://{host}:8080/{path}")
        }),
        ("prefix", |url| {
            let (scheme, rest) = url.split_once("://").expect("a URL");
            let (host, path) = rest.split_once('/').expect("a path");
            format!("{scheme}://{host}/gateway/{path}")
        }),
        ("host", |url| {
            let (_, rest) = url.split_once("://").expect("a URL");
            let (_, path) = rest.split_once('/').expect("a path");
            format!("https://10.0.0.7/{path}")
        }),
    ];
    for recorded in ways() {
        for (what, change) in changes {
            let mut case = recorded.case();
            let url = case.raw.url.clone();
            let seen = change(&url);
            let rest = seen.split_once("://").expect("a URL").1;
            let path = &rest[rest.find('/').expect("a path")..];
            case.raw.path = path.split('?').next().expect("a path").to_owned();
            case.raw.url = seen;
            if what == "host" {
                let (_, rest) = url.split_once("://").expect("a URL");
                let host = rest.split('/').next().expect("a host");
                case.raw.headers.push(
                    HeaderName::from_static("x-forwarded-host"),
                    HeaderValue::from_str(host).expect("a host"),
                );
            }
            let report = ask(&case);
            if report.verifies || report.step != Some(Step::Signature) {
                continue;
            }
            assert!(
                proves(&report, Mistake::Url),
                "{what}: {}: {report:#?}",
                recorded.sample.place
            );
            *found.entry(what).or_default() += 1;
        }
    }
    for (what, _) in changes {
        assert!(found.get(what).is_some_and(|count| *count >= 3), "{found:?}");
    }
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
