//! The plan of a change that the team's own tool applies.
//!
//! Called when such a spec is accepted. What the tool runs is not read: the spec says what it adds and removes, and the catalog
//! is held against that. Expand and contract stand in the plan as files whose text is the command, so that journal, checksums
//! and the approval's digest cover them as they cover SQL.

use serde_json::json;
use tidegate_model::{
    ChangeName, Digest,
    runner::TaskRunner,
    schema::{ChangePlan, FilePhase, MigrationFile, Object},
    spec::{Code, DatabaseSpec, Problem},
};

use super::{Part, Read, assemble, parts, read_change};
use crate::source::{RawFile, problem, shown};

/// The plan of a change that a tool expands and contracts; `files` may bring backfills and checks, which Tidegate runs.
///
/// # Errors
///
/// Every problem of every file, sorted by file and place.
pub fn plan_of_runner(
    change: &ChangeName,
    database: &DatabaseSpec,
    runner: &TaskRunner,
    files: Vec<RawFile>,
) -> Result<ChangePlan, Vec<Problem>> {
    let (read, problems) = read_change(files, not_the_runners);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut all = parts(read);
    all.push(part(runner, FilePhase::Expand, 0, &runner.adds));
    if !runner.contract.is_empty() {
        all.push(part(runner, FilePhase::Contract, u64::MAX, &runner.removes));
    }
    Ok(ChangePlan { runner: Some(runner.clone()), ..assemble(change, database, all) })
}

/// A phase of the tool as a file of the plan: first of all, or last.
fn part(runner: &TaskRunner, phase: FilePhase, version: u64, objects: &[Object]) -> Part {
    let text = json!({
        "taskDefinition": runner.task_definition,
        "container": runner.container,
        "command": runner.command(phase),
        "objects": objects.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
    .to_string();
    let file = MigrationFile {
        version,
        phase,
        name: format!("{} by {}", phase.as_str(), runner.task_definition),
        checksum: Digest::of(&text),
        text,
        backfill: None,
        sync: None,
    };
    let none = Vec::new;
    match phase {
        FilePhase::Contract => Part { file, adds: none(), removes: objects.to_vec() },
        FilePhase::Expand | FilePhase::Backfill | FilePhase::Check => {
            Part { file, adds: objects.to_vec(), removes: none() }
        }
    }
}

/// What the tool does is not for files of ours to do as well.
fn not_the_runners(files: &[Read]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| matches!(file.phase, FilePhase::Expand | FilePhase::Contract)) {
        let name = file.generated.as_ref().map_or(&file.name, |generated| &generated.from);
        let message = "the spec's runner expands and contracts, so this file would not be applied";
        let remedy = "move what it does into the tool, and keep backfill and check files only";
        problems.push(problem(Code::FilesDisagree, &shown(name), message, remedy));
    }
    let has = |phase| files.iter().any(|file| file.phase == phase);
    if has(FilePhase::Backfill) && !has(FilePhase::Check) {
        let message = "the change has a backfill, and no check file";
        let remedy = "add a file <version>_check_<name>.sql with one SELECT that counts disagreeing rows";
        problems.push(problem(Code::FilesDisagree, "source", message, remedy));
    }
    problems.dedup();
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner() -> TaskRunner {
        TaskRunner {
            task_definition: "flyway:7".to_owned(),
            container: "flyway".to_owned(),
            expand: vec!["migrate".to_owned(), "-target=12".to_owned()],
            contract: vec!["migrate".to_owned(), "-target=13".to_owned()],
            adds: vec!["column customers.city".parse().unwrap()],
            removes: vec!["column customers.address".parse().unwrap()],
        }
    }

    fn plan(runner: &TaskRunner, files: &[(&str, &str)]) -> Result<ChangePlan, Vec<Problem>> {
        let file = |(name, text): &(&str, &str)| RawFile { name: (*name).into(), text: (*text).into() };
        let database = DatabaseSpec { secret: "arn:aws:secretsmanager:x".into(), instance: "db".into() };
        plan_of_runner(&"city".parse().unwrap(), &database, runner, files.iter().map(file).collect())
    }

    #[test]
    fn the_tool_s_phases_come_first_and_last_and_files_of_ours_between() {
        let backfill =
            "-- tidegate: key=id batch=100\nUPDATE customers SET city = address WHERE id > $1 AND id <= $2;";
        let check = "SELECT count(*) FROM customers WHERE city IS NULL;";
        let plan = plan(&runner(), &[("1_backfill_a.sql", backfill), ("2_check_a.sql", check)]).unwrap();
        let names: Vec<&str> = plan.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            ["expand by flyway:7", "1_backfill_a.sql", "2_check_a.sql", "contract by flyway:7"]
        );
        assert_eq!(
            plan.old_form().map(ToString::to_string).collect::<Vec<_>>(),
            ["column public.customers.address"]
        );
    }

    #[test]
    fn an_approval_covers_the_command_that_contracts_and_not_the_one_that_expands() {
        let digest = |change: fn(&mut TaskRunner)| {
            let mut runner = runner();
            change(&mut runner);
            plan(&runner, &[]).unwrap().digest
        };
        let approved = digest(|_| {});
        assert_ne!(digest(|runner| runner.contract.push("-force".to_owned())), approved);
        assert_ne!(digest(|runner| runner.removes.push("table regions".parse().unwrap())), approved);
        assert_eq!(digest(|runner| runner.expand.push("-quiet".to_owned())), approved);
    }

    #[test]
    fn files_that_would_do_the_tool_s_work_are_refused_by_name() {
        let refused = |name: &str, text: &str| {
            let problems = plan(&runner(), &[(name, text)]).unwrap_err();
            problems.into_iter().map(|problem| (problem.code, problem.path)).collect::<Vec<_>>()
        };
        let expand = refused("1_expand_a.sql", "ALTER TABLE customers ADD COLUMN city text;");
        assert_eq!(expand, [(Code::FilesDisagree, "1_expand_a.sql".to_owned())]);
        let sync = "-- tidegate: key=id batch=100\nSELECT address AS city FROM customers;\nSELECT city AS address FROM customers;";
        assert_eq!(refused("1_sync_a.sql", sync), [(Code::FilesDisagree, "1_sync_a.sql".to_owned())]);
        let backfill =
            "-- tidegate: key=id batch=100\nUPDATE customers SET city = address WHERE id > $1 AND id <= $2;";
        assert_eq!(refused("1_backfill_a.sql", backfill), [(Code::FilesDisagree, "source".to_owned())]);
    }
}
