//! Machines made up or recorded, and the whole procedure on them: blocks of quads of slices, looks, decisions. Shared by the
//! test and the example of the calibration.

use std::path::{Path, PathBuf};

use dyno_analyse::{
    looks::{Decision, Looks, MOST_BLOCKS, is_look},
    placebo::Setting,
    statistics::{mean, normal, standard_deviation},
    weights::quad_weight,
};
use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Bins of the simulation and of recorded traces, in seconds.
pub const BIN_S: f64 = 0.025;
/// Bins of a slice of 0.25 s, and those of its guard.
const SLICE: usize = 10;
const GUARD: usize = 2;
/// Quads of a block.
pub const QUADS: usize = 8;
/// Start, warm-up and stop of a block, in seconds.
const SETUP_S: f64 = 5.5;
/// Length of a block, in seconds.
pub const BLOCK_S: f64 = SETUP_S + (QUADS * 4 * SLICE) as f64 * BIN_S;
/// What the placebo knows of such blocks.
pub const SETTING: Setting =
    Setting { bin_s: BIN_S, guard_s: 0.03, setup_s: SETUP_S, between_sd: 0.0, quads: Some(QUADS) };
/// δ of 3 %, as a logarithm.
pub const TIE: f64 = 0.029_558_802_241_544_4;

/// Slower by `depth`, for `on_s` seconds in the mean, after `off_s` seconds in the mean.
#[derive(Clone, Copy)]
pub struct Bursts {
    pub on_s: f64,
    pub off_s: f64,
    pub depth: f64,
    /// The kernel counts them as foreign CPU time: the filter sees them.
    pub seen: bool,
}

/// What a machine does to a server's rate; sizes are standard deviations of its logarithm.
#[derive(Clone)]
pub struct Machine {
    pub name: String,
    /// Of each bin, independent; a spin between slices doesn't see it.
    pub white: f64,
    /// AR(1): its size, and the time in seconds in which its correlation falls to 1/e.
    pub drift: (f64, f64),
    pub bursts: Option<Bursts>,
    /// Levels that last so many seconds in the mean: their size.
    pub steps: (f64, f64),
    /// Of each fresh process.
    pub restart: f64,
    /// Share of blocks in which the first stack alone is slower by a fifth.
    pub hit_one: f64,
    /// Recorded speeds, 1 in the mean, from a random place on, again and again.
    pub trace: Vec<f64>,
    /// METHOD says that 3 % can be found here: blocks spread by less than 5 %.
    pub usable: bool,
}

impl Machine {
    fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            white: 0.02,
            drift: (0.0, 1.0),
            bursts: None,
            steps: (0.0, 1.0),
            restart: 0.01,
            hit_one: 0.0,
            trace: Vec::new(),
            usable: true,
        }
    }
}

/// All machines. Those of recorded traces have no white noise of ours.
pub fn machines() -> Vec<Machine> {
    let bursts = |on_s, off_s, depth, seen| Some(Bursts { on_s, off_s, depth, seen });
    let mut all = vec![
        Machine { restart: 0.005, ..Machine::of("quiet") },
        Machine { white: 0.05, drift: (0.03, 10.0), ..Machine::of("typical") },
        Machine { white: 0.3, ..Machine::of("white noise") },
        Machine { drift: (0.15, 3.0), ..Machine::of("drift") },
        Machine { bursts: bursts(0.5, 4.0, 0.4, false), ..Machine::of("bursts") },
        Machine { bursts: bursts(0.5, 4.0, 0.4, true), ..Machine::of("bursts that the kernel counts") },
        Machine { steps: (0.15, 10.0), ..Machine::of("steps") },
        Machine { restart: 0.03, ..Machine::of("fresh processes differ") },
        Machine {
            white: 0.1,
            drift: (0.1, 2.0),
            steps: (0.1, 20.0),
            bursts: bursts(0.3, 5.0, 0.3, false),
            ..Machine::of("all of it")
        },
        Machine {
            bursts: bursts(2.0, 2.0, 0.6, false),
            usable: false,
            ..Machine::of("half of the time taken")
        },
    ];
    all.extend(csv_files("traces").iter().map(|path| {
        let name = format!("recorded: {}", path.file_stem().unwrap_or_default().to_string_lossy());
        let counts = counts(&std::fs::read_to_string(path).expect("a trace"));
        let mean = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        let trace = counts.iter().map(|&count| count as f64 / mean).collect();
        Machine { white: 0.0, trace, ..Machine::of(&name) }
    }));
    all
}

