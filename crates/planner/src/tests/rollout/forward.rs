//! Going forward, from installing to the end of the bake.

use tidegate_model::{
    decision::Step,
    gate::Gate,
    ledger::{Rollout, RolloutPhase},
    observation::{DeploymentTarget, TaskSetStatus},
    revision::TaskDefinition,
    waiting::OnDeadline,
};

use super::{
    super::{
        golden::{baked, preflight, suspect},
        sketch::{Asked, Change, Journal, Minutes, Serving},
        world::{ago, blue_group, green_group, revision},
    },
    *,
};

fn advances(decision: &Decision, phase: RolloutPhase) -> bool {
    decision.entries.contains(&Entry::Advanced(phase))
}

#[test]
fn a_newer_spec_turns_back_only_what_was_not_let_go_to_production() {
    for (traffic, let_go, back) in
        [(false, None, true), (false, Some(60), false), (true, None, false), (true, Some(60), false)]
    {
        let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
        sketch.asked.spec = Fact::Known(SpecText::NewerRevision);
        let flight = sketch.rollout.as_mut().unwrap();
        (flight.traffic, flight.sent.1) = (traffic, let_go);
        let decision = build(&sketch).decide();
        assert_eq!(turns_back(&decision), back.then_some(&Cause::Superseded), "{traffic} {let_go:?}");
    }
}

#[test]
fn what_was_let_go_while_nobody_looked_is_not_superseded() {
    let is_superseded = |change: &dyn Fn(&mut World)| {
        let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::InProgress, false);
        sketch.asked.spec = Fact::Known(SpecText::NewerRevision);
        let flight = sketch.rollout.as_mut().unwrap();
        (flight.traffic, flight.sent.1) = (false, None);
        let mut world = build(&sketch);
        change(&mut world);
        turns_back(&world.decide()) == Some(&Cause::Superseded)
    };
    let with = |change: fn(&mut Deployment)| {
        is_superseded(&|world| {
            let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
            change(&mut all[0]);
        })
    };
    assert!(with(|_| {}));
    assert!(with(|ours| ours.target = Fact::Absent));
    assert!(!with(|ours| ours.termination_wait_started = true));
    assert!(!with(|ours| ours.status = DeploymentStatus::Succeeded));
    assert!(!with(|ours| {
        let Fact::Known(target) = &mut ours.target else { panic!("it is known") };
        target.traffic_since = Some(ago(60));
    }));
    assert!(
        !is_superseded(&|world| world.seen.deployments = Fact::Unknown(Why::Throttled)),
        "it may have been"
    );
    for (share, superseded) in [(0, true), (1, false)] {
        let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::InProgress, false);
        sketch.traffic.listeners = Fact::Known((100 - share, share, false));
        let listeners = build(&sketch).seen.listeners;
        let unread = is_superseded(&|world| {
            let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
            all[0].target = Fact::Unknown(Why::Throttled);
            world.seen.listeners = listeners.clone();
        });
        assert_eq!(unread, superseded, "{share} % on green");
    }
    let let_go = Step::WORDS.iter().position(|word| *word == "continue-traffic");
    let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::InProgress, false);
    sketch.asked.spec = Fact::Known(SpecText::NewerRevision);
    let flight = sketch.rollout.as_mut().unwrap();
    (flight.traffic, flight.sent.1) = (false, None);
    sketch.ledger.doubt = Some((let_go.unwrap(), true));
    sketch.traffic.deployments = Fact::Unknown(Why::Throttled);
    assert_eq!(turns_back(&build(&sketch).decide()), None);
}

#[test]
fn a_schema_section_that_was_added_after_the_deployment_was_made_keeps_its_traffic() {
    let waits = |change| {
        let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
        sketch.ledger.change = change;
        sketch.database.journal = if change.is_some() { Fact::Known(Journal::Filled) } else { Fact::Absent };
        let decision = build(&sketch).decide();
        let waits = told(&decision, Reason::Gate(Gate::Expanded)).is_some();
        assert_ne!(waits, word(&decision) == Some("continue-traffic"), "{:?}", decision.waiting);
        waits
    };
    assert!(waits(None));
    assert!(!waits(Some(Change::Opened)));
}

