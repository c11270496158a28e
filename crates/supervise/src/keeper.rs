//! The keeper: the process between dyno and one child.
//!
//! It is a *subreaper*: whatever the child forks, daemonises or moves to a session of its own comes back to
//! the keeper when its parent dies, so the keeper always finds all of it. Its standard input is a pipe
//! whose other end only dyno holds: when dyno dies, however it dies, the pipe ends, and the keeper kills
//! everything. Refused: process groups alone (a child may leave them), `PR_SET_PDEATHSIG` alone (it reaches
//! one generation; it is set as a second net for the keeper's own death), PID namespaces (they need rights
//! and change the pids that `/about` tells).
//!
//! Protocol, one line each. From dyno: the [`Order`] as JSON, then perhaps `stop MILLISECONDS`. To dyno: `started PID` or
//! `failed WHY`; `exit CODE` or `signal NUMBER` of the child; `gone gentle` or `gone killed`, when no process is left.

use std::{
    fs::File,
    io::{BufRead, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use dyno_model::child::{ChildSpec, RunAs, StopSignal};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CpuSet, sched_setaffinity},
    sys::{
        prctl,
        signal::{SigHandler, SigSet, Signal, signal},
        signalfd::{SfdFlags, SignalFd},
        stat::{Mode, umask},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Gid, Pid, Uid, getpid, getppid, setgid, setgroups, setpgid, setsid, setuid},
};

use crate::{
    cgroup::kill_members,
    processes::{descendants, signal_all},
};

/// What is left after the root of the tree has ended gets this long to end gently.
const REST_GRACE: Duration = Duration::from_millis(500);
/// Pause between two rounds of SIGKILL.
const KILL_PAUSE: Duration = Duration::from_millis(5);

/// What a keeper is told first: the child, its log, and the files to join its control group.
pub type Order = (ChildSpec, PathBuf, Vec<PathBuf>);

/// Runs a keeper on standard input and output until no process of its child is left.
pub fn main() -> ExitCode {
    match keep() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tell(&format!("failed {}", reason.replace('\n', " ")));
            ExitCode::FAILURE
        }
    }
}

enum Phase {
    Running,
    Stopping { until: Instant },
    Killing,
}

fn keep() -> Result<(), String> {
    let text = |error: Errno| error.desc().to_owned();
    // A session of its own: the terminal's Ctrl-C reaches dyno, which decides.
    let _ = setsid();
    prctl::set_child_subreaper(true).map_err(text)?;
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: ignoring a signal installs no code.
        unsafe { signal(number, SigHandler::SigIgn) }.map_err(text)?;
    }
    let mut child_signals = SigSet::empty();
    child_signals.add(Signal::SIGCHLD);
    child_signals.thread_block().map_err(text)?;
    let signals =
        SignalFd::with_flags(&child_signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(text)?;

    let mut input = Input::new();
    let line = input.wait_line().ok_or("dyno ended before it said what to start")?;
    let order: Order = serde_json::from_str(&line).map_err(|error| error.to_string())?;
    let root = start(&order)?;
    tell(&format!("started {root}"));
    watch(root, &order, &signals, &mut input);
    Ok(())
}

/// Starts the child; everything between fork and exec is a plain system call on prepared data.
fn start((spec, log, join): &Order) -> Result<u32, String> {
    let open = |path: &PathBuf, append: bool| {
        File::options()
            .create(append)
            .append(append)
            .write(true)
            .open(path)
            .map_err(|e| format!("{}: {e}", path.display()))
    };
    let log = open(log, true)?;
    let mut join = join.iter().map(|path| open(path, false)).collect::<Result<Vec<_>, _>>()?;
    let mut cpus = CpuSet::new();
    for &cpu in &spec.cpus {
        cpus.set(cpu).map_err(|error| format!("CPU {cpu}: {error}"))?;
    }
    let (pinned, run_as) = (!spec.cpus.is_empty(), spec.run_as.filter(|run_as| !is_own(*run_as)));
    if let Some(run_as) = run_as.filter(|_| !Uid::effective().is_root()) {
        return Err(format!("only root can run it as user {} and group {}", run_as.uid, run_as.gid));
    }
    if !spec.working_folder.is_dir() {
        return Err(format!("its working folder {} isn't there", spec.working_folder.display()));
    }
    let keeper = getpid();
    let (program, arguments) = spec.argv.split_first().ok_or("an empty command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(&spec.environment)
        .current_dir(&spec.working_folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log);
    // SAFETY: only system calls on data made before the fork: no allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            for file in &mut join {
                file.write_all(b"0")?;
            }
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            umask(Mode::from_bits_truncate(0o022));
            if pinned {
                sched_setaffinity(Pid::from_raw(0), &cpus)?;
            }
            if let Some(run_as) = run_as {
                setgroups(&[])?;
                setgid(Gid::from_raw(run_as.gid))?;
                setuid(Uid::from_raw(run_as.uid))?;
            }
            // The keeper ignores these, and what is ignored stays so over exec.
            for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
                signal(number, SigHandler::SigDfl)?;
            }
            SigSet::empty().thread_set_mask()?;
            // After setuid, which clears it.
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // Killed before that line, the keeper would never be missed.
            if getppid() != keeper { Err(Errno::ESRCH.into()) } else { Ok(()) }
        });
    }
    let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    Ok(child.id())
}

