//! Which of the long tests run: all with `DYNO_TESTS=all`; else those whose files differ from the last merged state.

use std::process::Command;

use crate::bench::{repository, skipped, text};

/// What every long test is about.
const COMMON: [&str; 2] = ["stacks", "contract"];
/// Where the last merged state is looked for.
const MERGED: [&str; 4] = ["origin/HEAD", "origin/main", "main", "master"];

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(repository()).args(arguments).output().ok()?;
    output.status.success().then(|| text(&output.stdout).trim().to_owned())
}

/// Whether all tests were asked for.
pub fn all() -> bool {
    std::env::var("DYNO_TESTS").is_ok_and(|value| value == "all")
}

/// Why a long test about `stacks/`, `contract/` and `more` isn't needed; nothing where it is.
fn not_needed(more: &[&str]) -> Option<String> {
    if all() {
        return None;
    }
    let merged = MERGED.iter().find_map(|name| Some((name, git(&["merge-base", "HEAD", name])?)));
    let Some((name, commit)) = merged else {
        return Some("git doesn't tell the last merged state; DYNO_TESTS=all runs it".to_owned());
    };
    let about = [&COMMON[..], more].concat();
    let tracked = git(&[&["diff", "--name-only", &commit, "--"], &about[..]].concat())?;
    let new = git(&[&["ls-files", "--others", "--exclude-standard", "--"], &about[..]].concat())?;
    let words = format!(
        "nothing in {} differs from {name} ({}); DYNO_TESTS=all runs it",
        about.join(", "),
        &commit[..12.min(commit.len())]
    );
    (tracked.is_empty() && new.is_empty()).then_some(words)
}

/// Whether a long test about `stacks/`, `contract/` and `more` runs; else it says why not.
pub fn long_test_runs(more: &[&str]) -> bool {
    let why = not_needed(more);
    if let Some(why) = &why {
        skipped(why);
    }
    why.is_none()
}
