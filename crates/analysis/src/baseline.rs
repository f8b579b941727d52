//! Blue's history, frozen before the first production weight.

use tidegate_model::{
    observation::{Counts, Minute, TargetGroup},
    verdict::Baseline,
};

/// Sums up the closed minutes in which blue had traffic; `None` if fewer than `at_least` of them are there.
pub fn baseline(minutes: &[Minute], blue: &TargetGroup, at_least: usize) -> Option<Baseline> {
    let with_traffic: Vec<(&Minute, &Counts)> = minutes
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
        connections: minutes.iter().filter_map(|minute| minute.connections).reduce(f64::max),
    })
}
