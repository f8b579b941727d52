//! Releasing the versions: each service gets a stage of its own, time to make a history, and then its versions one by one.

use std::{collections::BTreeMap, path::Path, time::Duration};

use aws_sdk_cloudwatch::{
    Client as CloudWatch,
    types::{Datapoint, Dimension, Statistic},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate_model::status::{ReleaseStatus, Summary};

use super::{
    report::{Outcome, Release},
    versions::{Service, Version},
};
use crate::{
    cli::VerdictsArgs,
    demo::{Counts, Setting, Stage, Teller, Timeline},
    exit::Failure,
    local::story::INSTANCE,
};

/// Of a hundred requests so many are checkouts.
const CHECKOUT_PERCENT: u32 = 20;
/// Checkouts are published so often in each minute of the world: often enough that a minute's count is that minute's.
const PUBLISHED_A_MINUTE: f64 = 10.0;
/// No release takes longer, in minutes of the world: provisioning, the ramp, the bake, retiring.
const LONGEST: u32 = 90;

#[derive(Debug, thiserror::Error)]
enum PlayError {
    #[error("the world has no secret of Tidegate's own")]
    NoSecret,
    #[error("{version} never got any traffic")]
    NoTraffic { version: &'static str },
    #[error("read the number of connections from CloudWatch")]
    Connections(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Releases all of them.
pub(super) async fn all(
    args: &VerdictsArgs,
    versions: &[&'static Version],
    timeline: &Timeline,
) -> Result<Vec<Release>, Failure> {
    let mut releases = vec![];
    for service in Service::ALL {
        let of_service: Vec<_> = versions.iter().filter(|version| version.service == service).collect();
        if of_service.is_empty() {
            continue;
        }
        timeline.scene(service.describe());
        let setting = Setting {
            speed: args.speed,
            rate: args.rate,
            checkout_percent: CHECKOUT_PERCENT,
            listen: args.listen,
            environment: service.environment(publish_every(args.speed)),
        };
        let stage = Stage::start(&setting, timeline).await?;
        history(&stage, timeline, args.history).await;
        let limit = Duration::from_secs(u64::from(LONGEST * 60 / args.speed));
        let mut teller = Teller::new(&stage, timeline, limit);
        for (spec, version) in (1..).zip(of_service) {
            releases.push(release(&stage, &mut teller, timeline, (version, spec), args.speed).await?);
            timeline.part_done();
        }
        stage.stop().await;
    }
    Ok(releases)
}

/// Real seconds between two counts of checkouts.
fn publish_every(speed: u32) -> f64 {
    60.0 / PUBLISHED_A_MINUTE / f64::from(speed)
}

/// Lets customers make a history, by which the service is judged.
async fn history(stage: &Stage, timeline: &Timeline, minutes: u32) {
    timeline.note(&format!("{minutes} minutes of the world's time make a history"));
    let end = stage.local.sandbox.now() + SignedDuration::from_mins(i64::from(minutes));
    while stage.local.sandbox.now() < end {
        let left = end.duration_since(stage.local.sandbox.now()).as_mins();
        timeline.now(format!("history: {left} minutes to go, {} requests so far", stage.traffic().sent));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn release(
    stage: &Stage,
    teller: &mut Teller<'_>,
    timeline: &Timeline,
    (version, spec): (&'static Version, u64),
    speed: u32,
) -> Result<Release, Failure> {
    timeline.scene(&format!("{}: {}", version.name, version.does));
    let (from, before) = (stage.local.sandbox.now(), stage.traffic());
    let text = spec_of(version, stage, speed)?;
    teller.put("spec", &text.to_string()).await?;
    let status = teller.over(version.name, spec).await?;
    let seen = stage.watch.seen();
    let (first, green) = seen
        .first_weight_since(from)
        .ok_or_else(|| Failure::internal(PlayError::NoTraffic { version: version.name }))?;
    let until = decided(stage, &status, from);
    let counts = Counts::read(stage, &seen).await?;
    let lost = stage.traffic().lost - before.lost;
    let release = Release {
        version: version.name.to_owned(),
        does: version.does.to_owned(),
        expected: version.expected.into(),
        outcome: Outcome::read(&status),
        minutes: until.duration_since(first).as_secs_f64() / 60.0,
        requests_a_minute: counts.a_minute(first, until),
        green_requests: of(&counts.requests, &green, first, until),
        failed: of(&counts.errors, &green, first, until),
        lost_checkouts: lost,
        most_connections: connections(stage, first, until).await?,
    };
    timeline.note(&format!("{} {}", if release.is_right() { "✓" } else { "✗" }, release.outcome));
    Ok(release)
}

/// When the release was stopped, or had settled.
fn decided(stage: &Stage, status: &ReleaseStatus, from: Timestamp) -> Timestamp {
    let stopped = || {
        let audit = stage.local.sandbox.audit();
        audit.iter().rev().find(|e| e.operation == "StopDeployment" && e.at >= from).map(|entry| entry.at)
    };
    match status.summary {
        Summary::RolledBack => stopped().unwrap_or(status.observed_at),
        Summary::Healthy
        | Summary::Progressing
        | Summary::Waiting
        | Summary::Held
        | Summary::RollingBack
        | Summary::Invalid
        | Summary::Unknown => status.observed_at,
    }
}

/// A group's sum over the minutes that begin in `[from, until]`, and the one that holds `from`.
fn of(
    counted: &BTreeMap<String, BTreeMap<Timestamp, f64>>,
    group: &str,
    from: Timestamp,
    until: Timestamp,
) -> f64 {
    let minutes = counted.get(group).into_iter().flat_map(|minutes| minutes.range(..=until));
    minutes.filter(|(at, _)| **at + SignedDuration::from_mins(1) > from).map(|(_, n)| n).sum()
}

/// Most connections that the database had in that time.
async fn connections(stage: &Stage, from: Timestamp, until: Timestamp) -> Result<f64, Failure> {
    let time = |at: Timestamp| aws_sdk_cloudwatch::primitives::DateTime::from_secs(at.as_second());
    let asked = CloudWatch::new(stage.people.config())
        .get_metric_statistics()
        .namespace("AWS/RDS")
        .metric_name("DatabaseConnections")
        .dimensions(Dimension::builder().name("DBInstanceIdentifier").value(INSTANCE).build())
        .start_time(time(from))
        .end_time(time(until + SignedDuration::from_mins(1)))
        .period(60)
        .statistics(Statistic::Maximum)
        .send();
    let answer = asked.await.map_err(|error| Failure::internal(PlayError::Connections(error.into())))?;
    Ok(answer.datapoints().iter().filter_map(Datapoint::maximum).fold(0.0, f64::max))
}

/// The team's spec of a version.
fn spec_of(version: &Version, stage: &Stage, speed: u32) -> Result<Value, Failure> {
    let secret = stage.local.sandbox.world().secret_arn("tidegate-ecommerce");
    let secret = secret.ok_or_else(|| Failure::internal(PlayError::NoSecret))?;
    Ok(spec(&version.environment(publish_every(speed)), &secret, &stage.migrations))
}

fn spec(environment: &BTreeMap<String, String>, secret: &str, migrations: &Path) -> Value {
    json!({
        "service": { "cluster": "ecommerce", "name": "ecommerce" },
        "revision": { "container": "app", "image": "shop:v1", "environment": environment },
        "traffic": {
            "engine": "codedeploy",
            "application": "ecommerce-bluegreen",
            "deploymentGroup": "ecommerce-bluegreen",
            "shift": { "linear": { "percent": 10, "every": "2m" } },
        },
        "checks": {
            "databaseConnections": {},
            "metrics": {
                "checkouts": {
                    "namespace": "Shop",
                    "metric": "Checkouts",
                    "dimensions": { "Revision": "{taskDefinition}" },
                    "judge": "drop",
                },
            },
        },
        "bake": "5m",
        "schema": {
            "database": { "secret": secret, "instance": INSTANCE },
            "change": "structured-address",
            "source": format!("file://{}", migrations.display()),
            "contract": "never",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spec_of_every_version_is_valid() {
        for version in super::super::versions::VERSIONS {
            let spec = spec(
                &version.environment(publish_every(20)),
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:tidegate-ecommerce-a1b2c3",
                Path::new("/migrations"),
            );
            let read = tidegate_model::spec::read(&spec.to_string());
            assert!(read.is_ok(), "{}: {:#?}", version.name, read.unwrap_err());
        }
    }
}
