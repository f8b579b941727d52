//! The journal's entry of something hidden: table `tidegate.hide`. Written in the transaction of the effect, as every entry is.

use jiff::Timestamp;
use sqlx::{PgConnection, Row};

use crate::{
    failure::Failure,
    journal::{self, Key},
    run::Job,
};

/// What is recorded of something hidden.
pub(super) struct Record {
    /// When, by the server's clock.
    pub(super) at: Timestamp,
    /// The rights that were taken, as [`super`] wrote them.
    pub(super) before: String,
    /// Roles that were not stopped by it.
    pub(super) bypassed_by: Vec<String>,
}

/// What is to be recorded of something hidden.
pub(super) struct New<'a> {
    /// The rights that were taken, as [`super`] reads them again.
    pub(super) before: &'a str,
    /// The same as a script, for people: a restored copy is hidden too, and Tidegate may not be there.
    pub(super) undo: &'a str,
    /// Roles that are not stopped by it.
    pub(super) bypassed_by: &'a [String],
}

/// Records that the old form is hidden, with what undoes it.
pub(super) async fn write(
    connection: &mut PgConnection,
    job: &Job<'_>,
    hide: New<'_>,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO tidegate.hide (release, change, marker, epoch, before, undo, bypassed_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(job.release.as_str())
    .bind(job.plan.change.as_str())
    .bind(job.marker.to_string())
    .bind(job.epoch.number())
    .bind(hide.before)
    .bind(hide.undo)
    .bind(hide.bypassed_by)
    .execute(&mut *connection)
    .await?;
    journal::mark_format(connection).await
}

/// Forgets that the old form was hidden.
pub(super) async fn remove(connection: &mut PgConnection, key: Key<'_>) -> Result<(), Failure> {
    sqlx::query("DELETE FROM tidegate.hide WHERE release = $1 AND change = $2")
        .bind(key.release.as_str())
        .bind(key.change.as_str())
        .execute(&mut *connection)
        .await?;
    journal::mark_format(connection).await
}

/// What is recorded of a change's old form being hidden; `None` if it is not.
pub(super) async fn read(connection: &mut PgConnection, key: Key<'_>) -> Result<Option<Record>, Failure> {
    if !journal::is_current(connection).await? {
        return Ok(None);
    }
    let sql = "SELECT (extract(epoch FROM hidden_at) * 1000000)::int8, before, bypassed_by FROM tidegate.hide \
               WHERE release = $1 AND change = $2";
    let rows = journal::keyed(connection, sql, key).await?;
    let record = |row: &sqlx::postgres::PgRow| {
        let at = Timestamp::from_microsecond(row.try_get(0)?).map_err(|_| Failure::Malformed)?;
        Ok(Record { at, before: row.try_get(1)?, bypassed_by: row.try_get(2)? })
    };
    rows.first().map(record).transpose()
}
