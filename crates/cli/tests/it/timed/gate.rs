//! `dyno gate` on a git repository of its own: what it decides, and what bad input meets.

use std::{fs, path::PathBuf, process::Command};

use dyno_model::{
    gate::{GateDecision, GateOutput},
    output::Metric,
    record::Block,
};

use crate::bench::{Bench, repository, skipped, text};

/// Short slices, few connections, and no twin: the difference that is planted is large.
const SHORT: [&str; 11] = [
    "--budget",
    "3m",
    "--operation",
    "hello",
    "--slice",
    "100ms",
    "--warm-up",
    "200ms",
    "--connections",
    "8",
    "--no-canary",
];

/// A project under git's care with one commit, called `first`.
fn committed(bench: &Bench) -> PathBuf {
    let root = bench.folder.path().join("project");
    fs::create_dir(&root).unwrap();
    for folder in ["stacks", "plans", "contract"] {
        let status = Command::new("cp").arg("-r").arg(repository().join(folder)).arg(&root).status().unwrap();
        assert!(status.success());
    }
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "first"],
        &["tag", "first"],
    ] {
        assert!(Command::new("git").arg("-C").arg(&root).args(arguments).status().unwrap().success());
    }
    root
}

/// Each greeting takes several times its CPU time.
fn slow_down(root: &std::path::Path) {
    let app = root.join("stacks/python/flask_common/dyno_flask_common/__init__.py");
    let source = fs::read_to_string(&app).unwrap();
    let greeting = "        return Response(hello.hello(greeted()), content_type=hello.TEXT)\n";
    let slower = source.replace(greeting, &format!("        sum(range(40_000))\n{greeting}"));
    assert_ne!(slower, source, "the greeting is where it was");
    fs::write(app, slower).unwrap();
}

fn gate(bench: &Bench, root: &std::path::Path, arguments: &[&str]) -> (Option<i32>, GateOutput, String) {
    let arguments = [&["gate"], arguments, &["--format", "json", "--quiet"]].concat();
    let output = bench.command(&arguments).env("DYNO_ROOT", root).env_remove("GITHUB_STEP_SUMMARY").output();
    let output = output.unwrap();
    let told = text(&output.stderr);
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    (output.status.code(), said, told)
}

/// Revisions that were written down and are still there.
fn revisions_left(bench: &Bench) -> usize {
    let folders = fs::read_dir(bench.home().join("run")).into_iter().flatten().flatten();
    folders.filter(|entry| entry.path().join("base").exists()).count()
}

/// The server's CPU time for each right answer over all recorded slices, in nanoseconds, of the base or of the work tree.
fn cpu_per_request(bench: &Bench, base: bool) -> f64 {
    let mut sum = (0, 0);
    for entry in fs::read_dir(bench.run_folder().unwrap().join("blocks")).unwrap().flatten() {
        let block: Block = serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
        let trials = block.trials.iter().filter(|trial| trial.stack.variant.base == base);
        for slice in trials.flat_map(|trial| &trial.slices) {
            sum.0 += slice.cpu_ns["server"];
            sum.1 += slice.outcome.counts.completed;
        }
    }
    sum.0 as f64 / sum.1 as f64
}

#[test]
fn a_slowdown_is_found() {
    let bench = Bench::real_alone();
    let root = committed(&bench);
    slow_down(&root);
    let summary = bench.folder.path().join("summary.md");
    let own = ["flask/gunicorn", "--base", "first", "--summary", summary.to_str().unwrap()];
    let (code, said, told) = gate(&bench, &root, &[&own[..], &SHORT].concat());
    let changed = "stacks/python/flask_common/dyno_flask_common/__init__.py";
    assert_eq!((said.changed.as_slice(), &said.uncommitted), (&[changed.to_owned()][..], &said.changed));
    assert_eq!(code, Some(i32::from(said.exit_code)));
    assert_eq!((bench.left_over(), revisions_left(&bench)), (Vec::new(), 0));
    let markdown = fs::read_to_string(summary).unwrap();
    assert!(markdown.contains("work tree / base") && markdown.contains("--base first"), "{markdown}");
    // In what was recorded, whatever of it a busy machine takes out of the verdict.
    let (tree, base) = (cpu_per_request(&bench, false), cpu_per_request(&bench, true));
    assert!(tree > 1.5 * base, "{tree} ns and {base} ns of CPU a request: {said:#?}");
    if said.decision == GateDecision::NoVerdict {
        skipped(&format!("this machine lets nothing be decided: {}", said.reason));
        return;
    }
    assert_eq!((said.decision, code), (GateDecision::Slower, Some(1)), "{said:#?} {told}");
    let cpu = said.rows.iter().find(|row| row.metric == Metric::CpuPerRequest).unwrap();
    assert!(said.blocks >= 8 && cpu.ratio.unwrap() > 1.5, "{said:#?}");
    assert!(markdown.starts_with("### dyno gate: SLOWER"), "{markdown}");
}

