//! Ctrl-C: the first saves and stops, the second kills. Whatever dyno dies of, its children die with it.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// True after the first Ctrl-C.
pub static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_: i32) {
    if STOP.swap(true, Ordering::Relaxed) {
        // SAFETY: _exit is async-signal-safe; the keepers see the end of their pipes and kill everything.
        unsafe { nix::libc::_exit(i32::from(crate::exit::STOPPED)) };
    }
}

/// Listens for SIGINT, SIGTERM and SIGHUP.
pub fn listen() {
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler touches an atomic and may call _exit, both async-signal-safe.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

/// From now on the first signal ends the program, for a command that only shows and has nothing to save.
pub fn end_at_once() {
    STOP.store(true, Ordering::Relaxed);
}
