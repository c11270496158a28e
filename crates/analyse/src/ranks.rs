//! Rank intervals of K stacks: which ranks each could have, all stacks considered at once (Mogstad, Romano,
//! Shaikh, Wilhelm, REStud 2024; METHOD, section 4). Rows whose intervals overlap are ties.

use dyno_model::{
    Operation,
    output::{Estimate, Metric},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    FIRST_BLOCKS, Series,
    health::Health,
    spread::{Row, spread},
};

const DRAWS: usize = 20_000;
const SEED: u64 = 20_260_303;
/// How often any rank of a table may lie outside its interval.
pub const LEVEL: f64 = 0.05;

/// Fills in the ranks of every operation and metric.
pub fn rank(results: &mut [Estimate], series: &[Series], health: &Health) {
    if !health.no_verdict.is_empty() {
        return;
    }
    let mut keys: Vec<_> = results.iter().map(|one| (one.operation, one.metric)).collect();
    keys.sort_unstable();
    keys.dedup();
    for (operation, metric) in keys {
        let told = |one: &Series| {
            results.iter().any(|r| r.stack == one.stack && r.operation == operation && r.metric == metric)
        };
        let ranked: Vec<&Series> =
            ranked(series, operation, metric, health).into_iter().filter(|one| told(one)).collect();
        let Some(ranks) = rank_intervals(&logs(&ranked, metric), LEVEL) else { continue };
        for (one, rank) in ranked.iter().zip(ranks) {
            let row = results
                .iter_mut()
                .find(|r| r.stack == one.stack && r.operation == operation && r.metric == metric);
            if let Some(row) = row {
                row.rank = Some(rank);
            }
        }
    }
}

/// The series that a table of this operation and metric ranks: those of enough blocks that nothing refuses. One that failed too
/// often has no interval; it leaves the table instead of taking everybody's ranks.
pub fn ranked<'a>(
    series: &'a [Series],
    operation: Operation,
    metric: Metric,
    health: &Health,
) -> Vec<&'a Series> {
    let of = series.iter().filter(|one| one.operation == operation && one.metric == metric);
    let enough = of.filter(|one| one.values.iter().flatten().count() >= FIRST_BLOCKS);
    enough.filter(|one| health.refusal(&one.stack, operation, metric).is_none()).collect()
}

/// Logarithms of the series' blocks, more being better.
pub fn logs(series: &[&Series], metric: Metric) -> Vec<Row> {
    let sign = if metric.more_is_better() { 1.0 } else { -1.0 };
    let row = |one: &&Series| one.values.iter().map(|value| value.map(|value| sign * value.ln())).collect();
    series.iter().map(row).collect()
}

/// For each row of `table` (one value per block, more is better; cells may be missing) its first and last possible rank, all
/// rows' right with a probability of `1 - level`. `None` for fewer than two rows, or a row of fewer than three blocks.
///
/// METHOD asks for ten blocks. With moderated variances three are enough: how often all true ranks are within their intervals is in
/// this module's tests and, over noisy machines, in `tests/tables.rs`.
pub fn rank_intervals(table: &[Row], level: f64) -> Option<Vec<(u32, u32)>> {
    let found = spread(table)?;
    if found.blocks.iter().any(|&blocks| blocks < FIRST_BLOCKS) {
        return None;
    }
    let freedom = found.freedom.iter().copied().fold(f64::INFINITY, f64::min);
    let q = critical(&found.variances, freedom, level);
    let of_means: Vec<f64> = found
        .variances
        .iter()
        .zip(&found.blocks)
        .map(|(variance, &blocks)| variance / blocks as f64)
        .collect();
    Some(rank_sets(&found.levels, &of_means, q))
}

/// First and last possible rank of each estimate (more is better), given the variances of the estimates' errors and how many
/// standard errors a difference must exceed.
pub fn rank_sets(estimates: &[f64], variances: &[f64], q: f64) -> Vec<(u32, u32)> {
    let rows = estimates.len();
    // Whether l is surely better than j.
    let better = |l: usize, j: usize| estimates[l] - estimates[j] > q * (variances[j] + variances[l]).sqrt();
    (0..rows)
        .map(|j| {
            let above = (0..rows).filter(|&l| better(l, j)).count();
            let below = (0..rows).filter(|&l| better(j, l)).count();
            (1 + above as u32, (rows - below) as u32)
        })
        .collect()
}

