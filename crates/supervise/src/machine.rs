//! The machine itself: its CPUs, who gets which, and what it does besides us.

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use dyno_model::record::CpuSets;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// The CPUs that dyno may use.
pub fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return vec![0] };
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
}

/// Who gets which CPU (METHOD, section 6): one CPU is shared by all; of two the server has one to itself; of three each has
/// one; from four on servers get about half, the database and the generator a quarter each. Hardware
/// threads of one core share its units, so parts are made of whole cores where there are three or more; with
/// fewer, the server at least shares none with another part, except within a single core.
pub fn split_cpus(cpus: &[usize]) -> CpuSets {
    split_cores(&by_core(cpus, core_of))
}

fn split_cores(cores: &[Vec<usize>]) -> CpuSets {
    // The kernel numbers siblings 0 and 4 of four cores with two threads as often as 0 and 1.
    let singles: Vec<Vec<usize>> = cores.iter().flatten().map(|&cpu| vec![cpu]).collect();
    let units = if cores.len() >= 3 { cores } else { &singles };
    let part = |from: usize, to: usize| {
        let mut part = units[from..to].concat();
        part.sort_unstable();
        part
    };
    let count = units.len();
    match count {
        0 | 1 => CpuSets { server: part(0, count), database: part(0, count), generator: part(0, count) },
        2 => CpuSets { server: part(1, 2), database: part(0, 1), generator: part(0, 1) },
        _ if cores.len() == 2 && cores[0].len() < 2 => {
            // Two uneven cores: the lone thread is for those who share.
            CpuSets { server: part(1, count), database: part(0, 1), generator: part(0, 1) }
        }
        _ => {
            // Of two cores the first is for those who don't serve, however many threads each has.
            let serving = if cores.len() == 2 { cores[0].len() } else { 2 * (count / 4).max(1) };
            let middle = (serving / 2).max(1);
            CpuSets {
                generator: part(0, middle),
                database: part(middle, serving),
                server: part(serving, count),
            }
        }
    }
}

/// CPUs by core, cores in the order of their first CPU.
fn by_core(cpus: &[usize], core_of: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut cores: Vec<(usize, Vec<usize>)> = Vec::new();
    for &cpu in cpus {
        let core = core_of(cpu);
        match cores.iter_mut().find(|(known, _)| *known == core) {
            Some((_, threads)) => threads.push(cpu),
            None => cores.push((core, vec![cpu])),
        }
    }
    cores.into_iter().map(|(_, threads)| threads).collect()
}

/// The first hardware thread of a CPU's core; the CPU itself where the kernel doesn't tell.
fn core_of(cpu: usize) -> usize {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().split([',', '-']).next().and_then(|first| first.parse().ok()).unwrap_or(cpu)
}

/// Keeps the calling thread, and what it starts, on these CPUs; an empty list or a refusal changes nothing.
pub fn pin_this_thread(cpus: &[usize]) -> bool {
    let mut set = CpuSet::new();
    !cpus.is_empty()
        && cpus.iter().all(|&cpu| set.set(cpu).is_ok())
        && sched_setaffinity(Pid::from_raw(0), &set).is_ok()
}

/// Keeps the calling thread, and what it starts, on these CPUs until the answer is dropped. A session that comes after in the
/// same process finds all CPUs again, and parts them as the first one did.
pub fn pin_this_thread_while(cpus: &[usize]) -> Pinned {
    let before = allowed_cpus();
    pin_this_thread(cpus);
    Pinned { before, thread: std::marker::PhantomData }
}

/// The thread that made it has its CPUs back when this is dropped; so it can't go to another.
#[must_use]
#[derive(Debug)]
pub struct Pinned {
    before: Vec<usize>,
    thread: std::marker::PhantomData<*const ()>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        pin_this_thread(&self.before);
    }
}

/// Busy and stolen time of some CPUs since boot, in nanoseconds, to the kernel's tick (10 ms).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuClock {
    /// Time that the CPUs worked for anybody in this system.
    pub busy_ns: u64,
    /// Time that the hypervisor gave to others.
    pub steal_ns: u64,
}

impl CpuClock {
    /// What has passed since an earlier reading.
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            busy_ns: self.busy_ns.saturating_sub(earlier.busy_ns),
            steal_ns: self.steal_ns.saturating_sub(earlier.steal_ns),
        }
    }
}

/// The clocks of all CPUs, read at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineClock {
    /// All CPUs together.
    pub all: CpuClock,
    /// Each CPU that is online, by the kernel's number.
    pub cpus: BTreeMap<usize, CpuClock>,
}

