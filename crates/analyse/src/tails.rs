//! Percentiles that no table shows and claims may ask for: p95 and p999, block by block, from the blocks' own histograms.

use dyno_model::{Operation, StackName, output::Metric, record::Run, self_check::LATE_FAIL};

use crate::{
    cells::Cell,
    estimates::{enough, pooled, quantile},
    health::Health,
    self_checks::lateness,
};

/// The quantiles: p95, and p999.
pub const QUANTILES: [f64; 2] = [0.95, 0.999];

/// From this quantile on, each block has to tell it by itself.
const FAR: f64 = 0.999;
/// Requests that must lie beyond such a quantile in each block of each stack: METHOD, section 4, wants 2,000 requests for p99,
/// of which 20 lie beyond it.
const BEYOND: f64 = 20.0;

/// A percentile of one stack and operation, block by block.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// One of [`QUANTILES`].
    pub quantile: f64,
    /// One value for each complete block, in microseconds, `None` where the block has none; or why there can't be any.
    pub values: Result<Vec<Option<f64>>, String>,
}

/// Every percentile of every cell.
pub fn tails(run: &Run, cells: &[Cell], health: &Health) -> Vec<Tail> {
    let of = |cell: &Cell| {
        let (stack, operation) = (cell.stack.clone(), cell.operation);
        QUANTILES.map(|quantile| Tail {
            stack: stack.clone(),
            operation,
            quantile,
            values: values(run, cell, health, quantile),
        })
    };
    cells.iter().flat_map(of).collect()
}

fn values(run: &Run, cell: &Cell, health: &Health, wanted: f64) -> Result<Vec<Option<f64>>, String> {
    if cell.latency.iter().all(Option::is_none) {
        return Err(format!("{} {}: nothing was measured at a rate", cell.stack, cell.operation));
    }
    enough_for(run, cell, wanted)?;
    if let Some(reason) = refusal(health, cell, wanted) {
        return Err(reason);
    }
    let late = lateness(&cell.open(), wanted).unwrap_or(0.0);
    if late > LATE_FAIL {
        let name = name(wanted);
        return Err(format!(
            "{}: {:.1} % of {name} is the generator's own lateness (G2)",
            cell.stack,
            late * 100.0
        ));
    }
    let value =
        |open: &Option<crate::cells::Open>| Some(open.as_ref()?.latency.quantile_ns(wanted)? as f64 / 1e3);
    Ok(cell.latency.iter().map(value).collect())
}

/// What refuses the run, or a percentile that tables have and that lies nearer than this one. Those that lie further out have
/// another lateness of their own.
fn refusal(health: &Health, cell: &Cell, wanted: f64) -> Option<String> {
    let nearer = Metric::ALL.into_iter().filter(|&metric| quantile(metric).is_some_and(|one| one < wanted));
    let mut reasons = nearer.filter_map(|metric| health.refusal(&cell.stack, cell.operation, metric));
    health.no_verdict.first().cloned().or_else(|| reasons.next())
}

/// Whether the blocks have enough requests beyond the percentile; and which rate would give enough.
fn enough_for(run: &Run, cell: &Cell, wanted: f64) -> Result<(), String> {
    let (name, stack, operation) = (name(wanted), &cell.stack, cell.operation);
    if wanted < FAR {
        let few = || {
            let count = pooled(cell).count();
            format!("{stack} {operation}: too few of {count} requests lie beyond {name}; offer a higher rate")
        };
        return if enough(cell, wanted) { Ok(()) } else { Err(few()) };
    }
    let needed = (BEYOND / (1.0 - wanted)).round();
    let fewest = cell.latency.iter().flatten().map(|open| open.latency.count()).min().unwrap_or(0);
    if fewest as f64 >= needed {
        return Ok(());
    }
    let rate = run.plan.latency.as_ref().and_then(|latency| latency.rates.get(&operation));
    let more = rate.filter(|_| fewest > 0).map_or_else(String::new, |rate| {
        format!(": offer {:.0}/s or more", (rate.per_s() * needed / fewest as f64).ceil())
    });
    Err(format!(
        "{stack} {operation}: {name} needs {needed} requests in each block, so that {BEYOND} lie beyond it; a block has \
         {fewest}{more}"
    ))
}

fn name(quantile: f64) -> &'static str {
    if quantile < FAR { "p95" } else { "p999" }
}

#[cfg(test)]
mod tests {
    use dyno_model::record::{Block, SliceLoad};

    use super::*;
    use crate::{analyse, synthetic};

    const STACKS: [(&str, f64); 2] = [("flask/gunicorn", 1000.0), ("go-bun/go", 2000.0)];
    const RATES: [f64; 2] = [1000.0, 2000.0];

    fn made() -> (Run, Vec<Block>) {
        let run = synthetic::run(&STACKS);
        let blocks = synthetic::blocks(&run, &RATES, 8, 0.01);
        (run, blocks)
    }