/// How much slower such a block is, as a logarithm: that of 0.8.
pub const HIT: f64 = -0.223_143_551_314_209_7;

/// Where a few blocks of one stack alone are hit: no promise holds there, and `fragile` should say so.
pub fn one_stack_is_hit() -> Machine {
    Machine { hit_one: 0.1, usable: false, ..Machine::of("one stack alone is hit in a tenth of the blocks") }
}

fn csv_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder of tests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    files.sort();
    files
}

/// Block log-ratios of real stacks in kept runs, each pair's with a mean of 0 and a standard deviation of 1: the shape of
/// real blocks' noise.
pub fn recorded_blocks() -> Vec<f64> {
    let mut all = Vec::new();
    for path in csv_files("blocks") {
        let csv = std::fs::read_to_string(path).expect("a file of blocks");
        for row in csv.lines().filter(|line| !line.starts_with('#')) {
            let d: Vec<f64> = row.split(',').skip(2).map(|ratio| ratio.parse().expect("a ratio")).collect();
            let (mean, sd) = (mean(&d), standard_deviation(&d));
            all.extend(d.iter().map(|ratio| (ratio - mean) / sd));
        }
    }
    all
}

/// How many sessions of such blocks, drawn at random, have a look whose interval misses the mean: with random labels, as
/// in A/A, or as they were.
pub fn recorded_misses(sessions: u64, labels: bool, rng: &mut ChaCha8Rng) -> u64 {
    let (blocks, looks) = (recorded_blocks(), Looks::default());
    let mut missed = 0;
    for _ in 0..sessions {
        let mut d = Vec::new();
        let out = (1..=MOST_BLOCKS).any(|n| {
            let block = blocks[rng.random_range(0..blocks.len())];
            d.push(if labels && rng.random() { -block } else { block });
            is_look(n) && looks.interval(&d).is_some_and(|interval| interval.low > 0.0 || interval.high < 0.0)
        });
        missed += u64::from(out);
    }
    missed
}

fn counts(csv: &str) -> Vec<u64> {
    let rows = csv.lines().filter(|line| !line.starts_with('#'));
    rows.flat_map(|row| row.split(',')).map(|count| count.parse().expect("a count")).collect()
}

/// How a table of many stacks may be measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// All are up, one is loaded at a time, rounds in random order and back: dyno's.
    Together,
    /// Every stack in quads with the first one, after each other: METHOD's.
    AnchorDuets,
    /// Fresh processes, five seconds each, in random order (RMIT).
    Trials,
}

impl Table {
    pub const ALL: [Self; 3] = [Self::Together, Self::AnchorDuets, Self::Trials];

    pub const fn words(self) -> &'static str {
        match self {
            Self::Together => "all together",
            Self::AnchorDuets => "anchor duets",
            Self::Trials => "trials",
        }
    }

    /// Variance in a minute of the log-ratio of two stacks that aren't the first, over blocks.
    pub fn variance_minutes(self, machine: &Machine, stacks: usize, blocks: usize, rng: ChaCha8Rng) -> f64 {
        let mut clockwork = Clockwork::new(machine, rng);
        let (mut squares, mut count, mut seconds) = (0.0, 0.0, 0.0);
        for _ in 0..blocks {
            let (d, length_s) = clockwork.table(self, stacks);
            let mean = mean(&d);
            // Half of the mean squared difference of all pairs is the variance of one, so a pair has twice that.
            squares += 2.0 * d.iter().map(|one| (one - mean).powi(2)).sum::<f64>();
            count += d.len() as f64 - 1.0;
            seconds += length_s;
        }
        squares / count * seconds / blocks as f64 / 60.0
    }
}

/// A machine in time.
pub struct Clockwork<'a> {
    machine: &'a Machine,
    rng: ChaCha8Rng,
    drift: f64,
    level: f64,
    burst: bool,
    /// Seconds until the next change of burst and level.
    burst_left: f64,
    level_left: f64,
    place: usize,
}

