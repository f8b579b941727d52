//! Blue's last hour, frozen before the first production weight.

use std::collections::BTreeMap;

use tidegate_model::{
    observation::{Counts, Minute, TargetGroup},
    verdict::Baseline,
};

/// Rates, latency and connections are those of so many last minutes.
pub const RECENT: usize = 60;
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
        calibration: None,
        slow: slow(&with_traffic),
        metrics: BTreeMap::new(),
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
