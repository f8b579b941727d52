//! Whether a rollout begins, and what becomes of deployments that this ledger did not make.

use tidegate_model::{
    Why,
    decision::Step,
    ledger::{FailedRevision, LastRollout, RolloutKind},
    name::{Marker, ParameterVersion},
    observation::{Deployment, TaskSet, TaskSetStatus},
    revision::TaskDefinition,
};

use super::{
    super::{
        sketch::{AbortText, Change, Journal, Serving, Tool, calm, none},
        world::{DAY, OURS, ago, blue_group, definition, green_group, revision},
    },
    *,
};

fn knows(decision: &Decision) -> bool {
    decision.entries.contains(&Entry::DeploymentKnown(OURS.into()))
}

/// Nothing is in flight in the ledger, and there is a deployment of ours.
fn found(status: DeploymentStatus, change: impl Fn(&mut Deployment)) -> World {
    let mut sketch = calm();
    sketch.traffic.deployments = in_flight(Phase::Provisioning, status, false).traffic.deployments;
    let mut world = build(&sketch);
    let Fact::Known(deployments) = &mut world.seen.deployments else { panic!("they are known") };
    let marker = deployments[0].marker.as_mut().unwrap();
    marker.intent = "i80".into();
    change(&mut deployments[0]);
    world
}

#[test]
fn a_rollout_begins_from_what_serves_into_the_other_group() {
    let decision = build(&calm()).decide();
    let start = starts(&decision).unwrap();
    assert_eq!(start.kind, RolloutKind::Forward);
    assert_eq!((&start.blue, &start.blue_digest), (&revision(1), &definition(1, true).digest()));
    assert_eq!((&start.blue_group, &start.green_group), (&blue_group(), &green_group()));
    assert!(!start.adopted);
}

#[test]
fn a_deployment_in_flight_is_adopted_if_it_was_made_for_this_very_spec() {
    let active = |change: &dyn Fn(&mut Deployment)| {
        let decision = found(DeploymentStatus::InProgress, change).decide();
        let adopted = starts(&decision).is_some_and(|start| start.adopted);
        assert_eq!(adopted, knows(&decision));
        let held =
            [Held::ForeignDeployment, Held::LedgerBehind].into_iter().find(|held| holds(&decision, *held));
        (adopted, held)
    };
    let marked = |change: fn(&mut Marker)| {
        active(&|deployment| change(deployment.marker.as_mut().expect("it has a marker")))
    };
    let foreign = (false, Some(Held::ForeignDeployment));
    assert_eq!(active(&|_| {}), (true, None));
    assert_eq!(active(&|deployment| deployment.is_rollback = true), foreign);
    assert_eq!(active(&|deployment| deployment.marker = None), foreign);
    assert_eq!(marked(|marker| marker.hash = "0badc0de".into()), foreign, "the version was written anew");
    assert_eq!(marked(|marker| marker.version = ParameterVersion(4)), foreign);
    assert_eq!(marked(|marker| marker.version = ParameterVersion(6)), (false, Some(Held::LedgerBehind)));
    assert_eq!(marked(|marker| marker.release = "other".parse().unwrap()), foreign);
    let of_another = marked(|marker| {
        marker.release = "other".parse().unwrap();
        marker.version = ParameterVersion(6);
    });
    assert_eq!(of_another, foreign);
}

#[test]
fn a_deployment_that_is_adopted_behind_the_flip_has_its_colours_from_its_own_task_set() {
    let mut world = found(DeploymentStatus::InProgress, |_| {});
    let flipped = |serving| {
        let mut sketch = calm();
        sketch.traffic.service = Fact::Known(serving);
        build(&sketch).seen.service
    };
    world.seen.service = flipped(Serving::GreenWithBlue);
    let decision = world.decide();
    let start = starts(&decision).unwrap();
    assert_eq!(
        (&start.blue, &start.blue_group, &start.green_group),
        (&revision(1), &blue_group(), &green_group())
    );
    assert!(decision.entries.contains(&Entry::GreenKnown(revision(2))));

    world.seen.service = flipped(Serving::Green);
    let decision = world.decide();
    assert!(starts(&decision).is_none());
    assert!(told(&decision, Reason::Unobserved).is_some(), "nobody knows what was blue");
}

