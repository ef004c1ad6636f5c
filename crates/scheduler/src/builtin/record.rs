//! What is remembered of a running built-in worker, so that the next scheduler finds it: pid, start time, command.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A process that is ours. Pids are reused; a pid with its start time is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) pid: u32,
    /// In clock ticks since boot, as the kernel counts it.
    pub(super) start_ticks: u64,
    /// Which boot that was.
    pub(super) boot_id: String,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
}

impl Record {
    /// Is it alive still?
    pub(super) fn is_alive(&self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks) && boot_id() == self.boot_id
    }

    /// Reads a record; none when there is none. One that cannot be read names nobody that could be adopted.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a record makes no sense"))
            .ok()
    }

    /// Writes aside, then renames.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let aside = path.with_extension("json.new");
        let mut file = File::create(&aside)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Start time of a living process; none for one that is gone or only waits to be reaped.
pub(super) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything; fields are counted behind it.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let state = *fields.first()?;
    if matches!(state, "Z" | "X") { None } else { fields.get(19)?.parse().ok() }
}

/// Identity of this boot of the machine.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_pid_and_start_time() {
        let pid = std::process::id();
        let ticks = start_ticks(pid).expect("we are alive");
        let record =
            Record { pid, start_ticks: ticks, boot_id: boot_id(), program: "p".into(), args: vec!["a".into()] };
        assert!(record.is_alive());
        assert!(!Record { start_ticks: ticks + 1, ..record.clone() }.is_alive());
        assert!(!Record { boot_id: "another".into(), ..record.clone() }.is_alive());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("window.json");
        assert_eq!(Record::read(&path), None);
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path), Some(record));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::write(&path, b"{").unwrap();
        assert_eq!(Record::read(&path), None);
    }
}
