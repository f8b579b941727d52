//! What speaks against loading the server with a backfill now.
//!
//! Called by [`crate::observe`] while a backfill is due. A backfill can wait: readers of a replica, the server's log and
//! autovacuum come first. It only reads; whether to pause is the planner's.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::PgConnection;
use tidegate_model::schema::{ChangePlan, FilePhase, Pressure, TableName};

use crate::{failure::Failure, sessions::printable};

/// A replica that is further behind makes a backfill pause.
const LAG_SECONDS: i64 = 10;

/// How long a backfill rests after a checkpoint was asked for.
const REST: Duration = Duration::from_secs(30);

/// Checkpoints that the server's log asked for, as they were last counted. Each one that is seen to come makes a backfill rest, so
/// that its rate settles at what timed checkpoints can carry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checkpoints {
    counted: Option<i64>,
    grew: Option<Instant>,
}

impl Checkpoints {
    fn count(&mut self, counted: i64, now: Instant) -> Option<Pressure> {
        if self.counted.is_some_and(|before| before < counted) {
            self.grew = Some(now);
        }
        self.counted = Some(counted);
        let since = now.saturating_duration_since(self.grew?);
        (since < REST).then_some(Pressure::Checkpoint { seconds: since.as_secs() })
    }
}

/// Every sign of pressure that concerns the tables of a change's backfills.
pub(crate) async fn read(
    connection: &mut PgConnection,
    plan: &ChangePlan,
    checkpoints: &Mutex<Checkpoints>,
) -> Result<Vec<Pressure>, Failure> {
    let mut found = lagging(connection).await?;
    let counted = requested_checkpoints(connection).await?;
    found.extend(noted(checkpoints, counted));
    found.extend(slots_at_risk(connection).await?);
    found.extend(vacuumed(connection, plan).await?);
    Ok(found)
}

fn noted(checkpoints: &Mutex<Checkpoints>, counted: i64) -> Option<Pressure> {
    // A poisoned lock only means that an earlier read stopped halfway: the count is still right.
    checkpoints.lock().unwrap_or_else(PoisonError::into_inner).count(counted, Instant::now())
}

/// Checkpoints that were not due by time. Source: `pg_stat_bgwriter` until PostgreSQL 16, `pg_stat_checkpointer` since 17.
async fn requested_checkpoints(connection: &mut PgConnection) -> Result<i64, Failure> {
    let moved: bool = sqlx::query_scalar("SELECT to_regclass('pg_catalog.pg_stat_checkpointer') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    let sql = if moved {
        "SELECT num_requested::int8 FROM pg_stat_checkpointer"
    } else {
        "SELECT checkpoints_req::int8 FROM pg_stat_bgwriter"
    };
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backfill_rests_after_each_checkpoint_that_is_seen_to_come_and_then_goes_on() {
        let (mut known, begun) = (Checkpoints::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(known.count(7, at(0)), None, "whatever was before");
        assert_eq!(known.count(7, at(60)), None);
        assert_eq!(known.count(8, at(61)), Some(Pressure::Checkpoint { seconds: 0 }));
        assert_eq!(known.count(8, at(90)), Some(Pressure::Checkpoint { seconds: 29 }));
        assert_eq!(known.count(8, at(91)), None);
        // Statistics were reset.
        assert_eq!(known.count(0, at(92)), None);
        assert_eq!(known.count(1, at(93)), Some(Pressure::Checkpoint { seconds: 0 }));
    }
}
