//! Why `dyno load` has nothing to show, each with its exit code.

use std::{io, path::PathBuf};

use crate::exit;

/// What ended `dyno load`.
#[derive(Debug, thiserror::Error)]
pub enum LoadCommandError {
    /// Options that can't be carried out on this machine, or together.
    #[error("{0}")]
    Options(String),
    /// A name without an address.
    #[error("`{name}` has no address: {source}")]
    Name {
        /// The URL's host.
        name: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// A name whose addresses are all of the other family.
    #[error("`{name}` has no {family} address, only {others}")]
    Family {
        /// The URL's host.
        name: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The addresses that it has.
        others: String,
    },
    /// None of the addresses takes a connection.
    #[error("no connection to {place}: {why}")]
    Refused {
        /// The URL's host and port, or the socket.
        place: String,
        /// What each address says.
        why: String,
    },
    /// Nobody can be served at the address of `--prometheus`.
    #[error("--prometheus {address}: {source}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file that can't be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl LoadCommandError {
    /// The exit code.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Options(_) => exit::USAGE,
            Self::File { .. } => exit::FILES,
            Self::Name { .. } | Self::Family { .. } | Self::Refused { .. } | Self::Listen { .. } => {
                exit::NOTHING_MEASURED
            }
        }
    }
}
