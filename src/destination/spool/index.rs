//! What waits, in memory: lanes, their order, and what is down. No input or output, and time is a parameter.
//!
//! A row is *waiting* (may be sent), or *out* (sent and not settled: by the forwarder, or by a request that stopped
//! waiting). Invariants:
//! - A keyed lane has at most one row out of its own sending, and sends none while any is out: order.
//! - A keyed lane exists as long as it has a row waiting, out, or being committed; meanwhile newer events of its key
//!   go behind them.
//! - A lane with waiting rows that may be sent stands in exactly one place: `ready`, `delayed`, or parked at its route.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

use super::breaker::{Backoff, Breaker};

/// Hashes of the lane's and the route's text; two that collide share a lane, which only orders more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    pub lane: u64,
    pub route: u64,
    /// Has a partition key: order is promised.
    pub keyed: bool,
}

#[derive(Clone, Copy, Debug)]
struct RowInfo {
    lane: u64,
    bytes: u64,
    /// Unix milliseconds.
    stored: i64,
}

#[derive(Debug)]
struct LaneState {
    route: u64,
    keyed: bool,
    waiting: VecDeque<i64>,
    out: u32,
    committing: u32,
    failures: u32,
    /// A row of its own failed: nothing is sent before this.
    not_before: Option<Instant>,
    /// Stands in `ready`, `delayed` or parked.
    placed: bool,
}

#[derive(Debug, Default)]
struct Route {
    breaker: Breaker,
    parked: VecDeque<u64>,
}

/// Why a row that was out comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Destination,
    Route,
    /// Nothing known beyond this row.
    Row,
}

/// A row to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    pub sequence: i64,
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Index {
    backoff: Backoff,
    rows: BTreeMap<i64, RowInfo>,
    bytes: u64,
    lanes: HashMap<u64, LaneState>,
    ready: VecDeque<u64>,
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Only those that are down.
    routes: HashMap<u64, Route>,
    breaker: Breaker,
}

