//! What a server says of itself while it is loaded: uWSGI's stats server, JSON as soon as one connects
//! (<https://uwsgi-docs.readthedocs.io/en/latest/StatsServer.html>).

use std::{io::Read, os::unix::net::UnixStream, path::Path, time::Duration};

use dyno_model::record::ServerStats;
use serde::Deserialize;

const PATIENCE: Duration = Duration::from_millis(200);

/// uWSGI's counters at one moment.
#[derive(Clone, Debug, Deserialize)]
pub struct UwsgiStats {
    /// Connections that wait to be accepted.
    #[serde(default)]
    listen_queue: u64,
    #[serde(default)]
    workers: Vec<Worker>,
}

#[derive(Clone, Debug, Deserialize)]
struct Worker {
    #[serde(default)]
    requests: u64,
    /// Time within requests since the start, in microseconds, summed over threads.
    #[serde(default)]
    running_time: u64,
    #[serde(default)]
    cores: Vec<serde::de::IgnoredAny>,
}

impl UwsgiStats {
    /// Asks the stats server; `None` when it doesn't answer in time, for a trial never fails for its statistics.
    pub fn read(socket: &Path) -> Option<Self> {
        let mut stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn running_us(&self) -> u64 {
        self.workers.iter().map(|worker| worker.running_time).sum()
    }

    /// Its worker processes.
    pub fn workers(&self) -> u32 {
        u32::try_from(self.workers.len()).unwrap_or(u32::MAX)
    }

    /// Requests since its start.
    pub fn requests(&self) -> u64 {
        self.workers.iter().map(|worker| worker.requests).sum()
    }

    /// What happened between two readings `window_ns` nanoseconds apart.
    pub fn since(&self, earlier: &Self, window_ns: u64) -> ServerStats {
        let threads: usize = self.workers.iter().map(|worker| worker.cores.len().max(1)).sum();
        let available_us = window_ns as f64 / 1e3 * threads.max(1) as f64;
        ServerStats {
            busy: self.running_us().saturating_sub(earlier.running_us()) as f64 / available_us.max(1.0),
            queue: self.listen_queue,
            requests: self.requests().saturating_sub(earlier.requests()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busyness_is_time_in_requests_over_all_threads() {
        let stats = |requests: u64, running_us: u64, queue: u64| -> UwsgiStats {
            serde_json::from_value(serde_json::json!({
                "version": "2.0.30", "listen_queue": queue, "load": 0,
                "workers": [
                    {"id": 1, "requests": requests, "running_time": running_us, "cores": [{"id": 0}, {"id": 1}]},
                    {"id": 2, "requests": 0, "running_time": 0, "cores": [{"id": 0}, {"id": 1}]},
                ],
            }))
            .unwrap()
        };
        let between = stats(30, 250_000, 7).since(&stats(10, 50_000, 0), 100_000_000);
        // 200 ms in requests over 4 threads times 100 ms.
        assert_eq!(between, ServerStats { busy: 0.5, queue: 7, requests: 20 });
    }
}
