//! All about one operation.

use dyno_analyse::{Analysis, pictures::ROLES};
use dyno_model::{
    Operation, StackName,
    output::{Comparison, Estimate, Metric, Verdict},
    record::Run,
};
use maud::{Markup, html};

use crate::{
    axis::{Axis, Unit},
    csv::{Sheet, cell, maybe},
    doubts,
    figures::{interval_words, rank, ratio, spread, time_us, valid_blocks, value, verdict},
    page::MANY,
    plot::{COLOURS, Line, lines, spark},
    rows::{Glyph, Plot, Row, caption},
    text::sorted,
};

/// Latency metrics with the colour that names their shape.
const LATENCIES: [(Metric, u8, &str); 3] =
    [(Metric::LatencyP50, 0, "p50"), (Metric::LatencyP90, 1, "p90"), (Metric::LatencyP99, 2, "p99")];

/// The section, folded unless `open`.
pub fn section(run: &Run, analysis: &Analysis, operation: Operation, open: bool) -> Markup {
    let many = run.prepared.len() > MANY;
    let inside = html! {
        (intervals(run, analysis, operation, Metric::Throughput, "right answers per second, saturated: more is better"))
        (intervals(run, analysis, operation, Metric::CpuPerRequest, "CPU time of server and front for each right answer: less is better"))
        (cpu(run, analysis, operation))
        (latency(run, analysis, operation))
        div.pair { (curves(run, analysis, operation)) (shift(run, analysis, operation)) }
        (ridges(run, analysis, operation))
        (intervals(run, analysis, operation, Metric::Memory, "memory of server and front under load, the most in each block: less is better"))
        (table(run, analysis, operation))
        (ratios(run, analysis, operation))
        (super::ranking::figure(run, analysis, operation))
    };
    html! {
        @if many {
            details.op #(operation) open[open] { summary { h2 { (operation) } } (inside) }
        } @else {
            section #(operation) { h2 { (operation) } (inside) }
        }
    }
}

fn row(run: &Run, stack: &StackName) -> Row {
    Row { name: stack.to_string(), baseline: *stack == run.plan.baseline, ..Row::default() }
}

fn intervals(run: &Run, analysis: &Analysis, operation: Operation, metric: Metric, words: &str) -> Markup {
    let all = sorted(analysis, operation, metric);
    let mut sheet = Sheet::new(&["stack", "unit", "estimate", "low", "high", "blocks"]);
    let rows = all.iter().map(|one| {
        let numbers = [Some(one.estimate), one.low, one.high].map(maybe);
        sheet.push(
            [one.stack.to_string(), one.unit.clone()]
                .into_iter()
                .chain(numbers)
                .chain([one.blocks.to_string()]),
        );
        Row {
            glyphs: glyphs(one, 0),
            words: vec![value(metric, one.estimate), interval_words(one)],
            refused: doubts::own(run, analysis, &one.stack, operation, metric),
            ..row(run, &one.stack)
        }
    });
    let rows = rows.collect();
    let unit = match metric {
        Metric::Throughput | Metric::Memory => Unit::Number,
        _ => Unit::Time,
    };
    let ends = all.iter().map(|one| one.high.unwrap_or(one.estimate));
    Plot {
        id: format!("{}-{operation}", metric.name()),
        caption: format!("{operation}: {words} (dot: estimate; bar: 95 % interval; hollow: no interval)"),
        axis: Axis::from_zero(metric.unit(), unit, ends),
        heads: &["estimate", "95 % interval"],
        rows,
        legend: &[],
        sheet,
    }
    .render()
}

fn glyphs(one: &Estimate, colour: u8) -> Vec<Glyph> {
    if !one.estimate.is_finite() {
        return Vec::new();
    }
    match one.low.zip(one.high) {
        Some((low, high)) => vec![Glyph::Span(low, high, colour), Glyph::Dot(one.estimate, colour)],
        None => vec![Glyph::Hollow(one.estimate, colour)],
    }
}

