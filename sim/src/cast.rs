//! Who plays in a run, drawn from its seed: workers, what they do and have, which trouble there may be.

use sp_types::{GpuDevice, GpuId, HostCapacity, ResourceTable, SectorSize, TaskKind};

use crate::day::Day;
use crate::rng::Rng;

/// Hosts of the simulated network, each with one process.
pub const INDEX: &str = "index";
/// The scheduler's host.
pub const SCHEDULER: &str = "scheduler";
/// The operator's host; nothing ever happens to it.
pub const OPERATOR: &str = "operator";

/// Machines that workers run on; the second one may have two.
const MACHINES: [&str; 2] = ["alpha", "beta"];

/// Directories of the paths that a worker may have.
pub const PATHS: [&str; 2] = ["storage", "shelf"];

/// A worker.
#[derive(Debug, Clone)]
pub struct Part {
    /// Name of worker and host.
    pub name: &'static str,
    /// Its machine.
    pub machine: &'static str,
    /// What it does.
    pub tasks: Vec<TaskKind>,
    /// Its rows.
    pub resources: ResourceTable,
    /// Its paths.
    pub paths: Vec<Uses>,
}

/// A path of a worker, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// Its directory, one of [`PATHS`].
    pub name: &'static str,
    /// Sectors are made on it.
    pub seals: bool,
    /// Finished ones stay on it.
    pub stores: bool,
}

/// Kinds of trouble that a run may have. Runs that have only some of them reach states that runs with all do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Processes are killed and stopped.
    pub kills: bool,
    /// Machines lose power, also between two calls of a disk.
    pub power: bool,
    /// Links break, stall and slow down.
    pub links: bool,
    /// Disks are full, slow, or fail.
    pub disks: bool,
    /// Clocks are set.
    pub clocks: bool,
    /// The chain and the verifier are down, slow, or forgetful.
    pub helpers: bool,
    /// Messages come twice, late, and from old sessions.
    pub messages: bool,
    /// Operators abort, pledge, release and unseal.
    pub operators: bool,
    /// Executors die and lie.
    pub executors: bool,
}

/// Settings of the scheduler that decide what becomes of a sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// The replica before an update is let go of.
    pub release_key: bool,
    /// A sealed CC sector may be updated at once.
    pub make_available: bool,
}

/// A run's parts.
#[derive(Debug, Clone)]
pub struct Cast {
    /// Workers.
    pub workers: Vec<Part>,
    /// What each worker's machine has.
    pub capacity: HostCapacity,
    /// Trouble.
    pub weather: Weather,
    /// Sectors that the operator wants at least.
    pub sectors: usize,
    /// What becomes of sectors.
    pub sealing: Sealing,
    /// Faults come later, when sectors are being updated.
    pub late: bool,
    /// Trouble never ends; nothing need finish, and nothing may go wrong.
    pub stormy: bool,
    /// What there is of a proving day, if it is one.
    pub day: Option<Day>,
}

impl Cast {
    /// The parts of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed, "cast", 0);
        let capacity = capacity(&mut rng);
        let workers = workers(&mut rng, rng_split(seed));
        let weather = weather(&mut rng);
        let (sectors, stormy) = (rng.range(2, 5) as usize, rng.percent(20));
        let sealing = Sealing { release_key: rng.percent(50), make_available: rng.percent(30) };
        let late = weather.operators && rng.percent(40);
        let mut cast = Self { workers, capacity, weather, sectors, sealing, late, stormy, day: None };
        if rng.percent(30) {
            cast.store_apart();
        } else if rng.percent(40) {
            cast.store_beside();
        }
        cast
    }

    /// Finished sectors have to leave the paths that they are made on.
    fn store_apart(&mut self) {
        self.seal_only();
        let resources = ResourceTable::default();
        let paths = vec![Uses { name: PATHS[0], seals: false, stores: true }];
        self.workers.push(Part { name: "shelf", machine: MACHINES[0], tasks: vec![TaskKind::Fetch], resources, paths });
    }

    /// They go to another path of the same worker, or of another one.
    fn store_beside(&mut self) {
        self.seal_only();
        let beside = Uses { name: PATHS[1], seals: false, stores: true };
        self.workers.iter_mut().for_each(|worker| worker.paths.push(beside));
    }

    fn seal_only(&mut self) {
        self.workers.iter_mut().flat_map(|worker| &mut worker.paths).for_each(|path| path.stores = false);
    }

    /// Hosts with a process that may be lost.
    pub fn hosts(&self) -> Vec<&'static str> {
        [INDEX, SCHEDULER].into_iter().chain(self.workers.iter().map(|worker| worker.name)).collect()
    }

    /// Machines with the hosts on them. Index and scheduler have one each, of their own name.
    pub fn machines(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let on = |machine| self.workers.iter().filter(|w| w.machine == machine).map(|w| w.name).collect();
        let mut machines: Vec<_> = self.workers.iter().map(|worker| worker.machine).collect();
        machines.sort_unstable();
        machines.dedup();
        let workers = machines.into_iter().map(|machine| (machine, on(machine)));
        [(INDEX, vec![INDEX]), (SCHEDULER, vec![SCHEDULER])].into_iter().chain(workers).collect()
    }
}

