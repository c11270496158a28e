//! Closed loop: each connection sends again as soon as it is answered. Its latency is service time, and
//! says nothing of waiting; it is never "corrected".

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dyno_model::load::{Request, SliceOutcome};

use crate::{
    clock::now_ns,
    engine::Engine,
    options::LoadError,
    trial::{Freed, Mark, Model},
};

/// A closed-loop slice.
#[derive(Clone, Copy, Debug)]
pub struct ClosedSlice<'a> {
    /// Connections, each with one request in flight.
    pub connections: u32,
    /// From the first request to the last that is begun.
    pub length: Duration,
    /// Beginning that isn't measured.
    pub guard: Duration,
    /// Time from an answer to the next request on its connection.
    pub think: Duration,
    /// Ends the slice when so many requests were begun.
    pub requests: Option<u64>,
    /// Ends the slice early when true.
    pub stop: &'a AtomicBool,
}

/// First pause before a connection that couldn't be opened is tried again; it doubles up to the longest.
const FIRST_REST_NS: u64 = 10_000_000;
const LONGEST_REST_NS: u64 = 1_000_000_000;

impl Engine {
    /// Loads in a closed loop. `order` chooses the next request; `at` is told the window's begin and end.
    ///
    /// # Errors
    /// No connection can be opened, the kernel refuses to wait, or there are no requests.
    pub fn closed(
        &mut self,
        requests: &[Request],
        order: &mut dyn FnMut() -> usize,
        slice: ClosedSlice<'_>,
        at: &mut dyn FnMut(Mark),
    ) -> Result<SliceOutcome, LoadError> {
        let times = (slice.guard, slice.length);
        let mut trial = self.begin(requests, slice.connections, Model::Closed, times, at)?;
        let think_ns = slice.think.as_nanos() as u64;
        let mut left = slice.requests.unwrap_or(u64::MAX);
        // Connections that rest: their users think, or the target takes no connection.
        let mut resting: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
        let mut rest_ns = FIRST_REST_NS;
        loop {
            let now = now_ns();
            // A number of requests is measured to its last answer.
            let answered = left == 0 && trial.recorder.in_flight() == 0;
            let stopped = slice.stop.load(Ordering::Relaxed);
            if stopped {
                self.heed_stop(now, &mut trial);
            }
            trial.bytes = self.link.bytes();
            if trial.marks(now, stopped || answered) {
                while resting.peek().is_some_and(|&Reverse((until_ns, _))| until_ns <= now)
                    && let Some(Reverse((_, connection))) = resting.pop()
                {
                    self.idle.push_back(connection);
                }
                while left > 0
                    && let Some(connection) = self.idle.pop_front()
                {
                    left -= 1;
                    trial.recorder.counts.planned += 1;
                    self.start(connection, order() % requests.len(), None, &mut trial);
                }
                self.flush(&mut trial)?;
            } else if trial.recorder.in_flight() == 0 {
                break;
            }
            let mut until_ns = trial.milestone_ns();
            if let Some(&Reverse((rested_ns, _))) = resting.peek() {
                until_ns = until_ns.min(rested_ns);
            }
            if left == 0 && trial.window_end_ns.is_none() && trial.recorder.in_flight() == 0 {
                continue;
            }
            let patience = self.gather(until_ns, trial.recorder.in_flight());
            self.collect(patience, &mut trial)?;
            let now = now_ns();
            for (connection, freed) in trial.freed.drain(..) {
                match freed {
                    Freed::Done if think_ns == 0 => self.idle.push_back(connection),
                    Freed::Done => resting.push(Reverse((now + think_ns, connection))),
                    Freed::NotOpened => resting.push(Reverse((now + rest_ns, connection))),
                }
                rest_ns = match freed {
                    Freed::Done => FIRST_REST_NS,
                    Freed::NotOpened => (rest_ns * 2).min(LONGEST_REST_NS),
                };
            }
        }
        Ok(self.finish(trial))
    }
}
