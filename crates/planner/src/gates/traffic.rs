//! Gates on traffic: the engine's settings, green, blue and the bake.

use std::collections::BTreeSet;

use tidegate_analysis::{Judgement, NO_DATA_MINUTES};
use tidegate_model::{
    Fact, Why,
    duration::human,
    gate::{Gate, GateReading},
    ledger::{Rollout, RolloutKind},
    observation::{DeploymentGroup, DeploymentStatus, Listeners, Service, TargetGroup, TaskSet},
    spec::Traffic,
    verdict::Verdict,
    waiting::Class,
};

use super::{closed, measured, not_applicable, open, unknown};
use crate::{draft::Draft, engine::codedeploy, traffic::left_behind};

/// Group, listeners, target groups and alarms give what the spec asks; nothing foreign runs, no alarm is red, blue is
/// healthy. Every problem stands in the message, with the exact setting to change.
pub(crate) fn engine_ready(draft: &Draft<'_>, rollout: &Rollout) -> GateReading {
    let gate = Gate::EngineReady;
    let Traffic::Codedeploy(traffic) = &rollout.start.spec.spec.traffic;
    let (service, group) = match (&draft.seen.service, &draft.seen.group) {
        (Fact::Known(service), Fact::Known(group)) => (service, group),
        (Fact::Absent, _) => {
            return closed(gate, Class::NeedsFix, "the service does not exist", "name an existing service");
        }
        (_, Fact::Absent) => {
            return closed(
                gate,
                Class::NeedsFix,
                "the deployment group does not exist",
                "name an existing application and group",
            );
        }
        (Fact::Unknown(why), _) => return unknown(gate, "the service", why.as_str()),
        (_, Fact::Unknown(why)) => return unknown(gate, "the deployment group", why.as_str()),
    };
    let mut problems = codedeploy::ready_problems(&rollout.start.spec.spec, traffic, group, service);
    problems.extend(traffic_problems(draft, rollout, service));
    problems.extend(alarm_problems(draft, rollout, group));
    problems.extend(foreign_deployment(draft, rollout));
    if !problems.is_empty() {
        let unblock = "change what is named; it is looked at again by itself";
        return closed(gate, Class::NeedsFix, problems.join("; "), unblock);
    }
    unread(draft).map_or_else(|| open(gate), |(what, why)| unknown(gate, what, why.as_str()))
}

/// What the engine's readiness rests on and was not read: nobody has to mend it.
fn unread(draft: &Draft<'_>) -> Option<(&'static str, Why)> {
    let seen = draft.seen;
    let facts = [
        ("the listeners", seen.listeners.unknown()),
        ("target health", seen.health.unknown()),
        ("what the alarms show", seen.alarms.unknown()),
        ("what runs on the deployment group", seen.deployments.unknown()),
    ];
    facts.into_iter().find_map(|(what, why)| Some((what, why?)))
}

fn traffic_problems(draft: &Draft<'_>, rollout: &Rollout, service: &Service) -> Vec<String> {
    let mut problems = vec![];
    match &draft.seen.listeners {
        Fact::Known(listeners) => {
            if listeners.production.rules.iter().any(|rule| rule.sticky) {
                problems.push(
                    "target group stickiness is on: weights would not say where clients go; switch it off"
                        .into(),
                );
            }
            problems.extend(unprobed(rollout, listeners));
        }
        Fact::Absent => problems.push("the production listener does not exist".into()),
        Fact::Unknown(_) => {}
    }
    if draft.seen.health.unknown().is_none() {
        problems.extend(too_few_healthy(draft, &rollout.start.blue_group, service, "blue"));
    }
    if let Some(set) = left_behind(service, rollout.green.as_ref(), &rollout.start.green_group) {
        problems.push(not_cleared(set));
    }
    problems
}

/// A listener that probes cannot be sent to. They go to the load balancer by its own name, which no certificate of a team's covers, and
/// one that cannot be sent would take a good release back.
fn unprobed(rollout: &Rollout, listeners: &Listeners) -> Option<String> {
    let verifies = !rollout.start.spec.spec.verify.is_empty();
    let mut all = [Some(&listeners.production), listeners.test.as_ref()].into_iter().flatten();
    let listener = all.find(|listener| verifies && listener.address.starts_with("https:"))?;
    let arn = &listener.arn;
    Some(format!(
        "verify sends its probes by HTTP, and {arn} takes HTTPS only: leave verify out or give the group HTTP listeners"
    ))
}

pub(crate) fn not_cleared(set: &TaskSet) -> String {
    format!("{} still runs behind green's target group in task set {}; delete that set", set.revision, set.id)
}

