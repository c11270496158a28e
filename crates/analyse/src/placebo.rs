//! Placebo calibration: how long a slice should be, and how many blocks to expect, from what a machine does to one stack
//! that is measured against itself (METHOD, section 3). Needed because slices close to the noise's own period are the worst.
//!
//! An anchor is loaded alone, and its answers are counted in short bins. The trace is cut into quads that compare nothing with
//! nothing. A quad's label is a fair coin, so a block's log-ratio is a mean of quads with independent signs: its variance is
//! the mean square of the quads' log-ratios over their number, whatever the noise's correlation. No labels need be drawn.

use std::fmt;

use dyno_model::warning::Warning;

use crate::{
    TIE,
    looks::{Expected, blocks_expected},
    quads::{Variances, next_quads},
};

/// The lengths that are tried, in seconds.
pub const SLICES_S: [f64; 6] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0];
/// Disjoint quads that a length must have in the trace to be chosen: fewer may look good by luck.
const FEWEST: f64 = 4.0;
/// The spread of blocks beyond which 3 % is found in less than nine sessions of ten.
const NOISY: f64 = 0.05;

/// What is known before the trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Length of a bin of the trace, in seconds; 0.025.
    pub bin_s: f64,
    /// Guard at each slice's beginning, in seconds: `max(0.01, 3 × p99)`.
    pub guard_s: f64,
    /// Time of a block outside its slices, in seconds.
    pub setup_s: f64,
    /// Standard deviation between blocks that a fresh start brings, as a log-ratio; from former sessions, else 0. The trace
    /// can't tell it: its processes were started once.
    pub between_sd: f64,
    /// Quads of a block, where that isn't to be chosen.
    pub quads: Option<usize>,
}

/// A length of slices, and what blocks of such slices would do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Length of a slice, in seconds.
    pub slice_s: f64,
    /// Quads of a block.
    pub quads: usize,
    /// Seconds that a block takes, set-up included.
    pub block_s: f64,
    /// Standard deviation of a block's log-ratio when nothing differs.
    pub block_sd: f64,
    /// The guard takes no more than a quarter, and the trace has quads enough to judge.
    pub eligible: bool,
}

impl Candidate {
    /// Variance of a session of one minute: what the lengths are compared by.
    pub fn variance_minutes(&self) -> f64 {
        self.block_sd.powi(2) * self.block_s / 60.0
    }
}

/// What the placebo says.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// All lengths that fit into the trace.
    pub candidates: Vec<Candidate>,
    /// The one to use.
    pub best: Candidate,
    /// Blocks until a difference of 3 %, or that there is none, is known.
    pub expected: Expected,
    /// Where the machine is too noisy for that.
    pub warning: Option<Warning>,
}

/// Why there is no calibration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unusable {
    /// No length fits; so many seconds would do for the shortest that the guard allows.
    TooShort {
        /// Of the trace.
        seconds: f64,
        /// That would do.
        needed_s: f64,
    },
    /// The guard takes more than a quarter of every length.
    SlowAnswers {
        /// The guard.
        guard_s: f64,
    },
    /// The anchor answered next to nothing.
    Idle,
}

impl fmt::Display for Unusable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { seconds, needed_s } => {
                write!(out, "a trace of {seconds:.1} s; {needed_s:.0} s are needed")
            }
            Self::SlowAnswers { guard_s } => write!(
                out,
                "a guard of {guard_s:.2} s, three times the p99, is more than a quarter of the longest slice; \
                 use interleaved trials, or an anchor that answers sooner"
            ),
            Self::Idle => write!(out, "the anchor answered next to nothing; its log-ratios have no spread"),
        }
    }
}

impl std::error::Error for Unusable {}

/// Chooses the length of slices from the anchor's counts in equal bins.
///
/// METHOD takes the smallest spread over blocks of equal length. Blocks of long slices are longer, since a block needs four
/// quads, so the variance of a minute is compared: the same thing where blocks are equal.
///
/// # Errors
/// The trace can't be used: [`Unusable`] says why.
pub fn calibrate(counts: &[u64], setting: Setting) -> Result<Calibration, Unusable> {
    let candidates: Vec<Candidate> =
        SLICES_S.into_iter().filter_map(|slice_s| candidate(counts, setting, slice_s)).collect();
    let best = candidates
        .iter()
        .filter(|one| one.eligible)
        .min_by(|a, b| a.variance_minutes().total_cmp(&b.variance_minutes()))
        .copied();
    let Some(best) = best else { return Err(why_none(counts, setting)) };
    let tie = TIE.ln();
    // The longer of the two answers: that there is nothing, or that there is just so much.
    let (none, some) = (blocks_expected(best.block_sd, 0.0, tie), blocks_expected(best.block_sd, tie, tie));
    let expected = if none.blocks > some.blocks { none } else { some };
    let warning = (best.block_sd > NOISY).then(|| too_noisy(&best));
    Ok(Calibration { candidates, best, expected, warning })
}

