//! The people around a release: they write parameters, and nothing else, through the same SDK as everybody.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_ssm::{Client, error::DisplayErrorContext, types::ParameterType};

const REGION: &str = "eu-west-1";
const KEY: &str = "sandbox";

/// A parameter could not be written. The value is not told.
#[derive(Debug, thiserror::Error)]
#[error("write parameter {name}: {why}")]
pub struct PeopleError {
    name: String,
    why: String,
}

/// Whoever may write a release's parameters.
#[derive(Clone, Debug)]
pub struct People {
    config: SdkConfig,
    ssm: Client,
    release: String,
}

impl People {
    /// People of a release, at a sandbox's door.
    pub fn at(endpoint: &str, release: &str) -> Self {
        let config = sdk_config(endpoint);
        Self { ssm: Client::new(&config), config, release: release.to_owned() }
    }

    /// The configuration of their SDK, for other services.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Writes a parameter below the release: `spec`, `hold`, `abort`, `approve/contract`.
    ///
    /// # Errors
    /// If Parameter Store refuses it.
    pub async fn put(&self, name: &str, value: &str) -> Result<(), PeopleError> {
        let name = format!("/tidegate/{}/{name}", self.release);
        let put =
            self.ssm.put_parameter().name(&name).value(value).r#type(ParameterType::String).overwrite(true);
        let sent = put.send().await.map(drop);
        sent.map_err(|error| PeopleError { name, why: DisplayErrorContext(error).to_string() })
    }

    /// Deletes a parameter below the release.
    ///
    /// # Errors
    /// If Parameter Store refuses it.
    pub async fn delete(&self, name: &str) -> Result<(), PeopleError> {
        let name = format!("/tidegate/{}/{name}", self.release);
        let sent = self.ssm.delete_parameter().name(&name).send().await.map(drop);
        sent.map_err(|error| PeopleError { name, why: DisplayErrorContext(error).to_string() })
    }
}

/// The environment that lets any SDK talk to the sandbox, which believes every signature.
pub(super) fn credentials() -> [(&'static str, &'static str); 3] {
    [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", KEY), ("AWS_REGION", REGION)]
}

fn sdk_config(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(KEY, KEY, None, None, KEY)))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}
