//! A file at its path, as it was when this process opened it: whether it is still that file.
//!
//! It is never opened here: to close a file drops every POSIX lock that the process has on it, SQLite's own included.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

pub(crate) struct Place {
    path: PathBuf,
    was: Metadata,
}

impl Place {
    /// The file of this description, which was opened at `path`.
    pub(crate) fn new(path: PathBuf, was: Metadata) -> Self {
        Self { path, was }
    }

    /// The file that is at `path` now.
    ///
    /// # Errors
    /// If there is none, or it cannot be looked at.
    pub(crate) fn of(path: PathBuf) -> io::Result<Self> {
        let was = fs::metadata(&path)?;
        Ok(Self { path, was })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// False once nothing is at the path, or another file. An error while looking proves nothing.
    pub(crate) fn is_kept(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(there) => same_file(&self.was, &there),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

#[cfg(unix)]
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere a file that is open cannot be removed under its holder.
#[cfg(not(unix))]
fn same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}
