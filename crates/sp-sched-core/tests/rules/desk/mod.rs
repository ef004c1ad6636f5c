//! A scheduler on a desk: sectors as they are laid there, workers that do what they are told, an index that says yes.
// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;

use sp_sched_core::effect::{Assignment, Effect, Reply};
use sp_sched_core::event::{
    Event, Failure, Phase, Progress, Registration, Request, RequestId, StoreFact, TaskDone, TaskOutput, TaskResult,
};
use sp_sched_core::model::{Counters, Pin, RowChange, Rows, Sector, SectorFile, Task, UnixMs};
use sp_sched_core::{Config, Core};
use sp_types::{
    AttemptId, ChainEpoch, Commitment, DeadlineIndex, FileKind, Filters, HostCapacity, HostId, Origin, PartitionIndex,
    ReplicaId, ResourceTable, SectorId, SectorSize, SectorState, SessionId, Soundness, StoreId, TaskId, TaskKind,
    WorkerId, WorkerLimits,
};

pub const GIB: u64 = 1 << 30;
pub const SIZE: SectorSize = SectorSize::GiB32;

pub struct Desk {
    pub core: Core,
    pub now: u64,
    /// What was given to workers and is not finished.
    pub given: BTreeMap<AttemptId, (WorkerId, Assignment)>,
    /// Attempts in the order in which they could compute.
    pub begun: Vec<(TaskKind, u64, WorkerId)>,
    pub replies: BTreeMap<u64, Reply>,
    pub stopped: Vec<WorkerId>,
    /// What executors say of their memory.
    pub peak_memory_bytes: u64,
    /// Who was asked to make way, and why.
    pub yielded: Vec<(WorkerId, String)>,
    /// What attempts reported last.
    phases: BTreeMap<AttemptId, Phase>,
    /// Attempts that space was asked for, each time.
    pub reserved: Vec<AttemptId>,
    /// Deletes that were ordered; the index carries out none.
    pub deletes: Vec<ReplicaId>,
    /// Work of workers that are gone that was ordered to be removed.
    pub swept: Vec<AttemptId>,
    /// The index does not answer.
    pub silent: bool,
    requests: u64,
    config: Config,
    rows: Saved,
}

/// Rows as a database would hold them.
#[derive(Default)]
struct Saved {
    sectors: BTreeMap<u64, Sector>,
    tasks: BTreeMap<TaskId, Task>,
    counters: Counters,
    pins: BTreeMap<u64, Pin>,
}

/// Files that a sector in this state has.
fn kinds_in(state: SectorState) -> &'static [FileKind] {
    match state {
        SectorState::PreCommit1 => &[FileKind::Unsealed],
        SectorState::Committing2 => &[FileKind::Sealed, FileKind::Cache, FileKind::Vanilla],
        SectorState::Packing => &[],
        _ => &[FileKind::Sealed, FileKind::Cache],
    }
}

fn kind_of(state: SectorState) -> TaskKind {
    match state {
        SectorState::Packing => TaskKind::AddPiece,
        SectorState::PreCommit1 => TaskKind::PreCommit1,
        SectorState::PreCommit2 => TaskKind::PreCommit2,
        SectorState::Committing1 => TaskKind::Commit1,
        SectorState::Committing2 => TaskKind::Commit2,
        SectorState::FinalizeSector => TaskKind::Finalize,
        other => panic!("{other} asks for no task"),
    }
}

fn root(number: u64, kind: FileKind) -> [u8; 32] {
    let mut root = [kind.bit() as u8; 32];
    root[..8].copy_from_slice(&number.to_le_bytes());
    root
}

pub fn sector(number: u64, state: SectorState, config: &Config) -> Sector {
    let file = |kind: &FileKind| SectorFile { kind: *kind, root: root(number, *kind), size_bytes: GIB, held: None };
    let comm = Some(Commitment([1; 32]));
    let known = state != SectorState::Packing;
    Sector {
        number,
        seal_proof: config.seal_proof(),
        state,
        priority: 0,
        data: None,
        pieces: vec![],
        comm_d: comm.filter(|_| known),
        comm_r: comm.filter(|_| known && state != SectorState::PreCommit1),
        ticket: known.then_some(([3; 32], ChainEpoch(1))),
        seed: known.then_some(([4; 32], ChainEpoch(1))),
        seed_epoch: None,
        phase1: vec![1],
        proof: vec![],
        location: None,
        files: kinds_in(state).iter().map(file).collect(),
        home: None,
        update: None,
        failures: 0,
        last_error: String::new(),
        trouble: Default::default(),
        created: UnixMs(0),
        proving_since: None,
        log: vec![],
        origin: Origin::new(number + 1),
        let_go: Default::default(),
        receive: None,
        keep: vec![],
    }
}

