//! Where entries are kept, and who may append: what every kind of store must do, and nothing of what entries mean.
//!
//! A [`Store`] keeps rows and leases. Sealing rows and verifying them is [`crate::chain`]'s, and the same for every store;
//! so is when a lease may be used, which is [`crate::lease`]'s. A store never repairs, never removes, and never repeats a
//! write whose answer was lost: whoever asked reads what became of it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::BoxFuture;
use tidegate_model::ReleaseName;

use crate::{
    LedgerError,
    chain::{Head, Sealed},
};

pub mod memory;
pub mod postgres;
pub mod sqlite;

/// What keeps a ledger.
pub trait Store: Send + Sync {
    /// Names this ledger among all that were ever made: it stays with the rows, whoever opens them.
    fn identity(&self) -> &str;

    /// Gives every row of one release, or of all, to `each`: by release, then by place.
    ///
    /// # Errors
    /// If they cannot be read. A row that makes no sense is given as it is.
    fn read<'a>(
        &'a self,
        of: Option<&'a ReleaseName>,
        each: &'a mut (dyn FnMut(Row) + Send),
    ) -> BoxFuture<'a, Result<(), LedgerError>>;

    /// Adds rows behind `head`, all or none, if the release's chain ends there and the epoch is still the newest. They are
    /// durable when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if the chain ends elsewhere, [`LedgerError::Fenced`] if the lease is somebody else's now;
    /// nothing is written then. Otherwise it is not known whether they were written.
    fn append<'a>(
        &'a self,
        release: &'a ReleaseName,
        epoch: u64,
        head: &'a Head,
        rows: &'a [Sealed],
    ) -> BoxFuture<'a, Result<(), LedgerError>>;

    /// Takes the lease of a release, or goes on with it, if nobody else has it by the store's own clock. Each time it
    /// changes hands its epoch grows.
    ///
    /// # Errors
    /// If the store cannot be asked. The lease may have been granted then.
    fn lease<'a>(
        &'a self,
        release: &'a ReleaseName,
        holder: &'a str,
        term: Duration,
    ) -> BoxFuture<'a, Result<Grant, LedgerError>>;

    /// Goes on with every lease that `holder` still has, for another term from now; tells which, with their epochs.
    ///
    /// # Errors
    /// If the store cannot be asked.
    fn renew<'a>(
        &'a self,
        holder: &'a str,
        term: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<ReleaseName, u64>, LedgerError>>;

    /// Gives back every lease that `holder` has, so that nobody has to wait for their end.
    ///
    /// # Errors
    /// If the store cannot be asked; the leases end by themselves.
    fn resign<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, Result<(), LedgerError>>;

    /// Keeps what the leader publishes of a release, for daemons that follow, in place of what was kept; `None` keeps nothing.
    /// It is no part of the chain, and nothing is kept for who is no longer the leader or has no followers.
    ///
    /// # Errors
    /// If the store cannot be asked.
    fn publish<'a>(
        &'a self,
        release: &'a ReleaseName,
        epoch: u64,
        document: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), LedgerError>>;

    /// What was last kept by [`Store::publish`].
    ///
    /// # Errors
    /// If the store cannot be asked.
    fn published<'a>(
        &'a self,
        release: &'a ReleaseName,
    ) -> BoxFuture<'a, Result<Option<String>, LedgerError>>;
}

/// A row as it stands in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose it is; nothing if its name is no release's.
    pub release: Option<ReleaseName>,
    /// What it holds; nothing if a member is missing or of another type.
    pub sealed: Option<Sealed>,
}

/// The answer to a request for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// It is the asker's.
    Held {
        /// Of this time in office: it grows each time the lease changes hands.
        epoch: u64,
        /// How long from the request on; nothing if it lasts as long as the process.
        term: Option<Duration>,
    },
    /// Somebody else has it.
    Other {
        /// Who.
        holder: String,
    },
}
