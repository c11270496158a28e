//! Python interpreters of this machine.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A Python interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Name in stacks: `3.13`, `3.14t`, `pypy3.11`.
    pub name: String,
    /// Whole version, for instance `3.13.2`.
    pub version: String,
    /// The program itself, never a shim.
    pub path: PathBuf,
}

/// What each candidate is asked.
const QUESTION: &str = "import sys, sysconfig, platform as p; v = sys.version_info; \
    n = f'{v[0]}.{v[1]}' + ('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''); \
    print(('' if p.python_implementation() == 'CPython' else p.python_implementation().lower()) + n, \
    p.python_version(), sys.executable, sep='\\n')";

/// All interpreters from 3.11 on, one for each name, the highest version first.
pub fn interpreters() -> Vec<Interpreter> {
    let mut found: BTreeMap<String, Interpreter> = BTreeMap::new();
    for program in candidates() {
        let Some(interpreter) = ask(&program) else { continue };
        if minor(&interpreter.name).is_some_and(|minor| minor >= 11) {
            found.entry(interpreter.name.clone()).or_insert(interpreter);
        }
    }
    let mut all: Vec<Interpreter> = found.into_values().collect();
    all.sort_by_key(|interpreter| (std::cmp::Reverse(minor(&interpreter.name)), interpreter.name.clone()));
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
    let mut found = Vec::new();
    for folder in folders.iter().filter(|folder| !folder.ends_with("shims")) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_interpreter) {
                found.push(entry.path());
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

fn ask(program: &Path) -> Option<Interpreter> {
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
    Some(Interpreter { name, version, path })
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
        let found = interpreters();
        assert!(!found.is_empty(), "dyno needs a Python 3.11 or newer");
        for interpreter in found {
            assert!(interpreter.path.is_absolute() && !interpreter.path.to_string_lossy().contains("shims"));
        }
    }
}
