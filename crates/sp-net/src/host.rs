//! What this machine is and has: its id, and the memory, swap and cores that this process may use.
//!
//! Read live from `/proc` and `/sys` below a root that tests replace (`facts`); what follows from it is decided apart
//! (`decide`). A container's limits count: every ancestor group may be the tighter one.

use std::io;
use std::path::PathBuf;

use sp_types::{HostCapacity, HostId};

mod cgroup;
mod decide;
mod facts;
pub mod gpu;
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
        Ok(decide::decide(&facts::read(self)?, no_swap))
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
