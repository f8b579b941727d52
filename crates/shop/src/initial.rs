//! The shop's database before the story begins: version 1's schema, and customers of all kinds.
//!
//! Called by: the demo and tests, through `psql`, sqlx or the sandbox's own start-up SQL. Must not: depend on a
//! connection; it is a text, and the same one each time.

use std::num::NonZeroU32;

/// Version 1's schema: `customers`, and `suppliers` with a column named `address` that is no reader of ours.
pub const SCHEMA: &str = include_str!("../schema.sql");

/// The kinds of awkward rows, in turn: each is a fault that a plain split on commas stumbles over. All but the
/// NULL have text without a structured form.
const AWKWARD: [&str; 5] = [
    "NULL",
    "''",
    "'The Old Mill, 12 River Rd, Dover, DE, 19901'",
    "'1 Capitol Sq, Albany, New York, 12207'",
    "'c/o Miller, ' || g",
];

/// A script that makes the schema and `customers` rows. Every `awkward_every`-th row is an awkward one (none if not
/// given), of the five kinds in turn: NULL, empty text, an extra comma, a state that is too long, no parts at all.
pub fn script(customers: u32, awkward_every: Option<NonZeroU32>) -> String {
    // A modulus that no row number reaches stands for "never".
    let every = awkward_every.map_or(i64::from(u32::MAX) + 1, |every| i64::from(every.get()));
    let arms: String = AWKWARD
        .iter()
        .enumerate()
        .map(|(kind, value)| format!("        WHEN {kind} THEN {value}\n"))
        .collect();
    format!(
        "{SCHEMA}
INSERT INTO public.customers (name, email, address)
SELECT 'Customer ' || g,
    CASE WHEN g % 7 = 0 THEN NULL ELSE 'customer' || g || '@example.com' END,
    CASE WHEN g % {every} <> 0 THEN
        g || ' ' || (ARRAY['Main St', 'Oak Ave', 'Elm St', 'Lake Dr'])[1 + g % 4] || ', '
            || (ARRAY['New York, NY', 'Boston, MA', 'Chicago, IL', 'Austin, TX', 'Salem, OR'])[1 + g % 5]
            || ', ' || to_char(10000 + g % 90000, 'FM00000')
    ELSE CASE (g / {every}) % 5
{arms}    END END
FROM generate_series(1::bigint, {customers}) AS g;
"
    )
}
