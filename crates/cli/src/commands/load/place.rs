//! Names -> the address that is loaded, or all of them. Names are looked up once: a load goes to one server.

use std::{
    fs, io,
    net::{SocketAddr, SocketAddrV6, TcpStream, ToSocketAddrs},
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
    /// More of the same server, to which connections are opened in turn.
    pub others: Vec<Target>,
    /// For people: the address, and how many others the name has.
    pub words: String,
}

/// The first address of `origin` that takes a connection, or all that do.
///
/// # Errors
/// The name has no address, or none of the family asked for, or none takes a connection within the connect timeout.
pub fn find(origin: &Origin, options: &ConnectionOptions) -> Result<Place, LoadCommandError> {
    if let Some(socket) = &options.unix_socket {
        return unix(socket);
    }
    let elsewhere: Vec<(String, u16)> =
        options.connect_to.iter().filter_map(|one| one.place(&origin.host, origin.port)).collect();
    if elsewhere.len() <= 1 {
        let (host, port) = elsewhere.into_iter().next().unwrap_or_else(|| (origin.host.clone(), origin.port));
        return find_at(&host, port, options);
    }
    let places: Vec<Place> =
        elsewhere.iter().map(|(host, port)| find_at(host, *port, options)).collect::<Result<_, _>>()?;
    let words: Vec<String> = places.iter().map(|place| place.words.clone()).collect();
    let mut all = places.into_iter().flat_map(|place| std::iter::once(place.target).chain(place.others));
    let target = all.next().ok_or_else(|| LoadCommandError::Options("--connect-to".to_owned()))?;
    Ok(Place { target, others: all.collect(), words: format!("{} in turn", words.join(" and ")) })
}

fn find_at(host: &str, port: u16, options: &ConnectionOptions) -> Result<Place, LoadCommandError> {
    let addresses = addresses(host, port, options)?;
    let (mut open, mut refusals) = (Vec::new(), Vec::new());
    for (number, &address) in addresses.iter().enumerate() {
        match TcpStream::connect_timeout(&address, options.connect_timeout.0.max(SHORTEST)) {
            Ok(_) if options.all_addresses => open.push(Target::Tcp(address)),
            Ok(_) => {
                let words = words(address, number, addresses.len());
                return Ok(Place { target: Target::Tcp(address), others: Vec::new(), words });
            }
            Err(error) => refusals.push(format!("{address}: {error}")),
        }
    }
    if open.is_empty() {
        let place = format!("{host}:{port}");
        return Err(LoadCommandError::Refused { place, why: refusals.join("; ") });
    }
    let mut words = format!("{} of {} addresses of {host} in turn", open.len(), addresses.len());
    if !refusals.is_empty() {
        words += &format!(" (not {})", refusals.join("; "));
    }
    let target = open.remove(0);
    Ok(Place { target, others: open, words })
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
        Ok(_) => Ok(Place { target: Target::Unix(socket.to_owned()), others: Vec::new(), words: place }),
        Err(error) => Err(LoadCommandError::Refused { place, why: error.to_string() }),
    }
}

/// The number of a network of this machine, by its name or as it is (RFC 4007, 11.2). The resolver takes zones of some addresses
/// only.
fn scope(zone: &str) -> io::Result<u32> {
    if let Ok(number) = zone.parse() {
        return Ok(number);
    }
    let no_such =
        |_| io::Error::new(io::ErrorKind::NotFound, format!("this machine has no network `{zone}`"));
    let number =
        fs::read_to_string(Path::new("/sys/class/net").join(zone).join("ifindex")).map_err(no_such)?;
    number.trim().parse().map_err(io::Error::other)
}

fn addresses(
    host: &str,
    port: u16,
    options: &ConnectionOptions,
) -> Result<Vec<SocketAddr>, LoadCommandError> {
    let name = host.to_owned();
    let zoned = host.split_once('%').and_then(|(address, zone)| Some((address.parse().ok()?, zone)));
    if let Some((address, zone)) = zoned {
        let scope = scope(zone).map_err(|source| LoadCommandError::Name { name, source })?;
        return Ok(vec![SocketAddrV6::new(address, port, 0, scope).into()]);
    }
    let all: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
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
    fn a_zone_is_a_network_of_this_machine() {
        assert_eq!((scope("7").unwrap(), scope("lo").unwrap() > 0), (7, true));
        assert!(scope("no-such").unwrap_err().to_string().contains("no-such"));
    }

    #[test]
    fn which_address_it_is_is_said() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(words(address, 0, 1), "127.0.0.1:80");
        assert_eq!(words(address, 0, 2), "127.0.0.1:80, the first of 2 addresses");
        assert_eq!(words(address, 1, 2), "127.0.0.1:80, address 2 of 2: those before take no connection");
    }
}
