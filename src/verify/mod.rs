//! Proves who sent a delivery, over its raw bytes, and how fresh it is.
//!
//! A small set of schemes that a provider's data selects; everything that can be decoded or looked up by name is so once,
//! at load. A [`Verifier`] is an ordered list of *active* alternatives: the `[[signature]]` tables of the definition
//! for which the source has a key ([`secrets`] says which secret serves which), or the one that it pins by name.
//!
//! The first active alternative that a delivery *shows* (its signature is there, its `when` holds) must hold. There is
//! no second try with a weaker one: a sender cannot choose how to be checked by adding something, and who can take a
//! header away needs the weaker alternative's key all the same. A source that wants only one pins it.
//!
//! Order of judgement: shape, signature, digests, age, whose it is. So "stale" and "foreign" are said of genuine
//! deliveries only.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `plan`, `method` | one alternative without keys: fields checked together, what it covers |
//! | `check` | one alternative with keys, and the check itself |
//! | `secrets` | which secret serves which alternative |
//! | `find`, `pointers` | where values are in a raw delivery |
//! | `content`, `compact` | what is signed, fed to a MAC piece by piece |
//! | `canonical` | bodies written anew before they are signed |
//! | `json` | what is JSON, at most so deep |
//! | `xml`, `multipart` | bodies that are XML, or forms in parts |
//! | `cipher` | messages that are encrypted |
//! | `candidates` | signature lists, comparison in constant time |
//! | `said`, `http_signature`, `digests` | signatures that say themselves what they cover |
//! | `jwt`, `time`, `hashes`, `encode` | what the names say |
//! | `covers` | what a delivery's signatures look at, for who explains them |
//! | `sign`, `draft` | the same plan the other way round |

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::delivery::{HeaderName, RawDelivery};
use crate::keys::Keyring;
use crate::provider::{Definition, Settings};
use crate::secret::NamedSecret;

mod candidates;
mod canonical;
mod check;
pub(crate) mod cipher;
mod compact;
mod content;
pub(crate) mod covers;
mod digests;
mod draft;
pub(crate) mod encode;
pub(crate) mod find;
pub(crate) mod hashes;
mod http_signature;
pub(crate) mod json;
mod jwt;
mod method;
pub(crate) mod multipart;
mod plan;
pub(crate) mod pointers;
pub(crate) mod problems;
mod said;
pub(crate) mod secrets;
mod sign;
mod time;
mod url;
mod word;
pub(crate) mod xml;

pub use sign::{Signed, Unsigned, sign};

use check::Alternative;
use find::{Allowed, Finder, Malformed, Scope, View};
use plan::Plan;
use pointers::Pointers;
use problems::{Problems, nearest};

/// A definition, a source's secrets and settings, compiled.
#[derive(Debug)]
pub struct Verifier {
    /// Active, in the definition's order.
    alternatives: Vec<Alternative>,
    binds: Vec<Bound>,
    pointers: Pointers,
    keyring: Arc<Keyring>,
    /// The secret is yet to be told: nothing can be verified.
    waits: bool,
}

/// What ties a genuine delivery to this customer.
#[derive(Debug)]
struct Bound {
    find: Finder,
    ours: Vec<String>,
}

/// A delivery whose sender is proved (or visibly not asked for: scheme `none`).
/// Made by [`Verifier::verify`] and nowhere else.
#[derive(Debug)]
pub struct VerifiedDelivery<'d> {
    raw: &'d RawDelivery,
    proof: Proof,
}

/// How a delivery was verified.
#[derive(Clone, Debug)]
pub struct Proof {
    /// `hmac-sha256`, `ed25519`, `token`, …, or `none`.
    pub scheme: Arc<str>,
    /// Name of the secret or key that matched.
    pub key: Option<Arc<str>>,
    /// Index of the `[[signature]]` alternative that held.
    pub alternative: usize,
    coverage: Arc<Coverage>,
    /// Claims of a verified token (JSON text).
    pub claims: Option<Arc<str>>,
}

impl<'d> VerifiedDelivery<'d> {
    pub fn raw(&self) -> &'d RawDelivery {
        self.raw
    }
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

