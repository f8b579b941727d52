//! The ledger: what Tidegate knows that has no other witness, kept durably.
//!
//! The controller appends [`Entry`] values before and after each call and folds them into a [`ReleaseState`] when it
//! begins to lead a release. Entries are only ever added, one hash chain for each release; a chain that does not hold makes
//! that release [`Loaded::Damaged`] and leaves the others alone. Who leads a release is a lease in the same store, and each
//! append is refused once the lease went on to somebody else.
//!
//! This crate decides nothing and knows nothing of AWS; what an entry means is the model's to say. Kinds of stores are in
//! [`store`].

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tidegate_model::{
    ReleaseName,
    ledger::{Entry, ReleaseState},
};
use tokio::time::Instant;

mod chain;
mod error;
pub mod lease;
pub mod store;

pub use chain::{Damage, Head, Sealed};
pub use error::{LedgerError, OpenError};
pub use lease::Lead;

use lease::Lease;
use store::{
    Grant, Row, Store,
    memory::Memory,
    postgres::{Connect, Postgres},
    sqlite::Sqlite,
};

/// The durable record. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    /// This process, among all that share the store.
    holder: String,
    /// Where each chain ends, as far as this process knows; nothing is appended behind damage.
    chains: Mutex<BTreeMap<ReleaseName, Result<Head, Damage>>>,
    leases: Mutex<BTreeMap<ReleaseName, Lease>>,
}

/// What the ledger holds of one release.
#[derive(Clone, Debug, PartialEq)]
pub enum Loaded {
    /// Its entries, folded.
    State(Box<ReleaseState>),
    /// Its chain does not hold: nothing may be done for it.
    Damaged {
        /// What was found.
        why: Damage,
    },
}

/// One entry as it was appended.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place in the release's chain, from 0.
    pub seq: u64,
    /// When it was appended.
    pub at: Timestamp,
    /// What it says.
    pub entry: Entry,
}

