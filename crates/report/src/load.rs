//! One load of `dyno load` as text: the summary for people, a line of CSV for each interval, Prometheus' text.

use std::{collections::BTreeMap, fmt::Write};

use dyno_model::{
    histogram::LatencyHistogram,
    load::{Bytes, Counts},
    output::{CurvePoint, LatencyKind, LoadOutput, Percentiles, SelfCheck, SelfCheckOutcome},
};

use crate::{
    figures::{count, number, time_us},
    text::wrap,
};

const BAR: usize = 24;

/// The summary: whether it may be believed, counts that add up, rate, percentiles with intervals, checks.
pub fn load_summary(output: &LoadOutput, place: &str, color: bool) -> String {
    let bold = |words: &str| if color { format!("\x1b[1m{words}\x1b[0m") } else { words.to_owned() };
    let mut text = String::new();
    let failed: Vec<&SelfCheck> = of(output, SelfCheckOutcome::Fail);
    if !failed.is_empty() {
        let ids: Vec<&str> = failed.iter().map(|check| check.id.as_str()).collect();
        let _ = writeln!(text, "{}", bold(&format!("Don't trust these numbers: {} failed", ids.join(", "))));
        text += &lines(&failed);
        text.push('\n');
    }
    if output.completed == 0 {
        let _ = writeln!(text, "{}", bold("Not one right answer: there is nothing to report"));
    }
    let _ = writeln!(text, "{}", wrap(&format!("{} at {place}", output.url), 80, 2));
    let _ = writeln!(text, "{}", wrap(&format!("{}; {}", output.load, output.engine), 80, 2));
    text.push('\n');
    text += &counts(output);
    let interval = output.rate_interval_per_s.map_or_else(
        || " (no interval: too few parts)".to_owned(),
        |(low, high)| format!(" [{}, {}]", number(low), number(high)),
    );
    let _ = writeln!(
        text,
        "rate       {} right answers/s{interval} over {:.1} s",
        bold(&number(output.rate_per_s)),
        output.seconds
    );
    text += &latencies(output, &bold);
    text += &rest(output);
    text
}

fn of(output: &LoadOutput, outcome: SelfCheckOutcome) -> Vec<&SelfCheck> {
    output.checks.iter().filter(|check| check.outcome == outcome).collect()
}

fn lines(checks: &[&SelfCheck]) -> String {
    checks.iter().fold(String::new(), |mut text, check| {
        let _ = writeln!(text, "{}", wrap(&format!("- {} {}", check.id, check.words), 80, 5));
        text
    })
}

fn counts(output: &LoadOutput) -> String {
    let mut text = format!(
        "requests   {} planned = {} sent + {} not sent; {} answered right, {} failed\n",
        count(output.planned),
        count(output.sent),
        count(output.not_sent),
        count(output.completed),
        count(output.failed.total()),
    );
    let kinds = output.failed.by_kind().into_iter().filter(|(_, number)| *number > 0);
    let kinds: Vec<String> = kinds.map(|(kind, number)| format!("{} {kind}", count(number))).collect();
    if !kinds.is_empty() {
        let _ = writeln!(text, "{}", wrap(&format!("failed     {}", kinds.join(", ")), 80, 11));
    }
    if !output.statuses.is_empty() {
        let _ = writeln!(text, "{}", wrap(&format!("answers    {}", statuses(&output.statuses)), 80, 11));
    }
    if output.redirects > 0 {
        let _ = writeln!(text, "redirects  {} followed, beside the requests sent", count(output.redirects));
    }
    let (bytes, per_s) = (output.bytes, output.bytes_per_s);
    if bytes.sent + bytes.received > 0 {
        let line = format!(
            "bytes      {}/s out, {}/s in ({} out, {} in)",
            size(per_s.sent),
            size(per_s.received),
            size(bytes.sent as f64),
            size(bytes.received as f64)
        );
        let _ = writeln!(text, "{}", wrap(&line, 80, 11));
    }
    let connections = output.connections;
    let all = [
        (connections.opened, "opened again"),
        (connections.refused, "refused"),
        (connections.timed_out, "timed out"),
        (connections.failed, "not opened"),
        (connections.closed_idle, "closed by the server while idle"),
        (connections.unasked, "spoke before they were asked"),
        (connections.sent_again, "requests sent again that the server had not processed"),
    ];
    let seen = all.iter().filter(|(number, _)| *number > 0);
    let seen: Vec<String> = seen.map(|(number, words)| format!("{} {words}", count(*number))).collect();
    if !seen.is_empty() {
        let _ = writeln!(text, "{}", wrap(&format!("connections {}", seen.join(", ")), 80, 11));
    }
    text
}

