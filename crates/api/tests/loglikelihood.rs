//! Scores of given texts from servers in every form that states log-probabilities of a prompt, against a toy model whose
//! log-probabilities can be computed here; and hosted models as language models.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]

mod scripted;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use scripted::{Asked, Reply, Server, hosted, question};
use serde_json::{Map, Value, json};
use weighbridge_api::Hosted;
use weighbridge_core::{
    CallState, Dialect, EndpointFacts, GenerationRequest, LanguageModel, Loglikelihood, LoglikelihoodRequest,
    ModelError, Prompt,
};

/// Before every text.
const BOS: u32 = 1;

/// How a server writes what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Offsets in characters; parts of characters spelled as bytes.
    Openai,
    /// Offsets in characters; parts of characters empty.
    LlamaCpp,
    /// A BOS that counts; parts of characters replaced.
    Vllm,
    /// The prompt apart, without offsets.
    Together,
    /// Token ids and the tokenizer.
    Ids,
    /// Each log-probability at the token before its own.
    Shifted,
    /// None of the prompt's.
    Nothing,
}

/// Words with the space before them; other characters than ASCII byte by byte.
fn split(text: &str) -> Vec<Vec<u8>> {
    let mut tokens: Vec<Vec<u8>> = Vec::new();
    for c in text.chars() {
        if !c.is_ascii() {
            tokens.extend(c.to_string().bytes().map(|byte| vec![byte]));
        } else if c != ' ' && tokens.last().is_some_and(|last| last.is_ascii()) {
            tokens.last_mut().unwrap().push(c as u8);
        } else {
            tokens.push(vec![c as u8]);
        }
    }
    tokens
}

