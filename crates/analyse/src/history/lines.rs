//! Runs -> lines: which ratios belong together, which of them count, where a line may have changed, and what decides that.

use std::collections::{BTreeMap, BTreeSet};

use dyno_model::{
    Operation, StackName, Variant,
    fingerprint::REVISION,
    history::{ChangePoint, HistoryLine, HistoryPoint, ProposedChange},
    output::{Comparison, Difference, Metric, Verdict},
    plan::Capacity,
    record::{NotRunKind, Run},
};

use super::{change_points, comparable};
use crate::{Ratios, verdicts};

/// One run of a history: its head, and the points that it has of what was asked for.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its folder under the folder of runs.
    pub name: String,
    /// Its head.
    pub run: Run,
    /// Its points, those that are left out too.
    pub points: Vec<Point>,
}

impl Kept {
    /// Whether it has anything that counts.
    pub fn counts(&self) -> bool {
        self.points.iter().any(|one| one.point.counts())
    }
}

/// A run's ratio of a stack to the run's anchor.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// The metric.
    pub metric: Metric,
    /// The ratio.
    pub point: HistoryPoint,
}

/// What is asked for.
pub struct Wanted<'a> {
    /// Which stacks.
    pub stack: &'a dyn Fn(&StackName) -> bool,
    /// Which operations.
    pub operation: &'a dyn Fn(Operation) -> bool,
    /// Which metrics, in order.
    pub metrics: &'a [Metric],
}

/// Runs on both sides of something that forbids to compare them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomparable {
    /// A line that needs runs of several groups.
    pub line: String,
    /// Runs that compare with each other, oldest first; the group with the newest run first.
    pub groups: Vec<Group>,
}

/// Runs that compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their names, oldest first.
    pub runs: Vec<String>,
    /// In what they differ from the first group; empty for the first group itself.
    pub differs: Vec<String>,
}

/// The points of one run, called `name`, one for each wanted stack, operation and metric that its plan has. Stacks that the
/// machine couldn't run have none; those that failed have, left out.
pub fn points(name: &str, run: &Run, ratios: &Ratios, wanted: &Wanted<'_>) -> Vec<Point> {
    let (plan, canary) = (&run.plan, run.plan.design.canary.as_ref());
    let could = |stack: &StackName| {
        let mut lost = run.not_run.iter();
        !lost.any(|row| row.stack == *stack && row.kind != NotRunKind::Failed)
    };
    let others = plan.stacks.iter().filter(|stack| **stack != plan.baseline && Some(*stack) != canary);
    let mut all = Vec::new();
    for stack in others.filter(|stack| (wanted.stack)(stack) && could(stack)) {
        for operation in plan.operations.iter().copied().filter(|&one| (wanted.operation)(one)) {
            for &metric in wanted.metrics {
                let point = point(name, run, ratios, stack, operation, metric);
                all.push(Point { stack: stack.clone(), operation, metric, point });
            }
        }
    }
    all
}

fn point(
    name: &str,
    run: &Run,
    ratios: &Ratios,
    stack: &StackName,
    operation: Operation,
    metric: Metric,
) -> HistoryPoint {
    let mut all = ratios.comparisons.iter();
    let found = all.find(|one| one.a == *stack && one.operation == operation && one.metric == metric);
    HistoryPoint {
        run: name.to_owned(),
        started: run.started.clone(),
        ratio: found.map(|one| one.ratio).filter(|ratio| ratio.is_finite() && *ratio > 0.0),
        low: found.and_then(|one| one.low),
        high: found.and_then(|one| one.high),
        blocks: found.map_or(0, |one| blocks(run, ratios, one)),
        trust: ratios.trust.grade,
        left_out: left_out(run, ratios, stack, found),
    }
}

