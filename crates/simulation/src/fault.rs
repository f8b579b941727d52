//! Faults as data: what goes wrong, and when. A plan is printed with a seed and played again from a file.
//!
//! Source of the classes (F1 to F26): what peers inject and what has happened to others; each kind says which it is, and
//! `class` counts them.
//!
//! | class | kinds |
//! |---|---|
//! | F1 | [`What::Crash`] |
//! | F2, F3, F8, F10 | [`What::Fail`], by position and [`Failure`] |
//! | F4 | [`What::Twice`] |
//! | F5 | [`What::Late`] |
//! | F6 | [`What::Stale`] |
//! | F7 | [`What::Absent`]: the world goes on while nobody looks, and phases are skipped |
//! | F9 | [`What::Partial`] |
//! | F11 | [`What::Mangled`] |
//! | F12 | [`What::Freeze`] |
//! | F13 | [`What::ClockJump`] |
//! | F14 | [`What::LedgerLost`], [`What::LedgerRestored`]; a ledger that fails is F23 |
//! | F15 | [`DatabaseMishap`] |
//! | F16 | [`SpecMishap`] |
//! | F17 | [`HandMishap`] |
//! | F18 | [`ForeignMishap`] |
//! | F19 | [`CodedeployMishap`] |
//! | F20 | [`MetricsMishap`] |
//! | F21 | [`AppMishap`] |
//! | F22 | [`SnapshotMishap`] |
//! | F23 | [`What::Outage`] |
//! | F24 | [`What::Downgrade`] |
//! | F25 | [`Mishap::Crowd`] |
//! | F26 | [`CanaryMishap`] |
//!
//! # What is left out
//!
//! * F24, two programs at once: a run has one. What another version leaves behind is the ledger, and that is what is changed.
//! * F14, a full disk and a corrupt tail: the store here is a map. The stores' own tests break real files and servers.
//! * F15, a pooler in transaction mode: a modelled connection is its session. The schema crate's tests use a real server.
//! * F18, the circuit breaker of ECS: it does not exist for services that CodeDeploy deploys.
//! * F20, NaN: CloudWatch leaves a period out rather than to answer so.
//! * F22, a snapshot that a lost key encrypts, and one of another instance under our name: a purge needs a description of the
//!   right instance's, and neither can be told from a missing one there.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

pub mod class;
mod mishap;

pub use mishap::{
    AppMishap, CANARY, CanaryMishap, CodedeployMishap, DatabaseMishap, ForeignMishap, HandMishap,
    MetricsMishap, Mishap, SnapshotMishap, SpecMishap,
};

/// Everything that goes wrong in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// In no order.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

impl Plan {
    /// True if nothing goes wrong but that daemons die: then the end must be the very same.
    pub fn only_crashes(&self) -> bool {
        let dies = |fault: &Fault| matches!(fault.what, What::Crash(_) | What::Downgrade(Newer::Members));
        self.faults.iter().all(dies)
    }

    /// True if only calls go wrong, or their answers, and daemons die: there is nothing that people could mend.
    pub(crate) fn only_calls(&self) -> bool {
        !self.outgrows() && !self.faults.iter().any(Fault::is_long)
    }

    /// True if the ledger is not to be understood from some time on.
    pub(crate) fn outgrows(&self) -> bool {
        self.faults.iter().any(|fault| fault.what == What::Downgrade(Newer::Format))
    }

    /// True if what was done before is forgotten.
    pub(crate) fn forgets(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, What::LedgerLost | What::LedgerRestored { .. }))
    }

    /// True if an answer is not what the client knows.
    pub(crate) fn mangles(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, What::Mangled(_)))
    }

    /// True if an answer is one of before.
    pub(crate) fn shows_what_was(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, What::Stale { .. }))
    }

    /// True if a clock jumps.
    pub(crate) fn turns_clocks(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, What::ClockJump { .. }))
    }

    /// True if a call arrives when nobody expects it any more.
    pub(crate) fn is_late(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, What::Late { .. }))
    }

    /// True if something happens to the world itself.
    pub(crate) fn meddles(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, What::World { .. }))
    }

    /// True if somebody aborts in the midst of something.
    pub(crate) fn aborts(&self) -> bool {
        let aborts =
            |what: &What| matches!(what, What::World { mishap: Mishap::Spec(SpecMishap::Abort), .. });
        self.faults.iter().any(|fault| aborts(&fault.what))
    }

    /// True if somebody pastes a secret where none belongs.
    pub(crate) fn pastes_secrets(&self) -> bool {
        let pastes = |what: &What| matches!(what, What::World { mishap: Mishap::Canary(_), .. });
        self.faults.iter().any(|fault| pastes(&fault.what))
    }

    /// True if so much goes wrong, or for so long, that a run takes much longer for it.
    pub(crate) fn is_hard(&self) -> bool {
        self.faults.len() > 1 || self.faults.iter().any(Fault::is_long)
    }

    /// True if a release may be rolled back for it, or come to its end in another way. However often daemons die, it may not: the next
    /// one finds everything as it was left.
    pub(crate) fn may_end_otherwise(&self) -> bool {
        self.is_hard() && !self.only_crashes()
    }
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When.
    pub at: At,
    /// What.
    pub what: What,
}

