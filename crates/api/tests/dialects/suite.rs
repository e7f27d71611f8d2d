//! What is checked of a dialect, and the form of its cases.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::header::HeaderMap;
use serde_json::Value;
use weighbridge_api::dialect::{Delivery, Framing, HostError, Wire, WireError, WireReply, wire_for};
use weighbridge_api::{ApiError, Endpoint, EndpointOptions, Key, check};
use weighbridge_core::{
    Dialect, Effort, EndpointFacts, Finish, GenerationRequest, Message, Parameter, Prompt, Quirk, Reasoning,
};

use crate::scripted::{mutate, provider};

/// The key of all requests.
pub const KEY: &str = "sk-conformance-0123456789";

/// The cases of a dialect.
pub struct Suite {
    pub dialect: Dialect,
    /// Settings that have a place in it.
    pub carries: Vec<Parameter>,
    /// Headers besides the type of the content.
    pub headers: Vec<(&'static str, String)>,
    /// Model, request, delivery and path.
    pub paths: Vec<(&'static str, GenerationRequest, Delivery, &'static str)>,
    pub bodies: Vec<Body>,
    /// Requests that cannot be said, with a part of the message.
    pub refused: Vec<(GenerationRequest, &'static str)>,
    pub answers: Vec<Answer>,
    pub streams: Vec<Stream>,
    /// Bodies of errors.
    pub errors: Vec<(Value, HostError)>,
    /// Bodies and pieces of streams that state an error although the status is 200.
    pub failures: Vec<(Value, HostError)>,
    /// Bodies that are no answers, with a part of the message.
    pub malformed: Vec<(Value, &'static str)>,
}

/// A request and what is sent.
pub struct Body {
    pub request: GenerationRequest,
    pub quirks: Vec<Quirk>,
    pub facts: EndpointFacts,
    pub delivery: Delivery,
    pub expect: Value,
}

impl Body {
    pub fn whole(request: GenerationRequest, expect: Value) -> Self {
        let (quirks, facts) = (Vec::new(), EndpointFacts::default());
        Self { request, quirks, facts, delivery: Delivery::Whole, expect }
    }

    pub fn streamed(request: GenerationRequest, expect: Value) -> Self {
        Self { delivery: Delivery::Streamed, ..Self::whole(request, expect) }
    }
}

/// A whole answer and how it is read.
pub struct Answer {
    pub request: GenerationRequest,
    pub body: Value,
    pub expect: WireReply,
}

/// A stream and how it is read.
pub struct Stream {
    pub request: GenerationRequest,
    pub pieces: Vec<Value>,
    /// True where `[DONE]` follows.
    pub done: bool,
    pub expect: WireReply,
    /// So many pieces at the end may be missing: the answer is complete without them.
    pub spare: usize,
}

/// A conversation that leaves all to the model, with room for 16 tokens.
pub fn question() -> GenerationRequest {
    GenerationRequest::new(Prompt::Messages(vec![Message::user("Hi")]), 16)
}

/// As [`question`], with changes.
pub fn asked(change: impl FnOnce(&mut GenerationRequest)) -> GenerationRequest {
    let mut request = question();
    change(&mut request);
    request
}

/// A conversation with system messages in two places and two turns of the user in a row.
pub fn conversation() -> Vec<Message> {
    [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("system", "Be kind."),
        ("user", "Why?"),
        ("user", "Well?"),
    ]
    .map(|(role, text)| Message::new(role, text))
    .to_vec()
}

/// An error as a host states it.
pub fn host_error(status: Option<u16>, code: Option<&str>, message: &str) -> HostError {
    HostError { status, code: code.map(Into::into), message: message.into(), ..HostError::default() }
}

pub fn endpoint(dialect: Dialect, model: &str, quirks: &[Quirk], facts: EndpointFacts) -> Endpoint {
    let mut provider = provider(&[dialect]);
    provider.quirks.extend(quirks);
    Endpoint::new(EndpointOptions {
        provider,
        model: model.into(),
        base_url: Some("http://localhost:1/v1".into()),
        dialect: None,
        key: Some(Key::new(KEY).unwrap()),
        pin: None,
        facts,
        prices: Vec::new(),
    })
    .unwrap()
}

impl Suite {
    fn plain(&self) -> Endpoint {
        endpoint(self.dialect, "m", &[], EndpointFacts::default())
    }

    /// The text of a stream over the network.
    pub fn text(&self, stream: &Stream) -> String {
        let events = self.wire(&stream.request).framing() == Framing::Events;
        let piece = |piece: &Value| if events { format!("data: {piece}\n\n") } else { format!("{piece}\n") };
        let mut text: String = stream.pieces.iter().map(piece).collect();
        if stream.done {
            text.push_str("data: [DONE]\n\n");
        }
        text
    }

    pub fn wire(&self, request: &GenerationRequest) -> &'static dyn Wire {
        wire_for(self.dialect, request)
    }

    pub fn read(&self, request: &GenerationRequest, body: &Value) -> Result<WireReply, WireError> {
        self.wire(request).read(body.to_string().as_bytes(), request)
    }

    /// What watchers see, and the answer.
    pub fn stream(&self, request: &GenerationRequest, pieces: &[String]) -> Result<(String, WireReply), WireError> {
        let mut reader = self.wire(request).stream(request);
        let mut seen = String::new();
        for piece in pieces {
            if reader.is_done() {
                break;
            }
            seen.push_str(&reader.piece(piece)?);
        }
        Ok((seen, reader.end()?))
    }
}

fn pieces(stream: &Stream) -> Vec<String> {
    let mut pieces: Vec<String> = stream.pieces.iter().map(ToString::to_string).collect();
    pieces.extend(stream.done.then(|| "[DONE]".to_owned()));
    pieces
}

/// All rules.
pub fn check_dialect(suite: &Suite) {
    check_requests(suite);
    check_carried(suite);
    check_answers(suite);
    check_streams(suite);
    check_errors(suite);
}

fn check_requests(suite: &Suite) {
    let dialect = suite.dialect;
    let mut headers = HeaderMap::new();
    suite.wire(&question()).headers(&suite.plain(), &mut headers).unwrap();
    let told: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let expect: Vec<_> = suite.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(told, expect, "{dialect}");
    for value in headers.values().filter(|value| value.to_str().is_ok_and(|text| text.contains(KEY))) {
        assert!(value.is_sensitive(), "{dialect}: a header shows the key");
    }
    for (model, request, delivery, expect) in &suite.paths {
        let endpoint = endpoint(dialect, model, &[], EndpointFacts::default());
        let path = suite.wire(request).path(&endpoint, *delivery);
        assert_eq!(&path, expect, "{dialect} {model}");
        assert!(!path.contains(KEY), "{dialect}: the key is in the address");
    }
    for Body { request, quirks, facts, delivery, expect } in &suite.bodies {
        let endpoint = endpoint(dialect, "m", quirks, facts.clone());
        check(&endpoint, request).unwrap();
        let body = suite.wire(request).body(&endpoint, request, *delivery).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(&body, expect, "{dialect} {request:?}");
    }
    for (request, part) in &suite.refused {
        let refused = suite.wire(request).body(&suite.plain(), request, Delivery::Whole);
        let Err(error @ ApiError::OutOfRange { .. }) = refused else {
            panic!("{dialect} says what it has no words for: {request:?}")
        };
        assert!(error.to_string().contains(part), "{dialect}: {error}");
    }
}

/// A request that asks for one setting, or two where one needs the other.
fn asking(parameter: Parameter) -> GenerationRequest {
    asked(|r| match parameter {
        Parameter::System => r.prompt = Prompt::Messages(conversation()),
        Parameter::Temperature => r.sampling.temperature = Some(0.5),
        Parameter::TopP => r.sampling.top_p = Some(0.5),
        Parameter::TopK => r.sampling.top_k = Some(5),
        Parameter::MinP => r.sampling.min_p = Some(0.5),
        Parameter::Seed => r.sampling.seed = Some(5),
        Parameter::Stop => r.stop = vec!["\n".into()],
        Parameter::Logprobs => r.top_logprobs = Some(1),
        Parameter::Text => r.prompt = Prompt::Text("Hi".into()),
        Parameter::Messages => {}
        Parameter::Reasoning => r.reasoning = Reasoning::Effort(Effort::High),
    })
}

/// What a dialect says that it carries is sent, and what not is refused before.
fn check_carried(suite: &Suite) {
    let dialect = suite.dialect;
    let carries = |parameter| suite.wire(&question()).carries(parameter);
    for parameter in Parameter::ALL {
        let said = carries(parameter);
        assert_eq!(said, suite.carries.contains(&parameter), "{dialect} {parameter}");
        let mut request = asking(parameter);
        let mut plain = question();
        if !carries(Parameter::Messages) && !matches!(parameter, Parameter::Messages | Parameter::System) {
            plain.prompt = Prompt::Text("Ho".into());
            request.prompt = Prompt::Text(if parameter == Parameter::Text { "Hi" } else { "Ho" }.into());
        }
        match check(&suite.plain(), &request) {
            Ok(()) => assert!(said, "{dialect} drops {parameter}"),
            Err(ApiError::Unsupported { parameter: named, .. }) => {
                let instead = parameter == Parameter::System && named == Parameter::Messages;
                assert!(!said && (named == parameter || instead), "{dialect} {parameter}: {named}");
            }
            Err(error) => panic!("{dialect} {parameter}: {error}"),
        }
        if said && parameter != Parameter::Messages {
            let body = |r: &GenerationRequest| suite.wire(r).body(&suite.plain(), r, Delivery::Whole).unwrap();
            assert_ne!(body(&request), body(&plain), "{dialect} says that it carries {parameter} and drops it");
        }
    }
}

fn check_answers(suite: &Suite) {
    let dialect = suite.dialect;
    for Answer { request, body, expect } in &suite.answers {
        let reply = suite.read(request, body).unwrap_or_else(|error| panic!("{dialect} {error:?}: {body}"));
        assert_eq!(&reply, expect, "{dialect} {body}");
        let mut wider = body.clone();
        widen(&mut wider);
        let stated = |reply: WireReply| WireReply { usage_stated: None, ..reply };
        let reply = suite.read(request, &wider).unwrap_or_else(|error| panic!("{dialect} {error:?}: {wider}"));
        assert_eq!(stated(reply), stated(expect.clone()), "{dialect}: a new field changes {body}");
        let text = body.to_string();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let cut = suite.wire(request).read(&text.as_bytes()[..end], request);
            assert!(matches!(cut, Err(WireError::Malformed(_))), "{dialect} reads half an answer: {}", &text[..end]);
        }
    }
    for (body, part) in &suite.malformed {
        let read = suite.read(&suite.answers[0].request, body);
        let Err(WireError::Malformed(message)) = read else { panic!("{dialect} takes {body} for an answer: {read:?}") };
        assert!(message.contains(part), "{dialect} {body}: {message}");
    }
}

/// Adds a field that nobody knows to every object.
fn widen(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(widen);
            map.insert("x_new_field".into(), serde_json::json!({"type": ["x"], "text": 1}));
        }
        Value::Array(list) => list.iter_mut().for_each(widen),
        _ => {}
    }
}

