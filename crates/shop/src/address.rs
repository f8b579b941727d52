//! The two forms of an address and the mapping between them, as the application knows it.
//!
//! Called by: the store of versions 2 and 3, the customers. Must not: differ from the mapping in the change's
//! expand files; if it did, version 2 would write rows that the sync trigger counts as conflicts.

use serde::{Deserialize, Serialize};

/// Longest `state` and `zip_code` that their columns take, in characters.
const STATE_CHARS_MAX: usize = 2;
const ZIP_CODE_CHARS_MAX: usize = 10;

/// White space that surrounds a part of an address; the same four characters as in the database's mapping,
/// because what else counts as white space depends on the locale there.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The structured form. All four are `None` where there is no address, or none that could be mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structured {
    /// House and street.
    pub street_address: Option<String>,
    /// City.
    pub city: Option<String>,
    /// State: at most two characters.
    pub state: Option<String>,
    /// Zip code: at most ten characters.
    pub zip_code: Option<String>,
}

impl Structured {
    /// A complete address.
    pub fn new(street: &str, city: &str, state: &str, zip_code: &str) -> Self {
        Self {
            street_address: Some(street.to_owned()),
            city: Some(city.to_owned()),
            state: Some(state.to_owned()),
            zip_code: Some(zip_code.to_owned()),
        }
    }

    /// Splits `street, city, state, zip`. Nothing if there are not exactly four parts, if one is empty, or if
    /// one would be cut off by its column: half an address is none.
    pub fn from_text(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(',').map(|part| part.trim_matches(SPACE)).collect();
        let [street, city, state, zip_code] = parts[..] else { return None };
        let complete = parts.iter().all(|part| !part.is_empty());
        let address = Self::new(street, city, state, zip_code);
        (complete && address.fits()).then_some(address)
    }

    /// The text form: nothing unless all four parts are there, so that a missing part is never written as a word.
    pub fn to_text(&self) -> Option<String> {
        let Self { street_address, city, state, zip_code } = self;
        let parts = [street_address, city, state, zip_code].map(Option::as_deref);
        let [Some(street), Some(city), Some(state), Some(zip_code)] = parts else { return None };
        Some(format!("{street}, {city}, {state}, {zip_code}"))
    }

    /// True if no part is there.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True if the columns take every part whole.
    pub fn fits(&self) -> bool {
        let within =
            |part: &Option<String>, most| part.as_ref().is_none_or(|text| text.chars().count() <= most);
        within(&self.state, STATE_CHARS_MAX) && within(&self.zip_code, ZIP_CODE_CHARS_MAX)
    }
}

/// Both forms of one address, in sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Both {
    /// The text form.
    pub text: Option<String>,
    /// The structured form.
    pub structured: Structured,
}

impl Both {
    /// What version 2 writes for what a client sent. A client that sends only text gets its text kept, and the
    /// structured form if it has one. If both came and disagree the structured form wins.
    pub fn of(text: Option<String>, structured: Structured) -> Self {
        if structured.is_empty() {
            let structured = text.as_deref().and_then(Structured::from_text).unwrap_or_default();
            return Self { text, structured };
        }
        let composed = structured.to_text();
        let agree = text.as_deref().and_then(Structured::from_text).as_ref() == Some(&structured);
        Self { text: if agree { text } else { composed }, structured }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_york() -> Structured {
        Structured::new("123 Main St", "New York", "NY", "10001")
    }

    #[test]
    fn four_parts_map_up_and_down() {
        assert_eq!(Structured::from_text("123 Main St, New York, NY, 10001"), Some(new_york()));
        assert_eq!(new_york().to_text().as_deref(), Some("123 Main St, New York, NY, 10001"));
        assert_eq!(Structured::from_text(" 123 Main St,New York ,\tNY,10001\n"), Some(new_york()));
    }

    #[test]
    fn what_would_be_cut_off_or_has_other_than_four_parts_maps_to_nothing() {
        for text in [
            "",
            ",,,",
            "somewhere",
            "1 A St, Apt 2, B, NY, 10001",
            "1 A St, B, New York, 10001",
            "1 A St, B, , 10001",
            "1 A St, B, NY, 10001-000000",
        ] {
            assert_eq!(Structured::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_missing_part_never_becomes_a_word_in_the_text() {
        let partial = Structured { city: None, ..new_york() };
        assert_eq!(partial.to_text(), None);
        assert_eq!(Both::of(None, partial.clone()), Both { text: None, structured: partial });
    }

    #[test]
    fn text_that_says_the_same_is_kept_as_it_was_written_and_other_text_gives_way() {
        let tight = "123 Main St,New York,NY,10001".to_owned();
        assert_eq!(Both::of(Some(tight.clone()), new_york()).text, Some(tight));
        let other = Both::of(Some("9 Elm St, Boston, MA, 02101".to_owned()), new_york());
        assert_eq!(other.text.as_deref(), Some("123 Main St, New York, NY, 10001"));
    }

    #[test]
    fn text_that_cannot_be_mapped_is_kept_beside_an_empty_structured_form() {
        let both = Both::of(Some("c/o the lighthouse".to_owned()), Structured::default());
        assert_eq!(both.text.as_deref(), Some("c/o the lighthouse"));
        assert!(both.structured.is_empty());
    }
}
