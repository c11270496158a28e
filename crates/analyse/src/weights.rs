//! How much each slice of a block counts. Both rules are blind to labels: they see what the machine did, never a stack's figures.
//!
//! A slice in which others used the CPUs doesn't count. Of two stacks it takes its whole *quad* with it, the pair of rounds over all
//! stacks (METHOD, section 3): what is left of one compares other moments. Where that leaves too few quads, the block is void: it
//! says nothing, and a run that looks at valid blocks makes another. In a table of many a quad is long, and what one slice met says
//! little about the others.
//!
//! A quad counts the less the more the speed of the server's CPUs changed around its slices: another system on the same core came or
//! went, of which no counter here tells. Such a quad is noisier, so it is weighted by the inverse of its variance; all stacks have the
//! same weights, so that a ratio stays one of sums over the same stretches of time (`docs/design/2026-11-28-speed.md`).

use std::collections::{BTreeMap, BTreeSet};

use dyno_model::{
    Operation,
    record::{Block, Slice, SliceLoad},
};

use crate::{cells::foreign_share, filter::disturbed};

/// The weight of a quad in which the speed didn't change.
pub const FULL: u64 = 64;
/// Standard deviation of a quad's log-ratio in which the speed didn't change.
const CALM_SD: f64 = 0.05;
/// What a change of the speed by one adds to it, as the square root of a sum of squares.
const CHANGE_SD: f64 = 0.3;
/// Slices of a quad of two stacks.
const DUET: usize = 4;
/// Quads that make a block of two stacks valid: METHOD's, which has eight in a block.
const ENOUGH: usize = 4;

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
}

/// The weight of a quad from the speeds around its slices: in proportion to the inverse of its variance, from 1 to [`FULL`].
pub fn quad_weight(speeds: &[f64]) -> u64 {
    let least = speeds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = speeds.iter().copied().fold(0.0, f64::max);
    let change = if speeds.is_empty() { 0.0 } else { most / least - 1.0 };
    let variance = CALM_SD.powi(2) + (CHANGE_SD * change).powi(2);
    ((FULL as f64 * CALM_SD.powi(2) / variance).round() as u64).max(1)
}

/// Whether a block of two stacks that had `of` quads is valid with `left` of them: with four, or with half where it had fewer than eight.
pub fn enough_quads(left: usize, of: usize) -> bool {
    left >= ENOUGH.min(of.div_ceil(2))
}

/// The weights of each trial's slices, in order: from 0, which is left out, to [`FULL`].
pub fn weights(block: &Block) -> Vec<Vec<u64>> {
    let mut weights: Vec<Vec<u64>> = block.trials.iter().map(|trial| vec![0; trial.slices.len()]).collect();
    let bad = |&(trial, slice): &(usize, usize)| disturbed(foreign_share(&block.trials[trial].slices[slice]));
    let mut kinds: BTreeMap<Kind, Vec<Quad>> = BTreeMap::new();
    for quad in quads(block) {
        kinds.entry(quad.kind).or_default().push(quad);
    }
    for quads in kinds.into_values() {
        let whole = |quad: &Quad| quad.slices.len() != DUET || !quad.slices.iter().any(bad);
        let (all, quads) = (quads.len(), quads.into_iter().filter(whole).collect::<Vec<_>>());
        if !enough_quads(quads.len(), all) {
            continue;
        }
        for quad in quads {
            let weight = quad_weight(&quad.speeds);
            for &(trial, slice) in quad.slices.iter().filter(|one| !bad(one)) {
                weights[trial][slice] = weight;
            }
        }
    }
    weights
}

