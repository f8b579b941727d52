//! What a call would do to the world, as the oracles know it again: the same call and the same intent make the same effect.
//!
//! Made from calls as they leave a daemon and from the ledger's intents. Nothing here judges.

use tidegate_sandbox::{Call, node::Node};

/// An effect of a daemon on a deployment, a task definition or a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Effect {
    pub(crate) operation: String,
    /// What it is about: a marker, where the call carries one; else the object's id.
    pub(crate) about: String,
}

impl Effect {
    /// What a call that changes something would do; nothing for status writes and what is no step of a release.
    pub(super) fn of(call: &Call) -> Option<Self> {
        let input = &call.input;
        let text = |key: &str| input.get(key).as_text().map(str::to_owned);
        let about = match call.operation.as_str() {
            "CreateDeployment" => text("description"),
            "ContinueDeployment" => text("deploymentId")
                .zip(text("deploymentWaitType"))
                .map(|(deployment, wait)| continues(&deployment, &wait)),
            "StopDeployment" => text("deploymentId"),
            "CreateDeploymentConfig" => text("deploymentConfigName"),
            "RegisterTaskDefinition" => marker_tag(input),
            "CreateDBSnapshot" => text("DBSnapshotIdentifier"),
            "RunTask" => text("clientToken"),
            _ => None,
        };
        about.map(|about| Self { operation: call.operation.clone(), about })
    }

    /// True if the world keeps what it makes.
    pub(super) fn creates(&self) -> bool {
        self.operation.starts_with("Create")
            || self.operation == "RegisterTaskDefinition"
            || self.operation == "RunTask"
    }
}

/// What a call is about that ends one of a deployment's two waits.
pub(super) fn continues(deployment: &str, wait: &str) -> String {
    format!("{deployment} in {wait}")
}

fn marker_tag(input: &Node) -> Option<String> {
    let tags = input.items("tags").ok()?;
    let values = tags.iter().filter_map(|tag| tag.get("value").as_text());
    values.into_iter().find(|value| value.starts_with("tidegate:")).map(str::to_owned)
}
