//! Process records: which children this worker has, so that its next run can make sure that they are gone.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Directory of the records below the data directory: one file per child, named by its process id, holding its start time.
pub(super) const DIRECTORY: &str = "children";

/// Directory of the children's temporary directories.
pub(super) const TMP_DIRECTORY: &str = "tmp";

/// How long a killed process may take to disappear.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// The name of the record of a child that does file operations begins with this.
const DISK: &str = "disk-";

/// How long such a child is waited for: it holds up its own path and not the worker.
const DISK_GONE_WITHIN: Duration = Duration::from_secs(2);

/// A child of an earlier run that does file operations on a path and cannot be ended: the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its process id.
    pub pid: u32,
    /// When it was started, in clock ticks since boot, as text.
    pub start: String,
    /// The path.
    pub root: PathBuf,
}

impl LeftBehind {
    /// It is still there. What cannot be seen is taken to be there.
    pub fn is_alive(&self) -> bool {
        start_time(self.pid).map_or(true, |start| start.as_deref() == Some(self.start.as_str()))
    }
}

/// What is left of the last run cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum LeftoverError {
    /// A process does not die.
    #[error(
        "executor child {pid} of this worker's last run does not end (hung I/O?); it may still write, so this worker \
         does not start; free what it hangs on or reboot the host"
    )]
    Undying {
        /// Its process id.
        pid: u32,
    },
    /// The records cannot be read or removed.
    #[error("process records in {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the record of a child that was just started.
pub(super) fn write(data_dir: &Path, pid: u32) -> io::Result<PathBuf> {
    let start = start_time(pid)?.ok_or_else(|| io::Error::other(format!("child {pid} ended at once")))?;
    let path = data_dir.join(DIRECTORY).join(pid.to_string());
    // Not fsynced: after a power cut there are no children either.
    fs::write(&path, start)?;
    Ok(path)
}

/// Writes the record of a child that does the file operations on a path.
pub(crate) fn write_disk(data_dir: &Path, pid: u32, root: &Path) -> io::Result<PathBuf> {
    let start = start_time(pid)?.ok_or_else(|| io::Error::other(format!("child {pid} ended at once")))?;
    let dir = data_dir.join(DIRECTORY);
    fs::create_dir_all(&dir)?;
    let path = dir.join(format!("{DISK}{pid}"));
    // Not fsynced: after a power cut there are no children either.
    fs::write(&path, [start.as_bytes(), b"\n", root.as_os_str().as_bytes()].concat())?;
    Ok(path)
}

/// The child that a record of that kind names.
fn disk_child(path: &Path, pid: &str) -> io::Result<Option<LeftBehind>> {
    let recorded = fs::read(path)?;
    let Some(at) = recorded.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let (start, root) = (String::from_utf8_lossy(&recorded[..at]).into_owned(), OsStr::from_bytes(&recorded[at + 1..]));
    Ok(pid.parse().ok().map(|pid| LeftBehind { pid, start, root: PathBuf::from(root) }))
}

/// Kills whatever still lives of the last run, waits until it is gone, and removes its records and temporary files. Names
/// the children of paths that do not end: they keep their records.
pub fn end_leftovers(data_dir: &Path) -> Result<Vec<LeftBehind>, LeftoverError> {
    let mut left_behind = Vec::new();
    let dir = data_dir.join(DIRECTORY);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LeftoverError::Io { path, source }
    };
    fs::create_dir_all(&dir).map_err(failed(&dir))?;
    for entry in fs::read_dir(&dir).map_err(failed(&dir))? {
        let path = entry.map_err(failed(&dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(pid) = name.strip_prefix(DISK) {
            if let Some(child) = disk_child(&path, pid).map_err(failed(&path))?
                && !end(child.pid, &child.start, DISK_GONE_WITHIN).map_err(failed(&path))?
            {
                left_behind.push(child);
                continue;
            }
        } else if let Ok(pid) = name.parse::<u32>() {
            let recorded = fs::read_to_string(&path).map_err(failed(&path))?;
            end(pid, &recorded, GONE_WITHIN)
                .map_err(failed(&path))?
                .then_some(())
                .ok_or(LeftoverError::Undying { pid })?;
        }
        fs::remove_file(&path).map_err(failed(&path))?;
    }
    let tmp = data_dir.join(TMP_DIRECTORY);
    match fs::remove_dir_all(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&tmp)(error)),
        _ => Ok(left_behind),
    }
}

/// Ends the process if it is still the recorded one; false when it does not die.
fn end(pid: u32, recorded: &str, within: Duration) -> io::Result<bool> {
    let polls = within.as_millis() / POLL.as_millis();
    for poll in 0..polls {
        // Another start time is another process under a number that was used again.
        if start_time(pid)?.as_deref() != Some(recorded) {
            return Ok(true);
        }
        if poll == 0 {
            tracing::warn!(pid, "a child of the last run is still alive; killing it");
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                // It may be gone by now: the next look tells.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        std::thread::sleep(POLL);
    }
    Ok(false)
}

/// Start time of a process in clock ticks since boot, as text; None when there is none or it is a zombie.
fn start_time(pid: u32) -> io::Result<Option<String>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        // ESRCH: it ended between open and read.
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(3) => return Ok(None),
        Err(e) => return Err(e),
    };
    // The name (field 2) may hold spaces and parentheses; the fields after its last parenthesis are plain.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after.split_whitespace().collect();
    let (state, start) = (fields.first(), fields.get(19));
    Ok(start.filter(|_| !matches!(state, Some(&"Z" | &"X"))).map(|s| (*s).to_owned()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_is_left_of_the_last_run_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(DIRECTORY)).unwrap();
        fs::create_dir_all(dir.path().join(TMP_DIRECTORY).join("child-0")).unwrap();
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let record = write(dir.path(), child.id()).unwrap();
        end_leftovers(dir.path()).unwrap();
        assert!(!record.exists() && !dir.path().join(TMP_DIRECTORY).exists());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn children_of_paths_are_known_by_their_path() {
        let dir = tempfile::tempdir().unwrap();
        let root = Path::new("/mnt/with a\nnewline");
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let record = write_disk(dir.path(), child.id(), root).unwrap();
        let named = record.file_name().unwrap().to_str().unwrap().strip_prefix(DISK).unwrap().to_owned();
        let known = disk_child(&record, &named).unwrap().unwrap();
        assert_eq!((known.pid, known.root.as_path()), (child.id(), root));
        assert!(known.is_alive());
        assert_eq!(end_leftovers(dir.path()).unwrap(), []);
        assert!(!record.exists() && !known.is_alive());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_number_that_was_used_again_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(DIRECTORY)).unwrap();
        let me = std::process::id();
        fs::write(dir.path().join(DIRECTORY).join(me.to_string()), "1").unwrap();
        end_leftovers(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join(DIRECTORY)).unwrap().count(), 0);
    }
}
