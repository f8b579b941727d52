//! The server itself as the judge of the reader: two databases, one with the column and one without. Whatever can be
//! prepared in the first and not in the second, or has another result there, must have been called a reader.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Column, Executor, PgConnection, SqlSafeStr, Statement};
use tidegate_model::schema::{Object, TableName};
use tidegate_schema::readers::{Catalog, Mention, Reader, on_parser_stack};

use crate::world::World;

const FROMS: [&str; 24] = [
    "customers",
    "customers c",
    "public.customers",
    "public.customers AS \"C\"",
    "suppliers s",
    "suppliers s JOIN customers c ON c.id = s.id",
    "orders o JOIN customers ON customers.id = o.customer_id",
    "(SELECT id, name FROM customers) x",
    "(SELECT * FROM customers) x",
    "(SELECT c.id, s.address FROM customers c JOIN suppliers s USING (id)) x, customers c",
    "(customers c JOIN orders o ON c.id = o.customer_id)",
    "(customers c JOIN orders o ON c.id = o.customer_id) AS j",
    "archive.customers",
    "archive.customers customers",
    "customers suppliers, suppliers customers",
    "ONLY customers",
    "customers_eu",
    "LATERAL (SELECT address FROM suppliers) l, customers c",
    "customers c (a, b)",
    "customers c LEFT JOIN suppliers s USING (id)",
    "customers c NATURAL JOIN orders",
    "generate_series(1, 2) g, customers c",
    "suppliers s CROSS JOIN LATERAL (SELECT id FROM customers WHERE address = s.name) x",
    "suppliers c, LATERAL (SELECT c.address FROM customers) x",
];

const TARGETS: [&str; 34] = [
    "1",
    "count(*)",
    "*",
    "address",
    "c.address",
    "s.address",
    "x.address",
    "\"C\".address",
    "c.*",
    "s.*",
    "x.*",
    "j.*",
    "j",
    "customers.*",
    "customers.address",
    "suppliers.address",
    "public.customers.address",
    "public.customers.*",
    "archive.customers.address",
    "(c).address",
    "(c).*",
    "(customers).address",
    "address(c)",
    "name AS address",
    "l.address",
    "b",
    "(SELECT address FROM suppliers LIMIT 1)",
    "(SELECT s2.address FROM suppliers s2 WHERE s2.id = c.id)",
    "(SELECT c.address)",
    "(SELECT count(*) FROM orders WHERE address IS NULL)",
    "(SELECT max(address) FROM archive.customers)",
    "EXISTS (SELECT 1 FROM suppliers s3 WHERE s3.address = name)",
    "CASE WHEN name LIKE $1 THEN address END",
    "(SELECT q.address FROM (SELECT c.address) q)",
];

const TAILS: [&str; 7] = [
    "",
    " WHERE address IS NULL",
    " WHERE c.address = $1",
    " ORDER BY address",
    " GROUP BY address",
    " FOR UPDATE",
    " WHERE name IN (SELECT name FROM suppliers WHERE address = $1)",
];

const FRAMES: [&str; 9] = [
    "@",
    "WITH customers AS (SELECT id, name, address FROM suppliers) @",
    "WITH w AS (@) SELECT count(*) FROM w",
    "WITH w AS (@) SELECT * FROM w",
    "WITH customers AS (@) SELECT * FROM customers",
    "SELECT 1 FROM (@) q",
    "SELECT id FROM customers WHERE EXISTS (@)",
    "INSERT INTO customers (name) SELECT 'x' FROM (@) q",
    "UPDATE suppliers SET name = 'x' WHERE EXISTS (@)",
];

