//! Control groups: version 2, version 1, or none. Only accounting is used of them.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// How CPU time of a tree is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// `cpu.stat` of a group of its own.
    CgroupV2,
    /// `cpuacct.usage` of a group of its own.
    CgroupV1,
    /// Sum of `schedstat` over the living tasks: work of processes that ended is lost.
    Tasks,
}

impl Accounting {
    /// In words, for records.
    pub const fn words(self) -> &'static str {
        match self {
            Self::CgroupV2 => "cgroup v2 cpu.stat",
            Self::CgroupV1 => "cgroup v1 cpuacct.usage",
            Self::Tasks => "sum of schedstat over living tasks",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::CgroupV2 => "cpu.stat",
            _ => "cpuacct.usage",
        }
    }
}

/// The folder that holds the groups of this dyno, removed on drop.
#[derive(Debug)]
pub struct Groups {
    folder: PathBuf,
    accounting: Accounting,
}

/// One child's group, removed on drop.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    accounting: Accounting,
    usage: File,
}

const CANDIDATES: [(Accounting, &str); 4] = [
    (Accounting::CgroupV2, "/sys/fs/cgroup"),
    (Accounting::CgroupV2, "/sys/fs/cgroup/unified"),
    (Accounting::CgroupV1, "/sys/fs/cgroup/cpuacct"),
    (Accounting::CgroupV1, "/sys/fs/cgroup/cpu,cpuacct"),
];

impl Groups {
    /// The first way that works here, tried with a real process; `None` where there is none.
    pub fn find() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        for (accounting, mount) in CANDIDATES {
            let inside =
                own_path(&own, accounting).map(|path| Path::new(mount).join(path.trim_start_matches('/')));
            for base in inside.into_iter().chain([PathBuf::from(mount)]) {
                remove_stale(&base);
                let folder = base.join(format!("dyno-{}", std::process::id()));
                if fs::create_dir(&folder).is_err() && !folder.is_dir() {
                    continue;
                }
                let groups = Self { folder, accounting };
                if groups.works() {
                    return Some(groups);
                }
            }
        }
        None
    }

    /// How CPU time is counted here.
    pub const fn accounting(&self) -> Accounting {
        self.accounting
    }

    /// Makes a child's group.
    pub fn group(&self, name: &str) -> Option<Group> {
        let folder = self.folder.join(name);
        if fs::create_dir(&folder).is_err() && !folder.is_dir() {
            return None;
        }
        let usage = File::open(folder.join(self.accounting.file())).ok()?;
        Some(Group { folder, accounting: self.accounting, usage })
    }

    fn works(&self) -> bool {
        let Some(mut group) = self.group("probe") else { return false };
        let Ok(mut members) = group.join_file() else { return false };
        let mut command = Command::new("/bin/true");
        // SAFETY: write(2) on an open file is all that happens between fork and exec.
        unsafe { command.pre_exec(move || members.write_all(b"0")) };
        command.status().is_ok_and(|status| status.success())
            && group.cpu_ns().is_some_and(|cpu_ns| cpu_ns > 0)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // Only an empty one can be removed; another dyno's cleaning takes what is left.
        let _ = fs::remove_dir(&self.folder);
    }
}

impl Group {
    /// The file that a process writes `0` to in order to join.
    pub fn join_file(&self) -> std::io::Result<File> {
        File::options().write(true).open(self.join_path())
    }

    /// Path of [`Group::join_file`].
    pub fn join_path(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// CPU time of all processes that ever were in it, in nanoseconds.
    pub fn cpu_ns(&mut self) -> Option<u64> {
        let mut text = String::new();
        self.usage.seek(SeekFrom::Start(0)).ok()?;
        self.usage.read_to_string(&mut text).ok()?;
        match self.accounting {
            Accounting::CgroupV2 => {
                let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                Some(line.trim().parse::<u64>().ok()? * 1000)
            }
            _ => text.trim().parse().ok(),
        }
    }

    /// Its processes now.
    pub fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.join_path()).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The path of dyno's own group within a hierarchy.
fn own_path(own: &str, accounting: Accounting) -> Option<String> {
    own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let matches = match accounting {
            Accounting::CgroupV2 => controllers.is_empty(),
            _ => controllers.split(',').any(|controller| controller == "cpuacct"),
        };
        matches.then(|| path.to_owned())
    })
}

/// Removes the groups of dynos that live no longer.
fn remove_stale(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("dyno-")?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            for child in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(child.path());
            }
            let _ = fs::remove_dir(entry.path());
        }
    }
}