fn latencies(output: &LoadOutput, bold: &impl Fn(&str) -> String) -> String {
    let title = match output.latency_kind {
        LatencyKind::FromDue => "latency, from when each request was due".to_owned(),
        LatencyKind::ServiceTime => {
            format!(
                "service time (closed loop: says nothing of waiting); longest stall {}",
                time_us(output.longest_stall_us)
            )
        }
    };
    let mut text = format!("\n{}\n", bold(&title));
    let largest = output.curve.last().map_or(0.0, |point| point.us);
    let smallest = output.curve.first().map_or(0.0, |point| point.us);
    for point in &output.curve {
        let _ = writeln!(
            text,
            "{:>8} {:>10}  {:<24} {}",
            format!("p{}", point.percentile),
            time_us(point.us),
            interval(point),
            bar(point.us, smallest, largest)
        );
    }
    let _ = writeln!(
        text,
        "{:>8} {:>10}  {:<24} mean {}",
        "max",
        time(output.latency_us.max),
        "",
        time(output.latency_us.mean)
    );
    if output.failed_in_latency > 0 {
        let line = format!(
            "{} of these {} are of requests without a right answer: each counts as the time-out or longer",
            count(output.failed_in_latency),
            count(output.latency_us.count)
        );
        let _ = writeln!(text, "{}", wrap(&line, 80, 0));
    }
    text
}

fn interval(point: &CurvePoint) -> String {
    match (point.low_us, point.high_us) {
        (Some(low), Some(high)) => format!("[{}, {}]", time_us(low), time_us(high)),
        (Some(low), None) => format!("[{}, ?]", time_us(low)),
        (None, Some(high)) => format!("[?, {}]", time_us(high)),
        _ => "±?".to_owned(),
    }
}

/// A time, or a dash where nothing was measured.
fn time(us: Option<f64>) -> String {
    us.map_or_else(|| "–".to_owned(), time_us)
}

/// Histograms tell nothing below a microsecond.
fn small(us: Option<f64>) -> String {
    if us.is_some_and(|us| us < 1.1) { "<1 us".to_owned() } else { time(us) }
}

/// `200: 1,234, 404: 5`.
pub fn statuses(counts: &BTreeMap<u16, u64>) -> String {
    let all: Vec<String> =
        counts.iter().map(|(status, number)| format!("{status}: {}", count(*number))).collect();
    all.join(", ")
}

/// Bytes, in units of 1,000.
pub fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1e9 => format!("{} GB", number(bytes / 1e9)),
        bytes if bytes >= 1e6 => format!("{} MB", number(bytes / 1e6)),
        bytes if bytes >= 1e3 => format!("{} kB", number(bytes / 1e3)),
        bytes => format!("{bytes:.0} B"),
    }
}

/// A bar on a logarithmic scale from the smallest to the largest percentile.
fn bar(us: f64, smallest: f64, largest: f64) -> String {
    let share = if largest > smallest { (us / smallest).ln() / (largest / smallest).ln() } else { 0.0 };
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    format!("{}{part}", "█".repeat(eighths / 8))
}

