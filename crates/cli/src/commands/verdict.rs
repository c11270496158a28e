//! `dyno verdict`: the sessions that decide claims, one after the other, each looked at until its claims are decided or its
//! budget is spent; then every claim with its interval and its error rate.

mod decide;
mod sessions;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use dyno_analyse::analyse;
use dyno_model::{
    Slo, Slos,
    claim::{Claim, ClaimDecision, SessionRecord, VerdictRecord},
};
use dyno_plan::read_claims;
use dyno_record::{RunFolder, write_atomically};

use super::{Workshop, capacity, command_to_repeat, compare::Duet, session, view};
use crate::{
    arguments::{Common, Format, Timing, VerdictOptions},
    exit::{self, Error},
    output::print,
    stop::STOP,
};

/// Version of `verdict.json`.
const FORMAT: u32 = 1;
/// Its name.
const FILE: &str = "verdict.json";

/// `dyno verdict`.
pub fn verdict(common: &Common, options: &VerdictOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let (folder, mut record) = match &options.resume {
        Some(name) => opened(&common.runs, name)?,
        None => {
            let record = begun(&workshop, options)?;
            if options.dry_run {
                print(&sessions::words(&record.sessions))?;
                return Ok(ExitCode::SUCCESS);
            }
            let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ");
            (common.runs.join(format!("{time}-verdict")), record)
        }
    };
    fs::create_dir_all(&folder)?;
    for index in 0..record.sessions.len() {
        if record.sessions[index].done {
            continue;
        }
        measure(&workshop, options.timing, &folder, &mut record, index)?;
        if STOP.load(std::sync::atomic::Ordering::Relaxed) {
            eprintln!("stopped; go on with: dyno verdict --resume {}", folder.display());
            return Ok(ExitCode::from(exit::STOPPED));
        }
        record.sessions[index].done = true;
        record.results = decide::all(&folder, &record)?;
        write(&folder, &record)?;
    }
    record.results = decide::all(&folder, &record)?;
    write(&folder, &record)?;
    show(common, &folder, &record)?;
    let undecided = |decision| matches!(decision, ClaimDecision::NoVerdict);
    let failed = record.results.iter().any(|result| undecided(result.decision));
    Ok(if failed { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
}

/// A verdict that was stopped.
fn opened(runs: &Path, name: &Path) -> Result<(PathBuf, VerdictRecord), Error> {
    let folder = if name.join(FILE).is_file() { name.to_owned() } else { runs.join(name) };
    let path = folder.join(FILE);
    let text =
        fs::read(&path).map_err(|error| format!("{}: {error}: no verdict is there", path.display()))?;
    let record: VerdictRecord =
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if record.format > FORMAT {
        let words = format!("{}: format {} was written by a newer dyno", path.display(), record.format);
        return Err(words.into());
    }
    Ok((folder, record))
}

/// The record of a verdict that hasn't measured anything yet.
fn begun(workshop: &Workshop<'_>, options: &VerdictOptions) -> Result<VerdictRecord, Error> {
    let files = files(&options.files)?;
    let read = files.iter().map(|path| read_claims(path, &workshop.catalogue));
    let claims: Vec<Vec<Claim>> = read.map(|file| Ok(file?.claims)).collect::<Result<_, Error>>()?;
    Ok(VerdictRecord {
        format: FORMAT,
        sessions: sessions::of(&claims),
        files,
        claims,
        budget: options.budget,
        seed: options.seed.unwrap_or_else(rand::random),
        results: Vec::new(),
        command: command_to_repeat(),
    })
}

/// The files that are named, and those of folders that are named.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        let mut inside: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
        inside.retain(|path| path.extension().is_some_and(|extension| extension == "claims"));
        inside.sort();
        files.extend(inside);
    }
    if files.is_empty() {
        let named = named.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(format!("{named}: no file there ends in .claims; hypotheses/seeds.claims is one").into());
    }
    Ok(files)
}