impl Ledger {
    /// Opens the SQLite file at `path`, making it if it is not there. The folder must exist.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process has it open; otherwise what is wrong with the file.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self::on(Arc::new(Sqlite::open(path).await?), "this process"))
    }

    /// Opens the ledger in a PostgreSQL database, making it if it is not there. Other daemons may have it open.
    ///
    /// # Errors
    /// Why the server cannot be used, or what is wrong with what it has.
    pub async fn shared(connect: Connect) -> Result<Self, OpenError> {
        Ok(Self::on(Arc::new(Postgres::open(connect).await?), &lease::new_holder()))
    }

    /// A ledger that dies with the process, for tests.
    pub fn in_memory() -> Self {
        Self::on(Arc::new(Memory::default()), "this process")
    }

    /// A ledger on any store. `holder` names this process among all that share it; two of the same name would share leases.
    pub fn on(store: Arc<dyn Store>, holder: &str) -> Self {
        let (chains, leases) = Default::default();
        Self(Arc::new(Inner { store, holder: holder.to_owned(), chains, leases }))
    }

    /// Names this ledger among all that were ever made.
    pub fn identity(&self) -> &str {
        self.0.store.identity()
    }

    /// Reads and verifies every chain and folds it. What is found damaged is closed to appends until the process ends.
    ///
    /// # Errors
    /// If the store cannot be read at all; damage of one release is a [`Loaded::Damaged`], not an error.
    pub async fn load(&self) -> Result<BTreeMap<ReleaseName, Loaded>, LedgerError> {
        let mut folds: BTreeMap<ReleaseName, Fold<ReleaseState>> = BTreeMap::new();
        let mut nameless = 0;
        self.0
            .store
            .read(None, &mut |row| match row.release.clone() {
                Some(release) => folds.entry(release).or_default().take(&row, fold),
                None => nameless += 1,
            })
            .await?;
        if nameless > 0 {
            tracing::warn!(rows = nameless, "the ledger has rows under a name that is no release's");
        }
        Ok(folds
            .into_iter()
            .map(|(release, fold)| {
                let loaded = match self.known(&release, fold) {
                    Ok(state) => Loaded::State(Box::new(state)),
                    Err(why) => Loaded::Damaged { why },
                };
                (release, loaded)
            })
            .collect())
    }

    /// Takes the lease of a release or goes on with it. Without it nothing can be appended. The store is not asked while a
    /// lease is fresh: renewals keep it so, and find out when it is lost.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn lead(&self, release: &ReleaseName) -> Result<Lead, LedgerError> {
        let known = locked(&self.0.leases).get(release).copied();
        if let Some(lease) = known.filter(Lease::is_fresh) {
            return Ok(Lead::Leading(lease.epoch));
        }
        let asked = Instant::now();
        let grant = self.0.store.lease(release, &self.0.holder, lease::TERM).await?;
        let mut leases = locked(&self.0.leases);
        Ok(match grant {
            Grant::Held { epoch, term } => {
                leases.insert(release.clone(), Lease::granted(epoch, term, asked));
                Lead::Leading(epoch)
            }
            Grant::Other { holder } => {
                leases.remove(release);
                Lead::Following { leader: holder }
            }
        })
    }

    /// Goes on with every lease that this process has. Those that were lost are known as lost afterwards.
    ///
    /// # Errors
    /// If the store cannot be asked. Leases then end by themselves, here before they end there.
    pub async fn renew(&self) -> Result<(), LedgerError> {
        let asked = Instant::now();
        let kept = self.0.store.renew(&self.0.holder, lease::TERM).await?;
        lease::renewed(&mut locked(&self.0.leases), &kept, lease::TERM, asked);
        Ok(())
    }

    /// Gives back every lease, so that another process can go on at once.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn resign(&self) -> Result<(), LedgerError> {
        locked(&self.0.leases).clear();
        self.0.store.resign(&self.0.holder).await
    }

    /// The epoch in which this process leads a release, if it may rely on that for `span` from now on: what is sent now
    /// and takes no longer than that arrives while nobody else leads.
    pub fn leads_for(&self, release: &ReleaseName, span: Duration) -> Option<u64> {
        locked(&self.0.leases).get(release).filter(|lease| lease.covers(span)).map(|lease| lease.epoch)
    }

    /// Appends entries to a release's chain in one transaction. They are durable when this returns.
    ///
    /// `expected_length` is [`ReleaseState::length`] as the caller knows it: an append from a state that is no longer
    /// the newest is refused.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if somebody appended meanwhile, [`LedgerError::Fenced`] without the lease,
    /// [`LedgerError::Damaged`] behind damage, [`LedgerError::LockLost`] and [`LedgerError::Replaced`] if the ledger is no longer
    /// this process's; nothing is written then. After any other error it is not known: read the chain again.
    pub async fn append(
        &self,
        release: &ReleaseName,
        expected_length: u64,
        at: Timestamp,
        entries: &[Entry],
    ) -> Result<(), LedgerError> {
        let mut head = self.head(release)?;
        let before = head.clone();
        if head.length != expected_length {
            let found = head.length;
            return Err(LedgerError::Conflict { release: release.clone(), expected: expected_length, found });
        }
        let fenced = || LedgerError::Fenced { release: release.clone() };
        let epoch = locked(&self.0.leases).get(release).map(|lease| lease.epoch).ok_or_else(fenced)?;
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            let sealed = head
                .seal(release, at, entry)
                .map_err(|source| LedgerError::Encode { release: release.clone(), source })?;
            head = sealed.head();
            rows.push(sealed);
        }
        let appended = self.0.store.append(release, epoch, &before, &rows).await;
        if let Err(LedgerError::Fenced { .. }) = appended {
            locked(&self.0.leases).remove(release);
        }
        appended?;
        locked(&self.0.chains).insert(release.clone(), Ok(head));
        Ok(())
    }

    /// Every entry of a release, oldest first, verified. Empty for a release that the ledger does not know.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] if its chain does not hold.
    pub async fn history(&self, release: &ReleaseName) -> Result<std::vec::IntoIter<Record>, LedgerError> {
        let mut fold = Fold::default();
        self.0.store.read(Some(release), &mut |row| fold.take(&row, list)).await?;
        let damaged = |why| LedgerError::Damaged { release: release.clone(), why };
        self.known(release, fold).map(Vec::into_iter).map_err(damaged)
    }

    /// Keeps what this process publishes of a release it leads, for those that follow; `None` if there is nothing any more.
    /// Does nothing for a release that another one leads.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn publish(&self, release: &ReleaseName, document: Option<&str>) -> Result<(), LedgerError> {
        match self.leads_for(release, Duration::ZERO) {
            Some(epoch) => self.0.store.publish(release, epoch, document).await,
            None => Ok(()),
        }
    }

    /// What the leader of a release last published of it.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn published(&self, release: &ReleaseName) -> Result<Option<String>, LedgerError> {
        self.0.store.published(release).await
    }

    /// Where a release's chain ends, as far as this process knows.
    fn head(&self, release: &ReleaseName) -> Result<Head, LedgerError> {
        let known = locked(&self.0.chains).get(release).cloned();
        known
            .unwrap_or_else(|| Ok(Head::default()))
            .map_err(|why| LedgerError::Damaged { release: release.clone(), why })
    }

    /// Remembers where a chain that was read ends. Once damaged it stays so: what was mended by hand is read by a new
    /// process.
    fn known<T>(&self, release: &ReleaseName, fold: Fold<T>) -> Result<T, Damage> {
        let mut chains = locked(&self.0.chains);
        if let Some(Err(why)) = chains.get(release) {
            return Err(why.clone());
        }
        let (head, folded) = match fold.end() {
            Ok((head, folded)) => (Ok(head), Ok(folded)),
            Err(why) => (Err(why.clone()), Err(why)),
        };
        chains.insert(release.clone(), head);
        folded
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are only ever changed by whole entries, so a panic elsewhere cannot have left one half written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A ledger that is only read, beside daemons that may have it open: for people who ask what happened.
pub struct ReadOnly(Reader);

enum Reader {
    File(store::sqlite::ReadOnly),
    Server(store::postgres::ReadOnly),
}

impl ReadOnly {
    /// Opens the SQLite file at `path` for reading. Nothing is made, locked or changed.
    ///
    /// # Errors
    /// What is wrong with the file, its absence included.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self(Reader::File(store::sqlite::ReadOnly::open(path).await?)))
    }

    /// Opens the ledger in a PostgreSQL database for reading. Nothing is made or changed; SELECT on its tables is enough.
    ///
    /// # Errors
    /// Why the server cannot be used, or what is wrong with what it has, its absence included.
    pub async fn shared(connect: Connect) -> Result<Self, OpenError> {
        Ok(Self(Reader::Server(store::postgres::ReadOnly::open(connect).await?)))
    }

    /// As [`Ledger::history`].
    ///
    /// # Errors
    /// As there.
    pub async fn history(&self, release: &ReleaseName) -> Result<std::vec::IntoIter<Record>, LedgerError> {
        let mut fold = Fold::default();
        let mut take = |row: Row| fold.take(&row, list);
        match &self.0 {
            Reader::File(file) => file.read(release, &mut take).await?,
            Reader::Server(server) => server.read(release, &mut take).await?,
        }
        let damaged = |why| LedgerError::Damaged { release: release.clone(), why };
        fold.end().map(|(_, records): (_, Vec<Record>)| records.into_iter()).map_err(damaged)
    }
}

