//! A run's folder that is cut off, from a newer version, or hostile is shown or refused with a reason.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{fmt::Write, fs, os::unix::fs::symlink};

use crate::watched::{Watched, ask, made, port, wait_for};

#[test]
fn what_can_not_be_read_is_named_on_the_page() {
    let (run, blocks) = made();
    let good = serde_json::to_string(&blocks[0]).unwrap();
    let number = good.replacen("\"spin_per_ms\":100000.0", "\"spin_per_ms\":NaN", 1);
    assert_ne!(number, good);
    for (content, reason) in [
        (good[..good.len() / 2].to_owned(), "not a dyno record: EOF"),
        (number, "not a dyno record: expected value"),
        (good.replacen("\"format\":", "\"format\":9", 1), "was written by a newer dyno"),
        ("[".repeat(100_000), "not a dyno record"),
    ] {
        let watched = Watched::new();
        let server = watched.serve(0, true);
        watched.folder.write_run(&run).unwrap();
        fs::write(watched.folder.path().join("blocks/0000.json"), content).unwrap();
        let view = wait_for(port(&server), reason, |view| view["trouble"].is_string());
        let words = view["trouble"].as_str().unwrap();
        assert!(words.contains(reason) && words.contains("0000.json"), "{words}");
    }
    let watched = Watched::new();
    let server = watched.serve(0, true);
    watched.folder.write_run(&run).unwrap();
    symlink("/dev/zero", watched.folder.path().join("blocks/0000.json")).unwrap();
    let view = wait_for(port(&server), "no end", |view| view["trouble"].is_string());
    assert!(view["trouble"].as_str().unwrap().contains("isn't a file of at most"), "{view}");
}

#[test]
fn figures_beyond_all_measure_leave_the_page_alive() {
    let (run, mut blocks) = made();
    for slice in blocks.iter_mut().flat_map(|block| &mut block.trials).flat_map(|trial| &mut trial.slices) {
        slice.outcome.counts.sent = u64::MAX;
        slice.outcome.counts.failed.timed_out = u64::MAX;
        slice.outcome.counts.failed.reset = u64::MAX;
        slice.outcome.window_ns = u64::MAX;
        slice.usage.memory_bytes = u64::MAX;
    }
    let watched = Watched::new();
    let server = watched.serve(0, true);
    watched.folder.write_run(&run).unwrap();
    blocks.iter().for_each(|block| watched.folder.write_block(block).unwrap());
    // Shown, or refused with the reason, whatever the sums come to; a watcher that died would show nothing, for ever.
    let view =
        wait_for(port(&server), "anything", |view| view["trouble"].is_string() || view["blocks"] == 12);
    if let Some(words) = view["trouble"].as_str() {
        assert!(words.contains("make no sense"), "{words}");
    }
    assert!(ask(port(&server), "/metrics").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_million_trials_are_read_and_the_page_stays_small() {
    let (run, blocks) = made();
    let mut block = blocks[0].clone();
    let trial = dyno_model::record::Trial { slices: Vec::new(), ..block.trials[0].clone() };
    block.trials.clear();
    let (empty, trial) = (serde_json::to_string(&block).unwrap(), serde_json::to_string(&trial).unwrap());
    let mut trials = String::new();
    (0..1_000_000).for_each(|at| write!(trials, "{}{trial}", if at == 0 { "" } else { "," }).unwrap());
    let text = empty.replacen("\"trials\":[]", &format!("\"trials\":[{trials}]"), 1);
    assert!(text.len() > trial.len() * 1_000_000);
    let watched = Watched::new();
    let server = watched.serve(0, true);
    fs::write(watched.folder.path().join("blocks/0000.json"), text).unwrap();
    watched.folder.write_run(&run).unwrap();
    let view = wait_for(port(&server), "a million", |view| view["blocks"] == 1);
    assert_eq!(view["processes"].as_array().unwrap().len(), 1, "one row for each stack, not for each trial");
    assert!(view.to_string().len() < 64 * 1024);
}

#[test]
fn no_address_leads_out_of_the_pages() {
    let watched = Watched::new();
    let (run, blocks) = made();
    watched.folder.write_run(&run).unwrap();
    watched.folder.write_block(&blocks[0]).unwrap();
    let server = watched.serve(0, true);
    for target in [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2frun.json",
        "//etc/passwd",
        "/run.json",
        "/blocks/0000.json",
        "/logs/",
        "/page.css/../../run.json",
        "/api/log?name=../run.json",
    ] {
        let answer = ask(port(&server), target);
        assert!(answer.starts_with("HTTP/1.1 404") && answer.len() < 1000, "{target}: {answer}");
    }
}
