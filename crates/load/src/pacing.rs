//! When a load wakes up to send. Every wake-up of a thread costs CPU, on rented machines tens of microseconds: sends that
//! are due shortly after one another may be gathered into one.

use std::time::Duration;

use crate::clock::{nap_until, now_ns, thread_cpu_ns};

/// When requests of an open loop go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pacing {
    /// Each at its time.
    #[default]
    Exact,
    /// All of a tick at its end; ticks have this length and begin with the load.
    Tick(Duration),
    /// The first that is due waits so long, and those that are due meanwhile go with it.
    Within(Duration),
}

impl Pacing {
    /// The longest time that a request is sent after its own; zero for none.
    pub const fn bound(self) -> Duration {
        match self {
            Self::Exact => Duration::ZERO,
            Self::Tick(bound) | Self::Within(bound) => bound,
        }
    }

    /// What pays at so many requests per second where a wake-up costs so much CPU: exact, or gathered within the time in
    /// which about three are due, and no longer than 380 us.
    pub fn choose(per_s: f64, wake_up: Duration) -> Self {
        let exact_cores = per_s * wake_up.as_secs_f64();
        let bound_s = (GATHERED / per_s).min(LONGEST.as_secs_f64());
        if exact_cores < WORTH_CORES || bound_s * per_s < WORTH_REQUESTS {
            return Self::Exact;
        }
        Self::Within(Duration::from_secs_f64(bound_s))
    }
}

/// Longest time that requests are gathered: half of them are then less than 100 us off the schedule, but for a constant.
const LONGEST: Duration = Duration::from_micros(380);
/// Requests that are due while the first of them waits, at most on average: more save little more.
const GATHERED: f64 = 3.0;
/// Share of a core that exact pacing must cost in wake-ups for gathering to be worth it.
const WORTH_CORES: f64 = 0.02;
/// Requests that must be due while the first waits, on average: fewer save next to nothing.
const WORTH_REQUESTS: f64 = 0.5;

/// Wake-ups that are measured, and the sleep before each.
const WAKE_UPS: u32 = 100;
const SLEEP_NS: u64 = 100_000;

/// What a wake-up of a sleeping thread costs on this machine now, in CPU time of that thread; takes some 20 ms.
pub fn wake_up_cost() -> Duration {
    let begin_ns = thread_cpu_ns();
    for _ in 0..WAKE_UPS {
        nap_until(now_ns() + SLEEP_NS);
    }
    Duration::from_nanos((thread_cpu_ns() - begin_ns) / u64::from(WAKE_UPS))
}

/// Moves times of a schedule, in their order, to when they are sent.
#[derive(Clone, Copy, Debug)]
pub struct Gatherer {
    pacing: Pacing,
    /// When the requests that are gathered now are sent.
    together_ns: Option<u64>,
}

impl Gatherer {
    pub const fn new(pacing: Pacing) -> Self {
        Self { pacing, together_ns: None }
    }

    /// When a request that is due at `at_ns` is sent.
    pub fn sent_at_ns(&mut self, at_ns: u64) -> u64 {
        let length_ns = u64::try_from(self.pacing.bound().as_nanos()).unwrap_or(u64::MAX);
        match self.pacing {
            _ if length_ns == 0 => at_ns,
            Pacing::Exact => at_ns,
            Pacing::Tick(_) => at_ns.checked_next_multiple_of(length_ns).unwrap_or(at_ns),
            Pacing::Within(_) => {
                let together_ns = self.together_ns.filter(|&together_ns| at_ns <= together_ns);
                *self.together_ns.insert(together_ns.unwrap_or_else(|| at_ns.saturating_add(length_ns)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_sent_before_its_time_nor_later_than_the_bound_nor_out_of_order(
            gaps in proptest::collection::vec(0u64..1_000_000, 1..200), us in 1u64..2_000, ticks: bool,
        ) {
            let bound = Duration::from_micros(us);
            let pacing = if ticks { Pacing::Tick(bound) } else { Pacing::Within(bound) };
            let mut gatherer = Gatherer::new(pacing);
            let (mut at_ns, mut before_ns) = (0, 0);
            for gap in gaps {
                at_ns += gap;
                let sent_ns = gatherer.sent_at_ns(at_ns);
                prop_assert!(sent_ns >= at_ns && sent_ns <= at_ns + us * 1000 && sent_ns >= before_ns);
                prop_assert_eq!(Gatherer::new(Pacing::Exact).sent_at_ns(at_ns), at_ns);
                before_ns = sent_ns;
            }
        }
    }

    #[test]
    fn gathering_saves_wake_ups_where_they_are_dear_and_requests_many() {
        let (cheap, dear) = (Duration::from_nanos(500), Duration::from_micros(40));
        assert_eq!(Pacing::choose(5000.0, cheap), Pacing::Exact);
        assert_eq!(Pacing::choose(100.0, dear), Pacing::Exact, "they are too far apart");
        assert_eq!(Pacing::choose(5000.0, dear), Pacing::Within(LONGEST));
        let many = Pacing::choose(50_000.0, dear).bound();
        assert!(many > Duration::ZERO && many < LONGEST / 5, "{many:?}");
        // 1,000 requests of a Poisson process at 5,000/s: how many wake-ups?
        let rate = dyno_model::Rate::new_per_s(5000.0).unwrap();
        let due = crate::Schedule::poisson(rate, Duration::from_secs(1), 1, 3);
        let mut gatherer = Gatherer::new(Pacing::Within(LONGEST));
        let mut sent: Vec<u64> = due.clone().map(|due| gatherer.sent_at_ns(due.at_ns)).collect();
        sent.dedup();
        let saved = due.count_rest() as f64 / sent.len() as f64;
        assert!((2.5..3.3).contains(&saved), "one and what is due in 380 us: {saved}");
    }
}
