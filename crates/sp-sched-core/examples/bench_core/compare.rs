//! Lotus's pass beside ours, for the same work: a wave of placements, and one task that ends while many wait.

use sp_types::{FileKind, TaskKind};

use crate::clock::{Cost, timed};
use crate::dice::Dice;
use crate::figures::{Line, Table};
use crate::fleet::{AT_ONCE, Site, large, large_fleet};
use crate::lotus::{Account, Files, Pass, Request, Window, Worker};
use crate::options::Options;
use crate::plan::{Planned, filling};
use crate::world::World;

/// Windows that a worker of Lotus keeps open.
const WINDOWS: usize = 2;

const FIVE: [TaskKind; 5] =
    [TaskKind::PreCommit1, TaskKind::PreCommit2, TaskKind::Commit1, TaskKind::Commit2, TaskKind::Finalize];

/// Measures and prints.
pub(crate) fn measure(options: &Options, table: &mut Table) {
    let (workers, tasks) = options.lotus;
    table.heading(&format!("Lotus's pass beside ours, {workers} workers, {tasks} tasks; time on the processor"));
    wave(options, table, workers, tasks);
    one_end(options, table, workers, tasks);
}

/// Everything is free and everything waits.
fn wave(options: &Options, table: &mut Table, workers: usize, tasks: usize) {
    let plan: Vec<Planned> = (0..tasks).map(|at| Planned::waiting(FIVE[at % 5], at / 5 % workers)).collect();
    let sites = large_fleet(workers);
    let theirs = Theirs::new(&sites, &plan);
    let mut away = World::new(sites, plan);
    away.register_all(|site| site.capacity.clone());
    let (mut ours_us, mut theirs_us, mut placed) = (vec![], vec![], (0, 0));
    for run in 0..options.runs {
        let mut world = away.clone();
        ours_us.push([world.connect_index(), world.let_it_end()].into_iter().sum::<Cost>().cpu_us());
        let mut windows = theirs.windows(0..workers);
        let (assigned, cost) = timed(|| theirs.pass(&mut windows, run));
        theirs_us.push(cost.cpu_us());
        placed = (world.placed, assigned);
    }
    show(table, &format!("all at once ({} and {} placed)", placed.0, placed.1), ours_us, theirs_us);
}

/// One machine in ten has GPUs and is full, the others are idle and cannot take what waits; one task ends.
fn one_end(options: &Options, table: &mut Table, workers: usize, tasks: usize) {
    let with_gpus = (workers / 10).max(1);
    let sites: Vec<Site> = (0..workers).map(|number| specialist(number, number < with_gpus)).collect();
    let mut plan: Vec<Planned> = filling(with_gpus);
    plan.retain(|p| sites[0].tasks.contains(&p.task));
    let running = plan.len();
    plan.extend((0..tasks).map(|at| Planned::waiting(TaskKind::Commit2, at % with_gpus)));
    let mut theirs = Theirs::new(&sites, &plan[running..]);
    theirs.fill(with_gpus);
    let mut world = World::full(sites, plan);
    let (mut ours_us, mut theirs_us) = (vec![], vec![]);
    for run in 0..options.runs {
        world.log.clear();
        world.finish(run % with_gpus, TaskKind::Commit2);
        world.settle();
        ours_us.push(world.log.iter().map(|(_, cost)| cost.cpu_us()).sum());
        // The machine on which it ended opens one window; the idle machines have theirs open all the time.
        let mut windows = theirs.windows(with_gpus..workers);
        windows.extend(theirs.windows(0..1).into_iter().take(1));
        let (_, cost) = timed(|| theirs.pass(&mut windows, run));
        theirs_us.push(cost.cpu_us());
    }
    show(table, "a C2 ends, the others wait for the same GPUs", ours_us, theirs_us);
}

/// A machine for PC2 and C2, or one for AP and PC1.
fn specialist(number: usize, gpus: bool) -> Site {
    let mut site = large(number);
    site.tasks = match gpus {
        true => vec![TaskKind::PreCommit2, TaskKind::Commit2],
        false => vec![TaskKind::AddPiece, TaskKind::PreCommit1],
    };
    site
}

fn show(table: &mut Table, what: &str, ours: Vec<f64>, theirs: Vec<f64>) {
    let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| theirs / ours).collect();
    table.show(Line::new(format!("ours, {what}"), "us", ours));
    table.show(Line::new(format!("Lotus's pass, {what}"), "us", theirs));
    table.show(Line::new(format!("Lotus's over ours, {what}"), "x", ratios));
}

/// The same cluster as Lotus would keep it.
struct Theirs {
    workers: Vec<Worker>,
    files: Files,
    requests: Vec<Request>,
}

impl Theirs {
    fn new(sites: &[Site], plan: &[Planned]) -> Self {
        let worker = |site: &Site| Worker {
            capacity: site.capacity.clone(),
            resources: site.resources.clone(),
            tasks: site.tasks.clone(),
            stores: vec![site.number],
            active: Account::default(),
        };
        let mut files = Files { sealing: sites.iter().map(|s| s.number).collect(), ..Files::default() };
        let mut requests = Vec::new();
        for (planned, sector) in plan.iter().zip(0u64..) {
            for kind in [FileKind::Unsealed, FileKind::Sealed, FileKind::Cache] {
                files.holders.insert((sector, kind), vec![planned.holder]);
            }
            requests.push(Request { kind: planned.task, sector, priority: 0 });
        }
        requests.sort_by_key(|r| (r.kind.order() >= 0, -r.priority, r.kind.order(), r.sector));
        Self { workers: sites.iter().map(worker).collect(), files, requests }
    }

    /// These workers run as much as their limits allow.
    fn fill(&mut self, workers: usize) {
        for worker in &mut self.workers[..workers] {
            for (kind, count) in AT_ONCE.into_iter().filter(|(kind, _)| worker.tasks.contains(kind)) {
                let row = worker.resources.row(kind, crate::fleet::SIZE);
                (0..count).for_each(|_| worker.active.add(kind, &row, &worker.capacity));
            }
        }
    }

    fn windows(&self, workers: std::ops::Range<usize>) -> Vec<Window> {
        let window = |worker| Window { worker, allocated: Account::default(), todo: Vec::new() };
        workers.flat_map(|worker| (0..WINDOWS).map(move |_| window(worker))).collect()
    }

    fn pass(&self, windows: &mut [Window], run: usize) -> usize {
        let dice = Dice::new(run as u64 + 1);
        Pass { workers: &self.workers, files: &self.files, requests: &self.requests, dice }.run(windows)
    }
}
