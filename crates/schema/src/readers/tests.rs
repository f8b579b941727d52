//! Which statements name `public.customers.address`, one by one.

use super::*;

fn table(schema: &str, name: &str) -> TableName {
    TableName { schema: schema.into(), table: name.into() }
}

fn address() -> Object {
    Object::Column { table: table("public", "customers"), column: "address".into() }
}

fn reader() -> Reader {
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let catalog = Catalog {
        columns: BTreeMap::from([
            (table("public", "customers"), columns(&["id", "name", "address", "street_address", "city"])),
            (table("public", "suppliers"), columns(&["id", "name", "address"])),
            (table("public", "orders"), columns(&["id", "customer_id"])),
            (table("archive", "customers"), columns(&["id", "address"])),
        ]),
        kin: BTreeSet::from([table("public", "customers_eu")]),
        views: BTreeSet::from([table("public", "customer_cards")]),
        functions: BTreeSet::from([("public".to_owned(), "label_of".to_owned())]),
    };
    Reader::new(&[address()], catalog)
}

fn mentions(texts: &[&str]) -> Vec<(String, Mention)> {
    let reader = reader();
    on_parser_stack(|| texts.iter().map(|text| ((*text).to_owned(), reader.mention(text, true))).collect())
        .unwrap()
}

#[track_caller]
fn all_name(texts: &[&str]) {
    for (text, mention) in mentions(texts) {
        assert!(matches!(mention, Mention::Names(_)), "{text}: {mention:?}");
    }
}

#[track_caller]
fn none_names(texts: &[&str]) {
    for (text, mention) in mentions(texts) {
        assert_eq!(mention, Mention::DoesNot, "{text}");
    }
}

#[track_caller]
fn all_unreadable(texts: &[&str]) {
    for (text, mention) in mentions(texts) {
        assert!(matches!(mention, Mention::Unreadable(_)), "{text}: {mention:?}");
    }
}

#[test]
fn a_column_named_in_any_way_is_named() {
    all_name(&[
        "SELECT id, address FROM customers WHERE id = $1",
        "SELECT c.address FROM customers c",
        "SELECT c.address FROM public.customers AS c",
        "SELECT customers.address FROM customers",
        "SELECT public.customers.address FROM public.customers",
        "SELECT ADDRESS FROM Customers",
        "SELECT \"address\" FROM \"customers\"",
        "SELECT id FROM customers WHERE address LIKE $1",
        "SELECT id FROM customers ORDER BY address",
        "SELECT count(*) FROM customers GROUP BY address",
        "SELECT count(address) FROM customers",
        "SELECT id FROM customers WHERE lower(address) = $1 LIMIT $2",
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.address IS NULL",
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE address IS NULL",
        "SELECT id FROM customers JOIN suppliers USING (address)",
        "SELECT (c).address FROM customers c",
        "SELECT CASE WHEN address IS NULL THEN $1 ELSE address END FROM customers",
        "SELECT address FROM ONLY customers",
        "SELECT address FROM customers_eu",
        "SELECT j.address FROM (customers JOIN orders ON customer_id = customers.id) j",
        "SELECT address FROM orders, LATERAL (SELECT c.address FROM customers c WHERE c.id = customer_id) x",
    ]);
}

#[test]
fn writing_the_column_is_naming_it() {
    all_name(&[
        "INSERT INTO customers (name, address) VALUES ($1, $2)",
        "INSERT INTO customers (name, address) SELECT name, name FROM orders",
        "INSERT INTO customers (name) VALUES ($1) RETURNING address",
        "INSERT INTO customers (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET address = $3",
        "INSERT INTO customers (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.address",
        "INSERT INTO customers (id, name) VALUES ($1, $2) ON CONFLICT (address) DO NOTHING",
        "UPDATE customers SET address = $1 WHERE id = $2",
        "UPDATE customers SET (name, address) = ($1, $2)",
        "UPDATE customers c SET name = c.address",
        "UPDATE orders SET id = $1 FROM customers WHERE address = $2",
        "DELETE FROM customers WHERE address IS NULL",
        "DELETE FROM orders USING customers c WHERE c.address = $1",
        "MERGE INTO customers c USING orders o ON o.customer_id = c.id WHEN MATCHED THEN UPDATE SET address = $1",
        "MERGE INTO customers c USING orders o ON o.id = c.id WHEN NOT MATCHED THEN INSERT (address) VALUES ($1)",
        "COPY customers (id, address) FROM STDIN",
        "COPY (SELECT address FROM customers) TO STDOUT",
    ]);
}

