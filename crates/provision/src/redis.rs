//! Redis, the broker under a stack's worker: the system's, else the distribution's package unpacked into the cache; a
//! fresh one for each dyno, on loopback, with a password and without files.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use dyno_model::child::{ChildSpec, StopSignal};
use rand::Rng;

use crate::{
    Context,
    debian::{Wanted, library_environment},
    embedded::remove_stale,
    error::ProvisionError,
    python::on_path,
};

/// Redis and what it needs to run.
#[derive(Clone, Debug)]
pub struct Redis {
    /// The program.
    pub binary: PathBuf,
    /// Its version, for instance `7.0.15`.
    pub version: String,
    libraries: Vec<PathBuf>,
}

/// A broker to start, with a folder of its own that is removed on drop.
#[derive(Debug)]
pub struct EmbeddedBroker {
    /// How to start it.
    pub child: ChildSpec,
    /// Its address, password included.
    pub url: String,
    address: SocketAddr,
    password: String,
    folder: PathBuf,
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// libsystemd0 isn't among the libraries: where apt is, it is.
const WANTED: Wanted<'_> = Wanted {
    name: "redis",
    packages: &["redis-server", "redis-tools"],
    libraries: &[
        "libatomic1",
        "libjemalloc2",
        "liblzf1",
        "libssl3",
        "libssl3t64",
        "libhiredis0.14",
        "libhiredis1.1.0",
        "liblua5.1-0",
        "lua-cjson",
        "lua-bitop",
    ],
    sources: None,
    remedy: "install `redis` from your system's packages, or give a broker with --broker redis://…",
};

/// Longest wait for an answer to PING.
const PATIENCE: Duration = Duration::from_secs(1);

/// The Redis to use.
///
/// # Errors
/// It isn't there and may not, or can't, be fetched.
pub fn redis(context: Context<'_>) -> Result<Redis, ProvisionError> {
    if let Some(binary) = on_path("redis-server")
        && let Some(version) = version(&binary, &[])
    {
        return Ok(Redis { binary, version, libraries: Vec::new() });
    }
    let unpacked = WANTED.unpacked(context)?;
    let binary = unpacked.root.join("usr/bin/redis-server");
    match version(&binary, &unpacked.libraries) {
        Some(version) => Ok(Redis { binary, version, libraries: unpacked.libraries }),
        None => Err(ProvisionError::missing("a working redis", WANTED.remedy)),
    }
}

/// The version in `Redis server v=7.0.15 sha=00000000:0 …`.
fn version(binary: &Path, libraries: &[PathBuf]) -> Option<String> {
    let mut command = Command::new(binary);
    command.arg("--version").envs(library_environment(libraries));
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.split_whitespace().find_map(|word| word.strip_prefix("v="))?.to_owned())
}

impl Redis {
    /// A broker on a loopback port with a random password: nothing is kept on disk, and nothing is there at its start.
    ///
    /// # Errors
    /// Its folder can't be made.
    pub fn broker(
        &self,
        context: Context<'_>,
        port: u16,
        cpus: &[usize],
    ) -> Result<EmbeddedBroker, ProvisionError> {
        let brokers = context.home.folder("brokers")?;
        remove_stale(&brokers);
        let number: u32 = rand::rng().random();
        let folder = brokers.join(format!("{}-{number:08x}", std::process::id()));
        let password: String =
            (0..24).map(|_| char::from(rand::rng().sample(rand::distr::Alphanumeric))).collect();
        fs::create_dir(&folder).map_err(ProvisionError::io(&folder))?;
        let configuration = folder.join("redis.conf");
        let child = ChildSpec {
            name: "redis".to_owned(),
            argv: [&self.binary, &configuration].map(|path| path.display().to_string()).to_vec(),
            environment: library_environment(&self.libraries),
            working_folder: folder.clone(),
            cpus: cpus.to_vec(),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        };
        // From here on the folder goes when this value goes.
        let broker = EmbeddedBroker {
            child,
            url: format!("redis://:{password}@127.0.0.1:{port}/0"),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            password: password.clone(),
            folder: folder.clone(),
        };
        // A file, not arguments: those can be read by every user of the machine.
        let settings = format!(
            "bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave \"\"\nappendonly no\ndaemonize no\nlogfile \"\"\n"
        );
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
            .map_err(ProvisionError::io(&folder))?;
        fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&configuration)
            .and_then(|mut file| file.write_all(settings.as_bytes()))
            .map_err(ProvisionError::io(&configuration))?;
        Ok(broker)
    }
}

impl EmbeddedBroker {
    /// Whether it answers.
    ///
    /// # Errors
    /// What it says instead of PONG.
    pub fn ping(&self) -> Result<(), String> {
        let words = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).map_err(words)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(words)?;
        stream.write_all(format!("AUTH {}\r\nPING\r\nQUIT\r\n", self.password).as_bytes()).map_err(words)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(words)?;
        if answer.contains("+PONG") { Ok(()) } else { Err(answer.trim().to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Home;

    #[test]
    fn a_brokers_password_is_in_a_file_that_others_cannot_read_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().join("home")).unwrap();
        let context = Context { home: &home, setup: false, echo: &|_| {} };
        let redis = Redis { binary: "/bin/true".into(), version: "7".to_owned(), libraries: Vec::new() };
        let broker = redis.broker(context, 1, &[]).unwrap();
        let path = PathBuf::from(&broker.child.argv[1]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let settings = fs::read_to_string(&path).unwrap();
        assert!(settings.contains("save \"\"\nappendonly no") && settings.contains(&broker.password));
        assert!(!broker.child.argv.concat().contains(&broker.password));
        assert!(broker.url.contains(&broker.password));
        assert!(broker.ping().is_err(), "nothing listens on port 1");
        drop(broker);
        assert!(!path.parent().unwrap().exists());
    }
}
