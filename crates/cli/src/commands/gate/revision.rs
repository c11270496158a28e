//! The base revision: what git says of a reference, and its `stacks/` in a folder of its own for as long as it is needed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use dyno_model::{event::Event, gate::Revision};

use super::GateError;
use crate::{commands::Workshop, exit::Error};

/// The repository that the project's folder is in.
pub struct Repository {
    /// Its uppermost folder.
    top: PathBuf,
    /// The project's folder below it, with a slash at the end, or nothing.
    prefix: String,
}

impl Repository {
    /// The repository around `project`.
    pub fn around(project: &Path) -> Result<Self, GateError> {
        let found = git(project, &["rev-parse", "--show-toplevel", "--show-prefix"])?;
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        let mut lines = text.lines();
        match lines.next() {
            Some(top) if found.status.success() => {
                Ok(Self { top: PathBuf::from(top), prefix: lines.next().unwrap_or_default().to_owned() })
            }
            _ => Err(GateError::NoRepository { folder: project.to_owned(), words: words(&found) }),
        }
    }

    /// The commit that a reference means.
    pub fn commit(&self, name: &str) -> Result<Revision, GateError> {
        let wanted = format!("{name}^{{commit}}");
        // `--end-of-options` keeps a reference that begins with a dash from being one.
        let found = git(&self.top, &["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted])?;
        if found.status.success() {
            let commit = String::from_utf8_lossy(&found.stdout).trim().to_owned();
            return Ok(Revision { name: name.to_owned(), commit });
        }
        Err(GateError::UnknownReference { name: name.to_owned(), near: self.near(name) })
    }

    /// Names of branches and tags like `name`, else some that always mean something.
    fn near(&self, name: &str) -> String {
        let listed = git(&self.top, &["for-each-ref", "--format=%(refname:short)"]);
        let listed = listed.map(|found| String::from_utf8_lossy(&found.stdout).into_owned());
        let listed = listed.unwrap_or_default();
        let names = || listed.lines().chain(["HEAD~1"]).filter(|known| *known != name).map(str::to_owned);
        let near = dyno_plan::nearest(name, names(), 3);
        let near = if near.is_empty() { names().take(3).collect() } else { near };
        near.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    /// Writes the `stacks/` of a revision below `folder`, and returns where. An index of its own leaves the repository's
    /// alone, and nothing has to be registered there as a work tree has.
    pub fn write_stacks(
        &self,
        workshop: &Workshop<'_>,
        base: &Revision,
        folder: &Path,
    ) -> Result<PathBuf, Error> {
        let index = folder.join("index");
        let into = format!("--prefix={}stacks/", self.prefix);
        let tree = format!("{}:{}stacks", base.commit, self.prefix);
        let out = format!("--prefix={}/", folder.display());
        for arguments in [vec!["read-tree", &into, &tree], vec!["checkout-index", "--all", &out]] {
            let argv = std::iter::once("git").chain(arguments.iter().copied()).map(str::to_owned).collect();
            workshop.display.show(&Event::Command { argv });
            let mut command = Command::new("git");
            let command = command.arg("-C").arg(&self.top).args(&arguments).env("GIT_INDEX_FILE", &index);
            let done = command.output().map_err(|source| GateError::NoGit { source })?;
            if !done.status.success() {
                let words = words(&done);
                return Err(GateError::NoStacks { name: base.name.clone(), words }.into());
            }
        }
        Ok(folder.join(format!("{}stacks", self.prefix)))
    }

    /// The work tree's files below `folders` of `stacks`, relative to it: those that git knows, or would take up.
    pub fn files(&self, stacks: &Path, folders: &[PathBuf]) -> Result<BTreeSet<PathBuf>, GateError> {
        let found = git(stacks, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        Ok(paths(&found).filter(|path| folders.iter().any(|folder| path.starts_with(folder))).collect())
    }

    /// Those of `files` with changes that aren't committed.
    pub fn uncommitted(&self, stacks: &Path, files: &BTreeSet<PathBuf>) -> Result<Vec<String>, GateError> {
        let changed = git(stacks, &["diff", "-z", "--name-only", "--relative", "HEAD", "--", "."])?;
        let fresh = git(stacks, &["ls-files", "-z", "--others", "--exclude-standard"])?;
        let found: BTreeSet<PathBuf> = paths(&changed).chain(paths(&fresh)).collect();
        Ok(found.intersection(files).map(|path| format!("stacks/{}", path.display())).collect())
    }
}

/// Runs git in a folder.
fn git(folder: &Path, arguments: &[&str]) -> Result<Output, GateError> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments).output().map_err(|source| GateError::NoGit { source })
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

fn paths(output: &Output) -> impl Iterator<Item = PathBuf> {
    let names: Vec<PathBuf> = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
        .collect();
    names.into_iter()
}

/// A folder that is gone at the end, however the gate ends. What a killed dyno leaves, the next one with this cache clears.
pub struct Scratch(pub PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        // The folder above is this process's own; the bench may have removed it.
        let _ = self.0.parent().map(fs::remove_dir);
    }
}
