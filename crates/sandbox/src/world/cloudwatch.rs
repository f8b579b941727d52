//! Metrics by the minute and alarms that evaluate by the minute.
//!
//! Source: CloudWatch's metrics for Application Load Balancers (which are reported only when not zero), dimensions as
//! exact sets, and the alarm evaluation rules. A closed minute becomes visible after a publication delay.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    World,
    live::{Answer, Served},
};

/// How long metrics are kept here, in minutes. Source: CloudWatch keeps points of one minute for 15 days; it keeps coarser
/// ones longer, which nobody asks for here.
const MINUTES_KEPT: i64 = 15 * 24 * 60;

/// The namespace of load balancer metrics.
pub(crate) const ALB: &str = "AWS/ApplicationELB";

/// The service's state.
#[derive(Clone, Debug)]
pub struct CloudWatch {
    pub(crate) metrics: BTreeMap<MetricKey, BTreeMap<i64, Datum>>,
    pub(crate) alarms: BTreeMap<String, Alarm>,
    /// How long after its end a minute becomes visible.
    pub publication_delay: SignedDuration,
}

impl Default for CloudWatch {
    fn default() -> Self {
        Self {
            metrics: BTreeMap::new(),
            alarms: BTreeMap::new(),
            publication_delay: SignedDuration::from_secs(60),
        }
    }
}

/// A metric: CloudWatch never aggregates over dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MetricKey {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
}

impl MetricKey {
    pub(crate) fn new<const N: usize>(namespace: &str, name: &str, dimensions: [(&str, &str); N]) -> Self {
        let dimensions = dimensions.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self { namespace: namespace.to_owned(), name: name.to_owned(), dimensions }
    }

    /// The same of one availability zone.
    fn in_zone(mut self, zone: &str) -> Self {
        self.dimensions.insert("AvailabilityZone".to_owned(), zone.to_owned());
        self
    }
}

/// A target group's metric, by the tails of the ARNs.
fn of_group(name: &str, load_balancer: &str, group: &str) -> MetricKey {
    MetricKey::new(ALB, name, [("LoadBalancer", load_balancer), ("TargetGroup", group)])
}

/// The values of one minute, ascending, each with how often it was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Datum {
    values: Vec<(f64, f64)>,
    pub unit: &'static str,
}

/// Response times are kept to a tenth of a millisecond: real traffic would otherwise fill memory with single requests.
const PARTS_OF_A_SECOND: f64 = 10_000.0;

impl Datum {
    /// A statistic by CloudWatch's name: Sum, Average, Minimum, Maximum, SampleCount or a percentile `p95`, `p99.9`.
    pub(crate) fn statistic(&self, name: &str) -> Option<f64> {
        let count: f64 = self.values.iter().map(|(_, n)| n).sum();
        if count <= 0.0 {
            return None;
        }
        let sum: f64 = self.values.iter().map(|(v, n)| v * n).sum();
        match name {
            "Sum" => Some(sum),
            "Average" => Some(sum / count),
            "SampleCount" => Some(count),
            "Minimum" => self.values.first().map(|(v, _)| *v),
            "Maximum" => self.values.last().map(|(v, _)| *v),
            _ => match Trimmed::parse(name) {
                Some(trimmed) => trimmed.of(&self.values, count),
                None => self.percentile(name.strip_prefix('p')?.parse().ok()?, count),
            },
        }
    }

    fn percentile(&self, percent: f64, count: f64) -> Option<f64> {
        let mut rest = percent / 100.0 * count;
        for (value, n) in &self.values {
            rest -= n;
            if rest <= 1e-9 {
                return Some(*value);
            }
        }
        self.values.last().map(|(value, _)| *value)
    }

    fn add(&mut self, value: f64, count: f64) {
        match self.values.binary_search_by(|(known, _)| known.total_cmp(&value)) {
            Ok(at) => self.values[at].1 += count,
            Err(at) => self.values.insert(at, (value, count)),
        }
    }

    fn merge(&mut self, other: &Self) {
        for (value, count) in &other.values {
            self.add(*value, *count);
        }
        self.unit = other.unit;
    }
}

