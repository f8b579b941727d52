//! The command line as people and pipelines use it: what it prints and how it ends.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tidegate_ledger::Ledger;
use tidegate_model::ledger::Entry;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

const EXAMPLE: &str = include_str!("../../config/example/spec.json");

fn tidegate() -> Command {
    let program = tidegate::local::story::beside_this_program("tidegate").expect("run `cargo xtask test`");
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = tidegate().args(arguments).spawn().expect("it runs");
    child.stdin.take().expect("an input").write_all(input.as_bytes()).expect("the input is taken");
    child.wait_with_output().expect("it ends")
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn a_valid_spec_is_said_to_be_valid() {
    let output = run(&["validate", "-"], EXAMPLE);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "-: a valid spec\n"));
}

#[test]
fn every_problem_of_a_spec_is_told_with_its_place_and_the_exit_code_is_3() {
    let spec = EXAMPLE.replace("\"bake\": \"24h\"", "\"bake\": \"soon\"").replace("\"engine\"", "\"motor\"");
    let output = run(&["validate", "-"], &spec);
    let told = out(&output);
    assert_eq!(output.status.code(), Some(3));
    assert!(told.lines().count() >= 4 && told.contains(" bake") && told.contains("SPEC"), "{told}");
    assert!(!told.contains("soon"), "input is not echoed: {told}");
    let json: Value =
        serde_json::from_str(&out(&run(&["validate", "-o", "json", "-"], &spec))).expect("JSON");
    assert_eq!(json["valid"], false);
    assert!(json["problems"].as_array().is_some_and(|problems| problems.len() >= 3), "{json:#}");
}

#[test]
fn the_schema_is_json_and_strict() {
    let schema: Value = serde_json::from_str(&out(&run(&["schema"], ""))).expect("JSON");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn lint_tells_what_statements_do_and_ends_with_3_if_files_are_refused() {
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/migrations/structured-address");
    let passed = run(&["lint", shop], "");
    assert_eq!(passed.status.code(), Some(0), "{}", out(&passed));
    assert!(out(&passed).contains("SHARE ROW EXCLUSIVE on public.customers"), "{}", out(&passed));
    assert!(out(&passed).contains("2_backfill_address-sync.sql (generated from 2_sync_address.sql)"));
    let generated = out(&run(&["lint", shop, "--sql"], ""));
    assert!(generated.contains("CREATE TRIGGER \"customers_address_sync_update\""), "{generated}");
    assert!(!generated.contains("ALTER TABLE"), "a team's own files are not repeated: {generated}");

    let folder = tempfile::tempdir().expect("a folder");
    let text = "ALTER TABLE customers ADD COLUMN street text;\nUPDATE customers SET street = 'hunter2';\n";
    std::fs::write(folder.path().join("1_expand_all.sql"), text).expect("a file");
    let path = folder.path().to_str().expect("a path");
    let refused = run(&["lint", path], "");
    assert_eq!(refused.status.code(), Some(3));
    assert!(out(&refused).contains("1_expand_all.sql:2:1: MIGR117"), "{}", out(&refused));
    assert!(!out(&refused).contains("hunter2"), "input is not echoed: {}", out(&refused));
    let json: Value = serde_json::from_str(&out(&run(&["lint", "-o", "json", path], ""))).expect("JSON");
    assert_eq!((&json["passes"], &json["problems"][0]["line"]), (&Value::from(false), &Value::from(2)));

    let secret = run(&["lint", shop, "--database", "postgres://u:hunter2@127.0.0.1:9/d"], "");
    assert_eq!(secret.status.code(), Some(2));
    assert!(err(&secret).contains("PGPASSWORD") && !err(&secret).contains("hunter2"), "{}", err(&secret));
    assert_eq!(run(&["lint", "/no/such/folder"], "").status.code(), Some(3));
}

#[test]
fn judge_replays_minutes_and_ends_with_4_if_green_is_rolled_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    };
    let header = "blue_requests,blue_failures,green_requests,green_failures\n";
    let good = file("good.csv", &format!("{header}{}", "900,1,100,0\n".repeat(20)));
    let bad = file("bad.csv", &format!("{header}{}", "900,1,100,2\n".repeat(20)));
    let history = file("history.csv", &format!("requests,failures\n{}", "1000,1\n".repeat(120)));

    let passed = run(&["judge", "--csv", &good, "--history", &history], "");
    assert_eq!(passed.status.code(), Some(0), "{}", out(&passed));
    assert!(out(&passed).contains("it fails in 0.100 % of requests by itself"), "{}", out(&passed));
    let failed = run(&["judge", "--csv", &bad, "--history", &history], "");
    assert_eq!(failed.status.code(), Some(4), "{}", out(&failed));
    assert!(out(&failed).contains("suspect") && out(&failed).contains("fail: rolled back after minute"));
    let after = |arguments: &[&str]| {
        let json: Value = serde_json::from_str(&out(&run(arguments, ""))).expect("JSON");
        json["rolledBackAfter"].as_u64().expect("it is rolled back")
    };
    let known = after(&["judge", "-o", "json", "--csv", &bad, "--history", &history]);
    assert!(known < after(&["judge", "-o", "json", "--csv", &bad]), "history makes it faster: {known}");

    let broken = file("broken.csv", &format!("{header}900,1,100,0\n900,hunter2,100,0\n"));
    let refused = run(&["judge", "--csv", &broken], "");
    assert_eq!(refused.status.code(), Some(2));
    let told = err(&refused);
    assert!(told.contains("broken.csv:3: CSV001") && !told.contains("hunter2"), "{told}");
    for (text, code) in [("", "CSV003"), ("900,1,100,200\n", "CSV002"), ("900,-1,100,NaN\n", "CSV001")] {
        let refused = run(&["judge", "--csv", &file("bad-input.csv", &format!("{header}{text}"))], "");
        assert!(err(&refused).contains(code), "{text:?}: {}", err(&refused));
    }
}

