//! What a run over numbers of workers says: throughput, speed-up and efficiency with their intervals, the law, and what was
//! the limit.

use dyno_model::{
    Operation, StackName,
    output::Metric,
    record::{Block, BlockState, Run, SliceLoad},
    scaling::{Figure, ScaleRow, ScalingResult},
    self_check::{GENERATOR_BUSIEST, SERVER_BOUND},
};

use super::{CLOSED_LOOP_LIMIT, FEWEST_POINTS, Point, Scaling, closed_loop_gap};
use crate::{
    Analysis, FIRST_BLOCKS, Series, analyse,
    cells::{Cell, Closed, cells},
    statistics::t_interval,
    verdicts::log_ratios,
};

/// All that is said of a run over numbers of workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Complete blocks.
    pub blocks: u32,
    /// A row for each number of workers, from the fewest.
    pub rows: Vec<ScaleRow>,
    /// The law.
    pub law: Option<ScalingResult>,
    /// What the law says, or why there is none.
    pub reason: String,
    /// What was the limit, and what makes the numbers less sure.
    pub notes: Vec<String>,
}

/// One number of workers with what was measured.
struct Column<'a> {
    workers: u32,
    stack: StackName,
    /// Throughputs by block; `None` where no block has any.
    series: Option<&'a Series>,
    cell: Option<&'a Cell>,
}

/// Makes the table of a run whose stacks differ in their numbers of workers.
pub fn table(run: &Run, blocks: &[Block], operation: Operation) -> Table {
    let analysis = analyse(run, blocks);
    let complete: Vec<&Block> = blocks.iter().filter(|block| block.state == BlockState::Complete).collect();
    let cells = cells(run, &complete);
    let columns = columns(run, &analysis, &cells, operation);
    let rows: Vec<ScaleRow> =
        columns.iter().map(|one| row(run, &analysis, one, &columns[0], blocks, operation)).collect();
    let (law, reason) = match law(&columns, &rows) {
        Ok(law) => {
            let reason = law.reason.clone();
            (Some(law), reason)
        }
        Err(reason) => (None, reason),
    };
    let notes = notes(run, &columns, &rows);
    Table { blocks: analysis.blocks, rows, law, reason, notes }
}

fn columns<'a>(
    run: &Run,
    analysis: &'a Analysis,
    cells: &'a [Cell],
    operation: Operation,
) -> Vec<Column<'a>> {
    let of = |stack: &StackName| {
        analysis
            .series
            .iter()
            .find(|one| one.stack == *stack && one.metric == Metric::Throughput && one.operation == operation)
    };
    let mut columns: Vec<Column<'_>> = run
        .prepared
        .iter()
        .map(|prepared| Column {
            workers: run.plan.capacity_of(&prepared.stack).workers,
            stack: prepared.stack.clone(),
            series: of(&prepared.stack),
            cell: cells.iter().find(|one| one.stack == prepared.stack && one.operation == operation),
        })
        .collect();
    columns.sort_by_key(|one| one.workers);
    columns
}

fn row(
    run: &Run,
    analysis: &Analysis,
    one: &Column<'_>,
    fewest: &Column<'_>,
    blocks: &[Block],
    operation: Operation,
) -> ScaleRow {
    let values: Vec<f64> =
        one.series.iter().flat_map(|one| one.values.iter().flatten()).map(|rate| rate.ln()).collect();
    let ratios = one.series.zip(fewest.series).map_or_else(Vec::new, |(a, b)| log_ratios(a, b));
    let times = f64::from(one.workers) / f64::from(fewest.workers);
    let speed_up = figure(&ratios).filter(|_| one.workers != fewest.workers);
    let refusal = analysis
        .refusals
        .iter()
        .find(|refusal| refusal.stack == one.stack && refusal.metric == Metric::Throughput);
    // A run that was stopped early has no numbers yet; one with blocks and without numbers failed in some.
    let failed = || {
        let lost = analysis.blocks as usize >= FIRST_BLOCKS && values.len() < FIRST_BLOCKS;
        lost.then(|| {
            format!(
                "it answered in {} of {} blocks; {FIRST_BLOCKS} are needed",
                values.len(),
                analysis.blocks
            )
        })
    };
    let no_verdict = refusal.map(|refusal| refusal.reason.clone()).or_else(failed);
    let closed = one.cell.map(Cell::closed).filter(|closed| closed.window_ns > 0);
    let busy = closed.map(|closed| busy(&closed, run.cpus.server.len()));
    let scaled = |by: f64| {
        move |figure: Figure| Figure {
            estimate: figure.estimate / by,
            low: figure.low / by,
            high: figure.high / by,
        }
    };
    ScaleRow {
        workers: one.workers,
        throughput_per_s: figure(&values),
        speed_up,
        efficiency: speed_up.map(scaled(times)),
        blocks: values.len() as u32,
        closed_loop_gap: gap(run, &one.stack, operation, blocks),
        server_busy: busy,
        no_verdict,
    }
}

