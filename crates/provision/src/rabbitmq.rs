//! RabbitMQ, the broker of messages by choice: Debian's, installed or unpacked into the cache with its Erlang; a fresh one
//! for each dyno, on loopback, with a user of its own.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use dyno_model::child::{ChildSpec, StopSignal};

use crate::{
    Context,
    debian::{Wanted, library_environment},
    embedded_broker::{BrokerFolder, EmbeddedBroker, password},
    error::ProvisionError,
};

/// RabbitMQ and what it needs to run.
#[derive(Clone, Debug)]
pub struct RabbitMq {
    /// Its version, for instance `3.10.8`.
    pub version: String,
    /// The folder that stands for `/`.
    root: PathBuf,
    /// Erlang's run time, inside of the root.
    erlang: PathBuf,
    libraries: Vec<PathBuf>,
}

/// Ports on loopback of one that is started.
#[derive(Clone, Copy, Debug)]
pub struct RabbitMqPorts {
    /// For clients.
    pub amqp: u16,
    /// For other nodes of a cluster, of which there are none.
    pub distribution: u16,
    /// For epmd, Erlang's list of nodes: one of its own, because one that listens already may be somebody's.
    pub epmd: u16,
}

/// What `rabbitmq-server` depends on, without what a start by hand doesn't use.
const WANTED: Wanted<'_> = Wanted {
    name: "rabbitmq",
    packages: &[
        "rabbitmq-server",
        "erlang-base",
        "erlang-crypto",
        "erlang-eldap",
        "erlang-inets",
        "erlang-mnesia",
        "erlang-os-mon",
        "erlang-parsetools",
        "erlang-public-key",
        "erlang-runtime-tools",
        "erlang-ssl",
        "erlang-syntax-tools",
        "erlang-tools",
        "erlang-xmerl",
    ],
    libraries: &["erlang-asn1", "erlang-ftp", "erlang-tftp", "erlang-snmp", "libssl3", "libssl3t64"],
    sources: None,
    remedy: "install `rabbitmq-server` from Debian's packages, or give a broker with --broker amqp://…",
};

const SERVER: &str = "usr/lib/rabbitmq/bin/rabbitmq-server";
/// What AMQP 0.9.1 begins with.
const PROTOCOL_HEADER: &[u8] = b"AMQP\0\0\x09\x01";
/// `connection.start`, what a server that is up says to that: a method frame on channel 0 (its length is four bytes, then
/// class 10 and method 10, then version 0.9 of the protocol).
const START: &[u8] = &[0, 10, 0, 10, 0, 9];

/// The RabbitMQ to use.
///
/// # Errors
/// It isn't there and may not, or can't, be fetched.
pub fn rabbitmq(context: Context<'_>) -> Result<RabbitMq, ProvisionError> {
    if let Some(installed) = RabbitMq::at(Path::new("/"), Vec::new()) {
        return Ok(installed);
    }
    let unpacked = WANTED.unpacked(context)?;
    RabbitMq::at(&unpacked.root, unpacked.libraries)
        .ok_or_else(|| ProvisionError::missing("a whole RabbitMQ in its packages", WANTED.remedy))
}

impl RabbitMq {
    fn at(root: &Path, libraries: Vec<PathBuf>) -> Option<Self> {
        let named = |folder: &str, prefix: &str| {
            let entries = fs::read_dir(root.join(folder)).ok()?.flatten();
            entries.map(|entry| entry.path()).find_map(|path| {
                let version = path.file_name()?.to_str()?.strip_prefix(prefix)?.to_owned();
                Some((path, version))
            })
        };
        let (_, version) = named("usr/lib/rabbitmq/lib", "rabbitmq_server-")?;
        let (erlang, _) = named("usr/lib/erlang", "erts-")?;
        root.join(SERVER).exists().then(|| Self { version, root: root.to_owned(), erlang, libraries })
    }

