//! Whether the numbers may be believed: METHOD, section 6, over the whole run. What the self-checks of
//! section 2 find is `self_checks`' part; what follows from it is here.

use std::collections::{BTreeMap, BTreeSet};

use dyno_model::{
    Operation, StackName,
    output::{Metric, SelfCheck, SelfCheckOutcome as Outcome},
    record::{Block, NotRun, NotRunKind, Run},
    warning::Warning,
};

use crate::{
    adjust::{self, Fit, Loss, Unequal},
    cells::{Cell, Open},
    estimates::quantile,
    self_checks::{self, CHECKS, Check, Finding},
    statistics::mean,
};

/// What was found.
#[derive(Default)]
pub struct Health {
    pub warnings: Vec<Warning>,
    /// Stacks that failed in a block, with the reason.
    pub failures: Vec<NotRun>,
    /// Why the whole run allows no verdict.
    pub no_verdict: Vec<String>,
    /// What takes points off the trust score.
    pub flags: Vec<Flag>,
    /// The self-checks, those that passed too.
    pub checks: Vec<SelfCheck>,
    cells: BTreeMap<(StackName, Operation), CellHealth>,
    /// What others took in each block's slices of a stack and operation.
    losses: BTreeMap<(StackName, Operation), Vec<Option<Loss>>>,
    /// The fit of each of these blocks' rates over it.
    fits: BTreeMap<(StackName, Operation), Vec<Fit>>,
}

/// A reason to doubt the whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Points off the trust score; 0 for what is only told.
    pub points: u32,
    /// What was seen, in words for people.
    pub words: String,
    /// Whether it disturbed all stacks alike: it widens intervals, and refuses nothing.
    pub is_noise: bool,
}

impl Flag {
    fn of(points: u32, words: String) -> Self {
        Self { points, words, is_noise: false }
    }

    fn noise(points: u32, words: String) -> Self {
        Self { points, words, is_noise: true }
    }
}

#[derive(Default)]
struct CellHealth {
    /// Why no metric of the cell allows a verdict.
    wrong: Option<String>,
    /// Why a metric doesn't, by what a self-check found.
    refused: BTreeMap<Metric, String>,
    /// By how much the offered rate was beyond what the stack can do, in words: its latencies are a queue's length.
    overloaded: Option<String>,
}

impl Health {
    /// Whether the offered rate was beyond what the stack can do.
    pub fn overloaded(&self, stack: &StackName, operation: Operation) -> bool {
        self.cell(stack, operation).is_some_and(|cell| cell.overloaded.is_some())
    }

    /// Why no verdict and no rank may rest on this number; `None` when one may.
    pub fn refusal(&self, stack: &StackName, operation: Operation, metric: Metric) -> Option<String> {
        let cell = self.cell(stack, operation)?;
        let of_queue = cell.overloaded.as_ref().filter(|_| quantile(metric).is_some());
        let reason = cell.wrong.as_ref().or(of_queue).or_else(|| cell.refused.get(&metric));
        reason.map(|reason| format!("{stack}: {reason}"))
    }

    /// Why a ratio of two stacks may carry no verdict although each of them may: others took surely more of the CPUs while one of
    /// them was loaded than while the other was, by so much that the adjustment for it could decide the verdict.
    pub fn followed(
        &self,
        a: &StackName,
        b: &StackName,
        operation: Operation,
        metric: Metric,
    ) -> Option<String> {
        if quantile(metric).is_some() || metric == Metric::Memory {
            return None;
        }
        let of = |stack: &StackName| self.losses.get(&(stack.clone(), operation));
        let follows = adjust::follows(of(a)?, of(b)?)?;
        let (more, less) = if follows > 0.0 { (a, b) } else { (b, a) };
        Some(format!(
            "others took {:.0} % more of a CPU while {more} was loaded than while {less} was: what disturbs this machine follows the stack",
            follows.abs() * 100.0
        ))
    }

