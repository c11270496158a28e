//! When requests are due, and which: from a seed, so that it can be replayed, and one by one, so that a long
//! schedule needs no memory.

use std::{sync::Arc, time::Duration};

use dyno_model::Rate;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A part of a schedule whose rate is constant or changes evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// How long it is.
    pub length: Duration,
    /// Requests per second at its beginning; 0 or more.
    pub from_per_s: f64,
    /// Requests per second at its end; 0 or more.
    pub to_per_s: f64,
}

impl Stage {
    /// A constant rate.
    pub const fn constant(rate: Rate, length: Duration) -> Self {
        Self { length, from_per_s: rate.per_s(), to_per_s: rate.per_s() }
    }

    /// Requests expected in its first `at_s` seconds.
    fn mass(&self, at_s: f64) -> f64 {
        if self.length.is_zero() {
            return 0.0;
        }
        let slope = (self.to_per_s - self.from_per_s) / self.length.as_secs_f64();
        at_s * (self.from_per_s + slope * at_s / 2.0)
    }

    /// The time in seconds after which `mass` requests are expected; `None` when the stage has fewer.
    fn time(&self, mass: f64) -> Option<f64> {
        let length_s = self.length.as_secs_f64();
        if mass >= self.mass(length_s) {
            return None;
        }
        let slope = (self.to_per_s - self.from_per_s) / length_s;
        // The root of `slope t²/2 + from t = mass`, in the form that is stable for small slopes.
        let root = (self.from_per_s.powi(2) + 2.0 * slope * mass).max(0.0).sqrt();
        let both = self.from_per_s + root;
        // The very first request of a ramp from 0: both are 0.
        Some(if both > 0.0 { (2.0 * mass / both).min(length_s) } else { 0.0 })
    }

    fn length_ns(&self) -> u64 {
        u64::try_from(self.length.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A length that no load reaches, for schedules that end with a number of requests: a hundred years.
pub const ENDLESS: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Requests that are drawn at most to count them; beyond that their expected number is taken.
const MOST_DRAWN: u64 = 1 << 18;

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// Independent of each other, as those of many users are.
    #[default]
    Poisson,
    /// Evenly spaced: for tests of instruments, for it flatters servers (METHOD, section 2).
    Uniform,
}

/// Which request is next: kinds by weight, and within a kind its requests in turn or by chance.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Number of requests and cumulative weight of each kind.
    kinds: Vec<(usize, f64)>,
    turns: Option<Vec<usize>>,
}

impl Choice {
    /// Any of `requests` with the same chance.
    pub fn uniform(requests: usize) -> Self {
        Self { kinds: vec![(requests.max(1), 1.0)], turns: None }
    }

    /// A kind by its weight, then the kind's requests in turn. Requests of a kind follow each other in the list.
    pub fn weighted(kinds: &[(usize, f64)]) -> Self {
        let total: f64 = kinds.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        let cumulative = kinds.iter().map(|&(count, weight)| {
            sum += weight / total;
            (count.max(1), sum)
        });
        Self { kinds: cumulative.collect(), turns: Some(vec![0; kinds.len()]) }
    }

    /// Index of the next request.
    pub fn next(&mut self, rng: &mut impl Rng) -> usize {
        let mut kind = 0;
        if self.kinds.len() > 1 {
            let draw = rng.random::<f64>();
            let last = self.kinds.len() - 1;
            kind = self.kinds.iter().position(|&(_, sum)| draw < sum).unwrap_or(last);
        }
        let before: usize = self.kinds[..kind].iter().map(|(count, _)| count).sum();
        let count = self.kinds[kind].0;
        let within = match &mut self.turns {
            _ if count == 1 => 0,
            None => rng.random_range(0..count),
            Some(turns) => {
                let turn = turns[kind];
                turns[kind] = (turn + 1) % count;
                turn
            }
        };
        before + within
    }
}

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When, in nanoseconds from the begin.
    pub at_ns: u64,
    /// Index of the request.
    pub request: usize,
}

