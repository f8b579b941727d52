//! The catalogue of seeded bugs: what each would do, and which piece of the code it replaces. One TOML file for each part of
//! the product in `crates/simulation/bugs`.
//!
//! A bug is a piece of source text that stands exactly once in its file (or once behind a landmark), and what would be wrong
//! in its place; where one defence stands behind another, a bug has a piece for each (`[[bug.also]]`). When the code changes and
//! a piece is not there any more, weaving fails: a bug that is no longer made would count as found.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// A mistake that somebody could make.
#[derive(Clone, Debug)]
pub(crate) struct Bug {
    /// A few words with hyphens.
    pub name: String,
    /// What it does, in a sentence.
    pub what: String,
    /// What it changes, all at once.
    pub pieces: Vec<Piece>,
}

/// A piece of source, and what would be wrong in its place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Piece {
    /// The file, from the workspace's root.
    pub file: PathBuf,
    /// Text that stands once in the file, and before the piece; only for pieces that stand in it more than once.
    #[serde(default)]
    pub after: String,
    /// The piece: an expression, or whole statements. What begins with `let` stays, and the bug comes before it.
    pub find: String,
    /// What stands in its place.
    pub bug: String,
}

/// A bug as it is written down: its first piece stands with its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    what: String,
    file: PathBuf,
    #[serde(default)]
    after: String,
    find: String,
    bug: String,
    #[serde(default)]
    also: Vec<Piece>,
}

impl From<Written> for Bug {
    fn from(Written { name, what, file, after, find, bug, also }: Written) -> Self {
        let pieces = std::iter::once(Piece { file, after, find, bug }).chain(also).collect();
        Self { name, what, pieces }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    bug: Vec<Written>,
}

/// The catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogueError {
    /// A file cannot be read.
    #[error("read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the catalogue is not one.
    #[error("read {}: {source}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// Two bugs have one name.
    #[error("the seeded bug {0} is there twice")]
    Twice(String),
    /// The code has changed.
    #[error("a piece of the seeded bug {name} fits {} {times} times and must fit once: bring it up to date with the code", file.display())]
    Misfit {
        /// Which bug.
        name: String,
        /// In which file.
        file: PathBuf,
        /// How often.
        times: usize,
    },
}

impl Piece {
    /// Where it begins in the text of its file, as a piece of the bug of this name.
    pub(crate) fn place(&self, of: &str, text: &str) -> Result<usize, CatalogueError> {
        let misfit = |times| CatalogueError::Misfit { name: of.to_owned(), file: self.file.clone(), times };
        if self.after.is_empty() {
            return once(text, &self.find).map_err(misfit);
        }
        let from = once(text, &self.after).map_err(misfit)? + self.after.len();
        text[from..].find(&self.find).map(|place| from + place).ok_or_else(|| misfit(0))
    }
}

fn once(text: &str, piece: &str) -> Result<usize, usize> {
    let mut places = text.match_indices(piece).map(|(place, _)| place);
    match (places.next(), places.count()) {
        (Some(place), 0) => Ok(place),
        (None, _) => Err(0),
        (Some(_), more) => Err(more + 1),
    }
}

/// Reads every file of the catalogue, in order.
pub(crate) fn read(root: &Path) -> Result<Vec<Bug>, CatalogueError> {
    let folder = root.join("crates/simulation/bugs");
    let listed = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<PathBuf> = listed
        .map_err(|source| CatalogueError::Unreadable { path: folder, source })?
        .iter()
        .map(fs::DirEntry::path)
        .collect();
    paths.sort();
    let mut bugs = Vec::new();
    for path in paths {
        let file: File = toml::from_str(&text(&path)?)
            .map_err(|source| CatalogueError::Malformed { path, source: Box::new(source) })?;
        bugs.extend(file.bug.into_iter().map(Bug::from));
    }
    let mut names = BTreeSet::new();
    match bugs.iter().find(|bug| !names.insert(bug.name.clone())) {
        Some(bug) => Err(CatalogueError::Twice(bug.name.clone())),
        None => Ok(bugs),
    }
}

/// A file's text.
pub(crate) fn text(path: &Path) -> Result<String, CatalogueError> {
    fs::read_to_string(path).map_err(|source| CatalogueError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seeded_bug_fits_the_code_as_it_is() {
        let root = crate::run::root();
        let bugs = read(&root).unwrap();
        assert!(bugs.len() >= 60, "{} are not enough to say that the simulation bites", bugs.len());
        let misfits: Vec<String> = bugs
            .iter()
            .flat_map(|bug| bug.pieces.iter().map(|piece| (&bug.name, piece)))
            .filter_map(|(name, piece)| piece.place(name, &text(&root.join(&piece.file)).unwrap()).err())
            .map(|misfit| misfit.to_string())
            .collect();
        assert!(misfits.is_empty(), "{misfits:#?}");
    }

    /// A piece is put in parentheses beside its bug.
    #[test]
    fn every_piece_of_a_seeded_bug_stands_by_itself() {
        let is_part = |piece: &Piece| {
            let find = piece.find.trim();
            ["||", "&&", "."].iter().any(|begin| find.starts_with(begin)) || find.ends_with(',')
        };
        let bugs = read(&crate::run::root()).unwrap();
        let parts: Vec<&str> = bugs
            .iter()
            .flat_map(|bug| &bug.pieces)
            .filter(|piece| is_part(piece))
            .map(|piece| piece.find.as_str())
            .collect();
        assert!(parts.is_empty(), "{parts:#?}");
    }

    #[test]
    fn a_piece_that_stands_twice_needs_a_landmark() {
        let piece = |after: &str| Piece {
            file: "f".into(),
            after: after.into(),
            find: "x()".into(),
            bug: "y()".into(),
        };
        let text = "fn a() { x() } fn b() { x() }";
        assert!(piece("").place("b", text).is_err());
        assert_eq!(piece("fn b").place("b", text).unwrap(), 24);
        assert!(piece("fn c").place("b", text).is_err());
    }
}
