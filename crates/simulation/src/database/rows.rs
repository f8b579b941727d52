//! Rows of a table, as far as the two forms of their data are concerned.
//!
//! Called by the steps, the check and the traffic of the model. A row has no values here: what counts is which of its two forms
//! it has and whether they agree, because that is all that a backfill, a sync trigger and a check look at. Must not know of
//! changes or releases.

use std::collections::BTreeMap;

use tidegate_model::schema::CheckReading;

/// Which forms a row has, old and new, and whether they agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// Neither.
    Bare,
    /// The old one, which has a counterpart that is not there yet.
    Old,
    /// The old one, which has no counterpart: its only copy.
    OldOdd,
    /// Both, in step.
    Both,
    /// The new one, whose counterpart is not there: written before there was a trigger.
    New,
    /// The new one, which has no counterpart: what reads the old form would miss it.
    NewOdd,
    /// Both, and they disagree.
    Apart,
    /// Both, they disagree, and the old one has no counterpart.
    ApartOdd,
}

/// What a statement writes into a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The old form, with a value that the other form can take.
    Old,
    /// The old form, with a value that it cannot take.
    OldOdd,
    /// The new form, with a value that the other form can take.
    New,
    /// The new form, with a value that it cannot take: half an address.
    NewOdd,
    /// Both forms, and they agree.
    Both,
    /// Both forms, and they disagree.
    BothApart,
    /// Columns of neither.
    Neither,
}

impl Row {
    /// The row after a write; with the trigger, which keeps the forms in step, or without it.
    #[must_use]
    pub fn after(self, write: Write, in_step: bool) -> Self {
        match (write, in_step) {
            (Write::Neither, true | false) => self,
            (Write::Both, true | false) | (Write::BothApart | Write::Old | Write::New, true) => Self::Both,
            (Write::BothApart, false) => Self::Apart,
            (Write::OldOdd, true) => Self::OldOdd,
            (Write::NewOdd, true) => Self::NewOdd,
            (Write::Old, false) => self.with_old(Self::Old),
            (Write::OldOdd, false) => self.with_old(Self::OldOdd),
            (Write::New, false) => self.with_new(Self::New),
            (Write::NewOdd, false) => self.with_new(Self::NewOdd),
        }
    }

    /// Another old form beside whatever new one there is.
    fn with_old(self, alone: Self) -> Self {
        match self {
            Self::Bare | Self::Old | Self::OldOdd => alone,
            Self::Both | Self::New | Self::NewOdd | Self::Apart | Self::ApartOdd if alone == Self::OldOdd => {
                Self::ApartOdd
            }
            Self::Both | Self::New | Self::NewOdd | Self::Apart | Self::ApartOdd => Self::Apart,
        }
    }

    /// Another new form beside whatever old one there is.
    fn with_new(self, alone: Self) -> Self {
        match self {
            Self::Bare | Self::New | Self::NewOdd => alone,
            Self::Both | Self::Old | Self::Apart => Self::Apart,
            Self::OldOdd | Self::ApartOdd => Self::ApartOdd,
        }
    }

    /// The row after a backfill, which writes the new form from the old one where they do not agree; none if it is left alone.
    pub(super) fn filled(self) -> Option<Self> {
        match self {
            Self::Old | Self::Apart => Some(Self::Both),
            Self::ApartOdd => Some(Self::OldOdd),
            Self::Bare | Self::OldOdd | Self::Both | Self::New | Self::NewOdd => None,
        }
    }

    /// The row once its old form is dropped.
    fn without_old(self) -> Self {
        match self {
            Self::Bare | Self::Old | Self::OldOdd => Self::Bare,
            Self::Both | Self::New | Self::Apart | Self::ApartOdd => Self::New,
            Self::NewOdd => Self::NewOdd,
        }
    }
}

/// Rows by key.
pub type Rows = BTreeMap<i64, Row>;

/// The keys in `after < key <= upto` that a backfill's UPDATE would change.
pub(super) fn to_fill(rows: &Rows, after: i64, upto: i64) -> Vec<i64> {
    if after >= upto {
        return Vec::new();
    }
    let first = after.saturating_add(1);
    rows.range(first..=upto).filter(|(_, row)| row.filled().is_some()).map(|(key, _)| *key).collect()
}

/// What the check that is generated with a trigger counts.
pub(super) fn check(rows: &Rows, conflicts: u64) -> CheckReading {
    let mut reading = CheckReading { conflicts, ..CheckReading::default() };
    for (key, row) in rows {
        let (count, first) = match row {
            Row::Bare | Row::Both => continue,
            Row::Old | Row::New | Row::Apart | Row::ApartOdd => {
                (&mut reading.disagreeing, &mut reading.first_disagreeing)
            }
            Row::OldOdd => (&mut reading.unmapped, &mut reading.first_unmapped),
            Row::NewOdd => (&mut reading.unmapped_back, &mut reading.first_unmapped_back),
        };
        *count += 1;
        first.get_or_insert(*key);
    }
    reading
}

/// Drops the old form of every row.
pub(super) fn drop_old(rows: &mut Rows) {
    for row in rows.values_mut() {
        *row = row.without_old();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_keeps_both_forms_in_step_whichever_is_written() {
        for row in [Row::Bare, Row::Old, Row::Both, Row::NewOdd, Row::Apart] {
            for write in [Write::Old, Write::New, Write::Both, Write::BothApart] {
                assert_eq!(row.after(write, true), Row::Both, "{row:?} {write:?}");
            }
            assert_eq!(row.after(Write::Neither, true), row);
        }
    }

    #[test]
    fn without_a_trigger_the_forms_drift_apart() {
        assert_eq!(Row::Both.after(Write::Old, false), Row::Apart);
        assert_eq!(Row::Old.after(Write::New, false), Row::Apart);
        assert_eq!(Row::Bare.after(Write::New, false), Row::New);
    }

    #[test]
    fn what_has_no_counterpart_is_no_disagreement_and_is_never_filled() {
        let rows: Rows =
            [(1, Row::Old), (2, Row::OldOdd), (3, Row::NewOdd), (4, Row::New), (5, Row::Apart)].into();
        assert_eq!(to_fill(&rows, 0, 5), [1, 5]);
        assert_eq!(to_fill(&rows, 1, 5), [5]);
        let reading = check(&rows, 2);
        assert_eq!((reading.disagreeing, reading.unmapped, reading.unmapped_back), (3, 1, 1));
        assert_eq!(
            (reading.first_disagreeing, reading.first_unmapped, reading.conflicts),
            (Some(1), Some(2), 2)
        );
    }
}
