//! What happened in a run, line by line, as a hash and, where somebody wants to read it, as text. Every call, answer and entry of the
//! ledger is in the hash as well.
//!
//! The same seed, plan and program give the same hash: that is how it is known that nothing from outside came in.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The trace of a run.
#[derive(Default)]
pub(crate) struct Trace {
    hash: Sha256,
    lines: u64,
    text: Option<String>,
}

impl Trace {
    /// A trace whose lines are kept.
    pub(crate) fn kept() -> Self {
        Self { text: Some(String::new()), ..Self::default() }
    }

    pub(crate) fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.lines += 1;
        let line = line.to_string();
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        if let Some(text) = &mut self.text {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        }
    }

    /// What was said by somebody, byte for byte: it is in the hash, and too long to be read.
    pub(crate) fn said(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// The hash so far, in hex.
    pub(crate) fn hash(&self) -> String {
        hex::encode(&self.hash.clone().finalize()[..16])
    }

    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}
