//! What is needed to start a child program, and what is seen of it while it runs.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program to start: nothing is inherited that isn't written here, so that a record tells the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChildSpec {
    /// Name in logs, cgroups and tables, for instance `flask+gunicorn` or `postgres`.
    pub name: String,
    /// Program (absolute path) and arguments.
    pub argv: Vec<String>,
    /// The whole environment of the child.
    pub environment: BTreeMap<String, String>,
    /// Working folder.
    pub working_folder: PathBuf,
    /// CPUs that the whole tree may use; empty means all that dyno may use.
    pub cpus: Vec<usize>,
    /// User and group to run as; `None` keeps dyno's own. Needs root.
    pub run_as: Option<RunAs>,
    /// Signal that asks the tree's root for a gentle end.
    pub stop_signal: StopSignal,
}

/// A numeric user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunAs {
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
}

/// The signal that asks for a gentle end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopSignal {
    /// SIGTERM, what most servers expect.
    #[default]
    Terminate,
    /// SIGINT: PostgreSQL's fast shutdown.
    Interrupt,
    /// SIGQUIT: nginx's and uWSGI's graceful, or PostgreSQL's immediate end.
    Quit,
}

/// Resources of one child's whole tree of processes at one moment. CPU figures only grow during a child's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// CPU time of the tree since its start, in nanoseconds, ended processes included where a cgroup counts them.
    pub cpu_ns: u64,
    /// Resident memory now, summed over processes, shared pages divided among those who share them
    /// (PSS) where the kernel tells it, in bytes.
    pub memory_bytes: u64,
    /// Processes now.
    pub processes: u32,
    /// Threads now.
    pub threads: u32,
    /// Voluntary context switches of the living processes and threads.
    pub voluntary_switches: u64,
    /// Involuntary context switches of the living processes and threads.
    pub involuntary_switches: u64,
    /// Time that the living threads were ready to run and had no CPU, summed over threads, in nanoseconds; `None` in records of before,
    /// and where the kernel doesn't tell (`/proc/PID/task/TID/schedstat`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ns: Option<u64>,
}
