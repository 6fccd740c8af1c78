//! Random histories against what is promised: every receipted event reaches the broker or quarantine, in the order of
//! its key, and without a restart not twice.

use std::collections::{HashMap, HashSet};

use hooksluice::destination::PublishError;
use hooksluice::destination::journal::{Filter, Reader, Table};
use hooksluice::destination::spool::How;
use proptest::prelude::*;

use super::Gate;
use super::fake::{Answer, Fake};

#[derive(Clone, Debug)]
enum Step {
    Send {
        topic: u8,
        key: Option<u8>,
    },
    /// What the broker does from now on.
    Broker(Answer),
    /// What it does to one topic; the other is fine.
    Topic(u8, Answer),
    Confirm,
    Fail,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        3 => Just(Answer::Confirm),
        2 => Just(Answer::Down),
        1 => Just(Answer::LaneDown),
        1 => Just(Answer::Message),
        1 => Just(Answer::LostUnknown),
        1 => Just(Answer::StoredUnknown),
        1 => Just(Answer::Hold),
    ];
    prop_oneof![
        12 => (0..2u8, prop::option::weighted(0.8, 0..3u8)).prop_map(|(topic, key)| Step::Send { topic, key }),
        3 => answer.clone().prop_map(Step::Broker),
        1 => (0..2u8, answer).prop_map(|(topic, answer)| Step::Topic(topic, answer)),
        1 => Just(Step::Confirm),
        1 => Just(Step::Fail),
        1 => Just(Step::Crash),
    ]
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new().await;
    let mut gate = Gate::open(folder.path(), &fake);
    let mut receipted: Vec<(String, String, How)> = Vec::new();
    let mut may_repeat = false;
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Send { topic, key } => {
                let (id, topic) = (n.to_string(), format!("t{topic}"));
                let key = key.map(|key| format!("k{key}"));
                let durable = gate.send_to(&id, &topic, key.as_deref()).await.expect("there is room");
                let lane = key.map_or(String::new(), |key| format!("{topic}/{key}"));
                receipted.push((id, lane, durable.how()));
            }
            Step::Broker(answer) => {
                may_repeat |= answer == Answer::StoredUnknown;
                fake.answers(answer);
            }
            Step::Topic(topic, answer) => {
                may_repeat |= answer == Answer::StoredUnknown;
                let topic = format!("t{topic}");
                fake.decides(move |event| if event.kind() == topic { answer } else { Answer::Confirm });
            }
            Step::Confirm => fake.release(Ok(())),
            Step::Fail => fake.release(Err(PublishError::Unknown("the channel closed".into()))),
            Step::Crash => {
                may_repeat = true;
                gate = gate.crash(&fake).await;
            }
        }
    }
    fake.answers(Answer::Confirm);
    fake.release(Ok(()));
    gate.drained().await;

    let stored = fake.stored();
    let reader = Reader::open(&gate.settings.path).unwrap();
    let quarantined: HashSet<String> = reader
        .list(Table::Quarantine, &Filter::default())
        .unwrap()
        .into_iter()
        .map(|record| record.id)
        .collect();
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (place, id) in stored.iter().enumerate() {
        let earlier = first.insert(id, place);
        if let Some(earlier) = earlier {
            prop_assert!(may_repeat, "{id} is stored twice: {stored:?}");
            first.insert(id, earlier);
        }
    }
    let mut last: HashMap<&str, (usize, &str)> = HashMap::new();
    for (id, lane, how) in &receipted {
        match first.get(id.as_str()) {
            // No order is promised around quarantine: a copy sent before a crash may still arrive.
            Some(place) if !lane.is_empty() && !quarantined.contains(id) => {
                if let Some((before, older)) = last.insert(lane, (*place, id)) {
                    prop_assert!(before < *place, "{id} overtook {older} of {lane}: {stored:?}");
                }
            }
            Some(_) => (),
            None => prop_assert!(quarantined.contains(id), "{id} ({how:?}) is lost: {stored:?}"),
        }
        prop_assert!(*how != How::Quarantined || quarantined.contains(id));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_receipted_events_arrive_in_the_order_of_their_key(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(play(steps))?;
    }
}
