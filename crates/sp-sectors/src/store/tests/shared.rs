//! Two workers with one path: nobody touches the other's work, and what is published is whole for both.
#![allow(clippy::disallowed_methods, reason = "threads that stand for processes")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::disk::{Loss, RealDisk, Sharing};
use crate::manifest::{Manifest, ManifestFile, chunk_digest};

fn sealed_manifest(bytes: &[u8]) -> Manifest {
    let chunks = vec![chunk_digest(bytes)];
    let file = ManifestFile { name: String::new(), size_bytes: bytes.len() as u64, chunks };
    Manifest::new(FileKind::Sealed, vec![file]).unwrap()
}

fn open_as(disk: &MemDisk, owner: &str, keep: &[AttemptId]) -> Store {
    let keep: BTreeSet<_> = keep.iter().copied().collect();
    Store::open_as(Arc::new(disk.clone()), Path::new(ROOT), owner, &keep).unwrap()
}

#[test]
fn a_worker_that_starts_leaves_the_work_of_the_other_alone() {
    let disk = MemDisk::default();
    let first = new_store(&disk);
    make_outputs(&disk, &first, attempt("1.1"), 1);
    let second = open_as(&disk, "w2", &[]);
    make_outputs(&disk, &second, attempt("2.1"), 2);
    assert_eq!(first.work_attempts().unwrap(), [attempt("1.1")], "what is not its own is none of its business");
    assert_eq!(second.work_attempts().unwrap(), [attempt("2.1")]);
    // Each starts again, with nothing to keep: only its own work goes.
    let first = open_as(&disk, "w1", &[]);
    assert_eq!(first.work_attempts().unwrap(), []);
    assert_eq!(second.publish(attempt("2.1"), &OUTPUTS).unwrap().len(), 2);
    second.discard(attempt("2.1")).unwrap();
    assert_eq!(disk.list(&first.layout().work_dir()).unwrap(), []);
    assert_eq!(disk.list(&first.layout().owners_dir()).unwrap(), []);
    assert_eq!(first.replicas().unwrap(), second.replicas().unwrap());
}

#[test]
fn each_worker_counts_what_its_own_attempts_have_taken() {
    let disk = MemDisk::default();
    let first = new_store(&disk);
    publish(&disk, &first, "0.1", 0);
    make_outputs(&disk, &first, attempt("1.1"), 1);
    let second = open_as(&disk, "w2", &[]);
    make_outputs(&disk, &second, attempt("2.1"), 2);
    let taken = |store: &Store, id: &str| store.stat().unwrap().work.get(&attempt(id)).copied();
    assert_eq!((taken(&first, "1.1"), taken(&first, "2.1")), (Some(3564), None));
    assert_eq!((taken(&second, "1.1"), taken(&second, "2.1")), (None, Some(3564)));
    // What it replaces is put aside in its directory, and is nothing that it has made.
    assert_eq!(first.publish(attempt("1.1"), &OUTPUTS).unwrap().len(), 2);
    assert!(!disk.list(&first.layout().replaced_dir(attempt("1.1"))).unwrap().is_empty());
    assert_eq!(taken(&first, "1.1"), Some(0));
    first.discard(attempt("1.1")).unwrap();
    assert_eq!(taken(&first, "1.1"), None);
}

#[test]
fn work_that_belongs_to_nobody_goes() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    // As an older build has left it, or a crash before there was anything of it.
    write(&disk, &store.layout().work(attempt("3.1")).join("sealed/x"), b"x");
    write(&disk, &store.layout().owner(attempt("4.1")), b"w1");
    open_as(&disk, "w2", &[]);
    assert_eq!(disk.list(&store.layout().work_dir()).unwrap(), []);
    assert_eq!(disk.list(&store.layout().owners_dir()).unwrap().len(), 1, "the other one's");
    open_as(&disk, "w1", &[]);
    assert_eq!(disk.list(&store.layout().owners_dir()).unwrap(), []);
}

