//! A scrub on the simulated disk: what it finds, where, and what it does not take for a fault.

use sp_types::ReplicaId;

use super::*;
use crate::manifest::ManifestError;

const CHUNK: usize = CHUNK_BYTES as usize;

/// Chunks of the sealed file, the last of which is half a one: more than is hashed at once.
const CHUNKS: usize = 11;

fn large(disk: &MemDisk, store: &Store) -> ReplicaInfo {
    let attempt = attempt("1.1");
    let path = store.work(attempt).unwrap().path(SECTOR, FileKind::Sealed);
    let bytes: Vec<u8> = (0..CHUNKS * CHUNK - CHUNK / 2).map(|i| (i / 7 + i / CHUNK) as u8).collect();
    write(disk, &path, &bytes);
    store.publish(attempt, &[(SECTOR, FileKind::Sealed)]).unwrap().remove(0)
}

/// Steps of two chunks; says how many bytes were read, too.
fn run(store: &Store, replica: &ReplicaId) -> (Scrubbed, u64) {
    run_with(store, replica, |_| {})
}

fn run_with(store: &Store, replica: &ReplicaId, mut meanwhile: impl FnMut(u64)) -> (Scrubbed, u64) {
    let (mut scrub, mut read) = (store.scrub(replica.clone(), 2 * CHUNK_BYTES), 0);
    loop {
        let announced = scrub.next_bytes();
        match scrub.step() {
            ScrubStep::Read(bytes) => {
                assert!(bytes <= 2 * CHUNK_BYTES && bytes <= announced, "{bytes} of {announced}");
                read += bytes;
                meanwhile(read);
            }
            ScrubStep::Done(scrubbed) => return (scrubbed, read),
        }
    }
}

fn faults(store: &Store, replica: &ReplicaId) -> Vec<ScrubFault> {
    match run(store, replica).0 {
        Scrubbed::Faulty(faults) => faults,
        other => panic!("{other:?}"),
    }
}

fn fault(name: &str, chunk: u64, bad_chunks: u64, reason: ScrubReason) -> ScrubFault {
    ScrubFault { name: name.into(), chunk, bad_chunks, reason }
}

fn flip(disk: &MemDisk, path: &Path, at: u64) {
    let file = disk.open_write(path).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn what_is_sound_is_read_whole_and_nothing_else_is_said() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let sealed = large(&disk, &store);
    assert_eq!(run(&store, &sealed.id), (Scrubbed::Sound, sealed.size_bytes));
    for info in publish(&disk, &store, "2.1", 1) {
        assert_eq!(run(&store, &info.id), (Scrubbed::Sound, info.size_bytes));
    }
}

#[test]
fn a_flipped_bit_is_found_in_its_chunk_and_the_rest_is_read_all_the_same() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let sealed = large(&disk, &store);
    let path = store.replica_path(SECTOR, FileKind::Sealed);
    for at in [9 * CHUNK_BYTES + 5, 3 * CHUNK_BYTES, 4 * CHUNK_BYTES - 1] {
        flip(&disk, &path, at);
    }
    let (found, read) = run(&store, &sealed.id);
    assert_eq!(found, Scrubbed::Faulty(vec![fault("", 3, 2, ScrubReason::Differs)]));
    assert_eq!(read, sealed.size_bytes);
    let text = faults(&store, &sealed.id)[0].to_string();
    assert_eq!(text, "chunk 3 (byte 3145728) differs from its digest; 2 chunks are bad");
}

#[test]
fn files_that_are_cut_too_long_gone_or_of_nobody_are_each_a_fault() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let sealed = large(&disk, &store);
    let path = store.replica_path(SECTOR, FileKind::Sealed);
    let file = disk.open_write(&path).unwrap();
    file.set_size(sealed.size_bytes + 1).unwrap();
    assert_eq!(faults(&store, &sealed.id), [fault("", 11, 1, ScrubReason::Long(sealed.size_bytes + 1))]);
    let cut = 4 * CHUNK_BYTES + 77;
    file.set_size(cut).unwrap();
    assert_eq!(faults(&store, &sealed.id), [fault("", 4, 7, ScrubReason::Cut(cut))]);
    flip(&disk, &path, CHUNK_BYTES);
    assert_eq!(faults(&store, &sealed.id), [fault("", 1, 8, ScrubReason::Differs)]);

    let cache = publish(&disk, &store, "2.1", 1).remove(1);
    let dir = store.replica_path(SECTOR, FileKind::Cache);
    disk.remove_file(&dir.join("p_aux")).unwrap();
    write(&disk, &dir.join("left"), b"x");
    flip(&disk, &dir.join("tree-1.dat"), 499);
    let expected = [
        fault("left", 0, 1, ScrubReason::Extra),
        fault("p_aux", 0, 1, ScrubReason::Missing),
        fault("tree-1.dat", 0, 1, ScrubReason::Differs),
    ];
    assert_eq!(faults(&store, &cache.id), expected);
}

