//! Leases as rows: taken, gone on with and given back by one statement each, by the server's clock.
//!
//! `clock_timestamp()` and not `now()`: a statement may have waited for a row, and the time that counts is the one when it got
//! it.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{PgConnection, Row as _};
use tidegate_model::ReleaseName;
use tidegate_postgres::Fault;

use super::{
    Grant,
    session::{Kind, Server, query, scalar},
};

/// Takes a lease that nobody has, or goes on with one's own. A new holder is a new epoch; so is one that gave it back.
const TAKE: &str = "
INSERT INTO tidegate_ledger.lease AS lease (release, holder, epoch, until)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (release) DO UPDATE SET
    epoch = CASE WHEN lease.holder = $2 AND lease.until IS NOT NULL THEN lease.epoch ELSE lease.epoch + 1 END,
    holder = $2,
    until = clock_timestamp() + make_interval(secs => $3)
WHERE lease.holder = $2 OR lease.until IS NULL OR lease.until <= clock_timestamp()
RETURNING epoch";

pub(super) async fn take(
    server: &Server,
    release: &ReleaseName,
    holder: &str,
    term: Duration,
) -> Result<Grant, Fault> {
    let mut session = server.session(Kind::Write).await?;
    let taken: Option<i64> = scalar(TAKE)
        .bind(release.as_str())
        .bind(holder)
        .bind(term.as_secs_f64())
        .fetch_optional(&mut *session)
        .await?;
    let grant = match taken {
        Some(epoch) => Grant::Held { epoch: epoch.max(0).cast_unsigned(), term: Some(term) },
        // It may have changed hands since; who it is now is only told to people.
        None => Grant::Other { holder: holder_of(&mut session, release).await? },
    };
    session.commit().await?;
    Ok(grant)
}

async fn holder_of(connection: &mut PgConnection, release: &ReleaseName) -> Result<String, Fault> {
    let holder = scalar("SELECT holder FROM tidegate_ledger.lease WHERE release = $1").bind(release.as_str());
    Ok(holder.fetch_one(connection).await?)
}

pub(super) async fn renew(
    server: &Server,
    holder: &str,
    term: Duration,
) -> Result<BTreeMap<ReleaseName, u64>, Fault> {
    let mut session = server.session(Kind::Write).await?;
    let rows = query(
        "UPDATE tidegate_ledger.lease SET until = clock_timestamp() + make_interval(secs => $2) \
         WHERE holder = $1 AND until IS NOT NULL RETURNING release, epoch",
    )
    .bind(holder)
    .bind(term.as_secs_f64())
    .fetch_all(&mut *session)
    .await?;
    session.commit().await?;
    rows.iter()
        .map(|row| {
            let release = row.try_get::<&str, _>("release")?.parse().map_err(|_| Fault::Malformed)?;
            Ok((release, row.try_get::<i64, _>("epoch")?.max(0).cast_unsigned()))
        })
        .collect()
}

pub(super) async fn resign(server: &Server, holder: &str) -> Result<(), Fault> {
    let mut session = server.session(Kind::Write).await?;
    query("UPDATE tidegate_ledger.lease SET until = NULL WHERE holder = $1")
        .bind(holder)
        .execute(&mut *session)
        .await?;
    session.commit().await
}

/// Locks a release's lease until the transaction ends; tells its epoch.
pub(super) async fn lock(connection: &mut PgConnection, release: &ReleaseName) -> Result<Option<u64>, Fault> {
    let epoch: Option<i64> = scalar("SELECT epoch FROM tidegate_ledger.lease WHERE release = $1 FOR UPDATE")
        .bind(release.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(epoch.map(|epoch| epoch.max(0).cast_unsigned()))
}
