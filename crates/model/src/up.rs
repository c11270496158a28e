//! What is up: the processes of `dyno up`, for the admin page and the terminal.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::StackName;

/// All that `dyno up` has up, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpState {
    /// The processes, in order of start.
    pub processes: Vec<ProcessState>,
    /// The database's connections, while it answers.
    pub database: Option<DatabaseState>,
}

/// One child with its tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessState {
    /// Its name, which is its log's.
    pub name: String,
    /// The stack that it belongs to; `None` for the database, its pooler and the broker.
    pub stack: Option<StackName>,
    /// `server`, `front`, `worker`, `database`, `pooler`, `broker`.
    pub role: String,
    /// What it does.
    pub phase: Phase,
    /// The pid of its tree's root, while it runs.
    pub pid: Option<u32>,
    /// Seconds since this start, while it runs.
    pub up_s: Option<f64>,
    /// CPU of its tree over the last sample, in cores: 1 is one core wholly used.
    pub cpu_cores: f64,
    /// Memory of its tree, PSS where the kernel tells it, in bytes.
    pub memory_bytes: u64,
    /// Processes of its tree.
    pub processes: u32,
    /// Starts by dyno after it had crashed.
    pub restarts: u32,
    /// How it ended last, if it has.
    pub last_exit: Option<String>,
    /// Seconds until it is started again, while it backs off.
    pub again_s: Option<f64>,
    /// Where it answers people, if it does.
    pub url: Option<String>,
    /// What uWSGI says of itself.
    pub uwsgi: Option<UwsgiState>,
    /// What nginx says of itself.
    pub nginx: Option<NginxState>,
    /// Its log's file.
    #[serde(skip)]
    pub log: PathBuf,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It was started and doesn't answer yet.
    Starting,
    /// It runs.
    Running,
    /// It crashed, and is started again after a while.
    BackingOff,
    /// It was asked to end.
    Stopping,
    /// It was stopped by a person.
    Stopped,
}

impl Phase {
    /// In words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::BackingOff => "backing off",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// uWSGI's stats server at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UwsgiState {
    /// Its worker processes.
    pub workers: u32,
    /// Share of its threads' time within requests since the last sample, 0 to 1.
    pub busy: f64,
    /// Connections that wait to be accepted.
    pub queue: u64,
    /// Requests since its start.
    pub requests: u64,
}

/// nginx's stub status at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NginxState {
    /// Open connections, without dyno's own that asks.
    pub active: u64,
    /// Connections accepted since its start, without dyno's own.
    pub accepted: u64,
    /// Requests since its start, without dyno's own.
    pub requests: u64,
    /// Connections whose request is read, or whose answer is written.
    pub busy: u64,
    /// Idle kept-alive connections.
    pub waiting: u64,
}

/// The database's connections at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseState {
    /// Connections of clients, without dyno's own that asks.
    pub connections: u32,
    /// Of these, those at work on a statement.
    pub active: u32,
    /// The most that the server admits.
    pub most: u32,
}

/// What a person asks of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Starts it, at once if it backs off.
    Start,
    /// Stops it; it stays stopped.
    Stop,
    /// Stops it, if it runs, and starts it.
    Restart,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Start, Self::Stop, Self::Restart];

    /// Its name in addresses and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}