/// Requests in the order in which they are due.
#[derive(Clone, Debug)]
pub struct Schedule {
    source: Source,
    stages: Vec<Stage>,
    /// Of so many threads this one does every request whose number leaves this remainder.
    share: (u64, u64),
    number: u64,
    limit: u64,
}

#[derive(Clone, Debug)]
enum Source {
    Law {
        arrivals: Arrivals,
        rng: Box<ChaCha8Rng>,
        choice: Choice,
        /// Requests expected up to the last that was drawn, and up to the begin of its stage.
        mass: f64,
        stage_mass: f64,
        /// The stage of the last that was drawn, and when that begins.
        stage: usize,
        stage_ns: u64,
    },
    List(Arc<[Due]>),
}

impl Schedule {
    /// Arrivals over stages. With Poisson arrivals the next is due when an exponential number of requests of
    /// mean 1 would have been expected since the last: `t_{k+1} = t_k - ln(U)/rate` at a constant rate. The same
    /// seed gives the same schedule: all stacks of a block replay one (METHOD, section 2).
    pub fn new(stages: Vec<Stage>, arrivals: Arrivals, choice: Choice, seed: u64) -> Self {
        let rng = Box::new(ChaCha8Rng::seed_from_u64(seed));
        let source = Source::Law { arrivals, rng, choice, mass: 0.0, stage_mass: 0.0, stage: 0, stage_ns: 0 };
        Self { source, stages, share: (0, 1), number: 0, limit: u64::MAX }
    }

    /// Poisson arrivals at a constant rate, with a uniform choice among `requests`.
    pub fn poisson(rate: Rate, length: Duration, requests: usize, seed: u64) -> Self {
        let stages = vec![Stage::constant(rate, length)];
        Self::new(stages, Arrivals::Poisson, Choice::uniform(requests), seed)
    }

    /// Even spacing at a constant rate, `requests` in turn.
    pub fn uniform(rate: Rate, length: Duration, requests: usize) -> Self {
        let stages = vec![Stage::constant(rate, length)];
        Self::new(stages, Arrivals::Uniform, Choice::weighted(&[(requests, 1.0)]), 0)
    }

    /// A list that was made elsewhere, in the order of its times.
    pub fn replay(mut list: Vec<Due>) -> Self {
        list.sort_by_key(|due| due.at_ns);
        let source = Source::List(list.into());
        Self { source, stages: Vec::new(), share: (0, 1), number: 0, limit: u64::MAX }
    }

    /// At most so many requests.
    #[must_use]
    pub const fn limit(mut self, requests: u64) -> Self {
        self.limit = requests;
        self
    }

    /// The share of one of `threads`: every request is in exactly one share.
    #[must_use]
    pub const fn share(mut self, thread: u64, threads: u64) -> Self {
        self.share = (thread, threads);
        self
    }

    /// Length of the stages; of a list, up to the last request.
    pub fn length(&self) -> Duration {
        match &self.source {
            Source::Law { .. } => self.stages.iter().map(|stage| stage.length).sum(),
            Source::List(list) => Duration::from_nanos(list.last().map_or(0, |due| due.at_ns + 1)),
        }
    }

    /// Whether it has ended because the limit of requests is reached, and not its time.
    pub const fn limit_reached(&self) -> bool {
        self.number >= self.limit
    }

    /// How many requests are still to come, drawn one by one.
    pub fn count_rest(&self) -> u64 {
        self.clone().count() as u64
    }

    /// Ends the schedule and returns how many requests were still to come. Of many that is the expected number, for
    /// drawing them takes long: exact with even spacing, and to the square root of the number with Poisson arrivals.
    pub fn give_up_rest(&mut self) -> u64 {
        let mut count = 0;
        while count < MOST_DRAWN {
            if self.next().is_none() {
                return count;
            }
            count += 1;
        }
        let rest = self.expected_rest();
        let (thread, threads) = self.share;
        let below = |number: u64| number / threads + u64::from(thread < number % threads);
        let end = self.number.saturating_add(rest);
        count += below(end) - below(self.number);
        self.number = self.limit.max(end);
        self.limit = self.number;
        count
    }