/// Says so if a colour has fewer healthy targets than the service wants tasks.
fn too_few_healthy(
    draft: &Draft<'_>,
    group: &TargetGroup,
    service: &Service,
    colour: &str,
) -> Option<String> {
    match &draft.seen.health {
        Fact::Known(health) => {
            let Some(healthy) = health.get(group).map(|health| health.healthy) else {
                return Some(format!("{colour}'s target group is none that the deployment group names"));
            };
            (healthy < service.desired.max(1))
                .then(|| format!("{colour} has {healthy} healthy targets of {}", service.desired.max(1)))
        }
        Fact::Absent => Some(format!("{colour}'s target group does not exist")),
        Fact::Unknown(why) => Some(format!("target health is not known: {}", why.as_str())),
    }
}

/// Alarms of the group and of the spec's checks, those on trial left out.
fn alarm_problems(draft: &Draft<'_>, rollout: &Rollout, group: &DeploymentGroup) -> Vec<String> {
    let checks = rollout.start.spec.spec.checks.metrics.values().filter(|check| !check.dry_run);
    let own = checks.filter_map(|check| check.judge.alarm());
    let names: BTreeSet<&str> = group.alarms.iter().map(String::as_str).chain(own).collect();
    match &draft.seen.alarms {
        Fact::Known(alarms) => names
            .into_iter()
            .filter_map(|name| match alarms.iter().find(|alarm| alarm.name == name) {
                Some(alarm) if alarm.red => Some(format!("alarm {name} is red")),
                Some(_) => None,
                None => Some(format!("alarm {name} does not exist")),
            })
            .collect(),
        Fact::Absent => vec!["the group's alarms do not exist".into()],
        Fact::Unknown(_) => vec![],
    }
}

fn foreign_deployment(draft: &Draft<'_>, rollout: &Rollout) -> Vec<String> {
    match &draft.seen.deployments {
        Fact::Known(all) => all
            .iter()
            .filter(|d| !d.status.is_terminal() && Some(&d.id) != rollout.deployment.as_ref())
            .map(|d| format!("deployment {} is in progress on the group", d.id))
            .collect(),
        Fact::Absent | Fact::Unknown(_) => vec![],
    }
}

/// Enough healthy targets of the exact revision, read now.
pub(crate) fn green_healthy(draft: &Draft<'_>, rollout: &Rollout) -> GateReading {
    let gate = Gate::GreenHealthy;
    let Some(green) = &rollout.green else {
        return closed(gate, Class::NeedsTime, "green's revision is not known yet", "it is registered first");
    };
    let service = match &draft.seen.service {
        Fact::Known(service) => service,
        Fact::Absent => {
            return closed(gate, Class::NeedsFix, "the service does not exist", "name an existing service");
        }
        Fact::Unknown(why) => return unknown(gate, "the service", why.as_str()),
    };
    let group = &rollout.start.green_group;
    let wanted = service.desired.max(1);
    let Some(set) = service.task_set(green, group) else {
        return closed(
            gate,
            Class::NeedsTime,
            format!("no task set runs {green} behind {group}"),
            "CodeDeploy makes it",
        );
    };
    if set.running < wanted {
        let reading = closed(
            gate,
            Class::NeedsTime,
            "green's tasks are not all running",
            "look at the service's events if it stays so",
        );
        return measured(reading, set.running.to_string(), wanted.to_string());
    }
    // Going back does not wait for it: that is told once it has.
    let forward = rollout.start.kind == RolloutKind::Forward;
    if let Some(other) = left_behind(service, Some(green), group).filter(|_| forward) {
        return closed(gate, Class::NeedsFix, not_cleared(other), "it is looked at again by itself");
    }
    match too_few_healthy(draft, group, service, "green") {
        Some(problem) => {
            closed(gate, Class::NeedsTime, problem, "look at the targets' health reasons if it stays so")
        }
        None => open(gate),
    }
}

/// Every probe passed, on a test listener that forwards to green alone now as it did before.
pub(crate) fn verified(draft: &Draft<'_>, rollout: &Rollout) -> GateReading {
    let gate = Gate::Verified;
    if rollout.start.spec.spec.verify.is_empty() {
        return not_applicable(gate);
    }
    if rollout.verified.is_none() {
        return closed(
            gate,
            Class::NeedsTime,
            "the probes have not passed yet",
            "they are sent when green is healthy",
        );
    }
    let test = draft.seen.listeners.known().and_then(|l| l.test.as_ref());
    match test {
        Some(test) if test.forwards_only_to(&rollout.start.green_group) => open(gate),
        Some(_) => closed(
            gate,
            Class::NeedsHuman,
            "the test listener does not forward to green alone, so the probes may have asked blue",
            "put the test listener back to green's target group",
        ),
        None => unknown(gate, "the test listener", "it was not read"),
    }
}

