//! dyno's own cache folder, `DYNO_HOME`.

use std::{
    env,
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use dyno_model::interpreter::Interpreters;
use nix::fcntl::{Flock, FlockArg};

use crate::{error::ProvisionError, settings::Settings};

/// The cache folder: environments, tools, databases, builds.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    settings: Settings,
    known: Interpreters,
}

/// One dyno at work with a cache; ends when dropped, or when the process ends however it ends.
#[derive(Debug)]
pub struct HomeLock {
    _file: Flock<File>,
}

impl Home {
    /// Where the cache is: `DYNO_HOME`; else `$XDG_CACHE_HOME/dyno` or `~/.cache/dyno`; for root `/var/cache/dyno`,
    /// because PostgreSQL refuses to run as root and another user can't read root's home.
    pub fn locate() -> PathBuf {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(home) = variable("DYNO_HOME") {
            return std::path::absolute(&home).unwrap_or(home);
        }
        if let Some(cache) = variable("XDG_CACHE_HOME") {
            return cache.join("dyno");
        }
        if nix::unistd::geteuid().is_root() {
            return PathBuf::from("/var/cache/dyno");
        }
        variable("HOME").unwrap_or_else(env::temp_dir).join(".cache/dyno")
    }

    /// Opens the cache, made if need be, and reads the user's settings in it.
    ///
    /// # Errors
    /// It can't be made, or the settings say something wrong.
    pub fn open(path: PathBuf) -> Result<Self, ProvisionError> {
        fs::create_dir_all(&path).map_err(ProvisionError::io(&path))?;
        let settings = Settings::read(&path)?;
        Ok(Self { path, settings, known: Interpreters::default() })
    }

    /// With what the catalogue says of interpreters that may be fetched into it.
    #[must_use]
    pub fn knowing(self, known: Interpreters) -> Self {
        Self { known, ..self }
    }

    /// Interpreters that may be fetched into it.
    pub fn known(&self) -> &Interpreters {
        &self.known
    }

    /// What the user has set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it, made if need be.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, ProvisionError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(ProvisionError::io(&path))?;
        Ok(path)
    }

    /// Takes the cache for this dyno: two at once would disturb each other's measurements, and files.
    ///
    /// # Errors
    /// [`ProvisionError::Locked`] at once when another has it.
    pub fn lock(&self) -> Result<HomeLock, ProvisionError> {
        let path = self.path.join("lock");
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(ProvisionError::io(&path))?;
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
            ProvisionError::Locked { pid: pid.trim().to_owned(), path: self.path.display().to_string() }
        })?;
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(ProvisionError::io(&path))?;
        Ok(HomeLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_are_refused_with_the_others_pid() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().join("home")).unwrap();
        let lock = home.lock().unwrap();
        let error = home.lock().unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(lock);
        home.lock().unwrap();
    }
}
