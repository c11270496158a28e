//! Stacks that are up: started, ready, and gone when dropped.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use dyno_contract::FirstTask;
use dyno_load::{Engine, EngineOptions, WireKind};
use dyno_model::{
    child::Usage,
    event::Event,
    load::{Expect, Request, Target},
};
use dyno_provision::free_port;
use dyno_supervise::{Child, Readiness, SuperviseError};

use crate::{
    bench::Bench,
    commands::Place,
    database::Database,
    error::LabError,
    prepare::{Prepared, prepare_all},
};

/// Time for a stack to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for a stack to end gently.
const GRACE: Duration = Duration::from_secs(5);

/// A stack whose children run.
pub struct Running<'a> {
    /// What it was made from.
    pub prepared: &'a Prepared,
    /// Where it answers.
    pub address: SocketAddr,
    /// Its commands, by role.
    pub commands: Vec<(&'static str, Vec<String>)>,
    children: Vec<(&'static str, Child)>,
    folder: PathBuf,
}

impl<'a> Running<'a> {
    /// Starts a stack's children, without waiting.
    pub fn start(
        bench: &Bench<'_>,
        prepared: &'a Prepared,
        database: &Database,
        port: Option<u16>,
        padding: usize,
        with_worker: bool,
    ) -> Result<Self, LabError> {
        let system = |what: &str| {
            let what = what.to_owned();
            |source| LabError::System { what, source }
        };
        let port = port.map_or_else(free_port, Ok).map_err(system("a free loopback port"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let folder = bench.folder.join(port.to_string());
        fs::create_dir_all(&folder).map_err(system(&folder.display().to_string()))?;
        let place = Place { address, folder: &folder, database, with_worker, padding };
        let commands = prepared.commands(bench, &place)?;
        let mut running =
            Self { prepared, address, commands: Vec::new(), children: Vec::new(), folder: folder.clone() };
        for (role, spec) in commands.children {
            bench.tell(Event::Command { argv: spec.argv.clone() });
            running.commands.push((role, spec.argv.clone()));
            running.children.push((role, bench.supervisor.start(&spec)?));
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
        server.stats.map(|_| self.folder.join("stats.sock"))
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

    /// Stops it: front first, so that nobody is refused on the way, and the worker last, for a server may have sent it a
    /// task on its way out.
    pub fn stop(mut self) {
        while let Some((_, child)) = self.children.pop() {
            child.stop(GRACE);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.children.clear();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn heartbeat() -> Request {
    Request {
        method: "GET".to_owned(),
        target: "/heartbeat".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        expect: Expect::status(200),
    }
}

/// Brings stacks up on the catalogue's ports, for a person to look around, until the stop.
///
/// # Errors
/// A part is missing, a port is taken, or a stack doesn't get ready.
pub fn up(bench: &Bench<'_>) -> Result<(), LabError> {
    let (prepared, not_run) = prepare_all(bench)?;
    if let Some(first) = not_run.first() {
        return Err(LabError::NothingToMeasure(format!("{}: {}", first.stack, first.reason)));
    }
    let database = Database::start(bench, prepared.len())?;
    let mut running = Vec::new();
    for one in &prepared {
        let port = one.stack.server.server.port_base + one.stack.app.app.port_offset;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let taken = |source| LabError::System {
            what: format!("{} wants {address} and can't have it", one.name()),
            source,
        };
        drop(std::net::TcpListener::bind(address).map_err(taken)?);
        let stack = Running::start(bench, one, &database, Some(port), 0, true)?;
        stack.wait_ready(bench.order.stop)?;
        bench.tell(Event::Note(format!("{} answers on http://{address}", one.name())));
        running.push(stack);
    }
    bench.tell(Event::Note("Ctrl-C stops them".to_owned()));
    while !bench.stopped() {
        if let Some(what) =
            running.iter().find_map(|stack| Some(format!("{}: {}", stack.prepared.name(), stack.ended()?)))
        {
            return Err(LabError::NothingToMeasure(what));
        }
        thread::sleep(Duration::from_millis(100));
    }
    running.into_iter().for_each(Running::stop);
    Ok(())
}
