//! Reported against true: what is right, and how it is shown. Pure.

use std::fmt::Write as _;

use dyno_model::histogram::LatencyHistogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    pacing::Pacing,
    record::{Counts, Percentiles},
    scenario::{Arrivals, Law, Script},
    truth::{Bracket, TrueLatencies},
};

/// Version of [`TruthOutput`].
pub const TRUTH_OUTPUT_VERSION: u32 = 1;
/// How far a right figure may be from the truth.
pub const TOLERANCE: f64 = 0.01;
/// How far it may be from the truth of another run: on a machine that isn't quiet, runs differ by themselves.
pub const TOLERANCE_OF_ANOTHER_RUN: f64 = 0.05;

/// The six figures that are compared, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures<T> {
    /// Median.
    pub p50: T,
    /// 90th percentile.
    pub p90: T,
    /// 95th percentile.
    pub p95: T,
    /// 99th percentile.
    pub p99: T,
    /// 99.9th percentile.
    pub p99_9: T,
    /// Mean.
    pub mean: T,
}

/// Which figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Which {
    /// The percentile of this share, 0 to 1.
    Percentile(f64),
    /// The mean.
    Mean,
}

impl<T> Figures<T> {
    /// Each of them.
    pub fn each(mut value: impl FnMut(Which) -> T) -> Self {
        Self {
            p50: value(Which::Percentile(0.5)),
            p90: value(Which::Percentile(0.9)),
            p95: value(Which::Percentile(0.95)),
            p99: value(Which::Percentile(0.99)),
            p99_9: value(Which::Percentile(0.999)),
            mean: value(Which::Mean),
        }
    }

    /// All of them in the order of a table.
    pub const fn all(&self) -> [&T; 6] {
        [&self.p50, &self.p90, &self.p95, &self.p99, &self.p99_9, &self.mean]
    }

    /// The one.
    pub fn get(&self, which: Which) -> &T {
        match which {
            Which::Mean => &self.mean,
            Which::Percentile(share) if share < 0.7 => &self.p50,
            Which::Percentile(share) if share < 0.92 => &self.p90,
            Which::Percentile(share) if share < 0.97 => &self.p95,
            Which::Percentile(share) if share < 0.995 => &self.p99,
            Which::Percentile(_) => &self.p99_9,
        }
    }
}

/// A figure as a tool tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figure {
    /// Value in nanoseconds.
    pub ns: f64,
    /// The step in which it is told, in nanoseconds: of its histogram, or its last printed digit.
    pub step_ns: f64,
}

/// What a tool reports of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reported {
    /// Latencies, where it tells them.
    pub figures: Figures<Option<Figure>>,
    /// Requests that it says it made.
    pub requests: u64,
}

impl Reported {
    /// What a histogram of this project's own engine says.
    pub fn of(histogram: &LatencyHistogram, requests: u64) -> Self {
        let figure = |ns: f64| {
            let range = histogram.inner().equivalent_range(ns as u64);
            Figure { ns, step_ns: range as f64 }
        };
        let figures = Figures::each(|which| match which {
            Which::Percentile(share) => histogram.quantile_ns(share).map(|ns| figure(ns as f64)),
            Which::Mean => histogram.mean_ns().map(figure),
        });
        Self { figures, requests }
    }
}

/// Whether a figure is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Within 1 % of the truth (5 % of another run's) or the step in which it is told.
    Right,
    /// Farther.
    Wrong,
    /// Not scored: the truth stands on a jump, where one request more or less moves it far.
    OnJump,
    /// The tool doesn't tell it.
    NotTold,
}

/// A figure against the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// As the tool says, in microseconds.
    pub reported_us: Option<f64>,
    /// Least that the truth can be, in microseconds.
    pub true_low_us: f64,
    /// Most that the truth can be, in microseconds.
    pub true_high_us: f64,
    /// Reported over the nearest true value: 1 where it lies between least and most.
    pub ratio: Option<f64>,
    /// Whether it is right.
    pub outcome: Outcome,
}

