//! Adjustment for what others took of the CPUs: analysis of covariance within a run.
//!
//! While the hypervisor or another process has a CPU, a stack answers less, whichever stack it is. How much less is fitted within the
//! run: slices of one block, stack and operation differ by nothing but time, so that the slope of their logarithms over what others
//! took is the machine's and no stack's. Each slice then counts as if nothing had been taken (Fisher 1932; the covariates are of the
//! machine, not of the stack, and slices are in random order, so that the adjusted ratio estimates the same as the plain one, with less
//! variance: `docs/design/2026-11-30-noisy-machines.md`).
//!
//! A covariate is `-ln(1 - share)` of the time that was taken from a part of the machine: 0 where nothing was, 0.69 at a half. With a
//! slope of 1 half of the CPU means half of the rate.

use std::collections::BTreeMap;

use dyno_model::{
    Operation, StackName,
    record::{Block, CpuSets, MachineParts, Slice, SliceLoad, Taken},
};

use crate::{
    FIRST_BLOCKS,
    statistics::{t_interval_at, t_quantile},
};

/// Covariates of a slice: taken by the hypervisor from the servers' CPUs, by other processes from the servers' CPUs, and both from the
/// CPUs of database and generator.
pub const COVARIATES: usize = 4;
/// What was taken in a slice, as covariates.
pub type Loss = [f64; COVARIATES];

/// Largest share of a part's time that is believed to be taken: counters of 10 ms may say more than all of a short slice.
const MOST: f64 = 0.9;
/// Slopes that are expected before any slice is seen: a server that has half of its CPU answers half as much; what it waits for,
/// somewhat less than that …
pub const EXPECTED_RATE: Loss = [1.0, 1.0, 0.7, 0.7];
/// … and costs the same CPU time for each request.
const EXPECTED_CPU: Loss = [0.0; COVARIATES];
/// Standard deviation of such an expectation: slopes of 0.3 to 1.5 were seen (`evidence/2026-11-30-noisy`).
const EXPECTED_SD: f64 = 0.7;
/// Rounds of the fit: the residual variance and the slopes depend on each other.
const ROUNDS: usize = 4;

/// What others took in a slice, as covariates. Other processes take what was wanted only while somebody waits for a CPU: what they use
/// while nobody of the run has anything to do there is no loss, and would follow the stack. A server waits as its threads do; on the other
/// CPUs the generator's wait, as a share of the time that it wanted, stands for the database's too.
pub fn loss(slice: &Slice, cpus: &CpuSets) -> Loss {
    let (server, rest) = (cpus.server.len(), cpus.beside_servers().len());
    let mut parts = slice.machine.parts.unwrap_or_else(|| evenly(slice, server, rest));
    parts.server.foreign_ns = parts.server.foreign_ns.min(slice.usage.wait_ns.unwrap_or(u64::MAX));
    if slice.machine.parts.is_some() {
        let (cpu_ns, wait_ns) =
            (slice.outcome.generator_cpu_ns as f64, slice.outcome.generator_wait_ns as f64);
        let kept_out = wait_ns / (cpu_ns + wait_ns).max(1.0) * slice.outcome.window_ns as f64 * rest as f64;
        parts.others.foreign_ns = parts.others.foreign_ns.min(kept_out as u64);
    }
    let of = |taken_ns: u64, cpus: usize| {
        let time_ns = slice.outcome.window_ns.max(1) as f64 * cpus.max(1) as f64;
        covariate(taken_ns as f64 / time_ns)
    };
    [
        of(parts.server.steal_ns, server),
        of(parts.server.foreign_ns, server),
        of(parts.others.steal_ns, rest),
        of(parts.others.foreign_ns, rest),
    ]
}