/// A block's quads. Two rounds are a palindrome, so the stretches that the stacks' pairs of slices take lie within each other, and
/// those of another quad beside them.
fn quads(block: &Block) -> Vec<Quad> {
    let mut quads: Vec<Quad> = Vec::new();
    for (trial, first, second) in pairs(block) {
        let slices = &block.trials[trial].slices;
        let (kind, begin_ns) = (kind(&slices[first]), slices[first].at_ns);
        let end_ns = slices[second].at_ns + slices[second].outcome.window_ns;
        if !quads.last().is_some_and(|quad| quad.kind == kind && begin_ns < quad.end_ns) {
            quads.push(Quad { kind, end_ns, slices: Vec::new(), speeds: Vec::new() });
        }
        let Some(quad) = quads.last_mut() else { continue };
        quad.end_ns = quad.end_ns.max(end_ns);
        for slice in BTreeSet::from([first, second]) {
            quad.slices.push((trial, slice));
            quad.speeds.extend(slices[slice].speed.iter().flat_map(|speed| [speed.before, speed.after]));
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

    #[test]
    fn a_quad_counts_less_for_all_wherever_the_speed_changed_in_it() {
        for changed in 0..5 {
            let mut quad = CALM;
            quad[changed] = 60.0;
            // .05² / (.05² + (.3 · 2/3)²) of 64
            let expected = vec![vec![64, 64, 4, 4, 64, 64]; 2];
            assert_eq!(weights(&block(&[CALM, quad, CALM])), expected, "{changed}");
        }
    }

    #[test]
    fn a_machine_that_is_slow_throughout_a_quad_is_even() {
        let weights = weights(&block(&[CALM, [57.0; 5], CALM]));
        assert!(weights.iter().flatten().all(|&weight| weight == FULL), "{weights:?}");
    }

    #[test]
    fn the_more_it_changed_the_less_it_counts_and_none_goes() {
        let changed = |by: f64| [100.0, 100.0, 100.0, 100.0, 100.0 * by];
        let weights =
            weights(&block(&[changed(1.0), changed(1.05), changed(1.2), changed(2.0), changed(100.0)]));
        let quads: Vec<u64> = weights[0].iter().step_by(2).copied().collect();
        assert_eq!(quads, [64, 59, 26, 2, 1]);
        assert_eq!(weights[0], weights[1]);
    }

    fn without_speed(mut block: Block) -> Block {
        block.trials.iter_mut().flat_map(|trial| &mut trial.slices).for_each(|slice| slice.speed = None);
        block
    }

    #[test]
    fn slices_without_a_speed_count_in_full_and_a_disturbed_one_takes_its_quad() {
        let mut block = without_speed(block(&[CALM; 4]));
        assert!(weights(&block).iter().flatten().all(|&weight| weight == FULL));
        block.trials[1].slices[3].machine.foreign_ns = LENGTH_NS;
        assert_eq!(weights(&block), vec![vec![64, 64, 0, 0, 64, 64, 64, 64]; 2]);
    }

    #[test]
    fn a_block_with_too_few_quads_left_is_void() {
        let disturb = |quads: usize, of: usize| {
            let mut block = without_speed(block(&vec![CALM; of]));
            let slices = &mut block.trials[0].slices;
            slices.iter_mut().step_by(2).take(quads).for_each(|slice| slice.machine.foreign_ns = LENGTH_NS);
            weights(&block).iter().flatten().filter(|&&weight| weight > 0).count() / DUET
        };
        let left = |of: usize| -> Vec<usize> { (0..=of).map(|quads| disturb(quads, of)).collect() };
        assert_eq!(left(8), [8, 7, 6, 5, 4, 0, 0, 0, 0]);
        assert_eq!(left(12)[7..10], [5, 4, 0]);
        assert_eq!([left(4), left(3)], [vec![4, 3, 2, 0, 0], vec![3, 2, 0, 0]]);
        assert_eq!([left(2), left(1)], [vec![2, 1, 0], vec![1, 0]]);
    }

    #[test]
    fn in_a_table_of_many_a_disturbed_slice_goes_alone() {
        let mut block = without_speed(block(&[CALM; 2]));
        let mut third = block.trials[1].clone();
        third.slices.iter_mut().for_each(|slice| slice.at_ns += 1);
        block.trials.push(third);
        block.trials[1].slices[3].machine.foreign_ns = LENGTH_NS;
        assert_eq!(weights(&block), [[64; 4], [64, 64, 64, 0], [64; 4]]);
    }
}
