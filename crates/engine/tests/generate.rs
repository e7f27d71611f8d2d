//! Generation: stop strings, sampling, full contexts, and a cache that is too small for all texts at once.
#![expect(clippy::expect_used, reason = "a test stops where what it needs is not there")]

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use weighbridge_core::{Finish, Generation, Sampling};
use weighbridge_engine::decoder::Decoder;
use weighbridge_engine::files::Checkpoint;
use weighbridge_engine::generate::{Limits, TokenPrompt, generate};
use weighbridge_engine::load;
use weighbridge_engine::tokenizer::Tokenizer;

fn decoder(name: &str) -> Decoder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    let checkpoint = Checkpoint::open(&folder).expect("the checkpoint opens");
    load::decoder(Arc::new(checkpoint)).expect("the checkpoint loads")
}

/// A tokenizer whose token `n` reads `<n>`, without an end of text.
fn tokenizer(vocabulary: usize) -> Tokenizer {
    let vocab: serde_json::Map<_, _> = (0..vocabulary).map(|n| (format!("<{n}>"), json!(n))).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<0>"},
    });
    Tokenizer::from_json(json.to_string().as_bytes(), None).expect("a tokenizer")
}

fn prompt(ids: &[u32], max_tokens: usize) -> TokenPrompt {
    TokenPrompt { ids: ids.to_vec(), stop: Vec::new(), max_tokens, sampling: Sampling::GREEDY }
}

fn run(decoder: &Decoder, prompts: &[TokenPrompt], limits: Limits) -> Vec<Generation> {
    let tokenizer = tokenizer(decoder.architecture.vocabulary);
    generate(decoder, &tokenizer, prompts, limits, &mut |_, _| {}).expect("texts")
}

/// Prompts that share beginnings, of many lengths.
fn prompts(count: u32, vocabulary: u32) -> Vec<TokenPrompt> {
    let ids =
        |i: u32| -> Vec<u32> { (0..5 + i * 7 % 60).map(|k| if k < 40 { k * 3 } else { k * i } % vocabulary).collect() };
    (0..count).map(|i| prompt(&ids(i), 1 + (i as usize * 5) % 30)).collect()
}

#[test]
fn a_small_cache_and_few_streams_change_nothing() {
    let decoder = decoder("llama");
    let prompts = prompts(90, decoder.architecture.vocabulary as u32);
    let wide = run(&decoder, &prompts, Limits::default());
    // Room for the longest text and its neighbour, and one stream at a time.
    let tight = run(&decoder, &prompts, Limits { streams: 3, cache_bytes: 0 });
    assert_eq!(tight, wide);
    let alone: Vec<Generation> = prompts
        .iter()
        .flat_map(|p| run(&decoder, std::slice::from_ref(p), Limits { streams: 1, cache_bytes: 0 }))
        .collect();
    assert_eq!(alone, wide);
}

#[test]
fn texts_end_for_a_reason() {
    let decoder = decoder("qwen3");
    let context = decoder.architecture.context;
    let full = run(&decoder, &[prompt(&vec![3; context - 6], 50), prompt(&[1, 2], 9)], Limits::default());
    assert_eq!((full[0].finish, full[0].tokens), (Finish::ContextFull, Some(6)));
    assert_eq!((full[1].finish, full[1].tokens, full[1].prompt_tokens), (Finish::MaxTokens, Some(9), Some(2)));
    assert_eq!(full[1].logprobs.len(), 9);
    // A stop string that begins in one token and ends two later.
    let text = &full[1].text;
    let third = text.match_indices('<').nth(3).expect("nine tokens").0;
    let stop = text[third - 2..third + 2].to_owned();
    let stopped = run(
        &decoder,
        &[TokenPrompt { stop: vec!["never".into(), stop.clone()], ..prompt(&[1, 2], 9) }],
        Limits::default(),
    );
    assert_eq!(
        (stopped[0].finish, &stopped[0].text),
        (Finish::Stop, &text[..text.find(&stop).expect("it is there")].to_owned())
    );
}

/// What a listener hears is the text, piece by piece, and never a part of a stop string.
#[test]
fn pieces_are_final() {
    let decoder = decoder("gemma3_text");
    let tokenizer = tokenizer(decoder.architecture.vocabulary);
    let plain = run(&decoder, &[prompt(&[5, 6, 7], 12)], Limits::default());
    let stop = plain[0].text[plain[0].text.len() / 2..][..5].to_owned();
    let prompts = [prompt(&[5, 6, 7], 12), TokenPrompt { stop: vec![stop], ..prompt(&[5, 6, 7], 12) }];
    let (mut heard, mut ended) = (vec![String::new(); 2], vec![0; 2]);
    let answers = generate(&decoder, &tokenizer, &prompts, Limits::default(), &mut |request, piece| {
        heard[request].push_str(piece);
        ended[request] += usize::from(piece.is_empty());
    });
    let texts: Vec<String> = answers.expect("texts").into_iter().map(|answer| answer.text).collect();
    assert_eq!((heard, ended), (texts, vec![1, 1]));
}

#[test]
fn a_seed_gives_the_same_text_in_any_batch() {
    let decoder = decoder("llama");
    let sampled = |seed| TokenPrompt {
        sampling: Sampling { temperature: Some(1.0), top_p: Some(0.95), seed: Some(seed), ..Sampling::UNSET },
        ..prompt(&[1, 2, 3], 20)
    };
    let together = run(&decoder, &[sampled(1), prompt(&[9], 30), sampled(2), sampled(1)], Limits::default());
    assert_eq!(together[0], together[3]);
    assert_ne!(together[0].text, together[2].text);
    assert_eq!(run(&decoder, &[sampled(2)], Limits::default())[0], together[2]);
}
