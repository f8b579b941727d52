//! What people must know before a change begins: room on the disk, statistics that will be missed, subscribers.
//!
//! Called by [`crate::observe`] while a rollout is in its preflight. Reads only; what closes a gate is the planner's.

use sqlx::PgConnection;
use tidegate_model::schema::{ChangePlan, FilePhase, Preflight, TableName};

use crate::{catalog, evidence, failure::Failure, sessions::printable};

/// Reads it for the tables of a change.
pub(crate) async fn read(connection: &mut PgConnection, plan: &ChangePlan) -> Result<Preflight, Failure> {
    let mut told = Vec::new();
    if let Some(missing) = evidence::missing(connection).await? {
        told.push(format!("contract will wait for evidence that is not there: {missing}"));
    }
    told.extend(published(connection, plan).await?);
    let backfilled = plan.files(FilePhase::Backfill).filter_map(|file| file.backfill.as_ref());
    let rewritten: Vec<TableName> = backfilled.map(|backfill| backfill.table.clone()).collect();
    Ok(Preflight {
        database_bytes: databases(connection).await?,
        rewritten_bytes: size(connection, &rewritten).await?,
        told,
    })
}

/// All databases of the server whose size may be read.
async fn databases(connection: &mut PgConnection) -> Result<u64, Failure> {
    let bytes: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(pg_database_size(oid)), 0)::int8 FROM pg_database \
         WHERE has_database_privilege(oid, 'CONNECT') OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')",
    )
    .fetch_one(connection)
    .await?;
    u64::try_from(bytes).map_err(|_| Failure::Malformed)
}

async fn size(connection: &mut PgConnection, tables: &[TableName]) -> Result<u64, Failure> {
    let (schemas, names) = split(tables);
    let bytes: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(pg_table_size(c.oid)), 0)::int8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
    )
    .bind(schemas)
    .bind(names)
    .fetch_one(connection)
    .await?;
    u64::try_from(bytes).map_err(|_| Failure::Malformed)
}

/// Publications that carry a table of the change. Source: logical replication copies no DDL, and a subscriber that lacks a
/// published column stops with an error.
async fn published(connection: &mut PgConnection, plan: &ChangePlan) -> Result<Vec<String>, Failure> {
    let tables: Vec<TableName> = catalog::tables(plan).into_iter().collect();
    let (schemas, names) = split(&tables);
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT pubname::text, schemaname::text, tablename::text FROM pg_publication_tables \
         WHERE (schemaname::text, tablename::text) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY 1, 2, 3 LIMIT 5",
    )
    .bind(schemas)
    .bind(names)
    .fetch_all(connection)
    .await?;
    let told = |(publication, schema, table): (String, String, String)| {
        let (publication, table) = (printable(&publication, 63), TableName { schema, table });
        format!(
            "publication {publication} carries {table}: add new columns at its subscribers first, or they stop"
        )
    };
    Ok(rows.into_iter().map(told).collect())
}

fn split(tables: &[TableName]) -> (Vec<String>, Vec<String>) {
    tables.iter().map(|table| (table.schema.clone(), table.table.clone())).unzip()
}
