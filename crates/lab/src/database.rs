//! The database under all stacks: the user's own, or the embedded one as a supervised child.

use std::{collections::BTreeMap, time::Duration};

use dyno_model::{child::ChildSpec, plan::Pooler};
use dyno_provision::{
    DATABASE, DatabasePooler, EmbeddedDatabase, ProvisionError, database, free_port, pgbouncer, postgres,
};
use dyno_supervise::{Child, Readiness};

use crate::{bench::Bench, error::LabError};

/// Time for the server to accept connections.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for the server to end gently.
const GRACE: Duration = Duration::from_secs(5);
/// Connections beyond those of the stacks: dyno's own and PostgreSQL's reserved ones.
const SPARE_CONNECTIONS: u32 = 20;

/// What apps are told of a database.
pub struct Access {
    /// Its own address, or its pooler's.
    pub url: String,
    /// What they are told of the pooler, as variables of their environment.
    pub environment: BTreeMap<&'static str, String>,
}

/// A copy of all rows in the same server, for a stack that may do with them what it likes; removed on drop.
pub struct Copy {
    /// Its address.
    pub access: Access,
    admin_url: String,
    name: String,
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Where that fails, it goes with the server.
        let _ = database::remove(&self.admin_url, &self.access.url, &self.name);
    }
}

/// A database that is up and loaded.
pub struct Database {
    /// Its own address, for dyno.
    pub url: String,
    /// What apps are told of it.
    pub access: Access,
    /// Stacks that may have their connections at the same time.
    pub stacks: usize,
    /// Version, settings and what was loaded, for the record.
    pub facts: BTreeMap<String, String>,
    pooler: Option<(Option<Child>, DatabasePooler)>,
    // The child before its folder: it is stopped first.
    child: Option<Child>,
    embedded: Option<EmbeddedDatabase>,
}

impl Database {
    /// Starts, if it is dyno's to start, and loads the contract's rows. At most so many stacks will have their connections at
    /// the same time.
    pub fn start(bench: &Bench<'_>, stacks: usize) -> Result<Self, LabError> {
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
        let mut database = Self {
            access: Access { url: url.clone(), environment: BTreeMap::new() },
            url,
            stacks,
            facts,
            pooler: None,
            child,
            embedded,
        };
        match bench.order.plan.pooler {
            Some(Pooler::PgBouncer) => database.start_pgbouncer(bench, stacks)?,
            None => {}
        }
        Ok(database)
    }

    /// Whether it is dyno's own, to stop and start.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Whether each stack can have a copy for itself: a database of the user's own is used as it is given, and a pooler leads to the one
    /// that it was told of.
    pub fn can_be_copied(&self) -> bool {
        self.embedded.is_some() && self.pooler.is_none()
    }

    /// A copy for one stack alone; `None` where there can't be one.
    pub fn copy(&self) -> Result<Option<Copy>, LabError> {
        let Some(embedded) = self.embedded.as_ref().filter(|_| self.can_be_copied()) else { return Ok(None) };
        let name = format!("{DATABASE}_{:08x}", rand::random::<u32>());
        let url = format!("{}{name}", self.url.strip_suffix(DATABASE).unwrap_or(&self.url));
        database::copy(&embedded.admin_url, DATABASE, &name)?;
        let access = Access { url, environment: BTreeMap::new() };
        Ok(Some(Copy { access, admin_url: embedded.admin_url.clone(), name }))
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

    /// Gives its children away, `database` and `pooler`, to be kept by somebody else.
    pub fn hand_over(&mut self) -> Vec<(&'static str, ChildSpec, Child)> {
        let spec = self.embedded.as_ref().map(|embedded| embedded.child.clone());
        let server = spec.zip(self.child.take()).map(|(spec, child)| ("database", spec, child));
        let pooler = self
            .pooler
            .as_mut()
            .and_then(|(child, pooler)| Some(("pooler", pooler.child.clone(), child.take()?)));
        server.into_iter().chain(pooler).collect()
    }

    /// Puts PgBouncer between the apps and the server. All stacks share its connections to the server, the plan's
    /// budget, for one is under load at a time.
    fn start_pgbouncer(&mut self, bench: &Bench<'_>, stacks: usize) -> Result<(), LabError> {
        let system = |source| LabError::System { what: "a free loopback port".to_owned(), source };
        let port = free_port().map_err(system)?;
        let connections = bench.order.plan.most_connections();
        let clients = connections * u32::try_from(stacks).unwrap_or(1) + SPARE_CONNECTIONS;
        let pooler = bench.provision(|context| {
            let found = pgbouncer(context)?;
            let budget = (connections, clients);
            Ok::<_, ProvisionError>((
                found.pooler(context, port, &self.url, &bench.cpus.database, budget)?,
                found,
            ))
        });
        let (pooler, found) = pooler?;
        let child = bench.supervisor.start(&pooler.child)?;
        let mut probe = || match database::connect(&pooler.url) {
            Ok(_) => Readiness::Ready,
            Err(error) => Readiness::NotYet(error.to_string()),
        };
        child.wait_ready(&mut probe, PATIENCE)?;
        let prepared = if found.keeps_prepared_statements() { "1" } else { "0" };
        self.access.environment = BTreeMap::from([
            ("DYNO_POOLER", Pooler::PgBouncer.name().to_owned()),
            ("DYNO_PREPARED_STATEMENTS", prepared.to_owned()),
        ]);
        let words = format!("PgBouncer {}, a connection for a transaction", found.version);
        self.facts.insert("pooler".to_owned(), words);
        self.facts.insert("pooler: server connections".to_owned(), connections.to_string());
        self.access.url = pooler.url.clone();
        self.pooler = Some((Some(child), pooler));
        Ok(())
    }

    /// CPU time of the server and its pooler so far, in nanoseconds; 0 when they aren't dyno's children.
    pub fn cpu_ns(&self) -> u64 {
        let pooler = self.pooler.as_ref().and_then(|(child, _)| child.as_ref()).map_or(0, Child::cpu_ns);
        pooler + self.child.as_ref().map_or(0, Child::cpu_ns)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some((Some(child), _pooler)) = self.pooler.take() {
            child.stop(GRACE);
        }
        self.go_away();
    }
}

fn start_embedded(bench: &Bench<'_>, stacks: usize) -> Result<(Child, EmbeddedDatabase), LabError> {
    let system = |source| LabError::System { what: "a free loopback port".to_owned(), source };
    let port = free_port().map_err(system)?;
    let connections =
        bench.order.plan.most_connections() * u32::try_from(stacks).unwrap_or(1) + SPARE_CONNECTIONS;
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
