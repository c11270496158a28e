//! Connections before a slice begins: all of them open, those that the server closed meanwhile opened again.

use std::{io, time::Duration};

use crate::{
    clock::now_ns,
    engine::Engine,
    options::LoadError,
    trial::{Connection, State},
    wire::{ClockOffset, Incoming, Next, Patience},
};

/// How often a connection that can't be opened is tried again before the load begins.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);
/// Connections that are being opened at once before the load begins: fewer than any listener's backlog.
const OPENING_AT_ONCE: usize = 100;

impl Engine {
    /// All connections idle and open, those that the server closed meanwhile opened again.
    pub(crate) fn make_ready(&mut self, count: usize) -> Result<(), LoadError> {
        self.idle.clear();
        if self.connections.len() < count {
            self.connections.resize_with(count, Connection::default);
        }
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if connection.flight.take().is_some() {
                connection.state = State::Closed;
                self.link.close(index);
            }
            connection.free_ns = 0;
        }
        let until_ns = now_ns() + self.options.connect_timeout.as_nanos() as u64;
        let mut refusal: Option<io::Error> = None;
        let mut retry_ns = 0;
        let mut next = 0;
        // What closed while nobody looked is told first.
        self.settle_connections(now_ns(), &mut refusal)?;
        loop {
            let opening = self.connections[..count].iter().filter(|one| one.state == State::Opening).count();
            let closed = self.connections[..count].iter().filter(|one| one.state == State::Closed).count();
            if opening == 0 && closed == 0 {
                break;
            }
            let now = now_ns();
            let open = count - opening - closed;
            // A certificate that isn't believed, or no HTTP at all: it won't change by asking again.
            let hopeless =
                open == 0 && refusal.as_ref().is_some_and(|e| e.kind() == io::ErrorKind::InvalidData);
            if now >= until_ns || hopeless {
                let source = refusal.unwrap_or_else(|| io::ErrorKind::TimedOut.into());
                // Where some are open the load can begin; the others are opened on demand, and counted.
                if open == 0 {
                    return Err(LoadError::Connect { target: self.target.clone(), source });
                }
                for index in 0..count {
                    if self.connections[index].state == State::Opening {
                        self.connections[index].state = State::Closed;
                        self.link.close(index);
                    }
                }
                break;
            }
            if now >= retry_ns {
                let mut room = OPENING_AT_ONCE.saturating_sub(opening);
                for _ in 0..count {
                    if room == 0 {
                        break;
                    }
                    let index = next % count;
                    next += 1;
                    if self.connections[index].state != State::Closed {
                        continue;
                    }
                    match self.link.open(index) {
                        Ok(()) => self.connections[index].state = State::Opening,
                        Err(error) => {
                            refusal = Some(error);
                            retry_ns = now + CONNECT_PAUSE.as_nanos() as u64;
                            break;
                        }
                    }
                    room -= 1;
                }
            }
            let wake_ns = until_ns.min(now + CONNECT_PAUSE.as_nanos() as u64);
            let before = refusal.is_some();
            self.settle_connections(wake_ns, &mut refusal)?;
            if refusal.is_some() && !before {
                retry_ns = now_ns() + CONNECT_PAUSE.as_nanos() as u64;
            }
        }
        self.idle.extend(0..u32::try_from(count).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Waits and takes news of connections that have no request.
    fn settle_connections(
        &mut self,
        until_ns: u64,
        refusal: &mut Option<io::Error>,
    ) -> Result<(), LoadError> {
        self.link.flush()?;
        self.link.wait(Patience { until_ns, want: 1, nap_ns: 0 })?;
        let connections = &mut self.connections;
        self.link.take(ClockOffset::read(), &mut |index, incoming| {
            let state = &mut connections[index].state;
            match incoming {
                Incoming::Connected | Incoming::Joined => *state = State::Open,
                Incoming::NotConnected(error) => {
                    *state = State::Closed;
                    *refusal = Some(error);
                }
                Incoming::Writable => {}
                // Bytes that nobody asked for, or the end.
                Incoming::Bytes(..) => {
                    *state = State::Closed;
                    let words = "it speaks before it is asked: not an HTTP server";
                    *refusal = Some(io::Error::new(io::ErrorKind::InvalidData, words));
                    return Next::Close;
                }
                _ => {
                    *state = State::Closed;
                    return Next::Close;
                }
            }
            Next::More
        })?;
        Ok(())
    }
}
