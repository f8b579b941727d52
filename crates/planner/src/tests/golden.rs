//! Good worlds in which exactly one step is due: the laws would hold of a planner that does nothing.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use tidegate_analysis::{Pair, Tally, calibrate};
use tidegate_model::{
    Fact,
    decision::{Decision, Step},
    fact::Why,
    gate::Gate,
    ledger::{Entry, Refusals, RolloutEnd, RolloutKind},
    observation::{Counts, DeploymentStatus, Minute, TaskSet, TaskSetStatus},
    schema::Preflight,
    waiting::{Class, Held, Reason},
};

use super::{
    sketch::{
        AbortText, Change, Deployments, Evidence, Flight, Journal, Log, Minutes, Phase, Serving, Sketch,
        Snapshot, SpecText, Tool, calm, none,
    },
    word,
    world::{World, blue_group, build, green_group, steps},
};

/// A rollout in a phase, with all that is proven on the way there.
fn flight(phase: Phase) -> Flight {
    Flight {
        phase,
        age: 600,
        confirmations: 2,
        deployment: phase != Phase::Preflight,
        green: true,
        baseline: true,
        traffic: !matches!(phase, Phase::Preflight | Phase::Provisioning | Phase::Verifying),
        verified: true,
        probe_failed: false,
        baked: false,
        frozen: false,
        sent: (None, None, None),
    }
}

pub(super) fn in_flight(phase: Phase, status: DeploymentStatus, termination_wait: bool) -> Sketch {
    let mut sketch = calm();
    sketch.rollout = Some(flight(phase));
    sketch.traffic.service = Fact::Known(Serving::BlueWithGreen);
    sketch.traffic.deployments = Fact::Known(Deployments {
        ours: Some((status, termination_wait, false)),
        target: Fact::Known((None, termination_wait)),
        ..none()
    });
    sketch
}

pub(super) fn preflight() -> Sketch {
    Sketch { rollout: Some(flight(Phase::Preflight)), ..calm() }
}

/// Green serves alone; contract is due.
pub(super) fn settled() -> Sketch {
    let mut sketch = calm();
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    sketch
}

/// The old form is hidden and nobody missed it.
pub(super) fn hidden() -> Sketch {
    let mut sketch = settled();
    sketch.ledger.change = Some(Change::Quarantined);
    sketch.database.journal = Fact::Known(Journal::Hidden);
    sketch
}

/// The same, and the snapshot has its name.
pub(super) fn quarantined() -> Sketch {
    let mut sketch = hidden();
    sketch.ledger.change = Some(Change::SnapshotNamed);
    sketch
}

pub(super) fn baked() -> Sketch {
    let mut sketch = in_flight(Phase::Baking, DeploymentStatus::InProgress, true);
    sketch.rollout.as_mut().unwrap().baked = true;
    sketch.traffic.service = Fact::Known(Serving::GreenWithBlue);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    sketch.traffic.minutes = Fact::Known(Minutes::GreenOnly);
    sketch
}

/// For each step, in the order of [`Step::WORDS`], a world in which it is due.
fn due() -> [Sketch; 14] {
    let with = |mut sketch: Sketch, change: fn(&mut Sketch)| {
        change(&mut sketch);
        sketch
    };
    [
        with(preflight(), |s| {
            s.rollout.as_mut().unwrap().green = false;
            s.traffic.revisions = Fact::Known(false);
        }),
        with(preflight(), |s| s.traffic.config = Fact::Absent),
        preflight(),
        in_flight(Phase::Verifying, DeploymentStatus::Ready, false),
        baked(),
        with(in_flight(Phase::Shifting, DeploymentStatus::InProgress, false), |s| {
            s.asked.abort = Fact::Known(AbortText::InForce);
        }),
        with(in_flight(Phase::Verifying, DeploymentStatus::Ready, false), |s| {
            s.rollout.as_mut().unwrap().verified = false;
        }),
        with(preflight(), |s| {
            s.database.journal = Fact::Known(Journal::Opened);
            s.database.objects = Fact::Known((true, false));
            s.database.tool = Some(Tool::NotRun);
        }),
        with(preflight(), |s| {
            s.database.journal = Fact::Known(Journal::Opened);
            s.database.objects = Fact::Known((true, false));
        }),
        with(preflight(), |s| s.database.journal = Fact::Known(Journal::Expanded)),
        settled(),
        with(quarantined(), |s| s.ledger.change = Some(Change::Broken)),
        quarantined(),
        with(quarantined(), |s| s.database.snapshot = Fact::Known(Snapshot::Young)),
    ]
}