impl<'a> Clockwork<'a> {
    pub fn new(machine: &'a Machine, mut rng: ChaCha8Rng) -> Self {
        let place = if machine.trace.is_empty() { 0 } else { rng.random_range(0..machine.trace.len()) };
        let (drift, level) = (machine.drift.0 * normal(&mut rng), machine.steps.0 * normal(&mut rng));
        let mut new =
            Self { machine, rng, drift, level, burst: false, burst_left: 0.0, level_left: 0.0, place };
        new.burst_left = machine.bursts.map_or(f64::INFINITY, |bursts| new.wait(bursts.off_s));
        new.level_left = if machine.steps.0 > 0.0 { new.wait(machine.steps.1) } else { f64::INFINITY };
        new
    }

    fn wait(&mut self, mean_s: f64) -> f64 {
        -mean_s * (1.0 - self.rng.random::<f64>()).ln()
    }

    fn advance(&mut self, seconds: f64) {
        let (size, tau_s) = self.machine.drift;
        if size > 0.0 {
            let keep = (-seconds / tau_s).exp();
            self.drift = keep * self.drift + size * (1.0 - keep * keep).sqrt() * normal(&mut self.rng);
        }
        self.burst_left -= seconds;
        while let (true, Some(bursts)) = (self.burst_left < 0.0, self.machine.bursts) {
            self.burst = !self.burst;
            self.burst_left += self.wait(if self.burst { bursts.on_s } else { bursts.off_s });
        }
        self.level_left -= seconds;
        while self.level_left < 0.0 {
            self.level = self.machine.steps.0 * normal(&mut self.rng);
            self.level_left += self.wait(self.machine.steps.1);
        }
        self.place += (seconds / BIN_S).round() as usize;
    }

    /// Speed in the next bin, and the share of it that others took in sight of the kernel.
    fn bin(&mut self) -> (f64, f64) {
        self.advance(BIN_S);
        let white = if self.machine.white > 0.0 { self.machine.white * normal(&mut self.rng) } else { 0.0 };
        let foreign = match self.machine.bursts {
            Some(bursts) if self.burst && bursts.seen => bursts.depth,
            _ => 0.0,
        };
        (self.speed() * white.exp(), foreign)
    }

    /// The CPUs' speed at this moment, as a spin between slices sees it: white noise is the server's own.
    fn speed(&self) -> f64 {
        let mut speed = (self.drift + self.level).exp();
        if let (true, Some(bursts)) = (self.burst, self.machine.bursts) {
            speed *= 1.0 - bursts.depth;
        }
        let trace = &self.machine.trace;
        if trace.is_empty() { speed } else { speed * trace[self.place % trace.len()] }
    }

    /// Log-ratio of a block whose first stack is faster by `effect`, in logs. Slices are adjusted for what the kernel saw others take,
    /// by the slope that is true here: half of the CPU is half of the rate.
    pub fn block(&mut self, effect: f64) -> f64 {
        self.advance(SETUP_S);
        let mut factor = || (self.machine.restart * normal(&mut self.rng)).exp();
        let (mut a, b) = (factor() * effect.exp(), factor());
        if self.machine.hit_one > 0.0 && self.rng.random_bool(self.machine.hit_one) {
            a *= HIT.exp();
        }
        // Of the first stack and the second: the amount, and the time in which it was done, each times its weight.
        let mut sums = [[0.0; 2]; 2];
        let mut spin = self.speed();
        for _ in 0..QUADS {
            let (mut amount, mut shares, mut speeds) = ([0.0; 4], [0.0; 4], vec![spin]);
            let order = self.quad();
            for (slice, stack) in order.into_iter().enumerate() {
                for bin in 0..SLICE {
                    let (speed, foreign) = self.bin();
                    if bin >= GUARD {
                        amount[slice] += speed * [a, b][stack];
                        shares[slice] += foreign / (SLICE - GUARD) as f64;
                    }
                }
                spin = self.speed();
                speeds.push(spin);
            }
            let taken = shares.map(|share| -(-share).ln_1p());
            let weight = quad_weight(&speeds, &taken) as f64;
            for (slice, stack) in order.into_iter().enumerate() {
                sums[stack][0] += weight * amount[slice];
                sums[stack][1] += weight * (1.0 - shares[slice]);
            }
        }
        let [a, b] = sums.map(|[amount, time]| amount / time);
        (a / b).ln()
    }