fn task(id: u64, number: u64, kind: TaskKind) -> Task {
    Task {
        id: TaskId(id),
        kind,
        sector: Some(number),
        priority: 0,
        queued: UnixMs(0),
        not_before: UnixMs(0),
        attempts: vec![],
        last_number: 0,
        failures: 0,
        last_error: String::new(),
    }
}

pub fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

pub fn store(name: &str) -> StoreId {
    StoreId::new(format!("store-{name}")).unwrap()
}

/// Lotus's test machine: 128 GiB, 200 GiB of swap, 32 cores, no GPU.
pub fn lotus_machine() -> HostCapacity {
    HostCapacity { memory_bytes: 128 * GIB, swap_bytes: 200 * GIB, cpus: 32, ..HostCapacity::default() }
}

impl Desk {
    /// Sector n stands in the n-th state; its task has the id n + 1.
    pub fn new(change: impl FnOnce(&mut Config), states: &[SectorState]) -> Self {
        Self::proving(change, states, &[])
    }

    /// The same; of sectors that are proven: number, deadline and partition.
    pub fn proving(change: impl FnOnce(&mut Config), states: &[SectorState], proven: &[(u64, u32, u32)]) -> Self {
        Self::with(change, states, |sector| {
            let mine = proven.iter().find(|(number, ..)| *number == sector.number);
            sector.location = mine.map(|(_, d, p)| (DeadlineIndex(*d), PartitionIndex(*p)));
        })
    }

    /// The same, with sectors as they are wanted.
    pub fn with(change: impl FnOnce(&mut Config), states: &[SectorState], edit: impl FnMut(&mut Sector)) -> Self {
        let mut config = Config::new(1000, SIZE, [7; 32]);
        change(&mut config);
        let mut sectors = states.iter().zip(0..).map(|(state, n)| sector(n, *state, &config)).collect::<Vec<_>>();
        sectors.iter_mut().for_each(edit);
        let busy = states.iter().zip(0..).filter(|(state, _)| !state.is_settled());
        let tasks = busy.map(|(state, n)| task(n + 1, n, kind_of(*state))).collect::<Vec<_>>();
        let next = states.len() as u64;
        let counters = Counters { next_task: next + 1, next_sector: next };
        let saved = Saved {
            sectors: Vec::clone(&sectors).into_iter().map(|s: Sector| (s.number, s)).collect(),
            tasks: Vec::clone(&tasks).into_iter().map(|t: Task| (t.id, t)).collect(),
            counters,
            pins: BTreeMap::new(),
        };
        let rows = Rows { sectors, tasks, counters, ..Rows::default() };
        let (core, _) = Core::restore(config.clone(), rows, UnixMs(1_000));
        Self {
            core,
            now: 1_000,
            given: BTreeMap::new(),
            begun: vec![],
            replies: BTreeMap::new(),
            stopped: vec![],
            peak_memory_bytes: 0,
            yielded: vec![],
            phases: BTreeMap::new(),
            reserved: vec![],
            deletes: vec![],
            swept: vec![],
            silent: false,
            requests: 0,
            config,
            rows: saved,
        }
    }

    /// The scheduler's process ends and starts again with what was durable; nobody has registered yet.
    pub fn restart(&mut self) {
        let Saved { sectors, tasks, counters, pins } = &self.rows;
        let (sectors, tasks) = (sectors.values().cloned().collect(), tasks.values().cloned().collect());
        let pins = pins.values().cloned().collect();
        let rows = Rows { sectors, tasks, counters: *counters, pins, ..Rows::default() };
        self.core = Core::restore(self.config.clone(), rows, UnixMs(self.now)).0;
    }

    /// Writes into the row of a sector, for what the next start finds there.
    pub fn change_sector(&mut self, number: u64, change: impl FnOnce(&mut Sector)) {
        change(self.rows.sectors.get_mut(&number).expect("a sector"));
    }

