//! The dialects against servers that nobody here wrote, on loopback with real weights: two of llama.cpp, and the litellm
//! proxy in front of one of them. `tests/servers` installs and starts them, and its README says what each of them drops.

#![expect(clippy::unwrap_used, reason = "a test stops where its servers answer otherwise")]

#[path = "servers/running.rs"]
mod running;
mod servers;

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use running::Running;
use weighbridge_api::{Delivery, Hosted, Key, NumberedRequest, Session, SessionOptions};
use weighbridge_core::{
    CallRecord, CallState, CanaryCheck, Dialect, ErrorClass, Finish, GenerationRequest, LanguageModel,
    LoglikelihoodRequest, Message, ModelError, Observed, Prompt, Sampling,
};

/// Started once. They see that this process has ended by their input, which then closes.
static SERVERS: LazyLock<Option<Running>> = LazyLock::new(|| running::start(&["litellm"]));
/// One test at a time: llama-cpp-python goes on from what it computed last, which changes the last digits of what follows.
static TURN: Mutex<()> = Mutex::new(());

/// Its likeliest answer is likeliest by far at each token, so that rounding does not change it.
const QUESTION: &str = "Say the days of the week.";
/// Its answers are of many kinds.
const OPEN_QUESTION: &str = "What is the capital of France?";
/// Tokens of the question in SmolLM2's template, with the system turn that the template adds.
const QUESTION_TOKENS: u64 = 37;

