//! A service's own history, as it is read and as the calibration takes it.
//!
//! Called when a service is calibrated, never while a release is judged. [`windows`] says which minutes are read, [`calibrated`]
//! what they tell. Which group served in a minute is told by the counts themselves, not by the ledger: they are what is
//! learned from, and they are there before the daemon knew the service and after it lost its ledger. A minute with two busy
//! groups is of a release and left out. Pure.

use std::{cmp::Reverse, collections::BTreeMap};

use tidegate_model::{
    MetricName,
    calibration::Calibrated,
    observation::{Counts, Load, PastCounts, PastMinute, TargetGroup, Window},
};

use crate::{
    calibration::calibrate,
    errors::tally,
    evidence::{Pair, Tally},
};

/// A day, in minutes.
const DAY: i64 = 1_440;
/// Stretches of older minutes, how long each is, and how far apart they begin, in minutes. The oldest is as old as CloudWatch
/// keeps points of one minute (15 days), less three hours so that none is asked for that is just being rolled up. 45 hours
/// apart, the eight of three hours lie once over every time of day, and over nearly every day of the week.
const STRETCHES: (u32, u32, u32) = (8, 180, 45 * 60);
/// The youngest of them ends so many minutes later than its 45 hours.
const LATER: u32 = 360;
/// Minutes in a row that stay together when a history is put in order: how parts of a service drift apart shows itself from
/// minute to minute, and is forgotten within minutes.
const ROW: usize = 60;
/// Below this share of a minute's requests a group counts as idle.
pub(crate) const IDLE: f64 = 0.02;
/// Zones tell of a minute if they make up the whole but for this share.
const MISSING: f64 = 0.1;

/// What is read: the last day whole, because a service is most like itself of late, and stretches from the days before,
/// because a bad night, a weekend or a weekly job does not happen every day. 2 880 minutes in all, as many as a calibration
/// looks at, instead of 21 600; in whole stretches, because how failures split is learned from minutes in a row.
pub fn windows() -> Vec<Window> {
    let (stretches, minutes, apart) = STRETCHES;
    let older = (1..=stretches).map(|k| Window { back: k * apart - LATER, minutes });
    std::iter::once(Window { back: 0, minutes: DAY as u32 }).chain(older).collect()
}

/// Learns what a service does by itself from its history, oldest minute first. `metrics` are the team's own counts to learn of,
/// and `blue` the group that they are of now.
pub fn calibrated<'a>(
    history: &[PastMinute],
    blue: &TargetGroup,
    metrics: impl IntoIterator<Item = &'a MetricName>,
) -> Calibrated {
    let alone: Vec<Alone<'_>> = history.iter().filter_map(Alone::of).collect();
    let halves = Halves::of(&alone);
    let failures = alone.iter().map(|one| (one, halves.pair(one)));
    Calibrated {
        failures: calibrate(&in_rows(failures)),
        metrics: metrics
            .into_iter()
            .map(|name| (name.clone(), calibrate(&in_rows(counted(&alone, blue, name)))))
            .collect(),
        from: alone.first().map(|one| one.minute.at),
        zones: halves.zones,
    }
}

/// A minute in which one group served alone, whichever it was: the groups change places with each release.
struct Alone<'a> {
    minute: &'a PastMinute,
    group: &'a TargetGroup,
    counts: &'a PastCounts,
    whole: Tally,
}

impl<'a> Alone<'a> {
    fn of(minute: &'a PastMinute) -> Option<Self> {
        let groups = minute.groups.iter();
        let groups: Vec<Self> = groups
            .filter_map(|(group, counts)| {
                Some(Self { minute, group, counts, whole: possible(counts.whole)? })
            })
            .collect();
        let all: f64 = groups.iter().map(|group| group.whole.requests).sum();
        let busiest = groups.into_iter().max_by(|a, b| a.whole.requests.total_cmp(&b.whole.requests))?;
        let requests = busiest.whole.requests;
        (requests > 0.0 && requests >= (1.0 - IDLE) * all).then_some(busiest)
    }

