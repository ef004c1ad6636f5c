//! How much waits and for what, at a glance: cheap at any length of the queue.

use std::collections::BTreeMap;

use crate::core::Core;
use crate::model::Task;
use crate::queue::Class;
use crate::view::WaitView;

impl Core {
    /// Sealing tasks that are not over.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// The queue in parts of one kind and proof each, with what keeps the first task of the part.
    pub fn waits(&self) -> Vec<WaitView> {
        let heads = self.queue.heads().into_iter();
        let view = |(class, first, queued): (Class, _, usize)| WaitView {
            kind: class.0,
            queued,
            bound: self.waiting.get(&class).map_or(0, |bound| bound.len()),
            reason: self.tasks.get(&first).map_or("", |task| self.main_reason(task)),
        };
        heads.map(view).collect()
    }

    /// The code of what keeps the task from every worker alike, else of what keeps it from most that take its kind.
    fn main_reason(&self, task: &Task) -> &'static str {
        if let Some(refusal) = self.general_reason(task) {
            return refusal.code;
        }
        let Ok(need) = self.need(task) else { return "inputs" };
        let mut codes: BTreeMap<&'static str, usize> = BTreeMap::new();
        for worker in self.workers.values().filter(|w| w.class() == task.kind.class()) {
            let code = self.refusal(task, &need, worker).map_or("soon", |refusal| refusal.code);
            *codes.entry(code).or_default() += 1;
        }
        // That others do not take its kind says nothing, unless nobody does.
        let takers = codes.iter().filter(|(code, _)| **code != "task");
        takers.max_by_key(|(_, count)| **count).map_or("task", |(code, _)| code)
    }
}
