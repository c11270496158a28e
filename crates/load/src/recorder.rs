//! What is counted in one slice. Pure: times come in, nothing is read.

use std::{collections::BTreeMap, time::Duration};

use dyno_model::{
    histogram::LatencyHistogram,
    load::{
        Bytes, ConnectionCounts, Counts, Expect, ExpectBody, MOST_WRONG_ANSWERS, Request, SliceOutcome,
        WrongAnswer,
    },
};

use crate::answer::{Malformed, Whole};

/// Most characters of a wrong answer's body.
const KEPT_BODY: usize = 2000;
/// Most times of sending that are kept for self-check G3.
pub const KEPT_SENDS: usize = 20_001;

/// How a request that was sent failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    TimedOut,
    Closed,
    Reset,
    Truncated,
    Protocol,
    HeadTooLarge,
    Excess,
    WrongStatus,
    WrongBody,
    Stopped,
}

impl Failure {
    const fn words(self) -> &'static str {
        match self {
            Self::TimedOut => "no answer in time",
            Self::Closed => "connection closed without an answer",
            Self::Reset => "connection reset",
            Self::Truncated => "connection closed before the answer was whole",
            Self::Protocol => "not an HTTP answer",
            Self::HeadTooLarge => "a head longer than 64 KiB",
            Self::Excess => "more bytes than the answer has",
            Self::WrongStatus => "another status than expected",
            Self::WrongBody => "another body than expected",
            Self::Stopped => "no answer yet when the load was stopped",
        }
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Head | Malformed::Chunk | Malformed::Interim => Self::Protocol,
            Malformed::HeadTooLarge => Self::HeadTooLarge,
            Malformed::Excess => Self::Excess,
        }
    }
}

/// Whether an answer is the expected one.
pub fn judge(expect: &Expect, answer: &Whole<'_>) -> Result<(), Failure> {
    if !expect.status.accepts(answer.status) {
        return Err(Failure::WrongStatus);
    }
    let right = match &expect.body {
        ExpectBody::Any => true,
        ExpectBody::Equal(body) => body == answer.body,
        ExpectBody::Size(size) => *size == answer.size,
        ExpectBody::Json(part) => {
            serde_json::from_slice(answer.body).is_ok_and(|whole| contains(&whole, part))
        }
    };
    if right { Ok(()) } else { Err(Failure::WrongBody) }
}

/// Whether a JSON value has at least what `part` has: objects may have more members, all else is equal.
fn contains(whole: &serde_json::Value, part: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Object};
    match (whole, part) {
        (Object(whole), Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part)))
        }
        (Array(whole), Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| contains(whole, part))
        }
        _ => whole == part,
    }
}

/// The histograms of a slice, or of an interval of one.
#[derive(Clone, Debug, Default)]
pub struct Histograms {
    pub latency: LatencyHistogram,
    pub latency_less_late: LatencyHistogram,
    pub first_byte: LatencyHistogram,
    pub late: LatencyHistogram,
    pub blocked: LatencyHistogram,
    pub unread: LatencyHistogram,
    pub gathered: LatencyHistogram,
    pub from_schedule: LatencyHistogram,
}

impl Histograms {
    fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.latency_less_late.merge(&other.latency_less_late);
        self.first_byte.merge(&other.first_byte);
        self.late.merge(&other.late);
        self.blocked.merge(&other.blocked);
        self.unread.merge(&other.unread);
        self.gathered.merge(&other.gathered);
        self.from_schedule.merge(&other.from_schedule);
    }
}

/// What happened since the last interval was told.
#[derive(Clone, Debug)]
pub struct Interval {
    /// From the beginning of the slice to the beginning of the interval.
    pub at: Duration,
    /// Its length.
    pub length: Duration,
    /// Counts of this interval alone; `planned` of an open loop is what was due in it.
    pub counts: Counts,
    /// Latencies of this interval alone.
    pub latency: LatencyHistogram,
    /// What the generator was late with in this interval.
    pub late: LatencyHistogram,
    /// Whole answers of this interval by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Bytes of this interval.
    pub bytes: Bytes,
    /// Requests in flight at its end.
    pub in_flight: u64,
    /// Whether it lies in the measured window.
    pub measured: bool,
}

impl Interval {
    /// Adds what another thread counted in the same interval.
    pub fn merge(&mut self, other: &Self) {
        self.counts += other.counts;
        self.latency.merge(&other.latency);
        self.late.merge(&other.late);
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.bytes += other.bytes;
        self.in_flight += other.in_flight;
        self.measured &= other.measured;
        self.length = self.length.max(other.length);
    }
}