#[test]
fn every_column_at_once_is_naming_it() {
    all_name(&[
        "SELECT * FROM customers",
        "SELECT c.* FROM customers c",
        "SELECT customers.* FROM customers",
        "SELECT public.customers.* FROM public.customers",
        "SELECT o.id, c.* FROM orders o JOIN customers c ON true",
        "SELECT * FROM orders o JOIN customers c ON true",
        "SELECT * FROM (orders o JOIN customers c ON true) j",
        "SELECT * FROM customers_eu",
        "INSERT INTO customers (name) VALUES ($1) RETURNING *",
        "UPDATE customers SET name = $1 RETURNING *",
        "DELETE FROM customers WHERE id = $1 RETURNING customers.*",
        "INSERT INTO customers VALUES ($1, $2)",
        "INSERT INTO customers SELECT id, name FROM orders",
        "INSERT INTO public.customers AS c VALUES ($1)",
        "MERGE INTO customers c USING orders o ON o.id = c.id WHEN NOT MATCHED THEN INSERT VALUES ($1)",
        "TABLE customers",
        "COPY customers TO STDOUT",
        "COPY customers FROM STDIN",
        "SELECT id FROM customers NATURAL JOIN suppliers",
        "SELECT b FROM customers AS c (a, b, d)",
        "CREATE TABLE copy_of (LIKE customers)",
        "SELECT x.id FROM (SELECT * FROM customers) x",
        "WITH x AS (SELECT * FROM customers) SELECT id FROM x",
        "SELECT count(c.*) FROM customers c",
        "SELECT id FROM orders WHERE EXISTS (SELECT * FROM customers)",
        "SELECT id FROM orders UNION ALL SELECT * FROM customers",
    ]);
}

#[test]
fn a_whole_row_is_every_column() {
    all_name(&[
        "SELECT to_jsonb(c) FROM customers c",
        "SELECT row_to_json(customers) FROM customers",
        "SELECT c FROM customers c",
        "SELECT id FROM customers c WHERE c IS NOT NULL",
        "SELECT json_agg(c ORDER BY c.id) FROM public.customers c",
        "SELECT address(c) FROM customers c",
        "SELECT j FROM (customers JOIN orders ON true) j",
    ]);
}

#[test]
fn a_view_or_function_over_the_column_names_it() {
    all_name(&[
        "SELECT id FROM customer_cards",
        "SELECT id FROM public.customer_cards WHERE id = $1",
        "SELECT label_of(id) FROM customers",
        "SELECT public.label_of($1)",
        "SELECT x FROM label_of($1) AS x",
        "CALL label_of($1)",
    ]);
}

#[test]
fn statements_that_change_the_schema_are_read_too() {
    all_name(&[
        "CREATE INDEX by_address ON customers (address)",
        "CREATE VIEW v AS SELECT address FROM customers",
        "ALTER TABLE customers ALTER COLUMN address SET NOT NULL",
        "COMMENT ON COLUMN customers.address IS 'where they live'",
        "GRANT SELECT (address) ON customers TO someone",
        "PREPARE p AS SELECT address FROM customers",
        "EXPLAIN SELECT address FROM customers",
        "DECLARE c CURSOR FOR SELECT address FROM customers",
        "CREATE TABLE t AS SELECT * FROM customers",
        "DO $$ BEGIN UPDATE customers SET name = 'x'; END $$",
        "DO $$ BEGIN EXECUTE 'se' || 'lect'; END $$",
    ]);
}

#[test]
fn similar_names_are_no_mention() {
    none_names(&[
        "SELECT street_address FROM customers",
        "INSERT INTO customers (name, street_address, city) VALUES ($1, $2, $3) RETURNING id",
        "UPDATE customers SET street_address = $1, city = $2 WHERE id = $3",
        "SELECT \"Address\" FROM customers",
        "SELECT address_id FROM customers",
        "SELECT addresses.id FROM addresses",
        "SELECT id FROM customers -- address",
        "SELECT id /* address */ FROM customers",
        "SELECT id FROM customers WHERE name = 'address'",
        "SELECT id AS address FROM customers",
        "SELECT id address FROM customers",
        "SELECT address.id FROM customers AS address",
        "SELECT address(o.id) FROM orders o",
        "SELECT x.address FROM (SELECT id AS address FROM customers) x",
        "SELECT id FROM customers ORDER BY id FOR UPDATE OF customers",
        "SELECT c.id FROM customers c FOR UPDATE OF c SKIP LOCKED",
    ]);
}

#[test]
fn other_tables_with_such_a_column_are_no_mention() {
    none_names(&[
        "SELECT address FROM suppliers",
        "SELECT * FROM suppliers",
        "INSERT INTO suppliers VALUES ($1, $2, $3)",
        "UPDATE suppliers SET address = $1",
        "SELECT s.address FROM suppliers s JOIN customers c ON c.id = s.id",
        "SELECT s.*, c.id FROM suppliers s JOIN customers c ON c.id = s.id",
        "SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM suppliers WHERE address = $1)",
        "SELECT address FROM suppliers WHERE id IN (SELECT id FROM customers)",
        "SELECT address FROM archive.customers",
        "SELECT * FROM archive.customers",
        "SELECT archive.customers.address FROM archive.customers, public.customers",
        "INSERT INTO customers (name) SELECT address FROM suppliers",
        "INSERT INTO suppliers (address) SELECT name FROM customers",
        "UPDATE suppliers SET address = c.name FROM customers c",
        "UPDATE suppliers s SET (name, address) = (SELECT c.name, c.city FROM customers c WHERE c.id = s.id)",
        "WITH customers AS (SELECT id, address FROM suppliers) SELECT * FROM customers",
        "WITH x AS (SELECT address FROM suppliers) UPDATE customers SET name = x.address FROM x",
        "WITH RECURSIVE customers AS (SELECT 1 AS address UNION ALL SELECT address + 1 FROM customers) TABLE customers",
        "CREATE TABLE t (id int, address text)",
    ]);
}