    /// Its zones, if they make up the whole: a minute of which a zone is missing would look as if the zones differed.
    fn zones(&self) -> Option<Vec<Tally>> {
        let zones: Vec<Tally> =
            self.counts.zones.iter().map(|load| possible(*load)).collect::<Option<_>>()?;
        let told = |of: fn(&Tally) -> f64| {
            let (sum, whole) = (zones.iter().map(of).sum::<f64>(), of(&self.whole));
            (sum - whole).abs() <= (MISSING * whole).max(1.0)
        };
        (told(|tally| tally.requests) && told(|tally| tally.failures)).then_some(zones)
    }
}

/// Counts as they can be, as those of a release are taken.
fn possible(load: Load) -> Option<Tally> {
    tally(&Counts { requests: Some(load.requests), failures: load.failures, ..Counts::default() })
}

/// Two parts of the service, each of one or more zones.
struct Halves {
    /// Of each zone, whether it belongs to the first part.
    first: Vec<bool>,
    /// Zones with traffic; 0 if they cannot be told apart.
    zones: u32,
}

impl Halves {
    /// Of two zones each is a part. Of more, each in turn, the busiest first, goes to the part with less traffic: the evener
    /// the parts, the more each minute tells.
    fn of(alone: &[Alone<'_>]) -> Self {
        let mut requests: Vec<f64> = vec![];
        for zones in alone.iter().filter_map(Alone::zones) {
            requests.resize(requests.len().max(zones.len()), 0.0);
            requests.iter_mut().zip(&zones).for_each(|(sum, zone)| *sum += zone.requests);
        }
        let mut busiest: Vec<usize> = (0..requests.len()).filter(|zone| requests[*zone] > 0.0).collect();
        busiest.sort_by(|a, b| requests[*b].total_cmp(&requests[*a]));
        let (mut first, mut parts) = (vec![false; requests.len()], [0.0, 0.0]);
        for zone in &busiest {
            first[*zone] = parts[0] <= parts[1];
            parts[usize::from(!first[*zone])] += requests[*zone];
        }
        let zones = if busiest.len() < 2 { 0 } else { u32::try_from(busiest.len()).unwrap_or(u32::MAX) };
        Self { first, zones }
    }

    /// The two parts in the places of blue and green; the whole in blue's where zones do not tell.
    fn pair(&self, one: &Alone<'_>) -> Pair {
        let zones = one.zones().filter(|zones| self.zones > 0 && zones.len() == self.first.len());
        let Some(zones) = zones else { return Pair { blue: one.whole, green: Tally::default() } };
        let mut pair = Pair::default();
        for (zone, first) in zones.iter().zip(&self.first) {
            let part = if *first { &mut pair.blue } else { &mut pair.green };
            part.requests += zone.requests;
            part.failures += zone.failures;
        }
        pair
    }
}

/// A team's own counts while its present revision served, from the first minute on in which it counted anything.
fn counted<'a>(
    alone: &'a [Alone<'a>],
    blue: &'a TargetGroup,
    name: &'a MetricName,
) -> impl Iterator<Item = (&'a Alone<'a>, Pair)> {
    let of_blue = alone.iter().filter(move |one| one.group == blue);
    of_blue.skip_while(move |one| !one.minute.metrics.contains_key(name)).filter_map(move |one| {
        let counted = one.minute.metrics.get(name).copied().unwrap_or(0.0);
        let possible = counted.is_finite() && (0.0..=1e15).contains(&counted);
        let blue = Tally { requests: one.whole.requests, failures: counted.round() };
        possible.then_some((one, Pair { blue, green: Tally::default() }))
    })
}

/// Minutes in the order in which they are learned from: where only the last ones are looked at, those are of every day. The
/// last row of each day comes last, before it the last but one of each, and so on; of days alike the older first.
fn in_rows<'a>(minutes: impl Iterator<Item = (&'a Alone<'a>, Pair)>) -> Vec<Pair> {
    let minutes: Vec<(i64, Pair)> =
        minutes.map(|(one, pair)| (one.minute.at.as_second().div_euclid(60), pair)).collect();
    let Some((newest, _)) = minutes.last().copied() else { return vec![] };
    let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
    let mut rows = vec![];
    for (at, pair) in minutes.into_iter().rev() {
        let day = (newest - at).div_euclid(DAY);
        let before = seen.entry(day).or_default();
        rows.push(((Reverse(*before / ROW), Reverse(day), at), pair));
        *before += 1;
    }
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, pair)| pair).collect()
}

#[cfg(test)]
mod tests;
