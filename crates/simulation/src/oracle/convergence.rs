//! G15: when nothing goes wrong any more, a release does not stay undecided.
//!
//! What counts is what is told. An end (settled, rolled back, refused) and a hold are decided, and so is a wait that names what
//! people are to do. A wait for time is decided as long as that time can last: a bake, a soak and a quarantine are as long as
//! the spec says, and the run's own limit bounds them; what CodeDeploy does by itself has CodeDeploy's limits. Everything else
//! is undecided: a fact that cannot be read, a call in doubt, a state that is not known, a release on its way that names nothing
//! it waits for. That must end within [`PASSES`] passes, and within [`MINUTES`] minutes. Measured: 104 seconds and 1 pass at most
//! in 200 random runs, so neither is near.

use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::{
    status::{ReleaseStatus, Summary},
    waiting::{Class, Reason, Waiting},
};

/// Passes after the last fault in which a release may be undecided.
const PASSES: u64 = 20;

/// Minutes after the last fault in which a release may be undecided.
const MINUTES: u64 = 15;

/// What CodeDeploy's installation may last (60 minutes), with what is undecided besides.
const INSTALLATION: Duration = Duration::from_secs((60 + MINUTES) * 60);

/// The longest shift of any scenario is a linear one of half an hour; twice that is too long for every one.
const SHIFT: Duration = Duration::from_secs(60 * 60);

const UNDECIDED: Duration = Duration::from_secs(MINUTES * 60);

/// Since when a release has stood as it does.
#[derive(Debug, Default)]
pub(crate) struct Convergence {
    stands: Option<Stands>,
    /// When the status was made that was looked at last, and how many there were: passes of other releases do not count.
    told: (Option<Timestamp>, u64),
    /// The longest that it stood undecided after the last fault: time, and passes.
    pub(crate) longest: (Duration, u64),
}

#[derive(Debug)]
struct Stands {
    /// A word for it.
    on: &'static str,
    since: Duration,
    passes: u64,
}

/// What a status waits for, and how long it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Decided,
    /// A wait for time that has an end of its own.
    Timed(&'static str, Duration),
    Undecided(&'static str),
}

impl Convergence {
    /// Nothing is asked for, so nothing has to be told: what is asked for from now on has its time from now on.
    pub(crate) fn nothing_is_asked(&mut self) {
        self.stands = None;
    }

    /// Looks at what is told at this time of the run; `quiet_since` is when the last fault was over. What is wrong with it.
    pub(crate) fn look(
        &mut self,
        (now, quiet_since): (Duration, Duration),
        status: Option<&ReleaseStatus>,
    ) -> Option<String> {
        let told_at = status.map(|status| status.observed_at);
        if told_at != self.told.0 {
            self.told = (told_at, self.told.1 + 1);
        }
        let passes = self.told.1;
        let standing = status.map_or(Standing::Undecided("nothing was told"), standing);
        let (on, most) = match standing {
            Standing::Decided => {
                self.stands = None;
                return None;
            }
            Standing::Timed(on, most) => (on, most),
            Standing::Undecided(on) => (on, UNDECIDED),
        };
        let goes_on = |stands: &Stands| stands.on == on && stands.since >= quiet_since;
        if now <= quiet_since || !self.stands.as_ref().is_some_and(goes_on) {
            self.stands = Some(Stands { on, since: now, passes });
            return None;
        }
        let stands = self.stands.as_ref()?;
        let (lasted, passed) = (now - stands.since, passes.saturating_sub(stands.passes));
        let undecided = matches!(standing, Standing::Undecided(_));
        if undecided {
            self.longest = self.longest.max((lasted, passed));
        }
        let too_long = lasted > most || undecided && passed > PASSES;
        too_long.then(|| format!("{on} for {lasted:.0?} and {passed} passes after the last fault"))
    }
}

fn standing(status: &ReleaseStatus) -> Standing {
    match status.summary {
        Summary::Healthy | Summary::Held | Summary::RolledBack | Summary::Invalid => Standing::Decided,
        Summary::Unknown => Standing::Undecided("unknown"),
        Summary::Progressing | Summary::Waiting | Summary::RollingBack => waits(&status.waiting),
    }
}

/// What is undecided counts before what is decided: a release that waits for people and cannot be read is not read.
fn waits(waiting: &[Waiting]) -> Standing {
    let all: Vec<Standing> = waiting.iter().map(of).collect();
    let undecided = all.iter().find(|one| matches!(one, Standing::Undecided(_)));
    let decided = all.iter().find(|one| matches!(one, Standing::Decided));
    let longest = all.iter().max_by_key(|one| match one {
        Standing::Timed(_, most) => *most,
        Standing::Decided | Standing::Undecided(_) => Duration::ZERO,
    });
    *undecided.or(decided).or(longest).unwrap_or(&Standing::Undecided("on its way without a reason"))
}

fn of(wait: &Waiting) -> Standing {
    let word = wait.reason.as_str();
    match wait.reason {
        Reason::Unobserved | Reason::InDoubt | Reason::LedgerUnavailable => Standing::Undecided(word),
        // What refuses is AWS or the database, and the wait says what: it is tried again at least every five minutes.
        Reason::Held(_) | Reason::Refused => Standing::Decided,
        Reason::Gate(_) => match wait.class {
            Class::NeedsHuman | Class::NeedsFix | Class::Suspended => Standing::Decided,
            Class::NeedsTime | Class::Throttled => Standing::Timed(word, INSTALLATION),
        },
        // A rollback may be a deployment of its own.
        Reason::Provisioning | Reason::RollingBack => Standing::Timed(word, INSTALLATION),
        Reason::Shifting => Standing::Timed(word, SHIFT),
        Reason::Confirming | Reason::Retiring => Standing::Timed(word, UNDECIDED),
        Reason::Baking
        | Reason::Backfilling
        | Reason::BuildingIndex
        | Reason::MigrationTask
        | Reason::Soaking
        | Reason::Quarantined
        | Reason::Snapshotting => Standing::Decided,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::waiting::{Held, OnDeadline};

    use super::*;

    fn wait(reason: Reason) -> Waiting {
        Waiting {
            reason,
            message: String::new(),
            blocked_by: None,
            since: Timestamp::UNIX_EPOCH,
            measured: None,
            required: None,
            next_check_at: Timestamp::UNIX_EPOCH,
            deadline: None,
            on_deadline: OnDeadline::Stall,
            unblock: String::new(),
            class: Class::NeedsTime,
        }
    }

    #[test]
    fn what_cannot_be_read_counts_before_what_is_decided() {
        let held = wait(Reason::Held(Held::ListenerEdited));
        assert_eq!(waits(std::slice::from_ref(&held)), Standing::Decided);
        assert_eq!(waits(&[held, wait(Reason::Unobserved)]), Standing::Undecided("unobserved"));
        assert_eq!(waits(&[wait(Reason::Shifting)]), Standing::Timed("shifting", SHIFT));
        assert!(matches!(waits(&[]), Standing::Undecided(_)));
    }

    #[test]
    fn it_is_told_after_a_quarter_of_an_hour_without_a_fault() {
        let mut convergence = Convergence::default();
        let minute = |minutes: u64| Duration::from_secs(60 * minutes);
        let mut look = |now, quiet| convergence.look((minute(now), minute(quiet)), None);
        assert_eq!(look(5, 5), None, "faults are under way");
        assert_eq!(look(20, 5), None, "counted from the last fault on");
        assert!(look(21, 5).is_some());
        assert_eq!(look(22, 22), None, "another fault");
        assert_eq!(look(40, 23), None, "one between two looks");
    }
}
