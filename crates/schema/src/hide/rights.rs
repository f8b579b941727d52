//! Who has which right on a table, as the catalog has it. Reads only.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use tidegate_model::schema::TableName;

use crate::{catalog::quoted, failure::Failure};

/// A right on a table. Stored in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grant {
    /// The role; none is PUBLIC.
    pub(super) grantee: Option<String>,
    /// The server's word: `SELECT`, `INSERT`, ...
    pub(super) privilege: String,
    /// True if the role may pass it on.
    pub(super) grantable: bool,
}

impl Grant {
    pub(super) fn role(&self) -> String {
        self.grantee.as_deref().map_or_else(|| "PUBLIC".to_owned(), quoted)
    }

    pub(super) fn option(&self) -> &'static str {
        if self.grantable { " WITH GRANT OPTION" } else { "" }
    }

    pub(super) fn same_right(&self, other: &Self) -> bool {
        self.grantee == other.grantee && self.privilege == other.privilege
    }

    /// False if the role is gone.
    pub(super) async fn exists(&self, connection: &mut PgConnection) -> Result<bool, Failure> {
        let Some(role) = &self.grantee else { return Ok(true) };
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname::text = $1)");
        Ok(query.bind(role).fetch_one(connection).await?)
    }
}

/// A right on a column. Stored in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ColumnGrant {
    /// The column.
    pub(super) column: String,
    /// The right.
    pub(super) grant: Grant,
}

impl ColumnGrant {
    /// The GRANT that gives it on a table.
    pub(super) fn sql(&self, on: &str) -> String {
        let Grant { privilege, .. } = &self.grant;
        let (column, role, option) = (quoted(&self.column), self.grant.role(), self.grant.option());
        format!("GRANT {privilege} ({column}) ON {on} TO {role}{option}")
    }
}

/// The rights on a table as they stand.
pub(super) struct Rights {
    /// The table's owner.
    pub(super) owner: String,
    /// Our own role.
    pub(super) ours: String,
    /// Its columns.
    pub(super) columns: BTreeSet<String>,
    /// Columns that a foreign key rests on, on either side.
    pub(super) keys: BTreeSet<String>,
    /// Rights on the table.
    pub(super) table: Vec<Grant>,
    /// Rights on columns.
    pub(super) columns_granted: Vec<ColumnGrant>,
    /// True if one of them was granted by somebody who is not the owner: we act for the owner and cannot revoke it.
    pub(super) passed_on: bool,
}

/// `None` if there is no such table.
pub(super) async fn rights(
    connection: &mut PgConnection,
    table: &TableName,
) -> Result<Option<Rights>, Failure> {
    let name = sql_name(table);
    let row = sqlx::query(
        "SELECT pg_get_userbyid(c.relowner)::text, current_user::text, \
             (SELECT coalesce(array_agg(attname::text), '{}') FROM pg_attribute \
              WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped), \
             (SELECT coalesce(array_agg(attname::text), '{}') FROM pg_attribute a JOIN pg_constraint k \
              ON (k.conrelid = a.attrelid AND a.attnum = ANY(k.conkey)) \
              OR (k.confrelid = a.attrelid AND a.attnum = ANY(k.confkey)) \
              WHERE k.contype = 'f' AND a.attrelid = c.oid) \
         FROM pg_class c WHERE c.oid = to_regclass($1)",
    )
    .bind(&name)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let set = |names: Vec<String>| names.into_iter().collect();
    let mut rights = Rights {
        owner: row.try_get(0)?,
        ours: row.try_get(1)?,
        columns: set(row.try_get(2)?),
        keys: set(row.try_get(3)?),
        table: Vec::new(),
        columns_granted: Vec::new(),
        passed_on: false,
    };
    granted(connection, &name, &mut rights).await?;
    Ok(Some(rights))
}