/// When a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum At {
    /// At the n-th crossing of the run, from 1, whoever makes it.
    Crossing(u64),
    /// At the n-th crossing of one operation (`ecs.DescribeServices`, `ledger.append`, `database.expand`), from 1.
    Operation {
        /// Which.
        of: String,
        /// From 1.
        nth: u64,
    },
    /// So many seconds after the beginning.
    Second(u64),
}

/// What goes wrong. What concerns a crossing strikes the one that [`At`] names, or the first one after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum What {
    /// F1: the daemon dies there and is started again.
    Crash(Position),
    /// F2 and F3: the answer is an error, and the call had no effect, or had it.
    Fail(Position, Failure),
    /// F4: the call arrives twice.
    Twice,
    /// F5: the call arrives so many seconds later; whoever sent it has given up by then.
    Late {
        /// Seconds.
        by: u64,
    },
    /// F6: a read is answered as it was so many answers before.
    Stale {
        /// How many; the oldest one there is if there are fewer.
        versions: usize,
    },
    /// F9: a part of the answer is missing.
    Partial,
    /// F11: the answer is not what the client knows.
    Mangled(Mangling),
    /// F23 and F8: a service fails for so many seconds: everything that is asked of it.
    Outage {
        /// Which, as IAM writes it; `ledger` and `database` too.
        service: String,
        /// Seconds.
        lasts: u64,
        /// How.
        how: Failure,
    },
    /// F12: the leading daemon stands still for so many seconds, in the middle of what it does, and goes on.
    Freeze {
        /// Seconds.
        lasts: u64,
    },
    /// F13: the clock of the daemon's machine is wrong by so many seconds, until somebody sets it right.
    ClockJump {
        /// Forward, or back if it is negative.
        by: i64,
        /// Seconds until it is right again.
        lasts: u64,
    },
    /// F7: the leading daemon's machine is off for so many seconds: what happens meanwhile is never seen.
    Absent {
        /// Seconds.
        lasts: u64,
    },
    /// F15 to F22, F25, F26: something happens to the world, at the first instant from then on at which it can.
    World {
        /// What.
        mishap: Mishap,
        /// Seconds after which it is undone, as far as it can be and somebody would; 0: never.
        lasts: u64,
    },
    /// F14: the ledger is lost, and every daemon dies with it: the next ones begin with an empty one.
    LedgerLost,
    /// F24: the leading daemon dies, a newer version writes to its ledger, and the old one is started again.
    Downgrade(Newer),
    /// F14: the ledger is set back to what it was so many seconds before, and every daemon dies with it.
    LedgerRestored {
        /// Seconds.
        ago: u64,
    },
}

impl What {
    /// How long it lasts.
    pub(crate) fn lasts(&self) -> Duration {
        match self {
            Self::Outage { lasts, .. }
            | Self::Freeze { lasts }
            | Self::Absent { lasts }
            | Self::World { lasts, .. }
            | Self::Late { by: lasts }
            | Self::ClockJump { lasts, .. } => seconds(*lasts),
            Self::Crash(_)
            | Self::Fail(..)
            | Self::Twice
            | Self::Stale { .. }
            | Self::Partial
            | Self::Mangled(_)
            | Self::Downgrade(_)
            | Self::LedgerLost
            | Self::LedgerRestored { .. } => Duration::ZERO,
        }
    }
}

impl What {
    /// How long a daemon cannot do what it wants, because it does not run, or what it sends is refused or lost. What is refused once is
    /// sent again within five minutes.
    pub(crate) fn hinders(&self) -> Option<Duration> {
        match self {
            Self::Outage { .. } | Self::Freeze { .. } | Self::ClockJump { .. } | Self::Absent { .. } => {
                Some(self.lasts())
            }
            Self::Fail(..) => Some(seconds(300)),
            Self::Crash(_)
            | Self::Twice
            | Self::Late { .. }
            | Self::Stale { .. }
            | Self::Partial
            | Self::Mangled(_)
            | Self::World { .. }
            | Self::LedgerLost
            | Self::Downgrade(_)
            | Self::LedgerRestored { .. } => None,
        }
    }

