//! Interpreters that the machine lacks, fetched into the cache: uv's builds where its downloads can be reached, else
//! packages of Debian, of which nothing is installed.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use dyno_model::interpreter::{DebianInterpreter, KnownInterpreter};

use crate::{
    Context, Interpreter, Origin, ProvisionError,
    command::Outside,
    debian::Wanted,
    interpreter::{FOLDER, ask, interpreters},
    part::alone,
    python::uv,
    relocate::{debian_suite, relocate},
    settings,
};

/// Why an interpreter couldn't be fetched, by cache and name: what failed once isn't tried again by this dyno, for each
/// try costs time-outs and dozens of stacks may want the same.
static FAILED: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// The interpreter of this name: one that is there ([`interpreters`]), else one of those that the cache
/// knows ([`crate::Home::knowing`]), fetched if `--setup` allows.
///
/// # Errors
/// It isn't there and may not, or can't, be fetched; with what a person can do.
pub fn provide(context: Context<'_>, name: &str) -> Result<Interpreter, ProvisionError> {
    alone(&context.home.path().join(FOLDER).join(name), || provide_once(context, name))
}

fn provide_once(context: Context<'_>, name: &str) -> Result<Interpreter, ProvisionError> {
    let known = context.home.known();
    let all = interpreters(context)?;
    if let Some(found) = all.iter().find(|one| one.name == name) {
        return Ok(found.clone());
    }
    let by_hand = format!(
        "name the path of one in {}, for instance\n  [interpreters]\n  \"{name}\" = \"/opt/{name}/bin/python\"",
        context.home.path().join(settings::FILE).display()
    );
    let missing = |remedy: String| Err(ProvisionError::missing(format!("Python {name}"), remedy));
    let Some(recipe) = known.get(name).filter(|recipe| recipe.uv.is_some() || recipe.debian.is_some()) else {
        let there: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        let fetched: Vec<&str> = known.interpreter.iter().map(|one| one.name.as_str()).collect();
        return missing(format!(
            "choose one of {}, or one that --setup may fetch ({}), or {by_hand}",
            there.join(", "),
            fetched.join(", ")
        ));
    };
    if !context.setup {
        return missing(format!("run again with --setup, or {by_hand}"));
    }
    let key = context.home.path().join(name).display().to_string();
    let failed = || FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    let before = failed().get(&key).cloned();
    let why = match before {
        Some(why) => why,
        None => match fetch(context, recipe) {
            Ok(interpreter) => return Ok(interpreter),
            Err(why) => failed().entry(key).or_insert(why).clone(),
        },
    };
    missing(format!("{why}; {by_hand}"))
}

/// Tries each way in turn, and tells why none went.
fn fetch(context: Context<'_>, recipe: &KnownInterpreter) -> Result<Interpreter, String> {
    let mut whys = Vec::new();
    if let Some(request) = &recipe.uv {
        // One after the other: what can't be reached for one is known to the next.
        let part = context.home.path().join(FOLDER).join("uv");
        match alone(&part, || fetch_with_uv(context, &recipe.name, request)) {
            Ok(interpreter) => return Ok(interpreter),
            Err(why) => whys.push(why),
        }
    }
    match &recipe.debian {
        Some(debian) => match fetch_from_debian(context, &recipe.name, debian) {
            Ok(interpreter) => return Ok(interpreter),
            Err(error) => whys.push(error.to_string()),
        },
        None => whys.push("no release of Debian is known to have it".to_owned()),
    }
    Err(whys.join("; "))
}

fn fetch_with_uv(context: Context<'_>, name: &str, request: &str) -> Result<Interpreter, String> {
    /// The key under which unreachable downloads are kept: what failed for one interpreter fails for all.
    const DOWNLOADS: &str = "uv";
    let failed = || FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(why) = failed().get(DOWNLOADS) {
        return Err(why.clone());
    }
    let uv = uv(context).map_err(|error| error.to_string())?;
    let folder = context.home.path().join(FOLDER).join("uv");
    let tried = Outside::new(context, &uv)
        .args(["python", "install", "--no-bin", "--quiet", request, "--install-dir"])
        .path(&folder)
        .env("UV_CACHE_DIR", context.home.path().join("uv"))
        .env("UV_PYTHON_DOWNLOADS", "manual")
        .env("UV_PYTHON_PREFERENCE", "only-managed")
        .env("UV_NO_CONFIG", "1")
        // Unreachable is to be known at once, not after retries.
        .env("UV_HTTP_RETRIES", "0")
        .env("UV_HTTP_CONNECT_TIMEOUT", "5")
        .run();
    if let Err(error) = tried {
        let ProvisionError::Command { tail, .. } = &error else { return Err(error.to_string()) };
        if tail.contains("error sending request") || tail.contains("imed out") {
            let cause = tail.lines().next_back().unwrap_or_default().trim();
            let why = format!("uv's downloads can't be reached ({})", cause.trim_start_matches("cause: "));
            failed().insert(DOWNLOADS.to_owned(), why.clone());
            return Err(why);
        }
        return Err(format!("uv can't: {}", tail.trim()));
    }
    let found = interpreters(context).map_err(|error| error.to_string())?;
    let found = found.into_iter().find(|one| one.name == name && one.origin == Origin::Uv);
    found.ok_or_else(|| format!("what uv calls {request} isn't Python {name}"))
}

