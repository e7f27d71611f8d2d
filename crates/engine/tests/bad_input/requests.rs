//! GGUF files that do not fit together, and requests that make no sense.

use weighbridge_core::{GenerationRequest, LanguageModel, LoglikelihoodRequest, Message, Prompt, Sampling};
use weighbridge_engine::files::{Checkpoint, gguf};
use weighbridge_engine::run;
use weighbridge_engine::score::{Detail, TokenRequest, score};
use weighbridge_engine::tokenizer::Tokenizer;

use crate::build::small_gguf;
use crate::model::{ROWS, model, open};
use crate::{alone, chain, refused};

#[test]
fn a_gguf_file_that_does_not_fit_is_refused_by_name() {
    let sound = model(ROWS, |file| file);
    assert!(open(&sound).is_ok(), "{:?}", open(&sound).err());
    let tensor = |bytes: &[u8], name: &str| {
        let header = gguf::Header::parse(bytes).expect("a header");
        header.tensors.into_iter().find(|tensor| tensor.name == name).expect("the tensor").start
    };
    for (name, number) in
        [("blk.0.ffn_up.weight", 0x7e00_u16), ("token_embd.weight", 0x7c00), ("blk.0.attn_q.weight", 0xfc00)]
    {
        let mut bytes = sound.clone();
        let at = tensor(&bytes, name) + 18 * 3;
        bytes[at..at + 2].copy_from_slice(&number.to_le_bytes());
        let message = open(&bytes).expect_err("a scale that is no number");
        assert!(message.starts_with(&format!("tensor '{name}' holds NaN or infinite numbers")), "{message}");
    }
    // An embedding that is not the head as well is not packed, but looked up.
    let mut untied = model(ROWS, |file| file.tensor("output.weight", &[32, ROWS], 2, (ROWS * 18) as usize));
    assert!(open(&untied).is_ok(), "{:?}", open(&untied).err());
    let at = tensor(&untied, "token_embd.weight") + 18 * (ROWS as usize - 1);
    untied[at..at + 2].copy_from_slice(&0x7c00_u16.to_le_bytes());
    let message = open(&untied).expect_err("a scale that is no number");
    assert!(message.starts_with("tensor 'token_embd.weight' holds NaN or infinite numbers"), "{message}");
    for (file, says) in [
        (model(ROWS - 1, |file| file), "the tokenizer has ids up to 263, but the model has 263 rows of embeddings"),
        (model(ROWS, |file| file.u32("llama.expert_count", 8)), "models with experts do not load"),
        (model(ROWS, |file| file.u32("llama.attention.key_length", 1 << 20)), "'llama.attention.key_length'"),
        (model(ROWS, |file| file.string("llama.rope.scaling.type", "yarn")), "'llama.rope.scaling.type' is yarn"),
    ] {
        let message = open(&file).expect_err("a bad file");
        assert!(message.contains(says), "{says}: {message}");
    }
    // Another value in place of the sound one.
    let key = |key: &str, new: u32| {
        let mut bytes = sound.clone();
        let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).expect("the key") + key.len() + 4;
        bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
        bytes
    };
    for name in ["block_count", "embedding_length", "attention.head_count", "feed_forward_length"] {
        for value in [0, 1 << 24, (1 << 24) + 1, u32::MAX] {
            let message = open(&key(&format!("llama.{name}"), value)).expect_err("an absurd size");
            let measured = value == 1 << 24 && (message.contains("shape") || message.contains("heads"));
            assert!(message.contains(&format!("'llama.{name}'")) || measured, "{name} {value}: {message}");
        }
    }
    assert!(open(&small_gguf().bytes()).is_err());
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let model = open(&model(ROWS, |file| file)).expect("a sound model");
    let decoder = model.decoder();
    for (ids, says) in [
        (&[][..], "no token to score"),
        (&[264], "token 264 is not in the vocabulary, whose ids end at 263"),
        (&[u32::MAX], "token 4294967295"),
        (&[1; 65], "65 tokens are more than the context of the model, 64"),
    ] {
        let message = run::last_logits(decoder, ids).expect_err("a bad request").to_string();
        assert!(message.contains(says), "{message}");
    }
    assert!(run::last_logits(decoder, &[1; 64]).is_ok());

    let request = |context: &[u32], continuation: &[u32]| TokenRequest {
        context: context.to_vec(),
        continuation: continuation.to_vec(),
    };
    for (bad, says) in [
        (request(&[], &[1]), "request 2 has no token to score or none before it"),
        (request(&[1], &[]), "request 2 has no token to score or none before it"),
        (request(&[1, 264], &[1]), "token 264"),
        (request(&[1], &[264]), "token 264"),
    ] {
        let requests = [request(&[1], &[2]), bad];
        let message = score(decoder, &requests, Detail::LogProbs, &|_| {}).expect_err("a bad request").to_string();
        assert!(message.contains(says), "{message}");
    }
    assert_eq!(score(decoder, &[], Detail::LogProbs, &|_| {}).expect("nothing to do").len(), 0);

    let text = |context: &str, continuation: &str| LoglikelihoodRequest {
        context: context.to_owned(),
        continuation: continuation.to_owned(),
    };
    let message = model.tokens_of(&[text("a", "b"), text("a", "")]).expect_err("nothing to score").to_string();
    assert!(message.starts_with("request 2 has no token"), "{message}");
    let message = model.tokens_of(&[text("", "")]).expect_err("nothing at all").to_string();
    assert!(message.starts_with("request 1 has no token"), "{message}");
    assert_eq!(model.tokens_of(&[text("", "a")]).expect("BOS stands before it")[0].context, [1]);
    // Tokens are letters here. What is left of a continuation that does not fit would pass for the whole.
    let asked = |context: &str, letters: usize| [text("a", "b"), text(context, &"b".repeat(letters))];
    assert_eq!(model.tokens_of(&asked("a", 64)).expect("it fits")[1].continuation.len(), 64);
    let too_long = "65 tokens are more than the context of the model, 64";
    for requests in [asked("a", 65), asked("a word before it", 65)] {
        let message = model.tokens_of(&requests).expect_err("it does not fit").to_string();
        assert!(message.contains(too_long), "{message}");
        let message = model.loglikelihood(&requests, &|_| {}).map_err(chain).expect_err("it does not fit");
        assert!(message.contains(too_long), "{message}");
    }
    let message = model.tokens_of(&asked("", 200)).expect_err("it does not fit").to_string();
    assert!(message.contains("tokens are more than the context of the model, 64"), "{message}");
    assert!(model.loglikelihood(&[], &|_| {}).expect("nothing to do").is_empty());
    assert!(model.generate(&[], &|_| {}).expect("nothing to do").is_empty());
}