    /// How many calls more a release may cost for it.
    pub(crate) fn calls(&self) -> usize {
        match self {
            Self::World { mishap, .. } => mishap.calls(),
            // A deployment that is made once more is let go on twice.
            Self::Late { .. } => 3,
            Self::Crash(_)
            | Self::Fail(..)
            | Self::Twice
            | Self::Stale { .. }
            | Self::Partial
            | Self::Mangled(_)
            | Self::Outage { .. }
            | Self::Freeze { .. }
            | Self::Absent { .. }
            | Self::ClockJump { .. }
            | Self::Downgrade(_)
            | Self::LedgerLost
            | Self::LedgerRestored { .. } => 2,
        }
    }
}

/// What a newer version has written to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Newer {
    /// Entries with members that this version does not know: it goes on as if nothing were.
    Members,
    /// An entry of a newer format: this version must not act by what it cannot read.
    Format,
}

impl What {
    /// True of what lies in wait: it counts once it has changed something for a daemon.
    pub(crate) fn bites_later(&self) -> bool {
        match self {
            Self::Outage { .. } => true,
            Self::World { mishap: Mishap::Codedeploy(how), .. } => {
                matches!(how, CodedeployMishap::RollbackFails | CodedeployMishap::StopIsLost)
            }
            Self::World { mishap: Mishap::Metrics(how), .. } => {
                matches!(how, MetricsMishap::Missing | MetricsMishap::Late | MetricsMishap::Rewritten)
            }
            Self::World { .. }
            | Self::Crash(_)
            | Self::Fail(..)
            | Self::Twice
            | Self::Late { .. }
            | Self::Stale { .. }
            | Self::Partial
            | Self::Mangled(_)
            | Self::Freeze { .. }
            | Self::ClockJump { .. }
            | Self::Absent { .. }
            | Self::LedgerLost
            | Self::Downgrade(_)
            | Self::LedgerRestored { .. } => false,
        }
    }

    /// True of what is done to an answer on its way.
    pub(crate) fn bends(&self) -> bool {
        matches!(self, Self::Stale { .. } | Self::Partial | Self::Mangled(_))
    }
}

impl Newer {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Members, Self::Format];
}

/// Where a crossing is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// Before it has any effect.
    BeforeEffect,
    /// It had its effect, and nobody was told.
    AfterEffect,
    /// It had its effect, and the answer has arrived.
    AfterReply,
}

impl Position {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BeforeEffect, Self::AfterEffect, Self::AfterReply];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The connection breaks.
    Disconnect,
    /// HTTP 500.
    ServerError,
    /// HTTP 503 without a body that a client could read.
    Unavailable,
    /// F8: throttled.
    Throttle,
    /// No answer at all: the client's own timeout ends it.
    Silence,
    /// F10: access denied.
    Denied,
    /// F10: the credentials have expired.
    Expired,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Disconnect,
        Self::ServerError,
        Self::Unavailable,
        Self::Throttle,
        Self::Silence,
        Self::Denied,
        Self::Expired,
    ];

    /// True if AWS answers so only to calls that it has not carried out.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Throttle | Self::Denied | Self::Expired => true,
            Self::Disconnect | Self::ServerError | Self::Unavailable | Self::Silence => false,
        }
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mangling {
    /// Words in it are ones that nobody has heard of.
    UnknownWords,
    /// It has members that nobody has heard of.
    UnknownMembers,
    /// Members are missing.
    MissingMembers,
    /// It ends in the middle.
    CutOff,
}

impl Mangling {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::UnknownWords, Self::UnknownMembers, Self::MissingMembers, Self::CutOff];
}

impl Fault {
    /// True of what goes on for a while, or changes the world or the ledger: not of a single call that goes wrong.
    fn is_long(&self) -> bool {
        match self.what {
            What::Outage { .. } | What::Freeze { .. } | What::ClockJump { .. } => true,
            What::Absent { .. } | What::World { .. } => true,
            What::LedgerLost | What::LedgerRestored { .. } => true,
            What::Crash(_)
            | What::Fail(..)
            | What::Twice
            | What::Late { .. }
            | What::Stale { .. }
            | What::Partial
            | What::Downgrade(_)
            | What::Mangled(_) => false,
        }
    }

    /// The class of the fault, for counting what was seen.
    pub fn class(&self) -> &'static str {
        match self.what {
            What::Crash(_) => "F1",
            What::Fail(Position::BeforeEffect, how) if !how.is_refusal() => "F2",
            What::Fail(_, Failure::Throttle) => "F8",
            What::Fail(_, Failure::Denied | Failure::Expired) => "F10",
            What::Fail(..) => "F3",
            What::Twice => "F4",
            What::Late { .. } => "F5",
            What::Stale { .. } => "F6",
            What::Partial => "F9",
            What::Mangled(_) => "F11",
            What::Absent { .. } => "F7",
            What::World { mishap, .. } => mishap.class(),
            What::Freeze { .. } => "F12",
            What::ClockJump { .. } => "F13",
            What::LedgerLost | What::LedgerRestored { .. } => "F14",
            What::Downgrade(_) => "F24",
            What::Outage { .. } => "F23",
        }
    }
}

