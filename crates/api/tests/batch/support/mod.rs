//! A server of ours that speaks as the providers' batches do, keeps what it was given, and fails where it is told to.

pub mod anthropic;
pub mod gemini;
pub mod openai;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use weighbridge_api::batch::{BatchLimits, BatchOptions};
use weighbridge_api::{
    Cache, Endpoint, EndpointOptions, Hosted, Key, NumberedRequest, RetryPolicy, Session, SessionOptions,
};
use weighbridge_core::{Dialect, EndpointFacts, GenerationRequest, Message, Prompt, Provider, TokenPrices, Usd};

/// The key that must not show anywhere.
pub const KEY: &str = "sk-planted-0123456789";

/// A message that came in.
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// `http://127.0.0.1:port`.
    pub origin: String,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// What stands between a beginning and an end of the path.
    pub fn between(&self, method: &str, begin: &str, end: &str) -> Option<&str> {
        let inner = self.path.strip_prefix(begin)?.strip_suffix(end)?;
        (self.method == method && !inner.is_empty() && !inner.contains('/')).then_some(inner)
    }
}

/// What goes out.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(value: &Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: serde_json::to_vec(value).unwrap() }
    }

    pub fn text(text: String) -> Self {
        Self { status: 200, headers: Vec::new(), body: text.into_bytes() }
    }

    pub fn error(status: u16, message: &str) -> Self {
        let body = serde_json::json!({"error": {"message": message, "type": "invalid_request_error"}});
        Self { status, ..Self::json(&body) }
    }
}

/// How results differ from what they should be.
#[derive(Clone, Default)]
pub struct Oddities {
    /// Lines that are put before all others.
    pub extra_lines: Vec<String>,
    /// The end of every batch in place of a good one.
    pub end: Option<&'static str>,
    /// Looks at a batch before it has ended.
    pub looks: usize,
    /// Submissions are answered with this status.
    pub refuse: Option<u16>,
    /// Looks after the end at which the results are not named yet.
    pub late_results: usize,
    /// Gemini: answers come without the names of their requests.
    pub nameless: bool,
}

/// A provider.
pub trait Fake: Send {
    fn answer(&mut self, request: &Request) -> Answer;
    /// Names of the requests of every batch that was made.
    fn submitted(&self) -> Vec<Vec<String>>;
    fn oddities(&mut self) -> &mut Oddities;
    /// OpenAI: the endpoint of every batch.
    fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }
    /// Adds a batch of somebody else with so many requests.
    fn add_foreign(&mut self, requests: usize);
}

/// What a request asks for by its text: some have results of their own kind.
pub fn kind(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// Lines as a file.
pub fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// What goes wrong with an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not read: the connection is closed.
    Lost,
    /// It is done, but the answer is lost.
    Unanswered,
    /// It is refused with this status.
    Status(u16),
    /// The answer breaks off in the middle.
    Half,
}

pub struct World {
    pub fake: Box<dyn Fake>,
    /// Messages so far.
    pub exchanges: usize,
    pub faults: BTreeMap<usize, Fault>,
    /// From this message on none is read.
    pub down_from: Option<usize>,
    /// `METHOD path` of each message.
    pub log: Vec<String>,
}

pub struct Server {
    pub origin: String,
    world: Arc<Mutex<World>>,
}

impl Server {
    pub fn start(fake: Box<dyn Fake>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let world = World { fake, exchanges: 0, faults: BTreeMap::new(), down_from: None, log: Vec::new() };
        let world = Arc::new(Mutex::new(world));
        let (shared, home) = (Arc::clone(&world), origin.clone());
        // It ends with the process: each test has its own.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, home) = (Arc::clone(&shared), home.clone());
                std::thread::spawn(move || serve(stream, &shared, &home));
            }
        });
        Self { origin, world }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

fn serve(mut stream: TcpStream, world: &Mutex<World>, origin: &str) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let request = read(&mut reader, origin)?;
        let (answer, fault) = {
            let mut world = world.lock().unwrap();
            let number = world.exchanges;
            world.exchanges += 1;
            world.log.push(format!("{} {}", request.method, request.path));
            let down = world.down_from.is_some_and(|from| number >= from);
            let fault = world.faults.get(&number).copied().or_else(|| down.then_some(Fault::Lost));
            let answer = match fault {
                Some(Fault::Lost) => return None,
                Some(Fault::Status(status)) => Answer::error(status, "the server is at fault"),
                _ => world.fake.answer(&request),
            };
            (answer, fault)
        };
        if fault == Some(Fault::Unanswered) {
            return None;
        }
        let mut head = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
        for (name, value) in &answer.headers {
            head.extend([*name, ": ", value.as_str(), "\r\n"]);
        }
        head.push_str("\r\n");
        // In one piece: the second of two would wait for the acknowledgement of the first.
        let mut bytes = [head.as_bytes(), &answer.body].concat();
        if fault == Some(Fault::Half) {
            bytes.truncate(head.len() + answer.body.len() / 2);
        }
        stream.write_all(&bytes).ok()?;
        if fault == Some(Fault::Half) {
            return None;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>, origin: &str) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Some(Request { method, path: path.to_owned(), query, headers, body, origin: origin.to_owned() })
}

