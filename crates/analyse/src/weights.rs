//! How much each slice of a block counts. The rule is blind to labels: it sees what the machine did, never a stack's figures.
//!
//! Slices are adjusted for what others took of the CPUs (`adjust`), and none is left out: others who are there all the time cost all
//! stacks alike. What a *quad*, the pair of rounds over all stacks, suffers from is change within it. It counts the less the more the
//! speed of the servers' CPUs changed around its slices (another system on the same core came or went, of which no counter here tells),
//! and the more the time that others took differed between its slices, whose adjustment has an error of its own. Such a quad is
//! noisier, so it is weighted by the inverse of its variance; all stacks have the same weights, so that a ratio stays one of sums over
//! the same stretches of time (`docs/design/2026-11-28-speed.md`, `docs/design/2026-11-30-noisy-machines.md`).

use std::collections::BTreeSet;

use dyno_model::{
    Operation,
    record::{Block, CpuSets, Slice, SliceLoad},
};

use crate::adjust::loss;

/// The weight of a quad in which nothing changed.
pub const FULL: u64 = 64;
/// Standard deviation of a quad's log-ratio in which nothing changed.
const CALM_SD: f64 = 0.05;
/// What a change of the speed by one adds to it, as the square root of a sum of squares.
const CHANGE_SD: f64 = 0.3;
/// What a difference of 1 in the covariates of a quad's slices adds to it in the same way, once slices are adjusted: what a slope is wrong
/// by from slice to slice, and what ticks are. With .3, the standard deviation of slopes, blocks spread more than without any such weight
/// (`evidence/2026-11-30-noisy/simulation.md`): the quads that it takes away are worth more than they are wrong.
const TAKEN_SD: f64 = 0.1;
/// Differences of the covariates that the kernel's ticks of 10 ms make by themselves in a short slice.
const TICKS: f64 = 0.1;

/// The operation, and whether its loop is closed.
type Kind = (Operation, bool);

/// The stretch of time of two rounds, and the slices in it.
struct Quad {
    kind: Kind,
    end_ns: u64,
    /// Indexes of trial and slice.
    slices: Vec<(usize, usize)>,
    /// All speeds around its slices.
    speeds: Vec<f64>,
    /// What others took in each slice, all covariates together.
    taken: Vec<f64>,
}

/// The weight of a quad from the speeds around its slices and what others took in each: in proportion to the inverse of its variance,
/// from 1 to [`FULL`].
pub fn quad_weight(speeds: &[f64], taken: &[f64]) -> u64 {
    let range = |values: &[f64]| {
        let (least, most) = values
            .iter()
            .fold((f64::INFINITY, 0.0f64), |(least, most), &one| (least.min(one), most.max(one)));
        if values.is_empty() { (1.0, 1.0) } else { (least, most) }
    };
    let (slowest, fastest) = range(speeds);
    let (least, most) = range(taken);
    let (change, difference) = (fastest / slowest - 1.0, (most - least - TICKS).max(0.0));
    let variance = CALM_SD.powi(2) + (CHANGE_SD * change).powi(2) + (TAKEN_SD * difference).powi(2);
    ((FULL as f64 * CALM_SD.powi(2) / variance).round() as u64).max(1)
}

/// The weights of each trial's slices, in order: from 1 to [`FULL`], and 0 for one without a window.
pub fn weights(block: &Block, cpus: &CpuSets) -> Vec<Vec<u64>> {
    let mut weights: Vec<Vec<u64>> = block.trials.iter().map(|trial| vec![0; trial.slices.len()]).collect();
    for quad in quads(block, cpus) {
        let weight = quad_weight(&quad.speeds, &quad.taken);
        for &(trial, slice) in &quad.slices {
            if block.trials[trial].slices[slice].outcome.window_ns > 0 {
                weights[trial][slice] = weight;
            }
        }
    }
    weights
}

/// A block's quads. Two rounds are a palindrome, so the stretches that the stacks' pairs of slices take lie within each other, and
/// those of another quad beside them.
fn quads(block: &Block, cpus: &CpuSets) -> Vec<Quad> {
    let mut quads: Vec<Quad> = Vec::new();
    for (trial, first, second) in pairs(block) {
        let slices = &block.trials[trial].slices;
        let (kind, begin_ns) = (kind(&slices[first]), slices[first].at_ns);
        let end_ns = slices[second].at_ns + slices[second].outcome.window_ns;
        if !quads.last().is_some_and(|quad| quad.kind == kind && begin_ns < quad.end_ns) {
            let (slices, speeds, taken) = (Vec::new(), Vec::new(), Vec::new());
            quads.push(Quad { kind, end_ns, slices, speeds, taken });
        }
        let Some(quad) = quads.last_mut() else { continue };
        quad.end_ns = quad.end_ns.max(end_ns);
        for slice in BTreeSet::from([first, second]) {
            quad.slices.push((trial, slice));
            quad.speeds.extend(slices[slice].speed.iter().flat_map(|speed| [speed.before, speed.after]));
            quad.taken.push(loss(&slices[slice], cpus).iter().sum());
        }
    }
    quads
}

