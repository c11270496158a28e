//! The machine itself: its CPUs, who gets which, and what it does besides us.

use std::{
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use dyno_model::record::CpuSets;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// The CPUs that dyno may use.
pub fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return vec![0] };
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
}

/// Who gets which CPU (METHOD, section 6): one CPU is shared by all; of two the server has one to itself; of three each has
/// one; from four on servers get half, the database and the generator a quarter each. Hardware threads of one
/// core stay together as long as the list is in the kernel's usual order.
pub fn split_cpus(cpus: &[usize]) -> CpuSets {
    let part = |from: usize, to: usize| cpus[from..to].to_vec();
    match cpus.len() {
        0 | 1 => CpuSets { server: cpus.to_vec(), database: cpus.to_vec(), generator: cpus.to_vec() },
        2 => CpuSets { server: part(1, 2), database: part(0, 1), generator: part(0, 1) },
        count => {
            let quarter = (count / 4).max(1);
            CpuSets {
                generator: part(0, quarter),
                database: part(quarter, 2 * quarter),
                server: part(2 * quarter, count),
            }
        }
    }
}

/// Keeps the calling thread, and what it starts, on these CPUs; an empty list or a refusal changes nothing.
pub fn pin_this_thread(cpus: &[usize]) -> bool {
    let mut set = CpuSet::new();
    !cpus.is_empty()
        && cpus.iter().all(|&cpu| set.set(cpu).is_ok())
        && sched_setaffinity(Pid::from_raw(0), &set).is_ok()
}

/// Busy and stolen time of all CPUs since boot, in nanoseconds, to the kernel's tick (10 ms).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineClock {
    /// Time that CPUs worked for anybody in this system.
    pub busy_ns: u64,
    /// Time that the hypervisor gave to others.
    pub steal_ns: u64,
}

impl MachineClock {
    /// Reads `/proc/stat`; zero where it can't be read.
    pub fn read() -> Self {
        fs::read_to_string("/proc/stat").map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        // user nice system idle iowait irq softirq steal; guest time is part of user.
        let line = text.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or("");
        let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        const TICK_NS: u64 = 10_000_000; // USER_HZ is 100 on every Linux that dyno runs on
        Self { busy_ns: (at(0) + at(1) + at(2) + at(5) + at(6)) * TICK_NS, steal_ns: at(7) * TICK_NS }
    }
}

/// Speed of a fixed piece of arithmetic over `length`, in loops per millisecond: how fast the machine is now.
pub fn spin_per_ms(length: Duration) -> f64 {
    let begin = Instant::now();
    let mut loops = 0u64;
    let mut value = 1u64;
    while begin.elapsed() < length {
        for _ in 0..10_000 {
            value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
        loops += 10_000;
    }
    loops as f64 / (begin.elapsed().as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_gets_a_cpu_and_servers_share_none_from_two_on() {
        for count in 1..40 {
            let cpus: Vec<usize> = (0..count).collect();
            let sets = split_cpus(&cpus);
            assert!(!sets.server.is_empty() && !sets.database.is_empty() && !sets.generator.is_empty());
            if count >= 2 {
                assert!(
                    sets.server
                        .iter()
                        .all(|cpu| !sets.database.contains(cpu) && !sets.generator.contains(cpu))
                );
            }
            if count >= 4 {
                assert!(sets.server.len() * 2 >= count);
            }
        }
    }

    #[test]
    fn reads_the_kernels_counters() {
        let clock = MachineClock::parse("cpu  10 20 30 1000 5 1 2 7 0 0\ncpu0 1 2 3\n");
        assert_eq!(clock, MachineClock { busy_ns: 630_000_000, steal_ns: 70_000_000 });
        assert_eq!(MachineClock::parse("nonsense"), MachineClock::default());
    }
}
