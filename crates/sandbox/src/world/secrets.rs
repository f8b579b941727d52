//! Secrets Manager's state. Secret strings have no `Debug`: a world printed in a failing test must not show them.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;

use super::World;

/// The service's state.
#[derive(Debug, Default)]
pub struct Secrets {
    pub(crate) all: BTreeMap<String, Secret>,
}

/// A secret with its two staged versions.
#[derive(Clone)]
pub(crate) struct Secret {
    pub arn: String,
    pub created: Timestamp,
    pub changed: Timestamp,
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub current: SecretVersion,
    pub previous: Option<SecretVersion>,
}

/// One version of a secret.
#[derive(Clone)]
pub(crate) struct SecretVersion {
    pub id: String,
    pub value: String,
    pub created: Timestamp,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("arn", &self.arn).finish_non_exhaustive()
    }
}

impl World {
    /// Makes a secret; its ARN ends in a hyphen and six characters, as AWS's do.
    pub fn create_secret(&mut self, name: &str, value: &str, tags: BTreeMap<String, String>) -> String {
        let suffix = self.hex_id()[..6].to_owned();
        let arn = self.identity.arn("secretsmanager", &format!("secret:{name}-{suffix}"));
        self.put_secret(name, arn.clone(), value, tags);
        arn
    }

    /// Makes a secret under a known ARN: world files name ARNs in task definitions and specs.
    pub(crate) fn put_secret(
        &mut self,
        name: &str,
        arn: String,
        value: &str,
        tags: BTreeMap<String, String>,
    ) {
        let now = self.now();
        let current = SecretVersion { id: self.request_id(), value: value.to_owned(), created: now };
        let secret =
            Secret { arn, created: now, changed: now, description: None, tags, current, previous: None };
        self.secrets.all.insert(name.to_owned(), secret);
    }

    /// Stages a new value: AWSCURRENT becomes AWSPREVIOUS. Gives the new version's id.
    pub(crate) fn rotate_secret(&mut self, name: &str, value: &str) -> Option<String> {
        let (id, now) = (self.request_id(), self.now());
        let secret = self.secrets.all.get_mut(name)?;
        let new = SecretVersion { id: id.clone(), value: value.to_owned(), created: now };
        secret.previous = Some(std::mem::replace(&mut secret.current, new));
        secret.changed = now;
        Some(id)
    }

    /// A secret by name or ARN (with or without the six-character suffix), with its name.
    pub(crate) fn secret(&self, asked: &str) -> Option<(&str, &Secret)> {
        self.secrets
            .all
            .iter()
            .find(|(name, secret)| {
                let partial = secret.arn.rsplit_once('-').is_some_and(|(head, _)| head == asked);
                name.as_str() == asked || secret.arn == asked || partial
            })
            .map(|(name, secret)| (name.as_str(), secret))
    }

    /// What a container gets for `valueFrom`: a whole secret, one JSON key of it
    /// (`arn:...:secret:name-suffix:key:stage:version`), or a parameter. `None` if it does not exist: the task then stops
    /// with ResourceInitializationError.
    pub(crate) fn resolve_value_from(&self, value_from: &str) -> Option<String> {
        if !value_from.contains(":secretsmanager:") {
            let name = value_from.split_once(":parameter").map_or(value_from, |(_, name)| name);
            return Some(self.ssm.parameters.get(name)?.newest()?.value.clone());
        }
        let parts: Vec<&str> = value_from.split(':').collect();
        let arn = parts.get(..7)?.join(":");
        let (_, secret) = self.secret(&arn)?;
        let version = match parts.get(8) {
            Some(&"AWSPREVIOUS") => secret.previous.as_ref()?,
            Some(_) | None => &secret.current,
        };
        match parts.get(7).filter(|key| !key.is_empty()) {
            None => Some(version.value.clone()),
            Some(key) => {
                let json: serde_json::Value = serde_json::from_str(&version.value).ok()?;
                let value = json.get(key)?;
                Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            }
        }
    }
}