/// One of the three providers.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub dialect: Dialect,
    pub base: &'static str,
    pub make: fn() -> Box<dyn Fake>,
    /// Word for a batch that has ended well.
    pub end: &'static str,
}

pub const OPENAI: Kind = Kind {
    name: "openai",
    dialect: Dialect::OpenaiChat,
    base: "/v1",
    make: || Box::<openai::Openai>::default(),
    end: "completed",
};
pub const ANTHROPIC: Kind = Kind {
    name: "anthropic",
    dialect: Dialect::Anthropic,
    base: "/v1",
    make: || Box::<anthropic::Anthropic>::default(),
    end: "ended",
};
pub const GEMINI: Kind = Kind {
    name: "gemini",
    dialect: Dialect::Gemini,
    base: "/v1beta",
    make: || Box::<gemini::Gemini>::default(),
    end: "BATCH_STATE_SUCCEEDED",
};

pub const KINDS: [Kind; 3] = [OPENAI, ANTHROPIC, GEMINI];

impl Kind {
    pub fn server(self) -> Server {
        Server::start((self.make)())
    }

    pub fn endpoint(self, server: &Server) -> Endpoint {
        let provider = Provider {
            id: self.name.into(),
            name: self.name.into(),
            base_url: None,
            key_variables: Vec::new(),
            key_required: false,
            dialects: vec![self.dialect],
            router: false,
            batch: true,
            quirks: [].into(),
            source: "test".into(),
        };
        Endpoint::new(EndpointOptions {
            provider,
            model: "model-1".into(),
            base_url: Some(format!("{}{}", server.origin, self.base)),
            dialect: None,
            key: Some(Key::new(KEY).unwrap()),
            pin: None,
            facts: EndpointFacts::default(),
            prices: vec![prices()],
        })
        .unwrap()
    }

    pub fn hosted(self, server: &Server, options: SessionOptions) -> Hosted {
        self.hosted_in(server, &Session::new(options).unwrap())
    }

    pub fn hosted_in(self, server: &Server, session: &Arc<Session>) -> Hosted {
        Hosted::new(self.endpoint(server), session).unwrap()
    }
}

fn prices() -> TokenPrices {
    TokenPrices {
        input: Usd(2.0),
        cached_input: None,
        cache_write: None,
        cache_write_1h: None,
        output: Usd(10.0),
        reasoning: None,
        batch_input: Some(Usd(1.0)),
        batch_output: Some(Usd(5.0)),
        tiers: Vec::new(),
        starts: None,
        source: "test".into(),
    }
}

/// Settings of a session that waits for nothing; so many failures end a message.
pub fn session(failures: usize) -> SessionOptions {
    SessionOptions {
        timeout: Duration::from_secs(20),
        retry: RetryPolicy {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(2),
            same: failures,
            failures,
            unreadable: failures,
            ..RetryPolicy::default()
        },
        ..SessionOptions::default()
    }
}

pub fn cached(folder: &Path) -> SessionOptions {
    SessionOptions { cache: Some(Cache::open(folder).unwrap()), ..session(3) }
}

/// Settings of a batch that waits for nothing.
pub fn options(requests: usize) -> BatchOptions {
    BatchOptions {
        limits: Some(BatchLimits { requests, bytes: 1 << 20, inline_bytes: 0 }),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(2),
        settle: Duration::ZERO,
    }
}

/// Requests by their texts.
pub fn requests(texts: &[&str]) -> Vec<NumberedRequest> {
    let request = |(index, text): (usize, &&str)| NumberedRequest {
        index: index as u64,
        id: Some(format!("../{text}\u{1b}[31m\"")),
        request: GenerationRequest::new(Prompt::Messages(vec![Message::user((*text).to_owned())]), 50),
    };
    texts.iter().enumerate().map(request).collect()
}
