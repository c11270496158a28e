//! `dyno load` on servers that count what they saw.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use dyno_model::output::{LatencyKind, LoadOutput, SelfCheckOutcome};
use dyno_testkit::{FakeServer, Reply};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    },
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn server() -> FakeServer {
    FakeServer::start(|seen| match seen.target.as_str() {
        "/wrong" => Reply::Answer(500, "text/plain", b"broken".to_vec()),
        "/echo" => Reply::Answer(200, "text/plain", seen.body.clone()),
        _ => Reply::Answer(200, "application/json", b"{\"a\":1,\"b\":2}".to_vec()),
    })
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dyno"));
    command.arg("load").args(arguments).stdin(Stdio::null());
    command
}

fn dyno(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> (LoadOutput, Option<i32>) {
    let output = dyno(&[arguments, &["--format", "json", "--quiet"]].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}")), output.status.code())
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_counts_are_those_of_the_server_in_both_models_and_over_threads() {
    let server = server();
    let url = format!("http://{}/", server.address());
    let (closed, code) = json(&[&url, "-c", "4", "-n", "1000", "--threads", "2"]);
    assert_eq!((closed.planned, closed.sent, closed.completed, server.seen()), (1000, 1000, 1000, 1000));
    assert_eq!((code, closed.latency_kind, closed.failed.total()), (Some(0), LatencyKind::ServiceTime, 0));
    assert!(closed.load.contains("closed loop") && closed.late_us.count == 0);
    let (open, code) = json(&[&url, "-c", "4", "--rate", "400/s", "-d", "2s"]);
    assert_eq!((open.latency_kind, code), (LatencyKind::FromDue, Some(0)));
    assert_eq!(server.seen(), 1000 + open.sent);
    assert_eq!((open.planned, open.completed, open.late_us.count), (open.sent, open.sent, open.sent));
    assert!((600..1000).contains(&open.sent), "{}", open.sent);
    let ids: Vec<&str> = open.checks.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(ids, ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"]);
    assert!(open.checks.iter().all(|check| !check.words.is_empty()));
    assert_eq!(open.checks[0].outcome, SelfCheckOutcome::Pass);
    assert!(open.curve.iter().any(|point| point.percentile == 50.0 && point.low_us.is_some()));
    assert!(open.cpu_seconds.user + open.cpu_seconds.system > 0.0);
    let value: serde_json::Value = serde_json::to_value(&open).unwrap();
    assert!(value["latency_us"]["p99.9"].as_f64().unwrap() > 0.0);
    assert_eq!(value["failed"]["timed_out"], 0);
}

#[test]
fn goals_set_the_exit_code_and_wrong_answers_are_kept() {
    let server = server();
    let url = format!("http://{}/", server.address());
    let (met, code) = json(&[&url, "-n", "50", "--slo", "p99=10s,errors=0.1%"]);
    assert!(code == Some(0) && met.slo.len() == 2 && met.slo.iter().all(|slo| slo.met));
    let (missed, code) = json(&[&url, "-n", "50", "--slo", "max<1us"]);
    assert!(code == Some(1) && !missed.slo[0].met, "{:?}", missed.slo);
    let (wrong, code) = json(&[&format!("{url}wrong"), "-n", "20"]);
    assert_eq!((wrong.completed, wrong.failed.wrong_status, code), (0, 20, Some(4)));
    assert_eq!((wrong.wrong_answers.len(), wrong.wrong_answers[0].body.as_str()), (10, "broken"));
    let (subset, _) = json(&[&url, "-n", "5", "--expect-json", "{\"a\": 1}"]);
    assert_eq!(subset.completed, 5);
    let (size, _) = json(&[&url, "-n", "5", "--expect-size", "3"]);
    assert_eq!((size.completed, size.failed.wrong_body), (0, 5));
    let echo = format!("{url}echo");
    assert_eq!(json(&[&echo, "-n", "3", "--body", "x", "--expect-body", "x"]).0.completed, 3);
}

#[test]
fn ctrl_c_ends_it_and_shows_what_was_measured() {
    let server = server();
    let url = format!("http://{}/", server.address());
    let child = command(&[&url, "-c", "2", "-d", "60s", "--format", "json", "--quiet"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while server.seen() < 100 {
        thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let shown: LoadOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!((shown.completed, shown.sent), (server.seen(), server.seen()));
}

#[test]
fn logs_hold_every_interval() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let url = format!("http://{}/", server.address());
    let (hlog, csv) = (path("a.hlog"), path("a.csv"));
    let (output, _) = json(&[&url, "--rate", "300/s", "-d", "1s", "--hlog", &hlog, "--csv", &csv]);
    let text = fs::read(&hlog).unwrap();
    let mut whole = Histogram::<u64>::new_with_bounds(1_000, 60_000_000_000, 3).unwrap();
    for entry in IntervalLogIterator::new(&text) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
            let part: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            whole.add(&part).unwrap();
        }
    }
    // Answers of the drain, after the window, are not in an interval of it.
    assert!(
        whole.len() <= output.latency_us.count && whole.len() + 20 > output.latency_us.count,
        "{}",
        whole.len()
    );
    let lines = fs::read_to_string(&csv).unwrap();
    let sent: u64 =
        lines.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sent, output.sent);
    let full = dyno(&[&url, "-n", "50", "--csv", "/dev/full", "--format", "json"]);
    assert_eq!(full.status.code(), Some(6), "{}", told(&full));
    let nowhere = dyno(&[&url, "-n", "1", "--csv", &path("no/such/a.csv")]);
    assert_eq!(nowhere.status.code(), Some(6), "{}", told(&nowhere));
}

#[test]
fn prometheus_sees_it_while_it_runs() {
    let server = server();
    let url = format!("http://{}/", server.address());
    let port = dyno_provision::free_port().unwrap();
    let mut child =
        command(&[&url, "--rate", "200/s", "-d", "30s", "--quiet", "--prometheus", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
    while server.seen() < 200 {
        thread::sleep(Duration::from_millis(10));
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let completed =
        text.lines().find_map(|line| line.strip_prefix("dyno_load_requests_total{outcome=\"completed\"} "));
    assert!(completed.unwrap().parse::<u64>().unwrap() > 0, "{text}");
    assert!(text.contains("dyno_load_latency_seconds_bucket{le=\"+Inf\"}"));
}

#[test]
fn a_mix_is_sent_by_weight_and_a_replay_by_its_times() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let base = format!("http://{}", server.address());
    let mix = write(
        "mix.toml",
        "[[request]]\nname = \"page\"\nweight = 3\npath = \"/\"\nexpect = { json = { a = 1 } }\n[[request]]\nname = \"echo\"\npath = \"/echo\"\nbody = \"hi\"\nexpect = { body = \"hi\" }\n",
    );
    let (output, code) = json(&[&base, "--mix", &mix, "-n", "200"]);
    assert_eq!((output.completed, code), (200, Some(0)), "{:?}", output.wrong_answers);
    let times = write("times.csv", "at,request\n0,page\n10ms,echo\n20ms,page\n");
    let (output, _) = json(&[&base, "--mix", &mix, "--replay", &times]);
    assert_eq!((output.planned, output.completed), (3, 3));
}

#[test]
fn what_cannot_be_done_is_said_with_its_exit_code() {
    let server = server();
    let url = format!("http://{}/", server.address());
    let free = dyno_provision::free_port().unwrap();
    for (arguments, code, words) in [
        (vec!["http://no-such-name.invalid/"], 4, "no-such-name.invalid"),
        (vec![&format!("http://127.0.0.1:{free}/") as &str], 4, "no connection"),
        (vec!["127.0.0.1:80"], 2, "http://127.0.0.1:80"),
        (vec![&url, "--rate", "0/s"], 2, "500/s"),
        (vec![&url, "--rate", "5/s", "--think", "1s"], 2, "--think"),
        (vec![&url, "--slo", "p99=fast"], 2, "p99=50ms"),
        (vec![&url, "--stages", "10s"], 2, "10s:"),
        (vec![&url, "--data", "/no/such.csv"], 2, "such.csv"),
        (vec![&url, "-c", "1000000", "-n", "2000000"], 4, "ulimit -n"),
        (vec![], 2, "URL"),
    ] {
        let output = dyno(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(words), "{arguments:?}: {}", told(&output));
    }
    assert_eq!(server.seen(), 0, "nothing was sent");
}
