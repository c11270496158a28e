//! A calibration for a terminal, and as Markdown for evidence.

use std::fmt::Write;

use dyno_model::calibration::{BurnSize, CalibrationOutput, Length, Session, Spread, Tally};

use crate::{
    figures::{number, verdict},
    text::wrap,
};

/// The calibration's tables for a terminal of 80 columns.
pub fn calibration_text(output: &CalibrationOutput) -> String {
    let mut text = format!("{}\n\n", wrap(&heading(output), 80, 0));
    for (name, figures) in figures(output) {
        let _ = writeln!(text, "  {name:<38} {figures}");
    }
    text.push('\n');
    for line in notes(output) {
        let _ = writeln!(text, "{}", wrap(&line, 80, 2));
    }
    text
}

/// The same with one row for each session, as Markdown.
pub fn calibration_markdown(output: &CalibrationOutput) -> String {
    let calibration = &output.calibration;
    let mut text =
        format!("# Calibration {}\n\n{}\n\n| | |\n|---|---|\n", calibration.calibration, heading(output));
    for (name, figures) in figures(output) {
        let _ = writeln!(text, "| {name} | {figures} |");
    }
    text.push('\n');
    for line in notes(output) {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(text, "\nSeed {}: `{}`\n", calibration.seed, calibration.command.join(" "));
    text += "| session | begin | blocks | minutes | throughput | CPU | verdict | by the numbers alone |\n";
    text += "|---|---|---|---|---|---|---|---|\n";
    for one in &calibration.sessions {
        let _ = writeln!(text, "{}", row(one));
    }
    text
}

/// One session in a line.
pub fn session_words(one: &Session) -> String {
    let sign = if one.beyond_zero { ", its sign known" } else { "" };
    format!(
        "{}: {}{sign}, {}, {} blocks in {} min; {}",
        one.kind.name(),
        verdict(one.verdict),
        interval(one),
        one.blocks,
        number(one.seconds / 60.0),
        one.reason
    )
}

/// How large the slowdown is, in words.
pub fn burn_words(burn: &BurnSize, slowdown: f64) -> String {
    format!(
        "burn={}loops takes {} [{}, {}] of a request's CPU time more than {} ({} asked for; measured with {} loops in {} blocks)",
        burn.loops,
        percent(burn.share),
        percent(burn.low),
        percent(burn.high),
        if burn.base == 0 { "the stack".to_owned() } else { format!("burn={}loops", burn.base) },
        percent(slowdown),
        burn.pilot,
        burn.blocks
    )
}

fn heading(output: &CalibrationOutput) -> String {
    let calibration = &output.calibration;
    let setting = &calibration.setting;
    let size = calibration.burn.map_or_else(
        || "the size of its slowdown isn't measured yet".to_owned(),
        |burn| burn_words(&burn, setting.slowdown),
    );
    format!(
        "{} on {}: {size}. {} of {} sessions are done.",
        setting.stack,
        setting.operation,
        calibration.sessions.len(),
        calibration.order.len()
    )
}

fn figures(output: &CalibrationOutput) -> Vec<(&'static str, String)> {
    let summary = &output.summary;
    let length = |length: Option<Length>| {
        length.map_or_else(
            || "–".to_owned(),
            |one| format!("{} blocks, {} min", number(one.median_blocks), number(one.median_minutes)),
        )
    };
    vec![
        ("A/A called different", tally(summary.different)),
        ("  by the numbers alone", tally(summary.different_by_numbers)),
        ("A/B found", tally(summary.found)),
        ("  by the numbers alone", tally(summary.found_by_numbers)),
        ("A/B with the wrong sign", summary.wrong_sign.to_string()),
        ("no verdict, A/A and A/B", format!("{} and {}", summary.no_verdict.0, summary.no_verdict.1)),
        ("median A/A session", length(summary.aa_length)),
        ("median A/B session", length(summary.ab_length)),
        ("A/A: faster than itself by", spread(summary.aa_estimates)),
        ("A/B: faster than its slowed self by", spread(summary.ab_estimates)),
        ("A/B: slowed CPU per request more by", spread(summary.ab_cpu)),
        (
            "floor: 95 % of A/A are within",
            summary.floor.map_or_else(|| "– (needs 40 A/A)".to_owned(), percent),
        ),
    ]
}

fn notes(output: &CalibrationOutput) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for alarm in &output.summary.alarms {
        let raised = if alarm.raised { "ALARM" } else { "no alarm" };
        notes.push(format!("{}: {raised}: {}.", alarm.kind.name(), alarm.words));
    }
    let sessions = &output.calibration.sessions;
    let changed = sessions.iter().filter(|one| !one.differs.is_empty());
    if let Some(last) = changed.clone().next_back() {
        let count = changed.count();
        let differs = last.differs.join("; ");
        notes.push(format!(
            "Machine or software of {count} sessions isn't that of the first; in {}: {differs}.",
            last.run
        ));
    }
    notes.push(
        "Intervals of counts are Wilson's, 95 %. Found: the interval excludes 1 and the sign-flip test agrees, on the right side. \
         A session without a verdict is neither found nor different. Means are of logarithms; sessions that stop early when \
         a difference is large make them a little larger than the truth."
            .to_owned(),
    );
    notes
}

fn row(one: &Session) -> String {
    format!(
        "| {} {} | {} | {} | {} | {} | {} | {} | {} |",
        one.run,
        one.kind.name(),
        one.started,
        one.blocks,
        number(one.seconds / 60.0),
        interval(one),
        one.cpu_ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}")),
        one.reason.replace('\n', " ").replace('|', "\\|"),
        one.by_numbers.map_or("–", verdict),
    )
}

fn interval(one: &Session) -> String {
    let ratio = one.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}"));
    match one.low.zip(one.high) {
        Some((low, high)) => format!("{ratio} [{low:.3}, {high:.3}]"),
        None => format!("{ratio} [?]"),
    }
}

fn tally(tally: Tally) -> String {
    format!("{} of {} [{}, {}]", tally.count, tally.of, percent(tally.low), percent(tally.high))
}

fn spread(spread: Option<Spread>) -> String {
    let Some(one) = spread else { return "–".to_owned() };
    let Some(((low, high), sd)) = one.low.zip(one.high).zip(one.sd) else {
        return format!("{} (one session)", percent(one.mean));
    };
    format!("{} [{}, {}], sd {}", percent(one.mean), percent(low), percent(high), percent(sd))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
