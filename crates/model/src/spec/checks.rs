//! What green is judged by: the built-in checks, and metrics of the team's own.
//!
//! Types and reader together: read by [`super::read()`], obeyed by `tidegate-analysis`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Code, Document, Members, Node};
use crate::{MetricName, duration::Span};

/// A release may be judged by so many metrics of its own: each costs two queries a minute.
const METRICS_MAX: usize = 10;
/// A CloudWatch metric has at most so many dimensions.
const DIMENSIONS_MAX: usize = 30;
/// A check looks back at so many minutes at most.
const WINDOW_MAX: u64 = 15;

/// Which checks judge green.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checks {
    /// Failed requests of green against blue's.
    #[serde(default = "Toggle::on")]
    pub errors: Toggle,
    /// Slow requests of green against blue's.
    #[serde(default = "Toggle::on")]
    pub latency: Toggle,
    /// Unhealthy targets of green.
    #[serde(default = "Toggle::on")]
    pub targets: Toggle,
    /// Connections to the database during the release against those before it.
    #[serde(default = "Toggle::off")]
    pub database_connections: Toggle,
    /// Metrics of the team's own, by a name for each: 1 to 63 lowercase letters, digits and hyphens.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, MetricCheck>")]
    pub metrics: BTreeMap<MetricName, MetricCheck>,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            errors: Toggle::On,
            latency: Toggle::On,
            targets: Toggle::On,
            database_connections: Toggle::Off,
            metrics: BTreeMap::new(),
        }
    }
}

/// A check is on (`{}` in a spec), on trial (`{"dryRun": true}`), or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Toggle {
    /// It is judged, and decides.
    On,
    /// It is judged and shown, and decides nothing.
    DryRun,
    /// It is not judged.
    Off,
}

impl Toggle {
    fn on() -> Self {
        Self::On
    }

    fn off() -> Self {
        Self::Off
    }

    /// True if the check may decide.
    pub fn is_on(self) -> bool {
        self == Self::On
    }

    /// True if the check is judged, whether it decides or not.
    pub fn is_judged(self) -> bool {
        self != Self::Off
    }
}

impl JsonSchema for Toggle {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Toggle".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "{} switches the check on, \"off\" switches it off; with dryRun it is shown and decides nothing",
            "anyOf": [
                { "const": "off" },
                { "type": "object", "properties": { "dryRun": { "type": "boolean" } }, "additionalProperties": false },
            ],
        })
    }
}

/// A metric that green is judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricCheck {
    /// The CloudWatch namespace.
    pub namespace: String,
    /// The metric's name.
    pub metric: String,
    /// Its dimensions, all of them. A value may hold `{color}` (`blue` or `green`), `{taskDefinition}` (`family:revision`),
    /// `{targetGroup}` and `{loadBalancer}` (as in the dimensions of `AWS/ApplicationELB`), which differ for blue and green.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    /// Sum, Average, Minimum, Maximum, SampleCount or a percentile such as p95, by the minute; Sum when absent.
    #[serde(default = "sum")]
    pub statistic: String,
    /// When green is worse.
    pub judge: MetricRule,
    /// For limits: so many minutes must break it; 3 when absent.
    #[serde(default = "three")]
    pub failing: u32,
    /// Of the last so many, 1 to 15; as many as `failing` when absent.
    #[serde(default = "three")]
    pub of: u32,
    /// Minutes of green under traffic that are not judged at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// True if it is judged and shown, and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// When green is worse, by a metric of the team's own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MetricRule {
    /// It counts what shall happen (checkouts, sign-ups): evidence that green has fewer of it a request than blue.
    Drop,
    /// It counts what shall not happen: evidence that green has more of it a request than blue.
    Rise,
    /// Green's value is above this.
    Above(f64),
    /// Green's value is below this.
    Below(f64),
    /// Green's value is above so many times blue's in the same minute.
    TimesBlue(f64),
    /// Green's value is above blue's in the same minute by more than this.
    OverBlue(f64),
}

