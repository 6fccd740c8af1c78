//! The embedded store: what it promises about a file on a disk.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hooksluice::destination::journal::{Filter, Journal, JournalError, Reader, Settings, State, Table};
use hooksluice::destination::{Destination, Position, PublishError, Receipt};
use hooksluice::event::Event;
use hooksluice::units::{ByteSize, HumanDuration};
use sha2::{Digest, Sha256};

/// An event as the journal would give it back.
pub fn event(id: &str, kind: &str, key: Option<&str>, data: &[u8]) -> Arc<Event> {
    let sha256 = hex::encode(Sha256::digest(data));
    let mut attributes = serde_json::json!({
        "specversion": "1.0",
        "id": id,
        "source": "/sources/shop",
        "type": kind,
        "time": "2026-01-02T03:04:05Z",
        "datacontenttype": "application/json",
        "provider": "hmac",
        "verification": "hmac-sha256",
        "verificationkey": "1",
        "idsigned": "true",
        "bodysha256": sha256,
        "deliverysha256": sha256,
        "receivedtime": "2026-01-02T03:04:06Z",
        "contract": "none",
    });
    if let Some(key) = key {
        attributes["partitionkey"] = key.into();
    }
    Arc::new(Event::from_stored(&attributes.to_string(), Bytes::copy_from_slice(data), &sha256).expect("an event"))
}

pub fn settings(folder: &Path) -> Settings {
    Settings {
        min_free: ByteSize::bytes(0),
        ..Settings::at(folder.join("journal.db"))
    }
}

fn sequence(receipt: &Receipt) -> i64 {
    match receipt.position() {
        Position::Journal { sequence, .. } => *sequence,
        other => panic!("not in the journal: {other:?}"),
    }
}

async fn store(journal: &Arc<Journal>, id: &str, data: &[u8]) -> Result<Receipt, PublishError> {
    journal
        .events()
        .publish(event(id, "com.example.order", None, data))
        .await
}

#[tokio::test]
async fn gives_back_what_it_receipted_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let journal = Journal::open(&settings).unwrap();
    let body = b"{\"n\": 1.50, \"s\": \"\\u00e9\" }";
    let receipt = store(&journal, "a", body).await.unwrap();
    assert_eq!(&**receipt.destination(), "journal");

    let reader = Reader::open(&settings.path).unwrap();
    let record = reader.show(Table::Events, sequence(&receipt)).unwrap().expect("stored");
    let back = record.event().unwrap();
    assert_eq!(back.id(), "a");
    assert_eq!(&back.data()[..], body);
    assert_eq!(back.source(), "shop");
}
