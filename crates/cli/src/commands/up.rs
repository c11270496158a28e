//! `dyno up`, and the commands that ask it from another terminal.

use std::{
    io::Write,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use dyno_lab::{Desk, OrderError};
use dyno_live::{
    Crew, Door, Refusal, Server, Site,
    client::{self, ClientError},
};
use dyno_model::{
    event::Event,
    up::{Action, Phase, ProcessState, UpState},
};
use dyno_provision::Home;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    arguments::{Common, Format, LogsOptions, Names, UpOptions},
    commands::Workshop,
    exit::{self, Error},
    output::print,
};

/// Time for a process to be up again, or for all to be down.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);

/// The desk of the lab as the crew of the page: neither room knows the other.
struct Upkeep(Desk);

impl Crew for Upkeep {
    fn state(&self) -> UpState {
        self.0.state()
    }

    fn order(&self, name: &str, action: Action) -> Result<Vec<String>, Refusal> {
        self.0.order(name, action).map_err(refusal)
    }

    fn named(&self, name: &str) -> Result<Vec<String>, Refusal> {
        self.0.named(name).map_err(refusal)
    }

    fn go_down(&self) {
        self.0.go_down();
    }
}

fn refusal(error: OrderError) -> Refusal {
    match error {
        OrderError::Unknown { .. } => Refusal::Unknown(error.to_string()),
        OrderError::Refused(_) | OrderError::Ending => Refusal::Refused(error.to_string()),
    }
}

/// `dyno up`.
pub fn up(common: &Common, options: &UpOptions) -> Result<ExitCode, Error> {
    let workshop = Workshop::open(common)?;
    let plan = workshop.plan_for(&options.stacks)?;
    let logs = workshop.home.path().join("logs");
    let upkeep = Arc::new(Upkeep(Desk::default()));
    // Within the lock: another dyno's socket isn't taken away.
    let lock = workshop.home.lock()?;
    let door = Door {
        port: (!options.no_admin).then_some(options.admin),
        no_auth: options.page.no_auth,
        socket: Some(control(&workshop.home)),
        low_priority: false,
    };
    let server = Server::start(&Site::Admin(Arc::clone(&upkeep) as Arc<dyn Crew>), &door)?;
    if let Some(url) = server.url() {
        workshop.display.show(&Event::Note(format!("admin page: {url}")));
    }
    workshop.with_locked_bench(&lock, &plan, &logs, false, |bench| dyno_lab::up(bench, &upkeep.0))?;
    Ok(ExitCode::SUCCESS)
}

fn control(home: &Home) -> PathBuf {
    home.path().join("control")
}

fn home() -> Result<Home, Error> {
    Ok(Home::open(Home::locate())?)
}

fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

fn state(home: &Home) -> Result<UpState, Error> {
    Ok(client::ask_json(home.path(), &control(home), "GET", "/api/state")?)
}

