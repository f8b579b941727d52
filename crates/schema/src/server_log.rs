//! Whom the server refused because of what is hidden, read from its log.
//!
//! PostgreSQL counts no refusals, so its log is the only witness. Called by the daemon with portions of text as they are
//! downloaded; pure. Must not keep or publish what a line says but a statement without its constants: lines quote
//! customers' data. The form of a line is that of Amazon RDS: `log_line_prefix = '%t:%r:%u@%d:[%p]:'`, in English.
//!
//! While a revision from before the change is warm, statements on the change's tables that fail for a reason of the schema are told
//! as well. They close nothing: a typo at a prompt looks the same.
//!
//! Hiding by REVOKE shows as SQLSTATE 42501, whose message names the table alone: which column was missed stands in the
//! STATEMENT that follows, and that is why it is read. 42703 cannot come from a REVOKE, so it is not looked for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil};
use tidegate_model::schema::{ChangePlan, Denial, Hidden, Object, TableName};

use crate::{
    certificate::reads_or_writes,
    readers::{Catalog, Mention, Reader, words},
    sessions::printable,
    tree,
};

/// Sessions whose refusal is remembered until its STATEMENT comes; more at once are judged without one.
const MOST_PENDING: usize = 1_000;

/// What counts as a refusal because of what is hidden.
pub struct Rules<'a> {
    /// The change.
    pub plan: &'a ChangePlan,
    /// What is hidden of it; nothing yet, if only the form of the lines is looked at.
    pub hidden: Option<&'a Hidden>,
    /// The database.
    pub database: &'a str,
    /// Our own role: what it is refused is our own mistake.
    pub ours: &'a str,
    /// Since when statements count that fail for a reason of the schema, if they do.
    pub failures_since: Option<Timestamp>,
}

/// Reads a log portion by portion. No `Debug`: it may hold a statement.
#[derive(Clone, Default)]
pub struct LogReader {
    pending: BTreeMap<i32, Refusal>,
    /// Whose line the last one was: lines that begin with a tab go on with it.
    last: Option<i32>,
    denial: Option<Denial>,
    failures: (u32, Option<Denial>),
    unread: bool,
}

/// A message of a session that may be of the change, as far as it was read.
#[derive(Clone)]
struct Refusal {
    at: Timestamp,
    role: String,
    database: String,
    cause: Cause,
    /// True if it happened inside a function.
    nested: bool,
    statement: Option<String>,
}

/// Why a statement failed.
#[derive(Clone)]
enum Cause {
    /// SQLSTATE 42501, and the table that it names.
    Denied(String),
    /// For a reason of the schema.
    Schema(&'static str),
}

/// A line that begins a message or goes on with one.
struct Line<'t> {
    at: Timestamp,
    role: &'t str,
    database: &'t str,
    pid: i32,
    tag: &'t str,
    text: &'t str,
}

impl LogReader {
    /// Reads on: whole lines, in the order of the log.
    pub fn read(&mut self, text: &str, rules: &Rules<'_>) {
        for line in text.lines() {
            if let Some(more) = line.strip_prefix('\t') {
                self.go_on(more);
                continue;
            }
            match parse(line) {
                Some(line) => self.line(&line, rules),
                None => {
                    // What goes on with it is not the statement of the message before: it may be a row.
                    self.last = None;
                    self.unread |= may_be_a_message(line);
                }
            }
        }
    }

    /// Judges what is left once everything was read that there is: the server writes a message and its statement in one go.
    pub fn settle(&mut self, rules: &Rules<'_>) {
        for refusal in std::mem::take(&mut self.pending).into_values() {
            self.judge(&refusal, rules);
        }
        self.last = None;
    }

    /// The newest refusal because of what is hidden.
    pub fn denial(&self) -> Option<&Denial> {
        self.denial.as_ref()
    }

    /// How many statements failed for a reason of the schema, and the last of them.
    pub fn failures(&self) -> (u32, Option<&Denial>) {
        (self.failures.0, self.failures.1.as_ref())
    }

