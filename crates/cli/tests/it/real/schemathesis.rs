//! Schemathesis against real ports with the contract's own OpenAPI document: whatever it makes up, no stack answers
//! with a 5xx or with a status that the document doesn't declare.

use std::{
    io::{BufRead, BufReader},
    process::Command,
    time::Duration,
};

use dyno_provision::{Context, Home, interpreters, python_environment};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    bench::{Bench, ports, repository, wait_until, warm_home},
    choice::long_test_runs,
};

/// At least one stack of each family of frameworks; a new family adds its row.
///
/// Robyn isn't among them: it answers a multipart form without a boundary with 500 before the app sees it, and nothing
/// more on that connection when the form's body came in a segment of its own, whatever the next request is.
const STACKS: [&str; 16] = [
    "flask/gunicorn",
    "bottle/waitress",
    "pyramid/cheroot",
    "falcon-wsgi/granian-wsgi",
    "django/gunicorn",
    "django-ninja/gunicorn-gevent",
    "fastapi-asyncpg/uvicorn",
    "starlette/hypercorn",
    "litestar/granian",
    "quart/gunicorn-uvicorn",
    "falcon-asgi/uvicorn",
    "blacksheep/uvicorn-h11",
    "aiohttp/gunicorn-aiohttp",
    "sanic/sanic",
    "tornado/tornado",
    "go-pgx/go",
];
/// Examples of each operation and phase.
const EXAMPLES: &str = "10";
const SEED: &str = "1";
/// Fewer mean that it had nothing to ask.
const FEWEST_CASES: u64 = 100;

/// What runs in any case: WSGI, ASGI, a program with a loop of its own, and Go, whose parts all tests need.
const FEW: [&str; 4] = ["flask/gunicorn", "fastapi-asyncpg/uvicorn", "tornado/tornado", "go-bun/go"];

#[test]
fn schemathesis_finds_no_server_error_and_no_undeclared_status() {
    asked(if long_test_runs(&[]) { &STACKS } else { &FEW });
}

/// Schemathesis in the warm cache.
fn schemathesis() -> std::path::PathBuf {
    let tools = Home::open(warm_home()).unwrap();
    let context = Context { home: &tools, setup: true, echo: &|_| {}, stop: &|| false };
    let lock =
        |version: &str| repository().join("stacks/tools/schemathesis/locks").join(format!("{version}.txt"));
    let python = interpreters(context).unwrap().into_iter().find(|one| lock(&one.name).is_file()).unwrap();
    let environment = python_environment(context, &python, &[lock(&python.name)], "schemathesis").unwrap();
    environment.python().with_file_name("schemathesis")
}

/// Brings stacks up, asks each of them, and kills dyno: of real processes, too, nothing survives it.
fn asked(stacks: &[&str]) {
    let bench = Bench::real();
    let _ports = ports();
    let program = schemathesis();
    let mut dyno = bench.start(&[&["up"], stacks].concat());
    // Its notes say when a stack answers, and where.
    let mut notes = BufReader::new(dyno.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut addresses = Vec::new();
    while addresses.len() < stacks.len() {
        let Some(line) = notes.next() else { break };
        if let Some((stack, rest)) = line.split_once(" answers on ") {
            let stack = stack.split_whitespace().last().unwrap().to_owned();
            addresses.push((stack, rest.split_whitespace().next().unwrap().to_owned()));
        }
    }
    // Read on, lest the pipe fill and dyno wait.
    let rest = std::thread::spawn(move || notes.for_each(drop));
    let ask = |(stack, address): &(String, String)| {
        let name = stack.replace('/', "-");
        let mut command = Command::new(&program);
        command.arg("run").arg(repository().join("contract/openapi.yaml")).args(["--url", address]);
        command.args(["--checks", "not_a_server_error,status_code_conformance"]);
        // Not every stack has a worker.
        command.args(["--exclude-path-regex", "^/v1/tasks"]);
        command.args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"]);
        command.args(["--max-examples", EXAMPLES, "--seed", SEED, "--generation-database", "none"]);
        command.args(["--report", "json", "--report-json-path"]);
        command.arg(bench.folder.path().join(format!("{name}.json")));
        let output = command.current_dir(bench.folder.path()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{stack}: {} cases", cases(&told));
        let passed = output.status.success() && cases(&told) >= FEWEST_CASES;
        (!passed).then(|| format!("{stack}: {told}"))
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        // Two at a time.
        let halves = addresses.chunks(stacks.len().div_ceil(2));
        let asked = halves.map(|half| scope.spawn(|| half.iter().filter_map(ask).collect::<Vec<_>>()));
        asked.collect::<Vec<_>>().into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    kill(Pid::from_raw(dyno.id().cast_signed()), Signal::SIGKILL).unwrap();
    dyno.wait().unwrap();
    rest.join().unwrap();
    assert_eq!(addresses.len(), stacks.len(), "they get ready: {addresses:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    wait_until("nothing is left", Duration::from_secs(20), || bench.left_over().is_empty());
}

/// The number in `472 generated, 472 passed`.
fn cases(told: &str) -> u64 {
    let line = told.lines().find(|line| line.contains(" generated, "));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
