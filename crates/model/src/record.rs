//! What a run folder holds. Versioned: newer code reads older folders.
//!
//! `run.json` is a [`Run`]; `blocks/NNNN.json` is a [`Block`]; `results.json` is an [`crate::output::RunOutput`].

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Operation, Rate, StackName,
    check::CheckRow,
    child::Usage,
    fingerprint::Fingerprint,
    load::{Pacing, SliceOutcome},
    plan::Plan,
    warning::Warning,
};

/// Version of the run folder's format that this code writes.
pub const FORMAT: u32 = 1;

/// The head of a run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Version of the format.
    pub format: u32,
    /// Name of the run: the folder's name.
    pub run: String,
    /// The plan as resolved.
    pub plan: Plan,
    /// Seed of every random choice.
    pub seed: u64,
    /// Begin, UTC, RFC 3339.
    pub started: String,
    /// The command that repeats it.
    pub command: Vec<String>,
    /// Machine and software.
    pub fingerprint: Fingerprint,
    /// CPUs of each part.
    pub cpus: CpuSets,
    /// Stacks that were prepared.
    pub prepared: Vec<PreparedStack>,
    /// Results of the contract's cases.
    pub checks: Vec<CheckRow>,
    /// Stacks that can't run or aren't measured, with the reason.
    pub not_run: Vec<NotRun>,
    /// What was suspicious before the first block.
    pub warnings: Vec<Warning>,
}

/// CPUs of each part; all the same list where the machine has no room to part them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CpuSets {
    /// Servers and fronts.
    pub server: Vec<usize>,
    /// Database.
    pub database: Vec<usize>,
    /// The load engine.
    pub generator: Vec<usize>,
}

impl CpuSets {
    /// CPUs of database and generator that the servers don't have, in order; none where all share.
    pub fn beside_servers(&self) -> Vec<usize> {
        let all: BTreeSet<usize> = self.database.iter().chain(&self.generator).copied().collect();
        all.into_iter().filter(|cpu| !self.server.contains(cpu)).collect()
    }
}

/// A stack that was prepared and proven.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreparedStack {
    /// The stack.
    pub stack: StackName,
    /// Whether connections are kept alive.
    pub keep_alive: bool,
    /// Command of each child, by role (`server`, `front`), secrets left out.
    pub commands: BTreeMap<String, Vec<String>>,
    /// SHA-256 of the locked requirements or of `go.sum`.
    pub lock_sha256: String,
    /// The app's answer to `/about`.
    pub about: BTreeMap<String, String>,
}

/// A stack that isn't measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotRun {
    /// The stack.
    pub stack: StackName,
    /// Why, with the remedy where there is one.
    pub reason: String,
    /// What kind of reason that is.
    #[serde(default)]
    pub kind: NotRunKind,
}

/// Why a stack isn't measured, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotRunKind {
    /// It should work and doesn't.
    #[default]
    Failed,
    /// This machine lacks a part.
    Missing,
    /// The catalogue knows that this choice can't work: an entry of `cannot_run`, or the resolver's words.
    Impossible,
}

/// How a block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockState {
    /// All its slices were done.
    Complete,
    /// It was stopped; its slices are kept and not counted.
    Interrupted,
}

/// Fresh processes for every stack, then slices in balanced random order. The only unit of inference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// Version of the format.
    pub format: u32,
    /// Number of the block, from 0.
    pub index: u32,
    /// How it ended.
    pub state: BlockState,
    /// Begin, UTC, RFC 3339.
    pub started: String,
    /// Length in nanoseconds, starting and stopping included.
    pub length_ns: u64,
    /// Speed of a fixed spin before the block, in loops per millisecond: the machine's own drift.
    pub spin_per_ms: f64,
    /// Time that CPU quotas of dyno's own control groups stopped them, in nanoseconds; `None` where nobody tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_ns: Option<u64>,
    /// One per stack, in order of start.
    pub trials: Vec<Trial>,
}

/// One stack freshly started in one block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// The stack.
    pub stack: StackName,
    /// From start to the first right answer, in nanoseconds.
    pub ready_ns: u64,
    /// Its slices, in order of time.
    pub slices: Vec<Slice>,
    /// Pacing over its open-loop slices together, for one alone is often too short for it (self-check G3); `None` where
    /// even all have too few gaps.
    #[serde(default)]
    pub pacing: Option<Pacing>,
    /// Why it failed and its log's tail, if it did.
    pub failure: Option<TrialFailure>,
}

/// Why a trial failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialFailure {
    /// What happened.
    pub reason: String,
    /// The last lines of the server's log.
    pub log_tail: String,
}

/// The load of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SliceLoad {
    /// Closed loop: each connection sends again as soon as it is answered.
    Closed {
        /// Connections.
        connections: u32,
    },
    /// Open loop with Poisson arrivals.
    Open {
        /// Offered rate.
        rate: Rate,
        /// Connections that may be in use at once.
        connections: u32,
    },
}

/// A short piece of load on one stack, all others idle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slice {
    /// The operation.
    pub operation: Operation,
    /// Its load.
    pub load: SliceLoad,
    /// Begin, in nanoseconds since the block's begin.
    pub at_ns: u64,
    /// What the engine saw.
    pub outcome: SliceOutcome,
    /// CPU time within the window by role: `server`, `front`, `database`, in nanoseconds.
    pub cpu_ns: BTreeMap<String, u64>,
    /// Usage of server and front together at the end of the slice; switches and CPU count since its begin.
    pub usage: Usage,
    /// The machine in the window.
    pub machine: MachineSample,
    /// How fast the server's CPUs were around it. Long slices have none: much happens between their ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// What the server says of itself, where it has a stats server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_stats: Option<ServerStats>,
}

/// Speed of the server's CPUs around a slice, in loops of arithmetic per millisecond of CPU time: what the machine would do for
/// anybody, whichever stack is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Speed {
    /// Right before it.
    pub before: f64,
    /// Right after it.
    pub after: f64,
}

/// What a server's own stats server says of a slice's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerStats {
    /// Share of its threads' time spent within requests, 0 to 1.
    pub busy: f64,
    /// Connections that waited to be accepted at the window's end.
    pub queue: u64,
    /// Requests that it counted.
    pub requests: u64,
}

/// What the machine did in a window besides us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineSample {
    /// Busy time of all CPUs that none of our children nor dyno used, in nanoseconds.
    pub foreign_ns: u64,
    /// Time stolen by the hypervisor, all CPUs, in nanoseconds.
    pub steal_ns: u64,
    /// CPU time of the standing-by stacks, in nanoseconds.
    pub standby_ns: u64,
    /// The same by part of the machine; `None` in records of before, whose totals stand for both parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<MachineParts>,
}

/// CPU time that others took in a window, by the CPUs that they took it from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineParts {
    /// From the servers' CPUs.
    pub server: Taken,
    /// From the CPUs of database and generator; nothing where all share one CPU.
    pub others: Taken,
}

/// CPU time that others took in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Taken {
    /// By the hypervisor, in nanoseconds.
    pub steal_ns: u64,
    /// By processes that aren't the run's, in nanoseconds, to the kernel's tick of 10 ms.
    pub foreign_ns: u64,
}