    /// True if every line since the last call could be told apart.
    pub fn understood(&mut self) -> bool {
        !std::mem::take(&mut self.unread)
    }

    fn line(&mut self, line: &Line<'_>, rules: &Rules<'_>) {
        self.last = Some(line.pid);
        match line.tag {
            "DETAIL" | "HINT" | "QUERY" | "LOCATION" | "BACKTRACE" => self.last = None,
            "CONTEXT" => {
                self.last = None;
                if let Some(refusal) = self.pending.get_mut(&line.pid) {
                    refusal.nested = true;
                }
            }
            "STATEMENT" => {
                if let Some(refusal) = self.pending.get_mut(&line.pid) {
                    refusal.statement = Some(line.text.to_owned());
                }
            }
            _ => {
                // The next message of a session ends the one before.
                if let Some(before) = self.pending.remove(&line.pid) {
                    self.judge(&before, rules);
                }
                let since_hidden = rules.hidden.is_some_and(|hidden| line.at >= second(hidden.at));
                let counts = rules.failures_since.is_some_and(|since| line.at >= second(since));
                let denied = refused_table(line).filter(|_| since_hidden);
                let denied = denied.map(|table| Cause::Denied(table.to_owned()));
                let failed = schema_reason(line).filter(|_| counts).map(Cause::Schema);
                if let Some(cause) = denied.or(failed) {
                    self.begin(line, cause, rules);
                }
            }
        }
    }

    fn begin(&mut self, line: &Line<'_>, cause: Cause, rules: &Rules<'_>) {
        let (role, database) = (line.role.to_owned(), line.database.to_owned());
        let refusal = Refusal { at: line.at, role, database, cause, nested: false, statement: None };
        if self.pending.len() >= MOST_PENDING {
            self.judge(&refusal, rules);
        } else {
            self.pending.insert(line.pid, refusal);
        }
    }

    fn go_on(&mut self, more: &str) {
        let refusal = self.last.and_then(|pid| self.pending.get_mut(&pid));
        if let Some(statement) = refusal.and_then(|refusal| refusal.statement.as_mut())
            && statement.len() < tree::LONGEST
        {
            statement.push('\n');
            statement.push_str(more);
        }
    }

    fn judge(&mut self, refusal: &Refusal, rules: &Rules<'_>) {
        match &refusal.cause {
            Cause::Denied(table) => {
                let newer = self.denial.as_ref().is_none_or(|denial| denial.at <= refusal.at);
                if let Some(denial) = denial(refusal, table, rules).filter(|_| newer) {
                    self.denial = Some(denial);
                }
            }
            Cause::Schema(why) => {
                if let Some(failure) = failure(refusal, why, rules) {
                    self.failures = (self.failures.0.saturating_add(1), Some(failure));
                }
            }
        }
    }
}

/// A statement that failed, if it reads or writes rows and names a table of the change: DDL of a tool is none of blue's.
fn failure(refusal: &Refusal, why: &str, rules: &Rules<'_>) -> Option<Denial> {
    let statement = refusal.statement.as_deref()?;
    let named = words(statement);
    let concerns = reads_or_writes(statement)
        && crate::catalog::tables(rules.plan).iter().any(|table| named.contains(&table.table.to_lowercase()));
    if !concerns || refusal.database != rules.database || refusal.role == rules.ours {
        return None;
    }
    let (role, text) = (printable(&refusal.role, 63), shown(statement));
    Some(Denial { at: refusal.at, role, text, how: why.to_owned() })
}

