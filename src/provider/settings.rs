//! What a source tells its provider besides secrets, checked against what the provider declares.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// Settings of one source, checked and loaded. Built by [`Settings::check`].
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<String, Value>);

#[derive(Clone, Debug)]
pub enum Value {
    /// One or several texts; a single value is a list of one.
    Texts(Vec<String>),
    Credential(Secret),
}

impl Settings {
    pub fn texts(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).first().map(String::as_str)
    }

    pub fn credential(&self, name: &str) -> Option<&Secret> {
        match self.0.get(name) {
            Some(Value::Credential(secret)) => Some(secret),
            _ => None,
        }
    }

    pub fn insert(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}
