//! What a signature looks at, said by the plans that judge it: for who explains a delivery.

use serde_json::Value;

use crate::delivery::{HeaderName, RawDelivery};
use crate::provider::definition::Scheme;
use crate::provider::{Definition, Settings};

use super::candidates;
use super::find::{Scope, View, claim_text};
use super::http_signature::{self, Component};
use super::jwt;
use super::method::{KeySource, Method};
use super::plan::{INPUT, Plan};
use super::pointers::Pointers;
use super::word::Word;

/// Of one alternative, and of what a delivery says itself that it signs.
#[derive(Debug)]
pub(crate) struct Covers {
    /// Index of its `[[signature]]`.
    pub index: usize,
    /// Where the signature is: header `signature`.
    pub place: String,
    pub method: bool,
    /// Anything of the URL: scheme, host, path or query.
    pub url: bool,
    /// The signature's own headers, and those that are signed.
    pub headers: Vec<HeaderName>,
    /// HTTP signatures: components that must be covered, as a definition writes them.
    pub components: Vec<String>,
    /// What must be in the delivery's own list, and is not: components, or names of headers.
    pub lacking: Vec<String>,
}

/// Of every alternative that compiles, or of the pinned one. Needs no secret.
pub(crate) fn covers(
    definition: &Definition,
    settings: &Settings,
    pinned: Option<&str>,
    raw: &RawDelivery,
) -> Vec<Covers> {
    let mut pointers = Pointers::of(definition);
    let plans = super::compile_plans(definition, settings, pinned, &mut pointers, &mut Vec::new());
    let view = View::new(raw, &pointers);
    plans.iter().map(|plan| Covers::of(plan, &view)).collect()
}

/// Names of algorithms that a scheme's signatures may name.
pub(crate) fn algorithm_names(scheme: Scheme) -> impl Iterator<Item = &'static str> {
    let names = match scheme {
        Scheme::Jwt | Scheme::Jws => jwt::JOSE,
        Scheme::HttpSignature => http_signature::DRAFTED,
        Scheme::HttpMessageSignature => http_signature::REGISTERED,
        _ => &[],
    };
    names.iter().map(|(name, _)| *name)
}

impl Covers {
    fn of(plan: &Plan, view: &View<'_>) -> Self {
        let content = &plan.content;
        let uses = |words: &[Word]| words.iter().any(|word| content.uses(*word));
        let key_id = match &plan.keys {
            KeySource::Document { id, .. } => id.as_ref(),
            KeySource::Certificate { url, .. } => Some(url),
            _ => None,
        };
        let finders = std::iter::once(&plan.from)
            .chain(plan.when.iter().map(|condition| condition.wanted().0))
            .chain(plan.time.iter().map(|time| &time.from))
            .chain(plan.digests.iter().map(|digest| &digest.find))
            .chain(content.listed().map(|listed| &listed.list))
            .chain(key_id);
        let mut covers = Self {
            index: plan.index,
            place: plan.from.to_string(),
            method: uses(&[Word::Method]),
            url: uses(&[Word::Url, Word::Path, Word::Query, Word::Host]),
            headers: Vec::new(),
            components: Vec::new(),
            lacking: Vec::new(),
        };
        finders
            .filter_map(|finder| finder.header())
            .for_each(|name| covers.add(name));
        content.headers().for_each(|name| covers.add(name));
        let value = plan.from.get(view, &Scope::default()).ok().flatten();
        match &plan.method {
            Method::Http { form, required, .. } => {
                if *form == http_signature::Form::Rfc9421 {
                    covers.add(&INPUT);
                }
                let names = |component: &Component| component.name(*form).into_owned();
                covers.components = required.iter().map(names).collect();
                required.iter().for_each(|component| covers.add_component(component));
                let input = view.raw.headers.all(&INPUT).next();
                let said = value.and_then(|value| http_signature::Said::all(*form, &value, input).ok());
                let said = said.unwrap_or_default();
                for component in said.iter().flat_map(|said| &said.components) {
                    covers.add_component(component);
                }
                // Of several signatures the one that comes nearest to what is asked for.
                let lacking = said
                    .iter()
                    .map(|said| said.lacking(required).map(names).collect::<Vec<_>>());
                covers.lacking = lacking.min_by_key(Vec::len).unwrap_or_default();
            }
            _ => {
                if let Some(value) = value {
                    covers.add_listed(plan, view, &value);
                }
            }
        }
        covers
    }

    fn add(&mut self, name: &HeaderName) {
        if !self.headers.contains(name) {
            self.headers.push(name.clone());
        }
    }

    fn add_component(&mut self, component: &Component) {
        match component {
            Component::Header(name) => self.add(name),
            Component::Method => self.method = true,
            // The draft's has the method in front.
            Component::RequestTarget => (self.method, self.url) = (true, true),
            Component::TargetUri
            | Component::Authority
            | Component::Scheme
            | Component::Path
            | Component::Query
            | Component::QueryParam(_) => self.url = true,
            Component::Created | Component::Expires => {}
        }
    }

    /// The headers that the delivery lists as signed.
    fn add_listed(&mut self, plan: &Plan, view: &View<'_>, value: &[u8]) {
        let said = match &plan.method {
            Method::Jws { rules, unencoded } => match rules.open_detached(value, *unencoded) {
                Ok(detached) => detached.header,
                Err(_) => return,
            },
            _ => serde_json::Map::new(),
        };
        let texts: Vec<(&[u8], Vec<u8>)> = said
            .iter()
            .filter_map(|(name, value): (&String, &Value)| Some((name.as_bytes(), claim_text(value)?)))
            .collect();
        let mut fields: Vec<(&[u8], &[u8])> = texts.iter().map(|(name, text)| (*name, &text[..])).collect();
        if let Ok((listed, _)) = candidates::split(value, plan.list.as_ref()) {
            fields.extend(listed);
        }
        let scope = Scope {
            fields: &fields,
            ..Scope::default()
        };
        for listed in plan.content.listed() {
            let Ok(Some(list)) = listed.list.get(view, &scope) else {
                continue;
            };
            let names: Vec<HeaderName> = String::from_utf8_lossy(&list)
                .split(&*listed.split)
                .filter_map(|name| HeaderName::try_from(name.trim()).ok())
                .collect();
            names.iter().for_each(|name| self.add(name));
            let lacking = listed.require.iter().filter(|name| !names.contains(name));
            self.lacking.extend(lacking.map(ToString::to_string));
        }
    }
}
