//! Proving: every stack against the contract's cases, one at a time, before any timing.

use std::collections::BTreeMap;

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
    database::Database,
    error::LabError,
    outage::outage,
    prepare::{Prepared, prepare_all},
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
pub(crate) struct Proven {
    pub report: CheckReport,
    /// Those that answer rightly.
    pub stacks: Vec<PreparedStack>,
    /// Memory of each, in bytes, as it stood idle after its cases.
    pub memory_bytes: BTreeMap<StackName, u64>,
    proofs: Vec<(StackName, Proof)>,
}

/// Prepares and proves the plan's stacks; of those that `recovery` names, also takes the database away and gives it back.
///
/// # Errors
/// The database, the cases or the disk; a stack's own failure is a row.
pub fn check(bench: &Bench<'_>, recovery: &dyn Fn(&StackName) -> bool) -> Result<CheckReport, LabError> {
    let (prepared, mut not_run) = prepare_all(bench)?;
    // One at a time is up, and the one before may still be on its way out.
    let mut database = Database::start(bench, 2)?;
    let (cases, truth) = read_truth(bench, &database)?;
    let (mut report, mut proofs) = (CheckReport::default(), Vec::new());
    for (index, one) in prepared.iter().enumerate() {
        if bench.stopped() {
            break;
        }
        let place = (index, prepared.len());
        let alone = match prove_some(bench, std::slice::from_ref(one), place, &database, &cases, &truth) {
            Err(LabError::Stopped) => break,
            other => other?,
        };
        bench.tell(Event::Note(in_a_line(one.name(), &alone.report)));
        report.rows.extend(alone.report.rows);
        report.differences.extend(alone.report.differences);
        report.possible.extend(alone.report.possible);
        not_run.extend(alone.report.not_run);
        proofs.extend(alone.proofs);
        if recovery(one.name()) && !alone.stacks.is_empty() {
            let told = match outage(bench, one, &mut database, &truth) {
                Err(LabError::Stopped) => break,
                other => other?,
            };
            bench.tell(Event::Note(format!("{}: without its database: {}", one.name(), told.outcome.word())));
            report.recovery.push(told);
        }
    }
    tell_differences(bench, &proofs);
    report.not_run = not_run;
    report.stopped = bench.stopped();
    Ok(report)
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
    let proven = prove_some(bench, prepared, (0, prepared.len()), database, cases, truth)?;
    tell_differences(bench, &proven.proofs);
    Ok(proven)
}

/// `place` is the number of the first stack, and of all there are.
fn prove_some(
    bench: &Bench<'_>,
    prepared: &[Prepared],
    place: (usize, usize),
    database: &Database,
    cases: &Cases,
    truth: &Truth,
) -> Result<Proven, LabError> {
    let mut proven = Proven {
        report: CheckReport::default(),
        stacks: Vec::new(),
        memory_bytes: BTreeMap::new(),
        proofs: Vec::new(),
    };
    let total = (place.1 * Operation::ALL.len()) as u64;
    for (index, one) in prepared.iter().enumerate() {
        bench.go_on()?;
        let index = place.0 + index;
        bench.step(Step::Prove, one.name().to_string());
        let mut done = (index * Operation::ALL.len()) as u64;
        let mut progress = |operation| {
            done += 1;
            let stack = Some(one.name().clone());
            bench.tell(Event::Progress { done, total, left_s: None, stack, operation: Some(operation) });
        };
        match prove_one(bench, one, database, cases, truth, &mut progress) {
            Ok((proof, _, _)) if one.impossible.is_some() => {
                if proof.rows.iter().any(|row| row.outcome == CheckOutcome::Fail) {
                    proven.report.not_run.extend(as_known(one));
                } else {
                    proven.report.possible.push(one.name().clone());
                }
            }
            Ok((proof, commands, memory_bytes)) => {
                if proof.rows.iter().all(|row| row.outcome != CheckOutcome::Fail) {
                    proven.memory_bytes.insert(one.name().clone(), memory_bytes);
                    proven.stacks.push(PreparedStack {
                        stack: one.name().clone(),
                        keep_alive: one.stack.front.is_some() || one.stack.server.server.keep_alive,
                        commands,
                        lock_sha256: one.lock_sha256.clone(),
                        about: proof.about.clone(),
                    });
                }
                proven.report.rows.extend(proof.rows.iter().cloned());
                proven.report.differences.extend(proof.differences.iter().cloned());
                proven.proofs.push((one.name().clone(), proof));
            }
            Err(LabError::Supervise(_) | LabError::CannotRun(_)) if one.impossible.is_some() => {
                proven.report.not_run.extend(as_known(one));
            }
            Err(error @ LabError::Supervise(_)) => {
                let (stack, reason) = (one.name().clone(), error.to_string());
                proven.report.not_run.push(NotRun { stack, reason, kind: NotRunKind::Failed });
            }
            Err(LabError::CannotRun(reason)) => {
                let stack = one.name().clone();
                proven.report.not_run.push(NotRun { stack, reason, kind: NotRunKind::Impossible });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(proven)
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

fn prove_one(
    bench: &Bench<'_>,
    one: &Prepared,
    database: &Database,
    cases: &Cases,
    truth: &Truth,
    progress: &mut dyn FnMut(Operation),
) -> Result<OneProof, LabError> {
    let running = Running::start(bench, one, database, None, 0, true)?;
    running.wait_ready(bench.order.stop)?;
    bench.go_on()?;
    let subject = Subject {
        stack: one.name(),
        address: running.address,
        not_offered: &one.stack.app.app.not_offered,
        openapi: one.stack.app.app.openapi.as_deref(),
    };
    let mut proof = prove(subject, cases, truth, &database.url, progress);
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
    running.stop();
    Ok((proof, commands, memory_bytes))
}
