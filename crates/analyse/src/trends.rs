//! G6: whether a stack gets faster or slower within a block, over all blocks: a warm-up that is too short, a leak, a
//! database that fills its cache.

use dyno_model::{
    output::{Metric, SelfCheckOutcome as Outcome},
    self_check::{TREND_FAIL, TREND_FLAG},
};

use crate::{
    FEWEST_BLOCKS,
    cells::Cell,
    self_checks::Finding,
    statistics::{holm, mean, standard_deviation, t_beyond},
};

/// How often a run without any trend may be flagged, and how often a run whose trends are all within the limit may lose a
/// number: over all its cells together (Holm), whose number a plan chooses.
///
/// METHOD was written for two stacks and says 95 % for each test alone. Of clean runs of 32 cells in 8 blocks that flags 91 to
/// 96 in a hundred, and refuses something in 20 where halves differ by a noise of 5 %, in 58 at 10 %. With Holm 3 to 5 are
/// flagged and none is refused, or one in a hundred at a noise of 30 % (`a_clean_run_loses_nothing_to_the_trend_check`). The
/// price: among many cells only trends of several times the noise are found in one of them.
const FLAG_LEVEL: f64 = 0.05;
const FAIL_LEVEL: f64 = 0.01;

/// A trend of one cell.
struct Trend<'a> {
    cell: &'a Cell,
    part: &'static str,
    refuses: &'static [Metric],
    mean: f64,
    blocks: usize,
    /// Probability of such a mean, or one further off, without a trend …
    none: f64,
    /// … and with one of [`TREND_FAIL`].
    small: f64,
}

/// Looks at the rate and at the median latency of each cell.
pub fn g6(cells: &[Cell]) -> Vec<Finding> {
    let (mut trends, mut findings) = (Vec::new(), Vec::new());
    for cell in cells {
        for (part, values, refuses) in [
            // Saturated, CPU per request is the rate's inverse.
            ("rate", &cell.rate_trend, &[Metric::Throughput, Metric::CpuPerRequest][..]),
            ("p50", &cell.latency_trend, &[Metric::LatencyP50, Metric::LatencyP90, Metric::LatencyP99][..]),
        ] {
            let values: Vec<f64> = values.iter().flatten().copied().collect();
            if values.len() >= FEWEST_BLOCKS {
                trends.push(trend(cell, part, refuses, &values));
            } else {
                let why = format!("it needs {FEWEST_BLOCKS} blocks with two slices of a kind or more");
                findings.push(Finding::not_made("G6", cell, part, &why));
            }
        }
    }
    let flagged = holm(&trends.iter().map(|trend| trend.none).collect::<Vec<_>>(), FLAG_LEVEL);
    let failed = holm(&trends.iter().map(|trend| trend.small).collect::<Vec<_>>(), FAIL_LEVEL);
    for ((trend, flagged), failed) in trends.into_iter().zip(flagged).zip(failed) {
        findings.push(trend.finding(flagged, failed));
    }
    findings
}

fn trend<'a>(cell: &'a Cell, part: &'static str, refuses: &'static [Metric], values: &[f64]) -> Trend<'a> {
    let n = values.len() as f64;
    let (mean, error) = (mean(values), (standard_deviation(values) / n.sqrt()).max(1e-12));
    let beyond = |limit: f64| match mean.abs() - limit {
        over if over > 0.0 => t_beyond(over / error, n - 1.0),
        _ => 1.0,
    };
    Trend { cell, part, refuses, mean, blocks: values.len(), none: beyond(0.0), small: beyond(TREND_FAIL) }
}

impl Trend<'_> {
    fn finding(self, flagged: bool, failed: bool) -> Finding {
        let outcome = match (failed, flagged && self.mean.abs() > TREND_FLAG) {
            (true, _) => Outcome::Fail,
            (false, true) => Outcome::Flag,
            (false, false) => Outcome::Pass,
        };
        let words = format!(
            "{:+.1} % from the first to the second half of {} blocks (p = {:.2})",
            self.mean.exp_m1() * 100.0,
            self.blocks,
            self.none
        );
        // The least probable is the worst.
        Finding::of("G6", self.cell, self.part, words).judged(outcome, 1.0 - self.none, self.refuses)
    }
}

#[cfg(test)]
mod tests {
    use dyno_model::{Operation, load::Counts};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const CELLS: usize = 32;
    const BLOCKS: usize = 8;

