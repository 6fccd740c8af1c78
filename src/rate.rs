//! How fast is too fast: rates as people write them, and limiters that hold senders to them.
//!
//! What it promises: a limiter is a few atomics, so no worker waits for another; its memory does not grow with the
//! number of senders; and what a stranger sends never uses up what is meant for those who proved themselves.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{NotUntil, Quota, RateLimiter};
use serde::{Deserialize, Deserializer};

/// Deliveries in a second, a minute or an hour: `100/s`, `600/m`, `10000/h`. As many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    unit: char,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a rate; write a whole number of deliveries in a second, minute or hour: `100/s`, `600/m`, `10000/h`"
)]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let wrong = || RateError(text.into());
        let (count, unit) = text.trim().split_once('/').ok_or_else(wrong)?;
        let unit = match unit {
            "s" => 's',
            "m" => 'm',
            "h" => 'h',
            _ => return Err(wrong()),
        };
        // `parse` would also take a plus sign.
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let count = count.parse().map_err(|_| wrong())?;
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Rate {
    fn quota(self) -> Quota {
        match self.unit {
            's' => Quota::per_second(self.count),
            'm' => Quota::per_minute(self.count),
            _ => Quota::per_hour(self.count),
        }
    }
}

/// How long a sender should wait before the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(Duration);

impl Wait {
    /// Rounded up, at least one: for `Retry-After`.
    pub fn seconds(self) -> u64 {
        (self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)).max(1)
    }
}

impl From<NotUntil<Instant>> for Wait {
    fn from(until: NotUntil<Instant>) -> Self {
        Self(until.wait_time_from(MonotonicClock.now()))
    }
}

/// One budget for all who ask.
#[derive(Debug)]
pub struct Limiter(RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Instant>>);

impl Limiter {
    pub fn new(rate: Rate) -> Self {
        Self(RateLimiter::direct_with_clock(rate.quota(), MonotonicClock))
    }

    pub fn take(&self) -> Result<(), Wait> {
        self.0.check().map_err(Wait::from)
    }
}

/// A budget for each sender's address, in memory that does not grow.
#[derive(Debug)]
pub struct ByAddress {
    rate: Rate,
    limiter: RateLimiter<IpAddr, Buckets, MonotonicClock, NoOpMiddleware<Instant>>,
}

impl ByAddress {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            limiter: RateLimiter::new(rate.quota(), Buckets::default(), MonotonicClock),
        }
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    pub fn take(&self, address: IpAddr) -> Result<(), Wait> {
        self.limiter.check_key(&address).map_err(Wait::from)
    }
}

/// Places in the tables below; eight bytes each. A loud address shares its place with one address in as many.
const PLACES: usize = 1 << 16;

/// One state a place. The hash is keyed, so nobody can choose whose place to share.
struct Buckets {
    states: Box<[InMemoryState]>,
    hasher: ahash::RandomState,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            states: (0..PLACES).map(|_| InMemoryState::default()).collect(),
            hasher: ahash::RandomState::new(),
        }
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buckets")
    }
}

impl StateStore for Buckets {
    type Key = IpAddr;

    fn measure_and_replace<T, F, E>(&self, address: &IpAddr, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let at = self.hasher.hash_one(network(*address)) as usize % self.states.len();
        self.states[at].measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

/// Whoever has one IPv6 address commonly has the other 2⁶⁴ of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// Seconds for which an address that proved itself is no stranger.
const KNOWN: u64 = 3600;

/// One budget for all strangers together: for addresses from which nothing verified came within the hour. Those who
/// did prove themselves are not asked.
#[derive(Debug)]
pub struct Strangers {
    rate: Rate,
    limiter: Limiter,
    known: Arc<Known>,
}

/// Addresses that proved themselves.
#[derive(Debug)]
struct Known {
    /// In each place the hash of an address (upper half) and the second when it proved itself.
    places: Box<[AtomicU64]>,
    hasher: ahash::RandomState,
    started: Instant,
}

impl Strangers {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            limiter: Limiter::new(rate),
            known: Arc::new(Known {
                places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
                hasher: ahash::RandomState::new(),
                started: Instant::now(),
            }),
        }
    }

