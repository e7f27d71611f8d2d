//! Log-likelihoods of many token sequences, each shared beginning computed once.
//!
//! The inputs are sorted, so that each shares with the one before it the longest beginning that it shares with any
//! earlier one: walking through them in this order visits every node of their prefix tree once, depth first, and only
//! the path to the present node needs to stay in the cache. Consecutive new tokens are packed into batches across the
//! branches of the tree.

use std::ops::Range;

use rayon::prelude::*;
use weighbridge_core::lm_eval;

use crate::cache::{Cache, Path};
use crate::error::EngineError;
use crate::forward::Forward;
use crate::kernel::{Segment, math};

/// Tokens of a batch; more would not make the products faster.
const BATCH: usize = 512;
/// Rows of logits that are held at a time.
const LOGIT_ROWS: usize = 64;

/// A sequence to score: the tokens of `continuation` given those before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// What comes before. At least one token.
    pub context: Vec<u32>,
    /// What is scored. At least one token.
    pub continuation: Vec<u32>,
}

/// What the model says about one token, given what came before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenScore {
    /// The token.
    pub token: u32,
    /// Its natural log-probability.
    pub logprob: f32,
    /// The token of the highest probability.
    pub likeliest: u32,
    /// Mean and variance of log p over the vocabulary, under p, where they were asked for.
    pub moments: Option<(f32, f32)>,
}

/// What to compute beside the log-probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    #[default]
    LogProbs,
    /// Mean and variance of log p over the whole vocabulary.
    Moments,
}

/// How much work a set of requests is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Tokens in all inputs together.
    pub tokens: usize,
    /// Nodes of their prefix tree: tokens that run through the model.
    pub nodes: usize,
}

/// A token score that a node of the tree must give.
struct Want {
    node: usize,
    request: usize,
    place: usize,
    token: u32,
}

/// The prefix tree in depth-first order.
struct Tree {
    /// Token and depth of each node.
    nodes: Vec<(u32, u32)>,
    /// In the order of the nodes.
    wants: Vec<Want>,
    deepest: usize,
    tokens: usize,
}

impl Tree {
    fn new(requests: &[TokenRequest], longest: usize) -> Self {
        let inputs: Vec<(Vec<u32>, usize)> = requests
            .iter()
            .map(|r| {
                let all = [r.context.as_slice(), &r.continuation].concat();
                let kept = all.len().saturating_sub(longest + 1);
                let input = all[kept..all.len() - 1].to_vec();
                let first = input.len().saturating_sub(r.continuation.len() - 1).max(1) - 1;
                (input, first)
            })
            .collect();
        let mut order: Vec<usize> = (0..requests.len()).collect();
        order.par_sort_by(|&a, &b| inputs[a].0.cmp(&inputs[b].0));
        let mut tree = Self { nodes: Vec::new(), wants: Vec::new(), deepest: 0, tokens: 0 };
        let mut path: Vec<usize> = Vec::new();
        let mut before: &[u32] = &[];
        for &request in &order {
            let (input, first) = &inputs[request];
            let shared = before.iter().zip(input).take_while(|(a, b)| a == b).count();
            path.truncate(shared);
            for (depth, &token) in input.iter().enumerate().skip(shared) {
                path.push(tree.nodes.len());
                tree.nodes.push((token, depth as u32));
            }
            let continuation = &requests[request].continuation;
            let scored = input.len() - first;
            let places = continuation.len() - scored..continuation.len();
            for (place, position) in places.zip(*first..) {
                tree.wants.push(Want { node: path[position], request, place, token: continuation[place] });
            }
            tree.deepest = tree.deepest.max(input.len());
            tree.tokens += input.len();
            before = input;
        }
        tree.wants.sort_by_key(|want| want.node);
        tree
    }

    /// Stretches of consecutive nodes of one path, at most `most` tokens together, from node `from` on.
    fn stretches(&self, from: usize, most: usize) -> Vec<Range<usize>> {
        let end = (from + most).min(self.nodes.len());
        let mut stretches = Vec::new();
        let mut start = from;
        for node in from + 1..=end {
            if node == end || self.nodes[node].1 != self.nodes[node - 1].1 + 1 {
                stretches.push(start..node);
                start = node;
            }
        }
        stretches
    }
}

