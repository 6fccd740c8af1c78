//! One `[[signature]]` of a definition, compiled, without keys: where the signature is, what it covers, and when.

use std::borrow::Cow;
use std::sync::Arc;

use crate::delivery::HeaderName;
use crate::keys::Algorithm;
use crate::provider::definition::{Encoding, Find, HashName, ListForm, Scheme, SecretForm, Signature};
use crate::provider::{Definition, Settings};

use super::content::Content;
use super::find::{Allowed, Condition, Finder, Place, Scope, View};
use super::hashes;
use super::http_signature::{Component, Form};
use super::method::{KeySource, Method};
use super::pointers::Pointers;
use super::problems::Problems;
use super::time::SignedTime;
use super::word::Word;
use super::{Coverage, VerifyError, digests};

#[derive(Debug)]
pub(crate) struct Plan {
    pub index: usize,
    pub name: Option<Box<str>>,
    /// `hmac-sha256`, `token`, …
    pub label: Arc<str>,
    pub method: Method,
    pub from: Finder,
    pub list: Option<ListForm>,
    pub when: Vec<Condition>,
    pub encoding: Encoding,
    pub content: Content,
    pub time: Option<SignedTime>,
    pub digests: Vec<BodyDigest>,
    pub prehash: Option<HashName>,
    pub either_port: bool,
    pub secret: SecretForm,
    pub keys: KeySource,
    pub coverage: Arc<Coverage>,
    /// Headers from which the provider takes tokens: nobody else gets them.
    tokens: Vec<HeaderName>,
}

/// A signed value that must be the body's hash.
#[derive(Debug)]
pub(crate) struct BodyDigest {
    pub find: Finder,
    pub hash: HashName,
    pub encoding: Encoding,
}

/// RFC 9421's list of what a signature covers.
pub(crate) static INPUT: HeaderName = HeaderName::from_static("signature-input");

/// A `[[signature]]` as problems name it: its name, or its position.
pub(crate) fn place_of(index: usize, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("signature `{name}`"),
        None => format!("signature {}", index + 1),
    }
}

impl Plan {
    pub fn place(&self) -> String {
        place_of(self.index, self.name.as_deref())
    }

    pub fn takes_secrets(&self) -> bool {
        matches!(self.keys, KeySource::Secrets)
    }

    /// What it is signed with, where that is a private key. `None`: a shared secret.
    pub fn private_algorithms(&self) -> Option<Vec<Algorithm>> {
        match &self.method {
            Method::Public(algorithm) => Some(vec![*algorithm]),
            method => Some(method.rules()?.public_algorithms()).filter(|algorithms| !algorithms.is_empty()),
        }
    }

    pub fn compile(
        index: usize,
        definition: &Definition,
        settings: &Settings,
        pointers: &mut Pointers,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let rule = &definition.signature[index];
        let method = Method::compile(rule, settings, &mut problems.at("scheme"));
        let (from, encoding) = place(rule);
        let whole = Allowed {
            part: rule.scheme == Scheme::Jwt,
            ..Allowed::default()
        };
        let from = Finder::compile(&from, whole, settings, pointers, &mut problems.at("from"));
        let mut when = Vec::new();
        for condition in &rule.when {
            when.extend(Condition::compile(
                condition,
                settings,
                pointers,
                &mut problems.at("when"),
            ));
        }
        let content = Content::compile(&rule.content, settings, pointers, &mut problems.at("content"));
        let time = rule.timestamp.as_ref().or(definition.timestamp.as_ref());
        let time = time.and_then(|time| SignedTime::compile(time, settings, pointers, &mut problems.at("timestamp")));
        let mut digests = Vec::new();
        for digest in &rule.digest {
            let allowed = Allowed {
                claim: rule.scheme == Scheme::Jwt,
                ..Allowed::default()
            };
            let find = Finder::compile(&digest.find, allowed, settings, pointers, &mut problems.at("digest"));
            digests.extend(find.map(|find| BodyDigest {
                find,
                hash: digest.hash,
                encoding: digest.encoding,
            }));
        }
        let keys = KeySource::compile(rule, definition, settings, pointers, &mut problems.at("keys"))?;
        let mut plan = Self {
            index,
            name: rule.name.as_deref().map(Into::into),
            label: String::new().into(),
            method: method?,
            from: from?,
            list: rule.list.clone(),
            when,
            encoding,
            content,
            time,
            digests,
            prehash: rule.prehash,
            either_port: rule.either_port,
            secret: rule.secret.clone().unwrap_or_else(|| definition.secret.clone()),
            keys,
            coverage: Arc::default(),
            tokens: tokens(definition),
        };
        plan.label = plan.label(rule.scheme).into();
        // A time that anybody could have put there says nothing: it is neither asked for nor judged.
        let is_signed = |time: &SignedTime| plan.content.uses(Word::Timestamp) || plan.covers(&time.from);
        if !plan.time.as_ref().is_some_and(is_signed) {
            plan.time = None;
        }
        plan.coverage = plan.covered().into();
        plan.check(problems).then_some(plan)
    }

