//! Ranks with their intervals, ties as groups.

use dyno_analyse::Analysis;
use dyno_model::{
    Operation,
    output::{Estimate, Metric},
    record::Run,
};
use maud::{Markup, html};

use crate::{
    axis::{Axis, Unit},
    csv::Sheet,
    doubts,
    figures::{rank, spread, value},
    rows::{Glyph, Plot, Row},
    text::sorted,
};

/// The ranks that each stack could have; nothing where no rank may be given.
pub fn figure(run: &Run, analysis: &Analysis, operation: Operation) -> Markup {
    let rates = sorted(analysis, operation, Metric::Throughput);
    let (ranked, unranked): (Vec<&Estimate>, Vec<&Estimate>) =
        rates.iter().partition(|one| one.rank.is_some());
    if ranked.is_empty() {
        return html! {};
    }
    let mut sheet = Sheet::new(&["stack", "first_rank", "last_rank", "requests_per_s", "low", "high"]);
    let mut rows = Vec::new();
    let mut last_of_group = 0;
    let mut place = 0.0;
    for one in ranked.into_iter().chain(unranked) {
        let mut group = None;
        let mut glyphs = Vec::new();
        if let Some((first, last)) = one.rank {
            place += 1.0;
            if first > last_of_group {
                last_of_group = last;
                let alone = rates
                    .iter()
                    .filter(|other| other.rank.is_some_and(|(a, _)| a >= first && a <= last))
                    .count()
                    == 1;
                group =
                    Some(if alone { format!("rank {first}") } else { format!("tied from rank {first} on") });
            }
            glyphs = vec![Glyph::Span(f64::from(first), f64::from(last), 0), Glyph::Dot(place, 0)];
        } else if last_of_group != u32::MAX {
            last_of_group = u32::MAX;
            group = Some("no rank may be given".to_owned());
        }
        let ranks = one.rank.map_or_else(<[String; 2]>::default, |(a, b)| [a.to_string(), b.to_string()]);
        let [first, last] = ranks;
        let numbers = [Some(one.estimate), one.low, one.high].map(crate::csv::maybe);
        sheet.push([one.stack.to_string(), first, last].into_iter().chain(numbers));
        rows.push(Row {
            name: one.stack.to_string(),
            baseline: one.stack == run.plan.baseline,
            glyphs,
            words: vec![value(one.metric, one.estimate), spread(one)],
            rank: Some(rank(one.rank)),
            group,
            refused: doubts::own(run, analysis, &one.stack, operation, one.metric),
            ..Row::default()
        });
    }
    let most = rates.iter().filter_map(|one| one.rank).map(|(_, last)| last).max().unwrap_or(2).max(2);
    Plot {
        id: format!("rank-{operation}"),
        caption: format!("{operation}: rank by throughput (dot: place of the estimate; bar: the ranks that are possible, all stacks considered at once, 95 %; a group's stacks could not be told from its first)"),
        axis: Axis::between("rank", Unit::Number, 1.0, f64::from(most)),
        heads: &["estimate", "± half the interval"],
        rows,
        legend: &[],
        sheet,
    }
    .render()
}
