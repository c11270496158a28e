//! Names -> the one address that is loaded. Names are looked up once: a load goes to one server.

use std::{
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use dyno_model::{load::Target, traffic::Origin};

use super::error::LoadCommandError;
use crate::arguments::ConnectionOptions;

/// Where a load goes.
#[derive(Debug)]
pub struct Place {
    /// For the engine.
    pub target: Target,
    /// For people: the address, and how many others the name has.
    pub words: String,
}

/// The first address of `origin` that takes a connection.
///
/// # Errors
/// The name has no address, or none of the family asked for, or none takes a connection within the connect timeout.
pub fn find(origin: &Origin, options: &ConnectionOptions) -> Result<Place, LoadCommandError> {
    if let Some(socket) = &options.unix_socket {
        return unix(socket);
    }
    let addresses = addresses(origin, options)?;
    let mut refusals = Vec::new();
    for (number, &address) in addresses.iter().enumerate() {
        match TcpStream::connect_timeout(&address, options.connect_timeout.0.max(SHORTEST)) {
            Ok(_) => {
                let words = words(address, number, addresses.len());
                return Ok(Place { target: Target::Tcp(address), words });
            }
            Err(error) => refusals.push(format!("{address}: {error}")),
        }
    }
    let place = format!("{}:{}", origin.host, origin.port);
    Err(LoadCommandError::Refused { place, why: refusals.join("; ") })
}

/// `connect_timeout` refuses a wait of nothing.
const SHORTEST: Duration = Duration::from_millis(1);

fn words(address: SocketAddr, before: usize, all: usize) -> String {
    match (before, all) {
        (_, 1) => address.to_string(),
        (0, all) => format!("{address}, the first of {all} addresses"),
        (before, all) => {
            format!("{address}, address {} of {all}: those before take no connection", before + 1)
        }
    }
}

fn unix(socket: &Path) -> Result<Place, LoadCommandError> {
    let place = socket.display().to_string();
    match UnixStream::connect(socket) {
        Ok(_) => Ok(Place { target: Target::Unix(socket.to_owned()), words: place }),
        Err(error) => Err(LoadCommandError::Refused { place, why: error.to_string() }),
    }
}

fn addresses(origin: &Origin, options: &ConnectionOptions) -> Result<Vec<SocketAddr>, LoadCommandError> {
    let name = origin.host.clone();
    let all: Vec<SocketAddr> = match (name.as_str(), origin.port).to_socket_addrs() {
        Ok(all) => all.collect(),
        Err(source) => return Err(LoadCommandError::Name { name, source }),
    };
    let (family, wanted): (_, fn(&SocketAddr) -> bool) = match (options.ipv4, options.ipv6) {
        (true, _) => ("IPv4", SocketAddr::is_ipv4),
        (_, true) => ("IPv6", SocketAddr::is_ipv6),
        _ => ("usable", |_| true),
    };
    let chosen: Vec<SocketAddr> = all.iter().copied().filter(wanted).collect();
    if chosen.is_empty() {
        let others = all.iter().map(|one| one.ip().to_string()).collect::<Vec<_>>().join(", ");
        return Err(LoadCommandError::Family { name, family, others });
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_address_it_is_is_said() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(words(address, 0, 1), "127.0.0.1:80");
        assert_eq!(words(address, 0, 2), "127.0.0.1:80, the first of 2 addresses");
        assert_eq!(words(address, 1, 2), "127.0.0.1:80, address 2 of 2: those before take no connection");
    }
}
