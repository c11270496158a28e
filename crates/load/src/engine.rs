//! The engine's parts that both load models share: connections, epoll, the timer, sending and receiving.

use std::{collections::VecDeque, io, os::fd::OwnedFd, time::Duration};

use dyno_model::load::{Request, Target};
use rustix::{
    event::epoll::{self, Event, EventData, EventFlags},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use crate::{
    clock::now_ns,
    connection::{Connection, Received, Stream},
    http::encode,
    recorder::{Failure, Recorder, judge},
};

/// The event that isn't a connection's.
const TIMER: u64 = u64::MAX;
/// One read takes a small answer whole, and a page of contacts too.
const SCRATCH: usize = 64 * 1024;
/// How often a connection that can't be opened is tried again within the connect timeout.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// Limits of waiting.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for an answer, from when it was sent.
    pub request_timeout: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), request_timeout: Duration::from_secs(10) }
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
    /// The kernel refuses epoll or a timer.
    #[error("the load engine can't wait: {0}")]
    Kernel(#[from] rustix::io::Errno),
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
        what: &'static str,
    },
    /// A slice without requests.
    #[error("no requests to send")]
    NoRequests,
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

/// Connections to one target that stay open between slices.
pub struct Engine {
    pub(crate) options: EngineOptions,
    target: Target,
    host: String,
    epoll: OwnedFd,
    timer: OwnedFd,
    pub(crate) connections: Vec<Connection>,
    /// Connections that wait for a request, the longest idle first: load is spread over all of them, as
    /// over the workers behind them.
    pub(crate) idle: VecDeque<usize>,
    scratch: Vec<u8>,
    events: Vec<Event>,
}

/// A connection that became free, with its last request's times, or a failure that was counted.
pub(crate) struct Done {
    pub connection: usize,
    pub due_ns: u64,
    pub sent_ns: u64,
    pub right: bool,
}

impl Engine {
    /// Connects once, to see that the target is there; the other connections are opened when a slice begins.
    /// An open connection that asks nothing is no idle client to every server: gunicorn's threads each
    /// wait for the first request of one, and 64 of them would keep all its threads.
    ///
    /// # Errors
    /// The target takes none within the connect timeout; the kernel refuses epoll.
    pub fn connect(target: Target, connections: u32, options: EngineOptions) -> Result<Self, LoadError> {
        // The kernel may put off wake-ups by 50 us to save power; a load engine is late by that.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
        let host = match &target {
            Target::Tcp(address) => address.to_string(),
            Target::Unix(_) => "localhost".to_owned(),
        };
        let mut engine = Self {
            options,
            target,
            host,
            epoll,
            timer,
            connections: Vec::new(),
            idle: VecDeque::new(),
            scratch: vec![0; SCRATCH],
            events: Vec::with_capacity(256),
        };
        engine.connections.resize_with(connections as usize, Connection::default);
        engine.make_ready(1)?;
        Ok(engine)
    }

    /// The bytes of each request.
    pub(crate) fn encode_all(&self, requests: &[Request]) -> Result<Vec<Vec<u8>>, LoadError> {
        if requests.is_empty() {
            return Err(LoadError::NoRequests);
        }
        Ok(requests.iter().map(|request| encode(request, &self.host)).collect())
    }

    /// Opens a connection again, trying until the connect timeout.
    pub(crate) fn reopen(&mut self, index: usize) -> Result<(), LoadError> {
        let until = now_ns() + self.options.connect_timeout.as_nanos() as u64;
        // Closing the old one takes it out of epoll.
        self.connections[index].stream = None;
        loop {
            match Stream::connect(&self.target, self.options.connect_timeout) {
                Ok(stream) => {
                    let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(&self.epoll, &stream, EventData::new_u64(index as u64), interest)?;
                    self.connections[index].stream = Some(stream);
                    return Ok(());
                }
                Err(source) if now_ns() >= until => {
                    return Err(LoadError::Connect { target: self.target.clone(), source });
                }
                Err(_) => std::thread::sleep(CONNECT_PAUSE),
            }
        }
    }

    /// All connections idle and open, those that the server closed meanwhile opened again.
    pub(crate) fn make_ready(&mut self, count: usize) -> Result<(), LoadError> {
        self.idle.clear();
        if self.connections.len() < count {
            self.connections.resize_with(count, Connection::default);
        }
        for index in 0..count {
            self.connections[index].in_flight = None;
            if !self.connections[index].is_idle_and_open() {
                self.reopen(index)?;
            }
            self.connections[index].free_ns = 0;
        }
        self.idle.extend(0..count);
        Ok(())
    }

    /// Sends a request on a connection, opened again if the server closes after each answer. Returns when
    /// it was sent; `None` when the connection broke on sending, which is counted.
    pub(crate) fn send(
        &mut self,
        index: usize,
        request: (usize, &Request, &[u8]),
        due_ns: Option<u64>,
        recorder: &mut Recorder,
    ) -> Result<Option<u64>, LoadError> {
        if self.connections[index].stream.is_none() {
            self.reopen(index)?;
            recorder.reconnects += 1;
        }
        let (number, request, bytes) = request;
        let sent_ns = now_ns();
        let due_ns = due_ns.unwrap_or(sent_ns);
        recorder.counts.sent += 1;
        let connection = &mut self.connections[index];
        if connection.send((number, due_ns, sent_ns), bytes).is_err() {
            connection.in_flight = None;
            connection.stream = None;
            recorder.failed(Failure::Closed, request, None, b"");
            return Ok(None);
        }
        Ok(Some(sent_ns))
    }

