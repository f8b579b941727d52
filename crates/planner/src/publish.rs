//! Rendering the draft as the published status: summary, conditions, machines, rollback grade.

use tidegate_model::{
    Fact, Why,
    decision::Decision,
    gate::{Gate, GateState},
    ledger::{Cause, Entry, RolloutEnd, RolloutPhase},
    schema::{LogFailures, SchemaPhase},
    status::{
        CalibrationStatus, CertificateStatus, Condition, ConditionStatus, ConditionType, Grade,
        ReleaseStatus, RollbackStatus, RolloutStatus, SchemaStatus, Summary, VerdictStatus, Versions,
    },
    verdict::Verdict,
    waiting::{Held, Reason},
};

use crate::{
    change::{self, Footing},
    draft::Draft,
    engine::codedeploy,
    gates,
    rollout::is_blue_going,
    traffic::green_percent,
};

/// Turns the draft into the decision.
pub(crate) fn decision(mut draft: Draft<'_>) -> Decision {
    for wait in &mut draft.waiting {
        wait.next_check_at = draft.next_look;
    }
    draft.waiting.sort_by_key(|wait| (rank(wait.reason), !wait.class.needs_somebody()));
    let status = status(&draft);
    Decision {
        entries: draft.entries,
        step: draft.step,
        waiting: draft.waiting,
        gates: draft.gates,
        status,
        next_look: draft.next_look,
    }
}

/// The deepest cause first: what a human must do, then closed gates, then activities. Among waits of a kind those come first that
/// need somebody.
fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::Held(_) => 0,
        Reason::RollingBack => 1,
        Reason::Refused | Reason::LedgerUnavailable => 2,
        Reason::Gate(_) => 3,
        Reason::InDoubt | Reason::Unobserved => 4,
        Reason::Provisioning
        | Reason::Shifting
        | Reason::Confirming
        | Reason::Baking
        | Reason::Retiring
        | Reason::Backfilling
        | Reason::BuildingIndex
        | Reason::MigrationTask
        | Reason::Soaking
        | Reason::Quarantined
        | Reason::Snapshotting => 5,
    }
}

fn status(draft: &Draft<'_>) -> ReleaseStatus {
    let state = &draft.state;
    let summary = summary(draft);
    let of_spec = state.refused.iter().flat_map(|refused| &refused.problems);
    ReleaseStatus {
        api_version: "tidegate/v1".to_owned(),
        led_by: None,
        name: draft.release.clone(),
        observed_at: draft.now,
        summary,
        versions: Versions {
            observed: draft.seen.spec.known().map(|read| read.version),
            in_force: state.accepted.as_ref().map(|a| a.version),
            in_flight: state.rollout.as_ref().map(|r| r.start.spec.version),
            refused: state.refused.as_ref().map(|r| r.version),
        },
        problems: of_spec.chain(&draft.order_problems).cloned().collect(),
        conditions: conditions(draft, summary),
        waiting: draft.waiting.clone(),
        rollout: rollout(draft),
        schema: schema(draft),
        gates: draft.gates.clone(),
        rollback: rollback(draft),
        verdict: verdict(draft),
        events: state.events.clone(),
    }
}

fn summary(draft: &Draft<'_>) -> Summary {
    let state = &draft.state;
    let waits = |f: fn(&Reason) -> bool| draft.waiting.iter().any(|wait| f(&wait.reason));
    let unread = waits(|r| matches!(r, Reason::Unobserved));
    if let Some(rollout) = &state.rollout {
        return match rollout.phase {
            RolloutPhase::RollingBack(_) if waits(keeps_from_going_back) => Summary::Held,
            RolloutPhase::RollingBack(_) => Summary::RollingBack,
            RolloutPhase::Preflight
            | RolloutPhase::Provisioning
            | RolloutPhase::Verifying
            | RolloutPhase::Shifting
            | RolloutPhase::Confirming
            | RolloutPhase::Baking
            | RolloutPhase::Retiring => in_flight_summary(draft),
        };
    }
    if begins_next(draft) {
        return Summary::Progressing;
    }
    let rolled_back = state.last.as_ref().is_some_and(|last| matches!(last.end, RolloutEnd::RolledBack(_)));
    match (&state.accepted, &state.refused) {
        (_, Some(_)) => Summary::Invalid,
        (None, None) => Summary::Unknown,
        (Some(_), None) if rolled_back => Summary::RolledBack,
        (Some(_), None) if waits(|r| matches!(r, Reason::Held(_))) => Summary::Held,
        (Some(_), None) if unread => Summary::Unknown,
        (Some(_), None) => Summary::Healthy,
    }
}