impl MachineClock {
    /// Reads `/proc/stat`; zero where it can't be read.
    pub fn read() -> Self {
        fs::read_to_string("/proc/stat").map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    /// These CPUs together.
    pub fn of(&self, cpus: &[usize]) -> CpuClock {
        cpus.iter().filter_map(|cpu| self.cpus.get(cpu)).fold(CpuClock::default(), |sum, one| CpuClock {
            busy_ns: sum.busy_ns + one.busy_ns,
            steal_ns: sum.steal_ns + one.steal_ns,
        })
    }

    fn parse(text: &str) -> Self {
        let mut clock = Self::default();
        for line in text.lines() {
            let Some((name, fields)) = line.split_once(' ') else { continue };
            match name.strip_prefix("cpu") {
                Some("") => clock.all = cpu_clock(fields),
                Some(number) => {
                    clock.cpus.extend(number.parse().ok().map(|number: usize| (number, cpu_clock(fields))));
                }
                None => {}
            }
        }
        clock
    }
}

/// The clock of a line's fields: user nice system idle iowait irq softirq steal; guest time is part of user.
fn cpu_clock(fields: &str) -> CpuClock {
    const TICK_NS: u64 = 10_000_000; // USER_HZ is 100 on every Linux that dyno runs on
    let ticks: Vec<u64> = fields.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
    CpuClock { busy_ns: (at(0) + at(1) + at(2) + at(5) + at(6)) * TICK_NS, steal_ns: at(7) * TICK_NS }
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

/// Mean speed of these CPUs, in loops of arithmetic per millisecond of CPU time, by a thread that spins on each for `length`.
/// By CPU time, so that what a server still tidies up there doesn't look like a slow machine. `None` for no CPUs, and where one
/// can't be had.
pub fn speed_of(cpus: &[usize], length: Duration) -> Option<f64> {
    let speed = |cpu: usize| {
        if !pin_this_thread(&[cpu]) {
            return None;
        }
        let (begin, cpu_begin_ns) = (Instant::now(), thread_cpu_ns()?);
        let loops = spin(begin, length);
        let cpu_ns = thread_cpu_ns()?.checked_sub(cpu_begin_ns).filter(|&cpu_ns| cpu_ns > 0)?;
        Some(loops as f64 / (cpu_ns as f64 / 1e6))
    };
    let speeds: Option<Vec<f64>> = thread::scope(|scope| {
        let threads: Vec<_> = cpus.iter().map(|&cpu| scope.spawn(move || speed(cpu))).collect();
        threads.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    let speeds = speeds.filter(|speeds| !speeds.is_empty())?;
    Some(speeds.iter().sum::<f64>() / speeds.len() as f64)
}

/// CPU time of this thread.
fn thread_cpu_ns() -> Option<u64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok()?;
    u64::try_from(Duration::from(time).as_nanos()).ok()
}

/// Turns of a loop until `length` after `begin`. It touches no memory, so that it doesn't matter who ran before; and its eight chains
/// keep a core's units busy, so that it feels who else uses the core: in the slowest tenth of a trace its speed was below 0.62 of its
/// mean, that of one chain, as in [`spin_per_ms`], below 0.93 (`docs/design/2026-11-28-speed.md`).
fn spin(begin: Instant, length: Duration) -> u64 {
    const TURNS: u64 = 1_000;
    let mut loops = 0;
    let mut values = [1u64, 2, 3, 4, 5, 6, 7, 8];
    while begin.elapsed() < length {
        for _ in 0..TURNS {
            for value in &mut values {
                *value = value.rotate_left(5) ^ value.wrapping_add(0x9e37_79b9_7f4a_7c15);
            }
        }
        black_box(&mut values);
        loops += TURNS;
    }
    loops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_has_a_speed_and_none_has_none() {
        let cpu = allowed_cpus()[0];
        let speed = speed_of(&[cpu], Duration::from_millis(2)).expect("an allowed CPU");
        assert!(speed.is_finite() && speed > 0.0, "{speed}");
        assert_eq!(speed_of(&[], Duration::from_millis(2)), None);
        assert_eq!(speed_of(&[cpu, CpuSet::count() - 1], Duration::from_millis(2)), None, "no such CPU here");
    }

    #[test]
    fn every_part_gets_a_cpu_and_servers_share_none_from_two_on() {
        for count in 1..40 {
            let cpus: Vec<usize> = (0..count).collect();
            let sets = split_cores(&by_core(&cpus, |cpu| cpu));
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
    fn hardware_threads_of_a_core_stay_in_one_part() {
        let sets = |server: &[usize], database: &[usize], generator: &[usize]| CpuSets {
            server: server.to_vec(),
            database: database.to_vec(),
            generator: generator.to_vec(),
        };
        let split = |count: usize, cores: usize| {
            let cpus: Vec<usize> = (0..count).collect();
            split_cores(&by_core(&cpus, |cpu| cpu % cores))
        };
        assert_eq!(split(8, 4), sets(&[2, 3, 6, 7], &[1, 5], &[0, 4]));
        assert_eq!(split(6, 3), sets(&[2, 5], &[1, 4], &[0, 3]));
        assert_eq!(split(4, 2), sets(&[1, 3], &[2], &[0]), "the server's core is its own");
        assert_eq!(split(3, 2), sets(&[1], &[2], &[0]));
        assert_eq!(split(2, 1), sets(&[1], &[0], &[0]));
        // A cpuset that has one thread of the first core and both of the second.
        assert_eq!(split_cores(&[vec![0], vec![1, 3]]), sets(&[1, 3], &[0], &[0]));
    }

    #[test]
    fn a_pinned_thread_has_its_cpus_back_afterwards() {
        let of_a_thread = std::thread::spawn(|| {
            let all = allowed_cpus();
            let pinned = pin_this_thread_while(&all[..1]);
            let within = allowed_cpus();
            drop(pinned);
            (all, within, allowed_cpus())
        });
        let (all, within, after) = of_a_thread.join().unwrap();
        assert_eq!((within.as_slice(), after), (&all[..1], all.clone()));
    }

    #[test]
    fn reads_the_kernels_counters() {
        let clock = MachineClock::parse(
            "cpu  10 20 30 1000 5 1 2 7 0 0\ncpu0 1 2 3\ncpu2 9 18 27 0 5 1 2 7 0 0\nintr 5 6\n",
        );
        let of = |busy_ns, steal_ns| CpuClock { busy_ns, steal_ns };
        assert_eq!(clock.all, of(630_000_000, 70_000_000));
        assert_eq!(clock.of(&[2]), of(570_000_000, 70_000_000));
        assert_eq!(clock.of(&[0, 1, 2]), of(630_000_000, 70_000_000), "one that isn't there has no time");
        assert_eq!(clock.of(&[2]).since(clock.of(&[0])), of(510_000_000, 70_000_000));
        assert_eq!(MachineClock::parse("nonsense"), MachineClock::default());
    }
}
