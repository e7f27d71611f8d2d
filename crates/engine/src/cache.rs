//! Keys and values of tokens that were computed, in pages of 16 tokens that several texts can share.
//!
//! A [`Path`] is one text: the pages of its tokens, in order. Texts with a common beginning share its pages; a page is
//! given back when the last text that has it is. What the cache holds is bounded by its size when it was made.

use thiserror::Error;

use crate::kernel::LANES;

/// Tokens in a page: those that one vector register holds.
pub const PAGE: usize = LANES;

/// No page is free.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "the key-value cache is full: {asked} more tokens were asked for and {free} fit; ask for a larger cache or fewer texts at once"
)]
pub struct CacheFull {
    /// Tokens that were asked for.
    pub asked: usize,
    /// Tokens that fit.
    pub free: usize,
}

/// A stretch of consecutive slots. It starts at the start of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First slot.
    pub start: usize,
    /// Tokens.
    pub len: usize,
}

/// The slots of one text, in order. It must be given back to its cache with [`Cache::release`].
#[derive(Debug, Default)]
pub struct Path {
    runs: Vec<Run>,
    len: usize,
}

impl Path {
    /// Tokens in the text.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True before the first token.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The stretches, in order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The slot of the token at `position`.
    #[must_use]
    pub fn slot(&self, position: usize) -> usize {
        let mut before = 0;
        for run in &self.runs {
            if position < before + run.len {
                return run.start + position - before;
            }
            before += run.len;
        }
        before
    }
}

/// Keys and values of one layer.
#[derive(Debug)]
pub struct LayerCache {
    /// `[kv head][page][head dim][16 tokens]`.
    pub keys: Vec<f32>,
    /// `[kv head][16 columns of the head][slot][16]`.
    pub values: Vec<f32>,
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    /// One a layer.
    pub layers: Vec<LayerCache>,
    /// The same for a model on a device, which then has no layers above.
    #[cfg(feature = "tensors")]
    pub(crate) tensors: Vec<crate::device::Held>,
    /// Key-value heads.
    pub kv_heads: usize,
    /// Numbers in a head.
    pub head_dim: usize,
    owners: Vec<u32>,
    free: usize,
    /// No page below this one is free.
    lowest: usize,
}

impl Cache {
    /// A cache of at least `tokens` slots. Memory is taken from the system as it is first used.
    #[must_use]
    pub fn new(layers: usize, kv_heads: usize, head_dim: usize, tokens: usize) -> Self {
        let pages = tokens.div_ceil(PAGE).max(1);
        let layer = || LayerCache {
            keys: vec![0.0; kv_heads * pages * head_dim * PAGE],
            values: vec![0.0; kv_heads * head_dim.div_ceil(LANES) * pages * PAGE * LANES],
        };
        Self {
            layers: (0..layers).map(|_| layer()).collect(),
            #[cfg(feature = "tensors")]
            tensors: Vec::new(),
            kv_heads,
            head_dim,
            owners: vec![0; pages],
            free: pages,
            lowest: 0,
        }
    }

    /// Whether the system would give the memory of such a cache, which [`Cache::new`] takes for granted. A long answer
    /// may be asked for, and how long one may be at most is a claim of the file.
    #[must_use]
    pub fn can_hold(layers: usize, kv_heads: usize, head_dim: usize, tokens: usize) -> bool {
        let slots = tokens.div_ceil(PAGE).max(1).checked_mul(PAGE);
        let width = kv_heads.checked_mul(head_dim.next_multiple_of(LANES));
        let Some(numbers) = slots.zip(width).and_then(|(slots, width)| slots.checked_mul(width)) else { return false };
        // All of it at once, as the cache does; nothing is written, so no page of it is really taken.
        let mut held: Vec<Vec<f32>> = Vec::new();
        (0..layers.saturating_mul(2)).all(|_| {
            held.push(Vec::new());
            held.last_mut().is_some_and(|part| part.try_reserve_exact(numbers).is_ok())
        })
    }

