//! The stage of the story: world, daemon, customers and people.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tidegate_shop::customers::{Customers, Report as Traffic, Running, Writes};

use super::{timeline::Timeline, watch::Watch};
use crate::{
    exit::Failure,
    local::{Daemon, DaemonSettings, LedgerAt, Local, LocalSettings, People, story},
};

/// The release of the story.
pub(crate) const RELEASE: &str = "ecommerce";
/// Customers in the database before the story begins.
const CUSTOMERS: u32 = 3_000;
/// How long processes and databases may take to be up.
const START_LIMIT: Duration = Duration::from_secs(90);

#[derive(Debug, thiserror::Error)]
enum StageError {
    #[error("the shop does not answer on {address}; logs of its tasks are in {}", logs.display())]
    ShopSilent { address: SocketAddr, logs: PathBuf },
}

/// How it is set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// How many times faster than real time AWS's schedule runs.
    pub(crate) speed: u32,
    /// Requests a second.
    pub(crate) rate: u32,
    /// Share of them that are checkouts, in percent.
    pub(crate) checkout_percent: u32,
    /// Where the daemon serves; a free port if absent.
    pub(crate) listen: Option<SocketAddr>,
    /// Variables of the version that serves first, besides the story's.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Everything that runs.
pub(crate) struct Stage {
    pub(crate) local: Arc<Local>,
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) people: People,
    /// Until they go home.
    pub(super) customers: Option<Running>,
    pub(crate) watch: Watch,
    pub(crate) migrations: PathBuf,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Starts everything, and waits until the first version serves.
    ///
    /// # Errors
    /// If something does not start; the text names what, and where its log is.
    pub(crate) async fn start(setting: &Setting, timeline: &Timeline) -> Result<Self, Failure> {
        timeline.scene("The world");
        let folder =
            tempfile::Builder::new().prefix("tidegate-demo-").tempdir().map_err(Failure::internal)?;
        let ports = story::Ports::free().map_err(Failure::internal)?;
        let migrations = story::write_migrations(folder.path()).map_err(Failure::internal)?;
        let local = Local::start(LocalSettings {
            world: story::world_of(ports, &setting.environment).map_err(Failure::internal)?,
            catalogue: Some(story::catalogue().map_err(Failure::internal)?),
            sql: vec![story::initial(CUSTOMERS, None)],
            speed: setting.speed,
            listen: crate::local::ANYWHERE,
            folder: Some(folder.path().join("sandbox")),
        })
        .await
        .map_err(Failure::internal)?;
        timeline.note(&format!(
            "a simulated AWS at {}, {} times as fast as real time",
            local.url(),
            setting.speed
        ));
        let shop = SocketAddr::from(([127, 0, 0, 1], ports.production));
        wait_for_shop(shop, &local).await?;
        timeline
            .note(&format!("PostgreSQL is up with {CUSTOMERS} customers, version 1 serves at http://{shop}"));
        let customers = Customers::new(shop).rate(setting.rate).checkout_percent(setting.checkout_percent);
        let customers = customers.start();
        timeline.note(&format!("customers come: {} requests a second, reads and writes, half of them on kept connections, nobody tries again", setting.rate));
        let daemon = Daemon::start(&DaemonSettings {
            program: std::env::current_exe().map_err(Failure::internal)?,
            endpoint: local.url(),
            listen: setting.listen.unwrap_or(crate::local::ANYWHERE),
            ledger: LedgerAt::File(folder.path().join("ledger.sqlite")),
            log: folder.path().join("daemon.log"),
            migrations: folder.path().join("migrations"),
        })
        .await
        .map_err(Failure::internal)?;
        timeline.note(&format!("the daemon runs: page {}, metrics {0}/metrics", daemon.url()));
        let people = People::at(&local.url(), RELEASE);
        let (local, daemon) = (Arc::new(local), Arc::new(daemon));
        let watch = Watch::start(&local, &daemon, ports.production);
        Ok(Self { local, daemon, people, customers: Some(customers), watch, migrations, _folder: folder })
    }

    /// What the customers counted so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.customers.as_ref().map(Running::report).unwrap_or_default()
    }

    /// Sends the customers home; gives what was acknowledged to them.
    pub(super) async fn send_home(&mut self) -> Writes {
        match self.customers.take() {
            Some(customers) => customers.stop().await.1,
            None => Writes::default(),
        }
    }

    /// The load balancer as CloudWatch's dimension has it: `app/<name>/<id>`, the middle of its listeners' ARNs.
    pub(crate) fn load_balancer(&self) -> String {
        let listeners = self.local.sandbox.world().live_listeners();
        let middle = |arn: &str| {
            let (balancer, _) = arn.split_once(":listener/")?.1.rsplit_once('/')?;
            Some(balancer.to_owned())
        };
        listeners.first().and_then(|listener| middle(&listener.arn)).unwrap_or_default()
    }

    /// Stops everything and waits for it.
    pub(crate) async fn stop(self) {
        drop(self.customers);
        self.watch.stop().await;
        if let Some(daemon) = Arc::into_inner(self.daemon)
            && let Err(error) = daemon.stop().await
        {
            tracing::error!(%error, "the daemon could not be stopped");
        }
        if let Some(local) = Arc::into_inner(self.local) {
            local.stop().await;
        }
    }
}

async fn wait_for_shop(shop: SocketAddr, local: &Local) -> Result<(), Failure> {
    let client = reqwest::Client::builder().no_proxy().build().map_err(Failure::internal)?;
    let begun = std::time::Instant::now();
    while begun.elapsed() < START_LIMIT {
        let answer = client.get(format!("http://{shop}/health")).send().await;
        if answer.is_ok_and(|response| response.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let logs = local.folder.join("logs");
    Err(Failure::internal(StageError::ShopSilent { address: shop, logs }))
}
