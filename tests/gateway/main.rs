//! One test binary; a file a room, and the promises that cross rooms.

mod bad_input;
mod cli;
mod config;
mod consumers;
mod contract;
mod duplicates;
mod event;
mod flagships;
mod github_examples;
mod handshake;
mod http;
mod journal;
mod kafka;
mod keys;
mod lint;
mod metrics;
mod oracles;
mod providers;
mod rabbitmq;
mod read;
mod rooms;
mod samples;
mod serve;
mod spool;
mod support;
mod verify;
