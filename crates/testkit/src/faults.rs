//! Servers that break the rules of HTTP, each in one way, on raw sockets: what a connection does is a script, the
//! same for all connections. They count what they saw, and are gone, with every thread, when dropped.
//!
//! No client here, and no opinion: what a fault must be counted as is the business of the client's tests.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{self, RecvFlags, SendFlags, Shutdown, sockopt},
};

/// What a connection does next. At the end of its script it is closed.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads the head of a request, which is counted; closes if the client does.
    Head,
    /// Reads the body that the last head announced by `Content-Length`.
    Body,
    /// Reads the announced body in small pieces with a pause before each.
    SlowBody(Duration),
    /// Writes these bytes at once.
    Say(Vec<u8>),
    /// Writes these bytes one at a time with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Writes these bytes again and again until the client closes.
    Flood(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Reads and says nothing until the client closes.
    Mute,
    /// Neither reads nor says anything until the client closes.
    Deaf,
    /// Says no more, while it still reads (`shutdown`).
    HalfClose,
    /// Closes with a reset instead of an end (SO_LINGER of 0).
    Reset,
    /// Begins the script again.
    Again,
}

/// A server that follows a script.
pub struct FaultServer {
    address: Option<SocketAddr>,
    shared: Arc<Shared>,
    listener: Arc<OwnedFd>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    seen: AtomicU64,
    accepted: AtomicU64,
    open: Mutex<Vec<Weak<OwnedFd>>>,
}

/// A broken server with the name that a test's table has for it.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What is wrong, in short.
    pub name: &'static str,
    /// What each of its connections does.
    pub script: Vec<Step>,
}

/// A right answer, with the body `yes`.
pub const RIGHT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// Every fault that is a script.
pub fn all() -> Vec<Fault> {
    [ends(), silences(), lengths(), chunks(), heads(), interims(), other_protocols(), slow()].concat()
}

fn fault(name: &'static str, script: impl IntoIterator<Item = Step>) -> Fault {
    Fault { name, script: script.into_iter().collect() }
}

fn say(bytes: impl AsRef<[u8]>) -> Step {
    Step::Say(bytes.as_ref().to_vec())
}

/// Reads one request, writes this, and waits for the client to close.
fn answers(name: &'static str, bytes: impl AsRef<[u8]>) -> Fault {
    fault(name, [Step::Head, Step::Body, say(bytes), Step::Mute])
}

/// Reads one request, writes this, and closes.
fn answers_and_closes(name: &'static str, bytes: impl AsRef<[u8]>) -> Fault {
    fault(name, [Step::Head, Step::Body, say(bytes)])
}

/// Writes this for each request.
fn answers_each(name: &'static str, bytes: impl AsRef<[u8]>) -> Fault {
    fault(name, [Step::Head, Step::Body, say(bytes), Step::Again])
}

fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body.as_ref()].concat()
}

