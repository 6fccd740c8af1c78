//! Splits a batch: the element's node is moved out of the tree, its bytes are a slice of the body.

use super::NotReadable;
use super::document::Node;
use super::pointer::{BadPointer, Pointer, Token};

/// Elements of one delivery, at most: each becomes an event of its own.
pub const MAX_ELEMENTS: usize = 10_000;

/// The pointer to a batch's elements, compiled; `*` stands for every element of an array.
#[derive(Debug)]
pub struct Items(Vec<Step>);

#[derive(Debug)]
enum Step {
    Each,
    Into(Token),
}

impl Items {
    pub fn compile(text: &str) -> Result<Self, String> {
        let pointer = Pointer::compile(text).map_err(|error: BadPointer| error.to_string())?;
        let steps: Vec<_> = pointer
            .tokens()
            .iter()
            .map(|token| {
                if token.key.as_str() == "*" {
                    Step::Each
                } else {
                    Step::Into(token.clone())
                }
            })
            .collect();
        if steps.iter().any(|step| matches!(step, Step::Each)) {
            Ok(Self(steps))
        } else {
            Err(format!("{text:?} has no `*` and so names no elements"))
        }
    }

    /// The elements, where they are.
    pub fn nodes<'n, 'd>(&self, root: &'n Node<'d>) -> Result<Vec<&'n Node<'d>>, NotReadable> {
        let mut found = Vec::new();
        nodes(&self.0, root, &mut found)?;
        Ok(found)
    }

    /// The same elements in the same order, moved out.
    pub fn take<'d>(&self, root: Node<'d>) -> Vec<Node<'d>> {
        let mut taken = Vec::new();
        take(&self.0, root, &mut taken);
        taken
    }

    /// Each element's exact bytes, as ranges of `text`, which was parsed before.
    pub fn ranges(&self, text: &str) -> Result<Vec<std::ops::Range<usize>>, NotReadable> {
        let mut found = Vec::new();
        slices(&self.0, text, &mut found)?;
        let begin = text.as_ptr() as usize;
        Ok(found
            .into_iter()
            .map(|slice| {
                let start = slice.as_ptr() as usize - begin;
                start..start + slice.len()
            })
            .collect())
    }
}

fn misshapen() -> NotReadable {
    NotReadable::new("not-a-batch", "the body is JSON, but not of the batch's shape")
}

fn nodes<'n, 'd>(steps: &[Step], node: &'n Node<'d>, found: &mut Vec<&'n Node<'d>>) -> Result<(), NotReadable> {
    match steps {
        [] => {
            if found.len() == MAX_ELEMENTS {
                return Err(NotReadable::new(
                    "too-many-elements",
                    format!("a batch of more than {MAX_ELEMENTS} elements"),
                ));
            }
            found.push(node);
            Ok(())
        }
        [Step::Into(token), rest @ ..] => nodes(rest, token.step(node).ok_or_else(misshapen)?, found),
        [Step::Each, rest @ ..] => node
            .as_array()
            .ok_or_else(misshapen)?
            .iter()
            .try_for_each(|item| nodes(rest, item, found)),
    }
}

fn take<'d>(steps: &[Step], node: Node<'d>, taken: &mut Vec<Node<'d>>) {
    match (steps, node) {
        ([], node) => taken.push(node),
        ([Step::Each, rest @ ..], Node::Array(items)) => items.into_iter().for_each(|item| take(rest, item, taken)),
        ([Step::Into(token), rest @ ..], Node::Object(mut members)) => {
            if let Some(member) = members.take(&token.key) {
                take(rest, member, taken);
            }
        }
        ([Step::Into(token), rest @ ..], Node::Array(mut items)) => {
            if let Some(at) = token.index.filter(|at| *at < items.len()) {
                take(rest, items.swap_remove(at), taken);
            }
        }
        _ => {}
    }
}

fn slices<'t>(steps: &[Step], text: &'t str, found: &mut Vec<&'t str>) -> Result<(), NotReadable> {
    match steps {
        [] => found.push(text.trim_matches([' ', '\t', '\r', '\n'])),
        [Step::Into(token), rest @ ..] => {
            let value = match token.index.filter(|_| text.trim_start().starts_with('[')) {
                Some(index) => sonic_rs::get(text, [index]),
                None => sonic_rs::get(text, [token.key.as_str()]),
            };
            slices(rest, borrowed(value)?, found)?;
        }
        [Step::Each, rest @ ..] => {
            for item in sonic_rs::to_array_iter(text) {
                slices(rest, borrowed(item)?, found)?;
            }
        }
    }
    Ok(())
}

/// The text that a lazy value stands for, as a slice of the text it was read from.
fn borrowed(value: sonic_rs::Result<sonic_rs::LazyValue<'_>>) -> Result<&str, NotReadable> {
    match value.map_err(|_| misshapen())?.as_raw_cow() {
        std::borrow::Cow::Borrowed(text) => Ok(text),
        // Only for values that own their text, which those read from a `&str` do not.
        std::borrow::Cow::Owned(_) => Err(misshapen()),
    }
}
