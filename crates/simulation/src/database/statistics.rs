//! The modelled server's statement statistics, and what they say of a change.
//!
//! Written by traffic; read by the observation. Whether a statement names the old form is told by the schema crate's own reader,
//! from its text and the model's catalog; what a statement uses is told by whoever runs it, because nothing here executes SQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use tidegate_model::schema::{
    ChangePlan, Evidence, EvidenceRead, Finding, Namer, Object, RollbackCertificate, TableName,
};
use tidegate_schema::{
    evidence::shown,
    readers::{Catalog as Known, Mention, Reader, on_parser_stack, words},
    reads_or_writes, tables,
};

use super::{
    catalog::Catalog,
    traffic::{Names, Statement},
};

/// Most statements that are kept as namers, and most findings that are told: the schema crate's limits.
const MOST_NAMERS: usize = 200;
const MOST_TOLD: usize = 20;

/// `pg_stat_statements`.
#[derive(Debug)]
pub(super) struct Statistics {
    pub(super) reset: Timestamp,
    pub(super) dealloc: i64,
    /// Why they cannot tell anything, if they cannot.
    pub(super) missing: Option<String>,
    entries: BTreeMap<EntryKey, Entry>,
    newest: u64,
    /// What texts were found to say, for the reader that was asked last.
    read: Mutex<(Option<Reader>, BTreeMap<String, Mention>)>,
}

/// What makes an entry: role, text, and the columns that a `*` meant when it ran. The server knows a statement by what it was
/// analysed into, so that `SELECT *` begins another entry with every change of the table.
type EntryKey = (String, String, Vec<String>);

#[derive(Clone, Debug)]
struct Entry {
    id: u64,
    calls: i64,
    statement: Statement,
}

impl Statistics {
    pub(super) fn new(reset: Timestamp) -> Self {
        Self { reset, dealloc: 0, missing: None, entries: BTreeMap::new(), newest: 0, read: Mutex::default() }
    }

    /// Forgets every entry, as a reset or a crash does.
    pub(super) fn forget(&mut self, at: Timestamp) {
        self.entries.clear();
        self.reset = at;
    }

