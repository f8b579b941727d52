//! What the entries have in common.

use std::{panic, process};

/// libFuzzer's own hook ends the process at every panic, also at those that are caught. Panics of the SQL parser are, and are
/// an answer; everything else is what is looked for.
pub fn end_at_panics() {
    // The one of libfuzzer-sys, which aborts, is replaced; it prints nothing that this one does not.
    drop(panic::take_hook());
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !tidegate_fuzzing::is_of_the_parser(panic) {
            tell(panic);
            process::abort();
        }
    }));
}

/// The entry of a target.
#[macro_export]
macro_rules! entry {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(
            init: tidegate_fuzz::end_at_panics(),
            |data: &[u8]| {
                static TARGET: std::sync::LazyLock<tidegate_fuzzing::Target> =
                    std::sync::LazyLock::new(|| tidegate_fuzzing::Target::named($name).expect("a target"));
                (TARGET.run)(data);
            }
        );
    };
}
