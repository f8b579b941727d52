//! Hiding the old form, and giving it back: rights are taken from everybody but us, and nothing else changes.
//!
//! Called through [`Database::hide`], [`Database::unhide`] and by purge. PostgreSQL takes no lock on a table for GRANT and
//! REVOKE, so neither waits for a reader nor stops one that is running; the next statement that needs the old form is
//! refused with 42501. A right on a whole table overrides what is revoked from a column, so such a right is turned into
//! the same right on every other column. What was there before stands in the journal, in the same transaction, and is
//! what un-hiding puts back. Must not look at gates, and must not know why it is called.
//!
//! Triggers fill `NEW` without a right on the column, so the sync trigger keeps the hidden form true: giving it back
//! loses nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sqlx::{Acquire, AssertSqlSafe, PgConnection, Postgres, Transaction};
use tidegate_model::schema::{ChangePlan, Hidden, Object, TableName};

use crate::{
    catalog::quoted,
    connect::Database,
    failure::Failure,
    journal::{self, Key},
    run::{Attempt, Job, enter, require_complete},
    sessions::printable,
};

mod record;
mod rights;

use rights::{ColumnGrant, Grant, Rights, able, heirs, members, rights, sql_name};

/// Rights that a column can have of its own.
const OF_COLUMNS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "REFERENCES"];

/// Columns that every table has beside its own.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

impl Database {
    /// Hides the old form from every role but ours, reversibly and without a lock on a table. Done at once if the journal
    /// shows it hidden.
    ///
    /// Hidden are the columns and tables that contract removes and that were there before the change, in heirs and
    /// partitions too. Superusers, members of `pg_read_all_data` and `pg_write_all_data` cannot be stopped so: who is not
    /// stands in [`Hidden::bypassed_by`] of the journal. Where the old form is part of a foreign key, the table's owner
    /// keeps its rights, because the server checks such a key with them.
    ///
    /// # Errors
    ///
    /// [`Failure::TooEarly`] before expand and backfill are complete, [`Failure::PassedOn`] where somebody else than the
    /// owner granted rights on the table; any other [`Failure`]. The transaction is rolled back.
    pub async fn hide(&self, job: Job<'_>) -> Result<Attempt<()>, Failure> {
        let mut transaction = self.begin(self.limits.statement).await?;
        let applied = enter(&mut transaction, &job).await?;
        let journal = require_complete(&mut transaction, &job, &applied).await?;
        if journal.hidden.is_some() || journal.purged_at.is_some() {
            return Ok(Attempt::Done(()));
        }
        let mut taken = Vec::new();
        for target in targets(&mut transaction, job.plan).await? {
            taken.push(take(&mut transaction, target).await?);
        }
        let bypassed = able_to_use(&mut transaction, &taken).await?;
        let before = serde_json::to_string(&taken).map_err(|_| Failure::Malformed)?;
        let undo = undo(&taken);
        let hide = record::New { before: &before, undo: &undo, bypassed_by: &bypassed };
        record::write(&mut transaction, &job, hide).await?;
        transaction.commit().await?;
        Ok(Attempt::Done(()))
    }

    /// Gives the old form back to whom it was taken from. Done at once if it is not hidden.
    ///
    /// Only the fence is asked: an abort must be able to do this whatever else is wrong. A right that somebody revoked
    /// meanwhile stays revoked, and roles and columns that are gone are passed over.
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; the transaction is rolled back.
    pub async fn unhide(&self, job: Job<'_>) -> Result<Attempt<()>, Failure> {
        let mut transaction = self.begin(self.limits.statement).await?;
        if !journal::exists(&mut transaction).await? {
            return Err(Failure::Fenced { ours: job.epoch.number(), found: 0 });
        }
        journal::fence(&mut transaction, job.release, job.epoch).await?;
        give_back(&mut transaction, job.key()).await?;
        transaction.commit().await?;
        Ok(Attempt::Done(()))
    }
}

/// Puts rights back as the journal has them, and forgets that anything was hidden.
pub(crate) async fn give_back(
    transaction: &mut Transaction<'static, Postgres>,
    key: Key<'_>,
) -> Result<(), Failure> {
    let Some(record) = record::read(transaction, key).await? else { return Ok(()) };
    for taken in read_taken(&record.before)? {
        give(transaction, &taken).await?;
    }
    record::remove(transaction, key).await
}

