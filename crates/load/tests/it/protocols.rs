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
    Choice, Drive, DriveModel, Driven, Engine, EngineOptions, LoadError, Protocol, Schedule, TlsOptions,
    Trust, drive,
};
use dyno_model::{
    Rate,
    load::{Expect, ExpectBody, ExpectStatus, Request, Target},
};
use dyno_provision::{Context, Home, nginx};

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
        TlsOptions { server_name: "localhost".to_owned(), trust }
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
    // A request that crosses the goodbye on its way is not answered: it is counted as closed, by name.
    assert_eq!(counts.failed.total(), counts.failed.closed + counts.failed.reset, "{counts:?}");
    assert!(counts.completed > 800, "{counts:?} {:?}", outcome.wrong_answers);
    assert!(outcome.connections.opened >= 5, "{:?}", outcome.connections);
}

#[test]
fn a_certificate_that_nobody_believes_is_an_error_unless_anybody_will_do() {
    let nginx = Nginx::start("");
    let stranger = TlsOptions { server_name: "localhost".to_owned(), trust: Trust::System };
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
