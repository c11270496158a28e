//! PgBouncer: the user's or the system's own, else a package of Debian in the cache; never as root. It gives a client a
//! server's connection for each transaction, so that many clients share the plan's budget.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use dyno_model::child::{ChildSpec, StopSignal};
use postgres::config::Host;
use rand::Rng;

use crate::{
    Context,
    command::Outside,
    database::without_password,
    debian::{Wanted, library_environment},
    embedded::remove_stale,
    error::ProvisionError,
    python::on_path,
    relocate::{debian_suite, relocate},
    settings,
    unprivileged::{Unprivileged, unprivileged},
};

/// From this version on it remembers statements that clients prepare.
const KEEPS_PREPARED: (u32, u32) = (1, 21);
/// Statements that it remembers for each client; more than any app has.
const PREPARED_STATEMENTS: u32 = 200;

/// PgBouncer and how to run it.
#[derive(Clone, Debug)]
pub struct PgBouncer {
    /// The program.
    pub binary: PathBuf,
    /// Its version, for instance `1.24.1`.
    pub version: String,
    libraries: Vec<PathBuf>,
    way: Unprivileged,
}

/// A pooler to start, with a folder of its own that is removed on drop.
#[derive(Debug)]
pub struct DatabasePooler {
    /// How to start it.
    pub child: ChildSpec,
    /// Its address for apps, password included.
    pub url: String,
    folder: PathBuf,
}

impl Drop for DatabasePooler {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The PgBouncer to use.
///
/// # Errors
/// It isn't there and may not, or can't, be fetched; or dyno is root and finds no way to leave root behind.
pub fn pgbouncer(context: Context<'_>) -> Result<PgBouncer, ProvisionError> {
    if let Some(binary) = &context.home.settings().programs.pgbouncer {
        return PgBouncer::at(context, binary, &[]).map_err(|error| {
            let words = format!("`pgbouncer = {binary:?}` doesn't answer as a PgBouncer: {error}");
            settings::wrong(context.home.path(), "pgbouncer", words)
        });
    }
    let elsewhere = Path::new("/usr/sbin/pgbouncer");
    let system = on_path("pgbouncer").or_else(|| elsewhere.is_file().then(|| elsewhere.to_owned()));
    if let Some(binary) = system
        && let Ok(found) = PgBouncer::at(context, &binary, &[])
    {
        return Ok(found);
    }
    // On Debian a release whose version remembers prepared statements, elsewhere the system's own.
    let suite = debian_suite(context, "trixie").ok();
    let mut packages = vec!["pgbouncer"];
    let libraries =
        ["libcares2", "libevent-2.1-7t64", "libevent-2.1-7", "libpam0g", "libssl3t64", "libsystemd0"];
    // With a release's own libc goes all that is linked with it.
    let own_libc = [
        "libc6",
        "libaudit1",
        "libcap-ng0",
        "libcap2",
        "libgcrypt20",
        "libgpg-error0",
        "liblz4-1",
        "liblzma5",
        "libzstd1",
        "zlib1g",
    ];
    if suite.is_some() {
        packages.extend(own_libc);
    }
    let wanted = Wanted {
        name: "pgbouncer",
        packages: &packages,
        libraries: &libraries,
        sources: suite.as_deref(),
        remedy: "install it from your system's packages, for instance `apt install pgbouncer`",
    };
    let unpacked = wanted.unpacked(context)?;
    match suite {
        Some(_) => PgBouncer::at(context, &relocate(context, &unpacked, "usr/sbin/pgbouncer")?, &[]),
        None => PgBouncer::at(context, &unpacked.root.join("usr/sbin/pgbouncer"), &unpacked.libraries),
    }
}

impl PgBouncer {
    fn at(context: Context<'_>, binary: &Path, libraries: &[PathBuf]) -> Result<Self, ProvisionError> {
        let (way, text) = unprivileged(context, "PgBouncer", |way| {
            let mut argv = way.wrapper.clone();
            argv.push(binary.display().to_string());
            let outside = Outside::new(context, &argv[0]).args(argv[1..].iter().cloned()).args(["--version"]);
            let outside = outside.run_as(way.run_as).folder(Path::new("/"));
            let variables = library_environment(libraries);
            variables.iter().fold(outside, |outside, (name, value)| outside.env(name, value)).run_quietly()
        })?;
        let version = text.lines().next().and_then(|line| line.strip_prefix("PgBouncer ")).map(str::trim);
        let version = version.ok_or_else(|| {
            ProvisionError::missing("a working PgBouncer", "install it from your system's packages")
        })?;
        Ok(Self {
            binary: binary.to_owned(),
            version: version.to_owned(),
            libraries: libraries.to_vec(),
            way,
        })
    }

    /// Whether a statement that a client prepared is there on whichever connection it gets next.
    pub fn keeps_prepared_statements(&self) -> bool {
        let mut numbers = self.version.split('.').map_while(|word| word.parse::<u32>().ok());
        numbers.next().zip(numbers.next()).is_some_and(|version| version >= KEEPS_PREPARED)
    }