/// Why a delivery is not believed. The label goes to metrics, the text to the log; the sender learns neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("signature is missing: {0}")]
    Missing(String),
    #[error("signature is malformed: {0}")]
    Malformed(String),
    #[error("signature does not match any of the active secrets")]
    Mismatch,
    /// The signature holds, and covers a digest of another body.
    #[error("signature holds, but {0} is not the digest of this body")]
    Digest(String),
    #[error("timestamp is missing or malformed")]
    Timestamp,
    #[error("genuine but stale: signed {0} s ago; look at the clocks")]
    Stale(i64),
    #[error("genuine but from the future by {0} s; look at the clocks")]
    Future(i64),
    #[error("genuine but not for this source: {0}")]
    Foreign(String),
    #[error("token: {0}")]
    Token(String),
    /// The delivery names a key, and the platform has none of that name.
    #[error("signed with a key that is none of the platform's: {0}")]
    UnknownKey(String),
    /// Our own fault: answered 503, for a 4xx would make the loss permanent.
    #[error("verification keys cannot be had: {0}")]
    KeysUnavailable(String),
}

impl VerifyError {
    /// Bounded label for `hooksluice_verify_failures_total{reason}`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Malformed(_) => "malformed",
            Self::Mismatch => "mismatch",
            Self::Digest(_) => "digest",
            Self::Timestamp => "timestamp",
            Self::Stale(_) => "stale",
            Self::Future(_) => "future",
            Self::Foreign(_) => "foreign",
            Self::Token(_) => "token",
            Self::UnknownKey(_) => "unknown_key",
            Self::KeysUnavailable(_) => "keys_unavailable",
        }
    }
}

/// What a signature covers, for consumers and for identity. Fixed by the definition, but for
/// signatures that list what they cover: those may cover more.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    pub body: bool,
    pub url: bool,
    pub query: bool,
    /// Headers that the signature covers.
    pub headers: Vec<HeaderName>,
    /// JSON pointers of the members that it covers where it does not cover the whole body (SNS).
    pub members: Vec<String>,
    /// Where it covers only those fields of a form that have a value: the ones that it does not cover all the same.
    pub fields_without: Option<Vec<String>>,
    /// Headers a consumer needs to verify again: the covered ones and the signature's own; never credentials.
    pub publish: Vec<HeaderName>,
}

impl From<Malformed> for VerifyError {
    fn from(Malformed(why): Malformed) -> Self {
        Self::Malformed(why)
    }
}

impl Verifier {
    /// Compiles; every problem at once, each naming the definition's field or the secret, and a remedy.
    ///
    /// `pinned`: the name of the one alternative to use, where the source says so.
    pub fn compile(
        definition: &Definition,
        secrets: &[NamedSecret],
        settings: &Settings,
        keyring: &Arc<Keyring>,
        pinned: Option<&str>,
    ) -> Result<Self, Vec<String>> {
        let mut all = Vec::new();
        let mut pointers = Pointers::of(definition);
        let plans = compile_plans(definition, settings, pinned, &mut pointers, &mut all);
        let binds = compile_binds(definition, settings, &mut pointers, &mut all);
        check_binds(&plans, &binds, &mut all);

        let forms: Vec<_> = plans
            .iter()
            .map(|plan| plan.takes_secrets().then_some(&plan.secret))
            .collect();
        let takes_some = forms.iter().any(Option::is_some);
        let (keys, refused) = if takes_some {
            secrets::assign(&forms, secrets)
        } else {
            (vec![Vec::new(); plans.len()], Vec::new())
        };
        all.extend(refused);
        if !takes_some && !secrets.is_empty() && !plans.is_empty() {
            all.push("secrets: this provider takes none, so they would prove nothing; take them out".into());
        }
        let mut alternatives = Vec::new();
        for (plan, keys) in plans.into_iter().zip(keys) {
            let mut problems = Problems::new(&mut all, plan.place());
            alternatives.extend(Alternative::new(plan, &keys, &mut problems));
        }
        if alternatives.is_empty() && all.is_empty() {
            let hint = Some(definition.secret.hint.as_str()).filter(|hint| !hint.is_empty());
            all.push(format!(
                "secrets: give at least one; {}",
                hint.unwrap_or("the platform shows or sets it with the webhook")
            ));
        }
        if !all.is_empty() {
            return Err(all);
        }
        Ok(Self {
            alternatives,
            binds,
            pointers,
            keyring: keyring.clone(),
            waits: false,
        })
    }

    /// Of a source that has no secret yet: every delivery is our own fault, so that the platform tries again.
    pub fn waiting() -> Self {
        Self {
            alternatives: Vec::new(),
            binds: Vec::new(),
            pointers: Pointers::default(),
            keyring: Arc::default(),
            waits: true,
        }
    }

    /// What the signature that held covers.
    pub fn coverage(&self, proof: &Proof) -> Arc<Coverage> {
        proof.coverage.clone()
    }