#[test]
fn an_installation_is_waited_for_an_hour_at_most_and_tells_which_revision_it_brings() {
    let mut sketch = in_flight(Phase::Preflight, DeploymentStatus::InProgress, false);
    let flight = sketch.rollout.as_mut().unwrap();
    (flight.deployment, flight.green) = (true, false);
    let decision = build(&sketch).decide();
    assert!(advances(&decision, RolloutPhase::Provisioning));
    assert!(decision.entries.contains(&Entry::GreenKnown(revision(2))));
    let wait = told(&decision, Reason::Provisioning).unwrap();
    assert_eq!(wait.deadline, Some(ago(600) + SignedDuration::from_mins(60)));

    let known = in_flight(Phase::Provisioning, DeploymentStatus::InProgress, false);
    let decision = build(&known).decide();
    assert!(!advances(&decision, RolloutPhase::Provisioning));
    assert!(!decision.entries.iter().any(|entry| matches!(entry, Entry::GreenKnown(_))));

    sketch.traffic.listeners = Fact::Known((100, 0, true));
    let edited = build(&sketch).decide();
    assert!(holds(&edited, Held::ListenerEdited));
    assert!(told(&edited, Reason::Provisioning).is_none());
}

#[test]
fn a_gate_that_is_closed_at_ready_tells_until_when_codedeploy_waits() {
    let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
    sketch.traffic.health = Fact::Known(false);
    let decision = build(&sketch).decide();
    let wait = told(&decision, Reason::Gate(Gate::GreenHealthy)).unwrap();
    assert_eq!(wait.deadline, Some(ago(600) + SignedDuration::from_mins(60)));
    assert_eq!((wait.on_deadline, wait.blocked_by.as_deref()), (OnDeadline::Continue, Some("d-1")));
}

#[test]
fn the_first_traffic_that_is_seen_on_green_is_noted_once() {
    for (seen_before, green, noted) in [(false, 20, true), (false, 0, false), (true, 20, false)] {
        let mut sketch = in_flight(Phase::Shifting, DeploymentStatus::InProgress, false);
        let flight = sketch.rollout.as_mut().unwrap();
        (flight.traffic, flight.sent.1) = (seen_before, Some(60));
        sketch.traffic.listeners = Fact::Known((100 - green, green, false));
        let decision = build(&sketch).decide();
        assert_eq!(decision.entries.contains(&Entry::TrafficSeen), noted, "{seen_before} {green}");
    }
}

#[test]
fn a_shift_tells_how_far_it_is_and_what_cannot_stop_it_and_what_will() {
    let mut sketch = in_flight(Phase::Shifting, DeploymentStatus::InProgress, false);
    sketch.rollout.as_mut().unwrap().sent.1 = Some(60);
    sketch.traffic.listeners = Fact::Known((80, 20, false));
    sketch.traffic.minutes = Fact::Known(Minutes::GreenOnly);
    let message = |sketch: &Sketch| {
        let decision = build(sketch).decide();
        let wait = told(&decision, Reason::Shifting).unwrap();
        assert_eq!(wait.since, ago(600));
        wait.message.clone()
    };
    assert_eq!(message(&sketch), "CodeDeploy moves traffic, 20 % is on green");
    sketch.asked.hold = Fact::Known(());
    sketch.traffic.alarms = Fact::Known(true);
    assert_eq!(
        message(&sketch),
        "CodeDeploy moves traffic, 20 % is on green; a hold cannot stop this shift, abort can; alarm errors is red, \
         CodeDeploy stops for it"
    );
    let mut world = build(&sketch);
    let Fact::Known(group) = &mut world.seen.group else { panic!("the group is known") };
    group.alarms = vec!["another".into()];
    let decision = world.decide();
    assert!(
        !told(&decision, Reason::Shifting).unwrap().message.contains("errors"),
        "it is not the group's alarm"
    );
}

