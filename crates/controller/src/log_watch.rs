//! The server's log while a form is hidden, and while a revision from before a change is warm: read on from pass to pass, and told as one reading.
//!
//! Called by [`crate::schema_access`] where the planner asks for the log. Keeps where each log was read to and the messages
//! that are not complete yet; the ledger keeps how far that got, so that a restart reads on from there. Times are the
//! server's, which is real time whatever clock decisions use. Must not decide anything, and must not keep a log's text.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tidegate_aws::{Aws, LogPortion, LogPosition};
use tidegate_model::{
    ChangeName, Fact, ReleaseName,
    observation::{LogNeeds, SchemaNeeds},
    schema::{Hidden, LogFailures, LogReading},
};
use tidegate_schema::{
    TargetDatabase,
    server_log::{LogReader, Rules},
};
use tokio::sync::Mutex;

use crate::clock::Clock;

/// What was logged this short a time ago may not be in the file yet, and clocks differ a little.
const MARGIN: SignedDuration = SignedDuration::from_mins(1);

/// How far back a log is looked at before anything is hidden: only the form of its lines matters.
const GLANCE: SignedDuration = SignedDuration::from_mins(2);

/// RDS keeps a log for a day at least: what was not read for longer than this may be gone. Source: the least value of
/// `rds.log_retention_period`, with a margin.
const KEPT: SignedDuration = SignedDuration::from_hours(20);

/// A watch that was not looked at for so long is begun anew.
const GONE_ON: SignedDuration = SignedDuration::from_hours(1);

/// Every log that is watched.
pub(crate) struct LogWatches {
    /// What servers write into their logs.
    clock: Arc<dyn Clock>,
    hidden: Mutex<BTreeMap<(ReleaseName, ChangeName), Watch>>,
    warm: Mutex<BTreeMap<(ReleaseName, ChangeName), Watch>>,
}

/// The log of an instance.
struct Watch {
    /// From when on it is read: when something was hidden, of which the watch is, or when it was begun.
    began: Timestamp,
    /// The newest mark that the ledger has.
    marked: Option<Timestamp>,
    position: LogPosition,
    reader: LogReader,
    /// Up to here everything was read.
    through: Timestamp,
    /// True if a part was lost, or could not be understood, since the mark.
    lost: bool,
}

impl LogWatches {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, hidden: Mutex::default(), warm: Mutex::default() }
    }

    /// Reads on in the log of a change's instance. `hidden` is what the journal in the database has, read just before: what
    /// is refused because of it is in the log that is read now.
    pub(crate) async fn read(
        &self,
        aws: &Aws,
        release: &ReleaseName,
        needs: &SchemaNeeds,
        log: LogNeeds,
        (database, hidden): (&dyn TargetDatabase, Option<&Hidden>),
    ) -> Fact<LogReading> {
        let unclear = match database.log_problem().await {
            Ok(problem) => problem,
            Err(failure) => return Fact::Unknown(failure.why()),
        };
        let key = (release.clone(), needs.plan.change.clone());
        let now = self.clock.now();
        let kept = self.hidden.lock().await.remove(&key);
        let mut watch = match hidden {
            Some(hidden) => kept
                .filter(|watch| watch.began == hidden.at)
                .unwrap_or_else(|| Watch::begin(log.through, hidden.at, now)),
            None => Watch::glance(now),
        };
        watch.acknowledge(log.through);
        let (ours, name) = database.identity();
        let rules = Rules { plan: &needs.plan, hidden, database: &name, ours: &ours, failures_since: None };
        let portion = aws.server_log(&needs.database.instance, &watch.position).await;
        let reading = match portion {
            Ok(portion) => Fact::Known(watch.take(portion, &rules, now, unclear)),
            Err(error) => Fact::Unknown(error.why()),
        };
        if hidden.is_some() {
            self.hidden.lock().await.insert(key, watch);
        }
        reading
    }

    /// Reads on for statements that fail for a reason of the schema. Counted since the daemon looks; a restart counts anew.
    pub(crate) async fn failures(
        &self,
        aws: &Aws,
        release: &ReleaseName,
        needs: &SchemaNeeds,
        database: &dyn TargetDatabase,
    ) -> Fact<LogFailures> {
        let unclear = match database.log_problem().await {
            Ok(problem) => problem,
            Err(failure) => return Fact::Unknown(failure.why()),
        };
        let key = (release.clone(), needs.plan.change.clone());
        let now = self.clock.now();
        let kept = self.warm.lock().await.remove(&key);
        let mut watch = kept
            .filter(|watch| now.duration_since(watch.through) < GONE_ON)
            .unwrap_or_else(|| Watch::glance(now));
        let since = watch.began;
        let (ours, name) = database.identity();
        let rules = Rules {
            plan: &needs.plan,
            hidden: None,
            database: &name,
            ours: &ours,
            failures_since: Some(since),
        };
        let reading = match aws.server_log(&needs.database.instance, &watch.position).await {
            Ok(portion) => {
                let read = watch.take(portion, &rules, now, unclear);
                let (count, last) = watch.reader.failures();
                Fact::Known(LogFailures { since, count, last: last.cloned(), problem: read.problem })
            }
            Err(error) => Fact::Unknown(error.why()),
        };
        self.warm.lock().await.insert(key, watch);
        reading
    }
}

impl Watch {
    /// Watches from the ledger's mark on, or from where it was hidden.
    fn begin(marked: Option<Timestamp>, began: Timestamp, now: Timestamp) -> Self {
        let from = marked.map_or(began, |marked| marked.max(began));
        Self {
            began,
            marked,
            position: LogPosition::since(from),
            reader: LogReader::default(),
            through: from,
            lost: now.duration_since(from) > KEPT,
        }
    }

    /// One look at the newest lines.
    fn glance(now: Timestamp) -> Self {
        Self::begin(None, now.checked_sub(GLANCE).unwrap_or(now), now)
    }

    /// The ledger has what was told before.
    fn acknowledge(&mut self, marked: Option<Timestamp>) {
        if self.marked != marked {
            self.marked = marked;
            self.lost = false;
        }
    }

    fn take(
        &mut self,
        portion: LogPortion,
        rules: &Rules<'_>,
        now: Timestamp,
        unclear: Option<&'static str>,
    ) -> LogReading {
        let LogPortion { text, position, complete, lost } = portion;
        self.position = position;
        self.lost |= lost;
        self.reader.read(&text, rules);
        if complete {
            self.reader.settle(rules);
            self.through = now.checked_sub(MARGIN).map_or(self.through, |read| read.max(self.through));
        }
        // What could not be understood may have been a refusal: it counts as lost.
        let understood = self.reader.understood();
        self.lost |= !understood;
        let problem =
            unclear.or((!understood).then_some("its lines are not in the form of Amazon RDS, in English"));
        LogReading {
            through: self.through,
            complete,
            lost: self.lost,
            problem: problem.map(str::to_owned),
            denial: self.reader.denial().cloned(),
        }
    }
}
