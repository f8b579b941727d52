//! What the simulation found once, by the plan that found it: it is not found again, and the plan still strikes where it did.
//!
//! A plan counts calls, and the daemon makes more or fewer of them from one version to the next. So each says in which phases of the
//! rollout and of the schema change it strikes, and one that strikes elsewhere, or nothing at all, fails: it is to be moved to where what it
//! found would be found (`cargo xtask sim --scenario NAME --plan PLAN` tells where it strikes).

use std::collections::BTreeSet;

use tidegate_simulation::scenario::Scenario;

use crate::simulation::{A_WHILE, played, scenario};

/// Plays a plan of one fault that must strike in these phases (`rollout/schema`), and break nothing.
#[track_caller]
fn found_once(name: &str, phases: &str, plan: &str) {
    let plan = serde_json::from_str(plan).expect("a plan");
    // At the pace at which it was found: the plans count calls.
    let scenario = Scenario { pace: None, ..scenario(name) };
    let report = played(&scenario, &plan, 1, A_WHILE);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    assert_eq!(report.never_struck, [], "it strikes nothing any more");
    let [fault] = plan.faults.as_slice() else { panic!("a plan of one fault") };
    let struck = report.in_phases.keys().filter(|(class, _)| *class == fault.class());
    let struck: BTreeSet<String> = struck.map(|(_, phases)| phases.to_string()).collect();
    assert!(struck.contains(phases), "it strikes in {struck:?} and no longer in {phases}");
}

/// The description of the serving task definition had members that nobody knew: the release was deployed again.
#[test]
fn a_serving_revision_with_members_that_nobody_knows_is_not_deployed_again() {
    found_once(
        "all-at-once",
        "preflight/none",
        r#"{"faults":[{"at":{"operation":{"of":"ecs.DescribeTaskDefinition","nth":8}},"what":{"mangled":"unknown-members"}}]}"#,
    );
}

/// The same with members missing.
#[test]
fn a_serving_revision_with_members_missing_is_not_deployed_again() {
    found_once(
        "all-at-once",
        "preflight/none",
        r#"{"faults":[{"at":{"operation":{"of":"ecs.DescribeTaskDefinition","nth":8}},"what":{"mangled":"missing-members"}}]}"#,
    );
}

/// The group's settings came without the termination wait: the bake counted as unserved, and a good version went back.
#[test]
fn a_group_without_its_termination_wait_does_not_make_a_bake_unserved() {
    found_once(
        "all-at-once",
        "baking/none",
        r#"{"faults":[{"at":{"operation":{"of":"codedeploy.BatchGetDeploymentGroups","nth":45}},"what":{"mangled":"missing-members"}}]}"#,
    );
}

/// Somebody deployed right behind the rollback, before that was written: the listener was to be put back for ever.
#[test]
fn a_deployment_of_somebody_else_right_behind_a_rollback_is_not_fought() {
    found_once(
        "a-version-that-fails-while-the-ledger-is-gone",
        "rolling-back/none",
        r#"{"faults":[{"at":{"operation":{"of":"codedeploy.StopDeployment","nth":1}},"what":{"world":{"mishap":{"foreign":"deploys-through"},"lasts":600}}}]}"#,
    );
}

/// A copy of the ledger was restored in which the rollout had not begun to deploy, and it was over: the listener was to be
/// put back for ever.
#[test]
fn a_ledger_from_before_a_rollout_that_is_over_puts_no_listener_back() {
    found_once(
        "a-hold-before-the-schema-change",
        "settled/soaking",
        r#"{"faults":[{"at":{"operation":{"of":"codedeploy.ListDeployments","nth":200}},"what":{"ledger-restored":{"ago":1356}}}]}"#,
    );
}

/// CodeDeploy did not clear away what it took back: the next version settled behind the same group, and every other request
/// reached the one before.
#[test]
fn what_codedeploy_left_behind_keeps_no_version_before_in_the_traffic() {
    found_once(
        "a-newer-version-before-any-traffic",
        "rolled-back/none",
        r#"{"faults":[{"at":{"operation":{"of":"codedeploy.StopDeployment","nth":1}},"what":{"world":{"mishap":{"codedeploy":"rollback-fails"},"lasts":600}}}]}"#,
    );
}

/// One probe got no answer: the version had failed for good.
#[test]
fn a_probe_without_an_answer_fails_no_version() {
    found_once(
        "all-at-once",
        "provisioning/none",
        r#"{"faults":[{"at":{"operation":{"of":"listener.verify","nth":1}},"what":{"fail":["before-effect","disconnect"]}}]}"#,
    );
}

