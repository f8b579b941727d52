//! What only the server knows of a mapping: what its columns take.
//!
//! Called by [`crate::run`] in the transaction that creates what was generated, before and after that, so that a mapping that could make a write
//! fail is never committed.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tidegate_model::schema::{Object, SyncColumn, SyncPlan};

use crate::{connect::MARK, failure::Failure};

/// Refuses columns that cannot be kept in step without failing or falsifying a write.
///
/// What cannot be mapped becomes NULL, so a column that is NOT NULL needs a mapping that falls back to a constant. A trigger
/// cannot tell a default from a value that was written, so a new column with a default would win over the old form of
/// every row that a revision inserts which knows only that. What the server computes cannot be written at all.
///
/// # Errors
///
/// [`Failure::NotInStep`] with the first such column; any other [`Failure`] of the read.
pub(crate) async fn can_be_kept(connection: &mut PgConnection, sync: &SyncPlan) -> Result<(), Failure> {
    let names = |columns: &[SyncColumn]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let partial =
        sync.old.iter().chain(&sync.new).filter(|column| !column.total).cloned().collect::<Vec<_>>();
    let row = sqlx::query(
        "SELECT a.attname::text, CASE WHEN a.attgenerated <> '' OR a.attidentity <> '' THEN 'computed' \
                                      WHEN a.attnotnull AND a.attname::text = ANY($3) THEN 'not null' \
                                      ELSE 'default' END \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2 AND a.attname::text = ANY($4 || $5) \
         AND (a.attgenerated <> '' OR a.attidentity <> '' OR (a.attnotnull AND a.attname::text = ANY($3)) \
              OR (a.atthasdef AND a.attname::text = ANY($5))) ORDER BY a.attnum LIMIT 1",
    )
    .bind(&sync.table.schema)
    .bind(&sync.table.table)
    .bind(names(&partial))
    .bind(names(&sync.old))
    .bind(names(&sync.new))
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let (column, found): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let why = match found.as_str() {
        "computed" => "the server computes it",
        "not null" => "it is NOT NULL, and its mapping does not end in coalesce(..., constant)",
        _ => "it has a default, which a trigger cannot tell from a value that was written",
    };
    Err(Failure::NotInStep { column: Object::Column { table: sync.table.clone(), column }, why })
}

/// Calls what was generated once, with NULLs. What a mapping does is guarded; the declarations before it are not: a constant too
/// long for its column or a type that refuses NULL would fail every write.
///
/// # Errors
///
/// Whatever the call fails with.
pub(crate) async fn runs(connection: &mut PgConnection, sync: &SyncPlan) -> Result<(), Failure> {
    let nulls = vec!["NULL"; sync.old.len() + sync.new.len()].join(", ");
    let sql = format!("{MARK}SELECT {}({nulls})", sync.in_sync);
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
