//! What both load models share: connections, requests in flight, sending, and judging what comes back.

use std::{collections::VecDeque, io, path::PathBuf, sync::Arc, time::Duration};

use dyno_model::load::{Request, SliceOutcome, Target};

use crate::{
    answer::{AnswerReader, Progress, Template, Whole},
    clock::{now_ns, thread_cpu_ns, thread_user_system_ns, thread_wait_ns},
    recorder::{Failure, Interval, KEPT_SENDS, Recorder, judge},
    request::Prepared,
    wire::{ClockOffset, Incoming, Next, Patience, Wire, WireKind},
};

/// How often a connection that can't be opened is tried again before the load begins.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);
/// Connections that are being opened at once before the load begins: fewer than any listener's backlog.
const OPENING_AT_ONCE: usize = 100;
/// How often time-outs are looked for.
pub const EXPIRY_PAUSE_NS: u64 = 50_000_000;
/// How long a request with `Expect: 100-continue` waits for the server's consent (RFC 9110, 10.1.1).
const LONGEST_CONSENT_NS: u64 = 1_000_000_000;
/// Bodies from here on that nobody checks are worth dropping in the kernel.
const LARGE_BODY: u64 = 32 * 1024;
/// Largest request that is surely in the kernel's buffer once it was sent.
const SMALL_REQUEST: usize = 16 * 1024;
/// A reader that has grown beyond this is not kept for the next answer.
const LARGE_READER: usize = 256 * 1024;

/// Limits of waiting, and how to speak.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for an answer, from when it was sent.
    pub request_timeout: Duration,
    /// `Host` of the requests; `None` for the target's address.
    pub host: Option<String>,
    /// Whether a connection serves more than one request.
    pub keep_alive: bool,
    /// How requests and answers are written.
    pub protocol: Protocol,
    /// HTTP/2: requests in flight on one connection at once.
    pub streams: u32,
    /// TLS; `None` for cleartext.
    pub tls: Option<TlsOptions>,
    /// How to wait and move bytes.
    pub wire: WireKind,
    /// Longest nap between two rounds of a busy closed loop, where the kernel's receive timestamps keep it out
    /// of the latencies. Zero: answers are read as soon as they come.
    pub nap: Duration,
}

/// How requests and answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2: agreed by ALPN where there is TLS, else with prior knowledge (h2c).
    Http2,
}

/// How to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whom the certificate must be for: a DNS name or an IP address.
    pub server_name: String,
    /// Whose certificates are believed.
    pub trust: Trust,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The authorities that this system knows.
    System,
    /// The authorities in a PEM file.
    Authorities(PathBuf),
    /// Anybody's: for servers with a certificate of their own making.
    Anybody,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            host: None,
            keep_alive: true,
            protocol: Protocol::Http1,
            streams: 1,
            tls: None,
            wire: WireKind::Best,
            nap: Duration::from_micros(200),
        }
    }
}

/// Why no load could be made at all. What happens to single requests is counted, not an error.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The target takes no connection.
    #[error("{} takes no connection: {source}", place(target))]
    Connect {
        /// Which target.
        target: Target,
        /// What the system says.
        source: io::Error,
    },
    /// The kernel refuses epoll, a timer, or a ring that was asked for.
    #[error("the load engine can't wait: {0}")]
    Kernel(#[from] io::Error),
    /// A single question got no answer.
    #[error("{method} {path} at {}: {what}", place(target))]
    NoAnswer {
        /// Which target.
        target: Target,
        /// Method.
        method: String,
        /// Path and query.
        path: String,
        /// What happened.
        what: String,
    },
    /// A slice without requests.
    #[error("no requests to send")]
    NoRequests,
    /// More connections than this process may have open.
    #[error("{connections} connections need more open files than the limit of {limit}: raise it (ulimit -n)")]
    TooManyConnections {
        /// As asked for.
        connections: u32,
        /// `RLIMIT_NOFILE`, as high as this process may set it.
        limit: u64,
    },
}

fn place(target: &Target) -> String {
    match target {
        Target::Tcp(address) => address.to_string(),
        Target::Unix(path) => path.display().to_string(),
    }
}

/// A moment of a slice that the caller may want to read counters at. Told in the engine's own thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The guard is over: the measured window begins.
    WindowBegin,
    /// The measured window ends.
    WindowEnd,
}

/// An answer to a single question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Status line and headers, as they came.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

/// A request on a connection.
#[derive(Clone, Copy, Debug)]
struct Flight {
    request: u32,
    written: u32,
    /// When it was due, by the schedule; in a closed loop when it was begun.
    due_ns: u64,
    /// When the engine took it up: it then opens a connection or sends at once.
    begun_ns: u64,
    /// When its first byte was handed to the kernel; 0 while its connection opens.
    sent_ns: u64,
    /// When the first bytes of its answer came; 0 before.
    first_ns: u64,
    /// What the generator was late with.
    late_ns: u64,
    /// The body waits for the server's consent.
    waits: bool,
    /// The connection was opened for this request, which waited for it.
    opened: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Opening,
    Open,
}

