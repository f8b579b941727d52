//! Metrics and alarms of the team's own: what a spec may say of them.
//!
//! Types and reader together, as in [`super`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Code, Document, Members, Node};
use crate::{MetricName, duration::Span};

/// A release may be judged by so many metrics of its own: each costs two queries a minute.
const METRICS_MAX: usize = 10;
/// A CloudWatch metric has at most so many dimensions.
const DIMENSIONS_MAX: usize = 30;
/// A check looks back at so many minutes at most.
const WINDOW_MAX: u64 = 15;

/// A metric, or an alarm, that green is judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricCheck {
    /// The CloudWatch namespace; none for an alarm.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The metric's name; none for an alarm.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
    /// For what must never be: a limit is broken by the first failing minute, and evidence weighs as much as that of failed
    /// requests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
    /// After so many minutes in a row without a value of green's it fails, 1 to 15; when absent such minutes break nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u32>,
    /// Minutes of green under traffic that are not judged at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// True if it is judged and shown, and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// When green is worse, by a metric of the team's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MetricRule {
    /// It counts what shall happen (checkouts, sign-ups): evidence that green has fewer of it a request than blue.
    Drop,
    /// It counts what shall not happen: evidence that green has more of it a request than blue.
    Rise,
    /// A value that is no count (CPU, memory, a mean duration): evidence that green's is higher than blue's.
    Higher,
    /// Evidence that green's value is lower than blue's.
    Lower,
    /// Green's value is above this.
    Above(f64),
    /// Green's value is below this.
    Below(f64),
    /// Green's value is above so many times blue's in the same minute.
    TimesBlue(f64),
    /// Green's value is above blue's in the same minute by more than this.
    OverBlue(f64),
    /// The CloudWatch alarm of this name, metric or composite, is in state ALARM.
    Alarm(String),
}

impl MetricRule {
    /// True if green is compared with blue, so that each must have values of its own.
    pub fn compares(&self) -> bool {
        match self {
            Self::Drop | Self::Rise | Self::Higher | Self::Lower | Self::TimesBlue(_) | Self::OverBlue(_) => {
                true
            }
            Self::Above(_) | Self::Below(_) | Self::Alarm(_) => false,
        }
    }

    /// True if evidence is gathered over all minutes, and no limit held against the last ones.
    pub fn by_evidence(&self) -> bool {
        match self {
            Self::Drop | Self::Rise | Self::Higher | Self::Lower => true,
            Self::Above(_) | Self::Below(_) | Self::TimesBlue(_) | Self::OverBlue(_) | Self::Alarm(_) => {
                false
            }
        }
    }

    /// True if it is counts that are compared.
    pub fn counts(&self) -> bool {
        match self {
            Self::Drop | Self::Rise => true,
            Self::Higher
            | Self::Lower
            | Self::Above(_)
            | Self::Below(_)
            | Self::TimesBlue(_)
            | Self::OverBlue(_)
            | Self::Alarm(_) => false,
        }
    }

