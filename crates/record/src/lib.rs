//! The run folder, the waist of the house: left of it everything writes, right of it everything only reads.
//!
//! ```text
//! runs/2026-11-24T12-00-00Z-default/
//!   run.json           dyno_model::record::Run: plan, seed, fingerprint, proofs
//!   blocks/0000.json   dyno_model::record::Block, written when the block ends, at once or not at all
//!   rehearsal.json     dyno_model::rehearsal::Rehearsal: what was looked at before the first block, if anything was
//!   capacity.json      dyno_model::capacity::CapacityRecord, of a capacity search alone
//!   results.json       dyno_model::output::RunOutput
//!   report.html        the page
//!   logs/              what the children said
//! ```

mod atomic;
mod calibration;
mod find;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use dyno_model::{
    capacity::CapacityRecord,
    output::RunOutput,
    record::{Block, FORMAT, Run},
    rehearsal::Rehearsal,
};
use serde::{Serialize, de::DeserializeOwned};

pub use atomic::write_atomically;
pub use calibration::CalibrationFolder;
pub use find::{FoundRuns, find_runs};

/// Most bytes of one record: a block of hundreds of stacks has some MiB.
const MOST_BYTES: u64 = 256 << 20;

/// A run folder that can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The system refuses; a full disk is among these.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that isn't what its name says.
    #[error("{path}: not a dyno record: {source}", path = path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A folder that a newer dyno wrote.
    #[error("{path}: format {found} was written by a newer dyno; this one reads up to format {known}", path = path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this dyno reads.
        known: u32,
    },
    /// A file that no dyno wrote: it would take the machine's memory.
    #[error("{path}: not a dyno record: it isn't a file of at most {} MiB", MOST_BYTES >> 20, path = path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// No calibration of this name.
    #[error("{path}: no calibration is there (no calibration.json); give a folder that `dyno calibrate` made", path = path.display())]
    NoCalibration {
        /// What was asked for.
        path: PathBuf,
    },
    /// No run of this name.
    #[error("{path}: no run is there (no run.json); give a folder under runs/", path = path.display())]
    NoRun {
        /// What was asked for.
        path: PathBuf,
    },
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunState {
    /// Whether its head is written.
    pub begun: bool,
    /// Blocks that are written, those that were interrupted too.
    pub blocks: usize,
    /// Whether its results are written, and no block after them.
    pub ended: bool,
}

/// Reads only the format of a file, whatever else is in it.
#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

impl RunFolder {
    /// Makes the folder of a new run, with a number behind its name when the name is taken.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn create(runs: &Path, name: &str) -> Result<Self, RecordError> {
        let folder = Self { path: create_numbered(runs, name)? };
        for part in [folder.blocks(), folder.logs()] {
            fs::create_dir(&part).map_err(|source| RecordError::Io { path: part, source })?;
        }
        Ok(folder)
    }

    /// Opens the folder of a run: a path, or a name under `runs`.
    ///
    /// # Errors
    /// No `run.json` is there.
    pub fn open(runs: &Path, name: &Path) -> Result<Self, RecordError> {
        let inside = runs.join(name);
        let path = if name.join("run.json").is_file() { name.to_owned() } else { inside };
        if path.join("run.json").is_file() {
            Ok(Self { path })
        } else {
            Err(RecordError::NoRun { path: name.to_owned() })
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, which is the run's name.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Where the logs of children are.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// The report's file.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    fn blocks(&self) -> PathBuf {
        self.path.join("blocks")
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// The disk refuses; what was there before is still there.
    pub fn write_run(&self, run: &Run) -> Result<(), RecordError> {
        self.write_json("run.json", run)
    }

    /// Writes `rehearsal.json`.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_rehearsal(&self, rehearsal: &Rehearsal) -> Result<(), RecordError> {
        self.write_json("rehearsal.json", rehearsal)
    }

    /// Reads `rehearsal.json`; `None` where nothing was looked at before the first block.
    ///
    /// # Errors
    /// Unreadable, damaged, or from a newer dyno.
    pub fn read_rehearsal(&self) -> Result<Option<Rehearsal>, RecordError> {
        let path = self.path.join("rehearsal.json");
        if path.is_file() { read_versioned(&path, FORMAT).map(Some) } else { Ok(None) }
    }

    /// Writes one block.
    ///
    /// # Errors
    /// The disk refuses; blocks written before are untouched.
    pub fn write_block(&self, block: &Block) -> Result<(), RecordError> {
        self.write_json(&format!("blocks/{:04}.json", block.index), block)
    }

    /// Writes `results.json`.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_results(&self, results: &RunOutput) -> Result<(), RecordError> {
        self.write_json("results.json", results)
    }

    /// Writes the report's page.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_report(&self, html: &str) -> Result<(), RecordError> {
        write_atomically(&self.report(), html.as_bytes())
    }

    /// Writes the page of this run beside `other`, and says where: `compare-OTHER.html`.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_comparison(&self, other: &Self, html: &str) -> Result<PathBuf, RecordError> {
        let path = self.path.join(format!("compare-{}.html", other.name()));
        write_atomically(&path, html.as_bytes())?;
        Ok(path)
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// Unreadable, damaged, or from a newer dyno.
    pub fn read_run(&self) -> Result<Run, RecordError> {
        read_versioned(&self.path.join("run.json"), FORMAT)
    }

    /// Reads all blocks in order.
    ///
    /// # Errors
    /// One is unreadable, damaged, or from a newer dyno.
    pub fn read_blocks(&self) -> Result<Vec<Block>, RecordError> {
        self.read_blocks_from(0)
    }

    /// Reads the blocks in order, without the `first` ones, for one who has read these already.
    ///
    /// # Errors
    /// As [`RunFolder::read_blocks`].
    pub fn read_blocks_from(&self, first: usize) -> Result<Vec<Block>, RecordError> {
        let folder = self.blocks();
        let entries =
            fs::read_dir(&folder).map_err(|source| RecordError::Io { path: folder.clone(), source })?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().skip(first).map(|path| read_versioned(path, FORMAT)).collect()
    }

    /// How far the run has come, without reading anything of it.
    pub fn state(&self) -> RunState {
        let entries = fs::read_dir(self.blocks()).into_iter().flatten().flatten();
        let blocks: Vec<fs::DirEntry> =
            entries.filter(|entry| entry.path().extension().is_some_and(|it| it == "json")).collect();
        let newest = blocks.iter().filter_map(|entry| entry.metadata().ok()?.modified().ok()).max();
        let results =
            fs::metadata(self.path.join("results.json")).and_then(|results| results.modified()).ok();
        RunState {
            begun: self.path.join("run.json").is_file(),
            blocks: blocks.len(),
            // A run that goes on again has older results.
            ended: results.is_some_and(|results| newest.is_none_or(|newest| newest <= results)),
        }
    }

    /// Whether it is a capacity search's.
    pub fn is_capacity(&self) -> bool {
        self.path.join("capacity.json").is_file()
    }

    /// Writes `capacity.json`.
    ///
    /// # Errors
    /// The disk refuses; what was there before is still there.
    pub fn write_capacity(&self, record: &CapacityRecord) -> Result<(), RecordError> {
        self.write_json("capacity.json", record)
    }

    /// Reads `capacity.json`.
    ///
    /// # Errors
    /// Unreadable, damaged, or from a newer dyno; a run that is no capacity search has none.
    pub fn read_capacity(&self) -> Result<CapacityRecord, RecordError> {
        read_versioned(&self.path.join("capacity.json"), FORMAT)
    }

    /// Removes the folder if the run never began: without `run.json` there is nothing to keep.
    pub fn discard_if_empty(&self) {
        if !self.path.join("run.json").exists() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RecordError> {
        let path = self.path.join(name);
        let mut text = serde_json::to_vec(value)
            .map_err(|source| RecordError::Damaged { path: path.clone(), source })?;
        text.push(b'\n');
        write_atomically(&path, &text)
    }
}

