//! `multipart/form-data` (RFC 7578, with the framing of RFC 2046): the fields of a form, as slices of the body.
//!
//! A part with a `filename` is a file, and no field: it stays in the body and is looked into by nobody. What comes before
//! the first boundary and after the closing one is passed over, as RFC 2046 section 5.1.1 has it.
//!
//! Names are those of the WHATWG's encoding: `%22`, `%0D` and `%0A` are a quote and the two halves of a line end, any other
//! `%` is itself. Values are UTF-8 and nothing is decoded in them.
//!
//! Signatures are looked for here, so what two readers could take for two things is refused: a boundary behind a bare line
//! feed, a header or a parameter that is there twice, a backslash where browsers and RFC 2045 differ, `name*`, a transfer
//! encoding. One pass over the body, and no copy of it.

use std::borrow::Cow;

use memchr::memmem::{self, Finder};

/// Parts of one body, at most, files among them.
pub(crate) const MAX_PARTS: usize = 10_000;
/// Bytes of the headers of one part, at most.
pub(crate) const MAX_HEADERS: usize = 8 * 1024;
/// RFC 2046 section 5.1.1.
const LONGEST_BOUNDARY: usize = 70;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field<'d> {
    pub name: Cow<'d, str>,
    pub value: &'d str,
}

/// Why a body is no form: the reason that reading has for it, and what is wrong. Quotes nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub reason: &'static str,
    pub why: &'static str,
}

type Result<T> = std::result::Result<T, Refused>;

const fn malformed(why: &'static str) -> Refused {
    Refused {
        reason: "not-a-form",
        why,
    }
}

const fn not_utf8(why: &'static str) -> Refused {
    Refused {
        reason: "not-utf8",
        why,
    }
}

/// The fields, in their order. `content_type`: the header of the delivery, which names the boundary.
pub(crate) fn fields<'d>(content_type: &str, body: &'d [u8]) -> Result<Vec<Field<'d>>> {
    let delimiter = [b"\n--", boundary(content_type)?.as_bytes()].concat();
    let finder = Finder::new(&delimiter);
    let mut rest = match body.strip_prefix(&delimiter[1..]) {
        Some(rest) => rest,
        None => part(&finder, body)?.1,
    };
    let mut fields = Vec::new();
    let mut parts = 0;
    while let Some(begun) = line_end(rest)? {
        parts += 1;
        if parts > MAX_PARTS {
            return Err(Refused {
                reason: "too-many-fields",
                why: "a form of more than 10000 parts",
            });
        }
        let (text, behind) = part(&finder, begun)?;
        // The line of a boundary ends with it. What follows may be a boundary again, which this line end belongs to as well.
        let text = text.strip_prefix(b"\r\n").ok_or(NO_BOUNDARY)?;
        fields.extend(field(text)?);
        rest = behind;
    }
    if parts == 0 {
        return Err(Refused {
            reason: "empty",
            why: "a form without fields",
        });
    }
    Ok(fields)
}

fn boundary(content_type: &str) -> Result<&str> {
    let parameters = content_type.find(';').map_or("", |at| &content_type[at..]);
    let boundary = Parameters::read(parameters)?.one("boundary")?;
    let boundary = boundary.ok_or(malformed("the content type names no boundary"))?;
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let fits = (1..=LONGEST_BOUNDARY).contains(&boundary.len()) && !boundary.ends_with(' ');
    match fits && boundary.bytes().all(is_one) {
        true => Ok(boundary),
        false => Err(malformed("the boundary is none by RFC 2046")),
    }
}

/// What stands before the next boundary, and what stands after it.
fn part<'d>(finder: &Finder<'_>, text: &'d [u8]) -> Result<(&'d [u8], &'d [u8])> {
    let at = finder.find(text).ok_or(malformed("the closing boundary is missing"))?;
    let before = text[..at].strip_suffix(b"\r");
    let before = before.ok_or(malformed("a boundary stands behind a bare line feed"))?;
    Ok((before, &text[at + finder.needle().len()..]))
}

const NO_BOUNDARY: Refused = malformed("a line begins like the boundary and is none");

/// What follows a boundary and its padding. `None`: it was the closing one.
fn line_end(rest: &[u8]) -> Result<Option<&[u8]>> {
    let (closes, padding) = match rest.strip_prefix(b"--") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let line = padding.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    let line = &padding[line.unwrap_or(padding.len())..];
    match closes {
        false => Ok(Some(line)),
        true if line.is_empty() || line.starts_with(b"\r\n") => Ok(None),
        true => Err(NO_BOUNDARY),
    }
}

