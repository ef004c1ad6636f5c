//! Locks on the files of sectors: who reads, who writes, and who waits for whom.
//!
//! A lock belongs to a task, through its attempts: attempts of one task never shut each other out, so that the successor
//! of an orphan shares what the orphan holds, and the lock ends with the last of them. Pure; the rules:
//!
//! 1. All kinds of a request are locked, or none. Tasks share what they read; what one writes, no other reads or writes.
//! 2. Fair: requests for a sector wait in the order in which they came. One that conflicts with an earlier one waits
//!    behind it, even where what is held would let it pass.
//! 3. A try is answered at once, by what is held alone: a proof does not stand behind a move that waits itself.
//! 4. A task that holds anything waits for nothing, and one that waits gets nothing else meanwhile. So nobody ever waits
//!    in a circle.
//! 5. After a loss of the state nothing is granted for a while but what its holders present again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sp_types::{AttemptId, FileKindSet, SectorId, TaskId};

/// Requests that wait for one sector.
const WAITING_MAX: usize = 64;

/// Locks and waiting requests together.
const LOCKS_MAX: usize = 200_000;

/// What is locked of a sector, and how. A kind in both is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Modes {
    pub(crate) read: FileKindSet,
    pub(crate) write: FileKindSet,
}

/// What is to happen when a lock cannot be had at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Manner {
    /// Wait for it.
    Wait,
    /// Leave it.
    Try,
    /// The holder had it before the state was lost.
    Present,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted,
    /// Granted later.
    Waits,
    Refused(Why),
}

/// Why a lock is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It names no kind.
    Empty,
    /// This attempt of another task holds it, or was there first.
    Taken(AttemptId),
    /// The task holds another lock, or waits for one.
    HoldsOther(AttemptId),
    /// Those who held locks before the state was lost come first.
    NotYet,
    /// There are too many.
    TooMany,
}

/// A lock that is held, or waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) attempt: AttemptId,
    pub(crate) sector: SectorId,
    pub(crate) modes: Modes,
    /// Milliseconds since the Unix epoch.
    pub(crate) since_unix_ms: u64,
}

/// Something that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The lock is held from now on, or holds more than before. Its time is that of the request.
    Held(Lock),
    /// The attempt holds it no more.
    Gone(AttemptId, SectorId),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    sectors: BTreeMap<SectorId, OfSector>,
    /// Where each attempt holds or waits.
    attempts: BTreeMap<AttemptId, BTreeSet<SectorId>>,
    /// Only what is presented is granted.
    presenting: bool,
    count: usize,
}

#[derive(Debug, Default)]
struct OfSector {
    held: Vec<Lock>,
    /// In the order in which they came.
    waiting: VecDeque<Lock>,
}

/// A lock and whether it is waited for.
#[derive(Debug, Clone, Copy)]
struct Known {
    attempt: AttemptId,
    sector: SectorId,
    modes: Modes,
    is_waiting: bool,
}

// === impl Known ===

impl Known {
    fn of(lock: &Lock, is_waiting: bool) -> Self {
        let Lock { attempt, sector, modes, since_unix_ms: _ } = *lock;
        Self { attempt, sector, modes, is_waiting }
    }

    fn is_for(&self, wanted: &Lock) -> bool {
        (self.sector, self.modes) == (wanted.sector, wanted.modes)
    }
}

// === impl Modes ===

impl Modes {
    pub(crate) fn is_empty(self) -> bool {
        self.read.is_empty() && self.write.is_empty()
    }

    /// May two tasks not have these at once?
    fn conflicts(self, other: Self) -> bool {
        let any = |kinds: FileKindSet, of: FileKindSet| kinds.iter().any(|kind| of.contains(kind));
        any(self.write, other.write) || any(self.write, other.read) || any(self.read, other.write)
    }

    /// Is everything of the other in this one?
    fn covers(self, other: Self) -> bool {
        other.write.iter().all(|kind| self.write.contains(kind))
            && other.read.iter().all(|kind| self.read.contains(kind) || self.write.contains(kind))
    }

    fn joined(self, other: Self) -> Self {
        let join = |a: FileKindSet, b: FileKindSet| a.iter().chain(b.iter()).collect();
        Self { read: join(self.read, other.read), write: join(self.write, other.write) }
    }
}

// === impl Change ===

impl Change {
    /// Whose lock it is.
    pub(crate) fn attempt(&self) -> AttemptId {
        match self {
            Self::Held(lock) => lock.attempt,
            Self::Gone(attempt, _) => *attempt,
        }
    }
}

// === impl OfSector ===

impl OfSector {
    /// Another task's lock that is in the way.
    fn holder_against(&self, task: TaskId, modes: Modes) -> Option<AttemptId> {
        let against = |lock: &&Lock| lock.attempt.task != task && lock.modes.conflicts(modes);
        self.held.iter().find(against).map(|lock| lock.attempt)
    }

