//! Broken servers: each fault is counted under its own name, exactly, on both wires and in both load models, with no
//! panic, and the slice ends.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Command,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dyno_load::{
    ClosedSlice, ENDLESS, Engine, EngineOptions, LoadError, OpenSlice, Schedule, WireKind, checks,
};
use dyno_model::{
    Rate,
    load::{Expect, ExpectBody, ExpectStatus, Request, SliceOutcome, Target},
};
use dyno_testkit::faults::{self, Fault, FaultServer, Step};

/// A bound that shows that nothing hangs. No timing: an idle machine needs a fraction of it.
const NO_HANG: Duration = Duration::from_secs(10);
/// A time-out that isn't meant to happen.
const NEVER: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loop {
    Closed,
    Open,
}

#[derive(Clone, Copy, Debug)]
struct Load {
    wire: WireKind,
    model: Loop,
    connections: u32,
    keep_alive: bool,
    connect_timeout: Duration,
    request_timeout: Duration,
    length: Duration,
    per_s: f64,
}

impl Load {
    const fn new(wire: WireKind, model: Loop) -> Self {
        Self {
            wire,
            model,
            connections: 4,
            keep_alive: true,
            connect_timeout: NEVER,
            request_timeout: NEVER,
            length: Duration::from_millis(80),
            per_s: 200.0,
        }
    }

    fn run(&self, target: Target, request: &Request) -> Result<SliceOutcome, LoadError> {
        let options = EngineOptions {
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            keep_alive: self.keep_alive,
            wire: self.wire,
            ..EngineOptions::default()
        };
        self.slice(&mut Engine::new(target, self.connections, options)?, request)
    }

    fn slice(&self, engine: &mut Engine, request: &Request) -> Result<SliceOutcome, LoadError> {
        let (stop, requests) = (AtomicBool::new(false), std::slice::from_ref(request));
        let (connections, length, guard) = (self.connections, self.length, Duration::ZERO);
        match self.model {
            Loop::Closed => {
                let think = Duration::ZERO;
                let slice = ClosedSlice { connections, length, guard, think, requests: None, stop: &stop };
                engine.closed(requests, &mut || 0, slice, &mut |_| {})
            }
            Loop::Open => {
                let schedule = Schedule::uniform(Rate::new_per_s(self.per_s).unwrap(), length, 1);
                let slice = OpenSlice { connections, length, guard, stop: &stop };
                engine.open(requests, &schedule, slice, &mut |_| {})
            }
        }
    }
}

fn get() -> Request {
    Request {
        method: "GET".to_owned(),
        target: "/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        expect: Expect { status: ExpectStatus::Exactly(200), body: ExpectBody::Equal(b"yes".to_vec()) },
    }
}

/// A load on each wire that this machine has, in both models.
fn loads() -> Vec<Load> {
    wires().iter().flat_map(|&wire| [Load::new(wire, Loop::Closed), Load::new(wire, Loop::Open)]).collect()
}

/// Wires that this machine has.
fn wires() -> &'static [WireKind] {
    static WIRES: OnceLock<Vec<WireKind>> = OnceLock::new();
    WIRES.get_or_init(|| {
        let options = EngineOptions { wire: WireKind::Uring, ..EngineOptions::default() };
        let nowhere = Target::Tcp((Ipv4Addr::LOCALHOST, 1).into());
        match Engine::new(nowhere, 1, options) {
            Ok(_) => vec![WireKind::Epoll, WireKind::Uring],
            Err(error) => {
                println!("skipped: the io_uring half, for the kernel has none that is usable: {error}");
                vec![WireKind::Epoll]
            }
        }
    })
}

/// Everything that was counted, by name, without what is 0.
fn names(outcome: &SliceOutcome) -> BTreeMap<&'static str, u64> {
    let (counts, connections) = (outcome.counts, outcome.connections);
    let others = [
        ("completed", counts.completed),
        ("refused", connections.refused),
        ("not_opened_in_time", connections.timed_out),
        ("not_opened", connections.failed),
        ("closed_idle", connections.closed_idle),
        ("unasked", connections.unasked),
    ];
    counts.failed.by_kind().into_iter().chain(others).filter(|(_, count)| *count > 0).collect()
}

fn assert_sums(outcome: &SliceOutcome, what: &str) {
    let counts = outcome.counts;
    assert!(counts.planned > 0, "{what}: {counts:?}");
    assert_eq!(counts.planned, counts.sent + counts.not_sent, "{what}: {counts:?}");
    assert_eq!(counts.sent, counts.completed + counts.failed.total(), "{what}: {counts:?}");
}

/// What was sent is what the server saw, once it had the time to see it.
fn assert_seen(outcome: &SliceOutcome, server: &FaultServer, what: &str) {
    let until = Instant::now() + NO_HANG;
    while server.seen() < outcome.counts.sent && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(outcome.counts.sent, server.seen(), "{what}: sent is what the server saw");
}

/// Nothing but these names was counted, and the first of them was.
fn assert_names(outcome: &SliceOutcome, expected: &[&str], what: &str) {
    assert_only(outcome, expected, what);
    let names = names(outcome);
    assert!(names.contains_key(expected[0]), "{what}: {names:?} has no {}", expected[0]);
}

