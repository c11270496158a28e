//! nginx: the system's, else the distribution's package unpacked into the cache.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Context,
    debian::{Wanted, library_environment},
    error::ProvisionError,
    python::on_path,
};

/// nginx and what it needs to run.
#[derive(Clone, Debug)]
pub struct Nginx {
    /// The program.
    pub binary: PathBuf,
    /// Its version, for instance `1.22.1`.
    pub version: String,
    /// Folders of shared libraries for `LD_LIBRARY_PATH`; empty for the system's own.
    pub libraries: Vec<PathBuf>,
}

const WANTED: Wanted<'_> = Wanted {
    name: "nginx",
    packages: &["nginx"],
    libraries: &["libpcre2-8-0", "libpcre3", "libssl3", "libssl3t64", "zlib1g", "libcrypt1"],
    sources: None,
    remedy: "install it from your system's packages, for instance `dnf install nginx` or `apk add nginx`",
};

/// The nginx to use.
///
/// # Errors
/// It isn't there and may not, or can't, be fetched.
pub fn nginx(context: Context<'_>) -> Result<Nginx, ProvisionError> {
    let system =
        on_path("nginx").or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|path| path.is_file()));
    if let Some(binary) = system
        && let Some(version) = version(&binary, &[])
    {
        return Ok(Nginx { binary, version, libraries: Vec::new() });
    }
    let unpacked = WANTED.unpacked(context)?;
    let binary = unpacked.root.join("usr/sbin/nginx");
    match version(&binary, &unpacked.libraries) {
        Some(version) => Ok(Nginx { binary, version, libraries: unpacked.libraries }),
        None => Err(ProvisionError::missing("a working nginx", "install it from your system's packages")),
    }
}

fn version(binary: &Path, libraries: &[PathBuf]) -> Option<String> {
    let mut command = Command::new(binary);
    command.arg("-v").envs(library_environment(libraries));
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(text.trim().rsplit('/').next()?.to_owned())
}
