//! Sessions that last until their question is answered: `dyno compare`, `verdict` and `calibrate`, stopped and gone on with.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use dyno_model::{
    Span,
    calibration::CalibrationOutput,
    claim::{ClaimDecision, ClaimResult, VerdictRecord},
    record::Run,
    rehearsal::{Rehearsal, TracePurpose},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::bench::{Bench, skipped, text, wait_until};

/// Long enough for a machine that ten others use: it is waited for what happens, and no longer.
const PATIENCE: Duration = Duration::from_secs(900);
/// Short slices, and few of them.
const SHORT: [&str; 6] = ["--slice", "100ms", "--slices", "2", "--warm-up", "200ms"];

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blocks(run: &Path) -> usize {
    fs::read_dir(run.join("blocks")).map_or(0, |entries| entries.flatten().count())
}

/// Starts, waits until `ready` holds of the only folder under `runs`, and stops it with Ctrl-C.
fn stop_when(bench: &Bench, arguments: &[&str], ready: impl Fn(&Path) -> bool) -> PathBuf {
    // To a file: nobody empties a pipe meanwhile.
    let told = bench.folder.path().join("told");
    let file = fs::File::create(&told).unwrap();
    let mut command = bench.command(arguments);
    let mut child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    wait_until("what it is stopped at", PATIENCE, || {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended by itself: {}", fs::read_to_string(&told).unwrap());
        bench.run_folder().is_some_and(|folder| ready(&folder))
    });
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{}", fs::read_to_string(&told).unwrap());
    assert_eq!(bench.left_over(), Vec::<String>::new());
    bench.run_folder().unwrap()
}

#[test]
fn a_placebo_chooses_the_slices_of_a_comparison() {
    let bench = Bench::real_alone();
    let arguments = [
        "compare",
        "flask/gunicorn",
        "flask/waitress",
        "--operation",
        "hello",
        "--connections",
        "8",
        "--warm-up",
        "200ms",
        "--budget",
        "50s",
        "--no-canary",
    ];
    let folder = stop_when(&bench, &arguments, |folder| blocks(folder) > 0);
    let (run, rehearsal): (Run, Rehearsal) =
        (read(&folder.join("run.json")), read(&folder.join("rehearsal.json")));
    let purposes: Vec<TracePurpose> = rehearsal.traces.iter().map(|one| one.purpose).collect();
    assert_eq!(purposes.iter().filter(|one| **one == TracePurpose::Placebo).count(), 1, "{purposes:?}");
    assert_eq!(purposes.len(), 2, "the other stack's answers are looked at, for the guard");
    for trace in &rehearsal.traces {
        let seconds = if trace.purpose == TracePurpose::Placebo { 5 } else { 2 };
        assert_eq!(trace.counts.len(), seconds * 40, "bins of 25 ms");
        assert!(trace.counts.iter().sum::<u64>() > 0 && trace.p99_us > 0.0);
    }
    let choice = run.plan.design.rehearsal.unwrap();
    assert!(!choice.words.is_empty(), "{choice:?}");
    let (slice, guard) = (run.plan.throughput.slice.0, run.plan.design.guard.0);
    // Three times the slowest p99, which is this machine's, between a tick and a quarter of the slice.
    let slowest_us = rehearsal.traces.iter().map(|one| one.p99_us).fold(0.0, f64::max);
    let wanted =
        Duration::from_secs_f64(3.0 * slowest_us / 1e6).max(Duration::from_millis(10)).min(slice / 4);
    assert!(guard.abs_diff(wanted) <= Duration::from_millis(1), "{guard:?} of {slice:?}, {slowest_us} µs");
    assert!(fs::read_to_string(folder.join("report.html")).unwrap().contains(choice.words[0].as_str()));
}

/// One claim that holds whatever the machine does, one whose stack can't run.
const CLAIMS: &str = "default op = hello\n\
    claim \"a request costs CPU\":\n  cpu(flask/gunicorn) in (0,100ms)\n\
    claim \"no lifespan\":\n  throughput(quart/daphne) in (0,1rps)\n";

