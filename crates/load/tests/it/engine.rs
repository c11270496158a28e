//! Exact counts at both ends, and latencies against servers whose truth is known.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use dyno_load::{
    Choice, ClosedSlice, Drive, DriveModel, Engine, EngineOptions, LoadError, Mark, News, OpenSlice, Pacing,
    Schedule, checks, drive,
};
use dyno_model::{
    Rate,
    load::{Expect, ExpectBody, ExpectStatus, Failures, Request, SliceOutcome, Target},
};
use dyno_testkit::{FakeServer, Reply};

fn get(target: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        expect: Expect { status: ExpectStatus::Exactly(200), body: ExpectBody::Equal(b"yes".to_vec()) },
    }
}

fn yes() -> Reply {
    Reply::Answer(200, "text/plain", b"yes".to_vec())
}

fn engine(server: &FakeServer, connections: u32, timeout_ms: u64) -> Engine {
    let options = EngineOptions {
        connect_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_millis(timeout_ms),
        ..EngineOptions::default()
    };
    Engine::connect(Target::Tcp(server.address()), connections, options).unwrap()
}

fn closed(engine: &mut Engine, connections: u32, length_ms: u64) -> SliceOutcome {
    let slice = ClosedSlice {
        connections,
        length: Duration::from_millis(length_ms),
        guard: Duration::from_millis(length_ms / 5),
        think: Duration::ZERO,
        requests: None,
        stop: &AtomicBool::new(false),
    };
    engine.closed(&[get("/")], &mut || 0, slice, &mut |_| {}).unwrap()
}

fn open(engine: &mut Engine, connections: u32, schedule: &Schedule, length_ms: u64) -> SliceOutcome {
    let slice = OpenSlice {
        connections,
        length: Duration::from_millis(length_ms),
        guard: Duration::ZERO,
        stop: &AtomicBool::new(false),
    };
    engine.open(&[get("/")], schedule, slice, &mut |_| {}).unwrap()
}

fn uniform(rate: f64, length_ms: u64) -> Schedule {
    Schedule::uniform(Rate::new_per_s(rate).unwrap(), Duration::from_millis(length_ms), 1)
}

fn assert_exact(outcome: &SliceOutcome, server: &FakeServer) {
    let counts = outcome.counts;
    assert_eq!(counts.planned, counts.sent + counts.not_sent, "{counts:?}");
    assert_eq!(counts.sent, counts.completed + counts.failed.total(), "{counts:?}");
    assert_eq!(counts.sent, server.seen(), "sent is what the server saw");
}

#[test]
fn a_closed_loop_counts_exactly() {
    let server = FakeServer::start(|_| yes());
    let mut engine = engine(&server, 8, 1000);
    let outcome = closed(&mut engine, 8, 200);
    assert_exact(&outcome, &server);
    assert_eq!(outcome.counts.failed, Failures::default());
    assert!(outcome.counts.completed > 50, "{:?}", outcome.counts);
    assert!(outcome.window_completed <= outcome.counts.completed && outcome.window_completed > 0);
    assert_eq!(outcome.latency.count(), outcome.window_completed);
    assert_eq!(checks::g5(&outcome), None);
}

#[test]
fn an_open_loop_counts_exactly_and_keeps_its_connections() {
    let server = FakeServer::start(|_| yes());
    let mut engine = engine(&server, 4, 1000);
    for _ in 0..3 {
        let before = server.seen();
        let outcome = open(&mut engine, 4, &uniform(500.0, 200), 200);
        assert_eq!((outcome.counts.planned, server.seen() - before), (100, 100));
        assert_eq!((outcome.counts.completed, outcome.latency.count()), (100, 100));
        assert_eq!(outcome.reconnects, 0);
        assert_eq!((checks::g1(&outcome), checks::g5(&outcome)), (None, None));
    }
}