/// Judges one figure: right within `tolerance` of what the truth can be, or within the step in which it is told.
pub fn judge(reported: Option<Figure>, truth: Bracket, tolerance: f64, on_jump: bool) -> Judged {
    let Some(figure) = reported else {
        return Judged {
            reported_us: None,
            true_low_us: truth.low_ns / 1e3,
            true_high_us: truth.high_ns / 1e3,
            ratio: None,
            outcome: Outcome::NotTold,
        };
    };
    let nearest_ns = figure.ns.clamp(truth.low_ns, truth.high_ns);
    let away_ns = (figure.ns - nearest_ns).abs();
    let outcome = match () {
        () if away_ns <= (tolerance * nearest_ns).max(figure.step_ns) => Outcome::Right,
        () if on_jump => Outcome::OnJump,
        () => Outcome::Wrong,
    };
    Judged {
        reported_us: Some(figure.ns / 1e3),
        true_low_us: truth.low_ns / 1e3,
        true_high_us: truth.high_ns / 1e3,
        ratio: (nearest_ns > 0.0).then(|| figure.ns / nearest_ns),
        outcome,
    }
}

/// A run without requests has no truth, and nothing to be right about.
fn judge_if_known(reported: Option<Figure>, truth: Option<Bracket>, tolerance: f64, on_jump: bool) -> Judged {
    match truth {
        Some(truth) => judge(reported, truth, tolerance, on_jump),
        None => judge(None, Bracket::exactly(0.0), tolerance, on_jump),
    }
}

/// Judges everything that a tool reports of a run whose every request the server recorded.
pub fn judge_exactly(reported: &Reported, truth: &TrueLatencies) -> Figures<Judged> {
    Figures::each(|which| {
        let bracket = match which {
            Which::Percentile(share) => truth.bracket(share),
            Which::Mean => truth.mean(),
        };
        judge_if_known(*reported.figures.get(which), bracket, TOLERANCE, false)
    })
}

/// Judges what a tool reports of a run whose schedule isn't known, against `truth` of an exact run of the same
/// scenario. Where the closed form jumps nothing is scored, for another run may fall to the other side.
pub fn judge_by_another(reported: &Reported, truth: &TrueLatencies, law: Option<&Law>) -> Figures<Judged> {
    Figures::each(|which| {
        let (bracket, on_jump) = match which {
            Which::Percentile(share) => (truth.bracket(share), law.is_some_and(|law| law.on_jump(share))),
            Which::Mean => (truth.mean(), false),
        };
        judge_if_known(*reported.figures.get(which), bracket, TOLERANCE_OF_ANOTHER_RUN, on_jump)
    })
}

/// How a tool made the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// By a schedule.
    Open,
    /// Each connection sends when it is answered.
    Closed,
}

/// What is behind the truth of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// Each request of this very run: answered by the server's record, less due by the schedule.
    ItsOwnRun,
    /// Dyno's run of the same scenario: this tool's schedule isn't known.
    DynosRun,
}

/// One tool in one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Which tool, and in which mode.
    pub tool: String,
    /// Its version, as it says.
    pub version: String,
    /// The command, or how the engine was called.
    pub command: String,
    /// How it made the load.
    pub model: Model,
    /// What is behind the truth.
    pub against: Against,
    /// Its figures.
    pub figures: Figures<Judged>,
    /// Requests that it says it made.
    pub requests: u64,
    /// What the server counted meanwhile.
    pub seen: Counts,
    /// How its requests came to the server.
    pub pacing: Option<Pacing>,
    /// How much later than the script wants it the server answered: its own error.
    pub timer_error: Percentiles,
    /// How late the tool itself was in sending, where it tells: part of its latencies, and of the true ones.
    pub late: Option<Percentiles>,
    /// Why there are no figures, if it failed.
    pub failed: Option<String>,
}

impl Row {
    /// Every figure that is told and scored is right.
    pub fn is_right(&self) -> bool {
        self.failed.is_none() && self.figures.all().iter().all(|one| one.outcome != Outcome::Wrong)
    }
}