/// A refusal as a denial, if what is hidden may be its cause. In doubt it is.
fn denial(refusal: &Refusal, refused: &str, rules: &Rules<'_>) -> Option<Denial> {
    let hidden = rules.hidden?;
    let of_hidden = hidden.tables.iter().any(|table| table.table == refused);
    if !of_hidden || refusal.database != rules.database || refusal.role == rules.ours {
        return None;
    }
    let statement = refusal.statement.as_deref();
    // A role that lost nothing and names the table itself had no right before either. Through a view or a function it
    // used its owner's.
    let direct = !refusal.nested
        && statement.is_some_and(|statement| words(statement).contains(&refused.to_lowercase()));
    if direct && !hidden.taken_from.contains(&refusal.role) {
        return None;
    }
    let how = match statement {
        None => "the log does not have the statement".to_owned(),
        Some(statement) => how(statement, rules.plan, hidden),
    };
    let text = statement.map(shown).unwrap_or_default();
    Some(Denial { at: refusal.at, role: printable(&refusal.role, 63), text, how })
}

/// A statement as it may be published. Whoever may log in chooses how deep it is nested, so it gets the parser's stack.
fn shown(statement: &str) -> String {
    let shown = tree::on_large_stack(|| tree::without_constants(statement));
    printable(&shown.unwrap_or_default(), 200)
}

fn how(statement: &str, plan: &ChangePlan, hidden: &Hidden) -> String {
    let old: Vec<&Object> = plan.old_form().collect();
    let kin: BTreeSet<TableName> = hidden.tables.iter().cloned().collect();
    let reader = Reader::new(old, Catalog { kin, ..Catalog::default() });
    let mention = tree::on_large_stack(|| reader.mention(statement, true));
    match mention {
        Some(Mention::Names(how)) => how.to_owned(),
        Some(Mention::Unreadable(why)) => why.to_owned(),
        Some(Mention::DoesNot) => "through a view or a function, or a right on the whole table".to_owned(),
        None => "it cannot be parsed".to_owned(),
    }
}

/// The table that a message of SQLSTATE 42501 names. Source: `aclcheck_error` in PostgreSQL's catalog/aclchk.c.
fn refused_table<'t>(line: &Line<'t>) -> Option<&'t str> {
    let what = line.text.strip_prefix("permission denied for ").filter(|_| line.tag == "ERROR")?;
    let kinds = ["table ", "foreign table ", "relation ", "view ", "materialized view "];
    if let Some(table) = kinds.iter().find_map(|kind| what.strip_prefix(kind)) {
        return Some(table);
    }
    what.strip_prefix("column ")?.rsplit_once(" of relation ").map(|(_, table)| table)
}

/// The reason of the schema for which a statement failed, in our own words. The log has no SQLSTATE, only English: 42703, 42P01,
/// 42883 and 42704, then 42702, 0A000, 42601 and 42804.
fn schema_reason(line: &Line<'_>) -> Option<&'static str> {
    let text = line.text;
    // At the end of the message stands `at character 8`, if the server knows the place.
    let text = text.rsplit_once(" at character ").map_or(text, |(text, _)| text);
    let kinds = ["column ", "relation ", "function ", "operator ", "type ", "constraint "];
    if line.tag != "ERROR" {
        None
    } else if text.ends_with(" does not exist") && kinds.iter().any(|kind| text.starts_with(kind)) {
        Some("it names something that does not exist")
    } else if text.starts_with("column reference ") && text.ends_with(" is ambiguous") {
        Some("it names something that is ambiguous")
    } else if text == "cached plan must not change result type" {
        Some("it was prepared before the change, and fails once for each connection (0A000)")
    } else if text.starts_with("INSERT has more ") {
        Some("it inserts another number of columns than there are")
    } else if text.starts_with("column ") && text.contains(" is of type ") {
        Some("a type does not fit")
    } else {
        None
    }
}

/// `2026-11-23 07:00:00 UTC:10.0.3.7(41234):shop@ecommerce:[4711]:ERROR:  text`
fn parse(line: &str) -> Option<Line<'_>> {
    let (stamp, rest) = line.split_at_checked(19)?;
    let rest = rest.strip_prefix(" UTC:").or_else(|| rest.strip_prefix(" GMT:"))?;
    let at = stamp.parse::<civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    rest.match_indices(":[").find_map(|(end, _)| {
        let (who, rest) = (&rest[..end], &rest[end + 2..]);
        let (pid, rest) = rest.split_once("]:")?;
        let (tag, text) = rest.split_once(":  ")?;
        let pid = pid.parse().ok()?;
        TAGS.contains(&tag).then_some(())?;
        let (role, database) = user(who)?;
        Some(Line { at, role, database, pid, tag, text: without_state(tag, text) })
    })
}

