//! Reads a body within its limits: size, deadline, a least rate, and what all bodies together may hold.

use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::web::{BytesMut, Payload};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::capacity::{Cap, Taken};

/// How long a body may arrive at less than the least rate, at its start.
const GRACE: Duration = Duration::from_secs(2);

/// No buffer is made larger than this on a sender's word alone.
const MOST_RESERVED: usize = 64 * 1024;

/// Memory is taken in such steps, each before its bytes are read: who announces much and sends nothing takes one.
const STEP: usize = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("body came too slowly")]
    TooSlow,
    #[error("no memory for this body beside those in hand")]
    NoRoom,
    #[error("body was cut off: {0}")]
    CutOff(PayloadError),
}

pub struct BodyLimits {
    pub bytes: usize,
    pub timeout: Duration,
    /// Bytes a second; 0: any.
    pub min_rate: u64,
    /// Bytes of all bodies in hand.
    pub memory: Cap,
}

/// A body that comes in one piece is passed on as it is; otherwise the pieces are joined once.
/// What it holds in memory is taken in `held`.
pub async fn read(
    payload: &mut Payload,
    declared: Option<usize>,
    limits: &BodyLimits,
    held: &mut Taken,
) -> Result<Bytes, BodyError> {
    if declared.is_some_and(|length| length > limits.bytes) {
        return Err(BodyError::TooLarge(limits.bytes));
    }
    if !held.could_take_in_steps(declared.unwrap_or(0), STEP, limits.memory) {
        return Err(BodyError::NoRoom);
    }
    let most = declared.unwrap_or(limits.bytes);
    make_room(held, 0, most, limits.memory)?;
    let started = Instant::now();
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    loop {
        let received = first.as_ref().map_or(joined.len(), Bytes::len);
        let due = started
            + match limits.min_rate {
                0 => limits.timeout,
                rate => limits
                    .timeout
                    .min(GRACE + Duration::from_secs_f64(received as f64 / rate as f64)),
            };
        let chunk = match timeout_at(due, payload.next()).await {
            Err(_) => return Err(BodyError::TooSlow),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(BodyError::CutOff(error)),
            Ok(Some(Ok(chunk))) => chunk,
        };
        if received + chunk.len() > limits.bytes {
            return Err(BodyError::TooLarge(limits.bytes));
        }
        make_room(held, received + chunk.len(), most, limits.memory)?;
        match first.take() {
            None if joined.is_empty() => first = Some(chunk),
            None => joined.extend_from_slice(&chunk),
            Some(piece) => {
                joined.reserve(
                    declared
                        .unwrap_or(0)
                        .clamp(piece.len() + chunk.len(), MOST_RESERVED.max(piece.len() + chunk.len())),
                );
                joined.extend_from_slice(&piece);
                joined.extend_from_slice(&chunk);
            }
        }
    }
    Ok(first.unwrap_or_else(|| joined.freeze()))
}

/// For what was received, and a step ahead.
fn make_room(held: &mut Taken, received: usize, most: usize, memory: Cap) -> Result<(), BodyError> {
    let wanted = received.max(((received / STEP + 1) * STEP).min(most));
    match wanted.saturating_sub(held.amount()) {
        0 => Ok(()),
        more if held.take(more, memory) => Ok(()),
        _ => Err(BodyError::NoRoom),
    }
}
