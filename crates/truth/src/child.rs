//! A truth server as a process of its own, and what it tells.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::de::DeserializeOwned;

use crate::{
    pacing::Pacing,
    record::{Answered, Counts, ServerLatency, read_lines},
    scenario::Script,
};

/// Longest wait for what the server tells; a script's answers don't stand in the way of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A truth server that runs. Killed when dropped, and by the kernel when this process ends.
#[derive(Debug)]
pub struct TruthServer {
    child: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

fn other(words: impl Into<String>) -> io::Error {
    io::Error::other(words.into())
}

impl TruthServer {
    /// Starts `program` with `words` before the script's own, on a free loopback port.
    ///
    /// # Errors
    /// The program can't be started, or doesn't say where it listens.
    pub fn start(program: &Path, words: &[OsString], script: &Script) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(words)
            .args(script.arguments())
            .args(["--listen", "127.0.0.1:0", "--parent", &std::process::id().to_string()])
            // The terminal's Ctrl-C reaches its parent, which decides.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| other("no output of the truth server"))?;
        let mut server =
            Self { child, output: BufReader::new(output), address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut line = String::new();
        server.output.read_line(&mut line)?;
        let address = line.strip_prefix("listening on http://").and_then(|rest| rest.split(' ').next());
        server.address = address.and_then(|address| address.parse().ok()).ok_or_else(|| {
            other(format!("the truth server didn't say where it listens: `{}`", line.trim()))
        })?;
        Ok(server)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Exact counts since the last reset.
    ///
    /// # Errors
    /// It doesn't answer.
    pub fn counts(&self) -> io::Result<Counts> {
        self.ask_json("counts")
    }

    /// How its requests came, against an even schedule of `rate_per_s`. `None` for too few.
    ///
    /// # Errors
    /// It doesn't answer.
    pub fn arrivals(&self, rate_per_s: f64) -> io::Result<Option<Pacing>> {
        self.ask_json(&format!("arrivals?rate={rate_per_s}"))
    }

    /// Its side of latency, with its own error.
    ///
    /// # Errors
    /// It doesn't answer.
    pub fn latency(&self) -> io::Result<ServerLatency> {
        self.ask_json("latency")
    }

    /// Every answered request.
    ///
    /// # Errors
    /// It doesn't answer.
    pub fn records(&self) -> io::Result<Vec<Answered>> {
        read_lines(&self.ask("records")?).ok_or_else(|| other("the truth server's records can't be read"))
    }

    /// Begins anew: counts, records, script.
    ///
    /// # Errors
    /// It doesn't answer.
    pub fn reset(&self) -> io::Result<()> {
        self.ask("reset").map(drop)
    }

    /// Asks below `/__truth/`, on a connection of its own.
    ///
    /// # Errors
    /// It doesn't answer, or with another status than 200.
    pub fn ask(&self, word: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET /__truth/{word} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
            _ => Err(other(format!("the truth server has no `{word}`"))),
        }
    }

    fn ask_json<T: DeserializeOwned>(&self, word: &str) -> io::Result<T> {
        Ok(serde_json::from_str(&self.ask(word)?)?)
    }

    /// Ends it gently, and gives what it printed: its counts.
    ///
    /// # Errors
    /// It can't be signalled, or ends without counts or with another code than 0.
    pub fn stop(mut self) -> io::Result<Counts> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(other(format!("the truth server ended with {status}")));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for TruthServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
