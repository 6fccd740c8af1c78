//! What a definition's scheme, its algorithms and its keys come to.

use crate::keys::{Algorithm, Hosts, Target};
use crate::provider::definition::{HashName, Scheme, Signature};
use crate::provider::{Definition, Settings};

use super::find::{Allowed, Finder};
use super::http_signature::{self, Component, Form};
use super::jwt;
use super::pointers::Pointers;
use super::problems::Problems;

/// The scheme, with what only it needs.
#[derive(Debug)]
pub(crate) enum Method {
    Hmac(HashName),
    Hash(HashName),
    Token,
    Public(Algorithm),
    Jwt(jwt::Rules),
    Jws {
        rules: jwt::Rules,
        unencoded: bool,
    },
    Http {
        form: Form,
        rules: jwt::Rules,
        required: Vec<Component>,
    },
    None,
}

/// Where verification keys come from.
#[derive(Debug)]
pub(crate) enum KeySource {
    /// The source's secrets.
    Secrets,
    Pinned(Vec<String>),
    KeySet(Target),
    Certificate {
        url: Finder,
        hosts: Hosts,
    },
    /// Scheme `none`.
    Nothing,
}

fn unsupported<T>(problems: &mut Problems<'_>, known: &str) -> Option<T> {
    problems.none(format!("algorithm is missing or not supported here; expected {known}"))
}

impl Method {
    pub fn compile(rule: &Signature, settings: &Settings, problems: &mut Problems<'_>) -> Option<Self> {
        let hash = rule.algorithm;
        Some(match rule.scheme {
            Scheme::Hmac => Self::Hmac(hash.or_else(|| unsupported(problems, "md5, sha1, sha256, sha384 or sha512"))?),
            Scheme::Hash => Self::Hash(hash.or_else(|| unsupported(problems, "md5, sha1, sha256, sha384 or sha512"))?),
            Scheme::Token | Scheme::Basic => Self::Token,
            Scheme::Rsa => Self::Public(match hash {
                Some(HashName::Sha1) => Algorithm::RsaSha1,
                Some(HashName::Sha256) => Algorithm::RsaSha256,
                Some(HashName::Sha384) => Algorithm::RsaSha384,
                Some(HashName::Sha512) => Algorithm::RsaSha512,
                _ => return unsupported(problems, "sha1, sha256, sha384 or sha512"),
            }),
            Scheme::RsaPss => Self::Public(match hash {
                Some(HashName::Sha256) => Algorithm::RsaPssSha256,
                Some(HashName::Sha384) => Algorithm::RsaPssSha384,
                Some(HashName::Sha512) => Algorithm::RsaPssSha512,
                _ => return unsupported(problems, "sha256, sha384 or sha512"),
            }),
            Scheme::Ecdsa => Self::Public(match (hash, rule.raw) {
                (None | Some(HashName::Sha256), false) => Algorithm::EcdsaDer,
                (None | Some(HashName::Sha256), true) => Algorithm::EcdsaRaw,
                _ => return unsupported(problems, "sha256 (on P-256)"),
            }),
            Scheme::Ed25519 => Self::Public(Algorithm::Ed25519),
            Scheme::Jwt => Self::Jwt(jwt::Rules::compile(jwt::JOSE, rule, settings, problems)?),
            Scheme::Jws => Self::Jws {
                rules: jwt::Rules::compile(jwt::JOSE, rule, settings, problems)?,
                unencoded: rule.unencoded,
            },
            Scheme::HttpSignature => Self::http(Form::Draft, http_signature::DRAFTED, rule, settings, problems)?,
            Scheme::HttpMessageSignature => {
                Self::http(Form::Rfc9421, http_signature::REGISTERED, rule, settings, problems)?
            }
            Scheme::None => Self::None,
        })
    }

    fn http(
        form: Form,
        names: jwt::Names,
        rule: &Signature,
        settings: &Settings,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let mut required = Vec::new();
        for text in &rule.components {
            match Component::compile(form, text) {
                Ok(component) => required.push(component),
                Err(problem) => problems.say(format!("components: {problem}")),
            }
        }
        Some(Self::Http {
            form,
            rules: jwt::Rules::compile(names, rule, settings, problems)?,
            required,
        })
    }

    /// Of schemes whose signatures name their algorithm.
    pub fn rules(&self) -> Option<&jwt::Rules> {
        match self {
            Self::Jwt(rules) | Self::Jws { rules, .. } | Self::Http { rules, .. } => Some(rules),
            _ => None,
        }
    }
}

impl KeySource {
    pub fn compile(
        rule: &Signature,
        definition: &Definition,
        settings: &Settings,
        pointers: &mut Pointers,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let keys = &rule.keys;
        let form = rule.secret.as_ref().unwrap_or(&definition.secret);
        let hosts = || Hosts::new(&keys.hosts, keys.path_suffix.as_deref());
        let names_algorithm = matches!(
            rule.scheme,
            Scheme::Jwt | Scheme::Jws | Scheme::HttpSignature | Scheme::HttpMessageSignature
        );
        let public = names_algorithm
            || matches!(
                rule.scheme,
                Scheme::Rsa | Scheme::RsaPss | Scheme::Ecdsa | Scheme::Ed25519
            );
        Some(match (keys.pinned.is_empty(), &keys.jwks, &keys.certificate) {
            _ if rule.scheme == Scheme::None => Self::Nothing,
            (true, None, None) if form.none => return problems.none("there is no secret, and no other key is named"),
            (true, None, None) => Self::Secrets,
            _ if !public => return problems.none("only schemes with public keys take keys from elsewhere"),
            (false, None, None) => Self::Pinned(keys.pinned.clone()),
            // No delivery chose this URL: without a list of hosts its own is meant.
            (true, Some(url), None) if names_algorithm && keys.hosts.is_empty() => {
                let host = url.split('/').nth(2).unwrap_or_default().to_ascii_lowercase();
                match Hosts::new(&[host], None).check(url) {
                    Ok(target) => Self::KeySet(target),
                    Err(error) => return problems.none(format!("jwks: {error}")),
                }
            }
            (true, Some(url), None) if names_algorithm => match hosts().check(url) {
                Ok(target) => Self::KeySet(target),
                Err(error) => return problems.none(format!("jwks: {error}; list its host under `hosts`")),
            },
            (true, None, Some(find)) if !names_algorithm => Self::Certificate {
                url: Finder::compile(find, Allowed::default(), settings, pointers, problems)?,
                hosts: hosts(),
            },
            _ => return problems.none("give one of pinned, jwks (for tokens) or certificate (for signatures)"),
        })
    }
}
