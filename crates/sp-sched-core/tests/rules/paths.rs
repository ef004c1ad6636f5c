//! What the lists of a path mean for placement: groups, and which miners' files it takes.

use sp_sched_core::event::{Event, StoreFact};
use sp_types::SectorState::{Packing, PreCommit2};
use sp_types::{Filters, ReplicaId, ResourceTable, SectorId, TaskKind};

use crate::desk::{Desk, lotus_machine, store};

const PC1: TaskKind = TaskKind::PreCommit1;
const PC2: TaskKind = TaskKind::PreCommit2;

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

/// Lotus's example. Workers 1 and 2 do PC1 and PC2, and each keeps what it makes in a group of its own; worker 3 does
/// PC1 only, and lets the group of worker 1 have what it makes. The sectors wait for PC2: 0 and 3 were made by worker 3,
/// 1 by worker 1 and 2 by worker 2. One PC2 takes all cores.
fn lotus_groups() -> Desk {
    let mut desk = Desk::new(|c| c.pc2_backlog = 100, &[PreCommit2; 4]);
    let one_at_a_time = [("PC2_32G_MAX_PARALLELISM".to_owned(), "32".to_owned())];
    let table = ResourceTable::with_env(one_at_a_time).unwrap();
    for (name, tasks) in [("w1", [PC1, PC2].as_slice()), ("w2", &[PC1, PC2]), ("w3", &[PC1])] {
        desk.join_with(name, tasks, lotus_machine(), table.clone(), |_| {});
    }
    desk.step(Event::IndexSnapshotBegin);
    let grouped = |groups: &[&str], allow_to: &[&str]| {
        let (groups, allow_to) = (list(groups), list(allow_to));
        move |fact: &mut StoreFact| (fact.groups, fact.allow_to) = (groups, allow_to)
    };
    desk.attach_with("w1", "w1", grouped(&["g1"], &["g1"]));
    desk.attach_with("w2", "w2", grouped(&["g2"], &["g2"]));
    desk.attach_with("w3", "w3", grouped(&[], &["g1"]));
    for (number, name) in [(0, "w3"), (1, "w1"), (2, "w2"), (3, "w3")] {
        for file in desk.core.sector(number).unwrap().files.clone() {
            let sector = SectorId { miner: 1000, number };
            desk.appears(ReplicaId { sector, kind: file.kind, store: store(name), root: file.root }, file.size_bytes);
        }
    }
    desk.step(Event::IndexSnapshotEnd);
    desk
}

#[test]
fn lotus_group_example() {
    let mut desk = lotus_groups();
    let mut where_it_ran = vec![];
    for _ in 0..4 {
        for line in desk.news() {
            let (task, worker) = line.rsplit_once(" on ").unwrap();
            if let Some(number) = task.strip_prefix("PC2 ") {
                where_it_ran.push((number.parse::<u64>().unwrap(), worker.to_owned()));
                desk.finish(PC2, where_it_ran.last().unwrap().0, 0, 1);
            }
        }
    }
    where_it_ran.sort();
    let at = |number: u64, worker: &str| (number, worker.to_owned());
    assert_eq!(where_it_ran, [at(0, "w1"), at(1, "w1"), at(2, "w2"), at(3, "w1")]);
}

#[test]
fn a_worker_without_the_group_is_told_so() {
    let mut desk = lotus_groups();
    // Worker 1 leaves: worker 2 is free, and must not take what worker 3 has made.
    desk.finish(PC2, 2, 0, 1);
    desk.step(Event::StoreGone(store("w1")));
    desk.attach_with("w2", "w2", |fact| (fact.groups, fact.allow_to) = (list(&["g2"]), list(&["g2"])));
    desk.news();
    desk.pass(120_000, &["w2", "w3"]);
    assert_eq!(desk.news(), Vec::<String>::new());
    let why = desk.why(3);
    assert!(why.contains("sealed, cache may be fetched to paths of the groups g1 only (AllowTo)"), "{why}");
    // Once its path is in that group it may.
    desk.attach_with("w2", "w2", |fact| (fact.groups, fact.allow_to) = (list(&["g2", "g1"]), list(&["g2"])));
    desk.pass(120_000, &["w2", "w3"]);
    assert_eq!(desk.news().len(), 1);
}

#[test]
fn a_path_that_takes_other_miners_only_is_never_asked() {
    let mut desk = Desk::new(|_| {}, &[Packing]);
    desk.join_with("a", &[TaskKind::AddPiece], lotus_machine(), ResourceTable::default(), |r| {
        r.stores.push(store("theirs"));
    });
    desk.step(Event::IndexSnapshotBegin);
    let theirs = Filters { allow_miners: list(&["t02000"]), ..Filters::default() };
    // It would be the better one by far.
    desk.attach_with("a", "theirs", |fact| (fact.weight, fact.filters) = (1_000, theirs.clone()));
    desk.step(Event::IndexSnapshotEnd);
    assert_eq!(desk.news(), Vec::<String>::new());
    assert!(desk.why(0).contains("no healthy store that takes unsealed"), "{}", desk.why(0));
    desk.attach_with("a", "a", |_| {});
    assert_eq!(desk.news(), ["AP 0 on a"]);
    let attempt = desk.attempt(TaskKind::AddPiece, 0);
    assert_eq!(desk.given[&attempt].1.outputs[0].store, store("a"));
}
