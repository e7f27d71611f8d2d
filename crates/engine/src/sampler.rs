//! Choosing the next token from its logits.
//!
//! The order of the filters is that of `transformers`: temperature, top-k, top-p, min-p. One draw takes one number of
//! the generator, so a seed gives the same text whatever else is in the batch.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use weighbridge_core::Sampling;

use crate::error::EngineError;

/// Draws the tokens of one text.
#[derive(Debug)]
pub struct Sampler {
    temperature: f64,
    top_k: Option<usize>,
    top_p: f64,
    min_p: f64,
    random: Xoshiro256PlusPlus,
}

impl Sampler {
    /// A sampler with its own generator. What is not set leaves the distribution as it is.
    ///
    /// # Errors
    /// A setting is outside its range.
    pub fn new(settings: Sampling) -> Result<Self, EngineError> {
        let wrong = |name, value: f64, expected| EngineError::Setting { name, value: value.to_string(), expected };
        let temperature = settings.temperature.unwrap_or(1.0);
        let top_p = settings.top_p.unwrap_or(1.0);
        let min_p = settings.min_p.unwrap_or(0.0);
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(wrong("temperature", temperature, "a number from 0"));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(wrong("top-p", top_p, "a number above 0 and at most 1"));
        }
        if !(0.0..=1.0).contains(&min_p) {
            return Err(wrong("min-p", min_p, "a number from 0 to 1"));
        }
        if settings.top_k == Some(0) {
            return Err(wrong("top-k", 0.0, "a whole number from 1"));
        }
        let random = Xoshiro256PlusPlus::seed_from_u64(settings.seed.unwrap_or(0));
        Ok(Self { temperature, top_k: settings.top_k, top_p, min_p, random })
    }

    /// The next token; `likeliest` is the token of the highest logit.
    pub fn choose(&mut self, logits: &[f32], likeliest: u32) -> u32 {
        if self.temperature == 0.0 {
            return likeliest;
        }
        let kept = self.kept(logits);
        let total: f64 = kept.iter().map(|&(_, p)| p).sum();
        // 53 bits, so that the number is below 1.
        let uniform = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut left = uniform * total;
        for &(token, p) in &kept {
            left -= p;
            if left < 0.0 {
                return token;
            }
        }
        kept.last().map_or(likeliest, |&(token, _)| token)
    }

    /// The tokens that may be drawn with their probabilities, likeliest first, not normalised.
    fn kept(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |&x: &f32| (f64::from(x - top) / self.temperature).exp();
        let mut all: Vec<(u32, f64)> = logits.iter().enumerate().map(|(i, x)| (i as u32, weight(x))).collect();
        let order = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if let Some(k) = self.top_k.filter(|&k| k < all.len()) {
            all.select_nth_unstable_by(k, order);
            all.truncate(k);
        }
        all.sort_unstable_by(order);
        if self.top_p < 1.0 {
            let enough = self.top_p * all.iter().map(|&(_, p)| p).sum::<f64>();
            let mut sum = 0.0;
            let needed = all.iter().position(|&(_, p)| {
                sum += p;
                sum >= enough
            });
            all.truncate(needed.map_or(all.len(), |last| last + 1));
        }
        let least = self.min_p * all.first().map_or(0.0, |&(_, p)| p);
        all.retain(|&(_, p)| p >= least);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(settings: Sampling) -> Vec<u32> {
        // Probabilities 0.1, 0.4, 0.2, 0.3.
        let logits = [0.1_f32, 0.4, 0.2, 0.3].map(f32::ln);
        Sampler::new(settings).unwrap().kept(&logits).into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn filters_keep_what_they_say() {
        let plain = Sampling { temperature: Some(1.0), ..Sampling::GREEDY };
        assert_eq!(kept(plain), [1, 3, 2, 0]);
        assert_eq!(kept(Sampling { top_k: Some(2), ..plain }), [1, 3]);
        assert_eq!(kept(Sampling { top_p: Some(0.69), ..plain }), [1, 3]);
        assert_eq!(kept(Sampling { top_p: Some(0.71), ..plain }), [1, 3, 2]);
        assert_eq!(kept(Sampling { min_p: Some(0.45), ..plain }), [1, 3, 2]);
        // Half the temperature squares the probabilities: 0.16, 0.09, 0.04, 0.01.
        assert_eq!(kept(Sampling { temperature: Some(0.5), min_p: Some(0.3), ..plain }), [1, 3]);
    }

    #[test]
    fn frequencies_are_the_probabilities() {
        let logits = [0.1_f32, 0.4, 0.2, 0.3].map(f32::ln);
        let mut sampler = Sampler::new(Sampling { temperature: Some(1.0), seed: Some(7), ..Sampling::GREEDY }).unwrap();
        let mut counts = [0_u32; 4];
        for _ in 0..20_000 {
            counts[sampler.choose(&logits, 1) as usize] += 1;
        }
        // Three standard deviations of a binomial count are at most 210.
        for (count, expect) in counts.into_iter().zip([2000, 8000, 4000, 6000]) {
            assert!(count.abs_diff(expect) < 210, "{counts:?}");
        }
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        for (settings, name) in [
            (Sampling { temperature: Some(-1.0), ..Sampling::GREEDY }, "temperature"),
            (Sampling { temperature: Some(f64::NAN), ..Sampling::GREEDY }, "temperature"),
            (Sampling { top_p: Some(0.0), ..Sampling::GREEDY }, "top-p"),
            (Sampling { min_p: Some(1.5), ..Sampling::GREEDY }, "min-p"),
            (Sampling { top_k: Some(0), ..Sampling::GREEDY }, "top-k"),
        ] {
            let error = Sampler::new(settings).unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
