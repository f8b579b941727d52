//! F15: what the database's server answers and does.

use tidegate_postgres::Fault;
use tidegate_schema::{Failure, classify::lock::LockMode};
use tokio::time::Instant;

use super::{After, Begun};
use crate::{
    database::{Locks, Operation, story},
    fault::{DatabaseMishap, seconds},
    scene::{Scene, locked},
};

pub(super) fn begin(scene: &Scene, how: DatabaseMishap, lasts: u64) -> Begun {
    let Some(database) = &scene.database else { return Begun::NotYet };
    match how {
        DatabaseMishap::LockTimeout
        | DatabaseMishap::Deadlock
        | DatabaseMishap::Serialization
        | DatabaseMishap::StatementTimeout
        | DatabaseMishap::Killed
        | DatabaseMishap::LostCommit
        | DatabaseMishap::DiskFull
        | DatabaseMishap::ReadOnly
        | DatabaseMishap::TooManyConnections => {
            locked(&scene.troubles).0.push(Standing {
                how,
                until: Instant::now() + seconds(lasts),
                struck: false,
            });
            Begun::Until(After::then(|_| {}))
        }
        DatabaseMishap::FailOver => {
            database.fail_over();
            if lasts == 0 {
                return Begun::Done;
            }
            database.set_reachable(false);
            let database = database.clone();
            Begun::Until(After::then(move |_| database.set_reachable(true)))
        }
        DatabaseMishap::LockHeld => {
            let locks = Locks::table(&story::customers(), LockMode::AccessShare);
            let pid = database.begin_session(story::SHOP, "a report", locks);
            let database = database.clone();
            if lasts == 0 {
                database.end_session(pid);
            }
            Begun::Until(After::then(move |_| database.end_session(pid)))
        }
        DatabaseMishap::BuildKilled => {
            if database.kill_builds() {
                Begun::Done
            } else {
                Begun::NotYet
            }
        }
        DatabaseMishap::StatisticsReset => {
            database.reset_statistics();
            Begun::Done
        }
    }
}

/// What the server does to operations, until when; at least to one.
#[derive(Debug)]
struct Standing {
    how: DatabaseMishap,
    until: Instant,
    struck: bool,
}

/// Everything that the server does to operations.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Vec<Standing>);

/// What becomes of an operation.
pub(crate) enum Trouble {
    /// It fails and has no effect.
    Fails(Failure),
    /// It has its effect, and nobody is told.
    IsLost,
}

impl Troubles {
    /// What becomes of an operation now.
    pub(crate) fn strike(&mut self, operation: Operation) -> Option<(DatabaseMishap, Trouble)> {
        let now = Instant::now();
        self.0.retain(|trouble| trouble.until > now || !trouble.struck);
        let trouble = self.0.iter_mut().find(|trouble| concerns(trouble.how, operation))?;
        trouble.struck = true;
        verdict(trouble.how).map(|verdict| (trouble.how, verdict))
    }
}

fn concerns(how: DatabaseMishap, operation: Operation) -> bool {
    match how {
        DatabaseMishap::StatementTimeout | DatabaseMishap::Killed | DatabaseMishap::TooManyConnections => {
            true
        }
        DatabaseMishap::LockTimeout
        | DatabaseMishap::Deadlock
        | DatabaseMishap::Serialization
        | DatabaseMishap::LostCommit
        | DatabaseMishap::DiskFull
        | DatabaseMishap::ReadOnly => operation.changes(),
        DatabaseMishap::FailOver
        | DatabaseMishap::LockHeld
        | DatabaseMishap::BuildKilled
        | DatabaseMishap::StatisticsReset => false,
    }
}

fn verdict(how: DatabaseMishap) -> Option<Trouble> {
    let state = match how {
        DatabaseMishap::LockTimeout => "55P03",
        DatabaseMishap::Deadlock => "40P01",
        DatabaseMishap::Serialization => "40001",
        DatabaseMishap::StatementTimeout => "57014",
        DatabaseMishap::Killed => "57P01",
        DatabaseMishap::DiskFull => "53100",
        DatabaseMishap::ReadOnly => "25006",
        DatabaseMishap::TooManyConnections => "53300",
        DatabaseMishap::LostCommit => return Some(Trouble::IsLost),
        DatabaseMishap::FailOver
        | DatabaseMishap::LockHeld
        | DatabaseMishap::BuildKilled
        | DatabaseMishap::StatisticsReset => return None,
    };
    Some(Trouble::Fails(Fault::of_code(state).into()))
}
