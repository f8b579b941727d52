//! Which commit the code is of, for whoever reads of a run: the same seed, plan and commit give the same trace.
//!
//! `cargo xtask` asks git and hands it on. Nothing that a run does depends on it.

use std::{env, sync::LazyLock};

/// The variable in which `cargo xtask` says it.
const VARIABLE: &str = "TIDEGATE_COMMIT";

/// What is said where nobody knows: in a tree without git, or where this is not run by `cargo xtask`.
const UNKNOWN: &str = "unknown";

/// The commit in short, with `-dirty` behind it where the tree has changes.
pub fn commit() -> &'static str {
    static COMMIT: LazyLock<String> = LazyLock::new(|| {
        env::var(VARIABLE).ok().filter(|commit| !commit.is_empty()).unwrap_or_else(|| UNKNOWN.to_owned())
    });
    &COMMIT
}
