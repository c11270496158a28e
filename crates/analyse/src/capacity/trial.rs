//! Whether one trial of a capacity search passed, failed, or doesn't count (METHOD, sections 2 and 5).
//!
//! What makes a trial not count is blind to how it went: what others did to the machine, and what the generator did.

use dyno_model::{
    Span,
    capacity::{TrialEnd, TrialPurpose, TrialRecord},
    record::{CpuSets, Slice, SliceLoad},
    self_check::{GENERATOR_BUSIEST, LATE_FAIL, LITTLE, SERVER_BOUND},
    slo::{Figures, Judgement, Limit, Slo, Slos},
};

use crate::{cells::foreign_share, filter::disturbed as by_others};

/// Requests without a right answer that a passing trial may have, as a share, where no objective says it.
const ERRORS: f64 = 0.001;
/// A backlog of so many seconds of arrivals at a trial's end is overload: its latencies are the queue's length.
const BACKLOG_S: f64 = 1.0;
/// Requests that should lie beyond the percentile in a trial.
const BEYOND: f64 = 20.0;
/// Shortest and longest trial, in seconds.
const LENGTHS_S: (f64, f64) = (2.0, 5.0);

/// Length of a trial at a rate: 20 requests beyond the objectives' highest percentile, within 2 to 5 seconds. Longer ones would
/// tell a rare percentile better; several short ones tell the capacity better.
pub fn length(slos: &Slos, rate_per_s: f64) -> Span {
    let (shortest, longest) = LENGTHS_S;
    let seconds = match quantile(slos) {
        Some(quantile) => BEYOND / (1.0 - quantile) / rate_per_s,
        None => longest,
    };
    Span(std::time::Duration::from_secs_f64(seconds.clamp(shortest, longest)))
}

/// Length of a trial that isn't at a known rate.
pub fn longest() -> Span {
    Span(std::time::Duration::from_secs_f64(LENGTHS_S.1))
}

/// The highest quantile of the objectives; `None` where one is about the longest latency.
fn quantile(slos: &Slos) -> Option<f64> {
    let of = |slo: &Slo| match slo.limit {
        Limit::Percentile(percent, _) => Some(percent / 100.0),
        Limit::Max(_) => None,
        Limit::Mean(_) | Limit::Errors(_) | Limit::Rate(_) => Some(0.5),
    };
    slos.0.iter().map(of).try_fold(0.0, |most, one| Some(f64::max(most, one?)))
}

/// Requests that lie beyond the objectives' highest percentile in a trial of so many.
pub fn beyond(slos: &Slos, requests: u64) -> Option<f64> {
    quantile(slos).map(|quantile| requests as f64 * (1.0 - quantile))
}

/// What a trial of this length says.
pub fn judge(purpose: TrialPurpose, slice: &Slice, length: Span, slos: &Slos, cpus: &CpuSets) -> TrialRecord {
    let outcome = &slice.outcome;
    let figures = Figures::of(outcome);
    let (rate_per_s, verdict) = match slice.load {
        SliceLoad::Open { rate, .. } => (rate.per_s(), of_open(slice, rate.per_s(), slos, &figures)),
        SliceLoad::Closed { .. } => (figures.rate_per_s.unwrap_or(0.0), (TrialEnd::Passed, String::new())),
    };
    let (end, reason) = uncounted(slice, length, slos, cpus).unwrap_or(verdict);
    let us = |quantile: f64| outcome.latency.quantile_ns(quantile).map(|ns| ns as f64 / 1e3);
    TrialRecord {
        purpose,
        rate_per_s,
        end,
        requests: outcome.latency.count(),
        p50_us: us(0.5),
        p99_us: us(0.99),
        errors: figures.errors,
        reason,
        not_server_bound: bound(slice, cpus),
    }
}

/// Whether the objectives were met in an open loop.
fn of_open(slice: &Slice, rate_per_s: f64, slos: &Slos, figures: &Figures<'_>) -> (TrialEnd, String) {
    let backlog_s = slice.outcome.backlog as f64 / rate_per_s;
    if backlog_s > BACKLOG_S {
        return (
            TrialEnd::Failed,
            format!("overloaded: {backlog_s:.1} s of arrivals were unanswered at its end"),
        );
    }
    let said = slos.0.iter().any(|slo| matches!(slo.limit, Limit::Errors(_)));
    if let Some(errors) = figures.errors.filter(|errors| !said && *errors > ERRORS) {
        return (TrialEnd::Failed, format!("{:.2} % of the requests got no right answer", errors * 100.0));
    }
    for slo in &slos.0 {
        match slo.judge(figures) {
            Judgement::Met => {}
            Judgement::Missed => {
                return (TrialEnd::Failed, format!("{slo} missed: {}", slo.measured(figures)));
            }
            Judgement::Unknown => {
                return (TrialEnd::Disturbed, "no request was due in it".to_owned());
            }
        }
    }
    (TrialEnd::Passed, String::new())
}

