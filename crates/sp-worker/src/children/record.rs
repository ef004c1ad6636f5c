//! Process records: which children this worker has, so that its next run can make sure that they are gone.

use std::fs;
use std::io;
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

/// Kills whatever still lives of the last run, waits until it is gone, and removes its records and temporary files.
pub fn end_leftovers(data_dir: &Path) -> Result<(), LeftoverError> {
    let dir = data_dir.join(DIRECTORY);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LeftoverError::Io { path, source }
    };
    fs::create_dir_all(&dir).map_err(failed(&dir))?;
    for entry in fs::read_dir(&dir).map_err(failed(&dir))? {
        let path = entry.map_err(failed(&dir))?.path();
        let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
        if let Some(pid) = pid {
            let recorded = fs::read_to_string(&path).map_err(failed(&path))?;
            end(pid, &recorded).map_err(failed(&path))?.then_some(()).ok_or(LeftoverError::Undying { pid })?;
        }
        fs::remove_file(&path).map_err(failed(&path))?;
    }
    let tmp = data_dir.join(TMP_DIRECTORY);
    match fs::remove_dir_all(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&tmp)(error)),
        _ => Ok(()),
    }
}

/// Ends the process if it is still the recorded one; false when it does not die.
fn end(pid: u32, recorded: &str) -> io::Result<bool> {
    let polls = GONE_WITHIN.as_millis() / POLL.as_millis();
    for poll in 0..polls {
        // Another start time is another process under a number that was used again.
        if start_time(pid)?.as_deref() != Some(recorded) {
            return Ok(true);
        }
        if poll == 0 {
            tracing::warn!(pid, "an executor child of the last run is still alive; killing it");
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
    fn a_number_that_was_used_again_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(DIRECTORY)).unwrap();
        let me = std::process::id();
        fs::write(dir.path().join(DIRECTORY).join(me.to_string()), "1").unwrap();
        end_leftovers(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join(DIRECTORY)).unwrap().count(), 0);
    }
}
