//! A store on the simulated disk: publish, read, copy, delete, adopt.

mod crash;
mod crash_points;
mod cut;
mod damage;
mod layout;
mod observe;
mod scrub;
mod shared;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use sp_types::{AttemptId, FileKind, Origin, ReplicaId, ReplicaInfo, SectorId, StoreId};

use super::*;
use crate::disk::{MemDisk, read_all, remove_any};
use crate::manifest::CHUNK_BYTES;

pub(super) const SECTOR: SectorId = SectorId { miner: 1000, number: 7 };
pub(super) const ROOT: &str = "/store";

pub(super) fn attempt(text: &str) -> AttemptId {
    text.parse().unwrap()
}

pub(super) fn new_store(disk: &MemDisk) -> Store {
    let meta = StoreMeta::new(&StoreId::new("3f2504e0-4f89-41d3-9a0c-0305e82c3301").unwrap(), true, false);
    Store::create(disk, Path::new(ROOT), &meta).unwrap();
    reopen(disk, &[]).unwrap()
}

pub(super) fn reopen(disk: &MemDisk, keep: &[AttemptId]) -> Result<Store, StoreError> {
    let keep: BTreeSet<_> = keep.iter().copied().collect();
    Store::open_as(Arc::new(disk.clone()), Path::new(ROOT), "w1", &keep)
}

/// Writes a file as a stage does: without syncing it.
pub(super) fn write(disk: &MemDisk, path: &Path, bytes: &[u8]) {
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    remove_any(disk, path).unwrap();
    disk.create_new(path).unwrap().write_at(bytes, 0).unwrap();
}

/// Makes sealed and cache of the sector in the attempt's work directory.
pub(super) fn make_outputs(disk: &MemDisk, store: &Store, attempt: AttemptId, fill: u8) {
    let work = store.work(attempt).unwrap();
    write(disk, &work.path(SECTOR, FileKind::Sealed), &[fill; 3000]);
    let cache = work.path(SECTOR, FileKind::Cache);
    write(disk, &cache.join("p_aux"), &[fill; 64]);
    write(disk, &cache.join(format!("tree-{fill}.dat")), &[fill; 500]);
}

pub(super) const OUTPUTS: [(SectorId, FileKind); 2] = [(SECTOR, FileKind::Sealed), (SECTOR, FileKind::Cache)];

pub(super) fn publish(disk: &MemDisk, store: &Store, id: &str, fill: u8) -> Vec<ReplicaInfo> {
    make_outputs(disk, store, attempt(id), fill);
    store.publish(attempt(id), &OUTPUTS).unwrap()
}

#[test]
fn published_replicas_are_listed_and_read() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let infos = publish(&disk, &store, "1.1", 1);
    assert_eq!(store.replicas().unwrap(), infos);
    assert_eq!((infos[0].size_bytes, infos[1].size_bytes, infos[0].primary), (3000, 564, true));
    for info in &infos {
        store.verify(&info.id).unwrap();
    }
    assert_eq!(store.read_chunk(&infos[0].id, "", 0).unwrap(), [1; 3000]);
    assert_eq!(store.read_chunk(&infos[1].id, "p_aux", 0).unwrap(), [1; 64]);
    let stat = store.stat().unwrap();
    assert_eq!(stat.used_bytes, 3564);
    assert!(stat.fs_available_bytes < stat.capacity_bytes);
    assert_eq!(reopen(&disk, &[]).unwrap().replicas().unwrap(), infos);
}

#[test]
fn reads_of_what_is_not_there_are_refused() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let infos = publish(&disk, &store, "1.1", 1);
    let (sealed, cache) = (&infos[0].id, &infos[1].id);
    for name in ["", "..", "../sealed/s-t01000-7", "/etc/passwd", "p_au", "p_aux/"] {
        let error = store.read_chunk(cache, name, 0).unwrap_err();
        assert!(matches!(error, StoreError::NoSuchFile { .. }), "{name}: {error}");
    }
    assert!(matches!(store.read_chunk(sealed, "x", 0), Err(StoreError::NoSuchFile { .. })));
    assert!(matches!(store.read_chunk(sealed, "", 1), Err(StoreError::BadOffset(1))));
    assert!(matches!(store.read_chunk(sealed, "", CHUNK_BYTES), Err(StoreError::BadOffset(_))));
    let mut other = sealed.clone();
    other.root[0] ^= 1;
    assert!(matches!(store.read_chunk(&other, "", 0), Err(StoreError::OtherRoot { .. })));
    assert!(matches!(store.manifest(&other), Err(StoreError::OtherRoot { .. })));
    other.sector.number = 8;
    assert!(matches!(store.manifest(&other), Err(StoreError::Missing { .. })));
}

