//! What a keeper tells about its child, taken by a thread and asked by others.

use std::{
    fmt,
    io::BufRead,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

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

/// What a keeper has told, and whether it still lives.
#[derive(Default)]
pub struct News {
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

impl News {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the keeper's words until there are no more.
    pub fn listen(&self, answers: impl BufRead) {
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
    }

    /// Nothing more will be told, and nothing is left of the tree.
    pub fn ended(&self) {
        self.lock().keeper_ended = true;
        self.changed.notify_all();
    }

    /// Whether the keeper said that nothing is left, or that nothing was started.
    pub fn said_gone(&self) -> bool {
        let state = self.lock();
        state.gone.is_some() || matches!(state.started, Some(Err(_)))
    }

    /// The pid of the tree's root, once it was started.
    pub fn root(&self) -> Option<u32> {
        self.lock().started.clone()?.ok()
    }

    /// How the root ended; `None` while it runs.
    pub fn exit(&self) -> Option<Exit> {
        let state = self.lock();
        state.exit.or(if state.keeper_ended { Some(Exit::Unknown) } else { None })
    }

    /// Whether something had to be killed; a killed keeper's tree was.
    pub fn killed(&self) -> bool {
        self.lock().gone.unwrap_or(true)
    }

    /// Waits for the root's pid, or the reason why there is none.
    pub fn wait_started(&self) -> Result<u32, String> {
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
    pub fn wait_end(&self, patience: Duration) -> bool {
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
