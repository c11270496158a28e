//! Packages of Debian or a distribution made from it, unpacked into the cache: installs nothing, starts no service and
//! needs no rights.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Context,
    command::Outside,
    error::ProvisionError,
    part::alone,
    python::{COMPLETE, on_path},
};

/// What to unpack.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What people call it, for instance `nginx`; also its folder in the cache.
    pub name: &'a str,
    /// Packages that must be there.
    pub packages: &'a [&'a str],
    /// Libraries that a minimal system may lack, under the names of all releases; those that a release doesn't know are
    /// left out.
    pub libraries: &'a [&'a str],
    /// Text of a `sources.list` instead of the system's own: another release of the distribution.
    pub sources: Option<&'a str>,
    /// What to do where there is no apt, for instance "install it from your system's packages".
    pub remedy: &'a str,
}

/// Packages that lie in the cache.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// The folder that stands for `/`.
    pub root: PathBuf,
    /// Its folders of shared libraries.
    pub libraries: Vec<PathBuf>,
}

impl Unpacked {
    /// Variables that let compilers find its headers and libraries, after what the user's own say. Second are folders of
    /// headers from elsewhere.
    pub(crate) fn for_builds(&self, more: &[PathBuf]) -> BTreeMap<String, String> {
        let own = [self.root.join("usr/include")];
        let headers: Vec<_> =
            own.iter().chain(more).map(|folder| format!("-I{}", folder.display())).collect();
        let libraries = self.libraries.iter().map(|folder| format!("-L{}", folder.display()));
        let with_own = |name: &str, words: Vec<String>| {
            let own = std::env::var(name).unwrap_or_default();
            (name.to_owned(), format!("{own} {}", words.join(" ")).trim().to_owned())
        };
        BTreeMap::from([with_own("CFLAGS", headers), with_own("LDFLAGS", libraries.collect())])
    }
}

impl Wanted<'_> {
    /// The packages, fetched if they aren't in the cache.
    ///
    /// # Errors
    /// They aren't there and may not, or can't, be fetched.
    pub fn unpacked(&self, context: Context<'_>) -> Result<Unpacked, ProvisionError> {
        let folder = context.home.path().join("tools").join(self.name);
        alone(&folder, || self.unpack_once(context, &folder))?;
        let root = folder.join("root");
        let libraries = library_folders(&root);
        Ok(Unpacked { root, libraries })
    }

    fn unpack_once(&self, context: Context<'_>, folder: &Path) -> Result<(), ProvisionError> {
        let contents = self.contents();
        if fs::read_to_string(folder.join(COMPLETE)).ok().as_ref() == Some(&contents) {
            return Ok(());
        }
        if !context.setup {
            let remedy = format!("run again with --setup, or {}", self.remedy);
            return Err(ProvisionError::missing(self.name, remedy));
        }
        if on_path("apt-get").is_none() || on_path("dpkg-deb").is_none() {
            return Err(ProvisionError::missing(self.name, self.remedy));
        }
        self.unpack(context, folder)?;
        fs::write(folder.join(COMPLETE), contents).map_err(ProvisionError::io(folder))
    }

    /// What makes two unpacked folders the same.
    fn contents(&self) -> String {
        let sources = self.sources.map(|text| format!("{}\n", text.trim())).unwrap_or_default();
        format!("{}\n{}\n{sources}", self.packages.join(" "), self.libraries.join(" "))
    }

    /// Downloads the packages and unpacks them.
    fn unpack(&self, context: Context<'_>, folder: &Path) -> Result<(), ProvisionError> {
        let _ = fs::remove_dir_all(folder);
        let (packages, root) = (folder.join("packages"), folder.join("root"));
        fs::create_dir_all(&root).map_err(ProvisionError::io(&root))?;
        let apt = Apt::new(folder, self.sources)?;
        let apt = |arguments: &[&str]| apt.command(context, arguments, &packages);
        apt(&["update"]).run()?;
        apt(&[&["download"], self.packages].concat()).run()?;
        for library in self.libraries {
            // Not every release has each of them.
            let _ = apt(&["download", library]).run_quietly();
        }
        for entry in fs::read_dir(&packages).map_err(ProvisionError::io(&packages))?.flatten() {
            Outside::new(context, "dpkg-deb").args(["-x"]).path(&entry.path()).path(&root).run_quietly()?;
        }
        drop(fs::remove_dir_all(&packages));
        Apt::remove(folder);
        Ok(())
    }
}

