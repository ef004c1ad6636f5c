//! GPUs: every task gets its devices, shares are counted device by device, and what is lost frees nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sp_sched_core::event::Request;
use sp_sched_core::model::UnixMs;
use sp_types::SectorState::{PreCommit2, Proving};
use sp_types::{
    DeadlineIndex, GpuDevice, GpuId, HostCapacity, HostId, Randomness, ResourceTable, TaskKind, WorkerLimits,
};

use crate::desk::{Desk, GIB};

const PC2: TaskKind = TaskKind::PreCommit2;
const WDP: TaskKind = TaskKind::GenerateWindowPost;

fn table(vars: &[(&str, &str)]) -> ResourceTable {
    ResourceTable::with_env(vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))).unwrap()
}

fn id(index: u32) -> GpuId {
    GpuId::new(format!("GPU-{index}")).unwrap()
}

/// Room for everything, and so many GPUs; those named do not answer.
fn machine(gpus: u32, lost: &[u32]) -> HostCapacity {
    let gpu = |index| GpuDevice {
        id: id(index),
        name: "NVIDIA H100".into(),
        index,
        memory_bytes: 80 * GIB,
        memory_used_bytes: 0,
        healthy: !lost.contains(&index),
    };
    let (memory_bytes, gpus) = (4_096 * GIB, (0..gpus).map(gpu).collect());
    HostCapacity { memory_bytes, cpus: 512, gpus, gpus_usable: true, ..HostCapacity::default() }
}

/// So many sectors wait for PC2 with worker `a`, which has these GPUs; a task takes this part of one.
fn desk(sectors: usize, share: &str, capacity: HostCapacity) -> Desk {
    let mut desk = Desk::new(|c| c.pc2_backlog = 1_000, &vec![PreCommit2; sectors]);
    desk.join_with(
        "a",
        &[PC2],
        capacity,
        table(&[("PC2_GPU_UTILIZATION", share), ("PC2_MAX_PARALLELISM", "1")]),
        |_| {},
    );
    let holders: Vec<(u64, &str)> = (0..sectors as u64).map(|n| (n, "a")).collect();
    desk.index(&["a"], &holders);
    desk
}

/// Sector and devices of everything that computes: `3:0` or `3:0,1`.
fn given(desk: &Desk) -> Vec<String> {
    let computing = desk.given.values().filter(|(_, a)| !a.hold || !a.gpus.is_empty());
    let mut all: Vec<String> = computing
        .map(|(_, a)| {
            let devices: Vec<String> = a.gpus.iter().map(|gpu| gpu.index.to_string()).collect();
            format!("{}:{}", a.sector, devices.join(","))
        })
        .collect();
    all.sort();
    all
}

fn log(desk: &Desk, sector: u64) -> Vec<String> {
    desk.core.sector(sector).unwrap().log.iter().map(|e| format!("{}: {}", e.event, e.message)).collect()
}

#[test]
fn each_task_gets_a_device_of_its_own_and_the_full_ones_are_named() {
    let mut desk = desk(3, "1", machine(2, &[]));
    assert_eq!(given(&desk), ["0:0", "1:1"]);
    let why = desk.why(2);
    assert!(why.contains("needs 1.00 GPU, 0.00 of 2 free"), "{why}");
    assert!(why.contains("GPU 0 (GPU-0) is full (PC2 of sector 0, task 1: 1.00)"), "{why}");
    assert!(why.contains("GPU 1 (GPU-1) is full (PC2 of sector 1, task 2: 1.00)"), "{why}");
    let view = desk.core.workers(UnixMs(desk.now)).remove(0);
    assert_eq!((view.gpus_used, view.gpus_in_use), (2.0, vec![id(0), id(1)]));
    desk.finish(PC2, 1, 0, 1);
    assert_eq!(given(&desk), ["0:0", "2:1"]);
    desk.finish(PC2, 0, 0, 1);
    desk.finish(PC2, 2, 0, 1);
    let view = desk.core.workers(UnixMs(desk.now)).remove(0);
    assert_eq!((view.gpus_used, view.gpus_in_use), (0.0, vec![]));
}

