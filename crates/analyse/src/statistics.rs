//! The statistics themselves, each with its source, on plain numbers.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

/// Arithmetic mean; NaN for none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation of a sample (divided by n - 1); NaN for fewer than two.
pub fn standard_deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

/// Quantile of Student's t distribution.
///
/// # Panics
/// `freedom` isn't positive.
pub fn t_quantile(probability: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).expect("positive degrees of freedom").inverse_cdf(probability)
}

/// Probability that |t| of Student's distribution exceeds `t`, which is 0 or more.
///
/// # Panics
/// `freedom` isn't positive.
pub fn t_beyond(t: f64, freedom: f64) -> f64 {
    2.0 * StudentsT::new(0.0, 1.0, freedom).expect("positive degrees of freedom").sf(t)
}

/// Probability of `count` or more of `trials`, each with `probability`.
///
/// # Panics
/// `probability` isn't within 0..=1.
pub fn binomial_beyond(count: u64, trials: u64, probability: f64) -> f64 {
    match count.checked_sub(1) {
        None => 1.0,
        Some(below) => Binomial::new(probability, trials).expect("a probability").sf(below),
    }
}

/// The 95 % interval of a probability from `count` of `trials` (Wilson 1927); all of 0..=1 for no trials.
pub fn wilson(count: u64, trials: u64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    const Z: f64 = 1.959_963_984_540_054;
    let (n, share) = (trials as f64, count as f64 / trials as f64);
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let of = |sum: f64| (sum / (1.0 + Z * Z / n)).clamp(0.0, 1.0);
    (of(middle - half), of(middle + half))
}

/// Which of several hypotheses are rejected, so that any true one is among them with at most the probability `level`
/// (Holm 1979), whatever depends on what.
pub fn holm(p: &[f64], level: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut rejected = vec![false; p.len()];
    for (rank, &at) in order.iter().enumerate() {
        // False for what isn't a number, too.
        rejected[at] = p[at] <= level / (p.len() - rank) as f64;
        if !rejected[at] {
            break;
        }
    }
    rejected
}

/// Mean and 95 % t interval: `m ± t(n-1, .975) s/√n`. `None` for fewer than two values.
pub fn t_interval(values: &[f64]) -> Option<(f64, f64, f64)> {
    t_interval_at(values, 0.05)
}

/// Mean and t interval that misses with the probability `level`. `None` for fewer than two values.
pub fn t_interval_at(values: &[f64], level: f64) -> Option<(f64, f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let half = t_quantile(1.0 - level / 2.0, n - 1.0) * standard_deviation(values) / n.sqrt();
    let mean = mean(values);
    Some((mean, mean - half, mean + half))
}

