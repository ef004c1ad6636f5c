//! What workers do with what they are given.

use sp_sched_core::effect::{Assignment, TaskParams};
use sp_sched_core::event::{Event, TaskDone, TaskOutput, TaskResult};
use sp_types::{AttemptId, Commitment, FileKind, PieceInfo, ReplicaId, SectorId, TaskKind, WorkerId};

use crate::dice::Dice;
use crate::plan::{SECOND, TRY_MS};
use crate::world::{Due, World, usual_ms};

/// What the verifier likes.
const GOOD: &[u8] = b"good";

impl World {
    pub fn registered(&mut self, id: &WorkerId, keep: &[AttemptId]) {
        let Some(at) = self.at(id) else { return };
        self.fleet[at].attempts.retain(|attempt, _| keep.contains(attempt));
        self.prove_next(at);
    }

    pub fn assigned(&mut self, id: &WorkerId, assignment: Assignment) {
        let Some(at) = self.at(id) else { return };
        let attempt = assignment.attempt;
        self.note_try(id, &assignment);
        if let Some(result) = self.fleet[at].results.get(&attempt).cloned() {
            return self.tell(Event::Result { worker: id.clone(), result: Box::new(result) });
        }
        self.fleet[at].attempts.entry(attempt).or_insert(assignment);
        self.compute(at, attempt);
    }

    fn note_try(&mut self, id: &WorkerId, assignment: &Assignment) {
        if let TaskParams::WindowPost { deadline, partition, .. } = assignment.params {
            let attempt = assignment.attempt;
            self.note(|| format!("{id} is given {attempt}: partition {partition} of deadline {deadline}"));
        }
    }

    pub fn started(&mut self, id: &WorkerId, attempt: AttemptId) {
        let Some(at) = self.at(id) else { return };
        if let Some(assignment) = self.fleet[at].attempts.get_mut(&attempt) {
            assignment.hold = false;
            self.compute(at, attempt);
        }
    }

    pub fn cancelled(&mut self, id: &WorkerId, attempt: AttemptId, reason: &str) {
        let Some(at) = self.at(id) else { return };
        let given = self.fleet[at].attempts.remove(&attempt);
        self.fleet[at].computing.remove(&attempt);
        self.fleet[at].stuck.retain(|stuck| *stuck != attempt);
        self.prove_next(at);
        if given.is_some_and(|a| a.task == TaskKind::GenerateWindowPost) {
            self.note(|| format!("{id} stops {attempt}: {reason}"));
        }
        if let Some(result) = self.fleet[at].results.get(&attempt).cloned() {
            self.tell(Event::Result { worker: id.clone(), result: Box::new(result) });
        }
    }

    /// Refused, but for these files; none: it counts.
    pub fn acknowledged(&mut self, id: &WorkerId, attempt: AttemptId, refused: Option<Vec<FileKind>>) {
        let Some(at) = self.at(id) else { return };
        let Some(result) = self.fleet[at].results.remove(&attempt) else { return };
        if refused.is_none() && result.task != TaskKind::GenerateWindowPost {
            self.worked_ms += result.compute_ms;
        }
        self.settle(attempt, refused);
    }

    // === time ===

    fn compute(&mut self, at: usize, attempt: AttemptId) {
        let Some(assignment) = self.fleet[at].attempts.get(&attempt) else { return };
        let (task, sector, hold) = (assignment.task, assignment.sector, assignment.hold);
        // There is one prover: what was read ahead waits for it.
        let waits = task == TaskKind::GenerateWindowPost && self.fleet[at].is_proving();
        if hold || waits || self.fleet[at].computing.contains_key(&attempt) {
            return;
        }
        self.fleet[at].computing.insert(attempt, self.now);
        let ms = match task {
            TaskKind::GenerateWindowPost => self.prove_ms(at, attempt),
            // Of the sector and the phase, so that sealing takes the same time in every run of a week.
            _ => Dice::of(self.plan.seed, &[2, task as u64, sector]).about(usual_ms(task), 10),
        };
        let run = self.fleet[at].run;
        self.after(ms, Due::Computed(at, run, attempt));
    }

    /// The prover is free: the next one that waits for it.
    fn prove_next(&mut self, at: usize) {
        let worker = &self.fleet[at];
        let waits = |(id, a): &(&AttemptId, &Assignment)| {
            a.task == TaskKind::GenerateWindowPost && !worker.computing.contains_key(*id)
        };
        if let Some(next) = worker.attempts.iter().find(waits).map(|(id, _)| *id) {
            self.compute(at, next);
        }
    }