/// One scenario with one number of connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioOutput {
    /// How the server answered.
    pub script: Script,
    /// Offered rate in requests per second.
    pub rate_per_s: f64,
    /// How requests are spread.
    pub arrivals: Arrivals,
    /// Length of the schedule in seconds.
    pub seconds: f64,
    /// Connections that may be in use at once.
    pub connections: u32,
    /// The closed form for an endless run with connections enough, in microseconds; null where there is none.
    pub closed_form_us: Figures<Option<f64>>,
    /// An ideal generator with so many connections and the same schedule, in microseconds.
    pub ideal_us: Figures<Option<f64>>,
    /// The true latencies of dyno's run, in microseconds.
    pub true_us: Figures<Option<f64>>,
    /// The tools.
    pub rows: Vec<Row>,
}

/// Everything that `dyno truth` found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TruthOutput {
    /// Version of this format.
    pub version: u32,
    /// Version of dyno.
    pub dyno: String,
    /// Every figure of dyno's open loops is right and every request was counted at both ends.
    pub right: bool,
    /// The scenarios.
    pub scenarios: Vec<ScenarioOutput>,
}

/// Width of the text table.
const NAME: usize = 17;
const CELL: usize = 9;

fn milliseconds(us: f64) -> String {
    match us / 1e3 {
        ms if ms >= 1000.0 => format!("{ms:.0}"),
        ms if ms >= 100.0 => format!("{ms:.1}"),
        ms if ms >= 10.0 => format!("{ms:.2}"),
        ms => format!("{ms:.3}"),
    }
}

fn ratio_text(judged: &Judged) -> String {
    let Some(ratio) = judged.ratio else { return String::new() };
    let mark = match judged.outcome {
        Outcome::Wrong => "!",
        Outcome::OnJump => "~",
        Outcome::Right | Outcome::NotTold => "",
    };
    match ratio {
        ratio if ratio < 0.1 => format!("{ratio:.4}{mark}"),
        ratio if ratio < 10.0 => format!("{ratio:.3}{mark}"),
        ratio => format!("{ratio:.1}{mark}"),
    }
}

fn line(text: &mut String, name: &str, cells: [String; 6], last: &str) {
    let name: String = name.chars().take(NAME).collect();
    let mut line = format!("{name:<NAME$}");
    for cell in cells {
        let _ = write!(line, "{cell:>CELL$}");
    }
    let _ = write!(line, "{last:>9}");
    text.push_str(line.trim_end());
    text.push('\n');
}

fn optional(figures: &Figures<Option<f64>>) -> [String; 6] {
    figures.all().map(|us| us.map_or_else(|| "–".to_owned(), milliseconds))
}

const WHAT: [&str; 6] = ["p50", "p90", "p95", "p99", "p99.9", "mean"];

impl ScenarioOutput {
    fn title(&self) -> String {
        let arrivals = match self.arrivals {
            Arrivals::Uniform => "uniform",
            Arrivals::Poisson => "Poisson",
        };
        format!(
            "{}: {}\n{}/s {arrivals} for {} s, {} connections",
            self.script.name(),
            self.script,
            self.rate_per_s,
            self.seconds,
            self.connections
        )
    }

    fn text(&self) -> String {
        let mut text = self.title() + "\n";
        line(&mut text, "ms", WHAT.map(str::to_owned), "requests");
        line(&mut text, "closed form", optional(&self.closed_form_us), "");
        line(&mut text, "ideal generator", optional(&self.ideal_us), "");
        line(&mut text, "true, as recorded", optional(&self.true_us), "");
        for row in &self.rows {
            if let Some(reason) = &row.failed {
                let _ = writeln!(text, "{:<NAME$}failed: {reason}", row.tool);
                continue;
            }
            let cells = row
                .figures
                .all()
                .map(|judged| judged.reported_us.map_or_else(|| "–".to_owned(), milliseconds));
            line(&mut text, &row.tool, cells, &row.requests.to_string());
            let closed = if row.model == Model::Closed { "  closed loop" } else { "  / true" };
            let missed = row.seen.requests.abs_diff(row.requests);
            let last = if missed > 0 { format!("{}", row.seen.requests) } else { String::new() };
            line(&mut text, closed, row.figures.all().map(ratio_text), &last);
        }
        text
    }

