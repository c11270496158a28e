//! What the supervisor does with children of known behaviour.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use dyno_model::child::{ChildSpec, StopSignal};
use dyno_supervise::{Child, Exit, Readiness, SuperviseError, Supervisor, SupervisorOptions, machine};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const LONG: Duration = Duration::from_secs(20);

struct Bench {
    folder: tempfile::TempDir,
    marker: String,
    cgroups: bool,
}

impl Bench {
    fn new(name: &str, cgroups: bool) -> Self {
        let marker = format!("{name}-{cgroups}-{}", std::process::id());
        Self { folder: tempfile::tempdir().unwrap(), marker, cgroups }
    }

    fn supervisor(&self) -> Supervisor {
        Supervisor::new(SupervisorOptions {
            keeper: vec![env!("CARGO_BIN_EXE_dyno-keeper").into()],
            log_folder: self.folder.path().to_owned(),
            cgroups: self.cgroups,
        })
        .unwrap()
    }

    fn spec(&self, arguments: &[&str]) -> ChildSpec {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/children/child.py");
        let mut argv = vec![python(), script.to_str().unwrap().to_owned()];
        argv.extend(arguments.iter().map(|&argument| argument.to_owned()));
        ChildSpec {
            name: self.marker.clone(),
            argv,
            environment: BTreeMap::from([("DYNO_TEST".to_owned(), self.marker.clone())]),
            working_folder: "/".into(),
            cpus: Vec::new(),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.supervisor().start(&self.spec(arguments)).unwrap()
    }

    fn start_ready(&self, arguments: &[&str]) -> Child {
        let child = self.start(arguments);
        child.wait_ready(&mut says_ready(&child), LONG).unwrap();
        child
    }

    /// The living processes that carry this test's marker, wherever they hide.
    fn alive(&self) -> Vec<u32> {
        let marker = format!("DYNO_TEST={}", self.marker);
        let pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == marker.as_bytes())
        })
        .collect()
    }
}