#[test]
fn each_step_is_decided_when_it_is_due() {
    assert_eq!(steps().iter().map(Step::as_str).collect::<Vec<_>>(), Step::WORDS);
    for (wanted, sketch) in Step::WORDS.into_iter().zip(due()) {
        let decision = build(&sketch).decide();
        assert_eq!(word(&decision), Some(wanted), "{:#?}", decision.waiting);
        assert_eq!(decision.next_look, super::now(), "what a step did is looked at at once");
    }
}

#[test]
fn no_traffic_leaves_a_revision_that_the_change_broke() {
    let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
    sketch.database.broken = Fact::Known(true);
    let decision = build(&sketch).decide();
    assert_eq!(word(&decision), None);
    let told = decision.waiting.iter().find(|wait| wait.reason == Reason::Gate(Gate::RollbackReady)).unwrap();
    assert!(told.message.contains("SELECT street FROM customers"), "{told:?}");
    assert_eq!((told.class, told.measured.as_deref()), (Class::NeedsFix, Some("1")));
    // What could not be read closes nothing.
    for unread in [Fact::Absent, Fact::Unknown(Why::Unreachable)] {
        sketch.database.broken = unread;
        assert_eq!(word(&build(&sketch).decide()), Some("continue-traffic"));
    }
}

#[test]
fn nothing_is_hidden_or_purged_on_the_word_of_a_sample() {
    let mut purge = quarantined();
    purge.database.snapshot = Fact::Known(Snapshot::Young);
    for mut sketch in [settled(), purge] {
        assert!(matches!(word(&build(&sketch).decide()), Some("hide" | "purge")));
        sketch.database.sampled = true;
        let decision = build(&sketch).decide();
        assert_eq!(word(&decision), None);
        assert!(
            decision.waiting.iter().any(|wait| wait.message.contains("sample")),
            "{:#?}",
            decision.waiting
        );
    }
}

#[test]
fn an_index_that_is_being_built_is_waited_for_and_one_whose_build_failed_is_begun_again() {
    let mut sketch = preflight();
    sketch.database.objects = Fact::Known((true, false));
    sketch.database.journal = Fact::Known(Journal::Building(true));
    let decision = build(&sketch).decide();
    assert_eq!(word(&decision), None);
    let told = decision
        .waiting
        .iter()
        .find(|wait| wait.reason == Reason::BuildingIndex)
        .map(|wait| wait.message.as_str());
    assert_eq!(told, Some("index public.customers_city: building index: scanning table, 40 %"));

    sketch.database.journal = Fact::Known(Journal::Building(false));
    assert_eq!(word(&build(&sketch).decide()), Some("expand"));
    sketch.ledger.refusals = Some(1);
    let decision = build(&sketch).decide();
    assert_eq!(word(&decision), None, "not at once: it may fail for the same rows");
    let waits = decision
        .waiting
        .iter()
        .any(|wait| wait.reason == Reason::Refused && wait.message.contains("2 attempts"));
    assert!(waits, "{:#?}", decision.waiting);
}

