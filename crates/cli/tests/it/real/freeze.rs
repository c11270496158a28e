//! What is really installed is what is written down: `stacks/freeze/`, made again and compared.

use std::fs;

use dyno_provision::{Context, Home, interpreters};

use crate::{
    bench::{Bench, repository, skipped, text},
    choice::long_test_runs,
};

/// A stack of each family of requirements.
const STACKS: [&str; 6] = [
    "flask/gunicorn",
    "django/gunicorn",
    "fastapi-asyncpg/uvicorn",
    "fastapi-orm-asyncpg/uvicorn",
    "fastapi-aiopg/uvicorn",
    "tornado/tornado",
];

#[test]
fn what_is_installed_is_written_down() {
    if !long_test_runs(&["crates/provision/src/python.rs"]) {
        return;
    }
    let bench = Bench::real();
    let home = Home::open(bench.home().to_owned()).unwrap();
    let context = Context { home: &home, setup: false, echo: &|_| {}, stop: &|| false };
    let frozen = |name: &str| repository().join(format!("stacks/freeze/freeze-{name}.txt")).is_file();
    let all = interpreters(context).unwrap();
    let Some(interpreter) = all.iter().map(|one| one.name.as_str()).find(|name| frozen(name)) else {
        skipped("this machine has none of the interpreters that stacks/freeze/ is about");
        return;
    };
    let names: Vec<String> = STACKS.iter().map(|stack| format!("{stack}@{interpreter}")).collect();
    let mut arguments = vec!["freeze", "--check"];
    arguments.extend(names.iter().map(String::as_str));
    let output = bench.dyno(&arguments);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));

    // A version that changed, or one that nobody wrote down, is named.
    let root = bench.folder.path().join("project");
    for folder in ["contract", "plans"] {
        std::os::unix::fs::symlink(repository().join(folder), {
            fs::create_dir_all(&root).unwrap();
            root.join(folder)
        })
        .unwrap();
    }
    let stacks = root.join("stacks");
    fs::create_dir_all(stacks.join("freeze")).unwrap();
    for entry in fs::read_dir(repository().join("stacks")).unwrap().flatten() {
        if entry.file_name() != "freeze" {
            std::os::unix::fs::symlink(entry.path(), stacks.join(entry.file_name())).unwrap();
        }
    }
    let file = format!("freeze/freeze-{interpreter}.txt");
    let written = fs::read_to_string(repository().join("stacks").join(&file)).unwrap();
    let line = written.lines().find(|line| line.starts_with("flask==")).unwrap();
    fs::write(stacks.join(&file), written.replace(line, "flask==0.1")).unwrap();
    let output = bench.command(&arguments).env("DYNO_ROOT", &root).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains(&format!("{line} is installed and not written down")));
}
