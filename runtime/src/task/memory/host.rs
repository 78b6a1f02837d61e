//! How much memory there is: of the machine, or of the container that the process runs in.
//!
//! Place in the flow: read once, when the accountant is made. Invariant: what is read is decided upon by pure functions, and a file
//! that is missing or says something else counts as "no limit here".

use std::path::{Path, PathBuf};

/// Where the machine's memory is told.
const MEMINFO: &str = "/proc/meminfo";

/// Where the control groups of this process are told.
const CGROUPS: &str = "/proc/self/cgroup";

/// Where control groups are mounted.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// What the machine says about its memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// `/proc/meminfo`.
    pub meminfo: String,
    /// Limits of the control groups that the process is in, as their files have them.
    pub limits: Vec<String>,
}

impl HostFacts {
    /// Reads what there is.
    fn read() -> Self {
        let text = |path: &Path| std::fs::read_to_string(path).ok();
        let groups = text(Path::new(CGROUPS)).unwrap_or_default();
        Self {
            meminfo: text(Path::new(MEMINFO)).unwrap_or_default(),
            limits: limit_files(&groups, Path::new(CGROUP_ROOT))
                .iter()
                .filter_map(|path| text(path))
                .collect(),
        }
    }

    /// The least of all limits, bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        let limits = self.limits.iter().filter_map(|text| limit_bytes(text));
        limits.chain(meminfo_bytes(&self.meminfo)).min()
    }
}

/// Memory of this machine or container, bytes; absent where it cannot be told.
pub fn host_memory_bytes() -> Option<u64> {
    HostFacts::read().memory_bytes()
}

/// The files that may hold a limit for a process in these control groups: those of its groups and of all groups around them, in both
/// versions. In a container the groups are often those of the host, of which only the root is visible.
fn limit_files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (dir, name) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        let path = Path::new(path.trim_start_matches('/'));
        for group in path.ancestors() {
            files.push(dir.join(group).join(name));
        }
    }
    files
}

/// A limit of a control group; absent for `max` and for the largest number of version 1, which mean none.
fn limit_bytes(text: &str) -> Option<u64> {
    let bytes: u64 = text.trim().parse().ok()?;
    // Version 1 says the largest signed number, rounded down to a page.
    (bytes < i64::MAX.unsigned_abs() - (1 << 20)).then_some(bytes)
}

/// `MemTotal` of `/proc/meminfo`.
fn meminfo_bytes(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts() {
        let facts = |limits: &[&str]| HostFacts {
            meminfo: "MemTotal:       16384 kB\nMemFree:  1 kB\n".into(),
            limits: limits.iter().map(|&limit| limit.into()).collect(),
        };
        assert_eq!(facts(&[]).memory_bytes(), Some(16 << 20));
        assert_eq!(facts(&["max\n"]).memory_bytes(), Some(16 << 20));
        assert_eq!(facts(&["max\n", "1048576\n"]).memory_bytes(), Some(1 << 20));
        assert_eq!(
            facts(&["9223372036854771712\n", "8388608\n"]).memory_bytes(),
            Some(8 << 20)
        );
        assert_eq!(facts(&["garbage"]).memory_bytes(), Some(16 << 20));
        assert_eq!(HostFacts::default().memory_bytes(), None);
        // No machine has so little; a limit beyond the machine's memory is none.
        assert_eq!(facts(&["999999999999"]).memory_bytes(), Some(16 << 20));
    }

    #[test]
    fn limits_of_all_groups_around_the_process_are_looked_up() {
        let files = |groups: &str| -> Vec<String> {
            let files = limit_files(groups, Path::new("/g"));
            files
                .iter()
                .map(|path| path.display().to_string())
                .collect()
        };
        assert_eq!(
            files("0::/a/b\n"),
            ["/g/a/b/memory.max", "/g/a/memory.max", "/g/memory.max"]
        );
        assert_eq!(
            files("3:cpu,cpuacct:/x\n2:memory:/docker/1\n"),
            [
                "/g/memory/docker/1/memory.limit_in_bytes",
                "/g/memory/docker/memory.limit_in_bytes",
                "/g/memory/memory.limit_in_bytes"
            ]
        );
        assert!(files("nonsense").is_empty());
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(host_memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
