//! The choice of worked examples, draw for draw as lm-evaluation-harness makes it with Python's `random.Random(seed)`.
//!
//! MT19937 after Matsumoto and Nishimura (1998), seeded with `init_by_array` as CPython seeds it, and `Random.sample` with
//! its two branches. Examples of one task come from one generator that runs on from document to document.

use std::collections::BTreeSet;

const N: usize = 624;
const M: usize = 397;

/// Python's `random.Random`.
#[derive(Clone, Debug)]
pub struct Random {
    state: Box<[u32; N]>,
    next: usize,
}

impl Random {
    /// As `random.Random(seed)`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let low = seed as u32;
        let high = (seed >> 32) as u32;
        if high == 0 { Self::by_array(&[low]) } else { Self::by_array(&[low, high]) }
    }

    fn by_array(key: &[u32]) -> Self {
        let mut state = Box::new([0_u32; N]);
        state[0] = 19_650_218;
        for i in 1..N {
            let before = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        let mix = |state: &[u32; N], i: usize| state[i - 1] ^ (state[i - 1] >> 30);
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            let mixed = state[i] ^ mix(&state, i).wrapping_mul(1_664_525);
            state[i] = mixed.wrapping_add(key[j]).wrapping_add(j as u32);
            i += 1;
            j = (j + 1) % key.len();
            if i >= N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        for _ in 0..N - 1 {
            state[i] = (state[i] ^ mix(&state, i).wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            i += 1;
            if i >= N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        Self { state, next: N }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next >= N {
            for k in 0..N {
                let y = (self.state[k] & 0x8000_0000) | (self.state[(k + 1) % N] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[k] = self.state[(k + M) % N] ^ (y >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A number below `n`, as `_randbelow`; `n` is the length of a list and fits in 32 bits.
    fn below(&mut self, n: usize) -> usize {
        if n == 0 {
            return 0;
        }
        let bits = usize::BITS - n.leading_zeros();
        loop {
            let drawn = (self.next_u32() >> (32 - bits.min(32))) as usize;
            if drawn < n {
                return drawn;
            }
        }
    }

    /// The places that `sample(population, k)` takes from a population of `n`; `None` where it has fewer than `k`.
    pub fn sample(&mut self, n: usize, k: usize) -> Option<Vec<usize>> {
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

/// How worked examples are chosen.
#[derive(Clone, Debug)]
pub enum Sampler {
    /// Drawn for each document; `default` in task files.
    Drawn(Random),
    /// The first ones.
    First,
}

impl Sampler {
    /// The places in a pool of `size` documents of the `n` examples to show. `is_document` says of a place whether it holds
    /// the document that is asked about, where that could be in the pool; those are left out.
    ///
    /// # Errors
    /// The pool has too few documents; the text says how many it has.
    pub fn choose(
        &mut self,
        size: usize,
        n: usize,
        is_document: Option<&dyn Fn(usize) -> bool>,
    ) -> Result<Vec<usize>, String> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let short = |wanted: usize, has: usize| {
            format!("{wanted} documents are needed for worked examples, and there are {has}")
        };
        let other = |place: &usize| is_document.is_none_or(|is_document| !is_document(*place));
        match self {
            Self::First => {
                let chosen: Vec<usize> = (0..size).filter(other).take(n).collect();
                if chosen.len() < n { Err(short(n, chosen.len())) } else { Ok(chosen) }
            }
            Self::Drawn(random) => {
                // One more than needed, so that the document itself can go.
                let draws = n + usize::from(is_document.is_some());
                let mut chosen = random.sample(size, draws).ok_or_else(|| short(draws, size))?;
                chosen.retain(other);
                chosen.truncate(n);
                if chosen.len() < n {
                    // The document stands in the pool more than once: drawn again from what is left.
                    let pool: Vec<usize> = (0..size).filter(other).collect();
                    let places = random.sample(pool.len(), n).ok_or_else(|| short(n, pool.len()))?;
                    chosen = places.into_iter().map(|place| pool[place]).collect();
                }
                Ok(chosen)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_as_python_does() {
        let golden: Vec<(u64, usize, usize, Vec<usize>)> =
            serde_json::from_str(include_str!("../../tests/lm_eval/sample.json")).unwrap();
        assert!(golden.len() > 100);
        let mut random = Random::new(0);
        let mut seeded = None;
        for (seed, n, k, expected) in golden {
            if seeded != Some(seed) {
                random = Random::new(seed);
                seeded = Some(seed);
            }
            assert_eq!(random.sample(n, k).unwrap(), expected, "seed {seed}, {k} of {n}");
        }
    }

    #[test]
    fn the_document_itself_is_left_out() {
        let mut first = Sampler::First;
        assert_eq!(first.choose(4, 2, Some(&|place| place == 0)).unwrap(), [1, 2]);
        assert!(first.choose(2, 2, Some(&|place| place == 0)).unwrap_err().contains("there are 1"));
        let mut drawn = Sampler::Drawn(Random::new(1234));
        for _ in 0..50 {
            let chosen = drawn.choose(6, 3, Some(&|place| place < 3)).unwrap();
            assert!(chosen.len() == 3 && chosen.iter().all(|place| *place >= 3));
        }
        assert!(drawn.choose(3, 3, Some(&|_| false)).is_err());
    }
}