/// What gives everything back, as a script for psql. Rights on columns that hiding made are left: they add nothing then.
fn undo(taken: &[Taken]) -> String {
    let mut lines = vec!["BEGIN;".to_owned()];
    for taken in taken {
        let on = sql_name(&taken.table);
        for grant in &taken.table_grants {
            let (privilege, role, option) = (&grant.privilege, grant.role(), grant.option());
            lines.push(format!("GRANT {privilege} ON {on} TO {role}{option};"));
        }
        let hidden = taken.column_grants.iter().filter(|of| taken.hides(&of.column));
        lines.extend(hidden.map(|of| format!("{};", of.sql(&on))));
    }
    lines.extend(
        ["DELETE FROM tidegate.hide;", "UPDATE tidegate.format SET version = 1;", "COMMIT;", ""]
            .map(String::from),
    );
    lines.join("\n")
}

/// What the journal's record means now: since when it is hidden, and whom that does not stop.
pub(crate) async fn read(connection: &mut PgConnection, key: Key<'_>) -> Result<Option<Hidden>, Failure> {
    let Some(record) = record::read(connection, key).await? else { return Ok(None) };
    let taken = read_taken(&record.before)?;
    let able = able_to_use(connection, &taken).await?;
    let shown = |roles: Vec<String>| roles.iter().map(|role| printable(role, 63)).collect();
    let (bypassed_by, regranted_to) = able.into_iter().partition(|role| record.bypassed_by.contains(role));
    let from: BTreeSet<Option<String>> =
        taken.iter().flat_map(Taken::grants).map(|grant| grant.grantee.clone()).collect();
    Ok(Some(Hidden {
        at: record.at,
        tables: taken.into_iter().map(|taken| taken.table).collect(),
        taken_from: members(connection, &from).await?,
        bypassed_by: shown(bypassed_by),
        regranted_to: shown(regranted_to),
    }))
}

/// A table of which something is hidden: some columns, or all of it.
struct Target {
    table: TableName,
    /// None: the whole table.
    columns: Option<BTreeSet<String>>,
}

/// What was taken of a table. Stored in the journal: its members' names are part of the journal's format.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    table: TableName,
    /// The hidden columns; none: the whole table.
    columns: Option<BTreeSet<String>>,
    /// Rights on the table that were revoked; each became a right on every other column.
    table_grants: Vec<Grant>,
    /// Rights on columns that were revoked, some of them together with the one on the table.
    column_grants: Vec<ColumnGrant>,
    /// True if our own role was lent the right to read what is hidden: it had it through another role only.
    lent: bool,
}

fn read_taken(before: &str) -> Result<Vec<Taken>, Failure> {
    serde_json::from_str(before).map_err(|_| Failure::Malformed)
}

/// The tables with what is to be hidden of them, heirs and partitions included: they can be named themselves.
async fn targets(connection: &mut PgConnection, plan: &ChangePlan) -> Result<Vec<Target>, Failure> {
    let mut targets: BTreeMap<TableName, Option<BTreeSet<String>>> = BTreeMap::new();
    for object in plan.hidable() {
        let (table, column) = match object {
            Object::Column { table, column } => (table, Some(column)),
            Object::Table(table) => (table, None),
            Object::Trigger { .. } | Object::Function { .. } | Object::Index { .. } => continue,
        };
        for table in heirs(connection, table).await? {
            let columns = targets.entry(table).or_insert_with(|| Some(BTreeSet::new()));
            match (columns.as_mut(), column) {
                (Some(columns), Some(column)) => drop(columns.insert(column.clone())),
                (_, None) | (None, Some(_)) => *columns = None,
            }
        }
    }
    Ok(targets.into_iter().map(|(table, columns)| Target { table, columns }).collect())
}