fn check_streams(suite: &Suite) {
    let dialect = suite.dialect;
    for stream in &suite.streams {
        let all = pieces(stream);
        let (seen, reply) = suite.stream(&stream.request, &all).unwrap_or_else(|e| panic!("{dialect} {e:?}"));
        assert_eq!(reply, stream.expect, "{dialect}");
        // A refusal in place of a text is no text to watch.
        if stream.expect.finish != Some(Finish::Refused) {
            assert_eq!(seen, stream.expect.text.clone().unwrap_or_default(), "{dialect}");
        }
        for end in 0..all.len() - stream.spare {
            let cut = suite.stream(&stream.request, &all[..end]);
            assert!(matches!(cut, Err(WireError::Malformed(_))), "{dialect} takes {end} pieces for all: {cut:?}");
        }
        for end in all.len() - stream.spare..all.len() {
            assert!(suite.stream(&stream.request, &all[..end]).is_ok(), "{dialect} needs piece {end}");
        }
    }
}

fn check_errors(suite: &Suite) {
    let (dialect, request) = (suite.dialect, &suite.answers[0].request);
    for (body, expect) in &suite.errors {
        assert_eq!(&suite.wire(request).error(body.to_string().as_bytes()), expect, "{dialect} {body}");
    }
    for (body, expect) in &suite.failures {
        assert_eq!(suite.read(request, body), Err(WireError::Host(expect.clone())), "{dialect} {body}");
        let streamed = suite.stream(request, &[body.to_string()]);
        assert_eq!(streamed, Err(WireError::Host(expect.clone())), "{dialect} streams {body}");
    }
    let page = suite.wire(request).error(b"<html>\n502 Bad Gateway</html>");
    assert_eq!(page, host_error(None, None, "<html> 502 Bad Gateway</html>"), "{dialect}");
}