#[test]
fn every_kind_of_wrong_answer_is_counted_as_what_it_is() {
    let server = FakeServer::start(|seen| match seen.number {
        0 => Reply::Answer(500, "text/plain", b"yes".to_vec()),
        1 => Reply::Answer(200, "text/plain", b"no!".to_vec()),
        2 => Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal".to_vec()),
        3 => Reply::RawThenClose(b"220 mail.example ESMTP\r\n\r\n".to_vec()),
        4 => Reply::Silence,
        5 => Reply::RawThenClose(b"HTTP/1.1 200 OK\r\n\r\nyes".to_vec()),
        6 => Reply::Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n2\r\nes\r\n0\r\n\r\n".to_vec(),
        ),
        _ => yes(),
    });
    let mut engine = engine(&server, 1, 150);
    let outcome = open(&mut engine, 1, &uniform(100.0, 100), 100);
    assert_exact(&outcome, &server);
    let failed = Failures {
        timed_out: 1,
        truncated: 1,
        protocol: 1,
        wrong_status: 1,
        wrong_body: 1,
        ..Failures::default()
    };
    assert_eq!(outcome.counts.failed, failed);
    assert_eq!(outcome.counts.completed, 5);
    assert_eq!(outcome.reconnects, 4);
    assert_eq!(outcome.latency.count(), 10, "failures are in the histogram too");
    assert!(outcome.latency.max_ns().unwrap() >= 150_000_000, "as the timeout or longer");
    let kinds: Vec<&str> = outcome.wrong_answers.iter().map(|wrong| wrong.kind.as_str()).collect();
    assert_eq!(kinds.len(), 5);
    assert!(kinds[1].contains("body"), "{kinds:?}");
    assert_eq!(outcome.wrong_answers[1].body, "no!");
}

#[test]
fn a_connection_closed_while_idle_is_opened_again_before_the_slice() {
    let server = FakeServer::start(|seen| {
        if seen.number < 4 {
            Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes".to_vec())
        } else {
            yes()
        }
    });
    let mut engine = engine(&server, 4, 1000);
    let first = open(&mut engine, 4, &uniform(400.0, 10), 10);
    assert_eq!(first.counts.completed, 4);
    thread::sleep(Duration::from_millis(50));
    let second = open(&mut engine, 4, &uniform(400.0, 20), 20);
    assert_eq!((second.counts.completed, second.counts.failed.total()), (8, 0));
}

/// A server that freezes: with uniform arrivals the truth is known (METHOD, part IV): the requests due
/// during the freeze wait for its end, whatever the number of connections.
#[test]
fn a_freeze_is_in_the_latencies_with_few_connections_as_with_many() {
    const FREEZE_MS: u64 = 400;
    for connections in [2, 50] {
        let frozen = Mutex::new(());
        let server = FakeServer::start(move |seen| {
            if seen.number == 100 {
                let _freeze = frozen.lock().unwrap();
                thread::sleep(Duration::from_millis(FREEZE_MS));
            } else {
                drop(frozen.lock().unwrap());
            }
            yes()
        });
        let mut engine = engine(&server, connections, 10_000);
        let outcome = open(&mut engine, connections, &uniform(500.0, 2000), 2000);
        assert_exact(&outcome, &server);
        // 200 of 1,000 requests are due in the freeze; the median of their waits is half of it.
        let p90_ms = outcome.latency.quantile_ns(0.9).unwrap() as f64 / 1e6;
        assert!(
            (0.4..0.75).contains(&(p90_ms / FREEZE_MS as f64)),
            "{connections} connections: p90 {p90_ms} ms"
        );
        let p50_ms = outcome.latency.quantile_ns(0.5).unwrap() as f64 / 1e6;
        assert!(p50_ms < FREEZE_MS as f64 / 10.0, "p50 {p50_ms} ms");
        if connections == 2 {
            assert!(outcome.blocked.max_ns().unwrap() > FREEZE_MS * 500_000, "they waited for a connection");
        }
        assert_eq!(checks::g5(&outcome), None);
    }
}

