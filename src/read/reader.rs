//! Reads a verified delivery by its provider's compiled rules.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::batch::Items;
use super::document::Node;
use super::find::{Rule, View, base64};
use super::form::Form;
use super::pointer::Pointer;
use super::{Document, Found, NotReadable, Part, Parts, ReadOptions, clean, time};
use crate::delivery::RawDelivery;
use crate::provider::definition::{BodyFormat, CipherMode, CipherRule, TimeFormat};
use crate::provider::{Definition, Settings};
use crate::verify::cipher::Cipher;
use crate::verify::{Coverage, VerifiedDelivery, xml};

/// A definition's reading rules, compiled.
///
/// It reads nothing but what was verified, and that cannot be claimed from outside:
///
/// ```compile_fail
/// use hooksluice::{read::{Parts, Reader}, verify::{Coverage, Proof, VerifiedDelivery}, delivery::RawDelivery};
/// fn believe<'d>(reader: &Reader, raw: &'d RawDelivery, proof: Proof, proved: VerifiedDelivery<'d>) -> Parts<'d> {
///     reader.read(VerifiedDelivery { raw, proof }, &Coverage::default())
/// }
/// ```
///
/// ```
/// use hooksluice::{read::{Parts, Reader}, verify::{Coverage, Proof, VerifiedDelivery}, delivery::RawDelivery};
/// fn believe<'d>(reader: &Reader, raw: &'d RawDelivery, proof: Proof, proved: VerifiedDelivery<'d>) -> Parts<'d> {
///     reader.read(proved, &Coverage::default())
/// }
/// ```
#[derive(Debug)]
pub struct Reader {
    format: BodyFormat,
    form_json_field: Option<String>,
    inner: Option<Inner>,
    batch: Option<Batch>,
    kind: Rule,
    contract: Rule,
    id: Rule,
    version: Rule,
    time: Option<(Rule, TimeFormat)>,
    subject: Rule,
    key: Rule,
    wants: Wants,
    json_payload: bool,
}

/// Parsed only where some rule looks there.
#[derive(Debug, Clone, Copy)]
struct Wants {
    query: bool,
    claims: bool,
    inner: bool,
}

#[derive(Debug)]
struct Inner {
    /// As written, to be looked for among what is signed.
    text: String,
    pointer: Pointer,
    base64: bool,
    cipher: Option<Sealed>,
}

/// What is needed to open an inner document.
#[derive(Debug)]
struct Sealed {
    /// `None`: the source gives no key, and nothing is opened.
    cipher: Option<Cipher>,
    nonce: Option<Pointer>,
    associated: Option<Pointer>,
}

impl Sealed {
    fn compile(
        rule: &CipherRule,
        definition: &Definition,
        settings: &Settings,
        problems: &mut Vec<String>,
    ) -> Option<Self> {
        let mut pointer = |text: &Option<String>| {
            let text = text.as_deref()?;
            Pointer::compile(text)
                .map_err(|error| problems.push(format!("body.inner.cipher: {error}")))
                .ok()
        };
        let (nonce, associated) = (pointer(&rule.nonce), pointer(&rule.associated));
        if (rule.mode == CipherMode::Gcm) != nonce.is_some() {
            problems.push("body.inner.cipher: `nonce` is for `gcm`, which needs it".into());
        }
        let cipher = Cipher::compile(definition, settings).map_err(|problem| problems.push(problem));
        Some(Self {
            cipher: cipher.ok()?,
            nonce,
            associated,
        })
    }

    fn open(&self, text: &str, item: &Node<'_>) -> Option<Vec<u8>> {
        let value = |pointer: &Option<Pointer>| pointer.as_ref()?.find(item)?.as_text().map(str::as_bytes);
        let associated = value(&self.associated).unwrap_or_default();
        self.cipher
            .as_ref()?
            .open(text.as_bytes(), value(&self.nonce), associated)
    }
}

#[derive(Debug)]
struct Batch {
    items: Items,
    content_type: Option<String>,
}

/// What an event's bytes were of its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The delivered body.
    Whole,
    /// An element of a batch.
    Element,
    /// A form, mapped to JSON.
    Mapped,
}

/// What the body turned out to be.
struct Body<'d> {
    document: Document<'d>,
    form: Option<Form<'d>>,
    mapped: Option<Bytes>,
    /// The decoded field of a form, where it holds a batch.
    field: Option<Bytes>,
}

