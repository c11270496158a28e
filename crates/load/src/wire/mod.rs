//! Sockets and waiting, behind one small face: io_uring with batched submissions where the kernel has what that
//! needs, epoll everywhere. What came is told to a *sink*, which says what to do next.

mod epoll;
mod http2;
mod link;
mod socket;
mod stamps;
mod tls;
mod uring;

use std::io;

use dyno_model::load::{Bytes, Target};

pub use link::Link;
pub use socket::Place;
pub use stamps::ClockOffset;

use epoll::Epoll;
use uring::Uring;

/// Which way of waiting and moving bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WireKind {
    /// io_uring where the kernel has it (6.12 or newer, not forbidden) and it fits the load, else epoll.
    #[default]
    Best,
    /// epoll, whatever the kernel has.
    Epoll,
    /// io_uring, or an error.
    Uring,
}

/// What happened on a connection.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// It is open.
    Connected,
    /// A lane is open on a connection that was open already (HTTP/2).
    Joined,
    /// It couldn't be opened.
    NotConnected(io::Error),
    /// Bytes, and when the kernel received the last of them (CLOCK_MONOTONIC), if it says so.
    Bytes(&'a [u8], Option<u64>),
    /// Bytes that the kernel threw away as it was asked to.
    Skipped(u64, Option<u64>),
    /// More can be written.
    Writable,
    /// The other side closed it.
    Ended,
    /// It was reset, or broke on writing; of HTTP/2 the stream alone, perhaps.
    Broken,
    /// A lane without a request was on a connection that ended, and isn't the first of it that is told (HTTP/2).
    Left,
    /// The server says that it hasn't processed the request of a lane, which is closed (HTTP/2).
    Unprocessed,
    /// The answer breaks the rules of HTTP/2.
    Malformed,
    /// The head of an answer by HTTP/2.
    Head(&'a http::response::Parts, Option<u64>),
    /// A part of its body.
    Body(&'a [u8]),
    /// It is whole.
    Whole(Option<u64>),
}

/// What the sink wants of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    More,
    /// So many bytes follow that nobody looks at.
    Skip(u64),
    /// Close the connection.
    Close,
}

/// How to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until this moment at the latest (CLOCK_MONOTONIC).
    pub until_ns: u64,
    /// Until so many things have happened …
    pub want: u32,
    /// … but no longer than this if anything has.
    pub nap_ns: u64,
}

/// Sockets with what waits on them.
#[allow(clippy::large_enum_variant, reason = "there is one in an engine")]
pub enum Wire {
    Epoll(Epoll),
    Uring(Uring),
}

impl Wire {
    /// The best wire of a kind on this machine. A ring belongs to the thread that makes it.
    pub fn new(kind: WireKind, connections: usize) -> io::Result<Self> {
        match kind {
            WireKind::Epoll => Ok(Self::Epoll(Epoll::new()?)),
            WireKind::Uring => Ok(Self::Uring(Uring::new(connections)?)),
            WireKind::Best => match Uring::new(connections) {
                Ok(ring) => Ok(Self::Uring(ring)),
                Err(_) => Ok(Self::Epoll(Epoll::new()?)),
            },
        }
    }

    /// Bytes that went over it ever.
    pub const fn bytes(&self) -> Bytes {
        match self {
            Self::Epoll(epoll) => epoll.bytes,
            Self::Uring(ring) => ring.bytes,
        }
    }

    /// Whether sends are gathered until [`Wire::flush`].
    pub const fn gathers(&self) -> bool {
        matches!(self, Self::Uring(_))
    }

    /// Begins to open connection `index`, which is closed first. `Connected` or `NotConnected` follows.
    pub fn open(&mut self, index: usize, target: &Target) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => epoll.open(index, target),
            Self::Uring(ring) => ring.open(index, target),
        }
    }

    /// Closes a connection.
    pub fn close(&mut self, index: usize) {
        match self {
            Self::Epoll(epoll) => epoll.close(index),
            Self::Uring(ring) => ring.close(index),
        }
    }

    /// Sends, and returns how many bytes the kernel took; `Writable` follows when it didn't take all.
    /// The bytes must live as long as the wire.
    pub fn send(&mut self, index: usize, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Epoll(epoll) => epoll.send(index, bytes),
            Self::Uring(ring) => ring.send(index, bytes),
        }
    }

    /// Hands gathered sends to the kernel.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Epoll(_) => Ok(()),
            Self::Uring(ring) => ring.flush(),
        }
    }

    /// Waits.
    pub fn wait(&mut self, patience: Patience) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => epoll.wait(patience),
            Self::Uring(ring) => ring.wait(patience),
        }
    }

    /// Tells the sink of everything that happened, without waiting.
    pub fn take(
        &mut self,
        offset: ClockOffset,
        sink: &mut impl FnMut(usize, Incoming<'_>) -> Next,
    ) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => {
                epoll.take(offset, sink);
                Ok(())
            }
            Self::Uring(ring) => ring.take(offset, sink),
        }
    }

    /// Large bodies follow that nobody looks at: epoll lets the kernel throw them away, which a ring with
    /// its own buffers can't. Moves all connections; nothing that has come is lost.
    pub fn prefer_skipping(
        &mut self,
        offset: ClockOffset,
        sink: &mut impl FnMut(usize, Incoming<'_>) -> Next,
    ) -> io::Result<()> {
        if let Self::Uring(ring) = self {
            let mut epoll = Epoll::new()?;
            for (index, place) in ring.dissolve(offset, sink)? {
                epoll.adopt(index, place)?;
            }
            epoll.bytes = ring.bytes;
            *self = Self::Epoll(epoll);
        }
        if let Self::Epoll(epoll) = self {
            epoll.read_heads_only();
        }
        Ok(())
    }

    /// In words, for people.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Epoll(epoll) if epoll.skips() => "epoll, bodies dropped in the kernel",
            Self::Epoll(_) => "epoll",
            Self::Uring(_) => "io_uring, batched",
        }
    }
}
