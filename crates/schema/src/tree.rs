//! Parsing PostgreSQL text into a syntax tree, within limits.
//!
//! Called by [`crate::sql`] for migration files and by [`crate::readers`] for statement statistics. The parser is
//! recursive and its time grows with the square of an expression's length, and both kinds of text come from outside:
//! so text is weighed before it is parsed, parsing runs on a stack of its own, and a panic is an answer. Nothing here
//! may quote the text.

use std::panic::{AssertUnwindSafe, catch_unwind};

use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode, SyntaxToken};

/// Longest text that is parsed, in bytes.
pub(crate) const LONGEST: usize = 256 * 1024;
/// Most operators, brackets and words in one text. Parameters and commas are not counted: `IN ($1, $2, ...)` with
/// thousands of them is flat and common.
const HEAVIEST: usize = 4_000;
/// Stack for the parser: enough for [`HEAVIEST`] nested brackets in an unoptimised build.
const STACK: usize = 64 * 1024 * 1024;

/// The text is not something that can be taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotParsed {
    /// It is longer or deeper than the limits.
    TooLarge,
    /// The grammar does not take it: byte offsets of the errors.
    Errors(Vec<usize>),
}

/// Runs `work` on a stack that is large enough for [`parse`].
///
/// Returns `None` if the thread could not be started or panicked.
pub(crate) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Parses a text of any number of statements. Call it on a large stack.
pub(crate) fn parse(text: &str) -> Result<SyntaxNode, NotParsed> {
    if text.len() > LONGEST || weight(text) > HEAVIEST {
        return Err(NotParsed::TooLarge);
    }
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        let parsed = SourceFile::parse(text);
        let errors: Vec<usize> = parsed.errors().iter().map(|error| error.range().start().into()).collect();
        (parsed.syntax_node(), errors)
    }));
    match parsed {
        Ok((node, errors)) if errors.is_empty() => Ok(node),
        Ok((_, errors)) => Err(NotParsed::Errors(errors)),
        Err(_) => Err(NotParsed::TooLarge),
    }
}

/// The same text with each `$n` parameter replaced, for places where the grammar wants a constant: the server's
/// normalised text has `$1` there (`interval $1`, `extract($1 from x)`), which is not PostgreSQL.
pub(crate) fn with_constants(text: &str, constant: &str) -> Option<String> {
    if text.len() > LONGEST || weight(text) > HEAVIEST {
        return None;
    }
    catch_unwind(AssertUnwindSafe(|| {
        let root = SourceFile::parse(text).syntax_node();
        tokens(&root)
            .map(|token| match token.kind() {
                SyntaxKind::POSITIONAL_PARAM => constant.to_owned(),
                _ => token.text().to_owned(),
            })
            .collect()
    }))
    .ok()
}

/// The same text without constants and comments, for showing: the server replaces constants in queries by parameters,
/// and leaves them in utility statements, where they may be passwords. Text that cannot be taken apart is left out.
pub(crate) fn without_constants(text: &str) -> String {
    if text.len() > LONGEST || weight(text) > HEAVIEST {
        return String::new();
    }
    let shown = catch_unwind(AssertUnwindSafe(|| {
        let root = SourceFile::parse(text).syntax_node();
        tokens(&root)
            .map(|token| match token.kind() {
                SyntaxKind::COMMENT => " ".to_owned(),
                SyntaxKind::WHITESPACE | SyntaxKind::IDENT | SyntaxKind::POSITIONAL_PARAM => {
                    token.text().to_owned()
                }
                // Keywords and punctuation have no quotes and no digits; everything else is a constant.
                _ if token.text().contains(|c: char| c.is_ascii_digit() || c == '\'' || c == '$') => {
                    "?".to_owned()
                }
                _ => token.text().to_owned(),
            })
            .collect()
    }));
    shown.unwrap_or_default()
}

/// Counts what makes the parser work: every byte that begins a word or is punctuation, except parameters and commas.
fn weight(text: &str) -> usize {
    let mut weight = 0;
    let mut before = b' ';
    for byte in text.bytes() {
        let word = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let in_word = before.is_ascii_alphanumeric() || before == b'_' || before >= 0x80;
        let begins = word && !in_word && before != b'$';
        let punctuation = !word && !byte.is_ascii_whitespace() && byte != b',' && byte != b'$';
        weight += usize::from(begins || punctuation);
        before = byte;
    }
    weight
}

