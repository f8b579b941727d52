//! SQL text of whole tokens, by the lexical rules of PostgreSQL ("SQL Syntax, Lexical Structure" of its manual). The secret
//! stands in constants and comments only.

use arbitrary::Arbitrary;

use super::SECRET;

/// One token; a space or a line's end comes behind each.
#[derive(Arbitrary, Debug)]
pub(super) enum Token<'a> {
    Word(u8),
    Mark(u8),
    Quoted(&'a str),
    Number(u32),
    Parameter(u8),
    /// `'...'`: a backslash is itself.
    Text(Around<'a>),
    /// `E'...'`: a backslash escapes.
    Escaped(Around<'a>),
    /// `U&'...'`: a backslash begins a code point.
    Unicode(Around<'a>),
    /// `N'...'`.
    National(Around<'a>),
    /// `$tag$...$tag$`.
    Dollar(u8, Around<'a>),
    /// Block comments nest.
    Block(Around<'a>),
    Line(Around<'a>),
    /// `'...'` and, on the next line, `'...'`: one constant.
    Continued(Around<'a>),
    NewLine,
}

/// What stands before and behind the secret.
#[derive(Arbitrary, Debug)]
pub(super) struct Around<'a>(&'a str, &'a str);

const WORDS: [&str; 46] = [
    "SELECT",
    "FROM",
    "WHERE",
    "customers",
    "address",
    "city",
    "INSERT INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE",
    "ALTER",
    "TABLE",
    "ROLE",
    "shop",
    "PASSWORD",
    "CREATE",
    "USER",
    "COPY",
    "TO",
    "PROGRAM",
    "DO",
    "LANGUAGE",
    "plpgsql",
    "CALL",
    "interval",
    "date",
    "cast",
    "AS",
    "text",
    "LIKE",
    "ESCAPE",
    "COMMENT ON",
    "IS",
    "NULL",
    "DEFAULT",
    "ADD COLUMN",
    "CHECK",
    "NOT",
    "IN",
    "UESCAPE",
    "DROP COLUMN",
    "RETURNING",
    "LIMIT",
    "extract",
    "ON",
];
const MARKS: [&str; 26] = [
    "(", ")", ",", ";", "=", "<>", "||", "::", ".", "*", "+", "-", "/", "->", "->>", "@>", "?", "~", "!~~",
    "[", "]", ":=", ":", "<", "%", "|/",
];

/// The tokens' text.
pub(super) fn text(tokens: &[Token<'_>]) -> String {
    let written: Vec<String> = tokens.iter().take(60).map(written).collect();
    written.join(" ")
}

fn written(token: &Token<'_>) -> String {
    match token {
        Token::Word(which) => WORDS[usize::from(*which) % WORDS.len()].to_owned(),
        Token::Mark(which) => MARKS[usize::from(*which) % MARKS.len()].to_owned(),
        // A name is shown. libFuzzer sees what is compared, and would make one of the secret: names have no hyphen.
        Token::Quoted(name) => format!("\"{}\"", plain(name).replace('-', "_").replace('"', "\"\"")),
        Token::Number(number) => number.to_string(),
        Token::Parameter(number) => format!("${}", number.max(&1)),
        Token::Text(around) => format!("'{}'", doubled(around)),
        Token::Escaped(around) => format!("E'{}'", doubled(around).replace('\\', "\\\\")),
        Token::Unicode(around) => format!("U&'{}'", doubled(around).replace('\\', "\\\\")),
        Token::National(around) => format!("N'{}'", doubled(around)),
        Token::Dollar(tag, around) => {
            let tag = ["$$", "$x$", "$body$", "$_1$"][usize::from(*tag) % 4];
            // A dollar at the end of what is inside would make another tag of it.
            format!("{tag}{}{tag}", around.with(|text| text.replace('$', "")))
        }
        Token::Block(around) => {
            let inside = around.with(|text| text.replace(['*', '/'], ""));
            format!("/* {inside} /* {inside} */ {inside} */")
        }
        Token::Line(around) => format!("-- {}\n", around.with(|text| text.replace(['\n', '\r'], ""))),
        Token::Continued(around) => format!("'{}'\n'{}'", doubled(around), doubled(around)),
        Token::NewLine => "\n".to_owned(),
    }
}

impl Around<'_> {
    fn with(&self, made: impl Fn(&str) -> String) -> String {
        let Self(before, behind) = self;
        format!("{}{SECRET}{}", made(&plain(before)), made(&plain(behind)))
    }
}

fn doubled(around: &Around<'_>) -> String {
    around.with(|text| text.replace('\'', "''"))
}

/// No text of PostgreSQL has a zero byte. Cut, so that the secret stands where a statement that is shown is not cut yet.
fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(24).collect()
}