/// The point that the largest studentised difference of any two rows exceeds with the probability `level`, by 20,000 draws of a fixed
/// seed. `freedom` is that of the variances; infinite where they are known.
pub fn critical(variances: &[f64], freedom: f64, level: f64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut normal = move || {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    };
    let chi_squared = freedom.is_finite().then(|| freedom.round().max(1.0) as usize);
    let mut largest: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let z: Vec<f64> = variances.iter().map(|variance| normal() * variance.sqrt()).collect();
            let g = chi_squared
                .map_or(1.0, |freedom| (0..freedom).map(|_| normal().powi(2)).sum::<f64>() / freedom as f64);
            let mut most = 0f64;
            for j in 0..z.len() {
                for l in 0..j {
                    let scale = ((variances[j] + variances[l]) * g).sqrt().max(f64::MIN_POSITIVE);
                    most = most.max((z[j] - z[l]).abs() / scale);
                }
            }
            most
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    largest[((DRAWS as f64 * (1.0 - level)) as usize).min(DRAWS - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of eight blocks around a mean, with a wobble that differs by row.
    fn row(mean: f64, phase: usize) -> Vec<Option<f64>> {
        let wobble = [0.01, -0.02, 0.015, -0.005, 0.02, -0.01, 0.005, -0.015];
        (0..8).map(|i| Some(mean + wobble[(i * 3 + phase) % 8])).collect()
    }

    #[test]
    fn clear_rows_get_one_rank_and_equal_rows_share() {
        let ranks = rank_intervals(&[row(1.0, 0), row(2.0, 1), row(2.001, 5), row(3.0, 2)], LEVEL).unwrap();
        assert_eq!(ranks, [(4, 4), (2, 3), (2, 3), (1, 1)]);
    }

    #[test]
    fn too_few_blocks_or_rows_give_no_rank() {
        assert_eq!(rank_intervals(&[vec![Some(1.0); 2], vec![Some(2.0); 2]], LEVEL), None);
        assert_eq!(rank_intervals(&[row(1.0, 0)], LEVEL), None);
        assert_eq!(rank_intervals(&[], LEVEL), None);
    }

    #[test]
    fn the_critical_point_for_two_rows_is_students() {
        for (freedom, published) in [(9.0, 2.262), (200.0, 1.972), (f64::INFINITY, 1.960)] {
            let q = critical(&[1.0, 1.0], freedom, LEVEL);
            assert!((q - published).abs() < 0.04, "{freedom}: {q}");
        }
    }

    #[test]
    fn the_critical_point_for_equal_rows_is_tukeys() {
        // Tables of the studentised range: q(.05; 10, infinite) = 4.474, q(.05; 3, 10) = 3.877; ours is over √2 of it.
        for (rows, freedom, published) in [(10, f64::INFINITY, 4.474), (3, 10.0, 3.877)] {
            let q = critical(&vec![1.0; rows], freedom, LEVEL) * std::f64::consts::SQRT_2;
            assert!((q - published).abs() < 0.06, "{rows}: {q}");
        }
    }

    const TABLES: usize = 80;

    /// How often all true ranks of a made-up table are within their intervals.
    fn covered(blocks: usize, truths: &[f64], spreads: &[f64]) -> usize {
        let mut rng = ChaCha8Rng::seed_from_u64(12);
        let mut normal = move || {
            let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
            (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        };
        (0..TABLES)
            .filter(|_| {
                let of_block: Vec<f64> = (0..blocks).map(|_| 0.1 * normal()).collect();
                let table: Vec<Row> = truths
                    .iter()
                    .zip(spreads)
                    .map(|(truth, spread)| {
                        of_block.iter().map(|block| Some(truth + block + spread * normal())).collect()
                    })
                    .collect();
                let ranks = rank_intervals(&table, LEVEL).unwrap();
                (0..truths.len()).all(|j| {
                    // Equal rows have every rank that any of them could have.
                    let best = 1 + truths.iter().filter(|other| **other > truths[j]).count() as u32;
                    let worst = truths.iter().filter(|other| **other >= truths[j]).count() as u32;
                    ranks[j].0 <= best && ranks[j].1 >= worst
                })
            })
            .count()
    }

    #[test]
    fn the_intervals_hold_all_true_ranks() {
        let even = [0.02; 6];
        let noisy = [0.01, 0.01, 0.01, 0.01, 0.01, 0.05];
        for (blocks, truths, spreads) in [
            (8, &[0.0; 6][..], &even[..]),
            (8, &[0.0; 6], &noisy),
            (8, &[0.0; 3], &[0.01, 0.01, 0.05]),
            (3, &[0.0; 6], &even),
            (4, &[0.0, 0.0, 0.05, 0.05, 0.1, 0.1], &even),
            (10, &[0.0, 0.0, 0.05, 0.05, 0.1, 0.1], &even),
        ] {
            let covered = covered(blocks, truths, spreads);
            println!("{blocks} blocks of {truths:?}, {spreads:?}: {covered} of {TABLES}");
            // 95 % less three standard errors of so many tables.
            assert!(covered * 100 >= TABLES * 88, "{blocks} blocks of {truths:?}: {covered} of {TABLES}");
        }
    }
}
