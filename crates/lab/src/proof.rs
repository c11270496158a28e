//! Proving: every stack against the contract's cases, several at once on a copy of the database each, before any timing.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use dyno_contract::{
    Cases, Mismatch, Proof, Subject, Truth, compare_answers, module_with_gil, prove, runs_on,
};
use dyno_model::{
    Operation, StackName,
    check::{CheckOutcome, CheckRow, Recovery, SchemaDifference},
    event::{Event, Step},
    record::{NotRun, NotRunKind, PreparedStack},
};

use crate::{
    bench::Bench,
    database::{Access, Database},
    error::LabError,
    outage::outage,
    pool::{at_once, side_by_side},
    prepare::Prepared,
    preparing::{Ready, prepare_all},
    run::available_memory_bytes,
    up::Running,
};

/// What came of the cases.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// One row for each stack and operation.
    pub rows: Vec<CheckRow>,
    /// Where apps' own OpenAPI documents differ from the contract's.
    pub differences: Vec<SchemaDifference>,
    /// How stacks take an outage of their database, if that was asked for.
    pub recovery: Vec<Recovery>,
    /// Stacks that couldn't be tried, with the reason.
    pub not_run: Vec<NotRun>,
    /// Whether the user stopped it: what was tried by then is here.
    pub stopped: bool,
    /// Stacks that the catalogue calls impossible and that answer rightly: their entries have had their day.
    pub possible: Vec<StackName>,
}

/// Stacks that were tried, with what the record wants to know of them.
#[derive(Default)]
pub(crate) struct Proven {
    pub report: CheckReport,
    /// Those that answer rightly.
    pub stacks: Vec<PreparedStack>,
    /// Memory of each, in bytes, as it stood idle after its cases.
    pub memory_bytes: BTreeMap<StackName, u64>,
    proofs: Vec<(StackName, Proof)>,
}

/// Prepares and proves the plan's stacks, several at once; of those that `recovery` names, also takes the database away and gives it
/// back, one after the other.
///
/// # Errors
/// The database, the cases or the disk; a stack's own failure is a row.
pub fn check(bench: &Bench<'_>, recovery: &dyn Fn(&StackName) -> bool) -> Result<CheckReport, LabError> {
    let Ready { prepared, not_run, mut database } =
        prepare_all(bench, most_proofs(bench) + ON_THEIR_WAY_OUT)?;
    let (cases, truth) = read_truth(bench, &database)?;
    let tell = |one: &Tried| bench.tell(Event::Note(in_a_line(&one.stack, &one.report)));
    let mut proven = prove_side_by_side(bench, &prepared, &database, &cases, &truth, &tell)?;
    let taken_away = prepared.iter().filter(|one| recovery(one.name()));
    for one in taken_away.filter(|one| proven.stacks.iter().any(|proven| proven.stack == *one.name())) {
        if bench.stopped() {
            break;
        }
        let told = match outage(bench, one, &mut database, &truth) {
            Err(LabError::Stopped) => break,
            other => other?,
        };
        bench.tell(Event::Note(format!("{}: without its database: {}", one.name(), told.outcome.word())));
        proven.report.recovery.push(told);
    }
    tell_differences(bench, &proven.proofs);
    proven.report.not_run.splice(0..0, not_run);
    proven.report.stopped = bench.stopped();
    Ok(proven.report)
}

/// What came of one stack's cases, as it is told at once.
fn in_a_line(name: &StackName, report: &CheckReport) -> String {
    if let Some(row) = report.not_run.first() {
        return format!("{name}: cannot run: {}", row.reason);
    }
    let failed = report.rows.iter().filter(|row| row.outcome == CheckOutcome::Fail);
    let failed: Vec<&str> = failed.map(|row| row.operation.name()).collect();
    match failed.as_slice() {
        [] => format!("{name}: pass"),
        failed => format!("{name}: FAIL: {}", failed.join(", ")),
    }
}

pub(crate) fn read_truth(bench: &Bench<'_>, database: &Database) -> Result<(Cases, Truth), LabError> {
    let cases = Cases::read(bench.order.contract)?;
    let truth = Truth::read(&database.url, &cases)?;
    Ok((cases, truth))
}

