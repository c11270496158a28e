//! A run that is stopped, killed or full, a port that is taken, an import that fails.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use dyno_model::{
    output::RunOutput,
    record::{Block, BlockState, Run},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::bench::{Bench, PLAIN, copy, ports, skipped, text, wait_until};

const LONG: Duration = Duration::from_secs(300);
/// The plain stack's port under `dyno up`.
const PORT: u16 = 8901;

/// The plain stack twice, in short blocks.
const SHORT: &str = "title = \"short\"\nstacks = [\"plain/stdlib\", \"plain/stdlib:threads=2\"]\n\
    operations = [\"version\", \"fibonacci\"]\n\
    [data]\ncontacts = 300\n[design]\nblocks = 3\nwarm_up = \"100ms\"\nseed = 5\n\
    [throughput]\nconnections = 8\nslice = \"100ms\"\n\
    [latency]\nconnections = 8\nslice = \"200ms\"\n[latency.rates]\nversion = \"50/s\"\n";

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_resume_goes_on() {
    let bench = Bench::plain();
    let plan = bench.plan(&SHORT.replace("blocks = 3", "blocks = 4"));
    let child = bench.start(&["run", &plan, "--quiet"]);
    wait_until("a first block", LONG, || bench.blocks() >= 1);
    signal(child.id(), Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("go on with: dyno run --resume"), "{}", text(&output.stderr));
    assert_eq!(bench.left_over(), Vec::<String>::new());

    let folder = bench.run_folder().unwrap();
    let first: Block = read(&folder.join("blocks/0000.json"));
    let output = bench.dyno(&["run", "--resume", folder.to_str().unwrap(), "--format", "json", "--quiet"]);
    let results: RunOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), results.blocks), (Some(0), 4));
    assert_eq!(read::<Block>(&folder.join("blocks/0000.json")), first, "nothing that was measured is lost");
}

#[test]
fn nothing_survives_a_killed_dyno_and_its_run_goes_on() {
    let bench = Bench::plain();
    let plan = bench.plan(SHORT);
    let mut child = bench.start(&["run", &plan, "--quiet"]);
    wait_until("a first block", LONG, || bench.blocks() >= 1);
    wait_until("stacks of the next block", LONG, || {
        bench.left_over().iter().any(|line| line.contains("serve.py"))
    });
    signal(child.id(), Signal::SIGKILL);
    child.wait().unwrap();
    wait_until("nothing is left", Duration::from_secs(20), || bench.left_over().is_empty());

    let folder = bench.run_folder().unwrap();
    for entry in fs::read_dir(folder.join("blocks")).unwrap().flatten() {
        let _whole: Block = read(&entry.path());
    }
    let output = bench.dyno(&["run", "--resume", folder.to_str().unwrap(), "--format", "json", "--quiet"]);
    let results: RunOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), results.blocks), (Some(0), 3));
    let databases = fs::read_dir(bench.home().join("databases")).unwrap().count();
    assert_eq!(databases, 0, "the killed dyno's data folder was cleared");
}

