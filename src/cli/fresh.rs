//! A fresh id in a sample's body, and not one other byte changed.

use crate::provider::Definition;
use crate::provider::definition::{Alternative, Find};

/// The body with another id in place of the event's; of a batch, of each element. `None`: the id is not one member of a
/// JSON body, or it says more than itself (joined of several, mapped, transformed).
pub fn body(definition: &Definition, body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let document: serde_json::Value = serde_json::from_str(text).ok()?;
    let batch = definition.batch.as_ref().map(|batch| batch.items.as_str());
    let pointers = definition.event.id.iter().find_map(|alternative| {
        let Alternative::One(find) = alternative else {
            return None;
        };
        let found = pointers(find, batch, &document)?;
        (!found.is_empty()).then_some(found)
    })?;
    let mut text = text.to_owned();
    for pointer in pointers {
        let range = range(&text, &pointer)?;
        let id = another(&text[range.clone()]);
        text.replace_range(range, &id);
    }
    Some(text.into_bytes())
}

/// Where the ids are, `*` of a batch written out.
fn pointers(find: &Find, batch: Option<&str>, document: &serde_json::Value) -> Option<Vec<String>> {
    if find.transform.is_some() || !find.map.is_empty() || find.prefix.is_some() {
        return None;
    }
    let pattern = match (&find.json, &find.item) {
        (Some(pointer), _) => pointer.clone(),
        (_, Some(pointer)) => format!("{}{pointer}", batch.unwrap_or_default()),
        _ => return None,
    };
    let mut found = vec![String::new()];
    for segment in pattern.split('/').skip(1) {
        found = found
            .into_iter()
            .flat_map(|at| match (segment, document.pointer(&at)) {
                ("*", Some(serde_json::Value::Array(items))) => {
                    (0..items.len()).map(|index| format!("{at}/{index}")).collect()
                }
                ("*", _) => Vec::new(),
                _ => vec![format!("{at}/{segment}")],
            })
            .collect();
    }
    found.retain(|pointer| {
        document
            .pointer(pointer)
            .is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()) || value.is_u64())
    });
    Some(found)
}

/// The value's place in the text, without its quotes.
fn range(text: &str, pointer: &str) -> Option<std::ops::Range<usize>> {
    let mut at = text;
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        let value = match segment
            .parse::<usize>()
            .ok()
            .filter(|_| at.trim_start().starts_with('['))
        {
            Some(index) => sonic_rs::get(at, [index]),
            None => sonic_rs::get(at, [segment.as_str()]),
        };
        at = match value.ok()?.as_raw_cow() {
            std::borrow::Cow::Borrowed(value) => value,
            std::borrow::Cow::Owned(_) => return None,
        };
    }
    let start = at.as_ptr() as usize - text.as_ptr() as usize;
    match at.strip_prefix('"') {
        // An escape is no character of the id's.
        Some(inside) if !inside.contains('\\') => Some(start + 1..start + at.len() - 1),
        Some(_) => None,
        None => Some(start..start + at.len()),
    }
}

/// An id of the same form: as many digits and letters, the prefix (`evt_`) and all punctuation kept.
fn another(id: &str) -> String {
    let kept = id.rfind('_').map_or(0, |at| at + 1);
    let is_hex = id[kept..]
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || !byte.is_ascii_alphanumeric());
    let mut random = Vec::new();
    let mut next = |below: u8| {
        if random.is_empty() {
            // What an id by time has behind its time and its counter is random.
            random.extend_from_slice(&uuid::Uuid::now_v7().as_bytes()[12..]);
        }
        random.pop().unwrap_or_default() % below
    };
    let fresh = id[kept..].char_indices().map(|(at, c)| match c {
        '0'..='9' if at == 0 => char::from(b'1' + next(9)),
        // A UUID says its version and variant.
        _ if id.len() - kept == 36 && (at == 14 || at == 19) => c,
        '0'..='9' => char::from(b'0' + next(10)),
        'a'..='z' => char::from(b'a' + next(if is_hex { 6 } else { 26 })),
        'A'..='Z' => char::from(b'A' + next(if is_hex { 6 } else { 26 })),
        c => c,
    });
    format!("{}{}", &id[..kept], fresh.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Catalogue;

    #[test]
    fn only_the_id_changes_and_keeps_its_form() {
        for (provider, sample) in [("stripe", "invoice.paid"), ("gocardless", "payments.confirmed")] {
            let catalogue = Catalogue::built_in();
            let definition = catalogue.definition(provider).unwrap();
            let Ok(sample) = catalogue.sample(provider, sample) else {
                panic!("{provider}: {:?}", catalogue.sample_names(provider));
            };
            let other = body(&definition, &sample.body).unwrap();
            assert_eq!(other.len(), sample.body.len());
            let differs = other.iter().zip(&sample.body).filter(|(new, old)| new != old).count();
            assert!((1..60).contains(&differs), "{provider}: {differs} bytes");
            let (new, old): (serde_json::Value, serde_json::Value) = (
                serde_json::from_slice(&other).unwrap(),
                serde_json::from_slice(&sample.body).unwrap(),
            );
            assert_ne!(new, old);
        }
    }

    #[test]
    fn an_id_keeps_prefix_length_and_kind_of_characters() {
        let id = another("evt_1A2b3C");
        assert!(id.starts_with("evt_") && id.len() == 10, "{id}");
        assert!(another("1234").parse::<u32>().unwrap() > 999);
        let uuid = another("0f6a6d2a-1c1b-4e77-8a00-000000000001");
        assert!(
            uuid::Uuid::parse_str(&uuid).is_ok_and(|uuid| uuid.get_version_num() == 4),
            "{uuid}"
        );
    }
}
