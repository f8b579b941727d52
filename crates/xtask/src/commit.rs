//! Which commit the tree is of: what the simulation finds is told with it, because a seed is a run only together with the code.
//!
//! Asked of git when a task runs and handed on in the environment. Built in, each commit would be another build of everything.

use std::process::Command;

use crate::run;

/// The variable in which `sim` finds it (`crates/simulation/src/commit.rs`).
pub(crate) const VARIABLE: &str = "TIDEGATE_COMMIT";

/// What is said of a tree that git knows nothing of: one from a tarball, or on a machine without git.
const UNKNOWN: &str = "unknown";

/// What stands behind the commit where the tree is not the commit's.
const DIRTY: &str = "-dirty";

/// The commit of the tree as it is now, in short.
pub(crate) fn now() -> String {
    commit().unwrap_or_else(|| UNKNOWN.to_owned())
}

fn commit() -> Option<String> {
    let told = git(&["rev-parse", "--show-prefix", "--short=12", "HEAD"])?;
    let (prefix, commit) = told.split_once('\n')?;
    // A tarball that lies in somebody else's repository has a commit, and it is not ours.
    if !prefix.is_empty() {
        return None;
    }
    // New files too: scenarios are read by their folder, whether git knows them or not.
    let changed = git(&["status", "--porcelain"])?;
    let dirty = if changed.is_empty() { "" } else { DIRTY };
    Some(format!("{}{dirty}", commit.trim_end()))
}

/// What git says of the workspace, if it says anything.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(run::root()).output().ok()?;
    let told = output.status.success().then_some(output.stdout)?;
    String::from_utf8(told).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_commit_with_or_without_changes_or_unknown() {
        let now = now();
        let commit = now.strip_suffix(DIRTY).unwrap_or(&now);
        assert!(
            now == UNKNOWN || commit.len() >= 12 && commit.chars().all(|one| one.is_ascii_hexdigit()),
            "{now}"
        );
    }
}
