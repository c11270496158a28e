//! What the page begins with: a sentence for each operation, how far the run may be trusted, and one picture.

use dyno_analyse::Analysis;
use dyno_model::{
    Operation,
    output::{Comparison, Estimate, Metric},
    record::Run,
};
use maud::{Markup, html};

use crate::{
    axis::{Axis, Unit},
    csv::{Sheet, maybe},
    doubts::{self, EFFECT, beside_noise, grade},
    figures::{interval_words, rank, ratio},
    page::MANY,
    rows::{Glyph, Row, caption, table},
    text::sorted,
};

/// Sentences, and the letter with its reasons right below it.
pub fn section(analysis: &Analysis) -> Markup {
    let trust = &analysis.trust;
    let refused = trust.grade == '-';
    // Where no verdict is allowed the first sentence has the reasons.
    let reasons: Vec<&str> = beside_noise(trust).filter(|_| !refused).map(String::as_str).collect();
    html! {
        section.answer.refused[refused] aria-label="The answer" {
            @if analysis.sentences.is_empty() { p { "There is nothing to say: no block is complete." } }
            ul { @for sentence in &analysis.sentences { li { (sentence) } } }
            div.trust {
                p { b { "Trust " (grade(trust)) } @if !refused && trust.reasons.is_empty() { ": no reason to doubt." } }
                @if !trust.noise.is_empty() {
                    ul { @for words in &trust.noise { li { (words) } } }
                    p { (EFFECT) }
                }
                @if !reasons.is_empty() { p { @if !trust.noise.is_empty() { "Besides: " } (reasons.join("; ")) "." } }
            }
        }
    }
}

/// How far beyond the outermost estimates an interval is drawn: few blocks may have intervals over many powers of ten.
const BEYOND: f64 = 3.0;

/// One picture: each stack's throughput over the baseline's, an operation in each panel, all on one axis. Nothing where nothing is
/// estimated.
pub fn picture(run: &Run, analysis: &Analysis, operations: &[Operation]) -> Markup {
    if operations.is_empty() {
        return html! {};
    }
    let many = run.prepared.len() > MANY;
    let ratios: Vec<&Comparison> =
        analysis.comparisons.iter().filter(|one| one.metric == Metric::Throughput).collect();
    let axis = Axis::logarithmic("throughput over the baseline's", Unit::Number, ends(&ratios));
    let mut sheet = Sheet::new(&[
        "operation",
        "stack",
        "requests_per_s",
        "ratio",
        "low",
        "high",
        "first_rank",
        "last_rank",
        "no_verdict",
    ]);
    let panels: Vec<(Operation, Markup)> = operations
        .iter()
        .filter_map(|&operation| {
            Some((operation, panel(run, analysis, operation, axis.as_ref(), &mut sheet)?))
        })
        .collect();
    let words = format!(
        "Throughput of each stack over that of {} (dot: estimate; bar: 95 % interval, one that reaches the edge goes on; hollow: no interval, or no verdict; dashed: as fast as the baseline; logarithmic axis, the same for all; stacks whose ranks overlap are ties, and those tied for the first place have a bar at their left)",
        run.plan.baseline
    );
    html! {
        section #faster {
            h2 { "Who is faster" }
            figure #answer {
                (caption(&words, "answer", &sheet))
                div.panels {
                    @for (index, (operation, panel)) in panels.iter().enumerate() {
                        @if many {
                            details open[index == 0] { summary { h3 { (operation) } } (panel) }
                        } @else {
                            div { h3 { (operation) } (panel) }
                        }
                    }
                }
            }
        }
    }
}

