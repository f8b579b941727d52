//! CloudWatch's operations.

use jiff::{SignedDuration, Timestamp};

use super::{
    Handler::{Reads, Writes},
    Operation,
};
use crate::{
    error::ApiError,
    node::Node,
    world::{
        World,
        cloudwatch::{Alarm, AlarmState, Comparison, MetricKey, Missing, Trimmed},
    },
};

mod math;

pub(super) const OPERATIONS: &[Operation] = &[
    ("GetMetricData", Reads(get_metric_data)),
    ("GetMetricStatistics", Reads(get_metric_statistics)),
    ("ListMetrics", Reads(list_metrics)),
    ("PutMetricData", Writes(put_metric_data)),
    ("DescribeAlarms", Reads(describe_alarms)),
    ("PutMetricAlarm", Writes(put_metric_alarm)),
    ("SetAlarmState", Writes(set_alarm_state)),
    ("DeleteAlarms", Writes(delete_alarms)),
];

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

fn metric_key(input: &Node) -> Result<MetricKey, ApiError> {
    let mut key = MetricKey::new(input.text("Namespace")?, input.text("MetricName")?, []);
    for dimension in input.items("Dimensions")? {
        key.dimensions.insert(dimension.text("Name")?.to_owned(), dimension.text("Value")?.to_owned());
    }
    Ok(key)
}

fn window(input: &Node) -> Result<(Timestamp, Timestamp), ApiError> {
    let need = |key: &str| input.opt_time(key)?.ok_or_else(|| ApiError::missing(key));
    let (start, end) = (need("StartTime")?, need("EndTime")?);
    if start >= end {
        return Err(invalid("The parameter StartTime must be less than the parameter EndTime."));
    }
    Ok((start, end))
}

fn period(node: &Node) -> Result<i64, ApiError> {
    match node.opt_int("Period")? {
        Some(period) if period >= 60 && period % 60 == 0 => Ok(period),
        Some(period) if [1, 5, 10, 30].contains(&period) => Ok(60),
        Some(_) => Err(invalid("The parameter Period must be 1, 5, 10, 30 or a multiple of 60.")),
        None => Err(ApiError::missing("Period")),
    }
}

fn is_statistic(name: &str) -> bool {
    ["Sum", "Average", "Minimum", "Maximum", "SampleCount"].contains(&name)
        || Trimmed::parse(name).is_some()
        || name.strip_prefix('p').is_some_and(|p| p.parse::<f64>().is_ok_and(|p| (0.0..=100.0).contains(&p)))
}

/// A time series: period starts in seconds with values, oldest first.
pub(crate) type Series = Vec<(i64, f64)>;

struct Query {
    id: String,
    label: String,
    returned: bool,
    source: Source,
}

enum Source {
    Metric { key: MetricKey, period: i64, statistic: String },
    Expression(math::Expression),
}

fn read_query(node: &Node) -> Result<Query, ApiError> {
    let id = node.text("Id")?.to_owned();
    let ok = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !ok {
        return Err(ApiError::new(
            "ValidationError",
            format!(
                "The value {id} for parameter MetricDataQueries.member.N.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."
            ),
        ));
    }
    let source =
        match (node.has("MetricStat"), node.opt_text("Expression")?) {
            (true, None) => {
                let stat = node.get("MetricStat");
                let statistic = stat.text("Stat")?.to_owned();
                if !is_statistic(&statistic) {
                    return Err(ApiError::new(
                        "ValidationError",
                        format!("The value {statistic} for parameter MetricStat.Stat is not valid."),
                    ));
                }
                Source::Metric { key: metric_key(stat.get("Metric"))?, period: period(stat)?, statistic }
            }
            (false, Some(text)) => Source::Expression(math::parse(text).map_err(|why| {
                ApiError::new("ValidationError", format!("Error in expression '{id}': {why}"))
            })?),
            (true, Some(_)) | (false, None) => {
                return Err(ApiError::new(
                    "ValidationError",
                    "Exactly one of MetricStat and Expression must be given.",
                ));
            }
        };
    let fallback = match &source {
        Source::Metric { key, .. } => key.name.clone(),
        Source::Expression(_) => id.clone(),
    };
    let label = node.opt_text("Label")?.map_or(fallback, str::to_owned);
    Ok(Query { id, label, returned: node.opt_bool("ReturnData")?.unwrap_or(true), source })
}