/// What the plain stack says at its own port, if it answers.
fn heartbeat() -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).ok()?;
    stream.write_all(b"GET /heartbeat HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn a_stack_is_up_until_ctrl_c_and_a_second_dyno_is_refused() {
    let bench = Bench::plain();
    let _ports = ports();
    let mut child = bench.start(&["up", PLAIN, "--admin", "0"]);
    wait_until("it answers", LONG, || {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        heartbeat().is_some_and(|answer| answer.contains("plain-server"))
    });
    let second = bench.dyno(&["check", PLAIN]);
    assert_eq!(second.status.code(), Some(5), "two dynos on one cache");
    assert!(
        text(&second.stderr).contains(&format!("another dyno (pid {})", child.id())),
        "{}",
        text(&second.stderr)
    );
    signal(child.id(), Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(TcpListener::bind(("127.0.0.1", PORT)).is_ok(), "the port is free again");
    assert_eq!(bench.left_over(), Vec::<String>::new());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let bench = Bench::plain();
    let _ports = ports();
    let _taken = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    let output = bench.dyno(&["up", PLAIN, "--no-admin", "--quiet"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains(&format!("{PLAIN} wants 127.0.0.1:{PORT}")) && told.contains("in use"), "{told}");
    assert_eq!(bench.left_over(), Vec::<String>::new());
}

/// A second app beside the plain one, whose import fails.
fn broken_app(root: &Path) {
    let (plain, broken) = (root.join("stacks/python/plain"), root.join("stacks/python/broken"));
    copy(&plain, &broken);
    let manifest = fs::read_to_string(plain.join("app.toml")).unwrap();
    let manifest = manifest.replace("name = \"plain\"", "name = \"broken\"");
    fs::write(broken.join("app.toml"), manifest.replace("\"plain\", \"core\"", "\"broken\", \"core\""))
        .unwrap();
    fs::write(broken.join("dyno_plain/app.py"), "import no_such_module_anywhere\n").unwrap();
}

#[test]
fn a_stack_whose_import_fails_is_a_row_and_the_rest_goes_on() {
    let bench = Bench::plain();
    broken_app(bench.root());
    let plan = SHORT.replace("blocks = 3", "blocks = 1").replace("plain/stdlib:threads=2", "broken/stdlib");
    let output = bench.dyno(&["run", &bench.plan(&plan), "--format", "json", "--quiet"]);
    let results: RunOutput =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(results.not_run.len(), 1);
    assert_eq!(results.not_run[0].stack.to_string(), "broken/stdlib");
    assert!(results.not_run[0].reason.contains("no_such_module_anywhere"), "{}", results.not_run[0].reason);
    assert!(results.results.iter().all(|one| one.stack.to_string() == PLAIN));
    // What was measured, whatever of it is left out because the machine was busy.
    let block: Block = read(&bench.run_folder().unwrap().join("blocks/0000.json"));
    let measured: u64 =
        block.trials.iter().flat_map(|one| &one.slices).map(|one| one.outcome.counts.completed).sum();
    assert!(block.trials.iter().all(|trial| trial.stack.to_string() == PLAIN) && measured > 0, "{measured}");
}

#[test]
fn a_full_disk_is_said_and_leaves_no_half_written_record() {
    if !nix::unistd::geteuid().is_root() {
        skipped("mounting a small disk needs root");
        return;
    }
    let bench = Bench::plain();
    fs::create_dir(bench.runs()).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(bench.runs()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        skipped("this container may not mount a small disk");
        return;
    }
    let plan = bench.plan(&SHORT.replace("blocks = 3", "blocks = 40"));
    let output = bench.dyno(&["run", &plan, "--quiet"]);
    let whole = bench.run_folder().is_none_or(|folder| {
        let blocks = fs::read_dir(folder.join("blocks")).unwrap().flatten();
        blocks
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "json"))
            .all(|entry| serde_json::from_slice::<Block>(&fs::read(entry.path()).unwrap()).is_ok())
    });
    let unmounted = Command::new("umount").arg(bench.runs()).status().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("No space left") && told.contains("runs/"), "{told}");
    assert!(whole, "a record is whole or not there");
    assert!(unmounted.success());
    assert_eq!(bench.left_over(), Vec::<String>::new());
}

#[test]
fn the_counts_of_a_run_add_up_in_every_slice() {
    let bench = Bench::plain();
    let plan = bench.plan(SHORT);
    let output = bench.dyno(&["run", &plan, "--format", "json", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let folder = bench.run_folder().unwrap();
    let run: Run = read(&folder.join("run.json"));
    assert!(run.prepared.iter().all(|one| one.commands.keys().eq(["server"])), "no worker, no front");
    for index in 0..3 {
        let block: Block = read(&folder.join(format!("blocks/{index:04}.json")));
        assert_eq!(block.state, BlockState::Complete);
        for slice in block.trials.iter().flat_map(|trial| &trial.slices) {
            let counts = slice.outcome.counts;
            assert_eq!(counts.planned, counts.sent + counts.not_sent);
            assert_eq!((counts.completed, counts.failed.total()), (counts.sent, 0));
            assert!(slice.cpu_ns.contains_key("server") && !slice.cpu_ns.contains_key("worker"));
        }
    }
}
