//! Who plays in a day, drawn from its seed: provers, keepers that seal besides, and what is to be proven when.

use sp_types::{ResourceTable, TaskKind};

use super::{Day, Partition};
use crate::cast::{Cast, PATHS, Part, Sealing, Uses, Weather, capacity};
use crate::rng::Rng;

const WINDOW: [&str; 4] = ["window-a", "window-b", "window-c", "window-d"];
const WINNING: [&str; 2] = ["winning-a", "winning-b"];
const KEEPERS: [&str; 2] = ["keeper-a", "keeper-b"];

/// Machines of provers; keepers are on the first ones where they share them.
const MACHINES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
/// Those of keepers where they share none.
const APART: [&str; 2] = ["shelf-a", "shelf-b"];

/// Sectors of a partition of this size.
const ROOM: u64 = 2;

/// The parts of a day.
pub(super) fn of(seed: u64) -> Cast {
    let mut rng = Rng::new(seed, "day", 0);
    let capacity = capacity(&mut rng);
    let day = day(&mut rng);
    let shared = rng.percent(60);
    let mut workers = Vec::new();
    for (at, name) in day.window.iter().enumerate() {
        workers.push(part(name, MACHINES[at], vec![TaskKind::GenerateWindowPost]));
    }
    for (at, name) in day.winning.iter().enumerate() {
        workers.push(part(name, MACHINES[at], vec![TaskKind::GenerateWinningPost]));
    }
    for (at, name) in day.keepers.iter().enumerate() {
        workers.push(keeper(name, if shared { MACHINES[at] } else { APART[at] }));
    }
    let weather = Weather { messages: rng.percent(30) && !day.quiet, ..weather(!day.quiet) };
    let sealing = Sealing { release_key: false, make_available: false };
    Cast { workers, capacity, weather, sectors: 0, sealing, late: false, stormy: false, day: Some(day) }
}

/// Which faults there are is drawn fault by fault; the rest is for what needs a switch.
fn weather(bad: bool) -> Weather {
    Weather {
        kills: bad,
        power: bad,
        links: bad,
        disks: bad,
        clocks: bad,
        helpers: bad,
        messages: bad,
        operators: false,
        executors: bad,
    }
}

fn day(rng: &mut Rng) -> Day {
    let window = WINDOW[..rng.range(2, 5) as usize].to_vec();
    let winning = WINNING[..rng.range(1, 3) as usize].to_vec();
    let keepers = KEEPERS[..rng.range(1, 3) as usize].to_vec();
    let most = 1 + rng.range(0, window.len() as u64) as u32;
    let mut partitions = Vec::new();
    let mut sectors = 0..;
    for deadline in 1..=rng.range(4, 9) as u32 {
        for index in 0..rng.range(1, u64::from(most) + 1) as u32 {
            let numbers: Vec<u64> = sectors.by_ref().take(rng.range(1, ROOM + 1) as usize).collect();
            let sectors = numbers.into_iter().map(|number| (number, *rng.pick(&keepers))).collect();
            partitions.push(Partition { deadline, index, sectors });
        }
    }
    Day {
        epoch_ms: rng.range(800, 1_300),
        partitions,
        window,
        winning,
        keepers,
        win_one_in: if rng.percent(70) { 40 } else { 0 },
        pledges: rng.range(0, 4) as u32,
        quiet: rng.percent(5),
    }
}

fn part(name: &'static str, machine: &'static str, tasks: Vec<TaskKind>) -> Part {
    Part { name, machine, tasks, resources: ResourceTable::default(), paths: vec![] }
}

fn keeper(name: &'static str, machine: &'static str) -> Part {
    use TaskKind as T;
    let tasks =
        vec![T::AddPiece, T::PreCommit1, T::PreCommit2, T::Commit1, T::Commit2, T::Finalize, T::Unseal, T::Fetch];
    Part { paths: vec![Uses { name: PATHS[0], seals: true, stores: true }], ..part(name, machine, tasks) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_sectors_and_somebody_who_has_them() {
        for seed in 0..200 {
            let cast = of(seed);
            let day = cast.day.as_ref().expect("it is a day");
            let sectors: Vec<(u64, &str)> = day.partitions.iter().flat_map(|p| p.sectors.clone()).collect();
            assert!(sectors.iter().map(|(number, _)| *number).eq(0..sectors.len() as u64), "{day:?}");
            assert!(sectors.iter().all(|(_, keeper)| day.keepers.contains(keeper)), "{day:?}");
            assert!(day.partitions.iter().all(|p| (1..=ROOM as usize).contains(&p.sectors.len())), "{day:?}");
            let on_machines: usize = cast.machines().iter().map(|(_, hosts)| hosts.len()).sum();
            assert_eq!(on_machines, cast.hosts().len());
        }
    }
}
