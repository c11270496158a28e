//! From a prepared stack to the children of one trial: commands, environments, and the front's configuration.
//! Starts nothing.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use dyno_model::{
    catalogue::{Interface, Language, Processes, Protocol, Upstream},
    child::ChildSpec,
};
use dyno_plan::{FrontEntry, WorkerEntry};
use dyno_provision::{Nginx, debian::library_environment, free_port};

use crate::{
    bench::Bench,
    database::Access,
    error::LabError,
    prepare::{Prepared, Program},
};

/// Where a stack is started: ports and folders of one trial.
pub struct Place<'a> {
    /// Where load goes.
    pub address: SocketAddr,
    /// Sockets and configurations.
    pub folder: &'a Path,
    /// The database.
    pub database: &'a Access,
    /// CPUs of its children; none for all that dyno may use.
    pub cpus: &'a [usize],
    /// Whether its worker of tasks is started too, if it has one.
    pub with_worker: bool,
    /// Whether its front also tells its status at `status.sock`, for the admin page: never where it is measured.
    pub with_status: bool,
    /// Bytes of an environment variable that means nothing: memory layouts differ from block to block,
    /// as Mytkowicz et al. (ASPLOS 2009) found that they must.
    pub padding: usize,
}

/// The child programs of a stack, by role, in order of start.
pub struct Commands {
    /// `worker`, `server`, `front`, those that the stack has.
    pub children: Vec<(&'static str, ChildSpec)>,
}

impl Prepared {
    /// The children to start in `place`.
    ///
    /// # Errors
    /// The front's configuration can't be written or isn't in the catalogue.
    pub fn commands(&self, bench: &Bench<'_>, place: &Place<'_>) -> Result<Commands, LabError> {
        // Behind a front the server has a port of its own.
        let address = match &self.stack.front {
            None => place.address,
            Some(_) => {
                let system = |source| LabError::System { what: "a free loopback port".to_owned(), source };
                SocketAddr::new(place.address.ip(), free_port().map_err(system)?)
            }
        };
        let values = self.values(bench, place, address);
        let server = &self.stack.server.server;
        let environment = self.environment(bench, place, address)?;
        let child = |name: String, argv, own: &BTreeMap<String, String>, stop_signal| {
            let environment = environment.iter().chain(own).chain(&self.stack.app.app.environment);
            ChildSpec {
                name,
                argv,
                environment: environment.map(|(name, value)| (name.clone(), fill(value, &values))).collect(),
                working_folder: place.folder.to_owned(),
                cpus: place.cpus.to_vec(),
                run_as: None,
                stop_signal,
            }
        };
        let mut children = Vec::new();
        if let Some(WorkerEntry { worker, .. }) = self.stack.worker.as_ref().filter(|_| place.with_worker) {
            // However the server cuts the capacity, a worker has the plan's processes.
            let mut values = values.clone();
            let capacity = bench.order.plan.capacity_of(&self.stack.name);
            values.insert("workers", capacity.workers.to_string());
            let argv = worker.command.iter().map(|word| fill(word, &values)).collect();
            let name = format!("{}+worker", self.stack.name.slug());
            children.push(("worker", child(name, argv, &worker.environment, worker.stop_signal)));
        }
        let argv = self.argv(&values);
        let name = self.stack.name.slug();
        children.push(("server", child(name, argv, &server.environment, server.stop_signal)));
        if let Some((front, nginx)) = self.stack.front.as_ref().zip(self.nginx.as_ref()) {
            children.push(("front", self.front(place, &values, front, nginx)?));
        }
        Ok(Commands { children })
    }

    /// The server's command, `{listen}` replaced by the arguments of where it listens.
    fn argv(&self, values: &BTreeMap<&str, String>) -> Vec<String> {
        let listen = &self.stack.meeting.listen.arguments;
        let command = self.stack.app.app.command.as_ref().unwrap_or(&self.stack.server.server.command);
        let words = command.iter().flat_map(|word| match word.as_str() {
            "{listen}" => listen.clone(),
            _ => vec![word.clone()],
        });
        words.map(|word| fill(&word, values)).collect()
    }

    fn front(
        &self,
        place: &Place<'_>,
        server: &BTreeMap<&'static str, String>,
        front: &FrontEntry,
        nginx: &Nginx,
    ) -> Result<ChildSpec, LabError> {
        let meeting = &self.stack.meeting;
        let template = match meeting.listen.protocol {
            Protocol::Uwsgi => &front.front.uwsgi_configuration,
            Protocol::Http => &front.front.http_configuration,
        };
        let system = |what: String| |source| LabError::System { what, source };
        let path = front.folder.join(template.as_deref().unwrap_or("(none)"));
        let text = fs::read_to_string(&path).map_err(system(path.display().to_string()))?;
        let configuration = place.folder.join("front.conf");
        let mut values = BTreeMap::from([
            ("host", place.address.ip().to_string()),
            ("port", place.address.port().to_string()),
            ("folder", place.folder.display().to_string()),
            (
                "upstream",
                match meeting.upstream {
                    Upstream::Tcp => format!("{}:{}", server["host"], server["port"]),
                    Upstream::Unix => format!("unix:{}", server["socket"]),
                },
            ),
            (
                "use",
                front.front.event_method.map_or(String::new(), |method| format!("use {};", method.name())),
            ),
            ("connections", front.front.connections.to_string()),
            ("binary", nginx.binary.display().to_string()),
            ("configuration", configuration.display().to_string()),
        ]);
        let status = match front.front.status_configuration.as_ref().filter(|_| place.with_status) {
            None => String::new(),
            Some(name) => {
                let path = front.folder.join(name);
                let text = fs::read_to_string(&path).map_err(system(path.display().to_string()))?;
                fill(&text, &values)
            }
        };
        values.insert("status", status);
        fs::write(&configuration, fill(&text, &values))
            .map_err(system(configuration.display().to_string()))?;
        Ok(ChildSpec {
            name: format!("{}+front", self.stack.name.slug()),
            argv: front.front.command.iter().map(|word| fill(word, &values)).collect(),
            environment: library_environment(&nginx.libraries),
            working_folder: place.folder.to_owned(),
            cpus: place.cpus.to_vec(),
            run_as: None,
            stop_signal: front.front.stop_signal,
        })
    }

