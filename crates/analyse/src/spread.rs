//! How much the blocks of a table differ, one stack helping another: moderated variances (Smyth 2004).
//!
//! A few blocks tell little of their own spread, and Student's t pays for it with intervals several times too wide. All stacks of a
//! table meet the same machine, so that the spread of the others is known beforehand: the variance of a pair is the weighted mean of its
//! own and of what is common, and has the freedom of both.

use crate::statistics::{mean, standard_deviation, t_quantile};

/// Weight of the common variance against a stack's own, in degrees of freedom. Smyth (2004) estimates it from thousands of rows; a table
/// of ten stacks has too few for that, so it is fixed: judgement, tried in `tests/tables.rs`.
pub const PRIOR: f64 = 4.0;
/// Rounds of the two-way fit where cells are missing; it converges by a factor in each.
const ROUNDS: usize = 50;

/// Logarithms of one metric, one for each block; `None` where the block has nothing to say of the stack.
pub type Row = Vec<Option<f64>>;

/// The additive fit of a table of rows, one for each stack: a level for each stack and one for each block.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Level of each stack, with that of the mean block.
    pub levels: Vec<f64>,
    /// Blocks that each stack has.
    pub blocks: Vec<usize>,
    /// Variance of each stack's value in one block, beyond what the block does to all, its own and the common one together.
    pub variances: Vec<f64>,
    /// Their common variance.
    pub common: f64,
    /// Degrees of freedom of each of the variances.
    pub freedom: Vec<f64>,
}

/// Fits a table. `None` for fewer than two stacks, or where no stack has two blocks.
pub fn spread(table: &[Row]) -> Option<Spread> {
    let columns = table.iter().map(Vec::len).max()?;
    if table.len() < 2 {
        return None;
    }
    let (levels, of_blocks) = two_way(table, columns);
    let blocks: Vec<usize> = table.iter().map(|row| row.iter().flatten().count()).collect();
    let paired: Vec<f64> = table.iter().map(|row| paired(table, row)).collect();
    let all: f64 = paired.iter().map(|count| (count - 1.0).max(0.0)).sum();
    if all <= 0.0 {
        return None;
    }
    // The fit takes a degree of freedom for each level of a stack, and one for each block but one; what is left is shared out.
    let rows = paired.iter().filter(|&&count| count > 0.0).count() as f64;
    let columns_used = (0..columns).filter(|&at| has_two(table, at)).count() as f64;
    let left = (paired.iter().sum::<f64>() - rows - columns_used + 1.0).max(1.0);
    let shrunk = left / all;
    let own: Vec<(f64, f64)> = table
        .iter()
        .zip(&levels)
        .zip(&paired)
        .map(|((row, level), count)| {
            let squares = row.iter().zip(&of_blocks).enumerate().filter(|(at, _)| has_two(table, *at));
            let squares: f64 =
                squares.filter_map(|(_, (value, block))| Some(((*value)? - level - block).powi(2))).sum();
            ((count - 1.0).max(0.0), squares)
        })
        .collect();
    let common = own.iter().map(|(_, squares)| squares).sum::<f64>() / (all * shrunk);
    let moderated = |&(freedom, squares): &(f64, f64)| {
        let variance = if freedom > 0.0 { squares / (freedom * shrunk) } else { common };
        (PRIOR * common + freedom * variance) / (PRIOR + freedom)
    };
    Some(Spread {
        variances: own.iter().map(moderated).collect(),
        freedom: own.iter().map(|(freedom, _)| (PRIOR + freedom).min(left)).collect(),
        levels,
        blocks,
        common,
    })
}

/// Mean and t interval of a pair's log-ratios whose variance is moderated by the table's: `common` is the variance of one stack in
/// one block, so that a pair's is twice that (Smyth 2004).
pub fn moderated_interval(d: &[f64], common: f64, level: f64) -> (f64, f64, f64) {
    let (n, freedom) = (d.len() as f64, d.len() as f64 - 1.0);
    let own = standard_deviation(d).powi(2);
    let variance = (PRIOR * 2.0 * common + freedom * own) / (PRIOR + freedom);
    let half = t_quantile(1.0 - level / 2.0, PRIOR + freedom) * (variance / n).sqrt();
    let mean = mean(d);
    (mean, mean - half, mean + half)
}

/// Whether a block has two stacks or more, so that it tells of differences.
fn has_two(table: &[Row], at: usize) -> bool {
    table.iter().filter(|row| row.get(at).is_some_and(Option::is_some)).count() >= 2
}

