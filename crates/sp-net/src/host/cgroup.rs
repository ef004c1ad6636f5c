//! Control groups of this process, version 2 and version 1, each with every ancestor.

use std::path::{Path, PathBuf};

use super::facts::{Group, Limit};
use super::{Host, table};

const MOUNT: &str = "sys/fs/cgroup";

/// Version 1 writes "no limit" as the largest number of whole pages; nothing real comes near.
const UNLIMITED: u64 = 1 << 62;

/// Reads what the groups say. A file that is missing limits nothing: groups show only the controllers that are on.
pub(super) fn groups(host: &Host) -> Vec<Group> {
    let text = host.read("proc/self/cgroup").unwrap_or_default();
    membership(&text).into_iter().flat_map(|member| member.read(host)).collect()
}

/// A line of `/proc/self/cgroup` that matters.
#[derive(Debug, PartialEq, Eq)]
enum Member<'a> {
    /// The one group of version 2.
    Unified(&'a str),
    /// Version 1's group for memory.
    Memory(&'a str),
    /// Version 1's group for processor time.
    Cpu(&'a str),
}

/// Lines are `number:controllers:path`; version 2's has no controllers. Version 1's cpuset needs no look: the cores
/// that the process may run on are known already.
fn membership(text: &str) -> Vec<Member<'_>> {
    let mut members = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if controllers.is_empty() {
            members.push(Member::Unified(path));
        }
        for controller in controllers.split(',') {
            match controller {
                "memory" => members.push(Member::Memory(path)),
                "cpu" => members.push(Member::Cpu(path)),
                _ => {}
            }
        }
    }
    members
}

impl Member<'_> {
    /// The group and its ancestors.
    fn read(self, host: &Host) -> Vec<Group> {
        let (mount, path, read): (_, _, fn(Files) -> Group) = match self {
            // Hybrid systems mount version 2 one level down.
            Self::Unified(path) => (first_of(host, &["unified", ""]), path, unified),
            Self::Memory(path) => (first_of(host, &["memory"]), path, memory_v1),
            // Some systems have no link from one name to the other.
            Self::Cpu(path) => (first_of(host, &["cpu", "cpu,cpuacct"]), path, cpu_v1),
        };
        ancestors(&mount, path).into_iter().map(|directory| read(Files { host, directory })).collect()
    }
}

/// The first of these directories that is there, below the mount.
fn first_of(host: &Host, names: &[&str]) -> PathBuf {
    let mount = PathBuf::from(MOUNT);
    let found = names.iter().map(|name| mount.join(name)).find(|path| host.root.join(path).is_dir());
    found.unwrap_or(mount)
}

/// The group, its parent and so on up to the mount. A path that leads outside our namespace (`/../x`) cannot be
/// followed: then the mount itself is the group that we see.
fn ancestors(mount: &Path, path: &str) -> Vec<PathBuf> {
    if path.contains("..") {
        return vec![mount.to_owned()];
    }
    let below = Path::new(path.trim_start_matches('/'));
    below.ancestors().map(|ancestor| mount.join(ancestor)).collect()
}

fn unified(files: Files) -> Group {
    let memory = least(files.number("memory.max"), files.number("memory.high"));
    let stat = files.text("memory.stat").unwrap_or_default();
    let used = files.number("memory.current").unwrap_or(0);
    let swap = files.number("memory.swap.max");
    let swap_used = files.number("memory.swap.current").unwrap_or(0);
    Group {
        memory: memory.map(|max| Limit { max, used: used.saturating_sub(file_cache(&stat, "")) }),
        swap: swap.map(|max| Limit { max, used: swap_used }),
        cpuset: files.text("cpuset.cpus.effective").and_then(|list| table::cores(&list)),
        quota_cpus: files.text("cpu.max").and_then(|line| table::quota(&line)),
    }
}

fn memory_v1(files: Files) -> Group {
    let stat = files.text("memory.stat").unwrap_or_default();
    let limit = |number: Option<u64>| number.filter(|max| *max < UNLIMITED);
    // An ancestor outside our mount shows only in the second one.
    let memory = limit(least(files.number("memory.limit_in_bytes"), stat_number(&stat, "hierarchical_memory_limit ")));
    let used = files.number("memory.usage_in_bytes").unwrap_or(0);
    // Memory and swap together.
    let both = limit(files.number("memory.memsw.limit_in_bytes"));
    let both_used = files.number("memory.memsw.usage_in_bytes").unwrap_or(used);
    let swap = memory
        .zip(both)
        .map(|(memory, both)| Limit { max: both.saturating_sub(memory), used: both_used.saturating_sub(used) });
    let used = used.saturating_sub(file_cache(&stat, "total_"));
    Group { memory: memory.map(|max| Limit { max, used }), swap, ..Group::default() }
}

fn cpu_v1(files: Files) -> Group {
    let (quota, period) = (files.text("cpu.cfs_quota_us"), files.text("cpu.cfs_period_us"));
    let quota_cpus = quota.zip(period).and_then(|(quota, period)| table::quota_v1(&quota, &period));
    Group { quota_cpus, ..Group::default() }
}

/// Pages of files: dropped as soon as somebody needs the memory. Files in memory only (tmpfs) are not among them.
fn file_cache(stat: &str, prefix: &str) -> u64 {
    let pages = ["inactive_file ", "active_file "].map(|name| stat_number(stat, &format!("{prefix}{name}")));
    pages.into_iter().flatten().fold(0, u64::saturating_add)
}

fn stat_number(stat: &str, name: &str) -> Option<u64> {
    table::field(stat, name)?.parse().ok()
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// The files of one group.
struct Files<'a> {
    host: &'a Host,
    directory: PathBuf,
}

impl Files<'_> {
    fn text(&self, file: &str) -> Option<String> {
        self.host.read(&self.directory.join(file).to_string_lossy()).ok()
    }

    /// A number; none for `max` and for a missing file.
    fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_versions() {
        use Member::{Cpu, Memory, Unified};
        let cases: [(&str, &[Member<'_>]); 6] = [
            ("0::/a/b\n", &[Unified("/a/b")]),
            ("4:memory:/m\n1:cpu,cpuacct:/c\n0::/\n", &[Memory("/m"), Cpu("/c"), Unified("/")]),
            ("9:name=systemd:/\n8:pids:/\n3:cpuset:/x\n2:cpuacct:/\n", &[]),
            ("7:memory:/odd:name\n", &[Memory("/odd:name")]),
            ("nonsense\n\n1:cpu\n", &[]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(membership(text), expected, "{text:?}");
        }
    }

    #[test]
    fn ancestors_end_at_the_mount() {
        let paths = |path| -> Vec<String> {
            ancestors(Path::new("m"), path).iter().map(|p| p.to_string_lossy().trim_end_matches('/').into()).collect()
        };
        assert_eq!(paths("/a/b"), ["m/a/b", "m/a", "m"]);
        assert_eq!(paths("/"), ["m"]);
        assert_eq!(paths("/../sibling"), ["m"]);
    }

    #[test]
    fn file_cache_is_both_lists_and_nothing_else() {
        let stat = "anon 5\nfile 100\nshmem 7\ninactive_file 30\nactive_file 4\nunevictable 9\n";
        assert_eq!(file_cache(stat, ""), 34);
        assert_eq!(file_cache("total_inactive_file 3\ninactive_file 1\n", "total_"), 3);
        assert_eq!(file_cache("", ""), 0);
    }
}
