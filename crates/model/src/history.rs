//! Where a history of runs may have changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Operation, StackName,
    output::{Difference, Metric},
};

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
    /// One line for each stack, anchor, operation, metric and conditions.
    pub lines: Vec<HistoryLine>,
    /// Run folders that aren't in the history at all, with the reason.
    pub skipped: Vec<SkippedRun>,
    /// Readable runs that have nothing of what was asked for.
    pub unrelated: u32,
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
    /// What every run of it offered: connections, workers, data. Runs with others are another line.
    pub conditions: String,
    /// One point for each run, oldest first.
    pub points: Vec<HistoryPoint>,
    /// Changes that are proposed.
    pub changes: Vec<ProposedChange>,
}

impl HistoryLine {
    /// The points that count, oldest first.
    pub fn counted(&self) -> impl Iterator<Item = &HistoryPoint> {
        self.points.iter().filter(|point| point.counts())
    }
}

/// One run's ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryPoint {
    /// The run: its folder under the folder of runs.
    pub run: String,
    /// Its begin, UTC, RFC 3339.
    pub started: String,
    /// The stack's value over the anchor's: the exponential of the mean of the blocks' log-ratios; `null` where the run has none.
    pub ratio: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub high: Option<f64>,
    /// Blocks that it rests on.
    pub blocks: u32,
    /// The run's grade of trust: `A`, `B`, `C`, or `-` where it allows no verdict at all.
    pub trust: char,
    /// Why it is left out, which is why the run allowed no verdict on it; empty where it counts.
    pub left_out: String,
}

impl HistoryPoint {
    /// Whether changes are looked for in it.
    pub fn counts(&self) -> bool {
        self.left_out.is_empty() && self.ratio.is_some()
    }
}

/// A change that is proposed, and what decides it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProposedChange {
    /// Where among the points that count, and how large.
    pub change: ChangePoint,
    /// Last run before it.
    pub last_before: String,
    /// First run after it.
    pub first_after: String,
    /// That run's begin, UTC, RFC 3339.
    pub date: String,
    /// In what the records of these two runs differ, as far as it can move the ratio: machine, software, locks, what the
    /// stack and the anchor say of themselves.
    pub differs: Vec<Difference>,
    /// What decides it, as lines for a shell.
    pub decide: Vec<String>,
    /// What these lines need, and what they tell.
    pub how: String,
}

/// A folder that isn't in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkippedRun {
    /// Its name: the folder under the folder of runs.
    pub run: String,
    /// Why.
    pub reason: String,
}
