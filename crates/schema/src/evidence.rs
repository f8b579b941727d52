//! Who still names the old form, by the server's own statistics.
//!
//! Called for the `readers-gone` gate. `pg_stat_statements` keeps the normalised text and the number of calls of each
//! statement by user, database, statement and level. It needs to be preloaded, may be missing, may hide texts, forgets
//! entries when it is full and can be reset; each of these is evidence that is missing, never evidence of silence.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tidegate_model::schema::{ChangePlan, Evidence, EvidenceRead, Namer};

use crate::{
    catalog,
    connect::{Database, MARK},
    failure::Failure,
    readers::{HIDDEN_TEXT, Mention, Reader, on_parser_stack},
    sessions::printable,
    tree,
};

/// Most statements that are kept as namers: beyond it the evidence is no better, only longer.
const MOST_NAMERS: usize = 200;
/// Longest text of a statement that is fetched, in characters.
const LONGEST_TEXT: i32 = 300_000;

impl Database {
    /// Reads the statistics for what contract removes.
    ///
    /// # Errors
    ///
    /// Any [`Failure`] of the connection; what the statistics cannot tell is [`Evidence::Missing`].
    pub async fn evidence(&self, plan: &ChangePlan) -> Result<Evidence, Failure> {
        let mut transaction = self.read(self.limits.read).await?;
        let home = match probe(&mut transaction).await? {
            Ok(home) => home,
            Err(missing) => return Ok(Evidence::Missing(missing.to_owned())),
        };
        let dependents = catalog::dependents(&mut transaction, plan).await?;
        if let Some(trigger) = dependents.trigger {
            return Ok(Evidence::Missing(format!(
                "{trigger} runs a function that names what contract removes, whatever statement fires it"
            )));
        }
        let window = match window(&mut transaction, &home).await {
            Ok(window) => window,
            Err(Failure::Privilege) => return Ok(Evidence::Missing(UNREADABLE.to_owned())),
            // 55000: the view exists, and the library behind it is not loaded.
            Err(Failure::Sql(code)) if code.as_str() == "55000" => {
                return Ok(Evidence::Missing(NOT_LOADED.to_owned()));
            }
            Err(failure) => return Err(failure),
        };
        let statements = match statements(&mut transaction, &home).await {
            Ok(statements) => statements,
            Err(Failure::Privilege) => return Ok(Evidence::Missing(UNREADABLE.to_owned())),
            Err(failure) => return Err(failure),
        };
        transaction.rollback().await?;
        let (reader, readings) = (dependents.reader, Arc::clone(&self.readings));
        let read = move || {
            on_parser_stack(|| {
                // A poisoned lock only means that an earlier read stopped halfway: every entry is still right.
                let mut readings = readings.lock().unwrap_or_else(PoisonError::into_inner);
                namers(&mut readings, reader, statements)
            })
        };
        let namers = tokio::task::spawn_blocking(read).await.ok().flatten().ok_or(Failure::Malformed)?;
        let Some(namers) = namers else {
            return Ok(Evidence::Missing(format!(
                "more than {MOST_NAMERS} statements name what contract removes"
            )));
        };
        Ok(Evidence::Read(EvidenceRead { stats_reset: window.0, dealloc: window.1, namers }))
    }
}

const NOT_LOADED: &str =
    "pg_stat_statements is not loaded: add it to shared_preload_libraries and restart the server";
const UNREADABLE: &str =
    "the statement statistics may not be read: grant pg_read_all_stats to Tidegate's role";

/// Texts of statements, each with its role.
pub(crate) type Texts = Vec<(String, String)>;

/// The texts of top-level statements of this database that roles other than ours ran, or why they cannot be read.
pub(crate) async fn texts(connection: &mut PgConnection) -> Result<Result<Texts, String>, Failure> {
    let home = match probe(connection).await? {
        Ok(home) => home,
        Err(missing) => return Ok(Err(missing.to_owned())),
    };
    match statements(connection, &home).await {
        Ok(all) => {
            let top = all.into_iter().filter(|one| one.top_level);
            Ok(Ok(top.map(|one| (one.text, printable(&one.role, 63))).collect()))
        }
        Err(Failure::Privilege) => Ok(Err(UNREADABLE.to_owned())),
        // 55000: the view exists, and the library behind it is not loaded.
        Err(Failure::Sql(code)) if code.as_str() == "55000" => Ok(Err(NOT_LOADED.to_owned())),
        Err(failure) => Err(failure),
    }
}

