//! One session of measuring: a plan into a run folder, with the numbers deciding when it ends where the plan says so.

use std::time::Duration;

use dyno_analyse::{analyse, rehearsal::choose};
use dyno_lab::{Finished, Pace, TraceOrder};
use dyno_model::{
    StackName,
    output::Metric,
    plan::Plan,
    record::{Block, FORMAT, Run},
    rehearsal::{Rehearsal, TracePurpose},
};
use dyno_record::RunFolder;

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
    measure_while(workshop, plan, folder, resumed, &blocks_to_do)
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
        let words = chosen.design.rehearsal.iter().flat_map(|choice| &choice.words);
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

/// The same, with a pace of the caller's own.
pub fn measure_while(
    workshop: &Workshop<'_>,
    plan: &Plan,
    folder: &RunFolder,
    resumed: bool,
    pace: &Pace<'_>,
) -> Result<Finished, Error> {
    let logs = folder.logs();
    let result = workshop.with_bench(plan, &logs, false, |bench| match resumed {
        true => dyno_lab::resume(bench, folder, pace),
        false => dyno_lab::run(bench, folder, pace),
    });
    result.inspect_err(|_| folder.discard_if_empty())
}

/// Blocks until the next look, while it could change a verdict; one more where plan and clock decide.
fn blocks_to_do(run: &Run, blocks: &[Block]) -> u32 {
    if !run.plan.design.looks {
        return 1;
    }
    let latency = run.plan.latency.is_some();
    let metrics: &[Metric] =
        if latency { &[Metric::Throughput, Metric::LatencyP50] } else { &[Metric::Throughput] };
    let analysis = analyse(run, blocks);
    if analysis.is_open(metrics) { analysis.to_next_look() } else { 0 }
}
