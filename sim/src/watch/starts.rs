//! Executor starts: how each one ended, and whether a stage ran more often than something accounts for.

use sp_types::TaskKind;

/// The stages of every sector.
const STAGES: [TaskKind; 6] = [
    TaskKind::AddPiece,
    TaskKind::PreCommit1,
    TaskKind::PreCommit2,
    TaskKind::Commit1,
    TaskKind::Commit2,
    TaskKind::Finalize,
];

/// Those of an update, besides AP.
const UPDATE_STAGES: [TaskKind; 4] = [
    TaskKind::ReplicaUpdate,
    TaskKind::ProveReplicaUpdate1,
    TaskKind::ProveReplicaUpdate2,
    TaskKind::FinalizeReplicaUpdate,
];

/// How a start ended. One whose process was killed first has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the right answer.
    Answered,
    /// With a wrong answer, on purpose.
    Lied,
    /// Without an answer: it died, was cancelled, took too long, or said why it cannot.
    Failed,
}

/// Every start of a run.
#[derive(Default)]
pub(super) struct Starts(Vec<Start>);

struct Start {
    task: TaskKind,
    sector: u64,
    ended: Option<End>,
}

impl Starts {
    /// Gives the number by which its end is told.
    pub(super) fn begin(&mut self, task: TaskKind, sector: u64) -> usize {
        self.0.push(Start { task, sector, ended: None });
        self.0.len() - 1
    }

    pub(super) fn end(&mut self, number: usize, how: End) {
        self.0[number].ended = Some(how);
    }

    /// What is odd about the stages of a sector that is sealed: one that never answered, or ran again although nothing
    /// happened. An answer is lost, and a start is killed, by a fault only.
    pub(super) fn odd(&self, sector: u64, updated: bool, faults: u64) -> Vec<String> {
        let mut odd = Vec::new();
        let of_update = UPDATE_STAGES.into_iter().filter(|_| updated);
        for task in STAGES.into_iter().chain(of_update) {
            let of_stage = self.0.iter().filter(|start| (start.sector, start.task) == (sector, task));
            let ends: Vec<Option<End>> = of_stage.map(|start| start.ended).collect();
            let count = |how| ends.iter().filter(|end| **end == how).count() as u64;
            let answered = count(Some(End::Answered));
            if answered == 0 {
                odd.push(format!("sector {sector} is sealed, and {task} never answered rightly: {ends:?}"));
            }
            if answered + count(None) > 1 + faults {
                odd.push(format!("sector {sector}: {task} ran again under {faults} faults: {ends:?}"));
            }
        }
        odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_again_without_a_fault_is_odd() {
        let run = |more: &[(TaskKind, Option<End>)]| {
            let mut starts = Starts::default();
            for (task, how) in STAGES.map(|task| (task, Some(End::Answered))).iter().chain(more) {
                let number = starts.begin(*task, 1);
                how.iter().for_each(|how| starts.end(number, *how));
            }
            starts
        };
        let explained = [(TaskKind::PreCommit1, Some(End::Failed)), (TaskKind::Commit2, Some(End::Lied))];
        assert_eq!(run(&explained).odd(1, false, 0), Vec::<String>::new());
        for again in [Some(End::Answered), None] {
            let starts = run(&[(TaskKind::PreCommit2, again)]);
            assert!(starts.odd(1, false, 0).len() == 1 && starts.odd(1, false, 1).is_empty());
        }
        assert_eq!(Starts::default().odd(1, false, 9).len(), STAGES.len(), "nothing answered");
        assert_eq!(run(&[]).odd(1, true, 9).len(), UPDATE_STAGES.len(), "nothing of the update answered");
    }
}
