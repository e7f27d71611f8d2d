//! Attention of stretches of tokens over their own texts in the paged cache: `softmax(q k / scale) v`, causal, and
//! within a window where the layer has one.
//!
//! A text is a list of runs of slots, so texts that share a beginning read the same keys. Both products use the tiles
//! of the linear layers: a page of 16 keys is a strip, and so are 16 columns of the values. Sums go in the order of the
//! text, so that where a text was cut or shared cannot change its result.
#![expect(unsafe_code, reason = "tiles over raw pages of the cache; threads write disjoint heads")]
#![expect(clippy::inline_always, reason = "a body must become part of each function that turns an instruction set on")]

use std::cell::RefCell;

use rayon::prelude::*;

use super::isa::Isa;
use super::lanes::{Lanes, for_isa};
use super::math;
use super::packed::{LANES, Line};
use super::tile::{F32Strip, From, Rows, Strips, tiles};
use crate::cache::{LayerCache, PAGE, Run};

/// A stretch of new tokens of one text.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Its first row in the batch.
    pub row: usize,
    /// Its tokens.
    pub len: usize,
    /// The whole text up to and with these tokens.
    pub runs: &'a [Run],
    /// Position of its first token in the text.
    pub position: usize,
}

/// Sizes of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers in a head.
    pub head_dim: usize,
    /// Slots of the cache.
    pub slots: usize,
    /// A token sees itself and the `window - 1` tokens before it; `None` sees all.
    pub window: Option<usize>,
    /// What the products of queries and keys are multiplied with.
    pub scale: f32,
}

/// Query rows that are worked on together, so that their scores stay in the cache of a core.
const QUERY_ROWS: usize = 48;
/// Below this many products, another thread costs more than it does.
const WORTH_A_THREAD: usize = 60_000;

/// Writes keys and values of the rows of a batch into their slots.
pub fn store(cache: &mut LayerCache, shape: &Shape, segments: &[Segment<'_>], keys: &[f32], values: &[f32]) {
    let (d, width) = (shape.head_dim, shape.kv_heads * shape.head_dim);
    let columns = d.div_ceil(LANES);
    let pages = shape.slots / PAGE;
    for segment in segments {
        for (row, slot) in slots_of(segment) {
            for head in 0..shape.kv_heads {
                let at = row * width + head * d;
                let page = (head * pages + slot / PAGE) * d * PAGE + slot % PAGE;
                for (i, &k) in keys[at..at + d].iter().enumerate() {
                    cache.keys[page + i * PAGE] = k;
                }
                for (c, part) in values[at..at + d].chunks(LANES).enumerate() {
                    let to = ((head * columns + c) * shape.slots + slot) * LANES;
                    cache.values[to..to + part.len()].copy_from_slice(part);
                }
            }
        }
    }
}

/// Rows of the batch with their slots.
fn slots_of<'a>(segment: &'a Segment<'_>) -> impl Iterator<Item = (usize, usize)> + 'a {
    let slots = segment.runs.iter().flat_map(|run| run.start..run.start + run.len);
    (segment.row..segment.row + segment.len).zip(slots.skip(segment.position))
}

#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: each task writes the rows and heads of its own, which no other task touches.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    out: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// One task: some tokens of a segment and one key-value head.
#[derive(Clone, Copy)]
struct Task<'a> {
    segment: Segment<'a>,
    /// First token of the segment, and how many.
    first: usize,
    tokens: usize,
    head: usize,
}