#[test]
fn a_deployment_that_brings_what_serves_once_more_goes_from_where_it_serves_to_the_other_group() {
    let groups = |made: Option<usize>| {
        let mut world = found(DeploymentStatus::InProgress, |deployment| {
            deployment.marker.as_mut().unwrap().intent = "r80".into();
            let Fact::Known(target) = &mut deployment.target else { panic!("it is known") };
            target.green = Some(revision(1));
        });
        let Fact::Known(service) = &mut world.seen.service else { panic!("it is known") };
        let primary = service.task_sets[0].clone();
        let active = TaskSetStatus::Active;
        let brought = TaskSet { target_group: Some(green_group()), status: active, ..primary };
        service.task_sets.push(brought);
        if let Some(place) = made {
            service.task_sets[place].external_id = Some(OURS.into());
        }
        let decision = world.decide();
        let start = starts(&decision).expect("it is adopted");
        (start.blue_group.clone(), start.green_group.clone())
    };
    assert_eq!(groups(Some(1)), (blue_group(), green_group()), "it has not flipped yet");
    let flipped = (green_group(), blue_group());
    assert_eq!(groups(Some(0)), flipped);
    assert_eq!(groups(None), flipped, "by its revision alone");
}

#[test]
fn what_went_back_before_the_ledger_was_lost_is_not_tried_again() {
    let gone = |status, change: &dyn Fn(&mut Deployment)| {
        let decision = found(status, change).decide();
        let start = starts(&decision).expect("one begins").clone();
        (start.adopted, knows(&decision), turns_back(&decision).cloned())
    };
    let rolled_back = |deployment: &mut Deployment| deployment.rolled_back_by = Some("d-2".into());
    // CodeDeploy's own rollback is newer, and so is what somebody else deployed before it.
    let mut world = found(DeploymentStatus::Stopped, rolled_back);
    let Fact::Known(deployments) = &mut world.seen.deployments else { panic!("they are known") };
    let ours = deployments[0].clone();
    for (id, is_rollback) in [("d-2", true), ("d-9", false)] {
        let created = ours.created + SignedDuration::from_secs(9);
        deployments.push(Deployment { id: id.into(), is_rollback, marker: None, created, ..ours.clone() });
    }
    assert!(knows(&world.decide()));
    let takes_back = |deployment: &mut Deployment| deployment.marker.as_mut().unwrap().intent = "r80".into();
    let (adopted, known, back) = gone(DeploymentStatus::Stopped, &rolled_back);
    assert_eq!((adopted, known), (true, true));
    assert!(matches!(back, Some(Cause::DeploymentEnded { .. })), "{back:?}");
    let (adopted, known, back) = gone(DeploymentStatus::Succeeded, &takes_back);
    assert_eq!((adopted, known), (true, false));
    assert!(matches!(back, Some(Cause::DeploymentEnded { .. })), "{back:?}");
    assert_eq!(gone(DeploymentStatus::Succeeded, &|_| {}), (false, false, None), "somebody has replaced it");
}

#[test]
fn a_redeployment_that_is_not_known_counts_if_it_ended_badly_or_if_what_it_brought_serves() {
    let counts = |status, serves, change: fn(&mut TaskSet)| {
        let mut sketch = in_flight(Phase::Redeploying, status, false);
        sketch.rollout.as_mut().unwrap().deployment = false;
        sketch.traffic.service = Fact::Known(serves);
        let mut world = build(&sketch);
        let Fact::Known(deployments) = &mut world.seen.deployments else { panic!("they are known") };
        deployments[0].marker.as_mut().unwrap().intent = "r80".into();
        serving_as(&mut world, change);
        knows(&world.decide())
    };
    assert!(counts(DeploymentStatus::Succeeded, Serving::Green, |_| {}));
    assert!(!counts(DeploymentStatus::Succeeded, Serving::Blue, |_| {}), "somebody has replaced it");
    let moved: fn(&mut TaskSet) = |set| set.target_group = Some(blue_group());
    assert!(!counts(DeploymentStatus::Succeeded, Serving::Green, moved), "behind the other group");
    let other: fn(&mut TaskSet) = |set| set.revision = revision(9);
    assert!(!counts(DeploymentStatus::Succeeded, Serving::Green, other), "another revision");
    assert!(counts(DeploymentStatus::Failed, Serving::Blue, |_| {}));
}

#[test]
fn what_has_gone_back_learns_of_no_deployment_that_went_forward() {
    let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::Stopped, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    let mut world = build(&sketch);
    let Fact::Known(deployments) = &mut world.seen.deployments else { panic!("they are known") };
    deployments[0].marker.as_mut().unwrap().intent = "i80".into();
    assert!(!knows(&world.decide()));
}

