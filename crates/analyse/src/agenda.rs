//! What a table's further blocks are worth doing for: the pairs whose order isn't sure yet.
//!
//! A stack whose rank in an operation is sure has nothing to gain from further slices of it, and its time goes to the others. Sure is
//! what a rank interval at 1 % says, so that a table that looks after each block orders a pair wrongly as seldom as its intervals at
//! 5 % miss (`tests/it/tables.rs`). A pair that is equal is never sure, and keeps its slices.

use std::collections::BTreeSet;

use dyno_model::{
    Operation, StackName,
    output::{Comparison, Metric},
    record::{Block, Run},
};

use crate::{Analysis, FIRST_BLOCKS, Series, looks, ranks};

/// How often any rank that is called sure may be wrong.
const LEVEL: f64 = 0.01;
/// Quantile whose requests a stack must have before it leaves, where its latencies are measured.
const TAIL: f64 = 0.99;
/// Requests beyond it.
const BEYOND: f64 = 10.0;

/// Stacks and operations whose order is sure. The baseline and its twin never leave: every ratio is over the one, and the other is the
/// run's null control.
pub fn settled(run: &Run, blocks: &[Block], analysis: &Analysis) -> BTreeSet<(StackName, Operation)> {
    let mut settled = BTreeSet::new();
    if run.plan.design.looks || analysis.trust.grade == '-' || run.prepared.len() < 3 {
        return settled;
    }
    for &operation in &run.plan.operations {
        let of: Vec<&Series> = analysis
            .series
            .iter()
            .filter(|one| one.operation == operation && one.metric == Metric::Throughput)
            .filter(|one| one.values.iter().flatten().count() >= FIRST_BLOCKS)
            .collect();
        let Some(ranks) = ranks::rank_intervals(&ranks::logs(&of, Metric::Throughput), LEVEL) else {
            continue;
        };
        for (one, (first, last)) in of.iter().zip(ranks) {
            if first == last
                && one.stack != run.plan.baseline
                && has_its_tail(run, blocks, &one.stack, operation)
            {
                settled.insert((one.stack.clone(), operation));
            }
        }
    }
    settled
}

/// Whether the blocks have as many requests at a rate as a p99 needs; true where latencies aren't measured.
fn has_its_tail(run: &Run, blocks: &[Block], stack: &StackName, operation: Operation) -> bool {
    if !run.plan.latency.as_ref().is_some_and(|latency| latency.measures(operation)) {
        return true;
    }
    let trials = blocks.iter().flat_map(|block| &block.trials).filter(|trial| trial.stack == *stack);
    let slices = trials.flat_map(|trial| &trial.slices).filter(|slice| slice.operation == operation);
    let open = slices.filter(|slice| matches!(slice.load, dyno_model::record::SliceLoad::Open { .. }));
    let requests: u64 = open.map(|slice| slice.outcome.latency.count()).sum();
    requests as f64 * (1.0 - TAIL) >= BEYOND
}

/// Whether every stack that isn't the baseline or the canary has left in every operation, so that nothing is open.
pub fn all_settled(run: &Run, settled: &BTreeSet<(StackName, Operation)>) -> bool {
    let canary = run.plan.design.canary.as_ref();
    let others = run.prepared.iter().map(|one| &one.stack);
    let mut others = others.filter(|stack| **stack != run.plan.baseline && Some(*stack) != canary).peekable();
    others.peek().is_some()
        && others.all(|stack| {
            run.plan.operations.iter().all(|&operation| settled.contains(&(stack.clone(), operation)))
        })
}

/// The size of a difference that a run tells, as a share: nine pairs of ten that differ by so much are told apart. From the spread of a
/// pair's log-ratio in one block and the number of blocks; infinite before the first interval.
pub fn told(block_sd: f64, blocks: u32, looks: bool) -> f64 {
    let n = f64::from(blocks);
    // Student's quantile, and the normal one of nine in ten beside it.
    let half = match looks {
        true => looks::last_look(blocks as usize)
            .and_then(|last| looks::Looks::default().reached(last))
            .map(|look| look.c),
        false if blocks as usize >= FIRST_BLOCKS => {
            Some(crate::statistics::t_quantile(0.975, n - 1.0 + crate::spread::PRIOR) / n.sqrt())
        }
        false => None,
    };
    half.map_or(f64::INFINITY, |half| (block_sd * (half + NINE_OF_TEN / n.sqrt())).exp_m1())
}

