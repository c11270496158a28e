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
        Err(failed(output.status.to_string(), shortened(&lines)))
    }
}

/// The first lines, where resolvers say what they couldn't do, and the last, where compilers do.
fn shortened(lines: &[&str]) -> String {
    const FIRST: usize = 5;
    const LAST: usize = 15;
    if lines.len() <= FIRST + LAST {
        return lines.join("\n");
    }
    [&lines[..FIRST], &["…"], &lines[lines.len() - LAST..]].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_lines_of_a_long_failure_are_kept() {
        let lines: Vec<String> = (1..=30).map(|number| number.to_string()).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(shortened(&lines[..20]).lines().count(), 20);
        let text = shortened(&lines);
        assert!(text.starts_with("1\n2\n3\n4\n5\n…\n16\n") && text.ends_with("\n30"), "{text}");
    }
}
