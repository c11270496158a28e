//! What each command does: a request to the lab, or a view of what is recorded.

mod calibrate;
mod capacity;
mod compare;
mod field;
mod gate;
mod history;
mod live;
pub mod load;
mod scale;
mod session;
mod truth;
mod up;
mod verdict;
mod view;

use std::{collections::BTreeSet, ffi::OsString, path::Path, process::ExitCode, sync::Arc};

use dyno_lab::{Bench, Order};
use dyno_live::RunBoard;
use dyno_model::{
    StackName, StackPattern, check::CheckOutcome, event::Event, output::CheckOutput, plan::Plan,
    record::NotRunKind,
};
use dyno_plan::{Catalogue, find_plan, read_interpreters, read_plan};
use dyno_provision::{Context, Home, HomeLock, doctor};
use dyno_record::RunFolder;

use crate::{
    arguments::{CheckOptions, Common, Format, ReportOptions, RunOptions, Stacks},
    exit::{self, Error},
    output::print,
    places::project,
    progress::Display,
    stop::STOP,
};

pub use calibrate::calibrate;
pub use capacity::capacity;
pub use compare::compare;
pub use field::{freeze, list, lock};
pub use gate::{GateError, gate};
pub use history::{HistoryError, history};
pub use live::live;
pub use scale::scale;
pub use truth::{SERVER as TRUTH_SERVER, truth};
pub use up::{down, logs, order, ps, up};
pub use verdict::verdict;

/// The hidden command that is a keeper.
pub const KEEPER: &str = "__keeper";

/// What every command that works with stacks needs.
struct Workshop<'a> {
    common: &'a Common,
    catalogue: Catalogue,
    home: Home,
    display: Display,
    /// Who else is told of what happens.
    board: Option<Arc<RunBoard>>,
}

impl<'a> Workshop<'a> {
    fn open(common: &'a Common) -> Result<Self, Error> {
        let catalogue = Catalogue::read(&project().join("stacks"))?;
        let home = Home::open(Home::locate())?.knowing(read_interpreters(&catalogue.folder)?);
        Ok(Self { common, catalogue, home, display: Display::new(common.quiet), board: None })
    }

    /// The default plan's stacks and settings, without its canary, which only a run has.
    fn default_plan(&self) -> Result<Plan, Error> {
        let mut plan = read_plan(&project().join("plans/default.toml"), &self.catalogue)?;
        let canary = plan.design.canary.take();
        plan.stacks.retain(|stack| Some(stack) != canary.as_ref());
        Ok(plan)
    }

    /// The stacks that patterns mean, each once.
    fn expand(&self, patterns: &[StackPattern]) -> Result<Vec<StackName>, Error> {
        let mut seen = BTreeSet::new();
        let mut names = Vec::new();
        for pattern in patterns {
            names
                .extend(self.catalogue.expand(pattern)?.into_iter().filter(|name| seen.insert(name.clone())));
        }
        Ok(names)
    }

    /// The default plan with these stacks instead of its own, if any are named.
    fn plan_for(&self, options: &Stacks) -> Result<Plan, Error> {
        let mut plan = self.default_plan()?;
        plan.pooler = options.pooler.or(plan.pooler);
        if !options.stacks.is_empty() {
            plan.stacks = self.expand(&options.stacks)?;
            plan.baseline = plan.stacks[0].clone();
        }
        Ok(plan)
    }

