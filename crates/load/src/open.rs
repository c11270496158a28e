//! Open loop: requests are due by a schedule, whatever the server does. Nothing is dropped: a request that
//! finds no free connection waits, and its latency counts from when it was due (Tene: coordinated omission).

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dyno_model::load::{Request, SliceOutcome};

use crate::{
    clock::{now_ns, thread_cpu_ns, thread_wait_ns},
    engine::{Done, Engine, LoadError, Mark},
    recorder::Recorder,
    schedule::Schedule,
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

const EXPIRY_PAUSE_NS: u64 = 50_000_000;

/// The state of one open slice.
struct Run<'a> {
    requests: &'a [Request],
    encoded: Vec<Vec<u8>>,
    schedule: &'a Schedule,
    recorder: Recorder,
    begin_ns: u64,
    guard_ns: u64,
    end_ns: u64,
    timeout_ns: u64,
    next: usize,
    waiting: VecDeque<(u64, usize)>,
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
        let encoded = self.encode_all(requests)?;
        self.make_ready(slice.connections as usize)?;
        let (cpu_ns, wait_ns) = (thread_cpu_ns(), thread_wait_ns());
        let begin_ns = now_ns();
        let mut run = Run {
            requests,
            encoded,
            schedule,
            recorder: Recorder::default(),
            begin_ns,
            guard_ns: begin_ns + slice.guard.as_nanos() as u64,
            end_ns: begin_ns + slice.length.as_nanos() as u64,
            timeout_ns: self.options.request_timeout.as_nanos() as u64,
            next: 0,
            waiting: VecDeque::new(),
        };
        run.recorder.counts.planned = schedule.len() as u64;
        let (mut window_begin_ns, mut window_end_ns) = (None, None);
        let mut done = Vec::new();
        let mut expiry_ns = begin_ns + EXPIRY_PAUSE_NS;
        loop {
            let now = now_ns();
            if window_begin_ns.is_none() && now >= run.guard_ns {
                at(Mark::WindowBegin);
                window_begin_ns = Some(now);
            }
            let stopped = slice.stop.load(Ordering::Relaxed);
            if window_end_ns.is_none() && (now >= run.end_ns || stopped) {
                if window_begin_ns.is_some() {
                    at(Mark::WindowEnd);
                }
                window_end_ns = Some(now);
                run.recorder.backlog = run.recorder.in_flight();
            }
            if stopped {
                run.give_up(now);
            }
            run.release(now);
            self.send_waiting(&mut run)?;
            if window_end_ns.is_some() && run.recorder.in_flight() == 0 && run.next >= schedule.len() {
                break;
            }
            let until_ns =
                run.next_milestone_ns(window_begin_ns.is_some(), window_end_ns.is_some()).min(expiry_ns);
            self.wait(until_ns)?;
            self.take(requests, &run.encoded, &mut run.recorder, &mut done);
            let now = now_ns();
            self.settle(&mut run, now, &done, window_begin_ns.is_some() && window_end_ns.is_none());
            if now >= expiry_ns {
                expiry_ns = now + EXPIRY_PAUSE_NS;
                self.expire(now, requests, &mut run.recorder, &mut done);
                self.settle(&mut run, now, &done, false);
            }
        }
        let window_ns = match (window_begin_ns, window_end_ns) {
            (Some(begin), Some(end)) => end - begin,
            _ => 0,
        };
        Ok(run.recorder.outcome(window_ns, thread_cpu_ns() - cpu_ns, thread_wait_ns() - wait_ns))
    }

    fn send_waiting(&mut self, run: &mut Run<'_>) -> Result<(), LoadError> {
        while let (Some(&(due_ns, number)), Some(&connection)) = (run.waiting.front(), self.idle.front()) {
            run.waiting.pop_front();
            self.idle.pop_front();
            let ready_ns = due_ns.max(self.connections[connection].free_ns);
            let request = (number, &run.requests[number], run.encoded[number].as_slice());
            match self.send(connection, request, Some(due_ns), &mut run.recorder)? {
                Some(sent_ns) if due_ns >= run.guard_ns => {
                    run.recorder.late.record_ns(sent_ns.saturating_sub(ready_ns));
                    run.recorder.blocked.record_ns(ready_ns - due_ns);
                }
                Some(_) => {}
                None => {
                    let now = now_ns();
                    let broken = Done { connection, due_ns, sent_ns: now, right: false };
                    self.settle(run, now, &[broken], false);
                }
            }
        }
        Ok(())
    }

    /// Records requests that are done, and frees their connections.
    fn settle(&mut self, run: &mut Run<'_>, now_ns: u64, done: &[Done], in_window: bool) {
        for one in done {
            run.recorder.ends(now_ns);
            let latency_ns = now_ns - one.due_ns;
            run.recorder.latency_sum_ns += latency_ns;
            if one.due_ns >= run.guard_ns {
                // A failure was never answered: its latency is at least the timeout.
                let recorded_ns = if one.right { latency_ns } else { latency_ns.max(run.timeout_ns) };
                run.recorder.latency.record_ns(recorded_ns);
                let ready_ns = one.due_ns.max(self.connections[one.connection].free_ns);
                let late_ns = one.sent_ns.saturating_sub(ready_ns);
                run.recorder.latency_less_late.record_ns(recorded_ns.saturating_sub(late_ns));
            }
            run.recorder.window_completed += u64::from(one.right && in_window);
            self.connections[one.connection].free_ns = now_ns;
            self.idle.push_back(one.connection);
        }
    }
}

impl Run<'_> {
    /// Puts what is due into the queue.
    fn release(&mut self, now_ns: u64) {
        while let Some((due_ns, request)) = self.schedule.get(self.next) {
            let due_ns = self.begin_ns + due_ns;
            if due_ns > now_ns {
                return;
            }
            self.recorder.begins(due_ns.max(self.begin_ns));
            self.waiting.push_back((due_ns, request));
            self.next += 1;
        }
    }

    /// Counts what isn't sent any more.
    fn give_up(&mut self, now_ns: u64) {
        let unsent = self.schedule.len() - self.next + self.waiting.len();
        self.recorder.counts.not_sent += unsent as u64;
        self.next = self.schedule.len();
        for _ in self.waiting.drain(..) {
            self.recorder.ends(now_ns);
        }
    }

    fn next_milestone_ns(&self, window_began: bool, window_ended: bool) -> u64 {
        let due_ns = self.schedule.get(self.next).map_or(u64::MAX, |(due_ns, _)| self.begin_ns + due_ns);
        let milestone_ns = match (window_began, window_ended) {
            (false, _) => self.guard_ns,
            (true, false) => self.end_ns,
            (true, true) => u64::MAX,
        };
        due_ns.min(milestone_ns)
    }
}