#[test]
fn a_backfill_pauses_while_the_server_has_enough_to_do_and_while_that_is_not_known() {
    let mut sketch = preflight();
    sketch.database.journal = Fact::Known(Journal::Expanded);
    assert_eq!(word(&build(&sketch).decide()), Some("backfill"));
    sketch.database.pressure = Fact::Known(true);
    let decision = build(&sketch).decide();
    assert_eq!(word(&decision), None);
    let wait = decision.waiting.iter().find(|wait| wait.reason == Reason::Backfilling).unwrap();
    assert_eq!(wait.class, Class::Throttled);
    assert!(wait.message.ends_with("it pauses: replica reports is 42 s behind"), "{}", wait.message);
    sketch.database.pressure = Fact::Unknown(Why::Throttled);
    assert_eq!(word(&build(&sketch).decide()), None);
}

#[test]
fn the_same_steps_are_not_decided_when_the_listener_is_unknown() {
    for (wanted, mut sketch) in Step::WORDS.into_iter().zip(due()) {
        sketch.traffic.listeners = Fact::Unknown(Why::Throttled);
        let decision = build(&sketch).decide();
        let harmless = ["stop-deployment", "expand", "backfill", "unhide", "create-snapshot"];
        assert!(
            word(&decision).is_none_or(|step| harmless.contains(&step)),
            "{:?} where {wanted} was due",
            word(&decision)
        );
    }
}

/// What cannot be given back in time is not hidden, and nothing is purged on the word of a log that cannot tell.
#[test]
fn a_log_that_cannot_tell_who_is_refused_stops_hiding_and_purge() {
    let mut purge = quarantined();
    purge.database.snapshot = Fact::Known(Snapshot::Young);
    let mut lost = purge.clone();
    lost.database.log = Fact::Known(Log::Lost);
    assert_eq!(word(&build(&lost).decide()), None, "what was lost may have been a refusal");
    for sketch in [settled(), purge] {
        assert!(word(&build(&sketch).decide()).is_some());
        for log in [
            Fact::Known(Log::Behind),
            Fact::Known(Log::Unclear),
            Fact::Unknown(Why::Denied),
            Fact::Unknown(Why::NotAsked),
            Fact::Absent,
        ] {
            let mut sketch = sketch.clone();
            sketch.database.log = log;
            let decision = build(&sketch).decide();
            assert_eq!(word(&decision), None, "{sketch:?}");
            let gate = Reason::Gate(Gate::HiddenLongEnough);
            assert!(decision.waiting.iter().any(|wait| wait.reason == gate), "{:#?}", decision.waiting);
        }
    }
}

#[test]
fn what_the_server_would_refuse_to_drop_is_told_before_anything_is_hidden() {
    let mut sketch = settled();
    assert_eq!(word(&build(&sketch).decide()), Some("hide"));
    sketch.database.dependencies = Fact::Known(true);
    let decision = build(&sketch).decide();
    assert_eq!(word(&decision), None);
    assert!(
        decision.waiting.iter().any(|wait| wait.message.starts_with("view labels depends")),
        "{:#?}",
        decision.waiting
    );
    assert_eq!(decision.status.schema.unwrap().vanishing, ["index customers_by_address"]);
}

#[test]
fn one_refused_statement_is_enough_to_give_the_hidden_form_back_whatever_is_held() {
    let mut sketch = quarantined();
    sketch.database.log = Fact::Known(Log::Missed);
    sketch.asked.hold = Fact::Known(());
    let world = build(&sketch);
    let decision = world.decide();
    assert_eq!(word(&decision), Some("unhide"));
    let state = super::after(&world, &decision);
    let change = state.change.unwrap();
    assert_eq!(change.quiet_since, Some(world.now), "the quiet window begins anew");
    assert!(change.last_reader.is_some_and(|(reader, _)| reader.how.contains("refused to role shop")));
}

