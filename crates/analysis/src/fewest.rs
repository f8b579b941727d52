//! The search for the fewest failures that would be enough.
//!
//! Called by the comparisons, to say how many more would roll a release back. Pure.

/// So many are tried first.
const FIRST: u32 = 8;

/// The fewest, up to `most`, at which this is not below zero; about `none` it is at none. A count is dear to try, so the bracket
/// grows fast, and is narrowed where a straight line between its ends crosses zero, and in its middle in between.
pub(crate) fn fewest(most: u32, none: f64, excess: impl Fn(u32) -> f64) -> Option<u32> {
    let mut low = (0, none);
    let mut high = (most.min(FIRST), excess(most.min(FIRST)));
    while high.1 < 0.0 && high.0 < most {
        let next = high.0.saturating_mul(4).min(most);
        (low, high) = (high, (next, excess(next)));
    }
    if high.1 < 0.0 || most == 0 {
        return None;
    }
    let mut straight = true;
    while high.0 - low.0 > 1 {
        let width = high.0 - low.0;
        let part = if straight { low.1 / (low.1 - high.1) } else { 0.5 };
        let middle = low.0 + ((f64::from(width) * part).ceil() as u32).clamp(1, width - 1);
        let tried = (middle, excess(middle));
        if tried.1 >= 0.0 {
            high = tried;
        } else {
            low = tried;
        }
        straight = !straight || high.0 - low.0 < width / 2;
    }
    Some(high.0)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How an excess grows with a count.
    type Shape = (&'static str, fn(f64) -> f64);

    const SHAPES: [Shape; 4] = [
        ("straight", |count| count),
        ("bent up", |count| count * count),
        ("bent down", f64::sqrt),
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
                    assert!(tries.get() <= 24, "{shape}, {limit}, {none}: {} tries", tries.get());
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
