//! Two runs side by side.

use dyno_analyse::across::{Across, Pair};
use dyno_model::{Operation, output::Metric, record::Run};
use maud::{Markup, html};

use crate::{
    across::{compared_words, refusal},
    axis::{Axis, Unit},
    csv::{Sheet, maybe},
    figures::value,
    rows::{Glyph, Plot, Row},
};

/// The page of two runs.
pub fn html_across(a: &Run, b: &Run, across: &Across) -> String {
    let operations: Vec<Operation> = Operation::ALL
        .into_iter()
        .filter(|operation| across.pairs.iter().any(|pair| pair.operation == *operation))
        .collect();
    let body = html! {
        section.answer.refused[!across.compare()] aria-label="The answer" {
            @if let Some(words) = refusal(across) { p { (words) } } @else { @for line in compared_words(across) { p { (line) } } }
        }
        section #differences {
            h2 { "What differs" }
            @if across.differences.is_empty() { p { "Nothing in their fingerprints, plans and locks." } } @else {
                div.scroll tabindex="0" role="group" aria-label="differences" { table.data {
                    thead { tr { th scope="col" { "fact" } th.w scope="col" { "A" } th.w scope="col" { "B" } th.w scope="col" { "ratios" } } }
                    tbody { @for one in &across.differences { tr {
                        th scope="row" { (one.fact) } td.w { (one.a.as_deref().unwrap_or("– not recorded")) } td.w { (one.b.as_deref().unwrap_or("– not recorded")) }
                        td.w { @if one.forbids { span.fail { "refused for it" } } @else { "still given" } }
                    } } }
                } }
            }
            @for (words, stacks) in [("Only in A", &across.only.0), ("Only in B", &across.only.1)] {
                @if !stacks.is_empty() { p { (words) ": " (stacks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) } }
            }
        }
        @for operation in &operations {
            section #(operation) { h2 { (operation) } @for metric in Metric::ALL { (figure(across, *operation, metric)) } }
        }
        section #repeat { h2 { "Repeat it" } pre.command { "dyno report " (a.run) " " (b.run) } }
    };
    let facts = [("A", a.run.clone()), ("B", b.run.clone())];
    let mut links = vec![("#differences".to_owned(), "differences".to_owned())];
    links.extend(operations.iter().map(|operation| (format!("#{operation}"), operation.to_string())));
    super::page("Two runs side by side", &facts, &links, &body)
}

fn figure(across: &Across, operation: Operation, metric: Metric) -> Markup {
    let of: Vec<&Pair> =
        across.pairs.iter().filter(|pair| pair.operation == operation && pair.metric == metric).collect();
    let mut sheet = Sheet::new(&["stack", "a", "b", "b_over_a", "low", "high"]);
    let mut ends = vec![0.95, 1.05];
    let rows = of.iter().map(|pair| {
        let interval = pair.interval;
        let numbers = [
            Some(pair.estimates.0),
            Some(pair.estimates.1),
            pair.ratio,
            interval.map(|one| one.0),
            interval.map(|one| one.1),
        ];
        sheet.push(std::iter::once(pair.stack.to_string()).chain(numbers.map(maybe)));
        ends.extend(pair.ratio.into_iter().chain(interval.into_iter().flat_map(|(low, high)| [low, high])));
        let mut glyphs = vec![Glyph::Rule(1.0)];
        match (pair.ratio, interval) {
            (Some(ratio), Some((low, high))) => {
                glyphs.extend([Glyph::Span(low, high, 0), Glyph::Dot(ratio, 0)])
            }
            (Some(ratio), None) => glyphs.push(Glyph::Hollow(ratio, 0)),
            (None, _) => glyphs.clear(),
        }
        let (a, b) = pair.estimates;
        Row {
            name: pair.stack.to_string(),
            glyphs,
            words: vec![value(metric, a), value(metric, b), crate::across::ratio_words(pair)],
            ..Row::default()
        }
    });
    let rows: Vec<Row> = rows.collect();
    let Some(axis) = Axis::logarithmic("B over A", Unit::Number, ends) else { return html! {} };
    Plot {
        id: format!("{}-{operation}", metric.name()),
        caption: format!(
            "{operation}: {} of B over A ({})",
            metric.name().replace('_', " "),
            if metric.more_is_better() { "more is better" } else { "less is better" }
        ),
        axis,
        heads: &["A", "B", "B / A"],
        rows,
        legend: &[],
        sheet,
    }
    .render()
}
