//! The capacity of a stack under an SLO: the search's state, so that it can go on in another session, and its result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One trial of a capacity search: a few seconds of load at one offered rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityTrial {
    /// Offered requests per second.
    pub rate_per_s: f64,
    /// Whether the SLO was missed, the server overloaded, or more than 0.1 % of answers were wrong.
    pub failed: bool,
}

/// All that a capacity search knows. The posterior follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityState {
    /// Throughput of a saturated closed loop, in requests per second: the scale of the search's grid.
    pub saturation_per_s: f64,
    /// Trials of the search, in order.
    pub trials: Vec<CapacityTrial>,
    /// Whether trials at the interval's lower end failed, once the search is over.
    #[serde(default)]
    pub confirmations: Vec<bool>,
}

/// How a capacity search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapacityOutcome {
    /// More trials are needed, of the search or of the confirmation.
    Unfinished,
    /// Found within 2 % and confirmed.
    Found,
    /// All the trials that a search may take leave an interval that is wider than 2 % to either side; it is confirmed.
    Wide,
    /// Fewer than two of three trials at the interval's lower end passed: something isn't as the model says.
    NotConfirmed,
    /// Below the range, a fifth of the saturated throughput: no number, at most an upper end.
    BelowRange,
    /// Above the range, 1.08 times the saturated throughput: no number, at most a lower end. The saturated throughput was too low.
    AboveRange,
}

/// The highest rate at which a stack meets an SLO, with its central 95 % of probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityResult {
    /// How the search ended.
    pub outcome: CapacityOutcome,
    /// Posterior median, in requests per second; `null` outside the range.
    pub capacity_per_s: Option<f64>,
    /// Lower end of the central 95 %, in requests per second; `null` where it isn't within the range.
    pub low_per_s: Option<f64>,
    /// Upper end of the central 95 %, in requests per second; `null` where it isn't within the range.
    pub high_per_s: Option<f64>,
    /// How soft the edge is, as a share of the capacity (posterior mean of σ): trials pass and fail at random from about two
    /// of it below the capacity to two above.
    pub edge: f64,
    /// Share of trials that fail well below the capacity (posterior mean of γ).
    pub chance: f64,
    /// Trials of the search.
    pub trials: u32,
    /// Trials at the lower end that passed, and all of them.
    pub confirmed: (u32, u32),
    /// The outcome in words.
    pub reason: String,
}

/// What a trial of a capacity search is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialPurpose {
    /// A saturated closed loop: the scale of the search.
    Saturation,
    /// A trial of the search.
    Search,
    /// A trial at the interval's lower end.
    Confirmation,
    /// A point of the latency curve.
    Curve,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialEnd {
    /// The SLO was met.
    Passed,
    /// The SLO was missed, the server overloaded, or too many requests got no right answer.
    Failed,
    /// Something else used the machine, or the generator was late: it is repeated and not counted.
    Disturbed,
    /// The generator was the limit: it is repeated and not counted.
    GeneratorBound,
}

impl TrialEnd {
    /// Whether it says something about the stack.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Passed | Self::Failed)
    }
}

/// One trial as it was, those that don't count too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialRecord {
    /// What it was for.
    pub purpose: TrialPurpose,
    /// Offered requests per second; in a saturated closed loop, right answers per second.
    pub rate_per_s: f64,
    /// How it ended.
    pub end: TrialEnd,
    /// Requests whose latency was measured.
    pub requests: u64,
    /// Median latency in microseconds; `null` where nothing was measured.
    pub p50_us: Option<f64>,
    /// 99th percentile of latency in microseconds; `null` where nothing was measured.
    pub p99_us: Option<f64>,
    /// Requests without a right answer, as a share; `null` where there were no requests.
    pub errors: Option<f64>,
    /// Why it failed or doesn't count, with figures; empty when it passed.
    pub reason: String,
    /// What was the limit of a saturated trial if it wasn't the server's CPUs, with figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_server_bound: Option<String>,
}

/// One stack's search in `capacity.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StackSearch {
    /// The stack.
    pub stack: crate::StackName,
    /// What the search knows; `null` before the saturated throughput is known.
    pub state: Option<CapacityState>,
    /// Every trial in order of time.
    pub trials: Vec<TrialRecord>,
    /// Why the stack is given up, if it is.
    pub no_verdict: Option<String>,
}

/// `capacity.json` of a run folder: written whole after each trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityRecord {
    /// Version of the run folder's format.
    pub format: u32,
    /// The objectives, all of which must be met.
    pub slo: String,
    /// The operation that is loaded.
    pub operation: crate::Operation,
    /// Connections of each trial.
    pub connections: u32,
    /// Seed of every random choice.
    pub seed: u64,
    /// Whether the latency curve is measured too.
    pub curve: bool,
    /// Length of every trial, where it isn't the search that says.
    #[serde(default)]
    pub trial: Option<crate::Span>,
    /// Stacks in the order of the command.
    pub stacks: Vec<StackSearch>,
    /// Speed of a fixed spin before each fresh start, in loops per millisecond: the machine's own drift.
    pub spins_per_ms: Vec<f64>,
}

/// One row of `dyno capacity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityRow {
    /// The stack.
    pub stack: crate::StackName,
    /// The search's result; `null` where there is no verdict.
    pub result: Option<CapacityResult>,
    /// The outcome in words, or why there is no verdict.
    pub reason: String,
    /// Throughput of the saturated closed loop that is the search's scale, in requests per second: of one trial, without an
    /// interval.
    pub saturation_per_s: Option<f64>,
    /// Trials that didn't count.
    pub uncounted: u32,
    /// Points of the latency curve, by rate; empty where none was asked for.
    pub curve: Vec<TrialRecord>,
    /// What makes the number less sure, or something else than it seems.
    pub notes: Vec<String>,
}

/// The object that `dyno capacity --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityOutput {
    /// Version of this format.
    pub version: u32,
    /// The run folder.
    pub folder: String,
    /// The objectives.
    pub slo: String,
    /// The operation.
    pub operation: crate::Operation,
    /// Connections of each trial.
    pub connections: u32,
    /// Seed of every random choice.
    pub seed: u64,
    /// A row for each stack.
    pub rows: Vec<CapacityRow>,
    /// Stacks that couldn't be measured, with the reason.
    pub not_run: Vec<crate::record::NotRun>,
}

impl CapacityRow {
    /// Whether it has a number with its interval.
    pub fn is_found(&self) -> bool {
        let found =
            |one: &CapacityResult| matches!(one.outcome, CapacityOutcome::Found | CapacityOutcome::Wide);
        self.result.as_ref().is_some_and(found)
    }
}
