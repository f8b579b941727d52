//! The two hypotheses under one dispersion: *green is as blue*, and *green fails more since some minute*.
//!
//! Called by [`super::Process`] minute by minute. Both predict a minute before they see it and then learn from it, so each is a
//! probability of everything seen so far, and their ratio is what a good release makes large at most with the odds of one to it.

use std::{cell::OnceCell, sync::Arc};

use tidegate_model::calibration::Dispersion;

use super::{
    Effects, Pair,
    filter::{Filter, Likelihood, Scaled, Sticky, Walk},
    law::{COMMON, COMMON_FACTORS, DRIFT, DRIFT_STEP, Means, Seen, split, total, totals},
    special::ln_add,
};

/// A minute keeps the common factor of the minute before with this probability.
const COMMON_STAYS: f64 = 0.65;
/// Correlation of the lasting difference from minute to minute.
const DRIFT_STAYS: f64 = 0.8;
/// An effect grows to the next larger one with this probability in a minute: a leak is small first.
const EFFECT_GROWS: f64 = 0.015;
/// An effect whose probability of a minute is `e` to this power less than that of no effect is given up for that minute.
const HOPELESS: f64 = 40.0;
/// A node of the common factor at which the total is so much less likely, in powers of `e`, is left out under an effect.
const UNLIKELY: f64 = 20.0;

/// One dispersion with everything that follows from it and from the service's history.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) dispersion: Dispersion,
    /// The service's own failure rate, when it is known: without it the total says nothing.
    pub(super) rate: Option<f64>,
    /// Its requests a minute.
    volume: f64,
    common: Sticky<COMMON>,
    walk: Walk<DRIFT>,
    drift: [f64; DRIFT],
    unseen: f64,
}

impl Setting {
    pub(super) fn new(dispersion: Dispersion, rate: Option<f64>, volume: f64, common: [f64; COMMON]) -> Self {
        let z = drift_nodes();
        let step = DRIFT_STEP * dispersion.drift;
        Self {
            dispersion,
            rate,
            volume,
            common: Sticky { stay: COMMON_STAYS, to: common },
            walk: walk(&z),
            drift: z.map(|z| (z * dispersion.drift).exp()),
            unseen: step * step / 12.0,
        }
    }

    /// Log probability of how the failures of all these minutes split if neither group is worse.
    pub(super) fn ln_splits(&self, pairs: &[Pair]) -> f64 {
        let mut hidden = self.start();
        let mut ln = 0.0;
        for pair in pairs {
            ln += hidden.drift.observe(&Likelihood::new(self.splits(&Seen::new(*pair), 1.0))).ln();
            self.walk.step(&mut hidden.drift);
        }
        ln
    }

    fn start(&self) -> Hidden {
        let z = drift_nodes();
        Hidden { drift: Filter(normalised(z.map(|z| (-0.5 * z * z).exp()))), common: Filter(self.common.to) }
    }

    fn step(&self, hidden: &mut Hidden) {
        self.common.step(&mut hidden.common);
        self.walk.step(&mut hidden.drift);
    }

    /// Log likelihoods of the split at each node of the lasting difference, when green fails `ratio` times as often.
    fn splits(&self, seen: &Seen, ratio: f64) -> [f64; DRIFT] {
        self.drift.map(|factor| {
            let green = seen.pair.green.requests * ratio * factor;
            let means = Means { blue: seen.pair.blue.requests, green, extra: 0.0 };
            split(seen, means, &self.dispersion, self.unseen)
        })
    }

    /// Log likelihoods of the total at each node of the common factor.
    fn totals(&self, seen: &Seen, ratio: f64) -> Option<[f64; COMMON]> {
        Some(totals(seen, self.rate?, ratio, &self.dispersion))
    }

    /// Of split and total apart, when green fails `ratio` times as often.
    fn apart(&self, seen: &Seen, ratio: f64) -> Apart {
        let totals = self.totals(seen, ratio).map(Likelihood::new);
        Apart { splits: Likelihood::new(self.splits(seen, ratio)), totals }
    }

    /// Of split and total together, when a share of green's requests fails on top.
    fn both(&self, seen: &Seen, rate: f64, added: f64) -> Likelihood<COMMON> {
        let drift = self.dispersion.drift * self.dispersion.drift;
        // An outlying minute under an effect is not looked for: the alternative may be any law, and this one costs half.
        let dispersion = Dispersion { outliers: 0.0, ..self.dispersion };
        let at = COMMON_FACTORS.map(|factor| means(&seen.pair, rate * factor, added));
        let totals = at.map(|means| total(seen.failures, means, &dispersion));
        let most = totals.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Likelihood::new(std::array::from_fn(|node| {
            if totals[node] < most - UNLIKELY {
                return f64::NEG_INFINITY;
            }
            let rate = rate * COMMON_FACTORS[node];
            let old = rate / (rate + added);
            totals[node] + split(seen, at[node], &dispersion, drift * old * old)
        }))
    }

