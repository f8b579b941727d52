//! The SQL that keeps old and new form in step.
//!
//! Called by [`super::generate`] with a sync file that was taken apart. Pure text; it reads nothing. What is generated, by
//! name (`customers_address` is the table and the file's name):
//!
//! | object | does |
//! |---|---|
//! | `customers_address_up_1`, ... `_down_1`, ... | the mapping of each column as it was written, and its WHERE (`_up_if`) |
//! | `customers_address_up`, `_down` | the same, NULL instead of an error or of what a column is too short for |
//! | `customers_address_in_sync` | up(old) is new, or down(new) is old |
//! | `customers_address_sync` | the trigger's function; it writes the other form only if the row is not in sync |
//! | `customers_address_sync_insert`, `_update` | the triggers; an UPDATE of other columns does not call the function |
//! | `customers_address_conflict` | a row for each write that gave both forms and they disagreed; the new form won |
//!
//! The functions are not marked immutable: the server takes that for a promise, and the mapping is the team's.

use std::fmt::Write as _;

use tidegate_model::schema::{SyncColumn, SyncPlan};

use super::{
    SourceFile,
    read::{Mapping, Sync, Target},
};
use crate::{catalog::quoted, source::RawFile};

/// Every file that stands for the sync file.
pub(super) fn files(sync: &Sync, from: &str, with_contract: bool) -> Vec<SourceFile> {
    let sql = Sql::new(sync);
    let file = |phase: &str, text: String, plan| SourceFile {
        raw: RawFile { name: format!("{}_{phase}_{}-sync.sql", sync.version, sync.title), text },
        sync: plan,
        from: Some(from.to_owned()),
    };
    let mut files = vec![
        file("expand", sql.expand(), Some(plan(sync, sql.name("in_sync")))),
        file("backfill", sql.backfill(), None),
        file("check", sql.check(), None),
    ];
    if with_contract {
        files.push(file("contract", sql.contract(), None));
    }
    files
}

fn plan(sync: &Sync, in_sync: String) -> SyncPlan {
    let columns = |mapping: &Mapping| {
        let column =
            |target: &Target| SyncColumn { name: target.column.clone(), total: target.fallback.is_some() };
        mapping.targets.iter().map(column).collect()
    };
    SyncPlan {
        table: sync.table.clone(),
        old: columns(&sync.down),
        new: columns(&sync.up),
        unmapped: sync.unmapped,
        in_sync,
    }
}

/// The check that was generated, over some pages of the table: their share in percent is its parameter.
pub(crate) fn sampled(check: &str) -> Option<String> {
    let generated = check.starts_with(NOTE).then_some(check)?;
    let whole = generated.strip_suffix(CHECK_ENDS)?;
    Some(format!("{whole} TABLESAMPLE SYSTEM ($1){CHECK_ENDS}"))
}

/// How a generated check ends, after its table. The OFFSET keeps the server from judging a row once for each count.
const CHECK_ENDS: &str = "\n    OFFSET 0\n) AS judged;\n";

/// What every generated text begins with, except a backfill, which begins with its header.
const NOTE: &str = "-- Generated from ";

/// One form: its columns, quoted, and what the generated functions call them.
struct Form {
    columns: Vec<String>,
    /// The column's type, with its length where the place allows one.
    types: Vec<String>,
    /// Where a mapping to this form leaves its result.
    variables: Vec<String>,
    /// What a column falls back to that is never NULL.
    fallbacks: Vec<Option<String>>,
}

impl Form {
    fn new(mapping: &Mapping, table: &str, word: &str) -> Self {
        let columns: Vec<String> = mapping.targets.iter().map(|target| quoted(&target.column)).collect();
        let types = columns.iter().map(|column| format!("{table}.{column}%TYPE")).collect();
        let variables = (1..=columns.len()).map(|n| format!("tidegate_{word}_{n}")).collect();
        let fallbacks = mapping.targets.iter().map(|target| target.fallback.clone()).collect();
        Self { columns, types, variables, fallbacks }
    }

    /// `a, b`
    fn list(&self) -> String {
        self.columns.join(", ")
    }

    /// The declarations of its variables. They have the columns' own types, so what is too long is an error of the mapping and
    /// not of the write.
    fn declared(&self) -> String {
        let mut text = String::new();
        for ((variable, kind), fallback) in self.variables.iter().zip(&self.types).zip(&self.fallbacks) {
            let _ = writeln!(text, "    {variable} {kind};");
            if let Some(constant) = fallback {
                let _ = writeln!(text, "    {variable}_or {kind} := {constant};");
            }
        }
        text
    }