/// A connection: at most one request in flight.
#[derive(Default)]
struct Connection {
    state: State,
    flight: Option<Flight>,
    /// When it got free for a request.
    free_ns: u64,
    /// An answer that came in pieces.
    reader: Option<Box<AnswerReader>>,
}

/// Tells of intervals while a slice runs, in the engine's thread.
pub type Watcher = Box<dyn FnMut(Interval) + Send>;

/// Connections to one target that stay open between slices. A ring belongs to one thread: so does an engine.
pub struct Engine {
    pub(crate) options: EngineOptions,
    target: Target,
    host: String,
    wire: Wire,
    connections: Vec<Connection>,
    /// Connections that wait for a request, the longest idle first: load is spread over all of them, as
    /// over the workers behind them.
    pub(crate) idle: VecDeque<u32>,
    templates: Vec<Template>,
    /// Readers that no connection uses now; boxed, so that a connection without one is small.
    #[allow(clippy::vec_box, reason = "they move between here and connections without a copy")]
    readers: Vec<Box<AnswerReader>>,
    /// Everything that was ever sent: a ring may still read from it.
    prepared: Vec<Arc<Prepared>>,
    /// Sends of this round, whose time is known when they are handed over.
    round: Vec<u32>,
    /// Bodies that may go now, or the rest of requests that the kernel didn't take whole.
    resume: Vec<u32>,
    /// Connections that broke on sending in this round.
    broken: Vec<u32>,
    /// The last round's answers had receive timestamps.
    stamped: bool,
    /// Answers have bodies that nobody checks and that are worth dropping in the kernel; whether that is done.
    large_bodies: bool,
    skips: bool,
    watch: Option<(Duration, Watcher)>,
    pub(crate) sends: Vec<u64>,
}

/// How latencies count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    Closed,
    Open,
}

/// A slice that runs: what is counted, and until when.
pub struct Trial<'a> {
    pub prepared: Arc<Prepared>,
    pub recorder: Recorder,
    pub begin_ns: u64,
    pub guard_ns: u64,
    pub end_ns: u64,
    pub window_begin_ns: Option<u64>,
    pub window_end_ns: Option<u64>,
    model: Model,
    timeout_ns: u64,
    expiry_ns: u64,
    interval_ns: (u64, u64),
    at: &'a mut dyn FnMut(Mark),
    /// Connections that became free, and when each may be used again.
    pub freed: Vec<(u32, Freed)>,
    cpu_ns: u64,
    user_system_ns: (u64, u64),
    wait_ns: u64,
    /// A single question: its answer is kept and not judged.
    capture: Option<Option<Answer>>,
}

/// Why a connection became free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freed {
    /// Its request is done or failed.
    Done,
    /// It couldn't be opened.
    NotOpened,
}

impl<'a> Trial<'a> {
    fn new(
        prepared: Arc<Prepared>,
        model: Model,
        options: &EngineOptions,
        times: (Duration, Duration),
        at: &'a mut dyn FnMut(Mark),
    ) -> Self {
        let (guard, length) = times;
        let begin_ns = now_ns();
        Self {
            prepared,
            recorder: Recorder::default(),
            begin_ns,
            guard_ns: begin_ns + guard.as_nanos() as u64,
            end_ns: begin_ns.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)),
            window_begin_ns: None,
            window_end_ns: None,
            model,
            timeout_ns: options.request_timeout.as_nanos() as u64,
            expiry_ns: begin_ns + EXPIRY_PAUSE_NS,
            interval_ns: (begin_ns, u64::MAX),
            at,
            freed: Vec::new(),
            cpu_ns: thread_cpu_ns(),
            user_system_ns: thread_user_system_ns(),
            wait_ns: thread_wait_ns(),
            capture: None,
        }
    }

    /// Begins and ends the window. Returns whether requests are still begun.
    pub fn marks(&mut self, now: u64, stopped: bool) -> bool {
        if self.window_begin_ns.is_none() && now >= self.guard_ns {
            (self.at)(Mark::WindowBegin);
            self.window_begin_ns = Some(now_ns());
        }
        if self.window_end_ns.is_none() && (now >= self.end_ns || stopped) {
            self.window_end_ns = Some(now_ns());
            if self.window_begin_ns.is_some() {
                (self.at)(Mark::WindowEnd);
            }
            if self.model == Model::Open {
                self.recorder.backlog = self.recorder.in_flight();
            }
        }
        self.window_end_ns.is_none()
    }

    /// When the loop must look at the clock again, whatever happens.
    pub fn milestone_ns(&self) -> u64 {
        let mark_ns = match (self.window_begin_ns, self.window_end_ns) {
            (None, _) => self.guard_ns,
            (Some(_), None) => self.end_ns,
            (Some(_), Some(_)) => u64::MAX,
        };
        mark_ns.min(self.expiry_ns).min(self.interval_ns.1)
    }

    /// A request is done: right, or failed as is counted already.
    fn settle(&mut self, flight: Flight, done_ns: u64, seen_ns: u64, right: bool) {
        let recorder = &mut self.recorder;
        recorder.ends(seen_ns);
        let latency_ns = done_ns.saturating_sub(flight.due_ns);
        recorder.latency_sum_ns += seen_ns.saturating_sub(flight.due_ns);
        let in_window =
            self.window_begin_ns.is_some() && self.window_end_ns.is_none() && seen_ns < self.end_ns;
        // A failure was never answered: its latency is at least the timeout.
        let recorded_ns = if right { latency_ns } else { latency_ns.max(self.timeout_ns) };
        match self.model {
            Model::Closed if in_window => {
                recorder.now.latency.record_ns(recorded_ns);
                // A closed loop has no schedule to be late for.
                recorder.now.latency_less_late.record_ns(recorded_ns);
            }
            Model::Open if flight.due_ns >= self.guard_ns => {
                recorder.now.latency.record_ns(recorded_ns);
                recorder.now.latency_less_late.record_ns(recorded_ns.saturating_sub(flight.late_ns));
            }
            Model::Closed | Model::Open => return,
        }
        if right {
            recorder.now.first_byte.record_ns(flight.first_ns.saturating_sub(flight.sent_ns));
            recorder.now.unread.record_ns(seen_ns.saturating_sub(done_ns));
        }
        recorder.window_completed += u64::from(right && in_window);
    }
}

