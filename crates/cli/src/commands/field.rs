//! The whole field: what there is, what it is made of, what is really installed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    process::ExitCode,
    sync::atomic::Ordering,
};

use dyno_model::{
    StackName, StackPattern,
    output::{ListOutput, ListRow},
};
use dyno_plan::list_plans;
use dyno_provision::{Context, LockOrder, ProvisionError};

use super::Workshop;
use crate::{
    arguments::{Common, Format, FreezeOptions, ListOptions, LockOptions},
    exit::{self, Error},
    output::print,
    places::project,
    stop::STOP,
};

/// `dyno list`.
pub fn list(common: &Common, options: &ListOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let plan = workshop.default_plan()?;
    let context = Context { home: &workshop.home, setup: false, echo: &|_| {}, stop: &|| false };
    let mut rows: ListOutput = Vec::new();
    let mut titles = Vec::new();
    let stacks = if options.all {
        dyno_lab::field(context, &workshop.catalogue, &plan)
    } else {
        workshop.catalogue.stacks()
    };
    for stack in stacks {
        let (name, title) =
            (stack.name.clone(), format!("{} on {}", stack.app.app.title, stack.server.server.title));
        let (runnable, reason) = match dyno_lab::can_run(context, stack, &plan) {
            Ok(note) => (true, note),
            Err(reason) => (false, format!("cannot run: {reason}")),
        };
        rows.push(ListRow { stack: name, runnable, reason });
        titles.push(title);
    }
    if common.format == Format::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    print("Stacks\n")?;
    for (row, title) in rows.iter().zip(titles) {
        let note = if row.reason.is_empty() { title } else { format!("{title}; {}", row.reason) };
        print(&format!("  {:<34} {note}\n", row.stack.to_string()))?;
    }
    print(&format!("\nOperations\n  {}\n", dyno_model::Operation::names().join(", ")))?;
    print("\nPlans\n")?;
    for plan in list_plans(&project().join("plans"), &workshop.catalogue) {
        print(&format!("  {:<30} {}\n", plan.name, plan.title))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `dyno lock`.
pub fn lock(common: &Common, options: &LockOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let _lock = workshop.home.lock()?;
    let echo =
        |argv: &[String]| workshop.display.show(&dyno_model::event::Event::Command { argv: argv.to_vec() });
    let stopped = || STOP.load(Ordering::Relaxed);
    let context = Context { home: &workshop.home, setup: common.setup, echo: &echo, stop: &stopped };
    let interpreters = match options.interpreters.as_slice() {
        [] => workshop.catalogue.interpreters(),
        named => named.to_vec(),
    };
    let order = LockOrder {
        stacks: &workshop.catalogue.folder,
        alone: &workshop.catalogue.alone(),
        names: &options.names,
        interpreters: &interpreters,
        lenient: options.interpreters.is_empty(),
        upgrade: options.upgrade,
    };
    let (locked, left_out) = dyno_provision::lock(context, &order)?;
    workshop.display.finish();
    for why in &left_out {
        eprintln!("left out: {why}");
    }
    for one in &locked {
        let words = one.impossible.as_ref().map_or("locked".to_owned(), |why| format!("cannot run: {why}"));
        print(&format!("{:<34} {:<9} {words}\n", one.folder.display().to_string(), one.interpreter))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Versions of each distribution, and the stacks that have them.
type Frozen = BTreeMap<(String, String), BTreeSet<String>>;

/// `dyno freeze`.
pub fn freeze(common: &Common, options: &FreezeOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let _lock = workshop.home.lock()?;
    let plan = workshop.default_plan()?;
    let echo =
        |argv: &[String]| workshop.display.show(&dyno_model::event::Event::Command { argv: argv.to_vec() });
    let stopped = || STOP.load(Ordering::Relaxed);
    let context = Context { home: &workshop.home, setup: common.setup, echo: &echo, stop: &stopped };
    let stacks = match options.stacks.as_slice() {
        [] => dyno_lab::field(context, &workshop.catalogue, &plan),
        named => {
            let names = workshop.expand(named)?;
            names.iter().map(|name| workshop.catalogue.resolve(name)).collect::<Result<_, _>>()?
        }
    };
    let by_name = !options.stacks.is_empty() && !options.stacks.iter().any(StackPattern::is_pattern);
    let mut frozen: BTreeMap<String, Frozen> = BTreeMap::new();
    for stack in stacks {
        // A front brings no distributions.
        let name = StackName { front: None, ..stack.name.clone() }.to_string();
        match dyno_lab::packages(context, stack, &plan) {
            Ok(Some(installed)) => {
                let of = frozen.entry(installed.interpreter).or_default();
                for package in installed.packages {
                    of.entry(package).or_default().insert(name.clone());
                }
            }
            Ok(None) => {}
            Err(ProvisionError::CannotRun(_)) => {}
            // Of the whole field a machine may lack some; what somebody named must be there.
            Err(ProvisionError::Missing { .. }) if !by_name => {}
            Err(error) => return Err(error.into()),
        }
    }
    workshop.display.finish();
    let folder = workshop.catalogue.folder.join("freeze");
    fs::create_dir_all(&folder)?;
    let mut differ = false;
    for (interpreter, frozen) in &frozen {
        let path = folder.join(format!("freeze-{interpreter}.txt"));
        if options.check {
            for line in
                changes(&fs::read_to_string(&path).unwrap_or_default(), frozen, options.stacks.is_empty())
            {
                print(&format!("{}: {line}\n", relative(&path)))?;
                differ = true;
            }
        } else {
            fs::write(&path, frozen_text(interpreter, frozen))?;
            print(&format!("{}: {} distributions\n", relative(&path), frozen.len()))?;
        }
    }
    Ok(if differ { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
}

fn relative(path: &Path) -> String {
    let root = fs::canonicalize(project()).unwrap_or_default();
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    path.strip_prefix(root).unwrap_or(&path).display().to_string()
}

/// The file's text. Which stacks have a version is told only where there is more than one.
fn frozen_text(interpreter: &str, frozen: &Frozen) -> String {
    let mut text = format!("# What is installed for Python {interpreter}; made by `dyno freeze`.\n");
    for ((name, version), stacks) in frozen {
        let alone = frozen.keys().filter(|(other, _)| other == name).count() == 1;
        let which =
            if alone { String::new() } else { format!("  # {}", Vec::from_iter(stacks.clone()).join(" ")) };
        let _ = writeln!(text, "{name}=={version}{which}");
    }
    text
}

/// What the file doesn't say, and, where the whole field was looked at, what it says too much.
fn changes(text: &str, frozen: &Frozen, whole: bool) -> Vec<String> {
    let written: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split("  #").next().unwrap_or(line).trim())
        .collect();
    let found: BTreeSet<String> = frozen.keys().map(|(name, version)| format!("{name}=={version}")).collect();
    let mut lines: Vec<String> = found
        .iter()
        .filter(|line| !written.contains(line.as_str()))
        .map(|line| format!("{line} is installed and not written down"))
        .collect();
    if whole {
        lines.extend(
            written
                .iter()
                .filter(|line| !found.contains(**line))
                .map(|line| format!("{line} is written down and not installed")),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_what_is_installed_shows() {
        let stacks = BTreeSet::from(["a/b".to_owned()]);
        let package = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let frozen = Frozen::from([
            (package("flask", "3.1"), stacks.clone()),
            (package("click", "8.0"), stacks.clone()),
        ]);
        let text = frozen_text("3.13", &frozen);
        assert_eq!(changes(&text, &frozen, true), Vec::<String>::new());
        let newer = Frozen::from([(package("flask", "3.2"), stacks)]);
        assert_eq!(changes(&text, &newer, false), ["flask==3.2 is installed and not written down"]);
        assert_eq!(changes(&text, &newer, true).len(), 3);
    }
}
