//! The ledger's store as a daemon reaches it: the model that all daemons of a run share, behind the same faults as AWS.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tidegate_ledger::{
    Head, LedgerError, Sealed,
    store::{Grant, Row, Store, memory::Memory},
};
use tidegate_model::ReleaseName;

use crate::{
    fault::Failure,
    machine::Machine,
    oracle::{Leased, secrets},
    scenario::RELEASE,
    scene::{Crossing, Passed, Scene},
};

/// How long a store waits for its database before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked of the store: one for each way into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the store's own names")]
pub enum Request {
    Read,
    Append,
    Lease,
    Renew,
    Resign,
    Publish,
    Published,
}

impl Request {
    /// Every request.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Append, Self::Lease, Self::Renew, Self::Resign, Self::Publish, Self::Published];

    /// The operation that a fault strikes: `ledger.append`.
    pub fn operation(self) -> &'static str {
        match self {
            Self::Read => "ledger.read",
            Self::Append => "ledger.append",
            Self::Lease => "ledger.lease",
            Self::Renew => "ledger.renew",
            Self::Resign => "ledger.resign",
            Self::Publish => "ledger.publish",
            Self::Published => "ledger.published",
        }
    }

    /// True if it may change something.
    fn changes(self) -> bool {
        match self {
            Self::Read | Self::Published => false,
            Self::Append | Self::Lease | Self::Renew | Self::Resign | Self::Publish => true,
        }
    }

    /// True if a pass goes by whether it was answered: what is renewed and shown besides says nothing of it.
    fn is_of_a_pass(self) -> bool {
        match self {
            Self::Read | Self::Append | Self::Lease => true,
            Self::Renew | Self::Resign | Self::Publish | Self::Published => false,
        }
    }
}

/// A machine's way to the ledger.
pub(crate) struct Keep {
    pub(crate) scene: Arc<Scene>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) memory: Memory,
}

impl Keep {
    async fn cross<T: Send + 'static>(
        &self,
        (request, of): (Request, Option<&ReleaseName>),
        perform: impl FnMut() -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let tells = request.is_of_a_pass() && of.is_none_or(is_ours);
        let changes = request.changes();
        let crossing = Crossing { operation: request.operation().to_owned(), changes };
        let failed = |source| {
            let action = if changes { "write" } else { "read" };
            Err(LedgerError::Database { action, source })
        };
        let passed = self.scene.cross(&self.machine, &crossing, perform).await;
        if tells {
            self.machine.asked_ledger(matches!(passed, Passed::Answer(..)));
        }
        match passed {
            Passed::Answer(result, _) => result,
            Passed::Failed(Failure::Silence) => {
                tokio::time::sleep(PATIENCE).await;
                // Others of its requests may have been answered meanwhile.
                if tells {
                    self.machine.asked_ledger(false);
                }
                failed(sqlx::Error::PoolTimedOut)
            }
            Passed::Failed(
                Failure::Disconnect
                | Failure::ServerError
                | Failure::Unavailable
                | Failure::Throttle
                | Failure::Denied
                | Failure::Expired,
            ) => failed(sqlx::Error::Io(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

/// Other releases have leases and epochs of their own, and no effects.
fn is_ours(release: &ReleaseName) -> bool {
    release.as_str() == RELEASE
}

/// The model answers at once.
fn now<T>(answer: BoxFuture<'_, Result<T, LedgerError>>) -> Result<T, LedgerError> {
    let pending = || LedgerError::Database { action: "use", source: sqlx::Error::PoolTimedOut };
    answer.now_or_never().unwrap_or_else(|| Err(pending()))
}

impl Store for Keep {
    fn identity(&self) -> &str {
        self.memory.identity()
    }

    fn read<'a>(
        &'a self,
        of: Option<&'a ReleaseName>,
        each: &'a mut (dyn FnMut(Row) + Send),
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        async move {
            let (memory, wanted) = (self.memory.clone(), of.cloned());
            let rows = self
                .cross((Request::Read, of), move || {
                    let mut rows = Vec::new();
                    now(memory.read(wanted.as_ref(), &mut |row| rows.push(row)))?;
                    Ok(rows)
                })
                .await?;
            rows.into_iter().for_each(each);
            Ok(())
        }
        .boxed()
    }

    fn append<'a>(
        &'a self,
        release: &'a ReleaseName,
        epoch: u64,
        head: &'a Head,
        rows: &'a [Sealed],
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        let (memory, scene) = (self.memory.clone(), Arc::clone(&self.scene));
        let (appended, head, rows) = (release.clone(), head.clone(), rows.to_vec());
        let machine = self.machine.number;
        self.cross((Request::Append, Some(release)), move || {
            now(memory.append(&appended, epoch, &head, &rows))?;
            if rows.iter().any(|row| secrets::leaks(&row.body)) {
                scene.leaked("the ledger");
            }
            if is_ours(&appended) {
                scene.appended(machine, epoch, &rows);
            }
            Ok(())
        })
        .boxed()
    }

    fn lease<'a>(
        &'a self,
        release: &'a ReleaseName,
        holder: &'a str,
        term: Duration,
    ) -> BoxFuture<'a, Result<Grant, LedgerError>> {
        async move {
            let (memory, leased, holder) = (self.memory.clone(), release.clone(), holder.to_owned());
            let (scene, machine, ours) = (Arc::clone(&self.scene), self.machine.number, is_ours(release));
            let lease = move || {
                let grant = now(memory.lease(&leased, &holder, term))?;
                if let (Grant::Held { epoch, .. }, true) = (&grant, ours) {
                    scene.leased(machine, Leased::Granted { epoch: *epoch, term });
                }
                Ok(grant)
            };
            let grant = self.cross((Request::Lease, Some(release)), lease).await?;
            if let (Grant::Held { epoch, .. }, true) = (&grant, ours) {
                self.machine.granted(*epoch);
            }
            Ok(grant)
        }
        .boxed()
    }

    fn renew<'a>(
        &'a self,
        holder: &'a str,
        term: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<ReleaseName, u64>, LedgerError>> {
        let (memory, holder) = (self.memory.clone(), holder.to_owned());
        let (scene, machine) = (Arc::clone(&self.scene), self.machine.number);
        self.cross((Request::Renew, None), move || {
            let kept = now(memory.renew(&holder, term))?;
            if kept.keys().any(is_ours) {
                scene.leased(machine, Leased::Renewed { term });
            }
            Ok(kept)
        })
        .boxed()
    }

    fn resign<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        let (memory, holder) = (self.memory.clone(), holder.to_owned());
        let (scene, machine) = (Arc::clone(&self.scene), self.machine.number);
        self.cross((Request::Resign, None), move || {
            now(memory.resign(&holder))?;
            scene.leased(machine, Leased::Resigned);
            Ok(())
        })
        .boxed()
    }

    fn publish<'a>(
        &'a self,
        release: &'a ReleaseName,
        epoch: u64,
        status: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        let (memory, release, status) = (self.memory.clone(), release.clone(), status.map(str::to_owned));
        if status.as_deref().is_some_and(secrets::leaks) {
            self.scene.leaked("what is published");
        }
        self.cross((Request::Publish, None), move || now(memory.publish(&release, epoch, status.as_deref())))
            .boxed()
    }

    fn published<'a>(
        &'a self,
        release: &'a ReleaseName,
    ) -> BoxFuture<'a, Result<Option<String>, LedgerError>> {
        let (memory, release) = (self.memory.clone(), release.clone());
        self.cross((Request::Published, None), move || now(memory.published(&release))).boxed()
    }
}
