//! Changes of a genuine delivery that must not go through: what is signed, the signature, the key, the clock.

use jiff::SignedDuration;

use super::Subject;
use super::recorded::{Source, delivery, with_body};
use super::samples::another;
use crate::clock::Timestamp;
use crate::delivery::RawDelivery;
use crate::provider::definition::{Part, Scheme, Signature, TimestampRule};
use crate::provider::sample::{Sample, Signed};
use crate::verify::{VerifiedDelivery, VerifyError};

/// Positions at which a text is bent, at most.
const MOST_BENDS: usize = 64;

pub(super) fn check(
    subject: &mut Subject<'_>,
    sample: &Sample,
    signed: &Signed,
    source: &Source,
    raw: &RawDelivery,
    verified: &VerifiedDelivery<'_>,
) {
    let proof = verified.proof();
    let definition = &source.provider.definition;
    let Some(rule) = definition.signature.get(proof.alternative) else {
        return;
    };
    if rule.scheme == Scheme::None {
        return;
    }
    let mut problems = Vec::new();
    problems.extend(bent_body(rule, signed, source, raw, verified));
    problems.extend(bent_headers(sample, signed, source));
    problems.extend(wrong_secret(subject, signed, raw));
    let time = rule.timestamp.as_ref().or(definition.timestamp.as_ref());
    problems.extend(time.and_then(|time| stale(signed, source, raw, time)));
    for problem in problems {
        subject.say_at(&sample.place, problem);
    }
}

fn holds(source: &Source, raw: &RawDelivery, now: Timestamp) -> bool {
    matches!(source.verify(raw, now), Some(Ok(_)))
}

/// Positions spread over `length`, first and last among them.
fn spread(length: usize) -> impl Iterator<Item = usize> {
    let step = length / MOST_BENDS + 1;
    (0..length).step_by(step).chain(length.checked_sub(1))
}

fn bent_body(
    rule: &Signature,
    signed: &Signed,
    source: &Source,
    raw: &RawDelivery,
    verified: &VerifiedDelivery<'_>,
) -> Option<String> {
    let coverage = source.verifier.coverage(verified.proof());
    let bend = |at: usize| {
        let mut body = raw.body.to_vec();
        body[at] ^= 1;
        with_body(raw, body)
    };
    if coverage.body {
        let through = spread(raw.body.len()).find(|at| holds(source, &bend(*at), signed.at))?;
        return Some(format!(
            "verifies with byte {through} of its body changed; the signature must cover the body: look at `content`"
        ));
    }
    // Of the body only some members or fields may be signed: a change somewhere must be a mismatch, beyond one that only
    // breaks its form.
    let refused = |at: usize| matches!(source.verify(&bend(at), signed.at), Some(Err(VerifyError::Mismatch)));
    if is_bearer(rule) || raw.body.is_empty() || (0..raw.body.len()).any(refused) {
        return None;
    }
    let notes = source.provider.definition.notes.to_lowercase();
    let known = ["body is not signed", "not cover the body"]
        .iter()
        .any(|words| notes.contains(words));
    (!known).then(|| {
        "its signature covers nothing of the body; look at `content`, and if the platform's page says so too, say in `notes` that the body is not signed".to_owned()
    })
}

/// It shows a secret, and signs nothing: a token, or a hash of nothing but the secret.
fn is_bearer(rule: &Signature) -> bool {
    let of_secret = |part: &Part| match part {
        Part::Word(word) => word == "secret" || !word.bytes().any(|byte| byte.is_ascii_lowercase()),
        Part::Found(find) => find.literal.is_some() || find.setting.is_some(),
        Part::Lines(_) | Part::Listed(_) | Part::Fields(_) | Part::Raw(_) | Part::WithSecret(_) => false,
    };
    match rule.scheme {
        Scheme::Token | Scheme::Basic | Scheme::Jwt | Scheme::None => true,
        Scheme::Hash | Scheme::Hmac => rule.content.iter().all(of_secret),
        _ => false,
    }
}

/// Of each header under `[signed]`, something must count.
fn bent_headers(sample: &Sample, signed: &Signed, source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, value) in &signed.headers {
        let counts = spread(value.len()).any(|at| {
            let mut bent = signed.clone();
            let mut bytes = value.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            let Ok(text) = String::from_utf8(bytes) else {
                return false;
            };
            bent.headers.insert(name.clone(), text);
            delivery(sample, &bent).is_ok_and(|raw| !holds(source, &raw, signed.at))
        });
        if !counts {
            problems.push(format!("signed.headers: `{name}` can be changed and nothing notices; what no signature covers stands under `[request.headers]`"));
        }
    }
    problems
}

fn wrong_secret(subject: &Subject<'_>, signed: &Signed, raw: &RawDelivery) -> Option<String> {
    let secret = signed.secret.as_deref()?;
    let other = Signed {
        secret: Some(another(secret)),
        ..signed.clone()
    };
    // A key that is none any more, because it was changed, is refused as well.
    let source = Source::compile(subject.catalogue, subject.name, &other).ok()?;
    holds(&source, raw, signed.at).then(|| "verifies with another secret too".to_owned())
}

fn stale(signed: &Signed, source: &Source, raw: &RawDelivery, rule: &TimestampRule) -> Option<String> {
    let tolerance: SignedDuration = rule.tolerance.as_deref()?.parse().ok()?;
    if rule.from.is_nowhere() {
        return None;
    }
    // The recording may have arrived at either end of the tolerance.
    let far = tolerance.checked_mul(2)?.checked_add(SignedDuration::from_secs(1))?;
    let late = source.verify(raw, signed.at.checked_add(far).ok()?);
    if !matches!(late, Some(Err(VerifyError::Stale(_) | VerifyError::Token(_)))) {
        return Some(format!(
            "is not refused as stale {far:#} later, though a tolerance of {tolerance:#} is stated; the signature must cover the timestamp (`timestamp` in `content`), or the tolerance goes"
        ));
    }
    let early = source.verify(raw, signed.at.checked_sub(far).ok()?);
    (!matches!(early, Some(Err(VerifyError::Future(_) | VerifyError::Token(_)))))
        .then(|| format!("is not refused {far:#} before its time, though a tolerance of {tolerance:#} is stated"))
}
