//! Vendors' own kits and a running gateway say the same of the same deliveries: yes to what was signed, no to what was
//! changed since. And no provider claims a kit that is not asked here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hooksluice::provider::Catalogue;
use hooksluice::provider::definition::Confidence;
use serde_json::json;

use crate::support::Gateway;
use crate::support::gateway::Setup;
use crate::support::oracle::KeyHosts;
use crate::verify::catalogue::Keys;
use crate::verify::key_pairs::{RSA, rsa};

mod handshakes;
mod table;

use table::{Subject, Table, pinned};

const PLATFORM_CALLS: &str = "https://hooks.example.com";

/// A gateway with one source a subject, `c<n>` for the n-th, under one choice of their keys; and what serves those.
fn serve(subjects: &[Subject], keys: fn(&Subject) -> &Keys) -> (Gateway, KeyHosts) {
    let served: Vec<_> = subjects.iter().flat_map(|subject| &keys(subject).served).collect();
    let hosts: BTreeSet<_> = served.iter().filter_map(|(url, _)| url.split('/').nth(2)).collect();
    let mut hosts = KeyHosts::start(&hosts.into_iter().collect::<Vec<_>>());
    for (url, body) in served {
        hosts.serve(url, body);
    }
    let ingress = format!("ingress: {{ listen: 127.0.0.1:0, public_url: \"{PLATFORM_CALLS}\", drain_delay: 0s }}\n");
    let mut yaml = format!("{ingress}{}sources:\n", hosts.outbound());
    for (index, subject) in subjects.iter().enumerate() {
        let secrets = keys(subject).verifies.as_ref().map(|secret| json!({ "value": secret }));
        let source = json!({
            "provider": subject.provider,
            "secrets": secrets.into_iter().collect::<Vec<_>>(),
            "settings": subject.settings,
            "contract": { "mode": "shadow" },
        });
        writeln!(yaml, "  c{index}: {source}").expect("a text");
    }
    (Setup::new(&yaml).start(), hosts)
}

#[test]
fn what_a_kit_accepts_is_taken_as_signed_and_refused_after_one_flipped_byte_or_under_another_secret() {
    let others = rsa();
    let subjects: Vec<_> = Table::read()
        .case
        .into_iter()
        .map(|case| case.subject(&RSA, &others))
        .collect();
    let (gateway, _hosts) = serve(&subjects, |subject| &subject.keys);
    let (foreign, _foreign_hosts) = serve(&subjects, |subject| &subject.foreign);
    let mut wrong = Vec::new();
    let mut taken = Vec::new();
    for (index, subject) in subjects.iter().enumerate() {
        let place = &subject.place;
        let url = format!("{PLATFORM_CALLS}/in/c{index}");
        // Some kits allow five seconds, and loading one may take as long: this one goes to waste.
        let _ = subject.show(&subject.sign(&url));
        let genuine = subject.sign(&url);
        let bent = subject.bend(&genuine);
        if let Err(why) = subject.show(&genuine) {
            wrong.push(format!("{place}: the kit refuses what is signed: {why}"));
        }
        if subject.show(&bent).is_ok() {
            wrong.push(format!("{place}: the kit accepts it with one byte changed"));
        }
        let path = genuine.url.as_deref().and_then(|url| url.strip_prefix(PLATFORM_CALLS));
        let path = path.expect("a URL of ours");
        for (who, gateway, delivery) in [
            ("one byte changed", &gateway, &bent),
            ("another secret", &foreign, &genuine),
        ] {
            let reply = gateway.post(path, &delivery.headers(), &delivery.body);
            if reply.status != 401 || reply.text().contains("signature") {
                wrong.push(format!("{place}: {who}: {} {}", reply.status, reply.text()));
            }
        }
        let reply = gateway.post(path, &genuine.headers(), &genuine.body);
        if !(200..300).contains(&reply.status) {
            wrong.push(format!("{place}: signed: {} {}", reply.status, reply.text()));
        }
        taken.push(genuine);
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), gateway.log());

    let mut published = BTreeMap::new();
    for row in gateway.journal() {
        let source = row.attributes["source"].as_str().expect("a source").to_owned();
        let index: usize = source
            .rsplit_once('c')
            .and_then(|(_, index)| index.parse().ok())
            .expect("a source of ours");
        let (subject, genuine) = (&subjects[index], &taken[index]);
        let is_slice = genuine.body.windows(row.data.len()).any(|window| window == row.data);
        assert!(is_slice, "{}: the bytes are the sender's", subject.place);
        *published.entry(index).or_insert(0) += 1;
    }
    assert_eq!(published.len(), subjects.len(), "each is published");
    assert!(foreign.journal().is_empty());
    let rejected = gateway.metric("hooksluice_deliveries_total", &["outcome=\"rejected\""]);
    assert_eq!(rejected, subjects.len() as f64);
}

#[test]
fn a_provider_claims_a_kit_if_and_only_if_that_kit_runs_here() {
    let table = Table::read();
    let catalogue = Catalogue::built_in();
    let mut kits: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in table.case.iter().filter(|case| !case.others) {
        let (registry, kit) = case.kit();
        let pinned = pinned()
            .into_iter()
            .find(|(r, name, _)| (*r, name.as_str()) == (registry, kit));
        let (_, _, version) = pinned.unwrap_or_else(|| panic!("{registry} {kit} is not in tests/kits"));
        kits.entry(case.provider.as_str())
            .or_default()
            .push(format!("{kit} {version}"));
    }
    let mut wrong = Vec::new();
    for absent in &table.absent {
        assert!(absent.why.len() > 20, "{}: say why", absent.provider);
        kits.entry(absent.provider.as_str())
            .or_default()
            .push(absent.kit.clone());
    }
    for name in catalogue.names() {
        let definition = catalogue.definition(&name).expect("a definition");
        let claims = definition.confidence == Confidence::Oracle;
        match kits.get(name.as_str()) {
            Some(_) if !claims => wrong.push(format!("{name}: its kit agrees: say `confidence = \"oracle\"`")),
            None if claims => wrong.push(format!(
                "{name}: claims an oracle that is not in tests/oracles/suite.toml"
            )),
            _ => {}
        }
        let evidence = definition.evidence.split_whitespace().collect::<Vec<_>>().join(" ");
        for kit in kits.get(name.as_str()).into_iter().flatten() {
            if !evidence.contains(kit.as_str()) {
                wrong.push(format!("{name}: its evidence does not name `{kit}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let providers: BTreeSet<_> = table
        .case
        .iter()
        .filter(|case| !case.others)
        .map(|case| &case.provider)
        .collect();
    assert!(providers.len() >= 36, "{} providers", providers.len());
}
