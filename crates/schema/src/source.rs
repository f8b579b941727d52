//! Where migration files come from: a folder under an allowed root, or texts that were already read.
//!
//! Called when a spec is accepted. Reads and bounds; it must not judge SQL (that is [`crate::sql`]) and must not
//! leave the allowed root, whatever symbolic links say. Problems are collected, and no text from a file is quoted.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use tidegate_model::spec::{Code, Problem};

/// Most files in one change.
pub const MOST_FILES: usize = 64;
/// Longest file in bytes.
pub const LONGEST_FILE: usize = 64 * 1024;

/// A file's name and text, not yet judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFile {
    /// The file name without folders.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Reads the `.sql` files of a folder, sorted by name; other files are ignored.
///
/// `roots` are the folders that the daemon's configuration allows for this release. The folder and each file must lie
/// under one of them after every symbolic link is resolved.
///
/// # Errors
///
/// Every problem found, at once.
pub fn read_folder(folder: &str, roots: &[PathBuf]) -> Result<Vec<RawFile>, Vec<Problem>> {
    let folder = Path::new(folder);
    let refused = || {
        let remedy = "name an existing folder below a root that the configuration allows for this release";
        vec![problem(Code::SourceUnreadable, "source", "the folder cannot be read or is not allowed", remedy)]
    };
    let real = folder.canonicalize().map_err(|_| refused())?;
    let root = roots.iter().filter_map(|root| root.canonicalize().ok()).find(|root| real.starts_with(root));
    let Some(root) = root else { return Err(refused()) };
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&real).map_err(|_| refused())? {
        let name = entry.map_err(|_| refused())?.file_name();
        match name.to_str() {
            Some(name) if is_sql(name) => names.push(name.to_owned()),
            Some(_) | None => {}
        }
    }
    names.sort();
    if names.len() > MOST_FILES {
        return Err(vec![too_many()]);
    }
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for name in names {
        match read_file(&real.join(&name), &root) {
            Ok(text) => files.push(RawFile { name, text }),
            Err(why) => problems.push(problem(Code::SourceUnreadable, &shown(&name), why.0, why.1)),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// Takes files that were read elsewhere (the release's `schema/` parameters), under the same limits.
///
/// # Errors
///
/// Every problem found, at once.
pub fn in_memory(files: impl IntoIterator<Item = (String, String)>) -> Result<Vec<RawFile>, Vec<Problem>> {
    let mut files: Vec<RawFile> = files.into_iter().map(|(name, text)| RawFile { name, text }).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    if files.len() > MOST_FILES {
        return Err(vec![too_many()]);
    }
    let problems: Vec<Problem> = files
        .iter()
        .filter(|file| file.text.len() > LONGEST_FILE)
        .map(|file| problem(Code::SourceUnreadable, &shown(&file.name), TOO_LONG.0, TOO_LONG.1))
        .collect();
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

const TOO_LONG: (&str, &str) = ("the file is longer than 64 KiB", "split it into several files");

fn read_file(path: &Path, root: &Path) -> Result<String, (&'static str, &'static str)> {
    let unreadable = ("the file cannot be read", "make it readable for the daemon's user");
    let real = path.canonicalize().map_err(|_| unreadable)?;
    if !real.starts_with(root) {
        return Err((
            "the file is a link that leaves the allowed root",
            "put the file itself into the folder",
        ));
    }
    // Asked before opening, because opening a pipe would wait for its other end.
    if !std::fs::metadata(&real).map_err(|_| unreadable)?.is_file() {
        return Err(("it is not a regular file", "put the file itself into the folder"));
    }
    let file = File::open(&real).map_err(|_| unreadable)?;
    let mut bytes = Vec::new();
    file.take(LONGEST_FILE as u64 + 1).read_to_end(&mut bytes).map_err(|_| unreadable)?;
    if bytes.len() > LONGEST_FILE {
        return Err(TOO_LONG);
    }
    String::from_utf8(bytes).map_err(|_| ("the file is not UTF-8", "store it as UTF-8"))
}

fn is_sql(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
}

fn too_many() -> Problem {
    problem(Code::SourceUnreadable, "source", "the source has more than 64 files", "split the change")
}

/// A file name as it may be shown: names come from outside too.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(120).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// A problem of a whole file or of the source.
pub(crate) fn problem(code: Code, path: &str, message: &str, remedy: &str) -> Problem {
    Problem {
        line: 1,
        column: 1,
        code,
        path: path.to_owned(),
        message: message.to_owned(),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct World {
        _keep: tempfile::TempDir,
        root: PathBuf,
        outside: PathBuf,
    }

    fn world() -> World {
        let keep = tempfile::tempdir().unwrap();
        let (root, outside) = (keep.path().join("root"), keep.path().join("outside"));
        std::fs::create_dir_all(root.join("change")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("1_expand_secret.sql"), "SELECT 1").unwrap();
        World { _keep: keep, root, outside }
    }

    fn read(world: &World, folder: &Path) -> Result<Vec<RawFile>, Vec<Problem>> {
        read_folder(folder.to_str().unwrap(), std::slice::from_ref(&world.root))
    }

    #[test]
    fn files_are_read_in_order_and_others_ignored() {
        let world = world();
        let folder = world.root.join("change");
        for name in ["2_expand_b.sql", "1_expand_a.sql", "README.md"] {
            std::fs::write(folder.join(name), name).unwrap();
        }
        let names: Vec<String> = read(&world, &folder).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["1_expand_a.sql", "2_expand_b.sql"]);
    }

    #[test]
    fn nothing_outside_the_root_is_read() {
        let world = world();
        let folder = world.root.join("change");
        assert!(read(&world, &world.outside).is_err());
        assert!(read(&world, &world.root.join("change/../../outside")).is_err());
        assert!(read(&world, &world.root.join("missing")).is_err());
        symlink(&world.outside, world.root.join("link")).unwrap();
        assert!(read(&world, &world.root.join("link")).is_err());
        symlink(world.outside.join("1_expand_secret.sql"), folder.join("1_expand_a.sql")).unwrap();
        assert!(read(&world, &folder).is_err());
        assert!(read_folder(folder.to_str().unwrap(), &[]).is_err());
    }

    #[test]
    fn every_unreadable_file_is_reported_at_once() {
        let world = world();
        let folder = world.root.join("change");
        std::fs::write(folder.join("1_expand_long.sql"), "x".repeat(LONGEST_FILE + 1)).unwrap();
        std::fs::write(folder.join("2_expand_latin.sql"), [0xff, 0xfe]).unwrap();
        std::fs::create_dir(folder.join("3_expand_folder.sql")).unwrap();
        assert_eq!(read(&world, &folder).unwrap_err().len(), 3);
    }

    #[test]
    fn texts_read_elsewhere_keep_the_same_limits() {
        let long = ("1_expand_a.sql".to_owned(), "x".repeat(LONGEST_FILE + 1));
        assert_eq!(in_memory([long]).unwrap_err().len(), 1);
        let many = (0..=MOST_FILES).map(|n| (format!("{n}_expand_a.sql"), String::new()));
        assert_eq!(in_memory(many).unwrap_err().len(), 1);
    }
}
