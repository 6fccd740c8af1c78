//! What a definition expects, in words; and what is wrong with a delivery whose signature holds.

use super::{Case, Cause, Mistake};
use crate::provider::definition::{Find, Part, Scheme, SecretEncoding, SecretForm, Signature};
use crate::provider::listing::signature_name;
use crate::verify::VerifyError;
use crate::verify::covers::Covers;

const AS_READ: &str = "give the moment at which it arrived with `--at`";

/// The signature that a delivery should have; of several, each.
pub(super) fn of(case: &Case<'_>) -> String {
    let pinned = case.signature.as_deref();
    let covers = case.covers();
    let rules = case
        .definition
        .signature
        .iter()
        .enumerate()
        .filter(|(_, rule)| pinned.is_none() || rule.name.as_deref() == pinned);
    let of = |index| covers.iter().find(|covers| covers.index == index);
    let mut all: Vec<String> = rules.map(|(index, rule)| signature(case, rule, of(index))).collect();
    all.dedup();
    all.join("; or ")
}

/// `covers`: nothing where the settings are not complete yet.
fn signature(case: &Case<'_>, rule: &Signature, covers: Option<&Covers>) -> String {
    let mut text = match rule.scheme {
        Scheme::None => return "nothing: this provider proves no sender".into(),
        Scheme::Basic => "user and password (HTTP Basic)".to_owned(),
        Scheme::Token => "the secret itself".to_owned(),
        _ => signature_name(rule),
    };
    if !rule.algorithms.is_empty() {
        text.push_str(&format!(" by {}", rule.algorithms.join(" or ")));
    }
    if let Some(encoding) = rule.encoding {
        text.push_str(&format!(" in {}", format!("{encoding:?}").to_lowercase()));
    }
    // Some schemes have a place of their own, of which the data needs to say nothing.
    match (place(&rule.from), covers) {
        (place, Some(covers)) if place.is_empty() => text.push_str(&format!(", in {}", covers.place)),
        (place, None) if place.is_empty() => {}
        (place, _) => text.push_str(&format!(", in {place}")),
    }
    if let Some(key) = rule.list.as_ref().and_then(|list| list.key.as_deref()) {
        text.push_str(&format!(" as `{key}`"));
    }
    if !rule.content.is_empty() {
        let parts: Vec<_> = rule.content.iter().map(part).collect();
        text.push_str(&format!(", over {}", parts.join(" ")));
    }
    if let Some(covers) = covers.filter(|covers| !covers.components.is_empty()) {
        let names: Vec<_> = covers.components.iter().map(|name| format!("`{name}`")).collect();
        text.push_str(&format!(", over {} at least, as it lists them", names.join(", ")));
    }
    for digest in &rule.digest {
        let hash = format!("{:?}", digest.hash).to_lowercase();
        text.push_str(&format!(", with the body's {hash} in {}", place(&digest.find)));
    }
    if !rule.claims.is_empty() {
        let names: Vec<_> = rule.claims.keys().map(|name| format!("`{name}`")).collect();
        text.push_str(&format!(", with {} as the source expects", names.join(", ")));
    }
    let time = rule.timestamp.as_ref().or(case.definition.timestamp.as_ref());
    if let Some(tolerance) = time
        .filter(|time| !time.from.is_nowhere())
        .and_then(|time| time.tolerance.as_deref())
    {
        text.push_str(&format!(", signed no more than {tolerance} from now"));
    }
    text
}

/// Where something is looked for.
pub(super) fn place(find: &Find) -> String {
    let Some((kind, name)) = find.places().first().copied() else {
        return String::new();
    };
    let place = match kind {
        "header" => format!("header `{name}`"),
        "query" => format!("query parameter `{name}`"),
        "form" => format!("form field `{name}`"),
        "field" => format!("`{name}` in the signature header"),
        "claim" => format!("claim `{name}`"),
        "literal" | "setting" => String::new(),
        _ => format!("body member `{name}`"),
    };
    match find.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        Some(prefix) if !place.is_empty() => format!("{place} behind `{}`", prefix.trim_end()),
        _ => place,
    }
}

