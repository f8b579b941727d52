//! What a shopper writes, in which form it is sent, and what must be read afterwards.
//!
//! Called by: the shoppers, the memory, the read-back. Must not: contain a text that two versions would store
//! differently (texts are composed as the mapping composes them, with one space after each comma).

use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

use crate::address::Structured;

const STREETS: [&str; 6] = ["Main St", "Oak Ave", "Elm St", "Lake Dr", "Hill Rd", "2nd Ave"];
const CITIES: [(&str, &str); 6] = [
    ("New York", "NY"),
    ("Boston", "MA"),
    ("Chicago", "IL"),
    ("Austin", "TX"),
    ("Salem", "OR"),
    ("Dover", "DE"),
];

/// A customer as a shopper wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) name: String,
    pub(super) email: Option<String>,
    pub(super) address: Written,
}

/// An address, by what forms it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// None at all.
    Empty,
    /// One that has both forms.
    Mapped(Structured),
    /// Text that has no structured form.
    TextOnly(String),
}

/// How a mapped address is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As an old client does.
    Text,
    /// As a new client does while old versions may serve.
    Both,
}

impl Written {
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Empty => None,
            Self::Mapped(structured) => structured.to_text(),
            Self::TextOnly(text) => Some(text.clone()),
        }
    }

    pub(super) fn structured(&self) -> Structured {
        match self {
            Self::Empty | Self::TextOnly(_) => Structured::default(),
            Self::Mapped(structured) => structured.clone(),
        }
    }
}

impl Content {
    /// An ordinary customer.
    pub(super) fn ordinary(random: &mut StdRng) -> Self {
        let (city, state) = CITIES[random.random_range(0..CITIES.len())];
        let street =
            format!("{} {}", random.random_range(1..10_000), STREETS[random.random_range(0..STREETS.len())]);
        let zip_code = format!("{:05}", random.random_range(0..100_000));
        Self::with(random, Written::Mapped(Structured::new(&street, city, state, &zip_code)))
    }

    /// A customer whose address has no structured form, or is not given where `may_be_empty`.
    pub(super) fn awkward(random: &mut StdRng, may_be_empty: bool) -> Self {
        let number = random.random_range(1..10_000);
        let address = match random.random_range(0..5) {
            0 if may_be_empty => Written::Empty,
            1 => Written::TextOnly(String::new()),
            2 => Written::TextOnly(format!("The Old Mill, {number} River Rd, Dover, DE, 19901")),
            3 => Written::TextOnly(format!("{number} Capitol Sq, Albany, New York, 12207")),
            _ => Written::TextOnly(format!("c/o Miller, {number}")),
        };
        Self::with(random, address)
    }

    fn with(random: &mut StdRng, address: Written) -> Self {
        let number: u32 = random.random();
        let email = (!number.is_multiple_of(7)).then(|| format!("shopper{number}@example.com"));
        Self { name: format!("Shopper {number}"), email, address }
    }

    /// The request body.
    pub(super) fn body(&self, form: Form) -> Value {
        let mut body = json!({"name": self.name, "email": self.email, "address": self.address.text()});
        match (form, &self.address) {
            (Form::Both, Written::Mapped(structured)) => {
                body["street_address"] = json!(structured.street_address);
                body["city"] = json!(structured.city);
                body["state"] = json!(structured.state);
                body["zip_code"] = json!(structured.zip_code);
            }
            (Form::Both | Form::Text, Written::Empty | Written::Mapped(_) | Written::TextOnly(_)) => {}
        }
        body
    }

    /// Whether an answer shows this content, in those forms of the address that it has.
    pub(super) fn is_shown_by(&self, answer: &Value) -> bool {
        let text = answer.get("address").is_none_or(|text| *text == json!(self.address.text()));
        let structured = answer.get("zip_code").is_none()
            || serde_json::from_value::<Structured>(answer.clone())
                .is_ok_and(|s| s == self.address.structured());
        let shows_one = answer.get("address").is_some() || answer.get("zip_code").is_some();
        shows_one
            && text
            && structured
            && answer.get("name") == Some(&json!(self.name))
            && answer.get("email") == Some(&json!(self.email))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn ordinary_addresses_map_and_awkward_ones_do_not() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..500 {
            let Written::Mapped(structured) = Content::ordinary(&mut random).address else {
                panic!("not mapped")
            };
            assert_eq!(Structured::from_text(&structured.to_text().unwrap()), Some(structured));
            let awkward = Content::awkward(&mut random, true).address;
            assert_eq!(awkward.text().as_deref().and_then(Structured::from_text), None);
            assert_ne!(Content::awkward(&mut random, false).address, Written::Empty);
        }
    }

    #[test]
    fn an_answer_is_checked_in_the_forms_it_has_and_must_have_one() {
        let content = Content::ordinary(&mut StdRng::seed_from_u64(1));
        let mut answer = content.body(Form::Both);
        assert!(content.is_shown_by(&answer));
        assert!(content.is_shown_by(&content.body(Form::Text)));
        answer["city"] = json!("Elsewhere");
        assert!(!content.is_shown_by(&answer));
        assert!(!content.is_shown_by(&json!({"name": content.name, "email": content.email})));
        let mut answer = content.body(Form::Text);
        answer["address"] = Value::Null;
        assert!(!content.is_shown_by(&answer));
    }
}