/// Why a trial doesn't count, if it doesn't.
fn uncounted(slice: &Slice, length: Span, slos: &Slos, cpus: &CpuSets) -> Option<(TrialEnd, String)> {
    let outcome = &slice.outcome;
    let counts = outcome.counts;
    let disturbed = |words: String| Some((TrialEnd::Disturbed, words));
    if counts.planned != counts.sent + counts.not_sent
        || counts.sent != counts.completed + counts.failed.total()
    {
        return disturbed("the generator's counts don't add up (G1)".to_owned());
    }
    let foreign = foreign_share(slice);
    if by_others(foreign) {
        return disturbed(format!("something else used {:.0} % of a CPU", foreign * 100.0));
    }
    let busy = outcome.generator_cpu_ns as f64 / length.0.as_nanos().max(1) as f64;
    let closed = matches!(slice.load, SliceLoad::Closed { .. });
    // A generator that is busy while the server is too takes nothing from a closed loop.
    if busy >= GENERATOR_BUSIEST && !(closed && server_busy(slice, cpus) >= SERVER_BOUND) {
        let words = format!("the generator used {:.0} % of its CPU (G4)", busy * 100.0);
        return Some((TrialEnd::GeneratorBound, words));
    }
    if outcome.latency_sum_ns > 0 {
        let error = (outcome.in_flight_ns as f64 / outcome.latency_sum_ns as f64 - 1.0).abs();
        if error >= LITTLE {
            return disturbed(format!(
                "requests in flight and latencies differ by {:.1} % (G5)",
                error * 100.0
            ));
        }
    }
    let late = slos.0.iter().filter_map(|slo| lateness(slo, slice)).fold(0.0, f64::max);
    if late > LATE_FAIL {
        return disturbed(format!(
            "the generator's own lateness is {:.0} % of the objective's limit (G2)",
            late * 100.0
        ));
    }
    None
}

/// What the generator's own lateness adds to an objective's figure, as a share of its limit. Of the limit and not of the
/// figure as elsewhere (G2): what is small against the limit can't decide, and a share of the figure would leave out trials
/// that pass easily sooner than others.
fn lateness(slo: &Slo, slice: &Slice) -> Option<f64> {
    let figure = |latency: &dyno_model::histogram::LatencyHistogram| match slo.limit {
        Limit::Percentile(percent, limit) => Some((latency.quantile_ns(percent / 100.0)? as f64, limit)),
        Limit::Mean(limit) => Some((latency.mean_ns()?, limit)),
        Limit::Max(limit) => Some((latency.max_ns()? as f64, limit)),
        Limit::Errors(_) | Limit::Rate(_) => None,
    };
    let ((with, limit), (without, _)) =
        (figure(&slice.outcome.latency)?, figure(&slice.outcome.latency_less_late)?);
    Some((with - without) / limit.0.as_nanos().max(1) as f64)
}

fn share(ns: u64, slice: &Slice, cpus: usize) -> f64 {
    ns as f64 / (slice.outcome.window_ns.max(1) as f64 * cpus.max(1) as f64)
}

fn role(slice: &Slice, name: &str) -> u64 {
    slice.cpu_ns.get(name).copied().unwrap_or(0)
}

fn server_busy(slice: &Slice, cpus: &CpuSets) -> f64 {
    share(role(slice, "server") + role(slice, "front"), slice, cpus.server.len())
}

/// What was the limit of a saturated slice, if it wasn't the server's CPUs (G8).
fn bound(slice: &Slice, cpus: &CpuSets) -> Option<String> {
    let server = server_busy(slice, cpus);
    if !matches!(slice.load, SliceLoad::Closed { .. }) || server >= SERVER_BOUND {
        return None;
    }
    let database = share(role(slice, "database"), slice, cpus.database.len());
    Some(format!(
        "not server-bound: saturated, the server used {:.0} % of its CPUs and the database {:.0} % of its own (G8)",
        server * 100.0,
        database * 100.0
    ))
}

#[cfg(test)]
mod tests {
    use dyno_model::{
        Operation, Rate,
        child::Usage,
        load::{Counts, SliceOutcome},
        record::MachineSample,
    };

    use super::*;

    /// A trial of a second at 1,000 requests/s, each of which took 10 ms.
    fn slice() -> Slice {
        let mut outcome = SliceOutcome {
            counts: Counts { planned: 1000, sent: 1000, completed: 1000, ..Counts::default() },
            window_ns: 1_000_000_000,
            window_completed: 1000,
            ..SliceOutcome::default()
        };
        for _ in 0..1000 {
            outcome.latency.record_ns(10_000_000);
            outcome.latency_less_late.record_ns(10_000_000);
        }
        Slice {
            operation: Operation::Types,
            load: SliceLoad::Open { rate: Rate::new_per_s(1000.0).unwrap(), connections: 8 },
            at_ns: 0,
            outcome,
            cpu_ns: Default::default(),
            usage: Usage::default(),
            machine: MachineSample::default(),
            speed: None,
            server_stats: None,
        }
    }

