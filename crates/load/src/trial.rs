//! A slice that runs: what is in flight, what is counted, and until when.

use std::{cmp::Reverse, collections::BinaryHeap, io, sync::Arc, time::Duration};

use dyno_model::load::Bytes;

use crate::{
    answer::AnswerReader,
    clock::{now_ns, thread_cpu_ns, thread_user_system_ns, thread_wait_ns},
    dialogue::{Made, Sequence, User},
    engine::Answer,
    options::EngineOptions,
    pacing::Pacing,
    recorder::{Failure, KEPT_SENDS, Recorder},
    request::Prepared,
};

/// How often time-outs are looked for at least; also when the next is reached.
pub const EXPIRY_PAUSE_NS: u64 = 50_000_000;
/// How often at most: each look goes over all connections.
pub const SHORTEST_EXPIRY_PAUSE_NS: u64 = 500_000;
/// Longest wait for answers after a stop: with it and what follows, a stopped load has ended within 5 s.
pub const LONGEST_STOP: Duration = Duration::from_secs(4);

/// A moment of a slice that the caller may want to read counters at. Told in the engine's own thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The guard is over: the measured window begins.
    WindowBegin,
    /// The measured window ends.
    WindowEnd,
}

/// A request on a connection.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    pub request: u32,
    pub written: u32,
    /// When it was due, by the schedule; in a closed loop when it was begun.
    pub due_ns: u64,
    /// When the engine took it up: it then opens a connection or sends at once.
    pub begun_ns: u64,
    /// When its first byte was handed to the kernel; 0 while its connection opens.
    pub sent_ns: u64,
    /// The same of the first time, if it is sent again; 0 before.
    pub first_sent_ns: u64,
    /// When it is to be sent again; 0 unless it waits for that.
    pub again_ns: u64,
    /// How often it was sent again.
    pub again: u8,
    /// Redirects that it has followed.
    pub redirects: u8,
    /// When the first bytes of its answer came; 0 before.
    pub first_ns: u64,
    /// What the generator was late with.
    pub late_ns: u64,
    /// How long after its time in the schedule it was due, for it was gathered with others.
    pub gathered_ns: u32,
    /// The body waits for the server's consent.
    pub waits: bool,
    /// The connection was opened for this request, which waited for it.
    pub opened: bool,
}

impl Flight {
    /// When the time-out began: the first time that it was sent. `None` before.
    pub const fn asked_ns(&self) -> Option<u64> {
        match (self.first_sent_ns, self.sent_ns) {
            (0, 0) => None,
            (0, sent_ns) => Some(sent_ns),
            (first_ns, _) => Some(first_ns),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Closed,
    Opening,
    Open,
}

/// A connection: at most one request in flight.
#[derive(Default)]
pub struct Connection {
    pub state: State,
    pub flight: Option<Flight>,
    /// When it got free for a request.
    pub free_ns: u64,
    /// An answer that came in pieces.
    pub reader: Option<Box<AnswerReader>>,
    /// What is sent instead of the prepared request.
    pub made: Option<Box<Made>>,
    /// Where it is in a sequence.
    pub user: User,
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
    pub model: Model,
    pub timeout_ns: u64,
    /// Redirects that a request follows at most.
    pub redirects: u32,
    pub sequence: Option<Arc<Sequence>>,
    /// Requests are gathered: what that does is recorded.
    pub gathers: bool,
    pub expiry_ns: u64,
    pub interval_ns: (u64, u64),
    pub at: &'a mut dyn FnMut(Mark),
    /// Connections that became free, and when each may be used again.
    pub freed: Vec<(u32, Freed)>,
    pub cpu_ns: u64,
    pub user_system_ns: (u64, u64),
    pub wait_ns: u64,
    /// A single question: its answer is kept and not judged.
    pub capture: Option<Option<Answer>>,
    /// Bytes of the engine's connections ever: now, when the slice began, and when its window did.
    pub bytes: Bytes,
    pub begin_bytes: Bytes,
    pub window_begin_bytes: Bytes,
    pub window_bytes: Bytes,
    /// Requests that are sent again: when, and on which connection. Others may be in their place by then.
    pub again: BinaryHeap<Reverse<(u64, u32)>>,
    /// When the load was stopped.
    pub stop_ns: Option<u64>,
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
    pub fn new(
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
            guard_ns: begin_ns.saturating_add(u64::try_from(guard.as_nanos()).unwrap_or(u64::MAX)),
            end_ns: begin_ns.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)),
            window_begin_ns: None,
            window_end_ns: None,
            model,
            timeout_ns: options.request_timeout.as_nanos() as u64,
            redirects: options.redirects,
            sequence: options.sequence.clone(),
            gathers: model == Model::Open && options.pacing != Pacing::Exact,
            expiry_ns: begin_ns + EXPIRY_PAUSE_NS,
            interval_ns: (begin_ns, u64::MAX),
            at,
            freed: Vec::new(),
            cpu_ns: thread_cpu_ns(),
            user_system_ns: thread_user_system_ns(),
            wait_ns: thread_wait_ns(),
            capture: None,
            bytes: Bytes::default(),
            begin_bytes: Bytes::default(),
            window_begin_bytes: Bytes::default(),
            window_bytes: Bytes::default(),
            again: BinaryHeap::new(),
            stop_ns: None,
        }
    }

    /// Begins and ends the window. Returns whether requests are still begun.
    pub fn marks(&mut self, now: u64, stopped: bool) -> bool {
        // A slice that is stopped in its guard has no window, however long its drain.
        if self.window_begin_ns.is_none() && self.window_end_ns.is_none() && now >= self.guard_ns {
            (self.at)(Mark::WindowBegin);
            self.window_begin_ns = Some(now_ns());
            self.window_begin_bytes = self.bytes;
        }
        if self.window_end_ns.is_none() && (now >= self.end_ns || stopped) {
            self.window_end_ns = Some(now_ns());
            if self.window_begin_ns.is_some() {
                self.window_bytes = self.bytes - self.window_begin_bytes;
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
            (None, None) => self.guard_ns,
            (Some(_), None) => self.end_ns,
            (_, Some(_)) => u64::MAX,
        };
        let again_ns = self.again.peek().map_or(u64::MAX, |&Reverse((at_ns, _))| at_ns);
        mark_ns.min(self.expiry_ns).min(self.interval_ns.1).min(again_ns)
    }

    /// A request ends without an outcome, for the load was stopped. How long its answer would have taken isn't known.
    pub fn unanswered(&mut self, due_ns: u64, seen_ns: u64) {
        self.recorder.ends(seen_ns);
        self.recorder.latency_sum_ns += seen_ns.saturating_sub(due_ns);
    }

    /// A request is done: right, or failed as is counted already.
    pub fn settle(&mut self, flight: Flight, done_ns: u64, seen_ns: u64, right: bool) {
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
                if self.gathers {
                    recorder.now.from_schedule.record_ns(recorded_ns + u64::from(flight.gathered_ns));
                }
            }
            Model::Closed | Model::Open => return,
        }
        recorder.failed_in_latency += u64::from(!right);
        if right {
            recorder.now.first_byte.record_ns(flight.first_ns.saturating_sub(flight.sent_ns));
            recorder.now.unread.record_ns(seen_ns.saturating_sub(done_ns));
        }
        recorder.window_completed += u64::from(right && in_window);
    }
}

