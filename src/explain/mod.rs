//! Why a captured delivery is not believed: which step fails, what was expected, and the likely cause.
//!
//! Causes are not guessed from the look of things: each known mistake is undone, one at a time, and what comes out is
//! given to the same verifier that the gateway uses. The one with which the signature holds is the cause, and is said to
//! be proved. Only where none does, what speaks for a cause is said, as such.
//!
//! Promises: no secret, no header's value and no expected signature is ever said; nothing is fetched but the keys that
//! the platform publishes, as the gateway itself would.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `capture` | a delivery out of a curl command, a trace, a HAR, raw HTTP or JSON |
//! | `trial` | a changed delivery, judged by the real verifier |
//! | `body`, `json` | what happens to bodies on their way |
//! | `secrets` | the forms in which one secret is written, and the wrong ones |
//! | `headers`, `url` | what proxies do |
//! | `scheme` | another algorithm, another alternative, another platform |
//! | `expected` | what a definition expects, in words |
//! | `evidence` | what speaks for a cause that no trial proves |

use std::sync::Arc;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::delivery::RawDelivery;
use crate::handshake::Handshakes;
use crate::keys::Keyring;
use crate::provider::{Catalogue, Definition, Settings};
use crate::secret::NamedSecret;
use crate::verify::VerifyError;
use crate::verify::covers::{Covers, covers};

mod body;
pub mod capture;
mod evidence;
mod expected;
mod headers;
mod json;
mod scheme;
mod secrets;
mod trial;
mod url;

use trial::Bench;

/// A delivery, and the source that it is held against.
#[derive(Debug)]
pub struct Case<'c> {
    pub catalogue: &'c Catalogue,
    pub provider: &'c str,
    pub definition: Definition,
    pub settings: Settings,
    pub secrets: Vec<NamedSecret>,
    /// The source's pin.
    pub signature: Option<String>,
    /// Secrets of other sources, named after them.
    pub others: Vec<NamedSecret>,
    pub keyring: Arc<Keyring>,
    pub raw: RawDelivery,
    /// When it arrived, or what is taken for it.
    pub at: Timestamp,
    /// That moment was recorded or given; else it is now.
    pub at_is_known: bool,
    /// What was seen while the capture was read.
    pub notes: Vec<capture::Note>,
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub verifies: bool,
    pub provider: String,
    /// How it was verified, or what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The step that fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What the verifier says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    pub expected: String,
    pub causes: Vec<Cause>,
}

/// In the order of judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Secret or settings are not what the provider needs.
    Configuration,
    /// The signature is missing or not of the form.
    Shape,
    /// Keys of the platform could not be had, or are none of that name.
    Keys,
    Signature,
    Digest,
    Token,
    Timestamp,
    /// Genuine, and somebody else's.
    Binding,
}

/// One likely cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    pub mistake: Mistake,
    /// Undone, the signature holds. Else it is only likely.
    pub proved: bool,
    pub says: String,
    pub remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mistake {
    BodyReserialised,
    BodyNewline,
    BodyLineBreaks,
    BodyCharset,
    BodyEncoded,
    BodyLength,
    FormReserialised,
    SecretForm,
    SecretOfAnotherSource,
    SecretOfTestMode,
    SecretWrong,
    Clock,
    OldCapture,
    Url,
    Method,
    ContentType,
    HeaderMissing,
    HeaderRenamed,
    HeaderFolded,
    HeaderDoubled,
    HeaderChanged,
    AnotherProvider,
    AnotherAlternative,
    Algorithm,
    /// What must be signed is not.
    NotCovered,
    Binding,
    Claims,
    Keys,
    LossyCapture,
}

impl Case<'_> {
    /// What the source's signatures look at, in this delivery.
    fn covers(&self) -> Vec<Covers> {
        covers(&self.definition, &self.settings, self.signature.as_deref(), &self.raw)
    }
}

impl Cause {
    fn proved(mistake: Mistake, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            mistake,
            proved: true,
            says: says.into(),
            remedy: remedy.into(),
        }
    }

    fn likely(mistake: Mistake, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            proved: false,
            ..Self::proved(mistake, says, remedy)
        }
    }
}

impl Step {
    fn of(error: &VerifyError) -> Self {
        match error {
            VerifyError::Missing(_) | VerifyError::Malformed(_) => Self::Shape,
            VerifyError::KeysUnavailable(_) | VerifyError::UnknownKey(_) => Self::Keys,
            VerifyError::Mismatch => Self::Signature,
            VerifyError::Digest(_) => Self::Digest,
            VerifyError::Token(_) => Self::Token,
            VerifyError::Timestamp | VerifyError::Stale(_) | VerifyError::Future(_) => Self::Timestamp,
            VerifyError::Foreign(_) => Self::Binding,
        }
    }
}