impl Engine {
    /// Connects once, to see that the target is there; the other connections are opened when a slice begins.
    /// An open connection that asks nothing is no idle client to every server: gunicorn's threads each
    /// wait for the first request of one, and 64 of them would keep all its threads.
    ///
    /// # Errors
    /// The target takes none within the connect timeout; the kernel refuses epoll; too few files may be open.
    pub fn connect(target: Target, connections: u32, options: EngineOptions) -> Result<Self, LoadError> {
        let mut engine = Self::new(target, connections, options)?;
        engine.make_ready(1)?;
        Ok(engine)
    }

    /// An engine that opens no connection before its first slice.
    ///
    /// # Errors
    /// The kernel refuses epoll; too few files may be open.
    pub fn new(target: Target, connections: u32, options: EngineOptions) -> Result<Self, LoadError> {
        // The kernel may put off wake-ups by 50 us to save power; a load engine is late by that.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        enough_files(connections)?;
        let host = options.host.clone().unwrap_or_else(|| match &target {
            Target::Tcp(address) => address.to_string(),
            Target::Unix(_) => "localhost".to_owned(),
        });
        let wire = Wire::new(options.wire, connections as usize)?;
        let mut engine = Self {
            options,
            target,
            host,
            wire,
            connections: Vec::new(),
            idle: VecDeque::new(),
            templates: Vec::new(),
            readers: Vec::new(),
            prepared: Vec::new(),
            round: Vec::new(),
            resume: Vec::new(),
            broken: Vec::new(),
            stamped: false,
            large_bodies: false,
            skips: false,
            watch: None,
            sends: Vec::new(),
        };
        engine.connections.resize_with(connections as usize, Connection::default);
        Ok(engine)
    }

    /// Opens as many connections as the engine was made for, if they are to be kept.
    ///
    /// # Errors
    /// The target takes none within the connect timeout.
    pub fn open_connections(&mut self) -> Result<(), LoadError> {
        let count = if self.options.keep_alive { self.connections.len() } else { 0 };
        self.make_ready(count)
    }

    /// Tells of each interval of the slices that follow.
    pub fn watch(&mut self, every: Duration, watcher: Watcher) {
        self.watch = Some((every, watcher));
    }