/// In one run of two the workers share the phases, so that data must move.
fn rng_split(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

fn workers(rng: &mut Rng, split: bool) -> Vec<Part> {
    use TaskKind as T;
    let seals = [T::AddPiece, T::PreCommit1, T::PreCommit2, T::Commit1, T::Commit2, T::Finalize, T::Unseal];
    let snaps =
        [T::ReplicaUpdate, T::ProveReplicaUpdate1, T::ProveReplicaUpdate2, T::FinalizeReplicaUpdate, T::RegenSectorKey];
    let all = [seals.as_slice(), &snaps].concat();
    let (a, b) = if split { (all[..2].to_vec(), all[2..].to_vec()) } else { (all.clone(), all.clone()) };
    let paths = vec![Uses { name: PATHS[0], seals: true, stores: true }];
    let mut resources = ResourceTable::default();
    if rng.percent(30) {
        let (kind, size) = (*rng.pick(&all), SectorSize::KiB2);
        let row = resources.row(kind, size);
        resources.set(kind, size, sp_types::ResourceRow { max_concurrent: 1, ..row });
    }
    let part = |name, machine, tasks| Part { name, machine, tasks, resources: resources.clone(), paths: paths.clone() };
    let mut workers = vec![part("worker-a", MACHINES[0], a), part("worker-b", MACHINES[1], b)];
    if rng.percent(40) {
        let tasks = if rng.percent(50) { all } else { workers[1].tasks.clone() };
        workers.push(part("worker-c", MACHINES[1], tasks));
    }
    // As every sealing worker does.
    workers.iter_mut().for_each(|worker| worker.tasks.push(T::Fetch));
    workers
}

/// Little enough that tasks wait for each other in some runs; enough for the largest one in all.
pub(crate) fn capacity(rng: &mut Rng) -> HostCapacity {
    let gpus = if rng.percent(50) { vec![gpu()] } else { vec![] };
    let memory_bytes = if rng.percent(30) { 3 << 20 } else { 64 << 30 };
    HostCapacity { memory_bytes, cpus: rng.range(2, 9) as u32, gpus, gpus_usable: true, ..HostCapacity::default() }
}

/// A device that tasks are given shares of.
fn gpu() -> GpuDevice {
    GpuDevice {
        id: GpuId::new("GPU-0").expect("made of allowed characters"),
        name: "gpu".to_owned(),
        index: 0,
        memory_bytes: 24 << 30,
        memory_used_bytes: 0,
        healthy: true,
    }
}

fn weather(rng: &mut Rng) -> Weather {
    let mut often = |percent| rng.percent(percent);
    Weather {
        kills: often(80),
        power: often(70),
        links: often(80),
        disks: often(60),
        clocks: often(50),
        helpers: often(60),
        messages: often(40),
        operators: often(60),
        executors: often(80),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_does_every_task_and_machines_hold_all_workers() {
        for seed in 0..200 {
            let cast = Cast::of(seed);
            for kind in [TaskKind::AddPiece, TaskKind::PreCommit2, TaskKind::Unseal] {
                assert!(cast.workers.iter().any(|w| w.tasks.contains(&kind)), "{cast:?}");
            }
            let on_machines: usize = cast.machines().iter().map(|(_, hosts)| hosts.len()).sum();
            assert_eq!(on_machines, cast.hosts().len());
        }
    }
}
