//! The page of a capacity search: what was found, and latency over the offered rate, trial by trial.

use dyno_model::{
    Slos,
    capacity::{CapacityOutput, CapacityRecord, CapacityRow, StackSearch, TrialPurpose, TrialRecord},
    record::Run,
    slo::Limit,
};
use maud::{Markup, html};

use super::about;
use crate::{
    axis::{Axis, Unit},
    capacity::{cells, end, lines, purpose, trials},
    csv::{Sheet, cell, maybe},
    figures::{number, time_us},
    plot::{self, COLOURS, Line},
    rows::{Glyph, Plot, Row, caption},
};

/// A percentile of the figures: its name, and what a trial has of it.
type Percentile = (&'static str, f64, fn(&TrialRecord) -> Option<f64>);

const PERCENTILES: [Percentile; 2] =
    [("p50", 50.0, |trial| trial.p50_us), ("p99", 99.0, |trial| trial.p99_us)];

/// The page of a search.
pub fn capacity_html(run: &Run, record: &CapacityRecord, output: &CapacityOutput) -> String {
    let title = format!("Highest rate at which {} is met, {}", output.slo, output.operation);
    let all_found = output.not_run.is_empty() && output.rows.iter().all(CapacityRow::is_found);
    let body = html! {
        section.answer.refused[!all_found] aria-label="The answer" {
            ul {
                @for row in &output.rows { li { (sentence(row)) } }
                @for one in &output.not_run { li { (one.stack) " wasn't measured." } }
            }
        }
        section #capacity { h2 { "Capacity" } (found(output)) @for row in &output.rows { (notes(row)) } }
        section #latency {
            h2 { "Latency over the offered rate" }
            div.pair { @for percentile in PERCENTILES { (latency(record, percentile)) } }
        }
        (all_trials(record))
        section #not-run {
            h2 { "Not measured" }
            @if output.not_run.is_empty() { p { "Nothing: every stack was searched." } }
            @for one in &output.not_run { h3 { (one.stack) } pre { (one.reason) } }
        }
        section #method {
            h2 { "How it was measured, and on what" }
            p { "A trial is a few seconds of an open loop with Poisson arrivals, latency counted from when each request was due. It passes when every objective is met.
                 Each trial moves a probability over the capacity, the rate at which half of the trials fail; the search ends once the central 95 % of it reach no further than
                 2 % to either side, or after 40 trials. Processes are fresh for every five trials; which stack is next is drawn anew for each. Trials that something else
                 disturbed are repeated, whatever they said. " (output.connections) " connections." }
            (about::machine(run))
        }
        (about::repeat(run))
    };
    let facts = [
        ("run", run.run.clone()),
        ("begun", run.started.split('.').next().unwrap_or_default().replace('T', " ")),
        ("stacks", output.rows.len().to_string()),
        ("trials", record.stacks.iter().map(|one| one.trials.len()).sum::<usize>().to_string()),
    ];
    let links = [
        ("capacity", "capacity"),
        ("latency", "latency"),
        ("trials", "trials"),
        ("not-run", "not measured"),
        ("method", "method"),
        ("repeat", "repeat"),
    ]
    .map(|(id, words)| (format!("#{id}"), words.to_owned()));
    super::page(&title, &facts, &links, &body)
}

fn sentence(row: &CapacityRow) -> String {
    let [capacity, interval, outcome] = cells(row);
    if row.is_found() {
        format!("{} carries {capacity} requests/s {interval}, the central 95 % of probability.", row.stack)
    } else {
        format!("{}: {outcome}: {}.", row.stack, row.reason.trim_end_matches('.'))
    }
}

fn found(output: &CapacityOutput) -> Markup {
    let mut sheet = Sheet::new(&["stack", "outcome", "per_s", "low_per_s", "high_per_s"]);
    let mut ends = Vec::new();
    let rows = output.rows.iter().map(|row| {
        let result = row.result.as_ref();
        let capacity = result.filter(|_| row.is_found()).and_then(|one| one.capacity_per_s);
        let (low, high) = result.map_or((None, None), |one| (one.low_per_s, one.high_per_s));
        let [words, interval, outcome] = cells(row);
        sheet.push(
            [row.stack.to_string(), outcome.clone()].into_iter().chain([capacity, low, high].map(maybe)),
        );
        ends.extend([capacity, low, high].into_iter().flatten());
        let mut glyphs = Vec::new();
        if let (Some(capacity), Some(low), Some(high)) = (capacity, low, high) {
            glyphs.extend([Glyph::Span(low, high, 0), Glyph::Dot(capacity, 0)]);
        }
        Row { name: row.stack.to_string(), glyphs, words: vec![words, interval, outcome], ..Row::default() }
    });
    let rows: Vec<Row> = rows.collect();
    Plot {
        id: "capacities".to_owned(),
        caption: "The highest rate, and the central 95 % of its probability (–: no number)".to_owned(),
        axis: Axis::from_zero("requests/s", Unit::Number, ends),
        heads: &["requests/s", "95 % of probability", "outcome"],
        rows,
        legend: &[],
        sheet,
    }
    .render()
}