    /// A pooler on a loopback port before the database at `url`, with at most `budget.0` connections to it and
    /// `budget.1` clients.
    ///
    /// # Errors
    /// The address can't be read, or a file can't be written.
    pub fn pooler(
        &self,
        context: Context<'_>,
        port: u16,
        url: &str,
        cpus: &[usize],
        budget: (u32, u32),
    ) -> Result<DatabasePooler, ProvisionError> {
        let refused = |reason: String| ProvisionError::Database { url: without_password(url), reason };
        let config: postgres::Config =
            url.parse().map_err(|error: postgres::Error| refused(error.to_string()))?;
        let user = config.get_user().ok_or_else(|| refused("its address names no user".to_owned()))?;
        let name = config.get_dbname().unwrap_or(user);
        let password = config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => Ipv4Addr::LOCALHOST.to_string(),
        };
        // `*`: whatever name a client asks for, for a name with other letters than ASCII can't be written there.
        let server = format!(
            "* = host={} port={} dbname={}",
            quoted(&host),
            config.get_ports().first().copied().unwrap_or(5432),
            quoted(name)
        );
        let databases = context.home.folder("databases")?;
        remove_stale(&databases);
        let number: u32 = rand::rng().random();
        let folder = databases.join(format!("{}-{number:08x}-pooler", std::process::id()));
        fs::create_dir(&folder).map_err(ProvisionError::io(&folder))?;
        let secret = password.as_ref().map_or(String::new(), |password| format!(":{}", encoded(password)));
        // From here on the folder goes when this value goes.
        let pooler = DatabasePooler {
            child: self.child(&folder, cpus),
            url: format!("postgres://{}{secret}@127.0.0.1:{port}/{}", encoded(user), encoded(name)),
            folder: folder.clone(),
        };
        let users = format!("{} {}\n", identifier(user), identifier(password.as_deref().unwrap_or_default()));
        let text = self.configuration(&server, port, &folder, password.is_some(), budget);
        for (path, text) in [(folder.join("pgbouncer.ini"), text), (folder.join("users.txt"), users)] {
            fs::write(&path, text).map_err(ProvisionError::io(&path))?;
            self.own(&path, 0o600)?;
        }
        self.own(&folder, 0o700)?;
        Ok(pooler)
    }

    fn configuration(
        &self,
        server: &str,
        port: u16,
        folder: &Path,
        password: bool,
        (connections, clients): (u32, u32),
    ) -> String {
        let authentication = if password { "scram-sha-256" } else { "trust" };
        let prepared = if self.keeps_prepared_statements() {
            format!("max_prepared_statements = {PREPARED_STATEMENTS}\n")
        } else {
            String::new()
        };
        // extra_float_digits: some drivers ask for it at the start, and no answer of the contract has a float.
        format!(
            "[databases]\n{server}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
            auth_type = {authentication}\nauth_file = {}\npool_mode = transaction\n\
            default_pool_size = {connections}\nmax_db_connections = {connections}\nmax_client_conn = {clients}\n\
            ignore_startup_parameters = extra_float_digits\n{prepared}\
            log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n",
            folder.join("users.txt").display()
        )
    }

    fn own(&self, path: &Path, mode: u32) -> Result<(), ProvisionError> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(ProvisionError::io(path))?;
        match self.way.run_as {
            Some(run_as) => chown(path, Some(run_as.uid), Some(run_as.gid)).map_err(ProvisionError::io(path)),
            None => Ok(()),
        }
    }

    fn child(&self, folder: &Path, cpus: &[usize]) -> ChildSpec {
        let mut argv = self.way.wrapper.clone();
        argv.extend([self.binary.display().to_string(), folder.join("pgbouncer.ini").display().to_string()]);
        let mut environment = BTreeMap::from([("LC_ALL".to_owned(), "C.UTF-8".to_owned())]);
        environment.extend(library_environment(&self.libraries));
        ChildSpec {
            name: "pgbouncer".to_owned(),
            argv,
            environment,
            working_folder: PathBuf::from("/"),
            cpus: cpus.to_vec(),
            run_as: self.way.run_as,
            // Its clients are gone by then.
            stop_signal: StopSignal::Quit,
        }
    }
}

/// A word between double quotes, as the file of users wants it.
fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A value of a connection string.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A part of an address.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Home;

    fn of_version(version: &str) -> PgBouncer {
        PgBouncer {
            binary: PathBuf::from("/usr/sbin/pgbouncer"),
            version: version.to_owned(),
            libraries: Vec::new(),
            way: Unprivileged::default(),
        }
    }

    #[test]
    fn its_version_says_whether_prepared_statements_are_kept() {
        let kept = |version| of_version(version).keeps_prepared_statements();
        assert!(
            kept("1.21.0") && kept("1.24.1") && kept("2.0") && !kept("1.18.0") && !kept("1.9") && !kept("x")
        );
    }

    #[test]
    fn its_folder_holds_the_budget_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().to_owned()).unwrap();
        let context = Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false };
        let url = "postgres://me:it%27s%20%22me%22@127.0.0.1:5/my-data";
        let pooler = of_version("1.24.1").pooler(context, 7, url, &[], (8, 30)).unwrap();
        assert_eq!(pooler.url, "postgres://me:it%27s%20%22me%22@127.0.0.1:7/my-data");
        let read = |name: &str| fs::read_to_string(pooler.folder.join(name)).unwrap();
        let text = read("pgbouncer.ini");
        for line in [
            "* = host='127.0.0.1' port=5 dbname='my-data'",
            "pool_mode = transaction",
            "max_db_connections = 8",
            "max_client_conn = 30",
            "max_prepared_statements = 200",
            "auth_type = scram-sha-256",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(read("users.txt"), "\"me\" \"it's \"\"me\"\"\"\n");
        assert!(!pooler.child.argv.concat().contains("it's"), "no password is in a command");
        let path = pooler.folder.clone();
        drop(pooler);
        assert!(!path.exists());
        let old = of_version("1.18.0").pooler(context, 7, "postgres://me@127.0.0.1/x", &[], (8, 30)).unwrap();
        let text = fs::read_to_string(old.folder.join("pgbouncer.ini")).unwrap();
        assert!(text.contains("auth_type = trust") && !text.contains("max_prepared_statements"), "{text}");
    }
}
