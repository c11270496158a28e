//! `dyno capacity`: the highest rate at which a stack meets an objective (METHOD, section 5). The numbers are `analyse`'s,
//! the trials the laboratory's; which comes next is decided in `search`.

mod driver;
mod search;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
    sync::atomic::Ordering,
};

use dyno_analyse::capacity::rows;
use dyno_lab::{LabError, Stand};
use dyno_model::{
    Slos, Span, StackName,
    capacity::{CapacityOutput, CapacityRecord, StackSearch},
    output::OUTPUT_VERSION,
    plan::Plan,
    record::{FORMAT, Run},
    slo::Limit,
};
use dyno_plan::PlanError;
use dyno_record::RunFolder;

use super::{Workshop, compare::Duet, session};
use crate::{
    arguments::{CapacityOptions, Common, Format},
    exit::{self, Error},
    output::print,
    stop::STOP,
};

/// `dyno capacity`.
pub fn capacity(common: &Common, options: &CapacityOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    // A search that goes on keeps its own objectives.
    let slos = if options.resume.is_some() { Slos(Vec::new()) } else { slos_of(options)? };
    let (folder, plan, earlier) = match &options.resume {
        Some(name) => {
            let folder = RunFolder::open(&common.runs, name)?;
            let mut plan = a_search(&folder, name)?;
            plan.design.budget = options.budget;
            let record = folder.read_capacity()?;
            (folder, plan, Some(record))
        }
        None => {
            let plan = plan_of(&workshop, options)?;
            (session::new_folder(common, &plan.name)?, plan, None)
        }
    };
    let wanted = Wanted { slos, curve: options.curve, trial: options.trial };
    let result = measure(&workshop, &folder, &plan, earlier, &wanted);
    let stopped = STOP.load(Ordering::Relaxed);
    let again = || format!("go on with: dyno capacity --resume {}", folder.path().display());
    match result {
        // A first Ctrl-C while a stack starts is an error of the lab's.
        Err(error) if !stopped || !error.is::<LabError>() || !folder.is_capacity() => {
            folder.discard_if_empty();
            if folder.is_capacity() {
                eprintln!("{}", again());
            }
            return Err(error);
        }
        _ => {}
    }
    let found = show(common, &folder)?;
    if stopped {
        eprintln!("stopped; {}", again());
        return Ok(ExitCode::from(exit::STOPPED));
    }
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

/// The plan of a folder that is a capacity search's.
fn a_search(folder: &RunFolder, name: &Path) -> Result<Plan, Error> {
    if folder.is_capacity() {
        return Ok(folder.read_run()?.plan);
    }
    Err(PlanError::Argument {
        argument: format!("--resume {}", name.display()),
        message: "this run is no capacity search (it has no capacity.json)".to_owned(),
        example: format!("dyno run --resume {}", name.display()),
    }
    .into())
}

/// The error of one who wants to do with a capacity search what is for runs of blocks.
pub fn refuse_search(folder: &RunFolder) -> Result<(), PlanError> {
    if !folder.is_capacity() {
        return Ok(());
    }
    let path = folder.path().display();
    Err(PlanError::Argument {
        argument: path.to_string(),
        message: "this is a capacity search, which has trials and no blocks".to_owned(),
        example: format!("dyno capacity --resume {path}"),
    })
}

/// The objectives, if a capacity can be searched for them.
fn slos_of(options: &CapacityOptions) -> Result<Slos, PlanError> {
    let slos = options.slo.clone().unwrap_or(Slos(Vec::new()));
    let refused = |message: &str| PlanError::Argument {
        argument: format!("--slo {slos}"),
        message: message.to_owned(),
        example: "--slo p99=50ms".to_owned(),
    };
    if slos.0.iter().any(|slo| matches!(slo.limit, Limit::Rate(_))) {
        return Err(refused("the rate is what a capacity search finds, so that it can't be an objective"));
    }
    if slos.0.iter().all(|slo| matches!(slo.limit, Limit::Errors(_))) {
        return Err(refused("a capacity needs an objective about latency"));
    }
    Ok(slos)
}

fn plan_of(workshop: &Workshop<'_>, options: &CapacityOptions) -> Result<Plan, Error> {
    let mut seen = BTreeSet::new();
    for stack in &options.stacks {
        workshop.catalogue.resolve(stack)?;
        if !seen.insert(stack) {
            return Err(PlanError::Argument {
                argument: stack.to_string(),
                message: "it is named twice".to_owned(),
                example: format!("dyno capacity {stack} {} --slo p99=50ms", stack.twin()),
            }
            .into());
        }
    }
    dyno_plan::timed(&[options.operation])?;
    let mut plan = Duet {
        name: "capacity".to_owned(),
        stacks: options.stacks.clone(),
        operations: vec![options.operation],
        capacity: workshop.default_plan()?.capacity,
        connections: Some(options.connections),
        idle: 0,
        rates: BTreeMap::new(),
        budget: options.budget,
        seed: options.seed,
        canary: false,
    }
    .plan();
    as_search(&mut plan);
    plan.design.warm_up = options.warm_up.unwrap_or(plan.design.warm_up);
    Ok(plan)
}

/// A plan of one operation as that of a search, which has no looks at blocks.
pub fn as_search(plan: &mut Plan) {
    plan.design.looks = false;
}

/// What a search is for, as far as its plan doesn't say.
pub struct Wanted {
    /// The objectives, all of which must be met. A search that goes on keeps its own.
    pub slos: Slos,
    /// Whether the latency curve is measured too.
    pub curve: bool,
    /// Length of every trial, where it isn't the search that says.
    pub trial: Option<Span>,
}

/// Searches; all that is known is in the folder after each trial.
pub fn measure(
    workshop: &Workshop<'_>,
    folder: &RunFolder,
    plan: &Plan,
    earlier: Option<CapacityRecord>,
    wanted: &Wanted,
) -> Result<(), Error> {
    let clock = std::time::Instant::now();
    let slos: Slos = match &earlier {
        Some(record) => record.slo.parse().map_err(|error: dyno_model::slo::SloError| Box::new(error))?,
        None => wanted.slos.clone(),
    };
    let resumed = earlier.is_some();
    workshop.with_bench(plan, &folder.logs(), false, |bench| {
        let mut work = |run: &Run, stand: &mut Stand<'_>| {
            let mut record = earlier.clone().unwrap_or_else(|| CapacityRecord {
                format: FORMAT,
                slo: slos.to_string(),
                operation: plan.operations[0],
                connections: plan.throughput.connections,
                seed: run.seed,
                curve: wanted.curve,
                trial: wanted.trial,
                stacks: Vec::new(),
                spins_per_ms: Vec::new(),
            });
            let places = places(&mut record, &plan.stacks, &stand.names());
            folder.write_capacity(&record)?;
            let able: Vec<usize> = (0..places.len()).filter(|&at| places[at].is_some()).collect();
            let mut driver = driver::Laboratory::new(stand, folder, &record, &slos, places, (clock, plan));
            search::search(&mut driver, &mut record, &slos, &able)
        };
        dyno_lab::trials(bench, folder, resumed, &mut work)
    })?;
    Ok(())
}

