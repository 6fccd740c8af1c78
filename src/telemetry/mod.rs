//! Logs and the definitions of metrics. Nothing here ever sees a body, a secret or a signature.

pub mod logs;
pub mod metrics;
pub mod recent;

pub use metrics::{Account, Limit, Metrics, Outcome, SourceMetrics};