    /// Counts calls of a statement that a role ran and that the server carried out.
    pub(super) fn count(&mut self, role: &str, statement: &Statement, calls: u64, catalog: &Catalog) {
        let next = self.newest + 1;
        let columns = match &statement.names {
            Names::Columns(_) => Vec::new(),
            Names::Everything => catalog
                .tables
                .get(&statement.table)
                .map(|table| table.columns.keys().cloned().collect())
                .unwrap_or_default(),
        };
        let key = (role.to_owned(), statement.text.clone(), columns);
        let entry = self.entries.entry(key).or_insert_with(|| {
            self.newest = next;
            Entry { id: next, calls: 0, statement: statement.clone() }
        });
        entry.calls = entry.calls.saturating_add(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    /// Who still names the old form.
    pub(super) fn evidence(&self, plan: &ChangePlan, catalog: &Catalog) -> Evidence {
        if let Some(missing) = &self.missing {
            return Evidence::Missing(missing.clone());
        }
        let mentions = self.mentions(&reader(plan, catalog));
        let mut namers = BTreeMap::new();
        for ((role, text, _), entry) in &self.entries {
            let how = match mentions.get(text) {
                Some(Mention::DoesNot) => continue,
                Some(Mention::Names(how) | Mention::Unreadable(how)) => *how,
                None => "it cannot be parsed",
            };
            let namer =
                Namer { calls: entry.calls, text: shown(text), role: role.clone(), how: how.to_owned() };
            namers.insert(format!("{role}/16384/{}/true", entry.id), namer);
        }
        if namers.len() > MOST_NAMERS {
            return Evidence::Missing(format!(
                "more than {MOST_NAMERS} statements name what contract removes"
            ));
        }
        Evidence::Read(EvidenceRead { stats_reset: self.reset, dealloc: self.dealloc, namers })
    }

    /// What each text says; parsed once for each question.
    fn mentions(&self, reader: &Reader) -> BTreeMap<String, Mention> {
        // A poisoned lock only means that an earlier reading stopped halfway: every entry is still right.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.0.as_ref() != Some(reader) {
            *read = (Some(reader.clone()), BTreeMap::new());
        }
        let texts: BTreeSet<&String> =
            self.entries.keys().map(|(_, text, _)| text).filter(|text| !read.1.contains_key(*text)).collect();
        if !texts.is_empty() {
            let look =
                || texts.iter().map(|text| ((*text).clone(), reader.mention(text, true))).collect::<Vec<_>>();
            let found = on_parser_stack(look).unwrap_or_default();
            read.1.extend(found);
        }
        read.1.clone()
    }

    /// What speaks for going back to a revision from before the change.
    pub(super) fn certificate(&self, plan: &ChangePlan, catalog: &Catalog) -> RollbackCertificate {
        if let Some(missing) = &self.missing {
            return RollbackCertificate { missing: Some(missing.clone()), ..RollbackCertificate::default() };
        }
        let names: BTreeSet<String> =
            tables(plan).into_iter().map(|table| table.table.to_lowercase()).collect();
        let concerns = |text: &str| reads_or_writes(text) && !words(text).is_disjoint(&names);
        let (mut roles, mut texts) = (BTreeSet::new(), BTreeMap::new());
        for ((role, text, _), entry) in self.entries.iter().filter(|((_, text, _), _)| concerns(text)) {
            roles.insert(role.clone());
            texts.insert(text, unproven(&entry.statement, plan, catalog));
        }
        let mut certificate =
            RollbackCertificate { roles: roles.into_iter().collect(), ..Default::default() };
        for (text, why) in texts {
            certificate.statements += 1;
            match why {
                None => certificate.proven += 1,
                Some(why) if certificate.unproven.len() < MOST_TOLD => {
                    certificate.unproven.push(Finding { text: shown(text), why });
                }
                Some(_) => {}
            }
        }
        certificate
    }
}

/// Why preparing a statement against the present schema proves nothing; `None` if it does.
fn unproven(statement: &Statement, plan: &ChangePlan, catalog: &Catalog) -> Option<String> {
    let Some(table) = catalog.tables.get(&statement.table) else {
        return Some(cannot_prepare("42P01"));
    };
    match &statement.names {
        Names::Columns(columns) => {
            let all = columns.iter().all(|column| table.columns.contains_key(column));
            (!all).then(|| cannot_prepare("42703"))
        }
        Names::Everything => {
            let named = words(&statement.text);
            let added = plan.adds.iter().find_map(|object| match object {
                Object::Column { table, column } if *table == statement.table => Some(column),
                Object::Column { .. }
                | Object::Table(_)
                | Object::Trigger { .. }
                | Object::Function { .. }
                | Object::Index { .. } => None,
            });
            let unasked =
                added.filter(|column| table.columns.contains_key(*column) && !named.contains(*column));
            unasked.map(|column| {
                format!("it answers the new column {column} without naming it, and fails once where it was prepared before (0A000)")
            })
        }
    }
}

fn cannot_prepare(state: &str) -> String {
    format!("the server cannot prepare its normalised text (SQLSTATE {state})")
}

/// The schema crate's reader, with what the model's catalog knows. Views and functions of others are not modelled.
fn reader(plan: &ChangePlan, catalog: &Catalog) -> Reader {
    let old: Vec<Object> = plan.old_form().cloned().collect();
    let named: BTreeSet<&String> = old
        .iter()
        .filter_map(|object| match object {
            Object::Column { column, .. } => Some(column),
            Object::Table(_) | Object::Trigger { .. } | Object::Function { .. } | Object::Index { .. } => {
                None
            }
        })
        .collect();
    let columns: BTreeMap<TableName, BTreeSet<String>> = catalog
        .tables
        .iter()
        .map(|(name, table)| {
            let same = table.columns.keys().filter(|column| named.contains(column)).cloned().collect();
            (name.clone(), same)
        })
        .filter(|(_, columns): &(_, BTreeSet<String>)| !columns.is_empty())
        .collect();
    Reader::new(&old, Known { columns, ..Known::default() })
}
