//! What the catalog of the target database shows.
//!
//! Called by [`crate::run`] before and after each step and by [`crate::observe`]. The catalog is the witness for the
//! schema: a log line or a journal row never is. Functions here only read.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, Row};
use tidegate_model::schema::{ChangePlan, Object, TableName};

use crate::{
    failure::Failure,
    readers::{Catalog, Reader, Unparsed},
};

/// Which of these objects exist.
pub(crate) async fn objects<'a>(
    connection: &mut PgConnection,
    objects: impl IntoIterator<Item = &'a Object>,
) -> Result<BTreeMap<Object, bool>, Failure> {
    let mut found = BTreeMap::new();
    for object in objects {
        if !found.contains_key(object) {
            let exists = exists(connection, object).await?;
            found.insert(object.clone(), exists);
        }
    }
    Ok(found)
}

async fn exists(connection: &mut PgConnection, object: &Object) -> Result<bool, Failure> {
    let query = match object {
        Object::Column { table, column } => sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
             AND c.relkind IN ('r', 'p', 'f') AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped)",
        )
        .bind(&table.schema)
        .bind(&table.table)
        .bind(column),
        Object::Table(table) => sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'f'))",
        )
        .bind(&table.schema)
        .bind(&table.table),
        Object::Trigger { table, name } => sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
             AND t.tgname = $3 AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A'))",
        )
        .bind(&table.schema)
        .bind(&table.table)
        .bind(name),
        Object::Function { schema, name } => sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
             WHERE n.nspname = $1 AND p.proname = $2)",
        )
        .bind(schema)
        .bind(name),
        // An index left INVALID by a failed build is not there.
        Object::Index { schema, name } => sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_index i ON i.indexrelid = c.oid WHERE n.nspname = $1 AND c.relname = $2 \
             AND i.indisvalid AND i.indisready)",
        )
        .bind(schema)
        .bind(name),
    };
    Ok(query.fetch_one(connection).await?)
}

/// Fails if one of the objects is not in the expected state.
pub(crate) async fn expect<'a>(
    connection: &mut PgConnection,
    expected: impl IntoIterator<Item = &'a Object>,
    exists: bool,
) -> Result<BTreeMap<Object, bool>, Failure> {
    let found = objects(connection, expected).await?;
    match found.iter().find(|(_, there)| **there != exists) {
        Some((object, there)) => Err(Failure::Unexpected { object: object.clone(), exists: *there }),
        None => Ok(found),
    }
}

/// The tables that a change locks: those of its columns and triggers, and those it removes.
pub fn tables(plan: &ChangePlan) -> BTreeSet<TableName> {
    let of = |object: &Object| match object {
        Object::Column { table, .. } | Object::Trigger { table, .. } | Object::Table(table) => {
            Some(table.clone())
        }
        Object::Function { .. } | Object::Index { .. } => None,
    };
    plan.adds.iter().chain(&plan.removes).filter_map(of).collect()
}

/// What the reader of statements needs, and what stands in the catalog itself.
pub(crate) struct Dependents {
    /// Reads statements.
    pub(crate) reader: Reader,
    /// A trigger of a table in question whose function names the old form: it breaks every write once that is gone,
    /// and no statement needs to name it.
    pub(crate) trigger: Option<String>,
}

/// Reads what depends on the old form of a change. What expand added does not count.
pub(crate) async fn dependents(
    connection: &mut PgConnection,
    plan: &ChangePlan,
) -> Result<Dependents, Failure> {
    let old: Vec<Object> = plan.old_form().cloned().collect();
    let owners: BTreeSet<TableName> = old
        .iter()
        .filter_map(|object| match object {
            Object::Column { table, .. } | Object::Table(table) => Some(table.clone()),
            Object::Trigger { .. } | Object::Function { .. } | Object::Index { .. } => None,
        })
        .collect();
    let columns: Vec<String> = old
        .iter()
        .filter_map(|object| match object {
            Object::Column { column, .. } => Some(column.clone()),
            Object::Table(_) | Object::Trigger { .. } | Object::Function { .. } | Object::Index { .. } => {
                None
            }
        })
        .collect();
    let mut catalog = Catalog { columns: same_named(connection, &columns).await?, ..Catalog::default() };
    for owner in &owners {
        catalog.kin.extend(kin(connection, owner).await?);
        catalog.views.extend(views(connection, owner, &columns).await?);
    }
    let reader = Reader::new(&old, catalog.clone());
    let bodies = bodies(connection, plan).await?;
    catalog.functions = naming_functions(&reader, &bodies);
    let trigger = naming_trigger(connection, plan, (&owners, &catalog), &reader).await?;
    Ok(Dependents { reader: Reader::new(&old, catalog), trigger })
}

async fn same_named(
    connection: &mut PgConnection,
    columns: &[String],
) -> Result<BTreeMap<TableName, BTreeSet<String>>, Failure> {
    let rows = sqlx::query(
        "SELECT n.nspname::text, c.relname::text, a.attname::text FROM pg_attribute a \
         JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE a.attname::text = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped \
         AND c.relkind IN ('r', 'p', 'f', 'v', 'm')",
    )
    .bind(columns)
    .fetch_all(connection)
    .await?;
    let mut found: BTreeMap<TableName, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        found.entry(table(&row)?).or_default().insert(row.try_get(2)?);
    }
    Ok(found)
}

