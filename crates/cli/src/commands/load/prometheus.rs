//! Prometheus' text on a port while a load runs. A thread that waits for connections: nobody who asks, nothing used.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use dyno_load::Interval;
use dyno_model::{
    histogram::LatencyHistogram,
    load::{Bytes, Counts},
};

use super::error::LoadCommandError;

/// Longest time for one who asks, so that a slow one keeps nobody else.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Sum {
    counts: Counts,
    in_flight: u64,
    latency: LatencyHistogram,
    statuses: BTreeMap<u16, u64>,
    bytes: Bytes,
}

/// Everything so far, for those who ask.
pub struct Metrics {
    sum: Arc<Mutex<Sum>>,
}

impl Metrics {
    /// Listens until the process ends.
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn serve(address: SocketAddr) -> Result<Self, LoadCommandError> {
        let listener =
            TcpListener::bind(address).map_err(|source| LoadCommandError::Listen { address, source })?;
        let sum = Arc::new(Mutex::new(Sum::default()));
        let shown = Arc::clone(&sum);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who goes away in the middle has lost interest.
                let _ = answer(stream, &shown);
            }
        });
        Ok(Self { sum })
    }

    /// Adds an interval.
    pub fn update(&self, interval: &Interval) {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.counts += interval.counts;
        sum.in_flight = interval.in_flight;
        sum.latency.merge(&interval.latency);
        sum.bytes += interval.bytes;
        for (status, count) in &interval.statuses {
            *sum.statuses.entry(*status).or_default() += count;
        }
    }
}

fn answer(mut stream: TcpStream, sum: &Mutex<Sum>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = [0; 4096];
    let length = stream.read(&mut head)?;
    let (status, text) = if head[..length].starts_with(b"GET /metrics ") {
        let sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        (
            "200 OK",
            dyno_report::load_prometheus(sum.counts, sum.in_flight, &sum.latency, &sum.statuses, sum.bytes),
        )
    } else {
        ("404 Not Found", "ask for GET /metrics\n".to_owned())
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}
