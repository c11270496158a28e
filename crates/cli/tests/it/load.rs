//! `dyno load` on servers that count what they saw.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
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

/// A server that reads requests and says nothing.
fn mute() -> FakeServer {
    FakeServer::start(|_| Reply::Silence)
}

fn interrupted(arguments: &[&str], server: &FakeServer, enough: u64, times: u32) -> (Output, Duration) {
    let child = command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while server.seen() < enough {
        thread::sleep(Duration::from_millis(5));
    }
    let begin = Instant::now();
    let pid = Pid::from_raw(child.id().cast_signed());
    for number in 0..times {
        if number > 0 {
            // Two signals that come together are one: the first must have been heeded.
            thread::sleep(Duration::from_millis(300));
        }
        kill(pid, Signal::SIGINT).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    (output, begin.elapsed())
}

#[test]
fn ctrl_c_says_what_it_waits_for_and_the_second_waits_for_nothing() {
    let server = mute();
    let url = format!("http://{}/", server.address());
    let arguments = [&url, "-c", "4", "-d", "600s", "--timeout", "300s", "--format", "json"];
    let (output, took) = interrupted(&arguments, &server, 4, 2);
    let shown: LoadOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((shown.sent, shown.failed.stopped, shown.completed), (4, 4, 0));
    assert_eq!(output.status.code(), Some(130));
    assert!(took < Duration::from_secs(60), "far less than the time-out: {took:?}");
    let words = told(&output);
    assert!(words.contains("stopping: 4 in flight, waiting up to 4s, Ctrl-C again ends now"), "{words}");
    let server = mute();
    let url = format!("http://{}/", server.address());
    let arguments = [&url, "-c", "4", "-d", "600s", "--timeout", "300s", "--format", "json", "--quiet"];
    let (output, took) = interrupted(&arguments, &server, 4, 1);
    let shown: LoadOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown.failed.stopped, 4);
    assert!(took < Duration::from_secs(60), "far less than the time-out: {took:?}");
}

#[test]
fn ctrl_c_in_a_long_schedule_ends_it_and_raises_no_false_alarm() {
    for more in [&["-d", "24h"][..], &["-n", "1000000000"]] {
        let server = FakeServer::start(|_| {
            thread::sleep(Duration::from_millis(10));
            Reply::Answer(200, "text/plain", b"yes".to_vec())
        });
        let url = format!("http://{}/", server.address());
        let arguments =
            [&[&url as &str, "-c", "2", "--rate", "5000/s", "--format", "json", "--quiet"], more].concat();
        let (output, took) = interrupted(&arguments, &server, 50, 1);
        let shown: LoadOutput = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((shown.planned, shown.sent), (shown.sent + shown.not_sent, server.seen()), "{more:?}");
        assert!(shown.planned > 400_000_000, "{more:?}: what was not sent is counted: {}", shown.planned);
        assert!(took < Duration::from_secs(30), "{more:?}: no walk over the rest: {took:?}");
        let outcome = |id| shown.checks.iter().find(|check| check.id == id).unwrap().outcome;
        assert_eq!((outcome("G1"), outcome("G5")), (SelfCheckOutcome::Flag, SelfCheckOutcome::Pass));
    }
}