fn notes(row: &CapacityRow) -> Markup {
    html! { h3 { (row.stack) } ul { @for line in lines(row) { li { (line) } } } }
}

/// Trials of open loops that say something, by rate.
fn told(one: &StackSearch, curve: bool) -> impl Iterator<Item = &TrialRecord> {
    one.trials.iter().filter(move |trial| {
        let wanted = match trial.purpose {
            TrialPurpose::Saturation => false,
            TrialPurpose::Curve => curve,
            TrialPurpose::Search | TrialPurpose::Confirmation => !curve,
        };
        wanted && trial.end.counts()
    })
}

fn latency(record: &CapacityRecord, (name, percent, of): Percentile) -> Markup {
    let limit = record.slo.parse::<Slos>().ok().and_then(|slos| {
        slos.0.iter().find_map(|slo| match slo.limit {
            Limit::Percentile(one, limit) if one == percent => Some(limit.0.as_secs_f64() * 1e6),
            _ => None,
        })
    });
    let point = |trial: &TrialRecord| of(trial).map(|us| (trial.rate_per_s, us));
    let rates = Axis::from_zero(
        "requests/s",
        Unit::Number,
        record.stacks.iter().flat_map(|one| &one.trials).filter_map(point).map(|(rate, _)| rate),
    );
    let mut sheet = Sheet::new(&["stack", "purpose", "rate_per_s", "latency_us"]);
    let mut all = Vec::new();
    for (at, one) in record.stacks.iter().enumerate() {
        for trial in told(one, true).chain(told(one, false)) {
            if let Some((rate, us)) = point(trial) {
                let words = [one.stack.to_string(), purpose(trial.purpose).to_owned()];
                sheet.push(words.into_iter().chain([cell(rate), cell(us)]));
            }
        }
        let place = |(rate, us): (f64, f64)| (rates.share(rate), us);
        let mut line: Vec<(f64, f64)> = told(one, true).filter_map(point).map(place).collect();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        let lone = told(one, false).filter_map(point).map(|point| vec![place(point)]);
        let pieces: Vec<Vec<(f64, f64)>> =
            std::iter::once(line).chain(lone).filter(|piece| !piece.is_empty()).collect();
        if !pieces.is_empty() {
            all.push(Line {
                label: one.stack.to_string(),
                pieces,
                colour: (at < COLOURS).then_some(at as u8),
            });
        }
    }
    let values = all.iter().flat_map(|line| &line.pieces).flatten().map(|point| point.1);
    let Some(axis) = Axis::logarithmic("latency", Unit::Time, values.chain(limit)) else {
        return html! { p.soft { (name) ": – no trial has told it." } };
    };
    let ticks: Vec<(f64, String)> =
        rates.ticks().into_iter().map(|tick| (rates.share(tick), rates.words(tick))).collect();
    let id = format!("{name}-over-rate");
    let rule = if limit.is_some() { ", the dashed line is the objective" } else { "" };
    let words = format!(
        "{name} over requests/s offered, one trial each, without intervals (points: trials of the search; a line: those of --curve{rule})"
    );
    html! { figure id=(id) { (caption(&words, &id, &sheet)) (plot::lines(&words, &all, &ticks, &axis, limit)) } }
}

fn all_trials(record: &CapacityRecord) -> Markup {
    let us = |us: Option<f64>| us.map_or_else(|| "–".to_owned(), time_us);
    html! {
        section #trials {
            h2 { "Trials" }
            p { a.csv download="trials.csv" href=(trials(record).link()) { "CSV" span.hide { " of trials" } } }
            @for one in &record.stacks {
                details { summary { (one.stack) ": " (one.trials.len()) " trials" }
                div.scroll tabindex="0" role="group" aria-label={ "trials of " (one.stack) } { table.data {
                    thead { tr { th scope="col" { "requests/s" } th.w scope="col" { "for" } th.w scope="col" { "end" } th scope="col" { "p50" } th scope="col" { "p99" } th scope="col" { "errors" } th.w scope="col" { "why" } } }
                    tbody { @for trial in &one.trials { tr {
                        th scope="row" { (number(trial.rate_per_s)) } td.w { (purpose(trial.purpose)) } td.w { (end(trial.end)) }
                        td { (us(trial.p50_us)) } td { (us(trial.p99_us)) }
                        td { (trial.errors.map_or_else(|| "–".to_owned(), |share| format!("{:.2} %", share * 100.0))) } td.w { (trial.reason) }
                    } } }
                } } }
            }
        }
    }
}