    /// Which engine this is, in words.
    pub fn words(&self) -> &'static str {
        self.wire.words()
    }

    fn prepare(&mut self, requests: &[Request]) -> Result<Arc<Prepared>, LoadError> {
        if requests.is_empty() {
            return Err(LoadError::NoRequests);
        }
        let prepared = match self.prepared.iter().find(|prepared| prepared.requests == requests) {
            Some(prepared) => Arc::clone(prepared),
            None => {
                let prepared = Arc::new(Prepared::new(requests, &self.host, self.options.keep_alive));
                self.prepared.push(Arc::clone(&prepared));
                prepared
            }
        };
        self.templates.clear();
        self.templates.resize_with(requests.len(), Template::default);
        Ok(prepared)
    }

    /// A slice that begins now, with all its connections open.
    pub(crate) fn begin<'a>(
        &mut self,
        requests: &[Request],
        connections: u32,
        model: Model,
        times: (Duration, Duration),
        at: &'a mut dyn FnMut(Mark),
    ) -> Result<Trial<'a>, LoadError> {
        let prepared = self.prepare(requests)?;
        if self.options.keep_alive {
            self.make_ready(connections as usize)?;
        } else {
            self.make_ready(0)?;
            if self.connections.len() < connections as usize {
                self.connections.resize_with(connections as usize, Connection::default);
            }
            self.idle.extend(0..connections);
        }
        let mut trial = Trial::new(prepared, model, &self.options, times, at);
        if let Some((every, _)) = &self.watch {
            trial.interval_ns.1 = trial.begin_ns + every.as_nanos() as u64;
        }
        Ok(trial)
    }

    /// The outcome of a slice that is over.
    pub(crate) fn finish(&mut self, mut trial: Trial<'_>) -> SliceOutcome {
        self.tell_interval(&mut trial, now_ns(), true);
        let window_ns = match (trial.window_begin_ns, trial.window_end_ns) {
            (Some(begin), Some(end)) => end - begin,
            _ => 0,
        };
        let cpu_ns = thread_cpu_ns() - trial.cpu_ns;
        let (user_ns, system_ns) = thread_user_system_ns();
        let (user_ns, system_ns) = (user_ns - trial.user_system_ns.0, system_ns - trial.user_system_ns.1);
        let mut outcome = trial.recorder.outcome(window_ns);
        outcome.generator_cpu_ns = cpu_ns;
        let share = system_ns as f64 / (user_ns + system_ns).max(1) as f64;
        outcome.generator_system_ns = (cpu_ns as f64 * share) as u64;
        outcome.generator_wait_ns = thread_wait_ns() - trial.wait_ns;
        outcome.engine = self.words().to_owned();
        outcome
    }

    fn tell_interval(&mut self, trial: &mut Trial<'_>, now: u64, last: bool) {
        let Some((every, watcher)) = &mut self.watch else { return };
        let (from_ns, to_ns) = trial.interval_ns;
        if now < to_ns && !(last && now > from_ns) {
            return;
        }
        let at = Duration::from_nanos(from_ns - trial.begin_ns);
        let measured = trial.window_begin_ns.is_some_and(|begin| begin <= from_ns)
            && trial.window_end_ns.is_none_or(|end| from_ns < end);
        let length = Duration::from_nanos(now - from_ns);
        watcher(trial.recorder.roll(at, length, measured));
        // Borders are fixed, so that the intervals of all threads are the same.
        let every_ns = every.as_nanos().max(1) as u64;
        let next = (now.max(to_ns) - trial.begin_ns) / every_ns + 1;
        trial.interval_ns = (now, trial.begin_ns + next * every_ns);
    }

    /// All connections idle and open, those that the server closed meanwhile opened again.
    fn make_ready(&mut self, count: usize) -> Result<(), LoadError> {
        self.idle.clear();
        if self.connections.len() < count {
            self.connections.resize_with(count, Connection::default);
        }
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if connection.flight.take().is_some() {
                connection.state = State::Closed;
                self.wire.close(index);
            }
            connection.free_ns = 0;
        }
        let until_ns = now_ns() + self.options.connect_timeout.as_nanos() as u64;
        let mut refusal: Option<io::Error> = None;
        let mut retry_ns = 0;
        let mut next = 0;
        // What closed while nobody looked is told first.
        self.settle_connections(now_ns(), &mut refusal)?;
        loop {
            let opening = self.connections[..count].iter().filter(|one| one.state == State::Opening).count();
            let closed = self.connections[..count].iter().filter(|one| one.state == State::Closed).count();
            if opening == 0 && closed == 0 {
                break;
            }
            let now = now_ns();
            if now >= until_ns {
                let open = count - opening - closed;
                let source = refusal.unwrap_or_else(|| io::ErrorKind::TimedOut.into());
                // Where some are open the load can begin; the others are opened on demand, and counted.
                if open == 0 {
                    return Err(LoadError::Connect { target: self.target.clone(), source });
                }
                for index in 0..count {
                    if self.connections[index].state == State::Opening {
                        self.connections[index].state = State::Closed;
                        self.wire.close(index);
                    }
                }
                break;
            }
            if now >= retry_ns {
                let mut room = OPENING_AT_ONCE.saturating_sub(opening);
                for _ in 0..count {
                    if room == 0 {
                        break;
                    }
                    let index = next % count;
                    next += 1;
                    if self.connections[index].state != State::Closed {
                        continue;
                    }
                    match self.wire.open(index, &self.target) {
                        Ok(()) => self.connections[index].state = State::Opening,
                        Err(error) => {
                            refusal = Some(error);
                            retry_ns = now + CONNECT_PAUSE.as_nanos() as u64;
                            break;
                        }
                    }
                    room -= 1;
                }
            }
            let wake_ns = until_ns.min(now + CONNECT_PAUSE.as_nanos() as u64);
            let before = refusal.is_some();
            self.settle_connections(wake_ns, &mut refusal)?;
            if refusal.is_some() && !before {
                retry_ns = now_ns() + CONNECT_PAUSE.as_nanos() as u64;
            }
        }
        self.idle.extend(0..u32::try_from(count).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Waits and takes news of connections that have no request.
    fn settle_connections(
        &mut self,
        until_ns: u64,
        refusal: &mut Option<io::Error>,
    ) -> Result<(), LoadError> {
        self.wire.flush()?;
        self.wire.wait(Patience { until_ns, want: 1, nap_ns: 0 })?;
        let connections = &mut self.connections;
        self.wire.take(ClockOffset::read(), &mut |index, incoming| {
            let state = &mut connections[index].state;
            match incoming {
                Incoming::Connected => *state = State::Open,
                Incoming::NotConnected(error) => {
                    *state = State::Closed;
                    *refusal = Some(error);
                }
                Incoming::Writable => {}
                // Bytes that nobody asked for, or the end.
                Incoming::Bytes(..) => {
                    *state = State::Closed;
                    let words = "it speaks before it is asked: not an HTTP server";
                    *refusal = Some(io::Error::new(io::ErrorKind::InvalidData, words));
                    return Next::Close;
                }
                Incoming::Skipped(..) | Incoming::Ended | Incoming::Broken => {
                    *state = State::Closed;
                    return Next::Close;
                }
            }
            Next::More
        })?;
        Ok(())
    }

    /// Begins a request on a connection: sends it, or opens the connection first.
    pub(crate) fn start(&mut self, index: u32, request: usize, due_ns: Option<u64>, trial: &mut Trial<'_>) {
        let begun_ns = now_ns();
        let due_ns = due_ns.unwrap_or(begun_ns);
        let open = self.connections[index as usize].state == State::Open;
        self.connections[index as usize].flight = Some(Flight {
            request: u32::try_from(request).unwrap_or(u32::MAX),
            written: 0,
            due_ns,
            begun_ns,
            sent_ns: 0,
            first_ns: 0,
            late_ns: 0,
            waits: trial.prepared.first[request] < trial.prepared.bytes[request].len(),
            opened: !open,
        });
        if open {
            return self.send(index, trial);
        }
        if trial.model == Model::Closed {
            trial.recorder.begins(begun_ns);
        }
        match self.wire.open(index as usize, &self.target) {
            Ok(()) => self.connections[index as usize].state = State::Opening,
            Err(error) => {
                not_opened(&mut self.connections[index as usize], index, &error, begun_ns, trial);
            }
        }
    }

    /// Sends the request of an open connection. When, is told by [`Engine::flush`].
    fn send(&mut self, index: u32, trial: &mut Trial<'_>) {
        let connection = &mut self.connections[index as usize];
        let Some(flight) = &mut connection.flight else { return };
        let request = flight.request as usize;
        let bytes = &trial.prepared.bytes[request][..trial.prepared.first[request]];
        trial.recorder.counts.sent += 1;
        flight.sent_ns = now_ns();
        let sent = self.wire.send(index as usize, bytes);
        flight.written = sent.as_ref().map_or(0, |&written| u32::try_from(written).unwrap_or(u32::MAX));
        self.round.push(index);
        if sent.is_err() {
            self.broken.push(index);
        }
    }

    /// Hands gathered sends to the kernel and notes when each went out. A batch goes out one by one while the
    /// kernel works on it: its times are spread evenly over that.
    pub(crate) fn flush(&mut self, trial: &mut Trial<'_>) -> Result<(), LoadError> {
        if self.round.is_empty() {
            return Ok(());
        }
        let gathers = self.wire.gathers();
        let from_ns = now_ns();
        self.wire.flush()?;
        let length_ns = if gathers { now_ns() - from_ns } else { 0 };
        let count = self.round.len() as u64;
        for (number, &index) in self.round.iter().enumerate() {
            let connection = &mut self.connections[index as usize];
            let Some(flight) = &mut connection.flight else { continue };
            if gathers {
                flight.sent_ns = from_ns + length_ns * number as u64 / count;
            }
            trial.sent(flight, connection.free_ns);
        }
        self.round.clear();
        for index in std::mem::take(&mut self.broken) {
            self.wire.close(index as usize);
            let connection = &mut self.connections[index as usize];
            connection.state = State::Closed;
            failed(connection, index, Failure::Reset, now_ns(), trial);
        }
        Ok(())
    }

    /// Waits, and takes what has come. `trial.freed` has the connections that became free.
    pub(crate) fn collect(&mut self, patience: Patience, trial: &mut Trial<'_>) -> Result<(), LoadError> {
        self.flush(trial)?;
        // Unstamped answers are done when they are read: then every nap would be counted as theirs.
        let nap_ns = if self.stamped { patience.nap_ns } else { 0 };
        self.wire.wait(Patience { nap_ns, ..patience })?;
        self.take(trial, false)?;
        if self.large_bodies && trial.model == Model::Closed && !self.skips {
            self.skips = true;
            let small =
                |prepared: &Arc<Prepared>| prepared.bytes.iter().all(|one| one.len() <= SMALL_REQUEST);
            if self.prepared.iter().all(small) {
                self.take(trial, true)?;
            }
        }
        for index in std::mem::take(&mut self.resume) {
            let connection = &mut self.connections[index as usize];
            let Some(flight) = &mut connection.flight else { continue };
            if connection.state != State::Open {
                continue;
            }
            if flight.sent_ns == 0 {
                self.send(index, trial);
                continue;
            }
            let rest = &trial.prepared.bytes[flight.request as usize][flight.written as usize..];
            match self.wire.send(index as usize, rest) {
                Ok(written) => flight.written += u32::try_from(written).unwrap_or(u32::MAX),
                Err(_) => {
                    self.wire.close(index as usize);
                    connection.state = State::Closed;
                    failed(connection, index, Failure::Reset, now_ns(), trial);
                }
            }
        }
        self.wire.flush()?;
        let now = now_ns();
        if now >= trial.expiry_ns {
            trial.expiry_ns = now + EXPIRY_PAUSE_NS;
            self.expire(now, trial);
        }
        self.tell_interval(trial, now, false);
        Ok(())
    }

    /// Takes what has come; with `skip`, moves to a wire that lets the kernel drop bodies.
    fn take(&mut self, trial: &mut Trial<'_>, skip: bool) -> Result<(), LoadError> {
        let offset = ClockOffset::read();
        let mut intake = Intake {
            connections: &mut self.connections,
            templates: &mut self.templates,
            readers: &mut self.readers,
            resume: &mut self.resume,
            trial,
            seen_ns: now_ns(),
            answers: 0,
            unstamped: 0,
            large_bodies: false,
        };
        let mut sink = |index: usize, incoming: Incoming<'_>| intake.take(index, incoming);
        if skip {
            self.wire.prefer_skipping(offset, &mut sink)?;
        } else {
            self.wire.take(offset, &mut sink)?;
        }
        if intake.answers > 0 {
            self.stamped = intake.unstamped == 0;
        }
        self.large_bodies |= intake.large_bodies;
        Ok(())
    }

    /// Gives up on requests that were sent longer ago than the timeout, and on connections that don't open.
    fn expire(&mut self, now: u64, trial: &mut Trial<'_>) {
        let request_ns = self.options.request_timeout.as_nanos() as u64;
        let connect_ns = self.options.connect_timeout.as_nanos() as u64;
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let Some(flight) = &mut connection.flight else { continue };
            let number = index as u32;
            if flight.sent_ns == 0 {
                if now >= flight.begun_ns + connect_ns {
                    self.wire.close(index);
                    let error = io::Error::from(io::ErrorKind::TimedOut);
                    not_opened(connection, number, &error, now, trial);
                }
            } else if now >= flight.sent_ns + request_ns {
                self.wire.close(index);
                connection.state = State::Closed;
                failed(connection, number, Failure::TimedOut, now, trial);
            } else if flight.waits && now >= flight.sent_ns + LONGEST_CONSENT_NS {
                flight.waits = false;
                self.resume.push(number);
            }
        }
    }

    /// How long to wait for what, in a closed loop: for half of what is in flight, so that one system call
    /// finds many answers, and one submission carries many requests.
    pub(crate) fn gather(&self, until_ns: u64, in_flight: u64) -> Patience {
        let want = u32::try_from(in_flight / 2).unwrap_or(u32::MAX).max(1);
        let nap_ns = if want > 1 { self.options.nap.as_nanos() as u64 } else { 0 };
        Patience { until_ns, want, nap_ns }
    }

    /// Asks once and waits for the answer, whatever its status. Not for timing.
    ///
    /// # Errors
    /// No connection, or no answer within the timeout.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, LoadError> {
        let mut asked = request.clone();
        // The body is kept if somebody checks it; what it must be doesn't matter here.
        asked.expect.body = dyno_model::load::ExpectBody::Equal(Vec::new());
        let mut at = |_| {};
        let times = (Duration::ZERO, Duration::MAX);
        self.make_ready(1)?;
        let prepared = Arc::new(Prepared::new(&[asked], &self.host, self.options.keep_alive));
        self.prepared.push(Arc::clone(&prepared));
        self.templates.clear();
        self.templates.push(Template::default());
        let mut trial = Trial::new(prepared, Model::Closed, &self.options, times, &mut at);
        trial.capture = Some(None);
        trial.recorder.counts.planned = 1;
        self.start(0, 0, None, &mut trial);
        while trial.freed.is_empty() {
            self.collect(Patience { until_ns: trial.expiry_ns, want: 1, nap_ns: 0 }, &mut trial)?;
        }
        // A ring may still read from large requests; small ones it has copied.
        if request.body.len() <= SMALL_REQUEST {
            self.prepared.pop();
        }
        let what = trial.recorder.first_wrong().unwrap_or("no answer").to_owned();
        trial.capture.flatten().ok_or_else(|| LoadError::NoAnswer {
            target: self.target.clone(),
            method: request.method.clone(),
            path: request.target.clone(),
            what,
        })
    }
}

