//! Answers challenges. The provider's data says what each must prove first.
//!
//! An answer is bounded, never HTML, and never more than an echo of what was proved: a challenge is at most
//! [`LONGEST_ECHO`] bytes, and printable ASCII unless it stands inside JSON.
//!
//! A challenge may be encrypted (Lark): it is opened before it is proved, and tells nothing unless the token in it is ours.
//! Whatever else is wrong with it, it is no challenge, and fails as any delivery without a signature does.

mod capture;
mod reply;

use actix_web::http::Method;
use subtle::ConstantTimeEq;

use crate::delivery::RawDelivery;
use crate::keys::{Hosts, Target};
use crate::provider::definition::{self, Prove};
use crate::provider::{Definition, Settings};
use crate::secret::{NamedSecret, Secret};
use crate::verify::VerifiedDelivery;
use crate::verify::cipher::Cipher;
use crate::verify::find::{Allowed, Condition, Finder, Scope, View};
use crate::verify::pointers::Pointers;
use crate::verify::problems::Problems;

pub use capture::{Capture, CaptureError, MOST_CAPTURED, MOST_OF_ONE};
use reply::{Keys, Template};
pub use reply::{LONGEST_ECHO, Reply};

/// A challenge is small. A larger body is an event, and is not parsed once more to find that out.
const LARGEST_CHALLENGE: usize = 16 * 1024;

/// The handshakes of one source, compiled.
#[derive(Debug)]
pub struct Handshakes {
    all: Vec<Challenge>,
    methods: Vec<Method>,
    pointers: Pointers,
    keys: Keys,
    cipher: Option<Cipher>,
    /// The source has no secret, and waits to be told it.
    capturing: bool,
}

#[derive(Debug)]
struct Challenge {
    name: String,
    method: Method,
    when: Vec<Condition>,
    proof: Proof,
    template: Template,
    /// For a token that is not ours.
    refusal: Option<u16>,
    confirm: Option<(Finder, Hosts)>,
    capture: Option<Finder>,
}

#[derive(Debug)]
enum Proof {
    Signature,
    /// Where the token is, and the values that will do. Compared in constant time.
    Token(Finder, Vec<Secret>),
    Nothing,
}

/// Why a challenge is not answered as it asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("token of the challenge is not one that the source's settings list")]
    Token,
    /// The same, and the platform wants to hear this status.
    #[error("token of the challenge is not one that the source's settings list (answered {0}, as the platform asks)")]
    Refused(u16),
    #[error("challenge is malformed: {0}")]
    Malformed(String),
    #[error("confirmation URL is not allowed: {0}")]
    Url(String),
}

impl Handshakes {
    /// Compiles; every problem at once, each naming the handshake.
    pub fn compile(definition: &Definition, secrets: &[NamedSecret], settings: &Settings) -> Result<Self, Vec<String>> {
        let mut found = Vec::new();
        let mut pointers = Pointers::of(definition);
        let mut all = Vec::new();
        for rule in &definition.handshake {
            let mut problems = Problems::new(&mut found, format!("handshake `{}`", rule.name));
            all.extend(Challenge::compile(rule, settings, &mut pointers, &mut problems));
        }
        let cipher = Cipher::compile(definition, settings).unwrap_or_else(|problem| {
            found.push(problem);
            None
        });
        if !found.is_empty() {
            return Err(found);
        }
        let mut methods: Vec<Method> = Vec::new();
        for challenge in &all {
            if !methods.contains(&challenge.method) {
                methods.push(challenge.method.clone());
            }
        }
        Ok(Self {
            all,
            methods,
            pointers,
            keys: Keys::new(definition, secrets),
            cipher,
            capturing: false,
        })
    }

    /// Takes part in challenges that tell the source its secret.
    pub fn capturing(self) -> Self {
        Self {
            capturing: true,
            ..self
        }
    }

    /// HTTP methods that a handshake uses.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Challenges that prove themselves by a token or not at all: asked before verification. `None`: this delivery is no
    /// such challenge.
    pub fn before_verification(&self, raw: &RawDelivery) -> Option<Result<Reply, HandshakeError>> {
        self.answer(raw, None, |proof| !matches!(proof, Proof::Signature))
    }

    /// Challenges that are signed like any delivery.
    pub fn after_verification(&self, delivery: &VerifiedDelivery<'_>) -> Option<Result<Reply, HandshakeError>> {
        let key = delivery.proof().key.as_deref();
        self.answer(delivery.raw(), key, |proof| matches!(proof, Proof::Signature))
    }