/// apt with lists of our own, for the system's may be empty and need rights to fill.
pub(crate) struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// One whose files are in `folder`; `sources` is a text of `sources.list` instead of the system's own.
    pub fn new(folder: &Path, sources: Option<&str>) -> Result<Self, ProvisionError> {
        let (lists, cache, packages) = (folder.join("lists"), folder.join("cache"), folder.join("packages"));
        for path in [&lists.join("partial"), &cache.join("archives/partial"), &packages] {
            fs::create_dir_all(path).map_err(ProvisionError::io(path))?;
        }
        let mut options = vec![
            format!("Dir::State::Lists={}", lists.display()),
            format!("Dir::Cache={}", cache.display()),
            "Debug::NoLocking=1".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        if let Some(text) = sources {
            let path = folder.join("sources.list");
            fs::write(&path, text).map_err(ProvisionError::io(&path))?;
            options.push(format!("Dir::Etc::SourceList={}", path.display()));
            options.push("Dir::Etc::SourceParts=-".to_owned());
        }
        Ok(Self { options })
    }

    /// `apt-get` with these arguments in `folder`.
    pub fn command<'a>(&self, context: Context<'a>, arguments: &[&str], folder: &Path) -> Outside<'a> {
        let options = self.options.iter().flat_map(|option| ["-o", option.as_str()]);
        Outside::new(context, "apt-get")
            .args(["-q"])
            .args(options)
            .args(arguments.iter().copied())
            .folder(folder)
    }

    /// Removes its lists and cache.
    pub fn remove(folder: &Path) {
        for name in ["lists", "cache"] {
            let _ = fs::remove_dir_all(folder.join(name));
        }
    }
}

/// The variable that lets a program find unpacked libraries; empty for the system's own.
pub fn library_environment(libraries: &[PathBuf]) -> BTreeMap<String, String> {
    match std::env::join_paths(libraries) {
        Ok(path) if !libraries.is_empty() => {
            BTreeMap::from([("LD_LIBRARY_PATH".to_owned(), path.to_string_lossy().into_owned())])
        }
        _ => BTreeMap::new(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Home;

    const WANTED: Wanted<'_> = Wanted {
        name: "thing",
        packages: &["thing"],
        libraries: &["libthing1"],
        sources: None,
        remedy: "install it from your system's packages",
    };

    #[test]
    fn what_is_in_the_cache_is_used_until_other_packages_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().join("home")).unwrap();
        let context = Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false };
        let error = WANTED.unpacked(context).unwrap_err().to_string();
        assert!(error.contains("run again with --setup, or install it"), "{error}");

        let tool = home.path().join("tools/thing");
        fs::create_dir_all(tool.join("root/usr/lib/x86_64-linux-gnu")).unwrap();
        fs::write(tool.join(COMPLETE), WANTED.contents()).unwrap();
        let unpacked = WANTED.unpacked(context).unwrap();
        assert_eq!(unpacked.libraries, [tool.join("root/usr/lib/x86_64-linux-gnu")]);
        let variable = library_environment(&unpacked.libraries);
        assert!(variable["LD_LIBRARY_PATH"].ends_with("root/usr/lib/x86_64-linux-gnu"));
        assert_eq!(library_environment(&[]), BTreeMap::new());
        let flags = unpacked.for_builds(&["/x".into()]);
        assert!(
            flags["CFLAGS"].ends_with(&format!("-I{}/root/usr/include -I/x", tool.display())),
            "{flags:?}"
        );
        let library = format!("-L{}/root/usr/lib/x86_64-linux-gnu", tool.display());
        assert!(flags["LDFLAGS"].ends_with(&library), "{flags:?}");

        let more = Wanted { packages: &["thing", "other"], ..WANTED };
        assert!(more.unpacked(context).is_err(), "unpacked for less than is wanted");
    }
}