#[test]
fn stopping_counts_what_was_not_sent() {
    let server = FakeServer::start(|_| yes());
    let mut engine = engine(&server, 2, 1000);
    let stop = AtomicBool::new(false);
    let slice =
        OpenSlice { connections: 2, length: Duration::from_secs(60), guard: Duration::ZERO, stop: &stop };
    let schedule = uniform(100.0, 60_000);
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            stop.store(true, Ordering::Relaxed);
        });
        engine.open(&[get("/")], &schedule, slice, &mut |_| {}).unwrap()
    });
    assert_exact(&outcome, &server);
    assert!(outcome.counts.not_sent > 5000 && outcome.counts.sent > 0, "{:?}", outcome.counts);
    assert_eq!(checks::g1(&outcome).unwrap().id, "G1");
}

#[test]
fn a_slice_that_is_stopped_in_its_guard_has_no_window() {
    let stop = Arc::new(AtomicBool::new(false));
    let stopper = Arc::clone(&stop);
    // The answer comes when the guard would be long over.
    let server = FakeServer::start(move |_| {
        stopper.store(true, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(300));
        yes()
    });
    let mut engine = engine(&server, 1, 5000);
    let (length, guard) = (Duration::from_secs(60), Duration::from_millis(150));
    let mut marks = Vec::new();
    let slice = OpenSlice { connections: 1, length, guard, stop: &stop };
    let schedule = uniform(100.0, 60_000);
    let outcome = engine.open(&[get("/")], &schedule, slice, &mut |mark| marks.push(mark)).unwrap();
    assert_eq!((outcome.window_ns, outcome.window_completed, marks.len()), (0, 0, 0));
    assert_exact(&outcome, &server);
    stop.store(false, Ordering::Relaxed);
    let slice =
        ClosedSlice { connections: 1, length, guard, think: Duration::ZERO, requests: None, stop: &stop };
    let outcome = engine.closed(&[get("/")], &mut || 0, slice, &mut |mark| marks.push(mark)).unwrap();
    assert_eq!((outcome.window_ns, outcome.window_completed, marks.len()), (0, 0, 0));
    assert_eq!(outcome.counts.completed, 1, "what was sent is waited for");
}

#[test]
fn marks_come_once_and_in_order() {
    let server = FakeServer::start(|_| yes());
    let mut engine = engine(&server, 2, 1000);
    let mut marks = Vec::new();
    let slice = ClosedSlice {
        connections: 2,
        length: Duration::from_millis(100),
        guard: Duration::from_millis(20),
        think: Duration::ZERO,
        requests: None,
        stop: &AtomicBool::new(false),
    };
    let outcome = engine.closed(&[get("/")], &mut || 0, slice, &mut |mark| marks.push(mark)).unwrap();
    assert_eq!(marks, [Mark::WindowBegin, Mark::WindowEnd]);
    assert!((70_000_000..100_000_000).contains(&outcome.window_ns), "{}", outcome.window_ns);
}

