//! F19, F20, F22: what AWS itself does wrong, and what is done to snapshots.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate_sandbox::{
    node::Node,
    protocol::Service,
    world::{codedeploy::CodeDeployMishap, rds, truth::Deployed},
};
use tokio::time::Instant;

use super::{ALARM, After, Begun, INSTANCE, done, hand, perform, undone};
use crate::{
    database::story,
    fault::{CodedeployMishap, MetricsMishap, SnapshotMishap, seconds},
    scene::{Scene, locked},
};

fn signed(lasts: u64) -> SignedDuration {
    SignedDuration::try_from(seconds(lasts)).unwrap_or_default()
}

/// F19.
pub(super) fn codedeploy(scene: &Scene, how: CodedeployMishap, lasts: u64) -> Begun {
    let how = match how {
        CodedeployMishap::SaysSucceeded => CodeDeployMishap::SaysSucceeded,
        CodedeployMishap::Stands => CodeDeployMishap::Stands(signed(lasts.max(60))),
        CodedeployMishap::FailsHalfWay => CodeDeployMishap::FailsHalfWay,
        CodedeployMishap::RollbackFails => CodeDeployMishap::RollbackFails,
        CodedeployMishap::StopIsLost => CodeDeployMishap::StopIsLost,
    };
    if !scene.sandbox.world().codedeploy_goes_wrong(how) {
        return Begun::NotYet;
    }
    match how {
        CodeDeployMishap::Stands(_) => Begun::Until(After::then(|_| {})),
        CodeDeployMishap::SaysSucceeded
        | CodeDeployMishap::FailsHalfWay
        | CodeDeployMishap::RollbackFails
        | CodeDeployMishap::StopIsLost => Begun::Done,
    }
}

/// True if CodeDeploy has taken something back, and that has ended without success.
pub(super) fn a_rollback_has_failed(scene: &Scene) -> bool {
    let failed = |deployment: &Deployed| deployment.rollback && deployment.ended && !deployment.succeeded;
    scene.sandbox.world().deployed().iter().any(failed)
}

/// What CloudWatch does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Anything.
    All,
    /// What is younger than this.
    Younger(SignedDuration),
    /// Half of the newest minute.
    HalfOfTheNewest,
}

impl Gap {
    fn mishap(self) -> MetricsMishap {
        match self {
            Self::All => MetricsMishap::Missing,
            Self::Younger(_) => MetricsMishap::Late,
            Self::HalfOfTheNewest => MetricsMishap::Rewritten,
        }
    }
}

/// Times in which CloudWatch does not tell everything.
#[derive(Debug, Default)]
pub(crate) struct Gaps(Vec<(Instant, Gap)>);

impl Gaps {
    /// Takes from an answer of GetMetricData what is not told now; what has changed it.
    pub(crate) fn reshape(&self, answer: &mut Node, now: Timestamp) -> Vec<MetricsMishap> {
        let at = Instant::now();
        let mut changed = Vec::new();
        for (_, gap) in self.0.iter().filter(|(until, _)| *until > at) {
            let before = answer.clone();
            let Node::Map(members) = &mut *answer else { break };
            let results = members.iter_mut().filter(|(name, _)| name == "MetricDataResults");
            for (_, results) in results {
                if let Node::List(results) = results {
                    results.iter_mut().for_each(|result| withhold(result, *gap, now));
                }
            }
            changed.extend((*answer != before).then_some(gap.mishap()));
        }
        changed
    }
}

fn withhold(result: &mut Node, gap: Gap, now: Timestamp) {
    let times: Vec<Option<Timestamp>> = result
        .items("Timestamps")
        .unwrap_or_default()
        .iter()
        .map(|node| if let Node::Time(at) = node { Some(*at) } else { None })
        .collect();
    let newest = times.iter().flatten().max().copied();
    let mut values: Vec<Node> = result.items("Values").unwrap_or_default().to_vec();
    let kept = |place: usize| match gap {
        Gap::All => false,
        Gap::Younger(than) => times.get(place).copied().flatten().is_some_and(|at| at <= now - than),
        Gap::HalfOfTheNewest => true,
    };
    if gap == Gap::HalfOfTheNewest {
        for (value, at) in values.iter_mut().zip(&times) {
            if let (Node::Float(value), true) = (value, *at == newest) {
                *value /= 2.0;
            }
        }
    }
    let places = || (0..times.len()).filter(|place| kept(*place));
    let stamps = places().filter_map(|place| times.get(place).copied().flatten()).map(Node::Time).collect();
    let values = places().filter_map(|place| values.get(place).cloned()).collect();
    result.set("Timestamps", Node::List(stamps));
    result.set("Values", Node::List(values));
}

