//! Looks: a session grows until its verdict is clear, and its intervals pay for every look (METHOD, section 4).
//!
//! The intervals are repeated confidence intervals (Jennison & Turnbull 1989) whose levels spend the error over the looks
//! (Lan & DeMets 1983), with Student's quantiles: the chance that *any* of the six misses the truth is 4.95 % under normal
//! noise. Without normality the sum of the levels, 7.4 %, bounds the false alarms of the sign-flip test.

use dyno_model::output::Verdict;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::statistics::{mean, normal, sign_flip, skewness, standard_deviation, t_beyond, t_quantile};

/// Valid blocks at each look, and the level of that look's interval when all of them together may miss in 5 %.
pub const LOOKS: [(usize, f64); 6] =
    [(8, 0.0118), (12, 0.0086), (16, 0.0087), (24, 0.0126), (32, 0.0137), (48, 0.0187)];
/// The total that [`LOOKS`] is made for.
pub const LEVEL: f64 = 0.05;
/// Blocks at the last look.
pub const MOST_BLOCKS: usize = LOOKS[LOOKS.len() - 1].0;

/// By how much all levels of [`LOOKS`] are multiplied so that any look misses with another total probability.
///
/// Let R be the least of p_k/α_k over the looks, p_k being the two-sided p of the t test at look k. Some look misses when
/// R ≤ f, so the factor for a total is that quantile of R. These are quantiles of four million simulated sessions
/// (`tests/fixtures/make.py`), good to about 1 %, and at 5 % the table of METHOD as it stands. The factor isn't
/// proportional to the total: the smaller the levels, the fewer sessions miss at several looks.
const FACTORS: [(f64, f64); 11] = [
    (0.000_5, 0.008_07),
    (0.001, 0.016_4),
    (0.002_5, 0.041_6),
    (0.005, 0.086_1),
    (0.01, 0.177_9),
    (0.02, 0.373_6),
    (0.025, 0.473_6),
    (0.05, 1.0),
    (0.1, 2.19),
    (0.2, 4.86),
    (0.3, 7.87),
];
const SKEWED: f64 = 1.5;
/// Sessions of noise against noise that an instrument's floor needs.
const FLOOR_SESSIONS: usize = 40;

/// Whether a session may be looked at when it has `blocks` valid blocks.
pub fn is_look(blocks: usize) -> bool {
    LOOKS.iter().any(|&(n, _)| n == blocks)
}

/// Blocks at the first look that `blocks` haven't reached; `None` after the last.
pub fn next_look(blocks: usize) -> Option<usize> {
    LOOKS.iter().map(|&(n, _)| n).find(|&n| n > blocks)
}

/// Blocks at the last look that `blocks` have reached; `None` before the first.
pub fn last_look(blocks: usize) -> Option<usize> {
    LOOKS.iter().rev().map(|&(n, _)| n).find(|&n| n <= blocks)
}

/// A confidence interval of a mean of log-ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Mean of the log-ratios.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Where an interval lies to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Wholly within: a claim of the region is supported.
    Inside,
    /// Nothing in common: refuted.
    Outside,
    /// Partly: inconclusive.
    Astride,
}

impl Interval {
    /// `mean ± half`.
    pub fn around(mean: f64, half: f64) -> Self {
        Self { mean, low: mean - half, high: mean + half }
    }

    /// Where it lies to the open region between `low` and `high`, in logs; an infinite end is never reached. The ends
    /// themselves belong to neither side: they have no probability.
    pub fn place_in(&self, low: f64, high: f64) -> Place {
        if self.low > low && self.high < high {
            Place::Inside
        } else if self.high < low || self.low > high {
            Place::Outside
        } else {
            Place::Astride
        }
    }
}

/// One look of a session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Valid blocks.
    pub blocks: usize,
    /// Level of the interval and of the sign-flip test.
    pub alpha: f64,
    /// Half-width of the interval in standard deviations, `t(n-1, 1-α/2)/√n`.
    pub c: f64,
}

/// The looks of a session whose intervals together miss with a given probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Looks(Vec<Look>);

/// What a look says.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Different, no difference, or inconclusive.
    pub verdict: Verdict,
    /// The repeated confidence interval of the log-ratio.
    pub interval: Interval,
    /// The look: its first blocks are the whole evidence.
    pub look: Look,
    /// The sign-flip test's p, made only where the interval excludes 0.
    pub p: Option<f64>,
    /// Skewed, or under the instrument's floor: one block may carry it.
    pub fragile: bool,
}

impl Decision {
    /// The interval excludes 0 and the sign-flip test agrees: the sign is known, even where the difference is below δ.
    pub fn beyond_zero(&self) -> bool {
        self.p.is_some_and(|p| p <= self.look.alpha)
    }

