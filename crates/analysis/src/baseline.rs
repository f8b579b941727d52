//! Blue's history, frozen before the first production weight.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::{
    MetricName,
    calibration::Calibration,
    observation::{Counts, Minute, TargetGroup},
    verdict::Baseline,
};

use crate::{
    calibration::calibrate,
    errors::tally,
    evidence::{Pair, Tally},
};

/// Rates, latency and connections are those of so many last minutes; the calibration is of everything given.
const RECENT: usize = 60;
/// A request is called slow that takes so many times as long as what few requests take longer than: where all take alike, a
/// version that is slower by less is no worse.
const SLOWER: f64 = 1.15;
/// No request is called slow that took less than this, in seconds: nobody feels it.
const FELT: f64 = 0.05;
/// Below this share of a minute's requests a group counts as idle; minutes with two busy groups are of a release.
const IDLE: f64 = 0.02;

/// Sums up the closed minutes in which blue had traffic; `None` if fewer than `at_least` of them are there.
pub fn baseline(minutes: &[Minute], blue: &TargetGroup, at_least: usize) -> Option<Baseline> {
    let recent = &minutes[minutes.len().saturating_sub(RECENT)..];
    let with_traffic: Vec<(&Minute, &Counts)> = recent
        .iter()
        .filter_map(|minute| Some((minute, minute.groups.get(blue)?)))
        .filter(|(_, counts)| counts.requests.is_some_and(|requests| requests > 0.0))
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
        calibration: Some(calibrate(&history(minutes))),
        slow: slow(&with_traffic),
        metrics: metrics(minutes, blue),
        detectable: vec![],
    })
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

/// How the team's own counts varied while blue served alone, by the metric's name.
fn metrics(minutes: &[Minute], blue: &TargetGroup) -> BTreeMap<MetricName, Calibration> {
    let names: BTreeSet<&MetricName> = minutes.iter().flat_map(|minute| minute.metrics.keys()).collect();
    let history = |name: &MetricName| -> Vec<Pair> {
        let alone = minutes.iter().filter_map(|minute| {
            let serving = serving_alone(minute)?;
            minute.groups.get(blue).filter(|counts| counts.requests == Some(serving.requests))?;
            let counted = minute.metrics.get(name).and_then(|sides| sides.blue).unwrap_or(0.0);
            let possible = counted.is_finite() && (0.0..=1e15).contains(&counted);
            possible.then(|| Tally { requests: serving.requests, failures: counted.round() })
        });
        alone.map(|blue| Pair { blue, green: Tally::default() }).collect()
    };
    names.into_iter().map(|name| (name.clone(), calibrate(&history(name)))).collect()
}

/// The minutes in which one group served alone, whichever it was: the groups change places with each release.
fn history(minutes: &[Minute]) -> Vec<Pair> {
    minutes.iter().filter_map(serving_alone).map(|blue| Pair { blue, green: Tally::default() }).collect()
}

fn serving_alone(minute: &Minute) -> Option<Tally> {
    let tallies: Vec<Tally> = minute.groups.values().filter_map(tally).collect();
    let all: f64 = tallies.iter().map(|tally| tally.requests).sum();
    let busiest = tallies.into_iter().max_by(|a, b| a.requests.total_cmp(&b.requests))?;
    (busiest.requests > 0.0 && busiest.requests >= (1.0 - IDLE) * all).then_some(busiest)
}