/// All weight is on green and blue waits for its termination.
fn on_green(phase: Phase, age: i64) -> Sketch {
    let mut sketch = baked();
    let flight = sketch.rollout.as_mut().unwrap();
    (flight.phase, flight.age, flight.baked) = (phase, age, false);
    sketch
}

#[test]
fn when_all_weight_is_on_green_a_shift_is_confirmed_and_what_was_confirmed_is_not_confirmed_again() {
    let mut shifting = on_green(Phase::Shifting, 600);
    shifting.rollout.as_mut().unwrap().traffic = false;
    let decision = build(&shifting).decide();
    assert!(advances(&decision, RolloutPhase::Confirming));
    assert!(decision.entries.contains(&Entry::TrafficSeen));
    for phase in [Phase::Confirming, Phase::Baking, Phase::Retiring] {
        let decision = build(&on_green(phase, 600)).decide();
        assert!(!advances(&decision, RolloutPhase::Confirming), "{phase:?}");
        assert!(!decision.entries.contains(&Entry::TrafficSeen));
    }
}

#[test]
fn weights_are_read_twice_ten_seconds_apart() {
    for (confirmations, age, noted) in [(0, 0, true), (1, 9, false), (1, 10, true), (2, 60, false)] {
        let mut sketch = on_green(Phase::Confirming, age);
        sketch.rollout.as_mut().unwrap().confirmations = confirmations;
        let decision = build(&sketch).decide();
        assert_eq!(decision.entries.contains(&Entry::Confirmed), noted, "{confirmations} after {age} s");
        let wait = told(&decision, Reason::Confirming).unwrap();
        assert_eq!(
            wait.message.contains("the weights are read twice"),
            confirmations < 2,
            "{}",
            wait.message
        );
        assert_eq!(wait.since, ago(age));
    }
}

#[test]
fn a_bake_begins_after_two_closed_minutes_in_which_green_alone_was_asked() {
    let begins = |sketch: &Sketch| {
        let decision = build(sketch).decide();
        let begins = advances(&decision, RolloutPhase::Baking);
        assert_eq!(begins, decision.entries.contains(&Entry::BakeClock { running: true }));
        assert_eq!(begins, told(&decision, Reason::Confirming).is_none());
        begins
    };
    assert!(begins(&on_green(Phase::Confirming, 120)));
    let early = on_green(Phase::Confirming, 119);
    assert!(!begins(&early));
    let decision = build(&early).decide();
    let message = &told(&decision, Reason::Confirming).unwrap().message;
    assert!(message.contains("1 of 2 closed minutes show requests on green and none on blue"), "{message}");
    for minutes in [Minutes::None, Minutes::Silent, Minutes::BlueOnly] {
        let mut sketch = on_green(Phase::Confirming, 600);
        sketch.traffic.minutes = Fact::Known(minutes);
        assert!(!begins(&sketch), "{minutes:?}");
    }
}

#[test]
fn probes_are_sent_on_production_once_everything_else_is_confirmed_and_a_bad_answer_turns_back() {
    let mut sketch = on_green(Phase::Confirming, 600);
    sketch.rollout.as_mut().unwrap().verified = false;
    let decision = build(&sketch).decide();
    let Some(Step::Verify(verify)) = &decision.step else { panic!("{:?}", decision.step) };
    assert_eq!((verify.production, verify.address.as_str()), (true, "http://127.0.0.1:80"));
    assert!(!advances(&decision, RolloutPhase::Baking));

    let held = Sketch { asked: Asked { hold: Fact::Known(()), ..sketch.asked.clone() }, ..sketch.clone() };
    assert_eq!(word(&build(&held).decide()), None);
    let mut early = sketch.clone();
    early.rollout.as_mut().unwrap().confirmations = 1;
    assert_eq!(word(&build(&early).decide()), None, "the weights were read once");
    sketch.rollout.as_mut().unwrap().probe_failed = true;
    assert!(matches!(turns_back(&build(&sketch).decide()), Some(Cause::ProbeFailed { .. })));
}