/// F20.
pub(super) fn metrics(scene: &Scene, how: MetricsMishap, lasts: u64) -> Begun {
    let gap = match how {
        MetricsMishap::Missing => Gap::All,
        MetricsMishap::Late => Gap::Younger(SignedDuration::from_mins(10)),
        MetricsMishap::Rewritten => Gap::HalfOfTheNewest,
        MetricsMishap::AlarmRed => {
            let mut world = scene.sandbox.world();
            if hand::open(&world).is_some() {
                return Begun::NotYet;
            }
            world.redden_alarm(ALARM, signed(lasts.max(60)));
            return Begun::Until(After::then(|_| {}));
        }
        MetricsMishap::AlarmInsufficient => {
            let input =
                json!({ "AlarmName": ALARM, "StateValue": "INSUFFICIENT_DATA", "StateReason": "by hand" });
            return done(perform(scene, Service::CloudWatch, "SetAlarmState", &input));
        }
    };
    locked(&scene.gaps).0.push((Instant::now() + seconds(lasts.max(60)), gap));
    Begun::Until(After::then(|_| {}))
}

/// F22.
pub(super) fn snapshot(scene: &Scene, how: SnapshotMishap, lasts: u64) -> Begun {
    match how {
        SnapshotMishap::Fails => wrong(scene, rds::SnapshotMishap::Fails, Begun::Done),
        SnapshotMishap::Sticks => {
            let sticks = rds::SnapshotMishap::Sticks(signed(lasts.max(60)));
            wrong(scene, sticks, Begun::Until(After::then(|_| {})))
        }
        SnapshotMishap::Deleted => match newest(scene, true) {
            Some(id) => {
                let input = json!({ "DBSnapshotIdentifier": id });
                done(perform(scene, Service::Rds, "DeleteDBSnapshot", &input))
            }
            None => Begun::NotYet,
        },
        SnapshotMishap::Untagged => match newest(scene, false) {
            Some(id) => {
                let arn = format!("arn:aws:rds:eu-west-1:123456789012:snapshot:{id}");
                let input = json!({ "ResourceName": arn, "TagKeys": ["tidegate:marker"] });
                done(perform(scene, Service::Rds, "RemoveTagsFromResource", &input))
            }
            None => Begun::NotYet,
        },
        SnapshotMishap::InstanceBusy => {
            if !is_hidden(scene) || newest(scene, false).is_some() {
                return Begun::NotYet;
            }
            let input = json!({ "DBInstanceIdentifier": INSTANCE, "DBSnapshotIdentifier": "somebody-s-own" });
            if perform(scene, Service::Rds, "CreateDBSnapshot", &input).is_none() {
                return Begun::NotYet;
            }
            wrong(
                scene,
                rds::SnapshotMishap::Sticks(signed(lasts.max(60))),
                Begun::Until(After::then(|_| {})),
            )
        }
        SnapshotMishap::Quota => {
            if !is_hidden(scene) {
                return Begun::NotYet;
            }
            scene.sandbox.world().set_snapshot_quota(Some(0));
            undone(Some(Node::Null), |scene| scene.sandbox.world().set_snapshot_quota(None))
        }
    }
}

fn wrong(scene: &Scene, how: rds::SnapshotMishap, begun: Begun) -> Begun {
    if scene.sandbox.world().snapshot_goes_wrong(how) { begun } else { Begun::NotYet }
}

/// True once the old form is hidden: from then on a snapshot is near.
fn is_hidden(scene: &Scene) -> bool {
    scene.database.as_ref().is_some_and(|database| database.is_hidden(&story::customers(), "address"))
}

fn newest(scene: &Scene, available: bool) -> Option<String> {
    let kept = scene.sandbox.world().kept();
    let newest = kept.into_iter().max_by_key(|snapshot| snapshot.created)?;
    (newest.available || !available).then_some(newest.id)
}
