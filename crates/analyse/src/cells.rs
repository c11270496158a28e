//! A cell is one stack and operation: what each block says about it. Disturbed slices are adjusted for what others took, and none is
//! left out.

use dyno_model::{
    Operation, StackName,
    histogram::LatencyHistogram,
    load::{ConnectionCounts, Counts},
    record::{Block, Run, Slice, SliceLoad, Trial},
    self_check::FEWEST_GAPS,
};

use crate::{
    adjust::{COVARIATES, Fit, Loss, Slopes, had_work, loss, rate_fit, slopes},
    filter::{Disturbance, disturbed},
    statistics::mean,
    weights::{FULL, weights},
};

/// All that the blocks say about one stack and operation.
pub struct Cell {
    pub stack: StackName,
    pub operation: Operation,
    /// One entry for each complete block; `None` where the block has nothing to say.
    pub throughput: Vec<Option<Closed>>,
    /// One entry for each complete block.
    pub latency: Vec<Option<Open>>,
    /// Slices in which others took more than a tenth of a CPU, and slices in all.
    pub disturbed: (usize, usize),
    /// Slices of quads that count less than half, because the CPUs' speed, or what others took of them, changed in them.
    pub uneven: usize,
    /// What others took in each block's closed-loop slices, in the mean; `None` where the block has none.
    pub losses: Vec<Option<Loss>>,
    /// The fit of each block's closed-loop rates over what others took, in the order of `losses`.
    pub fits: Vec<Fit>,
    /// Counts over all slices, those left out too.
    pub counts: Counts,
    /// What happened to connections, in all slices.
    pub connections: ConnectionCounts,
    /// One A² for each open-loop slice, or for each trial where slices are too short (G3).
    pub pacing: Vec<f64>,
    /// Whether `pacing` is of trials.
    pub pacing_of_trials: bool,
    /// For each block, the logarithm of the second half's rate over the first half's (G6).
    pub rate_trend: Vec<Option<f64>>,
    /// The same of the median latency.
    pub latency_trend: Vec<Option<f64>>,
}

/// Closed-loop slices of a block added up, each times its weight: ratios of `completed`, `window_ns` and CPU times mean something, they
/// themselves don't.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    pub completed: u64,
    pub window_ns: u64,
    /// Time that the machine gave: the window less what others took, by how much that was seen to cost.
    pub given_ns: f64,
    /// Server and front.
    pub stack_cpu_ns: u64,
    /// The same, had others taken nothing.
    pub stack_cpu_adjusted_ns: f64,
    pub database_cpu_ns: u64,
    /// The same, had others taken nothing.
    pub database_cpu_adjusted_ns: f64,
    /// Time of all servers' CPUs in which the server had work.
    pub had_work_ns: f64,
    /// Time of each CPU of database and generator that others left to the run.
    pub there_ns: f64,
    pub memory_bytes: u64,
    pub generator: Generator,
}

/// What the generator did in slices, guards included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Generator {
    pub cpu_ns: u64,
    pub wait_ns: u64,
    /// The drain isn't in it, whose length isn't recorded: shares of it are somewhat too large.
    pub length_ns: u64,
    pub in_flight_ns: u64,
    pub latency_sum_ns: u64,
}

/// Open-loop slices of a block added up.
#[derive(Clone, Debug, Default)]
pub struct Open {
    pub latency: LatencyHistogram,
    pub latency_less_late: LatencyHistogram,
    pub unread: LatencyHistogram,
    pub unstamped: u64,
    pub answers: u64,
    pub generator: Generator,
    /// Largest backlog at a slice's end, in seconds of arrivals.
    pub backlog_s: f64,
}

/// Adds up what the blocks say.
pub fn cells(run: &Run, blocks: &[&Block]) -> Vec<Cell> {
    let mut cells = Vec::new();
    let slopes = slopes(blocks, &run.cpus);
    let blocks: Vec<(&Block, Vec<Vec<u64>>)> =
        blocks.iter().map(|&block| (block, weights(block, &run.cpus))).collect();
    for &operation in &run.plan.operations {
        let slopes = slopes.get(&operation).copied().unwrap_or_default();
        for prepared in &run.prepared {
            cells.push(Cell::of(run, &prepared.stack, operation, &blocks, &slopes));
        }
    }
    cells
}

