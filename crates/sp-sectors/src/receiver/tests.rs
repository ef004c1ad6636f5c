//! Whole replicas out of pieces, wrong pieces, crashes, holes, and files that share their bytes with others.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::disk::{Loss, MemDisk};
use crate::store::Store;
use crate::store_meta::StoreMeta;

const SECTOR: SectorId = SectorId { miner: 1000, number: 1 };

/// A store with a published cache of three files, and an empty store.
fn two_stores(disk: &MemDisk) -> (Store, sp_types::ReplicaId, Store) {
    let open = |name: &str| {
        let meta = StoreMeta::new(&sp_types::StoreId::new(name).unwrap(), true, false);
        Store::init(Arc::new(disk.clone()), &Path::new("/").join(name), &meta).unwrap()
    };
    let (from, to) = (open("from"), open("to"));
    let work = from.work("1.1".parse().unwrap()).unwrap();
    let cache = work.path(SECTOR, FileKind::Cache);
    disk.create_dir_all(&cache).unwrap();
    for (name, size) in [("empty", 0), ("p_aux", 64), ("layer-1.dat", (2 << 20) + 9)] {
        let content: Vec<u8> = (0..size).map(|i| (i / 7) as u8).collect();
        disk.create_new(&cache.join(name)).unwrap().write_at(&content, 0).unwrap();
    }
    let id = from.publish(work.attempt(), &[(SECTOR, FileKind::Cache)]).unwrap().remove(0).id;
    (from, id, to)
}

fn copy(from: &Store, id: &sp_types::ReplicaId, to: &Receiver, name: &str, offset: u64) {
    to.write(name, offset, &from.read_chunk(id, name, offset).unwrap()).unwrap();
}

fn copy_missing(from: &Store, id: &sp_types::ReplicaId, to: &Receiver) {
    for Missing { name, offset, size_bytes } in to.missing() {
        (offset..offset + size_bytes).step_by(1 << 20).for_each(|offset| copy(from, id, to, &name, offset));
    }
}

#[test]
fn a_replica_arrives_chunk_by_chunk_and_resumes_after_a_crash() {
    let disk = MemDisk::default();
    let (from, id, to) = two_stores(&disk);
    let (attempt, manifest) = ("2.1".parse().unwrap(), from.manifest(&id).unwrap());
    let receiver = Receiver::open(&to.work(attempt).unwrap(), SECTOR, manifest.clone()).unwrap();
    let stretch = |name: &str, offset, size_bytes| Missing { name: name.to_owned(), offset, size_bytes };
    let rest = [stretch("layer-1.dat", CHUNK_BYTES, CHUNK_BYTES + 9), stretch("p_aux", 0, 64)];
    assert_eq!(receiver.missing(), [stretch("layer-1.dat", 0, 2 * CHUNK_BYTES + 9), rest[1].clone()]);
    copy(&from, &id, &receiver, "layer-1.dat", 0);
    assert!(matches!(receiver.finish(), Err(ReceiveError::Incomplete(3))));

    disk.crash(Loss::Nothing);
    let to = Store::open(Arc::new(disk.clone()), Path::new("/to"), &BTreeSet::from([attempt])).unwrap();
    let work = to.work(attempt).unwrap();
    let stray = work.path(SECTOR, FileKind::Cache).join("stray");
    disk.create_new(&stray).unwrap();
    let receiver = Receiver::open(&work, SECTOR, manifest.clone()).unwrap();
    assert_eq!(receiver.missing(), rest);
    copy_missing(&from, &id, &receiver);
    let output = receiver.finish().unwrap();
    let info = to.publish_outputs(attempt, &[output]).unwrap().remove(0);
    assert_eq!((info.id.root, info.primary), (id.root, false));
    to.verify(&info.id).unwrap();
}

