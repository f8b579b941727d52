//! The team's own migration tool expands and contracts in an ECS task, under the gates of our own steps. In virtual time on a
//! real PostgreSQL; the tests are the tool.

use jiff::SignedDuration;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tidegate_model::status::ReleaseStatus;
use tidegate_sandbox::fault::{Action, Fault, Position};
use tidegate_tests::{
    database::{Database, INSTANCE},
    stage::{Stage, WORLD, spec_with},
};

use crate::schema::{approval, hours, plan, schema_phase, snapshots};

const TOOL: &str = r#"
[[task_definitions]]
family = "flyway"
container = "flyway"
image = "flyway:10"
port = 8080
"#;

const EXPAND: &str = "ALTER TABLE public.customers ADD COLUMN street text";
const CONTRACT: &str = "ALTER TABLE public.customers DROP COLUMN address, DROP COLUMN nickname";

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn spec(stage: &Stage, image: &str) -> String {
    let secret = stage.sandbox.world().secret_arn("tidegate-ecommerce").expect("the secret");
    let members = format!(
        r#""bake": "10m", "schema": {{
    "database": {{ "secret": "{secret}", "instance": "{INSTANCE}" }}, "change": "street",
    "runner": {{ "task": {{ "taskDefinition": "flyway:1", "container": "flyway",
                 "expand": ["migrate", "-target=12"], "adds": ["column customers.street"],
                 "contract": ["migrate", "-target=13"], "removes": ["column customers.address", "column customers.nickname"] }} }},
    "contractAfter": "30m", "quarantine": "1h" }}"#
    );
    spec_with(image, &members)
}

pub(crate) async fn begun() -> (Stage, Database) {
    let stage = Stage::of(&format!("{WORLD}{TOOL}")).await;
    let database = Database::start(&stage).await;
    by_hand(&stage, "ALTER TABLE public.customers ADD COLUMN nickname text").await;
    stage.put("spec", &spec(&stage, "shop:v2")).await;
    (stage, database)
}

async fn by_hand(stage: &Stage, sql: &str) {
    let options = stage.sandbox.world().database_options(INSTANCE).expect("the instance runs");
    let mut session = options.connect().await.expect("a session");
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut session).await.expect("the statement runs");
}

/// The tool's task that runs: its ARN and command.
fn running(stage: &Stage) -> Option<(String, Vec<String>)> {
    let tasks = stage.sandbox.world().live_tasks();
    let mut tool = tasks.into_iter().filter(|task| task.image == "flyway:10" && task.started);
    let found = tool.next();
    assert!(tool.next().is_none(), "two runs at once");
    found.map(|task| (task.id, task.command))
}

/// The tool does its work, or not, and exits.
async fn tool_does(stage: &Stage, command: &str, sql: &str, exit_code: i32) {
    let (task, words) = running(stage).expect("the tool runs");
    assert_eq!(words.join(" "), command);
    by_hand(stage, sql).await;
    stage.sandbox.world().task_stopped(&task, Some(exit_code), "Essential container in task exited");
}

fn waits(status: &ReleaseStatus, reason: &str, text: &str) -> bool {
    status.waiting.iter().any(|wait| wait.reason.as_str() == reason && wait.message.contains(text))
}

fn runs(stage: &Stage) -> usize {
    stage.effects().iter().filter(|entry| entry.operation == "RunTask").count()
}

