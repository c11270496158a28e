//! `dyno gate`: is a stack slower than in another git revision? A slice duet of the work tree against the base, looked at until
//! every operation is decided.

mod revision;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use dyno_analyse::{Analysis, analyse, gate as judge};
use dyno_model::{
    Operation, StackName,
    gate::{GateDecision, GateOutput},
    output::{Metric, OUTPUT_VERSION},
    plan::Plan,
    record::{Block, Run},
};
use dyno_plan::{Catalogue, ResolvedStack};

use super::{Workshop, command_to_repeat, compare::Duet, session, view};
use crate::{
    arguments::{Common, Format, gate::GateOptions},
    exit::{self, Error},
    output::print,
    places::project,
};
use revision::{Repository, Scratch};

/// What can be wrong with the revisions that a gate is asked to compare.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// git can't be started.
    #[error("dyno gate needs git, and it can't be started: {source}")]
    NoGit {
        /// What the system says.
        source: std::io::Error,
    },
    /// The project isn't under git's care.
    #[error("{folder} is in no git repository that can be used, so that it has no base revision: {words}", folder = folder.display())]
    NoRepository {
        /// The project's folder.
        folder: PathBuf,
        /// What git says.
        words: String,
    },
    /// git knows no such reference.
    #[error(
        "git knows no revision `{name}` here; did you mean {near}? A shallow clone has few: in GitHub Actions check out with \
         `fetch-depth: 0`"
    )]
    UnknownReference {
        /// As it was named.
        name: String,
        /// Names like it.
        near: String,
    },
    /// The revision has no `stacks/`.
    #[error("the revision `{name}` has no stacks/ that can be read: {words}")]
    NoStacks {
        /// As it was named.
        name: String,
        /// What git says.
        words: String,
    },
}

/// `dyno gate`.
pub fn gate(common: &Common, options: &GateOptions) -> Result<ExitCode, Error> {
    let mut workshop = Workshop::open(common)?;
    let tree = workshop.catalogue.resolve(&options.stack)?;
    dyno_plan::timed(&options.operations)?;
    let repository = Repository::around(&project())?;
    let base = repository.commit(&options.base)?;
    let mut output = GateOutput {
        version: OUTPUT_VERSION,
        decision: GateDecision::NoVerdict,
        exit_code: GateDecision::NoVerdict.exit_code(),
        reason: String::new(),
        stack: options.stack.clone(),
        tree: repository.commit("HEAD")?,
        base: base.clone(),
        uncommitted: Vec::new(),
        changed: Vec::new(),
        delta: options.delta,
        rows: Vec::new(),
        blocks: 0,
        trust: Vec::new(),
        notes: Vec::new(),
        machine: Default::default(),
        command: command_to_repeat(),
        folder: None,
        report: None,
    };
    let scratch = Scratch(dyno_lab::own_folder(&workshop.home).join("base"));
    fs::create_dir_all(&scratch.0)?;
    let stacks = repository.write_stacks(&workshop, &base, &scratch.0)?;
    let before = Catalogue::read(&stacks)?;
    let old = match before.resolve(&options.stack) {
        Ok(old) => old,
        Err(error) => {
            decide(
                &mut output,
                GateDecision::NoVerdict,
                format!("nothing to compare with: in the base {error}"),
            );
            return tell(common, options, &output);
        }
    };
    differences(&mut output, &repository, (&workshop.catalogue.folder, &tree), (&stacks, &old))?;
    if output.changed.is_empty() && !options.always {
        let words = "nothing changed that this stack is made of, so that nothing was measured";
        decide(&mut output, GateDecision::Unchanged, words.to_owned());
        return tell(common, options, &output);
    }
    workshop.catalogue = workshop.catalogue.with_base(before);
    let stopped = measure(&workshop, options, &mut output)?;
    if stopped {
        eprintln!("stopped; what was measured is in {}", output.folder.as_deref().unwrap_or_default());
        return Ok(ExitCode::from(exit::STOPPED));
    }
    tell(common, options, &output)
}

fn decide(output: &mut GateOutput, decision: GateDecision, reason: String) {
    output.decision = decision;
    output.exit_code = decision.exit_code();
    output.reason = reason;
}

/// What differs between the two sides, byte for byte, each a folder `stacks/` with the stack in it.
fn differences(
    output: &mut GateOutput,
    repository: &Repository,
    (tree, new): (&Path, &ResolvedStack),
    (base, old): (&Path, &ResolvedStack),
) -> Result<(), Error> {
    let below = |folders: Vec<PathBuf>, top: &Path| -> Vec<PathBuf> {
        folders.iter().filter_map(|one| one.strip_prefix(top).ok().map(Path::to_owned)).collect()
    };
    let (now, then) = (below(new.sources()?, tree), below(old.sources()?, base));
    let mut files = repository.files(tree, &now)?;
    output.uncommitted = repository.uncommitted(tree, &files)?;
    then.iter().try_for_each(|folder| all_files(&base.join(folder), base, &mut files))?;
    let differs = |path: &&PathBuf| fs::read(tree.join(path)).ok() != fs::read(base.join(path)).ok();
    output.changed = files.iter().filter(differs).map(|path| format!("stacks/{}", path.display())).collect();
    Ok(())
}

