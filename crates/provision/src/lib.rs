//! Interpreters, locked packages, PostgreSQL, Redis, nginx, Go and Rust, in dyno's own cache; says exactly what it did.
//!
//! Nothing is installed unless [`Context::setup`] allows it, every outside command is told before it runs, and
//! what is in the cache is used without the network. Long-running programs are only described here
//! ([`dyno_model::child::ChildSpec`]); another room starts them.

mod broker_url;
mod built;
mod command;
pub mod database;
pub mod debian;
pub mod doctor;
mod embedded;
mod embedded_broker;
mod error;
mod fingerprint;
mod go;
mod home;
mod interpreter;
mod lock;
mod needs;
mod nginx;
mod pgbouncer;
mod provide;
mod python;
mod rabbitmq;
mod redis;
mod relocate;
mod rust;
mod settings;
mod unprivileged;

use std::net::{Ipv4Addr, TcpListener};

pub use broker_url::{BrokerChoice, BrokerUrl, NotABroker};
pub use built::Built;
pub use embedded::{EmbeddedDatabase, NAME as DATABASE, PostgresBinaries, postgres};
pub use embedded_broker::EmbeddedBroker;
pub use error::ProvisionError;
pub use fingerprint::{machine_facts, revision_of};
pub use go::{go, go_build};
pub use home::{Home, HomeLock};
pub use interpreter::{Interpreter, Origin, interpreters};
pub use lock::{LockOrder, Locked, lock};
pub use needs::needy_environment;
pub use nginx::{Nginx, nginx};
pub use pgbouncer::{DatabasePooler, PgBouncer, pgbouncer};
pub use provide::provide;
pub use python::{PythonEnvironment, python_environment, uv};
pub use rabbitmq::{RabbitMq, RabbitMqPorts, rabbitmq};
pub use redis::{Redis, redis};
pub use rust::{cargo, rust_build};
pub use settings::{Programs, Settings};

/// What every step of provisioning needs.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The cache.
    pub home: &'a Home,
    /// Whether something may be downloaded into the cache.
    pub setup: bool,
    /// Is told each outside command before it runs.
    pub echo: &'a (dyn Fn(&[String]) + Sync),
}

/// A TCP port on loopback that was free a moment ago.
///
/// # Errors
/// No port can be bound.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