/// Makes a folder, with a number behind its name when the name is taken.
fn create_numbered(runs: &Path, name: &str) -> Result<PathBuf, RecordError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |source| RecordError::Io { path, source }
    };
    fs::create_dir_all(runs).map_err(at(runs))?;
    for number in 1.. {
        let path = runs.join(if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map_err(at(&path)).map(|()| path),
        }
    }
    unreachable!("there is always a next number")
}

fn read_versioned<T: DeserializeOwned>(path: &Path, known: u32) -> Result<T, RecordError> {
    let io = |source| RecordError::Io { path: path.to_owned(), source };
    // Of a device or a pipe there is no end.
    if !fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() <= MOST_BYTES) && path.exists() {
        return Err(RecordError::TooLarge { path: path.to_owned() });
    }
    let bytes = fs::read(path).map_err(io)?;
    let damaged = |source| RecordError::Damaged { path: path.to_owned(), source };
    let version: Version = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version.format > known {
        return Err(RecordError::Newer { path: path.to_owned(), found: version.format, known });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dyno_model::record::BlockState;

    fn block(index: u32) -> Block {
        Block {
            format: FORMAT,
            index,
            state: BlockState::Complete,
            started: "2026-11-24T12:00:00Z".to_owned(),
            length_ns: 1,
            spin_per_ms: 1.0,
            throttled_ns: None,
            trials: Vec::new(),
        }
    }

    #[test]
    fn blocks_come_back_in_order() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "r").unwrap();
        for index in [2, 0, 1] {
            folder.write_block(&block(index)).unwrap();
        }
        assert_eq!(folder.read_blocks().unwrap(), [block(0), block(1), block(2)]);
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let runs = tempfile::tempdir().unwrap();
        let names: Vec<String> =
            (0..3).map(|_| RunFolder::create(runs.path(), "r").unwrap().name()).collect();
        assert_eq!(names, ["r", "r-2", "r-3"]);
    }

    #[test]
    fn damaged_cut_off_and_newer_folders_are_refused_with_the_reason() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "r").unwrap();
        let path = folder.path().join("run.json");
        assert!(matches!(RunFolder::open(runs.path(), Path::new("r")), Err(RecordError::NoRun { .. })));
        fs::write(&path, "{\"format\": 1, \"run\": ").unwrap();
        let folder = RunFolder::open(runs.path(), Path::new("r")).unwrap();
        assert!(matches!(folder.read_run(), Err(RecordError::Damaged { .. })));
        fs::write(&path, "{\"format\": 999}").unwrap();
        assert!(matches!(folder.read_run(), Err(RecordError::Newer { found: 999, .. })));
        fs::File::options().write(true).open(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(matches!(folder.read_run(), Err(RecordError::TooLarge { .. })));
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("blocks/0000.json")).unwrap();
        assert!(matches!(folder.read_blocks(), Err(RecordError::TooLarge { .. })), "it has no end");
    }

    #[test]
    fn what_can_not_be_written_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomically(&path, b"first").unwrap();
        assert!(write_atomically(Path::new("/proc/nowhere/a.json"), b"second").is_err());
        // A folder in the target's place makes the rename fail after the temporary file was written.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("x"), "").unwrap();
        assert!(write_atomically(&taken, b"second").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.json", "taken"], "no temporary file is left");
    }
}
