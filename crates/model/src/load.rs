//! What the load engine is asked to send, and what it counted.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::histogram::LatencyHistogram;

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// `host:port` of a TCP listener, an IP address and a port.
    Tcp(std::net::SocketAddr),
    /// A unix socket that speaks HTTP.
    Unix(PathBuf),
}

/// One request to send, with the answer that counts as right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method, for instance `GET`.
    pub method: String,
    /// Path and query, percent-encoded, for instance `/types`.
    pub target: String,
    /// Headers besides `Host`, `Content-Length` and `Connection`, which the engine writes.
    pub headers: Vec<(String, String)>,
    /// Body; empty for none.
    pub body: Vec<u8>,
    /// What the answer must be.
    pub expect: Expect,
}

/// The answer that counts as right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Status code.
    pub status: u16,
    /// The body byte for byte, once it was proven right in value; `None` checks the status only.
    pub body: Option<Vec<u8>>,
}

/// Exact counts of one slice. `planned = sent + not_sent`; `sent = completed + failed.total()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Requests of the schedule; in a closed loop, requests begun.
    pub planned: u64,
    /// Requests whose first byte was handed to the kernel.
    pub sent: u64,
    /// Requests of the schedule that were never sent (stopped before).
    pub not_sent: u64,
    /// Right answers.
    pub completed: u64,
    /// Everything else, by kind.
    pub failed: Failures,
}

/// Requests that got no right answer, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failures {
    /// No answer within the timeout.
    pub timed_out: u64,
    /// The connection was closed or reset before the answer was whole.
    pub closed: u64,
    /// The answer isn't HTTP/1.1.
    pub protocol: u64,
    /// Another status than expected.
    pub wrong_status: u64,
    /// The right status and another body than expected.
    pub wrong_body: u64,
}

impl Failures {
    /// All failures together.
    pub const fn total(&self) -> u64 {
        self.timed_out + self.closed + self.protocol + self.wrong_status + self.wrong_body
    }
}

impl std::ops::AddAssign for Failures {
    fn add_assign(&mut self, other: Self) {
        self.timed_out += other.timed_out;
        self.closed += other.closed;
        self.protocol += other.protocol;
        self.wrong_status += other.wrong_status;
        self.wrong_body += other.wrong_body;
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.not_sent += other.not_sent;
        self.completed += other.completed;
        self.failed += other.failed;
    }
}

/// A wrong answer, kept so that a person can see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrongAnswer {
    /// Method and target of the request.
    pub request: String,
    /// Which kind of failure it is.
    pub kind: String,
    /// Status of the answer, if one was read.
    pub status: Option<u16>,
    /// Beginning of the body, lossy UTF-8, at most 2,000 characters.
    pub body: String,
}

/// What the engine saw in one slice of load.
///
/// The *window* is the measured part: from the end of the guard to the end of the slice. Counts cover
/// the whole slice; `window_*` and the histograms cover the window (closed loop: requests done in it;
/// open loop: requests due in it).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SliceOutcome {
    /// Counts of the whole slice, guard and drain included.
    pub counts: Counts,
    /// Length of the window in nanoseconds, as it was, not as it was asked for.
    pub window_ns: u64,
    /// Right answers that were done in the window.
    pub window_completed: u64,
    /// Latency from the due time to the last byte (open loop), or from sent to the last byte (closed
    /// loop: service time). Failures and time-outs of an open loop are in it as the timeout or longer.
    pub latency: LatencyHistogram,
    /// The same latencies less what this program was late with, for telling what its lateness does to a
    /// percentile (self-check G2). Equal to `latency` in a closed loop.
    pub latency_less_late: LatencyHistogram,
    /// How late the generator itself was: sent − max(due, connection free).
    pub late: LatencyHistogram,
    /// How long requests waited for a free connection: max(due, connection free) − due. Part of the latency.
    pub blocked: LatencyHistogram,
    /// Integral of requests in flight (due and not done) over time, in request-nanoseconds, kept by
    /// the engine's loop independently of the latencies, for Little's law (self-check G5).
    pub in_flight_ns: u64,
    /// Sum of the latencies over the same requests, in nanoseconds.
    pub latency_sum_ns: u64,
    /// CPU time of the engine's thread during the slice, in nanoseconds.
    pub generator_cpu_ns: u64,
    /// Time that the engine's thread waited on the run queue during the slice, in nanoseconds.
    pub generator_wait_ns: u64,
    /// Connections that had to be opened again during the slice.
    pub reconnects: u64,
    /// Backlog when the last request was due: due but unanswered requests (open loop), else 0.
    pub backlog: u64,
    /// The first ten wrong answers.
    pub wrong_answers: Vec<WrongAnswer>,
}