#[test]
fn shares_of_two_devices_do_not_add_up_to_one() {
    // 0.4 is free on each: 0.8 in all, and no device for 0.6.
    let mut first = desk(3, "0.6", machine(2, &[]));
    assert_eq!(given(&first), ["0:0", "1:1"]);
    let why = first.why(2);
    assert!(why.contains("needs 0.60 GPU, 0.80 of 2 free: GPU 0 (GPU-0) has 0.40 free"), "{why}");
    first.finish(PC2, 0, 0, 1);
    assert_eq!(given(&first), ["1:1", "2:0"]);
    // Halves share a device before they open another one.
    assert_eq!(given(&desk(3, "0.5", machine(4, &[]))), ["0:0", "1:0", "2:1"]);
    // A task may want several, and the last one in part.
    assert_eq!(given(&desk(3, "1.5", machine(4, &[]))), ["0:0,1", "1:0,2"]);
}

#[test]
fn what_is_given_away_is_what_counts_not_what_answers() {
    let mut desk = desk(3, "1", machine(2, &[]));
    assert_eq!(given(&desk), ["0:0", "1:1"]);
    desk.finish(PC2, 1, 0, 1);
    assert_eq!(given(&desk), ["0:0", "2:1"]);
    desk.finish(PC2, 2, 0, 1);
    // Device 0 goes while sector 0 computes on it: that frees nothing, and takes nothing from device 1.
    desk.beat("a", machine(2, &[0]));
    assert_eq!(log(&desk, 0).last().unwrap(), "PC2 GPU lost: GPU 0 (GPU-0) does not answer any more");
    assert!(desk.why(0).contains("GPU 0 (GPU-0) does not answer"), "{}", desk.why(0));
    desk.beat("a", machine(2, &[]));
    assert_eq!(log(&desk, 0).last().unwrap(), "PC2 GPU back: GPU 0 (GPU-0) answers again");
    let entries = log(&desk, 0).len();
    desk.beat("a", machine(2, &[]));
    assert_eq!(log(&desk, 0).len(), entries, "said once");
}

#[test]
fn a_device_that_goes_and_comes_back_is_as_full_as_it_was() {
    let mut desk = desk(5, "1", machine(2, &[]));
    // Gone as unhealthy, gone from the list, and back: nothing more starts, however often it is seen.
    for seen in [machine(2, &[0]), machine(2, &[0]), machine(2, &[]), machine(2, &[]), machine(2, &[0, 1])] {
        desk.beat("a", seen);
        assert_eq!(given(&desk), ["0:0", "1:1"]);
    }
    let mut one = machine(2, &[]);
    one.gpus.remove(0);
    desk.beat("a", one.clone());
    // The task on the device that is gone ends: nothing is free where nothing is.
    desk.finish(PC2, 0, 0, 1);
    assert_eq!(given(&desk), ["1:1"]);
    assert!(desk.why(2).contains("needs 1.00 GPU, 0.00 of 1 free"), "{}", desk.why(2));
    desk.beat("a", machine(2, &[]));
    assert_eq!(given(&desk), ["1:1", "2:0"]);
    desk.beat("a", one);
    desk.finish(PC2, 1, 0, 1);
    assert_eq!(given(&desk), ["2:0", "3:1"], "device 1 is free though device 0 is lost and full");
    desk.beat("a", machine(2, &[]));
    assert_eq!(given(&desk), ["2:0", "3:1"]);
}

#[test]
fn a_worker_that_has_lost_all_its_gpus_does_not_fall_back_to_its_cores() {
    let mut desk = desk(2, "1", machine(1, &[]));
    desk.beat("a", machine(1, &[0]));
    desk.finish(PC2, 0, 0, 1);
    assert!(given(&desk).is_empty());
    assert!(desk.why(1).contains("needs 1.00 GPU, and none of its GPUs answers"), "{}", desk.why(1));
    desk.beat("a", machine(1, &[]));
    assert_eq!(given(&desk), ["1:0"]);
}

#[test]
fn a_host_without_gpus_computes_on_its_cores() {
    assert_eq!(given(&desk(2, "1", machine(0, &[]))), ["0:", "1:"]);
    // Devices that no executor computes on are not given away.
    assert_eq!(given(&desk(2, "1", HostCapacity { gpus_usable: false, ..machine(1, &[]) })), ["0:", "1:"]);
}

