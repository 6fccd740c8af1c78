//! `Find` rules of a definition, compiled: names parsed, pointers taken apart, settings filled in.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use md5::Md5;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::document::{Node, Number};
use super::form::Form;
use super::pointer::Pointer;
use crate::delivery::{HeaderName, RawDelivery};
use crate::provider::Settings;
use crate::provider::definition::{self, Transform};
use crate::verify::Coverage;

/// All that a rule may look into.
pub struct View<'v> {
    pub raw: &'v RawDelivery,
    pub query: Option<&'v Form<'v>>,
    pub form: Option<&'v Form<'v>>,
    pub body: Option<&'v Node<'v>>,
    /// The element of a batch, or the body.
    pub item: Option<&'v Node<'v>>,
    pub inner: Option<&'v Node<'v>>,
    /// The signature covers where the inner document stands, though not the whole body.
    pub inner_signed: bool,
    pub claims: Option<&'v Node<'v>>,
}

#[derive(Debug)]
enum Place {
    Header(HeaderName),
    Query(Box<str>),
    Form(Box<str>),
    Json(Pointer),
    Item(Pointer),
    Inner(Pointer),
    Claim(Pointer),
    Fixed(Box<str>),
    /// A setting that the source does not give.
    Never,
}

#[derive(Debug)]
struct Find {
    place: Place,
    prefix: Option<Box<str>>,
    transform: Option<Transform>,
    /// Empty: every value stands for itself.
    map: Box<[(Box<str>, Box<str>)]>,
    optional: bool,
}

/// A rule of alternatives: the first that is wholly present wins.
#[derive(Debug, Default)]
pub struct Rule {
    alternatives: Vec<Vec<Find>>,
    separator: &'static str,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value<'v> {
    pub text: Cow<'v, str>,
    /// The signature covers every piece of it.
    pub signed: bool,
    /// A piece of it came from the batch's element.
    pub from_item: bool,
}

impl Rule {
    /// Problems are pushed with the field's name in front.
    pub fn compile(
        name: &str,
        alternatives: &[definition::Alternative],
        separator: &'static str,
        settings: &Settings,
        problems: &mut Vec<String>,
    ) -> Self {
        let compiled = alternatives.iter().enumerate().map(|(at, alternative)| {
            let finds = match alternative {
                definition::Alternative::One(find) => std::slice::from_ref(&**find),
                definition::Alternative::Joined(finds) => finds.as_slice(),
            };
            let finds = finds.iter().filter_map(|find| {
                Find::compile(find, settings)
                    .map_err(|reason| problems.push(format!("{name}[{at}]: {reason}")))
                    .ok()
            });
            finds.collect()
        });
        Self {
            alternatives: compiled.collect(),
            separator,
        }
    }

    pub fn find<'v>(&self, view: &View<'v>, coverage: &Coverage) -> Option<Value<'v>> {
        self.alternatives
            .iter()
            .find_map(|finds| joined(finds, self.separator, view, coverage))
    }

    pub fn looks_into_query(&self) -> bool {
        self.finds().any(|find| matches!(find.place, Place::Query(_)))
    }

    pub fn looks_into_claims(&self) -> bool {
        self.finds().any(|find| matches!(find.place, Place::Claim(_)))
    }

    pub fn looks_into_inner(&self) -> bool {
        self.finds().any(|find| matches!(find.place, Place::Inner(_)))
    }

    fn finds(&self) -> impl Iterator<Item = &Find> {
        self.alternatives.iter().flatten()
    }
}

fn joined<'v>(finds: &[Find], separator: &str, view: &View<'v>, coverage: &Coverage) -> Option<Value<'v>> {
    let mut all: Option<Value<'v>> = None;
    for find in finds {
        let Some(text) = find.text(view) else {
            if find.optional {
                continue;
            }
            return None;
        };
        let (signed, from_item) = (find.place.signed(view, coverage), matches!(find.place, Place::Item(_)));
        match &mut all {
            None => {
                all = Some(Value {
                    text,
                    signed,
                    from_item,
                })
            }
            Some(value) => {
                let joined = value.text.to_mut();
                joined.push_str(separator);
                joined.push_str(&text);
                value.signed &= signed;
                value.from_item |= from_item;
            }
        }
    }
    all
}

impl Place {
    fn signed(&self, view: &View<'_>, coverage: &Coverage) -> bool {
        match self {
            Self::Header(name) => coverage.headers.contains(name),
            Self::Query(_) => coverage.url || coverage.query,
            Self::Inner(_) if view.inner_signed => true,
            Self::Form(name) if !coverage.body => {
                let has_value = view
                    .form
                    .and_then(|form| form.get(name))
                    .is_some_and(|text| !text.is_empty());
                let without = coverage.fields_without.as_deref();
                has_value && without.is_some_and(|without| !without.iter().any(|other| **other == **name))
            }
            Self::Form(_) | Self::Json(_) | Self::Item(_) | Self::Inner(_) => coverage.body,
            Self::Claim(_) | Self::Fixed(_) | Self::Never => true,
        }
    }
}

