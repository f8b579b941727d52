//! F24: what a newer version of the daemon would leave in the ledger, for the old one to find.
//!
//! Written past the store's rules by a fault; sealed as every chain is, so that nothing but its content is strange.

use serde_json::{Map, Value};
use tidegate_ledger::{Sealed, store::memory::Memory};

use crate::{fault::Newer, scenario::RELEASE};

/// Writes it into the chain of the simulated release.
pub(crate) fn write(ledger: &Memory, newer: Newer) {
    let Ok(release) = RELEASE.parse() else { return };
    ledger.rewrite(&release, |rows| {
        match newer {
            Newer::Members => rows.iter_mut().for_each(add_member),
            Newer::Format => rows.push(of_a_newer_format(rows)),
        }
        seal(rows);
    });
}

/// Gives an entry a member that this version does not know; one without members stays as it is, and so does one with a single
/// member, which may be the name of a variant.
fn add_member(row: &mut Sealed) {
    let Ok(Value::Object(mut entry)) = serde_json::from_str::<Value>(&row.body) else { return };
    for payload in entry.values_mut().filter_map(Value::as_object_mut).filter(|payload| payload.len() > 1) {
        payload.insert("fromANewerVersion".to_owned(), Value::Object(Map::new()));
    }
    row.body = Value::Object(entry).to_string();
}

fn of_a_newer_format(rows: &[Sealed]) -> Sealed {
    let (seq, at, format) =
        rows.last().map_or((0, String::new(), 1), |last| (last.seq + 1, last.at.clone(), last.format));
    let body = r#"{"fromANewerVersion":{}}"#.to_owned();
    Sealed { seq, at, format: format + 1, body, previous: String::new(), hash: String::new() }
}

/// Seals the whole chain anew.
fn seal(rows: &mut [Sealed]) {
    let mut before = String::new();
    for row in rows {
        row.previous.clone_from(&before);
        row.hash = row.computed_hash(RELEASE);
        before.clone_from(&row.hash);
    }
}
