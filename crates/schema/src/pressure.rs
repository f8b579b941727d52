//! What speaks against loading the server with a backfill now.
//!
//! Called by [`crate::observe`] while a backfill is due. A backfill can wait: readers of a replica, the server's log and
//! autovacuum come first. It only reads; whether to pause is the planner's.

use sqlx::PgConnection;
use tidegate_model::schema::{ChangePlan, FilePhase, Pressure, TableName};

use crate::{failure::Failure, sessions::printable};

/// A replica that is further behind makes a backfill pause.
const LAG_SECONDS: i64 = 10;

/// Every sign of pressure that concerns the tables of a change's backfills.
pub(crate) async fn read(connection: &mut PgConnection, plan: &ChangePlan) -> Result<Vec<Pressure>, Failure> {
    let mut found = lagging(connection).await?;
    found.extend(slots_at_risk(connection).await?);
    found.extend(vacuumed(connection, plan).await?);
    Ok(found)
}

/// Replicas of this server that replay late. What a standby has not told for long counts by what it told last.
async fn lagging(connection: &mut PgConnection) -> Result<Vec<Pressure>, Failure> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT coalesce(nullif(application_name, ''), client_addr::text, 'unnamed'), \
         floor(extract(epoch FROM replay_lag))::int8 FROM pg_stat_replication \
         WHERE replay_lag > make_interval(secs => $1) ORDER BY replay_lag DESC LIMIT 5",
    )
    .bind(LAG_SECONDS as f64)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(replica, seconds)| Pressure::ReplicaLag { replica: printable(&replica, 63), seconds })
        .collect())
}

/// Slots that keep more of the log than `max_slot_wal_keep_size` allows: `unreserved` may be dropped at any checkpoint.
async fn slots_at_risk(connection: &mut PgConnection) -> Result<Vec<Pressure>, Failure> {
    let slots: Vec<String> = sqlx::query_scalar(
        "SELECT slot_name::text FROM pg_replication_slots WHERE wal_status = 'unreserved' ORDER BY 1 LIMIT 5",
    )
    .fetch_all(connection)
    .await?;
    Ok(slots.into_iter().map(|slot| Pressure::SlotAtRisk { slot: printable(&slot, 63) }).collect())
}

async fn vacuumed(connection: &mut PgConnection, plan: &ChangePlan) -> Result<Vec<Pressure>, Failure> {
    let tables: Vec<&TableName> = plan
        .files(FilePhase::Backfill)
        .filter_map(|file| file.backfill.as_ref())
        .map(|backfill| &backfill.table)
        .collect();
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.table.as_str()).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT n.nspname::text, c.relname::text FROM pg_stat_progress_vacuum v \
         JOIN pg_class c ON c.oid = v.relid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE v.datname = current_database() \
         AND (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY 1, 2",
    )
    .bind(&schemas)
    .bind(&names)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(schema, table)| Pressure::Vacuum { table: TableName { schema, table } })
        .collect())
}