/// One release's chain while it is being read.
#[derive(Default)]
struct Fold<T> {
    head: Head,
    folded: T,
    damage: Option<Damage>,
}

impl<T> Fold<T> {
    /// Verifies a row against the head before it, and folds what it says.
    fn take(&mut self, row: &Row, into: impl FnOnce(&mut T, Record)) {
        if self.damage.is_some() {
            return;
        }
        let (Some(release), Some(sealed)) = (&row.release, &row.sealed) else {
            self.damage = Some(Damage::Unreadable { seq: self.head.length });
            return;
        };
        match sealed.open(release.as_str(), &self.head) {
            Ok((at, entry)) => {
                self.head = sealed.head();
                into(&mut self.folded, Record { seq: sealed.seq, at, entry });
            }
            Err(why) => self.damage = Some(why),
        }
    }

    fn end(self) -> Result<(Head, T), Damage> {
        self.damage.map_or(Ok((self.head, self.folded)), Err)
    }
}

// By value, as `list`: both are what `Fold::take` calls.
#[expect(clippy::needless_pass_by_value, reason = "the shape that Fold::take calls")]
fn fold(state: &mut ReleaseState, record: Record) {
    state.apply(record.at, &record.entry);
}

fn list(records: &mut Vec<Record>, record: Record) {
    records.push(record);
}
