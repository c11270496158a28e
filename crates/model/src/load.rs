//! What the load engine is asked to send, and what it counted.

use std::{collections::BTreeMap, path::PathBuf};

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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// Status code.
    pub status: ExpectStatus,
    /// Body.
    pub body: ExpectBody,
}

/// Which status codes count as right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectStatus {
    /// This one.
    Exactly(u16),
    /// 200 to 399, what a tool that knows nothing of the API takes as success.
    Success,
}

impl ExpectStatus {
    /// Whether `status` is right.
    pub const fn accepts(self, status: u16) -> bool {
        match self {
            Self::Exactly(right) => status == right,
            Self::Success => status >= 200 && status < 400,
        }
    }
}

/// Which bodies count as right. What isn't checked isn't copied out of the kernel either, where it can be helped.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectBody {
    /// Any body.
    Any,
    /// This body byte for byte, once it was proven right in value.
    Equal(Vec<u8>),
    /// A JSON value that has at least what this one has: objects may have more members, all else is equal.
    Json(serde_json::Value),
    /// Any body of this many bytes.
    Size(u64),
}

impl Expect {
    /// This status and any body.
    pub const fn status(status: u16) -> Self {
        Self { status: ExpectStatus::Exactly(status), body: ExpectBody::Any }
    }
}

/// Exact counts of one slice. `planned = sent + not_sent`; `sent = completed + failed.total()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Requests of the schedule; in a closed loop, requests begun.
    pub planned: u64,
    /// Requests whose first byte was handed to the kernel.
    pub sent: u64,
    /// Requests of the plan that were never sent: stopped before, or no connection could be opened for them.
    pub not_sent: u64,
    /// Right answers.
    pub completed: u64,
    /// Everything else, by kind.
    pub failed: Failures,
}

/// Requests that were sent and got no right answer, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Failures {
    /// No answer within the timeout.
    pub timed_out: u64,
    /// The server closed the connection before any byte of the answer.
    pub closed: u64,
    /// The connection was reset, or broke while the request was being written.
    pub reset: u64,
    /// The server closed the connection in the middle of the answer.
    pub truncated: u64,
    /// The answer isn't HTTP, or breaks its rules: bad chunk sizes, contradicting lengths, endless 1xx.
    pub protocol: u64,
    /// The answer's head is longer than 64 KiB.
    pub head_too_large: u64,
    /// More bytes came than the answer said it has.
    pub excess: u64,
    /// Another status than expected.
    pub wrong_status: u64,
    /// The right status and another body than expected.
    pub wrong_body: u64,
    /// No answer yet when the load was stopped. In no latency.
    pub stopped: u64,
}

impl Failures {
    /// Every kind with its name in the machine formats.
    pub const fn by_kind(&self) -> [(&'static str, u64); 10] {
        [
            ("timed_out", self.timed_out),
            ("closed", self.closed),
            ("reset", self.reset),
            ("truncated", self.truncated),
            ("protocol", self.protocol),
            ("head_too_large", self.head_too_large),
            ("excess", self.excess),
            ("wrong_status", self.wrong_status),
            ("wrong_body", self.wrong_body),
            ("stopped", self.stopped),
        ]
    }

    /// All failures together.
    pub const fn total(&self) -> u64 {
        self.timed_out
            + self.closed
            + self.reset
            + self.truncated
            + self.protocol
            + self.head_too_large
            + self.excess
            + self.wrong_status
            + self.wrong_body
            + self.stopped
    }
}

impl std::ops::AddAssign for Failures {
    fn add_assign(&mut self, other: Self) {
        self.timed_out += other.timed_out;
        self.closed += other.closed;
        self.reset += other.reset;
        self.truncated += other.truncated;
        self.protocol += other.protocol;
        self.head_too_large += other.head_too_large;
        self.excess += other.excess;
        self.wrong_status += other.wrong_status;
        self.wrong_body += other.wrong_body;
        self.stopped += other.stopped;
    }
}

/// What happened to connections, apart from the requests on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConnectionCounts {
    /// Opened during the slice, again or for the first time.
    pub opened: u64,
    /// Attempts that the target refused.
    pub refused: u64,
    /// Attempts that took longer than the connect timeout.
    pub timed_out: u64,
    /// Attempts that failed in another way: no route, a TLS handshake that breaks, no more file descriptors.
    pub failed: u64,
    /// Closed by the server while no request was in flight on them.
    pub closed_idle: u64,
    /// Gave bytes before they were asked, and were closed for it.
    pub unasked: u64,
    /// HTTP/2: times that a request was sent again, for the server said that it hadn't processed it (GOAWAY with a lower
    /// stream, REFUSED_STREAM; RFC 9113, 8.7). Each request is in `sent` once.
    pub sent_again: u64,
}

impl ConnectionCounts {
    /// Attempts that opened nothing.
    pub const fn not_opened(&self) -> u64 {
        self.refused + self.timed_out + self.failed
    }
}

impl std::ops::AddAssign for ConnectionCounts {
    fn add_assign(&mut self, other: Self) {
        self.opened += other.opened;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.failed += other.failed;
        self.closed_idle += other.closed_idle;
        self.unasked += other.unasked;
        self.sent_again += other.sent_again;
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

/// Bytes of TCP or unix sockets, with TLS's records and HTTP/2's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Bytes {
    /// Handed to the kernel.
    pub sent: u64,
    /// Taken from the kernel, or dropped in it.
    pub received: u64,
}

impl std::ops::AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
    }
}