/// Blue's history exists before the first weight; afterwards there is a verdict, and it is neither fail nor no data.
pub(crate) fn healthy_so_far(rollout: &Rollout, judgement: Option<&Judgement>) -> GateReading {
    let gate = Gate::HealthySoFar;
    match judgement.map(|j| &j.verdict) {
        None if rollout.traffic_since.is_some() => unknown(gate, "how green does", "it could not be judged"),
        None if rollout.baseline.is_some() => open(gate),
        None => closed(
            gate,
            Class::NeedsTime,
            "blue's last five closed minutes of traffic do not exist yet",
            "blue needs traffic: without it green cannot be compared",
        ),
        Some(Verdict::Pass | Verdict::Undecided) => open(gate),
        Some(Verdict::Suspect) => closed(
            gate,
            Class::NeedsTime,
            judgement.map_or_else(String::new, suspected_of),
            "it becomes clear with time and requests: it passes, or it is rolled back",
        ),
        Some(Verdict::Fail(finding)) => {
            closed(gate, Class::NeedsFix, finding.to_string(), "it is rolled back")
        }
        Some(Verdict::NoData { minutes }) => measured(
            closed(
                gate,
                Class::NeedsFix,
                "green should have traffic and reports none",
                "look at green's targets and listener",
            ),
            format!("{minutes} silent minutes"),
            format!("fewer than {NO_DATA_MINUTES}"),
        ),
    }
}

/// What makes green suspect: a rule, or the evidence.
fn suspected_of(judgement: &Judgement) -> String {
    let rule = judgement.suspicion().map(ToString::to_string);
    let evidence = || judgement.evidence.as_ref().map(ToString::to_string);
    rule.or_else(evidence).unwrap_or_default()
}

/// Rollback of grade instant is proven: blue's tasks run at full size, healthy or idle behind the listener, and CodeDeploy
/// can still go back.
pub(crate) fn rollback_ready(draft: &Draft<'_>, rollout: &Rollout) -> GateReading {
    let gate = Gate::RollbackReady;
    if let Some(reading) = broken_by_change(draft) {
        return reading;
    }
    let service = match &draft.seen.service {
        Fact::Known(service) => service,
        Fact::Absent => {
            return closed(gate, Class::NeedsFix, "the service does not exist", "restore the service");
        }
        Fact::Unknown(why) => return unknown(gate, "the service", why.as_str()),
    };
    let wanted = service.desired.max(1);
    let blue = &rollout.start;
    let running = service.task_set(&blue.blue, &blue.blue_group).map_or(0, |set| set.running);
    if running < wanted {
        let reading = closed(
            gate,
            Class::NeedsFix,
            format!("blue's {} does not run at full size", blue.blue),
            "look at blue's tasks; going back would need new ones",
        );
        return measured(reading, running.to_string(), wanted.to_string());
    }
    let alive = rollout.deployment.as_deref().map(|id| codedeploy::deployment(draft.seen, id));
    match alive {
        Some(Fact::Known(deployment)) if can_go_back(deployment.status) => open(gate),
        Some(Fact::Known(_) | Fact::Absent) => closed(
            gate,
            Class::NeedsHuman,
            "the deployment has ended, so CodeDeploy cannot go back at once",
            "roll back by abort once it is settled",
        ),
        Some(Fact::Unknown(why)) => unknown(gate, "the deployment", why.as_str()),
        None => closed(gate, Class::NeedsTime, "no deployment is there yet", "it is created first"),
    }
}

/// A statement of the revision from before that the change broke. What is unproven, or could not be read, closes nothing: the
/// way back must not depend on the database.
fn broken_by_change(draft: &Draft<'_>) -> Option<GateReading> {
    draft.state.change.as_ref().filter(|change| change.is_open())?;
    let certificate = draft.seen.schema.certificate.known()?;
    let first = certificate.broken.first()?;
    let reading = closed(
        Gate::RollbackReady,
        Class::NeedsFix,
        format!("the change broke a statement of the revision from before ({}): {}", first.why, first.text),
        "name the column with its table there; if nothing runs the statement any more, forget it with pg_stat_statements_reset",
    );
    Some(measured(reading, certificate.broken_count.to_string(), "0"))
}

fn can_go_back(status: DeploymentStatus) -> bool {
    !status.is_terminal()
}

/// The bake time is served.
pub(crate) fn baked(draft: &Draft<'_>, rollout: &Rollout) -> GateReading {
    let gate = Gate::Baked;
    let wanted = rollout.start.spec.spec.bake.duration();
    let served = rollout.bake.served_at(draft.now);
    if served >= wanted {
        return open(gate);
    }
    let reading = closed(
        gate,
        Class::NeedsTime,
        "green has not served everything for long enough",
        "it passes with time; shorten bake in the spec to pass earlier",
    );
    measured(reading, human(served), human(wanted))
}