#[test]
fn a_place_that_cannot_be_read_is_named_and_passed_over() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let sealed = large(&disk, &store);
    let path = store.replica_path(SECTOR, FileKind::Sealed);
    disk.break_bytes(&path, 5 * CHUNK_BYTES + 100..6 * CHUNK_BYTES + 1).unwrap();
    let found = faults(&store, &sealed.id);
    assert!(matches!(&found[..], [ScrubFault { chunk: 5, bad_chunks: 2, reason: ScrubReason::Unreadable(_), .. }]));
    assert!(found[0].to_string().starts_with("chunk 5 (byte 5242880) cannot be read: "), "{}", found[0]);
}

#[test]
fn what_is_replaced_or_deleted_meanwhile_is_no_fault() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let sealed = large(&disk, &store);
    let path = store.replica_path(SECTOR, FileKind::Sealed);
    flip(&disk, &path, 0);
    let mut once = Some(());
    let (found, _) = run_with(&store, &sealed.id, |read| {
        if read > 0 && once.take().is_some() {
            publish(&disk, &store, "2.1", 1);
        }
    });
    assert_eq!(found, Scrubbed::Gone);
    assert_eq!(run(&store, &sealed.id), (Scrubbed::Gone, 0), "another one is there from the beginning");
    let cache = store.find(SECTOR, FileKind::Cache).unwrap().unwrap();
    let (found, _) = run_with(&store, &cache.id, |_| {
        store.delete(&cache.id).unwrap();
    });
    assert_eq!(found, Scrubbed::Gone);
}

#[test]
fn a_replica_that_is_lost_or_has_lost_its_manifest_is_listed_and_named() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let infos = publish(&disk, &store, "1.1", 1);
    assert_eq!(store.to_scrub().unwrap(), infos);
    disk.remove_file(&store.replica_path(SECTOR, FileKind::Sealed)).unwrap();
    assert_eq!(store.to_scrub().unwrap(), infos, "its manifest is still here");
    assert_eq!(faults(&store, &infos[0].id), [fault("", 0, 1, ScrubReason::Lost)]);

    let list = store.layout().list(SECTOR, FileKind::Cache, &infos[1].id.root);
    let text = read_all(&disk, &list, 10_000).unwrap();
    write(&disk, &list, &text[..text.len() - 1]);
    assert!(matches!(&faults(&store, &infos[1].id)[0].reason, ScrubReason::Manifest(why) if why.contains("damaged")));
    write(&disk, &store.layout().head(SECTOR, FileKind::Cache), b"{");
    let listed = store.to_scrub().unwrap().remove(1);
    assert_eq!(listed.id.root, [0; 32]);
    assert!(matches!(faults(&store, &listed.id)[0].reason, ScrubReason::Manifest(_)));
}

#[test]
fn a_foreign_replica_gets_its_digests_by_being_read() {
    let disk = MemDisk::default();
    let store = new_store(&disk);
    let dir = store.replica_path(SECTOR, FileKind::Cache);
    let content = vec![7; 3 * CHUNK];
    write(&disk, &dir.join("b"), &content);
    write(&disk, &dir.join("a"), b"x");
    let foreign = store.to_scrub().unwrap().remove(0);
    assert_eq!((foreign.id.root, foreign.size_bytes), ([0; 32], 3 * CHUNK_BYTES + 1));
    let (found, read) = run(&store, &foreign.id);
    let Scrubbed::Adopted(adopted) = found else { panic!("{found:?}") };
    assert_eq!((read, store.replicas().unwrap()), (foreign.size_bytes, vec![adopted.clone()]));
    store.verify(&adopted.id).unwrap();
    assert_eq!(run(&store, &adopted.id).0, Scrubbed::Sound);
    assert_eq!(run(&store, &foreign.id).0, Scrubbed::Gone, "it is known by its root from now on");

    let sealed = store.replica_path(SECTOR, FileKind::Sealed);
    write(&disk, &sealed, &content);
    disk.break_bytes(&sealed, 0..1).unwrap();
    let id = store.find(SECTOR, FileKind::Sealed).unwrap().unwrap().id;
    assert!(matches!(&faults(&store, &id)[..], [ScrubFault { reason: ScrubReason::Unreadable(_), .. }]));
    let mut replaced = false;
    let (found, _) = run_with(&store, &id, |_| {
        if !std::mem::replace(&mut replaced, true) {
            write(&disk, &sealed, b"another one");
        }
    });
    assert_ne!(found, Scrubbed::Sound);
    write(&disk, &dir.join("a name"), b"x");
    let other = SectorId { miner: 1000, number: 8 };
    write(&disk, &store.replica_path(other, FileKind::Cache).join("bad name"), b"x");
    let id = store.find(other, FileKind::Cache).unwrap().unwrap().id;
    let why = ManifestError::BadName("bad name".into()).to_string();
    assert_eq!(faults(&store, &id), [fault("", 0, 1, ScrubReason::Manifest(why))]);
}

#[test]
fn a_read_only_path_keeps_no_digests() {
    let disk = MemDisk::default();
    let meta = StoreMeta::new(&StoreId::new("b").unwrap(), false, false);
    let store = Store::init(Arc::new(disk.clone()), Path::new("/ro"), &meta).unwrap();
    write(&disk, &store.replica_path(SECTOR, FileKind::Sealed), &[5; 10]);
    let id = store.to_scrub().unwrap().remove(0).id;
    assert_eq!(run(&store, &id), (Scrubbed::Unkept, 10));
}