impl Cell {
    fn of(
        run: &Run,
        stack: &StackName,
        operation: Operation,
        blocks: &[(&Block, Vec<Vec<u64>>)],
        slopes: &Slopes,
    ) -> Self {
        let mut cell = Self {
            stack: stack.clone(),
            operation,
            throughput: Vec::new(),
            latency: Vec::new(),
            disturbed: (0, 0),
            uneven: 0,
            losses: Vec::new(),
            fits: Vec::new(),
            counts: Counts::default(),
            connections: ConnectionCounts::default(),
            pacing: Vec::new(),
            pacing_of_trials: false,
            rate_trend: Vec::new(),
            latency_trend: Vec::new(),
        };
        let adjusting = Adjusting { run, slopes, guard_ns: run.plan.design.guard.0.as_nanos() as u64 };
        let mut trial_pacing = Vec::new();
        for (block, weights) in blocks {
            // A trial that failed in the block says nothing about it; several trials are those of pairs.
            let trials: Vec<(&Trial, &[u64])> = block
                .trials
                .iter()
                .zip(weights.iter().map(Vec::as_slice))
                .filter(|(trial, _)| trial.stack == *stack && trial.failure.is_none())
                .collect();
            cell.add_block(&trials, &adjusting);
            trial_pacing
                .extend(trials.iter().filter_map(|(trial, _)| trial.pacing).map(|pacing| pacing.a_squared));
        }
        if cell.pacing.is_empty() && cell.latency.iter().any(Option::is_some) {
            (cell.pacing, cell.pacing_of_trials) = (trial_pacing, true);
        }
        cell
    }

    fn add_block(&mut self, trials: &[(&Trial, &[u64])], adjusting: &Adjusting<'_>) {
        let (mut closed, mut open) = (None, None);
        let (mut losses, mut fit): (Vec<Loss>, Fit) = (Vec::new(), Fit::default());
        let (mut rate_trends, mut latency_trends) = (Vec::new(), Vec::new());
        for (trial, weights) in trials {
            let (mut closed_slices, mut open_slices) = (Vec::new(), Vec::new());
            let slices = trial.slices.iter().zip(*weights);
            for (slice, &weight) in slices.filter(|(slice, _)| slice.operation == self.operation) {
                self.counts += slice.outcome.counts;
                self.connections += slice.outcome.connections;
                self.disturbed.1 += 1;
                self.disturbed.0 += usize::from(disturbed(foreign_share(slice)));
                if weight == 0 {
                    continue;
                }
                self.uneven += usize::from(weight < FULL / 2);
                match slice.load {
                    SliceLoad::Closed { .. } => {
                        add_closed(closed.get_or_insert_default(), slice, weight, adjusting);
                        losses.push(loss(slice, &adjusting.run.cpus));
                        closed_slices.push(slice);
                    }
                    SliceLoad::Open { rate, .. } => {
                        add_open(open.get_or_insert_default(), slice, rate.per_s(), adjusting.guard_ns);
                        open_slices.push(slice);
                        let pacing = slice.outcome.pacing.filter(|one| one.gaps >= FEWEST_GAPS as u64);
                        self.pacing.extend(pacing.map(|pacing| pacing.a_squared));
                    }
                }
            }
            fit.merge(&rate_fit(&closed_slices, &adjusting.run.cpus));
            rate_trends.extend(trend(&closed_slices, rate));
            latency_trends.extend(trend(&open_slices, median));
        }
        self.throughput.push(closed);
        self.losses.push(mean_loss(&losses));
        self.fits.push(fit);
        self.latency.push(open);
        // Trials of one block are one number: the block is the unit.
        let one = |trends: &[f64]| (!trends.is_empty()).then(|| mean(trends));
        self.rate_trend.push(one(&rate_trends));
        self.latency_trend.push(one(&latency_trends));
    }

    /// All closed-loop slices.
    pub fn closed(&self) -> Closed {
        let mut sum = Closed::default();
        for one in self.throughput.iter().flatten() {
            sum.completed += one.completed;
            sum.window_ns += one.window_ns;
            sum.given_ns += one.given_ns;
            sum.stack_cpu_ns += one.stack_cpu_ns;
            sum.stack_cpu_adjusted_ns += one.stack_cpu_adjusted_ns;
            sum.database_cpu_ns += one.database_cpu_ns;
            sum.database_cpu_adjusted_ns += one.database_cpu_adjusted_ns;
            sum.had_work_ns += one.had_work_ns;
            sum.there_ns += one.there_ns;
            sum.memory_bytes = sum.memory_bytes.max(one.memory_bytes);
            sum.generator += one.generator;
        }
        sum
    }

    /// All open-loop slices.
    pub fn open(&self) -> Open {
        let mut sum = Open::default();
        for one in self.latency.iter().flatten() {
            sum.latency.merge(&one.latency);
            sum.latency_less_late.merge(&one.latency_less_late);
            sum.unread.merge(&one.unread);
            sum.unstamped += one.unstamped;
            sum.answers += one.answers;
            sum.generator += one.generator;
            sum.backlog_s = sum.backlog_s.max(one.backlog_s);
        }
        sum
    }
}

/// The logarithm of what `measure` says of the second half of a trial's slices over what it says of the first; one in the
/// middle is in neither. `None` for fewer than two slices, or where a half has no answers.
fn trend(slices: &[&Slice], measure: fn(&[&Slice]) -> Option<f64>) -> Option<f64> {
    let half = slices.len() / 2;
    let (first, second) = (measure(&slices[..half])?, measure(&slices[slices.len() - half..])?);
    Some((second / first).ln()).filter(|trend| trend.is_finite())
}

