//! What blocks say, by the rules of today and by those before 2026-11-30, from the same slices.

use dyno_analyse::{
    adjust::{EXPECTED_RATE, Fit, Loss, Slopes, Unequal, unequal},
    filter::{Disturbance, disturbed},
    looks::{Decision, Looks, MOST_BLOCKS, is_look},
    statistics::mean,
    weights::quad_weight,
};

use dyno_model::output::Verdict;

use super::{Clockwork, Measured, QUADS, Quad, Seen, TIE, WINDOW_S};

/// Logarithms of a stack's rates, block by block.
pub type Row = Vec<Option<f64>>;

/// Today's rules: slices adjusted by slopes that are fitted over all blocks so far, quads weighted, none left out.
#[derive(Default)]
pub struct Adjusted {
    fit: Fit,
    blocks: Vec<Measured>,
    /// Of each stack, what its slices met in each block, and their fit.
    met: Vec<Vec<(Fit, Loss)>>,
}

impl Adjusted {
    pub fn add(&mut self, block: Measured) {
        for stack in 0..block.stacks {
            // A slice without answers has no logarithm.
            let told = |slice: &&Seen| slice.stack == stack && slice.amount > 0.0;
            let of = || block.quads.iter().flat_map(|quad| &quad.slices).filter(told);
            let losses: Vec<Loss> = of().map(|slice| slice.loss).collect();
            let mut fit = Fit::default();
            fit.add(&losses, &of().map(|slice| -slice.amount.ln()).collect::<Vec<_>>());
            self.fit.merge(&fit);
            let mean = std::array::from_fn(|k| mean(&losses.iter().map(|loss| loss[k]).collect::<Vec<_>>()));
            self.met.resize_with(block.stacks, Vec::new);
            self.met[stack].push((fit, mean));
        }
        self.blocks.push(block);
    }

    pub fn slopes(&self) -> Slopes {
        Slopes { rate: self.fit.slopes(&EXPECTED_RATE), ..Slopes::default() }
    }

    /// A row for each stack.
    pub fn rows(&self) -> Vec<Row> {
        self.rows_by(true, true)
    }

    /// The same, perhaps without adjusting slices, or without weighting quads.
    fn rows_by(&self, adjusting: bool, weighting: bool) -> Vec<Row> {
        let slopes = if adjusting { self.slopes() } else { Slopes::default() };
        let stacks = self.blocks.first().map_or(0, |block| block.stacks);
        let weight = |quad: &Quad| {
            let taken: Vec<f64> = quad.slices.iter().map(|slice| slice.loss.iter().sum()).collect();
            if weighting { quad_weight(&quad.speeds, &taken) as f64 } else { 1.0 }
        };
        let of_blocks: Vec<Vec<Option<f64>>> = self
            .blocks
            .iter()
            .map(|block| {
                let mut sums = vec![[0.0; 2]; stacks];
                for quad in &block.quads {
                    let weight = weight(quad);
                    for slice in &quad.slices {
                        sums[slice.stack][0] += weight * slice.amount;
                        sums[slice.stack][1] += weight * WINDOW_S * slopes.slowed(&slice.loss);
                    }
                }
                sums.into_iter().map(rate_log).collect()
            })
            .collect();
        (0..stacks).map(|stack| of_blocks.iter().map(|block| block[stack]).collect()).collect()
    }

    /// Of two stacks.
    pub fn log_ratios(&self) -> Vec<f64> {
        log_ratios(&self.rows())
    }

    /// Of two stacks, perhaps without adjusting slices, or without weighting quads.
    pub fn log_ratios_by(&self, adjusting: bool, weighting: bool) -> Vec<f64> {
        log_ratios(&self.rows_by(adjusting, weighting))
    }

    /// Whether what others took cost stack `a` surely more than `b`.
    pub fn unequal(&self, a: usize, b: usize) -> Option<Unequal> {
        unequal(&self.met[a], &self.met[b])
    }

    /// What `verdicts` says of two stacks: of the looks' interval, wider where what others took cost one of them more.
    pub fn decide(&self, looks: &Looks, seed: u64) -> Option<Decision> {
        let mut decision = looks.decide(&self.log_ratios(), TIE, None, seed)?;
        if let Some(unequal) = self.unequal(0, 1) {
            let interval = &mut decision.interval;
            (interval.low, interval.high) = unequal.widen((interval.low, interval.high));
            if interval.low <= 0.0 && interval.high >= 0.0 {
                decision.p = None;
            }
            decision.verdict = if interval.low > -TIE && interval.high < TIE {
                Verdict::NoDifference
            } else if decision.beyond_zero() {
                Verdict::Different
            } else {
                Verdict::Inconclusive
            };
        }
        Some(decision)
    }
}

/// Of an amount and a time; `None` without either.
fn rate_log([amount, time]: [f64; 2]) -> Option<f64> {
    (amount > 0.0 && time > 0.0).then(|| (amount / time).ln())
}

