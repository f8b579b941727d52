//! Faults at random: of which kinds, and how bad. Pure: dice in, faults out. `plans` says how many and where.

use std::collections::BTreeMap;

use crate::fault::{
    AppMishap, CanaryMishap, CodedeployMishap, DatabaseMishap, Failure, ForeignMishap, HandMishap, Mangling,
    MetricsMishap, Mishap, Newer, Position, SnapshotMishap, SpecMishap, What, is_of_aws, is_read_of_aws,
};

/// A kind of faults, which a run has many of or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Crash,
    FailBefore,
    FailAfter,
    Twice,
    Late,
    Stale,
    Partial,
    Mangled,
    Freeze,
    Absent,
    Outage,
    ClockJump,
    Ledger,
    Downgrade,
    Database,
    Spec,
    Hand,
    Foreign,
    Codedeploy,
    Metrics,
    App,
    Snapshot,
    Crowd,
    Canary,
}

const ALL: [Kind; 24] = [
    Kind::Crash,
    Kind::FailBefore,
    Kind::FailAfter,
    Kind::Twice,
    Kind::Late,
    Kind::Stale,
    Kind::Partial,
    Kind::Mangled,
    Kind::Freeze,
    Kind::Absent,
    Kind::Outage,
    Kind::ClockJump,
    Kind::Ledger,
    Kind::Downgrade,
    Kind::Database,
    Kind::Spec,
    Kind::Hand,
    Kind::Foreign,
    Kind::Codedeploy,
    Kind::Metrics,
    Kind::App,
    Kind::Snapshot,
    Kind::Crowd,
    Kind::Canary,
];

/// Kinds that can strike a run that crosses these operations.
pub(crate) fn kinds(operations: &BTreeMap<String, u64>) -> impl Iterator<Item = Kind> {
    let has_database = operations.keys().any(|operation| operation.starts_with("database."));
    ALL.into_iter().filter(move |kind| match kind {
        Kind::Database | Kind::Snapshot => has_database,
        Kind::Crash
        | Kind::FailBefore
        | Kind::FailAfter
        | Kind::Twice
        | Kind::Late
        | Kind::Stale
        | Kind::Partial
        | Kind::Mangled
        | Kind::Freeze
        | Kind::Absent
        | Kind::Outage
        | Kind::ClockJump
        | Kind::Ledger
        | Kind::Downgrade
        | Kind::Spec
        | Kind::Hand
        | Kind::Foreign
        | Kind::Codedeploy
        | Kind::Metrics
        | Kind::App
        | Kind::Crowd
        | Kind::Canary => true,
    })
}

/// Where a kind must strike to do anything at all; `None`: wherever.
pub(crate) fn strikes(kind: Kind) -> Option<fn(&str) -> bool> {
    match kind {
        Kind::Twice | Kind::Late => Some(changes_something),
        Kind::Stale | Kind::Partial => Some(is_read_of_aws),
        Kind::Mangled => Some(is_of_aws),
        Kind::Crash
        | Kind::FailBefore
        | Kind::FailAfter
        | Kind::Freeze
        | Kind::Absent
        | Kind::Outage
        | Kind::ClockJump
        | Kind::Ledger
        | Kind::Downgrade
        | Kind::Database
        | Kind::Spec
        | Kind::Hand
        | Kind::Foreign
        | Kind::Codedeploy
        | Kind::Metrics
        | Kind::App
        | Kind::Snapshot
        | Kind::Crowd
        | Kind::Canary => None,
    }
}

/// True of a call to AWS that does not only read, and of an entry in the ledger: it may arrive twice, or late.
fn changes_something(operation: &str) -> bool {
    operation == "ledger.append" || is_of_aws(operation) && !is_read_of_aws(operation)
}

/// Services that can be gone.
const SERVICES: [&str; 10] = [
    "ssm",
    "ecs",
    "codedeploy",
    "elasticloadbalancing",
    "cloudwatch",
    "rds",
    "secretsmanager",
    "database",
    "ledger",
    "listener",
];

/// The furthest that a clock is set, in seconds.
const A_DAY: i64 = 24 * 3600;

/// Draws how a service fails, and for how long: an hour is longer than a deployment waits to be let go, three are longer than blue is kept.
pub(crate) fn outage(service: &str, dice: &mut fastrand::Rng) -> What {
    let lasts = one_of(dice, &[30, 300, 1800, 3600, 3 * 3600]);
    What::Outage { service: service.to_owned(), lasts, how: one_of(dice, &Failure::ALL) }
}

