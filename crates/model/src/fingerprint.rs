//! What machine and software a run was made on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fact of software that tells which revision the stacks are of: the last commit that touched `stacks/`, with
/// ` and changes that aren't committed` behind it where there were some. Missing where git can't tell.
pub const REVISION: &str = "revision of stacks";

/// Facts that must be equal for two runs to be comparable, each as found; `unknown` where it can't be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fingerprint {
    /// Machine: CPU model, cores, memory, kernel, hypervisor, clock source, governor, limits.
    pub machine: BTreeMap<String, String>,
    /// Software: dyno, its load engine (since there is more than one), interpreters, database with its settings, front, toolchains, lock-file hashes.
    pub software: BTreeMap<String, String>,
}
