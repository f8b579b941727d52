//! What fuzzing begins with. Nothing is written twice: texts that the project's tests have already are read where they are, and
//! `fuzz/corpus/TARGET` has what they do not have, and whatever fuzzing has found.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use crate::statements::HEADER;

/// A file of seeds cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read {}", path.display())]
pub struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

/// Most words of a dictionary; libFuzzer tries each of them.
const MOST_WORDS: usize = 2_000;

pub(crate) fn of(target: &str) -> Result<Vec<Vec<u8>>, Unreadable> {
    let mut seeds = match target {
        "documents" => documents()?,
        "statements" => statements()?,
        _ => Vec::new(),
    };
    for file in files(&project().join("fuzz/corpus").join(target))? {
        seeds.push(read(&file)?);
    }
    Ok(seeds)
}

/// The words of texts: what a fuzzer would have to guess letter by letter.
pub fn words(seeds: &[Vec<u8>]) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.:/@".contains(c);
    let mut words = BTreeSet::new();
    for seed in seeds {
        let text = String::from_utf8_lossy(seed);
        let found = text.split(|c| !is_word(c)).filter(|word| (3..=40).contains(&word.len()));
        words.extend(found.map(str::to_owned));
    }
    words.into_iter().take(MOST_WORDS).collect()
}

/// The malformed texts of the tests, the example, and the story's own spec.
fn documents() -> Result<Vec<Vec<u8>>, Unreadable> {
    let mut seeds = vec![read(&project().join("config/example/spec.json"))?];
    for file in ["specs.txt", "orders.txt"] {
        let text = text(&project().join("tests/it/malformed").join(file))?;
        let cases = text.split("=== ").filter_map(|case| case.split_once("\n---\n"));
        seeds.extend(cases.map(|(_, case)| case.trim_end_matches('\n').as_bytes().to_vec()));
    }
    Ok(seeds)
}

/// The classifier's corpus, a case each, and the example's change as one.
fn statements() -> Result<Vec<Vec<u8>>, Unreadable> {
    let mut seeds = Vec::new();
    for file in files(&project().join("crates/schema/tests/corpus"))? {
        if file.extension().is_some_and(|extension| extension == "sql") && !file.ends_with("fixture.sql") {
            seeds.extend(text(&file)?.split("\n\n").map(|case| case.as_bytes().to_vec()));
        }
    }
    let mut change = String::new();
    for file in files(&project().join("config/migrations/structured-address"))? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let phase = name.split('_').nth(1).unwrap_or_default();
        change.push_str(&format!("{HEADER}{phase}\n{}\n", text(&file)?));
    }
    seeds.push(change.into_bytes());
    Ok(seeds)
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder, by name; none if there is no such folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let unreadable = |source| Unreadable { path: folder.to_owned(), source };
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(unreadable)?.path());
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    fs::read(path).map_err(|source| Unreadable { path: path.to_owned(), source })
}

fn text(path: &Path) -> Result<String, Unreadable> {
    read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