    fn pacing_text(&self) -> String {
        let mut text = String::new();
        for row in self.rows.iter().filter(|row| row.model == Model::Open && row.failed.is_none()) {
            let Some(pacing) = row.pacing else { continue };
            let name: String = row.tool.chars().take(15).collect();
            let _ = write!(text, "  {name:<15}");
            let _ = write!(
                text,
                " gaps vary {:>5.2}, {:>4.1} % short;",
                pacing.gap_variation,
                pacing.short_gaps * 100.0
            );
            let _ = match self.arrivals {
                Arrivals::Uniform => writeln!(
                    text,
                    " off by p50 {:.0} us, p99 {:.0} us",
                    pacing.schedule_error_p50_us, pacing.schedule_error_p99_us
                ),
                Arrivals::Poisson => writeln!(text, " A² {:.2} (Poisson: < 1.96)", pacing.a_squared),
            };
        }
        text
    }
}

/// The table for a terminal of 80 columns.
pub fn text(output: &TruthOutput) -> String {
    let mut text = String::new();
    for scenario in &output.scenarios {
        text += &scenario.text();
        let pacing = scenario.pacing_text();
        if !pacing.is_empty() {
            let _ = write!(text, "requests as the server received them\n{pacing}");
        }
        let error = scenario.rows.iter().map(|row| row.timer_error.p99_us).fold(0.0, f64::max);
        if let Some(late) = scenario.rows.iter().find_map(|row| row.late) {
            let _ = writeln!(
                text,
                "dyno itself was late by p50 {:.0} us, p99 {:.0} us",
                late.p50_us, late.p99_us
            );
        }
        let _ = writeln!(text, "the server's own lateness: p99 {error:.0} us at most\n");
    }
    text += "! farther from the truth than 1 % and than its own step; ~ not scored, for the\n";
    text += "truth stands on a jump; – not told. Below a count: what the server saw.\n";
    text += "Other tools: against dyno's run of the same scenario, and within 5 %.\n";
    text += if output.right { "dyno is right everywhere\n" } else { "dyno is NOT right everywhere\n" };
    text
}

/// The table in Markdown.
pub fn markdown(output: &TruthOutput) -> String {
    let mut text = String::from("# Reported against true\n");
    let _ = writeln!(text, "\ndyno {}. Milliseconds, and in brackets reported over true.", output.dyno);
    for scenario in &output.scenarios {
        let _ = writeln!(text, "\n## {}\n", scenario.title().replace('\n', "; "));
        text += "| | p50 | p90 | p95 | p99 | p99.9 | mean | requests | server saw |\n";
        text += "|---|---|---|---|---|---|---|---|---|\n";
        let known = [
            ("closed form", &scenario.closed_form_us),
            ("ideal generator", &scenario.ideal_us),
            ("true, as recorded", &scenario.true_us),
        ];
        for (name, figures) in known {
            let _ = writeln!(text, "| *{name}* | {} | | |", optional(figures).join(" | "));
        }
        for row in &scenario.rows {
            if let Some(reason) = &row.failed {
                let _ =
                    writeln!(text, "| {} | failed: {} | | | | | | | |", row.tool, reason.replace('|', "/"));
                continue;
            }
            let cells = row.figures.all().map(|judged| match (judged.reported_us, judged.outcome) {
                (None, _) => "–".to_owned(),
                (Some(us), Outcome::Wrong) => {
                    format!("**{} ({})**", milliseconds(us), ratio_text(judged).trim_end_matches('!'))
                }
                (Some(us), _) => format!("{} ({})", milliseconds(us), ratio_text(judged)),
            });
            let (tool, seen) = (&row.tool, row.seen.requests);
            let _ = writeln!(text, "| {tool} | {} | {} | {seen} |", cells.join(" | "), row.requests);
        }
        let pacing = scenario.pacing_text();
        if !pacing.is_empty() {
            let _ = writeln!(text, "\nRequests as the server received them:\n\n```\n{pacing}```");
        }
        text += "\n";
        for row in &scenario.rows {
            let _ = writeln!(text, "- {}, {}: `{}`", row.tool, row.version, row.command);
        }
    }
    text += "\nBold: farther than 1 % (other tools, compared with dyno's run: 5 %) and its own step from the truth. `~`: the truth stands on a jump, not scored.\n";
    text
}

#[cfg(test)]
mod tests {
    use dyno_model::Span;

