//! `dyno up` with real stacks, asked from other terminals and from a browser: shown, stopped, started, crashed, and gone.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Output, Stdio},
    thread,
    time::Duration,
};

use dyno_model::up::{Phase, ProcessState, UpState};
use dyno_testkit::browser::{Chromium, axe, pictures};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::bench::{Bench, ports, skipped, text, wait_until};

const LONG: Duration = Duration::from_secs(300);
const SHORT: Duration = Duration::from_secs(60);
const SERVER: &str = "flask+uwsgi+nginx";
const WORKER: &str = "flask+uwsgi+nginx+worker";
const FRONT: &str = "flask+uwsgi+nginx+front";
const UVICORN: &str = "fastapi-asyncpg+uvicorn";
/// As the catalogue has them: uwsgi's base and flask's offset, uvicorn's and fastapi-asyncpg's.
const PORTS: [u16; 2] = [9099, 9298];

/// A `dyno up` in the background, stopped with the test.
struct Up<'a> {
    bench: &'a Bench,
    child: Child,
}

impl<'a> Up<'a> {
    /// Starts one and waits until all processes run.
    fn start(bench: &'a Bench) -> Self {
        let notes = fs::File::create(bench.folder.path().join("up.txt")).unwrap();
        let mut command =
            bench.command(&["up", "flask/uwsgi/nginx", "fastapi-asyncpg/uvicorn", "--admin", "0"]);
        let child = command.stdout(Stdio::null()).stderr(notes).spawn().unwrap();
        let mut up = Self { bench, child };
        wait_until("all is up", LONG, || {
            assert!(up.child.try_wait().unwrap().is_none(), "it ended: {}", up.notes());
            up.notes().contains("so does `dyno down`")
        });
        up
    }

    fn notes(&self) -> String {
        fs::read_to_string(self.bench.folder.path().join("up.txt")).unwrap()
    }

    fn url(&self) -> String {
        let notes = self.notes();
        notes.lines().find_map(|line| line.strip_prefix("admin page: ")).unwrap().to_owned()
    }

    fn state(&self) -> UpState {
        let output = self.bench.dyno(&["ps", "--format", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
    }

    fn process(&self, name: &str) -> ProcessState {
        self.state().processes.into_iter().find(|one| one.name == name).unwrap()
    }

    fn wait(&self, name: &str, what: &str, condition: impl Fn(&ProcessState) -> bool) -> ProcessState {
        let mut last = self.process(name);
        wait_until(&format!("{name} {what}"), SHORT, || {
            last = self.process(name);
            condition(&last)
        });
        last
    }

    fn kill(&self, name: &str) {
        let pid = self.process(name).pid.unwrap();
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT);
            let _ = self.child.wait();
        }
    }
}

/// The status of an answer, or nothing when nobody listens.
fn heartbeat(port: u16) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /heartbeat HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