impl Trial<'_> {
    /// A request went out.
    fn sent(&mut self, flight: &mut Flight, free_ns: u64) {
        match self.model {
            Model::Closed if flight.opened => {}
            Model::Closed => {
                flight.due_ns = flight.sent_ns;
                self.recorder.begins(flight.sent_ns);
            }
            Model::Open => {
                let ready_ns = flight.due_ns.max(free_ns);
                // A connection that is opened for the request is the server's part.
                let taken_up_ns = if flight.opened { flight.begun_ns } else { flight.sent_ns };
                flight.late_ns = taken_up_ns.saturating_sub(ready_ns);
                if flight.due_ns >= self.guard_ns {
                    self.recorder.now.late.record_ns(flight.late_ns);
                    self.recorder.now.blocked.record_ns(ready_ns - flight.due_ns);
                    if self.recorder.sends.len() < KEPT_SENDS {
                        self.recorder.sends.push(flight.due_ns + flight.late_ns - self.begin_ns);
                    }
                }
            }
        }
    }
}

/// A request that was sent got no answer.
fn failed(connection: &mut Connection, index: u32, failure: Failure, seen_ns: u64, trial: &mut Trial<'_>) {
    let Some(flight) = connection.flight.take() else { return };
    let request = &trial.prepared.requests[flight.request as usize];
    let reader = connection.reader.take();
    let (status, body) =
        reader.as_ref().map_or((None, &b""[..]), |reader| (reader.status(), reader.received()));
    trial.recorder.failed(failure, request, status, body);
    trial.settle(flight, seen_ns, seen_ns, false);
    connection.free_ns = seen_ns;
    trial.freed.push((index, Freed::Done));
}

