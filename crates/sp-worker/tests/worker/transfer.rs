//! Fetches over ways that are not to be trusted, from several holders, onto full disks, and between stores of one host.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sp_proto::v1;
use sp_proto::v1::assign::Params;
use sp_sectors::{Disk, MemDisk, read_all};
use sp_types::{FileKind, ReplicaInfo, TaskKind};

use crate::proxy::{Fault, Proxy};
use crate::support::{DATA_DIR, Fakes, Machine, assign, eventually, with_input, with_output};
use crate::{ALL, clean, done, failed, snap};

const CHUNK: u64 = 1 << 20;

/// Bytes none of which repeats soon: no chunk is like another.
fn content(size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn get(id: &str, replica: &ReplicaInfo, urls: &[&str], store: &str) -> v1::Assign {
    let get = assign(id, TaskKind::Fetch, Params::Fetch(v1::FetchParams {}));
    with_output(with_input(get, replica, urls), FileKind::Sealed, store)
}

/// A worker with a sealed file of these bytes, and its data plane.
async fn holder(bytes: &[u8]) -> (Machine, ReplicaInfo, String) {
    let fakes = Fakes::start().await;
    let mut holder = Machine::new(&fakes, &ALL);
    let replica = holder.publish(FileKind::Sealed, bytes);
    holder.start();
    (holder, replica, fakes.registered(1).await.data_url)
}

/// A worker that fetches, and its store.
async fn fetcher() -> (Machine, Fakes, String) {
    let fakes = Fakes::start().await;
    let mut fetcher = Machine::new(&fakes, &[TaskKind::Fetch]);
    fetcher.start();
    let store = fakes.store().await;
    (fetcher, fakes, store)
}

const PLACE: &str = "storage/sealed/s-t01000-3";

fn fetched(machine: &Machine) -> Option<Vec<u8>> {
    read_all(&machine.disk, format!("{DATA_DIR}/{PLACE}").as_ref(), 1 << 30).ok()
}

/// Splitmix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

fn fault(seed: &mut u64, bytes: u64) -> Fault {
    let (what, at) = (random(seed) % 5, random(seed) % bytes);
    match what {
        0 => Fault::Cut(at),
        1 => Fault::Flip(at, (random(seed) % 8) as u8),
        2 => Fault::Drop(at),
        3 => Fault::Reorder(at),
        _ => Fault::Delay(Duration::from_millis(random(seed) % 5)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_way_does_what_arrives_is_right_or_an_error() {
    let bytes = content((6 << 20) + 77);
    let (_holder, replica, url) = holder(&bytes).await;
    let seeds = futures_util::future::join_all((0..16).map(|seed| over_a_bad_way(seed, &bytes, &replica, &url)));
    let arrived = seeds.await.into_iter().filter(|arrived| *arrived).count();
    assert!(arrived >= 8, "most faults pass, and a fetch goes on: {arrived} of 16 arrived");
}

/// Did it arrive? If so it is right, and if not there is nothing.
async fn over_a_bad_way(seed: u64, bytes: &[u8], replica: &ReplicaInfo, url: &str) -> bool {
    let proxy = Proxy::start(url).await;
    let (fetcher, fakes, store) = fetcher().await;
    let mut state = seed;
    // Half of the seeds spare the first connection, which brings the manifest, so that the data gets its share.
    let mut faults: Vec<_> = (0..5).map(|_| Some(fault(&mut state, 3 << 19))).collect();
    if seed.is_multiple_of(2) {
        faults.insert(0, None);
    }
    proxy.faults.lock().unwrap().clone_from(&faults);
    fakes.assign(get("1.1", replica, &[&proxy.url], &store)).await;
    let result = fakes.result("1.1").await;
    let done = matches!(&result.outcome, Some(v1::task_result::Outcome::Done(_)));
    if done {
        assert_eq!(snap::replica_of(&result, FileKind::Sealed).id.root, replica.id.root);
        assert!(fetched(&fetcher).is_some_and(|fetched| fetched == bytes), "seed {seed}, {faults:?}");
    } else {
        assert!(fetched(&fetcher).is_none(), "seed {seed}: {:?}", failed(&result));
    }
    clean(&fetcher).await;
    done
}

#[tokio::test]
async fn after_a_cut_no_stream_brings_more_than_one_chunk_again() {
    let bytes = content(40 << 20);
    let (_holder, replica, url) = holder(&bytes).await;
    let mut whole = 0;
    for cut_at in [0, 3 << 20, 17 << 20, 33 << 20] {
        let proxy = Proxy::start(&url).await;
        proxy.cut_all_at.store(cut_at, Ordering::SeqCst);
        let (fetcher, fakes, store) = fetcher().await;
        fakes.assign(get("1.1", &replica, &[&proxy.url], &store)).await;
        done(&fakes.result("1.1").await);
        assert!(fetched(&fetcher).is_some_and(|fetched| fetched == bytes));
        let passed = proxy.passed.load(Ordering::SeqCst);
        if cut_at == 0 {
            whole = passed;
            assert!((bytes.len() as u64..bytes.len() as u64 + (64 << 10)).contains(&whole), "{whole}");
            continue;
        }
        assert_eq!(proxy.cut_all_at.load(Ordering::SeqCst), 0, "it was cut");
        let again = passed.saturating_sub(whole);
        assert!(again <= 4 * (CHUNK + (16 << 10)), "cut at {cut_at}: {again} bytes came again");
    }
}

#[tokio::test]
async fn a_silent_source_is_not_waited_for_while_another_one_speaks() {
    let bytes = content(12 << 20);
    let (_a, replica, a_url) = holder(&bytes).await;
    let fakes = Fakes::start().await;
    let mut b = Machine::new(&fakes, &ALL);
    b.disk = crate::disk_with(&_a, &fakes, FileKind::Sealed, &bytes);
    b.start();
    let b_url = fakes.registered(1).await.data_url;
    let proxy = Proxy::start(&a_url).await;
    *proxy.faults.lock().unwrap() = vec![None, Some(Fault::Silence(2 << 20)), Some(Fault::Silence(0))];
    let (fetcher, fakes, store) = fetcher().await;
    let began = std::time::Instant::now();
    fakes.assign(get("1.1", &replica, &[&proxy.url, &b_url], &store)).await;
    done(&fakes.result("1.1").await);
    assert!(fetched(&fetcher).is_some_and(|fetched| fetched == bytes));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_full_disk_is_said_to_be_full_and_shows_nothing() {
    let (_holder, replica, url) = holder(&content(5 << 20)).await;
    let fakes = Fakes::start().await;
    let mut fetcher = Machine::new(&fakes, &[TaskKind::Fetch]);
    fetcher.disk = MemDisk::new(4 << 20);
    fetcher.start();
    let store = fakes.store().await;
    fakes.assign(get("1.1", &replica, &[&url], &store)).await;
    let result = fakes.result("1.1").await;
    assert_eq!(failed(&result).code, "SP-NO-SPACE", "{:?}", failed(&result));
    assert!(fetched(&fetcher).is_none());
    clean(&fetcher).await;
}

#[tokio::test]
async fn a_move_between_stores_of_one_worker_copies_nothing_and_checks_everything() {
    for clones in [true, false] {
        let bytes = content((3 << 20) + 5);
        let fakes = Fakes::start().await;
        let mut machine = Machine::new(&fakes, &[TaskKind::Fetch]);
        if !clones {
            machine.disk.without_clones();
        }
        let replica = machine.publish(FileKind::Sealed, &bytes);
        machine.start();
        let first = fakes.store().await;
        let attach = v1::AttachStore { path: "/more".into(), init: true, store: true, weight: 3, ..Default::default() };
        fakes.command(v1::worker_command::Body::AttachStore(attach)).await;
        eventually("the second store", || (fakes.said.registers.lock().unwrap().len() > 1).then_some(())).await;
        let stores = fakes.registered(2).await.stores;
        let second = stores.iter().find(|store| **store != first).unwrap();
        fakes.assign(get("1.1", &replica, &[], second)).await;
        done(&fakes.result("1.1").await);
        let moved = format!("/more/{}", PLACE.trim_start_matches("storage/"));
        assert_eq!(read_all(&machine.disk, moved.as_ref(), 1 << 30).unwrap(), bytes);
        let linked = machine.disk.open(moved.as_ref()).unwrap().is_shared().unwrap();
        assert_eq!(linked, !clones);
    }
}
