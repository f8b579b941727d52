//! `-- tidegate: allow MIGR103 the table has twelve rows`: what an author takes upon himself, with the reason.
//!
//! It stands in front of the statement. Only rules about the size of a table or about what revisions write can be allowed:
//! the text cannot know those. A reason is required, because somebody will ask.

use std::collections::BTreeMap;

use squawk_syntax::{SyntaxKind, SyntaxNode};
use tidegate_model::spec::{Code, Problem};

use super::{
    effect::Effect,
    rule::{Force, Rule},
};
use crate::{sql::Text, tree};

/// The rules that are allowed for one statement, and where that stands.
pub(super) struct Allows {
    rules: BTreeMap<Rule, usize>,
    malformed: Vec<usize>,
}

/// Reads the comments in front of a statement.
pub(super) fn read(node: &SyntaxNode) -> Allows {
    let mut allows = Allows { rules: BTreeMap::new(), malformed: Vec::new() };
    let before = tree::tokens(node).take_while(tree::is_trivia);
    let above = std::iter::successors(
        node.prev_sibling_or_token(),
        squawk_syntax::SyntaxElement::prev_sibling_or_token,
    )
    .map_while(squawk_syntax::SyntaxElement::into_token)
    .take_while(tree::is_trivia);
    for comment in before.chain(above).filter(|token| token.kind() == SyntaxKind::COMMENT) {
        let at = usize::from(comment.text_range().start());
        match allowed(comment.text()) {
            Line::Other => {}
            Line::Allows(rule) => drop(allows.rules.insert(rule, at)),
            Line::Malformed => allows.malformed.push(at),
        }
    }
    allows
}

enum Line {
    Other,
    Allows(Rule),
    Malformed,
}

fn allowed(comment: &str) -> Line {
    let Some(rest) = comment.strip_prefix("--").and_then(|rest| rest.trim().strip_prefix("tidegate:")) else {
        return Line::Other;
    };
    let mut words = rest.split_whitespace();
    if words.next() != Some("allow") {
        return Line::Other;
    }
    let rule =
        words.next().and_then(Rule::from_code).filter(|rule| rule.force() == Force::RefusesUnlessAllowed);
    match (rule, words.next()) {
        (Some(rule), Some(_)) => Line::Allows(rule),
        (_, _) => Line::Malformed,
    }
}

impl Allows {
    /// True if the author allowed a rule.
    pub(super) fn allow(&self, rule: Rule) -> bool {
        self.rules.contains_key(&rule)
    }

    /// Comments that are not well formed, or allow what was not found: they would hide what comes later.
    pub(super) fn problems(&self, text: &Text<'_>, effect: &Effect) -> Vec<Problem> {
        let remedy = "write `-- tidegate: allow <code> <why>` with a code that can be allowed";
        let malformed = self
            .malformed
            .iter()
            .map(|at| text.at(*at, Code::BadAllow, "the comment allows no rule, or gives no reason", remedy));
        let idle =
            self.rules.iter().filter(|(rule, _)| !effect.found.iter().any(|(found, _)| found == *rule)).map(
                |(_, at)| {
                    text.at(
                        *at,
                        Code::BadAllow,
                        "the statement does not break the rule that is allowed",
                        "remove it",
                    )
                },
            );
        malformed.chain(idle).collect()
    }
}