fn rate(slices: &[&Slice]) -> Option<f64> {
    let sum = |of: fn(&Slice) -> u64| slices.iter().map(|slice| of(slice)).sum::<u64>() as f64;
    let rate = sum(|slice| slice.outcome.window_completed) / sum(|slice| slice.outcome.window_ns);
    (rate > 0.0).then_some(rate)
}

fn median(slices: &[&Slice]) -> Option<f64> {
    let mut merged = LatencyHistogram::default();
    slices.iter().for_each(|slice| merged.merge(&slice.outcome.latency));
    merged.quantile_ns(0.5).map(|median_ns| median_ns as f64)
}

/// Foreign and stolen time as a share of one core.
pub fn foreign_share(slice: &Slice) -> f64 {
    let (foreign_ns, steal_ns) = (slice.machine.foreign_ns, slice.machine.steal_ns);
    Disturbance { foreign_ns, steal_ns, length_ns: slice.outcome.window_ns }.share()
}

/// What adding a slice up needs besides the slice.
struct Adjusting<'a> {
    run: &'a Run,
    slopes: &'a Slopes,
    guard_ns: u64,
}

/// The mean of what others took; `None` of no slices.
fn mean_loss(losses: &[Loss]) -> Option<Loss> {
    let mean = |k: usize| losses.iter().map(|loss| loss[k]).sum::<f64>() / losses.len() as f64;
    (!losses.is_empty()).then(|| std::array::from_fn::<f64, COVARIATES, _>(mean))
}

fn add_closed(sum: &mut Closed, slice: &Slice, weight: u64, adjusting: &Adjusting<'_>) {
    let role = |name: &str| slice.cpu_ns.get(name).copied().unwrap_or(0);
    let (loss, slopes) = (loss(slice, &adjusting.run.cpus), adjusting.slopes);
    let (window_ns, stack_ns, database_ns) = (
        weight * slice.outcome.window_ns,
        weight * (role("server") + role("front")),
        weight * role("database"),
    );
    sum.completed += weight * slice.outcome.window_completed;
    sum.window_ns += window_ns;
    sum.given_ns += window_ns as f64 * slopes.slowed(&loss);
    sum.stack_cpu_ns += stack_ns;
    sum.stack_cpu_adjusted_ns += stack_ns as f64 / slopes.dearer(&loss);
    sum.database_cpu_ns += database_ns;
    sum.database_cpu_adjusted_ns += database_ns as f64 / slopes.database_dearer(&loss);
    let cpus = &adjusting.run.cpus;
    let taken = if cpus.beside_servers().is_empty() { loss[0] + loss[1] } else { loss[2] + loss[3] };
    sum.there_ns += window_ns as f64 * (-taken).exp();
    sum.had_work_ns += window_ns as f64 * cpus.server.len().max(1) as f64 * had_work(slice, cpus);
    sum.memory_bytes = sum.memory_bytes.max(slice.usage.memory_bytes);
    sum.generator += generator(slice, adjusting.guard_ns).times(weight);
}

fn add_open(sum: &mut Open, slice: &Slice, rate_per_s: f64, guard_ns: u64) {
    let outcome = &slice.outcome;
    sum.latency.merge(&outcome.latency);
    sum.latency_less_late.merge(&outcome.latency_less_late);
    sum.unread.merge(&outcome.unread);
    sum.unstamped += outcome.unstamped;
    sum.answers += outcome.counts.completed + outcome.counts.failed.total();
    sum.backlog_s = sum.backlog_s.max(outcome.backlog as f64 / rate_per_s);
    sum.generator += generator(slice, guard_ns);
}

fn generator(slice: &Slice, guard_ns: u64) -> Generator {
    let outcome = &slice.outcome;
    Generator {
        cpu_ns: outcome.generator_cpu_ns,
        wait_ns: outcome.generator_wait_ns,
        length_ns: outcome.window_ns + guard_ns,
        in_flight_ns: outcome.in_flight_ns,
        latency_sum_ns: outcome.latency_sum_ns,
    }
}

impl Generator {
    fn times(self, weight: u64) -> Self {
        Self {
            cpu_ns: weight * self.cpu_ns,
            wait_ns: weight * self.wait_ns,
            length_ns: weight * self.length_ns,
            in_flight_ns: weight * self.in_flight_ns,
            latency_sum_ns: weight * self.latency_sum_ns,
        }
    }
}

impl std::ops::AddAssign for Generator {
    fn add_assign(&mut self, other: Self) {
        self.cpu_ns += other.cpu_ns;
        self.wait_ns += other.wait_ns;
        self.length_ns += other.length_ns;
        self.in_flight_ns += other.in_flight_ns;
        self.latency_sum_ns += other.latency_sum_ns;
    }
}
