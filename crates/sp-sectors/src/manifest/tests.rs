//! Digests against plain BLAKE2s, parsers against junk, and what `verify` sees.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::disk::MemDisk;

fn write(disk: &MemDisk, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    crate::disk::remove_any(disk, path).unwrap();
    disk.create_new(path).unwrap().write_at(bytes, 0).unwrap();
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7 + i / 1000) as u8).collect()
}

fn file(name: &str, size_bytes: u64) -> ManifestFile {
    let chunks = (0..ManifestFile::chunk_count(size_bytes)).map(|i| [i as u8 + 1; 32]).collect();
    ManifestFile { name: name.into(), size_bytes, chunks }
}

#[test]
fn chunk_digests_are_blake2s_of_each_mebibyte() {
    let disk = MemDisk::default();
    for size in [0, 1, 1 << 20, (1 << 20) + 1, 9 << 20, (11 << 20) + 5] {
        let content = bytes(size);
        write(&disk, "/sealed", &content);
        let manifest = Manifest::of_path(&disk, FileKind::Sealed, Path::new("/sealed")).unwrap();
        let expected: Vec<_> = content.chunks(1 << 20).map(chunk_digest).collect();
        assert_eq!(manifest.files()[0].chunks, expected, "{size}");
        assert_eq!(manifest.size_bytes(), size as u64);
    }
}

#[test]
fn roots_are_as_documented() {
    let one = Manifest::new(FileKind::Sealed, vec![file("", 3)]).unwrap();
    let mut input = 3u64.to_le_bytes().to_vec();
    input.extend([1; 32]);
    let expected = blake2s_simd::Params::new().personal(b"sp-file1").hash(&input);
    assert_eq!(one.root(), *expected.as_array());

    let dir = Manifest::new(FileKind::Cache, vec![file("b", 3), file("a", 0)]).unwrap();
    let empty = blake2s_simd::Params::new().personal(b"sp-file1").hash(&[0; 8]);
    let mut input = vec![2, 0, 0, 0, 1, 0, b'a', 0, 0, 0, 0, 0, 0, 0, 0];
    input.extend(empty.as_array());
    input.extend([1, 0, b'b', 3, 0, 0, 0, 0, 0, 0, 0]);
    input.extend(one.root());
    assert_eq!(dir.root(), *blake2s_simd::Params::new().personal(b"sp-dir-1").hash(&input).as_array());
}

#[test]
fn verify_names_the_first_difference() {
    let disk = MemDisk::default();
    write(&disk, "/cache/a", &bytes(10));
    write(&disk, "/cache/b", &bytes(3 << 20));
    let path = Path::new("/cache");
    let manifest = Manifest::of_path(&disk, FileKind::Cache, path).unwrap();
    manifest.verify(&disk, path).unwrap();
    disk.open_write(Path::new("/cache/b")).unwrap().write_at(&[0xff], (1 << 20) + 77).unwrap();
    let differs = |name: &str, offset| StoreError::Manifest(ManifestError::Differs { name: name.into(), offset });
    let error = manifest.verify(&disk, path).unwrap_err();
    assert_eq!(error.to_string(), differs("b", 1 << 20).to_string());
    write(&disk, "/cache/b", &bytes(3 << 20));
    write(&disk, "/cache/extra", b"x");
    assert_eq!(manifest.verify(&disk, path).unwrap_err().to_string(), differs("extra", 0).to_string());
    disk.remove_file(Path::new("/cache/extra")).unwrap();
    disk.remove_file(Path::new("/cache/a")).unwrap();
    assert_eq!(manifest.verify(&disk, path).unwrap_err().to_string(), differs("a", 0).to_string());
}

#[test]
fn files_that_make_no_sense_are_refused() {
    let refused = |kind, files| Manifest::new(kind, files).is_err();
    for name in ["", ".", "..", "a/b", "/a", "a\\b", ".hidden", "a b", "\0", "ä", &"x".repeat(129)] {
        assert!(refused(FileKind::Cache, vec![file(name, 1)]), "{name}");
    }
    assert!(refused(FileKind::Cache, vec![file("a", 1), file("a", 2)]));
    assert!(refused(FileKind::Sealed, vec![file("a", 1)]));
    assert!(refused(FileKind::Sealed, vec![]));
    assert!(refused(FileKind::Sealed, vec![file("", 1), file("", 1)]));
    assert!(refused(FileKind::Sealed, vec![ManifestFile { chunks: vec![], ..file("", 1) }]));
    assert!(refused(FileKind::Sealed, vec![ManifestFile { size_bytes: u64::MAX, ..file("", 1) }]));
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    proptest::collection::btree_map("[a-z0-9_-]{1,20}", 0u64..4 << 20, 0..6).prop_map(|files| {
        let files = files.into_iter().map(|(name, size)| file(&name, size)).collect();
        Manifest::new(FileKind::Cache, files).unwrap()
    })
}

proptest! {
    #[test]
    fn lists_round_trip(manifest in any_manifest()) {
        let bytes = manifest.encode_list();
        prop_assert_eq!(Manifest::decode_list(FileKind::Cache, &manifest.root(), &bytes), Ok(manifest));
    }

    #[test]
    fn damaged_lists_are_refused(manifest in any_manifest(), at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let mut bytes = manifest.encode_list();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Manifest::decode_list(FileKind::Cache, &manifest.root(), &bytes).is_err());
        let whole = manifest.encode_list();
        prop_assert!(Manifest::decode_list(FileKind::Cache, &manifest.root(), &whole[..at]).is_err());
    }

    #[test]
    fn junk_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), framed in any::<bool>()) {
        let mut input = if framed { b"SPMF\x01\0\0\0".to_vec() } else { vec![] };
        input.extend(&bytes);
        prop_assert!(Manifest::decode_list(FileKind::Cache, &[1; 32], &input).is_err());
        prop_assert!(ManifestHead::decode(&bytes).is_err());
    }

    #[test]
    fn heads_round_trip(root in any::<[u8; 32]>(), size_bytes in any::<u64>(), primary in any::<bool>(), task in any::<u64>(), origin in any::<u64>()) {
        prop_assume!(root != [0; 32]);
        let made_by = Some(sp_types::AttemptId { task: sp_types::TaskId(task), number: u32::MAX });
        for kind in FileKind::ALL {
            let origin = sp_types::Origin::new(origin);
            let head = ManifestHead { kind, root, size_bytes, file_count: u32::MAX, made_by, origin, primary };
            let bytes = head.encode();
            prop_assert!(bytes.len() as u64 <= HEAD_BYTES_MAX);
            prop_assert_eq!(ManifestHead::decode(&bytes), Ok(head));
        }
    }
}

#[test]
fn a_newer_head_is_refused_as_newer() {
    let newer = br#"{"version":2,"shape":"unknown"}"#;
    assert_eq!(ManifestHead::decode(newer), Err(ManifestError::NewerVersion(2)));
}
