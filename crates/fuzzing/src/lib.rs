//! What bytes from outside must never do, whatever they are: the bodies of the fuzz targets.
//!
//! Each [`Target`] is a plain function that panics when a promise is broken. It is called from two places. libFuzzer does it
//! in `fuzz/` for as long as somebody likes (`cargo xtask fuzz`), and looks for new ways through the code. `tests/replay.rs`
//! does it with every run of the tests, on the stable toolchain and in seconds: with everything that is known, and with a
//! few thousand inputs that dice make of it. So a promise holds in every run, and is searched for holes when there is time.
//!
//! Inputs are text where the product reads text, so that what was found can be read in `fuzz/corpus`. What must only be in
//! here: no network, no files but seeds, no clock, no chance. The same bytes do the same.

use std::{any::Any, panic};

mod documents;
mod mutate;
mod records;
mod secrets;
mod seeds;
mod statements;
mod wire;

pub use mutate::Mutator;
pub use seeds::{Unreadable, words};

/// Something that reads bytes from outside, and what must hold of it.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of the binary in `fuzz/`, and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Panics if a promise is broken.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 5] = [
    // Specs and orders: what a team writes into Parameter Store.
    Target { name: "documents", run: documents::run },
    // The ledger's rows: what a disk or a person made of them.
    Target { name: "records", run: records::run },
    // Requests to the sandbox, in each protocol.
    Target { name: "wire", run: wire::run },
    // Migration files.
    Target { name: "statements", run: statements::run },
    // What must not come out again: in errors, in status, from logs.
    Target { name: "secrets", run: secrets::run },
];

impl Target {
    /// The target of that name.
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.into_iter().find(|target| target.name == name)
    }

    /// What is known to be worth beginning with: the project's own test data, and the committed corpus.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn seeds(self) -> Result<Vec<Vec<u8>>, Unreadable> {
        seeds::of(self.name)
    }
}

/// True for a panic inside of the SQL parser. The product takes them as an answer ("it cannot be parsed"), see
/// `tidegate_schema::tree`; libFuzzer would end at each, because it aborts before anybody can catch it.
pub fn is_of_the_parser(panic: &panic::PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|at| ["squawk-", "rowan-"].iter().any(|name| at.file().contains(name)))
}

/// What a panic says.
pub fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// The text before the first zero byte, and the bytes behind it: how inputs carry choices and stay readable.
fn text_and_choices(data: &[u8]) -> (String, &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    (String::from_utf8_lossy(&data[..end]).into_owned(), data.get(end + 1..).unwrap_or_default())
}

/// True if a line and a column, both from 1, are in a text or right behind a line of it.
fn is_inside(text: &str, line: u32, column: u32) -> bool {
    let line = usize::try_from(line).unwrap_or(usize::MAX);
    let column = usize::try_from(column).unwrap_or(usize::MAX);
    let found = line.checked_sub(1).and_then(|before| text.split('\n').nth(before));
    found.is_some_and(|found| (1..=found.chars().count() + 1).contains(&column))
}
