//! The kernel's receive timestamps on TCP sockets (SO_TIMESTAMPING): when a request came, however late the server
//! reads it. The load engine does the same at the other end; this crate may not depend on it.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd},
    ptr,
};

use rustix::time::{ClockId, clock_gettime};

/// Room for the control message of a receive: its header and three `timespec`s.
const CONTROL: usize = 64;

/// Asks the kernel for stamps on a socket. Sockets that a listener accepts inherit it, so that no first request is
/// unstamped.
///
/// # Errors
/// The kernel has no software receive timestamps.
pub fn enable(socket: &impl AsFd) -> io::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    // SAFETY: the pointer and the length are those of `flags`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPING,
            (&raw const flags).cast(),
            mem::size_of::<libc::c_uint>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads once, with the stamp of the last bytes read in nanoseconds of CLOCK_REALTIME.
///
/// # Errors
/// As of `recvmsg(2)`.
pub fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
    #[repr(align(8))]
    struct Control([u8; CONTROL]);
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut message = libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: &raw mut part,
        msg_iovlen: 1,
        msg_control: control.0.as_mut_ptr().cast(),
        msg_controllen: CONTROL as _,
        msg_flags: 0,
    };
    // SAFETY: the pointers are to locals and to `buffer`, whose lengths are given, and live through the call.
    let got = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, 0) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    Ok((got, parse(&control.0[..message.msg_controllen])))
}

fn parse(control: &[u8]) -> Option<u64> {
    let header = mem::size_of::<libc::cmsghdr>();
    let number = |at: usize| {
        let bytes = control.get(at..at + 8)?;
        Some(i64::from_ne_bytes(bytes.try_into().ok()?))
    };
    // `struct cmsghdr`: length, level, type. The first message is the only one that was asked for.
    let level = i32::from_ne_bytes(control.get(8..12)?.try_into().ok()?);
    let kind = i32::from_ne_bytes(control.get(12..16)?.try_into().ok()?);
    if level != libc::SOL_SOCKET || kind != libc::SCM_TIMESTAMPING {
        return None;
    }
    let (seconds, nanoseconds) = (number(header)?, number(header + 8)?);
    let stamp = seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)?;
    u64::try_from(stamp).ok().filter(|&stamp| stamp > 0)
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn now_ns() -> u64 {
    nanoseconds(ClockId::Monotonic).cast_unsigned()
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// CLOCK_REALTIME less CLOCK_MONOTONIC in nanoseconds, as it is now: stamps are in the one, timers in the other.
pub fn realtime_offset_ns() -> i64 {
    nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Monotonic)
}
