//! Open loop: requests are due by a schedule, whatever the server does. Nothing is dropped: a request that
//! finds no free connection waits, and its latency counts from when it was due (Tene: coordinated omission).

use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dyno_model::load::{Request, SliceOutcome};

use crate::{
    checks,
    clock::now_ns,
    engine::Engine,
    options::LoadError,
    pacing::{Gatherer, Pacing},
    schedule::{Due, Schedule},
    trial::{Mark, Model, Trial},
    wire::Patience,
};

/// An open-loop slice.
#[derive(Clone, Copy, Debug)]
pub struct OpenSlice<'a> {
    /// Connections that may be in use at once.
    pub connections: u32,
    /// The schedule's length.
    pub length: Duration,
    /// Beginning whose requests are sent and not measured.
    pub guard: Duration,
    /// Ends the slice early when true; what wasn't sent is counted.
    pub stop: &'a AtomicBool,
}

/// When the next request is due within this, answers are read when it goes out: one wake-up for both. The kernel's
/// receive timestamps keep the wait out of the latencies.
const LAZY_NS: u64 = 2_000_000;

/// Requests that wait for a connection at most. More that are due stay in the schedule, undrawn: the memory is the same
/// whatever is asked for.
const MOST_WAITING: usize = 1 << 18;
/// Steps in which the ages of requests that were never drawn are counted.
const AGES: u64 = 256;

/// Requests that are due and wait for a connection, and those that will be due.
struct Queue {
    schedule: Schedule,
    /// The next of the schedule.
    next: Option<Due>,
    /// When the next is sent, which may be later: it is gathered with others.
    next_ns: u64,
    gatherer: Gatherer,
    /// When the last that was drawn is due.
    last_ns: u64,
    waiting: VecDeque<Waiting>,
}

/// A request that is due.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Since when.
    due_ns: u64,
    /// How long after its time in the schedule that is.
    gathered_ns: u32,
    request: u32,
}

impl Engine {
    /// Loads in an open loop by a schedule, and drains: the slice ends when every request is done or timed out.
    ///
    /// # Errors
    /// No connection can be opened, the kernel refuses to wait, or there are no requests.
    pub fn open(
        &mut self,
        requests: &[Request],
        schedule: &Schedule,
        slice: OpenSlice<'_>,
        at: &mut dyn FnMut(Mark),
    ) -> Result<SliceOutcome, LoadError> {
        let times = (slice.guard, slice.length);
        let mut trial = self.begin(requests, slice.connections, Model::Open, times, at)?;
        let mut queue = Queue::new(schedule, self.options.pacing);
        let timeout_ns = self.options.request_timeout.as_nanos() as u64;
        loop {
            let now = now_ns();
            let stopped = slice.stop.load(Ordering::Relaxed);
            if stopped {
                queue.give_up(now, &mut trial);
                self.heed_stop(now, &mut trial);
            }
            // A number of requests is measured to its last answer.
            let answered = queue.is_limited() && queue.next.is_none() && trial.recorder.in_flight() == 0;
            let before = trial.window_end_ns;
            trial.bytes = self.link.bytes();
            let running = trial.marks(now, stopped || answered);
            if before.is_none() && !running {
                trial.recorder.backlog += queue.undrawn(now, trial.begin_ns);
            }
            if !stopped {
                queue.end(now, timeout_ns, &mut trial);
            }
            queue.release(now_ns(), &mut trial);
            self.send_waiting(&mut queue, &mut trial);
            self.flush(&mut trial)?;
            if !running && queue.next.is_none() && trial.recorder.in_flight() == 0 {
                break;
            }
            // With as many waiting as may wait, an answer is what comes next.
            let full = queue.waiting.len() >= MOST_WAITING;
            let due_ns = queue.next.filter(|_| !full).map(|_| trial.begin_ns + queue.next_ns);
            let until_ns = trial.milestone_ns().min(due_ns.unwrap_or(u64::MAX));
            self.collect(self.patience(until_ns, &queue, &trial), &mut trial)?;
            // The longest unused first: those that got free now are the last.
            self.idle.extend(trial.freed.drain(..).map(|(connection, _)| connection));
        }
        let sends = std::mem::take(&mut trial.recorder.sends);
        let mut outcome = self.finish(trial);
        outcome.pacing = schedule.is_poisson().then(|| checks::pacing(&sends, schedule)).flatten();
        self.sends = sends;
        Ok(outcome)
    }

    /// When requests were due plus what the engine was late with, in nanoseconds since the last open slice began:
    /// at most 20,001 of them, for self-check G3 over several threads.
    pub fn last_sends(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.sends)
    }

    fn patience(&self, until_ns: u64, queue: &Queue, trial: &Trial<'_>) -> Patience {
        // Somebody waits for a connection: the next answer matters at once.
        let lazy = queue.waiting.is_empty() && !self.idle.is_empty();
        let want = u32::try_from(trial.recorder.in_flight()).unwrap_or(u32::MAX).saturating_add(1);
        if lazy {
            Patience { until_ns, want, nap_ns: LAZY_NS }
        } else {
            Patience { until_ns, want: 1, nap_ns: 0 }
        }
    }

    fn send_waiting(&mut self, queue: &mut Queue, trial: &mut Trial<'_>) {
        while !queue.waiting.is_empty()
            && let Some(connection) = self.idle.pop_front()
            && let Some(due) = queue.waiting.pop_front()
        {
            let due_ns = (Some(due.due_ns), due.gathered_ns);
            self.start_gathered(connection, due.request as usize, due_ns, trial);
        }
    }
}

