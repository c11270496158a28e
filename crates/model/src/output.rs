//! What machines read from `--format json`. Stable and versioned; `schemas/` holds a JSON Schema of each, made from these types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, StackName, check::CheckRow, record::NotRun, warning::Warning};

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

/// The whole answer of `dyno check --format json`: an array of rows.
pub type CheckOutput = Vec<CheckRow>;

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
}