#[test]
fn what_makes_no_load_is_refused_with_an_example() {
    let server = server();
    let url = format!("http://{}/", server.address());
    for (arguments, words) in [
        (&["-d", "0s", "--rate", "10/s"][..], "10s"),
        (&["-d", "0s"], "10s"),
        (&["-d", "0ms"], "10s"),
        (&["-d", "10000h"], "30s"),
        (&["-d", "1e9s"], "30s"),
        (&["--timeout", "0s"], "10s"),
        (&["--connect-timeout", "0s"], "10s"),
        (&["--rate", "1e300/s"], "500/s"),
        (&["--rate", "0/h"], "500/s"),
        (&["--rate", "-1/s"], "--rate"),
        (&["--stages", "0s:10/s"], "10s"),
        (&["--stages", "10s:1e12/s"], "500/s"),
        (&["-n", "0"], "1.."),
        (&["-n", "99999999999999999999"], "number"),
        (&["-c", "0"], "1..=1000000"),
        (&["-c", "100000", "--http2", "--streams", "1000"], "--connections 64 --streams 8"),
    ] {
        let output = dyno(&[&[&url as &str], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(words), "{arguments:?}: {}", told(&output));
    }
    assert_eq!(server.seen(), 0, "nothing was sent");
}

#[test]
fn a_ramp_from_nothing_is_spread_over_its_stage() {
    let at = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&at);
    let server = FakeServer::start(move |one| {
        seen.lock().unwrap().push(one.at);
        Reply::Answer(200, "text/plain", b"yes".to_vec())
    });
    let url = format!("http://{}/", server.address());
    let (output, _) = json(&[&url, "--stages", "2s:0/s..100/s", "--arrivals", "uniform"]);
    assert_eq!((output.planned, output.completed), (100, 100));
    let at = at.lock().unwrap();
    let (first, last) = (at[0], at[at.len() - 1]);
    // A quarter of them is due in the first half; a machine that is held up moves a few.
    let half = at.iter().filter(|one| **one - first < (last - first) / 2).count();
    assert!((10..=40).contains(&half), "{half} of 100 in the first half");
}

#[test]
fn small_things_are_shown_as_they_are() {
    let server = server();
    let url = format!("http://{}/", server.address());
    let text = String::from_utf8(dyno(&[&url, "-n", "4", "-c", "1", "--quiet"]).stdout).unwrap();
    assert!(text.contains("4 planned = 4 sent + 0 not sent; 4 answered right, 0 failed"), "{text}");
    assert!(text.contains("answers    200: 4") && text.contains("bytes "), "{text}");
    let (one, _) = json(&[&url, "-n", "1", "--rate", "50/s"]);
    assert!(one.seconds > 0.0 && one.rate_per_s > 0.0, "its window ends with its answer: {one:?}");
    let (wrong, _) = json(&[&format!("{url}wrong"), "-n", "20"]);
    assert_eq!((wrong.failed_in_latency, wrong.statuses), (20, [(500, 20)].into()));
    let text = String::from_utf8(dyno(&[&format!("{url}wrong"), "-n", "20", "--quiet"]).stdout).unwrap();
    assert!(text.contains("20 of these 20 are of requests without a right answer"), "{text}");
    let (bytes, _) = json(&[&url, "-n", "10", "-c", "1"]);
    assert!(bytes.bytes.sent >= 10 * 30 && bytes.bytes.received >= 10 * 13, "{:?}", bytes.bytes);
    assert!(bytes.bytes_per_s.received > 0.0);
    // Nothing was measured: a bound port where nobody answers in time.
    let nothing = mute();
    let silent = format!("http://{}/", nothing.address());
    let arguments = [&silent as &str, "-c", "1", "--warm-up", "0s", "-d", "20ms", "--timeout", "20ms"];
    let value: serde_json::Value =
        serde_json::from_slice(&dyno(&[&arguments[..], &["--format", "json", "--quiet"]].concat()).stdout)
            .unwrap();
    assert_eq!(value["blocked_us"]["p99"], serde_json::Value::Null);
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("a.csv").display().to_string();
    json(&[&url, "-n", "10", "--csv", &csv]);
    let lines = fs::read_to_string(&csv).unwrap();
    assert!(lines.lines().next().unwrap().ends_with("bytes_sent,bytes_received,statuses"), "{lines}");
    assert!(lines.contains(",200="), "{lines}");
    let mut child =
        command(&[&format!("{url}echo"), "-n", "2", "--body", "@-", "--expect-body", "a body", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    child.stdin.take().unwrap().write_all(b"a body").unwrap();
    assert!(child.wait().unwrap().success(), "a body from standard input");
    let port = server.address().port();
    assert_eq!(json(&[&url, "-n", "1", "-d", "1m30s"]).1, Some(0));
    let elsewhere = dyno(&[&format!("http://[fe80::1%25no-such]:{port}/"), "-n", "1"]);
    assert_eq!(elsewhere.status.code(), Some(4), "a zone is looked up: {}", told(&elsewhere));
}

#[test]
fn connections_go_where_they_are_told_and_to_several_places_in_turn() {
    let (first, second) = (server(), server());
    let at = |server: &FakeServer| format!("shop.test:80:127.0.0.1:{}", server.address().port());
    let (one, code) = json(&["http://shop.test/", "-n", "20", "--connect-to", &at(&first)]);
    assert_eq!((one.completed, code, first.seen()), (20, Some(0), 20));
    let arguments = [
        "http://shop.test/",
        "-n",
        "400",
        "-c",
        "4",
        "--connect-to",
        &at(&first),
        "--connect-to",
        &at(&second),
    ];
    let (both, _) = json(&arguments);
    assert_eq!((both.completed, first.seen() - 20 + second.seen()), (400, 400));
    assert!(first.seen() > 20 && second.seen() > 0, "{} and {}", first.seen() - 20, second.seen());
    let url = format!("http://127.0.0.1:{}/", first.address().port());
    assert_eq!(json(&[&url, "-n", "5", "--all-addresses"]).0.completed, 5);
    let wrong = dyno(&["http://shop.test/", "-n", "1", "--connect-to", "127.0.0.1"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
}

#[test]
fn a_body_may_be_sent_in_chunks() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let kept = Arc::clone(&seen);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = Vec::new();
            let mut more = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut more) {
                bytes.extend_from_slice(&more[..length]);
                if bytes.ends_with(b"0\r\n\r\n") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                    kept.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
                    bytes.clear();
                }
            }
        }
    });
    let url = format!("http://{address}/");
    assert_eq!(json(&[&url, "-n", "2", "-c", "1", "--body", "a body", "--chunked"]).0.completed, 2);
    let heads = seen.lock().unwrap();
    assert!(heads.len() == 2 && heads[0].ends_with("\r\n\r\n6\r\na body\r\n0\r\n\r\n"), "{heads:?}");
    assert!(!heads[0].to_lowercase().contains("content-length"), "{heads:?}");
    let nothing = dyno(&[&url, "--chunked"]);
    assert!(told(&nothing).contains("no body"), "{}", told(&nothing));
}

