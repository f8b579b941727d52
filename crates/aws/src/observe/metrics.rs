//! Closed minutes of the load balancer's metrics, and alarms: for all releases together.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types as cw;
use jiff::Timestamp;
use tidegate_model::{
    Fact, MetricName, ReleaseName,
    observation::{Alarm, Color, Counts, Minute, MinutesNeeds, Needs, Observation, TargetGroup},
    spec::{MetricCheck, PLACEHOLDERS},
};

use super::points::{Series, Stat};
use crate::{Aws, budget::Bucket, call::Operation};

/// Alarm names in one DescribeAlarms call.
const ALARMS_A_CALL: usize = 100;
/// A minute is asked for once it ended so long ago; before that CloudWatch has seldom published it. The delay is not documented,
/// and a longer wait would leave less to be corrected, but it would let every bad release serve for longer. What comes late
/// heals by itself: with the next minute all of them are read and judged anew. Only going back cannot be healed, so the newest
/// minute is left out while it looks unfinished.
const PUBLICATION_SECONDS: i64 = 60;

/// The percentiles of the response time that say what is slow.
const QUANTILES: [&str; 2] = ["p90", "p99"];

const ALB: &str = "AWS/ApplicationELB";

/// Metrics of failed requests: both are reported only when they are not zero.
pub(super) const FAILURES: [&str; 2] = ["HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"];

const ALARMS: Operation = Operation { service: "cloudwatch", name: "DescribeAlarms", bucket: Bucket::Alarms };

/// What one query's answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    Requests(TargetGroup),
    Failures(TargetGroup),
    Latency(TargetGroup),
    Unhealthy(TargetGroup),
    Healthy(TargetGroup),
    /// The response time's first or second percentile.
    Quantile(TargetGroup, usize),
    /// Requests above the first or second threshold of slowness.
    Slow(TargetGroup, usize),
    /// Of the whole load balancer: its requests, and what it answered itself with 5xx.
    BalancerRequests,
    BalancerErrors,
    Connections,
    /// A team's own metric, of blue or of green.
    Own(MetricName, Side),
}

/// Whose value a team's own metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Blue,
    Green,
}

/// A query of a release.
struct Query {
    release: ReleaseName,
    meaning: Meaning,
    stat: Stat,
    minutes: u32,
}

/// The end of the last closed minute, in seconds.
pub(super) fn closed_until(now: Timestamp) -> i64 {
    (now.as_second() - PUBLICATION_SECONDS).div_euclid(60) * 60
}

impl Aws {
    /// Closed minutes of every release that needs them, oldest first, minutes without data included.
    pub(super) async fn minutes(
        &self,
        needs: &BTreeMap<ReleaseName, Needs>,
        seen: &BTreeMap<ReleaseName, Observation>,
        now: Timestamp,
    ) -> BTreeMap<ReleaseName, Fact<Vec<Minute>>> {
        let end = closed_until(now);
        let mut all = BTreeMap::new();
        let mut queries: Vec<Query> = vec![];
        for (release, need) in needs {
            let (Some(minutes), Some(seen)) = (&need.minutes, seen.get(release)) else { continue };
            // A group that is not known has no metrics that could be asked for, and that is not silence.
            let fact = seen.group.as_ref().map(|group| {
                queries.extend(self.queries(release, minutes, &group.target_groups));
                empty_minutes(minutes, end)
            });
            all.insert(release.clone(), fact);
        }
        let mut wanted: BTreeMap<Stat, u32> = BTreeMap::new();
        for query in &queries {
            let minutes = wanted.entry(query.stat.clone()).or_default();
            *minutes = query.minutes.max(*minutes);
        }
        let answers = self.recent_points(&wanted, end).await;
        for query in &queries {
            let Some(fact) = all.get_mut(&query.release) else { continue };
            match (answers.get(&query.stat), &mut *fact) {
                (Some(Ok(series)), Fact::Known(minutes)) => fill(minutes, &query.meaning, series),
                (Some(Err(failure)), _) => *fact = Fact::Unknown(failure.why()),
                (Some(Ok(_)) | None, _) => {}
            }
        }
        for fact in all.values_mut() {
            if let Fact::Known(minutes) = fact {
                leave_unfinished(minutes);
            }
        }
        all
    }

