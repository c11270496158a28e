//! `dyno history`: the ratios of kept runs over time, where they may have changed, and what decides that. Reads; measures nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::ExitCode,
};

use dyno_analyse::{
    history::{
        comparable,
        lines::{Incomparable, Kept, Wanted, lines, points},
    },
    ratios,
};
use dyno_model::{
    StackName, StackPattern,
    history::{HistoryOutput, SkippedRun},
    output::{Metric, OUTPUT_VERSION},
    plan::Capacity,
    record::{Block, BlockState, Run},
};
use dyno_plan::{Catalogue, read_plan};
use dyno_record::{RunFolder, find_runs};
use jiff::Timestamp;

use crate::{
    arguments::{Common, Format, HistoryOptions},
    exit::{self, Error},
    output::print,
    places::project,
};

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// No run is kept.
    #[error("{folder}: no runs are there; `dyno run` makes one, --runs FOLDER looks elsewhere", folder = folder.display())]
    NoRuns {
        /// Where runs are kept.
        folder: PathBuf,
    },
    /// No run has what was asked for.
    #[error("no run has {wanted} as a ratio to another baseline. What runs there have: {known}{skipped}")]
    NothingOfIt {
        /// What was asked for.
        wanted: String,
        /// What could have been.
        known: String,
        /// What couldn't be read, in words.
        skipped: String,
    },
    /// Runs that don't compare.
    #[error("{}", incomparable(.0))]
    DontCompare(Incomparable),
}

/// Runs, oldest first, and folders that are none.
#[derive(Default)]
struct Found {
    kept: Vec<Kept>,
    skipped: Vec<SkippedRun>,
    unrelated: u32,
    /// Stacks that runs have, with the baseline that they are compared with.
    known: BTreeSet<(StackName, StackName)>,
}