fn get_metric_data(world: &World, input: &Node) -> Result<Node, ApiError> {
    let (start, end) = window(input)?;
    let nodes = input.items("MetricDataQueries")?;
    if nodes.is_empty() || nodes.len() > 500 {
        return Err(ApiError::new(
            "ValidationError",
            "The collection MetricDataQueries must have between 1 and 500 members.",
        ));
    }
    let queries = nodes.iter().map(read_query).collect::<Result<Vec<_>, _>>()?;
    let mut known: Vec<(String, Series)> = vec![];
    for query in &queries {
        if let Source::Metric { key, period, statistic } = &query.source {
            let series = world
                .cloudwatch
                .periods(key, start, end, *period, world.now())
                .into_iter()
                .filter_map(|(at, datum)| Some((at, datum.statistic(statistic)?)))
                .collect();
            known.push((query.id.clone(), series));
        }
    }
    let grid = grid(&queries, (start, end), world.now());
    // Expressions may name earlier and later expressions: as many rounds as there are expressions settle any order.
    for _ in 0..queries.len() {
        for query in &queries {
            if let Source::Expression(expression) = &query.source
                && !known.iter().any(|(id, _)| *id == query.id)
                && let Ok(series) = math::evaluate(expression, &known, &grid)
            {
                known.push((query.id.clone(), series));
            }
        }
    }
    let descending = input.opt_text("ScanBy")?.unwrap_or("TimestampDescending") == "TimestampDescending";
    let mut results = vec![];
    for query in queries.iter().filter(|q| q.returned) {
        let Some((_, series)) = known.iter().find(|(id, _)| *id == query.id) else {
            return Err(ApiError::new(
                "ValidationError",
                format!("Error in expression '{}': it names an id that is not there", query.id),
            ));
        };
        results.push(result_node(query, series, descending));
    }
    Ok(Node::map([("MetricDataResults", Node::List(results)), ("Messages", Node::List(vec![]))]))
}

/// The period starts of the window, at the shortest period that is asked for: where FILL puts its values. There are none
/// that are not kept any more, and none to come, however long the window is.
fn grid(queries: &[Query], (start, end): (Timestamp, Timestamp), now: Timestamp) -> Vec<i64> {
    let period = |query: &Query| match query.source {
        Source::Metric { period, .. } => Some(period),
        Source::Expression(_) => None,
    };
    let step = queries.iter().filter_map(period).min().unwrap_or(60);
    let oldest = now.as_second() - kept(step).as_secs();
    let first = start.as_second().max(oldest).div_euclid(step) * step;
    let end = end.min(now).as_second();
    std::iter::successors(Some(first), |at| at.checked_add(step)).take_while(|at| *at < end).collect()
}

/// How long data of such periods is kept. Source: "Metrics retention" in CloudWatch's concepts.
fn kept(period: i64) -> SignedDuration {
    const DAY: i64 = 24;
    SignedDuration::from_hours(match period {
        ..300 => 15 * DAY,
        300..3_600 => 63 * DAY,
        3_600.. => 455 * DAY,
    })
}

fn result_node(query: &Query, series: &Series, descending: bool) -> Node {
    let mut points = series.clone();
    if descending {
        points.reverse();
    }
    let times = points.iter().filter_map(|(at, _)| Timestamp::from_second(*at).ok().map(Node::Time));
    Node::map([
        ("Id", (&query.id).into()),
        ("Label", (&query.label).into()),
        ("Timestamps", Node::list(times)),
        ("Values", Node::list(points.iter().map(|(_, value)| Node::Float(*value)))),
        ("StatusCode", "Complete".into()),
    ])
}

fn get_metric_statistics(world: &World, input: &Node) -> Result<Node, ApiError> {
    let (start, end) = window(input)?;
    let key = metric_key(input)?;
    let period = period(input)?;
    let statistics = input.text_items("Statistics")?;
    let extended = input.text_items("ExtendedStatistics")?;
    if statistics.is_empty() && extended.is_empty() {
        return Err(ApiError::missing("Statistics"));
    }
    if let Some(bad) = statistics.iter().chain(&extended).find(|s| !is_statistic(s)) {
        return Err(invalid(format!("The parameter Statistics has an invalid value: {bad}")));
    }
    let points =
        world.cloudwatch.periods(&key, start, end, period, world.now()).into_iter().map(|(at, datum)| {
            let mut node = Node::map([("Timestamp", Timestamp::from_second(at).ok().into())]);
            for name in &statistics {
                node.set(name, datum.statistic(name).into());
            }
            if !extended.is_empty() {
                let values = extended
                    .iter()
                    .filter_map(|name| Some((name.clone(), Node::Float(datum.statistic(name)?))));
                node.set("ExtendedStatistics", Node::Map(values.collect()));
            }
            node.set("Unit", datum.unit.into());
            node
        });
    Ok(Node::map([("Label", (&key.name).into()), ("Datapoints", Node::list(points))]))
}

