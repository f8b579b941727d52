//! A ledger in a PostgreSQL database, for several daemons: each release is led by one of them at a time.
//!
//! Everything lies in a schema of its own, `tidegate_ledger`, so that a database may be shared with others. Who leads is
//! decided by the server's clock and one statement; an append locks the release's lease and compares its epoch in the
//! transaction that writes. Nothing outlives a transaction in the server's session, so that a pooler in transaction mode may
//! stand in between, and everything has a limit of time ([`session`]). It never repeats a write.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{FutureExt as _, TryFutureExt as _, TryStreamExt as _, future::BoxFuture};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use tidegate_model::ReleaseName;
use tidegate_postgres::Fault;

use super::{Grant, Row, Store};
use crate::{
    LedgerError, OpenError,
    chain::{Head, Sealed},
};

mod layout;
mod lease;
mod published;
mod session;

pub use session::{Connect, Refused};
use session::{Kind, Server, Session, query};

/// A database that this process shares with other daemons.
pub struct Postgres {
    server: Server,
    identity: String,
}

impl Postgres {
    /// Opens the ledger in a database, making it if it is not there.
    ///
    /// `connect` tells how to connect, now and whenever the server refuses the role: a password may have been rotated.
    ///
    /// # Errors
    /// [`OpenError::Newer`] and [`OpenError::NotALedger`] for what is not this version's; otherwise why the server cannot be
    /// used.
    pub async fn open(connect: Connect) -> Result<Self, OpenError> {
        let server = Server::new(connect).await?;
        let identity = layout::open(&server).await?;
        Ok(Self { server, identity })
    }

    /// Writes rows behind `head` in one transaction.
    async fn add(
        &self,
        release: &ReleaseName,
        epoch: u64,
        head: &Head,
        rows: &[Sealed],
    ) -> Result<(), LedgerError> {
        let mut session = self.server.session(Kind::Write).await.map_err(writing)?;
        // Locked until the commit: whoever wants the lease waits, so that no row of ours can follow one of the next leader.
        if lease::lock(&mut session, release).await.map_err(writing)? != Some(epoch) {
            session.rollback().await;
            return Err(LedgerError::Fenced { release: release.clone() });
        }
        let end = head_of(&mut session, release).await.map_err(writing)?;
        if end != *head {
            session.rollback().await;
            let (expected, found) = (head.length, end.length);
            return Err(LedgerError::Conflict { release: release.clone(), expected, found });
        }
        insert(&mut session, release, rows).await.map_err(writing)?;
        session.commit().await.map_err(writing)
    }
}

impl Store for Postgres {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn read<'a>(
        &'a self,
        of: Option<&'a ReleaseName>,
        each: &'a mut (dyn FnMut(Row) + Send),
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        read(&self.server, of, each).boxed()
    }

    fn append<'a>(
        &'a self,
        release: &'a ReleaseName,
        epoch: u64,
        head: &'a Head,
        rows: &'a [Sealed],
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.server.limited(Kind::Write, self.add(release, epoch, head, rows), || writing(Fault::Unreachable))
    }

    fn lease<'a>(
        &'a self,
        release: &'a ReleaseName,
        holder: &'a str,
        term: Duration,
    ) -> BoxFuture<'a, Result<Grant, LedgerError>> {
        self.asked(lease::take(&self.server, release, holder, term))
    }

    fn renew<'a>(
        &'a self,
        holder: &'a str,
        term: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<ReleaseName, u64>, LedgerError>> {
        self.asked(lease::renew(&self.server, holder, term))
    }

    fn resign<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.asked(lease::resign(&self.server, holder))
    }

    fn publish<'a>(
        &'a self,
        release: &'a ReleaseName,
        epoch: u64,
        document: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        let work = published::write(&self.server, release, epoch, document).map_err(writing);
        self.server.limited(Kind::Write, work, || writing(Fault::Unreachable))
    }

    fn published<'a>(
        &'a self,
        release: &'a ReleaseName,
    ) -> BoxFuture<'a, Result<Option<String>, LedgerError>> {
        let work = published::read(&self.server, release).map_err(reading);
        self.server.limited(Kind::Read, work, || reading(Fault::Unreachable))
    }
}