/// Something was counted, and nothing but these names.
fn assert_only(outcome: &SliceOutcome, expected: &[&str], what: &str) {
    let names = names(outcome);
    assert!(!names.is_empty(), "{what}: nothing was counted");
    assert!(names.keys().all(|name| expected.contains(name)), "{what}: {names:?}, and not {expected:?}");
}

/// What a fault must be counted as.
struct Expected {
    /// Only these names, and the first at least once, unless any will do.
    names: &'static [&'static str],
    /// Any of the names may be the one: the server's close and the first request pass each other.
    any: bool,
    /// The server reads every request that is sent.
    seen: bool,
    /// Requests of this fault time out.
    silent: bool,
    keep_alive: bool,
}

fn expected(fault: &str) -> Expected {
    let only = |names| Expected { names, any: false, seen: true, silent: false, keep_alive: true };
    let silent = |names| Expected { silent: true, ..only(names) };
    // Which end of a race wins isn't known; that no other name appears is.
    let race = |names| Expected { seen: false, ..only(names) };
    match fault {
        "closes at accept" => {
            Expected { any: true, keep_alive: false, ..race(&["reset", "closed", "not_opened"]) }
        }
        "resets at accept" => Expected { any: true, keep_alive: false, ..race(&["reset", "not_opened"]) },
        "closes without an answer" | "says no more instead of an answer" => only(&["closed"]),
        "resets without an answer" | "resets in the head" | "resets in the body" => only(&["reset"]),
        "closes in the status line"
        | "closes in the head"
        | "closes in the body"
        | "closes in a chunk"
        | "closes before the last chunk"
        | "closes after 100"
        | "a length of 2^63"
        | "a length of 2^64 - 1" => only(&["truncated"]),
        "promises keep-alive and closes" | "says no more after an answer" => {
            race(&["completed", "closed_idle", "closed", "reset"])
        }
        "promises keep-alive and resets" => race(&["completed", "closed_idle", "reset"]),
        "never reads" => Expected { seen: false, ..silent(&["timed_out"]) },
        "never answers"
        | "sends fewer bytes than said"
        | "stops in the head"
        | "stops before the last chunk"
        | "stops after 100"
        | "a body without end"
        | "chunks without end"
        | "too slow, byte by byte" => silent(&["timed_out"]),
        "sends more bytes than said"
        | "answers twice at once"
        | "sends a body with 204"
        | "sends a body with 304"
        | "bytes after the last chunk" => only(&["excess"]),
        "a head of 10 MB" | "a head without end" | "blank lines without end" => only(&["head_too_large"]),
        "another status" => only(&["wrong_status"]),
        "another body" | "a thousand chunks of one byte" => only(&["wrong_body"]),
        "the same length twice"
        | "chunks that override a length"
        | "no length"
        | "chunk extensions and trailers"
        | "HTTP/1.0"
        | "three interim answers"
        | "a right answer byte by byte"
        | "chunks byte by byte" => only(&["completed"]),
        "a mail server that greets" => {
            Expected { any: true, keep_alive: false, ..race(&["protocol", "unasked"]) }
        }
        // An answer that was there before the request can't be told from one to it, if it is read after.
        "answers before it is asked" => {
            Expected { any: true, keep_alive: false, ..race(&["completed", "unasked"]) }
        }
        "answers again unasked" => race(&["completed", "unasked", "excess"]),
        "lengths contradict"
        | "a list of lengths"
        | "a length with a sign"
        | "a negative length"
        | "no digits in the length"
        | "a length of 2^64"
        | "gzip in the transfer encoding"
        | "a chunk size of zz"
        | "a negative chunk size"
        | "a huge chunk size"
        | "a chunk size of 17 digits"
        | "no line end after a chunk size"
        | "no line end after a chunk"
        | "bare line feeds between chunks"
        | "an empty chunk size"
        | "a trailer that is none"
        | "a chunk size without end"
        | "trailers without end"
        | "10,000 headers"
        | "NUL in a header"
        | "NUL in a header's name"
        | "a header without a colon"
        | "a folded header"
        | "a space before the colon"
        | "a status of two digits"
        | "a status of 99"
        | "a thousand 100s"
        | "100s without end"
        | "early hints without end"
        | "101"
        | "garbage"
        | "zeros"
        | "HTTP/0.9"
        | "HTTP/2 frames"
        | "an HTTP/2 preface"
        | "HTTP/2.0 in the status line"
        | "a TLS alert"
        | "a mail server" => only(&["protocol"]),
        other => panic!("{other}: say in this table what it must be counted as"),
    }
}

