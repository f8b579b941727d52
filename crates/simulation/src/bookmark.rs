//! Where a sweep stands, kept in a file: whoever interrupts one and asks for the same again goes on there.
//!
//! The same is the same program, the same scenarios and the same runs: what was proven of other code is not taken over. Used by the
//! sweeps; knows nothing of what a run is.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    scenario::Catalogue,
    sweep::{Job, Tally},
};

/// The bookmarks of one call of the program.
#[derive(Debug)]
pub struct Bookmarks {
    folder: PathBuf,
    program: Vec<u8>,
    afresh: bool,
    used: RefCell<Vec<PathBuf>>,
}

/// The bookmark of one sweep.
#[derive(Debug)]
pub(crate) struct Bookmark {
    path: PathBuf,
}

/// Where a sweep stands.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// What came of the runs that were made.
    pub(crate) tally: Tally,
    /// The first run that nobody has begun.
    pub(crate) next: usize,
    /// Runs that were begun, and whose end is not in the tally.
    pub(crate) begun: BTreeSet<usize>,
}

impl Bookmarks {
    /// Bookmarks in this folder, of the program that runs; afresh if what is there is not to be gone on with.
    ///
    /// # Errors
    /// If the folder cannot be made or the program cannot be read.
    pub fn new(folder: &Path, afresh: bool) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let program = Sha256::digest(fs::read(std::env::current_exe()?)?).to_vec();
        Ok(Self { folder: folder.to_owned(), program, afresh, used: RefCell::default() })
    }

    pub(crate) fn of(&self, title: &str, catalogue: &Catalogue, jobs: &[Job]) -> Bookmark {
        let mut digest = Sha256::new();
        digest.update(&self.program);
        digest.update(format!("{catalogue:?}"));
        jobs.iter().for_each(|job| digest.update(format!("{job:?}")));
        let key = hex::encode(digest.finalize());
        let path =
            self.folder.join(format!("{}-{}.json", title.replace(' ', "-"), key.get(..16).unwrap_or(&key)));
        self.used.borrow_mut().push(path.clone());
        if self.afresh {
            // What cannot be taken out is told when it cannot be written either.
            drop(fs::remove_file(&path));
        }
        Bookmark { path }
    }

    /// Takes out those that were used: everything is done.
    pub fn clear(&self) {
        for path in self.used.borrow_mut().drain(..) {
            // What is not there need not be taken out, and what stays is only played again.
            drop(fs::remove_file(path));
        }
    }
}

impl Bookmark {
    /// Where the sweep stood; at its beginning if nothing is known of it.
    pub(crate) fn open(&self) -> Standing {
        let text = fs::read(&self.path).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// # Errors
    /// If it cannot be written. The one before is still there then.
    pub(crate) fn put(&self, standing: &Standing) -> io::Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_vec(standing)?)?;
        fs::rename(new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(seed: u64) -> Job {
        Job { scenario: "all-at-once".to_owned(), seed, plan: crate::fault::Plan::default() }
    }

    #[test]
    fn a_sweep_goes_on_only_where_the_same_sweep_stood() {
        let folder = std::env::temp_dir().join(format!("bookmarks-{}", std::process::id()));
        let bookmarks = Bookmarks::new(&folder, false).expect("a folder");
        let (catalogue, one, other) = (Catalogue::new(), [job(1)], [job(2)]);
        let mut standing = Standing { next: 7, begun: BTreeSet::from([5]), ..Standing::default() };
        standing.tally.runs = 6;
        standing.tally.saw("ecs.DescribeServices", "F3", 2);
        bookmarks.of("crash points", &catalogue, &one).put(&standing).expect("written");

        let again = bookmarks.of("crash points", &catalogue, &one).open();
        assert_eq!((again.next, again.begun.len(), again.tally.runs), (7, 1, 6));
        assert!(again.tally.has_seen("ecs.DescribeServices", "F3"));
        assert_eq!(bookmarks.of("crash points", &catalogue, &other).open().next, 0, "other runs");
        assert_eq!(bookmarks.of("matrix", &catalogue, &one).open().next, 0, "another sweep");

        bookmarks.clear();
        assert_eq!(bookmarks.of("crash points", &catalogue, &one).open().next, 0, "cleared");
        fs::remove_dir_all(folder).expect("removed");
    }
}