#[test]
fn a_port_where_nobody_listens_is_an_error_that_names_it() {
    let address = FakeServer::start(|_| yes()).address();
    thread::sleep(Duration::from_millis(20));
    let options = EngineOptions { connect_timeout: Duration::from_millis(50), ..EngineOptions::default() };
    let error = Engine::connect(Target::Tcp(address), 1, options).err().unwrap();
    assert!(matches!(error, LoadError::Connect { .. }));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn asking_once_gives_the_whole_answer() {
    let server = FakeServer::start(|seen| Reply::Answer(201, "text/plain", seen.body.clone()));
    let mut engine = engine(&server, 1, 1000);
    let body = vec![b'x'; 200_000];
    let request = Request { method: "POST".to_owned(), body: body.clone(), ..get("/echo") };
    let answer = engine.ask(&request).unwrap();
    assert_eq!((answer.status, answer.body == body), (201, true));
    assert!(answer.head.contains("Content-Type: text/plain"));
}

fn drive_of(server: &FakeServer, threads: u32, model: DriveModel) -> Drive {
    Drive {
        target: Target::Tcp(server.address()),
        requests: vec![get("/")],
        model,
        connections: 5,
        threads,
        options: EngineOptions::default(),
        guard: Duration::ZERO,
        every: Duration::from_millis(100),
    }
}

#[test]
fn threads_share_one_schedule_and_their_intervals_are_the_whole() {
    let server = FakeServer::start(|_| yes());
    let rate = Rate::new_per_s(2000.0).unwrap();
    let schedule = Schedule::poisson(rate, Duration::from_secs(1), 1, 7);
    let planned = schedule.count_rest();
    for threads in [1, 3] {
        let before = server.seen();
        let (mut told, mut intervals, mut measured) = (0, 0, 0);
        let plan = drive_of(&server, threads, DriveModel::Open { schedule: schedule.clone() });
        let driven = drive(&plan, &AtomicBool::new(false), &mut |news| {
            let News::Interval(interval) = news else { return };
            told += interval.counts.completed;
            intervals += 1;
            measured += u32::from(interval.measured);
        })
        .unwrap();
        let counts = driven.outcome.counts;
        assert_eq!((counts.planned, counts.completed), (planned, planned), "{threads} threads");
        assert_eq!(server.seen() - before, planned);
        assert_eq!((told, driven.threads.len()), (planned, threads as usize));
        assert_eq!(driven.outcome.latency.count(), planned);
        // Intervals of all threads have the same borders: there are ten, and one for the drain.
        assert!((10..=12).contains(&intervals), "{intervals}");
        assert_eq!(measured, 10, "without a guard the first is measured, and the drain isn't");
        assert!(driven.outcome.pacing.unwrap().gaps == planned - 1);
    }
}

#[test]
fn a_number_of_requests_is_kept_exactly_over_threads() {
    let server = FakeServer::start(|_| yes());
    let model = DriveModel::Closed {
        length: Duration::MAX,
        think: Duration::ZERO,
        requests: Some(101),
        choice: Choice::uniform(1),
        seed: 1,
    };
    let plan = drive_of(&server, 2, model);
    let driven = drive(&plan, &AtomicBool::new(false), &mut |_| {}).unwrap();
    assert_eq!((driven.outcome.counts.completed, server.seen()), (101, 101));
    assert_eq!(driven.outcome.latency.count(), 101, "measured to the last answer");
}

/// Gathered requests go out together, none before its time and none later than the bound; what that moved is told, and in
/// no latency.
#[test]
fn gathered_requests_are_all_sent_and_what_was_moved_is_told() {
    let server = FakeServer::start(|_| yes());
    let bound = Duration::from_millis(20);
    for pacing in [Pacing::Tick(bound), Pacing::Within(bound)] {
        let before = server.seen();
        let options = EngineOptions { pacing, ..EngineOptions::default() };
        let mut engine = Engine::connect(Target::Tcp(server.address()), 64, options).unwrap();
        let schedule = Schedule::poisson(Rate::new_per_s(500.0).unwrap(), Duration::from_secs(1), 1, 5);
        let outcome = open(&mut engine, 64, &schedule, 1000);
        let planned = schedule.count_rest();
        assert_eq!((outcome.counts.completed, server.seen() - before), (planned, planned), "{pacing:?}");
        assert_eq!((outcome.gathered.count(), outcome.latency_from_schedule.count()), (planned, planned));
        let most_ns = outcome.gathered.max_ns().unwrap();
        assert!((10_000_000..=20_100_000).contains(&most_ns), "{pacing:?}: {most_ns}");
        let from_ns = outcome.latency_from_schedule.mean_ns().unwrap() - outcome.latency.mean_ns().unwrap();
        let moved_ns = outcome.gathered.mean_ns().unwrap();
        assert!((from_ns / moved_ns - 1.0).abs() < 0.05, "{pacing:?}: {from_ns} of {moved_ns}");
        assert_eq!((checks::g1(&outcome), checks::g5(&outcome)), (None, None));
        assert_eq!(
            outcome.pacing.unwrap().gaps,
            planned - 1,
            "G3 looks at the schedule, apart from what was moved"
        );
    }
    let mut exact = engine(&server, 4, 1000);
    let outcome = open(&mut exact, 4, &uniform(500.0, 100), 100);
    assert_eq!((outcome.gathered.count(), outcome.latency_from_schedule.count()), (0, 0), "runs stay exact");
}