fn cpu(run: &Run, analysis: &Analysis, operation: Operation) -> Markup {
    let mut all: Vec<_> = analysis.pictures.cpu.iter().filter(|one| one.operation == operation).collect();
    let total = |us: &[f64; ROLES.len()]| us.iter().sum::<f64>();
    all.sort_by(|a, b| total(&a.us).total_cmp(&total(&b.us)));
    let seen: Vec<usize> =
        (0..ROLES.len()).filter(|role| all.iter().any(|one| one.us[*role] > 0.0)).collect();
    let mut sheet =
        Sheet::new(&["stack", "server_us", "front_us", "database_us", "other_us", "generator_us"]);
    let rows = all.iter().map(|one| {
        sheet.push(std::iter::once(one.stack.to_string()).chain(one.us.map(cell)));
        let mut from = 0.0;
        let bars = seen.iter().map(|&role| {
            let begin = from;
            from += one.us[role];
            Glyph::Bar(begin, from, role as u8)
        });
        let glyphs = bars.collect();
        let parts: Vec<String> = seen.iter().map(|role| crate::figures::number(one.us[*role])).collect();
        Row { glyphs, words: vec![time_us(total(&one.us)), parts.join(" + ")], ..row(run, &one.stack) }
    });
    let rows = rows.collect();
    let legend: Vec<(u8, &str)> = seen.iter().map(|&role| (role as u8, ROLES[role])).collect();
    let parts = format!("us: {}", seen.iter().map(|role| ROLES[*role]).collect::<Vec<_>>().join(" + "));
    let figure = Plot {
        id: format!("cpu-{operation}"),
        caption: format!(
            "{operation}: where the CPU time of a right answer goes, saturated (from left to right as in the legend; other: pooler, broker, workers of tasks)"
        ),
        axis: Axis::from_zero("CPU time", Unit::Time, all.iter().map(|one| total(&one.us))),
        heads: &["all", &parts],
        rows,
        legend: &legend,
        sheet,
    };
    html! { div.bars { (figure.render()) } }
}

fn offered(run: &Run, operation: Operation) -> String {
    let rate = run.plan.latency.as_ref().and_then(|latency| latency.rates.get(&operation));
    rate.map_or_else(String::new, |rate| format!("at the offered rate of {rate} "))
}

fn latency(run: &Run, analysis: &Analysis, operation: Operation) -> Markup {
    let of = |stack: &StackName, metric| {
        analysis
            .results
            .iter()
            .find(|one| one.stack == *stack && one.operation == operation && one.metric == metric)
    };
    let order = sorted(analysis, operation, Metric::LatencyP50);
    let told =
        LATENCIES.into_iter().filter(|one| order.iter().any(|first| of(&first.stack, one.0).is_some()));
    let told: Vec<(Metric, u8, &str)> = told.collect();
    let mut sheet = Sheet::new(&["stack", "percentile", "us", "low_us", "high_us"]);
    let mut ends = Vec::new();
    let (of_all, notes) = latency_doubts(run, analysis, &order, &told);
    let rows = order.iter().zip(notes).map(|(first, note)| {
        let mut row = Row { note, ..row(run, &first.stack) };
        for &(metric, colour, name) in &told {
            let Some(one) = of(&first.stack, metric) else {
                row.words.push("–".to_owned());
                continue;
            };
            ends.extend([one.estimate, one.low.unwrap_or(one.estimate), one.high.unwrap_or(one.estimate)]);
            let numbers = [Some(one.estimate), one.low, one.high].map(maybe);
            sheet.push([one.stack.to_string(), name.to_owned()].into_iter().chain(numbers));
            row.glyphs.extend(glyphs(one, colour));
            row.words.push(value(metric, one.estimate));
        }
        row
    });
    let rows: Vec<Row> = rows.collect();
    let Some(axis) = Axis::logarithmic("latency", Unit::Time, ends) else {
        return html! { p.soft { "Latency: – " (no_latency(run, operation)) } };
    };
    let figure = Plot {
        id: format!("latency-{operation}"),
        caption: format!(
            "{operation}: latency {}with 95 % intervals (from when each request was due, the rate the same for all; logarithmic axis; –: fewer than ten requests lie beyond, or overloaded at this rate)",
            offered(run, operation)
        ),
        axis,
        heads: &told.iter().map(|one| one.2).collect::<Vec<_>>(),
        rows,
        legend: &told.iter().map(|&(_, colour, name)| (colour, name)).collect::<Vec<_>>(),
        sheet,
    };
    html! { (figure.render()) @for words in of_all { p.why { (words) } } }
}

