//! One connection: at most one request in flight.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use dyno_model::load::Target;

use crate::http::{AnswerReader, Malformed};

/// A stream to the target, never blocking after its start.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Connects. On loopback this is done before the call returns, or refused.
    pub fn connect(target: &Target, timeout: Duration) -> io::Result<Self> {
        match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, timeout)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Tcp(stream))
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Unix(stream))
            }
        }
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    /// Index of the request.
    pub request: usize,
    /// When it was due, by the schedule; in a closed loop when it was sent.
    pub due_ns: u64,
    /// When its first byte was handed to the kernel.
    pub sent_ns: u64,
    /// Bytes written so far.
    written: usize,
}

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing whole yet.
    Pending,
    /// The answer is whole, in the reader.
    Whole,
    /// The connection ended before the answer was whole.
    Closed,
    /// The bytes aren't an answer.
    Malformed,
}

/// A connection and what is on it.
#[derive(Default)]
pub struct Connection {
    /// `None`: to be opened again before the next request.
    pub stream: Option<Stream>,
    /// What is in flight.
    pub in_flight: Option<InFlight>,
    /// When it got free for a request.
    pub free_ns: u64,
    /// The answer so far.
    pub reader: AnswerReader,
}

impl Connection {
    /// Begins a request; bytes that the kernel doesn't take now follow in [`Connection::write_rest`].
    pub fn send(&mut self, flight: (usize, u64, u64), bytes: &[u8]) -> io::Result<()> {
        let (request, due_ns, sent_ns) = flight;
        self.reader.clear();
        self.in_flight = Some(InFlight { request, due_ns, sent_ns, written: 0 });
        self.write_rest(bytes)
    }

    /// Writes on as far as the kernel takes it.
    pub fn write_rest(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (Some(stream), Some(flight)) = (&mut self.stream, &mut self.in_flight) else { return Ok(()) };
        while flight.written < bytes.len() {
            match stream.write(&bytes[flight.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => flight.written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what has come. `ending`: the other side has closed, or it isn't known: read to the end, for no
    /// further event will tell.
    pub fn receive(&mut self, scratch: &mut [u8], ending: bool) -> Received {
        let Some(stream) = &mut self.stream else { return Received::Closed };
        loop {
            match stream.read(scratch) {
                Ok(0) => return if self.reader.end() { Received::Whole } else { Received::Closed },
                Ok(length) => match self.reader.push(&scratch[..length]) {
                    Ok(true) => return Received::Whole,
                    // A short read emptied the socket: no need to ask again.
                    Ok(false) if !ending && length < scratch.len() => return Received::Pending,
                    Ok(false) => {}
                    Err(Malformed) => return Received::Malformed,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Received::Pending,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Received::Closed,
            }
        }
    }

    /// Whether an idle connection is still good: nothing came and nobody closed it.
    pub fn is_idle_and_open(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
