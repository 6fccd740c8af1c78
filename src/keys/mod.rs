//! Fetched keys: key sets and certificates, cached, refreshed in the background, from allowed hosts only.
//! The only room that calls out.
//!
//! What it promises:
//! - Only URLs that a [`Hosts`] list allowed are fetched ([`Target`] is the proof), over https, without redirects, to
//!   addresses that are public at the moment of connecting.
//! - A request that finds a usable key never waits for the net: keys are refreshed in the background before they expire.
//! - One fetch at a time for one URL; it goes on when the request that asked for it is gone.
//! - Requests cannot make it call out without end: a failed URL rests, an unknown key id causes one fetch a minute, and
//!   URLs that deliveries choose are bounded in number, and per minute for each source. URLs that the definition fixes
//!   are beside all that: whoever chooses many keeps no other source from its keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::clock::Timestamp;

mod client;
mod document;
mod private;
mod public;
mod target;

pub use client::{FetchError, Settings};
pub use document::{Form, Grant, KeyDocument, Shown};
pub use private::{PrivateKey, PrivateKeyError};
pub use public::{Algorithm, Certificate, KeyError, KeyKind, KeySet, PublicKey};
pub use target::{Hosts, Target, TargetError};

use client::{Fetched, Fetcher};

/// URLs chosen by deliveries that are remembered at most. SNS has one certificate a region and year.
const MOST_URLS: usize = 256;
/// URLs chosen by one source's deliveries that are fetched for the first time, or again after they expired, in one
/// minute; and confirmations.
const NEW_URLS_A_MINUTE: u32 = 60;
/// Seconds for which a failed URL, or a key set without the wanted key id, is not asked again.
const REST: i64 = 60;
/// Seconds after which a key is refreshed in the background: the platform's `max-age` within these bounds.
const REFRESH: std::ops::RangeInclusive<i64> = 300..=3600;
/// Seconds for which a key is used when refreshing fails: a platform's outage must not become ours.
const USABLE: i64 = 24 * 3600;

/// Cache of fetched keys, shared by all sources.
#[derive(Debug, Default)]
pub struct Keyring {
    settings: Settings,
    /// Built at the first fetch: most sources never call out, and the system's trust store takes memory.
    fetcher: OnceLock<Result<Fetcher, String>>,
    /// By URLs that definitions fix: as many as are configured.
    fixed: Mutex<HashMap<String, Arc<Slot>>>,
    /// By URLs that deliveries chose, before anything of them was believed.
    chosen: Mutex<HashMap<String, Arc<Slot>>>,
    /// What URLs are known to serve, and since when.
    known: Mutex<HashMap<String, (Vec<u8>, i64)>>,
    /// Confirmations have a budget of their own: whoever replays one must not keep keys from being fetched.
    confirmations: Budget,
}

/// The minute that was counted last, and fetches in it.
#[derive(Debug, Default)]
struct Budget(Mutex<(i64, u32)>);

impl Budget {
    fn spend(&self, now: i64) -> Result<(), FetchError> {
        let mut minute = lock(&self.0);
        let this = now.div_euclid(60);
        if minute.0 != this {
            *minute = (this, 0);
        }
        if minute.1 >= NEW_URLS_A_MINUTE {
            return Err(FetchError::TooMany);
        }
        minute.1 += 1;
        Ok(())
    }
}

/// One URL's keys.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    /// Held by the one that fetches.
    flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    keys: Option<(Keys, Fresh)>,
    /// When it was last asked, and with what error.
    tried: Option<i64>,
    error: Option<FetchError>,
}

#[derive(Clone, Debug)]
enum Keys {
    Set(Arc<KeySet>),
    Certificate(Arc<Certificate>),
}

#[derive(Clone, Copy, Debug)]
struct Fresh {
    refresh_at: i64,
    expires_at: i64,
}

/// What is to be had from where.
#[derive(Clone)]
struct Wanted {
    slot: String,
    target: Target,
    kind: Kind,
    shown: Option<Shown>,
    /// Of whom a delivery chose the URL; none for a URL that is fixed.
    chooser: Option<Arc<Budget>>,
}

#[derive(Clone)]
enum Kind {
    Set(Arc<Form>),
    Certificate,
}

impl Keyring {
    /// Fails on settings that cannot work, so that `check` can say so.
    pub fn new(settings: Settings) -> Result<Self, String> {
        if settings.ca.is_some() || settings.proxy.is_some() {
            Fetcher::new(&settings)?;
        }
        Ok(Self {
            settings,
            ..Self::default()
        })
    }

