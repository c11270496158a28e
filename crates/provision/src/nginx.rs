//! nginx: the user's or the system's own, else the distribution's package unpacked into the cache; where that lacks an
//! event method, one that is built from the distribution's source.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use dyno_model::catalogue::EventMethod;

use crate::{
    Context,
    command::Outside,
    debian::{Apt, Wanted, library_environment},
    error::ProvisionError,
    part::alone,
    python::{COMPLETE, on_path},
    relocate::source_packages,
    settings,
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

const WANTED: Wanted<'_> = Wanted {
    name: "nginx",
    packages: &["nginx"],
    libraries: &["libpcre2-8-0", "libpcre3", "libssl3", "libssl3t64", "zlib1g", "libcrypt1"],
    sources: None,
    remedy: "install it from your system's packages, for instance `dnf install nginx` or `apk add nginx`",
};

/// What is built: every event method, and of modules what the fronts' configurations use. Without those that would need
/// headers which a machine may lack.
const CONFIGURE: [&str; 5] = [
    "--with-poll_module",
    "--with-select_module",
    "--without-http_rewrite_module",
    "--without-http_gzip_module",
    "--with-http_stub_status_module",
];

/// The folder of the built one in the cache.
const BUILT: &str = "tools/nginx-built";

/// The nginx to use, one that has `method`: the user's, else one that was built before, the system's, the
/// distribution's package, and one to build. A built one comes before the system's so that all fronts of a run use the
/// same program: two builds differ in more than the event method.
///
/// # Errors
/// There is none that has the method, and none may, or can, be fetched or built.
pub fn nginx(context: Context<'_>, method: Option<EventMethod>) -> Result<Nginx, ProvisionError> {
    let fits = |nginx: &Nginx| method.is_none_or(|method| nginx.has(method));
    if let Some(binary) = &context.home.settings().programs.nginx {
        let wrong = |words: &str| {
            settings::wrong(context.home.path(), "nginx", format!("`nginx = {binary:?}` {words}"))
        };
        let own = Nginx::at(binary, &[]).ok_or_else(|| wrong("doesn't answer as an nginx"))?;
        return if fits(&own) { Ok(own) } else { Err(lacking(method, &own)) };
    }
    let built = Some(context.home.path().join(BUILT)).filter(|folder| folder.join(COMPLETE).is_file());
    let system =
        on_path("nginx").or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|path| path.is_file()));
    let there = built.map(|folder| folder.join("nginx")).into_iter().chain(system);
    let there: Vec<Nginx> = there.filter_map(|binary| Nginx::at(&binary, &[])).collect();
    if let Some(found) = there.iter().find(|nginx| fits(nginx)) {
        return Ok(found.clone());
    }
    if matches!(method, Some(EventMethod::Poll | EventMethod::Select)) {
        return alone(&context.home.path().join(BUILT), || build(context, method));
    }
    let unpacked = WANTED.unpacked(context)?;
    let found = Nginx::at(&unpacked.root.join("usr/sbin/nginx"), &unpacked.libraries);
    found.ok_or_else(|| ProvisionError::missing("a working nginx", "install it from your system's packages"))
}

fn named(method: Option<EventMethod>) -> String {
    method.map_or("an nginx".to_owned(), |method| format!("an nginx that has `use {};`", method.name()))
}

fn lacking(method: Option<EventMethod>, nginx: &Nginx) -> ProvisionError {
    let remedy = format!("{}, which your settings name, was built without it", nginx.binary.display());
    ProvisionError::missing(named(method), remedy)
}

impl Nginx {
    /// The program at a path, if it is an nginx that runs.
    fn at(binary: &Path, libraries: &[PathBuf]) -> Option<Self> {
        let mut command = Command::new(binary);
        command.arg("-v").envs(library_environment(libraries));
        let output = command.output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let version = text.trim().rsplit_once("nginx/")?.1.split(' ').next()?.to_owned();
        Some(Self { binary: binary.to_owned(), version, libraries: libraries.to_vec() })
    }

    /// Whether its configuration may say `use METHOD;`: it is asked, for `nginx -V` doesn't tell all that is built in.
    pub fn has(&self, method: EventMethod) -> bool {
        let Ok(folder) = tempfile::tempdir() else { return false };
        let configuration = folder.path().join("nginx.conf");
        let text = format!(
            "pid {}/pid;\nevents {{ use {}; worker_connections 16; }}\n",
            folder.path().display(),
            method.name()
        );
        let test = |configuration: &Path| {
            let mut command = Command::new(&self.binary);
            command.args(["-t", "-e", "stderr", "-p"]).arg(folder.path()).arg("-c").arg(configuration);
            command.envs(library_environment(&self.libraries)).output()
        };
        fs::write(&configuration, text).is_ok()
            && test(&configuration).is_ok_and(|output| output.status.success())
    }

    /// The event methods that it has.
    pub fn methods(&self) -> Vec<EventMethod> {
        let all = [EventMethod::Epoll, EventMethod::Poll, EventMethod::Select];
        all.into_iter().filter(|method| self.has(*method)).collect()
    }
}

