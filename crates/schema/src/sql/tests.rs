//! What migration files may say, and what is refused at which place.

use super::*;

const EXPAND: &str = "ALTER TABLE customers ADD COLUMN city text;";
const CHECK: &str = "SELECT count(*) FROM customers WHERE city IS NULL;";

fn read(files: &[(&str, &str)]) -> Result<ChangePlan, Vec<Problem>> {
    let files =
        files.iter().map(|(name, text)| RawFile { name: (*name).into(), text: (*text).into() }).collect();
    let database = DatabaseSpec { secret: "arn:aws:secretsmanager:x".into(), instance: "db".into() };
    plan(&"structured-address".parse().unwrap(), &database, files)
}

fn codes(files: &[(&str, &str)]) -> Vec<(&'static str, u32, u32)> {
    read(files)
        .unwrap_err()
        .iter()
        .map(|problem| (problem.code.as_str(), problem.line, problem.column))
        .collect()
}

#[track_caller]
fn refused(name: &str, text: &str, code: &str) {
    let files = [("1_expand_a.sql", EXPAND), ("8_check_c.sql", CHECK), (name, text)];
    let problems = read(&files).expect_err(text);
    assert!(problems.iter().all(|problem| problem.code.as_str() == code), "{text}: {problems:?}");
    assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
}

/// What is told of a single statement.
fn told(text: &str) -> Statement {
    let lint = lint(vec![RawFile { name: "1_expand_a.sql".into(), text: text.into() }]);
    lint.files.into_iter().flat_map(|file| file.statements).next().expect(text)
}

fn shop() -> Vec<RawFile> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/migrations");
    crate::source::read_folder(folder.join("structured-address").to_str().unwrap(), &[folder]).unwrap()
}

#[test]
fn the_story_s_own_migrations_are_a_plan() {
    let database = DatabaseSpec { secret: "arn".into(), instance: "db".into() };
    let plan = plan(&"structured-address".parse().unwrap(), &database, shop()).unwrap();
    let adds: Vec<String> = plan.adds.iter().map(ToString::to_string).collect();
    for wanted in [
        "column public.customers.street_address",
        "column public.customers.zip_code",
        "function public.customers_address_up",
        "trigger customers_address_sync_update on public.customers",
    ] {
        assert!(adds.iter().any(|added| added == wanted), "{wanted} is not among {adds:?}");
    }
    let old: Vec<String> = plan.old_form().map(ToString::to_string).collect();
    assert_eq!(old, ["column public.customers.address"]);
    let backfill = plan.files(FilePhase::Backfill).next().unwrap().backfill.clone().unwrap();
    assert_eq!(
        (backfill.table.to_string().as_str(), backfill.key.as_str(), backfill.batch),
        ("public.customers", "id", 1000)
    );
}

#[test]
fn the_digest_covers_contract_text_database_and_nothing_else() {
    let files = |contract: &'static str, expand: &'static str| {
        [("1_expand_a.sql", expand), ("2_check_c.sql", CHECK), ("3_contract_a.sql", contract)]
    };
    let base = read(&files("ALTER TABLE customers DROP COLUMN address;", EXPAND)).unwrap().digest;
    let other_expand = "ALTER TABLE customers ADD COLUMN town text;";
    assert_eq!(
        base,
        read(&files("ALTER TABLE customers DROP COLUMN address;", other_expand)).unwrap().digest
    );
    assert_ne!(base, read(&files("ALTER TABLE customers DROP COLUMN name;", EXPAND)).unwrap().digest);
}

#[test]
fn a_file_without_a_statement_is_refused() {
    refused("2_expand_b.sql", "", "MIGR004");
    refused("2_expand_b.sql", "-- nothing\n", "MIGR004");
}