    /// Another task's request among the first `before` that is in the way.
    fn waiter_against(&self, task: TaskId, modes: Modes, before: usize) -> Option<AttemptId> {
        let against = |lock: &&Lock| lock.attempt.task != task && lock.modes.conflicts(modes);
        self.waiting.iter().take(before).find(against).map(|lock| lock.attempt)
    }

    /// Everything that the task holds here.
    fn of_task(&self, task: TaskId) -> Modes {
        let own = self.held.iter().filter(|lock| lock.attempt.task == task);
        own.fold(Modes::default(), |all, lock| all.joined(lock.modes))
    }

    /// The first request that has nothing in its way. What a task has, each of its attempts may have at once.
    fn next(&self) -> Option<usize> {
        let may = |(at, lock): &(usize, &Lock)| {
            let task = lock.attempt.task;
            let is_free = self.holder_against(task, lock.modes).is_none();
            self.of_task(task).covers(lock.modes) || (is_free && self.waiter_against(task, lock.modes, *at).is_none())
        };
        self.waiting.iter().enumerate().find(may).map(|(at, _)| at)
    }

    /// Adds a lock, or widens the one that the attempt has.
    fn hold(&mut self, lock: Lock) -> Lock {
        match self.held.iter_mut().find(|held| held.attempt == lock.attempt) {
            Some(held) => {
                held.modes = held.modes.joined(lock.modes);
                *held
            }
            None => {
                self.held.push(lock);
                lock
            }
        }
    }
}

// === impl Locks ===

impl Locks {
    /// The state was lost: nothing is granted until [`Self::open`] but what is presented.
    pub(crate) fn present(&mut self) {
        self.presenting = true;
    }

    /// Are only those answered who present their locks?
    pub(crate) fn is_presenting(&self) -> bool {
        self.presenting
    }

    /// Whoever held something has had the time to say so.
    pub(crate) fn open(&mut self) -> Vec<Change> {
        self.presenting = false;
        let sectors: Vec<SectorId> = self.sectors.keys().copied().collect();
        sectors.into_iter().flat_map(|sector| self.promote(sector)).collect()
    }

    /// Takes a lock back that was durable.
    pub(crate) fn restore(&mut self, lock: Lock) {
        self.hold(lock);
    }

    /// An attempt that has not ended wants a lock. Asked again for what it has or waits for, the answer is the same.
    pub(crate) fn lock(&mut self, wanted: Lock, manner: Manner) -> (Answer, Vec<Change>) {
        let answer = self.judge(&wanted, manner);
        let changes = match answer {
            Answer::Granted => self.grant(wanted),
            Answer::Waits => {
                self.queue(wanted);
                Vec::new()
            }
            Answer::Refused(_) => Vec::new(),
        };
        (answer, changes)
    }

    /// The attempt has ended, or needs nothing any more. Who waited for it comes next.
    pub(crate) fn unlock(&mut self, attempt: AttemptId) -> Vec<Change> {
        let mut changes = Vec::new();
        for sector in self.attempts.remove(&attempt).into_iter().flatten() {
            let Some(of_sector) = self.sectors.get_mut(&sector) else { continue };
            let before = of_sector.held.len() + of_sector.waiting.len();
            let held = of_sector.held.len();
            of_sector.held.retain(|lock| lock.attempt != attempt);
            of_sector.waiting.retain(|lock| lock.attempt != attempt);
            self.count -= before - of_sector.held.len() - of_sector.waiting.len();
            if of_sector.held.len() < held {
                changes.push(Change::Gone(attempt, sector));
            }
            if of_sector.held.is_empty() && of_sector.waiting.is_empty() {
                self.sectors.remove(&sector);
            } else {
                changes.extend(self.promote(sector));
            }
        }
        changes
    }

    /// Attempts of the task up to this number have ended.
    pub(crate) fn unlock_up_to(&mut self, task: TaskId, number: u32) -> Vec<Change> {
        let all = AttemptId { task, number: 0 }..=AttemptId { task, number };
        let ended: Vec<AttemptId> = self.attempts.range(all).map(|(attempt, _)| *attempt).collect();
        ended.into_iter().flat_map(|attempt| self.unlock(attempt)).collect()
    }

