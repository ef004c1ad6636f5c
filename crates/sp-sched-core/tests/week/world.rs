//! A week around the core, from one event to the next: nothing is looked at in between, so that it takes a second.

use std::collections::{BTreeMap, VecDeque};

use sp_sched_core::effect::Effect;
use sp_sched_core::event::{Event, Request, RequestId};
use sp_sched_core::model::UnixMs;
use sp_sched_core::{Config, Core};
use sp_types::{AttemptId, SectorSize, TaskKind};

use crate::chain::Chain;
use crate::fleet::Worker;
use crate::judge::Judge;
use crate::plan::{HOUR, MINUTE, Plan, SECOND, WEEK, What};
use crate::shelf::Shelf;

/// When the week begins, ms since the Unix epoch.
pub const BEGAN: u64 = 1_000_000_000;
/// Sectors that are being sealed at a time, for each machine that seals.
const IN_FLIGHT: u32 = 8;

/// Something that will happen.
#[derive(Debug)]
pub enum Due {
    Epoch,
    /// Workers renew their leases.
    Beat,
    /// A worker has computed, if it is the same run of it still.
    Computed(usize, u32, AttemptId),
    /// A worker connects, unless something else has happened to it.
    Connect(usize),
    /// To this life of the scheduler.
    Tell(u32, Box<Event>),
    Trouble(usize),
    Over(What),
}

