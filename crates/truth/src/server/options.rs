//! The truth server's command line.

use std::{ffi::OsString, net::SocketAddr, process::ExitCode};

use clap::Parser;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use super::serve;
use crate::scenario::Script;

const EXAMPLES: &str = "\
Examples:
  truth-server stall --stall 1s --every 10s
  truth-server slow --one-in 100 --slow 100ms
  truth-server mm1 --service 2500us --seed 7
  curl http://127.0.0.1:8090/__truth/counts
  curl http://127.0.0.1:8090/__truth/arrivals?rate=200
  curl http://127.0.0.1:8090/__truth/latency
  curl http://127.0.0.1:8090/__truth/reset

SIGINT and SIGTERM end it: it prints what it counted and exits with 0.";

/// A server whose latency is known: it answers by a script and counts what it saw.
#[derive(Parser, Debug)]
#[command(name = "truth-server", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct ServerOptions {
    /// Address and port; port 0 for any that is free
    #[arg(long, global = true, default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// Die with this process, which started this one
    #[arg(long, global = true, hide = true, value_name = "PID")]
    pub parent: Option<i32>,
    /// How it answers
    #[command(subcommand)]
    pub script: Script,
}

/// Runs a truth server by its command line, the first word of which is the program. Exit codes: 0 stopped, 2 wrong
/// usage, 4 it can't listen.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = ServerOptions::parse_from(words);
    if let Some(parent) = options.parent {
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // Ended before that line, it would never be missed.
        if getppid().map(Pid::as_raw_pid) != Some(parent) {
            return ExitCode::FAILURE;
        }
    }
    if let Err(error) = options.script.check() {
        eprintln!("truth-server: {error}");
        return ExitCode::from(2);
    }
    serve(options.listen, options.script).unwrap_or_else(|error| {
        eprintln!("truth-server: {}: {error}", options.listen);
        ExitCode::from(4)
    })
}
