//! Tables of nine stacks, one of which is another's twin, of few blocks: two slices of 250 ms of each stack in a block.

use dyno_analyse::{
    ranks,
    spread::{Row, moderated_interval, spread},
    statistics::{mean, sign_flip, t_interval_at},
};
use rand_chacha::ChaCha8Rng;

use super::{
    Clockwork, Machine,
    estimators::{Adjusted, Filtered},
};

/// Logarithms of the stacks' rates. The second is the first one's twin.
pub const LEVELS: [f64; 9] = [0.0, 0.0, 0.02, 0.1, 0.25, 0.5, 0.8, 1.3, 2.0];
/// Pairs that differ by a quarter or more: 1.25, and 1 over it, as a logarithm.
pub const QUARTER: f64 = 0.223_143_551_314_209_7;
/// `agenda`'s level: how often any order that is called sure may be wrong.
const SURE: f64 = 0.01;
/// Seconds of a block in which other operations are measured.
const OTHERS_S: f64 = 9.0;

/// Counts over tables of one machine and number of blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub pairs: u64,
    pub missed: u64,
    pub tables: u64,
    pub twins_told: u64,
    /// Pairs that differ by a quarter or more, and those of them that are decided, rightly.
    pub clear: u64,
    pub decided: u64,
    /// Of those, decided wrongly.
    pub wrong: u64,
    pub ranked: u64,
    pub ranks_hold: u64,
    /// Sum of the half-widths of all pairs.
    pub halves: f64,
}

/// Tables as they grow: today's rules and those before, from the same slices.
pub struct Growing<'a> {
    clockwork: Clockwork<'a>,
    adjusted: Adjusted,
    filtered: Filtered,
    /// Blocks after which each stack left, its order being sure; `None` while it stays.
    left: [Option<usize>; LEVELS.len()],
}

impl<'a> Growing<'a> {
    pub fn new(machine: &'a Machine, rng: ChaCha8Rng) -> Self {
        Self {
            clockwork: Clockwork::new(machine, rng),
            adjusted: Adjusted::default(),
            filtered: Filtered::default(),
            left: [None; LEVELS.len()],
        }
    }

    /// Rows in which stacks that left have no more blocks.
    fn staying(&self) -> Vec<Row> {
        let mut rows = self.adjusted.rows();
        for (row, left) in rows.iter_mut().zip(self.left) {
            row.iter_mut().skip(left.unwrap_or(usize::MAX)).for_each(|value| *value = None);
        }
        rows
    }

    /// Lets stacks leave whose order is sure, as `agenda` has it: the baseline and its twin stay.
    pub fn let_go(&mut self) {
        let rows = self.staying();
        let blocks = rows[0].len();
        let Some(ranks) = ranks::rank_intervals(&rows, SURE) else { return };
        for (left, (first, last)) in self.left.iter_mut().zip(ranks).skip(2) {
            if first == last {
                left.get_or_insert(blocks);
            }
        }
    }

    /// Stacks that left.
    pub fn gone(&self) -> usize {
        self.left.iter().flatten().count()
    }

    /// Today's rules on the blocks that a table has from which sure stacks leave.
    pub fn tell_staying(&self, tally: &mut Tally) {
        let rows = self.staying();
        let Some(common) = spread(&rows).map(|found| found.common) else { return };
        tally.tables += 1;
        for_pairs(&rows, |a, b, d| tally.count(a, b, d, Some(moderated_interval(d, common, 0.05))));
    }

    /// Measures a block of all stacks.
    pub fn grow(&mut self) {
        self.clockwork.advance(OTHERS_S);
        let block = self.clockwork.measure(&LEVELS, 1);
        self.filtered.add(&block);
        self.adjusted.add(block);
    }

    /// Today's rules, on the blocks so far.
    pub fn tell(&self, tally: &mut Tally, with_ranks: bool) {
        let rows = self.adjusted.rows();
        let Some(common) = spread(&rows).map(|found| found.common) else { return };
        tally.tables += 1;
        for_pairs(&rows, |a, b, d| {
            let (mean, low, high) = moderated_interval(d, common, 0.05);
            let (low, high) =
                self.adjusted.unequal(a, b).map_or((low, high), |unequal| unequal.widen((low, high)));
            tally.count(a, b, d, Some((mean, low, high)));
        });
        if with_ranks {
            tally.rank(&rows);
        }
    }

    /// The rules before.
    pub fn tell_before(&self, tally: &mut Tally) {
        let rows = self.filtered.rows();
        tally.tables += 1;
        let refused = self.filtered.refused();
        for_pairs(&rows, |a, b, d| {
            let interval = t_interval_at(d, 0.05).filter(|_| d.len() >= 8 && !refused);
            tally.count(a, b, d, interval);
        });
    }
}

fn for_pairs(rows: &[Row], mut say: impl FnMut(usize, usize, &[f64])) {
    for a in 0..rows.len() {
        for b in 0..a {
            let d: Vec<f64> = rows[a].iter().zip(&rows[b]).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
            say(a, b, &d);
        }
    }
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            pairs: self.pairs + other.pairs,
            missed: self.missed + other.missed,
            tables: self.tables + other.tables,
            twins_told: self.twins_told + other.twins_told,
            clear: self.clear + other.clear,
            decided: self.decided + other.decided,
            wrong: self.wrong + other.wrong,
            ranked: self.ranked + other.ranked,
            ranks_hold: self.ranks_hold + other.ranks_hold,
            halves: self.halves + other.halves,
        }
    }

    fn count(&mut self, a: usize, b: usize, d: &[f64], interval: Option<(f64, f64, f64)>) {
        let truth = LEVELS[a] - LEVELS[b];
        let clear = truth.abs() >= QUARTER;
        self.clear += u64::from(clear);
        let Some((_, low, high)) = interval else { return };
        self.pairs += 1;
        self.missed += u64::from(low > truth || high < truth);
        self.halves += (high - low) / 2.0;
        // As `verdicts` has it: of fewer than six blocks the interval decides alone.
        let told = (low > 0.0 || high < 0.0) && (d.len() < 6 || sign_flip(d, 1) <= 0.05);
        if truth == 0.0 {
            self.twins_told += u64::from(told);
        }
        if clear && told {
            let right = (mean(d) > 0.0) == (truth > 0.0);
            self.decided += u64::from(right);
            self.wrong += u64::from(!right);
        }
    }

    fn rank(&mut self, rows: &[Row]) {
        let Some(ranks) = ranks::rank_intervals(rows, ranks::LEVEL) else { return };
        self.ranked += 1;
        let holds = |(at, (first, last)): (usize, &(u32, u32))| {
            let better = LEVELS.iter().filter(|level| **level > LEVELS[at]).count() as u32;
            let as_good = LEVELS.iter().filter(|level| **level >= LEVELS[at]).count() as u32;
            *first <= better + 1 && *last >= as_good
        };
        self.ranks_hold += u64::from(ranks.iter().enumerate().all(holds));
    }
}
