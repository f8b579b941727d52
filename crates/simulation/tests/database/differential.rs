//! Sequences by hand, on a real server and on the model: every answer and every observation is the same.

use tidegate_model::{
    Digest, Fact,
    runner::TaskRunner,
    schema::{ChangePlan, FilePhase, Object},
    spec::DatabaseSpec,
};
use tidegate_schema::sql::plan_of_runner;
use tidegate_simulation::database::{Write, story};

use crate::{
    application::App,
    compared::{Held, Pair, column, rows},
    server::{Server, run},
    world::plan_of,
};

fn files(plan: &ChangePlan, phase: FilePhase) -> Vec<String> {
    plan.files(phase).map(|file| file.name.clone()).collect()
}

/// A process claims, expands and backfills to the end.
async fn soak(pair: &mut Pair) {
    let plan = pair.plan.clone();
    pair.claim(0, &plan).await;
    for file in files(&plan, FilePhase::Expand) {
        assert_eq!(pair.expand(0, &plan, &file).await, "done ()");
    }
    while !pair.backfill(0, &plan).await.contains("done: true") {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_is_the_same_story_on_a_server_and_in_the_model() {
    let server = Server::start(&rows()).await;
    let mut pair = Pair::new(&server, "story").await;
    let plan = pair.plan.clone();
    pair.observe(&plan).await;
    assert!(pair.hide(0).await.contains("Fenced"), "nothing was claimed");
    pair.claim(0, &plan).await;
    pair.observe(&plan).await;
    assert_eq!(pair.hide(0).await, "TooEarly");
    assert_eq!(pair.purge(0, &plan).await, "TooEarly");
    assert_eq!(pair.backfill(0, &plan).await, "TooEarly");
    assert_eq!(pair.unhide(0).await, "done ()");
    assert_eq!(pair.expand(0, &plan, "9_expand_none.sql").await, "NoSuchFile");
    for app in [
        App::ReadOld,
        App::ReadAll,
        App::Update(Write::Old),
        App::Update(Write::New),
        App::Insert(Write::OldOdd),
    ] {
        pair.app(app).await;
    }
    for file in files(&plan, FilePhase::Expand) {
        for _ in 0..2 {
            assert_eq!(pair.expand(0, &plan, &file).await, "done ()");
            pair.observe(&plan).await;
        }
    }
    assert_eq!(pair.purge(0, &plan).await, "TooEarly");
    while !pair.backfill(0, &plan).await.contains("done: true") {
        pair.observe(&plan).await;
        pair.app(App::Update(Write::Old)).await;
        assert_eq!(pair.hide(0).await, "TooEarly");
    }
    pair.backfill(0, &plan).await;
    for app in [App::ReadOld, App::ReadName, App::ReadAll] {
        assert_eq!(pair.app(app).await, "done");
    }
    for write in
        [Write::Old, Write::OldOdd, Write::New, Write::NewOdd, Write::Both, Write::BothApart, Write::Neither]
    {
        assert_eq!(pair.app(App::Update(write)).await, "done");
        assert_eq!(pair.app(App::Insert(write)).await, "done");
        pair.observe(&plan).await;
    }
    for _ in 0..2 {
        assert_eq!(pair.hide(0).await, "done ()");
        pair.observe(&plan).await;
        assert_eq!(pair.app(App::ReadOld).await, "42501");
        assert_eq!(pair.app(App::Update(Write::Old)).await, "42501");
        assert_eq!(pair.app(App::Insert(Write::New)).await, "done");
        assert_eq!(pair.unhide(0).await, "done ()");
        pair.observe(&plan).await;
        assert_eq!(pair.app(App::ReadOld).await, "done");
    }
    assert_eq!(pair.hide(0).await, "done ()");
    assert_eq!(pair.hide(0).await, "done ()");
    assert_eq!(pair.purge(0, &plan).await, "done ()");
    for _ in 0..2 {
        pair.observe(&plan).await;
        assert_eq!(pair.purge(0, &plan).await, "done ()");
        assert_eq!(pair.hide(0).await, "done ()");
        assert_eq!(pair.unhide(0).await, "done ()");
        pair.backfill(0, &plan).await;
        for file in files(&plan, FilePhase::Expand) {
            assert_eq!(pair.expand(0, &plan, &file).await, "done ()");
        }
    }
    assert_eq!(pair.app(App::ReadOld).await, "42703");
    assert_eq!(pair.app(App::Update(Write::Both)).await, "42703");
    assert_eq!(pair.app(App::Update(Write::New)).await, "done");
    pair.observe(&plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_fence_each_other_off_alike() {
    let server = Server::start(&rows()).await;
    let mut pair = Pair::new(&server, "fence").await;
    let plan = pair.plan.clone();
    soak(&mut pair).await;
    pair.claim(1, &plan).await;
    for step in 0..5 {
        let told = match step {
            0 => pair.expand(0, &plan, &files(&plan, FilePhase::Expand)[0]).await,
            1 => pair.backfill(0, &plan).await,
            2 => pair.hide(0).await,
            3 => pair.unhide(0).await,
            _ => pair.purge(0, &plan).await,
        };
        assert!(told.starts_with("Fenced"), "{told}");
    }
    let release = "ecommerce".parse().unwrap();
    for (ledger, lease) in [("1", 1), ("0", 99)] {
        let told = pair.claim_as(0, &release, ledger, lease).await;
        assert!(told.contains("Fenced"), "an older lease, and a lease of an older ledger: {told}");
    }
    assert_eq!(pair.hide(1).await, "done ()");
    pair.observe(&plan).await;
    pair.claim(0, &plan).await;
    assert_eq!(pair.purge(0, &plan).await, "done ()");
    pair.observe(&plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_in_the_way_of_the_same_steps() {
    let server = Server::start(&rows()).await;
    let mut pair = Pair::new(&server, "locks").await;
    let plan = pair.plan.clone();
    pair.claim(0, &plan).await;
    let expand = files(&plan, FilePhase::Expand);
    pair.hold(Held::Wrote).await;
    assert_eq!(pair.expand(0, &plan, &expand[1]).await, "Sql(42703)", "refused before it needs a lock");
    for held in [Held::Read, Held::Wrote] {
        pair.hold(held).await;
        assert!(pair.expand(0, &plan, &expand[0]).await.starts_with("blocked"));
        pair.observe(&plan).await;
    }
    pair.release_locks().await;
    pair.expand(0, &plan, &expand[0]).await;
    pair.hold(Held::Read).await;
    assert_eq!(pair.expand(0, &plan, &expand[1]).await, "done ()", "a trigger's lock stops writers only");
    pair.hold(Held::Wrote).await;
    assert!(pair.backfill(0, &plan).await.starts_with("blocked"), "a row is held");
    pair.observe(&plan).await;
    pair.release_locks().await;
    while !pair.backfill(0, &plan).await.contains("done: true") {}
    pair.hold(Held::Wrote).await;
    assert_eq!(pair.hide(0).await, "done ()", "hiding waits for nobody");
    assert!(pair.purge(0, &plan).await.starts_with("blocked"));
    pair.observe(&plan).await;
    pair.release_locks().await;
    assert_eq!(pair.purge(0, &plan).await, "done ()");
}

#[tokio::test(flavor = "multi_thread")]
async fn hands_in_the_catalog_are_met_alike() {
    let server = Server::start(&rows()).await;
    let mut pair = Pair::new(&server, "hands").await;
    let (plan, other) = (pair.plan.clone(), pair.other.clone());
    pair.claim(0, &plan).await;
    let expand = files(&plan, FilePhase::Expand);
    let conflict = Object::Table(tidegate_model::schema::TableName {
        schema: "public".into(),
        table: "customers_address_conflict".into(),
    });
    run(&mut pair.shop, "ALTER TABLE customers ADD COLUMN state text").await;
    pair.model.create_by_hand(&column("state")).unwrap();
    assert!(pair.expand(0, &plan, &expand[0]).await.starts_with("Unexpected"));
    pair.observe(&plan).await;
    run(&mut pair.shop, "ALTER TABLE customers DROP COLUMN state").await;
    pair.model.by_hand(|catalog| catalog.remove(&column("state")));
    assert_eq!(pair.expand(0, &plan, &expand[1]).await, r#"Sql(42703)"#, "the columns are not there yet");
    pair.expand(0, &plan, &expand[0]).await;

    // Another release's change has to wait until this one is over.
    pair.claim(0, &other).await;
    let note = files(&other, FilePhase::Expand).remove(0);
    assert!(pair.expand(0, &other, &note).await.starts_with("OtherChange"));
    pair.observe(&other).await;
    pair.observe(&plan).await;
    pair.expand(0, &plan, &expand[1]).await;
    while !pair.backfill(0, &plan).await.contains("done: true") {}

    run(&mut pair.shop, "DROP TABLE customers_address_conflict").await;
    pair.model.by_hand(|catalog| catalog.remove(&conflict));
    assert!(pair.purge(0, &plan).await.starts_with("Unexpected"));
    assert_eq!(pair.observe(&plan).await.check, Fact::Absent);
    run(&mut pair.shop, "CREATE TABLE customers_address_conflict (id bigint NOT NULL)").await;
    pair.model.create_by_hand(&conflict).unwrap();

    pair.view(true).await;
    assert_eq!(pair.purge(0, &plan).await, "Dependents");
    pair.observe(&plan).await;
    pair.view(false).await;

    pair.hide(0).await;
    pair.grant("guest").await;
    pair.revoke("reporter").await;
    pair.observe(&plan).await;
    pair.unhide(0).await;
    pair.observe(&plan).await;
    assert_eq!(pair.hide(0).await, "done ()");
    pair.observe(&plan).await;
    assert_eq!(pair.purge(0, &plan).await, "done ()");
    assert_eq!(pair.expand(0, &other, &note).await, "done ()", "there is room for it now");
    pair.observe(&other).await;
    pair.observe(&plan).await;
    assert_eq!(pair.model.rows(&story::customers()), rows().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_was_applied_is_immutable_alike() {
    let server = Server::start(&rows()).await;
    let mut pair = Pair::new(&server, "changed").await;
    soak(&mut pair).await;
    let plan = pair.plan.clone();
    let mut changed = plan.clone();
    changed.files[0].checksum = Digest::of("something else");
    let first = changed.files[0].name.clone();
    for plan in [changed, ChangePlan { files: plan.files[1..].to_vec(), ..plan.clone() }] {
        let told = format!("Changed({first:?})");
        assert_eq!(pair.purge(0, &plan).await, told);
        assert_eq!(pair.backfill(0, &plan).await, told);
        assert_eq!(pair.expand(0, &plan, &files(&plan, FilePhase::Expand).pop().unwrap()).await, told);
    }
    assert_eq!(pair.unhide(0).await, "done ()");
    pair.observe(&plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_the_server_refuses_are_refused_alike() {
    let server = Server::start(&rows()).await;
    let mut pair = Pair::new(&server, "refused").await;
    for (change, text, told) in [
        (
            "halfway",
            "ALTER TABLE customers ADD COLUMN x text; ALTER TABLE missing ADD COLUMN y text;",
            "Sql(42P01)",
        ),
        (
            "no-table",
            "CREATE TRIGGER t BEFORE INSERT ON missing FOR EACH ROW EXECUTE FUNCTION f();",
            "Sql(42P01)",
        ),
    ] {
        let plan = plan_of(change, &[("1_expand_a.sql", text)]);
        pair.claim(0, &plan).await;
        assert_eq!(pair.expand(0, &plan, "1_expand_a.sql").await, told, "{text}");
        pair.observe(&plan).await;
    }
    let text = "CREATE INDEX CONCURRENTLY customers_name ON customers (name);";
    let plan = plan_of("index", &[("1_expand_a.sql", text)]);
    assert_eq!(pair.expand(0, &plan, "1_expand_a.sql").await, "underway");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(pair.expand(0, &plan, "1_expand_a.sql").await, "done ()");
    pair.observe(&plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_logged_alike() {
    let server = Server::start(&rows()).await;
    let mut pair = Pair::new(&server, "logged").await;
    soak(&mut pair).await;
    pair.hide(0).await;
    assert_eq!(pair.denials(&server), None);
    let mut seen = Vec::new();
    for app in [App::ReadName, App::ReadOld, App::ReadAll, App::Update(Write::Both), App::Insert(Write::Old)]
    {
        pair.app(app).await;
        // The log's clock has whole seconds, and the newest refusal is the one that is told.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        seen.push(pair.denials(&server).map(|(_, how, _)| how));
    }
    let how = |how: &str| Some(how.to_owned());
    let names = "names the column";
    assert_eq!(seen, [None, how(names), how("SELECT * or RETURNING *"), how(names), how(names)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_team_s_own_tool_does_is_journaled_alike() {
    let server = Server::start(&rows()).await;
    let mut pair = Pair::new(&server, "tool").await;
    let runner = TaskRunner {
        task_definition: "flyway:7".into(),
        container: "flyway".into(),
        expand: vec!["migrate".into()],
        contract: vec!["clean".into()],
        adds: vec![column("city")],
        removes: vec![column("address")],
    };
    let database =
        DatabaseSpec { secret: "arn:aws:secretsmanager:x".into(), instance: "ecommerce-db".into() };
    pair.plan = plan_of_runner(&"city".parse().unwrap(), &database, &runner, Vec::new()).unwrap();
    let plan = pair.plan.clone();
    let expand = files(&plan, FilePhase::Expand).remove(0);
    pair.claim(0, &plan).await;
    assert!(pair.expand(0, &plan, &expand).await.starts_with("Unexpected"), "the tool did nothing yet");
    run(&mut pair.shop, "ALTER TABLE customers ADD COLUMN city text").await;
    pair.model.create_by_hand(&column("city")).unwrap();
    for _ in 0..2 {
        assert_eq!(pair.expand(0, &plan, &expand).await, "done ()");
        pair.observe(&plan).await;
    }
    assert_eq!(pair.hide(0).await, "done ()");
    pair.observe(&plan).await;
    assert!(pair.purge(0, &plan).await.starts_with("Unexpected"));
    run(&mut pair.admin, "ALTER TABLE customers DROP COLUMN address").await;
    pair.model.by_hand(|catalog| catalog.remove(&column("address")));
    pair.observe(&plan).await;
    for _ in 0..2 {
        assert_eq!(pair.purge(0, &plan).await, "done ()");
        pair.observe(&plan).await;
    }
}
