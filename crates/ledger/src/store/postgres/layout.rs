//! The schema `tidegate_ledger`: made if it is not there, refused if it is not ours or newer than this version.

use sqlx::PgConnection;
use tidegate_postgres::Fault;

use super::session::{Kind, Server, query, scalar};
use crate::OpenError;

/// The layout of the tables that this version makes and knows.
const LAYOUT: i32 = 1;

/// Key of the lock under which the tables are made: `tledger` in ASCII.
const CREATION_LOCK: i64 = 0x74_6c65_6467_6572;

/// Not `IF NOT EXISTS`: that asks for the right to make schemas even where one is there.
const SCHEMA: &str = "CREATE SCHEMA tidegate_ledger; REVOKE ALL ON SCHEMA tidegate_ledger FROM PUBLIC;";

/// Rows of `entry` are never changed: the triggers keep a stray statement of ours, or of a person at a prompt, from doing it
/// by accident. The hash chain is what finds it when it was done on purpose.
const TABLES: &str = "
CREATE TABLE tidegate_ledger.about (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    layout   integer NOT NULL,
    identity text NOT NULL
);
CREATE TABLE tidegate_ledger.entry (
    release  text NOT NULL,
    seq      bigint NOT NULL,
    at       text NOT NULL,
    format   bigint NOT NULL,
    body     text NOT NULL,
    previous text NOT NULL,
    hash     text NOT NULL,
    PRIMARY KEY (release, seq)
);
CREATE TABLE tidegate_ledger.lease (
    release text PRIMARY KEY,
    holder  text NOT NULL,
    epoch   bigint NOT NULL,
    until   timestamptz
);
CREATE TABLE tidegate_ledger.published (
    release  text PRIMARY KEY,
    document text NOT NULL
);
CREATE FUNCTION tidegate_ledger.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'ledger entries are append-only'; END $$;
CREATE TRIGGER entries_are_not_changed BEFORE UPDATE OR DELETE ON tidegate_ledger.entry
    FOR EACH ROW EXECUTE FUNCTION tidegate_ledger.refuse();
CREATE TRIGGER entries_are_not_removed BEFORE TRUNCATE ON tidegate_ledger.entry
    FOR EACH STATEMENT EXECUTE FUNCTION tidegate_ledger.refuse();
";

/// What stands in the database.
enum Found {
    /// Nothing.
    Nothing,
    /// A schema that somebody made for us and left empty.
    Empty,
    /// A ledger of this layout.
    Layout(i32),
    /// A schema of our name with something else in it.
    Foreign,
}

impl Found {
    fn may_be_made(&self) -> bool {
        match self {
            Self::Nothing | Self::Empty => true,
            Self::Layout(_) | Self::Foreign => false,
        }
    }
}

/// Opens the ledger or makes it; gives its identity.
pub(super) async fn open(server: &Server) -> Result<String, OpenError> {
    let opened = async {
        let mut session = server.session(Kind::Write).await?;
        let mut found = find(&mut session).await?;
        if found.may_be_made() {
            // Two daemons may begin at once: the transaction's lock lets one pass, and the other looks again.
            query("SELECT pg_advisory_xact_lock($1)").bind(CREATION_LOCK).execute(&mut *session).await?;
            found = find(&mut session).await?;
        }
        if found.may_be_made() {
            make(&mut session, &found).await?;
            found = Found::Layout(LAYOUT);
        }
        let identity = match found {
            Found::Layout(LAYOUT) => Some(identity(&mut session).await?),
            Found::Layout(_) | Found::Nothing | Found::Empty | Found::Foreign => None,
        };
        session.commit().await?;
        Ok((found, identity))
    };
    let opened = server.limited(Kind::Write, opened, || Fault::Unreachable).await;
    let (found, identity) = opened.map_err(|source| unusable(server, source))?;
    accept(server, &found)?;
    identity.ok_or_else(|| unusable(server, Fault::Malformed))
}

/// That there is a ledger which this version can read.
pub(super) async fn check(server: &Server) -> Result<(), OpenError> {
    let found = async {
        let mut session = server.session(Kind::Read).await?;
        let found = find(&mut session).await?;
        session.commit().await?;
        Ok(found)
    };
    let found = server.limited(Kind::Read, found, || Fault::Unreachable).await;
    accept(server, &found.map_err(|source| unusable(server, source))?)
}

fn accept(server: &Server, found: &Found) -> Result<(), OpenError> {
    let ledger = server.name.clone();
    match *found {
        Found::Layout(LAYOUT) => Ok(()),
        Found::Layout(..LAYOUT) | Found::Nothing | Found::Empty | Found::Foreign => {
            Err(OpenError::NotALedger { ledger })
        }
        Found::Layout(layout) => {
            Err(OpenError::Newer { ledger, found: i64::from(layout), known: i64::from(LAYOUT) })
        }
    }
}

fn unusable(server: &Server, source: Fault) -> OpenError {
    OpenError::Server { ledger: server.name.clone(), source }
}

async fn find(connection: &mut PgConnection) -> Result<Found, Fault> {
    // The catalog, and not names: what this role may not use has no name for it.
    let things: Option<i64> = scalar(
        "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid) \
              + (SELECT count(*) FROM pg_proc WHERE pronamespace = n.oid) \
         FROM pg_namespace n WHERE nspname = 'tidegate_ledger'",
    )
    .fetch_optional(&mut *connection)
    .await?;
    match things {
        None => return Ok(Found::Nothing),
        Some(0) => return Ok(Found::Empty),
        Some(_) => {}
    }
    let ours: bool = scalar(
        "SELECT count(*) = 3 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE nspname = 'tidegate_ledger' AND relname = 'about' \
         AND attname IN ('one', 'layout', 'identity') AND NOT attisdropped",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !ours {
        return Ok(Found::Foreign);
    }
    let layout: Option<i32> =
        scalar("SELECT layout FROM tidegate_ledger.about").fetch_optional(connection).await?;
    Ok(layout.map_or(Found::Foreign, Found::Layout))
}

async fn make(connection: &mut PgConnection, found: &Found) -> Result<(), Fault> {
    if let Found::Nothing = found {
        sqlx::raw_sql(SCHEMA).execute(&mut *connection).await?;
    }
    sqlx::raw_sql(TABLES).execute(&mut *connection).await?;
    query("INSERT INTO tidegate_ledger.about (layout, identity) VALUES ($1, $2)")
        .bind(LAYOUT)
        .bind(crate::lease::new_identity())
        .execute(connection)
        .await?;
    Ok(())
}

async fn identity(connection: &mut PgConnection) -> Result<String, Fault> {
    Ok(scalar("SELECT identity FROM tidegate_ledger.about").fetch_one(connection).await?)
}
