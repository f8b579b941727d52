//! F17: what somebody does at a prompt or in the console.

use serde_json::{Value, json};
use tidegate_sandbox::{
    node::Node,
    protocol::Service,
    world::{World, truth::Deployed},
};

use super::{ALARM, APPLICATION, After, Begun, CLUSTER, FAMILY, GROUP, SERVICE, done, perform, undone};
use crate::{fault::HandMishap, oracle::traffic::PRODUCTION, scene::Scene};

pub(super) fn begin(scene: &Scene, how: HandMishap) -> Begun {
    match how {
        HandMishap::ListenerToFirst => listener(scene, [100, 0]),
        HandMishap::ListenerToSecond => listener(scene, [0, 100]),
        HandMishap::ListenerHalf => listener(scene, [50, 50]),
        HandMishap::StopsDeployment => stop(scene, true),
        HandMishap::StopsAndLeaves => stop(scene, false),
        HandMishap::ContinuesTraffic => go_on(scene, "READY_WAIT", |deployment| deployment.ready),
        HandMishap::ContinuesTermination => {
            go_on(scene, "TERMINATION_WAIT", |deployment| deployment.waits_to_terminate)
        }
        HandMishap::StopsTask => {
            let tasks = serving_tasks(&scene.sandbox.world());
            let Some(task) = tasks.first() else { return Begun::NotYet };
            done(stop_task(scene, task))
        }
        HandMishap::SetsDesiredCount => scale(scene, |count| count + 2),
        HandMishap::DeregistersNewest => {
            let Some(newest) = describe(scene, FAMILY) else { return Begun::NotYet };
            let arn = newest.get("taskDefinitionArn").as_text().unwrap_or_default();
            done(perform(scene, Service::Ecs, "DeregisterTaskDefinition", &json!({ "taskDefinition": arn })))
        }
        HandMishap::DeletesAlarm => delete_alarm(scene),
        HandMishap::SwitchesRollbackOff => {
            let answer = rollback(scene, false);
            undone(answer, |scene| drop(rollback(scene, true)))
        }
    }
}

/// The deployment that somebody began and that is under way.
pub(super) fn open(world: &World) -> Option<Deployed> {
    world.deployed().into_iter().find(|deployment| !deployment.ended && !deployment.rollback)
}

/// Writes the production listener by weights of the pair's first and second group; afterwards whoever did it puts right what is
/// still as it was written: to what it was under the same deployment, else to what serves.
pub(super) fn listener(scene: &Scene, weights: [u32; 2]) -> Begun {
    let (found, pair, under) = {
        let world = scene.sandbox.world();
        let found = world.live_listeners().into_iter().find(|listener| listener.port == PRODUCTION);
        let pair = pair(&world);
        (found, pair, open(&world).map(|deployment| deployment.id))
    };
    let (Some(found), [Some(first), Some(second)]) = (found, pair) else { return Begun::NotYet };
    let written = vec![(first, weights[0]), (second, weights[1])];
    if sorted(&found.forward) == sorted(&written) {
        return Begun::NotYet;
    }
    let arn = found.arn.clone();
    undone(forward(scene, &arn, &written), move |scene| {
        let (now, still, primary) = {
            let world = scene.sandbox.world();
            let now = world.live_listeners().into_iter().find(|listener| listener.arn == arn);
            (now, open(&world).map(|deployment| deployment.id), world.primary_group(CLUSTER, SERVICE))
        };
        if now.is_none_or(|now| sorted(&now.forward) != sorted(&written)) {
            return;
        }
        match (still, primary) {
            (Some(still), _) if under == Some(still.clone()) => drop(forward(scene, &arn, &found.forward)),
            (None, Some(primary)) => drop(forward(scene, &arn, &[(primary, 100)])),
            (Some(_) | None, _) => {}
        }
    })
}

/// Groups with weight: a group without is as good as none.
fn sorted(weights: &[(String, u32)]) -> Vec<(String, u32)> {
    let mut sorted: Vec<_> = weights.iter().filter(|(_, weight)| *weight > 0).cloned().collect();
    sorted.sort();
    sorted
}

fn forward(scene: &Scene, listener: &str, weights: &[(String, u32)]) -> Option<Node> {
    perform(scene, Service::Elb, "ModifyListener", &forwards(listener, weights))
}

