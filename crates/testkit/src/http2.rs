//! HTTP/2 over cleartext on raw frames (RFC 9113), with prior knowledge: servers that take back what they haven't
//! processed, and count what they saw.

use std::{
    collections::HashSet,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
/// `:status 200` in HPACK's static table.
const STATUS_200: &[u8] = &[0x88];
const PREFACE: usize = 24;

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Way {
    /// Answers every request with `yes`.
    Answers,
    /// Answers so many requests of a connection, then says goodbye (GOAWAY) with the last of them as the last that it
    /// processed: what was sent after it is not answered.
    GoodbyeAfter(u64),
    /// Refuses every n-th request of a connection (`RST_STREAM` with `REFUSED_STREAM`).
    RefusesEach(u64),
    /// Refuses all requests.
    RefusesAll,
}

/// A server on a free loopback port, one thread for each connection, gone when dropped.
pub struct Http2Server {
    address: SocketAddr,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
    connections: AtomicU64,
}

impl Http2Server {
    /// Starts a server.
    ///
    /// # Panics
    /// No loopback port can be bound.
    pub fn start(way: Http2Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("a bound port has an address");
        let server = Self { address, counts: Arc::default(), stop: Arc::default() };
        let (counts, stop) = (Arc::clone(&server.counts), Arc::clone(&server.stop));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                counts.connections.fetch_add(1, Ordering::SeqCst);
                let counts = Arc::clone(&counts);
                thread::spawn(move || serve(&stream, way, &counts));
            }
        });
        server
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it has answered.
    pub fn answered(&self) -> u64 {
        self.counts.answered.load(Ordering::SeqCst)
    }

    /// Requests that it has refused, or that came after its goodbye.
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::SeqCst)
    }

    /// Connections that it has taken.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees the stop and frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn answer(stream: u32) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, stream, STATUS_200), frame(DATA, END_STREAM, stream, b"yes")].concat()
}

fn serve(mut stream: &TcpStream, way: Http2Way, counts: &Counts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.read_exact(&mut [0; PREFACE])?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    let mut number = 0;
    let mut asked = HashSet::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload)?;
        let (kind, flags) = (head[3], head[4]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => stream.write_all(&frame(PING, ACK, 0, &payload))?,
            HEADERS | DATA if flags & END_STREAM != 0 && asked.insert(id) => {
                number += 1;
                respond(stream, way, number, id, counts)?;
            }
            _ => {}
        }
    }
}

fn respond(mut stream: &TcpStream, way: Http2Way, number: u64, id: u32, counts: &Counts) -> io::Result<()> {
    let refuses = match way {
        Http2Way::Answers => false,
        Http2Way::GoodbyeAfter(last) => number > last,
        Http2Way::RefusesEach(each) => number.is_multiple_of(each),
        Http2Way::RefusesAll => true,
    };
    if refuses {
        counts.refused.fetch_add(1, Ordering::SeqCst);
        if !matches!(way, Http2Way::GoodbyeAfter(_)) {
            stream.write_all(&frame(RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes()))?;
        }
        return Ok(());
    }
    counts.answered.fetch_add(1, Ordering::SeqCst);
    stream.write_all(&answer(id))?;
    if way == Http2Way::GoodbyeAfter(number) {
        let goodbye = [id.to_be_bytes(), 0u32.to_be_bytes()].concat();
        stream.write_all(&frame(GOAWAY, 0, 0, &goodbye))?;
        stream.shutdown(Shutdown::Write)?;
    }
    Ok(())
}
