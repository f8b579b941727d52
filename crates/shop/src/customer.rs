//! A customer as clients send and get it, and the address in the form that a version knows.
//!
//! Called by: the HTTP handlers and the store. Must not: know HTTP or SQL.
//!
//! What every version accepts: a client may send the text `address`, the four structured fields, or both.
//! A version ignores the form that it does not know (as any JSON service ignores unknown members), so a client
//! that must be understood by version 1 *and* version 3 sends both, or text only: versions 2, 3 and 4 still split
//! text that came alone. Text that cannot be split is kept by version 2 (which has the text column) and refused
//! with 422 by versions 3 and 4, which would lose it.

use serde::{Deserialize, Serialize};

use crate::{
    Version,
    address::{Both, Structured},
};

/// Longest text of one member, in bytes: a bound on what a row may hold.
const TEXT_BYTES_MAX: usize = 4096;

/// What a client sends. Unknown members are ignored.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Request {
    name: String,
    email: Option<String>,
    address: Option<String>,
    #[serde(flatten)]
    structured: Structured,
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Customer {
    /// Its key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its mail address.
    pub email: Option<String>,
    /// Its address in the form the version knows.
    #[serde(flatten)]
    pub address: Address,
}

/// An accepted request: what is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The name; never empty.
    pub name: String,
    /// The mail address.
    pub email: Option<String>,
    /// The address in the form the version writes.
    pub address: Address,
}

/// An address in the form that a version reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Version 1.
    Text(Option<String>),
    /// Version 2.
    Both(Both),
    /// Versions 3 and 4.
    Structured(Structured),
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Members<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            address: Option<&'a Option<String>>,
            #[serde(flatten)]
            structured: Option<&'a Structured>,
        }
        let members = match self {
            Self::Text(text) => Members { address: Some(text), structured: None },
            Self::Both(both) => Members { address: Some(&both.text), structured: Some(&both.structured) },
            Self::Structured(structured) => Members { address: None, structured: Some(structured) },
        };
        members.serialize(serializer)
    }
}

/// Why a request cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The name is missing its text.
    #[error("name is empty")]
    EmptyName,
    /// PostgreSQL's text cannot hold it, or it is too long.
    #[error("a member is longer than {TEXT_BYTES_MAX} bytes or contains a NUL character")]
    BadText,
    /// A structured member is longer than its column.
    #[error("state has more than 2 characters or zip_code more than 10")]
    TooLong,
    /// Only text came, and it has no structured form.
    #[error("address cannot be split into street, city, state and zip code")]
    CannotBeSplit,
}

impl Request {
    /// The draft that `version` stores for this request.
    pub(crate) fn draft(self, version: Version) -> Result<Draft, Refused> {
        self.check_texts()?;
        let Self { name, email, address: text, structured } = self;
        let address = match version {
            Version::V1 => Address::Text(text),
            Version::V2 => Address::Both(Both::of(text, fitting(structured)?)),
            Version::V3 | Version::V4 => Address::Structured(structured_of(text, structured)?),
        };
        Ok(Draft { name, email, address })
    }

    fn check_texts(&self) -> Result<(), Refused> {
        if self.name.is_empty() {
            return Err(Refused::EmptyName);
        }
        let Structured { street_address, city, state, zip_code } = &self.structured;
        let optional = [&self.email, &self.address, street_address, city, state, zip_code];
        let mut texts = optional.into_iter().flatten().chain([&self.name]);
        if texts.any(|text| text.len() > TEXT_BYTES_MAX || text.contains('\0')) {
            return Err(Refused::BadText);
        }
        Ok(())
    }
}

fn fitting(structured: Structured) -> Result<Structured, Refused> {
    if structured.fits() { Ok(structured) } else { Err(Refused::TooLong) }
}

fn structured_of(text: Option<String>, structured: Structured) -> Result<Structured, Refused> {
    match text {
        Some(text) if structured.is_empty() => Structured::from_text(&text).ok_or(Refused::CannotBeSplit),
        Some(_) | None => fitting(structured),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn draft(version: Version, body: Value) -> Result<Draft, Refused> {
        serde_json::from_value::<Request>(body).unwrap().draft(version)
    }

    fn sample() -> Structured {
        Structured::new("123 Main St", "New York", "NY", "10001")
    }

    #[test]
    fn text_alone_reaches_every_version_in_the_form_it_knows() {
        let body = json!({"name": "Ann", "address": "123 Main St, New York, NY, 10001"});
        let text = Some("123 Main St, New York, NY, 10001".to_owned());
        let written = |version| draft(version, body.clone()).unwrap().address;
        assert_eq!(written(Version::V1), Address::Text(text.clone()));
        assert_eq!(written(Version::V2), Address::Both(Both { text, structured: sample() }));
        assert_eq!(written(Version::V3), Address::Structured(sample()));
    }

    #[test]
    fn a_version_ignores_members_it_does_not_know() {
        let body = json!({"name": "Ann", "city": "Rome", "loyalty": 3});
        assert_eq!(draft(Version::V1, body).unwrap().address, Address::Text(None));
    }

    #[test]
    fn text_that_cannot_be_split_is_kept_where_there_is_a_text_column_and_refused_elsewhere() {
        let body = json!({"name": "Ann", "address": "c/o the lighthouse"});
        assert!(draft(Version::V1, body.clone()).is_ok());
        assert!(draft(Version::V2, body.clone()).is_ok());
        assert_eq!(draft(Version::V3, body), Err(Refused::CannotBeSplit));
    }

    #[test]
    fn no_address_is_an_address_for_every_version() {
        for version in Version::ALL {
            assert!(draft(version, json!({"name": "probe"})).is_ok());
            assert!(draft(version, json!({"name": "probe", "address": null, "city": null})).is_ok());
        }
    }

    #[test]
    fn what_the_database_would_refuse_is_refused_before_it() {
        assert_eq!(draft(Version::V1, json!({"name": ""})), Err(Refused::EmptyName));
        assert_eq!(draft(Version::V1, json!({"name": "a\u{0}"})), Err(Refused::BadText));
        assert_eq!(
            draft(Version::V1, json!({"name": "a", "address": "x".repeat(5000)})),
            Err(Refused::BadText)
        );
        assert_eq!(draft(Version::V2, json!({"name": "a", "state": "New York"})), Err(Refused::TooLong));
    }

    #[test]
    fn a_customer_is_answered_in_the_form_its_version_knows() {
        let customer = |address| Customer { id: 7, name: "Ann".into(), email: None, address };
        let text = customer(Address::Text(None));
        assert_eq!(
            serde_json::to_value(text).unwrap(),
            json!({"id": 7, "name": "Ann", "email": null, "address": null})
        );
        let structured = serde_json::to_value(customer(Address::Structured(sample()))).unwrap();
        assert_eq!(structured.get("address"), None);
        assert_eq!(structured["zip_code"], "10001");
        let both = Both::of(None, sample());
        let both = serde_json::to_value(customer(Address::Both(both))).unwrap();
        assert_eq!(
            (&both["address"], &both["state"]),
            (&json!("123 Main St, New York, NY, 10001"), &json!("NY"))
        );
    }
}