    /// Requests of all threads that are expected after the last that was drawn.
    fn expected_rest(&self) -> u64 {
        let left = self.limit - self.number.min(self.limit);
        match &self.source {
            Source::Law { arrivals, mass, .. } => {
                let all: f64 = self.stages.iter().map(|stage| stage.mass(stage.length.as_secs_f64())).sum();
                let rest = match arrivals {
                    Arrivals::Poisson => (all - mass).round(),
                    Arrivals::Uniform if self.number == 0 => all.ceil(),
                    Arrivals::Uniform => (all - mass).ceil() - 1.0,
                };
                (rest.max(0.0) as u64).min(left)
            }
            Source::List(list) => (list.len() as u64).saturating_sub(self.number).min(left),
        }
    }

    /// Whether requests come as a Poisson process. A share of one doesn't: every n-th arrival is more even.
    pub const fn is_poisson(&self) -> bool {
        self.share.1 == 1 && matches!(self.source, Source::Law { arrivals: Arrivals::Poisson, .. })
    }

    /// Requests expected up to `at_ns`. The gaps of a Poisson process whatever its rate are exponential with
    /// mean 1 on this scale (time rescaling).
    pub fn expected(&self, at_ns: u64) -> f64 {
        let mut left_s = at_ns as f64 / 1e9;
        let mut mass = 0.0;
        for stage in &self.stages {
            let length_s = stage.length.as_secs_f64();
            mass += stage.mass(left_s.min(length_s));
            left_s -= length_s;
            if left_s <= 0.0 {
                return mass;
            }
        }
        // Whatever is late beyond the end counts at the last rate.
        mass + left_s.max(0.0) * self.stages.last().map_or(0.0, |stage| stage.to_per_s)
    }