/// Bytes of all kinds, and answers and streams with changes in any place: read or refused, never a panic.
pub fn check_hostile(suite: &Suite) {
    let changes = prop::collection::vec((any::<u64>(), any::<u64>()), 1..4);
    let cases = (changes, any::<u64>(), prop::collection::vec(any::<u8>(), 0..200), ".{0,60}");
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&cases, |(changes, which, bytes, text)| {
            hostile(suite, &changes, which as usize, &bytes, &text);
            Ok(())
        })
        .unwrap();
}

fn hostile(suite: &Suite, changes: &[(u64, u64)], which: usize, bytes: &[u8], text: &str) {
    let mut bodies: Vec<(GenerationRequest, Value)> =
        suite.answers.iter().map(|answer| (answer.request.clone(), answer.body.clone())).collect();
    let plain = bodies[0].0.clone();
    bodies.extend(suite.errors.iter().chain(&suite.failures).map(|(body, _)| (plain.clone(), body.clone())));
    let (request, mut body) = bodies.swap_remove(which % bodies.len());
    for &(at, with) in changes {
        mutate(&mut body, at, with);
    }
    let wire = suite.wire(&request);
    let changed = body.to_string();
    for body in [changed.as_bytes(), bytes, text.as_bytes(), &changed.as_bytes()[..which % changed.len().max(1)]] {
        let _ = wire.read(body, &request);
        let _ = wire.error(body);
    }
    let stream = &suite.streams[which % suite.streams.len()];
    let mut values = stream.pieces.clone();
    for &(at, with) in changes {
        let i = (at % values.len() as u64) as usize;
        mutate(&mut values[i], at / 7, with);
    }
    let mut pieces: Vec<String> = values.iter().map(ToString::to_string).collect();
    let _ = suite.stream(&stream.request, &pieces);
    pieces.insert(which % pieces.len(), text.to_owned());
    let _ = suite.stream(&stream.request, &pieces);
}
