//! Every target, with everything that is known and with what dice make of it: the part of fuzzing that every run can afford.
//!
//! libFuzzer itself stays out of the tests: it takes minutes before it finds anything new, a build of its own with every branch
//! counted, and gives another result each time. `cargo xtask fuzz` runs it; what it finds goes into `fuzz/corpus`, and is
//! played here from then on.

use std::{
    panic,
    sync::atomic::{AtomicUsize, Ordering},
};

use tidegate_fuzzing::{Mutator, TARGETS, Target, is_of_the_parser, words_of};

/// The dice's number: it may be changed, and must not be thrown.
const NUMBER: u64 = 20_261_126;

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn replay(name: &str, inputs: usize) {
    let target = Target::named(name).expect("a target");
    let seeds = target.seeds().expect("seeds are readable");
    assert!(name == "secrets" || seeds.len() >= 10, "{} seeds", seeds.len());
    // The parser's own panics are an answer to the product, and no news. Those of ours are counted: on the parser's stack they
    // would be taken for its.
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !is_of_the_parser(panic) {
            PANICS.fetch_add(1, Ordering::Relaxed);
            loud(panic);
        }
    }));
    let mut mutator = Mutator::new(seeds.clone(), NUMBER);
    let made = std::iter::repeat_with(|| mutator.input()).take(inputs);
    for (number, input) in seeds.iter().cloned().chain(made).enumerate() {
        let before = PANICS.load(Ordering::Relaxed);
        let why = panic::catch_unwind(|| (target.run)(&input)).err().map(|why| words_of(&*why));
        // Other tests of this process are stopped too, if theirs is the panic: it fails in any case.
        if why.is_some() || PANICS.load(Ordering::Relaxed) > before {
            let (why, text) = (why.unwrap_or_default(), String::from_utf8_lossy(&input));
            panic!("{name}, input {number}: {why}\n{text}\n{input:?}");
        }
    }
}

/// A target that is only here would never be searched.
#[test]
fn every_target_is_known_to_libfuzzer_and_to_the_task() {
    let (manifest, task) =
        (include_str!("../../../fuzz/Cargo.toml"), include_str!("../../xtask/src/fuzz.rs"));
    for Target { name, .. } in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
        assert!(task.contains(&format!("\"{name}\"")), "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

#[test]
fn documents() {
    replay("documents", 30_000);
}

#[test]
fn records() {
    replay("records", 4_000);
}

#[test]
fn wire() {
    replay("wire", 1_000);
}

#[test]
fn statements() {
    replay("statements", 600);
}

#[test]
fn secrets() {
    replay("secrets", 6_000);
}
