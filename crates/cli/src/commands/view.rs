//! The view of a run: record -> analyse -> report.

use std::{path::Path, process::ExitCode};

use dyno_analyse::{Analysis, across::Across, analyse};
use dyno_model::{
    output::{AcrossOutput, OUTPUT_VERSION, RunOutput},
    record::{Block, Run},
};
use dyno_record::RunFolder;

use crate::{
    arguments::{Common, Format},
    exit::{self, Error},
    output::{print, screen},
};

/// Analyses, and writes `results.json` and the report.
/// Analyses, and writes `results.json` and the report.
pub fn keep(folder: &RunFolder, run: &Run, blocks: &[Block]) -> Result<(Analysis, RunOutput), Error> {
    let analysis = analyse(run, blocks);
    let output = output(folder, run, &analysis);
    folder.write_results(&output)?;
    folder.write_report(&dyno_report::html(run, &analysis))?;
    Ok((analysis, output))
}

/// Analyses, writes `results.json` and the report, prints the table or the JSON object. Returns whether a stack of the plan
/// isn't, or isn't wholly, in the results.
pub fn show(common: &Common, folder: &RunFolder, run: &Run, blocks: &[Block]) -> Result<bool, Error> {
    let (analysis, output) = keep(folder, run, blocks)?;
    match common.format {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&output)?))?,
        Format::Md => print(&dyno_report::markdown(run, &analysis))?,
        Format::Csv => print(&dyno_report::results_csv(&analysis))?,
        Format::Svg => print(&dyno_report::svg(run, &analysis))?,
        Format::Text => {
            print(&dyno_report::table(run, &analysis, screen()))?;
            print(&format!("report: {}\n", output.report))?;
        }
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

/// Two runs side by side; the page goes into the second one's folder.
pub fn across(common: &Common, first: &Path, second: &Path) -> Result<ExitCode, Error> {
    let read = |name: &Path| -> Result<(RunFolder, Run, Analysis), Error> {
        let folder = RunFolder::open(&common.runs, name)?;
        super::capacity::refuse_search(&folder)?;
        let run = folder.read_run()?;
        let analysis = analyse(&run, &folder.read_blocks()?);
        Ok((folder, run, analysis))
    };
    let (a, b) = (read(first)?, read(second)?);
    let both = dyno_analyse::across::across((&a.1, &a.2), (&b.1, &b.2));
    match common.format {
        Format::Json => {
            print(&format!("{}\n", serde_json::to_string_pretty(&output_of_two(&a.1, &b.1, &both))?))?
        }
        Format::Md => print(&dyno_report::markdown_across(&a.1, &b.1, &both))?,
        Format::Csv => print(&dyno_report::csv_across(&both))?,
        Format::Svg => {
            eprintln!(
                "dyno: --format svg is for one run; of two, the page has the pictures: leave --format out"
            );
            return Ok(ExitCode::from(exit::USAGE));
        }
        Format::Text => {
            let page = b.0.write_comparison(&a.0, &dyno_report::html_across(&a.1, &b.1, &both))?;
            print(&dyno_report::table_across(&a.1, &b.1, &both))?;
            print(&format!("report: {}\n", page.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What machines read of two runs.
fn output_of_two(a: &Run, b: &Run, both: &Across) -> AcrossOutput {
    AcrossOutput {
        version: OUTPUT_VERSION,
        runs: (a.run.clone(), b.run.clone()),
        compare: both.compare(),
        differences: both.differences.clone(),
        pairs: both.pairs.clone(),
        only: both.only.clone(),
    }
}