impl Index {
    pub fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            rows: BTreeMap::new(),
            bytes: 0,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            delayed: BinaryHeap::new(),
            routes: HashMap::new(),
            breaker: Breaker::default(),
        }
    }

    /// Nothing waits and nothing is down: a publish may go straight to the destination without asking.
    pub fn is_calm(&self) -> bool {
        self.lanes.is_empty() && self.routes.is_empty() && !self.breaker.is_open()
    }

    pub fn is_up(&self) -> bool {
        !self.breaker.is_open()
    }
    pub fn routes_down(&self) -> usize {
        self.routes.len()
    }
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
    /// When the oldest row was stored, Unix milliseconds.
    pub fn oldest(&self) -> Option<i64> {
        self.rows.first_key_value().map(|(_, row)| row.stored)
    }

    /// May this event be published now, or must it go behind others, or wait for what is down?
    pub fn allows(&mut self, lane: Lane, now: Instant) -> bool {
        if lane.keyed && self.lanes.contains_key(&lane.lane) {
            return false;
        }
        // What waits already makes the try.
        if self.breaker.is_open() && !self.ready.is_empty() {
            return false;
        }
        if let Some(route) = self.routes.get(&lane.route)
            && (!route.parked.is_empty() || !route.breaker.is_due(now))
        {
            return false;
        }
        if !self.breaker.allows(now, &self.backoff) {
            return false;
        }
        self.routes
            .get_mut(&lane.route)
            .is_none_or(|route| route.breaker.allows(now, &self.backoff))
    }

    /// A publish did not come through, and its event is being committed: what comes after it goes behind it.
    pub fn reserve(&mut self, lane: Lane) {
        self.lane(lane).committing += 1;
    }

    /// The commit of a reserved event failed.
    pub fn abandon(&mut self, lane: Lane) {
        if let Some(state) = self.lanes.get_mut(&lane.lane) {
            state.committing = state.committing.saturating_sub(1);
        }
        self.tidy(lane.lane);
    }

    /// The commit of a reserved event succeeded. `out`: it was sent, and may yet be confirmed.
    pub fn commit(&mut self, lane: Lane, sequence: i64, bytes: u64, stored: i64, out: bool) {
        let state = self.lane(lane);
        state.committing = state.committing.saturating_sub(1);
        if out {
            state.out += 1;
        } else {
            insert(&mut state.waiting, sequence);
        }
        self.rows.insert(
            sequence,
            RowInfo {
                lane: lane.lane,
                bytes,
                stored,
            },
        );
        self.bytes += bytes;
        self.place(lane.lane);
    }

    /// A row that was read back from the file.
    pub fn load(&mut self, lane: Lane, sequence: i64, bytes: u64, stored: i64) {
        self.reserve(lane);
        self.commit(lane, sequence, bytes, stored, false);
    }

    /// The next row to send, if one may be sent. It is out then.
    pub fn pick(&mut self, now: Instant) -> Option<Pick> {
        if !self.breaker.is_due(now) {
            return None;
        }
        self.wake(now);
        while let Some(name) = self.ready.pop_front() {
            let Some(state) = self.lanes.get_mut(&name) else {
                continue;
            };
            if state.keyed && state.out > 0 {
                // An overlapping request's row went out meanwhile; when it is settled the lane is placed again.
                state.placed = false;
                continue;
            }
            if let Some(at) = state.not_before.filter(|at| now < *at) {
                self.delayed.push(Reverse((at, name)));
                continue;
            }
            if let Some(route) = self.routes.get_mut(&state.route)
                && !route.breaker.allows(now, &self.backoff)
            {
                route.parked.push_back(name);
                continue;
            }
            state.placed = false;
            let Some(sequence) = state.waiting.pop_front() else {
                self.tidy(name);
                continue;
            };
            state.out += 1;
            self.place(name);
            self.breaker.allows(now, &self.backoff);
            let bytes = self.rows.get(&sequence).map_or(0, |row| row.bytes);
            return Some(Pick { sequence, bytes });
        }
        None
    }

    /// A row that was out is confirmed.
    pub fn delivered(&mut self, sequence: i64) {
        let Some(lane) = self.rows.get(&sequence).map(|row| row.lane) else {
            return;
        };
        let route = self.lanes.get_mut(&lane).map(|state| {
            state.failures = 0;
            state.not_before = None;
            state.route
        });
        self.forget(sequence);
        if let Some(route) = route {
            self.succeeded(route);
        }
    }

    /// A row that was out has left by another way: to quarantine, or removed by hand.
    pub fn forget(&mut self, sequence: i64) {
        let Some(row) = self.rows.remove(&sequence) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(row.bytes);
        if let Some(state) = self.lanes.get_mut(&row.lane) {
            state.out = state.out.saturating_sub(1);
        }
        self.place(row.lane);
        self.tidy(row.lane);
    }

    /// A row that was out may be sent again. True if its fault is news: what failed was up until now.
    pub fn returned(&mut self, sequence: i64, fault: Fault, now: Instant) -> bool {
        let Some(name) = self.rows.get(&sequence).map(|row| row.lane) else {
            return false;
        };
        let Some(state) = self.lanes.get_mut(&name) else {
            return false;
        };
        state.out = state.out.saturating_sub(1);
        insert(&mut state.waiting, sequence);
        let route = state.route;
        let news = match fault {
            Fault::Row => {
                state.not_before = Some(now + self.backoff.pause(state.failures));
                state.failures += 1;
                false
            }
            Fault::Destination => self.failed(now),
            Fault::Route => self.route_failed(route, now),
        };
        self.place(name);
        news
    }

    /// A row that was out without having been sent, or whose client is gone: it may be sent at once.
    pub fn release(&mut self, sequence: i64) {
        let Some(name) = self.rows.get(&sequence).map(|row| row.lane) else {
            return;
        };
        if let Some(state) = self.lanes.get_mut(&name) {
            state.out = state.out.saturating_sub(1);
            insert(&mut state.waiting, sequence);
        }
        self.place(name);
    }

    /// The destination answered a publish.
    pub fn succeeded(&mut self, route: u64) {
        self.breaker.succeeded();
        if let Some(route) = self.routes.remove(&route) {
            self.ready.extend(route.parked);
        }
    }

    /// True if it was up until now.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.breaker.failed(now, &self.backoff)
    }

    /// True if the route was up until now.
    pub fn route_failed(&mut self, route: u64, now: Instant) -> bool {
        self.routes.entry(route).or_default().breaker.failed(now, &self.backoff)
    }

    /// When [`Self::pick`] may find something that it does not find now.
    pub fn next_wake(&self) -> Option<Instant> {
        let routes = self.routes.values().filter(|route| !route.parked.is_empty());
        let lanes = routes
            .filter_map(|route| route.breaker.until())
            .chain(self.delayed.peek().map(|Reverse((at, _))| *at))
            .min();
        match self.breaker.until() {
            // Nothing is sent before the destination is due; after it, what is ready is.
            Some(until) if self.ready.is_empty() => lanes.map(|lanes| lanes.max(until)),
            Some(until) => Some(until),
            None => lanes,
        }
    }

    /// Everything is waiting again: the destination's client was replaced.
    pub fn restart(&mut self, backoff: Backoff) {
        let rows: Vec<(i64, RowInfo)> = std::mem::take(&mut self.rows).into_iter().collect();
        let lanes = std::mem::take(&mut self.lanes);
        *self = Self::new(backoff);
        for (sequence, row) in rows {
            if let Some(state) = lanes.get(&row.lane) {
                let lane = Lane {
                    lane: row.lane,
                    route: state.route,
                    keyed: state.keyed,
                };
                self.load(lane, sequence, row.bytes, row.stored);
            }
        }
        for (name, state) in lanes.into_iter().filter(|(_, state)| state.committing > 0) {
            let lane = Lane {
                lane: name,
                route: state.route,
                keyed: state.keyed,
            };
            self.lane(lane).committing += state.committing;
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneState {
        self.lanes.entry(lane.lane).or_insert_with(|| LaneState {
            route: lane.route,
            keyed: lane.keyed,
            waiting: VecDeque::new(),
            out: 0,
            committing: 0,
            failures: 0,
            not_before: None,
            placed: false,
        })
    }

    fn place(&mut self, name: u64) {
        if let Some(state) = self.lanes.get_mut(&name)
            && !state.placed
            && !state.waiting.is_empty()
            && (!state.keyed || state.out == 0)
        {
            state.placed = true;
            self.ready.push_back(name);
        }
    }

    fn tidy(&mut self, name: u64) {
        if let Some(state) = self.lanes.get(&name)
            && state.waiting.is_empty()
            && state.out == 0
            && state.committing == 0
            // One that still stands somewhere is taken out when its turn comes.
            && !state.placed
        {
            self.lanes.remove(&name);
        }
    }

    fn wake(&mut self, now: Instant) {
        while let Some(Reverse((at, name))) = self.delayed.peek().copied()
            && at <= now
        {
            self.delayed.pop();
            self.ready.push_back(name);
        }
        for route in self.routes.values_mut() {
            if route.breaker.is_due(now)
                && let Some(name) = route.parked.pop_front()
            {
                self.ready.push_front(name);
            }
        }
    }
}

/// Rows come back out of order, but near the front.
fn insert(waiting: &mut VecDeque<i64>, sequence: i64) {
    let at = waiting.partition_point(|other| *other < sequence);
    waiting.insert(at, sequence);
}