    /// `row.a, row.b`
    fn of(&self, row: &str) -> Vec<String> {
        self.columns.iter().map(|column| format!("{row}.{column}")).collect()
    }

    /// What must hold besides for the row to be in sync: ` AND row.a IS NOT NULL` for each column that is never NULL.
    fn filled(&self, given: &[String]) -> String {
        let each = given.iter().zip(&self.fallbacks).filter(|(_, fallback)| fallback.is_some());
        each.map(|(column, _)| format!(" AND {column} IS NOT NULL")).collect()
    }

    /// `a type, b type`, each after the word.
    fn typed(&self, word: &str) -> Vec<String> {
        self.columns.iter().zip(&self.types).map(|(column, kind)| format!("{word}{column} {kind}")).collect()
    }
}

struct Sql<'a> {
    sync: &'a Sync,
    table: String,
    old: Form,
    new: Form,
}

impl<'a> Sql<'a> {
    fn new(sync: &'a Sync) -> Self {
        let table = format!("{}.{}", quoted(&sync.table.schema), quoted(&sync.table.table));
        let (old, new) = (Form::new(&sync.down, &table, "old"), Form::new(&sync.up, &table, "new"));
        Self { sync, table, old, new }
    }

    /// The name of something that is generated, with its schema.
    fn name(&self, suffix: &str) -> String {
        format!("{}.{}", quoted(&self.sync.table.schema), self.bare(suffix))
    }

    fn bare(&self, suffix: &str) -> String {
        quoted(&format!("{}_{suffix}", self.sync.prefix))
    }

    fn note(&self) -> String {
        let Sync { version, title, .. } = self.sync;
        format!("{NOTE}{version}_sync_{title}.sql.\n")
    }

    fn expand(&self) -> String {
        let Self { sync, old, new, .. } = self;
        let mut text = self.note();
        for part in [
            self.mapping("up", &sync.up, old, new),
            self.mapping("down", &sync.down, new, old),
            self.guarded("up", &sync.up, old, new),
            self.guarded("down", &sync.down, new, old),
            self.in_sync(),
            self.conflicts(),
            self.trigger_function(),
            self.triggers(),
        ] {
            text.push('\n');
            text.push_str(&part);
        }
        text
    }

    /// A mapping in the team's own words: a function for each column, and one for the condition. Bodies that are no strings are
    /// parsed when the functions are created: an unknown column or function fails there, and no search path can lead them
    /// astray later. Each is one expression, which PL/pgSQL evaluates without a statement.
    fn mapping(&self, suffix: &str, mapping: &Mapping, from: &Form, to: &Form) -> String {
        let given = from.typed("").join(", ");
        let function = |name: &str, kind: &str, expression: &str| {
            let name = self.name(&format!("{suffix}_{name}"));
            format!(
                "CREATE FUNCTION {name}({given}) RETURNS {kind} LANGUAGE sql STABLE\n    RETURN {expression}\n;\n"
            )
        };
        let mut text = mapping.condition.iter().map(|it| function("if", "boolean", it)).collect::<String>();
        for (n, (target, kind)) in (1..).zip(mapping.targets.iter().zip(&to.types)) {
            text.push_str(&function(&format!("{n}"), kind, &target.expression));
        }
        text
    }

    /// A mapping that never raises an error.
    fn guarded(&self, suffix: &str, mapping: &Mapping, from: &Form, to: &Form) -> String {
        let parameters = [unnamed(from), to.typed("OUT ")].concat().join(", ");
        let answers = to.columns.iter().zip(&to.variables);
        let answers: String =
            answers.map(|(column, variable)| format!("    {column} := {variable};\n")).collect();
        [
            format!("CREATE FUNCTION {}({parameters})\n", self.name(suffix)),
            format!("LANGUAGE plpgsql STABLE AS $tidegate$\nDECLARE\n{}BEGIN\n", to.declared()),
            self.mapped(suffix, mapping, to, &positions(from, 1)),
            format!("{answers}END\n$tidegate$;\n"),
        ]
        .concat()
    }

    /// Evaluates a mapping into its variables, and falls back if that fails. Nothing here is a statement: those cost more than the
    /// mapping does, and the statement statistics would show them with the columns that they name.
    fn mapped(&self, suffix: &str, mapping: &Mapping, to: &Form, given: &[String]) -> String {
        let given = given.join(", ");
        let (mut assigned, mut fallen_back) = (String::new(), String::new());
        for (n, (variable, fallback)) in (1..).zip(to.variables.iter().zip(&to.fallbacks)) {
            let function = self.name(&format!("{suffix}_{n}"));
            let _ = writeln!(assigned, "        {variable} := {function}({given});");
            let instead = if fallback.is_some() { format!("{variable}_or") } else { "NULL".to_owned() };
            let _ = writeln!(fallen_back, "        {variable} := {instead};");
        }
        if mapping.condition.is_some() {
            let condition = self.name(&format!("{suffix}_if"));
            let assigned_if = assigned.replace("        tidegate_", "            tidegate_");
            assigned = format!("        IF {condition}({given}) THEN\n{assigned_if}        END IF;\n");
        }
        format!("    BEGIN\n{assigned}    EXCEPTION WHEN OTHERS THEN\n{fallen_back}    END;\n")
    }

