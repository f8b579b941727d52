//! How a build of the shop behaves besides what its version does: the accidents of releases, each at will.
//!
//! Called by the HTTP API with every customer request. Must not: change what a statement does, or touch `/health`.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::{Settings, checkouts::Checkouts, fault::Fault, leak::Leak, pace::Pace};

/// The share of requests that version 4 fails if nothing else is asked.
const BAD_VERSIONS_SHARE: f64 = 0.3;

/// The arguments that choose it. In a task definition the environment has them.
#[derive(Clone, Debug, clap::Args)]
pub struct ConductSettings {
    /// Requests that are served before any fails.
    #[arg(long, env = "SHOP_FAULT_AFTER", default_value_t = 50)]
    pub fault_after: u64,
    /// Share of requests that then fails, from 0 to 1; version 4 fails three in ten without it, the others none.
    #[arg(long, env = "SHOP_FAULT_SHARE")]
    pub fault_share: Option<f64>,
    /// Requests that fail in a row when one does.
    #[arg(long, env = "SHOP_FAULT_CLUSTER", default_value_t = 1)]
    pub fault_cluster: u64,
    /// Milliseconds that answers take in the middle; the slow ones take several times as long.
    #[arg(long, env = "SHOP_ANSWER_MS", default_value_t = 0.0)]
    pub answer_ms: f64,
    /// All answers take so many times as long.
    #[arg(long, env = "SHOP_SLOWER", default_value_t = 1.0)]
    pub slower: f64,
    /// The slowest fifth of answers takes so many times as long.
    #[arg(long, env = "SHOP_TAIL_SLOWER", default_value_t = 1.0)]
    pub tail_slower: f64,
    /// With every so-manieth request a database connection is opened and never given back; 0 leaks none.
    #[arg(long, env = "SHOP_LEAK_EVERY", default_value_t = 0)]
    pub leak_every: u64,
    /// Most connections that are leaked.
    #[arg(long, env = "SHOP_LEAK_MOST", default_value_t = 30)]
    pub leak_most: u64,
    /// Share of checkouts that is refused though nothing is wrong with it, from 0 to 1.
    #[arg(long, env = "SHOP_CHECKOUTS_LOST", default_value_t = 0.0)]
    pub checkouts_lost: f64,
    /// Publish the number of checkouts to CloudWatch so often, in seconds; they are not published without it.
    #[arg(long, env = "SHOP_PUBLISH_EVERY", value_parser = seconds)]
    pub publish_every: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|every| !every.is_zero()).ok_or_else(|| "a number of seconds above 0 is needed".to_owned())
}

/// The conduct of a process; shared by all its connections.
#[derive(Clone)]
pub(crate) struct Conduct {
    pub(crate) fault: Fault,
    pub(crate) pace: Pace,
    pub(crate) leak: Leak,
    pub(crate) checkouts: Checkouts,
}

impl Conduct {
    /// As the settings have it; what leaks is opened by these options.
    pub(crate) fn new(settings: &Settings, options: &PgConnectOptions) -> Self {
        let asked = &settings.conduct;
        let share = asked.fault_share.or_else(|| settings.version.is_faulty().then_some(BAD_VERSIONS_SHARE));
        let fault = share.map(|share| Fault::new(asked.fault_after, share, asked.fault_cluster));
        let leaks = asked.leak_every > 0;
        let leak = leaks.then(|| Leak::new(options.clone(), asked.leak_every, asked.leak_most));
        Self {
            fault: fault.unwrap_or_else(Fault::none),
            pace: Pace::new(asked.answer_ms / 1_000.0, asked.slower, asked.tail_slower),
            leak: leak.unwrap_or_else(Leak::none),
            checkouts: Checkouts::new(asked.checkouts_lost),
        }
    }
}
