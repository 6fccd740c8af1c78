//! What tests share.

pub mod brokers;
pub mod destination_contract;
pub mod events;