#[test]
fn pacing_is_chosen_said_and_in_the_summary() {
    let server = server();
    let url = format!("http://{}/", server.address());
    let (tick, _) = json(&[&url, "--rate", "300/s", "-d", "1s", "--pacing", "tick=10ms"]);
    let pacing = tick.pacing.unwrap();
    assert_eq!((pacing.bound_us, pacing.wake_up_us, pacing.gathered_us.count), (10_000.0, None, tick.sent));
    let g3 = tick.checks.iter().find(|check| check.id == "G3").unwrap();
    assert!(g3.words.contains("gathered"), "{}", g3.words);
    let (auto, _) = json(&[&url, "--rate", "100/s", "-d", "500ms"]);
    let pacing = auto.pacing.unwrap();
    assert!(
        pacing.bound_us == 0.0 && pacing.wake_up_us.unwrap() > 0.0,
        "rare requests go at their time: {pacing:?}"
    );
    let (exact, _) = json(&[&url, "--rate", "100/s", "-d", "500ms", "--pacing", "exact"]);
    assert_eq!(exact.pacing.unwrap().wake_up_us, None);
    assert_eq!(json(&[&url, "-n", "5"]).0.pacing, None, "a closed loop has none");
    let text =
        String::from_utf8(dyno(&[&url, "--rate", "300/s", "-d", "1s", "--pacing", "tick=10ms"]).stdout)
            .unwrap();
    assert!(text.contains("pacing     gathered within 10.0 ms"), "{text}");
}

