//! What dyno does itself when a keeper was killed: the tree must not outlive that either.
//!
//! Dyno is the next subreaper, so what a dead keeper leaves becomes dyno's own children. Those are told from what
//! dyno started otherwise by their session: whatever dyno starts itself stays in dyno's, a keeper and all
//! below it never are.

use std::{
    collections::BTreeSet,
    io,
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        signal::Signal,
        wait::{Id, WaitPidFlag, waitid, waitpid},
    },
    unistd::{Pid, getsid},
};

use crate::{
    cgroup::Group,
    processes::{Process, descendants, signal_all},
};

/// Rounds of killing, and the pause between two: together what a process stuck in the kernel is waited for.
const ROUNDS: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(5);

/// Keepers that dyno has started and not yet waited for: children outside dyno's session that must live.
static KEEPERS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn keepers() -> MutexGuard<'static, BTreeSet<u32>> {
    KEEPERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a keeper; one that isn't known yet would be taken for a stray.
pub fn spawn_keeper(command: &mut Command) -> io::Result<Child> {
    let mut known = keepers();
    let keeper = command.spawn()?;
    known.insert(keeper.id());
    Ok(keeper)
}

/// A keeper was waited for: its number is free.
pub fn forget(keeper: u32) {
    keepers().remove(&keeper);
}

/// Kills what a dead keeper left, and returns when nothing of it is left.
pub fn end_leftovers(keeper: u32, root: Option<u32>, group: Option<&Group>) {
    // Its pipe ends before its children move to dyno: both are sure when it can be waited for.
    let keeper = Id::Pid(Pid::from_raw(keeper.cast_signed()));
    let _ = waitid(keeper, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    for _ in 0..ROUNDS {
        let members = group.map(Group::processes).unwrap_or_default();
        if let Some(group) = group.filter(|_| !members.is_empty()) {
            group.kill();
        }
        let strays = strays(root);
        for &stray in &strays {
            signal_all(&descendants(stray), Signal::SIGKILL);
        }
        signal_all(&strays, Signal::SIGKILL);
        for &stray in &strays {
            let _ = waitpid(Pid::from_raw(stray.cast_signed()), Some(WaitPidFlag::WNOHANG));
        }
        if members.is_empty() && strays.is_empty() {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// Dyno's children that no living keeper and no thread of dyno started, ended ones included since dyno has
/// to wait for them; and the living members of the root's process group.
fn strays(root: Option<u32>) -> Vec<u32> {
    let own = std::process::id();
    let session = getsid(None).map_or(0, |session| session.as_raw().cast_unsigned());
    let known = keepers();
    let stray = |process: &Process| {
        process.parent == own && process.session != session && !known.contains(&process.pid)
    };
    let of_group = |process: &Process| process.living && Some(process.group) == root;
    let found = Process::all().into_iter().filter(|process| stray(process) || of_group(process));
    found.map(|process| process.pid).collect()
}
