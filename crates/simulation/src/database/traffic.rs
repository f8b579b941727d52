//! The application's statements, by simulated time.
//!
//! A version of the application runs statements at a rate while tasks of it run; the simulation says which. What a statement
//! does is data: which columns it names and what it writes. A statement that the schema does not carry any more fails, is
//! logged as the server logs it, and is not counted in the statistics, as on a real server. Must not decide anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use tidegate_model::schema::TableName;

use super::{
    catalog::{Catalog, Table},
    log::{From, MOST_AT_ONCE},
    roles::{Roles, may_use},
    rows::{Row, Write},
    state::State,
};

/// Most rows that one look writes for one statement: what is written over and over says no more.
const MOST_ROWS: u64 = 1_000;

/// What a statement names of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// These columns.
    Columns(Vec<String>),
    /// All that there are: `SELECT *`.
    Everything,
}

impl Names {
    /// True if a column is among them.
    fn has(&self, column: &str) -> bool {
        match self {
            Self::Columns(columns) => columns.iter().any(|name| name == column),
            Self::Everything => true,
        }
    }
}

/// What a statement does with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It reads.
    Read,
    /// It makes a row.
    Insert(Write),
    /// It writes a row that is there: each call the next one.
    Update(Write),
}

/// A statement of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its text as the statistics have it: `$n` where constants were.
    pub text: String,
    /// Its table.
    pub table: TableName,
    /// What it names of it.
    pub names: Names,
    /// What it does.
    pub does: Does,
}

/// A version of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its name: whatever the simulation calls its revisions.
    pub name: String,
    /// The role in which it runs.
    pub role: String,
    /// Its statements, each with its calls a minute.
    pub statements: Vec<(Statement, u32)>,
}

/// Why a statement would not work now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// SQLSTATE 42P01.
    #[error("there is no table {0}")]
    NoTable(TableName),
    /// SQLSTATE 42703.
    #[error("there is no column {column} in {table}")]
    NoColumn {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// SQLSTATE 42501.
    #[error("role {role} may not use column {column} of {table}")]
    Refused {
        /// The role.
        role: String,
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
}

impl Misfit {
    /// The server's message. Source: `aclcheck_error` names the table, whatever column was missed; a name that does not exist
    /// is found before any right is looked at.
    fn message(&self) -> String {
        match self {
            Self::NoTable(table) => format!("relation \"{}\" does not exist at character 15", table.table),
            Self::NoColumn { column, .. } => format!("column \"{column}\" does not exist at character 8"),
            Self::Refused { table, .. } => format!("permission denied for table {}", table.table),
        }
    }
}

/// Whether the server would carry a statement out for a role now.
pub(super) fn fits(
    catalog: &Catalog,
    roles: &Roles,
    role: &str,
    statement: &Statement,
) -> Result<(), Misfit> {
    let name = &statement.table;
    let table = catalog.tables.get(name).ok_or_else(|| Misfit::NoTable(name.clone()))?;
    let named: Vec<&String> = match &statement.names {
        Names::Columns(columns) => columns.iter().collect(),
        Names::Everything => table.columns.keys().collect(),
    };
    if let Some(column) = named.iter().find(|column| !table.columns.contains_key(**column)) {
        return Err(Misfit::NoColumn { table: name.clone(), column: (*column).clone() });
    }
    match named.iter().find(|column| !may_use(roles, table, role, column)) {
        Some(column) => {
            Err(Misfit::Refused { role: role.to_owned(), table: name.clone(), column: (*column).clone() })
        }
        None => Ok(()),
    }
}

/// The application, and how far its calls were made.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    pub(super) versions: BTreeMap<String, Version>,
    running: BTreeSet<String>,
    until: Timestamp,
    /// What is left of a call, in minutes' thousandths of a second, by version and statement.
    left: BTreeMap<(String, usize), u128>,
    /// The key that the next update takes, by table.
    next: BTreeMap<TableName, i64>,
    /// How many statements failed, by version.
    pub(super) failed: BTreeMap<String, u64>,
    /// When each was last carried out, by version and statement.
    carried_out: BTreeMap<(String, usize), Timestamp>,
}

/// The first process id of the application's sessions.
const FIRST_PID: i32 = 2_000;

impl Traffic {
    pub(super) fn new(versions: Vec<Version>, from: Timestamp) -> Self {
        Self {
            versions: versions.into_iter().map(|version| (version.name.clone(), version)).collect(),
            running: BTreeSet::new(),
            until: from,
            left: BTreeMap::new(),
            next: BTreeMap::new(),
            failed: BTreeMap::new(),
            carried_out: BTreeMap::new(),
        }
    }

