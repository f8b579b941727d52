//! A protocol-neutral value: what a request asked and what a response says, before any wire format.
//!
//! Handlers in `api/` read inputs through the accessors, which answer like AWS does to a malformed call, and are lenient
//! where awsQuery (which sends only strings) forces them to be.

use jiff::Timestamp;

use crate::error::ApiError;

/// A value of an AWS request or response.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Node {
    /// Absent; never written to a response.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(String),
    /// An instant; each protocol has its own form.
    Time(Timestamp),
    /// Bytes.
    Blob(Vec<u8>),
    /// A list.
    List(Vec<Node>),
    /// A structure or map, in order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A structure; absent members are left out.
    pub fn map<const N: usize>(members: [(&str, Node); N]) -> Self {
        Self::Map(
            members
                .into_iter()
                .filter(|(_, value)| *value != Self::Null)
                .map(|(k, v)| (k.to_owned(), v))
                .collect(),
        )
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Node>) -> Self {
        Self::List(items.into_iter().collect())
    }

    /// A list of strings.
    pub fn texts<S: Into<String>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::List(items.into_iter().map(|s| Self::Text(s.into())).collect())
    }

    /// An empty structure.
    pub fn empty() -> Self {
        Self::Map(vec![])
    }

    /// Adds or replaces a member of a structure; null removes it.
    pub fn set(&mut self, key: &str, value: Node) {
        if let Self::Map(members) = self {
            members.retain(|(k, _)| k != key);
            if value != Self::Null {
                members.push((key.to_owned(), value));
            }
        }
    }

    /// A member of a structure, null if absent.
    pub fn get(&self, key: &str) -> &Node {
        match self {
            Self::Map(members) => members.iter().find(|(k, _)| k == key).map_or(&Self::Null, |(_, v)| v),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Time(_)
            | Self::Blob(_)
            | Self::List(_) => &Self::Null,
        }
    }

    /// The members of a structure or map.
    pub fn members(&self) -> &[(String, Node)] {
        match self {
            Self::Map(members) => members,
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Time(_)
            | Self::Blob(_)
            | Self::List(_) => &[],
        }
    }

    /// True if the member is there.
    pub fn has(&self, key: &str) -> bool {
        *self.get(key) != Self::Null
    }

    /// The string itself, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Time(_)
            | Self::Blob(_)
            | Self::List(_)
            | Self::Map(_) => None,
        }
    }

    /// The whole number itself, if it is one or a string of one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "JSON and CBOR clients send whole numbers as floats"
            )]
            Self::Float(number) if number.fract() == 0.0 => Some(*number as i64),
            Self::Text(text) => text.parse().ok(),
            Self::Null
            | Self::Bool(_)
            | Self::Float(_)
            | Self::Time(_)
            | Self::Blob(_)
            | Self::List(_)
            | Self::Map(_) => None,
        }
    }

    /// The number itself, if it is one or a string of one.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "metric values and weights are far below 2^53")]
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            Self::Null | Self::Bool(_) | Self::Time(_) | Self::Blob(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The instant itself: a time, epoch seconds, or RFC 3339 text.
    pub fn as_time(&self) -> Option<Timestamp> {
        match self {
            Self::Time(time) => Some(*time),
            Self::Int(seconds) => Timestamp::from_second(*seconds).ok(),
            #[expect(clippy::cast_possible_truncation, reason = "epoch milliseconds fit")]
            Self::Float(seconds) => Timestamp::from_millisecond((seconds * 1_000.0).round() as i64).ok(),
            Self::Text(text) => text
                .parse()
                .ok()
                .or_else(|| format!("{text}Z").parse().ok())
                .or_else(|| text.parse::<f64>().ok().and_then(|seconds| Self::Float(seconds).as_time())),
            Self::Null | Self::Bool(_) | Self::Blob(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// A required string member.
    pub fn text(&self, key: &str) -> Result<&str, ApiError> {
        self.opt_text(key)?.ok_or_else(|| ApiError::missing(key))
    }

    /// An optional string member.
    pub fn opt_text(&self, key: &str) -> Result<Option<&str>, ApiError> {
        match self.get(key) {
            Self::Null => Ok(None),
            value => value.as_text().map(Some).ok_or_else(|| ApiError::mistyped(key, "string")),
        }
    }

    /// An optional whole number member.
    pub fn opt_int(&self, key: &str) -> Result<Option<i64>, ApiError> {
        match self.get(key) {
            Self::Null => Ok(None),
            value => value.as_int().map(Some).ok_or_else(|| ApiError::mistyped(key, "integer")),
        }
    }

    /// An optional number member.
    pub fn opt_float(&self, key: &str) -> Result<Option<f64>, ApiError> {
        match self.get(key) {
            Self::Null => Ok(None),
            value => value.as_float().map(Some).ok_or_else(|| ApiError::mistyped(key, "number")),
        }
    }

    /// An optional boolean member.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>, ApiError> {
        match self.get(key) {
            Self::Null => Ok(None),
            Self::Bool(value) => Ok(Some(*value)),
            Self::Text(text) if text == "true" => Ok(Some(true)),
            Self::Text(text) if text == "false" => Ok(Some(false)),
            Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Time(_)
            | Self::Blob(_)
            | Self::List(_)
            | Self::Map(_) => Err(ApiError::mistyped(key, "boolean")),
        }
    }

    /// An optional instant member.
    pub fn opt_time(&self, key: &str) -> Result<Option<Timestamp>, ApiError> {
        match self.get(key) {
            Self::Null => Ok(None),
            value => value.as_time().map(Some).ok_or_else(|| ApiError::mistyped(key, "timestamp")),
        }
    }

    /// A list member; absent is empty.
    pub fn items(&self, key: &str) -> Result<&[Node], ApiError> {
        match self.get(key) {
            Self::Null => Ok(&[]),
            Self::List(items) => Ok(items),
            // awsQuery writes an empty list as an empty string.
            Self::Text(text) if text.is_empty() => Ok(&[]),
            Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Time(_)
            | Self::Blob(_)
            | Self::Map(_) => Err(ApiError::mistyped(key, "list")),
        }
    }

    /// A list member of strings; absent is empty.
    pub fn text_items(&self, key: &str) -> Result<Vec<String>, ApiError> {
        self.items(key)?
            .iter()
            .map(|item| {
                item.as_text().map(str::to_owned).ok_or_else(|| ApiError::mistyped(key, "list of strings"))
            })
            .collect()
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Node {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Node {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Node {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<u16> for Node {
    fn from(value: u16) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<f64> for Node {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<Timestamp> for Node {
    fn from(value: Timestamp) -> Self {
        Self::Time(value)
    }
}

impl<T: Into<Node>> From<Option<T>> for Node {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