#[test]
fn the_bake_clock_runs_while_green_is_asked_behind_a_listener_that_nobody_edited() {
    let clock = |sketch: &Sketch, running: bool| {
        let mut world = build(sketch);
        world.state.rollout.as_mut().unwrap().bake.running_since = running.then(|| ago(300));
        let decision = world.decide();
        let noted = decision.entries.iter().find_map(|entry| match entry {
            Entry::BakeClock { running } => Some(*running),
            _ => None,
        });
        (noted, told(&decision, Reason::Baking).map(|wait| wait.message.clone()).unwrap_or_default())
    };
    let sketch = on_green(Phase::Baking, 300);
    let served = |(noted, message): (Option<bool>, String), minutes: &str| {
        let expected = format!("green serves everything and blue is warm; {minutes} of 1h served");
        assert_eq!(message, expected);
        noted
    };
    assert_eq!(served(clock(&sketch, false), "0s"), Some(true));
    assert_eq!(served(clock(&sketch, true), "5m"), None);
    let mut edited = sketch.clone();
    edited.traffic.listeners = Fact::Known((50, 50, false));
    assert_eq!((clock(&edited, true).0, clock(&edited, false).0), (Some(false), None));
}

#[test]
fn blue_is_let_go_once_codedeploy_waits_for_it_and_the_bake_clock_stops() {
    let decision = build(&baked()).decide();
    assert_eq!(word(&decision), Some("continue-termination"));
    assert!(advances(&decision, RolloutPhase::Retiring));
    assert!(decision.entries.contains(&Entry::BakeClock { running: false }));
    let mut early = baked();
    early.traffic.deployments = early.traffic.deployments.clone().map(|mut all| {
        (all.ours, all.target) =
            (Some((DeploymentStatus::InProgress, false, false)), Fact::Known((Some(100), true)));
        all
    });
    let decision = build(&early).decide();
    assert_eq!(word(&decision), None, "CodeDeploy does not wait for it yet");
    assert!(!advances(&decision, RolloutPhase::Retiring));
}

/// A bake whose deadline, half an hour before CodeDeploy deletes blue, is so many minutes after all weight came to green.
fn bake_until(sketch: &Sketch, minutes: u32) -> World {
    let mut world = build(sketch);
    let Fact::Known(group) = &mut world.seen.group else { panic!("the group is known") };
    group.termination_wait_minutes = Some(30 + minutes);
    world
}

#[test]
fn a_bake_has_until_half_an_hour_before_blue_is_deleted() {
    let sketch = on_green(Phase::Baking, 500);
    let wait = |world: &World| told(&world.decide(), Reason::Baking).cloned().unwrap();
    let by_codedeploy = bake_until(&sketch, 7);
    let until = |from: i64| Some(ago(from) + SignedDuration::from_mins(7));
    assert_eq!(wait(&by_codedeploy).deadline, until(400), "by CodeDeploy's clock all moved then");
    assert_eq!(wait(&by_codedeploy).on_deadline, OnDeadline::RollBack);
    let mut unread = sketch;
    unread.traffic.deployments = unread.traffic.deployments.clone().map(|mut all| {
        all.target = Fact::Unknown(Why::Throttled);
        all
    });
    assert_eq!(wait(&bake_until(&unread, 9)).deadline, Some(ago(500) + SignedDuration::from_mins(9)));
}

