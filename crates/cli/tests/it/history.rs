//! `dyno history` over run folders that are made up: a planted step, noise, another machine, and what lies in the way.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use dyno_analyse::synthetic;
use dyno_model::{
    history::HistoryOutput,
    output::Metric,
    record::{BlockState, Run},
};
use dyno_record::RunFolder;

const STACKS: [(&str, f64); 3] =
    [("go-bun/go", 2000.0), ("flask/gunicorn", 1000.0), ("bottle/waitress", 1000.0)];

/// A folder of runs, and a program that has no cache: a history needs none.
struct Kept(tempfile::TempDir);

impl Kept {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn runs(&self) -> PathBuf {
        self.0.path().join("runs")
    }

    /// One run a day, with these rates of flask.
    fn of(rates: &[f64]) -> Self {
        let kept = Self::new();
        for (at, &rate) in rates.iter().enumerate() {
            kept.add(&kept.runs(), at, rate, |_| ());
        }
        kept
    }

    fn add(&self, runs: &Path, at: usize, rate: f64, change: impl FnOnce(&mut Run)) -> RunFolder {
        let started = format!("2026-01-{:02}T12:00:00Z", at + 1);
        let name = format!("{}-default", started.replace(':', "-"));
        let folder = RunFolder::create(runs, &name).unwrap();
        let mut run = synthetic::run(&STACKS);
        (run.run, run.started, run.seed) = (folder.name(), started, at as u64);
        run.not_run.clear();
        change(&mut run);
        folder.write_run(&run).unwrap();
        for block in synthetic::blocks_of_seed(&run, &[2000.0, rate, 1000.0], 8, 0.01, at as u64) {
            folder.write_block(&block).unwrap();
        }
        folder
    }