#[test]
fn what_an_expand_file_must_not_have_stops_the_plan() {
    for (text, code) in [
        ("UPDATE customers SET city = '';", "MIGR117"),
        ("DROP TABLE customers;", "MIGR115"),
        ("ALTER TABLE customers RENAME COLUMN address TO old_address;", "MIGR108"),
        ("CREATE INDEX i ON customers (city);", "MIGR103"),
        ("CREATE ROLE someone;", "MIGR004"),
    ] {
        refused("2_expand_b.sql", text, code);
    }
}

#[test]
fn contract_only_drops_what_it_names() {
    for (text, code) in [
        ("ALTER TABLE customers ADD COLUMN x text;", "MIGR004"),
        ("DELETE FROM customers;", "MIGR004"),
        ("TRUNCATE customers;", "MIGR004"),
        ("DROP SCHEMA public;", "MIGR004"),
        ("DROP OWNED BY someone;", "MIGR004"),
        ("UPDATE customers SET address = NULL;", "MIGR004"),
        ("ALTER TABLE customers DROP COLUMN address CASCADE;", "MIGR116"),
        ("DROP TABLE customers CASCADE;", "MIGR116"),
        ("DROP TABLE IF EXISTS customers;", "MIGR119"),
        ("ALTER TABLE customers DROP COLUMN IF EXISTS address;", "MIGR119"),
        ("DROP INDEX CONCURRENTLY i;", "MIGR121"),
    ] {
        refused("9_contract_b.sql", text, code);
    }
}

#[test]
fn a_check_is_one_select() {
    for text in [
        "SELECT 1; SELECT 2;",
        "UPDATE customers SET city = '' RETURNING 1;",
        "WITH x AS (DELETE FROM customers RETURNING 1) SELECT count(*) FROM x;",
        "SELECT 1 INTO t;",
        "SELECT $1;",
    ] {
        refused("9_check_b.sql", text, "MIGR006");
    }
}

#[test]
fn a_backfill_is_one_bounded_update_under_its_header() {
    let header = "-- tidegate: key=id batch=1000\n";
    for text in [
        "UPDATE customers SET city = '' WHERE id > $1 AND id <= $2;",
        "-- tidegate: key=id\nUPDATE customers SET city = '' WHERE id > $1 AND id <= $2;",
        "-- tidegate: key=id batch=0\nUPDATE customers SET city = '' WHERE id > $1 AND id <= $2;",
        "-- tidegate: key=id; batch=10\nUPDATE customers SET city = '' WHERE id > $1 AND id <= $2;",
        &format!("{header}UPDATE customers SET city = '';"),
        &format!("{header}UPDATE customers SET city = '' WHERE id > $1;"),
        &format!("{header}UPDATE customers SET city = '' WHERE id >= $1 AND id <= $2;"),
        &format!("{header}UPDATE customers SET city = '' WHERE id > $1 OR id <= $2;"),
        &format!("{header}UPDATE customers SET city = '' WHERE NOT (id > $1 AND id <= $2);"),
        &format!("{header}UPDATE customers SET city = '' WHERE other > $1 AND other <= $2;"),
        &format!("{header}UPDATE customers SET city = $3 WHERE id > $1 AND id <= $2;"),
        &format!("{header}DELETE FROM customers WHERE id > $1 AND id <= $2;"),
        &format!("{header}UPDATE customers SET city = '' WHERE id > $1 AND id <= $2; SELECT 1;"),
        &format!(
            "{header}WITH x AS (DELETE FROM orders) UPDATE customers SET city = '' WHERE id > $1 AND id <= $2;"
        ),
    ] {
        refused("9_backfill_b.sql", text, "MIGR005");
    }
    let bracketed =
        format!("{header}UPDATE customers c SET city = '' WHERE (c.id > $1 AND c.id <= $2) AND city IS NULL");
    assert!(
        read(&[("1_expand_a.sql", EXPAND), ("2_backfill_b.sql", &bracketed), ("3_check_c.sql", CHECK)])
            .is_ok()
    );
}

