//! The search for the fewest failures that would be enough.
//!
//! Called by the comparisons, to say how many more would roll a release back. Pure.

/// So many are tried first.
const FIRST: u32 = 8;

/// The bracket grows by so much more than to where a straight line would end, because evidence grows less and less; and at most
/// so many times.
const BEYOND: f64 = 1.5;
const GROWS: u32 = 16;

/// After so many tries in a row that did not halve the bracket the next one does.
const SLOW: u32 = 3;

/// What was tried, and what it came to.
type Tried = (u32, f64);

/// The fewest, up to `most`, at which this is not below zero; about `none` it is at none. A count is dear to try, so each next one
/// is where a straight line through the last two crosses zero.
pub(crate) fn fewest(most: u32, none: f64, excess: impl Fn(u32) -> f64) -> Option<u32> {
    let tried = |count: u32| -> Tried { (count, excess(count)) };
    let mut low = (0, none);
    let mut last = tried(most.min(FIRST));
    let mut before = low;
    while last.1 < 0.0 && last.0 < most {
        let here = f64::from(last.0);
        let next = here + 1.0 + BEYOND * (crossing(before, last) - here);
        let next = next.min(here * f64::from(GROWS)).min(f64::from(most)) as u32;
        low = last;
        (before, last) = (last, tried(next));
    }
    if last.1 < 0.0 || most == 0 {
        return None;
    }
    let (mut high, mut slow) = (last, 0);
    while high.0 - low.0 > 1 {
        let width = high.0 - low.0;
        let next = if slow < SLOW { crossing(before, last).ceil() } else { f64::from(low.0 + width / 2) };
        (before, last) = (last, tried((next as u32).clamp(low.0 + 1, high.0 - 1)));
        if last.1 >= 0.0 {
            high = last;
        } else {
            low = last;
        }
        slow = if high.0 - low.0 <= width / 2 { 0 } else { slow + 1 };
    }
    Some(high.0)
}

/// Where a straight line through two tries is zero; infinite where it is nowhere.
fn crossing(one: Tried, other: Tried) -> f64 {
    let slope = (other.1 - one.1) / (f64::from(other.0) - f64::from(one.0));
    if slope > 0.0 { f64::from(other.0) - other.1 / slope } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How an excess grows with a count.
    type Shape = (&'static str, fn(f64) -> f64);

    const SHAPES: [Shape; 5] = [
        ("straight", |count| count),
        ("bent up", |count| count * count),
        ("bent down", f64::sqrt),
        ("less and less", |count| (1.0 + count / 20.0).ln()),
        ("in steps", |count| (count / 10.0).floor()),
    ];

    #[test]
    fn the_fewest_that_are_enough_are_found_with_few_tries() {
        for (shape, grows) in SHAPES {
            for limit in (0..200).chain([999, 1_000, 54_321]) {
                let (tries, most) = (Cell::new(0), 100_000);
                let excess = |count: u32| {
                    tries.set(tries.get() + 1);
                    grows(f64::from(count)) - grows(f64::from(limit))
                };
                let expected = (1..=most).find(|count| grows(f64::from(*count)) >= grows(f64::from(limit)));
                for none in [0.0, -1.0, -1e3, grows(0.0) - grows(f64::from(limit))] {
                    tries.set(0);
                    assert_eq!(fewest(most, none, excess), expected, "{shape}, {limit}, {none}");
                    let few = if shape == "less and less" { 12 } else { 24 };
                    assert!(tries.get() <= few, "{shape}, {limit}, {none}: {} tries", tries.get());
                }
            }
        }
    }

    #[test]
    fn no_count_is_enough_where_the_most_are_not() {
        assert_eq!(fewest(100, -101.0, |count| f64::from(count) - 101.0), None);
        assert_eq!(fewest(100, -100.0, |count| f64::from(count) - 100.0), Some(100));
        assert_eq!(fewest(0, -1.0, |_| 1.0), None, "there is nothing that could fail");
        assert_eq!(fewest(3, -1.0, |count| f64::from(count) - 1.0), Some(1));
    }
}