/// The standard deviation of a block's log-ratio when nothing differs, for slices of a given length; `None` where the trace is too
/// short or empty.
pub fn block_sd(counts: &[u64], setting: Setting, slice_s: f64) -> Option<f64> {
    candidate(counts, setting, slice_s).map(|found| found.block_sd)
}

fn candidate(counts: &[u64], setting: Setting, slice_s: f64) -> Option<Candidate> {
    let bins = (slice_s / setting.bin_s).round() as usize;
    let guard = ((setting.guard_s / setting.bin_s).ceil() as usize).min(bins.saturating_sub(1));
    let square = mean_square(counts, bins, guard)?;
    let variances = Variances { quad: square, block: setting.between_sd.powi(2) };
    let quads = setting.quads.unwrap_or_else(|| next_quads(variances, setting.setup_s, slice_s));
    Some(Candidate {
        slice_s,
        quads,
        block_s: setting.setup_s + 4.0 * slice_s * quads as f64,
        block_sd: variances.block_sd(quads),
        eligible: fits(setting.guard_s, slice_s) && counts.len() as f64 >= FEWEST * 4.0 * bins as f64,
    })
}

fn fits(guard_s: f64, slice_s: f64) -> bool {
    guard_s <= slice_s / 4.0 + 1e-9
}

/// Mean square of `2(a-b)/mean(a+b)` of the quads that begin at any bin, a and b being the sums of the outer and the inner
/// slices: the log-ratio of a block's sums, `ln(A/B) ≈ 2(A-B)/(A+B)`, is the mean of these with random signs. A quad's own
/// log-ratio would be infinite where the machine stood still. `None` where no quad fits, or nothing was answered.
fn mean_square(counts: &[u64], bins: usize, guard: usize) -> Option<f64> {
    let mut sums = vec![0u64];
    sums.extend(counts.iter().scan(0u64, |sum, count| {
        *sum += count;
        Some(*sum)
    }));
    let places = (counts.len() + 1).checked_sub(4 * bins).filter(|_| bins > 0)?;
    let (mut squares, mut total) = (0.0, 0.0);
    for start in 0..places {
        let slice = |at: usize| (sums[start + (at + 1) * bins] - sums[start + at * bins + guard]) as f64;
        let (outer, inner) = (slice(0) + slice(3), slice(1) + slice(2));
        squares += (2.0 * (outer - inner)).powi(2);
        total += outer + inner;
    }
    let places = places as f64;
    (total > 0.0).then(|| squares / places / (total / places).powi(2))
}

fn why_none(counts: &[u64], setting: Setting) -> Unusable {
    let seconds = counts.len() as f64 * setting.bin_s;
    let Some(shortest) = SLICES_S.into_iter().find(|&slice_s| fits(setting.guard_s, slice_s)) else {
        return Unusable::SlowAnswers { guard_s: setting.guard_s };
    };
    let needed_s = FEWEST * 4.0 * shortest;
    if seconds < needed_s { Unusable::TooShort { seconds, needed_s } } else { Unusable::Idle }
}

