//! What is JSON, and how deep, said before anything walks over it: a walk takes a frame of the stack for each level.

use serde::de::IgnoredAny;

/// Arrays and objects inside one another, at most (what `serde_json` allows where it builds something).
pub(crate) const DEEPEST: u16 = 127;

/// JSON of at most [`DEEPEST`] levels. `serde_json` holds the form alone: what it only passes over, it takes at any depth.
pub(crate) fn check(text: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<IgnoredAny>(text).map_err(|error| format!("is no JSON: {error}"))?;
    let mut depth = 0;
    for (_, bracket) in brackets(text) {
        match bracket {
            b'[' | b'{' if depth == DEEPEST => return Err(format!("is nested deeper than {DEEPEST} levels")),
            b'[' | b'{' => depth += 1,
            _ => depth -= 1,
        }
    }
    Ok(())
}

/// Brackets and braces outside of texts, and where they are.
pub(crate) fn brackets(text: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let (mut in_text, mut escaped) = (false, false);
    let bytes = text.iter().copied().enumerate();
    bytes.filter(move |(_, byte)| {
        let is_quote = *byte == b'"' && !escaped;
        escaped = in_text && *byte == b'\\' && !escaped;
        in_text ^= is_quote;
        !in_text && matches!(byte, b'[' | b']' | b'{' | b'}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let deepest = usize::from(DEEPEST);
        for nested in [&arrays as &dyn Fn(usize) -> String, &objects] {
            assert_eq!(check(nested(deepest).as_bytes()), Ok(()));
            assert!(check(nested(deepest + 1).as_bytes()).unwrap_err().contains("deeper"));
            assert!(check(nested(500_000).as_bytes()).unwrap_err().contains("deeper"));
        }
        let text = format!(r#"["\"\\\"{}", "\\", [], {{}}]"#, "[".repeat(1000));
        assert_eq!(check(text.as_bytes()), Ok(()));
        let wide = format!("[{}[]]", "[],".repeat(1000));
        assert_eq!(check(wide.as_bytes()), Ok(()));
        assert!(check(b"[").unwrap_err().contains("no JSON"));
    }
}
