//! `sign` and `send` for every provider: what we make, a gateway with the same secret takes; what nobody can make, we say so.

use std::collections::BTreeMap;

use hooksluice::clock::now;
use hooksluice::lint::recorded::{Source, delivery};
use hooksluice::provider::Catalogue;
use hooksluice::provider::listing::needs_secret;
use hooksluice::verify::{Unsigned, sign};

use crate::support::gateway::Setup;
use crate::support::http;
use crate::verify::catalogue::RECORDED;

/// A sample's settings as they stand in its file.
fn settings(provider: &str, sample: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(format!("schemas/{provider}/samples/{sample}.toml")).expect("a sample");
    let sheet: toml::Table = text.parse().expect("TOML");
    let settings = sheet.get("signed").and_then(|signed| signed.get("settings"));
    settings.map_or(serde_json::json!({}), |settings| {
        serde_json::to_value(settings).expect("JSON")
    })
}

#[test]
fn what_is_signed_for_a_provider_is_taken_by_a_gateway_with_the_same_secret() {
    let catalogue = Catalogue::built_in();
    let mut yaml = String::from("sources:\n");
    let (mut made, mut owned) = (Vec::new(), BTreeMap::new());
    for provider in catalogue.names() {
        let samples = catalogue.sample_names(&provider);
        let samples = samples
            .iter()
            .map(|name| catalogue.sample(&provider, name).expect("a sample"));
        // Of several ways to sign, one with a secret that is shared: a public key cannot sign.
        let signed = samples.filter_map(|sample| Some((sample.signed.clone()?, sample)));
        let mut problems = String::new();
        for (signed, sample) in signed {
            let source = Source::compile(&catalogue, &provider, &signed).expect("compiles");
            let raw = delivery(&sample, &signed).expect("a delivery");
            let unsigned = |url: String| Unsigned {
                method: raw.method.clone(),
                url,
                headers: raw.headers.clone(),
                body: raw.body.clone(),
                at: now(),
            };
            let (definition, given) = (&source.provider.definition, &source.provider.settings);
            match sign(definition, &source.secrets, given, None, unsigned(raw.url.clone())) {
                Ok(_) => {
                    let secrets: Vec<_> = signed
                        .secret
                        .iter()
                        .map(|text| serde_json::json!({ "value": text }))
                        .collect();
                    let entry = serde_json::json!({
                        "provider": provider, "secrets": secrets, "settings": settings(&provider, &sample.name),
                    });
                    yaml.push_str(&format!("  {provider}: {entry}\n"));
                    made.push((provider.clone(), source, raw));
                    problems.clear();
                    break;
                }
                Err(found) => problems = found.join("; "),
            }
        }
        if !problems.is_empty() {
            owned.insert(provider, problems);
        }
    }
    // Those that are left have a key of the platform's own, and say so.
    for (provider, problems) in &owned {
        let is_recorded = RECORDED.contains(&provider.as_str());
        assert!(
            is_recorded || problems.contains("private key"),
            "{provider}: {problems}"
        );
    }
    assert!(
        made.len() + owned.len() == catalogue.names().len() && made.len() > 250,
        "{}: {owned:?}",
        made.len()
    );

    let gateway = Setup::new(&yaml).start();
    let mut refused = Vec::new();
    for (provider, source, raw) in made {
        let url = gateway.url(&format!("/in/{provider}"));
        let called = match raw.query.as_str() {
            "" => url.clone(),
            query => format!("{url}?{query}"),
        };
        let unsigned = Unsigned {
            method: raw.method,
            url: called,
            headers: raw.headers,
            body: raw.body,
            at: now(),
        };
        let signed = sign(
            &source.provider.definition,
            &source.secrets,
            &source.provider.settings,
            None,
            unsigned,
        );
        let signed = signed.unwrap_or_else(|problems| panic!("{provider}: {problems:?}"));
        let headers: Vec<(&str, &str)> = signed
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        let reply = match signed.method.as_str() {
            "POST" => http::post(&signed.url, &headers, &signed.body),
            method => http::request(method, &signed.url, &headers, &signed.body),
        };
        if !(200..300).contains(&reply.status) {
            refused.push(format!(
                "{provider}: {} (needs a secret: {})",
                reply.status,
                needs_secret(&source.provider.definition)
            ));
        }
    }
    assert!(refused.is_empty(), "{}\n{}", refused.join("\n"), gateway.log());
}
