//! The ledger of the sandbox's fidelity holds: it names what is simulated, and explains each difference from moto.
//!
//! moto is a second opinion and not the judge: that is AWS's documentation. Who has a new difference mends the sandbox or
//! writes a row into `crates/sandbox/FIDELITY.md`.

use std::collections::BTreeSet;

mod comparison;
mod ledger;

use comparison::Report;
use ledger::Ledger;

use crate::simulated;

/// The share of the operations that is held against moto.
const COMPARED_PERCENT_MIN: usize = 70;

#[test]
fn the_ledger_names_every_simulated_operation_and_no_other() {
    let ledger = Ledger::read();
    let listed: Vec<String> = ledger.operations.iter().map(ledger::Operation::full_name).collect();
    let simulated = simulated::operations();
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "an operation is listed twice");
    let missing: Vec<_> = simulated.difference(&once).collect();
    let foreign: Vec<_> = once.difference(&simulated).collect();
    assert!(missing.is_empty() && foreign.is_empty(), "not listed: {missing:?}; not simulated: {foreign:?}");
}

#[test]
fn every_operation_has_its_own_page_as_a_source_and_most_are_compared() {
    let ledger = Ledger::read();
    for operation in &ledger.operations {
        let page = format!("/API_{}.html)", operation.name);
        assert!(operation.source.contains("https://docs.aws.amazon.com/"), "{}", operation.full_name());
        assert!(operation.source.contains(&page), "{}", operation.full_name());
    }
    let compared = ledger.operations.iter().filter(|operation| operation.compared).count();
    assert!(compared * 100 >= ledger.operations.len() * COMPARED_PERCENT_MIN, "{compared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_from_moto_is_explained_and_every_explanation_is_seen() {
    let ledger = Ledger::read();
    let names: Vec<String> = ledger.operations.iter().map(ledger::Operation::full_name).collect();
    let Some(report) = comparison::run(&names).await else { return };
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    all_are_compared_but_what_moto_lacks(&ledger, &report);
    protocols_are_the_models(&ledger, &report);
    let unexplained: Vec<_> = report
        .differences
        .iter()
        .filter(|found| !ledger.explanations.iter().any(|row| row.explains(found)))
        .collect();
    assert!(unexplained.is_empty(), "not explained: {unexplained:#?}");
    for row in &ledger.explanations {
        let unseen = row.unseen(&report.differences);
        assert!(unseen.is_empty(), "not seen: {unseen:?} of {row:#?}");
    }
    eprintln!("{} calls to both, {} differences, all explained", report.calls, report.differences.len());
}

#[track_caller]
fn all_are_compared_but_what_moto_lacks(ledger: &Ledger, report: &Report) {
    let told = |compared: bool| -> BTreeSet<String> {
        let rows = ledger.operations.iter().filter(|operation| operation.compared == compared);
        rows.map(ledger::Operation::full_name).collect()
    };
    assert_eq!(told(true), report.compared.iter().cloned().collect(), "compared");
    assert_eq!(told(false), report.lacking.iter().cloned().collect(), "not in moto");
}

/// The sandbox's protocols of an operation are among those of its model.
#[track_caller]
fn protocols_are_the_models(ledger: &Ledger, report: &Report) {
    for operation in &ledger.operations {
        let known = &report.protocols[&operation.full_name()];
        let foreign: Vec<_> = operation.protocols.iter().filter(|one| !known.contains(one)).collect();
        assert!(foreign.is_empty(), "{}: {foreign:?} are none of {known:?}", operation.full_name());
    }
}
