//! `docs/add-a-stack.md`, followed word by word: a new app is one folder and no Rust.

use std::fs;

use crate::{
    bench::{Bench, copy, repository, text},
    choice::long_test_runs,
};

/// Each file that the page says to make, with its text.
fn files(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(path) = line.split_once("Make `").and_then(|(_, rest)| rest.split_once('`')) else {
            continue;
        };
        let block = lines.by_ref().skip_while(|line| !line.starts_with("```")).skip(1);
        let text: Vec<&str> = block.take_while(|line| !line.starts_with("```")).collect();
        found.push((path.0.to_owned(), text.join("\n") + "\n"));
    }
    found
}

#[test]
fn a_stranger_adds_an_app_with_one_folder() {
    if !long_test_runs(&["docs/add-a-stack.md", "crates/provision/src/lock.rs"]) {
        return;
    }
    let bench = Bench::real();
    let root = bench.folder.path().join("project");
    for folder in ["stacks", "contract", "plans"] {
        copy(&repository().join(folder), &root.join(folder));
    }
    let files = files(&fs::read_to_string(repository().join("docs/add-a-stack.md")).unwrap());
    assert_eq!(files.len(), 3, "{files:?}");
    for (path, text) in files {
        assert!(path.starts_with("stacks/python/mini/"), "{path} is outside of its one folder");
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let dyno = |arguments: &[&str]| {
        let output = bench.command(arguments).env("DYNO_ROOT", &root).output().unwrap();
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "dyno {}\n{told}", arguments.join(" "));
        told
    };
    assert!(dyno(&["lock", "mini"]).contains("locked"));
    let told = dyno(&["check", "mini/uvicorn"]);
    assert!(told.contains("4 passed, 0 failed, 9 not offered"), "{told}");
}
