//! What goes on after a crash or an error at a call to the disk: a publish that is done again, a delete that is finished, a
//! store that can be made. `crash_points.rs` has the crashes themselves.

use super::*;
use crate::disk::Loss;

struct Case {
    loss: Loss,
    exchange: bool,
    /// Was there a replica before?
    replaces: bool,
}

fn cases() -> Vec<Case> {
    let losses = [Loss::Nothing, Loss::Unsynced].into_iter().chain((0..6).map(Loss::Some));
    losses
        .flat_map(|loss| {
            let case = move |exchange, replaces| Case { loss, exchange, replaces };
            [case(true, true), case(false, true), case(true, false)]
        })
        .collect()
}

/// A store with what was there before, and the new outputs in the work directory of 2.1.
fn prepare(case: &Case) -> (MemDisk, Store) {
    let disk = MemDisk::default();
    if !case.exchange {
        disk.without_exchange();
    }
    let store = new_store(&disk);
    if case.replaces {
        publish(&disk, &store, "1.1", 1);
        store.discard(attempt("1.1")).unwrap();
    }
    make_outputs(&disk, &store, attempt("2.1"), 2);
    (disk, store)
}

/// The byte that fills the replicas, none if there are none; panics unless everything fits together.
fn check(disk: &MemDisk, store: &Store) -> Option<u8> {
    let found = store.replicas().unwrap();
    for info in &found {
        assert_ne!(info.id.root, [0; 32], "a replica without a manifest is visible");
        store.verify(&info.id).unwrap();
    }
    let names = |path: std::path::PathBuf| disk.list(&path).unwrap().into_iter().map(|e| e.name).collect::<Vec<_>>();
    assert!(names(store.layout().journal_dir()).is_empty());
    for kind in FileKind::ALL {
        let expected = if found.iter().any(|info| info.id.kind == kind) { 2 } else { 0 };
        assert_eq!(names(store.layout().manifest_dir(kind)).len(), expected, "manifests of {kind}");
    }
    if found.is_empty() {
        return None;
    }
    assert_eq!(found.len(), 2, "sealed and cache appear together");
    let fill = store.read_chunk(&found[0].id, "", 0).unwrap()[0];
    let (sealed, cache) = (&found[0].id, &found[1].id);
    assert_eq!(store.read_chunk(sealed, "", 0).unwrap(), [fill; 3000]);
    assert_eq!(store.read_chunk(cache, "p_aux", 0).unwrap(), [fill; 64]);
    assert_eq!(store.read_chunk(cache, &format!("tree-{fill}.dat"), 0).unwrap(), [fill; 500]);
    Some(fill)
}

#[test]
fn a_killed_worker_publishes_again() {
    let case = Case { loss: Loss::Nothing, exchange: true, replaces: true };
    for at in 0.. {
        let (disk, store) = prepare(&case);
        disk.fail_after(at);
        let done = store.publish(attempt("2.1"), &OUTPUTS).is_ok();
        disk.crash(case.loss);
        let store = reopen(&disk, &[attempt("2.1")]).unwrap();
        let infos = store.publish(attempt("2.1"), &OUTPUTS).unwrap();
        assert_eq!(store.replicas().unwrap(), infos);
        assert_eq!(check(&disk, &store), Some(2));
        if done {
            break;
        }
    }
}

/// An error that passes (the disk was full, say) leaves a store that settles itself at the next call.
#[test]
fn an_error_in_the_middle_is_settled_by_the_next_call() {
    let case = Case { loss: Loss::Nothing, exchange: true, replaces: true };
    for at in 0.. {
        let (disk, store) = prepare(&case);
        disk.fail_after(at);
        let done = store.publish(attempt("2.1"), &OUTPUTS).is_ok();
        disk.fail_after(u64::MAX);
        store.publish(attempt("2.1"), &OUTPUTS).unwrap();
        assert_eq!(check(&disk, &store), Some(2));
        if done {
            break;
        }
    }
}

/// A publish that has failed is given up, and happens all the same once it was certain: then the store says so.
#[test]
fn what_is_published_late_is_told() {
    let case = Case { loss: Loss::Nothing, exchange: true, replaces: true };
    let mut late = 0;
    for at in 0.. {
        let (disk, store) = prepare(&case);
        let before = store.replicas().unwrap();
        disk.fail_after(at);
        let done = store.publish(attempt("2.1"), &OUTPUTS).is_ok();
        drop(store.settle_late());
        disk.fail_after(u64::MAX);
        store.discard(attempt("2.1")).unwrap();
        let told = store.settle_late().unwrap();
        assert!(!store.settle_late().unwrap(), "once");
        if done {
            assert!(!told, "its publish has named them");
            break;
        }
        let changed = store.replicas().unwrap() != before;
        assert!(told || !changed, "{at}");
        late += u32::from(changed);
    }
    assert!(late > 5, "{late}");
}

