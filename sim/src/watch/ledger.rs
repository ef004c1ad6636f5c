//! What the scheduler has made durable, and whether each batch may follow on what was there (laws L2, L5, L7, L8, L12).

use std::collections::{BTreeMap, BTreeSet};

use sp_invariants::{Law, at_most_one_completion, bounded, ends_before_live};
use sp_proto::v1;
use sp_state::Batch;
use sp_types::{AttemptId, FileKind, SectorState};

use super::edges;
use super::stored::{Change, changes, state_of};

/// As the scheduler's defaults have it.
const ATTEMPTS_MAX: usize = 3;
const LOG_MAX: usize = 1_000;
const FENCES_MAX: usize = 10_000;

pub(super) type Broken = Vec<(Law, String)>;

/// The rows as they are, and what they say of the past.
#[derive(Default)]
pub(super) struct Ledger {
    sectors: BTreeMap<u64, v1::StoredSector>,
    tasks: BTreeMap<u64, v1::StoredTask>,
    fences: BTreeMap<u64, u32>,
    counters: v1::StoredCounters,
    /// Tasks whose result counts, with the attempt that it came from.
    completed: BTreeMap<u64, AttemptId>,
    /// Tasks that are over.
    over: BTreeSet<u64>,
}

impl Ledger {
    /// Takes a batch and says what is wrong with it.
    pub(super) fn commit(&mut self, batch: &Batch) -> Broken {
        let changes = match changes(batch) {
            Ok(changes) => changes,
            Err(text) => return vec![(Law::L8, text)],
        };
        let mut broken = Broken::new();
        for change in &changes {
            match change {
                Change::Sector(number, new) => self.judge_sector(*number, new.as_deref(), &mut broken),
                Change::Task(id, new) => self.judge_task(*id, new.as_deref(), &mut broken),
                Change::Fence(task, up_to) => self.judge_fence(*task, *up_to, &mut broken),
                Change::Counters(new) => {
                    if new.next_task < self.counters.next_task || new.next_sector < self.counters.next_sector {
                        broken.push((Law::L8, format!("counters went back: {:?} to {new:?}", self.counters)));
                    }
                }
            }
        }
        for change in changes {
            self.apply(change);
        }
        self.judge_whole(&mut broken);
        broken
    }

    pub(super) fn is_live(&self, id: AttemptId) -> bool {
        let attempts = self.tasks.get(&id.task.0).map(|task| task.attempts.as_slice()).unwrap_or_default();
        attempts.iter().any(|attempt| attempt.id.is_some_and(|a| AttemptId::from(a) == id))
    }