    /// What a private key signs.
    pub fn message<'d>(&self, view: &View<'d>, scope: &Scope<'_>) -> Result<Cow<'d, [u8]>, VerifyError> {
        let content = self.content.whole(view, scope)?;
        Ok(match self.prehash {
            Some(name) => Cow::Owned(hashes::hash(name, &content).to_vec()),
            None => content,
        })
    }

    /// What the fields allow one by one, and not together.
    fn check(&self, problems: &mut Problems<'_>) -> bool {
        let signs_content = self.signs();
        let mut wrong = Vec::new();
        let is_http = matches!(self.method, Method::Http { .. });
        if signs_content && !is_http && self.content.is_empty() {
            wrong.push("content is empty; say what is signed, such as [\"body\"]".into());
        }
        if signs_content && self.encoding == Encoding::Text {
            wrong.push("encoding `text` is for tokens; a signature is hex, base64 or base64url".into());
        }
        if (!signs_content || is_http) && !self.content.is_empty() {
            wrong.push(format!("scheme `{}` signs no content; take `content` out", self.label));
        }
        if matches!(self.method, Method::Hash(_)) && !self.content.uses(Word::Secret) {
            wrong.push("a plain hash proves nothing without the part `secret` in its content".into());
        }
        // Elsewhere it would stand for nothing at all, and what was read as a keyed content would not be one.
        if !matches!(self.method, Method::Hash(_) | Method::Hmac(_)) && self.content.uses(Word::Secret) {
            wrong.push(
                "the part `secret` is for schemes `hash` and `hmac`; take it out, the scheme itself is keyed".into(),
            );
        }
        if let Method::Http { form, required, .. } = &self.method
            && !required.iter().any(digests::is_digest)
        {
            let name = match form {
                Form::Draft => "digest",
                Form::Rfc9421 => "content-digest",
            };
            wrong.push(format!(
                "components lack `{name}`: without it a signature says nothing of the body"
            ));
        }
        if !is_http
            && self
                .list
                .as_ref()
                .is_some_and(|list| !list.leading.is_empty() && list.assign.is_some())
        {
            wrong.push("list.leading is for items that have no names of their own; take it or `assign` out".into());
        }
        if self.prehash.is_some() && !matches!(self.method, Method::Public(_)) {
            wrong.push("prehash is for signatures by a private key over `content`; take it out".into());
        }
        if self.content.uses(Word::Timestamp) && self.time.is_none() {
            wrong.push("content has the part `timestamp`, but no timestamp is given".into());
        }
        if !matches!(self.method, Method::Jwt(_))
            && self
                .time
                .as_ref()
                .is_some_and(|time| matches!(time.from.place(), Place::Claim(_)))
        {
            wrong.push("only a token has claims to take a timestamp from".into());
        }
        if self.either_port
            && !(matches!(self.method, Method::Hmac(_) | Method::Hash(_)) && self.content.uses(Word::Url))
        {
            wrong.push("either_port is for an hmac or a hash over the part `url`".into());
        }
        if !matches!(self.keys, KeySource::Secrets)
            && self
                .method
                .rules()
                .is_some_and(|rules| rules.public_algorithms().is_empty())
        {
            wrong.push("signatures with a shared secret take no keys from elsewhere".into());
        }
        for digest in self.digests.iter().filter(|digest| !self.signs_itself(&digest.find)) {
            wrong.push(format!(
                "digest in {} is not signed, so it proves nothing about the body",
                digest.find
            ));
        }
        let ok = wrong.is_empty();
        wrong.into_iter().for_each(|problem| problems.say(problem));
        ok
    }

