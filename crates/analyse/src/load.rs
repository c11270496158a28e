//! One load of `dyno load`: what the engine counted -> the figures that are printed.

use dyno_model::{
    histogram::LatencyHistogram,
    load::SliceOutcome,
    output::{
        BytesPerSecond, CpuSeconds, CurvePoint, LatencyKind, LoadOutput, OUTPUT_VERSION, Percentiles,
        SelfCheck, SelfCheckOutcome,
    },
};

use crate::statistics::{mean, standard_deviation, t_interval, t_quantile};

/// An interval of the measured window.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Its length.
    pub seconds: f64,
    /// Right answers.
    pub completed: u64,
    /// Latencies.
    pub latency: LatencyHistogram,
}

/// Percentiles of the curve.
const CURVE: [f64; 9] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];
/// Requests beyond a percentile that it needs to be told at all.
const BEYOND: f64 = 10.0;
/// Parts that intervals rest on. Intervals of a load are put together to so few, and so long ones, because neighbours
/// aren't independent; fewer make no interval.
const PARTS: usize = 10;
const FEWEST_PARTS: usize = 8;

/// What was loaded, and how.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The URL, or the first of a mix.
    pub url: String,
    /// How, in words.
    pub load: String,
    /// Whether latencies count from when requests were sent: a closed loop.
    pub service_time: bool,
    /// Whether the load is meant to stay the same: stages and recordings change it.
    pub steady: bool,
}

/// The figures of a load.
pub fn output(setting: &Setting, outcome: &SliceOutcome, parts: &[Part]) -> LoadOutput {
    let parts = together(parts);
    let counts = outcome.counts;
    let user_ns = outcome.generator_cpu_ns.saturating_sub(outcome.generator_system_ns);
    LoadOutput {
        version: OUTPUT_VERSION,
        url: setting.url.clone(),
        load: setting.load.clone(),
        latency_kind: if setting.service_time { LatencyKind::ServiceTime } else { LatencyKind::FromDue },
        planned: counts.planned,
        sent: counts.sent,
        not_sent: counts.not_sent,
        completed: counts.completed,
        failed: counts.failed,
        connections: outcome.connections,
        statuses: outcome.statuses.clone(),
        redirects: outcome.redirects,
        bytes: outcome.bytes,
        bytes_per_s: BytesPerSecond {
            sent: per_second(outcome.window_bytes.sent, outcome.window_ns),
            received: per_second(outcome.window_bytes.received, outcome.window_ns),
        },
        seconds: outcome.window_ns as f64 / 1e9,
        rate_per_s: per_second(outcome.window_completed, outcome.window_ns),
        rate_interval_per_s: rate_interval(&parts),
        latency_us: percentiles(&outcome.latency),
        failed_in_latency: outcome.failed_in_latency,
        first_byte_us: percentiles(&outcome.first_byte),
        late_us: percentiles(&outcome.late),
        blocked_us: percentiles(&outcome.blocked),
        pacing: None,
        curve: curve(&outcome.latency, &parts),
        longest_stall_us: outcome.longest_stall_ns as f64 / 1e3,
        cpu_seconds: CpuSeconds {
            user: user_ns as f64 / 1e9,
            system: outcome.generator_system_ns as f64 / 1e9,
        },
        engine: outcome.engine.clone(),
        checks: vec![trend(setting, &parts)],
        slo: Vec::new(),
        wrong_answers: outcome.wrong_answers.clone(),
    }
}

fn per_second(count: u64, window_ns: u64) -> f64 {
    if window_ns == 0 { 0.0 } else { count as f64 * 1e9 / window_ns as f64 }
}

/// A histogram's percentiles in microseconds; none when it is empty.
pub fn percentiles(histogram: &LatencyHistogram) -> Percentiles {
    let us = |quantile| histogram.quantile_ns(quantile).map(|ns| ns as f64 / 1e3);
    Percentiles {
        count: histogram.count(),
        p50: us(0.5),
        p90: us(0.9),
        p99: us(0.99),
        p99_9: us(0.999),
        max: histogram.max_ns().map(|ns| ns as f64 / 1e3),
        mean: histogram.mean_ns().map(|ns| ns / 1e3),
    }
}