/// `dyno history`.
pub fn history(common: &Common, options: &HistoryOptions) -> Result<ExitCode, Error> {
    if common.format == Format::Svg {
        eprintln!("dyno: --format svg is for one run; a history has text, json, md and csv");
        return Ok(ExitCode::from(exit::USAGE));
    }
    let mut found = read(common, options)?;
    if let Some(name) = &options.like {
        keep_like(common, name, &mut found)?;
    }
    if found.kept.is_empty() {
        return Err(nothing(options, &found).into());
    }
    let lines = lines(&found.kept, usual().as_ref()).map_err(HistoryError::DontCompare)?;
    let output =
        HistoryOutput { version: OUTPUT_VERSION, lines, skipped: found.skipped, unrelated: found.unrelated };
    match common.format {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&output)?))?,
        Format::Md => print(&dyno_report::history_markdown(&output))?,
        Format::Csv => print(&dyno_report::history_csv(&output))?,
        Format::Text | Format::Svg => {
            print(&dyno_report::history_text(&output, !options.stacks.is_empty()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What `dyno compare` and `dyno gate` give each stack, where the default plan can be read.
fn usual() -> Option<Capacity> {
    let catalogue = Catalogue::read(&project().join("stacks")).ok()?;
    read_plan(&project().join("plans/default.toml"), &catalogue).ok().map(|plan| plan.capacity)
}

/// Reads every run, oldest first.
fn read(common: &Common, options: &HistoryOptions) -> Result<Found, Error> {
    let folders = find_runs(&common.runs)?;
    if folders.runs.is_empty() && folders.headless.is_empty() {
        return Err(HistoryError::NoRuns { folder: common.runs.clone() }.into());
    }
    let name_of = |path: &Path| path.strip_prefix(&common.runs).unwrap_or(path).display().to_string();
    let mut found = Found::default();
    let mut kept: Vec<(Timestamp, Kept)> = Vec::new();
    let mut seen: BTreeMap<(String, u64), String> = BTreeMap::new();
    for folder in &folders.runs {
        let name = name_of(folder.path());
        match read_one(&name, folder, options, &mut found, &mut seen) {
            Ok(Some(one)) => kept.push(one),
            Ok(None) => {}
            Err(reason) => found.skipped.push(SkippedRun { run: name, reason }),
        }
    }
    for path in &folders.headless {
        let reason = "no run.json: it was stopped before its first block, or hasn't come so far".to_owned();
        found.skipped.push(SkippedRun { run: name_of(path), reason });
    }
    kept.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    found.kept = kept.into_iter().map(|(_, one)| one).collect();
    Ok(found)
}

/// One run, `None` where it has nothing of what was asked for; or why it is skipped.
fn read_one(
    name: &str,
    folder: &RunFolder,
    options: &HistoryOptions,
    found: &mut Found,
    seen: &mut BTreeMap<(String, u64), String>,
) -> Result<Option<(Timestamp, Kept)>, String> {
    let run = folder.read_run().map_err(|error| error.to_string())?;
    let began: Timestamp =
        run.started.parse().map_err(|_| format!("run.json: its begin `{}` is no time", run.started))?;
    if options.since.is_some_and(|since| began < since) {
        return Ok(None);
    }
    if run.plan.baseline.variant.base {
        return Err("a gate's baseline is another revision each time, and so it is no anchor".to_owned());
    }
    let stack = |stack: &StackName| is_wanted(stack, &options.stacks);
    let operation = |operation| options.operations.is_empty() || options.operations.contains(&operation);
    let canary = run.plan.design.canary.as_ref();
    let others =
        run.plan.stacks.iter().filter(|stack| **stack != run.plan.baseline && Some(*stack) != canary);
    found.known.extend(others.clone().map(|stack| (stack.clone(), run.plan.baseline.clone())));
    if !others.clone().any(stack) || !run.plan.operations.iter().copied().any(operation) {
        found.unrelated += 1;
        return Ok(None);
    }
    // A copied folder would count as a run that was made again.
    if let Some(first) = seen.insert((run.started.clone(), run.seed), name.to_owned()) {
        return Err(format!("a copy of {first}"));
    }
    let blocks = folder.read_blocks().map_err(|error| error.to_string())?;
    if let Some(reason) = interrupted(&run, &blocks) {
        return Err(reason);
    }
    let mut metrics: Vec<Metric> = Vec::new();
    for metric in options.metrics.iter().map(|one| one.metric()) {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    let wanted = Wanted { stack: &stack, operation: &operation, metrics: &metrics };
    let points = points(name, &run, &ratios(&run, &blocks), &wanted);
    Ok(Some((began, Kept { name: name.to_owned(), run, points })))
}

/// Whether a run has fewer blocks than its plan asks for: it was stopped, or isn't over.
fn interrupted(run: &Run, blocks: &[Block]) -> Option<String> {
    let complete = blocks.iter().filter(|block| block.state == BlockState::Complete).count();
    let wanted = run.plan.design.blocks as usize;
    (complete < wanted).then(|| format!("interrupted, or not over yet: {complete} of {wanted} blocks"))
}

/// Whether a stack is asked for. A name means itself, without any variant; a history of twins and slowed copies is one of
/// null controls, and shown where these are named.
fn is_wanted(stack: &StackName, patterns: &[StackPattern]) -> bool {
    if patterns.is_empty() {
        let variant = &stack.variant;
        return !variant.twin && !variant.base && variant.burn.is_none();
    }
    let means = |pattern: &&StackPattern| {
        pattern.words().variant == stack.variant
            && Catalogue::among(vec![stack.clone()], std::slice::from_ref(*pattern)).is_ok()
    };
    patterns.iter().any(|pattern| means(&pattern))
}

/// Leaves those runs that compare with one.
fn keep_like(common: &Common, name: &str, found: &mut Found) -> Result<(), Error> {
    let newest =
        || found.kept.iter().rev().find(|one| one.counts()).map(|one| (one.name.clone(), one.run.clone()));
    let (name, like) = match name {
        "latest" => match newest() {
            Some(newest) => newest,
            None => return Ok(()),
        },
        _ => (name.to_owned(), RunFolder::open(&common.runs, Path::new(name))?.read_run()?),
    };
    for one in std::mem::take(&mut found.kept) {
        let differs = comparable::differences(&like, &one.run);
        if differs.is_empty() {
            found.kept.push(one);
        } else {
            let reason = format!("doesn't compare with {name}: {}", differs.join("; "));
            found.skipped.push(SkippedRun { run: one.name, reason });
        }
    }
    Ok(())
}

fn nothing(options: &HistoryOptions, found: &Found) -> HistoryError {
    let list =
        |words: Vec<String>, none: &str| if words.is_empty() { none.to_owned() } else { words.join(" or ") };
    let stacks = options.stacks.iter().map(ToString::to_string).collect();
    let operations: Vec<String> = options.operations.iter().map(ToString::to_string).collect();
    let mut wanted = list(stacks, "anything");
    if !operations.is_empty() {
        wanted += &format!(" in {}", operations.join(" or "));
    }
    if let Some(since) = options.since {
        wanted += &format!(" since {since}");
    }
    let known: Vec<String> =
        found.known.iter().take(12).map(|(stack, baseline)| format!("{stack} over {baseline}")).collect();
    let skipped = match found.skipped.as_slice() {
        [] => String::new(),
        some => {
            let words = some.iter().take(5).map(|one| format!("\n  {}: {}", one.run, one.reason));
            format!("\nSkipped {}:{}", some.len(), words.collect::<String>())
        }
    };
    let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
    HistoryError::NothingOfIt { wanted, known, skipped }
}

/// The groups, with what keeps each from the first, and how to take one.
fn incomparable(error: &Incomparable) -> String {
    let mut text = format!("these runs don't compare, so that they make no history of {}:", error.line);
    for group in &error.groups {
        let newest = group.runs.last().map_or("", String::as_str);
        let runs = if group.runs.len() == 1 { "run" } else { "runs" };
        text += &format!("\n  {} {runs}, the newest {newest}", group.runs.len());
        if !group.differs.is_empty() {
            text += &format!("; differ from the first in {}", group.differs.join("; "));
        }
    }
    let last = error.groups.last().and_then(|group| group.runs.last()).map_or("", String::as_str);
    text + &format!(
        "\nTake one kind with --like, for instance `dyno history --like latest` or `dyno history --like {last}`"
    )
}
