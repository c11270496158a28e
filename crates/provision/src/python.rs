//! Environments from locked, hashed requirements, made by `uv`, one for each lock and interpreter.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    Context,
    command::Outside,
    error::ProvisionError,
    interpreter::{Interpreter, for_tools},
};

/// Written last into what was made: what has none was interrupted, and is made again.
pub const COMPLETE: &str = ".dyno-complete";

const UV: &str = include_str!("../tools/uv.txt");

/// An environment.
#[derive(Clone, Debug)]
pub struct PythonEnvironment {
    /// Its folder.
    pub folder: PathBuf,
    /// SHA-256 of its lock file.
    pub lock_sha256: String,
    /// Installed distributions and versions.
    pub packages: BTreeMap<String, String>,
}

impl PythonEnvironment {
    /// Its interpreter.
    pub fn python(&self) -> PathBuf {
        self.bin().join("python")
    }

    /// Where its programs are.
    pub fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `uv`: the one on `PATH`, else one in the cache, fetched by pip as a pinned, hashed wheel.
///
/// # Errors
/// It isn't there and may not be fetched, or fetching fails.
pub fn uv(context: Context<'_>) -> Result<PathBuf, ProvisionError> {
    let folder = context.home.folder("tools")?.join(format!("uv-{}", &sha256(UV.as_bytes())[..12]));
    let program = folder.join("bin/uv");
    if folder.join(COMPLETE).is_file() {
        return Ok(program);
    }
    if let Some(program) = on_path("uv")
        && Outside::new(context, &program).args(["--version"]).run_quietly().is_ok()
    {
        return Ok(program);
    }
    if !context.setup {
        return Err(ProvisionError::missing(
            "uv, which makes the Python environments",
            "run again with --setup",
        ));
    }
    let python = for_tools(context)?;
    let lock = write_lock(context, "uv", UV)?;
    // pip alone, not a venv: distributions that part Python in pieces leave venv's seed out more often.
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"];
    Outside::new(context, &python.path)
        .args(pip)
        .args(["--target"])
        .path(&folder)
        .args(["-r"])
        .path(&lock)
        .run()
        .map_err(|error| {
            ProvisionError::missing(
                "uv",
                format!("{error}\ninstall pip for {}, or uv by hand", python.path.display()),
            )
        })?;
    fs::write(folder.join(COMPLETE), "").map_err(ProvisionError::io(&folder))?;
    Ok(program)
}

/// A program on `PATH` that is no pyenv shim.
pub fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .filter(|folder| !folder.ends_with("shims"))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Puts a lock that dyno brings itself into the cache.
pub fn write_lock(context: Context<'_>, name: &str, text: &str) -> Result<PathBuf, ProvisionError> {
    let path = context.home.folder("tools")?.join(format!("{name}.txt"));
    // Somebody may be reading one that is there.
    if fs::read_to_string(&path).ok().as_deref() != Some(text) {
        fs::write(&path, text).map_err(ProvisionError::io(&path))?;
    }
    Ok(path)
}

/// An environment with exactly what lock files say, those of an app and of its server for instance.
///
/// # Errors
/// A lock is missing, something would have to be downloaded without `--setup`, or uv fails.
pub fn python_environment(
    context: Context<'_>,
    interpreter: &Interpreter,
    locks: &[PathBuf],
    name: &str,
) -> Result<PythonEnvironment, ProvisionError> {
    python_environment_with(context, interpreter, locks, name, &BTreeMap::new())
}

/// [`python_environment`], with variables for packages that are built.
pub(crate) fn python_environment_with(
    context: Context<'_>,
    interpreter: &Interpreter,
    locks: &[PathBuf],
    name: &str,
    flags: &BTreeMap<String, String>,
) -> Result<PythonEnvironment, ProvisionError> {
    let mut text = Vec::new();
    for lock in locks {
        text.extend(fs::read(lock).map_err(ProvisionError::io(lock))?);
    }
    let lock_sha256 = sha256(&text);
    let key =
        sha256(format!("{lock_sha256} {} {}", interpreter.version, interpreter.path.display()).as_bytes());
    let folder =
        context.home.folder("environments")?.join(format!("{name}-{}-{}", interpreter.name, &key[..12]));
    let marker = folder.join(COMPLETE);
    if !marker.is_file() {
        if !context.setup {
            let what = format!("the environment of {name} for Python {}", interpreter.name);
            return Err(ProvisionError::missing(what, "run again with --setup"));
        }
        make_environment(context, interpreter, locks, &folder, flags)?;
        let packages = list_packages(&folder);
        let text = serde_json::to_vec(&packages).unwrap_or_default();
        fs::write(&marker, text).map_err(ProvisionError::io(&marker))?;
    }
    let text = fs::read(&marker).map_err(ProvisionError::io(&marker))?;
    Ok(PythonEnvironment { folder, lock_sha256, packages: serde_json::from_slice(&text).unwrap_or_default() })
}

fn make_environment(
    context: Context<'_>,
    interpreter: &Interpreter,
    locks: &[PathBuf],
    folder: &Path,
    flags: &BTreeMap<String, String>,
) -> Result<(), ProvisionError> {
    let uv = uv(context)?;
    let cache = context.home.folder("uv")?;
    let outside = || uv_command(context, &uv, &cache);
    outside().args(["venv", "--quiet", "--clear", "--python"]).path(&interpreter.path).path(folder).run()?;
    let install = outside()
        .args(["pip", "install", "--quiet", "--require-hashes", "--compile-bytecode", "--python"])
        .path(&folder.join("bin/python"));
    let install = flags.iter().fold(install, |install, (name, value)| install.env(name, value));
    locks.iter().fold(install, |install, lock| install.args(["-r"]).path(lock)).run().map(drop)
}

/// uv with dyno's own cache, and no interpreters of its own choice.
pub fn uv_command<'a>(context: Context<'a>, uv: &Path, cache: &Path) -> Outside<'a> {
    Outside::new(context, uv)
        .env("UV_CACHE_DIR", cache)
        .env("UV_PYTHON_DOWNLOADS", "never")
        .env("UV_NO_PROGRESS", "1")
        .without_env("VIRTUAL_ENV")
}

/// Distributions by their metadata folders: `NAME-VERSION.dist-info`.
fn list_packages(folder: &Path) -> BTreeMap<String, String> {
    let libraries = fs::read_dir(folder.join("lib")).into_iter().flatten().flatten();
    let packages =
        libraries.flat_map(|library| fs::read_dir(library.path().join("site-packages"))).flatten().flatten();
    packages
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (name, version) = name.strip_suffix(".dist-info")?.rsplit_once('-')?;
            Some((name.replace('_', "-").to_lowercase(), version.to_owned()))
        })
        .collect()
}
