//! The checks of what isn't Rust, the stacks and `benches/`, with tools that dyno's provisioning prepares: ruff and
//! pytest, gofmt, go vet and go test, and cargo for the app that isn't in the workspace.

use std::{path::Path, process::Command};

use dyno_provision::{Context, Home, cargo, go, interpreters, python_environment};

use crate::bench::{beside, plain_parts, real_parts, repository, warm_home};

fn home() -> Home {
    Home::open(warm_home()).unwrap()
}

fn passes(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}\n{told}");
    told
}

#[test]
fn python_is_formatted_linted_and_tested() {
    // uv is in the cache from then on.
    plain_parts();
    let _machine = beside();
    let home = home();
    let context = Context { home: &home, setup: true, echo: &|_| {}, stop: &|| false };
    let stacks = repository().join("stacks/python");
    let locks = repository().join("stacks/tools/dev/locks");
    let lock = |version: &str| locks.join(format!("{version}.txt"));
    let all = interpreters(context).unwrap();
    let python = all.into_iter().find(|one| lock(&one.name).is_file()).unwrap();
    let tools = python_environment(context, &python, &[lock(&python.name)], "dev").unwrap();
    let tool = |folder: &Path, arguments: &[&str]| {
        let mut command = Command::new(tools.python());
        command.arg("-m").args(arguments).current_dir(folder);
        command
    };
    // The launchers of servers have no tests of their own, and the settings of the apps.
    let settings = stacks.join("pyproject.toml").display().to_string();
    for folder in ["stacks/servers", "crates/testkit/project"].map(|folder| repository().join(folder)) {
        passes(&mut tool(&folder, &["ruff", "format", "--check", "--config", &settings, "."]));
        passes(&mut tool(&folder, &["ruff", "check", "--config", &settings, "."]));
    }
    for folder in [stacks, repository().join("benches")] {
        passes(&mut tool(&folder, &["ruff", "format", "--check", "."]));
        passes(&mut tool(&folder, &["ruff", "check", "."]));
        let told = passes(&mut tool(&folder, &["pytest", "-q", "-p", "no:cacheprovider"]));
        assert!(told.contains(" passed") && !told.contains("skipped"), "{told}");
    }
}

#[test]
fn go_is_formatted_vetted_and_tested() {
    // Go is in the cache from then on, with what its own builds made.
    real_parts();
    let _machine = beside();
    let home = home();
    let context = Context { home: &home, setup: true, echo: &|_| {}, stop: &|| false };
    let (program, _) = go(context).unwrap();
    for module in ["go_core", "go_bun", "go_pgx"] {
        let source = repository().join("stacks").join(module);
        let tool = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command
                .args(arguments)
                .current_dir(&source)
                .env("GOTOOLCHAIN", "local")
                .env("GOFLAGS", "-mod=readonly -modcacherw");
            let cache = home.path().join("go");
            command.env("GOMODCACHE", cache.join("modules")).env("GOCACHE", cache.join("build"));
            command
        };
        passes(&mut tool(&["vet", "./..."]));
        let told = passes(&mut tool(&["test", "./..."]));
        assert!(told.contains("ok"), "{module}: {told}");
        // gofmt lies beside go, or in the toolchain's own folder.
        let root = passes(&mut tool(&["env", "GOROOT"]));
        let gofmt = Path::new(root.trim()).join("bin/gofmt");
        let unformatted = passes(Command::new(gofmt).args(["-l", "."]).current_dir(&source));
        assert_eq!(unformatted, "", "{module}");
    }
}

#[test]
fn rust_is_formatted_linted_and_tested() {
    let _machine = beside();
    let program = cargo().unwrap();
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .current_dir(repository().join("stacks/rust_axum"))
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust-axum"))
            // Nobody looks at a backtrace of it, and half of the time of its build would go there.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_TEST_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0");
        command
    };
    passes(&mut tool(&["fmt", "--check"]));
    passes(&mut tool(&["clippy", "--locked", "--all-targets", "--", "-D", "warnings"]));
    let told = passes(&mut tool(&["test", "--locked"]));
    assert!(told.contains("test result: ok") && !told.contains(" 0 passed"), "{told}");
}
