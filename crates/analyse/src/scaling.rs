//! Scaling over workers: Gunther's Universal Scalability Law `X(N) = λN / (1 + σ(N-1) + κN(N-1))`, σ, κ ≥ 0, fitted to the
//! logarithms of each block's throughputs, with t over blocks (METHOD, section 5).
//!
//! Logarithms, because noise of throughput is a share of it; a fit of throughputs themselves is decided by the largest.

mod table;

pub use table::{Table, table};

use dyno_model::scaling::{Figure, Peak, ScalingResult};

use crate::{
    FEWEST_BLOCKS,
    statistics::{mean, t_interval},
};

/// The law says nothing beyond so many times the largest N that was measured.
pub const EXTRAPOLATION: f64 = 2.0;
/// Largest deviation from `N = X(R + Z)` in a closed loop, as a share.
pub const CLOSED_LOOP_LIMIT: f64 = 0.02;
/// Distinct N that three coefficients need at least; with three the law goes through every point.
pub const FEWEST_POINTS: usize = 3;

/// One measured point: how many (workers, connections) and their throughput in requests per second.
pub type Point = (f64, f64);

/// What can't be fitted.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ScalingError {
    /// Not enough blocks for an interval.
    #[error("{0} blocks; {FEWEST_BLOCKS} are needed")]
    Blocks(usize),
    /// Not enough points in a block.
    #[error(
        "block {block} has {points} different numbers of workers; {FEWEST_POINTS} are needed, for instance 1,2,4"
    )]
    Points {
        /// The block, counted from 0.
        block: usize,
        /// Different N in it.
        points: usize,
    },
    /// A point that isn't one.
    #[error(
        "block {block}: {n} workers with {rate_per_s} requests/s; both must be above 0, and workers 1 or more"
    )]
    Point {
        /// The block, counted from 0.
        block: usize,
        /// Its N.
        n: f64,
        /// Its throughput.
        rate_per_s: f64,
    },
    /// Asked about a number that is too large.
    #[error(
        "nothing can be said of {n} workers: measured were up to {largest}, and twice as many is the limit"
    )]
    Beyond {
        /// The N asked about.
        n: f64,
        /// The largest N measured.
        largest: f64,
    },
}

/// Coefficients of the law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// Throughput of one, in requests per second.
    pub lambda_per_s: f64,
    /// Contention, 0 or more.
    pub sigma: f64,
    /// Coherency, 0 or more.
    pub kappa: f64,
}

impl Law {
    /// Throughput of `n`, in requests per second.
    pub fn at(&self, n: f64) -> f64 {
        self.lambda_per_s * n / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }

    /// N of the highest throughput, `√((1-σ)/κ)`; infinite where there is none, 1 where one is best.
    pub fn peak(&self) -> f64 {
        let squared = (1.0 - self.sigma).max(0.0) / self.kappa;
        if squared.is_nan() { 1.0 } else { squared.sqrt().max(1.0) }
    }

    /// Least squares on the logarithms of throughput, by Gauss and Newton with bounds.
    pub fn fit(points: &[Point]) -> Self {
        minimise(|law| points.iter().map(|(n, rate)| (rate / law.at(*n)).ln()).collect(), points)
    }
}

/// The laws of all blocks.
#[derive(Clone, Debug)]
pub struct Scaling {
    laws: Vec<Law>,
    largest: f64,
    misfit: f64,
}

impl Scaling {
    /// Fits each block's points.
    ///
    /// # Errors
    /// Too few blocks or points, or a point that isn't one.
    pub fn fit(blocks: &[Vec<Point>]) -> Result<Self, ScalingError> {
        if blocks.len() < FEWEST_BLOCKS {
            return Err(ScalingError::Blocks(blocks.len()));
        }
        for (block, points) in blocks.iter().enumerate() {
            check(block, points)?;
        }
        let all = || blocks.iter().flatten();
        let laws: Vec<Law> = blocks.iter().map(|points| Law::fit(points)).collect();
        let largest = all().map(|(n, _)| *n).fold(0.0, f64::max);
        let mut misfit = 0f64;
        for (n, _) in all() {
            let off = blocks.iter().zip(&laws).flat_map(|(points, law)| {
                points.iter().filter(|point| point.0 == *n).map(|(n, rate)| (rate / law.at(*n)).ln())
            });
            misfit = misfit.max(mean(&off.collect::<Vec<_>>()).abs());
        }
        Ok(Self { laws, largest, misfit })
    }