/// Log-ratios of a table's first two stacks.
fn log_ratios(rows: &[Row]) -> Vec<f64> {
    match rows {
        [a, b, ..] => a.iter().zip(b).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect(),
        _ => Vec::new(),
    }
}

/// The rules before: a slice in which others took more than a tenth of a CPU is left out, of two stacks with its quad; a block with
/// fewer than four quads is void; a run of much noise says nothing.
#[derive(Default)]
pub struct Filtered {
    blocks: Vec<Vec<Option<f64>>>,
    slices: usize,
    left_out: usize,
    steal_s: f64,
    spins: Vec<f64>,
}

impl Filtered {
    pub fn add(&mut self, block: &Measured) {
        let bad = |taken_s: f64| {
            let foreign_ns = (taken_s * 1e9).round() as u64;
            disturbed(Disturbance { foreign_ns, steal_ns: 0, length_ns: (WINDOW_S * 1e9) as u64 }.share())
        };
        let duet = block.stacks == 2;
        let (mut sums, mut kept_quads, mut kept) = (vec![[0.0; 2]; block.stacks], 0, 0);
        for quad in &block.quads {
            self.slices += quad.slices.len();
            self.steal_s += quad.slices.iter().map(|slice| slice.steal_s).sum::<f64>();
            if duet && quad.slices.iter().any(|slice| bad(slice.taken_s)) {
                continue;
            }
            kept_quads += 1;
            let weight = quad_weight(&quad.speeds, &[]) as f64;
            for slice in quad.slices.iter().filter(|slice| !bad(slice.taken_s)) {
                kept += 1;
                sums[slice.stack][0] += weight * slice.amount;
                sums[slice.stack][1] += weight * WINDOW_S;
            }
        }
        let all: usize = block.quads.iter().map(|quad| quad.slices.len()).sum();
        let void = duet && kept_quads < 4;
        self.left_out += if void { all } else { all - kept };
        self.blocks.push(sums.into_iter().map(|sums| rate_log(sums).filter(|_| !void)).collect());
        self.spins.push(block.spin);
    }

    /// Why nothing was said of such a run.
    pub fn refused(&self) -> bool {
        let third = self.spins.len() / 3;
        let changed = third > 0 && {
            let (first, last) = (mean(&self.spins[..third]), mean(&self.spins[self.spins.len() - third..]));
            (last / first - 1.0).abs() > 0.20
        };
        let steal = self.steal_s / (self.slices as f64 * WINDOW_S).max(f64::MIN_POSITIVE);
        changed || steal > 0.10 || self.left_out * 2 > self.slices
    }

    /// A row for each stack.
    pub fn rows(&self) -> Vec<Row> {
        let stacks = self.blocks.first().map_or(0, Vec::len);
        (0..stacks).map(|stack| self.blocks.iter().map(|block| block[stack]).collect()).collect()
    }

    /// Of two stacks.
    pub fn log_ratios(&self) -> Vec<f64> {
        log_ratios(&self.rows())
    }
}

/// How a session ended.
pub struct Ended {
    /// `None` where nothing was said.
    pub decision: Option<Decision>,
    /// Blocks that were measured, void ones too.
    pub blocks: usize,
    /// Half the width of the interval of eight valid blocks.
    pub half_at_8: Option<f64>,
}

/// One session by the rules before and one by today's, of the same blocks. Each ends by METHOD's rule, or after 48 blocks: void ones cost
/// time too. What is refused at a look goes on.
pub fn side_by_side(looks: &Looks, clockwork: &mut Clockwork<'_>, effect: f64, seed: u64) -> [Ended; 2] {
    let (mut adjusted, mut filtered) = (Adjusted::default(), Filtered::default());
    let mut ended = [(); 2].map(|()| Ended { decision: None, blocks: 0, half_at_8: None });
    let (mut over, mut looked) = ([false; 2], [0; 2]);
    for measured in 1..=MOST_BLOCKS {
        let block = clockwork.measure(&[effect, 0.0], QUADS);
        filtered.add(&block);
        adjusted.add(block);
        for way in [0, 1].into_iter().filter(|&way| !over[way]).collect::<Vec<_>>() {
            ended[way].blocks = measured;
            let valid = if way == 0 { filtered.log_ratios().len() } else { measured };
            let last = measured == MOST_BLOCKS;
            if !last && (!is_look(valid) || valid == looked[way]) {
                continue;
            }
            looked[way] = valid;
            let decision = match way {
                0 => looks.decide(&filtered.log_ratios(), TIE, None, seed),
                _ => adjusted.decide(looks, seed),
            };
            if valid == 8 {
                let interval = decision.as_ref().map(|one| one.interval);
                ended[way].half_at_8 = interval.map(|one| (one.high - one.low) / 2.0);
            }
            ended[way].decision = decision.filter(|_| way == 1 || !filtered.refused());
            over[way] = ended[way].decision.as_ref().is_some_and(|one| one.next().is_none());
        }
        if over == [true; 2] {
            break;
        }
    }
    ended
}
