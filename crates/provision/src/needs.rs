//! Environments whose packages are built against libraries that the machine may lack: those come from the
//! distribution's packages, unpacked into the cache.

use std::{collections::BTreeMap, path::PathBuf};

use dyno_model::catalogue::{NeededPackages, Needs};

use crate::{
    Context, Interpreter, Origin, ProvisionError, PythonEnvironment,
    debian::{Unpacked, Wanted},
    part::alone,
    python::python_environment_with,
    relocate::debian_suite,
};

/// [`crate::python_environment`] for what needs something of the machine: built with what is there, and only when that
/// fails with what can be unpacked. Second is where the unpacked libraries are, none for the machine's own.
///
/// # Errors
/// As there; what a failed build lacks is named.
pub fn needy_environment(
    context: Context<'_>,
    interpreter: &Interpreter,
    locks: &[PathBuf],
    name: &str,
    needs: &Needs,
) -> Result<(PythonEnvironment, Vec<PathBuf>), ProvisionError> {
    // Two that want it at once would both try without what the first will have unpacked.
    let part = context.home.path().join("environments").join(format!("{name}-{}", interpreter.name));
    alone(&part, || needy(context, interpreter, locks, name, needs))
}

fn needy(
    context: Context<'_>,
    interpreter: &Interpreter,
    locks: &[PathBuf],
    name: &str,
    needs: &Needs,
) -> Result<(PythonEnvironment, Vec<PathBuf>), ProvisionError> {
    let build = |there: Option<Unpacked>| {
        let flags = match &there {
            Some(there) => there.for_builds(&headers(context, interpreter).unwrap_or_default()),
            None => BTreeMap::new(),
        };
        let made = python_environment_with(context, interpreter, locks, name, &flags)?;
        Ok((made, there.map(|there| there.libraries).unwrap_or_default()))
    };
    let in_cache = Context { setup: false, ..context };
    let there = needs.debian.as_ref().and_then(|debian| unpacked(in_cache, debian).ok());
    let tried = there.is_some();
    let error = match (build(there), &needs.debian) {
        (Err(error @ ProvisionError::Command { .. }), Some(debian)) if !tried => {
            match unpacked(context, debian) {
                Ok(there) => build(Some(there)),
                // Without them the first words say more.
                Err(_) => Err(error),
            }
        }
        (outcome, _) => outcome,
    };
    error.map_err(|error| lacks(error, needs, name))
}

/// Folders of the headers of an interpreter that was itself unpacked: its own package has none.
fn headers(context: Context<'_>, interpreter: &Interpreter) -> Result<Vec<PathBuf>, ProvisionError> {
    let recipe = context.home.known().get(&interpreter.name).and_then(|known| known.debian.as_ref());
    let recipe = recipe.filter(|recipe| interpreter.origin == Origin::Debian && !recipe.headers.is_empty());
    let (Some(recipe), true) = (recipe, context.setup) else { return Ok(Vec::new()) };
    let packages: Vec<&str> = recipe.headers.iter().map(String::as_str).collect();
    let wanted = Wanted {
        name: &format!("headers-{}", interpreter.name),
        packages: &packages,
        libraries: &[],
        sources: Some(&debian_suite(context, &recipe.suite)?),
        remedy: "install it from your system's packages",
    };
    let include = wanted.unpacked(context)?.root.join("usr/include");
    let own = interpreter.path.file_name().map(|program| include.join(program));
    // The first has the folder of what differs between machines.
    Ok(std::iter::once(include).chain(own).collect())
}

fn unpacked(context: Context<'_>, debian: &NeededPackages) -> Result<Unpacked, ProvisionError> {
    let packages: Vec<&str> = debian.packages.iter().map(String::as_str).collect();
    let wanted = Wanted {
        name: &debian.name,
        packages: &packages,
        libraries: &[],
        sources: None,
        remedy: "install it from your system's packages",
    };
    wanted.unpacked(context)
}

/// A build that fails lacks what the manifest says that it needs.
fn lacks(error: ProvisionError, needs: &Needs, name: &str) -> ProvisionError {
    let ProvisionError::Command { tail, .. } = error else { return error };
    let line = |what: &str| tail.lines().find(|line| line.contains(what));
    // The compiler's words say more than the builder's.
    let words = line("fatal error:").or_else(|| line("error:")).unwrap_or_default().trim();
    ProvisionError::missing(needs.what.as_str(), format!("install it; the build for {name} said: {words}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        Home,
        python::{COMPLETE, sha256},
    };

    /// A cache whose `uv` builds only with the headers of libev, when they aren't the machine's own.
    fn home(folder: &std::path::Path, machine_has_it: bool) -> Home {
        let home = Home::open(folder.to_owned()).unwrap();
        let lock = include_str!("../tools/uv.txt");
        let tool = folder.join(format!("tools/uv-{}", &sha256(lock.as_bytes())[..12]));
        fs::create_dir_all(tool.join("bin")).unwrap();
        fs::write(tool.join(COMPLETE), "").unwrap();
        // `uv venv … FOLDER`, and `uv pip install …`.
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = venv ] && {{ for folder; do :; done; exec mkdir -p \"$folder\"; }}\n\
            case \"{machine_has_it} $CFLAGS $LDFLAGS\" in true*|*-I*tools/libev/*-L*tools/libev/*) exit 0;; esac\n\
            echo 'error: Failed to build'; echo 'b.c:1: fatal error: ev.h: No such file'; exit 1\n"
        );
        fs::write(tool.join("bin/uv"), script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(tool.join("bin/uv"), mode).unwrap();
        home
    }

    #[test]
    fn the_machines_own_comes_first_and_what_lies_in_the_cache_is_found_by_builds_and_programs() {
        let interpreter = Interpreter {
            name: "3.99".to_owned(),
            version: "3.99.1".to_owned(),
            path: "/bin/true".into(),
            origin: Origin::Machine,
        };
        let packages = ["libev-dev", "libev4"].map(str::to_owned).to_vec();
        let debian = Some(NeededPackages { name: "libev".to_owned(), packages });
        let needs = |debian| Needs { what: "libev's headers".to_owned(), debian };
        let make = |home: &Home, debian| {
            let context = Context { home, setup: true, echo: &|_| {}, stop: &|| false };
            needy_environment(context, &interpreter, &[], "app-server", &needs(debian))
        };

        let folder = tempfile::tempdir().unwrap();
        let (_, libraries) = make(&home(folder.path(), true), debian.clone()).unwrap();
        assert_eq!(libraries, Vec::<PathBuf>::new());

        let folder = tempfile::tempdir().unwrap();
        let without = home(folder.path(), false);
        let error = make(&without, None).unwrap_err().to_string();
        assert!(
            error.contains("libev's headers is missing") && error.contains("fatal error: ev.h"),
            "{error}"
        );
        let there = folder.path().join("tools/libev/root/usr/lib/x86_64-linux-gnu");
        fs::create_dir_all(&there).unwrap();
        fs::write(folder.path().join("tools/libev").join(COMPLETE), "libev-dev libev4\n\n").unwrap();
        let (_, libraries) = make(&without, debian).unwrap();
        assert_eq!(libraries, [there]);
    }
}
