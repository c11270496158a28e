//! io_uring as it pays: one thread, deferred task work, multishot receives into a ring of buffers, sends that
//! complete in silence, and waiting for many answers at once. Each of these was measured (docs/design), and without
//! them a ring is slower than epoll, so a kernel that lacks one gets epoll.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    io,
    os::fd::{AsRawFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use dyno_model::load::{Bytes, Target};
use io_uring::{
    EnterFlags, IoUring, cqueue, opcode, squeue,
    types::{BufRingEntry, CancelBuilder, Fd, RecvMsgOut, SubmitArgs, Timespec},
};

use super::{
    ClockOffset, Incoming, Next, Patience, Place,
    stamps::{self, CONTROL},
};
use crate::clock::now_ns;

/// Submissions that are gathered at most before they are handed over.
const SUBMISSIONS: u32 = 512;
/// Completions that wait at most.
const COMPLETIONS: u32 = 8192;
/// Completions that are waited for at most: a larger batch saves nothing more, and its buffers fall out of the cache.
const LARGEST_BATCH: usize = 256;
/// Bytes of a receive buffer: smaller ones cost large answers more than they save small ones.
const BUFFER: usize = 16 * 1024;
/// Receive buffers at most; a power of two.
const MOST_BUFFERS: usize = 1024;
/// Longest send whose success isn't told: it is in the socket's buffer at once. A longer one may stay in the ring for
/// as long as the server doesn't read, and an answer that comes meanwhile is one to half a request.
const SILENT_SEND: usize = 16 * 1024;
/// The only group of buffers.
const GROUP: u16 = 0;

/// What a completion is of: the lowest byte of its user data.
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const CONNECT: u64 = 3;
const CANCEL: u64 = 4;

/// Longest time for the last completions of a ring that is given up.
const LONGEST_DISSOLVING_NS: u64 = 1_000_000_000;

/// A connection's place in the ring.
#[derive(Default)]
struct Slot {
    place: Option<Place>,
    /// Completions of an earlier connection in this place carry another number.
    generation: u32,
    /// A multishot receive is armed for this generation.
    armed: bool,
    /// It has brought bytes.
    fed: bool,
    /// A send whose end is told is in the ring.
    sending: bool,
    /// Bytes that went out since [`Uring::send`] was called last, which the next call begins with.
    ahead: usize,
}

#[derive(Clone, Copy)]
struct Completion {
    user_data: u64,
    result: i32,
    flags: u32,
}

pub struct Uring {
    // Dropped first: the kernel uses the rest until the ring is gone.
    ring: IoUring,
    buffers: BufferRing,
    message: Box<libc::msghdr>,
    slots: Vec<Slot>,
    completions: Vec<Completion>,
    /// Receives of the last round on connections whose send had just gone out, which is to be known first.
    deferred: Vec<Completion>,
    /// Connections to receive from again, after those that found no buffer: one that gets bytes faster than they
    /// are read would take all the buffers again.
    again: Vec<usize>,
    /// Multishot receives of any generation that the kernel still holds.
    held: usize,
    no_iowait: EnterFlags,
    dissolving: bool,
    /// Bytes of all connections ever.
    pub bytes: Bytes,
}

impl Uring {
    /// A ring for so many connections, or why not: an old kernel, or one that forbids it.
    pub fn new(connections: usize) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        // Waiting for several completions with a shorter limit came with absolute timeouts, in 6.12.
        if !ring.params().is_feature_min_timeout() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let no_iowait =
            if ring.params().is_feature_no_iowait() { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        let buffers = BufferRing::new(connections.next_power_of_two().clamp(16, MOST_BUFFERS))?;
        // SAFETY: the memory of the buffer ring is page-aligned, as long as its entries, and outlives the ring.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries.as_ptr() as u64,
                buffers.count,
                GROUP,
                0,
            )?;
        }
        // SAFETY: all zeroes are a valid `msghdr`: no name, no parts, no control.
        let mut message: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        message.msg_controllen = CONTROL as _;
        let slots = Vec::new();
        Ok(Self {
            ring,
            buffers,
            message,
            slots,
            completions: Vec::new(),
            deferred: Vec::new(),
            again: Vec::new(),
            held: 0,
            no_iowait,
            dissolving: false,
            bytes: Bytes::default(),
        })
    }

    pub fn open(&mut self, index: usize, target: &Target) -> io::Result<()> {
        self.close(index);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let place = Place::open(target)?;
        let slot = &mut self.slots[index];
        slot.generation = (slot.generation + 1) & 0x00ff_ffff;
        (slot.armed, slot.sending, slot.ahead) = (false, false, 0);
        let writable = opcode::PollAdd::new(Fd(place.fd.as_raw_fd()), libc::POLLOUT as u32)
            .build()
            .user_data(user_data(CONNECT, slot.generation, index));
        slot.place = Some(place);
        self.push(&writable)
    }

    pub fn close(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.ahead = 0;
        if let Some(place) = slot.place.take() {
            hang_up(&place.fd);
        }
    }

    pub fn send(&mut self, index: usize, bytes: &[u8]) -> io::Result<usize> {
        let Some(slot) = self.slots.get_mut(index) else { return Err(io::ErrorKind::NotConnected.into()) };
        let Some(place) = &slot.place else { return Err(io::ErrorKind::NotConnected.into()) };
        let ahead = std::mem::take(&mut slot.ahead).min(bytes.len());
        let rest = &bytes[ahead..];
        if rest.is_empty() || slot.sending || place.broken {
            return Ok(ahead);
        }
        let length = u32::try_from(rest.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // With WAITALL the kernel goes on by itself when the socket's buffer is full.
        let mut send = opcode::Send::new(Fd(place.fd.as_raw_fd()), rest.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(user_data(SEND, slot.generation, index));
        slot.sending = rest.len() > SILENT_SEND;
        let taken = if slot.sending { 0 } else { rest.len() };
        if !slot.sending {
            send = send.flags(squeue::Flags::SKIP_SUCCESS);
        }
        self.bytes.sent += taken as u64;
        self.push(&send)?;
        Ok(ahead + taken)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        while !self.ring.submission().is_empty() {
            match self.ring.submit() {
                Ok(_) => {}
                // Completions are in the way.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => self.gather(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub fn wait(&mut self, patience: Patience) -> io::Result<()> {
        if !self.completions.is_empty() || !self.deferred.is_empty() || !self.ring.completion().is_empty() {
            // The kernel is entered even so: what others wait for is deferred work, which is done there only. A
            // connection that always has something at hand would keep it from being done.
            return self.enter(Patience { until_ns: 1, want: 1, nap_ns: 0 });
        }
        self.enter(patience)
    }

    fn enter(&mut self, patience: Patience) -> io::Result<()> {
        let until = Timespec::new()
            .sec(patience.until_ns / 1_000_000_000)
            .nsec((patience.until_ns % 1_000_000_000) as u32);
        let mut arguments = SubmitArgs::new().timespec(&until);
        let mut want = 1;
        if patience.nap_ns > 0 && patience.want > 1 {
            want = (patience.want as usize).min(LARGEST_BATCH);
            // The kernel takes the nap for a shortest wait, even beyond the latest moment.
            if patience.until_ns.saturating_sub(now_ns()) > patience.nap_ns {
                arguments =
                    arguments.min_wait_usec(u32::try_from(patience.nap_ns / 1000).unwrap_or(u32::MAX));
            }
        }
        let flags = EnterFlags::ABS_TIMER | self.no_iowait;
        match self.ring.submitter().submit_with_args_and_flags(want, &arguments, flags) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Tells of everything that has completed.
    pub fn take(
        &mut self,
        offset: ClockOffset,
        sink: &mut impl FnMut(usize, Incoming<'_>) -> Next,
    ) -> io::Result<()> {
        self.gather();
        for completion in std::mem::take(&mut self.deferred) {
            self.tell(completion, offset, sink)?;
        }
        let mut completions = std::mem::take(&mut self.completions);
        for &completion in &completions {
            // The sink hears that more can be written, and then sends the rest, if any: only then it knows whether
            // an answer is one to the whole request.
            if self.has_news_of_sending(completion) {
                self.deferred.push(completion);
                continue;
            }
            self.tell(completion, offset, sink)?;
        }
        for index in std::mem::take(&mut self.again) {
            if !self.slots[index].armed {
                self.arm(index)?;
            }
        }
        // A flush in between may have gathered more: those are told in the next round.
        if self.completions.is_empty() {
            completions.clear();
            self.completions = completions;
        }
        Ok(())
    }

    fn has_news_of_sending(&self, completion: Completion) -> bool {
        let (kind, generation, index) = of_user_data(completion.user_data);
        kind == RECEIVE && self.slots[index].generation == generation && self.slots[index].ahead > 0
    }

    fn gather(&mut self) {
        self.completions.extend(self.ring.completion().map(|entry| Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        }));
    }

    fn tell(
        &mut self,
        completion: Completion,
        offset: ClockOffset,
        sink: &mut impl FnMut(usize, Incoming<'_>) -> Next,
    ) -> io::Result<()> {
        let Completion { user_data, result, flags } = completion;
        let (kind, generation, index) = of_user_data(user_data);
        let more = cqueue::more(flags);
        if kind == RECEIVE && !more {
            self.held -= 1;
        }
        let buffer = cqueue::buffer_select(flags);
        let slot = &mut self.slots[index];
        if slot.generation != generation || slot.place.is_none() {
            if let Some(buffer) = buffer {
                self.buffers.give_back(buffer);
            }
            return Ok(());
        }
        let next = match kind {
            CONNECT => {
                let connected = match &mut slot.place {
                    Some(place) if result >= 0 => place.connected(),
                    _ => Err(io::Error::from_raw_os_error(-result)),
                };
                match connected {
                    Ok(()) => {
                        self.arm(index)?;
                        sink(index, Incoming::Connected)
                    }
                    Err(error) => {
                        sink(index, Incoming::NotConnected(error));
                        Next::Close
                    }
                }
            }
            RECEIVE => {
                slot.armed = more;
                let fed = slot.fed;
                slot.fed |= buffer.is_some();
                let next = match (result, buffer) {
                    (0.., Some(buffer)) => {
                        let bytes = self.buffers.bytes(buffer, result.unsigned_abs() as usize);
                        let end = ended(slot.place.as_ref());
                        let counted = &mut self.bytes.received;
                        let sink = &mut |incoming: Incoming<'_>| {
                            if let Incoming::Bytes(bytes, _) = &incoming {
                                *counted += bytes.len() as u64;
                            }
                            sink(index, incoming)
                        };
                        let next = received(bytes, &self.message, offset, end, sink);
                        self.buffers.give_back(buffer);
                        next
                    }
                    // All buffers were in use: nothing is lost, it is asked for again.
                    (result, _) if result == -libc::ENOBUFS => Next::More,
                    (result, _) if result == -libc::ECANCELED && self.dissolving => Next::More,
                    (0, None) => {
                        sink(index, ended(slot.place.as_ref()));
                        Next::Close
                    }
                    _ => {
                        sink(index, Incoming::Broken);
                        Next::Close
                    }
                };
                if next != Next::Close && !more && !self.dissolving {
                    if fed {
                        self.again.push(index);
                    } else {
                        self.arm(index)?;
                    }
                }
                next
            }
            SEND if result > 0 && std::mem::take(&mut slot.sending) => {
                slot.ahead = result.unsigned_abs() as usize;
                self.bytes.sent += slot.ahead as u64;
                sink(index, Incoming::Writable)
            }
            SEND => {
                // An answer may have come before, which is worth more than the failure: receiving tells of both.
                slot.sending = false;
                if let Some(place) = &mut slot.place {
                    place.broken = true;
                    hang_up(&place.fd);
                }
                Next::More
            }
            _ => Next::More,
        };
        if next == Next::Close {
            self.close(index);
        }
        Ok(())
    }

    /// Asks for everything that comes on a connection.
    fn arm(&mut self, index: usize) -> io::Result<()> {
        let slot = &mut self.slots[index];
        let Some(place) = slot.place.as_ref().filter(|_| !self.dissolving) else { return Ok(()) };
        let receive = opcode::RecvMsgMulti::new(Fd(place.fd.as_raw_fd()), &raw const *self.message, GROUP)
            .build()
            .user_data(user_data(RECEIVE, slot.generation, index));
        (slot.armed, slot.fed) = (true, false);
        self.held += 1;
        self.push(&receive)
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what entries point to outlives the ring: requests' bytes are kept by the engine until the
        // wire is gone, `message` and the buffers are dropped after the ring, sockets are in the kernel's hands.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the ring's receives and hands over its sockets. What has come is told before.
    pub fn dissolve(
        &mut self,
        offset: ClockOffset,
        sink: &mut impl FnMut(usize, Incoming<'_>) -> Next,
    ) -> io::Result<Vec<(usize, Place)>> {
        self.dissolving = true;
        self.flush()?;
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            if slot.armed {
                let cancel = opcode::AsyncCancel::new(user_data(RECEIVE, slot.generation, index))
                    .build()
                    .user_data(user_data(CANCEL, slot.generation, index));
                self.push(&cancel)?;
            }
        }
        self.flush()?;
        // Receives end with one last completion each, after the bytes that came before.
        let deadline_ns = now_ns() + LONGEST_DISSOLVING_NS;
        while self.held > 0 && now_ns() < deadline_ns {
            self.enter(Patience { until_ns: now_ns() + 10_000_000, want: 1, nap_ns: 0 })?;
            self.take(offset, sink)?;
        }
        let places = self.slots.iter_mut().enumerate();
        Ok(places.filter_map(|(index, slot)| Some((index, slot.place.take()?))).collect())
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            if let Some(place) = slot.place.take() {
                hang_up(&place.fd);
            }
        }
        // Nothing may be written into the buffers once they are freed.
        let _ = self.ring.submitter().register_sync_cancel(None, CancelBuilder::any());
    }
}

/// Ends a connection whose socket the ring may still hold: closing the descriptor alone wouldn't.
fn hang_up(socket: &OwnedFd) {
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
}

const fn user_data(kind: u64, generation: u32, index: usize) -> u64 {
    (index as u64) << 32 | (generation as u64) << 8 | kind
}

const fn of_user_data(user_data: u64) -> (u64, u32, usize) {
    (user_data & 0xff, (user_data >> 8) as u32 & 0x00ff_ffff, (user_data >> 32) as usize)
}

/// What the end of a connection's bytes is told as.
fn ended(place: Option<&Place>) -> Incoming<'static> {
    if place.is_some_and(|place| place.broken) { Incoming::Broken } else { Incoming::Ended }
}

/// Tells what a multishot receive brought; `end` when it brought the end.
fn received(
    bytes: &[u8],
    message: &libc::msghdr,
    offset: ClockOffset,
    end: Incoming<'_>,
    sink: &mut impl FnMut(Incoming<'_>) -> Next,
) -> Next {
    let Ok(parts) = RecvMsgOut::parse(bytes, message) else {
        sink(Incoming::Broken);
        return Next::Close;
    };
    let payload = parts.payload_data();
    if payload.is_empty() {
        sink(end);
        return Next::Close;
    }
    let at_ns = stamps::parse(parts.control_data()).map(|stamp_ns| offset.monotonic_ns(stamp_ns));
    sink(Incoming::Bytes(payload, at_ns))
}

/// Buffers that the kernel takes one by one, and gets back when they are read.
struct BufferRing {
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    memory: Vec<u8>,
    count: u16,
    tail: u16,
}

impl BufferRing {
    fn new(count: usize) -> io::Result<Self> {
        let layout = Layout::from_size_align(count * size_of::<BufRingEntry>(), 4096)
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the layout isn't empty: there are at least 16 entries.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(memory.cast()) else { handle_alloc_error(layout) };
        let memory = vec![0; count * BUFFER];
        let count = u16::try_from(count).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut ring = Self { entries, layout, memory, count, tail: 0 };
        for buffer in 0..count {
            ring.give_back(buffer);
        }
        Ok(ring)
    }

    fn bytes(&self, buffer: u16, length: usize) -> &[u8] {
        let at = usize::from(buffer) * BUFFER;
        &self.memory[at..at + length.min(BUFFER)]
    }

    fn give_back(&mut self, buffer: u16) {
        let at = usize::from(self.tail & (self.count - 1));
        let address = &raw mut self.memory[usize::from(buffer) * BUFFER];
        // SAFETY: `at` is below `count`, the number of entries that were allocated; all zeroes are a valid entry;
        // the kernel reads entries only below the tail, which is published after this.
        let entry = unsafe { &mut *self.entries.as_ptr().add(at) };
        entry.set_addr(address as u64);
        entry.set_len(BUFFER as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is inside the first entry, aligned for a `u16`, and only this thread writes it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and the ring that used it is gone.
        unsafe { dealloc(self.entries.as_ptr().cast(), self.layout) }
    }
}
