//! TLS and HTTP/2 against a real nginx, with exact counts at both ends.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use dyno_load::{
    Choice, ClientCertificate, Drive, DriveModel, Driven, Engine, EngineOptions, LoadError, Protocol,
    Schedule, TlsOptions, Trust, drive,
};
use dyno_model::{
    Rate,
    load::{Expect, ExpectBody, ExpectStatus, Request, Target},
};
use dyno_provision::{Context, Home, nginx};
use dyno_testkit::{
    http2::{Http2Server, Http2Way},
    tls::{Certificate, TlsServer, TlsWay},
};

const BIG: usize = 300_000;

static PROVISION: Mutex<()> = Mutex::new(());

/// An nginx with TLS and without, with HTTP/2 and without; gone when dropped.
struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
    cleartext: SocketAddr,
    http2: SocketAddr,
    tls: SocketAddr,
    tls_http2: SocketAddr,
}

/// Ports that are free now, all different: found while the others are held.
fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

impl Nginx {
    /// Somebody may take a port before nginx does: then it is tried again with others.
    fn start(settings: &str) -> Self {
        (0..5).find_map(|_| Self::try_start(settings)).expect("nginx starts")
    }

    fn try_start(settings: &str) -> Option<Self> {
        let part = {
            // A cache admits one that fetches.
            let _turn = PROVISION.lock().unwrap_or_else(PoisonError::into_inner);
            let home = Home::open(Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")).unwrap();
            nginx(Context { home: &home, setup: true, echo: &|_| {}, stop: &|| false }, None).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.path().join("own.pem"), own.cert.pem()).unwrap();
        fs::write(folder.path().join("own.key"), own.signing_key.serialize_pem()).unwrap();
        fs::write(folder.path().join("big"), vec![b'x'; BIG]).unwrap();
        let [cleartext, http2, tls, tls_http2] = free_ports();
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let configuration = format!(
            "{user} daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error.log;
            events {{ worker_connections 1024; }}
            http {{
              access_log off; client_body_temp_path {path}/body; client_max_body_size 10m;
              proxy_temp_path {path}/t1; fastcgi_temp_path {path}/t2; uwsgi_temp_path {path}/t3; scgi_temp_path {path}/t4;
              keepalive_requests 1000000; ssl_certificate {path}/own.pem; ssl_certificate_key {path}/own.key;
              server {{
                {settings}
                listen {cleartext}; listen {http2} http2; listen {tls} ssl; listen {tls_http2} ssl http2;
                location = /small {{ return 200 \"yes\"; }}
                location = /big {{ alias {path}/big; }}
                location = /upload {{ proxy_pass http://{cleartext}/small; }}
                location = /status {{ stub_status; }}
              }}
            }}"
        );
        fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let child = Command::new(&part.binary)
            .args(["-p", &path, "-e", "error.log", "-c", "nginx.conf"])
            .env("LD_LIBRARY_PATH", std::env::join_paths(&part.libraries).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self { child, folder, cleartext, http2, tls, tls_http2 };
        let begin = Instant::now();
        while TcpStream::connect(tls_http2).is_err() {
            let log = fs::read_to_string(nginx.folder.path().join("error.log")).unwrap_or_default();
            if nginx.child.try_wait().unwrap().is_some() {
                assert!(log.contains("in use"), "nginx doesn't start: {log}");
                return None;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "nginx doesn't start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(nginx)
    }

    /// Requests that it has seen, without those that asked.
    fn requests(&self, asked: u64) -> u64 {
        let url = format!("http://{}/status", self.cleartext);
        let text = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
        let line = text.lines().nth(2).unwrap();
        line.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap() - asked
    }

    fn own_certificate(&self) -> TlsOptions {
        let trust = Trust::Authorities(self.folder.path().join("own.pem"));
        TlsOptions { server_name: "localhost".to_owned(), trust, client: None }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers on SIGTERM.
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn request(method: &str, target: &str, body: Vec<u8>, expect: ExpectBody) -> Request {
    let expect = Expect { status: ExpectStatus::Exactly(200), body: expect };
    Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body, expect }
}

fn small() -> Request {
    request("GET", "/small", Vec::new(), ExpectBody::Equal(b"yes".to_vec()))
}

fn options(protocol: Protocol, streams: u32, tls: Option<TlsOptions>) -> EngineOptions {
    EngineOptions { protocol, streams, tls, host: Some("localhost".to_owned()), ..EngineOptions::default() }
}

fn closed(address: SocketAddr, requests: Vec<Request>, count: u64, options: EngineOptions) -> Driven {
    let choice = Choice::weighted(&vec![(1, 1.0); requests.len()]);
    let model = DriveModel::Closed {
        length: Duration::MAX,
        think: Duration::ZERO,
        requests: Some(count),
        choice,
        seed: 1,
    };
    run(address, requests, model, options)
}

fn run(address: SocketAddr, requests: Vec<Request>, model: DriveModel, options: EngineOptions) -> Driven {
    let plan = Drive {
        target: Target::Tcp(address),
        requests,
        model,
        connections: 4,
        threads: 2,
        options,
        guard: Duration::ZERO,
        every: Duration::from_secs(1),
    };
    drive(&plan, &AtomicBool::new(false), &mut |_| {}).unwrap()
}

fn assert_all_right(driven: &Driven, count: u64) {
    let counts = driven.outcome.counts;
    assert_eq!(
        (counts.planned, counts.sent, counts.completed, counts.failed.total()),
        (count, count, count, 0),
        "{:?}",
        driven.outcome.wrong_answers
    );
}

#[test]
fn every_protocol_counts_exactly_with_small_large_and_uploaded_bodies() {
    let nginx = Nginx::start("");
    let own = nginx.own_certificate();
    let ways = [
        (nginx.http2, options(Protocol::Http2, 8, None), "HTTP/2"),
        (nginx.tls, options(Protocol::Http1, 1, Some(own.clone())), "TLS"),
        (nginx.tls_http2, options(Protocol::Http2, 8, Some(own.clone())), "HTTP/2, TLS"),
    ];
    let mut asked = 1;
    for (address, options, words) in ways {
        let before = nginx.requests(asked);
        asked += 1;
        let requests = vec![
            small(),
            request("GET", "/big", Vec::new(), ExpectBody::Equal(vec![b'x'; BIG])),
            request("GET", "/big", Vec::new(), ExpectBody::Size(BIG as u64)),
            request("HEAD", "/big", Vec::new(), ExpectBody::Size(0)),
        ];
        let driven = closed(address, requests, 2_000, options.clone());
        assert_all_right(&driven, 2_000);
        assert!(driven.outcome.engine.ends_with(words), "{}", driven.outcome.engine);
        assert_eq!(nginx.requests(asked) - before, 2_000, "{words}");
        asked += 1;
        // Larger than any window of flow control; nginx passes it on, which counts twice.
        let upload = request("POST", "/upload", vec![b'u'; 1_000_000], ExpectBody::Equal(b"yes".to_vec()));
        assert_all_right(&closed(address, vec![upload], 20, options.clone()), 20);
        let schedule = Schedule::poisson(Rate::new_per_s(2000.0).unwrap(), Duration::from_secs(1), 1, 3);
        let planned = schedule.count_rest();
        let driven = run(address, vec![small()], DriveModel::Open { schedule }, options);
        assert_all_right(&driven, planned);
        // The kernel begins to stamp some time after it was asked to.
        assert!(driven.outcome.unstamped * 2 < planned, "the kernel's stamps reach through the layers");
    }
}

#[test]
fn requests_beyond_the_servers_streams_wait_and_its_goodbye_is_no_failure() {
    let nginx = Nginx::start("http2_max_concurrent_streams 3; keepalive_requests 100;");
    let driven = closed(nginx.http2, vec![small()], 1_000, options(Protocol::Http2, 16, None));
    let outcome = &driven.outcome;
    let counts = outcome.counts;
    assert_eq!((counts.planned, counts.sent + counts.not_sent), (1_000, 1_000), "{counts:?}");
    assert_eq!(counts.sent, counts.completed + counts.failed.total(), "{counts:?}");
    // A request that crosses the goodbye on its way is not processed: it is sent again.
    assert_eq!((counts.sent, counts.completed), (1_000, 1_000), "{counts:?} {:?}", outcome.wrong_answers);
    assert!(outcome.connections.opened >= 5, "{:?}", outcome.connections);
}

#[test]
fn a_certificate_that_nobody_believes_is_an_error_unless_anybody_will_do() {
    let nginx = Nginx::start("");
    let stranger = TlsOptions { server_name: "localhost".to_owned(), trust: Trust::System, client: None };
    let connect = |tls: TlsOptions, protocol, address| {
        Engine::connect(Target::Tcp(address), 1, options(protocol, 1, Some(tls)))
    };
    let begin = Instant::now();
    let refused = connect(stranger.clone(), Protocol::Http1, nginx.tls).err().unwrap().to_string();
    // Without authorities on this machine it is refused before it asks.
    assert!(refused.contains("certificate"), "{refused}");
    assert!(begin.elapsed() < Duration::from_secs(4), "asking again doesn't make it true");
    let other = TlsOptions { server_name: "example.org".to_owned(), ..nginx.own_certificate() };
    let refused = connect(other, Protocol::Http1, nginx.tls).err().unwrap().to_string();
    assert!(refused.contains("example.org"), "{refused}");
    let anybody = TlsOptions { trust: Trust::Anybody, ..stranger };
    let mut engine = connect(anybody.clone(), Protocol::Http1, nginx.tls).unwrap();
    let answer = engine.ask(&small()).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"yes"[..]));
    let mut engine = connect(anybody.clone(), Protocol::Http2, nginx.tls_http2).unwrap();
    assert!(engine.ask(&small()).unwrap().head.starts_with("HTTP/2 200"));
    let refused = connect(anybody.clone(), Protocol::Http2, nginx.tls).err().unwrap().to_string();
    assert!(refused.contains("HTTP/2") || refused.contains("ALPN"), "{refused}");
    let refused = connect(anybody, Protocol::Http1, nginx.cleartext).err().unwrap().to_string();
    assert!(refused.contains("TLS"), "{refused}");
}

#[test]
fn http_2_at_a_server_of_http_1_fails_by_name() {
    let nginx = Nginx::start("");
    let driven = closed(nginx.cleartext, vec![small()], 20, options(Protocol::Http2, 2, None));
    let counts = driven.outcome.counts;
    assert_eq!((counts.completed, counts.planned), (0, 20), "{counts:?}");
    assert_eq!(counts.sent, counts.failed.total());
    assert!(counts.failed.protocol > 0, "{counts:?}");
    let uring = EngineOptions { wire: dyno_load::WireKind::Uring, ..options(Protocol::Http2, 1, None) };
    let refused = Engine::new(Target::Tcp(nginx.http2), 1, uring).err().unwrap();
    assert!(matches!(refused, LoadError::Kernel(_)), "{refused}");
}

/// What a time-out would look like: far above anything that is meant to happen.
const NEVER: Duration = Duration::from_secs(20);

fn believing(own: &Certificate, folder: &Path) -> TlsOptions {
    let path = folder.join("own.pem");
    fs::write(&path, &own.pem).unwrap();
    TlsOptions { server_name: "localhost".to_owned(), trust: Trust::Authorities(path), client: None }
}

/// Servers on asyncio say `close_notify` and leave TCP open: that is the end, whatever TCP does.
#[test]
fn close_notify_ends_a_connection_that_is_idle_and_a_body_without_length() {
    let folder = tempfile::tempdir().unwrap();
    let own = Certificate::plain();
    let begin = Instant::now();
    let idle = TlsServer::start(TlsWay::EndsIdle(Duration::from_millis(20)), &own, None);
    let options = EngineOptions {
        request_timeout: NEVER,
        ..options(Protocol::Http1, 1, Some(believing(&own, folder.path())))
    };
    // Each of four connections is used every 400 ms, and ended long before.
    let schedule = Schedule::uniform(Rate::new_per_s(10.0).unwrap(), Duration::from_secs(2), 1);
    let driven = run(idle.address(), vec![small()], DriveModel::Open { schedule }, options.clone());
    // A request may cross the end of its connection on a busy machine: it is told at once, and waits for nothing.
    let counts = driven.outcome.counts;
    assert_eq!((counts.sent, counts.completed + counts.failed.closed), (20, 20), "{counts:?}");
    assert!(counts.completed >= 15 && idle.seen() >= counts.completed, "{counts:?}, {}", idle.seen());
    assert!(driven.outcome.connections.closed_idle >= 5, "{:?}", driven.outcome.connections);
    let body = TlsServer::start(TlsWay::EndsBody, &own, None);
    assert_all_right(&closed(body.address(), vec![small()], 20, options.clone()), 20);
    let nothing = TlsServer::start(TlsWay::EndsInstead, &own, None);
    let counts = closed(nothing.address(), vec![small()], 8, options).outcome.counts;
    assert_eq!((counts.sent, counts.failed.closed), (8, 8), "{counts:?}");
    let http2 = TlsServer::start(TlsWay::Http2Ends, &own, None);
    let options = EngineOptions {
        request_timeout: NEVER,
        ..options2(Protocol::Http2, 2, believing(&own, folder.path()))
    };
    let counts = closed(http2.address(), vec![small()], 8, options).outcome.counts;
    assert_eq!((counts.completed, counts.failed.timed_out, counts.planned), (0, 0, 8), "{counts:?}");
    assert!(begin.elapsed() < NEVER, "nothing waited for its time-out");
}

fn options2(protocol: Protocol, streams: u32, tls: TlsOptions) -> EngineOptions {
    options(protocol, streams, Some(tls))
}

#[test]
fn what_an_http_2_server_has_not_processed_is_sent_again() {
    let goodbye = Http2Server::start(Http2Way::GoodbyeAfter(50));
    let driven = closed(goodbye.address(), vec![small()], 2_000, options(Protocol::Http2, 8, None));
    assert_all_right(&driven, 2_000);
    assert_eq!(goodbye.answered(), 2_000, "each was answered once");
    assert!(goodbye.connections() >= 2_000 / 50, "{}", goodbye.connections());
    let connections = driven.outcome.connections;
    assert!(connections.sent_again >= goodbye.refused(), "{connections:?}, {}", goodbye.refused());
    assert!(connections.sent_again > 0, "{connections:?}");

    let refusing = Http2Server::start(Http2Way::RefusesEach(10));
    let driven = closed(refusing.address(), vec![small()], 1_000, options(Protocol::Http2, 8, None));
    assert_all_right(&driven, 1_000);
    assert_eq!((refusing.answered(), refusing.refused()), (1_000, driven.outcome.connections.sent_again));

    let schedule = Schedule::uniform(Rate::new_per_s(1000.0).unwrap(), Duration::from_millis(500), 1);
    let driven = run(
        refusing.address(),
        vec![small()],
        DriveModel::Open { schedule },
        options(Protocol::Http2, 8, None),
    );
    assert_all_right(&driven, 500);
    assert_eq!(driven.outcome.late.count(), 500, "each is counted once");
    assert_eq!(dyno_load::checks::g5(&driven.outcome), None);
}

#[test]
fn a_request_that_is_always_refused_times_out() {
    let server = Http2Server::start(Http2Way::RefusesAll);
    let options =
        EngineOptions { request_timeout: Duration::from_millis(200), ..options(Protocol::Http2, 2, None) };
    let outcome = closed(server.address(), vec![small()], 16, options).outcome;
    assert_eq!((outcome.counts.sent, outcome.counts.failed.timed_out), (16, 16), "{:?}", outcome.counts);
    assert_eq!(server.refused(), outcome.connections.sent_again);
    // Pauses double: some nine tries in 200 ms, not thousands.
    assert!(outcome.connections.sent_again < 16 * 20, "{:?}", outcome.connections);
}

#[test]
fn nginx_says_goodbye_every_thousand_requests_and_none_fails() {
    let nginx = Nginx::start("keepalive_requests 100;");
    let driven = closed(nginx.http2, vec![small()], 5_000, options(Protocol::Http2, 8, None));
    assert_all_right(&driven, 5_000);
}

/// `openssl req -x509` makes a certificate that is its own authority: who gives it believes the server that has it.
#[test]
fn a_certificate_that_is_given_is_believed_though_it_is_an_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (Certificate::authority(), Certificate::authority());
    let server = TlsServer::start(TlsWay::Answers, &own, None);
    let connect = |server: &TlsServer, tls: TlsOptions| {
        let options = EngineOptions {
            connect_timeout: Duration::from_secs(5),
            ..options(Protocol::Http1, 1, Some(tls))
        };
        Engine::connect(Target::Tcp(server.address()), 1, options)
    };
    let said = |server: &TlsServer, tls: TlsOptions| connect(server, tls).err().unwrap().to_string();
    let listed = believing(&own, folder.path());
    let mut engine = connect(&server, listed.clone()).unwrap();
    assert_eq!(engine.ask(&small()).unwrap().status, 200);
    let elsewhere = TlsOptions { server_name: "example.org".to_owned(), ..listed.clone() };
    assert!(said(&server, elsewhere).contains("example.org"), "the name is looked at");
    let expired = Certificate::expired_authority();
    let old = TlsServer::start(TlsWay::Answers, &expired, None);
    let words = said(&old, believing(&expired, folder.path()));
    assert!(words.contains("expired"), "{words}");
    let words = said(&server, believing(&other, folder.path()));
    assert!(words.contains("own.pem") && words.contains("--ca"), "file and remedy: {words}");
    let missing = folder.path().join("no.pem");
    let words = said(&server, TlsOptions { trust: Trust::Authorities(missing), ..listed.clone() });
    assert!(words.contains("no.pem") && words.contains("No such file"), "{words}");
    fs::write(folder.path().join("key.pem"), &own.key_pem).unwrap();
    let trust = Trust::Authorities(folder.path().join("key.pem"));
    let words = said(&server, TlsOptions { trust, ..listed });
    assert!(words.contains("key.pem") && words.contains("BEGIN CERTIFICATE"), "{words}");
}

#[test]
fn a_server_that_wants_to_know_its_clients_is_shown_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (own, client, other) = (Certificate::plain(), Certificate::plain(), Certificate::plain());
    let server = TlsServer::start(TlsWay::Answers, &own, Some(&client));
    let listed = believing(&own, folder.path());
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let (certificate, key) = (write("client.pem", &client.pem), write("client.key", &client.key_pem));
    let shown = ClientCertificate { certificate: certificate.clone(), key };
    let known = TlsOptions { client: Some(shown), ..listed.clone() };
    assert_all_right(
        &closed(server.address(), vec![small()], 20, options(Protocol::Http1, 1, Some(known))),
        20,
    );
    let wrong = ClientCertificate { certificate, key: write("other.key", &other.key_pem) };
    let wrong = TlsOptions { client: Some(wrong), ..listed.clone() };
    let error = Engine::new(Target::Tcp(server.address()), 1, options(Protocol::Http1, 1, Some(wrong)))
        .err()
        .unwrap();
    assert!(matches!(&error, LoadError::Tls(words) if words.contains("other.key")), "{error}");
    // TLS 1.3 has the client connected before the server says no.
    let nobody = options(Protocol::Http1, 1, Some(listed));
    let counts = Engine::connect(Target::Tcp(server.address()), 1, nobody)
        .map(|mut engine| engine.ask(&small()).is_ok());
    assert!(!matches!(counts, Ok(true)), "nobody is served without");
}
