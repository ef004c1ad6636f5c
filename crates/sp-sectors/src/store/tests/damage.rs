//! Damage to one file, or to the file system as a whole, keeps nothing else from being known and read.

use super::*;
use crate::store::Listed;

const OTHER: SectorId = SectorId { miner: 1000, number: 8 };

/// A store with two sealed files, and the sector whose manifest is to suffer.
fn two_sealed() -> (MemDisk, Store, Vec<ReplicaInfo>) {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let mut infos = Vec::new();
    for (id, sector) in [("1.1", SECTOR), ("2.1", OTHER)] {
        let work = store.work(attempt(id)).unwrap();
        write(&disk, &work.path(sector, FileKind::Sealed), id.as_bytes());
        infos.extend(store.publish(attempt(id), &[(sector, FileKind::Sealed)]).unwrap());
        store.discard(attempt(id)).unwrap();
    }
    (disk, store, infos)
}

#[test]
fn a_damaged_head_is_made_anew_from_its_list() {
    let (disk, store, infos) = two_sealed();
    let head = store.layout().head(SECTOR, FileKind::Sealed);
    write(&disk, &head, b"no head");
    assert_eq!(store.replicas().unwrap(), infos);
    assert_eq!(store.read_chunk(&infos[0].id, "", 0).unwrap(), b"1.1");
    // The next start writes it anew.
    let store = reopen(&disk, &[]).unwrap();
    assert_eq!(store.replicas().unwrap(), infos);
    assert_ne!(read_all(&disk, &head, 1024).unwrap(), b"no head");
    store.verify(&infos[0].id).unwrap();
}

#[test]
fn a_file_whose_manifest_is_lost_is_not_taken_to_be_gone_and_hides_no_other() {
    let (disk, store, infos) = two_sealed();
    let layout = store.layout().clone();
    let manifest = [layout.head(SECTOR, FileKind::Sealed), layout.list(SECTOR, FileKind::Sealed, &infos[0].id.root)];
    manifest.iter().for_each(|path| write(&disk, path, b"damaged"));
    let expected = Listed { replicas: infos[1..].to_vec(), unread: vec![(SECTOR, FileKind::Sealed)] };
    assert_eq!(store.list().unwrap(), expected);
    // Nor does a start remove what is left of it.
    let store = reopen(&disk, &[]).unwrap();
    assert_eq!(store.list().unwrap(), expected);
    assert!(manifest.iter().all(|path| disk.metadata(path).is_ok()));
    store.verify(&infos[1].id).unwrap();
}

#[test]
fn a_disk_of_which_nothing_can_be_read_is_no_empty_store() {
    let (disk, store, _) = two_sealed();
    for sector in [SECTOR, OTHER] {
        disk.break_bytes(&store.layout().head(sector, FileKind::Sealed), 0..1024).unwrap();
    }
    assert!(matches!(store.list(), Err(StoreError::Io { .. })));
}

#[test]
fn a_path_that_has_become_read_only_is_read() {
    let (disk, store, infos) = two_sealed();
    disk.set_read_only(Some(Path::new(ROOT)));
    assert!(store.probe().is_err_and(|error| error.is_read_only()));
    store.verify(&infos[0].id).unwrap();
    store.stat().unwrap();
    assert!(store.delete(&infos[0].id).is_err_and(|error| error.is_read_only()));
    // Also by a worker that starts while it is so.
    let store = reopen(&disk, &[]).unwrap();
    assert_eq!(store.replicas().unwrap(), infos);
    store.verify(&infos[1].id).unwrap();
    disk.set_read_only(None);
    store.probe().unwrap();
    assert!(store.settle_late().unwrap(), "what waits to be finished there is finished now");
    store.delete(&infos[0].id).unwrap();
}

#[test]
fn the_space_in_use_is_carried_along() {
    let (disk, store, infos) = two_sealed();
    let used = |store: &Store| store.stat().unwrap().used_bytes;
    let counted = || infos_bytes(&reopen(&disk, &[attempt("3.1")]).unwrap());
    assert_eq!(used(&store), 6);
    make_outputs(&disk, &store, attempt("3.1"), 3);
    store.publish(attempt("3.1"), &OUTPUTS).unwrap();
    assert_eq!((used(&store), counted()), (3567, 3567), "a sealed file is replaced, a cache is new");
    store.restore(attempt("3.1"), &[FileKind::Cache]).unwrap();
    assert_eq!((used(&store), counted()), (570, 570));
    store.delete(&infos[1].id).unwrap();
    assert_eq!((used(&store), counted()), (567, 567));
}

fn infos_bytes(store: &Store) -> u64 {
    store.replicas().unwrap().iter().map(|info| info.size_bytes).sum()
}
