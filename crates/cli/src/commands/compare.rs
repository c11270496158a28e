//! `dyno compare`: a slice duet of two stacks, looked at until a verdict is reached (METHOD, sections 3 and 4).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
};

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
/// Open-loop slices of each stack and operation in a block.
const LATENCY_SLICES: u32 = 8;
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
    /// Connections of the saturated closed loop.
    pub connections: u32,
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
        let baseline = self.stacks.last().cloned().unwrap_or_else(|| self.stacks[0].clone());
        let canary = self.canary.then(|| baseline.twin()).filter(|twin| !self.stacks.contains(twin));
        let names: Vec<String> = self.stacks.iter().map(ToString::to_string).collect();
        Plan {
            name: self.name,
            title: names.join(" against "),
            baseline,
            interpreter: None,
            capacity: self.capacity,
            data: Data { contacts: 10_000, seed: 1 },
            pooler: None,
            design: Design {
                blocks: 8,
                most_blocks: MOST_BLOCKS,
                budget: self.budget,
                warm_up: Span::seconds(2),
                guard: Span::milliseconds(50),
                seed: self.seed,
                looks: true,
                canary: canary.clone(),
                together: most_together(),
                rehearsal: None,
            },
            throughput: Throughput {
                connections: self.connections,
                idle: self.idle,
                slice: Span::milliseconds(250),
                slices: SLICES,
            },
            latency: (!self.rates.is_empty()).then_some(Latency {
                connections: 64,
                slice: Span::milliseconds(500),
                slices: LATENCY_SLICES,
                rates: self.rates,
            }),
            operations: self.operations,
            stacks: self.stacks.into_iter().chain(canary).collect(),
        }
    }
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