/// Statements that are not made of the parts above.
const OTHERS: [&str; 27] = [
    "INSERT INTO customers VALUES (1, 'n')",
    "INSERT INTO customers VALUES (1, 'n', 'e', 'a', now())",
    "INSERT INTO customers DEFAULT VALUES",
    "INSERT INTO customers (name) VALUES ('n') RETURNING *",
    "INSERT INTO customers (name) VALUES ('n') RETURNING customers.address",
    "INSERT INTO customers AS t (name) VALUES ('n') RETURNING t.address",
    "INSERT INTO customers (id, name) VALUES (1, 'n') ON CONFLICT (id) DO UPDATE SET name = excluded.address",
    "INSERT INTO customers (id, name) VALUES (1, 'n') ON CONFLICT (id) DO UPDATE SET address = 'x'",
    "INSERT INTO suppliers (name) SELECT address FROM customers",
    "UPDATE customers SET address = 'x'",
    "UPDATE customers t SET name = t.address",
    "UPDATE suppliers SET name = c.address FROM customers c",
    "UPDATE suppliers SET address = c.name FROM customers c",
    "UPDATE customers SET name = s.address FROM suppliers s",
    "UPDATE customers SET (name, address) = (SELECT 'a', 'b')",
    "DELETE FROM customers USING suppliers s WHERE s.address = customers.name RETURNING s.address",
    "DELETE FROM suppliers USING customers c WHERE c.address = suppliers.address",
    "TABLE customers",
    "WITH customers AS (SELECT 1) INSERT INTO customers VALUES (1, 'n', 'e', 'a', now())",
    "WITH customers AS (SELECT 1) UPDATE customers SET address = 'x'",
    "WITH customers AS (SELECT 1) DELETE FROM customers WHERE address IS NULL",
    "SELECT (WITH customers AS (SELECT 1 AS id) SELECT address FROM orders LIMIT 1) FROM customers",
    "WITH w AS (INSERT INTO customers (name) VALUES ('n') RETURNING *) SELECT w.address FROM w",
    "SELECT id FROM suppliers UNION SELECT id FROM customers ORDER BY id",
    "SELECT address FROM suppliers UNION SELECT address FROM customers",
    "MERGE INTO customers c USING orders o ON o.id = c.id WHEN MATCHED THEN UPDATE SET address = 'x'",
    "MERGE INTO suppliers s USING customers c ON s.id = c.id WHEN NOT MATCHED THEN INSERT (name) VALUES (c.address)",
];

fn statements() -> Vec<String> {
    let mut all: Vec<String> = OTHERS.iter().map(|text| (*text).to_owned()).collect();
    let stride = std::env::var("ORACLE_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(41);
    let mut made = 0_usize;
    for frame in FRAMES {
        for from in FROMS {
            for target in TARGETS {
                for tail in TAILS {
                    if made.is_multiple_of(stride) {
                        all.push(frame.replace('@', &format!("SELECT {target} FROM {from}{tail}")));
                    }
                    made += 1;
                }
            }
        }
    }
    all
}

/// The names of a statement's result columns; `None` if the server does not take it.
async fn shape(connection: &mut PgConnection, text: &str) -> Option<Vec<String>> {
    let prepared = connection.prepare(AssertSqlSafe(text.to_owned()).into_sql_str()).await.ok()?;
    Some(prepared.columns().iter().map(|column| column.name().to_owned()).collect())
}

#[tokio::test]
async fn whatever_breaks_without_the_column_was_called_a_reader() {
    let world = World::new().await;
    let tables = "CREATE TABLE orders (id bigint, customer_id bigint); CREATE SCHEMA archive; \
                  CREATE TABLE archive.customers (id bigint, name text, address text); \
                  CREATE TABLE customers_eu () INHERITS (customers);";
    let mut shop = world.shop().await;
    sqlx::raw_sql(tables).execute(&mut shop).await.unwrap();
    drop(shop);
    sqlx::query("CREATE DATABASE without TEMPLATE shop")
        .execute(&mut world.connect("postgres", "postgres").await)
        .await
        .unwrap();
    let mut with = world.admin().await;
    let mut without = world.connect("postgres", "without").await;
    sqlx::query("ALTER TABLE customers DROP COLUMN address").execute(&mut without).await.unwrap();

    let table = |schema: &str, table: &str| TableName { schema: schema.into(), table: table.into() };
    let has_it = [
        ("public", "customers"),
        ("public", "customers_eu"),
        ("public", "suppliers"),
        ("archive", "customers"),
    ];
    let columns = has_it.map(|(schema, name)| (table(schema, name), BTreeSet::from(["address".to_owned()])));
    let catalog = Catalog {
        columns: columns.into_iter().collect(),
        kin: BTreeSet::from([table("public", "customers_eu")]),
        ..Catalog::default()
    };
    let address = Object::Column { table: table("public", "customers"), column: "address".into() };
    let reader = Reader::new(&[address], catalog);

    let (mut taken, mut broken, mut passed) = (0, 0, 0);
    for text in statements() {
        let Some(before) = shape(&mut with, &text).await else { continue };
        taken += 1;
        let mention = on_parser_stack(|| reader.mention(&text, true)).unwrap();
        if shape(&mut without, &text).await.as_ref() != Some(&before) {
            broken += 1;
            assert_ne!(mention, Mention::DoesNot, "breaks without the column: {text}");
        } else if mention == Mention::DoesNot {
            passed += 1;
        }
    }
    // The oracle must have something to say on both sides.
    assert!(taken > 100 && broken > 50 && passed > 30, "{taken} taken, {broken} broken, {passed} let pass");
}
