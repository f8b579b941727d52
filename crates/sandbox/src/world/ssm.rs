//! Parameter Store's state: versions, tiers, create-only writes.
//!
//! Source: the SSM model's texts. Versions run from 1; the newest 100 are kept, and a labelled oldest one blocks writes; a
//! deleted name cannot be made again for 30 seconds, and then starts at version 1.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::World;
use crate::error::ApiError;

/// Versions kept of one parameter.
pub(crate) const VERSIONS_KEPT: usize = 100;

/// After DeleteParameter the name cannot be used for this long.
const NAME_RESTS: SignedDuration = SignedDuration::from_secs(30);

/// The service's state.
#[derive(Clone, Debug, Default)]
pub struct Ssm {
    pub(crate) parameters: BTreeMap<String, Parameter>,
    deleted: BTreeMap<String, Timestamp>,
}

/// A parameter with its kept versions, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub versions: Vec<Version>,
    pub kind: Kind,
    pub tier: Tier,
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// One version of a parameter.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub number: u64,
    pub value: String,
    pub modified: Timestamp,
    pub user: String,
    pub labels: BTreeSet<String>,
}

/// What kind of value a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    StringList,
    SecureString,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::StringList => "StringList",
            Self::SecureString => "SecureString",
        }
    }
}

/// A parameter's tier and with it its size limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Standard,
    Advanced,
}

impl Tier {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Advanced => "Advanced",
        }
    }

    fn max_bytes(self) -> usize {
        match self {
            Self::Standard => 4 * 1024,
            Self::Advanced => 8 * 1024,
        }
    }
}

/// A write, as asked.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub name: String,
    pub value: String,
    pub kind: Option<Kind>,
    pub tier: Option<Tier>,
    pub overwrite: bool,
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
}

impl Parameter {
    /// The newest version.
    pub(crate) fn newest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// A version by number or label, the newest when neither is given.
    pub(crate) fn select(&self, selector: Option<&str>) -> Option<&Version> {
        match selector {
            None => self.newest(),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => self.versions.iter().find(|v| v.number == number),
                Err(_) => self.versions.iter().find(|v| v.labels.contains(text)),
            },
        }
    }
}

impl World {
    /// Writes a parameter; gives its new version and tier.
    pub(crate) fn put_parameter(&mut self, put: Put) -> Result<(u64, Tier), ApiError> {
        check_name(&put.name)?;
        let now = self.now();
        let existing = self.ssm.parameters.get(&put.name);
        if existing.is_some() && !put.overwrite {
            let message = "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
            return Err(ApiError::new("ParameterAlreadyExists", message));
        }
        let resting = self.ssm.deleted.get(&put.name).is_some_and(|at| now < *at + NAME_RESTS);
        if existing.is_none() && resting {
            return Err(ApiError::new(
                "TooManyUpdates",
                "The parameter was deleted less than 30 seconds ago.",
            ));
        }
        let tier = put.tier.or(existing.map(|p| p.tier)).unwrap_or(Tier::Standard);
        if existing.is_some_and(|p| p.tier == Tier::Advanced) && tier == Tier::Standard {
            return Err(ApiError::new(
                "ValidationException",
                "This parameter uses the advanced-parameter tier. You can't downgrade it.",
            ));
        }
        let Some(kind) = put.kind.or(existing.map(|p| p.kind)) else {
            return Err(ApiError::new(
                "ValidationException",
                "A parameter type is required when you create a parameter.",
            ));
        };
        if existing.is_some() && !put.tags.is_empty() {
            return Err(ApiError::new(
                "ValidationException",
                "Invalid request: tags and overwrite can't be used together.",
            ));
        }
        check_value(&put.value, tier)?;
        let description = put.description.or(existing.and_then(|p| p.description.clone()));
        let parameter = self.ssm.parameters.entry(put.name.clone()).or_insert(Parameter {
            versions: vec![],
            kind,
            tier,
            description: None,
            tags: put.tags,
        });
        if parameter.versions.len() >= VERSIONS_KEPT {
            if parameter.versions[0].labels.is_empty() {
                parameter.versions.remove(0);
            } else {
                let message =
                    "The oldest version of the parameter has a label, so it can't be deleted to make room.";
                return Err(ApiError::new("ParameterMaxVersionLimitExceeded", message));
            }
        }
        let number = parameter.newest().map_or(1, |v| v.number + 1);
        let user = format!("arn:aws:iam::{}:user/sandbox", self.identity.account);
        parameter.versions.push(Version {
            number,
            value: put.value,
            modified: now,
            user,
            labels: BTreeSet::new(),
        });
        (parameter.kind, parameter.tier, parameter.description) = (kind, tier, description);
        self.ssm.deleted.remove(&put.name);
        Ok((number, tier))
    }

    /// Deletes a parameter with its history.
    pub(crate) fn delete_parameter(&mut self, name: &str) -> Result<(), ApiError> {
        if self.ssm.parameters.remove(name).is_none() {
            return Err(ApiError::new("ParameterNotFound", ""));
        }
        self.ssm.deleted.insert(name.to_owned(), self.now());
        Ok(())
    }
}

/// Names: letters, digits and `.-_/`; fully qualified when hierarchical; at most 15 levels; not beginning with aws or ssm.
fn check_name(name: &str) -> Result<(), ApiError> {
    let invalid = |why: &str| Err(ApiError::new("ValidationException", format!("Parameter name: {why}")));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if name.is_empty() || name.len() > 1_011 || !name.chars().all(allowed) {
        return invalid("can only contain letters, digits and the symbols .-_ and /");
    }
    if name.contains('/') && !name.starts_with('/') {
        return invalid("must be a fully qualified name.");
    }
    if name.split('/').filter(|part| !part.is_empty()).count() > 15 {
        return Err(ApiError::new(
            "HierarchyLevelLimitExceededException",
            "A hierarchy can have a maximum of 15 levels.",
        ));
    }
    let first = name.trim_start_matches('/').to_ascii_lowercase();
    if first.starts_with("aws") || first.starts_with("ssm") {
        return invalid("can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).");
    }
    Ok(())
}

fn check_value(value: &str, tier: Tier) -> Result<(), ApiError> {
    if value.is_empty() {
        return Err(ApiError::new(
            "ValidationException",
            "1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ));
    }
    if value.len() > tier.max_bytes() {
        let message = format!(
            "{} tier parameters support a maximum parameter value of {} characters.",
            tier.as_str(),
            tier.max_bytes()
        );
        return Err(ApiError::new("ValidationException", message));
    }
    // Only the substitution syntax `{{ssm:...}}` and `{{name}}` is refused.
    if value.contains("{{") && value.contains("}}") {
        return Err(ApiError::new("ValidationException", "Parameter value can't nest another parameter."));
    }
    Ok(())
}
