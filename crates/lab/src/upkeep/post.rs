//! One process that is kept up: its phases, its pauses after crashes, its samples.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use dyno_load::{Engine, EngineOptions, WireKind};
use dyno_model::{
    StackName,
    child::ChildSpec,
    load::Target,
    up::{Action, NginxState, Phase, ProcessState, UwsgiState},
};
use dyno_supervise::{Child, Stopped, Supervisor};

use crate::{
    server_stats::UwsgiStats,
    stub_status,
    up::{GRACE, heartbeat},
};

/// Pauses before a crashed process is started again: the first, doubled after each crash up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// A process that was up so long begins with the first pause again.
const STEADY: Duration = Duration::from_secs(60);

/// One process that is kept up.
pub struct Post {
    state: ProcessState,
    spec: ChildSpec,
    child: Option<Child>,
    started: Instant,
    ending: Option<JoinHandle<Stopped>>,
    /// When it is to be started.
    due: Option<Instant>,
    pause: Duration,
    /// Where it answers once it is ready; `None` for what is ready as soon as it runs.
    asked_at: Option<SocketAddr>,
    /// Sockets that a killed process leaves, and that some programs refuse to bind again.
    sockets: Vec<PathBuf>,
    stats: Option<PathBuf>,
    status: Option<PathBuf>,
    /// How often this start of nginx was asked for its status.
    asked: u64,
    cpu_before: Option<(u64, Instant)>,
    uwsgi_before: Option<(UwsgiStats, Instant)>,
}

impl Post {
    /// Something that all stacks share: the database, its pooler.
    pub fn shared(role: &str, spec: ChildSpec, child: Child) -> Self {
        let state = ProcessState {
            name: spec.name.clone(),
            stack: None,
            role: role.to_owned(),
            phase: Phase::Running,
            pid: Some(child.pid()),
            up_s: None,
            cpu_cores: 0.0,
            memory_bytes: 0,
            processes: 0,
            restarts: 0,
            last_exit: None,
            again_s: None,
            url: None,
            uwsgi: None,
            nginx: None,
            log: child.log_path().to_owned(),
        };
        Self {
            state,
            spec,
            child: Some(child),
            started: Instant::now(),
            ending: None,
            due: None,
            pause: FIRST_PAUSE,
            asked_at: None,
            sockets: Vec::new(),
            stats: None,
            status: None,
            asked: 0,
            cpu_before: None,
            uwsgi_before: None,
        }
    }

