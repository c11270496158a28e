//! The run over time: slices with those that were disturbed, memory, blocks.

use std::collections::BTreeMap;

use dyno_analyse::{
    Analysis,
    pictures::{BlockSeen, SliceSeen},
};
use dyno_model::record::Run;
use maud::{Markup, html};

use super::operation::coloured;
use crate::{
    axis::{Axis, Unit},
    csv::{Sheet, cell, maybe},
    figures::number,
    plot::{Line, Strip, lines, strip},
    rows::caption,
};

/// Most slices that a figure shows: more wouldn't be seen, and a run may have a million.
const MOST: usize = 1200;
/// Most points of a line.
const POINTS: usize = 160;

/// The section.
pub fn section(run: &Run, analysis: &Analysis) -> Markup {
    let pictures = &analysis.pictures;
    let length_s = pictures.blocks.last().map_or(0.0, |block| block.at_s + block.length_s);
    html! {
        section #time {
            h2 { "Over time" }
            @if pictures.slices.is_empty() { p { "– no slice is recorded." } } @else {
                @let out = pictures.slices.iter().filter(|slice| slice.disturbed).count();
                p { "Others used more than 10 % of a CPU in " (out) " of " (pictures.slices.len()) " slices. Each slice is adjusted for what others took while it ran, by how much that was seen to cost in this run, and none is left out. Where the CPUs' own speed, or what others took of them, changed within a quad, its slices count less." }
                div.pair { (slices(run, &pictures.slices, &pictures.blocks, length_s)) (memory(run, analysis, length_s)) }
            }
            (blocks(&pictures.blocks))
        }
    }
}

/// At most `most` of them, evenly.
fn some<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    let step = all.len().div_ceil(most).max(1);
    all.iter().step_by(step).copied().collect()
}

fn ticks(length_s: f64) -> Vec<(f64, String)> {
    let axis = Axis::between("time", Unit::Number, 0.0, length_s / if length_s > 300.0 { 60.0 } else { 1.0 });
    let unit = if length_s > 300.0 { "min" } else { "s" };
    axis.ticks().into_iter().map(|tick| (axis.share(tick), format!("{} {unit}", axis.words(tick)))).collect()
}

