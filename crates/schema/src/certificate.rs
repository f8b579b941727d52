//! The rollback certificate: what speaks for going back to a revision from before the change, and what against.
//!
//! Called while such a revision is warm. Every statement that the statistics have of other roles and that names a table of the
//! change was carried out at some time; here it is prepared against the schema as it is now, which parses and describes it
//! and runs nothing. A statement that became ambiguous is broken by the change. One that answers columns which it does
//! not name (`SELECT *`) is no proof either way, and so is text that the server normalised into something that cannot be
//! prepared (`interval $1`). What a function's body does is not seen here, nor a row that is taken as one value (`to_jsonb(c)`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use sqlx::{
    AssertSqlSafe, Executor as _, PgConnection, Row as _, SqlSafeStr as _, Statement as _, postgres::PgColumn,
};
use tidegate_model::schema::{ChangePlan, Finding, Object, RollbackCertificate};

use crate::{
    catalog,
    connect::{Database, MARK},
    evidence::{self, shown},
    failure::{Failure, SqlState},
    readers::{HIDDEN_TEXT, words},
};

/// Most statements that are prepared in one transaction: it holds the locks of all of them.
const IN_ONE_TRANSACTION: usize = 100;
/// Most findings of a kind that are told; the counts are of all.
const MOST_TOLD: usize = 20;

/// SQLSTATE 42702: a name without its table means two columns now.
const AMBIGUOUS: &str = "42702";

impl Database {
    /// Prepares what the statistics have against the present schema.
    ///
    /// # Errors
    ///
    /// Any [`Failure`] of the connection; statistics that cannot tell are in the certificate.
    pub async fn certificate(&self, plan: &ChangePlan) -> Result<RollbackCertificate, Failure> {
        let mut transaction = self.read(self.limits.read).await?;
        let texts = match evidence::texts(&mut transaction).await? {
            Ok(texts) => texts,
            Err(missing) => {
                return Ok(RollbackCertificate { missing: Some(missing), ..RollbackCertificate::default() });
            }
        };
        let schema = Schema::read(&mut transaction, plan).await?;
        transaction.rollback().await?;
        let (mut relevant, mut roles) = (BTreeSet::new(), BTreeSet::new());
        for (text, role) in texts.into_iter().filter(|(text, _)| schema.concerns(text)) {
            relevant.insert(text);
            roles.insert(role);
        }
        let outcomes = self.prepared(&schema, &relevant).await?;
        Ok(RollbackCertificate { roles: roles.into_iter().collect(), ..certified(&outcomes) })
    }

    /// What became of each statement, prepared anew only if the catalog is another one than last time.
    async fn prepared(
        &self,
        schema: &Schema,
        texts: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Outcome>, Failure> {
        // A poisoned lock only means that an earlier read stopped halfway: every entry is still right.
        let known = {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            prepared.forget_unless(schema, texts);
            prepared.outcomes.clone()
        };
        let mut outcomes = known;
        let missing: Vec<&String> = texts.iter().filter(|text| !outcomes.contains_key(*text)).collect();
        for some in missing.chunks(IN_ONE_TRANSACTION) {
            let mut transaction = self.read(self.limits.read).await?;
            for text in some {
                let outcome = prepare(&mut transaction, schema, text).await?;
                outcomes.insert((*text).clone(), outcome);
            }
            sqlx::raw_sql("DEALLOCATE ALL").execute(&mut *transaction).await?;
            transaction.rollback().await?;
        }
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).outcomes.clone_from(&outcomes);
        Ok(outcomes)
    }
}

/// What is remembered of statements that were prepared.
#[derive(Default)]
pub(crate) struct Prepared {
    fingerprint: String,
    outcomes: BTreeMap<String, Outcome>,
}

impl Prepared {
    fn forget_unless(&mut self, schema: &Schema, texts: &BTreeSet<String>) {
        if self.fingerprint == schema.fingerprint {
            self.outcomes.retain(|text, _| texts.contains(text));
        } else {
            *self = Self { fingerprint: schema.fingerprint.clone(), outcomes: BTreeMap::new() };
        }
    }
}

/// What became of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Proven,
    Unproven(String),
    Broken(String),
}

/// The present schema as far as the change is concerned.
struct Schema {
    /// Changes whenever a table or a column of the users' does.
    fingerprint: String,
    /// Names of the change's tables.
    tables: BTreeSet<String>,
    /// Columns that the change adds: table and number in the catalog, and name.
    added: BTreeMap<(u32, i16), String>,
}

impl Schema {
    async fn read(connection: &mut PgConnection, plan: &ChangePlan) -> Result<Self, Failure> {
        let fingerprint: String = sqlx::query_scalar(
            "SELECT md5(coalesce(string_agg(concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.attisdropped), ',' \
                                            ORDER BY a.attrelid, a.attnum), '')) \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attrelid >= 16384 AND a.attnum > 0 \
             AND c.relkind IN ('r', 'p', 'f', 'v', 'm')",
        )
        .fetch_one(&mut *connection)
        .await?;
        let mut added = BTreeMap::new();
        for object in &plan.adds {
            let Object::Column { table, column } = object else { continue };
            let row = sqlx::query(
                "SELECT a.attrelid::int8, a.attnum FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                 JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND NOT a.attisdropped",
            )
            .bind(&table.schema)
            .bind(&table.table)
            .bind(column)
            .fetch_optional(&mut *connection)
            .await?;
            if let Some(row) = row {
                let relation = u32::try_from(row.try_get::<i64, _>(0)?).map_err(|_| Failure::Malformed)?;
                added.insert((relation, row.try_get(1)?), column.clone());
            }
        }
        let tables = catalog::tables(plan).into_iter().map(|table| table.table.to_lowercase()).collect();
        Ok(Self { fingerprint, tables, added })
    }

