//! The same plan the other way round: signs a request as the platform would, for `sign`, `send` and tests.
//!
//! What a platform puts in itself is put in: the time, a message id, digests, what binds the delivery to this source. What is
//! signed is fed by the same [`super::content::Content`] that verification uses.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::delivery::{HeaderName, Headers, Method as HttpMethod};
use crate::keys::PrivateKey;
use crate::provider::{Definition, Settings};
use crate::secret::NamedSecret;

use super::candidates;
use super::digests;
use super::draft::Draft;
use super::encode;
use super::find::{Finder, Place};
use super::hashes::{self, Hash, Keyed};
use super::http_signature::{self, Component, Form};
use super::jwt::{self, Alg};
use super::method::Method;
use super::plan::{INPUT, Plan};
use super::pointers::Pointers;
use super::problems::Problems;
use super::secrets::{self, Key};
use super::{Bound, compile_binds, compile_plans, time};

/// How long a token that we issue is good for, in seconds.
const TOKEN_LIFETIME: i64 = 300;

/// A request before the platform signed it.
#[derive(Clone, Debug)]
pub struct Unsigned {
    pub method: HttpMethod,
    /// The whole URL that is called, as the platform knows it: some sign it.
    pub url: String,
    /// What is there already stays, but for the time and the signature itself.
    pub headers: Headers,
    pub body: Bytes,
    /// The time of signing.
    pub at: Timestamp,
}

/// A request as the platform would send it.
#[derive(Clone, Debug)]
pub struct Signed {
    pub method: HttpMethod,
    /// With what was added to the query.
    pub url: String,
    /// What was added to the query alone (`bodySHA256=…`), to be added to any other URL that the request is sent to.
    pub added_query: String,
    /// All headers: those that were given, and the signature's.
    pub headers: Headers,
    /// As it was given, unless the platform signs inside the body.
    pub body: Bytes,
}

/// What one alternative is signed with.
enum SigningKey {
    Shared(Key),
    Private(PrivateKey),
    Nothing,
}

/// Signs `request` as the provider's data says, with the first of `secrets` that serves; where the platform has a
/// private key, that key (PKCS#8 PEM) stands in place of the secret.
///
/// `pinned`: the name of the alternative to use; else the first that the request already looks like (`when`), else the
/// first that it can be made into. All problems at once, each with a remedy.
pub fn sign(
    definition: &Definition,
    secrets: &[NamedSecret],
    settings: &Settings,
    pinned: Option<&str>,
    request: Unsigned,
) -> Result<Signed, Vec<String>> {
    let mut all = Vec::new();
    let mut pointers = Pointers::default();
    let plans = compile_plans(definition, settings, pinned, &mut pointers, &mut all);
    let binds = compile_binds(definition, settings, &mut pointers, &mut all);
    let keys = signing_keys(&plans, secrets, &mut all);
    if !all.is_empty() {
        return Err(all);
    }
    let draft = Draft::new(request, &pointers);
    let usable = || {
        plans
            .iter()
            .zip(&keys)
            .filter_map(|(plan, key)| Some((plan, key.as_ref()?)))
    };
    let looks_like_it = |plan: &Plan| plan.when.iter().all(|when| draft.holds(when).unwrap_or(false));
    let (liked, other): (Vec<_>, Vec<_>) = usable().partition(|(plan, _)| looks_like_it(plan));
    for (plan, key) in liked.into_iter().chain(other) {
        let attempt = Attempt {
            plan,
            draft: draft.clone(),
        };
        match attempt.sign(key, &binds) {
            Ok(signed) => return Ok(signed),
            Err(problem) => Problems::new(&mut all, plan.place()).say(problem),
        }
    }
    if all.is_empty() {
        all.push("secrets: none is given that signs; give the platform's, or a private key in PEM".into());
    }
    Err(all)
}

/// For each plan the key that it is signed with. `None`: none of the secrets serves it.
fn signing_keys(plans: &[Plan], given: &[NamedSecret], all: &mut Vec<String>) -> Vec<Option<SigningKey>> {
    let (private, shared): (Vec<_>, Vec<_>) = given
        .iter()
        .cloned()
        .partition(|named| PrivateKey::is_pem(named.secret.expose()));
    let forms: Vec<_> = plans
        .iter()
        .map(|plan| plan.takes_secrets().then_some(&plan.secret))
        .collect();
    if !given.is_empty() && plans.iter().all(|plan| matches!(plan.method, Method::None)) {
        all.push("secrets: this provider takes none, so they would prove nothing; take them out".into());
        return Vec::new();
    }
    let takes_some = forms.iter().any(Option::is_some);
    let (assigned, refused) = secrets::assign(&forms, if takes_some { &shared } else { &[] });
    all.extend(refused);
    let mut keys = Vec::new();
    let mut wants_private = None;
    for (plan, assigned) in plans.iter().zip(assigned) {
        let key = match plan.private_algorithms() {
            _ if matches!(plan.method, Method::None) => Some(SigningKey::Nothing),
            None => assigned.into_iter().next().map(SigningKey::Shared),
            Some(algorithms) => {
                wants_private = wants_private.or(Some(plan.place()));
                let mut usable = None;
                for NamedSecret { name, secret } in &private {
                    match PrivateKey::from_pem(secret.expose()) {
                        Ok(key) if algorithms.iter().any(|algorithm| algorithm.key_kind() == key.kind()) => {
                            usable = usable.or(Some(SigningKey::Private(key)));
                        }
                        Ok(key) => all.push(format!("key `{name}` is a key of another kind ({:?})", key.kind())),
                        Err(error) => all.push(format!("key `{name}` {error}")),
                    }
                }
                usable
            }
        };
        keys.push(key);
    }
    if keys.iter().all(Option::is_none)
        && let Some(place) = wants_private
    {
        all.push(format!(
            "{place} is made with a private key; give it (PKCS#8 PEM) in place of the secret"
        ));
    }
    keys
}