/// Proves all stacks of a run, and tells where their answers differ.
pub(crate) fn prove_all(
    bench: &Bench<'_>,
    prepared: &[Prepared],
    database: &Database,
    cases: &Cases,
    truth: &Truth,
) -> Result<Proven, LabError> {
    let proven = prove_side_by_side(bench, prepared, database, cases, truth, &|_| {})?;
    bench.go_on()?;
    tell_differences(bench, &proven.proofs);
    Ok(proven)
}

/// As many stacks at once as CPUs and memory carry; `tell` is told of each as it ends, and the results have the order of the stacks. Those
/// that were tried when the user stopped it are there.
fn prove_side_by_side(
    bench: &Bench<'_>,
    prepared: &[Prepared],
    database: &Database,
    cases: &Cases,
    truth: &Truth,
    tell: &(dyn Fn(&Tried) + Sync),
) -> Result<Proven, LabError> {
    let (done, total) = (AtomicU64::new(0), (prepared.len() * Operation::ALL.len()) as u64);
    bench.step(Step::Prove, format!("{} stacks", prepared.len()));
    let threads = if database.can_be_copied() { most_proofs(bench).min(database.stacks) } else { 1 };
    // Workers take a second or two to go gently, and the next proof needn't wait for that.
    let tried = thread::scope(|leaving| {
        side_by_side(prepared, threads, |_, one| {
            let mut go_on = |operation| {
                let (done, stack) = (done.fetch_add(1, Ordering::Relaxed) + 1, Some(one.name().clone()));
                bench.tell(Event::Progress { done, total, left_s: None, stack, operation: Some(operation) });
                !bench.stopped()
            };
            let copy = match bench.go_on().and_then(|()| database.copy()) {
                Err(LabError::Stopped) => return Ok(None),
                other => other?,
            };
            let at = copy.as_ref().map_or(&database.access, |copy| &copy.access);
            // Dyno itself looks behind the pooler.
            let url = copy.as_ref().map_or(&database.url, |copy| &copy.access.url);
            let outcome = match prove_one(bench, one, (at, url), cases, truth, &mut go_on) {
                Err(LabError::Stopped) => return Ok(None),
                Err(error) => Err(error),
                Ok((proof, running)) => {
                    leaving.spawn(move || {
                        running.end();
                        drop(copy);
                    });
                    Ok(proof)
                }
            };
            Tried::of(one, outcome).inspect(tell).map(Some)
        })
    })?;
    Ok(tried.into_iter().flatten().collect())
}

/// Memory that a stack may take until it is proven, in bytes: several processes of server and worker.
const PROOF_BYTES: u64 = 1 << 29;
/// Most proofs at once, however many CPUs there are: each has dyno's own connections to the database too.
const MOST_PROOFS: usize = 8;
/// Stacks whose connections may still be there while those of the next begin.
const ON_THEIR_WAY_OUT: usize = 1;

/// How many proofs are made at once: nothing is timed, so that they only share what there is.
fn most_proofs(bench: &Bench<'_>) -> usize {
    let by_memory = usize::try_from(available_memory_bytes() / PROOF_BYTES).unwrap_or(usize::MAX);
    let at_once = at_once(dyno_supervise::machine::allowed_cpus().len(), MOST_PROOFS);
    at_once.min(by_memory).min(bench.order.plan.stacks.len()).max(1)
}

/// What came of one stack's cases.
struct Tried {
    stack: StackName,
    report: CheckReport,
    /// It answers rightly; and its memory, in bytes.
    right: Option<(PreparedStack, u64)>,
    proof: Option<Proof>,
}

impl Tried {
    /// A stack's own failure is a row.
    fn of(one: &Prepared, outcome: Result<OneProof, LabError>) -> Result<Self, LabError> {
        let stack = one.name().clone();
        let mut tried = Self { stack, report: CheckReport::default(), right: None, proof: None };
        let not_run = |reason, kind| NotRun { stack: one.name().clone(), reason, kind };
        match outcome {
            Ok((proof, _, _)) if one.impossible.is_some() => {
                if proof.rows.iter().any(|row| row.outcome == CheckOutcome::Fail) {
                    tried.report.not_run.extend(as_known(one));
                } else {
                    tried.report.possible.push(one.name().clone());
                }
            }
            Ok((proof, commands, memory_bytes)) => {
                if proof.rows.iter().all(|row| row.outcome != CheckOutcome::Fail) {
                    let stack = PreparedStack {
                        stack: one.name().clone(),
                        keep_alive: one.stack.front.is_some() || one.stack.server.server.keep_alive,
                        commands,
                        lock_sha256: one.lock_sha256.clone(),
                        about: proof.about.clone(),
                    };
                    tried.right = Some((stack, memory_bytes));
                }
                tried.report.rows.extend(proof.rows.iter().cloned());
                tried.report.differences.extend(proof.differences.iter().cloned());
                tried.proof = Some(proof);
            }
            Err(LabError::Supervise(_) | LabError::CannotRun(_)) if one.impossible.is_some() => {
                tried.report.not_run.extend(as_known(one));
            }
            Err(error @ LabError::Supervise(_)) => {
                tried.report.not_run.push(not_run(error.to_string(), NotRunKind::Failed));
            }
            Err(LabError::CannotRun(reason)) => {
                tried.report.not_run.push(not_run(reason, NotRunKind::Impossible));
            }
            Err(error) => return Err(error),
        }
        Ok(tried)
    }
}