impl Reader {
    /// Compiles; every problem at once, each naming the definition's field.
    pub fn compile(definition: &Definition, settings: &Settings, options: ReadOptions) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let rule = &definition.event;
        let mut compile = |name: &str, alternatives: &[_], separator| {
            Rule::compile(name, alternatives, separator, settings, &mut problems)
        };
        let kind = compile("event.type", &rule.kind, ".");
        let contract = compile("event.contract", &rule.contract, ".");
        let id = compile("event.id", &rule.id, ":");
        let version = compile("event.version", &rule.version, ".");
        let subject = compile("event.subject", &rule.subject, "/");
        let key = compile("event.key", &rule.key, ":");
        let time = rule
            .time
            .as_ref()
            .map(|time| (compile("event.time.from", &time.from, ""), time.format));
        let mut rules = vec![&kind, &contract, &id, &version, &subject, &key];
        rules.extend(time.as_ref().map(|(rule, _)| rule));
        let wants = Wants {
            query: rules.iter().any(|rule| rule.looks_into_query()),
            claims: rules.iter().any(|rule| rule.looks_into_claims()),
            inner: rules.iter().any(|rule| rule.looks_into_inner()),
        };
        let inner = definition
            .body
            .inner
            .as_ref()
            .and_then(|inner| match Pointer::compile(&inner.json) {
                Ok(pointer) => Some(Inner {
                    text: inner.json.clone(),
                    pointer,
                    base64: inner.base64,
                    cipher: inner
                        .cipher
                        .as_ref()
                        .and_then(|rule| Sealed::compile(rule, definition, settings, &mut problems)),
                }),
                Err(error) => {
                    problems.push(format!("body.inner.json: {error}"));
                    None
                }
            });
        if wants.inner && definition.body.inner.is_none() {
            problems
                .push("event: a rule looks into the inner document, but body.inner does not say where it is".into());
        }
        let batch = definition.batch.as_ref().filter(|_| !options.whole).and_then(|batch| {
            let items = Items::compile(&batch.items)
                .map_err(|error| problems.push(format!("batch.items: {error}")))
                .ok()?;
            Some(Batch {
                items,
                content_type: batch.content_type.as_ref().map(|text| text.to_ascii_lowercase()),
            })
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            format: definition.body.format,
            form_json_field: definition.body.form_json_field.clone(),
            inner,
            batch,
            kind,
            contract,
            id,
            version,
            time,
            subject,
            key,
            wants,
            json_payload: options.json_payload,
        })
    }

    /// Splits and reads; total: what cannot be read says so in its part, for it must be quarantined, not dropped.
    pub fn read<'d>(&self, delivery: VerifiedDelivery<'d>, coverage: &Coverage) -> Parts<'d> {
        let raw = delivery.raw();
        let content_type = raw.headers.text(&actix_web::http::header::CONTENT_TYPE).map(str::trim);
        let body = match (self.format, &delivery.proof().claims) {
            (BodyFormat::Claims, Some(claims)) => self.claims(claims),
            _ => self.body(raw, content_type),
        };
        let query = if self.wants.query {
            Form::parse(raw.query.as_bytes()).ok()
        } else {
            None
        };
        let claims_text = if self.wants.claims {
            delivery.proof().claims.clone()
        } else {
            None
        };
        let claims = claims_text.as_deref().and_then(|text| Node::parse_text(text).ok());
        let outside = View {
            raw,
            query: query.as_ref(),
            form: body.form.as_ref(),
            body: body.document.node(),
            item: None,
            inner: None,
            inner_signed: self
                .inner
                .as_ref()
                .is_some_and(|inner| coverage.members.contains(&inner.text)),
            claims: claims.as_ref(),
        };

        let batch = self.batch.as_ref().filter(|batch| batch.applies(content_type));
        // Elements are slices of the body, or of the form's field that holds them.
        let whole = match (&body.document, &body.field) {
            (Document::Json(root), _) => Some((root, &raw.body)),
            (Document::Form(root), Some(field)) => Some((root, field)),
            _ => None,
        };
        let (document, mut split) = match (batch, whole) {
            (Some(batch), Some((root, text))) => match self.elements(&batch.items, root, text, &outside, coverage) {
                Ok(elements) => (None, Some((batch, text.clone(), elements))),
                Err(reason) => (Some(Document::Unreadable(reason)), None),
            },
            _ => (None, None),
        };
        let sha256 = hex::encode(Sha256::digest(&raw.body));
        let is_batch = split.is_some();
        let parts = match split.take() {
            Some((batch, text, elements)) => {
                let nodes = match body.document {
                    Document::Json(root) | Document::Form(root) => batch.items.take(root),
                    _ => Vec::new(),
                };
                let parts = elements.into_iter().zip(nodes).map(|((range, found), node)| Part {
                    document: Document::Json(node),
                    data: text.slice(range),
                    mapped: None,
                    content_type: JSON.to_owned(),
                    found,
                });
                parts.collect()
            }
            None => {
                let found = self.found(
                    &View {
                        item: outside.body,
                        ..outside
                    },
                    coverage,
                    None,
                );
                let document = document.unwrap_or(body.document);
                let default = if document.is_json() {
                    JSON
                } else {
                    "application/octet-stream"
                };
                let content_type = match content_type {
                    Some(text) if !text.is_empty() => clean::value(text),
                    _ => default.to_owned(),
                };
                vec![Part {
                    document,
                    data: raw.body.clone(),
                    mapped: body.mapped,
                    content_type,
                    found,
                }]
            }
        };
        Parts {
            delivery,
            parts,
            sha256,
            batch: is_batch,
        }
    }

    /// Reads the bytes of one event again, for a replay. `raw` is what is left of its delivery, with the event's own bytes
    /// as the body. What it finds beside the document is as good as that: a header that nobody kept is missing.
    pub fn again<'d>(&self, raw: &'d RawDelivery, what: Again) -> Part<'d> {
        let content_type = raw.headers.text(&actix_web::http::header::CONTENT_TYPE).map(str::trim);
        let json = || match Node::parse(&raw.body) {
            Ok(node) => Document::Json(node),
            Err(reason) => Document::Unreadable(reason),
        };
        let mut body = match what {
            Again::Whole => self.body(raw, content_type),
            Again::Element | Again::Mapped => Body {
                document: json(),
                form: None,
                field: None,
                mapped: None,
            },
        };
        let batch = self.batch.as_ref().filter(|batch| batch.applies(content_type));
        if what == Again::Whole && batch.is_some() && body.document.is_json() {
            let why = "a batch is split when it is delivered, not when it is replayed";
            body.document = Document::Unreadable(NotReadable::new("not-a-batch", why));
        }
        let node = body.document.node();
        let found = self.found(
            &View {
                raw,
                query: None,
                form: body.form.as_ref(),
                body: node.filter(|_| what != Again::Element),
                item: node,
                inner: None,
                inner_signed: false,
                claims: None,
            },
            &Coverage::default(),
            None,
        );
        Part {
            document: body.document,
            data: raw.body.clone(),
            mapped: None,
            content_type: content_type.unwrap_or_default().to_owned(),
            found,
        }
    }

    fn body<'d>(&self, raw: &'d RawDelivery, content_type: Option<&str>) -> Body<'d> {
        let only = |document| Body {
            document,
            form: None,
            mapped: None,
            field: None,
        };
        let read = match self.format {
            BodyFormat::Opaque => return only(Document::Opaque),
            BodyFormat::Xml => self.xml(&raw.body),
            BodyFormat::Claims => Err(NotReadable::new("not-json", "there is no token to read the claims of")),
            BodyFormat::Json => Node::parse(&raw.body).map(|node| only(Document::Json(node))),
            BodyFormat::Auto | BodyFormat::Form if is(content_type, "multipart/form-data") => {
                let content_type = content_type.unwrap_or_default();
                self.form(&raw.body, |body| Form::multipart(content_type, body))
            }
            BodyFormat::Form => self.form(&raw.body, Form::parse),
            BodyFormat::Auto if is(content_type, "application/x-www-form-urlencoded") => {
                self.form(&raw.body, Form::parse)
            }
            BodyFormat::Auto => Node::parse(&raw.body).map(|node| only(Document::Json(node))),
        };
        read.unwrap_or_else(|reason| only(Document::Unreadable(reason)))
    }

    /// The claims of the token that the body is. They were decoded into a text of their own.
    fn claims<'d>(&self, text: &str) -> Body<'d> {
        let document = match Node::parse_text(text) {
            Ok(node) => Document::Form(node.into_owned()),
            Err(reason) => Document::Unreadable(reason),
        };
        Body {
            document,
            form: None,
            field: None,
            mapped: self.json_payload.then(|| Bytes::copy_from_slice(text.as_bytes())),
        }
    }

    fn form<'d>(
        &self,
        bytes: &'d [u8],
        parse: impl FnOnce(&'d [u8]) -> Result<Form<'d>, NotReadable>,
    ) -> Result<Body<'d>, NotReadable> {
        if bytes.is_empty() {
            return Err(NotReadable::new("empty", "a form without fields"));
        }
        let form = parse(bytes)?;
        let unwrapped = self.form_json_field.as_deref().and_then(|field| form.get(field));
        let mut field = None;
        let (node, mapped) = match unwrapped {
            // The field was decoded into a text of its own, so the document cannot borrow from the body.
            Some(text) => {
                let copied = || Bytes::copy_from_slice(text.as_bytes());
                field = self.batch.is_some().then(copied);
                (Node::parse_text(text)?.into_owned(), self.json_payload.then(copied))
            }
            None => {
                let node = form.clone().into_json()?;
                let mapped = self.json_payload.then(|| serde_json::to_vec(&node)).transpose();
                let mapped = mapped.map_err(|error| NotReadable::new("not-a-form", error.to_string()))?;
                (node, mapped.map(Bytes::from))
            }
        };
        Ok(Body {
            document: Document::Form(node),
            form: Some(form),
            mapped,
            field,
        })
    }

    fn xml<'d>(&self, bytes: &[u8]) -> Result<Body<'d>, NotReadable> {
        let text = xml::document(bytes)
            .map_err(|error| NotReadable::new("not-xml", error))?
            .to_string();
        let node = Node::parse_text(&text)?.into_owned();
        Ok(Body {
            document: Document::Form(node),
            form: None,
            mapped: self.json_payload.then(|| text.into()),
            field: None,
        })
    }

    /// Where each element is and what its rules found, while the tree is still whole.
    fn elements<'v>(
        &self,
        items: &Items,
        root: &'v Node<'v>,
        text: &Bytes,
        outside: &View<'v>,
        coverage: &Coverage,
    ) -> Result<Vec<(std::ops::Range<usize>, Found)>, NotReadable> {
        let nodes = items.nodes(root)?;
        // A parsed body is UTF-8.
        let text = std::str::from_utf8(text).map_err(|_| NotReadable::new("not-utf8", "invalid UTF-8"))?;
        let ranges = items.ranges(text)?;
        if ranges.len() != nodes.len() {
            return Err(NotReadable::new(
                "not-a-batch",
                "the batch's elements could not be told apart",
            ));
        }
        let found = nodes.into_iter().enumerate().map(|(index, node)| {
            self.found(
                &View {
                    item: Some(node),
                    ..*outside
                },
                coverage,
                Some(index),
            )
        });
        Ok(ranges.into_iter().zip(found.collect::<Vec<_>>()).collect())
    }

    fn found(&self, view: &View<'_>, coverage: &Coverage, index: Option<usize>) -> Found {
        let inner_text = if self.wants.inner { self.inner_text(view) } else { None };
        let inner = inner_text.as_deref().and_then(inner_document);
        let view = &View {
            inner: inner.as_ref(),
            ..*view
        };

        let id = self.id.find(view, coverage);
        let value = |rule: &Rule| rule.find(view, coverage).map(|value| clean::value(&value.text));
        Found {
            event: self
                .kind
                .find(view, coverage)
                .and_then(|value| clean::event(&value.text))
                .unwrap_or_else(|| UNKNOWN.to_owned()),
            contract: self
                .contract
                .find(view, coverage)
                .and_then(|value| clean::event(&value.text)),
            id_signed: id.as_ref().is_some_and(|id| id.signed),
            // One id for the whole delivery does not tell its elements apart; with the index it does.
            id: id.map(|id| match index.filter(|_| !id.from_item) {
                Some(index) => clean::id(&format!("{}:{index}", id.text)),
                None => clean::id(&id.text),
            }),
            version: value(&self.version),
            time: self
                .time
                .as_ref()
                .and_then(|(rule, format)| time::parse(&rule.find(view, coverage)?.text, *format)),
            subject: value(&self.subject),
            key: value(&self.key),
        }
    }

    fn inner_text(&self, view: &View<'_>) -> Option<Vec<u8>> {
        let inner = self.inner.as_ref()?;
        let text = inner.pointer.find(view.item?)?.as_text()?;
        match &inner.cipher {
            Some(sealed) => sealed.open(text, view.item?),
            None if inner.base64 => base64(text),
            None => Some(text.as_bytes().to_owned()),
        }
    }
}

/// JSON, or XML mapped to it.
fn inner_document(bytes: &[u8]) -> Option<Node<'_>> {
    if !bytes.trim_ascii_start().starts_with(b"<") {
        return Node::parse(bytes).ok();
    }
    let text = xml::document(bytes).ok()?.to_string();
    Some(Node::parse_text(&text).ok()?.into_owned())
}

/// Event name where the data finds none.
pub const UNKNOWN: &str = "unknown";
const JSON: &str = "application/json";

impl Batch {
    fn applies(&self, content_type: Option<&str>) -> bool {
        self.content_type
            .as_deref()
            .is_none_or(|wanted| is(content_type, wanted))
    }
}

/// Is the content type this one, whatever its parameters?
fn is(content_type: Option<&str>, wanted: &str) -> bool {
    content_type
        .and_then(|text| text.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}
