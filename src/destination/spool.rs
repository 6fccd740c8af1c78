//! A destination with the journal in front of it: what the ack budget leaves undone, the spool takes.