fn rest(output: &LoadOutput) -> String {
    let mut text = String::new();
    let row = |text: &mut String, name: &str, one: &Percentiles, words: &str| {
        if one.count > 0 {
            let line = format!(
                "{name:<10} p50 {}, p99 {}, max {}: {words}",
                small(one.p50),
                small(one.p99),
                small(one.max)
            );
            let _ = writeln!(text, "{}", wrap(&line, 80, 11));
        }
    };
    text.push('\n');
    row(&mut text, "blocked", &output.blocked_us, "waited for a free connection, part of the latency");
    row(&mut text, "late", &output.late_us, "the generator's own, part of the latency too");
    text += &pacing(output);
    let cpu = output.cpu_seconds;
    let each = (cpu.user + cpu.system) * 1e6 / (output.sent.max(1)) as f64;
    let _ = writeln!(
        text,
        "generator  {} CPU a request ({:.2} s user, {:.2} s system)",
        time_us(each),
        cpu.user,
        cpu.system
    );
    let flagged = of(output, SelfCheckOutcome::Flag);
    let count = |outcome| of(output, outcome).len();
    let _ = writeln!(
        text,
        "checks     {} passed, {} flagged, {} failed, {} not made",
        count(SelfCheckOutcome::Pass),
        flagged.len(),
        count(SelfCheckOutcome::Fail),
        count(SelfCheckOutcome::NotMade)
    );
    text += &lines(&flagged);
    for slo in &output.slo {
        let word = if slo.met { "met" } else { "MISSED" };
        let _ = writeln!(text, "goal       {} {word}: {}", slo.slo, slo.measured);
    }
    let mut shown = Vec::new();
    for wrong in &output.wrong_answers {
        // The same again says nothing new; all ten are in the JSON.
        if shown.contains(&wrong) || shown.len() == 3 {
            continue;
        }
        shown.push(wrong);
        let status = wrong.status.map_or_else(String::new, |status| format!(", status {status}"));
        let body: String = wrong.body.chars().take(200).collect();
        let body = if body.is_empty() { String::new() } else { format!(": {}", body.escape_debug()) };
        let _ = writeln!(
            text,
            "{}",
            wrap(&format!("wrong      {} {}{status}{body}", wrong.request, wrong.kind), 80, 11)
        );
    }
    text
}

/// How requests were gathered into wake-ups, and what that does to percentiles.
fn pacing(output: &LoadOutput) -> String {
    let Some(pacing) = output.pacing else { return String::new() };
    let cost = pacing
        .wake_up_us
        .map_or_else(String::new, |us| format!("; a wake-up costs {} of CPU here", time_us(us)));
    if pacing.bound_us == 0.0 {
        return format!("{}\n", wrap(&format!("pacing     exact{cost}"), 80, 11));
    }
    let (here, there) = (output.latency_us, pacing.from_schedule_us);
    let effect = [("p50", here.p50, there.p50), ("p90", here.p90, there.p90), ("p99", here.p99, there.p99)];
    let effect: Vec<String> = effect
        .into_iter()
        .filter_map(|(name, here, there)| Some(format!("{name} +{}", time_us((there? - here?).max(0.0)))))
        .collect();
    let line = format!(
        "pacing     gathered within {}{cost}; sent {} (p50) after the schedule, which is in no latency: counted from the \
         schedule {}",
        time_us(pacing.bound_us),
        time(pacing.gathered_us.p50),
        effect.join(", ")
    );
    format!("{}\n", wrap(&line, 80, 11))
}

/// The head of the CSV of intervals.
pub const LOAD_CSV_HEAD: &str = "at_s,seconds,planned,sent,completed,failed,in_flight,p50_us,p90_us,p99_us,max_us,late_p99_us,bytes_sent,bytes_received,\
     statuses";

/// One interval, for [`load_csv_line`].
#[derive(Clone, Copy, Debug)]
pub struct LoadCsvLine<'a> {
    /// Begin and length.
    pub times_s: (f64, f64),
    /// Counts of the interval.
    pub counts: Counts,
    /// Requests in flight at its end.
    pub in_flight: u64,
    /// Its latencies.
    pub latency: &'a LatencyHistogram,
    /// What the generator was late with.
    pub late: &'a LatencyHistogram,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its answers by status code.
    pub statuses: &'a BTreeMap<u16, u64>,
}

/// One interval as a line of CSV; empty cells where nothing was measured. Statuses are written `200=95;404=5`.
pub fn load_csv_line(line: &LoadCsvLine<'_>) -> String {
    let LoadCsvLine { times_s, counts, in_flight, latency, late, bytes, statuses } = *line;
    let statuses: Vec<String> = statuses.iter().map(|(status, count)| format!("{status}={count}")).collect();
    let us = |histogram: &LatencyHistogram, quantile: f64| {
        histogram.quantile_ns(quantile).map_or_else(String::new, |ns| format!("{:.3}", ns as f64 / 1e3))
    };
    format!(
        "{:.6},{:.6},{},{},{},{},{in_flight},{},{},{},{},{},{},{},{}",
        times_s.0,
        times_s.1,
        counts.planned,
        counts.sent,
        counts.completed,
        counts.failed.total(),
        us(latency, 0.5),
        us(latency, 0.9),
        us(latency, 0.99),
        us(latency, 1.0),
        us(late, 0.99),
        bytes.sent,
        bytes.received,
        statuses.join(";"),
    )
}

