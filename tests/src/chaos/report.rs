//! What became of it.

use std::{fmt, time::Duration};

use tidegate_shop::customers::{ReadBack, Report as Traffic};

use super::figures::Figures;

/// Everything that was found at the end.
#[derive(Clone, Debug)]
pub struct Report {
    /// How often the daemon was killed.
    pub kills: usize,
    /// Of these, before it answered.
    pub early: usize,
    /// Releases that were played.
    pub releases: u64,
    /// In real time.
    pub took: Duration,
    /// What customers counted.
    pub traffic: Traffic,
    /// What they find of what was acknowledged.
    pub read: ReadBack,
    /// What daemons did to AWS, in order.
    pub effects: Vec<String>,
    /// What one that nobody kills does.
    pub expected: Vec<&'static str>,
    /// What was done on the day after the end.
    pub late: Vec<String>,
    /// The ledger's intents.
    pub intents: Intents,
    /// True if a password stands in a log.
    pub leaked: bool,
    /// What processes held.
    pub figures: Figures,
}

/// The intents of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intents {
    /// All.
    pub all: usize,
    /// Of them, resolved as done.
    pub done: usize,
    /// Resolved as not applied, or refused.
    pub without_effect: usize,
    /// Never resolved.
    pub open: usize,
    /// Resolved more than once, or without having been intended.
    pub twice: usize,
    /// Done, of a step that changes AWS.
    pub at_aws: usize,
}

impl Report {
    /// Every promise that was broken; none, if all is well.
    pub fn broken(&self) -> Vec<String> {
        let Self { traffic, read, effects, expected, late, intents, .. } = self;
        let promises = [
            (
                traffic.failed == 0 && traffic.wrong == 0,
                format!("requests failed: {:?}", traffic.first_failures),
            ),
            (
                read.wrong == 0 && read.checked > 0,
                format!("acknowledged writes are lost: {:?}", read.first_wrong),
            ),
            (effects == expected, format!("effects are {effects:?}, and {expected:?} is what was asked for")),
            (late.is_empty(), format!("on the day after, the daemon did {late:?}")),
            (intents.open == 0 && intents.twice == 0, format!("intents are not settled once: {intents:?}")),
            (
                intents.at_aws == effects.len(),
                format!("{} effects of {} intents", effects.len(), intents.at_aws),
            ),
            (!self.leaked, "a password stands in a log".to_owned()),
        ];
        promises.into_iter().filter(|(kept, _)| !kept).map(|(_, broken)| broken).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, early, releases, traffic, read, intents, .. } = self;
        let took = self.took.as_secs();
        writeln!(
            f,
            "{kills} kills, {early} of them before the daemon answered, {releases} releases, {took} s"
        )?;
        writeln!(
            f,
            "{} requests, {} writes, {} failed, {} wrong",
            traffic.sent, traffic.written, traffic.failed, traffic.wrong
        )?;
        writeln!(f, "{} customers read back, {} wrong", read.checked, read.wrong)?;
        writeln!(
            f,
            "{} intents: {} done, {} without effect, {} open, {} settled twice",
            intents.all, intents.done, intents.without_effect, intents.open, intents.twice
        )?;
        writeln!(
            f,
            "{} effects on AWS of {} intents; {} on the day after",
            self.effects.len(),
            intents.at_aws,
            self.late.len()
        )?;
        write!(f, "memory\n{}", self.figures)?;
        let broken = self.broken();
        broken.iter().try_for_each(|broken| writeln!(f, "BROKEN: {broken}"))?;
        if broken.is_empty() { writeln!(f, "every promise was kept") } else { Ok(()) }
    }
}