/// A request wasn't sent, for its connection couldn't be opened.
fn not_opened(
    connection: &mut Connection,
    index: u32,
    error: &io::Error,
    seen_ns: u64,
    trial: &mut Trial<'_>,
) {
    connection.state = State::Closed;
    let counts = &mut trial.recorder.connections;
    match error.kind() {
        io::ErrorKind::ConnectionRefused => counts.refused += 1,
        io::ErrorKind::TimedOut => counts.timed_out += 1,
        io::ErrorKind::InvalidData => counts.unasked += 1,
        _ => counts.failed += 1,
    }
    let Some(flight) = connection.flight.take() else { return };
    trial.recorder.counts.not_sent += 1;
    let request = &trial.prepared.requests[flight.request as usize];
    trial.recorder.not_sent(request, error);
    trial.settle(flight, seen_ns, seen_ns, false);
    connection.free_ns = seen_ns;
    trial.freed.push((index, Freed::NotOpened));
}

/// What a round of news is told to.
struct Intake<'e, 't, 'a> {
    connections: &'e mut [Connection],
    templates: &'e mut [Template],
    #[allow(clippy::vec_box, reason = "they move between here and connections without a copy")]
    readers: &'e mut Vec<Box<AnswerReader>>,
    resume: &'e mut Vec<u32>,
    trial: &'t mut Trial<'a>,
    seen_ns: u64,
    answers: u32,
    unstamped: u32,
    large_bodies: bool,
}

