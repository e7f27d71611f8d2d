//! What the environment decides: certificates, proxies, and HTTP/2, which only TLS brings. A process reads its environment
//! once, so each test asks from a process of its own: this program, running [`child`] alone.

use std::io::BufReader;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use weighbridge_api::{Delivery, Session};
use weighbridge_core::{CallRecord, CallState, ErrorClass};

use crate::client::{KEY, hosted, numbered, options};
use crate::server::{Ledger, Server, answer, chat, error, serve};
use crate::watchdog::ends;

/// Tells a child where to ask.
const ASK: &str = "FAULTS_ASK";
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/certificates/authority.pem");
const RECORD: &str = "RECORD ";

/// Asks once, where a parent says so; otherwise nothing.
#[test]
fn child() {
    let Ok(url) = std::env::var(ASK) else { return };
    let session = Session::new(options()).unwrap();
    let model = hosted(&session, &url);
    let record = model.ask(numbered(0, "one"), Delivery::Whole, &mut |_| {});
    println!("\n{RECORD}{}", serde_json::to_string(&record).unwrap());
    println!("{session:?} {model:?}");
}

/// Asks in a process with these variables; the record and all that was printed.
fn ask_with(url: &str, variables: &[(&str, &str)]) -> (CallRecord, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "outside::child", "--nocapture"]).env(ASK, url);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let record = printed.lines().find_map(|line| line.strip_prefix(RECORD));
    let record = serde_json::from_str(record.unwrap_or_else(|| panic!("{printed}"))).unwrap();
    assert!(!printed.contains(KEY), "{printed}");
    (record, printed)
}

/// A server with a certificate of an authority that nobody knows, which speaks the protocols.
struct TlsServer {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    runtime: Option<Runtime>,
}

impl TlsServer {
    fn start(protocols: &[&[u8]]) -> Self {
        let certificate = include_bytes!("certificates/server.pem");
        let key = include_bytes!("certificates/server.key");
        let chain = CertificateDer::pem_reader_iter(BufReader::new(&certificate[..])).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let ledger = Arc::new(Ledger::default());
        let noted = Arc::clone(&ledger);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, ledger) = (acceptor.clone(), Arc::clone(&noted));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        serve_h2(stream).await;
                    } else {
                        serve(&mut stream, &ledger, &|_| answer("ok")).await;
                    }
                });
            }
        });
        Self { address, ledger, runtime: Some(runtime) }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/v1", self.address.port())
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Refuses the first stream as a host does that restarts, and answers the others.
async fn serve_h2(stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let mut number = 0;
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        if number == 0 {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        } else {
            let head = http::Response::builder().header("content-type", "application/json").body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(chat("over HTTP/2").to_string().into_bytes().into(), true).unwrap();
        }
        number += 1;
    }
}

#[test]
fn a_certificate_of_nobody_is_refused_at_once_and_clearly() {
    ends("an unknown certificate", || {
        let server = TlsServer::start(&[b"http/1.1"]);
        let (record, _) = ask_with(&server.url("localhost"), &[]);
        assert_eq!((record.state, record.attempts.len()), (CallState::ProviderError, 1), "{:?}", record.attempts);
        let attempt = &record.attempts[0];
        assert_eq!(attempt.error, Some(ErrorClass::Connection));
        let message = attempt.message.as_deref().unwrap();
        assert!(message.contains("not trusted (UnknownIssuer)") && message.contains("SSL_CERT_FILE"), "{message}");
        assert_eq!(server.ledger.requests(), 0, "no key was sent");
    });
}

#[test]
fn an_authority_of_ones_own_is_named_by_a_variable() {
    ends("a known certificate", || {
        let server = TlsServer::start(&[b"http/1.1"]);
        let (record, _) = ask_with(&server.url("localhost"), &[("SSL_CERT_FILE", AUTHORITY)]);
        assert_eq!(record.text.as_deref(), Some("ok"), "{:?}", record.attempts);
    });
}

#[test]
fn http_2_is_spoken_where_the_server_does_and_a_refused_stream_is_an_attempt() {
    ends("HTTP/2", || {
        let server = TlsServer::start(&[b"h2"]);
        let (record, _) = ask_with(&server.url("localhost"), &[("SSL_CERT_FILE", AUTHORITY)]);
        assert_eq!(record.text.as_deref(), Some("over HTTP/2"), "{:?}", record.attempts);
        assert_eq!(record.attempts.len(), 2, "{:?}", record.attempts);
        assert_eq!(record.attempts[0].error, Some(ErrorClass::Connection));
    });
}

#[test]
fn proxies_of_the_environment_are_used() {
    ends("a proxy", || {
        let proxy = Server::start(|seen| {
            if seen.head.starts_with("CONNECT ") { error(403, &[], "", "no tunnels") } else { answer("by proxy") }
        });
        let by = format!("http://user:planted-password-7@{}", proxy.address);
        let (record, printed) = ask_with("http://nowhere.invalid/v1", &[("HTTP_PROXY", &by)]);
        assert_eq!(record.text.as_deref(), Some("by proxy"), "{:?}", record.attempts);
        assert!(!printed.contains("planted-password"), "{printed}");
        let head = |at: usize| proxy.ledger.seen.lock().unwrap()[at].head.clone();
        assert!(head(0).starts_with("POST http://nowhere.invalid/v1/chat/completions HTTP/1.1"), "{}", head(0));
        assert!(head(0).to_ascii_lowercase().contains("proxy-authorization: basic"), "{}", head(0));

        let (record, _) = ask_with("https://nowhere.invalid/v1", &[("HTTPS_PROXY", &by)]);
        assert_eq!(record.state, CallState::ProviderError);
        assert!(head(1).starts_with("CONNECT nowhere.invalid:443 HTTP/1.1"), "{}", head(1));
        assert!(!head(1).contains(KEY), "a proxy of tunnels sees no key");

        let (record, _) = ask_with("http://nowhere.invalid/v1", &[("ALL_PROXY", &by)]);
        assert_eq!(record.text.as_deref(), Some("by proxy"));
    });
}

#[test]
fn hosts_that_need_no_proxy_are_asked_without_it() {
    ends("no proxy", || {
        let server = Server::start(|_| answer("direct"));
        // Nothing listens at the port of the proxy.
        let dead = "http://127.0.0.1:1";
        let (record, _) = ask_with(&server.url(), &[("HTTP_PROXY", dead), ("NO_PROXY", "localhost,127.0.0.1")]);
        assert_eq!(record.text.as_deref(), Some("direct"), "{:?}", record.attempts);
        let (record, _) = ask_with(&server.url(), &[("HTTP_PROXY", dead)]);
        assert_eq!(record.state, CallState::ProviderError);
    });
}
