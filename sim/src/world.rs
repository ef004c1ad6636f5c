//! A run in progress: the simulated network with its processes, and how each fault begins and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use sp_sectors::Loss;
use turmoil::Sim;

use crate::cast::{Cast, INDEX, OPERATOR, SCHEDULER};
use crate::day::{self, shelf};
use crate::env::env;
use crate::faults::{Fault, Planned};
use crate::links::{Damage, LATENCY_MAX, LATENCY_MIN, Links};
use crate::machine::Machine;
use crate::operator::{self, Window};
use crate::process::{Process, Role, Run};
use crate::rng::Rng;
use crate::stage::Stage;

/// One step of the simulation.
pub const TICK: Duration = Duration::from_millis(10);

/// The same in a day, which is long.
const DAY_TICK: Duration = Duration::from_millis(20);

/// A process that ended by itself is started again after this long.
const RESTART_MS: u64 = 2_000;

/// See the module.
pub struct World {
    /// Processes by the name of their host.
    pub processes: BTreeMap<&'static str, Arc<Process>>,
    /// What they share.
    pub stage: Stage,
    /// What the operator sees.
    pub window: Window,
    /// Time, ms since the run began.
    pub now_ms: u64,
    tick: Duration,
    sim: Sim<'static>,
    cast: Cast,
    links: Links,
    /// Hosts that a fault keeps down.
    down: BTreeSet<&'static str>,
    /// Machines without power.
    dark: BTreeSet<&'static str>,
    /// Since when a process that no fault keeps down does not run.
    ended: BTreeMap<&'static str, u64>,
}

impl World {
    /// A world in which everything has just been started.
    pub fn new(seed: u64, cast: &Cast) -> Self {
        let tick = if cast.day.is_some() { DAY_TICK } else { TICK };
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(seed)
            .epoch(UNIX_EPOCH)
            .tick_duration(tick)
            .simulation_duration(Duration::from_secs(86_400))
            .min_message_latency(LATENCY_MIN)
            .max_message_latency(LATENCY_MAX)
            .tcp_capacity(4096)
            .enable_random_order();
        let mut sim = builder.build();
        let (stage, window) = (Stage::default(), Window::default());
        let processes = processes(seed, cast, &stage);
        for (name, process) in &processes {
            let process = process.clone();
            sim.host(*name, move || process.clone().run());
        }
        if let Some(day) = &cast.day {
            shelf::fill(day, &processes, &stage).expect("there is nothing yet that could be in the way");
        }
        let (shown, shared, sectors, day) = (window.clone(), stage.clone(), cast.sectors, cast.day.clone());
        sim.client(OPERATOR, async move {
            let env = env(OPERATOR, &Machine::new(OPERATOR, seed), Rng::new(seed, OPERATOR, 0));
            match day {
                Some(day) => day::operator::run(env, day, shared).await,
                None => operator::run(env, sectors, shown, shared).await,
            }
            Ok(())
        });
        let (links, cast) = (Links::default(), cast.clone());
        let (down, dark, ended) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { processes, stage, window, now_ms: 0, tick, sim, cast, links, down, dark, ended }
    }

    /// One step; an error is a panic of a process, or of turmoil.
    pub fn step(&mut self) -> Result<(), String> {
        self.stage.watch.set_now(self.now_ms);
        self.sim.step().map_err(|error| format!("a process failed: {error}"))?;
        self.now_ms += self.tick.as_millis() as u64;
        self.restart_the_ended();
        Ok(())
    }

    /// Does this process run?
    pub fn runs(&mut self, host: &str) -> bool {
        self.sim.is_host_running(host)
    }

    /// Does every process run?
    pub fn all_run(&mut self) -> bool {
        let hosts: Vec<_> = self.processes.keys().copied().collect();
        hosts.into_iter().all(|host| self.sim.is_host_running(host))
    }

