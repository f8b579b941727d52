//! Random sequences on a real server and on the model: few and short, because each step is real.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tidegate_model::schema::FilePhase;
use tidegate_simulation::database::Write;

use crate::{
    application::App,
    compared::{Held, Pair, rows},
    server::Server,
};

#[derive(Clone, Copy, Debug)]
enum Op {
    Claim(usize),
    Expand(usize, usize),
    Other(usize),
    Backfill(usize),
    Hide(usize),
    Unhide(usize),
    Purge(usize),
    App(App),
    Hold(Held),
    Release,
    Grant,
    Revoke,
    View(bool),
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        Just(Write::Old),
        Just(Write::OldOdd),
        Just(Write::New),
        Just(Write::NewOdd),
        Just(Write::Both),
        Just(Write::BothApart),
        Just(Write::Neither),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let process = || prop_oneof![4 => Just(0_usize), 1 => Just(1_usize)];
    prop_oneof![
        1 => process().prop_map(Op::Claim),
        4 => (process(), 0..2_usize).prop_map(|(process, file)| Op::Expand(process, file)),
        1 => process().prop_map(Op::Other),
        5 => process().prop_map(Op::Backfill),
        2 => process().prop_map(Op::Hide),
        1 => process().prop_map(Op::Unhide),
        1 => process().prop_map(Op::Purge),
        2 => prop_oneof![Just(App::ReadOld), Just(App::ReadName), Just(App::ReadAll)].prop_map(Op::App),
        3 => write().prop_map(|write| Op::App(App::Update(write))),
        1 => write().prop_map(|write| Op::App(App::Insert(write))),
        1 => prop_oneof![Just(Held::Read), Just(Held::Wrote)].prop_map(Op::Hold),
        2 => Just(Op::Release),
        1 => Just(Op::Grant),
        1 => Just(Op::Revoke),
        1 => any::<bool>().prop_map(Op::View),
    ]
}

async fn carry_out(pair: &mut Pair, op: Op) {
    let (plan, other) = (pair.plan.clone(), pair.other.clone());
    let expand = |file: usize| plan.files(FilePhase::Expand).nth(file).map(|file| file.name.clone()).unwrap();
    match op {
        Op::Claim(process) => drop(pair.claim(process, &plan).await),
        Op::Expand(process, file) => drop(pair.expand(process, &plan, &expand(file)).await),
        Op::Other(process) => {
            pair.claim(process, &other).await;
            pair.expand(process, &other, "1_expand_note.sql").await;
        }
        Op::Backfill(process) => drop(pair.backfill(process, &plan).await),
        Op::Hide(process) => drop(pair.hide(process).await),
        Op::Unhide(process) => drop(pair.unhide(process).await),
        Op::Purge(process) => drop(pair.purge(process, &plan).await),
        // A statement of the application would wait for the row, and the model's traffic waits for nobody.
        Op::App(App::Update(_)) | Op::View(_) if pair.is_held() => {}
        Op::App(app) => drop(pair.app(app).await),
        Op::Hold(held) => pair.hold(held).await,
        Op::Release => pair.release_locks().await,
        Op::Grant => pair.grant("guest").await,
        Op::Revoke => pair.revoke("reporter").await,
        Op::View(there) => pair.view(there).await,
    }
    pair.observe(&plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_sequences_are_answered_alike() {
    let server = Server::start(&rows()).await;
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(6);
    // Fixed: a case that fails on one machine is the same case on another.
    let config = Config { cases, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let runtime = tokio::runtime::Handle::current();
    let number = AtomicU32::new(0);
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&prop::collection::vec(op(), 10..30), |ops| {
            let number = number.fetch_add(1, Ordering::Relaxed);
            let case = async {
                let mut pair = Pair::new(&server, &format!("case_{number}")).await;
                let plan = pair.plan.clone();
                pair.claim(0, &plan).await;
                for op in ops {
                    carry_out(&mut pair, op).await;
                }
                pair.release_locks().await;
            };
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(case)));
            caught.map_err(|_| TestCaseError::fail("the model and the server differ: see above"))
        })
    });
    outcome.unwrap();
}