/// The geometric mean with its t interval over blocks, of logarithms.
fn figure(logs: &[f64]) -> Option<Figure> {
    let (mean, low, high) = t_interval(logs).filter(|_| logs.len() >= FIRST_BLOCKS)?;
    Some(Figure { estimate: mean.exp(), low: low.exp(), high: high.exp() })
}

/// How far a stack's closed loops are from `N = X(R + Z)`. Nobody thinks in them.
fn gap(run: &Run, stack: &StackName, operation: Operation, blocks: &[Block]) -> Option<f64> {
    let slices = || {
        let trials = blocks.iter().filter(|block| block.state == BlockState::Complete);
        let trials = trials.flat_map(|block| &block.trials).filter(|trial| trial.stack == *stack);
        trials
            .flat_map(|trial| &trial.slices)
            .filter(|slice| slice.operation == operation && matches!(slice.load, SliceLoad::Closed { .. }))
    };
    let completed: u64 = slices().map(|slice| slice.outcome.window_completed).sum();
    let window_ns: u64 = slices().map(|slice| slice.outcome.window_ns).sum();
    let mut latency = dyno_model::histogram::LatencyHistogram::default();
    slices().for_each(|slice| latency.merge(&slice.outcome.latency));
    let rate = completed as f64 * 1e9 / window_ns as f64;
    let response_s = latency.mean_ns()? / 1e9;
    let gap = closed_loop_gap(f64::from(run.plan.throughput.connections), rate, response_s, 0.0);
    gap.is_finite().then_some(gap)
}

