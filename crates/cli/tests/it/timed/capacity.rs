//! `dyno capacity` and `dyno scale` on a real stack: what is recorded and in which order, and what bad input meets.

use std::{fs, path::Path, time::Duration};

use dyno_model::{
    capacity::{CapacityOutcome, CapacityOutput, CapacityRecord, TrialPurpose, TrialRecord},
    record::Run,
    scaling::ScaleOutput,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::bench::{Bench, PLAIN, skipped, text, wait_until};

/// Small trials of an objective that any machine can meet.
const SHORT: [&str; 12] = [
    "--slo",
    "p99=5s,errors=50%",
    "--operation",
    "version",
    "--connections",
    "8",
    "--trial",
    "200ms",
    "--warm-up",
    "100ms",
    "--seed",
    "5",
];

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn count(trials: &[TrialRecord], purpose: TrialPurpose) -> usize {
    trials.iter().filter(|trial| trial.purpose == purpose && trial.end.counts()).count()
}

#[test]
fn a_search_is_stopped_and_goes_on_and_its_record_adds_up() {
    let bench = Bench::plain_alone();
    let arguments = [&["capacity", PLAIN, "--curve"], &SHORT[..], &["--quiet"]].concat();
    let child = bench.start(&arguments);
    let trials = || -> usize {
        let Some(folder) = bench.run_folder().filter(|folder| folder.join("capacity.json").exists()) else {
            return 0;
        };
        let record: CapacityRecord = read(&folder.join("capacity.json"));
        record.stacks.iter().map(|one| one.trials.len()).sum()
    };
    wait_until("a first trial", Duration::from_secs(300), || trials() >= 1);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("go on with: dyno capacity --resume"), "{}", text(&output.stderr));
    assert_eq!(bench.left_over(), Vec::<String>::new());

    let folder = bench.run_folder().unwrap();
    let path = folder.to_str().unwrap();
    let first: CapacityRecord = read(&folder.join("capacity.json"));
    let output = bench.dyno(&["run", "--resume", path]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("dyno capacity --resume") && told.contains("trials and no blocks"), "{told}");

    let output = bench.dyno(&["capacity", "--resume", path, "--format", "json", "--quiet"]);
    let said: CapacityOutput =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let whole: CapacityRecord = read(&folder.join("capacity.json"));
    assert_eq!((said.seed, said.rows.len(), said.not_run.len()), (5, 1, 0));
    let (before, after) = (&first.stacks[0].trials, &whole.stacks[0].trials);
    assert!(after.starts_with(before) && after.len() > before.len(), "what was measured is kept");
    assert!(whole.spins_per_ms.len() > first.spins_per_ms.len(), "it was started afresh");
    assert_eq!(after[0].purpose, TrialPurpose::Saturation);
    let run: Run = read(&folder.join("run.json"));
    assert_eq!((run.seed, run.plan.stacks.len()), (5, 1));
    let row = &said.rows[0];
    assert_eq!(row.uncounted as usize, after.iter().filter(|trial| !trial.end.counts()).count());
    assert_eq!(output.status.code(), Some(i32::from(!row.is_found())));

    let shown = text(&bench.dyno(&["report", path]).stdout);
    assert!(shown.contains(PLAIN) && shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert_eq!(bench.left_over(), Vec::<String>::new());
    if let Some(why) = &whole.stacks[0].no_verdict {
        assert!(row.result.is_none() && shown.contains("NO VERDICT"), "{shown}");
        skipped(&format!("this machine lets no search end: {why}"));
        return;
    }
    let result = row.result.as_ref().unwrap();
    let saturated = count(after, TrialPurpose::Saturation);
    assert!((1..=3).contains(&saturated), "{row:?}");
    if result.outcome == CapacityOutcome::AboveRange {
        assert_eq!(saturated, 3, "a range that was too low is measured again before it is believed");
    }
    assert!((12..=40).contains(&count(after, TrialPurpose::Search)), "{row:?}");
    assert_eq!((count(after, TrialPurpose::Curve), row.curve.len()), (7, 7));
    assert!(row.curve.is_sorted_by(|a, b| a.rate_per_s < b.rate_per_s));
    if row.is_found() {
        let capacity = result.capacity_per_s.unwrap();
        assert!(result.low_per_s.unwrap() < capacity && capacity < result.high_per_s.unwrap());
    }
}

#[test]
fn two_numbers_of_workers_are_a_ratio() {
    let bench = Bench::real_alone();
    let short = ["--operation", "hello", "--connections", "8", "--slice", "50ms", "--slices", "2"];
    let other = ["--warm-up", "100ms", "--budget", "1s", "--seed", "5", "--format", "json", "--quiet"];
    let arguments = [&["scale", "flask/gunicorn", "--workers", "2,1"], &short[..], &other].concat();
    let output = bench.dyno(&arguments);
    let said: ScaleOutput =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!((said.stack.to_string().as_str(), said.blocks), ("flask/gunicorn", 8));
    assert_eq!(said.rows.iter().map(|row| row.workers).collect::<Vec<_>>(), [1, 2]);
    assert!(said.law.is_none() && said.rows[0].speed_up.is_none(), "{said:#?}");
    let run: Run = read(&bench.run_folder().unwrap().join("run.json"));
    let started = |stack: &str| {
        let prepared = run.prepared.iter().find(|one| one.stack.to_string() == stack).unwrap();
        let words = &prepared.commands["server"];
        words[words.iter().position(|word| word == "--workers").unwrap() + 1].clone()
    };
    assert_eq!(started("flask/gunicorn:workers=1"), "1");
    assert_eq!(started("flask/gunicorn:workers=2"), "2");
    for row in said.rows.iter().filter(|row| row.blocks >= 8) {
        let figure = row.throughput_per_s.unwrap();
        assert!(figure.low < figure.estimate && figure.estimate < figure.high, "{row:?}");
    }
    let sure = said.rows.iter().all(|row| row.no_verdict.is_none() && row.throughput_per_s.is_some());
    assert_eq!(output.status.code(), Some(i32::from(!sure)));
    assert_eq!(bench.left_over(), Vec::<String>::new());
}

#[test]
fn bad_input_is_named_with_an_example() {
    let bench = Bench::real();
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = bench.dyno(arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        for word in words {
            assert!(told.contains(word), "{arguments:?}: no {word:?} in: {told}");
        }
        assert!(bench.run_folder().is_none(), "{arguments:?} left a run folder");
    };
    let slo = |slo: &str, words: &[&str]| refused(&["capacity", "flask/gunicorn", "--slo", slo], 2, words);
    slo("latency=50ms", &["there is no figure `latency`", "p99=50ms"]);
    slo("p99=50", &["`50` isn't a span of time"]);
    slo("p99=50ms,rate=10/s", &["the rate is what a capacity search finds"]);
    slo("errors=1%", &["needs an objective about latency"]);
    refused(&["capacity", "flask/gunicorn"], 2, &["--slo"]);
    refused(&["capacity", "--slo", "p99=50ms"], 2, &["STACK"]);
    refused(
        &["capacity", "flask/gunicron", "--slo", "p99=50ms"],
        2,
        &["no stack is called `flask/gunicron`"],
    );
    let twice = ["capacity", "flask/gunicorn", "flask/gunicorn", "--slo", "p99=50ms"];
    refused(&twice, 2, &["flask/gunicorn: it is named twice"]);
    let task = ["capacity", "flask/gunicorn", "--slo", "p99=50ms", "--operation", "task_start"];
    refused(&task, 2, &["--operation", "not timed"]);
    refused(&["capacity", "--resume", "no-such-run"], 6, &["no run is there"]);

    refused(&["scale", "flask/gunicorn", "--workers", "0,1"], 2, &["0 is not in 1..=64"]);
    refused(&["scale", "flask/gunicorn", "--workers", "1,2,1"], 2, &["--workers 1,2,1", "twice"]);
    refused(&["scale", "flask/gunicorn", "--workers", "2"], 2, &["one number shows no scaling"]);
    refused(&["scale", "flask/gunicorn:workers=2"], 2, &["given by --workers"]);
    refused(&["scale", "flask/waitress"], 2, &["waitress has a fixed number of processes"]);
    refused(&["scale", "flask/gunicorn", "--operation", "nonsense"], 2, &["nonsense"]);
}
