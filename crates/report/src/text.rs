//! Tables for a terminal: they fit 80 columns, and tell more where there are more.

use std::fmt::Write;

use dyno_analyse::{Analysis, Curve};
use dyno_model::{
    Operation, StackName,
    check::{CheckOutcome, CheckRow, Recovery, SchemaDifference},
    output::{Comparison, Estimate, Metric, SelfCheckOutcome, Verdict},
    record::{NotRun, NotRunKind, Run},
};

use crate::{
    doubts::{self, EFFECT, beside_noise, grade},
    figures::{number, outcome, rank, ratio, spread, valid_blocks},
    spark::spark,
};

/// Columns of a terminal that tells none.
pub const COLUMNS: usize = 80;
/// Most columns of a sentence: longer lines are hard to read.
const SENTENCE: usize = 110;
/// Fewest columns of a stack's name; longer names widen the table.
const NAME: usize = 27;
/// Columns of a wide table beside its names.
const WIDE: usize = 89;
/// Heads of what a wide table has more.
const SPARKLINE: &str = "p10 to p99.9";

/// Where a table is shown.
#[derive(Clone, Copy)]
pub struct Screen {
    /// Whether it knows bold.
    pub color: bool,
    /// Characters of a line.
    pub columns: usize,
}

impl Default for Screen {
    /// A file or a pipe.
    fn default() -> Self {
        Self { color: false, columns: COLUMNS }
    }
}

impl Screen {
    fn bold(self, words: &str) -> String {
        if self.color { format!("\x1b[1m{words}\x1b[0m") } else { words.to_owned() }
    }

    fn wrap(self, text: &str, indent: usize) -> String {
        wrap(text, self.columns.clamp(COLUMNS, SENTENCE), indent)
    }

    fn is_wide(self, run: &Run) -> bool {
        self.columns >= name_width(run) + WIDE
    }
}

fn name_width(run: &Run) -> usize {
    run.prepared.iter().map(|one| one.stack.to_string().len()).max().unwrap_or(0).max(NAME)
}

/// The results of a run: sentences, a table for each operation, what couldn't run, what makes numbers less sure.
pub fn table(run: &Run, analysis: &Analysis, screen: Screen) -> String {
    let mut text = String::new();
    for sentence in &analysis.sentences {
        let _ = writeln!(text, "{}", screen.wrap(sentence, 2));
    }
    for &operation in &run.plan.operations {
        if analysis.results.iter().any(|one| one.operation == operation) {
            let rate = run.plan.latency.as_ref().and_then(|latency| latency.rates.get(&operation));
            let at = rate.map_or_else(String::new, |rate| format!(", latencies at {rate}"));
            let _ = writeln!(text, "\n{}{at}", screen.bold(operation.name()));
            text += &operation_table(run, analysis, operation, screen);
        }
    }
    text += &footer(run, analysis, screen);
    text
}

/// A column of an operation's table.
struct Column {
    head: &'static str,
    width: usize,
    metric: Option<Metric>,
    /// What a metric's figures are divided by.
    scale: f64,
}

impl Column {
    const fn of(head: &'static str, width: usize, metric: Metric, scale: f64) -> Self {
        Self { head, width, metric: Some(metric), scale }
    }

    /// Those beside rank, stack and throughput, for a screen. One that no stack has anything for isn't there.
    fn all(analysis: &Analysis, operation: Operation, wide: bool) -> Vec<Self> {
        const MIB: f64 = 1024.0 * 1024.0;
        let has = |metric: Metric| {
            analysis.results.iter().any(|one| one.operation == operation && one.metric == metric)
        };
        let cpu = Self::of("CPU us", 8, Metric::CpuPerRequest, 1.0);
        let p50 = Self::of("p50 ms", 8, Metric::LatencyP50, 1e3);
        let p90 = Self::of("p90 ms", 8, Metric::LatencyP90, 1e3);
        let p99 = Self::of("p99 ms", 8, Metric::LatencyP99, 1e3);
        let all = if wide {
            let spread = Self { head: "", width: 6, metric: None, scale: 1.0 };
            vec![cpu, spread, p50, p90, p99, Self::of("MiB", 8, Metric::Memory, MIB)]
        } else {
            vec![cpu, p50, if has(Metric::LatencyP99) { p99 } else { p90 }]
        };
        let is_told = |column: &Self| has(column.metric.unwrap_or(Metric::CpuPerRequest));
        all.into_iter().filter(is_told).collect()
    }
}