    /// Which stack is loaded in each slice of a quad, by a fair coin.
    fn quad(&mut self) -> [usize; 4] {
        if self.rng.random() { [0, 1, 1, 0] } else { [1, 0, 0, 1] }
    }

    /// What a fresh process does besides: a factor on its rate.
    fn fresh(&mut self) -> f64 {
        self.machine.restart * normal(&mut self.rng)
    }

    /// Work done in a slice, its guard left out.
    fn slice(&mut self) -> f64 {
        (0..SLICE)
            .map(|bin| (bin, self.bin().0))
            .filter(|(bin, _)| *bin >= GUARD)
            .map(|(_, speed)| speed)
            .sum()
    }

    /// One block of a table: logarithms of the rates of equal stacks over the first one's, and its length in seconds.
    pub fn table(&mut self, design: Table, stacks: usize) -> (Vec<f64>, f64) {
        let start_s = SETUP_S / 2.0;
        match design {
            Table::Together => {
                self.advance(start_s * stacks as f64);
                let fresh: Vec<f64> = (0..stacks).map(|_| self.fresh()).collect();
                let mut amount = vec![0.0; stacks];
                for _ in 0..QUADS {
                    let mut order: Vec<usize> = (0..stacks).collect();
                    order.shuffle(&mut self.rng);
                    let back: Vec<usize> = order.iter().rev().copied().collect();
                    order.extend(back);
                    order.into_iter().for_each(|one| amount[one] += self.slice());
                }
                let log = |at: usize| amount[at].ln() + fresh[at];
                let seconds = start_s * stacks as f64 + (QUADS * 2 * SLICE * stacks) as f64 * BIN_S;
                ((1..stacks).map(|at| log(at) - log(0)).collect(), seconds)
            }
            Table::AnchorDuets => {
                let duets = (1..stacks).map(|_| {
                    self.advance(SETUP_S);
                    let (fresh, mut amount) = (self.fresh() - self.fresh(), [0.0; 2]);
                    for _ in 0..QUADS {
                        for stack in self.quad() {
                            amount[stack] += self.slice();
                        }
                    }
                    (amount[0] / amount[1]).ln() + fresh
                });
                let d: Vec<f64> = duets.collect();
                let seconds = d.len() as f64 * BLOCK_S;
                (d, seconds)
            }
            Table::Trials => {
                let mut order: Vec<usize> = (0..stacks).collect();
                order.shuffle(&mut self.rng);
                let mut log = vec![0.0; stacks];
                for one in order {
                    self.advance(start_s);
                    let amount: f64 = (0..20).map(|_| self.slice()).sum();
                    log[one] = amount.ln() + self.fresh();
                }
                let seconds = stacks as f64 * (start_s + (20 * SLICE) as f64 * BIN_S);
                (log[1..].iter().map(|one| one - log[0]).collect(), seconds)
            }
        }
    }

    /// Counts of a stack alone, as the placebo wants them.
    pub fn trace(&mut self, seconds: f64) -> Vec<u64> {
        (0..(seconds / BIN_S) as usize).map(|_| (self.bin().0 * 1_000.0) as u64).collect()
    }

    /// A session that goes on until `stop` says so at a look, or to the last look; its log-ratios.
    pub fn session(&mut self, effect: f64, mut stop: impl FnMut(&[f64]) -> bool) -> Vec<f64> {
        let mut d = Vec::new();
        while d.len() < MOST_BLOCKS {
            d.push(self.block(effect));
            if is_look(d.len()) && stop(&d) {
                break;
            }
        }
        d
    }
}

/// What a session that stops by METHOD's rule says.
pub fn verdict(
    looks: &Looks,
    machine: &Machine,
    effect: f64,
    rng: ChaCha8Rng,
    seed: u64,
) -> (Decision, usize) {
    let mut decision = None;
    let d = Clockwork::new(machine, rng).session(effect, |d| {
        decision = looks.decide(d, TIE, None, seed);
        decision.as_ref().is_some_and(|one| one.next().is_none())
    });
    (decision.expect("a session reaches its first look"), d.len())
}