/// How much work the requests are.
#[must_use]
pub fn work(requests: &[TokenRequest], longest: usize) -> Work {
    let tree = Tree::new(requests, longest);
    Work { tokens: tree.tokens, nodes: tree.nodes.len() }
}

/// Scores every request; the answers are in the order of the requests, one score a token of the continuation.
///
/// An input that is longer than the model takes is cut from the left; continuation tokens that fall away with it are
/// missing from the front of the answer. `tick` is called with the number of nodes done.
///
/// # Errors
/// A request is empty, a token is not in the vocabulary, or the model gives no finite numbers.
pub fn score(
    decoder: &dyn Forward,
    requests: &[TokenRequest],
    detail: Detail,
    tick: &(dyn Fn(usize) + Sync),
) -> Result<Vec<Vec<TokenScore>>, EngineError> {
    check(decoder, requests)?;
    let tree = Tree::new(requests, decoder.architecture().context);
    let mut found: Vec<Vec<Option<TokenScore>>> = requests.iter().map(|r| vec![None; r.continuation.len()]).collect();
    let batch = BATCH.min(tree.nodes.len().max(1));
    let mut cache = decoder.cache(tree.deepest + 3 * batch + 64)?;
    let mut trunk = Path::default();
    let (mut node, mut want) = (0, 0);
    while node < tree.nodes.len() {
        let mut paths: Vec<Path> = Vec::new();
        let mut done = node;
        for stretch in tree.stretches(node, batch) {
            let depth = tree.nodes[stretch.start].1 as usize;
            let mut path = if let Some(before) = paths.last() {
                cache.fork(before, depth)
            } else {
                cache.truncate(&mut trunk, depth);
                std::mem::take(&mut trunk)
            };
            if let Err(full) = cache.extend(&mut path, stretch.len()) {
                cache.release(path);
                if paths.is_empty() {
                    return Err(full.into());
                }
                break;
            }
            done = stretch.end;
            paths.push(path);
        }
        let hidden = run(decoder, &mut cache, &tree.nodes[node..done], &paths)?;
        let wanted = want + tree.wants[want..].partition_point(|w| w.node < done);
        let answers = answers(decoder, &hidden, &tree.wants[want..wanted], node, detail)?;
        for (w, answer) in tree.wants[want..wanted].iter().zip(answers) {
            found[w.request][w.place] = Some(answer);
        }
        trunk = paths.pop().unwrap_or_default();
        for path in paths {
            cache.release(path);
        }
        (node, want) = (done, wanted);
        tick(node);
    }
    Ok(found.into_iter().map(|scores| scores.into_iter().flatten().collect()).collect())
}

fn check(decoder: &dyn Forward, requests: &[TokenRequest]) -> Result<(), EngineError> {
    let vocabulary = decoder.architecture().vocabulary;
    for (i, request) in requests.iter().enumerate() {
        if request.context.is_empty() || request.continuation.is_empty() {
            return Err(EngineError::EmptyRequest { request: i + 1 });
        }
        let mut tokens = request.context.iter().chain(&request.continuation);
        if let Some(&token) = tokens.find(|&&t| t as usize >= vocabulary) {
            return Err(EngineError::TokenOutside { token, vocabulary });
        }
    }
    Ok(())
}

/// Hidden states of consecutive nodes; the paths are those of their stretches.
fn run(
    decoder: &dyn Forward,
    cache: &mut Cache,
    nodes: &[(u32, u32)],
    paths: &[Path],
) -> Result<Vec<f32>, EngineError> {
    let tokens: Vec<u32> = nodes.iter().map(|&(token, _)| token).collect();
    let mut row = 0;
    let mut segments = Vec::with_capacity(paths.len());
    for path in paths {
        let position = nodes[row].1 as usize;
        let len = path.len() - position;
        segments.push(Segment { row, len, runs: path.runs(), position });
        row += len;
    }
    decoder.forward(cache, &tokens, &segments, None)
}

