//! How an engine is asked to speak and to wait, and why it may not be able to.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use dyno_model::load::Target;

use crate::{dialogue::Sequence, pacing::Pacing, wire::WireKind};

/// Limits of waiting, and how to speak.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for an answer, from when it was sent.
    pub request_timeout: Duration,
    /// `Host` of the requests; `None` for the target's address.
    pub host: Option<String>,
    /// Whether a connection serves more than one request.
    pub keep_alive: bool,
    /// How requests and answers are written.
    pub protocol: Protocol,
    /// HTTP/2: requests in flight on one connection at once.
    pub streams: u32,
    /// TLS; `None` for cleartext.
    pub tls: Option<TlsOptions>,
    /// How to wait and move bytes.
    pub wire: WireKind,
    /// Longest nap between two rounds of a busy closed loop, where the kernel's receive timestamps keep it out
    /// of the latencies. Zero: answers are read as soon as they come.
    pub nap: Duration,
    /// More places of the same server: connections are opened to the target and to these in turn.
    pub others: Vec<Target>,
    /// Redirects that are followed for a request at most, within its origin. With any, all goes over epoll.
    pub redirects: u32,
    /// A fixed sequence that each connection sends, whatever order is asked for. Goes over epoll.
    pub sequence: Option<Arc<Sequence>>,
    /// When requests of an open loop go out.
    pub pacing: Pacing,
    /// Ends a slice that was stopped at once when true: what is in flight is counted as stopped.
    pub end_now: Option<&'static AtomicBool>,
}

impl EngineOptions {
    /// Whether requests are made while the load runs.
    pub const fn makes_requests(&self) -> bool {
        self.redirects > 0 || self.sequence.is_some()
    }

    /// Requests that one connection carries at once.
    pub const fn lanes(&self) -> usize {
        match self.protocol {
            Protocol::Http2 if self.streams > 1 => self.streams as usize,
            _ => 1,
        }
    }
}

/// How requests and answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2: agreed by ALPN where there is TLS, else with prior knowledge (h2c).
    Http2,
}

/// How to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whom the certificate must be for: a DNS name or an IP address.
    pub server_name: String,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Who we are, for servers that ask; `None` for nobody.
    pub client: Option<ClientCertificate>,
}

/// A certificate of ours and its key, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key; may be the same file.
    pub key: PathBuf,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The authorities that this system knows.
    System,
    /// The authorities in a PEM file, and the servers whose own certificates are in it.
    Authorities(PathBuf),
    /// Anybody's: for servers with a certificate of their own making.
    Anybody,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            host: None,
            keep_alive: true,
            protocol: Protocol::Http1,
            streams: 1,
            tls: None,
            wire: WireKind::Best,
            nap: Duration::from_micros(200),
            others: Vec::new(),
            redirects: 0,
            sequence: None,
            pacing: Pacing::Exact,
            end_now: None,
        }
    }
}

/// Why no load could be made at all. What happens to single requests is counted, not an error.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The target takes no connection.
    #[error("{} takes no connection: {source}", place(target))]
    Connect {
        /// Which target.
        target: Target,
        /// What the system says.
        source: io::Error,
    },
    /// TLS can't be set up: a file that isn't there or isn't what it should be.
    #[error("TLS: {0}")]
    Tls(String),
    /// The kernel refuses epoll, a timer, or a ring that was asked for.
    #[error("the load engine can't wait: {0}")]
    Kernel(#[from] io::Error),
    /// A single question got no answer.
    #[error("{method} {path} at {}: {what}", place(target))]
    NoAnswer {
        /// Which target.
        target: Target,
        /// Method.
        method: String,
        /// Path and query.
        path: String,
        /// What happened.
        what: String,
    },
    /// A request that the protocol can't carry.
    #[error("{method} {path} can't be sent: {what}")]
    Request {
        /// Method.
        method: String,
        /// Path and query.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A slice without requests.
    #[error("no requests to send")]
    NoRequests,
    /// More connections than this process may have open.
    #[error("{connections} connections need more open files than the limit of {limit}: raise it (ulimit -n)")]
    TooManyConnections {
        /// As asked for.
        connections: u32,
        /// `RLIMIT_NOFILE`, as high as this process may set it.
        limit: u64,
    },
}

fn place(target: &Target) -> String {
    match target {
        Target::Tcp(address) => address.to_string(),
        Target::Unix(path) => path.display().to_string(),
    }
}

/// Raises the soft limit of open files as far as so many connections need it and the hard limit allows.
pub fn enough_files(connections: u32) -> Result<(), LoadError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Files that a process has open besides: the terminal, a ring, a run's records, a report.
    const OTHERS: u64 = 64;
    let needed = u64::from(connections) + OTHERS;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let current = Some(now.maximum.map_or(needed, |maximum| maximum.min(needed)));
    let raised = setrlimit(Resource::Nofile, Rlimit { current, maximum: now.maximum });
    if raised.is_err() || current < Some(needed) {
        return Err(LoadError::TooManyConnections { connections, limit: now.maximum.unwrap_or(0) });
    }
    Ok(())
}
