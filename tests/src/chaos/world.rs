//! The world as processes: `tidegate sandbox` with its tasks and its PostgreSQL, and the shop's customers in here.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use aws_sdk_rds::{Client as Rds, types::Endpoint};
use aws_sdk_secretsmanager::Client as Secrets;
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tidegate::local::{DaemonSettings, LedgerAt, People, story};
use tidegate_sandbox::audit::AuditEntry;
use tidegate_shop::customers::{Customers, Running};
use tokio::process::{Child, Command};

use super::{ChaosError, stage};
use crate::live::RELEASE;

/// Customers in the database before the story begins: enough for several batches of backfill.
const CUSTOMERS: u32 = 3_000;
/// How long processes and databases may take to be up.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Everything but the daemon. Dropped, it kills what is left of it.
pub(super) struct World {
    pub(super) people: People,
    pub(super) customers: Option<Running>,
    pub(super) settings: DaemonSettings,
    pub(super) change: PathBuf,
    pub(super) ledger: PathBuf,
    sandbox: Child,
    url: String,
    client: Client,
    _folder: tempfile::TempDir,
}

impl World {
    pub(super) async fn start(speed: u32) -> Result<Self, ChaosError> {
        let folder = tempfile::Builder::new().prefix("tidegate-chaos-").tempdir();
        let folder = folder.map_err(stage("make a folder"))?;
        let program = story::beside_this_program("tidegate").map_err(stage("find tidegate"))?;
        let ports = story::Ports::free().map_err(stage("find free ports"))?;
        let world = story::world_on(ports)
            .and_then(|world| story::with_sql(&world, &story::initial(CUSTOMERS, None)));
        let world = world.map_err(stage("make the world's file"))?;
        std::fs::write(folder.path().join("world.toml"), world).map_err(stage("write the world's file"))?;
        let door = SocketAddr::from(([127, 0, 0, 1], story::free_port().map_err(stage("find a free port"))?));
        let url = format!("http://{door}");
        let sandbox = sandbox(&program, folder.path(), door, speed).map_err(stage("run tidegate sandbox"))?;
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build();
        let client = client.map_err(stage("make a client"))?;
        let shop = SocketAddr::from(([127, 0, 0, 1], ports.production));
        wait_for(&client, &format!("http://{shop}/health")).await?;
        let change = story::write_migrations(folder.path()).map_err(stage("write migration files"))?;
        let listen = story::free_port().map_err(stage("find a free port"))?;
        let ledger = folder.path().join("ledger.sqlite");
        let settings = DaemonSettings {
            program,
            endpoint: url.clone(),
            listen: SocketAddr::from(([127, 0, 0, 1], listen)),
            ledger: LedgerAt::File(ledger.clone()),
            log: folder.path().join("daemon.log"),
            migrations: folder.path().join("migrations"),
        };
        let people = People::at(&url, RELEASE);
        let customers = Some(Customers::new(shop).start());
        Ok(Self { people, customers, settings, change, ledger, sandbox, url, client, _folder: folder })
    }

    /// The ARN of the secret of Tidegate's own role.
    pub(super) async fn secret(&self) -> Result<String, ChaosError> {
        let asked = self.secrets().describe_secret().secret_id("tidegate-ecommerce").send().await;
        let found = asked.map_err(stage("find the secret"))?;
        Ok(found.arn().unwrap_or_default().to_owned())
    }

    /// The shop's database, as the shop sees it.
    pub(super) async fn database(&self) -> Result<PgConnection, ChaosError> {
        #[derive(Deserialize)]
        struct Login {
            username: String,
            password: String,
            dbname: String,
        }
        let asked = self.secrets().get_secret_value().secret_id("shop-db").send().await;
        let secret = asked.map_err(stage("read the shop's secret"))?;
        let login: Login = serde_json::from_str(secret.secret_string().unwrap_or_default())
            .map_err(stage("read the shop's secret"))?;
        let rds = Rds::new(self.people.config());
        let asked = rds.describe_db_instances().db_instance_identifier(story::INSTANCE).send().await;
        let instances = asked.map_err(stage("find the database"))?;
        let endpoint = instances.db_instances().first().and_then(|instance| instance.endpoint());
        let port = endpoint.and_then(Endpoint::port).and_then(|port| u16::try_from(port).ok());
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port.unwrap_or_default())
            .username(&login.username)
            .password(&login.password)
            .database(&login.dbname);
        options.connect().await.map_err(stage("connect to the database"))
    }

    fn secrets(&self) -> Secrets {
        Secrets::new(self.people.config())
    }

    /// What daemons did to AWS, in order.
    pub(super) async fn effects(&self) -> Result<Vec<AuditEntry>, ChaosError> {
        let asked = self.client.get(format!("{}/_sandbox/audit", self.url)).send().await;
        let answer =
            asked.and_then(reqwest::Response::error_for_status).map_err(stage("read the audit log"))?;
        let audit = answer.json().await.map_err(stage("read the audit log"))?;
        Ok(crate::by_daemon(audit))
    }

    /// Jumps the sandbox's clock.
    pub(super) async fn jump(&self, by: &str) -> Result<(), ChaosError> {
        let asked = self
            .client
            .post(format!("{}/_sandbox/clock", self.url))
            .json(&json!({ "jump": by }))
            .send()
            .await;
        asked.and_then(reqwest::Response::error_for_status).map(drop).map_err(stage("jump the clock"))
    }

    /// The sandbox's process.
    pub(super) fn sandbox_id(&self) -> Option<u32> {
        self.sandbox.id()
    }

    /// What daemons logged so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.settings.log).unwrap_or_default()
    }

    /// The last lines of it.
    pub(super) fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(8).collect();
        lines.into_iter().rev().map(|line| format!("\n  {line}")).collect()
    }

    /// Stops the sandbox in order, with everything that it runs.
    pub(super) async fn stop(mut self) -> Result<(), ChaosError> {
        let id = self.sandbox.id().and_then(|id| i32::try_from(id).ok());
        if let Some(process) = id.and_then(rustix::process::Pid::from_raw) {
            let asked = rustix::process::kill_process(process, rustix::process::Signal::TERM);
            asked.map_err(stage("stop the sandbox"))?;
        }
        self.sandbox.wait().await.map(drop).map_err(stage("stop the sandbox"))
    }
}

fn sandbox(program: &Path, folder: &Path, door: SocketAddr, speed: u32) -> std::io::Result<Child> {
    let log = std::fs::File::create(folder.join("sandbox.log"))?;
    Command::new(program)
        .arg("sandbox")
        .arg("--world")
        .arg(folder.join("world.toml"))
        .arg("--folder")
        .arg(folder.join("sandbox"))
        .args(["--listen", &door.to_string(), "--speed", &speed.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
}

async fn wait_for(client: &Client, page: &str) -> Result<(), ChaosError> {
    let begun = Instant::now();
    loop {
        let asked = client.get(page).send().await.and_then(reqwest::Response::error_for_status);
        match asked {
            Ok(_) => return Ok(()),
            Err(why) if begun.elapsed() > START_LIMIT => return Err(stage("wait for the shop")(why)),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
