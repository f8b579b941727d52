//! Customers in PostgreSQL, in the statements of each version.
//!
//! Called by: the HTTP handlers. Must not: use `SELECT *` or an INSERT without a column list. Those break on an
//! added column, and they name every column, so contract would never find the old form without readers.

use sqlx::{
    PgPool, Row,
    postgres::{PgArguments, PgRow, Postgres},
    query::Query,
};

use crate::{
    Version,
    address::{Both, Structured},
    customer::{Address, Customer, Draft},
};

/// The statements of one version. `$1`.. are name, email, and the address as the version writes it; `update` takes
/// the id as its last parameter.
struct Statements {
    create: &'static str,
    read: &'static str,
    update: &'static str,
    list: &'static str,
}

const TEXT: Statements = Statements {
    create: "INSERT INTO customers (name, email, address) VALUES ($1, $2, $3) RETURNING id, name, email, address",
    read: "SELECT id, name, email, address FROM customers WHERE id = $1",
    update: "UPDATE customers SET name = $1, email = $2, address = $3 WHERE id = $4 \
             RETURNING id, name, email, address",
    list: "SELECT id, name, email, address FROM customers ORDER BY id DESC LIMIT $1",
};

const BOTH: Statements = Statements {
    create: "INSERT INTO customers (name, email, address, street_address, city, state, zip_code) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             RETURNING id, name, email, address, street_address, city, state, zip_code",
    read: "SELECT id, name, email, address, street_address, city, state, zip_code FROM customers WHERE id = $1",
    update: "UPDATE customers SET name = $1, email = $2, address = $3, street_address = $4, city = $5, \
             state = $6, zip_code = $7 WHERE id = $8 \
             RETURNING id, name, email, address, street_address, city, state, zip_code",
    list: "SELECT id, name, email, address, street_address, city, state, zip_code \
           FROM customers ORDER BY id DESC LIMIT $1",
};

const STRUCTURED: Statements = Statements {
    create: "INSERT INTO customers (name, email, street_address, city, state, zip_code) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING id, name, email, street_address, city, state, zip_code",
    read: "SELECT id, name, email, street_address, city, state, zip_code FROM customers WHERE id = $1",
    update: "UPDATE customers SET name = $1, email = $2, street_address = $3, city = $4, state = $5, zip_code = $6 \
             WHERE id = $7 RETURNING id, name, email, street_address, city, state, zip_code",
    list: "SELECT id, name, email, street_address, city, state, zip_code \
           FROM customers ORDER BY id DESC LIMIT $1",
};

const DELETE: &str = "DELETE FROM customers WHERE id = $1";

/// The customers table as one version of the shop knows it.
#[derive(Clone)]
pub(crate) struct Store {
    pool: PgPool,
    version: Version,
}

impl Store {
    /// A store on a pool.
    pub(crate) fn new(pool: PgPool, version: Version) -> Self {
        Self { pool, version }
    }

    /// The version whose statements it sends.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// One round trip to the database.
    pub(crate) async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(|_| ())
    }

    /// Inserts a customer and returns it as it was stored.
    pub(crate) async fn create(&self, draft: &Draft) -> Result<Customer, sqlx::Error> {
        let query = bind(sqlx::query(self.statements().create), draft);
        self.customer(&query.fetch_one(&self.pool).await?)
    }

    /// Reads a customer.
    pub(crate) async fn read(&self, id: i64) -> Result<Option<Customer>, sqlx::Error> {
        let row = sqlx::query(self.statements().read).bind(id).fetch_optional(&self.pool).await?;
        row.map(|row| self.customer(&row)).transpose()
    }

    /// Replaces a customer and returns it as it was stored.
    pub(crate) async fn update(&self, id: i64, draft: &Draft) -> Result<Option<Customer>, sqlx::Error> {
        let query = bind(sqlx::query(self.statements().update), draft).bind(id);
        let row = query.fetch_optional(&self.pool).await?;
        row.map(|row| self.customer(&row)).transpose()
    }

    /// Deletes a customer; false if there was none.
    pub(crate) async fn delete(&self, id: i64) -> Result<bool, sqlx::Error> {
        Ok(sqlx::query(DELETE).bind(id).execute(&self.pool).await?.rows_affected() > 0)
    }

    /// The newest customers, at most `limit`.
    pub(crate) async fn list(&self, limit: i64) -> Result<Vec<Customer>, sqlx::Error> {
        let rows = sqlx::query(self.statements().list).bind(limit).fetch_all(&self.pool).await?;
        rows.iter().map(|row| self.customer(row)).collect()
    }

    fn statements(&self) -> &'static Statements {
        match self.version {
            Version::V1 => &TEXT,
            Version::V2 => &BOTH,
            Version::V3 | Version::V4 => &STRUCTURED,
        }
    }

    fn customer(&self, row: &PgRow) -> Result<Customer, sqlx::Error> {
        let address = match self.version {
            Version::V1 => Address::Text(row.try_get("address")?),
            Version::V2 => {
                Address::Both(Both { text: row.try_get("address")?, structured: structured(row)? })
            }
            Version::V3 | Version::V4 => Address::Structured(structured(row)?),
        };
        Ok(Customer {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            address,
        })
    }
}

fn structured(row: &PgRow) -> Result<Structured, sqlx::Error> {
    Ok(Structured {
        street_address: row.try_get("street_address")?,
        city: row.try_get("city")?,
        state: row.try_get("state")?,
        zip_code: row.try_get("zip_code")?,
    })
}

type PgQuery = Query<'static, Postgres, PgArguments>;

fn bind(query: PgQuery, draft: &Draft) -> PgQuery {
    let query = query.bind(&draft.name).bind(&draft.email);
    match &draft.address {
        Address::Text(text) => query.bind(text),
        Address::Both(both) => bind_structured(query.bind(&both.text), &both.structured),
        Address::Structured(structured) => bind_structured(query, structured),
    }
}

fn bind_structured(query: PgQuery, structured: &Structured) -> PgQuery {
    let Structured { street_address, city, state, zip_code } = structured;
    query.bind(street_address).bind(city).bind(state).bind(zip_code)
}