/// The law over the blocks in which every number of workers was measured.
fn law(columns: &[Column<'_>], rows: &[ScaleRow]) -> Result<ScalingResult, String> {
    if let Some(why) = rows.iter().find_map(|row| row.no_verdict.as_ref()) {
        return Err(format!("no law is fitted to numbers without a verdict: {why}"));
    }
    if columns.len() < FEWEST_POINTS {
        return Err(format!(
            "{} numbers of workers show a ratio; the law has three coefficients and needs {FEWEST_POINTS}, for instance --workers 1,2,4",
            columns.len()
        ));
    }
    let values = |one: &Column<'_>| one.series.map_or(0, |series| series.values.len());
    let length = columns.iter().map(values).min().unwrap_or(0);
    let points = |block: usize| -> Option<Vec<Point>> {
        columns.iter().map(|one| Some((f64::from(one.workers), one.series?.values[block]?))).collect()
    };
    let points: Vec<Vec<Point>> = (0..length).filter_map(points).collect();
    Scaling::fit(&points).map(|scaling| scaling.result()).map_err(|error| error.to_string())
}

/// Share of the servers' CPUs' time in which the server had work.
fn busy(closed: &Closed, cpus: usize) -> f64 {
    closed.had_work_ns / (closed.window_ns.max(1) as f64 * cpus.max(1) as f64)
}

fn notes(run: &Run, columns: &[Column<'_>], rows: &[ScaleRow]) -> Vec<String> {
    let mut notes = Vec::new();
    let cpus = run.cpus.server.len();
    let most = rows.last().map_or(0, |row| row.workers);
    if most as usize > cpus {
        let plural = if cpus == 1 { "CPU" } else { "CPUs" };
        notes.push(format!(
            "this machine gives servers {cpus} {plural}: beyond {cpus} workers they share, and what is shown is the machine's limit, not the stack's"
        ));
    }
    for one in columns {
        let Some(closed) = one.cell.map(Cell::closed).filter(|closed| closed.window_ns > 0) else { continue };
        let server = busy(&closed, cpus);
        // Fewer workers than CPUs can't use them all.
        let usable = (one.workers as usize).min(cpus) as f64 / cpus.max(1) as f64;
        if server >= SERVER_BOUND * usable {
            continue;
        }
        let database = closed.database_cpu_ns as f64
            / (closed.there_ns.max(1.0) * run.cpus.database.len().max(1) as f64);
        let generator = closed.generator.cpu_ns as f64 / closed.generator.length_ns.max(1) as f64;
        let limit = match (database >= SERVER_BOUND, generator >= GENERATOR_BUSIEST) {
            (true, _) => ": the database is the limit",
            (_, true) => ": the generator is the limit",
            _ if database + generator >= SERVER_BOUND && run.cpus.database == run.cpus.generator => {
                ": database and generator, which share CPUs, are the limit"
            }
            _ => "",
        };
        notes.push(format!(
            "with {} workers the stack used {:.0} % of the CPUs that it can use, the database {:.0} % of its own and the generator {:.0} % of one{limit}",
            one.workers,
            server / usable * 100.0,
            database * 100.0,
            generator * 100.0
        ));
    }
    for row in rows {
        if let Some(gap) = row.closed_loop_gap.filter(|gap| *gap > CLOSED_LOOP_LIMIT) {
            notes.push(format!(
                "with {} workers the closed loop is {:.1} % from N = X(R + Z): what was counted isn't what was timed",
                row.workers,
                gap * 100.0
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    const STACKS: [(&str, f64); 3] =
        [("x/y:workers=4", 2_600.0), ("x/y:workers=2", 1_800.0), ("x/y:workers=1", 1_000.0)];

    fn of(stacks: &[(&str, f64)], blocks: u32) -> Table {
        let mut run = synthetic::run(stacks);
        run.plan.baseline = stacks[stacks.len() - 1].0.parse().unwrap();
        run.cpus.server = vec![1, 2, 3, 4];
        let rates: Vec<f64> = stacks.iter().map(|(_, rate)| *rate).collect();
        let blocks = synthetic::blocks(&run, &rates, blocks, 0.01);
        table(&run, &blocks, Operation::Hello)
    }

    #[test]
    fn speed_up_and_efficiency_hold_the_truth() {
        let table = of(&STACKS, 12);
        let workers: Vec<u32> = table.rows.iter().map(|row| row.workers).collect();
        assert_eq!((workers, table.blocks), (vec![1, 2, 4], 12));
        assert_eq!((table.rows[0].speed_up, table.rows[0].efficiency), (None, None));
        for (row, speed_up, efficiency) in [(1, 1.8, 0.9), (2, 2.6, 0.65)] {
            let row = &table.rows[row];
            let holds = |figure: Figure, truth: f64| figure.low < truth && truth < figure.high;
            assert!(holds(row.speed_up.unwrap(), speed_up), "{row:?}");
            assert!(holds(row.efficiency.unwrap(), efficiency), "{row:?}");
        }
        assert!(
            table.law.is_some_and(|law| law.sigma.estimate > 0.0 && law.blocks == 12),
            "{}",
            table.reason
        );
    }

    #[test]
    fn two_numbers_of_workers_have_a_ratio_and_no_law() {
        let table = of(&STACKS[1..], 8);
        assert!(table.rows[1].speed_up.is_some() && table.law.is_none());
        assert!(table.reason.starts_with("2 numbers of workers show a ratio"), "{}", table.reason);
    }

    #[test]
    fn few_blocks_have_no_numbers() {
        let table = of(&STACKS, 2);
        assert!(table.rows.iter().all(|row| row.throughput_per_s.is_none() && row.speed_up.is_none()));
        let table = of(&STACKS, 7);
        assert!(table.rows.iter().all(|row| row.throughput_per_s.is_some()));
        assert!(table.law.is_none() && table.reason.contains("8 are needed"), "{}", table.reason);
    }

    #[test]
    fn a_machine_that_was_never_quiet_has_numbers_all_the_same() {
        let mut run = synthetic::run(&STACKS);
        run.plan.baseline = STACKS[2].0.parse().unwrap();
        let mut blocks = synthetic::blocks(&run, &[2_600.0, 1_800.0, 1_000.0], 8, 0.01);
        let slices =
            blocks.iter_mut().flat_map(|block| &mut block.trials).flat_map(|trial| &mut trial.slices);
        slices.for_each(|slice| slice.machine.foreign_ns = slice.outcome.window_ns);
        let table = table(&run, &blocks, Operation::Hello);
        assert_eq!(table.rows.iter().map(|row| row.workers).collect::<Vec<_>>(), [1, 2, 4]);
        assert!(table.rows.iter().all(|row| row.throughput_per_s.is_some() && row.no_verdict.is_none()));
    }

    #[test]
    fn more_workers_than_cpus_are_the_machines_limit() {
        let mut run = synthetic::run(&STACKS);
        run.plan.baseline = STACKS[2].0.parse().unwrap();
        let blocks = synthetic::blocks(&run, &[1_000.0, 1_000.0, 1_000.0], 8, 0.01);
        let table = table(&run, &blocks, Operation::Hello);
        assert!(
            table.notes[0].starts_with("this machine gives servers 1 CPU: beyond 1"),
            "{:?}",
            table.notes
        );
    }
}