    /// Whether what others took surely cost one stack's throughput more than another's; over the blocks that have both.
    pub fn unequal(&self, a: &StackName, b: &StackName, operation: Operation) -> Option<Unequal> {
        let of = |stack: &StackName| {
            let key = (stack.clone(), operation);
            Some(self.losses.get(&key)?.iter().zip(self.fits.get(&key)?))
        };
        let both = of(a)?.zip(of(b)?).filter_map(|((loss_a, fit_a), (loss_b, fit_b))| {
            Some(((fit_a.clone(), (*loss_a)?), (fit_b.clone(), (*loss_b)?)))
        });
        let (a, b): (Vec<_>, Vec<_>) = both.unzip();
        adjust::unequal(&a, &b)
    }

    fn cell(&self, stack: &StackName, operation: Operation) -> Option<&CellHealth> {
        self.cells.get(&(stack.clone(), operation))
    }

    fn warn(&mut self, id: &str, subject: String, text: String, advice: &str) {
        self.warnings.push(Warning { id: id.to_owned(), subject, text, advice: advice.to_owned() });
    }
}

/// Share of failed requests beyond which nothing is said.
const ERRORS: f64 = 0.001;
/// Requests in a block that may tell its p99.
pub const P99_REQUESTS: u64 = 2_000;

/// Examines a run.
pub fn examine(run: &Run, blocks: &[&Block], cells: &[Cell]) -> Health {
    let mut health = Health::default();
    failures(&mut health, blocks);
    machine(&mut health, blocks);
    disturbed(&mut health, cells);
    uneven(&mut health, cells);
    speed(&mut health, blocks);
    if run.cpus.generator == run.cpus.database {
        health.flags.push(Flag::of(0, "database and generator share CPUs".to_owned()));
    }
    engines(&mut health, blocks);
    for cell in cells {
        let found = examine_cell(&mut health, cell);
        health.cells.insert((cell.stack.clone(), cell.operation), found);
        health.losses.insert((cell.stack.clone(), cell.operation), cell.losses.clone());
        health.fits.insert((cell.stack.clone(), cell.operation), cell.fits.clone());
    }
    let findings = self_checks::examine(run, cells, &overloaded);
    for check in &CHECKS {
        let of: Vec<&Finding> = findings.iter().filter(|finding| finding.id == check.id).collect();
        of.iter().for_each(|finding| health.judge(finding, check));
        let doubtful = of.iter().filter(|one| matches!(one.outcome, Outcome::Flag | Outcome::Fail)).count();
        if doubtful > 0 {
            let words = format!("{} ({}, {doubtful} of {})", check.doubt, check.id, of.len());
            health.flags.push(Flag::of(10, words));
        }
    }
    health.checks = self_checks::summarise(&findings);
    health
}

fn failures(health: &mut Health, blocks: &[&Block]) {
    let mut seen: BTreeMap<StackName, (usize, String)> = BTreeMap::new();
    for block in blocks {
        for trial in &block.trials {
            if let Some(failure) = &trial.failure {
                let words = format!(
                    "{}{}{}",
                    failure.reason,
                    if failure.log_tail.is_empty() { "" } else { "; its log ends:\n" },
                    failure.log_tail
                );
                seen.entry(trial.stack.clone()).or_insert((0, words)).0 += 1;
            }
        }
    }
    for (stack, (count, words)) in seen {
        let reason = format!("failed in {count} of {} blocks: {words}", blocks.len());
        health.failures.push(NotRun { stack, reason, kind: NotRunKind::Failed });
    }
}

/// Change of the machine's own speed, from the first to the last third of a run, that is worth a word.
const SPEED_CHANGE: f64 = 0.20;
/// Share of a CPU that the hypervisor may take without a word, and from which on a run has a grade less.
const STEAL: (f64, f64) = (0.02, 0.10);

