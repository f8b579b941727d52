//! Closed minutes of the load balancer's metrics, and alarms: for all releases together.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types as cw;
use jiff::Timestamp;
use tidegate_model::{
    Fact, MetricName, ReleaseName,
    observation::{Alarm, Color, Counts, Minute, Needs, Observation, TargetGroup},
    spec::{MetricCheck, PLACEHOLDERS},
};

use crate::{Aws, budget::Bucket, call::Operation, parameters::instant};

/// Queries in one GetMetricData call. Source: the CloudWatch model.
const QUERIES_A_CALL: usize = 500;
/// Alarm names in one DescribeAlarms call.
const ALARMS_A_CALL: usize = 100;
/// A minute is asked for only when it ended at least this long ago: before that CloudWatch has seldom published it. The
/// delay is not documented.
const PUBLICATION_SECONDS: i64 = 60;

/// The percentiles of the response time that say what is slow.
const QUANTILES: [&str; 2] = ["p90", "p99"];

const DATA: Operation =
    Operation { service: "cloudwatch", name: "GetMetricData", bucket: Bucket::CloudWatch };
const ALARMS: Operation = Operation { service: "cloudwatch", name: "DescribeAlarms", bucket: Bucket::Alarms };

/// What one query's answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    Requests(TargetGroup),
    Failures(TargetGroup),
    Latency(TargetGroup),
    Unhealthy(TargetGroup),
    /// The response time's first or second percentile.
    Quantile(TargetGroup, usize),
    /// Requests above the first or second threshold of slowness.
    Slow(TargetGroup, usize),
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
    stat: cw::MetricStat,
    minutes: u32,
}

/// Values by minute start in seconds.
type Series = BTreeMap<i64, f64>;

impl Aws {
    /// Closed minutes of every release that needs them, oldest first, minutes without data included.
    pub(super) async fn minutes(
        &self,
        needs: &BTreeMap<ReleaseName, Needs>,
        seen: &BTreeMap<ReleaseName, Observation>,
        now: Timestamp,
    ) -> BTreeMap<ReleaseName, Fact<Vec<Minute>>> {
        let mut queries: Vec<Query> = needs
            .iter()
            .filter_map(|(release, need)| Some(self.queries(release, need, seen.get(release)?)))
            .flatten()
            .collect();
        let end = (now.as_second() - PUBLICATION_SECONDS).div_euclid(60) * 60;
        let mut all: BTreeMap<ReleaseName, Fact<Vec<Minute>>> = needs
            .iter()
            .filter(|(_, need)| need.minutes.is_some())
            .map(|(release, need)| (release.clone(), Fact::Known(empty_minutes(need, end))))
            .collect();
        // A call has one range for all its queries, so a long history is not asked for together with short ones.
        queries.sort_by_key(|query| query.minutes);
        let calls =
            queries.chunk_by(|a, b| a.minutes == b.minutes).flat_map(|alike| alike.chunks(QUERIES_A_CALL));
        for chunk in calls {
            let answer = self.series(chunk, end).await;
            for (i, query) in chunk.iter().enumerate() {
                let Some(fact) = all.get_mut(&query.release) else { continue };
                match &answer {
                    Ok(series) => {
                        if let Fact::Known(minutes) = fact {
                            fill(minutes, &query.meaning, series.get(&i).unwrap_or(&Series::new()));
                        }
                    }
                    Err(failure) => *fact = Fact::Unknown(failure.why()),
                }
            }
        }
        all
    }

