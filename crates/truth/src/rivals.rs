//! Other load generators: which are installed, how each is run in an open loop, and what it reports. They are run
//! by their own documented options and never scraped for more than they print.

use std::{
    env, fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use crate::table::{Figures, Model, Reported};

mod parse;

pub use parse::parse;

/// A folder of rivals that is searched before PATH.
pub const FOLDER: &str = "DYNO_RIVALS";
/// How long wrk2 only calibrates: what it sends meanwhile is in none of its figures.
const WRK2_CALIBRATION_S: u64 = 10;
/// How much longer than its load a rival may take.
const GRACE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A load generator in one of its modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// Closed loop only.
    Wrk,
    /// A constant rate on each connection; latency from the intended start.
    Wrk2,
    /// `-q`, and nothing else.
    Oha,
    /// `-q` with `--latency-correction`.
    OhaCorrected,
    /// `-q` on each worker.
    Hey,
    /// Executor `constant-arrival-rate`.
    K6,
}

/// What a rival is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Where to.
    pub url: String,
    /// Requests per second, over all connections.
    pub rate_per_s: f64,
    /// For how long, in seconds.
    pub seconds: u64,
    /// Connections, workers or virtual users.
    pub connections: u32,
}

/// Why a rival reports nothing.
#[derive(Debug, thiserror::Error)]
pub enum RivalError {
    /// The system.
    #[error("{0}")]
    System(#[from] io::Error),
    /// It ended with an error.
    #[error("it ended with {status}: {words}")]
    Ended {
        /// Exit status.
        status: std::process::ExitStatus,
        /// Last line of what it says.
        words: String,
    },
    /// It doesn't end.
    #[error("it was still running {0} s after its load, and was killed")]
    Hangs(u64),
    /// Its output has another form than the one known.
    #[error("its output has no {0}")]
    Output(&'static str),
}

impl Rival {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Wrk, Self::Wrk2, Self::Oha, Self::OhaCorrected, Self::Hey, Self::K6];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::Wrk2 => "wrk2",
            Self::Oha => "oha",
            Self::OhaCorrected => "oha corrected",
            Self::Hey => "hey",
            Self::K6 => "k6",
        }
    }

    /// Its program's name.
    pub const fn program(self) -> &'static str {
        match self {
            Self::OhaCorrected => "oha",
            other => other.name(),
        }
    }

    /// How it makes load.
    pub const fn model(self) -> Model {
        match self {
            Self::Wrk => Model::Closed,
            _ => Model::Open,
        }
    }

    /// The arguments of a run; `folder` is for files that it needs or writes.
    pub fn arguments(self, order: &Order, folder: &Path) -> Vec<String> {
        let Order { url, rate_per_s, seconds, connections } = order;
        let text = match self {
            Self::Wrk => format!("-t1 -c{connections} -d{seconds}s --latency {url}"),
            Self::Wrk2 => {
                let seconds = seconds + WRK2_CALIBRATION_S;
                format!("-t1 -c{connections} -d{seconds}s -R{rate_per_s} --latency {url}")
            }
            Self::Oha | Self::OhaCorrected => {
                let correction = if self == Self::OhaCorrected { " --latency-correction" } else { "" };
                format!(
                    "--no-tui --output-format json -z {seconds}s -q {rate_per_s} -c {connections}{correction} {url}"
                )
            }
            Self::Hey => {
                let each = rate_per_s / f64::from(*connections);
                format!("-z {seconds}s -q {each} -c {connections} {url}")
            }
            Self::K6 => {
                let (script, summary) = (folder.join("truth.js"), folder.join("summary.json"));
                format!(
                    "run --quiet --no-usage-report --summary-export {} {}",
                    summary.display(),
                    script.display()
                )
            }
        };
        text.split(' ').map(str::to_owned).collect()
    }
}

/// k6 is told what to do by a script.
fn k6_script(order: &Order) -> String {
    let Order { url, rate_per_s, seconds, connections } = order;
    // Its rate is a whole number in a time unit.
    let rate = (rate_per_s * 60.0).round();
    format!(
        "import http from 'k6/http';
export const options = {{
  scenarios: {{ truth: {{
    executor: 'constant-arrival-rate', rate: {rate}, timeUnit: '1m', duration: '{seconds}s',
    preAllocatedVUs: {connections}, maxVUs: {connections},
  }} }},
  summaryTrendStats: ['avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'count'],
  discardResponseBodies: true,
}};
export default function () {{ http.get('{url}'); }}
"
    )
}

/// A rival that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Which.
    pub rival: Rival,
    /// Its program.
    pub path: PathBuf,
}

/// The rivals in the folder that `DYNO_RIVALS` names and on PATH.
pub fn find() -> Vec<Installed> {
    let folders: Vec<PathBuf> = env::var_os(FOLDER)
        .into_iter()
        .map(PathBuf::from)
        .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default()))
        .collect();
    find_in(&folders)
}

