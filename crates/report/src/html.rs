//! One self-contained page: no network, no script. The answer in sentences first, then what it rests on.

use std::fmt::Write;

use dyno_analyse::Analysis;
use dyno_model::{
    Operation, StackName,
    output::{Comparison, Estimate, Metric, SelfCheckOutcome},
    record::Run,
};

use crate::{
    figures::{number, outcome, rank, ratio, spread, time_us, value, verdict},
    plot::{Line, Row, curves, intervals, spark},
    text::sorted,
};

const STYLE: &str = include_str!("page.css");

/// Text as HTML: stack names, log tails and plans may hold anything.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// The page of a run.
pub fn html(run: &Run, analysis: &Analysis) -> String {
    let title = escape(&run.plan.title);
    let mut page = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'>\
         <title>{title} – dyno</title><style>{STYLE}</style></head><body>\
         <header><h1>{title}</h1><p class=soft>{} · {} blocks · trust {} · baseline {}</p></header><main>",
        escape(&run.run),
        analysis.blocks,
        if analysis.trust.grade == '-' { "none".to_owned() } else { analysis.trust.grade.to_string() },
        escape(&run.plan.baseline.to_string()),
    );
    page += &answer(analysis);
    for &operation in &run.plan.operations {
        page += &operation_section(run, analysis, operation);
    }
    page += &not_run(analysis);
    page += &checks(analysis);
    page += &warnings(analysis);
    page += &method(run);
    page + "</main>" + &footer(run) + "</body></html>\n"
}

fn answer(analysis: &Analysis) -> String {
    let refused = if analysis.trust.grade == '-' { " refused" } else { "" };
    let mut text = format!("<section class='answer{refused}' aria-label='The answer'><ul>");
    for sentence in &analysis.sentences {
        let _ = write!(text, "<li>{}</li>", escape(sentence));
    }
    text += "</ul>";
    if !analysis.trust.reasons.is_empty() {
        let _ = write!(
            text,
            "<p class=soft>Trust {}: {}.</p>",
            analysis.trust.grade,
            escape(&analysis.trust.reasons.join("; "))
        );
    }
    text + "</section>"
}

fn operation_section(run: &Run, analysis: &Analysis, operation: Operation) -> String {
    let rates = sorted(analysis, operation, Metric::Throughput);
    if rates.is_empty() {
        return String::new();
    }
    let mut text = format!("<section><h2>{operation}</h2>");
    text += &figure(
        "Throughput: right answers per second, saturated (dot) with its 95 % interval; hollow dots have no rank",
        &plot_of(&rates),
        operation,
    );
    let cpu = sorted(analysis, operation, Metric::CpuPerRequest);
    text += &figure("CPU per request of server and front: less is better", &plot_of(&cpu), operation);
    text += &latency(run, analysis, operation);
    text += &table(run, analysis, operation, &rates);
    text += &ratios(run, analysis, operation);
    text + "</section>"
}

fn figure(caption: &str, svg: &str, operation: Operation) -> String {
    if svg.is_empty() {
        return String::new();
    }
    format!(
        "<h3>{}</h3><div class=plot role=group tabindex=0 aria-label='{operation} plot'>{svg}</div>",
        escape(caption)
    )
}

fn plot_of(estimates: &[&Estimate]) -> String {
    let rows: Vec<Row> = estimates
        .iter()
        .map(|one| Row {
            label: one.stack.to_string(),
            estimate: one.estimate,
            interval: one.low.zip(one.high),
            words: format!("{} {}", value(one.metric, one.estimate), spread(one)),
            hollow: one.rank.is_none(),
        })
        .collect();
    let metric = estimates.first().map_or(Metric::Throughput, |one| one.metric);
    let axis = move |at: f64| if metric == Metric::Throughput { number(at) } else { time_us(at) };
    intervals(metric.name(), &rows, &axis)
}

