//! What the alternatives ask of a delivery and what they find there, for people: no keys, no verdict, no whole signature.

use super::candidates;
use super::encode;
use super::find::{Scope, View};
use super::plan::{Method, Plan};
use super::pointers::Pointers;
use super::compile_plans;
use super::content::Word;
use crate::clock::Timestamp;
use crate::delivery::{HeaderName, RawDelivery};
use crate::provider::definition::Encoding;
use crate::provider::{Definition, Settings};

/// One alternative, looked at.
#[derive(Debug)]
pub struct Inspected {
    /// ``signature `v1` ``, or its position.
    pub place: String,
    /// `hmac-sha256`, `token`, …
    pub scheme: String,
    /// Where the signature is to be: ``header `x-signature` ``.
    pub from: String,
    pub from_header: Option<HeaderName>,
    /// What selects it, and whether that holds.
    pub conditions: Vec<(String, bool)>,
    pub shown: Shown,
    /// Where the time of signing is, and what is read there.
    pub time: Option<(String, Option<Timestamp>)>,
    /// What is signed, in order; `None` where it is missing.
    pub content: Vec<(String, Option<Vec<u8>>)>,
    pub covers_url: bool,
    pub covers_body: bool,
}

/// The signature as it is found, never whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    Missing,
    /// Something is there, and cannot be one; why.
    Malformed(String),
    /// One or several.
    Signatures(Vec<String>),
}

/// Problems are those of the definition or its settings.
pub fn inspect(
    definition: &Definition,
    settings: &Settings,
    pinned: Option<&str>,
    raw: &RawDelivery,
) -> Result<Vec<Inspected>, Vec<String>> {
    let mut problems = Vec::new();
    let mut pointers = Pointers::default();
    let plans = compile_plans(definition, settings, pinned, &mut pointers, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let view = View::new(raw, &pointers);
    Ok(plans.iter().map(|plan| look(plan, &view)).collect())
}

fn look(plan: &Plan, view: &View<'_>) -> Inspected {
    let conditions = plan.when.iter().map(|condition| {
        let (finder, wanted) = condition.wanted();
        let text = match wanted {
            Some(wanted) => format!("{finder} is `{wanted}`"),
            None => format!("{finder} is there"),
        };
        (text, condition.holds(view).unwrap_or(false))
    });
    let value = plan.from.get(view, &Scope::default()).ok().flatten();
    let fields = value.as_deref().and_then(|value| Some(candidates::split(value, plan.list.as_ref()).ok()?.0)).unwrap_or_default();
    let bare = Scope { fields: &fields, ..Scope::default() };
    let is_token = matches!(plan.method, Method::Jwt(_));
    let time = plan.time.as_ref().filter(|_| !is_token);
    let text = time.and_then(|time| time.from.get(view, &bare).ok().flatten());
    let scope = Scope { timestamp: text.as_deref(), ..bare };
    Inspected {
        place: plan.place(),
        scheme: plan.label.to_string(),
        from: plan.from.to_string(),
        from_header: plan.from.header().cloned(),
        conditions: conditions.collect(),
        shown: shown(plan, view, value.as_deref()),
        time: time.map(|time| (time.from.to_string(), text.as_deref().and_then(|text| time.parse(text).ok()))),
        content: plan.content.told(view, &scope),
        covers_url: [Word::Url, Word::Path, Word::Query, Word::Host].iter().any(|word| plan.content.uses(*word)),
        covers_body: plan.coverage.body,
    }
}

fn shown(plan: &Plan, view: &View<'_>, value: Option<&[u8]>) -> Shown {
    let Some(value) = value else {
        return match plan.from.raw(view, &Scope::default()) {
            Ok(Some(_)) => {
                let prefix = plan.from.prefix().unwrap_or_default();
                Shown::Malformed(format!("does not begin with `{prefix}`"))
            }
            Ok(None) => Shown::Missing,
            Err(super::find::Malformed(why)) => Shown::Malformed(why),
        };
    };
    let signatures = match candidates::split(value, plan.list.as_ref()) {
        Ok((_, signatures)) if signatures.is_empty() => {
            let form = plan.list.as_ref();
            let key = form.and_then(|form| form.key.as_deref()).unwrap_or_default();
            let assign = form.and_then(|form| form.assign.as_deref()).unwrap_or_default();
            return Shown::Malformed(format!("holds no `{key}{assign}…`"));
        }
        Ok((_, signatures)) => signatures,
        Err(super::find::Malformed(why)) => return Shown::Malformed(why),
    };
    if matches!(plan.method, Method::Token | Method::None) {
        return Shown::Signatures(signatures.iter().map(|token| format!("a token of {} characters", token.len())).collect());
    }
    let is_token = matches!(plan.method, Method::Jwt(_));
    if !is_token && signatures.iter().all(|text| encode::decode(plan.encoding, text).is_none()) {
        let wanted = match plan.encoding {
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
            Encoding::Base64url => "base64url",
            Encoding::Text => "text",
        };
        return Shown::Malformed(format!("is not {wanted}, as this platform writes it"));
    }
    Shown::Signatures(signatures.iter().map(|text| part_of(text)).collect())
}

/// Enough to recognise it by, too little to use.
fn part_of(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let count = text.chars().count();
    if count < 16 {
        return format!("{count} characters");
    }
    let (start, end): (String, String) = (text.chars().take(4).collect(), text.chars().skip(count - 4).collect());
    format!("{start}…{end} ({count} characters)")
}
