//! Whole latency distributions compared: log ratios at eleven percentiles, one for each block, with t over blocks and Holm
//! over the rows; and how often one is slower than the other (METHOD, section 4). A rank test over requests is not here:
//! requests of one block are alike, and it would find a difference in every run.

use dyno_model::{
    histogram::LatencyHistogram,
    shift::{Shift, ShiftRow, Superiority},
};

use crate::{
    FEWEST_BLOCKS,
    statistics::{holm, mean, standard_deviation, t_beyond, t_quantile},
};

/// The rows of a shift table.
pub const QUANTILES: [f64; 11] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];
/// Requests of a block beyond a quantile, on its rarer side, for the block to say something about it: METHOD's 2,000
/// requests for a p99.
pub const BEYOND: f64 = 20.0;
const LEVEL: f64 = 0.05;
/// Least standard deviation between blocks of a logarithm that comes from histograms of three digits.
const STEP: f64 = 1e-3;

/// Compares the requests to two stacks, a pair of histograms for each block.
pub fn shift(blocks: &[(&LatencyHistogram, &LatencyHistogram)]) -> Shift {
    let rows = shift_table(blocks.len(), |block, quantile| {
        let (a, b) = blocks.get(block)?;
        let rare = quantile.min(1.0 - quantile);
        // 1 - 0.99 is a hair less than 0.01.
        let enough = a.count().min(b.count()) as f64 * rare >= BEYOND - 1e-6;
        enough.then(|| Some((a.quantile_ns(quantile)? as f64 / b.quantile_ns(quantile)? as f64).ln()))?
    });
    Shift { rows, superiority: superiority(blocks) }
}

/// The rows for blocks whose log ratio at a quantile is `log_ratio(block, quantile)`; `None` where a block has too few requests.
pub fn shift_table(blocks: usize, log_ratio: impl Fn(usize, f64) -> Option<f64>) -> Vec<ShiftRow> {
    let mut rows: Vec<ShiftRow> = QUANTILES
        .into_iter()
        .map(|quantile| {
            let ratios: Vec<f64> = (0..blocks).filter_map(|block| log_ratio(block, quantile)).collect();
            let test = (ratios.len() >= FEWEST_BLOCKS).then(|| against(&ratios, 0.0, STEP));
            ShiftRow {
                quantile,
                ratio: test.as_ref().map(|test| test.mean.exp()),
                low: test.as_ref().map(|test| (test.mean - test.half).exp()),
                high: test.as_ref().map(|test| (test.mean + test.half).exp()),
                p: test.as_ref().map(|test| test.p),
                different: false,
                blocks: ratios.len() as u32,
            }
        })
        .collect();
    let told: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].p.is_some()).collect();
    let p: Vec<f64> = told.iter().filter_map(|&at| rows[at].p).collect();
    for (at, different) in told.into_iter().zip(holm(&p, LEVEL)) {
        rows[at].different = different;
    }
    rows
}

/// How often a request to `a` takes longer than one to `b`, block by block. `None` for fewer than eight blocks with requests to both.
pub fn superiority(blocks: &[(&LatencyHistogram, &LatencyHistogram)]) -> Option<Superiority> {
    let shares: Vec<f64> = blocks.iter().filter_map(|(a, b)| a12(a, b)).collect();
    if shares.len() < FEWEST_BLOCKS {
        return None;
    }
    let test = against(&shares, 0.5, 1e-12);
    Some(Superiority {
        estimate: test.mean,
        low: (test.mean - test.half).max(0.0),
        high: (test.mean + test.half).min(1.0),
        p: test.p,
        blocks: shares.len() as u32,
    })
}

/// Vargha and Delaney's (2000) Â₁₂ = P(A > B) + P(A = B)/2, to the histograms' precision. `None` when either is empty.
pub fn a12(a: &LatencyHistogram, b: &LatencyHistogram) -> Option<f64> {
    if a.count() == 0 || b.count() == 0 {
        return None;
    }
    let mut of_b = b.inner().iter_recorded().peekable();
    let (mut below, mut wins) = (0u64, 0.0);
    // Both have the same buckets, in ascending order.
    for of_a in a.inner().iter_recorded() {
        let value = of_a.value_iterated_to();
        while let Some(less) = of_b.next_if(|one| one.value_iterated_to() < value) {
            below += less.count_at_value();
        }
        let same = of_b.peek().filter(|one| one.value_iterated_to() == value);
        let same = same.map_or(0, |one| one.count_at_value());
        wins += of_a.count_at_value() as f64 * (below as f64 + same as f64 / 2.0);
    }
    Some(wins / a.count() as f64 / b.count() as f64)
}

