//! What a worker must remember over its own death: attempts, executor answers, results nobody has acknowledged.
//!
//! `<data-dir>/attempts/<id>/assign` comes before anything else is done for an attempt; `attempts/<id>/finished` holds
//! the executor's answer once its outputs are durable; `results/<id>` the result until it is acknowledged.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use sp_proto::v1;
use sp_sectors::{Disk, make_dirs, read_all, remove_any, write_whole};
use sp_types::AttemptId;

/// Longest record: a result carries a proof or the output of PC1 at most.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// The records cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct LedgerError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Records in the data directory. All calls block.
pub(crate) struct Ledger {
    disk: Arc<dyn Disk>,
    attempts: PathBuf,
    results: PathBuf,
}

impl Ledger {
    pub(crate) fn open(disk: Arc<dyn Disk>, data_dir: &Path) -> Result<Self, LedgerError> {
        let (attempts, results) = (data_dir.join("attempts"), data_dir.join("results"));
        for dir in [&attempts, &results] {
            make_dirs(&*disk, dir).map_err(failed("create", dir))?;
        }
        let ledger = Self { disk, attempts, results };
        ledger.remove_unfinished()?;
        Ok(ledger)
    }

    /// A result whose record a crash cut off will be written again, or its attempt is over and it will not.
    fn remove_unfinished(&self) -> Result<(), LedgerError> {
        let mut unfinished = self.list(&self.results)?;
        unfinished.retain(|name| name.ends_with(".tmp"));
        if unfinished.is_empty() {
            return Ok(());
        }
        for path in unfinished.iter().map(|name| self.results.join(name)) {
            remove_any(&*self.disk, &path).map_err(failed("remove", &path))?;
        }
        self.disk.sync_dir(&self.results).map_err(failed("sync", &self.results))
    }

    /// Attempts that were assigned and have no result yet.
    pub(crate) fn attempts(&self) -> Result<Vec<v1::Assign>, LedgerError> {
        let results = self.results()?;
        let mut found = Vec::new();
        for entry in self.list(&self.attempts)? {
            let Ok(id) = entry.parse::<AttemptId>() else { continue };
            let path = self.attempts.join(&entry);
            if results.contains_key(&id) {
                continue;
            }
            match self.read(&path.join("assign"))? {
                Some(assign) => found.push(assign),
                // The crash came before the record: nobody was told that we have it.
                None => remove_any(&*self.disk, &path).map_err(failed("remove", &path))?,
            }
        }
        Ok(found)
    }

    /// Results that nobody has acknowledged.
    pub(crate) fn results(&self) -> Result<BTreeMap<AttemptId, v1::TaskResult>, LedgerError> {
        let mut found = BTreeMap::new();
        for entry in self.list(&self.results)? {
            // What is not an id is a record that was never finished.
            let Ok(id) = entry.parse::<AttemptId>() else { continue };
            if let Some(result) = self.read(&self.results.join(&entry))? {
                found.insert(id, result);
            }
        }
        Ok(found)
    }

    pub(crate) fn save_assign(&self, id: AttemptId, assign: &v1::Assign) -> Result<(), LedgerError> {
        let dir = self.attempts.join(id.to_string());
        make_dirs(&*self.disk, &dir).map_err(failed("create", &dir))?;
        self.write(&dir.join("assign"), assign)
    }

    /// The assignment of an attempt, until it is forgotten.
    pub(crate) fn assigned(&self, id: AttemptId) -> Result<Option<v1::Assign>, LedgerError> {
        self.read(&self.attempts.join(id.to_string()).join("assign"))
    }

    /// The executor's answer and its times; no replicas yet.
    pub(crate) fn save_finished(&self, id: AttemptId, finished: &v1::TaskResult) -> Result<(), LedgerError> {
        self.write(&self.attempts.join(id.to_string()).join("finished"), finished)
    }

    pub(crate) fn finished(&self, id: AttemptId) -> Result<Option<v1::TaskResult>, LedgerError> {
        self.read(&self.attempts.join(id.to_string()).join("finished"))
    }

    pub(crate) fn save_result(&self, id: AttemptId, result: &v1::TaskResult) -> Result<(), LedgerError> {
        self.write(&self.results.join(id.to_string()), result)
    }

    /// Forgets an attempt. The result goes last: an attempt without it would be run again.
    pub(crate) fn forget(&self, id: AttemptId) -> Result<(), LedgerError> {
        let (result, unfinished) = (self.results.join(id.to_string()), self.results.join(format!("{id}.tmp")));
        for path in [self.attempts.join(id.to_string()), unfinished, result] {
            remove_any(&*self.disk, &path).map_err(failed("remove", &path))?;
        }
        self.disk.sync_dir(&self.results).map_err(failed("sync", &self.results))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, LedgerError> {
        let entries = self.disk.list(dir).map_err(failed("list", dir))?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    fn read<M: Message + Default>(&self, path: &Path) -> Result<Option<M>, LedgerError> {
        match read_all(&*self.disk, path, RECORD_BYTES_MAX) {
            Ok(bytes) => M::decode(bytes.as_slice()).map(Some).map_err(|e| failed("decode", path)(io::Error::other(e))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", path)(error)),
        }
    }

    fn write(&self, path: &Path, record: &impl Message) -> Result<(), LedgerError> {
        write_whole(&*self.disk, path, &record.encode_to_vec()).map_err(failed("write", path))
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError {
    let path = path.to_owned();
    move |source| LedgerError { doing, path, source }
}

#[cfg(test)]
mod tests {
    use sp_sectors::MemDisk;

    use super::*;

    #[test]
    fn what_was_never_whole_is_removed_at_the_start_and_with_its_attempt() {
        let disk: Arc<dyn Disk> = Arc::new(MemDisk::default());
        let (dir, id) = (Path::new("/data"), "7.1".parse().unwrap());
        let half = Path::new("/data/results/7.1.tmp");
        let is_there = || disk.metadata(half).is_ok();
        let ledger = Ledger::open(disk.clone(), dir).unwrap();
        drop(disk.create_new(half).unwrap());
        ledger.forget(id).unwrap();
        assert!(!is_there());
        drop(disk.create_new(half).unwrap());
        assert!(ledger.results().unwrap().is_empty() && is_there());
        Ledger::open(disk.clone(), dir).unwrap();
        assert!(!is_there());
    }

    #[test]
    fn records_survive_and_are_forgotten_together() {
        let disk: Arc<dyn Disk> = Arc::new(MemDisk::default());
        let (dir, id) = (Path::new("/data"), "7.1".parse().unwrap());
        let ledger = Ledger::open(disk.clone(), dir).unwrap();
        let assign = v1::Assign { sector: 3, ..Default::default() };
        ledger.save_assign(id, &assign).unwrap();
        let again = Ledger::open(disk.clone(), dir).unwrap();
        assert_eq!(again.attempts().unwrap(), std::slice::from_ref(&assign));
        assert_eq!(again.assigned(id).unwrap(), Some(assign));
        assert_eq!(again.finished(id).unwrap(), None);
        let result = v1::TaskResult { compute_ms: 5, ..Default::default() };
        again.save_finished(id, &result).unwrap();
        assert_eq!(again.finished(id).unwrap(), Some(result.clone()));
        again.save_result(id, &result).unwrap();
        assert_eq!(again.attempts().unwrap(), [], "a finished attempt is not held any more");
        assert_eq!(again.results().unwrap().len(), 1);
        again.forget(id).unwrap();
        again.forget(id).unwrap();
        assert!(again.results().unwrap().is_empty() && again.finished(id).unwrap().is_none());
    }
}
