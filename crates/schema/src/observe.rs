//! What the planner needs to know about a change in its database, read in one go.
//!
//! Called once a pass for each release with an open or wanted change. Every fact is read or is unknown with a reason;
//! nothing is guessed from another fact, and nothing here changes the database.

use sqlx::{AssertSqlSafe, Column, PgConnection, Row, postgres::PgRow};
use tidegate_model::{
    Fact, ReleaseName, Why,
    schema::{
        Access, ChangePlan, CheckReading, CheckScope, FilePhase, Journal, MigrationFile, Object, OpenChange,
        Preflight, Pressure, SchemaObservation, TableName,
    },
};

use crate::{
    catalog,
    connect::{Database, MARK},
    failure::Failure,
    journal::{self, Key},
    preflight, pressure,
    sync::generate::sampled,
};

/// Oldest server that is supported: `pg_stat_statements_info` and `toplevel` came with it.
const OLDEST_SERVER: i32 = 140_000;

/// Reads that cost something: asked for only where the release's stage needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Who is in the way of DDL, and what speaks against a backfill.
    pub blockers: bool,
    /// The check files.
    pub check: Option<CheckScope>,
    /// The statement statistics.
    pub evidence: bool,
    /// The rollback certificate.
    pub certificate: bool,
}

impl Database {
    /// Reads everything about a change that was asked for.
    pub async fn observe(
        &self,
        release: &ReleaseName,
        plan: &ChangePlan,
        wanted: Wanted,
    ) -> SchemaObservation {
        let mut seen = match self.observe_catalog(release, plan).await {
            Ok(seen) => seen,
            Err(failure) => return unknown(&failure),
        };
        if wanted.blockers {
            seen.blockers = fact(self.blockers(plan).await);
            seen.pressure = fact(self.pressure(plan).await);
            seen.preflight = fact(self.known_before(plan).await);
        }
        if let Some(scope) = wanted.check {
            seen.check = self.observe_check(plan, scope, &seen).await;
        }
        if wanted.evidence {
            seen.evidence = fact(self.evidence(plan).await);
            seen.dependencies = fact(self.dependencies(plan).await);
        }
        if wanted.certificate {
            seen.certificate = fact(self.certificate(plan).await);
        }
        seen
    }

    /// Whether the server and the role are fit for a change.
    ///
    /// # Errors
    ///
    /// Any [`Failure`] that says nothing about the access.
    pub async fn preflight(&self, plan: &ChangePlan) -> Result<Access, Failure> {
        let read = async {
            let mut transaction = self.read(self.limits.read).await?;
            access(&mut transaction, plan).await
        };
        match read.await {
            Ok(access) => Ok(access),
            Err(failure) => failure.access().ok_or(failure),
        }
    }

