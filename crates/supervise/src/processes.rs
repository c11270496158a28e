//! Trees of processes as `/proc` shows them.

use std::{collections::HashMap, fs};

use dyno_model::child::Usage;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// One process as `/proc/PID/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// Whether any thread of it still runs.
    pub living: bool,
    /// CPU time of its threads, ended ones included, in ticks.
    own_ticks: u64,
    /// CPU time of the children that it waited for, in ticks.
    waited_ticks: u64,
}

/// `USER_HZ` is 100 on every Linux that dyno runs on.
const TICK_NS: u64 = 10_000_000;

impl Process {
    /// Reads one; `None` when it is gone.
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: u32, stat: &str) -> Option<Self> {
        // The name in parentheses may hold anything, parentheses too: fields begin behind the last one.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let small = |index: usize| u32::try_from(number(index)?).ok();
        Some(Self {
            pid,
            parent: small(1)?,
            group: small(2)?,
            session: small(3)?,
            // A first thread that ended before the others is shown as a zombie, and the process lives on.
            living: !matches!(*fields.first()?, "Z" | "X") || number(17)? > 1,
            own_ticks: number(11)? + number(12)?,
            waited_ticks: number(13)? + number(14)?,
        })
    }

    /// All processes now.
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::read(entry.file_name().to_str()?.parse().ok()?)).collect()
    }
}

/// All living descendants of `root`, without `root` itself.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for process in Process::all().into_iter().filter(|process| process.living) {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for &pid in children.get(&parent).into_iter().flatten() {
            found.push(pid);
            open.push(pid);
        }
    }
    found
}

/// Sends a signal to each process; those that are gone don't matter.
pub fn signal_all(pids: &[u32], signal: Signal) {
    for &pid in pids {
        // An error means that it is gone, which is what is wanted.
        let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
    }
}

/// CPU time of a tree below its keeper, in nanoseconds, ended threads and waited processes included.
///
/// `schedstat` has nanoseconds and forgets ended threads; `stat` remembers them in ticks of 10 ms: the larger of the
/// two is nearer. Time of processes that nobody has waited for yet, and of those whose parent ignores
/// SIGCHLD, is missing.
pub fn tree_cpu_ns(keeper: u32) -> u64 {
    let waited = |process: &Process| process.waited_ticks * TICK_NS;
    let below: u64 = descendants(keeper)
        .into_iter()
        .filter_map(|pid| {
            let process = Process::read(pid)?;
            let tasks: u64 = task_files(pid, "schedstat").iter().filter_map(|text| first_number(text)).sum();
            Some(tasks.max(process.own_ticks * TICK_NS) + waited(&process))
        })
        .sum();
    below + Process::read(keeper).as_ref().map_or(0, waited)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn task_files(pid: u32, name: &str) -> Vec<String> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join(name)).ok()).collect()
}

/// Memory, processes, threads and switches of processes; CPU time is left at 0.
pub fn usage(pids: &[u32]) -> Usage {
    let mut usage = Usage { processes: u32::try_from(pids.len()).unwrap_or(u32::MAX), ..Usage::default() };
    for &pid in pids {
        usage.memory_bytes += memory_bytes(pid);
        for schedstat in task_files(pid, "schedstat") {
            // Nanoseconds on a CPU, nanoseconds ready and without one, turns.
            let wait_ns = schedstat.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
            usage.wait_ns = wait_ns.map(|wait_ns| usage.wait_ns.unwrap_or(0) + wait_ns).or(usage.wait_ns);
        }
        for status in task_files(pid, "status") {
            usage.threads += 1;
            for line in status.lines() {
                if let Some(count) = line.strip_prefix("voluntary_ctxt_switches:") {
                    usage.voluntary_switches += count.trim().parse().unwrap_or(0);
                } else if let Some(count) = line.strip_prefix("nonvoluntary_ctxt_switches:") {
                    usage.involuntary_switches += count.trim().parse().unwrap_or(0);
                }
            }
        }
    }
    usage
}

/// Proportional set size, else resident set size.
fn memory_bytes(pid: u32) -> u64 {
    let kilobytes = |path: String, key: &str| -> Option<u64> {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    let pss = kilobytes(format!("/proc/{pid}/smaps_rollup"), "Pss:");
    pss.or_else(|| kilobytes(format!("/proc/{pid}/status"), "VmRSS:")).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_process_whatever_its_name_and_its_first_thread() {
        let stat = |state: &str, threads: u32| {
            format!("7 (a) (b) {state} 3 7 5 0 -1 0 0 0 0 0 11 2 30 4 20 0 {threads} 0 99 1 1\n")
        };
        let read = |text: String| Process::parse(7, &text).expect("parses");
        let process = read(stat("S", 1));
        assert_eq!((process.parent, process.group, process.session), (3, 7, 5));
        assert_eq!((process.own_ticks, process.waited_ticks), (13, 34));
        assert!(process.living && read(stat("Z", 2)).living && !read(stat("Z", 1)).living);
        assert_eq!(Process::parse(7, "nonsense"), None);
    }
}
