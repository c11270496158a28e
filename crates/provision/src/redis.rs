//! Redis, the broker under a stack's worker: the system's, else the distribution's package unpacked into the cache; a
//! fresh one for each dyno, on loopback, with a password and without files.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use dyno_model::child::{ChildSpec, StopSignal};

use crate::{
    Context,
    debian::{Wanted, library_environment},
    embedded_broker::{BrokerFolder, EmbeddedBroker, password},
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
        let (folder, password) = (BrokerFolder::new(context)?, password());
        let settings = format!(
            "bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave \"\"\nappendonly no\ndaemonize no\nlogfile \"\"\n"
        );
        let configuration = folder.write("redis.conf", 0o600, &settings)?;
        let child = ChildSpec {
            name: "redis".to_owned(),
            argv: [&self.binary, &configuration].map(|path| path.display().to_string()).to_vec(),
            environment: library_environment(&self.libraries),
            working_folder: folder.path().to_owned(),
            cpus: cpus.to_vec(),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        };
        Ok(EmbeddedBroker {
            child,
            url: format!("redis://:{password}@127.0.0.1:{port}/0"),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            question: format!("AUTH {password}\r\nPING\r\nQUIT\r\n").into_bytes(),
            answer: b"+PONG",
            _folder: folder,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::Home;

    #[test]
    fn a_brokers_password_is_in_a_file_that_others_cannot_read_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().join("home")).unwrap();
        let context = Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false };
        let redis = Redis { binary: "/bin/true".into(), version: "7".to_owned(), libraries: Vec::new() };
        let broker = redis.broker(context, 1, &[]).unwrap();
        let path = PathBuf::from(&broker.child.argv[1]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let settings = fs::read_to_string(&path).unwrap();
        let password = broker.url.split([':', '@']).nth(2).unwrap();
        assert!(settings.contains("save \"\"\nappendonly no") && settings.contains(password));
        assert!(!broker.child.argv.concat().contains(password));
        assert!(broker.ping().is_err(), "nothing listens on port 1");
        drop(broker);
        assert!(!path.parent().unwrap().exists());
    }
}