    /// Does something to each open-loop slice of hello, numbered by trial.
    fn slices(blocks: &mut [Block], change: impl Fn(usize, &mut dyno_model::load::SliceOutcome)) {
        for block in blocks {
            for (at, trial) in block.trials.iter_mut().enumerate() {
                let open = trial.slices.iter_mut().filter(|slice| {
                    slice.operation == Operation::Hello && matches!(slice.load, SliceLoad::Open { .. })
                });
                open.for_each(|slice| change(at, &mut slice.outcome));
            }
        }
    }

    fn of(run: &Run, blocks: &[Block], quantile: f64) -> Vec<Result<Vec<Option<f64>>, String>> {
        let tails = analyse(run, blocks).tails;
        let hello =
            tails.into_iter().filter(|one| one.operation == Operation::Hello && one.quantile == quantile);
        hello.map(|one| one.values).collect()
    }

    #[test]
    fn p95_lies_between_the_percentiles_of_tables() {
        let (run, blocks) = made();
        let analysis = analyse(&run, &blocks);
        let tail = of(&run, &blocks, 0.95).remove(0).unwrap();
        let series = |metric| {
            let mut all = analysis.series.iter();
            let found = all.find(|one| {
                one.stack == run.prepared[0].stack
                    && one.operation == Operation::Hello
                    && one.metric == metric
            });
            found.unwrap().values.clone()
        };
        let (p90, p99) = (series(Metric::LatencyP90), series(Metric::LatencyP99));
        assert_eq!(tail.len(), 8);
        for block in 0..8 {
            assert!(p90[block] < tail[block] && tail[block] < p99[block], "block {block}");
        }
    }

    #[test]
    fn p999_is_told_where_twenty_requests_lie_beyond_it_in_each_block() {
        let (run, mut blocks) = made();
        for few in of(&run, &blocks, 0.999) {
            let words = few.unwrap_err();
            assert!(words.contains("p999 needs 20000 requests in each block"), "{words}");
            assert!(words.contains("a block has 200: offer 10000/s or more"), "{words}");
        }
        // 1 to 20,000 us, and twice that: p999 is 19,980 us, to the histogram's step.
        slices(&mut blocks, |at, outcome| {
            outcome.latency = Default::default();
            for us in 1..=20_000 {
                outcome.latency.record_ns(us * 1_000 * (at as u64 + 1));
            }
            outcome.latency_less_late = outcome.latency.clone();
        });
        let told = of(&run, &blocks, 0.999);
        for (at, values) in told.into_iter().enumerate() {
            for value in values.unwrap() {
                let true_us = 19_980.0 * (at as f64 + 1.0);
                assert!((value.unwrap() / true_us - 1.0).abs() < 0.002, "{value:?} for {true_us}");
            }
        }
        // One block with one request less, and none is told.
        slices(&mut blocks[..1], |_, outcome| {
            outcome.latency = Default::default();
            (1..20_000).for_each(|us| outcome.latency.record_ns(us * 1_000));
        });
        assert!(of(&run, &blocks, 0.999).iter().all(Result::is_err));
    }

    #[test]
    fn what_refuses_the_others_and_the_generators_lateness_refuse_it() {
        let (run, mut blocks) = made();
        slices(&mut blocks[4..], |_, outcome| outcome.engine = "another".to_owned());
        assert!(of(&run, &blocks, 0.95)[0].as_ref().unwrap_err().contains("different load engines"));

        let (run, mut blocks) = made();
        slices(&mut blocks, |at, outcome| {
            if at == 0 {
                // Every thirteenth request is late by nearly all of its latency: the median and p90 aren't touched.
                outcome.latency = Default::default();
                outcome.latency_less_late = Default::default();
                for request in 0..200 {
                    let late = request >= 185;
                    outcome.latency.record_ns(if late { 9_000_000 } else { 1_000_000 });
                    outcome.latency_less_late.record_ns(1_000_000);
                }
            }
        });
        let told = of(&run, &blocks, 0.95);
        let words = told[0].as_ref().unwrap_err();
        assert!(words.contains("of p95 is the generator's own lateness (G2)"), "{words}");
        assert!(told[1].is_ok());

        let (run, mut blocks) = made();
        slices(&mut blocks, |_, outcome| outcome.backlog = 1_000);
        assert!(of(&run, &blocks, 0.95)[0].as_ref().unwrap_err().contains("overloaded"));
    }

    #[test]
    fn without_a_rate_there_is_none() {
        let (run, mut blocks) = made();
        let trials = blocks.iter_mut().flat_map(|block| &mut block.trials);
        trials.for_each(|trial| trial.slices.retain(|slice| matches!(slice.load, SliceLoad::Closed { .. })));
        assert!(of(&run, &blocks, 0.95)[0].as_ref().unwrap_err().contains("nothing was measured at a rate"));
    }
}
