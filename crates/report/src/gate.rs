//! What `dyno gate` says, for a terminal and as Markdown for a pull request's comment.

use std::fmt::Write;

use dyno_model::gate::{GateDecision, GateOutput, GateRow};

/// Files that a summary names before it only counts.
const FILES: usize = 10;
/// Facts of the machine that a summary gives; the report has all of them.
const FACTS: [&str; 6] = ["cpu", "cpus", "memory", "system", "kernel", "hypervisor"];

const fn word(decision: GateDecision) -> &'static str {
    match decision {
        GateDecision::NotSlower => "not slower",
        GateDecision::Slower => "SLOWER",
        GateDecision::NoVerdict => "no verdict",
        GateDecision::Unchanged => "unchanged",
    }
}

fn verdict(output: &GateOutput) -> String {
    format!("{}: {}", word(output.decision), output.reason)
}

fn ratio(row: &GateRow) -> String {
    match (row.ratio, row.low, row.high) {
        (Some(ratio), Some(low), Some(high)) => format!("{ratio:.3} [{low:.3}, {high:.3}]"),
        (Some(ratio), ..) => format!("{ratio:.3} (no interval)"),
        _ => "–".to_owned(),
    }
}

fn noise(row: &GateRow) -> String {
    row.noise.map_or_else(|| "–".to_owned(), |noise| format!("{:.1} %", noise * 100.0))
}

/// For a terminal.
pub fn gate_text(output: &GateOutput) -> String {
    let mut text = format!("{} against {} ({})\n", output.stack, output.base.name, output.base.short());
    let _ = writeln!(text, "{}", verdict(output));
    if !output.rows.is_empty() {
        let _ = writeln!(
            text,
            "\n{:<16} {:<16} {:<24} {:>7}  decision",
            "operation", "metric", "work tree / base", "noise"
        );
    }
    for row in &output.rows {
        let (operation, metric) = (row.operation.to_string(), row.metric.name());
        let decision = word(row.decision);
        let _ = writeln!(
            text,
            "{operation:<16} {metric:<16} {:<24} {:>7}  {decision}: {}",
            ratio(row),
            noise(row),
            row.reason
        );
    }
    if !output.uncommitted.is_empty() {
        let _ = writeln!(
            text,
            "the work tree's side has changes that aren't committed: {}",
            output.uncommitted.join(", ")
        );
    }
    for line in output.notes.iter().chain(&output.trust) {
        let _ = writeln!(text, "note: {line}");
    }
    if let Some(report) = &output.report {
        let _ = writeln!(text, "report: {report}");
    }
    text
}

/// For a pull request's comment.
pub fn gate_markdown(output: &GateOutput) -> String {
    let mut text = format!(
        "### dyno gate: {}\n\n{} of the work tree against {} ({}), δ = {} %.\n",
        prose(&verdict(output)),
        code(&output.stack.to_string()),
        code(&output.base.name),
        code(output.base.short()),
        output.delta * 100.0
    );
    if !output.rows.is_empty() {
        text +=
            "\n| operation | metric | work tree / base, 95 % | noise between blocks | blocks | decision |\n";
        text += "|---|---|---|---|---|---|\n";
    }
    for row in &output.rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {}: {} |",
            code(&row.operation.to_string()),
            code(row.metric.name()),
            prose(&ratio(row)),
            noise(row),
            row.blocks,
            prose(word(row.decision)),
            prose(&row.reason)
        );
    }
    let mut points = Vec::new();
    if !output.changed.is_empty() {
        let named = output.changed.iter().take(FILES).map(|file| code(file)).collect::<Vec<_>>().join(", ");
        let more = output.changed.len().saturating_sub(FILES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        points.push(format!("changed: {named}{more}"));
    }
    if !output.uncommitted.is_empty() {
        points
            .push(format!("{} of these files have changes that aren't committed", output.uncommitted.len()));
    }
    points.extend(output.notes.iter().chain(&output.trust).map(|line| prose(line)));
    if !output.command.is_empty() {
        points.push(format!("again: {}", code(&output.command.join(" "))));
    }
    if !output.machine.is_empty() {
        let fact = |name: &&str| Some(format!("{name} {}", output.machine.get(*name)?));
        let facts = FACTS.iter().filter_map(fact);
        points.push(format!("machine: {}", prose(&facts.collect::<Vec<_>>().join("; "))));
    }
    text += "\n";
    for point in points {
        let _ = writeln!(text, "- {point}");
    }
    text
}

/// Text in which Markdown finds nothing of its own, nor GitHub a person to tell.
fn prose(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' => safe.push(' '),
            '@' => safe += "@&#8203;",
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '!' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

/// A span of code, fenced by more backticks than it has in a row; a `|` would end a table's cell even there.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let room = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    let text = text.replace(['\n', '\r'], " ").replace('|', "\\|");
    format!("{fence}{room}{text}{room}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_markdown_would_read_is_escaped() {
        assert_eq!(prose("a|b_c *d* <e> @f\ng"), "a\\|b\\_c \\*d\\* \\<e\\> @&#8203;f g");
        assert_eq!(code("a`b|c"), "``a`b\\|c``");
        assert_eq!(code("`a"), "`` `a ``");
    }
}
