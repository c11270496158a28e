//! Machines made up or recorded, and the whole procedure on them: blocks of quads of slices, looks, decisions. Shared by the
//! tests and the example of the calibration.
//!
//! What is estimated from slices is the library's: slopes by `adjust::Fit` over all blocks so far, weights by `weights::quad_weight`,
//! looks by `looks::Looks`, tables by `spread`. Only the machines are made up.

// Each of the tests and the example uses a part of it.
#![allow(dead_code)]

pub mod estimators;
pub mod tables;

use std::path::{Path, PathBuf};

use dyno_analyse::{
    adjust::{COVARIATES, Loss, covariate},
    looks::{Decision, Looks, MOST_BLOCKS, is_look},
    placebo::Setting,
    statistics::{mean, normal, standard_deviation},
};
use estimators::Adjusted;
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

/// Slower by `depth`, for `on_s` seconds in the mean, after `off_s` seconds in the mean; no counter tells of it.
#[derive(Clone, Copy)]
pub struct Bursts {
    pub on_s: f64,
    pub off_s: f64,
    pub depth: f64,
}

/// Who takes CPU time in sight of the kernel.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// The hypervisor. What it takes comes in pieces: from nothing to twice the share in a bin.
    Steal,
    /// Another process, by fair scheduling: evenly.
    Foreign,
}

/// From where.
#[derive(Clone, Copy)]
pub enum Part {
    Servers,
    Others,
    /// From one of the two, by a fair coin in each burst.
    Either,
}

/// When, and how large a share of the part's time.
#[derive(Clone, Copy)]
pub enum Course {
    Always(f64),
    /// Between two shares, going back to their middle in so many seconds.
    Wander {
        between: (f64, f64),
        tau_s: f64,
    },
    /// On for a time and off for a time, each uniform within limits, as is the share of each burst.
    OnOff {
        on_s: (f64, f64),
        off_s: (f64, f64),
        share: (f64, f64),
    },
}

/// One that takes CPU time in sight of the kernel.
#[derive(Clone, Copy)]
pub struct Taker {
    pub kind: Kind,
    pub part: Part,
    pub course: Course,
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
    pub takers: Vec<Taker>,
    /// How a rate's logarithm answers to what is taken, by covariate.
    pub slopes: Loss,
    /// By how much more the first stack of two answers than that, and the second less; of many, every other one.
    pub slopes_differ: f64,
    /// Share of the stolen time that the counter tells.
    pub steal_told: f64,
    /// Of each fresh process.
    pub restart: f64,
    /// Share of blocks in which the first stack alone is slower by a fifth.
    pub hit_one: f64,
    /// Recorded speeds, 1 in the mean, from a random place on, again and again.
    pub trace: Vec<f64>,
    /// 3 % can be found here: blocks spread by less than 5 %.
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
            takers: Vec::new(),
            slopes: [1.0, 1.0, 0.5, 0.5],
            slopes_differ: 0.0,
            steal_told: 1.0,
            restart: 0.01,
            hit_one: 0.0,
            trace: Vec::new(),
            usable: true,
        }
    }

    /// Whether a promise may be asked of it: what answers differently to the same machine isn't one ratio.
    pub fn has_one_ratio(&self) -> bool {
        self.slopes_differ == 0.0
    }
}

/// All machines: those on which nobody takes CPU time in sight of the kernel, then those on which somebody does.
pub fn machines() -> Vec<Machine> {
    let mut all = out_of_sight();
    all.extend(in_sight());
    all
}

