//! What the server shows of a session's own locks and of its tables' files.
//!
//! Called by [`super`] before and after each statement. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use tidegate_model::schema::TableName;

use crate::{classify::lock::LockMode, failure::Failure};

/// Tables, views and materialised views that were there before the change, by object id.
pub(super) struct Tables {
    names: BTreeMap<i64, TableName>,
    /// Partitions and inheriting tables, with each of their ancestors.
    parts: BTreeSet<(TableName, TableName)>,
}

impl Tables {
    /// True if a table is a partition or an heir of another: a lock of the parent is taken on its parts as well.
    pub(super) fn is_part_of(&self, table: &TableName, parent: &TableName) -> bool {
        self.parts.contains(&(table.clone(), parent.clone()))
    }
}

/// The table of each index.
pub(super) type Indexes = BTreeMap<TableName, TableName>;

/// File nodes of the tables that were there before.
pub(super) type Files = BTreeMap<i64, i64>;

const USERS_OWN: &str = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

pub(super) async fn tables(connection: &mut PgConnection) -> Result<Tables, Failure> {
    let sql = format!(
        "SELECT c.oid::int8, n.nspname::text, c.relname::text FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND {USERS_OWN}"
    );
    let rows: Vec<(i64, String, String)> =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
    let names: BTreeMap<i64, TableName> =
        rows.into_iter().map(|(oid, schema, table)| (oid, TableName { schema, table })).collect();
    let pairs: Vec<(i64, i64)> = sqlx::query_as(
        "WITH RECURSIVE up (part, parent) AS (SELECT inhrelid, inhparent FROM pg_inherits UNION \
         SELECT up.part, i.inhparent FROM up JOIN pg_inherits i ON i.inhrelid = up.parent) \
         SELECT part::int8, parent::int8 FROM up",
    )
    .fetch_all(connection)
    .await?;
    let named = |(part, parent): (i64, i64)| Some((names.get(&part)?.clone(), names.get(&parent)?.clone()));
    let parts = pairs.into_iter().filter_map(named).collect();
    Ok(Tables { names, parts })
}

pub(super) async fn indexes(connection: &mut PgConnection) -> Result<Indexes, Failure> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT n.nspname::text, c.relname::text, t.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace",
    )
    .fetch_all(connection)
    .await?;
    let named = |(schema, index, table): (String, String, String)| {
        let name = |table| TableName { schema: schema.clone(), table };
        (name(index), name(table))
    };
    Ok(rows.into_iter().map(named).collect())
}

/// The strongest lock that this session holds on each table that was there before.
pub(super) async fn locks(
    connection: &mut PgConnection,
    before: &Tables,
) -> Result<BTreeMap<TableName, LockMode>, Failure> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT relation::int8, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_all(connection)
    .await?;
    let mut strongest = BTreeMap::new();
    for (oid, mode) in rows {
        let (Some(table), Some(mode)) = (before.names.get(&oid), LockMode::from_pg_locks(&mode)) else {
            continue;
        };
        let held = strongest.entry(table.clone()).or_insert(mode);
        *held = mode.max(*held);
    }
    Ok(strongest)
}

pub(super) async fn files(connection: &mut PgConnection, before: &Tables) -> Result<Files, Failure> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT oid::int8, pg_relation_filenode(oid)::int8 FROM pg_class \
         WHERE relkind IN ('r', 'm') AND pg_relation_filenode(oid) IS NOT NULL",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter(|(oid, _)| before.names.contains_key(oid)).collect())
}

/// Tables whose file is another one now.
pub(super) async fn rewritten(
    connection: &mut PgConnection,
    before: &Tables,
    files_before: &Files,
) -> Result<Vec<TableName>, Failure> {
    let now = files(connection, before).await?;
    let changed =
        now.iter().filter(|(oid, file)| files_before.get(*oid).is_some_and(|before| before != *file));
    Ok(changed.filter_map(|(oid, _)| before.names.get(oid).cloned()).collect())
}

/// Where the server's write-ahead log ends now.
pub(super) async fn wal_position(connection: &mut PgConnection) -> Result<String, Failure> {
    Ok(sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text").fetch_one(connection).await?)
}

/// Bytes of write-ahead log since a position.
pub(super) async fn wal_since(connection: &mut PgConnection, position: &str) -> Result<u64, Failure> {
    let bytes: i64 =
        sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn)::int8")
            .bind(position)
            .fetch_one(connection)
            .await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