    /// Waits until something happens or the clock says `until_ns`.
    pub(crate) fn wait(&mut self, until_ns: u64) -> Result<(), LoadError> {
        let at = Timespec {
            tv_sec: (until_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (until_ns % 1_000_000_000).max(1).cast_signed(),
        };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: never, it_value: at };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)?;
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what has come on all connections that have news, and tells `done` of each that became free.
    pub(crate) fn take(
        &mut self,
        requests: &[Request],
        encoded: &[Vec<u8>],
        recorder: &mut Recorder,
        done: &mut Vec<Done>,
    ) {
        done.clear();
        for event in 0..self.events.len() {
            let Event { flags, data } = self.events[event];
            let data = data.u64();
            if data == TIMER {
                continue;
            }
            let index = data as usize;
            let ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            let Some(flight) = self.connections[index].in_flight else {
                // An idle connection that has news has been closed, or never was asked; EPOLLOUT alone is none.
                if self.connections[index].stream.is_some() && !self.connections[index].is_idle_and_open() {
                    self.connections[index].stream = None;
                }
                continue;
            };
            let request = &requests[flight.request];
            let connection = &mut self.connections[index];
            let received = match connection.write_rest(&encoded[flight.request]) {
                Ok(()) => connection.receive(&mut self.scratch, ending),
                Err(_) => Received::Closed,
            };
            let right = match received {
                Received::Pending => continue,
                Received::Whole => Self::judge_whole(connection, request, recorder),
                Received::Closed | Received::Malformed => {
                    let failure =
                        if received == Received::Closed { Failure::Closed } else { Failure::Protocol };
                    connection.stream = None;
                    recorder.failed(failure, request, None, connection.reader.received());
                    false
                }
            };
            connection.in_flight = None;
            done.push(Done { connection: index, due_ns: flight.due_ns, sent_ns: flight.sent_ns, right });
        }
    }

    fn judge_whole(connection: &mut Connection, request: &Request, recorder: &mut Recorder) -> bool {
        let Some(answer) = connection.reader.whole() else { return false };
        let judged = judge(request, &answer);
        if let Err(failure) = judged {
            recorder.failed(failure, request, Some(answer.status), answer.body);
        } else {
            recorder.counts.completed += 1;
        }
        if !answer.keep_alive {
            connection.stream = None;
        }
        judged.is_ok()
    }

    /// Gives up on requests that were sent longer ago than the timeout.
    pub(crate) fn expire(
        &mut self,
        now_ns: u64,
        requests: &[Request],
        recorder: &mut Recorder,
        done: &mut Vec<Done>,
    ) {
        done.clear();
        let timeout_ns = self.options.request_timeout.as_nanos() as u64;
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if let Some(flight) = connection.in_flight
                && now_ns >= flight.sent_ns + timeout_ns
            {
                recorder.failed(
                    Failure::TimedOut,
                    &requests[flight.request],
                    None,
                    connection.reader.received(),
                );
                connection.in_flight = None;
                connection.stream = None;
                done.push(Done {
                    connection: index,
                    due_ns: flight.due_ns,
                    sent_ns: flight.sent_ns,
                    right: false,
                });
            }
        }
    }

    /// Asks once and waits for the answer, whatever its status. Not for timing.
    ///
    /// # Errors
    /// No connection, or no answer within the timeout.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, LoadError> {
        self.make_ready(1)?;
        let no_answer = |target: &Target, what| LoadError::NoAnswer {
            target: target.clone(),
            method: request.method.clone(),
            path: request.target.clone(),
            what,
        };
        let bytes = encode(request, &self.host);
        let until_ns = now_ns() + self.options.request_timeout.as_nanos() as u64;
        let connection = &mut self.connections[0];
        let closed = "the connection was closed before the answer was whole";
        connection.send((0, 0, 0), &bytes).map_err(|_| no_answer(&self.target, closed))?;
        loop {
            self.wait(until_ns)?;
            let connection = &mut self.connections[0];
            let received = match connection.write_rest(&bytes) {
                Ok(()) => connection.receive(&mut self.scratch, true),
                Err(_) => Received::Closed,
            };
            match received {
                Received::Pending if now_ns() < until_ns => continue,
                Received::Pending => return Err(no_answer(&self.target, "no answer in time")),
                Received::Closed => return Err(no_answer(&self.target, closed)),
                Received::Malformed => return Err(no_answer(&self.target, "not an HTTP/1.1 answer")),
                Received::Whole => {}
            }
            connection.in_flight = None;
            let Some(whole) = connection.reader.whole() else { continue };
            let answer = Answer {
                status: whole.status,
                head: String::from_utf8_lossy(whole.head).into_owned(),
                body: whole.body.to_vec(),
            };
            if !whole.keep_alive {
                connection.stream = None;
            }
            return Ok(answer);
        }
    }
}
