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
    let half = |j: usize, l: usize| q * ((moderated[j] + moderated[l]) / blocks).sqrt();
    let ranks = (0..rows).map(|j| {
        let above = (0..rows).filter(|&l| l != j && row_means[l] - row_means[j] > half(j, l)).count();
        let below = (0..rows).filter(|&l| l != j && row_means[j] - row_means[l] > half(j, l)).count();
        (1 + above as u32, (rows - below) as u32)
    });
    Some(ranks.collect())
}

/// 95 % point of the largest studentised difference of any two rows.
fn critical(variances: &[f64], freedom: f64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut normal = move || {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    };
    let mut largest: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let z: Vec<f64> = variances.iter().map(|variance| normal() * variance.sqrt()).collect();
            let whole = freedom.round().max(1.0) as usize;
            let g = (0..whole).map(|_| normal().powi(2)).sum::<f64>() / whole as f64;
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
        // One pair: |t| with many degrees of freedom, 1.96 at 95 %.
        let q = critical(&[1.0, 1.0], 200.0);
        assert!((q - 1.97).abs() < 0.05, "{q}");
    }
}
