//! Capacities for a terminal.

use std::fmt::Write;

use dyno_model::capacity::{
    CapacityOutcome, CapacityOutput, CapacityRecord, CapacityResult, CapacityRow, TrialEnd, TrialPurpose,
};

use crate::{
    csv::{Sheet, cell, maybe},
    figures::{number, time_us},
    text::wrap,
};

/// What `dyno capacity` prints, for a terminal of 80 columns. No capacity stands without its interval.
pub fn capacity_text(output: &CapacityOutput) -> String {
    let head = format!(
        "Highest rate at which {} is met, operation {}, {} connections",
        output.slo, output.operation, output.connections
    );
    let mut text = format!("{}\n\n", wrap(&head, 80, 2));
    let _ = writeln!(text, "{:<28} {:>12} {:>21}  outcome", "stack", "requests/s", "95 % of probability");
    for row in &output.rows {
        let [capacity, interval, outcome] = cells(row);
        let _ = writeln!(text, "{:<28} {capacity:>12} {interval:>21}  {outcome}", row.stack.to_string());
    }
    for one in &output.not_run {
        let _ = writeln!(text, "{:<28} {:>12} {:>21}  not measured", one.stack.to_string(), "–", "–");
    }
    text.push('\n');
    for row in &output.rows {
        for line in lines(row) {
            let _ = writeln!(text, "{}", wrap(&one_line(&format!("{}: {line}", row.stack)), 80, 2));
        }
    }
    for one in &output.not_run {
        let _ = writeln!(text, "{}", wrap(&one_line(&format!("{}: {}", one.stack, one.reason)), 80, 2));
    }
    output.rows.iter().filter(|row| !row.curve.is_empty()).for_each(|row| text += &curve(row));
    let _ = writeln!(text, "run: {}", output.folder);
    text
}

/// Capacity, interval, outcome.
pub(crate) fn cells(row: &CapacityRow) -> [String; 3] {
    let Some(result) = &row.result else {
        return ["–".to_owned(), "–".to_owned(), "NO VERDICT".to_owned()];
    };
    let interval = match (result.low_per_s, result.high_per_s) {
        (Some(low), Some(high)) => format!("[{}, {}]", number(low), number(high)),
        (Some(low), None) => format!("over {}", number(low)),
        (None, Some(high)) => format!("under {}", number(high)),
        (None, None) => "–".to_owned(),
    };
    // Without trials the interval is the whole range: that is no finding.
    if result.trials == 0 {
        return ["–".to_owned(), "–".to_owned(), word(result.outcome).to_owned()];
    }
    let capacity = match (row.is_found(), result.capacity_per_s) {
        (true, Some(capacity)) => number(capacity),
        _ => "–".to_owned(),
    };
    [capacity, interval, word(result.outcome).to_owned()]
}

const fn word(outcome: CapacityOutcome) -> &'static str {
    match outcome {
        CapacityOutcome::Unfinished => "unfinished",
        CapacityOutcome::Found => "found",
        CapacityOutcome::Wide => "wide",
        CapacityOutcome::NotConfirmed => "not confirmed",
        CapacityOutcome::BelowRange => "below range",
        CapacityOutcome::AboveRange => "above range",
    }
}

pub(crate) fn lines(row: &CapacityRow) -> Vec<String> {
    let mut lines = vec![match &row.result {
        None => format!("NO VERDICT: {}", row.reason),
        Some(result) => format!("{}{}", row.reason, confirmed(result)),
    }];
    if let Some(result) = row.result.as_ref().filter(|_| row.is_found()) {
        lines.push(format!(
            "trials pass and fail at random from about {:.1} % below it to {:.1} % above",
            result.edge * 200.0,
            result.edge * 200.0
        ));
    }
    if row.uncounted > 0 && row.result.is_some() {
        lines.push(format!("trials that were disturbed, repeated and don't count: {}", row.uncounted));
    }
    lines.extend(row.notes.iter().cloned());
    lines
}

fn confirmed(result: &CapacityResult) -> String {
    match result.confirmed {
        (_, 0) => String::new(),
        (passed, all) => format!("; {passed} of {all} trials at the lower end passed"),
    }
}

/// The latency curve of a row. One trial each: no intervals.
fn curve(row: &CapacityRow) -> String {
    let mut text = format!("\nLatency of {} over the offered rate, one trial each\n", row.stack);
    let _ = writeln!(
        text,
        "{:>12} {:>12} {:>10} {:>10} {:>9}  slo",
        "requests/s", "saturated", "p50", "p99", "errors"
    );
    for point in &row.curve {
        let us = |us: Option<f64>| us.map_or_else(|| "–".to_owned(), time_us);
        let share = row.saturation_per_s.map_or_else(
            || "–".to_owned(),
            |saturation| format!("{:.0} %", point.rate_per_s / saturation * 100.0),
        );
        let errors = point.errors.map_or_else(|| "–".to_owned(), |share| format!("{:.2} %", share * 100.0));
        let slo = if point.end == TrialEnd::Passed { "met" } else { "missed" };
        let _ = writeln!(
            text,
            "{:>12} {share:>12} {:>10} {:>10} {errors:>9}  {slo}",
            number(point.rate_per_s),
            us(point.p50_us),
            us(point.p99_us)
        );
    }
    text.push('\n');
    text
}

/// Every trial, those that don't count too.
pub fn capacity_csv(record: &CapacityRecord) -> String {
    trials(record).text()
}

pub(crate) fn trials(record: &CapacityRecord) -> Sheet {
    let mut sheet = Sheet::new(&[
        "stack",
        "purpose",
        "rate_per_s",
        "end",
        "requests",
        "p50_us",
        "p99_us",
        "errors",
        "reason",
    ]);
    for (stack, trial) in
        record.stacks.iter().flat_map(|one| one.trials.iter().map(move |trial| (one, trial)))
    {
        sheet.push([
            stack.stack.to_string(),
            purpose(trial.purpose).to_owned(),
            cell(trial.rate_per_s),
            end(trial.end).to_owned(),
            trial.requests.to_string(),
            maybe(trial.p50_us),
            maybe(trial.p99_us),
            maybe(trial.errors),
            trial.reason.clone(),
        ]);
    }
    sheet
}

/// What a trial was for, in a word.
pub(crate) const fn purpose(purpose: TrialPurpose) -> &'static str {
    match purpose {
        TrialPurpose::Saturation => "saturation",
        TrialPurpose::Search => "search",
        TrialPurpose::Confirmation => "confirmation",
        TrialPurpose::Curve => "curve",
    }
}

/// How it ended, in a word.
pub(crate) const fn end(end: TrialEnd) -> &'static str {
    match end {
        TrialEnd::Passed => "passed",
        TrialEnd::Failed => "failed",
        TrialEnd::Disturbed => "disturbed",
        TrialEnd::GeneratorBound => "generator bound",
    }
}

/// Reasons may hold a log's lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