    fn save(&mut self, change: RowChange) {
        match change {
            RowChange::PutSector(sector) => drop(self.rows.sectors.insert(sector.number, *sector)),
            RowChange::PutTask(task) => drop(self.rows.tasks.insert(task.id, *task)),
            RowChange::DeleteTask(id) => drop(self.rows.tasks.remove(&id)),
            RowChange::PutCounters(counters) => self.rows.counters = counters,
            RowChange::PutPin(pin) => drop(self.rows.pins.insert(pin.sector, pin)),
            RowChange::DeletePin(sector) => drop(self.rows.pins.remove(&sector)),
            _ => {}
        }
    }

    pub fn step(&mut self, event: Event) {
        let effects = self.core.step(UnixMs(self.now), event);
        for effect in effects {
            match effect {
                Effect::Persist(change) => self.save(change),
                Effect::Reserve { attempt, presented: false, .. } => {
                    self.reserved.push(attempt);
                    if !self.silent {
                        self.step(Event::Reserved { attempt, refused: None });
                    }
                }
                Effect::Assign { worker, assignment } => {
                    if !assignment.hold {
                        self.begun.push((assignment.task, assignment.sector, worker.clone()));
                    }
                    self.given.insert(assignment.attempt, (worker, *assignment));
                }
                Effect::Start { worker, attempt, gpus, group } => {
                    let (_, assignment) = self.given.get_mut(&attempt).unwrap();
                    self.phases.remove(&attempt);
                    assignment.hold = false;
                    assignment.gpus = gpus;
                    assignment.group = group;
                    self.begun.push((assignment.task, assignment.sector, worker));
                }
                Effect::Cancel { attempt, .. } => drop(self.given.remove(&attempt)),
                Effect::Yield { worker, attempt, reason } => {
                    self.given.remove(&attempt);
                    self.yielded.push((worker, reason));
                }
                Effect::VerifyPost(post) => self.step(Event::Verified { attempt: post.attempt, verdict: Ok(true) }),
                Effect::Stop { worker } => self.stopped.push(worker),
                Effect::DeleteReplica { replica, .. } => self.deletes.push(replica),
                Effect::SweepWork { attempts, .. } => self.swept.extend(attempts),
                Effect::Reply(id, reply) => drop(self.replies.insert(id.0, reply)),
                _ => {}
            }
        }
    }

    pub fn join(&mut self, name: &str, tasks: &[TaskKind], capacity: HostCapacity) -> WorkerId {
        self.join_with(name, tasks, capacity, ResourceTable::default(), |_| {})
    }

    pub fn join_with(
        &mut self,
        name: &str,
        tasks: &[TaskKind],
        capacity: HostCapacity,
        resources: ResourceTable,
        change: impl FnOnce(&mut Registration),
    ) -> WorkerId {
        let mut registration = Registration {
            worker: worker(name),
            session: SessionId::new("one").unwrap(),
            host: HostId::new(format!("{name}-boot")).unwrap(),
            name: name.to_owned(),
            build: String::new(),
            tasks: tasks.to_vec(),
            capacity,
            limits: WorkerLimits::default(),
            resources,
            data_url: format!("http://{name}"),
            stores: vec![store(name)],
            builtin: false,
            held: vec![],
            finished: vec![],
            pid: 1,
            pc1_streams: 0,
        };
        change(&mut registration);
        self.step(Event::WorkerRegistered(Box::new(registration)));
        worker(name)
    }

    /// The index says that the worker's store is there, or that nobody has it.
    pub fn attach(&mut self, name: &str, is_there: bool) {
        self.attach_with(name, name, |fact| {
            if !is_there {
                fact.holders.clear();
            }
        });
    }

    /// The index says what is to be said of a store of this worker.
    pub fn attach_with(&mut self, holder: &str, name: &str, change: impl FnOnce(&mut StoreFact)) {
        let mut fact = StoreFact {
            id: store(name),
            weight: 10,
            can_seal: true,
            can_store: true,
            available_bytes: 100_000 * GIB,
            healthy: true,
            unhealthy_reason: String::new(),
            holders: vec![(worker(holder), format!("http://{holder}"))],
            filters: Filters::default(),
            groups: vec![],
            allow_to: vec![],
        };
        change(&mut fact);
        self.step(Event::Store(Box::new(fact)));
    }