#[test]
fn without_a_ledger_a_deployment_that_takes_a_version_back_is_adopted_as_one() {
    let adopted = |status, target, intent: &str, known: bool| {
        let mut sketch = in_flight(Phase::Preflight, status, false);
        sketch.rollout = None;
        let mut world = build(&sketch);
        if known {
            world.state.deployments.push(world.seen.deployments.known().unwrap()[0].id.clone());
        }
        world.seen.deployments = world.seen.deployments.map(|mut all| {
            all[0].marker.as_mut().unwrap().intent = intent.into();
            all[0].target = target;
            all
        });
        world.decide()
    };
    let target = || build(&in_flight(Phase::Preflight, DeploymentStatus::Ready, false)).seen.deployments;
    let named = target().known().unwrap()[0].target.clone();
    let kind = |decision: &Decision| {
        decision.entries.iter().find_map(|entry| {
            let Entry::RolloutStarted(start) = entry else { return None };
            Some(matches!(start.kind, RolloutKind::Redeploy { .. }))
        })
    };
    assert_eq!(kind(&adopted(DeploymentStatus::Ready, named.clone(), "i8", false)), Some(false));
    assert_eq!(kind(&adopted(DeploymentStatus::Ready, named.clone(), "r8", false)), Some(true));
    let early = adopted(DeploymentStatus::Created, Fact::Absent, "r8", false);
    assert_eq!(kind(&early), None, "it has not named what it brings back");
    assert!(early.waiting.iter().any(|wait| wait.reason == Reason::Unobserved), "{:#?}", early.waiting);

    let ended = |intent, known| adopted(DeploymentStatus::Succeeded, named.clone(), intent, known);
    let back =
        |decision: &Decision| decision.entries.iter().any(|entry| matches!(entry, Entry::RollbackDecided(_)));
    assert!(back(&ended("r8", false)), "it was taken back: it is not rolled out again");
    assert!(!back(&ended("i8", false)));
    assert!(!back(&ended("r8", true)), "the ledger knows better");
}

