//! `dyno calibrate`: sessions of a stack against itself and against a copy that is slower by a known share, in random order;
//! how often the first are called different and the second are found (METHOD, Part IV).

use std::{collections::BTreeMap, process::ExitCode, sync::atomic::Ordering};

use dyno_analyse::{analyse, calibration as numbers, history::comparable};
use dyno_lab::LabError;
use dyno_model::{
    Span, StackName, Variant,
    calibration::{
        BurnSize, CALIBRATION_FORMAT, Calibration, CalibrationOutput, CalibrationSetting, SessionKind,
    },
    output::{Metric, OUTPUT_VERSION},
    plan::Plan,
};
use dyno_plan::{PlanError, block_seed};
use dyno_record::CalibrationFolder;

use super::{Workshop, command_to_repeat, compare::Duet, session};
use crate::{
    arguments::{CalibrateOptions, Common, Format, Rehearsed},
    exit::{self, Error},
    output::print,
    stop::STOP,
};

/// Blocks that the size of the slowdown rests on: CPU per request is steady, and A/B sessions check it.
const BURN_BLOCKS: u32 = 3;
/// The run in which the slowdown's size is measured.
const BURN_RUN: &str = "size";
/// What a duet has when it isn't a test's: METHOD, section 3.
const SLICES: u32 = 16;

/// `dyno calibrate`.
pub fn calibrate(common: &Common, options: &CalibrateOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let (folder, mut calibration) = match &options.resume {
        Some(name) => {
            let folder = CalibrationFolder::open(&common.runs, name)?;
            let calibration = folder.read()?;
            (folder, calibration)
        }
        None => begin(&workshop, options)?,
    };
    // A first Ctrl-C while a stack is prepared is an error of the lab's.
    let result = go_on(&workshop, &folder, &mut calibration);
    let stopped = STOP.load(Ordering::Relaxed);
    match result {
        Err(error) if !stopped || !error.is::<LabError>() => {
            eprintln!("go on with: dyno calibrate --resume {}", folder.path().display());
            return Err(error);
        }
        _ => {}
    }
    show(common, &folder, calibration)?;
    if stopped {
        eprintln!("stopped; go on with: dyno calibrate --resume {}", folder.path().display());
        return Ok(ExitCode::from(exit::STOPPED));
    }
    Ok(ExitCode::SUCCESS)
}

/// A new calibration in a folder of its own.
fn begin(
    workshop: &Workshop<'_>,
    options: &CalibrateOptions,
) -> Result<(CalibrationFolder, Calibration), Error> {
    let stack = match &options.stack {
        Some(stack) => stack.clone(),
        None => workshop.default_plan()?.baseline,
    };
    if stack.variant.twin || stack.variant.burn_us.is_some() {
        let message =
            "calibrate makes the twin and the slowed copy itself: name the stack without `twin` and `burn`";
        return Err(PlanError::UnknownStack { name: stack.to_string(), message: message.to_owned() }.into());
    }
    workshop.catalogue.resolve(&burning(&stack, 1))?;
    dyno_plan::timed(&[options.operation])?;
    let seed = options.seed.unwrap_or_else(rand::random);
    let setting = CalibrationSetting {
        stack,
        operation: options.operation,
        slowdown: options.slowdown.0,
        aa: options.aa,
        ab: options.ab,
        budget: options.budget_per_session,
        connections: options.connections,
        slice: options.slice.unwrap_or(Span::milliseconds(250)),
        slices: options.slices.unwrap_or(SLICES),
        placebo: options.slice.is_none(),
        guard: None,
        warm_up: options.warm_up.unwrap_or(Span::seconds(2)),
        burn_blocks: BURN_BLOCKS,
    };
    let time = jiff::Timestamp::now();
    let name = format!("{}-calibration", time.strftime("%Y-%m-%dT%H-%M-%SZ"));
    let folder = CalibrationFolder::create(&workshop.common.runs, &name)?;
    let calibration = Calibration {
        format: CALIBRATION_FORMAT,
        calibration: folder.name(),
        order: numbers::order(setting.aa, setting.ab, seed),
        setting,
        seed,
        started: time.to_string(),
        command: command_to_repeat(),
        burn: None,
        fingerprint: None,
        sessions: Vec::new(),
    };
    folder.write(&calibration)?;
    Ok((folder, calibration))
}

