//! Orders: what a human asks besides the spec, each in its own parameter. Parsing only; whether an order counts is the
//! planner's to say.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Fact, ParameterVersion,
    spec::{Code, Document, Node, Problem},
};

/// A parameter as Parameter Store gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterRead {
    /// Its value.
    pub text: String,
    /// Its version.
    pub version: ParameterVersion,
    /// When that version was written.
    pub modified: Timestamp,
}

/// All orders that concern one release, read in the same call as its spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// `hold`: the text says why.
    pub hold: Fact<ParameterRead>,
    /// `/_fleet/hold`: stop-the-line for every release.
    pub fleet_hold: Fact<ParameterRead>,
    /// `abort`.
    pub abort: Fact<ParameterRead>,
    /// `approve/contract`.
    pub approve_contract: Fact<ParameterRead>,
}

/// `{"spec": 12, "plan": "<digest>"}`: opens `contract-approved` for exactly this spec version and plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The spec version in force.
    pub spec: ParameterVersion,
    /// The digest that the status shows over contract SQL, database and removed objects.
    pub plan: String,
}

/// Reads an abort, `{"spec": 12}`.
///
/// # Errors
/// Every problem with its place.
pub fn read_abort(text: &str) -> Result<ParameterVersion, Vec<Problem>> {
    read(text, &["spec"], |doc, root| {
        let members = root.object(doc, &["spec"])?;
        members.need(doc, "spec").cloned().and_then(|node| version(doc, &node))
    })
}

/// Reads an approval of a contract.
///
/// # Errors
/// Every problem with its place.
pub fn read_approval(text: &str) -> Result<Approval, Vec<Problem>> {
    let known = ["spec", "plan"];
    read(text, &known, |doc, root| {
        let members = root.object(doc, &known)?;
        let spec = members.need(doc, "spec").cloned().and_then(|node| version(doc, &node));
        let plan = members.need(doc, "plan").cloned().and_then(|node| {
            node.parsed(doc, |text| {
                let hex = text.len() == 64
                    && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if hex {
                    Ok(text.to_owned())
                } else {
                    Err("a plan digest is the 64 hex digits that the status shows")
                }
            })
        });
        Some(Approval { spec: spec?, plan: plan? })
    })
}

fn version(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<ParameterVersion> {
    node.integer(doc, 1, u64::from(u32::MAX)).map(ParameterVersion)
}

fn read<T>(
    text: &str,
    known: &[&str],
    parse: impl FnOnce(&mut Document<'_>, &Node<'_, '_>) -> Option<T>,
) -> Result<T, Vec<Problem>> {
    let mut doc = Document::new(text);
    let value = doc.parse();
    let read = value.as_ref().and_then(|value| parse(&mut doc, &Node::root(value)));
    match read {
        Some(order) if doc.problems.is_empty() => Ok(order),
        Some(_) | None => {
            if doc.problems.is_empty() {
                doc.note_at(
                    0,
                    "$",
                    Code::BadOrder,
                    "not an order",
                    format!("known here: {}", known.join(", ")),
                );
            }
            Err(doc.into_problems())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_names_the_spec_version() {
        assert_eq!(read_abort(r#"{"spec": 12}"#), Ok(ParameterVersion(12)));
        for bad in [
            "",
            "12",
            "{}",
            r#"{"spec": "12"}"#,
            r#"{"spec": 0}"#,
            r#"{"spec": 12, "why": "x"}"#,
            r#"{"spec": 1.5}"#,
        ] {
            assert!(!read_abort(bad).unwrap_err().is_empty(), "{bad} was taken");
        }
    }

    #[test]
    fn an_approval_reports_all_its_problems_at_once() {
        let problems = read_approval(r#"{"spec": -1, "plan": "abc", "by": "me"}"#).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        let plan = "a".repeat(64);
        assert!(read_approval(&format!(r#"{{"spec": 3, "plan": "{plan}"}}"#)).is_ok());
    }
}
