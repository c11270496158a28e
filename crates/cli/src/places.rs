//! Where the project's own files are: stacks, plans, contract.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The project's folder: `DYNO_ROOT`, else the nearest folder above the current one that has `stacks/` and
/// `contract/`, else the one that this program was built in.
pub fn project() -> PathBuf {
    if let Some(root) = env::var_os("DYNO_ROOT") {
        return PathBuf::from(root);
    }
    let current = env::current_dir().unwrap_or_default();
    let found =
        current.ancestors().find(|folder| folder.join("stacks").is_dir() && folder.join("contract").is_dir());
    found.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), Path::to_owned)
}
