//! The broker under the workers of all stacks: the user's own, or dyno's Redis as a supervised child. Only there when a
//! stack has a worker.

use std::{collections::BTreeMap, time::Duration};

use dyno_model::event::Step;
use dyno_provision::{EmbeddedBroker, free_port, redis};
use dyno_supervise::{Child, Readiness};

use crate::{bench::Bench, error::LabError};

/// Time for the server to accept connections.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker that is up.
pub struct Broker {
    /// What carries messages.
    pub url: String,
    /// What keeps states and results: Redis, whatever carries the messages.
    pub results_url: String,
    /// Program, version and address, for the record.
    pub facts: BTreeMap<String, String>,
    // The child before its folder: it is stopped first.
    child: Option<Child>,
    _embedded: Option<EmbeddedBroker>,
}

impl Broker {
    /// Starts what of it is dyno's to start.
    pub fn start(bench: &Bench<'_>) -> Result<Self, LabError> {
        bench.step(Step::Prepare, "broker");
        let own = bench.order.broker;
        if let Some(own) = own {
            own.reach()?;
        }
        let mut facts = BTreeMap::new();
        if let Some(own) = own {
            facts.insert("address".to_owned(), own.without_password());
        }
        if let Some(own) = own.filter(|own| own.keeps_results()) {
            let url = own.as_str().to_owned();
            return Ok(Self { url: url.clone(), results_url: url, facts, child: None, _embedded: None });
        }
        let (child, embedded, version) = start_redis(bench)?;
        facts.insert("redis".to_owned(), format!("{version}, dyno's own, nothing kept on disk"));
        let results_url = embedded.url.clone();
        let url = own.map_or_else(|| results_url.clone(), |own| own.as_str().to_owned());
        Ok(Self { url, results_url, facts, child: Some(child), _embedded: Some(embedded) })
    }

    /// CPU time of dyno's own so far, in nanoseconds; 0 when there is none.
    pub fn cpu_ns(&self) -> u64 {
        self.child.as_ref().map_or(0, Child::cpu_ns)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            child.stop(Duration::from_secs(5));
        }
    }
}

fn start_redis(bench: &Bench<'_>) -> Result<(Child, EmbeddedBroker, String), LabError> {
    let system = |source| LabError::System { what: "a free loopback port".to_owned(), source };
    let port = free_port().map_err(system)?;
    let (embedded, version) = bench.provision(|context| {
        let redis = redis(context)?;
        Ok::<_, LabError>((redis.broker(context, port, &bench.cpus.database)?, redis.version))
    })?;
    let child = bench.supervisor.start(&embedded.child)?;
    let mut probe = || match embedded.ping() {
        Ok(()) => Readiness::Ready,
        Err(words) => Readiness::NotYet(words),
    };
    child.wait_ready(&mut probe, PATIENCE)?;
    Ok((child, embedded, version))
}