/// What differences a run told, and what three times its budget would: a sentence for its end. The middle of all pairs' throughputs.
pub fn reached(run: &Run, comparisons: &[Comparison], blocks: u32) -> Option<String> {
    let of = comparisons.iter().filter(|one| one.metric == Metric::Throughput);
    let mut halves: Vec<f64> = of.filter_map(|one| Some((one.high? / one.low?).ln() / 2.0)).collect();
    halves.sort_by(f64::total_cmp);
    let half = *halves.get(halves.len() / 2)?;
    let share = |half: f64| (half * (1.0 + NINE_OF_TEN / 1.96)).exp_m1();
    let mut words = format!(
        "In {blocks} blocks differences of about {} and more were told on this machine",
        percent(share(half))
    );
    if share(half) >= NOISY && run.plan.design.most_blocks > blocks {
        let minutes = (run.plan.design.budget.0.as_secs_f64() * LONGER / 60.0).ceil();
        words += &format!("; --budget {minutes}m would tell about {}", percent(share(half / LONGER.sqrt())));
    }
    Some(words + ".")
}

/// A share as people say it: no more digits than it has.
pub(crate) fn percent(share: f64) -> String {
    if share < 0.1 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}

/// Differences that a run on a calm machine tells.
pub(crate) const NOISY: f64 = 0.05;
/// How much longer a budget is proposed where the plan's tells little.
pub(crate) const LONGER: f64 = 3.0;
/// The 90 % point of the standard normal distribution.
const NINE_OF_TEN: f64 = 1.281_551_565_5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analyse, synthetic};

    const STACKS: [(&str, f64); 4] =
        [("base/s", 1000.0), ("twin/s", 1000.0), ("fast/s", 2000.0), ("slow/s", 400.0)];

    fn settled_after(blocks: usize) -> Vec<String> {
        let mut run = synthetic::run(&STACKS);
        run.plan.latency = None;
        let blocks = synthetic::blocks(&run, &STACKS.map(|(_, rate)| rate), blocks as u32, 0.02);
        let found = settled(&run, &blocks, &analyse(&run, &blocks));
        found
            .iter()
            .filter(|(_, operation)| *operation == Operation::Hello)
            .map(|(stack, _)| stack.to_string())
            .collect()
    }

    #[test]
    fn whose_rank_is_sure_leaves_and_equal_stacks_and_the_baseline_stay() {
        assert_eq!(settled_after(2), Vec::<String>::new());
        assert_eq!(settled_after(6), ["fast/s", "slow/s"]);
    }

    #[test]
    fn a_stack_without_its_tail_stays() {
        let run = synthetic::run(&STACKS);
        let rates = STACKS.map(|(_, rate)| rate);
        let of = |count| {
            let blocks = synthetic::blocks(&run, &rates, count, 0.02);
            settled(&run, &blocks, &analyse(&run, &blocks)).len()
        };
        // 200 requests in a block: a thousand after five.
        assert_eq!((of(4), of(5)), (0, 4));
    }

    #[test]
    fn when_all_are_sure_nothing_is_open() {
        let run = synthetic::run(&STACKS[..3]);
        let of = |stacks: &[&str]| {
            stacks
                .iter()
                .flat_map(|stack| run.plan.operations.iter().map(|&one| (stack.parse().unwrap(), one)))
                .collect()
        };
        assert!(all_settled(&run, &of(&["twin/s", "fast/s"])));
        assert!(!all_settled(&run, &of(&["fast/s"])));
    }

    #[test]
    fn what_was_told_is_said_at_the_end_and_what_more_time_would_tell_where_it_is_noisy() {
        let said = |noise| {
            let mut run = synthetic::run(&STACKS);
            run.plan.design.most_blocks = 60;
            let blocks = synthetic::blocks(&run, &STACKS.map(|(_, rate)| rate), 6, noise);
            analyse(&run, &blocks).sentences.pop().unwrap()
        };
        let (calm, noisy) = (said(0.005), said(0.2));
        assert!(
            calm.starts_with("In 6 blocks differences of about ") && !calm.contains("--budget"),
            "{calm}"
        );
        assert!(noisy.contains("; --budget 3m would tell about "), "{noisy}");
        let run = synthetic::run(&STACKS);
        assert_eq!(reached(&run, &[], 6), None);
    }

    #[test]
    fn what_is_told_shrinks_with_blocks_and_grows_with_noise() {
        assert_eq!((told(0.05, 2, false), told(0.05, 7, true)), (f64::INFINITY, f64::INFINITY));
        let of = |sd, blocks| told(sd, blocks, false);
        assert!(of(0.05, 12) < of(0.05, 6) && of(0.05, 6) < of(0.1, 6));
        // t(10, .975) = 2.228 and 1.282, over √7, of 5 %.
        assert!((of(0.05, 7) - (0.05 * (2.228 + 1.282) / 7f64.sqrt()).exp_m1()).abs() < 1e-4);
        assert!(told(0.02, 48, true) < 0.02, "METHOD: 3 % is found");
    }
}