/// `dyno ps`.
pub fn ps(common: &Common) -> Result<ExitCode, Error> {
    let home = home()?;
    let state = state(&home)?;
    if common.format == Format::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(&state)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&table(&state))?;
    let url: Option<String> = client::ask_json(home.path(), &control(&home), "GET", "/api/address")?;
    if let Some(url) = url {
        print(&format!("admin page: {url}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Fits 80 columns as long as names have at most 32 letters; what is rare gets a line of its own.
fn table(state: &UpState) -> String {
    let widest = state.processes.iter().map(|one| one.name.len()).max().unwrap_or(0).max(7);
    let mut text = format!(
        "{:widest$} {:11} {:>7} {:>8} {:>7} {:>9}\n",
        "process", "state", "pid", "up", "CPU", "memory"
    );
    for one in &state.processes {
        let pid = one.pid.map_or_else(|| "–".to_owned(), |pid| pid.to_string());
        let up = one.up_s.map_or_else(|| "–".to_owned(), span);
        let memory = format!("{:.1}M", one.memory_bytes as f64 / 1_048_576.0);
        text += &format!(
            "{:widest$} {:11} {pid:>7} {up:>8} {:>6.1}% {memory:>9}\n",
            one.name,
            one.phase.words(),
            one.cpu_cores * 100.0
        );
        for line in further(one) {
            text += &format!("  {line}\n");
        }
    }
    if let Some(database) = state.database {
        text += &format!(
            "database: {} of {} connections, {} at work\n",
            database.connections, database.most, database.active
        );
    }
    text
}

fn further(one: &ProcessState) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(one.url.clone());
    if let Some(uwsgi) = one.uwsgi {
        let busy = uwsgi.busy * 100.0;
        lines.push(format!(
            "uWSGI: {} workers, {busy:.0} % busy, queue {}, {} requests",
            uwsgi.workers, uwsgi.queue, uwsgi.requests
        ));
    }
    if let Some(nginx) = one.nginx {
        lines.push(format!("nginx: {} connections, {} requests", nginx.active, nginx.requests));
    }
    if let Some(exit) = &one.last_exit {
        let again = one.again_s.map_or_else(String::new, |again_s| format!(", again in {}", span(again_s)));
        lines.push(format!("last exit: {exit}; restarts after a crash: {}{again}", one.restarts));
    }
    lines
}

/// `12s`, `4m05s`, `3h12m`.
fn span(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `dyno start`, `dyno stop`, `dyno restart`: asks, then waits until it is so.
pub fn order(action: Action, names: &Names) -> Result<ExitCode, Error> {
    let home = home()?;
    let mut meant: Vec<String> = Vec::new();
    for name in &names.names {
        let target = format!("/api/order?name={}&action={}", encoded(name), action.name());
        meant.extend(client::ask_json::<Vec<String>>(home.path(), &control(&home), "POST", &target)?);
    }
    let begin = Instant::now();
    loop {
        let state = state(&home)?;
        let ours: Vec<&ProcessState> =
            state.processes.iter().filter(|one| meant.contains(&one.name)).collect();
        let waits = ours.iter().any(|one| matches!(one.phase, Phase::Starting | Phase::Stopping));
        if waits && begin.elapsed() < PATIENCE {
            thread::sleep(PAUSE);
            continue;
        }
        let wanted = if action == Action::Stop { Phase::Stopped } else { Phase::Running };
        for one in &ours {
            let pid = one.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
            print(&format!("{}: {}{pid}\n", one.name, one.phase.words()))?;
        }
        let done = ours.iter().all(|one| one.phase == wanted);
        return Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) });
    }
}

/// `dyno logs`.
pub fn logs(options: &LogsOptions) -> Result<ExitCode, Error> {
    let home = home()?;
    let name = options.name.as_ref().map_or_else(String::new, |name| format!("&name={}", encoded(name)));
    let target = format!("/api/logs?follow={}&lines={}{name}", options.follow, options.lines);
    let mut waiting = Vec::new();
    let mut show = |piece: &[u8]| {
        waiting.extend_from_slice(piece);
        let whole = waiting.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = waiting.drain(..whole).collect();
        let mut output = std::io::stdout().lock();
        let text = harmless(&String::from_utf8_lossy(&lines));
        if output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_err() {
            // Whoever read, `head` for instance, has enough.
            std::process::exit(0);
        }
    };
    // A wait for a log that is silent isn't ended by the flag alone.
    crate::stop::end_at_once();
    let asked = client::ask(home.path(), &control(&home), "GET", &target, &mut show);
    // Whoever follows is told of the end as such: nothing broke.
    let is_up = || client::ask(home.path(), &control(&home), "GET", "/api/address", &mut |_| ()).is_ok();
    if options.follow && matches!(asked, Err(ClientError::Broken(_))) && !is_up() {
        eprintln!("what was up has gone down");
        return Ok(ExitCode::SUCCESS);
    }
    asked?;
    Ok(ExitCode::SUCCESS)
}

/// Without what a terminal would obey: clients of a server write into its log, too.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// `dyno down`: asks for the end, and waits until the cache is free, which it is when nothing is left.
pub fn down() -> Result<ExitCode, Error> {
    let home = home()?;
    client::ask(home.path(), &control(&home), "POST", "/api/down", &mut |_| ())?;
    let begin = Instant::now();
    loop {
        match home.lock() {
            Ok(_free) => return Ok(ExitCode::SUCCESS),
            Err(error) if begin.elapsed() >= PATIENCE => return Err(error.into()),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gives_the_terminal_no_orders() {
        assert_eq!(harmless("a\x1b[2J\x07b\tc\nü\u{9b}1m\n"), "a\\u{1b}[2J\\u{7}b\tc\nü\\u{9b}1m\n");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!([span(12.9), span(245.0), span(11_520.0)], ["12s", "4m05s", "3h12m"]);
    }
}
