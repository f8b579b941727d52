//! The ramp that goes by the evidence: which share of the traffic green gets next.
//!
//! For engines that can set any weight at any time, asked once a closed minute. Engines whose steps are fixed when a deployment
//! begins cannot use it, and a spec that asks them for `adaptive` is refused. Decides nothing but the weight: gates and verdict
//! come before it. Pure.
//!
//! A failure of green's is worth `ln(1/weight)` while blue has none, so one that is served at a small weight tells most. The
//! ramp therefore spends the same time on each doubling of the weight, from 1 % to everything. While something speaks against
//! green it stays where it is, as long as it can still be in time afterwards; a suspect release does not get more at all.

use crate::compare::SUSPECT;

/// Green's first share of the traffic.
pub const FIRST_WEIGHT: f64 = 0.01;
/// The share grows by so much in a minute at most: what one step shows is seen before the third step after it.
const PACE: f64 = 1.5;
/// From this evidence on, as a power of ten (2.7 to 1), time is spent on seeing more before more is served, as long as there is
/// time to spend.
const DOUBT: f64 = 0.43;

/// Where a ramp is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramping {
    /// Whole minutes since the ramp began.
    pub passed: u32,
    /// Minutes in which a good release shall serve everything.
    pub within: u32,
    /// Green's share of the traffic now, 0 to 1.
    pub weight: f64,
    /// What speaks for green being worse, as a power of ten: [`tidegate_model::verdict::Evidence::factor`]. 0 before the first
    /// closed minute.
    pub evidence: f64,
}

/// Green's share of the traffic for the next minute, 0 to 1, never below what it has. Asked again when the next minute is
/// closed, so what is not a number, or is out of range, keeps everything as it is.
pub fn next_weight(at: Ramping) -> f64 {
    if !(0.0..=1.0).contains(&at.weight) || !at.evidence.is_finite() {
        return at.weight;
    }
    if at.weight <= 0.0 {
        return FIRST_WEIGHT;
    }
    let left = f64::from(at.within.saturating_sub(at.passed).max(1));
    // Less than this, and not even the fastest growth is in time.
    let latest = PACE.powf(1.0 - left);
    let waits = at.evidence >= SUSPECT || (at.evidence >= DOUBT && at.weight > latest);
    let growth = if waits { 1.0 } else { at.weight.recip().powf(left.recip()).min(PACE) };
    let next = at.weight * growth;
    // The last step is the whole, however it was rounded.
    if next > 1.0 - 1e-9 { 1.0 } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weights of a release with this evidence in each minute.
    fn weights(within: u32, evidence: impl Fn(u32) -> f64) -> Vec<f64> {
        let mut weight = 0.0;
        let step = |passed| {
            weight = next_weight(Ramping { passed, within, weight, evidence: evidence(passed) });
            weight
        };
        (0..2 * within + 20).map(step).collect()
    }

    #[test]
    fn a_release_that_nothing_speaks_against_serves_everything_in_time() {
        for within in [1, 5, 12, 30, 240] {
            let weights = weights(within, |_| -0.5);
            assert_eq!(weights[0], FIRST_WEIGHT);
            let whole = weights.iter().position(|weight| *weight >= 1.0).expect("the whole");
            // One per cent to everything takes twelve minutes at the fastest.
            assert!(whole <= within.max(12) as usize, "{whole} of {within}");
        }
    }

    #[test]
    fn a_suspect_release_gets_no_more_and_goes_on_when_it_is_cleared() {
        let weights = weights(30, |minute| if (10..40).contains(&minute) { 1.2 } else { 0.0 });
        assert!(weights[10..40].iter().all(|weight| *weight == weights[9]), "{weights:?}");
        assert!(weights[40] > weights[9]);
        assert_eq!(weights.last(), Some(&1.0));
    }

    #[test]
    fn doubt_is_waited_for_as_long_as_everything_can_still_be_in_time() {
        let weights = weights(30, |_| 0.6);
        assert_eq!(weights[5], FIRST_WEIGHT);
        let whole = weights.iter().position(|weight| *weight >= 1.0).expect("the whole");
        assert!((28..=31).contains(&whole), "{whole}");
    }

    #[test]
    fn a_weight_never_falls_and_never_grows_by_more_than_its_pace() {
        let weights = weights(20, |minute| f64::from(minute % 7) / 3.0 - 1.0);
        assert!(
            weights.windows(2).all(|two| two[1] >= two[0] && two[1] <= PACE * two[0] + 1e-12),
            "{weights:?}"
        );
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        let at = Ramping { passed: 3, within: 30, weight: 0.05, evidence: f64::NAN };
        assert_eq!(next_weight(at), 0.05);
        assert!(next_weight(Ramping { weight: f64::NAN, ..at }).is_nan());
    }
}
