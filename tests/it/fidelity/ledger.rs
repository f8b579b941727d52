//! The ledger, `crates/sandbox/FIDELITY.md`, as data: what is simulated, and every difference from moto with its explanation.
//!
//! The file is for people; nothing here forgives a cell that the tests could not use.

use std::collections::BTreeSet;

use serde::Deserialize;

const LEDGER: &str = include_str!("../../../crates/sandbox/FIDELITY.md");

/// Marks of certainty, as the file explains them.
const MARKS: [&str; 4] = ["M", "D", "O", "U"];
/// Who is right, as the file explains it.
const JUDGED: [&str; 5] = ["sandbox", "moto", "both", "neither", "open"];

/// The file.
pub(super) struct Ledger {
    pub(super) operations: Vec<Operation>,
    pub(super) explanations: Vec<Explanation>,
}

/// A row of the operations.
pub(super) struct Operation {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) protocols: Vec<String>,
    pub(super) source: String,
    /// True if compared; false if moto lacks it. There is no third.
    pub(super) compared: bool,
}

/// A row of the differences. Where it names several of something, each has to be seen.
#[derive(Debug)]
pub(super) struct Explanation {
    service: String,
    operations: Vec<String>,
    /// None: any.
    cases: Vec<String>,
    /// The ends of paths to members, or `outcome`.
    at: Vec<String>,
    sandbox: Vec<String>,
    moto: Vec<String>,
}

/// A difference as the comparison reports it.
#[derive(Debug, Deserialize)]
pub(super) struct Difference {
    operation: String,
    case: String,
    at: String,
    sandbox: String,
    moto: String,
}

impl Ledger {
    /// Reads the file.
    pub(super) fn read() -> Self {
        let operations = table("## Operations").iter().map(|row| Operation::read(row)).collect();
        let explanations = table("## Differences").iter().map(|row| Explanation::read(row)).collect();
        Self { operations, explanations }
    }
}

/// The rows of the one table below a heading, as cells without their backticks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, below) = LEDGER.split_once(heading).expect("the ledger has the heading");
    let rows = below.lines().skip(1).skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(cells).collect()
}

fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
}

fn listed(cell: &str) -> Vec<String> {
    cell.split("; ").map(str::to_owned).collect()
}

impl Operation {
    fn read(row: &[String]) -> Self {
        let [service, name, protocols, source, marks, moto] = row else { panic!("{row:?}") };
        assert!(listed(marks).iter().all(|mark| MARKS.contains(&mark.as_str())), "{row:?}");
        assert!(["compared", "lacks it"].contains(&moto.as_str()), "{row:?}");
        Self {
            service: service.clone(),
            name: name.clone(),
            protocols: listed(protocols),
            source: source.clone(),
            compared: moto == "compared",
        }
    }

    /// As the comparison calls it: by boto3's name of the service.
    pub(super) fn full_name(&self) -> String {
        format!("{}:{}", self.service, self.name)
    }
}

impl Explanation {
    fn read(row: &[String]) -> Self {
        let [service, operations, cases, at, sandbox, moto, right, why] = row else { panic!("{row:?}") };
        assert!(JUDGED.contains(&right.as_str()) && !why.is_empty(), "{row:?}");
        Self {
            service: service.clone(),
            operations: listed(operations),
            cases: if cases == "any" { vec![] } else { listed(cases) },
            at: listed(at),
            sandbox: listed(sandbox),
            moto: listed(moto),
        }
    }

    /// True if this row is about that difference.
    pub(super) fn explains(&self, found: &Difference) -> bool {
        let (service, operation) = found.operation.split_once(':').unwrap_or_default();
        self.service == service
            && self.operations.iter().any(|name| name == operation)
            && (self.cases.is_empty() || self.cases.contains(&found.case))
            && self.at.iter().any(|end| found.is_at(end))
            && self.sandbox.contains(&found.sandbox)
            && self.moto.contains(&found.moto)
    }

    /// What this row names and none of the differences shows.
    pub(super) fn unseen(&self, differences: &[Difference]) -> Vec<String> {
        let seen: Vec<&Difference> = differences.iter().filter(|found| self.explains(found)).collect();
        let of =
            |show: fn(&Difference) -> &str| seen.iter().map(|found| show(found)).collect::<BTreeSet<_>>();
        let operations = of(|found| found.operation.split_once(':').unwrap_or_default().1);
        let (cases, sandbox, moto) =
            (of(|found| &found.case), of(|found| &found.sandbox), of(|found| &found.moto));
        let missing = |named: &[String], seen: BTreeSet<&str>| {
            named.iter().filter(|name| !seen.contains(name.as_str())).cloned().collect::<Vec<_>>()
        };
        let mut unseen = missing(&self.operations, operations);
        unseen.extend(missing(&self.cases, cases));
        unseen.extend(missing(&self.sandbox, sandbox));
        unseen.extend(missing(&self.moto, moto));
        unseen.extend(self.at.iter().filter(|end| !seen.iter().any(|found| found.is_at(end))).cloned());
        unseen
    }
}

impl Difference {
    fn is_at(&self, end: &str) -> bool {
        self.at.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }
}

mod tests {
    use super::*;

    const ROW: &str = "| rds | `DescribeDBInstances`; `RestoreDBInstance` | any | `Status`; `Engine.Name` | `absent` | `present`; `1` | both | why |";

    fn row() -> Explanation {
        Explanation::read(&cells(ROW))
    }

    fn difference(operation: &str, at: &str, moto: &str) -> Difference {
        let text = str::to_owned;
        let operation = format!("rds:{operation}");
        Difference {
            operation,
            case: text("by name"),
            at: text(at),
            sandbox: text("absent"),
            moto: text(moto),
        }
    }

    #[test]
    fn a_row_explains_a_member_wherever_it_stands_and_no_other() {
        let explains = |operation, at, moto| row().explains(&difference(operation, at, moto));
        assert!(explains("DescribeDBInstances", "DBInstances[].Status", "present"));
        assert!(explains("RestoreDBInstance", "Status", "1"));
        assert!(!explains("DescribeDBInstances", "DBInstances[].DBStatus", "present"));
        assert!(!explains("DescribeDBInstances", "DBInstances[].Name", "present"));
        assert!(!explains("CreateDBSnapshot", "Status", "present"));
        assert!(!explains("DescribeDBInstances", "Status", "2"));
    }

    #[test]
    fn what_a_row_names_and_nobody_saw_is_told() {
        let seen = [
            difference("DescribeDBInstances", "Status", "present"),
            difference("CreateDBSnapshot", "Engine.Name", "1"),
        ];
        assert_eq!(row().unseen(&seen), ["RestoreDBInstance", "1", "Engine.Name"]);
        assert_eq!(row().unseen(&[]).len(), 7, "an operation, a member and a value each");
    }
}
