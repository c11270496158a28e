//! What machines read from `--format json`. Stable and versioned; `schemas/` holds a JSON Schema of each, made from these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Operation, StackName,
    check::{CheckRow, Recovery, SchemaDifference},
    load::{Bytes, ConnectionCounts, Failures, WrongAnswer},
    record::NotRun,
    warning::Warning,
};

/// Version of the machine formats.
pub const OUTPUT_VERSION: u32 = 1;

/// One row of `dyno list --format json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListRow {
    /// The stack.
    pub stack: StackName,
    /// Whether this machine can run it now (or could after `--setup`, which `reason` says).
    pub runnable: bool,
    /// Why not, or what `--setup` would install; empty when there is nothing to say.
    pub reason: String,
}

/// The whole answer of `dyno list --format json`: an array of rows.
pub type ListOutput = Vec<ListRow>;

/// The whole answer of `dyno check --format json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckOutput {
    /// One row for each stack and operation.
    pub rows: Vec<CheckRow>,
    /// Where apps' own OpenAPI documents differ from the contract's.
    pub differences: Vec<SchemaDifference>,
    /// How stacks take an outage of their database; empty when it wasn't asked for.
    pub recovery: Vec<Recovery>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Right answers per second in a saturated closed loop.
    Throughput,
    /// CPU time of server and front per right answer.
    CpuPerRequest,
    /// CPU time of the database per right answer.
    DatabaseCpuPerRequest,
    /// Median latency from the due time at the plan's offered rate.
    LatencyP50,
    /// 90th percentile of the same.
    LatencyP90,
    /// 99th percentile of the same.
    LatencyP99,
    /// Memory of server and front under load.
    Memory,
}

impl Metric {
    /// Every metric, in the order of tables.
    pub const ALL: [Self; 7] = [
        Self::Throughput,
        Self::CpuPerRequest,
        Self::DatabaseCpuPerRequest,
        Self::LatencyP50,
        Self::LatencyP90,
        Self::LatencyP99,
        Self::Memory,
    ];

    /// Name in records and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::CpuPerRequest => "cpu_per_request",
            Self::DatabaseCpuPerRequest => "database_cpu_per_request",
            Self::LatencyP50 => "latency_p50",
            Self::LatencyP90 => "latency_p90",
            Self::LatencyP99 => "latency_p99",
            Self::Memory => "memory",
        }
    }

    /// Unit of its estimates.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Throughput => "requests/s",
            Self::CpuPerRequest | Self::DatabaseCpuPerRequest => "us",
            Self::LatencyP50 | Self::LatencyP90 | Self::LatencyP99 => "us",
            Self::Memory => "MiB",
        }
    }

    /// Whether more is better.
    pub const fn more_is_better(self) -> bool {
        matches!(self, Self::Throughput)
    }
}

/// One estimate with its 95 % interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// The metric.
    pub metric: Metric,
    /// Unit of the three figures.
    pub unit: String,
    /// The estimate.
    pub estimate: f64,
    /// Lower end of the 95 % interval; `null` where there are too few blocks for one.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval; `null` where there are too few blocks for one.
    pub high: Option<f64>,
    /// Blocks that it rests on.
    pub blocks: u32,
    /// First and last rank in its operation and metric (1 is best), ties sharing; `null` where no rank may be given.
    pub rank: Option<(u32, u32)>,
}

/// What may be claimed about a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The interval excludes 1 and the sign-flip test agrees.
    Different,
    /// The whole interval lies within 3 % of 1: a tie.
    NoDifference,
    /// Neither: the interval says how large a difference could be.
    Inconclusive,
    /// The environment's checks forbid a verdict.
    NoVerdict,
}

/// The ratio of two stacks, `a / b`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Numerator.
    pub a: StackName,
    /// Denominator: the plan's baseline.
    pub b: StackName,
    /// The operation.
    pub operation: Operation,
    /// The metric.
    pub metric: Metric,
    /// `a / b`.
    pub ratio: f64,
    /// Lower end of the 95 % interval.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval.
    pub high: Option<f64>,
    /// What may be claimed.
    pub verdict: Verdict,
    /// Why there is no verdict, or what the verdict means in words.
    pub reason: String,
}

