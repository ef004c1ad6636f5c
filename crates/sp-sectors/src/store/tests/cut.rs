//! Copies that only some ranges are kept of: what is in them, and what a crash leaves.
#![allow(clippy::single_range_in_vec_init, reason = "one range is what is meant")]

use super::*;
use crate::disk::Loss;
use crate::partial::Filled;

const SIZE: u64 = 4 * CHUNK_BYTES;
const MADE: (SectorId, FileKind) = (SECTOR, FileKind::Unsealed);

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at * 7 + at / 1000) as u8).collect()
}

/// A store with a whole unsealed file.
fn with_whole(disk: &MemDisk) -> (Store, ReplicaInfo) {
    let store = new_store(disk);
    write(disk, &store.work(attempt("1.1")).unwrap().path(SECTOR, FileKind::Unsealed), &content());
    let info = store.publish(attempt("1.1"), &[MADE]).unwrap().remove(0);
    store.discard(attempt("1.1")).unwrap();
    (store, info)
}

fn cut(store: &Store, id: &ReplicaId, keep: &[std::ops::Range<u64>]) -> Result<ReplicaInfo, StoreError> {
    let mut cut = store.cut(id, keep.to_vec(), &store.work(attempt("2.1"))?)?;
    while !cut.step()? {}
    assert_eq!(cut.fraction(), 1.0);
    Ok(store.publish(attempt("2.1"), &[MADE])?.remove(0))
}

/// The file as it is to be.
fn expected(keep: &[std::ops::Range<u64>]) -> Vec<u8> {
    let (whole, mut left) = (content(), vec![0; SIZE as usize]);
    for range in keep {
        let range = range.start as usize..range.end as usize;
        left[range.clone()].copy_from_slice(&whole[range]);
    }
    let trailer = Filled::of(SIZE, keep.to_vec()).unwrap().trailer();
    [left, trailer].concat()
}

fn found(disk: &MemDisk, store: &Store) -> Vec<u8> {
    read_all(disk, &store.replica_path(SECTOR, FileKind::Unsealed), 1 << 30).unwrap()
}

#[test]
fn what_is_kept_is_there_and_the_rest_is_a_hole() {
    let disk = MemDisk::default();
    let (store, whole) = with_whole(&disk);
    let keep = [128..256, CHUNK_BYTES - 128..CHUNK_BYTES + 128, 3 * CHUNK_BYTES..SIZE];
    let made = cut(&store, &whole.id, &keep).unwrap();
    assert_eq!(found(&disk, &store), expected(&keep));
    assert_ne!(made.id.root, whole.id.root);
    store.verify(&made.id).unwrap();
    assert_eq!(store.open_file(&made.id, "").unwrap().filled().unwrap().ranges(), keep);
    store.discard(attempt("2.1")).unwrap();

    // Of what is left a part may be left, and nothing else.
    let refused = cut(&store, &made.id, &[0..256]).unwrap_err();
    assert!(matches!(refused, StoreError::NotHeld { from: 0, until: 128, .. }), "{refused}");
    store.discard(attempt("2.1")).unwrap();
    assert_eq!(found(&disk, &store), expected(&keep), "a refusal changes nothing");
    cut(&store, &made.id, &keep[..1]).unwrap();
    assert_eq!(found(&disk, &store), expected(&keep[..1]));
}

#[test]
fn what_is_damaged_is_not_kept() {
    let disk = MemDisk::default();
    let (store, whole) = with_whole(&disk);
    let place = store.replica_path(SECTOR, FileKind::Unsealed);
    disk.open_write(&place).unwrap().write_at(&[!content()[5]], 5).unwrap();
    let refused = cut(&store, &whole.id, &[0..128]).unwrap_err();
    assert!(matches!(refused, StoreError::Manifest(crate::ManifestError::Differs { offset: 0, .. })), "{refused}");
    cut(&store, &whole.id, &[CHUNK_BYTES..2 * CHUNK_BYTES]).unwrap();
}

#[test]
fn a_copy_that_came_with_a_path_is_cut_too() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let place = store.replica_path(SECTOR, FileKind::Unsealed);
    write(&disk, &place, &[content(), Filled::whole(SIZE).trailer()].concat());
    let foreign = store.find(SECTOR, FileKind::Unsealed).unwrap().unwrap();
    assert_eq!(foreign.id.root, [0; 32]);
    cut(&store, &foreign.id, &[0..128]).unwrap();
    assert_eq!(found(&disk, &store), expected(&[0..128]));
}

#[test]
fn a_crash_leaves_the_whole_copy_or_the_cut_one() {
    let keep = [CHUNK_BYTES..CHUNK_BYTES + 256];
    let disk = MemDisk::default();
    let (_, whole) = with_whole(&disk);
    let (mut whole_left, mut cut_left) = (0, 0);
    for calls in 0.. {
        for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(calls)] {
            let disk = disk.fork();
            let store = reopen(&disk, &[attempt("2.1")]).unwrap();
            disk.fail_after(calls);
            let done = cut(&store, &whole.id, &keep).is_ok();
            disk.crash(loss);
            let store = reopen(&disk, &[]).unwrap();
            let left = store.find(SECTOR, FileKind::Unsealed).unwrap().unwrap();
            store.verify(&left.id).unwrap();
            match left.id.root == whole.id.root {
                true => assert!(found(&disk, &store) == content(), "call {calls}, {loss:?}"),
                false => assert!(found(&disk, &store) == expected(&keep), "call {calls}, {loss:?}"),
            }
            *if left.id.root == whole.id.root { &mut whole_left } else { &mut cut_left } += 1;
            assert!(!done || left.id.root != whole.id.root, "what is published stays");
            if done && loss == Loss::Some(calls) {
                assert!(whole_left > 3 && cut_left > 3, "{whole_left} {cut_left}");
                return;
            }
        }
    }
}