    /// A process of a stack, with the stack's address, its folder, and where its server tells statistics.
    pub fn of_stack(
        stack: &StackName,
        role: &str,
        spec: ChildSpec,
        child: Child,
        (address, folder, stats): (SocketAddr, &Path, Option<&Path>),
    ) -> Self {
        let mut post = Self::shared(role, spec, child);
        post.state.stack = Some(stack.clone());
        let faces_people = role == if stack.front.is_some() { "front" } else { "server" };
        if faces_people {
            post.state.url = Some(format!("http://{address}/"));
        }
        match role {
            "server" => {
                post.asked_at = Some(address);
                post.stats = stats.map(Path::to_owned);
                post.sockets = ["server.sock", "stats.sock"].map(|name| folder.join(name)).to_vec();
            }
            "front" => {
                post.status = Some(folder.join("status.sock"));
                post.sockets.extend(post.status.clone());
            }
            _ => {}
        }
        post
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Its state as of now.
    pub fn state(&self) -> ProcessState {
        let mut state = self.state.clone();
        state.up_s = self.child.as_ref().map(|_| self.started.elapsed().as_secs_f64());
        state.again_s = self.due.map(|due| due.saturating_duration_since(Instant::now()).as_secs_f64());
        state
    }

    /// Begins what a person asks for.
    pub fn act(&mut self, action: Action) -> Result<(), String> {
        match (action, self.state.phase) {
            (Action::Start, Phase::Starting | Phase::Running) => {
                return Err(format!("{} runs already", self.state.name));
            }
            (Action::Stop, Phase::Stopped) => return Err(format!("{} is stopped already", self.state.name)),
            (Action::Stop, Phase::Starting | Phase::Running) => self.begin_end(Phase::Stopping),
            (Action::Stop, Phase::Stopping) => self.due = None,
            (Action::Stop, Phase::BackingOff) => {
                self.due = None;
                self.state.phase = if self.ending.is_some() { Phase::Stopping } else { Phase::Stopped };
            }
            (Action::Restart, Phase::Starting | Phase::Running) => {
                self.begin_end(Phase::Stopping);
                self.due = Some(Instant::now());
            }
            (Action::Start | Action::Restart, Phase::Stopping | Phase::Stopped | Phase::BackingOff) => {
                self.pause = FIRST_PAUSE;
                self.due = Some(Instant::now());
                // It isn't dyno that starts it again.
                self.state.phase = if self.ending.is_some() { Phase::Stopping } else { Phase::Stopped };
            }
        }
        Ok(())
    }

    /// Sees what has happened since the last time, and does what is due; returns what a person should know.
    pub fn tick(&mut self, supervisor: &Supervisor) -> Option<String> {
        if self.ending.as_ref().is_some_and(JoinHandle::is_finished) {
            let ended = self.ending.take().and_then(|thread| thread.join().ok());
            if self.state.phase == Phase::Stopping {
                self.state.last_exit = ended.map(|ended| ended.exit.to_string());
                self.state.phase = Phase::Stopped;
            }
        }
        if let Some(exit) = self.child.as_ref().and_then(Child::exit) {
            let up = self.started.elapsed();
            self.begin_end(Phase::BackingOff);
            self.state.last_exit = Some(exit.to_string());
            return Some(self.back_off(up, &exit.to_string()));
        }
        if self.ending.is_none() && self.due.is_some_and(|due| due <= Instant::now()) {
            return self.start(supervisor);
        }
        if self.state.phase == Phase::Starting && self.asked_at.is_none_or(answers) {
            self.state.phase = Phase::Running;
        }
        None
    }

    fn start(&mut self, supervisor: &Supervisor) -> Option<String> {
        self.due = None;
        for socket in &self.sockets {
            let _ = fs::remove_file(socket);
        }
        if self.state.phase == Phase::BackingOff {
            self.state.restarts += 1;
        }
        match supervisor.start(&self.spec) {
            Ok(child) => {
                self.state.pid = Some(child.pid());
                self.state.phase = Phase::Starting;
                self.child = Some(child);
                self.started = Instant::now();
                None
            }
            Err(error) => {
                self.state.phase = Phase::BackingOff;
                self.state.last_exit = Some(error.to_string());
                Some(self.back_off(Duration::ZERO, &error.to_string()))
            }
        }
    }

    fn back_off(&mut self, up: Duration, why: &str) -> String {
        let pause;
        (pause, self.pause) = pauses(self.pause, up);
        self.due = Some(Instant::now() + pause);
        format!("{} crashed ({why}); it is started again in {} s", self.state.name, pause.as_secs())
    }

    fn begin_end(&mut self, phase: Phase) {
        self.state.phase = phase;
        self.state.pid = None;
        (self.state.cpu_cores, self.state.memory_bytes, self.state.processes) = (0.0, 0, 0);
        (self.cpu_before, self.uwsgi_before, self.asked) = (None, None, 0);
        (self.state.uwsgi, self.state.nginx) = (None, None);
        // Up to the grace and more: others go on meanwhile.
        self.ending = self.child.take().map(|child| thread::spawn(move || child.stop(GRACE)));
    }

    /// Whether it runs and its memory isn't known yet.
    pub fn lacks_memory(&self) -> bool {
        self.child.is_some() && self.state.memory_bytes == 0
    }

    /// Takes its memory. Costs some milliseconds.
    pub fn read_memory(&mut self) {
        if let Some(child) = &self.child {
            let usage = child.usage();
            (self.state.memory_bytes, self.state.processes) = (usage.memory_bytes, usage.processes);
        }
    }

    /// Takes the other figures.
    pub fn sample(&mut self) {
        let Some(child) = &self.child else { return };
        let (cpu_ns, now) = (child.cpu_ns(), Instant::now());
        if let Some((before_ns, then)) = self.cpu_before {
            let window_ns = now.duration_since(then).as_nanos().max(1) as f64;
            self.state.cpu_cores = cpu_ns.saturating_sub(before_ns) as f64 / window_ns;
        }
        self.cpu_before = Some((cpu_ns, now));
        self.state.nginx = self.status.as_deref().and_then(stub_status::read).map(|state| {
            self.asked += 1;
            without_own(state, self.asked)
        });
        let stats = self.stats.as_deref().and_then(UwsgiStats::read);
        self.state.uwsgi = stats.as_ref().map(|stats| {
            let between = self
                .uwsgi_before
                .as_ref()
                .map(|(before, then)| stats.since(before, now.duration_since(*then).as_nanos() as u64));
            let (busy, queue) = between.map_or((0.0, 0), |between| (between.busy, between.queue));
            UwsgiState { workers: stats.workers(), busy, queue, requests: stats.requests() }
        });
        self.uwsgi_before = stats.map(|stats| (stats, now));
    }

    /// Shows that it is stopped as soon as those before it are gone.
    pub fn goes_down(&mut self) {
        (self.state.phase, self.due) = (Phase::Stopping, None);
    }

    /// Stops it, and returns when nothing of it is left.
    pub fn end(mut self) {
        if let Some(child) = self.child.take() {
            child.stop(GRACE);
        }
        if let Some(thread) = self.ending.take() {
            let _ = thread.join();
        }
    }
}

/// The pause after a crash, and the one after the next, from the one that was to be now and how long it was up.
fn pauses(next: Duration, up: Duration) -> (Duration, Duration) {
    let pause = if up >= STEADY { FIRST_PAUSE } else { next };
    (pause, (pause * 2).min(LAST_PAUSE))
}

/// What nginx tells, without dyno's own questions: a front that nobody uses shows zeros.
fn without_own(told: NginxState, asked: u64) -> NginxState {
    NginxState {
        active: told.active.saturating_sub(1),
        accepted: told.accepted.saturating_sub(asked),
        requests: told.requests.saturating_sub(asked),
        busy: told.busy.saturating_sub(1),
        waiting: told.waiting,
    }
}

/// Whether a stack answers its heartbeat, asked shortly so that the others aren't kept waiting.
fn answers(address: SocketAddr) -> bool {
    let options = EngineOptions {
        connect_timeout: Duration::from_millis(10),
        request_timeout: Duration::from_millis(200),
        wire: WireKind::Epoll,
        ..EngineOptions::default()
    };
    let answer =
        Engine::connect(Target::Tcp(address), 1, options).and_then(|mut engine| engine.ask(&heartbeat()));
    answer.is_ok_and(|answer| answer.status == 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynos_own_questions_arent_traffic() {
        let told = NginxState { active: 1, accepted: 7, requests: 7, busy: 1, waiting: 0 };
        assert_eq!(without_own(told, 7), NginxState::default());
        let told = NginxState { active: 5, accepted: 12, requests: 90, busy: 2, waiting: 3 };
        let without = NginxState { active: 4, accepted: 5, requests: 83, busy: 1, waiting: 3 };
        assert_eq!(without_own(told, 7), without);
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_again_after_a_steady_minute() {
        let mut next = FIRST_PAUSE;
        let mut seen = Vec::new();
        for up_s in [0, 1, 59, 0, 0, 0, 0, 0, 60, 0] {
            let pause;
            (pause, next) = pauses(next, Duration::from_secs(up_s));
            seen.push(pause.as_secs());
        }
        assert_eq!(seen, [1, 2, 4, 8, 16, 32, 60, 60, 1, 2]);
    }
}