fn id(token: &[u8]) -> u32 {
    token.iter().fold(7_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % 1_000_003 + 10
}

fn ids(text: &str) -> Vec<u32> {
    split(text).iter().map(|token| id(token)).collect()
}

/// Quarters of the toy model, and the likeliest of the place.
fn logprob(before: u32, token: u32) -> (f64, f64) {
    let hash = (before.wrapping_mul(31) ^ token.wrapping_mul(17)) % 1000;
    let own = -0.25 - f64::from(hash) / 16.0;
    (own, if hash.is_multiple_of(3) { own + 0.25 } else { own })
}

/// The sum over the tokens after the first `context` ones.
fn expected(tokens: &[u32], context: usize) -> Loglikelihood {
    let mut sum = Loglikelihood { logprob: 0.0, greedy: true, tokens: tokens.len() - context };
    for pair in tokens[context - 1..].windows(2) {
        let (own, best) = logprob(pair[0], pair[1]);
        sum.logprob += own;
        sum.greedy &= own >= best;
    }
    sum
}

struct Toy {
    style: Style,
    known: Mutex<BTreeMap<u32, Vec<u8>>>,
    censored: bool,
    longest: usize,
}

impl Toy {
    fn server(style: Style) -> Server {
        Self { style, known: Mutex::default(), censored: false, longest: 4096 }.start()
    }

    fn start(self) -> Server {
        let toy = Arc::new(self);
        Server::start(move |asked| toy.answer(asked))
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let body = &asked.body;
        match (asked.path.as_str(), self.style) {
            ("/v1/completions", _) => {}
            ("/tokenize", Style::Ids) => return self.tokenize(body),
            ("/detokenize", Style::Ids) => {
                let text = if body["tokens"] == json!([BOS]) { "<s>" } else { "?" };
                return Reply::json(&json!({"prompt": text}));
            }
            _ => return Reply::error(404, "no such path"),
        }
        match (&body["prompt"], body["echo"].as_bool(), self.style) {
            (Value::Array(prompt), _, Style::Ids) => self.by_ids(prompt),
            (Value::String(text), Some(true), style) if style != Style::Nothing && style != Style::Ids => {
                self.echo(text)
            }
            (Value::String(text), ..) => {
                let last = *ids(text).last().unwrap();
                self.completion(" Paris", &[b" Paris".to_vec()], &[Some(logprob(last, id(b" Paris")))])
            }
            _ => Reply::error(400, "a prompt is a text"),
        }
    }

    fn tokenize(&self, body: &Value) -> Reply {
        let text = body["prompt"].as_str().unwrap();
        let tokens = split(text);
        self.known.lock().unwrap().extend(tokens.iter().map(|token| (id(token), token.clone())));
        let mut ids: Vec<u32> = tokens.iter().map(|token| id(token)).collect();
        if body["add_special_tokens"] == true {
            ids.insert(0, BOS);
        }
        Reply::json(&json!({"count": ids.len(), "max_model_len": self.longest, "tokens": ids}))
    }

    fn by_ids(&self, prompt: &[Value]) -> Reply {
        let ids: Vec<u32> = prompt.iter().map(|id| id.as_u64().unwrap() as u32).collect();
        if ids.len() + 1 > self.longest {
            return Reply::error(400, "the prompt is too long");
        }
        let known = self.known.lock().unwrap();
        let text =
            |id: u32| known.get(&id).map_or_else(String::new, |token| String::from_utf8_lossy(token).into_owned());
        let mut entries = vec![Value::Null];
        for pair in ids.windows(2) {
            let (own, best) = logprob(pair[0], pair[1]);
            let mut entry = Map::new();
            let own_rank = if own >= best { 1 } else { 2 };
            let own = if self.censored { -9999.0 } else { own };
            entry
                .insert(pair[1].to_string(), json!({"logprob": own, "rank": own_rank, "decoded_token": text(pair[1])}));
            if own_rank > 1 {
                entry.insert("0".into(), json!({"logprob": best, "rank": 1, "decoded_token": "!"}));
            }
            entries.push(Value::Object(entry));
        }
        Reply::json(&json!({"id": "x", "model": "m", "choices": [{"index": 0, "text": "!", "logprobs": null,
            "finish_reason": "length", "prompt_logprobs": entries}],
            "usage": {"prompt_tokens": ids.len(), "completion_tokens": 1}}))
    }

    fn echo(&self, text: &str) -> Reply {
        let mut tokens = split(text);
        let mut scores = vec![None];
        scores.extend(ids(text).windows(2).map(|pair| Some(logprob(pair[0], pair[1]))));
        if self.style == Style::Vllm {
            tokens.insert(0, b"<s>".to_vec());
            scores.insert(0, None);
            scores[1] = Some(logprob(BOS, ids(text)[0]));
        }
        if self.style == Style::Shifted {
            scores.remove(0);
        }
        tokens.push(b"!".to_vec());
        scores.resize(tokens.len(), Some((-1.0, -1.0)));
        if self.style == Style::Together {
            let token = |t: &Vec<u8>| String::from_utf8_lossy(t).into_owned();
            let names: Vec<String> = tokens[..tokens.len() - 1].iter().map(token).collect();
            let (numbers, tops) = self.numbers(&names, &scores);
            return Reply::json(&json!({"id": "x", "choices": [{"text": "!", "finish_reason": "length"}], "prompt": [
                {"text": text, "logprobs": {"tokens": names, "token_logprobs": numbers, "top_logprobs": tops}}]}));
        }
        self.completion(&format!("{text}!"), &tokens, &scores)
    }

    fn numbers(&self, names: &[String], scores: &[Option<(f64, f64)>]) -> (Vec<Value>, Vec<Value>) {
        let one = |(name, score): (&String, &Option<(f64, f64)>)| {
            let Some((own, best)) = *score else { return (Value::Null, Value::Null) };
            let own = if self.censored && name.starts_with(' ') { -9999.0 } else { own };
            let mut top = json!({name: own});
            if own < best {
                top["\u{1}other"] = json!(best);
            }
            (json!(own), top)
        };
        names.iter().zip(scores).map(one).unzip()
    }

    fn completion(&self, text: &str, tokens: &[Vec<u8>], scores: &[Option<(f64, f64)>]) -> Reply {
        let whole = |token: &[u8]| std::str::from_utf8(token).ok().map(str::to_owned);
        let name = |token: &Vec<u8>| match self.style {
            Style::LlamaCpp | Style::Shifted => whole(token).unwrap_or_default(),
            Style::Vllm => whole(token).unwrap_or_else(|| "\u{fffd}".into()),
            _ => whole(token).unwrap_or_else(|| format!("bytes:\\x{:02x}", token[0])),
        };
        let names: Vec<String> = tokens.iter().map(name).collect();
        let mut offsets = Vec::new();
        let mut bytes: Vec<u8> = Vec::new();
        let mut counted = 0;
        for (token, name) in tokens.iter().zip(&names) {
            let so_far = String::from_utf8_lossy(&bytes).trim_end_matches('\u{fffd}').chars().count();
            offsets.push(if self.style == Style::Vllm { counted } else { so_far });
            bytes.extend(token);
            counted += name.chars().count();
        }
        let (numbers, tops) = self.numbers(&names, scores);
        Reply::json(&json!({"id": "x", "model": "m", "choices": [{"index": 0, "text": text, "finish_reason": "length",
            "logprobs": {"tokens": names, "token_logprobs": numbers, "top_logprobs": tops, "text_offset": offsets}}],
            "usage": {"prompt_tokens": tokens.len(), "completion_tokens": 1}}))
    }
}

fn model(server: &Server) -> Hosted {
    hosted(&[Dialect::OpenaiCompletions], &server.base_url, EndpointFacts::default())
}

fn request(context: &str, continuation: &str) -> LoglikelihoodRequest {
    LoglikelihoodRequest { context: context.into(), continuation: continuation.into() }
}

const PAIRS: [(&str, &str); 6] = [
    ("The cat", " sat"),
    ("The cat ", "sat down here"),
    ("The cat \n", "sat"),
    ("Caf\u{e9} \u{e0}", " la carte"),
    ("a\u{1f600}b", " \u{e9}t\u{e9} c"),
    ("x", " y\u{4e2d}\u{6587}"),
];

#[test]
fn every_form_gives_the_sums_of_the_model() {
    let requests: Vec<_> = PAIRS.iter().map(|(context, continuation)| request(context, continuation)).collect();
    let expect: Vec<_> = requests
        .iter()
        .map(|r| expected(&ids(&format!("{}{}", r.context, r.continuation)), ids(r.context.trim_end()).len()))
        .collect();
    assert!(expect.iter().any(|e| e.greedy) && expect.iter().any(|e| !e.greedy), "{expect:?}");
    for style in [Style::Openai, Style::LlamaCpp, Style::Vllm, Style::Together, Style::Ids] {
        let server = Toy::server(style);
        let done = Mutex::new(Vec::new());
        let scores = model(&server).loglikelihood(&requests, &|n| done.lock().unwrap().push(n));
        assert_eq!(scores.unwrap(), expect, "{style:?}");
        assert_eq!(*done.lock().unwrap(), (1..=requests.len()).collect::<Vec<_>>());
    }
}

#[test]
fn a_text_without_context_needs_a_token_before_it() {
    let requests = [request("", "The cat")];
    let expect = expected(&[&[BOS][..], &ids("The cat")].concat(), 1);
    for style in [Style::Vllm, Style::Ids] {
        let model = model(&Toy::server(style));
        assert_eq!(model.loglikelihood(&requests, &|_| {}).unwrap()[0], expect, "{style:?}");
        assert_eq!(model.loglikelihood_rolling(&["The cat".into()], &|_| {}).unwrap()[0].greedy, expect.greedy);
    }
    for style in [Style::Openai, Style::LlamaCpp] {
        let error = model(&Toy::server(style)).loglikelihood(&requests, &|_| {}).unwrap_err();
        assert!(
            error.to_string().contains("request 1: the host gives no log-probability for its token \"The\""),
            "{error}"
        );
    }
    let error = model(&Toy::server(Style::Ids)).loglikelihood(&[request("x", "")], &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "request 1: it has no text to score");
}

#[test]
fn a_bos_that_is_written_is_not_put_there_again() {
    let server = Toy::server(Style::Ids);
    model(&server).loglikelihood(&[request("<s>The", " cat")], &|_| {}).unwrap();
    let asked = server.asked();
    let of = |text: &str| asked.iter().find(|a| a.path == "/tokenize" && a.body["prompt"] == text).unwrap();
    assert_eq!(of("<s>The cat").body["add_special_tokens"], false);
}

#[test]
fn what_is_censored_is_not_summed() {
    let censored = |style| Toy { style, known: Mutex::default(), censored: true, longest: 4096 }.start();
    let error = model(&censored(Style::Openai)).loglikelihood(&[request("The", " cat")], &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "request 1: the host gives no log-probability for its token \" cat\"");
    // A server that gives nothing but the sentinel gives no log-probabilities of prompts.
    let error = model(&censored(Style::Ids)).loglikelihood(&[request("The", " cat")], &|_| {}).unwrap_err();
    assert!(matches!(error, ModelError::Unsupported(_)), "{error}");
}

#[test]
fn an_endpoint_that_gives_none_says_so_before_anything_long_is_sent() {
    let long = [request(&"word ".repeat(500), "end")];
    for (style, says) in [
        (Style::Nothing, "this model does not give log-probabilities of its prompt"),
        (
            Style::Shifted,
            "this model does not give log-probabilities of its prompt that agree with those of its output",
        ),
    ] {
        let server = Toy::server(style);
        let model = model(&server);
        for _ in 0..2 {
            let error = model.loglikelihood(&long, &|_| {}).unwrap_err();
            assert!(matches!(error, ModelError::Unsupported(_)));
            assert_eq!(error.to_string(), says);
            assert!(matches!(model.loglikelihood_rolling(&["x".into()], &|_| {}), Err(ModelError::Unsupported(_))));
        }
        let asked = server.asked();
        assert!(asked.len() <= 3, "{asked:?}");
        assert!(asked.iter().all(|a| a.body["prompt"].as_str().is_some_and(|p| p.len() < 100)));
    }
    let server = Toy::server(Style::Ids);
    let chat = hosted(&[Dialect::OpenaiChat], &server.base_url, EndpointFacts::default());
    assert!(matches!(chat.loglikelihood(&long, &|_| {}), Err(ModelError::Unsupported(_))));
    assert!(server.asked().is_empty());
    // One that speaks both is asked in the other form.
    let both = hosted(&[Dialect::OpenaiChat, Dialect::OpenaiCompletions], &server.base_url, EndpointFacts::default());
    both.loglikelihood(&[request("The", " cat")], &|_| {}).unwrap();
}

#[test]
fn an_endpoint_that_fails_is_an_error_with_its_words() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/v1/completions" => Reply::error(401, "this key is not known"),
        _ => Reply::error(404, "no such path"),
    });
    let error = model(&server).loglikelihood(&[request("The", " cat")], &|_| {}).unwrap_err();
    assert!(error.to_string().contains("this key is not known"), "{error}");
}

