//! Ctrl-C: the first saves and stops, the second kills, or ends at once what a command has asked to end so. Whatever dyno
//! dies of, its children die with it.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// True after the first Ctrl-C.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// True after the second Ctrl-C, where [`keep_second`] was called.
pub static END_NOW: AtomicBool = AtomicBool::new(false);

static KEEPS_SECOND: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_: i32) {
    if STOP.swap(true, Ordering::Relaxed) {
        if KEEPS_SECOND.load(Ordering::Relaxed) && !END_NOW.swap(true, Ordering::Relaxed) {
            return;
        }
        // SAFETY: _exit is async-signal-safe; the keepers see the end of their pipes and kill everything.
        unsafe { nix::libc::_exit(i32::from(crate::exit::STOPPED)) };
    }
}

/// Listens for SIGINT, SIGTERM and SIGHUP.
pub fn listen() {
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler touches atomics and may call _exit, both async-signal-safe.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

/// From now on the second signal sets [`END_NOW`], and the third ends the program: for a command that has something to show
/// at once.
pub fn keep_second() {
    KEEPS_SECOND.store(true, Ordering::Relaxed);
}

/// From now on the first signal ends the program, for a command that only shows and has nothing to save.
pub fn end_at_once() {
    STOP.store(true, Ordering::Relaxed);
}