/// The machine's own speed and what the hypervisor took. Both hit all stacks alike, for slices are in random order: they widen
/// intervals, and refuse nothing.
fn machine(health: &mut Health, blocks: &[&Block]) {
    let third = blocks.len() / 3;
    if third > 0 {
        let speed =
            |blocks: &[&Block]| mean(&blocks.iter().map(|block| block.spin_per_ms).collect::<Vec<_>>());
        let change = speed(&blocks[blocks.len() - third..]) / speed(&blocks[..third]) - 1.0;
        if change.abs() > SPEED_CHANGE {
            let text = format!(
                "this machine's own speed changed by {:+.0} % during the run: likely the other halves of its CPU cores were busy, or their clock changed",
                change * 100.0
            );
            health.flags.push(Flag::noise(10, text));
        }
    }
    let slices = || blocks.iter().flat_map(|block| &block.trials).flat_map(|trial| &trial.slices);
    let window_ns: u64 = slices().map(|slice| slice.outcome.window_ns).sum();
    let share = |ns: u64| ns as f64 / window_ns.max(1) as f64;
    let steal = share(slices().map(|slice| slice.machine.steal_ns).sum());
    if steal > STEAL.0 {
        let points = if steal > STEAL.1 { 20 } else { 10 };
        let text = format!(
            "another system on this machine's hardware was busy: it took {:.0} % of a CPU",
            steal * 100.0
        );
        health.flags.push(Flag::noise(points, text));
    }
    throttled(health, blocks);
    let standby = share(slices().map(|slice| slice.machine.standby_ns).sum());
    if standby > 0.02 {
        let text = format!("stacks that stood by used {:.1} % of a core", standby * 100.0);
        health.warn("standby", "run".to_owned(), text, "name fewer stacks, or find what wakes them");
    }
}

/// Share of a run in which quotas may stop it without a word.
const THROTTLED: f64 = 0.001;

/// A CPU quota of dyno's own groups stops whoever asks for the most: it follows the stacks, and may be the limit of one side.
fn throttled(health: &mut Health, blocks: &[&Block]) {
    let told = blocks.iter().filter_map(|block| Some((block.throttled_ns?, block.length_ns)));
    let (stopped_ns, length_ns) = told.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let share = stopped_ns as f64 / length_ns.max(1) as f64;
    if share > THROTTLED {
        health.no_verdict.push(format!(
            "a CPU quota (a container's --cpus, a systemd CPUQuota) stopped dyno and its stacks for {:.1} % of the time: give CPUs of its own (--cpuset-cpus) instead",
            share * 100.0
        ));
    }
}

/// Slices in which others took more than a tenth of a CPU. They count, adjusted for what was taken.
fn disturbed(health: &mut Health, cells: &[Cell]) {
    let (disturbed, all) =
        cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.disturbed.0, sum.1 + cell.disturbed.1));
    if all == 0 || disturbed * 10 < all {
        return;
    }
    let share = disturbed as f64 / all as f64 * 100.0;
    let text = format!(
        "others, on this machine or on the same hardware, took more than a tenth of a CPU in {share:.0} % of the slices"
    );
    let points = if disturbed * 2 > all { 30 } else { 15 };
    health.flags.push(Flag::noise(points, text.clone()));
    health.warn(
        "foreign_cpu",
        "run".to_owned(),
        format!("{text}; figures are adjusted for what was taken, and their intervals are wider for it"),
        "stop what else runs on this machine, or give a longer --budget",
    );
}

/// Quads in which the CPUs' speed changed, or what others took of them.
fn uneven(health: &mut Health, cells: &[Cell]) {
    let (uneven, all) =
        cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.uneven, sum.1 + cell.disturbed.1));
    if uneven * 10 < all || all == 0 {
        return;
    }
    health.warn(
        "uneven_speed",
        "run".to_owned(),
        format!(
            "the CPUs' speed, or what others took of them, changed around {uneven} of {all} slices, which count less for it"
        ),
        "another system shares the cores; a machine of your own needs less time for the same interval",
    );
}

/// Change of the servers' CPUs' speed from right before a slice to right after it that is worth a word: a busy sibling, which no
/// counter of this machine tells of, costs a quarter to a half.
const SIBLING: f64 = 0.15;

/// How often the speed of the servers' CPUs changed within a slice's time. Why isn't known, and is said as likely.
fn speed(health: &mut Health, blocks: &[&Block]) {
    let slices = blocks.iter().flat_map(|block| &block.trials).flat_map(|trial| &trial.slices);
    let (mut changed, mut all) = (0u32, 0u32);
    for speed in slices.filter_map(|slice| slice.speed) {
        let (slow, fast) = (speed.before.min(speed.after), speed.before.max(speed.after));
        all += 1;
        changed += u32::from(fast > slow * (1.0 + SIBLING));
    }
    if all == 0 || changed * 10 < all {
        return;
    }
    let text = format!(
        "the speed of the servers' CPUs changed by more than {:.0} % around {:.0} % of the slices: likely the other half of a CPU core was busy now and then",
        SIBLING * 100.0,
        f64::from(changed) / f64::from(all) * 100.0
    );
    health.flags.push(Flag::noise(0, text));
}

