//! The forms in which one secret may be written, and secrets that belong elsewhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::body::{self, Rewriter};
use super::expected;
use super::scheme;
use super::trial::{self, Bench};
use super::{Case, Cause, Mistake};
use crate::delivery::RawDelivery;
use crate::lint::recorded::with_body;
use crate::provider::definition::Encoding;
use crate::secret::{NamedSecret, Secret};
use crate::verify::encode;

/// Bytes that are hashed, at most, while form and body are tried together.
const MOST_WORK: usize = 8 << 20;
const MOST_BODIES: usize = 60;

/// Put in front of secrets, or stripped from them, by habit.
const PREFIXES: [&str; 7] = ["whsec_", "whsk_", "sk_", "Bearer ", "Basic ", "sha256=", "base64:"];

/// The secrets cannot be used as they are: is it their form?
pub(super) async fn unusable(case: &Case<'_>) -> Vec<Cause> {
    let mut found: Vec<Cause> = forms(case, &case.raw)
        .await
        .into_iter()
        .map(|(cause, _)| cause)
        .collect();
    if found.is_empty() {
        found.extend(scheme::alternatives(case, &case.raw).await.map(|(cause, _)| cause));
    }
    if found.is_empty() {
        found.extend(others(case, &case.raw).await.map(|(cause, _)| cause));
    }
    found
}

/// Every secret of the source, in every form in which it may have been meant.
pub(super) async fn forms(case: &Case<'_>, raw: &RawDelivery) -> Option<(Cause, Bench)> {
    if let Some((bench, _)) = of_all_forms(case)
        && let Some(key) = bench.key(raw, case.at).await
    {
        return Some((form_cause(case, &key), bench));
    }
    for NamedSecret { name, secret } in &case.secrets {
        for (how, text) in keys_rewritten(secret) {
            let other = NamedSecret {
                name: name.clone(),
                secret: text,
            };
            let bench = Bench::compile(&case.definition, &[other], &case.settings, &case.keyring, None);
            if let Ok(bench) = bench
                && bench.holds(raw, case.at).await
            {
                return Some((form_cause(case, &format!("key `{name}` {how}")), bench));
            }
        }
    }
    None
}

fn form_cause(case: &Case<'_>, how: &str) -> Cause {
    Cause::proved(
        Mistake::SecretForm,
        format!("the secret is the right one in another form: the signature holds with {how}"),
        format!(
            "give it as the platform shows it, whole and unchanged; {}",
            expected::secret(case)
        ),
    )
}

/// A verifier with every key that one of the secrets may stand for, and their count.
fn of_all_forms(case: &Case<'_>) -> Option<(Bench, usize)> {
    let bare = trial::for_keys(&case.definition, case.signature.as_deref())?;
    let mut keys = Vec::new();
    for NamedSecret { name, secret } in &case.secrets {
        for (how, bytes) in candidates(case, secret.expose()) {
            keys.push(trial::key(format!("secret `{name}` {how}"), &bytes));
        }
    }
    let count = keys.len().max(1);
    let bench = Bench::compile(&bare, &keys, &case.settings, &case.keyring, None).ok()?;
    Some((bench, count))
}

/// What the key may be when this is the text that was configured: what was put around it is taken away, then what stands
/// in front of it, then it is decoded.
fn candidates(case: &Case<'_>, text: &[u8]) -> Vec<(String, Vec<u8>)> {
    let prefixes = prefixes(case);
    let mut texts = Texts(Vec::new());
    for (how, bare) in unwrapped(text) {
        let mut add = |then: String, text: &[u8]| texts.add(&[&how, &then], text);
        add(String::new(), &bare);
        for prefix in &prefixes {
            match bare.strip_prefix(prefix.as_bytes()) {
                Some(rest) => add(format!("without `{}` in front", prefix.trim_end()), rest),
                None => add(
                    format!("with `{}` in front", prefix.trim_end()),
                    &[prefix.as_bytes(), &bare[..]].concat(),
                ),
            }
        }
        for (count, says) in [
            (1, "without what stands in front of its first `_`"),
            (2, "without what stands in front of its second `_`"),
        ] {
            if let Some(rest) = bare.splitn(count + 1, |byte| *byte == b'_').nth(count) {
                add(says.into(), rest);
            }
        }
        add("in small letters".into(), &bare.to_ascii_lowercase());
        add("in capital letters".into(), &bare.to_ascii_uppercase());
        add("with a line break at its end".into(), &[&bare[..], b"\n"].concat());
    }
    let mut keys = Texts(Vec::new());
    for (how, text) in texts.0 {
        let mut say = |then: &str, bytes: Option<Vec<u8>>| {
            if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                keys.add(&[&how, then], &bytes);
            }
        };
        say("taken as text", Some(text.clone()));
        say("decoded from base64", encode::decode(Encoding::Base64, &text));
        say("decoded from base64url", encode::decode(Encoding::Base64url, &text));
        say("decoded from hex", encode::decode(Encoding::Hex, &text));
        say("encoded in base64", Some(STANDARD.encode(&text).into_bytes()));
        say("encoded in hex", Some(hex::encode(&text).into_bytes()));
        let decoded = encode::decode(Encoding::Hex, &text);
        say(
            "decoded from hex and encoded in base64",
            decoded.map(|bytes| STANDARD.encode(bytes).into_bytes()),
        );
    }
    keys.0
}

