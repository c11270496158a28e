//! What `dyno history` shows of a made-up history.
#![allow(clippy::unwrap_used, missing_docs)]

use dyno_model::{
    Operation,
    history::{ChangePoint, HistoryLine, HistoryOutput, HistoryPoint, ProposedChange, SkippedRun},
    output::{Difference, Metric},
};
use dyno_report::{history_csv, history_markdown, history_text};

fn point(day: u32, ratio: f64) -> HistoryPoint {
    HistoryPoint {
        run: format!("2026-01-{day:02}T12-00-00Z-default"),
        started: format!("2026-01-{day:02}T12:00:00Z"),
        ratio: Some(ratio),
        low: Some(ratio / 1.01),
        high: Some(ratio * 1.01),
        blocks: 8,
        trust: 'A',
        left_out: String::new(),
    }
}

fn made() -> HistoryOutput {
    let mut points: Vec<HistoryPoint> = [0.500, 0.503, 0.498, 0.501, 0.450, 0.452, 0.449]
        .into_iter()
        .zip(1..)
        .map(|(r, day)| point(day, r))
        .collect();
    points[2].trust = 'C';
    let refused = "the machine's own speed changed by +100 % during the run | <b>";
    points.insert(5, HistoryPoint { trust: '-', left_out: refused.to_owned(), ..point(30, 0.9) });
    let change = ProposedChange {
        change: ChangePoint {
            index: 4,
            before: 0.5005,
            after: 0.4503,
            ratio: 0.8997,
            p: 0.000_02,
            runs: (4, 3),
        },
        last_before: points[3].run.clone(),
        first_after: points[4].run.clone(),
        date: points[4].started.clone(),
        differs: vec![
            Difference {
                fact: "machine: kernel".to_owned(),
                a: Some("6.1".to_owned()),
                b: Some("6.2".to_owned()),
                forbids: false,
            },
            Difference {
                fact: "lock of flask/gunicorn".to_owned(),
                a: None,
                b: Some("0123456789ab".to_owned()),
                forbids: false,
            },
        ],
        decide: vec!["dyno gate flask/gunicorn --base 0123 --operation types --metric throughput".to_owned()],
        how: "in a work tree at 4567, or at the newest revision to see whether it still is so".to_owned(),
    };
    let line = HistoryLine {
        stack: "flask/gunicorn".parse().unwrap(),
        anchor: "go-bun/go".parse().unwrap(),
        operation: Operation::Types,
        metric: Metric::Throughput,
        conditions: "64 connections, 2 workers".to_owned(),
        points,
        changes: vec![change],
    };
    let still: Vec<HistoryPoint> =
        [0.700, 0.702, 0.699].into_iter().zip(1..).map(|(ratio, day)| point(day, ratio)).collect();
    let other = HistoryLine {
        stack: "bottle/waitress".parse().unwrap(),
        points: still,
        changes: Vec::new(),
        ..line.clone()
    };
    let skipped = (1..=5).map(|at| SkippedRun { run: format!("gate-{at}"), reason: "no anchor".to_owned() });
    HistoryOutput { version: 1, lines: vec![line, other], skipped: skipped.collect(), unrelated: 2 }
}

#[test]
fn for_a_terminal() {
    insta::assert_snapshot!(history_text(&made(), false));
    let whole = history_text(&made(), true);
    assert!(whole.contains("\nbottle/waitress over go-bun/go, types throughput\n"), "{whole}");
}

#[test]
fn as_markdown() {
    insta::assert_snapshot!(history_markdown(&made()));
}

#[test]
fn as_csv_each_point_is_a_row() {
    let text = history_csv(&made());
    assert_eq!(text.lines().count(), 1 + 8 + 3);
    let with_change: Vec<&str> = text.lines().filter(|line| line.ends_with(",0.8997")).collect();
    assert_eq!(with_change.len(), 1, "{text}");
    assert!(with_change[0].contains("2026-01-05"), "{text}");
}

/// One point has no range, and noise of a tenth of a per cent fills none.
#[test]
fn a_short_or_still_history_draws_no_mountains() {
    let mut output = made();
    output.lines.remove(0);
    let row = |output: &HistoryOutput| {
        history_text(output, false).lines().find(|line| line.contains("bottle")).unwrap().to_owned()
    };
    assert!(row(&output).ends_with("▅▅▄") || row(&output).ends_with("▄▅▄"), "{}", row(&output));
    output.lines[0].points.truncate(1);
    assert!(row(&output).ends_with('▅'), "{}", row(&output));
    output.lines[0].points.clear();
    assert!(row(&output).ends_with('–'), "{}", row(&output));
}
