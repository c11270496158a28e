//! What `dyno gate` says: whether a work tree's stack is slower than the base revision's.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, StackName, output::Metric};

/// The answer to "is it slower by more than δ?".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateDecision {
    /// Every ratio lies wholly on the good side of δ.
    NotSlower,
    /// A ratio lies wholly beyond δ.
    Slower,
    /// Neither by the end of the budget, or the numbers must not be believed, or there is nothing to compare with.
    NoVerdict,
    /// Nothing changed that the stack is made of: nothing was measured.
    Unchanged,
}

impl GateDecision {
    /// The exit code of `dyno gate`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::NotSlower | Self::Unchanged => 0,
            Self::Slower => 1,
            Self::NoVerdict => 2,
        }
    }
}

/// The object that `dyno gate --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateOutput {
    /// Version of this format.
    pub version: u32,
    /// The decision over all rows.
    pub decision: GateDecision,
    /// The exit code that follows from it: 0, 1 or 2.
    pub exit_code: u8,
    /// The decision in a sentence, with the reason.
    pub reason: String,
    /// The stack.
    pub stack: StackName,
    /// What it is compared with.
    pub base: Revision,
    /// The commit that the work tree stands on.
    pub tree: Revision,
    /// Files of the stack with changes that aren't committed; they are part of the work tree's side.
    pub uncommitted: Vec<String>,
    /// Files that the stack is made of and that differ between the two sides.
    pub changed: Vec<String>,
    /// A stack is slower from this share of a difference on, for instance 0.03.
    pub delta: f64,
    /// One row for each operation and metric; empty where nothing was measured.
    pub rows: Vec<GateRow>,
    /// Complete blocks.
    pub blocks: u32,
    /// What makes the numbers less sure, besides the reason.
    pub trust: Vec<String>,
    /// What differs between the two sides besides the files, for instance the interpreter.
    pub notes: Vec<String>,
    /// The machine, as the run's fingerprint has it; empty where nothing was measured.
    pub machine: BTreeMap<String, String>,
    /// The command that repeats it.
    pub command: Vec<String>,
    /// Folder of the run; `null` where nothing was measured.
    pub folder: Option<String>,
    /// The report's file; `null` where nothing was measured.
    pub report: Option<String>,
}

/// A revision, as it was named and as git resolved it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// As it was named, for instance `origin/main`.
    pub name: String,
    /// The commit's hash.
    pub commit: String,
}

impl Revision {
    /// The first letters of the hash, as people write it.
    pub fn short(&self) -> &str {
        self.commit.get(..10).unwrap_or(&self.commit)
    }
}

/// The ratio work tree / base of one operation and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateRow {
    /// The operation.
    pub operation: Operation,
    /// The metric.
    pub metric: Metric,
    /// Work tree / base; `null` where there is no pair of blocks.
    pub ratio: Option<f64>,
    /// Lower end of the repeated 95 % interval at the look that decided, or the last; `null` before the first look.
    pub low: Option<f64>,
    /// Upper end of the same.
    pub high: Option<f64>,
    /// Standard deviation of the log-ratio from block to block; `null` for fewer than two blocks.
    pub noise: Option<f64>,
    /// Paired blocks that it rests on.
    pub blocks: u32,
    /// `not_slower`, `slower` or `no_verdict`.
    pub decision: GateDecision,
    /// Why, in words.
    pub reason: String,
}
