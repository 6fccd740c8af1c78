//! Signatures that say themselves by what and over what they are: a detached token, HTTP signatures.
//!
//! What they say is held to the data first, then the signature to what they say, and only then is any of it believed.

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::keys::Keyring;

use super::check::{Alternative, Held};
use super::find::{Malformed, Scope, View, claim_text};
use super::jwt::{self, Alg};
use super::method::Method;
use super::plan::INPUT;
use super::{Proof, VerifyError, candidates, digests, http_signature};

/// What a delivery says of one signature of its own. Nothing of it is believed before it holds.
pub(crate) struct Said {
    /// Those of the platform's that come into question.
    algorithms: Vec<Alg>,
    /// The protected header, or the parameters.
    parameters: Map<String, Value>,
    signature: Vec<u8>,
    over: Over,
}

/// What it is over.
enum Over {
    Payload { protected: Vec<u8>, unencoded: bool },
    Components(http_signature::Said),
}

impl Alternative {
    /// What the delivery says of its signatures, where the scheme has them say it.
    pub fn said(&self, view: &View<'_>, value: &[u8]) -> Result<Option<Vec<Said>>, VerifyError> {
        match &self.plan.method {
            Method::Jws { rules, unencoded } => {
                if value.len() > candidates::LONGEST {
                    return Err(VerifyError::Malformed("the token is too long".into()));
                }
                let detached = rules.open_detached(value, *unencoded)?;
                Ok(Some(vec![Said {
                    algorithms: vec![detached.alg],
                    parameters: detached.header,
                    signature: detached.signature,
                    over: Over::Payload {
                        protected: detached.protected.to_vec(),
                        unencoded: *unencoded,
                    },
                }]))
            }
            Method::Http { form, rules, required } => {
                let input = view
                    .raw
                    .headers
                    .single(&INPUT)
                    .map_err(|_| Malformed("header `signature-input` is doubled".into()))?;
                let all = http_signature::Said::all(*form, value, input)?;
                let mut fit = Vec::new();
                let mut lacking = None;
                for said in all {
                    if let Some(component) = said.lacking(required).next() {
                        lacking = Some(format!(
                            "the signature does not cover `{}`, which it must",
                            component.name(*form)
                        ));
                        continue;
                    }
                    let algorithms = match said.algorithm() {
                        None => rules.algorithms.clone(),
                        Some(name) => rules.named(name).into_iter().collect(),
                    };
                    if algorithms.is_empty() {
                        lacking = Some("the signature is by another algorithm than the platform's".into());
                        continue;
                    }
                    fit.push(Said {
                        algorithms,
                        parameters: said.parameters.clone(),
                        signature: said.signature.clone(),
                        over: Over::Components(said),
                    });
                }
                match lacking {
                    Some(lacking) if fit.is_empty() => Err(VerifyError::Malformed(lacking)),
                    _ => Ok(Some(fit)),
                }
            }
            _ => Ok(None),
        }
    }

    /// The first that holds is the one; else the last says why none does, unless one could not be checked for want of
    /// keys: it may be genuine, and must come again.
    pub async fn check_said(
        &self,
        view: &View<'_>,
        all: &[Said],
        now: Timestamp,
        keyring: &Keyring,
    ) -> Result<(Proof, Option<Map<String, Value>>), VerifyError> {
        let mut outcome = Err(VerifyError::Mismatch);
        for said in all {
            let new = self.check_one(view, said, now, keyring).await;
            if new.is_ok() {
                return new;
            }
            if !matches!(outcome, Err(VerifyError::KeysUnavailable(_))) {
                outcome = new;
            }
        }
        outcome
    }

    async fn check_one(
        &self,
        view: &View<'_>,
        said: &Said,
        now: Timestamp,
        keyring: &Keyring,
    ) -> Result<(Proof, Option<Map<String, Value>>), VerifyError> {
        let texts: Vec<(&String, Vec<u8>)> = said
            .parameters
            .iter()
            .filter_map(|(name, value)| Some((name, claim_text(value)?)))
            .collect();
        let fields: Vec<(&[u8], &[u8])> = texts.iter().map(|(name, text)| (name.as_bytes(), &text[..])).collect();
        let mut scope = Scope {
            fields: &fields,
            ..Scope::default()
        };
        let text = self.signed_time_text(view, &scope)?;
        scope.timestamp = text.as_deref();
        let signed = match &said.over {
            Over::Payload { protected, unencoded } => {
                let payload = self.plan.content.whole(view, &scope)?;
                jwt::detached_part(protected, &payload, *unencoded)
            }
            Over::Components(said) => said.base(view)?,
        };
        let kid = match &said.over {
            Over::Payload { .. } => said.parameters.get("kid").and_then(Value::as_str),
            Over::Components(said) => said.key_id(),
        };
        let key = self
            .key_of(&said.algorithms, kid, &signed, &said.signature, now, keyring)
            .await?;
        if let Over::Components(said) = &said.over {
            digests::check_digests(view, &said.components)?;
            said.check_times(now)?;
        }
        if let Some(rules) = self.plan.method.rules() {
            rules.check(&said.parameters)?;
        }
        let (mut proof, claims) = self.judge(view, scope, Held::by(&key), now)?;
        if let Over::Components(said) = &said.over {
            proof.coverage = self.plan.coverage_of(&said.components);
        }
        Ok((proof, claims))
    }
}