/// Attention of every segment; `queries` and `out` have `heads * head_dim` numbers a row.
pub fn attention(cache: &LayerCache, shape: &Shape, segments: &[Segment<'_>], queries: &[f32], out: &mut [f32]) {
    let group = shape.heads / shape.kv_heads;
    let tokens = (QUERY_ROWS / group).max(1);
    let mut tasks = Vec::new();
    let mut work = 0;
    for &segment in segments {
        for first in (0..segment.len).step_by(tokens) {
            let tokens = tokens.min(segment.len - first);
            work += tokens * (segment.position + first + tokens) * shape.heads * shape.head_dim;
            tasks.extend((0..shape.kv_heads).map(|head| Task { segment, first, tokens, head }));
        }
    }
    let out = Out(out.as_mut_ptr());
    let run = |task: &Task<'_>| SCRATCH.with_borrow_mut(|scratch| one_task(cache, shape, task, queries, out, scratch));
    if super::threads() == 1 || work < WORTH_A_THREAD || tasks.len() == 1 {
        tasks.iter().for_each(run);
    } else {
        tasks.par_iter().for_each(run);
    }
}

/// A stretch of consecutive slots and the position of its first token.
#[derive(Clone, Copy)]
struct Stretch {
    slot: usize,
    len: usize,
    position: usize,
}

fn one_task(cache: &LayerCache, shape: &Shape, task: &Task<'_>, queries: &[f32], out: Out, scratch: &mut Scratch) {
    let isa = Isa::get();
    let (d, group) = (shape.head_dim, shape.heads / shape.kv_heads);
    let rows = task.tokens * group;
    let first = task.segment.position + task.first;
    let end = first + task.tokens;
    let start = shape.window.map_or(0, |window| (first + 1).saturating_sub(window));
    let stretches: Vec<Stretch> = stretches(task.segment.runs, start, end).collect();
    let from = stretches.first().map_or(0, |s| s.position);
    // A page is written whole, also where the text ends inside it.
    let width = end - from + PAGE;
    let Scratch { queries: q, scores, out: sums } = scratch;
    fill(q, rows * d);
    for r in 0..rows {
        let row = task.segment.row + task.first + r / group;
        let at = (row * shape.heads + task.head * group + r % group) * d;
        for (to, &from) in q[r * d..][..d].iter_mut().zip(&queries[at..at + d]) {
            *to = from * shape.scale;
        }
    }
    // Every score that is read is written first.
    scores.resize((rows * width).max(scores.len()), 0.0);
    let pages = shape.slots / PAGE;
    for stretch in &stretches {
        let pages = &cache.keys[(task.head * pages + stretch.slot / PAGE) * d * PAGE..];
        let count = stretch.len.div_ceil(PAGE);
        let (pages, to) = (&pages[..count * d * PAGE], &mut scores[stretch.position - from..]);
        // SAFETY: the processor has the instruction set; rows are a page wider than the text.
        unsafe { keys_product(isa, q, rows, d, pages, to, width) };
    }
    let columns = d.div_ceil(LANES);
    let padded = columns * LANES;
    fill(sums, rows * padded);
    let mut norms = vec![0.0; rows];
    for r in 0..rows {
        let position = first + r / group;
        let seen = shape.window.map_or(0, |window| (position + 1).saturating_sub(window)).max(from);
        let row = &mut scores[r * width..][..end - from];
        row[..seen - from].fill(0.0);
        row[position + 1 - from..].fill(0.0);
        norms[r] = 1.0 / math::exponentials(&mut row[seen - from..=position - from]);
    }
    for stretch in &stretches {
        let at = ((task.head * columns) * shape.slots + stretch.slot) * LANES;
        let strips = (&cache.values[at..], shape.slots * LANES, columns);
        let x = &scores[stretch.position - from..];
        // SAFETY: the processor has the instruction set; the rows of the scores are wider than the stretch.
        unsafe { values_product(isa, x, (rows, width, stretch.len), strips, sums) };
    }
    for r in 0..rows {
        let row = task.segment.row + task.first + r / group;
        let at = (row * shape.heads + task.head * group + r % group) * d;
        for (i, &sum) in sums[r * padded..][..d].iter().enumerate() {
            // SAFETY: the row and the head belong to this task alone, and the batch has them.
            unsafe { *out.0.add(at + i) = sum * norms[r] };
        }
    }
}

fn fill(buffer: &mut Vec<f32>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}

/// The slots of positions `start..end`, from the start of the page in which `start` lies.
fn stretches(runs: &[Run], start: usize, end: usize) -> impl Iterator<Item = Stretch> + '_ {
    let mut position = 0;
    runs.iter().filter_map(move |run| {
        let (first, last) = (position, (position + run.len).min(end));
        position += run.len;
        if last <= start.max(first) {
            return None;
        }
        let skipped = start.saturating_sub(first) / PAGE * PAGE;
        Some(Stretch { slot: run.start + skipped, len: last - first - skipped, position: first + skipped })
    })
}

for_isa! {
    /// `scores[r][j] = q[r] . key[j]` for whole pages; what is written past the last token is overwritten or ignored.
    unsafe fn keys_product(q: &[f32], rows: usize, d: usize, pages: &[f32], scores: &mut [f32], width: usize) = keys_on
}

#[inline(always)]
unsafe fn keys_on<L: Lanes>(q: &[f32], rows: usize, d: usize, pages: &[f32], scores: &mut [f32], width: usize) {
    let count = pages.len() / (d * PAGE);
    let from = Rows { start: q.as_ptr(), by_row: d, by_column: 1 };
    let zeros = [0.0_f32; 2 * LANES];
    let zero = From { start: zeros.as_ptr(), by_row: 0 };
    let mut p = 0;
    while p < count {
        let strip = |i: usize| unaligned(&pages[(p + i) * d * PAGE..]);
        let to = scores[p * PAGE..].as_mut_ptr();
        // SAFETY: each row has room for the pages and `d` numbers of the query; the pages were bounded above.
        unsafe {
            if L::STRIPS == 2 && count - p >= 2 {
                tiles::<L, F32Strip, 2>(from, rows, strips([strip(0), strip(1)], d), zero, to, width);
                p += 2;
            } else {
                tiles::<L, F32Strip, 1>(from, rows, strips([strip(0)], d), zero, to, width);
                p += 1;
            }
        }
    }
}

for_isa! {
    /// Adds `scores[r][j] * value[j]` to `sums`, whose rows are whole strips.
    unsafe fn values_product(
        scores: &[f32],
        shape: (usize, usize, usize),
        values: (&[f32], usize, usize),
        sums: &mut [f32],
    ) = values_on
}

#[inline(always)]
unsafe fn values_on<L: Lanes>(
    scores: &[f32],
    (rows, width, len): (usize, usize, usize),
    (values, by_strip, columns): (&[f32], usize, usize),
    sums: &mut [f32],
) {
    let from = Rows { start: scores.as_ptr(), by_row: width, by_column: 1 };
    let padded = columns * LANES;
    let mut c = 0;
    while c < columns {
        let strip = |i: usize| unaligned(&values[(c + i) * by_strip..][..len * LANES]);
        let to = sums[c * LANES..].as_mut_ptr();
        let onto = From { start: to, by_row: padded };
        // SAFETY: each row has `len` scores and `columns` strips of sums; the strips were bounded above.
        unsafe {
            if L::STRIPS == 2 && columns - c >= 2 {
                tiles::<L, F32Strip, 2>(from, rows, strips([strip(0), strip(1)], len), onto, to, padded);
                c += 2;
            } else {
                tiles::<L, F32Strip, 1>(from, rows, strips([strip(0)], len), onto, to, padded);
                c += 1;
            }
        }
    }
}

const fn strips<const S: usize>(starts: [*const Line; S], columns: usize) -> Strips<S> {
    Strips { starts, records: columns, ahead: 0 }
}

/// Numbers as lines for a tile of plain numbers, which loads them wherever they start.
const fn unaligned(numbers: &[f32]) -> *const Line {
    numbers.as_ptr().cast()
}