/// Slices that different engines drove aren't one sample: a run that was resumed on another kernel, or by another dyno.
fn engines(health: &mut Health, blocks: &[&Block]) {
    let slices = blocks.iter().flat_map(|block| &block.trials).flat_map(|trial| &trial.slices);
    let engines: BTreeSet<&str> = slices.map(|slice| slice.outcome.engine.as_str()).collect();
    if engines.len() > 1 {
        let names =
            engines.iter().map(|&name| if name.is_empty() { "one before engines had names" } else { name });
        let names = names.collect::<Vec<_>>().join("; ");
        health.no_verdict.push(format!("different load engines were used: {names}"));
    }
}

/// What isn't the generator's doing: failed requests, connections, overload.
fn examine_cell(health: &mut Health, cell: &Cell) -> CellHealth {
    let mut found = CellHealth::default();
    let subject = format!("{} {}", cell.stack, cell.operation);
    let counts = cell.counts;
    // A request that no connection could be opened for got no answer either.
    let (failed, planned) = (counts.failed.total() + counts.not_sent, counts.planned.max(1));
    if counts.failed.wrong_body + counts.failed.wrong_status > 0 || failed as f64 / planned as f64 > ERRORS {
        let reason = format!("{failed} of {planned} requests got no right answer");
        let advice = "see wrong_answers in the run folder's blocks";
        health.warn("errors", subject.clone(), reason.clone(), advice);
        found.wrong = Some(reason);
    }
    let connections = cell.connections;
    let refused = connections.not_opened() + connections.unasked;
    if refused > 0 {
        let text = format!("{refused} connections weren't opened, or spoke before they were asked");
        health.warn("connections", subject.clone(), text, "look at the server's log and its backlog");
    }
    if let Some(few) = too_few_for_p99(cell) {
        found.refused.insert(Metric::LatencyP99, few);
    }
    let open = cell.open();
    if overloaded(&open) {
        let text =
            format!("overloaded: {:.1} s of arrivals were unanswered at a slice's end", open.backlog_s);
        found.overloaded = Some(text.clone());
        let advice = "lower its rate in the plan: a queue's length isn't a latency";
        health.warn("overloaded", subject, text, advice);
    }
    found
}

/// Why no verdict may rest on the blocks' p99: METHOD, section 4, wants 2,000 requests in each block, of which 20 lie beyond it.
fn too_few_for_p99(cell: &Cell) -> Option<String> {
    let fewest = cell.latency.iter().flatten().map(|open| open.latency.count()).min()?;
    (fewest < P99_REQUESTS).then(|| {
        format!(
            "p99 needs {P99_REQUESTS} requests in each block, and a block has {fewest}: offer a higher rate, or more or longer slices"
        )
    })
}

/// Latencies of a queue that only grows are its length.
fn overloaded(open: &Open) -> bool {
    open.backlog_s > 1.0
}

impl Health {
    /// What the canary says: a check like the others, and no verdict when it differs from its twin.
    pub fn hear_canary(&mut self, said: Result<String, String>) {
        let (outcome, words) = match said {
            Ok(words) => (Outcome::Pass, words),
            Err(words) => {
                self.no_verdict.push(words.clone());
                (Outcome::Fail, words)
            }
        };
        self.checks.push(SelfCheck { id: "canary".to_owned(), outcome, words });
    }

    /// What a self-check found becomes a refusal, a warning, or nothing but a line among the checks.
    fn judge(&mut self, finding: &Finding, check: &Check) {
        if !matches!(finding.outcome, Outcome::Flag | Outcome::Fail) {
            return;
        }
        self.warn(finding.id, finding.subject(), finding.words.clone(), check.advice);
        let cell = self.cells.entry((finding.stack.clone(), finding.operation)).or_default();
        for &metric in &finding.refuses {
            let words = format!("{} ({})", finding.words, finding.id);
            cell.refused.entry(metric).or_insert(words);
        }
    }
}
