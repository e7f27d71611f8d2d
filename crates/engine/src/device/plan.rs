//! How the attention of a batch is put to a device, made once a batch for all layers: which slots are written, and the
//! stretches of the batch in groups of like size, each padded to one product.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor};

use crate::kernel::Segment;

/// Longest part of a stretch that is one row of a group; it bounds the scores that are held.
const QUERIES: usize = 256;
/// Most scores of one head in a group.
const SCORES: usize = 1 << 20;
/// Most keys in a group.
const KEYS: usize = 1 << 16;

/// The plan of a batch.
pub struct Plan {
    /// The slot of each row.
    pub slots: Tensor,
    /// The groups.
    pub groups: Vec<Group>,
    /// For each row of the batch, its place in the rows of all groups one after another.
    pub places: Tensor,
}

/// Some texts with their last tokens, padded to the same length.
pub struct Group {
    /// Texts.
    pub texts: usize,
    /// Tokens that ask, of each.
    pub queries: usize,
    /// Tokens that are asked, of each.
    pub keys: usize,
    /// Rows of the batch that ask, text after text.
    pub rows: Tensor,
    /// Slots that are asked, text after text.
    pub slots: Tensor,
    /// What is added to the scores, `[text, 1, query, key]`, by the window of the layer.
    pub masks: BTreeMap<Option<usize>, Tensor>,
}

/// Consecutive tokens of one text.
struct Piece {
    row: usize,
    len: usize,
    /// Of the text up to and with these tokens.
    slots: Vec<u32>,
}

