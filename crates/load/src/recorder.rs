//! What is counted in one slice. Pure: times come in, nothing is read.

use dyno_model::{
    histogram::LatencyHistogram,
    load::{Counts, Request, SliceOutcome, WrongAnswer},
};

use crate::http::Whole;

/// Most wrong answers that are kept whole.
const KEPT_WRONG: usize = 10;
/// Most characters of a wrong answer's body.
const KEPT_BODY: usize = 2000;

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    TimedOut,
    Closed,
    Protocol,
    WrongStatus,
    WrongBody,
}

impl Failure {
    const fn words(self) -> &'static str {
        match self {
            Self::TimedOut => "no answer in time",
            Self::Closed => "connection closed before the answer was whole",
            Self::Protocol => "not an HTTP/1.1 answer",
            Self::WrongStatus => "another status than expected",
            Self::WrongBody => "another body than expected",
        }
    }
}

/// Whether an answer is the expected one.
pub fn judge(request: &Request, answer: &Whole<'_>) -> Result<(), Failure> {
    if answer.status != request.expect.status {
        return Err(Failure::WrongStatus);
    }
    match &request.expect.body {
        Some(body) if body != answer.body => Err(Failure::WrongBody),
        _ => Ok(()),
    }
}

/// The counters and histograms of a slice.
#[derive(Default)]
pub struct Recorder {
    pub counts: Counts,
    pub latency: LatencyHistogram,
    pub latency_less_late: LatencyHistogram,
    pub late: LatencyHistogram,
    pub blocked: LatencyHistogram,
    pub latency_sum_ns: u64,
    pub window_completed: u64,
    pub reconnects: u64,
    pub backlog: u64,
    wrong_answers: Vec<WrongAnswer>,
    in_flight: u64,
    in_flight_area_ns: u64,
    in_flight_since_ns: u64,
}

impl Recorder {
    /// A request began to be in flight at `at_ns`, which may lie before what the loop saw last.
    pub fn begins(&mut self, at_ns: u64) {
        if at_ns < self.in_flight_since_ns {
            self.in_flight_area_ns += self.in_flight_since_ns - at_ns;
        } else {
            self.advance(at_ns);
        }
        self.in_flight += 1;
    }

    /// A request is done or failed, as the engine's loop saw it at `now_ns`.
    pub fn ends(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.in_flight -= 1;
    }

    fn advance(&mut self, now_ns: u64) {
        self.in_flight_area_ns += self.in_flight * now_ns.saturating_sub(self.in_flight_since_ns);
        self.in_flight_since_ns = now_ns;
    }

    /// Requests in flight now.
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Counts a failure and keeps the answer if it is among the first.
    pub fn failed(&mut self, failure: Failure, request: &Request, status: Option<u16>, body: &[u8]) {
        let failed = &mut self.counts.failed;
        *match failure {
            Failure::TimedOut => &mut failed.timed_out,
            Failure::Closed => &mut failed.closed,
            Failure::Protocol => &mut failed.protocol,
            Failure::WrongStatus => &mut failed.wrong_status,
            Failure::WrongBody => &mut failed.wrong_body,
        } += 1;
        if self.wrong_answers.len() < KEPT_WRONG {
            self.wrong_answers.push(WrongAnswer {
                request: format!("{} {}", request.method, request.target),
                kind: failure.words().to_owned(),
                status,
                body: String::from_utf8_lossy(body).chars().take(KEPT_BODY).collect(),
            });
        }
    }

    /// The slice's outcome.
    pub fn outcome(self, window_ns: u64, generator_cpu_ns: u64, generator_wait_ns: u64) -> SliceOutcome {
        SliceOutcome {
            counts: self.counts,
            window_ns,
            window_completed: self.window_completed,
            latency: self.latency,
            latency_less_late: self.latency_less_late,
            late: self.late,
            blocked: self.blocked,
            in_flight_ns: self.in_flight_area_ns,
            latency_sum_ns: self.latency_sum_ns,
            generator_cpu_ns,
            generator_wait_ns,
            reconnects: self.reconnects,
            backlog: self.backlog,
            wrong_answers: self.wrong_answers,
        }
    }
}