    use super::*;

    fn figure(ms: f64) -> Option<Figure> {
        Some(Figure { ns: ms * 1e6, step_ns: 1e4 })
    }

    #[test]
    fn right_is_within_a_hundredth_or_the_step() {
        let truth = Bracket { low_ns: 100e6, high_ns: 101e6 };
        let outcome = |ms, on_jump| judge(figure(ms), truth, TOLERANCE, on_jump).outcome;
        assert_eq!(outcome(99.01, false), Outcome::Right);
        assert_eq!(outcome(102.0, false), Outcome::Right);
        assert_eq!((outcome(98.9, false), outcome(102.1, false)), (Outcome::Wrong, Outcome::Wrong));
        assert_eq!((outcome(1.0, true), outcome(100.5, true)), (Outcome::OnJump, Outcome::Right));
        assert_eq!(judge(None, truth, TOLERANCE, false).outcome, Outcome::NotTold);
        // A tool that prints hundredths of a millisecond can't say 0.105 ms better than 0.11.
        assert_eq!(judge(figure(0.11), Bracket::exactly(0.105e6), TOLERANCE, false).outcome, Outcome::Right);
        assert_eq!(judge(figure(0.12), Bracket::exactly(0.105e6), TOLERANCE, false).outcome, Outcome::Wrong);
        assert_eq!(judge(figure(100.5), truth, TOLERANCE, false).ratio, Some(1.0));
        assert_eq!(judge(figure(50.0), truth, TOLERANCE, false).ratio, Some(0.5));
    }

    #[test]
    fn figures_are_found_by_what_they_are() {
        let figures = Figures::each(|which| which);
        let _ = Figures::each(|which| assert_eq!(*figures.get(which), which));
    }

    fn output() -> TruthOutput {
        let figures = Figures::each(|which| match which {
            Which::Percentile(share) if share > 0.98 => {
                judge(figure(1.1), Bracket::exactly(1234.5e6), TOLERANCE, false)
            }
            Which::Mean => judge(None, Bracket::exactly(1e6), TOLERANCE, false),
            Which::Percentile(_) => judge(figure(1.1), Bracket::exactly(1.1e6), TOLERANCE, false),
        });
        let row = Row {
            tool: "a tool of a very long name".to_owned(),
            version: "1".to_owned(),
            command: "tool -c 10".to_owned(),
            model: Model::Open,
            against: Against::DynosRun,
            figures,
            requests: 1_234_567,
            seen: Counts { requests: 1_234_568, ..Counts::default() },
            pacing: Some(Pacing::default()),
            timer_error: Percentiles::default(),
            late: Some(Percentiles::default()),
            failed: None,
        };
        let failed = Row { tool: "k6".to_owned(), failed: Some("it | broke".to_owned()), ..row.clone() };
        let us = Figures::each(|_| Some(1_234_567.0));
        TruthOutput {
            version: TRUTH_OUTPUT_VERSION,
            dyno: "0".to_owned(),
            right: false,
            scenarios: vec![ScenarioOutput {
                script: Script::Mm1 { service: Span::milliseconds(2), seed: 1 },
                rate_per_s: 200.0,
                arrivals: Arrivals::Poisson,
                seconds: 20.0,
                connections: 300,
                closed_form_us: us,
                ideal_us: us,
                true_us: Figures::each(|_| None),
                rows: vec![row, failed],
            }],
        }
    }

    #[test]
    fn the_text_has_eighty_columns_and_marks_what_is_wrong() {
        let text = text(&output());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("0.0009!") && text.contains("1.000") && text.contains("1234568"), "{text}");
        assert!(text.contains("NOT right") && text.contains("failed: it | broke"), "{text}");
    }

    #[test]
    fn the_markdown_has_nine_cells_in_every_row() {
        let text = markdown(&output());
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows.iter().all(|row| row.matches('|').count() == 10), "{text}");
        assert!(text.contains("**1.100 (0.0009)**"), "{text}");
    }

    #[test]
    fn the_output_is_read_again() {
        let json = serde_json::to_string(&output()).unwrap();
        assert_eq!(serde_json::from_str::<TruthOutput>(&json).unwrap(), output());
    }
}