/// An absolute path, for children inherit no PATH; pyenv's shims need a whole environment.
fn python() -> String {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn says_ready(child: &Child) -> impl FnMut() -> Readiness {
    let log: PathBuf = child.log_path().to_owned();
    move || match fs::read_to_string(&log) {
        Ok(text) if text.contains("ready") => Readiness::Ready,
        _ => Readiness::NotYet("nothing said".to_owned()),
    }
}

fn both(test: impl Fn(bool)) {
    test(true);
    test(false);
}

#[test]
fn a_gentle_child_ends_gently() {
    both(|cgroups| {
        let bench = Bench::new("gentle", cgroups);
        let child = bench.start_ready(&["workers"]);
        assert_eq!(bench.alive().len(), 4);
        assert_eq!(child.processes().len(), 4);
        let stopped = child.stop(LONG);
        assert_eq!((stopped.killed, stopped.exit), (false, Exit::Signal(15)));
        assert_eq!(bench.alive(), Vec::<u32>::new());
    });
}

#[test]
fn a_stubborn_child_is_killed_after_the_grace() {
    both(|cgroups| {
        let bench = Bench::new("stubborn", cgroups);
        let child = bench.start_ready(&["ignore"]);
        let stopped = child.stop(Duration::from_millis(50));
        assert_eq!((stopped.killed, stopped.exit), (true, Exit::Signal(9)));
        assert_eq!(bench.alive(), Vec::<u32>::new());
    });
}

#[test]
fn what_leaves_its_group_and_parent_is_found() {
    both(|cgroups| {
        let bench = Bench::new("daemon", cgroups);
        let child = bench.start_ready(&["daemon"]);
        assert_eq!(bench.alive().len(), 2);
        assert!(child.stop(Duration::from_millis(100)).killed, "the daemon ignores SIGTERM");
        assert_eq!(bench.alive(), Vec::<u32>::new());
    });
}

#[test]
fn what_stays_behind_when_the_root_ends_is_stopped() {
    let bench = Bench::new("behind", true);
    let child = bench.start(&["fork_and_exit"]);
    let error = child.wait_ready(&mut || Readiness::NotYet(String::new()), LONG).unwrap_err();
    assert!(matches!(error, SuperviseError::DiedAtStart { exit: Exit::Code(0), .. }), "{error}");
    child.stop(LONG);
    assert_eq!(bench.alive(), Vec::<u32>::new());
}

#[test]
fn a_child_that_dies_at_its_start_says_why() {
    let bench = Bench::new("dies", true);
    let child = bench.start(&["die"]);
    let error =
        child.wait_ready(&mut || Readiness::NotYet("refused".to_owned()), LONG).unwrap_err().to_string();
    assert!(error.contains("exit code 3") && error.contains("no such module: answers"), "{error}");
}

#[test]
fn a_child_that_is_never_ready_says_what_it_answered() {
    let bench = Bench::new("never", true);
    let child = bench.start(&["sleep"]);
    let mut probe = || Readiness::NotYet("connection refused".to_owned());
    let error = child.wait_ready(&mut probe, Duration::from_millis(50)).unwrap_err().to_string();
    assert!(error.contains("isn't ready after") && error.contains("connection refused"), "{error}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let bench = Bench::new("absent", true);
    let mut spec = bench.spec(&["sleep"]);
    spec.argv[0] = "/no/such/program".to_owned();
    let error = bench.supervisor().start(&spec).err().unwrap().to_string();
    assert!(error.contains("/no/such/program"), "{error}");
}

#[test]
fn dropping_kills() {
    both(|cgroups| {
        let bench = Bench::new("drop", cgroups);
        drop(bench.start_ready(&["workers"]));
        assert_eq!(bench.alive(), Vec::<u32>::new());
    });
}

#[test]
fn nothing_is_left_when_the_keeper_is_killed() {
    both(|cgroups| {
        let bench = Bench::new("keeper", cgroups);
        let child = bench.start_ready(&["workers"]);
        let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
        let keeper = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
        kill(Pid::from_raw(keeper.parse().unwrap()), Signal::SIGKILL).unwrap();
        let stopped = child.stop(LONG);
        assert_eq!((stopped.killed, stopped.exit), (true, Exit::Unknown));
        assert_eq!(bench.alive(), Vec::<u32>::new());
    });
}

#[test]
fn a_killed_keeper_is_noticed_without_being_asked() {
    both(|cgroups| {
        let bench = Bench::new("noticed", cgroups);
        // The daemon left its session: without a cgroup only dyno, the next subreaper, can find it.
        let child = bench.start_ready(&["daemon"]);
        let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
        let keeper = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
        kill(Pid::from_raw(keeper.parse().unwrap()), Signal::SIGKILL).unwrap();
        wait_until(|| bench.alive().is_empty());
        // Said when the last round has found nothing more.
        wait_until(|| child.exit() == Some(Exit::Unknown));
    });
}

#[test]
fn a_process_without_its_first_thread_is_killed_too() {
    both(|cgroups| {
        let bench = Bench::new("headless", cgroups);
        let child = bench.start_ready(&["headless"]);
        let pid = child.pid();
        let begin = Instant::now();
        assert!(child.stop(Duration::ZERO).killed);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    });
}

#[test]
fn the_same_name_begins_at_zero_again() {
    both(|cgroups| {
        let bench = Bench::new("again", cgroups);
        let supervisor = bench.supervisor();
        let first = supervisor.start(&bench.spec(&["burn", "0.5"])).unwrap();
        first.wait_ready(&mut says_ready(&first), LONG).unwrap();
        // At the same time under the same name, as two states of one stack are.
        let second = supervisor.start(&bench.spec(&["sleep"])).unwrap();
        assert!(second.cpu_ns() < 400_000_000, "{} ns counted before it began", second.cpu_ns());
        assert_eq!(second.processes(), vec![second.pid()]);
    });
}

#[test]
fn no_group_is_left_behind() {
    let marks = |pid: u32| {
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/cpuacct"]
            .map(|base| Path::new(base).join(format!("dyno-{pid}")))
            .into_iter()
            .filter(|path| path.exists())
            .collect::<Vec<_>>()
    };
    let bench = Bench::new("marks", true);
    let mut player = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "play_a_dyno_that_ends"])
        .env("DYNO_TEST_VICTIM", &bench.marker)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    assert!(player.wait().unwrap().success());
    assert_eq!(marks(player.id()), Vec::<PathBuf>::new());
}

#[test]
fn time_of_ended_processes_and_threads_is_counted() {
    both(|cgroups| {
        let bench = Bench::new("ended", cgroups);
        let child = bench.start_ready(&["burn_by_workers", "0.3"]);
        let seconds = child.cpu_ns() as f64 / 1e9;
        assert!((0.56..1.2).contains(&seconds), "{seconds} s instead of 0.6 s and what starting takes");
    });
}