async fn take(connection: &mut PgConnection, target: Target) -> Result<Taken, Failure> {
    let Target { table, columns } = target;
    let Some(rights) = rights(connection, &table).await? else {
        return Err(Failure::Unexpected { object: Object::Table(table), exists: false });
    };
    let taken = to_take(table, columns, &rights)?;
    let on = sql_name(&taken.table);
    for grant in &taken.table_grants {
        let (privilege, role) = (&grant.privilege, grant.role());
        run(connection, format!("REVOKE {privilege} ON {on} FROM {role}")).await?;
    }
    for ColumnGrant { column, grant } in &taken.column_grants {
        let (privilege, column, role) = (&grant.privilege, quoted(column), grant.role());
        run(connection, format!("REVOKE {privilege} ({column}) ON {on} FROM {role}")).await?;
    }
    if let Some(hidden) = &taken.columns {
        leave_the_rest(connection, &taken, hidden, &rights).await?;
    }
    if taken.lent {
        run(connection, format!("GRANT {} ON {on} TO CURRENT_USER", taken.readable())).await?;
    }
    Ok(taken)
}

/// What must be revoked so that nobody but us can use the hidden part.
fn to_take(table: TableName, columns: Option<BTreeSet<String>>, rights: &Rights) -> Result<Taken, Failure> {
    let in_key = columns.as_ref().map_or(!rights.keys.is_empty(), |hidden| !hidden.is_disjoint(&rights.keys));
    let exempt = |grant: &Grant| {
        let role = grant.grantee.as_deref();
        role == Some(&rights.ours) || (in_key && role == Some(&rights.owner))
    };
    let of_columns = |grant: &Grant| columns.is_none() || OF_COLUMNS.contains(&grant.privilege.as_str());
    let table_grants: Vec<Grant> =
        rights.table.iter().filter(|grant| of_columns(grant) && !exempt(grant)).cloned().collect();
    // Revoking a right on a table takes the same right on its columns along.
    let with_table = |grant: &Grant| table_grants.iter().any(|on_table| on_table.same_right(grant));
    let is_hidden = |column: &String| columns.as_ref().is_none_or(|hidden| hidden.contains(column));
    let column_grants: Vec<ColumnGrant> = rights
        .columns_granted
        .iter()
        .filter(|of| !exempt(&of.grant) && (is_hidden(&of.column) || with_table(&of.grant)))
        .cloned()
        .collect();
    if rights.passed_on {
        return Err(Failure::PassedOn(table));
    }
    let reads =
        |grant: &Grant| grant.privilege == "SELECT" && grant.grantee.as_deref() == Some(rights.ours.as_str());
    let lent = !rights.table.iter().any(reads)
        && !rights.columns_granted.iter().any(|of| is_hidden(&of.column) && reads(&of.grant));
    Ok(Taken { table, columns, table_grants, column_grants, lent })
}

/// Turns rights on the table into rights on the columns that are not hidden.
async fn leave_the_rest(
    connection: &mut PgConnection,
    taken: &Taken,
    hidden: &BTreeSet<String>,
    rights: &Rights,
) -> Result<(), Failure> {
    let on = sql_name(&taken.table);
    let rest: Vec<String> = rights.columns.difference(hidden).map(|column| quoted(column)).collect();
    if rest.is_empty() {
        return Ok(());
    }
    for grant in &taken.table_grants {
        let rest = with_system_columns(grant, &rest);
        let (privilege, role, option) = (&grant.privilege, grant.role(), grant.option());
        run(connection, format!("GRANT {privilege} ({rest}) ON {on} TO {role}{option}")).await?;
    }
    for of in taken.column_grants.iter().filter(|of| !hidden.contains(&of.column)) {
        run(connection, of.sql(&on)).await?;
    }
    Ok(())
}

/// Gives back what was taken of a table: first all that anybody needs, then the tidying, which may fail.
async fn give(transaction: &mut Transaction<'static, Postgres>, taken: &Taken) -> Result<(), Failure> {
    let Some(rights) = rights(transaction, &taken.table).await? else { return Ok(()) };
    let on = sql_name(&taken.table);
    let mut roles = BTreeSet::new();
    for grant in taken.grants() {
        if grant.exists(transaction).await? {
            roles.insert(grant.grantee.clone());
        }
    }
    let given: Vec<&Grant> = taken
        .table_grants
        .iter()
        .filter(|grant| roles.contains(&grant.grantee) && taken.is_still_wanted(grant, &rights))
        .collect();
    for grant in &given {
        let (privilege, role, option) = (&grant.privilege, grant.role(), grant.option());
        run(transaction, format!("GRANT {privilege} ON {on} TO {role}{option}")).await?;
    }
    for of in taken.column_grants.iter().filter(|of| taken.hides(&of.column)) {
        if roles.contains(&of.grant.grantee) && rights.columns.contains(&of.column) {
            run(transaction, of.sql(&on)).await?;
        }
    }
    let readable = taken.readable_now(&rights);
    if taken.lent && !readable.is_empty() {
        run(transaction, format!("REVOKE {readable} ON {on} FROM CURRENT_USER")).await?;
    }
    // Whoever passed a right on a column on keeps it: revoking that would fail, and giving back must not.
    let mut tidying = transaction.begin().await?;
    match tidy(&mut tidying, taken, &given, &rights).await {
        Ok(()) => Ok(tidying.commit().await?),
        Err(Failure::Dependents) => Ok(tidying.rollback().await?),
        Err(failure) => Err(failure),
    }
}

