//! The broker under the workers of all stacks: by the user's choice their own or dyno's RabbitMQ, else dyno's Redis, as
//! supervised children. Only there when a stack has a worker.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dyno_model::{child::ChildSpec, event::Step};
use dyno_provision::{BrokerChoice, EmbeddedBroker, RabbitMqPorts, free_port, rabbitmq, redis};
use dyno_supervise::{Child, Readiness};

use crate::{bench::Bench, error::LabError};

/// Time for the server to accept connections: Erlang takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker that is up.
pub struct Broker {
    /// What carries messages.
    pub url: String,
    /// What keeps states and results: Redis, whatever carries the messages.
    pub results_url: String,
    /// Program, version and address, for the record.
    pub facts: BTreeMap<String, String>,
    children: Vec<Started>,
}

/// One of dyno's own.
struct Started {
    // The bench lends its broker to all: giving the child away needs a lock.
    child: Mutex<Option<Child>>,
    embedded: EmbeddedBroker,
}

impl Broker {
    /// Starts what of it is dyno's to start.
    pub fn start(bench: &Bench<'_>) -> Result<Self, LabError> {
        bench.step(Step::Prepare, "broker");
        let choice = bench.order.broker;
        let mut facts = BTreeMap::new();
        if let Some(own) = choice.and_then(BrokerChoice::own) {
            own.reach()?;
            facts.insert("address".to_owned(), own.without_password());
            if own.keeps_results() {
                let url = own.as_str().to_owned();
                return Ok(Self { url: url.clone(), results_url: url, facts, children: Vec::new() });
            }
        }
        let redis = start_redis(bench, &mut facts)?;
        let results_url = redis.embedded.url.clone();
        let mut children = vec![redis];
        let url = match choice {
            None => results_url.clone(),
            Some(BrokerChoice::Own(own)) => own.as_str().to_owned(),
            Some(BrokerChoice::RabbitMq) => {
                let started = start_rabbitmq(bench, &mut facts)?;
                let url = started.embedded.url.clone();
                children.push(started);
                url
            }
        };
        Ok(Self { url, results_url, facts, children })
    }

    /// CPU time of dyno's own so far, in nanoseconds; 0 when there is none.
    pub fn cpu_ns(&self) -> u64 {
        let cpu_ns = |started: &Started| started.child().as_ref().map_or(0, Child::cpu_ns);
        self.children.iter().map(cpu_ns).sum()
    }

    /// Gives its children away, to be kept by somebody else; nothing the second time.
    pub fn hand_over(&self) -> Vec<(ChildSpec, Child)> {
        let take = |started: &Started| Some((started.embedded.child.clone(), started.child().take()?));
        self.children.iter().filter_map(take).collect()
    }
}

impl Started {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Started {
    /// Before its folder goes.
    fn drop(&mut self) {
        let child = self.child().take();
        if let Some(child) = child {
            child.stop(Duration::from_secs(5));
        }
    }
}

fn start_redis(bench: &Bench<'_>, facts: &mut BTreeMap<String, String>) -> Result<Started, LabError> {
    let port = port()?;
    let (embedded, version) = bench.provision(|context| {
        let redis = redis(context)?;
        Ok::<_, LabError>((redis.broker(context, port, &bench.cpus.database)?, redis.version))
    })?;
    facts.insert("redis".to_owned(), format!("{version}, dyno's own, nothing kept on disk"));
    start(bench, embedded)
}

fn start_rabbitmq(bench: &Bench<'_>, facts: &mut BTreeMap<String, String>) -> Result<Started, LabError> {
    let ports = RabbitMqPorts { amqp: port()?, distribution: port()?, epmd: port()? };
    let (embedded, version) = bench.provision(|context| {
        let rabbitmq = rabbitmq(context)?;
        Ok::<_, LabError>((rabbitmq.broker(context, ports, &bench.cpus.database)?, rabbitmq.version))
    })?;
    facts.insert("rabbitmq".to_owned(), format!("{version}, dyno's own"));
    start(bench, embedded)
}

fn port() -> Result<u16, LabError> {
    free_port().map_err(|source| LabError::System { what: "a free loopback port".to_owned(), source })
}

fn start(bench: &Bench<'_>, embedded: EmbeddedBroker) -> Result<Started, LabError> {
    let started = Started { child: Mutex::new(Some(bench.supervisor.start(&embedded.child)?)), embedded };
    let mut probe = || match started.embedded.ping() {
        Ok(()) => Readiness::Ready,
        Err(words) => Readiness::NotYet(words),
    };
    if let Some(child) = started.child().as_ref() {
        child.wait_ready(&mut probe, PATIENCE)?;
    }
    Ok(started)
}
