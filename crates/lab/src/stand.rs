//! Single trials on chosen stacks: which, when and at what rate is somebody else's to decide.

use std::{cell::Cell, collections::BTreeMap, time::Instant};

use dyno_contract::{Traffic, Truth, traffic};
use dyno_model::{
    Operation, Rate, Span, StackName,
    event::Event,
    plan::{Latency, Plan},
    record::{CpuSets, Slice},
};
use dyno_plan::{SliceKind, SlicePlan};
use dyno_supervise::machine;

use crate::{
    bench::Bench,
    block::{SPIN, connections_of},
    database::Database,
    error::LabError,
    prepare::Prepared,
    slices::{Connections, Loaded, Slicer},
    up::Running,
};

/// One trial as asked.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The operation.
    pub operation: Operation,
    /// Offered rate of an open loop with Poisson arrivals; `None` for a saturated closed loop.
    pub rate: Option<Rate>,
    /// Connections that may be in use at once.
    pub connections: u32,
    /// Length, the guard included.
    pub length: Span,
    /// Seed of the schedule.
    pub seed: u64,
}

/// Stacks that are proven, and up when they are asked to be.
pub struct Stand<'a> {
    bench: &'a Bench<'a>,
    prepared: &'a [Prepared],
    database: &'a Database,
    truth: &'a Truth,
    loaded: Vec<Option<Loaded<'a>>>,
    begin: Instant,
}

impl<'a> Stand<'a> {
    pub(crate) fn new(
        bench: &'a Bench<'a>,
        prepared: &'a [Prepared],
        database: &'a Database,
        truth: &'a Truth,
    ) -> Self {
        let loaded = prepared.iter().map(|_| None).collect();
        Self { bench, prepared, database, truth, loaded, begin: Instant::now() }
    }

    /// The stacks by their numbers.
    pub fn names(&self) -> Vec<StackName> {
        self.prepared.iter().map(|one| one.name().clone()).collect()
    }

    /// Whether the user asked to stop.
    pub fn stopped(&self) -> bool {
        self.bench.stopped()
    }

    /// Tells how far the work is: `done` of at most `total` trials.
    pub fn tell(&self, stack: usize, operation: Operation, done: u64, total: u64) {
        let stack = Some(self.prepared[stack].name().clone());
        self.bench.tell(Event::Progress { done, total, left_s: None, stack, operation: Some(operation) });
    }

    /// Tells a person something.
    pub fn note(&self, text: String) {
        self.bench.tell(Event::Note(text));
    }

    /// CPUs of each part.
    pub fn cpus(&self) -> &CpuSets {
        &self.bench.cpus
    }

    /// Fresh processes for one stack, warmed up; returns the machine's speed before it, in loops per millisecond.
    ///
    /// # Errors
    /// Dyno's own; that a stack doesn't start, or answers wrongly, is the inner one.
    pub fn fresh(&mut self, stack: usize, seed: u64) -> Result<Result<f64, String>, LabError> {
        let spin_per_ms = machine::spin_per_ms(SPIN);
        if let Some(old) = self.loaded[stack].take() {
            old.running.end();
        }
        let (one, plan) = (&self.prepared[stack], self.bench.order.plan);
        let workers = plan.capacity.task_workers;
        let padding = usize::try_from(seed % 4096).unwrap_or(0);
        let started = Running::start(self.bench, one, self.database, None, padding, workers);
        let running = match started {
            Ok(running) => running,
            Err(LabError::Supervise(error)) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        if let Err(error) = running.wait_ready(self.bench.order.stop) {
            return Ok(Err(format!("{error}; its log ends: {}", running.log_tail())));
        }
        self.bench.go_on()?;
        let app = &one.name().app;
        let traffic: BTreeMap<Operation, Vec<Traffic>> =
            plan.operations.iter().map(|&it| (it, traffic(it, app, self.truth, seed))).collect();
        let warm =
            Connections::open(&running, connections_of(plan), 0, &traffic).and_then(|mut connections| {
                connections.warm_up(plan, self.bench.order.stop)?;
                Ok(connections)
            });
        Ok(warm.map(|connections| {
            self.loaded[stack] = Some(Loaded { running, connections });
            spin_per_ms
        }))
    }

    /// One trial on one stack that is up, until its last answer: nothing is in flight when it returns.
    ///
    /// # Errors
    /// The stack isn't up, died, or can't be connected to.
    pub fn trial(&mut self, stack: usize, probe: Probe) -> Result<Slice, String> {
        let plan = plan_of(self.bench.order.plan, probe);
        let slicer = Slicer {
            plan: &plan,
            cpus: &self.bench.cpus,
            speed: Cell::default(),
            database: self.database,
            broker: self.bench.started_broker(),
            seed: probe.seed,
            begin: self.begin,
            stop: self.bench.order.stop,
        };
        let kind = if probe.rate.is_some() { SliceKind::Latency } else { SliceKind::Throughput };
        let work = SlicePlan { stack, operation: probe.operation, kind, round: 0 };
        let slice = slicer.slice(&mut self.loaded, &work)?;
        match self.loaded[stack].as_ref().and_then(|one| one.running.ended()) {
            Some(what) => Err(what),
            None => Ok(slice),
        }
    }

    /// Stops all.
    pub(crate) fn stop(self) {
        self.loaded.into_iter().flatten().for_each(|one| one.running.end());
    }
}

/// The plan with the trial's load in the place of its own.
fn plan_of(plan: &Plan, probe: Probe) -> Plan {
    let mut plan = plan.clone();
    plan.throughput.slice = probe.length;
    plan.throughput.connections = probe.connections;
    // The queue begins empty: a tenth isn't counted.
    plan.design.guard = Span(probe.length.0 / 10);
    plan.latency = probe.rate.map(|rate| Latency {
        connections: probe.connections,
        slice: probe.length,
        slices: 1,
        rates: BTreeMap::from([(probe.operation, rate)]),
        shares: BTreeMap::new(),
    });
    plan
}
