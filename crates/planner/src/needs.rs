//! Which facts a release's stage asks for: enough to decide, no more. Batched over releases by the observers.

use jiff::{SignedDuration, Timestamp};
use tidegate_analysis::{BASELINE_MINUTES, EVIDENCE_MINUTES};
use tidegate_model::{
    Fact, ReleaseName,
    decision::Step,
    ledger::{Accepted, ChangeState, ReleaseState, Rollout, RolloutPhase},
    observation::{
        Color, GroupNeeds, LogNeeds, MetricNeeds, MinutesNeeds, Needs, SchemaNeeds, TaskKey, TaskNeeds,
        UnderWayNeeds,
    },
    orders::{Orders, ParameterRead},
    runner::token_prefix,
    schema::CheckScope,
    spec::{self, ContractMode, MetricCheck, RevisionSpec, Spec, Traffic},
};

use crate::{calibration, change::unopened, engine::codedeploy::config_name, gates::quiet_wanted};

/// A deployment can live this long: 120 h from install to shift, 48 h of termination wait, and a day. Source: CodeDeploy's
/// limits for ECS.
const DEPLOYMENT_LIVES: SignedDuration = SignedDuration::from_hours(24 * 8);

/// Closed minutes that a judgement looks at, with room for late ones.
const JUDGED_MINUTES: u32 = 15;

/// Says what to observe for a release in this pass. `spec` and `orders` are read before anything else.
pub fn needs(
    release: &ReleaseName,
    state: &ReleaseState,
    spec: &Fact<ParameterRead>,
    orders: &Orders,
    now: Timestamp,
) -> Needs {
    let candidate = candidate(state, spec);
    let in_force =
        state.rollout.as_ref().map(|r| &r.start.spec.spec).or(state.accepted.as_ref().map(|a| &a.spec));
    let Some(target) = in_force.or(candidate.as_ref()) else { return Needs::default() };
    let mut needs = Needs {
        service: Some((target.service.cluster.clone(), target.service.name.clone())),
        traffic: true,
        history: calibration::needs(release, state, now),
        plan: candidate.as_ref().is_some_and(|spec| spec.schema.is_some()),
        ..Needs::default()
    };
    let Traffic::Codedeploy(traffic) = &target.traffic;
    let since = state.rollout.as_ref().map_or(now, |rollout| rollout.started) - DEPLOYMENT_LIVES;
    needs.group = Some(GroupNeeds {
        application: traffic.application.clone(),
        group: traffic.deployment_group.clone(),
        since,
        targets: true,
        stopped: state
            .rollout
            .as_ref()
            .filter(|rollout| rollout.continue_sent.is_none())
            .and_then(|rollout| rollout.deployment.clone()),
    });
    candidate_needs(&mut needs, candidate.as_ref());
    if let Some(rollout) = &state.rollout {
        rollout_needs(&mut needs, rollout, now);
    }
    if let Some(change) = state.change.as_ref().filter(|change| change.is_open()) {
        change_needs(&mut needs, state, change, (orders, now));
    } else if let Some(rollout) = state.rollout.as_ref().filter(|r| r.phase == RolloutPhase::Preflight) {
        expand_needs(&mut needs, &rollout.start.spec, true);
    } else if let Some(spec) = unopened(state) {
        expand_needs(&mut needs, spec, false);
    }
    task_needs(&mut needs, state);
    under_way_needs(&mut needs, (release, state), (orders, now));
    doubt_needs(&mut needs, state);
    needs
}

/// A spec that is not yet accepted or refused, if its text is valid.
fn candidate(state: &ReleaseState, spec: &Fact<ParameterRead>) -> Option<Spec> {
    let read = spec.known()?;
    let known = [
        state.accepted.as_ref().map(|a| (a.version, a.modified)),
        state.refused.as_ref().map(|r| (r.version, r.modified)),
    ];
    if known.contains(&Some((read.version, read.modified))) {
        return None;
    }
    spec::read(&read.text).ok()
}

fn candidate_needs(needs: &mut Needs, candidate: Option<&Spec>) {
    if let Some(RevisionSpec::TaskDefinition(exact)) = candidate.map(|spec| &spec.revision) {
        needs.revisions.push(exact.task_definition.clone());
    }
}