/// The object that `dyno run --format json` prints at the end, and `results.json` of a run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunOutput {
    /// Version of this format.
    pub version: u32,
    /// Name of the run.
    pub run: String,
    /// Folder of the run.
    pub folder: String,
    /// The report's file.
    pub report: String,
    /// Complete blocks.
    pub blocks: u32,
    /// Estimates.
    pub results: Vec<Estimate>,
    /// Ratios to the baseline.
    pub comparisons: Vec<Comparison>,
    /// Stacks that aren't in the results, or not in all of them, with the reason.
    pub not_run: Vec<NotRun>,
    /// What makes numbers less sure.
    pub warnings: Vec<Warning>,
    /// The self-checks G1 to G8 over the whole run, those that passed too.
    #[serde(default)]
    pub checks: Vec<SelfCheck>,
}

/// The object that `dyno compare --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AcrossOutput {
    /// Version of this format.
    pub version: u32,
    /// Names of the two runs.
    pub runs: (String, String),
    /// Whether ratios are given.
    pub compare: bool,
    /// What differs between their fingerprints, plans and locks, what forbids ratios first.
    pub differences: Vec<Difference>,
    /// Figures that both have.
    pub pairs: Vec<Pair>,
    /// Stacks that only the first, or only the second has.
    pub only: (Vec<StackName>, Vec<StackName>),
}

/// A fact in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// What it is about: `machine: cpu`, `plan: workers`, `lock of flask/gunicorn`.
    pub fact: String,
    /// In the first run; `null` where it isn't recorded.
    pub a: Option<String>,
    /// In the second run.
    pub b: Option<String>,
    /// Whether ratios are refused for it.
    pub forbids: bool,
}

/// One figure of both runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// The metric.
    pub metric: Metric,
    /// Estimates of the first and the second run, in the metric's unit.
    pub estimates: (f64, f64),
    /// Second over first; `null` where the runs don't compare.
    pub ratio: Option<f64>,
    /// 95 % interval of the ratio over the blocks of both; `null` where a run has too few.
    pub interval: Option<(f64, f64)>,
}

/// The object that `dyno load --format json` prints. `planned = sent + not_sent`; `sent = completed +` all of `failed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadOutput {
    /// Version of this format.
    pub version: u32,
    /// What was loaded: the URL, or the first of a mix.
    pub url: String,
    /// How it was loaded, in words: `closed loop, 64 connections`.
    pub load: String,
    /// Whether latencies count from when requests were due, or only from when they were sent.
    pub latency_kind: LatencyKind,
    /// Requests of the schedule; in a closed loop, requests begun.
    pub planned: u64,
    /// Requests whose first byte was handed to the kernel.
    pub sent: u64,
    /// Requests of the plan that were never sent: stopped before, or no connection could be opened for them.
    pub not_sent: u64,
    /// Right answers.
    pub completed: u64,
    /// Everything else that was sent, by kind.
    pub failed: Failures,
    /// What happened to connections.
    pub connections: ConnectionCounts,
    /// Whole answers by status code, right or wrong.
    #[serde(default)]
    pub statuses: BTreeMap<u16, u64>,
    /// Redirects followed: requests on the wire beside those that are counted as sent.
    #[serde(default)]
    pub redirects: u64,
    /// Bytes of the whole load, with TLS's records and HTTP/2's frames.
    #[serde(default)]
    pub bytes: Bytes,
    /// Bytes per second in the measured window.
    #[serde(default)]
    pub bytes_per_s: BytesPerSecond,
    /// Length of the measured window.
    pub seconds: f64,
    /// Right answers per second in the measured window.
    pub rate_per_s: f64,
    /// Its 95 % interval over equal parts of this load; `null` where there are too few parts.
    pub rate_interval_per_s: Option<(f64, f64)>,
    /// Latency, in microseconds: open loop from due to done, closed loop from sent to done (service time).
    /// Failures are in it as the timeout or longer; `failed_in_latency` says how many.
    pub latency_us: Percentiles,
    /// Latencies of requests without a right answer, among those of `latency_us` and `curve`.
    #[serde(default)]
    pub failed_in_latency: u64,
    /// The same from sent to the first bytes of the answer.
    pub first_byte_us: Percentiles,
    /// How late the generator itself was, in microseconds.
    pub late_us: Percentiles,
    /// How long requests waited for a free connection, in microseconds; part of the latency.
    pub blocked_us: Percentiles,
    /// How requests of an open loop were gathered into wake-ups; `null` in a closed loop and in outputs before there was a
    /// choice.
    #[serde(default)]
    pub pacing: Option<PacingOutput>,
    /// The latency's percentiles with 95 % intervals over equal parts of this load. They say nothing of how another
    /// start of the server would differ.
    pub curve: Vec<CurvePoint>,
    /// Longest time without any answer while requests were in flight, in microseconds.
    pub longest_stall_us: f64,
    /// CPU time of the load engine's threads.
    pub cpu_seconds: CpuSeconds,
    /// How it waited, sent and received.
    pub engine: String,
    /// The engine's checks of itself.
    pub checks: Vec<SelfCheck>,
    /// The goals that were set, and whether they were met.
    pub slo: Vec<SloResult>,
    /// The first ten wrong answers.
    pub wrong_answers: Vec<WrongAnswer>,
}

