//! The order of slices within a block: balanced and random, from a recorded seed.

use dyno_model::{Operation, plan::Plan};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// What a slice measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceKind {
    /// Closed loop, saturated.
    Throughput,
    /// Open loop at the plan's rate.
    Latency,
}

/// One slice to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlicePlan {
    /// Index into the stacks that are up.
    pub stack: usize,
    /// The operation.
    pub operation: Operation,
    /// What it measures.
    pub kind: SliceKind,
    /// Round of the block: stacks are compared within one round, which is one stretch of time.
    pub round: u32,
}

/// The seed of a block: every block differs, and can be repeated from the run's seed alone.
pub fn block_seed(run_seed: u64, block: u32) -> u64 {
    // SplitMix64's finaliser (Steele, Lea, Flood 2014): neighbouring blocks get unrelated seeds.
    let mut z = run_seed.wrapping_add(u64::from(block).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// All slices of a block. A *round* is one operation and kind over all stacks in random order, so that
/// stacks are compared within seconds of each other; each odd round repeats the order before it
/// backwards, so that a drift within the pair cancels (ABBA for any number of stacks).
pub fn block_order(plan: &Plan, stacks: usize, seed: u64) -> Vec<SlicePlan> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pairs = Vec::new();
    for operation in &plan.operations {
        let latency = plan
            .latency
            .as_ref()
            .filter(|latency| latency.measures(*operation))
            .map_or(0, |latency| latency.slices);
        for (kind, slices) in [(SliceKind::Throughput, plan.throughput.slices), (SliceKind::Latency, latency)]
        {
            let mut left = slices;
            while left > 0 {
                pairs.push((*operation, kind, left.min(2)));
                left -= left.min(2);
            }
        }
    }
    pairs.shuffle(&mut rng);
    let mut slices = Vec::new();
    let mut round = 0;
    for (operation, kind, rounds) in pairs {
        let mut order: Vec<usize> = (0..stacks).collect();
        order.shuffle(&mut rng);
        if rng.random() {
            order.reverse();
        }
        for _ in 0..rounds {
            slices.extend(order.iter().map(|&stack| SlicePlan { stack, operation, kind, round }));
            order.reverse();
            round += 1;
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::tests::plan_of;

    #[test]
    fn every_stack_gets_the_same_slices() {
        let plan = plan_of(
            "operations = [\"types\", \"hello\"]\n[latency]\nslices = 3\n[latency.rates]\ntypes = \"50/s\"\n",
        );
        let slices = block_order(&plan, 5, 7);
        for stack in 0..5 {
            for operation in &plan.operations {
                let count = |kind| {
                    slices
                        .iter()
                        .filter(|s| s.stack == stack && s.operation == *operation && s.kind == kind)
                        .count()
                };
                assert_eq!(count(SliceKind::Throughput), plan.throughput.slices as usize);
                assert_eq!(count(SliceKind::Latency), if *operation == Operation::Types { 3 } else { 0 });
            }
        }
    }

    #[test]
    fn a_pair_of_rounds_is_a_palindrome() {
        let plan = plan_of("operations = [\"types\"]\n");
        let slices = block_order(&plan, 4, 3);
        let forth: Vec<usize> = slices[..4].iter().map(|s| s.stack).collect();
        let mut back: Vec<usize> = slices[4..8].iter().map(|s| s.stack).collect();
        back.reverse();
        assert_eq!(forth, back);
    }

    #[test]
    fn a_seed_gives_one_order_and_blocks_differ() {
        let plan = plan_of("operations = [\"types\", \"hello\"]\n");
        let order = |block| block_order(&plan, 6, block_seed(11, block));
        assert_eq!(order(0), order(0));
        assert_ne!(order(0), order(1));
    }
}
