//! Closed loop: each connection sends again as soon as it is answered. Its latency is service time, and
//! says nothing of waiting; it is never "corrected".

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dyno_model::load::{Request, SliceOutcome};

use crate::{
    clock::{now_ns, thread_cpu_ns, thread_wait_ns},
    engine::{Engine, LoadError, Mark},
    recorder::Recorder,
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
    /// Ends the slice early when true.
    pub stop: &'a AtomicBool,
}

/// How often time-outs are looked for.
const EXPIRY_PAUSE_NS: u64 = 50_000_000;

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
        let encoded = self.encode_all(requests)?;
        self.make_ready(slice.connections as usize)?;
        let mut recorder = Recorder::default();
        let (cpu_ns, wait_ns) = (thread_cpu_ns(), thread_wait_ns());
        let begin_ns = now_ns();
        let guard_ns = begin_ns + slice.guard.as_nanos() as u64;
        let end_ns = begin_ns + slice.length.as_nanos() as u64;
        let (mut window_begin_ns, mut window_end_ns) = (None, None);
        let mut done = Vec::new();
        let mut expiry_ns = begin_ns + EXPIRY_PAUSE_NS;
        loop {
            let now = now_ns();
            if window_begin_ns.is_none() && now >= guard_ns {
                at(Mark::WindowBegin);
                window_begin_ns = Some(now_ns());
            }
            let stopped = slice.stop.load(Ordering::Relaxed);
            if window_end_ns.is_none() && (now >= end_ns || stopped) {
                window_end_ns = Some(now_ns());
                if window_begin_ns.is_some() {
                    at(Mark::WindowEnd);
                }
            }
            if window_end_ns.is_none() {
                while let Some(connection) = self.idle.pop_front() {
                    let number = order() % requests.len();
                    recorder.counts.planned += 1;
                    let request = (number, &requests[number], encoded[number].as_slice());
                    match self.send(connection, request, None, &mut recorder)? {
                        Some(sent_ns) => recorder.begins(sent_ns),
                        // Tried again in the next turn, with a connection of its own.
                        None => {
                            self.idle.push_back(connection);
                            break;
                        }
                    }
                }
            } else if recorder.in_flight() == 0 {
                break;
            }
            let milestone_ns = if window_begin_ns.is_none() { guard_ns } else { end_ns };
            let until_ns = if window_end_ns.is_none() { milestone_ns.min(expiry_ns) } else { expiry_ns };
            self.wait(until_ns)?;
            self.take(requests, &encoded, &mut recorder, &mut done);
            let now = now_ns();
            let in_window = window_begin_ns.is_some() && window_end_ns.is_none() && now < end_ns;
            for one in &done {
                recorder.ends(now);
                recorder.latency_sum_ns += now - one.sent_ns;
                if in_window {
                    recorder.latency.record_ns(now - one.sent_ns);
                    recorder.latency_less_late.record_ns(now - one.sent_ns);
                    recorder.window_completed += u64::from(one.right);
                }
                self.idle.push_back(one.connection);
            }
            if now >= expiry_ns {
                expiry_ns = now + EXPIRY_PAUSE_NS;
                self.expire(now, requests, &mut recorder, &mut done);
                for one in &done {
                    recorder.ends(now);
                    recorder.latency_sum_ns += now - one.sent_ns;
                    self.idle.push_back(one.connection);
                }
            }
        }
        let window_ns = match (window_begin_ns, window_end_ns) {
            (Some(begin), Some(end)) => end - begin,
            _ => 0,
        };
        Ok(recorder.outcome(window_ns, thread_cpu_ns() - cpu_ns, thread_wait_ns() - wait_ns))
    }
}