#[test]
fn a_bake_that_is_unserved_at_its_end_goes_back_unless_people_or_a_suspicion_keep_it() {
    let unserved = on_green(Phase::Baking, 500);
    assert_eq!(turns_back(&bake_until(&unserved, 7).decide()), None, "twenty seconds are left");
    assert_eq!(turns_back(&bake_until(&unserved, 6).decide()), Some(&Cause::BakeUnserved));
    let mut confirming = on_green(Phase::Confirming, 500);
    confirming.rollout.as_mut().unwrap().confirmations = 0;
    assert_eq!(turns_back(&bake_until(&confirming, 6).decide()), Some(&Cause::BakeUnserved));
    assert_eq!(turns_back(&bake_until(&on_green(Phase::Retiring, 500), 6).decide()), None);

    let held = |mut sketch: Sketch| {
        sketch.asked.hold = Fact::Known(());
        bake_until(&sketch, 6)
    };
    assert_eq!(turns_back(&held(unserved).decide()), Some(&Cause::BakeUnserved), "the hold did not keep it");
    assert_eq!(turns_back(&held(baked()).decide()), None);
    let mut suspected = bake_until(&baked(), 6);
    suspect(&mut suspected);
    assert_eq!(turns_back(&suspected.decide()), None);
    let mut gone = baked();
    gone.asked.spec = Fact::Absent;
    assert_eq!(turns_back(&bake_until(&gone, 6).decide()), None);
    let mut alone = baked();
    alone.traffic.service = Fact::Known(Serving::Green);
    assert_eq!(turns_back(&bake_until(&alone, 6).decide()), None, "there is no blue to go back to");
    let mut thin = bake_until(&baked(), 6);
    let Fact::Known(service) = &mut thin.seen.service else { panic!("it is known") };
    service.desired += 1;
    assert_eq!(turns_back(&thin.decide()), None, "blue could not carry the load");
    thin.state.rollout.as_mut().unwrap().bake.served = SignedDuration::ZERO;
    assert_eq!(
        turns_back(&thin.decide()),
        Some(&Cause::BakeUnserved),
        "green has not shown that it is better"
    );
}

#[test]
fn a_listener_that_stays_edited_to_the_end_of_the_bake_turns_back() {
    let mut sketch = on_green(Phase::Baking, 500);
    sketch.traffic.listeners = Fact::Known((50, 50, false));
    let decision = bake_until(&sketch, 7).decide();
    assert_eq!(turns_back(&decision), None);
    assert!(decision.entries.contains(&Entry::Frozen(true)));
    let wait = told(&decision, Reason::Held(Held::ListenerEdited)).unwrap();
    assert_eq!(wait.deadline, Some(ago(400) + SignedDuration::from_mins(7)));
    assert_eq!(turns_back(&bake_until(&sketch, 6).decide()), Some(&Cause::FreezeOver));

    sketch.rollout.as_mut().unwrap().frozen = true;
    assert!(!bake_until(&sketch, 7).decide().entries.contains(&Entry::Frozen(true)), "it is noted once");
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    assert!(bake_until(&sketch, 7).decide().entries.contains(&Entry::Frozen(false)));
}

#[test]
fn blue_that_is_still_kept_is_let_go_again_after_five_minutes_if_nothing_is_in_doubt() {
    for (sent, step) in [(None, true), (Some(299), false), (Some(300), true)] {
        let mut sketch = on_green(Phase::Retiring, 600);
        sketch.rollout.as_mut().unwrap().sent.2 = sent;
        let decision = build(&sketch).decide();
        assert_eq!(word(&decision), step.then_some("continue-termination"), "{sent:?}");
        assert_eq!(told(&decision, Reason::Retiring).unwrap().since, ago(600));
    }
    let mut held = on_green(Phase::Retiring, 600);
    held.asked.hold = Fact::Known(());
    assert_eq!(word(&build(&held).decide()), None);
    let mut doubted = on_green(Phase::Retiring, 600);
    let let_go = Step::WORDS.iter().position(|word| *word == "continue-termination").unwrap();
    doubted.ledger.doubt = Some((let_go, true));
    assert_eq!(word(&build(&doubted).decide()), None);
}

/// CodeDeploy says that it succeeded, and everything agrees.
fn succeeded(confirmations: u32, age: i64) -> Sketch {
    let mut sketch = on_green(Phase::Retiring, age);
    sketch.rollout.as_mut().unwrap().confirmations = confirmations;
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.deployments = sketch.traffic.deployments.clone().map(|mut all| {
        all.ours = Some((DeploymentStatus::Succeeded, true, false));
        all
    });
    sketch
}

