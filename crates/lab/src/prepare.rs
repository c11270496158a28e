//! From a stack's name to what is needed to start it: environment or build, front, commands.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use dyno_model::{
    StackName,
    catalogue::{CannotRun, EventMethod, Language, Processes, Protocol, Upstream},
    child::ChildSpec,
    event::Step,
    plan::Plan,
    record::{NotRun, NotRunKind},
};
use dyno_plan::{Catalogue, FrontEntry, ResolvedStack, WorkerEntry};
use dyno_provision::{
    BrokerUrl, Context, Interpreter, Nginx, Origin, ProvisionError, PythonEnvironment, free_port, go_build,
    interpreters, nginx, provide, python_environment, redis, rust_build,
};

use crate::{bench::Bench, database::Database, error::LabError};

/// A stack with all its parts in the cache.
pub struct Prepared {
    /// The stack.
    pub stack: ResolvedStack,
    /// SHA-256 of its lock file.
    pub lock_sha256: String,
    /// Why the catalogue says that it can't run, when it is tried all the same.
    pub impossible: Option<CannotRun>,
    /// The name of the interpreter that it runs on.
    pub interpreter: Option<String>,
    program: Program,
    nginx: Option<Nginx>,
}

enum Program {
    Python(PythonEnvironment),
    Binary(PathBuf),
}

/// Where a stack is started: ports and folders of one trial.
pub struct Place<'a> {
    /// Where load goes.
    pub address: SocketAddr,
    /// Sockets and configurations.
    pub folder: &'a Path,
    /// The database.
    pub database: &'a Database,
    /// Whether its worker of tasks is started too, if it has one.
    pub with_worker: bool,
    /// Bytes of an environment variable that means nothing: memory layouts differ from block to block,
    /// as Mytkowicz et al. (ASPLOS 2009) found that they must.
    pub padding: usize,
}

