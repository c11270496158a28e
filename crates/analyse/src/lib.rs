//! Samples -> estimates, intervals, verdicts, warnings. Pure: no clock, no files, and it doesn't know that HTTP exists.
//!
//! The block is the only unit of inference: every interval rests on one number per block (METHOD, section 4).

pub mod across;
pub mod adjust;
pub mod agenda;
pub mod anytime;
pub mod calibration;
pub mod capacity;
mod cells;
pub mod claims;
mod estimates;
pub mod filter;
pub mod gate;
mod health;
pub mod history;
pub mod load;
pub mod looks;
pub mod percentiles;
pub mod pictures;
pub mod placebo;
pub mod quads;
pub mod ranks;
pub mod rehearsal;
pub mod scaling;
mod self_checks;
mod sentences;
mod servers;
pub mod shift;
pub mod spread;
pub mod statistics;
#[doc(hidden)]
pub mod synthetic;
pub mod tails;
mod trends;
mod trust;
mod verdicts;
pub mod warm_up;
pub mod weights;

use dyno_model::{
    Operation, StackName,
    output::{Comparison, Estimate, Metric, SelfCheck, Verdict},
    record::{Block, BlockState, NotRun, Run},
    warning::Warning,
};

pub use health::P99_REQUESTS;
pub use servers::ServerSays;
pub use trust::Trust;

/// Fewest blocks that a claim may rest on: the first look.
pub const FEWEST_BLOCKS: usize = 8;
/// Fewest blocks that an interval of a table, or of a run that was stopped early, may rest on.
pub const FIRST_BLOCKS: usize = 3;
/// The region of practical equivalence: a ratio within it is a tie.
pub const TIE: f64 = 1.03;

/// Everything that a report says about a run.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// Complete blocks.
    pub blocks: u32,
    /// The answer in sentences.
    pub sentences: Vec<String>,
    /// Estimates with intervals and ranks.
    pub results: Vec<Estimate>,
    /// Ratios to the baseline.
    pub comparisons: Vec<Comparison>,
    /// Stacks that aren't, or aren't wholly, in the results.
    pub not_run: Vec<NotRun>,
    /// What makes numbers less sure.
    pub warnings: Vec<Warning>,
    /// The self-checks G1 to G8 over all cells, those that passed too.
    pub checks: Vec<SelfCheck>,
    /// What servers with statistics of their own say.
    pub servers: Vec<ServerSays>,
    /// How far the whole run may be trusted.
    pub trust: Trust,
    /// Why a number may carry no verdict and no rank, where that is so.
    pub refusals: Vec<Refusal>,
    /// One value per block, for plots.
    pub series: Vec<Series>,
    /// Percentiles that claims may ask for and no table shows.
    pub tails: Vec<tails::Tail>,
    /// Latency by percentile, for plots.
    pub curves: Vec<Curve>,
    /// CPU by role, slices over time, distributions, for plots.
    pub pictures: pictures::Pictures,
}

/// What one stack did in each block.
#[derive(Clone, Debug)]
pub struct Series {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// The metric.
    pub metric: Metric,
    /// One value for each complete block, in its unit; `None` where the block has none.
    pub values: Vec<Option<f64>>,
}

/// A number that may carry no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// The metric.
    pub metric: Metric,
    /// Why.
    pub reason: String,
}

impl Refusal {
    /// The reason without the stack's name; `None` where it is the whole run's.
    pub fn own(&self) -> Option<&str> {
        self.reason.strip_prefix(&self.stack.to_string())?.strip_prefix(": ")
    }
}

/// Latency by percentile at the plan's offered rate.
#[derive(Clone, Debug)]
pub struct Curve {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// Quantile (0..1) and latency in microseconds.
    pub points: Vec<(f64, f64)>,
    /// Requests that it rests on.
    pub requests: u64,
}

impl Analysis {
    /// Whether more blocks could still change a verdict on one of these metrics.
    pub fn is_open(&self, metrics: &[Metric]) -> bool {
        let open = |one: &&Comparison| matches!(one.verdict, Verdict::Inconclusive | Verdict::NoVerdict);
        self.comparisons.iter().filter(|one| metrics.contains(&one.metric)).any(|one| open(&one))
    }

    /// Why a stack's figure may carry no verdict, without the stack's name; `None` where one may, and where the reason is the whole
    /// run's.
    pub fn own_refusal(&self, stack: &StackName, operation: Operation, metric: Metric) -> Option<&str> {
        let found =
            |one: &&Refusal| one.stack == *stack && one.operation == operation && one.metric == metric;
        self.refusals.iter().find(found)?.own()
    }