    /// The alarm's name, if the rule is one.
    pub fn alarm(&self) -> Option<&str> {
        match self {
            Self::Alarm(name) => Some(name),
            Self::Drop
            | Self::Rise
            | Self::Higher
            | Self::Lower
            | Self::Above(_)
            | Self::Below(_)
            | Self::TimesBlue(_)
            | Self::OverBlue(_) => None,
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

pub(super) fn metrics(
    doc: &mut Document<'_>,
    node: &Node<'_, '_>,
) -> Option<BTreeMap<MetricName, MetricCheck>> {
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
    let known = [
        "namespace",
        "metric",
        "dimensions",
        "statistic",
        "judge",
        "failing",
        "of",
        "critical",
        "missing",
        "after",
        "dryRun",
    ];
    let members = node.object(doc, &known)?;
    let judge = members.need(doc, "judge").cloned().and_then(|node| rule(doc, &node));
    if let Some(MetricRule::Alarm(_)) = &judge {
        return alarm(doc, &members, judge?);
    }
    let namespace = super::super::read::need_text(doc, &members, "namespace", 255);
    let metric = super::super::read::need_text(doc, &members, "metric", 255);
    let dimensions = members.get("dimensions").map_or(Some(BTreeMap::new()), |node| dimensions(doc, node));
    let statistic = members.get("statistic").map_or(Some(sum()), |node| statistic(doc, node));
    let critical = members.get("critical").map_or(Some(false), |node| node.boolean(doc));
    let window = window(doc, &members, judge.as_ref(), critical == Some(true));
    let missing = missing(doc, &members, judge.as_ref());
    let after = members.get("after").map(|node| node.parsed(doc, str::parse::<Span>));
    let dry_run = members.get("dryRun").map_or(Some(false), |node| node.boolean(doc));
    let (judge, dimensions, statistic) = (judge?, dimensions?, statistic?);
    fits(doc, node, &judge, (&dimensions, &statistic));
    if critical == Some(true) && dry_run == Some(true) {
        let how = "what is on trial decides nothing, and what is critical decides alone";
        doc.note(node, Code::Conflict, how, "leave critical or dryRun out");
    }
    Some(MetricCheck {
        namespace: namespace?,
        metric: metric?,
        dimensions,
        statistic,
        judge,
        failing: window?.0,
        of: window?.1,
        critical: critical?,
        missing: missing?,
        after: after.map_or(Some(None), |span| span.map(Some))?,
        dry_run: dry_run?,
    })
}

/// An alarm has a metric, a window and an opinion on missing values of its own.
fn alarm(doc: &mut Document<'_>, members: &Members<'_, '_>, judge: MetricRule) -> Option<MetricCheck> {
    for key in ["namespace", "metric", "dimensions", "statistic", "failing", "of", "critical", "missing"] {
        if let Some(node) = members.get(key) {
            let how = "an alarm says by itself what it looks at, and decides at once";
            doc.note(node, Code::Conflict, how, "leave it out, or change the alarm");
        }
    }
    let after = members.get("after").map(|node| node.parsed(doc, str::parse::<Span>));
    let dry_run = members.get("dryRun").map_or(Some(false), |node| node.boolean(doc));
    Some(MetricCheck {
        namespace: String::new(),
        metric: String::new(),
        dimensions: BTreeMap::new(),
        statistic: sum(),
        judge,
        failing: 1,
        of: 1,
        critical: false,
        missing: None,
        after: after.map_or(Some(None), |span| span.map(Some))?,
        dry_run: dry_run?,
    })
}

/// Whether rule, dimensions and statistic go together.
fn fits(
    doc: &mut Document<'_>,
    node: &Node<'_, '_>,
    judge: &MetricRule,
    (dimensions, statistic): (&BTreeMap<String, String>, &str),
) {
    let differs = dimensions.values().any(|value| PLACEHOLDERS.iter().any(|one| value.contains(one)));
    if judge.compares() && !differs {
        doc.note(
            node,
            Code::Conflict,
            "green is compared with blue, and no dimension tells them apart",
            "use {color}, {taskDefinition} or {targetGroup} in a dimension's value, or judge by above or below",
        );
    }
    if judge.counts() && !["Sum", "SampleCount"].contains(&statistic) {
        doc.note(
            node,
            Code::Conflict,
            "drop and rise judge counts: statistic must be Sum or SampleCount",
            "use higher, lower, timesBlue or overBlue for other statistics",
        );
    }
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
    const HOW: &str = "\"drop\", \"rise\", \"higher\", \"lower\", {\"above\": n}, {\"below\": n}, {\"timesBlue\": n}, {\"overBlue\": n} or {\"alarm\": \"name\"} is needed";
    match node.as_str() {
        Some("drop") => return Some(MetricRule::Drop),
        Some("rise") => return Some(MetricRule::Rise),
        Some("higher") => return Some(MetricRule::Higher),
        Some("lower") => return Some(MetricRule::Lower),
        Some(_) => {
            doc.note(node, Code::BadValue, HOW, "");
            return None;
        }
        None => {}
    }
    let members = node.object(doc, &["above", "below", "timesBlue", "overBlue", "alarm"])?;
    if members.len() != 1 {
        doc.note(node, Code::Conflict, HOW, "exactly one of them");
        return None;
    }
    if let Some(node) = members.get("alarm") {
        return node.text(doc, 255).map(MetricRule::Alarm);
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
    judge: Option<&MetricRule>,
    critical: bool,
) -> Option<(u32, u32)> {
    for key in ["failing", "of"] {
        let Some(node) = members.get(key) else { continue };
        if judge.is_some_and(MetricRule::by_evidence) {
            let how = "evidence is gathered over all minutes: there is no window";
            doc.note(node, Code::Conflict, how, "leave failing and of out, or judge by a limit");
        } else if critical {
            let how = "what is critical fails at its first failing minute: there is no window";
            doc.note(node, Code::Conflict, how, "leave failing and of out, or critical");
        }
    }
    if critical {
        return Some((1, 1));
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

fn missing(
    doc: &mut Document<'_>,
    members: &Members<'_, '_>,
    judge: Option<&MetricRule>,
) -> Option<Option<u32>> {
    let Some(node) = members.get("missing") else { return Some(None) };
    if judge.is_some_and(MetricRule::counts) {
        let how = "for drop and rise a minute without a value is a count of zero";
        doc.note(node, Code::Conflict, how, "leave missing out");
    }
    node.integer(doc, 1, WINDOW_MAX).and_then(|minutes| u32::try_from(minutes).ok()).map(Some)
}
