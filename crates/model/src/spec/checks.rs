//! What green is judged by: the built-in checks, and metrics of the team's own.
//!
//! Types and reader together: read by [`super::read()`], obeyed by `tidegate-analysis`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Code, Document, Node};
use crate::MetricName;

mod metrics;

pub use metrics::{MetricCheck, MetricRule, PLACEHOLDERS};

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
    /// Rules that many teams know, beside the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
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
            preset: None,
            metrics: BTreeMap::new(),
        }
    }
}

/// Ready rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Preset {
    /// The thresholds of AWS's guide to blue-green releases with a database: failed requests above twice blue's average, p95 above
    /// 1.2 times blue's, more than twice blue's database connections; three minutes in a row.
    Guide,
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

pub(super) fn checks(doc: &mut Document<'_>, node: &Node<'_, '_>, with_database: bool) -> Option<Checks> {
    let members =
        node.object(doc, &["errors", "latency", "targets", "databaseConnections", "preset", "metrics"])?;
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
    let metrics = members.get("metrics").map_or(Some(BTreeMap::new()), |node| metrics::metrics(doc, node));
    let preset = members.get("preset").map_or(Some(None), |node| preset(doc, node).map(Some));
    Some(Checks {
        errors: errors?,
        latency: latency?,
        targets: targets?,
        database_connections: connections?,
        preset: preset?,
        metrics: metrics?,
    })
}

fn preset(doc: &mut Document<'_>, node: &Node<'_, '_>) -> Option<Preset> {
    if node.as_str() == Some("guide") {
        return Some(Preset::Guide);
    }
    doc.note(node, Code::BadValue, "the preset that exists is \"guide\"", "");
    None
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
        assert_eq!((&queue.judge, queue.failing, queue.of), (&MetricRule::Above(500.0), 2, 5));
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

    #[test]
    fn rules_that_people_know_are_read_and_survive_the_ledger() {
        let spec = read(&with(
            r#"{ "preset": "guide", "metrics": {
                "pager": { "judge": { "alarm": "orders-p99" }, "after": "2m" },
                "lost": { "namespace": "Shop", "metric": "Lost", "judge": { "above": 0 }, "critical": true, "missing": 5 },
                "cpu": { "namespace": "Shop", "metric": "Cpu", "statistic": "Average", "judge": "higher",
                         "dimensions": { "TargetGroup": "{targetGroup}" } } } }"#,
        ))
        .unwrap();
        assert_eq!(spec.checks.preset, Some(Preset::Guide));
        let of = |name: &str| &spec.checks.metrics[&name.parse::<MetricName>().unwrap()];
        assert_eq!(of("pager").judge.alarm(), Some("orders-p99"));
        let lost = of("lost");
        assert_eq!((lost.failing, lost.of, lost.critical, lost.missing), (1, 1, true, Some(5)));
        assert_eq!(of("cpu").judge, MetricRule::Higher);
        let stored = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<super::super::Spec>(&stored).unwrap(), spec);
    }

    #[test]
    fn what_excludes_each_other_in_a_metric_is_said() {
        let judged = |members: &str| {
            codes(&format!(
                r#"{{ "metrics": {{ "a": {{ "namespace": "n", "metric": "m", "dimensions": {{ "v": "{{color}}" }}, {members} }} }} }}"#
            ))
        };
        assert_eq!(judged(r#""judge": { "alarm": "x" }"#), ["SPEC009"; 3]);
        assert_eq!(judged(r#""judge": { "above": 1 }, "critical": true, "failing": 3"#), ["SPEC009"]);
        assert_eq!(judged(r#""judge": { "above": 1 }, "critical": true, "dryRun": true"#), ["SPEC009"]);
        assert_eq!(judged(r#""judge": "drop", "missing": 3"#), ["SPEC009"]);
        assert_eq!(judged(r#""judge": "lower", "of": 3"#), ["SPEC009"]);
        assert_eq!(judged(r#""judge": { "above": 1 }, "missing": 16"#), ["SPEC007"]);
        assert_eq!(codes(r#"{ "preset": "best" }"#), ["SPEC006"]);
    }
}
