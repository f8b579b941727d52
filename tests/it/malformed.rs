//! What people write wrong: every malformed spec and order is told with code, path, line and column, all problems at once,
//! without a word of what was written, and nothing is done about it.
//!
//! The texts stand in `malformed/*.txt`, each under a title and what a person would expect to be told.

use tidegate_model::{status::Summary, waiting::Reason};
use tidegate_tests::stage::{Stage, spec};

/// Stand in every text: no message, remedy, event or wait may carry them.
const CANARIES: [&str; 2] = ["zanzibar", "70417"];

/// One text and what is wrong with it, as `CODE path line:column` in reading order.
struct Case {
    title: &'static str,
    expected: Vec<&'static str>,
    text: &'static str,
}

fn cases(corpus: &'static str) -> Vec<Case> {
    let cases = corpus.split("=== ").skip(1).map(|block| {
        let (head, text) = block.split_once("\n---\n").expect("a line of dashes before the text");
        let mut head = head.lines();
        let title = head.next().expect("a title");
        Case { title, expected: head.collect(), text: text.trim_end_matches('\n') }
    });
    cases.collect()
}

fn specs() -> Vec<Case> {
    cases(include_str!("malformed/specs.txt"))
}

fn orders() -> Vec<Case> {
    cases(include_str!("malformed/orders.txt"))
}

/// What the status tells, in the corpus' form.
fn told(stage: &Stage) -> Vec<String> {
    let problems = stage.status().problems.iter();
    problems.map(|p| format!("{} {} {}:{}", p.code.as_str(), p.path, p.line, p.column)).collect()
}

/// Everything that is published, the log's events included, is silent about what was written.
fn assert_silent(stage: &Stage, title: &str) {
    let published = serde_json::to_string(stage.status()).expect("a document").to_lowercase();
    for canary in CANARIES {
        assert!(!published.contains(canary), "{title}: {canary} is in {published}");
    }
}

/// The daemon has changed nothing: only people wrote parameters, and it its status.
fn assert_nothing_done(stage: &Stage) {
    let audit = stage.sandbox.audit();
    let done: Vec<_> = audit.iter().filter(|entry| entry.service != "ssm").collect();
    assert!(done.is_empty(), "{done:#?}");
}

#[test]
fn the_corpus_is_large_and_every_text_carries_a_canary() {
    let all: Vec<Case> = specs().into_iter().chain(orders()).collect();
    assert!(all.len() >= 40, "{} texts", all.len());
    let several = all.iter().filter(|case| case.expected.len() > 1).count();
    assert!(several >= 10, "{several} texts with several problems");
    for case in all {
        let text = case.text.to_lowercase();
        assert!(CANARIES.iter().any(|canary| text.contains(canary)), "{}", case.title);
        assert!(!case.expected.is_empty(), "{}", case.title);
    }
}

#[tokio::test]
async fn every_malformed_spec_is_refused_with_all_its_problems_in_place() {
    let mut stage = Stage::new().await;
    let mut wrong = vec![];
    for case in specs() {
        stage.put("spec", case.text).await;
        // Some problems show only against the world, which is read once the text is known.
        let report = stage.pass().await;
        assert_eq!(report.decision.and_then(|decision| decision.step), None, "{}", case.title);
        if told(&stage) != case.expected {
            wrong.push((case.title, told(&stage), case.expected));
        }
        assert_eq!(stage.status().summary, Summary::Invalid, "{}", case.title);
        assert_silent(&stage, case.title);
        stage.pass_time(jiff::SignedDuration::from_secs(1));
    }
    assert!(wrong.is_empty(), "(title, told, expected): {wrong:#?}");
    assert_nothing_done(&stage);
}

#[tokio::test]
async fn every_malformed_order_is_told_with_all_its_problems_and_opens_nothing() {
    let mut stage = Stage::new().await;
    stage.put("hold", "zanzibar, until 70417").await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.pass().await;
    assert_silent(&stage, "a hold's own words");
    let mut wrong = vec![];
    for case in orders() {
        let (order, _) = case.title.split_once(": ").expect("an order's name");
        stage.put(order, case.text).await;
        let report = stage.pass().await;
        assert_eq!(report.decision.and_then(|decision| decision.step), None, "{}", case.title);
        if told(&stage) != case.expected {
            wrong.push((case.title, told(&stage), case.expected));
        }
        assert_eq!(stage.status().summary, Summary::Held, "{}", case.title);
        assert_silent(&stage, case.title);
        stage.delete(order).await;
        // Parameter Store takes a deleted name again only after half a minute.
        stage.pass_time(jiff::SignedDuration::from_mins(1));
    }
    assert!(wrong.is_empty(), "(title, told, expected): {wrong:#?}");
    assert_nothing_done(&stage);
}

#[tokio::test]
async fn a_malformed_abort_alone_holds_for_as_long_as_it_is_there() {
    let mut stage = Stage::new().await;
    let abort = orders().into_iter().find(|case| case.expected.len() > 1).expect("a text");
    stage.put("abort", abort.text).await;
    stage.put("spec", &spec("shop:v2")).await;
    for _ in 0..20 {
        stage.pass_time(jiff::SignedDuration::from_mins(10));
        stage.pass().await;
        assert_eq!(told(&stage), abort.expected);
        let held = stage.status().waiting.iter().any(|wait| wait.reason.as_str() == "not-held");
        assert!(held, "{:#?}", stage.status().waiting);
    }
    assert_nothing_done(&stage);
    stage.delete("abort").await;
    stage.pass().await;
    assert!(told(&stage).is_empty());
    assert!(!stage.status().waiting.iter().any(|wait| matches!(wait.reason, Reason::Held(_))));
}
