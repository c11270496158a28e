//! Real environments and a real PostgreSQL, from the package index into a cache of their own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::{fs::symlink, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use dyno_model::interpreter::Interpreters;
use dyno_provision::{
    Context, DATABASE, Home, Origin, ProvisionError, database, free_port, interpreters, postgres, provide,
    python_environment, redis,
};

/// A folder that other users may enter, for PostgreSQL is one when this is root.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// A cache of its own in `folder`, with links to what the tests of `dyno` have fetched into theirs: uv's downloads, and tools
/// that were unpacked. What isn't there is fetched.
fn home_in(folder: &Path) -> Home {
    let warm = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    let home = folder.join("home");
    fs::create_dir_all(home.join("tools")).unwrap();
    fs::create_dir_all(warm.join("uv")).unwrap();
    symlink(warm.join("uv"), home.join("uv")).unwrap();
    for entry in fs::read_dir(warm.join("tools")).into_iter().flatten().flatten() {
        if entry.path().join(".dyno-complete").is_file() {
            symlink(entry.path(), home.join("tools").join(entry.file_name())).unwrap();
        }
    }
    Home::open(home).unwrap()
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_environment_is_made_once_and_again_when_it_was_interrupted() {
    let folder = open_folder();
    let home = home_in(folder.path());
    let told = Mutex::new(0);
    let echo = |_: &[String]| *told.lock().unwrap() += 1;
    let context = |setup| Context { home: &home, setup, echo: &echo, stop: &|| false };
    let lock = folder.path().join("lock.txt");
    let text = include_str!("../../../stacks/python/tornado/locks/3.11.txt");
    // One small package of a real lock is enough here.
    let one = text
        .lines()
        .skip_while(|line| !line.starts_with("tornado=="))
        .take_while(|line| line.starts_with("tornado==") || line.starts_with("    --hash"));
    fs::write(&lock, one.collect::<Vec<_>>().join("\n")).unwrap();
    let python = interpreters(context(false)).unwrap().remove(0);

    let error = python_environment(context(false), &python, std::slice::from_ref(&lock), "t").unwrap_err();
    assert!(
        matches!(&error, ProvisionError::Missing { remedy, .. } if remedy.contains("--setup")),
        "{error}"
    );
    let made = python_environment(context(true), &python, std::slice::from_ref(&lock), "t").unwrap();
    assert!(made.packages.contains_key("tornado"), "{:?}", made.packages);
    let commands = *told.lock().unwrap();
    assert!(commands >= 2, "each command is told");
    let again = python_environment(context(false), &python, std::slice::from_ref(&lock), "t").unwrap();
    assert_eq!(
        (again.folder.clone(), *told.lock().unwrap()),
        (made.folder.clone(), commands),
        "from the cache"
    );

    fs::remove_file(made.folder.join(".dyno-complete")).unwrap();
    fs::remove_dir_all(made.folder.join("lib")).unwrap();
    let remade = python_environment(context(true), &python, std::slice::from_ref(&lock), "t").unwrap();
    assert_eq!(remade.packages, made.packages);
    assert!(remade.python().is_file());
}

#[test]
fn a_real_database_is_started_loaded_and_refuses() {
    let folder = open_folder();
    let home = home_in(folder.path());
    let context = Context { home: &home, setup: true, echo: &|_| {}, stop: &|| false };
    let binaries = postgres(context).unwrap();
    let server = binaries.database(context, free_port().unwrap(), &[], 20).unwrap();
    let mut command = Command::new(&server.child.argv[0]);
    command.args(&server.child.argv[1..]).env_clear().envs(&server.child.environment).stderr(Stdio::null());
    if let Some(run_as) = server.child.run_as {
        command.uid(run_as.uid).gid(run_as.gid);
        assert_ne!(run_as.uid, 0, "never as root");
    }
    let running = Killed(command.spawn().unwrap());
    // The server has no database of this name yet: postgres' own is asked.
    let admin = server.admin_url.clone();
    let begin = Instant::now();
    while database::connect(&admin).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it doesn't start");
        std::thread::sleep(Duration::from_millis(20));
    }
    database::create(&admin, DATABASE).unwrap();
    database::create(&admin, DATABASE).unwrap();

    let first = database::load(&server.url, 300, 5).unwrap();
    assert_eq!(database::load(&server.url, 300, 5).unwrap(), first, "loading again gives the same");
    assert_ne!(database::load(&server.url, 300, 6).unwrap().sha256, first.sha256);
    assert_eq!(database::facts(&server.url).unwrap()["fsync"], "on");

    let wrong = server.url.replace("dyno:", "dyno:wrong");
    let error = database::connect(&wrong).err().unwrap().to_string();
    assert!(error.contains("password authentication failed") && !error.contains("wrong"), "{error}");

    let mut client = database::connect(&server.url).unwrap();
    client.batch_execute("comment on table contacts is 'somebody else made me'").unwrap();
    let error = database::load(&server.url, 300, 5).unwrap_err().to_string();
    assert!(error.contains("a table contacts that dyno didn't make"), "{error}");

    drop((client, running));
    let data = home.path().join("databases");
    drop(server);
    assert_eq!(fs::read_dir(data).unwrap().count(), 0, "its folder went with it");
}

