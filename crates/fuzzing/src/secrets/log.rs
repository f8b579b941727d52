//! The database server's log: the secret stands in messages, in details of customers' rows, and in constants of statements.

use arbitrary::Arbitrary;
use tidegate_model::{
    ChangeName, Digest,
    schema::{ChangePlan, Hidden, Object, TableName},
};
use tidegate_schema::server_log::{LogReader, Rules};

use super::{
    SECRET, silent,
    tokens::{self, Token},
};

/// A line, and the lines that go on with it.
#[derive(Arbitrary, Debug)]
pub(super) enum Line<'a> {
    /// Somebody is refused.
    Denied { pid: u8, role: u8 },
    /// A statement fails for a reason of the schema.
    Missing { pid: u8, role: u8 },
    /// The statement of a message.
    Statement { pid: u8, role: u8, tokens: Vec<Token<'a>> },
    /// What else is said of a message.
    Detail { pid: u8, role: u8, tag: u8, text: &'a str },
    /// Anything.
    Other(&'a str),
}

const TAGS: [&str; 8] = ["DETAIL", "HINT", "QUERY", "CONTEXT", "LOCATION", "LOG", "ERROR", "BACKTRACE"];

pub(super) fn read(lines: &[Line<'_>]) {
    let text: String = lines.iter().take(40).map(line).collect();
    let (plan, hidden) = (plan(), hidden());
    let since = Some(hidden.at);
    let rules = Rules {
        plan: &plan,
        hidden: Some(&hidden),
        database: "ecommerce",
        ours: "tidegate",
        failures_since: since,
    };
    let mut reader = LogReader::default();
    reader.read(&text, &rules);
    reader.settle(&rules);
    let shown = format!("{:?} {:?}", reader.denial(), reader.failures());
    silent(&shown, &text);
}

fn line(line: &Line<'_>) -> String {
    match line {
        Line::Denied { pid, role } => {
            format!("{}ERROR:  permission denied for table customers\n", head(*pid, *role))
        }
        Line::Missing { pid, role } => {
            format!("{}ERROR:  column \"address\" does not exist at character 8\n", head(*pid, *role))
        }
        Line::Statement { pid, role, tokens } => {
            let text = format!("SELECT address FROM customers WHERE {}", tokens::text(tokens));
            format!("{}STATEMENT:  {}\n", head(*pid, *role), text.replace('\n', "\n\t"))
        }
        Line::Detail { pid, role, tag, text } => {
            let tag = TAGS[usize::from(*tag) % TAGS.len()];
            format!("{}{tag}:  {SECRET}{}\n", head(*pid, *role), text.replace(['\n', '\r'], "\n\t"))
        }
        // A line of its own, and one that goes on with it: a tab alone would go on with the statement before.
        Line::Other(text) => {
            let text = text.replace(['\n', '\r', '\t'], " ");
            format!("{text}{SECRET}\n\t{SECRET}\n")
        }
    }
}

fn head(pid: u8, role: u8) -> String {
    let role = ["shop", "reporter", "tidegate"][usize::from(role) % 3];
    format!("2026-11-23 07:00:01 UTC:10.0.3.7(41234):{role}@ecommerce:[{}]:", pid % 4)
}

fn customers() -> TableName {
    TableName { schema: "public".to_owned(), table: "customers".to_owned() }
}

/// A change that removes one column.
fn plan() -> ChangePlan {
    let change: ChangeName = "a-change".parse().expect("a name");
    let removes = vec![Object::Column { table: customers(), column: "address".to_owned() }];
    let (files, adds) = Default::default();
    ChangePlan { change, files, runner: None, adds, removes, digest: Digest::of("a plan") }
}

fn hidden() -> Hidden {
    Hidden {
        at: "2026-11-23T07:00:00Z".parse().expect("a time"),
        tables: vec![customers()],
        taken_from: vec!["shop".to_owned()],
        bypassed_by: Vec::new(),
        regranted_to: Vec::new(),
    }
}