/// Heirs and partitions of a table, and its parents.
async fn kin(connection: &mut PgConnection, of: &TableName) -> Result<BTreeSet<TableName>, Failure> {
    let rows = sqlx::query(
        "WITH RECURSIVE start AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                                  WHERE n.nspname = $1 AND c.relname = $2), \
         down AS (SELECT oid FROM start UNION SELECT i.inhrelid FROM pg_inherits i JOIN down ON i.inhparent = down.oid), \
         up AS (SELECT oid FROM start UNION SELECT i.inhparent FROM pg_inherits i JOIN up ON i.inhrelid = up.oid) \
         SELECT n.nspname::text, c.relname::text FROM (SELECT oid FROM down UNION SELECT oid FROM up) k \
         JOIN pg_class c ON c.oid = k.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'f')",
    )
    .bind(&of.schema)
    .bind(&of.table)
    .fetch_all(connection)
    .await?;
    rows.iter().map(table).collect()
}

/// Views that read one of the columns (or whole rows) of a table, and views over those.
async fn views(
    connection: &mut PgConnection,
    of: &TableName,
    columns: &[String],
) -> Result<BTreeSet<TableName>, Failure> {
    let rows = sqlx::query(
        "WITH RECURSIVE over AS ( \
             SELECT r.ev_class AS oid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid \
             JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid \
             WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass \
             AND n.nspname = $1 AND c.relname = $2 AND r.ev_class <> c.oid \
             AND (a.attname::text = ANY($3) OR d.refobjsubid = 0 OR cardinality($3) = 0) \
             UNION \
             SELECT r.ev_class FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid \
             JOIN over ON over.oid = d.refobjid \
             WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass) \
         SELECT DISTINCT n.nspname::text, c.relname::text FROM over JOIN pg_class c ON c.oid = over.oid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm')",
    )
    .bind(&of.schema)
    .bind(&of.table)
    .bind(columns)
    .fetch_all(connection)
    .await?;
    rows.iter().map(table).collect()
}

/// Bodies of every function of the users' that expand did not add, behind its signature: schema, name, text. The catalog tracks no
/// dependencies of bodies that are strings; and a body names no table if it gets a row of it.
async fn bodies(
    connection: &mut PgConnection,
    plan: &ChangePlan,
) -> Result<Vec<(String, String, String)>, Failure> {
    let rows = sqlx::query(
        "SELECT n.nspname::text, p.proname::text, concat_ws(' ', pg_get_function_arguments(p.oid), \
                pg_get_function_result(p.oid), coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)) \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
         WHERE l.lanname NOT IN ('c', 'internal') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid \
                         AND d.deptype = 'e')",
    )
    .fetch_all(connection)
    .await?;
    let mut bodies = Vec::new();
    for row in rows {
        let (schema, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let added = Object::Function { schema: schema.clone(), name: name.clone() };
        if !plan.adds.contains(&added) {
            bodies.push((schema, name, row.try_get(2)?));
        }
    }
    Ok(bodies)
}

/// Functions whose bodies name the old form, and those that call them.
fn naming_functions(reader: &Reader, bodies: &[(String, String, String)]) -> BTreeSet<(String, String)> {
    let mut naming: BTreeSet<(String, String)> = bodies
        .iter()
        .filter(|(_, _, body)| reader.body_names(body))
        .map(|(schema, name, _)| (schema.clone(), name.clone()))
        .collect();
    loop {
        let callers: Vec<(String, String)> = bodies
            .iter()
            .filter(|(schema, name, _)| !naming.contains(&(schema.clone(), name.clone())))
            .filter(|(_, _, body)| {
                let body = Unparsed::new(body);
                naming.iter().any(|(_, called)| body.may_name(called))
            })
            .map(|(schema, name, _)| (schema.clone(), name.clone()))
            .collect();
        if callers.is_empty() {
            return naming;
        }
        naming.extend(callers);
    }
}

/// A trigger of one of these tables, or of its partitions and heirs, whose function names the old form or calls one that does. What
/// expand made on a partitioned table, the server has made on each partition under the same name.
async fn naming_trigger(
    connection: &mut PgConnection,
    plan: &ChangePlan,
    (owners, catalog): (&BTreeSet<TableName>, &Catalog),
    reader: &Reader,
) -> Result<Option<String>, Failure> {
    for table in owners.union(&catalog.kin) {
        let rows = sqlx::query(
            "SELECT t.tgname::text, p.prosrc, f.nspname::text, p.proname::text FROM pg_trigger t \
             JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace f ON f.oid = p.pronamespace \
             WHERE n.nspname = $1 AND c.relname = $2 AND NOT t.tgisinternal ORDER BY 1",
        )
        .bind(&table.schema)
        .bind(&table.table)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            let (name, body): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let function: (String, String) = (row.try_get(2)?, row.try_get(3)?);
            let trigger = |of: &TableName| Object::Trigger { table: of.clone(), name: name.clone() };
            let is_ours = owners.iter().chain([table]).any(|of| plan.adds.contains(&trigger(of)));
            if !is_ours && (reader.trigger_body_names(&body) || catalog.functions.contains(&function)) {
                return Ok(Some(trigger(table).to_string()));
            }
        }
    }
    Ok(None)
}

/// A table name from the first two columns.
fn table(row: &sqlx::postgres::PgRow) -> Result<TableName, Failure> {
    Ok(TableName { schema: row.try_get(0)?, table: row.try_get(1)? })
}

/// A name as SQL text.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
