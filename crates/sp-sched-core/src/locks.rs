//! Locks: which files of its sector a task reads, which it writes, and who is in whose way.
//!
//! The index keeps the locks of attempts and refuses what is in conflict; here a task does not even ask before what is in
//! its way has ended. At most one task of each kind works on a sector, so whoever waits comes to it.

use sp_types::{FileKindSet, FileLock, TaskId, TaskKind};

use crate::core::Core;
use crate::effect::Effect;
use crate::explain::Refusal;
use crate::model::{Attempt, AttemptState, OutputSlot, Task};
use crate::place::{Need, names};
use crate::sector::output_kinds;

impl Core {
    /// Does anything that works on the sector, or is bound to, stand in the way of the task?
    pub(crate) fn may_lock(&self, task: &Task, need: &Need) -> Result<(), Refusal> {
        let others =
            task.sector.into_iter().flat_map(|number| self.tasks_of(number)).filter(|other| other.id != task.id);
        let mut wanted = None;
        for other in others {
            let Some(theirs) = self.lock_held_by(other) else { continue };
            let wanted =
                *wanted.get_or_insert_with(|| lock_of(task.kind, need.inputs.iter().map(|f| f.kind).collect()));
            let contested = wanted.contested(theirs);
            if !contested.is_empty() {
                let text = format!("{} of its sector works on {}", other.kind, names(contested.iter()));
                return Err(Refusal::new("locked", text));
            }
        }
        Ok(())
    }

    /// What an attempt has locked.
    pub(crate) fn lock_of_attempt(&self, attempt: &Attempt) -> FileLock {
        let task = self.tasks.get(&attempt.id.task);
        task.map_or_else(FileLock::default, |task| {
            self.lock_for(task, attempt.outputs.iter().map(|slot| slot.kind).collect())
        })
    }

    /// Presents what every attempt that goes on has reserved and locked: the index may have lost it, and what it has
    /// besides is of attempts that have ended.
    pub(crate) fn present_attempts(&mut self) {
        let granted = self.tasks.values().flat_map(|task| task.attempts.iter().map(move |attempt| (task, attempt)));
        let granted = granted.filter(|(_, attempt)| attempt.state == AttemptState::Granted);
        let present = |(task, attempt): (&Task, &Attempt)| {
            let (outputs, lock) = (attempt.outputs.clone(), self.lock_of_attempt(attempt));
            let sector = task.sector.unwrap_or_default();
            Effect::Reserve { attempt: attempt.id, sector, outputs, lock, presented: true }
        };
        let all: Vec<Effect> = granted.map(present).collect();
        all.into_iter().for_each(|effect| self.out.push(effect));
        self.out.push(Effect::Presented);
    }

    /// A task of the sector has let go of its files: others may have waited for them.
    pub(crate) fn wake_others(&mut self, id: TaskId) {
        let Some(sector) = self.tasks.get(&id).and_then(|task| task.sector) else { return };
        let others: Vec<TaskId> = self.tasks_of(sector).map(|t| t.id).filter(|other| *other != id).collect();
        self.dirty.tasks.extend(others.into_iter().filter(|other| !self.bound.contains_key(other)));
    }

    /// What the task has locked, or will have when its turn comes; none while it is free to go anywhere. Attempts of one
    /// move may bring different files.
    fn lock_held_by(&self, task: &Task) -> Option<FileLock> {
        let bound = self.bound.get(&task.id).map(|binding| &binding.outputs);
        let outputs: Vec<&Vec<OutputSlot>> = task.attempts.iter().map(|a| &a.outputs).chain(bound).collect();
        let kinds = || outputs.iter().copied().flatten().map(|slot| slot.kind).collect();
        (!outputs.is_empty()).then(|| self.lock_for(task, kinds()))
    }

    fn lock_for(&self, task: &Task, outputs: FileKindSet) -> FileLock {
        if task.kind == TaskKind::DownloadSector {
            // What it makes depends on what is asked for.
            return FileLock { read: FileKindSet::EMPTY, write: outputs };
        }
        let inputs = match (task.kind, self.sector_of(task)) {
            // A move takes what it brings.
            (TaskKind::Fetch, _) => outputs,
            (kind, Some(sector)) => FileKindSet::of(sector.input_kinds(kind)),
            (_, None) => FileKindSet::EMPTY,
        };
        lock_of(task.kind, inputs)
    }
}

/// A move only reads: what it makes is the same file in another place.
fn lock_of(kind: TaskKind, inputs: FileKindSet) -> FileLock {
    let write = FileKindSet::of(output_kinds(kind));
    FileLock { read: inputs.without(write), write }
}