#[test]
fn a_deployment_of_ours_that_the_ledger_does_not_know_is_taken_over_once_nothing_is_in_doubt() {
    let mut sketch = in_flight(Phase::Preflight, DeploymentStatus::Ready, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    let knows = |sketch: &Sketch, intent: &str| {
        let mut world = build(sketch);
        world.seen.deployments = world.seen.deployments.map(|mut all| {
            all[0].marker.as_mut().unwrap().intent = intent.into();
            all
        });
        world.decide().entries.iter().any(|entry| matches!(entry, Entry::DeploymentKnown(_)))
    };
    assert!(knows(&sketch, "i8"));
    assert!(!knows(&sketch, "r8"), "it takes the version back");
    sketch.ledger.doubt = Some((2, true));
    assert!(!knows(&sketch, "i8"));
}

#[test]
fn a_redeployment_has_not_ended_while_what_it_replaces_runs_behind_the_same_group() {
    let mut sketch = in_flight(Phase::Redeploying, DeploymentStatus::Succeeded, true);
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    let mut world = build(&sketch);
    let ends = |world: &World| {
        let ended = |entry: &Entry| matches!(entry, Entry::RolloutEnded(RolloutEnd::RolledBack(_)));
        world.decide().entries.iter().any(ended)
    };
    assert!(ends(&world));

    let left = |running| {
        move |mut service: tidegate_model::observation::Service| {
            let set = service.task_sets[0].clone();
            let revision = tidegate_model::revision::RevisionArn("shop:9".into());
            service.task_sets.push(TaskSet {
                id: "set-9".into(),
                status: TaskSetStatus::Active,
                revision,
                running,
                ..set
            });
            service
        }
    };
    let alone = world.seen.service.clone();
    world.seen.service = alone.clone().map(left(1));
    assert!(!ends(&world));
    let decision = world.decide();
    let told = decision.waiting.iter().find(|wait| wait.reason == Reason::Held(Held::RollbackFailed));
    assert!(told.is_some_and(|wait| wait.message.contains("task set set-9")), "{:#?}", decision.waiting);
    world.seen.service = alone.map(left(0));
    assert!(ends(&world), "nothing runs in it any more");
}

#[test]
fn a_redeploy_waits_until_the_hidden_form_is_given_back_and_goes_on_if_that_is_refused() {
    let mut sketch = in_flight(Phase::Redeploying, DeploymentStatus::Succeeded, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    sketch.traffic.deployments = Fact::Known(none());
    assert_eq!(word(&build(&sketch).decide()), Some("create-deployment"));
    sketch.ledger.change = Some(Change::Quarantined);
    sketch.database.journal = Fact::Known(Journal::Hidden);
    let mut world = build(&sketch);
    assert_eq!(word(&world.decide()), Some("unhide"));
    let (last, code) = (world.now - SignedDuration::from_mins(10), "Privilege".to_owned());
    world.state.refusals = Some(Refusals { count: 3, of_unhide: 3, since: last, last, code, step: "unhide" });
    assert_eq!(word(&world.decide()), Some("create-deployment"));
    world.state.refusals = None;
    world.seen.schema.journal = Fact::Unknown(Why::Unreachable);
    assert_eq!(
        word(&world.decide()),
        Some("create-deployment"),
        "one that does not name it does not wait for the database"
    );
}

#[test]
fn a_right_that_was_given_by_hand_while_hidden_stops_purge() {
    let mut sketch = quarantined();
    sketch.database.snapshot = Fact::Known(Snapshot::Young);
    sketch.database.journal = Fact::Known(Journal::Regranted);
    let decision = build(&sketch).decide();
    assert_eq!(word(&decision), None);
    assert!(
        decision.waiting.iter().any(|wait| wait.message.contains("role guest")),
        "{:#?}",
        decision.waiting
    );
}

#[test]
fn what_somebody_gave_back_by_hand_is_not_hidden_again_before_a_new_quiet_window() {
    let mut sketch = quarantined();
    sketch.database.journal = Fact::Known(Journal::Filled);
    let world = build(&sketch);
    let decision = world.decide();
    assert_eq!(word(&decision), None, "{:#?}", decision.entries);
    let change = super::after(&world, &decision).change.unwrap();
    assert_eq!((change.quarantine, change.snapshot, change.quiet_since), (None, None, Some(world.now)));
}

/// Contract rests on traffic being where the ledger believes it: an old reader may be behind any other weight.
#[test]
fn purge_waits_for_whoever_moves_traffic_beside_us() {
    let mut sketch = quarantined();
    sketch.database.snapshot = Fact::Known(Snapshot::Young);
    assert_eq!(word(&build(&sketch).decide()), Some("purge"));
    let mut edited = sketch.clone();
    edited.traffic.listeners = Fact::Known((50, 50, false));
    assert_eq!(word(&build(&edited).decide()), None);
    let mut foreign = sketch.clone();
    foreign.traffic.deployments = Fact::Known(Deployments { foreign: true, ..none() });
    assert_eq!(word(&build(&foreign).decide()), None);
    for unknown in [
        |s: &mut Sketch| s.traffic.deployments = Fact::Unknown(Why::Throttled),
        |s: &mut Sketch| s.traffic.service = Fact::Unknown(Why::Throttled),
        |s: &mut Sketch| s.traffic.listeners = Fact::Absent,
    ] {
        let mut sketch = sketch.clone();
        unknown(&mut sketch);
        assert_eq!(word(&build(&sketch).decide()), None, "{sketch:?}");
    }
}

/// What serves by the listener is never deleted, whatever CodeDeploy waits for.
#[test]
fn nothing_is_let_go_behind_an_edited_listener() {
    for phase in [Phase::Baking, Phase::Retiring, Phase::Redeploying] {
        let mut sketch = baked();
        sketch.rollout.as_mut().unwrap().phase = phase;
        assert_eq!(word(&build(&sketch).decide()), Some("continue-termination"), "{phase:?}");
        sketch.traffic.listeners = Fact::Known((100, 0, false));
        let decision = build(&sketch).decide();
        assert_eq!(word(&decision), None, "{phase:?}");
        assert!(!decision.waiting.is_empty());
    }
}

/// CodeDeploy ended the Ready wait and goes back by itself: nothing to do, but a reason to say.
#[test]
fn the_end_of_the_ready_wait_is_waited_for_with_a_reason() {
    let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Stopped, false);
    sketch.rollout.as_mut().unwrap().age = 180_000;
    sketch.traffic.deployments = Fact::Known(Deployments {
        ours: Some((DeploymentStatus::Stopped, false, true)),
        rollback: DeploymentStatus::InProgress,
        ..none()
    });
    let decision = build(&sketch).decide();
    assert_eq!(word(&decision), None);
    assert!(!decision.waiting.is_empty());
}

/// A group may be edited or unread when the wait ends; the deployment says itself how long it waited.
#[test]
fn the_end_of_the_ready_wait_is_no_failure_whatever_the_group_says_by_then() {
    let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Stopped, false);
    sketch.rollout.as_mut().unwrap().age = 3_570;
    let is_made_again = |world: &World| {
        let decision = world.decide();
        let forgotten = decision.entries.contains(&Entry::DeploymentForgotten);
        let failed = decision.entries.iter().any(|entry| matches!(entry, Entry::RollbackDecided(_)));
        assert_ne!(forgotten, failed);
        forgotten
    };
    let mut world = build(&sketch);
    let Fact::Known(group) = &mut world.seen.group else { panic!("the group is known") };
    group.ready_wait_minutes = Some(120);
    assert!(!is_made_again(&world), "half of the group's wait is over, and the deployment does not say");
    let Fact::Known(deployments) = &mut world.seen.deployments else { panic!("the deployments are known") };
    deployments[0].ready_wait_minutes = Some(60);
    assert!(is_made_again(&world));
    world.seen.group = Fact::Unknown(Why::Unreachable);
    assert!(is_made_again(&world));
    sketch.rollout.as_mut().unwrap().age = 600;
    assert!(!is_made_again(&build(&sketch)), "somebody stopped it");
}