/// A statistic over the values between two bounds: `TC(0.5:)`, `PR(:1)`, `TS(0.1:2)`, `TM(:3)`. Bounds in percent are not
/// simulated. Source: CloudWatch statistics definitions: the lower bound is exclusive, the upper inclusive.
pub(crate) struct Trimmed {
    kind: TrimmedKind,
    low: f64,
    high: f64,
}

enum TrimmedKind {
    Count,
    Rank,
    Sum,
    Mean,
}

impl Trimmed {
    /// Reads its name; `None` if it is none.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (word, bounds) = name.strip_suffix(')')?.split_once('(')?;
        let kind = match word {
            "TC" => TrimmedKind::Count,
            "PR" => TrimmedKind::Rank,
            "TS" => TrimmedKind::Sum,
            "TM" => TrimmedKind::Mean,
            _ => return None,
        };
        let (low, high) = bounds.split_once(':')?;
        let bound = |text: &str, open: f64| match text {
            "" => Some(open),
            _ => text.parse().ok().filter(|bound: &f64| bound.is_finite()),
        };
        let (low, high) = (bound(low, f64::NEG_INFINITY)?, bound(high, f64::INFINITY)?);
        (bounds != ":" && low < high).then_some(Self { kind, low, high })
    }

    fn of(&self, values: &[(f64, f64)], count: f64) -> Option<f64> {
        let within = || values.iter().filter(|(value, _)| *value > self.low && *value <= self.high);
        let number: f64 = within().map(|(_, n)| n).sum();
        let sum: f64 = within().map(|(value, n)| value * n).sum();
        match self.kind {
            TrimmedKind::Count => Some(number),
            TrimmedKind::Rank => Some(100.0 * number / count),
            TrimmedKind::Sum => Some(sum),
            TrimmedKind::Mean => (number > 0.0).then(|| sum / number),
        }
    }
}

/// A metric alarm.
#[derive(Clone, Debug)]
pub(crate) struct Alarm {
    pub name: String,
    pub arn: String,
    pub metric: MetricKey,
    pub statistic: String,
    pub period: i64,
    pub evaluation_periods: usize,
    pub datapoints_to_alarm: usize,
    pub threshold: f64,
    pub comparison: Comparison,
    pub missing: Missing,
    pub actions_enabled: bool,
    pub state: AlarmState,
    pub reason: String,
    pub updated: Timestamp,
    pub configured: Timestamp,
    /// A state set by hand stays until the evaluation after this instant.
    pub set_until: Option<Timestamp>,
}

/// How a statistic is compared with the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "CloudWatch's own names")]
pub(crate) enum Comparison {
    GreaterThanThreshold,
    GreaterThanOrEqualToThreshold,
    LessThanThreshold,
    LessThanOrEqualToThreshold,
}

impl Comparison {
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("GreaterThanThreshold", Self::GreaterThanThreshold),
        ("GreaterThanOrEqualToThreshold", Self::GreaterThanOrEqualToThreshold),
        ("LessThanThreshold", Self::LessThanThreshold),
        ("LessThanOrEqualToThreshold", Self::LessThanOrEqualToThreshold),
    ];

    fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::GreaterThanThreshold => value > threshold,
            Self::GreaterThanOrEqualToThreshold => value >= threshold,
            Self::LessThanThreshold => value < threshold,
            Self::LessThanOrEqualToThreshold => value <= threshold,
        }
    }
}

/// What a missing data point counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the words are CloudWatch's")]
pub(crate) enum Missing {
    Missing,
    NotBreaching,
    Breaching,
    Ignore,
}

impl Missing {
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("missing", Self::Missing),
        ("notBreaching", Self::NotBreaching),
        ("breaching", Self::Breaching),
        ("ignore", Self::Ignore),
    ];
}

/// State of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlarmState {
    Ok,
    Alarm,
    InsufficientData,
}

impl AlarmState {
    pub(crate) const ALL: [(&'static str, Self); 3] =
        [("OK", Self::Ok), ("ALARM", Self::Alarm), ("INSUFFICIENT_DATA", Self::InsufficientData)];

    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, state)| *state == self).map_or("", |(name, _)| name)
    }
}

fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