#[test]
fn a_real_broker_answers_only_who_knows_its_password() {
    let folder = open_folder();
    let home = home_in(folder.path());
    let context = Context { home: &home, setup: true, echo: &|_| {}, stop: &|| false };
    let redis = match redis(context) {
        Ok(redis) => redis,
        Err(ProvisionError::Missing { what, remedy }) => {
            println!("skipped: no {what} here: {remedy}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let broker = redis.broker(context, free_port().unwrap(), &[]).unwrap();
    let mut command = Command::new(&broker.child.argv[0]);
    command.args(&broker.child.argv[1..]).env_clear().envs(&broker.child.environment);
    let running = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begin = Instant::now();
    while let Err(told) = broker.ping() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it doesn't start: {told}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let configuration = fs::read_to_string(&broker.child.argv[1]).unwrap();
    let port = configuration.lines().find_map(|line| line.strip_prefix("port ")).unwrap();
    let mut stranger = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stranger.write_all(b"PING\r\nQUIT\r\n").unwrap();
    let mut told = String::new();
    stranger.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("-NOAUTH"), "{told}");

    drop(running);
    drop(broker);
    assert_eq!(fs::read_dir(home.path().join("brokers")).unwrap().count(), 0, "its folder went with it");
}

/// trixie is a stable release: unlike sid's, its packages are there tomorrow.
#[test]
fn an_interpreter_of_another_release_runs_on_its_own_libraries() {
    if !fs::read_to_string("/etc/os-release").unwrap_or_default().lines().any(|line| line == "ID=debian") {
        println!("skipped: this system isn't Debian, whose mirror is needed");
        return;
    }
    let folder = open_folder();
    let known: Interpreters = toml::from_str(include_str!("../../../stacks/interpreters.toml")).unwrap();
    let mut pypy = known.get("pypy3.11").unwrap().clone();
    pypy.uv = None;
    let known = Interpreters { interpreter: vec![pypy] };
    let home = home_in(folder.path()).knowing(known);
    let context = |setup| Context { home: &home, setup, echo: &|_| {}, stop: &|| false };
    if interpreters(context(false)).unwrap().iter().any(|one| one.name == "pypy3.11") {
        println!("skipped: this machine has a PyPy of its own, which comes first");
        return;
    }
    assert!(provide(context(false), "pypy3.11").unwrap_err().to_string().contains("--setup"));
    let made = provide(context(true), "pypy3.11").unwrap();
    assert_eq!((made.name.as_str(), made.origin), ("pypy3.11", Origin::Debian));
    let script = "import ssl, sqlite3, ctypes, os; \
        print(*sorted({line.split()[-1] for line in open(f'/proc/{os.getpid()}/maps') if 'libc.so' in line}))";
    let output = Command::new(&made.path).args(["-c", script]).output().unwrap();
    let libc = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(libc.starts_with(&home.path().display().to_string()), "{libc} {output:?}");
    assert_eq!(provide(context(false), "pypy3.11").unwrap(), made, "from the cache");
}