/// The parts of a load that may last: when there are many, neighbours are put together, so that memory stays the same.
#[derive(Clone, Debug)]
pub struct Parts {
    parts: Vec<Part>,
    /// Intervals in a part, and in the last one so far.
    each: u32,
    last: u32,
}

/// Parts that are kept at most: twice as many as intervals rest on.
const MOST_KEPT: usize = 2 * PARTS;

impl Default for Parts {
    fn default() -> Self {
        Self { parts: Vec::new(), each: 1, last: 0 }
    }
}

impl Parts {
    /// Adds an interval.
    pub fn add(&mut self, seconds: f64, completed: u64, latency: &LatencyHistogram) {
        let part = Part { seconds, completed, latency: latency.clone() };
        match self.parts.last_mut() {
            Some(last) if self.last < self.each => last.add(&part),
            _ => {
                if self.parts.len() == MOST_KEPT {
                    self.parts = self.parts.chunks(2).map(sum).collect();
                    self.each *= 2;
                }
                self.parts.push(part);
                self.last = 0;
            }
        }
        self.last += 1;
    }

    /// All of them, in order of time.
    pub fn all(&self) -> &[Part] {
        &self.parts
    }
}

impl Part {
    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.completed += other.completed;
        self.latency.merge(&other.latency);
    }
}

fn sum(parts: &[Part]) -> Part {
    let mut whole = Part::default();
    for part in parts {
        whole.add(part);
    }
    whole
}

/// Neighbouring intervals put together, so that about [`PARTS`] of the same length are left. A last one that is
/// shorter than half of the others is left out.
fn together(parts: &[Part]) -> Vec<Part> {
    let chunk = (parts.len() / PARTS).max(1);
    let mut whole: Vec<Part> = parts.chunks(chunk).map(sum).collect();
    let usual = whole.first().map_or(0.0, |part| part.seconds);
    if whole.last().is_some_and(|part| part.seconds < usual / 2.0) {
        whole.pop();
    }
    whole
}

fn rate_interval(parts: &[Part]) -> Option<(f64, f64)> {
    let rates: Vec<f64> = parts.iter().map(|part| part.completed as f64 / part.seconds).collect();
    if rates.len() < FEWEST_PARTS {
        return None;
    }
    // Few answers in each part make the interval of a mean reach below what a rate can be.
    t_interval(&rates).map(|(_, low, high)| (low.max(0.0), high))
}

/// The percentile curve with 95 % intervals, parts of the load as clusters (Woodruff 1952; Francisco and Fuller
/// 1991): with `v` the percentile of all and `e_i` the share of part `i` above it, `h = t(n-1, .975) sd(e)/√n`, and the
/// interval reaches from the percentile `p - h` to `p + h` of all. Parts with more requests count more (a ratio of
/// sums).
pub fn curve(whole: &LatencyHistogram, parts: &[Part]) -> Vec<CurvePoint> {
    let enough = |percentile: &f64| whole.count() as f64 * (1.0 - percentile / 100.0) >= BEYOND;
    let points = CURVE.iter().copied().filter(enough);
    points
        .filter_map(|percentile| {
            let quantile = percentile / 100.0;
            let ns = whole.quantile_ns(quantile)?;
            // Many requests may have this very latency, a time-out's for instance: both its edges are looked at.
            let below_ns = whole.inner().lowest_equivalent(ns).saturating_sub(1);
            let half =
                half_width(whole, parts, ns).zip(half_width(whole, parts, below_ns)).map(|(a, b)| a.max(b));
            let us = |quantile: f64| {
                // Beyond the last request nothing is known.
                let inside = quantile > 0.0 && quantile <= 1.0 - 1.0 / whole.count() as f64;
                inside.then(|| whole.quantile_ns(quantile)).flatten().map(|ns| ns as f64 / 1e3)
            };
            Some(CurvePoint {
                percentile,
                us: ns as f64 / 1e3,
                low_us: half.and_then(|half| us(quantile - half)),
                high_us: half.and_then(|half| us(quantile + half)),
            })
        })
        .collect()
}

