//! One alternative with its keys: checks a delivery's signatures, then what they cover, then their age.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::keys::{Algorithm, FetchError, Hosts, KeyDocument, Keyring, PublicKey, Target};
use crate::provider::definition::HashName;

use super::candidates::{self, matching};
use super::encode;
use super::find::{Finder, Malformed, Scope, View};
use super::hashes::{Hash, Keyed, Tag, hash};
use super::jwt::{self, Alg};
use super::method::{KeySource, Method};
use super::plan::Plan;
use super::problems::Problems;
use super::secrets::Key;
use super::time::SignedTime;
use super::url::either_port;
use super::{Proof, VerifyError};

/// An alternative that is active: its plan, and keys for it.
#[derive(Debug)]
pub(crate) struct Alternative {
    pub plan: Plan,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Hmac(Vec<(Key, Keyed)>),
    Hash(HashName, Vec<Key>),
    /// SHA-256 of each token: comparing those says nothing about a token's length either.
    Token(Vec<(Arc<str>, Tag)>),
    Public(Algorithm, Vec<(Arc<str>, PublicKey)>),
    Certificate(Algorithm, Finder, Hosts),
    Document(Algorithm, KeyDocument, Option<Finder>),
    /// From here on of schemes whose signatures name their algorithm.
    NamedSecrets(Vec<Key>),
    NamedPublic(Vec<(Arc<str>, PublicKey)>),
    KeySet(Target),
    Nothing,
}

/// A signature holds: by which key, and the claims of a token.
#[derive(Default)]
pub(super) struct Held {
    key: Option<Arc<str>>,
    claims: Option<Map<String, Value>>,
}

impl Held {
    pub(super) fn by(name: &Arc<str>) -> Self {
        Self {
            key: Some(name.clone()),
            claims: None,
        }
    }

    /// By the key of the tag that matched, where the tags are those of all keys, once or several times over.
    fn by_tag<'k>(at: Option<usize>, names: impl Iterator<Item = &'k Arc<str>> + Clone) -> Result<Self, VerifyError> {
        let name = at.and_then(|at| names.cycle().nth(at));
        name.map(Self::by).ok_or(VerifyError::Mismatch)
    }
}

impl Alternative {
    /// `secrets`: those that serve this alternative. `None` when it has no key, or with problems said.
    pub fn new(plan: Plan, secrets: &[Key], problems: &mut Problems<'_>) -> Option<Self> {
        let secrets = match &plan.keys {
            KeySource::Setting(key) => key.as_slice(),
            _ => secrets,
        };
        let keys = match (&plan.method, &plan.keys) {
            (Method::None, _) => Keys::Nothing,
            (Method::Public(algorithm), KeySource::Certificate { url, hosts }) => {
                Keys::Certificate(*algorithm, url.clone(), hosts.clone())
            }
            (Method::Public(algorithm), KeySource::Document { document, id }) => {
                Keys::Document(*algorithm, document.clone(), id.clone())
            }
            (_, KeySource::KeySet(target)) => Keys::KeySet(target.clone()),
            (Method::Hmac(name), _) => {
                let keyed = |key: &Key| (key.clone(), Keyed::new(*name, key.bytes.expose()));
                Keys::Hmac(secrets.iter().map(keyed).collect())
            }
            (Method::Hash(name), _) => Keys::Hash(*name, secrets.to_vec()),
            (Method::Token, _) => {
                let tag = |key: &Key| (key.name.clone(), hash(HashName::Sha256, key.bytes.expose()));
                Keys::Token(secrets.iter().map(tag).collect())
            }
            (Method::Public(algorithm), source) => {
                Keys::Public(*algorithm, public_keys(source, secrets, &[*algorithm], problems)?)
            }
            (Method::Jwt(rules) | Method::Jws { rules, .. } | Method::Http { rules, .. }, source) => {
                match rules.public_algorithms().as_slice() {
                    [] => Keys::NamedSecrets(secrets.to_vec()),
                    algorithms => Keys::NamedPublic(public_keys(source, secrets, algorithms, problems)?),
                }
            }
        };
        let some = match &keys {
            Keys::Hmac(keys) => !keys.is_empty(),
            Keys::Hash(_, keys) | Keys::NamedSecrets(keys) => !keys.is_empty(),
            Keys::Token(tags) => !tags.is_empty(),
            Keys::Public(_, keys) | Keys::NamedPublic(keys) => !keys.is_empty(),
            Keys::Certificate(..) | Keys::Document(..) | Keys::KeySet(_) | Keys::Nothing => true,
        };
        some.then_some(Self { plan, keys })
    }