/// Removes the rights on columns that hiding made, and puts back those that were there beside one on the table.
async fn tidy(
    connection: &mut PgConnection,
    taken: &Taken,
    given: &[&Grant],
    rights: &Rights,
) -> Result<(), Failure> {
    let on = sql_name(&taken.table);
    let Some(hidden) = &taken.columns else { return Ok(()) };
    let rest: Vec<String> = rights.columns.difference(hidden).map(|column| quoted(column)).collect();
    if rest.is_empty() {
        return Ok(());
    }
    for grant in given {
        let rest = with_system_columns(grant, &rest);
        let (privilege, role) = (&grant.privilege, grant.role());
        run(connection, format!("REVOKE {privilege} ({rest}) ON {on} FROM {role}")).await?;
        let beside = |of: &&ColumnGrant| {
            of.grant.same_right(grant) && !hidden.contains(&of.column) && rights.columns.contains(&of.column)
        };
        for of in taken.column_grants.iter().filter(beside) {
            run(connection, of.sql(&on)).await?;
        }
    }
    Ok(())
}

impl Taken {
    fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.table_grants.iter().chain(self.column_grants.iter().map(|of| &of.grant))
    }

    fn hides(&self, column: &str) -> bool {
        self.columns.as_ref().is_none_or(|hidden| hidden.contains(column))
    }

    /// False if somebody revoked meanwhile what hiding had left of a right: it is not given again.
    fn is_still_wanted(&self, grant: &Grant, rights: &Rights) -> bool {
        let mut rest = rights.columns.iter().filter(|column| !self.hides(column)).peekable();
        rest.peek().is_none()
            || rest.any(|column| {
                rights.columns_granted.iter().any(|of| &of.column == column && of.grant.same_right(grant))
            })
    }

    /// The right to read what is hidden, as GRANT takes it.
    fn readable(&self) -> String {
        match &self.columns {
            Some(hidden) => select(hidden.iter()),
            None => "SELECT".to_owned(),
        }
    }

    /// The same for what is left of it; empty if nothing is.
    fn readable_now(&self, rights: &Rights) -> String {
        match &self.columns {
            Some(hidden) => {
                let left: Vec<&String> = hidden.intersection(&rights.columns).collect();
                if left.is_empty() { String::new() } else { select(left.into_iter()) }
            }
            None => "SELECT".to_owned(),
        }
    }
}

/// A list of columns for GRANT. Who may read a table may read its system columns (`xmin` is a common row version), and only
/// a right of their own replaces that.
fn with_system_columns(grant: &Grant, columns: &[String]) -> String {
    let system = if grant.privilege == "SELECT" { SYSTEM_COLUMNS.as_slice() } else { &[] };
    columns.iter().map(String::as_str).chain(system.iter().copied()).collect::<Vec<_>>().join(", ")
}

fn select<'a>(columns: impl Iterator<Item = &'a String>) -> String {
    format!("SELECT ({})", columns.map(|column| quoted(column)).collect::<Vec<_>>().join(", "))
}

/// Login roles, ours excepted, that can use something of what was taken.
async fn able_to_use(connection: &mut PgConnection, taken: &[Taken]) -> Result<Vec<String>, Failure> {
    let mut roles = BTreeSet::new();
    for taken in taken {
        roles.extend(able(connection, &taken.table, taken.columns.as_ref()).await?);
    }
    Ok(roles.into_iter().collect())
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<(), Failure> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