#[test]
fn whatever_is_not_the_manifests_is_refused() {
    let disk = MemDisk::default();
    let (from, id, to) = two_stores(&disk);
    let work = to.work("2.1".parse().unwrap()).unwrap();
    let receiver = Receiver::open(&work, SECTOR, from.manifest(&id).unwrap()).unwrap();
    let good = from.read_chunk(&id, "p_aux", 0).unwrap();
    let mut bad = good.clone();
    bad[3] ^= 1;
    assert!(matches!(receiver.write("p_aux", 0, &bad), Err(ReceiveError::WrongDigest { .. })));
    bad.push(0);
    assert!(matches!(receiver.write("p_aux", 0, &bad), Err(ReceiveError::WrongLength { got: 65, wanted: 64, .. })));
    assert!(matches!(receiver.write("p_aux", 0, &good[..63]), Err(ReceiveError::WrongLength { .. })));
    for offset in [1, 64, CHUNK_BYTES, u64::MAX] {
        assert!(matches!(receiver.write("p_aux", offset, &good), Err(ReceiveError::NoChunk { .. })), "{offset}");
    }
    assert!(matches!(receiver.write("empty", 0, b"x"), Err(ReceiveError::NoChunk { .. })));
    for name in ["../p_aux", "/p_aux", "", "other"] {
        assert!(matches!(receiver.write(name, 0, &good), Err(ReceiveError::UnknownFile(_))), "{name}");
    }
    assert!(matches!(receiver.finish(), Err(ReceiveError::Incomplete(4))), "nothing was kept");
    let chunk = |name, bytes| Chunk { name, offset: 0, bytes };
    let results = receiver.write_many(&[chunk("nothing", &good), chunk("p_aux", &good), chunk("layer-1.dat", &good)]);
    assert!(matches!(&results[..], [Err(ReceiveError::UnknownFile(_)), Ok(()), Err(ReceiveError::WrongLength { .. })]));
    assert!(matches!(receiver.finish(), Err(ReceiveError::Incomplete(3))), "what was right is kept");
}

#[test]
fn bytes_that_rotted_while_it_was_away_are_fetched_again() {
    let disk = MemDisk::default();
    let (from, id, to) = two_stores(&disk);
    let (work, manifest) = (to.work("2.1".parse().unwrap()).unwrap(), from.manifest(&id).unwrap());
    let receiver = Receiver::open(&work, SECTOR, manifest.clone()).unwrap();
    copy_missing(&from, &id, &receiver);
    let layer = work.path(SECTOR, FileKind::Cache).join("layer-1.dat");
    disk.open_write(&layer).unwrap().write_at(b"?", CHUNK_BYTES + 5).unwrap();
    let aux = work.path(SECTOR, FileKind::Cache).join("p_aux");
    disk.open_write(&aux).unwrap().write_at(b"longer", 64).unwrap();
    let receiver = Receiver::open(&work, SECTOR, manifest).unwrap();
    let missing: Vec<_> = receiver.missing().into_iter().map(|c| (c.name, c.offset)).collect();
    assert_eq!(missing, [("layer-1.dat".to_owned(), CHUNK_BYTES), ("p_aux".to_owned(), 0)]);
}

/// A store with a published sealed file of these bytes, and an empty store.
fn sealed(disk: &MemDisk, content: &[u8]) -> (Store, Manifest, sp_types::ReplicaId, Store) {
    let (from, _, to) = two_stores(disk);
    let work = from.work("1.2".parse().unwrap()).unwrap();
    disk.create_new(&work.path(SECTOR, FileKind::Sealed)).unwrap().write_at(content, 0).unwrap();
    let id = from.publish(work.attempt(), &[(SECTOR, FileKind::Sealed)]).unwrap().remove(0).id;
    (from.clone(), from.manifest(&id).unwrap(), id, to)
}