impl MetricRule {
    /// True if green is compared with blue, so that each must have values of its own.
    pub fn compares(self) -> bool {
        match self {
            Self::Drop | Self::Rise | Self::TimesBlue(_) | Self::OverBlue(_) => true,
            Self::Above(_) | Self::Below(_) => false,
        }
    }

    /// True if evidence is gathered over all minutes, and no limit held against the last ones.
    pub fn by_evidence(self) -> bool {
        match self {
            Self::Drop | Self::Rise => true,
            Self::Above(_) | Self::Below(_) | Self::TimesBlue(_) | Self::OverBlue(_) => false,
        }
    }
}

/// What may stand in a dimension's value for something that differs between blue and green.
pub const PLACEHOLDERS: [&str; 4] = ["{color}", "{taskDefinition}", "{targetGroup}", "{loadBalancer}"];

fn sum() -> String {
    "Sum".into()
}

fn three() -> u32 {
    3
}

pub(super) fn checks(doc: &mut Document<'_>, node: &Node<'_, '_>, with_database: bool) -> Option<Checks> {
    let members = node.object(doc, &["errors", "latency", "targets", "databaseConnections", "metrics"])?;
    let mut read = |key: &str, default: Toggle| match members.get(key) {
        None => Some(default),
        Some(node) => toggle(doc, node),
    };
    let (errors, latency) = (read("errors", Toggle::On), read("latency", Toggle::On));
    let (targets, connections) = (read("targets", Toggle::On), read("databaseConnections", Toggle::Off));
    if let (Some(Toggle::On | Toggle::DryRun), Some(node), false) =
        (connections, members.get("databaseConnections"), with_database)
    {
        doc.note(
            node,
            Code::Conflict,
            "the check of database connections needs a schema section",
            "it names the database instance",
        );
    }
    let metrics = members.get("metrics").map_or(Some(BTreeMap::new()), |node| metrics(doc, node));
    Some(Checks {
        errors: errors?,
        latency: latency?,
        targets: targets?,
        database_connections: connections?,
        metrics: metrics?,
    })
}

