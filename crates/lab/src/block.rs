//! One block: fresh processes for every stack, warm-up, slices in balanced random order, and an end.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use dyno_contract::{Traffic, Truth, traffic};
use dyno_model::{
    Operation, StackName,
    event::Event,
    plan::Plan,
    record::{Block, BlockState, FORMAT, Trial, TrialFailure},
    rehearsal::{Trace, TracePurpose},
};
use dyno_plan::{block_order, block_seed};
use dyno_supervise::{machine, throttled_ns};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    bench::Bench,
    database::Database,
    error::LabError,
    groups::Grouping,
    prepare::Prepared,
    slices::{Connections, Loaded, Slicer},
    up::Running,
};

/// How long the machine's own speed is looked at before a block.
pub const SPIN: Duration = Duration::from_millis(200);
/// Largest environment variable that only moves memory about.
const PADDING: usize = 4096;

/// What a block needs besides the bench.
pub struct BlockWork<'a> {
    pub prepared: &'a [Prepared],
    pub database: &'a Database,
    pub truth: &'a Truth,
    pub seed: u64,
    /// Which stacks are up together.
    pub grouping: Grouping,
}

/// What a block measures.
pub struct BlockOrder<'a> {
    /// Its number.
    pub index: u32,
    /// The plan, as far as it is settled.
    pub plan: &'a Plan,
    /// Stacks and operations whose order is sure: they have no slices any more, and a stack with nothing else isn't started.
    pub settled: &'a BTreeSet<(StackName, Operation)>,
    /// What settles the plan, once its stacks are up and warm.
    pub rehearse: Option<&'a Settle<'a>>,
    /// The time left of the run, from the share of this block that is done.
    pub left_s: &'a dyn Fn(f64) -> Option<f64>,
}

/// The plan with what its traces say.
pub type Settle<'a> = dyn Fn(&Plan, &[Trace]) -> Plan + 'a;

/// How long each stack is looked at before the first block, and how long the baseline.
const ANSWERS: Duration = Duration::from_millis(500);
const PLACEBO: Duration = Duration::from_secs(6);

/// A block in the making.
struct Making<'a, 'b> {
    bench: &'a Bench<'b>,
    work: &'a BlockWork<'a>,
    order: &'a BlockOrder<'a>,
    /// The plan, as it is settled in this block.
    plan: Plan,
    rehearsed: bool,
    seed: u64,
    begin: Instant,
    done: u64,
    total: u64,
}

/// Does a block, and says which plan it was measured by where it settled one.
pub fn do_block(
    bench: &Bench<'_>,
    work: &BlockWork<'_>,
    order: &BlockOrder<'_>,
) -> Result<(Block, Option<Plan>), LabError> {
    let index = order.index;
    let started = jiff::Timestamp::now().to_string();
    let begin = Instant::now();
    let spin_per_ms = machine::spin_per_ms(SPIN);
    let throttled_before_ns = throttled_ns();
    let seed = block_seed(work.seed, index);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut groups = work.grouping.draw(&mut rng);
    groups.shuffle(&mut rng);
    groups.iter_mut().for_each(|group| group.retain(|&stack| order.asks(work.prepared[stack].name())));
    let plan = order.plan.clone();
    let total =
        groups.iter().map(|group| (group.len() + block_order(&plan, group.len(), seed).len()) as u64).sum();
    let mut making = Making { bench, work, order, plan, rehearsed: false, seed, begin, done: 0, total };
    let mut trials = Vec::new();
    for group in &groups {
        trials.extend(making.group(group, &mut rng)?);
        if bench.stopped() {
            break;
        }
    }
    let state = if bench.stopped() { BlockState::Interrupted } else { BlockState::Complete };
    let length_ns = begin.elapsed().as_nanos() as u64;
    let block = Block {
        format: FORMAT,
        index,
        state,
        started,
        length_ns,
        spin_per_ms,
        throttled_ns: throttled_before_ns
            .zip(throttled_ns())
            .map(|(before, after)| after.saturating_sub(before)),
        trials,
    };
    Ok((block, making.rehearsed.then_some(making.plan)))
}

impl BlockOrder<'_> {
    /// Whether anything is still asked of a stack.
    fn asks(&self, stack: &StackName) -> bool {
        let settled = |operation: &Operation| self.settled.contains(&(stack.clone(), *operation));
        !self.plan.operations.iter().all(settled)
    }
}

/// Connections that an engine opens to a stack.
pub fn connections_of(plan: &Plan) -> u32 {
    plan.throughput.connections.max(plan.latency.as_ref().map_or(0, |latency| latency.connections))
}