/// The service's pair of target groups, in the order of their names in the world.
pub(crate) fn pair(world: &World) -> [Option<String>; 2] {
    ["ecommerce-blue", "ecommerce-green"].map(|name| world.target_group_named(name))
}

/// What `ModifyListener` takes to give groups these weights.
pub(crate) fn forwards(listener: &str, weights: &[(String, u32)]) -> Value {
    let groups: Vec<Value> =
        weights.iter().map(|(group, weight)| json!({ "TargetGroupArn": group, "Weight": weight })).collect();
    let action = json!({ "Type": "forward", "ForwardConfig": { "TargetGroups": groups } });
    json!({ "ListenerArn": listener, "DefaultActions": [action] })
}

fn stop(scene: &Scene, rollback: bool) -> Begun {
    let Some(deployment) = open(&scene.sandbox.world()) else { return Begun::NotYet };
    let input = json!({ "deploymentId": deployment.id, "autoRollbackEnabled": rollback });
    done(perform(scene, Service::CodeDeploy, "StopDeployment", &input))
}

fn go_on(scene: &Scene, wait: &str, waits: impl Fn(&Deployed) -> bool) -> Begun {
    let open = open(&scene.sandbox.world()).filter(waits);
    let Some(deployment) = open else { return Begun::NotYet };
    let input = json!({ "deploymentId": deployment.id, "deploymentWaitType": wait });
    done(perform(scene, Service::CodeDeploy, "ContinueDeployment", &input))
}

/// Tasks behind the group with the most weight.
pub(super) fn serving_tasks(world: &World) -> Vec<String> {
    let sides = world.sides(PRODUCTION);
    let serving = sides.iter().max_by_key(|side| side.weight);
    serving.map(|side| world.running_behind(&side.group)).unwrap_or_default()
}

pub(super) fn stop_task(scene: &Scene, task: &str) -> Option<Node> {
    let input = json!({ "cluster": CLUSTER, "task": task, "reason": "somebody stopped it" });
    perform(scene, Service::Ecs, "StopTask", &input)
}

/// Changes how many tasks the service wants, and back.
pub(super) fn scale(scene: &Scene, to: impl Fn(u32) -> u32) -> Begun {
    let Some(before) = scene.sandbox.world().desired(CLUSTER, SERVICE) else { return Begun::NotYet };
    let set = |scene: &Scene, count: u32| {
        let input = json!({ "cluster": CLUSTER, "service": SERVICE, "desiredCount": count });
        perform(scene, Service::Ecs, "UpdateService", &input)
    };
    undone(set(scene, to(before)), move |scene| drop(set(scene, before)))
}

/// What a task definition is, as it is described.
pub(super) fn describe(scene: &Scene, asked: &str) -> Option<Node> {
    let input = json!({ "taskDefinition": asked });
    Some(perform(scene, Service::Ecs, "DescribeTaskDefinition", &input)?.get("taskDefinition").clone())
}

/// What of an alarm's description makes the same alarm again.
const ALARM_MEMBERS: [&str; 10] = [
    "AlarmName",
    "MetricName",
    "Namespace",
    "Statistic",
    "Dimensions",
    "Period",
    "EvaluationPeriods",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
];

fn delete_alarm(scene: &Scene) -> Begun {
    let found = perform(scene, Service::CloudWatch, "DescribeAlarms", &json!({ "AlarmNames": [ALARM] }));
    let alarm = found.and_then(|found| found.items("MetricAlarms").ok()?.first().cloned());
    let Some(alarm) = alarm else { return Begun::NotYet };
    perform(scene, Service::CloudWatch, "DeleteAlarms", &json!({ "AlarmNames": [ALARM] }));
    Begun::Until(After::then(move |scene| {
        let kept = alarm.members().iter().filter(|(name, _)| ALARM_MEMBERS.contains(&name.as_str()));
        super::send(scene, Service::CloudWatch, "PutMetricAlarm", Node::Map(kept.cloned().collect()));
    }))
}

fn rollback(scene: &Scene, on: bool) -> Option<Node> {
    let events = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"];
    let events = if on { &events[..] } else { &[] };
    let input = json!({
        "applicationName": APPLICATION,
        "currentDeploymentGroupName": GROUP,
        "autoRollbackConfiguration": { "enabled": on, "events": events },
    });
    perform(scene, Service::CodeDeploy, "UpdateDeploymentGroup", &input)
}
