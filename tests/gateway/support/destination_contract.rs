//! What every destination owes. A room's tests call these with their destination and with a reader of their own, which
//! asks the broker or the file, not the code under test.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use hooksluice::destination::Destination;

use super::events::{Sample, fresh};

/// What an independent reader found.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// CloudEvents attributes, without the binding's prefix; `datacontenttype` too.
    pub attributes: BTreeMap<String, String>,
    pub key: Option<String>,
    pub data: Vec<u8>,
}

impl Stored {
    pub fn id(&self) -> &str {
        self.attributes.get("id").map_or("", |id| id)
    }
}

/// Reads exactly `count` records, or as many as there are when no more come.
pub type Read<'r> = &'r mut dyn FnMut(usize) -> Vec<Stored>;

/// Bytes, attributes and key come out as they went in; the receipt names the destination.
pub async fn keeps_bytes_attributes_and_key(destination: &Arc<dyn Destination>, read: Read<'_>) {
    // Neither UTF-8 nor JSON, with a NUL: nobody may interpret it.
    let binary = Bytes::from_static(b"\x00\xff{\"a\": 1.0e1 ,\r\n\"\xc3\x28\"}\x00");
    let events = [
        Sample::new(
            &fresh("plain"),
            r#"{ "zen":  "Keep it\u006cogically awesome." , "n": 1.10 }"#,
        )
        .key("repo-1")
        .with("subject", "grüße, 世界"),
        Sample::new(&fresh("binary"), binary)
            .key("repo-2")
            .with("datacontenttype", "application/octet-stream"),
        Sample::new(&fresh("empty"), "").without("partitionkey"),
        Sample::new(&fresh("large"), vec![b'x'; 300_000]).key("repo-1"),
    ]
    .map(Sample::event);
    for event in &events {
        let receipt = destination.publish(event.clone()).await.expect("a receipt");
        assert_eq!(receipt.destination(), destination.name());
    }
    let mut stored: HashMap<String, Stored> = read(events.len())
        .into_iter()
        .map(|stored| (stored.id().to_owned(), stored))
        .collect();
    for event in &events {
        let found = stored
            .remove(event.id())
            .unwrap_or_else(|| panic!("{} was receipted and is not there", event.id()));
        assert!(found.data == event.data()[..], "{}: other bytes", event.id());
        assert_eq!(found.key.as_deref(), event.key(), "{}", event.id());
        let mut wanted: BTreeMap<String, String> = event
            .attributes()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        wanted.insert("specversion".into(), "1.0".into());
        wanted.insert("datacontenttype".into(), event.content_type().into());
        assert_eq!(found.attributes, wanted, "{}", event.id());
    }
    assert!(stored.is_empty(), "more than was published: {:?}", stored.keys());
}

/// Publishes that overlap keep the order of each key.
pub async fn keeps_the_order_of_each_key(destination: &Arc<dyn Destination>, read: Read<'_>) {
    let prefix = fresh("order");
    let events: Vec<_> = (0..300)
        .map(|n| {
            Sample::new(&format!("{prefix}-{n:04}"), format!("{n}"))
                .key(&format!("key-{}", n % 7))
                .event()
        })
        .collect();
    let receipts = join_all(events.iter().map(|event| destination.publish(event.clone()))).await;
    assert!(
        receipts.iter().all(Result::is_ok),
        "{:?}",
        receipts.iter().find(|r| r.is_err())
    );
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for stored in read(events.len()) {
        by_key
            .entry(stored.key.clone().expect("a key"))
            .or_default()
            .push(stored.id().to_owned());
    }
    assert_eq!(by_key.len(), 7);
    for (key, ids) in by_key {
        assert!(ids.is_sorted(), "{key}: {ids:?}");
    }
}

/// A thousand publishes at once: each has its receipt, each is there once.
pub async fn receipts_each_of_a_thousand_once(destination: &Arc<dyn Destination>, read: Read<'_>) {
    let prefix = fresh("thousand");
    let publishes = (0..1000).map(|n| {
        let (destination, id) = (destination.clone(), format!("{prefix}-{n}"));
        tokio::spawn(async move {
            let event = Sample::new(&id, format!(r#"{{"n":{n}}}"#))
                .key(&format!("key-{}", n % 50))
                .event();
            destination.publish(event).await.map(|_| id)
        })
    });
    let published: BTreeSet<String> = join_all(publishes)
        .await
        .into_iter()
        .map(|done| done.expect("no panic").expect("a receipt"))
        .collect();
    let found: Vec<String> = read(1000).iter().map(|stored| stored.id().to_owned()).collect();
    assert_eq!(found.len(), 1000, "each once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), published);
}
