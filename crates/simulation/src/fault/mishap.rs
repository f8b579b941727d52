//! What goes wrong in the world rather than on the way to it: people, other machines, AWS itself, the application, the database.
//!
//! Data only: `deeds` does it, `plans` draws it, a plan names it. Each enum is one class of faults, and its `ALL` is the table from
//! which it is drawn.

use serde::{Deserialize, Serialize};

/// Something that happens to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mishap {
    /// F15: the database's server.
    Database(DatabaseMishap),
    /// F16: what is asked for is written anew, or taken away.
    Spec(SpecMishap),
    /// F17: somebody at a prompt or in the console.
    Hand(HandMishap),
    /// F18: somebody else's automation.
    Foreign(ForeignMishap),
    /// F19: CodeDeploy says what is not so, or stops half way.
    Codedeploy(CodedeployMishap),
    /// F20: metrics and alarms.
    Metrics(MetricsMishap),
    /// F21: the application.
    App(AppMishap),
    /// F22: snapshots.
    Snapshot(SnapshotMishap),
    /// F25: so many other releases are there at once.
    Crowd(u32),
    /// F26: a secret stands where none belongs.
    Canary(CanaryMishap),
}

impl Mishap {
    /// Each that can happen to a release alone, by class.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let people = SpecMishap::ALL.iter().copied().map(Self::Spec);
        let hands = HandMishap::ALL.iter().copied().map(Self::Hand);
        let foreign = ForeignMishap::ALL.iter().copied().map(Self::Foreign);
        let codedeploy = CodedeployMishap::ALL.iter().copied().map(Self::Codedeploy);
        let metrics = MetricsMishap::ALL.iter().copied().map(Self::Metrics);
        let app = AppMishap::ALL.iter().copied().map(Self::App);
        let snapshots = SnapshotMishap::ALL.iter().copied().map(Self::Snapshot);
        let database = DatabaseMishap::ALL.iter().copied().map(Self::Database);
        people
            .chain(hands)
            .chain(foreign)
            .chain(codedeploy)
            .chain(metrics)
            .chain(app)
            .chain(snapshots)
            .chain(database)
    }

    /// The class.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Database(_) => "F15",
            Self::Spec(_) => "F16",
            Self::Hand(_) => "F17",
            Self::Foreign(_) => "F18",
            Self::Codedeploy(_) => "F19",
            Self::Metrics(_) => "F20",
            Self::App(_) => "F21",
            Self::Snapshot(_) => "F22",
            Self::Crowd(_) => "F25",
            Self::Canary(_) => "F26",
        }
    }

    /// Its name in a plan: `hand.stops-task`.
    pub(crate) fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(members)) => {
                let named = members.into_iter().map(|(class, how)| match how {
                    serde_json::Value::String(how) => format!("{class}.{how}"),
                    _ => class,
                });
                named.collect()
            }
            // Each has data, and a JSON form.
            Ok(_) | Err(_) => String::new(),
        }
    }

    /// True if somebody writes the weights of the production listener.
    pub(crate) fn writes_the_listener(self) -> bool {
        match self {
            Self::Hand(hand) => matches!(
                hand,
                HandMishap::ListenerToFirst | HandMishap::ListenerToSecond | HandMishap::ListenerHalf
            ),
            Self::Foreign(foreign) => foreign == ForeignMishap::AppliesListener,
            Self::Database(_)
            | Self::Spec(_)
            | Self::Codedeploy(_)
            | Self::Metrics(_)
            | Self::App(_)
            | Self::Snapshot(_)
            | Self::Crowd(_)
            | Self::Canary(_) => false,
        }
    }

    /// How many calls more it may cost: another release, where what is asked for, or what serves, is another one.
    pub(super) fn calls(self) -> usize {
        match self {
            Self::Spec(_) | Self::Hand(_) | Self::Foreign(_) | Self::Codedeploy(_) => 12,
            Self::Database(_)
            | Self::Metrics(_)
            | Self::App(_)
            | Self::Snapshot(_)
            | Self::Crowd(_)
            | Self::Canary(_) => 4,
        }
    }
}

/// Makes an enum without data, with a table of all its values.
macro_rules! table {
    ($(#[$doc:meta])+ $name:ident { $($(#[$each:meta])+ $value:ident),+ $(,)? }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$each])+ $value),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];
        }
    };
}

table! {
    /// F15: what a server answers or does. What has a SQLSTATE is answered with it, and reaches the daemon as the driver's own
    /// errors do.
    DatabaseMishap {
        /// 55P03: somebody else holds the lock.
        LockTimeout,
        /// 40P01.
        Deadlock,
        /// 40001.
        Serialization,
        /// 57014.
        StatementTimeout,
        /// 57P01: an administrator ends the session in the middle of a statement, before anything is committed.
        Killed,
        /// The connection breaks behind the commit: nobody was told.
        LostCommit,
        /// 53100, of whatever writes.
        DiskFull,
        /// 25006, of whatever writes: a failover has left us on a standby.
        ReadOnly,
        /// 53300.
        TooManyConnections,
        /// The standby takes over: sessions end, and nobody can connect meanwhile.
        FailOver,
        /// A session stands idle in a transaction, with a lock on the table that changes.
        LockHeld,
        /// The session that builds an index is ended: an index that is not valid stays.
        BuildKilled,
        /// Somebody resets the statistics: evidence is gone.
        StatisticsReset,
    }
}

