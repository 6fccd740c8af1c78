//! Bodies written anew before they are signed: sorted JSON, sorted fields of a form.
//!
//! Only what has one way to be written anew is; all else is refused, so that a consumer never reads another value than
//! the one that was signed.

use std::cmp::Ordering;

use crate::provider::definition::FieldsForm;

use super::{encode, json};

/// Digits of a number that a double always gives back.
const EXACT_DIGITS: usize = 15;

/// JSON as RFC 8785 writes it. Refused: a member that is doubled, one whose name is a number (JavaScript puts those
/// first, whatever their order), a number of more digits than a double holds, and what is nested too deep.
pub(crate) fn sorted_json(body: &[u8]) -> Result<Vec<u8>, String> {
    // Its form and its depth are held here; the walk below may rely on both.
    json::check(body)?;
    let mut walk = Walk {
        body,
        at: 0,
        spans: spans(body),
    };
    let mut out = Vec::with_capacity(body.len());
    walk.value(&mut out)?;
    Ok(out)
}

/// Where each array and object begins and ends, in the order in which they begin.
fn spans(body: &[u8]) -> Vec<(usize, usize)> {
    let (mut spans, mut open) = (Vec::new(), Vec::new());
    for (at, bracket) in json::brackets(body) {
        if matches!(bracket, b'[' | b'{') {
            open.push(spans.len());
            spans.push((at, body.len()));
        } else if let Some(index) = open.pop() {
            let (_, end): &mut (usize, usize) = &mut spans[index];
            *end = at + 1;
        }
    }
    spans
}

/// A walk over text that is known to be JSON, of a depth that the stack holds.
struct Walk<'b> {
    body: &'b [u8],
    at: usize,
    /// What lies inside a member is jumped over until the member's turn comes, so that it is read once however deep it is.
    spans: Vec<(usize, usize)>,
}

impl<'b> Walk<'b> {
    fn rest(&self) -> &'b [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    fn peek(&mut self) -> u8 {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
        self.rest().first().copied().unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) -> &'b [u8] {
        let rest = self.rest();
        let taken = &rest[..bytes.min(rest.len())];
        self.at += taken.len();
        taken
    }

    fn value(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        match self.peek() {
            b'{' => self.object(out),
            b'[' => self.array(out),
            b'"' => {
                let text = self.text()?;
                out.extend_from_slice(&quoted(&text)?);
                Ok(())
            }
            _ => {
                match self.word() {
                    word @ (b"null" | b"true" | b"false") => out.extend_from_slice(word),
                    number => out.extend_from_slice(rewritten(number)?.as_bytes()),
                }
                Ok(())
            }
        }
    }

    /// The value is passed over.
    fn pass(&mut self) {
        match self.peek() {
            b'{' | b'[' => {
                let index = self.spans.binary_search_by_key(&self.at, |(start, _)| *start);
                self.at = index.map_or(self.body.len(), |index| self.spans[index].1);
            }
            b'"' => {
                self.token();
            }
            _ => {
                self.word();
            }
        }
    }

    fn word(&mut self) -> &'b [u8] {
        let end = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
        let rest = self.rest();
        self.skip(rest.iter().position(end).unwrap_or(rest.len()))
    }

    fn text(&mut self) -> Result<String, String> {
        self.peek();
        serde_json::from_slice(self.token()).map_err(|error| format!("has a text that is none: {error}"))
    }

    /// A text with its quotes.
    fn token(&mut self) -> &'b [u8] {
        let mut escaped = false;
        let rest = self.rest();
        let end = rest.iter().skip(1).position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        self.skip(end.map_or(rest.len(), |end| end + 2))
    }

    fn array(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.skip(1);
        out.push(b'[');
        while self.peek() != b']' {
            self.value(out)?;
            if self.peek() == b',' {
                self.skip(1);
                out.push(b',');
            }
        }
        self.skip(1);
        out.push(b']');
        Ok(())
    }

    fn object(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.skip(1);
        // Names, and where their values are.
        let mut members: Vec<(String, usize)> = Vec::new();
        while self.peek() != b'}' {
            let name = self.text()?;
            self.peek();
            self.skip(1);
            members.push((name, self.at));
            self.pass();
            if self.peek() == b',' {
                self.skip(1);
            }
        }
        self.skip(1);
        let end = self.at;
        members.sort_by(|(one, _), (other, _)| by_utf16(one, other));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("member `{}` is doubled", pair[0].0));
        }
        out.push(b'{');
        for (index, (name, value)) in members.iter().enumerate() {
            if name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
                return Err("has a member whose name is a number, which has no one place".into());
            }
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&quoted(name)?);
            out.push(b':');
            self.at = *value;
            self.value(out)?;
        }
        out.push(b'}');
        self.at = end;
        Ok(())
    }
}

