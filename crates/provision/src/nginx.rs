//! nginx: the system's, else the distribution's package unpacked into the cache, which installs nothing, starts no
//! service and needs no rights.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Context,
    command::Outside,
    error::ProvisionError,
    python::{COMPLETE, on_path},
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

/// Libraries that nginx links and that a minimal system may lack, under the names of Debian's and Ubuntu's
/// releases; those that a release doesn't know are left out.
const LIBRARIES: [&str; 6] = ["libpcre2-8-0", "libpcre3", "libssl3", "libssl3t64", "zlib1g", "libcrypt1"];

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
    let folder = context.home.path().join("tools/nginx");
    if !folder.join(COMPLETE).is_file() {
        if !context.setup {
            return Err(ProvisionError::missing(
                "nginx",
                "run again with --setup, or install it from your system's packages",
            ));
        }
        if on_path("apt-get").is_none() || on_path("dpkg-deb").is_none() {
            let remedy =
                "install it from your system's packages, for instance `dnf install nginx` or `apk add nginx`";
            return Err(ProvisionError::missing("nginx", remedy));
        }
        unpack(context, &folder)?;
    }
    let root = folder.join("root");
    let libraries = library_folders(&root);
    let binary = root.join("usr/sbin/nginx");
    match version(&binary, &libraries) {
        Some(version) => Ok(Nginx { binary, version, libraries }),
        None => Err(ProvisionError::missing("a working nginx", "install it from your system's packages")),
    }
}

fn version(binary: &Path, libraries: &[PathBuf]) -> Option<String> {
    let mut command = Command::new(binary);
    command.arg("-v");
    if !libraries.is_empty() {
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).ok()?);
    }
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(text.trim().rsplit('/').next()?.to_owned())
}

/// Downloads the packages with lists of our own, for the system's may be empty and need rights to fill.
fn unpack(context: Context<'_>, folder: &Path) -> Result<(), ProvisionError> {
    let (lists, cache, packages, root) =
        (folder.join("lists"), folder.join("cache"), folder.join("packages"), folder.join("root"));
    let _ = fs::remove_dir_all(folder);
    for path in [&lists.join("partial"), &cache.join("archives/partial"), &packages, &root] {
        fs::create_dir_all(path).map_err(ProvisionError::io(path))?;
    }
    let apt = |arguments: &[&str]| {
        Outside::new(context, "apt-get")
            .args(["-q", "-o", &format!("Dir::State::Lists={}", lists.display())])
            .args(["-o", &format!("Dir::Cache={}", cache.display()), "-o", "Debug::NoLocking=1"])
            .args(["-o", "APT::Sandbox::User="])
            .args(arguments.iter().copied())
            .folder(&packages)
    };
    apt(&["update"]).run()?;
    apt(&["download", "nginx"]).run()?;
    for library in LIBRARIES {
        // Not every release has each of them.
        let _ = apt(&["download", library]).run_quietly();
    }
    for entry in fs::read_dir(&packages).map_err(ProvisionError::io(&packages))?.flatten() {
        Outside::new(context, "dpkg-deb").args(["-x"]).path(&entry.path()).path(&root).run_quietly()?;
    }
    for path in [&lists, &cache, &packages] {
        let _ = fs::remove_dir_all(path);
    }
    fs::write(folder.join(COMPLETE), "").map_err(ProvisionError::io(folder))
}

fn library_folders(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for base in ["lib", "usr/lib"] {
        for entry in fs::read_dir(root.join(base)).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains("linux-gnu") {
                found.push(entry.path());
            }
        }
    }
    found
}