/// The child programs of a stack, by role, in order of start.
pub struct Commands {
    /// `worker`, `server`, `front`, those that the stack has.
    pub children: Vec<(&'static str, ChildSpec)>,
}

/// Prepares every stack of the plan; what can't be prepared is a row with its reason.
pub(crate) fn prepare_all(bench: &Bench<'_>) -> Result<(Vec<Prepared>, Vec<NotRun>), LabError> {
    let (mut prepared, mut not_run) = (Vec::new(), Vec::new());
    one_nginx(bench)?;
    for name in &bench.order.plan.stacks {
        bench.go_on()?;
        bench.step(Step::Prepare, name.to_string());
        let stack = bench.order.catalogue.resolve(name)?;
        let tried = bench.order.try_impossible;
        let outcome = bench.provision(|context| {
            prepare_broker(context, bench.order.broker, &stack)?;
            prepare(context, stack, bench.order.plan, tried)
        });
        match outcome {
            Ok(one) => prepared.push(one),
            // A full disk isn't this stack's fault, and the next would meet it too.
            Err(error @ ProvisionError::Io { .. }) => return Err(error.into()),
            Err(error) => not_run.push(NotRun {
                stack: name.clone(),
                reason: error.to_string(),
                kind: match error {
                    ProvisionError::Missing { .. } => NotRunKind::Missing,
                    ProvisionError::CannotRun(_) => NotRunKind::Impossible,
                    _ => NotRunKind::Failed,
                },
            }),
        }
    }
    Ok((prepared, not_run))
}

/// A stack with a worker needs a broker: the user's own, if it can carry the worker's messages, and Redis for what that
/// doesn't do.
fn prepare_broker(
    context: Context<'_>,
    own: Option<&BrokerUrl>,
    stack: &ResolvedStack,
) -> Result<(), ProvisionError> {
    let Some(WorkerEntry { worker, .. }) = &stack.worker else { return Ok(()) };
    match own {
        Some(own) if !worker.brokers.contains(&own.kind()) => {
            let known = worker.brokers.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            Err(ProvisionError::CannotRun(format!(
                "messages of its worker {} go over {known}, and {} is {}",
                worker.name,
                own.without_password(),
                own.kind().name()
            )))
        }
        Some(own) if own.keeps_results() => Ok(()),
        _ => redis(context).map(drop),
    }
}

/// Builds an nginx with every event method before any front is prepared, if a front of the plan wants one: all fronts
/// use it from then on, because two builds differ in more than the method.
fn one_nginx(bench: &Bench<'_>) -> Result<(), LabError> {
    for name in &bench.order.plan.stacks {
        let stack = bench.order.catalogue.resolve(name)?;
        let method = stack.front.and_then(|entry| entry.front.event_method);
        if matches!(method, Some(EventMethod::Poll | EventMethod::Select)) {
            // Why it can't be had is said at the stack's own turn.
            let _ = bench.provision(|context| nginx(context, method));
        }
    }
    Ok(())
}

/// Whether a stack could run now: `Ok` with what `--setup` would fetch first (often nothing), else why not.
///
/// # Errors
/// Why it can't run even with `--setup`.
pub fn can_run(context: Context<'_>, stack: ResolvedStack, plan: &Plan) -> Result<String, String> {
    let context = Context { setup: false, ..context };
    match prepare_broker(context, None, &stack).and_then(|()| prepare(context, stack, plan, false)) {
        Ok(_) => Ok(String::new()),
        Err(ProvisionError::Missing { what, remedy }) if remedy.contains("--setup") => {
            Ok(format!("{what} is fetched by --setup"))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn prepare(
    context: Context<'_>,
    stack: ResolvedStack,
    plan: &Plan,
    try_impossible: bool,
) -> Result<Prepared, ProvisionError> {
    let front = match &stack.front {
        Some(entry) => Some(nginx(context, entry.front.event_method)?),
        None => None,
    };
    let python = stack.app.app.language == Language::Python;
    let wanted = stack.name.interpreter.as_ref().or(plan.interpreter.as_ref());
    let known = |interpreter: Option<&str>| match stack.cannot_run(interpreter) {
        Some(known) if !try_impossible => {
            Err(ProvisionError::CannotRun(format!("{} ({})", known.because, known.evidence)))
        }
        known => Ok(known.cloned()),
    };
    let mut impossible = if python { None } else { known(None)? };
    let mut name_of_interpreter = None;
    let (program, lock_sha256) = match stack.app.app.language {
        Language::Python => {
            let interpreter = interpreter_of(context, &stack, wanted.map(String::as_str))?;
            impossible = known(Some(&interpreter.name))?;
            name_of_interpreter = Some(interpreter.name.clone());
            let locks = locks_of(&stack, &interpreter.name)?;
            let name = format!("{}-{}", stack.name.app, stack.name.server);
            let made = python_environment(context, &interpreter, &locks, &name);
            let environment = made.map_err(|error| lacks(error, &stack))?;
            let lock_sha256 = environment.lock_sha256.clone();
            (Program::Python(environment), lock_sha256)
        }
        Language::Go => {
            let built = go_build(context, &stack.app.folder, &stack.name.app)?;
            (Program::Binary(built.binary), built.lock_sha256)
        }
        Language::Rust => {
            let built = rust_build(context, &stack.app.folder, &stack.name.app)?;
            (Program::Binary(built.binary), built.lock_sha256)
        }
    };
    Ok(Prepared { stack, lock_sha256, interpreter: name_of_interpreter, program, nginx: front, impossible })
}

/// A build that fails lacks what the manifest says that it needs.
fn lacks(error: ProvisionError, stack: &ResolvedStack) -> ProvisionError {
    match (error, &stack.server.server.needs) {
        (ProvisionError::Command { tail, .. }, Some(needs)) => {
            let words = tail.lines().find(|line| line.contains("error:")).unwrap_or_default().trim();
            let remedy = format!("install it; the build of {} said: {words}", stack.server.server.name);
            ProvisionError::Missing { what: needs.clone(), remedy }
        }
        (error, _) => error,
    }
}

/// The interpreter asked for, or the newest that has locks for this stack.
fn interpreter_of(
    context: Context<'_>,
    stack: &ResolvedStack,
    wanted: Option<&str>,
) -> Result<Interpreter, ProvisionError> {
    if let Some(wanted) = wanted {
        return provide(context, wanted);
    }
    let mut all = interpreters(context)?;
    let there = all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
    // What was fetched for a stack that asked for it doesn't become everybody's.
    all.sort_by_key(|one| one.origin > Origin::Machine);
    let plain = |one: &Interpreter| one.name.chars().all(|c| c.is_ascii_digit() || c == '.');
    let first = all.iter().find(|one| plain(one) && stack.has_locks(&one.name)).cloned();
    // Some have words instead of a lock there, which say why.
    let first = first.or_else(|| all.iter().find(|one| plain(one) && stack.was_locked(&one.name)).cloned());
    first.ok_or_else(|| ProvisionError::Missing {
        what: format!("an interpreter that {} has locks for", stack.name),
        remedy: format!("install Python 3.13 from your system's packages; found {there}"),
    })
}

/// The locks of a stack's app and server; where the resolver found none, its words are the reason.
fn locks_of(stack: &ResolvedStack, interpreter: &str) -> Result<Vec<PathBuf>, ProvisionError> {
    let mut locks = Vec::new();
    for folder in stack.lock_folders() {
        let lock = folder.join(format!("locks/{interpreter}.txt"));
        if let Ok(words) = fs::read_to_string(lock.with_extension("because")) {
            return Err(ProvisionError::CannotRun(words.trim().to_owned()));
        }
        if !lock.is_file() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let what = format!("a lock of {name} for Python {interpreter}");
            return Err(ProvisionError::Missing { what, remedy: format!("make it with `dyno lock {name}`") });
        }
        locks.push(lock);
    }
    Ok(locks)
}

/// Every row of the field (`Catalogue::field`), on the interpreters that have locks.
pub fn field(context: Context<'_>, catalogue: &Catalogue, plan: &Plan) -> Vec<ResolvedStack> {
    let usual = plan.interpreter.clone().or_else(|| {
        let stacks = catalogue.stacks();
        let python = stacks.iter().find(|stack| stack.app.app.language == Language::Python)?;
        Some(interpreter_of(context, python, None).ok()?.name)
    });
    let others: Vec<String> =
        catalogue.interpreters().into_iter().filter(|name| Some(name) != usual.as_ref()).collect();
    catalogue.field(&others)
}

/// What is installed for a Python stack.
pub struct Installed {
    /// The interpreter's name.
    pub interpreter: String,
    /// Distributions and versions.
    pub packages: BTreeMap<String, String>,
}

/// The distributions of a Python stack's environment; `None` for a compiled one.
///
/// # Errors
/// The environment isn't there and can't be made.
pub fn packages(
    context: Context<'_>,
    stack: ResolvedStack,
    plan: &Plan,
) -> Result<Option<Installed>, ProvisionError> {
    let wanted = stack.name.interpreter.clone().or_else(|| plan.interpreter.clone());
    if stack.app.app.language != Language::Python {
        return Ok(None);
    }
    let interpreter = interpreter_of(context, &stack, wanted.as_deref())?.name;
    let prepared = prepare(context, stack, plan, false)?;
    Ok(match prepared.program {
        Program::Python(environment) => Some(Installed { interpreter, packages: environment.packages }),
        Program::Binary(_) => None,
    })
}

impl Prepared {
    /// Its name.
    pub fn name(&self) -> &StackName {
        &self.stack.name
    }

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
                cpus: bench.cpus.server.clone(),
                run_as: None,
                stop_signal,
            }
        };
        let mut children = Vec::new();
        if let Some(WorkerEntry { worker, .. }) = self.stack.worker.as_ref().filter(|_| place.with_worker) {
            // However the server cuts the capacity, a worker has the plan's processes.
            let mut values = values.clone();
            values.insert("workers", bench.order.plan.capacity.workers.to_string());
            let argv = worker.command.iter().map(|word| fill(word, &values)).collect();
            let name = format!("{}+worker", self.stack.name.slug());
            children.push(("worker", child(name, argv, &worker.environment, worker.stop_signal)));
        }
        let argv = self.argv(&values);
        let name = self.stack.name.slug();
        children.push(("server", child(name, argv, &server.environment, server.stop_signal)));
        if let Some((front, nginx)) = self.stack.front.as_ref().zip(self.nginx.as_ref()) {
            children.push(("front", self.front(bench, place, &values, front, nginx)?));
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
        bench: &Bench<'_>,
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
        let values = BTreeMap::from([
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
        fs::write(&configuration, fill(&text, &values))
            .map_err(system(configuration.display().to_string()))?;
        let mut environment = BTreeMap::new();
        if let Ok(path) = std::env::join_paths(&nginx.libraries)
            && !nginx.libraries.is_empty()
        {
            environment.insert("LD_LIBRARY_PATH".to_owned(), path.to_string_lossy().into_owned());
        }
        Ok(ChildSpec {
            name: format!("{}+front", self.stack.name.slug()),
            argv: front.front.command.iter().map(|word| fill(word, &values)).collect(),
            environment,
            working_folder: place.folder.to_owned(),
            cpus: bench.cpus.server.clone(),
            run_as: None,
            stop_signal: front.front.stop_signal,
        })
    }

    /// Processes, threads of each, and database connections of each: the same capacity however it is cut.
    fn shares(&self, bench: &Bench<'_>) -> (u32, u32, u32) {
        let capacity = &bench.order.plan.capacity;
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
            ("module", self.stack.app.app.module.clone().unwrap_or_default()),
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
            ("DATABASE_URL", place.database.url_for_apps.clone()),
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
            let folders = app.python_path.iter().chain(worker).map(|folder| absolute(&python.join(folder)));
            environment.insert("PYTHONPATH", folders.collect::<Vec<_>>().join(":"));
        }
        Ok(environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The worker with its version, for instance `celery 5.7.0`.
    pub fn worker_words(&self) -> Option<String> {
        let worker = &self.stack.worker.as_ref()?.worker;
        let version = match &self.program {
            Program::Python(environment) => environment.packages.get(&worker.distribution),
            Program::Binary(_) => None,
        };
        Some(format!("{} {}", worker.name, version.map_or("(version unknown)", String::as_str)))
    }
}

fn absolute(folder: &Path) -> String {
    fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()).display().to_string()
}

/// Fills in `{name}` for the names that are known; other braces stay (nginx's own).
fn fill(text: &str, values: &BTreeMap<&str, String>) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
