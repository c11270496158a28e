//! A history of anchored ratios: for a terminal, as Markdown and as CSV.

use std::{collections::BTreeMap, fmt::Write};

use dyno_model::{
    Operation, StackName,
    history::{HistoryLine, HistoryOutput, HistoryPoint, ProposedChange},
    output::Metric,
};

use crate::{
    csv::{Sheet, maybe},
    markdown,
    spark::spark,
    text::wrap,
};

/// Points of a sparkline: the newest.
const SPARKS: usize = 32;
/// Columns of an interval's plot.
const COLUMNS: usize = 20;
/// A sparkline's range is this around its middle at least, so that noise doesn't look like mountains.
const CALM: f64 = 1.03;
/// Differences between two runs that a terminal names before it only counts.
const FACTS: usize = 8;
/// Runs of one reason that are named before they are only counted.
const NAMED: usize = 3;

/// For a terminal. The runs of a line are listed where `whole`, and where a change is proposed.
pub fn history_text(output: &HistoryOutput, whole: bool) -> String {
    let mut text = String::new();
    let width = output.lines.iter().map(|line| line.stack.to_string().len()).max().unwrap_or(0).max(24);
    let mut head = None;
    for line in &output.lines {
        let of = head_of(line);
        if head != Some(of) {
            head = Some(of);
            let words = format!(
                "{}, {}, over {} ({})",
                line.operation,
                line.metric.name().replace('_', " "),
                line.anchor,
                line.conditions
            );
            let _ = writeln!(text, "{}{}", if text.is_empty() { "" } else { "\n" }, wrap(&words, 80, 2));
        }
        let _ = writeln!(text, "  {:<width$} {}", line.stack.to_string(), summary(line));
    }
    for line in output.lines.iter().filter(|line| whole || !line.changes.is_empty()) {
        text += &detail(line);
    }
    text += &footer(output);
    text
}

fn head_of(line: &HistoryLine) -> (Operation, Metric, &StackName, &str) {
    (line.operation, line.metric, &line.anchor, &line.conditions)
}

/// Runs, the newest ratio, the sparkline, and how many changes are proposed.
fn summary(line: &HistoryLine) -> String {
    let left_out = line.points.len() - line.counted().count();
    let runs = match left_out {
        0 => format!("{:>4}", line.points.len()),
        _ => format!("{:>4}", format!("{}-{left_out}", line.points.len())),
    };
    let newest = line.counted().last().map_or_else(|| "–".to_owned(), ratio);
    let changes = match line.changes.len() {
        0 => String::new(),
        1 => format!("  change proposed: {}", percent(line.changes[0].change.ratio)),
        count => format!("  {count} changes proposed"),
    };
    format!("{runs}  {newest:<22} {}{changes}", sparkline(line)).trim_end().to_owned()
}