fn list_metrics(world: &World, input: &Node) -> Result<Node, ApiError> {
    let (namespace, name) = (input.opt_text("Namespace")?, input.opt_text("MetricName")?);
    let all: Vec<Node> = world
        .cloudwatch
        .metrics
        .keys()
        .filter(|key| namespace.is_none_or(|n| key.namespace == n) && name.is_none_or(|n| key.name == n))
        .map(|key| {
            Node::map([
                ("Namespace", (&key.namespace).into()),
                ("MetricName", (&key.name).into()),
                ("Dimensions", dimensions(key)),
            ])
        })
        .take(500)
        .collect();
    Ok(Node::map([("Metrics", Node::List(all))]))
}

fn dimensions(key: &MetricKey) -> Node {
    Node::list(key.dimensions.iter().map(|(k, v)| Node::map([("Name", k.into()), ("Value", v.into())])))
}

fn put_metric_data(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let namespace = input.text("Namespace")?.to_owned();
    if namespace.starts_with("AWS/") {
        return Err(invalid("The value AWS/ for parameter Namespace is invalid."));
    }
    for datum in input.items("MetricData")? {
        let mut key = MetricKey::new(&namespace, datum.text("MetricName")?, []);
        for dimension in datum.items("Dimensions")? {
            key.dimensions.insert(dimension.text("Name")?.to_owned(), dimension.text("Value")?.to_owned());
        }
        let at = datum.opt_time("Timestamp")?.unwrap_or(world.now());
        if let Some(value) = datum.opt_float("Value")? {
            world.cloudwatch.record(at, key.clone(), value, 1.0, "None");
        }
        let counts = datum.items("Counts")?;
        for (i, value) in datum.items("Values")?.iter().enumerate() {
            let value = value.as_float().ok_or_else(|| ApiError::mistyped("Values", "number"))?;
            let count = counts.get(i).and_then(Node::as_float).unwrap_or(1.0);
            world.cloudwatch.record(at, key.clone(), value, count, "None");
        }
    }
    world.note_effect("cloudwatch", "PutMetricData", &namespace, "metric data written".to_owned(), None);
    Ok(Node::empty())
}

fn named<T: Copy>(table: &[(&'static str, T)], text: &str, member: &str) -> Result<T, ApiError> {
    table
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| invalid(format!("The parameter {member} has an invalid value.")))
}

fn put_metric_alarm(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let name = input.text("AlarmName")?.to_owned();
    let statistic = match (input.opt_text("Statistic")?, input.opt_text("ExtendedStatistic")?) {
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::new(
                "ValidationError",
                "Exactly one of Statistic and ExtendedStatistic must be given.",
            ));
        }
    };
    let evaluation_periods = usize::try_from(
        input.opt_int("EvaluationPeriods")?.ok_or_else(|| ApiError::missing("EvaluationPeriods"))?,
    )
    .map_err(|_| invalid("The parameter EvaluationPeriods must be positive."))?;
    let datapoints = input
        .opt_int("DatapointsToAlarm")?
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(evaluation_periods);
    let period = period(input)?;
    // Source: PutMetricAlarm's EvaluationPeriods: a day for periods of less than an hour, and seven days for others.
    let longest = if period < 3_600 { 86_400 } else { 604_800 };
    let whole = i64::try_from(evaluation_periods).ok().and_then(|periods| periods.checked_mul(period));
    if whole.is_none_or(|whole| whole > longest) {
        let message = format!("Metrics cannot be checked across more than {longest} seconds.");
        return Err(ApiError::new("ValidationError", message));
    }
    let now = world.now();
    // A rewritten alarm keeps its state; a new one has none yet.
    let before = world.cloudwatch.alarms.get(&name).map(|a| (a.state, a.reason.clone(), a.updated));
    let (state, reason, updated) =
        before.unwrap_or((AlarmState::InsufficientData, "Unchecked: Initial alarm creation".into(), now));
    let alarm = Alarm {
        arn: world.identity.arn("cloudwatch", &format!("alarm:{name}")),
        metric: metric_key(input)?,
        statistic,
        period,
        evaluation_periods: evaluation_periods.max(1),
        datapoints_to_alarm: datapoints.max(1),
        threshold: input.opt_float("Threshold")?.ok_or_else(|| ApiError::missing("Threshold"))?,
        comparison: named(&Comparison::ALL, input.text("ComparisonOperator")?, "ComparisonOperator")?,
        missing: named(
            &Missing::ALL,
            input.opt_text("TreatMissingData")?.unwrap_or("missing"),
            "TreatMissingData",
        )?,
        actions_enabled: input.opt_bool("ActionsEnabled")?.unwrap_or(true),
        state,
        reason,
        updated,
        configured: now,
        set_until: None,
        name: name.clone(),
    };
    world.cloudwatch.alarms.insert(name.clone(), alarm);
    world.note_effect("cloudwatch", "PutMetricAlarm", &name, "alarm written".to_owned(), None);
    Ok(Node::empty())
}

