//! How well the core packs: random small cases against the best of all ways to start their tasks at once.

use sp_types::{HostCapacity, ResourceTable, TaskKind};

use crate::brute::{Item, best};
use crate::dice::Dice;
use crate::figures::{Line, Promise, Table, mean, percentile};
use crate::fleet::{SIZE, Site, TASKS, gpus};
use crate::options::Options;
use crate::plan::Planned;
use crate::world::World;

/// The promise: what is started, over the best, on average.
const OF_THE_BEST: f64 = 0.9;

const GIB: u64 = 1 << 30;

/// How the worth of starting a task is judged.
#[derive(Debug, Clone, Copy)]
enum Worth {
    /// The largest part of an average host that it puts to use: cores, memory or GPUs.
    Use,
    /// Cores, times the seconds for which they are busy.
    CoreSeconds,
    /// Every task counts one.
    Count,
}

/// One random case.
struct Case {
    sites: Vec<Site>,
    plan: Vec<Planned>,
}

/// Measures and prints.
pub(crate) fn measure(options: &Options, table: &mut Table) {
    table.heading(&format!(
        "packing, {} random cases of 1 to 3 hosts and 1 to 8 tasks of which not all fit, against the best",
        options.cases
    ));
    let mut dice = Dice::new(41);
    let contended = std::iter::repeat_with(|| Case::random(&mut dice)).filter(Case::is_contended);
    let cases: Vec<Case> = contended.take(options.cases).collect();
    let started: Vec<Vec<u64>> = cases.iter().map(Case::start).collect();
    for (worth, name) in
        [(Worth::Use, "use of the hosts"), (Worth::CoreSeconds, "core-seconds"), (Worth::Count, "number of tasks")]
    {
        let ratios = cases.iter().zip(&started).filter_map(|(case, started)| case.ratio(started, worth));
        show(table, name, matches!(worth, Worth::Use), ratios.collect());
    }
}

fn show(table: &mut Table, name: &str, promised: bool, mut ratios: Vec<f64>) {
    let line = Line::new(format!("{name}: mean of ours over the best"), "x", vec![mean(&ratios)]);
    table.show(if promised { line.promised(Promise::AtLeast(OF_THE_BEST)) } else { line });
    table.show(Line::new(format!("{name}: worst"), "x", vec![percentile(&mut ratios, 0.0)]));
    let below = |limit: f64| ratios.iter().filter(|r| **r < limit - 1e-9).count();
    let (all, mut last, mut parts) = (ratios.len(), 0, Vec::new());
    for limit in [0.5, 0.6, 0.7, 0.8, 0.9, 1.0] {
        parts.push(format!("{} below {limit}", below(limit) - last));
        last = below(limit);
    }
    println!("    {}, {} at the best, of {all} cases", parts.join(", "), all - last);
}

impl Case {
    fn random(dice: &mut Dice) -> Self {
        let hosts = 1 + dice.below(3);
        let sites: Vec<Site> = (0..hosts).map(|number| random_site(number, dice)).collect();
        let planned = |dice: &mut Dice| Planned::waiting(dice.pick(&TASKS), dice.below(hosts));
        let plan = (0..1 + dice.below(8)).map(|_| planned(dice)).collect();
        Self { sites, plan }
    }

    /// Not everything fits: else there is nothing to choose.
    fn is_contended(&self) -> bool {
        self.best(&self.items(Worth::Count)) < self.plan.len() as f64
    }

    /// Sectors whose tasks the core has started once everything is there.
    fn start(&self) -> Vec<u64> {
        let mut world = World::new(self.sites.clone(), self.plan.clone());
        world.register_all(|site| site.capacity.clone());
        world.connect_index();
        world.settle();
        world.computing().map(|assignment| assignment.sector).collect()
    }

    /// What was started over the best; none when nothing can be started.
    fn ratio(&self, started: &[u64], worth: Worth) -> Option<f64> {
        let items = self.items(worth);
        let best = self.best(&items);
        let ours: f64 = started.iter().map(|sector| items[*sector as usize].worth).sum();
        assert!(ours <= best + 1e-6, "more was started than fits: {ours} of {best}, {:?}", self.plan);
        (best > 0.0).then(|| ours / best)
    }

    fn hosts(&self) -> Vec<HostCapacity> {
        self.sites.iter().map(|s| s.capacity.clone()).collect()
    }

    fn items(&self, worth: Worth) -> Vec<Item> {
        let hosts = self.hosts();
        self.plan.iter().map(|planned| self.item(planned, &hosts, worth)).collect()
    }

    fn best(&self, items: &[Item]) -> f64 {
        best(items, &self.hosts())
    }

    fn item(&self, planned: &Planned, hosts: &[HostCapacity], worth: Worth) -> Item {
        let kind = planned.task;
        let row = ResourceTable::default().row(kind, SIZE);
        // C1 and FIN run where their files lie, everything else anywhere.
        let stays = matches!(kind, TaskKind::Commit1 | TaskKind::Finalize);
        let hosts_of = if stays { vec![planned.holder] } else { (0..hosts.len()).collect() };
        let average = |of: &dyn Fn(&HostCapacity) -> f64| hosts.iter().map(of).sum::<f64>() / hosts.len() as f64;
        let (cpus, gpus) = (average(&|h| f64::from(h.cpus)), average(&|h| h.gpus.len() as f64));
        let memory = average(&|h| h.memory_bytes as f64);
        let threads = f64::from(row.threads(cpus as u32, gpus.ceil() as usize));
        let worth = match worth {
            Worth::Count => 1.0,
            Worth::CoreSeconds => threads.max(1.0) * seconds(kind),
            Worth::Use => {
                let of_gpus = if gpus > 0.0 { row.gpu_utilization / gpus } else { 0.0 };
                (threads / cpus).max(row.min_memory_bytes as f64 / memory).max(of_gpus)
            }
        };
        Item { kind, row, hosts: hosts_of, worth }
    }
}

/// Hosts on which these tasks compete: for cores, for memory, for GPUs.
fn random_site(number: usize, dice: &mut Dice) -> Site {
    let capacity = HostCapacity {
        cpus: dice.pick(&[8, 16, 32, 64]),
        memory_bytes: dice.pick(&[64, 128, 256, 512]) * GIB,
        swap_bytes: dice.pick(&[0, 64, 256]) * GIB,
        gpus: gpus(dice.below(3)),
        gpus_usable: true,
        ..HostCapacity::default()
    };
    Site { number, capacity, resources: ResourceTable::default(), tasks: TASKS.to_vec() }
}

/// About how long a task takes on common hardware.
fn seconds(kind: TaskKind) -> f64 {
    match kind {
        TaskKind::AddPiece => 300.0,
        TaskKind::PreCommit1 => 4.0 * 3_600.0,
        TaskKind::PreCommit2 => 1_200.0,
        TaskKind::Commit1 => 30.0,
        TaskKind::Commit2 => 1_500.0,
        _ => 60.0,
    }
}
