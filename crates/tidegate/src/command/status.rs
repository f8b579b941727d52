//! `tidegate status`: a daemon's releases in one line each, or one release with what it waits for.

use jiff::Timestamp;
use reqwest::StatusCode;
use serde::Deserialize;
use tidegate_model::{
    ReleaseName,
    duration::human,
    status::ReleaseStatus,
    waiting::{OnDeadline, Waiting},
};

use crate::{
    cli::{Output, StatusArgs},
    command::ask,
    exit::{Exit, Failure},
};

#[derive(Deserialize)]
struct ReleaseList {
    releases: Vec<ReleaseStatus>,
}

#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("the name is not a release's: [a-z0-9][a-z0-9-]{{0,62}}")]
    Name,
    #[error("the daemon answered {0}")]
    Refused(StatusCode),
    #[error("the daemon's answer is not a status of this version")]
    NotAStatus(#[source] serde_json::Error),
    #[error("read the daemon's answer")]
    Broken(#[source] reqwest::Error),
}

pub(super) async fn run(args: &StatusArgs) -> Result<Exit, Failure> {
    let path = match &args.name {
        Some(name) => {
            let name: ReleaseName = name.parse().map_err(|_| Failure::usage(StatusError::Name))?;
            format!("/api/v1/releases/{name}")
        }
        None => "/api/v1/releases".to_owned(),
    };
    let answer = ask::get(&args.url, &path).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => {
            eprintln!("tidegate: no such release");
            return Ok(Exit::NotFound);
        }
        other => return Err(Failure::internal(StatusError::Refused(other))),
    }
    let text = answer.text().await.map_err(|e| Failure::internal(StatusError::Broken(e)))?;
    let read = |error| Failure::internal(StatusError::NotAStatus(error));
    match (args.output, &args.name) {
        (Output::Json, _) => {
            let value: serde_json::Value = serde_json::from_str(&text).map_err(read)?;
            println!("{value:#}");
        }
        (Output::Text, Some(_)) => print!("{}", one(&serde_json::from_str(&text).map_err(read)?)),
        (Output::Text, None) => {
            let list: ReleaseList = serde_json::from_str(&text).map_err(read)?;
            print!("{}", all(&list.releases));
        }
    }
    Ok(Exit::Done)
}

fn all(releases: &[ReleaseStatus]) -> String {
    let mut rows =
        vec![["RELEASE", "STATE", "ROLLOUT", "GREEN", "SCHEMA", "ROLLBACK", "WAITS FOR"].map(str::to_owned)];
    rows.extend(releases.iter().map(|status| {
        let rollout = &status.rollout;
        [
            status.name.to_string(),
            status.summary.as_str().to_owned(),
            rollout.phase.clone(),
            rollout.green_weight.map_or("-".to_owned(), |weight| format!("{weight} %")),
            status.schema.as_ref().map_or("-".to_owned(), |schema| schema.phase.clone()),
            status.rollback.grade.as_str().to_owned(),
            status.waiting.first().map_or("-".to_owned(), |wait| wait.message.clone()),
        ]
    }));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 7]| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn one(status: &ReleaseStatus) -> String {
    let rollout = &status.rollout;
    let mut lines = vec![
        format!("{}: {} ({})", status.name, status.summary.as_str(), rollout.phase),
        format!("  service   {} in {}, engine {}", rollout.service, rollout.cluster, rollout.engine),
    ];
    if let Some(leader) = &status.led_by {
        lines.push(format!("  led by    {leader}"));
    }
    for (label, revision) in [("blue", &rollout.blue), ("green", &rollout.green)] {
        if let Some(revision) = revision {
            lines.push(format!("  {label:9} {revision}"));
        }
    }
    if let Some(weight) = rollout.green_weight {
        lines.push(format!("  traffic   green has {weight} %"));
    }
    if let Some(cause) = &rollout.cause {
        lines.push(format!("  went back {cause}"));
    }
    if let Some(calibration) = &rollout.calibration {
        lines.push(format!("  history   {}", calibration.message));
    }
    if let Some(schema) = &status.schema {
        lines.push(format!("  schema    {}: {} (plan {})", schema.change, schema.phase, schema.plan));
        lines.extend(schema.locked.iter().map(|told| format!("  locked    {told}")));
    }
    lines.push(format!("  rollback  {}: {}", status.rollback.grade.as_str(), status.rollback.how));
    lines.extend(status.problems.iter().map(|problem| format!("  refused   {problem}")));
    if status.waiting.is_empty() {
        lines.push("  waits for nothing".to_owned());
    }
    lines.extend(status.waiting.iter().flat_map(|wait| waits(wait, status.observed_at)));
    for event in status.events.iter().rev().take(5) {
        lines.push(format!("  {}  {}: {}", event.at.strftime("%F %T"), event.reason, event.message));
    }
    lines.join("\n") + "\n"
}

/// The waiting record: why, since when, until when, and what unblocks it.
fn waits(wait: &Waiting, now: Timestamp) -> Vec<String> {
    let mut lines = vec![format!(
        "  waits     {} [{}] since {}",
        wait.message,
        wait.reason.as_str(),
        human(now.duration_since(wait.since))
    )];
    if let Some(deadline) = wait.deadline {
        let then = match wait.on_deadline {
            OnDeadline::RollBack => "then Tidegate rolls back",
            OnDeadline::Continue => "then it goes on",
            OnDeadline::Stall => "then it stays as it is",
        };
        lines.push(format!("            until {}, {then}", deadline.strftime("%F %T")));
    }
    if !wait.unblock.is_empty() {
        lines.push(format!("            to go on: {}", wait.unblock));
    }
    lines
}
