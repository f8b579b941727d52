//! The story's database as a model: the shop's two tables, its roles, and the three versions of the shop with their statements.
//!
//! Used by tests and by the simulation's own story. The statements are the shop's; a test holds what is said of them against
//! the schema crate's reader.

use std::collections::BTreeMap;

use tidegate_model::schema::TableName;

use super::{
    catalog::Table,
    model::Model,
    roles::{Power, Role},
    rows::{Row, Write},
    state::{Settings, Setup},
    traffic::{Does, Names, Statement, Version},
};

/// The database's name.
pub const DATABASE: &str = "ecommerce";
/// Tidegate's role.
pub const OURS: &str = "tidegate";
/// The shop's role.
pub const SHOP: &str = "shop";

/// The table whose address gets a structure.
pub fn customers() -> TableName {
    TableName { schema: "public".into(), table: "customers".into() }
}

/// The table that has an address of its own.
pub fn suppliers() -> TableName {
    TableName { schema: "public".into(), table: "suppliers".into() }
}

/// The story's database with these customers; passwords of Tidegate's role and the shop's.
pub fn setup(rows: impl IntoIterator<Item = (i64, Row)>, (ours, shop): (&str, &str)) -> Setup {
    let role = |password: &str, power| Role { password: password.to_owned(), power };
    let customer = Table::new(SHOP, Some("id"), &["name", "email", "address", "created_at"]);
    let supplier = Table::new(SHOP, Some("id"), &["name", "address", "created_at"]);
    Setup {
        database: DATABASE.to_owned(),
        ours: OURS.to_owned(),
        roles: BTreeMap::from([
            (OURS.to_owned(), role(ours, Power::None)),
            (SHOP.to_owned(), role(shop, Power::None)),
        ]),
        tables: BTreeMap::from([
            (customers(), customer.with_rows(rows)),
            (suppliers(), supplier.with_rows((1..=3).map(|key| (key, Row::Bare)))),
        ]),
        versions: vec![version_1("shop:v1"), version_2("shop:v2"), version_3("shop:v3")],
        settings: Settings::default(),
    }
}

/// The column of [`customers`] that is the old form.
pub const OLD_COLUMN: &str = "address";

/// The columns of [`customers`] that are the new form.
pub const NEW_COLUMNS: [&str; 4] = ["street_address", "city", "state", "zip_code"];

const OLD: [&str; 1] = [OLD_COLUMN];

/// Reads and writes the text alone.
pub fn version_1(name: &str) -> Version {
    version(name, &OLD, Write::Old)
}

/// Reads and writes both forms.
pub fn version_2(name: &str) -> Version {
    let [street, city, state, zip] = NEW_COLUMNS;
    version(name, &[OLD_COLUMN, street, city, state, zip], Write::Both)
}

/// Reads and writes the structure alone.
pub fn version_3(name: &str) -> Version {
    version(name, &NEW_COLUMNS, Write::New)
}

/// A job of the team beside the shop reads the old form so many times, in the shop's role. The server may refuse it.
pub fn job(database: &Model, times: u64) {
    let names = Names::Columns(vec![OLD_COLUMN.to_owned()]);
    let text = format!("SELECT {OLD_COLUMN} FROM customers WHERE id = $1");
    let statement = Statement { text, table: customers(), names, does: Does::Read };
    // What it is refused stands in the server's log, where it is to be found.
    drop(database.run(SHOP, &statement, times));
}

/// What the shop runs, over the columns that its version knows.
fn version(name: &str, form: &[&str], write: Write) -> Version {
    let columns = |more: &[&str]| -> Vec<String> {
        more.iter().chain(&["name", "email"]).chain(form).map(|column| (*column).to_owned()).collect()
    };
    let (all, written) = (columns(&["id"]), columns(&[]));
    let values = (1..=written.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
    let set =
        written.iter().zip(1..).map(|(column, n)| format!("{column} = ${n}")).collect::<Vec<_>>().join(", ");
    let statement = |text: String, columns: &[String], does| {
        let names = Names::Columns(columns.to_vec());
        Statement { text, table: customers(), names, does }
    };
    let (list, target) = (all.join(", "), written.join(", "));
    let (key, most) = (written.len() + 1, 1);
    Version {
        name: name.to_owned(),
        role: SHOP.to_owned(),
        statements: vec![
            (statement(format!("SELECT {list} FROM customers WHERE id = $1"), &all, Does::Read), 60),
            (
                statement(
                    format!("SELECT {list} FROM customers ORDER BY id DESC LIMIT ${most}"),
                    &all,
                    Does::Read,
                ),
                12,
            ),
            (
                statement(format!("UPDATE customers SET {set} WHERE id = ${key}"), &all, Does::Update(write)),
                6,
            ),
            (
                statement(
                    format!("INSERT INTO customers ({target}) VALUES ({values})"),
                    &written,
                    Does::Insert(write),
                ),
                1,
            ),
        ],
    }
}
