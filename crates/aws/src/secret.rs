//! Secrets, and what binds one to its database instance.

use std::fmt;

use tidegate_model::Fact;

use crate::{Aws, ReadError, budget::Bucket, call::Operation};

const GET: Operation =
    Operation { service: "secretsmanager", name: "GetSecretValue", bucket: Bucket::Secrets };
const DESCRIBE: Operation =
    Operation { service: "secretsmanager", name: "DescribeSecret", bucket: Bucket::Secrets };
const INSTANCES: Operation = Operation { service: "rds", name: "DescribeDBInstances", bucket: Bucket::Rds };

/// The tag that binds a secret to an instance.
const INSTANCE_TAG: &str = "tidegate:instance";

/// A secret's text. No `Debug`, `Display` or `Serialize`: it cannot be printed by accident.
pub struct SecretValue(String);

impl SecretValue {
    /// The text, for the one place that makes a connection of it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What binds a secret to an instance, and what the instance says of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    /// Host and port of the instance, once it has them.
    pub endpoint: Option<(String, u16)>,
    /// True if the instance's own master secret is this one, or the secret's tag names the instance.
    pub bound: bool,
    /// True if the instance belongs to an Aurora cluster.
    pub aurora: bool,
    /// The instance's initial database.
    pub database: Option<String>,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("bound", &self.bound)
            .field("aurora", &self.aurora)
            .finish_non_exhaustive()
    }
}

impl Aws {
    /// The current value of a secret.
    ///
    /// # Errors
    /// If it cannot be read, or holds bytes instead of text.
    pub async fn secret(&self, arn: &str) -> Result<SecretValue, ReadError> {
        let request = self.read.secrets.get_secret_value().secret_id(arn);
        let output = self.calls.call(GET, request.send()).await.map_err(|f| ReadError::new(GET.name, f))?;
        let missing =
            crate::error::Failure { code: "no text".to_owned(), kind: crate::error::Kind::Malformed };
        output.secret_string.map(SecretValue).ok_or_else(|| ReadError::new(GET.name, missing))
    }

    /// What binds the secret to the instance; `Absent` if there is no such instance.
    pub async fn instance_binding(&self, secret: &str, instance: &str) -> Fact<Binding> {
        let request = self.read.rds.describe_db_instances().db_instance_identifier(instance);
        let output = match self.calls.call(INSTANCES, request.send()).await {
            Ok(output) => output,
            Err(failure) if failure.code.starts_with("DBInstanceNotFound") => return Fact::Absent,
            Err(failure) => return Fact::Unknown(failure.why()),
        };
        let Some(found) = output.db_instances.unwrap_or_default().into_iter().next() else {
            return Fact::Absent;
        };
        let master = found.master_user_secret.and_then(|s| s.secret_arn).is_some_and(|arn| arn == secret);
        let bound = match master {
            true => true,
            false => match self.tagged_for(secret, instance).await {
                Ok(tagged) => tagged,
                Err(error) => return error.unknown(),
            },
        };
        let endpoint = found.endpoint.and_then(|e| Some((e.address?, u16::try_from(e.port?).ok()?)));
        Fact::Known(Binding {
            endpoint,
            bound,
            aurora: found.engine.is_some_and(|engine| engine.starts_with("aurora")),
            database: found.db_name,
        })
    }

    async fn tagged_for(&self, secret: &str, instance: &str) -> Result<bool, ReadError> {
        let request = self.read.secrets.describe_secret().secret_id(secret);
        let output =
            self.calls.call(DESCRIBE, request.send()).await.map_err(|f| ReadError::new(DESCRIBE.name, f))?;
        let tags = output.tags.unwrap_or_default();
        Ok(tags.iter().any(|tag| tag.key() == Some(INSTANCE_TAG) && tag.value() == Some(instance)))
    }
}
