//! The hash functions that a definition may name, plain and keyed.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac, SimpleHmac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use sha3::Keccak256;
use smallvec::SmallVec;

use crate::provider::definition::HashName;

/// The result of a hash or a MAC: at most 64 bytes.
pub(crate) type Tag = SmallVec<[u8; 64]>;

macro_rules! hashes {
    ($($name:ident($hash:ty, $mac:ty)),*) => {
        /// A hash under way.
        #[derive(Clone)]
        pub(crate) enum Hash { $($name($hash)),* }

        impl Hash {
            pub fn new(name: HashName) -> Self {
                match name { $(HashName::$name => Self::$name(<$hash>::new())),* }
            }
            pub fn update(&mut self, bytes: &[u8]) {
                match self { $(Self::$name(hash) => Digest::update(hash, bytes)),* }
            }
            pub fn finish(self) -> Tag {
                match self { $(Self::$name(hash) => Tag::from_slice(&hash.finalize())),* }
            }
        }

        /// A MAC whose key is taken in; cloned for each message.
        #[derive(Clone)]
        pub(crate) enum Keyed { $($name($mac)),* }

        impl Keyed {
            /// A key of any length, as RFC 2104 takes it.
            pub fn new(name: HashName, key: &[u8]) -> Self {
                match name {
                    $(HashName::$name => {
                        let keyed = <$mac>::new_from_slice(key);
                        Self::$name(keyed.unwrap_or_else(|_| unreachable!("HMAC takes keys of every length")))
                    })*
                }
            }
            pub fn update(&mut self, bytes: &[u8]) {
                match self { $(Self::$name(keyed) => Mac::update(keyed, bytes)),* }
            }
            pub fn finish(self) -> Tag {
                match self { $(Self::$name(keyed) => Tag::from_slice(&keyed.finalize().into_bytes())),* }
            }
        }
    };
}

hashes!(
    Md5(Md5, Hmac<Md5>),
    Sha1(Sha1, Hmac<Sha1>),
    Sha256(Sha256, Hmac<Sha256>),
    Sha384(Sha384, Hmac<Sha384>),
    Sha512(Sha512, Hmac<Sha512>),
    Keccak256(Keccak256, SimpleHmac<Keccak256>)
);

/// Holds a key: does not print.
impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyed(…)")
    }
}

pub(crate) fn hash(name: HashName, bytes: &[u8]) -> Tag {
    let mut hash = Hash::new(name);
    hash.update(bytes);
    hash.finish()
}

pub(crate) fn hmac(name: HashName, key: &[u8], bytes: &[u8]) -> Tag {
    let mut keyed = Keyed::new(name, key);
    keyed.update(bytes);
    keyed.finish()
}

/// As a definition writes it.
pub(crate) fn label(name: HashName) -> &'static str {
    match name {
        HashName::Md5 => "md5",
        HashName::Sha1 => "sha1",
        HashName::Sha256 => "sha256",
        HashName::Sha384 => "sha384",
        HashName::Sha512 => "sha512",
        HashName::Keccak256 => "keccak256",
    }
}