#[test]
fn a_newer_replica_takes_the_place_of_the_old() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let old = publish(&disk, &store, "1.1", 1);
    let new = publish(&disk, &store, "2.1", 2);
    assert_ne!(old[1].id.root, new[1].id.root);
    assert_eq!(store.replicas().unwrap(), new);
    assert!(matches!(store.read_chunk(&old[0].id, "", 0), Err(StoreError::OtherRoot { .. })));
    // A second call, after a crash say, changes nothing.
    assert_eq!(store.publish(attempt("2.1"), &OUTPUTS).unwrap(), new);
    assert!(matches!(store.publish(attempt("9.1"), &OUTPUTS), Err(StoreError::NoOutput { .. })));
}

#[test]
fn what_another_sector_of_the_number_has_left_is_not_replaced() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let outputs = |origin| OUTPUTS.map(|(sector, kind)| Output { origin, ..Output::made(sector, kind) });
    let make = |id: &str, origin: Option<Origin>| {
        make_outputs(&disk, &store, attempt(id), id.as_bytes()[0]);
        store.publish_outputs(attempt(id), &outputs(origin))
    };
    let (first, second) = (Origin::new(1), Origin::new(2));
    // What bears no origin is replaced as ever: an older build has made it.
    make("1.1", None).unwrap();
    let made = make("2.1", first).unwrap();
    assert!(made.iter().all(|info| info.origin == first));
    for other in [second, None] {
        assert!(matches!(make("3.1", other), Err(StoreError::OfAnother { .. })));
        assert_eq!(store.replicas().unwrap(), made);
    }
    make("4.1", first).unwrap();
}

#[test]
fn publish_works_where_names_cannot_be_exchanged() {
    let disk = MemDisk::default();
    disk.without_exchange();
    let store = new_store(&disk);
    publish(&disk, &store, "1.1", 1);
    let new = publish(&disk, &store, "2.1", 2);
    assert_eq!(store.replicas().unwrap(), new);
    assert!(disk.list(&store.layout().work(attempt("2.1")).join("sealed")).unwrap().is_empty());
}

#[test]
fn a_copy_may_change_without_changing_the_replica() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let work = store.work(attempt("1.1")).unwrap();
    let cache = work.path(SECTOR, FileKind::Cache);
    write(&disk, &cache.join("p_aux"), &[1; 64]);
    write(&disk, &cache.join("layer-1.dat"), &[1; 2 << 20]);
    write(&disk, &cache.join("layer-2.dat"), &[2; 2 << 20]);
    let old = store.publish(attempt("1.1"), &[(SECTOR, FileKind::Cache)]).unwrap().remove(0);

    let work = store.work(attempt("2.1")).unwrap();
    let copy = work.take_copy(&old.id, CopyMode::Link).unwrap();
    disk.open_write(&copy.join("p_aux")).unwrap().write_at(&[9], 0).unwrap();
    disk.remove_file(&copy.join("layer-1.dat")).unwrap();
    store.verify(&old.id).unwrap();
    let id = |path: &Path| disk.metadata(path).unwrap().id;
    assert_eq!(id(&copy.join("layer-2.dat")), id(&store.replica_path(SECTOR, FileKind::Cache).join("layer-2.dat")));

    let copy = work.take_copy(&old.id, CopyMode::Copy).unwrap();
    assert_ne!(id(&copy.join("layer-2.dat")), id(&store.replica_path(SECTOR, FileKind::Cache).join("layer-2.dat")));
    let mut other = old.id.clone();
    other.root[5] ^= 1;
    assert!(matches!(work.take_copy(&other, CopyMode::Link), Err(StoreError::OtherRoot { .. })));
}

#[test]
fn a_delete_names_a_replica() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let old = publish(&disk, &store, "1.1", 1);
    let new = publish(&disk, &store, "2.1", 2);
    assert_eq!(store.delete(&old[0].id).unwrap(), Deleted::NotThere);
    assert_eq!(store.replicas().unwrap(), new);
    assert_eq!(store.delete(&new[0].id).unwrap(), Deleted::Removed);
    assert_eq!(store.delete(&new[0].id).unwrap(), Deleted::NotThere);
    assert_eq!(store.replicas().unwrap(), new[1..]);
    assert!(disk.list(&store.layout().manifest_dir(FileKind::Sealed)).unwrap().is_empty());
}

#[test]
fn foreign_files_get_a_manifest_at_their_first_whole_read() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    write(&disk, &store.replica_path(SECTOR, FileKind::Unsealed), &[5; 2048]);
    write(&disk, &Path::new(ROOT).join("unsealed/fetching/s-t01000-9"), &[5; 10]);
    let found = store.replicas().unwrap();
    assert_eq!((found.len(), found[0].id.root, found[0].size_bytes, found[0].primary), (1, [0; 32], 2048, false));
    assert_eq!(store.read_chunk(&found[0].id, "", 0).unwrap().len(), 2048);
    let manifest = store.manifest(&found[0].id).unwrap();
    let now = reopen(&disk, &[]).unwrap().replicas().unwrap();
    assert_eq!(now[0].id.root, manifest.root());
    assert!(matches!(store.manifest(&found[0].id), Err(StoreError::OtherRoot { .. })));
}

