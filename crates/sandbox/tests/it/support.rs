//! A sandbox under a standing clock with the SDK's clients on it.

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_types::{SdkConfig, region::Region};
use jiff::{SignedDuration, Timestamp};
use tidegate_sandbox::{
    Sandbox,
    clock::Clock,
    world::{Mode, World},
};

/// The story's world.
pub(crate) const STORY: &str = include_str!("../../../../config/world.toml");

/// When every world begins.
pub(crate) fn start() -> Timestamp {
    "2026-11-23T08:00:00Z".parse().unwrap()
}

/// A sandbox and the configuration of clients that talk to it.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    config: SdkConfig,
}

/// The SDK's retries wait for nothing: virtual time stands still meanwhile.
#[derive(Debug)]
struct NoWaiting;

impl AsyncSleep for NoWaiting {
    fn sleep(&self, duration: std::time::Duration) -> Sleep {
        // Timeouts are sleeps too, and must not fire.
        if duration < std::time::Duration::from_secs(3) {
            Sleep::new(std::future::ready(()))
        } else {
            Sleep::new(std::future::pending())
        }
    }
}

impl Stage {
    /// An account with nothing in it.
    pub(crate) fn empty() -> Self {
        Self::of(World::new(start(), Mode::Modelled { seed: 7 }))
    }

    /// The story's world.
    pub(crate) fn story() -> Self {
        Self::of_file(STORY)
    }

    /// A world from a file.
    pub(crate) fn of_file(text: &str) -> Self {
        Self::of(World::from_file(text, start(), Mode::Modelled { seed: 7 }).unwrap())
    }

    /// Any world that began at [`start`].
    pub(crate) fn of(world: World) -> Self {
        let sandbox = Sandbox::new(world, Clock::standing(start()));
        let config = SdkConfig::builder()
            .behavior_version(aws_sdk_ssm::config::BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "sandbox", "sandbox", None, None, "sandbox",
            )))
            .http_client(sandbox.connector())
            .sleep_impl(SharedAsyncSleep::new(NoWaiting))
            .build();
        Self { sandbox, config }
    }

    pub(crate) fn pass_minutes(&self, minutes: i64) {
        self.sandbox.jump(SignedDuration::from_mins(minutes));
    }

    pub(crate) fn pass_seconds(&self, seconds: i64) {
        self.sandbox.jump(SignedDuration::from_secs(seconds));
    }

    /// The operations of the audit log, in order.
    pub(crate) fn effects(&self) -> Vec<String> {
        self.sandbox.audit().into_iter().map(|entry| entry.operation).collect()
    }

    pub(crate) fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::new(&self.config)
    }

    pub(crate) fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.config)
    }

    pub(crate) fn rds(&self) -> aws_sdk_rds::Client {
        aws_sdk_rds::Client::new(&self.config)
    }

    /// The daemon's side of all services.
    pub(crate) fn aws(&self) -> tidegate_aws::Aws {
        tidegate_aws::Aws::from_config(&self.config, "/tidegate")
    }

    pub(crate) fn cloudwatch(&self) -> aws_sdk_cloudwatch::Client {
        aws_sdk_cloudwatch::Client::new(&self.config)
    }

    pub(crate) fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.config)
    }

    pub(crate) fn ecs(&self) -> aws_sdk_ecs::Client {
        aws_sdk_ecs::Client::new(&self.config)
    }

    pub(crate) fn elb(&self) -> aws_sdk_elasticloadbalancingv2::Client {
        aws_sdk_elasticloadbalancingv2::Client::new(&self.config)
    }

    pub(crate) fn codedeploy(&self) -> aws_sdk_codedeploy::Client {
        aws_sdk_codedeploy::Client::new(&self.config)
    }
}

/// The wire code of a refused call; the code `none` for a broken connection.
pub(crate) fn code<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.as_service_error().and_then(|e| e.code()).unwrap_or("none").to_owned(),
    }
}
