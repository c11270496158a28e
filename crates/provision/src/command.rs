//! Outside commands: told, run, and their words kept for when they fail.

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use dyno_model::child::RunAs;
use nix::{
    sys::{
        prctl,
        signal::{Signal, killpg},
    },
    unistd::Pid,
};

use crate::{Context, error::ProvisionError};

/// How often a command that runs is told from one that nobody needs any more.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one that nobody needs has for tidying up.
const GRACE: Duration = Duration::from_secs(2);

/// An outside command being put together.
pub struct Outside<'a> {
    context: Context<'a>,
    argv: Vec<String>,
    command: Command,
}

impl<'a> Outside<'a> {
    pub fn new(context: Context<'a>, program: impl AsRef<Path>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that all that it starts ends with it.
        command.process_group(0);
        let set = || prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from);
        // SAFETY: one system call between fork and exec: no allocation, no lock. The thread that starts the command waits for
        // it, so the signal comes when dyno is killed, and never before.
        unsafe { command.pre_exec(set) };
        Self { context, argv: vec![program.as_ref().display().to_string()], command }
    }

    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        for argument in arguments {
            let argument = argument.into();
            self.command.arg(&argument);
            self.argv.push(argument);
        }
        self
    }

    pub fn path(self, path: &Path) -> Self {
        self.args([path.display().to_string()])
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn run_as(mut self, run_as: Option<RunAs>) -> Self {
        if let Some(run_as) = run_as {
            self.command.uid(run_as.uid).gid(run_as.gid);
        }
        self
    }

    /// Tells the command, runs it and gives its standard output.
    pub fn run(self) -> Result<String, ProvisionError> {
        (self.context.echo)(&self.argv);
        self.run_quietly()
    }

    /// Runs it untold: for questions such as `--version` only.
    pub fn run_quietly(mut self) -> Result<String, ProvisionError> {
        let line = self.argv.join(" ");
        let failed =
            |status: String, tail: String| ProvisionError::Command { command: line.clone(), status, tail };
        let output = output(&mut self.command, self.context.stop)
            .map_err(|error| failed(error.to_string(), String::new()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        Err(failed(output.status.to_string(), shortened(&lines)))
    }
}

/// Runs it until its end, or until `stop`: then it and all that it started is asked to end, and killed after [`GRACE`].
fn output(command: &mut Command, stop: &(dyn Fn() -> bool + Sync)) -> io::Result<Output> {
    let child = command.spawn()?;
    let group = Pid::from_raw(child.id().cast_signed());
    thread::scope(|scope| {
        let (done, over) = channel::<()>();
        scope.spawn(move || {
            let mut asked: Option<Instant> = None;
            while over.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                match asked {
                    // An error means that it has just ended.
                    None if stop() => {
                        let _ = killpg(group, Signal::SIGINT);
                        asked = Some(Instant::now());
                    }
                    Some(at) if at.elapsed() >= GRACE => {
                        let _ = killpg(group, Signal::SIGKILL);
                    }
                    _ => {}
                }
            }
        });
        let output = child.wait_with_output();
        drop(done);
        output
    })
}

/// The first lines, where resolvers say what they couldn't do, and the last, where compilers do.
fn shortened(lines: &[&str]) -> String {
    const FIRST: usize = 5;
    const LAST: usize = 15;
    if lines.len() <= FIRST + LAST {
        return lines.join("\n");
    }
    [&lines[..FIRST], &["…"], &lines[lines.len() - LAST..]].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::Home;

    #[test]
    fn what_nobody_needs_any_more_ends_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().to_owned()).unwrap();
        let stop = AtomicBool::new(false);
        let started = folder.path().join("started");
        let stopped = || stop.load(Ordering::Relaxed);
        let context = Context { home: &home, setup: true, echo: &|_| {}, stop: &stopped };
        // Its pipes stay open while the other sleep lives, so that waiting for it is waiting for both.
        let script = format!("sleep 1000 & echo > {}; sleep 1000", started.display());
        let ended = thread::scope(|scope| {
            let run = scope.spawn(|| Outside::new(context, "sh").args(["-c".to_owned(), script]).run());
            while !started.is_file() {
                thread::sleep(Duration::from_millis(5));
            }
            stop.store(true, Ordering::Relaxed);
            run.join().unwrap()
        });
        assert!(matches!(ended, Err(ProvisionError::Command { .. })), "{ended:?}");
    }

    #[test]
    fn the_first_and_the_last_lines_of_a_long_failure_are_kept() {
        let lines: Vec<String> = (1..=30).map(|number| number.to_string()).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(shortened(&lines[..20]).lines().count(), 20);
        let text = shortened(&lines);
        assert!(text.starts_with("1\n2\n3\n4\n5\n…\n16\n") && text.ends_with("\n30"), "{text}");
    }
}