/// Draws a fault of a kind.
pub(crate) fn draw(kind: Kind, dice: &mut fastrand::Rng) -> What {
    match kind {
        Kind::Crash => What::Crash(one_of(dice, &Position::ALL)),
        Kind::FailBefore => What::Fail(Position::BeforeEffect, one_of(dice, &Failure::ALL)),
        Kind::FailAfter => What::Fail(Position::AfterEffect, one_of(dice, &Failure::ALL)),
        Kind::Twice => What::Twice,
        Kind::Late => What::Late { by: one_of(dice, &[5, 40, 120, 280]) },
        Kind::Stale => What::Stale { versions: dice.usize(1..4) },
        Kind::Partial => What::Partial,
        Kind::Mangled => What::Mangled(one_of(dice, &Mangling::ALL)),
        Kind::Freeze => What::Freeze { lasts: one_of(dice, &[5, 45, 100, 400]) },
        Kind::Absent => What::Absent { lasts: one_of(dice, &[60, 240, 600, 1800]) },
        Kind::Outage => outage(one_of(dice, &SERVICES), dice),
        Kind::ClockJump => {
            // A clock that is caught up with from a day ahead takes two days of every run.
            let by = match dice.u32(..64) {
                0 => A_DAY,
                1..=8 => -A_DAY,
                _ => dice.i64(-7200..=7200),
            };
            What::ClockJump { by, lasts: one_of(dice, &[60, 600, 3600]) }
        }
        Kind::Ledger if dice.bool() => What::LedgerLost,
        Kind::Ledger => What::LedgerRestored { ago: one_of(dice, &[60, 300, 1800]) },
        Kind::Downgrade => What::Downgrade(one_of(dice, &Newer::ALL)),
        Kind::Database => {
            let lasts = one_of(dice, &[0, 0, 20, 300, 1800]);
            What::World { mishap: Mishap::Database(one_of(dice, DatabaseMishap::ALL)), lasts }
        }
        Kind::Crowd => What::World { mishap: Mishap::Crowd(one_of(dice, &[12, 40])), lasts: 300 },
        Kind::Spec => {
            let mishap = Mishap::Spec(one_of(dice, SpecMishap::ALL));
            lasting(mishap, dice)
        }
        Kind::Hand => {
            let mishap = Mishap::Hand(one_of(dice, HandMishap::ALL));
            lasting(mishap, dice)
        }
        Kind::Foreign => {
            let mishap = Mishap::Foreign(one_of(dice, ForeignMishap::ALL));
            lasting(mishap, dice)
        }
        Kind::Codedeploy => {
            let mishap = Mishap::Codedeploy(one_of(dice, CodedeployMishap::ALL));
            lasting(mishap, dice)
        }
        Kind::Metrics => {
            let mishap = Mishap::Metrics(one_of(dice, MetricsMishap::ALL));
            lasting(mishap, dice)
        }
        Kind::App => {
            let how = one_of(dice, AppMishap::ALL);
            let what = lasting(Mishap::App(how), dice);
            match how {
                AppMishap::BlueFlaps | AppMishap::GreenFlaps | AppMishap::NoCapacity => undone_at_last(what),
                AppMishap::Incident | AppMishap::GreenFails | AppMishap::ServingDies => what,
            }
        }
        Kind::Snapshot => {
            let mishap = Mishap::Snapshot(one_of(dice, SnapshotMishap::ALL));
            lasting(mishap, dice)
        }
        Kind::Canary => {
            let mishap = Mishap::Canary(one_of(dice, CanaryMishap::ALL));
            lasting(mishap, dice)
        }
    }
}

/// What happens to the world; a fifth of it is never undone.
fn lasting(mishap: Mishap, dice: &mut fastrand::Rng) -> What {
    What::World { mishap, lasts: one_of(dice, &[0, 60, 180, 600, 1800]) }
}

/// The same, undone after two hours at the latest: nobody leaves it so that nothing can be gone back to.
fn undone_at_last(what: What) -> What {
    match what {
        What::World { mishap, lasts: 0 } => What::World { mishap, lasts: 7200 },
        what => what,
    }
}

fn one_of<T: Copy>(dice: &mut fastrand::Rng, among: &[T]) -> T {
    among[dice.usize(..among.len())]
}

/// How long what the matrix lets happen lasts, in seconds.
const IN_A_CELL: u64 = 120;

/// What can happen to the world while an operation is under way: each where it matters most.
pub(crate) fn mishaps_at(operation: &str) -> Vec<What> {
    let all: Vec<Mishap> = match operation {
        "ssm.GetParameters" => {
            let specs = SpecMishap::ALL.iter().copied().map(Mishap::Spec);
            specs
                .chain(CanaryMishap::ALL.iter().copied().map(Mishap::Canary))
                .chain([Mishap::Crowd(12)])
                .collect()
        }
        "elasticloadbalancing.DescribeListeners" => {
            HandMishap::ALL.iter().copied().map(Mishap::Hand).collect()
        }
        "ecs.DescribeServices" => ForeignMishap::ALL.iter().copied().map(Mishap::Foreign).collect(),
        "codedeploy.ContinueDeployment" => {
            CodedeployMishap::ALL.iter().copied().map(Mishap::Codedeploy).collect()
        }
        "cloudwatch.GetMetricData" => MetricsMishap::ALL.iter().copied().map(Mishap::Metrics).collect(),
        "elasticloadbalancing.DescribeTargetHealth" => {
            AppMishap::ALL.iter().copied().map(Mishap::App).collect()
        }
        "rds.CreateDBSnapshot" => SnapshotMishap::ALL.iter().copied().map(Mishap::Snapshot).collect(),
        _ => Vec::new(),
    };
    all.into_iter().map(|mishap| What::World { mishap, lasts: IN_A_CELL }).collect()
}

/// What a database's server can answer to one of our operations: each strikes that one and no other.
pub(crate) fn answers_of_a_server() -> impl Iterator<Item = What> {
    let standing = |how: &&DatabaseMishap| how.is_an_answer();
    let all = DatabaseMishap::ALL.iter().filter(standing);
    all.map(|how| What::World { mishap: Mishap::Database(*how), lasts: 0 })
}