    /// Throughput of `n` in requests per second, with its 95 % interval over blocks, up to twice the largest N measured.
    ///
    /// # Errors
    /// `n` is larger.
    pub fn at(&self, n: f64) -> Result<Figure, ScalingError> {
        if n > self.largest * EXTRAPOLATION {
            return Err(ScalingError::Beyond { n, largest: self.largest });
        }
        Ok(self.geometric(|law| law.at(n)))
    }

    /// Coefficients and peak with their intervals.
    pub fn result(&self) -> ScalingResult {
        let peak = self.peak();
        ScalingResult {
            lambda_per_s: self.geometric(|law| law.lambda_per_s),
            sigma: self.arithmetic(|law| law.sigma),
            kappa: self.arithmetic(|law| law.kappa),
            largest: self.largest,
            misfit: self.misfit.exp_m1(),
            blocks: self.laws.len() as u32,
            reason: reason(&peak, self.largest),
            peak,
        }
    }

    /// The peak is averaged as its inverse: a block without a peak is then a zero and not an infinity.
    fn peak(&self) -> Peak {
        let inverse = self.arithmetic(|law| 1.0 / law.peak());
        let told =
            |inverse: f64| Some((1.0 / inverse).max(1.0)).filter(|n| *n <= self.largest * EXTRAPOLATION);
        Peak { estimate: told(inverse.estimate), low: told(inverse.high), high: told(inverse.low) }
    }

    fn geometric(&self, of: impl Fn(&Law) -> f64) -> Figure {
        let logs = interval(self.laws.iter().map(|law| of(law).ln()));
        Figure { estimate: logs.estimate.exp(), low: logs.low.exp(), high: logs.high.exp() }
    }

    /// Of something that can't be below 0.
    fn arithmetic(&self, of: impl Fn(&Law) -> f64) -> Figure {
        let figure = interval(self.laws.iter().map(of));
        Figure { low: figure.low.max(0.0), ..figure }
    }
}

fn interval(values: impl Iterator<Item = f64>) -> Figure {
    let values: Vec<f64> = values.collect();
    let (estimate, low, high) = t_interval(&values).unwrap_or((f64::NAN, f64::NAN, f64::NAN));
    Figure { estimate, low, high }
}

fn check(block: usize, points: &[Point]) -> Result<(), ScalingError> {
    let fine = |(n, rate): &&Point| n.is_finite() && *n >= 1.0 && rate.is_finite() && *rate > 0.0;
    if let Some(&(n, rate_per_s)) = points.iter().find(|point| !fine(point)) {
        return Err(ScalingError::Point { block, n, rate_per_s });
    }
    let mut distinct: Vec<f64> = points.iter().map(|(n, _)| *n).collect();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    match distinct.len() {
        points if points < FEWEST_POINTS => Err(ScalingError::Points { block, points }),
        _ => Ok(()),
    }
}

fn reason(peak: &Peak, largest: f64) -> String {
    match (peak.estimate, peak.low, peak.high) {
        (Some(peak), _, Some(high)) if high <= largest => {
            format!("highest at {peak:.1}; more make it slower")
        }
        (Some(peak), ..) if peak <= largest => format!("highest at {peak:.1}, or not yet"),
        (Some(peak), ..) => {
            format!("highest at {peak:.1} if the law holds beyond the {largest} that were measured")
        }
        (None, Some(low), _) => format!("no peak in sight; there could be one from {low:.1} on"),
        (None, ..) => format!("no peak up to {:.0}, twice what was measured", largest * EXTRAPOLATION),
    }
}

/// How far a closed loop of `clients` is from `N = X(R + Z)`, as a share of N: with throughput X, response time R and think
/// time Z in seconds. Beyond [`CLOSED_LOOP_LIMIT`] something that was counted wasn't what was timed.
pub fn closed_loop_gap(clients: f64, rate_per_s: f64, response_s: f64, think_s: f64) -> f64 {
    (rate_per_s * (response_s + think_s) / clients - 1.0).abs()
}