impl Queue {
    fn new(schedule: &Schedule, pacing: Pacing) -> Self {
        let gatherer = Gatherer::new(pacing);
        let schedule = schedule.clone();
        let mut queue =
            Self { schedule, next: None, next_ns: 0, gatherer, last_ns: 0, waiting: VecDeque::new() };
        queue.draw();
        queue
    }

    /// Takes the next of the schedule.
    fn draw(&mut self) {
        self.next = self.schedule.next();
        if let Some(next) = self.next {
            self.next_ns = self.gatherer.sent_at_ns(next.at_ns);
        }
    }

    /// Whether a number of requests ends it, and has.
    const fn is_limited(&self) -> bool {
        self.next.is_none() && self.schedule.limit_reached()
    }

    /// Puts what is due into the queue.
    fn release(&mut self, now_ns: u64, trial: &mut Trial<'_>) {
        let begin_ns = trial.begin_ns;
        while self.waiting.len() < MOST_WAITING
            && let Some(due) = self.next.filter(|_| begin_ns + self.next_ns <= now_ns)
        {
            let due_ns = begin_ns + self.next_ns;
            let gathered_ns = u32::try_from(self.next_ns - due.at_ns).unwrap_or(u32::MAX);
            self.draw();
            self.last_ns = due_ns;
            trial.recorder.counts.planned += 1;
            trial.recorder.begins(due_ns);
            let request = u32::try_from(due.request).unwrap_or(u32::MAX);
            self.waiting.push_back(Waiting { due_ns, gathered_ns, request });
        }
    }

    /// How many are due at `now_ns` and stayed in the schedule: as many as are expected.
    fn undrawn(&self, now_ns: u64, begin_ns: u64) -> u64 {
        let Some(next) = self.next.filter(|_| begin_ns + self.next_ns <= now_ns) else { return 0 };
        (self.schedule.expected(now_ns - begin_ns) - self.schedule.expected(next.at_ns)).round() as u64
    }

    /// Ends the drain one time-out after the last request was due: what still waits for a connection isn't sent any
    /// more, else a server that says nothing would be drained one time-out after another. It counts as the time-out or
    /// longer.
    fn end(&mut self, now_ns: u64, timeout_ns: u64, trial: &mut Trial<'_>) {
        let last_ns = if self.is_limited() { self.last_ns } else { trial.end_ns };
        if now_ns < last_ns.saturating_add(timeout_ns) || (self.waiting.is_empty() && self.next.is_none()) {
            return;
        }
        for due in std::mem::take(&mut self.waiting) {
            trial.recorder.ends(now_ns);
            trial.recorder.latency_sum_ns += now_ns - due.due_ns;
            trial.recorder.counts.not_sent += 1;
            let request = &trial.prepared.requests[due.request as usize];
            trial.recorder.not_sent(request, &io::ErrorKind::TimedOut.into());
            never_sent(due.due_ns, now_ns, 1, trial);
        }
        self.end_undrawn(now_ns, trial);
    }

    /// Counts those that were due and stayed in the schedule: their number, and their ages in some hundred steps.
    fn end_undrawn(&mut self, now_ns: u64, trial: &mut Trial<'_>) {
        let Some(first) = self.next.take() else { return };
        let expected = |at_ns: u64| self.schedule.expected(at_ns) - self.schedule.expected(first.at_ns);
        let length_ns = (trial.end_ns - trial.begin_ns).saturating_sub(first.at_ns);
        let whole = expected(first.at_ns + length_ns).max(f64::MIN_POSITIVE);
        let shares: Vec<(u64, f64)> = (1..=AGES)
            .map(|step| {
                let at_ns = first.at_ns + (length_ns as f64 * step as f64 / AGES as f64) as u64;
                (at_ns, expected(at_ns) / whole)
            })
            .collect();
        let count = 1 + self.schedule.give_up_rest();
        trial.recorder.counts.planned += count;
        trial.recorder.counts.not_sent += count;
        let mut counted = 0;
        for (at_ns, share) in shares {
            let until = ((count as f64 * share).round() as u64).clamp(counted, count);
            never_sent(trial.begin_ns + at_ns, now_ns, until - counted, trial);
            counted = until;
        }
        never_sent(trial.end_ns, now_ns, count - counted, trial);
    }

    /// Counts what isn't sent any more after a stop.
    fn give_up(&mut self, now_ns: u64, trial: &mut Trial<'_>) {
        for due in std::mem::take(&mut self.waiting) {
            trial.recorder.counts.not_sent += 1;
            trial.unanswered(due.due_ns, now_ns);
        }
        if self.next.take().is_some() {
            let count = 1 + self.schedule.give_up_rest();
            trial.recorder.counts.planned += count;
            trial.recorder.counts.not_sent += count;
        }
    }
}

/// So many requests that were due at `due_ns` are never sent.
fn never_sent(due_ns: u64, now_ns: u64, count: u64, trial: &mut Trial<'_>) {
    if count > 0 && due_ns >= trial.guard_ns {
        let age_ns = now_ns.saturating_sub(due_ns);
        trial.recorder.now.latency.record_many_ns(age_ns, count);
        trial.recorder.now.latency_less_late.record_many_ns(age_ns, count);
        trial.recorder.failed_in_latency += count;
    }
}