/// Every token below a node, white space and comments included.
pub(crate) fn tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    node.descendants_with_tokens().filter_map(squawk_syntax::SyntaxElement::into_token)
}

/// The tokens directly below a node, without white space and comments.
pub(crate) fn own_tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    node.children_with_tokens()
        .filter_map(squawk_syntax::SyntaxElement::into_token)
        .filter(|token| !is_trivia(token))
}

/// True if a node has such a token directly below it.
pub(crate) fn has_token(node: &SyntaxNode, kind: SyntaxKind) -> bool {
    own_tokens(node).any(|token| token.kind() == kind)
}

/// True if an expression's own operator is this token; some operators are nodes of one or two tokens.
pub(crate) fn has_operator(expression: &SyntaxNode, operator: SyntaxKind) -> bool {
    has_token(expression, operator)
        || expression.children().any(|child| child.children().next().is_none() && has_token(&child, operator))
}

/// The first child node of a kind.
pub(crate) fn child(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxNode> {
    node.children().find(|child| child.kind() == kind)
}

/// The first node of a kind anywhere below.
pub(crate) fn below(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxNode> {
    node.descendants().find(|child| child.kind() == kind)
}

/// White space or a comment.
pub(crate) fn is_trivia(token: &SyntaxToken) -> bool {
    matches!(token.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT)
}

/// The dotted name that a node holds (`public.customers` is two parts), folded as the server folds identifiers.
///
/// Empty if there is none.
pub(crate) fn dotted(node: &SyntaxNode) -> Vec<String> {
    tokens(node)
        .filter(|token| !is_trivia(token))
        .filter(|token| token.kind() == SyntaxKind::IDENT || is_word(token))
        .map(|token| fold(token.text()))
        .collect()
}

/// True for tokens that are words: identifiers are, and so are keywords, which may be names in many places.
pub(crate) fn is_word(token: &SyntaxToken) -> bool {
    let text = token.text();
    text.starts_with('"') || text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// An identifier as the server stores it: lower case unless quoted.
pub(crate) fn fold(text: &str) -> String {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses(text: &str) -> bool {
        on_large_stack(|| parse(text).is_ok()).unwrap()
    }

    #[test]
    fn hostile_text_is_refused_before_it_is_parsed() {
        assert!(!parses(&format!("select {}a{}", "(".repeat(50_000), ")".repeat(50_000))));
        assert!(!parses(&format!("select {}", "a+".repeat(60_000))));
        assert!(!parses(&format!("select '{}'", "x".repeat(LONGEST))));
    }

    #[test]
    fn nesting_up_to_the_limit_does_not_overflow_the_stack() {
        let depth = HEAVIEST / 2 - 10;
        parses(&format!("select {}a{}", "(".repeat(depth), ")".repeat(depth)));
        parses(&format!("select {}a", "not ".repeat(HEAVIEST - 10)));
        parses(&format!("select {}a", "case when ".repeat(HEAVIEST / 2 - 10)));
        parses(&format!("select a{}", "[a".repeat(HEAVIEST / 2 - 10)));
    }

    #[test]
    fn a_long_list_of_parameters_is_read() {
        let list: Vec<String> = (1..20_000).map(|n| format!("${n}")).collect();
        assert!(parses(&format!("select a from t where x in ({})", list.join(", "))));
    }

    #[test]
    fn text_is_shown_without_its_constants() {
        let shown = |text: &str| on_large_stack(|| without_constants(text)).unwrap();
        assert_eq!(
            shown("SELECT address FROM customers WHERE id = $1"),
            "SELECT address FROM customers WHERE id = $1"
        );
        for text in [
            "ALTER ROLE x PASSWORD 'hunter2'",
            "ALTER ROLE x PASSWORD E'hunter2' garbage",
            "DO $$ BEGIN PERFORM 'hunter2'; END $$",
            "DO $x$ hunter2",
            "SET x = 'hunter2",
            "COPY customers TO PROGRAM 'curl -u me:hunter2'",
            "SELECT 1 /* hunter2 */ -- hunter2",
            "CALL p(U&'hunter2', B'1', X'hunter2', N'hunter2')",
        ] {
            assert!(!shown(text).contains("hunter2"), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn identifiers_fold_as_the_server_folds_them() {
        assert_eq!(fold("Address"), "address");
        assert_eq!(fold("\"Address\""), "Address");
        assert_eq!(fold("\"a\"\"b\""), "a\"b");
    }
}