impl Find {
    fn compile(find: &definition::Find, settings: &Settings) -> Result<Self, String> {
        if find.places().len() != 1 {
            return Err("must name exactly one place".into());
        }
        if find.inside.is_some() {
            return Err(
                "`inside` is of signatures and challenges; `body.inner` says what stands inside of an event".into(),
            );
        }
        let pointer = |text: &str| Pointer::compile(text).map_err(|error| error.to_string());
        let place = if let Some(name) = &find.header {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is not a header name"))?;
            Place::Header(name)
        } else if let Some(name) = &find.query {
            Place::Query(name.as_str().into())
        } else if let Some(name) = &find.form {
            Place::Form(name.as_str().into())
        } else if let Some(text) = &find.json {
            Place::Json(pointer(text)?)
        } else if let Some(text) = &find.item {
            Place::Item(pointer(text)?)
        } else if let Some(text) = &find.inner {
            Place::Inner(pointer(text)?)
        } else if let Some(claim) = &find.claim {
            Place::Claim(if claim.starts_with('/') {
                pointer(claim)?
            } else {
                Pointer::member(claim)
            })
        } else if let Some(name) = &find.setting {
            settings
                .text(name)
                .map_or(Place::Never, |text| Place::Fixed(text.into()))
        } else if let Some(text) = &find.literal {
            Place::Fixed(text.as_str().into())
        } else {
            return Err("`field` and `part` are of signatures and timestamps only".into());
        };
        if let Some(transform @ (Transform::HmacSha256Hex | Transform::HmacSha256Base64 | Transform::Crc32Decimal)) =
            find.transform
        {
            return Err(format!("transform {transform:?} is not for what is found in events"));
        }
        if let Some(transform @ (Transform::Sha256EqualsHmacBase64 | Transform::Decrypt)) = find.transform {
            return Err(format!("transform {transform:?} is only for answers to challenges"));
        }
        let prefix = find.prefix.as_deref().map(Into::into);
        Ok(Self {
            place,
            prefix,
            transform: find.transform,
            map: find
                .map
                .iter()
                .map(|(from, to)| (from.as_str().into(), to.as_str().into()))
                .collect(),
            optional: find.optional,
        })
    }

    /// The value as text. What is missing, empty, `null`, an array or an object is not there.
    fn text<'v>(&self, view: &View<'v>) -> Option<Cow<'v, str>> {
        let text: Cow<'v, str> = match &self.place {
            // `Headers::text` ties its result to the name; the value lives as long as the delivery.
            Place::Header(name) => Cow::Owned(view.raw.headers.text(name)?.to_owned()),
            Place::Query(name) => Cow::Borrowed(view.query?.get(name)?),
            Place::Form(name) => Cow::Borrowed(view.form?.get(name)?),
            Place::Json(pointer) => scalar(pointer.find(view.body?)?)?,
            Place::Item(pointer) => scalar(pointer.find(view.item?)?)?,
            Place::Inner(pointer) => scalar(pointer.find(view.inner?)?)?,
            Place::Claim(pointer) => scalar(pointer.find(view.claims?)?)?,
            Place::Fixed(text) => Cow::Owned(text.to_string()),
            Place::Never => return None,
        };
        let text = match &self.prefix {
            None => text,
            Some(prefix) => match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(&**prefix)?),
                Cow::Owned(text) => Cow::Owned(text.strip_prefix(&**prefix)?.to_owned()),
            },
        };
        let text = match self.transform {
            None => text,
            Some(transform) => Cow::Owned(transformed(transform, &text)?),
        };
        let text = if self.map.is_empty() {
            text
        } else {
            Cow::Owned(self.mapped(&text)?.to_owned())
        };
        (!text.is_empty()).then_some(text)
    }

    /// What stands for a value; `*` stands for those that are not named.
    fn mapped(&self, value: &str) -> Option<&str> {
        let to = |from: &str| self.map.iter().find(|(name, _)| **name == *from).map(|(_, to)| &**to);
        to(value).or_else(|| to("*"))
    }
}

/// Texts as they are, numbers and booleans as JSON writes them. An integer too long for 64 bits is
/// not a value: as a double it would be another one.
fn scalar<'v>(node: &'v Node<'v>) -> Option<Cow<'v, str>> {
    match node {
        Node::Text(text) => Some(Cow::Borrowed(text)),
        Node::Number(Number::Unsigned(value)) => Some(Cow::Owned(value.to_string())),
        Node::Number(Number::Signed(value)) => Some(Cow::Owned(value.to_string())),
        Node::Number(Number::Float(value)) if value.abs() < 9_007_199_254_740_992.0 => {
            Some(Cow::Owned(value.to_string()))
        }
        Node::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        _ => None,
    }
}

fn transformed(transform: Transform, text: &str) -> Option<String> {
    Some(match transform {
        Transform::Lowercase => text.to_lowercase(),
        Transform::Uppercase => text.to_uppercase(),
        Transform::Trim => text.trim().to_owned(),
        Transform::Sha256Hex => hex::encode(Sha256::digest(text)),
        Transform::Sha256Base64 => STANDARD.encode(Sha256::digest(text)),
        Transform::Sha1Hex => hex::encode(Sha1::digest(text)),
        Transform::Md5Hex => hex::encode(Md5::digest(text)),
        Transform::Md5Base64 => STANDARD.encode(Md5::digest(text)),
        Transform::Base64Encode => STANDARD.encode(text),
        Transform::Base64urlEncode => URL_SAFE_NO_PAD.encode(text),
        Transform::JsonString => serde_json::to_string(text).ok()?,
        Transform::Base64Decode => String::from_utf8(base64(text)?).ok()?,
        Transform::UrlDecode => percent_decode_str(text).decode_utf8().ok()?.into_owned(),
        Transform::UrlEncode => utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
        // Refused at load.
        Transform::Crc32Decimal
        | Transform::HmacSha256Hex
        | Transform::HmacSha256Base64
        | Transform::Sha256EqualsHmacBase64
        | Transform::Decrypt => return None,
    })
}

/// Either alphabet, with or without padding: platforms differ, and the bytes are the same.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let url = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let alphabet = if url {
        &base64::alphabet::URL_SAFE
    } else {
        &base64::alphabet::STANDARD
    };
    GeneralPurpose::new(alphabet, CONFIG).decode(text).ok()
}
