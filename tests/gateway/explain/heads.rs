//! Headers and URLs that were changed on their way.

use super::*;

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
