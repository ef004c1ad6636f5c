//! What a step has changed and wants done: changed rows are collected by key and become one batch at its end.

use std::collections::BTreeSet;

use sp_types::{ChainEpoch, TaskId, WorkerId};

use crate::core::Core;
use crate::effect::Effect;
use crate::model::{Finished, RowChange, UnixMs};
use crate::proving::row::PartitionKey;

/// Changes and effects of the step in progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct Out {
    pub(crate) sectors: BTreeSet<u64>,
    pub(crate) tasks: BTreeSet<TaskId>,
    pub(crate) fences: BTreeSet<TaskId>,
    pub(crate) workers: BTreeSet<WorkerId>,
    pub(crate) pins: BTreeSet<u64>,
    pub(crate) wins: BTreeSet<ChainEpoch>,
    pub(crate) partitions: BTreeSet<PartitionKey>,
    pub(crate) counters: bool,
    pub(crate) finished: Vec<Finished>,
    effects: Vec<Effect>,
}

impl Out {
    /// To be done after the rows of this step are durable, in this order.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Before everything else of this step.
    pub(crate) fn push_first(&mut self, effect: Effect) {
        self.effects.insert(0, effect);
    }
}

impl Core {
    /// Rows first, then effects in order, then the wake-up.
    pub(crate) fn finish(&mut self, wake: Option<UnixMs>) -> Vec<Effect> {
        let out = std::mem::take(&mut self.out);
        let mut effects = Vec::new();
        if out.counters {
            effects.push(Effect::Persist(RowChange::PutCounters(self.counters)));
        }
        for number in out.sectors {
            if let Some(sector) = self.sectors.get(&number) {
                effects.push(Effect::Persist(RowChange::PutSector(Box::new(sector.clone()))));
            }
        }
        for id in out.tasks {
            effects.push(Effect::Persist(match self.tasks.get(&id) {
                Some(task) => RowChange::PutTask(Box::new(task.clone())),
                None => RowChange::DeleteTask(id),
            }));
        }
        for id in out.fences {
            effects.push(Effect::Persist(match self.fences.get(&id) {
                Some(fence) => RowChange::PutFence(fence.row),
                None => RowChange::DeleteFence(id),
            }));
        }
        for id in out.workers {
            effects.push(Effect::Persist(match self.worker_rows.get(&id) {
                Some(row) => RowChange::PutWorker(row.clone()),
                None => RowChange::DeleteWorker(id),
            }));
        }
        for sector in out.pins {
            effects.push(Effect::Persist(match self.pins.get(&sector) {
                Some(pin) => RowChange::PutPin(pin.clone()),
                None => RowChange::DeletePin(sector),
            }));
        }
        for epoch in out.wins {
            effects.push(Effect::Persist(match self.wins.get(&epoch) {
                Some(win) => RowChange::PutWin(Box::new(win.clone())),
                None => RowChange::DeleteWin(epoch),
            }));
        }
        let partitions = out.partitions.into_iter().filter_map(|key| self.partition_change(key));
        effects.extend(partitions.map(Effect::Persist));
        let history = out.finished.into_iter().map(|finished| RowChange::AddFinished(Box::new(finished)));
        effects.extend(history.map(Effect::Persist));
        effects.extend(out.effects);
        effects.extend(wake.map(Effect::WakeAt));
        effects
    }
}
