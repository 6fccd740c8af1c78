//! Which publish a confirm, and which a return, belongs to.
//!
//! RabbitMQ returns an unroutable message and then *acknowledges* it, so an acknowledgement alone proves nothing. lapin
//! hands a returned message to whichever confirm it completes next on that channel, not to the message's own; with
//! overlapping publishes that is often another one. So a return is matched here by message id, and an acknowledgement
//! counts only once no return of its message can still turn up:
//!
//! - lapin completes confirms in some order; each takes the oldest return that waits, if one does. A message's return has
//!   arrived before its acknowledgement.
//! - A confirm that brought *no* return found none waiting: a return of its message was taken by a confirm completed
//!   earlier. Confirms are therefore reported here in batches that leave out none that was completed before.
//! - A confirm that brought *another* message's return may have left its own waiting. Each later confirm takes one, and
//!   those waiting all belong to publishes that are not confirmed yet. So once everything published before is confirmed, it
//!   has turned up or never will.

use std::collections::BTreeMap;

/// Counts publishes on one channel.
pub(super) type Sequence = u64;

/// What a confirm said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Confirm {
    pub(super) acknowledged: bool,
    /// A message that came back, this publish's or another's.
    pub(super) returned: Option<Returned>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Returned {
    pub(super) message_id: String,
    pub(super) reason: String,
}

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Stored,
    /// Came back: no queue for it.
    Unroutable(String),
    /// A queue refused it (`reject-publish`), or the broker failed.
    Refused,
}

#[derive(Debug)]
struct Entry {
    message_id: String,
    state: State,
    returned: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// Confirmed. `after`: its return may wait until everything up to there is confirmed.
    Confirmed {
        acknowledged: bool,
        after: Option<Sequence>,
    },
}

/// The open publishes of one channel.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<Sequence, Entry>,
    /// Confirmed, but not decided.
    undecided: Vec<Sequence>,
    last: Sequence,
}

impl Ledger {
    /// Notes a publish, before it can be confirmed.
    pub(super) fn sent(&mut self, message_id: String) -> Sequence {
        self.last += 1;
        let entry = Entry {
            message_id,
            state: State::Waiting,
            returned: None,
        };
        self.entries.insert(self.last, entry);
        self.last
    }

    /// Takes all confirms completed so far and not reported before; says what is certain now.
    pub(super) fn confirmed(&mut self, batch: Vec<(Sequence, Confirm)>) -> Vec<(Sequence, Settled)> {
        for (sequence, confirm) in &batch {
            if let Some(returned) = &confirm.returned {
                self.note_return(returned);
            }
            let Some(entry) = self.entries.get_mut(sequence) else {
                // Given up before.
                continue;
            };
            let another = confirm
                .returned
                .as_ref()
                .is_some_and(|returned| returned.message_id != entry.message_id);
            entry.state = State::Confirmed {
                acknowledged: confirm.acknowledged,
                after: another.then_some(self.last),
            };
            self.undecided.push(*sequence);
        }
        self.decide()
    }

    /// Two open publishes of one id cannot be told apart: both count as returned, and are published again.
    fn note_return(&mut self, returned: &Returned) {
        for entry in self
            .entries
            .values_mut()
            .filter(|entry| entry.message_id == returned.message_id)
        {
            entry.returned = Some(returned.reason.clone());
        }
    }

    fn decide(&mut self) -> Vec<(Sequence, Settled)> {
        let first_waiting = self
            .entries
            .iter()
            .find(|(_, entry)| entry.state == State::Waiting)
            .map(|(first, _)| *first);
        let mut settled = Vec::new();
        let entries = &mut self.entries;
        self.undecided.retain(|sequence| {
            let Some(entry) = entries.get_mut(sequence) else {
                return false;
            };
            let State::Confirmed { acknowledged, after } = entry.state else {
                return true;
            };
            let outcome = match entry.returned.take() {
                Some(reason) => Settled::Unroutable(reason),
                None if !acknowledged => Settled::Refused,
                None if after.is_some_and(|after| first_waiting.is_some_and(|first| first <= after)) => return true,
                None => Settled::Stored,
            };
            entries.remove(sequence);
            settled.push((*sequence, outcome));
            false
        });
        settled
    }

