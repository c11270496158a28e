//! The floor of a closed loop: the system calls of the engine's ring and nothing else. No parsing, no checks, no
//! latencies, no time-outs: what is left is what the kernel costs. `benches/generators` compares the engine with it.
//!
//! `floor http://127.0.0.1:8000/path CONNECTIONS SECONDS` prints the number of answers. All answers must be equally long.
#![allow(clippy::unwrap_used)]

use std::{
    alloc::{Layout, alloc_zeroed},
    io::{Read, Write},
    net::TcpStream,
    os::fd::AsRawFd,
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use io_uring::{
    EnterFlags, IoUring, cqueue, opcode, squeue,
    types::{BufRingEntry, Fd, SubmitArgs, Timespec},
};

const BUFFER: usize = 16 * 1024;
/// The engine's own largest batch and nap.
const LARGEST_BATCH: usize = 256;
const NAP_US: u32 = 200;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == "--version") {
        println!("floor {}", env!("CARGO_PKG_VERSION"));
        return;
    }
    let [_, url, connections, seconds] = &words[..] else {
        eprintln!("floor URL CONNECTIONS SECONDS, for instance floor http://127.0.0.1:8000/ 64 10");
        std::process::exit(2);
    };
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let (sockets, length) = connect(host, connections.parse().unwrap(), &request);
    let answers = drive(&sockets, &request, length, Duration::from_secs(seconds.parse().unwrap()));
    println!("{answers} answers");
}

/// Open connections, each of which has been answered once, and the length of an answer.
fn connect(host: &str, connections: usize, request: &[u8]) -> (Vec<TcpStream>, usize) {
    let mut length = 0;
    let sockets = (0..connections).map(|_| {
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(request).unwrap();
        let mut answer = vec![0; BUFFER];
        length = socket.read(&mut answer).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    });
    (sockets.collect(), length)
}

struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: Vec<u8>,
    count: u16,
    tail: u16,
}

impl Buffers {
    fn new(connections: usize) -> Self {
        let count = connections.next_power_of_two().clamp(16, 1024);
        let layout = Layout::from_size_align(count * size_of::<BufRingEntry>(), 4096).unwrap();
        // SAFETY: the layout isn't empty.
        let entries = NonNull::new(unsafe { alloc_zeroed(layout) }.cast()).unwrap();
        let count = u16::try_from(count).unwrap();
        let mut buffers = Self { entries, memory: vec![0; usize::from(count) * BUFFER], count, tail: 0 };
        (0..count).for_each(|buffer| buffers.give_back(buffer));
        buffers
    }

    fn give_back(&mut self, buffer: u16) {
        let at = usize::from(self.tail & (self.count - 1));
        let address = &raw mut self.memory[usize::from(buffer) * BUFFER];
        // SAFETY: `at` is below the number of entries, which are zeroed memory of their type.
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

fn drive(sockets: &[TcpStream], request: &[u8], length: usize, time: Duration) -> u64 {
    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(8192)
        .build(512)
        .unwrap();
    let mut buffers = Buffers::new(sockets.len());
    // SAFETY: the entries are page-aligned, as many as said, and never freed.
    unsafe {
        let entries = buffers.entries.as_ptr() as u64;
        ring.submitter().register_buf_ring_with_flags(entries, buffers.count, 0, 0).unwrap();
    }
    let receive = |index: usize| {
        opcode::RecvMulti::new(Fd(sockets[index].as_raw_fd()), 0).build().user_data(index as u64)
    };
    let send = |index: usize| {
        opcode::Send::new(Fd(sockets[index].as_raw_fd()), request.as_ptr(), request.len() as u32)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(index as u64)
    };
    for index in 0..sockets.len() {
        push(&mut ring, &receive(index));
        push(&mut ring, &send(index));
    }
    let end = Instant::now() + time;
    let (mut answers, mut bytes) = (0, vec![0; sockets.len()]);
    let mut completions = Vec::new();
    let want = (sockets.len() / 2).clamp(1, LARGEST_BATCH);
    while Instant::now() < end {
        let second = Timespec::new().sec(1);
        let arguments = SubmitArgs::new().timespec(&second).min_wait_usec(NAP_US);
        let _ = ring.submitter().submit_with_args_and_flags(want, &arguments, EnterFlags::empty());
        completions
            .extend(ring.completion().map(|one| (one.user_data() as usize, one.result(), one.flags())));
        for (index, result, flags) in completions.drain(..) {
            if let Some(buffer) = cqueue::buffer_select(flags) {
                buffers.give_back(buffer);
            }
            if !cqueue::more(flags) {
                assert!(result > 0 || result == -libc::ENOBUFS, "connection {index}: {result}");
                push(&mut ring, &receive(index));
            }
            bytes[index] += usize::try_from(result).unwrap_or(0);
            if bytes[index] >= length {
                bytes[index] = 0;
                answers += 1;
                push(&mut ring, &send(index));
            }
        }
    }
    answers
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) {
    // SAFETY: sockets, request and buffers outlive the ring's work: the process ends with it.
    while unsafe { ring.submission().push(entry) }.is_err() {
        ring.submit().unwrap();
    }
}