/// Neighbouring slices of one kind in a trial, in order of time: trial, first and second slice, which are the same where one has no
/// neighbour.
fn pairs(block: &Block) -> Vec<(usize, usize, usize)> {
    let mut pairs = Vec::new();
    for (at, trial) in block.trials.iter().enumerate() {
        let mut first = 0;
        while let Some(slice) = trial.slices.get(first) {
            let paired = trial.slices.get(first + 1).is_some_and(|next| kind(next) == kind(slice));
            let second = first + usize::from(paired);
            pairs.push((at, first, second));
            first = second + 1;
        }
    }
    pairs.sort_by_key(|&(trial, first, _)| block.trials[trial].slices[first].at_ns);
    pairs
}

fn kind(slice: &Slice) -> Kind {
    (slice.operation, matches!(slice.load, SliceLoad::Closed { .. }))
}

#[cfg(test)]
mod tests {
    use dyno_model::record::Speed;

    use super::*;
    use crate::synthetic;

    const LENGTH_NS: u64 = 100_000_000;

    /// A block of two stacks with ABBA quads: what each quad's five spins say.
    fn block(spins: &[[f64; 5]]) -> Block {
        let run = synthetic::run(&[("flask/gunicorn", 1_000.0), ("flask/waitress", 900.0)]);
        let mut blocks = synthetic::blocks(&run, &[1_000.0, 900.0], 1, 0.0);
        let mut block = blocks.remove(0);
        let closed = |slice: &&Slice| matches!(slice.load, SliceLoad::Closed { .. });
        let one = block.trials[0].slices.iter().find(closed).unwrap().clone();
        for (trial, places) in block.trials.iter_mut().zip([[0, 3], [1, 2]]) {
            trial.slices.clear();
            for (quad, spins) in spins.iter().enumerate() {
                for place in places {
                    let mut slice = one.clone();
                    slice.at_ns = (4 * quad as u64 + place as u64) * LENGTH_NS;
                    slice.outcome.window_ns = LENGTH_NS * 3 / 4;
                    slice.speed = Some(Speed { before: spins[place], after: spins[place + 1] });
                    trial.slices.push(slice);
                }
            }
        }
        block
    }

    const CALM: [f64; 5] = [100.0; 5];

    fn cpus() -> CpuSets {
        CpuSets { server: vec![1], database: vec![0], generator: vec![0] }
    }

    fn without_speed(mut block: Block) -> Block {
        block.trials.iter_mut().flat_map(|trial| &mut trial.slices).for_each(|slice| slice.speed = None);
        block
    }

    #[test]
    fn a_quad_counts_less_for_all_wherever_the_speed_changed_in_it() {
        for changed in 0..5 {
            let mut quad = CALM;
            quad[changed] = 60.0;
            // .05² / (.05² + (.3 · 2/3)²) of 64
            let expected = vec![vec![64, 64, 4, 4, 64, 64]; 2];
            assert_eq!(weights(&block(&[CALM, quad, CALM]), &cpus()), expected, "{changed}");
        }
    }

    #[test]
    fn a_machine_that_is_slow_throughout_a_quad_is_even() {
        let weights = weights(&block(&[CALM, [57.0; 5], CALM]), &cpus());
        assert!(weights.iter().flatten().all(|&weight| weight == FULL), "{weights:?}");
    }

    #[test]
    fn the_more_it_changed_the_less_it_counts_and_none_goes() {
        let changed = |by: f64| [100.0, 100.0, 100.0, 100.0, 100.0 * by];
        let block = block(&[changed(1.0), changed(1.05), changed(1.2), changed(2.0), changed(100.0)]);
        let weights = weights(&block, &cpus());
        let quads: Vec<u64> = weights[0].iter().step_by(2).copied().collect();
        assert_eq!(quads, [64, 59, 26, 2, 1]);
        assert_eq!(weights[0], weights[1]);
    }

    #[test]
    fn others_who_stay_cost_a_quad_nothing_and_those_who_come_and_go_weight_it_down() {
        let mut block = without_speed(block(&[CALM; 3]));
        assert!(weights(&block, &cpus()).iter().flatten().all(|&weight| weight == FULL));
        let window_ns = block.trials[0].slices[0].outcome.window_ns;
        for slice in block.trials.iter_mut().flat_map(|trial| &mut trial.slices[..2]) {
            slice.machine.foreign_ns = window_ns;
        }
        block.trials[1].slices[5].machine.foreign_ns = window_ns;
        // Half of both parts in one of four slices: .05² of .05² + (.1 · (2 ln 2 - .1))², of 64.
        assert_eq!(weights(&block, &cpus()), vec![vec![64, 64, 64, 64, 8, 8]; 2]);
        let tick = 10_000_000;
        block.trials[1].slices[5].machine.foreign_ns = tick;
        assert!(
            weights(&block, &cpus()).iter().flatten().all(|&weight| weight >= FULL - 4),
            "a tick is no evidence"
        );
    }

    #[test]
    fn a_slice_without_a_window_does_not_count() {
        let mut block = without_speed(block(&[CALM; 2]));
        block.trials[1].slices[3].outcome.window_ns = 0;
        let weights = weights(&block, &cpus());
        assert_eq!((weights[1][3], weights[0].len()), (0, 4));
    }
}