    /// Stops waiting for one publish: whatever it becomes, nobody will say.
    pub(super) fn give_up(&mut self, sequence: Sequence) {
        self.entries.remove(&sequence);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// lapin's pairing, and a broker that confirms in any order, several at once, after their returns.
    struct Channel {
        unroutable: Vec<bool>,
        returned: VecDeque<Sequence>,
        unconfirmed: Vec<Sequence>,
    }

    impl Channel {
        /// Completes confirms in the order given; each takes the oldest return.
        fn complete(&mut self, order: &[Sequence]) -> Vec<(Sequence, Confirm)> {
            order
                .iter()
                .map(|sequence| {
                    let returned = self.returned.pop_front().map(|of| Returned {
                        message_id: format!("id-{of}"),
                        reason: "NO_ROUTE".into(),
                    });
                    let confirm = Confirm {
                        acknowledged: true,
                        returned,
                    };
                    (*sequence, confirm)
                })
                .collect()
        }
    }

    proptest! {
        /// However returns and confirms are paired: an unroutable publish is never stored, a routable one always is, and
        /// none stays open.
        #[test]
        fn a_return_reaches_its_own_publish(
            unroutable in prop::collection::vec(any::<bool>(), 1..40),
            choices in prop::collection::vec(any::<u16>(), 400),
        ) {
            let mut choices = choices.into_iter().cycle();
            let mut choose = |limit: usize| choices.next().map_or(0, usize::from) % limit;
            let mut ledger = Ledger::default();
            let mut channel = Channel { unroutable: unroutable.clone(), returned: VecDeque::new(), unconfirmed: Vec::new() };
            let mut settled = BTreeMap::new();
            let mut unreported: Vec<(Sequence, Confirm)> = Vec::new();
            let mut sent = 0;
            while settled.len() < unroutable.len() {
                match choose(3) {
                    0 if sent < unroutable.len() => {
                        let sequence = ledger.sent(format!("id-{}", sent + 1));
                        sent += 1;
                        channel.unconfirmed.push(sequence);
                        if channel.unroutable[sent - 1] {
                            channel.returned.push_back(sequence);
                        }
                    }
                    1 if !channel.unconfirmed.is_empty() => {
                        let mut order = Vec::new();
                        for _ in 0..=choose(channel.unconfirmed.len()) {
                            let at = choose(channel.unconfirmed.len());
                            order.push(channel.unconfirmed.remove(at));
                        }
                        unreported.extend(channel.complete(&order));
                    }
                    2 => {
                        // A batch may be in any order, as long as it is complete.
                        if unreported.len() > 1 {
                            let at = choose(unreported.len());
                            unreported.swap(0, at);
                        }
                        settled.extend(ledger.confirmed(std::mem::take(&mut unreported)));
                    }
                    _ => {}
                }
            }
            for (sequence, outcome) in settled {
                let is_stored = outcome == Settled::Stored;
                prop_assert_eq!(is_stored, !unroutable[sequence as usize - 1], "publish {}", sequence);
            }
        }
    }

    #[test]
    fn a_refusal_is_not_stored() {
        let mut ledger = Ledger::default();
        let sequence = ledger.sent("a".into());
        let refused = Confirm {
            acknowledged: false,
            returned: None,
        };
        assert_eq!(
            ledger.confirmed(vec![(sequence, refused)]),
            [(sequence, Settled::Refused)]
        );
    }

    #[test]
    fn two_open_publishes_of_one_id_are_both_returned() {
        let mut ledger = Ledger::default();
        let (first, second) = (ledger.sent("a".into()), ledger.sent("a".into()));
        let back = Confirm {
            acknowledged: true,
            returned: Some(Returned {
                message_id: "a".into(),
                reason: "NO_ROUTE".into(),
            }),
        };
        let plain = Confirm {
            acknowledged: true,
            returned: None,
        };
        let settled = ledger.confirmed(vec![(first, back), (second, plain)]);
        assert!(
            settled
                .iter()
                .all(|(_, outcome)| *outcome == Settled::Unroutable("NO_ROUTE".into()))
        );
        assert_eq!(settled.len(), 2);
    }
}
