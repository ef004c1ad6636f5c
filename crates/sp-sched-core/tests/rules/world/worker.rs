//! The workers of the simulated world.

use std::collections::{BTreeMap, BTreeSet};

use sp_sched_core::effect::{Assignment, TaskParams};
use sp_sched_core::event::{Event, Failure, Phase, Progress, Registration, TaskDone, TaskOutput, TaskResult};
use sp_types::{
    AttemptId, Commitment, ErrorCode, FileKind, HostCapacity, HostId, PieceInfo, ReplicaId, ResourceTable, SectorId,
    SessionId, TaskKind, WorkerId, WorkerLimits, with_fillers,
};

use super::outside::GOOD;
use super::{Happening, World};

/// What kind of worker it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    Sealing(Vec<TaskKind>),
    WindowPost,
    WinningPost,
}

pub struct SimWorker {
    pub id: WorkerId,
    pub role: Role,
    pub host: String,
    pub boot: u32,
    pub cpus: u32,
    pub resources: ResourceTable,
    pub builtin: bool,
    pub space_bytes: u64,
    /// What its store is for: sealing, storing.
    pub uses: (bool, bool),
    pub up: bool,
    pub session: u32,
    /// Still computes, but nothing reaches the scheduler or comes from it.
    pub cut_off: bool,
    /// Returns proofs that are not.
    pub lies: bool,
    /// Takes work and never answers.
    pub hangs: bool,
    pub skips: Vec<u64>,
    /// Tasks that fail here, and how often still.
    pub fails: BTreeMap<TaskKind, u32>,
    pub compute_ms: u64,
    /// What its results say that they took.
    pub says_ms: u64,
    /// Survive a restart of the process.
    pub attempts: BTreeMap<AttemptId, Assignment>,
    pub results: BTreeMap<AttemptId, TaskResult>,
    /// Times each (task, sector) was computed to its end.
    pub computed: BTreeMap<(TaskKind, u64), u32>,
    pub given: u64,
    computing: BTreeSet<AttemptId>,
}

impl SimWorker {
    /// Is this a proof that it has to make?
    fn proves(&self, attempt: AttemptId) -> bool {
        self.attempts.get(&attempt).is_some_and(|a| is_post(a.task))
    }

    pub fn has_store(&self) -> bool {
        matches!(self.role, Role::Sealing(_))
    }

    fn tasks(&self) -> Vec<TaskKind> {
        match &self.role {
            Role::Sealing(kinds) => kinds.clone(),
            Role::WindowPost => vec![TaskKind::GenerateWindowPost],
            Role::WinningPost => vec![TaskKind::GenerateWinningPost],
        }
    }

    fn capacity(&self) -> HostCapacity {
        HostCapacity { memory_bytes: 64 << 30, cpus: self.cpus, ..HostCapacity::default() }
    }

    pub fn session_id(&self) -> SessionId {
        SessionId::new(format!("session-{}", self.session)).unwrap()
    }
}

impl World {
    pub fn add_worker(&mut self, name: &str, role: Role, change: impl FnOnce(&mut SimWorker)) -> WorkerId {
        let id = WorkerId::new(name).unwrap();
        let mut worker = SimWorker {
            id: id.clone(),
            role,
            host: format!("host_{name}"),
            boot: 1,
            cpus: 8,
            resources: ResourceTable::default(),
            builtin: false,
            space_bytes: 1 << 20,
            uses: (true, true),
            up: false,
            session: 0,
            cut_off: false,
            lies: false,
            hangs: false,
            skips: vec![],
            fails: BTreeMap::new(),
            compute_ms: 4_000,
            says_ms: 1,
            attempts: BTreeMap::new(),
            results: BTreeMap::new(),
            computed: BTreeMap::new(),
            given: 0,
            computing: BTreeSet::new(),
        };
        change(&mut worker);
        self.workers.insert(id.clone(), worker);
        self.start_worker(&id);
        id
    }

    pub fn start_worker(&mut self, id: &WorkerId) {
        let worker = self.workers.get_mut(id).unwrap();
        if worker.up {
            return;
        }
        worker.up = true;
        worker.session += 1;
        worker.computing.clear();
        let session = worker.session;
        self.tell_store(id);
        self.register(id);
        self.after(2_000, Happening::Heartbeat(id.clone(), session));
    }

    pub fn kill_worker(&mut self, id: &WorkerId) {
        let forgets = self.faults.forgets;
        let worker = self.workers.get_mut(id).unwrap();
        if !worker.up {
            return;
        }
        worker.up = false;
        let session = worker.session_id();
        for attempt in worker.attempts.keys().copied().collect::<Vec<_>>() {
            if self.dice.percent(forgets) {
                worker.attempts.remove(&attempt);
            }
        }
        self.tell_store(id);
        let reason = "connection reset".to_owned();
        self.tell(Event::WorkerDisconnected { worker: id.clone(), session, reason });
    }