    /// Rows of the change's tables can only be reached by naming one of them, or through views and functions, whose
    /// definitions the catalog keeps true or nobody can.
    fn concerns(&self, text: &str) -> bool {
        let hidden = text.trim() == HIDDEN_TEXT;
        let ours = text.trim_start().starts_with(MARK.trim_end());
        !ours && (hidden || (reads_or_writes(text) && !words(text).is_disjoint(&self.tables)))
    }

    /// A new column that a statement answers without naming it.
    fn unasked<'a>(&'a self, text: &str, columns: &[PgColumn]) -> Option<&'a str> {
        let named = words(text);
        columns
            .iter()
            .filter_map(|column| Some((column.relation_id()?.0, column.relation_attribute_no()?)))
            .filter_map(|origin| self.added.get(&origin))
            .find(|added| !named.contains(&added.to_lowercase()))
            .map(String::as_str)
    }

    /// True if a statement names a column that the change adds: only then can it have become ambiguous by it.
    fn names_added(&self, text: &str) -> bool {
        let named = words(text);
        self.added.values().any(|added| named.contains(&added.to_lowercase()))
    }
}

/// The statements that can be prepared and described. Others are no use of rows, or come with no result of their own.
pub fn reads_or_writes(text: &str) -> bool {
    let first = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    let word: String = first.chars().take_while(char::is_ascii_alphabetic).collect();
    ["select", "with", "insert", "update", "delete", "merge", "values", "table"]
        .contains(&word.to_lowercase().as_str())
}

async fn prepare(connection: &mut PgConnection, schema: &Schema, text: &str) -> Result<Outcome, Failure> {
    if text.trim() == HIDDEN_TEXT {
        return Ok(Outcome::Unproven("its text may not be read: grant pg_read_all_stats".to_owned()));
    }
    sqlx::raw_sql("SAVEPOINT one").execute(&mut *connection).await?;
    let prepared = (&mut *connection).prepare(AssertSqlSafe(text.to_owned()).into_sql_str()).await;
    let outcome = match prepared {
        Ok(statement) => match schema.unasked(text, statement.columns()) {
            Some(column) => Outcome::Unproven(format!(
                "it answers the new column {column} without naming it, and fails once where it was prepared before (0A000)"
            )),
            None => Outcome::Proven,
        },
        Err(sqlx::Error::Database(error)) => {
            let code = error.code().unwrap_or_default().into_owned();
            match code.as_str() {
                AMBIGUOUS if schema.names_added(text) => {
                    Outcome::Broken("a column of another table now has the same name".to_owned())
                }
                // Who waits for a lock, or is shut down, says nothing about the statement.
                "55P03" | "57014" | "57P01" | "40P01" => return Err(sqlx::Error::Database(error).into()),
                code => Outcome::Unproven(match SqlState::new(code) {
                    Some(state) => {
                        format!("the server cannot prepare its normalised text (SQLSTATE {state})")
                    }
                    None => "the server cannot prepare its normalised text".to_owned(),
                }),
            }
        }
        Err(error) => return Err(error.into()),
    };
    sqlx::raw_sql("ROLLBACK TO one").execute(connection).await?;
    Ok(outcome)
}

fn certified(outcomes: &BTreeMap<String, Outcome>) -> RollbackCertificate {
    let mut certificate = RollbackCertificate::default();
    for (text, outcome) in outcomes {
        certificate.statements += 1;
        let finding = |why: &String| Finding { text: shown(text), why: why.clone() };
        match outcome {
            Outcome::Proven => certificate.proven += 1,
            Outcome::Unproven(why) if certificate.unproven.len() < MOST_TOLD => {
                certificate.unproven.push(finding(why));
            }
            Outcome::Unproven(_) => {}
            Outcome::Broken(why) => {
                certificate.broken_count += 1;
                if certificate.broken.len() < MOST_TOLD {
                    certificate.broken.push(finding(why));
                }
            }
        }
    }
    certificate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_that_use_rows_of_the_change_s_tables_are_asked_about() {
        let schema = Schema {
            fingerprint: String::new(),
            tables: BTreeSet::from(["customers".to_owned()]),
            added: BTreeMap::new(),
        };
        for (text, concerns) in [
            ("SELECT name FROM customers", true),
            ("  (select 1 from Public.Customers)", true),
            ("WITH x AS (SELECT 1) DELETE FROM customers", true),
            ("SELECT name FROM suppliers", false),
            ("SELECT name FROM customers_old", false),
            ("TRUNCATE customers", false),
            ("/* tidegate */ SELECT name FROM customers", false),
            (HIDDEN_TEXT, true),
        ] {
            assert_eq!(schema.concerns(text), concerns, "{text}");
        }
    }
}
