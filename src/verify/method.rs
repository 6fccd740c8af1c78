//! What a definition's scheme, its algorithms and its keys come to.

use crate::keys::{Algorithm, Form as DocumentForm, Grant, Hosts, KeyDocument, Shown, Target};
use crate::provider::definition::{HashName, Scheme, Signature};
use crate::provider::{Definition, Settings};

use super::find::{Allowed, Finder};
use super::http_signature::{self, Component, Form};
use super::jwt;
use super::pointers::Pointers;
use super::problems::Problems;
use super::secrets::{self, Key};

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
    /// A setting in their place; none where the source does not give it.
    Setting(Option<Key>),
    Pinned(Vec<String>),
    KeySet(Target),
    /// Keys that a signature names, or that are all tried.
    Document {
        document: KeyDocument,
        id: Option<Finder>,
    },
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
                (Some(HashName::Sha1), false) => Algorithm::EcdsaSha1,
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
        let names_algorithm = rule.scheme.names_algorithm();
        let public = names_algorithm
            || matches!(
                rule.scheme,
                Scheme::Rsa | Scheme::RsaPss | Scheme::Ecdsa | Scheme::Ed25519
            );
        if let Some(rule_of) = &keys.document {
            let Some(url) = &rule_of.url else {
                return Some(Self::Setting(None));
            };
            let needs = |name: &str| format!("needs the setting `{name}`; give it under `settings:`");
            let bearer = match (&rule_of.bearer, &rule_of.client_credentials) {
                (None, None) => None,
                (Some(name), None) => match settings.credential(name) {
                    Some(bearer) => Some(Shown::Bearer(bearer.clone())),
                    None => return problems.none(needs(name)),
                },
                (None, Some(grant)) => {
                    let Some(id) = settings.text(&grant.id) else {
                        return problems.none(needs(&grant.id));
                    };
                    let Some(secret) = settings.credential(&grant.secret) else {
                        return problems.none(needs(&grant.secret));
                    };
                    let token_url = match Hosts::new(&keys.hosts, None).check(&grant.token_url) {
                        Ok(target) => target,
                        Err(error) => return problems.none(format!("token_url: {error}; list its host under `hosts`")),
                    };
                    Some(Shown::Grant(Grant {
                        token_url,
                        scope: grant.scope.clone(),
                        id: id.to_owned(),
                        secret: secret.clone(),
                    }))
                }
                _ => return problems.none("give `bearer` or `client_credentials`"),
            };
            let form = match &rule_of.key {
                None => DocumentForm::Pem,
                Some(key) => DocumentForm::Json {
                    items: rule_of.items.clone(),
                    id: rule_of.item_id.clone(),
                    key: key.clone(),
                },
            };
            if !keys.pinned.is_empty()
                || keys.jwks.is_some()
                || keys.certificate.is_some()
                || !public
                || names_algorithm
            {
                return problems
                    .none("`document` is for signatures with public keys, and stands alone; tokens take a `jwks`");
            }
            return Self::document(rule, url, form, bearer, settings, pointers, problems);
        }
        if let (Some(url), true) = (&keys.jwks, public && !names_algorithm) {
            return Self::document(rule, url, DocumentForm::Jwks, None, settings, pointers, problems);
        }
        if let Some(name) = form.setting.as_deref().filter(|_| !keys.are_the_platforms()) {
            let Some(secret) = settings.credential(name) else {
                return Some(Self::Setting(None));
            };
            let Some(bytes) = secrets::decode(form, secret) else {
                return problems.none(secrets::refusal(name, std::iter::once(form)));
            };
            let name = name.into();
            return Some(Self::Setting(Some(Key { name, bytes })));
        }
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
            _ => return problems.none("give one of pinned, jwks, document or certificate (for signatures)"),
        })
    }
    /// Keys of a signature, in a document at the platform's.
    fn document(
        rule: &Signature,
        url: &str,
        form: DocumentForm,
        bearer: Option<Shown>,
        settings: &Settings,
        pointers: &mut Pointers,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let hosts = Hosts::new(&rule.keys.hosts, rule.keys.path_suffix.as_deref());
        let document = match KeyDocument::new(url, hosts, form, bearer) {
            Ok(document) => document,
            Err(error) => return problems.none(format!("`{url}`: {error}; list its host under `hosts`")),
        };
        let id = match &rule.keys.id {
            None if document.is_by_id() => {
                return problems.none("its URL has an `{id}`, and no `id` says where that is");
            }
            None => None,
            Some(find) => Some(Finder::compile(find, Allowed::default(), settings, pointers, problems)?),
        };
        Some(Self::Document { document, id })
    }
}