#[test]
fn workers_of_one_host_share_its_devices_and_each_keeps_to_its_own() {
    let mut desk = Desk::new(|c| c.pc2_backlog = 1_000, &[PreCommit2; 5]);
    let same = HostId::new("machine-boot").unwrap();
    for (name, gpus) in [("a", vec![id(0), id(1)]), ("b", vec![id(1), id(2)])] {
        desk.join_with(name, &[PC2], machine(3, &[]), table(&[("PC2_GPU_UTILIZATION", "1")]), |r| {
            r.host = same.clone();
            r.limits = WorkerLimits { gpus: Some(gpus), ..WorkerLimits::default() };
        });
    }
    let holders: Vec<(u64, &str)> = (0..5).map(|n| (n, if n % 2 == 0 { "a" } else { "b" })).collect();
    desk.index(&["a", "b"], &holders);
    let mut used: BTreeMap<GpuId, f64> = BTreeMap::new();
    for (worker, assignment) in desk.given.values() {
        let gpu = &assignment.gpus[0];
        *used.entry(gpu.id.clone()).or_default() += gpu.share;
        assert!(gpu.index != if worker.as_str() == "a" { 2 } else { 0 }, "{worker} was given {gpu}");
    }
    assert_eq!(used, BTreeMap::from([(id(0), 1.0), (id(1), 1.0), (id(2), 1.0)]));
}

#[test]
fn a_held_attempt_gets_its_device_when_it_may_compute() {
    let mut desk = Desk::new(|c| c.pc2_backlog = 1_000, &[PreCommit2; 2]);
    desk.join_with("a", &[PC2], machine(1, &[]), table(&[("PC2_GPU_UTILIZATION", "1")]), |_| {});
    desk.join("b", &[TaskKind::PreCommit1], machine(0, &[]));
    desk.index(&["a", "b"], &[(0, "a"), (1, "b")]);
    let held = desk.attempt(PC2, 1);
    assert!(desk.given[&held].1.hold && desk.given[&held].1.gpus.is_empty());
    desk.finish(PC2, 0, 0, 1);
    assert_eq!(desk.given[&held].1.gpus[0].id, id(0));
}

#[test]
fn devices_survive_a_restart_of_the_scheduler() {
    let mut desk = desk(3, "1", machine(2, &[]));
    let held: Vec<_> = desk.given.keys().copied().collect();
    desk.restart();
    desk.join_with("a", &[PC2], machine(2, &[]), table(&[("PC2_GPU_UTILIZATION", "1")]), |r| r.held = held);
    desk.index(&["a"], &[(0, "a"), (1, "a"), (2, "a")]);
    assert_eq!(given(&desk), ["0:0", "1:1"]);
    desk.finish(PC2, 0, 0, 1);
    assert_eq!(given(&desk), ["1:1", "2:0"]);
}

#[test]
fn a_worker_that_comes_back_without_a_device_starts_its_task_anew_without_blame() {
    let mut desk = desk(1, "1", machine(2, &[]));
    let held: Vec<_> = desk.given.keys().copied().collect();
    let mut one = machine(2, &[]);
    one.gpus.remove(0);
    desk.join_with("a", &[PC2], one, table(&[("PC2_GPU_UTILIZATION", "1")]), |r| {
        r.session = sp_types::SessionId::new("two").unwrap();
        r.held = held;
    });
    assert_eq!(given(&desk), ["0:1"]);
    let log = log(&desk, 0);
    assert!(log.iter().any(|l| l == "PC2 lost: its worker restarted without GPU 0 (GPU-0)"), "{log:?}");
    assert_eq!(desk.core.sector(0).unwrap().failures, 0);
}

// === proving ===

#[test]
fn proofs_get_devices_of_their_own_and_never_wait_for_sealing() {
    let states = [[Proving; 2].as_slice(), &[PreCommit2; 3]].concat();
    let mut desk = Desk::proving(|c| c.pc2_backlog = 1_000, &states, &[(0, 0, 0), (1, 0, 1)]);
    let (same, whole) = (HostId::new("machine-boot").unwrap(), table(&[("PC2_GPU_UTILIZATION", "1")]));
    desk.join_with("a", &[PC2], machine(2, &[]), whole, |r| r.host = same.clone());
    for name in ["w", "x"] {
        desk.join_with(name, &[WDP], machine(2, &[]), ResourceTable::default(), |r| {
            r.host = same.clone();
            r.stores = vec![];
        });
    }
    desk.index(&["a"], &[(0, "a"), (1, "a"), (2, "a"), (3, "a"), (4, "a")]);
    assert_eq!(given(&desk), ["2:0", "3:1"]);
    desk.ask_later(Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness: Randomness::new([3; 32]) });
    // Both devices are full of sealing; each proof gets one all the same, and not the same one.
    assert_eq!(given(&desk), ["0:0", "1:1", "2:0", "3:1"]);
    desk.finish(PC2, 2, 0, 1);
    assert_eq!(given(&desk), ["0:0", "1:1", "3:1"], "the proof on device 0 keeps it");
}

