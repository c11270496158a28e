//! Opening a socket without waiting for it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use dyno_model::load::Target;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt,
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
    /// Bytes that nobody looks at and that are still to come.
    pub skip: u64,
    /// TCP: the kernel can stamp and throw away.
    pub tcp: bool,
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
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {
                Ok(Self { fd, connecting: true, blocked: false, skip: 0, tcp })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// How connecting ended.
    pub fn connected(&mut self) -> io::Result<()> {
        self.connecting = false;
        Ok(sockopt::socket_error(&self.fd)??)
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
