//! What a truth server saw: exact counts, and of each request when it was received and answered.

use std::fmt::Write as _;

use dyno_model::histogram::LatencyHistogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most requests that are kept one by one; all are counted.
const MOST: usize = 2_000_000;

/// Exact counts since the start or the last reset. `requests = answered + abandoned + in_flight`. Requests below
/// `/__truth/` are in none, nor are connections that asked only for those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Connections accepted, and those that were open at a reset.
    pub connections: u64,
    /// Requests that were read whole.
    pub requests: u64,
    /// Answers that were handed to the kernel whole.
    pub answered: u64,
    /// Requests whose connection ended before they were answered.
    pub abandoned: u64,
    /// Requests that wait for their answer.
    pub in_flight: u64,
    /// What was no request, each the end of its connection.
    pub bad: u64,
    /// Requests without a receive timestamp of the kernel: received when they were read.
    pub unstamped: u64,
    /// Requests that were counted and not kept one by one.
    pub not_kept: u64,
}

/// One request that was answered; times in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its number, where it asked for `?k=NUMBER`.
    pub number: Option<u64>,
    /// When the kernel received the request.
    pub received_ns: u64,
    /// When the script wanted the answer written.
    pub due_ns: u64,
    /// Before the system call that wrote the answer.
    pub begun_ns: u64,
    /// After it.
    pub written_ns: u64,
}

/// Percentiles of a distribution in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// Number of values.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 95th percentile.
    pub p95_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p99_9_us: f64,
    /// Largest.
    pub max_us: f64,
}

impl Percentiles {
    /// Those of a histogram; all 0 when it is empty.
    pub fn of(histogram: &LatencyHistogram) -> Self {
        let us = |share| histogram.quantile_ns(share).unwrap_or(0) as f64 / 1e3;
        Self {
            count: histogram.count(),
            mean_us: histogram.mean_ns().unwrap_or(0.0) / 1e3,
            p50_us: us(0.5),
            p90_us: us(0.9),
            p95_us: us(0.95),
            p99_us: us(0.99),
            p99_9_us: us(0.999),
            max_us: histogram.max_ns().unwrap_or(0) as f64 / 1e3,
        }
    }
}

/// The server's side of latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerLatency {
    /// From the kernel's receipt of a request to its answer written.
    pub sojourn: Percentiles,
    /// How much later than the script wants it an answer was begun: the server's own error.
    pub timer_error: Percentiles,
}

/// What was seen since the start or the last reset.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Counts.
    pub counts: Counts,
    received_ns: Vec<u64>,
    answered: Vec<Answered>,
    sojourn: LatencyHistogram,
    timer_error: LatencyHistogram,
}

impl Record {
    /// A request was read whole.
    pub fn asked(&mut self, received_ns: u64, stamped: bool) {
        self.counts.requests += 1;
        self.counts.in_flight += 1;
        self.counts.unstamped += u64::from(!stamped);
        if self.received_ns.len() < MOST {
            self.received_ns.push(received_ns);
        } else {
            self.counts.not_kept += 1;
        }
    }

    /// A request was answered.
    pub fn answered(&mut self, answer: Answered) {
        self.counts.answered += 1;
        self.counts.in_flight -= 1;
        self.sojourn.record_ns(answer.written_ns.saturating_sub(answer.received_ns));
        self.timer_error.record_ns(answer.begun_ns.saturating_sub(answer.due_ns));
        if self.answered.len() < MOST {
            self.answered.push(answer);
        }
    }

    /// So many requests lost their connection.
    pub const fn abandoned(&mut self, requests: u64) {
        self.counts.abandoned += requests;
        self.counts.in_flight -= requests;
    }

    /// When requests were received, in the order in which they were read.
    pub fn received_ns(&self) -> &[u64] {
        &self.received_ns
    }

    /// The server's side of latency.
    pub fn latency(&self) -> ServerLatency {
        ServerLatency {
            sojourn: Percentiles::of(&self.sojourn),
            timer_error: Percentiles::of(&self.timer_error),
        }
    }

    /// Every answered request on a line: number or `-`, received, due, begun, written.
    pub fn lines(&self) -> String {
        let mut text = String::with_capacity(self.answered.len() * 80);
        for answer in &self.answered {
            let number = answer.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let Answered { received_ns, due_ns, begun_ns, written_ns, .. } = answer;
            let _ = writeln!(text, "{number} {received_ns} {due_ns} {begun_ns} {written_ns}");
        }
        text
    }
}

/// Reads [`Record::lines`]; `None` where they aren't such.
pub fn read_lines(text: &str) -> Option<Vec<Answered>> {
    let read = |line: &str| {
        let (number, times) = line.split_once(' ')?;
        let number = if number == "-" { None } else { Some(number.parse().ok()?) };
        let mut times = times.split(' ').map(|time| time.parse().ok());
        let mut next = || times.next().flatten();
        Some(Answered {
            number,
            received_ns: next()?,
            due_ns: next()?,
            begun_ns: next()?,
            written_ns: next()?,
        })
    };
    text.lines().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_in_one_count_and_lines_are_read_again() {
        let mut record = Record::default();
        let answer = |number| Answered {
            number,
            received_ns: 1_000,
            due_ns: 2_000_000,
            begun_ns: 2_004_000,
            written_ns: 2_008_000,
        };
        for _ in 0..4 {
            record.asked(1_000, true);
        }
        record.answered(answer(Some(3)));
        record.answered(answer(None));
        record.abandoned(1);
        let counts = record.counts;
        assert_eq!(counts.requests, counts.answered + counts.abandoned + counts.in_flight);
        assert_eq!((counts.in_flight, record.received_ns().len()), (1, 4));
        assert_eq!(read_lines(&record.lines()).unwrap(), [answer(Some(3)), answer(None)]);
        assert_eq!(read_lines("3 4 5\n"), None);
        let latency = record.latency();
        assert!((2000.0..2010.0).contains(&latency.sojourn.p50_us), "{latency:?}");
        assert!((3.5..4.6).contains(&latency.timer_error.max_us), "{latency:?}");
    }
}
