//! Whether a column's default is the same for every row.
//!
//! PostgreSQL 11 and later keep a default that is not volatile in the catalog, so that ADD COLUMN rewrites nothing.

use squawk_syntax::{
    SyntaxNode,
    ast::{AstNode as _, CallExpr},
};

use crate::tree;

/// Functions and aggregates of `pg_catalog` that are stable or immutable. What is not listed counts as volatile: that is the safe side.
const NOT_VOLATILE: &[&str] = &[
    "abs",
    "array_agg",
    "array_append",
    "array_fill",
    "array_length",
    "array_to_string",
    "avg",
    "btrim",
    "cardinality",
    "ceil",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_setting",
    "current_time",
    "current_timestamp",
    "current_user",
    "date_part",
    "date_trunc",
    "decode",
    "encode",
    "floor",
    "format",
    "greatest",
    "hashtext",
    "int4range",
    "int8range",
    "json_build_array",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "least",
    "length",
    "localtime",
    "localtimestamp",
    "lower",
    "ltrim",
    "make_date",
    "make_interval",
    "make_timestamp",
    "make_timestamptz",
    "max",
    "md5",
    "min",
    "now",
    "nullif",
    "numrange",
    "replace",
    "round",
    "row_to_json",
    "rtrim",
    "session_user",
    "sha256",
    "split_part",
    "statement_timestamp",
    "string_agg",
    "string_to_array",
    "substr",
    "substring",
    "sum",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsvector",
    "transaction_timestamp",
    "tstzrange",
    "upper",
    "version",
];

/// True if an expression may differ from row to row, as far as its text tells.
pub(super) fn may_be_volatile(expression: &SyntaxNode) -> bool {
    expression.descendants().filter_map(CallExpr::cast).any(|call| !is_known(&call))
}

fn is_known(call: &CallExpr) -> bool {
    let Some(callee) = call.expr() else {
        // Forms with a grammar of their own (EXTRACT, SUBSTRING, TRIM, ...): none of them is volatile.
        return true;
    };
    let name = tree::dotted(callee.syntax());
    let name = match name.as_slice() {
        [name] => name,
        [schema, name] if schema == "pg_catalog" => name,
        _ => return false,
    };
    NOT_VOLATILE.binary_search(&name.as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volatile(expression: &str) -> bool {
        let text = format!("SELECT {expression}");
        tree::on_large_stack(|| may_be_volatile(&tree::parse(&text).expect("it parses"))).expect("a stack")
    }

    #[test]
    fn the_list_is_sorted_for_searching() {
        assert!(NOT_VOLATILE.is_sorted());
    }

    #[test]
    fn only_what_is_known_not_to_be_volatile_is_taken_for_that() {
        for same in [
            "1",
            "'x'::text",
            "now()",
            "now() + interval '1 day'",
            "ARRAY['a']",
            "current_timestamp",
            "pg_catalog.upper('x')",
            "NULL",
            "-1",
        ] {
            assert!(!volatile(same), "{same}");
        }
        for differs in
            ["random()", "gen_random_uuid()", "clock_timestamp()", "nextval('s')", "lower(random()::text)"]
        {
            assert!(volatile(differs), "{differs}");
        }
        assert!(volatile("mine.now()") && volatile("some_function()"));
    }
}