/// Why percentiles carry no verdict: what is so for every stack, once, and what is a stack's own.
fn latency_doubts(
    run: &Run,
    analysis: &Analysis,
    order: &[&Estimate],
    told: &[(Metric, u8, &str)],
) -> (Vec<String>, Vec<Option<String>>) {
    let mut of_all = Vec::new();
    let mut notes = vec![Vec::new(); order.len()];
    for &(metric, _, name) in told {
        let of = |one: &&Estimate| doubts::own(run, analysis, &one.stack, one.operation, metric);
        let reasons: Vec<Option<String>> = order.iter().map(of).collect();
        if let Some(first) = reasons.iter().flatten().next().filter(|_| reasons.iter().all(Option::is_some)) {
            of_all.push(format!("no verdict on any {name}, for instance of {}: {first}", order[0].stack));
            continue;
        }
        for (note, reason) in notes.iter_mut().zip(reasons) {
            note.extend(reason.map(|reason| format!("no verdict on its {name}: {reason}")));
        }
    }
    let notes = notes.into_iter().map(|all| (!all.is_empty()).then(|| all.join("; ")));
    (of_all, notes.collect())
}

fn no_latency(run: &Run, operation: Operation) -> String {
    let asked = run.plan.latency.as_ref().is_some_and(|latency| latency.rates.contains_key(&operation));
    let why = if asked {
        "too few requests, or every stack was overloaded at the offered rate"
    } else {
        "the plan asks for none"
    };
    format!("not told: {why}.")
}

/// Where a quantile stands: -log10(1 - q), so that each further nine has the same length.
fn place(quantile: f64) -> f64 {
    -(1.0 - quantile.clamp(0.0, 0.999_999)).log10()
}