fn sized(length: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn ends() -> Vec<Fault> {
    vec![
        fault("closes at accept", []),
        fault("resets at accept", [Step::Reset]),
        fault("closes without an answer", [Step::Head, Step::Body]),
        fault("resets without an answer", [Step::Head, Step::Body, Step::Reset]),
        answers_and_closes("closes in the status line", "HTT"),
        answers_and_closes("closes in the head", "HTTP/1.1 200 OK\r\nConte"),
        answers_and_closes("closes in the body", sized("30", "yes")),
        answers_and_closes("closes in a chunk", chunked("5\r\nye")),
        answers_and_closes("closes before the last chunk", chunked("3\r\nyes\r\n")),
        answers_and_closes("closes after 100", "HTTP/1.1 100 Continue\r\n\r\n"),
        fault("resets in the head", [Step::Head, say("HTTP/1.1 2"), Step::Pause(MOMENT), Step::Reset]),
        fault("resets in the body", [Step::Head, say(sized("30", "yes")), Step::Pause(MOMENT), Step::Reset]),
        answers_and_closes("promises keep-alive and closes", RIGHT),
        fault("promises keep-alive and resets", [Step::Head, say(RIGHT), Step::Reset]),
        fault("says no more after an answer", [Step::Head, say(RIGHT), Step::HalfClose, Step::Mute]),
        fault("says no more instead of an answer", [Step::Head, Step::HalfClose, Step::Mute]),
    ]
}

fn silences() -> Vec<Fault> {
    vec![
        fault("never reads", [Step::Deaf]),
        answers("never answers", ""),
        answers("sends fewer bytes than said", sized("4", "yes")),
        answers("stops in the head", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"),
        answers("stops before the last chunk", chunked("3\r\nyes\r\n")),
        answers("stops after 100", "HTTP/1.1 100 Continue\r\n\r\n"),
    ]
}

fn lengths() -> Vec<Fault> {
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nyes";
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nyes";
    let packed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n";
    let overridden = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n\
                      3\r\nyes\r\n0\r\n\r\n";
    vec![
        answers("sends more bytes than said", sized("3", "yes and more")),
        answers("answers twice at once", [RIGHT, RIGHT].concat()),
        answers("sends a body with 204", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nyes"),
        answers("sends a body with 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nyes"),
        answers("lengths contradict", both),
        answers_each("the same length twice", twice),
        answers("a list of lengths", sized("3, 3", "yes")),
        answers("a length with a sign", sized("+3", "yes")),
        answers("a negative length", sized("-3", "yes")),
        answers("no digits in the length", sized("", "yes")),
        answers("a length of 2^64", sized("18446744073709551616", "yes")),
        answers_and_closes("a length of 2^63", sized("9223372036854775808", "yes")),
        answers_and_closes("a length of 2^64 - 1", sized("18446744073709551615", "yes")),
        answers("gzip in the transfer encoding", packed),
        answers_each("chunks that override a length", overridden),
        answers_and_closes("no length", "HTTP/1.1 200 OK\r\n\r\nyes"),
        fault("a body without end", [Step::Head, say("HTTP/1.1 200 OK\r\n\r\n"), flood("x".repeat(65536))]),
    ]
}

fn flood(bytes: impl AsRef<[u8]>) -> Step {
    Step::Flood(bytes.as_ref().to_vec())
}

fn chunks() -> Vec<Fault> {
    let single: String = std::iter::repeat_n("1\r\ny\r\n", 1000).collect();
    let trailers = [say(chunked("3\r\nyes\r\n0\r\n")), flood("A: b\r\n".repeat(1000))];
    vec![
        answers("a chunk size of zz", chunked("zz\r\nyes\r\n")),
        answers("a negative chunk size", chunked("-3\r\nyes\r\n")),
        answers("a huge chunk size", chunked("ffffffffffffffff\r\nyes")),
        answers("a chunk size of 17 digits", chunked("00000000000000003\r\nyes")),
        answers("no line end after a chunk size", chunked("3yes\r\n0\r\n\r\n")),
        answers("no line end after a chunk", chunked("3\r\nyes0\r\n\r\n")),
        answers("bare line feeds between chunks", chunked("3\nyes\n0\n\n")),
        answers("an empty chunk size", chunked("\r\n\r\n")),
        answers("a trailer that is none", chunked("3\r\nyes\r\n0\r\nnonsense\r\n\r\n")),
        answers("bytes after the last chunk", chunked("3\r\nyes\r\n0\r\n\r\nmore")),
        fault("a chunk size without end", [Step::Head, say(chunked("3;")), flood("x".repeat(1000))]),
        fault("trailers without end", [Step::Head].into_iter().chain(trailers)),
        fault("chunks without end", [Step::Head, say(chunked("")), flood("3\r\nyes\r\n".repeat(1000))]),
        answers_each("a thousand chunks of one byte", chunked(single + "0\r\n\r\n")),
        answers_each("chunk extensions and trailers", chunked("3;a=b;c\r\nyes\r\n0;d\r\nE: f\r\n\r\n")),
    ]
}

fn heads() -> Vec<Fault> {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(10 << 20));
    let many: String = (0..10_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n");
    vec![
        answers("a head of 10 MB", long),
        answers("10,000 headers", many),
        fault("a head without end", [Step::Head, say("HTTP/1.1 200 OK\r\nX: "), flood("x".repeat(1000))]),
        fault("blank lines without end", [Step::Head, flood("\r\n".repeat(1000))]),
        answers("NUL in a header", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nyes"),
        answers("NUL in a header's name", "HTTP/1.1 200 OK\r\nX\0: a\r\nContent-Length: 3\r\n\r\nyes"),
        answers("a header without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 3\r\n\r\nyes"),
        answers("a folded header", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nyes"),
        answers("a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nyes"),
        answers("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nyes"),
        answers("a status of 99", "HTTP/1.1 099 OK\r\nContent-Length: 3\r\n\r\nyes"),
        answers_each("another status", "HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nyes"),
        answers_each("another body", sized("3", "no!")),
        answers_and_closes("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes"),
    ]
}

fn interims() -> Vec<Fault> {
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    vec![
        answers("a thousand 100s", CONTINUE.repeat(1000) + &sized("3", "yes")),
        fault("100s without end", [Step::Head, flood(CONTINUE.repeat(100))]),
        fault("early hints without end", [Step::Head, flood(early)]),
        answers_each("three interim answers", [CONTINUE, early, early, &sized("3", "yes")].concat()),
        answers(
            "101",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ),
    ]
}

fn other_protocols() -> Vec<Fault> {
    let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
    let alert = b"\x15\x03\x01\0\x02\x02\x46";
    vec![
        answers("garbage", noise),
        answers("zeros", [0; 100]),
        answers("HTTP/0.9", "<html>yes</html>"),
        answers("HTTP/2 frames", settings),
        answers("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        answers("HTTP/2.0 in the status line", "HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nyes"),
        answers("a TLS alert", alert),
        answers("a mail server", "220 mail.example ESMTP\r\n"),
        fault("a mail server that greets", [say("220 mail.example ESMTP\r\n"), Step::Mute]),
        fault("answers before it is asked", [say(RIGHT), Step::Head, Step::Mute]),
        fault(
            "answers again unasked",
            [Step::Head, say(RIGHT), Step::Pause(MOMENT), say(RIGHT), Step::Again],
        ),
    ]
}

fn slow() -> Vec<Fault> {
    vec![
        fault("a right answer byte by byte", [Step::Head, Step::Drip(RIGHT.to_vec(), TICK), Step::Again]),
        fault(
            "chunks byte by byte",
            [Step::Head, Step::Drip(chunked("1\r\ny\r\n2\r\nes\r\n0\r\n\r\n"), TICK), Step::Again],
        ),
        fault("too slow, byte by byte", [Step::Head, Step::Drip(RIGHT.to_vec(), LONG)]),
    ]
}

/// Long enough for what was written before to be read apart from what follows, as a rule.
const MOMENT: Duration = Duration::from_millis(5);
const TICK: Duration = Duration::from_micros(200);
/// So slow that an answer takes longer than a test's time-out.
const LONG: Duration = Duration::from_millis(100);

impl FaultServer {
    /// On a free IPv4 loopback port.
    ///
    /// # Panics
    /// No loopback port can be bound.
    pub fn tcp(script: Vec<Step>) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), script).expect("a loopback port")
    }

    /// At an address, for instance one where another server was before.
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn at(address: SocketAddr, script: Vec<Step>) -> io::Result<Self> {
        Self::limited(address, script, usize::MAX)
    }

    /// Serves at most `limit` connections at once; the others wait in the listener's queue.
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn limited(address: SocketAddr, script: Vec<Step>, limit: usize) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        Ok(Self::begin(listener.into(), Some(address), Some(Serving::all(script, limit))))
    }

    /// The first connection follows one script, all others another.
    ///
    /// # Panics
    /// No loopback port can be bound.
    pub fn first_then(first: Vec<Step>, others: Vec<Step>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().ok();
        Self::begin(listener.into(), address, Some(Serving { first, others, limit: usize::MAX }))
    }

    /// On a unix socket.
    ///
    /// # Errors
    /// The path can't be bound.
    pub fn unix(path: &Path, script: Vec<Step>) -> io::Result<Self> {
        Ok(Self::begin(UnixListener::bind(path)?.into(), None, Some(Serving::all(script, usize::MAX))))
    }

    /// Listens, has no queue worth the name, and never accepts.
    ///
    /// # Panics
    /// No loopback port can be bound.
    pub fn never_accepts() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        net::listen(&listener, 0).expect("a shorter queue");
        let address = listener.local_addr().ok();
        Self::begin(listener.into(), address, None)
    }

    fn begin(listener: OwnedFd, address: Option<SocketAddr>, serving: Option<Serving>) -> Self {
        let (shared, listener) = (Arc::new(Shared::default()), Arc::new(listener));
        let accepting = serving.map(|serving| {
            let (shared, listener) = (Arc::clone(&shared), Arc::clone(&listener));
            thread::spawn(move || accept(&shared, &listener, &Arc::new(serving)))
        });
        Self { address, shared, listener, accepting }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// It listens on a unix socket.
    pub const fn address(&self) -> SocketAddr {
        self.address.expect("a TCP server")
    }

    /// Requests whose head it has read.
    pub fn seen(&self) -> u64 {
        self.shared.seen.load(Ordering::SeqCst)
    }

    /// Ends it, and says how many requests it saw in all.
    pub fn end(mut self) -> u64 {
        self.stop();
        self.seen()
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes what waits in `accept`, and makes it fail from now on.
        let _ = net::shutdown(&*self.listener, Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }

    /// Connections that it has accepted.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What connections follow, and how many are served at once.
struct Serving {
    first: Vec<Step>,
    others: Vec<Step>,
    limit: usize,
}

impl Serving {
    fn all(script: Vec<Step>, limit: usize) -> Self {
        Self { first: script.clone(), others: script, limit }
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Connections whose script runs.
    fn open(&self) -> usize {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|socket| socket.strong_count() > 0);
        open.len()
    }

    fn end_all(&self) {
        for socket in self.open.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(socket) = socket.upgrade() {
                let _ = net::shutdown(&*socket, Shutdown::Both);
            }
        }
    }
}

/// Accepts until the server is dropped, then ends every connection.
fn accept(shared: &Arc<Shared>, listener: &OwnedFd, serving: &Arc<Serving>) {
    let mut connections = Vec::new();
    while !shared.stopped() {
        if shared.open() >= serving.limit {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        let Ok(socket) = net::accept(listener) else {
            // Too many open files, or the end.
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        let socket = Arc::new(socket);
        shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&socket));
        let (shared, serving) = (Arc::clone(shared), Arc::clone(serving));
        connections.push(thread::spawn(move || {
            let mut connection = Connection { socket, shared, read: Vec::new(), length: 0 };
            // An error is the client's end of the connection.
            let _ = connection.follow(if number == 0 { &serving.first } else { &serving.others });
        }));
        connections.retain(|connection| !connection.is_finished());
    }
    shared.end_all();
    for connection in connections {
        let _ = connection.join();
    }
}

struct Connection {
    socket: Arc<OwnedFd>,
    shared: Arc<Shared>,
    /// What was read beyond the last head or body.
    read: Vec<u8>,
    /// Length of the body that follows.
    length: usize,
}

impl Connection {
    fn follow(&mut self, script: &[Step]) -> io::Result<()> {
        let mut steps = script.iter();
        while let Some(step) = steps.next() {
            match step {
                Step::Head => self.head()?,
                Step::Body => self.body(Duration::ZERO)?,
                Step::SlowBody(pause) => self.body(*pause)?,
                Step::Say(bytes) => self.say(bytes)?,
                Step::Drip(bytes, pause) => {
                    for byte in bytes.chunks(1) {
                        thread::sleep(*pause);
                        self.say(byte)?;
                    }
                }
                Step::Flood(bytes) => loop {
                    self.say(bytes)?;
                },
                Step::Pause(pause) => thread::sleep(*pause),
                Step::Mute => {
                    while self.more(64 * 1024)? > 0 {
                        self.read.clear();
                    }
                }
                Step::Deaf => self.deaf()?,
                Step::HalfClose => net::shutdown(&*self.socket, Shutdown::Write)?,
                Step::Reset => sockopt::set_socket_linger(&*self.socket, Some(Duration::ZERO))?,
                Step::Again => steps = script.iter(),
            }
        }
        Ok(())
    }

    /// Reads what has come; 0 at the end.
    fn more(&mut self, most: usize) -> io::Result<usize> {
        let mut piece = vec![0; most];
        let (got, _) = net::recv(&*self.socket, &mut piece[..], RecvFlags::empty())?;
        self.read.extend_from_slice(&piece[..got]);
        Ok(got)
    }

    fn head(&mut self) -> io::Result<()> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            // Not more than a small head and little of what follows: a body may be left unread.
            if self.more(1024)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        self.length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        self.read.drain(..end);
        self.shared.seen.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn body(&mut self, pause: Duration) -> io::Result<()> {
        while self.read.len() < self.length {
            thread::sleep(pause);
            if self.more(256 * 1024)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.read.drain(..self.length);
        Ok(())
    }

    fn say(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.shared.stopped() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let written = net::send(&*self.socket, bytes, SendFlags::NOSIGNAL)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn deaf(&self) -> io::Result<()> {
        // Errors and hang-ups are told unasked.
        poll(&mut [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::RDHUP)], None)?;
        Ok(())
    }
}