    /// The signature's value, when this delivery shows one for this alternative.
    pub fn present<'v>(&'v self, view: &'v View<'_>) -> Result<Option<Cow<'v, [u8]>>, Malformed> {
        for condition in &self.plan.when {
            if !condition.holds(view)? {
                return Ok(None);
            }
        }
        let Some(value) = self.plan.from.get(view, &Scope::default())? else {
            return Ok(None);
        };
        // A header that holds only signatures of another key belongs to another alternative.
        let keyed = self.plan.list.as_ref().is_some_and(|list| list.key.is_some());
        if keyed && candidates::split(&value, self.plan.list.as_ref())?.1.is_empty() {
            return Ok(None);
        }
        Ok(Some(value))
    }

    pub async fn check(
        &self,
        view: &View<'_>,
        value: &[u8],
        now: Timestamp,
        keyring: &Keyring,
    ) -> Result<(Proof, Option<Map<String, Value>>), VerifyError> {
        if let Some(said) = self.said(view, value)? {
            return self.check_said(view, &said, now, keyring).await;
        }
        let (fields, signatures) = match self.plan.is_body_token() {
            true => (Vec::new(), vec![value]),
            false => candidates::split(value, self.plan.list.as_ref())?,
        };
        let mut scope = Scope {
            fields: &fields,
            ..Scope::default()
        };
        let text = self.signed_time_text(view, &scope)?;
        scope.timestamp = text.as_deref();

        let held = self.hold(view, &scope, &signatures, now, keyring).await?;
        self.judge(view, scope, held, now)
    }

    /// The sender is known to hold a key: what is refused now is genuine.
    pub(super) fn judge(
        &self,
        view: &View<'_>,
        scope: Scope<'_>,
        held: Held,
        now: Timestamp,
    ) -> Result<(Proof, Option<Map<String, Value>>), VerifyError> {
        let scope = Scope {
            claims: held.claims.as_ref(),
            ..scope
        };
        self.check_digests(view, &scope)?;
        if let (Method::Jwt(rules), Some(claims)) = (&self.plan.method, &held.claims) {
            let must_expire = self.plan.digests.is_empty()
                && !self.plan.is_body_token()
                && !self.plan.time.as_ref().is_some_and(SignedTime::is_bounded);
            jwt::check_times(claims, must_expire, now)?;
            rules.check(claims)?;
        }
        if let Some(time) = &self.plan.time {
            let text = time.from.get(view, &scope)?.ok_or(VerifyError::Timestamp)?;
            time.judge(time.parse(&text)?, now)?;
        }
        let proof = Proof {
            scheme: self.plan.label.clone(),
            key: held.key,
            alternative: self.plan.index,
            coverage: self.plan.coverage.clone(),
            claims: held
                .claims
                .as_ref()
                .and_then(|claims| serde_json::to_string(claims).ok())
                .map(Into::into),
        };
        Ok((proof, held.claims))
    }

    /// The timestamp as it stands in the delivery: it is signed as text, not as a number.
    pub(super) fn signed_time_text(&self, view: &View<'_>, scope: &Scope<'_>) -> Result<Option<Vec<u8>>, VerifyError> {
        let Some(time) = self
            .plan
            .time
            .as_ref()
            .filter(|_| !matches!(self.plan.method, Method::Jwt(_)))
        else {
            return Ok(None);
        };
        let text = time.from.get(view, scope)?.ok_or(VerifyError::Timestamp)?;
        time.parse(&text)?;
        Ok(Some(text.into_owned()))
    }

    async fn hold(
        &self,
        view: &View<'_>,
        scope: &Scope<'_>,
        signatures: &[&[u8]],
        now: Timestamp,
        keyring: &Keyring,
    ) -> Result<Held, VerifyError> {
        match &self.keys {
            Keys::Hmac(keys) => {
                let given = self.decode(signatures)?;
                let mac = |(key, keyed): &(Key, Keyed), scope: &Scope<'_>| {
                    self.plan.content.mac(keyed.clone(), key.bytes.expose(), view, scope)
                };
                let expected = self.expected(view, scope, keys, mac)?;
                Held::by_tag(matching(&expected, &given), keys.iter().map(|(key, _)| &key.name))
            }
            Keys::Hash(name, keys) => {
                let given = self.decode(signatures)?;
                let hash = |key: &Key, scope: &Scope<'_>| {
                    self.plan
                        .content
                        .hash(Hash::new(*name), key.bytes.expose(), view, scope)
                };
                let expected = self.expected(view, scope, keys, hash)?;
                Held::by_tag(matching(&expected, &given), keys.iter().map(|key| &key.name))
            }
            Keys::Token(tags) => {
                let given = self.decode(signatures)?;
                let given: Vec<Tag> = given.iter().map(|token| hash(HashName::Sha256, token)).collect();
                let expected: Vec<Tag> = tags.iter().map(|(_, tag)| tag.clone()).collect();
                Held::by_tag(matching(&expected, &given), tags.iter().map(|(name, _)| name))
            }
            Keys::Public(algorithm, keys) => {
                let given = self.decode(signatures)?;
                let message = self.plan.message(view, scope)?;
                for (name, key) in keys {
                    if given
                        .iter()
                        .any(|signature| key.verify(*algorithm, &message, signature))
                    {
                        return Ok(Held::by(name));
                    }
                }
                Err(VerifyError::Mismatch)
            }
            Keys::Certificate(algorithm, url, hosts) => {
                let given = self.decode(signatures)?;
                let named = url
                    .get(view, scope)?
                    .ok_or_else(|| VerifyError::Missing(url.to_string()))?;
                let named = std::str::from_utf8(&named).map_err(|_| VerifyError::Malformed(url.to_string()))?;
                let target = hosts
                    .check(named)
                    .map_err(|error| VerifyError::Malformed(format!("{url}: {error}")))?;
                let certificate = keyring
                    .certificate(&target, hosts, now)
                    .await
                    .map_err(|error| match error {
                        // The delivery named it: where the platform's host knows no such file, that is the sender's fault.
                        FetchError::Status { status: 400..=499, .. } => {
                            VerifyError::Malformed(format!("{url}: {error}"))
                        }
                        error => VerifyError::KeysUnavailable(error.to_string()),
                    })?;
                if !certificate.valid_at(now) {
                    return Err(VerifyError::Malformed(format!(
                        "{url}: certificate is not valid at this time"
                    )));
                }
                let message = self.plan.message(view, scope)?;
                if !given
                    .iter()
                    .any(|signature| certificate.key.verify(*algorithm, &message, signature))
                {
                    return Err(VerifyError::Mismatch);
                }
                let file = target.as_str().rsplit('/').next().unwrap_or_default();
                Ok(Held::by(&file.into()))
            }
            Keys::Document(algorithm, document, id) => {
                let given = self.decode(signatures)?;
                let (id_place, id) = match id {
                    None => (String::new(), None),
                    Some(find) => (find.to_string(), Some(text_of(find, view, scope)?)),
                };
                let named = |error: &dyn std::fmt::Display| VerifyError::Malformed(format!("{id_place}: {error}"));
                let target = document.target(id.as_deref()).map_err(|error| named(&error))?;
                // A document about one key needs not say which: it was asked for by its id.
                let wanted = id.as_deref().filter(|_| !document.is_by_id());
                let set = keyring.document(document, &target, wanted, now).await;
                let set = set.map_err(|error| match error {
                    // The delivery named it: where the platform knows no such key, that is the sender's fault.
                    FetchError::Status {
                        status: 400 | 404 | 410,
                        ..
                    } if document.is_by_id() => named(&error),
                    error => VerifyError::KeysUnavailable(error.to_string()),
                })?;
                if !set.has(wanted) {
                    return Err(VerifyError::UnknownKey(id_place));
                }
                let message = self.plan.message(view, scope)?;
                let holds = |key: &PublicKey| {
                    given
                        .iter()
                        .any(|signature| key.verify(*algorithm, &message, signature))
                };
                let found = set.candidates(wanted).find(|(_, key)| holds(key));
                let (kid, _) = found.ok_or(VerifyError::Mismatch)?;
                Ok(Held::by(&id.as_deref().or(kid).unwrap_or("platform").into()))
            }
            Keys::NamedSecrets(_) | Keys::NamedPublic(_) | Keys::KeySet(_) => {
                self.hold_token(signatures, now, keyring).await
            }
            Keys::Nothing => Ok(Held::default()),
        }
    }

    async fn hold_token(&self, tokens: &[&[u8]], now: Timestamp, keyring: &Keyring) -> Result<Held, VerifyError> {
        let (Method::Jwt(rules), [token]) = (&self.plan.method, tokens) else {
            return Err(VerifyError::Malformed("not exactly one token".into()));
        };
        let token = rules.open(token)?;
        let key = self
            .key_of(
                &[token.alg],
                token.kid.as_deref(),
                token.signed,
                &token.signature,
                now,
                keyring,
            )
            .await?;
        Ok(Held {
            key: Some(key),
            claims: Some(token.claims()?),
        })
    }

    /// The name of the key by which the signature holds, by one of these algorithms.
    pub(super) async fn key_of(
        &self,
        algorithms: &[Alg],
        kid: Option<&str>,
        signed: &[u8],
        signature: &[u8],
        now: Timestamp,
        keyring: &Keyring,
    ) -> Result<Arc<str>, VerifyError> {
        let holds = |key: &PublicKey| {
            algorithms.iter().any(|alg| match alg {
                Alg::Public(algorithm) => key.verify(*algorithm, signed, signature),
                Alg::Hmac(_) => false,
            })
        };
        let key: Option<Arc<str>> = match &self.keys {
            Keys::NamedSecrets(keys) => {
                let mac = |key: &Key, alg: &Alg| match alg {
                    Alg::Hmac(name) => Some(super::hashes::hmac(*name, key.bytes.expose(), signed)),
                    Alg::Public(_) => None,
                };
                let all = algorithms
                    .iter()
                    .flat_map(|alg| keys.iter().filter_map(move |key| mac(key, alg)));
                let expected: Vec<Tag> = all.collect();
                let at = matching(&expected, &[Tag::from_slice(signature)]);
                at.map(|at| keys[at % keys.len()].name.clone())
            }
            Keys::NamedPublic(keys) => keys.iter().find(|(_, key)| holds(key)).map(|(name, _)| name.clone()),
            Keys::KeySet(target) => {
                let set = keyring.key_set(target, kid, now).await;
                let set = set.map_err(|error| VerifyError::KeysUnavailable(error.to_string()))?;
                // The set is the platform's newest: `key_set` says otherwise where it could not be had.
                if !set.has(kid) {
                    return Err(VerifyError::UnknownKey("`kid` of the token".into()));
                }
                let found = set.candidates(kid).find(|(_, key)| holds(key));
                found.map(|(kid, _)| kid.unwrap_or("platform").into())
            }
            _ => None,
        };
        key.ok_or(VerifyError::Mismatch)
    }

    /// The signatures, decoded; those that are not of the form are left out, unless all are.
    fn decode(&self, signatures: &[&[u8]]) -> Result<Vec<Tag>, VerifyError> {
        let decoded = signatures
            .iter()
            .filter_map(|text| encode::decode(self.plan.encoding, text));
        let decoded: Vec<Tag> = decoded.map(|bytes| Tag::from_slice(&bytes)).collect();
        if decoded.is_empty() {
            return Err(VerifyError::Malformed(format!(
                "{} is not of the expected encoding",
                self.plan.from
            )));
        }
        Ok(decoded)
    }

    /// The tags that would do: one a key, and for each spelling of the URL.
    fn expected<K>(
        &self,
        view: &View<'_>,
        scope: &Scope<'_>,
        keys: &[K],
        tag: impl Fn(&K, &Scope<'_>) -> Result<Tag, VerifyError>,
    ) -> Result<Vec<Tag>, VerifyError> {
        if !self.plan.either_port {
            return keys.iter().map(|key| tag(key, scope)).collect();
        }
        let urls = either_port(&view.raw.url);
        let scopes = urls.iter().map(|url| Scope {
            url: Some(url),
            ..*scope
        });
        scopes
            .flat_map(|scope| keys.iter().map(|key| tag(key, &scope)).collect::<Vec<_>>())
            .collect()
    }

    fn check_digests(&self, view: &View<'_>, scope: &Scope<'_>) -> Result<(), VerifyError> {
        for digest in &self.plan.digests {
            let text = digest.find.get(view, scope)?;
            let text = text.ok_or_else(|| VerifyError::Missing(digest.find.to_string()))?;
            let said = encode::decode(digest.encoding, &text)
                .ok_or_else(|| VerifyError::Malformed(format!("{} is no digest", digest.find)))?;
            let actual = hash(digest.hash, &view.raw.body);
            if !bool::from(said.as_slice().ct_eq(actual.as_slice())) {
                return Err(VerifyError::Digest(digest.find.to_string()));
            }
        }
        Ok(())
    }
}

