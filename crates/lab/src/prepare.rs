//! From a stack's name to the parts that it is started from: environment or build, front, broker.

use std::{fs, path::PathBuf};

use dyno_model::{
    StackName,
    catalogue::{CannotRun, Language},
    plan::Plan,
};
use dyno_plan::{ResolvedStack, WorkerEntry};
use dyno_provision::{
    BrokerChoice, Context, Interpreter, Nginx, Origin, ProvisionError, PythonEnvironment, go_build,
    interpreters, needy_environment, nginx, provide, python_environment, rabbitmq, redis, rust_build,
};

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
    pub(crate) program: Program,
    /// Shared libraries in the cache that the program needs.
    pub(crate) libraries: Vec<PathBuf>,
    pub(crate) nginx: Option<Nginx>,
}

pub enum Program {
    Python(PythonEnvironment),
    Binary(PathBuf),
}

/// All of a stack: its own parts, and what it shares with others.
pub(crate) fn prepare(
    context: Context<'_>,
    stack: ResolvedStack,
    plan: &Plan,
) -> Result<Prepared, ProvisionError> {
    broker_needs(None, &stack)?;
    let mut prepared = prepare_own(context, stack, plan, false)?;
    prepare_shared(context, &mut prepared, None)?;
    Ok(prepared)
}

/// What a stack shares with others: its broker if it needs one, and its front.
pub(crate) fn prepare_shared(
    context: Context<'_>,
    one: &mut Prepared,
    choice: Option<&BrokerChoice>,
) -> Result<(), ProvisionError> {
    prepare_broker(context, broker_needs(choice, &one.stack)?)?;
    if let Some(entry) = &one.stack.front {
        one.nginx = Some(nginx(context, entry.front.event_method)?);
    }
    Ok(())
}

/// What a stack needs of dyno's own brokers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BrokerNeeds {
    redis: bool,
    rabbitmq: bool,
}

/// A stack with a worker needs a broker: the user's choice, if it can carry the worker's messages, and Redis for what that
/// doesn't do.
pub(crate) fn broker_needs(
    choice: Option<&BrokerChoice>,
    stack: &ResolvedStack,
) -> Result<BrokerNeeds, ProvisionError> {
    let Some(WorkerEntry { worker, .. }) = &stack.worker else { return Ok(BrokerNeeds::default()) };
    match choice {
        Some(choice) if !worker.brokers.contains(&choice.kind()) => {
            let known = worker.brokers.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            Err(ProvisionError::CannotRun(format!(
                "messages of its worker {} go over {known}, and {} is {}",
                worker.name,
                choice,
                choice.kind().name()
            )))
        }
        Some(BrokerChoice::Own(own)) if own.keeps_results() => Ok(BrokerNeeds::default()),
        Some(BrokerChoice::RabbitMq) => Ok(BrokerNeeds { redis: true, rabbitmq: true }),
        _ => Ok(BrokerNeeds { redis: true, rabbitmq: false }),
    }
}

pub(crate) fn prepare_broker(context: Context<'_>, needs: BrokerNeeds) -> Result<(), ProvisionError> {
    if needs.rabbitmq {
        rabbitmq(context)?;
    }
    if needs.redis {
        redis(context)?;
    }
    Ok(())
}

/// Whether a stack could run now: `Ok` with what `--setup` would fetch first (often nothing), else why not.
///
/// # Errors
/// Why it can't run even with `--setup`.
pub fn can_run(context: Context<'_>, stack: ResolvedStack, plan: &Plan) -> Result<String, String> {
    let context = Context { setup: false, ..context };
    match prepare(context, stack, plan) {
        Ok(_) => Ok(String::new()),
        Err(ProvisionError::Missing { what, remedy }) if remedy.contains("--setup") => {
            Ok(format!("{what} is fetched by --setup"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Interpreter and environment, or build.
pub(crate) fn prepare_own(
    context: Context<'_>,
    stack: ResolvedStack,
    plan: &Plan,
    try_impossible: bool,
) -> Result<Prepared, ProvisionError> {
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
    let mut libraries = Vec::new();
    let (program, lock_sha256) = match stack.app.app.language {
        Language::Python => {
            let interpreter = interpreter_of(context, &stack, wanted.map(String::as_str))?;
            impossible = known(Some(&interpreter.name))?;
            name_of_interpreter = Some(interpreter.name.clone());
            let locks = locks_of(&stack, &interpreter.name)?;
            let name = format!("{}-{}", stack.name.app, stack.name.server);
            let (environment, found) = match &stack.server.server.needs {
                Some(needs) => needy_environment(context, &interpreter, &locks, &name, needs)?,
                None => (python_environment(context, &interpreter, &locks, &name)?, Vec::new()),
            };
            libraries = found;
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
    Ok(Prepared {
        stack,
        lock_sha256,
        interpreter: name_of_interpreter,
        program,
        libraries,
        nginx: None,
        impossible,
    })
}

/// The interpreter asked for, or the newest that has locks for this stack.
pub(crate) fn interpreter_of(
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

impl Prepared {
    /// Its name.
    pub fn name(&self) -> &StackName {
        &self.stack.name
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
