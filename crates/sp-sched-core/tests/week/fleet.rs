//! The workers: a prover on every machine, and one that seals on some.

use std::collections::BTreeMap;

use sp_sched_core::effect::Assignment;
use sp_sched_core::event::{Event, Phase, Progress, Registration, TaskResult};
use sp_types::{
    AttemptId, GpuDevice, GpuId, HostCapacity, HostId, ResourceTable, SessionId, TaskKind, WorkerId, WorkerLimits,
};

use crate::dice::Dice;
use crate::plan::{Plan, SECOND};
use crate::shelf::store;
use crate::world::{Due, World};

const GIB: u64 = 1 << 30;

pub struct Worker {
    pub id: WorkerId,
    pub machine: usize,
    pub seals: bool,
    /// Things that keep it from running, and from being heard.
    down: u32,
    cut: u32,
    pub hangs: bool,
    pub lies: bool,
    host: String,
    boot: u32,
    /// Which run of its process.
    pub run: u32,
    /// What it says reaches the scheduler, and the other way round.
    pub connected: bool,
    pub attempts: BTreeMap<AttemptId, Assignment>,
    /// And since when.
    pub computing: BTreeMap<AttemptId, u64>,
    /// Done but for a read that gets no answer.
    pub stuck: Vec<AttemptId>,
    pub results: BTreeMap<AttemptId, TaskResult>,
}

impl Worker {
    pub fn all(plan: &Plan) -> Vec<Self> {
        let provers = (0..plan.machines.len()).map(|machine| {
            let host = if plan.shared { "machine" } else { "prover" };
            Self::new(format!("p{machine}"), machine, false, format!("{host}{machine}"))
        });
        let sealers = (0..plan.machines.len()).filter(|machine| plan.machines[*machine].seals);
        let sealers =
            sealers.map(|machine| Self::new(format!("s{machine}"), machine, true, format!("machine{machine}")));
        provers.chain(sealers).collect()
    }

    fn new(name: String, machine: usize, seals: bool, host: String) -> Self {
        Self {
            id: WorkerId::new(name).unwrap(),
            machine,
            seals,
            down: 0,
            cut: 0,
            hangs: false,
            lies: false,
            host,
            boot: 1,
            run: 1,
            connected: false,
            attempts: BTreeMap::new(),
            computing: BTreeMap::new(),
            stuck: Vec::new(),
            results: BTreeMap::new(),
        }
    }

    /// Whatever it is given is proven in time, as far as it goes.
    pub fn is_ready(&self) -> bool {
        self.connected && !self.hangs && !self.lies
    }

    pub fn is_proving(&self) -> bool {
        let proves = |id: &AttemptId| self.attempts.get(id).is_some_and(|a| a.task == TaskKind::GenerateWindowPost);
        self.computing.keys().any(proves)
    }

    fn session(&self) -> SessionId {
        SessionId::new(format!("run-{}", self.run)).unwrap()
    }

    fn tasks(&self) -> Vec<TaskKind> {
        if !self.seals {
            return vec![TaskKind::GenerateWindowPost];
        }
        let kinds = [TaskKind::AddPiece, TaskKind::PreCommit1, TaskKind::PreCommit2, TaskKind::Commit1];
        kinds.into_iter().chain([TaskKind::Commit2, TaskKind::Finalize, TaskKind::Fetch]).collect()
    }

    fn registration(&self) -> Registration {
        let gpu = GpuDevice {
            id: GpuId::new(format!("GPU-{}", self.host)).unwrap(),
            name: "GPU".to_owned(),
            index: 0,
            memory_bytes: 24 * GIB,
            memory_used_bytes: 0,
            healthy: true,
        };
        Registration {
            worker: self.id.clone(),
            session: self.session(),
            host: HostId::new(format!("{}-{}", self.host, self.boot)).unwrap(),
            name: self.id.to_string(),
            build: "week".to_owned(),
            tasks: self.tasks(),
            capacity: HostCapacity {
                memory_bytes: 768 * GIB,
                cpus: 64,
                gpus: vec![gpu],
                gpus_usable: true,
                ..HostCapacity::default()
            },
            limits: WorkerLimits::default(),
            resources: ResourceTable::default(),
            data_url: format!("http://{}", self.id),
            stores: if self.seals { vec![store()] } else { vec![] },
            builtin: false,
            held: self.attempts.keys().copied().collect(),
            finished: self.results.values().cloned().collect(),
            pid: 1,
            pc1_streams: 0,
        }
    }

