//! Secrets Manager's state. Secret strings have no `Debug`: a world printed in a failing test must not show them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;

use super::World;

/// The service's state.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    pub(crate) all: BTreeMap<String, Secret>,
}

/// A secret with its staged versions; a version without a stage is gone.
#[derive(Clone)]
pub(crate) struct Secret {
    pub arn: String,
    pub created: Timestamp,
    pub changed: Timestamp,
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub versions: Vec<SecretVersion>,
}

/// One version of a secret.
#[derive(Clone)]
pub(crate) struct SecretVersion {
    pub id: String,
    pub value: String,
    pub created: Timestamp,
    pub stages: BTreeSet<String>,
}

/// A secret to be made. It has no `Debug` either.
#[derive(Default)]
pub(crate) struct NewSecret {
    pub name: String,
    pub value: Option<String>,
    /// The first version's id, if the caller chooses it.
    pub version: Option<String>,
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// The stage that readers get when they ask for none.
pub(crate) const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

impl Secret {
    /// The version with a stage.
    pub(crate) fn staged(&self, stage: &str) -> Option<&SecretVersion> {
        self.versions.iter().find(|version| version.stages.contains(stage))
    }

    /// Adds a version. A stage is on one version only; the version that loses AWSCURRENT gets AWSPREVIOUS.
    fn add(&mut self, mut new: SecretVersion) {
        if new.stages.contains(CURRENT) {
            let before = self.staged(CURRENT).map(|version| version.id.clone());
            for version in &mut self.versions {
                version.stages.remove(PREVIOUS);
                if Some(&version.id) == before.as_ref() {
                    version.stages.insert(PREVIOUS.to_owned());
                }
            }
            new.stages.remove(PREVIOUS);
        }
        for version in &mut self.versions {
            version.stages.retain(|stage| !new.stages.contains(stage));
        }
        self.versions.retain(|version| !version.stages.is_empty());
        self.changed = new.created;
        self.versions.push(new);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("arn", &self.arn).finish_non_exhaustive()
    }
}

impl World {
    /// Makes a secret, without a version if it has no value; its ARN ends in a hyphen and six characters, as AWS's do.
    pub(crate) fn create_secret(&mut self, new: NewSecret) -> String {
        let suffix = self.hex_id()[..6].to_owned();
        let arn = self.identity.arn("secretsmanager", &format!("secret:{}-{suffix}", new.name));
        self.put_secret(arn.clone(), new);
        arn
    }

    /// Makes a secret under a known ARN: world files name ARNs in task definitions and specs.
    pub(crate) fn put_secret(&mut self, arn: String, new: NewSecret) {
        let created = self.now();
        let stages = BTreeSet::from([CURRENT.to_owned()]);
        let id = new.version.unwrap_or_else(|| self.request_id());
        let versions = new.value.map(|value| SecretVersion { id, value, created, stages });
        let secret = Secret {
            arn,
            created,
            changed: created,
            description: new.description,
            tags: new.tags,
            versions: versions.into_iter().collect(),
        };
        self.secrets.all.insert(new.name, secret);
    }

    /// Adds a version under its stages. `None` if the secret does not exist.
    pub(crate) fn stage_secret(
        &mut self,
        name: &str,
        id: String,
        value: &str,
        stages: BTreeSet<String>,
    ) -> Option<()> {
        let created = self.now();
        let secret = self.secrets.all.get_mut(name)?;
        secret.add(SecretVersion { id, value: value.to_owned(), created, stages });
        Some(())
    }

    /// ARN of a secret, by its name.
    pub fn secret_arn(&self, name: &str) -> Option<String> {
        self.secret(name).map(|(_, secret)| secret.arn.clone())
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
        let stage = parts.get(8).filter(|stage| !stage.is_empty()).map_or(CURRENT, |stage| *stage);
        let version = match parts.get(9).filter(|id| !id.is_empty()) {
            Some(id) => secret.versions.iter().find(|version| version.id == *id)?,
            None => secret.staged(stage)?,
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