    /// The network between worker and scheduler fails, or heals.
    pub fn cut_off(&mut self, id: &WorkerId, cut: bool) {
        let worker = self.workers.get_mut(id).unwrap();
        worker.cut_off = cut;
        let session = worker.session_id();
        match cut {
            true => {
                let reason = "timed out".to_owned();
                self.tell(Event::WorkerDisconnected { worker: id.clone(), session, reason });
            }
            false => self.register(id),
        }
    }

    pub fn register(&mut self, id: &WorkerId) {
        let w = &self.workers[id];
        if w.cut_off {
            return;
        }
        let registration = Registration {
            worker: id.clone(),
            session: w.session_id(),
            host: HostId::new(format!("{}-{}", w.host, w.boot)).unwrap(),
            name: id.to_string(),
            build: "test".to_owned(),
            tasks: w.tasks(),
            capacity: w.capacity(),
            limits: WorkerLimits::default(),
            resources: w.resources.clone(),
            data_url: format!("http://{id}"),
            stores: if w.has_store() { vec![Self::store_of(id)] } else { vec![] },
            builtin: w.builtin,
            held: w.attempts.keys().copied().collect(),
            finished: w.results.values().cloned().collect(),
            pid: 1,
            pc1_streams: 0,
        };
        self.tell(Event::WorkerRegistered(Box::new(registration)));
    }

    pub fn heartbeat(&mut self, id: &WorkerId, session: u32) {
        let w = &self.workers[id];
        if !w.up || w.session != session {
            return;
        }
        let progress =
            |attempt: &AttemptId, phase| Progress { attempt: *attempt, phase, fraction: 0.5, detail: String::new() };
        let phase = |a: &Assignment| if a.hold { Phase::Prepared } else { Phase::Running };
        let computing = w.attempts.iter().map(|(id, a)| progress(id, phase(a)));
        let returning = w.results.keys().map(|a| progress(a, Phase::Returning));
        let attempts = computing.chain(returning).collect();
        let (worker, capacity) = (id.clone(), Some(w.capacity()));
        let event = Event::Renewed { worker, session: w.session_id(), attempts, capacity, limits: None };
        if !w.cut_off {
            self.tell(event);
        }
        self.after(2_000, Happening::Heartbeat(id.clone(), session));
    }

    // === commands ===

    pub fn registered(&mut self, id: &WorkerId, keep: &[AttemptId]) {
        let w = self.workers.get_mut(id).unwrap();
        if !w.up || w.cut_off {
            return;
        }
        w.attempts.retain(|attempt, _| keep.contains(attempt));
        let resume: Vec<AttemptId> = w.attempts.keys().copied().collect();
        resume.into_iter().for_each(|attempt| self.compute(id, attempt));
    }

    pub fn assigned(&mut self, id: &WorkerId, assignment: Assignment) {
        let w = self.workers.get_mut(id).unwrap();
        if !w.up || w.cut_off {
            return;
        }
        let attempt = assignment.attempt;
        w.given += 1;
        assert!(w.tasks().contains(&assignment.task), "{id} was given {}", assignment.task);
        if let Some(result) = w.results.get(&attempt).cloned() {
            self.tell(Event::Result { worker: id.clone(), result: Box::new(result) });
            return;
        }
        w.attempts.entry(attempt).or_insert(assignment);
        self.compute(id, attempt);
    }

    /// A held attempt may compute.
    pub fn started(&mut self, id: &WorkerId, attempt: AttemptId) {
        let w = self.workers.get_mut(id).unwrap();
        if !w.up || w.cut_off {
            return;
        }
        if let Some(assignment) = w.attempts.get_mut(&attempt) {
            assignment.hold = false;
            self.compute(id, attempt);
        }
    }

    pub fn stopped(&mut self, id: &WorkerId) {
        let w = self.workers.get_mut(id).unwrap();
        assert!(w.attempts.is_empty(), "{id} is stopped while it works");
        self.kill_worker(id);
    }

    pub fn cancelled(&mut self, id: &WorkerId, attempt: AttemptId) {
        let w = self.workers.get_mut(id).unwrap();
        if w.up && !w.cut_off {
            w.attempts.remove(&attempt);
            if let Some(result) = w.results.get(&attempt).cloned() {
                self.tell(Event::Result { worker: id.clone(), result: Box::new(result) });
            }
            self.prove_next(id);
        }
    }

    /// The prover is free: the next one that waits for it.
    fn prove_next(&mut self, id: &WorkerId) {
        let w = &self.workers[id];
        let next = w.attempts.keys().find(|a| w.proves(**a) && !w.computing.contains(*a));
        if let Some(next) = next.copied() {
            self.compute(id, next);
        }
    }

