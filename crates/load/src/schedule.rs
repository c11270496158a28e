//! When requests are due: made before the slice from a seed, so that it can be replayed.

use std::time::Duration;

use dyno_model::Rate;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Due times in nanoseconds from the slice's begin, in order, each with the request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    due_ns: Vec<u64>,
    request: Vec<u32>,
}

impl Schedule {
    /// Poisson arrivals: `t_{k+1} = t_k - ln(U)/rate`, and a uniform choice among `requests`. The same seed
    /// gives the same schedule: all stacks of a block replay one (METHOD, section 2).
    pub fn poisson(rate: Rate, length: Duration, requests: u32, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut schedule = Self { due_ns: Vec::new(), request: Vec::new() };
        let mut at_s = 0.0;
        loop {
            // 1 - random() lies in (0, 1]: its logarithm is finite.
            at_s -= (1.0 - rng.random::<f64>()).ln() / rate.per_s();
            if at_s >= length.as_secs_f64() {
                return schedule;
            }
            schedule.due_ns.push((at_s * 1e9) as u64);
            schedule.request.push(rng.random_range(0..requests.max(1)));
        }
    }

    /// Even spacing: for tests of the instrument only, for it flatters servers (METHOD, section 2).
    pub fn uniform(rate: Rate, length: Duration, requests: u32) -> Self {
        let count = (rate.per_s() * length.as_secs_f64()) as u64;
        let due_ns = (0..count).map(|k| (k as f64 * 1e9 / rate.per_s()) as u64).collect();
        let request = (0..count).map(|k| (k % u64::from(requests.max(1))) as u32).collect();
        Self { due_ns, request }
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.due_ns.len()
    }

    /// Whether it has no request at all.
    pub fn is_empty(&self) -> bool {
        self.due_ns.is_empty()
    }

    /// Due time, in nanoseconds from the begin, and request of the `index`-th arrival.
    pub fn get(&self, index: usize) -> Option<(u64, usize)> {
        Some((*self.due_ns.get(index)?, *self.request.get(index)? as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poisson_has_its_rate_its_spread_and_its_seed() {
        let make =
            |seed| Schedule::poisson(Rate::new_per_s(1000.0).unwrap(), Duration::from_secs(20), 4, seed);
        let schedule = make(1);
        // 20,000 arrivals, standard deviation 141.
        assert!((19_400..20_600).contains(&schedule.len()), "{}", schedule.len());
        let gaps: Vec<f64> =
            schedule.due_ns.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.95..1.05).contains(&(variance.sqrt() / mean)), "exponential gaps have a variation of 1");
        assert_eq!(schedule, make(1));
        assert_ne!(schedule, make(2));
        assert!(schedule.request.iter().all(|&request| request < 4));
    }

    #[test]
    fn uniform_is_even() {
        let schedule = Schedule::uniform(Rate::new_per_s(10.0).unwrap(), Duration::from_secs(1), 2);
        assert_eq!(schedule.len(), 10);
        assert_eq!(schedule.get(3), Some((300_000_000, 1)));
        assert_eq!(schedule.get(10), None);
    }
}