    /// Runs `work` with a bench, the cache locked against another dyno.
    fn with_bench<T>(
        &self,
        plan: &Plan,
        logs: &Path,
        try_impossible: bool,
        work: impl FnOnce(&Bench<'_>) -> Result<T, dyno_lab::LabError>,
    ) -> Result<T, Error> {
        self.with_locked_bench(&self.home.lock()?, plan, logs, try_impossible, work)
    }

    /// As [`Workshop::with_bench`], for one who has the lock already.
    fn with_locked_bench<T>(
        &self,
        _lock: &HomeLock,
        plan: &Plan,
        logs: &Path,
        try_impossible: bool,
        work: impl FnOnce(&Bench<'_>) -> Result<T, dyno_lab::LabError>,
    ) -> Result<T, Error> {
        let contract = project().join("contract");
        let listener = |event: Event| {
            self.display.show(&event);
            if let Some(board) = &self.board {
                board.take(&event);
            }
        };
        let keeper = vec![std::env::current_exe()?.into_os_string(), OsString::from(KEEPER)];
        let bench = Bench::new(
            Order {
                catalogue: &self.catalogue,
                plan,
                home: &self.home,
                setup: self.common.setup,
                try_impossible,
                database: self.common.database.as_deref(),
                broker: self.common.broker.as_ref(),
                keeper,
                contract: &contract,
                listener: &listener,
                stop: &STOP,
                command: command_to_repeat(),
            },
            logs,
        )?;
        let result = work(&bench);
        self.display.finish();
        Ok(result?)
    }
}

/// The command as typed, with any password of an address left out.
fn command_to_repeat() -> Vec<String> {
    let words = std::env::args().skip(1).map(|word| match word.contains("://") {
        true => dyno_provision::database::without_password(&word),
        false => word,
    });
    std::iter::once("dyno".to_owned()).chain(words).collect()
}

/// `dyno run`.
pub fn run(common: &Common, options: &RunOptions) -> Result<ExitCode, Error> {
    let mut workshop = Workshop::open(common)?;
    let (folder, plan, resumed) = match &options.resume {
        Some(name) => {
            let folder = RunFolder::open(&common.runs, name)?;
            capacity::refuse_search(&folder)?;
            let plan = folder.read_run()?.plan;
            (folder, plan, true)
        }
        None => {
            let plan = plan_of(&workshop, options)?;
            (session::new_folder(common, &plan.name)?, plan, false)
        }
    };
    let page = options.live.map(|port| live::Page::open(&folder, port, options.page.no_auth)).transpose()?;
    if let Some(page) = &page {
        workshop.board = Some(page.board());
        workshop.display.show(&Event::Note(page.words()));
    }
    let finished = session::measure(&workshop, &plan, &folder, resumed)?;
    let failed = view::show(common, &folder, &finished.run, &finished.blocks)?;
    if let Some(page) = page {
        workshop.display.show(&Event::Note(page.close()));
    }
    if finished.stopped {
        eprintln!("stopped; go on with: dyno run --resume {}", folder.path().display());
        return Ok(ExitCode::from(exit::STOPPED));
    }
    Ok(if failed { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
}

fn plan_of(workshop: &Workshop<'_>, options: &RunOptions) -> Result<Plan, Error> {
    let path = find_plan(&project().join("plans"), &options.plan)?;
    let mut plan = read_plan(&path, &workshop.catalogue)?;
    let design = &mut plan.design;
    design.seed = options.seed.or(design.seed);
    design.budget = options.budget.unwrap_or(design.budget);
    if let Some(blocks) = options.blocks {
        design.most_blocks = design.most_blocks.max(blocks);
        design.blocks = blocks;
    }
    Ok(plan)
}

/// `dyno report`.
pub fn report(common: &Common, options: &ReportOptions) -> Result<ExitCode, Error> {
    if let [first, second] = &options.runs_shown[..] {
        return view::across(common, first, second);
    }
    let folder = RunFolder::open(&common.runs, &options.runs_shown[0])?;
    if folder.is_capacity() {
        capacity::show(common, &folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    view::show(common, &folder, &folder.read_run()?, &folder.read_blocks()?)?;
    Ok(ExitCode::SUCCESS)
}

/// `dyno check`.
pub fn check(common: &Common, options: &CheckOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let plan = match options.all {
        false => workshop.plan_for(&options.stacks)?,
        true => {
            let mut plan = workshop.default_plan()?;
            plan.pooler = options.stacks.pooler.or(plan.pooler);
            let context =
                Context { home: &workshop.home, setup: common.setup, echo: &|_| {}, stop: &|| false };
            let field = dyno_lab::field(context, &workshop.catalogue, &plan);
            plan.stacks = field.into_iter().map(|stack| stack.name).collect();
            if !options.stacks.stacks.is_empty() {
                plan.stacks = Catalogue::among(plan.stacks, &options.stacks.stacks)?;
            }
            plan
        }
    };
    let logs = workshop.home.path().join("logs");
    let plain: BTreeSet<StackName> =
        workshop.catalogue.stacks().into_iter().map(|stack| stack.name).collect();
    let recovery = |stack: &StackName| options.recovery || options.all && plain.contains(stack);
    let report = workshop.with_bench(&plan, &logs, options.all, |bench| dyno_lab::check(bench, &recovery))?;
    if common.format == Format::Json {
        let mut output = CheckOutput {
            rows: report.rows.clone(),
            differences: report.differences,
            recovery: report.recovery,
        };
        // A stack that can't be tried fails every operation, with its reason.
        for row in &report.not_run {
            output.rows.extend(dyno_model::Operation::ALL.map(|operation| dyno_model::check::CheckRow {
                stack: row.stack.clone(),
                operation,
                outcome: CheckOutcome::Fail,
                detail: row.reason.clone(),
            }));
        }
        print(&format!("{}\n", serde_json::to_string_pretty(&output)?))?;
    } else {
        print(&dyno_report::check_table(&report.rows, &report.not_run, options.all))?;
        for stack in &report.possible {
            print(&format!(
                "{:<30} can run now: take the entry in cannot_run out of its manifest\n",
                stack.to_string()
            ))?;
        }
        print(&dyno_report::differences_table(&report.differences))?;
        print(&dyno_report::recovery_table(&report.recovery))?;
    }
    if report.stopped {
        eprintln!("stopped; what was tried by then is above");
        return Ok(ExitCode::from(exit::STOPPED));
    }
    // Over the whole field, what can't be is no failure; of stacks that somebody named, it is.
    let failed = report.not_run.iter().any(|row| !options.all || row.kind == NotRunKind::Failed)
        || report.rows.iter().any(|row| row.outcome == CheckOutcome::Fail)
        || !report.possible.is_empty();
    Ok(if failed { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
}

/// `dyno man`: the manual pages, from the same source as `--help`.
pub fn man(folder: &Path) -> Result<ExitCode, Error> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(<crate::arguments::Arguments as clap::CommandFactory>::command(), folder)?;
    Ok(ExitCode::SUCCESS)
}

/// `dyno doctor`.
pub fn doctor(common: &Common) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let context = Context { home: &workshop.home, setup: false, echo: &|_| {}, stop: &|| false };
    for row in doctor::examine(context) {
        let state = match row.state {
            doctor::State::Ok => "ok",
            doctor::State::Missing => "missing",
            doctor::State::Limited => "limited",
        };
        print(&format!("{:<11} {state:<8} {}\n", row.part, row.found))?;
        if !row.remedy.is_empty() {
            print(&format!("{:<20} {}\n", "", row.remedy))?;
        }
    }
    let missing = stacks_that_can_run(&workshop, context)?;
    print(&format!("\n{missing}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// How many of the default plan's stacks can run, and why the others can't.
fn stacks_that_can_run(workshop: &Workshop<'_>, context: Context<'_>) -> Result<String, Error> {
    let plan = workshop.default_plan()?;
    let mut text = String::new();
    for name in &plan.stacks {
        let words = match dyno_lab::can_run(context, workshop.catalogue.resolve(name)?, &plan) {
            Ok(note) if note.is_empty() => "can run".to_owned(),
            Ok(note) => format!("can run; {note}"),
            Err(reason) => format!("cannot run: {reason}"),
        };
        text += &format!("{:<30} {words}\n", name.to_string());
    }
    Ok(text.trim_end().to_owned())
}
