//! Outside commands: told, run, and their words kept for when they fail.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use dyno_model::child::RunAs;

use crate::{Context, error::ProvisionError};

/// An outside command being put together.
pub struct Outside<'a> {
    context: Context<'a>,
    argv: Vec<String>,
    command: Command,
}

impl<'a> Outside<'a> {
    pub fn new(context: Context<'a>, program: impl AsRef<Path>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.stdin(Stdio::null());
        Self { context, argv: vec![program.as_ref().display().to_string()], command }
    }

    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        for argument in arguments {
            let argument = argument.into();
            self.command.arg(&argument);
            self.argv.push(argument);
        }
        self
    }

    pub fn path(self, path: &Path) -> Self {
        self.args([path.display().to_string()])
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn run_as(mut self, run_as: Option<RunAs>) -> Self {
        if let Some(run_as) = run_as {
            self.command.uid(run_as.uid).gid(run_as.gid);
        }
        self
    }

    /// Tells the command, runs it and gives its standard output.
    pub fn run(self) -> Result<String, ProvisionError> {
        (self.context.echo)(&self.argv);
        self.run_quietly()
    }

    /// Runs it untold: for questions such as `--version` only.
    pub fn run_quietly(mut self) -> Result<String, ProvisionError> {
        let line = self.argv.join(" ");
        let failed =
            |status: String, tail: String| ProvisionError::Command { command: line.clone(), status, tail };
        let output = self.command.output().map_err(|error| failed(error.to_string(), String::new()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        Err(failed(output.status.to_string(), tail))
    }
}