    /// A broker with a random password; what it keeps on disk goes with it.
    ///
    /// # Errors
    /// Its folder can't be made.
    pub fn broker(
        &self,
        context: Context<'_>,
        ports: RabbitMqPorts,
        cpus: &[usize],
    ) -> Result<EmbeddedBroker, ProvisionError> {
        let (folder, password) = (BrokerFolder::new(context)?, password());
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\ndefault_user = dyno\ndefault_pass = {password}\nlog.file = false\n\
            log.console = true\nlog.console.level = error\n",
            ports.amqp
        );
        folder.write("rabbitmq.conf", 0o600, &settings)?;
        // Debian's own `erl` knows one place only, that of an installed Erlang.
        let bin = self.erlang.join("bin");
        let erl = format!(
            "#!/bin/sh\nexport ROOTDIR='{}' BINDIR='{}' EMU=beam PROGNAME=erl\nexec \"$BINDIR/erlexec\" \"$@\"\n",
            self.root.join("usr/lib/erlang").display(),
            bin.display()
        );
        folder.write("erl", 0o700, &erl)?;
        // epmd goes to the background, where it stays in the child's tree and ends with it.
        let argv = ["/bin/sh", "-c", "\"$0\" -daemon && exec \"$1\""].map(str::to_owned).into_iter();
        let programs = [bin.join("epmd"), self.root.join(SERVER)];
        let child = ChildSpec {
            name: "rabbitmq".to_owned(),
            argv: argv.chain(programs.map(|path| path.display().to_string())).collect(),
            environment: self.environment(folder.path(), ports),
            working_folder: folder.path().to_owned(),
            cpus: cpus.to_vec(),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        };
        Ok(EmbeddedBroker {
            child,
            url: format!("amqp://dyno:{password}@127.0.0.1:{}//", ports.amqp),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, ports.amqp)),
            question: PROTOCOL_HEADER.to_vec(),
            answer: START,
            _folder: folder,
        })
    }

    /// Everything inside of its folder, everything on loopback.
    fn environment(&self, folder: &Path, ports: RabbitMqPorts) -> BTreeMap<String, String> {
        let inside = |name: &str| folder.join(name).display().to_string();
        let own = [
            ("PATH", format!("{}:/usr/bin:/bin", folder.display())),
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", folder.display().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", ports.epmd.to_string()),
            ("RABBITMQ_NODENAME", "dyno@localhost".to_owned()),
            ("RABBITMQ_CONFIG_FILE", inside("rabbitmq")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_DIST_PORT", ports.distribution.to_string()),
            ("RABBITMQ_MNESIA_BASE", inside("mnesia")),
            ("RABBITMQ_LOG_BASE", inside("log")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", inside("plugins")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value)).into_iter();
        own.chain(library_environment(&self.libraries)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::Home;

    #[test]
    fn a_brokers_password_is_in_a_file_that_others_cannot_read_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().join("home")).unwrap();
        let context = Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false };
        let root = home.path().join("root");
        assert!(RabbitMq::at(&root, Vec::new()).is_none());
        for inside in
            ["usr/lib/rabbitmq/lib/rabbitmq_server-3.9", "usr/lib/erlang/erts-1", "usr/lib/rabbitmq/bin"]
        {
            fs::create_dir_all(root.join(inside)).unwrap();
        }
        fs::write(root.join(SERVER), "").unwrap();
        let rabbitmq = RabbitMq::at(&root, Vec::new()).unwrap();
        assert_eq!(rabbitmq.version, "3.9");
        let ports = RabbitMqPorts { amqp: 1, distribution: 2, epmd: 3 };
        let broker = rabbitmq.broker(context, ports, &[]).unwrap();
        let inside = PathBuf::from(&broker.child.environment["HOME"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inside), mode(&inside.join("rabbitmq.conf"))), (0o700, 0o600));
        let password = broker.url.split([':', '@']).nth(2).unwrap();
        let settings = fs::read_to_string(inside.join("rabbitmq.conf")).unwrap();
        assert!(settings.contains(password) && settings.contains("127.0.0.1:1\n"), "{settings}");
        let told = broker.child.argv.concat() + &format!("{:?}", broker.child.environment);
        assert!(!told.contains(password), "{told}");
        assert!(broker.ping().is_err(), "nothing listens on port 1");
        drop(broker);
        assert!(!inside.exists());
    }
}