    fn judged(slice: &Slice, slo: &str) -> (TrialEnd, String) {
        let cpus = CpuSets { server: vec![1], database: vec![0], generator: vec![0] };
        let record = judge(TrialPurpose::Search, slice, Span::seconds(1), &slo.parse().unwrap(), &cpus);
        (record.end, record.reason)
    }

    #[test]
    fn passes_and_fails_by_the_objectives() {
        let fine = slice();
        assert_eq!(judged(&fine, "p99=50ms"), (TrialEnd::Passed, String::new()));
        let (end, reason) = judged(&fine, "p99=50ms,p50=5ms");
        assert_eq!(end, TrialEnd::Failed);
        assert!(reason.starts_with("p50=5ms missed: 10"), "{reason}");
        let mut wrong = slice();
        (wrong.outcome.counts.completed, wrong.outcome.counts.failed.closed) = (990, 10);
        assert_eq!(judged(&wrong, "p99=50ms").0, TrialEnd::Failed);
        assert_eq!(judged(&wrong, "p99=50ms,errors=2%").0, TrialEnd::Passed);
        let mut behind = slice();
        behind.outcome.backlog = 1001;
        assert!(judged(&behind, "p99=50ms").1.starts_with("overloaded: 1.0 s"));
    }

    #[test]
    fn what_others_did_does_not_count_however_the_trial_went() {
        for slo in ["p99=50ms", "p99=5ms"] {
            let mut foreign = slice();
            foreign.machine.foreign_ns = 150_000_000;
            assert_eq!(judged(&foreign, slo).0, TrialEnd::Disturbed);
            let mut busy = slice();
            busy.outcome.generator_cpu_ns = 700_000_000;
            assert_eq!(judged(&busy, slo).0, TrialEnd::GeneratorBound);
            let mut little = slice();
            (little.outcome.in_flight_ns, little.outcome.latency_sum_ns) = (103, 100);
            assert_eq!(judged(&little, slo).0, TrialEnd::Disturbed);
            let mut lost = slice();
            lost.outcome.counts.sent = 999;
            assert_eq!(judged(&lost, slo).0, TrialEnd::Disturbed);
            let mut late = slice();
            // Twenty requests that were late by 40 ms.
            (0..20).for_each(|_| late.outcome.latency.record_ns(50_000_000));
            assert_eq!(judged(&late, slo).0, TrialEnd::Disturbed);
            let mut empty = slice();
            empty.outcome = SliceOutcome::default();
            assert_eq!(judged(&empty, slo).0, TrialEnd::Disturbed);
        }
    }

    #[test]
    fn a_saturated_trial_tells_what_was_the_limit() {
        let cpus = CpuSets { server: vec![1], database: vec![0], generator: vec![0] };
        let slos: Slos = "p99=1ms".parse().unwrap();
        let mut closed = slice();
        closed.load = SliceLoad::Closed { connections: 8 };
        closed.cpu_ns = [("server".to_owned(), 300_000_000), ("database".to_owned(), 600_000_000)].into();
        let judged = || judge(TrialPurpose::Saturation, &closed, Span::seconds(1), &slos, &cpus);
        let record = judged();
        assert_eq!((record.end, record.rate_per_s), (TrialEnd::Passed, 1000.0));
        assert!(record.not_server_bound.unwrap().contains("30 % of its CPUs and the database 60 %"));
        let mut busy = closed.clone();
        busy.outcome.generator_cpu_ns = 800_000_000;
        let end = |slice: &Slice| judge(TrialPurpose::Saturation, slice, Span::seconds(1), &slos, &cpus).end;
        assert_eq!(end(&busy), TrialEnd::GeneratorBound);
        busy.cpu_ns.insert("server".to_owned(), 950_000_000);
        assert_eq!(end(&busy), TrialEnd::Passed, "the server was as busy");
    }

    #[test]
    fn trials_are_as_long_as_their_percentile_needs() {
        let seconds = |slo: &str, rate| length(&slo.parse().unwrap(), rate).0.as_secs_f64();
        assert_eq!(seconds("p99=50ms", 100.0), 5.0);
        assert_eq!(seconds("p99=50ms", 1000.0), 2.0);
        assert!((seconds("p99=50ms,p50=5ms", 500.0) - 4.0).abs() < 1e-9);
        assert_eq!(seconds("mean=5ms", 500.0), 2.0);
        assert_eq!(seconds("max=1s", 5000.0), 5.0);
        assert_eq!(beyond(&"p99=50ms".parse().unwrap(), 200).map(f64::round), Some(2.0));
    }
}
