//! A child as dyno sees it: started through a keeper, asked until it is ready, sampled, stopped.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use dyno_model::child::{ChildSpec, Usage};
use nix::sys::{prctl, signal::Signal};

use crate::{
    cgroup::{Accounting, Group, Groups},
    error::SuperviseError,
    processes,
};

/// How long dyno waits for a keeper to say that everything is gone, beyond the grace, before it helps itself.
const KEEPER_PATIENCE: Duration = Duration::from_secs(10);
/// Pauses between two questions whether a child is ready: short at first, then longer.
const READY_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// What a supervisor needs to know.
#[derive(Clone, Debug)]
pub struct SupervisorOptions {
    /// Program and leading arguments that run [`crate::keeper::main`].
    pub keeper: Vec<OsString>,
    /// Where logs go, one file per child's name.
    pub log_folder: PathBuf,
    /// Whether control groups may be used for accounting.
    pub cgroups: bool,
}

/// Starts children.
#[derive(Debug)]
pub struct Supervisor {
    options: SupervisorOptions,
    groups: Option<Arc<Groups>>,
}

/// A started child with its whole tree. Dropping it kills the tree and waits until it is gone.
pub struct Child {
    name: String,
    pid: u32,
    log: PathBuf,
    log_start: u64,
    control: Option<ChildStdin>,
    keeper: std::process::Child,
    news: Arc<News>,
    group: Option<Mutex<Group>>,
    // After `group`, so that the folder of all groups goes last.
    _groups: Option<Arc<Groups>>,
}

/// How the root of a tree ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody could tell: its keeper was killed.
    Unknown,
}

/// How a whole tree ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Whether something of it had to be killed.
    pub killed: bool,
    /// How its root ended.
    pub exit: Exit,
}

/// The answer to "are you ready?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Not yet, and what it said.
    NotYet(String),
}

#[derive(Default)]
struct News {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    started: Option<Result<u32, String>>,
    exit: Option<Exit>,
    gone: Option<bool>,
    keeper_ended: bool,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
            Self::Unknown => write!(f, "its keeper was killed"),
        }
    }
}

impl Supervisor {
    /// A supervisor; makes the folder of logs.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn new(mut options: SupervisorOptions) -> Result<Self, SuperviseError> {
        // Keepers work in the root folder, so that they hold no other.
        options.log_folder = std::path::absolute(&options.log_folder).unwrap_or(options.log_folder);
        fs::create_dir_all(&options.log_folder)
            .map_err(|source| SuperviseError::Io { path: options.log_folder.clone(), source })?;
        // Orphans of a killed keeper then come to dyno, not to init.
        let _ = prctl::set_child_subreaper(true);
        let groups = if options.cgroups { Groups::find().map(Arc::new) } else { None };
        Ok(Self { options, groups })
    }

    /// How CPU time is counted.
    pub fn accounting(&self) -> Accounting {
        self.groups.as_ref().map_or(Accounting::Tasks, |groups| groups.accounting())
    }

    /// Starts a child.
    ///
    /// # Errors
    /// Its log can't be written, or the program can't be started.
    pub fn start(&self, spec: &ChildSpec) -> Result<Child, SuperviseError> {
        let log = self.options.log_folder.join(format!("{}.log", spec.name));
        let log_start = begin_log(&log, spec)?;
        let group = self.groups.as_ref().and_then(|groups| groups.group(&spec.name));
        let join: Vec<PathBuf> = group.iter().map(Group::join_path).collect();
        let not_started = |reason: String| SuperviseError::NotStarted {
            name: spec.name.clone(),
            reason,
            command: spec.argv.join(" "),
        };
        let (program, arguments) =
            self.options.keeper.split_first().ok_or_else(|| not_started("no keeper is known".to_owned()))?;
        let mut keeper = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()
            .map_err(|error| not_started(format!("the keeper {}: {error}", program.to_string_lossy())))?;
        let mut control = keeper.stdin.take();
        let mut order =
            serde_json::to_vec(&(spec, &log, &join)).map_err(|error| not_started(error.to_string()))?;
        order.push(b'\n');
        let news = Arc::new(News::default());
        if let Some(output) = keeper.stdout.take() {
            let news = Arc::clone(&news);
            thread::spawn(move || news.listen(BufReader::new(output)));
        }
        // An error here shows as the end of the keeper's answers.
        let _ = control.as_mut().map(|control| control.write_all(&order));
        let mut child = Child {
            name: spec.name.clone(),
            pid: 0,
            log,
            log_start,
            control,
            keeper,
            news,
            group: group.map(Mutex::new),
            _groups: self.groups.clone(),
        };
        child.pid = child.news.wait_started().map_err(not_started)?;
        Ok(child)
    }
}

/// Opens a log with a line that says what begins; returns where the child's own words begin.
fn begin_log(log: &Path, spec: &ChildSpec) -> Result<u64, SuperviseError> {
    let write = || -> std::io::Result<u64> {
        let mut file = File::options().create(true).append(true).open(log)?;
        writeln!(file, "--- {}", spec.argv.join(" "))?;
        Ok(file.metadata()?.len())
    };
    write().map_err(|source| SuperviseError::Io { path: log.to_owned(), source })
}

