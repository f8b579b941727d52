//! V1: panics of our own code during a run, whoever catches them.
//!
//! A daemon catches a panic of a pass and goes on, and a panic in a task of its own ends that alone: neither shows in what the world is.
//! So each is noted where it begins. Only those of this project's own files count: the parser of SQL answers some texts with one of its
//! own, which is caught and is an error like another one.

use std::{cell::RefCell, panic, path::Path, sync::Once};

thread_local! {
    /// Where the calling thread has panicked since its run began.
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes each panic of the calling thread from now on, and forgets those before. Whoever is told of panics by now is told all the same.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if let Some(place) = panic.location().filter(|place| is_ours(place.file())) {
                SEEN.with_borrow_mut(|seen| seen.push(place.to_string()));
            }
            before(panic);
        }));
    });
    SEEN.take();
}

/// Where the calling thread has panicked since it was watched.
pub(crate) fn seen() -> Vec<String> {
    SEEN.with_borrow(Clone::clone)
}

/// Cargo names the files of a workspace from its root, and those of others from the root of the disk.
fn is_ours(file: &str) -> bool {
    Path::new(file).starts_with("crates")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_somebody_catches_is_seen_and_another_project_s_is_not() {
        watch();
        assert!(panic::catch_unwind(|| panic!("on purpose")).is_err());
        assert_eq!(seen().len(), 1);
        assert!(seen()[0].starts_with("crates/simulation/src/panics.rs:"), "{:?}", seen());
        assert!(std::thread::spawn(|| panic!("somewhere else")).join().is_err());
        assert_eq!(seen().len(), 1, "another run");
        assert!(!is_ours("/root/.cargo/registry/src/index/sql-1.0.0/src/lib.rs"));
        watch();
        assert!(seen().is_empty());
    }
}
