//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

/// Keeps an Amazon ECS release and the PostgreSQL schema it shares in step.
///
/// Teams write what they want into Parameter Store; `tidegate run` observes, decides and acts until the world matches, or
/// the release is rolled back, or it waits for a named reason.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the daemon.
    Run(RunArgs),
    /// Serve a simulated AWS on this machine.
    Sandbox(SandboxArgs),
    /// Tell the whole story live: two good versions, a contract, a bad version that rolls back.
    Demo(DemoArgs),
    /// Release eight versions under live traffic, four bad and four good, and hold each verdict against what is true.
    Verdicts(VerdictsArgs),
    /// Check a spec and say everything that is wrong with it. Exit code 3 if something is.
    Validate(ValidateArgs),
    /// Tell what each statement of a change does, and everything that is wrong with its files. Exit code 3 if something is.
    Lint(LintArgs),
    /// Judge green against blue as the daemon does, from the ledger or a CSV file of minutes. Exit code 4 if green is rolled back.
    Judge(JudgeArgs),
    /// Run a whole change on a copy of a database and measure it. Exit code 4 if a step fails.
    Rehearse(RehearseArgs),
    /// Print how people get back what a purge destroyed: the restore, its time, and what it loses.
    RestorePlan(RestorePlanArgs),
    /// Print the JSON Schema of a spec.
    Schema,
    /// Show the releases of a running daemon, or one of them.
    Status(StatusArgs),
    /// Ask a running daemon whether it lives; for container health checks. Exit code 8 if it does not.
    Healthcheck(HealthcheckArgs),
}

/// Arguments of `run`.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// A configuration file over the defaults.
    #[arg(long, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to serve health, metrics, API and page.
    #[arg(long, env = "TIDEGATE_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The prefix of all parameters.
    #[arg(long, env = "TIDEGATE_PREFIX", value_name = "PATH")]
    pub prefix: Option<String>,
    /// The ledger's file.
    #[arg(long, env = "TIDEGATE_LEDGER", value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// The ledger's PostgreSQL database instead of a file: postgres://role@host/database. No password: it comes from
    /// --ledger-secret or from PGPASSWORD.
    #[arg(long, env = "TIDEGATE_LEDGER_URL", value_name = "URL", hide_env_values = true)]
    pub ledger_url: Option<String>,
    /// The secret in Secrets Manager with the role and password of the ledger's database, and its address if there is no URL.
    #[arg(long, env = "TIDEGATE_LEDGER_SECRET", value_name = "ARN")]
    pub ledger_secret: Option<String>,
    /// A PEM file of certificate authorities for database servers.
    #[arg(long, env = "TIDEGATE_CA_BUNDLE", value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// A folder under which migration files may lie; may be given several times.
    #[arg(long, env = "TIDEGATE_MIGRATION_ROOTS", value_name = "FOLDER", value_delimiter = ':')]
    pub migration_root: Vec<PathBuf>,
    /// An endpoint for every AWS service: the sandbox.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// Take the time of decisions from this sandbox. Refused unless the endpoint is on this machine.
    #[arg(long, value_name = "URL")]
    pub clock: Option<String>,
    /// What to log, for example `info,tidegate_aws=debug`.
    #[arg(long, env = "TIDEGATE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How to log.
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<crate::config::LogFormat>,
}

/// Arguments of `sandbox`.
#[derive(Clone, Debug, Args)]
pub struct SandboxArgs {
    /// The world file; the story's world if absent.
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
    /// Images and the local commands behind them; the story's shop if absent.
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// How many times faster than real time AWS's schedule runs.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub speed: u32,
    /// Where to open the door. Loopback only.
    #[arg(long, default_value = "127.0.0.1:4566", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// No processes, no databases: tasks and traffic are a model.
    #[arg(long, conflicts_with = "catalogue")]
    pub modelled: bool,
    /// A folder for the tasks' logs and the copies of databases; one that is removed at the end if absent.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// How many times faster than real time AWS's schedule runs.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub speed: u32,
    /// Where to serve the daemon's page and metrics; a free port if absent.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Requests a second.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
    /// Write what was measured into this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Leave everything running at the end until interrupted.
    #[arg(long)]
    pub stay: bool,
}

