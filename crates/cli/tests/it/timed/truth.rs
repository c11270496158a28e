//! `dyno truth`: what the engine reports against what was true of every request, in runs that take seconds.

use std::{fs, process::Command};

use dyno_truth::table::{Against, Figures, Judged, Model, Outcome, Row, TruthOutput};

use crate::bench::alone;

fn dyno(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_dyno")).arg("truth").args(arguments).output().unwrap()
}

fn own(row: &&Row) -> bool {
    row.against == Against::ItsOwnRun
}

fn true_us(judged: &Judged) -> f64 {
    judged.true_low_us
}

/// Truth servers that this process's children left behind: by their parent's number on their command line.
fn left_over() -> Vec<String> {
    let commands = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let words = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        words.contains("__truth-server").then(|| words.replace('\0', " "))
    });
    commands.filter(|words| words.contains(env!("CARGO_BIN_EXE_dyno"))).collect()
}

#[test]
fn the_engine_reports_the_truth_with_few_connections_as_with_many() {
    let _machine = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("table");
    let output = dyno(&["--quick", "--no-rivals", "--format", "json", "--output", file.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    let result: TruthOutput = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    let seen: Vec<(&str, u32)> =
        result.scenarios.iter().map(|one| (one.script.name(), one.connections)).collect();
    let names = ["stall", "slow", "on-off", "mm1"];
    assert_eq!(seen, names.map(|name| [(name, 10), (name, 300)]).concat());
    for scenario in &result.scenarios {
        let rows: Vec<&Row> = scenario.rows.iter().filter(own).collect();
        let [row] = rows[..] else { panic!("one row of dyno's own: {rows:?}") };
        let name = format!("{} with {} connections", scenario.script.name(), scenario.connections);
        // Planned, sent, right and recorded are one number, or this says which isn't.
        assert_eq!(row.failed, None, "{name}");
        assert_eq!((row.seen.requests, row.seen.answered), (row.requests, row.requests), "{name}");
        let expected = scenario.rate_per_s * scenario.seconds;
        assert!((row.requests as f64 / expected - 1.0).abs() < 0.1, "{name}: {}", row.requests);
        assert_eq!((row.seen.in_flight, row.seen.unstamped), (0, 0), "{name}");
        for judged in row.figures.all() {
            assert_eq!(judged.outcome, Outcome::Right, "{name}: {judged:?}\n{told}");
            assert!((0.99..=1.01).contains(&judged.ratio.unwrap()), "{name}: {judged:?}");
        }
    }
    assert!(result.right && output.status.code() == Some(0), "{told}");

    // The stall happened: a closed loop, which sees it only through the few requests that it holds, is far off.
    let stall = &result.scenarios[0];
    let closed = stall.rows.iter().find(|row| row.model == Model::Closed).unwrap();
    let Figures { p95, p99, .. } = &closed.figures;
    assert!(true_us(p99) > 150_000.0 && true_us(p95) > 80_000.0, "{p95:?} {p99:?}");
    // How far depends on how many requests it made, and so on the machine; one of both is far off on any.
    let nearest = p95.ratio.unwrap().min(p99.ratio.unwrap());
    assert!(nearest < 0.2, "{p95:?} {p99:?}");
    assert_eq!((p95.outcome, p99.outcome), (Outcome::Wrong, Outcome::Wrong));

    let stored: TruthOutput =
        serde_json::from_str(&fs::read_to_string(file.with_extension("json")).unwrap()).unwrap();
    assert_eq!(stored, result);
    let markdown = fs::read_to_string(file.with_extension("md")).unwrap();
    assert_eq!(markdown.matches("| dyno |").count(), 8, "{markdown}");
    assert_eq!(left_over(), Vec::<String>::new());
}

#[test]
fn wrong_options_are_refused() {
    let output = dyno(&["--connections", "0"]);
    assert_eq!(output.status.code(), Some(2));
    let output = dyno(&["--only", "nothing"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("on-off"), "{told}");
}
