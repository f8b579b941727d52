//! What was measured, and whether each promise was kept.

use std::{collections::BTreeMap, fmt};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidegate_shop::customers::{ReadBack, Report as Traffic};

use super::{
    counts::Counts,
    stage::Stage,
    watch::{Seen, Weights},
};
use crate::exit::Failure;

/// Most of the traffic that a bad version may get.
const MOST_TRAFFIC: f64 = 30.0;
/// Closed minutes from the first failing one to the rollback.
const MOST_MINUTES: i64 = 5;
/// Requests that may be counted in the neighbouring minute: those under way when it ends.
const AT_THE_EDGE: f64 = 6.0;

/// What the demo measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Every promise, in the order of the story.
    pub promises: Vec<Promise>,
}

/// A promise, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// What was promised.
    pub promise: String,
    /// What was measured.
    pub measured: String,
    /// True if it was kept.
    pub kept: bool,
}

/// What the story found while it was told.
pub(super) struct Told {
    /// Why contract was refused after version 2.
    pub(super) named: String,
    /// The traffic up to the end of contract.
    pub(super) good: Traffic,
    /// What the restored copy held.
    pub(super) copied: ReadBack,
    /// What the database holds.
    pub(super) live: ReadBack,
    /// The end of the bad version.
    pub(super) rollback: Rollback,
}

/// The end of the bad version.
pub(super) struct Rollback {
    /// When its spec was written.
    pub(super) from: Timestamp,
    /// Why it went back, for people.
    pub(super) cause: String,
    /// The cause's word.
    pub(super) reason: String,
}

impl Report {
    /// True if every promise was kept.
    pub fn kept(&self) -> bool {
        self.promises.iter().all(|promise| promise.kept)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n── What was promised, and what was measured {}", "─".repeat(23))?;
        for Promise { promise, measured, kept } in &self.promises {
            let mark = if *kept { "✓ kept  " } else { "✗ BROKEN" };
            writeln!(f, "{mark} {promise}\n             {measured}")?;
        }
        Ok(())
    }
}

/// Holds every promise against what was measured.
pub(super) async fn evaluate(stage: &Stage, told: &Told) -> Result<Report, Failure> {
    let seen = stage.watch.seen();
    let counts = Counts::read(stage, &seen).await?;
    let mut promises = vec![traffic(&told.good), rate(&told.good)];
    promises.push(Promise {
        promise: "contract is refused while version 2 serves, and the statement is named".into(),
        measured: told.named.clone(),
        kept: told.named.contains("customers"),
    });
    promises.push(read_back(
        "writes acknowledged up to the snapshot are in its restored copy, in both forms",
        &told.copied,
    ));
    promises.push(read_back("every acknowledged write is in the database, in the new form", &told.live));
    promises.extend(rolled_back(stage, told, &seen, &counts));
    promises.push(Promise {
        promise: "page and metrics, scraped each second, never miss".into(),
        measured: format!("{} scrapes, {} missed", seen.scrapes, seen.missed),
        kept: seen.missed == 0 && seen.scrapes > 100,
    });
    promises.push(weights(&seen, &counts));
    Ok(Report { promises })
}

fn traffic(good: &Traffic) -> Promise {
    let causes: Vec<String> = good.causes.iter().map(|(cause, n)| format!("{n} {cause}")).collect();
    Promise {
        promise: "no request fails while good versions roll and through expand and contract".into(),
        measured: format!(
            "{} requests sent ({} on kept connections, {} writes), {} failed, {} answered wrongly {}",
            good.sent,
            good.sent_on_kept,
            good.written,
            good.failed,
            good.wrong,
            causes.join(", ")
        )
        .trim_end()
        .to_owned(),
        kept: good.failed == 0 && good.wrong == 0,
    }
}

fn rate(good: &Traffic) -> Promise {
    let seconds = good.history.len().max(1);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
    let rate = good.sent as f64 / seconds as f64;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
    let kept = good.sent_on_kept as f64 / good.sent.max(1) as f64;
    Promise {
        promise: "at least 100 requests a second, reads and writes, half on kept connections".into(),
        measured: format!("{rate:.0} a second over {seconds} s, {:.0} % kept", kept * 100.0),
        kept: rate >= 100.0 && (0.4..=0.6).contains(&kept) && good.written > 0,
    }
}

fn read_back(promise: &str, read: &ReadBack) -> Promise {
    Promise {
        promise: promise.to_owned(),
        measured: format!("{} customers looked for, {} wrong", read.checked, read.wrong),
        kept: read.wrong == 0 && read.checked > 0,
    }
}

fn rolled_back(stage: &Stage, told: &Told, seen: &Seen, counts: &Counts) -> Vec<Promise> {
    let Rollback { from, cause, reason } = &told.rollback;
    let stop =
        stage.local.sandbox.audit().into_iter().find(|e| e.operation == "StopDeployment" && e.at >= *from);
    let failing = counts.first_failing(*from);
    let minutes = match (&stop, failing) {
        (Some(stop), Some(failing)) => Some(stop.at.duration_since(failing).as_secs() / 60),
        (None, _) | (_, None) => None,
    };
    let most = seen.largest_share_since(*from);
    let alarm = stage.local.sandbox.world().alarm_left_ok("ecommerce-5xx");
    vec![
        Promise {
            promise: "the bad version is rolled back by Tidegate's own verdict; the group's alarm stays OK"
                .into(),
            measured: format!("cause: {reason}; alarm {}", if alarm { "was red" } else { "stayed OK" }),
            kept: reason == "verdict" && !alarm,
        },
        Promise {
            promise: format!("within {MOST_MINUTES} closed minutes of the first failing one"),
            measured: minutes
                .map_or("not stopped".into(), |minutes| format!("{minutes} closed minutes after it")),
            kept: minutes.is_some_and(|minutes| minutes <= MOST_MINUTES),
        },
        Promise {
            promise: format!("at no more than {MOST_TRAFFIC} % of the traffic"),
            measured: format!("{most:.0} %"),
            kept: most <= MOST_TRAFFIC && most > 0.0,
        },
        Promise {
            promise: "the cause is shown with the measured value and the limit".into(),
            measured: cause.clone(),
            kept: cause.chars().filter(char::is_ascii_digit).count() >= 2,
        },
    ]
}

