//! What depends on what contract removes, by `pg_depend`: what would stop a DROP, and what would vanish with it.
//!
//! Called with every read of the evidence. A contract that the server would refuse must not get as far as a quarantine, and an
//! index that goes with a column is better known before than after, and so is a subscriber that will miss it. Bodies of functions that are strings have no
//! dependencies: the evidence reads those. Reads only.

use std::collections::BTreeSet;

use sqlx::{PgConnection, Row};
use tidegate_model::schema::{ChangePlan, Dependencies, Object, TableName};

use crate::{connect::Database, failure::Failure, sessions::printable};

/// Longest description of an object.
const LONGEST: usize = 200;

/// For each dependent object: its description, what it is by name where a change can name it, and whether it goes with what it
/// depends on. Kinds of dependency: normal (`n`) stops a DROP, automatic (`a`) and internal (`i`) ones go along. An object with
/// both goes along. Source: PostgreSQL's documentation of pg_depend.
const DEPENDENTS: &str = "
SELECT coalesce('view ' || v.oid::regclass::text, pg_describe_object(d.classid, d.objid, d.objsubid)),
    bool_or(d.deptype <> 'n'),
    coalesce(tn.nspname, pn.nspname, rn.nspname, cn.nspname)::text,
    coalesce(tc.relname, rc.relname, cc.relname)::text,
    coalesce(t.tgname, p.proname, ra.attname, ca.attname)::text,
    CASE WHEN t.oid IS NOT NULL THEN 'trigger' WHEN p.oid IS NOT NULL THEN 'function'
         WHEN ra.attname IS NOT NULL OR ca.attname IS NOT NULL THEN 'column'
         WHEN rc.relkind IN ('i', 'I') THEN 'index' WHEN rc.oid IS NOT NULL THEN 'table' ELSE '' END
FROM pg_depend d
JOIN pg_class o ON o.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
JOIN pg_namespace n ON n.oid = o.relnamespace AND n.nspname::text = $1 AND o.relname::text = $2
LEFT JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = d.refobjsubid AND d.refobjsubid > 0
LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_class v ON v.oid = w.ev_class
LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
LEFT JOIN pg_class tc ON tc.oid = t.tgrelid LEFT JOIN pg_namespace tn ON tn.oid = tc.relnamespace
LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace
LEFT JOIN pg_class rc ON d.classid = 'pg_class'::regclass AND rc.oid = d.objid
LEFT JOIN pg_namespace rn ON rn.oid = rc.relnamespace
LEFT JOIN pg_attribute ra ON ra.attrelid = rc.oid AND ra.attnum = d.objsubid AND d.objsubid > 0
LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
LEFT JOIN pg_class cc ON cc.oid = f.adrelid LEFT JOIN pg_namespace cn ON cn.oid = cc.relnamespace
LEFT JOIN pg_attribute ca ON ca.attrelid = f.adrelid AND ca.attnum = f.adnum
WHERE d.deptype IN ('n', 'a', 'i', 'P', 'S') AND ($3::text IS NULL OR a.attname::text = $3)
    AND (w.oid IS NULL OR w.ev_class <> o.oid) AND (t.oid IS NULL OR NOT t.tgisinternal)
    AND d.classid <> 'pg_type'::regclass
    -- A column's own default is the column.
    AND (f.oid IS NULL OR f.adrelid <> o.oid OR f.adnum <> d.refobjsubid)
    AND (rc.oid IS NULL OR rc.relkind <> 't')
GROUP BY 1, 3, 4, 5, 6 ORDER BY 1";

/// What `pg_depend` does not know: who gets a column by replication, and who was given rights on it by name. Servers before 15
/// have no column lists of publications.
const CONSUMERS: &str = "
SELECT 'publication ' || quote_ident(t.pubname) || ', whose subscribers get it no longer' FROM pg_publication_tables t
WHERE t.schemaname = $1 AND t.tablename = $2
    AND ($3::text IS NULL OR to_jsonb(t) -> 'attnames' IS NULL OR jsonb_exists(to_jsonb(t) -> 'attnames', $3))
