//! Blue's last hour, and how its values varied in a day: frozen before the first production weight.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::{
    MetricName,
    calibration::GaugeHistory,
    observation::{Counts, Minute, TargetGroup},
    verdict::Baseline,
};

use crate::{
    errors::{self, tally},
    evidence::Tally,
    gauge::learn,
    guards::{self, BALANCER_MINUTES, BOTH_MINUTES, worst_stretch},
    history::IDLE,
    values::connections,
};

/// Rates, latency and connections are those of so many last minutes.
const RECENT: usize = 60;
/// Minutes that are read: a day tells how values vary, and the worst that happened.
pub const MINUTES: usize = 1_440;
/// A request is called slow that takes so many times as long as what few requests take longer than: where all take alike, a
/// version that is slower by less is no worse.
const SLOWER: f64 = 1.15;
/// No request is called slow that took less than this, in seconds: nobody feels it.
const FELT: f64 = 0.05;

/// Sums up the closed minutes in which blue had traffic; `None` if fewer than `at_least` of them are there. What is calibrated
/// on a longer history comes beside it.
pub fn baseline(minutes: &[Minute], blue: &TargetGroup, at_least: usize) -> Option<Baseline> {
    let recent = &minutes[minutes.len().saturating_sub(RECENT)..];
    let with_traffic: Vec<(&Minute, &Counts)> = recent
        .iter()
        .filter_map(|minute| Some((minute, minute.groups.get(blue)?)))
        .filter(|(_, counts)| {
            tally(counts).is_some() && counts.requests.is_some_and(|requests| requests > 0.0)
        })
        .collect();
    if with_traffic.len() < at_least.max(1) {
        return None;
    }
    let mut latencies: Vec<f64> = with_traffic.iter().filter_map(|(_, counts)| counts.latency).collect();
    latencies.sort_by(f64::total_cmp);
    Some(Baseline {
        from: with_traffic.first()?.0.at,
        minutes: u32::try_from(with_traffic.len()).unwrap_or(u32::MAX),
        requests: with_traffic.iter().filter_map(|(_, counts)| counts.requests).sum(),
        failures: with_traffic.iter().map(|(_, counts)| counts.failures).sum(),
        latency: latencies.get(latencies.len() / 2).copied(),
        connections: recent.iter().filter_map(|minute| minute.connections).reduce(f64::max),
        calibration: None,
        slow: slow(&with_traffic),
        metrics: BTreeMap::new(),
        gauges: gauges(minutes),
        connection_history: learn(&of_connections(minutes)),
        max_connections: None,
        worst_minutes: Some(failing_stretch(minutes, errors::WINDOW.needed, errors::MIN_FAILURES)),
        worst_stretch: Some(failing_stretch(minutes, BOTH_MINUTES, guards::MIN_FAILURES)),
        balancer: balancer(minutes),
        detectable: vec![],
    })
}

/// How the team's own values of blue vary.
fn gauges(minutes: &[Minute]) -> BTreeMap<MetricName, GaugeHistory> {
    let names: BTreeSet<&MetricName> = minutes.iter().flat_map(|minute| minute.metrics.keys()).collect();
    let values = |name: &MetricName| -> Vec<f64> {
        minutes.iter().filter_map(|minute| minute.metrics.get(name)?.blue).collect()
    };
    names.into_iter().filter_map(|name| Some((name.clone(), learn(&values(name))?))).collect()
}

fn of_connections(minutes: &[Minute]) -> Vec<f64> {
    minutes.iter().filter_map(connections).collect()
}

/// How often the service failed for so many minutes in a row at the worst; a minute with fewer than so many failures counts as none.
fn failing_stretch(minutes: &[Minute], stretch: usize, at_least: f64) -> f64 {
    let shares: Vec<f64> = minutes
        .iter()
        .map(|minute| {
            let alone = serving_alone(minute).filter(|tally| tally.failures >= at_least);
            alone.map_or(0.0, |tally| tally.failures / tally.requests)
        })
        .collect();
    worst_stretch(&shares, stretch)
}

/// What was served in a minute in which one group served alone.
fn serving_alone(minute: &Minute) -> Option<Tally> {
    let tallies: Vec<Tally> = minute.groups.values().filter_map(tally).collect();
    let all: f64 = tallies.iter().map(|tally| tally.requests).sum();
    let busiest = tallies.into_iter().max_by(|a, b| a.requests.total_cmp(&b.requests))?;
    (busiest.requests > 0.0 && busiest.requests >= (1.0 - IDLE) * all).then_some(busiest)
}

/// What the load balancer answered itself with 5xx, of all requests, and the worst of it for as long as makes a release go back.
fn balancer(minutes: &[Minute]) -> Option<[f64; 2]> {
    let shares: Vec<f64> = minutes.iter().filter_map(|minute| Some(guards::of_balancer(minute)?.1)).collect();
    let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    (!shares.is_empty()).then(|| [mean, worst_stretch(&shares, BALANCER_MINUTES)])
}

/// The medians of the minutes' percentiles, if there are any.
fn slow(minutes: &[(&Minute, &Counts)]) -> Option<[f64; 2]> {
    let median = |which: usize| {
        let mut all: Vec<f64> = minutes.iter().filter_map(|(_, counts)| counts.quantiles[which]).collect();
        all.retain(|seconds| seconds.is_finite());
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).map(|seconds| (SLOWER * seconds).max(FELT))
    };
    Some([median(0)?, median(1)?])
}
