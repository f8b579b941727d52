//! Revisions that may not run on this database any more, because they name what was purged.
//!
//! Written in purge's own transaction and read with the journal: it outlives the ledger, and a database that is restored to before
//! the purge forgets it rightly. Functions here take a connection and never begin or end a transaction.

use sqlx::PgConnection;
use tidegate_model::Digest;

use crate::{failure::Failure, journal::Key};

/// Notes that revisions with this content may not run any more.
pub(crate) async fn raise(
    connection: &mut PgConnection,
    key: Key<'_>,
    namers: &[Digest],
) -> Result<(), Failure> {
    let digests: Vec<String> = namers.iter().map(ToString::to_string).collect();
    sqlx::query(
        "INSERT INTO tidegate.floor (release, revision, change) SELECT $1, unnest($3::text[]), $2 \
         ON CONFLICT (release, revision) DO NOTHING",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .bind(digests)
    .execute(connection)
    .await?;
    Ok(())
}

/// True once the journal is of a version that keeps a floor, and the locks of each file.
pub(crate) async fn is_kept(connection: &mut PgConnection) -> Result<bool, Failure> {
    let kept = sqlx::query_scalar("SELECT to_regclass('tidegate.floor') IS NOT NULL");
    Ok(kept.fetch_one(connection).await?)
}

/// The revisions of the release, by the digest of their content, that a change has cut off. None before the first purge by a
/// version that keeps them.
pub(crate) async fn read(connection: &mut PgConnection, key: Key<'_>) -> Result<Vec<Digest>, Failure> {
    if !is_kept(connection).await? {
        return Ok(Vec::new());
    }
    let digests: Vec<String> =
        sqlx::query_scalar("SELECT revision FROM tidegate.floor WHERE release = $1 ORDER BY revision")
            .bind(key.release.as_str())
            .fetch_all(connection)
            .await?;
    let digest = |text: String| serde_json::from_value(serde_json::Value::String(text));
    digests.into_iter().map(digest).collect::<Result<_, _>>().map_err(|_| Failure::Malformed)
}
