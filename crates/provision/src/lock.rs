//! Locks: pinned, hashed requirements, one file for each folder with a `requirements.in` and each interpreter.
//!
//! An app's lock and its server's are installed together, so all are resolved against one set of constraints for
//! each interpreter. A program that is its own server stands outside: its environment is nobody else's, and what it
//! can't have must not keep others from it. What the resolver can't satisfy with wheels is kept in its words, `locks/NAME.because`. No
//! address of any registry gets into a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Context, Interpreter, ProvisionError,
    command::Outside,
    provide,
    python::{uv, uv_command},
};

/// What to lock.
#[derive(Clone, Copy, Debug)]
pub struct LockOrder<'a> {
    /// The folder `stacks/`.
    pub stacks: &'a Path,
    /// Folders that share no environment with others, each with those whose requirements go into its lock.
    pub alone: &'a [(PathBuf, Vec<PathBuf>)],
    /// Names of folders; empty for all, which resolves the constraints again too.
    pub names: &'a [String],
    /// Interpreters.
    pub interpreters: &'a [String],
    /// Whether one of them that can't be had here is left out; what somebody named must be there.
    pub lenient: bool,
    /// Whether to take the newest versions instead of those locked before.
    pub upgrade: bool,
}

/// One folder on one interpreter.
#[derive(Clone, Debug)]
pub struct Locked {
    /// The folder, from `stacks/` on.
    pub folder: PathBuf,
    /// The interpreter.
    pub interpreter: String,
    /// Why the resolver finds no way, in its words.
    pub impossible: Option<String>,
}

/// The resolver at work for one interpreter.
struct Resolver<'a> {
    context: Context<'a>,
    uv: PathBuf,
    cache: PathBuf,
    interpreter: &'a str,
    /// The program itself, where a version number doesn't say enough.
    program: Option<Interpreter>,
    constraints: PathBuf,
    alone: &'a [(PathBuf, Vec<PathBuf>)],
    upgrade: bool,
}

/// Makes locks; also why interpreters were left out.
///
/// # Errors
/// No folder of such a name, no such interpreter, no uv, requirements that contradict each other, or no network.
pub fn lock(
    context: Context<'_>,
    order: &LockOrder<'_>,
) -> Result<(Vec<Locked>, Vec<String>), ProvisionError> {
    let all = folders(order.stacks);
    let name = |folder: &Path| folder.file_name().map_or(String::new(), |name| name.to_string_lossy().into());
    let chosen: Vec<PathBuf> = all
        .iter()
        .filter(|folder| order.names.is_empty() || order.names.contains(&name(folder)))
        .cloned()
        .collect();
    if let Some(unknown) =
        order.names.iter().find(|wanted| !chosen.iter().any(|folder| name(folder) == **wanted))
    {
        let names: Vec<String> = all.iter().map(|folder| name(folder)).collect();
        let what = format!("a folder {unknown} with a requirements.in under {}", order.stacks.display());
        return Err(ProvisionError::missing(what, format!("the folders are {}", names.join(", "))));
    }
    let (mut locked, mut left_out) = (Vec::new(), Vec::new());
    for interpreter in order.interpreters {
        let program = match program(context, interpreter) {
            Err(error @ ProvisionError::Missing { .. }) if order.lenient => {
                left_out.push(error.to_string());
                continue;
            }
            other => other?,
        };
        let resolver = Resolver {
            context,
            uv: uv(context)?,
            cache: context.home.path().join("uv"),
            interpreter,
            program,
            constraints: order.stacks.join(format!("constraints/{interpreter}.txt")),
            alone: order.alone,
            upgrade: order.upgrade,
        };
        if order.names.is_empty() {
            resolver.constrain(&all)?;
        }
        for folder in &chosen {
            let impossible = resolver.lock(folder)?;
            let folder = folder.strip_prefix(order.stacks).unwrap_or(folder).to_owned();
            locked.push(Locked { folder, interpreter: interpreter.clone(), impossible });
        }
    }
    Ok((locked, left_out))
}

/// Folders with a `requirements.in`, two levels down, in order of path.
fn folders(stacks: &Path) -> Vec<PathBuf> {
    let inside = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut found: Vec<PathBuf> = inside(stacks)
        .iter()
        .flat_map(|folder| inside(folder))
        .filter(|folder| folder.join("requirements.in").is_file())
        .collect();
    found.sort();
    found
}

/// Tools never share an environment with a stack, so their versions are their own.
fn is_tool(folder: &Path) -> bool {
    folder.parent().is_some_and(|parent| parent.ends_with("tools"))
}

