//! What a worker makes of an assignment when everything goes well: files that appear, and a result.

use sp_sched_core::effect::{Assignment, TaskParams};
use sp_sched_core::event::{Event, TaskDone, TaskOutput, TaskResult};
use sp_types::{Commitment, PieceInfo, ReplicaId, StoreId};

use crate::fleet::SIZE;
use crate::plan;

/// Facts of the index first, then the result. `generation` gives every result roots of its own.
pub(crate) fn done(assignment: &Assignment, generation: u32) -> (Vec<Event>, TaskResult) {
    let (mut facts, mut replicas) = (Vec::new(), Vec::new());
    for slot in &assignment.outputs {
        if let Some(old) = replaced(assignment, slot.kind, &slot.store) {
            facts.push(Event::ReplicaGone(old));
        }
        let id = plan::replica(assignment.sector, slot.kind, slot.store.clone(), generation);
        let size_bytes = slot.reserved_bytes;
        facts.push(Event::Replica {
            id: id.clone(),
            size_bytes,
            primary: true,
            origin: assignment.origin,
            soundness: Default::default(),
        });
        replicas.push((id, size_bytes));
    }
    let outcome = Ok(TaskDone { replicas, output: output(assignment) });
    let (attempt, task) = (assignment.attempt, assignment.task);
    (facts, TaskResult { attempt, task, outcome, fetch_ms: 1, compute_ms: 1_000, peak_memory_bytes: 0 })
}

/// A file of the same kind on the same store gives way to the new one.
fn replaced(assignment: &Assignment, kind: sp_types::FileKind, store: &StoreId) -> Option<ReplicaId> {
    let input = assignment.inputs.iter().find(|i| i.kind == kind && i.sources.iter().any(|(s, _)| s == store))?;
    Some(ReplicaId { root: input.root, ..plan::replica(assignment.sector, kind, store.clone(), 0) })
}

/// The same commitments as the rows of the plan name.
fn output(assignment: &Assignment) -> TaskOutput {
    let comm_d = plan::commitment(1, assignment.sector);
    let comm_r: Commitment = plan::commitment(2, assignment.sector);
    match &assignment.params {
        TaskParams::Pledge | TaskParams::AddPiece { .. } => {
            TaskOutput::AddPiece { pieces: vec![PieceInfo { padded_bytes: SIZE.bytes(), commitment: comm_d }], comm_d }
        }
        TaskParams::PreCommit1 { .. } => TaskOutput::PreCommit1 { phase1: vec![9; 256], comm_d },
        TaskParams::PreCommit2 { .. } => TaskOutput::PreCommit2 { comm_r, comm_d },
        TaskParams::Commit2 => TaskOutput::Proof { proof: vec![8; 1920] },
        _ => TaskOutput::None,
    }
}