/// Share of the time of its CPUs in which a server had work: it ran, or would have run had others not taken its CPU. 1 is a server that
/// is the limit.
pub fn had_work(slice: &Slice, cpus: &CpuSets) -> f64 {
    let role = |name: &str| slice.cpu_ns.get(name).copied().unwrap_or(0);
    let time_ns = slice.outcome.window_ns.max(1) as f64 * cpus.server.len().max(1) as f64;
    let ran = (role("server") + role("front")) as f64 / time_ns;
    let loss = loss(slice, cpus);
    let taken = 1.0 - (-(loss[0] + loss[1])).exp();
    match slice.usage.wait_ns {
        Some(_) => (ran + taken).min(1.0),
        // Whether the server wanted what was taken isn't known: of what was left it used so much.
        None => (ran / (1.0 - taken).max(1e-3)).min(1.0),
    }
}

/// The covariate of a share of a part's time that was taken.
pub fn covariate(share: f64) -> f64 {
    -(-share.min(MOST)).ln_1p()
}

/// Totals of records that don't know the parts, shared out by CPUs.
fn evenly(slice: &Slice, server: usize, others: usize) -> MachineParts {
    let all = (server + others).max(1) as u64;
    let of = |cpus: usize| Taken {
        steal_ns: slice.machine.steal_ns * cpus as u64 / all,
        foreign_ns: slice.machine.foreign_ns * cpus as u64 / all,
    };
    MachineParts { server: of(server), others: of(others) }
}

/// How much what others took costs: slopes of logarithms over the covariates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slopes {
    /// Of the rate of right answers.
    pub rate: Loss,
    /// Of the stack's CPU time for each of them, less is negative.
    pub cpu: Loss,
    /// Of the database's.
    pub database: Loss,
}

impl Slopes {
    /// By which factor a slice's rate was lower for what others took.
    pub fn slowed(&self, loss: &Loss) -> f64 {
        (-dot(&self.rate, loss)).exp()
    }

    /// By which factor the stack's CPU time for a request was higher.
    pub fn dearer(&self, loss: &Loss) -> f64 {
        dot(&self.cpu, loss).exp()
    }

    /// By which factor the database's was.
    pub fn database_dearer(&self, loss: &Loss) -> f64 {
        dot(&self.database, loss).exp()
    }
}

fn dot(slopes: &Loss, loss: &Loss) -> f64 {
    slopes.iter().zip(loss).map(|(slope, loss)| slope * loss).sum()
}

/// Block, stack and place of the trial in it.
type CellKey<'a> = (u32, &'a StackName, usize);

/// Slopes of each operation, from the closed-loop slices of all stacks.
pub fn slopes(blocks: &[&Block], cpus: &CpuSets) -> BTreeMap<Operation, Slopes> {
    let mut cells: BTreeMap<Operation, BTreeMap<CellKey<'_>, Vec<Observed>>> = BTreeMap::new();
    for block in blocks {
        for (at, trial) in block.trials.iter().enumerate().filter(|(_, trial)| trial.failure.is_none()) {
            let closed = trial.slices.iter().filter(|slice| matches!(slice.load, SliceLoad::Closed { .. }));
            for slice in closed {
                let of = cells.entry(slice.operation).or_default();
                let cell = of.entry((block.index, &trial.stack, at)).or_default();
                cell.extend(observed(slice, cpus));
            }
        }
    }
    cells.into_iter().map(|(operation, cells)| (operation, fit_all(cells.into_values()))).collect()
}

/// Difference between what others took while one stack was loaded and while another was, from which on a ratio of the two isn't
/// believed: an adjustment's slope may be wrong by a third.
const FOLLOWS: f64 = 0.10;
/// How often that may be said of two stacks that are disturbed alike.
const FOLLOWS_LEVEL: f64 = 0.01;

/// By how much more of the servers' CPUs others took while the first stack was loaded, over the blocks that have both; `None` where it
/// isn't surely beyond a tenth. A saturated server wants its CPUs all the time, so that two of them lose the same to the same others;
/// what database and generator want of theirs is each stack's own.
pub fn follows(a: &[Option<Loss>], b: &[Option<Loss>]) -> Option<f64> {
    let total = |loss: &Loss| loss[0] + loss[1];
    let pairs = a.iter().zip(b).filter_map(|(a, b)| Some(total(a.as_ref()?) - total(b.as_ref()?)));
    let differences: Vec<f64> = pairs.collect();
    if differences.len() < FIRST_BLOCKS {
        return None;
    }
    let (mean, low, high) = t_interval_at(&differences, FOLLOWS_LEVEL)?;
    (low > FOLLOWS || high < -FOLLOWS).then_some(mean)
}

