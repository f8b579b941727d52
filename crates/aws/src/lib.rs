//! Observing and acting through the AWS SDK.
//!
//! Called by the controller only. [`Aws::parameters`] and [`Aws::observe`] read, batched over releases into the fewest
//! calls that AWS allows; [`Aws::act`] is one exhaustive match from a step to a call. Nothing here decides: a fact that
//! cannot be read is `Unknown` with its reason, and a call whose outcome is not known says so. Calls without a client token
//! are never retried by the SDK.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};

mod act;
mod budget;
mod call;
mod error;
mod log;
mod observe;
mod parameters;
mod run_task;
mod secret;
mod task_definition;

pub use call::CallReport;
pub use error::{ActError, ConnectError, ReadError};
pub use log::tells_bodies;
pub use observe::{InstanceSetup, LogPortion, LogPosition};
pub use secret::{Binding, SecretValue};

use budget::Budget;
use call::Calls;

/// How to reach AWS. Credentials come from the standard chain.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The region; the standard chain's when absent.
    pub region: Option<String>,
    /// The profile; the standard chain's when absent.
    pub profile: Option<String>,
    /// An endpoint for every service: the sandbox.
    pub endpoint_url: Option<String>,
    /// The prefix of all parameters: `/tidegate`.
    pub prefix: String,
}

/// The clients; cheap to clone.
#[derive(Clone)]
pub struct Aws {
    pub(crate) prefix: Arc<str>,
    pub(crate) calls: Calls,
    /// Reads, with the SDK's standard retry.
    pub(crate) read: Clients,
    /// Calls that change something and have no client token: one attempt only, whatever happens.
    pub(crate) write: Clients,
    pub(crate) cache: Arc<observe::Cache>,
}

/// One client of each service.
#[derive(Clone)]
pub(crate) struct Clients {
    pub ssm: aws_sdk_ssm::Client,
    pub ecs: aws_sdk_ecs::Client,
    pub codedeploy: aws_sdk_codedeploy::Client,
    pub elb: aws_sdk_elasticloadbalancingv2::Client,
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    pub rds: aws_sdk_rds::Client,
    pub secrets: aws_sdk_secretsmanager::Client,
}

impl Clients {
    /// Each client retries out of a budget of its own. By default the SDK's budgets are one for the whole process, so that one
    /// daemon's bad luck would be another's in tests that run several, and no run could be played again.
    fn new(config: &SdkConfig) -> Self {
        macro_rules! client {
            ($service:ident) => {
                $service::Client::from_conf(
                    $service::config::Builder::from(config)
                        .retry_partition(
                            $service::config::retry::RetryPartition::custom(stringify!($service)).build(),
                        )
                        .build(),
                )
            };
        }
        Self {
            ssm: client!(aws_sdk_ssm),
            ecs: client!(aws_sdk_ecs),
            codedeploy: client!(aws_sdk_codedeploy),
            elb: client!(aws_sdk_elasticloadbalancingv2),
            cloudwatch: client!(aws_sdk_cloudwatch),
            rds: client!(aws_sdk_rds),
            secrets: client!(aws_sdk_secretsmanager),
        }
    }
}

/// The behaviour that this crate was written against; a newer one is taken by a deliberate change only.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// No call may hang: the planner waits 45 s before it believes that a call can no longer land, so the longest operation
/// must be over well before that.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(4))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build()
}

impl Aws {
    /// Connects by the standard credential chain.
    ///
    /// # Errors
    /// If the region is not known, or if an environment variable would make the SDK print request bodies.
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        if std::env::var_os("LOG_SENSITIVE_BODIES").is_some() {
            return Err(ConnectError::SensitiveBodies);
        }
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
                aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
            ))
            .build_https();
        let mut loader = aws_config::defaults(behavior()).http_client(http).timeout_config(timeouts());
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &settings.endpoint_url {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(ConnectError::NoRegion);
        }
        let budget = match &settings.endpoint_url {
            // A sandbox has no quotas, and its clock may run many times faster than the buckets refill.
            Some(endpoint) if is_loopback(endpoint) => Budget::unlimited(),
            Some(_) | None => Budget::of_aws(),
        };
        Ok(Self::assemble(&config, &settings.prefix, budget))
    }

    /// Uses a finished configuration, for tests: its HTTP client may be the sandbox's connector. The call budget is
    /// unlimited.
    pub fn from_config(config: &SdkConfig, prefix: &str) -> Self {
        Self::assemble(config, prefix, Budget::unlimited())
    }

    fn assemble(config: &SdkConfig, prefix: &str, budget: Budget) -> Self {
        let read = config.to_builder().behavior_version(behavior()).build();
        let once = read.to_builder().retry_config(RetryConfig::standard().with_max_attempts(1)).build();
        Self {
            prefix: Arc::from(prefix.trim_end_matches('/')),
            calls: Calls::new(budget),
            read: Clients::new(&read),
            write: Clients::new(&once),
            cache: Arc::default(),
        }
    }

    /// Reports every call to `report`, for metrics.
    #[must_use]
    pub fn on_call(mut self, report: Arc<dyn Fn(&CallReport) + Send + Sync>) -> Self {
        self.calls = self.calls.reporting(report);
        self
    }
}

/// True for endpoints on this machine: an address of the loopback range, or the name `localhost`.
pub fn is_loopback(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        for (endpoint, loopback) in [
            ("http://127.0.0.1:4566", true),
            ("http://[::1]:4566/", true),
            ("http://localhost:4566", true),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com:80", false),
            ("https://ssm.eu-west-1.amazonaws.com", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_loopback(endpoint), loopback, "{endpoint}");
        }
    }
}