    /// Slots in all.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.owners.len() * PAGE
    }

    /// Slots of free pages.
    #[must_use]
    pub const fn free(&self) -> usize {
        self.free * PAGE
    }

    /// Adds `tokens` slots to the end of a text.
    ///
    /// # Errors
    /// Not enough pages are free; the text is as it was.
    pub fn extend(&mut self, path: &mut Path, tokens: usize) -> Result<(), CacheFull> {
        let room = path.runs.last().map_or(0, |run| {
            let end = run.start + run.len;
            if end % PAGE != 0 && self.owners[end / PAGE] == 1 { PAGE - end % PAGE } else { 0 }
        });
        if tokens > room + self.free() {
            return Err(CacheFull { asked: tokens, free: room + self.free() });
        }
        let mut left = tokens;
        while left > 0 {
            let (start, fits) = match path.runs.last() {
                Some(run) if (run.start + run.len) % PAGE != 0 && self.owners[(run.start + run.len) / PAGE] == 1 => {
                    let end = run.start + run.len;
                    (end, PAGE - end % PAGE)
                }
                last => {
                    let next = last.filter(|run| run.len % PAGE == 0).map(|run| (run.start + run.len) / PAGE);
                    (self.take(next) * PAGE, PAGE)
                }
            };
            let taken = fits.min(left);
            match path.runs.last_mut() {
                Some(run) if run.start + run.len == start => run.len += taken,
                _ => path.runs.push(Run { start, len: taken }),
            }
            path.len += taken;
            left -= taken;
        }
        Ok(())
    }

    /// A free page, `wanted` where that is free. One must be.
    fn take(&mut self, wanted: Option<usize>) -> usize {
        let page = match wanted {
            Some(page) if self.owners.get(page) == Some(&0) => page,
            _ => {
                while self.owners[self.lowest] != 0 {
                    self.lowest += 1;
                }
                self.lowest
            }
        };
        self.owners[page] = 1;
        self.free -= 1;
        page
    }

    /// Shortens a text to its first `len` tokens and gives back the pages that it no longer needs.
    pub fn truncate(&mut self, path: &mut Path, len: usize) {
        while path.len > len {
            let excess = path.len - len;
            let Some(run) = path.runs.last_mut() else { return };
            let kept = run.len.saturating_sub(excess);
            let (first, end) = ((run.start + kept).div_ceil(PAGE), (run.start + run.len).div_ceil(PAGE));
            path.len -= run.len - kept;
            run.len = kept;
            if kept == 0 {
                path.runs.pop();
            }
            for page in first..end {
                self.owners[page] -= 1;
                if self.owners[page] == 0 {
                    self.free += 1;
                    self.lowest = self.lowest.min(page);
                }
            }
        }
    }

    /// Another text with the same first `len` tokens, which it shares.
    #[must_use]
    pub fn fork(&mut self, path: &Path, len: usize) -> Path {
        let mut fork = Path::default();
        for run in &path.runs {
            let taken = run.len.min(len - fork.len);
            if taken == 0 {
                break;
            }
            fork.runs.push(Run { start: run.start, len: taken });
            fork.len += taken;
            for page in run.start / PAGE..(run.start + taken).div_ceil(PAGE) {
                self.owners[page] += 1;
            }
        }
        fork
    }

    /// Gives all pages of a text back.
    pub fn release(&mut self, mut path: Path) {
        self.truncate(&mut path, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_asked_for_before_it_is_taken() {
        assert!(Cache::can_hold(30, 3, 64, 8192));
        assert!(!Cache::can_hold(1, 1, 8, usize::MAX));
        assert!(!Cache::can_hold(1, 1 << 24, 1 << 16, 1 << 24));
        assert!(!Cache::can_hold(1, 1 << 20, 1 << 10, 1 << 25), "an exbibyte and more");
    }

    #[test]
    fn pages_are_shared_and_given_back() {
        let mut cache = Cache::new(1, 1, 8, 160);
        let mut a = Path::default();
        cache.extend(&mut a, 40).unwrap();
        assert_eq!(a.runs(), [Run { start: 0, len: 40 }]);
        let mut b = cache.fork(&a, 20);
        cache.extend(&mut b, 3).unwrap();
        // The second page is shared, so the fork goes on in one of its own.
        assert_eq!(b.runs(), [Run { start: 0, len: 20 }, Run { start: 48, len: 3 }]);
        cache.extend(&mut a, 10).unwrap();
        assert_eq!(a.runs(), [Run { start: 0, len: 48 }, Run { start: 64, len: 2 }]);
        assert_eq!((a.slot(47), a.slot(48), b.slot(20)), (47, 64, 48));
        assert_eq!(cache.free(), 160 - 80);
        assert_eq!(cache.extend(&mut b, 94), Err(CacheFull { asked: 94, free: 93 }));
        cache.truncate(&mut a, 21);
        assert_eq!(cache.free(), 160 - 48);
        cache.release(a);
        cache.release(b);
        assert_eq!(cache.free(), 160);
    }
}
