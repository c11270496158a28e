//! How well a load generator keeps its schedule, as the server sees it: from the kernel's receive times alone. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The arrivals of all requests that a truth server saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pacing {
    /// Number of requests.
    pub requests: u64,
    /// Mean rate from the first to the last, in requests per second.
    pub mean_rate_per_s: f64,
    /// Rate that the schedule is compared with, in requests per second: as asked for, else the mean rate.
    pub rate_per_s: f64,
    /// Coefficient of variation of the gaps: 0 for an even schedule, 1 for a Poisson process.
    pub gap_variation: f64,
    /// Share (0 to 1) of gaps below a tenth of the ideal one: 0 for an even schedule, 0.095 for a Poisson process.
    pub short_gaps: f64,
    /// Distance from an even schedule at that rate, its constant offset removed: the median, in microseconds.
    pub schedule_error_p50_us: f64,
    /// The same at the 99th percentile.
    pub schedule_error_p99_us: f64,
    /// Anderson-Darling statistic A² (1 + 0.6/n) of the gaps against an exponential distribution of unknown mean; a
    /// Poisson process exceeds 1.959 once in 100 times (Stephens 1974).
    pub a_squared: f64,
}

/// A gap below this share of the ideal one is short: the request came in a burst.
const SHORT: f64 = 0.1;

/// Measures `received_ns`, in any order, against `rate_per_s`. `None` for fewer than three requests.
pub fn measure(received_ns: &[u64], rate_per_s: Option<f64>) -> Option<Pacing> {
    let mut at = received_ns.to_vec();
    at.sort_unstable();
    let (&[first_ns, ..], &[.., last_ns]) = (at.as_slice(), at.as_slice()) else { return None };
    if at.len() < 3 || first_ns == last_ns {
        return None;
    }
    let gaps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let mean_ns = (last_ns - first_ns) as f64 / gaps.len() as f64;
    let rate_per_s = rate_per_s.unwrap_or(1e9 / mean_ns);
    let ideal_ns = 1e9 / rate_per_s;
    let variance = gaps.iter().map(|gap| (gap - mean_ns).powi(2)).sum::<f64>() / gaps.len() as f64;
    let short = gaps.iter().filter(|&&gap| gap < SHORT * ideal_ns).count();
    let errors = errors_ns(&at, ideal_ns);
    Some(Pacing {
        requests: at.len() as u64,
        mean_rate_per_s: 1e9 / mean_ns,
        rate_per_s,
        gap_variation: variance.sqrt() / mean_ns,
        short_gaps: short as f64 / gaps.len() as f64,
        schedule_error_p50_us: errors[errors.len() / 2] / 1e3,
        schedule_error_p99_us: errors[errors.len() * 99 / 100] / 1e3,
        a_squared: a_squared(gaps, mean_ns),
    })
}

/// Distances from an even schedule, sorted. Its offset is the one that makes the median distance to either side 0.
fn errors_ns(at: &[u64], ideal_ns: f64) -> Vec<f64> {
    let begin_ns = at[0];
    let mut errors: Vec<f64> = at
        .iter()
        .enumerate()
        .map(|(number, &at)| (at - begin_ns) as f64 - number as f64 * ideal_ns)
        .collect();
    errors.sort_by(f64::total_cmp);
    let offset = errors[errors.len() / 2];
    let mut errors: Vec<f64> = errors.iter().map(|error| (error - offset).abs()).collect();
    errors.sort_by(f64::total_cmp);
    errors
}

fn a_squared(mut gaps: Vec<f64>, mean: f64) -> f64 {
    gaps.sort_by(f64::total_cmp);
    let count = gaps.len() as f64;
    // ln F and ln (1 - F) of an exponential; the first is bounded, for a gap of 0 has probability 0.
    let below = |gap: f64| (-(-gap / mean).exp_m1()).max(1e-12).ln();
    let above = |gap: f64| -gap / mean;
    let sum: f64 = (0..gaps.len())
        .map(|i| (2.0 * i as f64 + 1.0) * (below(gaps[i]) + above(gaps[gaps.len() - 1 - i])))
        .sum();
    (-count - sum / count) * (1.0 + 0.6 / count)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn an_even_schedule_has_no_error_whatever_its_offset() {
        let at: Vec<u64> = (0..5000).map(|number| 777_777 + number * 200_000).collect();
        let pacing = measure(&at, Some(5000.0)).unwrap();
        assert!((pacing.mean_rate_per_s - 5000.0).abs() < 1e-6);
        assert_eq!((pacing.gap_variation, pacing.short_gaps), (0.0, 0.0));
        assert!(pacing.schedule_error_p99_us < 1e-3);
        assert!(pacing.a_squared > 100.0, "and is no Poisson process");
    }

    #[test]
    fn bursts_of_ten_show_in_every_figure() {
        let at: Vec<u64> = (0..5000).map(|number| number / 10 * 2_000_000).collect();
        let pacing = measure(&at, Some(5000.0)).unwrap();
        assert!((pacing.gap_variation - 3.0).abs() < 0.01, "{}", pacing.gap_variation);
        assert!((pacing.short_gaps - 0.9).abs() < 0.01);
        // From 0 to 1.8 ms late: half of them are within 500 us of the middle.
        assert!((400.0..=600.0).contains(&pacing.schedule_error_p50_us), "{}", pacing.schedule_error_p50_us);
        assert!((800.0..1100.0).contains(&pacing.schedule_error_p99_us));
    }

    #[test]
    fn a_poisson_process_is_known_as_one() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut now = 0.0;
        let at: Vec<u64> = (0..5000)
            .map(|_| {
                now -= (1.0 - rng.random::<f64>()).ln() * 200_000.0;
                now as u64
            })
            .collect();
        let pacing = measure(&at, None).unwrap();
        assert!((0.95..1.05).contains(&pacing.gap_variation));
        assert!((0.08..0.11).contains(&pacing.short_gaps), "{}", pacing.short_gaps);
        assert!(pacing.a_squared < 1.959, "{}", pacing.a_squared);
    }

    #[test]
    fn two_requests_say_nothing() {
        assert_eq!(measure(&[1, 2], None), None);
        assert_eq!(measure(&[5, 5, 5], None), None);
    }
}
