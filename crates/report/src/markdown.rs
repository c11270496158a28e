//! A run as Markdown, for an issue or a README.

use std::fmt::Write;

use dyno_analyse::Analysis;
use dyno_model::{
    Operation,
    output::{Metric, SelfCheckOutcome},
    record::Run,
};

use crate::{
    doubts::{EFFECT, beside_noise, word},
    figures::{outcome, rank, ratio, spread, value, verdict},
    text::sorted,
};

/// Text as Markdown's own text: no tags, links, tables or emphasis come of it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '\n' | '\r' => escaped.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// A table; the first `words` columns are aligned to the left, numbers to the right.
pub fn table(head: &[&str], words: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rules: Vec<&str> = (0..head.len()).map(|at| if at < words { "---" } else { "---:" }).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if text.is_empty() {
        return text;
    }
    format!("| {} |\n| {} |\n{text}", head.join(" | "), rules.join(" | "))
}

/// The run.
pub fn markdown(run: &Run, analysis: &Analysis) -> String {
    let mut text = format!("# {}\n\n", escape(&run.plan.title));
    for sentence in &analysis.sentences {
        let _ = writeln!(text, "- {}", escape(sentence));
    }
    let _ = writeln!(
        text,
        "\nRun {}, {} blocks, trust {}, baseline {}.",
        escape(&run.run),
        analysis.blocks,
        if analysis.trust.grade == '-' { "none".to_owned() } else { analysis.trust.grade.to_string() },
        run.plan.baseline
    );
    text += &doubts(analysis);
    for &operation in &run.plan.operations {
        text += &operation_tables(analysis, operation);
    }
    if !analysis.not_run.is_empty() {
        text += "\n## Not measured, or not in every block\n\n";
        let rows = analysis.not_run.iter();
        let rows = rows.map(|one| {
            vec![one.stack.to_string(), format!("{:?}", one.kind).to_lowercase(), one.reason.clone()]
        });
        text += &table(&["stack", "kind", "reason"], 3, rows);
    }
    let checks = analysis.checks.iter().filter(|check| check.outcome != SelfCheckOutcome::Pass);
    let checks =
        checks.map(|check| vec![check.id.clone(), outcome(check.outcome).to_owned(), check.words.clone()]);
    let checks = table(&["check", "outcome", "seen"], 3, checks);
    if !checks.is_empty() {
        let _ = write!(text, "\n## Self-checks that don't pass\n\n{checks}");
    }
    let _ = writeln!(
        text,
        "\nRepeat it:\n\n    {} --seed {}",
        run.command.join(" ").replace(['\n', '\r'], " "),
        run.seed
    );
    text
}

/// The whole run's reasons to doubt.
fn doubts(analysis: &Analysis) -> String {
    let line = |reason: &String| format!("- {}\n", escape(reason));
    let noise: String = analysis.trust.noise.iter().map(line).collect();
    let others: String = beside_noise(&analysis.trust).map(line).collect();
    let noise = if noise.is_empty() { noise } else { format!("\n{noise}\n{EFFECT}\n") };
    if others.is_empty() { noise } else { format!("{noise}\n{others}") }
}

fn operation_tables(analysis: &Analysis, operation: Operation) -> String {
    let rates = sorted(analysis, operation, Metric::Throughput);
    if rates.is_empty() {
        return String::new();
    }
    let is_told = |metric: &Metric| {
        analysis.results.iter().any(|one| one.operation == operation && one.metric == *metric)
    };
    // A column that no stack has anything for isn't there.
    let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(is_told).collect();
    let rows = rates.iter().map(|rate| {
        let mut row = vec![rate.stack.to_string(), rank(rate.rank)];
        row.extend(metrics.iter().map(|&metric| {
            let mut all = analysis.results.iter();
            let one =
                all.find(|one| one.stack == rate.stack && one.operation == operation && one.metric == metric);
            one.map_or_else(
                || "–".to_owned(),
                |one| format!("{} {}", value(metric, one.estimate), spread(one)),
            )
        }));
        row
    });
    let heads: Vec<&str> =
        ["stack", "rank"].into_iter().chain(metrics.iter().map(|&metric| word(metric))).collect();
    let mut text = format!("\n## {}\n\n{}", escape(operation.name()), table(&heads, 1, rows));
    let of = analysis
        .comparisons
        .iter()
        .filter(|one| one.operation == operation && one.metric == Metric::Throughput);
    let ratios = of
        .map(|one| vec![one.a.to_string(), verdict(one.verdict).to_owned(), ratio(one), one.reason.clone()]);
    let ratios = table(&["stack", "verdict", "throughput over the baseline", "why"], 4, ratios);
    if !ratios.is_empty() {
        let _ = write!(text, "\n{ratios}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_becomes_markup() {
        assert_eq!(escape("<b>|[a](x)\n`*"), "&lt;b&gt;\\|\\[a\\](x) \\`\\*");
        assert_eq!(
            table(&["a", "b"], 1, [vec!["x|y".to_owned(), "1".to_owned()]]),
            "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"
        );
        assert_eq!(table(&["a"], 1, []), "");
    }
}