/// A message without the SQLSTATE that `log_error_verbosity = verbose` puts before it: `42501: permission denied for table customers`.
/// Source: `send_message_to_server_log` in PostgreSQL's error/elog.c.
fn without_state<'t>(tag: &str, text: &'t str) -> &'t str {
    let is_state = |word: &str| {
        word.len() == 5 && word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    };
    match text.split_once(": ") {
        Some((state, message)) if tag == "ERROR" && is_state(state) => message,
        Some(_) | None => text,
    }
}

/// What can stand before a message, in English.
const TAGS: [&str; 20] = [
    "DEBUG",
    "DEBUG1",
    "DEBUG2",
    "DEBUG3",
    "DEBUG4",
    "DEBUG5",
    "INFO",
    "NOTICE",
    "WARNING",
    "ERROR",
    "LOG",
    "FATAL",
    "PANIC",
    "STATEMENT",
    "DETAIL",
    "HINT",
    "CONTEXT",
    "QUERY",
    "LOCATION",
    "BACKTRACE",
];

/// Role and database behind `10.0.3.7(41234):`, `::1(41234):`, `[local]:` or, for the server's own processes, `:`. A role of a directory
/// has an `@` in its name (`ada@CORP.EXAMPLE.COM`), and a database seldom.
fn user(who: &str) -> Option<(&str, &str)> {
    let remote = who.strip_prefix("[local]:").or_else(|| who.split_once("):").map(|(_, user)| user));
    remote.or_else(|| who.strip_prefix(':'))?.rsplit_once('@')
}

/// True for a line that could be a refusal in a form that is not read here: another prefix, another language.
fn may_be_a_message(line: &str) -> bool {
    line.contains(":  ")
}

