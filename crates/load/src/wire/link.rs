//! A wire with what is spoken on it: nothing more for HTTP/1.1 in cleartext, else TLS, HTTP/2, or one over the other.
//! The engine sees *lanes*, each of which carries one request at a time: a lane is a connection of HTTP/1.1, or a
//! stream of HTTP/2.

use std::io;

use bytes::Bytes;
use dyno_model::load::{Bytes as Traffic, Target};

use super::{
    ClockOffset, Incoming, Next, Patience, Wire, WireKind,
    http2::Http2Layer,
    tls::{Plain, TlsLayer},
};
use crate::options::{EngineOptions, LoadError, Protocol};

pub struct Link {
    wire: Wire,
    targets: Targets,
    layers: Option<Layers>,
}

/// Where connections are opened to, in turn; at least one place.
struct Targets {
    all: Vec<Target>,
    turn: usize,
}

impl Targets {
    fn next(&mut self) -> &Target {
        let turn = self.turn;
        self.turn = (turn + 1) % self.all.len();
        &self.all[turn]
    }
}

/// What is between the wire and the engine.
struct Layers {
    tls: Option<TlsLayer>,
    http2: Option<Http2Layer>,
    /// What a full socket didn't take, for each connection.
    unsent: Vec<Vec<u8>>,
    /// Connections with something to send.
    touched: Vec<usize>,
}