    /// Whether the signature covers what `finder` finds, itself or by a digest of the body: else anybody could have
    /// put it there.
    pub fn covers(&self, finder: &Finder) -> bool {
        let in_body = matches!(finder.place(), Place::Json(..) | Place::Form(_));
        self.signs_itself(finder) || (in_body && !self.digests.is_empty())
    }

    fn signs_itself(&self, finder: &Finder) -> bool {
        let content = &self.content;
        if let Method::Http { form, required, .. } = &self.method {
            let covers = |component: Component| required.contains(&component);
            return match finder.place() {
                Place::Header(name) => covers(Component::Header(name.clone())),
                Place::Query(_) => {
                    covers(Component::Query) || covers(Component::RequestTarget) || covers(Component::TargetUri)
                }
                Place::Form(_) | Place::Json(..) | Place::Part(_) | Place::Fixed(_) => true,
                // The draft signs of its parameters only those that it lists.
                Place::Field(name) if *form == Form::Draft => {
                    (&**name == "created" && covers(Component::Created))
                        || (&**name == "expires" && covers(Component::Expires))
                }
                Place::Field(_) => true,
                Place::Claim(_) => false,
            };
        }
        match finder.place() {
            Place::Header(name) => content.headers().any(|covered| covered == name),
            Place::Query(_) => content.uses(Word::Url) || content.uses(Word::Query) || content.finds(finder),
            Place::Json(_, pointer) => content.proves_body() || content.finds(finder) || content.holds_member(pointer),
            Place::Form(name) => {
                let without = content.fields_without();
                content.proves_body()
                    || content.finds(finder)
                    || without.is_some_and(|without| !without.iter().any(|other| **other == **name))
            }
            Place::Field(_) => content.finds(finder) || matches!(self.method, Method::Jws { .. }),
            Place::Claim(_) => matches!(self.method, Method::Jwt(_)),
            Place::Part(_) | Place::Fixed(_) => true,
        }
    }

    /// Whether the signature is over something of the delivery, and not only the sender's word that it is the sender.
    pub fn signs(&self) -> bool {
        matches!(
            self.method,
            Method::Hmac(_) | Method::Hash(_) | Method::Public(_) | Method::Jws { .. } | Method::Http { .. }
        )
    }

    /// The token is the whole body, so all that is read is in it.
    pub fn is_body_token(&self) -> bool {
        matches!(self.method, Method::Jwt(_)) && matches!(self.from.place(), Place::Part(Word::Body))
    }

    fn label(&self, scheme: Scheme) -> String {
        match &self.method {
            Method::Hmac(hash) => format!("hmac-{}", hashes::label(*hash)),
            Method::Hash(hash) => format!("hash-{}", hashes::label(*hash)),
            Method::Token if scheme == Scheme::Basic => "basic".into(),
            Method::Token => "token".into(),
            Method::Public(algorithm) => algorithm.label().into(),
            Method::Jwt(_) => "jwt".into(),
            Method::Jws { .. } => "jws".into(),
            Method::Http { form: Form::Draft, .. } => "http-signature".into(),
            Method::Http { .. } => "http-message-signature".into(),
            Method::None => "none".into(),
        }
    }

    /// What one signature covers that says so itself: what it must, and what it lists beyond.
    pub fn coverage_of(&self, components: &[Component]) -> Arc<Coverage> {
        let mut coverage = Coverage::clone(&self.coverage);
        let whole_url = components.contains(&Component::TargetUri);
        coverage.url |= whole_url;
        coverage.query |=
            whole_url || components.contains(&Component::Query) || components.contains(&Component::RequestTarget);
        for component in components {
            let Component::Header(header) = component else { continue };
            if !coverage.headers.contains(header) {
                coverage.headers.push(header.clone());
            }
            if !coverage.publish.contains(header) && !self.is_credential(header) {
                coverage.publish.push(header.clone());
            }
        }
        coverage.into()
    }

