//! The planned steps carried out in the simulated world, and what has to be true after each of them and in the end.

use proptest_state_machine::StateMachineTest;
use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::data_cid::DataCidState;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Failure, Request, TaskDone, TaskOutput, TaskResult};
use sp_sched_core::model::{Sector, SectorFile, WorkerRow};
use sp_sched_core::view::Where;
use sp_types::{
    AttemptId, DeadlineIndex, ErrorCode, Randomness, ReplicaId, ResourceTable, SectorState, TaskId, TaskKind, WorkerId,
};

use super::plan::{Plan, Planner, SEATS, Step};
use crate::world::{Faults, Role, World};

/// Long enough for every message under way to arrive, and for what they cause.
const FLUSH_MS: u64 = 40;
/// The longest that anything waits once trouble is over: for inputs that nobody has, several times.
const REST_MS: u64 = 12 * 3_600_000;
const SPACE: u64 = 1 << 20;
const CORES: u32 = 3;

const ALL: [TaskKind; 9] = [
    TaskKind::AddPiece,
    TaskKind::PreCommit1,
    TaskKind::PreCommit2,
    TaskKind::Commit1,
    TaskKind::Commit2,
    TaskKind::Finalize,
    TaskKind::Unseal,
    TaskKind::Fetch,
    TaskKind::DataCid,
];

/// The world that the plan is carried out in.
pub(crate) struct Machine {
    world: World,
    /// Commitments that were asked for.
    asked: Vec<TaskId>,
}

fn id(at: usize) -> WorkerId {
    WorkerId::new(format!("w{at}")).unwrap()
}

