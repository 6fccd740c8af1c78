//! Topics and routing keys with placeholders, compiled when the configuration is loaded.
//!
//! `{source}` and `{provider}` come from the configuration; `{type}` comes from a delivery. What is filled in is made
//! safe for the broker and bounded, and a sender cannot invent topics: in a topic, a type without a contract is `other`.

use std::borrow::Cow;

use crate::contract::Violation;
use crate::event::{Attribute, Event};

/// A topic or routing key, cut into its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Source,
    Provider,
    Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Topic,
    RoutingKey,
}

/// Kafka's own limit for the name of a topic.
const TOPIC_MAX: usize = 249;
/// AMQP's limit for a short string.
const ROUTING_KEY_MAX: usize = 255;
const PLACEHOLDERS: [&str; 3] = ["source", "provider", "type"];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{template}`: no placeholder is called `{{{name}}}`; did you mean `{{{nearest}}}`?")]
    Unknown {
        template: String,
        name: String,
        nearest: &'static str,
    },
    #[error("`{0}`: a brace is not closed or not opened; placeholders are {{source}}, {{provider}} and {{type}}")]
    Brace(String),
    #[error("`{0}` is empty")]
    Empty(String),
    #[error("`{template}`: a topic may hold letters, digits, `.`, `_` and `-`, not `{character}`")]
    Character { template: String, character: char },
    #[error("`{template}` is longer than {limit} bytes")]
    Long { template: String, limit: usize },
    #[error("`{0}` is not a name that Kafka takes for a topic")]
    Dots(String),
}

impl Template {
    /// A Kafka topic: letters, digits, `.`, `_`, `-`, at most 249 of them.
    pub fn topic(text: &str) -> Result<Self, TemplateError> {
        let template = Self::compile(text, Kind::Topic)?;
        for part in &template.parts {
            if let Part::Literal(literal) = part
                && let Some(character) = literal.chars().find(|c| !is_safe(*c))
            {
                return Err(TemplateError::Character {
                    template: text.into(),
                    character,
                });
            }
        }
        if text.is_empty() {
            return Err(TemplateError::Empty(text.into()));
        }
        if text == "." || text == ".." {
            return Err(TemplateError::Dots(text.into()));
        }
        Ok(template)
    }

    /// An AMQP routing key: at most 255 bytes, and it may be empty.
    pub fn routing_key(text: &str) -> Result<Self, TemplateError> {
        Self::compile(text, Kind::RoutingKey)
    }

    fn compile(text: &str, kind: Kind) -> Result<Self, TemplateError> {
        let brace = || TemplateError::Brace(text.into());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            if rest.as_bytes()[at] == b'}' {
                return Err(brace());
            }
            if at > 0 {
                parts.push(Part::Literal(rest[..at].into()));
            }
            let (name, after) = rest[at + 1..].split_once('}').ok_or_else(brace)?;
            parts.push(match name {
                "source" => Part::Source,
                "provider" => Part::Provider,
                "type" => Part::Type,
                name if name.contains('{') => return Err(brace()),
                name => {
                    return Err(TemplateError::Unknown {
                        template: text.into(),
                        name: name.into(),
                        nearest: nearest(name),
                    });
                }
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        let literals: usize = parts
            .iter()
            .map(|p| if let Part::Literal(l) = p { l.len() } else { 0 })
            .sum();
        let limit = kind.limit();
        if literals > limit {
            return Err(TemplateError::Long {
                template: text.into(),
                limit,
            });
        }
        Ok(Self { parts, kind })
    }

    /// What the template says for this event. Borrowed, when it has no placeholder.
    pub fn render(&self, event: &Event) -> Cow<'_, str> {
        if let Some(constant) = self.constant() {
            return Cow::Borrowed(constant);
        }
        let kind = match self.kind {
            Kind::Topic if !has_contract(event) => "other",
            _ => event.kind(),
        };
        Cow::Owned(self.fill(event.source(), event.provider(), kind))
    }

    /// What the template says for every event of a source; `None` when that depends on the event's type.
    pub fn render_for(&self, source: &str, provider: &str) -> Option<String> {
        if self.parts.contains(&Part::Type) {
            return None;
        }
        Some(self.fill(source, provider, ""))
    }

    /// The text itself, when there is no placeholder in it.
    pub fn constant(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Literal(literal)] => Some(literal),
            _ => None,
        }
    }

    fn fill(&self, source: &str, provider: &str, kind: &str) -> String {
        let mut text = String::with_capacity(64);
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Source => push_safe(&mut text, source),
                Part::Provider => push_safe(&mut text, provider),
                Part::Type => push_safe(&mut text, kind),
            }
        }
        let mut end = text.len().min(self.kind.limit());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        if self.kind == Kind::Topic && (text.is_empty() || text == "." || text == "..") {
            return "other".into();
        }
        text
    }
}

impl Kind {
    fn limit(self) -> usize {
        match self {
            Self::Topic => TOPIC_MAX,
            Self::RoutingKey => ROUTING_KEY_MAX,
        }
    }
}

/// Is the type one of the contracts' own? Else (without a contract, switched off, or not even read) the sender chose it.
fn has_contract(event: &Event) -> bool {
    match event.get(Attribute::Contract) {
        Some("passed") => true,
        // What could not be read broke no contract of its type: a quarantined event names the one that it broke, a
        // shadowed one was read.
        Some("violated") => match event.get(Attribute::Violations) {
            Some(violations) => names_a_contract(violations),
            None => {
                let forms = ["application/x-www-form-urlencoded", "multipart/form-data"];
                event.is_json() || forms.iter().any(|form| event.content_type().starts_with(form))
            }
        },
        _ => false,
    }
}

fn names_a_contract(violations: &str) -> bool {
    let violations: Vec<Violation> = serde_json::from_str(violations).unwrap_or_default();
    violations.iter().any(|violation| violation.schema.starts_with("urn:"))
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Everything else becomes `_`: a space, a slash, and the characters that bindings give a meaning (`*`, `#`).
fn push_safe(text: &mut String, value: &str) {
    text.extend(value.chars().map(|c| if is_safe(c) { c } else { '_' }));
}

fn nearest(name: &str) -> &'static str {
    let distance = |candidate: &&&str| strsim::osa_distance(&name.to_lowercase(), candidate);
    PLACEHOLDERS.iter().min_by_key(distance).copied().unwrap_or("type")
}
