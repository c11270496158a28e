//! One session of measuring: a plan into a run folder, with the numbers deciding when it ends where the plan says so.

use std::time::{Duration, Instant};

use dyno_analyse::{
    FIRST_BLOCKS, agenda, analyse,
    rehearsal::{choose, reach, settle},
};
use dyno_lab::{Finished, Next, Pace, TraceOrder};
use dyno_model::{
    StackName,
    event::Event,
    output::Metric,
    plan::Plan,
    record::{Block, FORMAT, Run},
    rehearsal::{Rehearsal, Trace, TracePurpose},
};
use dyno_record::RunFolder;
use dyno_report::so_far;

use super::Workshop;
use crate::{
    arguments::{Common, Rehearsed},
    exit::Error,
};

/// A folder for a new run, named by time and plan.
pub fn new_folder(common: &Common, name: &str) -> Result<RunFolder, Error> {
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ");
    Ok(RunFolder::create(&common.runs, &format!("{time}-{name}"))?)
}

/// Carries a plan out, or goes on with it. A folder in which nothing was measured doesn't stay.
pub fn measure(
    workshop: &Workshop<'_>,
    plan: &Plan,
    folder: &RunFolder,
    resumed: bool,
) -> Result<Finished, Error> {
    let next = |run: &Run, blocks: &[Block]| next(workshop, run, blocks);
    measure_while(workshop, plan, folder, resumed, &next)
}

/// Longest trace of one stack before a session whose slices it chooses: METHOD's minute.
const PLACEBO: Duration = Duration::from_secs(60);
/// Of the sessions' budgets at most this part is for the placebo.
const PLACEBO_SHARE: u32 = 10;
/// How long answers of the other stacks are looked at, for the guard.
const ANSWERS: Duration = Duration::from_secs(2);
/// Fresh starts of each stack in which its warm-up is looked at, and how long.
const WARM_UP_RUNS: u32 = 5;
const WARM_UP_RUN: Duration = Duration::from_secs(30);

/// The plan with slices, guard and warm-up as traces choose them, which are kept in the run's folder.
pub fn rehearse(
    workshop: &Workshop<'_>,
    plan: &Plan,
    folder: &RunFolder,
    wanted: Rehearsed,
) -> Result<Plan, Error> {
    let orders = traces_of(plan, wanted);
    if orders.is_empty() {
        return Ok(plan.clone());
    }
    let logs = folder.logs();
    let traces = workshop
        .with_bench(plan, &logs, false, |bench| dyno_lab::rehearse(bench, &orders))
        .inspect_err(|_| folder.discard_if_empty())?;
    let chosen = choose(plan, &traces);
    folder.write_rehearsal(&Rehearsal { format: FORMAT, traces })?;
    if !workshop.common.quiet {
        let reach = reach(&chosen, 0.0);
        let words = chosen.design.rehearsal.iter().flat_map(|choice| &choice.words).chain(&reach);
        words.for_each(|words| eprintln!("{words}"));
    }
    Ok(chosen)
}

fn traces_of(plan: &Plan, wanted: Rehearsed) -> Vec<TraceOrder> {
    let own: Vec<&StackName> = plan.stacks.iter().filter(|stack| !stack.variant.twin).collect();
    let order = |purpose, stack: &StackName, operation, warm_up, length| TraceOrder {
        purpose,
        stack: stack.clone(),
        operation,
        warm_up,
        length,
    };
    let mut orders = Vec::new();
    if wanted.warm_up {
        let runs = (0..WARM_UP_RUNS).flat_map(|_| &own);
        orders.extend(runs.map(|stack| {
            order(TracePurpose::WarmUp, stack, plan.operations[0], Duration::ZERO, WARM_UP_RUN)
        }));
    }
    if wanted.placebo {
        let budget = plan.design.budget.0 * wanted.sessions;
        let pairs =
            own.iter().flat_map(|stack| plan.operations.iter().map(move |&operation| (stack, operation)));
        orders.extend(pairs.map(|(stack, operation)| {
            let anchor = **stack == plan.baseline && operation == plan.operations[0];
            let (purpose, length) = match anchor {
                true => (TracePurpose::Placebo, PLACEBO.min(budget / PLACEBO_SHARE)),
                false => (TracePurpose::Answers, ANSWERS),
            };
            order(purpose, stack, operation, plan.design.warm_up.0, length)
        }));
    }
    orders
}

/// The same, with a caller of its own who says what is worth doing.
pub fn measure_while(
    workshop: &Workshop<'_>,
    plan: &Plan,
    folder: &RunFolder,
    resumed: bool,
    next: &dyn Fn(&Run, &[Block]) -> Next,
) -> Result<Finished, Error> {
    let logs = folder.logs();
    let begin = Instant::now();
    let settle = |plan: &Plan, traces: &[Trace]| settle_table(workshop, plan, traces, folder, begin);
    // Plans of few blocks mean to give no verdict, and are settled unless they offer shares.
    let shares = plan.latency.as_ref().is_some_and(|latency| !latency.shares.is_empty());
    let unsettled = plan.design.rehearsal.is_none() && !plan.design.looks;
    let wanted = unsettled && (shares || plan.design.canary.is_some());
    let pace = Pace { next, settle: wanted.then_some(&settle) };
    let result = workshop.with_bench(plan, &logs, false, |bench| match resumed {
        true => dyno_lab::resume(bench, folder, &pace),
        false => dyno_lab::run(bench, folder, &pace),
    });
    result.inspect_err(|_| folder.discard_if_empty())
}

/// A table's plan with what its stacks showed before the first slice; what was chosen is said, and kept in the run's folder.
fn settle_table(
    workshop: &Workshop<'_>,
    plan: &Plan,
    traces: &[Trace],
    folder: &RunFolder,
    begin: Instant,
) -> Plan {
    let settled = settle(plan, traces);
    // The run goes on without the traces: the plan that came of them is in its head.
    if let Err(error) = folder.write_rehearsal(&Rehearsal { format: FORMAT, traces: traces.to_vec() }) {
        workshop.display.show(&Event::Note(format!("the rehearsal can't be kept: {error}")));
    }
    let reach = reach(&settled, begin.elapsed().as_secs_f64());
    let words = settled.design.rehearsal.iter().flat_map(|choice| &choice.words).chain(&reach);
    words.for_each(|words| workshop.display.show(&Event::Note(words.clone())));
    settled
}

/// What is worth doing next: blocks until the next look while it could change a verdict, or one more of a table whose order isn't sure.
/// What is known so far is shown.
fn next(workshop: &Workshop<'_>, run: &Run, blocks: &[Block]) -> Next {
    let analysis = analyse(run, blocks);
    if analysis.blocks as usize >= FIRST_BLOCKS {
        workshop.display.so_far(&so_far(run, &analysis));
    }
    if !run.plan.design.looks {
        let settled = agenda::settled(run, blocks, &analysis);
        return Next { blocks: u32::from(!agenda::all_settled(run, &settled)), settled };
    }
    let latency = run.plan.latency.is_some();
    let metrics: &[Metric] =
        if latency { &[Metric::Throughput, Metric::LatencyP50] } else { &[Metric::Throughput] };
    if analysis.is_open(metrics) { analysis.to_next_look().into() } else { 0.into() }
}