#[test]
fn an_entry_of_a_with_clause_does_not_hide_the_table_from_itself() {
    all_name(&[
        "WITH customers AS (SELECT address FROM customers) SELECT 1",
        "WITH a AS (SELECT address FROM customers), customers AS (SELECT 1) SELECT * FROM a",
        "WITH x AS (SELECT 1) SELECT * FROM public.customers",
        "WITH customers AS (SELECT 1) INSERT INTO customers VALUES ($1, $2)",
        "WITH customers AS (SELECT 1) UPDATE customers SET address = $1",
        "WITH customers AS (SELECT 1) DELETE FROM customers WHERE address IS NULL",
        "SELECT (WITH customers AS (SELECT 1 AS id) SELECT address FROM orders) FROM customers",
    ]);
}

#[test]
fn counting_and_maintenance_are_no_mention() {
    none_names(&[
        "SELECT count(*) FROM customers",
        "SELECT id, name FROM customers LIMIT $1",
        "SELECT id * $1 FROM customers",
        "INSERT INTO customers DEFAULT VALUES",
        "DELETE FROM customers WHERE id = $1",
        "VACUUM customers",
        "ANALYZE customers",
        "LOCK TABLE customers",
        "TRUNCATE customers",
        "BEGIN",
        "COMMIT",
        "SET application_name = 'x'",
        "SHOW search_path",
        "SELECT $1",
        "SELECT id FROM customers WHERE id IN ($1 /*, ... */)",
        "DO $$ BEGIN PERFORM 1; END $$",
    ]);
}

#[test]
fn normalised_text_that_the_server_itself_could_not_parse_is_read() {
    none_names(&[
        "SELECT id FROM customers WHERE created_at > now() - interval $1",
        "SELECT extract($1 FROM created_at) FROM customers",
        "SELECT date $1, created_at AT TIME ZONE $2 FROM customers",
        "SET statement_timeout = $1",
        "SELECT name::varchar($1) FROM customers",
    ]);
    all_name(&["SELECT address FROM customers WHERE created_at > now() - interval $1"]);
}

#[test]
fn what_cannot_be_read_or_parsed_closes() {
    all_unreadable(&[
        "<insufficient privilege>",
        "",
        "  ",
        "SELEC id FROM orders",
        "SELECT \"unclosed FROM orders",
        "SELECT U&\"\\0061ddress\" FROM customers",
        "CREATE THING x",
    ]);
    let long = format!("SELECT {} FROM customers", "id + ".repeat(5_000));
    all_unreadable(&[&long]);
}

#[test]
fn an_expression_inside_a_function_is_read_as_one() {
    let reader = reader();
    let (inside, outside) = on_parser_stack(|| {
        let text = "up IS NOT DISTINCT FROM parts OR down IS NOT DISTINCT FROM NEW.address";
        (reader.mention(text, false), reader.mention(text, true))
    })
    .unwrap();
    assert_eq!(inside, Mention::DoesNot);
    assert!(matches!(outside, Mention::Unreadable(_)));
}

#[test]
fn a_removed_table_is_named_by_any_use() {
    let reader = Reader::new(&[Object::Table(table("public", "coupons"))], Catalog::default());
    let read = |text: &str| on_parser_stack(|| reader.mention(text, true)).unwrap();
    assert!(matches!(read("SELECT id FROM coupons"), Mention::Names(_)));
    assert!(matches!(read("DELETE FROM public.coupons"), Mention::Names(_)));
    assert!(matches!(read("TRUNCATE coupons"), Mention::Names(_)));
    assert_eq!(read("SELECT id FROM other.coupons"), Mention::DoesNot);
    assert_eq!(read("SELECT coupons FROM orders"), Mention::DoesNot);
}

#[test]
fn bodies_of_functions_are_compared_by_words() {
    let reader = reader();
    assert!(reader.body_names("SELECT address FROM customers"));
    assert!(reader.body_names("BEGIN RETURN QUERY SELECT * FROM Customers; END"));
    assert!(!reader.body_names("SELECT street_address FROM customers"));
    assert!(!reader.body_names("SELECT address FROM suppliers"));
    assert!(reader.trigger_body_names("BEGIN NEW.address := trim(NEW.address); RETURN NEW; END"));
    assert!(!reader.trigger_body_names("BEGIN NEW.city := trim(NEW.city); RETURN NEW; END"));
    let body = Unparsed::new(r#"NEW."Ship To" := OLD.addr$1"#);
    assert!(body.may_name("Ship To") && body.may_name("addr$1") && body.may_name("old"));
    assert!(!body.may_name("to_ship") && !body.may_name("addr$2") && !body.may_name("hip"));
}