    /// The index connects: every worker has a store, and each sector's files lie with the worker named for it.
    pub fn index(&mut self, workers: &[&str], holders: &[(u64, &str)]) {
        self.step(Event::IndexSnapshotBegin);
        workers.iter().for_each(|name| self.attach(name, true));
        for (number, name) in holders {
            let files = self.core.sector(*number).unwrap().files.clone();
            for file in files {
                let sector = SectorId { miner: 1000, number: *number };
                let id = ReplicaId { sector, kind: file.kind, store: store(name), root: file.root };
                self.appears(id, file.size_bytes);
            }
        }
        self.step(Event::IndexSnapshotEnd);
    }

    /// The index tells of a file of the sector that has its number.
    pub fn appears(&mut self, id: ReplicaId, size_bytes: u64) {
        let origin = self.core.sector(id.sector.number).and_then(|sector| sector.origin);
        self.step(Event::Replica { id, size_bytes, primary: true, origin, soundness: Soundness::Unknown });
    }

    /// A scrub says of a file that is there what it has found.
    pub fn scrubbed(&mut self, id: ReplicaId, size_bytes: u64, soundness: Soundness) {
        let origin = self.core.sector(id.sector.number).and_then(|sector| sector.origin);
        self.step(Event::Replica { id, size_bytes, primary: true, origin, soundness });
    }

    /// A heartbeat that says what the host has now.
    pub fn beat(&mut self, name: &str, capacity: HostCapacity) {
        self.now += 1;
        self.step(Event::Renewed {
            worker: worker(name),
            session: SessionId::new("one").unwrap(),
            attempts: self.progress_of(name),
            capacity: Some(capacity),
            limits: None,
        });
    }

    /// The attempt at this task says how far it is.
    pub fn report(&mut self, kind: TaskKind, number: u64, phase: Phase) {
        let attempt = self.attempt(kind, number);
        self.phases.insert(attempt, phase);
        self.step(Event::Renewed {
            worker: self.given[&attempt].0.clone(),
            session: SessionId::new("one").unwrap(),
            attempts: vec![Progress { attempt, phase, fraction: 0.0, detail: String::new() }],
            capacity: None,
            limits: None,
        });
    }

    /// Time passes for `a`.
    pub fn wait(&mut self, ms: u64) {
        self.pass(ms, &["a"]);
    }

    /// Time passes, with heartbeats and whatever is due.
    pub fn pass(&mut self, ms: u64, workers: &[&str]) {
        let end = self.now + ms;
        while self.now < end {
            self.now = (self.now + 1_000).min(end);
            for name in workers {
                self.step(Event::Renewed {
                    worker: worker(name),
                    session: SessionId::new("one").unwrap(),
                    attempts: self.progress_of(name),
                    capacity: None,
                    limits: None,
                });
            }
            self.step(Event::Wake);
        }
    }

    fn progress_of(&self, name: &str) -> Vec<Progress> {
        let mine = self.given.iter().filter(|(_, (w, _))| w.as_str() == name);
        let usual = |a: &Assignment| if a.hold && a.group.is_empty() { Phase::Preparing } else { Phase::Running };
        let phase = |id: &AttemptId, a: &Assignment| self.phases.get(id).copied().unwrap_or_else(|| usual(a));
        let progress = |attempt, phase| Progress { attempt, phase, fraction: 0.1, detail: String::new() };
        mine.map(|(id, (_, a))| progress(*id, phase(id, a))).collect()
    }

    /// The attempt at this kind of task of this sector that somebody works on.
    pub fn attempt(&self, kind: TaskKind, number: u64) -> AttemptId {
        let found = self.given.iter().find(|(_, (_, a))| (a.task, a.sector) == (kind, number));
        *found.unwrap_or_else(|| panic!("nobody does {kind} of {number}: {:?}", self.begun)).0
    }

    /// It is done, after so long.
    pub fn finish(&mut self, kind: TaskKind, number: u64, fetch_ms: u64, compute_ms: u64) {
        let comm = Commitment([1; 32]);
        let pieces = vec![sp_types::PieceInfo { padded_bytes: SIZE.bytes(), commitment: comm }];
        let output = match kind {
            TaskKind::AddPiece => TaskOutput::AddPiece { pieces, comm_d: comm },
            TaskKind::PreCommit1 => TaskOutput::PreCommit1 { phase1: vec![1], comm_d: comm },
            TaskKind::PreCommit2 => TaskOutput::PreCommit2 { comm_r: comm, comm_d: comm },
            TaskKind::Commit2 => TaskOutput::Proof { proof: vec![1] },
            _ => TaskOutput::None,
        };
        self.finish_with(kind, number, (fetch_ms, compute_ms), output, |_| GIB);
    }

