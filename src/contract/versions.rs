//! The order of versions: runs of digits by their number, the rest by its bytes.
//!
//! So `9` < `10`, `2024-06-20` < `2024-10-01`, `v1.9` < `v1.10`, `2024-10-01` < `2024-10-01.acacia`.

use std::cmp::Ordering;

pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    loop {
        match (left, right) {
            ([], []) => return Ordering::Equal,
            ([], _) => return Ordering::Less,
            (_, []) => return Ordering::Greater,
            ([a, ..], [b, ..]) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let (ours, theirs);
                (ours, left) = number(left);
                (theirs, right) = number(right);
                // Without leading zeros the longer one is the greater.
                let order = ours.len().cmp(&theirs.len()).then_with(|| ours.cmp(theirs));
                if order.is_ne() {
                    return order;
                }
            }
            ([a, l @ ..], [b, r @ ..]) => {
                if a != b {
                    return a.cmp(b);
                }
                (left, right) = (l, r);
            }
        }
    }
}

/// The digits in front, without leading zeros, and what follows them.
fn number(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at(end);
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    (&digits[zeros..], rest)
}