/// Where a quantile stands on the axis: -log10(1 - q), so that each further nine has the same length.
fn place(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn latency(run: &Run, analysis: &Analysis, operation: Operation) -> String {
    let of: Vec<_> = analysis.curves.iter().filter(|curve| curve.operation == operation).collect();
    let Some(most) = of.iter().flat_map(|curve| &curve.points).map(|point| place(point.0)).reduce(f64::max)
    else {
        return String::new();
    };
    let lines: Vec<Line> = of
        .iter()
        .map(|curve| Line {
            label: curve.stack.to_string(),
            points: curve.points.iter().map(|(quantile, us)| (place(*quantile) / most, *us)).collect(),
        })
        .collect();
    let ticks: Vec<(f64, String)> =
        [(0.0, "least"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")]
            .into_iter()
            .filter(|(quantile, _)| place(*quantile) <= most)
            .map(|(quantile, words)| (place(quantile) / most, words.to_owned()))
            .collect();
    let rate = run.plan.latency.as_ref().and_then(|latency| latency.rates.get(&operation));
    let at = rate.map_or_else(String::new, |rate| format!(" at {rate}, the same for all"));
    let caption = format!("Latency by percentile{at}, from when each request was due");
    figure(&caption, &curves("latency by percentile", &lines, &ticks, &time_us), operation)
}

fn table(run: &Run, analysis: &Analysis, operation: Operation, rates: &[&Estimate]) -> String {
    let mut text = format!(
        "<div class=scroll tabindex=0 role=group aria-label='{operation} figures'><table><caption>All figures with their 95 % intervals over {} blocks. Ranks in one interval are ties.</caption>\
         <thead><tr><th scope=col>stack<th scope=col>rank<th scope=col>requests/s<th scope=col>CPU<th scope=col>database CPU\
         <th scope=col>p50<th scope=col>p90<th scope=col>p99<th scope=col>memory<th scope=col>by block</tr></thead><tbody>",
        analysis.blocks
    );
    for rate in rates {
        let cell = |metric: Metric| {
            let mut all = analysis.results.iter();
            let one =
                all.find(|one| one.stack == rate.stack && one.operation == operation && one.metric == metric);
            one.map_or_else(|| "<td>–".to_owned(), estimate_cell)
        };
        let series = analysis.series.iter().find(|one| {
            one.stack == rate.stack && one.operation == operation && one.metric == Metric::Throughput
        });
        let spark = series.map_or_else(String::new, |one| {
            spark("throughput in each block, ±20 % of its mean", &one.values)
        });
        let name = named(run, &rate.stack);
        let _ = write!(text, "<tr><td>{name}<td>{}{}", rank(rate.rank), estimate_cell(rate));
        for metric in [
            Metric::CpuPerRequest,
            Metric::DatabaseCpuPerRequest,
            Metric::LatencyP50,
            Metric::LatencyP90,
            Metric::LatencyP99,
            Metric::Memory,
        ] {
            text += &cell(metric);
        }
        let _ = write!(text, "<td>{spark}</tr>");
    }
    text + "</tbody></table></div>"
}

fn named(run: &Run, stack: &StackName) -> String {
    let baseline = if *stack == run.plan.baseline { " <span class=soft>(baseline)</span>" } else { "" };
    format!("{}{baseline}", escape(&stack.to_string()))
}

fn estimate_cell(one: &Estimate) -> String {
    let interval = match one.low.zip(one.high) {
        Some((low, high)) => format!("{} – {}", value(one.metric, low), value(one.metric, high)),
        None => "no interval".to_owned(),
    };
    format!("<td>{}<span class=interval-text>{interval}</span>", value(one.metric, one.estimate))
}

fn ratios(run: &Run, analysis: &Analysis, operation: Operation) -> String {
    let of = |metric: Metric| {
        analysis.comparisons.iter().filter(move |one| one.operation == operation && one.metric == metric)
    };
    if of(Metric::Throughput).next().is_none() {
        return String::new();
    }
    let mut text = format!(
        "<details open><summary>Against {}</summary><div class=scroll tabindex=0 role=group aria-label='{operation} ratios'><table>\
         <caption>Ratios to the baseline with 95 % intervals; the verdict in words</caption>\
         <thead><tr><th scope=col>stack<th scope=col>throughput<th scope=col class=words>verdict<th scope=col>CPU per request\
         <th scope=col class=words>verdict<th scope=col>p50<th scope=col class=words>verdict</tr></thead><tbody>",
        escape(&run.plan.baseline.to_string())
    );
    for one in of(Metric::Throughput) {
        let _ = write!(text, "<tr><td>{}", escape(&one.a.to_string()));
        for metric in [Metric::Throughput, Metric::CpuPerRequest, Metric::LatencyP50] {
            text += &of(metric)
                .find(|other| other.a == one.a)
                .map_or_else(|| "<td>–<td>".to_owned(), ratio_cells);
        }
        text += "</tr>";
    }
    text + "</tbody></table></div></details>"
}

fn ratio_cells(one: &Comparison) -> String {
    format!("<td>{}<td class=words>{}: {}", ratio(one), verdict(one.verdict), escape(&one.reason))
}

fn not_run(analysis: &Analysis) -> String {
    if analysis.not_run.is_empty() {
        return String::new();
    }
    let mut text = "<section><h2>Not measured, or not in every block</h2>".to_owned();
    for row in &analysis.not_run {
        let _ = write!(text, "<h3>{}</h3><pre>{}</pre>", escape(&row.stack.to_string()), escape(&row.reason));
    }
    text + "</section>"
}

fn checks(analysis: &Analysis) -> String {
    let mut text = "<section><h2>Self-checks</h2><div class=scroll tabindex=0 role=group aria-label='self-checks'><table>\
         <caption>What dyno checks of itself and of the machine, over all stacks and operations</caption>\
         <thead><tr><th scope=col>check<th scope=col class=words>outcome<th scope=col class=words>seen</tr></thead><tbody>"
        .to_owned();
    for check in &analysis.checks {
        let bold = check.outcome != SelfCheckOutcome::Pass;
        let (open, close) = if bold { ("<strong>", "</strong>") } else { ("", "") };
        let _ = write!(
            text,
            "<tr><td>{}<td class=words>{open}{}{close}<td class=words>{}</tr>",
            escape(&check.id),
            outcome(check.outcome),
            escape(&check.words)
        );
    }
    text + "</tbody></table></div></section>"
}

fn warnings(analysis: &Analysis) -> String {
    if analysis.warnings.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "<section><h2>What makes numbers less sure</h2><details><summary>{} warnings</summary><div class=scroll tabindex=0 role=group aria-label=warnings><table>\
         <thead><tr><th scope=col>check<th scope=col class=words>about<th scope=col class=words>seen<th scope=col class=words>advice</tr></thead><tbody>",
        analysis.warnings.len()
    );
    for warning in &analysis.warnings {
        let _ = write!(
            text,
            "<tr><td>{}<td class=words>{}<td class=words>{}<td class=words>{}</tr>",
            escape(&warning.id),
            escape(&warning.subject),
            escape(&warning.text),
            escape(&warning.advice)
        );
    }
    text + "</tbody></table></div></details></section>"
}

fn method(run: &Run) -> String {
    let plan = &run.plan;
    let mut text = "<section><h2>How it was measured</h2>".to_owned();
    let _ = write!(
        text,
        "<p>Each block starts every stack afresh ({} workers, {} threads each where the server has threads, {} database connections for the whole stack), \
         warms each up for {}, then loads one at a time in short slices in a random, balanced order: {} closed-loop slices of {} with {} connections",
        plan.capacity.workers,
        plan.capacity.threads,
        plan.capacity.connections,
        plan.design.warm_up,
        plan.throughput.slices,
        plan.throughput.slice,
        plan.throughput.connections,
    );
    if let Some(latency) = &plan.latency {
        let _ = write!(
            text,
            ", and {} open-loop slices of {} with Poisson arrivals at a fixed rate",
            latency.slices, latency.slice
        );
    }
    let _ = write!(
        text,
        ", for each operation. Every answer is compared byte by byte with one that was proven right. The block is the only unit of inference. \
         CPUs: servers {:?}, database {:?}, generator {:?}.</p>",
        run.cpus.server, run.cpus.database, run.cpus.generator
    );
    text += "<details><summary>Stacks as they ran</summary>";
    for one in &run.prepared {
        let about = |name: &str| one.about.get(name).map_or("?", String::as_str);
        let _ = write!(
            text,
            "<h3>{}</h3><p class=soft>{} {}, {} {}, {} {}, {} {}, GIL {}, event loop {}, keep-alive {}, lock {}</p>",
            escape(&one.stack.to_string()),
            escape(about("framework")),
            escape(about("framework_version")),
            escape(about("server")),
            escape(about("server_version")),
            escape(about("driver")),
            escape(about("driver_version")),
            escape(about("implementation")),
            escape(about("interpreter")),
            escape(about("gil")),
            escape(about("event_loop")),
            one.keep_alive,
            escape(&one.lock_sha256.chars().take(12).collect::<String>()),
        );
        for (role, argv) in &one.commands {
            let _ = write!(text, "<pre>{}: {}</pre>", escape(role), escape(&argv.join(" ")));
        }
    }
    text += "</details><details><summary>Machine and software</summary><dl>";
    for (name, fact) in run.fingerprint.machine.iter().chain(&run.fingerprint.software) {
        let _ = write!(text, "<dt>{}<dd>{}", escape(name), escape(fact));
    }
    text + "</dl></details></section>"
}

fn footer(run: &Run) -> String {
    format!(
        "<footer><p>Repeat it: <code>{} --seed {}</code></p><p>Made again from its folder by <code>dyno report {}</code>. Begun {}.</p></footer>",
        escape(&run.command.join(" ")),
        run.seed,
        escape(&run.run),
        escape(&run.started)
    )
}
