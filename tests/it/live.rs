//! Live: real processes, a real balancer, a real database and real traffic. The daemon is a process, and is killed.

use std::time::SystemTime;

use serde_json::json;
use tidegate_sandbox::fault::Position;
use tidegate_shop::customers::Forms;
use tidegate_tests::live::Live;

/// What the story does to AWS from version 1 to the end of contract, in order.
pub(crate) const GOLDEN: [&str; 9] = [
    "RegisterTaskDefinition",
    "CreateDeployment",
    "ContinueDeployment",
    "ContinueDeployment",
    "RegisterTaskDefinition",
    "CreateDeployment",
    "ContinueDeployment",
    "ContinueDeployment",
    "CreateDBSnapshot",
];

/// Arms the kill at a call of the golden run. A call that was struck before its effect is sent again first.
fn arm(live: &Live, index: usize, position: Position) {
    let Some(operation) = GOLDEN.get(index) else { return };
    let again = position == Position::BeforeEffect && index > 0 && GOLDEN[index - 1] == *operation;
    live.arm(operation, if again { 2 } else { 1 }, position);
}

async fn killed_at_every_mutating_call(position: Position) {
    let mut live = Live::start(0).await;
    arm(&live, 0, position);
    live.release(2).await;
    for (index, operation) in GOLDEN.iter().enumerate() {
        if index == 4 {
            live.settled(1).await;
            live.release(3).await;
        }
        if index == 8 {
            live.settled(2).await;
            let plan = live.until("the plan is shown", |s| s.schema.as_ref().map(|s| s.plan.clone())).await;
            let order = json!({ "spec": 2, "plan": plan }).to_string();
            live.people.put("approve/contract", &order).await.expect("the approval is written");
        }
        live.kill_at(operation, |live| arm(live, index + 1, position)).await;
    }
    live.until("contract ends", |s| (s.schema.as_ref()?.phase == "purged").then_some(())).await;

    let restore = live.restore_plan().await;
    for carried in [
        "tidegate-ecommerce-structured-address-",
        "ecommerce-private",
        "sg-0ec0ec0ec0ec0ec01",
        "ecommerce-postgres15",
    ] {
        assert!(restore.contains(carried), "{carried}: {restore}");
    }

    let effects = live.effects();
    let operations: Vec<&str> = effects.iter().map(|entry| entry.operation.as_str()).collect();
    assert_eq!(operations, GOLDEN, "exactly one effect of each intent ({position:?})");
    let report = live.customers.report();
    assert_eq!((report.failed, report.wrong), (0, 0), "{:#?}", report.first_failures);
    assert!(report.sent > 3_000, "{report:?}");
    let late = live.a_day().await;
    assert!(late.is_empty(), "{late:#?}");
    let log = live.stop().await;
    assert!(!log.contains("sandbox-tidegate-password") && !log.contains("sandbox-shop-password"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_each_call_was_received_and_not_applied() {
    killed_at_every_mutating_call(Position::BeforeEffect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_effect_of_each_call() {
    killed_at_every_mutating_call(Position::AfterEffect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_reply_to_each_call() {
    killed_at_every_mutating_call(Position::AfterReply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_may_write_what_has_no_structured_form_while_traffic_shifts() {
    let live = Live::start(15).await;
    live.release(2).await;
    live.settled(1).await;
    let (disagreeing, unmapped) = live
        .until("the change soaks", |s| {
            let schema = s.schema.as_ref().filter(|schema| schema.phase == "soaking")?;
            Some((schema.disagreeing?, schema.unmapped?))
        })
        .await;
    assert_eq!(disagreeing, 0);
    assert!(unmapped > 0, "awkward addresses were written");
    let report = live.customers.report();
    assert_eq!((report.failed, report.wrong, report.refused), (0, 0, 0), "{:#?}", report.first_failures);

    let writes = live.customers.writes();
    let options =
        live.local.sandbox.world().database_options(tidegate::local::story::INSTANCE).expect("a database");
    let mut connection = sqlx::ConnectOptions::connect(&options).await.expect("a connection");
    let before = SystemTime::now() - std::time::Duration::from_secs(2);
    let read = writes.read_back(&mut connection, Forms::Both, before).await.expect("what was written");
    assert!(read.checked > 100, "{read:?}");
    live.stop().await;
}

#[test]
fn the_demo_keeps_every_promise() {
    let program = tidegate::local::story::beside_this_program("tidegate").expect("run `cargo xtask test`");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let output = std::process::Command::new(program).arg("demo").arg("--report").arg(&path).output();
    let output = output.expect("the demo runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read_to_string(path).expect("a report");
    let report: tidegate::demo::report::Report = serde_json::from_str(&report).expect("a report");
    assert!(report.kept() && report.promises.len() >= 11, "{report}");
}
