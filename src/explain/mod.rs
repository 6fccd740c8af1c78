//! Why a captured delivery does or does not verify: which step fails, what was expected, and the likely cause.
//!
//! Causes are not guessed at, they are tried: the real verifier is asked whether the delivery would hold with the body, the
//! secret or the URL as they probably were before something on the way changed them.
//!
//! Promises: no secret is shown, nor a signature whole, nor one that would be right.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `capture`, `curl` | the request, out of what people have at hand |
//! | `steps` | what was expected, and what was found |
//! | `causes` | what is tried, and what it means when it holds |
//! | `bodies`, `keys`, `urls` | the forms that a body, a secret and a URL may have had |

use serde::Serialize;

use crate::clock::Timestamp;
use crate::keys::Keyring;
use crate::provider::{Definition, Settings};
use crate::secret::NamedSecret;

mod bodies;
mod capture;
mod causes;
mod curl;
mod keys;
mod steps;
mod urls;

pub use capture::{Capture, CaptureError, read};
pub use causes::explain;

/// The source that should have taken the delivery.
#[derive(Debug)]
pub struct Subject {
    /// The provider's name.
    pub provider: String,
    pub definition: Definition,
    pub settings: Settings,
    pub secrets: Vec<NamedSecret>,
    /// The source's pin.
    pub signature: Option<String>,
    /// The URL that the platform is believed to call.
    pub public_url: Option<String>,
    /// Secrets of other sources of the same provider, each with the name of its source.
    pub others: Vec<(String, NamedSecret)>,
    pub keyring: std::sync::Arc<Keyring>,
}

/// What was found out.
#[derive(Debug, Serialize)]
pub struct Report {
    pub verifies: bool,
    /// Reason as in the metric `hooksluice_verify_failures_total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    pub steps: Vec<Step>,
    /// The likeliest first. Empty with `verifies: false`: none of what was tried holds.
    pub causes: Vec<Cause>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Step {
    /// `None`: to be known, and no judgement.
    pub ok: Option<bool>,
    pub step: &'static str,
    pub text: String,
}

/// Why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Tried, and with it the delivery verifies. Otherwise it only fits what was seen.
    pub proved: bool,
    pub cause: String,
    pub remedy: String,
}

/// When the delivery arrived, as far as that is known.
#[derive(Debug, Clone, Copy)]
pub enum Arrival {
    At(Timestamp),
    /// The capture does not say: judged as of now.
    Unknown(Timestamp),
}

impl Arrival {
    pub fn time(self) -> Timestamp {
        match self {
            Self::At(time) | Self::Unknown(time) => time,
        }
    }
}