/// Arguments of `verdicts`.
#[derive(Clone, Debug, Args)]
pub struct VerdictsArgs {
    /// How many times faster than real time AWS's schedule runs.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub speed: u32,
    /// Requests a second, in real time.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
    /// Minutes of the world's time in which a service makes a history before the first release.
    #[arg(long, default_value_t = 40, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(10..=600))]
    pub history: u32,
    /// Release only this version; may be given several times.
    #[arg(long, value_name = "VERSION")]
    pub only: Vec<String>,
    /// Where to serve the daemon's page and metrics; a free port if absent.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Write what was measured into this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Arguments of `validate`.
#[derive(Clone, Debug, Args)]
pub struct ValidateArgs {
    /// The spec; `-` reads standard input.
    pub file: PathBuf,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// Arguments of `judge`.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("place").multiple(true)))]
pub struct JudgeArgs {
    /// Closed minutes since green's first traffic, oldest first, under the header
    /// `blue_requests,blue_failures,green_requests,green_failures`.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "from_ledger",
        conflicts_with = "from_ledger"
    )]
    pub csv: Option<PathBuf>,
    /// Minutes of the service before, under the header `requests,failures`, with `other_requests,other_failures` of a second
    /// zone where they are known. Without it only the split between blue and green tells.
    #[arg(long, value_name = "FILE", requires = "csv")]
    pub history: Option<PathBuf>,
    /// Judge again what the ledger kept of this release's last judged rollout: when it went back, or green took over everything.
    #[arg(long, value_name = "RELEASE", requires = "place")]
    pub from_ledger: Option<String>,
    /// The ledger's file. It is only read; a daemon may have it open.
    #[arg(long, env = "TIDEGATE_LEDGER", value_name = "FILE", group = "place")]
    pub ledger: Option<PathBuf>,
    /// The ledger's PostgreSQL database instead of a file: postgres://role@host/database. It is only read. No password:
    /// PGPASSWORD has it.
    #[arg(long, env = "TIDEGATE_LEDGER_URL", value_name = "URL", hide_env_values = true, group = "place")]
    pub ledger_url: Option<String>,
    /// A PEM file of certificate authorities for its server.
    #[arg(long, value_name = "FILE", requires = "ledger_url")]
    pub ca_bundle: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// Arguments of `lint`.
#[derive(Clone, Debug, Args)]
pub struct LintArgs {
    /// The change's folder of migration files.
    pub folder: PathBuf,
    /// Try the change on a copy of this database and compare: locks and rewrites as the server shows them. A scratch
    /// database that nobody uses, with the schema from before the change. No password: PGPASSWORD or PGPASSFILE has it.
    #[arg(long, env = "TIDEGATE_LINT_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    /// Print the SQL that is generated from sync files, as it will run.
    #[arg(long, conflicts_with = "database")]
    pub sql: bool,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// Arguments of `rehearse`.
#[derive(Clone, Debug, Args)]
pub struct RehearseArgs {
    /// The change's folder of migration files.
    pub folder: PathBuf,
    /// The database that is copied on its own server, for example a restored snapshot. Nobody else may be connected to it.
    /// No password: PGPASSWORD or PGPASSFILE has it.
    #[arg(long, env = "TIDEGATE_REHEARSE_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: String,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// Arguments of `restore-plan`.
#[derive(Clone, Debug, Args)]
pub struct RestorePlanArgs {
    /// The release.
    pub name: String,
    /// The daemon.
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8470", value_name = "URL")]
    pub url: String,
    /// An endpoint for every AWS service: the sandbox. Snapshot and instance are read with the caller's own credentials.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// Arguments of `status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// The release; all of them if absent.
    pub name: Option<String>,
    /// The daemon.
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8470", value_name = "URL")]
    pub url: String,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    pub output: Output,
}

/// Arguments of `healthcheck`.
#[derive(Clone, Debug, Args)]
pub struct HealthcheckArgs {
    /// The daemon.
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8470", value_name = "URL")]
    pub url: String,
    /// Ask whether it is ready, not only whether it lives.
    #[arg(long)]
    pub ready: bool,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
