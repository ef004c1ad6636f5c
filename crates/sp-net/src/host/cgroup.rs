//! Limits of the control groups of this process: version 2 with every ancestor, version 1 for memory.

use std::path::{Path, PathBuf};

use super::{Host, table};

const MOUNT: &str = "sys/fs/cgroup";

/// A limit and how much of it is used, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) max: u64,
    pub(super) used: u64,
}

/// The tightest of all ancestors; none where nothing limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Limits {
    pub(super) memory: Option<Group>,
    pub(super) swap: Option<Group>,
    pub(super) cpuset: Option<u32>,
    pub(super) cpu_quota: Option<u32>,
}

/// Reads the limits. A file that is missing limits nothing: groups show only the controllers that are on.
pub(super) fn limits(host: &Host) -> Limits {
    let membership = host.read("proc/self/cgroup").unwrap_or_default();
    let mut limits = Limits::default();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if controllers.is_empty() {
            version_2(host, path, &mut limits);
        } else if controllers.split(',').any(|name| name == "memory") {
            version_1_memory(host, path, &mut limits);
        }
    }
    limits
}

fn version_2(host: &Host, path: &str, limits: &mut Limits) {
    // Hybrid systems mount version 2 one level down.
    let mount = if host.root.join(MOUNT).join("unified").is_dir() { "sys/fs/cgroup/unified" } else { MOUNT };
    for group in ancestors(mount, path) {
        let memory = memory_limit(host, &group);
        tighten(&mut limits.memory, memory, |g| g.max);
        let swap = number(host, &group, "memory.swap.max")
            .map(|max| Group { max, used: number(host, &group, "memory.swap.current").unwrap_or(0) });
        tighten(&mut limits.swap, swap, |g| g.max);
        let cpuset = text(host, &group, "cpuset.cpus.effective").and_then(|list| table::list_length(&list));
        tighten(&mut limits.cpuset, cpuset, |n| *n);
        let quota = text(host, &group, "cpu.max").and_then(|line| quota_cpus(&line));
        tighten(&mut limits.cpu_quota, quota, |n| *n);
    }
}

/// The hard limit or the throttling one, whichever is lower; file cache that can be dropped does not count as used.
fn memory_limit(host: &Host, group: &Path) -> Option<Group> {
    let limits = ["memory.max", "memory.high"].map(|file| number(host, group, file));
    let max = limits.into_iter().flatten().min()?;
    let current = number(host, group, "memory.current").unwrap_or(0);
    let stat = text(host, group, "memory.stat").unwrap_or_default();
    let cache = table::field(&stat, "inactive_file ").and_then(|n| n.parse().ok()).unwrap_or(0);
    Some(Group { max, used: current.saturating_sub(cache) })
}

fn version_1_memory(host: &Host, path: &str, limits: &mut Limits) {
    for group in ancestors("sys/fs/cgroup/memory", path) {
        // "No limit" is a huge number there; the machine's own total is then the smaller one.
        let Some(max) = number(host, &group, "memory.limit_in_bytes") else { continue };
        let current = number(host, &group, "memory.usage_in_bytes").unwrap_or(0);
        let stat = text(host, &group, "memory.stat").unwrap_or_default();
        let cache = table::field(&stat, "total_inactive_file ").and_then(|n| n.parse().ok()).unwrap_or(0);
        tighten(&mut limits.memory, Some(Group { max, used: current.saturating_sub(cache) }), |g| g.max);
    }
}

/// The group, its parent and so on up to the mount. A path that leads outside our namespace (`/../x`) cannot be
/// followed: then the mount itself is the group that we see.
fn ancestors(mount: &str, path: &str) -> Vec<PathBuf> {
    let mount = PathBuf::from(mount);
    if path.contains("..") {
        return vec![mount];
    }
    let below = Path::new(path.trim_start_matches('/'));
    below.ancestors().map(|ancestor| mount.join(ancestor)).collect()
}

fn text(host: &Host, group: &Path, file: &str) -> Option<String> {
    host.read(&group.join(file).to_string_lossy()).ok()
}

/// A number; none for `max` and for a missing file.
fn number(host: &Host, group: &Path, file: &str) -> Option<u64> {
    text(host, group, file)?.trim().parse().ok()
}

/// `quota period` in whole cores, rounded up; none for `max`.
fn quota_cpus(line: &str) -> Option<u32> {
    let (quota, period) = line.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    if period == 0 { None } else { u32::try_from(quota.div_ceil(period)).ok() }
}

fn tighten<T, N: Ord>(best: &mut Option<T>, candidate: Option<T>, size: impl Fn(&T) -> N) {
    if let Some(candidate) = candidate
        && best.as_ref().is_none_or(|held| size(&candidate) < size(held))
    {
        *best = Some(candidate);
    }
}
