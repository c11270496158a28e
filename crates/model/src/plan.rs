//! A plan as resolved: every default filled in, stored with the run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, Rate, Span, StackName, rehearsal::Choice};

/// Stacks x operations x load, with budgets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Name, from the file's name.
    pub name: String,
    /// One sentence for people.
    pub title: String,
    /// Stacks, in the order of the file.
    pub stacks: Vec<StackName>,
    /// Operations that are measured.
    pub operations: Vec<Operation>,
    /// The stack that ratios are given against.
    pub baseline: StackName,
    /// Interpreter for stacks that name none, for instance `3.13`; `None` takes the newest that has locks.
    pub interpreter: Option<String>,
    /// What each stack may use.
    pub capacity: Capacity,
    /// What is in the database.
    pub data: Data,
    /// What stands between the stacks and the database; `None` for nothing.
    #[serde(default)]
    pub pooler: Option<Pooler>,
    /// Blocks, slices and budget.
    pub design: Design,
    /// The load of throughput slices.
    pub throughput: Throughput,
    /// The load of latency slices; `None` measures none.
    pub latency: Option<Latency>,
}

/// The same capacity for every stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Worker processes (for an engine with threads instead: its threads).
    pub workers: u32,
    /// Threads of each worker of a threaded server.
    pub threads: u32,
    /// Database connections of the whole stack, shared out over its workers.
    pub connections: u32,
    /// Whether the workers of tasks are up while a stack is measured. No operation on tasks is timed.
    #[serde(default = "task_workers")]
    pub task_workers: bool,
}

/// Records from before the key had none that weren't started.
const fn task_workers() -> bool {
    true
}

impl Plan {
    /// What a stack may use: the plan's figures, or those of its variant.
    pub fn capacity_of(&self, stack: &StackName) -> Capacity {
        let (own, variant) = (&self.capacity, &stack.variant);
        Capacity {
            workers: variant.workers.unwrap_or(own.workers),
            threads: variant.threads.unwrap_or(own.threads),
            connections: variant.connections.unwrap_or(own.connections),
            task_workers: own.task_workers,
        }
    }

    /// The most database connections that one of its stacks may use.
    pub fn most_connections(&self) -> u32 {
        let all = self.stacks.iter().map(|stack| self.capacity_of(stack).connections);
        all.max().unwrap_or(0).max(self.capacity.connections)
    }
}

/// The rows in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Data {
    /// Number of contacts.
    pub contacts: u32,
    /// Seed of the rows.
    pub seed: u64,
}

/// A program that shares a few database connections out over many clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pooler {
    /// PgBouncer, a connection for a transaction.
    PgBouncer,
}

impl Pooler {
    /// Its name in plans and in `DYNO_POOLER`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PgBouncer => "pgbouncer",
        }
    }
}

impl std::str::FromStr for Pooler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pgbouncer" => Ok(Self::PgBouncer),
            _ => Err(format!("`{text}` isn't a pooler: the only one is pgbouncer")),
        }
    }
}

/// Blocks and slices, as METHOD names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Design {
    /// Fewest blocks, at least 8 for an interval that may be called one.
    pub blocks: u32,
    /// Most blocks; more than `blocks` are done while the budget lasts.
    pub most_blocks: u32,
    /// Time for the whole run, preparation included. The fewest blocks are always done.
    pub budget: Span,
    /// Warm-up of each stack in each block, shared out over the operations.
    pub warm_up: Span,
    /// Beginning of each slice that isn't counted.
    pub guard: Span,
    /// Seed of every random choice; `None` takes one from the clock, and records it.
    pub seed: Option<u64>,
    /// Whether the numbers decide when a run ends: looks at 8, 12, 16, 24, 32 and 48 blocks, with repeated confidence
    /// intervals (METHOD, section 4). Without, plan and clock decide.
    #[serde(default)]
    pub looks: bool,
    /// The canary: a twin of another stack that must not be told from it, or the run allows no verdict.
    #[serde(default)]
    pub canary: Option<StackName>,
    /// Most stacks that are up at once; more are measured in groups, the baseline in each of them. Two make a duet of
    /// every stack with the baseline.
    #[serde(default = "most_together")]
    pub together: u32,
    /// What was chosen from what was looked at before the first block; `None` where nothing was.
    #[serde(default)]
    pub rehearsal: Option<Choice>,
}

/// Most stacks that are up at once where a plan doesn't say.
pub const fn most_together() -> u32 {
    24
}

/// Closed-loop slices that saturate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// Connections, each with one request in flight.
    pub connections: u32,
    /// More connections that are open through all slices and never send.
    #[serde(default)]
    pub idle: u32,
    /// Length of a slice.
    pub slice: Span,
    /// Slices of each stack and operation in a block.
    pub slices: u32,
}

/// Open-loop slices at a fixed offered rate with Poisson arrivals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Connections that may be in use at once.
    pub connections: u32,
    /// Length of a slice.
    pub slice: Span,
    /// Slices of each stack and operation in a block.
    pub slices: u32,
    /// Offered rate of each operation, the same for every stack.
    pub rates: BTreeMap<Operation, Rate>,
    /// Operations whose rate is still to be settled, as a share of what the slowest stack answers when it is saturated, within 0..1.
    /// The rehearsal turns each into a rate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shares: BTreeMap<Operation, f64>,
}

impl Latency {
    /// Whether latencies of an operation are measured.
    pub fn measures(&self, operation: Operation) -> bool {
        self.rates.contains_key(&operation) || self.shares.contains_key(&operation)
    }

    /// How many operations' latencies are measured.
    pub fn operations(&self) -> usize {
        self.rates.len() + self.shares.keys().filter(|operation| !self.rates.contains_key(operation)).count()
    }
}
