//! Blue's history, frozen before the first production weight.

use tidegate_model::{
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
    })
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
