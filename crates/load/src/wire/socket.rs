//! Opening a socket without waiting for it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use dyno_model::load::Target;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, getpeername, getsockname, ipproto,
    socket_with, sockopt,
};

use super::stamps;

/// A socket with what the wires know of it.
#[derive(Debug)]
pub struct Place {
    pub fd: OwnedFd,
    /// The connection isn't made yet.
    pub connecting: bool,
    /// The kernel didn't take all bytes of the last write.
    pub blocked: bool,
    /// An answer has begun and isn't whole.
    pub in_body: bool,
    /// Bytes that nobody looks at and that are still to come.
    pub skip: u64,
    /// TCP: the kernel can stamp and throw away.
    pub tcp: bool,
    /// It broke on sending. What came before may still be read; its end is no orderly one.
    pub broken: bool,
    /// The other side ended it or it broke: no event will follow, so it is read to its end.
    pub ending: bool,
    /// There is more to read than one round may take.
    pub unread: bool,
}

impl Place {
    /// Begins to connect.
    pub fn open(target: &Target) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, begun) = match target {
            Target::Tcp(address) => {
                let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
                let fd = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
                sockopt::set_tcp_nodelay(&fd, true)?;
                stamps::enable(&fd);
                let begun = connect(&fd, address);
                (fd, begun)
            }
            Target::Unix(path) => {
                let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                let begun = connect(&fd, &SocketAddrUnix::new(path.as_os_str())?);
                (fd, begun)
            }
        };
        let tcp = matches!(target, Target::Tcp(_));
        match begun {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(Self::new(fd, tcp)),
            Err(error) => Err(error.into()),
        }
    }

    const fn new(fd: OwnedFd, tcp: bool) -> Self {
        Self {
            fd,
            connecting: true,
            blocked: false,
            in_body: false,
            skip: 0,
            tcp,
            broken: false,
            ending: false,
            unread: false,
        }
    }

    /// How connecting ended.
    pub fn connected(&mut self) -> io::Result<()> {
        self.connecting = false;
        sockopt::socket_error(&self.fd)??;
        // Where nobody listens on a port that the system may also give to clients, TCP can connect a socket to
        // itself (RFC 9293, 3.5: simultaneous open): one in some ten thousand tries. It would answer with what it
        // was asked, and keep the port from the server.
        let peer = getpeername(&self.fd).ok().flatten();
        if self.tcp && peer.is_some() && peer == getsockname(&self.fd).ok() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(())
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_connected_to_itself_is_a_refusal() {
        let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&fd, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        connect(&fd, &getsockname(&fd).unwrap()).unwrap();
        let error = Place::new(fd, true).connected().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
