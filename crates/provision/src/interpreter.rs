//! Python interpreters: those of the user's settings, of this machine, and of the cache.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use crate::{Context, Home, ProvisionError, settings};

/// A Python interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Name in stacks: `3.13`, `3.14t`, `pypy3.11`.
    pub name: String,
    /// Whole version, for instance `3.13.2`.
    pub version: String,
    /// The program itself, never a shim.
    pub path: PathBuf,
    /// Where it came from.
    pub origin: Origin,
}

/// Where an interpreter came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The user's settings name its path.
    Settings,
    /// It is installed on this machine.
    Machine,
    /// uv's build, in the cache.
    Uv,
    /// Packages of Debian, in the cache.
    Debian,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settings => "of your settings",
            Self::Machine => "of this machine",
            Self::Uv => "uv's build in dyno's cache",
            Self::Debian => "Debian's packages in dyno's cache",
        })
    }
}

/// The cache's folder of interpreters.
pub(crate) const FOLDER: &str = "interpreters";

/// What each candidate is asked.
const QUESTION: &str = "import sys, sysconfig, platform as p; v = sys.version_info; \
    n = f'{v[0]}.{v[1]}' + ('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''); \
    print(('' if p.python_implementation() == 'CPython' else p.python_implementation().lower()) + n, \
    p.python_version(), sys.executable, sep='\\n')";

/// All interpreters from 3.11 on, one for each name, the highest version first: those of the user's settings, of this
/// machine, and of the cache, the first of a name.
///
/// # Errors
/// One in the settings isn't what its name says.
pub fn interpreters(context: Context<'_>) -> Result<Vec<Interpreter>, ProvisionError> {
    let mut found: BTreeMap<String, Interpreter> = BTreeMap::new();
    for (name, program) in &context.home.settings().interpreters {
        found.insert(name.clone(), of_settings(context, name, program)?);
    }
    let machine = candidates().into_iter().map(|program| (program, Origin::Machine));
    let cache = cached(context.home).into_iter();
    for (program, origin) in machine.chain(cache) {
        let Some(interpreter) = ask(&program, origin) else { continue };
        if minor(&interpreter.name).is_some_and(|minor| minor >= 11) {
            found.entry(interpreter.name.clone()).or_insert(interpreter);
        }
    }
    let mut all: Vec<Interpreter> = found.into_values().collect();
    all.sort_by_key(|interpreter| (std::cmp::Reverse(minor(&interpreter.name)), interpreter.name.clone()));
    Ok(all)
}

fn of_settings(context: Context<'_>, name: &str, program: &Path) -> Result<Interpreter, ProvisionError> {
    let wrong = |words: String| settings::wrong(context.home.path(), name, words);
    let found = ask(program, Origin::Settings)
        .ok_or_else(|| wrong(format!("`{name} = {program:?}` doesn't answer as a Python")))?;
    if found.name == name {
        Ok(found)
    } else {
        Err(wrong(format!("`{name} = {program:?}` is Python {}", found.name)))
    }
}

/// The interpreter of dyno's own tools: one that is the same tomorrow, and has pip.
///
/// # Errors
/// There is none.
pub(crate) fn for_tools(context: Context<'_>) -> Result<Interpreter, ProvisionError> {
    let all = interpreters(context)?;
    let plain = |one: &&Interpreter| one.name.starts_with("3.") && !one.name.ends_with('t');
    let own = all.iter().filter(plain).find(|one| one.origin != Origin::Debian);
    own.or(all.iter().find(plain)).cloned().ok_or_else(|| {
        ProvisionError::missing(
            "a Python 3.11 or newer",
            "install one from your system's packages or python.org",
        )
    })
}

/// Programs in the cache: uv's builds, and packages of Debian.
fn cached(home: &Home) -> Vec<(PathBuf, Origin)> {
    let folder = home.path().join(FOLDER);
    let files =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let uv = files(folder.join("uv")).flat_map(|build| files(build.join("bin")));
    let is_one = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_interpreter);
    let uv = uv.filter(is_one).map(|program| (program, Origin::Uv));
    let debian = files(folder.join("debian")).filter_map(|path| fs::read_to_string(path).ok());
    let mut all: Vec<_> = uv.chain(debian.map(|text| (PathBuf::from(text.trim()), Origin::Debian))).collect();
    all.sort();
    all
}

/// The minor version of a name such as `3.13`, `3.14t` or `pypy3.11`.
fn minor(name: &str) -> Option<u32> {
    let digits = name.split_once("3.")?.1;
    digits.trim_end_matches('t').parse().ok()
}

