//! A cell is one stack and operation: what each block says about it, with the disturbed slices left out.

use dyno_model::{
    Operation, StackName,
    histogram::LatencyHistogram,
    load::Counts,
    record::{Block, Run, Slice, SliceLoad},
};

/// Foreign and stolen CPU time within a slice, as a share of one core, beyond which it is left out, whatever it
/// measured (METHOD, section 3: label-blind).
const FOREIGN: f64 = 0.10;

/// All that the blocks say about one stack and operation.
pub struct Cell {
    pub stack: StackName,
    pub operation: Operation,
    /// One entry for each complete block; `None` where the block has nothing to say.
    pub throughput: Vec<Option<Closed>>,
    /// One entry for each complete block.
    pub latency: Vec<Option<Open>>,
    /// Slices left out for foreign CPU, and slices in all.
    pub dropped: (usize, usize),
    /// Counts over all slices, those left out too.
    pub counts: Counts,
}

/// Closed-loop slices of a block added up.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    pub completed: u64,
    pub window_ns: u64,
    /// Server and front.
    pub stack_cpu_ns: u64,
    pub database_cpu_ns: u64,
    pub generator_cpu_ns: u64,
    pub length_ns: u64,
    pub memory_bytes: u64,
}

/// Open-loop slices of a block added up.
#[derive(Clone, Debug, Default)]
pub struct Open {
    pub latency: LatencyHistogram,
    pub latency_less_late: LatencyHistogram,
    pub in_flight_ns: u64,
    pub latency_sum_ns: u64,
    /// Largest backlog at a slice's end, in seconds of arrivals.
    pub backlog_s: f64,
}

/// Adds up what the blocks say.
pub fn cells(run: &Run, blocks: &[&Block]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &operation in &run.plan.operations {
        for prepared in &run.prepared {
            cells.push(cell(&prepared.stack, operation, blocks));
        }
    }
    cells
}

fn cell(stack: &StackName, operation: Operation, blocks: &[&Block]) -> Cell {
    let mut cell = Cell {
        stack: stack.clone(),
        operation,
        throughput: Vec::new(),
        latency: Vec::new(),
        dropped: (0, 0),
        counts: Counts::default(),
    };
    for block in blocks {
        // A trial that failed in the block says nothing about it; several trials are those of pairs.
        let trials = block.trials.iter().filter(|trial| trial.stack == *stack && trial.failure.is_none());
        let slices = trials.flat_map(|trial| &trial.slices).filter(|slice| slice.operation == operation);
        let (mut closed, mut open) = (None, None);
        for slice in slices {
            cell.counts += slice.outcome.counts;
            cell.dropped.1 += 1;
            if foreign_share(slice) > FOREIGN {
                cell.dropped.0 += 1;
                continue;
            }
            match slice.load {
                SliceLoad::Closed { .. } => add_closed(closed.get_or_insert_default(), slice),
                SliceLoad::Open { rate, .. } => add_open(open.get_or_insert_default(), slice, rate.per_s()),
            }
        }
        cell.throughput.push(closed);
        cell.latency.push(open);
    }
    cell
}

/// Foreign and stolen time as a share of one core.
fn foreign_share(slice: &Slice) -> f64 {
    let ns = slice.machine.foreign_ns + slice.machine.steal_ns;
    // The kernel counts busy time in ticks of 10 ms: up to one for each CPU at either end is no evidence.
    ns.saturating_sub(20_000_000) as f64 / slice.outcome.window_ns.max(1) as f64
}

fn add_closed(sum: &mut Closed, slice: &Slice) {
    let role = |name: &str| slice.cpu_ns.get(name).copied().unwrap_or(0);
    sum.completed += slice.outcome.window_completed;
    sum.window_ns += slice.outcome.window_ns;
    sum.stack_cpu_ns += role("server") + role("front");
    sum.database_cpu_ns += role("database");
    sum.generator_cpu_ns += slice.outcome.generator_cpu_ns;
    sum.length_ns += slice.outcome.window_ns;
    sum.memory_bytes = sum.memory_bytes.max(slice.usage.memory_bytes);
}

fn add_open(sum: &mut Open, slice: &Slice, rate_per_s: f64) {
    sum.latency.merge(&slice.outcome.latency);
    sum.latency_less_late.merge(&slice.outcome.latency_less_late);
    sum.in_flight_ns += slice.outcome.in_flight_ns;
    sum.latency_sum_ns += slice.outcome.latency_sum_ns;
    sum.backlog_s = sum.backlog_s.max(slice.outcome.backlog as f64 / rate_per_s);
}