fn too_noisy(best: &Candidate) -> Warning {
    Warning {
        id: "placebo".to_owned(),
        subject: "run".to_owned(),
        text: format!(
            "machine too noisy for ±3 %: blocks of one stack against itself differ by {:.1} %, slices of {} s being the best",
            best.block_sd * 100.0,
            best.slice_s
        ),
        advice:
            "stop what else runs here, or take another machine; CPU per request is steadier than throughput"
                .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::statistics::normal;

    const SETTING: Setting =
        Setting { bin_s: 0.025, guard_s: 0.03, setup_s: 5.5, between_sd: 0.0, quads: Some(8) };

    /// A minute of counts whose logs are what `speed` says of a bin's time in seconds.
    fn minute(mut speed: impl FnMut(f64) -> f64) -> Vec<u64> {
        (0..2_400).map(|bin| (1_000.0 * speed(f64::from(bin) * 0.025).exp()) as u64).collect()
    }

    fn white(size: f64) -> Vec<u64> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        minute(|_| size * normal(&mut rng))
    }

    #[test]
    fn white_noise_by_hand() {
        // 0.25 s has 8 bins after a guard of two; a quad has four slices of sd .1/√8, a block eight quads.
        let found = calibrate(&white(0.1), SETTING).unwrap();
        let quarter = found.candidates.iter().find(|one| one.slice_s == 0.25).unwrap();
        let expected = 0.1 / 8f64.sqrt() / 8f64.sqrt();
        assert!((quarter.block_sd / expected - 1.0).abs() < 0.1, "{quarter:?} {expected}");
        assert_eq!((quarter.quads, quarter.block_s, quarter.eligible), (8, 13.5, true));
        assert_eq!(found.warning, None);
        // The guard is longer than a quarter of 0.1 s, and a minute has three quads of 5 s.
        assert_eq!(
            found.candidates.iter().filter(|one| !one.eligible).map(|one| one.slice_s).collect::<Vec<_>>(),
            [0.1, 5.0]
        );
    }

    /// The worst length is that of the noise's own period, here one of a second: two slices of a quad are always fast.
    #[test]
    fn slices_of_the_noises_period_are_not_chosen() {
        let counts = minute(|at| if at.fract() < 0.5 { 0.3 } else { -0.3 });
        let found = calibrate(&counts, SETTING).unwrap();
        let sd = |slice_s: f64| found.candidates.iter().find(|one| one.slice_s == slice_s).unwrap().block_sd;
        assert!(sd(0.25) > 4.0 * sd(1.0) && sd(0.25) > 4.0 * sd(0.5), "{:?}", found.candidates);
        assert!(found.best.slice_s > 0.25);
    }

    /// The formula of signs against labels that are really drawn.
    #[test]
    fn the_spread_is_that_of_random_labels() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut drift = 0.0;
        let counts = minute(|at| {
            drift = 0.98 * drift + 0.02 * normal(&mut rng);
            drift + if at % 7.0 < 1.0 { -0.2 } else { 0.0 }
        });
        let predicted = calibrate(&counts, SETTING).unwrap().candidates[1];
        let mut drawn = Vec::new();
        for _ in 0..4_000 {
            let start = rng.random_range(0..2_400 - 8 * 40);
            let (mut a, mut b) = (0u64, 0u64);
            for quad in 0..8 {
                let heads: bool = rng.random();
                for slice in 0..4 {
                    let from = start + quad * 40 + slice * 10;
                    let sum: u64 = counts[from + 2..from + 10].iter().sum();
                    let is_a = matches!(slice, 0 | 3) == heads;
                    *(if is_a { &mut a } else { &mut b }) += sum;
                }
            }
            drawn.push((a as f64 / b as f64).ln());
        }
        let seen = crate::statistics::standard_deviation(&drawn);
        assert!((predicted.block_sd / seen - 1.0).abs() < 0.1, "{predicted:?} {seen}");
    }

    #[test]
    fn noise_warns_and_more_of_it_takes_longer() {
        let blocks: Vec<f64> = [0.1, 0.5, 0.9]
            .map(|size| calibrate(&white(size), SETTING).unwrap().expected.blocks)
            .into_iter()
            .collect();
        assert!(blocks.is_sorted() && blocks[0] < 9.0 && blocks[2] > 12.0, "{blocks:?}");
        let noisy = calibrate(&white(1.2), SETTING).unwrap();
        let warning = noisy.warning.unwrap();
        assert!(warning.text.starts_with("machine too noisy for ±3 %"), "{warning:?}");
        // Blocks of more quads, and no more than pay, since each begins with processes started anew.
        let chosen = |size| {
            calibrate(&white(size), Setting { between_sd: 0.01, quads: None, ..SETTING }).unwrap().best
        };
        let (calm, loud) = (chosen(0.05), chosen(0.6));
        assert!(calm.quads == 4 && calm.block_s < loud.block_s / 2.0, "{calm:?} {loud:?}");
        // What a fresh start brings adds to it, and no length helps.
        let restarts = calibrate(&white(0.1), Setting { between_sd: 0.06, ..SETTING }).unwrap();
        assert!(restarts.best.block_sd > 0.06 && restarts.warning.is_some());
    }

    #[test]
    fn what_cant_be_used_is_refused() {
        let refused = |counts: &[u64], setting| calibrate(counts, setting).unwrap_err().to_string();
        assert_eq!(refused(&white(0.1)[..100], SETTING), "a trace of 2.5 s; 4 s are needed");
        assert!(refused(&white(0.1), Setting { guard_s: 2.0, ..SETTING }).starts_with("a guard of 2.00 s"));
        assert!(refused(&[0; 2_400], SETTING).contains("next to nothing"));
        assert!(refused(&[], SETTING).starts_with("a trace of 0.0 s"));
    }
}