    /// Cells of a run whose trends are noise of this size, a tenth of the blocks `burst` times as noisy.
    fn clean(rng: &mut ChaCha8Rng, noise: f64, burst: f64) -> Vec<Cell> {
        let mut value = || {
            let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
            let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
            Some(normal * noise * if rng.random_bool(0.1) { burst } else { 1.0 })
        };
        (0..CELLS)
            .map(|_| Cell {
                stack: "made/up".parse().unwrap(),
                operation: Operation::Hello,
                throughput: Vec::new(),
                latency: Vec::new(),
                disturbed: (0, 0),
                uneven: 0,
                losses: Vec::new(),
                fits: Vec::new(),
                counts: Counts::default(),
                connections: dyno_model::load::ConnectionCounts::default(),
                pacing: Vec::new(),
                pacing_of_trials: false,
                rate_trend: (0..BLOCKS).map(|_| value()).collect(),
                latency_trend: (0..BLOCKS).map(|_| value()).collect(),
            })
            .collect()
    }

    fn any(findings: &[Finding], outcome: Outcome) -> bool {
        findings.iter().any(|finding| finding.outcome == outcome)
    }

    /// What METHOD's 95 % for each test alone would flag and fail.
    fn uncorrected(cells: &[Cell]) -> (bool, bool) {
        let all: Vec<(f64, f64, f64)> = cells
            .iter()
            .flat_map(|cell| [&cell.rate_trend, &cell.latency_trend])
            .filter_map(|values| {
                crate::statistics::t_interval(&values.iter().flatten().copied().collect::<Vec<_>>())
            })
            .collect();
        let flag =
            |(mean, low, high): &(f64, f64, f64)| (*low > 0.0 || *high < 0.0) && mean.abs() > TREND_FLAG;
        let fail = |(_, low, high): &(f64, f64, f64)| *low > TREND_FAIL || *high < -TREND_FAIL;
        (all.iter().any(flag), all.iter().any(fail))
    }

    #[test]
    fn a_clean_run_loses_nothing_to_the_trend_check() {
        let runs = 1_000;
        for (noise, burst) in [(0.02, 1.0), (0.05, 1.0), (0.10, 1.0), (0.05, 5.0), (0.30, 1.0)] {
            let mut rng = ChaCha8Rng::seed_from_u64(6);
            let (mut flagged, mut failed, mut old_flagged, mut old_failed) = (0, 0, 0, 0);
            for _ in 0..runs {
                let cells = clean(&mut rng, noise, burst);
                let findings = g6(&cells);
                failed += u32::from(any(&findings, Outcome::Fail));
                flagged += u32::from(any(&findings, Outcome::Flag));
                let (old_flag, old_fail) = uncorrected(&cells);
                old_flagged += u32::from(old_flag);
                old_failed += u32::from(old_fail);
            }
            println!(
                "noise {noise}, bursts x{burst}: flagged {flagged}, failed {failed} of {runs}; \
                 uncorrected {old_flagged}, {old_failed}"
            );
            assert!(failed * 100 <= runs, "noise {noise}: {failed} clean runs failed");
            // 5 % and three standard errors of a count of a thousand runs.
            assert!(flagged <= 70, "noise {noise}: {flagged} clean runs flagged");
        }
    }

    /// A planted trend of one cell among all, in runs as noisy as those on two cores.
    #[test]
    fn planted_trends_are_found_and_small_ones_are_not_refused() {
        let runs = 200;
        let found = |planted: f64, outcome: Outcome| {
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let found = (0..runs).filter(|_| {
                let mut cells = clean(&mut rng, 0.03, 1.0);
                cells[3].rate_trend.iter_mut().flatten().for_each(|trend| *trend += planted);
                let findings = g6(&cells);
                let first = findings.iter().filter(|finding| finding.part == "rate").nth(3).unwrap();
                first.outcome == outcome && (outcome != Outcome::Fail || first.refuses.len() == 2)
            });
            found.count()
        };
        assert!(found(0.15, Outcome::Fail) >= 190, "{}", found(0.15, Outcome::Fail));
        assert!(found(-0.15, Outcome::Fail) >= 190);
        assert!(found(0.02, Outcome::Fail) <= 2);
        assert!(found(0.08, Outcome::Pass) <= 60, "{}", found(0.08, Outcome::Pass));
    }

    #[test]
    fn too_few_blocks_make_no_trend() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut cells = clean(&mut rng, 0.03, 1.0);
        cells[0].rate_trend[0] = None;
        let findings = g6(&cells);
        assert_eq!(findings.iter().filter(|finding| finding.outcome == Outcome::NotMade).count(), 1);
        assert!(g6(&[]).is_empty());
    }
}