impl FromIterator<Tried> for Proven {
    fn from_iter<T: IntoIterator<Item = Tried>>(all: T) -> Self {
        let mut proven = Self::default();
        for one in all {
            proven.report.rows.extend(one.report.rows);
            proven.report.differences.extend(one.report.differences);
            proven.report.not_run.extend(one.report.not_run);
            proven.report.possible.extend(one.report.possible);
            if let Some((stack, memory_bytes)) = one.right {
                proven.memory_bytes.insert(one.stack.clone(), memory_bytes);
                proven.stacks.push(stack);
            }
            proven.proofs.extend(one.proof.map(|proof| (one.stack, proof)));
        }
        proven
    }
}

fn tell_differences(bench: &Bench<'_>, proofs: &[(StackName, Proof)]) {
    for words in compare_answers(proofs) {
        bench.tell(Event::Note(format!("answers differ across stacks: {words}")));
    }
}

/// The row of a stack that can't run, as the catalogue has it.
fn as_known(one: &Prepared) -> Option<NotRun> {
    let known = one.impossible.as_ref()?;
    let reason = format!("{} ({})", known.because, known.evidence);
    Some(NotRun { stack: one.name().clone(), reason, kind: NotRunKind::Impossible })
}

type OneProof = (Proof, BTreeMap<String, Vec<String>>, u64);

/// The stack that was proven is still up.
fn prove_one<'a>(
    bench: &Bench<'_>,
    one: &'a Prepared,
    (access, url): (&Access, &str),
    cases: &Cases,
    truth: &Truth,
    go_on: &mut dyn FnMut(Operation) -> bool,
) -> Result<(OneProof, Running<'a>), LabError> {
    let running = Running::start_for_proof(bench, one, access)?;
    running.wait_ready(bench.order.stop)?;
    bench.go_on()?;
    let subject = Subject {
        stack: one.name(),
        address: running.address,
        not_offered: &one.stack.app.app.not_offered,
        openapi: one.stack.app.app.openapi.as_deref(),
    };
    let mut proof = prove(subject, cases, truth, url, go_on);
    bench.go_on()?;
    proof.about.extend(one.worker_words().map(|words| ("worker".to_owned(), words)));
    if let Some(what) = running.ended() {
        let log_tail = running.log_tail();
        for row in &mut proof.rows {
            if row.outcome == CheckOutcome::Fail {
                row.detail = format!("{} ({what}; its log ends: {log_tail})", row.detail);
            }
        }
    }
    // After the cases: only now is everything imported that ever will be.
    let offered = !one.stack.app.app.not_offered.contains_key(&Operation::About);
    if let Some(name) = one.interpreter.as_ref().filter(|_| offered && running.ended().is_none()) {
        match runs_on(name, running.address) {
            Err(Mismatch::GilOn) => {
                let log = running.log();
                let module = module_with_gil(&log).unwrap_or("a module that the log doesn't name");
                return Err(LabError::CannotRun(format!("the GIL came back on: {module}")));
            }
            Err(Mismatch::Another(words)) => {
                for row in proof.rows.iter_mut().filter(|row| row.operation == Operation::About) {
                    row.outcome = CheckOutcome::Fail;
                    row.detail = words.clone();
                }
            }
            Ok(()) => {}
        }
    }
    let memory_bytes = running.usage().memory_bytes;
    let commands = running.commands.iter().map(|(role, argv)| ((*role).to_owned(), argv.clone())).collect();
    Ok(((proof, commands, memory_bytes), running))
}