    /// Blocks until the next look at a run with looks, by the pair that has the fewest; 0 after the last.
    pub fn to_next_look(&self) -> u32 {
        let (fewest, _) = self.valid_blocks();
        looks::next_look(fewest as usize).map_or(0, |next| u32::try_from(next).unwrap_or(0) - fewest)
    }

    /// The fewest and the most blocks that any stack's throughput rests on: complete ones that aren't void, in which it didn't fail.
    pub fn valid_blocks(&self) -> (u32, u32) {
        let valid = |one: &Series| one.values.iter().flatten().count() as u32;
        let counts = || self.series.iter().filter(|one| one.metric == Metric::Throughput).map(valid);
        (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
    }
}

/// Which of the series may carry no verdict, and why.
fn refusals(series: &[Series], health: &health::Health) -> Vec<Refusal> {
    let whole = health.no_verdict.first();
    let of = |one: &Series| {
        let reason = whole.cloned().or_else(|| health.refusal(&one.stack, one.operation, one.metric))?;
        Some(Refusal { stack: one.stack.clone(), operation: one.operation, metric: one.metric, reason })
    };
    series.iter().filter_map(of).collect()
}

/// The part of an analysis that a history needs: what a run's ratios are, and whether to believe them. Ranks and plots, which
/// take most of the time, aren't in it.
#[derive(Clone, Debug)]
pub struct Ratios {
    /// Ratios to the baseline.
    pub comparisons: Vec<Comparison>,
    /// Stacks that aren't, or aren't wholly, in the results.
    pub not_run: Vec<NotRun>,
    /// How far the whole run may be trusted.
    pub trust: Trust,
    /// One value per block.
    pub series: Vec<Series>,
}

/// Analyses the ratios alone.
pub fn ratios(run: &Run, blocks: &[Block]) -> Ratios {
    let complete = complete(blocks);
    let (_, series, health) = examine(run, &complete);
    Ratios {
        comparisons: verdicts::compare(run, &series, &health),
        not_run: not_run(run, &health),
        trust: trust::judge(&health, complete.len()),
        series,
    }
}

fn complete(blocks: &[Block]) -> Vec<&Block> {
    blocks.iter().filter(|block| block.state == BlockState::Complete).collect()
}

/// What the blocks say, the canary's song heard: from then on it is no stack of the run's.
fn examine(run: &Run, complete: &[&Block]) -> (Vec<cells::Cell>, Vec<Series>, health::Health) {
    let cells = cells::cells(run, complete);
    let mut series = estimates::series(&cells);
    let mut health = health::examine(run, complete, &cells);
    if let Some(said) = verdicts::canary(run, &series) {
        health.hear_canary(said);
    }
    series.retain(|one| is_shown(run, &one.stack));
    (cells, series, health)
}

fn is_shown(run: &Run, stack: &StackName) -> bool {
    run.plan.design.canary.as_ref() != Some(stack)
}

fn not_run(run: &Run, health: &health::Health) -> Vec<NotRun> {
    run.not_run.iter().chain(&health.failures).cloned().collect()
}

/// Analyses a run from its record.
pub fn analyse(run: &Run, blocks: &[Block]) -> Analysis {
    let complete = complete(blocks);
    let (cells, series, health) = examine(run, &complete);
    let mut results = estimates::estimates(&cells, &series, &health);
    ranks::rank(&mut results, &series, &health);
    let comparisons = verdicts::compare(run, &series, &health);
    let refusals = refusals(&series, &health);
    let trust = trust::judge(&health, complete.len());
    let tails = tails::tails(run, &cells, &health);
    let mut sentences = sentences::sentences(run, &results, &comparisons, &refusals, &trust);
    sentences.extend(agenda::reached(run, &comparisons, u32::try_from(complete.len()).unwrap_or(u32::MAX)));
    Analysis {
        blocks: u32::try_from(complete.len()).unwrap_or(u32::MAX),
        sentences,
        results,
        comparisons,
        not_run: not_run(run, &health),
        warnings: run.warnings.iter().cloned().chain(health.warnings).collect(),
        checks: health.checks,
        servers: servers::servers(run, &complete),
        trust,
        refusals,
        tails,
        curves: estimates::curves(&cells).into_iter().filter(|one| is_shown(run, &one.stack)).collect(),
        pictures: pictures::pictures(run, blocks, &cells),
        series,
    }
}
