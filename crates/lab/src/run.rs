//! A whole run: prepare, prove, measure in blocks, record each block as it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use dyno_contract::Truth;
use dyno_model::{
    Operation, StackName,
    check::CheckOutcome,
    event::{Event, Step},
    fingerprint::{Fingerprint, REVISION},
    plan::{Plan, most_together},
    record::{Block, BlockState, FORMAT, NotRun, NotRunKind, Run},
    warning::Warning,
};
use dyno_provision::{machine_facts, revision_of};
use dyno_record::RunFolder;

use crate::{
    bench::Bench,
    block::{BlockOrder, BlockWork, Settle, connections_of, do_block},
    database::Database,
    error::LabError,
    groups::Grouping,
    prepare::Prepared,
    preparing::{Ready, prepare_all},
    proof::{Proven, prove_all, read_truth},
    slices::engine_words,
    stand::Stand,
};

/// A run that ended, or was stopped with all that it had.
#[derive(Debug)]
pub struct Finished {
    /// Its head.
    pub run: Run,
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// Whether the user stopped it.
    pub stopped: bool,
}

/// The warning of a run that goes on with another machine or other software.
const FINGERPRINT_CHANGED: &str = "fingerprint_changed";
/// Share of the free memory that the stacks of a block may take together.
const MEMORY_SHARE: f64 = 0.7;
/// Memory under load against memory at rest, for judging whether all fit.
const MEMORY_GROWTH: f64 = 1.5;
/// A guess of what starting, proving and stopping one stack in a block takes, until a block was measured.
const START_GUESS_S: f64 = 2.5;

/// What is worth doing next.
#[derive(Clone, Debug, Default)]
pub struct Next {
    /// Blocks before it is asked again; 0 ends the run. Plan and budget bound it all the same.
    pub blocks: u32,
    /// Stacks and operations whose order is sure: further blocks leave them out.
    pub settled: BTreeSet<(StackName, Operation)>,
}

impl From<u32> for Next {
    fn from(blocks: u32) -> Self {
        Self { blocks, settled: BTreeSet::new() }
    }
}

/// Whoever looks at the numbers while a run goes on.
pub struct Pace<'a> {
    /// What is worth doing after these blocks; asked after each.
    pub next: &'a dyn Fn(&Run, &[Block]) -> Next,
    /// What settles a plan before its first slice; `None` where it is settled.
    pub settle: Option<&'a Settle<'a>>,
}

/// Carries a plan out into a new run folder.
///
/// # Errors
/// What keeps the whole run from going on; blocks that were done are kept.
pub fn run(bench: &Bench<'_>, folder: &RunFolder, pace: &Pace<'_>) -> Result<Finished, LabError> {
    let clock = Instant::now();
    let ready = prepare_all(bench, stacks_at_once(bench.order.plan))?;
    let started = jiff::Timestamp::now().to_string();
    let seed = bench.order.plan.design.seed.unwrap_or_else(rand::random);
    carry_out(bench, folder, ready, Beginning { clock, seed, started, earlier: None }, pace)
}

/// Goes on with a run that was stopped: the same plan and seed, stacks proven again, blocks added.
///
/// # Errors
/// As [`run`].
pub fn resume(bench: &Bench<'_>, folder: &RunFolder, pace: &Pace<'_>) -> Result<Finished, LabError> {
    let clock = Instant::now();
    let earlier = folder.read_run()?;
    let ready = prepare_all(bench, stacks_at_once(bench.order.plan))?;
    let (seed, started) = (earlier.seed, earlier.started.clone());
    carry_out(bench, folder, ready, Beginning { clock, seed, started, earlier: Some(earlier) }, pace)
}

/// The stacks of a plan that are up together in a block.
fn stacks_at_once(plan: &Plan) -> usize {
    plan.stacks.len().min(plan.design.together as usize)
}

struct Beginning {
    clock: Instant,
    seed: u64,
    started: String,
    earlier: Option<Run>,
}

fn carry_out(
    bench: &Bench<'_>,
    folder: &RunFolder,
    ready: Ready,
    begin: Beginning,
    pace: &Pace<'_>,
) -> Result<Finished, LabError> {
    let mut session = prove_and_describe(bench, folder, ready, &begin)?;
    let mut blocks = folder.read_blocks()?;
    if !session.run.plan.design.looks {
        session.run.warnings.extend(looked(complete_blocks(&blocks), session.run.plan.design.blocks));
    }
    folder.write_run(&session.run)?;
    let Session { mut run, prepared, database, truth, grouping } = session;
    let _pinned = dyno_supervise::machine::pin_this_thread_while(&bench.cpus.generator);
    let work =
        BlockWork { prepared: &prepared, database: &database, truth: &truth, seed: run.seed, grouping };
    if !run.plan.design.looks || has_both_sides(&run) {
        measure(bench, folder, &work, begin.clock, (&mut run, &mut blocks), pace)?;
    }
    Ok(Finished { run, blocks, stopped: bench.stopped() })
}