/// The rivals in these folders, the first of each name.
pub fn find_in(folders: &[PathBuf]) -> Vec<Installed> {
    let program = |rival: Rival| {
        folders.iter().map(|folder| folder.join(rival.program())).find(|path| is_program(path))
    };
    Rival::ALL.into_iter().filter_map(|rival| Some(Installed { rival, path: program(rival)? })).collect()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

impl Installed {
    /// Its version, as it says in one line; the program's path where it doesn't (hey).
    pub fn version(&self) -> String {
        let argument = match self.rival {
            Rival::Wrk | Rival::Wrk2 => "-v",
            Rival::Oha | Rival::OhaCorrected => "--version",
            Rival::K6 => "version",
            Rival::Hey => return "hey, which doesn't tell its version".to_owned(),
        };
        let output = Command::new(&self.path).arg(argument).stdin(Stdio::null()).output();
        let first = output.ok().and_then(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = text.lines().next()?;
            Some(line.split(" Copyright").next()?.trim().to_owned())
        });
        first.filter(|line| !line.is_empty()).unwrap_or_else(|| self.path.display().to_string())
    }

    /// The command as it is run and shown.
    pub fn command(&self, order: &Order, folder: &Path) -> Vec<String> {
        let mut words = vec![self.path.display().to_string()];
        words.extend(self.rival.arguments(order, folder));
        words
    }

    /// Runs it. `echo` is told the command before.
    ///
    /// # Errors
    /// It can't be started, ends with an error, hangs, or prints something else than it is known to.
    pub fn run(&self, order: &Order, echo: &dyn Fn(&str)) -> Result<Reported, RivalError> {
        let folder = tempfile::tempdir()?;
        if self.rival == Rival::K6 {
            fs::write(folder.path().join("truth.js"), k6_script(order))?;
        }
        let words = self.command(order, folder.path());
        echo(&words.join(" "));
        let (output, errors) = (folder.path().join("output"), folder.path().join("errors"));
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(&output)?)
            .stderr(fs::File::create(&errors)?);
        // SAFETY: one system call, which allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
        }
        let mut child = command.spawn()?;
        let until = Instant::now() + Duration::from_secs(order.seconds + WRK2_CALIBRATION_S) + GRACE;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() >= until {
                child.kill()?;
                child.wait()?;
                return Err(RivalError::Hangs(GRACE.as_secs()));
            }
            thread::sleep(POLL);
        };
        if !status.success() {
            let words = fs::read_to_string(&errors)? + &fs::read_to_string(&output)?;
            let words = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
            return Err(RivalError::Ended { status, words });
        }
        let told = if self.rival == Rival::K6 { folder.path().join("summary.json") } else { output };
        parse(self.rival, &fs::read_to_string(told)?)
    }
}

/// No figure at all.
pub(crate) const NONE: Figures<Option<crate::table::Figure>> =
    Figures { p50: None, p90: None, p95: None, p99: None, p99_9: None, mean: None };

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order { url: "http://127.0.0.1:1/".to_owned(), rate_per_s: 200.0, seconds: 30, connections: 10 }
    }

    #[test]
    fn each_is_told_the_same_rate_in_its_own_words() {
        let text = |rival: Rival| rival.arguments(&order(), Path::new("/f")).join(" ");
        assert_eq!(text(Rival::Wrk2), "-t1 -c10 -d40s -R200 --latency http://127.0.0.1:1/");
        assert!(text(Rival::Hey).contains("-q 20 -c 10"), "{}", text(Rival::Hey));
        assert!(text(Rival::OhaCorrected).contains("-q 200 -c 10 --latency-correction"));
        assert!(!text(Rival::Oha).contains("correction"));
        let script = k6_script(&order());
        assert!(script.contains("rate: 12000, timeUnit: '1m', duration: '30s'"), "{script}");
    }

    #[test]
    fn only_programs_are_found() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("oha", 0o755), ("hey", 0o644)] {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let found = find_in(&[folder.path().to_owned()]);
        let rivals: Vec<Rival> = found.iter().map(|one| one.rival).collect();
        assert_eq!(rivals, [Rival::Oha, Rival::OhaCorrected]);
    }

    #[test]
    fn one_that_fails_says_why_and_is_shown_before_it_runs() {
        use std::{cell::RefCell, os::unix::fs::PermissionsExt};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hey");
        fs::write(&path, "#!/bin/sh\necho no such host >&2\nexit 3\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let echoed = RefCell::new(String::new());
        let hey = Installed { rival: Rival::Hey, path };
        let error = hey.run(&order(), &|command| echoed.replace(command.to_owned()).clear()).unwrap_err();
        assert!(error.to_string().contains("no such host"), "{error}");
        assert!(echoed.borrow().contains("hey -z 30s"), "{echoed:?}");
    }
}
