//! Intervals for sessions that are resumed, or looked at, whenever somebody likes: valid at all numbers of blocks at once
//! (Wang & Ramdas, arXiv 2310.03722), and wider for it.
//!
//! Where the radius comes from, for whoever checks it: let H0 be N(0, σ²) and H1 give the mean μ = σδ with δ ~ N(0, 1/c²).
//! What is left of n values when their scale is forgotten has the density ∝ |Σ|^(-1/2) (x'Σ⁻¹x)^(-n/2), with Σ = I under H0
//! and Σ = I + 11'/c² under H1. With m the mean and ŝ² the variance divided by n, the ratio of the two is
//! `M = √(c²/(n+c²)) · ((ŝ²+m²) / (ŝ² + m²·c²/(n+c²)))^(n/2)`, a martingale that starts at 1. By Ville's inequality it ever
//! reaches 1/α with the probability α at most. `M < 1/α` solved for u = m²/(ŝ²+m²) is
//! `u < r = (n+c²)/n · (1 - (α²c²/(n+c²))^(1/n))`, that is |m| < ŝ√(r/(1-r)). METHOD has c² = 2.

use crate::{looks::Interval, statistics::mean};

/// Weight of the mixture's prior, in blocks (c² above). At 2 the interval is tightest, compared with others, in the first
/// dozens of blocks.
const PRIOR: f64 = 2.0;

/// The half-width in standard deviations (those divided by n) at `n` blocks, for intervals that ever miss with at most the
/// probability `level`. `None` where so few blocks exclude nothing: below six at 5 %.
pub fn radius(n: usize, level: f64) -> Option<f64> {
    let blocks = n as f64;
    let inner = (level * level * PRIOR / (blocks + PRIOR)).powf(1.0 / blocks);
    let r = (blocks + PRIOR) / blocks * (1.0 - inner);
    (n > 0 && r < 1.0).then(|| (r / (1.0 - r)).sqrt())
}

/// The interval of the mean of `d`, one of a sequence that ever misses with at most the probability `level` under normal
/// noise, whenever it is looked at. `None` for too few blocks.
pub fn interval(d: &[f64], level: f64) -> Option<Interval> {
    let radius = radius(d.len(), level)?;
    let mean = mean(d);
    let variance = d.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / d.len() as f64;
    Some(Interval::around(mean, radius * variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{looks::Looks, statistics::normal};

    /// The martingale as its two densities, without the algebra that leads to the radius.
    fn martingale(d: &[f64]) -> f64 {
        let n = d.len() as f64;
        let squares: f64 = d.iter().map(|x| x * x).sum();
        let sum: f64 = d.iter().sum();
        // Sherman & Morrison: x'(I + 11'/c²)⁻¹x = x'x - (1'x)²/(c² + n); |I + 11'/c²| = 1 + n/c².
        let alternative = squares - sum * sum / (PRIOR + n);
        (1.0 + n / PRIOR).powf(-0.5) * (squares / alternative).powf(n / 2.0)
    }

    #[test]
    fn the_ends_are_where_the_martingale_is_one_over_the_level() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for n in [6, 8, 20, 100] {
            let d: Vec<f64> = (0..n).map(|_| 0.1 + normal(&mut rng)).collect();
            let interval = interval(&d, 0.05).unwrap();
            for end in [interval.low, interval.high] {
                let shifted: Vec<f64> = d.iter().map(|x| x - end).collect();
                assert!((martingale(&shifted) - 20.0).abs() < 1e-6, "{n}: {}", martingale(&shifted));
            }
        }
    }

    #[test]
    fn fewer_than_six_blocks_exclude_nothing() {
        assert_eq!(radius(0, 0.05), None);
        assert_eq!(radius(5, 0.05), None);
        assert!(radius(6, 0.05).is_some());
        assert_eq!(interval(&[0.0; 5], 0.05), None);
    }

    /// Looked at after every block from 8 to 200.
    #[test]
    fn continuous_looking_misses_at_most_as_often_as_stated() {
        let sessions = 20_000;
        let radii: Vec<f64> = (0..=200).map(|n| radius(n, 0.05).unwrap_or(f64::INFINITY)).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let missed = (0..sessions).filter(|_| {
            let (mut sum, mut squares, mut missed) = (0.0, 0.0, false);
            for n in 1..=200 {
                let x = normal(&mut rng);
                sum += x;
                squares += x * x;
                let mean: f64 = sum / f64::from(n);
                let variance = squares / f64::from(n) - mean * mean;
                missed |= n >= 8 && mean.abs() > radii[n as usize] * variance.sqrt();
            }
            missed
        });
        let share = missed.count() as f64 / f64::from(sessions);
        // Ville's inequality is no equality: two hundred blocks use up a part of the 5 %.
        assert!((0.01..=0.05).contains(&share), "{share}");
    }

    #[test]
    fn it_costs_width_against_looks_that_were_planned() {
        let looks = Looks::default();
        for n in [8usize, 12, 16, 24, 32, 48] {
            let planned = looks.reached(n).unwrap().c;
            // The radius is in standard deviations divided by n.
            let any = radius(n, 0.05).unwrap() * ((n as f64 - 1.0) / n as f64).sqrt();
            assert!(any > planned && any < 1.7 * planned, "{n}: {any} against {planned}");
        }
    }
}
