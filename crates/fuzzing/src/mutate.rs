//! Inputs by dice: what the tests try where libFuzzer is not at hand. Blind, so it finds little that is deep; it keeps what was
//! mended from coming back in another form.

use fastrand::Rng;

/// Longest input that is made.
const LONGEST: usize = 8 * 1024;

/// Makes inputs of seeds; of the same number, the same ones.
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    words: Vec<String>,
    dice: Rng,
}

impl Mutator {
    /// Of these seeds.
    pub fn new(seeds: Vec<Vec<u8>>, number: u64) -> Self {
        let words = crate::words(&seeds).into_iter().collect();
        Self { seeds, words, dice: Rng::with_seed(number) }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.seed();
        for _ in 0..self.dice.usize(1..=6) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn seed(&mut self) -> Vec<u8> {
        if self.seeds.is_empty() || self.dice.u8(..) < 8 {
            let length = self.dice.usize(0..400);
            return std::iter::repeat_with(|| self.dice.u8(..)).take(length).collect();
        }
        self.seeds[self.dice.usize(..self.seeds.len())].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (from, to) = self.piece(input.len());
        match self.dice.u8(..9) {
            0 => drop(input.drain(from..to)),
            1 => {
                let piece = input[from..to].to_vec();
                input.splice(from..from, piece);
            }
            2 => input[from..to].iter_mut().for_each(|byte| *byte = self.dice.u8(..)),
            3 => input[from..to].iter_mut().for_each(|byte| *byte ^= 1 << self.dice.u8(..8)),
            4 | 5 => {
                let other = self.seed();
                let (begin, end) = self.piece(other.len());
                input.splice(from..to, other[begin..end].iter().copied());
            }
            6 if !self.words.is_empty() => {
                let word = self.words[self.dice.usize(..self.words.len())].clone();
                input.splice(from..to, word.into_bytes());
            }
            7 => {
                // Deep and long.
                let piece = input[from..to.min(from + 4)].to_vec();
                let times = self.dice.usize(1..500);
                input.splice(from..from, piece.repeat(times));
            }
            _ => {
                let choices: Vec<u8> = std::iter::repeat_with(|| self.dice.u8(..)).take(12).collect();
                input.push(0);
                input.extend(choices);
            }
        }
    }

    /// A place and, mostly near it, another one.
    fn piece(&mut self, length: usize) -> (usize, usize) {
        let from = self.dice.usize(..=length);
        let most = if self.dice.bool() { 8 } else { 200 };
        (from, (from + self.dice.usize(..most)).min(length))
    }
}
