//! What a file of the plan does to the real database, held against its text before it is committed.
//!
//! Called by the steps, in their own transaction: locks are seen while they are held, and a file that does more than its text told
//! is rolled back. Reads only.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sqlx::PgConnection;
use tidegate_model::schema::{ChangePlan, FilePhase, Object, TableName};

use super::{Did, disagreements, observe};
use crate::{
    RawFile,
    classify::{Statement, lock::LockMode},
    failure::Failure,
    sql,
};

/// What the texts tell, and the database as it is before they are run. Everything that takes time is done here: at the end locks
/// are held.
pub(crate) struct Proof {
    statements: Vec<Statement>,
    /// Tables of the change itself: nobody else waits for them.
    own: BTreeSet<TableName>,
    tables: observe::Tables,
    files: observe::Files,
    indexes: observe::Indexes,
    held: BTreeMap<TableName, LockMode>,
    begun: Instant,
}

impl Proof {
    /// Before a file of the plan, or all files of a phase, are run.
    pub(crate) async fn begin(
        connection: &mut PgConnection,
        plan: &ChangePlan,
        file: Option<&str>,
        phase: FilePhase,
    ) -> Result<Self, Failure> {
        let statements = statements(plan, file, phase).ok_or(Failure::NoSuchFile)?;
        let own = plan.adds.iter().filter_map(|object| match object {
            Object::Table(table) => Some(table.clone()),
            Object::Column { .. }
            | Object::Trigger { .. }
            | Object::Function { .. }
            | Object::Index { .. } => None,
        });
        let tables = observe::tables(connection).await?;
        Ok(Self {
            statements,
            own: own.collect(),
            files: observe::files(connection, &tables).await?,
            indexes: observe::indexes(connection).await?,
            held: observe::locks(connection, &tables).await?,
            tables,
            begun: Instant::now(),
        })
    }

    /// The locks that were taken since and that stop somebody, with how long they were held at most; refused if that is more than
    /// the texts told.
    pub(crate) async fn end(self, connection: &mut PgConnection) -> Result<String, Failure> {
        let took = self.begun.elapsed();
        let now = observe::locks(connection, &self.tables).await?;
        let more = |(table, mode): &(&TableName, &LockMode)| {
            !self.own.contains(*table) && self.held.get(*table).is_none_or(|held| held < *mode)
        };
        let taken = now.iter().filter(more);
        let locks: Vec<(&TableName, LockMode)> = taken.map(|(table, mode)| (table, *mode)).collect();
        let rewrote = observe::rewritten(connection, &self.tables, &self.files).await?;
        let told = told(&locks, took);
        let did = Did { locks, rewrote: &rewrote };
        match disagreements(&self.statements, &did, &self.indexes, &self.tables).into_iter().next() {
            Some(first) => Err(Failure::Disagrees(first)),
            None => Ok(told),
        }
    }
}

fn told(locks: &[(&TableName, LockMode)], took: Duration) -> String {
    let strong = locks.iter().filter(|(_, mode)| *mode >= LockMode::ShareUpdateExclusive);
    let each: Vec<String> = strong.map(|(table, mode)| format!("{mode} on {table}")).collect();
    if each.is_empty() { String::new() } else { format!("{}, {} ms", each.join(", "), took.as_millis()) }
}

/// What the texts of a file, or of a whole phase, tell; read again as the plan has them, because what a statement does depends on
/// what earlier files made.
fn statements(plan: &ChangePlan, file: Option<&str>, phase: FilePhase) -> Option<Vec<Statement>> {
    let raw = plan.files.iter().map(|file| RawFile { name: file.name.clone(), text: file.text.clone() });
    let scripts = sql::scripts(raw.collect())?;
    let wanted = scripts
        .into_iter()
        .filter(|script| script.phase == phase && file.is_none_or(|file| script.file == file));
    Some(wanted.flat_map(|script| script.statements).map(|(_, statement)| statement).collect())
}