#[test]
fn a_success_is_read_twice_ten_seconds_apart() {
    for (confirmations, age, noted) in [
        (0, 600, Some(Entry::Confirmed)),
        (1, 9, None),
        (1, 10, Some(Entry::RolloutEnded(RolloutEnd::Settled))),
        (2, 600, Some(Entry::RolloutEnded(RolloutEnd::Settled))),
    ] {
        let decision = build(&succeeded(confirmations, age)).decide();
        let of_rollout = |entry: &&Entry| matches!(entry, Entry::Confirmed | Entry::RolloutEnded(_));
        let found: Vec<&Entry> = decision.entries.iter().filter(of_rollout).collect();
        assert_eq!(found, Vec::from_iter(&noted), "{confirmations} after {age} s");
    }
}

#[test]
fn a_success_counts_only_where_listener_and_task_sets_agree() {
    let problem = |change: &dyn Fn(&mut World)| {
        let mut world = build(&succeeded(1, 600));
        change(&mut world);
        let decision = world.decide();
        let held = told(&decision, Reason::Held(Held::TrafficDisagrees)).map(|wait| wait.message.clone());
        assert_eq!(held.is_none(), ends(&decision).is_some());
        held
    };
    assert_eq!(problem(&|_| {}), None);
    let changes: [fn(&mut TaskSet); 2] =
        [|set| set.revision = revision(1), |set| set.target_group = Some(blue_group())];
    for change in changes {
        let problem = problem(&|world| serving_as(world, change)).unwrap();
        assert!(problem.starts_with("CodeDeploy says succeeded, but the primary task set runs"), "{problem}");
    }
    let with = |change: fn(&mut Sketch)| {
        let mut sketch = succeeded(1, 600);
        change(&mut sketch);
        build(&sketch)
    };
    let with_seen = |change: fn(&mut Sketch)| problem(&|world| world.seen = with(change).seen).is_none();
    assert!(!with_seen(|sketch| sketch.traffic.listeners = Fact::Known((1, 99, false))));
    assert!(!with_seen(|sketch| sketch.traffic.service = Fact::Known(Serving::Nothing)));
}

#[test]
fn a_success_that_a_newer_version_is_about_to_replace_has_settled_if_its_tasks_are_there() {
    let end = |version: u64, serves: fn(&mut TaskSet)| {
        let mut sketch = succeeded(1, 600);
        sketch.traffic.listeners = Fact::Known((10, 90, false));
        let change = |newer: &mut Deployment| newer.marker.as_mut().unwrap().version.0 += version;
        let mut world = with_newer_under_way(&sketch, change);
        serving_as(&mut world, serves);
        let decision = world.decide();
        assert_eq!(holds(&decision, Held::LedgerBehind), ends(&decision).is_none());
        assert!(!holds(&decision, Held::TrafficDisagrees), "where traffic goes is the other one's to say");
        assert_eq!(starts(&decision).is_some(), ends(&decision).is_some(), "the newer one goes on");
        ends(&decision).cloned()
    };
    assert_eq!(end(0, |_| {}), Some(RolloutEnd::Settled));
    let superseded = RolloutEnd::RolledBack(Cause::Superseded);
    assert_eq!(end(0, |set| set.revision = revision(1)), Some(superseded), "it had gone back");
    assert_eq!(end(1, |_| {}), None, "of a version that nobody asks for");
}

#[test]
fn what_is_not_read_or_not_healthy_yet_keeps_a_success_waiting_and_is_no_disagreement() {
    let waits_for = |reason, change: fn(&mut Sketch)| {
        let mut sketch = succeeded(1, 600);
        change(&mut sketch);
        let decision = build(&sketch).decide();
        assert!(told(&decision, reason).is_some());
        assert!(!holds(&decision, Held::TrafficDisagrees) && ends(&decision).is_none());
    };
    waits_for(Reason::Unobserved, |sketch| sketch.traffic.listeners = Fact::Unknown(Why::Throttled));
    waits_for(Reason::Unobserved, |sketch| sketch.traffic.service = Fact::Unknown(Why::Throttled));
    waits_for(Reason::Gate(Gate::GreenHealthy), |sketch| sketch.traffic.health = Fact::Known(false));
}

/// The deployment is over, long enough after it was ready for the wait to be over as well.
fn over(change: impl Fn(&mut World)) -> Decision {
    let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Stopped, false);
    sketch.rollout.as_mut().unwrap().age = 3_600;
    let mut world = build(&sketch);
    change(&mut world);
    world.decide()
}