/// From when latencies count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatencyKind {
    /// From when each request was due by its schedule.
    FromDue,
    /// From when each request was sent, in a closed loop: waiting isn't in it.
    ServiceTime,
}

/// How requests of an open loop were gathered into wake-ups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PacingOutput {
    /// The longest time that a request was to be sent after its own, in microseconds; 0 for exact pacing.
    pub bound_us: f64,
    /// What a wake-up cost when the load began, in microseconds of CPU; `null` where it wasn't measured.
    pub wake_up_us: Option<f64>,
    /// How long after their times requests were due, in microseconds. In no latency.
    pub gathered_us: Percentiles,
    /// Latency counted from the schedule's own times, in microseconds; of nothing with exact pacing, where it is the same.
    pub from_schedule_us: Percentiles,
}

/// Bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BytesPerSecond {
    /// Out: handed to the kernel.
    pub sent: f64,
    /// In: taken from the kernel, or dropped in it.
    pub received: f64,
}

/// Percentiles of a histogram; `null` when it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// Number of values.
    pub count: u64,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub p99_9: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Arithmetic mean.
    pub mean: Option<f64>,
}

/// A point of a percentile curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// Percentile, 0 to 100.
    pub percentile: f64,
    /// Latency in microseconds.
    pub us: f64,
    /// Lower end of the 95 % interval; `null` where there are too few parts or requests for one.
    pub low_us: Option<f64>,
    /// Upper end of the 95 % interval; `null` where there are too few parts or requests for one.
    pub high_us: Option<f64>,
}

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuSeconds {
    /// In the program itself.
    pub user: f64,
    /// In the kernel, on its behalf.
    pub system: f64,
}

/// What a check of the engine by itself found (METHOD, section 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelfCheck {
    /// `G1` to `G8`.
    pub id: String,
    /// What it found.
    pub outcome: SelfCheckOutcome,
    /// The same in words, with figures.
    pub words: String,
}

/// The outcome of a self-check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelfCheckOutcome {
    /// Nothing speaks against the numbers.
    Pass,
    /// The numbers may be used with care; `words` say what to doubt.
    Flag,
    /// The numbers must not be trusted.
    Fail,
    /// The check can't be made of this load; `words` say why.
    NotMade,
}

/// A goal, and whether it was met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SloResult {
    /// As it was asked for, for instance `p99=50ms`.
    pub slo: String,
    /// Whether it was met.
    pub met: bool,
    /// What was measured, in words.
    pub measured: String,
}