/// In each closed minute in which no step fell, the metrics' weight is the balancer's, and so is the share of requests.
fn weights(seen: &Seen, counts: &Counts) -> Promise {
    let (mut compared, mut wrong) = (0, vec![]);
    for (minute, weights, reported) in seen.quiet_minutes() {
        let Some(blue) = seen.blue_at(minute) else { continue };
        let set = share_besides(&weights, &blue);
        let Some(served) = counts.share_besides(minute, &blue) else { continue };
        compared += 1;
        let enough = (served.share - set).abs() <= AT_THE_EDGE / served.requests.max(1.0);
        if (reported - set).abs() > 1e-9 || !enough {
            wrong.push(format!("{minute}: metrics {reported}, listener {set}, requests {:.3}", served.share));
        }
    }
    Promise {
        promise: "reported weights equal the balancer's in each closed minute in which no step fell".into(),
        measured: match wrong.first() {
            None => format!("{compared} minutes compared, all equal"),
            Some(first) => format!("{compared} minutes compared, {} differ; first {first}", wrong.len()),
        },
        kept: wrong.is_empty() && compared >= 10,
    }
}

/// Share of the weight that is not the group's.
fn share_besides(weights: &Weights, group: &str) -> f64 {
    let total: u32 = weights.values().sum();
    let besides = total - weights.get(group).copied().unwrap_or(0);
    f64::from(besides) / f64::from(total.max(1))
}

fn minute_of(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at)
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

impl Seen {
    fn weights_at(&self, at: Timestamp) -> Option<&Weights> {
        self.weights.iter().rev().find(|(since, _)| *since <= at).map(|(_, weights)| weights)
    }

    /// Whole minutes in which the listener did not change and the metrics told a weight: with the listener's weights and
    /// what was told last in it.
    fn quiet_minutes(&self) -> Vec<(Timestamp, Weights, f64)> {
        let mut told: BTreeMap<Timestamp, Vec<Option<f64>>> = BTreeMap::new();
        for (at, reported) in &self.reported {
            told.entry(minute_of(*at)).or_default().push(*reported);
        }
        let last = self.reported.last().map(|(at, _)| minute_of(*at));
        told.into_iter()
            .filter(|(minute, _)| Some(*minute) != last)
            .filter_map(|(minute, reported)| {
                let changed = self.weights.iter().any(|(at, _)| (minute..=minute + MINUTE).contains(at));
                let reported = reported.last().copied().flatten()?;
                let weights = self.weights_at(minute)?.clone();
                (!changed).then_some((minute, weights, reported))
            })
            .collect()
    }

    /// The group that had everything when the rollout of that time began: when the metrics began to tell that green has
    /// nothing. Between two rollouts they may tell nothing for less time than lies between two scrapes.
    fn blue_at(&self, at: Timestamp) -> Option<String> {
        let nothing = |told: Option<f64>| told.is_some_and(|share| share < 1e-9);
        let begun = self
            .reported
            .windows(2)
            .filter(|pair| !nothing(pair[0].1) && nothing(pair[1].1) && pair[1].0 <= at + MINUTE)
            .map(|pair| pair[1].0)
            .next_back();
        let begun = begun.or_else(|| self.reported.first().map(|(at, _)| *at))?;
        let weights = self.weights_at(begun)?;
        weights.iter().max_by_key(|(_, weight)| **weight).map(|(group, _)| group.clone())
    }

    /// Largest share of the group that had nothing at that time, in percent.
    fn largest_share_since(&self, from: Timestamp) -> f64 {
        let Some(before) = self.weights_at(from) else { return 0.0 };
        let Some((blue, _)) = before.iter().max_by_key(|(_, weight)| **weight) else { return 0.0 };
        let after = self.weights.iter().filter(|(at, _)| *at >= from);
        after.map(|(_, weights)| 100.0 * share_besides(weights, blue)).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).expect("a time")
    }

    fn all_to(group: &str) -> Weights {
        Weights::from([(group.to_owned(), 100)])
    }

    #[test]
    fn blue_is_known_although_no_scrape_fell_between_two_rollouts() {
        let shares = [None, Some(0.0), Some(0.5), Some(1.0), Some(0.0), Some(0.5)];
        let seen = Seen {
            reported: (0..).map(at).zip(shares).collect(),
            weights: vec![(at(0), all_to("one")), (at(3), all_to("two"))],
            ..Seen::default()
        };
        assert_eq!(seen.blue_at(at(2)).as_deref(), Some("one"));
        assert_eq!(seen.blue_at(at(5)).as_deref(), Some("two"));
    }

    #[test]
    fn a_rollout_that_went_back_leaves_blue_what_it_was() {
        let shares = [None, Some(0.0), Some(0.2), Some(0.0), None];
        let seen = Seen {
            reported: (0..).map(at).zip(shares).collect(),
            weights: vec![(at(0), all_to("one"))],
            ..Seen::default()
        };
        assert_eq!(seen.blue_at(at(3)).as_deref(), Some("one"));
    }
}