    /// `now` is the time of arrival.
    pub async fn verify<'d>(&self, raw: &'d RawDelivery, now: Timestamp) -> Result<VerifiedDelivery<'d>, VerifyError> {
        if self.waits {
            return Err(VerifyError::KeysUnavailable(
                "the source has no secret yet; see what its `capture` file holds".into(),
            ));
        }
        let view = View::new(raw, &self.pointers);
        for alternative in &self.alternatives {
            let Some(value) = alternative.present(&view)? else {
                continue;
            };
            let (proof, claims) = alternative.check(&view, &value, now, &self.keyring).await?;
            self.is_ours(&view, claims.as_ref())?;
            return Ok(VerifiedDelivery { raw, proof });
        }
        Err(self.absent(&view))
    }

    fn is_ours(&self, view: &View<'_>, claims: Option<&Map<String, Value>>) -> Result<(), VerifyError> {
        let scope = Scope {
            claims,
            ..Scope::default()
        };
        for bound in &self.binds {
            let value = bound.find.get(view, &scope)?;
            let is_ours = value.is_some_and(|value| bound.ours.iter().any(|ours| ours.as_bytes() == &*value));
            if !is_ours {
                return Err(VerifyError::Foreign(bound.find.to_string()));
            }
        }
        Ok(())
    }

    /// Why no alternative is shown: nothing is there, or not in the expected form.
    fn absent(&self, view: &View<'_>) -> VerifyError {
        let there = |alternative: &&Alternative| matches!(alternative.plan.from.raw(view, &Scope::default()), Ok(Some(value)) if !value.is_empty());
        if let Some(alternative) = self.alternatives.iter().find(there) {
            return VerifyError::Malformed(format!(
                "{} has no signature in the expected form",
                alternative.plan.from
            ));
        }
        let places: Vec<_> = self
            .alternatives
            .iter()
            .map(|alternative| alternative.plan.from.to_string())
            .collect();
        VerifyError::Missing(places.join(", or "))
    }
}

/// All plans of the definition are compiled, so that its mistakes show whatever is pinned; only the pinned one is kept.
fn compile_plans(
    definition: &Definition,
    settings: &Settings,
    pinned: Option<&str>,
    pointers: &mut Pointers,
    all: &mut Vec<String>,
) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (index, rule) in definition.signature.iter().enumerate() {
        let place = plan::place_of(index, rule.name.as_deref());
        let plan = Plan::compile(index, definition, settings, pointers, &mut Problems::new(all, place));
        plans.extend(plan);
    }
    if definition.signature.is_empty() {
        all.push("signature: there is none; scheme `none` must be asked for by name".into());
    }
    // Beside a signature, "nothing proved" must not be what is left when the signature is taken away.
    if pinned.is_none() && definition.signature.len() > 1 {
        plans.retain(|plan: &Plan| !matches!(plan.method, method::Method::None));
    }
    if let Some(pinned) = pinned {
        let names = definition.signature.iter().filter_map(|rule| rule.name.as_deref());
        if !names.clone().any(|name| name == pinned) {
            let remedy = match nearest(pinned, names.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("names are: {}", names.collect::<Vec<_>>().join(", ")),
            };
            all.push(format!("signature: there is no `{pinned}` to pin; {remedy}"));
        }
        plans.retain(|plan| plan.name.as_deref() == Some(pinned));
    }
    plans
}

/// What a signature does not cover says nothing about whose the delivery is.
fn check_binds(plans: &[Plan], binds: &[Bound], all: &mut Vec<String>) {
    for plan in plans.iter().filter(|plan| plan.signs()) {
        for bound in binds.iter().filter(|bound| !plan.covers(&bound.find)) {
            all.push(format!(
                "bind: {} is not covered by {}, so it binds nothing",
                bound.find,
                plan.place()
            ));
        }
    }
}

fn compile_binds(
    definition: &Definition,
    settings: &Settings,
    pointers: &mut Pointers,
    all: &mut Vec<String>,
) -> Vec<Bound> {
    let mut binds = Vec::new();
    for bind in &definition.bind {
        let mut problems = Problems::new(all, "bind");
        let ours = settings.texts(&bind.setting).to_vec();
        if ours.is_empty() {
            problems.say(format!(
                "needs the setting `{}`: without it a genuine delivery to anybody would be taken for yours",
                bind.setting
            ));
        }
        let allowed = Allowed {
            claim: true,
            ..Allowed::default()
        };
        let find = Finder::compile(&bind.find, allowed, settings, pointers, &mut problems);
        binds.extend(find.map(|find| Bound { find, ours }));
    }
    binds
}