table! {
    /// F16: what is asked for.
    SpecMishap {
        /// Another bake, and the old one again before anybody looks.
        EditedTwice,
        /// The text from before, and then the newest again.
        Reverted,
        /// Deleted, and written again.
        Deleted,
        /// Deleted and written again as soon as AWS allows it: its version is 1.
        Recreated,
        /// Not JSON.
        Malformed,
        /// 8 KB of it.
        Oversized,
        /// Written so often that the version in flight is not kept any more.
        AgedOut,
        /// A hold.
        Hold,
        /// An abort of the version that is there.
        Abort,
    }
}

table! {
    /// F17: a hand edit.
    HandMishap {
        /// Production forwards to the first group of the pair.
        ListenerToFirst,
        /// Production forwards to the second group of the pair.
        ListenerToSecond,
        /// Production forwards to both, half and half.
        ListenerHalf,
        /// The deployment is stopped, with rollback.
        StopsDeployment,
        /// The deployment is stopped, and nothing is taken back.
        StopsAndLeaves,
        /// Traffic is let go before we let it.
        ContinuesTraffic,
        /// Blue is deleted before we let it.
        ContinuesTermination,
        /// A task of the service is stopped.
        StopsTask,
        /// The service is to have another number of tasks.
        SetsDesiredCount,
        /// The newest task definition is deregistered.
        DeregistersNewest,
        /// The alarm of the group is deleted.
        DeletesAlarm,
        /// The group's automatic rollback is switched off.
        SwitchesRollbackOff,
    }
}

table! {
    /// F18: somebody else's automation.
    ForeignMishap {
        /// An autoscaler adds a task.
        ScalesOut,
        /// An autoscaler leaves one.
        ScalesIn,
        /// Another pipeline registers a newer revision in the family.
        RegistersRevision,
        /// Another pipeline deploys a revision of its own, and takes it to its end.
        DeploysThrough,
        /// Another pipeline deploys a revision of its own, and stops it again.
        DeploysAndStops,
        /// An infrastructure tool writes the listener as its own files have it: everything to the group that served at first.
        AppliesListener,
        /// An infrastructure tool writes the deployment group's waits as its own files have them.
        AppliesGroup,
        /// An alarm is red, and CodeDeploy takes its deployment back.
        RedAlarm,
        /// A tag policy takes the tag off that binds the secret to its instance.
        UntagsSecret,
    }
}

table! {
    /// F19: CodeDeploy.
    CodedeployMishap {
        /// It says `Succeeded`, and weights and task sets say otherwise.
        SaysSucceeded,
        /// It stands still, at Ready too.
        Stands,
        /// It fails in its shift and leaves everything as it is.
        FailsHalfWay,
        /// The rollback fails.
        RollbackFails,
        /// The next stop is taken, and it goes on all the same.
        StopIsLost,
    }
}

table! {
    /// F20: CloudWatch.
    MetricsMishap {
        /// It has no data.
        Missing,
        /// Its data is ten minutes late.
        Late,
        /// The newest minute is half of what it will be.
        Rewritten,
        /// The group's alarm is red.
        AlarmRed,
        /// The group's alarm knows nothing.
        AlarmInsufficient,
    }
}

table! {
    /// F21: the application.
    AppMishap {
        /// A third of all requests fails, whoever answers.
        Incident,
        /// Green passes its checks and fails a third of its requests.
        GreenFails,
        /// The newer image fails its health checks and passes them again.
        GreenFlaps,
        /// The image that served first fails its health checks and passes them again.
        BlueFlaps,
        /// Every task of the group that serves stops, and is replaced.
        ServingDies,
        /// No image can be pulled: what stops is not replaced.
        NoCapacity,
    }
}

table! {
    /// F22: snapshots.
    SnapshotMishap {
        /// It becomes `failed`.
        Fails,
        /// It stays `creating`.
        Sticks,
        /// Somebody deletes it once it is there.
        Deleted,
        /// Somebody takes its tags off.
        Untagged,
        /// Somebody's own snapshot of the instance is being made, and ours is refused.
        InstanceBusy,
        /// The account has as many as it may have.
        Quota,
    }
}

table! {
    /// F26: where a secret stands. It is [`CANARY`], and nothing that the daemon writes may have it.
    CanaryMishap {
        /// In a member of the spec that no spec has.
        SpecMember,
        /// In text that is no JSON.
        SpecText,
        /// In an abort.
        Abort,
    }
}

impl DatabaseMishap {
    /// True if it is an answer to an operation: it counts once it strikes one.
    pub(crate) fn is_an_answer(self) -> bool {
        match self {
            Self::LockTimeout
            | Self::Deadlock
            | Self::Serialization
            | Self::StatementTimeout
            | Self::Killed
            | Self::LostCommit
            | Self::DiskFull
            | Self::ReadOnly
            | Self::TooManyConnections => true,
            Self::FailOver | Self::LockHeld | Self::BuildKilled | Self::StatisticsReset => false,
        }
    }
}

/// A secret that somebody pastes where none belongs.
pub const CANARY: &str = "hunter2-canary-7f3a9c";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        assert_eq!(Mishap::Hand(HandMishap::StopsTask).name(), "hand.stops-task");
        assert_eq!(Mishap::Crowd(12).name(), "crowd");
        let names: BTreeSet<String> = Mishap::all().map(Mishap::name).collect();
        assert_eq!(names.len(), Mishap::all().count());
    }
}
