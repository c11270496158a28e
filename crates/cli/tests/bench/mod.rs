//! The program under test with a cache and run folders of its own. One test at a time: dynos that share a
//! machine would disturb each other, and a cache admits one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub struct Bench {
    pub folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Kept between test runs: what was fetched is fetched once. PostgreSQL runs as another user when this is
/// root, so that the path must be one that others can enter, else dyno uses a user namespace.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")
}

pub fn repository() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

impl Bench {
    pub fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Self { folder: tempfile::tempdir().unwrap(), _turn: turn }
    }

    pub fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dyno"));
        command
            .args(["--setup", "--runs"])
            .arg(self.runs())
            .args(arguments)
            .env("DYNO_HOME", home())
            .env("DYNO_ROOT", repository())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub fn dyno(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A plan file in this bench's folder.
    pub fn plan(&self, text: &str) -> String {
        let path = self.folder.path().join("mine.toml");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// The only run's folder.
    pub fn run_folder(&self) -> Option<PathBuf> {
        fs::read_dir(self.runs()).ok()?.flatten().map(|entry| entry.path()).next()
    }

    pub fn blocks(&self) -> usize {
        let Some(folder) = self.run_folder() else { return 0 };
        fs::read_dir(folder.join("blocks")).map_or(0, |entries| {
            entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "json")).count()
        })
    }
}

/// Processes whose command line or environment names the tests' cache: dyno's children, wherever they hide.
pub fn left_over() -> Vec<String> {
    let home = home().display().to_string();
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let read = |name: &str| {
            String::from_utf8_lossy(&fs::read(entry.path().join(name)).unwrap_or_default()).replace('\0', " ")
        };
        let (line, environment) = (read("cmdline"), read("environ"));
        if line.contains(&home) || environment.contains(&format!("={home}/")) {
            found.push(format!("{pid} {line}"));
        }
    }
    found
}

pub fn wait_until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < patience, "{what}: it didn't happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