/// The new bake makes the newer version the one in flight; the abort was of this rollout all the same.
#[test]
fn an_abort_is_not_lost_to_an_edit_of_the_bake_in_the_same_pass() {
    let mut sketch = in_flight(Phase::Shifting, DeploymentStatus::InProgress, false);
    sketch.asked.abort = Fact::Known(AbortText::InForce);
    sketch.asked.spec = Fact::Known(SpecText::NewerBake);
    assert_eq!(word(&build(&sketch).decide()), Some("stop-deployment"));
}

/// The stop came too late by CodeDeploy's word: what serves says whether it did.
#[test]
fn a_success_in_a_rollback_is_taken_back_only_if_green_serves() {
    let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::Succeeded, true);
    let redeploys = |sketch: &Sketch| {
        let starts = |entry: &Entry| matches!(entry, Entry::RolloutStarted(_));
        build(sketch).decide().entries.iter().any(starts)
    };
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    assert!(redeploys(&sketch));
    sketch.traffic.service = Fact::Known(Serving::Blue);
    sketch.traffic.listeners = Fact::Known((100, 0, false));
    assert!(!redeploys(&sketch));
    let ended = |entry: &Entry| matches!(entry, Entry::RolloutEnded(RolloutEnd::RolledBack(_)));
    assert!(build(&sketch).decide().entries.iter().any(ended));
}

#[test]
fn an_abort_beside_a_hold_and_a_call_in_doubt_still_stops() {
    let mut sketch = in_flight(Phase::Shifting, DeploymentStatus::InProgress, false);
    sketch.asked.abort = Fact::Known(AbortText::InForce);
    sketch.asked.hold = Fact::Known(());
    let continue_traffic = Step::WORDS.iter().position(|word| *word == "continue-traffic").unwrap();
    sketch.ledger.doubt = Some((continue_traffic, true));
    sketch.traffic.listeners = Fact::Unknown(Why::Unreachable);
    assert_eq!(word(&build(&sketch).decide()), Some("stop-deployment"));
}

