//! A durable state on a simulated disk, with the memory of what was acknowledged, which every start is held to (law L8).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sp_invariants::Law;
use sp_sectors::Loss;
use sp_state::{Batch, CommitError, OpenError, Redb, Row, State, StateError};

use crate::disk::{BlockFile, Trouble};
use crate::watch::Watch;

/// All rows of a state.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Combinations of unanswered batches that are looked at.
const POSSIBLE_MAX: usize = 64;

/// The state of one process, over all its runs.
pub struct Vault {
    name: &'static str,
    /// What is wrong with its disk.
    pub trouble: Arc<Trouble>,
    watch: Watch,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// None until one has been made whole.
    file: Option<BlockFile>,
    acknowledged: Rows,
    /// Given to the engine, which could not say whether they are durable.
    unsure: Vec<Batch>,
}

/// The state as one run of a process holds it.
pub struct Held {
    state: Redb,
    vault: Arc<Vault>,
}

impl Vault {
    /// An empty one.
    pub fn new(name: &'static str, trouble: &Arc<Trouble>, watch: &Watch) -> Arc<Self> {
        Arc::new(Self { name, trouble: trouble.clone(), watch: watch.clone(), inner: Mutex::default() })
    }

    /// Has these rows before the first start.
    pub fn begin_with(&self, batch: Batch, schema: u32) -> Result<(), String> {
        let file = BlockFile::default();
        let state = Redb::on(file.open(&self.trouble), schema).map_err(|error| error.to_string())?;
        state.commit(batch.clone()).map_err(|error| error.to_string())?;
        let mut inner = self.inner();
        inner.file = Some(file);
        apply(&mut inner.acknowledged, &batch);
        Ok(())
    }

    /// Opens it for a run, and compares what is there with what was acknowledged.
    pub fn open(self: &Arc<Self>, schema: u32) -> Result<Held, OpenError> {
        let known = self.inner().file.clone();
        let file = match known {
            Some(file) => file,
            None => self.make(schema)?,
        };
        let held = Held { state: Redb::on(file.open(&self.trouble), schema)?, vault: self.clone() };
        self.compare(&held.state);
        Ok(held)
    }

    /// Made aside; a crash on the way leaves nothing.
    fn make(&self, schema: u32) -> Result<BlockFile, OpenError> {
        let aside = BlockFile::default();
        drop(Redb::on(aside.open(&self.trouble), schema)?);
        self.inner().file = Some(aside.clone());
        Ok(aside)
    }

    /// The process or its machine dies; the file is left as that leaves it.
    pub fn crash(&self, loss: Loss) {
        if let Some(file) = &self.inner().file {
            file.crash(loss);
        }
    }

    /// An operator removes it, as the index says to do with a damaged one.
    pub fn remove(&self) {
        *self.inner() = Inner::default();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Law L8: what is there is what was acknowledged, perhaps with batches that were never answered.
    fn compare(&self, state: &Redb) {
        let Ok(found) = state.scan_all(b"") else { return };
        let found: Rows = found.into_iter().collect();
        let mut inner = self.inner();
        let unsure = std::mem::take(&mut inner.unsure);
        // What may be there: each unanswered batch in its turn, or not.
        let mut possible = vec![(inner.acknowledged.clone(), vec![])];
        for batch in &unsure {
            for (rows, batches) in possible.clone() {
                let (mut rows, mut batches) = (rows, batches);
                apply(&mut rows, batch);
                batches.push(batch.clone());
                possible.push((rows, batches));
            }
            possible.truncate(POSSIBLE_MAX);
        }
        match possible.into_iter().find(|(rows, _)| *rows == found) {
            Some((_, batches)) => {
                for batch in batches {
                    self.watch.committed(self.name, &batch);
                }
            }
            None => self.watch.broken(Law::L8, lost(self.name, &inner.acknowledged, &found)),
        }
        inner.acknowledged = found;
    }
}

fn lost(name: &str, acknowledged: &Rows, found: &Rows) -> String {
    let lost = acknowledged.iter().filter(|(key, value)| found.get(*key) != Some(value)).map(|(key, _)| key);
    let lost: Vec<String> = lost.map(|key| key.escape_ascii().to_string()).collect();
    let new = found.keys().filter(|key| !acknowledged.contains_key(*key)).count();
    format!("{name}: acknowledged rows are not as they were: {lost:?}; {new} rows that nobody acknowledged")
}

impl Held {
    fn check(&self) -> Result<(), StateError> {
        self.vault.trouble.read().map_err(|error| StateError { reason: error.to_string() })
    }
}

impl State for Held {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.check()?;
        self.state.get(key)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StateError> {
        self.check()?;
        self.state.scan(prefix, after, limit)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.check()?;
        let done = self.state.commit(batch.clone());
        let mut inner = self.vault.inner();
        match &done {
            Ok(()) => {
                self.vault.watch.committed(self.vault.name, &batch);
                apply(&mut inner.acknowledged, &batch);
            }
            Err(CommitError::State(_)) => inner.unsure.push(batch),
            Err(CommitError::Condition { .. } | CommitError::TooLarge { .. }) => {}
        }
        done
    }
}

fn apply(rows: &mut Rows, batch: &Batch) {
    for (key, value) in batch.writes() {
        match value {
            Some(value) => drop(rows.insert(key.to_vec(), value.to_vec())),
            None => drop(rows.remove(key)),
        }
    }
}