fn operation_table(run: &Run, analysis: &Analysis, operation: Operation, screen: Screen) -> String {
    let find = |stack: &StackName, metric: Metric| {
        let mut all = analysis.results.iter();
        all.find(|one| one.stack == *stack && one.operation == operation && one.metric == metric)
    };
    let rates = sorted(analysis, operation, Metric::Throughput);
    let wide = screen.is_wide(run);
    let width = name_width(run);
    let ranked = rates.iter().any(|rate| rate.rank.is_some());
    let columns = Column::all(analysis, operation, wide);
    let spectrum = Spectrum::of(analysis, operation);
    let sparklines = wide && rates.iter().any(|rate| !spectrum.sparkline(&rate.stack).is_empty());
    let line = |rank: &str, name: &str, rate: String, cells: Vec<String>, sparkline: &str| {
        let rank = if ranked { format!("{rank:<4} ") } else { String::new() };
        let cells = columns.iter().zip(cells).map(|(column, cell)| format!(" {cell:>0$}", column.width));
        let line = format!("{rank}{name:<width$} {rate:>15}{}  {sparkline}", cells.collect::<String>());
        format!("{}\n", line.trim_end())
    };
    let heads = columns.iter().map(|column| column.head.to_owned()).collect();
    let mut text =
        line("rank", "stack", "requests/s".to_owned(), heads, if sparklines { SPARKLINE } else { "" });
    for rate in rates {
        let cells = columns.iter().map(|column| match column.metric {
            Some(metric) => find(&rate.stack, metric)
                .map_or_else(|| "–".to_owned(), |one| number(one.estimate / column.scale)),
            None => find(&rate.stack, Metric::CpuPerRequest).map_or_else(String::new, spread),
        });
        let throughput = format!("{:>8} {:>6}", number(rate.estimate), spread(rate));
        let sparkline = if sparklines { spectrum.sparkline(&rate.stack) } else { String::new() };
        text += &line(&rank(rate.rank), &rate.stack.to_string(), throughput, cells.collect(), &sparkline);
        // With a ratio the reason stands beside that.
        let is_compared =
            analysis.comparisons.iter().any(|one| one.a == rate.stack && one.operation == operation);
        let reason = doubts::own(run, analysis, &rate.stack, operation, Metric::Throughput);
        if let Some(reason) = reason.filter(|_| !is_compared) {
            let _ = writeln!(text, "{}", screen.wrap(&format!("     no verdict: {reason}"), 7));
        }
    }
    text + &ratios(run, analysis, operation, screen)
}

/// Latency by percentile of all stacks, on one logarithmic scale, so that their heights compare.
struct Spectrum<'a> {
    curves: Vec<&'a Curve>,
    low_us: f64,
    high_us: f64,
}