    /// Why the server's log would not show whom it refuses, if it would not; see [`crate::server_log`].
    ///
    /// # Errors
    ///
    /// Any [`Failure`].
    pub async fn log_problem(&self) -> Result<Option<&'static str>, Failure> {
        let mut transaction = self.read(self.limits.read).await?;
        // Nobody refuses a superuser, and RDS gives its own administrators settings of their own, which nobody may change.
        let query = sqlx::query_scalar(
            "WITH own AS ( \
                 SELECT one FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS one \
                 WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
                   AND NOT coalesce(r.rolsuper OR r.rolname IN ('rdsadmin', 'rdstopmgr', 'rdsrepladmin'), false)) \
             SELECT CASE \
                 WHEN current_setting('log_min_messages') IN ('log', 'fatal', 'panic') THEN 'log_min_messages' \
                 WHEN current_setting('lc_messages') !~* '^(|c|posix|c\\..*|en.*)$' THEN 'lc_messages' \
                 WHEN EXISTS (SELECT FROM own WHERE one ~* '^log_min_messages=(log|fatal|panic)$') THEN 'role' \
                 WHEN EXISTS (SELECT FROM own WHERE one ~* '^lc_messages=' \
                              AND one !~* '^lc_messages=(|c|posix|c\\..*|en.*)$') THEN 'role' \
             END",
        );
        let found: Option<String> = query.fetch_one(&mut *transaction).await?;
        Ok(found.map(|found| match found.as_str() {
            "log_min_messages" => "log_min_messages keeps refused statements out of it",
            "lc_messages" => "lc_messages is not English",
            _ => "a role or a database has log_min_messages or lc_messages of its own",
        }))
    }

    async fn known_before(&self, plan: &ChangePlan) -> Result<Preflight, Failure> {
        let mut transaction = self.read(self.limits.read).await?;
        preflight::read(&mut transaction, plan).await
    }

    async fn pressure(&self, plan: &ChangePlan) -> Result<Vec<Pressure>, Failure> {
        let mut transaction = self.read(self.limits.read).await?;
        pressure::read(&mut transaction, plan, &self.checkpoints).await
    }

    /// Runs the check files over every row and adds up what they count.
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; [`Failure::Malformed`] if a check does not return one row of numbers that are not negative.
    pub async fn check(&self, plan: &ChangePlan) -> Result<CheckReading, Failure> {
        self.check_scope(plan, CheckScope::Whole).await
    }

    /// The same, or over a sample where that is possible and worth it.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub async fn check_scope(&self, plan: &ChangePlan, scope: CheckScope) -> Result<CheckReading, Failure> {
        let mut transaction = self.read(self.limits.check).await?;
        let mut reading = CheckReading::default();
        for file in plan.files(FilePhase::Check) {
            let sample = match scope {
                CheckScope::Sample => sample_of(&mut transaction, plan, file).await?,
                CheckScope::Whole => None,
            };
            reading = reading.plus(match sample {
                Some((text, percent)) => read_sample(&mut transaction, &text, percent).await?,
                None => read_check(&mut transaction, file).await?,
            });
        }
        Ok(reading)
    }

    async fn observe_catalog(
        &self,
        release: &ReleaseName,
        plan: &ChangePlan,
    ) -> Result<SchemaObservation, Failure> {
        let mut transaction = self.read(self.limits.read).await?;
        let access = access(&mut transaction, plan).await?;
        let key = Key { release, change: &plan.change };
        let (journal, other_open) = match journal::exists(&mut transaction).await {
            Ok(true) => journal_facts(&mut transaction, key).await?,
            Ok(false) => (Fact::Absent, Fact::Known(Vec::new())),
            Err(Failure::Privilege) => return Err(Failure::Privilege),
            Err(failure) => (Fact::Unknown(failure.why()), Fact::Unknown(failure.why())),
        };
        let all: Vec<&Object> = plan.adds.iter().chain(&plan.removes).collect();
        let objects = catalog::objects(&mut transaction, all).await?;
        let max_connections = max_connections(&mut transaction).await?;
        Ok(SchemaObservation {
            access: Fact::Known(access),
            journal,
            other_open,
            objects: Fact::Known(objects),
            max_connections: Fact::Known(max_connections),
            blockers: Fact::Unknown(Why::NotAsked),
            pressure: Fact::Unknown(Why::NotAsked),
            preflight: Fact::Unknown(Why::NotAsked),
            check: Fact::Unknown(Why::NotAsked),
            evidence: Fact::Unknown(Why::NotAsked),
            certificate: Fact::Unknown(Why::NotAsked),
            dependencies: Fact::Unknown(Why::NotAsked),
            log: Fact::Unknown(Why::NotAsked),
            failures: Fact::Unknown(Why::NotAsked),
        })
    }

    /// The check files use what expand added, so they are only asked while that exists.
    async fn observe_check(
        &self,
        plan: &ChangePlan,
        scope: CheckScope,
        seen: &SchemaObservation,
    ) -> Fact<CheckReading> {
        let there = |objects: &std::collections::BTreeMap<Object, bool>| {
            plan.adds.iter().chain(&plan.removes).all(|object| objects.get(object) == Some(&true))
        };
        match seen.objects.known() {
            Some(objects) if there(objects) => fact(self.check_scope(plan, scope).await),
            Some(_) => Fact::Absent,
            None => Fact::Unknown(Why::NotAsked),
        }
    }
}

/// Source: the server's own setting; what it reserves for superusers is in it.
async fn max_connections(connection: &mut PgConnection) -> Result<u32, Failure> {
    let read = sqlx::query_scalar("SELECT current_setting('max_connections')::int4");
    let most: i32 = read.fetch_one(connection).await?;
    u32::try_from(most).map_err(|_| Failure::Malformed)
}

/// About how many rows a sample has.
const SAMPLE: f64 = 50_000.0;

/// The text and the percentage for a sample of a generated check's table, if that is much larger than a sample.
async fn sample_of(
    connection: &mut PgConnection,
    plan: &ChangePlan,
    check: &MigrationFile,
) -> Result<Option<(String, f64)>, Failure> {
    let of_same_sync = |file: &&MigrationFile| file.version == check.version && file.sync.is_some();
    let sync = plan.files.iter().find(of_same_sync).and_then(|file| file.sync.as_ref());
    let (Some(sync), Some(text)) = (sync, sampled(&check.text)) else { return Ok(None) };
    let rows: Option<f64> = sqlx::query_scalar(
        "SELECT c.reltuples::float8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2",
    )
    .bind(&sync.table.schema)
    .bind(&sync.table.table)
    .fetch_optional(connection)
    .await?;
    // Negative where the table was never analysed: then every row is read.
    Ok(rows.filter(|rows| *rows > 2.0 * SAMPLE).map(|rows| (text, 100.0 * SAMPLE / rows)))
}

async fn read_sample(
    connection: &mut PgConnection,
    text: &str,
    percent: f64,
) -> Result<CheckReading, Failure> {
    let query = sqlx::query(AssertSqlSafe(format!("{MARK}{text}"))).bind(percent);
    let reading = reading_of(&query.fetch_all(connection).await?)?;
    Ok(CheckReading { sampled: true, ..reading })
}

