//! Every target, with everything that is known and with what dice make of it: the part of fuzzing that every run can afford.
//!
//! libFuzzer itself stays out of the tests: it takes minutes before it finds anything new, a build of its own with every branch
//! counted, and gives another result each time. `cargo xtask fuzz` runs it; what it finds goes into `fuzz/corpus`, and is
//! played here from then on.

use std::panic;

use tidegate_fuzzing::{Mutator, Target, is_of_the_parser, words_of};

/// The dice's number: it may be changed, and must not be thrown.
const NUMBER: u64 = 20_261_126;

fn replay(name: &str, inputs: usize) {
    let target = Target::named(name).expect("a target");
    let seeds = target.seeds().expect("seeds are readable");
    assert!(name == "secrets" || seeds.len() >= 10, "{} seeds", seeds.len());
    // The parser's own panics are an answer to the product, and no news.
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !is_of_the_parser(panic) {
            loud(panic);
        }
    }));
    let mut mutator = Mutator::new(seeds.clone(), NUMBER);
    let made = std::iter::repeat_with(|| mutator.input()).take(inputs);
    for (number, input) in seeds.iter().cloned().chain(made).enumerate() {
        if let Err(why) = panic::catch_unwind(|| (target.run)(&input)) {
            let text = String::from_utf8_lossy(&input);
            panic!("{name}, input {number}: {}\n{text}\n{input:?}", words_of(&*why));
        }
    }
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