/// RFC 8785 section 3.2.3.
fn by_utf16(one: &str, other: &str) -> Ordering {
    one.encode_utf16().cmp(other.encode_utf16())
}

/// A JSON text in quotes, as `JSON.stringify` escapes it: as little as JSON allows.
pub(crate) fn quoted(text: &str) -> Result<Vec<u8>, String> {
    serde_json::to_vec(text).map_err(|error| error.to_string())
}

/// A number as ECMAScript writes it.
fn rewritten(number: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(number).unwrap_or_default();
    let value: f64 = text.parse().map_err(|_| "has a number that is none".to_owned())?;
    let written = ryu_js::Buffer::new().format(value).to_owned();
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
    let is_exact = value.is_finite() && (value == 0.0) == (significant == 0) && !value.is_subnormal();
    if is_exact && (significant <= EXACT_DIGITS || written == text) {
        Ok(written)
    } else {
        Err("has a number of more digits than can be told apart".into())
    }
}

/// A form's fields; a name must stand once, for consumers may take either.
pub(crate) fn fields(form: FieldsForm, body: &[u8], without: &[String]) -> Result<Vec<u8>, String> {
    let mut fields: Vec<_> = encode::pairs(body)
        .filter(|(name, _)| !without.iter().any(|other| other.as_bytes() == &**name))
        .collect();
    let in_order = fields.clone();
    fields.sort();
    if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("has a doubled field".into());
    }
    match form {
        FieldsForm::SortedPairs => {
            let mut out = Vec::with_capacity(body.len());
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
                // `a=1&b=2` must not be one field to us and two to who signed, nor the other way round.
                let mut pieces = value.split(|byte| *byte == b'&');
                pieces.next();
                let hides_a_field = pieces.any(|piece| piece.contains(&b'='));
                if hides_a_field || name.contains(&b'&') || name.contains(&b'=') {
                    return Err("has a field that could be two".into());
                }
                if !out.is_empty() {
                    out.push(b'&');
                }
                out.extend_from_slice(name);
                out.push(b'=');
                out.extend_from_slice(value);
            }
            Ok(out)
        }
        FieldsForm::PythonJson => {
            let mut out = String::from("{");
            for (name, value) in &in_order {
                let comma = if out.len() > 1 { ", " } else { "" };
                let [name, value] = [name, value].map(|text| std::str::from_utf8(text).map(python_text));
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err("has a field that is not UTF-8".into());
                };
                out.push_str(&format!("{comma}{name}: {value}"));
            }
            out.push('}');
            Ok(out.into_bytes())
        }
        FieldsForm::Php => {
            let is_number =
                |name: &[u8]| name.iter().any(u8::is_ascii_digit) && !name.iter().any(u8::is_ascii_alphabetic);
            if fields.iter().any(|(name, _)| is_number(name) || name.contains(&b'[')) {
                return Err("has a field whose name PHP takes for a number or an array".into());
            }
            let text = |text: &[u8], out: &mut Vec<u8>| {
                out.extend_from_slice(format!("s:{}:\"", text.len()).as_bytes());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\";");
            };
            let mut out = format!("a:{}:{{", fields.len()).into_bytes();
            for (name, value) in &fields {
                text(name, &mut out);
                text(value, &mut out);
            }
            out.push(b'}');
            Ok(out)
        }
    }
}

