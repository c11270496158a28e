//! The main job, on real parts: prove, measure, stop, go on, die; and what bad input meets.
#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::{collections::BTreeSet, fs, net::TcpListener, path::Path, process::Command, time::Duration};

use bench::{Bench, home, left_over, repository, text, wait_until};
use dyno_model::{
    Operation,
    check::CheckOutcome,
    output::{CheckOutput, ListOutput, RunOutput},
    record::{Block, BlockState, Run},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const LONG: Duration = Duration::from_secs(300);

/// Two stacks in short blocks.
const SHORT: &str = "title = \"short\"\nstacks = [\"go-bun/go\", \"flask/gunicorn\"]\noperations = [\"hello\", \"types\"]\n\
    [data]\ncontacts = 300\n[design]\nblocks = 3\nwarm_up = \"100ms\"\nseed = 5\n\
    [throughput]\nconnections = 8\nslice = \"100ms\"\n\
    [latency]\nconnections = 8\nslice = \"200ms\"\n[latency.rates]\ntypes = \"50/s\"\n";

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_stack_of_the_default_plan_answers_the_contract() {
    let bench = Bench::new();
    let output = bench.dyno(&["check", "--format", "json", "--quiet"]);
    let CheckOutput { rows, differences, recovery } =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let failed: Vec<_> = rows.iter().filter(|row| row.outcome == CheckOutcome::Fail).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(output.status.code(), Some(0));
    let stacks: BTreeSet<String> = rows.iter().map(|row| row.stack.to_string()).collect();
    assert_eq!((stacks.len(), rows.len()), (8, 8 * Operation::ALL.len()));
    let counted = rows.iter().filter(|row| row.detail.contains("3 statements each")).count();
    assert_eq!(counted, 16, "a page is three statements, both ways, in every stack");
    let done = rows.iter().filter(|row| row.operation == Operation::TaskResult);
    let done = done.filter(|row| row.outcome == CheckOutcome::Pass).count();
    assert_eq!(done, 7, "tasks of every Python stack are done by its worker");
    let documented: BTreeSet<&str> = differences.iter().map(|one| one.stack.app.as_str()).collect();
    assert!(documented.iter().all(|app| app.starts_with("fastapi-")), "{documented:?}");
    assert_eq!(recovery.len(), 0, "nobody asked for it");
    assert_eq!(left_over(), Vec::<String>::new());
}

#[test]
fn a_run_records_reports_and_adds_up() {
    let bench = Bench::new();
    let plan = bench.plan(SHORT);
    let output = bench.dyno(&["run", &plan, "--format", "json"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("$ ") && told.contains("gunicorn") && told.contains("measure"), "{told}");
    let results: RunOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((results.blocks, results.not_run.len()), (3, 0));
    assert!(results.results.iter().all(|one| one.estimate > 0.0 && one.low.is_none() && one.blocks <= 3));

    let folder = bench.run_folder().unwrap();
    let run: Run = read(&folder.join("run.json"));
    assert_eq!((run.seed, run.prepared.len()), (5, 2));
    let flask = run.prepared.iter().find(|one| one.stack.app == "flask").unwrap();
    assert_eq!(flask.commands.keys().collect::<Vec<_>>(), ["server", "worker"]);
    assert!(flask.about["worker"].starts_with("celery 5"), "{:?}", flask.about);
    assert!(
        run.fingerprint.software["broker: redis"].contains("dyno's own"),
        "{:?}",
        run.fingerprint.software
    );
    assert!(!fs::read_to_string(folder.join("run.json")).unwrap().contains("redis://:"), "a password");
    let mut sent = 0;
    for index in 0..3 {
        let block: Block = read(&folder.join(format!("blocks/{index:04}.json")));
        assert_eq!(block.state, BlockState::Complete);
        for trial in &block.trials {
            let has_worker = trial.stack.app == "flask";
            let roles = |role: &str| trial.slices.iter().all(|slice| slice.cpu_ns.contains_key(role));
            assert_eq!((roles("worker"), roles("broker"), roles("server")), (has_worker, true, true));
        }
        for slice in block.trials.iter().flat_map(|trial| &trial.slices) {
            let counts = slice.outcome.counts;
            assert_eq!(counts.planned, counts.sent + counts.not_sent);
            assert_eq!(counts.sent, counts.completed + counts.failed.total());
            assert_eq!(counts.failed.total(), 0);
            sent += counts.sent;
        }
        // Two operations in two closed slices each, and one open slice, for both stacks.
        assert_eq!(block.trials.iter().map(|trial| trial.slices.len()).sum::<usize>(), 2 * (2 * 2 + 1));
    }
    assert!(sent > 100);
    let first = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(first.contains("<svg") && first.contains("go-bun/go"));

    fs::remove_file(folder.join("report.html")).unwrap();
    let again = bench.dyno(&["report", folder.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(fs::read_to_string(folder.join("report.html")).unwrap(), first, "made again, it is the same");
    assert_eq!(left_over(), Vec::<String>::new());
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_resume_goes_on() {
    let bench = Bench::new();
    let plan = bench.plan(&SHORT.replace("blocks = 3", "blocks = 4"));
    let child = bench.start(&["run", &plan, "--quiet"]);
    wait_until("a first block", LONG, || bench.blocks() >= 1);
    signal(child.id(), Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("go on with: dyno run --resume"), "{}", text(&output.stderr));
    assert_eq!(left_over(), Vec::<String>::new());

    let folder = bench.run_folder().unwrap();
    let first: Block = read(&folder.join("blocks/0000.json"));
    let output = bench.dyno(&["run", "--resume", folder.to_str().unwrap(), "--format", "json", "--quiet"]);
    let results: RunOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), results.blocks), (Some(0), 4));
    assert_eq!(read::<Block>(&folder.join("blocks/0000.json")), first, "nothing that was measured is lost");
}

#[test]
fn nothing_survives_a_killed_dyno_and_its_run_goes_on() {
    let bench = Bench::new();
    let plan = bench.plan(SHORT);
    let mut child = bench.start(&["run", &plan, "--quiet"]);
    wait_until("a first block", LONG, || bench.blocks() >= 1);
    wait_until("stacks of the next block", LONG, || left_over().iter().any(|line| line.contains("gunicorn")));
    signal(child.id(), Signal::SIGKILL);
    child.wait().unwrap();
    wait_until("nothing is left", Duration::from_secs(20), || left_over().is_empty());

    let folder = bench.run_folder().unwrap();
    for entry in fs::read_dir(folder.join("blocks")).unwrap().flatten() {
        let _whole: Block = read(&entry.path());
    }
    let output = bench.dyno(&["run", "--resume", folder.to_str().unwrap(), "--format", "json", "--quiet"]);
    let results: RunOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), results.blocks), (Some(0), 3));
    let databases = fs::read_dir(home().join("databases")).unwrap().count();
    assert_eq!(databases, 0, "the killed dyno's data folder was cleared");
}

