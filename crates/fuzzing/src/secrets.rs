//! What must not come out again: a secret stands somewhere in what is read, with anything around it, and in nothing of what is
//! shown, logged or published afterwards.
//!
//! Statements are made of whole tokens by PostgreSQL's lexical rules, so that it is known where the secret stands: in a constant
//! or in a comment. Text at random would put it outside of any quotes, where it is a name, and names are shown.

use arbitrary::{Arbitrary, Unstructured};
use tidegate_model::{orders, spec};
use tidegate_postgres::{Address, AddressError, Endpoint, Secret};
use tidegate_schema::{RawFile, evidence, readers::on_parser_stack, sql};

mod log;
mod tokens;

use tokens::Token;

/// Long enough to stand nowhere by chance.
const SECRET: &str = "hunter2-opensesame";

/// What is read.
#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Statement(Vec<Token<'a>>),
    Log(Vec<log::Line<'a>>),
    Migration { phase: u8, statements: Vec<Vec<Token<'a>>> },
    Document { around: u8, at: u16, text: &'a str },
    Address { before: &'a str, password: bool, behind: &'a str },
    Login { before: &'a str, behind: &'a str },
}

pub(crate) fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    match &input {
        Input::Statement(tokens) => {
            let text = tokens::text(tokens);
            let shown = on_parser_stack(|| evidence::shown(&text)).expect("a stack");
            silent(&shown, &text);
        }
        Input::Log(lines) => log::read(lines),
        Input::Migration { phase, statements } => migration(*phase, statements),
        Input::Document { around, at, text } => document(*around, *at, text),
        Input::Address { before, password, behind } => address(before, *password, behind),
        Input::Login { before, behind } => {
            let secret = Secret::new(format!("{before}{SECRET}{behind}"));
            let endpoint = Endpoint { host: "h".to_owned(), port: 1, database: "d".to_owned() };
            if let Err(error) = secret.resolve(Some(&endpoint)) {
                silent(&format!("{error} {error:?}"), before);
            }
        }
    }
}

fn silent(shown: &str, text: &str) {
    assert!(!shown.contains(SECRET), "{shown} is shown of {text}");
}

/// Problems of a migration file, and what is said of its statements.
fn migration(phase: u8, statements: &[Vec<Token<'_>>]) {
    let phases = ["expand", "backfill", "check", "contract", "sync"];
    let phase = phases[usize::from(phase) % phases.len()];
    let text: Vec<String> = statements.iter().map(|tokens| tokens::text(tokens)).collect();
    let text = text.join(";\n");
    let lint = sql::lint(vec![RawFile { name: format!("1_{phase}_case.sql"), text: text.clone() }]);
    for problem in &lint.problems {
        silent(&format!("{problem} {problem:?}"), &text);
    }
    for statement in
        lint.files.iter().filter(|file| file.generated.is_none()).flat_map(|file| &file.statements)
    {
        silent(&format!("{statement:?}"), &text);
    }
}

/// A spec or an order with the secret at any place of it, quoted or not.
fn document(around: u8, at: u16, text: &str) {
    let at = (0..=text.len().min(usize::from(at))).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (before, behind) = text.split_at(at);
    let put = match around % 4 {
        0 => SECRET.to_owned(),
        1 => format!("\"{SECRET}\""),
        2 => format!("\"{SECRET}\": 1, "),
        _ => format!("{SECRET}/"),
    };
    let text = format!("{before}{put}{behind}");
    let problems =
        [spec::read(&text).err(), orders::read_abort(&text).err(), orders::read_approval(&text).err()];
    for problem in problems.iter().flatten().flatten() {
        silent(&format!("{problem} {problem:?}"), &text);
    }
}

/// A URL with a password, which is refused, or with the secret anywhere else, where an error may not quote it.
fn address(before: &str, password: bool, behind: &str) {
    let url = if password {
        let user: String = before.chars().filter(|c| !['/', '?', '#', '@'].contains(c)).collect();
        format!("postgres://{user}:{SECRET}@{behind}")
    } else {
        format!("{before}{SECRET}{behind}")
    };
    match url.parse::<Address>() {
        Ok(_) => assert!(!password, "taken with a password: {url}"),
        Err(error @ (AddressError::Url | AddressError::Parameters | AddressError::Password)) => {
            silent(&format!("{error} {error:?}"), &url);
        }
    }
}