/// Does what is left, and records each part as it ends. Returns early when stopped.
fn go_on(
    workshop: &Workshop<'_>,
    folder: &CalibrationFolder,
    calibration: &mut Calibration,
) -> Result<(), Error> {
    let burn = match calibration.burn {
        Some(burn) => burn,
        None => {
            let Some(burn) = measure_burn(workshop, folder, calibration)? else { return Ok(()) };
            calibration.burn = Some(burn);
            folder.write(calibration)?;
            burn
        }
    };
    let total = calibration.order.len();
    for index in calibration.sessions.len()..total {
        if STOP.load(Ordering::Relaxed) {
            return Ok(());
        }
        let kind = calibration.order[index];
        let (run_folder, resumed) = folder.session(&format!("{index:04}-{}", kind.slug()))?;
        let plan = match resumed {
            true => run_folder.read_run()?.plan,
            false => plan_of(workshop, calibration, Some((kind, burn)), index as u32)?,
        };
        let finished = session::measure(workshop, &plan, &run_folder, resumed)?;
        if finished.stopped {
            return Ok(());
        }
        let refused = finished.run.not_run.iter().map(|row| format!("{}: {}", row.stack, row.reason));
        let refused: Vec<String> = refused.collect();
        if !refused.is_empty() {
            // Every session after it would meet the same.
            return Err(LabError::NothingToMeasure(refused.join("\n")).into());
        }
        let mut done = numbers::session(kind, &finished.run, &finished.blocks);
        let first = calibration.fingerprint.get_or_insert_with(|| finished.run.fingerprint.clone());
        done.differs = comparable::fingerprint_differences(first, &finished.run.fingerprint);
        if !workshop.common.quiet {
            eprintln!("session {} of {total}, {}", index + 1, dyno_report::session_words(&done));
        }
        calibration.sessions.push(done);
        folder.write(calibration)?;
    }
    Ok(())
}

/// Measures CPU per request, which the slowdown is a share of; `None` when stopped.
fn measure_burn(
    workshop: &Workshop<'_>,
    folder: &CalibrationFolder,
    calibration: &mut Calibration,
) -> Result<Option<BurnSize>, Error> {
    let (run_folder, resumed) = folder.session(BURN_RUN)?;
    let mut plan = plan_of(workshop, calibration, None, u32::MAX)?;
    if calibration.setting.placebo && !resumed {
        let wanted = Rehearsed { placebo: true, warm_up: false };
        plan = session::rehearse(workshop, &plan, &run_folder, wanted)?;
        let setting = &mut calibration.setting;
        (setting.slice, setting.slices) = (plan.throughput.slice, plan.throughput.slices);
        setting.guard = Some(plan.design.guard);
        folder.write(calibration)?;
    }
    let finished = session::measure(workshop, &plan, &run_folder, resumed)?;
    if finished.stopped {
        return Ok(None);
    }
    let analysis = analyse(&finished.run, &finished.blocks);
    let cpu = analysis.results.iter().find(|one| one.metric == Metric::CpuPerRequest);
    let Some(cpu) = cpu else {
        let why = format!("{}: its CPU time per request couldn't be measured", calibration.setting.stack);
        return Err(LabError::NothingToMeasure(why).into());
    };
    let burn = numbers::burn_size(cpu.estimate, cpu.blocks, calibration.setting.slowdown);
    if !workshop.common.quiet {
        eprintln!(
            "a request costs {:.1} us of CPU over {} blocks: burn={}us is {:.2} % of it",
            burn.cpu_us,
            burn.blocks,
            burn.burn_us,
            burn.share * 100.0
        );
    }
    Ok(Some(burn))
}

/// The plan of a session, or of the run in which the slowdown's size is measured.
fn plan_of(
    workshop: &Workshop<'_>,
    calibration: &Calibration,
    session: Option<(SessionKind, BurnSize)>,
    index: u32,
) -> Result<Plan, Error> {
    let setting = &calibration.setting;
    let other = session.map(|(kind, burn)| match kind {
        SessionKind::Aa => setting.stack.twin(),
        SessionKind::Ab => burning(&setting.stack, burn.burn_us),
    });
    let mut plan = Duet {
        name: session.map_or(BURN_RUN, |(kind, _)| kind.slug()).to_owned(),
        stacks: other.into_iter().chain([setting.stack.clone()]).collect(),
        operations: vec![setting.operation],
        capacity: workshop.default_plan()?.capacity,
        connections: setting.connections,
        idle: 0,
        rates: BTreeMap::new(),
        budget: setting.budget,
        seed: Some(block_seed(calibration.seed, index)),
        canary: false,
    }
    .plan();
    plan.throughput.slice = setting.slice;
    plan.throughput.slices = setting.slices;
    plan.design.warm_up = setting.warm_up;
    plan.design.guard = setting.guard.unwrap_or(plan.design.guard);
    if session.is_none() {
        plan.design.looks = false;
        (plan.design.blocks, plan.design.most_blocks) = (setting.burn_blocks, setting.burn_blocks);
    }
    Ok(plan)
}

fn burning(stack: &StackName, us: u32) -> StackName {
    StackName { variant: Variant { burn_us: Some(us), ..stack.variant.clone() }, ..stack.clone() }
}

/// Writes `calibration.md`, prints the tables or the JSON object.
fn show(common: &Common, folder: &CalibrationFolder, calibration: Calibration) -> Result<(), Error> {
    let output = CalibrationOutput {
        version: OUTPUT_VERSION,
        folder: folder.path().display().to_string(),
        complete: calibration.sessions.len() == calibration.order.len(),
        summary: numbers::summarise(&calibration),
        calibration,
    };
    folder.write_markdown(&dyno_report::calibration_markdown(&output))?;
    match common.format {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&output)?)),
        _ => print(&dyno_report::calibration_text(&output)),
    }
}
