//! A copy of the source in which every seeded bug is there behind a switch: the variable `TIDEGATE_BUG` names the one that is
//! on. So the product's own source has no switches, and one build has all bugs.
//!
//! Made anew by each `cargo xtask bugs`, below the target folder; only files that changed are written, so that cargo builds
//! only what changed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::catalogue::{Bug, CatalogueError, Piece, text};

/// What of the workspace a build needs.
const PARTS: [&str; 6] = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "crates", "config", "tests"];

/// The copy cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WeaveError {
    /// A bug does not fit, or a file cannot be read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Pieces of the source reach into each other.
    #[error("the pieces of seeded bugs overlap: {}", .0.join(", "))]
    Overlap(Vec<String>),
    /// A file of the copy cannot be written.
    #[error("copy {}: {source}", path.display())]
    NotCopied {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A piece, and the name of the bug that it is of.
#[derive(Clone, Copy)]
struct Seeded<'b> {
    bug: &'b str,
    piece: &'b Piece,
}

/// Makes the copy at `to`, with every bug in it.
pub(crate) fn weave(root: &Path, to: &Path, bugs: &[Bug]) -> Result<(), WeaveError> {
    let mut by_file = BTreeMap::<&Path, Vec<Seeded<'_>>>::new();
    for bug in bugs {
        for piece in &bug.pieces {
            by_file.entry(&piece.file).or_default().push(Seeded { bug: &bug.name, piece });
        }
    }
    let mut woven = BTreeMap::from([(root.join("Cargo.toml"), renamed(&text(&root.join("Cargo.toml"))?))]);
    for (file, seeded) in by_file {
        woven.insert(root.join(file), with_bugs(&text(&root.join(file))?, &seeded)?);
    }
    fs::create_dir_all(to).map_err(|source| WeaveError::NotCopied { path: to.to_owned(), source })?;
    for part in PARTS {
        copy(&root.join(part), &to.join(part), &woven)
            .map_err(|source| WeaveError::NotCopied { path: root.join(part), source })?;
    }
    Ok(())
}

/// The workspace's manifest with another version in it. Cargo tells crates of two workspaces apart by name and version, not by
/// folder: in one target folder the product would otherwise be built from the copy's crates. Its warnings are off: what is
/// woven is no beauty.
fn renamed(manifest: &str) -> String {
    let quiet = "[workspace.lints.rust]\nwarnings = { level = \"allow\", priority = 1 }";
    manifest.replacen("version = \"", "version = \"0.0.0-bugs+", 1).replacen(
        "[workspace.lints.rust]",
        quiet,
        1,
    )
}

/// The text of one file with each piece behind its switch, and behind several where several bugs stand in for it. From the
/// last to the first, so that places stay true.
fn with_bugs(text: &str, seeded: &[Seeded<'_>]) -> Result<String, WeaveError> {
    let mut places = BTreeMap::<(usize, usize), Vec<Seeded<'_>>>::new();
    for one in seeded {
        places.entry((one.piece.place(one.bug, text)?, one.piece.find.len())).or_default().push(*one);
    }
    let mut text = text.to_owned();
    let mut woven_from = text.len();
    for ((place, length), seeded) in places.into_iter().rev() {
        if place + length > woven_from {
            return Err(WeaveError::Overlap(seeded.iter().map(|one| one.bug.to_owned()).collect()));
        }
        let piece = text[place..place + length].to_owned();
        let switched = seeded.iter().fold(piece, |piece, one| switched(&piece, one));
        text.replace_range(place..place + length, &switched);
        woven_from = place;
    }
    Ok(text)
}

/// A piece behind a bug's switch. Statements stay statements, and an expression stays one whatever stands around it.
fn switched(piece: &str, seeded: &Seeded<'_>) -> String {
    let on = format!(
        "{{ static ON: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| std::env::var_os(\"TIDEGATE_BUG\").is_some_and(|bug| bug == {:?})); *ON }}",
        seeded.bug
    );
    let bug = &seeded.piece.bug;
    if piece.starts_with("let ") {
        // What it binds is needed behind it.
        format!("if {on} {{ {bug} }} {piece}")
    } else if piece.ends_with([';', '}']) {
        format!("if {on} {{ {bug} }} else {{ {piece} }}")
    } else {
        format!("(if {on} {{ {bug} }} else {{ {piece} }})")
    }
}

fn copy(from: &Path, to: &Path, woven: &BTreeMap<PathBuf, String>) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()), woven)?;
        }
        return remove_what_is_gone(from, to);
    }
    let wanted = match woven.get(from) {
        Some(text) => text.clone().into_bytes(),
        None => fs::read(from)?,
    };
    if fs::read(to).ok().as_ref() == Some(&wanted) {
        return Ok(());
    }
    fs::write(to, wanted)
}

/// A crate that was removed would still be built.
fn remove_what_is_gone(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if from.join(entry.file_name()).exists() {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_one_file_do_not_move_each_other() {
        let piece =
            |find: &str| Piece { file: "f".into(), after: String::new(), find: find.into(), bug: "0".into() };
        assert_eq!(
            renamed("[workspace.package]\nversion = \"0.1.0\""),
            "[workspace.package]\nversion = \"0.0.0-bugs+0.1.0\""
        );
        assert!(renamed("[workspace.lints.rust]\n").contains("warnings = { level = \"allow\""));
        let (one, two) = (piece("1"), piece("2;"));
        let seeded = [Seeded { bug: "one", piece: &one }, Seeded { bug: "two", piece: &two }];
        let woven = with_bugs("let a = 1; 2;", &seeded).unwrap();
        assert!(woven.starts_with("let a = (if {"), "{woven}");
        assert!(woven.contains("== \"one\")); *ON } { 0 } else { 1 }); if {"), "{woven}");
        assert!(woven.ends_with("== \"two\")); *ON } { 0 } else { 2; }"), "{woven}");
    }
}