/// Stacks that are proven, and what loading them needs.
struct Session {
    run: Run,
    prepared: Vec<Prepared>,
    database: Database,
    truth: Truth,
    grouping: Grouping,
}

fn prove_and_describe(
    bench: &Bench<'_>,
    folder: &RunFolder,
    Ready { prepared, not_run, database }: Ready,
    begin: &Beginning,
) -> Result<Session, LabError> {
    let (cases, truth) = read_truth(bench, &database)?;
    let mut proven = prove_all(bench, &prepared, &database, &cases, &truth)?;
    proven.report.not_run.splice(0..0, not_run);
    let (run, grouping) = describe(bench, folder, &prepared, &proven, &database, begin);
    let prepared: Vec<Prepared> = prepared
        .into_iter()
        .filter(|one| run.prepared.iter().any(|proven| proven.stack == *one.name()))
        .collect();
    if prepared.is_empty() {
        let reasons = run.not_run.iter().map(|row| format!("  {}: {}", row.stack, row.reason));
        return Err(LabError::NothingToMeasure(reasons.collect::<Vec<_>>().join("\n")));
    }
    Ok(Session { run, prepared, database, truth, grouping })
}

/// Prepares and proves the plan's stacks and gives them to `work` for single trials, in a new run folder or in one of
/// before.
///
/// # Errors
/// What keeps all stacks from being measured, that a run of before was on another machine or with other software, or an
/// error of `work`.
pub fn trials(
    bench: &Bench<'_>,
    folder: &RunFolder,
    resumed: bool,
    work: &mut dyn FnMut(&Run, &mut Stand<'_>) -> Result<(), LabError>,
) -> Result<Run, LabError> {
    let clock = Instant::now();
    let earlier = if resumed { Some(folder.read_run()?) } else { None };
    let ready = prepare_all(bench, stacks_at_once(bench.order.plan))?;
    let (seed, started) = match &earlier {
        Some(earlier) => (earlier.seed, earlier.started.clone()),
        None => {
            let seed = bench.order.plan.design.seed.unwrap_or_else(rand::random);
            (seed, jiff::Timestamp::now().to_string())
        }
    };
    let begin = Beginning { clock, seed, started, earlier };
    let Session { run, prepared, database, truth, .. } = prove_and_describe(bench, folder, ready, &begin)?;
    if run.warnings.iter().any(|warning| warning.id == FINGERPRINT_CHANGED) {
        let words = "machine or software changed since it began, so that it can't go on: start a new search";
        return Err(LabError::CannotRun(format!("{}: {words}", folder.path().display())));
    }
    folder.write_run(&run)?;
    bench.step(Step::Measure, format!("{} stacks, trial by trial", prepared.len()));
    let _pinned = dyno_supervise::machine::pin_this_thread_while(&bench.cpus.generator);
    let mut stand = Stand::new(bench, &prepared, &database, &truth);
    work(&run, &mut stand)?;
    stand.stop();
    Ok(run)
}

/// Whether a comparison that ends with a verdict has its baseline, and something else than the canary against it where the
/// plan has that. One that lost a side can't have any, and would last until its budget is spent.
fn has_both_sides(run: &Run) -> bool {
    let plan = &run.plan;
    let proven = |stack: &StackName| run.prepared.iter().any(|one| one.stack == *stack);
    let against =
        |stack: &&StackName| **stack != plan.baseline && Some(*stack) != plan.design.canary.as_ref();
    let mut others = plan.stacks.iter().filter(against).peekable();
    proven(&plan.baseline) && (others.peek().is_none() || others.any(proven))
}

/// Blocks until the plan has enough of them, and more while its budget lasts.
fn measure(
    bench: &Bench<'_>,
    folder: &RunFolder,
    work: &BlockWork<'_>,
    clock: Instant,
    (run, blocks): (&mut Run, &mut Vec<Block>),
    pace: &Pace<'_>,
) -> Result<(), LabError> {
    let design = bench.order.plan.design.clone();
    let mut block_s = guess_block_s(bench.order.plan, work.prepared.len());
    bench.step(Step::Measure, format!("{} stacks, {} blocks or more", work.prepared.len(), design.blocks));
    while !bench.stopped() {
        let complete = complete_blocks(blocks);
        let next = if blocks.is_empty() { Next::from(design.blocks) } else { (pace.next)(run, blocks) };
        // Before the fewest there is nothing to end.
        let wanted = if complete >= design.blocks { next.blocks } else { design.blocks - complete };
        let needed_s = f64::from(wanted) * block_s;
        let fits = clock.elapsed().as_secs_f64() + needed_s <= design.budget.0.as_secs_f64();
        if wanted == 0 || complete >= design.most_blocks || (complete >= design.blocks && !fits) {
            break;
        }
        let to_do = f64::from(
            expected_blocks(design.blocks, design.most_blocks, complete, block_s, clock, design.budget.0)
                - complete,
        );
        let plan = run.plan.clone();
        let order = BlockOrder {
            index: blocks.last().map_or(0, |block| block.index + 1),
            plan: &plan,
            settled: &next.settled,
            rehearse: pace.settle.filter(|_| blocks.is_empty()),
            left_s: &|share: f64| Some((to_do - share).max(0.0) * block_s),
        };
        let begin = Instant::now();
        let (block, settled) = do_block(bench, work, &order)?;
        folder.write_block(&block)?;
        if let Some(plan) = settled {
            run.plan = plan;
            folder.write_run(run)?;
        }
        blocks.push(block);
        // The last one is most like the next: stacks whose order is sure have left.
        block_s = begin.elapsed().as_secs_f64();
    }
    Ok(())
}

/// A run that had enough blocks has been looked at before it is resumed.
fn looked(complete: u32, enough: u32) -> Option<Warning> {
    (complete >= enough).then(|| Warning {
        id: "looked".to_owned(),
        subject: "run".to_owned(),
        text: format!("blocks were added after {complete} had given a result"),
        advice: "intervals are those of a fixed number of blocks, and somewhat too narrow when one looks before adding"
            .to_owned(),
    })
}

fn complete_blocks(blocks: &[Block]) -> u32 {
    blocks.iter().filter(|block| block.state == BlockState::Complete).count() as u32
}

/// How many blocks there will be in the end, as far as can be told now.
fn expected_blocks(
    fewest: u32,
    most: u32,
    complete: u32,
    block_s: f64,
    clock: Instant,
    budget: Duration,
) -> u32 {
    let left_s = (budget.as_secs_f64() - clock.elapsed().as_secs_f64()).max(0.0);
    let by_time = complete + (left_s / block_s.max(0.1)) as u32;
    by_time.clamp(fewest.max(complete + 1), most.max(complete + 1))
}

fn guess_block_s(plan: &Plan, stacks: usize) -> f64 {
    let slices = f64::from(plan.throughput.slices)
        * plan.throughput.slice.0.as_secs_f64()
        * plan.operations.len() as f64;
    let latency = plan.latency.as_ref().map_or(0.0, |latency| {
        f64::from(latency.slices) * latency.slice.0.as_secs_f64() * latency.operations() as f64
    });
    (START_GUESS_S + plan.design.warm_up.0.as_secs_f64() + (slices + latency) * 1.1) * stacks as f64
}

/// The head of the record, and which stacks are up together.
fn describe(
    bench: &Bench<'_>,
    folder: &RunFolder,
    prepared: &[Prepared],
    proven: &Proven,
    database: &Database,
    begin: &Beginning,
) -> (Run, Grouping) {
    let plan = bench.order.plan;
    let mut not_run = proven.report.not_run.clone();
    let mut stacks = Vec::new();
    for one in prepared {
        let name = one.name();
        let failed: Vec<String> = proven
            .report
            .rows
            .iter()
            .filter(|row| row.stack == *name && row.outcome == CheckOutcome::Fail)
            .map(|row| format!("{}: {}", row.operation, row.detail))
            .collect();
        let lacking: Vec<String> = plan
            .operations
            .iter()
            .filter_map(|operation| {
                Some(format!("{operation}: {}", one.stack.app.app.not_offered.get(operation)?))
            })
            .collect();
        if let Some(stack) = proven.stacks.iter().find(|stack| stack.stack == *name) {
            if lacking.is_empty() {
                stacks.push(stack.clone());
            } else {
                not_run.push(NotRun {
                    stack: name.clone(),
                    reason: format!("it doesn't offer {}", lacking.join("; ")),
                    kind: NotRunKind::Impossible,
                });
            }
        } else if !failed.is_empty() {
            let reason = format!("it fails the contract, so it isn't measured: {}", failed.join("; "));
            not_run.push(NotRun { stack: name.clone(), reason, kind: NotRunKind::Failed });
        }
    }
    let mut software = BTreeMap::from([
        ("dyno".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("cpu accounting".to_owned(), bench.supervisor.accounting().words().to_owned()),
    ]);
    software.insert("load engine".to_owned(), engine_of(plan));
    software.extend(database.facts.iter().map(|(name, value)| (format!("database: {name}"), value.clone())));
    let broker = bench.started_broker().into_iter().flat_map(|broker| &broker.facts);
    software.extend(broker.map(|(name, value)| (format!("broker: {name}"), value.clone())));
    let revision = revision_of(&bench.order.catalogue.folder);
    software.extend(revision.map(|revision| (REVISION.to_owned(), revision)));
    let names: Vec<StackName> = stacks.iter().map(|one| one.stack.clone()).collect();
    let (grouping, mut warnings) = grouping_of(bench, &names, &proven.memory_bytes);
    warnings.extend(plan.design.rehearsal.iter().flat_map(|choice| choice.warnings.clone()));
    let fingerprint = Fingerprint { machine: machine_facts(), software };
    let mut run = Run {
        format: FORMAT,
        run: folder.name(),
        plan: plan.clone(),
        seed: begin.seed,
        started: begin.started.clone(),
        command: bench.order.command.clone(),
        fingerprint,
        cpus: bench.cpus.clone(),
        prepared: stacks,
        checks: proven.report.rows.clone(),
        not_run,
        warnings,
    };
    if let Some(earlier) = &begin.earlier {
        run.command.clone_from(&earlier.command);
        if earlier.fingerprint != run.fingerprint {
            run.warnings.push(Warning {
                id: FINGERPRINT_CHANGED.to_owned(),
                subject: "run".to_owned(),
                text: "machine or software changed between the run and its resumption".to_owned(),
                advice: "start a new run: blocks before and after don't compare".to_owned(),
            });
        }
    }
    for warning in &run.warnings {
        bench.tell(Event::Warning(warning.clone()));
    }
    (run, grouping)
}

/// The engine that will load: numbers of two engines don't compare silently.
fn engine_of(plan: &Plan) -> String {
    engine_words(connections_of(plan)).unwrap_or_else(|error| format!("none: {error}"))
}

/// All stacks together, or groups with the baseline in each where they are many or memory is short.
fn grouping_of(
    bench: &Bench<'_>,
    stacks: &[StackName],
    memory_bytes: &BTreeMap<StackName, u64>,
) -> (Grouping, Vec<Warning>) {
    let baseline = stacks.iter().position(|stack| *stack == bench.order.plan.baseline).unwrap_or(0);
    let under_load = |stack| (memory_bytes.get(stack).copied().unwrap_or(0) as f64 * MEMORY_GROWTH) as u64;
    let memory_bytes: Vec<u64> = stacks.iter().map(under_load).collect();
    let free = available_memory_bytes() as f64;
    let needed = memory_bytes.iter().sum::<u64>() as f64;
    let grouping = Grouping {
        baseline,
        memory_bytes,
        room_bytes: (free * MEMORY_SHARE) as u64,
        most: bench.order.plan.design.together as usize,
    };
    let asked = grouping.most < most_together() as usize && grouping.room_bytes >= needed as u64;
    if asked || grouping.all_together() {
        return (grouping, Vec::new());
    }
    let gib = |bytes: f64| bytes / 2f64.powi(30);
    let warning = Warning {
        id: "groups".to_owned(),
        subject: "run".to_owned(),
        text: format!(
            "{} stacks need about {:.1} GiB together, {:.1} GiB are free, and too many at once would be compared far apart in time",
            stacks.len(),
            gib(needed),
            gib(free)
        ),
        advice: "stacks are measured in groups drawn anew in each block, the baseline in each group; name fewer stacks to have them all side by side"
            .to_owned(),
    };
    (grouping, vec![warning])
}

/// Memory that nobody uses, in bytes.
pub(crate) fn available_memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.map_or(u64::MAX, |kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_blocks_after_a_result_is_said() {
        assert!(looked(8, 8).unwrap().text.contains("after 8"));
        assert_eq!(looked(3, 8), None, "a run that was stopped early gave no result");
    }

    #[test]
    fn the_number_of_blocks_follows_from_the_clock() {
        let expected = |complete, block_s, budget_s| {
            expected_blocks(8, 12, complete, block_s, Instant::now(), Duration::from_secs(budget_s))
        };
        assert_eq!(expected(0, 60.0, 10), 8, "the fewest are always done");
        assert_eq!(expected(0, 60.0, 600), 9);
        assert_eq!(expected(8, 60.0, 6000), 12, "and never more than the most");
    }
}