#[test]
fn a_proof_that_is_with_the_verifier_keeps_no_device() {
    let mut desk = Desk::proving(|c| c.pc2_backlog = 1_000, &[Proving, PreCommit2], &[(0, 0, 0)]);
    let (same, whole) = (HostId::new("machine-boot").unwrap(), table(&[("PC2_GPU_UTILIZATION", "1")]));
    desk.join_with("w", &[WDP], machine(1, &[]), ResourceTable::default(), |r| {
        r.host = same.clone();
        r.stores = vec![];
    });
    desk.ask_later(Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness: Randomness::new([3; 32]) });
    desk.join_with("a", &[PC2], machine(1, &[]), whole, |r| r.host = same.clone());
    desk.index(&["a"], &[(0, "a"), (1, "a")]);
    assert_eq!(given(&desk), ["0:0"], "sealing waits for the device");
    desk.prove(0, 1);
    assert_eq!(given(&desk), ["1:0"]);
}

// === whatever happens ===

#[derive(Debug, Clone)]
enum Happening {
    Finish(usize),
    See(Vec<u32>, Vec<u32>),
}

fn happening() -> impl Strategy<Value = Happening> {
    let devices = || prop::collection::vec(0u32..3, 0..3);
    prop_oneof![
        3 => (0usize..6).prop_map(Happening::Finish),
        2 => (devices(), devices()).prop_map(|(lost, gone)| Happening::See(lost, gone)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_device_is_given_twice_and_none_that_is_free_is_left(
        share in prop::sample::select(vec!["0.3", "0.5", "0.6", "1", "1.4", "2"]),
        happenings in prop::collection::vec(happening(), 1..40),
    ) {
        let mut desk = desk(40, share, machine(3, &[]));
        let needed: f64 = share.parse().unwrap();
        let mut seen = machine(3, &[]);
        for happening in happenings {
            match happening {
                Happening::Finish(at) => {
                    let running: Vec<u64> = desk.given.values().map(|(_, a)| a.sector).collect();
                    if let Some(sector) = running.get(at) {
                        desk.finish(PC2, *sector, 0, 1);
                    }
                }
                Happening::See(lost, gone) => {
                    seen = machine(3, &lost);
                    seen.gpus.retain(|gpu| !gone.contains(&gpu.index));
                    // A host without any device is another host: it would compute on its cores.
                    if seen.gpus.is_empty() {
                        seen = machine(3, &[]);
                    }
                    desk.beat("a", seen.clone());
                }
            }
            let mut used: BTreeMap<GpuId, f64> = BTreeMap::new();
            for gpu in desk.given.values().flat_map(|(_, a)| &a.gpus) {
                *used.entry(gpu.id.clone()).or_default() += gpu.share;
            }
            prop_assert!(used.values().all(|share| *share <= 1.0 + 1e-9), "{used:?}");
            let free = |gpu: &&GpuDevice| 1.0 - used.get(&gpu.id).copied().unwrap_or(0.0);
            let usable: Vec<f64> = seen.usable_gpus().map(|gpu| free(&gpu)).collect();
            let whole = usable.iter().filter(|free| **free > 1.0 - 1e-9).count() as f64;
            let waits = desk.given.len() < 40 && desk.core.jobs(UnixMs(desk.now)).iter().any(|j| j.attempt.is_none());
            prop_assert!(!waits || whole < needed.ceil(), "{needed} waits, {usable:?} free");
            let part = usable.iter().copied().fold(0.0, f64::max);
            prop_assert!(!waits || needed > 1.0 || part + 1e-9 < needed, "{needed} waits, {usable:?} free");
        }
    }
}