/// The files below a folder, relative to `top`.
fn all_files(folder: &Path, top: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), std::io::Error> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all_files(&path, top, found)?;
        } else if let Ok(path) = path.strip_prefix(top) {
            found.insert(path.to_owned());
        }
    }
    Ok(())
}

/// Measures until every operation is decided or the budget spent. Returns whether the user stopped it.
fn measure(workshop: &Workshop<'_>, options: &GateOptions, output: &mut GateOutput) -> Result<bool, Error> {
    let plan = plan(workshop, options)?;
    let mut metrics: Vec<Metric> = options.metrics.iter().map(|one| one.metric()).collect();
    metrics.dedup();
    let folder = session::new_folder(workshop.common, &plan.name)?;
    let plan = session::rehearse(workshop, &plan, &folder, options.timing.rehearsed())?;
    let pace = |run: &Run, blocks: &[Block]| {
        let analysis = analyse(run, blocks);
        let open = judge::is_open(&judge::rows(run, &analysis, &metrics, options.delta));
        dyno_lab::Next::from(if open { analysis.to_next_look() } else { 0 })
    };
    let finished = session::measure_while(workshop, &plan, &folder, false, &pace)?;
    let (analysis, kept) = view::keep(&folder, &finished.run, &finished.blocks)?;
    output.rows = judge::rows(&finished.run, &analysis, &metrics, options.delta);
    output.blocks = analysis.blocks;
    output.machine.clone_from(&finished.run.fingerprint.machine);
    (output.folder, output.report) = (Some(kept.folder), Some(kept.report));
    output.notes = notes(&finished.run, &options.stack);
    let (decision, reason) = conclude(&analysis, output, options.delta);
    let reasons = analysis.trust.reasons.iter().filter(|one| !reason.contains(*one));
    output.trust = reasons.cloned().collect();
    decide(output, decision, reason);
    Ok(finished.stopped)
}

fn plan(workshop: &Workshop<'_>, options: &GateOptions) -> Result<Plan, Error> {
    let mut seen = BTreeSet::new();
    let operations: Vec<Operation> =
        options.operations.iter().copied().filter(|&operation| seen.insert(operation)).collect();
    let plan = Duet {
        name: "gate".to_owned(),
        stacks: vec![options.stack.clone(), options.stack.base()],
        operations,
        capacity: workshop.default_plan()?.capacity,
        connections: options.connections,
        idle: 0,
        rates: BTreeMap::new(),
        budget: options.budget,
        seed: options.seed,
        canary: !options.no_canary,
    }
    .plan();
    Ok(options.timing.of(plan))
}

/// The decision over all rows, in words.
fn conclude(analysis: &Analysis, output: &GateOutput, delta: f64) -> (GateDecision, String) {
    let percent = delta * 100.0;
    if let Some(lost) = analysis.not_run.iter().find(|one| one.stack.app == output.stack.app) {
        return (GateDecision::NoVerdict, format!("{}: {}", lost.stack, lost.reason));
    }
    let decision = judge::together(&output.rows);
    let of = |wanted| {
        let rows = output.rows.iter().filter(move |row| row.decision == wanted);
        let words = rows.map(|row| format!("{} {}: {}", row.operation, row.metric.name(), row.reason));
        words.collect::<Vec<_>>().join("; ")
    };
    let reason = match decision {
        GateDecision::Slower => format!("slower by more than {percent} %: {}", of(GateDecision::Slower)),
        GateDecision::NoVerdict => match output.rows.as_slice() {
            // What speaks against the whole run is said once.
            [first, others @ ..] if others.iter().all(|row| row.reason == first.reason) => {
                first.reason.clone()
            }
            _ => of(GateDecision::NoVerdict),
        },
        _ => format!("any slowdown is below {percent} %"),
    };
    (decision, reason)
}

/// What differs between the two sides as they ran.
fn notes(run: &Run, stack: &StackName) -> Vec<String> {
    let about = |name: &StackName| run.prepared.iter().find(|one| one.stack == *name).map(|one| &one.about);
    let Some((tree, base)) = about(stack).zip(about(&stack.base())) else { return Vec::new() };
    // Every process has a number of its own.
    let changed =
        tree.iter().filter(|(key, _)| *key != "pid").filter(|(key, value)| base.get(*key) != Some(*value));
    let was = |key: &String| base.get(key).map_or("nothing", String::as_str);
    changed.map(|(key, value)| format!("{key}: {value}, in the base {}", was(key))).collect()
}

/// Prints the answer and writes the summary.
fn tell(common: &Common, options: &GateOptions, output: &GateOutput) -> Result<ExitCode, Error> {
    let markdown = dyno_report::gate_markdown(output);
    match common.format {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(output)?))?,
        Format::Md => print(&markdown)?,
        _ => print(&dyno_report::gate_text(output))?,
    }
    match (&options.summary, std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty())) {
        (Some(path), _) => fs::write(path, markdown)?,
        (None, Some(path)) => {
            OpenOptions::new().create(true).append(true).open(path)?.write_all(markdown.as_bytes())?;
        }
        (None, None) => {}
    }
    Ok(ExitCode::from(output.exit_code))
}
