//! HTTP/2 over a wire, by the h2 library: each connection carries several *lanes*, a lane one request at a time. No
//! sockets and no runtime here: bytes go in and out of memory, and futures are polled when bytes have come.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    client::{Builder, Connection, ResponseFuture, SendRequest},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Incoming, Next};
use crate::answer::LARGEST_HEAD;

/// Bytes of an answer, and of all answers of a connection, that may be under way before we have read them: so large
/// that a load tool isn't what a server waits for.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 24;

/// The HTTP/2 side of every connection.
pub struct Http2Layer {
    /// Lanes of a connection.
    streams: usize,
    sessions: Vec<Option<Session>>,
    lanes: Vec<Lane>,
    /// Lanes whose answers have news.
    woken: Arc<Mutex<Vec<u32>>>,
    wakers: Vec<Waker>,
    /// Lanes that were opened on a connection that was open already.
    joined: Vec<u32>,
    /// Connections that ended while something was written.
    over: Vec<usize>,
    /// Connections that are gone and that lanes wait for: whoever has the wire opens them.
    pub reopen: Vec<usize>,
}

struct Session {
    pipe: Arc<Mutex<Buffers>>,
    sender: SendRequest<Bytes>,
    connection: Connection<Pipe, Bytes>,
    /// The server takes no more requests on it (GOAWAY); those that it has taken are still answered.
    leaving: bool,
}

impl Session {
    /// Reads and writes as far as memory has it. Returns whether the connection is over.
    fn poll(&mut self) -> bool {
        Pin::new(&mut self.connection).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

#[derive(Default)]
enum Lane {
    #[default]
    Closed,
    Opening,
    Open,
    Waiting(ResponseFuture),
    Reading(RecvStream),
}

/// Marks a lane as one to look at.
struct Woken {
    lane: u32,
    all: Arc<Mutex<Vec<u32>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        locked(&self.all).push(self.lane);
    }
}

/// Nobody else holds these locks: one thread owns everything here. They are what h2's types ask for.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Sink<'s> = &'s mut dyn FnMut(usize, Incoming<'_>) -> Next;

impl Http2Layer {
    pub fn new(streams: u32) -> Self {
        Self {
            streams: streams.max(1) as usize,
            sessions: Vec::new(),
            lanes: Vec::new(),
            woken: Arc::default(),
            wakers: Vec::new(),
            joined: Vec::new(),
            over: Vec::new(),
            reopen: Vec::new(),
        }
    }

    /// Which connection a lane is on.
    pub const fn socket(&self, lane: usize) -> usize {
        lane / self.streams
    }

    fn lanes_of(&self, socket: usize) -> std::ops::Range<usize> {
        let first = socket * self.streams;
        first..(first + self.streams).min(self.lanes.len())
    }

    /// Opens a lane. Returns whether its connection must be opened for it.
    pub fn open(&mut self, lane: usize) -> bool {
        for number in self.lanes.len()..=lane {
            let woken = Woken { lane: number as u32, all: Arc::clone(&self.woken) };
            self.lanes.push(Lane::Closed);
            self.wakers.push(Waker::from(Arc::new(woken)));
        }
        let socket = self.socket(lane);
        if let Some(Some(session)) = self.sessions.get(socket) {
            // A connection that the server is leaving is opened again when it is gone.
            self.lanes[lane] = if session.leaving { Lane::Opening } else { Lane::Open };
            if !session.leaving {
                self.joined.push(lane as u32);
            }
            return false;
        }
        let opening = self.lanes_of(socket).any(|one| matches!(self.lanes[one], Lane::Opening));
        self.lanes[lane] = Lane::Opening;
        !opening
    }

    /// Closes a lane: an answer that was awaited is cancelled (RST_STREAM). Returns whether its connection is
    /// still being opened and nobody waits for it any more.
    pub fn close(&mut self, lane: usize) -> bool {
        let Some(old) = self.lanes.get_mut(lane).map(std::mem::take) else { return false };
        let socket = self.socket(lane);
        matches!(old, Lane::Opening)
            && !self.is_open(socket)
            && !self.lanes_of(socket).any(|one| matches!(self.lanes[one], Lane::Opening))
    }

    /// Whether news wait that no event will tell.
    pub fn has_news(&self) -> bool {
        !self.joined.is_empty() || !self.over.is_empty() || !locked(&self.woken).is_empty()
    }

    /// Tells of what happened while nothing came: lanes opened on open connections, connections that ended.
    pub fn tell_news(&mut self, sink: Sink<'_>) {
        for lane in std::mem::take(&mut self.joined) {
            self.tell(lane as usize, Incoming::Joined, sink);
        }
        self.look_at_woken(None, sink);
        for socket in std::mem::take(&mut self.over) {
            self.lost(socket, Incoming::Ended, sink);
        }
    }