impl CloudWatch {
    /// Adds a value, seen `count` times, to the minute that holds `at`.
    pub(crate) fn record(
        &mut self,
        at: Timestamp,
        key: MetricKey,
        value: f64,
        count: f64,
        unit: &'static str,
    ) {
        let datum = self.metrics.entry(key).or_default().entry(minute_of(at)).or_default();
        datum.unit = unit;
        let value =
            if unit == "Seconds" { (value * PARTS_OF_A_SECOND).round() / PARTS_OF_A_SECOND } else { value };
        datum.add(value, count);
    }

    /// The visible periods of a metric, `[start, end)`, as (period start in seconds, merged datum), oldest first.
    pub(crate) fn periods(
        &self,
        key: &MetricKey,
        start: Timestamp,
        end: Timestamp,
        period: i64,
        now: Timestamp,
    ) -> Vec<(i64, Datum)> {
        // A minute that began before `end` counts, one that began before `start` does too if it holds `start`.
        let until = minute_of(now - self.publication_delay).min((end.as_second() + 59).div_euclid(60));
        let from = minute_of(start).min(until);
        let mut periods: BTreeMap<i64, Datum> = BTreeMap::new();
        for (minute, datum) in
            self.metrics.get(key).into_iter().flat_map(|minutes| minutes.range(from..until))
        {
            periods.entry((minute * 60).div_euclid(period) * period).or_default().merge(datum);
        }
        periods.into_iter().collect()
    }

    fn evaluate(&self, alarm: &Alarm, now: Timestamp) -> Option<(AlarmState, String)> {
        let last_visible = minute_of(now - self.publication_delay) * 60;
        let end = last_visible.div_euclid(alarm.period) * alarm.period;
        let wanted = i64::try_from(alarm.evaluation_periods).unwrap_or(1);
        let start = Timestamp::from_second(end - wanted * alarm.period).ok()?;
        let found: BTreeMap<i64, f64> = self
            .periods(&alarm.metric, start, Timestamp::from_second(end).ok()?, alarm.period, now)
            .into_iter()
            .filter_map(|(at, datum)| Some((at, datum.statistic(&alarm.statistic)?)))
            .collect();
        if found.is_empty() {
            return match alarm.missing {
                Missing::NotBreaching => {
                    Some((AlarmState::Ok, "no datapoints were received; treated as NonBreaching".into()))
                }
                Missing::Breaching => {
                    Some((AlarmState::Alarm, "no datapoints were received; treated as Breaching".into()))
                }
                Missing::Missing => {
                    Some((AlarmState::InsufficientData, "no datapoints were received".into()))
                }
                Missing::Ignore => None,
            };
        }
        let breaching = (0..wanted)
            .filter(|i| match found.get(&(start.as_second() + i * alarm.period)) {
                Some(value) => alarm.comparison.breaches(*value, alarm.threshold),
                None => alarm.missing == Missing::Breaching,
            })
            .count();
        let sentence =
            format!("{breaching} of {wanted} datapoints breach the threshold ({})", alarm.threshold);
        let state = if breaching >= alarm.datapoints_to_alarm { AlarmState::Alarm } else { AlarmState::Ok };
        Some((state, sentence))
    }
}

/// A minute closes: host counts are taken, alarms evaluate, old minutes go.
pub(crate) fn minute_closes(world: &mut World) {
    let closed = world.now() - SignedDuration::from_secs(1);
    for hosts in world.host_counts() {
        for (name, counts) in [("HealthyHostCount", &hosts.healthy), ("UnHealthyHostCount", &hosts.unhealthy)]
        {
            let key = of_group(name, &hosts.load_balancer, &hosts.group);
            let all: u32 = counts.values().sum();
            world.cloudwatch.record(closed, key.clone(), f64::from(all), 1.0, "Count");
            for (zone, count) in counts {
                world.cloudwatch.record(closed, key.clone().in_zone(zone), f64::from(*count), 1.0, "Count");
            }
        }
    }
    for (instance, connections) in world.database_connections() {
        let key =
            MetricKey::new("AWS/RDS", "DatabaseConnections", [("DBInstanceIdentifier", instance.as_str())]);
        world.cloudwatch.record(closed, key, connections, 1.0, "Count");
    }
    let oldest = minute_of(closed) - MINUTES_KEPT;
    world.cloudwatch.metrics.retain(|_, minutes| {
        while minutes.first_entry().is_some_and(|entry| *entry.key() < oldest) {
            minutes.pop_first();
        }
        !minutes.is_empty()
    });
    evaluate_alarms(world);
}

