//! Facts of the machine that a number depends on (METHOD, section 6), each `unknown` where it can't be read.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

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

/// The last commit that touched `stacks`, a folder, with ` and changes that aren't committed` behind it where there are some:
/// what `dyno gate --base` can go back to. `None` where git can't tell.
pub fn revision_of(stacks: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(stacks).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["log", "-1", "--format=%H", "--", "."]).filter(|commit| !commit.is_empty())?;
    let changed = git(&["status", "--porcelain", "--", "."])?;
    Some(if changed.is_empty() { commit } else { format!("{commit} and changes that aren't committed") })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_the_last_one_of_the_folder_and_says_what_is_not_committed() {
        let folder = tempfile::tempdir().unwrap();
        let stacks = folder.path().join("stacks");
        fs::create_dir(&stacks).unwrap();
        assert_eq!(revision_of(&stacks), None);
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-C"]).arg(folder.path());
            assert!(command.args(arguments).output().unwrap().status.success(), "{arguments:?}");
        };
        git(&["init", "--quiet"]);
        fs::write(stacks.join("a"), "1").unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "first"]);
        let first = revision_of(&stacks).unwrap();
        assert_eq!(first.len(), 40, "{first}");
        fs::write(folder.path().join("elsewhere"), "1").unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "second"]);
        assert_eq!(revision_of(&stacks).as_ref(), Some(&first));
        fs::write(stacks.join("b"), "1").unwrap();
        assert_eq!(revision_of(&stacks), Some(format!("{first} and changes that aren't committed")));
    }
}