fn toggle(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Toggle> {
    const HOW: &str = "a check is switched on by {}, off by \"off\", and tried by {\"dryRun\": true}";
    match node.as_str() {
        Some("off") => Some(Toggle::Off),
        Some(_) => {
            doc.note(node, Code::BadValue, HOW, "");
            None
        }
        None => {
            let members = node.object(doc, &["dryRun"])?;
            let dry = members.get("dryRun").map_or(Some(false), |node| node.boolean(doc))?;
            Some(if dry { Toggle::DryRun } else { Toggle::On })
        }
    }
}

fn metrics(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<BTreeMap<MetricName, MetricCheck>> {
    let members = node.free_object(doc)?;
    if members.len() > METRICS_MAX {
        doc.note(node, Code::OutOfRange, format!("a release is judged by at most {METRICS_MAX} metrics"), "");
    }
    let mut metrics = BTreeMap::new();
    let mut complete = true;
    for member in &members {
        let name: Option<MetricName> = member.key.parse().ok();
        if name.is_none() {
            doc.note_at(
                member.at,
                &member.node.path,
                Code::BadValue,
                "a metric's name is 1 to 63 lowercase letters, digits and hyphens and does not begin with a hyphen",
                "it is what you call it; its name in CloudWatch goes to \"metric\"",
            );
        }
        match (name, metric(doc, &member.node)) {
            (Some(name), Some(check)) => _ = metrics.insert(name, check),
            (None, _) | (_, None) => complete = false,
        }
    }
    complete.then_some(metrics)
}

fn metric(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<MetricCheck> {
    let known =
        ["namespace", "metric", "dimensions", "statistic", "judge", "failing", "of", "after", "dryRun"];
    let members = node.object(doc, &known)?;
    let namespace = super::read::need_text(doc, &members, "namespace", 255);
    let metric = super::read::need_text(doc, &members, "metric", 255);
    let dimensions = members.get("dimensions").map_or(Some(BTreeMap::new()), |node| dimensions(doc, node));
    let statistic = members.get("statistic").map_or(Some(sum()), |node| statistic(doc, node));
    let judge = members.need(doc, "judge").cloned().and_then(|node| rule(doc, &node));
    let window = window(doc, &members, judge);
    let after = members.get("after").map(|node| node.parsed(doc, str::parse::<Span>));
    let dry_run = members.get("dryRun").map_or(Some(false), |node| node.boolean(doc));
    let (judge, dimensions, statistic) = (judge?, dimensions?, statistic?);
    let differs = dimensions.values().any(|value| PLACEHOLDERS.iter().any(|one| value.contains(one)));
    if judge.compares() && !differs {
        doc.note(
            node,
            Code::Conflict,
            "green is compared with blue, and no dimension tells them apart",
            "use {color}, {taskDefinition} or {targetGroup} in a dimension's value, or judge by above or below",
        );
    }
    if judge.by_evidence() && !["Sum", "SampleCount"].contains(&statistic.as_str()) {
        doc.note(
            node,
            Code::Conflict,
            "drop and rise judge counts: statistic must be Sum or SampleCount",
            "use timesBlue or overBlue for other statistics",
        );
    }
    Some(MetricCheck {
        namespace: namespace?,
        metric: metric?,
        dimensions,
        statistic,
        judge,
        failing: window?.0,
        of: window?.1,
        after: after.map_or(Some(None), |span| span.map(Some))?,
        dry_run: dry_run?,
    })
}

fn dimensions(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<BTreeMap<String, String>> {
    let members = node.free_object(doc)?;
    if members.len() > DIMENSIONS_MAX {
        doc.note(node, Code::OutOfRange, format!("a metric has at most {DIMENSIONS_MAX} dimensions"), "");
        return None;
    }
    let mut dimensions = BTreeMap::new();
    for member in &members {
        let value = member.node.text(doc, 1_024)?;
        let rest = PLACEHOLDERS.iter().fold(value.clone(), |rest, one| rest.replace(one, ""));
        if rest.contains(['{', '}']) {
            let known = format!("known are {}", PLACEHOLDERS.join(", "));
            doc.note(&member.node, Code::BadValue, "a placeholder that is not known", known);
            return None;
        }
        dimensions.insert(member.key.clone(), value);
    }
    Some(dimensions)
}

fn statistic(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<String> {
    let text = node.text(doc, 16)?;
    let percentile = |p: &str| p.parse::<f64>().is_ok_and(|p| (0.0..=100.0).contains(&p));
    let known = ["Sum", "Average", "Minimum", "Maximum", "SampleCount"].contains(&text.as_str())
        || text.strip_prefix('p').is_some_and(percentile);
    if !known {
        let how = "Sum, Average, Minimum, Maximum, SampleCount or a percentile such as p95 is needed";
        doc.note(node, Code::BadValue, how, "");
    }
    known.then_some(text)
}

fn rule(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<MetricRule> {
    const HOW: &str = "\"drop\", \"rise\", {\"above\": n}, {\"below\": n}, {\"timesBlue\": n} or {\"overBlue\": n} is needed";
    match node.as_str() {
        Some("drop") => return Some(MetricRule::Drop),
        Some("rise") => return Some(MetricRule::Rise),
        Some(_) => {
            doc.note(node, Code::BadValue, HOW, "");
            return None;
        }
        None => {}
    }
    let members = node.object(doc, &["above", "below", "timesBlue", "overBlue"])?;
    if members.len() != 1 {
        doc.note(node, Code::Conflict, HOW, "exactly one of them");
        return None;
    }
    let mut read = |key: &str, min: f64| Some(members.get(key)?.number(doc, min, 1e15));
    let any = -1e15;
    None.or_else(|| read("above", any).map(|n| n.map(MetricRule::Above)))
        .or_else(|| read("below", any).map(|n| n.map(MetricRule::Below)))
        .or_else(|| read("timesBlue", 1.0).map(|n| n.map(MetricRule::TimesBlue)))
        .or_else(|| read("overBlue", 0.0).map(|n| n.map(MetricRule::OverBlue)))
        .flatten()
}

fn window(
    doc: &mut Document<'_>,
    members: &Members<'_, '_>,
    judge: Option<MetricRule>,
) -> Option<(u32, u32)> {
    for key in ["failing", "of"] {
        if let (Some(node), Some(true)) = (members.get(key), judge.map(MetricRule::by_evidence)) {
            let how = "evidence is gathered over all minutes: there is no window";
            doc.note(node, Code::Conflict, how, "leave failing and of out, or judge by a limit");
        }
    }
    let mut read = |key: &str| members.get(key).map(|node| node.integer(doc, 1, WINDOW_MAX));
    let (failing, of) = (read("failing").unwrap_or(Some(3))?, read("of"));
    let of = of.map_or(Some(failing), |of| of)?;
    if let (true, Some(node)) = (of < failing, members.get("of")) {
        doc.note(node, Code::Conflict, "of must be at least failing", "");
        return None;
    }
    Some((u32::try_from(failing).ok()?, u32::try_from(of).ok()?))
}

#[cfg(test)]
mod tests {
    use super::{super::read, *};

    fn with(checks: &str) -> String {
        format!(
            r#"{{ "service": {{ "cluster": "c", "name": "s" }}, "revision": {{ "container": "app", "image": "app:2" }},
"traffic": {{ "engine": "codedeploy", "application": "a", "deploymentGroup": "g", "shift": {{ "canary": {{ "percent": 5, "for": "5m" }} }} }},
"checks": {checks} }}"#
        )
    }

    fn codes(checks: &str) -> Vec<&'static str> {
        read(&with(checks)).unwrap_err().iter().map(|problem| problem.code.as_str()).collect()
    }

    #[test]
    fn metrics_of_the_teams_own_are_read_and_survive_the_ledger() {
        let spec = read(&with(
            r#"{ "latency": { "dryRun": true }, "metrics": {
                "checkouts": { "namespace": "Shop", "metric": "Checkouts", "dimensions": { "Version": "{color}" }, "judge": "drop" },
                "queue": { "namespace": "Shop", "metric": "Depth", "statistic": "Maximum", "judge": { "above": 500 },
                           "failing": 2, "of": 5, "after": "4m", "dryRun": true } } }"#,
        ))
        .unwrap();
        assert_eq!(spec.checks.latency, Toggle::DryRun);
        let queue = &spec.checks.metrics[&"queue".parse::<MetricName>().unwrap()];
        assert_eq!((queue.judge, queue.failing, queue.of), (MetricRule::Above(500.0), 2, 5));
        let stored = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<super::super::Spec>(&stored).unwrap(), spec);
    }

    #[test]
    fn a_comparison_needs_two_different_metrics_and_counts() {
        assert_eq!(
            codes(r#"{ "metrics": { "a": { "namespace": "n", "metric": "m", "judge": "drop" } } }"#),
            ["SPEC009"]
        );
        let average = r#"{ "metrics": { "a": { "namespace": "n", "metric": "m", "dimensions": { "v": "{color}" },
            "statistic": "p95", "judge": "rise" } } }"#;
        assert_eq!(codes(average), ["SPEC009"]);
    }

    #[test]
    fn what_is_wrong_in_a_metric_is_said_by_its_place() {
        let checks = r#"{ "metrics": { "Bad Name": { "namespace": "n", "metric": "m", "judge": { "above": 1 } },
            "b": { "namespace": "n", "metric": "m", "dimensions": { "v": "{colour}" }, "judge": { "above": 1 } },
            "c": { "namespace": "n", "metric": "m", "judge": { "above": "1" } },
            "d": { "namespace": "n", "metric": "m", "judge": { "above": 1, "below": 2 } },
            "e": { "namespace": "n", "metric": "m", "judge": { "above": 1 }, "failing": 5, "of": 3 },
            "f": { "namespace": "n", "metric": "m", "judge": { "above": 1 }, "statistic": "median" } } }"#;
        assert_eq!(codes(checks), ["SPEC006", "SPEC006", "SPEC005", "SPEC009", "SPEC009", "SPEC006"]);
    }
}