    fn answer(
        &self,
        raw: &RawDelivery,
        key: Option<&str>,
        takes: impl Fn(&Proof) -> bool,
    ) -> Option<Result<Reply, HandshakeError>> {
        if raw.body.len() > LARGEST_CHALLENGE {
            return None;
        }
        let view = View::opened_with(raw, &self.pointers, self.cipher.as_ref());
        let asked = self
            .all
            .iter()
            .filter(|challenge| challenge.method == raw.method && takes(&challenge.proof))
            .filter(|challenge| challenge.capture.is_none() || self.capturing);
        // What cannot be looked at as the data says is no challenge; as a delivery it is judged for itself.
        let challenge = asked.into_iter().find(|challenge| {
            challenge
                .when
                .iter()
                .all(|condition| matches!(condition.holds(&view), Ok(true)))
        })?;
        Some(challenge.answer(&view, &self.keys, key))
    }
}

impl Challenge {
    fn compile(
        rule: &definition::Handshake,
        settings: &Settings,
        pointers: &mut Pointers,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let method = rule.method.as_deref().unwrap_or("POST");
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            return problems.none(format!("`{method}` is no HTTP method"));
        };
        let when: Option<Vec<_>> = rule
            .when
            .iter()
            .map(|when| Condition::compile(when, settings, pointers, problems))
            .collect();
        if rule.when.is_empty() && method == Method::POST {
            return problems.none("would take every delivery for a challenge; say what it looks like under `when`");
        }
        let proof = match (rule.prove, &rule.token) {
            (Prove::Signature, None) => Proof::Signature,
            (Prove::Nothing, None) => Proof::Nothing,
            (Prove::Token, Some(token)) => {
                let find = Finder::compile(&token.find, Allowed::default(), settings, pointers, problems)?;
                let texts = settings.texts(&token.setting).iter();
                let mut values: Vec<Secret> = texts.map(|text| Secret::new(text.as_str())).collect();
                values.extend(settings.credential(&token.setting).cloned());
                // An empty one would be what everybody has who sends none.
                values.retain(|value| !value.expose().is_empty());
                Proof::Token(find, values)
            }
            _ => return problems.none("`token` goes with `prove = \"token\"`, and only with it"),
        };
        if rule.refusal.is_some_and(|status| !(400..500).contains(&status)) {
            return problems.none("`refusal` is the sender's fault: a status of 400 to 499");
        }
        let template = Template::compile(&rule.reply, settings, pointers, problems)?;
        let confirm = match &rule.confirm {
            // Else anybody could have us call out.
            Some(_) if rule.prove != Prove::Signature => {
                return problems.none("only a signed challenge may name a URL to be fetched");
            }
            Some(confirm) => {
                let find = Finder::compile(&confirm.url, Allowed::default(), settings, pointers, problems)?;
                Some((find, Hosts::new(&confirm.hosts, None)))
            }
            None => None,
        };
        let capture = match &rule.capture {
            Some(_) if rule.prove != Prove::Nothing => {
                return problems.none("what tells the secret can prove nothing yet; say `prove = \"nothing\"`");
            }
            Some(find) => Some(Finder::compile(find, Allowed::default(), settings, pointers, problems)?),
            None => None,
        };
        Some(Self {
            name: rule.name.clone(),
            method,
            when: when?,
            proof,
            template,
            refusal: rule.refusal,
            confirm,
            capture,
        })
    }

    fn answer(&self, view: &View<'_>, keys: &Keys, key: Option<&str>) -> Result<Reply, HandshakeError> {
        let malformed = |error: crate::verify::find::Malformed| HandshakeError::Malformed(error.0);
        if let Proof::Token(find, values) = &self.proof {
            let given = find
                .get(view, &Scope::default())
                .map_err(malformed)?
                .unwrap_or_default();
            let same = values.iter().fold(subtle::Choice::from(0), |same, value| {
                same | value.expose().ct_eq(&given)
            });
            if !bool::from(same) {
                return Err(self.refusal.map_or(HandshakeError::Token, HandshakeError::Refused));
            }
        }
        let mut reply = self.template.fill(&self.name, view, keys, key)?;
        if let Some((find, hosts)) = &self.confirm {
            let url = find.get(view, &Scope::default()).map_err(malformed)?;
            let url = url.as_deref().and_then(|url| std::str::from_utf8(url).ok());
            let url = url.ok_or_else(|| HandshakeError::Malformed(format!("{find} is missing")))?;
            let target: Target = hosts
                .check(url)
                .map_err(|error| HandshakeError::Url(error.to_string()))?;
            reply.confirm = Some(target);
        }
        if let Some(find) = &self.capture {
            let told = find
                .get(view, &Scope::default())
                .map_err(malformed)?
                .unwrap_or_default();
            if told.is_empty() || told.len() > LONGEST_ECHO || !told.iter().all(u8::is_ascii_graphic) {
                return Err(HandshakeError::Malformed(format!(
                    "{find} is no secret of printable ASCII"
                )));
            }
            reply.captured = Some(Secret::new(told.into_owned()));
        }
        Ok(reply)
    }
}