impl News {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, answers: impl BufRead) {
        for line in answers.lines().map_while(Result::ok) {
            let mut state = self.lock();
            match line.split_once(' ') {
                Some(("started", pid)) => state.started = Some(pid.parse().map_err(|_| line.clone())),
                Some(("failed", reason)) => state.started = Some(Err(reason.to_owned())),
                Some(("exit", code)) => state.exit = code.parse().ok().map(Exit::Code),
                Some(("signal", number)) => state.exit = number.parse().ok().map(Exit::Signal),
                Some(("gone", how)) => state.gone = Some(how == "killed"),
                _ => {}
            }
            self.changed.notify_all();
        }
        self.lock().keeper_ended = true;
        self.changed.notify_all();
    }

    fn wait_started(&self) -> Result<u32, String> {
        let mut state = self.lock();
        loop {
            if let Some(started) = state.started.clone() {
                return started;
            }
            if state.keeper_ended {
                return Err("its keeper ended without a word".to_owned());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the keeper has ended, which it does when everything is gone.
    fn wait_end(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while !state.keeper_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Child {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pid of the tree's root.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Its log's file.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines that it wrote since this start.
    pub fn log_tail(&self, lines: usize) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start).unwrap_or(0).min(bytes.len());
        let text = String::from_utf8_lossy(&bytes[start..]);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// How its root ended; `None` while it runs.
    pub fn exit(&self) -> Option<Exit> {
        let state = self.news.lock();
        state.exit.or(if state.keeper_ended { Some(Exit::Unknown) } else { None })
    }

    /// The processes of its tree now.
    pub fn processes(&self) -> Vec<u32> {
        match &self.group {
            Some(group) => group.lock().unwrap_or_else(PoisonError::into_inner).processes(),
            None => processes::descendants(self.keeper.id()),
        }
    }

    /// CPU time of the tree since its start, in nanoseconds. Quick enough to be read within a slice.
    pub fn cpu_ns(&self) -> u64 {
        match &self.group {
            Some(group) => group.lock().unwrap_or_else(PoisonError::into_inner).cpu_ns().unwrap_or(0),
            None => processes::tasks_cpu_ns(&processes::descendants(self.keeper.id())),
        }
    }

    /// What the tree uses now. Takes a few milliseconds: not for within a slice.
    pub fn usage(&self) -> Usage {
        Usage { cpu_ns: self.cpu_ns(), ..processes::usage(&self.processes()) }
    }

    /// Asks until the child says that it is ready, it ends, or the time is over. Returns how long it took.
    ///
    /// # Errors
    /// [`SuperviseError::DiedAtStart`] and [`SuperviseError::NotReady`], both with the log's tail.
    pub fn wait_ready(
        &self,
        probe: &mut dyn FnMut() -> Readiness,
        timeout: Duration,
    ) -> Result<Duration, SuperviseError> {
        let begin = Instant::now();
        let mut pause = READY_PAUSES.0;
        loop {
            if let Some(exit) = self.exit() {
                let (name, log_tail) = (self.name.clone(), self.log_tail(20));
                return Err(SuperviseError::DiedAtStart { name, exit, log_tail });
            }
            let last_answer = match probe() {
                Readiness::Ready => return Ok(begin.elapsed()),
                Readiness::NotYet(answer) => answer,
            };
            let waited = begin.elapsed();
            if waited >= timeout {
                let (name, log_tail) = (self.name.clone(), self.log_tail(20));
                return Err(SuperviseError::NotReady { name, waited, last_answer, log_tail });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(READY_PAUSES.1);
        }
    }

    /// Stops the tree: gently, and after `grace` surely. Returns when nothing of it is left.
    pub fn stop(mut self, grace: Duration) -> Stopped {
        self.end(grace)
    }

    fn end(&mut self, grace: Duration) -> Stopped {
        if let Some(control) = &mut self.control {
            // An error means that the keeper is gone already.
            let _ = writeln!(control, "stop {}", grace.as_millis());
        }
        if !self.news.wait_end(grace + KEEPER_PATIENCE) {
            let _ = self.keeper.kill();
        }
        // Closing the pipe is the keeper's last reason to end.
        self.control = None;
        let _ = self.keeper.wait();
        self.clear_leftovers();
        let state = self.news.lock();
        Stopped { killed: state.gone.unwrap_or(true), exit: state.exit.unwrap_or(Exit::Unknown) }
    }

    /// What is left when the keeper itself was killed: the group's processes, or the process group's.
    fn clear_leftovers(&self) {
        if self.news.lock().gone.is_some() {
            return;
        }
        for _ in 0..1000 {
            let left = match &self.group {
                Some(_) => self.processes(),
                None => processes::in_process_group(self.pid),
            };
            if left.is_empty() {
                return;
            }
            processes::signal_all(&left, Signal::SIGKILL);
            // They came to dyno, the next subreaper, which has to take their status.
            while nix::sys::wait::waitpid(
                nix::unistd::Pid::from_raw(-self.pid.cast_signed()),
                Some(nix::sys::wait::WaitPidFlag::WNOHANG),
            )
            .is_ok_and(|status| status != nix::sys::wait::WaitStatus::StillAlive)
            {}
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.control.is_some() {
            self.end(Duration::ZERO);
        }
    }
}
