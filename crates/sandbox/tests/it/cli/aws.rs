//! A sandbox behind its HTTP door at speed 1, and the AWS CLI in front of it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tidegate_sandbox::{
    Sandbox,
    clock::Clock,
    door::{self, Door},
    world::{Mode, World},
};
use tokio::process::Command;

use super::venv;
use crate::support::STORY;

/// What holds raw responses against the model: a plugin of the CLI.
const MODELCHECK: &str = include_str!("modelcheck.py");

/// An open door, the CLI, and a directory with the CLI's configuration and what the model check wrote.
pub(crate) struct Aws {
    pub(crate) sandbox: Sandbox,
    door: Door,
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
        let python = venv::python()?;
        let now = Timestamp::now();
        let world = World::from_file(STORY, now, Mode::Modelled { seed: 7 }).unwrap();
        let sandbox = Sandbox::new(world, Clock::running(now, 1));
        let door = door::serve(sandbox.clone(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("modelcheck.py"), MODELCHECK).unwrap();
        fs::write(home.path().join("config"), "[plugins]\nmodelcheck = modelcheck\n").unwrap();
        Some(Self { sandbox, door, python, home })
    }

    /// The sandbox's time, plus so many minutes, as the CLI takes it.
    pub(crate) fn minutes_from_now(&self, minutes: i64) -> String {
        let at = self.sandbox.now() + SignedDuration::from_mins(minutes);
        at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Lets time pass as whoever holds the door's address does it.
    pub(crate) async fn jump(&self, by: &str) {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let body = Full::new(Bytes::from(serde_json::json!({ "jump": by }).to_string()));
        let request = Request::post(format!("{}/_sandbox/clock", self.door.url())).body(body).unwrap();
        assert_eq!(client.request(request).await.unwrap().status(), StatusCode::OK);
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
            .env("AWS_ENDPOINT_URL", self.door.url())
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

    /// Closes the door after every request of the sandbox's log was held against the model without a finding.
    pub(crate) async fn close_in_accordance(self) {
        let checked = self.checked();
        let findings: Vec<_> = checked.iter().filter(|one| !one.findings.is_empty()).collect();
        assert!(findings.is_empty(), "{findings:#?}");
        assert_eq!(checked.len(), self.sandbox.requests().len(), "every response was checked");
        self.door.close().await;
    }
}