/// The first host dies at every call of the disk; the other one opens the path before it is back.
#[test]
fn what_one_began_to_publish_the_other_finishes() {
    for calls in 0.. {
        let disk = MemDisk::default();
        let first = new_store(&disk);
        publish(&disk, &first, "1.1", 1);
        let before = first.replicas().unwrap();
        make_outputs(&disk, &first, attempt("1.2"), 2);
        disk.fail_after(calls);
        let published = first.publish(attempt("1.2"), &OUTPUTS);
        disk.crash(Loss::Unsynced);
        let second = open_as(&disk, "w2", &[]);
        let found = second.replicas().unwrap();
        found.iter().for_each(|replica| second.verify(&replica.id).unwrap());
        let kept = |replica: &&ReplicaInfo| before.contains(replica);
        assert!([0, before.len()].contains(&found.iter().filter(kept).count()), "half of it, after {calls} calls");
        assert_eq!(disk.list(&second.layout().journal_dir()).unwrap(), [], "after {calls} calls");
        if let Ok(made) = published {
            assert_eq!(found, made);
            assert!(calls > 20);
            return;
        }
    }
}

/// On a real directory, with the locks of the system: two publish and delete as fast as they can, and whoever reads sees
/// one replica or the other, whole.
#[test]
fn two_that_publish_at_once_are_never_seen_half() {
    let dir = tempfile::tempdir().unwrap();
    let meta = StoreMeta::new(&StoreId::new("3f2504e0-4f89-41d3-9a0c-0305e82c3301").unwrap(), true, true);
    Store::create(&RealDisk, dir.path(), &meta).unwrap();
    let open = |owner: &str| Store::open_as(Arc::new(RealDisk), dir.path(), owner, &BTreeSet::new()).unwrap();
    let (stop, seen) = (AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
    let work = |owner: &str, task: u64| {
        let store = open(owner);
        for number in 1..40 {
            let attempt = AttemptId { task: sp_types::TaskId(task), number };
            let path = store.work(attempt).unwrap().path(SECTOR, FileKind::Sealed);
            RealDisk.create_new(&path).unwrap().write_at(&[task as u8 ^ number as u8; 5000], 0).unwrap();
            let made = store.publish(attempt, &OUTPUTS[..1]).unwrap();
            if number % 3 == 0 {
                store.delete(&made[0].id).unwrap();
            }
            store.discard(attempt).unwrap();
            if number % 7 == 0 {
                drop(open(owner));
            }
        }
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let store = open("w3");
            while !stop.load(Ordering::SeqCst) {
                for replica in store.replicas().unwrap() {
                    match store.open_file(&replica.id, "").and_then(|file| {
                        let mut bytes = vec![0; 5000];
                        file.read_chunk(0, &mut bytes)?;
                        Ok(bytes)
                    }) {
                        Ok(bytes) => {
                            let manifest = sealed_manifest(&bytes);
                            assert_eq!(manifest.root(), replica.id.root, "bytes of another replica");
                            seen.fetch_add(1, Ordering::SeqCst);
                        }
                        // Replaced or deleted since it was listed.
                        Err(StoreError::OtherRoot { .. } | StoreError::Missing { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        });
        let workers = [scope.spawn(|| work("w1", 1)), scope.spawn(|| work("w2", 2))];
        let done = workers.map(|worker| worker.join());
        stop.store(true, Ordering::SeqCst);
        reader.join().unwrap();
        done.into_iter().for_each(|result| result.unwrap());
    });
    assert!(seen.load(Ordering::SeqCst) > 0);
    let store = open("w1");
    assert_eq!(RealDisk.list(&store.layout().work_dir()).unwrap(), []);
    assert_eq!(RealDisk.list(&store.layout().journal_dir()).unwrap(), []);
    store.replicas().unwrap().iter().for_each(|replica| store.verify(&replica.id).unwrap());
}

#[test]
fn a_lock_is_shared_by_readers_and_had_by_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let shared = [RealDisk.lock(&path, Sharing::Shared).unwrap(), RealDisk.lock(&path, Sharing::Shared).unwrap()];
    let alone = thread::spawn({
        let path = path.clone();
        move || drop(RealDisk.lock(&path, Sharing::Alone).unwrap())
    });
    thread::sleep(std::time::Duration::from_millis(50));
    assert!(!alone.is_finished());
    drop(shared);
    alone.join().unwrap();
}