    fn in_sync(&self) -> String {
        let Self { sync, old, new, .. } = self;
        let (given_old, given_new) = (positions(old, 1), positions(new, 1 + old.columns.len()));
        let parameters = [old.types.clone(), new.types.clone()].concat().join(", ");
        let is_new = format!("{}{}", same(&new.variables, &given_new), old.filled(&given_old));
        let is_old = format!("{}{}", same(&old.variables, &given_old), new.filled(&given_new));
        [
            format!("CREATE FUNCTION {}({parameters})\nRETURNS boolean\n", self.name("in_sync")),
            "LANGUAGE plpgsql STABLE AS $tidegate$\nDECLARE\n".into(),
            new.declared(),
            old.declared(),
            "BEGIN\n".into(),
            self.mapped("up", &sync.up, new, &given_old),
            format!("    IF {is_new} THEN\n        RETURN true;\n    END IF;\n"),
            self.mapped("down", &sync.down, old, &given_new),
            format!("    RETURN {is_old};\nEND\n$tidegate$;\n"),
        ]
        .concat()
    }

    fn conflicts(&self) -> String {
        format!(
            "CREATE TABLE {} (\n    {} bigint NOT NULL,\n    noticed_at timestamptz NOT NULL DEFAULT now()\n);\n",
            self.name("conflict"),
            quoted(&self.sync.key),
        )
    }

    /// Runs as its owner, so that a role which may write the table needs no right on what is generated; the search path is
    /// fixed because of that.
    fn trigger_function(&self) -> String {
        let Self { sync, old, new, .. } = self;
        let (row_old, row_new, key) = (old.of("NEW"), new.of("NEW"), quoted(&self.sync.key));
        let is_new = format!("{}{}", same(&new.variables, &row_new), old.filled(&row_old));
        let is_old = format!("{}{}", same(&old.variables, &row_old), new.filled(&row_new));
        [
            format!("CREATE FUNCTION {}() RETURNS trigger\n", self.name("sync")),
            "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $tidegate$\nDECLARE\n".into(),
            new.declared(),
            old.declared(),
            "    wrote_old boolean;\n    wrote_new boolean;\nBEGIN\n".into(),
            self.mapped("up", &sync.up, new, &row_old),
            format!("    IF {is_new} THEN\n        RETURN NEW;\n    END IF;\n"),
            self.mapped("down", &sync.down, old, &row_new),
            format!("    IF {is_old} THEN\n        RETURN NEW;\n    END IF;\n"),
            // An INSERT cannot be asked which columns it named.
            format!("    IF TG_OP = 'INSERT' THEN\n        wrote_old := {};\n", any_given(&row_old)),
            format!("        wrote_new := {};\n    ELSE\n", any_given(&row_new)),
            format!("        wrote_old := {};\n        wrote_new := {};\n    END IF;\n", changed(old), changed(new)),
            "    IF wrote_new THEN\n        IF wrote_old THEN\n".into(),
            format!("            INSERT INTO {} ({key}) VALUES (NEW.{key});\n        END IF;\n", self.name("conflict")),
            assigned(old, &row_old),
            format!("    ELSE\n{}    END IF;\n", assigned(new, &row_new)),
            kept_filled(old, &row_old),
            kept_filled(new, &row_new),
            "    RETURN NEW;\nEND\n$tidegate$;\n".into(),
        ]
        .concat()
    }

    fn triggers(&self) -> String {
        let Self { old, new, table, .. } = self;
        let function = self.name("sync");
        format!(
            "CREATE TRIGGER {} BEFORE INSERT ON {table}\n    FOR EACH ROW EXECUTE FUNCTION {function}();\n\
             CREATE TRIGGER {} BEFORE UPDATE ON {table}\n    FOR EACH ROW WHEN ({} OR {})\n    EXECUTE FUNCTION {function}();\n",
            self.bare("sync_insert"),
            self.bare("sync_update"),
            changed(old),
            changed(new),
        )
    }