fn fault_is_counted(fault: &Fault, load: Load) {
    let Expected { names, any, seen, silent, keep_alive } = expected(fault.name);
    let request_timeout = if silent { Duration::from_millis(150) } else { NEVER };
    let load = Load { keep_alive, request_timeout, ..load };
    let what = format!("{}, {:?}, {:?}", fault.name, load.wire, load.model);
    let server = FaultServer::tcp(fault.script.clone());
    let begin = Instant::now();
    let outcome = load.run(Target::Tcp(server.address()), &get()).unwrap();
    assert!(begin.elapsed() < load.length + NO_HANG, "{what}: it ended after {:?}", begin.elapsed());
    assert_sums(&outcome, &what);
    if any {
        assert_only(&outcome, names, &what);
    } else {
        assert_names(&outcome, names, &what);
    }
    if seen {
        assert_seen(&outcome, &server, &what);
    }
    let failures = outcome.counts.failed.total() + outcome.counts.not_sent;
    assert_eq!(outcome.wrong_answers.len() as u64, failures.min(10), "{what}: the first ten are kept");
}

fn every_fault(wire: WireKind, model: Loop) {
    if !wires().contains(&wire) {
        return;
    }
    let (faults, next) = (faults::all(), AtomicUsize::new(0));
    // They wait more than they work.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::SeqCst)) {
                    fault_is_counted(fault, Load::new(wire, model));
                }
            });
        }
    });
}

#[test]
fn every_fault_is_counted_under_its_name_in_a_closed_loop_on_epoll() {
    every_fault(WireKind::Epoll, Loop::Closed);
}

#[test]
fn every_fault_is_counted_under_its_name_in_an_open_loop_on_epoll() {
    every_fault(WireKind::Epoll, Loop::Open);
}

#[test]
fn every_fault_is_counted_under_its_name_in_a_closed_loop_on_io_uring() {
    every_fault(WireKind::Uring, Loop::Closed);
}

#[test]
fn every_fault_is_counted_under_its_name_in_an_open_loop_on_io_uring() {
    every_fault(WireKind::Uring, Loop::Open);
}

fn right() -> Vec<Step> {
    vec![Step::Head, Step::Body, Step::Say(faults::RIGHT.to_vec()), Step::Again]
}

#[test]
fn a_listener_that_never_accepts_is_timed_out() {
    for load in loads() {
        let what = format!("{load:?}");
        let server = FaultServer::never_accepts();
        let timeout = Duration::from_millis(150);
        let load = Load { connect_timeout: timeout, request_timeout: timeout, ..load };
        let begin = Instant::now();
        let outcome = load.run(Target::Tcp(server.address()), &get()).unwrap();
        assert!(begin.elapsed() < NO_HANG, "{what}: it ended after {:?}", begin.elapsed());
        assert_sums(&outcome, &what);
        // The kernel makes one or two connections for a listener whose queue is 0 long.
        assert_names(&outcome, &["timed_out", "not_opened_in_time"], &what);
        assert!(outcome.connections.timed_out > 0, "{what}: {:?}", outcome.connections);
        // In an open loop those that waited for a connection when the drain ended aren't sent either.
        match load.model {
            Loop::Closed => assert_eq!(outcome.counts.not_sent, outcome.connections.timed_out, "{what}"),
            Loop::Open => assert!(outcome.counts.not_sent >= outcome.connections.timed_out, "{what}"),
        }
    }
}

