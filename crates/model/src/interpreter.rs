//! What `stacks/interpreters.toml` says: the Python interpreters that dyno knows by name, and where each can be had.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interpreters {
    /// All of them, in the order that `dyno list` shows.
    #[serde(default)]
    pub interpreter: Vec<KnownInterpreter>,
}

/// An interpreter that dyno can fetch, or at least has heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownInterpreter {
    /// Name in stacks: `3.14`, `3.14t`, `pypy3.11`.
    pub name: String,
    /// What `uv python install` calls it; left out where uv has none.
    #[serde(default)]
    pub uv: Option<String>,
    /// Distributions that are built from source where no wheel is for it: those that need no compiler. All others are taken
    /// as wheels or not at all, so that what runs there is the same on every machine.
    #[serde(default)]
    pub from_source: Vec<String>,
    /// Packages of a release of Debian; left out where none has it.
    #[serde(default)]
    pub debian: Option<DebianInterpreter>,
}

/// An interpreter in Debian's packages. They are unpacked into the cache and made to use their own libraries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DebianInterpreter {
    /// The release, for instance `trixie`; `sid` moves.
    pub suite: String,
    /// The program inside of the packages, for instance `usr/bin/python3.14`.
    pub program: String,
    /// The standard library inside of the packages, for instance `usr/lib/python3.14`: it is compiled once.
    pub library: String,
    /// The interpreter's packages.
    pub packages: Vec<String>,
    /// Packages of shared libraries, among them `libc6`: the release's own, for the system's may be older.
    pub libraries: Vec<String>,
    /// Packages of its headers, unpacked when something must be built for it.
    #[serde(default)]
    pub headers: Vec<String>,
}

impl Interpreters {
    /// The one with this name.
    pub fn get(&self, name: &str) -> Option<&KnownInterpreter> {
        self.interpreter.iter().find(|one| one.name == name)
    }
}
