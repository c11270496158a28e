//! What stays the same over a whole order: plan, cache, CPUs, and who listens.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use dyno_model::{
    event::{Event, Listener, Step},
    plan::Plan,
    record::CpuSets,
};
use dyno_plan::Catalogue;
use dyno_provision::{BrokerChoice, Context, Home, ProvisionError};
use dyno_supervise::{Supervisor, SupervisorOptions, machine};

use crate::{broker::Broker, error::LabError};

/// What the laboratory is asked to work with.
pub struct Order<'a> {
    /// The catalogue of stacks.
    pub catalogue: &'a Catalogue,
    /// The plan, as resolved.
    pub plan: &'a Plan,
    /// The cache.
    pub home: &'a Home,
    /// Whether missing parts may be installed.
    pub setup: bool,
    /// Whether choices that the catalogue calls impossible are tried all the same.
    pub try_impossible: bool,
    /// A database of the user's own; `None` starts the embedded one.
    pub database: Option<&'a str>,
    /// The broker by the user's choice; `None` starts Redis when a stack has a worker.
    pub broker: Option<&'a BrokerChoice>,
    /// The command that is a keeper.
    pub keeper: Vec<OsString>,
    /// The folder `contract/`.
    pub contract: &'a Path,
    /// Who is told of what happens.
    pub listener: &'a Listener<'a>,
    /// Ends the work gently when true.
    pub stop: &'a AtomicBool,
    /// The command that repeats this.
    pub command: Vec<String>,
}

/// An order with what it needs at hand.
pub struct Bench<'a> {
    pub(crate) order: Order<'a>,
    // Before the supervisor, which stops what runs: the broker is stopped in its own way.
    broker: OnceLock<Broker>,
    /// Whoever starts the broker: one at a time.
    broker_starter: Mutex<()>,
    /// Whether the order failed, so that nobody needs the parts that are being made.
    given_up: AtomicBool,
    pub(crate) supervisor: Supervisor,
    pub(crate) cpus: CpuSets,
    /// For sockets and configurations; gone with the bench.
    pub(crate) folder: PathBuf,
}

/// Longest path of a unix socket is 107 bytes; a folder under this length leaves room for the name.
const LONGEST_FOLDER: usize = 57;
/// A bench's part of its process's folder, which outlives it.
const PART: &str = "up";

impl<'a> Bench<'a> {
    /// Sets up; logs go to `logs`.
    ///
    /// # Errors
    /// A folder can't be made.
    pub fn new(order: Order<'a>, logs: &Path) -> Result<Self, LabError> {
        let folder = own_folder(order.home).join(PART);
        fs::create_dir_all(&folder)
            .map_err(|source| ProvisionError::Io { path: folder.display().to_string(), source })?;
        let supervisor = Supervisor::new(SupervisorOptions {
            keeper: order.keeper.clone(),
            log_folder: logs.to_owned(),
            cgroups: true,
        })?;
        let cpus = machine::split_cpus(&machine::allowed_cpus());
        let (broker, broker_starter, given_up) = Default::default();
        Ok(Self { order, broker, broker_starter, given_up, supervisor, cpus, folder })
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.order.listener)(event);
    }

    pub(crate) fn step(&self, step: Step, detail: impl Into<String>) {
        self.tell(Event::Step { step, detail: detail.into() });
    }

    pub(crate) fn stopped(&self) -> bool {
        self.order.stop.load(Ordering::Relaxed)
    }

    /// Fails when the user asked to stop.
    pub(crate) fn go_on(&self) -> Result<(), LabError> {
        if self.stopped() { Err(LabError::Stopped) } else { Ok(()) }
    }

    /// The broker, started for the first stack that has a worker.
    pub(crate) fn broker(&self) -> Result<&Broker, LabError> {
        let _one_at_a_time = self.broker_starter.lock().unwrap_or_else(PoisonError::into_inner);
        match self.broker.get() {
            Some(broker) => Ok(broker),
            None => {
                let started = Broker::start(self)?;
                Ok(self.broker.get_or_init(|| started))
            }
        }
    }

    /// The broker, if a stack has needed it.
    pub(crate) fn started_broker(&self) -> Option<&Broker> {
        self.broker.get()
    }

    /// The order failed: outside commands of its preparation are ended.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Runs provisioning work with this order's cache, permission, echo and stop.
    pub(crate) fn provision<T>(&self, work: impl FnOnce(Context<'_>) -> T) -> T {
        let echo = |argv: &[String]| self.tell(Event::Command { argv: argv.to_vec() });
        let stop = || self.stopped() || self.given_up.load(Ordering::Relaxed);
        work(Context { home: self.order.home, setup: self.order.setup, echo: &echo, stop: &stop })
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        // What else is in the process's folder isn't the bench's.
        let _ = self.folder.parent().map(fs::remove_dir);
    }
}

/// The folder of this process, for what nobody needs after it; it may not be there yet. Folders of dynos that live no longer are
/// removed.
pub fn own_folder(home: &Home) -> PathBuf {
    let mut base = home.path().join("run");
    if base.as_os_str().len() > LONGEST_FOLDER {
        base = std::env::temp_dir().join("dyno-run");
    }
    remove_stale(&base);
    base.join(std::process::id().to_string())
}

/// Folders of dynos that live no longer.
fn remove_stale(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
