//! Twins in flight, and what was already made durable.
