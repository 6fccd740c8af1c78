//! Secrets and settings on the command line, where no source of a configuration has them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::output::Failure;
use crate::provider::settings::Given as Value;
use crate::provider::{Catalogue, Provider};
use crate::secret::{Credential, CredentialFrom, NamedSecret};

#[derive(Debug, Default, clap::Args)]
pub struct Given {
    /// Do without a configuration: take a secret from this variable. May be repeated.
    #[arg(long, value_name = "VARIABLE")]
    secret_env: Vec<String>,
    /// Do without a configuration: take a secret from this file. May be repeated.
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// Do without a configuration: a setting of the provider. A name given twice makes a list.
    #[arg(long = "setting", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Do without a configuration: a folder of providers, laid over the built-in ones. May be repeated.
    #[arg(long, value_name = "DIR")]
    path: Vec<PathBuf>,
}

impl Given {
    /// Whether the command line is to count, and not a configuration.
    pub fn is_given(&self) -> bool {
        !(self.secret_env.is_empty() && self.secret_file.is_empty() && self.settings.is_empty() && self.path.is_empty())
    }

    pub fn catalogue(&self) -> Result<Catalogue, Failure> {
        Catalogue::with_overlays(&self.path).map_err(|errors| Failure::usage(errors[0].to_string()))
    }

    /// The folder that is laid on top.
    pub fn folder(&self) -> Option<&Path> {
        self.path.last().map(PathBuf::as_path)
    }

    pub fn secrets(&self) -> Result<Vec<NamedSecret>, Failure> {
        let env = self
            .secret_env
            .iter()
            .map(|variable| (variable.clone(), CredentialFrom::Env(variable.clone())));
        let file = self
            .secret_file
            .iter()
            .map(|path| (path.display().to_string(), CredentialFrom::File(path.clone())));
        env.chain(file)
            .map(|(name, from)| {
                let secret = Credential::From(from).load().map_err(Failure::usage)?;
                Ok(NamedSecret {
                    name: name.into(),
                    secret,
                })
            })
            .collect()
    }

    /// Settings as a source would give them.
    pub fn settings(&self) -> Result<BTreeMap<String, Value>, Failure> {
        self.texts()?
            .into_iter()
            .map(|(name, values)| {
                let value = match values[..] {
                    [one] => json!(one),
                    _ => json!(values),
                };
                let value = serde_json::from_value(value).map_err(Failure::usage)?;
                Ok((name.to_owned(), value))
            })
            .collect()
    }

    /// The same as lines of TOML.
    pub fn settings_toml(&self) -> Result<String, Failure> {
        let lines = self.texts()?.into_iter().map(|(name, values)| {
            let value = match values[..] {
                [one] => toml::Value::from(one),
                _ => toml::Value::from(values),
            };
            format!("{name} = {value}")
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    fn texts(&self) -> Result<BTreeMap<&str, Vec<&str>>, Failure> {
        let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for setting in &self.settings {
            let (name, value) = setting
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("`--setting {setting}`: write it as `name=value`")))?;
            texts.entry(name).or_default().push(value);
        }
        Ok(texts)
    }

    pub fn provider(&self, catalogue: &Catalogue, name: &str) -> Result<Provider, Failure> {
        catalogue.provider(name, &self.settings()?).map_err(|errors| {
            let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Failure::usage(said.join("; "))
        })
    }
}
