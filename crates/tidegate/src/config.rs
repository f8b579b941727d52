//! The daemon's configuration: embedded defaults, a file over them, flags and environment over both.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use jiff::SignedDuration;
use serde::Deserialize;
use tidegate_model::ReleaseName;
use tidegate_postgres::{Address, AddressError};
use toml::{Table, Value};

use crate::cli::RunArgs;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../../../config/default.toml");

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// HTTP.
    pub http: Http,
    /// Parameters.
    pub parameters: Parameters,
    /// AWS.
    pub aws: AwsPart,
    /// The ledger.
    pub ledger: LedgerPart,
    /// Migration files and databases.
    pub schema: SchemaPart,
    /// The loop.
    pub controller: ControllerPart,
    /// The log.
    pub log: LogPart,
}

/// HTTP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to serve.
    pub listen: SocketAddr,
}

/// Parameters.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The prefix, with a leading slash.
    pub prefix: String,
}

/// AWS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsPart {
    /// The region.
    pub region: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// An endpoint for every service.
    pub endpoint_url: Option<String>,
}

/// The ledger.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerPart {
    /// The file.
    pub path: PathBuf,
    /// The PostgreSQL database, instead of the file.
    pub url: Option<LedgerUrl>,
    /// The secret with its role and password, and its address if there is no URL.
    pub secret: Option<String>,
    /// Certificate authorities of its server, instead of the databases'.
    pub ca_bundle: Option<PathBuf>,
}

/// A database's URL as it was given. Not shown: somebody may have written a password into it.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct LedgerUrl(String);

impl LedgerUrl {
    /// What it says.
    ///
    /// # Errors
    /// If it is no such URL, or holds a password.
    pub fn address(&self) -> Result<Address, AddressError> {
        self.0.parse()
    }
}

impl fmt::Debug for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LedgerUrl")
    }
}