/// As `json.dumps` writes a text: everything beyond printable ASCII as `\\uXXXX`.
fn python_text(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &str) -> Result<String, String> {
        sorted_json(body.as_bytes()).map(|out| String::from_utf8(out).expect("UTF-8"))
    }

    /// The example of RFC 8785 section 3.2.2, with its texts and its literals.
    #[test]
    fn json_is_written_as_the_rfc_shows() {
        let given = r#"{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}"#;
        // Of its numbers, one has more digits than a double gives back: it is refused here.
        assert!(json(given).unwrap_err().contains("digits"));
        let given = given.replace("333333333.33333329", "333333333.3333333");
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(json(&given).unwrap(), expected);
    }

    /// Section 3.2.3: by UTF-16, in which what lies beyond the basic plane comes before `\ufb33`.
    #[test]
    fn members_are_sorted_by_utf16() {
        let given = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"a":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        let expected = "{\"\\r\":2,\"a\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}";
        assert_eq!(json(given).unwrap(), expected);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"1":1}"#,
            "[9007199254740993]",
            "[0.1000000000000000055]",
            "[1e400]",
            "[1e-400]",
            "[5e-324]",
            "{",
            "",
            "{} {}",
            r#"["\ud800"]"#,
        ] {
            assert!(json(bad).is_err(), "{bad}");
        }
        assert_eq!(
            json(" [ 1.0 , -0 , {\"b\" : \"}\\\"\" , \"a\" : [ ] } ] ").unwrap(),
            r#"[1,0,{"a":[],"b":"}\""}]"#
        );
    }

    /// Closed, as whoever wants the stack to end would send it.
    #[test]
    fn what_is_nested_too_deep_is_refused_and_the_deepest_is_written() {
        let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = |depth: usize| format!("{}1{}", r#"{"b":"#.repeat(depth), r#","a":[]}"#.repeat(depth));
        for depth in [128, 5_000, 500_000] {
            assert!(json(&arrays(depth)).unwrap_err().contains("deeper"), "{depth}");
            assert!(json(&objects(depth)).unwrap_err().contains("deeper"), "{depth}");
        }
        assert_eq!(json(&arrays(127)).unwrap(), arrays(127));
        let sorted = format!("{}1{}", r#"{"a":[],"b":"#.repeat(126), "}".repeat(126));
        assert_eq!(json(&objects(126)).unwrap(), sorted);
    }

    #[test]
    fn fields_are_sorted_and_doubled_ones_refused() {
        let fields = |form, body: &str| super::fields(form, body.as_bytes(), &["sign".into()]);
        let pairs = fields(FieldsForm::SortedPairs, "b=2%263&sign=x&a=1+1&c=").unwrap();
        assert_eq!(pairs, b"a=1 1&b=2&3");
        assert!(fields(FieldsForm::SortedPairs, "a=1&a=2").is_err());
        assert!(fields(FieldsForm::SortedPairs, "a%3D1%26b=2").is_err());
        assert!(fields(FieldsForm::SortedPairs, "a=1%26b%3D2").is_err());
        let php = fields(FieldsForm::Php, "b=%C3%BC&a=&sign=x").unwrap();
        assert_eq!(php, "a:2:{s:1:\"a\";s:0:\"\";s:1:\"b\";s:2:\"ü\";}".as_bytes());
        assert!(fields(FieldsForm::Php, "12=1").is_err());
        // What Python 3.11 wrote.
        let python = fields(FieldsForm::PythonJson, "b=G%C3%BCrtel%0A%7F%F0%9F%98%80&a=%22%5C").unwrap();
        let expected = r#"{"b": "G\u00fcrtel\n\u007f\ud83d\ude00", "a": "\"\\"}"#;
        assert_eq!(String::from_utf8(python).unwrap(), expected);
        assert!(fields(FieldsForm::PythonJson, "a=%ff").is_err());
    }
}