    pub(super) fn required(&self) -> Vec<(u64, FileKind, [u8; 32])> {
        let gone = |sector| state_of(sector).is_some_and(SectorState::is_gone);
        let sectors = self.sectors.iter().filter(|(_, sector)| !gone(sector));
        let files = sectors.flat_map(|(number, sector)| sector.files.iter().map(|file| (*number, file)));
        let read = |(number, file): (u64, &v1::StoredSectorFile)| {
            let kind = sp_proto::convert::file_kind(file.kind).ok()?;
            Some((number, kind, file.root.as_slice().try_into().ok()?))
        };
        files.filter_map(read).collect()
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Sector(number, Some(new)) => drop(self.sectors.insert(number, *new)),
            Change::Sector(number, None) => drop(self.sectors.remove(&number)),
            Change::Task(id, Some(new)) => drop(self.tasks.insert(id, *new)),
            Change::Task(id, None) => {
                self.tasks.remove(&id);
                self.over.insert(id);
            }
            Change::Fence(task, Some(up_to)) => drop(self.fences.insert(task, up_to)),
            Change::Fence(task, None) => drop(self.fences.remove(&task)),
            Change::Counters(new) => self.counters = new,
        }
    }

    fn judge_sector(&mut self, number: u64, new: Option<&v1::StoredSector>, broken: &mut Broken) {
        let Some(new) = new else {
            broken.push((Law::L8, format!("sector {number}: its row is deleted")));
            return;
        };
        let old = self.sectors.get(&number).cloned();
        let fresh = match edges::fresh_entries(old.as_ref(), new) {
            Ok(fresh) => fresh,
            Err(text) => {
                broken.push((Law::L8, format!("sector {number}: {text}")));
                return;
            }
        };
        edges::judge_path(number, old.as_ref(), new, fresh, broken);
        edges::judge_constants(number, old.as_ref(), new, broken);
        judge_proven(number, new, broken);
        if !bounded(new.log.len(), LOG_MAX) {
            broken.push((Law::L12, format!("sector {number}: {} log entries", new.log.len())));
        }
        for entry in fresh {
            self.judge_completion(number, entry, broken);
        }
    }

    /// Law L2: a task counts once, by an attempt that had been given away and had not ended.
    fn judge_completion(&mut self, number: u64, entry: &v1::StoredLogEntry, broken: &mut Broken) {
        let completes = entry.event.contains(" -> ") || entry.event.ends_with(" accepted");
        let Some(attempt) = entry.attempt.map(AttemptId::from).filter(|_| completes) else { return };
        let task = attempt.task.0;
        let open = self.tasks.contains_key(&task);
        if !at_most_one_completion(open, self.is_live(attempt)) {
            let text = format!("sector {number}: `{}` by attempt {attempt}, task open: {open}", entry.event);
            broken.push((Law::L2, text));
        }
        if let Some(first) = self.completed.insert(task, attempt) {
            broken.push((Law::L2, format!("task {task} counts twice: by {first} and by {attempt}")));
        }
    }

    fn judge_task(&self, id: u64, new: Option<&v1::StoredTask>, broken: &mut Broken) {
        let Some(new) = new else { return };
        if self.over.contains(&id) {
            broken.push((Law::L2, format!("task {id} was over and is back")));
        }
        let old = self.tasks.get(&id);
        let before = old.map_or(0, |task| task.last_number);
        if new.last_number < before || old.is_some_and(|old| (old.kind, old.sector) != (new.kind, new.sector)) {
            broken.push((Law::L8, format!("task {id} is not what it was: {old:?} to {new:?}")));
        }
        let number = |attempt: &v1::StoredAttempt| attempt.id.map_or(0, |id| id.number);
        let known = |n: &u32| old.is_some_and(|old| old.attempts.iter().any(|a| number(a) == *n));
        for n in new.attempts.iter().map(number).filter(|n| !known(n)) {
            if n <= before || n > new.last_number {
                broken.push((Law::L2, format!("task {id}: attempt {n} is made after {before}")));
            }
        }
    }

    fn judge_fence(&self, task: u64, up_to: Option<u32>, broken: &mut Broken) {
        let before = self.fences.get(&task).copied().unwrap_or(0);
        if up_to.is_some_and(|up_to| up_to < before) {
            broken.push((Law::L5, format!("task {task}: its fence went back from {before} to {up_to:?}")));
        }
    }

    /// What must hold between rows once a batch is there.
    fn judge_whole(&self, broken: &mut Broken) {
        for (id, task) in &self.tasks {
            let lowest = task.attempts.iter().filter_map(|a| a.id).map(|id| id.number).min();
            let ended = self.fences.get(id).copied().unwrap_or(0);
            if !ends_before_live(ended, lowest) {
                broken.push((Law::L5, format!("task {id}: ended up to {ended}, {lowest:?} lives")));
            }
            if !bounded(task.attempts.len(), ATTEMPTS_MAX) {
                broken.push((Law::L12, format!("task {id} has {} attempts", task.attempts.len())));
            }
            if self.completed.contains_key(id) {
                broken.push((Law::L2, format!("task {id} counts and is still open")));
            }
        }
        if !bounded(self.fences.len(), FENCES_MAX) {
            broken.push((Law::L12, format!("{} fences", self.fences.len())));
        }
    }
}

/// Law L1: what the chain counts on has the files that prove it, whatever is done with it meanwhile.
fn judge_proven(number: u64, sector: &v1::StoredSector, broken: &mut Broken) {
    if sector.location.is_none() || state_of(sector).is_none_or(SectorState::is_gone) {
        return;
    }
    let updated = sector.update.as_ref().is_some_and(|update| update.accepted_unix_ms.is_some());
    let proves = match updated {
        true => [v1::FileKind::Update, v1::FileKind::UpdateCache],
        false => [v1::FileKind::Sealed, v1::FileKind::Cache],
    };
    let counts: Vec<v1::FileKind> = sector.files.iter().map(v1::StoredSectorFile::kind).collect();
    if !proves.iter().all(|kind| counts.contains(kind)) {
        broken.push((Law::L1, format!("sector {number} is proven, and {counts:?} is all that counts of it")));
    }
}