fn text_of(find: &Finder, view: &View<'_>, scope: &Scope<'_>) -> Result<String, VerifyError> {
    let value = find
        .get(view, scope)?
        .ok_or_else(|| VerifyError::Missing(find.to_string()))?;
    String::from_utf8(value.into_owned()).map_err(|_| VerifyError::Malformed(format!("{find} is no text")))
}

/// Public keys that are pinned by the definition, or given as secrets; those of another kind are problems.
fn public_keys(
    source: &KeySource,
    secrets: &[Key],
    algorithms: &[Algorithm],
    problems: &mut Problems<'_>,
) -> Option<Vec<(Arc<str>, PublicKey)>> {
    let given: Vec<(Arc<str>, &[u8])> = match source {
        KeySource::Pinned(pinned) => pinned.iter().map(|text| ("platform".into(), text.as_bytes())).collect(),
        _ => secrets
            .iter()
            .map(|key| (key.name.clone(), key.bytes.expose()))
            .collect(),
    };
    let mut keys = Vec::new();
    for (name, bytes) in given {
        match PublicKey::parse(bytes) {
            Ok(key) if algorithms.iter().any(|algorithm| algorithm.key_kind() == key.kind()) => keys.push((name, key)),
            Ok(key) => return problems.none(format!("key `{name}` is a key of another kind ({:?})", key.kind())),
            Err(error) => return problems.none(format!("key `{name}` {error}")),
        }
    }
    Some(keys)
}
