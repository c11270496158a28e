//! The view of a run: record -> analyse -> report.

use std::io::IsTerminal;

use dyno_analyse::{Analysis, analyse};
use dyno_model::{
    output::{OUTPUT_VERSION, RunOutput},
    record::{Block, Run},
};
use dyno_record::RunFolder;

use crate::{
    arguments::{Common, Format},
    exit::Error,
};

/// Analyses, and writes `results.json` and the report.
pub fn write(folder: &RunFolder, run: &Run, blocks: &[Block]) -> Result<(), Error> {
    let analysis = analyse(run, blocks);
    folder.write_results(&output(folder, run, &analysis))?;
    Ok(folder.write_report(&dyno_report::html(run, &analysis))?)
}

/// Analyses, writes `results.json` and the report, prints the table or the JSON object. Returns whether a stack of the plan
/// isn't, or isn't wholly, in the results.
pub fn show(common: &Common, folder: &RunFolder, run: &Run, blocks: &[Block]) -> Result<bool, Error> {
    let analysis = analyse(run, blocks);
    let output = output(folder, run, &analysis);
    folder.write_results(&output)?;
    folder.write_report(&dyno_report::html(run, &analysis))?;
    if common.format == Format::Json {
        println!("{}", serde_json::to_string_pretty(&output)?);
    } else {
        let terminal = std::io::stdout().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none();
        print!("{}", dyno_report::table(run, &analysis, color));
        println!("report: {}", output.report);
    }
    Ok(!output.not_run.is_empty())
}

fn output(folder: &RunFolder, run: &Run, analysis: &Analysis) -> RunOutput {
    RunOutput {
        version: OUTPUT_VERSION,
        run: run.run.clone(),
        folder: folder.path().display().to_string(),
        report: folder.report().display().to_string(),
        blocks: analysis.blocks,
        results: analysis.results.clone(),
        comparisons: analysis.comparisons.clone(),
        not_run: analysis.not_run.clone(),
        warnings: analysis.warnings.clone(),
        checks: analysis.checks.clone(),
    }
}
