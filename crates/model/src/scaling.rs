//! How throughput grows with workers: Gunther's Universal Scalability Law, `X(N) = λN / (1 + σ(N-1) + κN(N-1))`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure with its 95 % t interval over blocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// The estimate.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Where throughput is highest. `null` in a place means: none up to twice the largest N that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peak {
    /// The estimate of N.
    pub estimate: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub high: Option<f64>,
}

/// The law fitted to each block's logarithms of throughput, with t intervals over blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScalingResult {
    /// λ: throughput of one, in requests per second.
    pub lambda_per_s: Figure,
    /// σ ≥ 0, contention: the share of work that only one can do at a time. One over it bounds the speed-up.
    pub sigma: Figure,
    /// κ ≥ 0, coherency: what each pair costs. Above zero, throughput falls beyond the peak.
    pub kappa: Figure,
    /// Where throughput is highest.
    pub peak: Peak,
    /// Largest N that was measured. Nothing is said beyond twice as many.
    pub largest: f64,
    /// Largest deviation of a measured mean from the law, as a share of throughput. Beyond noise, the law doesn't fit.
    pub misfit: f64,
    /// Blocks that it rests on.
    pub blocks: u32,
    /// What it means in words.
    pub reason: String,
}

/// One number of workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScaleRow {
    /// Workers.
    pub workers: u32,
    /// Throughput in requests per second; `null` with fewer blocks than an interval needs.
    pub throughput_per_s: Option<Figure>,
    /// Throughput over that with the fewest workers, paired by block.
    pub speed_up: Option<Figure>,
    /// Speed-up over how many times the fewest workers there are: 1 is even scaling.
    pub efficiency: Option<Figure>,
    /// Blocks that it rests on.
    pub blocks: u32,
    /// How far the closed loop is from `N = X(R + Z)`, as a share; beyond 2 % what was counted isn't what was timed.
    pub closed_loop_gap: Option<f64>,
    /// Share of its CPUs that the stack used, 0 to 1.
    pub server_busy: Option<f64>,
    /// Why its numbers carry no verdict, if they don't.
    pub no_verdict: Option<String>,
}

/// The object that `dyno scale --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScaleOutput {
    /// Version of this format.
    pub version: u32,
    /// The run folder.
    pub folder: String,
    /// The run's page.
    pub report: String,
    /// The stack without its workers.
    pub stack: crate::StackName,
    /// The operation.
    pub operation: crate::Operation,
    /// Connections of the saturated closed loop.
    pub connections: u32,
    /// CPUs that the machine gives servers.
    pub server_cpus: u32,
    /// Complete blocks.
    pub blocks: u32,
    /// A row for each number of workers, from the fewest.
    pub rows: Vec<ScaleRow>,
    /// The law; `null` with the reason below.
    pub law: Option<ScalingResult>,
    /// What the law says in words, or why there is none.
    pub reason: String,
    /// What was the limit, and what makes the numbers less sure.
    pub notes: Vec<String>,
    /// Numbers of workers that couldn't be measured, with the reason.
    pub not_run: Vec<crate::record::NotRun>,
}