impl std::ops::Sub for Bytes {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(other.sent),
            received: self.received.saturating_sub(other.received),
        }
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SliceOutcome {
    /// Counts of the whole slice, guard and drain included.
    pub counts: Counts,
    /// What happened to connections in the whole slice.
    pub connections: ConnectionCounts,
    /// Whole answers of the whole slice by status code, right or wrong.
    pub statuses: BTreeMap<u16, u64>,
    /// Redirects followed in the whole slice: requests on the wire beside those of `counts`.
    pub redirects: u64,
    /// Bytes of the whole slice.
    pub bytes: Bytes,
    /// Bytes of the window.
    pub window_bytes: Bytes,
    /// Of `latency`, how many are of requests without a right answer.
    pub failed_in_latency: u64,
    /// Length of the window in nanoseconds, as it was, not as it was asked for.
    pub window_ns: u64,
    /// Right answers that were done in the window.
    pub window_completed: u64,
    /// Latency from the due time to the last byte (open loop), or from sent to the last byte (closed
    /// loop: service time). Failures and time-outs of an open loop are in it as the timeout or longer.
    /// The last byte's time is the kernel's receive timestamp where there is one.
    pub latency: LatencyHistogram,
    /// The same latencies less what this program was late with, for telling what its lateness does to a
    /// percentile (self-check G2). Equal to `latency` in a closed loop.
    pub latency_less_late: LatencyHistogram,
    /// From sent to the first bytes of the answer.
    pub first_byte: LatencyHistogram,
    /// How late the generator itself was: sent − max(due, connection free).
    pub late: LatencyHistogram,
    /// How long requests waited for a free connection: max(due, connection free) − due. Part of the latency.
    pub blocked: LatencyHistogram,
    /// How long after their times in the schedule requests were due, for they were gathered with others into one wake-up.
    /// In no latency; empty where each goes at its time.
    pub gathered: LatencyHistogram,
    /// `latency` counted from the schedule's own times, where requests were gathered; else empty.
    pub latency_from_schedule: LatencyHistogram,
    /// How long whole answers lay in the kernel before the engine read them (self-check G7). In no latency.
    pub unread: LatencyHistogram,
    /// Answers whose last byte had no receive timestamp of the kernel: their latency ends when they were read.
    pub unstamped: u64,
    /// Longest time without any answer while requests were in flight, in nanoseconds.
    pub longest_stall_ns: u64,
    /// Integral of requests in flight (due and not done) over time, in request-nanoseconds, kept by
    /// the engine's loop independently of the latencies, for Little's law (self-check G5).
    pub in_flight_ns: u64,
    /// Sum over the same requests of the time from due to when the engine saw them done, in nanoseconds.
    pub latency_sum_ns: u64,
    /// CPU time of the engine's thread during the slice, in nanoseconds.
    pub generator_cpu_ns: u64,
    /// Of `generator_cpu_ns`, what the kernel used on behalf of the engine.
    pub generator_system_ns: u64,
    /// Time that the engine's thread waited on the run queue during the slice, in nanoseconds.
    pub generator_wait_ns: u64,
    /// Connections that had to be opened again during the slice.
    pub reconnects: u64,
    /// Backlog when the last request was due: due but unanswered requests (open loop), else 0.
    pub backlog: u64,
    /// Anderson-Darling statistic of the engine's own pacing against a Poisson process (self-check G3), with
    /// the number of gaps; `None` where the schedule isn't Poisson.
    pub pacing: Option<Pacing>,
    /// Which engine it was: how it waits, sends and receives.
    pub engine: String,
    /// The first ten wrong answers.
    pub wrong_answers: Vec<WrongAnswer>,
}

impl SliceOutcome {
    /// Adds what another engine saw in the same slice. `pacing` isn't added: it belongs to one schedule.
    pub fn merge(&mut self, other: &Self) {
        self.counts += other.counts;
        self.connections += other.connections;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.redirects += other.redirects;
        self.bytes += other.bytes;
        self.window_bytes += other.window_bytes;
        self.failed_in_latency += other.failed_in_latency;
        self.window_ns = self.window_ns.max(other.window_ns);
        self.window_completed += other.window_completed;
        self.latency.merge(&other.latency);
        self.latency_less_late.merge(&other.latency_less_late);
        self.first_byte.merge(&other.first_byte);
        self.late.merge(&other.late);
        self.blocked.merge(&other.blocked);
        self.unread.merge(&other.unread);
        self.gathered.merge(&other.gathered);
        self.latency_from_schedule.merge(&other.latency_from_schedule);
        self.unstamped += other.unstamped;
        self.longest_stall_ns = self.longest_stall_ns.max(other.longest_stall_ns);
        self.in_flight_ns += other.in_flight_ns;
        self.latency_sum_ns += other.latency_sum_ns;
        self.generator_cpu_ns += other.generator_cpu_ns;
        self.generator_system_ns += other.generator_system_ns;
        self.generator_wait_ns += other.generator_wait_ns;
        self.reconnects += other.reconnects;
        self.backlog += other.backlog;
        if self.engine.is_empty() {
            self.engine.clone_from(&other.engine);
        } else if !other.engine.is_empty() && !self.engine.contains(&other.engine) {
            self.engine = format!("{} and {}", self.engine, other.engine);
        }
        let room = MOST_WRONG_ANSWERS.saturating_sub(self.wrong_answers.len());
        self.wrong_answers.extend(other.wrong_answers.iter().take(room).cloned());
    }
}

/// How many wrong answers are kept whole.
pub const MOST_WRONG_ANSWERS: usize = 10;

/// How well the times of sending fit a Poisson process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pacing {
    /// A² (1 + 0.6/n), for an exponential distribution of unknown mean.
    pub a_squared: f64,
    /// Number of gaps, at most 20,000.
    pub gaps: u64,
}