/// Blocks of a row that have another row's value beside it.
fn paired(table: &[Row], row: &[Option<f64>]) -> f64 {
    row.iter().enumerate().filter(|(at, value)| value.is_some() && has_two(table, *at)).count() as f64
}

/// Levels of rows and columns by least squares, the columns' being 0 in the mean: each in turn, until they agree.
fn two_way(table: &[Row], columns: usize) -> (Vec<f64>, Vec<f64>) {
    let mut of_blocks = vec![0.0; columns];
    let mut levels = vec![0.0; table.len()];
    for _ in 0..ROUNDS {
        for (level, row) in levels.iter_mut().zip(table) {
            let left: Vec<f64> =
                row.iter().zip(&of_blocks).filter_map(|(value, block)| Some((*value)? - block)).collect();
            *level = if left.is_empty() { 0.0 } else { mean(&left) };
        }
        for (at, block) in of_blocks.iter_mut().enumerate() {
            let left: Vec<f64> = table
                .iter()
                .zip(&levels)
                .filter_map(|(row, level)| Some(row.get(at).copied().flatten()? - level))
                .collect();
            *block = if left.is_empty() { 0.0 } else { mean(&left) };
        }
        let middle = mean(&of_blocks);
        of_blocks.iter_mut().for_each(|block| *block -= middle);
    }
    for (level, row) in levels.iter_mut().zip(table) {
        let left: Vec<f64> =
            row.iter().zip(&of_blocks).filter_map(|(value, block)| Some((*value)? - block)).collect();
        if !left.is_empty() {
            *level = mean(&left);
        }
    }
    (levels, of_blocks)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::statistics::normal;

    fn table(spreads: &[f64], blocks: usize, seed: u64) -> Vec<Row> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let of_blocks: Vec<f64> = (0..blocks).map(|_| 0.5 * normal(&mut rng)).collect();
        let row = |(at, spread): (usize, &f64)| {
            of_blocks.iter().map(|block| Some(at as f64 + block + spread * normal(&mut rng))).collect()
        };
        spreads.iter().enumerate().map(row).collect()
    }

    #[test]
    fn what_all_share_in_a_block_is_no_spread() {
        let found = spread(&table(&[0.05; 6], 400, 1)).unwrap();
        for (at, (level, variance)) in found.levels.iter().zip(&found.variances).enumerate() {
            assert!((level - found.levels[0] - at as f64).abs() < 0.02, "{level}");
            assert!((variance.sqrt() / 0.05 - 1.0).abs() < 0.1, "{variance}");
        }
        assert!((found.common.sqrt() / 0.05 - 1.0).abs() < 0.05);
    }

    #[test]
    fn a_noisy_stack_is_known_by_its_own_blocks_when_it_has_many() {
        let found = spread(&table(&[0.02, 0.02, 0.02, 0.02, 0.2], 200, 2)).unwrap();
        assert!(found.variances[4] > 10.0 * found.variances[0], "{found:?}");
        // Of three blocks what is common says as much.
        let few: Vec<Spread> = (0..200).filter_map(|seed| spread(&table(&[0.05; 8], 3, seed))).collect();
        let variances: Vec<f64> = few.iter().flat_map(|one| one.variances.clone()).collect();
        assert!((mean(&variances).sqrt() / 0.05 - 1.0).abs() < 0.05);
        assert_eq!(few[0].freedom, vec![6.0; 8]);
    }

    #[test]
    fn missing_cells_cost_their_own_stack_only() {
        let whole = table(&[0.01; 5], 12, 3);
        let mut holes = whole.clone();
        (4..12).for_each(|block| holes[1][block] = None);
        holes[3][0] = None;
        let (whole, holes) = (spread(&whole).unwrap(), spread(&holes).unwrap());
        assert_eq!(holes.blocks, [12, 4, 12, 11, 12]);
        for (a, b) in whole.levels.iter().zip(&holes.levels) {
            assert!((a - b - (whole.levels[0] - holes.levels[0])).abs() < 0.02, "{whole:?} {holes:?}");
        }
    }

    #[test]
    fn one_stack_or_one_block_has_no_spread() {
        assert_eq!(spread(&table(&[0.1], 8, 4)), None);
        assert_eq!(spread(&table(&[0.1; 3], 1, 4)), None);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[vec![Some(1.0), None], vec![None, Some(1.0)]]), None, "no block has two");
    }
}