    /// Reading and proving: minutes, and sometimes more. Sealing on the same GPU costs.
    pub fn prove_ms(&self, at: usize, attempt: AttemptId) -> u64 {
        let machine = self.plan.machines[self.fleet[at].machine];
        let mut dice = Dice::of(self.plan.seed, &[3, attempt.task.0, attempt.number.into(), self.now]);
        let ms = dice.about(machine.read_ms, 30) + dice.about(machine.prove_ms, 20);
        let ms = if dice.below(100) < 3 { ms * dice.between(15, 40) / 10 } else { ms };
        let ms = if self.plan.shared && self.seals_on_gpu(at) { ms * 13 / 10 } else { ms };
        ms.min(TRY_MS)
    }

    fn seals_on_gpu(&self, at: usize) -> bool {
        let here = self.fleet.iter().filter(|w| w.seals && w.machine == self.fleet[at].machine);
        let mut attempts = here.flat_map(|w| w.attempts.values());
        attempts.any(|a| !a.hold && matches!(a.task, TaskKind::PreCommit2 | TaskKind::Commit2))
    }

    pub fn computed(&mut self, at: usize, run: u32, attempt: AttemptId) {
        let worker = &mut self.fleet[at];
        let Some(since) = worker.computing.get(&attempt).copied().filter(|_| worker.run == run) else { return };
        let Some(assignment) = worker.attempts.get(&attempt) else { return };
        if worker.hangs {
            return worker.stuck.push(attempt);
        }
        worker.computing.remove(&attempt);
        let (id, assignment) = (worker.id.clone(), assignment.clone());
        let done = self.produce(at, &assignment);
        let worker = &mut self.fleet[at];
        worker.attempts.remove(&attempt);
        let (task, connected) = (assignment.task, worker.connected);
        let compute_ms = match task {
            TaskKind::GenerateWindowPost => self.now - since,
            _ => usual_ms(task),
        };
        let result = TaskResult { attempt, task, outcome: Ok(done), fetch_ms: 0, compute_ms, peak_memory_bytes: 0 };
        self.fleet[at].results.insert(attempt, result.clone());
        self.prove_next(at);
        if connected {
            self.tell(Event::Result { worker: id, result: Box::new(result) });
        }
    }

    // === what comes of it ===

    fn produce(&mut self, at: usize, assignment: &Assignment) -> TaskDone {
        let (attempt, number) = (assignment.attempt, assignment.sector);
        let mut replicas = Vec::new();
        for slot in &assignment.outputs {
            let brought = assignment.inputs.iter().find(|input| input.kind == slot.kind);
            let moved = brought.filter(|_| assignment.task == TaskKind::Fetch);
            let root = moved.map_or_else(|| root_of(attempt, slot.kind), |input| input.root);
            let sector = SectorId { miner: 1000, number };
            let replica = ReplicaId { sector, kind: slot.kind, store: slot.store.clone(), root };
            self.publish(attempt, &replica);
            replicas.push((replica, 1 << 30));
        }
        let proof = if self.fleet[at].lies { b"bad".to_vec() } else { GOOD.to_vec() };
        let comm = |tag: u8| Commitment([tag; 32]);
        let output = match &assignment.params {
            TaskParams::Pledge => {
                let whole = PieceInfo { padded_bytes: self.config.sector_size.bytes(), commitment: comm(1) };
                TaskOutput::AddPiece { pieces: vec![whole], comm_d: comm(1) }
            }
            TaskParams::PreCommit1 { .. } => TaskOutput::PreCommit1 { phase1: vec![1], comm_d: comm(1) },
            TaskParams::PreCommit2 { .. } => TaskOutput::PreCommit2 { comm_r: comm(2), comm_d: comm(1) },
            TaskParams::Commit2 => TaskOutput::Proof { proof },
            TaskParams::WindowPost { .. } | TaskParams::Check { .. } => TaskOutput::Post { proof, skipped: vec![] },
            _ => TaskOutput::None,
        };
        TaskDone { replicas, output }
    }

    /// The verifier takes a moment.
    pub fn verify(&mut self, attempt: AttemptId, proof: &[u8]) {
        let ms = Dice::of(self.plan.seed, &[4, attempt.task.0, attempt.number.into()]).between(200, 2 * SECOND);
        self.tell_after(ms, Event::Verified { attempt, verdict: Ok(proof == GOOD) });
    }
}

/// Another root for every attempt.
fn root_of(attempt: AttemptId, kind: FileKind) -> [u8; 32] {
    let mut root = [kind.bit() as u8; 32];
    root[..8].copy_from_slice(&attempt.task.0.to_le_bytes());
    root[8..12].copy_from_slice(&attempt.number.to_le_bytes());
    root
}