/// Upper bounds of Prometheus' buckets, in seconds.
const BUCKETS_S: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Everything so far in Prometheus' text format (version 0.0.4).
pub fn load_prometheus(
    counts: Counts,
    in_flight: u64,
    latency: &LatencyHistogram,
    statuses: &BTreeMap<u16, u64>,
    bytes: Bytes,
) -> String {
    let mut text = String::from(
        "# HELP dyno_load_requests_total Requests by outcome.\n# TYPE dyno_load_requests_total counter\n",
    );
    let outcomes = [("completed", counts.completed), ("not_sent", counts.not_sent)];
    for (outcome, count) in outcomes.into_iter().chain(counts.failed.by_kind()) {
        let _ = writeln!(text, "dyno_load_requests_total{{outcome=\"{outcome}\"}} {count}");
    }
    text += "# HELP dyno_load_answers_total Whole answers by status code.\n# TYPE dyno_load_answers_total counter\n";
    for (status, count) in statuses {
        let _ = writeln!(text, "dyno_load_answers_total{{status=\"{status}\"}} {count}");
    }
    text += "# HELP dyno_load_bytes_total Bytes by direction.\n# TYPE dyno_load_bytes_total counter\n";
    for (direction, count) in [("sent", bytes.sent), ("received", bytes.received)] {
        let _ = writeln!(text, "dyno_load_bytes_total{{direction=\"{direction}\"}} {count}");
    }
    text += "# HELP dyno_load_in_flight Requests due or sent, and unanswered.\n# TYPE dyno_load_in_flight gauge\n";
    let _ = writeln!(text, "dyno_load_in_flight {in_flight}");
    text += "# HELP dyno_load_latency_seconds Latency; from due to done in an open loop.\n\
             # TYPE dyno_load_latency_seconds histogram\n";
    for bound in BUCKETS_S {
        let below = latency.inner().count_between(0, (bound * 1e9) as u64);
        let _ = writeln!(text, "dyno_load_latency_seconds_bucket{{le=\"{bound}\"}} {below}");
    }
    let count = latency.count();
    let sum = latency.mean_ns().unwrap_or(0.0) * count as f64 / 1e9;
    let _ = writeln!(text, "dyno_load_latency_seconds_bucket{{le=\"+Inf\"}} {count}");
    let _ = writeln!(text, "dyno_load_latency_seconds_sum {sum}\ndyno_load_latency_seconds_count {count}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_logarithm() {
        let lengths = [1.0, 10.0, 100.0].map(|us| bar(us, 1.0, 100.0).chars().count());
        assert_eq!(lengths, [0, BAR / 2, BAR]);
        assert_eq!(bar(5.0, 5.0, 5.0), "");
    }

    #[test]
    fn prometheus_buckets_are_cumulative() {
        let mut latency = LatencyHistogram::default();
        for ns in [90_000, 200_000, 20_000_000_000] {
            latency.record_ns(ns);
        }
        let counts = Counts { completed: 3, ..Counts::default() };
        let bytes = Bytes { sent: 7, received: 9 };
        let text = load_prometheus(counts, 2, &latency, &[(200, 3)].into(), bytes);
        assert!(text.contains("dyno_load_answers_total{status=\"200\"} 3\n"), "{text}");
        assert!(text.contains("dyno_load_bytes_total{direction=\"received\"} 9\n"), "{text}");
        assert!(text.contains("dyno_load_requests_total{outcome=\"completed\"} 3\n"));
        assert!(text.contains("le=\"0.0001\"} 1\n") && text.contains("le=\"0.00025\"} 2\n"), "{text}");
        assert!(text.contains("le=\"10\"} 2\n") && text.contains("le=\"+Inf\"} 3\n"), "{text}");
    }
}
