//! JSON with positions: strict RFC 8259 through `jsonc-parser`, so that every problem can name its line and column.
//!
//! Used by [`super::read`] and [`crate::orders`]. It never quotes the text it reads.

use jsonc_parser::{CollectOptions, ParseOptions, ast, common::Ranged, parse_to_ast};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Code, Problem};

/// The longest text that is read at all: the size of an advanced parameter, in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// A parsed document and the problems found so far.
pub struct Document<'a> {
    text: &'a str,
    /// Everything found wrong.
    pub problems: Vec<Problem>,
}

/// A value with its place.
#[derive(Clone)]
pub struct Node<'a, 'v> {
    /// Where it stands: `traffic.shift`.
    pub path: String,
    value: &'v ast::Value<'a>,
}

impl<'a> Document<'a> {
    /// Starts a document over `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, problems: Vec::new() }
    }

    /// Parses the text, or notes why it is no JSON.
    pub fn parse(&mut self) -> Option<ast::Value<'a>> {
        if self.text.len() > MAX_BYTES {
            self.note_at(
                0,
                "$",
                Code::TooLarge,
                "the text is longer than 8 KB",
                "refer to files instead of embedding them",
            );
            return None;
        }
        let strict = ParseOptions {
            allow_comments: false,
            allow_loose_object_property_names: false,
            allow_trailing_commas: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            ..ParseOptions::default()
        };
        let parsed = match parse_to_ast(self.text, &CollectOptions::default(), &strict) {
            Ok(parsed) => parsed.value,
            Err(error) => {
                self.not_json(error.range().start);
                return None;
            }
        };
        if parsed.is_none() {
            self.note_at(0, "$", Code::NotJson, "the text is empty", "write a JSON object");
            return None;
        }
        // The positions' parser still takes numbers and escapes that are none in JSON (NaN, .5, \x41).
        if let Err(error) = serde_json::from_str::<IgnoredAny>(self.text) {
            let line_start: usize =
                self.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            self.not_json(line_start + error.column().saturating_sub(1));
            return None;
        }
        parsed
    }

    fn not_json(&mut self, at: usize) {
        self.note_at(
            at,
            "$",
            Code::NotJson,
            "the text is not JSON from here on",
            "strict JSON: no comments, no trailing commas, double quotes",
        );
    }

    /// Notes a problem at a node.
    pub fn note(
        &mut self,
        node: &Node<'_, '_>,
        code: Code,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.note_at(node.value.start(), &node.path, code, message, remedy);
    }

    /// Notes a problem at a byte offset.
    pub fn note_at(
        &mut self,
        offset: usize,
        path: &str,
        code: Code,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (line, column) = line_and_column(self.text, offset);
        self.problems.push(Problem {
            line,
            column,
            code,
            path: path.to_owned(),
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    /// The problems in reading order.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort();
        self.problems.dedup();
        self.problems
    }
}

/// Line and column, in characters and from 1, of a byte offset.
fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().map_or(0, |tail| tail.chars().count());
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// Line and column of the value at a path of keys (`traffic.shift`) in a text that was read before; of the innermost
/// value that is there if the path leads further.
pub fn place(text: &str, path: &str) -> (u32, u32) {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()).ok();
    let Some(mut value) = parsed.as_ref().and_then(|parsed| parsed.value.as_ref()) else { return (1, 1) };
    for key in path.split('.') {
        let member = value.as_object().and_then(|object| object.get(key));
        let Some(member) = member else { break };
        value = &member.value;
    }
    line_and_column(text, value.start())
}

/// How an unknown key in an object is called in a problem: with what was expected, never with what was written.
fn expected(keys: &[&str]) -> String {
    format!("known here: {}", keys.join(", "))
}

impl<'a, 'v> Node<'a, 'v> {
    /// The root of a document.
    pub fn root(value: &'v ast::Value<'a>) -> Self {
        Self { path: "$".to_owned(), value }
    }

    fn child_path(&self, key: &str) -> String {
        if self.path == "$" { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The node's type in words.
    fn kind(&self) -> &'static str {
        match self.value {
            ast::Value::StringLit(_) => "a string",
            ast::Value::NumberLit(_) => "a number",
            ast::Value::BooleanLit(_) => "true or false",
            ast::Value::Object(_) => "an object",
            ast::Value::Array(_) => "a list",
            ast::Value::NullKeyword(_) => "null",
        }
    }

    fn wrong_type(&self, doc: &mut Document<'_>, wanted: &str) {
        doc.note(self, Code::WrongType, format!("expected {wanted}, found {}", self.kind()), "");
    }

    /// The members of an object, keys checked against `known` and for repetition; `None` (noted) if it is no object.
    pub fn object(&self, doc: &mut Document<'_>, known: &[&str]) -> Option<Members<'a, 'v>> {
        let ast::Value::Object(object) = self.value else {
            self.wrong_type(doc, "an object");
            return None;
        };
        let mut members = Members { node: self.clone(), list: Vec::new() };
        for property in &object.properties {
            let key = property.name.as_str();
            let at = property.range().start;
            if members.list.iter().any(|member| member.key == key) {
                doc.note_at(at, &self.path, Code::DuplicateKey, "a key stands twice", "keep one of them");
            } else if !known.is_empty() && !known.contains(&key) {
                doc.note_at(
                    at,
                    &self.path,
                    Code::UnknownKey,
                    "a key that is not known here",
                    expected(known),
                );
            } else {
                let node = Node { path: self.child_path(key), value: &property.value };
                members.list.push(Member { key: key.to_owned(), at, node });
            }
        }
        Some(members)
    }

    /// The members of an object with free keys (environment, headers).
    pub fn free_object(&self, doc: &mut Document<'_>) -> Option<Vec<Member<'a, 'v>>> {
        let mut members = self.object(doc, &[])?.list;
        for member in &mut members {
            // Free keys are the reader's own text: their paths must not carry it.
            member.node.path = format!("{}.*", self.path);
        }
        Some(members)
    }

    /// The items of a list.
    pub fn list(&self, doc: &mut Document<'_>) -> Option<Vec<Self>> {
        let ast::Value::Array(array) = self.value else {
            self.wrong_type(doc, "a list");
            return None;
        };
        let item = |(i, value)| Node { path: format!("{}[{i}]", self.path), value };
        Some(array.elements.iter().enumerate().map(item).collect())
    }

    /// A non-empty string without control characters, at most `max` characters.
    pub fn text(&self, doc: &mut Document<'_>, max: usize) -> Option<String> {
        let ast::Value::StringLit(literal) = self.value else {
            self.wrong_type(doc, "a string");
            return None;
        };
        let text = literal.value.as_ref();
        if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
            doc.note(
                self,
                Code::BadValue,
                format!("a text of 1 to {max} characters without control characters is needed"),
                "",
            );
            return None;
        }
        Some(text.to_owned())
    }

