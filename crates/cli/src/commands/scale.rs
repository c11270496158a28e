//! `dyno scale`: a duet of one stack with different numbers of workers (METHOD, section 5).

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use dyno_analyse::scaling::table;
use dyno_model::{
    Operation, StackName, Variant,
    output::OUTPUT_VERSION,
    plan::Plan,
    record::{Block, Run},
    scaling::ScaleOutput,
};
use dyno_plan::PlanError;
use dyno_record::RunFolder;

use super::{Workshop, capacity::refuse_search, compare::Duet, session, view};
use crate::{
    arguments::{Common, Format, ScaleOptions},
    exit::{self, Error},
    output::print,
};

/// Blocks while the budget lasts: intervals gain little from more.
const MOST_BLOCKS: u32 = 24;

/// `dyno scale`.
pub fn scale(common: &Common, options: &ScaleOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let (folder, plan, resumed) = match &options.resume {
        Some(name) => {
            let folder = RunFolder::open(&common.runs, name)?;
            refuse_search(&folder)?;
            let plan = folder.read_run()?.plan;
            if plan.stacks.iter().any(|stack| stack.variant.workers.is_none()) {
                return Err(PlanError::Argument {
                    argument: format!("--resume {}", name.display()),
                    message: "this run isn't one over numbers of workers".to_owned(),
                    example: format!("dyno run --resume {}", name.display()),
                }
                .into());
            }
            (folder, plan, true)
        }
        None => {
            let plan = plan_of(&workshop, options)?;
            (session::new_folder(common, &plan.name)?, plan, false)
        }
    };
    let finished = session::measure(&workshop, &plan, &folder, resumed)?;
    let found = show(common, &folder, &finished.run, &finished.blocks)?;
    if finished.stopped {
        eprintln!("stopped; go on with: dyno scale --resume {}", folder.path().display());
        return Ok(ExitCode::from(exit::STOPPED));
    }
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

fn plan_of(workshop: &Workshop<'_>, options: &ScaleOptions) -> Result<Plan, Error> {
    let Some(stack) = &options.stack else { return Err(refused("STACK", "none is named").into()) };
    let numbers: BTreeSet<u32> = options.workers.iter().copied().collect();
    let written: Vec<String> = options.workers.iter().map(ToString::to_string).collect();
    let argument = format!("--workers {}", written.join(","));
    if numbers.len() < options.workers.len() {
        return Err(refused(&argument, "a number is there twice").into());
    }
    if numbers.len() < 2 {
        return Err(refused(&argument, "one number shows no scaling: two give a ratio, three a law").into());
    }
    if stack.variant.workers.is_some() {
        return Err(refused(&stack.to_string(), "numbers of workers are given by --workers").into());
    }
    let resolved = workshop.catalogue.resolve(stack)?;
    if !resolved.scales() {
        let words = format!(
            "{} has a fixed number of processes, whatever number of workers it is given",
            stack.server
        );
        return Err(refused(&stack.to_string(), &words).into());
    }
    dyno_plan::timed(&[options.operation])?;
    // The baseline is the last: the fewest workers.
    let stacks: Vec<StackName> = numbers.iter().rev().map(|&workers| with_workers(stack, workers)).collect();
    let mut plan = Duet {
        name: "scale".to_owned(),
        stacks,
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
    plan.title = format!("{stack} over its workers");
    plan.design.looks = false;
    plan.design.most_blocks = MOST_BLOCKS;
    plan.design.warm_up = options.warm_up.unwrap_or(plan.design.warm_up);
    plan.throughput.slice = options.slice.unwrap_or(plan.throughput.slice);
    plan.throughput.slices = options.slices.unwrap_or(plan.throughput.slices);
    Ok(plan)
}

fn refused(argument: &str, message: &str) -> PlanError {
    PlanError::Argument {
        argument: argument.to_owned(),
        message: message.to_owned(),
        example: "dyno scale flask/gunicorn --workers 1,2,4".to_owned(),
    }
}

fn with_workers(stack: &StackName, workers: u32) -> StackName {
    StackName { variant: Variant { workers: Some(workers), ..stack.variant.clone() }, ..stack.clone() }
}

/// Prints the table or the object; returns whether every number of workers has its throughput.
fn show(common: &Common, folder: &RunFolder, run: &Run, blocks: &[Block]) -> Result<bool, Error> {
    let (analysis, kept) = view::keep(folder, run, blocks)?;
    let operation = run.plan.operations.first().copied().unwrap_or(Operation::Types);
    let table = table(run, blocks, operation);
    let stack = StackName {
        variant: Variant { workers: None, ..run.plan.baseline.variant.clone() },
        ..run.plan.baseline.clone()
    };
    let output = ScaleOutput {
        version: OUTPUT_VERSION,
        folder: kept.folder,
        report: kept.report,
        stack,
        operation,
        connections: run.plan.throughput.connections,
        server_cpus: run.cpus.server.len() as u32,
        blocks: table.blocks,
        rows: table.rows,
        law: table.law,
        reason: table.reason,
        notes: table.notes,
        not_run: analysis.not_run,
    };
    match common.format {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&output)?))?,
        _ => print(&dyno_report::scale_text(&output))?,
    }
    let found =
        |row: &dyno_model::scaling::ScaleRow| row.throughput_per_s.is_some() && row.no_verdict.is_none();
    Ok(output.not_run.is_empty() && output.rows.iter().all(found))
}