/// Level of the test whether what others take costs two stacks differently.
const UNEQUAL_LEVEL: f64 = 0.01;
/// Difference of such costs, as a logarithm, that isn't worth a word.
const UNEQUAL: f64 = 0.01;

/// What others took cost one stack more than another: their ratio as they met it isn't that of a calm machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unequal {
    /// By how much more the first stack's rate was lowered, as a logarithm; negative where it was the second's.
    pub by: f64,
    /// Its standard error.
    pub error: f64,
}

impl Unequal {
    /// Widens an interval of the first stack's log-ratio to the second so that it holds the ratio as it was met and the one had nothing
    /// been taken.
    pub fn widen(&self, (low, high): (f64, f64)) -> (f64, f64) {
        let (middle, half) = ((low + high) / 2.0 + self.by, (high - low) / 2.0);
        let half = half.hypot(2.0 * self.error);
        (low.min(middle - half), high.max(middle + half))
    }
}

/// Whether what others took surely cost one stack more than the other, from each block's fit of their slices and what they met in it. Each
/// stack's slopes are fitted by themselves, towards those of both; the error is the jackknife's over blocks (Tukey 1958), since slices of
/// a block aren't independent. `None` of fewer than four blocks.
pub fn unequal(a: &[(Fit, Loss)], b: &[(Fit, Loss)]) -> Option<Unequal> {
    let count = a.len().min(b.len());
    if count <= FIRST_BLOCKS {
        return None;
    }
    let by = cost_difference(a, b, count);
    if by.abs() <= UNEQUAL {
        return None;
    }
    let without: Vec<f64> = (0..count).map(|left_out| cost_difference(a, b, left_out)).collect();
    let mean = without.iter().sum::<f64>() / count as f64;
    let squares: f64 = without.iter().map(|one| (one - mean).powi(2)).sum();
    let error = (squares * (count as f64 - 1.0) / count as f64).sqrt();
    let sure = t_quantile(1.0 - UNEQUAL_LEVEL / 2.0, count as f64 - 1.0);
    (by.abs() > sure * error).then_some(Unequal { by, error })
}

/// By how much more the first stack's rate was lowered over all blocks but one; over all where there is no such block.
fn cost_difference(a: &[(Fit, Loss)], b: &[(Fit, Loss)], left_out: usize) -> f64 {
    let (mut of_a, mut of_b, mut met, mut blocks) = (Fit::default(), Fit::default(), [0.0; COVARIATES], 0.0);
    for (_, (a, b)) in a.iter().zip(b).enumerate().filter(|(at, _)| *at != left_out) {
        of_a.merge(&a.0);
        of_b.merge(&b.0);
        (0..COVARIATES).for_each(|k| met[k] += (a.1[k] + b.1[k]) / 2.0);
        blocks += 1.0;
    }
    let mut both = of_a.clone();
    both.merge(&of_b);
    let common = both.slopes(&EXPECTED_RATE);
    (dot(&of_a.slopes(&common), &met) - dot(&of_b.slopes(&common), &met)) / blocks
}

/// Logarithms of a slice's figures, with its covariates.
struct Observed {
    loss: Loss,
    rate: f64,
    cpu: Option<f64>,
    database: Option<f64>,
}

/// `None` for a slice without answers, which has no logarithm.
fn observed(slice: &Slice, cpus: &CpuSets) -> Option<Observed> {
    let (answers, window_ns) = (slice.outcome.window_completed, slice.outcome.window_ns);
    let per_answer = |ns: u64| (ns > 0).then(|| (ns as f64 / answers as f64).ln());
    let role = |name: &str| slice.cpu_ns.get(name).copied().unwrap_or(0);
    (answers > 0 && window_ns > 0).then(|| Observed {
        loss: loss(slice, cpus),
        rate: (answers as f64 / window_ns as f64).ln(),
        cpu: per_answer(role("server") + role("front")),
        database: per_answer(role("database")),
    })
}

