//! What the true latencies were: from when requests were due and what the server recorded of them. Pure.

use crate::record::Answered;

/// Smallest value that a share `quantile` (0 to 1) of sorted values doesn't exceed; `None` when there is none.
pub fn quantile(sorted: &[u64], quantile: f64) -> Option<u64> {
    sorted.get(rank(sorted.len(), quantile)).copied()
}

/// Index of a quantile: the nearest rank, as HdrHistogram counts.
fn rank(count: usize, quantile: f64) -> usize {
    ((quantile * count as f64).ceil() as usize).clamp(1, count.max(1)) - 1
}

/// Between what and what a true percentile lies, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    /// Least.
    pub low_ns: f64,
    /// Most.
    pub high_ns: f64,
}

impl Bracket {
    /// A truth that is known exactly.
    pub const fn exactly(ns: f64) -> Self {
        Self { low_ns: ns, high_ns: ns }
    }
}

/// True latencies of requests, from due to answered. An answer is written at some moment of the server's system call:
/// after its beginning, before its end. So each latency is known to lie between two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrueLatencies {
    begun_ns: Vec<u64>,
    ended_ns: Vec<u64>,
}

/// Why there is no truth for a run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoTruth {
    /// A request was asked that isn't in the schedule, or without a number.
    #[error("the server saw request number {0:?}, which isn't in the schedule")]
    Unknown(Option<u64>),
    /// A request came twice.
    #[error("the server saw request number {0} twice")]
    Twice(u64),
    /// A request wasn't answered.
    #[error("the server answered {answered} of {due} requests")]
    Missing {
        /// Requests that it answered.
        answered: usize,
        /// Requests of the schedule.
        due: usize,
    },
}

impl TrueLatencies {
    /// From the due times of requests 0, 1, 2 … and what the server recorded, both on CLOCK_MONOTONIC.
    ///
    /// # Errors
    /// The two aren't of the same requests.
    pub fn new(due_ns: &[u64], answered: &[Answered]) -> Result<Self, NoTruth> {
        let mut seen = vec![false; due_ns.len()];
        let mut truth = Self::default();
        for answer in answered {
            let index = answer.number.and_then(|number| usize::try_from(number).ok());
            let Some((index, &due_ns)) = index.and_then(|index| Some((index, due_ns.get(index)?))) else {
                return Err(NoTruth::Unknown(answer.number));
            };
            if std::mem::replace(&mut seen[index], true) {
                return Err(NoTruth::Twice(index as u64));
            }
            truth.begun_ns.push(answer.begun_ns.saturating_sub(due_ns));
            truth.ended_ns.push(answer.written_ns.saturating_sub(due_ns));
        }
        if truth.begun_ns.len() < due_ns.len() {
            return Err(NoTruth::Missing { answered: truth.begun_ns.len(), due: due_ns.len() });
        }
        truth.begun_ns.sort_unstable();
        truth.ended_ns.sort_unstable();
        Ok(truth)
    }

    /// Number of requests.
    pub fn count(&self) -> usize {
        self.begun_ns.len()
    }

    /// Where a percentile lies. One rank to either side: tools differ by that in what they call a percentile, and on
    /// a jump it is the whole difference. `None` without requests.
    pub fn bracket(&self, quantile: f64) -> Option<Bracket> {
        let last = self.count().checked_sub(1)?;
        let rank = rank(self.count(), quantile);
        Some(Bracket {
            low_ns: self.begun_ns[rank.saturating_sub(1)] as f64,
            high_ns: self.ended_ns[(rank + 1).min(last)] as f64,
        })
    }

    /// The percentile itself, taken at the beginning of the server's system calls.
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        quantile(&self.begun_ns, share)
    }

    /// Between what the mean lies. `None` without requests.
    pub fn mean(&self) -> Option<Bracket> {
        let mean = |values: &[u64]| values.iter().map(|&ns| ns as f64).sum::<f64>() / values.len() as f64;
        (self.count() > 0).then(|| Bracket { low_ns: mean(&self.begun_ns), high_ns: mean(&self.ended_ns) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(number: u64, begun_ns: u64) -> Answered {
        Answered {
            number: Some(number),
            received_ns: begun_ns - 5,
            due_ns: begun_ns,
            begun_ns,
            written_ns: begun_ns + 2,
        }
    }

    #[test]
    fn a_latency_counts_from_due_whenever_the_request_came() {
        let truth = TrueLatencies::new(&[100, 200], &[answered(1, 260), answered(0, 140)]).unwrap();
        assert_eq!((truth.quantile_ns(0.5), truth.quantile_ns(0.99)), (Some(40), Some(60)));
        assert_eq!(truth.bracket(0.5), Some(Bracket { low_ns: 40.0, high_ns: 62.0 }));
        assert_eq!(truth.mean(), Some(Bracket { low_ns: 50.0, high_ns: 52.0 }));
    }

    #[test]
    fn no_truth_without_every_request_once() {
        let due = [100, 200];
        assert_eq!(TrueLatencies::new(&due, &[answered(2, 300)]), Err(NoTruth::Unknown(Some(2))));
        assert_eq!(TrueLatencies::new(&due, &[answered(1, 300), answered(1, 300)]), Err(NoTruth::Twice(1)));
        assert_eq!(
            TrueLatencies::new(&due, &[answered(1, 300)]),
            Err(NoTruth::Missing { answered: 1, due: 2 })
        );
    }

    #[test]
    fn a_quantile_is_the_nearest_rank() {
        let values: Vec<u64> = (1..=1000).collect();
        assert_eq!(quantile(&values, 0.5), Some(500));
        assert_eq!(quantile(&values, 0.999), Some(999));
        assert_eq!((quantile(&values, 0.0), quantile(&values, 1.0)), (Some(1), Some(1000)));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
