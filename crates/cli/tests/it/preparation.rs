//! How a preparation ends: several parts are on their way at once, and none of them stays.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::bench::{Bench, text, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// A cache of its own for a dyno that fetches with an apt-get and a uv that never end; they note their pids.
struct Endless {
    bench: Bench,
    programs: PathBuf,
}

impl Endless {
    fn new() -> Self {
        let bench = Bench::real();
        let programs = bench.folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let script = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho $$ >> \"$0.pids\"\nexec sleep 1000\n";
        for name in ["apt-get", "uv"] {
            let path = programs.join(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { bench, programs }
    }

    fn home(&self) -> PathBuf {
        self.bench.folder.path().join("home")
    }

    fn start(&self) -> Child {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.programs.clone()).chain(env::split_paths(&path));
        self.bench
            .command(&["check", "flask/gunicorn", "tornado/tornado", "--quiet"])
            .env("DYNO_HOME", self.home())
            .env("PATH", env::join_paths(folders).unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn pids(&self, name: &str) -> Vec<u32> {
        let noted = fs::read_to_string(self.programs.join(format!("{name}.pids"))).unwrap_or_default();
        noted.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn are_gone(&self) -> bool {
        let lives = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
        !["apt-get", "uv"].into_iter().flat_map(|name| self.pids(name)).any(lives)
    }

    /// Two stacks' environments and the database's, at the same time, for none of them ever ends. The broker's too, where the machine
    /// has none.
    fn wait_for_three(&self) {
        wait_until("three at once", LONG, || self.pids("uv").len() == 3);
    }
}

#[test]
fn ctrl_c_ends_all_that_is_being_fetched() {
    let endless = Endless::new();
    let child = endless.start();
    endless.wait_for_three();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(endless.are_gone());
    assert_eq!(endless.pids("uv").len(), 3, "nothing else was begun");
}

#[test]
fn what_a_killed_dyno_was_fetching_ends_with_it() {
    let endless = Endless::new();
    let mut child = endless.start();
    endless.wait_for_three();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("nothing is left", LONG, || endless.are_gone());
}

#[test]
fn a_cache_that_cannot_be_written_ends_the_whole_run_and_what_is_on_its_way() {
    let endless = Endless::new();
    fs::create_dir(endless.home()).unwrap();
    fs::write(endless.home().join("environments"), "a file where a folder should be").unwrap();
    let output = endless.start().wait_with_output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("home/environments: "), "{told}");
    assert!(endless.are_gone(), "what never ends was ended");
}