    fn backfill(&self) -> String {
        let Self { sync, table, old, new, .. } = self;
        let key = quoted(&sync.key);
        format!(
            "-- tidegate: key={} batch={}\n{}UPDATE {table} AS t\nSET ({}) = (SELECT {} FROM {}({}) AS mapped ({}))\n\
             WHERE t.{key} > $1\n  AND t.{key} <= $2\n  AND ({} OR {})\n  AND NOT {};\n",
            sync.key,
            sync.batch,
            self.note(),
            new.list(),
            new.of("mapped").join(", "),
            self.name("up"),
            old.of("t").join(", "),
            new.list(),
            any_given(&old.of("t")),
            none_given(&new.of("t")),
            self.is_in_sync(),
        )
    }

    /// One read of the table, in which each row is judged once. A row that is in sync although one of its forms is missing has no
    /// counterpart. The lowest key of each kind says where to look.
    fn check(&self) -> String {
        let Self { sync, table, old, new, .. } = self;
        let (row_old, row_new) = (old.of("t"), new.of("t"));
        let kinds = [
            ("disagreeing", "NOT in_sync"),
            ("unmapped", "in_sync AND has_old AND NOT has_new"),
            ("unmapped_back", "in_sync AND has_new AND NOT has_old"),
        ];
        let counts = kinds.map(|(kind, is)| {
            format!("count(*) FILTER (WHERE {is}) AS {kind},\n    min(key) FILTER (WHERE {is}) AS first_{kind},\n    ")
        });
        format!(
            "{}SELECT {}(SELECT count(*) FROM {}) AS conflicts\nFROM (\n    SELECT t.{}::bigint AS key, ({}) AS has_old, ({}) AS has_new,\n        \
             {} AS in_sync\n    FROM {table} AS t{CHECK_ENDS}",
            self.note(),
            counts.concat(),
            self.name("conflict"),
            quoted(&sync.key),
            any_given(&row_old),
            any_given(&row_new),
            self.is_in_sync(),
        )
    }

    fn contract(&self) -> String {
        let mut text = self.note();
        for trigger in ["sync_insert", "sync_update"] {
            let _ = writeln!(text, "DROP TRIGGER {} ON {};", self.bare(trigger), self.table);
        }
        let _ = writeln!(text, "DROP FUNCTION {};", self.name("sync"));
        let _ = writeln!(text, "DROP TABLE {};", self.name("conflict"));
        for function in ["in_sync", "up", "down"] {
            let _ = writeln!(text, "DROP FUNCTION {};", self.name(function));
        }
        for (suffix, mapping) in [("up", &self.sync.up), ("down", &self.sync.down)] {
            let numbers = (1..=mapping.targets.len()).map(|n| n.to_string());
            for part in mapping.condition.iter().map(|_| "if".to_owned()).chain(numbers) {
                let _ = writeln!(text, "DROP FUNCTION {};", self.name(&format!("{suffix}_{part}")));
            }
        }
        text
    }

    fn is_in_sync(&self) -> String {
        let given = [self.old.of("t"), self.new.of("t")].concat();
        format!("{}({})", self.name("in_sync"), given.join(", "))
    }
}

/// Parameters without names, so that no column's name can mean one of them.
fn unnamed(form: &Form) -> Vec<String> {
    form.types.iter().map(|kind| format!("IN {kind}")).collect()
}

fn positions(form: &Form, first: usize) -> Vec<String> {
    (first..first + form.columns.len()).map(|n| format!("${n}")).collect()
}

fn assigned(form: &Form, row: &[String]) -> String {
    let each = row.iter().zip(&form.variables);
    each.map(|(column, variable)| format!("        {column} := {variable};\n")).collect()
}

/// Columns that are never NULL, should the statement have written neither form.
fn kept_filled(form: &Form, row: &[String]) -> String {
    let each =
        row.iter().zip(&form.variables).zip(&form.fallbacks).filter(|(_, fallback)| fallback.is_some());
    each.map(|((column, variable), _)| format!("    {column} := coalesce({column}, {variable});\n")).collect()
}

fn same(one: &[String], other: &[String]) -> String {
    let each = one.iter().zip(other).map(|(one, other)| format!("{one} IS NOT DISTINCT FROM {other}"));
    each.collect::<Vec<_>>().join(" AND ")
}

fn changed(form: &Form) -> String {
    let each = form.of("NEW").into_iter().zip(form.of("OLD"));
    each.map(|(new, old)| format!("{new} IS DISTINCT FROM {old}")).collect::<Vec<_>>().join(" OR ")
}

fn any_given(columns: &[String]) -> String {
    columns.iter().map(|column| format!("{column} IS NOT NULL")).collect::<Vec<_>>().join(" OR ")
}

fn none_given(columns: &[String]) -> String {
    columns.iter().map(|column| format!("{column} IS NULL")).collect::<Vec<_>>().join(" AND ")
}
