//! The controller: which releases there are, when each is looked at, and what is published.
//!
//! One value owns the releases between passes. [`Controller::run`] is the daemon's loop; [`Controller::pass`] is one turn
//! of it, for tests. A release is in at most one pass at a time; passes of different releases do not wait for each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Instant,
};

use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tidegate_aws::{Aws, ReadError};
use tidegate_ledger::{Ledger, LedgerError, lease};
use tidegate_model::{ReleaseName, status::Published};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    executor::Executor,
    pass::{self, Core, Done, PassReport, chain_of},
    probe::Probes,
    queue::Queue,
    schema_access::SchemaAccess,
    tasks::Tasks,
    telemetry::Telemetry,
    track::{Chain, Tracked},
};

/// How often the controller looks. Times of the controller's clock.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Every release is looked at this often at least, and new ones are found this often.
    pub resync: SignedDuration,
    /// A release in flight is looked at this often at least.
    pub in_flight_look: SignedDuration,
    /// Two passes of one release are this far apart at least.
    pub floor: SignedDuration,
    /// The largest share of a wait that is left out at random.
    pub jitter: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            resync: SignedDuration::from_mins(1),
            in_flight_look: SignedDuration::from_secs(30),
            floor: SignedDuration::from_millis(200),
            jitter: 0.1,
        }
    }
}

impl Settings {
    /// A wait with a random part of it left out.
    pub(crate) fn jittered(&self, wait: SignedDuration) -> SignedDuration {
        let kept = 1.0 - self.jitter.clamp(0.0, 1.0) * fastrand::f64();
        SignedDuration::try_from_secs_f64(wait.as_secs_f64() * kept).unwrap_or(wait)
    }
}

/// What the controller works with.
pub struct Parts {
    /// AWS.
    pub aws: Aws,
    /// The ledger.
    pub ledger: Ledger,
    /// The way to target databases and migration files.
    pub schema: SchemaAccess,
    /// Sends probes to releases' own listeners.
    pub probes: Arc<dyn Probes>,
    /// The clock that decisions use.
    pub clock: Arc<dyn Clock>,
    /// Takes note of the controller's work.
    pub telemetry: Arc<dyn Telemetry>,
}

/// The controller cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger cannot be read.
    #[error("cannot load the ledger")]
    Ledger(#[source] LedgerError),
}

/// The controller had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another process may have the ledger, or it was removed or replaced.
    #[error("the ledger is no longer this process's")]
    LedgerLost(#[source] LedgerError),
}

/// What comes back from tasks.
pub(crate) enum Message {
    /// A pass for one release ended.
    Done(Box<Done>),
    /// The names of all releases were read, or not.
    Discovered(Result<BTreeSet<ReleaseName>, ReadError>),
    /// The ledger is no longer this process's.
    LedgerLost(LedgerError),
}

/// Keeps every release at what it should be. Dropping it ends whatever it has under way, wherever that is, as a crash would.
pub struct Controller {
    core: Arc<Core>,
    /// Releases that are in no pass now.
    idle: BTreeMap<ReleaseName, Tracked>,
    /// Releases that are in a pass, and which.
    busy: BTreeMap<ReleaseName, u64>,
    tickets: u64,
    queue: Queue,
    /// When releases are looked for again.
    discovery: Timestamp,
    discovery_failing: bool,
    /// Releases that were found first and have not been looked at yet; `None` until they were found.
    first_round: Option<BTreeSet<ReleaseName>>,
    /// The renewal of leases that was begun last.
    renewing: Option<AbortHandle>,
    published: watch::Sender<Arc<Published>>,
    sender: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
}

impl Controller {
    /// A controller over what the ledger knows.
    ///
    /// # Errors
    /// If the ledger cannot be read at all. A release with a damaged chain is no error: it is held and the others go on.
    pub async fn new(parts: Parts, settings: Settings) -> Result<Self, StartError> {
        let Parts { aws, ledger, schema, probes, clock, telemetry } = parts;
        let calls = Arc::clone(&telemetry);
        let aws = aws.on_call(Arc::new(move |call| calls.aws_call(call)));
        let loaded = ledger.load().await.map_err(StartError::Ledger)?;
        let executor = Executor { aws, schema, probes };
        let now = clock.now();
        let (stopping, tasks) = (CancellationToken::new(), Tasks::default());
        let core = Arc::new(Core { executor, ledger, clock, telemetry, settings, stopping, tasks });
        let (sender, messages) = mpsc::unbounded_channel();
        let mut controller = Self {
            core,
            idle: loaded.into_iter().map(|(release, loaded)| (release, loaded.into())).collect(),
            busy: BTreeMap::new(),
            tickets: 0,
            queue: Queue::default(),
            discovery: now,
            discovery_failing: false,
            first_round: None,
            renewing: None,
            published: watch::Sender::new(Arc::default()),
            sender,
            messages,
        };
        for release in controller.idle.keys() {
            controller.queue.push(release.clone(), now);
        }
        Ok(controller)
    }