#[test]
fn nobody_listens() {
    for load in loads() {
        let address = FaultServer::tcp(right()).address();
        let load = Load { connect_timeout: Duration::from_millis(50), ..load };
        let error = load.run(Target::Tcp(address), &get()).unwrap_err();
        assert!(matches!(error, LoadError::Connect { .. }), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
        // Without keep-alive nothing is opened before the load: each attempt is counted.
        let load = Load { keep_alive: false, ..load };
        let outcome = load.run(Target::Tcp(address), &get()).unwrap();
        assert_sums(&outcome, "nobody listens");
        assert_names(&outcome, &["refused"], "nobody listens");
        assert_eq!(outcome.counts.not_sent, outcome.counts.planned);
        assert_eq!(outcome.connections.refused, outcome.counts.planned);
    }
}

/// With keep-alive all connections are to be open before the load begins. These never are for long.
#[test]
fn connections_that_end_at_once_are_an_error_or_counted() {
    for load in loads() {
        for script in
            [vec![], vec![Step::Reset], vec![Step::Say(b"220 mail.example ESMTP\r\n".to_vec()), Step::Mute]]
        {
            let what = format!("{script:?}, {load:?}");
            let server = FaultServer::tcp(script);
            let load = Load { connect_timeout: Duration::from_millis(200), ..load };
            let begin = Instant::now();
            match load.run(Target::Tcp(server.address()), &get()) {
                Err(error) => assert!(matches!(error, LoadError::Connect { .. }), "{what}: {error}"),
                Ok(outcome) => {
                    assert_sums(&outcome, &what);
                    assert_eq!(outcome.counts.completed, 0, "{what}");
                }
            }
            assert!(begin.elapsed() < NO_HANG, "{what}: it ended after {:?}", begin.elapsed());
        }
    }
}

#[test]
fn an_open_loop_on_a_mute_server_ends_within_its_length_and_the_timeouts() {
    for wire in wires() {
        let server = FaultServer::tcp(vec![Step::Head, Step::Mute]);
        let request_timeout = Duration::from_millis(200);
        let length = Duration::from_millis(500);
        let load = Load { request_timeout, length, ..Load::new(*wire, Loop::Open) };
        let begin = Instant::now();
        let outcome = load.run(Target::Tcp(server.address()), &get()).unwrap();
        // 100 requests on 4 connections are 25 time-outs in a row.
        assert_sums(&outcome, "mute");
        let longest = length + request_timeout * 2 + Duration::from_secs(1);
        assert!(begin.elapsed() < longest, "{wire:?}: it ended after {:?}", begin.elapsed());
    }
}

#[test]
fn a_server_that_goes_away_and_comes_back() {
    for load in loads() {
        let what = format!("{load:?}");
        let first = FaultServer::tcp(right());
        let address = first.address();
        let load = Load { length: Duration::from_millis(1200), ..load };
        let (outcome, seen) = thread::scope(|scope| {
            let servers = scope.spawn(move || {
                while first.seen() < 20 {
                    thread::sleep(Duration::from_millis(1));
                }
                let before = first.end();
                thread::sleep(Duration::from_millis(200));
                let second = FaultServer::at(address, right()).unwrap();
                (before, second)
            });
            let outcome = load.run(Target::Tcp(address), &get()).unwrap();
            let (before, second) = servers.join().unwrap();
            (outcome, before + second.seen())
        });
        assert_sums(&outcome, &what);
        assert_names(
            &outcome,
            &["completed", "refused", "closed", "reset", "closed_idle", "not_opened"],
            &what,
        );
        assert!(outcome.connections.refused > 0, "{what}: {:?}", outcome.connections);
        assert!(seen <= outcome.counts.sent && seen >= outcome.counts.completed, "{what}: {seen}");
        // What was in flight when it went: at most one for each connection, and one more while it ends.
        assert!(outcome.counts.failed.total() <= 8, "{what}: {:?}", outcome.counts);
        assert!(outcome.counts.completed > 20, "{what}: it was used again: {:?}", outcome.counts);
    }
}

#[test]
fn more_connections_than_the_server_takes() {
    for load in loads() {
        let what = format!("{load:?}");
        let server = FaultServer::limited((Ipv4Addr::LOCALHOST, 0).into(), right(), 10).unwrap();
        let timeout = Duration::from_millis(300);
        let load = Load { connections: 50, request_timeout: timeout, per_s: 1000.0, ..load };
        let begin = Instant::now();
        let outcome = load.run(Target::Tcp(server.address()), &get()).unwrap();
        assert!(begin.elapsed() < NO_HANG, "{what}: it ended after {:?}", begin.elapsed());
        assert_sums(&outcome, &what);
        // Forty wait in the listener's queue: connected, and never served.
        assert_names(&outcome, &["completed", "timed_out"], &what);
        assert!(outcome.counts.failed.timed_out >= 40, "{what}: {:?}", outcome.counts);
        assert_eq!(server.accepted().min(10), 10, "{what}");
    }
}

/// Runs itself again where few files may be open: a limit once lowered can't be raised.
#[test]
fn too_few_open_files_for_the_connections() {
    const NAME: &str = "faults::too_few_open_files_for_the_connections";
    const CHILD: &str = "DYNO_TEST_FEW_FILES";
    if std::env::var_os(CHILD).is_none() {
        let script = "ulimit -n 100 && exec \"$0\" --exact \"$1\" --nocapture";
        let test = std::env::current_exe().unwrap();
        let output =
            Command::new("sh").args(["-c", script]).arg(test).arg(NAME).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let server = FaultServer::tcp(right());
    let target = Target::Tcp(server.address());
    for load in loads() {
        let error = Load { connections: 100, ..load }.run(target.clone(), &get()).unwrap_err();
        assert!(matches!(error, LoadError::TooManyConnections { connections: 100, limit: 100 }), "{error}");
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        let outcome = Load { connections: 30, ..load }.run(target.clone(), &get()).unwrap();
        assert_names(&outcome, &["completed"], "as many as may be");
    }
}

/// Files run out in mid-run, for something else in the process has them: counted, and no end of the load.
#[test]
fn no_file_is_left_in_the_middle_of_a_run() {
    const NAME: &str = "faults::no_file_is_left_in_the_middle_of_a_run";
    const CHILD: &str = "DYNO_TEST_NO_FILES";
    if std::env::var_os(CHILD).is_none() {
        let script = "ulimit -n 200 && exec \"$0\" --exact \"$1\" --nocapture";
        let test = std::env::current_exe().unwrap();
        let output =
            Command::new("sh").args(["-c", script]).arg(test).arg(NAME).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    // Nobody is served: the listener's own files are in the way, too.
    let server = FaultServer::never_accepts();
    for load in loads() {
        let options = EngineOptions {
            keep_alive: false,
            wire: load.wire,
            connect_timeout: Duration::from_millis(200),
            ..EngineOptions::default()
        };
        let mut engine = Engine::new(Target::Tcp(server.address()), 4, options).unwrap();
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        let outcome = load.slice(&mut engine, &get()).unwrap();
        drop(taken);
        assert_sums(&outcome, "no files");
        assert_names(&outcome, &["not_opened"], "no files");
        assert_eq!(outcome.counts.not_sent, outcome.counts.planned);
    }
}

const UPLOAD: usize = 5 << 20;

fn upload(status: u16) -> Request {
    Request {
        method: "POST".to_owned(),
        body: (0..UPLOAD).map(|at| at as u8).collect(),
        expect: Expect::status(status),
        ..get()
    }
}

fn answer(status: u16) -> Step {
    Step::Say(format!("HTTP/1.1 {status} X\r\nContent-Length: 3\r\n\r\nyes").into_bytes())
}

#[test]
fn a_large_upload_to_a_server_that_reads_slowly() {
    for load in loads() {
        let what = format!("{load:?}");
        let pause = Duration::from_millis(2);
        let server = FaultServer::tcp(vec![Step::Head, Step::SlowBody(pause), answer(200), Step::Again]);
        let load = Load { per_s: 100.0, ..load };
        let outcome = load.run(Target::Tcp(server.address()), &upload(200)).unwrap();
        assert_sums(&outcome, &what);
        assert_names(&outcome, &["completed"], &what);
        assert_seen(&outcome, &server, &what);
        assert_eq!(outcome.connections.opened, 0, "{what}: a whole upload leaves its connection as it was");
    }
}

#[test]
fn a_large_upload_that_is_refused_at_once_and_the_connection_closed() {
    for load in loads() {
        let what = format!("{load:?}");
        // It closes with the upload unread, which resets: the answer is still there to be read.
        let server = FaultServer::tcp(vec![Step::Head, answer(413), Step::Pause(Duration::from_millis(20))]);
        let outcome = load.run(Target::Tcp(server.address()), &upload(413)).unwrap();
        assert_sums(&outcome, &what);
        assert_names(&outcome, &["completed"], &what);
        assert_seen(&outcome, &server, &what);
    }
}

#[test]
fn a_large_upload_that_is_refused_at_once_and_the_connection_kept() {
    for load in loads() {
        let what = format!("{load:?}");
        let server = FaultServer::tcp(vec![Step::Head, answer(413), Step::Deaf]);
        let outcome = load.run(Target::Tcp(server.address()), &upload(413)).unwrap();
        assert_sums(&outcome, &what);
        // The other half of the upload is in the way of the next request: each has its own connection.
        assert_names(&outcome, &["completed"], &what);
        assert_seen(&outcome, &server, &what);
        assert!(outcome.counts.completed > 4, "{what}: {:?}", outcome.counts);
    }
}

#[test]
fn a_large_upload_to_a_server_that_never_reads() {
    for load in loads() {
        let what = format!("{load:?}");
        let server = FaultServer::tcp(vec![Step::Deaf]);
        let load = Load { request_timeout: Duration::from_millis(200), ..load };
        let begin = Instant::now();
        let outcome = load.run(Target::Tcp(server.address()), &upload(200)).unwrap();
        assert!(begin.elapsed() < NO_HANG, "{what}: it ended after {:?}", begin.elapsed());
        assert_sums(&outcome, &what);
        assert_names(&outcome, &["timed_out"], &what);
    }
}

fn expecting(status: u16) -> Request {
    let headers = vec![("Expect".to_owned(), "100-continue".to_owned())];
    let body = b"a body that waits".to_vec();
    Request { method: "POST".to_owned(), headers, body, expect: Expect::status(status), ..get() }
}

#[test]
fn consent_is_given_refused_or_never_said() {
    for load in loads() {
        let what = format!("{load:?}");
        let consent = Step::Say(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
        let given = FaultServer::tcp(vec![Step::Head, consent, Step::Body, answer(200), Step::Again]);
        let outcome = load.run(Target::Tcp(given.address()), &expecting(200)).unwrap();
        assert_sums(&outcome, &what);
        assert_names(&outcome, &["completed"], &what);
        assert_seen(&outcome, &given, &what);

        // A body that comes anyway would be read as the next request's head, and never be answered.
        let refused = FaultServer::tcp(vec![Step::Head, answer(417), Step::Again]);
        let outcome = load.run(Target::Tcp(refused.address()), &expecting(417)).unwrap();
        assert_sums(&outcome, &what);
        assert_names(&outcome, &["completed"], &what);
        assert_seen(&outcome, &refused, &what);

        let ignored = FaultServer::tcp(vec![Step::Head, Step::Body, answer(200), Step::Again]);
        let load = Load { length: Duration::from_millis(20), ..load };
        let begin = Instant::now();
        let outcome = load.run(Target::Tcp(ignored.address()), &expecting(200)).unwrap();
        assert_sums(&outcome, &what);
        assert_names(&outcome, &["completed"], &what);
        assert_seen(&outcome, &ignored, &what);
        assert!(begin.elapsed() >= Duration::from_millis(900), "{what}: it waited for consent");
    }
}

fn reply(head: &str, body: &[u8]) -> Vec<Step> {
    vec![Step::Head, Step::Say([head.as_bytes(), body].concat()), Step::Again]
}

#[test]
fn bodies_of_sizes_around_the_buffers() {
    let steps = [16 << 10, 64 << 10, 512].into_iter().flat_map(|size| [size - 1, size, size + 1]);
    for size in [0, 1, 1 << 20].into_iter().chain(steps) {
        let body: Vec<u8> = (0..size).map(|at| (at * 7) as u8).collect();
        let sized = reply(&format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"), &body);
        let mut chunks = Vec::new();
        for chunk in body.chunks(10_000) {
            chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            chunks.extend_from_slice(&[chunk, b"\r\n"].concat());
        }
        chunks.extend_from_slice(b"0\r\n\r\n");
        let chunked = reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunks);
        for script in [sized, chunked] {
            let server = FaultServer::tcp(script);
            let mut seen = 0;
            for load in loads() {
                let load = Load { length: Duration::from_millis(20), ..load };
                for body in [ExpectBody::Equal(body.clone()), ExpectBody::Size(size as u64), ExpectBody::Any]
                {
                    let what = format!("{size} bytes, {load:?}");
                    let expect = Expect { status: ExpectStatus::Exactly(200), body };
                    let outcome =
                        load.run(Target::Tcp(server.address()), &Request { expect, ..get() }).unwrap();
                    assert_sums(&outcome, &what);
                    assert_names(&outcome, &["completed"], &what);
                    seen += outcome.counts.sent;
                    assert_eq!(seen, server.seen(), "{what}");
                    assert_eq!(outcome.connections.opened, 0, "{what}: connections are kept");
                }
            }
        }
    }
}

#[test]
fn an_answer_to_head_has_no_body_whatever_its_head_says() {
    for load in loads() {
        let what = format!("{load:?}");
        for head in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
            let server = FaultServer::tcp(reply(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"), b""));
            let request = Request { method: "HEAD".to_owned(), expect: Expect::status(200), ..get() };
            let outcome = load.run(Target::Tcp(server.address()), &request).unwrap();
            assert_sums(&outcome, &what);
            assert_names(&outcome, &["completed"], &what);
            assert_seen(&outcome, &server, &what);
        }
    }
}

#[test]
fn unix_sockets_and_ipv6() {
    let folder = tempfile::tempdir().unwrap();
    for (number, load) in loads().into_iter().enumerate() {
        let what = format!("{load:?}");
        let path = folder.path().join(format!("{number}.sock"));
        let server = FaultServer::unix(&path, right()).unwrap();
        let outcome = load.run(Target::Unix(path.clone()), &get()).unwrap();
        assert_sums(&outcome, &what);
        assert_names(&outcome, &["completed"], &what);
        assert_seen(&outcome, &server, &what);
        drop(server);
        let error = Load { connect_timeout: Duration::from_millis(50), ..load }
            .run(Target::Unix(path.clone()), &get())
            .unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");

        let localhost = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        match FaultServer::at(localhost, right()) {
            Err(error) => println!("skipped: IPv6, for ::1 can't be bound: {error}"),
            Ok(server) => {
                let outcome = load.run(Target::Tcp(server.address()), &get()).unwrap();
                assert_sums(&outcome, &what);
                assert_names(&outcome, &["completed"], &what);
                assert_seen(&outcome, &server, &what);
            }
        }
    }
}

/// Some faults look otherwise on a unix socket: it has no reset on its way, no stamps, and nothing to throw away.
#[test]
fn faults_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "closes in the body",
        "closes without an answer",
        "sends more bytes than said",
        "sends fewer bytes than said",
        "a chunk size of zz",
        "chunks without end",
        "a head of 10 MB",
        "another body",
    ];
    for (number, load) in loads().into_iter().enumerate() {
        for fault in faults::all().into_iter().filter(|fault| names.contains(&fault.name)) {
            let what = format!("{}, {:?}, {:?}", fault.name, load.wire, load.model);
            let path = folder.path().join(format!("{number}-{}", fault.name.replace(' ', "-")));
            let server = FaultServer::unix(&path, fault.script.clone()).unwrap();
            let expected = expected(fault.name);
            let request_timeout = if expected.silent { Duration::from_millis(150) } else { NEVER };
            let outcome = Load { request_timeout, ..load }.run(Target::Unix(path), &get()).unwrap();
            assert_sums(&outcome, &what);
            assert_names(&outcome, expected.names, &what);
            assert_seen(&outcome, &server, &what);
        }
    }
}

#[test]
fn without_keep_alive_each_request_has_its_connection() {
    for load in loads() {
        let what = format!("{load:?}");
        let server = FaultServer::tcp(right());
        let outcome = Load { keep_alive: false, ..load }.run(Target::Tcp(server.address()), &get()).unwrap();
        assert_sums(&outcome, &what);
        assert_names(&outcome, &["completed"], &what);
        assert_seen(&outcome, &server, &what);
        assert_eq!(outcome.counts.sent, server.accepted(), "{what}");
        assert_eq!(outcome.connections.opened, server.accepted(), "{what}");
    }
}

/// One connection that gets bytes faster than they are read must not keep the others waiting.
#[test]
fn a_flood_on_one_connection_does_not_starve_the_others() {
    for load in loads() {
        let what = format!("{load:?}");
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        // Small chunks are read more slowly than they are written.
        let flood = Step::Flood(b"1\r\nx\r\n".repeat(10_000));
        let server = FaultServer::first_then(vec![Step::Head, Step::Say(head), flood], right());
        let load = Load { request_timeout: Duration::from_secs(1), ..load };
        let begin = Instant::now();
        let outcome = load.run(Target::Tcp(server.address()), &get()).unwrap();
        assert!(begin.elapsed() < NO_HANG, "{what}: it ended after {:?}", begin.elapsed());
        assert_sums(&outcome, &what);
        assert_names(&outcome, &["completed", "timed_out"], &what);
        assert_eq!(outcome.counts.failed.timed_out, 1, "{what}: {:?}", outcome.counts);
    }
}

/// RFC 9112, 9.6: who asks for the end doesn't use the connection again, also when the server doesn't say it back.
#[test]
fn a_request_that_asks_for_the_end_of_its_connection_has_its_own() {
    for load in loads() {
        for value in ["close", "Close", "x-other, close"] {
            let what = format!("{value}, {load:?}");
            let server = FaultServer::tcp(vec![Step::Head, Step::Say(faults::RIGHT.to_vec())]);
            let headers = vec![("connection".to_owned(), value.to_owned())];
            let outcome = load.run(Target::Tcp(server.address()), &Request { headers, ..get() }).unwrap();
            assert_sums(&outcome, &what);
            assert_names(&outcome, &["completed"], &what);
            assert_seen(&outcome, &server, &what);
        }
    }
}

/// An answer after its time is a time-out, whatever tick found it.
#[test]
fn a_time_out_is_exact() {
    for load in loads() {
        let what = format!("{load:?}");
        // Ticks of 50 ms would take most of these for right.
        let (timeout, pause) = (Duration::from_millis(20), Duration::from_millis(25));
        let server = FaultServer::tcp(vec![Step::Head, Step::Pause(pause), answer(200), Step::Again]);
        let load = Load { request_timeout: timeout, length: Duration::from_millis(400), per_s: 50.0, ..load };
        let outcome = load.run(Target::Tcp(server.address()), &get()).unwrap();
        assert_sums(&outcome, &what);
        assert_only(&outcome, &["timed_out"], &what);
        // Beside the time-out there is what the engine waits for a connection in a closed loop: nothing here.
        let p50_ns = outcome.latency.quantile_ns(0.5).unwrap();
        assert!(p50_ns >= timeout.as_nanos() as u64 * 999 / 1000, "{what}: {p50_ns}");
        assert!(
            p50_ns < pause.as_nanos() as u64,
            "{what}: as long as its time-out, and no tick longer: {p50_ns}"
        );
        let slow = Load { request_timeout: NEVER, ..load };
        let outcome = slow.run(Target::Tcp(server.address()), &get()).unwrap();
        assert_only(&outcome, &["completed"], &what);
    }
}

#[test]
fn a_stop_gives_up_what_a_mute_server_has_and_counts_it() {
    for load in loads() {
        let what = format!("{load:?}");
        let server = FaultServer::tcp(vec![Step::Head, Step::Mute]);
        let options = EngineOptions {
            request_timeout: Duration::from_millis(300),
            wire: load.wire,
            ..EngineOptions::default()
        };
        let mut engine = Engine::new(Target::Tcp(server.address()), 4, options).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        engine.on_stop(Box::new(move |in_flight, patience| {
            telling.lock().unwrap().push((in_flight, patience))
        }));
        let stop = AtomicBool::new(false);
        let (guard, length) = (Duration::ZERO, Duration::from_secs(600));
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                while server.seen() < 4 {
                    thread::sleep(Duration::from_millis(1));
                }
                stop.store(true, Ordering::Relaxed);
            });
            match load.model {
                Loop::Closed => {
                    let think = Duration::ZERO;
                    let slice =
                        ClosedSlice { connections: 4, length, guard, think, requests: None, stop: &stop };
                    engine.closed(&[get()], &mut || 0, slice, &mut |_| {}).unwrap()
                }
                Loop::Open => {
                    let schedule = Schedule::uniform(Rate::new_per_s(1000.0).unwrap(), length, 1);
                    let slice = OpenSlice { connections: 4, length, guard, stop: &stop };
                    engine.open(&[get()], &schedule, slice, &mut |_| {}).unwrap()
                }
            }
        });
        assert_sums(&outcome, &what);
        let failed = outcome.counts.failed;
        assert_eq!(failed.stopped + failed.timed_out, outcome.counts.sent, "{what}: {:?}", outcome.counts);
        assert_eq!(
            told.lock().unwrap().as_slice(),
            [(4, Duration::from_millis(300))],
            "{what}: it is told once"
        );
        assert_eq!(checks::g5(&outcome), None, "{what}");
    }
}

