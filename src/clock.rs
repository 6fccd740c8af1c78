//! Time as a parameter: rooms take a [`Timestamp`]; only the edges ask what time it is.

pub use jiff::Timestamp;

/// The wall clock now. Called at the edges (`http`, `cli`, background tasks), never inside a check.
pub fn now() -> Timestamp {
    Timestamp::now()
}