/// As lm-eval does: an input that is too long loses its beginning.
#[test]
fn scores_of_long_texts_are_those_of_their_ends() {
    let model = open(&model(ROWS, |file| file)).expect("a sound model");
    let ids: Vec<u32> = (0..150).map(|i| (i * 37 + i / 7) % 264).collect();
    let request = |context: &[u32], continuation: &[u32]| TokenRequest {
        context: context.to_vec(),
        continuation: continuation.to_vec(),
    };
    // The input is all but the last token; its last 64 are what the model takes.
    let long = request(&ids[..145], &ids[145..]);
    let cut = request(&ids[85..145], &ids[145..]);
    let beyond = request(&ids[..10], &ids[10..]);
    let scores = score(model.decoder(), &[long, cut, beyond], Detail::LogProbs, &|_| {}).expect("scores");
    assert_eq!(scores[0], scores[1]);
    assert_eq!(scores[0].len(), 5);
    // A continuation that does not fit itself is scored where its input is left.
    assert_eq!(scores[2].len(), 64);
    assert_eq!(scores[2][59..], scores[0]);
}

#[test]
fn generation_that_makes_no_sense_is_refused() {
    let model = open(&model(ROWS, |file| file)).expect("a sound model");
    let request = |text: &str, max_tokens: usize, sampling: Sampling| GenerationRequest {
        prompt: Prompt::Text(text.to_owned()),
        stop: Vec::new(),
        max_tokens,
        sampling,
        ..GenerationRequest::new(Prompt::Text(String::new()), 0)
    };
    let greedy = Sampling::GREEDY;
    for (request, says) in [
        (request("a", 0, greedy), "max-tokens is 0; expected a whole number from 1"),
        (request(&"b".repeat(70), 1, greedy), "tokens are more than the context of the model"),
        (request("a", 1, Sampling { temperature: Some(-1.0), ..greedy }), "temperature is -1"),
        (request("a", 1, Sampling { temperature: Some(f64::INFINITY), ..greedy }), "temperature is inf"),
        (request("a", 1, Sampling { top_p: Some(0.0), ..greedy }), "top-p is 0"),
        (request("a", 1, Sampling { min_p: Some(f64::NAN), ..greedy }), "min-p is NaN"),
        (request("a", 1, Sampling { top_k: Some(0), ..greedy }), "top-k is 0"),
    ] {
        let message = model.generate(&[request], &|_| {}).map_err(chain).expect_err("a bad request");
        assert!(message.contains(says), "{says}: {message}");
    }
    let answer = model.generate(&[request("a", usize::MAX, greedy)], &|_| {}).expect("an answer");
    assert!(answer[0].prompt_tokens.zip(answer[0].tokens).is_some_and(|(before, after)| before + after <= 64));
    let messages = GenerationRequest { prompt: Prompt::Messages(vec![Message::user("a")]), ..request("a", 1, greedy) };
    let message = model.generate(&[messages], &|_| {}).map_err(chain).expect_err("no template");
    assert!(message.contains("has no chat template"), "{message}");
}

/// A context that the file only claims, and an answer as long as that: no machine has the memory.
#[test]
fn a_claimed_context_takes_no_memory() {
    let sound = model(ROWS, |file| file);
    let key = b"llama.context_length";
    let at = sound.windows(key.len()).position(|window| window == key).expect("the key") + key.len() + 4;
    let mut bytes = sound;
    bytes[at..at + 4].copy_from_slice(&(1_u32 << 24).to_le_bytes());
    let model = open(&bytes).expect("a sound model but for its claim");
    assert!(run::last_logits(model.decoder(), &[1, 2, 3]).is_ok());
    let request = GenerationRequest {
        prompt: Prompt::Text("a".to_owned()),
        stop: Vec::new(),
        max_tokens: 4,
        sampling: Sampling::GREEDY,
        ..GenerationRequest::new(Prompt::Text(String::new()), 0)
    };
    assert_eq!(model.generate(&[request], &|_| {}).expect("an answer")[0].prompt_tokens, Some(2));
    let message = model.decoder().cache(usize::MAX / 64).expect_err("no machine has that").to_string();
    assert!(message.starts_with("the system gives no memory for the keys and values of"), "{message}");
}

/// The valid files of the corpus are no models, and say so.
#[test]
fn the_valid_files_of_the_corpus_are_no_models() {
    let Some(folder) = weighbridge_reference::path("data/weights/gguf") else { return };
    alone();
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let Ok(checkpoint) = Checkpoint::open(&path) else { continue };
        assert!(Tokenizer::of(&checkpoint).is_err(), "{} has a tokenizer", path.display());
        let message = refused(&path);
        assert!(message.contains('\''), "{}: {message}", path.display());
    }
}