impl Postgres {
    /// A request about leases, within its limit of time.
    fn asked<'a, T: Send + 'a>(
        &'a self,
        request: impl Future<Output = Result<T, Fault>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, LedgerError>> {
        let leasing = |source| LedgerError::Server { action: "lease", source };
        self.server.limited(Kind::Write, request.map_err(leasing), move || leasing(Fault::Unreachable))
    }
}

/// A database whose ledger is only read. Nothing is made or changed.
pub(crate) struct ReadOnly(Server);

impl ReadOnly {
    pub(crate) async fn open(connect: Connect) -> Result<Self, OpenError> {
        let server = Server::new(connect).await?;
        layout::check(&server).await?;
        Ok(Self(server))
    }

    pub(crate) async fn read(
        &self,
        of: &ReleaseName,
        each: &mut (dyn FnMut(Row) + Send),
    ) -> Result<(), LedgerError> {
        read(&self.0, Some(of), each).await
    }
}

fn reading(source: Fault) -> LedgerError {
    LedgerError::Server { action: "read", source }
}

fn writing(source: Fault) -> LedgerError {
    LedgerError::Server { action: "write", source }
}

async fn read(
    server: &Server,
    of: Option<&ReleaseName>,
    each: &mut (dyn FnMut(Row) + Send),
) -> Result<(), LedgerError> {
    // All of it is read once, at the start, and may be long; one release is read in a pass.
    let kind = if of.is_some() { Kind::Read } else { Kind::ReadAll };
    let read = async {
        let mut session = server.session(kind).await?;
        give(&mut session, of, each).await?;
        session.commit().await
    };
    server.limited(kind, read, || Fault::Unreachable).await.map_err(reading)
}

async fn give(
    session: &mut Session,
    of: Option<&ReleaseName>,
    each: &mut (dyn FnMut(Row) + Send),
) -> Result<(), Fault> {
    // Bytes decide the order, as in the other stores, whatever the database's collation is.
    let mut rows = query(
        "SELECT release, seq, at, format, body, previous, hash FROM tidegate_ledger.entry \
         WHERE $1::text IS NULL OR release = $1 ORDER BY release COLLATE \"C\", seq",
    )
    .bind(of.map(ReleaseName::as_str))
    .fetch(&mut **session);
    while let Some(row) = rows.try_next().await? {
        each(Row { release: text(&row, "release").and_then(|name| name.parse().ok()), sealed: sealed(&row) });
    }
    Ok(())
}

fn sealed(row: &PgRow) -> Option<Sealed> {
    Some(Sealed {
        seq: number(row, "seq")?,
        at: text(row, "at")?,
        format: number(row, "format")?,
        body: text(row, "body")?,
        previous: text(row, "previous")?,
        hash: text(row, "hash")?,
    })
}

fn text(row: &PgRow, column: &'static str) -> Option<String> {
    row.try_get(column).ok()
}

fn number(row: &PgRow, column: &'static str) -> Option<u64> {
    row.try_get::<i64, _>(column).ok().and_then(|number| number.try_into().ok())
}

async fn head_of(connection: &mut PgConnection, release: &ReleaseName) -> Result<Head, Fault> {
    let row =
        query("SELECT seq, hash FROM tidegate_ledger.entry WHERE release = $1 ORDER BY seq DESC LIMIT 1")
            .bind(release.as_str())
            .fetch_optional(connection)
            .await?;
    let Some(row) = row else { return Ok(Head::default()) };
    let seq: i64 = row.try_get("seq")?;
    Ok(Head { length: seq.saturating_add(1).max(0).cast_unsigned(), hash: row.try_get("hash")? })
}

/// All rows in one statement: however many they are, it is one way to the server and back.
async fn insert(connection: &mut PgConnection, release: &ReleaseName, rows: &[Sealed]) -> Result<(), Fault> {
    let numbers = |of: fn(&Sealed) -> u64| rows.iter().map(|row| of(row).cast_signed()).collect::<Vec<_>>();
    let texts = |of: fn(&Sealed) -> &String| rows.iter().map(|row| of(row).as_str()).collect::<Vec<_>>();
    query(
        "INSERT INTO tidegate_ledger.entry (release, seq, at, format, body, previous, hash) \
         SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[])",
    )
    .bind(release.as_str())
    .bind(numbers(|row| row.seq))
    .bind(texts(|row| &row.at))
    .bind(numbers(|row| row.format))
    .bind(texts(|row| &row.body))
    .bind(texts(|row| &row.previous))
    .bind(texts(|row| &row.hash))
    .execute(connection)
    .await?;
    Ok(())
}