/// Builds one with every event method from the distribution's source, once.
fn build(context: Context<'_>, method: Option<EventMethod>) -> Result<Nginx, ProvisionError> {
    let by_hand = format!(
        "name the path of one in {}, for instance\n  [programs]\n  nginx = \"/opt/nginx/sbin/nginx\"",
        context.home.path().join(settings::FILE).display()
    );
    let missing = |remedy: String| ProvisionError::missing(named(method), format!("{remedy}, or {by_hand}"));
    if !context.setup {
        return Err(missing(
            "run again with --setup, which builds it (the packaged one lacks it)".to_owned(),
        ));
    }
    for tool in ["cc", "make", "tar", "apt-get"] {
        if on_path(tool).is_none() {
            return Err(missing(format!("install {tool}, which building it needs")));
        }
    }
    let folder = context.home.path().join(BUILT);
    // By somebody who wanted it at the same time.
    if let Some(there) = Some(folder.join("nginx")).filter(|_| folder.join(COMPLETE).is_file())
        && let Some(found) = Nginx::at(&there, &[]).filter(|one| method.is_none_or(|method| one.has(method)))
    {
        return Ok(found);
    }
    let _ = fs::remove_dir_all(&folder);
    let (packages, source, binary) = (folder.join("packages"), folder.join("source"), folder.join("nginx"));
    fs::create_dir_all(&source).map_err(ProvisionError::io(&source))?;
    let apt = Apt::new(&folder, Some(&source_packages(context)?))?;
    apt.command(context, &["update"], &packages).run()?;
    apt.command(context, &["--download-only", "source", "nginx"], &packages).run()?;
    // The source as its authors released it: Debian's changes concern files that it installs.
    let archive = fs::read_dir(&packages).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_source = |path: &PathBuf| path.to_string_lossy().contains(".orig.tar.") && !path.ends_with(".asc");
    let archive = archive.filter(is_source).find(|path| path.extension().is_none_or(|end| end != "asc"));
    let archive = archive.ok_or_else(|| missing("its source package holds no source".to_owned()))?;
    Outside::new(context, "tar")
        .args(["--extract", "--strip-components=1", "--file"])
        .path(&archive)
        .folder(&source)
        .run()?;
    let prefix = format!("--prefix={}", folder.display());
    Outside::new(context, source.join("configure"))
        .args([prefix.as_str()])
        .args(CONFIGURE)
        .folder(&source)
        .run()?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    Outside::new(context, "make").args([format!("-j{jobs}")]).folder(&source).run()?;
    fs::rename(source.join("objs/nginx"), &binary).map_err(ProvisionError::io(&binary))?;
    for path in [&packages, &source] {
        let _ = fs::remove_dir_all(path);
    }
    Apt::remove(&folder);
    let built = Nginx::at(&binary, &[]).filter(|nginx| method.is_none_or(|method| nginx.has(method)));
    let built = built.ok_or_else(|| missing("the one that was built hasn't got it".to_owned()))?;
    fs::write(folder.join(COMPLETE), &built.version).map_err(ProvisionError::io(&folder))?;
    Ok(built)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::Home;

    /// A program that answers as an nginx whose configurations may `use` only these methods.
    fn pretender(path: &Path, methods: &str) {
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = -v ] && {{ echo 'nginx version: nginx/1.2.3 (Debian)' >&2; exit 0; }}\n\
            for word; do configuration=$word; done\ngrep -qE 'use ({methods});' \"$configuration\"\n"
        );
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_users_own_is_asked_for_its_event_methods() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("my-nginx");
        pretender(&program, "epoll|poll");
        fs::write(folder.path().join("settings.toml"), format!("[programs]\nnginx = {program:?}\n")).unwrap();
        let home = Home::open(folder.path().to_owned()).unwrap();
        let context = Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false };
        let found = nginx(context, Some(EventMethod::Poll)).unwrap();
        assert_eq!((found.binary.as_path(), found.version.as_str()), (program.as_path(), "1.2.3"));
        assert_eq!(found.methods(), [EventMethod::Epoll, EventMethod::Poll]);
        let error = nginx(context, Some(EventMethod::Select)).unwrap_err().to_string();
        assert!(error.contains("an nginx that has `use select;` is missing"), "{error}");

        fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        let error = nginx(context, None).unwrap_err().to_string();
        assert!(
            error.contains("settings.toml:2: ") && error.contains("doesn't answer as an nginx"),
            "{error}"
        );
    }

    #[test]
    fn the_built_one_comes_before_the_systems() {
        let folder = tempfile::tempdir().unwrap();
        let built = folder.path().join(BUILT);
        fs::create_dir_all(&built).unwrap();
        pretender(&built.join("nginx"), "epoll|poll|select");
        let home = Home::open(folder.path().to_owned()).unwrap();
        let context = Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false };
        let without = nginx(context, Some(EventMethod::Select));
        assert!(
            without.is_err_and(|error| error.to_string().contains("run again with --setup, which builds it"))
        );
        fs::write(built.join(COMPLETE), "").unwrap();
        for method in [None, Some(EventMethod::Epoll), Some(EventMethod::Select)] {
            assert_eq!(nginx(context, method).unwrap().binary, built.join("nginx"));
        }
    }
}
