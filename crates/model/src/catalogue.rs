//! What the folder `stacks/` says about apps, servers and fronts: every setting that matters is there, not in the code.
//!
//! Words in braces inside of `command`, `arguments` and `environment` are filled in when a stack is started:
//! `{python}`, `{bin}`, `{binary}`, `{host}`, `{port}`, `{socket}`, `{listen}`, `{workers}`, `{threads}`, `{pool}`, `{module}`,
//! `{folder}`, `{server_folder}`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, StackName, child::StopSignal};

/// The programming language of an app, which decides how it is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Runs in an environment made from locked requirements.
    Python,
    /// Built with the Go toolchain.
    Go,
    /// Built with cargo.
    Rust,
}

/// How an app meets its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interface {
    /// PEP 3333.
    Wsgi,
    /// ASGI 3.
    Asgi,
    /// Granian's Rust Server Gateway Interface.
    Rsgi,
    /// An `aiohttp.web.Application`, which has an interface of its own.
    Aiohttp,
    /// A program that binds its own port.
    Program,
}

/// `app.toml`: one implementation of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Name in stacks.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Language.
    pub language: Language,
    /// How it meets its server.
    pub interface: Interface,
    /// Import path that a server loads, for instance `dyno_flask.app:app`.
    #[serde(default)]
    pub module: Option<String>,
    /// Command of a program that binds its own port.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Distribution whose version is shown.
    pub framework: String,
    /// Database driver.
    pub driver: String,
    /// Whether it needs the database.
    pub database: bool,
    /// Last two digits of its port when brought up by hand, 0 to 99.
    pub port_offset: u16,
    /// Servers that may run it; empty means every server of its interface.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Worker that does its tasks, for instance `celery`; left out when it offers none.
    #[serde(default)]
    pub worker: Option<String>,
    /// Folders put on `PYTHONPATH`, relative to the language's folder; those of its worker come after them.
    #[serde(default)]
    pub python_path: Vec<String>,
    /// Path of the OpenAPI document that its framework makes.
    #[serde(default)]
    pub openapi: Option<String>,
    /// Variables set for every process of the app.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Operations that it doesn't offer, with the reason.
    #[serde(default)]
    pub not_offered: BTreeMap<Operation, String>,
    /// Choices that can't run, with the reason.
    #[serde(default)]
    pub cannot_run: Vec<CannotRun>,
}

/// A known impossibility, as data that is tried again, so that one that became possible is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CannotRun {
    /// Apps that it is about; empty means any.
    #[serde(default)]
    pub apps: Vec<String>,
    /// Servers that it is about; empty means any.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Interpreters that it is about; empty means any.
    #[serde(default)]
    pub interpreters: Vec<String>,
    /// Why, in a sentence.
    pub because: String,
    /// The error's own words.
    pub evidence: String,
}

impl CannotRun {
    /// Whether it is about this choice.
    pub fn is_about(&self, stack: &StackName, interpreter: Option<&str>) -> bool {
        let among = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        among(&self.apps, &stack.app)
            && among(&self.servers, &stack.server)
            && (self.interpreters.is_empty()
                || interpreter.is_some_and(|name| self.interpreters.iter().any(|one| one == name)))
    }
}

/// What a server speaks where it listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// The uwsgi protocol: needs a front that speaks it.
    Uwsgi,
}

/// How a server is made to listen at one kind of address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenAt {
    /// What takes the place of `{listen}` in the command.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// What it speaks there.
    #[serde(default)]
    pub protocol: Protocol,
}

/// Where a server can listen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Loopback TCP, `{host}:{port}`.
    #[serde(default)]
    pub tcp: Option<ListenAt>,
    /// A unix socket, `{socket}`.
    #[serde(default)]
    pub unix: Option<ListenAt>,
}

/// How a server uses the plan's capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Processes {
    /// As many processes as the plan has workers, the connection budget shared out over them.
    #[default]
    Workers,
    /// One process with the threads of all workers and the whole connection budget.
    One,
}

/// A server's own statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatsServer {
    /// uWSGI's, JSON on connect.
    Uwsgi,
}