/// A plain version needs no program; a free-threaded build or PyPy does, for its wheels differ.
fn program(context: Context<'_>, name: &str) -> Result<Option<Interpreter>, ProvisionError> {
    if name.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Ok(None);
    }
    provide(context, name).map(Some)
}

impl Resolver<'_> {
    fn compile(&self, inputs: &[PathBuf]) -> Outside<'_> {
        let command = uv_command(self.context, &self.uv, &self.cache)
            // Packages of a folder on this machine aren't there on another.
            .without_env("PIP_FIND_LINKS")
            .without_env("UV_FIND_LINKS")
            .args([
                "pip",
                "compile",
                "--quiet",
                "--no-annotate",
                "--no-emit-index-url",
                "--no-emit-find-links",
            ])
            .args(["--custom-compile-command", "dyno lock"]);
        let known = self.context.home.known().get(self.interpreter);
        let from_source = known.into_iter().flat_map(|known| &known.from_source);
        let command = command.args(["--only-binary", ":all:"]);
        let command = from_source.fold(command, |command, name| command.args(["--no-binary", name]));
        let command = match &self.program {
            None => command.args(["--python-version", self.interpreter]),
            Some(program) => command.args(["--python"]).path(&program.path),
        };
        let command = if self.upgrade { command.args(["--upgrade"]) } else { command };
        inputs.iter().fold(command, |command, folder| command.path(&folder.join("requirements.in")))
    }

    /// One version of each package for all that share environments.
    fn constrain(&self, all: &[PathBuf]) -> Result<(), ProvisionError> {
        let mut possible: Vec<PathBuf> = all.iter().filter(|folder| self.shares(folder)).cloned().collect();
        make_parent(&self.constraints)?;
        let together =
            |folders: &[PathBuf]| self.compile(folders).args(["--output-file"]).path(&self.constraints).run();
        match together(&possible) {
            Err(error) if no_solution(&error).is_some() => {
                let alone = |folder: &PathBuf| self.compile(std::slice::from_ref(folder)).run_quietly();
                possible.retain(|folder| alone(folder).is_ok());
                together(&possible).map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Whether a folder's packages are installed together with others'.
    fn shares(&self, folder: &Path) -> bool {
        !is_tool(folder) && !self.alone.iter().any(|(alone, _)| alone == folder)
    }

    /// Locks one folder; `Some` when there is no way, in the resolver's words.
    fn lock(&self, folder: &Path) -> Result<Option<String>, ProvisionError> {
        let output = folder.join("locks").join(format!("{}.txt", self.interpreter));
        let because = output.with_extension("because");
        make_parent(&output)?;
        let mut inputs = vec![folder.to_owned()];
        inputs.extend(
            self.alone.iter().filter(|(alone, _)| alone == folder).flat_map(|(_, with)| with.clone()),
        );
        let mut command = self.compile(&inputs).args(["--generate-hashes", "--emit-build-options"]);
        if self.shares(folder) && self.constraints.is_file() {
            command = command.args(["--constraints"]).path(&self.constraints);
        }
        match command.args(["--output-file"]).path(&output).run() {
            Ok(_) => {
                let _ = fs::remove_file(&because);
                Ok(None)
            }
            Err(error) => {
                let words = no_solution(&error).ok_or(error)?;
                let _ = fs::remove_file(&output);
                fs::write(&because, format!("{words}\n")).map_err(ProvisionError::io(&because))?;
                Ok(Some(words))
            }
        }
    }
}

fn make_parent(path: &Path) -> Result<(), ProvisionError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(ProvisionError::io(folder))
}

/// The resolver's reason, when that is why it failed.
fn no_solution(error: &ProvisionError) -> Option<String> {
    let ProvisionError::Command { tail, .. } = error else { return None };
    let reason = tail.split_once("No solution found")?.1.split_once("Because")?.1;
    let lines =
        reason.lines().map(str::trim).take_while(|line| !line.is_empty() && !line.starts_with("hint:"));
    Some(format!("Because {}", lines.collect::<Vec<_>>().join(" ").trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_resolvers_no_is_a_reason() {
        let failed = |tail: &str| ProvisionError::Command {
            command: String::new(),
            status: String::new(),
            tail: tail.to_owned(),
        };
        let no = failed(
            "error: No solution found when resolving dependencies\n  cause: Because x has no usable wheels",
        );
        let more = failed(
            "error: No solution found when resolving\n  cause: Because all of:\n    x<2\n    x>2\n  are missing.\n\nhint: y",
        );
        assert_eq!(no_solution(&more).as_deref(), Some("Because all of: x<2 x>2 are missing."));
        assert_eq!(no_solution(&no).as_deref(), Some("Because x has no usable wheels"));
        assert_eq!(no_solution(&failed("error: Request failed\n  cause: dns error")), None);
    }
}
