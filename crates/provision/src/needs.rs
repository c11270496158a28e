//! Environments whose packages are built against libraries that the machine may lack: those come from the
//! distribution's packages, unpacked into the cache.

use std::{collections::BTreeMap, path::PathBuf};

use dyno_model::catalogue::{NeededPackages, Needs};

use crate::{
    Context, Interpreter, Origin, ProvisionError, PythonEnvironment,
    debian::{Unpacked, Wanted},
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