struct Test {
    mean: f64,
    half: f64,
    p: f64,
}

/// Student's t of two or more values against a mean of `null`, with their standard deviation at least `least`.
fn against(values: &[f64], null: f64, least: f64) -> Test {
    let n = values.len() as f64;
    let (mean, error) = (mean(values), standard_deviation(values).max(least) / n.sqrt());
    let p = t_beyond((mean - null).abs() / error, n - 1.0);
    Test { mean, half: t_quantile(0.975, n - 1.0) * error, p }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// `count` latencies around 2 ms whose block is off by `block`; the slowest tenth `tail` times as slow.
    fn histogram(rng: &mut ChaCha8Rng, count: usize, block: f64, tail: f64) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::default();
        for _ in 0..count {
            let u: f64 = rng.random();
            let slow = if u > 0.88 { tail } else { 1.0 };
            histogram.record_ns((2e6 * (1.0 + u) * block * slow) as u64);
        }
        histogram
    }

    fn blocks(rng: &mut ChaCha8Rng, count: usize, tail: f64) -> Vec<(LatencyHistogram, LatencyHistogram)> {
        (0..10)
            .map(|_| {
                let mut wobble = || 1.0 + 0.02 * (rng.random::<f64>() - 0.5);
                let (a, b) = (wobble(), wobble());
                (histogram(rng, count, a, tail), histogram(rng, count, b, 1.0))
            })
            .collect()
    }

    fn compare(blocks: &[(LatencyHistogram, LatencyHistogram)]) -> Shift {
        shift(&blocks.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>())
    }

    #[test]
    fn a_longer_tail_is_found_in_the_tail() {
        let shift = compare(&blocks(&mut ChaCha8Rng::seed_from_u64(1), 2_000, 1.5));
        let different: Vec<f64> =
            shift.rows.iter().filter(|row| row.different).map(|row| row.quantile).collect();
        assert_eq!(different, [0.9, 0.95, 0.99]);
        let superiority = shift.superiority.unwrap();
        assert!((0.5..0.52).contains(&superiority.estimate), "{superiority:?}");
    }

    #[test]
    fn the_same_twice_stays_quiet() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let runs = 100;
        let alarms = (0..runs)
            .filter(|_| compare(&blocks(&mut rng, 2_000, 1.0)).rows.iter().any(|row| row.different))
            .count();
        // 5 % and two standard errors of so many runs.
        assert!(alarms <= 9, "{alarms} of {runs}");
    }

    #[test]
    fn what_too_few_requests_say_is_not_told() {
        let shift = compare(&blocks(&mut ChaCha8Rng::seed_from_u64(3), 400, 1.5));
        let untold: Vec<f64> =
            shift.rows.iter().filter(|row| row.ratio.is_none()).map(|row| row.quantile).collect();
        assert_eq!(untold, [0.99]);
        assert_eq!(superiority(&[]), None);
    }

    #[test]
    fn superiority_by_hand() {
        let of = |values: &[u64]| {
            let mut histogram = LatencyHistogram::default();
            values.iter().for_each(|value| histogram.record_ns(value * 1_000_000));
            histogram
        };
        // 2 beats 1 and equals 2; 3 and 4 beat 1 and 2.
        let share = a12(&of(&[2, 3, 4]), &of(&[1, 2, 5])).unwrap();
        assert!((share - (1.0 + 0.5 + 2.0 + 2.0) / 9.0).abs() < 1e-12);
        assert_eq!(a12(&of(&[9]), &of(&[1])), Some(1.0));
        let (slow, quick) = (of(&[2, 9]), of(&[1]));
        let all = superiority(&[(&slow, &quick); 8]).unwrap();
        assert!(all.low > 0.999 && all.high == 1.0 && all.blocks == 8);
        assert!(all.p < 1e-9);
        assert_eq!(a12(&of(&[]), &of(&[1])), None);
    }
}