    /// Another rate for the strangers. Who proved itself is none all the same.
    pub fn with_rate(&self, rate: Rate) -> Self {
        Self {
            rate,
            limiter: Limiter::new(rate),
            known: self.known.clone(),
        }
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    pub fn take(&self, address: IpAddr) -> Result<(), Wait> {
        if self.known.has(address, Instant::now()) {
            return Ok(());
        }
        self.limiter.take()
    }

    /// Something from this address was verified.
    pub fn proved(&self, address: IpAddr) {
        self.known.enter(address);
    }
}

impl Known {
    fn enter(&self, address: IpAddr) {
        let (place, tag) = self.place(address);
        place.store(tag | self.second(Instant::now()), Ordering::Relaxed);
    }

    fn has(&self, address: IpAddr, now: Instant) -> bool {
        let (place, tag) = self.place(address);
        let (found, now) = (place.load(Ordering::Relaxed), self.second(now));
        let proved = found & u64::from(u32::MAX);
        found != 0 && found & !u64::from(u32::MAX) == tag && now.saturating_sub(proved) < KNOWN
    }

    fn place(&self, address: IpAddr) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(network(address));
        (
            &self.places[hash as usize % self.places.len()],
            hash & !u64::from(u32::MAX),
        )
    }

    /// From 1, so that an empty place is nobody's.
    fn second(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.started).as_secs() + 1) & u64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_rate_is_a_whole_number_in_a_unit_of_time() {
        for text in ["1/s", "100/s", "600/m", "4294967295/h"] {
            assert_eq!(rate(text).to_string(), text);
        }
        for text in [
            "",
            "100",
            "/s",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "100/d",
            "100 / s",
            "4294967296/s",
            "1/s/s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_budget_lets_its_number_through_and_then_says_how_long_to_wait() {
        let limiter = Limiter::new(rate("3/h"));
        assert_eq!((0..3).map(|_| limiter.take()).filter(Result::is_ok).count(), 3);
        let wait = limiter.take().expect_err("spent").seconds();
        assert!((1..=1200).contains(&wait), "{wait}");
        assert_eq!(Wait(Duration::ZERO).seconds(), 1);
        assert_eq!(Wait(Duration::from_millis(1001)).seconds(), 2);
    }

    #[test]
    fn one_address_does_not_use_up_the_budget_of_another() {
        let senders = ByAddress::new(rate("2/h"));
        let [loud, quiet]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().expect("an address"));
        for _ in 0..100 {
            let _ = senders.take(loud);
        }
        assert!(senders.take(loud).is_err());
        // One pair in 65,536 shares a place.
        assert!(senders.take(quiet).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_sender_and_a_mapped_address_is_ipv4() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn strangers_cannot_use_up_what_a_proved_address_is_let_through_with() {
        let strangers = Strangers::new(rate("2/h"));
        let genuine = "198.51.100.7".parse().expect("an address");
        strangers.proved(genuine);
        let others = (0..=255).map(|last| IpAddr::from([203, 0, 113, last]));
        assert_eq!(others.filter(|other| strangers.take(*other).is_ok()).count(), 2);
        assert!((0..100).all(|_| strangers.take(genuine).is_ok()));
        let now = Instant::now();
        assert!(strangers.known.has(genuine, now + Duration::from_secs(KNOWN - 2)));
        assert!(!strangers.known.has(genuine, now + Duration::from_secs(KNOWN + 1)));
    }

    /// Whatever the number of senders, the tables stay as they were made.
    #[test]
    fn memory_does_not_grow_with_the_number_of_addresses() {
        let senders = ByAddress::new(rate("1/s"));
        let strangers = Strangers::new(rate("1/s"));
        for address in 0..1_000_000_u32 {
            let _ = senders.take(IpAddr::from(address.to_be_bytes()));
            strangers.proved(IpAddr::from(address.to_be_bytes()));
        }
        assert_eq!(strangers.known.places.len(), PLACES);
        assert_eq!(std::mem::size_of::<InMemoryState>(), 8);
    }
}