impl Intake<'_, '_, '_> {
    fn take(&mut self, index: usize, incoming: Incoming<'_>) -> Next {
        let number = index as u32;
        let connection = &mut self.connections[index];
        match incoming {
            Incoming::Bytes(bytes, at_ns) => return self.bytes(number, bytes, at_ns),
            Incoming::Skipped(bytes, at_ns) => {
                let Some(reader) = &mut connection.reader else { return Next::Close };
                let progress = reader.skipped(bytes);
                return self.progress(number, progress, at_ns);
            }
            Incoming::Connected => {
                connection.state = State::Open;
                self.trial.recorder.connections.opened += 1;
                self.trial.recorder.reconnects += 1;
                self.resume.push(number);
            }
            Incoming::NotConnected(error) => {
                not_opened(connection, number, &error, self.seen_ns, self.trial);
                return Next::Close;
            }
            Incoming::Writable => self.resume.push(number),
            Incoming::Ended | Incoming::Broken => {
                connection.state = State::Closed;
                let Some(flight) = connection.flight else {
                    self.trial.recorder.connections.closed_idle += 1;
                    return Next::Close;
                };
                if flight.sent_ns == 0 {
                    not_opened(
                        connection,
                        number,
                        &io::ErrorKind::ConnectionReset.into(),
                        self.seen_ns,
                        self.trial,
                    );
                    return Next::Close;
                }
                let reader = connection.reader.as_ref();
                if matches!(incoming, Incoming::Ended) && reader.is_some_and(|reader| reader.end()) {
                    self.whole(number, None);
                    return Next::Close;
                }
                let failure = match incoming {
                    Incoming::Broken => Failure::Reset,
                    _ if reader.is_some_and(|reader| reader.began()) => Failure::Truncated,
                    _ => Failure::Closed,
                };
                failed(connection, number, failure, self.seen_ns, self.trial);
                return Next::Close;
            }
        }
        Next::More
    }

    fn bytes(&mut self, number: u32, bytes: &[u8], at_ns: Option<u64>) -> Next {
        let connection = &mut self.connections[number as usize];
        let Some(flight) = &mut connection.flight else {
            connection.state = State::Closed;
            self.trial.recorder.connections.unasked += 1;
            return Next::Close;
        };
        if flight.sent_ns == 0 {
            let error = io::Error::new(io::ErrorKind::InvalidData, "it answers before it is asked");
            not_opened(connection, number, &error, self.seen_ns, self.trial);
            return Next::Close;
        }
        if flight.first_ns == 0 {
            flight.first_ns = at_ns.unwrap_or(self.seen_ns);
        }
        let request = flight.request as usize;
        let asked = self.trial.prepared.asked[request];
        let template = &mut self.templates[request];
        if connection.reader.is_none() {
            if let Some(whole) = template.whole(bytes, asked) {
                let flight = *flight;
                return self.judge(number, flight, &whole, at_ns);
            }
            connection.reader = Some(self.readers.pop().unwrap_or_default());
        }
        let Some(reader) = &mut connection.reader else { return Next::Close };
        match reader.push(bytes, asked, template) {
            Ok(progress) => self.progress(number, progress, at_ns),
            Err(malformed) => {
                connection.state = State::Closed;
                failed(connection, number, malformed.into(), self.seen_ns, self.trial);
                Next::Close
            }
        }
    }

    fn progress(&mut self, number: u32, progress: Progress, at_ns: Option<u64>) -> Next {
        match progress {
            Progress::Whole => self.whole(number, at_ns),
            Progress::More { skip } => {
                self.large_bodies |= skip >= LARGE_BODY;
                Next::Skip(skip)
            }
            Progress::Continue => {
                if let Some(flight) = &mut self.connections[number as usize].flight
                    && std::mem::take(&mut flight.waits)
                {
                    self.resume.push(number);
                }
                Next::More
            }
        }
    }

    /// An answer that came in pieces is whole.
    fn whole(&mut self, number: u32, at_ns: Option<u64>) -> Next {
        let connection = &mut self.connections[number as usize];
        let (Some(mut reader), Some(flight)) = (connection.reader.take(), connection.flight) else {
            return Next::Close;
        };
        let next = match reader.whole() {
            Some(whole) => self.judge(number, flight, &whole, at_ns),
            None => Next::Close,
        };
        if reader.capacity() <= LARGE_READER {
            reader.clear();
            self.readers.push(reader);
        }
        next
    }

    fn judge(&mut self, number: u32, flight: Flight, whole: &Whole<'_>, at_ns: Option<u64>) -> Next {
        let request = &self.trial.prepared.requests[flight.request as usize];
        let judged = judge(&request.expect, whole);
        let recorder = &mut self.trial.recorder;
        match (&mut self.trial.capture, judged) {
            (Some(capture), _) => {
                *capture = Some(Answer {
                    status: whole.status,
                    head: String::from_utf8_lossy(whole.head).into_owned(),
                    body: whole.body.to_vec(),
                });
            }
            (None, Ok(())) => recorder.counts.completed += 1,
            (None, Err(failure)) => recorder.failed(failure, request, Some(whole.status), whole.body),
        }
        self.answers += 1;
        if at_ns.is_none() {
            self.unstamped += 1;
            recorder.unstamped += 1;
        }
        // A stamp is read from another clock: never before the request went out.
        let done_ns = at_ns.unwrap_or(self.seen_ns).max(flight.sent_ns);
        let seen_ns = self.seen_ns.max(done_ns);
        self.trial.settle(flight, done_ns, seen_ns, judged.is_ok());
        let unsent = (flight.written as usize) < self.trial.prepared.bytes[flight.request as usize].len();
        let connection = &mut self.connections[number as usize];
        connection.flight = None;
        connection.free_ns = done_ns;
        self.trial.freed.push((number, Freed::Done));
        // An answer to half a request leaves the other half in the way of the next.
        if !whole.keep_alive || unsent || !self.trial.prepared.keep_alive {
            connection.state = State::Closed;
            return Next::Close;
        }
        Next::More
    }
}

/// Raises the soft limit of open files as far as so many connections need it and the hard limit allows.
fn enough_files(connections: u32) -> Result<(), LoadError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Files that a process has open besides: the terminal, a ring, a run's records, a report.
    const OTHERS: u64 = 64;
    let needed = u64::from(connections) + OTHERS;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let current = Some(now.maximum.map_or(needed, |maximum| maximum.min(needed)));
    let raised = setrlimit(Resource::Nofile, Rlimit { current, maximum: now.maximum });
    if raised.is_err() || current < Some(needed) {
        return Err(LoadError::TooManyConnections { connections, limit: now.maximum.unwrap_or(0) });
    }
    Ok(())
}