/// One alternative, tried on a request.
struct Attempt<'p> {
    plan: &'p Plan,
    draft: Draft<'p>,
}

impl Attempt<'_> {
    fn sign(mut self, key: &SigningKey, binds: &[Bound]) -> Result<Signed, String> {
        let at = self.draft.at();
        for bound in binds {
            self.bind(bound)?;
        }
        for condition in &self.plan.when {
            if let (finder, Some(wanted)) = condition.wanted() {
                self.put_if_absent(finder, wanted.as_bytes())?;
            }
        }
        if let Some(time) = &self.plan.time {
            self.draft.put(&time.from, time::write(time.format, at).as_bytes())?;
        }
        for listed in self.plan.content.listed() {
            let names: Vec<&str> = listed.require.iter().map(HeaderName::as_str).collect();
            self.put_if_absent(&listed.list, names.join(&listed.split).as_bytes())?;
            for name in &listed.require {
                self.draft
                    .put_header_if_absent(name, &uuid::Uuid::now_v7().to_string())?;
            }
        }
        for finder in self.plan.content.finders().filter(|finder| !finder.optional) {
            // Where the body or the query lack something, that is for who wrote them; a header is the platform's.
            if matches!(finder.place(), Place::Header(_) | Place::Field(_)) {
                self.put_if_absent(finder, uuid::Uuid::now_v7().to_string().as_bytes())?;
            }
        }
        for digest in &self.plan.digests {
            let actual = hashes::hash(digest.hash, self.draft.body());
            let text = encode::encode(digest.encoding, &actual).ok_or("a digest is no text")?;
            self.draft.put(&digest.find, text.as_bytes())?;
        }
        if self.plan.content.depends_on_writing() && matches!(self.plan.from.place(), Place::Json(..)) {
            // Whatever stands there, so that the body is written as it will be with the signature.
            self.draft.put(&self.plan.from, b"0")?;
        }
        for condition in &self.plan.when {
            if !self.draft.holds(condition)? {
                return Err(format!(
                    "not for this request: {} is missing or another",
                    condition.wanted().0
                ));
            }
        }
        if let Some(text) = self.signature(key)? {
            let text = candidates::join(self.draft.fields(), &text, self.plan.list.as_ref());
            let before = self.draft.clone();
            self.draft.put(&self.plan.from, text.as_bytes())?;
            self.still_signed(key, &before)?;
        }
        Ok(self.draft.into_signed())
    }

    /// Makes the delivery this source's, unless it is already.
    fn bind(&mut self, bound: &Bound) -> Result<(), String> {
        let value = self.draft.get(&bound.find)?;
        let is_ours = value.is_some_and(|value| bound.ours.iter().any(|ours| ours.as_bytes() == value));
        match bound.ours.first() {
            Some(ours) if !is_ours => self.draft.put(&bound.find, ours.as_bytes()),
            _ => Ok(()),
        }
    }

    fn put_if_absent(&mut self, finder: &Finder, value: &[u8]) -> Result<(), String> {
        match self.draft.get(finder)? {
            Some(_) => Ok(()),
            None => self.draft.put(finder, value),
        }
    }

    /// The signature as it is written, alone. `None`: there is none.
    fn signature(&mut self, key: &SigningKey) -> Result<Option<String>, String> {
        let content = &self.plan.content;
        let time = self.plan.time.as_ref().map(|time| &time.from);
        let bytes = match (&self.plan.method, key) {
            (Method::Hmac(name), SigningKey::Shared(key)) => {
                let keyed = Keyed::new(*name, key.bytes.expose());
                self.draft
                    .look(time, |view, scope| content.mac(keyed, key.bytes.expose(), view, scope))?
                    .to_vec()
            }
            (Method::Hash(name), SigningKey::Shared(key)) => {
                let hash = Hash::new(*name);
                self.draft
                    .look(time, |view, scope| content.hash(hash, key.bytes.expose(), view, scope))?
                    .to_vec()
            }
            (Method::Token, SigningKey::Shared(key)) => key.bytes.expose().to_vec(),
            (Method::Public(algorithm), SigningKey::Private(key)) => {
                let plan = self.plan;
                let message = self
                    .draft
                    .look(time, |view, scope| Ok(plan.message(view, scope)?.into_owned()))?;
                key.sign(*algorithm, &message)
                    .map_err(|error| format!("the key {error}"))?
            }
            (Method::Jwt(rules), key) => return self.token(rules, key).map(Some),
            (Method::Jws { rules, unencoded }, key) => return self.detached(rules, *unencoded, key).map(Some),
            (Method::Http { form, rules, required }, key) => {
                return self.http_signature(*form, rules, required, key).map(Some);
            }
            _ => return Ok(None),
        };
        let text = encode::encode(self.plan.encoding, &bytes);
        text.map(Some)
            .ok_or_else(|| "the secret is no text, and cannot stand in a request".into())
    }

    fn token(&mut self, rules: &jwt::Rules, key: &SigningKey) -> Result<String, String> {
        let alg = fitting(rules, key)?;
        let mut claims: Map<String, Value> = self.draft.claims().clone();
        if self.plan.is_body_token() {
            claims.extend(self.draft.body_claims()?);
        }
        rules.fill(&mut claims, self.draft.at(), TOKEN_LIFETIME);
        let signed = jwt::signed_part(rules.name_of(alg), &claims);
        let signature = jwt::base64url(&signature_by(alg, key, signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }

    fn detached(&mut self, rules: &jwt::Rules, unencoded: bool, key: &SigningKey) -> Result<String, String> {
        let alg = fitting(rules, key)?;
        let mut header = self.draft.said();
        header.insert("alg".into(), rules.name_of(alg).into());
        rules.fill_expected(&mut header);
        if unencoded {
            header.insert("b64".into(), false.into());
            header.insert("crit".into(), serde_json::json!(["b64"]));
        }
        let protected = jwt::base64url(Value::from(header).to_string().as_bytes());
        let time = self.plan.time.as_ref().map(|time| &time.from);
        let content = &self.plan.content;
        let payload = self
            .draft
            .look(time, |view, scope| Ok(content.whole(view, scope)?.into_owned()))?;
        let signed = jwt::detached_part(protected.as_bytes(), &payload, unencoded);
        let signature = jwt::base64url(&signature_by(alg, key, &signed)?);
        Ok(format!("{protected}..{signature}"))
    }

    /// Puts the digest, and what is beside the signature, into the request.
    fn http_signature(
        &mut self,
        form: Form,
        rules: &jwt::Rules,
        components: &[Component],
        key: &SigningKey,
    ) -> Result<String, String> {
        let alg = fitting(rules, key)?;
        for component in components.iter().filter(|component| digests::is_digest(component)) {
            if let Component::Header(name) = component {
                let digest = digests::digest_of(name, self.draft.body());
                self.draft.put_header(name, &digest)?;
            }
        }
        let mut parameters = self.draft.said();
        rules.fill_expected(&mut parameters);
        parameters.insert(http_signature::algorithm_name(form).into(), rules.name_of(alg).into());
        parameters
            .entry(http_signature::key_id_name(form))
            .or_insert_with(|| "key".into());
        if form == Form::Rfc9421 {
            parameters
                .entry("created")
                .or_insert_with(|| self.draft.at().as_second().into());
        }
        let said = http_signature::Said::unsigned(form, components, parameters);
        let base = self.draft.look(None, |view, _| said.base(view))?;
        let (signature, input) = said.written(&signature_by(alg, key, &base)?);
        if let Some(input) = input {
            self.draft.put_header(&INPUT, &input)?;
        }
        Ok(signature)
    }

    /// A signature inside of what it signs would not hold.
    fn still_signed(&self, key: &SigningKey, before: &Draft<'_>) -> Result<(), String> {
        let content = &self.plan.content;
        if content.is_empty() || matches!(key, SigningKey::Nothing) {
            return Ok(());
        }
        let time = self.plan.time.as_ref().map(|time| &time.from);
        let whole = |draft: &Draft<'_>| draft.look(time, |view, scope| Ok(content.whole(view, scope)?.into_owned()));
        if whole(before)? == whole(&self.draft)? {
            return Ok(());
        }
        Err(format!("{} is part of what is signed", self.plan.from))
    }
}

/// The first of the platform's algorithms that this key is for.
fn fitting(rules: &jwt::Rules, key: &SigningKey) -> Result<Alg, String> {
    let fits = |alg: &&Alg| match (alg, key) {
        (Alg::Hmac(_), SigningKey::Shared(_)) => true,
        (Alg::Public(algorithm), SigningKey::Private(key)) => algorithm.key_kind() == key.kind(),
        _ => false,
    };
    let alg = rules.algorithms.iter().find(fits);
    alg.copied().ok_or_else(|| "the key fits none of its algorithms".into())
}

fn signature_by(alg: Alg, key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, String> {
    match (alg, key) {
        (Alg::Hmac(name), SigningKey::Shared(key)) => Ok(hashes::hmac(name, key.bytes.expose(), message).to_vec()),
        (Alg::Public(algorithm), SigningKey::Private(key)) => {
            key.sign(algorithm, message).map_err(|error| format!("the key {error}"))
        }
        _ => Err("the key fits none of its algorithms".into()),
    }
}