    fn queries(&self, release: &ReleaseName, minutes: &MinutesNeeds, groups: &[TargetGroup]) -> Vec<Query> {
        let query = |meaning, stat| Query { release: release.clone(), meaning, stat, minutes: minutes.count };
        let mut all = vec![];
        // The groups of a deployment group hang on one load balancer.
        if let Some(balancer) = groups.iter().find_map(|group| self.balancer_of(group)) {
            let whole = |metric| {
                let dimensions = [("LoadBalancer", dimension(&balancer))];
                Stat::new("AWS/ApplicationELB", metric, "Sum", &dimensions)
            };
            all.push(query(Meaning::BalancerRequests, whole("RequestCount")));
            all.push(query(Meaning::BalancerErrors, whole("HTTPCode_ELB_5XX_Count")));
        }
        for target_group in groups {
            let Some(balancer) = self.balancer_of(target_group) else { continue };
            let stats = group_stats(&balancer, target_group, minutes.slow);
            all.extend(stats.into_iter().map(|(meaning, stat)| query(meaning, stat)));
        }
        if let Some(instance) = &minutes.connections_of {
            let dimensions = [("DBInstanceIdentifier", instance.as_str())];
            all.push(query(
                Meaning::Connections,
                Stat::new("AWS/RDS", "DatabaseConnections", "Average", &dimensions),
            ));
        }
        // An alarm is no metric; its state is read apart.
        let own = minutes.metrics.iter().filter(|(_, metric)| metric.check.judge.alarm().is_none());
        for (name, metric) in own {
            let sides = [
                (Side::Blue, "blue", metric.check.judge.compares().then_some(&metric.blue)),
                (Side::Green, "green", metric.green.as_ref()),
            ];
            for (side, word, color) in sides {
                let own = color.and_then(|color| self.own_stat(&metric.check, word, color));
                all.extend(own.map(|stat| query(Meaning::Own(name.clone(), side), stat)));
            }
        }
        all
    }

    /// A team's own metric for one color; `None` while its load balancer is not known.
    pub(super) fn own_stat(&self, check: &MetricCheck, word: &str, color: &Color) -> Option<Stat> {
        let [word_holder, definition_holder, group_holder, balancer_holder] = PLACEHOLDERS;
        let mut dimensions: Vec<(&str, String)> = vec![];
        for (name, value) in &check.dimensions {
            let mut value = value.replace(word_holder, word);
            value = value.replace(definition_holder, color.revision.short());
            value = value.replace(group_holder, dimension(&color.group.0));
            if value.contains(balancer_holder) {
                value = value.replace(balancer_holder, dimension(&self.balancer_of(&color.group)?));
            }
            dimensions.push((name, value));
        }
        let dimensions: Vec<(&str, &str)> = dimensions.iter().map(|(n, v)| (*n, v.as_str())).collect();
        Some(Stat::new(&check.namespace, &check.metric, &check.statistic, &dimensions))
    }

    /// The alarms of every group that is asked for: all of a release's, or unknown.
    pub(super) async fn alarms(
        &self,
        needs: &BTreeMap<ReleaseName, Needs>,
        seen: &BTreeMap<ReleaseName, Observation>,
    ) -> BTreeMap<ReleaseName, Fact<Vec<Alarm>>> {
        let wanted: BTreeMap<&ReleaseName, Vec<String>> = needs
            .iter()
            .filter(|(_, need)| need.alarms)
            .filter_map(|(release, need)| {
                let of_group = &seen.get(release)?.group.known()?.alarms;
                Some((release, of_group.iter().chain(&need.own_alarms).cloned().collect()))
            })
            .collect();
        let names: Vec<String> = wanted
            .values()
            .flat_map(|names| names.iter().cloned())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut found: Vec<Alarm> = vec![];
        let mut failure = None;
        for chunk in names.chunks(ALARMS_A_CALL) {
            let request = self
                .read
                .cloudwatch
                .describe_alarms()
                .set_alarm_names(Some(chunk.to_vec()))
                .alarm_types(cw::AlarmType::MetricAlarm)
                .alarm_types(cw::AlarmType::CompositeAlarm)
                .max_records(ALARMS_A_CALL as i32);
            match self.calls.call(ALARMS, request.send()).await {
                Ok(output) => {
                    let metric = output.metric_alarms().iter();
                    found.extend(metric.filter_map(|one| alarm(one.alarm_name(), one.state_value())));
                    let composite = output.composite_alarms().iter();
                    found.extend(composite.filter_map(|one| alarm(one.alarm_name(), one.state_value())));
                }
                Err(error) => failure = Some(error.why()),
            }
        }
        let fact = |names: &[String]| match failure {
            Some(why) => Fact::Unknown(why),
            None => Fact::Known(found.iter().filter(|alarm| names.contains(&alarm.name)).cloned().collect()),
        };
        wanted.into_iter().map(|(release, names)| (release.clone(), fact(&names))).collect()
    }
}

fn alarm(name: Option<&str>, state: Option<&cw::StateValue>) -> Option<Alarm> {
    Some(Alarm { name: name?.to_owned(), red: state == Some(&cw::StateValue::Alarm) })
}