    /// What is published, as it changes.
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// Looks after the given releases once, and waits for it. For tests: the daemon's loop is [`Self::run`].
    pub async fn pass(&mut self, due: &BTreeSet<ReleaseName>) -> BTreeMap<ReleaseName, PassReport> {
        let mut reports = BTreeMap::new();
        self.dispatch(due.clone());
        while !self.busy.is_empty() {
            // `self` holds a sender: the channel is open.
            let Some(message) = self.messages.recv().await else { break };
            if let Message::Done(done) = message {
                reports.insert(done.release.clone(), done.report.clone());
                drop(self.settle(*done));
            }
        }
        reports
    }

    /// Looks after every release until `shutdown` is cancelled. Passes that run then are ended, steps that were not sent
    /// are not sent any more, and every lease is given back.
    ///
    /// # Errors
    /// If the ledger is no longer this process's own.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), RunError> {
        let ended = self.work(&shutdown).await;
        self.core.stopping.cancel();
        while !self.busy.is_empty() {
            match self.messages.recv().await {
                Some(Message::Done(done)) => drop(self.settle(*done)),
                Some(Message::Discovered(_) | Message::LedgerLost(_)) => {}
                None => break,
            }
        }
        if let Err(error) = self.core.ledger.resign().await {
            let error = chain_of(&error);
            tracing::warn!(error, "leases were not given back; another daemon waits until they end");
        }
        ended
    }

    async fn work(&mut self, shutdown: &CancellationToken) -> Result<(), RunError> {
        let mut renewal = tokio::time::interval(lease::RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = self.core.clock.now();
            if self.discovery <= now {
                self.discover(now);
            }
            let due = self.queue.take_due(now);
            self.dispatch(due);
            let wake = self.queue.next().map_or(self.discovery, |next| next.min(self.discovery));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                message = self.messages.recv() => self.take(message)?,
                _ = renewal.tick() => self.renew(),
                () = self.core.clock.sleep_until(wake) => {}
            }
        }
    }

    /// Goes on with every lease, beside the loop: a ledger that does not answer must not keep releases waiting.
    fn renew(&mut self) {
        if self.renewing.as_ref().is_some_and(|renewing| !renewing.is_finished()) {
            return;
        }
        let (core, sender) = (Arc::clone(&self.core), self.sender.clone());
        self.renewing = Some(self.core.tasks.spawn(async move {
            match core.ledger.renew().await {
                Ok(()) => {}
                // Nobody listens any more only when the process ends.
                Err(error) if error.is_fatal() => drop(sender.send(Message::LedgerLost(error))),
                Err(error) => tracing::warn!(error = chain_of(&error), "leases cannot be renewed"),
            }
        }));
    }

    fn take(&mut self, message: Option<Message>) -> Result<(), RunError> {
        match message {
            Some(Message::Done(done)) => self.settle(*done).map_err(RunError::LedgerLost),
            Some(Message::Discovered(found)) => {
                self.discovered(found);
                Ok(())
            }
            Some(Message::LedgerLost(error)) => Err(RunError::LedgerLost(error)),
            None => Ok(()),
        }
    }

    /// Starts passes for the given releases: one for all of them, but for those that panicked last time. Releases that
    /// are in a pass already get their next look from that one.
    fn dispatch(&mut self, due: BTreeSet<ReleaseName>) {
        let mut together = BTreeMap::new();
        for release in due {
            if self.busy.contains_key(&release) {
                continue;
            }
            let unread = || Tracked::new(Chain::Stale, self.core.clock.set_forward());
            let tracked = self.idle.remove(&release).unwrap_or_else(unread);
            if tracked.alone {
                self.start(BTreeMap::from([(release, tracked)]));
            } else {
                together.insert(release, tracked);
            }
        }
        if !together.is_empty() {
            self.start(together);
        }
    }

    fn start(&mut self, tracked: BTreeMap<ReleaseName, Tracked>) {
        self.tickets += 1;
        let ticket = self.tickets;
        let releases: Vec<ReleaseName> = tracked.keys().cloned().collect();
        self.busy.extend(releases.iter().map(|release| (release.clone(), ticket)));
        let (core, sender) = (Arc::clone(&self.core), self.sender.clone());
        self.core.tasks.spawn(async move {
            let began = Instant::now();
            let batch = pass::batch(Arc::clone(&core), ticket, tracked, sender.clone());
            if AssertUnwindSafe(batch).catch_unwind().await.is_err() {
                // Whoever was handed over before the panic reports too; the first report of a ticket counts.
                for release in releases {
                    let done = pass::lost(&core, ticket, release);
                    core.telemetry.pass(done.report.result, began.elapsed().as_secs_f64());
                    drop(sender.send(Message::Done(Box::new(done))));
                }
            }
        });
    }

    /// Takes a release back from its pass.
    fn settle(&mut self, done: Done) -> Result<(), LedgerError> {
        let Done { release, ticket, tracked, report: _, next_look, managed, read, leader, fatal } = done;
        if self.busy.get(&release) != Some(&ticket) {
            return Ok(());
        }
        self.busy.remove(&release);
        if managed {
            self.queue.push(release.clone(), next_look);
        }
        if let Some(round) = &mut self.first_round {
            round.remove(&release);
        }
        let ready = self.first_round.as_ref().is_some_and(BTreeSet::is_empty);
        let now = self.core.clock.now();
        self.published.send_modify(|published| {
            let published = Arc::make_mut(published);
            published.followed.remove(&release);
            if let Some(leader) = leader {
                published.releases.remove(&release);
                published.followed.insert(release.clone(), leader);
            }
            match (managed, &tracked.status) {
                (true, Some(status)) => drop(published.releases.insert(release.clone(), status.clone())),
                // After a panic: what was published stands until the next pass.
                (true, None) => {}
                (false, _) => drop(published.releases.remove(&release)),
            }
            published.ready = ready;
            if read {
                published.last_pass = Some(now);
            }
        });
        self.idle.insert(release, tracked);
        fatal.map_or(Ok(()), Err)
    }

    /// Starts reading the names of all releases.
    fn discover(&mut self, now: Timestamp) {
        self.discovery = now + self.core.settings.jittered(self.core.settings.resync);
        let (core, sender) = (Arc::clone(&self.core), self.sender.clone());
        self.core.tasks.spawn(async move {
            let found = core.executor.aws.releases().await;
            drop(sender.send(Message::Discovered(found)));
        });
    }

    fn discovered(&mut self, found: Result<BTreeSet<ReleaseName>, ReadError>) {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                if !self.discovery_failing {
                    let error = chain_of(&error);
                    tracing::warn!(error, "releases cannot be listed; the known ones are looked after");
                }
                self.discovery_failing = true;
                return;
            }
        };
        self.discovery_failing = false;
        let now = self.core.clock.now();
        for release in &found {
            self.queue.push(release.clone(), now);
        }
        if self.first_round.is_none() {
            let unseen = self.idle.iter().filter(|(_, tracked)| tracked.status.is_none());
            let mut round: BTreeSet<ReleaseName> = unseen.map(|(release, _)| release.clone()).collect();
            round.extend(self.busy.keys().cloned());
            round.extend(found.into_iter().filter(|release| !self.idle.contains_key(release)));
            self.first_round = Some(round);
        }
        let ready = self.first_round.as_ref().is_some_and(BTreeSet::is_empty);
        self.published.send_modify(|published| {
            let published = Arc::make_mut(published);
            published.ready = ready;
            // With nothing to look after, finding that out is the pass.
            if published.releases.is_empty() {
                published.last_pass = Some(now);
            }
        });
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.core.tasks.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_shortens_a_wait() {
        let settings = Settings::default();
        let wait = SignedDuration::from_secs(100);
        for _ in 0..1_000 {
            let jittered = settings.jittered(wait);
            assert!(jittered <= wait && jittered >= SignedDuration::from_secs(90), "{jittered:?}");
        }
    }
}