impl Link {
    /// A link for so many connections, which are opened to `targets` in turn.
    ///
    /// # Errors
    /// The kernel refuses what was asked for, or the TLS options can't be used.
    pub fn new(options: &EngineOptions, connections: usize, targets: Vec<Target>) -> Result<Self, LoadError> {
        let targets = Targets { all: targets, turn: 0 };
        let http2 = (options.protocol == Protocol::Http2).then(|| Http2Layer::new(options.streams));
        let tls = options.tls.as_ref().map(|tls| TlsLayer::new(tls, options.protocol));
        let tls = tls.transpose().map_err(LoadError::Tls)?;
        if http2.is_none() && tls.is_none() {
            // A ring reads from what is sent until it completes.
            let wire = match options.wire {
                WireKind::Uring if options.makes_requests() => {
                    let words = "redirects and sequences go over epoll";
                    return Err(io::Error::new(io::ErrorKind::Unsupported, words).into());
                }
                WireKind::Best if options.makes_requests() => WireKind::Epoll,
                kind => kind,
            };
            return Ok(Self { wire: Wire::new(wire, connections)?, targets, layers: None });
        }
        // A ring reads from what is sent until it completes; records and frames are made anew for every request.
        if options.wire == WireKind::Uring {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "TLS and HTTP/2 go over epoll").into());
        }
        let layers = Layers { tls, http2, unsent: Vec::new(), touched: Vec::new() };
        Ok(Self { wire: Wire::new(WireKind::Epoll, connections)?, targets, layers: Some(layers) })
    }

    /// Bytes that went over the wire ever.
    pub const fn bytes(&self) -> Traffic {
        self.wire.bytes()
    }

    /// Whether sends are gathered until [`Link::flush`].
    pub const fn gathers(&self) -> bool {
        self.wire.gathers() || self.layers.is_some()
    }

    /// Whether a body that nobody checks can be dropped in the kernel.
    pub const fn may_skip(&self) -> bool {
        self.layers.is_none()
    }

    /// Begins to open a lane. `Connected`, `Joined` or `NotConnected` follows.
    pub fn open(&mut self, lane: usize) -> io::Result<()> {
        if let Some(Layers { http2: Some(http2), .. }) = &mut self.layers
            && !http2.open(lane)
        {
            return Ok(());
        }
        let socket = self.socket(lane);
        if let Some(Layers { tls: Some(tls), .. }) = &mut self.layers {
            tls.end(socket);
        }
        self.wire.open(socket, self.targets.next())
    }

    /// The connection of a lane.
    fn socket(&self, lane: usize) -> usize {
        match &self.layers {
            Some(Layers { http2: Some(http2), .. }) => http2.socket(lane),
            _ => lane,
        }
    }

    /// Closes a lane; of HTTP/2 its stream, of HTTP/1.1 its connection.
    pub fn close(&mut self, lane: usize) {
        let socket = self.socket(lane);
        if let Some(Layers { tls, http2, touched, .. }) = &mut self.layers {
            if let Some(http2) = http2
                && !http2.close(lane)
            {
                // The stream is cancelled with the next flush.
                return touched.push(socket);
            }
            if let Some(tls) = tls {
                tls.end(socket);
            }
        }
        self.wire.close(socket);
    }

    /// Sends bytes of HTTP/1.1, and returns how many were taken. See [`Wire::send`].
    pub fn send(&mut self, lane: usize, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.layers {
            Some(Layers { tls: Some(tls), touched, .. }) => {
                tls.send(lane, bytes)?;
                touched.push(lane);
                Ok(bytes.len())
            }
            _ => self.wire.send(lane, bytes),
        }
    }

    /// Asks by HTTP/2. `false`: the lane must be opened again first, which it is, and nothing was sent.
    pub fn ask(&mut self, lane: usize, request: &http::Request<()>, body: &Bytes) -> io::Result<bool> {
        let Some(Layers { http2: Some(http2), touched, .. }) = &mut self.layers else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        touched.push(http2.socket(lane));
        http2.ask(lane, request, body)
    }

    /// Hands what was gathered to the kernel. News of connections that turn out to be gone are told with the next
    /// [`Link::take`].
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(layers) = &mut self.layers else { return self.wire.flush() };
        layers.flush(&mut self.wire);
        Ok(())
    }

    /// Waits. See [`Wire::wait`].
    pub fn wait(&mut self, patience: Patience) -> io::Result<()> {
        if let Some(Layers { http2: Some(http2), .. }) = &self.layers
            && http2.has_news()
        {
            return Ok(());
        }
        self.wire.wait(patience)
    }

    /// Tells the sink of everything that happened, without waiting.
    pub fn take(
        &mut self,
        offset: ClockOffset,
        sink: &mut impl FnMut(usize, Incoming<'_>) -> Next,
    ) -> io::Result<()> {
        let Some(layers) = &mut self.layers else { return self.wire.take(offset, sink) };
        if let Some(http2) = &mut layers.http2 {
            http2.tell_news(sink);
        }
        self.wire.take(offset, &mut |socket, incoming| layers.take(socket, incoming, sink))?;
        layers.flush(&mut self.wire);
        layers.reopen(&mut self.wire, &mut self.targets, sink);
        Ok(())
    }

    /// See [`Wire::prefer_skipping`].
    pub fn prefer_skipping(
        &mut self,
        offset: ClockOffset,
        sink: &mut impl FnMut(usize, Incoming<'_>) -> Next,
    ) -> io::Result<()> {
        if self.layers.is_some() {
            return self.take(offset, sink);
        }
        self.wire.prefer_skipping(offset, sink)
    }

    /// In words, for people.
    pub fn words(&self) -> String {
        let mut words = self.wire.words().to_owned();
        if let Some(layers) = &self.layers {
            if layers.http2.is_some() {
                words += ", HTTP/2";
            }
            if layers.tls.is_some() {
                words += ", TLS";
            }
        }
        words
    }
}

type Sink<'s> = &'s mut dyn FnMut(usize, Incoming<'_>) -> Next;

impl Layers {
    /// News of a connection, told as news of its lanes.
    fn take(&mut self, socket: usize, incoming: Incoming<'_>, sink: Sink<'_>) -> Next {
        match incoming {
            Incoming::Connected => {
                if let Some(unsent) = self.unsent.get_mut(socket) {
                    unsent.clear();
                }
                self.touched.push(socket);
                let Some(tls) = &mut self.tls else { return self.ready(socket, sink) };
                match tls.begin(socket) {
                    Ok(()) => Next::More,
                    Err(error) => self.not_connected(socket, error, sink),
                }
            }
            Incoming::NotConnected(error) => self.not_connected(socket, error, sink),
            Incoming::Writable => {
                self.touched.push(socket);
                Next::More
            }
            Incoming::Bytes(bytes, at_ns) if self.tls.is_some() => self.records(socket, bytes, at_ns, sink),
            Incoming::Bytes(bytes, at_ns) => self.plain(socket, bytes, at_ns, sink),
            Incoming::Ended | Incoming::Broken => self.gone(socket, incoming, sink),
            other => sink(socket, other),
        }
    }

    /// Bytes may be sent: the connection is open, with its TLS.
    fn ready(&mut self, socket: usize, sink: Sink<'_>) -> Next {
        let Some(http2) = &mut self.http2 else { return sink(socket, Incoming::Connected) };
        match http2.connected(socket, sink) {
            Ok(()) => Next::More,
            Err(error) => self.not_connected(socket, error, sink),
        }
    }

    fn not_connected(&mut self, socket: usize, error: io::Error, sink: Sink<'_>) -> Next {
        match &mut self.http2 {
            Some(http2) => http2.not_connected(socket, &error, sink),
            None => {
                sink(socket, Incoming::NotConnected(error));
            }
        }
        Next::Close
    }

    fn records(&mut self, socket: usize, bytes: &[u8], at_ns: Option<u64>, sink: Sink<'_>) -> Next {
        let Some(mut tls) = self.tls.take() else { return Next::Close };
        let was_ready = tls.ready(socket);
        let (mut next, mut ended) = (Next::More, false);
        let result = tls.receive(socket, bytes, &mut |plain| {
            if next == Next::Close {
                return;
            }
            match plain {
                Plain::Ready => next = self.ready(socket, sink),
                Plain::Bytes(bytes) => next = self.plain(socket, bytes, at_ns, sink),
                Plain::Ended => ended = true,
            }
        });
        self.tls = Some(tls);
        self.touched.push(socket);
        match result {
            Ok(()) if ended && next != Next::Close => self.gone(socket, Incoming::Ended, sink),
            Err(error) if !was_ready && next == Next::More => self.not_connected(socket, error, sink),
            Err(_) if next != Next::Close => {
                self.gone(socket, Incoming::Broken, sink);
                Next::Close
            }
            // Nothing is dropped in the kernel under TLS.
            _ if next == Next::Close => Next::Close,
            _ => Next::More,
        }
    }

    fn plain(&mut self, socket: usize, bytes: &[u8], at_ns: Option<u64>, sink: Sink<'_>) -> Next {
        let Some(http2) = &mut self.http2 else { return sink(socket, Incoming::Bytes(bytes, at_ns)) };
        self.touched.push(socket);
        if http2.receive(socket, bytes, at_ns, sink) { Next::More } else { Next::Close }
    }

    fn gone(&mut self, socket: usize, how: Incoming<'_>, sink: Sink<'_>) -> Next {
        // A handshake that is cut off opens nothing.
        if let Some(tls) = &mut self.tls {
            let was_ready = tls.ready(socket);
            tls.end(socket);
            if !was_ready {
                let error = io::Error::new(io::ErrorKind::ConnectionReset, "TLS: closed in the handshake");
                return self.not_connected(socket, error, sink);
            }
        }
        match (&mut self.http2, how) {
            (Some(http2), Incoming::Ended) => http2.ended(socket, sink),
            (Some(http2), how) => http2.lost(socket, how, sink),
            (None, how) => {
                sink(socket, how);
            }
        }
        Next::Close
    }

    /// Opens connections again that lanes wait for.
    fn reopen(&mut self, wire: &mut Wire, targets: &mut Targets, sink: Sink<'_>) {
        let Some(http2) = &mut self.http2 else { return };
        for socket in std::mem::take(&mut http2.reopen) {
            wire.close(socket);
            if let Some(tls) = &mut self.tls {
                tls.end(socket);
            }
            if let Err(error) = wire.open(socket, targets.next()) {
                http2.not_connected(socket, &error, sink);
            }
        }
    }

    /// Frames into records, records into sockets, as far as those take them.
    fn flush(&mut self, wire: &mut Wire) {
        for socket in std::mem::take(&mut self.touched) {
            if self.unsent.len() <= socket {
                self.unsent.resize_with(socket + 1, Vec::new);
            }
            if let Some(http2) = self.http2.as_mut().filter(|http2| http2.is_open(socket)) {
                http2.write(socket);
                let frames = http2.output(socket);
                match &mut self.tls {
                    // A session that fails here fails on reading too, where it is told.
                    Some(tls) => drop(tls.send(socket, &frames)),
                    None => append(&mut self.unsent[socket], frames),
                }
            }
            if let Some(records) = self.tls.as_mut().and_then(|tls| tls.output(socket)) {
                append(&mut self.unsent[socket], std::mem::take(records));
            }
            let unsent = &mut self.unsent[socket];
            if unsent.is_empty() {
                continue;
            }
            match wire.send(socket, unsent) {
                Ok(length) => drop(unsent.drain(..length)),
                // A broken socket is told by the wire.
                Err(_) => unsent.clear(),
            }
        }
    }
}

fn append(to: &mut Vec<u8>, mut from: Vec<u8>) {
    if to.is_empty() { *to = from } else { to.append(&mut from) }
}
