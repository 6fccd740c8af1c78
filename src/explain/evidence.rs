//! What speaks for a cause where no trial proves one.

use super::capture::Note;
use super::headers;
use super::json::{self, Escapes, LAYOUTS, Layout, Order};
use super::{Case, Cause, Mistake, expected};
use crate::verify::VerifyError;

pub(super) fn look(case: &Case<'_>, error: &VerifyError) -> Vec<Cause> {
    let mut found: Vec<Cause> = case.notes.iter().filter_map(note).collect();
    match error {
        VerifyError::Missing(_) | VerifyError::Timestamp => found.push(missing(case, error)),
        VerifyError::Malformed(why) => found.push(Cause::likely(
            Mistake::HeaderChanged,
            format!("the signature is there in another form: {why}"),
            "compare the header with the platform's page: it is cut off, or of another of its webhook versions",
        )),
        VerifyError::UnknownKey(place) => found.push(Cause::likely(
            Mistake::Keys,
            format!("{place} names a key that the platform does not publish, or no longer"),
            "compare where the keys are taken from with the webhook's environment (a sandbox has keys of its own); else it is not the platform's",
        )),
        VerifyError::Mismatch | VerifyError::Digest(_) => {
            found.extend(length(case));
            found.extend(replaced(case));
            found.extend(layout(case));
            found.extend(test_mode(case));
            if matches!(error, VerifyError::Mismatch) {
                found.push(secret(case));
            }
        }
        _ => {}
    }
    found
}

fn note(note: &Note) -> Option<Cause> {
    let (says, remedy) = match note {
        Note::BodyShownLossily => (
            "the capture shows bytes that are not printable as `.`, so the body may not be what was sent",
            "capture it with `--trace FILE`, which shows every byte",
        ),
        Note::BodyParsed => (
            "the capture holds the body as a JSON value and not as the bytes that were sent",
            "capture the raw body as text, or as base64 (`\"bodyBase64\"`)",
        ),
        Note::BodyCut => ("the body is shorter than its Content-Length", "capture the whole body"),
        Note::Folded(_) => return None,
    };
    Some(Cause::likely(Mistake::LossyCapture, says, remedy))
}

fn missing(case: &Case<'_>, error: &VerifyError) -> Cause {
    let absent: Vec<_> = headers::wanted(case)
        .into_iter()
        .filter(|name| case.raw.headers.all(name).next().is_none())
        .map(|name| format!("`{name}`"))
        .collect();
    let folded = case.notes.iter().find_map(|note| match note {
        Note::Folded(name) => Some(name),
        _ => None,
    });
    if let (VerifyError::Timestamp, [], Some(name)) = (error, &absent[..], folded) {
        return Cause::likely(
            Mistake::HeaderFolded,
            format!("header `{name}` came in several lines"),
            "keep the header on one line",
        );
    }
    let says = match &absent[..] {
        [] => format!("{error}, though its headers are there"),
        names => format!("header {} did not arrive, under any name", names.join(", ")),
    };
    Cause::likely(
        Mistake::HeaderMissing,
        says,
        format!(
            "look for a proxy, firewall or framework that takes unknown headers away; if the platform never sent it, give the webhook a secret there ({})",
            case.definition.secret.hint.trim()
        ),
    )
}

fn length(case: &Case<'_>) -> Option<Cause> {
    let declared = case.raw.headers.text(&actix_web::http::header::CONTENT_LENGTH)?;
    let declared: usize = declared.parse().ok()?;
    let actual = case.raw.body.len();
    (declared != actual).then(|| {
        let says = match actual {
            0 => format!("the body is empty, and its Content-Length says {declared} bytes: something read it before it was captured or verified"),
            _ => format!("the body has {actual} bytes, and its Content-Length says {declared}: it was changed or cut off on the way"),
        };
        Cause::likely(Mistake::BodyLength, says, "keep the raw body, and verify that")
    })
}

fn replaced(case: &Case<'_>) -> Option<Cause> {
    let body = &case.raw.body;
    let lost = body.windows(3).any(|window| window == "\u{fffd}".as_bytes());
    lost.then(|| {
        Cause::likely(
            Mistake::BodyCharset,
            "the body holds U+FFFD, which stands for bytes that could not be read: it was decoded as text on the way, and what was there is lost",
            "keep the body as bytes; do not decode it before it is verified",
        )
    })
}

/// Laid out for people, where the platform's are not.
fn layout(case: &Case<'_>) -> Option<Cause> {
    let of = |text: &[u8]| {
        let document = json::parse(text)?;
        let is = |layout| document.write(layout, Escapes::Kept, Order::Kept).as_bytes() == text.trim_ascii();
        LAYOUTS.iter().find(|(layout, _)| is(*layout)).copied()
    };
    let (here, says) = of(&case.raw.body)?;
    let samples = case.catalogue.sample_names(case.provider);
    let mut theirs = samples
        .iter()
        .filter_map(|name| case.catalogue.sample(case.provider, name).ok())
        .filter_map(|sample| of(&sample.body))
        .peekable();
    theirs.peek()?;
    (here != Layout::Compact && theirs.all(|(layout, _)| layout != here)).then(|| {
        Cause::likely(
            Mistake::BodyReserialised,
            format!("the body is JSON {says}, as the platform's own bodies are not: it was probably serialised again on the way, and more of it changed than can be undone (numbers, the order of keys)"),
            "verify the raw bytes, and parse afterwards",
        )
    })
}

fn test_mode(case: &Case<'_>) -> Option<Cause> {
    let body: serde_json::Value = serde_json::from_slice(&case.raw.body).ok()?;
    let says = |name: &str, wanted: &[serde_json::Value]| body.get(name).is_some_and(|value| wanted.contains(value));
    let is_test = says("livemode", &[false.into()])
        || says("live_mode", &[false.into()])
        || says("live", &[false.into()])
        || ["test", "test_mode", "testMode", "is_test", "sandbox"]
            .iter()
            .any(|name| says(name, &[true.into()]))
        || ["environment", "mode", "env"].iter().any(|name| {
            says(
                name,
                &["test".into(), "sandbox".into(), "TEST".into(), "SANDBOX".into()],
            )
        });
    is_test.then(|| {
        Cause::likely(
            Mistake::SecretOfTestMode,
            "the body says that it is a delivery of the test mode, which has a secret of its own on most platforms",
            "add the test mode's secret to the source, or give test mode a source and a URL of its own",
        )
    })
}

fn secret(case: &Case<'_>) -> Cause {
    let tried = match case.others.len() {
        0 => String::new(),
        count => format!(", nor with one of the {count} secrets of other sources"),
    };
    Cause::likely(
        Mistake::SecretWrong,
        format!(
            "no change of body, headers, URL or of the secret's form makes the signature hold{tried}: it is probably made with another secret"
        ),
        format!(
            "copy the secret of exactly this webhook again (another endpoint, another environment and a rotated secret look the same); {}",
            expected::secret(case)
        ),
    )
}
