//! Rust: the user's own `cargo`; builds keyed by their sources.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    Context,
    built::{Built, Sources, entries},
    command::Outside,
    error::ProvisionError,
    python::on_path,
};

/// The user's `cargo`: on `PATH`, else where rustup puts it. None is fetched: a Rust toolchain isn't in a package registry
/// that dyno could pin.
///
/// # Errors
/// It isn't there.
pub fn cargo() -> Result<PathBuf, ProvisionError> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    on_path("cargo")
        .or_else(|| home.map(|home| home.join("bin/cargo")).filter(|path| path.is_file()))
        .ok_or_else(|| {
            ProvisionError::missing(
                "cargo",
                "install Rust 1.88 or newer with rustup, or put its cargo on PATH",
            )
        })
}

/// Builds the Rust program in `source`, once for each state of its files. Its package has the app's name.
///
/// # Errors
/// No toolchain, or the build fails.
pub fn rust_build(context: Context<'_>, source: &Path, name: &str) -> Result<Built, ProvisionError> {
    let cargo = cargo()?;
    // In the source's folder, which may name a toolchain of its own.
    let version = Outside::new(context, &cargo).args(["--version"]).folder(source).run_quietly()?;
    let toolchain = version.trim().to_owned();
    let target = context.home.folder("rust")?;
    let sources = Sources { name, files: files(source)?, lock: source.join("Cargo.lock"), toolchain };
    sources.built(context, |binary| {
        Outside::new(context, &cargo)
            .args(["build", "--release", "--locked", "--bin", name])
            .folder(source)
            .env("CARGO_TARGET_DIR", &target)
            // The same build on each machine, at the same place.
            .without_env("CARGO_BUILD_TARGET")
            .without_env("CARGO_ENCODED_RUSTFLAGS")
            .without_env("RUSTFLAGS")
            .run()?;
        fs::copy(target.join("release").join(name), binary).map_err(ProvisionError::io(binary))?;
        Ok(())
    })
}

/// All files, those that cargo itself writes left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ProvisionError> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        if !path.is_dir() {
            found.push(path);
        } else if !path.ends_with("target") {
            found.extend(files(&path)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Home;

    #[test]
    fn what_cargo_writes_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["src/main.rs", "src/a/b.rs", "Cargo.lock", "target/release/x"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut found = files(folder.path()).unwrap();
        found.sort();
        let expected = ["Cargo.lock", "src/a/b.rs", "src/main.rs"].map(|name| folder.path().join(name));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_program_is_built_once_for_each_state() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("app");
        let write = |name: &str, text: &str| {
            let path = source.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "Cargo.toml",
            "[workspace]\n[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
        );
        write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"tiny\"\nversion = \"0.1.0\"\n");
        write("src/main.rs", "fn main() { println!(\"one\"); }\n");
        let home = Home::open(folder.path().join("home")).unwrap();
        let build = |setup| {
            rust_build(Context { home: &home, setup, echo: &|_| {}, stop: &|| false }, &source, "tiny")
        };
        assert!(build(false).unwrap_err().to_string().contains("run again with --setup"));
        let say = |built: &Built| {
            String::from_utf8(std::process::Command::new(&built.binary).output().unwrap().stdout).unwrap()
        };
        let one = build(true).unwrap();
        assert_eq!(say(&one), "one\n");
        assert!(one.toolchain.starts_with("cargo "), "{}", one.toolchain);
        assert_eq!(build(false).unwrap().binary, one.binary);
        write("src/main.rs", "fn main() { println!(\"two\"); }\n");
        assert!(build(false).is_err());
        assert_eq!((say(&build(true).unwrap()), say(&one)), ("two\n".to_owned(), "one\n".to_owned()));
    }
}
