//! Facts of the machine that a number depends on (METHOD, section 6), each `unknown` where it can't be read.

use std::{collections::BTreeMap, fs};

/// The machine's facts.
pub fn machine_facts() -> BTreeMap<String, String> {
    let file = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let cpuinfo = file("/proc/cpuinfo").unwrap_or_default();
    let cpu = |key: &str| {
        let line =
            cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let hypervisor =
        cpuinfo.contains(" hypervisor").then(|| "yes".to_owned()).or_else(|| Some("none seen".to_owned()));
    let memory = file("/proc/meminfo")
        .and_then(|text| Some(text.lines().next()?.split_once(':')?.1.trim().to_owned()));
    let mitigations = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").ok().map(|entries| {
        let mut lines: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                Some(format!(
                    "{}: {}",
                    entry.file_name().to_str()?,
                    fs::read_to_string(entry.path()).ok()?.trim()
                ))
            })
            .collect();
        lines.sort();
        lines.join("; ")
    });
    let system = "/sys/devices/system";
    let facts = [
        ("cpu", cpu("model name")),
        ("cpus", Some(std::thread::available_parallelism().map_or(0, usize::from).to_string())),
        ("microcode", cpu("microcode")),
        ("smt", file(&format!("{system}/cpu/smt/active"))),
        ("governor", file(&format!("{system}/cpu/cpu0/cpufreq/scaling_governor"))),
        ("boost", file(&format!("{system}/cpu/cpufreq/boost"))),
        ("clocksource", file(&format!("{system}/clocksource/clocksource0/current_clocksource"))),
        ("hypervisor", hypervisor),
        ("kernel", file("/proc/sys/kernel/osrelease")),
        (
            "system",
            file("/etc/os-release").and_then(|text| {
                let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
                Some(name.trim_matches('"').to_owned())
            }),
        ),
        ("memory", memory),
        ("cpu.max", file("/sys/fs/cgroup/cpu.max").or_else(|| file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))),
        ("transparent hugepages", file("/sys/kernel/mm/transparent_hugepage/enabled")),
        ("aslr", file("/proc/sys/kernel/randomize_va_space")),
        ("mitigations", mitigations),
    ];
    facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.unwrap_or_else(|| "unknown".to_owned())))
        .collect()
}