fn slices(run: &Run, all: &[SliceSeen], blocks: &[BlockSeen], length_s: f64) -> Markup {
    let length_s = length_s.max(all.iter().map(|slice| slice.at_s).fold(1e-9, f64::max));
    let closed = |out: bool| -> Vec<SliceSeen> {
        all.iter().filter(|slice| slice.relative.is_some() && slice.disturbed == out).copied().collect()
    };
    let (kept, disturbed) = (some(&closed(false), MOST), some(&closed(true), MOST / 4));
    let points = |slices: &[SliceSeen]| {
        slices.iter().map(|slice| (slice.at_s / length_s, slice.relative.unwrap_or(1.0))).collect::<Vec<_>>()
    };
    // The most of each column of pixels: a disturbance must be seen.
    let mut columns: BTreeMap<u32, f64> = BTreeMap::new();
    for slice in all.iter().filter(|slice| slice.foreign > 0.0) {
        let column = columns.entry((slice.at_s / length_s * 376.0) as u32).or_insert(0.0);
        *column = column.max(slice.foreign);
    }
    let picture = Strip {
        kept: points(&kept),
        disturbed: points(&disturbed),
        blocks: some(blocks, 200)
            .iter()
            .map(|one| (one.at_s / length_s, (one.at_s + one.length_s) / length_s, one.spin))
            .collect(),
        foreign: columns.into_iter().map(|(column, share)| (f64::from(column) / 376.0, share)).collect(),
        limit: 0.1,
    };
    let mut sheet =
        Sheet::new(&["at_s", "block", "stack", "operation", "rate_over_mean", "foreign_share", "disturbed"]);
    for slice in kept.iter().chain(&disturbed) {
        sheet.push([
            format!("{:.1}", slice.at_s),
            slice.block.to_string(),
            run.prepared.get(slice.stack).map_or_else(String::new, |one| one.stack.to_string()),
            slice.operation.to_string(),
            slice.relative.map_or_else(String::new, |relative| format!("{relative:.4}")),
            format!("{:.3}", slice.foreign),
            slice.disturbed.to_string(),
        ]);
    }
    let shown = if kept.len() + disturbed.len() < closed(false).len() + closed(true).len() {
        ", evenly chosen ones of very many"
    } else {
        ""
    };
    let words = format!(
        "Rate of each saturated slice over the mean of its stack and operation{shown} (below it what others took of the CPUs; dashed: beyond it a slice is marked as disturbed)"
    );
    let rates = Axis::between("rate", Unit::Percent, 0.7, 1.3);
    let most = picture.foreign.iter().map(|one| one.1).fold(0.2, f64::max);
    let shares = Axis::between("foreign CPU", Unit::Percent, 0.0, most.min(2.0));
    html! { figure #slices { (caption(&words, "slices", &sheet)) (strip(&words, &picture, &ticks(length_s), &rates, &shares)) } }
}

fn memory(run: &Run, analysis: &Analysis, length_s: f64) -> Markup {
    let Some(&operation) = run.plan.operations.first() else { return html! {} };
    let chosen = coloured(run, analysis, operation);
    let slices = &analysis.pictures.slices;
    let length_s = length_s.max(slices.iter().map(|slice| slice.at_s).fold(1e-9, f64::max));
    let mut sheet = Sheet::new(&["at_s", "block", "stack", "memory_mib"]);
    let mut all = Vec::new();
    for (index, prepared) in run.prepared.iter().enumerate() {
        let Some(colour) = chosen.iter().position(|stack| *stack == prepared.stack) else { continue };
        let mut of: Vec<SliceSeen> =
            slices.iter().filter(|slice| slice.stack == index && slice.memory_mib > 0.0).copied().collect();
        of.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        // Each block has fresh processes: lines are broken there.
        let mut pieces: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
        for slice in some(&of, POINTS) {
            sheet.push([
                format!("{:.1}", slice.at_s),
                slice.block.to_string(),
                prepared.stack.to_string(),
                cell(slice.memory_mib),
            ]);
            pieces.entry(slice.block).or_default().push((slice.at_s / length_s, slice.memory_mib));
        }
        all.push(Line {
            label: prepared.stack.to_string(),
            pieces: pieces.into_values().collect(),
            colour: Some(colour as u8),
        });
    }
    all.sort_by_key(|line| line.colour);
    let Some(axis) = Axis::logarithmic(
        "memory",
        Unit::Number,
        all.iter().flat_map(|line| &line.pieces).flatten().map(|point| point.1),
    ) else {
        return html! { p.soft { "Memory: – not recorded." } };
    };
    let which = if all.len() < run.prepared.len() { ": the baseline and the fastest" } else { "" };
    let words = format!(
        "Memory of server and front in MiB at the end of each slice{which} (logarithmic; a line is one block's processes)"
    );
    html! { figure #memory-over-time { (caption(&words, "memory-over-time", &sheet)) (lines(&words, &all, &ticks(length_s), &axis, None)) } }
}

fn blocks(all: &[BlockSeen]) -> Markup {
    if all.is_empty() {
        return html! {};
    }
    let mut sheet = Sheet::new(&[
        "block",
        "complete",
        "seconds",
        "trials",
        "failed",
        "slices",
        "disturbed",
        "spin_over_mean",
    ]);
    for one in some(all, MOST) {
        let counts = [one.trials.0, one.trials.1, one.slices.0, one.slices.1].map(|count| count.to_string());
        let begin = [one.index.to_string(), one.complete.to_string(), format!("{:.1}", one.length_s)];
        sheet.push(begin.into_iter().chain(counts).chain([maybe(Some(one.spin))]));
    }
    html! {
        details { summary { "Blocks: " (all.len()) ", " (all.iter().filter(|one| one.complete).count()) " complete" }
            p { a.csv download="blocks.csv" href=(sheet.link()) { "CSV" span.hide { " of blocks" } } }
            div.scroll tabindex="0" role="group" aria-label="blocks" { table.data {
                thead { tr { th scope="col" { "block" } th scope="col" { "length" } th scope="col" { "trials" } th scope="col" { "failed" } th scope="col" { "slices" } th scope="col" { "disturbed" } th scope="col" { "spin" } } }
                tbody { @for one in all.iter().take(MANY_BLOCKS) { tr {
                    th scope="row" { (one.index) @if !one.complete { " " small { "stopped, not counted" } } }
                    td { (number(one.length_s)) " s" } td { (one.trials.0) } td { (one.trials.1) } td { (one.slices.0) } td { (one.slices.1) }
                    td { @if one.spin.is_finite() { (format!("{:+.1} %", (one.spin - 1.0) * 100.0)) } @else { "–" } }
                } } }
            } }
            @if all.len() > MANY_BLOCKS { p.soft { "The first " (MANY_BLOCKS) "; the rest is in the run's folder." } }
        }
    }
}

/// Most blocks in the table.
const MANY_BLOCKS: usize = 200;