/// For each stack of the record its number on the stand; stacks that weren't there yet are put into the record, in the order of
/// the command.
fn places(record: &mut CapacityRecord, wanted: &[StackName], there: &[StackName]) -> Vec<Option<usize>> {
    for stack in wanted.iter().filter(|stack| there.contains(stack)) {
        if !record.stacks.iter().any(|one| one.stack == *stack) {
            let (state, trials, no_verdict) = (None, Vec::new(), None);
            record.stacks.push(StackSearch { stack: stack.clone(), state, trials, no_verdict });
        }
    }
    record.stacks.iter().map(|one| there.iter().position(|stack| *stack == one.stack)).collect()
}

/// Writes the page of what a folder says.
pub fn keep(folder: &RunFolder) -> Result<(CapacityRecord, CapacityOutput), Error> {
    let (run, record) = (folder.read_run()?, folder.read_capacity()?);
    let output = CapacityOutput {
        version: OUTPUT_VERSION,
        folder: folder.path().display().to_string(),
        slo: record.slo.clone(),
        operation: record.operation,
        connections: record.connections,
        seed: record.seed,
        rows: rows(&record),
        not_run: run.not_run.clone(),
    };
    folder.write_report(&dyno_report::capacity_html(&run, &record, &output))?;
    Ok((record, output))
}

/// Prints what a folder says; returns whether every stack has a number.
pub fn show(common: &Common, folder: &RunFolder) -> Result<bool, Error> {
    let (record, output) = keep(folder)?;
    match common.format {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&output)?))?,
        Format::Csv => print(&dyno_report::capacity_csv(&record))?,
        _ => {
            print(&dyno_report::capacity_text(&output))?;
            print(&format!("report: {}\n", folder.report().display()))?;
        }
    }
    Ok(output.not_run.is_empty() && output.rows.iter().all(|row| row.is_found()))
}