    /// It is done, after so long, with this output and with files of these lengths.
    pub fn finish_with(
        &mut self,
        kind: TaskKind,
        number: u64,
        (fetch_ms, compute_ms): (u64, u64),
        output: TaskOutput,
        bytes: impl Fn(FileKind) -> u64,
    ) {
        let attempt = self.attempt(kind, number);
        let (worker, assignment) = self.given.remove(&attempt).unwrap();
        let replica = |kind: FileKind, store: &StoreId| ReplicaId {
            sector: SectorId { miner: 1000, number },
            kind,
            store: store.clone(),
            root: match assignment.inputs.iter().find(|input| input.kind == kind) {
                Some(input) if assignment.task == TaskKind::Fetch => input.root,
                _ => [attempt.task.0 as u8 + 1; 32],
            },
        };
        let replicas: Vec<_> = assignment.outputs.iter().map(|o| (replica(o.kind, &o.store), bytes(o.kind))).collect();
        for (id, size_bytes) in replicas.clone() {
            self.appears(id, size_bytes);
        }
        let outcome = Ok(TaskDone { replicas, output });
        let peak_memory_bytes = self.peak_memory_bytes;
        self.result(worker, TaskResult { attempt, task: kind, outcome, fetch_ms, compute_ms, peak_memory_bytes });
    }

    /// The partition that begins with this sector is proven, after so long; the verifier agrees.
    pub fn prove(&mut self, number: u64, compute_ms: u64) {
        let attempt = self.attempt(TaskKind::GenerateWindowPost, number);
        self.proved(attempt, compute_ms);
    }

    /// The window PoSt that this worker has is proven.
    pub fn prove_on(&mut self, worker: &str, compute_ms: u64) {
        let mut given = self.given.iter().filter(|(_, (_, a))| a.task == TaskKind::GenerateWindowPost);
        let attempt = *given.find(|(_, (by, _))| by.as_str() == worker).unwrap().0;
        self.proved(attempt, compute_ms);
    }

    fn proved(&mut self, attempt: AttemptId, compute_ms: u64) {
        let (worker, assignment) = self.given.remove(&attempt).unwrap();
        let output = TaskOutput::Post { proof: vec![1], skipped: vec![] };
        let outcome = Ok(TaskDone { replicas: vec![], output });
        self.result(
            worker,
            TaskResult { attempt, task: assignment.task, outcome, fetch_ms: 0, compute_ms, peak_memory_bytes: 0 },
        );
    }

    pub fn fail(&mut self, kind: TaskKind, number: u64, failure: Failure) {
        let attempt = self.attempt(kind, number);
        let (worker, _) = self.given.remove(&attempt).unwrap();
        self.result(
            worker,
            TaskResult { attempt, task: kind, outcome: Err(failure), fetch_ms: 0, compute_ms: 0, peak_memory_bytes: 0 },
        );
    }

    fn result(&mut self, worker: WorkerId, result: TaskResult) {
        self.step(Event::Result { worker, result: Box::new(result) });
    }

    pub fn ask(&mut self, request: Request) -> Reply {
        self.requests += 1;
        self.step(Event::Request(RequestId(self.requests), request));
        self.replies.remove(&self.requests).expect("answered at once")
    }

    /// The same for what is answered when it is done.
    pub fn ask_later(&mut self, request: Request) -> u64 {
        self.requests += 1;
        self.step(Event::Request(RequestId(self.requests), request));
        self.requests
    }

    /// Who began what, as `PC1 3 on a`, since the last call.
    pub fn news(&mut self) -> Vec<String> {
        let begun = std::mem::take(&mut self.begun);
        begun.into_iter().map(|(kind, number, worker)| format!("{kind} {number} on {worker}")).collect()
    }

    /// Why the task of this sector waits, in one text.
    pub fn why(&self, number: u64) -> String {
        self.core.waiting_for(number, UnixMs(self.now))
    }
}
