//! One session of measuring: a plan into a run folder, with the numbers deciding when it ends where the plan says so.

use dyno_analyse::analyse;
use dyno_lab::{Finished, Pace};
use dyno_model::{
    output::Metric,
    plan::Plan,
    record::{Block, Run},
};
use dyno_record::RunFolder;

use super::Workshop;
use crate::{arguments::Common, exit::Error};

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
