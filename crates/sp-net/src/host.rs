//! What this machine is and has: its id, and the memory, swap and cores that this process may use.
//!
//! Read live from `/proc` and `/sys` below a root that tests replace. A container's limits count: every ancestor group
//! may be the tighter one.

use std::io;
use std::path::PathBuf;

use sp_types::{HostCapacity, HostId};

mod cgroup;
mod table;

/// The machine could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file that every Linux has is missing or unreadable.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file says something unexpected.
    #[error("{} makes no sense: {reason}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// This machine as its files below a root tell it.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

/// What this process may use of the machine now. With `no_swap`, swap is reported as none.
pub fn capacity(no_swap: bool) -> Result<HostCapacity, HostError> {
    Host::at("/").capacity(no_swap)
}

/// Machine id and boot id: a new boot is a new host.
pub fn host_id() -> Result<HostId, HostError> {
    Host::at("/").id()
}

/// The name of this machine, as the kernel knows it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Host {
    /// The machine whose `/proc`, `/sys` and `/etc` lie below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// See [`host_id`].
    pub fn id(&self) -> Result<HostId, HostError> {
        let boot = self.read("proc/sys/kernel/random/boot_id")?;
        let boot = boot.trim().replace('-', "");
        let machine = self.machine_id();
        let id = HostId::new(format!("{machine}-{boot}"));
        id.map_err(|e| self.nonsense("proc/sys/kernel/random/boot_id", &e.to_string()))
    }

    /// The first that is there: systemd's id, D-Bus's older place for it, else the host name: minimal containers
    /// have neither file, and there the name is what tells machines apart (the boot id does the rest).
    fn machine_id(&self) -> String {
        for path in ["etc/machine-id", "var/lib/dbus/machine-id"] {
            let text = self.read(path).unwrap_or_default();
            let text = text.trim();
            // systemd writes `uninitialized` until the first boot is through.
            if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
                return text.to_owned();
            }
        }
        let name = self.read("proc/sys/kernel/hostname").unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name: String = name.trim().chars().map(plain).take(64).collect();
        tracing::warn!(name, "this machine has no /etc/machine-id; its name stands in: keep host names distinct");
        format!("host_{name}")
    }

    /// See [`capacity`].
    pub fn capacity(&self, no_swap: bool) -> Result<HostCapacity, HostError> {
        let memory = self.memory()?;
        let limits = cgroup::limits(self);
        let mut capacity = HostCapacity {
            memory_bytes: memory.total,
            memory_used_bytes: memory.total.saturating_sub(memory.available),
            swap_bytes: memory.swap_total,
            swap_used_bytes: memory.swap_total.saturating_sub(memory.swap_free),
            cpus: self.cpus(&limits)?,
            gpus: Vec::new(),
        };
        // A group's own use counts only where its limit is the tighter one: elsewhere the machine's figure says more.
        if let Some(group) = limits.memory.filter(|group| group.max < memory.total) {
            capacity.memory_bytes = group.max;
            capacity.memory_used_bytes = group.used.min(group.max);
        }
        if let Some(group) = limits.swap.filter(|group| group.max < memory.swap_total) {
            capacity.swap_bytes = group.max;
            capacity.swap_used_bytes = group.used.min(group.max);
        }
        if no_swap {
            (capacity.swap_bytes, capacity.swap_used_bytes) = (0, 0);
        }
        Ok(capacity)
    }

    fn memory(&self) -> Result<table::Memory, HostError> {
        let path = "proc/meminfo";
        let text = self.read(path)?;
        table::meminfo(&text).ok_or_else(|| self.nonsense(path, "MemTotal or MemAvailable is missing"))
    }

    /// The cores that this process may run on (affinity and cpuset are both in that list), fewer if a quota says so.
    fn cpus(&self, limits: &cgroup::Limits) -> Result<u32, HostError> {
        let path = "proc/self/status";
        let allowed = table::field(&self.read(path)?, "Cpus_allowed_list:").and_then(table::list_length);
        let mut cpus = allowed.ok_or_else(|| self.nonsense(path, "Cpus_allowed_list is missing"))?;
        for limit in [limits.cpuset, limits.cpu_quota].into_iter().flatten() {
            cpus = cpus.min(limit);
        }
        Ok(cpus.max(1))
    }

    fn read(&self, path: &str) -> Result<String, HostError> {
        let full = self.root.join(path);
        std::fs::read_to_string(&full).map_err(|source| HostError::Read { path: full, source })
    }

    fn nonsense(&self, path: &str, reason: &str) -> HostError {
        HostError::Parse { path: self.root.join(path), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests;