    /// What the server serves: the app, or what burns before it.
    fn module(&self) -> String {
        match (self.stack.name.variant.burn, self.stack.app.app.interface) {
            (None, _) => self.stack.app.app.module.clone().unwrap_or_default(),
            (Some(_), Interface::Wsgi) => "dyno_burn.wsgi:app".to_owned(),
            (Some(_), _) => "dyno_burn.asgi:app".to_owned(),
        }
    }

    /// Processes, threads of each, and database connections of each: the same capacity however it is cut.
    fn shares(&self, bench: &Bench<'_>) -> (u32, u32, u32) {
        let capacity = bench.order.plan.capacity_of(&self.stack.name);
        let (workers, threads, connections) = (capacity.workers, capacity.threads, capacity.connections);
        match self.stack.server.server.processes {
            // A compiled program has one pool for all its threads.
            Processes::Workers if self.stack.app.app.language != Language::Python => {
                (workers, threads, connections)
            }
            Processes::Workers => (workers, threads, (connections / workers).max(1)),
            Processes::One => (1, workers * threads, connections),
        }
    }

    fn values(
        &self,
        bench: &Bench<'_>,
        place: &Place<'_>,
        address: SocketAddr,
    ) -> BTreeMap<&'static str, String> {
        let (workers, threads, pool) = self.shares(bench);
        let mut values = BTreeMap::from([
            ("host", address.ip().to_string()),
            ("port", address.port().to_string()),
            ("socket", place.folder.join("server.sock").display().to_string()),
            ("folder", place.folder.display().to_string()),
            ("server_folder", absolute(&self.stack.server.folder)),
            ("workers", workers.to_string()),
            ("threads", threads.to_string()),
            ("pool", pool.to_string()),
            ("module", self.module()),
        ]);
        match &self.program {
            Program::Python(environment) => {
                values.insert("python", environment.python().display().to_string());
                values.insert("bin", environment.bin().display().to_string());
            }
            Program::Binary(binary) => {
                values.insert("binary", binary.display().to_string());
            }
        }
        values
    }

    /// The whole environment of server and worker: nothing is inherited.
    fn environment(
        &self,
        bench: &Bench<'_>,
        place: &Place<'_>,
        address: SocketAddr,
    ) -> Result<BTreeMap<String, String>, LabError> {
        let (workers, threads, pool) = self.shares(bench);
        let (app, server) = (&self.stack.app.app, &self.stack.server.server);
        let mut environment = BTreeMap::from([
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", place.folder.display().to_string()),
            ("TMPDIR", place.folder.display().to_string()),
            ("DATABASE_URL", place.database.url.clone()),
            ("DYNO_POOL_SIZE", pool.to_string()),
            ("DYNO_WORKERS", workers.to_string()),
            ("DYNO_THREADS", threads.to_string()),
            ("DYNO_SERVER", server.name.clone()),
            ("DYNO_SERVER_DISTRIBUTION", server.distribution.clone().unwrap_or_else(|| server.name.clone())),
            ("DYNO_HOST", address.ip().to_string()),
            ("DYNO_PORT", address.port().to_string()),
            ("DYNO_PADDING", "x".repeat(place.padding)),
        ]);
        environment.extend(place.database.environment.clone());
        if self.stack.worker.is_some() {
            let broker = bench.broker()?;
            environment.insert("BROKER_URL", broker.url.clone());
            environment.insert("RESULT_URL", broker.results_url.clone());
            // Stacks that are up together, and what an earlier dyno left in a user's broker, have nothing in common.
            environment.insert("TASK_QUEUE", format!("dyno-{:016x}", rand::random::<u64>()));
        }
        if app.language == Language::Python {
            let python = self.stack.app.folder.join("..");
            let worker = self.stack.worker.iter().flat_map(|entry| &entry.worker.python_path);
            let burn = self.stack.name.variant.burn.map(|loops| {
                environment.insert("DYNO_BURN_LOOPS", loops.to_string());
                environment.insert("DYNO_BURN_MODULE", app.module.clone().unwrap_or_default());
                "burn".to_owned()
            });
            let folders = app
                .python_path
                .iter()
                .chain(worker)
                .chain(&burn)
                .map(|folder| absolute(&python.join(folder)));
            environment.insert("PYTHONPATH", folders.collect::<Vec<_>>().join(":"));
        }
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
        Ok(environment.chain(library_environment(&self.libraries)).collect())
    }
}

fn absolute(folder: &Path) -> String {
    fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()).display().to_string()
}

/// Fills in `{name}` for the names that are known; other braces stay (nginx's own).
fn fill(text: &str, values: &BTreeMap<&str, String>) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