/// The log's clock has whole seconds.
fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::RawFile;
    use crate::sql;
    use tidegate_model::spec::DatabaseSpec;

    fn plan() -> ChangePlan {
        let file = |name: &str, text: &str| RawFile { name: name.into(), text: text.into() };
        let files = vec![
            file("001_expand_city.sql", "ALTER TABLE customers ADD COLUMN city text;"),
            file("002_check_city.sql", "SELECT count(*) FROM customers WHERE city IS DISTINCT FROM address;"),
            file("003_contract_address.sql", "ALTER TABLE customers DROP COLUMN address;"),
        ];
        let database = DatabaseSpec { secret: "arn".into(), instance: "db".into() };
        sql::plan(&"city".parse().expect("a name"), &database, files).expect("a plan")
    }

    fn hidden() -> Hidden {
        Hidden {
            at: "2026-11-23T07:00:00.5Z".parse().expect("a time"),
            tables: vec![TableName { schema: "public".into(), table: "customers".into() }],
            taken_from: vec!["shop".into()],
            bypassed_by: vec![],
            regranted_to: vec![],
        }
    }

    fn rules<'a>(plan: &'a ChangePlan, hidden: &'a Hidden) -> Rules<'a> {
        Rules { plan, hidden: Some(hidden), database: "ecommerce", ours: "tidegate", failures_since: None }
    }

    fn reading(text: &str) -> LogReader {
        let (plan, hidden) = (plan(), hidden());
        let rules = rules(&plan, &hidden);
        let mut reader = LogReader::default();
        reader.read(text, &rules);
        reader.settle(&rules);
        reader
    }

    fn refused(role: &str, statement: &str) -> String {
        let head = format!("2026-11-23 07:00:01 UTC:10.0.3.7(41234):{role}@ecommerce:[4711]:");
        let statement = statement.replace('\n', "\n\t");
        format!("{head}ERROR:  permission denied for table customers\n{head}STATEMENT:  {statement}\n")
    }

    #[test]
    fn a_refused_statement_is_told_without_its_constants() {
        let mut reader = reading(&refused("shop", "SELECT address\nFROM customers WHERE name = 'Ada'"));
        let denial = reader.denial().expect("a denial");
        assert_eq!((denial.role.as_str(), denial.how.as_str()), ("shop", "names the column"));
        assert_eq!(denial.text, "SELECT address FROM customers WHERE name = ?");
        assert_eq!(denial.at.to_string(), "2026-11-23T07:00:01Z");
        assert!(reader.understood());
    }

    #[test]
    fn whoever_never_had_the_right_does_not_count_unless_another_s_right_was_used() {
        assert!(reading(&refused("reporter", "SELECT address FROM customers")).denial().is_none());
        assert!(reading(&refused("tidegate", "SELECT address FROM customers")).denial().is_none());
        let through_view = reading(&refused("reporter", "SELECT * FROM labels"));
        assert!(through_view.denial().is_some());
        let other = refused("shop", "SELECT 1").replace("table customers", "table invoices");
        assert!(reading(&other).denial().is_none());
        let elsewhere = refused("shop", "SELECT address FROM customers").replace("@ecommerce", "@other");
        assert!(reading(&elsewhere).denial().is_none());
        let before = refused("shop", "SELECT address FROM customers").replace("07:00:01", "06:59:59");
        assert!(reading(&before).denial().is_none());
    }

    #[test]
    fn a_verbose_log_a_role_of_a_directory_and_a_client_of_the_newer_protocol_are_read_as_well() {
        let text = refused("shop", "SELECT address FROM customers");
        let verbose = text.replace("ERROR:  ", "ERROR:  42501: ")
            + "2026-11-23 07:00:01 UTC:10.0.3.7(41234):shop@ecommerce:[4711]:LOCATION:  aclcheck_error, aclchk.c:2843\n";
        let mut reader = reading(&verbose);
        assert!(reader.denial().is_some() && reader.understood());
        assert!(reading(&text.replace("10.0.3.7(41234)", "::1(41234)")).denial().is_some());

        let (plan, hidden) = (plan(), Hidden { taken_from: vec!["ada@CORP.EXAMPLE.COM".into()], ..hidden() });
        let rules = rules(&plan, &hidden);
        let mut reader = LogReader::default();
        reader.read(&refused("ada@CORP.EXAMPLE.COM", "SELECT address FROM customers"), &rules);
        reader.settle(&rules);
        assert_eq!(reader.denial().map(|denial| denial.role.as_str()), Some("ada@CORP.EXAMPLE.COM"));
    }

    #[test]
    fn a_message_and_its_statement_may_come_in_two_portions() {
        let (plan, hidden) = (plan(), hidden());
        let rules = rules(&plan, &hidden);
        let text = refused("shop", "SELECT * FROM customers");
        let (message, statement) = text.split_once('\n').expect("two lines");
        let mut reader = LogReader::default();
        reader.read(message, &rules);
        assert!(reader.denial().is_none());
        reader.read(statement, &rules);
        reader.settle(&rules);
        assert_eq!(reader.denial().map(|denial| denial.how.as_str()), Some("SELECT * or RETURNING *"));
    }

    #[test]
    fn a_statement_as_deep_as_is_parsed_does_not_overflow_the_stack_of_a_worker() {
        let (open, close) = ("(".repeat(900), ")".repeat(900));
        let nested = format!("SELECT address FROM customers WHERE {open}a{close}");
        let reader = reading(&refused("shop", &nested));
        assert_eq!(reader.denial().map(|denial| denial.how.as_str()), Some("names the column"));
    }

    #[test]
    fn what_goes_on_with_a_line_that_is_not_understood_is_no_part_of_a_statement() {
        let text = refused("shop", "SELECT address FROM customers") + "something else\n\thunter2\n";
        let reader = reading(&text);
        assert_eq!(reader.denial().map(|denial| denial.text.as_str()), Some("SELECT address FROM customers"));
    }

    #[test]
    fn a_refusal_without_its_statement_counts() {
        let text = refused("shop", "SELECT 1");
        let message = text.lines().next().expect("a line");
        assert_eq!(
            reading(message).denial().map(|denial| (denial.text.as_str(), denial.how.as_str())),
            Some(("", "the log does not have the statement"))
        );
    }

    #[test]
    fn what_fails_for_a_reason_of_the_schema_is_counted_and_other_mistakes_are_not() {
        let plan = plan();
        let since = Some("2026-11-23T07:00:00Z".parse().expect("a time"));
        let rules = Rules {
            plan: &plan,
            hidden: None,
            database: "ecommerce",
            ours: "tidegate",
            failures_since: since,
        };
        let told = |role: &str, message: &str, statement: &str| {
            let text = refused(role, statement).replace("permission denied for table customers", message);
            let mut reader = LogReader::default();
            reader.read(&text, &rules);
            reader.settle(&rules);
            let (count, last) = reader.failures();
            (count, last.map(|failure| failure.text.clone()))
        };
        for message in [
            "column \"adress\" does not exist at character 8",
            "relation \"customer\" does not exist",
            "function initcap(integer) does not exist",
            "column reference \"city\" is ambiguous at character 8",
            "cached plan must not change result type",
            "INSERT has more expressions than target columns at character 40",
            "column \"city\" is of type integer but expression is of type text",
        ] {
            let told = told("shop", message, "SELECT address FROM customers WHERE id = 7");
            assert_eq!(told, (1, Some("SELECT address FROM customers WHERE id = ?".to_owned())), "{message}");
        }
        let nothing = (0, None);
        for message in ["duplicate key value violates unique constraint", "division by zero", "syntax error"]
        {
            assert_eq!(told("shop", message, "SELECT address FROM customers"), nothing, "{message}");
        }
        let missing = "column \"adress\" does not exist";
        assert_eq!(told("shop", missing, "SELECT adress FROM suppliers"), nothing, "another table");
        let ddl = "ALTER TABLE customers DROP COLUMN adress";
        assert_eq!(told("shop", missing, ddl), nothing, "DDL");
        assert_eq!(told("tidegate", missing, "SELECT adress FROM customers"), nothing, "our own");
    }

    #[test]
    fn a_prefix_inside_of_a_statement_is_no_line() {
        let fake = format!("SELECT '\n{}'", refused("shop", "SELECT address FROM customers"));
        let text = format!(
            "2026-11-23 07:00:01 UTC:[local]:shop@ecommerce:[1]:LOG:  statement: {}\n",
            fake.replace('\n', "\n\t")
        );
        assert!(reading(&text).denial().is_none());
    }

    #[test]
    fn another_prefix_or_language_is_not_understood() {
        let german = "2026-11-23 07:00:01 UTC:[local]:shop@ecommerce:[1]:FEHLER:  keine Berechtigung";
        let plain = "2026-11-23 07:00:01.123 UTC [4711] ERROR:  permission denied for table customers";
        for text in [german, plain] {
            assert!(!reading(text).understood(), "{text}");
        }
        let own = "2026-11-23 07:00:01 UTC::@:[77]:LOG:  checkpoint starting: time";
        assert!(reading(own).understood());
    }

    #[test]
    fn whatever_stands_in_a_log_is_survived() {
        let line = refused("shop", "SELECT address FROM customers");
        for cut in 0..line.len() {
            reading(&line[..cut]);
            reading(&line[cut..]);
        }
        reading("\u{0}\n\t\n2026-11-23 07:00:01 UTC:é(:[:[]:x:  \n2026-11-2é 07:00:01");
    }
}
