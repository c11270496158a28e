//! What only plots need: where CPU time went, every slice over time with those that were disturbed, distributions.

use dyno_model::{
    Operation, StackName,
    record::{Block, BlockState, Run, Slice, SliceLoad},
};

use crate::{
    cells::{Cell, foreign_share},
    filter::disturbed,
};

/// The roles of a [`CpuSplit`], in the order of plots. `other` is a pooler, a broker and workers of tasks.
pub const ROLES: [&str; 5] = ["server", "front", "database", "other", "generator"];
/// Steps of a [`Distribution`]'s logarithmic axis for each factor of ten.
const STEPS: f64 = 16.0;

/// Where the CPU time of a right answer went in saturated slices.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuSplit {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// Microseconds for each right answer, one for each of [`ROLES`].
    pub us: [f64; ROLES.len()],
}

/// One slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SliceSeen {
    /// Index into the run's prepared stacks.
    pub stack: usize,
    /// The operation.
    pub operation: Operation,
    /// Block, from 0.
    pub block: u32,
    /// Begin in seconds, the time between blocks left out.
    pub at_s: f64,
    /// Right answers per second over the mean of its stack and operation; `None` in an open loop, or where nothing was answered.
    pub relative: Option<f64>,
    /// Memory of server and front at its end, in MiB.
    pub memory_mib: f64,
    /// Foreign and stolen CPU time, as a share of one core, what the clock's ticks can't tell taken off.
    pub foreign: f64,
    /// Whether that is more than a tenth.
    pub disturbed: bool,
}

/// One block, complete or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockSeen {
    /// Number of the block.
    pub index: u32,
    /// Begin in seconds, the time between blocks left out.
    pub at_s: f64,
    /// Length in seconds.
    pub length_s: f64,
    /// Whether it counts.
    pub complete: bool,
    /// Speed of the fixed spin over its mean over blocks: the machine's own drift.
    pub spin: f64,
    /// Trials, and those that failed.
    pub trials: (usize, usize),
    /// Slices, and those that were disturbed.
    pub slices: (usize, usize),
}

/// All latencies of an open-loop cell over a logarithmic axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// Middle of each step in microseconds, and the share of requests in it (0..=1); only steps that have any.
    pub shares: Vec<(f64, f64)>,
}

/// What plots need besides estimates.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// CPU time by role.
    pub cpu: Vec<CpuSplit>,
    /// Slices in order of blocks and trials.
    pub slices: Vec<SliceSeen>,
    /// Blocks in order.
    pub blocks: Vec<BlockSeen>,
    /// Latency distributions.
    pub distributions: Vec<Distribution>,
}

/// Gathers them. `blocks` are all of the run, also those that were stopped.
pub fn pictures(run: &Run, blocks: &[Block], cells: &[Cell]) -> Pictures {
    Pictures {
        cpu: cpu(run, blocks),
        slices: slices(run, blocks),
        blocks: blocks_seen(blocks),
        distributions: cells.iter().filter_map(distribution).collect(),
    }
}

fn role(name: &str) -> usize {
    ROLES.iter().position(|role| *role == name).unwrap_or(3)
}

fn cpu(run: &Run, blocks: &[Block]) -> Vec<CpuSplit> {
    let operations = &run.plan.operations;
    let mut sums = vec![([0.0f64; ROLES.len()], 0.0f64); run.prepared.len() * operations.len()];
    let complete = blocks.iter().filter(|block| block.state == BlockState::Complete);
    for (stack, slice) in complete.flat_map(|block| slices_of(run, block)) {
        let Some(operation) = operations.iter().position(|one| *one == slice.operation) else { continue };
        if !matches!(slice.load, SliceLoad::Closed { .. }) {
            continue;
        }
        let (us, answers) = &mut sums[stack * operations.len() + operation];
        for (name, ns) in &slice.cpu_ns {
            us[role(name)] += *ns as f64 / 1e3;
        }
        us[role("generator")] += slice.outcome.generator_cpu_ns as f64 / 1e3;
        *answers += slice.outcome.window_completed as f64;
    }
    let with_answers = sums.into_iter().enumerate().filter(|(_, (_, answers))| *answers > 0.0);
    let split = |(at, (us, answers)): (usize, ([f64; ROLES.len()], f64))| CpuSplit {
        stack: run.prepared[at / operations.len()].stack.clone(),
        operation: operations[at % operations.len()],
        us: us.map(|us| us / answers),
    };
    with_answers.map(split).collect()
}

/// Slices of trials that didn't fail, with the index of their stack.
fn slices_of<'a>(run: &'a Run, block: &'a Block) -> impl Iterator<Item = (usize, &'a Slice)> {
    let trials = block.trials.iter().filter(|trial| trial.failure.is_none());
    let of_known = trials.filter_map(|trial| {
        let stack = run.prepared.iter().position(|one| one.stack == trial.stack)?;
        Some(trial.slices.iter().map(move |slice| (stack, slice)))
    });
    of_known.flatten()
}

fn rate(slice: &Slice) -> Option<f64> {
    let rate = slice.outcome.window_completed as f64 / slice.outcome.window_ns as f64;
    (matches!(slice.load, SliceLoad::Closed { .. }) && rate.is_finite() && rate > 0.0).then_some(rate)
}

