//! Every run that is kept: those of `dyno run`, `compare` and `gate`, and the sessions within verdicts and calibrations.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{RecordError, RunFolder};

/// How far below the folder of runs a run may be: `CALIBRATION/sessions/0000-aa` is the deepest that dyno makes.
const DEPTH: usize = 3;

/// What lies in a folder of runs.
#[derive(Clone, Debug, Default)]
pub struct FoundRuns {
    /// Folders with a `run.json`, in the order of their paths.
    pub runs: Vec<RunFolder>,
    /// Folders with blocks and without a `run.json`.
    pub headless: Vec<PathBuf>,
}

/// Finds the runs below `runs`, which needn't be there.
///
/// # Errors
/// A folder can't be read.
pub fn find_runs(runs: &Path) -> Result<FoundRuns, RecordError> {
    let mut found = FoundRuns::default();
    if runs.exists() {
        look(runs, DEPTH, &mut found)?;
    }
    Ok(found)
}

fn look(folder: &Path, depth: usize, found: &mut FoundRuns) -> Result<(), RecordError> {
    let at = |source: io::Error| RecordError::Io { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(at)?.collect::<Result<Vec<_>, _>>().map_err(at)?;
    let mut paths: Vec<PathBuf> =
        entries.iter().map(fs::DirEntry::path).filter(|path| path.is_dir()).collect();
    paths.sort();
    for path in paths {
        if path.join("run.json").is_file() {
            found.runs.push(RunFolder { path });
        } else if path.join("blocks").is_dir() {
            found.headless.push(path);
        } else if depth > 1 {
            look(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_within_verdicts_and_calibrations_are_found_and_what_is_no_run_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path();
        for (name, with_head) in [
            ("b", true),
            ("a", true),
            ("c-verdict/session-01", true),
            ("d-calibration/sessions/0000-aa", true),
            ("e", false),
        ] {
            fs::create_dir_all(runs.join(name).join("blocks")).unwrap();
            if with_head {
                fs::write(runs.join(name).join("run.json"), "{}").unwrap();
            }
        }
        fs::create_dir_all(runs.join("f/g/h/too-deep")).unwrap();
        fs::write(runs.join("f/g/h/too-deep/run.json"), "{}").unwrap();
        fs::write(runs.join("a-file"), "").unwrap();
        let found = find_runs(runs).unwrap();
        let names: Vec<&Path> = found.runs.iter().map(|one| one.path().strip_prefix(runs).unwrap()).collect();
        let expected = ["a", "b", "c-verdict/session-01", "d-calibration/sessions/0000-aa"];
        assert_eq!(names, expected.map(Path::new));
        assert_eq!(found.headless, [runs.join("e")]);
        assert!(find_runs(&runs.join("nowhere")).unwrap().runs.is_empty());
    }
}