/// The counters and histograms of a slice.
#[derive(Default)]
pub struct Recorder {
    pub counts: Counts,
    pub connections: ConnectionCounts,
    pub now: Histograms,
    past: Histograms,
    told: Counts,
    statuses: Statuses,
    told_statuses: Statuses,
    told_bytes: Bytes,
    pub failed_in_latency: u64,
    pub redirects: u64,
    pub unstamped: u64,
    pub latency_sum_ns: u64,
    pub window_completed: u64,
    pub reconnects: u64,
    pub backlog: u64,
    /// When requests were sent less what the server made them wait, in nanoseconds since the slice began.
    pub sends: Vec<u64>,
    wrong_answers: Vec<WrongAnswer>,
    in_flight: u64,
    in_flight_area_ns: u64,
    in_flight_since_ns: u64,
    quiet_since_ns: u64,
    longest_stall_ns: u64,
}

impl Recorder {
    /// A request began to be in flight at `at_ns`, which may lie before what the loop saw last.
    pub fn begins(&mut self, at_ns: u64) {
        if self.in_flight == 0 {
            self.quiet_since_ns = at_ns.max(self.quiet_since_ns);
        }
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
        self.stalls_until(now_ns);
        self.quiet_since_ns = now_ns;
    }

    fn advance(&mut self, now_ns: u64) {
        self.in_flight_area_ns += self.in_flight * now_ns.saturating_sub(self.in_flight_since_ns);
        self.in_flight_since_ns = now_ns.max(self.in_flight_since_ns);
    }

    fn stalls_until(&mut self, now_ns: u64) {
        self.longest_stall_ns = self.longest_stall_ns.max(now_ns.saturating_sub(self.quiet_since_ns));
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
            Failure::Reset => &mut failed.reset,
            Failure::Truncated => &mut failed.truncated,
            Failure::Protocol => &mut failed.protocol,
            Failure::HeadTooLarge => &mut failed.head_too_large,
            Failure::Excess => &mut failed.excess,
            Failure::WrongStatus => &mut failed.wrong_status,
            Failure::WrongBody => &mut failed.wrong_body,
            Failure::Stopped => &mut failed.stopped,
        } += 1;
        if self.wrong_answers.len() < MOST_WRONG_ANSWERS {
            self.wrong_answers.push(WrongAnswer {
                request: format!("{} {}", request.method, request.target),
                kind: failure.words().to_owned(),
                status,
                body: String::from_utf8_lossy(body).chars().take(KEPT_BODY).collect(),
            });
        }
    }

    /// Keeps why a request wasn't sent, as the first wrong answers are kept.
    pub fn not_sent(&mut self, request: &Request, error: &std::io::Error) {
        if self.wrong_answers.len() < MOST_WRONG_ANSWERS {
            self.wrong_answers.push(WrongAnswer {
                request: format!("{} {}", request.method, request.target),
                kind: format!("not sent, no free connection: {error}"),
                status: None,
                body: String::new(),
            });
        }
    }

    /// What went wrong first.
    pub fn first_wrong(&self) -> Option<&str> {
        self.wrong_answers.first().map(|wrong| wrong.kind.as_str())
    }

    /// A whole answer came with this status.
    pub fn answered(&mut self, status: u16) {
        self.statuses.add(status, 1);
    }

    /// Ends an interval and begins the next; `bytes` are those of the slice so far.
    pub fn roll(&mut self, at: Duration, length: Duration, measured: bool, bytes: Bytes) -> Interval {
        self.past.merge(&self.now);
        let now = std::mem::take(&mut self.now);
        let told = std::mem::replace(&mut self.told, self.counts);
        let mut counts = self.counts;
        counts.planned -= told.planned;
        counts.sent -= told.sent;
        counts.not_sent -= told.not_sent;
        counts.completed -= told.completed;
        counts.failed = difference(counts.failed, told.failed);
        let (latency, late) = (now.latency, now.late);
        let mut statuses = BTreeMap::new();
        for &(status, count) in &self.statuses.0 {
            let new = count - self.told_statuses.count(status);
            if new > 0 {
                statuses.insert(status, new);
            }
        }
        self.told_statuses.clone_from(&self.statuses);
        let bytes_before = std::mem::replace(&mut self.told_bytes, bytes);
        let (bytes, in_flight) = (bytes - bytes_before, self.in_flight);
        Interval { at, length, counts, latency, late, statuses, bytes, in_flight, measured }
    }

    /// The slice's outcome, for the engine to add what it knows of itself.
    pub fn outcome(mut self, window_ns: u64) -> SliceOutcome {
        self.past.merge(&self.now);
        let Histograms {
            latency,
            latency_less_late,
            first_byte,
            late,
            blocked,
            unread,
            gathered,
            from_schedule,
        } = self.past;
        SliceOutcome {
            counts: self.counts,
            connections: self.connections,
            statuses: self.statuses.0.into_iter().collect(),
            failed_in_latency: self.failed_in_latency,
            redirects: self.redirects,
            window_ns,
            window_completed: self.window_completed,
            latency,
            latency_less_late,
            first_byte,
            late,
            blocked,
            unread,
            gathered,
            latency_from_schedule: from_schedule,
            unstamped: self.unstamped,
            longest_stall_ns: self.longest_stall_ns,
            in_flight_ns: self.in_flight_area_ns,
            latency_sum_ns: self.latency_sum_ns,
            reconnects: self.reconnects,
            backlog: self.backlog,
            wrong_answers: self.wrong_answers,
            ..SliceOutcome::default()
        }
    }
}

