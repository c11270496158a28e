//! The program under test with a cache, a project and run folders of its own.
//!
//! Parts are fetched once, into the *warm* cache, and every other cache has links to them: dynos with caches of their own run
//! beside each other. What measures time has the machine alone.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

/// Held alone by tests that measure time, together by all others.
static MACHINE: RwLock<()> = RwLock::new(());
/// Held by who needs the ports that the catalogue gives to stacks.
static PORTS: Mutex<()> = Mutex::new(());

/// Folders of a cache that hold parts: what is in them is made once, and only read afterwards.
const PARTS: [&str; 6] = ["environments", "uv", "go", "builds", "rust", "interpreters"];
/// Folders that the project of the plain stack shares with the real one.
const SHARED: [&str; 3] = ["contract", "stacks/python/core", "stacks/python/burn"];
/// The stack that needs the standard library alone.
pub const PLAIN: &str = "plain/stdlib";

#[expect(dead_code, reason = "held, not read")]
enum Turn {
    Beside(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

pub struct Bench {
    pub folder: tempfile::TempDir,
    home: tempfile::TempDir,
    root: PathBuf,
    _turn: Turn,
}

pub fn repository() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// The cache with all parts, kept between test runs. PostgreSQL runs as another user when this is root, so that the
/// path must be one that others can enter, else dyno uses a user namespace.
pub fn warm_home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")
}

/// A dyno with the warm cache, which admits one at a time.
fn warm(root: &Path, arguments: &[&str]) -> Output {
    let _machine = beside();
    let folder = tempfile::tempdir().unwrap();
    let mut command = dyno(&warm_home(), root, &folder.path().join("runs"));
    let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
    println!("{}", text(&output.stderr));
    output
}

fn dyno(home: &Path, root: &Path, runs: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dyno"));
    command.args(["--setup", "--runs"]).arg(runs).env("DYNO_HOME", home).env("DYNO_ROOT", root);
    command.stdin(Stdio::null());
    command
}

/// What `dyno check --format json` says of the plain stack; from then on uv, PostgreSQL and the stack's environment are in
/// the warm cache.
pub fn plain_parts() -> &'static Output {
    static CHECKED: OnceLock<Output> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        warm(&plain_project(folder.path()), &["check", PLAIN, "--format", "json"])
    })
}

/// What `dyno check --format json` says of the default plan's eight stacks; from then on their parts are in the warm cache.
pub fn real_parts() -> &'static Output {
    static CHECKED: OnceLock<Output> = OnceLock::new();
    CHECKED.get_or_init(|| {
        plain_parts();
        warm(&repository(), &["check", "--format", "json"])
    })
}

/// A project in `folder` whose catalogue holds the plain stack alone.
fn plain_project(folder: &Path) -> PathBuf {
    let root = folder.join("project");
    copy(&repository().join("crates/testkit/project"), &root);
    for shared in SHARED {
        symlink(repository().join(shared), root.join(shared)).unwrap();
    }
    // Any interpreter will do: nothing is installed.
    let locks = root.join("stacks/servers/stdlib/locks");
    fs::create_dir(&locks).unwrap();
    for entry in fs::read_dir(repository().join("stacks/constraints")).unwrap().flatten() {
        fs::write(locks.join(entry.file_name()), "# The standard library is enough.\n").unwrap();
    }
    root
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// An empty cache with links to the warm one's parts.
fn linked_home() -> tempfile::TempDir {
    // A short path: sockets are in it.
    let home =
        tempfile::Builder::new().prefix("h").rand_bytes(4).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for part in PARTS {
        let shared = warm_home().join(part);
        fs::create_dir_all(&shared).unwrap();
        symlink(shared, home.path().join(part)).unwrap();
    }
    // Each dyno writes the locks of its own tools, and unpacks tools beside each other.
    let tools = home.path().join("tools");
    fs::create_dir(&tools).unwrap();
    for entry in fs::read_dir(warm_home().join("tools")).unwrap().flatten() {
        if entry.path().is_dir() {
            symlink(entry.path(), tools.join(entry.file_name())).unwrap();
        }
    }
    home
}

impl Bench {
    fn made(root: Option<PathBuf>, turn: Turn) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = root.unwrap_or_else(|| plain_project(folder.path()));
        Self { folder, home: linked_home(), root, _turn: turn }
    }

    /// One with the plain stack, beside others.
    pub fn plain() -> Self {
        plain_parts();
        Self::made(None, Turn::Beside(beside()))
    }

    /// One with the real catalogue, beside others.
    pub fn real() -> Self {
        real_parts();
        Self::made(Some(repository()), Turn::Beside(beside()))
    }

    /// One with the plain stack that has the machine alone.
    pub fn plain_alone() -> Self {
        plain_parts();
        Self::made(None, Turn::Alone(alone()))
    }

    /// One with the real catalogue that has the machine alone.
    pub fn real_alone() -> Self {
        real_parts();
        Self::made(Some(repository()), Turn::Alone(alone()))
    }

    /// The cache.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The project's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = dyno(self.home(), &self.root, &self.runs());
        command.args(arguments).current_dir(self.folder.path());
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

    /// Processes whose command line or environment names this cache: dyno's children, wherever they hide.
    pub fn left_over(&self) -> Vec<String> {
        let home = self.home().display().to_string();
        let own = std::process::id().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let read = |name: &str| {
                String::from_utf8_lossy(&fs::read(entry.path().join(name)).unwrap_or_default())
                    .replace('\0', " ")
            };
            let (line, environment) = (read("cmdline"), read("environ"));
            if line.contains(&home) || environment.contains(&format!("={home}/")) {
                found.push(format!("{pid} {line}"));
            }
        }
        found
    }
}

/// The machine alone, for what measures time without a bench.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// The machine beside others, for what needs no bench and takes a while.
pub fn beside() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// The ports of the catalogue.
pub fn ports() -> MutexGuard<'static, ()> {
    PORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says on the terminal that something isn't tested, which the harness would keep to itself.
pub fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
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
