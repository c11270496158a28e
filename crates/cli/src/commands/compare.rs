//! `dyno compare`: a slice duet of two stacks, looked at until a verdict is reached (METHOD, sections 3 and 4).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use dyno_analyse::P99_REQUESTS;
use dyno_model::{
    Operation, Rate, Span, StackName, StackNameError,
    plan::{Capacity, Data, Design, Latency, Plan, Throughput, most_together},
};

use dyno_plan::PlanError;
use dyno_record::RunFolder;

use super::{Workshop, session, view};
use crate::{
    arguments::{Common, CompareOptions},
    exit::{self, Error},
};

/// Slices of each stack and operation in a block: eight quads, ABBA or BAAB.
const SLICES: u32 = 16;
/// Open-loop slices of each stack and operation in a block: the fewest, and the most that are done for a p99's sake.
const LATENCY_SLICES: std::ops::RangeInclusive<u32> = 8..=32;
/// Length of an open-loop slice, and the beginning of every slice that isn't counted.
const LATENCY_SLICE: Duration = Duration::from_millis(500);
const GUARD: Duration = Duration::from_millis(50);
/// Fewest connections of a saturated closed loop for each worker process.
const WORKER_CONNECTIONS: u32 = 8;
/// Blocks of the last look, and some that a disturbance may take.
const MOST_BLOCKS: u32 = 60;

/// A duet of stacks, or a few more, for as long as a verdict is open.
pub struct Duet {
    /// What the run is called.
    pub name: String,
    /// Stacks; the last is what the others are compared with.
    pub stacks: Vec<StackName>,
    /// Operations that are timed.
    pub operations: Vec<Operation>,
    /// The same for all stacks without a variant.
    pub capacity: Capacity,
    /// Connections of the saturated closed loop; `None` for [`saturating`].
    pub connections: Option<u32>,
    /// More connections that never send.
    pub idle: u32,
    /// Offered rate of open-loop slices, for the operations that have any.
    pub rates: BTreeMap<Operation, Rate>,
    /// Time for all of it.
    pub budget: Span,
    /// Seed of every random choice.
    pub seed: Option<u64>,
    /// Whether the baseline has a twin.
    pub canary: bool,
}

impl Duet {
    /// The plan that measures it.
    pub fn plan(self) -> Plan {
        let connections = self.connections.unwrap_or_else(|| saturating(&self.stacks, &self.capacity));
        let baseline = self.stacks.last().cloned().unwrap_or_else(|| self.stacks[0].clone());
        let canary = self.canary.then(|| baseline.twin()).filter(|twin| !self.stacks.contains(twin));
        let slices = latency_slices(self.rates.values());
        let names: Vec<String> = self.stacks.iter().map(ToString::to_string).collect();
        Plan {
            name: self.name,
            title: names.join(" against "),
            baseline,
            interpreter: None,
            // They would only cost each block their start: no operation on tasks is timed.
            capacity: Capacity { task_workers: false, ..self.capacity },
            data: Data { contacts: 10_000, seed: 1 },
            pooler: None,
            design: Design {
                blocks: 8,
                most_blocks: MOST_BLOCKS,
                budget: self.budget,
                warm_up: Span::seconds(2),
                guard: Span(GUARD),
                seed: self.seed,
                looks: true,
                canary: canary.clone(),
                together: most_together(),
                rehearsal: None,
            },
            throughput: Throughput {
                connections,
                idle: self.idle,
                slice: Span::milliseconds(250),
                slices: SLICES,
            },
            latency: (!self.rates.is_empty()).then_some(Latency {
                connections: 64,
                slice: Span(LATENCY_SLICE),
                slices,
                rates: self.rates,
                shares: std::collections::BTreeMap::new(),
            }),
            operations: self.operations,
            stacks: self.stacks.into_iter().chain(canary).collect(),
        }
    }
}

/// Connections that saturate the stack with the most workers: as many as it has threads, and eight for each worker, for the kernel
/// deals connections out at random and no worker may go without. More would only wait in line: answers come later, so that
/// more of each slice's beginning must be left out and slices must be longer (`docs/design/2026-11-26-sessions.md`).
/// G8 tells when they were too few.
fn saturating(stacks: &[StackName], capacity: &Capacity) -> u32 {
    let connections = stacks.iter().map(|stack| {
        let variant = &stack.variant;
        let threads = variant.threads.unwrap_or(capacity.threads);
        variant.workers.unwrap_or(capacity.workers) * threads.max(WORKER_CONNECTIONS)
    });
    connections.max().unwrap_or(WORKER_CONNECTIONS)
}

