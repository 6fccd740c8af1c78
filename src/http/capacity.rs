//! How much may be in hand at once: deliveries in work, and bytes of their bodies.
//!
//! The rule that keeps one loud source from starving the others: **what a source holds is never more than what is
//! free**. One loud source gets half of it, two get a third each, and something is always left for a quiet one. With a
//! single source there is nobody to leave room for, and it may have all.
//!
//! Counters only: nobody waits. Both are raised before they are looked at, so together they never exceed the cap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is taken, by all sources or by one.
pub type Counter = Arc<AtomicUsize>;

/// The most that may be taken, and whether a source has to leave room for others.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    pub most: usize,
    pub shared: bool,
}

impl Cap {
    /// `all` and `own` as they were before `more` is taken.
    fn allows(self, all: usize, own: usize, more: usize) -> bool {
        let own = if self.shared { own } else { 0 };
        all.saturating_add(own).saturating_add(more) <= self.most
    }
}

/// What one delivery holds; given back when dropped.
#[derive(Debug)]
pub struct Taken {
    all: Counter,
    own: Counter,
    amount: usize,
}

impl Taken {
    /// Nothing yet.
    pub fn of(all: &Counter, own: &Counter) -> Self {
        Self {
            all: all.clone(),
            own: own.clone(),
            amount: 0,
        }
    }

    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Whether so much more would be given now. For a look at the head, before anything is read.
    pub fn could_take(&self, more: usize, cap: Cap) -> bool {
        cap.allows(self.all.load(Ordering::Acquire), self.own.load(Ordering::Acquire), more)
    }

    /// Whether so much more would be given now, step by step. What the earlier steps took is the source's own by the
    /// last one, so that takes more room than all of it at once.
    pub fn could_take_in_steps(&self, more: usize, step: usize, cap: Cap) -> bool {
        let (all, own) = (self.all.load(Ordering::Acquire), self.own.load(Ordering::Acquire));
        let before_the_last = more.saturating_sub(1) / step * step;
        cap.allows(all, own.saturating_add(before_the_last), more)
    }

    /// Takes so much more, or nothing.
    pub fn take(&mut self, more: usize, cap: Cap) -> bool {
        if more > cap.most {
            return false;
        }
        let (all, own) = (
            self.all.fetch_add(more, Ordering::AcqRel),
            self.own.fetch_add(more, Ordering::AcqRel),
        );
        let allowed = cap.allows(all, own, more);
        if allowed {
            self.amount += more;
        } else {
            self.all.fetch_sub(more, Ordering::AcqRel);
            self.own.fetch_sub(more, Ordering::AcqRel);
        }
        allowed
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.all.fetch_sub(self.amount, Ordering::AcqRel);
        self.own.fetch_sub(self.amount, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one after another until no more is given.
    fn fill(all: &Counter, own: &Counter, cap: Cap) -> Vec<Taken> {
        let mut held = Vec::new();
        loop {
            let mut taken = Taken::of(all, own);
            if !taken.take(1, cap) {
                return held;
            }
            held.push(taken);
        }
    }

    fn counters<const N: usize>() -> [Counter; N] {
        std::array::from_fn(|_| Counter::default())
    }

    #[test]
    fn a_loud_source_leaves_half_and_two_leave_a_third() {
        let [all, loud, louder, quiet] = counters();
        let cap = Cap { most: 99, shared: true };
        let first = fill(&all, &loud, cap);
        assert_eq!(first.len(), 50);
        let second = fill(&all, &louder, cap);
        assert!((20..=33).contains(&second.len()), "{}", second.len());
        assert!(Taken::of(&all, &quiet).could_take(1, cap));
        drop((first, second));
        assert_eq!(all.load(Ordering::Acquire), 0);
    }

    #[test]
    fn however_many_are_loud_the_last_still_gets_one() {
        let cap = Cap {
            most: 1024,
            shared: true,
        };
        let all = Counter::default();
        let mut held = Vec::new();
        for source in 0..8 {
            let own = Counter::default();
            let taken = fill(&all, &own, cap);
            assert!(!taken.is_empty(), "source {source}");
            held.push((own, taken));
        }
    }

    #[test]
    fn what_may_begin_in_steps_may_end_when_nobody_else_takes() {
        for shared in [true, false] {
            let cap = Cap { most: 100, shared };
            let most = (1..=100).rev().find(|size| {
                let [all, own] = counters();
                Taken::of(&all, &own).could_take_in_steps(*size, 10, cap)
            });
            let most = most.expect("one fits");
            assert_eq!(most, if shared { 50 } else { 100 });
            let [all, own] = counters();
            let mut taken = Taken::of(&all, &own);
            while taken.amount() < most {
                assert!(taken.take(10.min(most - taken.amount()), cap), "{}", taken.amount());
            }
        }
    }

    #[test]
    fn a_single_source_may_have_all() {
        let [all, own] = counters();
        let cap = Cap {
            most: 10,
            shared: false,
        };
        assert_eq!(fill(&all, &own, cap).len(), 10);
        assert_eq!(all.load(Ordering::Acquire), 0, "given back");
    }

    #[test]
    fn what_is_refused_takes_nothing_and_more_is_taken_on_top() {
        let [all, own] = counters();
        let cap = Cap {
            most: 100,
            shared: false,
        };
        let mut taken = Taken::of(&all, &own);
        assert!(taken.take(60, cap) && !taken.take(41, cap) && !taken.take(usize::MAX, cap) && taken.take(40, cap));
        assert_eq!((taken.amount(), all.load(Ordering::Acquire)), (100, 100));
    }
}
