//! A live world for tests: sandbox, processes, balancer, PostgreSQL, customers, and the daemon as a process that can be
//! killed.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use jiff::SignedDuration;
use serde_json::{Value, json};
use tidegate::local::{ANYWHERE, Daemon, DaemonSettings, LedgerAt, Local, LocalSettings, People, story};
use tidegate_model::status::{ReleaseStatus, Summary};
use tidegate_sandbox::{
    audit::AuditEntry,
    fault::{Action, Fault, Position},
};
use tidegate_shop::customers::{Customers, Running};

/// Virtual seconds in a real one.
const SPEED: u32 = 45;
const LOOK: Duration = Duration::from_millis(50);
/// No wait of a test is longer, in real time.
const LIMIT: Duration = Duration::from_secs(200);

/// The release of the story.
pub const RELEASE: &str = "ecommerce";

/// A running world with a daemon.
pub struct Live {
    /// The world.
    pub local: Local,
    /// Who writes parameters.
    pub people: People,
    /// Who shops.
    pub customers: Running,
    daemon: Option<Daemon>,
    settings: DaemonSettings,
    migrations: PathBuf,
    _folder: tempfile::TempDir,
}

impl Live {
    /// Starts everything; `awkward` percent of the customers' writes have addresses without a structured form.
    pub async fn start(awkward: u32) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::Builder::new().prefix("tidegate-live-").tempdir().expect("a folder");
        let ports = story::Ports::free().expect("free ports");
        let migrations = story::write_migrations(folder.path()).expect("migration files");
        let local = Local::start(LocalSettings {
            world: story::world_on(ports).expect("the story's world"),
            catalogue: Some(story::catalogue().expect("the shop is built: run `cargo xtask test`")),
            sql: vec![story::initial(500, None)],
            speed: SPEED,
            listen: ANYWHERE,
            folder: Some(folder.path().join("sandbox")),
        })
        .await
        .expect("the world begins");
        let shop = SocketAddr::from(([127, 0, 0, 1], ports.production));
        wait_for(shop).await;
        let settings = DaemonSettings {
            program: story::beside_this_program("tidegate")
                .expect("tidegate is built: run `cargo xtask test`"),
            endpoint: local.url(),
            listen: SocketAddr::from(([127, 0, 0, 1], story::free_port().expect("a port"))),
            ledger: LedgerAt::File(folder.path().join("ledger.sqlite")),
            log: folder.path().join("daemon.log"),
            migrations: folder.path().join("migrations"),
        };
        let people = People::at(&local.url(), RELEASE);
        let customers = Customers::new(shop).rate(100).awkward_percent(awkward).start();
        let mut live = Self { local, people, customers, daemon: None, settings, migrations, _folder: folder };
        live.start_daemon().await;
        live
    }

    /// Starts the daemon, or starts it again.
    pub async fn start_daemon(&mut self) {
        let started = Daemon::start(&self.settings).await;
        let log = || std::fs::read_to_string(&self.settings.log).unwrap_or_default();
        self.daemon = Some(started.unwrap_or_else(|error| panic!("{error}\n{}", log())));
    }

    /// Lets everything stop at one position of a call, and kills the daemon with SIGKILL there; `then` arms what is next.
    pub async fn kill_at(&mut self, operation: &str, then: impl FnOnce(&Self)) {
        let begun = std::time::Instant::now();
        while self.local.sandbox.faults().stopped_at().is_none() {
            assert!(begun.elapsed() < LIMIT, "{operation} was never sent: {}", self.state().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.kill().await;
        self.local.sandbox.clear_faults();
        then(self);
        self.start_daemon().await;
    }

    /// Kills the daemon with SIGKILL.
    pub async fn kill(&mut self) {
        let daemon = self.daemon.take().expect("a daemon");
        daemon.kill().await.expect("the daemon is killed");
    }

    /// Arms a stop at the n-th call of an operation from now on.
    pub fn arm(&self, operation: &str, nth: u64, position: Position) {
        let fault = Fault { operation: Some(operation.to_owned()), nth, position, action: Action::Stop };
        self.local.sandbox.faults().arm(fault);
    }

    /// Writes the spec of a version of the shop.
    pub async fn release(&self, version: u32) {
        let secret = self.local.sandbox.world().secret_arn("tidegate-ecommerce").expect("the secret");
        let spec = spec(version, &secret, &self.migrations.display().to_string());
        self.people.put("spec", &spec.to_string()).await.expect("the spec is written");
    }

    /// What `tidegate restore-plan` prints of the restore itself.
    pub async fn restore_plan(&self) -> String {
        let output = tokio::process::Command::new(&self.settings.program)
            .args(["restore-plan", RELEASE, "-o", "json", "--url"])
            .arg(format!("http://{}", self.settings.listen))
            .args(["--endpoint-url", &self.settings.endpoint])
            .env_clear()
            .envs([("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")])
            .output()
            .await
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        plan["commands"][0].as_str().expect("a command").to_owned()
    }

    /// Waits until the release is settled and healthy under this spec version.
    pub async fn settled(&self, version: u64) {
        self.until(&format!("version {version} settles"), |status| {
            assert_ne!(status.summary, Summary::RolledBack, "{:?}", status.rollout.cause);
            let healthy = status.summary == Summary::Healthy && status.rollout.phase == "settled";
            (healthy && status.versions.in_force.is_some_and(|v| v.0 == version)).then_some(())
        })
        .await;
    }

    /// Waits until `found` finds something in the status.
    pub async fn until<T>(&self, what: &str, found: impl Fn(&ReleaseStatus) -> Option<T>) -> T {
        let begun = std::time::Instant::now();
        loop {
            let status = self.daemon.as_ref().expect("a daemon").status(RELEASE).await;
            if let Some(value) = status.as_ref().and_then(&found) {
                return value;
            }
            assert!(begun.elapsed() < LIMIT, "{what}: not reached; {}", self.state().await);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Lets 24 hours pass with passes in between, and gives the mutating effects in them.
    pub async fn a_day(&self) -> Vec<AuditEntry> {
        let before = self.effects().len();
        for _ in 0..12 {
            self.local.sandbox.jump(SignedDuration::from_hours(2));
            // The daemon asks for the time each second.
            tokio::time::sleep(Duration::from_millis(1_300)).await;
        }
        self.effects().split_off(before)
    }

    /// What the daemon did to AWS, in order; status writes and what people and the sandbox itself did left out.
    pub fn effects(&self) -> Vec<AuditEntry> {
        crate::by_daemon(self.local.sandbox.audit())
    }

    /// Where the release stands, for messages of failing tests.
    pub async fn state(&self) -> String {
        let Some(daemon) = &self.daemon else { return "no daemon".to_owned() };
        let Some(status) = daemon.status(RELEASE).await else {
            let log = std::fs::read_to_string(&self.settings.log).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            return format!("no status; the end of the log, backwards:\n{}", last.join("\n"));
        };
        format!("{} {:?} {:#?}", status.rollout.phase, status.schema, status.waiting)
    }

    /// Stops everything in order; gives the daemon's log.
    pub async fn stop(mut self) -> String {
        drop(self.customers);
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await.expect("the daemon stops");
        }
        self.local.stop().await;
        std::fs::read_to_string(&self.settings.log).unwrap_or_default()
    }
}

async fn wait_for(shop: SocketAddr) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let begun = std::time::Instant::now();
    loop {
        let answer = client.get(format!("http://{shop}/health")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "the shop does not answer");
        tokio::time::sleep(LOOK).await;
    }
}

/// The spec of a version of the shop.
pub(crate) fn spec(version: u32, secret: &str, migrations: &str) -> Value {
    json!({
        "service": { "cluster": "ecommerce", "name": "ecommerce" },
        "revision": { "container": "app", "image": format!("shop:v{version}") },
        "traffic": {
            "engine": "codedeploy",
            "application": "ecommerce-bluegreen",
            "deploymentGroup": "ecommerce-bluegreen",
            "shift": { "linear": { "percent": 10, "every": "1m" } },
        },
        "checks": { "latency": "off" },
        "bake": "2m",
        "schema": {
            "database": { "secret": secret, "instance": story::INSTANCE },
            "change": "structured-address",
            "source": format!("file://{migrations}"),
            "contractAfter": "3m",
            "quarantine": "2m",
        },
    })
}
