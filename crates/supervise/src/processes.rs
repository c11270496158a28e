//! Trees of processes as `/proc` shows them.

use std::{collections::HashMap, fs};

use dyno_model::child::Usage;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// All living descendants of `root`, without `root` itself. Zombies aren't living.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some((state, parent)) = state_and_parent(pid)
            && state != 'Z'
        {
            children.entry(parent).or_default().push(pid);
        }
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

fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too: fields begin behind the last one.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Sends a signal to each process; those that are gone don't matter.
pub fn signal_all(pids: &[u32], signal: Signal) {
    for &pid in pids {
        // An error means that it is gone, which is what is wanted.
        let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
    }
}

/// CPU time of the living processes and threads, in nanoseconds, from `schedstat` of every task.
pub fn tasks_cpu_ns(pids: &[u32]) -> u64 {
    pids.iter().flat_map(|&pid| task_files(pid, "schedstat")).filter_map(|text| first_number(&text)).sum()
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

/// The living processes of a process group.
pub fn in_process_group(group: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        if fields.first() != Some(&"Z") && fields.get(2).and_then(|text| text.parse().ok()) == Some(group) {
            found.push(pid);
        }
    }
    found
}