    /// A fault begins.
    pub fn begin(&mut self, fault: Fault) {
        self.stage.watch.note(format!("begins: {fault:?}"));
        match fault {
            Fault::Kill(host) => {
                self.down.insert(host);
                self.kill(host, Loss::Nothing);
            }
            Fault::Stop(host) => {
                self.down.insert(host);
                self.processes[host].ask_to_stop();
            }
            Fault::IndexLost => {
                self.down.insert(INDEX);
                self.kill(INDEX, Loss::Nothing);
                self.processes[INDEX].lose_state();
            }
            Fault::PowerCut(machine, loss) => self.cut_power(machine, loss),
            Fault::CutInCalls(host, calls, _) => self.processes[host].trouble.cut_after(calls),
            Fault::Partition(a, b) => self.links.damage(&mut self.sim, a, b, Damage::Cut),
            Fault::OneWay(a, b) => self.links.damage(&mut self.sim, a, b, Damage::OneWay),
            Fault::Stall(a, b) => self.links.damage(&mut self.sim, a, b, Damage::Stalled),
            Fault::Slow(a, b, ms) => self.links.damage(&mut self.sim, a, b, slow(ms)),
            Fault::Clock(machine, by_ms) => self.machine(machine).set_clock(by_ms),
            Fault::DiskFull(host) => self.processes[host].trouble.set_full(true),
            Fault::DiskSlow(machine, ms) => self.machine(machine).set_disk_delay(Some(ms)),
            Fault::SyncError(host) => self.processes[host].trouble.fail_next_sync(),
            Fault::ChainDown => self.stage.mood.set_chain_down(true),
            Fault::ChainForgetful => self.stage.mood.set_chain_forgetful(true),
            Fault::VerifierDown => self.stage.mood.set_verifier_down(true),
            Fault::VerifierSlow(ms) => self.stage.mood.set_verifier_ms(ms),
            Fault::Hangs(host) => self.stage.mood.set_hangs(host, true),
            Fault::Lies(host) => self.stage.mood.set_lies(host, true),
        }
    }

    /// A fault is over.
    pub fn end(&mut self, fault: Fault) {
        self.stage.watch.note(format!("ends: {fault:?}"));
        match fault {
            Fault::Kill(host) | Fault::Stop(host) => self.start(host),
            Fault::IndexLost => self.start(INDEX),
            Fault::PowerCut(machine, _) => self.boot(machine),
            Fault::CutInCalls(host, ..) => {
                // It may not have come to that.
                self.processes[host].trouble.mend_fuse();
                self.boot(self.processes[host].machine.name);
            }
            Fault::Partition(a, b) => self.links.mend(&mut self.sim, a, b, Damage::Cut),
            Fault::OneWay(a, b) => self.links.mend(&mut self.sim, a, b, Damage::OneWay),
            Fault::Stall(a, b) => self.links.mend(&mut self.sim, a, b, Damage::Stalled),
            Fault::Slow(a, b, ms) => self.links.mend(&mut self.sim, a, b, slow(ms)),
            Fault::Clock(..) => {}
            Fault::DiskFull(host) => self.processes[host].trouble.set_full(false),
            Fault::DiskSlow(machine, _) => self.machine(machine).set_disk_delay(None),
            Fault::SyncError(host) => self.processes[host].trouble.mend_sync(),
            Fault::ChainDown => self.stage.mood.set_chain_down(false),
            Fault::ChainForgetful => self.stage.mood.set_chain_forgetful(false),
            Fault::VerifierDown => self.stage.mood.set_verifier_down(false),
            Fault::VerifierSlow(_) => self.stage.mood.set_verifier_ms(0),
            Fault::Hangs(host) => self.stage.mood.set_hangs(host, false),
            Fault::Lies(host) => self.stage.mood.set_lies(host, false),
        }
    }

