//! The choice of worked examples, draw for draw as lm-evaluation-harness makes it with Python's `random.Random(seed)`.
//!
//! Examples of one task come from one generator that runs on from document to document.

use super::PythonRandom;

/// How worked examples are chosen.
#[derive(Clone, Debug)]
pub enum Sampler {
    /// Drawn for each document; `default` in task files.
    Drawn(PythonRandom),
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
    fn the_document_itself_is_left_out() {
        let mut first = Sampler::First;
        assert_eq!(first.choose(4, 2, Some(&|place| place == 0)).unwrap(), [1, 2]);
        assert!(first.choose(2, 2, Some(&|place| place == 0)).unwrap_err().contains("there are 1"));
        let mut drawn = Sampler::Drawn(PythonRandom::new(1234));
        for _ in 0..50 {
            let chosen = drawn.choose(6, 3, Some(&|place| place < 3)).unwrap();
            assert!(chosen.len() == 3 && chosen.iter().all(|place| *place >= 3));
        }
        assert!(drawn.choose(3, 3, Some(&|_| false)).is_err());
    }
}
