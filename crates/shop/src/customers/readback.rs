//! Reading acknowledged writes back from a database: a restored copy, or the live one.
//!
//! Called by: the demo and tests, at the end. Must not: go through the shop, whose word is what is checked.

use std::{collections::BTreeMap, time::SystemTime};

use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::{
    content::Content,
    memory::{Writes, acceptable},
};
use crate::address::Structured;

/// Differences that are listed one by one; the rest are only counted.
const LISTED: usize = 20;

const READ_BOTH: &str = "SELECT id, name, email, address, street_address, city, state, zip_code FROM customers WHERE id = ANY($1)";
const READ_NEW: &str =
    "SELECT id, name, email, street_address, city, state, zip_code FROM customers WHERE id = ANY($1)";

/// In which forms the database has addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    /// From expand to contract: both are there, and both must be right.
    Both,
    /// After contract: only the columns. Text without a structured form is gone.
    New,
}

/// What reading back found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Customers looked for.
    pub checked: usize,
    /// Customers that were not there, or not as acknowledged.
    pub wrong: usize,
    /// The first of those.
    pub first_wrong: Vec<WrongRow>,
}

/// A customer that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongRow {
    /// Its key.
    pub id: i64,
    /// How.
    pub how: Wrong,
}

/// How an acknowledged customer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The row is not there.
    Missing,
    /// The row is not what was acknowledged, in at least one form.
    Differs,
}

struct Found {
    id: i64,
    name: String,
    email: Option<String>,
    /// `None` where the database has no text form.
    text: Option<Option<String>>,
    structured: Structured,
}

impl Writes {
    /// Looks for every customer with a write acknowledged by `until` in a database that must hold at least those.
    /// For a restored copy, `until` is when the copy began; for the live database, now. In both forms the query
    /// names `address`: on a live database whose contract waits for its readers to go, that makes one.
    pub async fn read_back(
        &self,
        db: &mut PgConnection,
        forms: Forms,
        until: SystemTime,
    ) -> Result<ReadBack, sqlx::Error> {
        let ids = self.due(until);
        let rows = rows(db, forms, &ids).await?;
        Ok(self.compare(&ids, &rows, until))
    }

    /// The customers with a write acknowledged by then.
    pub(super) fn due(&self, until: SystemTime) -> Vec<i64> {
        let due = |writes: &&Vec<_>| acceptable(writes, Some(until)).next().is_some();
        self.0.iter().filter(|(_, writes)| due(writes)).map(|(id, _)| *id).collect()
    }

    pub(super) fn compare(&self, ids: &[i64], rows: &Rows, until: SystemTime) -> ReadBack {
        let mut result = ReadBack { checked: ids.len(), ..ReadBack::default() };
        for id in ids {
            let mut contents = acceptable(&self.0[id], Some(until));
            let how = match rows.0.get(id) {
                None => Wrong::Missing,
                Some(found) if contents.any(|content| found.shows(content)) => continue,
                Some(_) => Wrong::Differs,
            };
            result.wrong += 1;
            if result.first_wrong.len() < LISTED {
                result.first_wrong.push(WrongRow { id: *id, how });
            }
        }
        result
    }
}

/// Rows by key.
pub(super) struct Rows(BTreeMap<i64, Found>);

pub(super) async fn rows(db: &mut PgConnection, forms: Forms, ids: &[i64]) -> Result<Rows, sqlx::Error> {
    let statement = match forms {
        Forms::Both => READ_BOTH,
        Forms::New => READ_NEW,
    };
    let rows: Vec<Found> = sqlx::query_as(statement).bind(ids).fetch_all(db).await?;
    Ok(Rows(rows.into_iter().map(|found| (found.id, found)).collect()))
}

impl Found {
    fn shows(&self, content: &Content) -> bool {
        let Self { id: _, name, email, text, structured } = self;
        *name == content.name
            && *email == content.email
            && *structured == content.address.structured()
            && text.as_ref().is_none_or(|text| *text == content.address.text())
    }
}

impl FromRow<'_, PgRow> for Found {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let text = match row.try_get("address") {
            Ok(text) => Some(text),
            Err(sqlx::Error::ColumnNotFound(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            text,
            structured: Structured {
                street_address: row.try_get("street_address")?,
                city: row.try_get("city")?,
                state: row.try_get("state")?,
                zip_code: row.try_get("zip_code")?,
            },
        })
    }
}