#[test]
fn long_texts_go_window_by_window() {
    let toy = Toy { style: Style::Ids, known: Mutex::default(), censored: false, longest: 8 };
    let server = toy.start();
    let model = model(&server);
    let text = "a b c d e f g h i j k l m";
    let tokens = [&[BOS, BOS][..], &ids(text)].concat();
    let rolled = model.loglikelihood_rolling(&[text.into(), String::new(), text.into()], &|_| {}).unwrap();
    // The toy looks at one token before: windows do not change the sum.
    assert_eq!(rolled[0], expected(&tokens, 1));
    assert_eq!(rolled[2], rolled[0]);
    assert_eq!(rolled[1], Loglikelihood { logprob: 0.0, greedy: true, tokens: 0 });
    // A context that is too long loses its beginning; a continuation does not.
    let score = model.loglikelihood(&[request(text, " n o")], &|_| {}).unwrap();
    assert_eq!(score[0], expected(&ids(" m n o"), 1));
    let error = model.loglikelihood(&[request("x", text)], &|_| {}).unwrap_err();
    assert!(error.to_string().contains("longer than the 7 tokens"), "{error}");
}

#[test]
fn scores_come_with_the_records_of_their_calls() {
    let model = model(&Toy::server(Style::Openai));
    let requests: Vec<_> = PAIRS.iter().map(|(context, continuation)| request(context, continuation)).collect();
    let mut seen = Vec::new();
    model
        .score_each(&requests, &mut |at, record, score| {
            assert_eq!((record.state, record.logprobs.len()), (CallState::Answered, score.tokens));
            assert_eq!(record.usage.output, Some(1));
            seen.push(at);
            if seen.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(seen.len(), 3);
}

#[test]
fn texts_are_generated_in_order_and_failures_are_named() {
    let server = Server::start(|asked| {
        let said = asked.body["messages"][0]["content"].as_str().unwrap().to_owned();
        if said == "bad" {
            return Reply::error(400, "that is bad");
        }
        Reply::json(&json!({"id": "x", "model": "m", "choices": [{"message": {"role": "assistant", "content": said},
            "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}))
    });
    let model = hosted(&[Dialect::OpenaiChat], &server.base_url, EndpointFacts::default());
    let good: Vec<GenerationRequest> = (0..100).map(|i| question(&i.to_string())).collect();
    let answers = model.generate(&good, &|_| {}).unwrap();
    assert!(answers.iter().enumerate().all(|(i, a)| a.text == i.to_string() && a.tokens == Some(2)));

    let mut mixed = good[..5].to_vec();
    mixed[3] = question("bad");
    let error = model.generate(&mixed, &|_| {}).unwrap_err();
    assert!(
        error.to_string().contains("request 4 of 5 to scripted:m") && error.to_string().contains("that is bad"),
        "{error}"
    );
    let mut states = BTreeMap::new();
    model
        .generate_each(&mut mixed.into_iter(), &mut |at, record| {
            states.insert(at, record.state);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(states[&3], CallState::ProviderError);
    assert_eq!(states.values().filter(|&&s| s == CallState::Answered).count(), 4);
    let plain = GenerationRequest::new(Prompt::Text("x".into()), 1);
    assert!(model.generate(&[plain], &|_| {}).unwrap_err().to_string().contains("takes no text"));
}
