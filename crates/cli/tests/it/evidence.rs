//! Published runs stay readable: what an older dyno recorded is reported by this one.

use std::{fs, path::Path, process::Command};

use dyno_model::{
    Operation,
    output::{Estimate, Metric, RunOutput, SelfCheckOutcome},
};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Recorded before engines had names, receive timestamps and records of their pacing.
#[test]
fn the_eight_stacks_of_2026_11_24_are_reported_again() {
    let evidence = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../evidence/2026-11-24-eight-stacks/run");
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    copy(&evidence, &run);
    let printed = Command::new(env!("CARGO_BIN_EXE_dyno"))
        .args(["--format", "json", "report"])
        .arg(&run)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let output: RunOutput = serde_json::from_slice(&printed.stdout).unwrap();
    // The published results have no checks: the format has grown.
    let published: RunOutput =
        serde_json::from_slice(&fs::read(evidence.join("results.json")).unwrap()).unwrap();
    assert!(published.checks.is_empty());
    assert_eq!(output.blocks, 12);
    // hello doesn't ask the database, whose CPU was zero in some of its blocks: that is no figure any more.
    let is_figure =
        |one: &&Estimate| (one.operation, one.metric) != (Operation::Hello, Metric::DatabaseCpuPerRequest);
    let published: Vec<&Estimate> = published.results.iter().filter(is_figure).collect();
    assert_eq!(output.results.len(), published.len());
    for (now, then) in output.results.iter().zip(published) {
        assert_eq!((&now.stack, now.operation, now.metric), (&then.stack, then.operation, then.metric));
        // Slices that were left out then are adjusted and counted now: within what was published, and mostly near it.
        let within = then.low.is_none_or(|low| low <= now.estimate)
            && then.high.is_none_or(|high| now.estimate <= high);
        assert!(within && (now.estimate / then.estimate - 1.0).abs() < 0.25, "{now:?} {then:?}");
    }
    let outcome = |id: &str| output.checks.iter().find(|check| check.id == id).unwrap().outcome;
    assert_eq!(output.checks.len(), 8);
    assert_eq!((outcome("G1"), outcome("G5")), (SelfCheckOutcome::Pass, SelfCheckOutcome::Pass));
    assert_eq!((outcome("G3"), outcome("G7")), (SelfCheckOutcome::NotMade, SelfCheckOutcome::NotMade));
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("took no receive timestamps"));
}
