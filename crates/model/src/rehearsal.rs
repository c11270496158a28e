//! What is looked at before a session's first block, and what was chosen from it: the length of slices, and of the warm-up
//! (METHOD, section 3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, Span, StackName, warning::Warning};

/// Length of a trace's bins, in milliseconds.
pub const BIN_MS: u64 = 25;

/// What a trace is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TracePurpose {
    /// The baseline against itself, which chooses the slices.
    Placebo,
    /// How long answers take, which bounds the guard.
    Answers,
    /// From the first answer on, which chooses the warm-up.
    WarmUp,
}

/// A saturated closed loop on one stack that is alone, in fresh processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// What it is for.
    pub purpose: TracePurpose,
    /// The stack.
    pub stack: StackName,
    /// What was asked.
    pub operation: Operation,
    /// What starting its processes and ending them took, which each block spends for each stack; unknown in older records.
    #[serde(default)]
    pub start: Option<Span>,
    /// Load before it that isn't in it.
    pub warm_up: Span,
    /// Requests sent in each bin of [`BIN_MS`]; the last bins may lack some.
    pub counts: Vec<u64>,
    /// 99th percentile of the time from sending to the whole answer, in microseconds.
    pub p99_us: f64,
}

/// `rehearsal.json` of a run folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rehearsal {
    /// Version of the run folder's format.
    pub format: u32,
    /// In order of time.
    pub traces: Vec<Trace>,
}

/// What a rehearsal chose, kept with the plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Standard deviation between blocks of the baseline against itself, as a log-ratio; `None` where the placebo can't tell.
    pub block_sd: Option<f64>,
    /// Blocks until a difference of 3 %, or that there is none, is known; `None` where the placebo can't tell.
    pub expected_blocks: Option<f64>,
    /// What was chosen and why, a sentence each.
    pub words: Vec<String>,
    /// What is doubtful.
    pub warnings: Vec<Warning>,
}
