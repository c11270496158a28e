//! What the folder `stacks/` says about apps, servers and fronts: every setting that matters is there, not in the code.
//!
//! Words in braces inside of `command` and `environment` are filled in when a stack is started:
//! `{python}`, `{binary}`, `{host}`, `{port}`, `{socket}`, `{workers}`, `{threads}`, `{module}`, `{folder}`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, child::StopSignal};

/// The programming language of an app, which decides how it is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Runs in an environment made from locked requirements.
    Python,
    /// Built with the Go toolchain.
    Go,
}

/// How an app meets its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interface {
    /// PEP 3333.
    Wsgi,
    /// ASGI 3.
    Asgi,
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
    /// Import path that a WSGI or ASGI server loads, for instance `dyno_flask.app:app`.
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
    /// Last digit of its port when brought up by hand.
    pub port_digit: u16,
    /// Servers that may run it.
    pub servers: Vec<String>,
    /// Folders put on `PYTHONPATH`, relative to the language's folder.
    #[serde(default)]
    pub python_path: Vec<String>,
    /// Variables set for every process of the app.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Operations that it doesn't offer, with the reason.
    #[serde(default)]
    pub not_offered: BTreeMap<Operation, String>,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Listens {
    /// Loopback TCP, `{host}:{port}`.
    Tcp,
    /// A unix socket, `{socket}`.
    Unix,
}

/// What a server speaks where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// The uwsgi protocol: needs a front that speaks it.
    Uwsgi,
}

/// `servers/NAME.toml`: what runs an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Name in stacks.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Interfaces that it can serve.
    pub interfaces: Vec<Interface>,
    /// Where it listens.
    pub listens: Listens,
    /// What it speaks there.
    pub protocol: Protocol,
    /// Whether it keeps connections alive, which is recorded with every number.
    pub keep_alive: bool,
    /// Command; empty when the app's own command binds the port.
    #[serde(default)]
    pub command: Vec<String>,
    /// Port without its last digit when brought up by hand, for instance 919 for 919x.
    pub port_base: u16,
    /// Signal that asks for a gentle end.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// Variables set for its processes.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// `fronts/NAME.toml`: what stands before a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Name in stacks.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Command; `{binary}`, `{folder}` and `{configuration}` are filled in.
    pub command: Vec<String>,
    /// File beside this one: the configuration for a server that speaks the uwsgi protocol on a unix socket.
    pub uwsgi_configuration: Option<String>,
    /// File beside this one: the configuration for a server that speaks HTTP on TCP.
    pub http_configuration: Option<String>,
    /// Signal that asks for a gentle end.
    #[serde(default)]
    pub stop_signal: StopSignal,
}