impl Plan {
    /// The plan for a batch of `rows` rows, and layers of the windows `windows`.
    pub fn new(segments: &[Segment<'_>], rows: usize, windows: &[Option<usize>], device: &Device) -> Result<Self> {
        let mut pieces: Vec<Piece> = segments.iter().flat_map(pieces_of).collect();
        pieces.sort_by_key(|piece| (piece.len, piece.slots.len()));
        let mut slots = vec![0; rows];
        let mut places = vec![0; rows];
        let mut groups = Vec::new();
        let mut before = 0;
        let mut left = pieces.as_slice();
        while !left.is_empty() {
            let (here, rest) = left.split_at(alike(left));
            left = rest;
            let group = Group::new(here, windows, device)?;
            for (i, piece) in here.iter().enumerate() {
                let new = &piece.slots[piece.slots.len() - piece.len..];
                slots[piece.row..piece.row + piece.len].copy_from_slice(new);
                for (j, place) in places[piece.row..piece.row + piece.len].iter_mut().enumerate() {
                    *place = (before + i * group.queries + j) as u32;
                }
            }
            before += group.texts * group.queries;
            groups.push(group);
        }
        Ok(Self {
            slots: Tensor::from_vec(slots, rows, device)?,
            groups,
            places: Tensor::from_vec(places, rows, device)?,
        })
    }
}

fn pieces_of<'a>(segment: &'a Segment<'_>) -> impl Iterator<Item = Piece> + 'a {
    let all: Vec<u32> = segment.runs.iter().flat_map(|run| run.start..run.start + run.len).map(|s| s as u32).collect();
    (0..segment.len).step_by(QUERIES).map(move |from| {
        let len = QUERIES.min(segment.len - from);
        Piece { row: segment.row + from, len, slots: all[..segment.position + from + len].to_vec() }
    })
}

/// How many of the first pieces make a group: those at most twice as long as the first, within the bounds.
fn alike(pieces: &[Piece]) -> usize {
    let (shortest, mut longest) = (pieces[0].len, 0);
    let fits = |(i, piece): (usize, &Piece)| {
        longest = longest.max(piece.slots.len());
        let keys = (i + 1) * longest;
        piece.len <= 2 * shortest && keys <= KEYS && keys * piece.len <= SCORES
    };
    pieces.iter().enumerate().map(fits).take_while(|fits| *fits).count().max(1)
}

impl Group {
    fn new(pieces: &[Piece], windows: &[Option<usize>], device: &Device) -> Result<Self> {
        let texts = pieces.len();
        let queries = pieces.iter().map(|p| p.len).max().unwrap_or(0);
        let keys = pieces.iter().map(|p| p.slots.len()).max().unwrap_or(0);
        // What fills a short text up is its last token again: a number that is finite, and that no one sees.
        let rows = pieces.iter().flat_map(|p| (0..queries).map(|i| (p.row + i.min(p.len - 1)) as u32)).collect();
        let slots = pieces.iter().flat_map(|p| (0..keys).map(|i| p.slots[i.min(p.slots.len() - 1)])).collect();
        let mut masks = BTreeMap::new();
        for &window in windows {
            let mut mask = vec![f32::NEG_INFINITY; texts * queries * keys];
            let mut lines = mask.chunks_exact_mut(keys.max(1));
            for (piece, query) in pieces.iter().flat_map(|p| (0..queries).map(move |i| (p, i.min(p.len - 1)))) {
                let end = piece.slots.len() - piece.len + query + 1;
                let start = window.map_or(0, |window| end.saturating_sub(window));
                if let Some(line) = lines.next() {
                    line[start..end].fill(0.0);
                }
            }
            masks.insert(window, Tensor::from_vec(mask, (texts, 1, queries, keys), device)?);
        }
        Ok(Self {
            texts,
            queries,
            keys,
            rows: Tensor::from_vec::<_, u32>(rows, texts * queries, device)?,
            slots: Tensor::from_vec::<_, u32>(slots, texts * keys, device)?,
            masks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Run;

    #[test]
    fn stretches_of_like_size_are_one_group() -> Result<()> {
        let runs = [vec![Run { start: 32, len: 5 }], vec![Run { start: 0, len: 16 }, Run { start: 48, len: 1 }]];
        let segments = [
            Segment { row: 0, len: 2, runs: &runs[0], position: 3 },
            Segment { row: 2, len: 1, runs: &runs[1], position: 16 },
        ];
        let plan = Plan::new(&segments, 3, &[None, Some(2)], &Device::Cpu)?;
        assert_eq!(plan.slots.to_vec1::<u32>()?, [35, 36, 48]);
        assert_eq!(plan.groups.len(), 1);
        let group = &plan.groups[0];
        assert_eq!((group.texts, group.queries, group.keys), (2, 2, 17));
        // The shorter stretch comes first, its one row twice.
        assert_eq!(group.rows.to_vec1::<u32>()?, [2, 2, 0, 1]);
        assert_eq!(plan.places.to_vec1::<u32>()?, [2, 3, 0]);
        let seen = |window| -> Result<Vec<Vec<usize>>> {
            let lines = group.masks[&window].reshape((4, 17))?.to_vec2::<f32>()?;
            Ok(lines.iter().map(|line| (0..17).filter(|&i| line[i] == 0.0).collect()).collect())
        };
        assert_eq!(seen(None)?, [(0..17).collect(), (0..17).collect(), vec![0, 1, 2, 3], vec![0, 1, 2, 3, 4]]);
        assert_eq!(seen(Some(2))?, [[15, 16], [15, 16], [2, 3], [3, 4]]);
        Ok(())
    }

    #[test]
    fn long_stretches_are_split() -> Result<()> {
        let runs = [Run { start: 0, len: 600 }];
        let segment = Segment { row: 0, len: 600, runs: &runs, position: 0 };
        let plan = Plan::new(&[segment], 600, &[None], &Device::Cpu)?;
        let sizes: Vec<_> = plan.groups.iter().map(|g| (g.texts, g.queries, g.keys)).collect();
        assert_eq!(sizes, [(1, 88, 600), (2, 256, 512)]);
        assert_eq!(plan.slots.to_vec1::<u32>()?, (0..600).collect::<Vec<u32>>());
        Ok(())
    }
}
