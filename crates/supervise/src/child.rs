//! A child as dyno sees it: started through a keeper, asked until it is ready, sampled, stopped.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use dyno_model::child::{ChildSpec, Usage};
use nix::sys::prctl;

use crate::{
    cgroup::{Accounting, Group, Groups},
    error::SuperviseError,
    machine::allowed_cpus,
    news::{Exit, News},
    processes, rescue,
};

/// How long dyno waits for a keeper to say that everything is gone, beyond the grace, before it helps itself.
const KEEPER_PATIENCE: Duration = Duration::from_secs(10);
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
    cpus: Vec<usize>,
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
    group: Option<Arc<Group>>,
    cpu_seen_ns: AtomicU64,
    // After `group`, so that the folder of all groups goes last.
    _groups: Option<Arc<Groups>>,
}

/// How a whole tree ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Whether something of it had to be killed.
    pub killed: bool,
    /// How its root ended.
    pub exit: Exit,
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
        Ok(Self { options, groups, cpus: allowed_cpus() })
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
        let not_started = |reason: String| SuperviseError::NotStarted {
            name: spec.name.clone(),
            reason,
            command: spec.argv.join(" "),
        };
        // The name becomes a file's and a group's.
        if spec.name.is_empty() || spec.name.starts_with('.') || spec.name.contains(['/', '\0']) {
            return Err(not_started("its name can't be a file's".to_owned()));
        }
        let mut order = spec.clone();
        if order.cpus.is_empty() {
            // The calling thread may be pinned, as the load engine's is, and a child inherits that.
            order.cpus.clone_from(&self.cpus);
        }
        let log = self.options.log_folder.join(format!("{}.log", spec.name));
        let log_start = begin_log(&log, spec)?;
        let group = self.groups.as_ref().and_then(|groups| groups.group(&spec.name)).map(Arc::new);
        let join: Vec<PathBuf> = group.iter().map(|group| group.join_path()).collect();
        let (program, arguments) =
            self.options.keeper.split_first().ok_or_else(|| not_started("no keeper is known".to_owned()))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .current_dir("/");
        let mut keeper = rescue::spawn_keeper(&mut command)
            .map_err(|error| not_started(format!("the keeper {}: {error}", program.to_string_lossy())))?;
        let mut control = keeper.stdin.take();
        let mut order =
            serde_json::to_vec(&(&order, &log, &join)).map_err(|error| not_started(error.to_string()))?;
        order.push(b'\n');
        let news = Arc::new(News::default());
        if let Some(output) = keeper.stdout.take() {
            let news = Arc::clone(&news);
            let (keeper, group) = (keeper.id(), group.clone());
            thread::spawn(move || {
                news.listen(BufReader::new(output));
                if !news.said_gone() {
                    rescue::end_leftovers(keeper, news.root(), group.as_deref());
                }
                news.ended();
            });
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
            group,
            cpu_seen_ns: AtomicU64::new(0),
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
        self.news.exit()
    }

    /// The processes of its tree now.
    pub fn processes(&self) -> Vec<u32> {
        match &self.group {
            Some(group) => group.processes(),
            None => processes::descendants(self.keeper.id()),
        }
    }

    /// CPU time of the tree since its start, in nanoseconds. Quick enough to be read within a slice.
    pub fn cpu_ns(&self) -> u64 {
        let now = match &self.group {
            Some(group) => group.cpu_ns().unwrap_or(0),
            None => processes::tree_cpu_ns(self.keeper.id()),
        };
        // Between two readings of /proc a process may go, and a figure that grows must not shrink.
        now.max(self.cpu_seen_ns.fetch_max(now, Ordering::Relaxed))
    }

    /// What the tree uses now. Takes a few milliseconds: not for within a slice.
    pub fn usage(&self) -> Usage {
        Usage { cpu_ns: self.cpu_ns(), ..processes::usage(&self.processes()) }
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
        // If it was killed, what it left is ended before its answers are said to be over.
        self.news.wait_end(KEEPER_PATIENCE);
        let _ = self.keeper.wait();
        rescue::forget(self.keeper.id());
        Stopped { killed: self.news.killed(), exit: self.news.exit().unwrap_or(Exit::Unknown) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.control.is_some() {
            self.end(Duration::ZERO);
        }
    }
}