/// An ordinary user may ask for what it is already.
fn is_own(run_as: RunAs) -> bool {
    run_as.uid == Uid::effective().as_raw() && run_as.gid == Gid::effective().as_raw()
}

/// The keeper's loop: ends when no descendant is left.
fn watch(root: u32, (spec, _, join): &Order, signals: &SignalFd, input: &mut Input) {
    let own = std::process::id();
    let mut phase = Phase::Running;
    let mut killed = false;
    let mut root_ended = false;
    loop {
        match reap(root) {
            Reaped::AllGone => break,
            Reaped::Root if matches!(phase, Phase::Killing) => root_ended = true,
            Reaped::Root => {
                root_ended = true;
                signal_all(&descendants(own), Signal::SIGTERM);
                phase = Phase::Stopping { until: Instant::now() + REST_GRACE };
            }
            Reaped::Nothing => {}
        }
        let pause = match phase {
            Phase::Running => None,
            Phase::Stopping { until } => Some(until.saturating_duration_since(Instant::now())),
            Phase::Killing => Some(KILL_PAUSE),
        };
        let event = wait(signals, input, pause);
        phase = match (event, phase) {
            (Event::DynoDied, _) => Phase::Killing,
            (Event::Stop { .. }, Phase::Killing) => Phase::Killing,
            (Event::Stop { grace }, _) if grace.is_zero() => Phase::Killing,
            // Its number may be another's by now, and what it left is on its way out.
            (Event::Stop { .. }, phase) if root_ended => phase,
            (Event::Stop { grace }, _) => {
                signal_all(&[root], number(spec.stop_signal));
                Phase::Stopping { until: Instant::now() + grace }
            }
            (_, Phase::Stopping { until }) if Instant::now() >= until => Phase::Killing,
            (_, phase) => phase,
        };
        if matches!(phase, Phase::Killing) {
            let left = descendants(own);
            killed |= !left.is_empty();
            for group in join.iter().filter_map(|file| file.parent()) {
                kill_members(group);
            }
            signal_all(&left, Signal::SIGKILL);
        }
    }
    tell(if killed { "gone killed" } else { "gone gentle" });
}

const fn number(stop: StopSignal) -> Signal {
    match stop {
        StopSignal::Terminate => Signal::SIGTERM,
        StopSignal::Interrupt => Signal::SIGINT,
        StopSignal::Quit => Signal::SIGQUIT,
    }
}

enum Reaped {
    Nothing,
    Root,
    AllGone,
}

/// Takes the exit status of everything that has ended.
fn reap(root: u32) -> Reaped {
    let mut result = Reaped::Nothing;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::EINTR) => {}
            Err(_) => return Reaped::AllGone,
            Ok(WaitStatus::StillAlive) => return result,
            Ok(WaitStatus::Exited(pid, code)) if pid.as_raw().cast_unsigned() == root => {
                tell(&format!("exit {code}"));
                result = Reaped::Root;
            }
            Ok(WaitStatus::Signaled(pid, by, _)) if pid.as_raw().cast_unsigned() == root => {
                tell(&format!("signal {}", by as i32));
                result = Reaped::Root;
            }
            Ok(_) => {}
        }
    }
}

enum Event {
    DynoDied,
    Stop { grace: Duration },
    Other,
}

/// Waits until a child ended, dyno spoke, dyno died, or the time is over.
fn wait(signals: &SignalFd, input: &mut Input, pause: Option<Duration>) -> Event {
    let stdin = std::io::stdin();
    let watched = if input.ended { PollFlags::empty() } else { PollFlags::POLLIN };
    let mut files = [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(stdin.as_fd(), watched)];
    let files = if input.ended { &mut files[..1] } else { &mut files[..] };
    let timeout = pause.map_or(PollTimeout::NONE, |pause| {
        // One more millisecond, so that the deadline is past when poll returns.
        PollTimeout::try_from(pause.as_millis() + 1).unwrap_or(PollTimeout::MAX)
    });
    let _ = poll(files, timeout);
    let spoke = files.get(1).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());
    while let Ok(Some(_)) = signals.read_signal() {}
    if !spoke {
        return Event::Other;
    }
    let Some(line) = input.wait_line() else { return Event::DynoDied };
    let grace_ms = line.strip_prefix("stop ").and_then(|text| text.trim().parse().ok());
    grace_ms.map_or(Event::Other, |grace_ms| Event::Stop { grace: Duration::from_millis(grace_ms) })
}

/// Dyno's words, line by line. Dyno writes each line at once and waits between, so a blocking read of a
/// line that has begun doesn't hang.
struct Input {
    ended: bool,
}

impl Input {
    const fn new() -> Self {
        Self { ended: false }
    }

    fn wait_line(&mut self) -> Option<String> {
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(length) if length > 0 => Some(line),
            _ => {
                self.ended = true;
                None
            }
        }
    }
}

/// Tells dyno; when dyno is dead nobody listens, which doesn't matter.
fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
