use tidegate_model::{ChangeName, schema::FilePhase, spec::DatabaseSpec};

use crate::{RawFile, sql};

const ADDRESS: &str = r"-- tidegate: key=id batch=1000 unmapped=5
SELECT
    btrim(split_part(address, ',', 1)) AS street_address, -- the first part
    btrim(split_part(address, ',', 2)) AS city
FROM customers AS c
WHERE cardinality(string_to_array(address, ',')) = 2;
SELECT street_address || ', ' || coalesce(city, '?') AS address FROM public.customers;
";

const COLUMNS: &str = "ALTER TABLE customers ADD COLUMN street_address text, ADD COLUMN city varchar(20);";
const CONTRACT: &str = "ALTER TABLE customers DROP COLUMN address;";

fn lint(files: &[(&str, &str)]) -> Vec<String> {
    let raw = files.iter().map(|(name, text)| RawFile { name: (*name).into(), text: (*text).into() });
    let problems = sql::lint(raw.collect()).problems;
    problems.into_iter().map(|found| format!("{}:{} {}", found.path, found.line, found.message)).collect()
}

fn with_sync(text: &str) -> Vec<String> {
    lint(&[("1_expand_columns.sql", COLUMNS), ("2_sync_address.sql", text), ("9_contract_it.sql", CONTRACT)])
}

/// Applied text is immutable: a difference here would hold every change that is open when Tidegate is updated.
#[test]
fn what_is_generated_stays_the_same_from_release_to_release() {
    let files =
        [("1_expand_columns.sql", COLUMNS), ("2_sync_address.sql", ADDRESS), ("9_contract_it.sql", CONTRACT)];
    let files = files.map(|(name, text)| RawFile { name: name.into(), text: text.into() });
    let change: ChangeName = "address".parse().unwrap();
    let database = DatabaseSpec { secret: "arn".into(), instance: "db".into() };
    let plan = sql::plan(&change, &database, files.to_vec()).unwrap();
    let generated: String = plan
        .files
        .iter()
        .filter(|file| file.version == 2)
        .map(|file| format!("==== {}\n{}", file.name, file.text))
        .collect();
    insta::assert_snapshot!(generated);
    assert_eq!(plan.unmapped_limit(), Some(5));
    assert_eq!(plan.files(FilePhase::Contract).map(|file| file.version).collect::<Vec<_>>(), [2, 9]);
    let old: Vec<String> = plan.old_form().map(ToString::to_string).collect();
    assert_eq!(old, ["column public.customers.address"]);
}

#[test]
fn without_a_contract_nothing_drops_what_was_generated() {
    let files = [("1_expand_columns.sql", COLUMNS), ("2_sync_address.sql", ADDRESS)];
    let raw = files.map(|(name, text)| RawFile { name: name.into(), text: text.into() });
    let lint = sql::lint(raw.to_vec());
    assert_eq!(lint.problems, []);
    assert!(lint.files.iter().all(|file| file.phase != FilePhase::Contract));
}