    /// Locks that are held, by sector.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Lock> {
        self.sectors.values().flat_map(|of_sector| &of_sector.held)
    }

    /// Requests that wait, by sector, each in the order in which they came.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Lock> {
        self.sectors.values().flat_map(|of_sector| &of_sector.waiting)
    }

    fn judge(&self, wanted: &Lock, manner: Manner) -> Answer {
        let Lock { attempt: AttemptId { task, .. }, sector, modes, .. } = *wanted;
        if modes.is_empty() {
            return Answer::Refused(Why::Empty);
        }
        if let Some(other) = self.of_task(task).find(|lock| lock.is_waiting && !lock.is_for(wanted)) {
            return Answer::Refused(Why::HoldsOther(other.attempt));
        }
        let none = OfSector::default();
        let of_sector = self.sectors.get(&sector).unwrap_or(&none);
        if of_sector.waiting.iter().any(|lock| lock.attempt == wanted.attempt) {
            return Answer::Waits;
        }
        if self.count >= LOCKS_MAX {
            return Answer::Refused(Why::TooMany);
        }
        if of_sector.of_task(task).covers(modes) {
            return Answer::Granted;
        }
        let waiter = match manner {
            Manner::Wait => of_sector.waiter_against(task, modes, of_sector.waiting.len()),
            Manner::Try | Manner::Present => None,
        };
        match (of_sector.holder_against(task, modes).or(waiter), manner) {
            (_, Manner::Try) if self.presenting => Answer::Refused(Why::NotYet),
            (_, Manner::Wait) if self.presenting => self.may_wait(task, of_sector),
            (None, _) => Answer::Granted,
            (Some(by), Manner::Try | Manner::Present) => Answer::Refused(Why::Taken(by)),
            (Some(_), Manner::Wait) => self.may_wait(task, of_sector),
        }
    }

    /// Nobody waits who has something that another may wait for.
    fn may_wait(&self, task: TaskId, of_sector: &OfSector) -> Answer {
        if let Some(held) = self.of_task(task).find(|lock| !lock.is_waiting) {
            return Answer::Refused(Why::HoldsOther(held.attempt));
        }
        match of_sector.waiting.len() < WAITING_MAX {
            true => Answer::Waits,
            false => Answer::Refused(Why::TooMany),
        }
    }

    /// What attempts of the task hold and wait for.
    fn of_task(&self, task: TaskId) -> impl Iterator<Item = Known> {
        let all = AttemptId { task, number: 0 }..=AttemptId { task, number: u32::MAX };
        self.attempts.range(all).flat_map(|(attempt, sectors)| {
            let of_sectors = sectors.iter().filter_map(|sector| self.sectors.get(sector));
            of_sectors.flat_map(|of_sector| {
                let held = of_sector.held.iter().map(|lock| (lock, false));
                let all = held.chain(of_sector.waiting.iter().map(|lock| (lock, true)));
                all.filter(|(lock, _)| lock.attempt == *attempt).map(|(lock, is_waiting)| Known::of(lock, is_waiting))
            })
        })
    }

    fn queue(&mut self, wanted: Lock) {
        let of_sector = self.sectors.entry(wanted.sector).or_default();
        if !of_sector.waiting.iter().any(|lock| lock.attempt == wanted.attempt) {
            of_sector.waiting.push_back(wanted);
            self.attempts.entry(wanted.attempt).or_default().insert(wanted.sector);
            self.count += 1;
        }
    }

    /// What the task has now, those of its attempts have too that waited for it.
    fn grant(&mut self, wanted: Lock) -> Vec<Change> {
        let of_sector = self.sectors.get(&wanted.sector);
        let has = |lock: &Lock| lock.attempt == wanted.attempt && lock.modes.covers(wanted.modes);
        if of_sector.is_some_and(|of_sector| of_sector.held.iter().any(has)) {
            return Vec::new();
        }
        let mut changes = vec![Change::Held(self.hold(wanted))];
        while let Some(of_sector) = self.sectors.get_mut(&wanted.sector)
            && let Some(at) = of_sector.waiting.iter().position(|lock| lock.attempt.task == wanted.attempt.task)
            && let Some(lock) = of_sector.waiting.remove(at)
        {
            self.count -= 1;
            changes.push(Change::Held(self.hold(lock)));
        }
        changes
    }

    fn hold(&mut self, lock: Lock) -> Lock {
        let of_sector = self.sectors.entry(lock.sector).or_default();
        let before = of_sector.held.len();
        let held = of_sector.hold(lock);
        self.count += of_sector.held.len() - before;
        self.attempts.entry(lock.attempt).or_default().insert(lock.sector);
        held
    }

    /// Grants what can be granted now, first come first.
    fn promote(&mut self, sector: SectorId) -> Vec<Change> {
        let mut changes = Vec::new();
        while !self.presenting
            && let Some(of_sector) = self.sectors.get_mut(&sector)
            && let Some(lock) = of_sector.next().and_then(|at| of_sector.waiting.remove(at))
        {
            self.count -= 1;
            changes.push(Change::Held(self.hold(lock)));
        }
        changes
    }
}