/// True in the pass in which what went back was not, or is no longer, what is in force: that begins in the next one, and has not gone back.
fn begins_next(draft: &Draft<'_>) -> bool {
    let state = &draft.state;
    let (Some(last), Some(accepted)) = (&state.last, &state.accepted) else { return false };
    let RolloutEnd::RolledBack(cause) = &last.end else { return false };
    let ended_now = draft.entries.contains(&Entry::RolloutEnded(last.end.clone()));
    ended_now && (*cause == Cause::Superseded || last.version != accepted.version) && state.refused.is_none()
}

/// True of what only people can put right before traffic goes back any further. Orders and the spec keep nothing from going
/// back.
fn keeps_from_going_back(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Held(
            Held::RollbackFailed | Held::ListenerEdited | Held::TrafficDisagrees | Held::LedgerBehind
        )
    )
}

fn in_flight_summary(draft: &Draft<'_>) -> Summary {
    let held = |reason: &Reason| matches!(reason, Reason::Held(_) | Reason::Gate(Gate::NotHeld));
    if draft.waiting.iter().any(|wait| held(&wait.reason)) {
        return Summary::Held;
    }
    let stuck = draft.waiting.iter().any(|wait| wait.class.needs_somebody());
    if stuck && draft.step.is_none() { Summary::Waiting } else { Summary::Progressing }
}