    /// Headers that are credentials, whatever a definition says: `Authorization`, and those another alternative takes a
    /// token from.
    fn is_credential(&self, header: &HeaderName) -> bool {
        ["authorization", "proxy-authorization", "cookie"].contains(&header.as_str()) || self.tokens.contains(header)
    }

    fn covered(&self) -> Coverage {
        // Matching digests stand for the body.
        let required: &[Component] = match &self.method {
            Method::Http { required, .. } => required,
            _ => &[],
        };
        let components = required.iter().filter_map(|component| match component {
            Component::Header(name) => Some(name),
            _ => None,
        });
        let body = self.content.proves_body()
            || !self.digests.is_empty()
            || self.is_body_token()
            || required.iter().any(digests::is_digest);
        let url = self.content.uses(Word::Url) || required.contains(&Component::TargetUri);
        let mut coverage = Coverage {
            body,
            url,
            query: url
                || self.content.uses(Word::Query)
                || required.contains(&Component::Query)
                || required.contains(&Component::RequestTarget),
            headers: self.content.headers().chain(components).cloned().collect(),
            members: self.content.pointers().collect(),
            fields_without: self.content.fields_without().map(<[String]>::to_vec),
            publish: Vec::new(),
        };
        if self.content.uses(Word::Timestamp)
            && let Some(time) = &self.time
        {
            coverage.headers.extend(time.from.header().cloned());
            if let Place::Json(_, pointer) = time.from.place() {
                coverage.members.push(pointer.to_string());
            }
        }
        // A consumer may have what cannot be used to sign or to get in. A bearer token that says nothing of the body
        // could be put on any other.
        let reusable = match self.method {
            Method::Token => true,
            Method::Jwt(_) => self.digests.is_empty() && !self.is_body_token(),
            _ => false,
        };
        if !reusable {
            let timestamp = self.time.as_ref().and_then(|time| time.from.header());
            let digests = self.digests.iter().filter_map(|digest| digest.find.header());
            let conditions = self.when.iter().filter_map(|condition| condition.wanted().0.header());
            let key_id = match &self.keys {
                KeySource::Document { id, .. } => id.as_ref().and_then(Finder::header),
                _ => None,
            };
            let lists = self.content.listed().filter_map(|listed| listed.list.header());
            let input = matches!(
                self.method,
                Method::Http {
                    form: Form::Rfc9421,
                    ..
                }
            )
            .then_some(&INPUT);
            let own = self
                .from
                .header()
                .into_iter()
                .chain(lists)
                .chain(input)
                .chain(timestamp)
                .chain(digests)
                .chain(conditions)
                .chain(key_id);
            for header in coverage.headers.iter().chain(own) {
                if !coverage.publish.contains(header) && !self.is_credential(header) {
                    coverage.publish.push(header.clone());
                }
            }
        }
        coverage
    }
}

fn tokens(definition: &Definition) -> Vec<HeaderName> {
    let is_token = |rule: &&Signature| matches!(rule.scheme, Scheme::Token | Scheme::Basic);
    let rules = definition.signature.iter().filter(is_token);
    let names = rules.filter_map(|rule| HeaderName::try_from(rule.from.header.as_deref()?).ok());
    names.collect()
}

/// Where the signature is, and how it is written; Basic says both itself (RFC 7617), and `none` has neither.
fn place(rule: &Signature) -> (Find, Encoding) {
    match rule.scheme {
        Scheme::Basic if rule.from.is_nowhere() => {
            let from = Find {
                header: Some("authorization".into()),
                prefix: Some("Basic ".into()),
                ..Find::default()
            };
            (from, Encoding::Base64)
        }
        Scheme::Basic => (rule.from.clone(), Encoding::Base64),
        Scheme::None => {
            let from = Find {
                literal: Some(String::new()),
                ..Find::default()
            };
            (from, Encoding::Text)
        }
        Scheme::HttpSignature | Scheme::HttpMessageSignature if rule.from.is_nowhere() => {
            let from = Find {
                header: Some("signature".into()),
                ..Find::default()
            };
            (from, Encoding::Base64)
        }
        Scheme::Token if rule.encoding.is_none() => (rule.from.clone(), Encoding::Text),
        _ => (rule.from.clone(), rule.encoding.unwrap_or_default()),
    }
}
