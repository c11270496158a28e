//! Logs of a load, written interval by interval: who is killed loses one interval at most.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use dyno_analyse::load::Setting;
use dyno_load::Interval;
use dyno_report::{LOAD_CSV_HEAD, LoadCsvLine, load_csv_line};
use hdrhistogram::serialization::{V2DeflateSerializer, interval_log::IntervalLogWriterBuilder};

use super::error::LoadCommandError;

/// Histograms hold nanoseconds; the largest value of each line is written in milliseconds, as HdrHistogram's tools expect.
const NS_IN_MS: f64 = 1_000_000.0;

fn failed(path: &Path) -> impl Fn(io::Error) -> LoadCommandError {
    move |source| LoadCommandError::File { path: path.to_owned(), source }
}

/// A line for each interval.
pub struct Csv {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Csv {
    /// # Errors
    /// The file can't be written.
    pub fn create(path: &Path) -> Result<Self, LoadCommandError> {
        let file = File::create(path).map_err(failed(path))?;
        let mut csv = Self { file: BufWriter::new(file), path: path.to_owned() };
        csv.line(LOAD_CSV_HEAD)?;
        Ok(csv)
    }

    /// # Errors
    /// The file can't be written, for instance on a full disk.
    pub fn write(&mut self, interval: &Interval) -> Result<(), LoadCommandError> {
        self.line(&load_csv_line(&LoadCsvLine {
            times_s: (interval.at.as_secs_f64(), interval.length.as_secs_f64()),
            counts: interval.counts,
            in_flight: interval.in_flight,
            latency: &interval.latency,
            late: &interval.late,
            bytes: interval.bytes,
            statuses: &interval.statuses,
        }))
    }

    fn line(&mut self, line: &str) -> Result<(), LoadCommandError> {
        writeln!(self.file, "{line}").and_then(|()| self.file.flush()).map_err(failed(&self.path))
    }
}

/// Writes an interval.
type WriteInterval<'a> = dyn FnMut(&Interval) -> Result<(), LoadCommandError> + 'a;

/// Works with an HdrHistogram interval log (version 1.3) of latencies, if `path` names one. Intervals that aren't measured
/// are not in it.
///
/// # Errors
/// The file can't be written.
pub fn with_hlog<T>(
    path: Option<&Path>,
    setting: &Setting,
    work: impl FnOnce(&mut WriteInterval<'_>) -> T,
) -> Result<T, LoadCommandError> {
    let Some(path) = path else { return Ok(work(&mut |_| Ok(()))) };
    let mut file = File::create(path).map_err(failed(path))?;
    writeln!(file, "#[Histogram log format version 1.3]").map_err(failed(path))?;
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    let one_line = |text: &str| text.replace(['\n', '\r'], " ");
    let now = SystemTime::now();
    builder
        .add_comment(&format!("dyno load {}; {}", one_line(&setting.url), one_line(&setting.load)))
        .add_comment("latencies in nanoseconds; the largest value of each line in milliseconds")
        .with_start_time(now)
        .with_base_time(now)
        .with_max_value_divisor(NS_IN_MS);
    let mut log = builder.begin_log_with(&mut file, &mut serializer).map_err(failed(path))?;
    let mut write = |interval: &Interval| -> Result<(), LoadCommandError> {
        if !interval.measured {
            return Ok(());
        }
        log.write_histogram(interval.latency.inner(), interval.at, interval.length, None)
            .map_err(|error| failed(path)(io::Error::other(format!("{error:?}"))))
    };
    Ok(work(&mut write))
}
