//! CPU quotas: for how long the kernel stopped this program's own control groups because they had used theirs up. A quota stops whoever
//! asks for the most, so that it isn't like other disturbances, which hit all stacks alike.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where control groups are mounted: version 2, and the `cpu` controller of version 1.
const MOUNTS: [(&str, &[&str]); 2] = [
    ("", &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]),
    ("cpu", &["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"]),
];

/// Time that quotas stopped the groups which this program is in, parents too, since they were made, in nanoseconds; `None` where no group
/// tells.
pub fn throttled_ns() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let folders = MOUNTS.iter().flat_map(|(controller, mounts)| {
        let path = path_of(&own, controller);
        mounts.iter().filter_map(move |mount| Some((Path::new(mount), path?)))
    });
    folders.filter_map(|(mount, path)| of_folders(mount, path)).max()
}

/// The path of the group of a controller, which version 2 names with nothing, in the text of `/proc/self/cgroup`.
fn path_of<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let names = fields.next()?;
        names.split(',').any(|name| name == controller).then(|| fields.next())?
    })
}

/// The most of a group and its parents: what stops a parent stops its children, and is counted for both.
fn of_folders(mount: &Path, path: &str) -> Option<u64> {
    let folder = mount.join(path.trim_start_matches('/'));
    let folders = folder.ancestors().take_while(|folder| folder.starts_with(mount)).map(PathBuf::from);
    folders.filter_map(|folder| parse(&fs::read_to_string(folder.join("cpu.stat")).ok()?)).max()
}

/// `throttled_usec` of version 2, `throttled_time` of version 1, which is in nanoseconds.
fn parse(text: &str) -> Option<u64> {
    text.lines().find_map(|line| match line.split_once(' ')? {
        ("throttled_usec", value) => value.trim().parse::<u64>().ok().map(|usec| usec * 1_000),
        ("throttled_time", value) => value.trim().parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read_and_parents_count() {
        assert_eq!(parse("usage_usec 5\nnr_throttled 2\nthrottled_usec 1500\n"), Some(1_500_000));
        assert_eq!(parse("nr_periods 1\nnr_throttled 2\nthrottled_time 1500\n"), Some(1_500));
        assert_eq!(parse("usage_usec 5\n"), None, "a root group has no quota");
        let mount = tempfile::tempdir().unwrap();
        let inner = mount.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(mount.path().join("a/cpu.stat"), "throttled_usec 7\n").unwrap();
        fs::write(inner.join("cpu.stat"), "throttled_usec 2\n").unwrap();
        assert_eq!(of_folders(mount.path(), "/a/b"), Some(7_000));
        assert_eq!(of_folders(mount.path(), "/none"), None);
    }

    #[test]
    fn a_controller_is_found_among_others() {
        let own = "8:pids:/p\n2:cpuacct,cpu:/c/d\n0::/v2\n";
        assert_eq!(
            [path_of(own, "cpu"), path_of(own, ""), path_of(own, "memory")],
            [Some("/c/d"), Some("/v2"), None]
        );
    }
}
