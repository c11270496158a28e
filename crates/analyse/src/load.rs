//! One load of `dyno load`: what the engine counted -> the figures that are printed.

use dyno_model::{
    histogram::LatencyHistogram,
    load::SliceOutcome,
    output::{CpuSeconds, LatencyKind, LoadOutput, OUTPUT_VERSION, Percentiles},
};

/// What was loaded, and how.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The URL, or the first of a mix.
    pub url: String,
    /// How, in words.
    pub load: String,
    /// Whether latencies count from when requests were sent: a closed loop.
    pub service_time: bool,
}

/// The figures of a load.
pub fn output(setting: &Setting, outcome: &SliceOutcome) -> LoadOutput {
    let counts = outcome.counts;
    let user_ns = outcome.generator_cpu_ns.saturating_sub(outcome.generator_system_ns);
    LoadOutput {
        version: OUTPUT_VERSION,
        url: setting.url.clone(),
        load: setting.load.clone(),
        latency_kind: if setting.service_time { LatencyKind::ServiceTime } else { LatencyKind::FromDue },
        planned: counts.planned,
        sent: counts.sent,
        not_sent: counts.not_sent,
        completed: counts.completed,
        failed: counts.failed,
        connections: outcome.connections,
        seconds: outcome.window_ns as f64 / 1e9,
        rate_per_s: if outcome.window_ns == 0 {
            0.0
        } else {
            outcome.window_completed as f64 * 1e9 / outcome.window_ns as f64
        },
        latency_us: percentiles(&outcome.latency),
        first_byte_us: percentiles(&outcome.first_byte),
        late_us: percentiles(&outcome.late),
        blocked_us: percentiles(&outcome.blocked),
        curve: Vec::new(),
        longest_stall_us: outcome.longest_stall_ns as f64 / 1e3,
        cpu_seconds: CpuSeconds {
            user: user_ns as f64 / 1e9,
            system: outcome.generator_system_ns as f64 / 1e9,
        },
        engine: outcome.engine.clone(),
        checks: Vec::new(),
        slo: Vec::new(),
        wrong_answers: outcome.wrong_answers.clone(),
    }
}

/// A histogram's percentiles in microseconds; all 0 when it is empty.
pub fn percentiles(histogram: &LatencyHistogram) -> Percentiles {
    let us = |quantile| histogram.quantile_ns(quantile).map_or(0.0, |ns| ns as f64 / 1e3);
    Percentiles {
        count: histogram.count(),
        p50: us(0.5),
        p90: us(0.9),
        p99: us(0.99),
        p99_9: us(0.999),
        max: histogram.max_ns().map_or(0.0, |ns| ns as f64 / 1e3),
        mean: histogram.mean_ns().map_or(0.0, |ns| ns / 1e3),
    }
}