/// Blocks that a ratio rests on: with looks, those that the last look had.
fn blocks(run: &Run, ratios: &Ratios, one: &Comparison) -> u32 {
    let series = |stack: &StackName| {
        let mut all = ratios.series.iter();
        all.find(|s| s.stack == *stack && s.operation == one.operation && s.metric == one.metric)
    };
    let d = series(&one.a).zip(series(&one.b)).map(|(a, b)| verdicts::log_ratios(a, b)).unwrap_or_default();
    let counted = if one.low.is_some() { verdicts::seen(run, &d) } else { d.len() };
    u32::try_from(counted).unwrap_or(u32::MAX)
}

/// Why a run's ratio isn't to be believed; empty where it is.
fn left_out(run: &Run, ratios: &Ratios, stack: &StackName, found: Option<&Comparison>) -> String {
    let lost = |name: &StackName| ratios.not_run.iter().find(|row| row.stack == *name);
    let reason = match (lost(stack).or_else(|| lost(&run.plan.baseline)), found) {
        (Some(row), _) => format!("{}: {}", row.stack, row.reason),
        (None, Some(one)) if one.verdict == Verdict::NoVerdict => one.reason.clone(),
        (None, Some(_)) => String::new(),
        (None, None) => {
            ratios.trust.reasons.first().cloned().unwrap_or_else(|| "it wasn't measured".to_owned())
        }
    };
    // The tail of a log is the report's.
    reason.lines().next().unwrap_or_default().trim_end_matches("; its log ends:").to_owned()
}