fn succeeds(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Nothing of it is there: no process, no port, no socket, no folder.
fn is_gone(bench: &Bench) {
    assert_eq!(bench.left_over(), Vec::<String>::new());
    for port in PORTS {
        TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|error| panic!("port {port}: {error}"));
    }
    assert!(!bench.home().join("control/dyno.sock").exists());
    for folder in ["run", "databases", "brokers"] {
        let left: Vec<_> = fs::read_dir(bench.home().join(folder)).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn what_is_up_is_shown_ordered_crashes_and_ends() {
    let bench = Bench::real();
    let _ports = ports();
    let mut up = Up::start(&bench);
    let all = up.state();
    let roles: Vec<&str> = all.processes.iter().map(|one| one.role.as_str()).collect();
    let wanted = ["database", "broker", "worker", "server", "front", "worker", "server"];
    assert_eq!(roles, wanted);
    assert!(all.processes.iter().all(|one| one.phase == Phase::Running && one.pid.is_some()), "{all:?}");

    // What they say of themselves adds up with what is asked.
    let before = up.process(FRONT).nginx.unwrap();
    for _ in 0..20 {
        assert_eq!(heartbeat(PORTS[0]), Some(200));
    }
    let front =
        up.wait(FRONT, "counts", |one| one.nginx.is_some_and(|now| now.requests > before.requests + 19));
    assert_eq!(front.nginx.unwrap().requests, before.requests + 20, "dyno's own questions aren't traffic");
    let server = up.process(SERVER).uwsgi.unwrap();
    assert!(server.workers == 2 && server.requests >= 20, "{server:?}");
    let database = up.state().database.unwrap();
    assert!(0 < database.connections && database.connections < database.most, "{database:?}");
    let table = succeeds(&bench.dyno(&["ps"]));
    for words in
        ["http://127.0.0.1:9099/", "uWSGI: 2 workers", "nginx: ", "redis ", "postgres ", "database: "]
    {
        assert!(table.contains(words), "{words}: {table}");
    }
    let (address, rows): (Vec<&str>, Vec<&str>) =
        table.lines().partition(|line| line.starts_with("admin page"));
    assert_eq!(address, [format!("admin page: {}", up.url())]);
    assert!(rows.iter().all(|line| line.chars().count() <= 80), "{table}");

    logs_follow(&bench, &up);
    orders_are_carried_out(&bench, &up);
    crashes_are_mended(&bench, &up);

    let mut follower = bench.start(&["logs", "--follow", SERVER]);
    thread::sleep(Duration::from_millis(500));
    succeeds(&bench.dyno(&["down"]));
    is_gone(&bench);
    assert!(up.child.wait().unwrap().success(), "{}", up.notes());
    let nobody = bench.dyno(&["ps"]);
    assert!(text(&nobody.stderr).contains("no dyno is up"), "{}", text(&nobody.stderr));
    assert_eq!(nobody.status.code(), Some(4));
    assert!(follower.wait().unwrap().success());
    let told = text(&follower.wait_with_output().unwrap().stderr);
    assert_eq!(told.trim(), "what was up has gone down");
}

fn logs_follow(bench: &Bench, up: &Up<'_>) {
    let some = succeeds(&bench.dyno(&["logs", SERVER, "-n", "3"]));
    assert_eq!(some.lines().count(), 3, "{some}");
    assert!(some.lines().all(|line| line.starts_with("flask+uwsgi+nginx | ")), "{some}");
    let mut follower = bench.command(&["logs", "--follow", "-n", "0", SERVER]).stdout(Stdio::piped()).spawn();
    let lines = BufReader::new(follower.as_mut().unwrap().stdout.take().unwrap());
    let reader = thread::spawn(move || {
        lines.lines().map(Result::unwrap).find(|line| line.contains("goodbye to uWSGI")).is_some()
    });
    thread::sleep(Duration::from_millis(500));
    let pid = up.process(SERVER).pid;
    let said = succeeds(&bench.dyno(&["restart", SERVER]));
    let now = up.process(SERVER);
    assert!(now.phase == Phase::Running && now.pid != pid && now.restarts == 0, "{now:?}");
    assert_eq!(said.trim(), format!("{SERVER}: running (pid {})", now.pid.unwrap()));
    wait_until("the log goes on", SHORT, || reader.is_finished());
    assert!(reader.join().unwrap(), "the restart is in the log");
    let mut follower = follower.unwrap();
    follower.kill().unwrap();
    follower.wait().unwrap();
}

fn orders_are_carried_out(bench: &Bench, up: &Up<'_>) {
    assert_eq!(heartbeat(PORTS[1]), Some(200));
    assert_eq!(succeeds(&bench.dyno(&["stop", UVICORN])).trim(), format!("{UVICORN}: stopped"));
    assert_eq!(heartbeat(PORTS[1]), None);
    let again = bench.dyno(&["stop", UVICORN]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is stopped already"), "{}", text(&again.stderr));
    thread::sleep(Duration::from_millis(1500));
    let stopped = up.process(UVICORN);
    assert!(stopped.phase == Phase::Stopped && stopped.pid.is_none(), "who was stopped stays: {stopped:?}");
    succeeds(&bench.dyno(&["start", UVICORN]));
    assert_eq!(heartbeat(PORTS[1]), Some(200), "running means that it answers");

    // A stack's name means all of its processes.
    let pids = |up: &Up<'_>| [WORKER, SERVER, FRONT].map(|name| up.process(name).pid.unwrap());
    let before = pids(up);
    let said = succeeds(&bench.dyno(&["restart", "flask/uwsgi/nginx"]));
    assert_eq!(said.lines().filter(|line| line.contains(": running (pid ")).count(), 3, "{said}");
    assert!(pids(up).iter().zip(before).all(|(now, before)| *now != before));
    assert_eq!(heartbeat(PORTS[0]), Some(200));
    let unknown = bench.dyno(&["restart", "nope"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains(SERVER), "it names what there is: {}", text(&unknown.stderr));
}

fn crashes_are_mended(bench: &Bench, up: &Up<'_>) {
    for (name, restarts, pause_s) in [(SERVER, 1, 1.0), (WORKER, 1, 1.0), (SERVER, 2, 2.0)] {
        let before = up.process(name).pid;
        up.kill(name);
        let crashed = up.wait(name, "backs off", |one| one.phase == Phase::BackingOff);
        let again_s = crashed.again_s.unwrap();
        assert!(pause_s - 1.0 < again_s && again_s <= pause_s, "{crashed:?}");
        assert_eq!(crashed.last_exit.as_deref(), Some("killed by SIGKILL"));
        let mended = up.wait(name, "runs again", |one| one.phase == Phase::Running);
        assert!(mended.restarts == restarts && mended.pid != before, "{mended:?}");
        assert!(up.notes().contains(&format!("{name} crashed (killed by SIGKILL); it is started again in")));
    }
    assert_eq!(heartbeat(PORTS[0]), Some(200), "all of it answers again");
    // A person doesn't wait for the pause, and that isn't counted as a restart of dyno's.
    up.kill(SERVER);
    up.wait(SERVER, "backs off", |one| one.phase == Phase::BackingOff);
    succeeds(&bench.dyno(&["start", SERVER]));
    let started = up.process(SERVER);
    assert!(started.phase == Phase::Running && started.restarts == 2, "{started:?}");
}

/// Rows and buttons of the page, by the process's name.
fn row(name: &str) -> String {
    format!("document.querySelector('button[aria-label=\"stop {name}\"]').closest('tr')")
}

fn click(browser: &mut Chromium, action: &str, name: &str) {
    browser.evaluate(&format!("document.querySelector('button[aria-label=\"{action} {name}\"]').click()"));
}

#[test]
fn the_page_in_a_browser_restarts_a_process_and_sees_its_log_move() {
    let Some(mut browser) = Chromium::start() else {
        skipped("no chromium");
        return;
    };
    let bench = Bench::real();
    let _ports = ports();
    let up = Up::start(&bench);
    let url = up.url();
    browser.open_url(&url, 1280, false);
    browser.weigh(&pictures(env!("CARGO_TARGET_TMPDIR")), "admin");
    browser.wait_for("document.querySelectorAll('#processes tr').length > 7", SHORT);
    assert_eq!(browser.evaluate("location.search"), json!(""), "the token left the address");
    let live = "document.getElementById('connection').textContent === 'live'";
    browser.wait_for(live, SHORT);
    click(&mut browser, "log of", SERVER);
    let log = "document.getElementById('log').textContent";
    browser.wait_for(&format!("{log}.includes('uWSGI')"), SHORT);

    // A restart's pid and the log's new lines.
    let pid = up.process(SERVER).pid.unwrap();
    let shown = |pid: u32| format!("{}.cells[2].textContent === '{pid}'", row(SERVER));
    browser.wait_for(&shown(pid), SHORT);
    let length = browser.evaluate(&format!("{log}.length"));
    click(&mut browser, "restart", SERVER);
    browser.wait_for(&format!("{}.cells[1].textContent === 'stopping'", row(SERVER)), SHORT);
    browser.wait_for(&format!("{}.cells[1].textContent === 'running'", row(SERVER)), SHORT);
    let now = up.process(SERVER).pid.unwrap();
    assert_ne!(now, pid);
    browser.wait_for(&shown(now), SHORT);
    browser.wait_for(&format!("{log}.length > {length}"), SHORT);

    // A reload goes on with the same log; nothing of it is read as markup.
    browser.reload();
    browser.wait_for(&format!("{live} && {}", shown(now)), SHORT);
    browser.wait_for(&format!("{log}.includes('uWSGI')"), SHORT);
    assert_eq!(browser.evaluate("document.querySelectorAll('#log *').length"), json!(0));
    assert_eq!(browser.console, Vec::<String>::new(), "the console is silent");

    // A crash is shown while it backs off.
    up.kill(WORKER);
    browser.wait_for(&format!("{}.textContent.includes('backing off')", row(WORKER)), SHORT);
    browser.wait_for(&format!("{}.cells[1].textContent === 'running'", row(WORKER)), SHORT);
    browser.wait_for(&format!("{}.cells[6].textContent === '1'", row(WORKER)), SHORT);
    click(&mut browser, "stop", UVICORN);
    browser.wait_for(&format!("{}.cells[1].textContent === 'stopped'", row(UVICORN)), SHORT);

    let axe = axe(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe"));
    if let Err(why) = &axe {
        skipped(&format!("no axe-core: {why}"));
    }
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        browser.look(width, dark);
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), json!(width));
        browser.keep(&pictures(env!("CARGO_TARGET_TMPDIR")), "admin", width, dark);
        if let Ok(axe) = &axe {
            assert_eq!(browser.violations(axe), json!([]), "{width} dark {dark}");
        }
    }

    // Its server is gone: it says so, and looks no more as if it were live.
    succeeds(&bench.dyno(&["down"]));
    browser.wait_for("document.getElementById('connection').textContent.includes('lost')", SHORT);
    browser.wait_for("document.querySelector('main').className === 'stale'", SHORT);
    is_gone(&bench);
}