/// `server.toml`: what runs an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Name in stacks.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Distribution whose version is shown; the server's name when left out.
    #[serde(default)]
    pub distribution: Option<String>,
    /// Interfaces that it can serve.
    pub interfaces: Vec<Interface>,
    /// Whether it keeps connections alive, which is recorded with every number.
    pub keep_alive: bool,
    /// How it uses the plan's capacity.
    #[serde(default)]
    pub processes: Processes,
    /// Command; empty when the app's own command binds the port.
    #[serde(default)]
    pub command: Vec<String>,
    /// Where it can listen.
    pub listen: Listen,
    /// What its build needs of the machine, where there is no wheel.
    #[serde(default)]
    pub needs: Option<Needs>,
    /// Kind of stats server at `{folder}/stats.sock`, read in every slice.
    #[serde(default)]
    pub stats: Option<StatsServer>,
    /// Port without its last two digits when brought up by hand, for instance 9100 for 91xx.
    pub port_base: u16,
    /// Signal that asks for a gentle end.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// Variables set for its processes.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Choices that can't run, with the reason.
    #[serde(default)]
    pub cannot_run: Vec<CannotRun>,
}

/// What a build needs of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// In a person's words: a build that fails lacks this.
    pub what: String,
    /// Where `--setup` finds it when the machine lacks it.
    #[serde(default)]
    pub debian: Option<NeededPackages>,
}

/// Packages of this machine's own release of Debian, or of a distribution made from it. They are unpacked into the cache:
/// builds find their headers, programs their shared libraries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeededPackages {
    /// What people call it, for instance `libev`; its folder in the cache.
    pub name: String,
    /// Packages with the headers, and with the libraries that they are for.
    pub packages: Vec<String>,
}

/// Where a front looks for a server that speaks HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Upstream {
    /// Loopback TCP.
    #[default]
    Tcp,
    /// A unix socket.
    Unix,
}

/// How nginx waits for events; its `use` directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventMethod {
    /// Linux's epoll.
    Epoll,
    /// POSIX poll.
    Poll,
    /// POSIX select.
    Select,
}

impl EventMethod {
    /// Its name in nginx's configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Poll => "poll",
            Self::Select => "select",
        }
    }
}

/// `fronts/*/NAME.toml`: what stands before a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Name in stacks.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Command; `{binary}`, `{folder}` and `{configuration}` are filled in.
    pub command: Vec<String>,
    /// Where it looks for a server that speaks HTTP. One that speaks the uwsgi protocol is met at its unix socket.
    #[serde(default)]
    pub upstream: Upstream,
    /// What takes the place of `{use}` in the configuration, as `use epoll;`; nothing when left out.
    #[serde(default)]
    pub event_method: Option<EventMethod>,
    /// Most connections of a worker process, `{connections}` in the configuration.
    pub connections: u32,
    /// File beside this one: the configuration for a server that speaks the uwsgi protocol.
    #[serde(default)]
    pub uwsgi_configuration: Option<String>,
    /// File beside this one: the configuration for a server that speaks HTTP.
    #[serde(default)]
    pub http_configuration: Option<String>,
    /// File beside this one: a listener of its own at `{folder}/status.sock` that tells nginx's stub status. It takes the
    /// place of `{status}` under `dyno up`, and nothing does where anything is measured.
    #[serde(default)]
    pub status_configuration: Option<String>,
    /// Signal that asks for a gentle end.
    #[serde(default)]
    pub stop_signal: StopSignal,
}

/// `workers/NAME/worker.toml`: what does the tasks that an app sends over a broker. It has the app's environment, in which
/// `BROKER_URL`, `RESULT_URL` and `TASK_QUEUE` say where they come from, where results go, and which are its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Name in manifests of apps.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Distribution whose version is shown.
    pub distribution: String,
    /// What can carry its messages.
    pub brokers: Vec<BrokerKind>,
    /// Folders put on the `PYTHONPATH` of the worker and of its apps, relative to the language's folder.
    #[serde(default)]
    pub python_path: Vec<String>,
    /// Command; `{workers}` is the plan's number of processes.
    pub command: Vec<String>,
    /// Signal that asks for a gentle end.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// Variables set for its processes.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Choices that can't run, with the reason.
    #[serde(default)]
    pub cannot_run: Vec<CannotRun>,
}

/// What carries messages between apps and workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// Redis, which keeps results too.
    Redis,
    /// RabbitMQ, or another that speaks AMQP 0.9.1.
    Amqp,
}

impl BrokerKind {
    /// Its name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Amqp => "amqp",
        }
    }
}
