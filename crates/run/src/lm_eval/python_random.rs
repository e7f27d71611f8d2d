//! Python's `random.Random`, as far as the bootstrap of lm-evaluation-harness uses it.
//!
//! MT19937 of Matsumoto and Nishimura (1998), seeded by `init_by_array` with the seed as its one word.

const SIZE: usize = 624;
const SHIFT: usize = 397;

/// The generator.
#[derive(Clone, Debug)]
pub(crate) struct PythonRandom {
    state: [u32; SIZE],
    at: usize,
}

impl PythonRandom {
    /// `random.Random(seed)` for a seed of one word.
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = [19_650_218_u32; SIZE];
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
        for _ in 0..SIZE {
            step(&mut state, &mut i, 1_664_525, seed);
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
}