fn fetch_from_debian(
    context: Context<'_>,
    name: &str,
    debian: &DebianInterpreter,
) -> Result<Interpreter, ProvisionError> {
    let sources = debian_suite(context, &debian.suite)?;
    let packages: Vec<&str> = debian.packages.iter().chain(&debian.libraries).map(String::as_str).collect();
    let wanted = Wanted {
        name: &format!("interpreter-{name}"),
        packages: &packages,
        libraries: &[],
        sources: Some(&sources),
        remedy: "install it from your system's packages",
    };
    let unpacked = wanted.unpacked(context)?;
    let program = relocate(context, &unpacked, &debian.program)?;
    let interpreter = ask(&program, Origin::Debian).filter(|one| one.name == name).ok_or_else(|| {
        let what = format!("a Python {name} in Debian's packages of {}", debian.suite);
        ProvisionError::missing(what, format!("{} doesn't answer as one", program.display()))
    })?;
    // As a package's installation would: else every start of every process compiles the library again, for a
    // server's user may not write there. A file that doesn't compile (there are tests of that) is no failure.
    let compile = ["-I", "-m", "compileall", "-q"];
    let _ = Outside::new(context, &program).args(compile).path(&unpacked.root.join(&debian.library)).run();
    let folder = context.home.path().join(FOLDER).join("debian");
    fs::create_dir_all(&folder).map_err(ProvisionError::io(&folder))?;
    note(&folder.join(name), &program)?;
    Ok(interpreter)
}

/// Notes where a program is, for [`interpreters`].
fn note(path: &Path, program: &Path) -> Result<(), ProvisionError> {
    fs::write(path, format!("{}\n", program.display())).map_err(ProvisionError::io(path))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use dyno_model::interpreter::Interpreters;

    use super::*;
    use crate::{
        Home,
        python::{COMPLETE, sha256},
    };

    fn known(names: &[&str]) -> Interpreters {
        let one = |name: &&str| KnownInterpreter {
            name: (*name).to_owned(),
            from_source: Vec::new(),
            uv: Some((*name).to_owned()),
            debian: None,
        };
        Interpreters { interpreter: names.iter().map(one).collect() }
    }

    /// A cache whose `uv` is a shell script.
    fn home_with_uv(folder: &Path, script: &str) -> Home {
        let home = Home::open(folder.to_owned()).unwrap();
        let lock = include_str!("../tools/uv.txt");
        let tool = folder.join(format!("tools/uv-{}", &sha256(lock.as_bytes())[..12]));
        fs::create_dir_all(tool.join("bin")).unwrap();
        fs::write(tool.join(COMPLETE), "").unwrap();
        let program = tool.join("bin/uv");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        home
    }

    #[test]
    fn without_setup_or_knowledge_there_is_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().to_owned()).unwrap().knowing(known(&["3.77"]));
        let context = Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false };
        let error = provide(context, "3.77").unwrap_err().to_string();
        assert!(
            error.contains("Python 3.77 is missing: run again with --setup, or name the path"),
            "{error}"
        );
        assert!(error.contains("\"3.77\" = \""), "{error}");
        let error = provide(context, "3.78").unwrap_err().to_string();
        assert!(error.contains("one that --setup may fetch (3.77)"), "{error}");
    }

    #[test]
    fn what_uv_fetches_is_used_and_what_it_cannot_is_tried_once() {
        let folder = tempfile::tempdir().unwrap();
        let build = folder.path().join("interpreters/uv/cpython-3.76.1/bin");
        let python = build.join("python3.76");
        let script = format!(
            "echo \"$@\" >> {log}\n[ \"$5\" = 3.75 ] && {{ echo 'error: no download found' >&2; exit 2; }}\n\
            mkdir -p {build}\nprintf '#!/bin/sh\\nprintf \"3.76\\\\n3.76.1\\\\n{python}\\\\n\"\\n' > {python}\nchmod 755 {python}",
            log = folder.path().join("log").display(),
            build = build.display(),
            python = python.display(),
        );
        let home = home_with_uv(folder.path(), &script).knowing(known(&["3.75", "3.76"]));
        let context = Context { home: &home, setup: true, echo: &|_| {}, stop: &|| false };
        let found = provide(context, "3.76").unwrap();
        assert_eq!((found.version.as_str(), found.origin), ("3.76.1", Origin::Uv));
        assert_eq!(provide(context, "3.76").unwrap(), found);

        for _ in 0..2 {
            let error = provide(context, "3.75").unwrap_err().to_string();
            assert!(error.contains("no download found") && error.contains("[interpreters]"), "{error}");
        }
        let log = fs::read_to_string(PathBuf::from(folder.path()).join("log")).unwrap();
        assert_eq!(log.lines().count(), 2, "each is tried once: {log}");
    }
}