#[test]
fn a_deployment_that_ended_is_made_again_only_if_nothing_but_the_ready_wait_was_over() {
    let failed = |decision: &Decision| {
        let forgotten = decision.entries.contains(&Entry::DeploymentForgotten);
        let failed = matches!(turns_back(decision), Some(Cause::DeploymentEnded { .. }));
        assert_ne!(forgotten, failed);
        failed
    };
    assert!(!failed(&over(|_| {})));
    for change in [
        (|rollout| rollout.phase = RolloutPhase::Provisioning) as fn(&mut Rollout),
        |rollout| rollout.continue_sent = Some(ago(60)),
        |rollout| rollout.probe_failure = Some("status 500".into()),
        |rollout| rollout.since = ago(3_539),
    ] {
        assert!(failed(&over(|world| change(world.state.rollout.as_mut().unwrap()))));
    }
    for target in [None, Some(Fact::Unknown(Why::Throttled))] {
        let alarm = over(|world| {
            let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
            (all[0].created, all[0].error) = (ago(9_000), Some("ALARM_ACTIVE".into()));
            if let Some(target) = target.clone() {
                world.state.rollout.as_mut().unwrap().since = ago(600);
                all[0].target = target;
            }
        });
        assert!(failed(&alarm), "CodeDeploy stopped it for an alarm, however long it may have waited");
    }
}

/// Whoever looks only now: CodeDeploy tells since when the deployment waited, and when it was stopped.
#[test]
fn how_long_a_deployment_had_waited_is_codedeploys_to_say() {
    let is_made_again = |(waits_since, stopped): (i64, i64),
                         change: fn(&mut Rollout, &mut DeploymentTarget)| {
        let decision = over(|world| {
            let rollout = world.state.rollout.as_mut().unwrap();
            rollout.since = ago(60);
            let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
            let mut target = DeploymentTarget {
                green: Some(revision(2)),
                green_weight: Some(0),
                ready_since: Some(ago(waits_since)),
                traffic_since: None,
                traffic_until: None,
            };
            change(rollout, &mut target);
            (all[0].ended, all[0].target) = (Some(ago(stopped)), Fact::Known(target));
        });
        decision.entries.contains(&Entry::DeploymentForgotten)
    };
    assert!(is_made_again((4_000, 400), |_, _| {}), "it was ready long before that was read");
    assert!(is_made_again((9_000, 5_400), |rollout, _| rollout.phase = RolloutPhase::Provisioning));
    assert!(!is_made_again((4_000, 900), |_, _| {}), "somebody stopped it before its time");
    let never_there: fn(&mut Rollout, &mut DeploymentTarget) = |rollout, target| {
        (rollout.phase, target.ready_since) = (RolloutPhase::Provisioning, None);
    };
    assert!(!is_made_again((9_000, 400), never_there), "it was stopped as it was installed");
    let let_go = |began: i64| {
        let decision = over(|world| {
            world.state.rollout.as_mut().unwrap().since = ago(4_000);
            let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
            let Fact::Known(target) = &mut all[0].target else { panic!("it is known") };
            target.traffic_since = Some(ago(began));
            all[0].ended = Some(ago(400));
        });
        matches!(turns_back(&decision), Some(Cause::DeploymentEnded { .. }))
    };
    assert!(let_go(461), "somebody let traffic go before it was stopped");
    assert!(!let_go(460), "a stop has skipped it");
    let unread = |(since, created, stopped): (i64, i64, i64)| {
        let decision = over(|world| {
            world.state.rollout.as_mut().unwrap().since = ago(since);
            let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
            (all[0].created, all[0].ended) = (ago(created), Some(ago(stopped)));
            all[0].target = Fact::Unknown(Why::Throttled);
        });
        let waits = told(&decision, Reason::Unobserved).is_some();
        assert_ne!(
            waits,
            turns_back(&decision).is_some() || decision.entries.contains(&Entry::DeploymentForgotten)
        );
        waits
    };
    assert!(unread((600, 9_000, 60)), "it may have waited for long before that was read");
    assert!(!unread((600, 3_000, 60)), "it did not live for as long");
    assert!(!unread((3_700, 9_000, 60)), "it was read to have waited for as long");
    assert!(!unread((2_000, 9_000, 900)), "it is not asked for for ever");
}

