//! How many quads the next session's blocks should have (METHOD, section 3). A quad is four slices, ABBA or BAAB by a fair coin.

use crate::statistics::{mean, standard_deviation};

/// Fewest and most quads of a block.
pub const QUADS: (usize, usize) = (4, 32);

/// Where a session's variance comes from, in squares of log-ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variances {
    /// Of quads within a block, V_q.
    pub quad: f64,
    /// Between blocks beyond what their quads explain, V_b: what a fresh start changes.
    pub block: f64,
}

impl Variances {
    /// Of the quads' log-ratios block by block: `V_b = max(0, S² - V_q/q)` (Kalibera & Jones 2013, with the corrected
    /// estimator). Blocks may have lost quads: q is their harmonic mean, as the variance of a mean has it. `None` for fewer
    /// than two blocks of two quads.
    pub fn of(blocks: &[Vec<f64>]) -> Option<Self> {
        let blocks: Vec<&Vec<f64>> = blocks.iter().filter(|quads| quads.len() >= 2).collect();
        if blocks.len() < 2 {
            return None;
        }
        let freedom: f64 = blocks.iter().map(|quads| quads.len() as f64 - 1.0).sum();
        let squares: f64 =
            blocks.iter().map(|quads| standard_deviation(quads).powi(2) * (quads.len() as f64 - 1.0)).sum();
        let quad = squares / freedom;
        let per_quads = mean(&blocks.iter().map(|quads| 1.0 / quads.len() as f64).collect::<Vec<_>>());
        let means: Vec<f64> = blocks.iter().map(|quads| mean(quads)).collect();
        let block = (standard_deviation(&means).powi(2) - quad * per_quads).max(0.0);
        Some(Self { quad, block })
    }

    /// The standard deviation of a block of so many quads.
    pub fn block_sd(&self, quads: usize) -> f64 {
        (self.block + self.quad / quads.max(1) as f64).sqrt()
    }
}

/// Quads of the next session's blocks, `√((c_setup/4L)·V_q/V_b)`, within 4..=32: what makes the variance of a minute least
/// when a block costs `setup_s` seconds before its first slice and a slice is `slice_s` long. Blocks that differ by no
/// more than their quads explain ask for the most.
pub fn next_quads(variances: Variances, setup_s: f64, slice_s: f64) -> usize {
    let best = (setup_s / (4.0 * slice_s) * variances.quad / variances.block).sqrt();
    // Neither variance: there is nothing to gain.
    if best.is_nan() { QUADS.0 } else { (best.round() as usize).clamp(QUADS.0, QUADS.1) }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::statistics::normal;

    #[test]
    fn planted_variances_are_found() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let blocks: Vec<Vec<f64>> = (0..2_000)
            .map(|at| {
                let block = 0.02 * normal(&mut rng);
                // Some blocks lost quads.
                (0..8 - at % 3).map(|_| block + 0.06 * normal(&mut rng)).collect()
            })
            .collect();
        let found = Variances::of(&blocks).unwrap();
        assert!((found.quad / 0.0036 - 1.0).abs() < 0.05, "{found:?}");
        assert!((found.block / 0.0004 - 1.0).abs() < 0.25, "{found:?}");
        let pure = Variances { quad: 0.0036, block: 0.0004 };
        assert!((pure.block_sd(9) - 0.0008f64.sqrt()).abs() < 1e-12);
        // Set-up 5.5 s, 4L = 1 s: √(5.5 · 9) = 7.04.
        assert_eq!(next_quads(pure, 5.5, 0.25), 7);
        assert_eq!(next_quads(Variances { quad: 0.0036, block: 0.0 }, 5.5, 0.25), 32);
        assert_eq!(next_quads(Variances { quad: 0.0, block: 0.0 }, 5.5, 0.25), 4);
        assert_eq!(next_quads(Variances { quad: 1e-6, block: 1.0 }, 5.5, 0.25), 4);
        assert_eq!(Variances::of(&[vec![1.0, 2.0], vec![1.0]]), None);
        // The same blocks twice: nothing between them.
        assert_eq!(Variances::of(&[vec![-1.0, 1.0], vec![-1.0, 1.0]]).unwrap().block, 0.0);
    }
}
