//! Logs, traces, and the definitions of metrics.
