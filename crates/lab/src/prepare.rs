//! From a stack's name to the parts that it is started from: environment or build, front, broker.

use std::{fs, path::PathBuf};

use dyno_model::{
    StackName,
    catalogue::{CannotRun, EventMethod, Language},
    event::Step,
    plan::Plan,
    record::{NotRun, NotRunKind},
};
use dyno_plan::{ResolvedStack, WorkerEntry};
use dyno_provision::{
    BrokerChoice, Context, Interpreter, Nginx, Origin, ProvisionError, PythonEnvironment, go_build,
    interpreters, needy_environment, nginx, provide, python_environment, rabbitmq, redis, rust_build,
};

use crate::{bench::Bench, error::LabError};

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

/// A stack with a worker needs a broker: the user's choice, if it can carry the worker's messages, and Redis for what that
/// doesn't do.
fn prepare_broker(
    context: Context<'_>,
    choice: Option<&BrokerChoice>,
    stack: &ResolvedStack,
) -> Result<(), ProvisionError> {
    let Some(WorkerEntry { worker, .. }) = &stack.worker else { return Ok(()) };
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
        Some(BrokerChoice::Own(own)) if own.keeps_results() => Ok(()),
        Some(BrokerChoice::RabbitMq) => rabbitmq(context).and_then(|_| redis(context)).map(drop),
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

pub(crate) fn prepare(
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
        nginx: front,
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