#[test]
fn what_the_team_s_own_tool_was_told_to_contract_is_journaled_once_it_is_gone_and_not_asked_about_again() {
    let mut sketch = quarantined();
    sketch.database.snapshot = Fact::Known(Snapshot::Young);
    sketch.database.tool = Some(Tool::NotRun);
    assert_eq!(word(&build(&sketch).decide()), Some("run-task"));
    sketch.database.tool = Some(Tool::Running);
    sketch.database.evidence = Fact::Known(Evidence::Grown);
    let decision = build(&sketch).decide();
    assert_eq!(word(&decision), None);
    assert!(decision.waiting.iter().any(|wait| wait.reason == Reason::MigrationTask));
    sketch.database.tool = Some(Tool::Done);
    assert_eq!(word(&build(&sketch).decide()), None, "the catalog does not show it");
    sketch.database.objects = Fact::Known((false, true));
    assert_eq!(word(&build(&sketch).decide()), Some("purge"));
    // Nothing is gone: then the gates are asked again, and the reader keeps it from being run.
    sketch.database.tool = Some(Tool::Failed);
    sketch.database.objects = Fact::Known((true, true));
    assert_eq!(word(&build(&sketch).decide()), None);
}

#[test]
fn a_backfill_that_may_fill_the_storage_is_not_begun() {
    let mut sketch = preflight();
    sketch.database.journal = Fact::Known(Journal::Opened);
    sketch.database.objects = Fact::Known((true, false));
    let mut world = build(&sketch);
    assert_eq!(word(&world.decide()), Some("expand"));
    let told = Preflight { database_bytes: 15 << 30, rewritten_bytes: 3 << 30, told: vec![] };
    world.seen.schema.preflight = Fact::Known(told);
    let decision = world.decide();
    assert_eq!(word(&decision), None);
    let wait = decision.waiting.iter().find(|wait| wait.reason == Reason::Gate(Gate::NoBlockers)).unwrap();
    assert_eq!((wait.measured.as_deref(), wait.required.as_deref()), (Some("5.0 GiB left"), Some("6.0 GiB")));
}

/// Green failed a little more often than blue over fifteen minutes: enough to wait, not enough to go back.
pub(super) fn suspect(world: &mut World) {
    let counts = |requests, failures| Counts { requests: Some(requests), failures, ..Counts::default() };
    let minutes: Vec<Minute> = world
        .seen
        .minutes
        .known()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, minute)| Minute {
            groups: BTreeMap::from([
                (blue_group(), counts(900.0, 1.0)),
                (green_group(), counts(100.0, if i % 2 == 0 { 1.0 } else { 0.0 })),
            ]),
            ..minute.clone()
        })
        .collect();
    let history: Vec<Pair> = (0..120)
        .map(|_| Pair { blue: Tally { requests: 1_000.0, failures: 1.0 }, ..Pair::default() })
        .collect();
    let baseline = world.state.rollout.as_mut().unwrap().baseline.as_mut().unwrap();
    baseline.calibration = Some(calibrate(&history));
    world.seen.minutes = Fact::Known(minutes);
}

#[test]
fn a_suspicion_keeps_blue_warm_and_never_rolls_back_by_itself() {
    let mut world = build(&baked());
    assert_eq!(word(&world.decide()), Some("continue-termination"));
    suspect(&mut world);
    let decision = world.decide();
    assert_eq!(decision.status.verdict.as_ref().map(|v| v.verdict.as_str()), Some("suspect"));
    assert_eq!(word(&decision), None);
    // Half an hour before CodeDeploy deletes blue.
    let Fact::Known(group) = &mut world.seen.group else { panic!("the group is known") };
    group.termination_wait_minutes = Some(1);
    assert_eq!(word(&world.decide()), None);
}
