//! What a sender cannot make the parser pay, seen from within.

use super::*;

/// Keys that hash alike where hashes are not keyed (`Aa` and `BB` in Java's, and all of their combinations).
#[test]
fn colliding_keys_cost_a_bounded_number_of_probes_each() {
    let keys = (0..1_u32 << 15).map(|bits| -> String {
        (0..15)
            .map(|bit| if bits >> bit & 1 == 0 { "Aa" } else { "BB" })
            .collect()
    });
    let members: Vec<String> = keys.map(|key| format!("\"{key}\":0")).collect();
    let text = format!("{{{}}}", members.join(","));
    let node = Node::parse(text.as_bytes()).expect("JSON");
    let members = node.as_object().expect("an object");
    let index = members.index.as_ref().expect("many");
    let probes: usize = index
        .iter()
        .enumerate()
        .filter(|(_, at)| **at > 0)
        .map(|(slot_of, at)| {
            let home = slot(HASHER.hash_one(&*members.entries[*at as usize - 1].0), index.len());
            1 + (slot_of + index.len() - home) % index.len()
        })
        .sum();
    // Half full, linear probing: 1.5 each is expected.
    assert!(probes < 4 * members.len(), "{probes} for {}", members.len());
}

#[test]
fn a_document_has_a_bounded_number_of_values_and_an_empty_one_takes_no_memory() {
    let wide = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
    assert!(Node::parse(wide(MAX_VALUES as usize).as_bytes()).is_ok());
    let error = Node::parse(wide(MAX_VALUES as usize + 1).as_bytes()).expect_err("too many");
    assert_eq!(error.reason, "too-many-values");
    let node = Node::parse(b"{}").expect("JSON");
    assert_eq!(node.as_object().expect("an object").entries.capacity(), 0);
    assert!(std::mem::size_of::<Node<'_>>() <= 48);
}
