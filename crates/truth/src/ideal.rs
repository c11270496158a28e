//! An ideal generator before an ideal server: a schedule of due times, so many connections, and nothing that takes
//! time but the script. What a real run differs by is the machine's part.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::scenario::{Player, Script};

/// The latency of each request of an open loop, in nanoseconds: due in this order, sent on the first of `connections`
/// that is free, one request at a time on each.
pub fn latencies(due_ns: &[u64], connections: u32, script: &Script) -> Vec<u64> {
    let mut player = Player::new(script.clone(), 0);
    let mut free: BinaryHeap<Reverse<u64>> = (0..connections.max(1)).map(|_| Reverse(0)).collect();
    due_ns
        .iter()
        .map(|&due_ns| {
            let Reverse(free_ns) = free.pop().unwrap_or(Reverse(0));
            let done_ns = player.answer_ns(due_ns.max(free_ns));
            free.push(Reverse(done_ns));
            done_ns - due_ns
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use dyno_model::{Rate, Span};

    use super::*;
    use crate::{
        scenario::{Arrivals, Lock},
        truth::quantile,
    };

    fn even(count: u64, gap_ns: u64) -> Vec<u64> {
        (0..count).map(|number| number * gap_ns).collect()
    }

    fn stall() -> Script {
        Script::Stall {
            stall: Span::seconds(1),
            every: Span::seconds(10),
            service: Span::milliseconds(1),
            lock: Lock::First,
        }
    }

    /// The closed form and the simulation are two ways to one truth.
    #[test]
    fn with_connections_enough_it_is_the_closed_form() {
        let scripts = [
            stall(),
            Script::Slow {
                one_in: 100,
                slow: Span::milliseconds(100),
                service: Span::milliseconds(1),
                seed: 3,
            },
            Script::OnOff {
                fast: Span::milliseconds(1),
                slow: Span::milliseconds(20),
                fast_for: Span::seconds(1),
                slow_for: Span::seconds(1),
                lock: Lock::First,
            },
        ];
        let law = |script: &Script| script.law(Rate::new_per_s(1000.0).unwrap(), Arrivals::Uniform).unwrap();
        for script in scripts {
            let mut simulated = latencies(&even(60_000, 1_000_000), 5000, &script);
            simulated.sort_unstable();
            for share in [0.25, 0.5, 0.75, 0.95, 0.99, 0.999] {
                let (found, known) =
                    (quantile(&simulated, share).unwrap() as f64, law(&script).quantile_ns(share));
                let right = law(&script).on_jump(share) || (found / known - 1.0).abs() < 0.002;
                assert!(right, "{script}, p{}: {found} for {known}", share * 100.0);
            }
        }
    }

    #[test]
    fn few_connections_wait_longer_after_a_freeze() {
        let waited = |connections| latencies(&even(2000, 5_000_000), connections, &stall());
        // 200 requests through 10 connections at 1 ms each take 20 rounds: whoever comes just after it waits for all.
        let longer_ns = waited(10).iter().zip(waited(1000)).map(|(few, many)| few - many).max();
        assert!((15_000_000..=20_000_000).contains(&longer_ns.unwrap()), "{longer_ns:?}");
        assert_eq!(waited(1000).into_iter().max(), Some(1_001_000_000));
    }

    #[test]
    fn a_queue_is_the_same_over_any_number_of_connections() {
        let queue = Script::Mm1 { service: Span::milliseconds(2), seed: 5 };
        let due = even(5000, 3_000_000);
        let whole = latencies(&due, 5000, &queue);
        assert_eq!(whole, latencies(&due, 1, &queue), "the server is the only one that works");
        let mean = whole.iter().sum::<u64>() as f64 / whole.len() as f64;
        let law = queue.law(Rate::new_per_s(1000.0 / 3.0).unwrap(), Arrivals::Uniform).unwrap();
        assert!((0.9..1.1).contains(&(mean / law.mean_ns())), "{mean} for {}", law.mean_ns());
    }
}