/// A server, the path of its base URL, a model there, and a dialect that it speaks.
type Place = (&'static str, &'static str, &'static str, Dialect);

/// What answers a chat.
const CHATS: [Place; 9] = [
    ("llama", "/v1", "smollm2", Dialect::OpenaiChat),
    ("llama-native", "/v1", "smollm2", Dialect::OpenaiChat),
    ("llama-native", "/v1", "smollm2", Dialect::OpenaiResponses),
    ("llama-native", "/v1", "smollm2", Dialect::Anthropic),
    ("litellm", "/v1", "smollm2", Dialect::OpenaiChat),
    ("litellm", "/v1", "smollm2", Dialect::OpenaiResponses),
    ("litellm", "/v1", "smollm2", Dialect::Anthropic),
    ("litellm", "/v1", "smollm2-chat", Dialect::Anthropic),
    ("litellm", "/v1beta", "smollm2", Dialect::Gemini),
];

fn my_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hosted(running: &Running, (server, path, model, dialect): Place) -> Hosted {
    running.hosted(server, path, model, dialect)
}

fn question(max_tokens: usize) -> GenerationRequest {
    asking(QUESTION, max_tokens)
}

fn asking(text: &str, max_tokens: usize) -> GenerationRequest {
    let mut request = GenerationRequest::new(Prompt::Messages(vec![Message::user(text)]), max_tokens);
    request.sampling = Sampling::GREEDY;
    request
}

/// Asks once, and looks for the keys of all servers in what comes out.
fn ask(model: &Hosted, request: GenerationRequest, delivery: Delivery) -> (CallRecord, String) {
    let mut watched = String::new();
    let numbered = NumberedRequest { index: 0, id: None, request };
    let record = model.ask(numbered, delivery, &mut |piece: &str| watched.push_str(piece));
    let all = format!("{}{record:?}{model:?}{watched}", serde_json::to_string(&record).unwrap());
    assert!(!all.contains("sk-planted"), "a key came out: {all}");
    (record, watched)
}

fn answered(model: &Hosted, request: GenerationRequest, delivery: Delivery) -> CallRecord {
    let (record, watched) = ask(model, request, delivery);
    let failed = matches!(record.state, CallState::ProviderError | CallState::NotSent);
    assert!(!failed, "{}: {record:?}", model.name());
    assert_eq!(record.attempts.len(), 1, "{record:?}");
    if delivery == Delivery::Streamed {
        assert_eq!(record.text.as_deref(), Some(watched.as_str()));
    }
    record
}

#[test]
fn every_dialect_gets_the_same_answer_whole_and_streamed() {
    let _turn = my_turn();
    let Some(running) = &*SERVERS else { return };
    let mut texts = BTreeSet::new();
    for place in CHATS {
        let model = hosted(running, place);
        let whole = answered(&model, question(12), Delivery::Whole);
        let streamed = answered(&model, question(12), Delivery::Streamed);
        assert_eq!(whole.text, streamed.text, "{place:?}");
        assert_eq!(whole.timing.first_token, None, "{place:?}");
        let first = streamed.timing.first_token.unwrap();
        assert!(0.0 < first && first <= streamed.timing.latency, "{place:?}: {:?}", streamed.timing);
        assert_eq!(whole.usage.input, Some(QUESTION_TOKENS), "{place:?}: {whole:?}");
        assert_eq!(whole.usage.output, Some(12), "{place:?}: {whole:?}");
        assert_eq!(whole.served_by.model_answered.is_some(), place.3 != Dialect::Gemini, "{place:?}: {whole:?}");
        let says_completed = place.3 == Dialect::OpenaiResponses || place == CHATS[6];
        let expected = if says_completed { Finish::EndOfText } else { Finish::MaxTokens };
        assert_eq!((whole.finish, streamed.finish), (Some(expected), Some(expected)), "{place:?}");
        let counted = match place {
            // Unknown stays unknown.
            ("llama", ..) => (None, None),
            // What the proxy states.
            (.., Dialect::Gemini) => (Some(0), Some(0)),
            _ => (Some(QUESTION_TOKENS), Some(12)),
        };
        assert_eq!((streamed.usage.input, streamed.usage.output), counted, "{place:?}");
        texts.insert(whole.text.unwrap());
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
}

#[test]
fn stop_strings_end_the_text_before_them() {
    let _turn = my_turn();
    let Some(running) = &*SERVERS else { return };
    // /responses has none, and the proxy loses those of /messages.
    let honours =
        |place: &Place| place.3 != Dialect::OpenaiResponses && (place.0, place.3) != ("litellm", Dialect::Anthropic);
    for place in CHATS.into_iter().filter(honours) {
        let model = hosted(running, place);
        let open = answered(&model, question(12), Delivery::Whole).text.unwrap();
        let stop: String = open.split_whitespace().next_back().unwrap().chars().take(4).collect();
        for delivery in [Delivery::Whole, Delivery::Streamed] {
            let record = answered(&model, GenerationRequest { stop: vec![stop.clone()], ..question(12) }, delivery);
            let text = record.text.unwrap();
            assert!(!text.contains(&stop) && open.starts_with(&text) && !text.is_empty(), "{place:?}: {text:?}");
            let said = if place.3 == Dialect::Anthropic { Finish::EndOfText } else { Finish::EndOfTextOrStop };
            assert_eq!(record.finish, Some(said), "{place:?} {delivery:?}");
            assert_eq!(record.state, CallState::Answered);
        }
    }
}

#[test]
fn a_seed_repeats_its_text_and_another_does_not() {
    let _turn = my_turn();
    let Some(running) = &*SERVERS else { return };
    for server in ["llama", "llama-native"] {
        let model = hosted(running, (server, "/v1", "smollm2", Dialect::OpenaiChat));
        let text = |seed| {
            let sampling = Sampling { temperature: Some(1.0), seed: Some(seed), ..Sampling::UNSET };
            answered(&model, GenerationRequest { sampling, ..asking(OPEN_QUESTION, 24) }, Delivery::Whole).text.unwrap()
        };
        // Each after another one, so that what it goes on from is the same.
        let texts: Vec<String> = [8, 7, 8, 7, 8].map(text).into();
        assert_eq!((&texts[1], &texts[2]), (&texts[3], &texts[4]), "{server}");
        assert_ne!(texts[1], texts[2], "{server}");
    }
}

#[test]
fn log_probabilities_belong_to_the_tokens() {
    let _turn = my_turn();
    let Some(running) = &*SERVERS else { return };
    let plain = |server, model| -> Place { (server, "/v1", model, Dialect::OpenaiCompletions) };
    let text = || GenerationRequest { prompt: Prompt::Text("The capital of France is".into()), ..question(4) };
    let cases = [
        (CHATS[0], question(6), Delivery::Whole),
        (CHATS[1], question(6), Delivery::Whole),
        (CHATS[1], question(6), Delivery::Streamed),
        (CHATS[4], question(6), Delivery::Whole),
        (CHATS[4], question(6), Delivery::Streamed),
        (plain("llama", "smollm2-bos"), text(), Delivery::Whole),
        (plain("llama", "smollm2-bos"), text(), Delivery::Streamed),
        (plain("llama-native", "smollm2"), text(), Delivery::Whole),
        (plain("llama-native", "smollm2"), text(), Delivery::Streamed),
    ];
    for (place, request, delivery) in cases {
        let record =
            answered(&hosted(running, place), GenerationRequest { top_logprobs: Some(3), ..request }, delivery);
        let tokens: String = record.logprobs.iter().map(|token| token.token.as_str()).collect();
        assert_eq!(Some(tokens), record.text, "{place:?} {delivery:?}: {record:?}");
        for token in &record.logprobs {
            let stated = token.top.iter().find(|(name, _)| *name == token.token).map(|(_, logprob)| *logprob);
            assert_eq!(stated, token.logprob, "{place:?} {delivery:?}");
            // llama-cpp-python makes tokens that came up before less likely before it chooses.
            let likeliest = place.0 == "llama" || token.top[0].0 == token.token;
            assert!(likeliest, "{place:?} {delivery:?}: {token:?}");
            assert!(token.logprob.unwrap() <= 0.0 && token.top.len() >= 3, "{place:?} {delivery:?}: {token:?}");
            assert!(token.top.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{place:?} {delivery:?}: {token:?}");
        }
    }
}

/// What `weighbridge loglikelihood` says of the same file with `<|im_start|>` before each context, which is what the
/// server puts there as BOS.
const SCORED: [(&str, &str, f64, usize); 5] = [
    ("The capital of France is", " Paris", -0.288_911, 1),
    ("The capital of France is", " Lyon", -6.920_476, 1),
    ("Question: What do plants need to grow?\nAnswer:", " Water and sunlight.", -17.893_867, 4),
    ("Question: What do plants need to grow?\nAnswer:", " Concrete and noise.", -28.077_600, 4),
    ("Die Hauptstadt der Schweiz ist", " Bern, nicht Zürich.", -34.270_098, 8),
];

fn scoring() -> Vec<LoglikelihoodRequest> {
    let request = |&(context, continuation, ..): &(&str, &str, f64, usize)| LoglikelihoodRequest {
        context: context.into(),
        continuation: continuation.into(),
    };
    SCORED.iter().map(request).collect()
}

#[test]
fn continuations_are_scored_by_echo_as_our_own_engine_scores_them() {
    let _turn = my_turn();
    let Some(running) = &*SERVERS else { return };
    let model = hosted(running, ("llama", "/v1", "smollm2-bos", Dialect::OpenaiCompletions));
    let scores = model.loglikelihood(&scoring(), &|_| {}).unwrap();
    for ((context, continuation, logprob, tokens), score) in SCORED.iter().zip(&scores) {
        assert_eq!(score.tokens, *tokens, "{context}{continuation}");
        // llama.cpp rounds what it multiplies quantized weights with to 8 bits: tokens are off by up to 0.2, while those
        // of another place are off by several units. With weights in F32 all agree to 0.003 (README of the servers).
        let off = (score.logprob - logprob).abs();
        assert!(off <= 0.05 + 0.2 * *tokens as f64, "{context}{continuation}: {} is not {logprob}", score.logprob);
        assert_eq!(score.greedy, *continuation == " Paris");
    }
}

#[test]
fn servers_that_score_no_prompt_or_the_wrong_tokens_are_refused() {
    let _turn = my_turn();
    let Some(running) = &*SERVERS else { return };
    // Without a BOS llama-cpp-python gives each token the log-probability of another; llama.cpp's own server echoes
    // nothing, and neither is there in a chat alone.
    for (server, says) in [("llama", "agree"), ("llama-native", "prompt")] {
        let model = hosted(running, (server, "/v1", "smollm2", Dialect::OpenaiCompletions));
        match model.loglikelihood(&scoring(), &|_| {}) {
            Err(ModelError::Unsupported(what)) => assert!(what.contains(says), "{server}: {what}"),
            other => panic!("{server}: {other:?}"),
        }
    }
}

#[test]
fn a_wrong_key_stops_at_once_and_comes_out_nowhere() {
    let _turn = my_turn();
    let Some(running) = &*SERVERS else { return };
    let expected = [
        ("llama", ErrorClass::Authentication),
        ("llama-native", ErrorClass::Authentication),
        // Without a database the proxy cannot look the key up, and says so with a 400.
        ("litellm", ErrorClass::BadRequest),
    ];
    for (server, class) in expected {
        let mut endpoint = running.endpoint(server, "/v1", "smollm2", Dialect::OpenaiChat);
        endpoint.key = Some(Key::new("sk-planted-wrong-00c0ffee00").unwrap());
        let model = Hosted::new(endpoint, &Session::new(SessionOptions::default()).unwrap()).unwrap();
        let (record, _) = ask(&model, question(4), Delivery::Whole);
        assert_eq!(record.state, CallState::ProviderError);
        let errors: Vec<_> = record.attempts.iter().map(|attempt| attempt.error).collect();
        assert_eq!(errors, [Some(class)], "{server}: {record:?}");
        assert!(record.attempts[0].message.as_ref().is_some_and(|said| !said.is_empty()), "{record:?}");
    }
}

#[test]
fn many_at_once_are_all_answered_once() {
    let _turn = my_turn();
    let Some(running) = &*SERVERS else { return };
    for place in [CHATS[1], CHATS[4]] {
        let model = hosted(running, place);
        let mut requests = (0..24).map(|index| {
            let prompt = Prompt::Messages(vec![Message::user(format!("What is {index} plus one?"))]);
            NumberedRequest { index, id: None, request: GenerationRequest { prompt, ..question(4) } }
        });
        let mut seen = BTreeSet::new();
        let each = &mut |record: CallRecord| {
            assert_eq!(record.usage.output, Some(4), "{record:?}");
            assert!(seen.insert(record.index), "{record:?}");
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(()) = model.run(&mut requests, Delivery::Streamed, each);
        assert_eq!(seen, (0..24).collect(), "{place:?}");
    }
}

#[test]
fn the_canary_sees_what_the_servers_do() {
    use CanaryCheck::{Context, MaxTokens, OutputLogprobs, PromptLogprobs, Streaming, Usage};
    let _turn = my_turn();
    let Some(running) = &*SERVERS else { return };
    // The context of a request is 2,048 tokens there, and the proxy drops log-probabilities on this route.
    let expected = [
        (CHATS[1], vec![(Usage, true), (OutputLogprobs, true), (PromptLogprobs, false), (Context, false)]),
        (CHATS[8], vec![(Usage, true), (OutputLogprobs, false), (Context, false)]),
    ];
    for (place, mut expected) in expected {
        let report = hosted(running, place).canary();
        assert_eq!(report.error, None, "{place:?}");
        expected.extend([(Streaming, true), (MaxTokens, true)]);
        for (check, yes) in expected {
            let finding = report.findings.iter().find(|finding| finding.check == check).unwrap();
            let expected = if yes { Observed::Yes } else { Observed::No };
            assert_eq!(finding.observed, expected, "{place:?}: {finding:?}");
        }
        assert!(!serde_json::to_string(&report).unwrap().contains("sk-planted"));
    }
}