static NOW: AtomicBool = AtomicBool::new(false);

#[test]
fn a_second_stop_waits_for_nothing() {
    NOW.store(true, Ordering::Relaxed);
    for load in loads() {
        let what = format!("{load:?}");
        let server = FaultServer::tcp(vec![Step::Head, Step::Mute]);
        let options = EngineOptions {
            request_timeout: NEVER,
            wire: load.wire,
            end_now: Some(&NOW),
            ..EngineOptions::default()
        };
        let mut engine = Engine::new(Target::Tcp(server.address()), 4, options).unwrap();
        let stop = AtomicBool::new(false);
        let slice = ClosedSlice {
            connections: 4,
            length: Duration::from_secs(600),
            guard: Duration::ZERO,
            think: Duration::ZERO,
            requests: None,
            stop: &stop,
        };
        let begin = Instant::now();
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                while server.seen() < 4 {
                    thread::sleep(Duration::from_millis(1));
                }
                stop.store(true, Ordering::Relaxed);
            });
            engine.closed(&[get()], &mut || 0, slice, &mut |_| {}).unwrap()
        });
        assert_sums(&outcome, &what);
        assert_eq!((outcome.counts.failed.stopped, outcome.latency.count()), (4, 0), "{what}");
        assert!(begin.elapsed() < NEVER, "{what}: it waited for the time-out");
    }
}