    fn draw(&mut self) -> Option<Due> {
        let Source::Law { arrivals, rng, choice, mass, stage_mass, stage, stage_ns } = &mut self.source
        else {
            let Source::List(list) = &self.source else { return None };
            return usize::try_from(self.number).ok().and_then(|number| list.get(number)).copied();
        };
        *mass += match arrivals {
            // 1 - random() lies in (0, 1]: its logarithm is finite.
            Arrivals::Poisson => -(1.0 - rng.random::<f64>()).ln(),
            Arrivals::Uniform if self.number == 0 => 0.0,
            Arrivals::Uniform => 1.0,
        };
        loop {
            let now = self.stages.get(*stage)?;
            let length_ns = now.length_ns();
            // Sums are rounded: what lies a little before a stage begins with it, and nothing lies at its end.
            if let Some(at_s) = now.time((*mass - *stage_mass).max(0.0)) {
                let within_ns = ((at_s * 1e9).round() as u64).min(length_ns.saturating_sub(1));
                return Some(Due { at_ns: *stage_ns + within_ns, request: choice.next(rng) });
            }
            *stage_mass += now.mass(now.length.as_secs_f64());
            *stage_ns = stage_ns.saturating_add(length_ns);
            *stage += 1;
        }
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        loop {
            if self.number >= self.limit {
                return None;
            }
            let due = self.draw()?;
            let number = self.number;
            self.number += 1;
            if number % self.share.1 == self.share.0 {
                return Some(due);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_s: f64) -> Rate {
        Rate::new_per_s(per_s).unwrap()
    }

    #[test]
    fn poisson_has_its_rate_and_spread_and_can_be_replayed() {
        let make = |seed| -> Vec<Due> {
            Schedule::poisson(rate(1000.0), Duration::from_secs(20), 4, seed).collect()
        };
        let due = make(1);
        assert!((19_400..20_600).contains(&due.len()), "{}", due.len());
        let gaps: Vec<f64> =
            due.windows(2).map(|pair| (pair[1].at_ns - pair[0].at_ns) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.95..1.05).contains(&(variance.sqrt() / mean)), "exponential gaps have a variation of 1");
        assert_eq!(due, make(1));
        assert_ne!(due, make(2));
        assert!(due.iter().all(|due| due.request < 4));
    }

    #[test]
    fn uniform_is_even() {
        let mut schedule = Schedule::uniform(rate(10.0), Duration::from_secs(1), 2);
        assert_eq!(schedule.count_rest(), 10);
        assert_eq!(schedule.nth(3), Some(Due { at_ns: 300_000_000, request: 1 }));
        assert_eq!(schedule.count_rest(), 6);
    }

    #[test]
    fn stages_have_their_own_rates_and_a_ramp_grows_evenly() {
        let second = Duration::from_secs(1);
        let stages = vec![
            Stage { length: 10 * second, from_per_s: 100.0, to_per_s: 100.0 },
            Stage { length: second, from_per_s: 0.0, to_per_s: 0.0 },
            Stage { length: 20 * second, from_per_s: 0.0, to_per_s: 100.0 },
        ];
        let schedule = Schedule::new(stages, Arrivals::Uniform, Choice::uniform(1), 1);
        assert_eq!(schedule.length(), 31 * second);
        assert!((schedule.expected(31_000_000_000) - 2000.0).abs() < 1e-6);
        let due: Vec<u64> = schedule.map(|due| due.at_ns / 1_000_000_000).collect();
        let within = |from: u64, to: u64| due.iter().filter(|&&at| (from..to).contains(&at)).count();
        assert_eq!((within(0, 10), within(10, 11), due.len()), (1000, 0, 2000));
        // A quarter of the ramp's requests come in its first half; one lies on the border.
        assert!(within(11, 21).abs_diff(250) <= 1, "{}", within(11, 21));
    }

    #[test]
    fn shares_of_threads_are_the_whole() {
        let whole = Schedule::poisson(rate(100.0), Duration::from_secs(5), 3, 7).limit(301);
        let mut parts: Vec<Due> = (0..3).flat_map(|thread| whole.clone().share(thread, 3)).collect();
        parts.sort_by_key(|due| due.at_ns);
        assert_eq!(parts, whole.collect::<Vec<_>>());
        assert_eq!(parts.len(), 301);
    }

    #[test]
    fn a_list_is_replayed_in_its_order() {
        let list = vec![Due { at_ns: 20, request: 1 }, Due { at_ns: 10, request: 0 }];
        let schedule = Schedule::replay(list);
        assert_eq!(schedule.length(), Duration::from_nanos(21));
        assert_eq!(schedule.map(|due| due.at_ns).collect::<Vec<_>>(), [10, 20]);
    }

    #[test]
    fn kinds_come_by_weight_and_their_requests_in_turn() {
        let mut choice = Choice::weighted(&[(2, 3.0), (1, 1.0)]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<usize> = (0..4000).map(|_| choice.next(&mut rng)).collect();
        let count = |request| drawn.iter().filter(|&&one| one == request).count();
        assert!(count(0).abs_diff(count(1)) <= 1, "in turn");
        assert!((900..1100).contains(&count(2)), "{}", count(2));
    }

    /// Any stages: constant, growing, falling, from 0, to 0, of no rate, of very different lengths.
    fn any_stages() -> impl Strategy<Value = Vec<Stage>> {
        let rate = prop_oneof![Just(0.0), 0.001..1.0, 1.0..3000.0];
        let length = prop_oneof![1u64..1000, 1_000_000u64..3_000_000_000, 1_000_000_000u64..20_000_000_000];
        let stage = (length, rate.clone(), rate, any::<bool>()).prop_map(|(ns, from, to, even)| Stage {
            length: Duration::from_nanos(ns),
            from_per_s: from,
            to_per_s: if even { from } else { to },
        });
        proptest::collection::vec(stage, 1..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn requests_are_in_order_within_their_stages_and_as_many_as_the_rate_says(
            stages in any_stages(), uniform: bool, seed: u64,
        ) {
            let arrivals = if uniform { Arrivals::Uniform } else { Arrivals::Poisson };
            let schedule = Schedule::new(stages.clone(), arrivals, Choice::uniform(1), seed);
            let due: Vec<u64> = schedule.clone().map(|due| due.at_ns).collect();
            prop_assert!(due.is_sorted());
            let end_ns = schedule.length().as_nanos() as u64;
            prop_assert!(due.last().is_none_or(|&last| last < end_ns));
            let mut begin_ns = 0;
            let mut all = 0.0;
            for stage in &stages {
                let stage_end_ns = begin_ns + stage.length.as_nanos() as u64;
                let count = due.iter().filter(|&&at| (begin_ns..stage_end_ns).contains(&at)).count() as f64;
                let mean = (stage.from_per_s + stage.to_per_s) / 2.0 * stage.length.as_secs_f64();
                // Six standard deviations of a Poisson count, and the borders.
                let most = if uniform { 2.0 } else { 6.0 * mean.sqrt() + 6.0 };
                prop_assert!((count - mean).abs() <= most, "{count} of {mean} in {stage:?}");
                all += mean;
                begin_ns = stage_end_ns;
            }
            prop_assert!((schedule.expected(end_ns) - all).abs() <= 1e-6 * (1.0 + all));
            if uniform {
                prop_assert!((due.len() as f64 - all).abs() <= 1.0, "{} of {all}", due.len());
                let gaps = |at: &[u64]| schedule.expected(at[1]) - schedule.expected(at[0]);
                // A gap is one request on the scale of those expected, but for the rounding to nanoseconds.
                prop_assert!(due.windows(2).all(|at| (gaps(at) - 1.0).abs() < 1e-3));
            }
        }
    }

    #[test]
    fn the_rest_of_a_long_schedule_is_counted_without_drawing_it() {
        let day = Duration::from_secs(24 * 3600);
        let whole = Schedule::new(
            vec![Stage::constant(rate(20_000.0), day)],
            Arrivals::Poisson,
            Choice::uniform(1),
            1,
        );
        let all = 20_000.0 * 24.0 * 3600.0;
        let rest = whole.clone().give_up_rest() as f64;
        assert!((rest - all).abs() < 6.0 * f64::sqrt(all), "{rest}");
        let uniform = Schedule::uniform(rate(20_000.0), day, 1);
        let mut parts: Vec<Schedule> = (0..3).map(|thread| uniform.clone().share(thread, 3)).collect();
        let before: u64 = parts.iter_mut().map(|part| part.by_ref().take(10).count() as u64).sum();
        let rest: u64 = parts.iter_mut().map(Schedule::give_up_rest).sum();
        assert_eq!(before + rest, 20_000 * 24 * 3600, "exact over threads with even spacing");
        assert!(parts.iter_mut().all(|part| part.next().is_none()), "it has ended");
        let limited = Schedule::uniform(rate(2000.0), ENDLESS, 1).limit(1_000_000_000);
        assert_eq!(limited.clone().give_up_rest(), 1_000_000_000);
        let short = Schedule::poisson(rate(100.0), Duration::from_secs(5), 3, 7);
        assert_eq!(short.clone().give_up_rest(), short.count_rest());
    }

    #[test]
    fn a_schedule_without_length_has_no_requests() {
        for arrivals in [Arrivals::Uniform, Arrivals::Poisson] {
            let stage = Stage::constant(rate(10.0), Duration::ZERO);
            assert_eq!(Schedule::new(vec![stage], arrivals, Choice::uniform(1), 1).next(), None);
        }
    }
}