    /// True if this share on top cannot explain how many failed, however the service fails by itself: then it is not weighed
    /// at each node. `least` is the log probability of the minute if nothing is wrong: what is left out is less than
    /// `e^-HOPELESS` of the evidence.
    fn is_hopeless(&self, seen: &Seen, rate: f64, added: f64, least: f64) -> bool {
        let n = seen.failures;
        let at = |node: usize| means(&seen.pair, rate * COMMON_FACTORS[node], added);
        let (fewest, most) = (at(0), at(COMMON - 1));
        let mean = |means: Means| means.blue + means.green + means.extra;
        let nearest = if n < mean(fewest) {
            fewest
        } else if n > mean(most) {
            most
        } else {
            return false;
        };
        total(n, nearest, &self.dispersion) < least - HOPELESS
    }
}

fn means(pair: &Pair, rate: f64, added: f64) -> Means {
    Means {
        blue: pair.blue.requests * rate,
        green: pair.green.requests * rate,
        extra: pair.green.requests * added,
    }
}

/// What is not seen itself: the factor common to both groups, and their lasting difference.
#[derive(Clone, Copy, Debug)]
struct Hidden {
    drift: Filter<DRIFT>,
    common: Filter<COMMON>,
}

/// An alternative so far: the probability of everything seen, in units that all of a pairing share, and what it thinks of what is
/// hidden.
#[derive(Clone, Copy, Debug)]
struct Track {
    part: f64,
    hidden: Hidden,
}

impl Track {
    /// Takes over so much of another hypothesis, with its view of what is hidden.
    fn receive(&mut self, part: f64, from: &Hidden) {
        if part <= 0.0 {
            return;
        }
        self.part += part;
        let share = part / self.part;
        self.hidden.drift.merge(share, &from.drift);
        self.hidden.common.merge(share, &from.common);
    }
}

/// Both hypotheses under one setting.
#[derive(Clone, Debug)]
pub(super) struct Pairing {
    setting: Arc<Setting>,
    tolerated: f64,
    /// `ln` of the probability of everything seen if green is as blue, and what is thought of what is hidden then.
    null: (f64, Hidden),
    /// `ln` of the unit of the alternatives' probabilities. It moves with them, so that no part of it is out of range; one that is
    /// less than `e^-700` of the largest is nothing: that costs evidence only after there was far more than decides.
    unit: f64,
    alternatives: Vec<Alternative>,
}

/// One effect, and the hypothesis that it has begun.
#[derive(Clone, Debug)]
struct Alternative {
    effect: Effect,
    /// Its part of the prior.
    prior: f64,
    track: Track,
}

/// How green is worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Effect {
    /// It fails so many times as often.
    Times(f64),
    /// This share of its requests fails on top, where by itself the service fails at this rate.
    Added { added: f64, rate: f64 },
}

/// How likely one minute is under both hypotheses of one setting. It hangs on what was counted alone, and not on what was seen
/// before.
#[derive(Clone, Debug)]
pub(super) struct Likelihoods {
    seen: Seen,
    null: Apart,
    /// By the effects, in their order.
    effects: Vec<UnderEffect>,
}

#[derive(Clone, Debug)]
enum UnderEffect {
    Times(Apart),
    /// Made when it is asked for first: where it is hopeless nobody does.
    Added {
        added: f64,
        rate: f64,
        both: OnceCell<Likelihood<COMMON>>,
    },
}

/// Of how failures split, and of how many they are if that tells anything.
#[derive(Clone, Debug)]
struct Apart {
    splits: Likelihood<DRIFT>,
    totals: Option<Likelihood<COMMON>>,
}

impl Hidden {
    fn observe(&mut self, apart: &Apart) -> Scaled {
        let splits = self.drift.observe(&apart.splits);
        apart.totals.as_ref().map_or(splits, |totals| self.common.observe(totals).times(splits))
    }
}

impl UnderEffect {
    /// The probability of the minute; what is hidden moves on to the next one.
    fn learn(&self, setting: &Setting, hidden: &mut Hidden, seen: &Seen, least: f64) -> Scaled {
        match self {
            Self::Times(apart) => {
                let probability = hidden.observe(apart);
                setting.step(hidden);
                probability
            }
            // The lasting difference is in the law itself here: no node of it is weighed.
            Self::Added { added, rate, both } => {
                let probability = if setting.is_hopeless(seen, *rate, *added, least) {
                    Scaled::ZERO
                } else {
                    hidden.common.observe(both.get_or_init(|| setting.both(seen, *rate, *added)))
                };
                setting.common.step(&mut hidden.common);
                probability
            }
        }
    }
}

impl Effect {
    /// Its weight in the prior, given the service's failure rate and its requests a minute. What shows itself within a minute
    /// needs none, and what would not show itself in half an hour deserves none: the weight goes to what lies between.
    fn weight(self, rate: Option<f64>, volume: f64) -> f64 {
        let (preference, share) = match self {
            Self::Times(ratio) => (3.0, rate.unwrap_or(0.0) * (ratio - 1.0)),
            Self::Added { added, .. } => (1.0, added),
        };
        let a_minute = 0.1 * volume * share;
        let (plain, hopeless) = (a_minute > 60.0, a_minute < 0.02);
        if plain || hopeless { 0.1 * preference } else { preference }
    }
}