/// Migration files and databases.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaPart {
    /// Folders for every release.
    pub migration_roots: Vec<PathBuf>,
    /// Folders for single releases.
    #[serde(default)]
    pub release_migration_roots: BTreeMap<ReleaseName, Vec<PathBuf>>,
    /// Certificate authorities.
    pub ca_bundle: Option<PathBuf>,
    /// Longest wait for a lock.
    pub lock_timeout: SignedDuration,
    /// Longest statement of expand and contract.
    pub statement_timeout: SignedDuration,
    /// Longest batch.
    pub batch_timeout: SignedDuration,
    /// How long a batch should take.
    pub batch_target: SignedDuration,
    /// Longest build of one index.
    pub build_timeout: SignedDuration,
    /// Longest check.
    pub check_timeout: SignedDuration,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerPart {
    /// How often every release is looked at.
    pub resync: SignedDuration,
    /// How often one in flight is.
    pub in_flight: SignedDuration,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPart {
    /// How.
    pub format: LogFormat,
    /// What.
    pub filter: String,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration file {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML, or has a key or value that no setting takes; the message has line and column where TOML gives them.
    #[error("read the configuration: {0}")]
    Toml(#[from] toml::de::Error),
    /// A value that makes no sense.
    #[error("the configuration's {key} {why}")]
    Value {
        /// Which setting.
        key: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The ledger's URL cannot be used. It is not quoted.
    #[error("the configuration's ledger.url {0}")]
    LedgerUrl(AddressError),
    /// A clock from elsewhere without a sandbox.
    #[error("--clock needs --endpoint-url on this machine: a clock decides when things are deleted")]
    ClockNeedsSandbox,
}

impl Config {
    /// What flags, environment, the file and the defaults come to.
    ///
    /// # Errors
    /// If the file cannot be read or a value cannot be used.
    pub fn load(args: &RunArgs) -> Result<Self, ConfigError> {
        let mut table: Table = DEFAULTS.parse()?;
        if let Some(path) = &args.config {
            // Parsed by itself first, so that an error's line is the file's own.
            lay_over(&mut table, read(path)?);
        }
        let mut config: Self = table.try_into()?;
        config.take(args);
        config.check(args.clock.is_some())?;
        Ok(config)
    }

    fn take(&mut self, args: &RunArgs) {
        fn over<T: Clone>(value: &mut T, given: Option<&T>) {
            if let Some(given) = given {
                given.clone_into(value);
            }
        }
        over(&mut self.http.listen, args.listen.as_ref());
        over(&mut self.parameters.prefix, args.prefix.as_ref());
        over(&mut self.ledger.path, args.ledger.as_ref());
        if let Some(url) = &args.ledger_url {
            self.ledger.url = Some(LedgerUrl(url.clone()));
        }
        if args.ca_bundle.is_some() {
            self.schema.ca_bundle.clone_from(&args.ca_bundle);
        }
        if args.ledger_secret.is_some() {
            self.ledger.secret.clone_from(&args.ledger_secret);
        }
        over(&mut self.log.filter, args.log.as_ref());
        over(&mut self.log.format, args.log_format.as_ref());
        if args.endpoint_url.is_some() {
            self.aws.endpoint_url.clone_from(&args.endpoint_url);
        }
        if !args.migration_root.is_empty() {
            self.schema.migration_roots.clone_from(&args.migration_root);
        }
    }

    fn check(&self, foreign_clock: bool) -> Result<(), ConfigError> {
        let demand =
            |holds: bool, key, why| if holds { Ok(()) } else { Err(ConfigError::Value { key, why }) };
        let prefix = self.parameters.prefix.as_str();
        demand(
            prefix.starts_with('/') && prefix.len() > 1 && !prefix.ends_with('/'),
            "parameters.prefix",
            "must begin with a slash, name something, and not end with one",
        )?;
        let second = SignedDuration::from_secs(1);
        let hour = SignedDuration::from_hours(1);
        for (key, every) in [
            ("controller.resync", self.controller.resync),
            ("controller.in_flight", self.controller.in_flight),
        ] {
            demand((second..=hour).contains(&every), key, "must be from 1s to 1h")?;
        }
        for (key, limit) in [
            ("schema.lock_timeout", self.schema.lock_timeout),
            ("schema.statement_timeout", self.schema.statement_timeout),
            ("schema.batch_timeout", self.schema.batch_timeout),
            ("schema.batch_target", self.schema.batch_target),
            ("schema.check_timeout", self.schema.check_timeout),
        ] {
            let positive = limit >= SignedDuration::from_millis(10) && limit <= hour;
            demand(positive, key, "must be from 10ms to 1h")?;
        }
        // An index of a large table takes hours.
        let build = (second..=SignedDuration::from_hours(168)).contains(&self.schema.build_timeout);
        demand(build, "schema.build_timeout", "must be from 1s to 168h")?;
        if let Some(url) = &self.ledger.url {
            url.address().map_err(ConfigError::LedgerUrl)?;
        }
        let local = self.aws.endpoint_url.as_deref().is_some_and(tidegate_aws::is_loopback);
        if foreign_clock && !local { Err(ConfigError::ClockNeedsSandbox) } else { Ok(()) }
    }
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text =
        fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    Ok(text.parse()?)
}

/// Lays a table over another: tables key by key, everything else whole.
fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, args: RunArgs) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidegate.toml");
        fs::write(&path, text).unwrap();
        Config::load(&RunArgs { config: Some(path), ..args })
    }

    #[test]
    fn the_defaults_are_a_whole_configuration() {
        let config = Config::load(&RunArgs::default()).unwrap();
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8470");
        assert!(config.schema.migration_roots.is_empty());
    }

    #[test]
    fn a_file_is_laid_over_the_defaults_and_flags_over_the_file() {
        let text = "[parameters]\nprefix = \"/one\"\n[http]\nlisten = \"127.0.0.1:1\"\n";
        let args = RunArgs { prefix: Some("/two".into()), ..RunArgs::default() };
        let config = load(text, args).unwrap();
        assert_eq!((config.parameters.prefix.as_str(), config.http.listen.port()), ("/two", 1));
        assert_eq!(config.controller.resync, SignedDuration::from_mins(1));
    }

    #[test]
    fn unknown_keys_and_senseless_values_are_errors() {
        let wrong = |text: &str| load(text, RunArgs::default()).unwrap_err().to_string();
        assert!(wrong("[http]\nlisten_on = \"127.0.0.1:1\"\n").contains("listen_on"));
        assert!(wrong("[parameters]\nprefix = \"tidegate\"\n").contains("parameters.prefix"));
        assert!(wrong("[controller]\nresync = \"0s\"\n").contains("controller.resync"));
    }

    #[test]
    fn a_url_of_a_ledger_has_no_password_and_is_not_quoted() {
        let url = |url: &str| load(&format!("[ledger]\nurl = \"{url}\"\n"), RunArgs::default());
        let config = url("postgres://tidegate@db.example.com/ledger").unwrap();
        let address = config.ledger.url.unwrap().address().unwrap();
        assert_eq!(address.endpoint.host, "db.example.com");
        for wrong in ["postgres://u:hunter2@db/ledger", "postgres://db/ledger?password=hunter2", "hunter2"] {
            let error = url(wrong).unwrap_err();
            assert!(matches!(error, ConfigError::LedgerUrl(_)), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_foreign_clock_is_refused_without_a_sandbox_on_this_machine() {
        let with = |endpoint: Option<&str>| {
            let endpoint_url = endpoint.map(str::to_owned);
            let clock = Some("http://127.0.0.1:4566".to_owned());
            Config::load(&RunArgs { endpoint_url, clock, ..RunArgs::default() })
        };
        assert!(matches!(with(None), Err(ConfigError::ClockNeedsSandbox)));
        assert!(matches!(with(Some("https://ssm.example.com")), Err(ConfigError::ClockNeedsSandbox)));
        assert!(with(Some("http://127.0.0.1:4566")).is_ok());
    }
}
