//! What a change's ledger entries fold to. Pure, as [`super::state`] is, which calls it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Broken, Entry, EvidenceMark, OpenedChange, ReaderSeen, state::moved};
use crate::{
    Digest,
    decision::{Outcome, Step},
    runner::TaskRun,
    schema::CheckReading,
};

/// The folded state of a change.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeState {
    /// What was opened.
    pub opened: OpenedChange,
    /// When.
    pub opened_at: Timestamp,
    /// The last complete read of the statement statistics, and when.
    pub mark: Option<(EvidenceMark, Timestamp)>,
    /// What the last check of every row counted.
    pub checked: Option<CheckReading>,
    /// Start of the quiet window: the last read in which a naming call grew, or the first read of all.
    pub quiet_since: Option<Timestamp>,
    /// The last reader seen.
    pub last_reader: Option<(ReaderSeen, Timestamp)>,
    /// Every instant at which naming calls grew, compressed to the longest gap between them and how many there were.
    pub recurrence: Recurrence,
    /// Digests of revisions that may name the old form.
    pub namers: BTreeSet<Digest>,
    /// The watch over a hidden form, from just before it is hidden.
    pub quarantine: Option<Quarantine>,
    /// The last run of the team's own tool.
    pub run: Option<TaskRun>,
    /// The id of the snapshot before purge.
    pub snapshot: Option<String>,
    /// When the old form was dropped, by the word of the call that does. There is no way back from here on.
    pub contracted_at: Option<Timestamp>,
    /// When the old form was seen to be gone.
    pub purged_at: Option<Timestamp>,
}

impl ChangeState {
    /// True until the purge was seen.
    pub fn is_open(&self) -> bool {
        self.purged_at.is_none()
    }
}

/// The watch over a hidden form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Up to here the server's log was read, by the server's clock.
    pub through: Option<Timestamp>,
    /// When that was noted.
    pub marked_at: Timestamp,
    /// True once a call has answered that it hid it, whether or not that was seen since.
    pub taken: bool,
    /// Since when it is seen hidden.
    pub since: Option<Timestamp>,
    /// True once it must be given back.
    pub broken: bool,
}

/// How often the old form is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recurrence {
    /// Reads in which naming calls grew.
    pub seen: u32,
    /// The longest gap between two of them.
    pub longest: SignedDuration,
}

impl ChangeState {
    pub(super) fn new(opened: &OpenedChange, at: Timestamp) -> Self {
        Self {
            opened: opened.clone(),
            opened_at: at,
            mark: None,
            checked: None,
            quiet_since: None,
            last_reader: None,
            recurrence: Recurrence::default(),
            namers: BTreeSet::new(),
            quarantine: None,
            run: None,
            snapshot: None,
            contracted_at: None,
            purged_at: None,
        }
    }

    pub(super) fn learn(&mut self, at: Timestamp, step: &Step, outcome: &Outcome) {
        if let (Step::RunTask(run), Outcome::TaskStarted(arn)) = (step, outcome) {
            let before = self.run.as_ref().filter(|before| before.phase == run.phase);
            let attempts = before.map_or(0, |before| before.attempts) + 1;
            self.run = Some(TaskRun { phase: run.phase, arn: arn.clone(), began: at, attempts, end: None });
        }
        if let (Some(quarantine), Outcome::Hidden) = (&mut self.quarantine, outcome) {
            quarantine.taken = true;
        }
        if *outcome == Outcome::Purged {
            self.contracted_at = Some(at);
        }
    }

    /// A reader of the old form was seen: the quiet window begins anew.
    fn read_by(&mut self, at: Timestamp, reader: &ReaderSeen) {
        if let Some((_, before)) = &self.last_reader {
            self.recurrence.longest = self.recurrence.longest.max(at.duration_since(*before));
        }
        self.recurrence.seen += 1;
        self.namers.extend(reader.revisions.iter().cloned());
        self.last_reader = Some((reader.clone(), at));
        self.quiet_since = Some(at);
    }

    /// Moves the beginning of every window that runs.
    pub(super) fn move_windows(&mut self, by: SignedDuration) {
        let Self { quiet_since, last_reader, quarantine, run, .. } = self;
        moved(by, quiet_since.iter_mut());
        moved(by, last_reader.iter_mut().map(|(_, seen)| seen));
        if let Some(Quarantine { marked_at, since, .. }) = quarantine {
            moved(by, since.iter_mut().chain([marked_at]));
        }
        if let Some(TaskRun { began, end, .. }) = run {
            moved(by, end.iter_mut().map(|(_, at)| at).chain([began]));
        }
    }

    pub(super) fn apply(&mut self, at: Timestamp, entry: &Entry) {
        match entry {
            Entry::EvidenceMarked(mark) => {
                if self.mark.as_ref().is_none_or(|(old, _)| !old.is_continued_by(mark)) {
                    self.quiet_since = Some(at);
                }
                self.mark = Some((mark.clone(), at));
            }
            Entry::RowsChecked(reading) => self.checked = Some(*reading),
            Entry::FloorKnown(revisions) => self.namers.extend(revisions.iter().cloned()),
            Entry::ReaderSeen(reader) => self.read_by(at, reader),
            Entry::LogWatched(through) => {
                let before = self.quarantine;
                self.quarantine = Some(Quarantine {
                    through: *through,
                    marked_at: at,
                    taken: before.is_some_and(|quarantine| quarantine.taken),
                    since: before.and_then(|quarantine| quarantine.since),
                    broken: before.is_some_and(|quarantine| quarantine.broken),
                });
            }
            Entry::QuarantineBegan => {
                if let Some(quarantine) = &mut self.quarantine {
                    quarantine.since = Some(at);
                }
            }
            Entry::QuarantineBroken(broken) => {
                if let Some(quarantine) = &mut self.quarantine {
                    quarantine.broken = true;
                }
                match broken {
                    Broken::Missed(reader) => self.read_by(at, reader),
                    Broken::Wanted(_) => self.quiet_since = Some(at),
                }
            }
            Entry::QuarantineEnded => {
                self.quarantine = None;
                self.snapshot = None;
            }
            Entry::TaskEnded(end) => {
                if let Some(run) = &mut self.run {
                    run.end = Some((end.clone(), at));
                }
            }
            Entry::SnapshotNamed(id) => self.snapshot = Some(id.clone()),
            Entry::ChangePurged => self.purged_at = Some(at),
            Entry::Accepted(_)
            | Entry::Refused(_)
            | Entry::SpecAbsent { .. }
            | Entry::Unmanaged
            | Entry::OrderIgnored { .. }
            | Entry::ClockSetForward { .. }
            | Entry::Hold { .. }
            | Entry::RolloutStarted(_)
            | Entry::Advanced(_)
            | Entry::GreenKnown(_)
            | Entry::DeploymentKnown(_)
            | Entry::DeploymentForgotten
            | Entry::RedeploymentFailed { .. }
            | Entry::RollbackDeploymentKnown(_)
            | Entry::BaselineTaken(_)
            | Entry::TrafficSeen
            | Entry::Confirmed
            | Entry::BakeClock { .. }
            | Entry::Frozen(_)
            | Entry::RollbackDecided(_)
            | Entry::Calibrated(_)
            | Entry::Judged(_)
            | Entry::RolloutEnded(_)
            | Entry::ChangeOpened(_)
            | Entry::Intended(_)
            | Entry::Resolved { .. } => {}
        }
    }
}