/// A rate that nobody can reach: what can't be sent is counted, in the same memory, and the slice ends.
#[test]
fn a_rate_beyond_reach_ends_and_counts_what_was_not_sent() {
    for wire in wires() {
        let server = FaultServer::tcp(right());
        for poisson in [false, true] {
            let (length, rate) = (Duration::from_millis(200), Rate::new_per_s(1e9).unwrap());
            let options = EngineOptions {
                request_timeout: Duration::from_millis(100),
                wire: *wire,
                ..EngineOptions::default()
            };
            let mut engine = Engine::new(Target::Tcp(server.address()), 4, options).unwrap();
            let schedule = if poisson {
                Schedule::poisson(rate, length, 1, 1)
            } else {
                Schedule::uniform(rate, length, 1)
            };
            let stop = AtomicBool::new(false);
            let slice = OpenSlice { connections: 4, length, guard: Duration::ZERO, stop: &stop };
            let begin = Instant::now();
            let outcome = engine.open(&[get()], &schedule, slice, &mut |_| {}).unwrap();
            assert!(begin.elapsed() < NO_HANG, "it ended after {:?}", begin.elapsed());
            assert_sums(&outcome, "beyond reach");
            let planned = outcome.counts.planned as f64;
            assert!((planned / 2e8 - 1.0).abs() < 0.001, "{planned}");
            assert!(outcome.counts.not_sent > outcome.counts.sent * 10, "{:?}", outcome.counts);
            assert_eq!(outcome.latency.count(), outcome.counts.planned, "with their ages");
            assert!(outcome.backlog > 100_000_000, "{}", outcome.backlog);
            assert_eq!(checks::g1(&outcome).unwrap().id, "G1");
        }
    }
}