fn rollout_needs(needs: &mut Needs, rollout: &Rollout, now: Timestamp) {
    let spec = &rollout.start.spec;
    let Traffic::Codedeploy(traffic) = &spec.spec.traffic;
    match rollout.phase {
        RolloutPhase::Preflight => {
            alarm_needs(needs, &spec.spec);
            needs.revisions.push(spec.base.0.clone());
            needs.revisions.push(spec.base.family().to_owned());
            let (name, predefined) = config_name(traffic.shift);
            if !predefined {
                needs.deployment_config = Some(name);
            }
        }
        RolloutPhase::Provisioning
        | RolloutPhase::Verifying
        | RolloutPhase::Shifting
        | RolloutPhase::Confirming
        | RolloutPhase::Baking
        | RolloutPhase::Retiring => {
            alarm_needs(needs, &spec.spec);
            needs.minutes = Some(minutes_needs(rollout, now));
        }
        RolloutPhase::RollingBack(_) => {}
    }
}

fn alarm_needs(needs: &mut Needs, spec: &Spec) {
    needs.alarms = true;
    let own = spec.checks.metrics.values().filter_map(|check| check.judge.alarm());
    needs.own_alarms = own.map(str::to_owned).collect();
}

/// What blue's last hour is made of, and then what green is judged by.
fn minutes_needs(rollout: &Rollout, now: Timestamp) -> MinutesNeeds {
    let spec = &rollout.start.spec.spec;
    let count =
        if rollout.baseline.is_some() { judged_minutes(rollout, now) } else { BASELINE_MINUTES as u32 };
    let database = spec.schema.as_ref().filter(|_| spec.checks.database_connections.is_judged());
    let blue = Color { group: rollout.start.blue_group.clone(), revision: rollout.start.blue.clone() };
    let green = rollout.green.as_ref();
    let green = green.map(|arn| Color { group: rollout.start.green_group.clone(), revision: arn.clone() });
    let metric =
        |check: &MetricCheck| MetricNeeds { check: check.clone(), blue: blue.clone(), green: green.clone() };
    MinutesNeeds {
        count,
        connections_of: database.map(|schema| schema.database.instance.clone()),
        slow: rollout.baseline.as_ref().and_then(|baseline| baseline.slow),
        metrics: spec.checks.metrics.iter().map(|(name, check)| (name.clone(), metric(check))).collect(),
    }
}

/// Every minute since green's first weight, as long as evidence is gathered; then the last ones. Rounded up to few lengths: what
/// is asked for again in the same minute was answered already.
fn judged_minutes(rollout: &Rollout, now: Timestamp) -> u32 {
    let passed = rollout.traffic_since.map_or(0, |since| now.duration_since(since).as_secs() / 60);
    let wanted = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(3);
    let lengths = [JUDGED_MINUTES, 60, EVIDENCE_MINUTES + 3];
    lengths.into_iter().find(|length| *length >= wanted).unwrap_or(JUDGED_MINUTES)
}

/// Before the change is opened: what its gates look at, and whether the database knows it already.
fn expand_needs(needs: &mut Needs, spec: &Accepted, blockers: bool) {
    if let (Some(schema), Some(plan)) = (&spec.spec.schema, &spec.plan) {
        needs.instance = Some(schema.database.instance.clone());
        needs.schema = Some(SchemaNeeds {
            database: schema.database.clone(),
            plan: plan.clone(),
            blockers,
            check: None,
            evidence: false,
            certificate: false,
            log: None,
        });
    }
}

fn change_needs(
    needs: &mut Needs,
    state: &ReleaseState,
    change: &ChangeState,
    (orders, now): (&Orders, Timestamp),
) {
    let phase = state.rollout.as_ref().map(|rollout| &rollout.phase);
    let database = change.opened.schema.database.clone();
    if phase.is_none_or(|phase| *phase == RolloutPhase::Preflight) {
        needs.instance = Some(database.instance.clone());
    }
    if phase.is_none() {
        needs.snapshot.clone_from(&change.snapshot);
        needs.revisions.extend(state.previous.iter().map(|(arn, _)| arn.0.clone()));
    }
    needs.schema = Some(SchemaNeeds {
        database,
        plan: change.opened.plan.clone(),
        blockers: phase == Some(&RolloutPhase::Preflight),
        check: check_scope(state, change, orders, now),
        evidence: phase != Some(&RolloutPhase::Preflight),
        certificate: phase.is_some_and(goes_back_at_once),
        log: change.quarantine.map(|quarantine| LogNeeds { through: quarantine.through }),
    });
}

/// The run of the team's own tool, until its end is known.
fn task_needs(needs: &mut Needs, state: &ReleaseState) {
    let Some(change) = state.change.as_ref() else { return };
    let running = change.run.as_ref().filter(|run| run.end.is_none());
    if let (Some(run), Some(runner), Some((cluster, _))) =
        (running, &change.opened.plan.runner, needs.service.clone())
    {
        let by = TaskKey::Arn(run.arn.clone());
        needs.task = Some(TaskNeeds { cluster, container: runner.container.clone(), by });
    }
}