fn phase_word(draft: &Draft<'_>) -> &'static str {
    match (&draft.state.rollout, &draft.state.last) {
        (Some(rollout), _) => rollout.phase.as_str(),
        (None, Some(last)) => match last.end {
            RolloutEnd::Settled => "settled",
            RolloutEnd::RolledBack(_) => "rolled-back",
        },
        (None, None) if draft.state.accepted.is_some() => "settled",
        (None, None) => "unknown",
    }
}

fn rollout(draft: &Draft<'_>) -> RolloutStatus {
    let state = &draft.state;
    let in_flight = state.rollout.as_ref();
    let spec = in_flight.map(|r| &r.start.spec.spec).or(state.accepted.as_ref().map(|a| &a.spec));
    let primary = draft.seen.service.known().and_then(|service| service.primary());
    let blue = in_flight.map(|r| r.start.blue.clone()).or(primary.map(|set| set.revision.clone()));
    let green_group = in_flight.map(|r| &r.start.green_group);
    let deployment = in_flight.and_then(|r| r.deployment.as_deref());
    let asked = deployment
        .and_then(|id| codedeploy::deployment(draft.seen, id).known().copied().cloned())
        .and_then(|d| d.target.known().and_then(|target| target.green_weight));
    let cause = match (in_flight.map(|r| &r.phase), &state.last) {
        (Some(RolloutPhase::RollingBack(cause)), _) => Some(cause.clone()),
        (Some(_), _) | (None, None) => None,
        (None, Some(last)) => match &last.end {
            RolloutEnd::RolledBack(cause) => Some(cause.clone()),
            RolloutEnd::Settled => None,
        },
    };
    RolloutStatus {
        phase: phase_word(draft).to_owned(),
        since: in_flight.map(|r| r.since).or(state.last.as_ref().map(|last| last.at)).or(state.accepted_at),
        cluster: spec.map(|s| s.service.cluster.clone()).unwrap_or_default(),
        service: spec.map(|s| s.service.name.clone()).unwrap_or_default(),
        engine: "codedeploy".to_owned(),
        blue: blue.map(|arn| arn.to_string()),
        green: in_flight.and_then(|r| r.green.as_ref()).map(ToString::to_string),
        deployment: deployment.map(str::to_owned),
        green_weight: green_group.and_then(|group| green_percent(&draft.seen.listeners, group)),
        green_weight_asked: asked.map(f64::from),
        baked_seconds: in_flight.map(|r| r.bake.served_at(draft.now).as_secs()),
        bake_seconds: in_flight.map(|r| r.start.spec.spec.bake.duration().as_secs()),
        calibration: calibration(draft),
        detectable: in_flight
            .and_then(|r| r.baseline.as_ref())
            .map(|baseline| baseline.detectable.clone())
            .unwrap_or_default(),
        cause: cause.as_ref().map(ToString::to_string),
        cause_reason: cause.map(|c| c.as_str().to_owned()),
    }
}

fn calibration(draft: &Draft<'_>) -> Option<CalibrationStatus> {
    let (calibrated, at) = draft.state.calibrated.as_ref()?;
    Some(CalibrationStatus {
        at: *at,
        from: calibrated.from,
        minutes: calibrated.failures.minutes,
        zones: calibrated.zones,
        requests_per_minute: calibrated.failures.volume,
        message: calibrated.describe(),
    })
}

fn schema(draft: &Draft<'_>) -> Option<SchemaStatus> {
    let change = draft.state.change.as_ref()?;
    let check = draft.seen.schema.check.known();
    let journal = draft.seen.schema.journal.known();
    let left =
        journal.map(|j| j.backfills.values().map(tidegate_model::schema::BackfillProgress::keys_left).sum());
    let working = journal.and_then(|j| j.backfills.values().find(|progress| !progress.done));
    let hidden = journal.and_then(|journal| journal.hidden.as_ref());
    let counted = gates::counted(draft, change);
    let plan = change.opened.plan.approval_digest(counted.unmapped);
    let known = check.is_some() || change.checked.is_some();
    let remembered = draft.previous.and_then(|status| status.schema.as_ref());
    let phase = change::phase(draft).map(|phase| phase.as_str().to_owned());
    let plan_of = &change.opened.plan;
    let added: Vec<_> = plan_of.removes.iter().filter(|object| plan_of.adds.contains(object)).collect();
    Some(SchemaStatus {
        change: change.opened.plan.change.to_string(),
        instance: change.opened.schema.database.instance.clone(),
        phase: phase.or(remembered.map(|s| s.phase.clone())).unwrap_or_else(|| "unknown".into()),
        plan: plan.to_string(),
        removes: change.opened.plan.old_form().map(ToString::to_string).collect(),
        removes_added: added.iter().map(ToString::to_string).collect(),
        noticed: draft.seen.schema.preflight.known().map(|read| read.told.clone()).unwrap_or_default(),
        locked: locked(draft),
        backfill_keys_left: left,
        backfill_rows_per_second: working.and_then(tidegate_model::schema::BackfillProgress::rows_per_second),
        backfill_seconds_left: working.and_then(tidegate_model::schema::BackfillProgress::seconds_left),
        disagreeing: check.map(|c| c.disagreeing),
        unmapped: known.then_some(counted.unmapped),
        unmapped_back: known.then_some(counted.unmapped_back),
        conflicts: known.then_some(counted.conflicts),
        last_reader: change.last_reader.as_ref().map(|(reader, _)| reader.text.clone()),
        last_reader_at: change.last_reader.as_ref().map(|(_, at)| *at),
        quiet_since: change.quiet_since,
        vanishing: draft.seen.schema.dependencies.known().map(|d| d.vanishing.clone()).unwrap_or_default(),
        hidden_since: change.quarantine.and_then(|quarantine| quarantine.since),
        quarantine_seconds: hidden.map(|_| change.opened.schema.quarantine.duration().as_secs()),
        bypassed_by: hidden.map(|hidden| hidden.bypassed_by.clone()).unwrap_or_default(),
        snapshot: change.snapshot.clone(),
    })
}

/// One line a file.
fn locked(draft: &Draft<'_>) -> Vec<String> {
    let journal = draft.seen.schema.journal.known();
    let lines = journal.into_iter().flat_map(|journal| &journal.locks);
    lines.map(|(file, locks)| format!("{file}: {locks}")).collect()
}

/// What going back would be now: computed in every pass, shown always.
fn rollback(draft: &Draft<'_>) -> RollbackStatus {
    let state = &draft.state;
    if let Some(rollout) = &state.rollout {
        let proven = draft.is_open(Gate::RollbackReady);
        let blue = &rollout.start.blue;
        let retiring = rollout.phase == RolloutPhase::Retiring || is_blue_going(draft, rollout);
        let how = if retiring {
            format!("abort: a new deployment of {blue} once it is removed, some minutes")
        } else if rollout.traffic_since.is_some() {
            format!("stop the deployment with rollback: traffic is on {blue} in seconds")
        } else {
            format!("stop the rollout: {blue} serves all traffic now")
        };
        let mut unproven = unproven_of_change(draft);
        if !proven && rollout.traffic_since.is_some() {
            unproven.insert(0, "that blue runs at full size was not read in this pass".into());
        }
        let grade = if retiring { Grade::Redeploy } else { Grade::Instant };
        let certificate = draft.seen.schema.certificate.known().map(|read| CertificateStatus {
            at: draft.now,
            proven: read.proven,
            unproven: read.unproven_count(),
            broken: read.broken_count,
        });
        return RollbackStatus { grade, how, unproven, certificate };
    }
    let Some((previous, digest)) = &state.previous else {
        return RollbackStatus {
            grade: Grade::None,
            how: "no revision before the serving one is known".into(),
            unproven: vec![],
            certificate: None,
        };
    };
    let footing = change::footing(draft, digest);
    if footing == Footing::Gone {
        // Of a change before the last one only the floor is left.
        let change = state.change.as_ref().filter(|change| change::may_name(draft, change, digest));
        let snapshot =
            change.and_then(|change| change.snapshot.as_deref()).unwrap_or("the snapshot before that purge");
        let purged_at = change.and_then(|change| change.purged_at.or(change.contracted_at));
        let since = purged_at.map(|at| format!("; the purge was {} ago", crate::draft::age(at, draft.now)));
        let how = format!(
            "by people only: restore {snapshot} to a new instance (10 to 30 minutes), point the secret at it, deploy {previous}; everything written since the snapshot is lost{}",
            since.unwrap_or_default()
        );
        return RollbackStatus { grade: Grade::Restore, how, unproven: vec![], certificate: None };
    }
    let active = draft
        .seen
        .revisions
        .get(&previous.0)
        .is_some_and(|fact| matches!(fact, Fact::Known(found) if found.active));
    let mut unproven = vec![];
    if !active {
        unproven.push(format!("that {previous} can still be deployed was not read in this pass"));
    }
    let in_doubt = footing == Footing::InDoubt;
    if in_doubt {
        unproven.push("that the old form is still there: a call that drops it is in doubt".into());
    }
    let lost = if in_doubt { "" } else { ", nothing is lost" };
    let first = if change::is_in_the_way(draft) { "the hidden form is given back, then " } else { "" };
    RollbackStatus {
        grade: Grade::Redeploy,
        how: format!("abort: {first}a new deployment of {previous}, some minutes{lost}"),
        unproven,
        certificate: None,
    }
}

/// What is not known of how blue would fare under the change, with what would tell more.
fn unproven_of_change(draft: &Draft<'_>) -> Vec<String> {
    let mut unproven = Vec::new();
    if let Some(certificate) = draft.seen.schema.certificate.known() {
        if let Some(missing) = &certificate.missing {
            unproven.push(format!("that blue's statements hold under the change: {missing}"));
        }
        if let Some(first) = certificate.unproven.first() {
            let (count, all) = (certificate.unproven_count(), certificate.statements);
            unproven.push(format!(
                "that {count} of {all} statements hold under the change; the first one: {} ({})",
                first.text, first.why
            ));
        }
    }
    match &draft.seen.schema.failures {
        Fact::Known(LogFailures { problem: Some(problem), .. }) => {
            unproven.push(format!("whether statements fail: the server's log cannot tell ({problem})"));
        }
        Fact::Known(LogFailures { count, last: Some(last), since, .. }) => {
            let since = since.strftime("%F %T");
            unproven.push(format!(
                "{count} statements on the change's tables failed since {since}; the last one, of role {}: {} ({})",
                last.role, last.text, last.how
            ));
        }
        Fact::Known(_) | Fact::Absent | Fact::Unknown(Why::NotAsked) => {}
        Fact::Unknown(why) => {
            unproven.push(format!(
                "whether statements fail: the server's log could not be read ({})",
                why.as_str()
            ));
        }
    }
    let roles = draft.seen.schema.certificate.known().map(|certificate| certificate.roles.as_slice());
    if let Some([only]) = roles {
        unproven.push(format!(
            "which statements are blue's: all are of role {only}; a database role of its own for each colour would tell"
        ));
    }
    let change = draft.state.change.as_ref().filter(|change| change.is_open());
    let missed = change.map_or(0, |change| gates::counted(draft, change).unmapped_back);
    if missed > 0 {
        unproven.push(format!("{missed} rows have no old form: blue would not see what was written there"));
    }
    let disagreeing = draft.seen.schema.check.known().filter(|check| check.disagreeing > 0);
    if let Some(check) = disagreeing {
        let of = if check.sampled { " of a sample" } else { "" };
        unproven.push(format!("in {} rows{of} the old form is not what the new one says", check.disagreeing));
    }
    unproven
}

fn verdict(draft: &Draft<'_>) -> Option<VerdictStatus> {
    match &draft.judgement {
        Some(judgement) => Some(VerdictStatus {
            message: match &judgement.verdict {
                Verdict::Fail(finding) => finding.to_string(),
                Verdict::Pass => "green is no worse than blue".into(),
                Verdict::Undecided => "too little was seen to say".into(),
                Verdict::Suspect => judgement
                    .suspicion()
                    .map_or_else(|| "green may be worse than blue".into(), ToString::to_string),
                Verdict::NoData { minutes } => {
                    format!("green reported nothing for {minutes} minutes in which traffic was due")
                }
            },
            verdict: judgement.verdict.clone(),
            until: judgement.until,
            evidence: judgement.evidence.clone(),
            dry_run: judgement.dry_run.clone(),
            rules: judgement.rules.clone(),
        }),
        None => draft.previous.and_then(|status| status.verdict.clone()),
    }
}

fn conditions(draft: &Draft<'_>, summary: Summary) -> Vec<Condition> {
    let version = draft.state.accepted.as_ref().map(|a| a.version);
    ConditionType::ALL
        .into_iter()
        .map(|kind| {
            let (status, reason, message) = condition(draft, summary, kind);
            Condition { r#type: kind, status, observed_version: version, reason: reason.to_owned(), message }
        })
        .collect()
}

fn truth(value: bool) -> ConditionStatus {
    if value { ConditionStatus::True } else { ConditionStatus::False }
}

/// A gate's reading as a condition; Unknown if it was not read in this pass.
fn from_gate(draft: &Draft<'_>, gate: Gate) -> (ConditionStatus, &'static str, String) {
    match draft.gates.iter().find(|reading| reading.gate == gate).map(|reading| &reading.state) {
        Some(GateState::Open) => (ConditionStatus::True, "GateOpen", format!("{} is open", gate.as_str())),
        Some(GateState::NotApplicable) => {
            (ConditionStatus::True, "NotApplicable", format!("{} does not apply", gate.as_str()))
        }
        Some(GateState::Closed(closed)) => (ConditionStatus::False, "GateClosed", closed.message.clone()),
        None => {
            (ConditionStatus::Unknown, "NotRead", format!("{} was not read at this stage", gate.as_str()))
        }
    }
}

fn condition(
    draft: &Draft<'_>,
    summary: Summary,
    kind: ConditionType,
) -> (ConditionStatus, &'static str, String) {
    use ConditionStatus::{False, True, Unknown};
    let state = &draft.state;
    let phase = state.rollout.as_ref().map(|r| &r.phase);
    let shifted =
        matches!(phase, Some(RolloutPhase::Confirming | RolloutPhase::Baking | RolloutPhase::Retiring));
    let settled = phase.is_none()
        && state.accepted.is_some()
        && state.last.as_ref().is_none_or(|last| last.end == RolloutEnd::Settled);
    let first = draft.waiting.first().map(|wait| wait.message.clone());
    let first = first.unwrap_or_else(|| "nothing is known of it yet".to_owned());
    match kind {
        ConditionType::Ready => match summary {
            Summary::Healthy => (True, "Settled", "the world matches the spec in force".into()),
            Summary::Unknown => (Unknown, "Unobserved", first),
            Summary::Progressing
            | Summary::Waiting
            | Summary::Held
            | Summary::RollingBack
            | Summary::RolledBack
            | Summary::Invalid => (False, summary.as_str(), first),
        },
        ConditionType::Reconciling => {
            let moving = phase.is_some() || draft.step.is_some();
            (
                truth(moving),
                if moving { "InFlight" } else { "AtRest" },
                format!("rollout is {}", phase_word(draft)),
            )
        }
        ConditionType::Stalled => {
            let stalled = draft.waiting.iter().find(|wait| wait.class.needs_somebody());
            let contract = |r: &Reason| matches!(r, Reason::Gate(g) if *g >= Gate::ReadersGone);
            match stalled.filter(|w| !contract(&w.reason)) {
                Some(wait) => (True, "NeedsSomebody", wait.message.clone()),
                None => (False, "Moving", "nothing waits for a human".into()),
            }
        }
        ConditionType::SpecValid => match &state.refused {
            Some(refused) => (False, "Refused", refused.describe()),
            None if state.accepted.is_some() => (True, "Accepted", "the newest spec is in force".into()),
            None => (Unknown, "NotRead", "no spec was accepted yet".into()),
        },
        ConditionType::Synced => {
            let held = draft.waiting.iter().find(|w| matches!(w.reason, Reason::Held(h) if h != tidegate_model::waiting::Held::Ordered && h != tidegate_model::waiting::Held::RevisionFailed));
            match held {
                Some(wait) => (False, "Drifted", wait.message.clone()),
                None if draft.seen.listeners.known().is_some() => {
                    (True, "Agreed", "listener, task sets and ledger agree".into())
                }
                None => (Unknown, "NotRead", "the listeners were not read".into()),
            }
        }
        ConditionType::Suspended => {
            let held = state.hold.is_some();
            (
                truth(held),
                if held { "HoldOrdered" } else { "NoHold" },
                if held { "a hold is ordered".into() } else { "no hold is ordered".into() },
            )
        }
        ConditionType::DatabaseExpanded => match change::phase(draft) {
            Some(SchemaPhase::Expanded | SchemaPhase::Soaking) => {
                (True, "Expanded", "both forms are in the database".into())
            }
            Some(SchemaPhase::Hidden | SchemaPhase::Snapshotting) => {
                (True, "Hidden", "both forms are in the database, the old one hidden".into())
            }
            Some(SchemaPhase::Purged) => (False, "Purged", "only the new form is left".into()),
            Some(SchemaPhase::Absent | SchemaPhase::Expanding | SchemaPhase::Backfilling) => {
                (False, "Expanding", "expand is not complete".into())
            }
            None if state.change.is_none() => (False, "NoChange", "no change was opened".into()),
            None => (Unknown, "NotRead", "the database was not read".into()),
        },
        ConditionType::GreenHealthy => from_gate(draft, Gate::GreenHealthy),
        ConditionType::TrafficShifted => {
            let all = shifted || settled;
            (
                truth(all),
                if all { "AllOnTarget" } else { "NotShifted" },
                format!("rollout is {}", phase_word(draft)),
            )
        }
        ConditionType::Baked => {
            let retires = matches!(phase, Some(RolloutPhase::Retiring));
            let done = retires || settled || phase.is_some() && draft.is_open(Gate::Baked);
            (
                truth(done),
                if done { "Served" } else { "NotServed" },
                format!("rollout is {}", phase_word(draft)),
            )
        }
        ConditionType::Promoted => (
            truth(settled),
            if settled { "Settled" } else { "NotSettled" },
            format!("rollout is {}", phase_word(draft)),
        ),
        ConditionType::RolledBack => {
            match state.last.as_ref().filter(|_| phase.is_none()).map(|last| &last.end) {
                Some(RolloutEnd::RolledBack(cause)) => (True, "RolledBack", cause.to_string()),
                Some(RolloutEnd::Settled) | None => {
                    (False, "NotRolledBack", "the last rollout did not go back".into())
                }
            }
        }
        ConditionType::ContractAllowed => {
            let allowed = change::contract_allowed(draft);
            (
                truth(allowed),
                if allowed { "GatesOpen" } else { "GatesClosed" },
                if allowed {
                    "every gate before contract is open".into()
                } else {
                    "a gate before contract is closed or was not read".into()
                },
            )
        }
        ConditionType::Contracted => {
            let done = state.change.as_ref().is_some_and(|change| !change.is_open());
            (
                truth(done),
                if done { "Purged" } else { "NotPurged" },
                if done {
                    "the old form is gone".into()
                } else {
                    "the old form is there, or there is no change".into()
                },
            )
        }
    }
}
