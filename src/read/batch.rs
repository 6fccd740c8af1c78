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
        [] => found.push(text),
        [Step::Into(token), rest @ ..] => {
            let mut walk = Walk::new(text);
            let value = match (walk.enter(), token.index) {
                (Some(b'['), Some(index)) => std::iter::from_fn(|| walk.item()).nth(index),
                (Some(b'{'), _) => walk.member(token.key.as_str()),
                _ => None,
            };
            slices(rest, value.ok_or_else(misshapen)?, found)?;
        }
        [Step::Each, rest @ ..] => {
            let mut walk = Walk::new(text);
            walk.enter().filter(|open| *open == b'[').ok_or_else(misshapen)?;
            while let Some(item) = walk.item() {
                slices(rest, item, found)?;
            }
        }
    }
    Ok(())
}

/// Walks over a text that was parsed before and so is JSON. Brackets are counted: however deep a value is, passing over it
/// takes no stack.
struct Walk<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Walk<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, unwanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&unwanted) {
            self.at += 1;
        }
    }

    /// Goes into an array or an object, and says which.
    fn enter(&mut self) -> Option<u8> {
        self.skip(is_blank);
        let open = self.peek().filter(|byte| matches!(byte, b'[' | b'{'))?;
        self.at += 1;
        Some(open)
    }

    /// The next item of the array it is in.
    fn item(&mut self) -> Option<&'t str> {
        self.skip(|byte| is_blank(byte) || byte == b',');
        self.value()
    }

    /// The value of a member of the object it is in, passing over those before.
    fn member(&mut self, key: &str) -> Option<&'t str> {
        loop {
            let name = self.item()?;
            self.skip(|byte| is_blank(byte) || byte == b':');
            let value = self.value()?;
            let is_it = match name.contains('\\') {
                true => serde_json::from_str::<String>(name).is_ok_and(|name| name == key),
                false => name.trim_matches('"') == key,
            };
            if is_it {
                return Some(value);
            }
        }
    }

    /// The value that begins here; `None` at the end of what it is in.
    fn value(&mut self) -> Option<&'t str> {
        let start = self.at;
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.pass_text(),
                b'[' | b'{' => {
                    open += 1;
                    self.at += 1;
                }
                b']' | b'}' if open > 0 => {
                    open -= 1;
                    self.at += 1;
                }
                _ if open > 0 => self.at += 1,
                // A number or a word.
                _ => self.skip(|byte| !is_blank(byte) && !matches!(byte, b',' | b':' | b']' | b'}')),
            }
            if open == 0 {
                break;
            }
        }
        self.text.get(start..self.at).filter(|value| !value.is_empty())
    }

    fn pass_text(&mut self) {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'\\') => self.at += 2,
                Some(b'"') | None => break,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