/// Before a run of the tool may be started: any that is under way and that the ledger does not know.
fn under_way_needs(
    needs: &mut Needs,
    (release, state): (&ReleaseName, &ReleaseState),
    (orders, now): (&Orders, Timestamp),
) {
    let change = state.change.as_ref().filter(|change| change.is_open());
    let run = change.and_then(|change| change.run.as_ref());
    if run.is_some_and(|run| run.end.is_none()) {
        return;
    }
    let plan = match &state.rollout {
        Some(rollout) if rollout.phase == RolloutPhase::Preflight => rollout.start.spec.plan.as_ref(),
        Some(_) => None,
        None => {
            change.filter(|change| contract_may_be_due(change, orders, now)).map(|change| &change.opened.plan)
        }
    };
    let runner = plan.and_then(|plan| plan.runner.as_ref());
    if let (Some(runner), Some((cluster, _))) = (runner, needs.service.clone()) {
        let (family, prefix) = (runner.family().to_owned(), token_prefix(release));
        needs.under_way = Some(UnderWayNeeds { cluster, family, prefix });
    }
}

/// Every row is checked before traffic moves, and before anything is hidden or purged; in between a sample tells enough, and
/// a large table is not read in every pass for days.
fn check_scope(
    state: &ReleaseState,
    change: &ChangeState,
    orders: &Orders,
    now: Timestamp,
) -> Option<CheckScope> {
    let Some(rollout) = &state.rollout else {
        let due = change.checked.is_none() || contract_may_be_due(change, orders, now);
        return Some(if due { CheckScope::Whole } else { CheckScope::Sample });
    };
    match rollout.phase {
        RolloutPhase::Verifying => Some(CheckScope::Whole),
        RolloutPhase::Shifting | RolloutPhase::Confirming | RolloutPhase::Baking => {
            // A check that a team wrote cannot be sampled.
            let generated = change.opened.plan.files.iter().any(|file| file.sync.is_some());
            generated.then_some(CheckScope::Sample)
        }
        RolloutPhase::Preflight
        | RolloutPhase::Provisioning
        | RolloutPhase::Retiring
        | RolloutPhase::RollingBack(_) => None,
    }
}

/// False if a gate before contract is closed whatever is read now.
fn contract_may_be_due(change: &ChangeState, orders: &Orders, now: Timestamp) -> bool {
    let quiet = change.quiet_since.is_some_and(|since| now.duration_since(since) >= quiet_wanted(change));
    let asked = match change.opened.schema.contract {
        ContractMode::Automatic => true,
        ContractMode::OnApproval => !orders.approve_contract.is_absent(),
        ContractMode::Never => false,
    };
    let served = change
        .quarantine
        .and_then(|quarantine| quarantine.since)
        .is_none_or(|since| now.duration_since(since) >= change.opened.schema.quarantine.duration());
    quiet && asked && served
}

/// While the revision from before is warm, or is about to be left.
fn goes_back_at_once(phase: &RolloutPhase) -> bool {
    match phase {
        RolloutPhase::Verifying
        | RolloutPhase::Shifting
        | RolloutPhase::Confirming
        | RolloutPhase::Baking => true,
        RolloutPhase::Preflight
        | RolloutPhase::Provisioning
        | RolloutPhase::Retiring
        | RolloutPhase::RollingBack(_) => false,
    }
}

/// What a call in doubt is settled by.
fn doubt_needs(needs: &mut Needs, state: &ReleaseState) {
    for (intent, _) in &state.open {
        match &intent.step {
            Step::RegisterTaskDefinition(register) => needs.revisions.push(register.base.family().to_owned()),
            Step::CreateDeploymentConfig { name, .. } => needs.deployment_config = Some(name.clone()),
            Step::CreateSnapshot { snapshot, .. } => needs.snapshot = Some(snapshot.clone()),
            Step::RunTask(run) => {
                let (cluster, container) = (run.cluster.clone(), run.container.clone());
                needs.task = Some(TaskNeeds { cluster, container, by: TaskKey::Token(run.token()) });
            }
            Step::CreateDeployment(_)
            | Step::ContinueTraffic { .. }
            | Step::ContinueTermination { .. }
            | Step::StopDeployment { .. }
            | Step::Verify(_)
            | Step::Expand(_)
            | Step::Backfill(_)
            | Step::Hide(_)
            | Step::Unhide(_)
            | Step::Purge(_) => {}
        }
    }
}