/// Least squares over λ (as its logarithm), σ and κ with σ, κ ≥ 0: Levenberg and Marquardt's damping, steps projected on the
/// bounds, from several starts because a start at a bound may stay there.
fn minimise(residuals: impl Fn(&Law) -> Vec<f64>, points: &[Point]) -> Law {
    let law = |x: [f64; 3]| Law { lambda_per_s: x[0].exp(), sigma: x[1], kappa: x[2] };
    let squares = |x: [f64; 3]| residuals(&law(x)).iter().map(|r| r * r).sum::<f64>();
    let first = points.iter().map(|(n, rate)| rate / n).fold(0.0, f64::max).ln();
    let largest = points.iter().map(|(n, _)| *n).fold(1.0, f64::max);
    let starts = [(0.0, 0.0), (0.05, 0.0), (0.01, 0.1 / largest / largest), (0.3, 1.0 / largest / largest)];
    let mut best = ([first, 0.0, 0.0], f64::INFINITY);
    for (sigma, kappa) in starts {
        let mut x = [first, sigma, kappa];
        let (mut at, mut damping) = (squares(x), 1e-3);
        for _ in 0..500 {
            let (gradient, curvature) = normal(&residuals, &law, x);
            // A bound that the gradient pushes against holds its coordinate.
            let free: [bool; 3] = std::array::from_fn(|i| i == 0 || x[i] > 0.0 || gradient[i] < 0.0);
            let step = solve(curvature, gradient, free, damping);
            let next: [f64; 3] =
                std::array::from_fn(|i| if i == 0 { x[0] + step[0] } else { (x[i] + step[i]).max(0.0) });
            let there = squares(next);
            if there < at {
                let gain = at - there;
                (x, at, damping) = (next, there, damping / 10.0);
                if gain <= 1e-15 * at {
                    break;
                }
            } else if damping > 1e12 {
                break;
            } else {
                damping *= 10.0;
            }
        }
        if at < best.1 {
            best = (x, at);
        }
    }
    law(best.0)
}

type Matrix = [[f64; 3]; 3];

/// Gradient `Jᵀr` and curvature `JᵀJ`, with central differences.
fn normal(
    residuals: &impl Fn(&Law) -> Vec<f64>,
    law: &impl Fn([f64; 3]) -> Law,
    x: [f64; 3],
) -> ([f64; 3], Matrix) {
    let here = residuals(&law(x));
    let columns: [Vec<f64>; 3] = std::array::from_fn(|i| {
        let width = 1e-6 * if i == 0 { 1.0 } else { x[i].max(1e-3) };
        let moved = |by: f64| {
            let mut moved = x;
            moved[i] += by;
            residuals(&law(moved))
        };
        moved(width).iter().zip(moved(-width)).map(|(up, down)| (up - down) / (2.0 * width)).collect()
    });
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let gradient = std::array::from_fn(|i| dot(&columns[i], &here));
    let curvature = std::array::from_fn(|i| std::array::from_fn(|j| dot(&columns[i], &columns[j])));
    (gradient, curvature)
}

