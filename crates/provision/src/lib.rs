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
mod part;
mod pgbouncer;
mod provide;
mod python;
mod rabbitmq;
mod redis;
mod relocate;
mod rust;
mod settings;
mod unprivileged;

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

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
    /// Whether nobody needs the parts any more: outside commands are ended then.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// Ports given last: whoever got one may not have bound it yet.
static GIVEN: Mutex<VecDeque<u16>> = Mutex::new(VecDeque::new());
/// How many of them are remembered: more than are ever on their way to being bound.
const REMEMBERED: usize = 64;

/// A TCP port on loopback that was free a moment ago, and isn't one of those that were given last.
///
/// # Errors
/// No port can be bound.
pub fn free_port() -> std::io::Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        if given.contains(&port) {
            continue;
        }
        if given.len() == REMEMBERED {
            given.pop_front();
        }
        given.push_back(port);
        return Ok(port);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    #[test]
    fn no_port_is_given_twice_in_a_row_to_several_threads() {
        let ports: Vec<u16> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..8).map(|_| super::free_port().unwrap()).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 64);
    }
}
