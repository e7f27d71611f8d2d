//! What must not change an answer: the batch, the number of threads, and which beginnings are shared.

#![expect(clippy::expect_used, reason = "a test stops where its input cannot be read")]

mod trees;

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use weighbridge_engine::decoder::Decoder;
use weighbridge_engine::files::Checkpoint;
use weighbridge_engine::load;
use weighbridge_engine::score::{Detail, TokenRequest, TokenScore, score, work};

use trees::requests;

fn golden(name: &str) -> Decoder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    let checkpoint = Checkpoint::open(&folder).expect("the checkpoint opens");
    load::decoder(Arc::new(checkpoint)).expect("the checkpoint loads")
}

fn on(threads: usize, decoder: &Decoder, requests: &[TokenRequest]) -> Vec<Vec<TokenScore>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| score(decoder, requests, Detail::Moments, &|_| {})).expect("scores")
}

fn check(decoder: &Decoder, requests: &[TokenRequest]) -> Result<(), TestCaseError> {
    let together = on(1, decoder, requests);
    prop_assert_eq!(&on(2, decoder, requests), &together, "threads");
    for (request, together) in requests.iter().zip(&together) {
        let alone = &on(1, decoder, std::slice::from_ref(request))[0];
        for (a, b) in alone.iter().zip(together) {
            prop_assert!((a.logprob - b.logprob).abs() < 1e-5, "{a:?} alone, {b:?} together");
            prop_assert_eq!(a.likeliest, b.likeliest);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sharing_and_threads_change_nothing(requests in requests()) {
        // Windows and learned positions; grouped heads and norms of queries and keys; windows and rotary positions.
        for name in ["gpt_neo", "qwen3", "gemma3_text"] {
            check(&golden(name), &requests)?;
        }
    }

    #[test]
    fn the_tree_has_a_node_for_each_distinct_beginning(requests in requests()) {
        let mut beginnings = std::collections::BTreeSet::new();
        let mut tokens = 0;
        for r in &requests {
            let all = [r.context.as_slice(), &r.continuation].concat();
            tokens += all.len() - 1;
            beginnings.extend((1..all.len()).map(|n| all[..n].to_vec()));
        }
        let work = work(&requests, 1000);
        prop_assert_eq!((work.nodes, work.tokens), (beginnings.len(), tokens));
    }
}