impl Trial<'_> {
    /// A request went out.
    pub fn sent(&mut self, flight: &mut Flight, free_ns: u64) {
        if flight.first_sent_ns != 0 {
            // Again: it was counted.
            return;
        }
        flight.first_sent_ns = flight.sent_ns;
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
                        let scheduled_ns = flight.due_ns - u64::from(flight.gathered_ns);
                        self.recorder.sends.push(scheduled_ns + flight.late_ns - self.begin_ns);
                    }
                    if self.gathers {
                        self.recorder.now.gathered.record_ns(u64::from(flight.gathered_ns));
                    }
                }
            }
        }
    }
}

/// A request that was sent got no answer.
pub fn failed(
    connection: &mut Connection,
    index: u32,
    failure: Failure,
    seen_ns: u64,
    trial: &mut Trial<'_>,
) {
    failed_at(connection, index, failure, (seen_ns, seen_ns), trial);
}

/// A request that was sent got no answer until `done_ns`, as was seen at `seen_ns`.
pub fn failed_at(
    connection: &mut Connection,
    index: u32,
    failure: Failure,
    (done_ns, seen_ns): (u64, u64),
    trial: &mut Trial<'_>,
) {
    let Some(flight) = connection.flight.take() else { return };
    let request = &trial.prepared.requests[flight.request as usize];
    connection.made = None;
    connection.user.begins_again();
    let reader = connection.reader.take();
    let (status, body) =
        reader.as_ref().map_or((None, &b""[..]), |reader| (reader.status(), reader.received()));
    trial.recorder.failed(failure, request, status, body);
    if failure == Failure::Stopped {
        trial.unanswered(flight.due_ns, seen_ns);
    } else {
        trial.settle(flight, done_ns, seen_ns, false);
    }
    connection.free_ns = seen_ns;
    trial.freed.push((index, Freed::Done));
}

/// A request wasn't sent, for its connection couldn't be opened.
pub fn not_opened(
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
    // It was sent before, and is counted so.
    if connection.flight.is_some_and(|flight| flight.first_sent_ns != 0) {
        return failed(connection, index, Failure::Closed, seen_ns, trial);
    }
    let Some(flight) = connection.flight.take() else { return };
    connection.made = None;
    connection.user.begins_again();
    trial.recorder.counts.not_sent += 1;
    let request = &trial.prepared.requests[flight.request as usize];
    trial.recorder.not_sent(request, error);
    trial.settle(flight, seen_ns, seen_ns, false);
    connection.free_ns = seen_ns;
    trial.freed.push((index, Freed::NotOpened));
}