/// A clock that was set back stood still for as long, and the daemon with it.
#[test]
fn a_daemon_does_not_stand_still_while_its_clock_catches_up() {
    found_once(
        "steps-of-its-own",
        "none/none",
        r#"{"faults":[{"at":{"crossing":23},"what":{"clock-jump":{"by":7037,"lasts":600}}}]}"#,
    );
}

/// The time that a clock was wrong for counted as time in which nobody named the old form.
#[test]
fn a_clock_that_is_wrong_shortens_no_soak() {
    found_once(
        "an-abort-while-a-form-is-hidden",
        "settled/soaking",
        r#"{"faults":[{"at":{"second":1900},"what":{"clock-jump":{"by":1555,"lasts":60}}}]}"#,
    );
}

/// Somebody stopped the deployment and took nothing back: it was told for ever that traffic goes back, which it did not.
#[test]
fn a_deployment_that_somebody_stopped_and_left_is_told_as_it_is() {
    found_once(
        "all-at-once",
        "baking/none",
        r#"{"faults":[{"at":{"operation":{"of":"codedeploy.ContinueDeployment","nth":2}},"what":{"world":{"mishap":{"hand":"stops-and-leaves"},"lasts":0}}}]}"#,
    );
}

/// Somebody moved the listener to green by hand, CodeDeploy failed for it, and its rollback had "ended" for ever.
#[test]
fn a_listener_moved_by_hand_ends_no_rollback() {
    found_once(
        "an-abort-before-any-traffic",
        "preflight/none",
        r#"{"faults":[{"at":{"operation":{"of":"ssm.GetParameters","nth":6}},"what":{"world":{"mishap":{"hand":"listener-to-second"},"lasts":0}}}]}"#,
    );
}

/// CodeDeploy called a deployment succeeded in the middle of its shift: the way back was told as ended while the version
/// that failed still ran behind the same group.
#[test]
fn a_success_that_codedeploy_made_up_ends_no_way_back() {
    found_once(
        "an-abort-in-the-shift",
        "shifting/none",
        r#"{"faults":[{"at":{"operation":{"of":"codedeploy.StopDeployment","nth":1}},"what":{"world":{"mishap":{"codedeploy":"says-succeeded"},"lasts":300}}}]}"#,
    );
}

/// The ledger was lost while an older revision was brought back: its deployment was taken for the version's own, and
/// stopped, and the version went on serving as "rolled back".
#[test]
fn a_way_back_whose_ledger_is_lost_is_not_taken_for_the_version() {
    found_once(
        "an-abort-after-the-end",
        "rolling-back/none",
        r#"{"faults":[{"at":{"operation":{"of":"codedeploy.ContinueDeployment","nth":3}},"what":"ledger-lost"}]}"#,
    );
}

/// The call that makes the deployment arrived twice: the second answer was a refusal, and our own deployment was taken for
/// somebody else's until CodeDeploy gave it up an hour later.
#[test]
fn a_create_call_that_arrives_twice_makes_no_stranger_of_our_deployment() {
    found_once(
        "probes-that-fail",
        "none/none",
        r#"{"faults":[{"at":{"operation":{"of":"codedeploy.CreateDeployment","nth":1}},"what":"twice"}]}"#,
    );
}

/// A secret in a spec was in the log, at the finest level: the SDK writes answers whole there.
#[test]
fn a_secret_in_a_spec_is_not_in_the_log() {
    found_once(
        "all-at-once",
        "confirming/none",
        r#"{"faults":[{"at":{"operation":{"of":"ssm.GetParameters","nth":27}},"what":{"world":{"mishap":{"canary":"spec-member"},"lasts":180}}}]}"#,
    );
}

/// The ledger was lost while the old form was hidden, and with it who named that: a version that does was deployed, and refused.
#[test]
fn a_version_that_may_name_the_hidden_form_waits_for_it_when_the_ledger_was_lost() {
    found_once(
        "an-old-version-that-comes-back-in-the-quarantine",
        "settled/hidden",
        r#"{"faults":[{"at":{"second":2500},"what":"ledger-lost"}]}"#,
    );
}

/// An older copy of the ledger knew a version before its traffic, which had settled long since: as something newer was asked for, blue was to
/// be deployed again, and nobody looked after the newer version's own deployment meanwhile.
#[test]
fn a_version_that_settled_is_not_taken_back_because_an_older_ledger_sees_something_newer() {
    found_once(
        "two-versions",
        "baking/none",
        r#"{"faults":[{"at":{"operation":{"of":"codedeploy.ContinueDeployment","nth":4}},"what":{"ledger-restored":{"ago":1660}}}]}"#,
    );
}