/// What the axis holds: every estimate, and intervals as far as they don't make all else small.
fn ends(ratios: &[&Comparison]) -> Vec<f64> {
    let known = ratios.iter().map(|one| one.ratio).filter(|ratio| ratio.is_finite() && *ratio > 0.0);
    let (low, high) = known.fold((0.95f64, 1.05f64), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
    let mut all = vec![low, high];
    for (from, to) in ratios.iter().filter_map(|one| one.low.zip(one.high)) {
        all.extend([from.max(low / BEYOND), to.min(high * BEYOND)]);
    }
    all
}

/// The stacks of one operation, best first. Without any ratio to the baseline, the throughputs themselves.
fn panel(
    run: &Run,
    analysis: &Analysis,
    operation: Operation,
    axis: Option<&Axis>,
    sheet: &mut Sheet,
) -> Option<Markup> {
    let rates = sorted(analysis, operation, Metric::Throughput);
    let ratio_of = |one: &Estimate| {
        let mut all = analysis.comparisons.iter();
        all.find(|other| other.a == one.stack && other.operation == operation && other.metric == one.metric)
    };
    let relative = axis.filter(|_| rates.iter().any(|one| ratio_of(one).is_some()));
    let absolute = Axis::logarithmic(
        "requests/s",
        Unit::Number,
        rates.iter().flat_map(|one| [Some(one.estimate), one.low, one.high]).flatten(),
    );
    let best = rates.iter().filter_map(|one| one.rank).min_by_key(|rank| rank.0);
    let rows: Vec<Row> = rates
        .iter()
        .map(|one| {
            let of = ratio_of(one);
            let refused = doubts::own(run, analysis, &one.stack, operation, one.metric);
            let is_baseline = one.stack == run.plan.baseline;
            sheet.push(data(one, of, refused.as_deref()));
            let mut row = Row { name: one.stack.to_string(), baseline: is_baseline, ..Row::default() };
            (row.rank, row.tied) = place(one, best);
            row.glyphs = match relative {
                Some(_) => std::iter::once(Glyph::Rule(1.0))
                    .chain(marks(of.map(|of| (of.ratio, of.low, of.high)), refused.is_some()))
                    .collect(),
                None => marks(Some((one.estimate, one.low, one.high)), refused.is_some()),
            };
            row.words = vec![match (relative, of) {
                (None, _) => interval_words(one),
                (Some(_), Some(of)) => ratio(of),
                (Some(_), None) if is_baseline => "1".to_owned(),
                (Some(_), None) => "no block in common".to_owned(),
            }];
            row.refused = refused;
            row
        })
        .collect();
    let head = if relative.is_some() { "times" } else { "requests/s" };
    let table = table(relative.or(absolute.as_ref())?, &[head], &rows);
    let shared = doubts::of_baseline(run, analysis, operation, Metric::Throughput);
    Some(html! { @if let Some(reason) = shared { p.why { (reason) } } (table) })
}

/// The rank in words, and whether it is shared with the best.
fn place(one: &Estimate, best: Option<(u32, u32)>) -> (Option<String>, bool) {
    let (Some((first, last)), Some(best)) = (one.rank, best) else { return (None, false) };
    let with_best = first <= best.1 && best.1 > best.0;
    let word = match (first, last) {
        _ if with_best => " tied",
        (1, 1) => " fastest",
        _ => "",
    };
    (Some(format!("{}{word}", rank(one.rank))), with_best)
}

/// Marks of an estimate; one that is refused or has no interval is hollow.
fn marks(value: Option<(f64, Option<f64>, Option<f64>)>, refused: bool) -> Vec<Glyph> {
    let Some((estimate, low, high)) = value.filter(|value| value.0.is_finite()) else { return Vec::new() };
    let interval = low.zip(high).filter(|(low, high)| low.is_finite() && high.is_finite());
    let span = interval.map(|(low, high)| Glyph::Span(low, high, 0));
    let dot =
        if refused || interval.is_none() { Glyph::Hollow(estimate, 0) } else { Glyph::Dot(estimate, 0) };
    span.into_iter().chain([dot]).collect()
}

fn data(one: &Estimate, of: Option<&Comparison>, refused: Option<&str>) -> Vec<String> {
    let ranks = one.rank.map_or_else(<[String; 2]>::default, |(a, b)| [a.to_string(), b.to_string()]);
    let numbers =
        [Some(one.estimate), of.map(|of| of.ratio), of.and_then(|of| of.low), of.and_then(|of| of.high)];
    let names = [one.operation.to_string(), one.stack.to_string()];
    names
        .into_iter()
        .chain(numbers.map(maybe))
        .chain(ranks)
        .chain([refused.unwrap_or_default().to_owned()])
        .collect()
}
