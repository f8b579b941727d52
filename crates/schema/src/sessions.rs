//! Who is in the way of a lock.
//!
//! Called before DDL (who would block it) and while it waits (who does). Nobody is ever ended: a blocker is named, and
//! never by its query text, which may hold data.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{PgConnection, Row};
use tidegate_model::schema::{Blocker, TableName};

use crate::failure::Failure;

/// Sessions that hold any lock on these tables in a transaction that is older than `budget`, prepared transactions
/// included: an ACCESS EXCLUSIVE lock asked for now would wait for them longer than it may.
///
/// A session whose age may not be seen counts as old. Answers at most 50, the oldest first.
pub(crate) async fn holders(
    connection: &mut PgConnection,
    tables: &BTreeSet<TableName>,
    budget: Duration,
) -> Result<Vec<Blocker>, Failure> {
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.table.as_str()).collect();
    let rows = sqlx::query(
        "SELECT DISTINCT coalesce(l.pid, 0), coalesce(a.usename::text, x.owner::text, ''), \
             coalesce(a.application_name, ''), \
             CASE WHEN l.pid IS NULL THEN 'prepared transaction' ELSE coalesce(a.state, a.backend_type, 'unknown') END, \
             coalesce(floor(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared))), -1)::int8 \
         FROM pg_locks l \
         JOIN unnest($1::text[], $2::text[]) AS wanted (nspname, relname) ON true \
         JOIN pg_namespace n ON n.nspname::text = wanted.nspname \
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relname::text = wanted.relname \
         LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
         LEFT JOIN pg_prepared_xacts x ON l.pid IS NULL AND l.virtualtransaction = '-1/' || x.transaction::text \
         WHERE l.locktype = 'relation' AND l.relation = c.oid AND l.granted \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND l.pid IS DISTINCT FROM pg_backend_pid() \
             AND coalesce(clock_timestamp() - a.xact_start > make_interval(secs => $3), true) \
         ORDER BY 5 DESC LIMIT 50",
    )
    .bind(&schemas)
    .bind(&names)
    .bind(budget.as_secs_f64())
    .fetch_all(connection)
    .await?;
    rows.iter().map(blocker).collect()
}

/// Sessions that a waiting server session waits for right now.
pub(crate) async fn blocking(connection: &mut PgConnection, pid: i32) -> Result<Vec<Blocker>, Failure> {
    let rows = sqlx::query(
        "SELECT DISTINCT b.pid, coalesce(a.usename::text, ''), coalesce(a.application_name, ''), \
             CASE WHEN b.pid = 0 THEN 'prepared transaction' ELSE coalesce(a.state, a.backend_type, 'unknown') END, \
             coalesce(floor(extract(epoch FROM clock_timestamp() - a.xact_start)), -1)::int8 \
         FROM unnest(pg_blocking_pids($1)) AS b (pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid \
         ORDER BY 5 DESC LIMIT 50",
    )
    .bind(pid)
    .fetch_all(connection)
    .await?;
    rows.iter().map(blocker).collect()
}

fn blocker(row: &sqlx::postgres::PgRow) -> Result<Blocker, Failure> {
    Ok(Blocker {
        pid: row.try_get(0)?,
        role: printable(row.try_get(1)?, 63),
        application: printable(row.try_get(2)?, 63),
        state: printable(row.try_get(3)?, 63),
        transaction_seconds: row.try_get(4)?,
    })
}

/// Text that a client chose, as it may be shown: no control characters, cut.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(most)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}