pub struct World {
    pub plan: Plan,
    pub config: Config,
    pub now: u64,
    pub core: Option<Core>,
    pub life: u32,
    pub chain: Chain,
    pub fleet: Vec<Worker>,
    pub shelf: Shelf,
    pub judge: Judge,
    /// Sectors that came to Proving this week.
    pub sealed: u32,
    /// Time that accepted tasks of sealing have computed for.
    pub worked_ms: u64,
    /// Attempts that made way for a proof.
    pub yields: u32,
    /// Steps of the core.
    pub steps: u64,
    /// Times that the scheduler was told to be down.
    down: u32,
    sequence: u64,
    agenda: BTreeMap<(u64, u64), Due>,
    inbox: VecDeque<Event>,
    wake_at: Option<u64>,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let mut config = Config::new(1000, SectorSize::GiB32, [7; 32]);
        // They are checked in every other test, and cost more than everything else here.
        config.check_laws = false;
        let (chain, shelf) = Chain::with_sectors(&plan, &config);
        let mut world = Self {
            config,
            now: BEGAN,
            core: None,
            life: 0,
            chain,
            fleet: Worker::all(&plan),
            shelf,
            judge: Judge::default(),
            sealed: 0,
            worked_ms: 0,
            yields: 0,
            steps: 0,
            down: 0,
            sequence: 0,
            agenda: BTreeMap::new(),
            inbox: VecDeque::new(),
            wake_at: None,
            plan,
        };
        world.start_scheduler();
        world.after(0, Due::Epoch);
        world.after(0, Due::Beat);
        for (at, trouble) in world.plan.troubles.clone().into_iter().enumerate() {
            world.after(trouble.at_ms, Due::Trouble(at));
        }
        let sealing = world.plan.machines.iter().filter(|machine| machine.seals).count() as u32;
        world.after(MINUTE, Due::Tell(world.life, Box::new(pledge(sealing * IN_FLIGHT))));
        world
    }

    /// The whole week.
    pub fn run(self) -> Self {
        self.run_for(WEEK)
    }

    /// The first part of it.
    pub fn run_for(mut self, ms: u64) -> Self {
        while self.now < BEGAN + ms {
            self.next();
        }
        self
    }

    pub fn after(&mut self, ms: u64, what: Due) {
        self.sequence += 1;
        self.agenda.insert((self.now + ms, self.sequence), what);
    }

    /// The scheduler hears of it at once, if it is there.
    pub fn tell(&mut self, event: Event) {
        if self.core.is_some() {
            self.inbox.push_back(event);
        }
    }

    pub fn tell_after(&mut self, ms: u64, event: Event) {
        self.after(ms, Due::Tell(self.life, Box::new(event)));
    }

    /// One more sector takes the place of one that is sealed.
    pub fn pledge_another(&mut self) {
        self.sealed += 1;
        self.tell_after(SECOND, pledge(1));
    }

    fn next(&mut self) {
        let next = self.agenda.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
        match self.wake_at.filter(|at| *at < next && self.core.is_some()) {
            Some(at) => {
                self.now = self.now.max(at);
                self.wake_at = None;
                self.tell(Event::Wake);
            }
            None => {
                let Some(((at, _), due)) = self.agenda.pop_first() else { return };
                self.now = self.now.max(at);
                self.happen(due);
            }
        }
        while let Some(event) = self.inbox.pop_front() {
            self.step(event);
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Epoch => self.next_epoch(),
            Due::Beat => self.beat(),
            Due::Computed(worker, run, attempt) => self.computed(worker, run, attempt),
            Due::Connect(worker) => self.connect(worker),
            Due::Tell(life, event) if life == self.life => self.tell(*event),
            Due::Tell(..) => {}
            Due::Trouble(at) => self.begin(at),
            Due::Over(what) => self.end(what),
        }
    }

    fn step(&mut self, event: Event) {
        let now = UnixMs(self.now);
        let Some(core) = self.core.as_mut() else { return };
        self.steps += 1;
        let effects = core.step(now, event);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(row) => self.keep(row),
                Effect::WakeAt(at) => self.wake_at = Some(at.0),
                Effect::Registered { worker, keep, .. } => self.registered(&worker, &keep),
                Effect::Assign { worker, assignment } => self.assigned(&worker, *assignment),
                Effect::Start { worker, attempt, .. } => self.started(&worker, attempt),
                Effect::Cancel { worker, attempt, reason } => self.cancelled(&worker, attempt, &reason),
                Effect::Yield { worker, attempt, reason } => {
                    self.yields += 1;
                    self.cancelled(&worker, attempt, &reason);
                }
                Effect::AckResult { worker, attempt, refused, counting } => {
                    self.acknowledged(&worker, attempt, refused.then_some(counting));
                }
                Effect::Reserve { attempt, .. } => self.reserve(attempt),
                Effect::Fence(row) => self.shelf.fence(row),
                Effect::DeleteReplica { replica, .. } => self.delete(&replica),
                Effect::VerifySeal(seal) => self.verify(seal.attempt, &seal.proof),
                Effect::VerifyPost(post) => self.verify(post.attempt, &post.proof),
                Effect::Chain { sector, call } => self.chain_call(sector, call),
                Effect::Proving(call) => self.proving_call(call),
                Effect::Alert { message } => self.note(|| format!("alert: {message}")),
                Effect::Reply(..)
                | Effect::Presented
                | Effect::Release(_)
                | Effect::Stop { .. }
                | Effect::SweepWork { .. }
                | Effect::VerifyUpdate(_) => {}
            }
        }
    }

    // === the scheduler's process ===

    pub fn kill_scheduler(&mut self) {
        self.down += 1;
        if self.core.take().is_none() {
            return;
        }
        self.life += 1;
        self.wake_at = None;
        self.inbox.clear();
        self.note(|| "the scheduler dies".to_owned());
        (0..self.fleet.len()).for_each(|worker| self.disconnect(worker, None));
    }

    pub fn scheduler_may_start(&mut self) {
        self.down -= 1;
        if self.down == 0 {
            self.start_scheduler();
        }
    }

    fn start_scheduler(&mut self) {
        self.note(|| "the scheduler starts".to_owned());
        let (core, effects) = Core::restore(self.config.clone(), self.shelf.rows(), UnixMs(self.now));
        self.core = Some(core);
        self.carry_out(effects);
        self.tell_snapshot();
        self.tell(Event::Epoch(self.chain.head));
        (0..self.fleet.len()).for_each(|worker| self.reconnect(worker));
    }

    // === what goes wrong ===

    fn begin(&mut self, at: usize) {
        let trouble = self.plan.troubles[at];
        self.note(|| format!("{:?} for {} s", trouble.what, trouble.for_ms / SECOND));
        self.trouble(trouble.what, true);
        self.after(trouble.for_ms, Due::Over(trouble.what));
    }

    fn end(&mut self, what: What) {
        self.note(|| format!("{what:?} is over"));
        self.trouble(what, false);
    }

    fn trouble(&mut self, what: What, begins: bool) {
        match what {
            What::PowerCut(machine) => self.power(machine, !begins),
            What::Site => (0..self.plan.machines.len()).for_each(|machine| self.power(machine, !begins)),
            What::Scheduler if begins => self.kill_scheduler(),
            What::Scheduler => self.scheduler_may_start(),
            What::Crash(machine) => self.process(machine, !begins),
            What::CutOff { machine, quiet } => self.network(machine, !begins, quiet),
            What::Hang(machine) => self.disk(machine, !begins),
            What::Lie(machine) => self.honest(machine, !begins),
        }
    }

    /// A line of the log, for whoever looks for what went wrong.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.judge.listens(self.now) {
            let at_s = (self.now - BEGAN) / SECOND;
            let line = format!(
                "day {} {:02}:{:02}:{:02}  {}",
                at_s / 86_400,
                at_s / 3_600 % 24,
                at_s / 60 % 60,
                at_s % 60,
                line()
            );
            self.judge.write(line);
        }
    }
}

fn pledge(count: u32) -> Event {
    Event::Request(RequestId(0), Request::Pledge { count, priority: None })
}

/// What a task of sealing takes on an ordinary machine.
pub fn usual_ms(kind: TaskKind) -> u64 {
    match kind {
        TaskKind::AddPiece => 5 * MINUTE,
        TaskKind::PreCommit1 => 3 * HOUR + 30 * MINUTE,
        TaskKind::PreCommit2 => 25 * MINUTE,
        TaskKind::Commit2 => 20 * MINUTE,
        _ => MINUTE,
    }
}
