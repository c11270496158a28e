//! Control groups: version 2, version 1, or none. Used for counting, and to find what has to be killed.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::{fs::FileExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::Signal,
};

use crate::processes::signal_all;

/// How CPU time of a tree is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// `cpu.stat` of a group of its own.
    CgroupV2,
    /// `cpuacct.usage` of a group of its own.
    CgroupV1,
    /// Sum over living tasks and waited processes: work of those that nobody waited for is lost.
    Tasks,
}

impl Accounting {
    /// In words, for records.
    pub const fn words(self) -> &'static str {
        match self {
            Self::CgroupV2 => "cgroup v2 cpu.stat",
            Self::CgroupV1 => "cgroup v1 cpuacct.usage",
            Self::Tasks => "sum of schedstat over living tasks, and of waited processes",
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
    /// Held, shared with other supervisors of this process, as long as dyno lives: see [`remove_stale`].
    _alive: Option<Flock<File>>,
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
                // With version 1 the mount of version 2 is a plain folder of mounts.
                if !base.join("cgroup.procs").exists() {
                    continue;
                }
                let folder = base.join(format!("dyno-{}", std::process::id()));
                if fs::create_dir(&folder).is_err() && !folder.is_dir() {
                    continue;
                }
                let alive = lock(&folder, FlockArg::LockSharedNonblock);
                let groups = Self { folder, accounting, _alive: alive };
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

    /// Makes a child's group; a number is added to a name that is taken, so that each begins at zero.
    pub fn group(&self, name: &str) -> Option<Group> {
        let folder = (0..1000).find_map(|number| {
            let taken = if number == 0 { name.to_owned() } else { format!("{name}.{number}") };
            self.make(&self.folder.join(taken))
        })?;
        match File::open(folder.join(self.accounting.file())) {
            Ok(usage) => Some(Group { folder, accounting: self.accounting, usage }),
            Err(_) => {
                let _ = fs::remove_dir(&folder);
                None
            }
        }
    }

    fn make(&self, folder: &Path) -> Option<PathBuf> {
        let made = fs::create_dir(folder).or_else(|error| match error.kind() {
            // Another supervisor of this process ended and took the folder of all with it.
            ErrorKind::NotFound => fs::create_dir_all(&self.folder).and_then(|()| fs::create_dir(folder)),
            _ => Err(error),
        });
        made.is_ok().then(|| folder.to_owned())
    }

    fn works(&self) -> bool {
        let Some(group) = self.group("probe") else { return false };
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
        remove_patiently(&self.folder);
    }
}

/// Removes a group's folder. The kernel calls one busy for a moment after its last process was waited for.
fn remove_patiently(folder: &Path) {
    for _ in 0..100 {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            _ => return,
        }
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

    /// CPU time of all processes that ever were in it, in nanoseconds: one `pread`, nothing allocated.
    pub fn cpu_ns(&self) -> Option<u64> {
        let mut buffer = [0; 512];
        let length = self.usage.read_at(&mut buffer, 0).ok()?;
        let text = str::from_utf8(buffer.get(..length)?).ok()?;
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
        members(&self.folder)
    }

    /// Kills its processes; to be repeated until none is left.
    pub fn kill(&self) {
        kill_members(&self.folder);
    }
}

/// The processes of a group. The kernel writes 0 for one of a foreign PID namespace, and signalling 0 would
/// reach dyno's own process group.
fn members(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid != 0).collect()
}

/// At once where the kernel can (version 2), else one by one.
pub fn kill_members(folder: &Path) {
    let whole = File::options().write(true).open(folder.join("cgroup.kill"));
    if whole.and_then(|mut file| file.write_all(b"1")).is_err() {
        signal_all(&members(folder), Signal::SIGKILL);
    }
}

fn lock(folder: &Path, how: FlockArg) -> Option<Flock<File>> {
    Flock::lock(File::open(folder).ok()?, how).ok()
}

impl Drop for Group {
    fn drop(&mut self) {
        remove_patiently(&self.folder);
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

/// Ends and removes what dynos that live no longer have left, for instance when a keeper was killed together
/// with its dyno. Dead is whose pid is free *and* whose lock is: a pid alone says nothing about another PID
/// namespace, and killing a living dyno's children would be worse than leaving a dead one's.
fn remove_stale(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("dyno-")?.parse::<u32>().ok());
        if pid.is_none_or(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            continue;
        }
        let Some(_dead) = lock(&entry.path(), FlockArg::LockExclusiveNonblock) else { continue };
        for child in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
            if child.path().is_dir() {
                remove_killed(&child.path());
            }
        }
        let _ = fs::remove_dir(entry.path());
    }
}

fn remove_killed(folder: &Path) {
    for _ in 0..100 {
        if fs::remove_dir(folder).is_ok() || !folder.exists() {
            return;
        }
        kill_members(folder);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
