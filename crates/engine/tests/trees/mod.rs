//! Random requests for property tests.

use proptest::prelude::*;
use weighbridge_engine::score::TokenRequest;

/// Requests that share beginnings as the branches of a random tree do.
pub fn requests() -> impl Strategy<Value = Vec<TokenRequest>> {
    let branch = (any::<prop::sample::Index>(), 0_usize..70, prop::collection::vec(0_u32..4, 1..60), 1_usize..9);
    prop::collection::vec(branch, 1..24).prop_map(|branches| {
        let mut texts: Vec<Vec<u32>> = vec![vec![1, 2, 3]];
        let mut requests = Vec::new();
        for (parent, kept, tail, scored) in branches {
            let parent = &texts[parent.index(texts.len())];
            let mut text: Vec<u32> = parent.iter().copied().take(kept.max(1)).collect();
            text.extend(tail.iter().map(|t| 7 + t * 11));
            text.truncate(120);
            let scored = scored.min(text.len() - 1);
            let (context, continuation) = text.split_at(text.len() - scored);
            requests.push(TokenRequest { context: context.to_vec(), continuation: continuation.to_vec() });
            texts.push(text);
        }
        requests
    })
}
