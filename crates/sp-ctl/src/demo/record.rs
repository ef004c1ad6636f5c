//! What was started, on disk: so that `demo --stop DIR` finds it when the demo itself has gone.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::process;

const FILE_NAME: &str = "demo.json";

/// The processes of a demo.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) cluster: String,
    /// The demo made the directory, so it may remove it.
    pub(super) own_directory: bool,
    pub(super) services: Vec<Started>,
}

/// One started process; it leads a process group of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) data_dir: PathBuf,
}

impl Record {
    /// Writes it into the directory of the demo, whole.
    pub(super) fn save(&self, dir: &Path) -> Result<()> {
        let (path, aside) = (dir.join(FILE_NAME), dir.join(format!("{FILE_NAME}.new")));
        let mut file = File::create(&aside).with_context(|| format!("cannot create {}", aside.display()))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(&aside, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads the record of the demo in `dir`.
    pub(super) fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let bytes =
            std::fs::read(&path).with_context(|| format!("{} is not the directory of a demo", dir.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }
}

/// The process ids that a scheduler has noted for its built-in workers, which outlive it on purpose.
pub(super) fn builtin_pids(scheduler_data_dir: &Path) -> Vec<u32> {
    #[derive(Deserialize)]
    struct Builtin {
        pid: u32,
    }
    let Ok(entries) = std::fs::read_dir(scheduler_data_dir.join("builtin")) else { return Vec::new() };
    let json = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "json"));
    let pids = json.filter_map(|path| Some(serde_json::from_slice::<Builtin>(&std::fs::read(path).ok()?).ok()?.pid));
    pids.collect()
}

/// The executor children that the worker with this data directory has noted and that still live: they end with their
/// worker, but not at the same moment.
pub(super) fn executor_pids(data_dir: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(data_dir.join("children")) else { return Vec::new() };
    // A file is named by the process id and holds its start time: ids are used again.
    let pid = |path: PathBuf| {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        let noted = std::fs::read_to_string(&path).ok()?;
        (process::start_ticks(pid)? == noted.trim()).then_some(pid)
    };
    entries.filter_map(|entry| pid(entry.ok()?.path())).collect()
}

/// Data directories of the built-in workers of a scheduler.
pub(super) fn builtin_directories(scheduler_data_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(scheduler_data_dir.join("builtin")) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_builtin_pids_are_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Record::load(dir.path()).is_err());
        let started = Started { name: "index".into(), pid: 7, data_dir: dir.path().join("index") };
        let record = Record { cluster: "demo-1".into(), own_directory: true, services: vec![started] };
        record.save(dir.path()).unwrap();
        assert_eq!(Record::load(dir.path()).unwrap().services[0].pid, 7);

        std::fs::create_dir(dir.path().join("builtin")).unwrap();
        std::fs::write(dir.path().join("builtin/window.json"), r#"{"pid": 42, "name": "x"}"#).unwrap();
        std::fs::write(dir.path().join("builtin/window.log"), "no").unwrap();
        assert_eq!(builtin_pids(dir.path()), [42]);
    }

    #[test]
    fn living_executors_are_found_by_number_and_start_time() {
        let dir = tempfile::tempdir().unwrap();
        assert!(executor_pids(dir.path()).is_empty());
        std::fs::create_dir(dir.path().join("children")).unwrap();
        let (own, note) = (std::process::id(), dir.path().join("children"));
        std::fs::write(note.join(own.to_string()), process::start_ticks(own).unwrap()).unwrap();
        std::fs::write(note.join("1"), "another start time").unwrap();
        assert_eq!(executor_pids(dir.path()), [own]);
        std::fs::create_dir_all(dir.path().join("builtin/window")).unwrap();
        assert_eq!(builtin_directories(dir.path()), [dir.path().join("builtin/window")]);
    }
}