#[test]
fn no_cpus_means_all_of_dynos_even_from_a_pinned_thread() {
    let bench = Bench::new("pinned", true);
    let supervisor = bench.supervisor();
    let all = machine::allowed_cpus();
    let spec = bench.spec(&["affinity"]);
    let child = std::thread::scope(|scope| {
        let start = || {
            machine::pin_this_thread(&all[..1]);
            supervisor.start(&spec).unwrap()
        };
        scope.spawn(start).join().unwrap()
    });
    child.wait_ready(&mut says_ready(&child), LONG).unwrap();
    assert!(child.log_tail(2).contains(&format!("{all:?}")), "{}", child.log_tail(2));
}

#[test]
fn an_answer_that_says_broken_ends_the_waiting() {
    let bench = Bench::new("broken", true);
    let child = bench.start(&["sleep"]);
    let error = child.wait_ready(&mut || Readiness::Broken("wrong app".to_owned()), LONG).unwrap_err();
    assert!(matches!(error, SuperviseError::NotReady { .. }) && error.to_string().contains("wrong app"));
}

#[test]
fn a_name_that_leaves_the_folder_of_logs_is_refused() {
    let bench = Bench::new("name", true);
    let spec = ChildSpec { name: "../escaped".to_owned(), ..bench.spec(&["sleep"]) };
    let error = bench.supervisor().start(&spec).err().unwrap().to_string();
    assert!(error.contains("../escaped"), "{error}");
}

/// Plays the dyno that ends as it should.
#[test]
#[ignore = "not a test of its own: another starts it as a process"]
fn play_a_dyno_that_ends() {
    let marker = std::env::var("DYNO_TEST_VICTIM").unwrap();
    let bench = Bench { folder: tempfile::tempdir().unwrap(), marker, cgroups: true };
    bench.start_ready(&["workers"]).stop(LONG);
}

/// Plays the dyno that is killed.
#[test]
#[ignore = "not a test of its own: the next one starts it as the process that it kills"]
fn play_a_dyno_that_is_killed() {
    let marker = std::env::var("DYNO_TEST_VICTIM").unwrap();
    let cgroups = std::env::var_os("DYNO_TEST_NO_CGROUPS").is_none();
    let bench = Bench { folder: tempfile::tempdir().unwrap(), marker, cgroups };
    let _child = bench.start_ready(&["daemon"]);
    std::thread::sleep(LONG);
}

#[test]
fn nothing_is_left_when_dyno_is_killed() {
    both(|cgroups| {
        let bench = Bench::new("victim", cgroups);
        let mut command = Command::new(std::env::current_exe().unwrap());
        if !cgroups {
            command.env("DYNO_TEST_NO_CGROUPS", "1");
        }
        let mut victim = command
            .args(["--ignored", "--exact", "play_a_dyno_that_is_killed"])
            .env("DYNO_TEST_VICTIM", &bench.marker)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait_until(|| bench.alive().len() == 2);
        victim.kill().unwrap();
        victim.wait().unwrap();
        wait_until(|| bench.alive().is_empty());
    });
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < LONG, "it didn't happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn cpu_time_is_what_the_child_burned() {
    both(|cgroups| {
        let bench = Bench::new("burn", cgroups);
        let child = bench.start_ready(&["burn", "0.4"]);
        let seconds = child.cpu_ns() as f64 / 1e9;
        assert!((0.38..0.8).contains(&seconds), "{seconds} s instead of 0.4 s and what starting takes");
        let usage = child.usage();
        assert!(usage.memory_bytes > 1 << 20 && usage.processes == 1 && usage.threads >= 1, "{usage:?}");
    });
}

#[test]
fn a_child_stays_on_its_cpus() {
    let bench = Bench::new("affinity", true);
    let cpu = *machine::allowed_cpus().last().unwrap();
    let mut spec = bench.spec(&["affinity"]);
    spec.cpus = vec![cpu];
    let child = bench.supervisor().start(&spec).unwrap();
    child.wait_ready(&mut says_ready(&child), LONG).unwrap();
    assert!(child.log_tail(2).contains(&format!("[{cpu}]")), "{}", child.log_tail(2));
}