/// Why the statistics cannot tell anything, if they cannot.
pub(crate) async fn missing(connection: &mut PgConnection) -> Result<Option<&'static str>, Failure> {
    Ok(probe(connection).await?.err())
}

/// The schema of the extension, or why the statistics cannot tell anything.
async fn probe(connection: &mut PgConnection) -> Result<Result<String, &'static str>, Failure> {
    let row = sqlx::query(
        "SELECT (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
                 WHERE e.extname = 'pg_stat_statements'), \
         current_setting('pg_stat_statements.track', true), \
         pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), \
         CASE WHEN current_setting('pg_stat_statements.track_utility', true) = 'off' THEN 'utility' \
              WHEN EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) AS one \
                           WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
                             AND one ~* '^pg_stat_statements\\.(track=none|track_utility=(off|false|no|0))$') THEN 'role' \
         END",
    )
    .fetch_one(connection)
    .await?;
    let (home, track, privileged): (Option<String>, Option<String>, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let untracked: Option<String> = row.try_get(3)?;
    Ok(match (home, track.as_deref(), privileged) {
        (None, _, _) => Err("pg_stat_statements is not installed in this database: CREATE EXTENSION it"),
        (Some(_), None, _) => Err(NOT_LOADED),
        (Some(_), Some("none"), _) => Err("pg_stat_statements.track is none: set it to top or all"),
        (Some(_), Some(_), false) => Err(UNREADABLE),
        (Some(home), Some(_), true) => match untracked.as_deref() {
            None => Ok(home),
            Some("utility") => {
                Err("pg_stat_statements.track_utility is off: set it to on, or a COPY is not counted")
            }
            Some(_) => Err(
                "a role or a database has pg_stat_statements.track or track_utility of its own, which turns it off",
            ),
        },
    })
}

async fn window(connection: &mut PgConnection, home: &str) -> Result<(Timestamp, i64), Failure> {
    let sql = format!(
        "SELECT (extract(epoch FROM stats_reset) * 1000000)::int8, dealloc FROM {}.pg_stat_statements_info",
        catalog::quoted(home)
    );
    let (reset, dealloc): (i64, i64) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(connection).await?;
    Ok((Timestamp::from_microsecond(reset).map_err(|_| Failure::Malformed)?, dealloc))
}

/// One row of the statistics.
struct Statement {
    key: String,
    top_level: bool,
    calls: i64,
    text: String,
    /// Whose it is; empty if the role is gone.
    role: String,
}

/// Statements of this database that roles other than ours ran.
async fn statements(connection: &mut PgConnection, home: &str) -> Result<Vec<Statement>, Failure> {
    let sql = format!(
        "SELECT userid::int8, dbid::int8, queryid, toplevel, calls, coalesce(left(query, {LONGEST_TEXT}), ''), \
         coalesce((SELECT rolname::text FROM pg_roles WHERE pg_roles.oid = userid), '') \
         FROM {}.pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND userid <> (SELECT oid FROM pg_roles WHERE rolname = current_user)",
        catalog::quoted(home)
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let (user, database): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let (query, top_level): (Option<i64>, bool) = (row.try_get(2)?, row.try_get(3)?);
            let query = query.map_or_else(|| "hidden".to_owned(), |id| id.to_string());
            Ok(Statement {
                key: format!("{user}/{database}/{query}/{top_level}"),
                top_level,
                calls: row.try_get(4)?,
                text: row.try_get(5)?,
                role: row.try_get(6)?,
            })
        })
        .collect()
}

/// What statements say, as long as neither the change nor the catalog is another: parsing thousands of them takes
/// seconds, and their texts hardly change between two reads.
#[derive(Default)]
pub(crate) struct Readings {
    reader: Option<Reader>,
    mentions: BTreeMap<(String, bool), Mention>,
}

impl Readings {
    /// Forgets everything if the question is another one now, and otherwise what was not among the last statements.
    fn prepare(&mut self, reader: Reader, statements: &[Statement]) {
        if self.reader.as_ref() == Some(&reader) {
            let now: BTreeSet<(&str, bool)> =
                statements.iter().map(|statement| (statement.text.as_str(), statement.top_level)).collect();
            self.mentions.retain(|(text, top_level), _| now.contains(&(text.as_str(), *top_level)));
        } else {
            *self = Self { reader: Some(reader), mentions: BTreeMap::new() };
        }
    }

    fn mention(&mut self, statement: &Statement) -> Mention {
        let key = (statement.text.clone(), statement.top_level);
        if let Some(known) = self.mentions.get(&key) {
            return known.clone();
        }
        let Some(reader) = &self.reader else { return Mention::Unreadable("nothing is asked for") };
        let mention = reader.mention(&statement.text, statement.top_level);
        self.mentions.insert(key, mention.clone());
        mention
    }
}