/// Reads what is granted. A table without rights of its own has the owner's defaults.
async fn granted(connection: &mut PgConnection, name: &str, rights: &mut Rights) -> Result<(), Failure> {
    let rows = sqlx::query(
        "WITH entry AS ( \
             SELECT NULL::text AS of, c.relowner, e.* FROM pg_class c, \
             aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) e WHERE c.oid = to_regclass($1) \
             UNION ALL SELECT a.attname::text, c.relowner, e.* FROM pg_class c \
             JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) e \
             WHERE c.oid = to_regclass($1) AND NOT a.attisdropped) \
         SELECT of, CASE grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(grantee)::text END, privilege_type, \
             is_grantable, grantor = relowner FROM entry ORDER BY 1, 2, 3",
    )
    .bind(name)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let grant =
            Grant { grantee: row.try_get(1)?, privilege: row.try_get(2)?, grantable: row.try_get(3)? };
        if !grant.privilege.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(Failure::Malformed);
        }
        rights.passed_on |= !row.try_get::<bool, _>(4)?;
        match row.try_get::<Option<String>, _>(0)? {
            Some(column) => rights.columns_granted.push(ColumnGrant { column, grant }),
            None => rights.table.push(grant),
        }
    }
    Ok(())
}

/// A table, its heirs and its partitions; none if it does not exist.
pub(super) async fn heirs(connection: &mut PgConnection, of: &TableName) -> Result<Vec<TableName>, Failure> {
    let rows = sqlx::query(
        "WITH RECURSIVE down AS (SELECT to_regclass($1)::oid AS oid \
             UNION SELECT i.inhrelid FROM pg_inherits i JOIN down ON i.inhparent = down.oid) \
         SELECT n.nspname::text, c.relname::text FROM down JOIN pg_class c ON c.oid = down.oid \
         JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2",
    )
    .bind(sql_name(of))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(TableName { schema: row.try_get(0)?, table: row.try_get(1)? })).collect()
}

/// Login roles that can use columns of a table (none: any column), except ours, the bootstrap superuser and the service's.
pub(super) async fn able(
    connection: &mut PgConnection,
    table: &TableName,
    columns: Option<&BTreeSet<String>>,
) -> Result<Vec<String>, Failure> {
    let columns: Option<Vec<&String>> = columns.map(|columns| columns.iter().collect());
    let query = sqlx::query_scalar(
        "SELECT r.rolname::text FROM pg_roles r WHERE r.rolcanlogin AND r.rolname <> current_user \
         AND r.oid <> 10 AND r.rolname NOT LIKE 'rds%' AND EXISTS (SELECT FROM pg_attribute a \
             WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped \
             AND ($2::text[] IS NULL OR a.attname::text = ANY($2)) \
             AND (has_column_privilege(r.oid, a.attrelid, a.attnum, 'SELECT') \
                  OR has_column_privilege(r.oid, a.attrelid, a.attnum, 'INSERT') \
                  OR has_column_privilege(r.oid, a.attrelid, a.attnum, 'UPDATE'))) ORDER BY 1",
    );
    Ok(query.bind(sql_name(table)).bind(columns).fetch_all(connection).await?)
}

/// Login roles that have, or can take on, one of these roles (none: everybody has it), except ours and superusers, whom the
/// server refuses nothing.
pub(super) async fn members(
    connection: &mut PgConnection,
    of: &BTreeSet<Option<String>>,
) -> Result<Vec<String>, Failure> {
    let roles: Vec<&str> = of.iter().filter_map(Option::as_deref).collect();
    let query = sqlx::query_scalar(
        "SELECT r.rolname::text FROM pg_roles r WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user AND ($2 \
         OR EXISTS (SELECT FROM pg_roles g WHERE g.rolname::text = ANY($1) AND pg_has_role(r.oid, g.oid, 'MEMBER'))) \
         ORDER BY 1",
    );
    Ok(query.bind(roles).bind(of.contains(&None)).fetch_all(connection).await?)
}

/// A table's name as SQL text.
pub(super) fn sql_name(table: &TableName) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.table))
}