#[test]
fn what_did_not_change_is_not_measured() {
    let bench = Bench::real();
    let root = committed(&bench);
    // Another stack's app is nothing that this one is made of.
    fs::write(root.join("stacks/python/bottle/dyno_bottle/new.py"), "").unwrap();
    let (code, said, told) = gate(&bench, &root, &["flask/gunicorn", "--base", "HEAD"]);
    assert_eq!((code, said.decision), (Some(0), GateDecision::Unchanged), "{told}");
    assert!(said.rows.is_empty() && said.folder.is_none() && bench.run_folder().is_none());
    // A new file of its own is, and so is one that is gone.
    for change in ["new", "gone"] {
        let path = root.join("stacks/python/core/dyno_core");
        match change {
            "new" => fs::write(path.join("new.py"), "").unwrap(),
            _ => fs::remove_file(path.join("hello.py")).unwrap(),
        }
        // The budget is of no use here: the stack with a file gone can't be proven.
        if change == "gone" {
            let (code, said, _) = gate(&bench, &root, &["flask/gunicorn", "--base", "HEAD"]);
            assert_eq!((code, said.decision), (Some(2), GateDecision::NoVerdict), "{said:#?}");
            assert_eq!(said.changed.len(), 2, "{:?}", said.changed);
            assert!(said.reason.starts_with("flask/gunicorn: "), "{}", said.reason);
        }
    }
    assert_eq!((bench.left_over(), revisions_left(&bench)), (Vec::new(), 0));
}

#[test]
fn bad_input_is_named_and_nothing_is_measured() {
    let bench = Bench::real();
    let root = committed(&bench);
    let refused = |root: &std::path::Path, arguments: &[&str], words: &[&str]| {
        let output = bench.command(&[&["gate"], arguments].concat()).env("DYNO_ROOT", root).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        for word in words {
            assert!(told.contains(word), "{arguments:?}: no {word:?} in: {told}");
        }
        assert!(bench.run_folder().is_none(), "{arguments:?} left a run folder");
    };
    refused(&root, &["flask/gunicorn", "--base", "frist"], &["no revision `frist`", "did you mean `first`?"]);
    refused(&root, &["flask/gunicorn", "--base", "HEAD~1"], &["no revision `HEAD~1`", "fetch-depth: 0"]);
    refused(&root, &["flask/gunicorn", "--base=--help"], &["no revision `--help`"]);
    refused(&root, &["flask/gunicron", "--base", "first"], &["no stack is called `flask/gunicron`"]);
    refused(&root, &["flask/gunicorn", "--base", "first", "--delta", "3x"], &["`3x` isn't a share", "`3%`"]);
    refused(&root, &["flask/gunicorn:base", "--base", "first"], &["`dyno gate` alone"]);
    let bare = bench.folder.path().join("bare");
    fs::create_dir(&bare).unwrap();
    for folder in ["stacks", "plans", "contract"] {
        std::os::unix::fs::symlink(repository().join(folder), bare.join(folder)).unwrap();
    }
    refused(&bare, &["flask/gunicorn", "--base", "main"], &["no git repository"]);

    let manifest = root.join("stacks/python/flask/app.toml");
    let younger = fs::read_to_string(&manifest).unwrap().replace("name = \"flask\"", "name = \"younger\"");
    fs::write(manifest, younger).unwrap();
    let (code, said, _) = gate(&bench, &root, &["younger/gunicorn", "--base", "first"]);
    assert_eq!((code, said.decision), (Some(2), GateDecision::NoVerdict));
    assert!(said.reason.starts_with("nothing to compare with"), "{}", said.reason);
    assert_eq!(revisions_left(&bench), 0);
}
