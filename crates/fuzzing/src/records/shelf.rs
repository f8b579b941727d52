//! A store that holds rows as somebody left them, and nothing else.

use std::{collections::BTreeMap, future::ready, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tidegate_ledger::{
    Head, LedgerError, Sealed,
    store::{Grant, Row, Store},
};
use tidegate_model::ReleaseName;

/// The rows, in the order in which they are given.
pub(super) struct Shelf(Vec<Row>);

impl Shelf {
    pub(super) fn of(rows: Vec<Row>) -> Arc<Self> {
        Arc::new(Self(rows))
    }
}

/// Nobody leads, nobody appends, nobody publishes: only reading is asked for.
impl Store for Shelf {
    fn identity(&self) -> &'static str {
        "a shelf"
    }

    fn read<'a>(
        &'a self,
        _: Option<&'a ReleaseName>,
        each: &'a mut (dyn FnMut(Row) + Send),
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.0.iter().cloned().for_each(each);
        ready(Ok(())).boxed()
    }

    fn append<'a>(
        &'a self,
        release: &'a ReleaseName,
        _: u64,
        _: &'a Head,
        _: &'a [Sealed],
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        ready(Err(LedgerError::Fenced { release: release.clone() })).boxed()
    }

    fn lease<'a>(
        &'a self,
        _: &'a ReleaseName,
        _: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<Grant, LedgerError>> {
        ready(Ok(Grant::Other { holder: "nobody".to_owned() })).boxed()
    }

    fn renew<'a>(
        &'a self,
        _: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<ReleaseName, u64>, LedgerError>> {
        ready(Ok(BTreeMap::new())).boxed()
    }

    fn resign<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        ready(Ok(())).boxed()
    }

    fn publish<'a>(
        &'a self,
        _: &'a ReleaseName,
        _: u64,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        ready(Ok(())).boxed()
    }

    fn published<'a>(&'a self, _: &'a ReleaseName) -> BoxFuture<'a, Result<Option<String>, LedgerError>> {
        ready(Ok(None)).boxed()
    }
}
