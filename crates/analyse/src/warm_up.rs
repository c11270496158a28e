//! How long stacks must be warmed up before anything counts: MSER-5 on the mean curve of several runs (White 1997; White,
//! Cobb & Spratt 2000; METHOD, section 3). One figure for a whole session, never a cut of single trials.

use crate::statistics::mean;

/// Values that MSER-5 averages before it looks for the cut.
const BATCH: usize = 5;
/// The shortest warm-up, in seconds.
const SHORTEST_S: f64 = 2.0;
/// A cut is an estimate: the warm-up is so much longer than the largest.
const SAFETY: f64 = 1.5;

/// What a stack's curves say of its warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Bins before it belong to the warm-up.
    pub bins: usize,
    /// The least was found at the last place that was searched: the run was too short to show a steady state.
    pub at_the_end: bool,
}

/// The cut of one stack. `runs` has each fresh run's counts in equal bins (100 ms) under saturation; the curve is their mean
/// log, over as many bins as the shortest run has. An empty bin counts as half an answer, so that a late start is seen.
/// `None` for no runs, or for fewer than four batches of five bins.
///
/// The cut is the d that has the least `Σ_{i>d}(z_i - z̄_d)²/(m-d)²` with d < m/2, z being means of five bins; the first of
/// equals.
pub fn cut(runs: &[Vec<u64>]) -> Option<Cut> {
    let bins = runs.iter().map(Vec::len).min()?;
    let curve: Vec<f64> = (0..bins)
        .map(|at| mean(&runs.iter().map(|run| (run[at] as f64).max(0.5).ln()).collect::<Vec<_>>()))
        .collect();
    let batches: Vec<f64> = curve.chunks_exact(BATCH).map(mean).collect();
    if batches.len() < 4 {
        return None;
    }
    let error = |cut: usize| {
        let rest = &batches[cut..];
        let mean = mean(rest);
        rest.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (rest.len() as f64).powi(2)
    };
    let last = batches.len().div_ceil(2) - 1;
    let best = (0..=last).min_by(|&a, &b| error(a).total_cmp(&error(b)))?;
    Some(Cut { bins: best * BATCH, at_the_end: best == last })
}

/// Seconds of warm-up for all stacks of a session: `max(2 s, 1.5 × the largest cut)`.
pub fn warm_up_s(cuts: &[Cut], bin_s: f64) -> f64 {
    let largest = cuts.iter().map(|cut| cut.bins).max().unwrap_or(0);
    (SAFETY * largest as f64 * bin_s).max(SHORTEST_S)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::statistics::normal;

    /// Five runs of 30 s whose first seconds are slower by half, with noise of 3 % in a bin.
    fn runs(slow_s: usize, bins: usize, seed: u64) -> Vec<Vec<u64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut run = || {
            (0..bins)
                .map(|at| {
                    let rate = if at < slow_s * 10 { 50.0 } else { 100.0 };
                    (rate * 10.0 * (0.03 * normal(&mut rng)).exp()) as u64
                })
                .collect()
        };
        (0..5).map(|_| run()).collect()
    }

    #[test]
    fn a_slow_start_is_cut_where_it_ends_or_later() {
        let cuts: Vec<Cut> = (0..40).map(|seed| cut(&runs(3, 300, seed)).unwrap()).collect();
        assert!(cuts.iter().all(|cut| cut.bins >= 30), "{cuts:?}");
        // MSER takes a part of the noise for warm-up now and then.
        assert!(cuts.iter().filter(|cut| cut.bins <= 60).count() >= 28, "{cuts:?}");
    }

    /// Noise alone may look like a start now and then; mostly it doesn't, and it seldom costs more than the shortest.
    #[test]
    fn a_steady_server_needs_the_shortest() {
        let long = (0..100).filter(|&seed| warm_up_s(&[cut(&runs(0, 300, seed)).unwrap()], 0.1) > 6.0);
        assert!(long.count() <= 10);
    }

    #[test]
    fn one_that_never_settles_says_so() {
        let rising: Vec<u64> = (0..300).map(|at| 100 + at * at).collect();
        assert!(cut(&[rising]).unwrap().at_the_end);
    }

    #[test]
    fn by_hand() {
        // Batches 0, ln 2 three times: without the first nothing varies. 1, 2, 2, 2, 2 at d = 1 is the first with error 0.
        let run: Vec<u64> = [[1; 5], [2; 5], [2; 5], [2; 5]].concat();
        assert_eq!(cut(std::slice::from_ref(&run)), Some(Cut { bins: 5, at_the_end: true }));
        let longer: Vec<u64> = [run.clone(), vec![2; 20]].concat();
        assert_eq!(cut(&[longer]), Some(Cut { bins: 5, at_the_end: false }));
        assert_eq!(cut(&[]), None);
        assert_eq!(cut(&[run[..19].to_vec()]), None);
        // The shortest run decides; an empty bin is no error.
        assert_eq!(cut(&[vec![2; 40], vec![0; 20]]).unwrap().bins, 0);
        let cuts = [Cut { bins: 10, at_the_end: false }, Cut { bins: 40, at_the_end: false }];
        assert!((warm_up_s(&cuts, 0.1) - 6.0).abs() < 1e-12);
        assert!((warm_up_s(&cuts[..1], 0.1) - 2.0).abs() < 1e-12);
        assert!((warm_up_s(&[], 0.1) - 2.0).abs() < 1e-12);
    }
}
