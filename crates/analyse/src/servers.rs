//! What servers with statistics of their own say of their saturated slices.

use std::collections::BTreeMap;

use dyno_model::{
    Operation, StackName,
    record::{Block, Run, SliceLoad},
};

/// One stack and operation, over all complete blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSays {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// Least and most share of its threads' time spent within requests, 0 to 1, over slices.
    pub busy: (f64, f64),
    /// Most connections that waited to be accepted at a slice's end.
    pub queue: u64,
    /// Slices that this rests on.
    pub slices: u32,
}

/// Gathers them, in the order of the run's stacks and operations.
pub fn servers(run: &Run, blocks: &[&Block]) -> Vec<ServerSays> {
    let mut found: BTreeMap<(usize, usize), ServerSays> = BTreeMap::new();
    for trial in blocks.iter().flat_map(|block| &block.trials) {
        let Some(stack) = run.prepared.iter().position(|one| one.stack == trial.stack) else { continue };
        for slice in trial.slices.iter().filter(|slice| matches!(slice.load, SliceLoad::Closed { .. })) {
            let (Some(stats), Some(operation)) =
                (slice.server_stats, run.plan.operations.iter().position(|one| *one == slice.operation))
            else {
                continue;
            };
            let says = found.entry((stack, operation)).or_insert_with(|| ServerSays {
                stack: trial.stack.clone(),
                operation: slice.operation,
                busy: (stats.busy, stats.busy),
                queue: 0,
                slices: 0,
            });
            says.busy = (says.busy.0.min(stats.busy), says.busy.1.max(stats.busy));
            says.queue = says.queue.max(stats.queue);
            says.slices += 1;
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use dyno_model::record::ServerStats;

    use super::*;
    use crate::synthetic;

    #[test]
    fn least_and_most_over_all_saturated_slices() {
        let run = synthetic::run(&[("flask/uwsgi/nginx", 100.0), ("flask/gunicorn", 100.0)]);
        let mut blocks = synthetic::blocks(&run, &[100.0, 100.0], 2, 0.0);
        let mut saturated = 0;
        for (index, block) in blocks.iter_mut().enumerate() {
            for slice in
                &mut block.trials.iter_mut().find(|trial| trial.stack.server == "uwsgi").unwrap().slices
            {
                saturated += u32::from(
                    slice.operation == run.plan.operations[0]
                        && matches!(slice.load, SliceLoad::Closed { .. }),
                );
                slice.server_stats =
                    Some(ServerStats { busy: 0.5 + index as f64 / 10.0, queue: index as u64, requests: 1 });
            }
        }
        let says = servers(&run, &blocks.iter().collect::<Vec<_>>());
        assert_eq!(
            says.len(),
            run.plan.operations.len(),
            "one for each operation of the one server that has them"
        );
        assert_eq!((says[0].busy, says[0].queue, says[0].slices), ((0.5, 0.6), 1, saturated));
    }
}
