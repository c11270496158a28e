//! For tests only: servers of known behaviour, which count what they saw, and a browser.

pub mod browser;
pub mod faults;
pub mod http2;
pub mod tls;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What a request looked like to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// Body.
    pub body: Vec<u8>,
    /// Number of the request over all connections, from 0.
    pub number: u64,
    /// Time since the server began.
    pub at: Duration,
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers with a status, a content type and a body.
    Answer(u16, &'static str, Vec<u8>),
    /// Writes these bytes as they are.
    Raw(Vec<u8>),
    /// Writes these bytes and closes the connection.
    RawThenClose(Vec<u8>),
    /// Says nothing, ever.
    Silence,
}

/// A server on a free loopback port, one thread for each connection, gone when dropped.
pub struct FakeServer {
    address: SocketAddr,
    seen: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl FakeServer {
    /// Starts a server that replies as `behaviour` says; sleeping in it makes the answer slow.
    ///
    /// # Panics
    /// No loopback port can be bound.
    pub fn start(behaviour: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("a bound port has an address");
        let (seen, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (behaviour, begin) = (Arc::new(behaviour), Instant::now());
        let (counter, ended) = (Arc::clone(&seen), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (behaviour, counter) = (Arc::clone(&behaviour), Arc::clone(&counter));
                thread::spawn(move || serve(&stream, &counter, begin, &*behaviour));
            }
        });
        Self { address, seen, stop }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it has read whole.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees the stop and frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: &TcpStream,
    counter: &AtomicU64,
    begin: Instant,
    behaviour: &dyn Fn(&Seen) -> Reply,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let number = counter.fetch_add(1, Ordering::SeqCst);
        match behaviour(&Seen { method, target, body, number, at: begin.elapsed() }) {
            Reply::Answer(status, content_type, body) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                writer.write_all(&[head.as_bytes(), &body].concat()).ok()?;
            }
            Reply::Raw(bytes) => writer.write_all(&bytes).ok()?,
            Reply::RawThenClose(bytes) => {
                writer.write_all(&bytes).ok()?;
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return None;
            }
            Reply::Silence => {
                // Until the client closes.
                let _ = reader.read(&mut [0]);
                return None;
            }
        }
    }
}