/// The fit of the rates of one cell's closed-loop slices.
pub fn rate_fit(slices: &[&Slice], cpus: &CpuSets) -> Fit {
    let observed: Vec<Observed> = slices.iter().filter_map(|slice| observed(slice, cpus)).collect();
    let mut fit = Fit::default();
    let losses: Vec<Loss> = observed.iter().map(|one| one.loss).collect();
    fit.add(&losses, &observed.iter().map(|one| -one.rate).collect::<Vec<_>>());
    fit
}

fn fit_all(cells: impl Iterator<Item = Vec<Observed>>) -> Slopes {
    let (mut rate, mut cpu, mut database) = (Fit::default(), Fit::default(), Fit::default());
    for cell in cells {
        let losses: Vec<Loss> = cell.iter().map(|one| one.loss).collect();
        // What is taken lowers the rate, and its slope is told as a positive number.
        rate.add(&losses, &cell.iter().map(|one| -one.rate).collect::<Vec<_>>());
        for (fit, values) in [
            (&mut cpu, cell.iter().map(|one| one.cpu).collect::<Option<Vec<f64>>>()),
            (&mut database, cell.iter().map(|one| one.database).collect::<Option<Vec<f64>>>()),
        ] {
            fit.add(&losses, &values.unwrap_or_default());
        }
    }
    Slopes {
        rate: rate.slopes(&EXPECTED_RATE),
        cpu: cpu.slopes(&EXPECTED_CPU),
        database: database.slopes(&EXPECTED_CPU),
    }
}

/// Sums of a linear regression within cells, each of which has a level of its own.
#[derive(Clone, Debug, Default)]
pub struct Fit {
    squares: [[f64; COVARIATES]; COVARIATES],
    products: Loss,
    total: f64,
    freedom: f64,
}