    /// When a statement that names a column was last carried out.
    pub(super) fn last_named(&self, table: &TableName, column: &str) -> Option<Timestamp> {
        let names = |version: &String, at: usize| {
            let statement = self.versions.get(version).and_then(|version| version.statements.get(at));
            statement.is_some_and(|(statement, _)| statement.table == *table && statement.names.has(column))
        };
        let named = self.carried_out.iter().filter(|((version, at), _)| names(version, *at));
        named.map(|(_, when)| *when).max()
    }

    pub(super) fn set_running<'a>(&mut self, versions: impl IntoIterator<Item = &'a str>) {
        self.running = versions.into_iter().map(str::to_owned).collect();
    }

    /// The calls that are due by now, by version and statement.
    fn due(&mut self, now: Timestamp) -> Vec<(String, usize, u64)> {
        let passed = u128::try_from(now.duration_since(self.until).as_millis()).unwrap_or(0);
        self.until = self.until.max(now);
        let mut due = Vec::new();
        for name in &self.running {
            let statements = self.versions.get(name).map_or(&[][..], |version| &version.statements);
            for (at, (_, per_minute)) in statements.iter().enumerate() {
                let left = self.left.entry((name.clone(), at)).or_insert(0);
                *left += passed * u128::from(*per_minute);
                let calls = u64::try_from(*left / 60_000).unwrap_or(u64::MAX);
                *left %= 60_000;
                if calls > 0 {
                    due.push((name.clone(), at, calls));
                }
            }
        }
        due
    }
}

/// Makes the calls that are due by now. A server that nobody can reach carries none out, and logs none.
pub(super) fn catch_up(state: &mut State, now: Timestamp) {
    for (name, at, calls) in state.traffic.due(now) {
        if !state.reachable {
            *state.traffic.failed.entry(name).or_insert(0) += calls;
            continue;
        }
        let Some(version) = state.traffic.versions.get(&name) else { continue };
        let Some((statement, _)) = version.statements.get(at) else { continue };
        let (role, statement) = (version.role.clone(), statement.clone());
        if run(state, &role, &statement, calls, now).is_err() {
            *state.traffic.failed.entry(name).or_insert(0) += calls;
        } else {
            state.traffic.carried_out.insert((name, at), now);
        }
    }
}

/// Runs a statement so many times in a role.
pub(super) fn run(
    state: &mut State,
    role: &str,
    statement: &Statement,
    calls: u64,
    now: Timestamp,
) -> Result<(), Misfit> {
    let outcome = fits(&state.contents.catalog, &state.roles, role, statement);
    match &outcome {
        Ok(()) => {
            state.statistics.count(role, statement, calls, &state.contents.catalog);
            for _ in 0..calls.min(MOST_ROWS) {
                write(state, statement);
            }
        }
        Err(misfit) => {
            let at = state.roles.keys().position(|known| known == role).unwrap_or(0);
            let pid = FIRST_PID + i32::try_from(at).unwrap_or(0);
            let from = From { role, database: &state.database, pid };
            for _ in 0..calls.min(MOST_AT_ONCE) {
                state.log.failed(now, from, &misfit.message(), &statement.text);
            }
        }
    }
    outcome
}

fn write(state: &mut State, statement: &Statement) {
    let in_step = |table: &Table, catalog: &Catalog| catalog.is_kept_in_step(table);
    let kept = state.contents.catalog.tables.get(&statement.table);
    let kept = kept.is_some_and(|table| in_step(table, &state.contents.catalog));
    let Some(table) = state.contents.catalog.tables.get_mut(&statement.table) else { return };
    let (write, key) = match statement.does {
        Does::Read => return,
        Does::Insert(write) => (write, table.rows.last_key_value().map_or(1, |(last, _)| last + 1)),
        Does::Update(write) => {
            let next = state.traffic.next.entry(statement.table.clone()).or_insert(i64::MIN);
            let found = table.rows.range(*next..).next().or_else(|| table.rows.first_key_value());
            let Some((key, _)) = found else { return };
            *next = key.saturating_add(1);
            (write, *key)
        }
    };
    let row = Arc::make_mut(&mut table.rows).entry(key).or_insert(Row::Bare);
    *row = row.after(write, kept);
    if kept && write == Write::BothApart {
        table.conflicts += 1;
    }
}
