//! The straight line through the rooms.
