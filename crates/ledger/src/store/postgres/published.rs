//! What leaders publish, for daemons that follow: one row for each release, written over.

use tidegate_model::ReleaseName;
use tidegate_postgres::Fault;

use super::session::{Kind, Server, query, scalar};

/// Writes it, unless somebody else leads by now: a leader of old must not speak for the release.
pub(super) async fn write(
    server: &Server,
    release: &ReleaseName,
    epoch: u64,
    document: Option<&str>,
) -> Result<(), Fault> {
    let mut session = server.session(Kind::Write).await?;
    query(match document {
        Some(_) => {
            "INSERT INTO tidegate_ledger.published (release, document) \
             SELECT release, $3 FROM tidegate_ledger.lease WHERE release = $1 AND epoch = $2 FOR SHARE \
             ON CONFLICT (release) DO UPDATE SET document = excluded.document"
        }
        None => {
            "DELETE FROM tidegate_ledger.published WHERE release = $1 AND $3::text IS NULL \
             AND EXISTS (SELECT FROM tidegate_ledger.lease WHERE release = $1 AND epoch = $2)"
        }
    })
    .bind(release.as_str())
    .bind(epoch.cast_signed())
    .bind(document)
    .execute(&mut *session)
    .await?;
    session.commit().await
}

pub(super) async fn read(server: &Server, release: &ReleaseName) -> Result<Option<String>, Fault> {
    let mut session = server.session(Kind::Read).await?;
    let document = scalar("SELECT document FROM tidegate_ledger.published WHERE release = $1")
        .bind(release.as_str())
        .fetch_optional(&mut *session)
        .await?;
    session.commit().await?;
    Ok(document)
}
