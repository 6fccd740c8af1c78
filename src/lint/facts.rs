//! What a definition says about itself: where it was read, when, and how sure that is.

use jiff::civil::Date;

use super::Subject;
use crate::provider::definition::{Claim, Part, Scheme};
use crate::units::{ByteSize, HumanDuration};

pub(super) fn check(subject: &mut Subject<'_>, today: Date) {
    let definition = subject.definition.clone();
    let page: Option<http::Uri> = definition.docs.parse().ok();
    if !page
        .is_some_and(|page| page.scheme_str() == Some("https") && page.host().is_some_and(|host| host.contains('.')))
    {
        subject.say("docs: not the address of a page; give the platform's page on signatures, `https://…`");
    }
    match definition.read.parse::<Date>() {
        Ok(date) if date > today => subject.say(format!(
            "read: {date} is yet to come; give the day on which the page was read"
        )),
        Ok(_) => {}
        Err(_) => subject.say("read: not a day; write it as `2026-11-24`, the day on which the page was read"),
    }
    for (key, text, remedy) in [
        ("title", &definition.title, "the platform's name as it writes it itself"),
        (
            "category",
            &definition.category,
            "a kind of platform, as others are listed under",
        ),
        (
            "evidence",
            &definition.evidence,
            "which kit agreed, or which passage of the page was read",
        ),
        (
            "answer.success",
            &definition.answer.success,
            "which statuses it counts as delivered, or `not stated`",
        ),
        (
            "answer.retries",
            &definition.answer.retries,
            "its retry schedule, or `not stated`",
        ),
        (
            "answer.on_4xx",
            &definition.answer.on_4xx,
            "what it does on a 4xx, or `not stated`",
        ),
    ] {
        if text.trim().is_empty() {
            subject.say(format!("{key}: empty; say {remedy}"));
        }
    }
    let is_domain = |domain: &str| {
        domain.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
    };
    let domain = definition.domain.as_str();
    if !domain.is_empty() && !domain.starts_with("${") && !is_domain(domain) {
        subject.say(format!(
            "domain: `{domain}` is no reverse domain; write it as `com.github`"
        ));
    }
    check_units(subject);
    check_hints(subject);
    check_bound(subject);
}

fn check_units(subject: &mut Subject<'_>) {
    let (answer, limit) = (subject.definition.answer.clone(), subject.definition.body.limit.clone());
    if let Some(Err(error)) = answer.deadline.as_deref().map(str::parse::<HumanDuration>) {
        subject.say(format!("answer.deadline: {error}"));
    }
    if let Some(Err(error)) = limit.as_deref().map(str::parse::<ByteSize>) {
        subject.say(format!("body.limit: {error}"));
    }
    if answer.status.is_some_and(|status| !(200..300).contains(&status)) {
        subject.say("answer.status: not a success; a delivery that was taken is answered 2xx");
    }
}

/// A key that is the same for all customers proves the platform, and not whose delivery it is.
fn check_bound(subject: &mut Subject<'_>) {
    let definition = subject.definition.clone();
    if !definition.bind.is_empty() || definition.notes.to_lowercase().contains("nothing binds") {
        return;
    }
    for (index, rule) in definition.signature.iter().enumerate() {
        let keys = &rule.keys;
        // A key set that each source must name is that customer's own.
        let setting = keys
            .jwks
            .as_deref()
            .and_then(|url| url.strip_prefix("${")?.strip_suffix('}'));
        let setting = setting.and_then(|name| definition.settings.get(name));
        let own = setting.is_some_and(|setting| setting.required && setting.default.is_none());
        let shared = !keys.pinned.is_empty() || (keys.jwks.is_some() && !own) || keys.certificate.is_some();
        let claimed = rule.claims.values().any(|claim| matches!(claim, Claim::Setting { .. }));
        let signed = rule
            .content
            .iter()
            .any(|part| matches!(part, Part::Found(find) if find.setting.is_some()));
        if shared && !claimed && !signed {
            subject.say(format!(
                "signature[{index}]: its key is the platform's, the same for every customer; say what makes a delivery ours with `[[bind]]`, a claim or a part of `content` that is a setting, or in `notes` that nothing binds it"
            ));
        }
    }
}

/// Whoever configures a source must be told where the secret is found.
fn check_hints(subject: &mut Subject<'_>) {
    let definition = subject.definition.clone();
    let missing: Vec<usize> = definition
        .signature
        .iter()
        .enumerate()
        .filter(|(_, rule)| {
            let keys = &rule.keys;
            let from_secrets = keys.pinned.is_empty() && keys.jwks.is_none() && keys.certificate.is_none();
            let form = rule.secret.as_ref().unwrap_or(&definition.secret);
            let hint = form.hint.trim().is_empty() && definition.secret.hint.trim().is_empty();
            rule.scheme != Scheme::None && from_secrets && hint
        })
        .map(|(index, _)| index)
        .collect();
    for index in missing {
        subject.say(format!("signature[{index}]: no hint for its secret; say under `[secret] hint` where a user finds it on the platform"));
    }
    let nameless: Vec<String> = definition
        .settings
        .iter()
        .filter(|(_, setting)| setting.description.trim().is_empty())
        .map(|(name, _)| name.clone())
        .collect();
    for name in nameless {
        subject.say(format!(
            "settings.{name}.description: empty; say what a source gives here, and where it is found"
        ));
    }
}