fn part(part: &Part) -> String {
    match part {
        Part::Word(word) if word.bytes().any(|byte| byte.is_ascii_lowercase()) && word.len() >= 3 => word.clone(),
        Part::Word(literal) => format!("{literal:?}"),
        Part::Lines(lines) => format!("the lines of {}", lines.named_lines.join(", ")),
        Part::Sorted(sorted) => {
            let values: Vec<_> = sorted.sorted.iter().map(place).collect();
            format!("the sorted values of {}", values.join(", "))
        }
        Part::Compact(part) => format!("body member `{}`, written compactly", part.compact),
        Part::Listed(listed) => format!("the headers that {} lists", place(&listed.listed)),
        Part::Fields(fields) => match fields.without.as_slice() {
            [] => "the form's fields, sorted and joined".to_owned(),
            without => format!("the form's fields without {}, sorted and joined", without.join(", ")),
        },
        Part::Raw(raw) => format!("body member `{}` as it is written", raw.raw),
        Part::WithSecret(with) => format!("the body with the secret at `{}`", with.body_with_secret_at),
        Part::Found(find) => match (&find.literal, &find.setting, &find.part) {
            (Some(literal), ..) => format!("{literal:?}"),
            // What a setting says may be a credential.
            (_, Some(setting), _) => format!("setting `{setting}`"),
            (.., Some(part)) => part.clone(),
            _ => place(find),
        },
    }
}

/// The form of the secret, and where it is found.
pub(super) fn secret(case: &Case<'_>) -> String {
    let definition = &case.definition;
    let mut forms: Vec<String> = definition
        .signature
        .iter()
        .map(|rule| form(rule.secret.as_ref().unwrap_or(&definition.secret)))
        .collect();
    forms.dedup();
    let hint = match definition.secret.hint.trim() {
        "" => String::new(),
        hint => format!(" ({hint})"),
    };
    format!("this provider takes {}{hint}", forms.join(", or "))
}

fn form(form: &SecretForm) -> String {
    let body = match form.encoding {
        SecretEncoding::Text => "the text itself",
        SecretEncoding::Hex => "hex, and decodes it",
        SecretEncoding::Base64 => "base64, and decodes it",
        SecretEncoding::Base64url => "base64url, and decodes it",
        SecretEncoding::Pem => "a PEM public key",
    };
    match form.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("`{prefix}…`: {body}"),
        None => body.to_owned(),
    }
}

/// Clock, binding, claims: the signature holds, or says so much itself.
pub(super) fn after_the_signature(case: &Case<'_>, error: &VerifyError) -> Option<Cause> {
    match error {
        VerifyError::Stale(age) if !case.at_is_known => Some(Cause::proved(
            Mistake::OldCapture,
            format!(
                "the signature holds; the delivery was signed {} before now, and the capture does not say when it arrived",
                seconds(*age)
            ),
            format!(
                "{AS_READ}; the gateway itself refused it only if it came as late as that: then the platform retries with an old signature, or it was replayed"
            ),
        )),
        VerifyError::Stale(age) => Some(Cause::proved(
            Mistake::Clock,
            format!(
                "the signature holds; the delivery was {} old when it arrived",
                seconds(*age)
            ),
            "set the gateway's clock (NTP); else it was held back or sent again on the way: a queue, a retry with the first signature, a replay",
        )),
        VerifyError::Future(ahead) => Some(Cause::proved(
            Mistake::Clock,
            format!(
                "the signature holds; it was signed {} after it arrived, so a clock is wrong",
                seconds(*ahead)
            ),
            "set the gateway's clock (NTP), or the sender's; a moment given with `--at` must be that of this delivery",
        )),
        VerifyError::Foreign(place) => {
            let bind = case
                .definition
                .bind
                .iter()
                .find(|bind| self::place(&bind.find) == *place);
            let setting = bind.map_or(String::new(), |bind| format!(" `{}`", bind.setting));
            Some(Cause::proved(
                Mistake::Binding,
                format!(
                    "the signature holds, and the delivery is for somebody else: {place} is none of those in the setting{setting}"
                ),
                format!("add it to the setting{setting} if it is yours; else somebody sends you what is not"),
            ))
        }
        VerifyError::Token(why) => Some(Cause::proved(
            Mistake::Claims,
            format!("what the token, or the signature, says of itself is not accepted: {why}"),
            "compare the source's settings (audience, account, issuer, key id) with what the platform is configured for; for its times look at the clocks",
        )),
        VerifyError::KeysUnavailable(why) => Some(Cause::proved(
            Mistake::Keys,
            format!("the platform's keys could not be had: {why}"),
            "let this machine reach that host over HTTPS",
        )),
        _ => None,
    }
}

fn seconds(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}