/// Machines whose noise no counter tells. Those of recorded traces have no white noise of ours.
pub fn out_of_sight() -> Vec<Machine> {
    let bursts = |on_s, off_s, depth| Some(Bursts { on_s, off_s, depth });
    let mut all = vec![
        Machine { restart: 0.005, ..Machine::of("quiet") },
        Machine { white: 0.05, drift: (0.03, 10.0), ..Machine::of("typical") },
        Machine { white: 0.3, ..Machine::of("white noise") },
        Machine { drift: (0.15, 3.0), ..Machine::of("drift") },
        Machine { bursts: bursts(0.5, 4.0, 0.4), ..Machine::of("bursts") },
        Machine { steps: (0.15, 10.0), ..Machine::of("steps") },
        Machine { restart: 0.03, ..Machine::of("fresh processes differ") },
        Machine {
            white: 0.1,
            drift: (0.1, 2.0),
            steps: (0.1, 20.0),
            bursts: bursts(0.3, 5.0, 0.3),
            ..Machine::of("all of it")
        },
        Machine { bursts: bursts(2.0, 2.0, 0.6), usable: false, ..Machine::of("half of the time taken") },
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

/// The goal's machine: a process burns half of each CPU half of the time, and the hypervisor takes a tenth.
pub const BURNER: &str = "half of a core half of the time, steal of 10 %";

/// Machines on which others take CPU time in sight of the kernel.
pub fn in_sight() -> Vec<Machine> {
    use {Kind::*, Part::*};
    let taker = |kind, part, course| Taker { kind, part, course };
    let both = |kind, course| vec![taker(kind, Servers, course), taker(kind, Others, course)];
    let on_off = |on_s, off_s, share| Course::OnOff { on_s, off_s, share };
    let of = |name: &str, takers: Vec<Taker>| Machine {
        white: 0.05,
        drift: (0.03, 10.0),
        takers,
        ..Machine::of(name)
    };
    let wander = Course::Wander { between: (0.05, 0.30), tau_s: 20.0 };
    let burner = || {
        let mut takers = both(Foreign, on_off((1.0, 5.0), (1.0, 5.0), (0.5, 0.5)));
        takers.extend(both(Steal, Course::Always(0.1)));
        takers
    };
    let browser = || vec![taker(Foreign, Either, on_off((0.2, 1.0), (1.0, 6.0), (0.3, 0.6)))];
    vec![
        of(
            "bursts that the kernel counts",
            vec![taker(Foreign, Servers, on_off((0.1, 0.9), (1.0, 7.0), (0.4, 0.4)))],
        ),
        Machine { steps: (0.1, 15.0), ..of("laptop with a browser, frequency steps", browser()) },
        of("CI runner, steal of 5 to 30 % that wanders", both(Steal, wander)),
        of("steal of 5 %", both(Steal, Course::Always(0.05))),
        of("steal of 15 %", both(Steal, Course::Always(0.15))),
        of("steal of 30 %", both(Steal, Course::Always(0.30))),
        of("bursts of steal", both(Steal, on_off((0.3, 2.0), (2.0, 8.0), (0.3, 0.7)))),
        of(
            "steal that drifts over minutes",
            both(Steal, Course::Wander { between: (0.0, 0.4), tau_s: 120.0 }),
        ),
        of(BURNER, burner()),
        of(
            "burner on each CPU a third of the time",
            both(Foreign, on_off((1.0, 5.0), (2.0, 10.0), (0.5, 0.5))),
        ),
        Machine { slopes: [0.5, 0.5, 0.0, 0.0], ..of("burner and steal, slopes of 0.5 and 0", burner()) },
        Machine { slopes: [1.5, 1.5, 1.0, 1.0], ..of("burner and steal, slopes of 1.5 and 1", burner()) },
        Machine { slopes: [1.0, 1.3, 0.2, 1.0], ..of("laptop, slopes of 0.2 to 1.3", browser()) },
        Machine { steal_told: 0.7, ..of("CI runner, 70 % of the steal told", both(Steal, wander)) },
        // What the kept noisy runs look like: slopes of 2 to 3, as if the counter told a part of it.
        Machine { steal_told: 0.35, ..of("CI runner, 35 % of the steal told", both(Steal, wander)) },
        Machine {
            white: 0.1,
            steps: (0.1, 20.0),
            bursts: Some(Bursts { on_s: 0.3, off_s: 5.0, depth: 0.3 }),
            ..of("burner, steal, bursts and steps out of sight", burner())
        },
        Machine {
            slopes_differ: 0.2,
            usable: false,
            ..of("burner and steal, stacks answer by ±20 %", burner())
        },
        Machine {
            slopes_differ: 0.05,
            usable: false,
            ..of("burner and steal, stacks answer by ±5 %", burner())
        },
    ]
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

/// What one slice showed.
#[derive(Clone, Copy, Default)]
pub struct Seen {
    pub stack: usize,
    /// Right answers, in seconds of a machine of which nothing is taken.
    pub amount: f64,
    pub loss: Loss,
    /// Stolen time that was counted, and all time that others were counted to take, in seconds.
    pub steal_s: f64,
    pub taken_s: f64,
}

/// The stretch of time of two rounds over all stacks, the second in the order of the first reversed.
pub struct Quad {
    pub slices: Vec<Seen>,
    pub speeds: Vec<f64>,
}

/// A block as it is recorded.
pub struct Measured {
    pub quads: Vec<Quad>,
    pub stacks: usize,
    /// What the block's own spin says.
    pub spin: f64,
}

/// A moment of a machine.
struct Bin {
    speed: f64,
    taken: Loss,
}

/// One that takes, at this moment.
struct Taking {
    left_s: f64,
    share: f64,
    part: usize,
    place: f64,
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
    takings: Vec<Taking>,
    /// What was stolen from each part so far and told, and what other processes used there, in seconds.
    stolen_s: [f64; 2],
    foreign_s: [f64; 2],
    place: usize,
}

/// Length of a slice without its guard, in seconds.
pub const WINDOW_S: f64 = (SLICE - GUARD) as f64 * BIN_S;
/// The kernel's tick, in seconds.
const TICK_S: f64 = 0.01;
/// A single chain of multiplications, the block's own spin, feels a neighbour on the core about a fifth as much as a server does
/// (`docs/design/2026-11-28-speed.md`: a spread of 5 % against 23 %); a frequency it feels wholly.
const SPIN_FEELS: f64 = 0.2;

impl<'a> Clockwork<'a> {
    pub fn new(machine: &'a Machine, mut rng: ChaCha8Rng) -> Self {
        let place = if machine.trace.is_empty() { 0 } else { rng.random_range(0..machine.trace.len()) };
        let (drift, level) = (machine.drift.0 * normal(&mut rng), machine.steps.0 * normal(&mut rng));
        let takings = machine
            .takers
            .iter()
            .map(|_| Taking { left_s: 0.0, share: 0.0, part: 0, place: normal(&mut rng) })
            .collect();
        let mut new = Self {
            machine,
            rng,
            drift,
            level,
            burst: false,
            burst_left: 0.0,
            level_left: 0.0,
            takings,
            stolen_s: [0.0; 2],
            foreign_s: [0.0; 2],
            place,
        };
        new.burst_left = machine.bursts.map_or(f64::INFINITY, |bursts| new.wait(bursts.off_s));
        new.level_left = if machine.steps.0 > 0.0 { new.wait(machine.steps.1) } else { f64::INFINITY };
        // Bursts of those who take begin at a random moment.
        if !machine.takers.is_empty() {
            let seconds = 20.0 * new.rng.random::<f64>();
            new.advance(seconds);
        }
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
        for (taker, taking) in self.machine.takers.iter().zip(&mut self.takings) {
            taking.advance(taker, seconds, &mut self.rng);
        }
        self.place += (seconds / BIN_S).round() as usize;
    }

    fn bin(&mut self) -> Bin {
        self.advance(BIN_S);
        let white = if self.machine.white > 0.0 { self.machine.white * normal(&mut self.rng) } else { 0.0 };
        Bin { speed: self.speed() * white.exp(), taken: self.take() }
    }

    /// What others take in a bin: the part's time that the hypervisor left, and the part of that which other processes left.
    fn take(&mut self) -> Loss {
        if self.takings.is_empty() {
            return [0.0; COVARIATES];
        }
        let mut left = [1.0; COVARIATES];
        for (taker, taking) in self.machine.takers.iter().zip(&self.takings) {
            let (at, pieces) = match taker.kind {
                Kind::Steal => (2 * taking.part, 2.0 * self.rng.random::<f64>()),
                Kind::Foreign => (2 * taking.part + 1, 1.0),
            };
            left[at] *= 1.0 - (taking.share * pieces).min(0.95);
        }
        for part in 0..2 {
            let [stolen, foreign] = [1.0 - left[2 * part], 1.0 - left[2 * part + 1]];
            self.stolen_s[part] += self.machine.steal_told * stolen * BIN_S;
            self.foreign_s[part] += (1.0 - stolen) * foreign * BIN_S;
        }
        left.map(|left| -left.ln())
    }

    /// The CPUs' speed at this moment, as a spin between slices sees it: white noise is the server's own, and what others take isn't in
    /// a thread's CPU time.
    fn speed(&self) -> f64 {
        self.level.exp() * self.neighbour()
    }

    /// What isn't frequency.
    fn neighbour(&self) -> f64 {
        let mut speed = self.drift.exp();
        if let (true, Some(bursts)) = (self.burst, self.machine.bursts) {
            speed *= 1.0 - bursts.depth;
        }
        let trace = &self.machine.trace;
        if trace.is_empty() { speed } else { speed * trace[self.place % trace.len()] }
    }

    /// A block of stacks whose rates have these logarithms, two slices of each stack in a quad.
    pub fn measure(&mut self, levels: &[f64], quads: usize) -> Measured {
        self.advance(SETUP_S / 2.0 * levels.len() as f64);
        let mut factors: Vec<f64> = levels.iter().map(|level| (level + self.fresh()).exp()).collect();
        if self.machine.hit_one > 0.0 && self.rng.random_bool(self.machine.hit_one) {
            factors[0] *= HIT.exp();
        }
        let spin = self.level.exp() * self.neighbour().powf(SPIN_FEELS);
        let quads = (0..quads).map(|_| self.measure_quad(&factors)).collect();
        Measured { quads, stacks: levels.len(), spin }
    }

    fn measure_quad(&mut self, factors: &[f64]) -> Quad {
        let mut order: Vec<usize> = (0..factors.len()).collect();
        order.shuffle(&mut self.rng);
        let back: Vec<usize> = order.iter().rev().copied().collect();
        order.extend(back);
        let mut quad = Quad { slices: Vec::with_capacity(order.len()), speeds: vec![self.speed()] };
        for stack in order {
            quad.slices.push(self.seen(stack, factors[stack]));
            quad.speeds.push(self.speed());
        }
        quad
    }

    /// A slice of a stack, and what the kernel's counters said around it.
    fn seen(&mut self, stack: usize, factor: f64) -> Seen {
        for _ in 0..GUARD {
            self.bin();
        }
        let sign = [1.0, -1.0][stack % 2];
        let slopes = self.machine.slopes.map(|slope| slope * (1.0 + sign * self.machine.slopes_differ));
        let (stolen_s, foreign_s) = (self.stolen_s, self.foreign_s);
        let mut amount = 0.0;
        for _ in GUARD..SLICE {
            let bin = self.bin();
            let answers: f64 = slopes.iter().zip(bin.taken).map(|(slope, taken)| slope * taken).sum();
            amount += factor * bin.speed * if answers > 0.0 { (-answers).exp() } else { 1.0 } * BIN_S;
        }
        let (mut loss, mut of_steal_s, mut taken_s) = ([0.0; COVARIATES], 0.0, 0.0);
        for part in 0..2 {
            // Stolen time is summed up in ns and told in whole ticks. Foreign time is what was busy, in ticks of the clock, less what
            // ours used: wrong by a part of a tick at either end.
            let steal_s =
                ((self.stolen_s[part] / TICK_S).floor() - (stolen_s[part] / TICK_S).floor()) * TICK_S;
            let ends = self.rng.random::<f64>() - self.rng.random::<f64>();
            let busy_s = (self.foreign_s[part] - foreign_s[part] + ends * TICK_S).max(0.0);
            loss[2 * part] = covariate(steal_s / WINDOW_S);
            loss[2 * part + 1] = covariate(busy_s / WINDOW_S);
            of_steal_s += steal_s;
            taken_s += steal_s + busy_s;
        }
        Seen { stack, amount, loss, steal_s: of_steal_s, taken_s }
    }

    /// Log-ratios of so many blocks whose first stack is faster by `effect`, in logs.
    pub fn blocks(&mut self, effect: f64, count: usize) -> Vec<f64> {
        let mut adjusted = Adjusted::default();
        (0..count).for_each(|_| adjusted.add(self.measure(&[effect, 0.0], QUADS)));
        adjusted.log_ratios()
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
            .map(|bin| (bin, self.bin().speed))
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
        (0..(seconds / BIN_S) as usize).map(|_| (self.bin().speed * 1_000.0) as u64).collect()
    }

    /// A session that goes on until `stop` says so at a look, or to the last look; its log-ratios.
    pub fn session(&mut self, effect: f64, mut stop: impl FnMut(&[f64]) -> bool) -> Vec<f64> {
        let mut adjusted = Adjusted::default();
        for n in 1..=MOST_BLOCKS {
            adjusted.add(self.measure(&[effect, 0.0], QUADS));
            if is_look(n) && stop(&adjusted.log_ratios()) {
                break;
            }
        }
        adjusted.log_ratios()
    }
}

impl Taking {
    fn advance(&mut self, taker: &Taker, seconds: f64, rng: &mut ChaCha8Rng) {
        let mut within = |(low, high): (f64, f64)| low + (high - low) * rng.random::<f64>();
        self.part = match taker.part {
            Part::Servers => 0,
            Part::Others => 1,
            Part::Either => self.part,
        };
        match taker.course {
            Course::Always(share) => self.share = share,
            Course::Wander { between, tau_s } => {
                let keep = (-seconds / tau_s).exp();
                self.place = keep * self.place + (1.0 - keep * keep).sqrt() * normal(rng);
                // The logistic curve of 1.7 times a normal number is nearly uniform.
                self.share = between.0 + (between.1 - between.0) / (1.0 + (-1.7 * self.place).exp());
            }
            Course::OnOff { on_s, off_s, share } => {
                self.left_s -= seconds;
                while self.left_s < 0.0 {
                    if self.share > 0.0 {
                        self.share = 0.0;
                        self.left_s += within(off_s);
                    } else {
                        self.share = within(share);
                        self.left_s += within(on_s);
                        if matches!(taker.part, Part::Either) {
                            self.part = usize::from(within((0.0, 1.0)) < 0.5);
                        }
                    }
                }
            }
        }
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
    let (mut clockwork, mut adjusted) = (Clockwork::new(machine, rng), Adjusted::default());
    for n in 1..=MOST_BLOCKS {
        adjusted.add(clockwork.measure(&[effect, 0.0], QUADS));
        if is_look(n) {
            let decision = adjusted.decide(looks, seed).expect("a look has an interval");
            if decision.next().is_none() {
                return (decision, n);
            }
        }
    }
    unreachable!("the last look ends a session")
}
