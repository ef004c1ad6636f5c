//! What the files of the machine say, as numbers. Nothing is decided here: see [`super::decide`].

use std::collections::BTreeSet;

use super::{Host, HostError, cgroup, table};

/// Everything that counts for memory, swap and cores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) memory: table::Memory,
    /// Cores that the process may be scheduled on: affinity and cpuset are both in this list.
    pub(super) allowed: BTreeSet<u32>,
    /// Cores that are switched on. The list above names those too that could be plugged in one day.
    pub(super) online: Option<BTreeSet<u32>>,
    /// The process's control groups and every ancestor of them.
    pub(super) groups: Vec<Group>,
}

/// What one control group says. None: no such file, or no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) memory: Option<Limit>,
    pub(super) swap: Option<Limit>,
    pub(super) cpuset: Option<BTreeSet<u32>>,
    pub(super) quota_cpus: Option<u32>,
}

/// A limit and how much of it is used, bytes. File cache that can be dropped is not used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) max: u64,
    pub(super) used: u64,
}

/// Reads the machine: two files of the kernel, and a handful for each control group above the process.
pub(super) fn read(host: &Host) -> Result<Facts, HostError> {
    let path = "proc/meminfo";
    let memory = table::meminfo(&host.read(path)?);
    let memory = memory.ok_or_else(|| host.nonsense(path, "MemTotal or MemAvailable is missing"))?;
    let path = "proc/self/status";
    let status = host.read(path)?;
    let allowed = table::field(&status, "Cpus_allowed_list:").and_then(table::cores);
    let allowed = allowed.ok_or_else(|| host.nonsense(path, "Cpus_allowed_list is missing"))?;
    let online = host.read("sys/devices/system/cpu/online").ok().and_then(|text| table::cores(&text));
    Ok(Facts { memory, allowed, online, groups: cgroup::groups(host) })
}