    /// Machines whose fuse has blown lose power, as the plan says of them.
    pub fn blow_fuses<'a>(&mut self, under_way: impl Iterator<Item = &'a Planned>) {
        for planned in under_way {
            let Fault::CutInCalls(host, _, loss) = planned.fault else { continue };
            let machine = self.processes[host].machine.name;
            if self.processes[host].trouble.is_cut() && !self.dark.contains(machine) {
                self.stage.watch.note(format!("{host} loses power between two calls"));
                self.cut_power(machine, loss);
            }
        }
    }

    /// The power goes everywhere, for good: what was acknowledged must be there.
    pub fn end_all(&mut self) {
        let machines: Vec<_> = self.cast.machines().iter().map(|(name, _)| *name).collect();
        for machine in machines.into_iter().filter(|name| !self.dark.contains(name)).collect::<Vec<_>>() {
            self.cut_power(machine, Loss::Unsynced);
        }
    }

    fn machine(&self, name: &str) -> Arc<Machine> {
        let on_it = self.processes.values().find(|process| process.machine.name == name);
        on_it.map(|process| process.machine.clone()).expect("faults name machines of the cast")
    }

    fn hosts_of(&self, machine: &str) -> Vec<&'static str> {
        self.processes.values().filter(|p| p.machine.name == machine).map(|p| p.name).collect()
    }

    fn others(&self, host: &str) -> Vec<&'static str> {
        self.processes.keys().copied().chain([OPERATOR]).filter(|name| *name != host).collect()
    }

    fn cut_power(&mut self, machine: &'static str, loss: Loss) {
        self.dark.insert(machine);
        for host in self.hosts_of(machine) {
            self.down.insert(host);
            // First the silence: a machine without power closes no connection.
            for other in self.others(host) {
                self.links.damage(&mut self.sim, host, other, Damage::Cut);
            }
            self.kill(host, loss);
        }
    }

    fn boot(&mut self, machine: &'static str) {
        if !self.dark.remove(machine) {
            return;
        }
        self.machine(machine).boot();
        for host in self.hosts_of(machine) {
            for other in self.others(host) {
                self.links.mend(&mut self.sim, host, other, Damage::Cut);
            }
            self.start(host);
        }
    }

    fn kill(&mut self, host: &'static str, loss: Loss) {
        let process = &self.processes[host];
        process.die();
        self.sim.crash(host);
        process.lose(loss);
    }

    fn start(&mut self, host: &'static str) {
        self.down.remove(host);
        self.ended.remove(host);
        if self.sim.is_host_running(host) {
            // It takes too long to stop.
            self.kill(host, Loss::Nothing);
        }
        self.sim.bounce(host);
    }

    /// What a service manager does.
    fn restart_the_ended(&mut self) {
        let hosts: Vec<_> = self.processes.keys().copied().filter(|host| !self.down.contains(host)).collect();
        for host in hosts {
            if self.sim.is_host_running(host) {
                continue;
            }
            let since = *self.ended.entry(host).or_insert(self.now_ms);
            if self.now_ms >= since + RESTART_MS {
                self.kill(host, Loss::Nothing);
                self.start(host);
            }
        }
    }
}

fn slow(ms: u64) -> Damage {
    Damage::Slow(Duration::from_millis(ms))
}

fn processes(seed: u64, cast: &Cast, stage: &Stage) -> BTreeMap<&'static str, Arc<Process>> {
    let machines: BTreeMap<_, _> = cast.machines().iter().map(|(name, _)| (*name, Machine::new(name, seed))).collect();
    let services =
        [(INDEX, INDEX, Role::Index), (SCHEDULER, SCHEDULER, Role::Scheduler(cast.sealing, cast.day.clone()))];
    let workers = cast.workers.iter();
    let workers = workers.map(|part| (part.name, part.machine, Role::Worker(part.clone(), cast.capacity.clone())));
    let all = services.into_iter().chain(workers);
    let run = Run { seed, is_relayed: cast.weather.messages, stage };
    all.map(|(name, machine, role)| (name, Process::new(name, &machines[machine], role, &run))).collect()
}