fn percentiles(most: f64) -> Vec<(f64, String)> {
    [(0.0, "0"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")]
        .into_iter()
        .filter(|(quantile, _)| place(*quantile) <= most + 1e-9)
        .map(|(quantile, words)| (place(quantile) / most, words.to_owned()))
        .collect()
}

/// Which stacks have a colour: the baseline, and the best in throughput.
pub fn coloured(run: &Run, analysis: &Analysis, operation: Operation) -> Vec<StackName> {
    let best = sorted(analysis, operation, Metric::Throughput).into_iter().map(|one| &one.stack);
    let baseline = std::iter::once(&run.plan.baseline);
    let best = best.filter(|stack| **stack != run.plan.baseline).take(COLOURS - 1);
    baseline.chain(best).cloned().collect()
}

fn colour(coloured: &[StackName], stack: &StackName) -> Option<u8> {
    coloured.iter().position(|one| one == stack).map(|index| index as u8)
}

fn curves(run: &Run, analysis: &Analysis, operation: Operation) -> Markup {
    let of: Vec<_> = analysis.curves.iter().filter(|curve| curve.operation == operation).collect();
    let Some(most) = of.iter().flat_map(|curve| &curve.points).map(|point| place(point.0)).reduce(f64::max)
    else {
        return html! {};
    };
    let points = || of.iter().flat_map(|curve| &curve.points);
    let Some(axis) = Axis::logarithmic("latency", Unit::Time, points().map(|point| point.1)) else {
        return html! {};
    };
    let most = most.max(1e-9);
    let chosen = coloured(run, analysis, operation);
    let mut sheet = Sheet::new(&["stack", "quantile", "latency_us", "requests"]);
    let mut all = Vec::new();
    for curve in &of {
        for (quantile, us) in &curve.points {
            sheet.push([curve.stack.to_string(), cell(*quantile), cell(*us), curve.requests.to_string()]);
        }
        all.push(Line {
            label: curve.stack.to_string(),
            pieces: vec![curve.points.iter().map(|(quantile, us)| (place(*quantile) / most, *us)).collect()],
            colour: colour(&chosen, &curve.stack),
        });
    }
    all.sort_by_key(|line| line.colour);
    let id = format!("percentiles-{operation}");
    let words = format!(
        "{operation}: latency by percentile {}(as far as ten requests lie beyond)",
        offered(run, operation)
    );
    html! { figure id=(id) { (caption(&words, &id, &sheet)) (lines(&words, &all, &percentiles(most), &axis, None)) } }
}

/// Each stack's percentiles over the baseline's.
fn shift(run: &Run, analysis: &Analysis, operation: Operation) -> Markup {
    let of: Vec<_> = analysis.curves.iter().filter(|curve| curve.operation == operation).collect();
    let Some(baseline) = of.iter().find(|curve| curve.stack == run.plan.baseline) else { return html! {} };
    let chosen = coloured(run, analysis, operation);
    let most = baseline.points.iter().map(|point| place(point.0)).fold(1e-9, f64::max);
    let mut sheet = Sheet::new(&["stack", "quantile", "latency_over_baseline"]);
    let mut all = Vec::new();
    for curve in of.iter().filter(|curve| curve.stack != run.plan.baseline) {
        let mut piece = Vec::new();
        for (quantile, us) in &curve.points {
            let Some((_, base)) = baseline.points.iter().find(|point| point.0 == *quantile) else { continue };
            let ratio = us / base;
            if ratio.is_finite() && ratio > 0.0 {
                sheet.push([curve.stack.to_string(), cell(*quantile), cell(ratio)]);
                piece.push((place(*quantile) / most, ratio));
            }
        }
        all.push(Line {
            label: curve.stack.to_string(),
            pieces: vec![piece],
            colour: colour(&chosen, &curve.stack),
        });
    }
    all.sort_by_key(|line| line.colour);
    let ratios = all.iter().flat_map(|line| &line.pieces).flatten().map(|point| point.1).chain([0.9, 1.1]);
    let Some(axis) = Axis::logarithmic("ratio", Unit::Number, ratios).filter(|_| !all.is_empty()) else {
        return html! {};
    };
    let id = format!("shift-{operation}");
    let words =
        format!("{operation}: latency over that of {} by percentile (below 1: faster)", run.plan.baseline);
    html! { figure id=(id) { (caption(&words, &id, &sheet)) (lines(&words, &all, &percentiles(most), &axis, Some(1.0))) } }
}

fn ridges(run: &Run, analysis: &Analysis, operation: Operation) -> Markup {
    let order = sorted(analysis, operation, Metric::LatencyP50);
    let place = |stack: &StackName| order.iter().position(|one| one.stack == *stack).unwrap_or(usize::MAX);
    let mut of: Vec<_> =
        analysis.pictures.distributions.iter().filter(|one| one.operation == operation).collect();
    of.sort_by_key(|one| place(&one.stack));
    let values = of.iter().flat_map(|one| &one.shares).map(|share| share.0);
    let Some(axis) = Axis::logarithmic("latency", Unit::Time, values) else { return html! {} };
    let mut sheet = Sheet::new(&["stack", "latency_us", "share"]);
    let rows = of.iter().map(|one| {
        for (us, share) in &one.shares {
            sheet.push([one.stack.to_string(), cell(*us), cell(*share)]);
        }
        let highest = one.shares.iter().map(|share| share.1).fold(0.0, f64::max);
        let hill = one.shares.iter().map(|(us, share)| (*us, share / highest)).collect();
        Row { glyphs: vec![Glyph::Hill(hill, 0)], ..row(run, &one.stack) }
    });
    let rows = rows.collect();
    let figure = Plot {
        id: format!("distribution-{operation}"),
        caption: format!(
            "{operation}: how latencies are spread {}(on a logarithmic axis; each hill has the same height)",
            offered(run, operation)
        ),
        axis,
        heads: &[],
        rows,
        legend: &[],
        sheet,
    };
    html! { div.tall { (figure.render()) } }
}

/// All figures as a table. A column that no stack has anything for isn't drawn.
fn table(run: &Run, analysis: &Analysis, operation: Operation) -> Markup {
    let rates = sorted(analysis, operation, Metric::Throughput);
    let find = |stack: &StackName, metric| {
        analysis
            .results
            .iter()
            .find(|one| one.stack == *stack && one.operation == operation && one.metric == metric)
    };
    let is_told = |metric: &Metric| rates.iter().any(|rate| find(&rate.stack, *metric).is_some());
    let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(is_told).collect();
    let ranked = rates.iter().any(|rate| rate.rank.is_some());
    let doubts: Vec<Vec<String>> =
        rates.iter().map(|rate| doubts::all_of(run, analysis, &rate.stack, operation)).collect();
    let doubted = doubts.iter().any(|all| !all.is_empty());
    html! {
        details { summary { "All figures of " (operation) " as a table" }
        div.scroll tabindex="0" role="group" aria-label={ (operation) " figures" } { table.data.sort {
            caption { "Estimates with half their 95 % interval over " (valid_blocks(analysis)) }
            thead { tr {
                th scope="col" { "stack" }
                @if ranked { th scope="col" { "rank" } }
                @for metric in &metrics { th scope="col" { (doubts::word(*metric)) } }
                th scope="col" { "by block, ±20 %" }
                @if doubted { th.w scope="col" { "reasons to doubt" } }
            } }
            tbody { @for (rate, doubts) in rates.iter().zip(&doubts) {
                tr data-s=(rate.stack) {
                    th scope="row" { (rate.stack) @if rate.stack == run.plan.baseline { " " small { "baseline" } } }
                    @if ranked { td data-v=(rate.rank.map_or_else(String::new, |rank| rank.0.to_string())) { (rank(rate.rank)) } }
                    @for &metric in &metrics {
                        @match find(&rate.stack, metric) {
                            Some(one) => td data-v=(cell(one.estimate)) { (value(metric, one.estimate)) " " small { (spread(one)) } },
                            None => td data-v="" { "–" },
                        }
                    }
                    td { (spark_of(analysis, rate)) }
                    @if doubted { td.w { (doubts.join("; ")) } }
                }
            } }
        } } }
    }
}

fn spark_of(analysis: &Analysis, rate: &Estimate) -> Markup {
    let of = |metric| {
        analysis
            .series
            .iter()
            .find(|one| one.stack == rate.stack && one.operation == rate.operation && one.metric == metric)
    };
    of(Metric::Throughput).map_or_else(|| html! { "–" }, |one| spark("throughput in each block", &one.values))
}

fn ratios(run: &Run, analysis: &Analysis, operation: Operation) -> Markup {
    let of = |metric: Metric| {
        analysis.comparisons.iter().filter(move |one| one.operation == operation && one.metric == metric)
    };
    if of(Metric::Throughput).next().is_none() {
        return html! {};
    }
    let mut all: Vec<&Comparison> = of(Metric::Throughput).collect();
    all.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
    let glyph = |one: &Comparison| {
        let colour = u8::from(one.verdict == Verdict::Different);
        match one.low.zip(one.high) {
            Some((low, high)) => {
                vec![Glyph::Rule(1.0), Glyph::Span(low, high, colour), Glyph::Dot(one.ratio, colour)]
            }
            None => vec![Glyph::Rule(1.0), Glyph::Hollow(one.ratio, colour)],
        }
    };
    let more: Vec<(&str, Metric)> = [("CPU", Metric::CpuPerRequest), ("p50", Metric::LatencyP50)]
        .into_iter()
        .filter(|&(_, metric)| of(metric).next().is_some())
        .collect();
    let heads: Vec<&str> =
        ["throughput", "verdict"].into_iter().chain(more.iter().map(|column| column.0)).collect();
    let mut sheet = Sheet::new(&["stack", "baseline", "metric", "ratio", "low", "high", "verdict", "reason"]);
    let rows = all.iter().map(|one| {
        for other in [Metric::Throughput, Metric::CpuPerRequest, Metric::LatencyP50]
            .iter()
            .filter_map(|&metric| of(metric).find(|other| other.a == one.a))
        {
            let numbers = [Some(other.ratio), other.low, other.high].map(maybe);
            let names = [other.a.to_string(), other.b.to_string(), other.metric.name().to_owned()];
            sheet.push(
                names
                    .into_iter()
                    .chain(numbers)
                    .chain([verdict(other.verdict).to_owned(), other.reason.clone()]),
            );
        }
        let words = |metric| of(metric).find(|other| other.a == one.a).map_or_else(|| "–".to_owned(), ratio);
        let more = more.iter().map(|&(_, metric)| words(metric));
        Row {
            glyphs: glyph(one),
            words: [ratio(one), verdict(one.verdict).to_owned()].into_iter().chain(more).collect(),
            refused: doubts::own(run, analysis, &one.a, operation, Metric::Throughput),
            ..row(run, &one.a)
        }
    });
    let rows = rows.collect();
    let ends = all
        .iter()
        .flat_map(|one| [one.ratio, one.low.unwrap_or(one.ratio), one.high.unwrap_or(one.ratio)])
        .chain([0.95, 1.05]);
    let Some(axis) = Axis::logarithmic("ratio of throughput", Unit::Number, ends) else { return html! {} };
    let figure = Plot {
        id: format!("ratios-{operation}"),
        caption: format!(
            "{operation}: throughput over that of {}, and what may be claimed (logarithmic)",
            run.plan.baseline
        ),
        axis,
        heads: &heads,
        rows,
        legend: &[(1, "different"), (0, "a tie, inconclusive, or no verdict")],
        sheet,
    };
    let shared = doubts::of_baseline(run, analysis, operation, Metric::Throughput);
    html! { (figure.render()) @if let Some(reason) = shared { p.why { (reason) } } }
}
