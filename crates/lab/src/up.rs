//! Stacks that are up: started, ready, and gone when dropped.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dyno_contract::FirstTask;
use dyno_load::{Engine, EngineOptions, WireKind};
use dyno_model::{
    child::{ChildSpec, Usage},
    event::Event,
    load::{Expect, Request, Target},
};
use dyno_provision::free_port;
use dyno_supervise::{Child, Readiness, SuperviseError};

use crate::{
    bench::Bench,
    commands::Place,
    database::{Access, Database},
    error::LabError,
    prepare::Prepared,
};

/// Time for a stack to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for a stack to end gently.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// A stack whose children run.
pub struct Running<'a> {
    /// What it was made from.
    pub prepared: &'a Prepared,
    /// Where it answers.
    pub address: SocketAddr,
    /// Its commands, by role.
    pub commands: Vec<(&'static str, Vec<String>)>,
    specs: Vec<ChildSpec>,
    // The children before their folder: they are stopped first.
    children: Vec<(&'static str, Child)>,
    folder: TrialFolder,
}

/// Sockets and configurations of one start of a stack, removed on drop.
pub struct TrialFolder(PathBuf);

impl Drop for TrialFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a running stack is made of, for somebody else to keep.
pub struct Parts {
    /// Its children: role, how to start it again, and itself.
    pub children: Vec<(&'static str, ChildSpec, Child)>,
    /// Where it answers.
    pub address: SocketAddr,
    /// Sockets and configurations.
    pub folder: TrialFolder,
}

impl TrialFolder {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// What differs between starts of one stack.
struct Surroundings<'a> {
    database: &'a Access,
    cpus: &'a [usize],
    port: Option<u16>,
    padding: usize,
    with_worker: bool,
    with_status: bool,
}

impl<'a> Running<'a> {
    /// Starts a stack's children, without waiting. On a port that is given, for a person, its front also tells its status.
    pub fn start(
        bench: &Bench<'_>,
        prepared: &'a Prepared,
        database: &Database,
        port: Option<u16>,
        padding: usize,
        with_worker: bool,
    ) -> Result<Self, LabError> {
        let with_status = port.is_some();
        let (database, cpus) = (&database.access, &*bench.cpus.server);
        Self::start_in(
            bench,
            prepared,
            Surroundings { database, cpus, port, padding, with_worker, with_status },
        )
    }

    /// Starts a stack's children for its proof, without waiting: with its worker, and on any CPU, for nothing is timed.
    pub fn start_for_proof(
        bench: &Bench<'_>,
        prepared: &'a Prepared,
        database: &Access,
    ) -> Result<Self, LabError> {
        let (cpus, port, padding) = (&[][..], None, 0);
        let (with_worker, with_status) = (true, false);
        Self::start_in(
            bench,
            prepared,
            Surroundings { database, cpus, port, padding, with_worker, with_status },
        )
    }

    fn start_in(
        bench: &Bench<'_>,
        prepared: &'a Prepared,
        surroundings: Surroundings<'_>,
    ) -> Result<Self, LabError> {
        let Surroundings { database, cpus, port, padding, with_worker, with_status } = surroundings;
        let system = |what: &str| {
            let what = what.to_owned();
            |source| LabError::System { what, source }
        };
        let port = port.map_or_else(free_port, Ok).map_err(system("a free loopback port"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let folder = TrialFolder(bench.folder.join(port.to_string()));
        let path = folder.path();
        fs::create_dir_all(path).map_err(system(&path.display().to_string()))?;
        let place = Place { address, folder: path, database, cpus, with_worker, with_status, padding };
        let commands = prepared.commands(bench, &place)?;
        let (specs, children) = (Vec::new(), Vec::new());
        let mut running = Self { prepared, address, commands: Vec::new(), specs, children, folder };
        for (role, spec) in commands.children {
            bench.tell(Event::Command { argv: spec.argv.clone() });
            running.commands.push((role, spec.argv.clone()));
            running.children.push((role, bench.supervisor.start(&spec)?));
            running.specs.push(spec);
        }
        Ok(running)
    }

    /// Waits until it answers its heartbeat, and its worker, if it has one, is done with a first task; returns how long
    /// that took from now on.
    pub fn wait_ready(&self, stop: &AtomicBool) -> Result<Duration, SuperviseError> {
        let options = EngineOptions {
            connect_timeout: Duration::from_millis(1),
            request_timeout: Duration::from_secs(3),
            // One question on one connection: a ring costs more than it saves.
            wire: WireKind::Epoll,
            ..EngineOptions::default()
        };
        let address = self.address;
        let mut probe = || {
            if stop.load(Ordering::Relaxed) {
                // Nobody needs it any more; whoever called looks at the stop next.
                return Readiness::Ready;
            }
            let answer = Engine::connect(Target::Tcp(address), 1, options.clone())
                .and_then(|mut engine| engine.ask(&heartbeat()));
            match answer {
                Ok(answer) if answer.status == 200 => Readiness::Ready,
                Ok(answer) => {
                    let body = String::from_utf8_lossy(&answer.body).chars().take(200).collect::<String>();
                    Readiness::NotYet(format!("heartbeat answers {}: {body}", answer.status))
                }
                Err(error) => Readiness::NotYet(error.to_string()),
            }
        };
        // The front is up before its server: the server's death is seen through its own child.
        let mut took =
            self.child("server").map_or(Ok(Duration::ZERO), |it| it.wait_ready(&mut probe, PATIENCE))?;
        if let Some(worker) = self.child("worker") {
            let mut first = FirstTask::new(address);
            let mut probe = || match first.is_done() {
                _ if stop.load(Ordering::Relaxed) => Readiness::Ready,
                Ok(false) => Readiness::NotYet("its first task isn't done".to_owned()),
                // A wrong answer is for the contract's cases to tell, not a matter of time.
                Ok(true) | Err(_) => Readiness::Ready,
            };
            took += worker.wait_ready(&mut probe, PATIENCE)?;
        }
        Ok(took)
    }

    fn child(&self, wanted: &str) -> Option<&Child> {
        self.children.iter().find(|(role, _)| *role == wanted).map(|(_, child)| child)
    }

    /// Where its server tells statistics.
    pub fn stats_socket(&self) -> Option<PathBuf> {
        let server = &self.prepared.stack.server.server;
        server.stats.map(|_| self.folder.path().join("stats.sock"))
    }

    /// CPU time so far of each role, in nanoseconds.
    pub fn cpu_ns(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.children.iter().map(|(role, child)| (*role, child.cpu_ns()))
    }

    /// What all its children use now.
    pub fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for usage in self.children.iter().map(|(_, child)| child.usage()) {
            sum.cpu_ns += usage.cpu_ns;
            sum.memory_bytes += usage.memory_bytes;
            sum.processes += usage.processes;
            sum.threads += usage.threads;
            sum.voluntary_switches += usage.voluntary_switches;
            sum.involuntary_switches += usage.involuntary_switches;
            sum.wait_ns = usage.wait_ns.map(|wait_ns| sum.wait_ns.unwrap_or(0) + wait_ns).or(sum.wait_ns);
        }
        sum
    }

    /// Which child has ended, and how, in words; `None` while all run.
    pub fn ended(&self) -> Option<String> {
        self.children.iter().find_map(|(role, child)| Some(format!("the {role} ended: {}", child.exit()?)))
    }

    /// The last lines of the children's logs.
    pub fn log_tail(&self) -> String {
        self.last_lines(60)
    }

    /// All that the children have logged.
    pub fn log(&self) -> String {
        self.last_lines(usize::MAX)
    }

    fn last_lines(&self, lines: usize) -> String {
        self.children
            .iter()
            .map(|(_, child)| child.log_tail(lines))
            .filter(|tail| !tail.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Gives its children away.
    pub fn into_parts(self) -> Parts {
        let children = self.children.into_iter().zip(self.specs);
        let children = children.map(|((role, child), spec)| (role, spec, child)).collect();
        Parts { children, address: self.address, folder: self.folder }
    }

    /// Stops it: front first, so that nobody is refused on the way, and the worker last, for a server may have sent it a
    /// task on its way out.
    pub fn stop(mut self) {
        while let Some((_, child)) = self.children.pop() {
            child.stop(GRACE);
        }
    }

    /// Ends it after a measurement: at once, for nothing is in flight and nobody waits for an answer. Some servers take two seconds to
    /// go gently, in every block. A worker may still hold a task, which a broker would keep for the next one, so it goes gently.
    pub fn end(mut self) {
        while let Some((role, child)) = self.children.pop() {
            child.stop(if role == "worker" { GRACE } else { Duration::ZERO });
        }
    }
}

/// The question whether a stack answers.
pub(crate) fn heartbeat() -> Request {
    Request {
        method: "GET".to_owned(),
        target: "/heartbeat".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        expect: Expect::status(200),
    }
}