#[test]
fn filters_and_read_only_paths_refuse_to_take_data() {
    let disk = MemDisk::default();
    let mut meta = StoreMeta::new(&StoreId::new("a").unwrap(), true, false);
    meta.deny_types = vec!["cache".into()];
    let store = Store::init(Arc::new(disk.clone()), Path::new(ROOT), &meta).unwrap();
    make_outputs(&disk, &store, attempt("1.1"), 1);
    assert!(matches!(store.publish(attempt("1.1"), &OUTPUTS), Err(StoreError::Filtered { .. })));
    assert_eq!(store.replicas().unwrap(), []);

    let meta = StoreMeta::new(&StoreId::new("b").unwrap(), false, false);
    let store = Store::init(Arc::new(disk.clone()), Path::new("/ro"), &meta).unwrap();
    write(&disk, &store.replica_path(SECTOR, FileKind::Sealed), &[5; 10]);
    let id = store.replicas().unwrap().remove(0).id;
    assert_eq!(store.manifest(&id).unwrap().size_bytes(), 10);
    assert!(matches!(store.work(attempt("1.1")), Err(StoreError::ReadOnly)));
    assert!(matches!(store.delete(&id), Err(StoreError::ReadOnly)));
}

#[test]
fn a_path_is_initialised_once_and_named_when_it_is_no_store() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let again = Store::init(Arc::new(disk.clone()), Path::new(ROOT), &store.meta());
    assert!(matches!(again, Err(StoreError::AlreadyStore(_))));
    let none = Store::open(Arc::new(disk.clone()), Path::new("/else"), &BTreeSet::new());
    assert!(matches!(none, Err(StoreError::NotAStore(_))));
    let text = read_all(&disk, &store.layout().meta(), 10_000).unwrap();
    remove_any(&disk, &store.layout().meta()).unwrap();
    write(&disk, &store.layout().meta(), &text[..text.len() / 2]);
    assert!(matches!(reopen(&disk, &[]), Err(StoreError::Damaged { .. })));
}

#[test]
fn work_is_kept_only_for_attempts_that_are_named() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    store.work(attempt("1.1")).unwrap();
    store.work(attempt("2.1")).unwrap();
    let store = reopen(&disk, &[attempt("2.1")]).unwrap();
    assert_eq!(store.work_attempts().unwrap(), [attempt("2.1")]);
    store.discard(attempt("2.1")).unwrap();
    store.discard(attempt("2.1")).unwrap();
    assert_eq!(store.work_attempts().unwrap(), []);
}

#[test]
fn a_path_whose_disk_is_gone_or_another_one_is_not_taken_for_an_empty_store() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    store.probe().unwrap();
    let meta = store.layout().meta();
    let text = read_all(&disk, &meta, 10_000).unwrap();
    remove_any(&disk, &meta).unwrap();
    let error = store.probe().unwrap_err();
    assert!(matches!(error, StoreError::Gone { .. }) && error.to_string().contains("mount its disk"), "{error}");
    write(&disk, &meta, &String::from_utf8(text.clone()).unwrap().replace("3f2504e0", "aaaaaaaa").into_bytes());
    assert!(store.probe().unwrap_err().to_string().contains("store aaaaaaaa-"));
    assert!(matches!(store.reload(&BTreeSet::new()), Err(StoreError::Gone { .. })));
    write(&disk, &meta, &text);
    store.probe().unwrap();
    assert!(
        !disk.list(store.layout().probe("").parent().unwrap()).unwrap().iter().any(|e| e.name.starts_with("probe"))
    );
}

#[test]
fn a_reloaded_path_is_made_ready_for_what_it_may_hold_now() {
    let disk = MemDisk::default();
    let mut meta = StoreMeta::new(&StoreId::new("a").unwrap(), false, false);
    let store = Store::init(Arc::new(disk.clone()), Path::new(ROOT), &meta).unwrap();
    assert!(matches!(store.work(attempt("1.1")), Err(StoreError::ReadOnly)));
    (meta.can_seal, meta.weight) = (true, 3);
    meta.write(&disk, &store.layout().meta()).unwrap();
    store.reload(&BTreeSet::new()).unwrap();
    assert_eq!((store.meta().weight, store.writable()), (3, true));
    assert_eq!(publish(&disk, &store, "1.1", 1).len(), 2);
}
