//! From a stack's name to what is needed to start it: environment or build, front, commands.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use dyno_model::{
    StackName,
    catalogue::{Language, Listens},
    child::ChildSpec,
    event::Step,
    plan::Plan,
    record::NotRun,
};
use dyno_plan::ResolvedStack;
use dyno_provision::{
    Context, Interpreter, Nginx, ProvisionError, PythonEnvironment, go_build, interpreters, nginx,
    python_environment,
};

use crate::{bench::Bench, error::LabError};

/// A stack with all its parts in the cache.
pub struct Prepared {
    /// The stack.
    pub stack: ResolvedStack,
    /// SHA-256 of its lock file.
    pub lock_sha256: String,
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
    pub database_url: &'a str,
    /// Bytes of an environment variable that means nothing: memory layouts differ from block to block,
    /// as Mytkowicz et al. (ASPLOS 2009) found that they must.
    pub padding: usize,
}

/// The child programs of a stack, by role, in order of start.
pub struct Commands {
    /// `server` first, then `front`.
    pub children: Vec<(&'static str, ChildSpec)>,
}

/// Prepares every stack of the plan; what can't be prepared is a row with its reason.
pub(crate) fn prepare_all(bench: &Bench<'_>) -> Result<(Vec<Prepared>, Vec<NotRun>), LabError> {
    let (mut prepared, mut not_run) = (Vec::new(), Vec::new());
    for name in &bench.order.plan.stacks {
        bench.go_on()?;
        bench.step(Step::Prepare, name.to_string());
        let stack = bench.order.catalogue.resolve(name)?;
        match bench.provision(|context| prepare(context, stack, bench.order.plan)) {
            Ok(one) => prepared.push(one),
            // A full disk isn't this stack's fault, and the next would meet it too.
            Err(error @ ProvisionError::Io { .. }) => return Err(error.into()),
            Err(error) => not_run.push(NotRun { stack: name.clone(), reason: error.to_string() }),
        }
    }
    Ok((prepared, not_run))
}

/// Whether a stack could run now: `Ok` with what `--setup` would fetch first (often nothing), else why not.
///
/// # Errors
/// Why it can't run even with `--setup`.
pub fn can_run(context: Context<'_>, stack: ResolvedStack, plan: &Plan) -> Result<String, String> {
    match prepare(Context { setup: false, ..context }, stack, plan) {
        Ok(_) => Ok(String::new()),
        Err(ProvisionError::Missing { what, remedy }) if remedy.contains("--setup") => {
            Ok(format!("{what} is fetched by --setup"))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn prepare(context: Context<'_>, stack: ResolvedStack, plan: &Plan) -> Result<Prepared, ProvisionError> {
    let front = match &stack.front {
        Some(_) => Some(nginx(context)?),
        None => None,
    };
    let (program, lock_sha256) = match stack.app.app.language {
        Language::Python => {
            let wanted = stack.name.interpreter.as_ref().or(plan.interpreter.as_ref());
            let (interpreter, lock) = interpreter_and_lock(&stack, wanted.map(String::as_str))?;
            let name = format!("{}-{}", stack.name.app, stack.name.server);
            let environment = python_environment(context, &interpreter, &lock, &name)?;
            let lock_sha256 = environment.lock_sha256.clone();
            (Program::Python(environment), lock_sha256)
        }
        Language::Go => {
            let built = go_build(context, &stack.app.folder, &stack.name.app)?;
            (Program::Binary(built.binary), built.lock_sha256)
        }
    };
    Ok(Prepared { stack, lock_sha256, program, nginx: front })
}

/// The interpreter asked for, or the newest that has a lock for this stack.
fn interpreter_and_lock(
    stack: &ResolvedStack,
    wanted: Option<&str>,
) -> Result<(Interpreter, PathBuf), ProvisionError> {
    let requirements = stack.app.folder.join("../requirements");
    let lock_of = |version: &str| {
        requirements.join(version).join(format!("{}-{}.txt", stack.name.app, stack.name.server))
    };
    let all = interpreters();
    let there = all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
    let missing = |what: String, remedy: String| ProvisionError::Missing { what, remedy };
    if let Some(wanted) = wanted {
        let found = all.iter().find(|one| one.name == wanted).ok_or_else(|| {
            missing(format!("Python {wanted}"), format!("install it, or choose one of {there}"))
        })?;
        let lock = lock_of(wanted);
        if !lock.is_file() {
            let remedy = "make it with stacks/python/requirements/lock".to_owned();
            return Err(missing(format!("a lock of {} for Python {wanted}", stack.name), remedy));
        }
        return Ok((found.clone(), lock));
    }
    let newest = all.into_iter().find(|one| lock_of(&one.name).is_file());
    newest.map(|one| (one.clone(), lock_of(&one.name))).ok_or_else(|| {
        let remedy = format!("install Python 3.13 from your system's packages; found {there}");
        missing(format!("an interpreter that {} has a lock for", stack.name), remedy)
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
        let mut values = self.values(bench, place);
        let front = self.stack.front.as_ref().zip(self.nginx.as_ref());
        let app = &self.stack.app.app;
        let argv = app.command.as_ref().unwrap_or(&self.stack.server.command);
        let mut environment = self.environment(bench, place);
        environment.extend(self.stack.server.environment.clone());
        environment.extend(app.environment.clone());
        let server = ChildSpec {
            name: self.stack.name.slug(),
            argv: fill_all(argv, &values),
            environment: environment.into_iter().map(|(name, value)| (name, fill(&value, &values))).collect(),
            working_folder: place.folder.to_owned(),
            cpus: bench.cpus.server.clone(),
            run_as: None,
            stop_signal: self.stack.server.stop_signal,
        };
        let mut children = vec![("server", server)];
        if let Some((front, nginx)) = front {
            let template = match self.stack.server.listens {
                Listens::Unix => &front.front.uwsgi_configuration,
                Listens::Tcp => &front.front.http_configuration,
            };
            let system = |what: String| |source| LabError::System { what, source };
            let name = template.as_deref().unwrap_or("(none)");
            let path = front.folder.join(name);
            let text = fs::read_to_string(&path).map_err(system(path.display().to_string()))?;
            let configuration = place.folder.join("front.conf");
            fs::write(&configuration, fill(&text, &values))
                .map_err(system(configuration.display().to_string()))?;
            values.insert("binary", nginx.binary.display().to_string());
            values.insert("configuration", configuration.display().to_string());
            let mut environment = BTreeMap::new();
            if let Ok(path) = std::env::join_paths(&nginx.libraries)
                && !nginx.libraries.is_empty()
            {
                environment.insert("LD_LIBRARY_PATH".to_owned(), path.to_string_lossy().into_owned());
            }
            let front = ChildSpec {
                name: format!("{}+front", self.stack.name.slug()),
                argv: fill_all(&front.front.command, &values),
                environment,
                working_folder: place.folder.to_owned(),
                cpus: bench.cpus.server.clone(),
                run_as: None,
                stop_signal: front.front.stop_signal,
            };
            children.push(("front", front));
        }
        Ok(Commands { children })
    }

    fn values(&self, bench: &Bench<'_>, place: &Place<'_>) -> BTreeMap<&'static str, String> {
        let capacity = &bench.order.plan.capacity;
        let mut values = BTreeMap::from([
            ("host", place.address.ip().to_string()),
            ("port", place.address.port().to_string()),
            ("socket", place.folder.join("server.sock").display().to_string()),
            ("folder", place.folder.display().to_string()),
            ("workers", capacity.workers.to_string()),
            ("threads", capacity.threads.to_string()),
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

    /// The whole environment of the server: nothing is inherited.
    fn environment(&self, bench: &Bench<'_>, place: &Place<'_>) -> BTreeMap<String, String> {
        let capacity = &bench.order.plan.capacity;
        let app = &self.stack.app.app;
        // An engine with threads has one pool, one with processes a pool in each.
        let pools = if app.language == Language::Go { 1 } else { capacity.workers };
        let mut environment = BTreeMap::from([
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", place.folder.display().to_string()),
            ("TMPDIR", place.folder.display().to_string()),
            ("DATABASE_URL", place.database_url.to_owned()),
            ("DYNO_POOL_SIZE", (capacity.connections / pools).max(1).to_string()),
            ("DYNO_WORKERS", capacity.workers.to_string()),
            ("DYNO_THREADS", capacity.threads.to_string()),
            ("DYNO_SERVER", self.stack.server.name.clone()),
            ("DYNO_HOST", place.address.ip().to_string()),
            ("DYNO_PORT", place.address.port().to_string()),
            ("DYNO_PADDING", "x".repeat(place.padding)),
        ]);
        if app.language == Language::Python {
            let python = self.stack.app.folder.join("..");
            let folders = app.python_path.iter().map(|folder| python.join(folder));
            let folders = folders.map(|folder| fs::canonicalize(&folder).unwrap_or(folder));
            let path = folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":");
            environment.insert("PYTHONPATH", path);
        }
        environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn fill_all(texts: &[String], values: &BTreeMap<&str, String>) -> Vec<String> {
    texts.iter().map(|text| fill(text, values)).collect()
}

/// Fills in `{name}` for the names that are known; other braces stay (nginx's own).
fn fill(text: &str, values: &BTreeMap<&str, String>) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