#[test]
fn a_stop_in_a_long_schedule_walks_over_nothing() {
    let server = FaultServer::tcp(right());
    for (poisson, limit) in [(false, u64::MAX), (true, u64::MAX), (true, 1_000_000_000)] {
        let day = Duration::from_secs(24 * 3600);
        let rate = Rate::new_per_s(20_000.0).unwrap();
        let schedule =
            if poisson { Schedule::poisson(rate, day, 1, 1) } else { Schedule::uniform(rate, day, 1) };
        let stop = AtomicBool::new(true);
        let slice = OpenSlice { connections: 4, length: day, guard: Duration::ZERO, stop: &stop };
        let mut engine = Engine::new(Target::Tcp(server.address()), 4, EngineOptions::default()).unwrap();
        let begin = Instant::now();
        let outcome = engine.open(&[get()], &schedule.limit(limit), slice, &mut |_| {}).unwrap();
        assert_sums(&outcome, "a day");
        let planned = outcome.counts.planned as f64;
        let all = (20_000.0 * 24.0 * 3600.0_f64).min(limit as f64);
        assert!((planned / all - 1.0).abs() < 0.001, "{planned}");
        assert!(begin.elapsed() < NO_HANG, "{:?}", begin.elapsed());
        assert_eq!(checks::g5(&outcome), None);
    }
}

#[test]
fn a_number_of_requests_at_a_rate_is_measured_to_its_last_answer() {
    for wire in wires() {
        let server = FaultServer::tcp(right());
        for count in [1, 7] {
            let options = EngineOptions { wire: *wire, ..EngineOptions::default() };
            let mut engine = Engine::new(Target::Tcp(server.address()), 4, options).unwrap();
            let rate = Rate::new_per_s(100.0).unwrap();
            let schedule = Schedule::uniform(rate, ENDLESS, 1).limit(count);
            let stop = AtomicBool::new(false);
            let slice = OpenSlice { connections: 4, length: ENDLESS, guard: Duration::ZERO, stop: &stop };
            let outcome = engine.open(&[get()], &schedule, slice, &mut |_| {}).unwrap();
            assert_eq!((outcome.counts.completed, outcome.window_completed), (count, count));
            // It begins when the thread runs, which may be later than the first is due.
            assert!(outcome.window_ns > (count - 1) * 5_000_000, "{}", outcome.window_ns);
        }
    }
}