#[test]
fn chunks_of_zeros_are_holes_and_never_have_to_come() {
    let disk = MemDisk::default();
    let mut content = vec![0; (5 << 20) + 77];
    content[(2 << 20) + 9] = 1;
    let (from, manifest, id, to) = sealed(&disk, &content);
    let work = to.work("2.1".parse().unwrap()).unwrap();
    let receiver = Receiver::open(&work, SECTOR, manifest.clone()).unwrap();
    assert_eq!(receiver.missing(), [Missing { name: String::new(), offset: 2 << 20, size_bytes: CHUNK_BYTES }]);
    copy_missing(&from, &id, &receiver);
    receiver.finish().unwrap();
    manifest.verify(&disk, &work.path(SECTOR, FileKind::Sealed)).unwrap();
    // Where something else lies, zeros have to come like anything else.
    let path = work.path(SECTOR, FileKind::Sealed);
    disk.open_write(&path).unwrap().write_at(b"x", 4 << 20).unwrap();
    let receiver = Receiver::open(&work, SECTOR, manifest.clone()).unwrap();
    assert_eq!(receiver.missing(), [Missing { name: String::new(), offset: 4 << 20, size_bytes: CHUNK_BYTES }]);
    copy_missing(&from, &id, &receiver);
    manifest.verify(&disk, &path).unwrap();
}

#[test]
fn a_full_disk_is_an_error_and_shows_nothing() {
    let disk = MemDisk::new(8 << 20);
    let (from, manifest, id, to) = sealed(&disk, &vec![3; 3 << 20]);
    let work = to.work("2.1".parse().unwrap()).unwrap();
    let Err(ReceiveError::Store(StoreError::Io { source, .. })) = Receiver::open(&work, SECTOR, manifest) else {
        panic!("there is no room for it")
    };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert!(to.find(SECTOR, FileKind::Sealed).unwrap().is_none());
    to.discard(work.attempt()).unwrap();
    from.verify(&id).unwrap();
}

#[test]
fn what_is_shared_is_checked_and_the_other_store_never_written_to() {
    for clones in [true, false] {
        let disk = MemDisk::default();
        let (from, manifest, id, to) = sealed(&disk, &vec![5; 3 << 20]);
        if !clones {
            disk.without_clones();
        }
        let (source, work) = (from.replica_path(SECTOR, FileKind::Sealed), to.work("2.1".parse().unwrap()).unwrap());
        let how = share(&work, &from, SECTOR, &manifest, true).unwrap();
        assert_eq!(how, if clones { Shared::Clones } else { Shared::Link });
        assert_eq!(disk.open(&source).unwrap().is_shared().unwrap(), !clones);
        let receiver = Receiver::open(&work, SECTOR, manifest.clone()).unwrap();
        assert_eq!(receiver.missing(), []);
        to.publish_outputs(work.attempt(), &[receiver.finish().unwrap()]).unwrap();
        // Bytes that rot under one name are not taken on, and not repaired through the other name either.
        disk.open_write(&source).unwrap().write_at(b"!", CHUNK_BYTES).unwrap();
        let work = to.work("2.2".parse().unwrap()).unwrap();
        share(&work, &from, SECTOR, &manifest, true).unwrap();
        let receiver = Receiver::open(&work, SECTOR, manifest.clone()).unwrap();
        assert!(!receiver.missing().is_empty());
        receiver.write("", CHUNK_BYTES, &[5; CHUNK_BYTES as usize]).unwrap();
        assert_eq!(from.read_chunk(&id, "", CHUNK_BYTES).unwrap()[0], b'!');
    }
}

#[test]
fn what_stages_write_to_is_never_linked() {
    let disk = MemDisk::default();
    let (from, id, to) = two_stores(&disk);
    disk.without_clones();
    let work = to.work("2.1".parse().unwrap()).unwrap();
    assert_eq!(share(&work, &from, SECTOR, &from.manifest(&id).unwrap(), true).unwrap(), Shared::Nothing);
    assert_eq!(disk.list(&work.path(SECTOR, FileKind::Cache)).unwrap(), []);
}