#[test]
fn a_verdict_goes_on_where_it_was_stopped() {
    let bench = Bench::real_alone();
    let claims = bench.folder.path().join("mine.claims");
    fs::write(&claims, CLAIMS).unwrap();
    let own = [&["verdict", claims.to_str().unwrap(), "--budget", "1m"][..], &SHORT].concat();
    let first = |folder: &Path| folder.join("session-01");
    let folder = stop_when(&bench, &own, |folder| blocks(&first(folder)) >= 2);
    let before = blocks(&first(&folder));
    let record: VerdictRecord = read(&folder.join("verdict.json"));
    assert!(record.sessions.iter().all(|one| !one.done), "{:?}", record.sessions);

    let resume = ["verdict", "--resume", folder.to_str().unwrap(), "--format", "json"];
    let output = bench.dyno(&[&resume[..], &SHORT].concat());
    let results: Vec<ClaimResult> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "a claim without a verdict is told: {}", text(&output.stderr));
    assert!(blocks(&first(&folder)) > before && first(&folder).join("report.html").is_file());
    assert!(!folder.join("session-01-2").exists(), "it went on in the same session");
    let decisions: Vec<ClaimDecision> = results.iter().map(|one| one.decision).collect();
    assert_eq!(decisions[1], ClaimDecision::NoVerdict, "{results:?}");
    assert!(results[1].reason.contains("lifespan"), "{results:?}");
    let told = fs::read_to_string(folder.join("verdict.html")).unwrap();
    assert!(told.contains("a request costs CPU") && told.contains("no lifespan"));
    assert_eq!(bench.left_over(), Vec::<String>::new());
    if decisions[0] == ClaimDecision::NoVerdict {
        skipped(&format!("this machine lets nothing be decided: {}", results[0].reason));
        return;
    }
    assert_eq!(decisions[0], ClaimDecision::Supported, "{results:?}");
    assert!(results[0].blocks >= 8 && results[0].low.unwrap() > 0.0, "{results:?}");
}

#[test]
fn a_calibration_goes_on_in_the_middle_of_a_session() {
    let bench = Bench::real_alone();
    let arguments = [
        "calibrate",
        "flask/gunicorn",
        // So much that one pilot tells its size.
        "--slowdown",
        "80%",
        "--aa",
        "1",
        "--ab",
        "1",
        "--operation",
        "hello",
        "--connections",
        "8",
        "--budget-per-session",
        "20s",
    ];
    let second = |folder: &Path| {
        let sessions = fs::read_dir(folder.join("sessions")).into_iter().flatten().flatten();
        sessions
            .map(|entry| entry.path())
            .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("0001"))
    };
    let ready = |folder: &Path| second(folder).is_some_and(|session| blocks(&session) >= 2);
    let short = SHORT.map(|word| if word == "2" { "6" } else { word });
    let folder = stop_when(&bench, &[&arguments[..], &short].concat(), ready);
    let begun = second(&folder).unwrap();
    let before = blocks(&begun);
    let json =
        |path: &Path| -> serde_json::Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let slice = json(&begun.join("blocks/0000.json"))["trials"][1]["slices"][0].clone();
    let speed = |end: &str| slice["speed"][end].as_f64().unwrap_or(0.0);
    assert!(speed("before") > 0.0 && speed("after") > 0.0, "short slices know the CPUs' speed: {slice}");
    // As an older dyno with other rules might have judged the first session.
    let mut kept = json(&folder.join("calibration.json"));
    let judged = kept["sessions"][0]["blocks"].take();
    kept["sessions"][0]["blocks"] = 999.into();
    fs::write(folder.join("calibration.json"), kept.to_string()).unwrap();
    let output = bench.dyno(&["calibrate", "--resume", folder.to_str().unwrap(), "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said: CalibrationOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said.complete && blocks(&begun) > before, "{}", text(&output.stdout));
    let calibration = &said.calibration;
    assert_eq!(calibration.sessions.len(), 2);
    assert_eq!(
        u64::from(calibration.sessions[0].blocks),
        judged.as_u64().unwrap(),
        "judged again from its record"
    );
    assert_eq!(calibration.setting.slice, Span::milliseconds(100), "nothing chooses what was given");
    let burn = calibration.burn.unwrap();
    assert!((burn.share - 0.8).abs() < 0.04, "{burn:?}");
    let seen = said.summary.ab_cpu.unwrap().mean;
    // Eight blocks of a second each on a noisy machine; a burn that costs twice or half what was asked would be seen.
    assert!((0.4..1.6).contains(&seen), "the copy costs what was asked: {seen}, {burn:?}");
    assert!(fs::read_to_string(folder.join("calibration.md")).unwrap().contains("A/B"));
    assert_eq!(bench.left_over(), Vec::<String>::new());
}

#[test]
fn bad_input_is_named() {
    let bench = Bench::real();
    for (arguments, words) in [
        (&["compare", "flask/gunicorn", "flask"][..], "no run is called so either"),
        (&["compare", "flask/gunicorn", "flask/nothing"], "nothing"),
        (&["compare", "flask/gunicorn", "flask/waitress", "--slice", "3"], "a number and a unit"),
        (
            &["compare", "flask/gunicorn", "flask/waitress", "--warm-up", "1s", "--measure-warm-up"],
            "cannot be used with",
        ),
        (&["calibrate", "flask/gunicorn:burn=50loops"], "without `twin` and `burn`"),
        (&["calibrate", "go-pgx/go"], "burn"),
        (&["calibrate", "flask/gunicron"], "no stack is called `flask/gunicron`:"),
    ] {
        let output = bench.dyno(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
    }
    for folder in [["verdict", "--resume", "nowhere"], ["calibrate", "--resume", "nowhere"]] {
        let output = bench.dyno(&folder);
        assert!(
            !output.status.success() && text(&output.stderr).contains("nowhere"),
            "{}",
            text(&output.stderr)
        );
    }
    assert!(bench.run_folder().is_none(), "nothing was begun");
}
