//! A ledger in memory that several daemons of one process may share: the store of tests and of the simulation.
//!
//! It keeps what the other stores keep, by the same rules; a differential test replays the same operations on all of them.
//! Its clock is tokio's, so that leases run in virtual time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tidegate_model::ReleaseName;
use tokio::time::Instant;

use super::{Grant, Row, Store};
use crate::{
    LedgerError,
    chain::{Head, Sealed},
};

/// A store in memory. A clone shares what it holds, as two daemons share a database.
#[derive(Clone)]
pub struct Memory {
    identity: Arc<str>,
    tables: Arc<Mutex<Tables>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { identity: crate::lease::new_identity().into(), tables: Arc::default() }
    }
}

#[derive(Clone, Default)]
struct Tables {
    chains: BTreeMap<ReleaseName, Vec<Sealed>>,
    leases: BTreeMap<ReleaseName, Held>,
    published: BTreeMap<ReleaseName, String>,
}

#[derive(Clone)]
struct Held {
    holder: String,
    epoch: u64,
    /// Nothing once it was given back.
    until: Option<Instant>,
}

impl Memory {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Whoever panicked while holding it did so before or after a whole change.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty store of this identity, for runs that must be the same each time.
    pub fn named(identity: &str) -> Self {
        Self { identity: identity.into(), tables: Arc::default() }
    }

    /// What it holds now, as a backup of it: changes of one do not reach the other.
    #[must_use]
    pub fn backup(&self) -> Self {
        let tables = Arc::new(Mutex::new(self.tables().clone()));
        Self { identity: Arc::clone(&self.identity), tables }
    }

    /// Changes the rows of a release, for whoever plays a disk, a person or another version.
    pub fn rewrite(&self, release: &ReleaseName, change: impl FnOnce(&mut Vec<Sealed>)) {
        change(self.tables().chains.entry(release.clone()).or_default());
    }

    /// Every row of a release: for those who look at what was kept.
    pub fn rows(&self, release: &ReleaseName) -> Vec<Sealed> {
        self.tables().chains.get(release).cloned().unwrap_or_default()
    }
}

impl Tables {
    fn append(
        &mut self,
        release: &ReleaseName,
        epoch: u64,
        head: &Head,
        rows: &[Sealed],
    ) -> Result<(), LedgerError> {
        if !self.is_newest(release, epoch) {
            return Err(LedgerError::Fenced { release: release.clone() });
        }
        let chain = self.chains.entry(release.clone()).or_default();
        let end = chain.last().map(Sealed::head).unwrap_or_default();
        if end != *head {
            let (expected, found) = (head.length, end.length);
            return Err(LedgerError::Conflict { release: release.clone(), expected, found });
        }
        chain.extend_from_slice(rows);
        Ok(())
    }

    fn is_newest(&self, release: &ReleaseName, epoch: u64) -> bool {
        self.leases.get(release).is_some_and(|lease| lease.epoch == epoch)
    }

    fn lease(&mut self, release: &ReleaseName, holder: &str, term: Duration) -> Grant {
        let now = Instant::now();
        let until = Some(now + term);
        let epoch = match self.leases.get(release) {
            Some(lease) if lease.holder == holder && lease.until.is_some() => lease.epoch,
            Some(Held { holder, until: Some(until), .. }) if *until > now => {
                return Grant::Other { holder: holder.clone() };
            }
            Some(lease) => lease.epoch + 1,
            None => 1,
        };
        self.leases.insert(release.clone(), Held { holder: holder.to_owned(), epoch, until });
        Grant::Held { epoch, term: Some(term) }
    }

    fn held_by<'t>(&'t mut self, holder: &'t str) -> impl Iterator<Item = (&'t ReleaseName, &'t mut Held)> {
        self.leases.iter_mut().filter(move |(_, lease)| lease.holder == holder && lease.until.is_some())
    }
}

impl Store for Memory {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn read<'a>(
        &'a self,
        of: Option<&'a ReleaseName>,
        each: &'a mut (dyn FnMut(Row) + Send),
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        for (release, chain) in &self.tables().chains {
            if of.is_none_or(|wanted| wanted == release) {
                for sealed in chain {
                    each(Row { release: Some(release.clone()), sealed: Some(sealed.clone()) });
                }
            }
        }
        std::future::ready(Ok(())).boxed()
    }

    fn append<'a>(
        &'a self,
        release: &'a ReleaseName,
        epoch: u64,
        head: &'a Head,
        rows: &'a [Sealed],
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        std::future::ready(self.tables().append(release, epoch, head, rows)).boxed()
    }

    fn lease<'a>(
        &'a self,
        release: &'a ReleaseName,
        holder: &'a str,
        term: Duration,
    ) -> BoxFuture<'a, Result<Grant, LedgerError>> {
        std::future::ready(Ok(self.tables().lease(release, holder, term))).boxed()
    }

    fn renew<'a>(
        &'a self,
        holder: &'a str,
        term: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<ReleaseName, u64>, LedgerError>> {
        let until = Some(Instant::now() + term);
        let mut tables = self.tables();
        let held = tables.held_by(holder).map(|(release, lease)| {
            lease.until = until;
            (release.clone(), lease.epoch)
        });
        std::future::ready(Ok(held.collect())).boxed()
    }

    fn resign<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.tables().held_by(holder).for_each(|(_, lease)| lease.until = None);
        std::future::ready(Ok(())).boxed()
    }

    fn publish<'a>(
        &'a self,
        release: &'a ReleaseName,
        epoch: u64,
        document: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        let mut tables = self.tables();
        if tables.is_newest(release, epoch) {
            match document {
                Some(document) => drop(tables.published.insert(release.clone(), document.to_owned())),
                None => drop(tables.published.remove(release)),
            }
        }
        std::future::ready(Ok(())).boxed()
    }

    fn published<'a>(
        &'a self,
        release: &'a ReleaseName,
    ) -> BoxFuture<'a, Result<Option<String>, LedgerError>> {
        std::future::ready(Ok(self.tables().published.get(release).cloned())).boxed()
    }
}