    fn queries(&self, release: &ReleaseName, need: &Needs, seen: &Observation) -> Vec<Query> {
        let (Some(minutes), Some(group)) = (&need.minutes, seen.group.known()) else { return vec![] };
        let query = |meaning, stat| Query { release: release.clone(), meaning, stat, minutes: minutes.count };
        let mut all = vec![];
        for target_group in &group.target_groups {
            let Some(balancer) = self.balancer_of(target_group) else { continue };
            let stats = group_stats(&balancer, target_group, minutes.slow);
            all.extend(stats.into_iter().map(|(meaning, stat)| query(meaning, stat)));
        }
        if let Some(instance) = &minutes.connections_of {
            let dimensions = [("DBInstanceIdentifier", instance.as_str())];
            all.push(query(
                Meaning::Connections,
                stat("AWS/RDS", "DatabaseConnections", "Average", &dimensions),
            ));
        }
        for (name, metric) in &minutes.metrics {
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
    fn own_stat(&self, check: &MetricCheck, word: &str, color: &Color) -> Option<cw::MetricStat> {
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
        Some(stat(&check.namespace, &check.metric, &check.statistic, &dimensions))
    }

    /// The answers of up to 500 queries, by their position.
    async fn series(
        &self,
        queries: &[Query],
        end: i64,
    ) -> Result<BTreeMap<usize, Series>, crate::error::Failure> {
        let most = queries.iter().map(|query| query.minutes).max().unwrap_or(0);
        let start = end - i64::from(most) * 60;
        let wire: Vec<cw::MetricDataQuery> = queries
            .iter()
            .enumerate()
            .map(|(i, query)| {
                cw::MetricDataQuery::builder().id(format!("q{i}")).metric_stat(query.stat.clone()).build()
            })
            .collect();
        let mut all: BTreeMap<usize, Series> = BTreeMap::new();
        let mut token: Option<String> = None;
        loop {
            let request = self
                .read
                .cloudwatch
                .get_metric_data()
                .start_time(aws_smithy_types::DateTime::from_secs(start))
                .end_time(aws_smithy_types::DateTime::from_secs(end))
                .set_metric_data_queries(Some(wire.clone()))
                .set_next_token(token.take());
            let output = self.calls.call(DATA, request.send()).await?;
            for result in output.metric_data_results() {
                let index = result.id().and_then(|id| id.strip_prefix('q')?.parse::<usize>().ok());
                let Some(index) = index else { continue };
                let series = all.entry(index).or_default();
                for (time, value) in result.timestamps().iter().zip(result.values()) {
                    if let Some(at) = instant(time) {
                        series.insert(at.as_second(), *value);
                    }
                }
            }
            token = output.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    /// The alarms of every group that is asked for: all of a release's, or unknown.
    pub(super) async fn alarms(
        &self,
        needs: &BTreeMap<ReleaseName, Needs>,
        seen: &BTreeMap<ReleaseName, Observation>,
    ) -> BTreeMap<ReleaseName, Fact<Vec<Alarm>>> {
        let wanted: BTreeMap<&ReleaseName, &[String]> = needs
            .iter()
            .filter(|(_, need)| need.alarms)
            .filter_map(|(release, _)| Some((release, &seen.get(release)?.group.known()?.alarms[..])))
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
            let request = self.read.cloudwatch.describe_alarms().set_alarm_names(Some(chunk.to_vec()));
            match self.calls.call(ALARMS, request.send()).await {
                Ok(output) => found.extend(output.metric_alarms().iter().filter_map(read_alarm)),
                Err(error) => failure = Some(error.why()),
            }
        }
        let fact = |names: &[String]| match failure {
            Some(why) => Fact::Unknown(why),
            None => Fact::Known(found.iter().filter(|alarm| names.contains(&alarm.name)).cloned().collect()),
        };
        wanted.into_iter().map(|(release, names)| (release.clone(), fact(names))).collect()
    }
}

fn read_alarm(alarm: &cw::MetricAlarm) -> Option<Alarm> {
    Some(Alarm {
        name: alarm.alarm_name()?.to_owned(),
        red: alarm.state_value() == Some(&cw::StateValue::Alarm),
    })
}

fn empty_minutes(need: &Needs, end: i64) -> Vec<Minute> {
    let count = need.minutes.as_ref().map_or(0, |minutes| i64::from(minutes.count));
    let starts = (1..=count).rev().map(|back| end - back * 60);
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

/// The tail of an ARN, as the dimensions have it: `app/name/id`, `targetgroup/name/id`.
fn dimension(arn: &str) -> &str {
    let resource = arn.rsplit(':').next().unwrap_or(arn);
    resource.strip_prefix("loadbalancer/").unwrap_or(resource)
}

/// The queries of one target group. While it is not known what is slow here, the percentiles that will say so.
fn group_stats(
    balancer: &str,
    group: &TargetGroup,
    slow: Option<[f64; 2]>,
) -> Vec<(Meaning, cw::MetricStat)> {
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
        (Meaning::Failures(of()), alb("HTTPCode_Target_5XX_Count", "Sum")),
        (Meaning::Failures(of()), alb("TargetConnectionErrorCount", "Sum")),
        (Meaning::Latency(of()), alb("TargetResponseTime", "p95")),
        (Meaning::Unhealthy(of()), alb("UnHealthyHostCount", "Minimum")),
        time(0),
        time(1),
    ]
}

fn alb_stat(metric: &str, statistic: &str, balancer: &str, group: &TargetGroup) -> cw::MetricStat {
    let dimensions = [("LoadBalancer", dimension(balancer)), ("TargetGroup", dimension(&group.0))];
    stat("AWS/ApplicationELB", metric, statistic, &dimensions)
}

fn stat(namespace: &str, metric: &str, statistic: &str, dimensions: &[(&str, &str)]) -> cw::MetricStat {
    let dimensions =
        dimensions.iter().map(|(name, value)| cw::Dimension::builder().name(*name).value(*value).build());
    let metric = cw::Metric::builder()
        .namespace(namespace)
        .metric_name(metric)
        .set_dimensions(Some(dimensions.collect()))
        .build();
    cw::MetricStat::builder().metric(metric).period(60).stat(statistic).build()
}