#[test]
fn an_abort_of_what_has_settled_deploys_the_revision_before_it_again() {
    let mut sketch = calm();
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    assert!(starts(&build(&sketch).decide()).is_none(), "what is wanted serves");
    sketch.asked.abort = Fact::Known(AbortText::InForce);
    let mut world = build(&sketch);
    let decision = world.decide();
    let back = RolloutKind::Redeploy { to: revision(1), cause: Cause::Ordered };
    assert_eq!(starts(&decision).map(|start| &start.kind), Some(&back));
    let serves = world.state.previous.clone().map(|(_, digest)| (revision(2), digest));
    for previous in [None, serves] {
        world.state.previous = previous;
        let decision = world.decide();
        assert!(starts(&decision).is_none());
        let ignored = decision.entries.iter().any(|entry| matches!(entry, Entry::OrderIgnored { .. }));
        assert!(ignored, "{decision:#?}");
    }
}

#[test]
fn a_revision_that_failed_is_not_tried_again_and_a_spec_that_may_be_gone_begins_nothing() {
    let mut failed = calm();
    failed.ledger.failed = true;
    let decision = build(&failed).decide();
    assert!(starts(&decision).is_none());
    assert!(holds(&decision, Held::RevisionFailed));
    let mut gone = calm();
    gone.asked.spec = Fact::Absent;
    gone.ledger.change = None;
    assert!(starts(&build(&gone).decide()).is_none());
}

#[test]
fn a_call_that_lands_after_its_version_has_failed_is_taken_over_to_be_stopped() {
    let mut world = found(DeploymentStatus::InProgress, |_| ());
    assert_eq!(turns_back(&world.decide()), None);
    let accepted = world.state.accepted.clone().unwrap();
    world.state.failed.push(FailedRevision {
        desired: accepted.desired,
        version: accepted.version,
        modified: accepted.modified,
        cause: Cause::Ordered,
    });
    let decision = world.decide();
    assert!(starts(&decision).is_some_and(|start| start.adopted) && knows(&decision));
    assert_eq!(turns_back(&decision), Some(&Cause::Ordered));
    let Fact::Known(deployments) = &mut world.seen.deployments else { panic!("they are known") };
    deployments[0].marker.as_mut().unwrap().intent = "r80".into();
    let Fact::Known(target) = &mut deployments[0].target else { panic!("it is known") };
    target.green = Some(revision(9));
    let decision = world.decide();
    assert!(starts(&decision).is_some_and(|start| matches!(start.kind, RolloutKind::Redeploy { .. })));
    assert_eq!(turns_back(&decision), None, "it takes the version back itself");
}

#[test]
fn a_spec_that_asks_for_what_still_serves_after_another_version_went_back_is_at_its_end() {
    let mut sketch = calm();
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    let mut world = build(&sketch);
    let accepted = world.state.accepted.clone().unwrap();
    let mut last = LastRollout {
        version: ParameterVersion(accepted.version.0 - 1),
        end: RolloutEnd::RolledBack(Cause::Superseded),
        at: ago(60),
        started: ago(600),
    };
    world.state.last = Some(last.clone());
    let decision = world.decide();
    assert!(starts(&decision).is_some_and(|start| start.blue_digest == accepted.desired));
    assert!(decision.entries.contains(&Entry::RolloutEnded(RolloutEnd::Settled)));
    assert_eq!(word(&decision), None, "nothing is asked of the world");
    assert_eq!(decision.status.rollout.phase, "settled");

    let before = world.state.previous.clone();
    decision.entries.iter().for_each(|entry| world.state.apply(world.now, entry));
    assert_eq!(world.state.previous, before, "what can be brought back is what it was");
    assert!(starts(&world.decide()).is_none(), "and that was all");

    last.version = accepted.version;
    world.state.last = Some(last);
    assert!(starts(&world.decide()).is_none(), "its own end is told as it was");
}

#[test]
fn at_rest_a_listener_that_is_not_wholly_on_what_serves_was_edited() {
    let mut sketch = calm();
    sketch.traffic.service = Fact::Known(Serving::Green);
    for (listener, edited) in [((0, 100, false), false), ((1, 99, false), true), ((0, 100, true), true)] {
        sketch.traffic.listeners = Fact::Known(listener);
        let decision = build(&sketch).decide();
        assert_eq!(holds(&decision, Held::ListenerEdited), edited, "{listener:?}");
    }
}