/// Judges the delivery, and where it is refused, looks for the cause.
pub async fn explain(case: &Case<'_>) -> Report {
    let expected = expected::of(case);
    let report = |verifies, proof, step, found, causes| Report {
        verifies,
        provider: case.provider.to_owned(),
        proof,
        step,
        found,
        expected: expected.clone(),
        causes,
    };
    let handshakes = Handshakes::compile(&case.definition, &case.secrets, &case.settings);
    if let Ok(handshakes) = &handshakes
        && let Some(Ok(_)) = handshakes.before_verification(&case.raw)
    {
        let proof = "it is a challenge, and is answered without a signature".to_owned();
        return report(true, Some(proof), None, Vec::new(), Vec::new());
    }
    let bench = match Bench::of(case) {
        Ok(bench) => bench,
        Err(problems) => {
            let causes = secrets::unusable(case).await;
            return report(false, None, Some(Step::Configuration), problems, causes);
        }
    };
    match bench.judge(&case.raw, case.at).await {
        Ok(held) => report(true, Some(held.to_string()), None, Vec::new(), Vec::new()),
        Err(error) => {
            let mut causes = causes(case, &bench, &error).await;
            causes.dedup();
            report(false, None, Some(Step::of(&error)), vec![error.to_string()], causes)
        }
    }
}

async fn causes(case: &Case<'_>, bench: &Bench, error: &VerifyError) -> Vec<Cause> {
    // A token by another algorithm is refused before its signature is looked at.
    if matches!(error, VerifyError::Token(_))
        && let Some((cause, _)) = scheme::algorithms(case, &case.raw).await
    {
        return vec![cause];
    }
    if let Some(cause) = expected::after_the_signature(case, error) {
        return vec![cause];
    }
    if matches!(error, VerifyError::Malformed(_))
        && let Some(cause) = scheme::uncovered(case).await
    {
        return vec![cause];
    }
    let mut found = search(case, bench, error).await;
    if !found.iter().any(|cause| cause.proved) {
        found.extend(evidence::look(case, error));
    }
    found
}

/// Undoes one mistake after the other, the commonest first, until the signature holds.
async fn search(case: &Case<'_>, bench: &Bench, error: &VerifyError) -> Vec<Cause> {
    let mut found = Vec::new();
    // Where the signature is not even found, the rest is tried on the delivery with its headers mended.
    let mut raw = case.raw.clone();
    if let Some((mended, cause, holds)) = headers::mend(case, bench, error).await {
        found.push(cause);
        raw = mended;
        if holds {
            found.extend(beyond(case, bench, &raw).await);
            return found;
        }
    }
    let mut then = |cause: Cause, bench: Bench, raw: RawDelivery| {
        found.push(cause);
        (bench, raw)
    };
    let (bench, raw) = if let Some((cause, raw)) = body::simple(bench, &raw, case.at).await {
        then(cause, bench.clone(), raw)
    } else if let Some((cause, other)) = secrets::forms(case, &raw).await {
        then(cause, other, raw)
    } else if let Some((cause, other)) = secrets::others(case, &raw).await {
        then(cause, other, raw)
    } else if let Some((cause, raw)) = url::search(case, bench, &raw).await {
        then(cause, bench.clone(), raw)
    } else if let Some((cause, other)) = scheme::alternatives(case, &raw).await {
        then(cause, other, raw)
    } else if let Some((cause, raw)) = body::reserialised(case, bench, &raw).await {
        then(cause, bench.clone(), raw)
    } else if let Some((cause, other)) = scheme::algorithms(case, &raw).await {
        then(cause, other, raw)
    } else if let Some((causes, other, raw)) = secrets::and_body(case, &raw).await {
        found.extend(causes);
        (other, raw)
    } else {
        found.extend(scheme::providers(case, &raw, error).await);
        return found;
    };
    found.extend(beyond(case, &bench, &raw).await);
    found
}

/// What is refused of a delivery of which the signature holds by now.
async fn beyond(case: &Case<'_>, bench: &Bench, raw: &RawDelivery) -> Option<Cause> {
    let error = bench.judge(raw, case.at).await.err()?;
    expected::after_the_signature(case, &error)
}