/// Sorts runs, oldest first, into those that compare. Runs without anything that counts are in none.
pub fn groups(kept: &[Kept]) -> Vec<Group> {
    let mut groups: Vec<(&Run, Group)> = Vec::new();
    for one in kept.iter().rev().filter(|one| one.counts()) {
        let found = groups.iter_mut().find(|(run, _)| comparable::differences(run, &one.run).is_empty());
        match found {
            Some((_, group)) => group.runs.insert(0, one.name.clone()),
            None => {
                let differs = groups.first().map(|(newest, _)| comparable::differences(newest, &one.run));
                let group = Group { runs: vec![one.name.clone()], differs: differs.unwrap_or_default() };
                groups.push((&one.run, group));
            }
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The lines of runs, oldest first. `usual` is what `dyno compare` gives each stack.
///
/// # Errors
/// A line needs runs that don't compare.
pub fn lines(kept: &[Kept], usual: Option<&Capacity>) -> Result<Vec<HistoryLine>, Incomparable> {
    type Key = (Operation, Metric, StackName, String, StackName);
    let mut lines: BTreeMap<Key, Vec<(&Kept, &Point)>> = BTreeMap::new();
    for one in kept {
        let conditions = comparable::conditions(&one.run.plan);
        for point in &one.points {
            let anchor = one.run.plan.baseline.clone();
            let key = (point.operation, point.metric, anchor, conditions.clone(), point.stack.clone());
            lines.entry(key).or_default().push((one, point));
        }
    }
    let groups = groups(kept);
    let group_of = |name: &str| groups.iter().position(|group| group.runs.iter().any(|run| run == name));
    let mut all = Vec::new();
    for ((operation, metric, anchor, conditions, stack), points) in lines {
        let counted: Vec<(&Kept, &Point)> =
            points.iter().copied().filter(|(_, point)| point.point.counts()).collect();
        let needed: BTreeSet<Option<usize>> = counted.iter().map(|(kept, _)| group_of(&kept.name)).collect();
        if needed.len() > 1 {
            let line = format!("{stack} over {anchor}, {operation} {}", metric.name());
            let of_line = |(at, group): (usize, &Group)| needed.contains(&Some(at)).then(|| group.clone());
            let groups = groups.iter().enumerate().filter_map(of_line).collect();
            return Err(Incomparable { line, groups });
        }
        let points = points.into_iter().map(|(_, point)| point.point.clone()).collect();
        let mut line =
            HistoryLine { stack, anchor, operation, metric, conditions, points, changes: Vec::new() };
        line.changes = changes(&line, &counted, usual);
        all.push(line);
    }
    Ok(all)
}

fn changes(line: &HistoryLine, counted: &[(&Kept, &Point)], usual: Option<&Capacity>) -> Vec<ProposedChange> {
    let logs: Vec<f64> = line.counted().filter_map(|point| point.ratio).map(f64::ln).collect();
    let proposed = |change: ChangePoint| {
        let (before, after) = (counted.get(change.index.checked_sub(1)?)?.0, counted.get(change.index)?.0);
        let differs = comparable::changed(&before.run, &after.run, &line.stack, &line.anchor);
        let (decide, how) = decide(line, &change, (&before.run, &after.run), &differs, usual);
        Some(ProposedChange {
            last_before: before.name.clone(),
            first_after: after.name.clone(),
            date: after.run.started.clone(),
            change,
            differs,
            decide,
            how,
        })
    };
    change_points(&logs).into_iter().filter_map(proposed).collect()
}

/// The duet that decides a change, and what is to be said of it. Two revisions of `stacks/` are what `dyno gate` duets; where
/// these are the same, only the ratio itself can be measured again.
fn decide(
    line: &HistoryLine,
    change: &ChangePoint,
    (before, after): (&Run, &Run),
    differs: &[Difference],
    usual: Option<&Capacity>,
) -> (Vec<String>, String) {
    let revision = |run: &Run| run.fingerprint.software.get(REVISION).cloned();
    let commit = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let clean = |text: &str| !text.contains(' ');
    let name = |stack: &StackName| stack_with(stack, &before.plan.capacity, usual);
    let options = options(line, before);
    let (old, new) = (revision(before), revision(after));
    if let Some(old) = &old
        && Some(old) == new.as_ref()
        && clean(old)
    {
        let command = format!("dyno compare {} {} {options}", name(&line.stack), name(&line.anchor));
        let how = format!(
            "stacks/ was the same on both sides ({}), so that no two revisions can be duetted: this measures the ratio anew, which \
             was {:.3} before and {:.3} after",
            commit(old),
            change.before,
            change.after
        );
        return (vec![command], how);
    }
    let base = match &old {
        Some(old) => commit(old),
        None => format!("\"$(git rev-list -1 --before={} HEAD -- stacks)\"", before.started),
    };
    let metric = if line.metric == Metric::Throughput { "throughput" } else { "cpu" };
    let gate =
        |stack: &StackName| format!("dyno gate {} --base {base} {options} --metric {metric}", name(stack));
    let mut decide = vec![gate(&line.stack)];
    let mut how = match &new {
        Some(new) => format!("in a work tree at {}, or at the newest revision to see whether it still is so", commit(new)),
        None => "in a work tree as it was after the change, or at the newest revision to see whether it still is so".to_owned(),
    };
    if old.is_none() {
        how += "; the run before doesn't tell its revision, the last one before its begin stands in";
    }
    if [&old, &new].into_iter().flatten().any(|text| !clean(text)) {
        how += "; there were changes that weren't committed, which no revision has";
    }
    if differs.iter().any(|one| one.fact.ends_with(&format!(" of {}", line.anchor))) {
        decide.push(gate(&line.anchor));
        how += "; the anchor differs too, so its own gate is the second line";
    }
    (decide, how)
}

/// Operation and connections: the run's own.
fn options(line: &HistoryLine, run: &Run) -> String {
    format!("--operation {} --connections {}", line.operation, run.plan.throughput.connections)
}

/// A stack with the capacity that a run gave it, where a duet would give it another.
fn stack_with(stack: &StackName, capacity: &Capacity, usual: Option<&Capacity>) -> StackName {
    let same = usual.is_none_or(|usual| {
        (usual.workers, usual.threads, usual.connections)
            == (capacity.workers, capacity.threads, capacity.connections)
    });
    if same {
        return stack.clone();
    }
    let variant = Variant {
        workers: stack.variant.workers.or(Some(capacity.workers)),
        threads: stack.variant.threads.or(Some(capacity.threads)),
        connections: stack.variant.connections.or(Some(capacity.connections)),
        ..stack.variant.clone()
    };
    StackName { variant, ..stack.clone() }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
