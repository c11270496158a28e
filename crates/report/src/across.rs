//! Two runs side by side, in words, Markdown and CSV.

use std::fmt::Write;

use dyno_analyse::across::{Across, Pair};
use dyno_model::{output::Metric, record::Run};

use crate::{
    csv::{Sheet, maybe},
    figures::value,
    markdown,
    text::wrap,
};

/// Why no ratio is given; `None` where ratios are.
pub fn refusal(across: &Across) -> Option<String> {
    let facts: Vec<String> = across
        .differences
        .iter()
        .filter(|one| one.forbids)
        .map(|one| {
            let word = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "not recorded".to_owned());
            format!("{} ({} in A, {} in B)", one.fact, word(&one.a), word(&one.b))
        })
        .collect();
    (!facts.is_empty()).then(|| {
        format!("No ratio is given: the two runs don't compare, because they differ in {}. Their figures stand side by side only.", facts.join("; "))
    })
}

/// How to read the ratios, and how many there are on each side of 1.
pub fn compared_words(across: &Across) -> Vec<String> {
    let of = |metric: Metric| across.pairs.iter().filter(move |pair| pair.metric == metric);
    let mut all = vec![
        "Two runs are two sessions: the intervals cover the blocks of each, not what changed on the machine in between. So a ratio here is an observation and no verdict; to compare, put both into one run.".to_owned(),
    ];
    if across.pairs.is_empty() {
        all.push("No stack was measured in both: there is nothing to lay side by side.".to_owned());
    }
    for (metric, more, less) in
        [(Metric::Throughput, "higher", "lower"), (Metric::CpuPerRequest, "higher", "lower")]
    {
        let known: Vec<(f64, f64)> = of(metric).filter_map(|pair| pair.interval).collect();
        if known.is_empty() {
            continue;
        }
        let above = known.iter().filter(|one| one.0 > 1.0).count();
        let below = known.iter().filter(|one| one.1 < 1.0).count();
        all.push(format!(
            "{}: {above} {more} and {below} {less} in B, {} whose interval holds 1.",
            metric.name().replace('_', " "),
            known.len() - above - below
        ));
    }
    all
}

/// `1.02 [0.98, 1.06]`, or a dash.
pub fn ratio_words(pair: &Pair) -> String {
    match (pair.ratio, pair.interval) {
        (Some(ratio), Some((low, high))) => format!("{ratio:.2} [{low:.2}, {high:.2}]"),
        (Some(ratio), None) => format!("{ratio:.2} [?]"),
        (None, _) => "–".to_owned(),
    }
}

fn cells(pair: &Pair) -> [String; 6] {
    let (a, b) = pair.estimates;
    let metric = pair.metric;
    [
        pair.stack.to_string(),
        pair.operation.to_string(),
        metric.name().to_owned(),
        value(metric, a),
        value(metric, b),
        ratio_words(pair),
    ]
}

/// Most differences that a terminal shows besides those that forbid ratios.
const MOST: usize = 12;

/// For a terminal.
pub fn table_across(a: &Run, b: &Run, across: &Across) -> String {
    let mut text = format!("A: {}\nB: {}\n", a.run, b.run);
    for line in refusal(across).map_or_else(|| compared_words(across), |words| vec![words]) {
        let _ = writeln!(text, "{}", wrap(&line, 80, 2));
    }
    if !across.differences.is_empty() {
        text += "\nWhat differs\n";
    }
    let shown = across.differences.iter().filter(|one| one.forbids).count() + MOST;
    for one in across.differences.iter().take(shown) {
        let word = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "not recorded".to_owned());
        let mark = if one.forbids { "!" } else { " " };
        let _ = writeln!(text, "{mark} {}: {} -> {}", one.fact, word(&one.a), word(&one.b));
    }
    if across.differences.len() > shown {
        let _ = writeln!(text, "  and {} more, in the page", across.differences.len() - shown);
    }
    for (words, stacks) in [("Only in A", &across.only.0), ("Only in B", &across.only.1)] {
        if !stacks.is_empty() {
            let names: Vec<String> = stacks.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "{}", wrap(&format!("{words}: {}", names.join(", ")), 80, 2));
        }
    }
    let width = across.pairs.iter().map(|pair| pair.stack.to_string().len()).max().unwrap_or(0).max(24);
    let mut head = None;
    for pair in &across.pairs {
        if head != Some(pair.operation) {
            head = Some(pair.operation);
            let _ = writeln!(text, "\n{}", pair.operation);
        }
        let [stack, _, metric, a, b, ratio] = cells(pair);
        let _ = writeln!(text, "  {stack:<width$} {metric:<24} {a:>11} {b:>11}  {ratio}");
    }
    text
}

/// As Markdown.
pub fn markdown_across(a: &Run, b: &Run, across: &Across) -> String {
    let mut text = format!(
        "# Two runs side by side\n\n- A: {}\n- B: {}\n\n",
        markdown::escape(&a.run),
        markdown::escape(&b.run)
    );
    for line in refusal(across).map_or_else(|| compared_words(across), |words| vec![words]) {
        let _ = writeln!(text, "{}\n", markdown::escape(&line));
    }
    let word = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "–".to_owned());
    let differences = across.differences.iter().map(|one| {
        vec![
            one.fact.clone(),
            word(&one.a),
            word(&one.b),
            if one.forbids { "refused for it" } else { "given" }.to_owned(),
        ]
    });
    text += &markdown::table(&["fact", "A", "B", "ratios"], 4, differences);
    text + "\n"
        + &markdown::table(
            &["stack", "operation", "metric", "A", "B", "B / A"],
            3,
            across.pairs.iter().map(|pair| cells(pair).to_vec()),
        )
}

/// As CSV.
pub fn csv_across(across: &Across) -> String {
    let mut sheet =
        Sheet::new(&["stack", "operation", "metric", "unit", "a", "b", "b_over_a", "low", "high"]);
    for pair in &across.pairs {
        let names = [
            pair.stack.to_string(),
            pair.operation.to_string(),
            pair.metric.name().to_owned(),
            pair.metric.unit().to_owned(),
        ];
        let interval = pair.interval;
        let numbers = [
            Some(pair.estimates.0),
            Some(pair.estimates.1),
            pair.ratio,
            interval.map(|one| one.0),
            interval.map(|one| one.1),
        ];
        sheet.push(names.into_iter().chain(numbers.map(maybe)));
    }
    sheet.text()
}