/// Measures one session, or goes on with it. What keeps it from being measured is its claims' reason.
fn measure(
    workshop: &Workshop<'_>,
    timing: Timing,
    folder: &Path,
    record: &mut VerdictRecord,
    index: usize,
) -> Result<(), Error> {
    let one = record.sessions[index].clone();
    eprintln!("session {} of {}: {}", index + 1, record.sessions.len(), one.claims.join("; "));
    let (run, resumed) = match &one.run {
        Some(name) => {
            (RunFolder::open(folder, Path::new(name)).or_else(|_| RunFolder::create(folder, name))?, true)
        }
        None => (RunFolder::create(folder, &format!("session-{:02}", index + 1))?, false),
    };
    if let Some(slo) = one.slo {
        record.sessions[index].run = Some(run.name());
        write(folder, record)?;
        return search(workshop, record, &one, (index, slo), &run);
    }
    let resumed = resumed && run.read_run().is_ok();
    record.sessions[index].run = Some(run.name());
    write(folder, record)?;
    let plan = match resumed {
        true => Ok(run.read_run()?.plan),
        false => {
            let plan = timing.of(plan_of(workshop, record, &one, index)?);
            session::rehearse(workshop, &plan, &run, timing.rehearsed())
        }
    };
    let claims = sessions::claims_of(record, index);
    let pace = |head: &_, blocks: &[_]| {
        let analysis = analyse(head, blocks);
        dyno_lab::Next::from(if decide::open(&claims, head, &analysis) { analysis.to_next_look() } else { 0 })
    };
    match plan.and_then(|plan| session::measure_while(workshop, &plan, &run, resumed, &pace)) {
        Ok(finished) => view::keep(&run, &finished.run, &finished.blocks).map(drop),
        Err(error) if STOP.load(std::sync::atomic::Ordering::Relaxed) => {
            drop(error);
            Ok(())
        }
        Err(error) => {
            record.sessions[index].failure = Some(error.to_string());
            Ok(())
        }
    }
}

/// Searches the capacities of one session, or goes on with that. What keeps them from being searched is their claims' reason.
fn search(
    workshop: &Workshop<'_>,
    record: &mut VerdictRecord,
    one: &SessionRecord,
    (index, slo): (usize, Slo),
    run: &RunFolder,
) -> Result<(), Error> {
    let (plan, earlier) = if run.is_capacity() {
        (run.read_run()?.plan, Some(run.read_capacity()?))
    } else {
        let mut plan = plan_of(workshop, record, one, index)?;
        capacity::as_search(&mut plan);
        (plan, None)
    };
    let wanted = capacity::Wanted { slos: Slos(vec![slo]), curve: false, trial: None };
    match capacity::measure(workshop, run, &plan, earlier, &wanted) {
        Err(_) if STOP.load(std::sync::atomic::Ordering::Relaxed) => Ok(()),
        Err(error) => {
            record.sessions[index].failure = Some(error.to_string());
            Ok(())
        }
        Ok(()) => capacity::keep(run).map(drop),
    }
}

fn plan_of(
    workshop: &Workshop<'_>,
    record: &VerdictRecord,
    one: &SessionRecord,
    index: usize,
) -> Result<dyno_model::plan::Plan, Error> {
    dyno_plan::timed(&one.operations)?;
    let default = workshop.default_plan()?;
    Ok(Duet {
        name: format!("session-{:02}", index + 1),
        stacks: one.stacks.clone(),
        operations: one.operations.clone(),
        capacity: default.capacity,
        connections: None,
        idle: 0,
        rates: one.rates.clone(),
        budget: record.budget,
        seed: Some(record.seed.wrapping_add(index as u64)),
        canary: one.slo.is_none(),
    }
    .plan())
}

fn write(folder: &Path, record: &VerdictRecord) -> Result<(), Error> {
    Ok(write_atomically(&folder.join(FILE), &serde_json::to_vec_pretty(record)?)?)
}

fn show(common: &Common, folder: &Path, record: &VerdictRecord) -> Result<(), Error> {
    let page = folder.join("verdict.html");
    write_atomically(&page, dyno_report::verdict_html(record).as_bytes())?;
    if common.format == Format::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(&record.results)?))?;
    } else {
        print(&dyno_report::verdict_table(record))?;
        print(&format!("report: {}\n", page.display()))?;
    }
    Ok(())
}
