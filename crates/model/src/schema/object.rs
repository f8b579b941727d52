//! Things in the database that a change adds or removes, and how people write them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A table, with its schema (`public` where the file names none).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A thing in the database that a change adds or removes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Object {
    /// A column.
    Column {
        /// Its table.
        table: TableName,
        /// Its name.
        column: String,
    },
    /// A table.
    Table(TableName),
    /// A trigger on a table.
    Trigger {
        /// Its table.
        table: TableName,
        /// Its name.
        name: String,
    },
    /// A function, whatever its arguments.
    Function {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
    /// An index.
    Index {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column { table, column } => write!(f, "column {table}.{column}"),
            Self::Table(table) => write!(f, "table {table}"),
            Self::Trigger { table, name } => write!(f, "trigger {name} on {table}"),
            Self::Function { schema, name } => write!(f, "function {schema}.{name}"),
            Self::Index { schema, name } => write!(f, "index {schema}.{name}"),
        }
    }
}

/// The text names no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an object is written as `column [schema.]table.column`, `table [schema.]table`, `index [schema.]index`, \
     `function [schema.]function` or `trigger name on [schema.]table`, in lowercase letters, digits and _"
)]
pub struct NotAnObject;

impl FromStr for Object {
    type Err = NotAnObject;

    /// Reads what [`Display`](fmt::Display) writes; the schema may be left out if it is `public`.
    fn from_str(text: &str) -> Result<Self, NotAnObject> {
        let (kind, rest) = text.split_once(' ').ok_or(NotAnObject)?;
        let names = |text: &str| -> Result<Vec<String>, NotAnObject> {
            let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
            if parts.iter().all(|part| is_plain_identifier(part)) { Ok(parts) } else { Err(NotAnObject) }
        };
        let qualified = |parts: &[String]| match parts {
            [name] => Ok(TableName { schema: "public".to_owned(), table: name.clone() }),
            [schema, name] => Ok(TableName { schema: schema.clone(), table: name.clone() }),
            [..] => Err(NotAnObject),
        };
        match kind {
            "column" => match names(rest)?.split_last() {
                Some((column, table)) => {
                    Ok(Self::Column { table: qualified(table)?, column: column.clone() })
                }
                None => Err(NotAnObject),
            },
            "table" => Ok(Self::Table(qualified(&names(rest)?)?)),
            "index" => {
                let TableName { schema, table: name } = qualified(&names(rest)?)?;
                Ok(Self::Index { schema, name })
            }
            "function" => {
                let TableName { schema, table: name } = qualified(&names(rest)?)?;
                Ok(Self::Function { schema, name })
            }
            "trigger" => {
                let (name, table) = rest.split_once(" on ").ok_or(NotAnObject)?;
                if !is_plain_identifier(name) {
                    return Err(NotAnObject);
                }
                Ok(Self::Trigger { table: qualified(&names(table)?)?, name: name.to_owned() })
            }
            _ => Err(NotAnObject),
        }
    }
}

/// What PostgreSQL takes without quotes, and does not fold. Source: its lexical rules; names are cut at 63 bytes.
fn is_plain_identifier(text: &str) -> bool {
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'$';
    begins && text.len() <= 63 && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_reads_back_as_it_is_written() {
        for text in [
            "column public.customers.street",
            "column sales.customers.street_2",
            "table public.customers",
            "index public.customers_city",
            "function tidegate.down$1",
            "trigger keep on public.customers",
        ] {
            assert_eq!(text.parse::<Object>().unwrap().to_string(), text);
        }
        assert_eq!("table customers".parse::<Object>().unwrap().to_string(), "table public.customers");
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for text in [
            "",
            "customers.street",
            "column street",
            "column a.b.c.d",
            "column customers.Street",
            "column customers.",
            "table customers; drop table x",
            "table \"customers\"",
            "trigger keep",
            "trigger keep on a.b.c",
            "view customers",
            &format!("table {}", "a".repeat(64)),
        ] {
            assert!(text.parse::<Object>().is_err(), "{text} was taken");
        }
    }
}
