//! `dyno calibrate`: sessions of a stack against itself and against a copy that is slower by a known share, in random order;
//! how often the first are called different and the second are found (METHOD, Part IV).

use std::{collections::BTreeMap, process::ExitCode, sync::atomic::Ordering};

use dyno_analyse::{calibration as numbers, history::comparable};
use dyno_lab::LabError;
use dyno_model::{
    Span, StackName, Variant,
    calibration::{
        BurnSize, CALIBRATION_FORMAT, Calibration, CalibrationOutput, CalibrationSetting, Session,
        SessionKind,
    },
    output::OUTPUT_VERSION,
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

/// Blocks of a pilot: as few as a session has. The size's interval says whether they were enough.
const BURN_BLOCKS: u32 = 8;
/// Pilots that are tried: the first guess is of no stack in particular, the second rests on it.
const PILOTS: u32 = 4;
/// The runs in which the slowdown's size is measured: `size-0` and, where its loops were too few or too many, more.
const BURN_RUN: &str = "size";
/// What a duet has when it isn't a test's: METHOD, section 3.
const SLICES: u32 = 16;

/// `dyno calibrate`.
pub fn calibrate(common: &Common, options: &CalibrateOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let (folder, mut calibration) = match &options.resume {
        Some(name) => {
            let folder = CalibrationFolder::open(&common.runs, name)?;
            let mut calibration = folder.read()?;
            judge_again(&folder, &mut calibration)?;
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
    if stack.variant.twin || stack.variant.burn.is_some() {
        let message =
            "calibrate makes the twin and the slowed copy itself: name the stack without `twin` and `burn`";
        return Err(PlanError::UnknownStack { name: stack.to_string(), message: message.to_owned() }.into());
    }
    // As it was typed, for the error to name it so.
    workshop.catalogue.resolve(&stack)?;
    workshop.catalogue.resolve(&burning(&stack, numbers::FIRST_PILOT))?;
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

/// Judges the sessions that are done once more, from their records: one dyno's rules for all of a calibration. One whose record is
/// elsewhere stays as it was judged.
fn judge_again(folder: &CalibrationFolder, calibration: &mut Calibration) -> Result<(), Error> {
    for (index, done) in calibration.sessions.iter_mut().enumerate() {
        let Some(run_folder) = folder.finished(&session_name(index, done.kind)) else { continue };
        let again = numbers::session(done.kind, &run_folder.read_run()?, &run_folder.read_blocks()?);
        *done = Session { differs: std::mem::take(&mut done.differs), ..again };
    }
    Ok(folder.write(calibration)?)
}

/// The run of a session.
fn session_name(index: usize, kind: SessionKind) -> String {
    format!("{index:04}-{}", kind.slug())
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
        let (run_folder, resumed) = folder.session(&session_name(index, kind))?;
        let plan = match resumed {
            true => run_folder.read_run()?.plan,
            false => plan_of(workshop, calibration, Part::Session(kind, burn.loops, index as u32))?,
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

/// Measures what burning costs, in a copy that burns much; `None` when stopped.
fn measure_burn(
    workshop: &Workshop<'_>,
    folder: &CalibrationFolder,
    calibration: &mut Calibration,
) -> Result<Option<BurnSize>, Error> {
    let mut pilot = numbers::FIRST_PILOT;
    for round in 0..PILOTS {
        let (run_folder, resumed) = folder.session(&format!("{BURN_RUN}-{round}"))?;
        let plan = match resumed {
            true => run_folder.read_run()?.plan,
            false => {
                let mut plan = plan_of(workshop, calibration, Part::Size(pilot))?;
                if calibration.setting.placebo && round == 0 {
                    let wanted =
                        Rehearsed { placebo: true, warm_up: false, sessions: calibration.order.len() as u32 };
                    // Of the sessions' plan, whose fewest blocks must fit into a budget.
                    let wide =
                        plan_of(workshop, calibration, Part::Session(SessionKind::Ab, pilot, u32::MAX))?;
                    let chosen = session::rehearse(workshop, &wide, &run_folder, wanted)?;
                    let setting = &mut calibration.setting;
                    (setting.slice, setting.slices) = (chosen.throughput.slice, chosen.throughput.slices);
                    setting.guard = Some(chosen.design.guard);
                    folder.write(calibration)?;
                    plan = plan_of(workshop, calibration, Part::Size(pilot))?;
                    plan.design.rehearsal = chosen.design.rehearsal;
                }
                plan
            }
        };
        let finished = session::measure(workshop, &plan, &run_folder, resumed)?;
        if finished.stopped {
            return Ok(None);
        }
        let slowdown = calibration.setting.slowdown;
        match numbers::burn_size(&finished.run, &finished.blocks, pilot, slowdown) {
            Some(numbers::Pilot::Size(burn)) => {
                if !workshop.common.quiet {
                    eprintln!("{}", dyno_report::burn_words(&burn, slowdown));
                }
                return Ok(Some(burn));
            }
            Some(numbers::Pilot::Again(loops)) => pilot = loops,
            // Disturbed blocks don't count: once more.
            None => {}
        }
    }
    let why = format!(
        "{}: what burning costs couldn't be measured in {PILOTS} tries, for something else was at work, or CPU time can't be read",
        calibration.setting.stack
    );
    Err(LabError::NothingToMeasure(why).into())
}

/// What a plan is for.
enum Part {
    /// What so many loops cost.
    Size(u32),
    /// A session: its kind, the slowed copy's loops, its number.
    Session(SessionKind, u32, u32),
}

/// The plan of a session, or of a run in which the slowdown's size is measured.
fn plan_of(workshop: &Workshop<'_>, calibration: &Calibration, part: Part) -> Result<Plan, Error> {
    let setting = &calibration.setting;
    let slowed = |loops| {
        let base = match calibration.burn.map_or(numbers::BASE, |burn| burn.base) {
            0 => setting.stack.clone(),
            base => burning(&setting.stack, base),
        };
        vec![burning(&setting.stack, loops), base]
    };
    let (name, stacks, index) = match part {
        Part::Size(loops) => (BURN_RUN, slowed(loops), u32::MAX),
        Part::Session(kind @ SessionKind::Aa, _, index) => {
            (kind.slug(), vec![setting.stack.twin(), setting.stack.clone()], index)
        }
        Part::Session(kind @ SessionKind::Ab, loops, index) => (kind.slug(), slowed(loops), index),
    };
    let mut plan = Duet {
        name: name.to_owned(),
        stacks,
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
    if matches!(part, Part::Size(_)) {
        plan.design.looks = false;
        (plan.design.blocks, plan.design.most_blocks) = (setting.burn_blocks, setting.burn_blocks);
    }
    Ok(plan)
}

fn burning(stack: &StackName, loops: u32) -> StackName {
    StackName { variant: Variant { burn: Some(loops), ..stack.variant.clone() }, ..stack.clone() }
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