#[test]
fn a_stack_is_up_behind_nginx_until_ctrl_c() {
    let bench = Bench::new();
    let child = bench.start(&["up", "flask/uwsgi/nginx", "--admin", "0"]);
    let ask = || {
        Command::new("python3").args(["-c", "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9099/v1/hello?name=you', timeout=2).read().decode())"]).output().unwrap()
    };
    wait_until("it answers", LONG, || text(&ask().stdout).contains("Hello you!"));
    let second = bench.dyno(&["check", "go-bun/go"]);
    assert_eq!(second.status.code(), Some(5), "two dynos on one cache");
    assert!(
        text(&second.stderr).contains(&format!("another dyno (pid {})", child.id())),
        "{}",
        text(&second.stderr)
    );
    signal(child.id(), Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(TcpListener::bind("127.0.0.1:9099").is_ok(), "the port is free again");
    assert_eq!(left_over(), Vec::<String>::new());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let bench = Bench::new();
    let _taken = TcpListener::bind("127.0.0.1:9495").unwrap();
    let output = bench.dyno(&["up", "go-bun/go", "--no-admin", "--quiet"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("go-bun/go wants 127.0.0.1:9495") && told.contains("in use"), "{told}");
    assert_eq!(left_over(), Vec::<String>::new());
}

/// A copy of the catalogue in which one app's import fails.
fn broken_project(bench: &Bench) -> std::path::PathBuf {
    let root = bench.folder.path().join("project");
    fs::create_dir(&root).unwrap();
    for folder in ["stacks", "plans", "contract"] {
        let status = Command::new("cp").arg("-r").arg(repository().join(folder)).arg(&root).status().unwrap();
        assert!(status.success());
    }
    let app = root.join("stacks/python/flask/dyno_flask/app.py");
    fs::write(&app, "import no_such_module_anywhere\n").unwrap();
    root
}

#[test]
fn a_stack_whose_import_fails_is_a_row_and_the_rest_goes_on() {
    let bench = Bench::new();
    let root = broken_project(&bench);
    let plan = bench.plan(&SHORT.replace("blocks = 3", "blocks = 1"));
    let output = bench
        .command(&["run", &plan, "--format", "json", "--quiet"])
        .env("DYNO_ROOT", root)
        .output()
        .unwrap();
    let results: RunOutput =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(results.not_run.len(), 1);
    assert_eq!(results.not_run[0].stack.to_string(), "flask/gunicorn");
    assert!(results.not_run[0].reason.contains("no_such_module_anywhere"), "{}", results.not_run[0].reason);
    assert!(results.results.iter().all(|one| one.stack.to_string() == "go-bun/go"));
    assert!(!results.results.is_empty());
}

#[test]
fn bad_input_is_named_with_an_example_and_its_exit_code() {
    let bench = Bench::new();
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = bench.dyno(arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        for word in words {
            assert!(told.contains(word), "{arguments:?}: no {word:?} in: {told}");
        }
        assert!(!bench.runs().exists() || bench.run_folder().is_none(), "{arguments:?} left a run folder");
    };
    refused(
        &["run", "nonsense"],
        2,
        &["no plan is called `nonsense`", "default, event-methods, field, smoke"],
    );
    refused(
        &["check", "flask/gunicron"],
        2,
        &["no stack is called `flask/gunicron`", "gunicorn, gunicorn-gevent"],
    );
    refused(&["check", "flask"], 2, &["`flask` isn't a stack", "flask/uwsgi/nginx@3.13"]);
    refused(
        &["check", "flask/uwsgi/nginx-unix"],
        2,
        &["uwsgi doesn't listen where nginx-unix would look for it"],
    );
    refused(&["check", "x*/y*"], 2, &["no stack is like that", "dyno list"]);
    refused(&["lock", "nonsense"], 3, &["a folder nonsense with a requirements.in", "the folders are"]);
    refused(&["run", "--budget", "9min"], 2, &["`9min` isn't a span of time", "30s"]);
    refused(&["report", "no-such-run"], 6, &["no-such-run", "no run is there"]);
    refused(&["run", "--resume", "no-such-run"], 6, &["no run is there"]);
    for (line, words) in [
        ("colour = 1\n", "mine.toml:1: unknown field `colour`"),
        (
            "title = \"x\"\nstacks = [\"flask/gunicron\"]\noperations = [\"types\"]\n",
            "mine.toml:2: no stack is called",
        ),
        (
            "title = \"x\"\nstacks = [\"go-bun/go\"]\noperations = [\"types\"]\n[design]\nbudget = \"9\"\n",
            "mine.toml:5: `9` isn't a span",
        ),
    ] {
        let plan = bench.plan(line);
        refused(&["run", &plan], 2, &[words, "example:"]);
    }
    let refusing = "postgres://me:secret@127.0.0.1:1/none";
    refused(
        &["run", "smoke", "--quiet", "--database", refusing],
        4,
        &["postgres://me@127.0.0.1:1/none", "refused"],
    );
    let output = bench.dyno(&["run", "smoke", "--quiet", "--database", refusing]);
    assert!(!text(&output.stderr).contains("secret"), "a password is never shown");
}

#[test]
fn a_broker_that_cannot_serve_is_named() {
    let bench = Bench::new();
    for (stack, broker, code, words) in [
        ("flask/gunicorn", "http://127.0.0.1", 2, "redis://:password@127.0.0.1:6379/0"),
        ("flask/gunicorn", "redis://:secret@127.0.0.1:1/0", 4, "the broker redis://@127.0.0.1:1/0: "),
        (
            "tornado/tornado",
            "amqp://a:secret@127.0.0.1:1//",
            1,
            "messages of its worker taskiq go over redis",
        ),
    ] {
        let output = bench.dyno(&["check", stack, "--quiet", "--broker", broker]);
        let told = text(&[output.stdout, output.stderr].concat());
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(words) && !told.contains("secret"), "{told}");
    }
    assert_eq!(left_over(), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_said_and_leaves_no_half_written_record() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: mounting a small disk needs root");
        return;
    }
    let bench = Bench::new();
    fs::create_dir(bench.runs()).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(bench.runs()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: this container may not mount a small disk");
        return;
    }
    let plan = bench.plan(SHORT);
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
    assert_eq!(left_over(), Vec::<String>::new());
}

#[test]
fn list_and_doctor_say_what_this_machine_can_run() {
    let bench = Bench::new();
    let output = bench.dyno(&["list", "--format", "json"]);
    let rows: ListOutput = serde_json::from_slice(&output.stdout).unwrap();
    let apps: BTreeSet<&str> = rows.iter().map(|row| row.stack.app.as_str()).collect();
    assert!(apps.len() >= 25 && rows.len() > 100, "{} apps, {} rows", apps.len(), rows.len());
    assert!(rows.iter().all(|row| row.runnable || row.reason.starts_with("cannot run: ")), "{rows:?}");
    let listed = text(&bench.dyno(&["list"]).stdout);
    for word in ["flask/uwsgi ", "contacts_fetch", "smoke"] {
        assert!(listed.contains(word), "{listed}");
    }
    let all: ListOutput =
        serde_json::from_slice(&bench.dyno(&["list", "--all", "--format", "json"]).stdout).unwrap();
    let known = all.iter().find(|row| row.stack.to_string() == "quart/daphne").unwrap();
    assert!(!known.runnable && known.reason.contains("lifespan"), "{known:?}");
    assert!(all.iter().any(|row| row.stack.front.as_deref() == Some("nginx-unix")));
    assert!(all.iter().any(|row| row.stack.interpreter.as_deref() == Some("3.15")));
    let examined = text(&bench.dyno(&["doctor"]).stdout);
    for part in ["Python", "uv", "PostgreSQL", "nginx", "Go", "CPUs", "disk"] {
        assert!(examined.contains(part), "{examined}");
    }
    let menu = text(&bench.dyno(&[]).stdout);
    assert!(menu.contains("run") && menu.contains("Exit codes"), "{menu}");
}