impl Fit {
    /// Adds the slices of one cell. One of a single slice says nothing of a slope, and neither does one whose values aren't there.
    pub fn add(&mut self, losses: &[Loss], values: &[f64]) {
        if values.len() < 2 || values.len() != losses.len() {
            return;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let means: Loss = std::array::from_fn(|k| losses.iter().map(|loss| loss[k]).sum::<f64>() / count);
        for (loss, value) in losses.iter().zip(values) {
            let y = value - mean;
            let x: Loss = std::array::from_fn(|k| loss[k] - means[k]);
            for k in 0..COVARIATES {
                self.products[k] += x[k] * y;
                for l in 0..COVARIATES {
                    self.squares[k][l] += x[k] * x[l];
                }
            }
            self.total += y * y;
        }
        self.freedom += count - 1.0;
    }

    /// Adds the cells of another fit.
    pub fn merge(&mut self, other: &Self) {
        for k in 0..COVARIATES {
            self.products[k] += other.products[k];
            (0..COVARIATES).for_each(|l| self.squares[k][l] += other.squares[k][l]);
        }
        self.total += other.total;
        self.freedom += other.freedom;
    }

    /// Slopes: the mean of their distribution after the slices, where before them each was normal around `expected` with a standard
    /// deviation of 0.7 (ridge regression towards an expectation; Hoerl and Kennard 1970). So that slices which say little change
    /// little, and counters whose ticks are mere noise come out near 0.
    pub fn slopes(&self, expected: &Loss) -> Loss {
        if self.freedom < 1.0 {
            return *expected;
        }
        let prior = EXPECTED_SD.powi(-2);
        let mut variance = self.total / self.freedom;
        let mut slopes = *expected;
        for _ in 0..ROUNDS {
            let noise = variance.max(1e-12);
            let mut matrix = self.squares.map(|row| row.map(|square| square / noise));
            let mut right: Loss = std::array::from_fn(|k| self.products[k] / noise + prior * expected[k]);
            (0..COVARIATES).for_each(|k| matrix[k][k] += prior);
            solve(&mut matrix, &mut right);
            slopes = right;
            variance = self.left_over(&slopes) / self.freedom;
        }
        slopes
    }

    /// Sum of squares that the slopes leave.
    fn left_over(&self, slopes: &Loss) -> f64 {
        let explained: f64 = (0..COVARIATES)
            .map(|k| {
                let of_k: f64 = (0..COVARIATES).map(|l| self.squares[k][l] * slopes[l]).sum();
                slopes[k] * (2.0 * self.products[k] - of_k)
            })
            .sum();
        (self.total - explained).max(0.0)
    }
}

/// Solves a positive definite system in place, by Gaussian elimination; the answer is in `right`.
fn solve(matrix: &mut [[f64; COVARIATES]; COVARIATES], right: &mut Loss) {
    for pivot in 0..COVARIATES {
        for row in pivot + 1..COVARIATES {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            let above = matrix[pivot];
            (pivot..COVARIATES).for_each(|column| matrix[row][column] -= factor * above[column]);
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..COVARIATES).rev() {
        let known: f64 = (row + 1..COVARIATES).map(|column| matrix[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{statistics::normal, synthetic};

    #[test]
    fn planted_slopes_are_found_whatever_the_cells_levels_are() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let planted = [1.2, 0.4, 0.0, 0.9];
        let mut fit = Fit::default();
        for cell in 0..200 {
            let losses: Vec<Loss> =
                (0..4).map(|_| std::array::from_fn(|_| 0.3 * rng.random::<f64>())).collect();
            let level = f64::from(cell % 7);
            let values: Vec<f64> =
                losses.iter().map(|loss| level + dot(&planted, loss) + 0.05 * normal(&mut rng)).collect();
            fit.add(&losses, &values);
        }
        for (found, planted) in fit.slopes(&EXPECTED_RATE).into_iter().zip(planted) {
            assert!((found - planted).abs() < 0.1, "{found} for {planted}");
        }
    }

    #[test]
    fn nothing_seen_leaves_what_was_expected_and_ticks_that_mean_nothing_go_to_zero() {
        assert_eq!(Fit::default().slopes(&EXPECTED_RATE), EXPECTED_RATE);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut fit = Fit::default();
        for _ in 0..40 {
            // Two ticks of 10 ms at the ends of 220 ms, and rates that know nothing of them.
            let losses: Vec<Loss> =
                (0..8).map(|_| std::array::from_fn(|_| 0.05 * rng.random::<f64>())).collect();
            fit.add(&losses, &(0..8).map(|_| 0.02 * normal(&mut rng)).collect::<Vec<_>>());
        }
        assert!(
            fit.slopes(&EXPECTED_RATE).iter().all(|slope| slope.abs() < 0.3),
            "{:?}",
            fit.slopes(&EXPECTED_RATE)
        );
    }

    #[test]
    fn others_take_from_a_server_only_while_it_waits() {
        let run = synthetic::run(&[("base/s", 1000.0)]);
        let mut slice = synthetic::blocks(&run, &[1000.0], 1, 0.0)[0].trials[0].slices[0].clone();
        let window_ns = slice.outcome.window_ns;
        let half = Taken { steal_ns: 0, foreign_ns: window_ns / 2 };
        slice.machine.parts = Some(MachineParts { server: half, others: Taken::default() });
        slice.cpu_ns.insert("server".to_owned(), window_ns / 2);
        slice.usage.wait_ns = Some(window_ns);
        assert!((loss(&slice, &run.cpus)[1] - 2f64.ln()).abs() < 1e-6);
        assert!((had_work(&slice, &run.cpus) - 1.0).abs() < 1e-6, "two threads wait for one CPU");
        // Others fill the database's CPU, where the generator waits for a fifth of the time that it wants.
        slice.machine.parts = Some(MachineParts { server: half, others: half });
        (slice.outcome.generator_cpu_ns, slice.outcome.generator_wait_ns) = (40_000_000, 10_000_000);
        assert!(
            (loss(&slice, &run.cpus)[3] - (1.0f64 / 0.8).ln()).abs() < 1e-6,
            "{:?}",
            loss(&slice, &run.cpus)
        );
        slice.outcome.generator_wait_ns = 0;
        assert_eq!(loss(&slice, &run.cpus)[3], 0.0, "they took what nobody wanted");
        // The same, but the server had nothing to do: it wasn't the limit, and nothing was taken from it.
        slice.usage.wait_ns = Some(0);
        assert_eq!(loss(&slice, &run.cpus)[1], 0.0);
        assert!((had_work(&slice, &run.cpus) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn what_follows_a_stack_is_told_from_what_hits_all() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut losses = |taken: f64| -> Vec<Option<Loss>> {
            (0..8).map(|_| Some([(taken + 0.03 * normal(&mut rng)).max(0.0), 0.0, 0.0, 0.0])).collect()
        };
        let (calm, noisy) = (losses(0.05), losses(0.4));
        assert_eq!(follows(&losses(0.3), &losses(0.3)), None, "noisy alike");
        assert!(follows(&noisy, &calm).unwrap() > 0.3 && follows(&calm, &noisy).unwrap() < -0.3);
        assert_eq!(follows(&noisy[..2], &calm), None, "two blocks say nothing");
    }

    #[test]
    fn what_costs_one_stack_more_widens_a_ratio_to_hold_both() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut blocks = |slope: f64| -> Vec<(Fit, Loss)> {
            (0..8)
                .map(|_| {
                    let losses: Vec<Loss> = (0..16).map(|at| [0.0, f64::from(at % 2), 0.0, 0.0]).collect();
                    let mut fit = Fit::default();
                    let value = |loss: &Loss| slope * loss[1] + 0.03 * normal(&mut rng);
                    fit.add(&losses, &losses.iter().map(value).collect::<Vec<_>>());
                    (fit, [0.0, 0.5, 0.0, 0.0])
                })
                .collect()
        };
        let (much, little) = (blocks(1.2), blocks(0.8));
        assert_eq!(unequal(&much, &blocks(1.2)), None, "alike");
        assert_eq!(unequal(&much[..3], &little), None, "too few");
        let found = unequal(&much, &little).unwrap();
        assert!((found.by - 0.2).abs() < 0.03 && found.error < 0.02, "{found:?}");
        assert!((unequal(&little, &much).unwrap().by + found.by).abs() < 1e-9);
        let (low, high) = found.widen((-0.21, -0.19));
        assert!(
            low == -0.21 && (0.01..0.05).contains(&high),
            "as met -0.2, had nothing been taken 0: {low} {high}"
        );
    }

    #[test]
    fn a_record_without_parts_shares_its_totals_out() {
        let run = synthetic::run(&[("base/s", 1000.0)]);
        let mut slice = synthetic::blocks(&run, &[1000.0], 1, 0.0)[0].trials[0].slices[0].clone();
        slice.machine.steal_ns = slice.outcome.window_ns;
        let half = [0.5f64.ln().abs(), 0.0, 0.5f64.ln().abs(), 0.0];
        let near = |a: Loss, b: Loss| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near(loss(&slice, &run.cpus), half), "{:?}", loss(&slice, &run.cpus));
        let window_ns = slice.outcome.window_ns;
        let server = Taken { steal_ns: 0, foreign_ns: window_ns / 2 };
        slice.machine.parts = Some(MachineParts { server, others: Taken::default() });
        assert!(near(loss(&slice, &run.cpus), [0.0, half[0], 0.0, 0.0]));
        // More than all of it is a counter's tick.
        slice.machine.parts =
            Some(MachineParts { server: Taken { steal_ns: 2 * window_ns, foreign_ns: 0 }, others: server });
        assert!((loss(&slice, &run.cpus)[0] - 10f64.ln()).abs() < 1e-9);
    }
}
