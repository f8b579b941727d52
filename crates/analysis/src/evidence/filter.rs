//! A forward filter over the nodes of a hidden state.
//!
//! Called by the hypotheses beside this file: both the common factor and the lasting difference of two groups are hidden.

/// Probabilities of the nodes of a hidden state; they sum to one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter<const N: usize>(pub(super) [f64; N]);

/// A probability as `e` to the power of `most`, times `part`: a product of many is taken without a logarithm for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaled {
    pub(super) most: f64,
    pub(super) part: f64,
}

impl Scaled {
    /// What cannot be.
    pub(super) const ZERO: Self = Self { most: f64::NEG_INFINITY, part: 0.0 };

    pub(super) fn times(self, other: Self) -> Self {
        Self { most: self.most + other.most, part: self.part * other.part }
    }

    pub(super) fn ln(self) -> f64 {
        self.most + self.part.ln()
    }
}

/// How likely what was seen is at each node of a hidden state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likelihood<const N: usize> {
    /// `ln` of it at the node where it is the likeliest.
    most: f64,
    /// At each node, as a part of that.
    parts: [f64; N],
}

impl<const N: usize> Likelihood<N> {
    pub(super) fn new(ln: [f64; N]) -> Self {
        let most = ln.into_iter().fold(f64::NEG_INFINITY, f64::max);
        Self { most, parts: ln.map(|ln| (ln - most).exp()) }
    }
}

impl<const N: usize> Filter<N> {
    /// Weighs the nodes with the likelihood of what was seen; returns the probability of seeing it.
    pub(super) fn observe(&mut self, likelihood: &Likelihood<N>) -> Scaled {
        let mut sum = 0.0;
        for (p, part) in self.0.iter_mut().zip(&likelihood.parts) {
            *p *= part;
            sum += *p;
        }
        // The likeliest node may have lost all its weight long ago: then nothing is learned of where the state is.
        if sum < 1e-300 {
            self.0 = [1.0 / N as f64; N];
            return Scaled { most: likelihood.most - 690.0, part: 1.0 };
        }
        for p in &mut self.0 {
            *p /= sum;
        }
        // The product of two of them is no nought.
        if sum < 1e-150 {
            return Scaled { most: likelihood.most + sum.ln(), part: 1.0 };
        }
        Scaled { most: likelihood.most, part: sum }
    }

    /// This and another filter as one, by their weights.
    pub(super) fn merge(&mut self, share: f64, other: &Self) {
        for (p, o) in self.0.iter_mut().zip(&other.0) {
            *p += share * (o - *p);
        }
    }
}

/// How a hidden state moves from one minute to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sticky<const N: usize> {
    /// Probability of staying where it is.
    pub(super) stay: f64,
    /// Where it goes otherwise.
    pub(super) to: [f64; N],
}

impl<const N: usize> Sticky<N> {
    pub(super) fn step(&self, filter: &mut Filter<N>) {
        for (p, to) in filter.0.iter_mut().zip(&self.to) {
            *p = self.stay * *p + (1.0 - self.stay) * to;
        }
    }
}

/// A walk that is drawn back to the middle: `matrix[i][j]` is the probability of going from node `i` to node `j`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<const N: usize> {
    pub(super) matrix: [[f64; N]; N],
}

impl<const N: usize> Walk<N> {
    pub(super) fn step(&self, filter: &mut Filter<N>) {
        let mut next = [0.0; N];
        for (p, row) in filter.0.iter().zip(&self.matrix) {
            for (n, q) in next.iter_mut().zip(row) {
                *n += p * q;
            }
        }
        filter.0 = next;
    }
}