/// A rollout in preflight that has made no deployment; blue serves.
fn nothing_deployed(listener: (u32, u32, bool)) -> World {
    let mut sketch = in_flight(Phase::Preflight, DeploymentStatus::Created, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    sketch.traffic.deployments = Fact::Known(none());
    sketch.traffic.service = Fact::Known(Serving::Blue);
    sketch.traffic.listeners = Fact::Known(listener);
    build(&sketch)
}

#[test]
fn a_rollout_that_has_made_no_deployment_knows_its_blue_by_revision_and_group() {
    let anew = |change: &dyn Fn(&mut TaskSet), listener| {
        let mut world = nothing_deployed(listener);
        serving_as(&mut world, change);
        let (other, content) = (revision(9), serde_json::json!({ "family": "shop" }));
        let other = TaskDefinition { arn: other, content, ..definition(1, true) };
        world.seen.revisions.insert(revision(9).0, Fact::Known(other));
        starts(&world.decide()).map(|start| (start.blue.clone(), start.green_group.clone()))
    };
    let blue_serves = (100, 0, false);
    assert_eq!(anew(&|_| {}, blue_serves), None);
    assert_eq!(anew(&|set| set.revision = revision(9), blue_serves), Some((revision(9), green_group())));
    let moved = anew(&|set| set.target_group = Some(green_group()), (0, 100, false));
    assert_eq!(moved, Some((revision(1), blue_group())));
    let unread = anew(&|set| set.target_group = Some(green_group()), blue_serves);
    assert_eq!(unread, None, "the listener says something else");
}

/// What somebody deployed was stopped just now: CodeDeploy may take it back yet, and that swaps the colours once more.
#[test]
fn one_whose_blue_was_replaced_tells_that_codedeploy_may_take_something_back_and_begins_when_it_does_not() {
    let decide = |stopped: i64| {
        let mut world = nothing_deployed((0, 100, false));
        serving_as(&mut world, |set| set.target_group = Some(green_group()));
        let ended = Some(ago(stopped));
        let sketch = in_flight(Phase::Verifying, DeploymentStatus::Stopped, false);
        let Fact::Known(theirs) = build(&sketch).seen.deployments else { panic!("they are known") };
        let theirs = Deployment { id: "d-9".into(), marker: None, ended, ..theirs[0].clone() };
        world.seen.deployments = Fact::Known(vec![theirs]);
        let decision = world.decide();
        (told(&decision, Reason::RollingBack).is_some(), starts(&decision).is_some())
    };
    assert_eq!(decide(119), (true, false));
    assert_eq!(decide(120), (false, true));
}

#[test]
fn one_that_has_made_no_deployment_tells_of_no_edit_while_nobody_knows_what_serves() {
    let told_of = |listener, change: &dyn Fn(&mut World)| {
        let mut world = nothing_deployed(listener);
        change(&mut world);
        let decision = world.decide();
        (holds(&decision, Held::ListenerEdited), told(&decision, Reason::Unobserved).is_some())
    };
    let (moved, between) = ((0, 100, false), (50, 50, false));
    let replaced = |world: &mut World| {
        serving_as(world, |set: &mut TaskSet| {
            set.revision = revision(9);
            set.target_group = Some(green_group());
        });
    };
    assert_eq!(told_of(moved, &|_| {}), (true, false), "blue serves");
    assert_eq!(told_of(moved, &|world| world.seen.service = Fact::Unknown(Why::Denied)), (false, true));
    assert_eq!(told_of(moved, &replaced), (false, true), "the revision that serves was not read");
    assert_eq!(told_of(between, &replaced), (true, false), "neither blue's nor the other's");
    let nothing_read = |world: &mut World| {
        replaced(world);
        world.seen.listeners = Fact::Unknown(Why::Denied);
    };
    assert_eq!(told_of(moved, &nothing_read), (false, true));
}

#[test]
fn a_revision_that_names_what_was_purged_is_not_deployed_any_more() {
    let settled = |change| {
        let mut sketch = calm();
        sketch.traffic.service = Fact::Known(Serving::Green);
        sketch.traffic.listeners = Fact::Known((0, 100, false));
        sketch.asked.abort = Fact::Known(AbortText::InForce);
        sketch.ledger.change = change;
        sketch
    };
    // Blue names the old form.
    let purged = build(&settled(Some(Change::Purged)));
    let decision = purged.decide();
    assert!(holds(&decision, Held::RestoreOnly));
    assert!(starts(&decision).is_none());
    for change in [None, Some(Change::Marked)] {
        let decision = build(&settled(change)).decide();
        assert!(!holds(&decision, Held::RestoreOnly) && starts(&decision).is_some(), "{change:?}");
    }
    let mut told = settled(Some(Change::SnapshotNamed));
    told.database.tool = Some(Tool::Running);
    let decision = build(&told).decide();
    assert!(holds(&decision, Held::RestoreOnly), "the team's own tool was told to contract");
    let mut another = purged;
    another.state.previous = Some((revision(1), definition(9, true).digest()));
    assert!(holds(&another.decide(), Held::RestoreOnly), "the quiet may have begun when it had gone");
    // A rollout that settled on what served already began when the revision before had long gone.
    let settled =
        LastRollout { version: ParameterVersion(4), end: RolloutEnd::Settled, at: ago(60), started: ago(60) };
    another.state.last = Some(settled);
    another.state.previous_until = Some(ago(11 * DAY));
    assert!(holds(&another.decide(), Held::RestoreOnly));
    another.state.previous_until = Some(ago(9 * DAY));
    assert!(starts(&another.decide()).is_some(), "nobody named it while it served");
}

#[test]
fn nobody_goes_back_to_what_names_the_old_form_once_it_was_told_to_go() {
    // Hidden for long, behind a snapshot, and the next step is purge: an abort comes right after it.
    let mut sketch = calm();
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    sketch.asked.abort = Fact::Known(AbortText::InForce);
    sketch.ledger.change = Some(Change::SnapshotNamed);
    sketch.database.journal = Fact::Known(Journal::Hidden);
    let goes_back = |world: &World| {
        let decision = world.decide();
        (starts(&decision).is_some(), holds(&decision, Held::RestoreOnly))
    };
    assert_eq!(goes_back(&build(&sketch)), (true, false), "nothing is dropped yet");

    let purge = Step::WORDS.iter().position(|word| *word == "purge").unwrap();
    for (journal, message) in [
        (Fact::Known(Journal::Hidden), "the call may still land"),
        (Fact::Unknown(Why::Unreachable), "whether it landed was not read"),
    ] {
        let mut in_doubt = sketch.clone();
        in_doubt.database.journal = journal;
        in_doubt.ledger.doubt = Some((purge, true));
        let world = build(&in_doubt);
        assert_eq!(goes_back(&world), (false, false), "{message}");
        assert!(world.decide().waiting.iter().any(|wait| wait.message.contains("whether the old form")));
    }

    let mut journaled = sketch.clone();
    journaled.database.journal = Fact::Known(Journal::Purged);
    assert_eq!(goes_back(&build(&journaled)), (false, true), "the database has it, the ledger not yet");

    let mut unread = sketch;
    unread.database.journal = Fact::Unknown(Why::Unreachable);
    let mut world = build(&unread);
    world.state.change.as_mut().unwrap().contracted_at = Some(world.now);
    assert_eq!(goes_back(&world), (false, true), "the ledger has it, the database cannot be asked");
}

#[test]
fn a_version_that_names_what_was_purged_is_held() {
    let held = |change, namer: u32| {
        let mut sketch = calm();
        sketch.ledger.change = Some(change);
        let mut world = build(&sketch);
        let namers = &mut world.state.change.as_mut().unwrap().namers;
        *namers = [definition(namer, true).digest()].into();
        let decision = world.decide();
        assert_ne!(holds(&decision, Held::NamesPurged), starts(&decision).is_some());
        holds(&decision, Held::NamesPurged)
    };
    assert!(held(Change::Purged, 2));
    assert!(!held(Change::Purged, 1));
    assert!(!held(Change::Marked, 2), "the old form is there");
}

#[test]
fn a_deployment_under_way_for_this_spec_is_taken_over_though_the_ledger_has_given_it_up() {
    let taken = |status, is_rollback| {
        let mut sketch = in_flight(Phase::Preflight, status, false);
        sketch.rollout.as_mut().unwrap().deployment = false;
        let mut world = build(&sketch);
        world.state.deployments = vec![OURS.into()];
        let Fact::Known(deployments) = &mut world.seen.deployments else { panic!("they are known") };
        deployments[0].is_rollback = is_rollback;
        knows(&world.decide())
    };
    assert!(taken(DeploymentStatus::InProgress, false));
    assert!(!taken(DeploymentStatus::InProgress, true), "CodeDeploy brings what was before it back");
    assert!(!taken(DeploymentStatus::Stopped, false), "it has ended, as the ledger knows");
}