#[test]
fn a_deployment_that_codedeploy_takes_back_is_made_again_once_that_is_over() {
    let taken_back = |rollback, another| {
        let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Stopped, false);
        sketch.rollout.as_mut().unwrap().age = 3_600;
        sketch.traffic.deployments = sketch.traffic.deployments.clone().map(|mut all| {
            (all.ours, all.rollback) = (Some((DeploymentStatus::Stopped, false, true)), rollback);
            all.foreign = another;
            all
        });
        build(&sketch).decide()
    };
    let waits = taken_back(DeploymentStatus::InProgress, false);
    assert_eq!(told(&waits, Reason::RollingBack).unwrap().blocked_by.as_deref(), Some("d-1"));
    assert!(!waits.entries.contains(&Entry::DeploymentForgotten));
    for another in [false, true] {
        let over = taken_back(DeploymentStatus::Succeeded, another);
        assert!(
            over.entries.contains(&Entry::DeploymentForgotten),
            "what else is under way takes nothing back"
        );
    }
}

#[test]
fn a_deployment_is_made_for_the_container_and_port_that_the_service_has() {
    let decision = build(&preflight()).decide();
    let Some(Step::CreateDeployment(create)) = &decision.step else { panic!("{:?}", decision.step) };
    assert_eq!((create.container.as_str(), create.port), ("app", 80));
    assert_eq!(create.revision, revision(2));
}

#[test]
fn a_revision_that_is_there_already_is_not_registered_again() {
    let mut sketch = preflight();
    sketch.rollout.as_mut().unwrap().green = false;
    let decision = build(&sketch).decide();
    assert!(decision.entries.contains(&Entry::GreenKnown(revision(2))));
    assert_eq!(word(&decision), Some("create-deployment"));
    let mut world = build(&sketch);
    for found in world.seen.revisions.values_mut() {
        *found = found.clone().map(|found| TaskDefinition { active: false, ..found });
    }
    assert_eq!(word(&world.decide()), Some("register-task-definition"), "it was deregistered");
}

/// A task set of a version before, behind green's group, in this state.
fn left_behind(world: &mut World, status: TaskSetStatus, running: u32) {
    world.seen.service = world.seen.service.clone().map(|mut service| {
        let set = TaskSet {
            id: "set-9".into(),
            status,
            revision: revision(9),
            target_group: Some(green_group()),
            running,
            ..service.task_sets[0].clone()
        };
        service.task_sets.push(set);
        service
    });
}

#[test]
fn what_a_deployment_before_left_behind_green_s_group_keeps_the_next_one_from_its_requests() {
    let ready = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
    for (sketch, step, gate) in [
        (preflight(), "create-deployment", Gate::EngineReady),
        (ready, "continue-traffic", Gate::GreenHealthy),
    ] {
        for (status, running, keeps) in [
            (TaskSetStatus::Active, 2, true),
            (TaskSetStatus::Active, 0, false),
            (TaskSetStatus::Draining, 2, false),
        ] {
            let mut world = build(&sketch);
            left_behind(&mut world, status, running);
            let decision = world.decide();
            assert_eq!(word(&decision), (!keeps).then_some(step), "{status:?}, {running} tasks");
            let wait = told(&decision, Reason::Gate(gate)).map(|wait| wait.message.clone());
            assert_eq!(
                wait.is_some_and(|message| message.contains("in task set set-9; delete that set")),
                keeps
            );
        }
    }
    let mut settling = build(&succeeded(1, 600));
    left_behind(&mut settling, TaskSetStatus::Active, 2);
    let decision = settling.decide();
    assert_eq!(ends(&decision), None);
    let held = told(&decision, Reason::Held(Held::TrafficDisagrees)).unwrap();
    assert!(held.message.contains("in task set set-9; delete that set"), "{}", held.message);
}
