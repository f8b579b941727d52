//! The invariants of the project's list that no oracle of a run watches, and what shows them instead.
//!
//! With [`Invariant::ALL`] it is the whole list: a new id is either watched or has a row here. Each row names a test or a scenario,
//! which must exist. Nothing here is asked during a run.

/// An invariant that is not watched in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its id.
    pub id: &'static str,
    /// Why no oracle watches it, or what is shown instead.
    pub why: &'static str,
    /// A file of this repository, and the name of a test in it; nothing for what the product does not do.
    pub shown_by: Option<(&'static str, &'static str)>,
}

const fn shown(id: &'static str, why: &'static str, file: &'static str, test: &'static str) -> Elsewhere {
    Elsewhere { id, why, shown_by: Some((file, test)) }
}

const fn not_done(id: &'static str, why: &'static str) -> Elsewhere {
    Elsewhere { id, why, shown_by: None }
}

/// All of them, in the order of the list.
pub const ELSEWHERE: [Elsewhere; 22] = [
    not_done("T4", "CodeDeploy writes the listener's weights, and we never do"),
    shown(
        "T7",
        "what is blue is read as a rollout starts; T1, T3 and C1 would show a wrong one",
        "crates/planner/src/tests/rollout/start.rs",
        "a_rollout_begins_from_what_serves_into_the_other_group",
    ),
    not_done("T8", "the steps of a shift are CodeDeploy's own"),
    shown(
        "D3",
        "locks are a real server's",
        "crates/schema/tests/live/steps.rs",
        "readers_wait_no_longer_than_the_lock_budget",
    ),
    shown(
        "D4",
        "transactions are a real server's; the model is compared with it",
        "crates/schema/tests/live/index_build.rs",
        "a_build_that_was_killed_leaves_nothing_but_its_own_invalid_index_and_that_is_built_again",
    ),
    shown(
        "D5",
        "the journal in the database refuses it",
        "crates/schema/tests/live/steps.rs",
        "applied_text_is_immutable",
    ),
    shown(
        "D8",
        "locks are a real server's",
        "crates/schema/tests/live/certificate.rs",
        "nothing_is_run_and_no_lock_outlives_the_read",
    ),
    shown(
        "D9",
        "batches are a real server's transactions",
        "crates/schema/tests/live/steps.rs",
        "a_batch_that_is_cut_off_moves_neither_rows_nor_cursor",
    ),
    shown(
        "N2",
        "a purge that rests on a snapshot of another instance is N1's",
        "crates/planner/src/tests/gates/schema.rs",
        "a_snapshot_counts_if_it_is_ours_of_this_instance_and_of_the_last_half_hour",
    ),
    shown(
        "R5",
        "T2, T3 and N1 watch it while services are gone",
        "tests/it/simulation.rs",
        "every_scenario_ends_as_it_says_1",
    ),
    shown(
        "J5",
        "which reason is told is the planner's",
        "crates/planner/src/tests/forgotten.rs",
        "a_rollout_that_has_made_no_deployment_waits_for_one_that_is_under_way_and_takes_its_traffic_for_no_edit",
    ),
    shown(
        "P3",
        "what stays in force is P1's; that it is told is a test's",
        "tests/it/orders.rs",
        "an_invalid_spec_mid_shift_leaves_the_last_accepted_one_in_force",
    ),
    shown(
        "P4",
        "P1 watches it with stale reads",
        "crates/planner/src/tests/intake.rs",
        "a_spec_is_taken_in_once_and_an_older_one_is_a_stale_read",
    ),
    shown(
        "P5",
        "who goes on without the spec has its text from the ledger",
        "tests/it/orders.rs",
        "a_deleted_spec_mid_shift_holds_and_never_scales_down_or_rolls_back",
    ),
    not_done("P6", "a spec has no place for a command, a path or a server: it cannot be written down"),
    shown(
        "C4",
        "J2 and J3 watch it",
        "crates/planner/src/tests/golden.rs",
        "a_deployment_of_ours_that_the_ledger_does_not_know_is_taken_over_once_nothing_is_in_doubt",
    ),
    shown(
        "V2",
        "a run has one program; what another one leaves behind is F24",
        "crates/ledger/tests/ledger.rs",
        "a_newer_layout_and_a_foreign_database_are_refused_and_left_alone",
    ),
    shown(
        "X2",
        "X1 watches what is written",
        "crates/model/src/spec/read.rs",
        "problems_never_quote_the_text",
    ),
    shown(
        "X3",
        "F26 is drawn by every swarm",
        "tests/it/malformed.rs",
        "the_corpus_is_large_and_every_text_carries_a_canary",
    ),
    shown(
        "X4",
        "a page is no part of a run",
        "crates/web/src/tests/mod.rs",
        "everything_from_outside_is_escaped",
    ),
    shown(
        "LV3",
        "G15 bounds what is undecided once faults have ended",
        "crates/planner/src/tests/rollout/judged.rs",
        "a_shift_goes_back_for_silence_where_requests_are_due_and_a_bake_only_waits",
    ),
    shown(
        "LV4",
        "a crowd of releases is F25; LV1 bounds the one that is watched",
        "crates/controller/src/queue.rs",
        "only_what_is_due_is_taken",
    ),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::oracle::Invariant;

    /// How many each part of the list has.
    const LIST: [(&str, usize); 12] = [
        ("T", 8),
        ("D", 9),
        ("N", 4),
        ("R", 5),
        ("E", 5),
        ("J", 5),
        ("P", 6),
        ("C", 4),
        ("O", 3),
        ("V", 2),
        ("X", 4),
        ("LV", 4),
    ];

    #[test]
    fn every_invariant_of_the_list_is_watched_or_says_why_not() {
        let numbered = |(part, most): &(&str, usize)| {
            (1..=*most).map(|number| format!("{part}{number}")).collect::<Vec<_>>()
        };
        let list: BTreeSet<String> = LIST.iter().flat_map(numbered).collect();
        let watched = Invariant::ALL.iter().map(|invariant| invariant.id());
        let all: Vec<&str> = watched.chain(ELSEWHERE.iter().map(|row| row.id)).collect();
        let distinct: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(distinct.len(), all.len(), "none is in both");
        let missing: Vec<&String> = list.iter().filter(|id| !distinct.contains(id.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn what_shows_an_invariant_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for row in ELSEWHERE {
            let Some((file, test)) = row.shown_by else { continue };
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            assert!(text.contains(&format!("fn {test}(")), "{}: {test} in {file}", row.id);
        }
    }
}
