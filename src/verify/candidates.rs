//! The signatures that one value holds, and their comparison with what was expected.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::provider::definition::ListForm;

use super::find::Malformed;
use super::hashes::Tag;

/// Longest signature value that is looked at. Tokens of key sets are a few kilobytes at most.
pub(crate) const LONGEST: usize = 8 * 1024;
/// Most signatures that are tried for one delivery; a rotation has two or three.
pub(crate) const MOST: usize = 16;
/// Most items of a key-value header.
const MOST_ITEMS: usize = 32;

/// Items of a key-value signature header, in order.
pub(crate) type Fields<'v> = Vec<(&'v [u8], &'v [u8])>;

/// Splits a signature value as the data says: the items by key, and the signatures among them.
pub(crate) fn split<'v>(value: &'v [u8], form: Option<&'v ListForm>) -> Result<(Fields<'v>, Vec<&'v [u8]>), Malformed> {
    if value.len() > LONGEST {
        return Err(Malformed(format!("signature is longer than {LONGEST} bytes")));
    }
    let Some(form) = form else {
        return Ok((Vec::new(), vec![value]));
    };
    let (mut fields, mut signatures) = (Vec::new(), Vec::new());
    let separator = form.separator.as_bytes();
    for item in pieces(value, separator)
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
    {
        if fields.len() + signatures.len() >= MOST_ITEMS {
            return Err(Malformed(format!("signature has more than {MOST_ITEMS} items")));
        }
        let Some(assign) = &form.assign else {
            match form.leading.get(fields.len()) {
                Some(name) => fields.push((name.as_bytes(), item)),
                None => signatures.push(item),
            }
            continue;
        };
        let Some(at) = find(item, assign.as_bytes()) else {
            continue;
        };
        let (key, value) = (item[..at].trim_ascii(), item[at + assign.len()..].trim_ascii());
        if form.key.as_deref().is_some_and(|wanted| wanted.as_bytes() == key) {
            signatures.push(value);
        } else {
            fields.push((key, value));
        }
    }
    if signatures.len() > MOST {
        return Err(Malformed(format!("more than {MOST} signatures")));
    }
    Ok((fields, signatures))
}

/// The other way round: the items and one signature, as the data says. Without a list there are no items.
pub(crate) fn join(fields: &[(String, String)], signature: &str, form: Option<&ListForm>) -> String {
    let Some(ListForm {
        separator,
        assign,
        key,
        leading,
    }) = form
    else {
        return signature.to_owned();
    };
    let Some(assign) = assign else {
        let value = |name: &String| {
            fields
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let items = leading.iter().map(|name| value(name).unwrap_or("1")).chain([signature]);
        return items.collect::<Vec<_>>().join(separator);
    };
    let own = (key.as_deref().unwrap_or_default(), signature);
    let items = fields
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .chain([own]);
    items
        .map(|(key, value)| format!("{key}{assign}{value}"))
        .collect::<Vec<_>>()
        .join(separator)
}

fn pieces<'v>(value: &'v [u8], separator: &'v [u8]) -> impl Iterator<Item = &'v [u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let current = rest?;
        let at = find(current, separator);
        rest = at.map(|at| &current[at + separator.len()..]);
        Some(at.map_or(current, |at| &current[..at]))
    })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len().max(1)).position(|window| window == what)
}

/// Index of the first expected tag that one of the given signatures equals. Every pair is compared, whatever was found
/// before, so that time says neither which secret matched nor how much of it.
pub(crate) fn matching(expected: &[Tag], given: &[Tag]) -> Option<usize> {
    let mut found = u32::MAX;
    for (index, expected) in expected.iter().enumerate().rev() {
        let mut same = Choice::from(0);
        for given in given {
            same |= expected.as_slice().ct_eq(given.as_slice());
        }
        found.conditional_assign(&(index as u32), same);
    }
    (found != u32::MAX).then_some(found as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(separator: &str, assign: Option<&str>, key: Option<&str>) -> ListForm {
        ListForm {
            separator: separator.into(),
            assign: assign.map(Into::into),
            key: key.map(Into::into),
            leading: Vec::new(),
        }
    }

    #[test]
    fn splits_headers_as_the_data_says() {
        let stripe = form(",", Some("="), Some("v1"));
        let (fields, signatures) = split(b"t=1, v1=aa,v0=no,v1=b=b", Some(&stripe)).unwrap();
        assert_eq!(fields, [(&b"t"[..], &b"1"[..]), (b"v0", b"no")]);
        assert_eq!(signatures, [&b"aa"[..], b"b=b"]);

        let standard = form(" ", Some(","), Some("v1"));
        let (_, signatures) = split(b"v1,aa v1a,bb  v1,cc", Some(&standard)).unwrap();
        assert_eq!(signatures, [&b"aa"[..], b"cc"]);

        let bare = form(",", None, None);
        assert_eq!(split(b"aa,bb", Some(&bare)).unwrap().1, [&b"aa"[..], b"bb"]);

        let leading = ListForm {
            leading: vec!["t".into()],
            ..form(",", None, None)
        };
        let (fields, signatures) = split(b"17,aa,bb", Some(&leading)).unwrap();
        assert_eq!(fields, [(&b"t"[..], &b"17"[..])]);
        assert_eq!(signatures, [&b"aa"[..], b"bb"]);
        assert_eq!(join(&[("t".into(), "17".into())], "aa", Some(&leading)), "17,aa");
    }

    #[test]
    fn what_is_tried_is_bounded() {
        let stripe = form(",", Some("="), Some("v1"));
        assert!(split("v1=a,".repeat(MOST).as_bytes(), Some(&stripe)).is_ok());
        assert!(split("v1=a,".repeat(MOST + 1).as_bytes(), Some(&stripe)).is_err());
        assert!(split("x=a,".repeat(MOST_ITEMS + 1).as_bytes(), Some(&stripe)).is_err());
        assert!(split(&vec![b'a'; LONGEST + 1], None).is_err());
    }

    #[test]
    fn the_first_matching_secret_is_named() {
        let tags = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| Tag::from_slice(text.as_bytes()))
                .collect::<Vec<_>>()
        };
        let expected = tags(&["aa", "bb", "bb"]);
        assert_eq!(matching(&expected, &tags(&["zz", "bb"])), Some(1));
        assert_eq!(matching(&expected, &tags(&["zz", "b"])), None);
        assert_eq!(matching(&expected, &[]), None);
        assert_eq!(matching(&[], &tags(&["aa"])), None);
    }
}
