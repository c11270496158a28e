//! The truth server as a process: exact counts, what it records, and that nothing of it is left.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use dyno_model::Span;
use dyno_truth::{
    child::TruthServer,
    scenario::{Lock, Script},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_truth-server");

fn start(script: &Script) -> TruthServer {
    TruthServer::start(Path::new(PROGRAM), &[], script).unwrap()
}

fn connect(server: &TruthServer) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

fn request(number: u64) -> String {
    format!("GET /?k={number} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// Reads until so many answers came.
fn answers(stream: &mut TcpStream, count: usize) -> usize {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while text.matches("\r\n\r\nyes").count() < count {
        let got = stream.read(&mut buffer).unwrap();
        assert!(got > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..got]).unwrap());
    }
    text.matches("HTTP/1.1 200 OK").count()
}

#[test]
fn pipelined_requests_on_many_connections_are_each_counted_and_recorded_once() {
    let server = start(&Script::Plain);
    let mut streams: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
    for (index, stream) in streams.iter_mut().enumerate() {
        let text: String = (0..4).map(|part| request(index as u64 * 4 + part)).collect();
        // In two pieces, so that a request is cut in the middle.
        stream.write_all(&text.as_bytes()[..50]).unwrap();
        thread::sleep(Duration::from_millis(1));
        stream.write_all(&text.as_bytes()[50..]).unwrap();
    }
    assert_eq!(streams.iter_mut().map(|stream| answers(stream, 4)).sum::<usize>(), 200);
    let counts = server.counts().unwrap();
    assert_eq!((counts.requests, counts.answered, counts.in_flight), (200, 200, 0));
    assert_eq!((counts.connections, counts.bad, counts.unstamped), (50, 0, 0), "{counts:?}");
    let records = server.records().unwrap();
    let mut numbers: Vec<u64> = records.iter().map(|record| record.number.unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    for record in records {
        assert!(record.received_ns <= record.begun_ns && record.begun_ns <= record.written_ns, "{record:?}");
        assert!(record.due_ns <= record.begun_ns, "never early");
    }
    assert_eq!(server.arrivals(1000.0).unwrap().unwrap().requests, 200);
    assert_eq!(server.latency().unwrap().sojourn.count, 200);
    assert_eq!(server.stop().unwrap(), counts, "what it prints at its end is what it told");
}

#[test]
fn an_answer_waits_as_long_as_the_script_says_and_the_freeze_holds_all() {
    let script = Script::Stall {
        stall: Span::milliseconds(300),
        every: Span::milliseconds(600),
        service: Span::milliseconds(2),
        lock: Lock::First,
    };
    let server = start(&script);
    let mut stream = connect(&server);
    for number in 0..60 {
        stream.write_all(request(number).as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    answers(&mut stream, 60);
    let records = server.records().unwrap();
    let first_ns = records[0].received_ns;
    for record in &records {
        let at_ms = (record.received_ns - first_ns) / 1_000_000 % 600;
        let frozen = (150..450).contains(&at_ms);
        let wait_ns = record.due_ns - record.received_ns;
        assert!(wait_ns >= 2_000_000, "{record:?}");
        // On one connection an answer also waits for the one before it.
        assert!(frozen || wait_ns <= 3_000_000 || (450..460).contains(&at_ms), "{at_ms} {record:?}");
    }
    let frozen = records.iter().filter(|record| record.due_ns - record.received_ns > 10_000_000).count();
    assert!((15..=35).contains(&frozen), "half of the time it is frozen: {frozen}");
}

#[test]
fn a_reset_begins_anew_and_what_was_in_flight_is_in_no_count() {
    let slow =
        Script::Slow { one_in: 2, slow: Span::milliseconds(300), service: Span::milliseconds(300), seed: 1 };
    let server = start(&slow);
    let mut stream = connect(&server);
    stream.write_all(request(1).as_bytes()).unwrap();
    while server.counts().unwrap().requests == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    server.reset().unwrap();
    assert_eq!(answers(&mut stream, 1), 1, "it is answered all the same");
    let counts = server.counts().unwrap();
    assert_eq!((counts.requests, counts.answered, counts.in_flight, counts.connections), (0, 0, 0, 1));
    stream.write_all(request(2).as_bytes()).unwrap();
    answers(&mut stream, 1);
    assert_eq!(server.records().unwrap().len(), 1);
}

#[test]
fn what_leaves_before_its_answer_is_abandoned_and_garbage_is_bad() {
    let slow = Script::Slow { one_in: 2, slow: Span::seconds(60), service: Span::seconds(60), seed: 1 };
    let server = start(&slow);
    let mut stream = connect(&server);
    stream.write_all(request(1).as_bytes()).unwrap();
    let mut garbage = connect(&server);
    garbage.write_all(b"EHLO example\r\n\r\n").unwrap();
    assert_eq!(garbage.read(&mut [0; 10]).unwrap_or(0), 0, "closed");
    while server.counts().unwrap().requests == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    drop(stream);
    let counts = loop {
        let counts = server.counts().unwrap();
        if counts.in_flight == 0 {
            break counts;
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!((counts.requests, counts.answered, counts.abandoned, counts.bad), (1, 0, 1, 1));
}

#[test]
fn wrong_scripts_are_refused_with_an_example() {
    let output = Command::new(PROGRAM).args(["stall", "--stall", "5s", "--every", "1s"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("--every 1s") && told.contains("for instance"), "{told}");
}

#[test]
fn it_dies_with_the_process_that_started_it() {
    // A parent that isn't its own: it ends at once.
    let status = Command::new(PROGRAM)
        .args(["plain", "--listen", "127.0.0.1:0", "--parent", "1"])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
    // A dropped one leaves nobody at its port.
    let server = start(&Script::Plain);
    let address = server.address();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}
