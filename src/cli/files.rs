//! Which configuration a command means.

use std::path::{Path, PathBuf};

use super::output::Failure;
use crate::config::{self, Config, Loaded};
use crate::serve;

/// Where `quickstart` keeps its files unless told otherwise.
pub const QUICKSTART: &str = "hooksluice-quickstart";

/// Name of the configuration file inside a quickstart's folder.
pub const FILE: &str = "hooksluice.yaml";

/// Where a configuration is looked for when none is named.
const USUAL: [&str; 2] = [FILE, "/etc/hooksluice/hooksluice.yaml"];

#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// Configuration file, YAML or TOML [default: hooksluice.yaml here, else /etc/hooksluice/hooksluice.yaml]
    #[arg(short, long, value_name = "FILE", env = "HOOKSLUICE_CONFIG")]
    pub config: Option<PathBuf>,
}

impl ConfigFile {
    /// What `serve` and `check` mean: a file, or the environment alone.
    pub fn find(&self) -> Result<Option<PathBuf>, Failure> {
        let named_by_environment =
            || std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("HOOKSLUICE__"));
        match self.named_or_usual() {
            Some(path) => Ok(Some(path)),
            None if named_by_environment() => Ok(None),
            None => Err(Failure::usage(format!(
                "no configuration: name one with `--config FILE`, or write `{FILE}` here; `hooksluice quickstart` needs none"
            ))),
        }
    }

    /// What a command means that talks to or looks into a gateway: the quickstart's counts too.
    pub fn find_here(&self) -> Option<PathBuf> {
        self.named_or_usual()
            .or_else(|| Some(Path::new(QUICKSTART).join(FILE)).filter(|path| path.is_file()))
    }

    /// Loads and compiles what `serve` would serve. Every problem at once.
    pub fn load(&self) -> Result<(Option<PathBuf>, Loaded), Failure> {
        let path = self.find()?;
        let loaded = Self::complete(path.as_deref())?;
        Ok((path, loaded))
    }

    /// The same of what a command means that looks into a gateway.
    pub fn load_here(&self) -> Result<Loaded, Failure> {
        Self::complete(self.find_here().as_deref())
    }

    fn complete(path: Option<&Path>) -> Result<Loaded, Failure> {
        let (loaded, mut problems) = config::inspect(path, config::environment());
        problems.extend(serve::check(&loaded).err().unwrap_or_default());
        if problems.is_empty() {
            Ok(loaded)
        } else {
            Err(Failure::Config(problems))
        }
    }

    /// The settings alone: an operator's shell has not the gateway's secrets.
    pub fn settings_here(&self) -> Result<Option<Config>, Failure> {
        match self.find_here() {
            Some(path) => Ok(Some(config::settings(Some(&path), config::environment())?)),
            None => Ok(None),
        }
    }

    fn named_or_usual(&self) -> Option<PathBuf> {
        let usual = || USUAL.iter().map(PathBuf::from).find(|path| path.is_file());
        self.config.clone().or_else(usual)
    }
}