impl<'a> Making<'a, '_> {
    fn group(&mut self, group: &[usize], rng: &mut ChaCha8Rng) -> Result<Vec<Trial>, LabError> {
        let mut trials: Vec<Trial> = group
            .iter()
            .map(|&index| Trial {
                stack: self.work.prepared[index].name().clone(),
                ready_ns: 0,
                slices: Vec::new(),
                pacing: None,
                failure: None,
            })
            .collect();
        let mut loaded = self.start(group, &mut trials, rng)?;
        self.rehearse(&mut loaded, &trials);
        let plan = self.plan.clone();
        let slicer = Slicer {
            plan: &plan,
            cpus: &self.bench.cpus,
            speed: Cell::default(),
            database: self.work.database,
            broker: self.bench.started_broker(),
            seed: self.seed,
            begin: self.begin,
            stop: self.bench.order.stop,
        };
        for work in block_order(&plan, group.len(), self.seed) {
            if self.bench.stopped() {
                break;
            }
            self.done += 1;
            let settled = self.order.settled.contains(&(trials[work.stack].stack.clone(), work.operation));
            if settled || trials[work.stack].failure.is_some() {
                continue;
            }
            self.tell(&trials[work.stack], Some(work.operation));
            let result = slicer.slice(&mut loaded, &work);
            match result {
                Ok(slice) => trials[work.stack].slices.push(slice),
                Err(reason) => {
                    fail(&mut trials[work.stack], loaded[work.stack].as_ref().map(|one| &one.running), reason)
                }
            }
            if let Some(one) = &loaded[work.stack]
                && let Some(reason) = one.running.ended()
            {
                fail(&mut trials[work.stack], Some(&one.running), reason);
            }
        }
        for (one, trial) in loaded.iter().zip(&mut trials) {
            trial.pacing = one.as_ref().and_then(|one| one.connections.pacing());
        }
        thread::scope(|scope| {
            for one in loaded.into_iter().flatten() {
                scope.spawn(|| one.running.end());
            }
        });
        Ok(trials)
    }

    /// Looks at the stacks that are up before the first slice, one at a time, and has the plan settled by what it sees. A stack that fails
    /// under this load is told by its first slice.
    fn rehearse(&mut self, loaded: &mut [Option<Loaded<'_>>], trials: &[Trial]) {
        let Some(settle) = self.order.rehearse.filter(|_| !self.rehearsed) else { return };
        let plan = self.plan.clone();
        let mut traces = Vec::new();
        let up = loaded.iter_mut().zip(trials).filter_map(|(one, trial)| Some((one.as_mut()?, trial)));
        for (one, trial) in up.filter(|(_, trial)| !trial.stack.variant.twin) {
            for &operation in &plan.operations {
                let anchor = trial.stack == plan.baseline && operation == plan.operations[0];
                let asked = plan.latency.as_ref().is_some_and(|latency| latency.measures(operation));
                let (purpose, length) =
                    if anchor { (TracePurpose::Placebo, PLACEBO) } else { (TracePurpose::Answers, ANSWERS) };
                if self.bench.stopped() || !(anchor || asked) {
                    continue;
                }
                self.tell(trial, Some(operation));
                let seen =
                    one.connections.trace(&plan, operation, Duration::ZERO, length, self.bench.order.stop);
                traces.extend(seen.ok().map(|(counts, p99_us)| Trace {
                    purpose,
                    stack: trial.stack.clone(),
                    operation,
                    start: None,
                    warm_up: plan.design.warm_up,
                    counts,
                    p99_us,
                }));
            }
        }
        self.plan = settle(&plan, &traces);
        self.rehearsed = true;
    }

    /// Starts all stacks of a group at once, then warms each up alone.
    fn start(
        &mut self,
        group: &[usize],
        trials: &mut [Trial],
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Option<Loaded<'a>>>, LabError> {
        let begin = Instant::now();
        let mut started = Vec::new();
        for &index in group {
            let padding = rng.random_range(0..PADDING);
            started.push(Running::start(
                self.bench,
                &self.work.prepared[index],
                self.work.database,
                None,
                padding,
                self.plan.capacity.task_workers,
            ));
        }
        let connections = connections_of(&self.plan);
        let mut ready = Vec::new();
        for (running, trial) in started.into_iter().zip(trials.iter_mut()) {
            let outcome = match running {
                Ok(running) => {
                    running.wait_ready(self.bench.order.stop).map(|_| running).map_err(LabError::from)
                }
                Err(error) => Err(error),
            };
            trial.ready_ns = begin.elapsed().as_nanos() as u64;
            match outcome {
                Ok(running) => ready.push(Some(running)),
                Err(LabError::Supervise(error)) => {
                    fail(trial, None, error.to_string());
                    ready.push(None);
                }
                Err(error) => return Err(error),
            }
        }
        let mut loaded = Vec::new();
        for (running, trial) in ready.into_iter().zip(trials.iter_mut()) {
            self.done += 1;
            self.tell(trial, None);
            if self.bench.stopped() {
                loaded.push(None);
                continue;
            }
            loaded.push(running.and_then(|running| self.warm_up(running, connections, trial)));
        }
        Ok(loaded)
    }

    fn warm_up(&self, running: Running<'a>, connections: u32, trial: &mut Trial) -> Option<Loaded<'a>> {
        let operations = &self.plan.operations;
        let app = &trial.stack.app;
        let traffic: BTreeMap<Operation, Vec<Traffic>> =
            operations.iter().map(|&one| (one, traffic(one, app, self.work.truth, self.seed))).collect();
        let opened = Connections::open(&running, connections, self.plan.throughput.idle, &traffic);
        let warm = opened.and_then(|mut connections| {
            connections.warm_up(&self.plan, self.bench.order.stop)?;
            Ok(connections)
        });
        match warm {
            Ok(connections) => Some(Loaded { running, connections }),
            Err(reason) => {
                fail(trial, Some(&running), reason);
                None
            }
        }
    }

    fn tell(&self, trial: &Trial, operation: Option<Operation>) {
        let share = self.done as f64 / self.total.max(1) as f64;
        self.bench.tell(Event::Progress {
            done: u64::from(self.order.index) * self.total + self.done,
            total: self.total * u64::from(self.plan.design.blocks.max(self.order.index + 1)),
            left_s: (self.order.left_s)(share),
            stack: Some(trial.stack.clone()),
            operation,
        });
    }
}

fn fail(trial: &mut Trial, running: Option<&Running<'_>>, reason: String) {
    let log_tail = running.map_or_else(String::new, Running::log_tail);
    trial.failure.get_or_insert(TrialFailure { reason, log_tail });
}