/// Real programs only: pyenv's shims answer for one version or none, and break tools that look twice.
fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    folders.extend(["/usr/bin", "/usr/local/bin"].map(PathBuf::from));
    let pyenv = env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = pyenv.and_then(|root| fs::read_dir(root.join("versions")).ok());
    folders.extend(versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin")));
    // Most have several names in a folder, and some folders have several names; each question costs a start.
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for folder in folders.iter().filter(|folder| !folder.ends_with("shims")) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_str().is_some_and(is_interpreter)
                && fs::canonicalize(&path).is_ok_and(|real| seen.insert(real))
            {
                found.push(path);
            }
        }
    }
    found
}

/// `python3`, `python3.13`, `python3.14t`, `pypy3`, `pypy3.11`: no `-config`, no `-dbg`.
fn is_interpreter(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("python3").or_else(|| name.strip_prefix("pypy3")) else {
        return false;
    };
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    rest.trim_end_matches('t').chars().all(|c| c.is_ascii_digit())
}

/// What programs answered: a question costs a start of each, and dozens of stacks ask.
static ANSWERS: Mutex<BTreeMap<PathBuf, Option<Interpreter>>> = Mutex::new(BTreeMap::new());

/// What a program says that it is; `None` for one that is no Python, or doesn't run.
pub(crate) fn ask(program: &Path, origin: Origin) -> Option<Interpreter> {
    if !program.is_file() {
        return None;
    }
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = answers.entry(program.to_owned()).or_insert_with(|| question(program));
    answer.clone().map(|interpreter| Interpreter { origin, ..interpreter })
}

fn question(program: &Path) -> Option<Interpreter> {
    let output = Command::new(program)
        .args(["-I", "-c", QUESTION])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines();
    let (name, version, path) =
        (lines.next()?.to_owned(), lines.next()?.to_owned(), PathBuf::from(lines.next()?));
    Some(Interpreter { name, version, path, origin: Origin::Machine })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interpreters() {
        for name in ["python3", "python3.13", "python3.14t", "pypy3", "pypy3.11"] {
            assert!(is_interpreter(name), "{name}");
        }
        for name in ["python", "python3-config", "python3.11-dbg", "python2.7", "pypy"] {
            assert!(!is_interpreter(name), "{name}");
        }
        assert_eq!(
            (minor("3.13"), minor("3.14t"), minor("pypy3.11"), minor("x")),
            (Some(13), Some(14), Some(11), None)
        );
    }

    #[test]
    fn this_machine_has_one_and_it_is_no_shim() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().to_owned()).unwrap();
        let found =
            interpreters(Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false }).unwrap();
        assert!(!found.is_empty(), "dyno needs a Python 3.11 or newer");
        for interpreter in found {
            assert!(interpreter.path.is_absolute() && !interpreter.path.to_string_lossy().contains("shims"));
            assert_eq!(interpreter.origin, Origin::Machine);
        }
    }

    /// A program that answers as an interpreter does.
    fn pretender(path: &Path, name: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!("#!/bin/sh\nprintf '{name}\\n{name}.9\\n{}\\n'\n", path.display());
        fs::write(path, text).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn settings_come_first_and_the_cache_last() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mine = root.join("mine");
        pretender(&mine, "3.99");
        pretender(&root.join("interpreters/uv/cpython-3.99.9-x/bin/python3.99"), "3.99");
        pretender(&root.join("interpreters/uv/cpython-3.98.9-x/bin/python3.98"), "3.98");
        pretender(&root.join("tools/x/bin/pypy3.97"), "pypy3.97");
        fs::create_dir_all(root.join("interpreters/debian")).unwrap();
        let program = root.join("tools/x/bin/pypy3.97").display().to_string();
        fs::write(root.join("interpreters/debian/pypy3.97"), program).unwrap();
        let settings = |name: &str| {
            fs::write(root.join("settings.toml"), format!("[interpreters]\n{name:?} = {mine:?}\n")).unwrap();
            let home = Home::open(root.to_owned()).unwrap();
            interpreters(Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false })
        };
        let found = settings("3.99").unwrap();
        let first: Vec<_> = found.iter().take(3).map(|one| (one.name.as_str(), one.origin)).collect();
        let expected = [("3.99", Origin::Settings), ("3.98", Origin::Uv), ("pypy3.97", Origin::Debian)];
        assert_eq!(first, expected);
        let error = settings("3.14t").unwrap_err().to_string();
        assert!(error.contains("settings.toml:2: `3.14t = ") && error.contains("is Python 3.99"), "{error}");
    }
}