    /// Refused, but for these files; none: it counts.
    pub fn acknowledged(&mut self, id: &WorkerId, attempt: AttemptId, refused: Option<Vec<FileKind>>) {
        let w = self.workers.get_mut(id).unwrap();
        if w.up && !w.cut_off && w.results.remove(&attempt).is_some() {
            self.acknowledged += 1;
            self.settle(attempt, refused);
        }
    }

    // === work ===

    fn compute(&mut self, id: &WorkerId, attempt: AttemptId) {
        let w = self.workers.get_mut(id).unwrap();
        let held = w.attempts.get(&attempt).is_some_and(|a| a.hold);
        // There is one prover: what comes with another proof before it waits.
        let waits = w.proves(attempt) && w.computing.iter().any(|other| *other != attempt && w.proves(*other));
        if w.hangs || held || waits || !w.computing.insert(attempt) {
            return;
        }
        let (session, most) = (w.session, w.compute_ms);
        let ms = most / 2 + self.dice.below(most);
        self.after(ms, Happening::Computed(id.clone(), session, attempt));
    }

    pub fn computed(&mut self, id: &WorkerId, session: u32, attempt: AttemptId) {
        let w = self.workers.get_mut(id).unwrap();
        if !w.up || w.session != session {
            return;
        }
        let says_ms = w.says_ms;
        w.computing.remove(&attempt);
        let Some(assignment) = w.attempts.get(&attempt).cloned() else { return };
        let told = w.fails.get_mut(&assignment.task).filter(|left| **left > 0).map(|left| *left -= 1).is_some();
        let fails = told || (self.dice.percent(self.faults.task_fails) && !is_post(assignment.task));
        let outcome = match self.missing_input(id, &assignment) {
            Some(kind) => Err(failure(ErrorCode::FileMissing, &format!("{kind} is not there"))),
            None if fails => Err(failure(ErrorCode::ExecutorFailed, "the executor was killed")),
            None => self.produce(id, &assignment),
        };
        let result = TaskResult {
            attempt,
            task: assignment.task,
            outcome,
            fetch_ms: 1,
            compute_ms: says_ms,
            peak_memory_bytes: 0,
        };
        let w = self.workers.get_mut(id).unwrap();
        w.attempts.remove(&attempt);
        w.results.insert(attempt, result.clone());
        self.prove_next(id);
        let w = &self.workers[id];
        if w.cut_off {
            return;
        }
        let other = self.workers.keys().find(|w| *w != id).cloned();
        if let Some(other) = other.filter(|_| self.dice.percent(self.faults.result_twice)) {
            // Somebody claims a result that is not his.
            self.tell(Event::Result { worker: other, result: Box::new(result.clone()) });
        }
        let times = if self.dice.percent(self.faults.result_twice) { 2 } else { 1 };
        for _ in 0..times {
            self.tell(Event::Result { worker: id.clone(), result: Box::new(result.clone()) });
        }
    }

    fn missing_input(&self, id: &WorkerId, assignment: &Assignment) -> Option<FileKind> {
        let whole = matches!(
            assignment.task,
            TaskKind::Commit1 | TaskKind::Finalize | TaskKind::FinalizeReplicaUpdate | TaskKind::FinalizeUnsealed
        );
        let updated = |kind: FileKind| matches!(kind, FileKind::Update | FileKind::UpdateCache);
        let stays = |kind| whole || (assignment.task == TaskKind::ProveReplicaUpdate1 && updated(kind));
        let missing = assignment.inputs.iter().find(|input| {
            let holds = |store: &sp_types::StoreId| {
                self.index.replicas.keys().any(|r| {
                    (r.sector.number, r.kind, r.root, &r.store) == (input.sector, input.kind, input.root, store)
                })
            };
            let up =
                |store: &sp_types::StoreId| self.workers.values().any(|w| w.up && World::store_of(&w.id) == *store);
            let usable = |store: &&sp_types::StoreId| holds(store) && up(store);
            let found: Vec<_> = input.sources.iter().map(|(store, _)| store).filter(usable).collect();
            assert!(
                !stays(input.kind) || found.is_empty() || found.contains(&&World::store_of(id)),
                "C1, PR1, FIN, FUS and FRU never move data"
            );
            found.is_empty()
        });
        missing.filter(|_| !is_post(assignment.task)).map(|input| input.kind)
    }