#[test]
fn a_file_that_is_no_pair_of_mappings_is_refused_where_it_is_wrong() {
    let header = "-- tidegate: key=id batch=10\n";
    let down = "SELECT city AS address FROM customers;";
    for (text, wanted) in [
        ("SELECT 1", "2_sync_address.sql:1 the first line does not name key and batch"),
        (
            "-- tidegate: key=id batch=10 limit=3\nSELECT 1",
            "2_sync_address.sql:1 the first line does not name key and batch",
        ),
        ("-- tidegate: key=id batch=10\nSELECT", "2_sync_address.sql:1 a sync file is two SELECTs"),
        (
            "-- tidegate: key=id batch=10\nSELECT FROM WHERE (;",
            "2_sync_address.sql:2 PostgreSQL's grammar does not take this",
        ),
    ] {
        assert!(with_sync(text).contains(&wanted.to_owned()), "{text}: {:?}", with_sync(text));
    }
    for (up, wanted) in [
        ("UPDATE customers SET city = address;", "a mapping is one SELECT with FROM and at most a WHERE"),
        (
            "SELECT DISTINCT address AS city FROM customers;",
            "a mapping is one SELECT with FROM and at most a WHERE",
        ),
        (
            "SELECT address AS city FROM customers LIMIT 1;",
            "a mapping is one SELECT with FROM and at most a WHERE",
        ),
        (
            "SELECT address AS city FROM customers UNION SELECT 'x';",
            "a mapping is one SELECT with FROM and at most a WHERE",
        ),
        ("SELECT 'x' AS city;", "a mapping reads one table"),
        ("SELECT address AS city FROM customers a, orders b;", "a mapping reads one table"),
        ("SELECT address AS city FROM customers TABLESAMPLE SYSTEM (1);", "a mapping reads one table"),
        ("SELECT (SELECT max(x) FROM other) AS city FROM customers;", "a mapping reads more than its row"),
        (
            "SELECT address AS city FROM customers WHERE id IN (SELECT 1);",
            "a mapping reads more than its row",
        ),
        ("SELECT first_value(address) OVER () AS city FROM customers;", "a mapping reads more than its row"),
        ("SELECT $1 AS city FROM customers;", "a mapping reads more than its row"),
        (
            "SELECT lower(customers.address) AS city FROM customers;",
            "a mapping names a column with its table",
        ),
        ("SELECT c.address AS city FROM customers c;", "a mapping names a column with its table"),
        ("SELECT address FROM customers;", "a mapped column is `expression AS column`"),
        ("SELECT * FROM customers;", "a mapped column is `expression AS column`"),
        ("SELECT address AS \"a$tidegate$\" FROM customers;", "a mapped column is `expression AS column`"),
        ("SELECT address AS city, 1 AS city FROM customers;", "a mapping names each of its columns once"),
        ("SELECT address AS city FROM orders;", "the two SELECTs read different tables"),
        ("SELECT city AS address FROM customers;", "a column is mapped to by both SELECTs"),
    ] {
        let found = with_sync(&format!("{header}{up}\n{down}"));
        let line = if wanted.contains("both") || wanted.contains("different") { 3 } else { 2 };
        assert_eq!(found, [format!("2_sync_address.sql:{line} {wanted}")], "{up}");
    }
}

#[test]
fn a_mapping_fits_the_other_files_of_its_change() {
    let sync = ("3_sync_address.sql", ADDRESS);
    let late = lint(&[sync, ("4_expand_columns.sql", COLUMNS), ("9_contract_it.sql", CONTRACT)]);
    let message = "3_sync_address.sql:1 column public.customers.city is not added before it";
    assert!(late.contains(&message.to_owned()), "{late:?}");
    let early = lint(&[("1_expand_columns.sql", COLUMNS), sync, ("2_contract_it.sql", CONTRACT)]);
    assert!(early[0].contains("a contract file has a lower version"), "{early:?}");
    let twice = lint(&[
        ("1_expand_columns.sql", COLUMNS),
        sync,
        ("3_check_it.sql", "SELECT count(*) FROM customers"),
    ]);
    assert_eq!(twice, ["3_check_it.sql:1 the version stands twice"]);
    let both = "ALTER TABLE customers ADD COLUMN street_address text, ADD COLUMN city text, ADD COLUMN address text;";
    let made = lint(&[("1_expand_columns.sql", both), sync]);
    assert_eq!(made, ["3_sync_address.sql:1 column public.customers.address is added by this change"]);
}

#[test]
fn names_that_postgresql_would_cut_off_are_refused() {
    let name = format!("2_sync_{}.sql", "a".repeat(50));
    let found = lint(&[("1_expand_columns.sql", COLUMNS), (&name, ADDRESS)]);
    assert!(found[0].contains("would be cut off"), "{found:?}");
}
