//! Traces before a session: stacks loaded alone, their answers counted in short bins.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use dyno_contract::{Truth, traffic};
use dyno_model::{
    Operation, Span, StackName,
    event::{Event, Step},
    rehearsal::{Trace, TracePurpose},
};

use crate::{
    bench::Bench,
    block::connections_of,
    database::Database,
    error::LabError,
    prepare::Prepared,
    preparing::{Ready, prepare_all},
    proof::read_truth,
    slices::Connections,
    up::Running,
};

/// One trace as asked.
#[derive(Clone, Debug)]
pub struct TraceOrder {
    /// What it is for.
    pub purpose: TracePurpose,
    /// A stack of the plan.
    pub stack: StackName,
    /// What is asked.
    pub operation: Operation,
    /// Load before it.
    pub warm_up: Duration,
    /// Its length.
    pub length: Duration,
}

/// Does the traces in their order, each in fresh processes. A stack that isn't up, or answers wrongly, has none: the run
/// itself will say why.
///
/// # Errors
/// Dyno's own, and that the user stopped it.
pub fn rehearse(bench: &Bench<'_>, orders: &[TraceOrder]) -> Result<Vec<Trace>, LabError> {
    let Ready { prepared, database, .. } = prepare_all(bench, 1)?;
    let (_, truth) = read_truth(bench, &database)?;
    let total = orders.iter().map(|one| one.warm_up + one.length).sum::<Duration>();
    bench.step(Step::Measure, format!("{} traces before the first block", orders.len()));
    let _pinned = dyno_supervise::machine::pin_this_thread_while(&bench.cpus.generator);
    let mut traces = Vec::new();
    let mut past = Duration::ZERO;
    for (done, order) in orders.iter().enumerate() {
        bench.go_on()?;
        bench.tell(Event::Progress {
            done: done as u64,
            total: orders.len() as u64,
            left_s: Some((total - past).as_secs_f64()),
            stack: Some(order.stack.clone()),
            operation: Some(order.operation),
        });
        past += order.warm_up + order.length;
        if let Some(one) = prepared.iter().find(|one| *one.name() == order.stack) {
            traces.extend(trace(bench, one, &database, &truth, order)?);
        }
    }
    bench.go_on()?;
    Ok(traces)
}

fn trace(
    bench: &Bench<'_>,
    one: &Prepared,
    database: &Database,
    truth: &Truth,
    order: &TraceOrder,
) -> Result<Option<Trace>, LabError> {
    let plan = bench.order.plan;
    let begin = Instant::now();
    let running = match Running::start(bench, one, database, None, 0, plan.capacity.task_workers) {
        Ok(running) => running,
        Err(LabError::Supervise(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let up = running.wait_ready(bench.order.stop).is_ok();
    let starting = begin.elapsed();
    let requests = traffic(order.operation, &one.name().app, truth, 0);
    let traffic = BTreeMap::from([(order.operation, requests)]);
    let open = || Connections::open(&running, connections_of(plan), plan.throughput.idle, &traffic).ok();
    let seen = up.then(open).flatten().and_then(|mut connections| {
        connections.trace(plan, order.operation, order.warm_up, order.length, bench.order.stop).ok()
    });
    let ending = Instant::now();
    running.end();
    let start = Some(Span(starting + ending.elapsed()));
    Ok(seen.map(|(counts, p99_us)| Trace {
        purpose: order.purpose,
        stack: order.stack.clone(),
        operation: order.operation,
        start,
        warm_up: Span(order.warm_up),
        counts,
        p99_us,
    }))
}
