//! What CloudWatch counted behind the load balancer, by target group and minute.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::{
    Client as CloudWatch,
    types::{Dimension, Statistic},
};
use jiff::{SignedDuration, Timestamp};

use super::{stage::Stage, watch::Seen};
use crate::exit::Failure;

/// Requests and target errors of each group in each minute, as CloudWatch has them.
pub(crate) struct Counts {
    pub(crate) requests: BTreeMap<String, BTreeMap<Timestamp, f64>>,
    pub(crate) errors: BTreeMap<String, BTreeMap<Timestamp, f64>>,
}

/// A share of a minute's requests.
pub(super) struct Served {
    pub(super) share: f64,
    pub(super) requests: f64,
}

#[derive(Debug, thiserror::Error)]
#[error("read {metric} from CloudWatch")]
struct Unread {
    metric: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Counts {
    /// Reads those of every group that was seen behind the production listener.
    pub(crate) async fn read(stage: &Stage, seen: &Seen) -> Result<Self, Failure> {
        let client = CloudWatch::new(stage.people.config());
        let now = stage.local.sandbox.now();
        let groups: std::collections::BTreeSet<&String> =
            seen.weights.iter().flat_map(|(_, weights)| weights.keys()).collect();
        let balancer = stage.load_balancer();
        let mut counts = Self { requests: BTreeMap::new(), errors: BTreeMap::new() };
        for group in groups {
            counts
                .requests
                .insert(group.clone(), sums(&client, "RequestCount", &balancer, group, now).await?);
            counts.errors.insert(
                group.clone(),
                sums(&client, "HTTPCode_Target_5XX_Count", &balancer, group, now).await?,
            );
        }
        Ok(counts)
    }

    pub(super) fn first_failing(&self, from: Timestamp) -> Option<Timestamp> {
        let minutes = self.errors.values().flatten().filter(|(at, errors)| **at >= from && **errors > 0.0);
        minutes.map(|(at, _)| *at).min()
    }

    /// Requests a minute of all groups together, in the whole minutes between two times; 0 if there is none.
    pub(crate) fn a_minute(&self, from: Timestamp, until: Timestamp) -> f64 {
        let minute = SignedDuration::from_mins(1);
        let mut totals: BTreeMap<Timestamp, f64> = BTreeMap::new();
        for (at, requests) in self.requests.values().flatten() {
            if *at >= from && *at + minute <= until {
                *totals.entry(*at).or_default() += requests;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "few minutes")]
        let minutes = totals.len().max(1) as f64;
        totals.values().sum::<f64>() / minutes
    }

    /// Share of a minute's requests that the other groups served.
    pub(super) fn share_besides(&self, minute: Timestamp, blue: &str) -> Option<Served> {
        let at = |group: &BTreeMap<Timestamp, f64>| group.get(&minute).copied().unwrap_or(0.0);
        let requests: f64 = self.requests.values().map(at).sum();
        let besides: f64 = self.requests.iter().filter(|(group, _)| *group != blue).map(|(_, g)| at(g)).sum();
        (requests > 0.0).then(|| Served { share: besides / requests, requests })
    }
}

async fn sums(
    client: &CloudWatch,
    metric: &'static str,
    balancer: &str,
    group: &str,
    now: Timestamp,
) -> Result<BTreeMap<Timestamp, f64>, Failure> {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let asked = client
        .get_metric_statistics()
        .namespace("AWS/ApplicationELB")
        .metric_name(metric)
        .dimensions(dimension("LoadBalancer", balancer))
        .dimensions(dimension("TargetGroup", group.rsplit(':').next().unwrap_or(group)))
        .start_time(time(now - SignedDuration::from_hours(12)))
        .end_time(time(now))
        .period(60)
        .statistics(Statistic::Sum)
        .send();
    let answer = asked.await.map_err(|e| Failure::internal(Unread { metric, source: e.into() }))?;
    let points = answer.datapoints().iter().filter_map(|point| {
        let at = Timestamp::from_second(point.timestamp()?.secs()).ok()?;
        Some((at, point.sum()?))
    });
    Ok(points.collect())
}

fn time(at: Timestamp) -> aws_sdk_cloudwatch::primitives::DateTime {
    aws_sdk_cloudwatch::primitives::DateTime::from_secs(at.as_second())
}