#[test]
fn redirects_are_followed_on_request_and_each_is_counted() {
    let server = FakeServer::start(|seen| {
        let to = |location: &str| {
            Reply::Raw(
                format!("HTTP/1.1 302 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
            )
        };
        match (seen.method.as_str(), seen.target.as_str()) {
            ("POST", "/start") => to("/middle"),
            ("GET", "/middle") => to("end?x=1"),
            ("GET", "/end?x=1") => Reply::Answer(200, "text/plain", b"here".to_vec()),
            (_, "/loop") => to("/loop"),
            (_, "/away") => to("http://other.test/"),
            (_, "/close") => Reply::RawThenClose(
                b"HTTP/1.1 303 X\r\nLocation: /middle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                    .to_vec(),
            ),
            _ => Reply::Answer(404, "text/plain", Vec::new()),
        }
    });
    let base = format!("http://{}", server.address());
    for more in [&["-c", "4"][..], &["-c", "4", "--rate", "200/s", "-d", "500ms"]] {
        let before = server.seen();
        let start = format!("{base}/start");
        let arguments =
            [&[&start as &str, "-n", "50", "--body", "x", "--redirects", "5", "--expect-body", "here"], more]
                .concat();
        let (output, code) = json(&arguments);
        assert_eq!(
            (output.completed, output.sent, output.redirects, code),
            (50, 50, 100, Some(0)),
            "{output:?}"
        );
        assert_eq!((server.seen() - before, output.latency_us.count), (150, 50));
        assert_eq!(output.statuses, [(200, 50), (302, 100)].into());
    }
    let (closing, _) = json(&[&format!("{base}/close"), "-n", "10", "-c", "2", "--redirects", "5"]);
    assert_eq!((closing.completed, closing.redirects), (10, 20), "{:?}", closing.wrong_answers);
    let (around, _) = json(&[&format!("{base}/loop"), "-n", "4", "--redirects", "3"]);
    assert_eq!((around.completed, around.failed.wrong_status, around.redirects), (0, 4, 12));
    let (away, _) = json(&[&format!("{base}/away"), "-n", "4", "--redirects", "3"]);
    assert_eq!((away.failed.wrong_status, away.redirects), (4, 0), "a load has one origin");
    let (not, _) = json(&[&format!("{base}/loop"), "-n", "4"]);
    assert_eq!((not.completed, not.redirects), (4, 0), "only on request");
}

#[test]
fn a_sequence_takes_values_from_answers() {
    let sessions = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let known = Arc::clone(&sessions);
    let server = FakeServer::start(move |seen| match (seen.method.as_str(), seen.target.as_str()) {
        ("POST", "/login") => {
            let token = format!("t {}/\"", seen.number);
            let body = format!("{{\"user\": {{\"token\": {}}}}}", serde_json::Value::from(token.as_str()));
            known.lock().unwrap().insert(token);
            let head = "HTTP/1.1 200 OK\r\nX-Id: 7 7\r\nContent-Length: ";
            Reply::Raw(format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes())
        }
        ("POST", "/items/7%207") => {
            let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            // Each token is used once: the order of each user was kept.
            let right = known.lock().unwrap().remove(body["token"].as_str().unwrap());
            Reply::Answer(if right { 201 } else { 403 }, "text/plain", Vec::new())
        }
        _ => Reply::Answer(404, "text/plain", Vec::new()),
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.toml");
    fs::write(
        &path,
        "sequence = true\n[[request]]\nname = \"log in\"\npath = \"/login\"\njson = { name = \"ada\" }\n\
         take = { token = \"/user/token\", id = \"header:x-id\" }\n\
         [[request]]\nname = \"add\"\npath = \"/items/{{id}}\"\njson = { token = \"{{token}}\" }\n\
         expect = { status = 201 }\n",
    )
    .unwrap();
    let (base, mix) = (format!("http://{}", server.address()), path.display().to_string());
    for more in [&["-c", "4", "-n", "200"][..], &["-c", "4", "-n", "60", "--rate", "300/s"]] {
        let (output, code) = json(&[&[&base as &str, "--mix", &mix], more].concat());
        assert_eq!((output.completed, output.failed.total(), code), (output.sent, 0, Some(0)), "{output:?}");
        assert!(output.statuses[&200] >= output.statuses[&201], "{:?}", output.statuses);
    }
    fs::write(
        &path,
        "sequence = true\n[[request]]\npath = \"/login\"\nmethod = \"POST\"\ntake = { t = \"/no\" }\n",
    )
    .unwrap();
    let (missing, _) = json(&[&base, "--mix", &mix, "-n", "4"]);
    assert_eq!((missing.completed, missing.failed.wrong_body), (0, 4), "what isn't there can't be taken");
    fs::write(&path, "[[request]]\npath = \"/\"\ntake = { t = \"/no\" }\n").unwrap();
    let refused = dyno(&[&base, "--mix", &mix]);
    assert!(told(&refused).contains("sequence = true"), "{}", told(&refused));
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