    /// Blocks at the next look, where one may change this; `None` when the session is over.
    pub fn next(&self) -> Option<usize> {
        if self.verdict == Verdict::Inconclusive { next_look(self.look.blocks) } else { None }
    }
}

impl Default for Looks {
    fn default() -> Self {
        Self::of(LEVEL)
    }
}

impl Looks {
    /// For a total error of `level`. Between the totals that were simulated the factor is interpolated in logs; below them
    /// the levels share the total in proportion (Bonferroni), which holds whatever the noise and costs some width.
    ///
    /// # Panics
    /// `level` isn't within 0..=0.3 or is 0.
    pub fn of(level: f64) -> Self {
        assert!(
            level > 0.0 && level <= FACTORS[FACTORS.len() - 1].0,
            "a total error within 0..=0.3: {level}"
        );
        let factor = factor(level);
        let look = |&(blocks, alpha): &(usize, f64)| {
            let (n, alpha) = (blocks as f64, alpha * factor);
            Look { blocks, alpha, c: t_quantile(1.0 - alpha / 2.0, n - 1.0) / n.sqrt() }
        };
        Self(LOOKS.iter().map(look).collect())
    }

    /// The look that a session of so many blocks has reached.
    pub fn reached(&self, blocks: usize) -> Option<Look> {
        self.0.iter().rev().find(|look| look.blocks <= blocks).copied()
    }

    /// `m ± c·s` of the last look that `d` has reached, over the blocks that it had then: what came after waits for the next
    /// look, or the intervals wouldn't hold. `None` before the first look.
    pub fn interval(&self, d: &[f64]) -> Option<Interval> {
        let look = self.reached(d.len())?;
        let seen = &d[..look.blocks];
        Some(Interval::around(mean(seen), look.c * standard_deviation(seen)))
    }

    /// The verdict of the last look that `d` has reached; `None` before the first. `tie` is the log of the ratio below which
    /// a difference doesn't matter, `floor` the instrument's where it is known.
    pub fn decide(&self, d: &[f64], tie: f64, floor: Option<f64>, seed: u64) -> Option<Decision> {
        let (look, interval) = (self.reached(d.len())?, self.interval(d)?);
        let seen = &d[..look.blocks];
        let excludes_zero = interval.low > 0.0 || interval.high < 0.0;
        let p = excludes_zero.then(|| sign_flip(seen, seed));
        let small = interval.place_in(-tie, tie) == Place::Inside;
        let verdict = match (small, p.is_some_and(|p| p <= look.alpha)) {
            (true, _) => Verdict::NoDifference,
            (false, true) => Verdict::Different,
            (false, false) => Verdict::Inconclusive,
        };
        let fragile = skewness(seen).abs() > SKEWED || floor.is_some_and(|floor| interval.mean.abs() < floor);
        Some(Decision { verdict, interval, look, p, fragile })
    }

    /// The verdict at the first look that gives one, else the last look's: what a session that stops by the rule says.
    pub fn decide_as_run(&self, d: &[f64], tie: f64, floor: Option<f64>, seed: u64) -> Option<Decision> {
        let mut last = None;
        for look in self.0.iter().take_while(|look| look.blocks <= d.len()) {
            last = self.decide(&d[..look.blocks], tie, floor, seed);
            if last.as_ref().is_some_and(|one| one.verdict != Verdict::Inconclusive) {
                break;
            }
        }
        last
    }
}

/// The repeated confidence interval of the last look that `d` has reached; all looks of a session together miss with the
/// probability `level`. `None` before the first look.
///
/// # Panics
/// `level` isn't within 0..=0.3 or is 0.
pub fn repeated_interval(d: &[f64], level: f64) -> Option<Interval> {
    Looks::of(level).interval(d)
}

/// The least total error at which the interval of the last look that `d` has reached excludes `value`: a p that holds over
/// all looks, for Holm's procedure over a family. At most 0.3, beyond which nothing was simulated; `None` before the first
/// look.
pub fn repeated_p(d: &[f64], value: f64) -> Option<f64> {
    let blocks = last_look(d.len())?;
    let &(_, alpha) = LOOKS.iter().find(|&&(n, _)| n == blocks)?;
    let seen = &d[..blocks];
    let error = standard_deviation(seen) / (blocks as f64).sqrt();
    let t = (mean(seen) - value).abs() / error.max(f64::MIN_POSITIVE);
    Some(level(t_beyond(t, blocks as f64 - 1.0) / alpha))
}