UNION
SELECT 'rights of role ' || coalesce(quote_ident(g.rolname), 'PUBLIC') || ' on column ' || quote_ident(a.attname)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(a.attacl) e LEFT JOIN pg_roles g ON g.oid = e.grantee
WHERE n.nspname::text = $1 AND c.relname::text = $2 AND a.attname::text = $3
    AND e.grantee <> c.relowner AND g.rolname IS DISTINCT FROM current_user
ORDER BY 1";

impl Database {
    /// What depends on the objects that contract removes, except what it removes itself.
    ///
    /// # Errors
    ///
    /// Any [`Failure`].
    pub async fn dependencies(&self, plan: &ChangePlan) -> Result<Dependencies, Failure> {
        let mut transaction = self.read(self.limits.read).await?;
        let (mut blocking, mut vanishing) = (BTreeSet::new(), BTreeSet::new());
        for object in &plan.removes {
            for dependent in of(&mut transaction, object).await? {
                if dependent.object.is_some_and(|object| plan.removes.contains(&object)) {
                    continue;
                }
                let told = if dependent.vanishes { &mut vanishing } else { &mut blocking };
                told.insert(dependent.description);
            }
            vanishing.extend(consumers(&mut transaction, object).await?);
        }
        blocking.retain(|description| !vanishing.contains(description));
        Ok(Dependencies {
            blocking: blocking.into_iter().collect(),
            vanishing: vanishing.into_iter().collect(),
        })
    }
}

/// Who uses a column or a table without depending on it.
async fn consumers(connection: &mut PgConnection, object: &Object) -> Result<Vec<String>, Failure> {
    let Some((table, column)) = place(object) else { return Ok(Vec::new()) };
    let query = sqlx::query_scalar(CONSUMERS).bind(&table.schema).bind(&table.table).bind(column);
    let all: Vec<String> = query.fetch_all(connection).await?;
    Ok(all.iter().map(|one| printable(one, LONGEST)).collect())
}

/// The table, and the column unless it is all of them. Of other objects nothing that counts depends.
fn place(object: &Object) -> Option<(&TableName, Option<&String>)> {
    match object {
        Object::Column { table, column } => Some((table, Some(column))),
        Object::Table(table) => Some((table, None)),
        Object::Trigger { .. } | Object::Function { .. } | Object::Index { .. } => None,
    }
}

struct Dependent {
    description: String,
    vanishes: bool,
    /// As a change would name it.
    object: Option<Object>,
}

/// What depends on a column or a table.
async fn of(connection: &mut PgConnection, object: &Object) -> Result<Vec<Dependent>, Failure> {
    let Some((table, column)) = place(object) else { return Ok(Vec::new()) };
    let query = sqlx::query(DEPENDENTS).bind(&table.schema).bind(&table.table).bind(column);
    query.fetch_all(connection).await?.iter().map(dependent).collect()
}

fn dependent(row: &sqlx::postgres::PgRow) -> Result<Dependent, Failure> {
    let description: String = row.try_get(0)?;
    let (schema, relation, name): (Option<String>, Option<String>, Option<String>) =
        (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    let kind: String = row.try_get(5)?;
    let table = || Some(TableName { schema: schema.clone()?, table: relation.clone()? });
    let object = match kind.as_str() {
        "trigger" => table().zip(name).map(|(table, name)| Object::Trigger { table, name }),
        "column" => table().zip(name).map(|(table, column)| Object::Column { table, column }),
        "table" => table().map(Object::Table),
        "index" => table().map(|TableName { schema, table: name }| Object::Index { schema, name }),
        "function" => schema.clone().zip(name).map(|(schema, name)| Object::Function { schema, name }),
        _ => None,
    };
    Ok(Dependent { description: printable(&description, LONGEST), vanishes: row.try_get(1)?, object })
}