/// Rows that make tasks compete: for cores, and for the places of a limit.
fn table() -> ResourceTable {
    let rows = [("PC2_2K_MAX_PARALLELISM", "2"), ("C2_2K_MAX_PARALLELISM", "3"), ("PC1_2K_MAX_CONCURRENT", "2")];
    ResourceTable::with_env(rows.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap()
}

fn role(at: usize) -> Role {
    match at {
        0 => Role::Sealing([&ALL[..2], &[TaskKind::Commit1, TaskKind::Finalize, TaskKind::Fetch]].concat()),
        1 => Role::Sealing(ALL[2..].to_vec()),
        4 => Role::WindowPost,
        _ => Role::Sealing(ALL.to_vec()),
    }
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Self;
    type Reference = Planner;

    fn init_test(plan: &Plan) -> Self {
        let mut world = World::new(plan.seed);
        world.keeps_trace = false;
        // No jump of the clock leads before the beginning of time.
        world.now += 100_000_000;
        world.kill_scheduler();
        (world.config.assigner, world.config.resources) = (plan.assigner, table());
        world.config.rehearse_percent = if plan.seed.is_multiple_of(5) { 50 } else { 0 };
        // Half of the sequences run twice, side by side.
        world.twins = plan.seed.is_multiple_of(2);
        world.start_scheduler();
        for at in 0..SEATS {
            world.add_worker(id(at).as_str(), role(at), |w| {
                w.host = format!("host_{}", at / 2);
                (w.cpus, w.builtin) = (CORES, at == 3);
                // In a third of the sequences finished files have to leave the paths of most workers.
                w.uses.1 = at >= 2 || !plan.seed.is_multiple_of(3);
            });
        }
        world.run_for(100);
        Self { world, asked: Vec::new() }
    }

    fn apply(mut machine: Self, plan: &Plan, step: Step) -> Self {
        machine.carry_out(plan, step);
        machine.world.run_for(FLUSH_MS);
        machine
    }

    fn check_invariants(machine: &Self, plan: &Plan) {
        let world = &machine.world;
        assert_eq!(world.database.sectors.len() as u64, plan.sectors, "sectors");
        for (at, seat) in plan.seats.iter().enumerate() {
            assert_eq!(world.database.workers.get(&id(at)), seat.row(id(at)).as_ref(), "what is decided about w{at}");
        }
        if world.core.is_some() {
            machine.check_workers(plan);
            machine.check_nothing_waits_in_vain();
        }
    }

    fn teardown(mut machine: Self, plan: Plan) {
        machine.heal();
        machine.come_to_rest();
        // What stopped for the operator meanwhile goes on at a word, unless files are lost for good.
        let stopped = |s: &u64| waits_for_the_operator(&machine.world, *s);
        let stopped: Vec<u64> = machine.world.database.sectors.keys().copied().filter(stopped).collect();
        for sector in stopped {
            assert!(matches!(machine.ask(Request::Retry { sector }), Reply::Moved(_)), "sector {sector}");
        }
        machine.come_to_rest();
        // Deletes that could not be done while somebody was away are ordered again, later and later.
        machine.world.run_until(REST_MS, |w| left_over(w).is_empty());
        machine.world.run_for(10_000);
        machine.check_rest(&plan);
    }
}

impl Machine {
    fn carry_out(&mut self, plan: &Plan, step: Step) {
        let world = &mut self.world;
        match step {
            Step::Wait(ms) => world.run_for(ms),
            Step::Pledge(count) => {
                assert!(matches!(self.ask(Request::Pledge { count, priority: None }), Reply::Sectors(_)))
            }
            Step::Piece => {
                let piece = Request::AddPiece {
                    data: SectorData::one(PieceData { data_bytes: 1_000, digest: [1; 32], name: "piece".to_owned() }),
                    priority: None,
                };
                assert!(matches!(self.ask(piece), Reply::Sectors(_)));
            }
            Step::DataCid => self.data_cid(),
            Step::AskDataCid(pick) => self.ask_data_cid(pick),
            Step::Unseal(sector) => drop(self.ask(Request::Unseal { sector })),
            Step::Release(sector) => drop(self.ask(Request::ReleaseUnsealed { sector })),
            Step::WindowPost => {
                let (deadline, randomness) = (DeadlineIndex(0), Randomness::new([3; 32]));
                world.ask(Request::ComputeWindowPost { deadline, randomness });
            }
            Step::Abort { pick, whole } => self.abort(pick, whole),
            Step::Priority { pick, priority } => {
                let tasks: Vec<TaskId> = world.database.tasks.keys().copied().collect();
                if let Some(task) = picked(&tasks, pick) {
                    let reply = self.ask(Request::SetPriority { task: *task, priority });
                    assert!(reply == Reply::Done || is_missed(&reply), "{reply:?}");
                }
            }
            Step::Kill(at) => world.kill_worker(&id(at)),
            Step::Start(at) => world.start_worker(&id(at)),
            Step::Reboot(at) => {
                for at in plan.host_of(at) {
                    world.kill_worker(&id(at));
                    world.workers.get_mut(&id(at)).unwrap().boot += 1;
                }
                plan.host_of(at).into_iter().for_each(|at| world.start_worker(&id(at)));
            }
            Step::Cut(at) => world.cut_off(&id(at), true),
            Step::Silence(at) => world.workers.get_mut(&id(at)).unwrap().cut_off = true,
            Step::Mend(at) => world.cut_off(&id(at), false),
            Step::Cordon(at, cordoned) => {
                self.decide(plan, at, Request::Cordon { worker: id(at).to_string(), cordoned })
            }
            Step::Drain(at, finish_pipelines) => {
                self.decide(plan, at, Request::Drain { worker: id(at).to_string(), finish_pipelines });
            }
            Step::Enable(at, kind, enabled) => {
                let request = Request::EnableTasks { worker: id(at).to_string(), tasks: vec![kind], enabled };
                self.decide(plan, at, request);
            }
            Step::Stop(at) => {
                self.ask(Request::StopWorker { worker: id(at).to_string() });
                self.world.run_for(FLUSH_MS);
                // It is started again at once, if it was stopped.
                self.world.start_worker(&id(at));
            }
            Step::Forget(at) => {
                let reply = self.ask(Request::ForgetWorker { worker: id(at).to_string() });
                assert_eq!(reply, Reply::Worker { worker: id(at) });
            }
            Step::SchedulerDies => world.kill_scheduler(),
            Step::SchedulerStarts => {
                world.start_scheduler();
                world.run_for(100);
            }
            Step::IndexLost => {
                world.index.connected = false;
                world.tell(Event::IndexLost);
            }
            Step::IndexBack => world.connect_index(),
            Step::Again(pick) => self.tell_again(pick),
            Step::Lie { seat, pick, good } => self.lie(seat, pick, good),
            Step::LoseFile(pick) => {
                let files: Vec<ReplicaId> = world.index.replicas.keys().cloned().collect();
                if let Some(file) = picked(&files, pick) {
                    world.lose_file(file);
                }
            }
            Step::Space(at, bytes) => {
                world.workers.get_mut(&id(at)).unwrap().space_bytes = bytes;
                world.tell_store(&id(at));
            }
            Step::Cores(at, cores) => self.on_host(plan, at, cores),
            Step::ClockJumps(ms) => world.clock_ahead_ms += ms,
            Step::Trouble(faults) => world.faults = faults,
        }
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.world.answer(request)
    }

    /// Only workers that are known can be decided about.
    fn decide(&mut self, plan: &Plan, at: usize, request: Request) {
        let reply = self.ask(request);
        let taken = reply == Reply::Worker { worker: id(at) };
        assert_eq!(taken, plan.seats[at].known, "w{at}: {reply:?}");
    }

    fn on_host(&mut self, plan: &Plan, at: usize, cores: u32) {
        for at in plan.host_of(at) {
            self.world.workers.get_mut(&id(at)).unwrap().cpus = cores;
        }
    }

    fn data_cid(&mut self) {
        let data = PieceData { data_bytes: 1_000, digest: [1; 32], name: "file".to_owned() };
        match self.ask(Request::DataCid { data, padded_bytes: None }) {
            Reply::DataCid { task, padded_bytes: 1_024 } => self.asked.push(task),
            other => panic!("{other:?}"),
        }
    }

    /// It is forgotten only if nobody has asked for a minute, or the scheduler has restarted.
    fn ask_data_cid(&mut self, pick: usize) {
        let Some(task) = picked(&self.asked, pick).copied() else { return };
        let reply = self.ask(Request::GetDataCid { task });
        match &reply {
            Reply::DataCidState(DataCidState::Done(piece)) => assert_eq!(piece.padded_bytes, 1_024),
            Reply::DataCidState(_) => {}
            other => assert!(is_missed(other), "{other:?}"),
        }
        let open = matches!(&reply, Reply::DataCidState(DataCidState::Waiting { .. } | DataCidState::Upload { .. }));
        assert!(open || !self.world.database.tasks.contains_key(&task), "{reply:?}");
    }

    fn attempts(&self) -> Vec<AttemptId> {
        self.world.database.tasks.values().flat_map(|t| t.attempts.iter().map(|a| a.id)).collect()
    }

    fn abort(&mut self, pick: usize, whole: bool) {
        let attempts = self.attempts();
        let Some(attempt) = picked(&attempts, pick) else { return };
        let name = if whole { attempt.task.to_string() } else { attempt.to_string() };
        let reply = self.ask(Request::Abort { id: name, reason: "for a test".to_owned() });
        assert!(is_missed(&reply) || matches!(reply, Reply::Aborted { .. }), "{reply:?}");
        assert!(!self.attempts().contains(attempt), "{attempt} was aborted and lives on");
        let index = &self.world.index;
        let kept = index.connected && index.reservations.contains_key(attempt);
        assert!(!kept, "L5: {attempt} keeps its space");
    }

    /// A message that comes twice, or late. Registrations and ends of sessions do not: they are their stream's own.
    fn tell_again(&mut self, pick: usize) {
        let repeated = |e: &&Event| match e {
            Event::Renewed { .. } | Event::Result { .. } | Event::Reserved { .. } => true,
            Event::Verified { .. } | Event::Chain { .. } | Event::DeleteFailed { .. } | Event::Epoch(_) => true,
            Event::WorkerDisconnected { worker, session, .. } => self.world.workers[worker].session_id() != *session,
            _ => false,
        };
        let told: Vec<Event> = self.world.told.iter().filter(repeated).cloned().collect();
        if let Some(event) = picked(&told, pick) {
            self.world.step(event.clone());
        }
    }

    /// Somebody claims the result of an attempt that is another's, has ended, or never was.
    fn lie(&mut self, seat: usize, pick: usize, good: bool) {
        let mut known = self.attempts();
        let tasks = self.world.database.tasks.values();
        known.extend(tasks.flat_map(|t| (1..=t.last_number + 1).map(move |number| AttemptId { task: t.id, number })));
        known.push(AttemptId { task: TaskId(999), number: 1 });
        let Some(attempt) = picked(&known, pick).copied() else { return };
        let own = |w: &WorkerId| self.world.model.counts(w, attempt, &self.world.database);
        if own(&id(seat)) {
            return;
        }
        let task = self.world.database.tasks.get(&attempt.task).map_or(TaskKind::Commit1, |t| t.kind);
        let outcome = match good {
            true => Ok(TaskDone { replicas: vec![], output: TaskOutput::None }),
            false => Err(Failure { code: ErrorCode::ExecutorFailed, message: "a lie".to_owned() }),
        };
        let result = TaskResult { attempt, task, outcome, fetch_ms: 1, compute_ms: 1, peak_memory_bytes: 0 };
        self.world.step(Event::Result { worker: id(seat), result: Box::new(result) });
    }

    // === what has to be true ===

    fn check_workers(&self, plan: &Plan) {
        let world = &self.world;
        let now = world.model.now(world.clock());
        for view in world.core().workers(world.clock()) {
            let at = (0..SEATS).find(|at| id(*at) == view.worker).unwrap();
            let seat = &plan.seats[at];
            assert!(seat.known, "w{at} is listed and never registered");
            let available = |ago_ms| world.model.was_available(&world.config, &view.worker, now - ago_ms);
            assert_eq!(view.connected, available(0), "w{at}: {}", view.disabled_reason);
            assert_eq!(view.row, seat.row(id(at)).unwrap_or_else(|| WorkerRow::new(id(at))));
            let nothing = !available(20) || (seat.cordoned && !seat.finishes);
            assert!(!nothing || view.windows.is_empty(), "w{at} is away or cordoned and has {:?}", view.windows);
            let busy = world.database.tasks.values().flat_map(|t| &t.attempts).any(|a| a.worker == view.worker);
            assert!(!busy || !view.empty, "w{at} is said to be empty and has attempts");
        }
    }

    /// Whatever waits in the queue has a reason on every worker: else a wake-up was lost.
    fn check_nothing_waits_in_vain(&self) {
        let (core, now) = (self.world.core(), self.world.clock());
        for id in self.world.database.tasks.keys() {
            let Some(told) = core.explain(*id, now) else { panic!("task {id} is durable and unknown") };
            let waits = told.place == Where::Queue && told.general.is_empty();
            let free = told.verdicts.iter().find(|v| v.reason.is_empty() && v.failures == 0).filter(|_| waits);
            assert!(free.is_none(), "task {id} ({}) waits though {free:?} could have it", told.kind);
        }
    }

    /// L11: no task is left, and each sector is through or waits for the operator.
    fn come_to_rest(&mut self) {
        let rests = |w: &World| {
            let through = |s: &Sector| s.state.is_settled() || waits_for_the_operator(w, s.number);
            w.database.sectors.values().all(through) && w.core().jobs(w.clock()).is_empty()
        };
        assert!(self.world.run_until(REST_MS, rests), "L11: {}", self.world.describe());
    }

    fn heal(&mut self) {
        let world = &mut self.world;
        world.faults = Faults::default();
        world.start_scheduler();
        for at in 0..SEATS {
            let worker = world.workers.get_mut(&id(at)).unwrap();
            (worker.space_bytes, worker.cpus) = (SPACE, CORES);
            world.start_worker(&id(at));
            if world.workers[&id(at)].cut_off {
                world.cut_off(&id(at), false);
            }
        }
        world.run_for(100);
        world.connect_index();
        world.run_for(100);
        for at in 0..SEATS {
            let worker = id(at).to_string();
            self.ask(Request::Cordon { worker: worker.clone(), cordoned: false });
            self.ask(Request::EnableTasks { worker, tasks: ALL[..3].to_vec(), enabled: true });
            self.ask(Request::EnableTasks {
                worker: id(at).to_string(),
                tasks: vec![TaskKind::Commit2, TaskKind::DataCid],
                enabled: true,
            });
        }
    }

    fn check_rest(&self, plan: &Plan) {
        let world = &self.world;
        for sector in world.database.sectors.values() {
            let number = sector.number;
            let lost = plan.losses > 0;
            assert!(lost || sector.state == SectorState::Proving, "sector {number}: {}", sector.last_error);
            if sector.state != SectorState::Proving {
                continue;
            }
            let there = world.index.of_sector(number);
            let counted = sector.files.iter().map(|f| (f.kind, f.root));
            let missing: Vec<_> = counted.filter(|f| !there.contains(f) && !world.index.lost.contains(&f.1)).collect();
            assert!(missing.is_empty(), "L1: sector {number} has lost {missing:?}");
        }
        assert!(left_over(world).is_empty(), "L5: {:?} are left over", left_over(world));
        assert!(world.index.holds_nothing(), "L5: {:?} {:?}", world.index.reservations, world.index.locks);
        for worker in world.workers.values() {
            assert!(worker.attempts.is_empty(), "{} still works on {:?}", worker.id, worker.attempts.keys());
            assert!(worker.results.is_empty(), "{} still keeps {:?}", worker.id, worker.results.keys());
        }
    }
}

fn waits_for_the_operator(world: &World, sector: u64) -> bool {
    world.core().waiting_for(sector, world.clock()).starts_with("the operator")
}

/// Replicas of proven sectors that do not count. Where every copy of what counts is lost, anything else of its kind is kept:
/// it may be all there is.
fn left_over(world: &World) -> Vec<ReplicaId> {
    let is_there = |sector: u64, f: &SectorFile| world.index.of_sector(sector).contains(&(f.kind, f.root));
    let counts = |id: &&ReplicaId| {
        let sector = world.database.sectors.get(&id.sector.number).filter(|s| s.state == SectorState::Proving);
        let stays = |s: &Sector, f: &SectorFile| f.root == id.root || !is_there(s.number, f);
        sector.is_none_or(|s| s.files.iter().any(|f| f.kind == id.kind && stays(s, f)))
    };
    world.index.replicas.keys().filter(|id| !counts(id)).cloned().collect()
}

/// The request named something that was over when it came.
fn is_missed(reply: &Reply) -> bool {
    matches!(reply, Reply::Failed { code: ErrorCode::NotFound, .. })
}

fn picked<T>(all: &[T], pick: usize) -> Option<&T> {
    all.get(pick.checked_rem(all.len())?)
}