fn slices(run: &Run, blocks: &[Block]) -> Vec<SliceSeen> {
    let mut begin_s = 0.0;
    let mut all = Vec::new();
    let mut sums = std::collections::BTreeMap::new();
    for block in blocks {
        for (stack, slice) in slices_of(run, block) {
            let rate = rate(slice);
            let sum = sums.entry((stack, slice.operation)).or_insert((0.0, 0u32));
            if let Some(rate) = rate {
                *sum = (sum.0 + rate.ln(), sum.1 + 1);
            }
            all.push(SliceSeen {
                stack,
                operation: slice.operation,
                block: block.index,
                at_s: begin_s + slice.at_ns as f64 / 1e9,
                relative: rate,
                memory_mib: slice.usage.memory_bytes as f64 / f64::from(1 << 20),
                foreign: foreign_share(slice),
                disturbed: disturbed(foreign_share(slice)),
            });
        }
        begin_s += block.length_ns as f64 / 1e9;
    }
    for one in &mut all {
        let (sum, count) = sums.get(&(one.stack, one.operation)).copied().unwrap_or_default();
        one.relative = one.relative.filter(|_| count > 0).map(|rate| rate / (sum / f64::from(count)).exp());
    }
    all
}

fn blocks_seen(blocks: &[Block]) -> Vec<BlockSeen> {
    let spin: f64 = blocks.iter().map(|block| block.spin_per_ms).sum::<f64>() / blocks.len().max(1) as f64;
    let mut begin_s = 0.0;
    let seen = blocks.iter().map(|block| {
        let (at_s, length_s) = (begin_s, block.length_ns as f64 / 1e9);
        begin_s += length_s;
        let slices = || block.trials.iter().flat_map(|trial| &trial.slices);
        BlockSeen {
            index: block.index,
            at_s,
            length_s,
            complete: block.state == BlockState::Complete,
            spin: block.spin_per_ms / spin,
            trials: (block.trials.len(), block.trials.iter().filter(|trial| trial.failure.is_some()).count()),
            slices: (slices().count(), slices().filter(|slice| disturbed(foreign_share(slice))).count()),
        }
    });
    seen.collect()
}

fn distribution(cell: &Cell) -> Option<Distribution> {
    let pooled = cell.open().latency;
    let count = pooled.count() as f64;
    let mut steps = std::collections::BTreeMap::new();
    for value in pooled.inner().iter_recorded() {
        let step = ((value.value_iterated_to() as f64 / 1e3).log10() * STEPS).floor() as i32;
        *steps.entry(step).or_insert(0u64) += value.count_at_value();
    }
    let middle = |step: i32| 10f64.powf((f64::from(step) + 0.5) / STEPS);
    let shares: Vec<(f64, f64)> =
        steps.into_iter().map(|(step, requests)| (middle(step), requests as f64 / count)).collect();
    (!shares.is_empty()).then(|| Distribution {
        stack: cell.stack.clone(),
        operation: cell.operation,
        shares,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cells::cells, synthetic};

    fn made() -> (Run, Vec<Block>) {
        let run = synthetic::run(&[("flask/uwsgi/nginx", 100.0), ("flask/gunicorn", 200.0)]);
        let blocks = synthetic::blocks(&run, &[100.0, 200.0], 3, 0.0);
        (run, blocks)
    }

    #[test]
    fn cpu_is_split_by_role_and_disturbed_slices_are_marked() {
        let (run, mut blocks) = made();
        let slice = &mut blocks[0].trials[1].slices[0];
        slice.cpu_ns.insert("pgbouncer".to_owned(), 1);
        let window_ns = slice.outcome.window_ns;
        blocks[1].trials[1].slices[0].machine.foreign_ns = window_ns;
        let all = pictures(&run, &blocks, &[]);
        assert_eq!(all.cpu.len(), 4, "two stacks and two operations");
        let split = &all.cpu[2];
        assert_eq!(split.stack.to_string(), "flask/gunicorn");
        assert!(split.us[1] == 0.0 && split.us[3] > 0.0, "{split:?}");
        // Made up: the server has 97 % of the window, the generator a fifth, the database a tenth.
        assert!(
            (split.us[0] / split.us[2] - 9.7).abs() < 0.01 && (split.us[4] / split.us[2] - 2.0).abs() < 0.01
        );
        assert_eq!(all.slices.iter().filter(|slice| slice.disturbed).count(), 1);
        assert_eq!(all.blocks[1].slices, (12, 1));
    }

    #[test]
    fn slices_are_relative_to_their_own_stack_and_shares_add_up() {
        let (run, blocks) = made();
        let complete: Vec<&Block> = blocks.iter().collect();
        let all = pictures(&run, &blocks, &cells(&run, &complete));
        let relative: Vec<f64> = all.slices.iter().filter_map(|slice| slice.relative).collect();
        assert_eq!((all.slices.len(), relative.len()), (36, 24), "a third is open loop");
        assert!(relative.iter().all(|one| (one - 1.0).abs() < 0.02));
        assert_eq!(all.distributions.len(), 4);
        for one in &all.distributions {
            assert!((one.shares.iter().map(|share| share.1).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}
