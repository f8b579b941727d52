//! `tidegate sandbox` as a process at speed 1, and the AWS CLI in front of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use jiff::{SignedDuration, Timestamp};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::local::story;
use tidegate_sandbox::door::ClockReading;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::venv::Environment;

/// The CLI, in whose Python `-m awscli` calls it.
const AWSCLI: Environment =
    Environment { name: "awscli", what: "the AWS CLI", requirements: include_str!("requirements.txt") };

/// What holds raw responses against the model: a plugin of the CLI.
const MODELCHECK: &str = include_str!("modelcheck.py");

/// A running sandbox, the CLI, and a directory with the CLI's configuration and what the model check wrote.
pub(crate) struct Aws {
    _sandbox: Child,
    url: String,
    client: Client,
    python: PathBuf,
    home: TempDir,
}

/// One response as the model check saw it.
#[derive(Debug, Deserialize)]
pub(crate) struct Checked {
    pub(crate) operation: String,
    pub(crate) protocol: String,
    pub(crate) status: u16,
    pub(crate) findings: Vec<String>,
}

impl Aws {
    /// The story's world, just begun; `None` if there is no CLI here.
    pub(crate) async fn story() -> Option<Self> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let python = AWSCLI.python()?;
        let home = tempfile::tempdir().unwrap();
        let (sandbox, url) = sandbox(home.path()).await;
        fs::write(home.path().join("modelcheck.py"), MODELCHECK).unwrap();
        fs::write(home.path().join("config"), "[plugins]\nmodelcheck = modelcheck\n").unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Some(Self { _sandbox: sandbox, url, client, python, home })
    }

    /// The sandbox's time.
    pub(crate) async fn now(&self) -> Timestamp {
        let reading: ClockReading = serde_json::from_value(self.own("clock").await).unwrap();
        assert_eq!(reading.speed, 1);
        reading.now
    }

    /// Every mutating effect so far.
    pub(crate) async fn audit(&self) -> Value {
        self.own("audit").await
    }

    /// The sandbox's time, plus so many minutes, as the CLI takes it.
    pub(crate) async fn minutes_from_now(&self, minutes: i64) -> String {
        let at = self.now().await + SignedDuration::from_mins(minutes);
        at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Lets time pass.
    pub(crate) async fn jump(&self, by: &str) {
        let request = self.client.post(format!("{}/_sandbox/clock", self.url)).json(&json!({ "jump": by }));
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// What the sandbox tells of itself.
    async fn own(&self, what: &str) -> Value {
        let response = self.client.get(format!("{}/_sandbox/{what}", self.url)).send().await.unwrap();
        response.error_for_status().unwrap().json().await.unwrap()
    }

    /// What a call answers. Arguments are split at spaces; more of them, unsplit, may follow.
    pub(crate) async fn call(&self, arguments: &str, more: &[&str]) -> Value {
        let output = self.aws(arguments, more).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "aws {arguments}: {said}");
        assert!(said.is_empty(), "aws {arguments}: {said}");
        if output.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The code with which a call is refused, as the CLI prints it.
    pub(crate) async fn refusal(&self, arguments: &str, more: &[&str]) -> String {
        let output = self.aws(arguments, more).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // What the first version of the CLI ends with when a service refuses.
        assert_eq!(output.status.code(), Some(255), "aws {arguments}: {said}");
        let code = said.split_once("An error occurred (").and_then(|(_, rest)| rest.split_once(')'));
        code.map(|(code, _)| code.to_owned()).unwrap_or(said)
    }

    async fn aws(&self, arguments: &str, more: &[&str]) -> std::process::Output {
        let mut all = vec!["-m", "awscli"];
        all.extend(arguments.split_whitespace());
        all.extend(more);
        self.command(&all).output().await.unwrap()
    }

    /// The environment's Python with nothing of whoever runs the tests: no credentials, configuration or proxy.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PYTHONPATH", self.home.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("MODELCHECK", self.home.path().join("checked"))
            .env("AWS_CONFIG_FILE", self.home.path().join("config"))
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1")
            .kill_on_drop(true);
        command
    }

    /// Every response so far.
    pub(crate) fn checked(&self) -> Vec<Checked> {
        let lines = fs::read_to_string(self.home.path().join("checked")).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Every request of the sandbox's log was held against the model without a finding.
    pub(crate) async fn is_in_accordance(&self) {
        let checked = self.checked();
        let findings: Vec<_> = checked.iter().filter(|one| !one.findings.is_empty()).collect();
        assert!(findings.is_empty(), "{findings:#?}");
        let requests = self.own("requests").await.as_array().unwrap().len();
        assert_eq!(checked.len(), requests, "every response was checked");
    }
}

/// The program at speed 1 and its address, which is in the first line that it prints. It dies with its handle.
async fn sandbox(home: &Path) -> (Child, String) {
    let program = story::beside_this_program("tidegate").expect("run `cargo xtask test`");
    let mut command = Command::new(program);
    command.args(["sandbox", "--modelled", "--speed", "1", "--listen", "127.0.0.1:0", "--folder"]).arg(home);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = said.next_line().await.unwrap().expect("it says where it serves");
    let (_, rest) = line.split_once("at ").unwrap();
    let url = rest.split(',').next().unwrap().to_owned();
    // What it says later must not meet a closed pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
    (child, url)
}