/// Texts that differ, and how each came to be.
struct Texts(Vec<(String, Vec<u8>)>);

impl Texts {
    fn add(&mut self, how: &[&str], text: &[u8]) {
        if self.0.iter().all(|(_, known)| known != text) {
            let words: Vec<&str> = how.iter().copied().filter(|word| !word.is_empty()).collect();
            self.0.push((words.join(", "), text.to_vec()));
        }
    }
}

/// The text without white space, quotes and encodings that were put around all of it.
fn unwrapped(text: &[u8]) -> Vec<(String, Vec<u8>)> {
    let trimmed = text.trim_ascii();
    let mut texts = Texts(Vec::new());
    texts.add(&[], text);
    texts.add(&["without the white space around it"], trimmed);
    for quote in [b'"', b'\''] {
        if let [first, inside @ .., last] = trimmed
            && (*first, *last) == (quote, quote)
        {
            texts.add(&["without the quotes around it"], inside);
        }
    }
    let unescaped: Vec<u8> = percent_encoding::percent_decode(trimmed).collect();
    texts.add(&["with its `%` escapes decoded"], &unescaped);
    for (encoding, how) in [
        (Encoding::Base64, "decoded from base64 first"),
        (Encoding::Hex, "decoded from hex first"),
    ] {
        if let Some(inside) = encode::decode(encoding, trimmed)
            && inside.iter().all(u8::is_ascii_graphic)
        {
            texts.add(&[how], &inside);
        }
    }
    texts.0
}

/// Prefixes of the platform's secrets, as its data and its samples show them, and the usual ones.
fn prefixes(case: &Case<'_>) -> Vec<String> {
    let definition = &case.definition;
    let forms = definition.signature.iter().filter_map(|rule| rule.secret.as_ref());
    let mut prefixes: Vec<String> = forms
        .chain([&definition.secret])
        .filter_map(|form| form.prefix.clone())
        .collect();
    for name in case.catalogue.sample_names(case.provider) {
        let sample = case.catalogue.sample(case.provider, &name).ok();
        let secret = sample.and_then(|sample| sample.signed?.secret);
        if let Some((prefix, _)) = secret.as_deref().and_then(|secret| secret.split_once('_')) {
            prefixes.push(format!("{prefix}_"));
        }
    }
    prefixes.extend(PREFIXES.iter().map(|prefix| (*prefix).to_owned()));
    prefixes.retain(|prefix| !prefix.is_empty() && prefix.len() <= 16);
    let mut seen = std::collections::BTreeSet::new();
    prefixes.retain(|prefix| seen.insert(prefix.clone()));
    prefixes
}

/// A public key as people paste it.
fn keys_rewritten(secret: &Secret) -> Vec<(&'static str, Secret)> {
    let Some(text) = secret.expose_str() else {
        return Vec::new();
    };
    let trimmed = text.trim().trim_matches(['"', '\'']);
    let mut all = vec![
        ("without white space and quotes around it", trimmed.to_owned()),
        ("with `\\n` read as line breaks", trimmed.replace("\\n", "\n")),
    ];
    if let Some(bytes) = encode::decode(Encoding::Hex, trimmed.as_bytes()) {
        all.push(("decoded from hex", STANDARD.encode(bytes)));
    }
    if let Some(text) = encode::decode(Encoding::Base64, trimmed.as_bytes()).and_then(|b| String::from_utf8(b).ok()) {
        all.push(("decoded from base64", text));
    }
    all.into_iter()
        .filter(|(_, other)| other != text)
        .map(|(how, text)| (how, Secret::new(text)))
        .collect()
}

/// The secrets of the other sources.
pub(super) async fn others(case: &Case<'_>, raw: &RawDelivery) -> Option<(Cause, Bench)> {
    for other in &case.others {
        let bench = Bench::compile(
            &case.definition,
            std::slice::from_ref(other),
            &case.settings,
            &case.keyring,
            None,
        );
        if let Ok(bench) = bench
            && bench.holds(raw, case.at).await
        {
            let cause = Cause::proved(
                Mistake::SecretOfAnotherSource,
                format!("it is signed with the secret of source `{}`", other.name),
                "give this source that secret too, or have the platform call that source's URL",
            );
            return Some((cause, bench));
        }
    }
    None
}

/// Two mistakes at once: the form of the secret, and the body.
pub(super) async fn and_body(case: &Case<'_>, raw: &RawDelivery) -> Option<(Vec<Cause>, Bench, RawDelivery)> {
    let (bench, keys) = of_all_forms(case)?;
    let bodies = MOST_WORK / (keys * raw.body.len().max(64));
    if bodies < 16 {
        return None;
    }
    let mut found = body::simple(&bench, raw, case.at).await;
    if found.is_none() {
        for (mistake, says, body) in Rewriter::new(case, &raw.body).bodies().take(bodies.min(MOST_BODIES)) {
            let changed = with_body(raw, body.into_bytes());
            if bench.holds(&changed, case.at).await {
                let remedy = "verify the raw bytes, and parse afterwards";
                found = Some((Cause::proved(mistake, says, remedy), changed));
                break;
            }
        }
    }
    let (cause, changed) = found?;
    let key = bench.key(&changed, case.at).await?;
    Some((vec![form_cause(case, &key), cause], bench, changed))
}
