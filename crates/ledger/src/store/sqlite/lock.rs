//! One daemon at a time: an advisory lock on a file beside the database, held as long as this process lives.
//!
//! The kernel lets go of it when the process dies, however it dies. It is of no use on a network file system that does
//! not know `flock`; the ledger belongs on a local disk.

use std::{
    fs::{File, Metadata, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use crate::OpenError;

pub(crate) struct LockFile {
    path: PathBuf,
    file: File,
}

impl LockFile {
    /// Takes the lock of the database at `database`, without waiting.
    pub(crate) fn take(database: &Path) -> Result<Self, OpenError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| OpenError::Lock { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(OpenError::Lock { path, source }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// False once the file at the path is another than the one locked: a second process could lock that one. An error
    /// while looking proves nothing, and the lock itself is still held.
    pub(crate) fn is_ours(&self) -> bool {
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(held), Ok(there)) => same_file(&held, &there),
            (_, Err(error)) => error.kind() != std::io::ErrorKind::NotFound,
            (Err(_), Ok(_)) => true,
        }
    }
}

#[cfg(unix)]
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere a locked file cannot be removed under its holder.
#[cfg(not(unix))]
fn same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}