    fn tell(&mut self, lane: usize, incoming: Incoming<'_>, sink: Sink<'_>) {
        if sink(lane, incoming) == Next::Close {
            self.lanes[lane] = Lane::Closed;
        }
    }

    /// The connection is open: begins HTTP/2 on it (RFC 9113, 3.4).
    pub fn connected(&mut self, socket: usize, sink: Sink<'_>) -> io::Result<()> {
        let pipe = Arc::new(Mutex::new(Buffers::default()));
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .max_header_list_size(LARGEST_HEAD as u32)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let handshake = std::pin::pin!(builder.handshake::<_, Bytes>(Pipe(Arc::clone(&pipe))));
        // It only writes, and memory takes everything at once.
        let (sender, connection) = match handshake.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(pair)) => pair,
            Poll::Ready(Err(error)) => return Err(io::Error::other(error)),
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        };
        if self.sessions.len() <= socket {
            self.sessions.resize_with(socket + 1, || None);
        }
        self.sessions[socket] = Some(Session { pipe, sender, connection, leaving: false });
        let mut first = true;
        for lane in self.lanes_of(socket) {
            if matches!(self.lanes[lane], Lane::Opening) {
                self.lanes[lane] = Lane::Open;
                let incoming =
                    if std::mem::take(&mut first) { Incoming::Connected } else { Incoming::Joined };
                self.tell(lane, incoming, sink);
            }
        }
        Ok(())
    }

    /// The connection couldn't be opened.
    pub fn not_connected(&mut self, socket: usize, error: &io::Error, sink: Sink<'_>) {
        for lane in self.lanes_of(socket) {
            if matches!(std::mem::take(&mut self.lanes[lane]), Lane::Opening) {
                let error = io::Error::new(error.kind(), error.to_string());
                sink(lane, Incoming::NotConnected(error));
            }
        }
    }

    /// Asks on a lane. Its frames are among the connection's output after [`Self::write`]. A server that takes no
    /// more requests on this connection gets none: the lane is then opened again, and `false` is returned.
    pub fn ask(&mut self, lane: usize, request: &http::Request<()>, body: &Bytes) -> io::Result<bool> {
        let socket = self.socket(lane);
        let Some(Some(session)) = self.sessions.get_mut(socket) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        // A handle of its own: the server's limit of streams holds back this request, and no other.
        let asked = session.sender.clone().send_request(request.clone(), body.is_empty());
        let (mut answer, mut stream) = match asked {
            Ok(pair) => pair,
            Err(error) if error.is_go_away() || error.is_io() => {
                session.leaving = true;
                self.lanes[lane] = Lane::Opening;
                return Ok(false);
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        if !body.is_empty() {
            // What the server's window doesn't take yet is kept by h2.
            stream.send_data(body.clone(), true).map_err(io::Error::other)?;
        }
        // The first poll says whom to wake.
        let mut context = Context::from_waker(&self.wakers[lane]);
        if let Poll::Ready(Err(error)) = Pin::new(&mut answer).poll(&mut context) {
            return Err(io::Error::other(error));
        }
        self.lanes[lane] = Lane::Waiting(answer);
        Ok(true)
    }

    /// Takes bytes that came on a connection at `at_ns`, tells what is in them. Returns whether the connection lives.
    pub fn receive(&mut self, socket: usize, bytes: &[u8], at_ns: Option<u64>, sink: Sink<'_>) -> bool {
        if let Some(Some(session)) = self.sessions.get(socket) {
            locked(&session.pipe).input.extend_from_slice(bytes);
        }
        self.advance(socket, at_ns, sink)
    }

    /// Lets a connection go on, and tells what its lanes have. Returns whether it lives.
    fn advance(&mut self, socket: usize, at_ns: Option<u64>, sink: Sink<'_>) -> bool {
        let Some(Some(session)) = self.sessions.get_mut(socket) else { return false };
        let over = session.poll();
        self.look_at_woken(at_ns, sink);
        if over {
            self.lost(socket, Incoming::Ended, sink);
        }
        !over
    }

    /// Lets a connection write what it has: requests, windows opened again, streams that were cancelled.
    pub fn write(&mut self, socket: usize) {
        if let Some(Some(session)) = self.sessions.get_mut(socket)
            && session.poll()
            && !self.over.contains(&socket)
        {
            self.over.push(socket);
        }
    }

    fn look_at_woken(&mut self, at_ns: Option<u64>, sink: Sink<'_>) {
        let woken = std::mem::take(&mut *locked(&self.woken));
        for lane in woken {
            self.look(lane as usize, at_ns, sink);
        }
    }

    /// Polls the answer of a lane as far as it is there.
    fn look(&mut self, lane: usize, at_ns: Option<u64>, sink: Sink<'_>) {
        loop {
            let mut context = Context::from_waker(&self.wakers[lane]);
            match &mut self.lanes[lane] {
                Lane::Waiting(answer) => match Pin::new(answer).poll(&mut context) {
                    Poll::Pending => return,
                    Poll::Ready(Err(error)) => return self.fail(lane, &error, sink),
                    Poll::Ready(Ok(answer)) => {
                        let (head, body) = answer.into_parts();
                        self.lanes[lane] = Lane::Reading(body);
                        self.tell(lane, Incoming::Head(&head, at_ns), sink);
                    }
                },
                Lane::Reading(body) => match body.poll_data(&mut context) {
                    Poll::Pending => return,
                    Poll::Ready(Some(Err(error))) => return self.fail(lane, &error, sink),
                    Poll::Ready(Some(Ok(bytes))) => {
                        let _ = body.flow_control().release_capacity(bytes.len());
                        self.tell(lane, Incoming::Body(&bytes), sink);
                    }
                    Poll::Ready(None) => {
                        self.lanes[lane] = Lane::Open;
                        return self.tell(lane, Incoming::Whole(at_ns), sink);
                    }
                },
                Lane::Closed | Lane::Opening | Lane::Open => return,
            }
        }
    }

    /// An answer that doesn't come: by whose fault?
    fn fail(&mut self, lane: usize, error: &h2::Error, sink: Sink<'_>) {
        self.lanes[lane] = Lane::Closed;
        let incoming = if is_unprocessed(error) {
            Incoming::Unprocessed
        } else if error.is_io() {
            Incoming::Ended
        } else if error.is_remote() {
            Incoming::Broken
        } else {
            Incoming::Malformed
        };
        sink(lane, incoming);
    }

    /// A connection is gone: tells every lane that was open on it.
    pub fn lost(&mut self, socket: usize, how: Incoming<'_>, sink: Sink<'_>) {
        if let Some(session) = self.sessions.get_mut(socket) {
            *session = None;
        }
        let reset = matches!(how, Incoming::Broken);
        let (mut first, mut reopen) = (true, false);
        for lane in self.lanes_of(socket) {
            let told = match std::mem::take(&mut self.lanes[lane]) {
                Lane::Closed => continue,
                Lane::Opening => {
                    self.lanes[lane] = Lane::Opening;
                    reopen = true;
                    continue;
                }
                Lane::Open if std::mem::take(&mut first) => Incoming::Ended,
                Lane::Open => Incoming::Left,
                Lane::Waiting(_) | Lane::Reading(_) if reset => Incoming::Broken,
                Lane::Waiting(_) | Lane::Reading(_) => Incoming::Ended,
            };
            first = false;
            sink(lane, told);
        }
        if reopen {
            self.reopen.push(socket);
        }
    }

    /// The other side sends no more: what had come is told, then the connection is gone.
    pub fn ended(&mut self, socket: usize, sink: Sink<'_>) {
        if let Some(Some(session)) = self.sessions.get(socket) {
            locked(&session.pipe).ended = true;
        }
        if self.advance(socket, None, sink) {
            self.lost(socket, Incoming::Ended, sink);
        }
    }

    /// Bytes that are to be sent on a connection, taken out.
    pub fn output(&mut self, socket: usize) -> Vec<u8> {
        match self.sessions.get(socket) {
            Some(Some(session)) => std::mem::take(&mut locked(&session.pipe).output),
            _ => Vec::new(),
        }
    }

    /// Whether the connection speaks HTTP/2 already.
    pub fn is_open(&self, socket: usize) -> bool {
        matches!(self.sessions.get(socket), Some(Some(_)))
    }
}

/// Whether the server says that it hasn't begun with a request: its stream is above the last of a goodbye (GOAWAY), or was
/// refused (RFC 9113, 8.7). h2 gives the goodbye to no other stream.
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
}

/// What came and what is to be sent, in memory.
#[derive(Default)]
struct Buffers {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
    ended: bool,
}

struct Pipe(Arc<Mutex<Buffers>>);

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffers = locked(&self.0);
        let length = (buffers.input.len() - buffers.read).min(into.remaining());
        if length == 0 {
            // Whoever brings bytes polls again: nobody needs waking.
            return if buffers.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let from = buffers.read;
        into.put_slice(&buffers.input[from..from + length]);
        buffers.read += length;
        if buffers.read == buffers.input.len() {
            buffers.input.clear();
            buffers.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        locked(&self.0).output.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
