//! Programs built from the sources of a compiled app, once for each state of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Context,
    error::ProvisionError,
    part::alone,
    python::{COMPLETE, sha256},
};

/// A built program.
#[derive(Clone, Debug)]
pub struct Built {
    /// The program.
    pub binary: PathBuf,
    /// SHA-256 of `go.sum` or `Cargo.lock`.
    pub lock_sha256: String,
    /// The toolchain's version, in its own words.
    pub toolchain: String,
}

/// Sources, and what builds them.
pub struct Sources<'a> {
    /// The app's name, which is the program's too.
    pub name: &'a str,
    /// The files that count.
    pub files: Vec<PathBuf>,
    /// Which of them pins the dependencies.
    pub lock: PathBuf,
    /// The toolchain's version.
    pub toolchain: String,
}

impl Sources<'_> {
    /// The program in the cache, made by `build` at the path that it is given unless these sources were built before.
    ///
    /// # Errors
    /// A file can't be read, `--setup` is needed, or the build fails.
    pub fn built(
        mut self,
        context: Context<'_>,
        build: impl FnOnce(&Path) -> Result<(), ProvisionError>,
    ) -> Result<Built, ProvisionError> {
        let read = |path: &PathBuf| fs::read(path).map_err(ProvisionError::io(path));
        let lock_sha256 = sha256(&read(&self.lock)?);
        self.files.sort();
        let mut state = self.toolchain.clone().into_bytes();
        for path in &self.files {
            state.extend(path.display().to_string().bytes());
            state.extend(read(path)?);
        }
        let name = self.name;
        let folder = context.home.folder("builds")?.join(format!("{name}-{}", &sha256(&state)[..12]));
        let binary = folder.join(name);
        alone(&folder, || {
            if folder.join(COMPLETE).is_file() {
                return Ok(());
            }
            if !context.setup {
                let what = format!("the build of {name}");
                return Err(ProvisionError::missing(what, "run again with --setup"));
            }
            fs::create_dir_all(&folder).map_err(ProvisionError::io(&folder))?;
            build(&binary)?;
            fs::write(folder.join(COMPLETE), "").map_err(ProvisionError::io(&folder))
        })?;
        Ok(Built { binary, lock_sha256, toolchain: self.toolchain })
    }
}

/// The entries of a folder.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, ProvisionError> {
    let entries = fs::read_dir(folder).map_err(ProvisionError::io(folder))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
