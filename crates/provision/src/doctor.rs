//! What this machine has, what it lacks, and the remedy.

use nix::sys::statvfs::statvfs;

use crate::{Context, ProvisionError, embedded, go, interpreter, nginx, pgbouncer, python, redis};

/// How a part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There.
    Ok,
    /// Not there; `--setup` can fetch it, or a person has to.
    Missing,
    /// There, with a limit that numbers will show.
    Limited,
}

/// One row of `dyno doctor`.
#[derive(Clone, Debug)]
pub struct Row {
    /// The part.
    pub part: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty when there is nothing to do.
    pub remedy: String,
}

fn row<T>(part: &str, result: Result<T, ProvisionError>, words: impl FnOnce(T) -> String) -> Row {
    let (state, found, remedy) = match result {
        Ok(value) => (State::Ok, words(value), String::new()),
        Err(ProvisionError::Missing { what, remedy }) => (State::Missing, format!("no {what}"), remedy),
        Err(error) => (State::Missing, error.to_string(), String::new()),
    };
    Row { part: part.to_owned(), state, found, remedy }
}

/// Looks at every part. Installs nothing.
pub fn examine(context: Context<'_>) -> Vec<Row> {
    let context = Context { setup: false, ..context };
    let pythons = interpreter::interpreters(context).and_then(|all| {
        let names = all.iter().map(|one| format!("{} ({}, {})", one.version, one.origin, one.path.display()));
        let missing = "install one from your system's packages or python.org";
        if all.is_empty() {
            Err(ProvisionError::missing("Python 3.11 or newer", missing))
        } else {
            Ok(names.collect::<Vec<_>>().join(", "))
        }
    });
    vec![
        row("Python", pythons, |names| names),
        row("uv", python::uv(context), |path| path.display().to_string()),
        row("PostgreSQL", embedded::postgres(context), |binaries| binaries.version),
        row("Go", go::go(context), |(path, version)| format!("{version} ({})", path.display())),
        row("nginx", nginx::nginx(context, None), |nginx| {
            let methods = nginx.methods();
            let methods: Vec<&str> = methods.iter().map(|method| method.name()).collect();
            format!("{} ({}; {})", nginx.version, nginx.binary.display(), methods.join(", "))
        }),
        row("Redis, for workers", redis::redis(context), |redis| {
            format!("{} ({})", redis.version, redis.binary.display())
        }),
        row("PgBouncer", pgbouncer::pgbouncer(context), |found| {
            format!("{} ({})", found.version, found.binary.display())
        }),
        cpus(),
        disk(context),
    ]
}

fn cpus() -> Row {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let (state, remedy) = match count {
        1 => (
            State::Limited,
            "server, database and generator share one CPU: trust CPU per request, not throughput",
        ),
        2..4 => (State::Limited, "database and generator share a CPU; four or more give each its own"),
        _ => (State::Ok, ""),
    };
    Row { part: "CPUs".to_owned(), state, found: format!("{count}"), remedy: remedy.to_owned() }
}

fn disk(context: Context<'_>) -> Row {
    let path = context.home.path();
    let free_gib = statvfs(path).map_or(0.0, |stat| {
        stat.blocks_available() as f64 * stat.fragment_size() as f64 / f64::from(1 << 30)
    });
    let (state, remedy) = if free_gib < 2.0 {
        (State::Limited, "free 2 GiB, or set DYNO_HOME to a folder on another disk")
    } else {
        (State::Ok, "")
    };
    let found = format!("{free_gib:.0} GiB free in {}", path.display());
    Row { part: "disk".to_owned(), state, found, remedy: remedy.to_owned() }
}