    fn dyno(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dyno"));
        command.args(["--runs"]).arg(self.runs()).arg("history").args(arguments);
        command
            .env("DYNO_HOME", self.0.path().join("nowhere"))
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        command.env("DYNO_ROOT", fs::canonicalize(repository).unwrap()).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> HistoryOutput {
        let output = self.dyno(&[arguments, &["--format", "json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let output = self.dyno(arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{arguments:?} printed {}", text(&output.stdout));
        for word in words {
            assert!(told.contains(word), "{arguments:?}: no {word:?} in: {told}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Ten per cent slower from the ninth of sixteen runs on.
fn step() -> Kept {
    Kept::of(&[[1000.0; 8], [900.0; 8]].concat())
}

#[test]
fn a_planted_step_is_proposed_at_its_run() {
    let kept = step();
    let said = kept.json(&["flask/gunicorn", "--operation", "hello"]);
    assert_eq!(said.lines.len(), 2, "throughput and CPU per request");
    let line = said.lines.iter().find(|line| line.metric == Metric::Throughput).unwrap();
    assert_eq!(line.points.len(), 16);
    let [change] = &line.changes[..] else { panic!("{:#?}", line.changes) };
    let days = (change.last_before.as_str(), change.first_after.as_str());
    assert_eq!(days, ("2026-01-08T12-00-00Z-default", "2026-01-09T12-00-00Z-default"));
    assert!((change.change.ratio - 0.9).abs() < 0.02, "{}", change.change.ratio);
    assert!(change.decide[0].starts_with("dyno gate flask/gunicorn"), "{:?}", change.decide);
    // CPU per request has the same step, upwards.
    assert!(said.lines.iter().all(|line| line.changes.len() == 1));

    let output = kept.dyno(&[]);
    let (told, all) = (text(&output.stdout), kept.json(&[]));
    assert_eq!(all.lines.len(), 8, "two stacks, two operations, two metrics");
    assert!(all.lines.iter().all(|line| line.changes.is_empty() == (line.stack.app == "bottle")), "{told}");
    assert!(told.contains("change proposed: -") && told.contains("dyno gate flask/gunicorn"), "{told}");
    let csv = text(&kept.dyno(&["--format", "csv"]).stdout);
    assert_eq!(csv.lines().count(), 1 + 8 * 16);
    let markdown = text(&kept.dyno(&["--format", "md"]).stdout);
    assert!(
        markdown.contains("## hello, throughput, over go-bun/go") && markdown.contains("dyno gate"),
        "{markdown}"
    );
}

#[test]
fn noise_alone_proposes_nothing() {
    let said = Kept::of(&[1000.0; 16]).json(&[]);
    assert!(said.lines.iter().all(|line| line.points.len() == 16 && line.changes.is_empty()), "{said:#?}");
}

#[test]
fn since_a_date_and_only_what_is_asked_for() {
    let kept = step();
    let since = kept.json(&["--since", "2026-01-09", "flask/*", "--metric", "cpu", "--operation", "hello"]);
    let [line] = &since.lines[..] else { panic!("{since:#?}") };
    assert_eq!((line.points.len(), line.changes.len()), (8, 0));
    assert_eq!(kept.json(&["--since", "2026-01-09T13:00:00Z"]).lines[0].points.len(), 7);
}

#[test]
fn runs_of_another_machine_are_refused_and_like_takes_one_kind() {
    let kept = step();
    let many = |run: &mut Run| _ = run.fingerprint.machine.insert("cpus".to_owned(), "64".to_owned());
    kept.add(&kept.runs(), 20, 900.0, many);
    kept.add(&kept.runs(), 21, 900.0, many);
    let words =
        ["don't compare", "2 runs, the newest 2026-01-22", "cpus: 64 against not recorded", "--like latest"];
    kept.refused(&[], 2, &words);
    let latest = kept.json(&["--like", "latest"]);
    assert_eq!((latest.lines[0].points.len(), latest.skipped.len()), (2, 16));
    assert!(latest.skipped[0].reason.contains("doesn't compare with 2026-01-22"), "{:?}", latest.skipped[0]);
    let older = kept.json(&["--like", "2026-01-03T12-00-00Z-default"]);
    assert_eq!((older.lines[0].points.len(), older.skipped.len()), (16, 2));
}

#[test]
fn what_lies_in_the_way_is_named_and_does_not_end_it() {
    let kept = step();
    let runs = kept.runs();
    let damaged = kept.add(&runs, 20, 900.0, |_| ());
    fs::write(damaged.path().join("blocks/0003.json"), "{\"format\": 1, ").unwrap();
    let newer = kept.add(&runs, 21, 900.0, |_| ());
    fs::write(newer.path().join("run.json"), "{\"format\": 999}").unwrap();
    let interrupted = kept.add(&runs, 22, 900.0, |_| ());
    let mut last = interrupted.read_blocks().unwrap().pop().unwrap();
    last.state = BlockState::Interrupted;
    interrupted.write_block(&last).unwrap();
    kept.add(&runs, 23, 900.0, |run| run.plan.baseline = "bottle/waitress:base".parse().unwrap());
    fs::create_dir_all(runs.join("2026-01-25T12-00-00Z-default/blocks")).unwrap();
    let copy = kept.add(&runs.join("copies"), 3, 1000.0, |_| ());
    // A session of a verdict is a run like any other, but for its name.
    kept.add(&runs.join("2026-01-26T12-00-00Z-verdict"), 25, 900.0, |_| ());

    let said = kept.json(&["flask/gunicorn"]);
    assert!(said.lines.iter().all(|line| line.points.len() == 17 && line.changes.len() == 1), "{said:#?}");
    let session = said.lines[0].points.last().unwrap();
    assert!(session.run.starts_with("2026-01-26T12-00-00Z-verdict/"), "{}", session.run);
    let reason = |name: &str| {
        let found = said.skipped.iter().find(|one| one.run.contains(name));
        found.unwrap_or_else(|| panic!("{name} in {:?}", said.skipped)).reason.clone()
    };
    assert_eq!(said.skipped.len(), 6, "{:?}", said.skipped);
    assert!(reason("2026-01-21").contains("0003.json: not a dyno record"), "{}", reason("2026-01-21"));
    assert!(reason("2026-01-22").contains("format 999 was written by a newer dyno"));
    assert!(reason("2026-01-23").contains("interrupted, or not over yet: 7 of 8 blocks"));
    assert!(reason("2026-01-24").contains("no anchor"));
    assert!(reason("2026-01-25").contains("no run.json"));
    assert!(reason(&copy.name()).starts_with("a copy of "), "{:?}", said.skipped);
    let told = text(&kept.dyno(&["flask/gunicorn"]).stdout);
    assert!(told.contains("Skipped\n") && told.contains("format 999"), "{told}");
}

#[test]
fn what_must_not_be_believed_is_shown_as_left_out() {
    let kept = step();
    let folder = kept.add(&kept.runs(), 20, 1800.0, |_| ());
    for mut block in folder.read_blocks().unwrap().split_off(4) {
        block.throttled_ns = Some(block.length_ns);
        folder.write_block(&block).unwrap();
    }
    let said = kept.json(&["flask/gunicorn"]);
    for line in &said.lines {
        let last = line.points.last().unwrap();
        assert!(last.left_out.contains("a CPU quota") && last.trust == '-', "{last:?}");
        assert_eq!((line.points.len(), line.counted().count(), line.changes.len()), (17, 16, 1));
    }
    let told = text(&kept.dyno(&["flask/gunicorn"]).stdout);
    assert!(told.contains("left out: a CPU quota"), "{told}");
}

#[test]
fn bad_input_is_named() {
    Kept::new().refused(&[], 2, &["no runs are there", "`dyno run` makes one"]);
    let kept = Kept::of(&[1000.0; 2]);
    kept.refused(&["falcon/gunicorn"], 2, &["no run has falcon/gunicorn", "flask/gunicorn over go-bun/go"]);
    kept.refused(&["go-bun/go"], 2, &["no run has go-bun/go as a ratio to another baseline"]);
    kept.refused(&["flask/gunicorn", "--operation", "types"], 2, &["no run has flask/gunicorn in types"]);
    kept.refused(&["--since", "2027-01-01"], 2, &["no run has anything since 2027-01-01"]);
    kept.refused(&["--since", "yesterday"], 2, &["`yesterday` is no date", "`2026-11-01`"]);
    kept.refused(&["--like", "nowhere"], 6, &["nowhere: no run is there"]);
    kept.refused(&["flask"], 2, &["`flask` isn't a stack"]);
    kept.refused(&["--metric", "speed"], 2, &["throughput, cpu"]);
    kept.refused(&["--format", "svg"], 2, &["text, json, md and csv"]);
}
