//! JSON pointers (RFC 6901), taken apart once at load.

use super::document::{Key, Node};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub(super) key: Key,
    pub(super) index: Option<usize>,
}

/// What is wrong with a pointer as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a JSON pointer: it is empty or begins with `/`, and `~` is followed by 0 or 1")]
pub struct BadPointer(String);

impl Pointer {
    pub fn compile(text: &str) -> Result<Self, BadPointer> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let tokens = text
            .strip_prefix('/')
            .ok_or_else(|| BadPointer(text.to_owned()))?
            .split('/')
            .map(|token| {
                if token.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
                    return Err(BadPointer(text.to_owned()));
                }
                Ok(Token::new(&token.replace("~1", "/").replace("~0", "~")))
            });
        tokens.collect::<Result<_, _>>().map(Self)
    }

    /// A single member's name, whatever characters it has.
    pub fn member(name: &str) -> Self {
        Self(vec![Token::new(name)])
    }

    pub fn find<'n, 'd>(&self, node: &'n Node<'d>) -> Option<&'n Node<'d>> {
        self.0.iter().try_fold(node, |node, token| token.step(node))
    }

    pub fn tokens(&self) -> &[Token] {
        &self.0
    }
}

impl Token {
    fn new(text: &str) -> Self {
        let leading_zero = text.len() > 1 && text.starts_with('0');
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        Self {
            key: Key::new(text),
            index: (digits && !leading_zero).then(|| text.parse().ok()).flatten(),
        }
    }

    pub(super) fn step<'n, 'd>(&self, node: &'n Node<'d>) -> Option<&'n Node<'d>> {
        match node {
            Node::Object(members) => members.get_key(&self.key),
            Node::Array(items) => items.get(self.index?),
            _ => None,
        }
    }
}