/// Plays until the tool's process is there.
pub(crate) async fn play_until_it_runs(stage: &mut Stage, phase: &'static str) {
    stage.play_until(hours(12), move |s| waits(s, "migration-task", phase)).await;
    stage.pass_time(minutes(1));
    stage.pass().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_team_s_own_tool_expands_before_green_and_contracts_behind_every_gate() {
    let (mut stage, database) = begun().await;
    play_until_it_runs(&mut stage, "expand").await;
    assert_eq!(stage.status().rollout.phase, "preflight");
    tool_does(&stage, "migrate -target=12", EXPAND, 0).await;
    stage.play_until_settled(1).await;
    stage.put("spec", &spec(&stage, "shop:v3")).await;
    stage.play_until_settled(2).await;
    stage.play_until(hours(1), |s| schema_phase(s) == "soaking").await;
    assert_eq!(runs(&stage), 1);

    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    play_until_it_runs(&mut stage, "contract").await;
    assert_eq!(snapshots(&stage), 1);
    let status = stage.status();
    assert!(status.events.iter().any(|event| event.reason == "QuarantineBegan"), "{:?}", status.events);
    tool_does(&stage, "migrate -target=13", CONTRACT, 0).await;
    stage.play_until(hours(1), |s| schema_phase(s) == "purged").await;
    assert_eq!(runs(&stage), 2);
    database.run("SELECT * FROM customers").await;
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_fails_is_run_again_later_each_time_and_nothing_is_deployed_meanwhile() {
    let (mut stage, database) = begun().await;
    for attempt in 1..=3 {
        play_until_it_runs(&mut stage, "expand runs").await;
        assert_eq!(runs(&stage), attempt);
        tool_does(&stage, "migrate -target=12", "", 17).await;
        stage.play_until(minutes(1), |s| waits(s, "refused", "exit code 17")).await;
    }
    assert!(!database.has_column("street").await);
    stage.put("hold", "{}").await;
    stage.pass_time(hours(2));
    stage.pass().await;
    stage.pass().await;
    assert_eq!(runs(&stage), 3, "a hold keeps it from being run again");
    stage.delete("hold").await;
    // A newer spec may give another command: the database has nothing of the change yet.
    stage.put("spec", &spec(&stage, "shop:v2").replace("-target=12", "-target=14")).await;
    play_until_it_runs(&mut stage, "expand runs").await;
    tool_does(&stage, "migrate -target=14", EXPAND, 0).await;
    stage.play_until_settled(2).await;
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_says_it_is_done_is_believed_only_by_the_catalog() {
    let (mut stage, _database) = begun().await;
    play_until_it_runs(&mut stage, "expand").await;
    tool_does(&stage, "migrate -target=12", "", 0).await;
    stage
        .play_until(minutes(5), |s| waits(s, "task-disagrees", "column public.customers.street is not there"))
        .await;
    stage.pass_time(hours(6));
    stage.pass().await;
    assert_eq!((runs(&stage), stage.status().rollout.phase.as_str()), (1, "preflight"));
    // Finished by hand.
    by_hand(&stage, EXPAND).await;
    stage.play_until_settled(1).await;
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_team_has_run_already_is_not_run_again() {
    let (mut stage, _database) = begun().await;
    by_hand(&stage, EXPAND).await;
    stage.play_until_settled(1).await;
    assert_eq!(runs(&stage), 0);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_failed_half_way_stops_for_people_and_the_old_version_is_not_deployed_again() {
    let (mut stage, database) = begun().await;
    play_until_it_runs(&mut stage, "expand").await;
    tool_does(&stage, "migrate -target=12", EXPAND, 0).await;
    stage.play_until_settled(1).await;
    database.run("SELECT address FROM customers WHERE id = 7").await;
    stage.play_until(hours(1), |s| schema_phase(s) == "soaking").await;
    stage.pass_time(minutes(5));
    stage.put("spec", &spec(&stage, "shop:v3")).await;
    stage.play_until_settled(2).await;
    stage.play_until(hours(1), |s| schema_phase(s) == "soaking").await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    play_until_it_runs(&mut stage, "contract").await;
    tool_does(&stage, "migrate -target=13", "", 1).await;
    // Nothing is gone: the gates are asked again, and so is the tool.
    play_until_it_runs(&mut stage, "contract runs").await;
    let half = "ALTER TABLE public.customers DROP COLUMN address";
    tool_does(&stage, "migrate -target=13", half, 1).await;
    let left = "column public.customers.nickname is still there";
    stage.play_until(minutes(5), |s| waits(s, "task-disagrees", left)).await;
    stage.put("abort", r#"{"spec": 2}"#).await;
    stage.play_until(minutes(5), |s| waits(s, "restore-only", "names what was purged")).await;
    stage.delete("abort").await;
    // Finished by hand: it is journaled, and nothing is run again.
    by_hand(&stage, "ALTER TABLE public.customers DROP COLUMN nickname").await;
    stage.play_until(hours(1), |s| schema_phase(s) == "purged").await;
    assert_eq!(runs(&stage), 3);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_around_the_call_starts_the_tool_once() {
    for position in [Position::BeforeEffect, Position::AfterEffect, Position::AfterReply] {
        let (mut stage, _database) = begun().await;
        let operation = Some("RunTask".to_owned());
        stage.sandbox.faults().arm(Fault { operation, nth: 1, position, action: Action::Stop });
        stage.play_until_killed().await;
        play_until_it_runs(&mut stage, "expand").await;
        tool_does(&stage, "migrate -target=12", EXPAND, 0).await;
        stage.play_until(hours(1), |s| s.rollout.phase == "provisioning").await;
        assert_eq!(runs(&stage), 1, "{position:?}");
    }
}