/// Open-loop slices of a block: enough for the p99 of every rate that can have it in time.
fn latency_slices<'a>(rates: impl Iterator<Item = &'a Rate>) -> u32 {
    // Arrivals are random: a tenth more, so that no block of fifty has too few.
    let needed = 1.1 * P99_REQUESTS as f64;
    let slices = rates.map(|rate| needed / (rate.per_s() * (LATENCY_SLICE - GUARD).as_secs_f64()));
    let slices = slices.map(|slices| slices.ceil() as u32).filter(|slices| LATENCY_SLICES.contains(slices));
    slices.max().unwrap_or(*LATENCY_SLICES.start())
}

/// A stack's name as an argument.
fn stack(text: &str) -> Result<StackName, PlanError> {
    text.parse().map_err(|error: StackNameError| PlanError::Argument {
        argument: text.to_owned(),
        message: format!("{error}; no run is called so either"),
        example: "dyno compare flask/gunicorn flask/waitress".to_owned(),
    })
}

/// `dyno compare`.
pub fn compare(common: &Common, options: &CompareOptions) -> Result<ExitCode, Error> {
    let run = |name: &String| RunFolder::open(&common.runs, Path::new(name)).is_ok();
    if run(&options.a) && run(&options.b) {
        return view::across(common, Path::new(&options.a), Path::new(&options.b));
    }
    let workshop = Workshop::open(common)?;
    let (first, second): (StackName, StackName) = (stack(&options.a)?, stack(&options.b)?);
    // A stack against itself is what a null control is: its name is another then.
    let same = first == second;
    let a = if same { first.twin() } else { first };
    for stack in [&a, &second] {
        workshop.catalogue.resolve(stack)?;
    }
    let mut seen = BTreeSet::new();
    let operations: Vec<Operation> =
        options.operations.iter().copied().filter(|&operation| seen.insert(operation)).collect();
    let rates =
        options.rate.into_iter().flat_map(|rate| operations.iter().map(move |&one| (one, rate))).collect();
    dyno_plan::timed(&options.operations)?;
    let plan = Duet {
        name: "compare".to_owned(),
        stacks: vec![a, second],
        operations,
        capacity: workshop.default_plan()?.capacity,
        connections: options.connections,
        idle: 0,
        rates,
        budget: options.budget,
        seed: options.seed,
        canary: !options.no_canary && !same,
    }
    .plan();
    let plan = options.timing.of(plan);
    let folder = session::new_folder(common, &plan.name)?;
    let plan = session::rehearse(&workshop, &plan, &folder, options.timing.rehearsed())?;
    let finished = session::measure(&workshop, &plan, &folder, false)?;
    let failed = view::show(common, &folder, &finished.run, &finished.blocks)?;
    if finished.stopped {
        eprintln!("stopped; go on with: dyno run --resume {}", folder.path().display());
        return Ok(ExitCode::from(exit::STOPPED));
    }
    Ok(if failed { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_saturate_the_stack_with_the_most_workers() {
        let capacity = Capacity { workers: 2, threads: 4, connections: 8, task_workers: true };
        let of = |names: &[&str]| {
            let stacks: Vec<StackName> = names.iter().map(|name| name.parse().unwrap()).collect();
            saturating(&stacks, &capacity)
        };
        assert_eq!(of(&["flask/gunicorn", "flask/waitress"]), 16, "eight for each worker");
        assert_eq!(of(&["flask/gunicorn:workers=4", "flask/gunicorn"]), 32);
        assert_eq!(of(&["flask/gunicorn:threads=20", "flask/gunicorn"]), 40, "as many as it has threads");
    }

    #[test]
    fn slices_suffice_for_p99_where_that_takes_no_longer_than_a_quarter_of_a_minute() {
        let slices = |rates: &[f64]| {
            let rates: Vec<Rate> = rates.iter().map(|&rate| Rate::new_per_s(rate).unwrap()).collect();
            latency_slices(rates.iter())
        };
        assert_eq!(slices(&[]), 8);
        assert_eq!(slices(&[2_000.0]), 8, "900 requests a slice");
        assert_eq!(slices(&[500.0]), 10);
        assert_eq!(slices(&[200.0, 1_000.0]), 25);
        assert_eq!(slices(&[40.0, 500.0]), 10, "at 40/s it would take a minute");
    }
}
