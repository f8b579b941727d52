//! The hash chain: how an entry is sealed behind the one before it, and what opening it can find wrong.
//!
//! Pure. The hash covers release, place, time, format and body of an entry and the hash before it, each with its length,
//! so that no two different chains read the same.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tidegate_model::{ReleaseName, ledger::Entry};

/// The format of entry bodies that this version writes, and the newest that it reads.
pub(crate) const FORMAT: u64 = 1;

/// What is wrong with a release's chain. The words are shown to people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// An entry is missing.
    #[error("entry {expected} is missing; the next one is {found}")]
    Gap {
        /// The place that should follow.
        expected: u64,
        /// The place that follows.
        found: u64,
    },
    /// An entry is not what was appended, or does not follow the one before it.
    #[error("the hash of entry {seq} does not fit its content")]
    BadHash {
        /// Its place.
        seq: u64,
    },
    /// An entry was written by a newer Tidegate.
    #[error("entry {seq} has format {format}, newer than the newest known one ({FORMAT})")]
    NewerFormat {
        /// Its place.
        seq: u64,
        /// Its format.
        format: u64,
    },
    /// An entry's hash is right and its content cannot be understood.
    #[error("entry {seq} cannot be read")]
    Unreadable {
        /// Its place.
        seq: u64,
    },
}

/// The end of a chain: what the next entry must follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are: the place of the next one.
    pub length: u64,
    /// Hash of the last entry; empty before the first.
    pub hash: String,
}

/// An entry as it stands in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its place in the chain, from 0.
    pub seq: u64,
    /// When it was appended, in RFC 3339.
    pub at: String,
    /// The format of its body.
    pub format: u64,
    /// The entry, in JSON.
    pub body: String,
    /// The hash of the entry before it; empty for the first.
    pub previous: String,
    /// Its hash, in hex.
    pub hash: String,
}

impl Head {
    /// Seals an entry behind this head.
    pub(crate) fn seal(
        &self,
        release: &ReleaseName,
        at: Timestamp,
        entry: &Entry,
    ) -> Result<Sealed, serde_json::Error> {
        let mut sealed = Sealed {
            seq: self.length,
            at: at.to_string(),
            format: FORMAT,
            body: serde_json::to_string(entry)?,
            previous: self.hash.clone(),
            hash: String::new(),
        };
        sealed.hash = sealed.computed_hash(release.as_str());
        Ok(sealed)
    }
}

impl Sealed {
    /// Verifies that the entry follows `head`, and reads it.
    pub(crate) fn open(&self, release: &str, head: &Head) -> Result<(Timestamp, Entry), Damage> {
        let seq = self.seq;
        if seq != head.length {
            return Err(Damage::Gap { expected: head.length, found: seq });
        }
        if self.previous != head.hash || self.hash != self.computed_hash(release) {
            return Err(Damage::BadHash { seq });
        }
        if self.format > FORMAT {
            return Err(Damage::NewerFormat { seq, format: self.format });
        }
        let at = self.at.parse().map_err(|_| Damage::Unreadable { seq })?;
        let entry = serde_json::from_str(&self.body).map_err(|_| Damage::Unreadable { seq })?;
        Ok((at, entry))
    }

    /// The head behind this entry.
    pub(crate) fn head(&self) -> Head {
        Head { length: self.seq + 1, hash: self.hash.clone() }
    }

    /// The hash that it should have. Public for whoever plays a disk or a person that changes rows.
    pub fn computed_hash(&self, release: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.format.to_be_bytes());
        for part in [&self.previous, release, &self.at, &self.body] {
            // usize is at most 64 bits on every target of Rust.
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        hex::encode(hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(change: impl FnOnce(&mut Sealed)) -> Sealed {
        let release = "shop".parse().unwrap();
        let mut sealed = Head::default().seal(&release, Timestamp::UNIX_EPOCH, &Entry::Confirmed).unwrap();
        change(&mut sealed);
        sealed.hash = sealed.computed_hash("shop");
        sealed
    }

    fn opened(sealed: &Sealed) -> Result<(Timestamp, Entry), Damage> {
        sealed.open("shop", &Head::default())
    }

    #[test]
    fn an_entry_opens_to_what_was_sealed() {
        assert_eq!(opened(&sealed(|_| ())), Ok((Timestamp::UNIX_EPOCH, Entry::Confirmed)));
    }

    /// What was decided is judged again from what was kept.
    #[test]
    fn numbers_are_kept_to_the_last_bit() {
        for number in (1..5_000).map(|n| (f64::from(n) * 0.618_034).fract() / 7.0) {
            let kept = serde_json::to_string(&number).unwrap();
            let read: f64 = serde_json::from_str(&kept).unwrap();
            assert_eq!(read.to_bits(), number.to_bits(), "{kept}");
        }
    }

    #[test]
    fn an_entry_of_a_newer_format_is_refused_though_its_hash_is_right() {
        let newer = sealed(|sealed| sealed.format = FORMAT + 1);
        assert_eq!(opened(&newer), Err(Damage::NewerFormat { seq: 0, format: FORMAT + 1 }));
    }

    #[test]
    fn an_entry_that_nobody_can_read_is_refused_though_its_hash_is_right() {
        let unknown = sealed(|sealed| sealed.body = r#""somethingNew""#.into());
        assert_eq!(opened(&unknown), Err(Damage::Unreadable { seq: 0 }));
        let timeless = sealed(|sealed| sealed.at = "yesterday".into());
        assert_eq!(opened(&timeless), Err(Damage::Unreadable { seq: 0 }));
    }

    #[test]
    fn moving_text_between_members_changes_the_hash() {
        let one = sealed(|sealed| (sealed.at, sealed.body) = ("a".into(), "bc".into()));
        let other = sealed(|sealed| (sealed.at, sealed.body) = ("ab".into(), "c".into()));
        assert_ne!(one.hash, other.hash);
    }
}