/// Scores of the wants, which are in the order of their nodes; `first` is the node of the first hidden row.
fn answers(
    decoder: &dyn Forward,
    hidden: &[f32],
    wants: &[Want],
    first: usize,
    detail: Detail,
) -> Result<Vec<TokenScore>, EngineError> {
    let width = decoder.architecture().hidden;
    let vocabulary = decoder.architecture().vocabulary;
    let mut rows: Vec<usize> = wants.iter().map(|w| w.node - first).collect();
    rows.dedup();
    let mut answers = Vec::with_capacity(wants.len());
    let mut left = wants;
    for rows in rows.chunks(LOGIT_ROWS) {
        let chosen: Vec<f32> = rows.iter().flat_map(|&row| &hidden[row * width..][..width]).copied().collect();
        let logits = decoder.logits(&chosen)?;
        let of_row = |logits: &[f32]| {
            let distribution = math::distribution(logits);
            let moments = (detail == Detail::Moments).then(|| math::moments_of_log_p(logits, distribution.log_sum));
            (distribution, moments)
        };
        let summaries: Vec<_> = logits.par_chunks_exact(vocabulary).map(of_row).collect();
        let last = first + rows[rows.len() - 1];
        let (here, rest) = left.split_at(left.partition_point(|w| w.node <= last));
        left = rest;
        let mut i = 0;
        for want in here {
            while rows[i] != want.node - first {
                i += 1;
            }
            let (distribution, moments) = summaries[i];
            let logprob = logits[i * vocabulary + want.token as usize] - distribution.log_sum;
            if !logprob.is_finite() {
                return Err(EngineError::NotFinite);
            }
            answers.push(TokenScore { token: want.token, logprob, likeliest: distribution.argmax, moments });
        }
    }
    Ok(answers)
}

/// Windows that cover a text once, as lm-evaluation-harness makes them for perplexities: each window but the first is as
/// full as the model takes, and each token is scored once.
#[must_use]
pub fn rolling_windows(tokens: &[u32], prefix: u32, longest: usize) -> Vec<TokenRequest> {
    let window = |window: lm_eval::Window| TokenRequest {
        context: if window.context.is_empty() { vec![prefix] } else { tokens[window.context].to_vec() },
        continuation: tokens[window.scored].to_vec(),
    };
    lm_eval::rolling_windows(tokens.len(), longest).into_iter().map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(context: &[u32], continuation: &[u32]) -> TokenRequest {
        TokenRequest { context: context.to_vec(), continuation: continuation.to_vec() }
    }

    #[test]
    fn a_shared_beginning_is_one_path() {
        let requests =
            [request(&[1, 2, 3], &[4]), request(&[1, 2, 3], &[5, 6]), request(&[1, 2], &[7]), request(&[9], &[1])];
        // Inputs 1 2 3, 1 2 3 5, 1 2 and 9: nodes 1 2 3 5 and 9.
        assert_eq!(work(&requests, 100), Work { tokens: 10, nodes: 5 });
        let tree = Tree::new(&requests, 100);
        assert_eq!(tree.nodes, [(1, 0), (2, 1), (3, 2), (5, 3), (9, 0)]);
        assert_eq!(tree.stretches(0, 100), [0..4, 4..5]);
        assert_eq!(tree.stretches(0, 3), vec![0..3]);
        assert_eq!(tree.stretches(3, 3), [3..4, 4..5]);
    }

    #[test]
    fn inputs_too_long_lose_their_beginning() {
        let tree = Tree::new(&[request(&[1, 2, 3, 4, 5], &[6, 7])], 3);
        assert_eq!(tree.nodes, [(4, 0), (5, 1), (6, 2)]);
        assert_eq!(tree.wants.iter().map(|w| (w.node, w.place, w.token)).collect::<Vec<_>>(), [(1, 0, 6), (2, 1, 7)]);
    }

    /// Windows of `lm_eval.utils.get_rolling_token_windows(range(10), 100, 4, 1)` after `make_disjoint_window`.
    #[test]
    fn rolling_windows_are_those_of_lm_eval() {
        let tokens: Vec<u32> = (0..10).collect();
        assert_eq!(
            rolling_windows(&tokens, 100, 4),
            [request(&[100], &[0, 1, 2, 3]), request(&[3], &[4, 5, 6, 7]), request(&[5, 6, 7], &[8, 9]),]
        );
    }
}