/// Seconds as a duration.
pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The faults of a run that have not struck yet.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    faults: Vec<(Fault, u64)>,
    crossings: u64,
    /// Those that leave something behind which a new daemon finds.
    landmarks: Vec<u64>,
    /// When each of them began.
    moments: Vec<Moment>,
}

/// When a daemon dies, as far as it matters to the next one: at the same moment it leaves the same behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Crossings before it that left something behind.
    pub left: usize,
    /// The second of the run.
    pub second: u64,
    /// Whether it holds the release's lease: what does not lead leaves nothing behind whatever becomes of it.
    pub leads: bool,
}

impl Armed {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { faults: plan.faults.iter().map(|fault| (fault.clone(), 0)).collect(), ..Self::default() }
    }

    /// A fault that could change nothing strikes the next crossing of its kind.
    pub(crate) fn put_back(&mut self, fault: Fault) {
        self.faults.push((fault, u64::MAX));
    }

    /// Operations and classes of the faults that were put back and have struck nothing since.
    pub(crate) fn idle(&self) -> BTreeSet<(String, &'static str)> {
        let put_back = self.faults.iter().filter(|(_, seen)| *seen == u64::MAX);
        put_back
            .filter_map(|(fault, _)| match &fault.at {
                At::Operation { of, .. } => Some((of.clone(), fault.class())),
                At::Crossing(_) | At::Second(_) => None,
            })
            .collect()
    }

    /// How many crossings there were.
    pub(crate) fn crossings(&self) -> u64 {
        self.crossings
    }

    /// True if a fault has not struck.
    pub(crate) fn has(&self, fault: &Fault) -> bool {
        self.faults.iter().any(|(armed, _)| armed == fault)
    }

    /// The crossings that left something behind, in order.
    pub(crate) fn landmarks(&self) -> &[u64] {
        &self.landmarks
    }

    /// The moments of the crossings, in order.
    pub(crate) fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// Counts a crossing, and gives the faults that strike it, which are then spent.
    pub(crate) fn strike(&mut self, operation: &str, leads: bool, elapsed: Duration) -> Vec<Fault> {
        self.crossings += 1;
        self.moments.push(Moment { left: self.landmarks.len(), second: elapsed.as_secs(), leads });
        if leaves_something(operation) {
            self.landmarks.push(self.crossings);
        }
        let mut struck = Vec::new();
        let crossings = self.crossings;
        self.faults.retain_mut(|(fault, seen)| {
            let due = match &fault.at {
                At::Crossing(nth) => crossings >= *nth,
                At::Operation { of, nth } => {
                    *seen = seen.saturating_add(u64::from(of == operation));
                    of == operation && *seen >= *nth
                }
                At::Second(second) => elapsed >= seconds(*second),
            };
            let hit = due && (is_of_aws(operation) || !fault.what.bends());
            if hit {
                struck.push(fault.clone());
            }
            !hit
        });
        struck
    }
}

/// True of an operation that leaves something behind for whoever comes after: not of looks, nor of leases and statuses, which are
/// taken and written anew.
pub(crate) fn leaves_something(operation: &str) -> bool {
    let (service, name) = operation.split_once('.').unwrap_or(("", operation));
    match service {
        "ledger" => name == "append",
        "database" => name != "observe" && name != "log",
        "listener" => true,
        _ => name != "PutParameter" && !is_read_of_aws(operation),
    }
}

/// True of an operation that is a call to AWS, and no use of the ledger, of the database or of a listener.
pub(crate) fn is_of_aws(operation: &str) -> bool {
    let service = operation.split_once('.').map_or("", |(service, _)| service);
    !["ledger", "database", "listener"].contains(&service)
}

/// True of an operation of AWS that only reads.
pub(crate) fn is_read_of_aws(operation: &str) -> bool {
    let name = operation.split_once('.').map_or(operation, |(_, name)| name);
    is_of_aws(operation)
        && ["Get", "Describe", "List", "BatchGet", "Download"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_often_daemons_die_the_end_is_the_same() {
        let at = |what| Fault { at: At::Crossing(1), what };
        let plan = |faults: &[What]| Plan { faults: faults.iter().cloned().map(at).collect() };
        let crash = What::Crash(Position::AfterEffect);
        let twice = plan(&[crash.clone(), crash.clone()]);
        assert!(twice.is_hard() && !twice.may_end_otherwise());
        assert!(plan(&[crash, What::Twice]).may_end_otherwise());
        assert!(!plan(&[What::Twice]).may_end_otherwise());
        assert!(plan(&[What::Freeze { lasts: 200 }]).may_end_otherwise());
    }
}