    /// The key set at `target`. A set without `kid` is fetched again, at most once a minute; whether the new one has
    /// the key is for the caller to see. An error where it lacks the key and no newer one could be had: the platform
    /// may have changed its keys.
    pub async fn key_set(&self, target: &Target, kid: Option<&str>, now: Timestamp) -> Result<Arc<KeySet>, FetchError> {
        let wanted = Wanted {
            slot: target.as_str().to_owned(),
            target: target.clone(),
            kind: Kind::Set(Form::Jwks.into()),
            shown: None,
            chooser: None,
        };
        self.set(wanted, kid, now).await
    }

    /// The keys of a document at `target`, which is one of its own; `id` as for [`Keyring::key_set`].
    pub async fn document(
        &self,
        document: &KeyDocument,
        target: &Target,
        id: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<KeySet>, FetchError> {
        let wanted = Wanted {
            slot: document.slot(target),
            target: target.clone(),
            kind: Kind::Set(document.form().clone()),
            shown: document.shown().cloned(),
            chooser: document.is_by_id().then(|| document.hosts().budget.clone()),
        };
        self.set(wanted, id, now).await
    }

    async fn set(&self, wanted: Wanted, id: Option<&str>, now: Timestamp) -> Result<Arc<KeySet>, FetchError> {
        let lacks = |keys: &Keys| matches!(keys, Keys::Set(set) if !set.has(id));
        match self.keys(&wanted, now, lacks).await? {
            Keys::Set(set) => Ok(set),
            Keys::Certificate(_) => Err(unusable(&wanted.target, "is used as a certificate elsewhere")),
        }
    }

    /// The certificate at `target`, which a delivery chose among `hosts`. Who may have issued it is not asked: like the
    /// platforms' own kits, it is believed because the platform's host served it over TLS.
    pub async fn certificate(
        &self,
        target: &Target,
        hosts: &Hosts,
        now: Timestamp,
    ) -> Result<Arc<Certificate>, FetchError> {
        let wanted = Wanted {
            slot: target.as_str().to_owned(),
            target: target.clone(),
            kind: Kind::Certificate,
            shown: None,
            chooser: Some(hosts.budget.clone()),
        };
        match self.keys(&wanted, now, |_| false).await? {
            Keys::Certificate(certificate) => Ok(certificate),
            Keys::Set(_) => Err(unusable(target, "is used as a key set elsewhere")),
        }
    }

    /// Takes in what `target` is known to serve, to be used for a day from `now` and not asked for again: recorded
    /// deliveries bring their keys. What it is, who asks for it says.
    pub fn remember(&self, target: &Target, body: &[u8], now: Timestamp) {
        lock(&self.known).insert(target.as_str().to_owned(), (body.to_vec(), now.as_second()));
    }

    /// Enters into the slot what its URL is known to serve, unless it is there.
    fn recall(&self, slot: &Slot, wanted: &Wanted) -> Result<(), FetchError> {
        let known = lock(&self.known);
        let Some((body, since)) = known.get(wanted.target.as_str()) else {
            return Ok(());
        };
        let expires_at = since + USABLE;
        let mut state = lock(&slot.state);
        if state
            .keys
            .as_ref()
            .is_some_and(|(_, fresh)| fresh.expires_at >= expires_at)
        {
            return Ok(());
        }
        let fresh = Fresh {
            refresh_at: expires_at,
            expires_at,
        };
        state.keys = Some((parse(&wanted.kind, body, &wanted.target)?, fresh));
        Ok(())
    }

    /// Fetches a URL that a verified delivery asks to be fetched, to confirm a subscription.
    pub async fn confirm(&self, target: &Target, now: Timestamp) -> Result<(), FetchError> {
        self.confirmations.spend(now.as_second())?;
        self.fetcher()?.get(target, None).await.map(drop)
    }

    async fn keys(&self, wanted: &Wanted, now: Timestamp, lacks: impl Fn(&Keys) -> bool) -> Result<Keys, FetchError> {
        let now = now.as_second();
        let slot = self.slot(wanted);
        self.recall(&slot, wanted)?;
        if let Some(keys) = self.cached(&slot, wanted, now, &lacks) {
            return Ok(keys);
        }
        let flight = slot.flight.clone().lock_owned().await;
        // Another request may have fetched it meanwhile.
        let state = lock(&slot.state).clone();
        let rests = state.tried.is_some_and(|tried| now - tried < REST);
        match state.keys {
            Some((keys, fresh)) if now < fresh.expires_at && (!lacks(&keys) || (rests && state.error.is_none())) => {
                return Ok(keys);
            }
            _ => {}
        }
        if let (true, Some(error)) = (rests, state.error) {
            return Err(error);
        }
        if let Some(chooser) = &wanted.chooser {
            chooser.spend(now)?;
        }
        let fetcher = self.fetcher()?.clone();
        let task = refresh(fetcher, slot.clone(), wanted.clone(), now, flight);
        // A task of its own: a client that hangs up does not stop it.
        let outcome = tokio::spawn(task).await;
        let state = lock(&slot.state).clone();
        match (outcome, state.keys) {
            (Ok(Err(error)), Some((keys, _))) if lacks(&keys) => Err(error),
            (_, Some((keys, fresh))) if now < fresh.expires_at => Ok(keys),
            (Ok(Err(error)), _) => Err(error),
            _ => Err(unusable(&wanted.target, "could not be taken in")),
        }
    }

    /// Keys that can be used without waiting; starts a refresh when it is time.
    fn cached(&self, slot: &Arc<Slot>, wanted: &Wanted, now: i64, lacks: &impl Fn(&Keys) -> bool) -> Option<Keys> {
        let state = lock(&slot.state).clone();
        let (keys, fresh) = state.keys?;
        let rests = state.tried.is_some_and(|tried| now - tried < REST);
        if now >= fresh.expires_at || (lacks(&keys) && !(rests && state.error.is_none())) {
            return None;
        }
        if now >= fresh.refresh_at
            && !rests
            && let Ok(flight) = slot.flight.clone().try_lock_owned()
            && let Ok(fetcher) = self.fetcher()
        {
            let (fetcher, host) = (fetcher.clone(), wanted.target.as_str().to_owned());
            let task = refresh(fetcher, slot.clone(), wanted.clone(), now, flight);
            tokio::spawn(async move {
                if let Err(error) = task.await {
                    tracing::warn!(url = host, %error, "keys could not be refreshed; the cached ones stay in use");
                }
            });
        }
        Some(keys)
    }

    fn slot(&self, wanted: &Wanted) -> Arc<Slot> {
        let (slots, most) = match wanted.chooser {
            Some(_) => (&self.chosen, MOST_URLS),
            None => (&self.fixed, usize::MAX),
        };
        let mut slots = lock(slots);
        if let Some(slot) = slots.get(&wanted.slot) {
            return slot.clone();
        }
        if slots.len() >= most {
            // URLs that never led to a key go first: whoever names many of those must not push out good ones.
            let oldest = slots
                .iter()
                .min_by_key(|(_, slot)| lock(&slot.state).keys.as_ref().map(|(_, fresh)| fresh.expires_at))
                .map(|(url, _)| url.clone());
            if let Some(url) = oldest {
                slots.remove(&url);
            }
        }
        slots.entry(wanted.slot.clone()).or_default().clone()
    }

    fn fetcher(&self) -> Result<&Fetcher, FetchError> {
        let fetcher = self.fetcher.get_or_init(|| Fetcher::new(&self.settings));
        fetcher.as_ref().map_err(|reason| FetchError::Client(reason.clone()))
    }
}

/// Fetches and enters the result; `flight` is held until then.
async fn refresh(
    fetcher: Fetcher,
    slot: Arc<Slot>,
    wanted: Wanted,
    now: i64,
    flight: tokio::sync::OwnedMutexGuard<()>,
) -> Result<(), FetchError> {
    let fetched = fetcher.get(&wanted.target, wanted.shown.as_ref()).await;
    let keys = fetched.and_then(|Fetched { body, max_age }| {
        let fresh = Fresh {
            refresh_at: now
                + max_age
                    .unwrap_or(*REFRESH.end())
                    .clamp(*REFRESH.start(), *REFRESH.end()),
            expires_at: now + USABLE,
        };
        Ok((parse(&wanted.kind, &body, &wanted.target)?, fresh))
    });
    let mut state = lock(&slot.state);
    state.tried = Some(now);
    state.error = keys.as_ref().err().cloned();
    let outcome = keys.map(|keys| state.keys = Some(keys));
    drop(flight);
    outcome
}

fn parse(kind: &Kind, body: &[u8], target: &Target) -> Result<Keys, FetchError> {
    match kind {
        Kind::Set(form) => form
            .read(body)
            .map(|set| Keys::Set(Arc::new(set)))
            .map_err(|reason| unusable(target, &reason)),
        Kind::Certificate => Certificate::from_pem(body)
            .map(|certificate| Keys::Certificate(Arc::new(certificate)))
            .map_err(|_| unusable(target, "is no PEM certificate with a supported key")),
    }
}

fn unusable(target: &Target, reason: &str) -> FetchError {
    FetchError::Unusable {
        host: target.url().host_str().unwrap_or_default().to_owned(),
        reason: reason.to_owned(),
    }
}

/// A panic elsewhere does not make the data wrong: every change under these locks is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