#[test]
fn a_delete_that_failed_is_finished_by_the_next() {
    for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(1), Loss::Some(2), Loss::Some(3)] {
        for at in 0.. {
            let disk = MemDisk::default();
            let store = new_store(&disk);
            let infos = publish(&disk, &store, "1.1", 1);
            disk.fail_after(at);
            let outcome = store.delete(&infos[0].id);
            disk.fail_after(u64::MAX);
            store.delete(&infos[0].id).unwrap();
            disk.crash(loss);
            let store = reopen(&disk, &[]).unwrap();
            assert_eq!(store.replicas().unwrap(), infos[1..], "{at}");
            if outcome.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn a_new_store_is_there_or_can_be_made() {
    for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(1), Loss::Some(2)] {
        for at in 0.. {
            let disk = MemDisk::default();
            let meta = StoreMeta::new(&StoreId::new("a").unwrap(), true, false);
            disk.fail_after(at);
            let outcome = Store::init(Arc::new(disk.clone()), Path::new(ROOT), &meta);
            disk.crash(loss);
            match reopen(&disk, &[]) {
                Ok(_) => {}
                Err(StoreError::NotAStore(_)) => {
                    assert!(outcome.is_err());
                    Store::init(Arc::new(disk.clone()), Path::new(ROOT), &meta).unwrap();
                }
                Err(e) => panic!("{e} at {at}"),
            }
            if outcome.is_ok() {
                break;
            }
        }
    }
}

/// The result of 2.1 does not count: what it replaced comes back, whatever crashes meanwhile.
#[test]
fn what_was_replaced_comes_back_at_every_call() {
    let mut points = 0;
    for case in cases().into_iter().filter(|case| case.replaces) {
        for at in 0.. {
            let (disk, store) = prepare(&case);
            let before = store.replicas().unwrap();
            store.publish(attempt("2.1"), &OUTPUTS).unwrap();
            disk.fail_after(at);
            let outcome = store.restore(attempt("2.1"), &[]);
            disk.crash(case.loss);
            let store = reopen(&disk, &[attempt("2.1")]).unwrap();
            assert!(matches!(check(&disk, &store), Some(1 | 2)), "at {at}");
            store.restore(attempt("2.1"), &[]).unwrap();
            assert_eq!(check(&disk, &store), Some(1), "at {at}");
            assert_eq!(store.replicas().unwrap(), before);
            store.discard(attempt("2.1")).unwrap();
            assert_eq!(check(&disk, &reopen(&disk, &[]).unwrap()), Some(1));
            points += 1;
            if let Ok(named) = outcome {
                assert_eq!(named.len(), before.len());
                break;
            }
        }
    }
    assert!(points > 500, "{points}");
}

/// The publish itself was interrupted, and then turns out not to count.
#[test]
fn an_interrupted_publish_can_be_taken_back() {
    for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(1), Loss::Some(2), Loss::Some(3)] {
        for exchange in [true, false] {
            let case = Case { loss, exchange, replaces: true };
            for at in 0.. {
                let (disk, store) = prepare(&case);
                let before = store.replicas().unwrap();
                disk.fail_after(at);
                let done = store.publish(attempt("2.1"), &OUTPUTS).is_ok();
                disk.crash(loss);
                let store = reopen(&disk, &[attempt("2.1")]).unwrap();
                store.restore(attempt("2.1"), &[]).unwrap();
                assert_eq!(store.restore(attempt("2.1"), &[]).unwrap(), [], "once");
                assert_eq!(store.replicas().unwrap(), before, "at {at}");
                assert_eq!(check(&disk, &store), Some(1));
                if done {
                    break;
                }
            }
        }
    }
}

#[test]
fn only_what_still_stands_in_the_place_of_another_gives_way() {
    let case = Case { loss: Loss::Nothing, exchange: true, replaces: true };
    let (disk, store) = prepare(&case);
    let made = store.publish(attempt("2.1"), &OUTPUTS).unwrap();
    assert_eq!(store.stands_in_place(attempt("2.1")).unwrap().len(), made.len());
    make_outputs(&disk, &store, attempt("3.1"), 3);
    store.publish(attempt("3.1"), &OUTPUTS).unwrap();
    assert_eq!(store.restore(attempt("2.1"), &[]).unwrap(), []);
    assert_eq!(store.stands_in_place(attempt("2.1")).unwrap(), []);
    assert_eq!(check(&disk, &store), Some(3));
    assert_eq!(store.restore(attempt("3.1"), &[]).unwrap().len(), 2, "back to what 2.1 has made");
    assert_eq!(check(&disk, &store), Some(2));
    assert_eq!(store.restore(attempt("2.1"), &[]).unwrap().len(), 2);
    assert_eq!(check(&disk, &store), Some(1));
    assert_eq!(store.restore(attempt("9.9"), &[]).unwrap(), []);

    let (_, store) = prepare(&case);
    let before = store.replicas().unwrap();
    let made = store.publish(attempt("2.1"), &OUTPUTS).unwrap();
    assert_eq!(store.restore(attempt("2.1"), &[FileKind::Sealed]).unwrap(), before[1..], "one of them counts");
    assert_eq!(store.replicas().unwrap(), [made[0].clone(), before[1].clone()]);
}