fn evaluate_alarms(world: &mut World) {
    let now = world.now();
    let names: Vec<String> = world.cloudwatch.alarms.keys().cloned().collect();
    for name in names {
        let Some(alarm) = world.cloudwatch.alarms.get(&name) else { continue };
        if alarm.set_until.is_some_and(|until| now < until) {
            continue;
        }
        let Some((state, reason)) = world.cloudwatch.evaluate(alarm, now) else { continue };
        if let Some(alarm) = world.cloudwatch.alarms.get_mut(&name)
            && alarm.state != state
        {
            (alarm.state, alarm.reason, alarm.updated) = (state, reason, now);
        }
    }
}

/// The tail of an ARN as CloudWatch's dimensions have it: `app/name/id` or `targetgroup/name/id`.
pub(crate) fn dimension(arn: &str) -> &str {
    let resource = arn.rsplit(':').next().unwrap_or(arn);
    resource.strip_prefix("loadbalancer/").unwrap_or(resource)
}

impl World {
    /// Takes answered requests into the minute that is running.
    pub fn report_served(&mut self, served: &[Served]) {
        let at = self.now();
        for one in served {
            let Some(load_balancer) = self.load_balancer_of(&one.listener) else { continue };
            let zone = one.target_group.as_deref().zip(one.target).and_then(|(g, t)| self.zone_of(g, t));
            self.count_served(at, dimension(&load_balancer), one, zone.as_deref(), 1.0);
        }
    }

    /// Turns an alarm red by hand for so long, as SetAlarmState does until the next evaluation.
    pub fn redden_alarm(&mut self, name: &str, lasts: SignedDuration) {
        let now = self.now();
        if let Some(alarm) = self.cloudwatch.alarms.get_mut(name) {
            (alarm.state, alarm.updated, alarm.set_until) = (AlarmState::Alarm, now, Some(now + lasts));
        }
    }

    /// True if an alarm has been in any state but OK since it was configured.
    pub fn alarm_left_ok(&self, name: &str) -> bool {
        let alarm = self.cloudwatch.alarms.get(name);
        alarm.is_some_and(|alarm| alarm.state != AlarmState::Ok || alarm.updated != alarm.configured)
    }

    /// Counts `count` requests that went the same way, into a zone. Zero counts are never reported, as AWS does not.
    pub(crate) fn count_served(
        &mut self,
        at: Timestamp,
        load_balancer: &str,
        served: &Served,
        zone: Option<&str>,
        count: f64,
    ) {
        let cloudwatch = &mut self.cloudwatch;
        let of_balancer = |name: &str| MetricKey::new(ALB, name, [("LoadBalancer", load_balancer)]);
        if let Answer::Elb(status) = served.answer {
            cloudwatch.record(at, of_balancer("HTTPCode_ELB_5XX_Count"), 1.0, count, "Count");
            cloudwatch.record(at, of_balancer(&format!("HTTPCode_ELB_{status}_Count")), 1.0, count, "Count");
        }
        let Some(group) = served.target_group.as_deref().map(dimension) else { return };
        // A request counts once a target was chosen for it, whether or not that answered.
        cloudwatch.record(at, of_balancer("RequestCount"), 1.0, count, "Count");
        let mut record = |name: &str, value: f64, unit: &'static str| {
            let key = of_group(name, load_balancer, group);
            if let Some(zone) = zone {
                cloudwatch.record(at, key.clone().in_zone(zone), value, count, unit);
            }
            cloudwatch.record(at, key, value, count, unit);
        };
        if served.connection_error {
            record("TargetConnectionErrorCount", 1.0, "Count");
        }
        record("RequestCount", 1.0, "Count");
        let Answer::Status(status) = served.answer else { return };
        record(&format!("HTTPCode_Target_{}XX_Count", status / 100), 1.0, "Count");
        if let Some(seconds) = served.seconds {
            record("TargetResponseTime", seconds, "Seconds");
        }
    }
}
