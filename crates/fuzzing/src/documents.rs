//! Specs and orders. Whatever stands in the parameter: it is read or told, and nothing else happens. What is read is written
//! and read again to the same; what is told has a code, a path, and a place inside the text, and is not the text.

use serde_json::json;
use tidegate_model::{
    orders::{Approval, read_abort, read_approval},
    spec::{Problem, Spec, read},
};

use crate::is_inside;

/// A text that is shorter may stand in one of our own sentences by chance.
const TELLING: usize = 40;

pub(crate) fn run(data: &[u8]) {
    // Parameter Store holds text.
    let Ok(text) = std::str::from_utf8(data) else { return };
    match read(text) {
        Ok(spec) => {
            let stored = serde_json::to_string(&spec).expect("a spec has a JSON form");
            let again: Spec = serde_json::from_str(&stored).expect("what was stored is read");
            assert!(again == spec, "a spec is another one after it was stored: {stored}");
        }
        Err(problems) => told(text, &problems),
    }
    match read_abort(text) {
        Ok(version) => {
            assert_eq!(read_abort(&json!({ "spec": version }).to_string()), Ok(version));
        }
        Err(problems) => told(text, &problems),
    }
    match read_approval(text) {
        Ok(approval) => {
            let Approval { spec, plan } = &approval;
            assert_eq!(read_approval(&json!({ "spec": spec, "plan": plan }).to_string()), Ok(approval));
        }
        Err(problems) => told(text, &problems),
    }
}

fn told(text: &str, problems: &[Problem]) {
    assert!(!problems.is_empty(), "refused, and nothing is wrong");
    for problem in problems {
        let Problem { line, column, path, message, .. } = problem;
        assert!(!path.is_empty() && !message.is_empty(), "{problem}");
        assert!(is_inside(text, *line, *column), "outside of the text: {problem}");
        let whole = text.trim();
        assert!(whole.len() < TELLING || !problem.to_string().contains(whole), "the text is quoted");
    }
    assert!(problems.is_sorted_by_key(|problem| (problem.line, problem.column)), "not in reading order");
}