impl Pairing {
    pub(super) fn new(setting: Setting, effects: &Effects) -> Self {
        let hidden = setting.start();
        let track = Track { part: 0.0, hidden };
        let effects_of = effects.of(setting.rate);
        let weight = |effect: Effect| effect.weight(setting.rate, setting.volume);
        let all: f64 = effects_of.iter().copied().map(weight).sum();
        let alternatives = effects_of
            .iter()
            .map(|effect| Alternative { effect: *effect, prior: weight(*effect) / all, track })
            .collect();
        let (tolerated, unit) = (effects.tolerated, f64::NEG_INFINITY);
        Self { setting: Arc::new(setting), tolerated, null: (0.0, hidden), unit, alternatives }
    }

    /// How likely a minute is, whatever was before it.
    pub(super) fn weigh(&self, seen: Seen) -> Likelihoods {
        let effects = self.alternatives.iter().map(|one| match one.effect {
            Effect::Times(ratio) => UnderEffect::Times(self.setting.apart(&seen, ratio)),
            Effect::Added { added, rate } => UnderEffect::Added { added, rate, both: OnceCell::new() },
        });
        Likelihoods { null: self.setting.apart(&seen, self.tolerated), effects: effects.collect(), seen }
    }

    /// Sees one more minute; a share `onset` of the prior says that green is worse from this minute on.
    pub(super) fn learn(&mut self, minute: &Likelihoods, onset: f64) {
        self.begin(onset.ln());
        self.grow();
        let Self { setting, null: (null, hidden), unit, alternatives, .. } = self;
        let ln = hidden.observe(&minute.null).ln();
        *null += ln;
        setting.step(hidden);
        // How likely the split was at all, with the ways in which it comes about: that of an effect is at most one.
        let least = ln + minute.seen.ways;
        let of = |(one, under): (&mut Alternative, &UnderEffect)| {
            let probability = under.learn(setting, &mut one.track.hidden, &minute.seen, least);
            one.track.part *= probability.part;
            probability.most
        };
        let mosts: Vec<f64> = alternatives.iter_mut().zip(&minute.effects).map(of).collect();
        let most = mosts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (one, own) in alternatives.iter_mut().zip(mosts) {
            one.track.part *= if own == most { 1.0 } else { (own - most).exp() };
        }
        *unit += most;
        self.keep_in_range();
    }

    /// Takes the largest part for the unit where it is far from one.
    fn keep_in_range(&mut self) {
        let largest = self.alternatives.iter().map(|one| one.track.part).fold(0.0, f64::max);
        if largest == 0.0 || self.unit == f64::NEG_INFINITY {
            self.unit = f64::NEG_INFINITY;
        } else if !(1e-100..=1e100).contains(&largest) {
            self.unit += largest.ln();
            self.alternatives.iter_mut().for_each(|one| one.track.part /= largest);
        }
    }

    fn begin(&mut self, ln_onset: f64) {
        let Self { null: (null, hidden), unit, alternatives, .. } = self;
        let begins = *null + ln_onset;
        if begins > *unit {
            let shrinks = (*unit - begins).exp();
            alternatives.iter_mut().for_each(|one| one.track.part *= shrinks);
            *unit = begins;
        }
        let part = (begins - *unit).exp();
        for Alternative { prior, track, .. } in alternatives {
            track.receive(part * *prior, hidden);
        }
    }

    fn grow(&mut self) {
        for larger in (1..self.alternatives.len()).rev() {
            let (smaller, rest) = self.alternatives.split_at_mut(larger);
            let (Some(from), Some(to)) = (smaller.last_mut(), rest.first_mut()) else { continue };
            to.track.receive(EFFECT_GROWS * from.track.part, &from.track.hidden);
            from.track.part *= 1.0 - EFFECT_GROWS;
        }
    }

    /// Log probability of everything seen if green is as blue.
    pub(super) fn null(&self) -> f64 {
        self.null.0
    }

    /// The same if it is worse from some minute on; `later` is the prior of the minutes to come.
    pub(super) fn alternative(&self, later: f64) -> f64 {
        let started: f64 = self.alternatives.iter().map(|one| one.track.part).sum();
        ln_add(self.unit + started.ln(), self.null.0 + later.ln())
    }
}

fn drift_nodes() -> [f64; DRIFT] {
    std::array::from_fn(|i| (i as f64 - (DRIFT as f64 - 1.0) / 2.0) * DRIFT_STEP)
}

fn walk(z: &[f64; DRIFT]) -> Walk<DRIFT> {
    let variance = 1.0 - DRIFT_STAYS * DRIFT_STAYS;
    let matrix = z.map(|from| {
        normalised(z.map(|to| {
            let off = to - DRIFT_STAYS * from;
            (-0.5 * off * off / variance).exp()
        }))
    });
    Walk { matrix }
}

pub(super) fn normalised<const N: usize>(weights: [f64; N]) -> [f64; N] {
    let sum: f64 = weights.iter().sum();
    weights.map(|w| w / sum)
}
