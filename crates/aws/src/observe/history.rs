//! A service's own history: requests and failures by target group and availability zone, for all releases that are calibrated
//! in this pass together.
//!
//! The budget: once a day for each service, a call for each stretch of time (a call has one), nine of them; and as services
//! are asked for together, for up to some twenty of them at once: two target groups in three zones are 24 metrics.
//!
//! Whether CloudWatch means the zone of the load balancer's node or the target's is not documented. Parts of one version they are
//! either way, and a zone that has no metrics of its own leaves the whole.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidegate_model::{
    Fact, MetricName, ReleaseName, Why,
    observation::{Color, HistoryNeeds, Load, Needs, Observation, PastMinute, TargetGroup, Window},
};

use super::{
    metrics::{FAILURES, alb_stat, closed_until, zone_stat},
    points::{Series, Stat},
};
use crate::Aws;

/// What one query's answer means.
#[derive(Clone, Debug)]
enum Meaning {
    /// Of a whole target group.
    Whole(TargetGroup, Counted),
    /// Of one of so many zones.
    Zone(TargetGroup, (usize, usize), Counted),
    /// A count of the team's own.
    Own(MetricName),
}

#[derive(Clone, Copy, Debug)]
enum Counted {
    Requests,
    Failures,
}

/// What is asked of a release's history.
struct Asked<'a> {
    windows: &'a [Window],
    queries: Vec<(Meaning, Stat)>,
}

type Minutes = BTreeMap<i64, PastMinute>;

impl Aws {
    /// The history of every release that needs it, oldest minute first; minutes without data are left out.
    pub(super) async fn histories(
        &self,
        needs: &BTreeMap<ReleaseName, Needs>,
        seen: &BTreeMap<ReleaseName, Observation>,
        now: Timestamp,
    ) -> BTreeMap<ReleaseName, Fact<Vec<PastMinute>>> {
        let wanted: BTreeMap<&ReleaseName, (&HistoryNeeds, &Observation)> = needs
            .iter()
            .filter_map(|(release, need)| Some((release, (need.history.as_ref()?, seen.get(release)?))))
            .collect();
        let groups = wanted.values().filter_map(|(_, seen)| seen.group.known());
        let balancers =
            groups.flat_map(|group| &group.target_groups).filter_map(|g| self.balancer_of(g)).collect();
        let zones = match self.zones(&balancers).await {
            Ok(zones) => zones,
            Err(error) => return wanted.into_keys().map(|r| (r.clone(), error.unknown())).collect(),
        };
        let mut found: BTreeMap<&ReleaseName, Fact<Minutes>> = BTreeMap::new();
        let mut asked: BTreeMap<&ReleaseName, Asked<'_>> = BTreeMap::new();
        for (release, (need, seen)) in wanted {
            let fact = seen.group.as_ref().map(|group| {
                let queries = self.past_queries(need, seen, &group.target_groups, &zones);
                asked.insert(release, Asked { windows: &need.windows, queries });
                Minutes::new()
            });
            found.insert(release, fact);
        }
        self.fill_histories(&asked, &mut found, closed_until(now)).await;
        let in_order = |fact: Fact<Minutes>| fact.map(|minutes| minutes.into_values().collect());
        found.into_iter().map(|(release, fact)| (release.clone(), in_order(fact))).collect()
    }

    /// Stretch by stretch. A release of which something could not be read is not asked about any more.
    async fn fill_histories(
        &self,
        asked: &BTreeMap<&ReleaseName, Asked<'_>>,
        found: &mut BTreeMap<&ReleaseName, Fact<Minutes>>,
        end: i64,
    ) {
        let windows: BTreeSet<(u32, u32)> = asked
            .values()
            .flat_map(|asked| asked.windows)
            .map(|window| (window.back, window.minutes))
            .collect();
        for (back, minutes) in windows {
            let known = |release: &ReleaseName| found.get(release).is_some_and(|fact| fact.known().is_some());
            let now: Vec<(&ReleaseName, &Asked<'_>)> = asked
                .iter()
                .filter(|(release, asked)| {
                    known(release) && asked.windows.contains(&Window { back, minutes })
                })
                .map(|(release, asked)| (*release, asked))
                .collect();
            let stats =
                now.iter().flat_map(|(_, asked)| asked.queries.iter().map(|(_, stat)| stat)).collect();
            let end = end - i64::from(back) * 60;
            let answers = self.points(&stats, (end - i64::from(minutes) * 60, end)).await;
            for (release, asked) in now {
                let Some(fact) = found.get_mut(release) else { continue };
                for (meaning, stat) in &asked.queries {
                    match (answers.get(stat), &mut *fact) {
                        (Some(Ok(series)), Fact::Known(minutes)) => fill(minutes, meaning, series),
                        (Some(Err(failure)), _) => *fact = Fact::Unknown(failure.why()),
                        (None, _) => *fact = Fact::Unknown(Why::Malformed),
                        (Some(Ok(_)), _) => {}
                    }
                }
            }
        }
    }

    fn past_queries(
        &self,
        need: &HistoryNeeds,
        seen: &Observation,
        groups: &[TargetGroup],
        zones: &BTreeMap<String, Vec<String>>,
    ) -> Vec<(Meaning, Stat)> {
        let counted = || {
            let failures = FAILURES.map(|metric| (metric, Counted::Failures));
            std::iter::once(("RequestCount", Counted::Requests)).chain(failures)
        };
        let mut all = vec![];
        for group in groups {
            let Some(balancer) = self.balancer_of(group) else { continue };
            for (metric, counts) in counted() {
                let whole = alb_stat(metric, "Sum", &balancer, group);
                all.push((Meaning::Whole(group.clone(), counts), whole));
            }
            // One zone is the whole.
            let zones = zones.get(&balancer).filter(|zones| zones.len() > 1);
            for (i, zone) in zones.into_iter().flatten().enumerate() {
                let of = zones.map_or(0, Vec::len);
                for (metric, counts) in counted() {
                    let here = zone_stat(metric, &balancer, group, zone);
                    all.push((Meaning::Zone(group.clone(), (i, of), counts), here));
                }
            }
        }
        let primary = seen.service.known().and_then(|service| service.primary());
        let serving = primary
            .and_then(|set| Some(Color { group: set.target_group.clone()?, revision: set.revision.clone() }));
        for (name, check) in &need.metrics {
            let own = serving.as_ref().and_then(|color| self.own_stat(check, "blue", color));
            all.extend(own.map(|stat| (Meaning::Own(name.clone()), stat)));
        }
        all
    }
}

fn fill(minutes: &mut Minutes, meaning: &Meaning, series: &Series) {
    for (at, value) in series {
        let Ok(instant) = Timestamp::from_second(*at) else { continue };
        let minute = minutes.entry(*at).or_default();
        minute.at = instant;
        match meaning {
            Meaning::Whole(group, counted) => {
                add(&mut minute.groups.entry(group.clone()).or_default().whole, *counted, *value);
            }
            Meaning::Zone(group, (zone, of), counted) => {
                let zones = &mut minute.groups.entry(group.clone()).or_default().zones;
                zones.resize(*of, Load::default());
                add(&mut zones[*zone], *counted, *value);
            }
            Meaning::Own(name) => {
                minute.metrics.insert(name.clone(), *value);
            }
        }
    }
}

fn add(load: &mut Load, counted: Counted, value: f64) {
    match counted {
        Counted::Requests => load.requests += value,
        Counted::Failures => load.failures += value,
    }
}
