//! One daemon at a time: an advisory lock on a file beside the database, held as long as this process lives.
//!
//! The kernel lets go of it when the process dies, however it dies. It is of no use on a network file system that does
//! not know `flock`; the ledger belongs on a local disk.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use super::place::Place;
use crate::OpenError;

pub(crate) struct LockFile {
    place: Place,
    /// Open for as long as it is to be locked.
    _file: File,
}

impl LockFile {
    /// Takes the lock of the database at `database`, without waiting.
    pub(crate) fn take(database: &Path) -> Result<Self, OpenError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let failed = |source| OpenError::Lock { path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                // Of the file that is locked, not of what may be at its path by now.
                let was = file.metadata().map_err(failed)?;
                Ok(Self { place: Place::new(path, was), _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// False once the file at the path is another than the one locked: a second process could lock that one.
    pub(crate) fn is_ours(&self) -> bool {
        self.place.is_kept()
    }
}