/// Half the width of the interval of the share of latencies above `ns`.
fn half_width(whole: &LatencyHistogram, parts: &[Part], ns: u64) -> Option<f64> {
    let n = parts.len();
    if n < FEWEST_PARTS {
        return None;
    }
    let share = whole.share_above(ns);
    let counts: Vec<f64> = parts.iter().map(|part| part.latency.count() as f64).collect();
    let usual = mean(&counts);
    if usual <= 0.0 {
        return None;
    }
    let shares = parts.iter().zip(&counts);
    let residuals: Vec<f64> =
        shares.map(|(part, count)| count / usual * (part.latency.share_above(ns) - share)).collect();
    Some(t_quantile(0.975, n as f64 - 1.0) * standard_deviation(&residuals) / (n as f64).sqrt())
}

/// Changes from the first to the second half that are worth a word, and that make one load no steady state. METHOD's
/// limit of 2 % is one for means over blocks; a single load on a shared machine may well drift by more.
const WORTH_A_WORD: f64 = 0.01;
const NOT_STEADY: f64 = 0.10;

/// G6: whether the rate of a closed loop, or the median of an open one, has a trend within this load. A t interval
/// with one variance for both halves over the logarithms of the parts.
fn trend(setting: &Setting, parts: &[Part]) -> SelfCheck {
    let check = |outcome, words: String| SelfCheck { id: "G6".to_owned(), outcome, words };
    let (what, values): (_, Vec<f64>) = if setting.service_time {
        ("rate", parts.iter().map(|part| part.completed as f64 / part.seconds).collect())
    } else {
        ("median", parts.iter().filter_map(|part| Some(part.latency.quantile_ns(0.5)? as f64)).collect())
    };
    if !setting.steady || values.len() < FEWEST_PARTS || values.iter().any(|value| *value <= 0.0) {
        let why = if setting.steady { "too short a load" } else { "the load is meant to change" };
        return check(SelfCheckOutcome::NotMade, format!("{why}: no trend can be told"));
    }
    let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let (first, second) = logs.split_at(logs.len() / 2);
    let (n, m) = (first.len() as f64, second.len() as f64);
    let squares = |half: &[f64]| standard_deviation(half).powi(2) * (half.len() as f64 - 1.0);
    let deviation = ((squares(first) + squares(second)) / (n + m - 2.0)).sqrt();
    let half = t_quantile(0.975, n + m - 2.0) * deviation * (1.0 / n + 1.0 / m).sqrt();
    let change = mean(second) - mean(first);
    let words = format!(
        "the {what} of the second half is {:.3} [{:.3}, {:.3}] times that of the first",
        change.exp(),
        (change - half).exp(),
        (change + half).exp()
    );
    let nearest = change.abs() - half;
    check(
        match () {
            () if nearest > NOT_STEADY => SelfCheckOutcome::Fail,
            () if nearest > 0.0 && change.abs() > WORTH_A_WORD => SelfCheckOutcome::Flag,
            () => SelfCheckOutcome::Pass,
        },
        words,
    )
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn steady(service_time: bool) -> Setting {
        Setting { url: String::new(), load: String::new(), service_time, steady: true }
    }

    /// A load of 40 intervals. Each has its own share of slow answers, which is near its neighbour's: an
    /// autoregressive process. 5 % of all answers are slow.
    fn load(rng: &mut ChaCha8Rng) -> (LatencyHistogram, Vec<Part>) {
        let (mut whole, mut state) = (LatencyHistogram::default(), 0.0);
        let parts = (0..40).map(|_| {
            state = 0.4 * state + rng.random_range(-0.03..0.03);
            let mut part = Part { seconds: 0.25, completed: 500, latency: LatencyHistogram::default() };
            for _ in 0..500 {
                let slow = rng.random::<f64>() < f64::max(0.05 + state, 0.0);
                let base = if slow { 10e6 } else { 1e6 };
                part.latency.record_ns((base * (1.0 + rng.random::<f64>())) as u64);
            }
            whole.merge(&part.latency);
            part
        });
        let parts = parts.collect();
        (whole, parts)
    }

    #[test]
    fn intervals_of_percentiles_cover_the_truth_though_neighbours_are_alike() {
        // 90 % of all answers are below 1.947 ms: 0.95 of them are uniform from 1 to 2 ms.
        let truth_us = 1000.0 * (1.0 + 0.9 / 0.95);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let runs = 300;
        let mut covered = 0;
        for _ in 0..runs {
            let (whole, parts) = load(&mut rng);
            let points = curve(&whole, &together(&parts));
            let p90 = points.iter().find(|point| point.percentile == 90.0).unwrap();
            let step = truth_us / 1000.0;
            covered +=
                i32::from(p90.low_us.unwrap() - step <= truth_us && truth_us <= p90.high_us.unwrap() + step);
        }
        let coverage = f64::from(covered) / f64::from(runs);
        assert!((0.90..=0.995).contains(&coverage), "{coverage}");
    }

    #[test]
    fn few_parts_or_few_requests_make_no_interval() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (whole, parts) = load(&mut rng);
        let percentiles = |points: &[CurvePoint]| points.last().map(|point| point.percentile);
        assert_eq!(percentiles(&curve(&whole, &parts)), Some(99.9), "20,000 requests: 2 beyond p99.99");
        assert!(curve(&whole, &parts[..7]).iter().all(|point| point.low_us.is_none()));
        assert_eq!(rate_interval(&parts[..7]), None);
        assert_eq!(rate_interval(&parts[..8]), Some((2000.0, 2000.0)));
        assert_eq!(together(&parts).len(), 10);
        let rare = |completed| Part { seconds: 1.0, completed, latency: LatencyHistogram::default() };
        let parts: Vec<Part> = (0..10).map(|part| rare(u64::from(part == 0))).collect();
        let (low, high) = rate_interval(&parts).unwrap();
        assert!(low == 0.0 && high > 0.1, "no rate is below 0: [{low}, {high}]");
    }

    #[test]
    fn percentiles_of_nothing_are_nothing() {
        let nothing = output(&steady(true), &SliceOutcome::default(), &[]);
        assert_eq!(
            (nothing.latency_us.p99, nothing.latency_us.max, nothing.latency_us.mean),
            (None, None, None)
        );
        assert_eq!(serde_json::to_value(nothing.latency_us).unwrap()["p99"], serde_json::Value::Null);
    }

    #[test]
    fn a_long_load_keeps_few_parts_and_loses_nothing() {
        let mut parts = Parts::default();
        for number in 1..=1000u64 {
            let mut latency = LatencyHistogram::default();
            latency.record_ns(1_000_000);
            parts.add(1.0, number, &latency);
            assert!(parts.all().len() <= MOST_KEPT);
        }
        let all = parts.all();
        assert!(all.len() > PARTS, "{}", all.len());
        assert_eq!(all.iter().map(|part| part.completed).sum::<u64>(), 500_500);
        assert_eq!(all.iter().map(|part| part.latency.count()).sum::<u64>(), 1000);
        assert!(all[..all.len() - 1].iter().all(|part| part.seconds == all[0].seconds), "of the same length");
    }

    #[test]
    fn a_load_that_slows_down_is_no_steady_state() {
        let parts = |slope: f64| -> Vec<Part> {
            (0..10)
                .map(|i| Part {
                    seconds: 1.0,
                    completed: (10_000.0 * (1.0 + slope * f64::from(i)) + 30.0 * f64::from(i % 3)) as u64,
                    latency: LatencyHistogram::default(),
                })
                .collect()
        };
        assert_eq!(trend(&steady(true), &parts(0.0)).outcome, SelfCheckOutcome::Pass);
        assert_eq!(trend(&steady(true), &parts(-0.005)).outcome, SelfCheckOutcome::Flag);
        assert_eq!(trend(&steady(true), &parts(-0.05)).outcome, SelfCheckOutcome::Fail);
        let changing = Setting { steady: false, ..steady(true) };
        assert_eq!(trend(&changing, &parts(-0.05)).outcome, SelfCheckOutcome::NotMade);
    }
}
