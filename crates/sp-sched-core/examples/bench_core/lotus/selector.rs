//! Which workers may take which request (`spec/lotus.md` 1.5).

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use sp_types::{FileKind, TaskKind};

use super::{Request, Worker};

/// Where files lie, and which stores take new ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// Stores with a file of this kind of the sector.
    pub(crate) holders: HashMap<(u64, FileKind), Vec<usize>>,
    /// Sealing stores with room.
    pub(crate) sealing: Vec<usize>,
}

/// The selector of one request, with what the index says looked up.
#[derive(Debug)]
pub(crate) enum Selector {
    /// Whoever accepts the task.
    Task,
    /// Every one of these sets has a store of the worker: one set for each kind of file.
    All(Vec<HashSet<usize>>),
    /// Some store of the worker is in the set.
    Any(HashSet<usize>),
}

impl Selector {
    /// The selector of Lotus's recipe for the task.
    pub(crate) fn of(request: &Request, files: &Files) -> Self {
        use FileKind::{Cache, Sealed};
        let holders = |kind: &FileKind| files.holders.get(&(request.sector, *kind)).into_iter().flatten().copied();
        let sealing = || files.sealing.iter().copied();
        match request.kind {
            TaskKind::AddPiece => Self::All(vec![sealing().collect()]),
            TaskKind::PreCommit1 => Self::All(vec![sealing().collect(); 2]),
            TaskKind::PreCommit2 => {
                Self::All([Sealed, Cache].iter().map(|k| holders(k).chain(sealing()).collect()).collect())
            }
            TaskKind::Commit1 => Self::Any([Sealed, Cache].iter().flat_map(holders).collect()),
            TaskKind::Finalize => Self::Any([Cache].iter().flat_map(holders).collect()),
            _ => Self::Task,
        }
    }

    /// May this worker take it?
    pub(crate) fn accepts(&self, request: &Request, worker: &Worker) -> bool {
        let mut stores = worker.stores.iter();
        worker.tasks.contains(&request.kind)
            && match self {
                Self::Task => true,
                Self::All(sets) => sets.iter().all(|set| worker.stores.iter().any(|store| set.contains(store))),
                Self::Any(set) => stores.any(|store| set.contains(store)),
            }
    }

    /// Which of two workers is better: the less used one; for the task selector first the one that can do less.
    pub(crate) fn compare(&self, one: (&Worker, f64), other: (&Worker, f64)) -> Ordering {
        let by_use = one.1.total_cmp(&other.1);
        match self {
            Self::Task => one.0.tasks.len().cmp(&other.0.tasks.len()).then(by_use),
            Self::All(_) | Self::Any(_) => by_use,
        }
    }
}
