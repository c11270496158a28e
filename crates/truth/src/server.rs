//! The truth server: one thread, epoll, one timer in nanoseconds. It answers by a script, and a late answer is
//! recorded as what it is. It must not spin: it shares its cores with what is measured.
//!
//! Below `/__truth/` it tells what it saw: `counts`, `arrivals?rate=5000`, `latency`, `records`; `reset` begins anew.

mod connection;
mod options;

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::epoll::{self, Event, EventData, EventFlags},
    io::Errno,
    net::SocketFlags,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

pub use options::{ServerOptions, main};

use crate::{
    http::{self, Asked, Parsed},
    pacing,
    record::{Answered, Counts, Record},
    scenario::{Player, Script},
    stamps::{self, now_ns},
};
use connection::Connection;

/// Events that are no connection's.
const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
const SIGNAL: u64 = u64::MAX - 2;
const SCRATCH: usize = 64 * 1024;
/// Answers that are due together are written before anything else is read, but no more than these.
const MOST_EVENTS: usize = 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Where it tells what it saw.
const CONTROL: &str = "/__truth/";

/// An answer that is to be written.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    at_ns: u64,
    /// In the order of asking where times are equal.
    order: u64,
    connection: usize,
    /// The connection's own number: its place may be another's by then.
    id: u64,
    what: What,
    asked: Asked,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// By the script: number, when it was received, of which epoch.
    Scripted { number: Option<u64>, received_ns: u64, epoch: u64 },
    /// What the server saw.
    Control,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ns, self.order).cmp(&(other.at_ns, other.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A request that was read in this round.
struct Arrival {
    connection: usize,
    received_ns: u64,
    stamped: bool,
    asked: Asked,
}

/// A truth server that listens.
pub struct Server {
    script: Script,
    player: Player,
    record: Record,
    /// Counts resets: an answer to a request before one is in no record.
    epoch: u64,
    epoll: OwnedFd,
    timer: OwnedFd,
    listener: OwnedFd,
    address: SocketAddr,
    signals: SignalFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    next_id: u64,
    order: u64,
    due: BinaryHeap<Reverse<Due>>,
    arrivals: Vec<Arrival>,
    scratch: Vec<u8>,
    stopped: bool,
}

impl Server {
    /// Listens, and blocks SIGINT and SIGTERM in this thread, which must be the one that runs the server.
    ///
    /// # Errors
    /// The address can't be bound, or the kernel refuses a timer, epoll or receive timestamps.
    pub fn bind(listen: SocketAddr, script: Script) -> io::Result<Self> {
        // The kernel may put off wake-ups by 50 us to save power; a truth server would lie by that.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        most_files();
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        stamps::enable(&listener)?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGINT);
        mask.add(Signal::SIGTERM);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
        epoll::add(&epoll, signals.as_fd(), EventData::new_u64(SIGNAL), EventFlags::IN)?;
        Ok(Self {
            player: Player::new(script.clone(), now_ns()),
            script,
            record: Record::default(),
            epoch: 0,
            epoll,
            timer,
            listener: listener.into(),
            address,
            signals,
            connections: Vec::new(),
            free: Vec::new(),
            next_id: 0,
            order: 0,
            due: BinaryHeap::new(),
            arrivals: Vec::new(),
            scratch: vec![0; SCRATCH],
            stopped: false,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGINT or SIGTERM, and tells what it saw.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn run(mut self) -> io::Result<Counts> {
        let mut events: Vec<Event> = Vec::with_capacity(MOST_EVENTS);
        while !self.stopped {
            self.answer_due();
            self.set_timer()?;
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            // What is due now goes first: reading a burst would make it late.
            self.answer_due();
            let offset_ns = stamps::realtime_offset_ns();
            for event in &events {
                self.take(event.data.u64(), event.flags, offset_ns);
            }
            self.play();
        }
        Ok(self.record.counts)
    }

    fn set_timer(&self) -> io::Result<()> {
        let at_ns = self.due.peek().map_or(0, |Reverse(due)| due.at_ns.max(1));
        let at = Timespec {
            tv_sec: (at_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (at_ns % 1_000_000_000).cast_signed(),
        };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: never, it_value: at };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)?;
        Ok(())
    }

    fn take(&mut self, data: u64, flags: EventFlags, offset_ns: i64) {
        match data {
            LISTENER => self.accept(),
            TIMER => {}
            SIGNAL => self.stopped = matches!(self.signals.read_signal(), Ok(Some(_))),
            index => {
                let index = index as usize;
                if flags.contains(EventFlags::OUT) {
                    self.flush(index);
                }
                self.read(index, offset_ns);
            }
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // One that was reset meanwhile, or no more files: the next event tries again.
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let data = EventData::new_u64(index as u64);
            if epoll::add(&self.epoll, &socket, data, EventFlags::IN | EventFlags::RDHUP).is_err() {
                self.free.push(index);
                continue;
            }
            self.next_id += 1;
            self.connections[index] = Some(Connection::new(self.next_id, socket));
            self.record.counts.connections += 1;
        }
    }

    /// Reads what has come on a connection, and takes the requests out of it.
    fn read(&mut self, index: usize, offset_ns: i64) {
        loop {
            let Some(Some(connection)) = self.connections.get_mut(index) else { return };
            match stamps::receive(&connection.socket, &mut self.scratch) {
                Ok((0, _)) => return self.close(index),
                Ok((got, stamp_ns)) => {
                    connection.input.extend_from_slice(&self.scratch[..got]);
                    let received_ns = stamp_ns.map(|stamp_ns| stamp_ns.saturating_add_signed(-offset_ns));
                    self.parse(index, received_ns);
                    if got < SCRATCH {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.close(index),
            }
        }
    }

    fn parse(&mut self, index: usize, received_ns: Option<u64>) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let mut from = 0;
        while from < connection.input.len() {
            match http::parse(&connection.input[from..]) {
                Parsed::Partial => break,
                Parsed::Bad => {
                    self.record.counts.bad += 1;
                    return self.close(index);
                }
                Parsed::Whole(asked, length) => {
                    from += length;
                    self.arrivals.push(Arrival {
                        connection: index,
                        received_ns: received_ns.unwrap_or_else(now_ns),
                        stamped: received_ns.is_some(),
                        asked,
                    });
                }
            }
        }
        connection.input.drain(..from);
    }

    /// Gives what came in this round to the script, in the order in which the kernel received it.
    fn play(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        arrivals.sort_by_key(|arrival| arrival.received_ns);
        for Arrival { connection: index, received_ns, stamped, asked } in arrivals.drain(..) {
            let Some(Some(connection)) = self.connections.get_mut(index) else { continue };
            let (what, at_ns) = if asked.target.starts_with(CONTROL) {
                // A connection that only asks what was seen is none of the load's.
                let only_control = !std::mem::replace(&mut connection.told, true) && connection.asked == 0;
                self.record.counts.connections -= u64::from(only_control);
                (What::Control, 0)
            } else {
                connection.asked += 1;
                connection.in_flight += 1;
                self.record.asked(received_ns, stamped);
                let number = http::number(&asked.target, "k");
                let what = What::Scripted { number, received_ns, epoch: self.epoch };
                (what, self.player.answer_ns(received_ns))
            };
            // Answers on one connection go out in the order of the requests (RFC 9112, 9.3.2).
            let at_ns = at_ns.max(connection.last_ns);
            connection.last_ns = at_ns;
            self.order += 1;
            let (order, id) = (self.order, connection.id);
            self.due.push(Reverse(Due { at_ns, order, connection: index, id, what, asked }));
        }
        self.arrivals = arrivals;
    }

    fn answer_due(&mut self) {
        while let Some(Reverse(due)) = self.due.peek()
            && due.at_ns <= now_ns()
            && let Some(Reverse(due)) = self.due.pop()
        {
            self.answer(&due);
        }
    }

    fn answer(&mut self, due: &Due) {
        let index = due.connection;
        let is_there = |connection: &&mut Option<Connection>| {
            connection.as_ref().is_some_and(|connection| connection.id == due.id)
        };
        if self.connections.get_mut(index).filter(is_there).is_none() {
            return;
        }
        let bytes = match due.what {
            What::Scripted { .. } => http::answer("200 OK", "text/plain", "yes", &due.asked),
            What::Control => self.tell(&due.asked),
        };
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        connection.close_after |= !due.asked.keep_alive;
        connection.output.extend_from_slice(&bytes);
        let begun_ns = now_ns();
        if let What::Scripted { number, received_ns, epoch } = due.what {
            connection.in_flight -= u64::from(epoch == self.epoch);
            let answered =
                Answered { number, received_ns, due_ns: due.at_ns, begun_ns, written_ns: begun_ns };
            connection.unwritten.push((epoch, answered));
        }
        self.flush(index);
    }

    /// Writes what waits on a connection. Answers count once the kernel has all of them.
    fn flush(&mut self, index: usize) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let was_blocked = connection.blocked;
        if connection.write().is_err() {
            return self.close(index);
        }
        let written_ns = now_ns();
        if connection.blocked != was_blocked {
            let out = if connection.blocked { EventFlags::OUT } else { EventFlags::empty() };
            let data = EventData::new_u64(index as u64);
            let interest = EventFlags::IN | EventFlags::RDHUP | out;
            let _ = epoll::modify(&self.epoll, &connection.socket, data, interest);
        }
        if connection.blocked {
            return;
        }
        for (epoch, answered) in connection.unwritten.drain(..) {
            if epoch == self.epoch {
                self.record.answered(Answered { written_ns, ..answered });
            }
        }
        if connection.close_after && connection.in_flight == 0 {
            self.close(index);
        }
    }

    fn close(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::take) else { return };
        let unwritten = connection.unwritten.iter().filter(|(epoch, _)| *epoch == self.epoch).count();
        self.record.abandoned(connection.in_flight + unwritten as u64);
        self.free.push(index);
    }

    /// The answer to a request below [`CONTROL`].
    fn tell(&mut self, asked: &Asked) -> Vec<u8> {
        let path = asked.target.strip_prefix(CONTROL).unwrap_or_default();
        let word = path.split('?').next().unwrap_or_default();
        let json = match word {
            "counts" => serde_json::to_string(&self.record.counts),
            "latency" => serde_json::to_string(&self.record.latency()),
            "script" => serde_json::to_string(&self.script),
            "arrivals" => {
                let rate = http::number(&asked.target, "rate").filter(|rate: &f64| *rate > 0.0);
                serde_json::to_string(&pacing::measure(self.record.received_ns(), rate))
            }
            "reset" => {
                self.reset();
                serde_json::to_string(&self.record.counts)
            }
            "records" => return http::answer("200 OK", "text/plain", &self.record.lines(), asked),
            _ => {
                let words = "counts, arrivals?rate=5000, latency, records, script, reset\n";
                return http::answer("404 Not Found", "text/plain", words, asked);
            }
        };
        match json {
            Ok(json) => http::answer("200 OK", "application/json", &(json + "\n"), asked),
            Err(error) => http::answer("500 Internal Server Error", "text/plain", &error.to_string(), asked),
        }
    }

    /// Counts from nothing and plays the script from its beginning. What is in flight is answered and not counted.
    fn reset(&mut self) {
        self.epoch += 1;
        self.record = Record::default();
        self.player = Player::new(self.script.clone(), now_ns());
        for connection in self.connections.iter_mut().flatten() {
            connection.in_flight = 0;
            self.record.counts.connections += u64::from(!connection.told);
        }
    }
}

/// As many open files as this process may have: each connection is one.
fn most_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

/// Runs a server until a signal, and prints where it listens and then what it saw.
fn serve(listen: SocketAddr, script: Script) -> io::Result<ExitCode> {
    let words = script.to_string();
    let server = Server::bind(listen, script)?;
    println!("listening on http://{} : {words}", server.address());
    let counts = server.run()?;
    println!("{}", serde_json::to_string(&counts)?);
    Ok(ExitCode::SUCCESS)
}
