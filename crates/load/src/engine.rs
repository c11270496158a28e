//! What both load models share: connections, requests in flight, sending, and waiting for what comes back.

use std::{
    cmp::Reverse,
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dyno_model::load::{Request, SliceOutcome, Target};

use crate::{
    answer::{AnswerReader, Template},
    clock::{now_ns, thread_cpu_ns, thread_user_system_ns, thread_wait_ns},
    dialogue::Made,
    intake::Intake,
    options::{EngineOptions, LoadError, enough_files},
    recorder::{Failure, Interval},
    request::Prepared,
    trial::{
        Connection, EXPIRY_PAUSE_NS, Flight, LONGEST_STOP, Mark, Model, SHORTEST_EXPIRY_PAUSE_NS, State,
        Trial, failed, failed_at, not_opened,
    },
    wire::{ClockOffset, Incoming, Link, Patience},
};

/// How long a request with `Expect: 100-continue` waits for the server's consent (RFC 9110, 10.1.1).
const LONGEST_CONSENT_NS: u64 = 1_000_000_000;
/// Largest request that is surely in the kernel's buffer once it was sent.
const SMALL_REQUEST: usize = 16 * 1024;

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

/// Tells of intervals while a slice runs, in the engine's thread.
pub type Watcher = Box<dyn FnMut(Interval) + Send>;

/// Told once when a slice is stopped: how many requests are in flight, and how long they are waited for.
pub type OnStop = Box<dyn FnMut(u64, Duration) + Send>;

/// Connections to one target that stay open between slices. A ring belongs to one thread: so does an engine.
pub struct Engine {
    pub(crate) options: EngineOptions,
    pub(crate) target: Target,
    pub(crate) host: String,
    pub(crate) link: Link,
    pub(crate) connections: Vec<Connection>,
    /// Connections that wait for a request, the longest idle first: load is spread over all of them, as
    /// over the workers behind them.
    pub(crate) idle: VecDeque<u32>,
    pub(crate) templates: Vec<Template>,
    /// Readers that no connection uses now; boxed, so that a connection without one is small.
    #[allow(clippy::vec_box, reason = "they move between here and connections without a copy")]
    pub(crate) readers: Vec<Box<AnswerReader>>,
    /// Everything that was ever sent: a ring may still read from it.
    pub(crate) prepared: Vec<Arc<Prepared>>,
    /// Sends of this round, whose time is known when they are handed over.
    pub(crate) round: Vec<u32>,
    /// Bodies that may go now, or the rest of requests that the kernel didn't take whole.
    pub(crate) resume: Vec<u32>,
    /// Connections that broke on sending in this round.
    pub(crate) broken: Vec<u32>,
    /// The last round's answers had receive timestamps.
    pub(crate) stamped: bool,
    /// Answers have bodies that nobody checks and that are worth dropping in the kernel; whether that is done.
    pub(crate) large_bodies: bool,
    pub(crate) skips: bool,
    pub(crate) watch: Option<(Duration, Watcher)>,
    pub(crate) on_stop: Option<OnStop>,
    pub(crate) sends: Vec<u64>,
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
        let targets = std::iter::once(target.clone()).chain(options.others.iter().cloned()).collect();
        let link = Link::new(&options, connections as usize, targets)?;
        let lanes = connections as usize * options.lanes();
        let mut engine = Self {
            options,
            target,
            host,
            link,
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
            on_stop: None,
            sends: Vec::new(),
        };
        engine.connections.resize_with(lanes, Connection::default);
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

    /// Tells when a slice is stopped.
    pub fn on_stop(&mut self, tell: OnStop) {
        self.on_stop = Some(tell);
    }

    /// Which engine this is, in words.
    pub fn words(&self) -> String {
        self.link.words()
    }

    fn prepare(&mut self, requests: &[Request]) -> Result<Arc<Prepared>, LoadError> {
        if requests.is_empty() {
            return Err(LoadError::NoRequests);
        }
        let prepared = match self.prepared.iter().find(|prepared| prepared.requests == requests) {
            Some(prepared) => Arc::clone(prepared),
            None => {
                let prepared = Arc::new(Prepared::new(requests, &self.host, &self.options)?);
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
        let lanes = connections as usize * self.options.lanes();
        if self.options.keep_alive {
            self.make_ready(lanes)?;
        } else {
            self.make_ready(0)?;
            if self.connections.len() < lanes {
                self.connections.resize_with(lanes, Connection::default);
            }
            self.idle.extend(0..u32::try_from(lanes).unwrap_or(u32::MAX));
        }
        let mut trial = Trial::new(prepared, model, &self.options, times, at);
        trial.begin_bytes = self.link.bytes();
        trial.bytes = trial.begin_bytes;
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
        outcome.bytes = self.link.bytes() - trial.begin_bytes;
        outcome.window_bytes = trial.window_bytes;
        outcome.generator_cpu_ns = cpu_ns;
        let share = system_ns as f64 / (user_ns + system_ns).max(1) as f64;
        outcome.generator_system_ns = (cpu_ns as f64 * share) as u64;
        outcome.generator_wait_ns = thread_wait_ns() - trial.wait_ns;
        outcome.engine = self.words();
        outcome
    }

    fn tell_interval(&mut self, trial: &mut Trial<'_>, now: u64, last: bool) {
        let Some((every, watcher)) = &mut self.watch else { return };
        let (from_ns, to_ns) = trial.interval_ns;
        if now < to_ns && !(last && now > from_ns) {
            return;
        }
        let at = Duration::from_nanos(from_ns - trial.begin_ns);
        let measured = trial.guard_ns <= from_ns
            && from_ns < trial.end_ns
            && trial.window_end_ns.is_none_or(|end| from_ns < end);
        let length = Duration::from_nanos(now - from_ns);
        let bytes = self.link.bytes() - trial.begin_bytes;
        watcher(trial.recorder.roll(at, length, measured, bytes));
        // Borders are fixed, so that the intervals of all threads are the same.
        let every_ns = every.as_nanos().max(1) as u64;
        let next = (now.max(to_ns) - trial.begin_ns) / every_ns + 1;
        trial.interval_ns = (now, trial.begin_ns + next * every_ns);
    }

    /// Begins a request on a connection: sends it, or opens the connection first.
    pub(crate) fn start(&mut self, index: u32, request: usize, due_ns: Option<u64>, trial: &mut Trial<'_>) {
        self.start_gathered(index, request, (due_ns, 0), trial);
    }

    /// The same for a request that is due so long after its time in the schedule.
    pub(crate) fn start_gathered(
        &mut self,
        index: u32,
        request: usize,
        (due_ns, gathered_ns): (Option<u64>, u32),
        trial: &mut Trial<'_>,
    ) {
        let begun_ns = now_ns();
        let due_ns = due_ns.unwrap_or(begun_ns);
        let open = self.connections[index as usize].state == State::Open;
        let mut request = request;
        if let Some(sequence) = &trial.sequence {
            let connection = &mut self.connections[index as usize];
            request = connection.user.next(sequence, index as usize);
            let filled = connection.user.fill(&trial.prepared.requests[request]);
            // What HTTP/2 can't carry goes with the marks in it, and is answered so.
            let made = filled.and_then(|filled| Made::new(filled, &trial.prepared).ok());
            connection.made = made.map(Box::new);
        }
        self.connections[index as usize].flight = Some(Flight {
            request: u32::try_from(request).unwrap_or(u32::MAX),
            written: 0,
            due_ns,
            begun_ns,
            sent_ns: 0,
            first_sent_ns: 0,
            again_ns: 0,
            again: 0,
            redirects: 0,
            first_ns: 0,
            late_ns: 0,
            gathered_ns,
            waits: self.connections[index as usize].made.is_none()
                && trial.prepared.first[request] < trial.prepared.bytes[request].len(),
            opened: !open,
        });
        if open {
            return self.send(index, trial);
        }
        if trial.model == Model::Closed {
            trial.recorder.begins(begun_ns);
        }
        match self.link.open(index as usize) {
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
        let prepared = &trial.prepared;
        let (bytes, framed) = match &connection.made {
            Some(made) => (made.bytes.as_slice(), made.framed.as_ref()),
            None => (&prepared.bytes[request][..prepared.first[request]], prepared.framed.get(request)),
        };
        let now = now_ns();
        let sent = match framed {
            Some((head, body)) => match self.link.ask(index as usize, head, body) {
                Ok(true) => Ok(bytes.len()),
                Ok(false) => {
                    if trial.model == Model::Closed && !std::mem::replace(&mut flight.opened, true) {
                        trial.recorder.begins(flight.begun_ns);
                    }
                    flight.opened = true;
                    connection.state = State::Opening;
                    return;
                }
                Err(error) => Err(error),
            },
            None => self.link.send(index as usize, bytes),
        };
        trial.recorder.counts.sent += u64::from(flight.first_sent_ns == 0);
        flight.sent_ns = now;
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
        let gathers = self.link.gathers();
        let from_ns = now_ns();
        self.link.flush()?;
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
            self.link.close(index as usize);
            let connection = &mut self.connections[index as usize];
            connection.state = State::Closed;
            failed(connection, index, Failure::Reset, now_ns(), trial);
        }
        Ok(())
    }

    /// Waits, and takes what has come. `trial.freed` has the connections that became free.
    pub(crate) fn collect(&mut self, patience: Patience, trial: &mut Trial<'_>) -> Result<(), LoadError> {
        self.flush(trial)?;
        // What has come until now is read before anything is said to be late.
        let before_ns = now_ns();
        // Unstamped answers are done when they are read: then every nap would be counted as theirs.
        let nap_ns = if self.stamped { patience.nap_ns } else { 0 };
        self.link.wait(Patience { nap_ns, ..patience })?;
        self.take(trial, false)?;
        if self.large_bodies && trial.model == Model::Closed && !self.skips && self.link.may_skip() {
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
            let request = flight.request as usize;
            // Without the server's consent the body stays here.
            let bytes = match &connection.made {
                Some(made) => made.bytes.as_slice(),
                None if flight.waits => &trial.prepared.bytes[request][..trial.prepared.first[request]],
                None => trial.prepared.bytes[request].as_slice(),
            };
            let rest = &bytes[(flight.written as usize).min(bytes.len())..];
            match self.link.send(index as usize, rest) {
                Ok(written) => flight.written += u32::try_from(written).unwrap_or(u32::MAX),
                Err(_) => {
                    self.link.close(index as usize);
                    connection.state = State::Closed;
                    failed(connection, index, Failure::Reset, now_ns(), trial);
                }
            }
        }
        if self.round.is_empty() {
            self.link.flush()?;
        } else {
            self.flush(trial)?;
        }
        if before_ns >= trial.expiry_ns {
            self.expire(before_ns, trial);
        }
        let now = now_ns();
        self.send_again(now, trial);
        self.tell_interval(trial, now, false);
        Ok(())
    }

    /// Opens lanes for requests that the server hasn't processed, when their pause is over.
    fn send_again(&mut self, now: u64, trial: &mut Trial<'_>) {
        while let Some(&Reverse((at_ns, index))) = trial.again.peek()
            && at_ns <= now
        {
            trial.again.pop();
            let connection = &mut self.connections[index as usize];
            // Its time may have run out meanwhile.
            let Some(flight) = connection.flight.as_mut().filter(|flight| flight.again_ns == at_ns) else {
                continue;
            };
            (flight.again_ns, flight.begun_ns) = (0, now);
            match self.link.open(index as usize) {
                Ok(()) => connection.state = State::Opening,
                Err(error) => not_opened(connection, index, &error, now, trial),
            }
        }
    }

    /// What a stop asks for: it is told once, and what has no answer after a while, or at a second stop, is given up.
    pub(crate) fn heed_stop(&mut self, now: u64, trial: &mut Trial<'_>) {
        let patience = self.options.request_timeout.min(LONGEST_STOP);
        let stop_ns = *trial.stop_ns.get_or_insert_with(|| {
            if let Some(tell) = &mut self.on_stop {
                tell(trial.recorder.in_flight(), patience);
            }
            now
        });
        let at_once = self.options.end_now.is_some_and(|end| end.load(Ordering::Relaxed));
        let end_ns = stop_ns + patience.as_nanos() as u64;
        // It is woken for it.
        trial.expiry_ns = trial.expiry_ns.min(end_ns);
        if now < end_ns && !at_once {
            return;
        }
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let Some(flight) = connection.flight else { continue };
            self.link.close(index);
            connection.state = State::Closed;
            if flight.asked_ns().is_some() {
                failed(connection, index as u32, Failure::Stopped, now, trial);
            } else {
                connection.flight = None;
                trial.recorder.counts.not_sent += 1;
                trial.unanswered(flight.due_ns, now);
                trial.freed.push((index as u32, crate::trial::Freed::Done));
            }
        }
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
            self.link.prefer_skipping(offset, &mut sink)?;
        } else {
            self.link.take(offset, &mut sink)?;
        }
        if intake.answers > 0 {
            self.stamped = intake.unstamped == 0;
        }
        self.large_bodies |= intake.large_bodies;
        Ok(())
    }

    /// Gives up on requests that were sent longer ago than the timeout, and on connections that don't open. Looks again
    /// when the next of them will be, so that a time-out ends when it ends and not at some tick.
    fn expire(&mut self, now: u64, trial: &mut Trial<'_>) {
        let request_ns = self.options.request_timeout.as_nanos() as u64;
        let connect_ns = self.options.connect_timeout.as_nanos() as u64;
        let mut next_ns = now.saturating_add(EXPIRY_PAUSE_NS.min(request_ns).min(connect_ns));
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let Some(flight) = &mut connection.flight else { continue };
            let number = index as u32;
            let end_ns = match flight.asked_ns() {
                None => flight.begun_ns.saturating_add(connect_ns),
                Some(asked_ns) => asked_ns.saturating_add(request_ns),
            };
            if now < end_ns {
                next_ns = next_ns.min(end_ns);
                if flight.waits && flight.sent_ns != 0 && now >= flight.sent_ns + LONGEST_CONSENT_NS {
                    flight.waits = false;
                    self.resume.push(number);
                }
                continue;
            }
            self.link.close(index);
            if flight.asked_ns().is_none() {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                not_opened(connection, number, &error, now, trial);
            } else {
                connection.state = State::Closed;
                failed_at(connection, number, Failure::TimedOut, (end_ns, now), trial);
            }
        }
        trial.expiry_ns = next_ns.max(now + SHORTEST_EXPIRY_PAUSE_NS);
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
        let prepared = Arc::new(Prepared::new(&[asked], &self.host, &self.options)?);
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
        if self.prepared.last().is_some_and(|last| last.bytes[0].len() <= SMALL_REQUEST) {
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
