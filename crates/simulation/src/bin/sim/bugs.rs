//! What `cargo xtask bugs` found last. Seeded bugs need a build of their own, so the long mode does not hunt them: it tells what was
//! found of them at the same commit, and counts as missed what was not measured there.

use std::{env, fs, path::Path};

use serde::Deserialize;

/// What is said where nothing was found out of this very code.
const NOT_MEASURED: &str = "not measured at this commit: cargo xtask bugs";

/// So many seeded bugs say that the simulation bites.
const LEAST: usize = 60;

/// Seconds in which each must be found.
const WITHIN: f64 = 60.0;

/// Where it is written (`crates/xtask/src/bugs/mod.rs`), from the target folder.
const RESULT: &str = "bugs/result.json";

/// What hunting every seeded bug came to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hunted {
    commit: String,
    found: usize,
    of: usize,
    slowest: Option<Slowest>,
    false_alarms: usize,
}

/// The bug that took longest of those that were found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slowest {
    bug: String,
    seconds: f64,
}

/// What was found at this commit, in words, and whether that is enough.
pub(crate) fn reached(commit: &str) -> (String, bool) {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(own, Into::into);
    told(fs::read(target.join(RESULT)).ok().as_deref(), commit)
}

fn told(result: Option<&[u8]>, commit: &str) -> (String, bool) {
    let hunted = result.and_then(|text| serde_json::from_slice::<Hunted>(text).ok());
    // Two trees with changes have one name and not the same code.
    let exact = commit != "unknown" && !commit.ends_with("-dirty");
    let Some(hunted) = hunted.filter(|hunted| exact && hunted.commit == commit) else {
        return (NOT_MEASURED.to_owned(), false);
    };
    let Hunted { found, of, slowest, false_alarms, .. } = hunted;
    let seconds = slowest.as_ref().map_or(0.0, |slowest| slowest.seconds);
    let slowest = slowest.map_or_else(String::new, |Slowest { bug, seconds }| {
        format!(", the slowest in {seconds:.0} s ({bug})")
    });
    let holds = found == of && of >= LEAST && seconds <= WITHIN && false_alarms == 0;
    (format!("{found} of {of}{slowest}, {false_alarms} false alarms"), holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "79d38c282694";

    fn result(found: usize, seconds: f64, false_alarms: usize) -> String {
        format!(
            r#"{{"commit": "{COMMIT}", "found": {found}, "of": 74, "slowest": {{"bug": "blind-retry", "seconds": {seconds}}}, "false_alarms": {false_alarms}}}"#
        )
    }

    #[test]
    fn everything_is_found_in_a_minute_each_and_nothing_besides() {
        let of = |text: String| told(Some(text.as_bytes()), COMMIT);
        let sound = ("74 of 74, the slowest in 31 s (blind-retry), 0 false alarms".to_owned(), true);
        assert_eq!(of(result(74, 31.2, 0)), sound);
        assert!(!of(result(73, 31.2, 0)).1, "one escaped");
        assert!(!of(result(74, 61.2, 0)).1, "one took too long");
        assert!(!of(result(74, 31.2, 1)).1, "something is found without a bug");
    }

    #[test]
    fn only_what_was_measured_at_the_very_code_counts() {
        let text = result(74, 31.2, 0);
        let unmeasured = (NOT_MEASURED.to_owned(), false);
        assert_eq!(told(None, COMMIT), unmeasured);
        assert_eq!(told(Some(b"{}"), COMMIT), unmeasured);
        assert_eq!(told(Some(text.as_bytes()), "f16288a5f62b"), unmeasured);
        let dirty = text.replace(COMMIT, "79d38c282694-dirty");
        assert_eq!(told(Some(dirty.as_bytes()), "79d38c282694-dirty"), unmeasured);
    }
}
