//! epoll, edge-triggered: read to the end, write until the kernel takes no more. In a busy closed loop it naps
//! between rounds, so that one system call finds the answers of many connections.

use std::{io, os::fd::AsRawFd, ptr};

use dyno_model::load::{Bytes, Target};
use rustix::{
    event::epoll::{self, Event, EventData, EventFlags},
    fd::OwnedFd,
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use super::{
    ClockOffset, Incoming, Next, Patience, Place,
    stamps::{self, CONTROL},
};
use crate::clock::{nap_until, now_ns};

/// The event that isn't a connection's.
const TIMER: u64 = u64::MAX;
/// One read takes a small answer whole, and a page of contacts too.
const SCRATCH: usize = 64 * 1024;
/// A first read that takes a head and little of the body after it.
const HEAD_READ: usize = 512;
/// Most bytes of one connection in a round: a stream that never runs dry must not keep the others, the clock and
/// the time-outs waiting.
const ROUND: usize = 256 * 1024;
/// A nap pays when the last round found at least so many.
const WORTH_A_NAP: usize = 2;

pub struct Epoll {
    epoll: OwnedFd,
    timer: OwnedFd,
    timer_ns: u64,
    places: Vec<Option<Place>>,
    events: Vec<Event>,
    scratch: Vec<u8>,
    first_read: usize,
    last_round: usize,
    /// Connections with more to read than a round may take, of which no event will tell again.
    unread: Vec<usize>,
    /// Bytes of all connections ever.
    pub bytes: Bytes,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            epoll,
            timer,
            timer_ns: 0,
            places: Vec::new(),
            events: Vec::with_capacity(1024),
            scratch: vec![0; SCRATCH],
            first_read: SCRATCH,
            last_round: 0,
            unread: Vec::new(),
            bytes: Bytes::default(),
        })
    }

    pub const fn skips(&self) -> bool {
        self.first_read < SCRATCH
    }

    pub const fn read_heads_only(&mut self) {
        self.first_read = HEAD_READ;
    }

    pub fn open(&mut self, index: usize, target: &Target) -> io::Result<()> {
        self.adopt(index, Place::open(target)?)
    }

    pub fn adopt(&mut self, index: usize, place: Place) -> io::Result<()> {
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &place, EventData::new_u64(index as u64), interest)?;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        // Closing the old one takes it out of epoll.
        self.places[index] = Some(place);
        Ok(())
    }

    pub fn close(&mut self, index: usize) {
        if let Some(place) = self.places.get_mut(index) {
            *place = None;
        }
    }

    pub fn send(&mut self, index: usize, bytes: &[u8]) -> io::Result<usize> {
        let Some(Some(place)) = self.places.get_mut(index) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut written = 0;
        while written < bytes.len() {
            match rustix::net::send(&place.fd, &bytes[written..], rustix::net::SendFlags::NOSIGNAL) {
                Ok(length) => {
                    written += length;
                    self.bytes.sent += length as u64;
                }
                Err(Errno::WOULDBLOCK) => {
                    place.blocked = true;
                    return Ok(written);
                }
                Err(Errno::INTR) => {}
                // An answer may have come before, which is worth more than the failure: reading tells of both.
                Err(Errno::PIPE | Errno::CONNRESET) => {
                    place.broken = true;
                    return Ok(written);
                }
                Err(error) => return Err(error.into()),
            }
        }
        place.blocked = false;
        Ok(written)
    }

    pub fn wait(&mut self, patience: Patience) -> io::Result<()> {
        self.events.clear();
        if !self.unread.is_empty() {
            return self.poll(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        }
        let until_nap_ns = now_ns() + patience.nap_ns;
        // A moment that comes before the nap's end is slept to: one wake-up for what is due and what has come.
        if patience.nap_ns > 0 && (self.last_round >= WORTH_A_NAP || patience.until_ns <= until_nap_ns) {
            nap_until(patience.until_ns.min(until_nap_ns));
            self.poll(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            if !self.events.is_empty() || patience.until_ns <= until_nap_ns {
                return Ok(());
            }
        }
        if self.timer_ns != patience.until_ns {
            self.timer_ns = patience.until_ns;
            let at = Timespec {
                tv_sec: (patience.until_ns / 1_000_000_000).cast_signed(),
                tv_nsec: (patience.until_ns % 1_000_000_000).max(1).cast_signed(),
            };
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            let setting = Itimerspec { it_interval: never, it_value: at };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)?;
        }
        self.poll(None)
    }

    fn poll(&mut self, timeout: Option<&Timespec>) -> io::Result<()> {
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub fn take(&mut self, offset: ClockOffset, sink: &mut impl FnMut(usize, Incoming<'_>) -> Next) {
        self.last_round = self.events.len();
        for index in std::mem::take(&mut self.unread) {
            // Another connection may be in its place by now.
            if self.place(index).is_some_and(|place| place.unread) {
                self.read(index, offset, sink);
            }
        }
        for event in 0..self.events.len() {
            let Event { flags, data } = self.events[event];
            let data = data.u64();
            if data == TIMER {
                // A timer that has fired says nothing more until it is set again.
                self.timer_ns = 0;
                continue;
            }
            if self.progress(data as usize, flags, sink) == Next::Close {
                self.places[data as usize] = None;
            } else if self.place(data as usize).is_some_and(|place| place.ending)
                || flags.contains(EventFlags::IN)
            {
                self.read(data as usize, offset, sink);
            }
        }
        self.events.clear();
    }

    fn place(&mut self, index: usize) -> Option<&mut Place> {
        self.places.get_mut(index)?.as_mut()
    }

    /// Tells of a connection that is made, or that takes more bytes.
    fn progress(
        &mut self,
        index: usize,
        flags: EventFlags,
        sink: &mut impl FnMut(usize, Incoming<'_>) -> Next,
    ) -> Next {
        let Some(place) = self.place(index) else { return Next::More };
        place.ending |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if place.connecting && (place.ending || flags.contains(EventFlags::OUT)) {
            match place.connected() {
                Ok(()) => sink(index, Incoming::Connected),
                Err(error) => {
                    sink(index, Incoming::NotConnected(error));
                    Next::Close
                }
            }
        } else if place.blocked && flags.contains(EventFlags::OUT) {
            place.blocked = false;
            sink(index, Incoming::Writable)
        } else {
            Next::More
        }
    }

    /// Reads what has come, as much as a round may take.
    fn read(
        &mut self,
        index: usize,
        offset: ClockOffset,
        sink: &mut impl FnMut(usize, Incoming<'_>) -> Next,
    ) {
        let Some(Some(place)) = self.places.get_mut(index) else { return };
        let received = &mut self.bytes.received;
        let mut sink = |incoming: Incoming<'_>| {
            *received += match &incoming {
                Incoming::Bytes(bytes, _) => bytes.len() as u64,
                Incoming::Skipped(length, _) => *length,
                _ => 0,
            };
            sink(index, incoming)
        };
        match read(place, &mut self.scratch, self.first_read, offset, &mut sink) {
            Read::Dry => place.unread = false,
            Read::Unread => {
                place.unread = true;
                self.unread.push(index);
            }
            Read::Closed => self.places[index] = None,
        }
    }
}

/// How a round's reading of a connection ended.
enum Read {
    /// An event will tell when more comes.
    Dry,
    /// There is more, and no event will tell.
    Unread,
    /// It is to be closed.
    Closed,
}

/// Reads what has come, up to [`ROUND`].
fn read(
    place: &mut Place,
    scratch: &mut [u8],
    first_read: usize,
    offset: ClockOffset,
    sink: &mut impl FnMut(Incoming<'_>) -> Next,
) -> Read {
    let mut round = 0;
    while round < ROUND {
        let skips = place.skip > 0 && place.tcp;
        let length = if skips {
            usize::try_from(place.skip).unwrap_or(SCRATCH).min(1 << 30)
        } else if place.in_body {
            scratch.len()
        } else {
            first_read.min(scratch.len())
        };
        let (result, stamp_ns) = receive(place, scratch, length, skips);
        let at_ns = stamp_ns.map(|stamp_ns| offset.monotonic_ns(stamp_ns));
        let next = match result {
            Ok(0) => {
                sink(if place.broken { Incoming::Broken } else { Incoming::Ended });
                return Read::Closed;
            }
            Ok(got) if skips => {
                place.skip -= got as u64;
                sink(Incoming::Skipped(got as u64, at_ns))
            }
            Ok(got) => sink(Incoming::Bytes(&scratch[..got], at_ns)),
            Err(Errno::WOULDBLOCK) => return Read::Dry,
            Err(Errno::INTR) => continue,
            Err(_) => {
                sink(Incoming::Broken);
                return Read::Closed;
            }
        };
        place.in_body = matches!(next, Next::Skip(_));
        match next {
            Next::Close => return Read::Closed,
            Next::Skip(bytes) => place.skip = bytes,
            Next::More => place.skip = 0,
        }
        let got = result.unwrap_or(0);
        // Less than there was room for, or the last of an answer: the kernel says so when more comes.
        if (got < length || (skips && place.skip == 0)) && !place.ending {
            return Read::Dry;
        }
        round += got;
    }
    Read::Unread
}

/// One `recvmsg`. With `skips`, the kernel throws `length` bytes away instead of copying them (tcp(7), MSG_TRUNC).
fn receive(
    place: &Place,
    scratch: &mut [u8],
    length: usize,
    skips: bool,
) -> (Result<usize, Errno>, Option<u64>) {
    #[repr(align(8))]
    struct Control([u8; CONTROL]);
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: scratch.as_mut_ptr().cast(), iov_len: length };
    let mut message = libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: &raw mut part,
        msg_iovlen: 1,
        msg_control: control.0.as_mut_ptr().cast(),
        msg_controllen: CONTROL as _,
        msg_flags: 0,
    };
    let flags = if skips { libc::MSG_TRUNC } else { 0 };
    // SAFETY: the pointers are to locals and to `scratch`, and live through the call. `length` is within
    // `scratch`, except with MSG_TRUNC on TCP, where the kernel writes nothing.
    let got = unsafe { libc::recvmsg(place.fd.as_raw_fd(), &raw mut message, flags) };
    let Ok(got) = usize::try_from(got) else {
        return (Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)), None);
    };
    (Ok(got), stamps::parse(&control.0[..message.msg_controllen]))
}