    /// A string that may be empty.
    pub fn any_text(&self, doc: &mut Document<'_>, max: usize) -> Option<String> {
        match self.value {
            ast::Value::StringLit(literal) if literal.value.is_empty() => Some(String::new()),
            ast::Value::StringLit(_)
            | ast::Value::NumberLit(_)
            | ast::Value::BooleanLit(_)
            | ast::Value::Object(_)
            | ast::Value::Array(_)
            | ast::Value::NullKeyword(_) => self.text(doc, max),
        }
    }

    /// A string that `parse` takes; what is wrong is said by the error's own words.
    pub fn parsed<T, E: std::fmt::Display>(
        &self,
        doc: &mut Document<'_>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(doc, 2_048)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                doc.note(self, Code::BadValue, error.to_string(), "");
                None
            }
        }
    }

    /// A whole number from `min` to `max`.
    pub fn integer(&self, doc: &mut Document<'_>, min: u64, max: u64) -> Option<u64> {
        let ast::Value::NumberLit(literal) = self.value else {
            self.wrong_type(doc, "a whole number");
            return None;
        };
        match literal.value.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                doc.note(self, Code::OutOfRange, format!("a whole number from {min} to {max} is needed"), "");
                None
            }
        }
    }

    /// A finite number from `min` to `max`.
    pub fn number(&self, doc: &mut Document<'_>, min: f64, max: f64) -> Option<f64> {
        let ast::Value::NumberLit(literal) = self.value else {
            self.wrong_type(doc, "a number");
            return None;
        };
        match literal.value.parse::<f64>() {
            Ok(number) if (min..=max).contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                doc.note(self, Code::OutOfRange, format!("a number from {min} to {max} is needed"), "");
                None
            }
        }
    }

    /// True or false.
    pub fn boolean(&self, doc: &mut Document<'_>) -> Option<bool> {
        if let ast::Value::BooleanLit(literal) = self.value {
            return Some(literal.value);
        }
        self.wrong_type(doc, "true or false");
        None
    }

    /// The string, if it is one; nothing is noted.
    pub fn as_str(&self) -> Option<&str> {
        match self.value {
            ast::Value::StringLit(literal) => Some(literal.value.as_ref()),
            ast::Value::NumberLit(_)
            | ast::Value::BooleanLit(_)
            | ast::Value::Object(_)
            | ast::Value::Array(_)
            | ast::Value::NullKeyword(_) => None,
        }
    }

    /// The value as plain JSON.
    pub fn json(&self) -> Value {
        plain(self.value)
    }
}

fn plain(value: &ast::Value<'_>) -> Value {
    match value {
        ast::Value::StringLit(literal) => Value::String(literal.value.to_string()),
        ast::Value::NumberLit(literal) => serde_json::from_str(literal.value).unwrap_or(Value::Null),
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::Object(object) => Value::Object(
            object.properties.iter().map(|p| (p.name.as_str().to_owned(), plain(&p.value))).collect(),
        ),
        ast::Value::Array(array) => Value::Array(array.elements.iter().map(plain).collect()),
        ast::Value::NullKeyword(_) => Value::Null,
    }
}

/// One member of an object.
pub struct Member<'a, 'v> {
    /// Its key.
    pub key: String,
    /// Where the key stands, as a byte offset.
    pub at: usize,
    /// Its value.
    pub node: Node<'a, 'v>,
}

/// The members of an object, taken one by one.
pub struct Members<'a, 'v> {
    node: Node<'a, 'v>,
    list: Vec<Member<'a, 'v>>,
}

impl<'a, 'v> Members<'a, 'v> {
    /// The member of that key, if it is there.
    pub fn get(&self, key: &str) -> Option<&Node<'a, 'v>> {
        self.list.iter().find(|member| member.key == key).map(|member| &member.node)
    }

    /// The member of that key; its absence is a problem.
    pub fn need(&self, doc: &mut Document<'_>, key: &str) -> Option<&Node<'a, 'v>> {
        let found = self.get(key);
        if found.is_none() {
            let path = self.node.child_path(key);
            doc.note_at(self.node.value.start(), &path, Code::MissingKey, "a required key is missing", "");
        }
        found
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