fn empty_minutes(minutes: &MinutesNeeds, end: i64) -> Vec<Minute> {
    let starts = (1..=i64::from(minutes.count)).rev().map(|back| end - back * 60);
    starts
        .filter_map(|at| Some(Minute { at: Timestamp::from_second(at).ok()?, ..Minute::default() }))
        .collect()
}

fn fill(minutes: &mut [Minute], meaning: &Meaning, series: &Series) {
    for minute in minutes {
        let Some(value) = series.get(&minute.at.as_second()).copied() else { continue };
        let groups = &mut minute.groups;
        let mut counts = |group: &TargetGroup, set: &dyn Fn(&mut Counts)| {
            set(groups.entry(group.clone()).or_default());
        };
        match meaning {
            Meaning::Requests(group) => counts(group, &|c| c.requests = Some(value)),
            Meaning::Failures(group) => counts(group, &|c| c.failures += value),
            Meaning::Latency(group) => counts(group, &|c| c.latency = Some(value)),
            Meaning::Unhealthy(group) => counts(group, &|c| c.unhealthy = Some(value)),
            Meaning::Healthy(group) => counts(group, &|c| c.healthy = Some(value)),
            Meaning::BalancerRequests => minute.balancer_requests = Some(value),
            Meaning::BalancerErrors => minute.balancer_errors = Some(value),
            Meaning::Quantile(group, which) => counts(group, &|c| c.quantiles[*which] = Some(value)),
            // A trimmed count may be a fraction where CloudWatch keeps a distribution instead of every value.
            Meaning::Slow(group, which) => counts(group, &|c| c.slow[*which] = Some(value.round())),
            Meaning::Connections => minute.connections = Some(value),
            Meaning::Own(name, side) => {
                let sides = minute.metrics.entry(name.clone()).or_default();
                match side {
                    Side::Blue => sides.blue = Some(value),
                    Side::Green => sides.green = Some(value),
                }
            }
        }
    }
}

/// Leaves out the newest minute if a group has failures in it and no requests: its nodes may not have reported all yet, and
/// it would look as if everything failed. If everything does, it is seen a minute later.
fn leave_unfinished(minutes: &mut Vec<Minute>) {
    let unfinished = |counts: &Counts| counts.failures > 0.0 && counts.requests.is_none();
    minutes.pop_if(|newest| newest.groups.values().any(unfinished));
}

/// The tail of an ARN, as the dimensions have it: `app/name/id`, `targetgroup/name/id`.
fn dimension(arn: &str) -> &str {
    let resource = arn.rsplit(':').next().unwrap_or(arn);
    resource.strip_prefix("loadbalancer/").unwrap_or(resource)
}

/// The queries of one target group. While it is not known what is slow here, the percentiles that will say so.
fn group_stats(balancer: &str, group: &TargetGroup, slow: Option<[f64; 2]>) -> Vec<(Meaning, Stat)> {
    let alb = |metric: &str, statistic: &str| alb_stat(metric, statistic, balancer, group);
    let of = || group.clone();
    let time = |which: usize| {
        let (meaning, statistic) = match slow {
            None => (Meaning::Quantile(of(), which), QUANTILES[which].to_owned()),
            // Lower bounds are exclusive (source: CloudWatch statistics definitions, trimmed count).
            Some(thresholds) => (Meaning::Slow(of(), which), format!("TC({}:)", thresholds[which])),
        };
        (meaning, alb("TargetResponseTime", &statistic))
    };
    vec![
        (Meaning::Requests(of()), alb("RequestCount", "Sum")),
        (Meaning::Failures(of()), alb(FAILURES[0], "Sum")),
        (Meaning::Failures(of()), alb(FAILURES[1], "Sum")),
        (Meaning::Latency(of()), alb("TargetResponseTime", "p95")),
        (Meaning::Unhealthy(of()), alb("UnHealthyHostCount", "Minimum")),
        (Meaning::Healthy(of()), alb("HealthyHostCount", "Maximum")),
        time(0),
        time(1),
    ]
}

/// A statistic of a target group's metric.
pub(super) fn alb_stat(metric: &str, statistic: &str, balancer: &str, group: &TargetGroup) -> Stat {
    let dimensions = [("LoadBalancer", dimension(balancer)), ("TargetGroup", dimension(&group.0))];
    Stat::new(ALB, metric, statistic, &dimensions)
}

/// The same of one availability zone alone.
pub(super) fn zone_stat(metric: &str, balancer: &str, group: &TargetGroup, zone: &str) -> Stat {
    let (balancer, group) = (dimension(balancer), dimension(&group.0));
    let dimensions = [("AvailabilityZone", zone), ("LoadBalancer", balancer), ("TargetGroup", group)];
    Stat::new(ALB, metric, "Sum", &dimensions)
}
