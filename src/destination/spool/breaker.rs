//! Knows that something is down, and when to try it again.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// First and longest pause between two tries. The longest keeps the promise that an event arrives within 10 s of the
/// broker answering again.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// The pause after so many failures: doubled each time, and between half and whole of that, so that many gateways
    /// do not knock at once.
    pub fn pause(&self, failures: u32) -> Duration {
        let whole = self.first.saturating_mul(1 << failures.min(16)).min(self.longest);
        // std's hasher keys are random: enough for jitter.
        let draw = (RandomState::new().hash_one(0) % 1024) as u32;
        whole / 2 + whole / 2 * draw / 1024
    }
}

/// Closed: everything passes. Open: nothing does, but for one try when its time has come.
#[derive(Debug, Default)]
pub struct Breaker {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    failures: u32,
}

impl Breaker {
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// When the next try is due, if it is open.
    pub fn until(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.until)
    }

    /// Would a try pass now? Asking changes nothing.
    pub fn is_due(&self, now: Instant) -> bool {
        self.open.as_ref().is_none_or(|open| now >= open.until)
    }

    /// May this one pass? If open and due, it is the try, and the next is due a pause later, whether the try is
    /// heard of or not: a try that never comes back must not be the last one.
    pub fn allows(&mut self, now: Instant, backoff: &Backoff) -> bool {
        match &mut self.open {
            None => true,
            Some(open) if now >= open.until => {
                open.failures += 1;
                open.until = now + backoff.pause(open.failures);
                true
            }
            Some(_) => false,
        }
    }

    /// Opens; true if it was closed. Failures of those that passed before it opened say nothing new.
    pub fn failed(&mut self, now: Instant, backoff: &Backoff) -> bool {
        let news = self.open.is_none();
        self.open.get_or_insert_with(|| Open {
            until: now + backoff.pause(0),
            failures: 0,
        });
        news
    }

    /// Closes. True if it was open.
    pub fn succeeded(&mut self) -> bool {
        self.open.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_one_try_pass_each_pause_and_all_after_a_success() {
        let backoff = Backoff::default();
        let mut breaker = Breaker::default();
        let start = Instant::now();
        assert!(breaker.allows(start, &backoff));
        breaker.failed(start, &backoff);
        assert!(!breaker.allows(start, &backoff));
        let due = breaker.until().unwrap();
        assert!(breaker.allows(due, &backoff));
        assert!(!breaker.allows(due, &backoff), "the second at the same moment");
        assert!(breaker.succeeded());
        assert!(breaker.allows(due, &backoff));
    }

    #[test]
    fn pauses_grow_to_the_longest_and_never_beyond() {
        let backoff = Backoff::default();
        for failures in 0..40 {
            let pause = backoff.pause(failures);
            assert!(
                pause >= backoff.first / 2 && pause <= backoff.longest,
                "{failures}: {pause:?}"
            );
        }
        assert!(backoff.pause(39) >= backoff.longest / 2);
    }
}
