//! The folder of a calibration: `calibration.json`, `calibration.md`, and the run folders of its sessions in `sessions/`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dyno_model::calibration::{CALIBRATION_FORMAT, Calibration};

use crate::{RecordError, RunFolder, create_numbered, read_versioned, write_atomically};

/// The file that makes a folder a calibration's.
const FILE: &str = "calibration.json";

/// A calibration's folder.
#[derive(Clone, Debug)]
pub struct CalibrationFolder {
    path: PathBuf,
}

impl CalibrationFolder {
    /// Makes the folder of a new calibration, with a number behind its name when the name is taken.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn create(runs: &Path, name: &str) -> Result<Self, RecordError> {
        let folder = Self { path: create_numbered(runs, name)? };
        let sessions = folder.sessions();
        fs::create_dir(&sessions).map_err(|source| RecordError::Io { path: sessions, source })?;
        Ok(folder)
    }

    /// Opens the folder of a calibration: a path, or a name under `runs`.
    ///
    /// # Errors
    /// No `calibration.json` is there.
    pub fn open(runs: &Path, name: &Path) -> Result<Self, RecordError> {
        let found = [name.to_owned(), runs.join(name)].into_iter().find(|path| Self::is_at(path));
        found.map(|path| Self { path }).ok_or_else(|| RecordError::NoCalibration { path: name.to_owned() })
    }

    /// Whether a folder is a calibration's.
    pub fn is_at(path: &Path) -> bool {
        path.join(FILE).is_file()
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, which is the calibration's.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    fn sessions(&self) -> PathBuf {
        self.path.join("sessions")
    }

    /// The run folder of a session, and whether something was measured there before. What was cut off before its first
    /// record is begun anew.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn session(&self, name: &str) -> Result<(RunFolder, bool), RecordError> {
        let sessions = self.sessions();
        match RunFolder::open(&sessions, Path::new(name)) {
            Ok(folder) => Ok((folder, true)),
            Err(_) => {
                let _ = fs::remove_dir_all(sessions.join(name));
                Ok((RunFolder::create(&sessions, name)?, false))
            }
        }
    }

    /// The run folder of a session where it is there.
    pub fn finished(&self, name: &str) -> Option<RunFolder> {
        RunFolder::open(&self.sessions(), Path::new(name)).ok()
    }

    /// Writes `calibration.json`.
    ///
    /// # Errors
    /// The disk refuses; what was there before is still there.
    pub fn write(&self, calibration: &Calibration) -> Result<(), RecordError> {
        let path = self.path.join(FILE);
        let mut text = serde_json::to_vec_pretty(calibration)
            .map_err(|source| RecordError::Damaged { path: path.clone(), source })?;
        text.push(b'\n');
        write_atomically(&path, &text)
    }

    /// Reads `calibration.json`.
    ///
    /// # Errors
    /// Unreadable, damaged, or from a newer dyno.
    pub fn read(&self) -> Result<Calibration, RecordError> {
        read_versioned(&self.path.join(FILE), CALIBRATION_FORMAT)
    }

    /// Writes `calibration.md`.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_markdown(&self, text: &str) -> Result<(), RecordError> {
        write_atomically(&self.path.join("calibration.md"), text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_on_only_where_something_was_recorded() {
        let runs = tempfile::tempdir().unwrap();
        let folder = CalibrationFolder::create(runs.path(), "c").unwrap();
        assert!(!folder.session("0000-aa").unwrap().1);
        let (again, recorded) = folder.session("0000-aa").unwrap();
        assert!(!recorded && again.name() == "0000-aa", "no second folder for a session that was cut off");
        fs::write(again.path().join("run.json"), "{}").unwrap();
        assert!(folder.session("0000-aa").unwrap().1);
    }

    #[test]
    fn no_damaged_and_newer_calibrations_are_refused() {
        let runs = tempfile::tempdir().unwrap();
        let folder = CalibrationFolder::create(runs.path(), "c").unwrap();
        let open = || CalibrationFolder::open(runs.path(), Path::new("c"));
        assert!(matches!(open(), Err(RecordError::NoCalibration { .. })));
        let file = folder.path().join("calibration.json");
        fs::write(&file, "{\"format\": 1, ").unwrap();
        assert!(matches!(open().unwrap().read(), Err(RecordError::Damaged { .. })));
        fs::write(&file, "{\"format\": 999}").unwrap();
        let error = open().unwrap().read().unwrap_err();
        assert!(error.to_string().contains(&format!("reads up to format {CALIBRATION_FORMAT}")), "{error}");
    }
}
