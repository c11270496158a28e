//! Open loop: requests are due by a schedule, whatever the server does. Nothing is dropped: a request that
//! finds no free connection waits, and its latency counts from when it was due (Tene: coordinated omission).

use std::{
    collections::VecDeque,
    io,
    iter::Peekable,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dyno_model::load::{Request, SliceOutcome};

use crate::{
    checks,
    clock::now_ns,
    engine::Engine,
    options::LoadError,
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

/// Requests that are due and wait for a connection, and those that will be due.
struct Queue {
    schedule: Peekable<Schedule>,
    waiting: VecDeque<Due>,
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
        let mut queue = Queue { schedule: schedule.clone().peekable(), waiting: VecDeque::new() };
        loop {
            let now = now_ns();
            let stopped = slice.stop.load(Ordering::Relaxed);
            let running = trial.marks(now, stopped);
            if stopped {
                queue.give_up(now, &mut trial);
            } else if !running {
                queue.end(now, self.options.request_timeout.as_nanos() as u64, &mut trial);
            }
            queue.release(now_ns(), &mut trial);
            self.send_waiting(&mut queue, &mut trial);
            self.flush(&mut trial)?;
            let due_ns = queue.schedule.peek().map(|due| trial.begin_ns + due.at_ns);
            if !running && due_ns.is_none() && trial.recorder.in_flight() == 0 {
                break;
            }
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
            self.start(connection, due.request, Some(due.at_ns), trial);
        }
    }
}

impl Queue {
    /// Puts what is due into the queue.
    fn release(&mut self, now_ns: u64, trial: &mut Trial<'_>) {
        let begin_ns = trial.begin_ns;
        while let Some(due) = self.schedule.next_if(|due| begin_ns + due.at_ns <= now_ns) {
            let due = Due { at_ns: begin_ns + due.at_ns, ..due };
            trial.recorder.counts.planned += 1;
            trial.recorder.begins(due.at_ns);
            self.waiting.push_back(due);
        }
    }

    /// Ends the drain one time-out after the last request was due: what still waits for a connection isn't sent any
    /// more, else a server that says nothing would be drained one time-out after another. It counts as the time-out or
    /// longer.
    fn end(&mut self, now_ns: u64, timeout_ns: u64, trial: &mut Trial<'_>) {
        if now_ns < trial.end_ns.saturating_add(timeout_ns) {
            return;
        }
        for due in self.waiting.drain(..) {
            trial.recorder.counts.not_sent += 1;
            trial.recorder.not_sent(&trial.prepared.requests[due.request], &io::ErrorKind::TimedOut.into());
            trial.recorder.ends(now_ns);
            trial.recorder.latency_sum_ns += now_ns - due.at_ns;
            if due.at_ns >= trial.guard_ns {
                trial.recorder.now.latency.record_ns(now_ns - due.at_ns);
                trial.recorder.now.latency_less_late.record_ns(now_ns - due.at_ns);
            }
        }
    }

    /// Counts what isn't sent any more.
    fn give_up(&mut self, now_ns: u64, trial: &mut Trial<'_>) {
        let counts = &mut trial.recorder.counts;
        counts.not_sent += self.waiting.len() as u64;
        let coming = self.schedule.by_ref().count() as u64;
        counts.planned += coming;
        counts.not_sent += coming;
        for _ in self.waiting.drain(..) {
            trial.recorder.ends(now_ns);
        }
    }
}
