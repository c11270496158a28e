//! The kernel's receive timestamps (SO_TIMESTAMPING; Documentation/networking/timestamping.rst): when bytes came,
//! however late this program reads them.

use std::{
    mem::size_of,
    os::fd::{AsFd, AsRawFd},
};

use rustix::time::{ClockId, clock_gettime};

/// Room for the control message of a receive: its header and three `timespec`s.
pub const CONTROL: usize = 64;

/// Asks the kernel for stamps on a socket. Where it refuses, answers are unstamped, which is counted.
pub fn enable(socket: &impl AsFd) {
    let flags = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    // SAFETY: the pointer and the length are those of `flags`, which outlives the call.
    unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPING,
            (&raw const flags).cast(),
            size_of::<libc::c_uint>() as libc::socklen_t,
        );
    }
}

/// The stamp in a control buffer, in nanoseconds of CLOCK_REALTIME.
pub fn parse(control: &[u8]) -> Option<u64> {
    let header = size_of::<libc::cmsghdr>();
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

/// CLOCK_REALTIME less CLOCK_MONOTONIC, in nanoseconds: stamps are in the one, everything else in the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset(i64);

impl ClockOffset {
    /// As it is now. Read often: NTP steers one of the clocks.
    pub fn read() -> Self {
        let nanoseconds = |clock| {
            let time = clock_gettime(clock);
            time.tv_sec * 1_000_000_000 + time.tv_nsec
        };
        Self(nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Monotonic))
    }

    /// A stamp in CLOCK_MONOTONIC.
    pub const fn monotonic_ns(self, stamp_ns: u64) -> u64 {
        stamp_ns.saturating_add_signed(-self.0)
    }
}