fn alarm_node(alarm: &Alarm) -> Node {
    let operator = Comparison::ALL.iter().find(|(_, c)| *c == alarm.comparison).map_or("", |(name, _)| name);
    let missing = Missing::ALL.iter().find(|(_, m)| *m == alarm.missing).map_or("", |(name, _)| name);
    let extended = alarm.statistic.starts_with('p');
    let whole = |n: usize| Node::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Node::map([
        ("AlarmName", (&alarm.name).into()),
        ("AlarmArn", (&alarm.arn).into()),
        ("AlarmConfigurationUpdatedTimestamp", alarm.configured.into()),
        ("ActionsEnabled", alarm.actions_enabled.into()),
        ("OKActions", Node::List(vec![])),
        ("AlarmActions", Node::List(vec![])),
        ("InsufficientDataActions", Node::List(vec![])),
        ("StateValue", alarm.state.as_str().into()),
        ("StateReason", (&alarm.reason).into()),
        ("StateUpdatedTimestamp", alarm.updated.into()),
        ("MetricName", (&alarm.metric.name).into()),
        ("Namespace", (&alarm.metric.namespace).into()),
        ("Statistic", (!extended).then(|| alarm.statistic.clone()).into()),
        ("ExtendedStatistic", extended.then(|| alarm.statistic.clone()).into()),
        ("Dimensions", dimensions(&alarm.metric)),
        ("Period", alarm.period.into()),
        ("EvaluationPeriods", whole(alarm.evaluation_periods)),
        ("DatapointsToAlarm", whole(alarm.datapoints_to_alarm)),
        ("Threshold", alarm.threshold.into()),
        ("ComparisonOperator", operator.into()),
        ("TreatMissingData", missing.into()),
    ])
}

fn describe_alarms(world: &World, input: &Node) -> Result<Node, ApiError> {
    let names = input.text_items("AlarmNames")?;
    let prefix = input.opt_text("AlarmNamePrefix")?;
    let state = input.opt_text("StateValue")?;
    if names.len() > 100 {
        return Err(ApiError::new(
            "ValidationError",
            "The collection AlarmNames must not have more than 100 members.",
        ));
    }
    let alarms = world.cloudwatch.alarms.values().filter(|alarm| {
        (names.is_empty() || names.contains(&alarm.name))
            && prefix.is_none_or(|p| alarm.name.starts_with(p))
            && state.is_none_or(|s| alarm.state.as_str() == s)
    });
    let alarms: Vec<&Alarm> = alarms.collect();
    // AWS's tokens are opaque; here it is the name of the last alarm of the page before.
    let after = input.opt_text("NextToken")?;
    let from = after.map_or(0, |name| alarms.partition_point(|alarm| alarm.name.as_str() <= name));
    let size = input.opt_int("MaxRecords")?.map_or(50, |n| usize::try_from(n.clamp(1, 100)).unwrap_or(50));
    let page = alarms.iter().skip(from).take(size);
    let more = (from + size < alarms.len()).then(|| alarms[from + size - 1].name.clone());
    Ok(Node::map([
        ("CompositeAlarms", Node::List(vec![])),
        ("MetricAlarms", Node::list(page.map(|alarm| alarm_node(alarm)))),
        ("NextToken", more.into()),
    ]))
}

fn set_alarm_state(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let name = input.text("AlarmName")?.to_owned();
    let state = named(&AlarmState::ALL, input.text("StateValue")?, "StateValue")?;
    let reason = input.text("StateReason")?.to_owned();
    let now = world.now();
    let Some(alarm) = world.cloudwatch.alarms.get_mut(&name) else {
        return Err(ApiError::new("ResourceNotFound", "").status(404));
    };
    (alarm.state, alarm.reason, alarm.updated) = (state, reason, now);
    // As in AWS it lasts until the alarm is evaluated again: at least one period, so that whoever polls by the minute sees it.
    alarm.set_until = Some(now + SignedDuration::from_secs(alarm.period));
    world.note_effect("cloudwatch", "SetAlarmState", &name, format!("state set to {}", state.as_str()), None);
    Ok(Node::empty())
}

/// Names of no alarm are passed over. Source: DeleteAlarms: "If you specify any incorrect alarm names, the alarms you specify
/// with correct names are still deleted."
fn delete_alarms(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    for name in input.text_items("AlarmNames")? {
        if world.cloudwatch.alarms.remove(&name).is_some() {
            world.note_effect("cloudwatch", "DeleteAlarms", &name, "alarm deleted".to_owned(), None);
        }
    }
    Ok(Node::empty())
}