#[test]
fn a_ledger_s_url_has_no_password_and_is_not_told() {
    for arguments in [
        &["run", "--ledger-url", "postgres://u:hunter2@127.0.0.1:9/d"][..],
        &["judge", "--from-ledger", "shop", "--ledger-url", "postgres://u:hunter2@127.0.0.1:9/d"],
        &["run", "--ledger-url", "hunter2"],
    ] {
        let refused = run(arguments, "");
        assert_eq!(refused.status.code(), Some(2), "{}", err(&refused));
        assert!(!err(&refused).contains("hunter2"), "{}", err(&refused));
    }
    assert_eq!(run(&["judge", "--from-ledger", "shop"], "").status.code(), Some(2), "it must be told where");
}

#[test]
fn wrong_usage_ends_with_2_and_an_unreachable_daemon_with_8() {
    assert_eq!(run(&["fly"], "").status.code(), Some(2));
    assert_eq!(run(&["validate", "/no/such/file"], "").status.code(), Some(2));
    let clock = run(&["run", "--clock", "http://127.0.0.1:4566"], "");
    assert_eq!(clock.status.code(), Some(2), "{}", err(&clock));
    assert!(err(&clock).contains("--endpoint-url"), "{}", err(&clock));
    // Port 9 is discard's: nobody listens there.
    let url = ["--url", "http://127.0.0.1:9"];
    assert_eq!(run(&["status", url[0], url[1]], "").status.code(), Some(8));
    assert_eq!(run(&["healthcheck", url[0], url[1]], "").status.code(), Some(8));
}

#[test]
fn a_second_daemon_on_the_same_ledger_ends_before_it_could_act() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("ledger.sqlite");
    let start = |ledger: &Path| {
        let mut command = tidegate();
        command
            .args(["run", "--listen", "127.0.0.1:0", "--endpoint-url", "http://127.0.0.1:9", "--ledger"])
            .arg(ledger);
        command
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "x")
            .env("AWS_SECRET_ACCESS_KEY", "x");
        command.spawn().expect("it runs")
    };
    let mut first = start(&ledger);
    let begun = std::time::Instant::now();
    while !ledger.exists() && begun.elapsed().as_secs() < 20 {
        std::thread::yield_now();
    }
    let second = start(&ledger).wait_with_output().expect("it ends");
    first.kill().expect("the first one still ran");
    first.wait().expect("it ends");
    assert_eq!(second.status.code(), Some(8), "{}", err(&second));
    assert!(err(&second).contains("locked by another process"), "{}", err(&second));
}

/// A ledger that knows of a release, so that a daemon looks after it.
async fn ledger_of_a_release(path: &Path) {
    let ledger = Ledger::open(path).await.expect("a ledger");
    let release = "shop".parse().expect("a name");
    ledger.lead(&release).await.expect("this process leads");
    let entry = Entry::SpecAbsent { absent: true };
    ledger.append(&release, 0, jiff::Timestamp::UNIX_EPOCH, &[entry]).await.expect("an entry");
}

#[tokio::test]
async fn a_daemon_whose_ledger_is_removed_under_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ledger, config) = (folder.path().join("ledger.sqlite"), folder.path().join("tidegate.toml"));
    ledger_of_a_release(&ledger).await;
    std::fs::write(&config, "[controller]\nresync = \"1s\"\nin_flight = \"1s\"\n").expect("a configuration");
    let mut command = tidegate();
    command.args(["run", "--listen", "127.0.0.1:0", "--endpoint-url", "http://127.0.0.1:9", "--config"]);
    command.arg(&config).arg("--ledger").arg(&ledger);
    command.env("AWS_REGION", "eu-west-1").env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
    let mut daemon = tokio::process::Command::from(command).kill_on_drop(true).spawn().expect("it runs");
    let mut log = tokio::io::BufReader::new(daemon.stderr.take().expect("a log"));
    let mut told = String::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        while !told.contains("the daemon runs") {
            assert!(log.read_line(&mut told).await.expect("a line") > 0, "it ended: {told}");
        }
        std::fs::remove_file(&ledger).expect("removed");
        log.read_to_string(&mut told).await.expect("the rest of the log");
        daemon.wait().await.expect("it ends")
    });
    let ended = ended.await.expect("it goes on without its ledger");
    assert_eq!(ended.code(), Some(8), "{told}");
    assert!(told.contains("was removed or replaced while it was open"), "{told}");
}
