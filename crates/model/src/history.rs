//! Where a history of runs may have changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, StackName, output::Metric};

/// A proposal, not a verdict: its p is of a place that was chosen because it looks like a change. A duet of the versions
/// before and after decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangePoint {
    /// First run after the change, counted from 0.
    pub index: usize,
    /// Geometric mean of the anchored ratios from the change before to this one.
    pub before: f64,
    /// Geometric mean of the anchored ratios from this change to the next.
    pub after: f64,
    /// `after / before`.
    pub ratio: f64,
    /// p of Student's t test of the two sides, after selection.
    pub p: f64,
    /// Runs before and after that it rests on.
    pub runs: (usize, usize),
}

/// The object that `dyno history --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryOutput {
    /// Version of the machine formats.
    pub version: u32,
    /// Runs that compare, each group with the lines that it allows. The group with the newest run is first.
    pub groups: Vec<HistoryGroup>,
    /// Runs that can't be read or have nothing of what was asked for, with the reason.
    pub skipped: Vec<SkippedRun>,
}

/// Runs that compare with each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryGroup {
    /// Their names, oldest first.
    pub runs: Vec<String>,
    /// In what they differ from the first group, in words; empty for the first group itself.
    pub differs: Vec<String>,
    /// One line for each stack, anchor and operation.
    pub lines: Vec<HistoryLine>,
}

/// A stack's ratio to an anchor over runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryLine {
    /// The stack.
    pub stack: StackName,
    /// The anchor: the baseline of each run.
    pub anchor: StackName,
    /// The operation.
    pub operation: Operation,
    /// The metric.
    pub metric: Metric,
    /// One point for each run, oldest first.
    pub points: Vec<HistoryPoint>,
    /// Changes that are proposed.
    pub changes: Vec<ProposedChange>,
}

/// One run's ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryPoint {
    /// The run.
    pub run: String,
    /// Its begin, UTC, RFC 3339.
    pub started: String,
    /// The stack's value over the anchor's: the exponential of the mean of the blocks' log-ratios.
    pub ratio: f64,
    /// Blocks with both.
    pub blocks: u32,
    /// Why that run allowed no verdict on it; empty where it did.
    pub refused: String,
}

/// A change that is proposed, and what decides it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProposedChange {
    /// Where, and how large.
    pub change: ChangePoint,
    /// First run after it.
    pub run: String,
    /// That run's begin, UTC, RFC 3339.
    pub date: String,
    /// What the records say has changed there: software, locks of packages.
    pub known: Vec<String>,
    /// The duet that decides it, as a line for a shell.
    pub decide: String,
}

/// A folder that isn't in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkippedRun {
    /// Its name.
    pub run: String,
    /// Why.
    pub reason: String,
}
