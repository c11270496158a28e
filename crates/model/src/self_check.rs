//! The limits of the self-checks G1 to G8 (METHOD, section 2), for everyone who makes them: the load engine over one
//! load, the analysis over a run. Also the statistic of G3, on plain numbers.

use crate::load::Pacing;

/// Share of a percentile that the generator's own lateness may be (G2).
pub const LATE_FLAG: f64 = 0.01;
/// Share of a percentile from which on its lateness forbids it (G2).
pub const LATE_FAIL: f64 = 0.05;
/// Critical value of the Anderson-Darling statistic at the 1 % level, for an exponential distribution of unknown mean
/// (Stephens 1974, the modified statistic A² (1 + 0.6/n)) (G3).
pub const PACING_LIMIT: f64 = 1.959;
/// The level of [`PACING_LIMIT`]: how often a perfect Poisson process exceeds it.
pub const PACING_LEVEL: f64 = 0.01;
/// Fewest gaps that G3 may rest on.
pub const FEWEST_GAPS: usize = 50;
/// Most gaps that G3 looks at: with more, differences too small to matter are found.
pub const MOST_GAPS: usize = 20_000;
/// Share of its core that the generator may use (G4).
pub const GENERATOR_BUSIEST: f64 = 0.70;
/// Share of the time that the generator may wait for its core (G4).
pub const GENERATOR_WAIT: f64 = 0.01;
/// Largest error of Little's law (G5).
pub const LITTLE: f64 = 0.02;
/// Mean trend, as a logarithm of the ratio of the second half to the first, that isn't worth a word (G6).
pub const TREND_FLAG: f64 = 0.01;
/// Trend beyond which an interval must lie wholly for a number to be refused (G6).
pub const TREND_FAIL: f64 = 0.02;
/// Share of answers that may come without the kernel's receive timestamp (G7).
pub const UNSTAMPED: f64 = 0.01;
/// Longest that 99 % of the answers may lie unread where not all have timestamps, in nanoseconds (G7) …
pub const UNREAD_NS: u64 = 50_000;
/// … or as a share of the median latency.
pub const UNREAD_SHARE: f64 = 0.01;
/// Share of its CPUs that a saturated server uses (G8).
pub const SERVER_BOUND: f64 = 0.90;

/// The Anderson-Darling statistic of gaps between requests against an exponential distribution of unknown mean, in any unit,
/// with the count that it rests on. `None` for fewer than [`FEWEST_GAPS`]; only the first [`MOST_GAPS`] are looked at.
pub fn pacing(gaps: &[f64]) -> Option<Pacing> {
    let mut gaps = gaps[..gaps.len().min(MOST_GAPS)].to_vec();
    let count = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    if gaps.len() < FEWEST_GAPS || mean.is_nan() || mean <= 0.0 {
        return None;
    }
    gaps.sort_by(f64::total_cmp);
    // ln F and ln (1 - F) of an exponential; the first is bounded, for a gap of 0 has probability 0.
    let below = |gap: f64| (-(-gap / mean).exp_m1()).max(1e-12).ln();
    let above = |gap: f64| -gap / mean;
    let pairs = gaps.iter().zip(gaps.iter().rev()).enumerate();
    let sum: f64 = pairs.map(|(i, (low, high))| (2.0 * i as f64 + 1.0) * (below(*low) + above(*high))).sum();
    let a_squared = -count - sum / count;
    Some(Pacing { a_squared: a_squared * (1.0 + 0.6 / count), gaps: gaps.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of an exponential distribution of mean 3, which fit it as well as can be.
    fn exponential(count: usize) -> Vec<f64> {
        (0..count).map(|i| -3.0 * (1.0 - (i as f64 + 0.5) / count as f64).ln()).collect()
    }

    #[test]
    fn exponential_gaps_fit_and_even_or_bursty_ones_do_not() {
        let fit = pacing(&exponential(100)).unwrap();
        assert!(fit.a_squared < 0.2 && fit.gaps == 100, "{fit:?}");
        assert!(pacing(&[1.0; 100]).unwrap().a_squared > PACING_LIMIT);
        let bursty: Vec<f64> = (0..100).map(|i| if i % 10 == 0 { 10.0 } else { 0.0 }).collect();
        assert!(pacing(&bursty).unwrap().a_squared > PACING_LIMIT);
    }

    #[test]
    fn few_gaps_and_none_say_nothing() {
        assert_eq!(pacing(&exponential(FEWEST_GAPS - 1)), None);
        assert_eq!(pacing(&[]), None);
        assert_eq!(pacing(&[0.0; 60]), None);
        assert_eq!(pacing(&vec![1.0; MOST_GAPS + 5]).unwrap().gaps, MOST_GAPS as u64);
    }
}