/// Sign-flip test of a zero mean: share of ±1 patterns whose |sum| is at least the one seen. All 2^n
/// patterns for n ≤ 12, else 4,999 random ones and the one seen (METHOD, section 4). Exact under exchangeable
/// labels, whatever the noise.
pub fn sign_flip(values: &[f64], seed: u64) -> f64 {
    let seen = values.iter().sum::<f64>().abs() * (1.0 - 1e-12);
    let flipped = |bits: u64| -> f64 {
        values
            .iter()
            .enumerate()
            .map(|(i, value)| if bits >> (i % 64) & 1 == 1 { -value } else { *value })
            .sum()
    };
    if values.len() <= 12 {
        let patterns = 1u64 << values.len();
        let extreme = (0..patterns).filter(|&bits| flipped(bits).abs() >= seen).count();
        return extreme as f64 / patterns as f64;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draws = 4_999;
    let extreme = (0..draws)
        .filter(|_| {
            let sum: f64 = values.iter().map(|value| if rng.random() { *value } else { -value }).sum();
            sum.abs() >= seen
        })
        .count();
    (extreme as f64 + 1.0) / (f64::from(draws) + 1.0)
}

/// A number of the standard normal distribution (Box & Muller 1958).
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Skewness of a sample; 0 for fewer than three values or none that differ.
pub fn skewness(values: &[f64]) -> f64 {
    let (n, mean) = (values.len() as f64, mean(values));
    let moment = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / n;
    let variance = moment(2);
    if values.len() < 3 || variance <= 0.0 { 0.0 } else { moment(3) / variance.powf(1.5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_quantiles_are_those_of_the_tables() {
        for (freedom, published) in [(7.0, 2.3646), (11.0, 2.2010), (30.0, 2.0423)] {
            assert!((t_quantile(0.975, freedom) - published).abs() < 1e-4);
        }
        // c_8 of METHOD, section 4: t(7, 1 - .0118/2)/√8.
        assert!((t_quantile(1.0 - 0.0118 / 2.0, 7.0) / 8f64.sqrt() - 1.194).abs() < 2e-3);
    }

    #[test]
    fn tails_by_hand() {
        assert!((t_beyond(2.3646, 7.0) - 0.05).abs() < 1e-4);
        assert_eq!(binomial_beyond(0, 8, 0.01), 1.0);
        // 1 - 0.99^8, and one of eight at most.
        assert!((binomial_beyond(1, 8, 0.01) - 0.077_255).abs() < 1e-6);
        assert!(
            (binomial_beyond(2, 8, 0.01) - (1.0 - 0.99f64.powi(8) - 0.08 * 0.99f64.powi(7))).abs() < 1e-9
        );
    }

    #[test]
    fn wilsons_interval_is_that_of_the_books() {
        // Newcombe (1998), 81 of 263: 0.2553 to 0.3662; 0 of 20: 0 to 0.1611.
        let (low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        let (low, high) = wilson(0, 20);
        assert!(low < 1e-12 && (high - 0.1611).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn holm_steps_down_until_one_stays() {
        // 0.01 <= 0.05/4 and 0.015 <= 0.05/3; 0.03 > 0.05/2, so that 0.04 stays too.
        assert_eq!(holm(&[0.04, 0.01, 0.03, 0.015], 0.05), [false, true, false, true]);
        assert_eq!(holm(&[], 0.05), Vec::<bool>::new());
        assert_eq!(holm(&[f64::NAN, 0.001], 0.05), [false, true]);
    }

    #[test]
    fn an_interval_by_hand() {
        // Mean 3, s = √2.5, t(4) = 2.7764: 3 ± 1.9633.
        let (mean, low, high) = t_interval(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((mean - 3.0).abs() < 1e-12 && (low - 1.0367).abs() < 1e-3 && (high - 4.9633).abs() < 1e-3);
        assert_eq!(t_interval(&[1.0]), None);
    }

    #[test]
    fn sign_flips_by_hand() {
        // All of one sign: only that pattern and its mirror are as extreme.
        assert!((sign_flip(&[1.0, 2.0, 3.0], 0) - 2.0 / 8.0).abs() < 1e-12);
        // 1, 1, -1: |sum| = 1; six of eight patterns have |sum| 1 and two have 3.
        assert!((sign_flip(&[1.0, 1.0, -1.0], 0) - 1.0).abs() < 1e-12);
        assert!(sign_flip(&[1.0; 20], 1) < 0.001);
        assert!(sign_flip(&[1.0, -1.0].repeat(10), 1) > 0.9);
    }

    #[test]
    fn skewness_of_a_lone_peak() {
        assert!(skewness(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0]) > 1.5);
        assert!(skewness(&[1.0, 2.0, 3.0]).abs() < 1e-12);
        assert_eq!(skewness(&[1.0, 1.0, 1.0]), 0.0);
    }

    /// Intervals over blocks cover the truth in 95 % of runs, as the same stack twice shows.
    #[test]
    fn a_against_a_stays_quiet_and_a_planted_difference_is_found() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut different = |planted: f64| {
            let sessions = 2_000;
            let found = (0..sessions).filter(|_| {
                let d: Vec<f64> = (0..8).map(|_| planted + 0.02 * normal(&mut rng)).collect();
                let (_, low, high) = t_interval(&d).unwrap();
                (low > 0.0 || high < 0.0) && sign_flip(&d, 0) <= 0.05
            });
            found.count() as f64 / f64::from(sessions)
        };
        let alarms = different(0.0);
        assert!(alarms <= 0.065, "false alarms {alarms}");
        let power = different(0.05);
        assert!(power >= 0.95, "5 % found in {power}");
    }
}