/// The statements that name the old form or may; `None` if there are too many to keep.
fn namers(
    readings: &mut Readings,
    reader: Reader,
    statements: Vec<Statement>,
) -> Option<BTreeMap<String, Namer>> {
    readings.prepare(reader, &statements);
    let mut namers: BTreeMap<String, Namer> = BTreeMap::new();
    for statement in statements {
        // Run by an earlier role of ours.
        if statement.text.trim_start().starts_with(MARK.trim_end()) {
            continue;
        }
        let how = match readings.mention(&statement) {
            Mention::DoesNot => continue,
            Mention::Names(how) | Mention::Unreadable(how) => how,
        };
        // Hidden statements of one role share a key: their calls add up.
        let namer = namers.entry(statement.key).or_insert_with(|| Namer {
            calls: 0,
            text: shown(&statement.text),
            role: printable(&statement.role, 63),
            how: how.to_owned(),
        });
        namer.calls = namer.calls.saturating_add(statement.calls);
        if namers.len() > MOST_NAMERS {
            return None;
        }
    }
    Some(namers)
}

/// A statement's text as it may be published: without constants, cut; empty if the server hides it.
pub fn shown(text: &str) -> String {
    if text.trim() == HIDDEN_TEXT { String::new() } else { printable(&tree::without_constants(text), 200) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::Catalog;
    use tidegate_model::schema::{Object, TableName};

    fn statement(text: &str) -> Statement {
        Statement {
            key: format!("1/1/{text}/true"),
            top_level: true,
            calls: 1,
            text: text.into(),
            role: "shop".into(),
        }
    }

    fn reader_of(column: &str) -> Reader {
        let table = TableName { schema: "public".into(), table: "customers".into() };
        Reader::new(&[Object::Column { table, column: column.into() }], Catalog::default())
    }

    #[test]
    fn what_was_read_for_another_question_is_not_reused() {
        let mut readings = Readings::default();
        let statements =
            || vec![statement("SELECT address FROM customers"), statement("SELECT id FROM customers")];
        let mut found = |column| {
            on_parser_stack(|| namers(&mut readings, reader_of(column), statements()))
                .unwrap()
                .unwrap()
                .into_keys()
                .collect()
        };
        let of_address: Vec<String> = found("address");
        assert_eq!(of_address, ["1/1/SELECT address FROM customers/true"]);
        assert_eq!(found("address"), of_address);
        assert_eq!(found("id"), ["1/1/SELECT id FROM customers/true"]);
    }

    #[test]
    fn a_statement_is_shown_without_its_constants() {
        let text = "SELECT address FROM customers WHERE email = 'hunter2' AND id = 5";
        let shown = on_parser_stack(|| shown(text)).unwrap();
        assert_eq!(shown, "SELECT address FROM customers WHERE email = ? AND id = ?");
    }

    #[test]
    fn more_statements_than_are_kept_are_no_evidence() {
        let found = |count: usize| {
            let statements =
                (0..count).map(|i| statement(&format!("SELECT address AS a{i} FROM customers"))).collect();
            let mut readings = Readings::default();
            on_parser_stack(|| namers(&mut readings, reader_of("address"), statements)).unwrap()
        };
        assert_eq!(found(MOST_NAMERS).map(|all| all.len()), Some(MOST_NAMERS));
        assert_eq!(found(MOST_NAMERS + 1), None);
    }

    #[test]
    fn what_is_no_longer_among_the_statements_is_forgotten() {
        let mut readings = Readings::default();
        let mut keep = |texts: &[&str]| {
            let statements = texts.iter().map(|text| statement(text)).collect();
            on_parser_stack(|| namers(&mut readings, reader_of("address"), statements)).unwrap();
            readings.mentions.len()
        };
        assert_eq!(keep(&["SELECT 1", "SELECT 2"]), 2);
        assert_eq!(keep(&["SELECT 2"]), 1);
    }

    #[test]
    fn a_marked_statement_is_our_own_and_hidden_ones_add_up() {
        let mut readings = Readings::default();
        let hidden = || Statement { key: "1/1/hidden/true".into(), ..statement("<insufficient privilege>") };
        let statements = vec![hidden(), statement("/* tidegate */ SELECT address FROM customers"), hidden()];
        let found =
            on_parser_stack(|| namers(&mut readings, reader_of("address"), statements)).unwrap().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found["1/1/hidden/true"].calls, found["1/1/hidden/true"].text.as_str()), (2, ""));
    }
}