/// The ratios that count, on a logarithmic scale.
fn sparkline(line: &HistoryLine) -> String {
    let logs: Vec<f64> = line.counted().filter_map(|point| point.ratio).map(f64::ln).collect();
    let logs = &logs[logs.len().saturating_sub(SPARKS)..];
    let (low, high) = range(logs.iter().copied());
    let middle = f64::midpoint(low, high);
    let half = ((high - low) / 2.0).max(CALM.ln());
    logs.iter().map(|log| spark((log - middle + half) / (2.0 * half))).collect()
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// A line's runs, one by one, with the changes between them.
fn detail(line: &HistoryLine) -> String {
    let mut text = format!(
        "\n{} over {}, {} {}\n",
        line.stack,
        line.anchor,
        line.operation,
        line.metric.name().replace('_', " ")
    );
    let width = line.points.iter().map(|point| point.run.len()).max().unwrap_or(0).max(12);
    let axis = axis(line);
    if let Some((low, high)) = axis {
        let (from, to) = (format!("{:.3}", low.exp()), format!("{:.3}", high.exp()));
        let room = COLUMNS.saturating_sub(from.len());
        let _ = writeln!(text, "  {:<width$} {:<24} {from}{to:>room$}", "run", "ratio, 95 %");
    }
    for point in &line.points {
        if let Some(change) = line.changes.iter().find(|change| change.first_after == point.run) {
            let _ = writeln!(text, "  {:-<1$}", format!("--- {} ", size(change)), width + 26 + COLUMNS);
        }
        let row = match (point.counts(), axis) {
            (true, Some(axis)) => {
                let grade = if point.trust == 'C' { " C" } else { "" };
                format!("{:<24} {}", format!("{}{grade}", ratio(point)), bar(point, axis))
            }
            _ => format!("left out: {}", point.left_out),
        };
        let _ = writeln!(text, "  {:<width$} {}", point.run, row.trim_end());
    }
    for change in &line.changes {
        text += &proposal(change);
    }
    text
}

/// The logarithms that a line's plot reaches from and to.
fn axis(line: &HistoryLine) -> Option<(f64, f64)> {
    let ends = line.counted().flat_map(|point| [point.low, point.ratio, point.high]).flatten();
    let (low, high) = range(ends.filter(|end| *end > 0.0).map(f64::ln));
    (low.is_finite() && high.is_finite())
        .then(|| if high > low { (low, high) } else { (low - CALM.ln(), high + CALM.ln()) })
}

/// `  ───●──  `, in columns of the axis.
fn bar(point: &HistoryPoint, (low, high): (f64, f64)) -> String {
    let column = |value: f64| {
        let share = (value.ln() - low) / (high - low);
        (share * (COLUMNS - 1) as f64).round().clamp(0.0, (COLUMNS - 1) as f64) as usize
    };
    let mut bar = [' '; COLUMNS];
    if let Some((from, to)) = point.low.zip(point.high) {
        bar[column(from)..=column(to)].fill('─');
    }
    if let Some(ratio) = point.ratio {
        bar[column(ratio)] = '●';
    }
    bar.iter().collect()
}

/// `0.512 [0.500, 0.524]`.
fn ratio(point: &HistoryPoint) -> String {
    match (point.ratio, point.low, point.high) {
        (Some(ratio), Some(low), Some(high)) => format!("{ratio:.3} [{low:.3}, {high:.3}]"),
        (Some(ratio), ..) => format!("{ratio:.3} [?]"),
        _ => "–".to_owned(),
    }
}

/// `+10.2 %`.
fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

fn size(change: &ProposedChange) -> String {
    let one = &change.change;
    let p = if one.p < 0.0001 { "p below 0.0001".to_owned() } else { format!("p {:.4}", one.p) };
    format!(
        "change proposed: {}, {:.3} to {:.3}, {} and {} runs, {p}",
        percent(one.ratio),
        one.before,
        one.after,
        one.runs.0,
        one.runs.1
    )
}

/// Where a change is proposed, what differs there, and what decides it.
fn proposal(change: &ProposedChange) -> String {
    let mut text = format!("\n  {}\n", wrap(&size(change), 78, 2));
    let _ = writeln!(text, "    between {} and {}", change.last_before, change.first_after);
    for (at, one) in change.differs.iter().take(FACTS).enumerate() {
        let word = |fact: &Option<String>| shortened(fact.as_deref().unwrap_or("not recorded"));
        let begin = if at == 0 { "differs there: " } else { "" };
        let _ = writeln!(text, "    {begin:<15}{}: {} -> {}", one.fact, word(&one.a), word(&one.b));
    }
    match change.differs.len() {
        0 => text += "    differs there: nothing that the records tell\n",
        count if count > FACTS => _ = writeln!(text, "    {:<15}and {} more", "", count - FACTS),
        _ => {}
    }
    let _ = writeln!(text, "    {}", wrap(&format!("only a duet decides, {}:", change.how), 76, 6));
    for command in &change.decide {
        let _ = writeln!(text, "      {command}");
    }
    text
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(48) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How to read it, and what isn't in it.
fn footer(output: &HistoryOutput) -> String {
    let proposed = output.lines.iter().map(|line| line.changes.len()).sum::<usize>();
    let mut text = format!(
        "\n{}\n",
        wrap(
            &format!(
                "Each ratio is a stack's value over that of its run's baseline, the anchor, with its 95 % interval; a C behind it \
                 says that the run's trust is low; 17-1 means 17 \
                 runs, one of them left out. Changes of 3 % or more that are proposed: {proposed}. A proposal is no verdict: \
                 its place was chosen because it looks like a change."
            ),
            80,
            2
        )
    );
    let rows = left_out(output);
    if !rows.is_empty() {
        text += "\nLeft out: runs that allow no verdict\n";
        rows.iter().for_each(|(words, runs)| text += &reason(words, runs));
    }
    let mut skipped: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in &output.skipped {
        skipped.entry(&one.reason).or_default().push(one.run.clone());
    }
    if !skipped.is_empty() {
        text += "\nSkipped\n";
        skipped.iter().for_each(|(words, runs)| text += &reason(words, runs));
    }
    if output.unrelated > 0 {
        let _ = writeln!(text, "\n{} more without anything of what was asked for", output.unrelated);
    }
    text
}

/// What is left out anywhere, by reason, each run once.
fn left_out(output: &HistoryOutput) -> BTreeMap<&str, Vec<String>> {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for point in output.lines.iter().flat_map(|line| &line.points).filter(|point| !point.counts()) {
        let runs = all.entry(&point.left_out).or_default();
        if !runs.contains(&point.run) {
            runs.push(point.run.clone());
        }
    }
    all
}

fn reason(words: &str, runs: &[String]) -> String {
    let more = runs.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = runs.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    format!("  {}\n", wrap(&format!("{named}{more}: {words}"), 78, 4))
}

/// As Markdown.
pub fn history_markdown(output: &HistoryOutput) -> String {
    let mut text = "# History\n".to_owned();
    let mut head = None;
    let mut rows = Vec::new();
    let heads = ["stack", "history", "runs", "left out", "newest ratio, 95 %", "changes proposed"];
    for line in &output.lines {
        let of = head_of(line);
        if head.is_some_and(|head| head != of) {
            text += &markdown::table(&heads, 2, std::mem::take(&mut rows));
        }
        if head != Some(of) {
            head = Some(of);
            let (operation, metric) = (line.operation.name(), line.metric.name());
            let words = format!("{operation}, {metric}, over {} ({})", line.anchor, line.conditions);
            let _ = write!(text, "\n## {}\n\n", markdown::escape(&words));
        }
        let counted = line.counted().count();
        rows.push(vec![
            line.stack.to_string(),
            sparkline(line),
            counted.to_string(),
            (line.points.len() - counted).to_string(),
            line.counted().last().map_or_else(|| "–".to_owned(), ratio),
            line.changes.len().to_string(),
        ]);
    }
    text += &markdown::table(&heads, 2, rows);
    for line in output.lines.iter().filter(|line| !line.changes.is_empty()) {
        text += &changes_markdown(line);
    }
    let skipped = output.skipped.iter().map(|one| vec![one.run.clone(), one.reason.clone()]);
    let left_out = left_out(output);
    let left_out = left_out.iter().flat_map(|(reason, runs)| {
        runs.iter().map(move |run| vec![run.clone(), format!("allows no verdict: {reason}")])
    });
    let rows = markdown::table(&["run", "why"], 2, left_out.chain(skipped));
    if !rows.is_empty() {
        let _ = write!(text, "\n## Left out\n\n{rows}");
    }
    text
}

fn changes_markdown(line: &HistoryLine) -> String {
    let mut text = String::new();
    for change in &line.changes {
        let words = format!("{} over {}, {} {}", line.stack, line.anchor, line.operation, line.metric.name());
        let _ = write!(
            text,
            "\n### {}\n\n- {}\n- between {} and {}\n",
            markdown::escape(&words),
            markdown::escape(&size(change)),
            markdown::escape(&change.last_before),
            markdown::escape(&change.first_after)
        );
        for one in &change.differs {
            let word = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "not recorded".to_owned());
            let words = format!("{}: {} -> {}", one.fact, word(&one.a), word(&one.b));
            let _ = writeln!(text, "- differs there: {}", markdown::escape(&words));
        }
        let _ = writeln!(text, "- only a duet decides, {}:\n", markdown::escape(&change.how));
        for command in &change.decide {
            let _ = writeln!(text, "      {command}");
        }
    }
    text
}

/// As CSV: a row for each point, those that are left out too.
pub fn history_csv(output: &HistoryOutput) -> String {
    let mut sheet = Sheet::new(&[
        "stack",
        "anchor",
        "operation",
        "metric",
        "conditions",
        "run",
        "started",
        "ratio",
        "low",
        "high",
        "blocks",
        "trust",
        "left_out",
        "change",
    ]);
    for line in &output.lines {
        for point in &line.points {
            let change = line.changes.iter().find(|change| change.first_after == point.run);
            let names = [
                line.stack.to_string(),
                line.anchor.to_string(),
                line.operation.to_string(),
                line.metric.name().to_owned(),
                line.conditions.clone(),
                point.run.clone(),
                point.started.clone(),
            ];
            let numbers = [point.ratio, point.low, point.high].map(maybe);
            let rest = [point.blocks.to_string(), point.trust.to_string(), point.left_out.clone()];
            let change = maybe(change.map(|change| change.change.ratio));
            sheet.push(names.into_iter().chain(numbers).chain(rest).chain([change]));
        }
    }
    sheet.text()
}
