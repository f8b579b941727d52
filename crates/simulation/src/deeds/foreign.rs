//! F18: what somebody else's automation does: an autoscaler, another pipeline, an infrastructure tool, a tag policy.

use std::time::Duration;

use serde_json::json;
use tidegate_sandbox::{node::Node, protocol::Service};

use super::{ALARM, APPLICATION, After, Begun, FAMILY, GROUP, Next, done, hand, perform, send, undone};
use crate::{
    fault::{ForeignMishap, seconds},
    scene::Scene,
};

/// What another pipeline deploys.
const IMAGE: &str = "shop:v9";

/// How often another pipeline looks at its own deployment.
const LOOKS: Duration = Duration::from_secs(20);

/// The secret that Tidegate reads, and the tag that binds it to its instance.
const SECRET: &str = "tidegate-ecommerce";
const TAG: &str = "tidegate:instance";

pub(super) fn begin(scene: &Scene, how: ForeignMishap, lasts: u64) -> Begun {
    match how {
        ForeignMishap::ScalesOut => hand::scale(scene, |count| count + 1),
        ForeignMishap::ScalesIn => hand::scale(scene, |count| count.saturating_sub(1).max(1)),
        ForeignMishap::RegistersRevision => done(register(scene)),
        ForeignMishap::DeploysThrough => match deploy(scene) {
            Some(id) => Begun::Until(After::on(move |scene| take_through(scene, id))),
            None => Begun::NotYet,
        },
        ForeignMishap::DeploysAndStops => match deploy(scene) {
            Some(id) => Begun::Until(After::then(move |scene| {
                let input = json!({ "deploymentId": id, "autoRollbackEnabled": true });
                perform(scene, Service::CodeDeploy, "StopDeployment", &input);
            })),
            None => Begun::NotYet,
        },
        ForeignMishap::AppliesListener => hand::listener(scene, [100, 0]),
        ForeignMishap::AppliesGroup => undone(waits(scene, 10, 5), |scene| drop(waits(scene, 60, 120))),
        ForeignMishap::RedAlarm => {
            let mut world = scene.sandbox.world();
            if hand::open(&world).is_none() {
                return Begun::NotYet;
            }
            world.redden_alarm(
                ALARM,
                jiff::SignedDuration::try_from(seconds(lasts.max(90))).unwrap_or_default(),
            );
            Begun::Done
        }
        ForeignMishap::UntagsSecret => {
            if scene.database.is_none() {
                return Begun::NotYet;
            }
            let input = json!({ "SecretId": SECRET, "TagKeys": [TAG] });
            undone(perform(scene, Service::SecretsManager, "UntagResource", &input), |scene| {
                let tags = json!([{ "Key": TAG, "Value": super::INSTANCE }]);
                let input = json!({ "SecretId": SECRET, "Tags": tags });
                perform(scene, Service::SecretsManager, "TagResource", &input);
            })
        }
    }
}

/// Members of a description that no registration has.
const DESCRIBED: [&str; 7] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "registeredAt",
    "registeredBy",
    "compatibilities",
    "requiresAttributes",
];

/// Registers what the family has, with another image; its ARN.
fn register(scene: &Scene) -> Option<Node> {
    let newest = hand::describe(scene, FAMILY)?;
    let mut members: Vec<(String, Node)> =
        newest.members().iter().filter(|(name, _)| !DESCRIBED.contains(&name.as_str())).cloned().collect();
    for (_, member) in members.iter_mut().filter(|(name, _)| name == "containerDefinitions") {
        if let Node::List(containers) = member
            && let Some(first) = containers.first_mut()
        {
            first.set("image", IMAGE.into());
        }
    }
    let registered = send(scene, Service::Ecs, "RegisterTaskDefinition", Node::Map(members))?;
    Some(registered.get("taskDefinition").get("taskDefinitionArn").clone())
}

/// Deploys a revision of its own, where nothing is under way; the deployment's id.
fn deploy(scene: &Scene) -> Option<String> {
    if scene.sandbox.world().deployed().iter().any(|deployment| !deployment.ended) {
        return None;
    }
    let revision = register(scene)?;
    let content = json!({
        "version": 0.0,
        "Resources": [{ "TargetService": { "Type": "AWS::ECS::Service", "Properties": {
            "TaskDefinition": revision.as_text()?,
            "LoadBalancerInfo": { "ContainerName": "app", "ContainerPort": 8080 },
        } } }],
    });
    let input = json!({
        "applicationName": APPLICATION,
        "deploymentGroupName": GROUP,
        "deploymentConfigName": "CodeDeployDefault.ECSAllAtOnce",
        "description": "pipeline 4711",
        "revision": { "revisionType": "AppSpecContent", "appSpecContent": { "content": content.to_string() } },
    });
    let made = perform(scene, Service::CodeDeploy, "CreateDeployment", &input)?;
    made.get("deploymentId").as_text().map(str::to_owned)
}

/// Lets its deployment go on wherever it waits, until it has ended.
fn take_through(scene: &Scene, id: String) -> Next {
    let found = scene.sandbox.world().deployed().into_iter().find(|deployment| deployment.id == id)?;
    if found.ended {
        return None;
    }
    let wait =
        if found.ready { Some("READY_WAIT") } else { found.waits_to_terminate.then_some("TERMINATION_WAIT") };
    if let Some(wait) = wait {
        let input = json!({ "deploymentId": id, "deploymentWaitType": wait });
        perform(scene, Service::CodeDeploy, "ContinueDeployment", &input);
    }
    Some((LOOKS, After::on(move |scene| take_through(scene, id))))
}

/// Writes how long a deployment waits to be let go, and how long blue is kept, in minutes.
fn waits(scene: &Scene, ready: u32, termination: u32) -> Option<Node> {
    let input = json!({
        "applicationName": APPLICATION,
        "currentDeploymentGroupName": GROUP,
        "blueGreenDeploymentConfiguration": {
            "terminateBlueInstancesOnDeploymentSuccess":
                { "action": "TERMINATE", "terminationWaitTimeInMinutes": termination },
            "deploymentReadyOption":
                { "actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": ready },
        },
    });
    perform(scene, Service::CodeDeploy, "UpdateDeploymentGroup", &input)
}