/// Counts by status code. A load has few of them: a look through a list is cheaper than a map.
#[derive(Clone, Debug, Default)]
struct Statuses(Vec<(u16, u64)>);

impl Statuses {
    fn add(&mut self, status: u16, more: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += more,
            None => self.0.push((status, more)),
        }
    }

    fn count(&self, status: u16) -> u64 {
        self.0.iter().find(|(known, _)| *known == status).map_or(0, |(_, count)| *count)
    }
}

fn difference(
    now: dyno_model::load::Failures,
    before: dyno_model::load::Failures,
) -> dyno_model::load::Failures {
    dyno_model::load::Failures {
        timed_out: now.timed_out - before.timed_out,
        closed: now.closed - before.closed,
        reset: now.reset - before.reset,
        truncated: now.truncated - before.truncated,
        protocol: now.protocol - before.protocol,
        head_too_large: now.head_too_large - before.head_too_large,
        excess: now.excess - before.excess,
        wrong_status: now.wrong_status - before.wrong_status,
        wrong_body: now.wrong_body - before.wrong_body,
        stopped: now.stopped - before.stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dyno_model::load::ExpectStatus;
    use serde_json::json;

    #[test]
    fn json_may_have_more_members_and_nothing_else() {
        let whole = json!({"id": 1, "tags": [{"a": 1, "b": 2}], "name": "x"});
        assert!(contains(&whole, &json!({"tags": [{"a": 1}]})));
        assert!(!contains(&whole, &json!({"tags": [{"a": 1}, {}]})), "one element more");
        assert!(!contains(&whole, &json!({"id": 2})));
        assert!(!contains(&whole, &json!({"other": null})));
    }

    #[test]
    fn an_answer_is_judged_by_status_and_then_body() {
        let answer = |status| Whole { status, head: b"", body: b"{\"a\":1}", size: 7, keep_alive: true };
        let expect = |status, body| Expect { status, body };
        let exactly = ExpectStatus::Exactly(200);
        assert_eq!(judge(&expect(ExpectStatus::Success, ExpectBody::Any), &answer(302)), Ok(()));
        assert_eq!(judge(&expect(exactly, ExpectBody::Any), &answer(302)), Err(Failure::WrongStatus));
        assert_eq!(judge(&expect(exactly, ExpectBody::Size(7)), &answer(200)), Ok(()));
        assert_eq!(judge(&expect(exactly, ExpectBody::Size(8)), &answer(200)), Err(Failure::WrongBody));
        assert_eq!(judge(&expect(exactly, ExpectBody::Json(json!({"a": 1}))), &answer(200)), Ok(()));
        let other = ExpectBody::Equal(b"{}".to_vec());
        assert_eq!(judge(&expect(exactly, other), &answer(200)), Err(Failure::WrongBody));
    }

    #[test]
    fn the_longest_stall_is_time_without_answers_while_some_were_awaited() {
        let mut recorder = Recorder::default();
        recorder.begins(100);
        recorder.begins(110);
        recorder.ends(150);
        recorder.ends(400);
        // Nothing in flight for a long time is no stall.
        recorder.begins(10_000);
        recorder.ends(10_010);
        assert_eq!(recorder.outcome(1).longest_stall_ns, 250);
    }

    #[test]
    fn an_interval_has_its_own_counts_and_the_whole_has_all() {
        let mut recorder = Recorder::default();
        recorder.counts.sent = 3;
        recorder.now.latency.record_ns(5_000);
        let second = Duration::from_secs(1);
        recorder.answered(200);
        let first = recorder.roll(Duration::ZERO, second, true, Bytes { sent: 10, received: 20 });
        recorder.counts.sent = 5;
        recorder.answered(200);
        recorder.answered(404);
        recorder.now.latency.record_ns(6_000);
        recorder.now.latency.record_ns(7_000);
        let next = recorder.roll(second, second, true, Bytes { sent: 15, received: 120 });
        assert_eq!((first.bytes.received, next.bytes), (20, Bytes { sent: 5, received: 100 }));
        assert_eq!((first.statuses, next.statuses), ([(200, 1)].into(), [(200, 1), (404, 1)].into()));
        assert_eq!((first.counts.sent, next.counts.sent), (3, 2));
        assert_eq!((first.latency.count(), next.latency.count()), (1, 2));
        let outcome = recorder.outcome(1);
        assert_eq!((outcome.latency.count(), outcome.statuses), (3, [(200, 2), (404, 1)].into()));
    }
}
