//! Options of `dyno history` as written.

use clap::Args;
use dyno_model::{Operation, StackPattern};

use super::gate::GateMetric;

/// Shown under the options.
pub const CODES: &str = "\
Every run under --runs is read: of `dyno run`, `dyno compare`, and the sessions of `dyno verdict`. Twins and slowed copies are
shown where they are named. docs/history.md tells which runs make a line.

Exit codes:
  0  done, changes proposed or not
  2  the runs don't compare (--like takes those that do), nothing is like that, or wrong usage
  6  the folder of runs can't be read";

/// Options of `dyno history`.
#[derive(Args, Debug)]
pub struct HistoryOptions {
    /// Stacks, written `app/server[/front][@interpreter]`, `*` for any letters: every run of them is listed. Without any, all
    #[arg(value_name = "STACK")]
    pub stacks: Vec<StackPattern>,
    /// Operations; without any, all
    #[arg(long = "operation", value_name = "NAME")]
    pub operations: Vec<Operation>,
    /// What is shown over time
    #[arg(long = "metric", value_enum, default_values = ["throughput", "cpu"])]
    pub metrics: Vec<GateMetric>,
    /// Only runs from then on: a date, for instance 2026-11-01, or a time, 2026-11-01T12:00:00Z
    #[arg(long, value_name = "DATE", value_parser = time)]
    pub since: Option<jiff::Timestamp>,
    /// Only runs that compare with this one: a name or folder, or `latest`
    #[arg(long, value_name = "RUN")]
    pub like: Option<String>,
}

/// A date in UTC, or a time with its zone.
fn time(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let date: Result<jiff::civil::Date, _> = text.parse();
    let time = date.ok().and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let words = || format!("`{text}` is no date, for instance `2026-11-01` or `2026-11-01T12:00:00Z`");
    time.map(|time| time.timestamp()).ok_or_else(words)
}