/// `None`: a file.
fn field(part: &[u8]) -> Result<Option<Field<'_>>> {
    let head = &part[..part.len().min(MAX_HEADERS)];
    let end = memmem::find(head, b"\r\n\r\n");
    let end = end.ok_or(malformed("the headers of a part do not end, or are too long"))?;
    let head = std::str::from_utf8(&part[..end]).map_err(|_| not_utf8("the headers of a part are not UTF-8"))?;
    let (mut disposition, mut kind, mut encoding) = (None, None, None);
    for line in head.split("\r\n") {
        let (name, value) = line
            .split_once(':')
            .ok_or(malformed("a part has a header that is none"))?;
        if !is_token(name) || value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(malformed("a part has a header that is none"));
        }
        let place = match name {
            name if name.eq_ignore_ascii_case("content-disposition") => &mut disposition,
            name if name.eq_ignore_ascii_case("content-type") => &mut kind,
            name if name.eq_ignore_ascii_case("content-transfer-encoding") => &mut encoding,
            _ => continue,
        };
        if place.replace(value.trim()).is_some() {
            return Err(malformed("a part has a header twice"));
        }
    }
    let disposition = disposition.ok_or(malformed("a part has no content disposition"))?;
    let (word, parameters) = disposition.split_at(disposition.find(';').unwrap_or(disposition.len()));
    if !word.trim().eq_ignore_ascii_case("form-data") {
        return Err(malformed("a part is disposed of in another way than form-data"));
    }
    let parameters = Parameters::read(parameters)?;
    let name = parameters.one("name")?.ok_or(malformed("a part has no name"))?;
    if name.contains('\\') || parameters.one("name*")?.is_some() {
        return Err(malformed("the name of a part can be read in two ways"));
    }
    if parameters.one("filename")?.is_some() | parameters.one("filename*")?.is_some() {
        return Ok(None);
    }
    let is_plain = |encoding: &str| ["7bit", "8bit", "binary"].contains(&encoding.to_ascii_lowercase().as_str());
    if encoding.is_some_and(|encoding| !is_plain(encoding)) {
        return Err(malformed("a part has a transfer encoding"));
    }
    let parameters = kind.and_then(|kind: &str| Some(&kind[kind.find(';')?..]));
    let charset = Parameters::read(parameters.unwrap_or_default())?.one("charset")?;
    let is_utf8 = |charset: &str| ["utf-8", "utf8", "us-ascii"].contains(&charset.to_ascii_lowercase().as_str());
    if charset.is_some_and(|charset| !is_utf8(charset)) {
        return Err(not_utf8("a part is of another charset than UTF-8"));
    }
    let value = std::str::from_utf8(&part[end + b"\r\n\r\n".len()..]);
    Ok(Some(Field {
        name: unescaped(name),
        value: value.map_err(|_| not_utf8("a field of the form is not UTF-8"))?,
    }))
}

/// What the WHATWG's encoding escapes in a name.
fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains('%') {
        return Cow::Borrowed(name);
    }
    // None of the three leaves a `%` behind that another could take up.
    let plain = name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n");
    Cow::Owned(plain)
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_one)
}

/// `; name=value; name="value"`.
struct Parameters<'t>(Vec<(&'t str, &'t str)>);

impl<'t> Parameters<'t> {
    fn read(text: &'t str) -> Result<Self> {
        const BAD: Refused = malformed("the parameters of a header are none");
        let spaces = [' ', '\t'];
        let mut all = Vec::new();
        let mut rest = text.trim_start_matches(spaces);
        while !rest.is_empty() {
            rest = rest.strip_prefix(';').ok_or(BAD)?.trim_start_matches(spaces);
            if rest.is_empty() {
                break;
            }
            let (name, given) = rest.split_once('=').ok_or(BAD)?;
            let (value, behind) = match given.strip_prefix('"') {
                Some(quoted) => {
                    let (value, behind) = quoted.split_once('"').ok_or(BAD)?;
                    // An escape to RFC 2045, and two characters to browsers.
                    if value.ends_with('\\') || value.contains("\\\\") {
                        return Err(malformed("a quoted text can be read in two ways"));
                    }
                    (value, behind)
                }
                None => {
                    let (value, behind) = given.split_at(given.find([';', ' ', '\t']).unwrap_or(given.len()));
                    if value.is_empty() || value.contains('"') {
                        return Err(BAD);
                    }
                    (value, behind)
                }
            };
            if !is_token(name) {
                return Err(BAD);
            }
            all.push((name, value));
            rest = behind.trim_start_matches(spaces);
        }
        Ok(Self(all))
    }

    /// The value of the one parameter of this name.
    fn one(&self, name: &str) -> Result<Option<&'t str>> {
        let mut values = self.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let first = values.next();
        match values.next() {
            Some(_) => Err(malformed("a header has a parameter twice")),
            None => Ok(first.map(|(_, value)| *value)),
        }
    }
}
