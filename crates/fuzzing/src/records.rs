//! The ledger's rows. An input is lines `TIME FORMAT BODY`, sealed into a chain whose hashes are right, and behind a zero byte
//! what somebody does to the rows afterwards. Whatever it is: a chain that holds is read whole, and one that does not is told
//! as damaged, at the first row that does not hold.

use futures_util::FutureExt as _;
use tidegate_ledger::{Damage, Head, Ledger, LedgerError, Loaded, Sealed, store::Row};
use tidegate_model::{ReleaseName, ledger::Entry};

use crate::text_and_choices;

mod shelf;

use shelf::Shelf;

/// The newest format that is known.
const FORMAT: u64 = 1;
const MOST_ROWS: usize = 64;

pub(crate) fn run(data: &[u8]) {
    let (text, choices) = text_and_choices(data);
    let release: ReleaseName = "shop".parse().expect("a name");
    let rows = sealed(&text, &release);
    for row in &rows {
        written_as_read(&row.body);
    }
    let found = loaded(&release, rows.iter().cloned().map(|row| of(&release, row)).collect());
    match (rows.iter().find_map(unreadable), found) {
        (None, Some(Loaded::State(state))) => assert_eq!(state.length, rows.len() as u64),
        (None, None) => assert!(rows.is_empty(), "rows were lost"),
        (Some(expected), Some(Loaded::Damaged { why })) => assert_eq!(why, expected),
        (expected, found) => panic!("{expected:?} was found as {found:?}"),
    }
    struck(&release, &rows, choices);
}

/// The rows that the lines stand for, each behind the one before it.
fn sealed(text: &str, release: &ReleaseName) -> Vec<Sealed> {
    let mut head = Head::default();
    let lines = text.lines().filter(|line| !line.is_empty()).take(MOST_ROWS);
    let rows = lines.map(|line| {
        let mut parts = line.splitn(3, ' ');
        let mut part = || parts.next().unwrap_or_default();
        let (at, format, body) = (part(), part().parse().unwrap_or(FORMAT), part());
        let mut row = Sealed {
            seq: head.length,
            at: at.to_owned(),
            format,
            body: body.to_owned(),
            previous: head.hash.clone(),
            hash: String::new(),
        };
        row.hash = row.computed_hash(release.as_str());
        head = Head { length: row.seq + 1, hash: row.hash.clone() };
        row
    });
    rows.collect()
}

/// What is wrong with a row whose hash is right.
fn unreadable(row: &Sealed) -> Option<Damage> {
    let seq = row.seq;
    if row.format > FORMAT {
        return Some(Damage::NewerFormat { seq, format: row.format });
    }
    let readable = row.at.parse::<jiff::Timestamp>().is_ok() && read(&row.body).is_some();
    (!readable).then_some(Damage::Unreadable { seq })
}

fn read(body: &str) -> Option<Entry> {
    serde_json::from_str(body).ok()
}

fn written_as_read(body: &str) {
    let Some(entry) = read(body) else { return };
    let written = serde_json::to_string(&entry).expect("an entry has a JSON form");
    let again = read(&written).expect("what was written is read");
    assert!(again == entry, "an entry is another one after it was written: {written}");
    assert_eq!(serde_json::to_string(&again).expect("an entry has a JSON form"), written);
}

fn of(release: &ReleaseName, row: Sealed) -> Row {
    Row { release: Some(release.clone()), sealed: Some(row) }
}

fn loaded(release: &ReleaseName, rows: Vec<Row>) -> Option<Loaded> {
    let ledger = Ledger::on(Shelf::of(rows), "the fuzzer");
    let found = ledger.load().now_or_never().expect("nobody waits").expect("the shelf answers");
    let history = ledger.history(release).now_or_never().expect("nobody waits");
    match (found.get(release), history) {
        (Some(Loaded::State(state)), Ok(records)) => assert_eq!(state.length, records.len() as u64),
        (Some(Loaded::Damaged { why }), Err(LedgerError::Damaged { why: told, .. })) => {
            assert_eq!(*why, told);
        }
        (None, Ok(records)) => assert_eq!(records.len(), 0),
        (found, history) => panic!("{found:?} was told as {:?}", history.map(|_| ())),
    }
    found.into_iter().find_map(|(name, loaded)| (name == *release).then_some(loaded))
}

/// Somebody changes a row. It is told, unless rows at the end are gone: nothing in the chain can witness those.
fn struck(release: &ReleaseName, rows: &[Sealed], choices: &[u8]) {
    let [which, how, with, ..] = *choices else { return };
    if rows.is_empty() || rows.iter().any(|row| unreadable(row).is_some()) {
        return;
    }
    let index = usize::from(which) % rows.len();
    let mut changed: Vec<Row> = rows.iter().cloned().map(|row| of(release, row)).collect();
    let before = changed.clone();
    strike(&mut changed, index, how, with);
    if before.starts_with(&changed) {
        return;
    }
    let found = loaded(release, changed);
    let place = match &found {
        Some(Loaded::Damaged { why: Damage::Gap { expected, .. } }) => *expected,
        Some(Loaded::Damaged {
            why: Damage::BadHash { seq } | Damage::NewerFormat { seq, .. } | Damage::Unreadable { seq },
        }) => *seq,
        Some(Loaded::State(_)) | None => panic!("row {index} was struck ({how}), and that is {found:?}"),
    };
    assert!(place >= index as u64, "row {place} was struck instead of {index}");
    assert!(place <= index as u64 + 1, "row {index} was struck, and {place} is told");
}

fn strike(rows: &mut Vec<Row>, index: usize, how: u8, with: u8) {
    let (other, last) = (usize::from(with) % rows.len(), rows.len() - 1);
    match how % 9 {
        0 => drop(rows.remove(index)),
        1 => rows.insert(index, rows[index].clone()),
        2 => rows[index].sealed = None,
        3 => rows.swap(index, (index + 1).min(last)),
        how => {
            let from = rows[other].sealed.clone();
            let (Some(row), Some(from)) = (&mut rows[index].sealed, from) else { return };
            match how {
                4 => row.body.insert(0, ' '),
                5 => row.at = from.at,
                6 => row.format += u64::from(with),
                7 => row.previous = from.hash,
                _ => row.hash = from.hash,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that only looks like an entry would begin nowhere.
    #[test]
    fn every_row_of_the_corpus_is_read() {
        let release: ReleaseName = "shop".parse().expect("a name");
        for seed in crate::seeds::of("records").expect("seeds") {
            let (text, _) = text_and_choices(&seed);
            for row in sealed(&text, &release) {
                let Err(why) = serde_json::from_str::<Entry>(&row.body) else { continue };
                panic!("{why}: {}", row.body);
            }
        }
    }
}
