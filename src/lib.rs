//! hooksluice: the gate between webhooks and your streams.
//!
//! A delivery walks one straight line, one door a room, and turns back once, with its receipt:
//!
//! ```text
//! bytes ── http::ingress ──► RawDelivery        what arrived; nothing believed
//!       ── verify ─────────► VerifiedDelivery   who sent it, with which key, how fresh
//!       ── read ───────────► Parts              one parse: the body, or a batch's elements
//!       ── contract ───────► CheckedDelivery    each part with the schema version it met
//!       ── event ──────────► Event, one a part  CloudEvents attributes and the sender's bytes
//!       ── destination ────► Receipt, one each  a broker's position or a journal's sequence
//!       ── http::response ─► 2xx                made only from the receipts of all parts
//! ```
//!
//! The rooms below are in the order in which they may know each other: a room imports only from
//! rooms above it. `tests/gateway/rooms.rs` reads the imports and holds the order.
#![forbid(unsafe_code)]

pub mod clock;
pub mod rate;
pub mod secret;
pub mod telemetry;
pub mod units;

pub mod delivery;
pub mod provider;

pub mod keys;
pub mod verify;

pub mod handshake;
pub mod read;

pub mod contract;
pub mod event;

pub mod lint;

pub mod explain;

pub mod destination;
pub mod duplicates;

pub mod pipeline;
pub mod replay;

pub mod config;
pub mod http;
pub mod serve;

pub mod cli;