/// The 95th percentile of |m| over the last 40 or more sessions of a stack against itself: differences below it are of the
/// size that the instrument makes up. `None` for fewer.
pub fn instrument_floor(means: &[f64]) -> Option<f64> {
    let mut sizes: Vec<f64> =
        means[means.len().checked_sub(FLOOR_SESSIONS)?..].iter().map(|m| m.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // The smallest value that 95 % don't exceed.
    sizes.get((sizes.len() as f64 * 0.95).ceil() as usize - 1).copied()
}

fn bonferroni() -> f64 {
    LOOKS.iter().map(|(_, alpha)| alpha).sum()
}

/// What the levels are multiplied by for a total.
fn factor(level: f64) -> f64 {
    if level < FACTORS[0].0 {
        return level / bonferroni();
    }
    interpolate(level, |&(level, factor)| (level, factor))
}

/// The total that comes of a factor.
fn level(factor: f64) -> f64 {
    if factor < FACTORS[0].1 {
        return (factor * bonferroni()).min(FACTORS[0].0);
    }
    interpolate(factor.min(FACTORS[FACTORS.len() - 1].1), |&(level, factor)| (factor, level))
}

/// Straight lines between the logs of the table.
fn interpolate(x: f64, pair: fn(&(f64, f64)) -> (f64, f64)) -> f64 {
    let after = FACTORS.iter().position(|entry| pair(entry).0 >= x).unwrap_or(FACTORS.len() - 1).max(1);
    let ((x0, y0), (x1, y1)) = (pair(&FACTORS[after - 1]), pair(&FACTORS[after]));
    let share = (x / x0).ln() / (x1 / x0).ln();
    y0 * (y1 / y0).powf(share)
}

/// How long a session may be expected to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Mean number of blocks until the session stops.
    pub blocks: f64,
    /// Share of sessions that stop with a verdict at the last look or before.
    pub decided: f64,
    /// Blocks at the look by which nine sessions of ten have a verdict; `None` if the last isn't enough.
    pub most: Option<usize>,
}

impl Expected {
    /// Blocks that a session of `have` blocks should still do, to reach the first look and a verdict in nine of ten.
    pub fn more(&self, have: usize) -> usize {
        self.most.unwrap_or(MOST_BLOCKS).saturating_sub(have)
    }

    /// What to tell about a session that is too short; a block takes `block_s` seconds.
    pub fn advice(&self, have: usize, block_s: f64) -> String {
        let more = self.more(have);
        let minutes = (more as f64 * block_s / 60.0).ceil();
        let until = match self.most {
            Some(most) => format!("nine sessions of ten like this have a verdict by block {most}"),
            None => format!(
                "only {:.0} % of sessions like this have a verdict by the last look, at block {MOST_BLOCKS}",
                self.decided * 100.0
            ),
        };
        format!("{have} blocks; {until}: {more} more, about {minutes:.0} min")
    }
}

/// How long a session will be whose log-ratios have the standard deviation `sd` and the mean `effect`, both in logs, until it
/// says *different*, or *no difference* within `tie`. Simulated with normal noise, the same each time.
pub fn blocks_expected(sd: f64, effect: f64, tie: f64) -> Expected {
    expect(sd, effect, |interval| {
        interval.low > 0.0 || interval.high < 0.0 || interval.place_in(-tie, tie) == Place::Inside
    })
}

/// The same until a claim is decided whose region has its nearer end `distance` away from the truth, in logs.
pub fn blocks_until(sd: f64, distance: f64) -> Expected {
    expect(sd, distance.abs(), |interval| interval.low > 0.0)
}

fn expect(sd: f64, effect: f64, decided: impl Fn(&Interval) -> bool) -> Expected {
    const SESSIONS: usize = 2_000;
    let looks = Looks::default();
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut stops = [0usize; LOOKS.len()];
    let mut blocks = 0;
    for _ in 0..SESSIONS {
        let d: Vec<f64> = (0..MOST_BLOCKS).map(|_| effect + sd * normal(&mut rng)).collect();
        let stop = looks
            .0
            .iter()
            .position(|look| looks.interval(&d[..look.blocks]).is_some_and(|interval| decided(&interval)));
        blocks += stop.map_or(MOST_BLOCKS, |at| looks.0[at].blocks);
        if let Some(at) = stop {
            stops[at] += 1;
        }
    }
    let mut sum = 0;
    let most = stops.iter().zip(&looks.0).find_map(|(count, look)| {
        sum += count;
        (sum * 10 >= SESSIONS * 9).then_some(look.blocks)
    });
    let decided = stops.iter().sum::<usize>() as f64 / SESSIONS as f64;
    Expected { blocks: blocks as f64 / SESSIONS as f64, decided, most }
}

#[cfg(test)]
#[path = "looks_tests.rs"]
mod tests;