    fn produce(&mut self, id: &WorkerId, assignment: &Assignment) -> Result<TaskDone, Failure> {
        let (attempt, number) = (assignment.attempt, assignment.sector);
        let mut replicas = Vec::new();
        // DC makes nothing: its one output is room for what is uploaded.
        let makes_files = assignment.task != TaskKind::DataCid;
        for slot in assignment.outputs.iter().filter(|_| makes_files) {
            let sector = SectorId { miner: 1000, number };
            let brought = assignment.inputs.iter().find(|input| input.kind == slot.kind);
            let moves = assignment.task == TaskKind::Fetch;
            let root = brought.filter(|_| moves).map_or_else(|| root_of(attempt, slot.kind), |input| input.root);
            let replica = ReplicaId { sector, kind: slot.kind, store: slot.store.clone(), root };
            let trailer_bytes = if assignment.task == TaskKind::FinalizeUnsealed { 9 } else { 0 };
            let size_bytes = brought.filter(|_| moves).map_or(2048 + trailer_bytes, |input| input.size_bytes);
            if !self.publish(attempt, replica.clone(), size_bytes) {
                return Err(failure(ErrorCode::AttemptEnded, "the index says that it has ended"));
            }
            replicas.push((replica, size_bytes));
        }
        let w = self.workers.get_mut(id).unwrap();
        *w.computed.entry((assignment.task, number)).or_default() += 1;
        let proof = if w.lies { b"bad".to_vec() } else { GOOD.to_vec() };
        let comm = |tag: u8| Commitment([tag, number as u8].repeat(16).try_into().unwrap());
        let (comm_d, comm_r) = (comm(1), comm(2));
        let output = match &assignment.params {
            TaskParams::Pledge => TaskOutput::AddPiece { pieces: packed(&[], comm_d), comm_d },
            TaskParams::AddPiece { pieces, .. } => TaskOutput::AddPiece { pieces: packed(pieces, comm_d), comm_d },
            TaskParams::DataCid { padded_bytes, .. } => {
                TaskOutput::DataCid(PieceInfo { padded_bytes: *padded_bytes, commitment: comm_d })
            }
            TaskParams::Download { .. } => TaskOutput::Download { comm_r, comm_r_old: None },
            TaskParams::PreCommit1 { .. } => TaskOutput::PreCommit1 { phase1: vec![1], comm_d },
            TaskParams::PreCommit2 { .. } => TaskOutput::PreCommit2 { comm_r, comm_d },
            TaskParams::Commit2 | TaskParams::ProveReplicaUpdate2 { .. } => TaskOutput::Proof { proof },
            TaskParams::ReplicaUpdate { pieces } => {
                TaskOutput::ReplicaUpdate { comm_r: comm(3), comm_d: pieces[0].commitment }
            }
            TaskParams::WindowPost { sectors, .. } | TaskParams::Check { sectors, .. } => {
                let skipped = sectors.iter().map(|(n, ..)| *n).filter(|n| w.skips.contains(n));
                TaskOutput::Post { proof, skipped: skipped.map(|n| (n, "sealed is damaged".to_owned())).collect() }
            }
            TaskParams::WinningPost { .. } => TaskOutput::Post { proof, skipped: vec![] },
            TaskParams::Commit1 { .. }
            | TaskParams::Finalize { .. }
            | TaskParams::FinalizeUnsealed { .. }
            | TaskParams::Unseal { .. }
            | TaskParams::ProveReplicaUpdate1 { .. }
            | TaskParams::FinalizeReplicaUpdate
            | TaskParams::Fetch
            | TaskParams::RegenSectorKey { .. } => TaskOutput::None,
        };
        Ok(TaskDone { replicas, output })
    }
}

fn is_post(kind: TaskKind) -> bool {
    matches!(kind, TaskKind::GenerateWindowPost | TaskKind::GenerateWinningPost)
}

fn failure(code: ErrorCode, message: &str) -> Failure {
    Failure { code, message: message.to_owned() }
}

/// Another root for every attempt: the hardest case for whoever believes replicas.
fn root_of(attempt: AttemptId, kind: FileKind) -> [u8; 32] {
    let mut root = [kind.bit() as u8; 32];
    root[..8].copy_from_slice(&attempt.task.0.to_le_bytes());
    root[8..12].copy_from_slice(&attempt.number.to_le_bytes());
    root
}

/// The pieces of a sector that holds these: the first with this commitment, each other one with the next.
fn packed(pieces: &[(u64, u64)], commitment: Commitment) -> Vec<PieceInfo> {
    let padded: Vec<u64> = pieces.iter().map(|(_, padded)| *padded).collect();
    let sizes = with_fillers(&padded, 2048).expect("the core packs only what fits");
    let piece = |(at, padded_bytes): (usize, u64)| {
        let mut commitment = commitment;
        commitment.0[31] = commitment.0[31].wrapping_add(at as u8);
        PieceInfo { padded_bytes, commitment }
    };
    sizes.into_iter().enumerate().map(piece).collect()
}