/// Runs one check file.
pub(crate) async fn read_check(
    connection: &mut PgConnection,
    file: &MigrationFile,
) -> Result<CheckReading, Failure> {
    let query = sqlx::query(AssertSqlSafe(format!("{MARK}{}", file.text)));
    reading_of(&query.fetch_all(connection).await?)
}

fn reading_of(rows: &[PgRow]) -> Result<CheckReading, Failure> {
    let [row] = rows else { return Err(Failure::Malformed) };
    let alone = row.columns().len() == 1;
    let mut reading = CheckReading::default();
    for column in row.columns() {
        let number: Option<i64> = row.try_get(column.ordinal())?;
        let count = number.and_then(|number| u64::try_from(number).ok());
        match (column.name(), count) {
            // Keys may be of either sign, and there is none where nothing is counted.
            ("first_disagreeing", _) => reading.first_disagreeing = number,
            ("first_unmapped", _) => reading.first_unmapped = number,
            ("first_unmapped_back", _) => reading.first_unmapped_back = number,
            ("unmapped", Some(count)) => reading.unmapped = count,
            ("unmapped_back", Some(count)) => reading.unmapped_back = count,
            ("conflicts", Some(count)) => reading.conflicts = count,
            // A team may call the one number of its check as it likes.
            (name, Some(count)) if alone || name == "disagreeing" => reading.disagreeing = count,
            _ => return Err(Failure::Malformed),
        }
    }
    Ok(reading)
}

async fn journal_facts(
    connection: &mut PgConnection,
    key: Key<'_>,
) -> Result<(Fact<Journal>, Fact<Vec<OpenChange>>), Failure> {
    let journal = match journal::read(connection, key).await {
        Ok(Some(journal)) => Fact::Known(journal),
        Ok(None) => Fact::Absent,
        Err(Failure::Malformed) => Fact::Unknown(Why::Malformed),
        Err(failure) => return Err(failure),
    };
    let ours = OpenChange { release: key.release.clone(), change: key.change.clone() };
    let others = match journal::open_changes(connection).await {
        Ok(open) => Fact::Known(open.into_iter().filter(|change| *change != ours).collect()),
        Err(Failure::Malformed) => Fact::Unknown(Why::Malformed),
        Err(failure) => return Err(failure),
    };
    Ok((journal, others))
}

/// The server's version, and what the role may do: create our schema or use the one that is there, and alter the
/// change's tables, for which PostgreSQL wants their owner's rights.
async fn access(connection: &mut PgConnection, plan: &ChangePlan) -> Result<Access, Failure> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int4, \
         has_database_privilege(current_database(), 'CREATE') \
         OR coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'tidegate'), false)",
    )
    .fetch_one(&mut *connection)
    .await?;
    let (version, journals): (i32, bool) = (row.try_get(0)?, row.try_get(1)?);
    if version < OLDEST_SERVER {
        return Ok(Access::TooOld);
    }
    let backfilled = plan.files.iter().filter_map(|file| file.backfill.as_ref().map(|plan| &plan.table));
    let tables: Vec<TableName> = catalog::tables(plan).into_iter().chain(backfilled.cloned()).collect();
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.table.as_str()).collect();
    let owns: bool = sqlx::query_scalar(
        "SELECT coalesce(bool_and(pg_has_role(c.relowner, 'USAGE')), true) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
    )
    .bind(&schemas)
    .bind(&names)
    .fetch_one(&mut *connection)
    .await?;
    let homes: Vec<&str> = plan.adds.iter().filter_map(home).collect();
    let creates: bool = sqlx::query_scalar(
        "SELECT coalesce(bool_and(has_schema_privilege(oid, 'CREATE')), true) FROM pg_namespace \
         WHERE nspname::text = ANY($1)",
    )
    .bind(&homes)
    .fetch_one(connection)
    .await?;
    Ok(if journals && owns && creates { Access::Granted } else { Access::Denied })
}

/// The schema in which an object is created, where that needs a privilege of its own.
fn home(object: &Object) -> Option<&str> {
    match object {
        Object::Function { schema, .. } | Object::Index { schema, .. } => Some(schema),
        Object::Table(table) => Some(&table.schema),
        Object::Column { .. } | Object::Trigger { .. } => None,
    }
}

fn fact<T>(read: Result<T, Failure>) -> Fact<T> {
    match read {
        Ok(value) => Fact::Known(value),
        Err(failure) => Fact::Unknown(failure.why()),
    }
}

/// Nothing could be read; only the access may be known by the way in which that failed.
fn unknown(failure: &Failure) -> SchemaObservation {
    let why = failure.why();
    SchemaObservation::unread(failure.access().map_or(Fact::Unknown(why), Fact::Known), why)
}
