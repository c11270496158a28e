//! The main job on real parts: prove, measure, record, report; and what bad input meets.

use std::{collections::BTreeSet, fs, path::Path};

use dyno_model::{
    output::{ListOutput, RunOutput},
    record::{Block, BlockState, Run},
};

use crate::bench::{Bench, text};

/// Two stacks in short blocks.
const SHORT: &str = "title = \"short\"\nstacks = [\"go-bun/go\", \"flask/gunicorn\"]\noperations = [\"hello\", \"types\"]\n\
    [data]\ncontacts = 300\n[design]\nblocks = 3\nwarm_up = \"100ms\"\nseed = 5\n\
    [throughput]\nconnections = 8\nslice = \"100ms\"\n\
    [latency]\nconnections = 8\nslice = \"200ms\"\n[latency.rates]\ntypes = \"50/s\"\n";

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_run_records_reports_and_adds_up() {
    let bench = Bench::real();
    let plan = bench.plan(SHORT);
    let output = bench.dyno(&["run", &plan, "--format", "json"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("$ ") && told.contains("gunicorn") && told.contains("measure"), "{told}");
    let results: RunOutput = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((results.blocks, results.not_run.len()), (3, 0));
    assert!(results.results.iter().all(|one| one.estimate > 0.0 && one.low.is_some() && one.blocks <= 3));

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
    assert_eq!(bench.left_over(), Vec::<String>::new());
}

#[test]
fn bad_input_is_named_with_an_example_and_its_exit_code() {
    let bench = Bench::real();
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
        &["no plan is called `nonsense`", "default, event-methods, field, full, smoke"],
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
    let bench = Bench::real();
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
    assert_eq!(bench.left_over(), Vec::<String>::new());
}

#[test]
fn list_and_doctor_say_what_this_machine_can_run() {
    let bench = Bench::real();
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
