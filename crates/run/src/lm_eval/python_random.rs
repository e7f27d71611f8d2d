//! Python's `random.Random`, as far as lm-evaluation-harness uses it: for its bootstrap and its choice of worked examples.
//!
//! MT19937 of Matsumoto and Nishimura (1998), seeded by `init_by_array` with the words of the seed as CPython does it, and
//! `Random.sample` with its two branches.

use std::collections::BTreeSet;

const SIZE: usize = 624;
const SHIFT: usize = 397;

/// The generator.
#[derive(Clone, Debug)]
pub(crate) struct PythonRandom {
    state: Box<[u32; SIZE]>,
    at: usize,
}

impl PythonRandom {
    /// As `random.Random(seed)`.
    pub(crate) fn new(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32];
        let key = if words[1] == 0 { &words[..1] } else { &words[..] };
        let mut state = Box::new([19_650_218_u32; SIZE]);
        for i in 1..SIZE {
            let before = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        let mut i = 1;
        let step = |state: &mut [u32; SIZE], i: &mut usize, factor: u32, plus: u32| {
            let before = state[*i - 1];
            state[*i] = (state[*i] ^ (before ^ (before >> 30)).wrapping_mul(factor)).wrapping_add(plus);
            *i += 1;
            if *i == SIZE {
                state[0] = state[SIZE - 1];
                *i = 1;
            }
        };
        for (at, word) in key.iter().enumerate().cycle().take(SIZE) {
            step(&mut state, &mut i, 1_664_525, word.wrapping_add(at as u32));
        }
        for _ in 1..SIZE {
            let minus = (i as u32).wrapping_neg();
            step(&mut state, &mut i, 1_566_083_941, minus);
        }
        state[0] = 0x8000_0000;
        Self { state, at: SIZE }
    }

    fn word(&mut self) -> u32 {
        if self.at == SIZE {
            for i in 0..SIZE {
                let pair = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % SIZE] & 0x7fff_ffff);
                let twist = if pair & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + SHIFT) % SIZE] ^ (pair >> 1) ^ twist;
            }
            self.at = 0;
        }
        let mut word = self.state[self.at];
        self.at += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// `random()`: a number from 0 to below 1, of 53 bits.
    pub(crate) fn random(&mut self) -> f64 {
        let (high, low) = (f64::from(self.word() >> 5), f64::from(self.word() >> 6));
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// How often each row is chosen by `choices(rows, k=len(rows))`.
    pub(crate) fn counts(&mut self, counts: &mut [f64]) {
        counts.fill(0.0);
        for _ in 0..counts.len() {
            let row = (self.random() * counts.len() as f64).floor() as usize;
            counts[row] += 1.0;
        }
    }

    /// A number below `n`, as `_randbelow`; `n` is the length of a list and fits in 32 bits.
    fn below(&mut self, n: usize) -> usize {
        if n == 0 {
            return 0;
        }
        let bits = usize::BITS - n.leading_zeros();
        loop {
            let drawn = (self.word() >> (32 - bits.min(32))) as usize;
            if drawn < n {
                return drawn;
            }
        }
    }

    /// The places that `sample(population, k)` takes from a population of `n`; `None` where it has fewer than `k`.
    pub(crate) fn sample(&mut self, n: usize, k: usize) -> Option<Vec<usize>> {
        if k > n {
            return None;
        }
        let mut set_size = 21_usize;
        if k > 5 {
            let exponent = ((k * 3) as f64).log(4.0).ceil();
            set_size = set_size.saturating_add(4_usize.saturating_pow(exponent as u32));
        }
        let mut taken = Vec::with_capacity(k);
        if n <= set_size {
            let mut pool: Vec<usize> = (0..n).collect();
            for i in 0..k {
                let j = self.below(n - i);
                taken.push(pool[j]);
                pool[j] = pool[n - i - 1];
            }
        } else {
            let mut selected = BTreeSet::new();
            for _ in 0..k {
                let mut j = self.below(n);
                while !selected.insert(j) {
                    j = self.below(n);
                }
                taken.push(j);
            }
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_python() {
        // python3 -c "import random; r = random.Random(0); print(r.random(), r.random())", and of seed 7.
        let mut random = PythonRandom::new(0);
        assert_eq!((random.random(), random.random()), (0.844_421_851_525_048_1, 0.757_954_402_940_302_5));
        assert_eq!(PythonRandom::new(7).random(), 0.323_832_764_833_162_37);
    }

    #[test]
    fn draws_as_python_does() {
        let golden: Vec<(u64, usize, usize, Vec<usize>)> =
            serde_json::from_str(include_str!("../../tests/lm_eval/sample.json")).unwrap();
        assert!(golden.len() > 100);
        let mut random = PythonRandom::new(0);
        let mut seeded = None;
        for (seed, n, k, expected) in golden {
            if seeded != Some(seed) {
                random = PythonRandom::new(seed);
                seeded = Some(seed);
            }
            assert_eq!(random.sample(n, k).unwrap(), expected, "seed {seed}, {k} of {n}");
        }
    }
}