#[test]
fn names_are_strict_and_versions_stand_once() {
    for name in [
        "expand.sql",
        "1_expand.sql",
        "x_expand_a.sql",
        "1_extend_a.sql",
        "1_expand_A.sql",
        "1_expand_a.sql.sql",
        "_expand_a.sql",
        "1_expand_a b.sql",
        "9999999999999999999_expand_a.sql",
    ] {
        refused(name, EXPAND, "MIGR002");
    }
    assert_eq!(codes(&[("1_expand_a.sql", EXPAND), ("01_expand_b.sql", EXPAND)]), [("MIGR007", 1, 1)]);
    assert_eq!(codes(&[("1_check_a.sql", CHECK)]), [("MIGR007", 1, 1)]);
    let contract = "ALTER TABLE customers DROP COLUMN address;";
    assert_eq!(codes(&[("1_expand_a.sql", EXPAND), ("2_contract_b.sql", contract)]), [("MIGR007", 1, 1)]);
}

#[test]
fn every_problem_is_reported_at_its_place() {
    let two = "ALTER TABLE customers ADD COLUMN x text;\n\n-- why\n  UPDATE customers SET x = '';\n DROP TABLE orders;";
    let found = codes(&[("1_expand_a.sql", two), ("2_expand_b.sql", "SELEC 1;"), ("oops.sql", "")]);
    assert!(found.contains(&("MIGR117", 4, 3)) && found.contains(&("MIGR115", 5, 2)), "{found:?}");
    assert!(found.iter().any(|(code, ..)| *code == "MIGR003"));
    assert!(found.iter().any(|(code, ..)| *code == "MIGR002"));
}

#[test]
fn no_problem_quotes_the_text() {
    let canary = "hunter2";
    for text in [
        format!("SELEC '{canary}';"),
        format!("UPDATE customers SET city = '{canary}';"),
        format!("ALTER TABLE customers RENAME COLUMN {canary} TO x;"),
    ] {
        for problem in read(&[("1_expand_a.sql", &text)]).unwrap_err() {
            assert!(!problem.to_string().contains(canary), "{problem}");
        }
    }
}

#[test]
fn a_statement_is_told_in_sql_s_own_words() {
    for (text, what) in [
        ("ALTER TABLE customers ADD CHECK (credit > 0) NOT VALID;", "ALTER TABLE ADD CHECK"),
        (
            "ALTER TABLE customers ADD FOREIGN KEY (id) REFERENCES orders NOT VALID;",
            "ALTER TABLE ADD FOREIGN KEY",
        ),
        ("ALTER TABLE customers ADD UNIQUE (email);", "ALTER TABLE ADD UNIQUE"),
        (
            "ALTER TABLE customers ADD COLUMN a text, ADD COLUMN b text, ADD UNIQUE (b);",
            "ALTER TABLE ADD COLUMN, ADD UNIQUE",
        ),
        ("VACUUM /* why */ customers;", "VACUUM"),
        ("INSERT INTO orders (total) VALUES (1);", "INSERT"),
        ("DROP TEXT SEARCH DICTIONARY IF EXISTS plain;", "DROP TEXT"),
        ("CREATE TEXT SEARCH DICTIONARY plain (TEMPLATE = simple);", "CREATE TEXT SEARCH"),
        ("WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone;", "SELECT"),
    ] {
        assert_eq!(told(text).what, what, "{text}");
    }
}

#[test]
fn what_postgresql_refuses_in_a_transaction_is_told() {
    for (text, transactional) in [
        ("ALTER TABLE events DETACH PARTITION events_2025 CONCURRENTLY;", false),
        ("ALTER TABLE events DETACH PARTITION events_2025;", true),
    ] {
        assert_eq!(told(text).transactional, transactional, "{text}");
    }
}

#[test]
fn what_hides_drift_is_told_once() {
    let both = told("ALTER TABLE IF EXISTS customers ADD COLUMN IF NOT EXISTS city text;");
    let codes: Vec<&str> = both.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["MIGR119", "MIGR119"], "each at its place");
    let one = told("DROP TABLE IF EXISTS customers;");
    let codes: Vec<&str> = one.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["MIGR115", "MIGR119"]);
}