    fn progress(&self) -> Vec<Progress> {
        let say =
            |attempt: &AttemptId, phase| Progress { attempt: *attempt, phase, fraction: 0.5, detail: String::new() };
        let phase = |a: &Assignment| if a.hold { Phase::Prepared } else { Phase::Running };
        let computing = self.attempts.iter().map(|(id, a)| say(id, phase(a)));
        computing.chain(self.results.keys().map(|id| say(id, Phase::Returning))).collect()
    }
}

impl World {
    pub fn at(&mut self, worker: &WorkerId) -> Option<usize> {
        self.fleet.iter().position(|w| w.id == *worker && w.connected)
    }

    fn of(&self, machine: usize) -> Vec<usize> {
        (0..self.fleet.len()).filter(|at| self.fleet[*at].machine == machine).collect()
    }

    // === connections ===

    /// It connects within some seconds, if it runs and nothing is in the way.
    pub fn reconnect(&mut self, at: usize) {
        let ms = Dice::of(self.plan.seed, &[1, at as u64, self.now]).between(500, 3 * SECOND);
        self.after(ms, Due::Connect(at));
    }

    pub fn connect(&mut self, at: usize) {
        let worker = &mut self.fleet[at];
        if worker.connected || worker.down > 0 || worker.cut > 0 || self.core.is_none() {
            return;
        }
        worker.connected = true;
        let (registration, name) = (worker.registration(), worker.id.clone());
        self.note(|| format!("{name} connects"));
        self.tell(Event::WorkerRegistered(Box::new(registration)));
        self.rate(at);
    }

    /// Its stream is broken. With a reason the scheduler is told, else it has to find out.
    pub fn disconnect(&mut self, at: usize, reason: Option<&str>) {
        let worker = &mut self.fleet[at];
        if !std::mem::take(&mut worker.connected) {
            return;
        }
        let (id, session) = (worker.id.clone(), worker.session());
        if let Some(reason) = reason {
            self.tell(Event::WorkerDisconnected { worker: id, session, reason: reason.to_owned() });
        }
        self.rate(at);
    }

    /// Leases are renewed just before their end, all at once: what is done more often changes nothing.
    pub fn beat(&mut self) {
        for at in 0..self.fleet.len() {
            if self.fleet[at].connected {
                self.renew(at);
            }
        }
        self.after(self.config.lease_ms - SECOND, Due::Beat);
    }

    fn renew(&mut self, at: usize) {
        let worker = &self.fleet[at];
        let (id, session, attempts) = (worker.id.clone(), worker.session(), worker.progress());
        self.tell(Event::Renewed { worker: id, session, attempts, capacity: None, limits: None });
    }

    /// The judge hears whether it could prove.
    fn rate(&mut self, at: usize) {
        if !self.fleet[at].seals {
            self.judge.worker(at, self.fleet[at].is_ready(), self.now);
        }
    }

    // === troubles ===

    pub fn power(&mut self, machine: usize, on: bool) {
        for at in self.of(machine) {
            if !on {
                self.fleet[at].boot += u32::from(self.fleet[at].down == 0);
            }
            self.set_running(at, on, None);
        }
    }

    /// The prover of a machine is killed, or starts again.
    pub fn process(&mut self, machine: usize, runs: bool) {
        self.set_running(machine, runs, Some("connection reset"));
    }

    fn set_running(&mut self, at: usize, runs: bool, reason: Option<&str>) {
        if runs {
            self.fleet[at].down -= 1;
            return self.reconnect(at);
        }
        if reason.is_none() && self.fleet[at].connected {
            // The last sign of life, as late as it can be.
            self.renew(at);
        }
        self.disconnect(at, reason);
        let worker = &mut self.fleet[at];
        worker.down += 1;
        worker.run += 1;
        worker.attempts.clear();
        worker.computing.clear();
        worker.stuck.clear();
    }

    pub fn network(&mut self, machine: usize, works: bool, quiet: bool) {
        for at in self.of(machine) {
            if works {
                self.fleet[at].cut -= 1;
                self.reconnect(at);
            } else {
                if quiet && self.fleet[at].connected {
                    self.renew(at);
                }
                self.disconnect(at, (!quiet).then_some("timed out"));
                self.fleet[at].cut += 1;
            }
        }
    }

    /// The disks that the prover reads from.
    pub fn disk(&mut self, machine: usize, answers: bool) {
        self.fleet[machine].hangs = !answers;
        self.rate(machine);
        let run = self.fleet[machine].run;
        for attempt in std::mem::take(&mut self.fleet[machine].stuck) {
            let ms = self.prove_ms(machine, attempt);
            self.after(ms, Due::Computed(machine, run, attempt));
        }
    }

    pub fn honest(&mut self, machine: usize, honest: bool) {
        self.fleet[machine].lies = !honest;
        self.rate(machine);
    }
}
