//! The database under all stacks: the user's own, or the embedded one as a supervised child.

use std::{collections::BTreeMap, time::Duration};

use dyno_model::event::Step;
use dyno_provision::{DATABASE, EmbeddedDatabase, database, free_port, postgres};
use dyno_supervise::{Child, Readiness};

use crate::{bench::Bench, error::LabError};

/// Time for the server to accept connections.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for the server to end gently.
const GRACE: Duration = Duration::from_secs(5);
/// Connections beyond those of the stacks: dyno's own and PostgreSQL's reserved ones.
const SPARE_CONNECTIONS: u32 = 20;

/// A database that is up and loaded.
pub struct Database {
    /// Its address for apps.
    pub url: String,
    /// Version, settings and what was loaded, for the record.
    pub facts: BTreeMap<String, String>,
    // The child before its folder: it is stopped first.
    child: Option<Child>,
    embedded: Option<EmbeddedDatabase>,
}

impl Database {
    /// Starts, if it is dyno's to start, and loads the contract's rows.
    pub fn start(bench: &Bench<'_>, stacks: usize) -> Result<Self, LabError> {
        bench.step(Step::Prepare, "database");
        let (url, child, embedded) = match bench.order.database {
            Some(url) => (url.to_owned(), None, None),
            None => {
                let (child, embedded) = start_embedded(bench, stacks)?;
                (embedded.url.clone(), Some(child), Some(embedded))
            }
        };
        let data = &bench.order.plan.data;
        let loaded = database::load(&url, data.contacts, data.seed)?;
        let mut facts = database::facts(&url)?;
        facts.insert("rows sha256".to_owned(), loaded.sha256);
        facts.insert("contacts".to_owned(), loaded.contacts.to_string());
        let address =
            if embedded.is_some() { "embedded".to_owned() } else { database::without_password(&url) };
        facts.insert("address".to_owned(), address);
        Ok(Self { url, facts, child, embedded })
    }

    /// Whether it is dyno's own, to stop and start.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Stops dyno's own server; its data stay.
    pub fn go_away(&mut self) {
        if let Some(child) = self.child.take() {
            child.stop(GRACE);
        }
    }

    /// Starts dyno's own server again on the same data and port.
    pub fn come_back(&mut self, bench: &Bench<'_>) -> Result<(), LabError> {
        if let Some(embedded) = &self.embedded {
            self.child = Some(start_child(bench, embedded)?);
        }
        Ok(())
    }

    /// CPU time of the server so far, in nanoseconds; 0 when it isn't dyno's child.
    pub fn cpu_ns(&self) -> u64 {
        self.child.as_ref().map_or(0, Child::cpu_ns)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.go_away();
    }
}

fn start_embedded(bench: &Bench<'_>, stacks: usize) -> Result<(Child, EmbeddedDatabase), LabError> {
    let system = |source| LabError::System { what: "a free loopback port".to_owned(), source };
    let port = free_port().map_err(system)?;
    let connections =
        bench.order.plan.capacity.connections * u32::try_from(stacks).unwrap_or(1) + SPARE_CONNECTIONS;
    let embedded = bench
        .provision(|context| postgres(context)?.database(context, port, &bench.cpus.database, connections))?;
    let child = start_child(bench, &embedded)?;
    database::create(&embedded.admin_url, DATABASE)?;
    Ok((child, embedded))
}

fn start_child(bench: &Bench<'_>, embedded: &EmbeddedDatabase) -> Result<Child, LabError> {
    let child = bench.supervisor.start(&embedded.child)?;
    let mut probe = || match database::connect(&embedded.admin_url) {
        Ok(_) => Readiness::Ready,
        Err(error) => Readiness::NotYet(error.to_string()),
    };
    child.wait_ready(&mut probe, PATIENCE)?;
    Ok(child)
}