impl<'a> Spectrum<'a> {
    /// What the sparkline shows.
    const QUANTILES: [f64; 9] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999];

    fn of(analysis: &'a Analysis, operation: Operation) -> Self {
        let curves: Vec<&Curve> = analysis.curves.iter().filter(|one| one.operation == operation).collect();
        let shown = curves.iter().flat_map(|curve| &curve.points);
        let shown = shown.filter(|(quantile, us)| Self::QUANTILES.contains(quantile) && *us > 0.0);
        let (low_us, high_us) =
            shown.fold((f64::INFINITY, 0.0f64), |(low, high), (_, us)| (low.min(*us), high.max(*us)));
        Self { curves, low_us, high_us }
    }

    /// One mark for each percentile; it ends where too few requests are left.
    fn sparkline(&self, stack: &StackName) -> String {
        let Some(curve) = self.curves.iter().find(|curve| curve.stack == *stack) else {
            return String::new();
        };
        let level = |us: f64| {
            let share = (us / self.low_us).ln() / (self.high_us / self.low_us).ln();
            if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
        };
        let shown = curve.points.iter().filter(|(quantile, _)| Self::QUANTILES.contains(quantile));
        shown.map(|(_, us)| spark(level(*us))).collect()
    }
}

fn ratios(run: &Run, analysis: &Analysis, operation: Operation, screen: Screen) -> String {
    let of = |metric: Metric| {
        analysis.comparisons.iter().filter(move |one| one.operation == operation && one.metric == metric)
    };
    if of(Metric::Throughput).next().is_none() {
        return String::new();
    }
    let width = name_width(run);
    let mut text = format!("  against {}:\n", run.plan.baseline);
    let narrow = [("CPU", Metric::CpuPerRequest)];
    let more = [("CPU", Metric::CpuPerRequest), ("p50", Metric::LatencyP50)];
    for one in of(Metric::Throughput) {
        let mut line = format!("  {:<width$} {:<23}", one.a.to_string(), marked(one));
        for &(word, metric) in if screen.is_wide(run) { &more[..] } else { &narrow[..] } {
            let cell = of(metric).find(|other| other.a == one.a);
            let cell = cell.map_or_else(String::new, |other| format!("{word} {}", marked(other)));
            let _ = write!(line, "{cell:<30}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
        if let Some(reason) = doubts::own(run, analysis, &one.a, operation, Metric::Throughput) {
            let _ = writeln!(text, "{}", screen.wrap(&format!("    ! no verdict: {reason}"), 6));
        }
    }
    if let Some(reason) = doubts::of_baseline(run, analysis, operation, Metric::Throughput) {
        let _ = writeln!(text, "{}", screen.wrap(&format!("  ! {reason}"), 4));
    }
    text
}

/// A ratio with a mark: `=` a tie, `?` inconclusive, `!` no verdict.
fn marked(one: &Comparison) -> String {
    let mark = match one.verdict {
        Verdict::Different => "",
        Verdict::NoDifference => " =",
        Verdict::Inconclusive => " ?",
        Verdict::NoVerdict => " !",
    };
    format!("{}{mark}", ratio(one))
}

fn footer(run: &Run, analysis: &Analysis, screen: Screen) -> String {
    let mut text = String::new();
    let blocks = valid_blocks(analysis);
    let _ = writeln!(
        text,
        "\nRatios with 95 % intervals over {blocks}; = a tie (within 3 %), ? inconclusive,\n\
         ! no verdict. ± is half of the 95 % interval; ranks in one interval are ties.\n\
         CPU is that of server and front, per request."
    );
    text += &trust(analysis, screen);
    text += &checks(analysis, screen);
    text += &servers(analysis, screen);
    if !analysis.not_run.is_empty() {
        let _ = writeln!(text, "\n{}", screen.bold("Not measured, or not in every block"));
        for row in &analysis.not_run {
            let _ = writeln!(text, "  {}: {}", row.stack, row.reason.replace('\n', "\n    "));
        }
    }
    // One line for each kind of warning: the page has them all. A self-check has its line already.
    let mut kinds: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    let of_check = |id: &str| analysis.checks.iter().any(|check| check.id == id);
    for warning in analysis.warnings.iter().filter(|warning| !of_check(&warning.id)) {
        match kinds.iter_mut().find(|kind| kind.0 == warning.id) {
            Some(kind) => kind.2.push(&warning.subject),
            None => kinds.push((&warning.id, &warning.text, vec![&warning.subject])),
        }
    }
    if !kinds.is_empty() {
        let _ = writeln!(text, "\n{}", screen.bold("Warnings"));
        for (id, words, subjects) in kinds {
            let more = if subjects.len() > 1 {
                format!(" (and {} more)", subjects.len() - 1)
            } else {
                String::new()
            };
            let _ = writeln!(text, "{}", screen.wrap(&format!("  {id}: {}{more}: {words}", subjects[0]), 4));
        }
    }
    let _ = writeln!(text, "\nseed {}, {}", run.seed, run.command.join(" "));
    text
}

/// The letter with its reasons, and what noise did to the figures.
fn trust(analysis: &Analysis, screen: Screen) -> String {
    let trust = &analysis.trust;
    let none = if trust.reasons.is_empty() { ": no reason to doubt" } else { "" };
    let mut text = format!("\n{}\n", screen.bold(&format!("Trust {}{none}", grade(trust))));
    for reason in &trust.noise {
        let _ = writeln!(text, "{}", screen.wrap(&format!("  - {reason}"), 4));
    }
    if !trust.noise.is_empty() {
        let _ = writeln!(text, "  {EFFECT}");
    }
    for reason in beside_noise(trust) {
        let _ = writeln!(text, "{}", screen.wrap(&format!("  - {reason}"), 4));
    }
    text
}

/// What servers with statistics of their own say, saturated.
fn servers(analysis: &Analysis, screen: Screen) -> String {
    if analysis.servers.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{}\n",
        screen.bold("What servers say of themselves, saturated (least and most of a slice)")
    );
    for one in &analysis.servers {
        let percent = |share: f64| (share * 100.0).round();
        let _ = writeln!(
            text,
            "  {} {}: threads busy {} to {} %, up to {} connections queued, {} slices",
            one.stack,
            one.operation,
            percent(one.busy.0),
            percent(one.busy.1),
            one.queue,
            one.slices
        );
    }
    text
}

/// The self-checks that don't pass, worst first, and the names of those that do.
fn checks(analysis: &Analysis, screen: Screen) -> String {
    let mut text = String::new();
    let of = |wanted| analysis.checks.iter().filter(move |check| check.outcome == wanted);
    let passed: Vec<&str> = of(SelfCheckOutcome::Pass).map(|check| check.id.as_str()).collect();
    if !passed.is_empty() {
        let _ = writeln!(text, "Self-checks that pass: {}.", passed.join(", "));
    }
    let others = [SelfCheckOutcome::Fail, SelfCheckOutcome::Flag, SelfCheckOutcome::NotMade];
    if others.iter().any(|&wanted| of(wanted).next().is_some()) {
        let _ = writeln!(text, "\n{}", screen.bold("Self-checks that don't pass"));
    }
    for check in others.into_iter().flat_map(of) {
        let line = format!("  {} {}: {}", check.id, outcome(check.outcome), check.words);
        let _ = writeln!(text, "{}", screen.wrap(&line, 4));
    }
    text
}

/// Breaks a text into lines of at most `width`, further lines indented.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let words = text.trim_start_matches(' ');
    let mut lines = vec![" ".repeat(text.len() - words.len())];
    for (at, word) in words.split(' ').enumerate() {
        let last = lines.last_mut().expect("there is always a line");
        if at > 0 && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{}{word}", " ".repeat(indent)));
        } else {
            if at > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines.join("\n")
}

/// The contract's rows: one line for each stack, one column for each operation, failures below.
///
/// Over the whole field, `short`, an operation that passed has no line of its own.
pub fn check_table(rows: &[CheckRow], not_run: &[NotRun], short: bool) -> String {
    let mut stacks: Vec<&StackName> = rows.iter().map(|row| &row.stack).collect();
    stacks.dedup();
    let mut text = String::new();
    for stack in &stacks {
        let of: Vec<&CheckRow> = rows.iter().filter(|row| row.stack == **stack).collect();
        let count = |outcome| of.iter().filter(|row| row.outcome == outcome).count();
        let (passed, failed) = (count(CheckOutcome::Pass), count(CheckOutcome::Fail));
        let missing = count(CheckOutcome::NotOffered);
        let state = if failed == 0 { "pass" } else { "FAIL" };
        let _ = writeln!(
            text,
            "{:<34} {state}  {passed} passed, {failed} failed, {missing} not offered",
            stack.to_string()
        );
        for row in of.iter().filter(|row| !short || row.outcome == CheckOutcome::Fail) {
            let mark = match row.outcome {
                CheckOutcome::Pass => "pass",
                CheckOutcome::Fail => "FAIL",
                CheckOutcome::NotOffered => "not offered",
            };
            let _ = writeln!(text, "    {:<16} {mark:<12} {}", row.operation, row.detail);
        }
    }
    for row in not_run {
        let _ = writeln!(
            text,
            "{:<34} cannot run: {}",
            row.stack.to_string(),
            row.reason.replace('\n', "\n    ")
        );
    }
    if short {
        let failed = |stack: &&StackName| {
            rows.iter().any(|row| row.stack == **stack && row.outcome == CheckOutcome::Fail)
        };
        let red = stacks.iter().filter(|stack| failed(stack)).count();
        let of = |kind| not_run.iter().filter(|row| row.kind == kind).count();
        let _ = writeln!(
            text,
            "\n{} rows: {} pass, {red} fail, {} can't be started; cannot run: {} for a missing part, {} impossible",
            stacks.len() + not_run.len(),
            stacks.len() - red,
            of(NotRunKind::Failed),
            of(NotRunKind::Missing),
            of(NotRunKind::Impossible),
        );
    }
    text
}

/// Where apps' own OpenAPI documents differ from the contract's. Stacks of one app that say the same are one line.
pub fn differences_table(differences: &[SchemaDifference]) -> String {
    let mut stacks: Vec<(&SchemaDifference, Vec<String>)> = Vec::new();
    for one in differences {
        let same = |other: &SchemaDifference| {
            (&other.stack.app, &other.operation, &other.place, &other.contract, &other.app)
                == (&one.stack.app, &one.operation, &one.place, &one.contract, &one.app)
        };
        match stacks.iter_mut().find(|(other, _)| same(other)) {
            Some((_, names)) => names.push(one.stack.to_string()),
            None => stacks.push((one, vec![one.stack.to_string()])),
        }
    }
    if stacks.is_empty() {
        return String::new();
    }
    let mut text = "\nOpenAPI documents that differ from the contract's\n".to_owned();
    let mut shown: &[String] = &[];
    for (one, names) in &stacks {
        if names != shown {
            let _ = writeln!(text, "{}", names.join(", "));
            shown = names;
        }
        let place = format!("{} {}", one.operation, one.place);
        let _ = writeln!(text, "    {place:<64} contract: {}; app: {}", one.contract, one.app);
    }
    text
}

/// How stacks take an outage of their database.
pub fn recovery_table(recovery: &[Recovery]) -> String {
    if recovery.is_empty() {
        return String::new();
    }
    let mut text = "\nThe database goes away and comes back\n".to_owned();
    for one in recovery {
        let _ = writeln!(text, "{:<34} {:<10} {}", one.stack.to_string(), one.outcome.word(), one.detail);
    }
    text
}

/// For the page: the estimates of one metric and operation, best first.
pub fn sorted(analysis: &Analysis, operation: Operation, metric: Metric) -> Vec<&Estimate> {
    let mut all: Vec<&Estimate> =
        analysis.results.iter().filter(|one| one.operation == operation && one.metric == metric).collect();
    all.sort_by(|a, b| {
        if metric.more_is_better() {
            b.estimate.total_cmp(&a.estimate)
        } else {
            a.estimate.total_cmp(&b.estimate)
        }
    });
    all
}