/// The step of the free coordinates: `(JᵀJ + damping diag(JᵀJ)) step = -Jᵀr`, by elimination.
fn solve(mut matrix: Matrix, gradient: [f64; 3], free: [bool; 3], damping: f64) -> [f64; 3] {
    let mut right = gradient.map(|slope| -slope);
    for i in 0..3 {
        matrix[i][i] = matrix[i][i] * (1.0 + damping) + f64::MIN_POSITIVE;
        for j in (0..3).filter(|&j| j != i && !(free[i] && free[j])) {
            matrix[i][j] = 0.0;
        }
        if !free[i] {
            right[i] = 0.0;
        }
    }
    for i in 0..3 {
        for below in i + 1..3 {
            let factor = matrix[below][i] / matrix[i][i];
            let row = matrix[i];
            matrix[below].iter_mut().zip(row).for_each(|(cell, above)| *cell -= factor * above);
            right[below] -= factor * right[i];
        }
    }
    for i in (0..3).rev() {
        let known: f64 = (i + 1..3).map(|j| matrix[i][j] * right[j]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC SDM91 on a Sun SPARCcenter 2000: R package `usl`, data set `specsdm91`.
    const SPECSDM91: [Point; 7] = [
        (1.0, 64.9),
        (18.0, 995.9),
        (36.0, 1652.4),
        (72.0, 1853.2),
        (108.0, 1828.9),
        (144.0, 1775.0),
        (216.0, 1702.2),
    ];

    fn near(a: f64, b: f64, share: f64) -> bool {
        (a / b - 1.0).abs() < share
    }

    #[test]
    fn the_optimiser_finds_the_coefficients_that_the_usl_package_publishes() {
        // That package fits throughput itself: alpha .0277285, beta .0001044, gamma 89.9952330, peak 1884 at 96.52.
        let law = minimise(|law| SPECSDM91.iter().map(|(n, rate)| rate - law.at(*n)).collect(), &SPECSDM91);
        assert!(near(law.sigma, 0.0277285, 1e-4), "{law:?}");
        assert!(near(law.kappa, 0.0001044, 1e-3) && near(law.lambda_per_s, 89.9952330, 1e-5), "{law:?}");
        assert!(near(law.peak(), 96.51956, 1e-4) && near(law.at(law.peak()), 1884.0, 1e-3));
    }

    #[test]
    fn a_table_with_published_coefficients_whatever_the_scale() {
        // The same package's test of `coef`: alpha .02, beta .02, gamma 1.
        let table = [(1.0, 1.0), (2.0, 1.8868), (4.0, 3.0769), (6.0, 3.5294), (8.0, 3.5398), (10.0, 3.3557)];
        let law = Law::fit(&table);
        assert!(near(law.sigma, 0.02, 1e-2) && near(law.kappa, 0.02, 1e-2), "{law:?}");
        assert!(near(law.lambda_per_s, 1.0, 1e-3));
        // And of `peak.scalability`.
        assert!(near(Law { lambda_per_s: 1.0, sigma: 0.001, kappa: 0.00001 }.peak(), 316.0696, 1e-4));
    }

    /// Blocks of a law, each off by a factor and each point by a little.
    fn blocks(law: Law, noise: f64) -> Vec<Vec<Point>> {
        let wobble = |i: usize| noise * [0.9, -1.1, 0.3, -0.5, 1.2, -0.2, 0.6, -1.3][i % 8];
        (0..8)
            .map(|block| {
                let point = |(i, n): (usize, f64)| {
                    (n, law.at(n) * (wobble(block) + wobble(block * 3 + i * 5 + 1)).exp())
                };
                [1.0, 2.0, 3.0, 4.0, 6.0, 8.0].into_iter().enumerate().map(point).collect()
            })
            .collect()
    }

    #[test]
    fn intervals_hold_the_truth() {
        let truth = Law { lambda_per_s: 1_000.0, sigma: 0.08, kappa: 0.03 };
        let scaling = Scaling::fit(&blocks(truth, 0.01)).unwrap();
        let result = scaling.result();
        let holds = |figure: Figure, truth: f64| figure.low <= truth && truth <= figure.high;
        assert!(holds(result.lambda_per_s, 1_000.0) && holds(result.sigma, 0.08), "{result:?}");
        assert!(holds(result.kappa, 0.03) && holds(scaling.at(16.0).unwrap(), truth.at(16.0)));
        let peak = (result.peak.low.unwrap(), result.peak.high.unwrap());
        assert!(peak.0 < truth.peak() && truth.peak() < peak.1 && peak.1 < 8.0, "{peak:?}");
        assert!(result.misfit < 0.02 && result.reason.starts_with("highest at 5."), "{result:?}");
        assert_eq!(scaling.at(16.1), Err(ScalingError::Beyond { n: 16.1, largest: 8.0 }));
    }

    #[test]
    fn what_scales_evenly_has_no_peak() {
        let result =
            Scaling::fit(&blocks(Law { lambda_per_s: 50.0, sigma: 0.0, kappa: 0.0 }, 0.0)).unwrap().result();
        assert_eq!(result.peak, Peak { estimate: None, low: None, high: None });
        assert!(result.sigma.estimate < 1e-6 && result.kappa.estimate < 1e-6, "{result:?}");
        assert!(near(result.lambda_per_s.estimate, 50.0, 1e-6));
        assert_eq!(result.reason, "no peak up to 16, twice what was measured");
        // Faster than evenly: the bounds hold.
        let law = Law::fit(&[(1.0, 10.0), (2.0, 24.0), (4.0, 60.0)]);
        assert_eq!((law.sigma, law.kappa), (0.0, 0.0));
    }

    #[test]
    fn refuses_what_has_no_answer() {
        let few = vec![vec![(1.0, 10.0), (2.0, 19.0), (2.0, 20.0)]; 8];
        assert_eq!(Scaling::fit(&few).unwrap_err(), ScalingError::Points { block: 0, points: 2 });
        assert_eq!(Scaling::fit(&few[..3]).unwrap_err(), ScalingError::Blocks(3));
        let bad = vec![vec![(1.0, 10.0), (2.0, 19.0), (0.0, 20.0)]; 8];
        assert!(Scaling::fit(&bad).unwrap_err().to_string().starts_with("block 0: 0 workers with 20"));
    }

    #[test]
    fn closed_loops_by_hand() {
        // 64 clients, 1,280/s: 50 ms each, of which 10 ms thinking.
        assert!(closed_loop_gap(64.0, 1_280.0, 0.040, 0.010) < 1e-9);
        assert!(closed_loop_gap(64.0, 1_280.0, 0.042, 0.010) > CLOSED_LOOP_LIMIT);
    }
}
